//! Servers that pretend to hold prompts: they keep whoever asks waiting, feed it byte by byte, give it a wrong prompt or send it
//! elsewhere, and note the signed requests that they are brought.

use std::{
    collections::VecDeque,
    net::Ipv4Addr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// Connections that one server keeps.
const CONNECTIONS: usize = 32;
/// Signed requests that are kept; the oldest goes first.
const OVERHEARD: usize = 64;
/// Longest request that is read.
const REQUEST: usize = 1 << 20;
/// Where visitors are sent that follow where they are led.
const ELSEWHERE: &str = "/elsewhere";
/// A prompt that no job was made for.
const WRONG_PROMPT: &str =
    r#"{"prompt_ids": [1, 2, 3], "salt": "00000000000000000000000000000000", "stop": []}"#;

/// A request that somebody signed for one of the servers.
#[derive(Debug, Clone)]
pub struct Overheard {
    /// Method.
    pub method: String,
    /// Path with query.
    pub path: String,
    /// `x-mythic-…` headers.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

/// What the servers met.
#[derive(Debug, Default)]
pub struct Met {
    /// Requests.
    pub visits: AtomicU64,
    /// Visitors that let themselves be sent elsewhere.
    pub misled: AtomicU64,
    overheard: Mutex<VecDeque<Overheard>>,
}

impl Met {
    /// The oldest signed request that was not taken yet.
    pub fn overheard(&self) -> Option<Overheard> {
        self.overheard.lock().ok()?.pop_front()
    }

    fn note(&self, request: Overheard) {
        self.visits.fetch_add(1, Ordering::Relaxed);
        if request.path == ELSEWHERE {
            self.misled.fetch_add(1, Ordering::Relaxed);
        }
        if request.headers.is_empty() {
            return;
        }
        if let Ok(mut overheard) = self.overheard.lock() {
            overheard.push_back(request);
            if overheard.len() > OVERHEARD {
                overheard.pop_front();
            }
        }
    }
}

/// The servers, each with an address of its own.
pub struct Tarpit {
    listeners: Vec<TcpListener>,
    /// What they met.
    pub met: Arc<Met>,
}

impl Tarpit {
    /// Opens so many servers.
    pub async fn open(count: u8) -> Result<Self> {
        let addresses = (1..=count).map(|n| Ipv4Addr::new(127, 0, 66, n));
        let listeners = addresses.map(|address| TcpListener::bind((address, 0)));
        Ok(Self {
            listeners: futures::future::try_join_all(listeners).await?,
            met: Arc::default(),
        })
    }

    /// Origin of a server; they are counted round and round.
    pub fn origin(&self, number: usize) -> Result<String> {
        let listener = self.listeners.get(number % self.listeners.len().max(1));
        let address = listener.context("no tarpit")?.local_addr()?;
        Ok(format!("http://{address}"))
    }

    /// Receives visitors until `end`.
    pub async fn run(&self, end: Instant) {
        let serving = self.listeners.iter().map(|listener| async {
            let mut visitors = JoinSet::new();
            let mut number = 0;
            while let Ok((socket, _)) = listener.accept().await {
                while visitors.try_join_next().is_some() {}
                if visitors.len() < CONNECTIONS {
                    visitors.spawn(receive(socket, number, self.met.clone()));
                    number += 1;
                }
            }
        });
        let all = futures::future::join_all(serving);
        let _ = tokio::time::timeout_at(end.into(), all).await;
    }
}

/// One visitor: heard, then kept in one of the manners.
async fn receive(mut socket: TcpStream, number: usize, met: Arc<Met>) -> Option<()> {
    let heard = tokio::time::timeout(Duration::from_secs(20), hear(&mut socket));
    let request = heard.await.ok()??;
    met.note(request);
    let here = socket.local_addr().ok()?;
    match number % 5 {
        // Says nothing.
        0 => {
            let mut nothing = [0; 1];
            socket.read_exact(&mut nothing).await.ok()?;
        }
        // Promises much, and gives a byte a second.
        1 => {
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 8000000\r\n\r\n";
            socket.write_all(head.as_bytes()).await.ok()?;
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                socket.write_all(b" ").await.ok()?;
            }
        }
        2 => answer(&mut socket, "200 OK", "", WRONG_PROMPT).await?,
        3 => {
            let there = format!("Location: http://{here}{ELSEWHERE}\r\n");
            answer(&mut socket, "307 Temporary Redirect", &there, "").await?;
        }
        _ => answer(&mut socket, "404 Not Found", "", "{}").await?,
    }
    Some(())
}

async fn answer(socket: &mut TcpStream, status: &str, header: &str, body: &str) -> Option<()> {
    let length = body.len();
    let text = format!(
        "HTTP/1.1 {status}\r\n{header}Content-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    socket.write_all(text.as_bytes()).await.ok()?;
    socket.shutdown().await.ok()
}

/// Reads one request.
async fn hear(socket: &mut TcpStream) -> Option<Overheard> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        if bytes.len() > REQUEST || socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(bytes.get(..head_end)?).into_owned();
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.and_then(|(_, text)| text.parse().ok()).unwrap_or(0);
    let whole = head_end + 4 + length;
    while whole <= REQUEST && bytes.len() < whole {
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    Some(Overheard {
        method,
        path,
        headers: headers
            .into_iter()
            .filter(|(name, _)| name.starts_with("x-mythic-"))
            .collect(),
        body: bytes.split_off(head_end + 4),
    })
}
