//! A server of these tests, and how a raw socket reads what it says.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::WebSocketUpgrade,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use mythic_http::{Limits, serve};
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// Longer than anything that is waited for; a test that reaches it has failed.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Counts what a test's handlers saw.
#[derive(Default)]
pub struct Seen {
    pub begun: AtomicUsize,
    pub dropped: AtomicUsize,
    pub go: Notify,
    pub changed: Notify,
}

/// Counts the end of a handler, however it ends.
pub struct Ended(Arc<Seen>);

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

pub struct Server {
    pub address: SocketAddr,
    pub seen: Arc<Seen>,
    pub stop: CancellationToken,
    pub task: JoinHandle<std::io::Result<()>>,
}

pub fn router(seen: Arc<Seen>) -> Router {
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

pub async fn start(limits: Limits) -> Server {
    start_with(limits, |router| router).await
}

pub async fn start_with(limits: Limits, dress: impl FnOnce(Router) -> Router) -> Server {
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

pub fn quick() -> Limits {
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
    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    pub async fn until(&self, what: &str, condition: impl Fn(&Seen) -> bool) {
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
pub async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut bytes))
        .await
        .expect("the connection stays open");
    // A reset after the answer is an end as well.
    drop(read);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// One response: head and a body of the stated length.
pub async fn response(stream: &mut TcpStream) -> (String, String) {
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

pub fn assert_refusal(response: &str, status: u16, code: &str) {
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
