//! Published ports: whatever connects to one is connected to the container's, so that nobody else's connections get there.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::runtime::Runtime;

/// Connections of one port at once.
const CONNECTIONS: usize = 256;
/// Pause after a connection that could not be taken: too many files are open, most likely.
const PAUSE: Duration = Duration::from_millis(100);

/// A port that is published.
pub struct Port {
    pub runtime: Arc<dyn Runtime>,
    pub id: String,
    /// Its number inside.
    pub inside: u16,
    /// Ends it with its lease.
    pub ended: CancellationToken,
}

impl Port {
    /// Connects whoever comes until the lease ends.
    pub async fn serve(self, listener: TcpListener) {
        let (port, places) = (Arc::new(self), Arc::new(Semaphore::new(CONNECTIONS)));
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = port.ended.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            // Who finds no place is told so by the end of its connection.
            let Ok(place) = places.clone().try_acquire_owned() else {
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

    async fn connect(&self, mut outside: TcpStream) {
        let joined = async {
            match self.runtime.dial(&self.id, self.inside).await {
                Ok(mut inside) => {
                    let _ = copy_bidirectional(&mut outside, &mut inside).await;
                }
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
