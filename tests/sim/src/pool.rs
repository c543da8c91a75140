//! Connections that are used again. A new backend of the server reads catalogs, compiles triggers and plans their statements: most
//! of what a short story costs. So an indexer reaches the server through a socket behind which the backends of stories
//! before it wait. To the indexer a connection is new: what its predecessor prepared, set, locked or left open is gone. What dies in the
//! middle of a statement dies with its backend, and what the server ends is ended.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::task::AbortOnDropHandle;

/// Port in the socket's name.
const PORT: u16 = 5432;
/// First messages that are none of a session: encryption is asked for, a statement is to be cancelled.
const ENCRYPTION: [u32; 2] = [80_877_103, 80_877_104];
const CANCEL: u32 = 80_877_102;
/// What makes a session like new, but for what the backend remembers of the catalogs.
const CLEAN: &str = "CLOSE ALL; RESET ALL; DEALLOCATE ALL; UNLISTEN *; SELECT pg_advisory_unlock_all(); DISCARD SEQUENCES; \
     DISCARD TEMP; SELECT 'like new'";
/// What is answered to the last of it.
const CLEANED: &[u8] = b"like new";
/// A backend that does not clean up in this time is not used again.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest message that is taken apart.
const LONGEST: usize = 64 << 20;

/// A socket before the server's.
pub struct Pool {
    socket: PathBuf,
    _task: AbortOnDropHandle<()>,
}

/// Backends that wait, by what they were started with, each with what it answered then.
type Waiting = Arc<Mutex<HashMap<Vec<u8>, Vec<(UnixStream, Vec<u8>)>>>>;

impl Pool {
    /// Listens in `dir` for a server's socket.
    pub fn start(dir: &Path, server: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let socket = dir.join(format!(".s.PGSQL.{PORT}"));
        let listener = UnixListener::bind(&socket)?;
        let waiting = Waiting::default();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (server, waiting) = (server.clone(), waiting.clone());
                tokio::spawn(async move {
                    // Who is cut off hears it from the connection.
                    let _ = serve(client, &server, &waiting).await;
                });
            }
        });
        Ok(Self {
            socket,
            _task: AbortOnDropHandle::new(task),
        })
    }

    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// How a client reaches a database through it.
    pub fn url(&self, database: &str) -> String {
        let dir = self.socket.parent().unwrap_or(Path::new("/"));
        format!(
            "host={} port={PORT} user=mythic dbname={database}",
            dir.display()
        )
    }
}

async fn serve(mut client: UnixStream, server: &Path, waiting: &Waiting) -> Result<()> {
    let (code, startup) = loop {
        let message = untyped(&mut client).await?;
        let code = u32::from_be_bytes(message[4..8].try_into()?);
        if !ENCRYPTION.contains(&code) {
            break (code, message);
        }
        client.write_all(b"N").await?;
    };
    if code == CANCEL {
        let mut server = UnixStream::connect(server).await?;
        return Ok(server.write_all(&startup).await?);
    }
    let (backend, greeting) = match take(waiting, &startup) {
        Some(found) => found,
        None => open(server, &startup).await?,
    };
    client.write_all(&greeting).await?;
    if let Some(backend) = relay(client, backend).await
        && let Ok(Ok(backend)) = tokio::time::timeout(PATIENCE, clean(backend)).await
    {
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting
            .entry(startup)
            .or_default()
            .push((backend, greeting));
    }
    Ok(())
}

/// The newest backend that waits and lives.
fn take(waiting: &Waiting, startup: &[u8]) -> Option<(UnixStream, Vec<u8>)> {
    let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
    let backends = waiting.get_mut(startup)?;
    while let Some((backend, greeting)) = backends.pop() {
        // Whatever it says now says that it ends.
        let silent = backend
            .try_read(&mut [0])
            .is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock);
        if silent {
            return Some((backend, greeting));
        }
    }
    None
}

/// A new backend, and what it answers until it is ready.
async fn open(server: &Path, startup: &[u8]) -> Result<(UnixStream, Vec<u8>)> {
    let mut backend = UnixStream::connect(server).await?;
    backend.write_all(startup).await?;
    let mut greeting = Vec::new();
    loop {
        let message = typed(&mut backend).await?;
        greeting.extend_from_slice(&message);
        if message[0] == b'Z' {
            return Ok((backend, greeting));
        }
        anyhow::ensure!(message[0] != b'E', "the server refuses a connection");
    }
}

/// Carries what client and backend say, until one ends. The backend, if the client ended between two statements.
async fn relay(client: UnixStream, backend: UnixStream) -> Option<UnixStream> {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_backend, mut to_backend) = backend.into_split();
    let (mut asked, mut answered) = (Frames::default(), Frames::default());
    // The backend has not said since that it is ready.
    let mut busy = false;
    let (mut there, mut back) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        tokio::select! {
            read = from_client.read(&mut there) => {
                let said = &there[..read.unwrap_or(0)];
                asked.take(said);
                if said.is_empty() || asked.last == b'X' {
                    let ended = said.is_empty() || said.len() == FAREWELL;
                    return match ended && !busy && asked.rest.is_empty() {
                        true => from_backend.reunite(to_backend).ok(),
                        false => None,
                    };
                }
                busy = true;
                to_backend.write_all(said).await.ok()?;
            }
            read = from_backend.read(&mut back) => {
                let said = &back[..read.unwrap_or(0)];
                if said.is_empty() {
                    return None;
                }
                answered.take(said);
                busy &= answered.last != b'Z' || !answered.rest.is_empty();
                to_client.write_all(said).await.ok()?;
            }
        }
    }
}

/// Bytes of a client's farewell.
const FAREWELL: usize = 5;

/// Makes a backend like new.
async fn clean(mut backend: UnixStream) -> Result<UnixStream> {
    for sql in ["ROLLBACK", CLEAN] {
        let mut message = vec![b'Q'];
        message.extend((sql.len() as u32 + 5).to_be_bytes());
        message.extend(sql.as_bytes());
        message.push(0);
        backend.write_all(&message).await?;
    }
    // What its client did not wait for comes before.
    let mut cleaned = false;
    loop {
        let answer = typed(&mut backend).await?;
        anyhow::ensure!(answer[0] != b'E', "a backend does not clean up");
        cleaned |= answer[0] == b'D' && answer.ends_with(CLEANED);
        if cleaned && answer[0] == b'Z' {
            return Ok(backend);
        }
    }
}

/// Takes a stream of bytes apart into messages.
#[derive(Default)]
struct Frames {
    /// Kind of the last whole one.
    last: u8,
    /// Beginning of the next.
    rest: Vec<u8>,
}

impl Frames {
    fn take(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        let mut at = 0;
        while let Some(head) = self.rest.get(at..at + 5) {
            let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
            if self.rest.len() < at + 1 + length {
                break;
            }
            self.last = head[0];
            at += 1 + length;
        }
        self.rest.drain(..at);
    }
}

/// A message with its kind before its length.
async fn typed(from: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>> {
    let mut kind = [0];
    from.read_exact(&mut kind).await?;
    let mut message = kind.to_vec();
    message.extend(untyped(from).await?);
    Ok(message)
}

/// A message that begins with its length.
async fn untyped(from: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length).await?;
    let whole = u32::from_be_bytes(length) as usize;
    let body = whole
        .checked_sub(4)
        .filter(|body| *body <= LONGEST)
        .context("a message of no length")?;
    let mut message = length.to_vec();
    message.resize(4 + body, 0);
    from.read_exact(&mut message[4..]).await?;
    Ok(message)
}
