//! Ids, stops, and connections that become WebSockets.

use futures::StreamExt;
use mythic_http::Limits;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::server::{DEADLINE, assert_refusal, quick, response, rest, start};

#[tokio::test]
async fn a_sane_request_id_comes_back() {
    let server = start(Limits::default()).await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: l\r\nX-Request-Id: mine-1\r\n\r\n")
        .await
        .unwrap();
    assert!(
        response(&mut stream)
            .await
            .0
            .contains("x-request-id: mine-1\r\n")
    );
}

#[tokio::test]
async fn a_stop_lets_requests_end_and_then_cuts() {
    let server = start(Limits::default()).await;
    let mut ends = server.connect().await;
    ends.write_all(b"GET /wait HTTP/1.1\r\nHost: l\r\n\r\n")
        .await
        .unwrap();
    server
        .until("the request", |seen| seen.begun.load(Ordering::SeqCst) == 1)
        .await;
    server.stop.cancel();
    server.seen.go.notify_one();
    let (head, body) = response(&mut ends).await;
    assert!(head.contains("connection: close"), "{head}");
    assert_eq!(body, "waited");
    tokio::time::timeout(DEADLINE, server.task)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());

    let server = start(quick()).await;
    let mut stays = server.connect().await;
    stays
        .write_all(b"GET /wait HTTP/1.1\r\nHost: l\r\n\r\n")
        .await
        .unwrap();
    server
        .until("the request", |seen| seen.begun.load(Ordering::SeqCst) == 1)
        .await;
    server.stop.cancel();
    tokio::time::timeout(DEADLINE, server.task)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(rest(&mut stays).await, "");
}

#[tokio::test]
async fn a_web_socket_outlives_the_time_of_a_head_and_holds_its_place() {
    let limits = Limits {
        connections_per_address: 1,
        ..quick()
    };
    let server = start(limits).await;
    let url = format!("ws://{}/ws", server.address);
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let mut over = server.connect().await;
    assert_refusal(&rest(&mut over).await, 429, "too_many_connections");
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(2_500) {
        use futures::SinkExt;
        let text = tokio_tungstenite::tungstenite::Message::text("hello");
        socket.send(text.clone()).await.unwrap();
        let back = tokio::time::timeout(DEADLINE, socket.next()).await.unwrap();
        assert_eq!(back.unwrap().unwrap(), text);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
