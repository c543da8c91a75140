//! What a process tells systemd, heard on a socket in systemd's place.

use mythic_postgres::{Cluster, ClusterConfig};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    os::unix::net::UnixDatagram,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(120);

struct Supervised {
    child: Child,
    socket: UnixDatagram,
}

impl Supervised {
    /// `mythic indexer` on a database, pinging every fifth of a second.
    fn indexer(dir: &Path, database_url: &str) -> Self {
        let path = dir.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_mythic"))
            .arg("indexer")
            .env("NOTIFY_SOCKET", &path)
            .env("WATCHDOG_USEC", "600000")
            .env_remove("WATCHDOG_PID")
            .env("MYTHIC_INDEXER__DATABASE_URL", database_url)
            .env("MYTHIC_INDEXER__SPOOL_DIR", dir.join("spool"))
            .env("MYTHIC_INDEXER__METRICS_ADDR", "127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, socket }
    }

    /// What is said next, if anything before `until`.
    fn hears(&self, until: Instant) -> Option<String> {
        let mut bytes = [0; 1024];
        while Instant::now() < until {
            if let Ok(length) = self.socket.recv(&mut bytes) {
                return Some(String::from_utf8_lossy(&bytes[..length]).trim().to_owned());
            }
        }
        None
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).unwrap();
        kill(Pid::from_raw(pid), signal).unwrap();
    }

    /// What is said from a stop on, pings left out, and the exit code.
    fn stops(mut self) -> (Vec<String>, Option<i32>) {
        self.signal(Signal::SIGTERM);
        let until = Instant::now() + PATIENCE;
        let mut said = Vec::new();
        let status = loop {
            said.extend(self.hears(Instant::now() + Duration::from_millis(200)));
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < until, "it does not stop");
        };
        while let Some(one) = self.hears(Instant::now() + Duration::from_millis(200)) {
            said.push(one);
        }
        said.retain(|one| one != "WATCHDOG=1");
        (said, status.code())
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn systemd_hears_of_readiness_of_life_and_of_a_stop() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(ClusterConfig {
        data_dir: dir.path().join("pg"),
        port: None,
    })
    .await
    .unwrap();
    let indexer = Supervised::indexer(dir.path(), cluster.url());
    let until = Instant::now() + PATIENCE;
    assert_eq!(indexer.hears(until).as_deref(), Some("READY=1"));
    for _ in 0..5 {
        assert_eq!(indexer.hears(until).as_deref(), Some("WATCHDOG=1"));
    }
    let (said, code) = indexer.stops();
    assert_eq!((said, code), (vec!["STOPPING=1".to_owned()], Some(0)));
    cluster.stop().await.unwrap();
}

#[test]
fn a_process_that_waits_for_its_database_is_not_ready() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = format!("host={} user=mythic dbname=mythic", dir.path().display());
    let indexer = Supervised::indexer(dir.path(), &nowhere);
    assert_eq!(indexer.hears(Instant::now() + Duration::from_secs(8)), None);
    let (said, code) = indexer.stops();
    assert_eq!((said, code), (vec!["STOPPING=1".to_owned()], Some(0)));
}
