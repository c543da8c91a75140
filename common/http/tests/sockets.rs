//! The server as a raw socket meets it: slow, greedy, broken and vanishing clients.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::WebSocketUpgrade,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures::StreamExt;
use mythic_http::{Limits, guard::LocalOnly, serve};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::Notify,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// Longer than anything that is waited for; a test that reaches it has failed.
const DEADLINE: Duration = Duration::from_secs(20);

/// Counts what a test's handlers saw.
#[derive(Default)]
struct Seen {
    begun: AtomicUsize,
    dropped: AtomicUsize,
    go: Notify,
    changed: Notify,
}

/// Counts the end of a handler, however it ends.
struct Ended(Arc<Seen>);

impl Ended {
    fn begin(seen: &Arc<Seen>) -> Self {
        seen.begun.fetch_add(1, Ordering::SeqCst);
        seen.changed.notify_waiters();
        Self(seen.clone())
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, Ordering::SeqCst);
        self.0.changed.notify_waiters();
    }
}

struct Server {
    address: SocketAddr,
    seen: Arc<Seen>,
    stop: CancellationToken,
    task: JoinHandle<std::io::Result<()>>,
}

fn router(seen: Arc<Seen>) -> Router {
    let (waits, streams) = (seen.clone(), seen);
    Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/echo", post(|body: Bytes| async move { body }))
        .route(
            "/refuse",
            post(|| async {
                mythic_http::refusal::response(axum::http::StatusCode::NOT_FOUND, "unknown", "no")
            }),
        )
        .route(
            "/wait",
            get(move || async move {
                let _ended = Ended::begin(&waits);
                waits.go.notified().await;
                "waited"
            }),
        )
        .route(
            "/flood",
            get(move || async move {
                let ended = Ended::begin(&streams);
                let chunks = futures::stream::repeat_with(move || {
                    let _alive = &ended;
                    Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; 64 << 10]))
                });
                Response::new(Body::from_stream(chunks))
            }),
        )
        .route(
            "/ws",
            get(|upgrade: WebSocketUpgrade| async move {
                upgrade
                    .on_upgrade(|mut socket| async move {
                        while let Some(Ok(message)) = socket.recv().await {
                            if socket.send(message).await.is_err() {
                                return;
                            }
                        }
                    })
                    .into_response()
            }),
        )
}

async fn start(limits: Limits) -> Server {
    start_with(limits, |router| router).await
}

async fn start_with(limits: Limits, dress: impl FnOnce(Router) -> Router) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (seen, stop) = (Arc::new(Seen::default()), CancellationToken::new());
    let router = dress(router(seen.clone()));
    let task = tokio::spawn(serve(listener, router, limits, stop.clone()));
    Server {
        address,
        seen,
        stop,
        task,
    }
}

fn quick() -> Limits {
    Limits {
        header_seconds: 1,
        body_seconds: 1,
        idle_seconds: 1,
        write_seconds: 1,
        drain_seconds: 1,
        ..Limits::default()
    }
}

impl Server {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn until(&self, what: &str, condition: impl Fn(&Seen) -> bool) {
        let wait = async {
            loop {
                let changed = self.seen.changed.notified();
                if condition(&self.seen) {
                    return;
                }
                // The notification may come between the look and the wait: look again now and then.
                let _ = tokio::time::timeout(Duration::from_millis(50), changed).await;
            }
        };
        tokio::time::timeout(DEADLINE, wait)
            .await
            .unwrap_or_else(|_| panic!("{what} did not happen"));
    }
}

/// Everything until the server closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut bytes))
        .await
        .expect("the connection stays open");
    // A reset after the answer is an end as well.
    drop(read);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// One response: head and a body of the stated length.
async fn response(stream: &mut TcpStream) -> (String, String) {
    let read = async {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("a whole head"));
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.trim().parse().unwrap());
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        (head, String::from_utf8(body).unwrap())
    };
    tokio::time::timeout(DEADLINE, read)
        .await
        .expect("no response")
}

fn assert_refusal(response: &str, status: u16, code: &str) {
    assert!(
        response.starts_with(&format!("HTTP/1.1 {status} ")),
        "{response}"
    );
    let (head, body) = response.split_once("\r\n\r\n").expect("a body");
    assert!(
        head.to_ascii_lowercase().contains("x-request-id: req_"),
        "{head}"
    );
    let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(body["error"]["code"], code);
    assert!(
        body["error"]["message"]
            .as_str()
            .is_some_and(|m| m.len() > 10)
    );
}

#[tokio::test]
async fn half_a_request_line_ends_in_time() {
    let server = start(quick()).await;
    let began = Instant::now();
    let mut stream = server.connect().await;
    stream.write_all(b"GET /").await.unwrap();
    let told = rest(&mut stream).await;
    assert_refusal(&told, 408, "header_timeout");
    assert!(began.elapsed() < Duration::from_secs(10));
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
    let limits = Limits {
        connections_per_address: 3,
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
async fn a_full_listener_says_so() {
    let limits = Limits {
        connections: 1,
        ..Limits::default()
    };
    let server = start(limits).await;
    let mut first = server.connect().await;
    first
        .write_all(b"GET / HTTP/1.1\r\nHost: l\r\n\r\n")
        .await
        .unwrap();
    response(&mut first).await;
    let mut second = server.connect().await;
    let told = rest(&mut second).await;
    assert_refusal(&told, 503, "too_many_connections");
    assert!(told.contains("retry-after: 1"));
}

#[tokio::test]
async fn too_many_and_too_large_headers_are_refused_with_a_body() {
    let server = start(Limits::default()).await;
    let many: String = (0..110).map(|n| format!("X-A{n}: 1\r\n")).collect();
    let large = format!("X-Large: {}\r\n", "a".repeat(300_000));
    for headers in [many, large] {
        let mut stream = server.connect().await;
        let request = format!("POST /echo HTTP/1.1\r\nHost: l\r\n{headers}\r\n");
        // The refusal may come before all is sent.
        let _ = stream.write_all(request.as_bytes()).await;
        assert_refusal(&rest(&mut stream).await, 431, "headers_too_large");
    }
}

#[tokio::test]
async fn what_is_not_http_is_refused_with_a_body() {
    let server = start(Limits::default()).await;
    for request in [
        "POST /echo HTTP/1.1\r\nHost: l\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "POST /echo HTTP/1.1\r\nHost: l\r\nContent-Length: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : l\r\n\r\n",
        "\u{1}\u{2}\r\n\r\n",
    ] {
        let mut stream = server.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        assert_refusal(&rest(&mut stream).await, 400, "bad_http");
        // And as the second request of a connection.
        let mut stream = server.connect().await;
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: l\r\n\r\n")
            .await
            .unwrap();
        assert_eq!(response(&mut stream).await.1, "hello");
        stream.write_all(request.as_bytes()).await.unwrap();
        assert_refusal(&rest(&mut stream).await, 400, "bad_http");
    }
}

#[tokio::test]
async fn a_response_that_looks_like_a_refusal_is_left_alone() {
    let server = start(Limits::default()).await;
    let text = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
    let mut stream = server.connect().await;
    let head = format!(
        "POST /echo HTTP/1.1\r\nHost: l\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    );
    for _ in 0..3 {
        stream.write_all(head.as_bytes()).await.unwrap();
        let (head, body) = response(&mut stream).await;
        assert!(head.starts_with("http/1.1 200"));
        assert_eq!(body, text);
    }
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

#[tokio::test]
async fn a_refusal_before_the_body_leaves_the_connection_usable() {
    let server = start(Limits::default()).await;
    let mut stream = server.connect().await;
    for _ in 0..3 {
        stream
            .write_all(b"POST /refuse HTTP/1.1\r\nHost: l\r\nContent-Length: 300000\r\n\r\n")
            .await
            .unwrap();
        stream.write_all(&vec![b'a'; 300_000]).await.unwrap();
        let (head, _) = response(&mut stream).await;
        assert!(head.starts_with("http/1.1 404"), "{head}");
        assert!(!head.contains("connection: close"), "{head}");
    }
}

#[tokio::test]
async fn a_refusal_that_cannot_wait_for_the_body_says_close() {
    let limits = Limits {
        discard_bytes: 1_000,
        ..Limits::default()
    };
    let server = start(limits).await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"POST /refuse HTTP/1.1\r\nHost: l\r\nContent-Length: 5000\r\n\r\nabc")
        .await
        .unwrap();
    let told = rest(&mut stream).await;
    assert!(
        told.starts_with("HTTP/1.1 404 ") && told.contains("connection: close"),
        "{told}"
    );

    let mut stream = server.connect().await;
    stream
        .write_all(b"POST /refuse HTTP/1.1\r\nHost: l\r\nExpect: 100-continue\r\nContent-Length: 500\r\n\r\n")
        .await
        .unwrap();
    let told = rest(&mut stream).await;
    assert!(
        told.starts_with("HTTP/1.1 404 ") && told.contains("connection: close"),
        "{told}"
    );
}

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
    let server = start(quick()).await;
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

#[tokio::test]
async fn a_development_network_answers_its_own_machine_alone() {
    let server = start_with(Limits::default(), |router| router.layer(LocalOnly)).await;
    let host = server.address.to_string();
    for (headers, status) in [
        (format!("Host: {host}\r\n"), 200),
        (
            format!("Host: {host}\r\nOrigin: http://localhost:5173\r\n"),
            200,
        ),
        ("Host: evil.example\r\n".to_owned(), 403),
        (
            format!("Host: {host}\r\nOrigin: https://evil.example\r\n"),
            403,
        ),
        (
            format!("Host: {host}\r\nX-Forwarded-For: 192.0.2.1\r\n"),
            403,
        ),
    ] {
        let mut stream = server.connect().await;
        let request = format!("GET / HTTP/1.1\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let (head, _) = response(&mut stream).await;
        assert!(
            head.starts_with(&format!("http/1.1 {status} ")),
            "{headers}{head}"
        );
    }
}
