//! A private PostgreSQL cluster in a data directory, run from the system's own binaries: made once,
//! started, watched, stopped. Reached through a Unix socket that only its user and root can open, and on request
//! through a loopback port with a read-only role.
//!
//! - `binaries`, `user`: what is run, and as whom; `home`: where the data lie; `place`: files and how the
//!   process is started; `process`: finding and stopping it
//! - `roles`: what the read-only role may do, and who sees to it

mod binaries;
mod config;
mod error;
mod home;
mod place;
mod process;
mod roles;
mod secret;
mod user;

use std::{fs, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use tokio::{
    process::Child,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

pub use binaries::{Binaries, find_binaries};
pub use config::{ClusterConfig, OLDEST_VERSION};
pub use error::ClusterError;

use config::{DATABASE, SUPERUSER};
use mythic_support::Backoff;
use place::{Place, prepare};
use process::{STOP_PATIENCE, running_pid};

/// Recovery after a crash may replay a good deal of log.
const START_PATIENCE: Duration = Duration::from_secs(300);
/// Characters of a path that a URL's host keeps.
const HOST: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');

/// A running private cluster. Dropping it asks the server to stop; [`Cluster::stop`] waits for it.
#[derive(Debug)]
pub struct Cluster {
    place: Place,
    url: String,
    readonly_url: String,
    stop: CancellationToken,
    watcher: Option<JoinHandle<()>>,
}

impl Cluster {
    /// Makes the cluster if there is none, starts it, waits until it answers, and makes database and roles. A server
    /// that an earlier run left behind in this directory is stopped first.
    pub async fn start(config: ClusterConfig) -> Result<Self, ClusterError> {
        let place = prepare(&config).await?;
        let mut child = place.launch()?;
        let log = place.log.clone();
        let admin = connect(&place, &mut child, "postgres").await?;
        let password = roles::password(&config.data_dir)?;
        roles::make(&admin, &password).await?;
        drop(admin);
        let inside = connect(&place, &mut child, DATABASE).await?;
        roles::restrict(&inside).await?;
        drop(inside);
        let socket = percent_encode(place.socket_dir.as_os_str().as_encoded_bytes(), HOST);
        let port = place.port;
        let url = format!("postgresql://{SUPERUSER}@{socket}:{port}/{DATABASE}");
        let readonly_url = match place.listens {
            true => format!("postgresql://analyst:{password}@127.0.0.1:{port}/{DATABASE}"),
            false => format!("postgresql://analyst@{socket}:{port}/{DATABASE}"),
        };
        let stop = CancellationToken::new();
        tokio::spawn(roles::guard(url.clone(), password, stop.clone()));
        let watcher = tokio::spawn(watch(place.clone(), child, stop.clone()));
        tracing::info!(version = place.binaries.version, log = %log.display(), "database ready");
        Ok(Self {
            place,
            url,
            readonly_url,
            stop,
            watcher: Some(watcher),
        })
    }

    /// URL of the database with all rights, over the socket.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// URL of the read-only role `analyst`: over the loopback port with its password if there is one.
    pub fn readonly_url(&self) -> &str {
        &self.readonly_url
    }

    /// The loopback port, if one is open.
    pub fn port(&self) -> Option<u16> {
        self.place.listens.then_some(self.place.port)
    }

    /// Stops the server: sessions are ended, everything is flushed.
    pub async fn stop(mut self) -> Result<(), ClusterError> {
        self.stop.cancel();
        if let Some(watcher) = self.watcher.take() {
            let _ = watcher.await;
        }
        // Empty now, unless something else was put there.
        let _ = fs::remove_dir(&self.place.socket_dir);
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Without a runtime that goes on, the watcher can't: tell the server directly.
        if self.watcher.is_some()
            && let Some(pid) = running_pid(&self.place.data)
        {
            self.stop.cancel();
            let _ = kill(pid, Signal::SIGINT);
        }
    }
}

/// Restarts a server that ends by itself, until told to stop it.
async fn watch(place: Place, mut child: Child, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => {
                end(&mut child).await;
                return;
            }
            status = child.wait() => {
                tracing::error!(?status, log = %place.log.display(), "the database ended; starting it again");
            }
        }
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
        child = loop {
            if !backoff.wait(&stop).await {
                return;
            }
            match place.launch() {
                Ok(child) => break child,
                Err(e) => tracing::error!("{e}"),
            }
        };
    }
}

/// Fast shutdown, then immediate.
async fn end(child: &mut Child) {
    for signal in [Signal::SIGINT, Signal::SIGQUIT] {
        let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()) else {
            return;
        };
        let _ = kill(Pid::from_raw(pid), signal);
        if timeout(STOP_PATIENCE, child.wait()).await.is_ok() {
            return;
        }
        tracing::warn!("the database did not stop on {signal}");
    }
    let _ = child.kill().await;
}

/// Waits until the server answers.
async fn connect(
    place: &Place,
    child: &mut Child,
    database: &str,
) -> Result<tokio_postgres::Client, ClusterError> {
    let mut config = tokio_postgres::Config::new();
    config
        .host_path(&place.socket_dir)
        .port(place.port)
        .user(SUPERUSER)
        .dbname(database);
    let deadline = Instant::now() + START_PATIENCE;
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Err(place.start_error(format!("it ended with {status}")));
        }
        match config.connect(tokio_postgres::NoTls).await {
            Ok((client, connection)) => {
                tokio::spawn(connection);
                return Ok(client);
            }
            Err(e) if Instant::now() > deadline => {
                end(child).await;
                return Err(place.start_error(format!(
                    "it did not answer in {} s ({e})",
                    START_PATIENCE.as_secs()
                )));
            }
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    async fn one(url: &str, sql: &str) -> Result<i32, tokio_postgres::Error> {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        Ok(client.query_one(sql, &[]).await?.get(0))
    }

    #[tokio::test]
    async fn a_cluster_is_made_survives_a_kill_and_keeps_its_data() {
        let dir = tempfile::tempdir().unwrap();
        // As root, a directory that the server's user can't enter.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let config = ClusterConfig {
            data_dir: dir.path().join("pg"),
            port: Some(0),
        };
        let cluster = Cluster::start(config.clone()).await.unwrap();
        let (client, connection) = tokio_postgres::connect(cluster.url(), tokio_postgres::NoTls)
            .await
            .unwrap();
        tokio::spawn(connection);
        client
            .batch_execute("CREATE TABLE t AS SELECT 42 AS x; GRANT SELECT ON t TO mythic_reader")
            .await
            .unwrap();
        assert_eq!(
            one(cluster.readonly_url(), "SELECT x FROM public.t")
                .await
                .unwrap(),
            42
        );
        assert!(
            one(cluster.readonly_url(), "DELETE FROM public.t RETURNING x")
                .await
                .is_err()
        );
        let wrong = cluster.readonly_url().replace("analyst:", "analyst:x");
        assert!(one(&wrong, "SELECT 1").await.is_err());
        // Whoever kills the server finds it running again.
        let pid = running_pid(&cluster.place.data).unwrap();
        kill(pid, Signal::SIGKILL).unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while one(cluster.url(), "SELECT x FROM t").await.ok() != Some(42)
            || running_pid(&cluster.place.data) == Some(pid)
        {
            assert!(Instant::now() < deadline, "the server did not come back");
            sleep(Duration::from_millis(100)).await;
        }
        // A run that was itself killed leaves the server behind: the next one takes over.
        let left = running_pid(&cluster.place.data).unwrap();
        if let Some(watcher) = &cluster.watcher {
            watcher.abort();
        }
        std::mem::forget(cluster);
        let again = Cluster::start(config.clone()).await.unwrap();
        assert_ne!(running_pid(&again.place.data), Some(left));
        assert_eq!(one(again.url(), "SELECT x FROM t").await.unwrap(), 42);
        let data = again.place.data.clone();
        again.stop().await.unwrap();
        assert_eq!(running_pid(&data), None);
        // Removing the directory starts over, wherever the data lie.
        fs::remove_dir_all(dir.path().join("pg")).unwrap();
        let fresh = Cluster::start(ClusterConfig {
            port: None,
            ..config
        })
        .await
        .unwrap();
        assert!(one(fresh.url(), "SELECT x FROM t").await.is_err());
        assert_eq!(fresh.port(), None);
        assert_eq!(one(fresh.readonly_url(), "SELECT 7").await.unwrap(), 7);
        let data = fresh.place.data.clone();
        fresh.stop().await.unwrap();
        drop(dir);
        if data.starts_with(home::OUTSIDE) {
            home::remove_orphans().await;
            assert!(!data.exists());
        }
    }
}
