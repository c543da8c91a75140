//! A way to the database that notices when so many messages have gone over it: a process dies between any two steps of a
//! transaction, or its connections end.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// What ends a transaction, as it goes over the way.
const COMMIT: &[u8] = b"COMMIT\0";

/// Port in the socket's name.
const PORT: u16 = 5432;

/// What ends after the last message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The process: nothing more goes over the way.
    Process,
    /// The server works on that message, and whoever started the proxy ends its connections.
    Connection,
    /// The process, once the server has committed: it never hears of it. Only commits count as messages.
    Commit,
}

/// A socket before the server's.
pub struct Proxy {
    dir: PathBuf,
    reached: CancellationToken,
    broken: CancellationToken,
    _task: AbortOnDropHandle<()>,
}

impl Proxy {
    /// Listens in `dir`, and counts the `messages` that all connections together send to the server.
    pub fn start(dir: &Path, server: PathBuf, messages: u16, end: End) -> Result<Self> {
        let path = dir.join(format!(".s.PGSQL.{PORT}"));
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path)?;
        let (reached, broken) = (CancellationToken::new(), CancellationToken::new());
        let count = Count {
            left: AtomicI64::new(i64::from(messages)),
            reached: reached.clone(),
            broken: broken.clone(),
            end,
        };
        let (count, ended) = (Arc::new(count), broken.clone());
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (server, count, broken) = (server.clone(), count.clone(), ended.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        () = broken.cancelled() => {}
                        _ = carry(client, &server, &count) => {}
                    }
                });
            }
        });
        Ok(Self {
            dir: dir.to_path_buf(),
            reached,
            broken,
            _task: AbortOnDropHandle::new(task),
        })
    }

    /// How a client reaches a database through it.
    pub fn url(&self, database: &str) -> String {
        format!(
            "host={} port={PORT} user=mythic dbname={database}",
            self.dir.display()
        )
    }

    /// The last message was sent.
    pub async fn reached(&self) {
        self.reached.cancelled().await;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.broken.cancel();
    }
}

/// What becomes of a message.
enum Next {
    Send,
    /// It goes on, and its answer does not come back.
    SendLast,
    Stop,
}

/// Messages of all connections.
struct Count {
    left: AtomicI64,
    reached: CancellationToken,
    broken: CancellationToken,
    end: End,
}

impl Count {
    /// Whether the next message goes on to the server.
    fn next(&self, message: &[u8]) -> Next {
        if self.end != End::Commit {
            return match self.goes_on() {
                true => Next::Send,
                false => Next::Stop,
            };
        }
        let commits = message.windows(COMMIT.len()).any(|part| part == COMMIT);
        match commits && self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            true => Next::SendLast,
            false => Next::Send,
        }
    }

    /// The last commit was answered.
    fn end(&self) {
        self.reached.cancel();
        self.broken.cancel();
    }

    fn goes_on(&self) -> bool {
        let left = self.left.fetch_sub(1, Ordering::Relaxed);
        if left > 0 || self.end == End::Connection && left < 0 {
            return true;
        }
        self.reached.cancel();
        if self.end == End::Process {
            self.broken.cancel();
        }
        self.end == End::Connection
    }
}

async fn carry(client: UnixStream, server: &Path, count: &Count) -> std::io::Result<()> {
    let server = UnixStream::connect(server).await?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let last = CancellationToken::new();
    let answers = async {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let length = from_server.read(&mut buffer).await?;
            if last.is_cancelled() {
                count.end();
            }
            if length == 0 || last.is_cancelled() {
                return Ok::<(), std::io::Error>(());
            }
            to_client.write_all(&buffer[..length]).await?;
        }
    };
    let messages = async {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let length = from_client.read(&mut buffer).await?;
            if length == 0 {
                return Ok::<(), std::io::Error>(());
            }
            match count.next(&buffer[..length]) {
                Next::Send => {}
                Next::SendLast => last.cancel(),
                Next::Stop => return Ok(()),
            }
            to_server.write_all(&buffer[..length]).await?;
        }
    };
    tokio::select! {
        done = messages => done,
        done = answers => done,
    }
}
