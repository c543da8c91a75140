//! Connections into a container: made by a thread that has gone into its network, so that they reach what listens on loopback there, and
//! nothing else.

use std::{
    fs::File,
    io,
    net::{Ipv4Addr, SocketAddr, TcpStream as Blocking},
    os::fd::AsFd as _,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::{net::TcpStream, sync::oneshot};

/// How long a connection may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Connects to a port of the network of this process.
pub async fn dial(pid: u32, port: u16) -> Result<TcpStream> {
    let path = format!("/proc/{pid}/ns/net");
    let network = File::open(&path).with_context(|| path.clone())?;
    let (made, connected) = oneshot::channel();
    // Whatever thread goes there stays there.
    thread::Builder::new()
        .name("into a container".into())
        .spawn(move || drop(made.send(connect(&network, port))))?;
    let stream = connected.await.context("the thread that connects died")?;
    let stream = stream.with_context(|| format!("port {port}"))?;
    stream.set_nonblocking(true)?;
    Ok(TcpStream::from_std(stream)?)
}

fn connect(network: &File, port: u16) -> io::Result<Blocking> {
    move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    Blocking::connect_timeout(&address, PATIENCE)
}
