//! Who comes into a container by SSH: the keys of its spec and the tenant's wallet. Connections, attempts, sessions and silence are bounded,
//! and all of it ends with the lease.

use std::{
    borrow::Cow,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use mythic_wire::allowance::Allowance;
use russh::{
    Channel, ChannelId, ChannelOpenFailure, MethodKind, MethodSet, Pty, SshId,
    keys::{PrivateKey, ssh_key::public::KeyData},
    server::{
        Auth, ChannelOpenHandle, Config, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey,
        run_stream,
    },
};
use tokio::{
    io::{DuplexStream, copy_bidirectional, duplex},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::session::{self, Room};
use crate::meters::Meters;

/// Connections to a lease at once, known or not.
const CONNECTIONS: usize = 64;
/// How long a client may take to say who it is.
const LOGIN: Duration = Duration::from_secs(30);
/// Keys that it may try.
const ATTEMPTS: usize = 8;
/// How long a refusal takes.
const REFUSAL: Duration = Duration::from_millis(500);
/// Connections from an address at once, and how fast it may come again; addresses that are counted at a time.
const KNOCKS: u32 = 32;
const KNOCK_EVERY: Duration = Duration::from_secs(2);
const KNOCKERS: usize = 4_096;
/// Bytes between the network and the protocol.
const BETWEEN: usize = 64 << 10;
/// How long the last bytes of a connection are waited for.
const REST: Duration = Duration::from_secs(2);
/// Pause after a connection that could not be taken.
const PAUSE: Duration = Duration::from_millis(100);

/// The way into a container.
pub struct Door {
    /// Where it leads.
    pub room: Room,
    /// Keys that may come in.
    pub keys: Vec<KeyData>,
    /// Places of sessions and forwarded connections.
    pub sessions: Arc<Semaphore>,
    /// How long a connection may say nothing.
    pub idle: Duration,
    pub meters: Meters,
}

impl Door {
    /// Lets clients in until the lease ends.
    pub async fn serve(self, listener: TcpListener, host_key: PrivateKey) {
        let (config, door) = (Arc::new(self.config(host_key)), Arc::new(self));
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let knocks: Allowance<IpAddr> = Allowance::new(KNOCKS, KNOCK_EVERY, KNOCKERS);
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = door.room.ended.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            let Ok((stream, peer)) = accepted else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let may = knocks.take(&peer.ip().to_canonical(), Instant::now());
            let Some(place) = places.clone().try_acquire_owned().ok().filter(|_| may) else {
                continue;
            };
            let (door, config) = (door.clone(), config.clone());
            connections.spawn(async move {
                door.attend(stream, config).await;
                drop(place);
            });
        }
        drop(listener);
        connections.close();
        connections.wait().await;
    }

    fn config(&self, host_key: PrivateKey) -> Config {
        Config {
            server_id: SshId::Standard(Cow::Borrowed("SSH-2.0-mythic")),
            methods: MethodSet::from(&[MethodKind::PublicKey][..]),
            auth_rejection_time: REFUSAL,
            auth_rejection_time_initial: Some(Duration::ZERO),
            keys: vec![host_key],
            max_auth_attempts: ATTEMPTS,
            inactivity_timeout: Some(self.idle),
            nodelay: false,
            ..Config::default()
        }
    }

    /// One connection, from its first byte to its last. The protocol has an end of a pipe, so that the network's can be closed at any time.
    async fn attend(self: Arc<Self>, mut stream: TcpStream, config: Arc<Config>) {
        let _ = stream.set_nodelay(true);
        let (mut outer, inner) = duplex(BETWEEN);
        let known = Arc::new(AtomicBool::new(false));
        let (tasks, gone) = (TaskTracker::new(), CancellationToken::new());
        let visitor = Visitor {
            door: self.clone(),
            known: known.clone(),
            tasks: tasks.clone(),
            gone: gone.clone(),
        };
        let mut protocol = tokio::spawn(speak(config, inner, visitor));
        let unknown = async {
            tokio::time::sleep(LOGIN).await;
            if known.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
        };
        let is_over = {
            let copying = copy_bidirectional(&mut stream, &mut outer);
            tokio::pin!(copying);
            let is_over = tokio::select! {
                _ = &mut copying => false,
                () = unknown => false,
                () = self.room.ended.cancelled() => false,
                _ = &mut protocol => true,
            };
            if is_over {
                let _ = timeout(REST, copying).await;
            }
            is_over
        };
        drop((stream, outer));
        // Sessions end first: one that reads no more would hold the protocol up, which ends with its pipe.
        gone.cancel();
        if !is_over {
            let _ = protocol.await;
        }
        tasks.close();
        tasks.wait().await;
    }

    fn knows(&self, key: &KeyData) -> bool {
        self.keys.contains(key)
    }
}

async fn speak(config: Arc<Config>, inner: DuplexStream, visitor: Visitor) {
    let spoken = match run_stream(config, inner, visitor).await {
        Ok(session) => session.await,
        Err(error) => Err(error),
    };
    if let Err(error) = spoken {
        tracing::debug!(%error, "an SSH connection ended");
    }
}

/// One that came, by its connection.
struct Visitor {
    door: Arc<Door>,
    /// It has shown a key that may come in.
    known: Arc<AtomicBool>,
    tasks: TaskTracker,
    /// Its connection is gone.
    gone: CancellationToken,
}

impl Visitor {
    fn answer(&self, key: &KeyData) -> Auth {
        match self.door.knows(key) {
            true => Auth::Accept,
            false => Auth::reject(),
        }
    }
}

impl Handler for Visitor {
    type Error = russh::Error;

    async fn auth_publickey_offered(
        &mut self,
        _user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        Ok(self.answer(offer.public_key.key_data()))
    }

    async fn auth_publickey(
        &mut self,
        _user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        let answer = self.answer(key.public_key.key_data());
        self.door.meters.logged_in(answer == Auth::Accept);
        Ok(answer)
    }

    async fn auth_succeeded(&mut self, _session: &mut Session) -> Result<(), Self::Error> {
        self.known.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        let Ok(place) = self.door.sessions.clone().try_acquire_owned() else {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        };
        reply.accept().await;
        let (door, gone) = (self.door.clone(), self.gone.clone());
        self.tasks.spawn(async move {
            session::attend(&door.room, channel, &gone).await;
            drop(place);
        });
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        port: u32,
        _from: &str,
        _from_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        // Nowhere but into the container itself.
        let port = u16::try_from(port).ok().filter(|port| *port > 0);
        let Some(port) = port.filter(|_| is_inside(host)) else {
            reply
                .reject(ChannelOpenFailure::AdministrativelyProhibited)
                .await;
            return Ok(());
        };
        let Ok(place) = self.door.sessions.clone().try_acquire_owned() else {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        };
        let (door, gone) = (self.door.clone(), self.gone.clone());
        self.tasks.spawn(async move {
            let room = &door.room;
            match room.runtime.dial(&room.id, port).await {
                Ok(mut inside) => {
                    reply.accept().await;
                    let mut outside = channel.into_stream();
                    tokio::select! {
                        _ = copy_bidirectional(&mut outside, &mut inside) => {}
                        () = gone.cancelled() => {}
                    }
                }
                Err(error) => {
                    tracing::debug!(lease = room.id, port, "not connected: {error:#}");
                    reply.reject(ChannelOpenFailure::ConnectFailed).await;
                }
            }
            drop(place);
        });
        Ok(())
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        _term: &str,
        _columns: u32,
        _rows: u32,
        _width: u32,
        _height: u32,
        _modes: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_success(channel)
    }

    async fn shell_request(
        &mut self,
        channel: ChannelId,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_success(channel)
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        _command: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_success(channel)
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        match session::is_subsystem(name) {
            true => session.channel_success(channel),
            false => session.channel_failure(channel),
        }
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        _name: &str,
        _value: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }
}

/// Whether a host of a forwarded connection is the container itself.
fn is_inside(host: &str) -> bool {
    ["localhost", "127.0.0.1", "::1", "0.0.0.0", "::"].contains(&host)
}

#[cfg(test)]
#[path = "door_tests.rs"]
mod tests;
