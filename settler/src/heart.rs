//! Says every few seconds in the database (`pipeline.heartbeat`) how the settler is doing, on a connection of its own: a turn
//! may take minutes.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use mythic_postgres::{Manner, PostgresError, connect};
use mythic_support::Backoff;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::trouble::Trouble;

/// Pause between two beats.
const BEAT: Duration = Duration::from_secs(5);
/// A database that takes longer to take a beat is given up, and connected again.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the loop last said of itself.
#[derive(Clone, Debug)]
pub(crate) struct Heart(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// What keeps it from working, and the message.
    waits_for: Option<(Trouble, String)>,
    at: Instant,
    /// A loop that says nothing for this long hangs.
    longest: Duration,
}

impl Heart {
    /// A loop that has just begun, and speaks at least every `longest`.
    pub fn new(longest: Duration) -> Self {
        Self(Arc::new(Mutex::new(State {
            waits_for: Some((Trouble::Starting, "no turn has ended yet".into())),
            at: Instant::now(),
            longest,
        })))
    }

    /// A turn ended, well or with an error.
    pub fn turned(&self, waits_for: Option<(Trouble, String)>) {
        let mut state = self.state();
        state.waits_for = waits_for;
        state.at = Instant::now();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What keeps it from working; `None` while it works.
    pub fn waits_for(&self) -> Option<(Trouble, String)> {
        let state = self.state();
        let silent = state.at.elapsed();
        match silent > state.longest {
            true => Some((
                Trouble::Hangs,
                format!("no turn ended for {} s", silent.as_secs()),
            )),
            false => state.waits_for.clone(),
        }
    }

    /// Beats until `stop`.
    pub async fn beat(self, url: String, stop: CancellationToken) {
        let mut backoff = Backoff::new(Duration::from_millis(500), BEAT);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                outcome = self.session(&url, &mut backoff) => if let Err(error) = outcome {
                    tracing::debug!("no heartbeat: {error}");
                }
            }
            if !backoff.wait(&stop).await {
                return;
            }
        }
    }

    async fn session(&self, url: &str, backoff: &mut Backoff) -> Result<(), PostgresError> {
        let (client, _guard) = connect(url, &Manner::named("mythic settler heart")).await?;
        loop {
            let waits_for = self
                .waits_for()
                .map(|(trouble, message)| format!("{}: {message}", trouble.as_str()));
            let working = waits_for.is_none();
            let beat = async {
                let sql = "SELECT pipeline.beat('settler', $1, $2)";
                Ok(client.execute(sql, &[&working, &waits_for]).await?)
            };
            timeout(PATIENCE, beat)
                .await
                .unwrap_or(Err(PostgresError::NoAnswer(PATIENCE)))?;
            backoff.reset();
            sleep(BEAT).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mythic_postgres::{Cluster, ClusterConfig};

    #[tokio::test]
    async fn what_the_loop_says_stands_in_the_database_and_a_silent_loop_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let cluster = Cluster::start(ClusterConfig {
            data_dir: dir.path().join("pg"),
            port: None,
        })
        .await
        .unwrap();
        mythic_indexer::migrate(cluster.url()).await.unwrap();
        let (client, _guard) = connect(cluster.url(), &Manner::named("test"))
            .await
            .unwrap();
        let shown = async || -> Option<(bool, Option<String>)> {
            let sql = "SELECT working, error FROM pipeline.heartbeat WHERE process = 'settler' AND beat_at > now() - interval '30 s'";
            let row = client.query_opt(sql, &[]).await.unwrap()?;
            Some((row.get(0), row.get(1)))
        };
        let eventually = async |wanted: (bool, Option<&str>)| {
            let deadline = Instant::now() + Duration::from_secs(60);
            let wanted = Some((wanted.0, wanted.1.map(String::from)));
            while shown().await != wanted {
                assert!(Instant::now() < deadline, "never: {wanted:?}");
                sleep(Duration::from_millis(50)).await;
            }
        };
        let stop = CancellationToken::new();
        let heart = Heart::new(Duration::from_secs(3600));
        let task = tokio::spawn(heart.clone().beat(cluster.url().into(), stop.clone()));
        eventually((false, Some("starting: no turn has ended yet"))).await;
        let trouble = (Trouble::RpcAway, "chain RPC: connection refused".to_owned());
        heart.turned(Some(trouble));
        eventually((false, Some("rpc_away: chain RPC: connection refused"))).await;
        heart.turned(None);
        eventually((true, None)).await;
        stop.cancel();
        task.await.unwrap();
        let silent = Heart::new(Duration::ZERO);
        let (trouble, message) = silent.waits_for().unwrap();
        assert_eq!(
            (trouble, message.as_str()),
            (Trouble::Hangs, "no turn ended for 0 s")
        );
        cluster.stop().await.unwrap();
    }
}
