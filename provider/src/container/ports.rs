//! Published ports: whatever connects to one is connected to the container's, so that nobody else's connections get there.

use std::{
    io,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use mythic_wire::allowance::Allowance;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::runtime::Runtime;
use crate::serve::address;

/// Connections of all ports of a lease at once.
const CONNECTIONS: usize = 256;
/// Connections that an address may begin at once, and how fast it may begin more; addresses that are counted at a time.
const KNOCKS: u32 = 128;
const KNOCK_EVERY: Duration = Duration::from_millis(50);
const KNOCKERS: usize = 4_096;
/// Pause after a connection that could not be taken: too many files are open, most likely.
const PAUSE: Duration = Duration::from_millis(100);
/// Bytes that are passed on at once.
const CHUNK: usize = 16 << 10;

/// Who comes to the ports of a lease.
#[derive(Debug)]
pub struct Crowd {
    places: Arc<Semaphore>,
    knocks: Allowance<IpAddr>,
}

impl Default for Crowd {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(CONNECTIONS)),
            knocks: Allowance::new(KNOCKS, KNOCK_EVERY, KNOCKERS),
        }
    }
}

/// A port that is published.
pub struct Port {
    pub runtime: Arc<dyn Runtime>,
    pub id: String,
    /// Its number inside.
    pub inside: u16,
    /// Shared by all of the lease.
    pub crowd: Arc<Crowd>,
    /// How long nothing may pass on a connection.
    pub idle: Duration,
    /// Ends it with its lease.
    pub ended: CancellationToken,
}

impl Port {
    /// Connects whoever comes until the lease ends.
    pub async fn serve(self, listener: TcpListener) {
        let port = Arc::new(self);
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = port.ended.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            let Ok((stream, peer)) = accepted else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let crowd = &port.crowd;
            // Who finds no place is told so by the end of its connection.
            let may = crowd
                .knocks
                .take(&address::group(peer.ip()), Instant::now());
            let place = crowd.places.clone().try_acquire_owned();
            let Some(place) = place.ok().filter(|_| may) else {
                continue;
            };
            let port = port.clone();
            connections.spawn(async move {
                port.connect(stream).await;
                drop(place);
            });
        }
        drop(listener);
        connections.close();
        connections.wait().await;
    }

    async fn connect(&self, outside: TcpStream) {
        let joined = async {
            match self.runtime.dial(&self.id, self.inside).await {
                Ok(inside) => join(outside, inside, self.idle).await,
                Err(error) => {
                    tracing::debug!(
                        lease = self.id,
                        port = self.inside,
                        "not connected: {error:#}"
                    );
                }
            }
        };
        tokio::select! {
            () = joined => {}
            () = self.ended.cancelled() => {}
        }
    }
}

/// Passes bytes on in both directions until both have ended, or nothing passes for too long.
async fn join(mut outside: TcpStream, mut inside: TcpStream, idle: Duration) {
    let last = Mutex::new(Instant::now());
    let (mut from_outside, mut to_outside) = outside.split();
    let (mut from_inside, mut to_inside) = inside.split();
    let both = async {
        tokio::try_join!(
            pass(&mut from_outside, &mut to_inside, &last),
            pass(&mut from_inside, &mut to_outside, &last),
        )
    };
    let silence = async {
        loop {
            let silent = last.lock().elapsed();
            let Some(left) = idle.checked_sub(silent) else {
                return;
            };
            tokio::time::sleep(left).await;
        }
    };
    tokio::select! {
        _ = both => {}
        () = silence => {}
    }
}

async fn pass(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    last: &Mutex<Instant>,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let count = from.read(&mut chunk).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(chunk.get(..count).unwrap_or_default()).await?;
        *last.lock() = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (one, other) = tokio::join!(TcpStream::connect(address), listener.accept());
        (one.unwrap(), other.unwrap().0)
    }

    #[tokio::test]
    async fn each_direction_ends_by_itself_and_both_by_silence() {
        let ((mut client, outside), (inside, mut service)) = (pair().await, pair().await);
        let joined = tokio::spawn(join(outside, inside, Duration::from_secs(5)));
        client.write_all(b"ping").await.unwrap();
        client.shutdown().await.unwrap();
        let mut asked = Vec::new();
        service.read_to_end(&mut asked).await.unwrap();
        assert_eq!(asked, b"ping");
        service.write_all(b"pong").await.unwrap();
        let mut said = [0; 4];
        client.read_exact(&mut said).await.unwrap();
        assert_eq!(&said, b"pong");
        // Neither says anything any more, nor goes.
        let ended = tokio::time::timeout(PATIENCE, joined).await;
        ended.expect("silence ends it").unwrap();
        assert_eq!(client.read(&mut said).await.unwrap(), 0);
    }

    #[test]
    fn one_address_does_not_begin_all_connections_at_once() {
        let crowd = Crowd::default();
        let (now, of) = (Instant::now(), |n: u8| IpAddr::from([192, 0, 2, n]));
        let begun = (0..CONNECTIONS).filter(|_| crowd.knocks.take(&of(1), now));
        assert_eq!(begun.count(), KNOCKS as usize);
        assert!(crowd.knocks.take(&of(2), now));
    }
}
