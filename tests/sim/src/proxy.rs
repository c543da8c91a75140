//! A way to the database that breaks after so many messages: a process that dies between any two steps of a
//! transaction.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// Port in the socket's name.
const PORT: u16 = 5432;

/// A socket before the server's.
pub struct Proxy {
    dir: PathBuf,
    broken: CancellationToken,
    _task: AbortOnDropHandle<()>,
}

impl Proxy {
    /// Listens in `dir`; all connections together send `messages` to the server, then none lives.
    pub fn start(dir: &Path, server: PathBuf, messages: u16) -> Result<Self> {
        let path = dir.join(format!(".s.PGSQL.{PORT}"));
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path)?;
        let broken = CancellationToken::new();
        let left = Arc::new(AtomicI64::new(i64::from(messages)));
        let ended = broken.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (server, left, broken) = (server.clone(), left.clone(), ended.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        () = broken.cancelled() => {}
                        _ = carry(client, &server, &left, &broken) => {}
                    }
                });
            }
        });
        Ok(Self {
            dir: dir.to_path_buf(),
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

    pub async fn broken(&self) {
        self.broken.cancelled().await;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.broken.cancel();
    }
}

async fn carry(
    client: UnixStream,
    server: &Path,
    left: &AtomicI64,
    broken: &CancellationToken,
) -> std::io::Result<()> {
    let server = UnixStream::connect(server).await?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let answers = async { tokio::io::copy(&mut from_server, &mut to_client).await };
    let messages = async {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let length = from_client.read(&mut buffer).await?;
            if length == 0 {
                return Ok::<(), std::io::Error>(());
            }
            if left.fetch_sub(1, Ordering::Relaxed) <= 0 {
                broken.cancel();
                return Ok(());
            }
            to_server.write_all(&buffer[..length]).await?;
        }
    };
    tokio::select! {
        done = messages => done,
        done = answers => done.map(drop),
    }
}
