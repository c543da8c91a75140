//! The accept loop.

use std::{io, sync::Arc, time::Duration};

use axum::{Router, http::StatusCode};
use mythic_support::Backoff;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    connection::Connection,
    limits::Limits,
    places::{Full, Places},
    refusal,
};

/// First and longest pause after a failed `accept`, usually for want of file descriptors.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Serves `router` over HTTP/1.1 until `stop`; then no connection is taken any more, requests under way have
/// `limits.drain_seconds` to end, and what is left is cut.
///
/// Requests carry [`crate::RequestId`] and `ConnectInfo<SocketAddr>` among their extensions, and every response has an `x-request-id`.
///
/// # Errors
/// `InvalidInput` if the limits are not valid. A failing `accept` is retried.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
) -> io::Result<()> {
    limits
        .validate()
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let limits = Arc::new(limits);
    let places = Places::default();
    let (tasks, cut) = (TaskTracker::new(), CancellationToken::new());
    let mut backoff = Backoff::new(PAUSE.0, PAUSE.1);
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            // The client hung up between its SYN and our accept.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => {
                tracing::warn!(%error, "accepting a connection");
                // A stop during the pause is seen at the next turn.
                backoff.wait(&stop).await;
                continue;
            }
        };
        backoff.reset();
        let place = match places.take(peer.ip(), &limits) {
            Ok(place) => place,
            Err(full) => {
                turn_away(&stream, full);
                continue;
            }
        };
        prepare(&stream, &limits);
        let connection = Connection::new(stream, peer, limits.clone(), router.clone());
        let (stop, cut) = (stop.clone(), cut.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = connection.run(place, stop) => {}
                () = cut.cancelled() => {}
            }
        });
    }
    drop(listener);
    tasks.close();
    if tokio::time::timeout(limits.drain_time(), tasks.wait())
        .await
        .is_err()
    {
        tracing::info!(connections = tasks.len(), "cutting what has not ended");
        cut.cancel();
        tasks.wait().await;
    }
    Ok(())
}

fn prepare(stream: &TcpStream, limits: &Limits) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY");
    }
    // A host that vanished acknowledges nothing: the kernel gives up on it as a stalled reader is given up.
    #[cfg(target_os = "linux")]
    if let Err(error) =
        socket2::SockRef::from(stream).set_tcp_user_timeout(Some(limits.write_time()))
    {
        tracing::debug!(%error, "TCP_USER_TIMEOUT");
    }
}

/// Tells why in one try, and closes.
fn turn_away(stream: &TcpStream, full: Full) {
    let words = match full {
        Full::Listener => refusal::last_words(
            StatusCode::SERVICE_UNAVAILABLE,
            "too_many_connections",
            "the server has as many connections as it takes; try again shortly",
        ),
        Full::Address => refusal::last_words(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_connections",
            "your address has as many connections as it may; use one of them again",
        ),
    };
    let _ = stream.try_write(&words);
}
