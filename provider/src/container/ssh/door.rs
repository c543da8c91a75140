//! Who comes into a container by SSH: the keys of its spec and the tenant's wallet. Connections, attempts, sessions and silence are bounded,
//! and all of it ends with the lease.

use std::{
    borrow::Cow,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use mythic_wire::allowance::Allowance;
use russh::{
    Channel, ChannelId, ChannelOpenFailure, MethodKind, MethodSet, Preferred, Pty, SshId, kex,
    keys::{PrivateKey, ssh_key::public::KeyData},
    server::{
        Auth, ChannelOpenHandle, Config, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey,
        run_stream,
    },
};
use socket2::SockRef;
use tokio::{
    io::{DuplexStream, copy_bidirectional, duplex},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    session::{self, Room},
    waiting::Waiting,
};
use crate::{meters::Meters, serve::address};

/// Connections to a lease at once whose clients are known.
const KNOWN: usize = 64;
/// How long a client may take to say who it is.
const LOGIN: Duration = Duration::from_secs(20);
/// How keys are exchanged: by what costs this machine no more than its client. Groups of large primes cost it milliseconds for each stranger.
const EXCHANGES: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::EXTENSION_SUPPORT_AS_SERVER,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
];
/// Keys that it may try.
const ATTEMPTS: usize = 8;
/// How long a refusal takes.
const REFUSAL: Duration = Duration::from_millis(500);
/// Connections from an address at once, and how fast it may come again; addresses that are counted at a time.
const KNOCKS: u32 = 32;
const KNOCK_EVERY: Duration = Duration::from_secs(2);
const KNOCKERS: usize = 4_096;
/// How often a client that says nothing is asked whether it is there, and how often in vain.
pub const ALIVE: Duration = Duration::from_secs(30);
const UNANSWERED: u32 = 3;
/// Sessions of a lease that begin at once, and how fast more may.
const SESSIONS: u32 = 32;
const SESSION_EVERY: Duration = Duration::from_millis(250);
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
    /// How often a client that says nothing is asked whether it is there.
    pub alive: Duration,
    pub meters: Meters,
}

/// A door that is open, and who is in.
struct Hall {
    door: Door,
    known: Arc<Semaphore>,
    begun: Allowance<()>,
    /// The place of a session that can only restart the container: however many there are, or are left of clients that died.
    restart: Arc<Semaphore>,
}

impl Door {
    /// Lets clients in until the lease ends.
    pub async fn serve(self, listener: TcpListener, host_key: PrivateKey) {
        let config = Arc::new(self.config(host_key));
        let hall = Arc::new(Hall {
            door: self,
            known: Arc::new(Semaphore::new(KNOWN)),
            begun: Allowance::new(SESSIONS, SESSION_EVERY, 1),
            restart: Arc::new(Semaphore::new(1)),
        });
        let waiting = Waiting::default();
        let knocks: Allowance<IpAddr> = Allowance::new(KNOCKS, KNOCK_EVERY, KNOCKERS);
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = hall.door.room.ended.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            let Ok((stream, peer)) = accepted else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let peer = address::group(peer.ip());
            if !knocks.take(&peer, Instant::now()) {
                continue;
            }
            let Some(place) = waiting.take(peer) else {
                continue;
            };
            let (hall, config) = (hall.clone(), config.clone());
            connections.spawn(hall.attend(stream, config, Box::new(place)));
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
            preferred: Preferred {
                kex: Cow::Borrowed(EXCHANGES),
                ..Preferred::default()
            },
            // One that answers may be silent for as long as it likes.
            inactivity_timeout: None,
            keepalive_interval: Some(self.alive),
            keepalive_max: UNANSWERED as usize,
            nodelay: false,
            ..Config::default()
        }
    }

    fn knows(&self, key: &KeyData) -> bool {
        self.keys.contains(key)
    }
}

impl Hall {
    /// One connection, from its first byte to its last. The protocol has an end of a pipe, so that the network's can be closed at any time.
    async fn attend(
        self: Arc<Self>,
        mut stream: TcpStream,
        config: Arc<Config>,
        mut place: Box<dyn Send>,
    ) {
        let _ = stream.set_nodelay(true);
        // Whoever takes nothing is not there either, and a protocol that waits for that asks nobody.
        let silence = self.door.alive * (UNANSWERED + 1);
        let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(silence));
        let (mut outer, inner) = duplex(BETWEEN);
        let (known, is_known) = oneshot::channel();
        let (tasks, gone) = (TaskTracker::new(), CancellationToken::new());
        let visitor = Visitor {
            hall: self.clone(),
            known: Some(known),
            tasks: tasks.clone(),
            gone: gone.clone(),
        };
        let mut protocol = tokio::spawn(speak(config, inner, visitor));
        let unknown = async {
            let Ok(known) = timeout(LOGIN, is_known).await else {
                return;
            };
            // Where it waited there is place for another one now. One that was turned away ends with its protocol.
            if let Ok(stays) = known {
                place = Box::new(stays);
            }
            std::future::pending::<()>().await;
        };
        let is_over = {
            let copying = copy_bidirectional(&mut stream, &mut outer);
            tokio::pin!(copying);
            let is_over = tokio::select! {
                _ = &mut copying => false,
                () = unknown => false,
                () = self.door.room.ended.cancelled() => false,
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
        drop(place);
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
    hall: Arc<Hall>,
    /// Takes its place among the known, once it has shown a key that may come in.
    known: Option<oneshot::Sender<OwnedSemaphorePermit>>,
    tasks: TaskTracker,
    /// Its connection is gone.
    gone: CancellationToken,
}

impl Visitor {
    fn answer(&self, key: &KeyData) -> Auth {
        match self.hall.door.knows(key) {
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
        self.hall.door.meters.logged_in(answer == Auth::Accept);
        Ok(answer)
    }

    async fn auth_succeeded(&mut self, _session: &mut Session) -> Result<(), Self::Error> {
        let place = self.hall.known.clone().try_acquire_owned();
        let place = place.map_err(|_| russh::Error::Disconnect)?;
        let told = self.known.take().map(|known| known.send(place));
        match told {
            Some(Ok(())) => Ok(()),
            _ => Err(russh::Error::Disconnect),
        }
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        let hall = self.hall.clone();
        let may = hall.begun.take(&(), Instant::now());
        let place = hall.door.sessions.clone().try_acquire_owned();
        let place = place.ok().filter(|_| may);
        let spare = hall.restart.clone().try_acquire_owned();
        let spare = spare.ok().filter(|_| place.is_none());
        if place.is_none() && spare.is_none() {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        }
        reply.accept().await;
        let gone = self.gone.clone();
        self.tasks.spawn(async move {
            session::attend(&hall.door.room, channel, &gone, place).await;
            drop(spare);
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
        let Ok(place) = self.hall.door.sessions.clone().try_acquire_owned() else {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        };
        let (hall, gone) = (self.hall.clone(), self.gone.clone());
        self.tasks.spawn(async move {
            let room = &hall.door.room;
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
