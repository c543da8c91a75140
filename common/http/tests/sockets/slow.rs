//! Clients that are slow, idle, or take nothing, and ones that go away.

use mythic_http::Limits;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use crate::server::{DEADLINE, assert_refusal, quick, response, rest, start};

#[tokio::test]
async fn half_a_request_line_ends_in_time() {
    let server = start(quick()).await;
    let began = Instant::now();
    let mut stream = server.connect().await;
    stream.write_all(b"GET /").await.unwrap();
    let told = rest(&mut stream).await;
    assert_refusal(&told, 408, "header_timeout");
    assert!(began.elapsed() < DEADLINE);
}

#[tokio::test]
async fn headers_byte_by_byte_end_in_time() {
    let server = start(quick()).await;
    let stream = server.connect().await;
    let (mut read, mut write) = stream.into_split();
    let drip = tokio::spawn(async move {
        let line = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ".iter();
        for byte in line.chain(std::iter::repeat(&b'a')) {
            if write.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut told = Vec::new();
    let _ = tokio::time::timeout(DEADLINE, read.read_to_end(&mut told))
        .await
        .expect("the connection stays open");
    assert!(told.starts_with(b"HTTP/1.1 408 "));
    drip.abort();
}

#[tokio::test]
async fn a_body_byte_by_byte_ends_in_time() {
    let server = start(quick()).await;
    let (mut read, mut write) = server.connect().await.into_split();
    write
        .write_all(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n")
        .await
        .unwrap();
    let drip = tokio::spawn(async move {
        while write.write_all(b"a").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut told = Vec::new();
    let _ = tokio::time::timeout(DEADLINE, read.read_to_end(&mut told))
        .await
        .expect("the connection stays open");
    let told = String::from_utf8(told).unwrap();
    assert_refusal(&told, 408, "body_timeout");
    assert!(told.contains("connection: close"), "{told}");
    drip.abort();
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_its_place_given_back() {
    // Long enough for all three to be idle at once.
    let limits = Limits {
        connections_per_address: 3,
        idle_seconds: 5,
        ..quick()
    };
    let server = start(limits).await;
    let mut idle = Vec::new();
    for _ in 0..3 {
        let mut stream = server.connect().await;
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: l\r\n\r\n")
            .await
            .unwrap();
        assert!(response(&mut stream).await.0.starts_with("http/1.1 200"));
        idle.push(stream);
    }
    let mut over = server.connect().await;
    assert_refusal(&rest(&mut over).await, 429, "too_many_connections");
    for stream in &mut idle {
        assert_eq!(rest(stream).await, "");
    }
    drop(idle);
    let served = async {
        loop {
            let mut again = server.connect().await;
            let _ = again.write_all(b"GET / HTTP/1.1\r\nHost: l\r\n\r\n").await;
            let mut status = [0; 12];
            if again.read_exact(&mut status).await.is_ok() && status.ends_with(b" 200") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, served)
        .await
        .expect("the places are not given back");
}

#[tokio::test]
async fn a_client_that_closes_its_sending_side_gets_its_answer() {
    let server = start(Limits::default()).await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"GET /wait HTTP/1.1\r\nHost: l\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    stream.shutdown().await.unwrap();
    server
        .until("the request", |seen| seen.begun.load(Ordering::SeqCst) == 1)
        .await;
    server.seen.go.notify_one();
    let told = rest(&mut stream).await;
    assert!(
        told.starts_with("HTTP/1.1 200 ") && told.ends_with("waited"),
        "{told}"
    );
}

#[tokio::test]
async fn a_client_that_goes_away_ends_its_request() {
    let server = start(Limits::default()).await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"GET /wait HTTP/1.1\r\nHost: l\r\n\r\n")
        .await
        .unwrap();
    server
        .until("the request", |seen| seen.begun.load(Ordering::SeqCst) == 1)
        .await;
    drop(stream);
    server
        .until("its end", |seen| seen.dropped.load(Ordering::SeqCst) == 1)
        .await;
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_dropped() {
    let server = start(quick()).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 << 10).unwrap();
    let mut stream = socket.connect(server.address).await.unwrap();
    stream
        .write_all(b"GET /flood HTTP/1.1\r\nHost: l\r\n\r\n")
        .await
        .unwrap();
    server
        .until("the stream", |seen| seen.begun.load(Ordering::SeqCst) == 1)
        .await;
    server
        .until("its end", |seen| seen.dropped.load(Ordering::SeqCst) == 1)
        .await;
    drop(stream);
}
