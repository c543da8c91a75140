//! `mythic lease ssh` and `logs`: into a container by SSH, whose host key must be the one that the start states on chain.

use super::{
    host::{Host, Reach},
    kept::Kept,
    read::{address, load, provider},
};
use crate::{
    context::Connection,
    exit::{self, Exit},
    note,
    terminal::Pieces,
};
use anyhow::{Context, Result};
use clap::Args;
use mythic_provider::{
    access::ContainerAccess,
    container::ssh::session::{FOLLOW, LOGS, RESTART},
    spec::container::ssh_key,
};
use mythic_wire::{Origin, dial};
use russh::{
    Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf,
    client::{self, ChannelOpenHandle, Handle, Msg, Session},
    keys::{
        PrivateKey, PrivateKeyWithHashAlg, PublicKeyOrCertificate,
        ssh_key::{LineEnding, private::Ed25519Keypair, public::KeyData},
    },
};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use solana_keypair::Keypair;
use std::{
    io::{IsTerminal as _, Read as _},
    net::{Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _, copy_bidirectional},
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::timeout,
};

/// How long a connection may take until it is known.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a line without words is tried.
const ALIVE: Duration = Duration::from_secs(30);
/// Who the tenant is inside: whoever the image's process is.
const USER: &str = "root";
/// Bytes that are read at once, and reads that wait.
const CHUNK: usize = 16 << 10;
const WAITING: usize = 16;
/// Bytes that a short command may say.
const MOST: usize = 64 << 10;
/// Exit code where none was told.
const LOST: u32 = 255;
/// Data of a channel that are errors.
const STDERR: u32 = 1;

/// Enter a container: a shell, a command, forwarded ports. Its host key must be the one that the provider stated on chain. Ends with the
/// command's exit code
#[derive(Args, Debug)]
pub struct Ssh {
    /// Address of the lease
    lease: String,
    /// Port here, and port of the container that it leads to: 8080:80
    #[arg(short = 'L', long = "forward", value_name = "HERE:THERE")]
    forward: Vec<String>,
    /// Forward ports alone, until it is interrupted
    #[arg(short = 'N', long, requires = "forward")]
    no_shell: bool,
    /// End all its processes instead; its command starts again on the same disk
    #[arg(long, conflicts_with_all = ["forward", "command"])]
    restart: bool,
    /// Give the command a terminal
    #[arg(short, long)]
    terminal: bool,
    #[command(flatten)]
    reach: Reach,
    /// Command [default: a shell]
    #[arg(last = true)]
    command: Vec<String>,
}

/// What a container's command writes
#[derive(Args, Debug)]
pub struct Logs {
    /// Address of the lease
    lease: String,
    /// Go on with what it writes from now on
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    reach: Reach,
}

/// A key with which a tenant logs in.
#[derive(Clone)]
pub struct LoginKey(Arc<PrivateKey>);

impl LoginKey {
    fn of_seed(seed: &[u8; 32]) -> Self {
        Self(Arc::new(Ed25519Keypair::from_seed(seed).into()))
    }

    /// A key of one lease.
    pub fn fresh() -> Self {
        Self::of_seed(&rand::random())
    }

    /// The wallet's. It signs here and nowhere else: an agent that holds it would sign transactions for whoever it is forwarded to.
    fn of_wallet(wallet: &Keypair) -> Self {
        Self::of_seed(wallet.secret_bytes())
    }

    /// One that was kept.
    fn read(text: &str) -> Result<Self> {
        let key = PrivateKey::from_openssh(text).context("the key that is kept is damaged")?;
        Ok(Self(Arc::new(key)))
    }

    /// As it is kept; OpenSSH reads it too.
    pub fn secret(&self) -> Result<String> {
        Ok(self.0.to_openssh(LineEnding::LF)?.to_string())
    }

    /// As a spec names it.
    pub fn public(&self) -> Result<String> {
        Ok(self.0.public_key().to_openssh()?)
    }
}

/// A client that takes one host key alone.
pub struct Known(KeyData);

impl client::Handler for Known {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        key: &PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        Ok(match key {
            PublicKeyOrCertificate::PublicKey { key, .. } => *key.key_data() == self.0,
            PublicKeyOrCertificate::Certificate(_) => false,
        })
    }

    // Nothing comes from there but what was asked for: what is dropped is refused.

    async fn server_channel_open_session(
        &mut self,
        _channel: Channel<Msg>,
        _reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        _channel: Channel<Msg>,
        _address: &str,
        _port: u32,
        _from: &str,
        _from_port: u32,
        _reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        _channel: Channel<Msg>,
        _path: &str,
        _reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        _channel: Channel<Msg>,
        _reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn server_channel_open_direct_tcpip(
        &mut self,
        _channel: Channel<Msg>,
        _host: &str,
        _port: u32,
        _from: &str,
        _from_port: u32,
        _reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn server_channel_open_direct_streamlocal(
        &mut self,
        _channel: Channel<Msg>,
        _path: &str,
        _reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn server_channel_open_x11(
        &mut self,
        _channel: Channel<Msg>,
        _from: &str,
        _from_port: u32,
        _reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// Addresses of a container, all of them public unless `allow_loopback`.
async fn addresses(access: &ContainerAccess, allow_loopback: bool) -> Result<Vec<SocketAddr>> {
    let host = match access.host.parse::<Ipv6Addr>() {
        Ok(address) => format!("[{address}]"),
        Err(_) => access.host.clone(),
    };
    let origin = Origin::parse(&format!("http://{host}:{}", access.ssh_port))?;
    let (_, addresses) = dial::resolve(&origin, allow_loopback).await?;
    Ok(addresses)
}

/// Logs in with the first of these keys that is taken.
pub async fn enter(
    access: &ContainerAccess,
    keys: &[LoginKey],
    allow_loopback: bool,
) -> Result<Handle<Known>> {
    let stated = ssh_key(&access.host_key).context("the provider's host key is no key")?;
    let config = client::Config {
        keepalive_interval: Some(ALIVE),
        nodelay: true,
        ..client::Config::default()
    };
    let unreachable = |error: String| {
        let (host, port) = (&access.host, access.ssh_port);
        Exit::error(
            exit::UNREACHABLE,
            format!("no container at {host}:{port}: {error}"),
        )
    };
    let known = Known(stated.key_data().clone());
    let found = addresses(access, allow_loopback).await;
    let found = found.map_err(|error| unreachable(error.to_string()))?;
    let connecting = client::connect(Arc::new(config), found.as_slice(), known);
    let connected = timeout(PATIENCE, connecting).await;
    let mut handle = match connected {
        Err(_) => return Err(unreachable("it does not answer".into())),
        Ok(Err(russh::Error::UnknownKey)) => {
            return Err(Exit::error(
                exit::CHECK_FAILED,
                "the host key there is not the one that the provider stated on chain: somebody else may be listening",
            ));
        }
        Ok(Err(error)) => return Err(unreachable(error.to_string())),
        Ok(Ok(handle)) => handle,
    };
    for key in keys {
        let key = PrivateKeyWithHashAlg::new(key.0.clone(), None);
        let answer = timeout(PATIENCE, handle.authenticate_publickey(USER, key)).await;
        let answer = answer.context("the container's host does not answer")?;
        if answer.is_ok_and(|answer| answer.success()) {
            return Ok(handle);
        }
    }
    Err(Exit::error(
        exit::FAILURE,
        "the container takes none of the keys that are here",
    ))
}

/// Finds a lease's container and logs in: with the key that is kept of it, else with the wallet's.
pub async fn login(lease: &str, connection: &Connection, reach: Reach) -> Result<Handle<Known>> {
    let (chain, lease) = (connection.chain(), address(lease)?);
    let state = load(&chain, &lease).await?;
    let provider = provider(&chain, &state).await?;
    let allow_loopback = reach.is_private(connection);
    let host = Host::of_lease(provider.endpoint.as_str(), allow_loopback).await?;
    let access = host.container(&lease, &state).await?;
    let kept = Kept::read(connection, &lease)?.and_then(|kept| kept.ssh_key);
    let keys = match kept {
        Some(kept) => vec![LoginKey::read(&kept)?],
        None => vec![LoginKey::of_wallet(&connection.wallet()?)],
    };
    enter(&access, &keys, allow_loopback).await
}

/// What a command says; its exit code must be 0.
pub async fn said(handle: &Handle<Known>, command: &str) -> Result<String> {
    let channel = handle.channel_open_session().await?;
    channel.exec(true, command).await?;
    let (mut read, _write) = channel.split();
    let (mut said, mut code) = (Vec::new(), LOST);
    let heard = async {
        while let Some(message) = read.wait().await {
            match message {
                ChannelMsg::Data { data } if said.len() < MOST => said.extend_from_slice(&data),
                ChannelMsg::ExitStatus { exit_status } => code = exit_status,
                _ => {}
            }
        }
    };
    let heard = timeout(PATIENCE, heard).await;
    heard.context("a command in the container does not end")?;
    match code {
        0 => Ok(String::from_utf8_lossy(&said).into_owned()),
        code => Err(Exit::error(
            exit::FAILURE,
            format!("a command in the container ends with {code}"),
        )),
    }
}

impl Logs {
    /// Runs it.
    pub async fn run(self, connection: &Connection) -> Result<()> {
        let handle = login(&self.lease, connection, self.reach).await?;
        let channel = handle.channel_open_session().await?;
        let name = if self.follow { FOLLOW } else { LOGS };
        channel.request_subsystem(true, name).await?;
        let (mut read, _write) = channel.split();
        heard(&mut read, false).await.map(drop)
    }
}

impl Ssh {
    /// Runs it; does not return where the command's exit code is not 0.
    pub async fn run(self, connection: &Connection) -> Result<()> {
        let forwards: Vec<(u16, u16)> = self
            .forward
            .iter()
            .map(|text| ports(text))
            .collect::<Result<_>>()?;
        let handle = Arc::new(login(&self.lease, connection, self.reach).await?);
        if self.restart {
            let channel = handle.channel_open_session().await?;
            channel.request_subsystem(true, RESTART).await?;
            let (mut read, _write) = channel.split();
            return match heard(&mut read, false).await? {
                0 => Ok(()),
                _ => Err(Exit::error(exit::FAILURE, "the container does not restart")),
            };
        }
        for (here, there) in forwards {
            let listener = TcpListener::bind(("127.0.0.1", here)).await;
            let listener = listener.with_context(|| format!("listening on 127.0.0.1:{here}"))?;
            note!("127.0.0.1:{here} leads to port {there} of the container");
            tokio::spawn(forward(handle.clone(), listener, there));
        }
        if self.no_shell {
            tokio::signal::ctrl_c().await?;
            return Ok(());
        }
        let channel = handle.channel_open_session().await?;
        let is_terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        let wants_one = is_terminal && (self.terminal || self.command.is_empty());
        let code = self.session(channel, wants_one).await?;
        match code {
            0 => Ok(()),
            code => std::process::exit(i32::try_from(code).unwrap_or(1)),
        }
    }

    async fn session(&self, channel: Channel<Msg>, is_terminal: bool) -> Result<u32> {
        let raw = match is_terminal {
            true => {
                let (columns, rows) = size();
                let term = std::env::var("TERM").unwrap_or_else(|_| "xterm".into());
                channel
                    .request_pty(true, &term, columns, rows, 0, 0, &[])
                    .await?;
                Some(Raw::set()?)
            }
            false => None,
        };
        match self.command.is_empty() {
            true => channel.request_shell(true).await?,
            false => channel.exec(true, self.command.join(" ")).await?,
        }
        let (mut read, write) = channel.split();
        let code = tokio::select! {
            code = heard(&mut read, is_terminal) => code,
            error = spoken(&write, is_terminal) => Err(error),
        };
        drop(raw);
        code
    }
}

/// The ports of `HERE:THERE`.
fn ports(text: &str) -> Result<(u16, u16)> {
    let pair = text.split_once(':').and_then(|(here, there)| {
        let there = there.parse().ok().filter(|port| *port > 0)?;
        Some((here.parse().ok()?, there))
    });
    pair.ok_or_else(|| {
        Exit::error(
            exit::USAGE,
            format!("--forward {text}: expected two ports, as 8080:80"),
        )
    })
}

/// Connects whoever comes to a port of the container.
async fn forward(handle: Arc<Handle<Known>>, listener: TcpListener, there: u16) {
    while let Ok((mut stream, peer)) = listener.accept().await {
        let handle = handle.clone();
        tokio::spawn(async move {
            let (from, port) = (peer.ip().to_string(), peer.port().into());
            let opened = handle.channel_open_direct_tcpip("localhost", there.into(), from, port);
            match opened.await {
                Ok(channel) => {
                    let mut inside = channel.into_stream();
                    let _ = copy_bidirectional(&mut stream, &mut inside).await;
                }
                Err(error) => note!("port {there} of the container: {error}"),
            }
        });
    }
}

/// Columns and rows of the terminal.
fn size() -> (u32, u32) {
    match tcgetwinsize(std::io::stdout()) {
        Ok(size) if size.ws_col > 0 => (size.ws_col.into(), size.ws_row.into()),
        _ => (80, 24),
    }
}

/// A terminal that passes everything on, until this is dropped.
struct Raw(Termios);

impl Raw {
    fn set() -> Result<Self> {
        let before = tcgetattr(std::io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &raw)?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Flush, &self.0);
    }
}

/// Where a container's output goes.
struct Told<W> {
    out: W,
    /// On a terminal that is not the container's own, it is made harmless.
    pieces: Option<Pieces>,
}

impl<W: AsyncWrite + Unpin> Told<W> {
    fn new(out: W, is_harmless: bool) -> Self {
        Self {
            out,
            pieces: is_harmless.then(Pieces::default),
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match &mut self.pieces {
            Some(pieces) => self.out.write_all(pieces.shown(bytes).as_bytes()).await?,
            None => self.out.write_all(bytes).await?,
        }
        self.out.flush().await
    }

    async fn end(mut self) -> std::io::Result<()> {
        let rest = self.pieces.take().map(Pieces::end).unwrap_or_default();
        self.out.write_all(rest.as_bytes()).await?;
        self.out.flush().await
    }
}

/// Writes what a container says to whom it is for; gives the exit code. To a terminal it says what it likes only where that `is_its_own`.
async fn heard(read: &mut ChannelReadHalf, is_its_own: bool) -> Result<u32> {
    let shown = |is_terminal: bool| is_terminal && !is_its_own;
    let mut out = Told::new(tokio::io::stdout(), shown(std::io::stdout().is_terminal()));
    let mut err = Told::new(tokio::io::stderr(), shown(std::io::stderr().is_terminal()));
    let mut code = None;
    while let Some(message) = read.wait().await {
        match message {
            ChannelMsg::Data { data } => out.write(&data).await?,
            ChannelMsg::ExtendedData { data, ext: STDERR } => err.write(&data).await?,
            ChannelMsg::ExitStatus { exit_status } => code = Some(exit_status),
            ChannelMsg::Failure => {
                return Err(Exit::error(exit::FAILURE, "the provider does not do that"));
            }
            _ => {}
        }
    }
    out.end().await?;
    err.end().await?;
    Ok(code.unwrap_or(LOST))
}

/// Passes on what is typed, and the terminal's size; returns where that is not possible any more.
async fn spoken(write: &ChannelWriteHalf<Msg>, is_terminal: bool) -> anyhow::Error {
    let spoken = async {
        let (mut typed, mut sizes) = (typed(), signal(SignalKind::window_change())?);
        loop {
            tokio::select! {
                bytes = typed.recv() => match bytes {
                    Some(bytes) => write.data_bytes(bytes).await?,
                    None => {
                        write.eof().await?;
                        break;
                    }
                },
                Some(()) = sizes.recv(), if is_terminal => {
                    let (columns, rows) = size();
                    write.window_change(columns, rows, 0, 0).await?;
                }
            }
        }
        // What is still said is waited for.
        std::future::pending::<()>().await;
        anyhow::Ok(())
    };
    match spoken.await {
        Err(error) => error,
        Ok(()) => Exit::error(exit::FAILURE, "the connection ended"),
    }
}

/// Standard input, read on a thread that nobody waits for.
fn typed() -> mpsc::Receiver<Vec<u8>> {
    let (told, read) = mpsc::channel(WAITING);
    std::thread::spawn(move || {
        let mut input = std::io::stdin();
        let mut chunk = vec![0; CHUNK];
        while let Ok(count) = input.read(&mut chunk) {
            let bytes = chunk.get(..count).unwrap_or_default().to_vec();
            if count == 0 || told.blocking_send(bytes).is_err() {
                return;
            }
        }
    });
    read
}

#[cfg(test)]
mod tests {
    use super::*;
    use russh::server::{self, Auth, PublicKeyOffer, VerifiedPublicKey};
    use tokio::sync::oneshot;

    /// A provider that opens channels of every kind to whoever comes, and says which were taken.
    struct Pushy(Option<oneshot::Sender<Vec<bool>>>);

    impl server::Handler for Pushy {
        type Error = russh::Error;

        async fn auth_publickey_offered(
            &mut self,
            _user: &str,
            _offer: PublicKeyOffer<'_>,
        ) -> Result<Auth, Self::Error> {
            Ok(Auth::Accept)
        }

        async fn auth_publickey(
            &mut self,
            _user: &str,
            _key: VerifiedPublicKey<'_>,
        ) -> Result<Auth, Self::Error> {
            Ok(Auth::Accept)
        }

        async fn auth_succeeded(
            &mut self,
            session: &mut server::Session,
        ) -> Result<(), Self::Error> {
            let (handle, told) = (session.handle(), self.0.take());
            tokio::spawn(async move {
                let place = ("127.0.0.1", 1);
                let taken = vec![
                    handle.channel_open_session().await.is_ok(),
                    handle.channel_open_agent().await.is_ok(),
                    handle.channel_open_x11(place.0, place.1).await.is_ok(),
                    handle
                        .channel_open_direct_tcpip(place.0, place.1, place.0, place.1)
                        .await
                        .is_ok(),
                    handle
                        .channel_open_forwarded_tcpip(place.0, place.1, place.0, place.1)
                        .await
                        .is_ok(),
                    handle.channel_open_direct_streamlocal("/x").await.is_ok(),
                    handle
                        .channel_open_forwarded_streamlocal("/x")
                        .await
                        .is_ok(),
                ];
                drop(told.map(|told| told.send(taken)));
            });
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_container_is_entered_at_public_addresses_alone() {
        let stated = |host: &str| ContainerAccess {
            lease: String::new(),
            host: host.into(),
            ssh_port: 80,
            host_key: LoginKey::fresh().public().unwrap(),
            ports: Vec::new(),
            image: String::new(),
            operator: String::new(),
        };
        for host in [
            "127.0.0.1",
            "localhost",
            "0x7f.1",
            "::1",
            "[::1]",
            "169.254.169.254",
        ] {
            let refused = enter(&stated(host), &[], false).await.err();
            let refused = refused.expect(host).to_string();
            assert!(refused.contains("not a public address"), "{refused}");
            assert!(addresses(&stated(host), true).await.is_ok(), "{host}");
        }
        for host in ["", "8.8.8.8/", "me@8.8.8.8", "8.8.8.8:22"] {
            assert!(addresses(&stated(host), true).await.is_err(), "{host}");
        }
        for host in ["8.8.8.8", "2606:4700:4700::1111"] {
            let found = addresses(&stated(host), false).await.unwrap();
            assert_eq!(found, [SocketAddr::new(host.parse().unwrap(), 80)]);
        }
    }

    #[tokio::test]
    async fn a_provider_opens_no_channel_into_its_tenant() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (host, key) = (LoginKey::fresh(), LoginKey::fresh());
        let access = ContainerAccess {
            lease: String::new(),
            host: "127.0.0.1".into(),
            ssh_port: listener.local_addr().unwrap().port(),
            host_key: host.public().unwrap(),
            ports: Vec::new(),
            image: String::new(),
            operator: String::new(),
        };
        let (told, taken) = oneshot::channel();
        let config = server::Config {
            keys: vec![(*host.0).clone()],
            ..server::Config::default()
        };
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let pushy = Pushy(Some(told));
            let running = server::run_stream(Arc::new(config), stream, pushy).await;
            let _ = running.unwrap().await;
        });
        let _entered = enter(&access, &[key], true).await.unwrap();
        let taken = timeout(PATIENCE, taken).await.unwrap().unwrap();
        assert_eq!(taken, [false; 7]);
    }

    #[test]
    fn a_key_is_kept_as_openssh_reads_it() {
        let key = LoginKey::fresh();
        let kept = LoginKey::read(&key.secret().unwrap()).unwrap();
        assert_eq!(kept.public().unwrap(), key.public().unwrap());
        assert!(ssh_key(&key.public().unwrap()).is_some());
        assert!(LoginKey::read("damaged").is_err());
    }

    #[tokio::test]
    async fn what_a_container_says_acts_on_no_terminal_but_its_own() {
        for (is_harmless, wanted) in [(true, "a\\u{1b}[2Jя"), (false, "a\u{1b}[2Jя")] {
            let mut out = Vec::new();
            let mut told = Told::new(&mut out, is_harmless);
            for byte in "a\u{1b}[2Jя".bytes() {
                told.write(&[byte]).await.unwrap();
            }
            told.end().await.unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), wanted);
        }
    }

    #[test]
    fn ports_to_forward_are_two() {
        assert_eq!(ports("8080:80").unwrap(), (8_080, 80));
        for bad in ["80", "80:", "a:b", "1:0", "1:70000", "1:2:3"] {
            assert!(ports(bad).is_err(), "{bad}");
        }
    }
}
