//! How processes are asked to stop.

use crate::supervised;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that SIGINT or SIGTERM cancels.
pub fn shutdown() -> CancellationToken {
    let token = CancellationToken::new();
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        match signal(kind) {
            Ok(mut signal) => {
                let token = token.clone();
                tokio::spawn(async move {
                    signal.recv().await;
                    token.cancel();
                    supervised::stopping();
                });
            }
            Err(error) => tracing::warn!("no handler for a stop signal: {error}"),
        }
    }
    token
}
