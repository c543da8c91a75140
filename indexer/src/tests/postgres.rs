//! A private PostgreSQL server per test process, and a database per test.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use mythic_postgres::Manner;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, chown};
use tokio::sync::OnceCell;

use crate::migrate;

/// The database that the others of a server are copies of.
const TEMPLATE: &str = "migrated";

/// A running server; stopped and removed when dropped.
pub struct Server {
    dir: tempfile::TempDir,
    /// Where data and socket are.
    home: Mutex<PathBuf>,
    child: Mutex<Child>,
    more: Vec<String>,
    /// Whether [`TEMPLATE`] is there.
    migrated: OnceCell<()>,
}

fn bin() -> PathBuf {
    let root = Path::new("/usr/lib/postgresql");
    let mut found: Vec<PathBuf> = std::fs::read_dir(root)
        .expect("tests need PostgreSQL under /usr/lib/postgresql: apt-get install postgresql")
        .filter_map(|e| Some(e.ok()?.path().join("bin")))
        .filter(|p| p.join("postgres").exists())
        .collect();
    found.sort();
    found.pop().expect("no postgres binary")
}

/// The program, run by a user that Postgres accepts.
pub fn command(name: &str) -> Command {
    let mut command = Command::new(bin().join(name));
    if nix::unistd::geteuid().is_root() {
        let user = unprivileged();
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    command
}

fn unprivileged() -> User {
    let named = |name| User::from_name(name).ok().flatten();
    named("postgres")
        .or_else(|| named("nobody"))
        .expect("an unprivileged user")
}

impl Server {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// With more arguments.
    pub fn start_with(more: &[&str]) -> Self {
        let more: Vec<String> = more.iter().map(|&one| one.to_owned()).collect();
        let dir = tempfile::Builder::new()
            .prefix("mypg")
            .tempdir_in("/tmp")
            .unwrap();
        if nix::unistd::geteuid().is_root() {
            let user = unprivileged();
            chown(dir.path(), Some(user.uid), Some(user.gid)).unwrap();
        }
        let data = dir.path().join("data");
        let out = command("initdb")
            .args([
                "-A",
                "trust",
                "-U",
                "mythic",
                "-N",
                "-E",
                "UTF8",
                "--locale=C",
                "-D",
            ])
            .arg(&data)
            .current_dir(dir.path())
            .output()
            .unwrap();
        assert!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stderr)
        );
        let child = Self::launch(dir.path(), &more);
        let server = Self {
            home: Mutex::new(dir.path().to_owned()),
            dir,
            child: Mutex::new(child),
            more,
            migrated: OnceCell::new(),
        };
        server.wait();
        server
    }

    fn launch(dir: &Path, more: &[String]) -> Child {
        let log = std::fs::File::create(dir.join("log")).unwrap();
        command("postgres")
            .arg("-D")
            .arg(dir.join("data"))
            .arg("-k")
            .arg(dir)
            .args([
                "-c",
                "listen_addresses=",
                "-c",
                "fsync=off",
                "-c",
                "max_connections=100",
                "-c",
                "shared_buffers=32MB",
            ])
            .args(more)
            .current_dir(dir)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    fn wait(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !command("pg_isready")
            .arg("-q")
            .arg("-h")
            .arg(self.home())
            .status()
            .unwrap()
            .success()
        {
            assert!(Instant::now() < deadline, "postgres does not start");
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// Stops at once, as a crash or a hurried operator does, and starts again.
    pub fn restart(&self) {
        self.stop();
        self.start_again();
    }

    /// Stops at once.
    pub fn stop(&self) {
        let mut child = self.child.lock().unwrap();
        kill(Pid::from_raw(child.id() as i32), Signal::SIGQUIT).unwrap();
        child.wait().unwrap();
    }

    /// Starts a stopped server.
    pub fn start_again(&self) {
        *self.child.lock().unwrap() = Self::launch(&self.home(), &self.more);
        self.wait();
    }

    /// Starts a stopped server at another place, with its data.
    pub fn start_elsewhere(&self) {
        let (from, to) = (self.home(), self.dir.path().join("elsewhere"));
        std::fs::create_dir(&to).unwrap();
        if nix::unistd::geteuid().is_root() {
            let user = unprivileged();
            chown(&to, Some(user.uid), Some(user.gid)).unwrap();
        }
        std::fs::rename(from.join("data"), to.join("data")).unwrap();
        *self.home.lock().unwrap() = to;
        self.start_again();
    }

    fn home(&self) -> PathBuf {
        self.home.lock().unwrap().clone()
    }

    /// The socket that it listens on.
    pub fn socket(&self) -> PathBuf {
        self.home().join(".s.PGSQL.5432")
    }

    /// CPU time of all processes of the server so far.
    pub fn cpu_seconds(&self) -> f64 {
        let pid = self.child.lock().unwrap().id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let running = children.unwrap_or_default();
        let running = running
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok());
        let (own, ended) = cpu_seconds(pid);
        own + ended + running.map(|pid| cpu_seconds(pid).0).sum::<f64>()
    }

    pub fn url(&self, database: &str) -> String {
        format!(
            "host={} user=mythic dbname={database}",
            self.home().display()
        )
    }
}

/// CPU time of a process: its own, and that of children it has waited for; seconds.
pub fn cpu_seconds(pid: u32) -> (f64, f64) {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: Vec<f64> = fields
        .split_whitespace()
        .skip(11)
        .take(4)
        .filter_map(|ticks| ticks.parse().ok())
        .collect();
    let sum = |ticks: &[f64]| ticks.iter().sum::<f64>() / 100.0;
    let (own, children) = ticks.split_at(ticks.len().min(2));
    (sum(own), sum(children))
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut child = self.child.lock().unwrap();
        let _ = kill(Pid::from_raw(child.id() as i32), Signal::SIGQUIT);
        let _ = child.wait();
    }
}

/// The server shared by the tests that run at the moment.
pub fn shared() -> Arc<Server> {
    static SERVER: Mutex<Weak<Server>> = Mutex::new(Weak::new());
    let mut slot = SERVER
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    slot.upgrade().unwrap_or_else(|| {
        let server = Arc::new(Server::start());
        *slot = Arc::downgrade(&server);
        server
    })
}

async fn admin(server: &Server) -> (tokio_postgres::Client, mythic_postgres::ConnectionGuard) {
    mythic_postgres::connect(&server.url("postgres"), &Manner::named("test"))
        .await
        .unwrap()
}

/// Makes a database that holds what another one does, which nobody may be using.
pub async fn copy(server: &Server, from: &str, to: &str) {
    let (admin, _guard) = admin(server).await;
    let deadline = Instant::now() + Duration::from_secs(60);
    // A session that has just ended still counts as a user.
    while let Err(e) = admin
        .batch_execute(&format!("CREATE DATABASE {to} TEMPLATE {from}"))
        .await
    {
        assert!(Instant::now() < deadline, "{e:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A migrated database of its own.
pub struct Database {
    pub url: String,
    pub client: tokio_postgres::Client,
    _guard: mythic_postgres::ConnectionGuard,
    server: Arc<Server>,
}

impl Database {
    pub async fn new(name: &str) -> Self {
        Self::on(shared(), name).await
    }

    pub async fn on(server: Arc<Server>, name: &str) -> Self {
        let make = || async { drop(Self::fresh(server.clone(), TEMPLATE).await) };
        server.migrated.get_or_init(make).await;
        copy(&server, TEMPLATE, name).await;
        Self::at(server, name).await
    }

    /// One that no other was copied to: every migration ran in it.
    pub async fn fresh(server: Arc<Server>, name: &str) -> Self {
        let (admin, _guard) = admin(&server).await;
        admin
            .batch_execute(&format!("CREATE DATABASE {name}"))
            .await
            .unwrap();
        migrate(&server.url(name)).await.unwrap();
        Self::at(server, name).await
    }

    /// One that is there.
    pub async fn at(server: Arc<Server>, name: &str) -> Self {
        let url = server.url(name);
        let (client, guard) = mythic_postgres::connect(&url, &Manner::named("test"))
            .await
            .unwrap();
        Self {
            url,
            client,
            _guard: guard,
            server,
        }
    }

    pub async fn reconnect(&mut self) {
        let (client, guard) = mythic_postgres::connect(&self.url, &Manner::named("test"))
            .await
            .unwrap();
        self.client = client;
        self._guard = guard;
    }

    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The first column of a query, as text.
    pub async fn texts(&self, sql: &str) -> Vec<String> {
        let rows = self
            .client
            .query(&format!("SELECT (q.*)::text FROM ({sql}) q"), &[])
            .await
            .unwrap_or_else(|e| panic!("{sql}: {e:?}"));
        rows.iter()
            .map(|row| row.get::<_, Option<String>>(0).unwrap_or_default())
            .collect()
    }
}
