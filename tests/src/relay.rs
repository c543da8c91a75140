//! The way between two machines, as far as one machine has one: a relay through which bytes come late, some of them much later, and
//! which stalls and breaks when it is told to.

use std::{
    net::{SocketAddr, TcpListener as StdListener},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Result;
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::{
    io::{self, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, sleep_until},
};

/// What TCP waits before it sends a lost packet again, at least.
const AGAIN: Duration = Duration::from_millis(200);
/// Pieces that are on the way at a time, in one direction of a connection, and their size.
const PIECES: usize = 64;
const PIECE: usize = 16 << 10;

/// What a way is like.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    pub delay: Duration,
    /// Up to so much more, at random.
    pub jitter: Duration,
    /// Share of the pieces that are lost, and come later for it.
    pub loss: f64,
}

impl Weather {
    /// Nothing comes late: what is to be late is so below.
    pub const CLEAR: Self = Self {
        delay: Duration::ZERO,
        jitter: Duration::ZERO,
        loss: 0.0,
    };
    /// Two data centres of one region, on a bad day.
    pub const ROUGH: Self = Self {
        delay: Duration::from_millis(5),
        jitter: Duration::from_millis(10),
        loss: 0.005,
    };
}

/// Where a way leads.
#[derive(Debug, Clone)]
enum To {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// One way.
#[derive(Debug, Clone)]
struct Way {
    to: To,
    weather: Weather,
}

/// What all ways of a test share.
#[derive(Debug)]
struct Shared {
    random: Mutex<StdRng>,
    /// Counts how often everything was cut.
    cuts: watch::Sender<u64>,
    /// Nothing goes on before.
    stalled: watch::Sender<Instant>,
}

impl Shared {
    fn late(&self, weather: Weather) -> Duration {
        let Weather {
            delay,
            jitter,
            loss,
        } = weather;
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        let again = match random.random_bool(loss) {
            true => AGAIN,
            false => Duration::ZERO,
        };
        delay + jitter.mul_f64(random.random_range(0.0..=1.0)) + again
    }
}

/// All ways of a test. Dropping it ends them.
#[derive(Debug)]
pub struct Ways {
    weather: Weather,
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

impl Ways {
    /// None yet; `weather` is that of ports.
    pub fn new(weather: Weather, seed: u64) -> Self {
        let shared = Shared {
            random: Mutex::new(StdRng::seed_from_u64(seed)),
            cuts: watch::channel(0).0,
            stalled: watch::channel(Instant::now()).0,
        };
        Self {
            weather,
            shared: Arc::new(shared),
            tasks: Vec::new(),
        }
    }

    /// One more, from a port that listens already.
    pub fn tcp(&mut self, from: StdListener, to: SocketAddr) -> Result<()> {
        from.set_nonblocking(true)?;
        let (listener, shared) = (TcpListener::from_std(from)?, self.shared.clone());
        let way = Way {
            to: To::Tcp(to),
            weather: self.weather,
        };
        self.tasks.push(tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let _ = near.set_nodelay(true);
                tokio::spawn(carry(near, way.clone(), shared.clone()));
            }
        }));
        Ok(())
    }

    /// One more, between two sockets of files, with a weather of its own: the kernel makes nothing late on these.
    pub fn unix(&mut self, from: &Path, to: &Path, weather: Weather) -> Result<()> {
        let (listener, shared) = (UnixListener::bind(from)?, self.shared.clone());
        let way = Way {
            to: To::Unix(to.to_path_buf()),
            weather,
        };
        self.tasks.push(tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(carry(near, way.clone(), shared.clone()));
            }
        }));
        Ok(())
    }

    /// Ends every connection; new ones can be made.
    pub fn cut(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Nothing goes on for this long, and then everything.
    pub fn stall(&self, time: Duration) {
        self.shared.stalled.send_replace(Instant::now() + time);
    }
}

impl Drop for Ways {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        self.cut();
    }
}

async fn carry(near: impl AsyncRead + AsyncWrite + Send, way: Way, shared: Arc<Shared>) {
    let mut cuts = shared.cuts.subscribe();
    let carried = async {
        match way.to {
            To::Tcp(to) => {
                let far = TcpStream::connect(to).await?;
                far.set_nodelay(true)?;
                both(near, far, way.weather, &shared).await
            }
            To::Unix(to) => {
                let far = UnixStream::connect(to).await?;
                both(near, far, way.weather, &shared).await
            }
        }
    };
    tokio::select! {
        // Whoever was connected sees the end of it.
        _ = carried => {}
        _ = cuts.changed() => {}
    }
}

async fn both(
    near: impl AsyncRead + AsyncWrite,
    far: impl AsyncRead + AsyncWrite,
    weather: Weather,
    shared: &Shared,
) -> io::Result<()> {
    let (from_near, to_near) = io::split(near);
    let (from_far, to_far) = io::split(far);
    tokio::try_join!(
        one_way(from_near, to_far, weather, shared),
        one_way(from_far, to_near, weather, shared)
    )?;
    Ok(())
}

async fn one_way(
    from: impl AsyncRead,
    to: impl AsyncWrite,
    weather: Weather,
    shared: &Shared,
) -> io::Result<()> {
    let (sent, mut arriving) = mpsc::channel::<(Instant, Vec<u8>)>(PIECES);
    let sending = async move {
        let mut from = std::pin::pin!(from);
        let mut buffer = vec![0; PIECE];
        let mut last = Instant::now();
        loop {
            let length = from.read(&mut buffer).await?;
            if length == 0 {
                return Ok::<(), io::Error>(());
            }
            // In order: what is late holds up what comes after it.
            last = last.max(Instant::now() + shared.late(weather));
            if sent.send((last, buffer[..length].to_vec())).await.is_err() {
                return Ok(());
            }
        }
    };
    let receiving = async move {
        let mut to = std::pin::pin!(to);
        while let Some((due, bytes)) = arriving.recv().await {
            sleep_until(due).await;
            // It may be stalled again meanwhile.
            loop {
                let until = *shared.stalled.borrow();
                if until <= Instant::now() {
                    break;
                }
                sleep_until(until).await;
            }
            to.write_all(&bytes).await?;
        }
        to.shutdown().await
    };
    tokio::try_join!(sending, receiving)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that sends back what it gets.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = socket.into_split();
                    io::copy(&mut read, &mut write).await
                });
            }
        });
        at
    }

    #[tokio::test]
    async fn bytes_come_late_and_in_order_and_a_cut_ends_the_connection() {
        let weather = Weather {
            delay: Duration::from_millis(20),
            jitter: Duration::from_millis(5),
            loss: 0.2,
        };
        let mut ways = Ways::new(weather, 7);
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        ways.tcp(listener, echo().await).unwrap();
        let mut socket = TcpStream::connect(at).await.unwrap();
        let sent: Vec<u8> = (0..200_000u32).map(|n| n as u8).collect();
        let started = Instant::now();
        let mut back = vec![0; sent.len()];
        let (mut read, mut write) = socket.split();
        let (written, read) = tokio::join!(write.write_all(&sent), read.read_exact(&mut back));
        written.unwrap();
        read.unwrap();
        assert!(back == sent && started.elapsed() >= 2 * weather.delay);

        ways.stall(Duration::from_millis(150));
        let started = Instant::now();
        socket.write_all(b"x").await.unwrap();
        socket.read_exact(&mut [0]).await.unwrap();
        assert!(started.elapsed() >= Duration::from_millis(150));

        ways.cut();
        assert!(matches!(socket.read(&mut [0; 8]).await, Ok(0) | Err(_)));
        let mut again = TcpStream::connect(at).await.unwrap();
        again.write_all(b"y").await.unwrap();
        again.read_exact(&mut [0]).await.unwrap();
    }
}
