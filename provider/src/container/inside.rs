//! Connections into a container: by sockets that a thread makes which has gone into its network, so that they reach what listens on
//! loopback there, and nothing else.

use std::{
    collections::HashMap,
    fs::File,
    io,
    net::{Ipv4Addr, SocketAddr},
    os::fd::AsFd as _,
    sync::Arc,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use parking_lot::Mutex;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::{
    net::{TcpSocket, TcpStream},
    sync::{Semaphore, oneshot},
    time::timeout,
};

/// How long a connection may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Threads that go into containers at the same time.
const THREADS: usize = 32;

static ENTERING: Semaphore = Semaphore::const_new(THREADS);

/// Networks of containers, held open: whoever connects to one starts no program to find it, and none is another process's that came to
/// have the same number.
#[derive(Debug, Default)]
pub struct Networks(Mutex<HashMap<String, Arc<File>>>);

impl Networks {
    /// The network of a container, which is found by the number of a process in it the first time.
    pub async fn of<F>(&self, id: &str, pid: impl Fn() -> F) -> Result<Arc<File>>
    where
        F: Future<Output = Result<u32>>,
    {
        let known = self.0.lock().get(id).cloned();
        if let Some(network) = known {
            return Ok(network);
        }
        let found = pid().await?;
        let path = format!("/proc/{found}/ns/net");
        let network = File::open(&path).with_context(|| path.clone())?;
        // It still runs: what was opened is its own.
        ensure!(pid().await? == found, "the container has just ended");
        let mut all = self.0.lock();
        let network = all
            .entry(id.to_owned())
            .or_insert_with(|| Arc::new(network));
        Ok(network.clone())
    }

    /// A container gets another network, or none any more.
    pub fn forget(&self, id: &str) {
        self.0.lock().remove(id);
    }
}

/// Connects to a port of a network.
pub async fn dial(network: Arc<File>, port: u16) -> Result<TcpStream> {
    let one = ENTERING.acquire().await?;
    let (made, socket) = oneshot::channel();
    // Whatever thread goes there stays there.
    thread::Builder::new()
        .name("into a container".into())
        .spawn(move || drop(made.send(socket_in(&network))))?;
    let socket = socket.await.context("the thread that enters died")??;
    drop(one);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let connected = timeout(PATIENCE, socket.connect(address)).await;
    let connected = connected.with_context(|| format!("port {port} does not answer"))?;
    connected.with_context(|| format!("port {port}"))
}

/// A socket is of the network in which it was made, wherever it is used.
fn socket_in(network: &File) -> io::Result<TcpSocket> {
    move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?;
    TcpSocket::new_v4()
}
