//! A private PostgreSQL cluster: own data directory, Unix socket, no TCP unless a loopback port for analysts is asked for.
//! Started from the system's own binaries, as an unprivileged user where this process is root, and started again if it dies.

use std::{
    fmt,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Gid, Pid, Uid, User, chown},
};
use sha2::{Digest, Sha256};
use tokio::{
    process::{Child, Command},
    task::JoinHandle,
};
use tokio_postgres::NoTls;
use tokio_util::sync::CancellationToken;

/// Oldest PostgreSQL that is used.
const LEAST_VERSION: u32 = 15;
/// Longest path of a Unix socket, bytes, its zero excluded (`sun_path` of unix(7)).
const SOCKET_LIMIT: usize = 107;
const START_PATIENCE: Duration = Duration::from_secs(60);
const STOP_PATIENCE: Duration = Duration::from_secs(20);
const RESTART_PAUSE: Duration = Duration::from_millis(300);
const OWNER: &str = "mythic";
const ANALYST: &str = "analyst";

/// Why there is no database.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error(
        "no PostgreSQL {LEAST_VERSION} or later: install it (Debian, Ubuntu: apt-get install postgresql), or put initdb and postgres on PATH{0}"
    )]
    NotFound(String),
    #[error("{what} {path}: {source}")]
    Io { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error("PostgreSQL refuses to run as root, and there is neither a user `postgres` nor `nobody` to run it as")]
    NoUser,
    #[error("the socket path {0} is longer than {SOCKET_LIMIT} bytes; set XDG_RUNTIME_DIR to a shorter directory")]
    SocketPath(PathBuf),
    #[error("initdb failed in {path}: {message}")]
    Init { path: PathBuf, message: String },
    #[error("PostgreSQL did not come up within {} s; the end of {log}:\n{tail}", START_PATIENCE.as_secs())]
    NotUp { log: PathBuf, tail: String },
    #[error("database: {0}")]
    Database(#[from] tokio_postgres::Error),
    #[error("{0} does not hold a password of letters and digits; remove it to have a new one made")]
    Password(PathBuf),
}

/// Where a cluster lives.
#[derive(Clone, Debug, Default)]
pub struct ClusterConfig {
    /// Its directory; made if missing.
    pub data_dir: PathBuf,
    /// Loopback port for the read-only role; `None` = no TCP at all.
    pub port: Option<u16>,
}

/// PostgreSQL's programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    /// Directory of `initdb` and `postgres`.
    pub dir: PathBuf,
    /// Major version.
    pub version: u32,
}

impl fmt::Display for Binaries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.version, self.dir.display())
    }
}

/// The newest PostgreSQL of this machine: Debian's directories first, then `PATH`.
pub fn find_binaries() -> Result<Binaries, ClusterError> {
    let complete = |dir: &Path| ["initdb", "postgres"].iter().all(|name| dir.join(name).is_file());
    let mut found: Vec<Binaries> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some(Binaries { version: entry.file_name().to_str()?.parse().ok()?, dir: entry.path().join("bin") }))
        .filter(|binaries| complete(&binaries.dir))
        .collect();
    let path = std::env::var_os("PATH").unwrap_or_default();
    for dir in std::env::split_paths(&path).filter(|dir| complete(dir)) {
        let output = std::process::Command::new(dir.join("postgres")).arg("--version").output();
        let version = output.ok().and_then(|output| {
            let text = String::from_utf8(output.stdout).ok()?;
            text.split(|c: char| !c.is_ascii_digit()).find(|word| !word.is_empty())?.parse().ok()
        });
        found.extend(version.map(|version| Binaries { dir, version }));
    }
    let newest = found.into_iter().max_by_key(|binaries| binaries.version);
    match newest {
        Some(binaries) if binaries.version >= LEAST_VERSION => Ok(binaries),
        Some(old) => Err(ClusterError::NotFound(format!(" (found only {old})"))),
        None => Err(ClusterError::NotFound(String::new())),
    }
}

/// Directories and user of one cluster.
#[derive(Clone, Debug)]
struct Place {
    data: PathBuf,
    socket_dir: PathBuf,
    log: PathBuf,
    /// Whom to run as; `None` = as we are.
    user: Option<(Uid, Gid)>,
}

impl Place {
    fn of(data_dir: &Path) -> Result<Self, ClusterError> {
        std::fs::create_dir_all(data_dir).map_err(|source| io("making", data_dir, source))?;
        let asked = data_dir.canonicalize().map_err(|source| io("finding", data_dir, source))?;
        let digest = hex::encode(Sha256::digest(asked.as_os_str().as_encoded_bytes()));
        let tag = digest.get(..16).unwrap_or(&digest);
        let user = if Uid::effective().is_root() { Some(unprivileged()?) } else { None };
        // A directory under /root, say, can't be entered by the database's user: then its data lies under /var/lib.
        let home = if user.is_none() || enterable(&asked) { asked } else { Path::new("/var/lib/mythic").join(tag) };
        let runtime = match (&user, std::env::var_os("XDG_RUNTIME_DIR")) {
            (None, Some(dir)) if Path::new(&dir).is_dir() => PathBuf::from(dir),
            (None, _) => std::env::temp_dir(),
            (Some(_), _) => PathBuf::from("/run"),
        };
        let socket_dir = runtime.join(format!("mythic-{tag}"));
        let socket = socket_dir.join(".s.PGSQL.65535");
        if socket.as_os_str().len() > SOCKET_LIMIT {
            return Err(ClusterError::SocketPath(socket));
        }
        Ok(Self { data: home.join("data"), log: home.join("postgres.log"), socket_dir, user })
    }

    /// Makes a directory that only the database's user may enter.
    fn make_dir(&self, path: &Path) -> Result<(), ClusterError> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|source| io("making", parent, source))?;
        }
        match std::fs::DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(io("making", path, error)),
            _ => {}
        }
        // Someone else's directory under a shared one (/tmp) would be a trap.
        let meta = std::fs::symlink_metadata(path).map_err(|source| io("reading", path, source))?;
        let (uid, gid) = self.user.unwrap_or((Uid::effective(), Gid::effective()));
        if !meta.is_dir() || (meta.uid() != uid.as_raw() && !Uid::effective().is_root()) {
            return Err(io("taking", path, std::io::Error::other("it belongs to another user")));
        }
        chown(path, Some(uid), Some(gid)).map_err(|source| io("giving away", path, source.into()))?;
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o700)).map_err(|source| io("closing", path, source))
    }

    fn command(&self, program: &Path) -> Command {
        // The database stops when this process dies, however it dies.
        let setpriv = ["/usr/bin/setpriv", "/bin/setpriv"].into_iter().find(|path| Path::new(path).is_file());
        let mut command = match setpriv {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", "INT", "--"]).arg(program);
                command
            }
            None => Command::new(program),
        };
        if let Some((uid, gid)) = self.user {
            command.uid(uid.as_raw()).gid(gid.as_raw());
        }
        command.current_dir(self.data.parent().unwrap_or(Path::new("/"))).stdin(Stdio::null()).env_remove("PGDATA");
        command
    }
}

fn io(what: &'static str, path: &Path, source: std::io::Error) -> ClusterError {
    ClusterError::Io { what, path: path.to_owned(), source }
}

fn unprivileged() -> Result<(Uid, Gid), ClusterError> {
    ["postgres", "nobody"]
        .iter()
        .find_map(|name| User::from_name(name).ok().flatten())
        .map(|user| (user.uid, user.gid))
        .ok_or(ClusterError::NoUser)
}

/// Whether everybody may pass through all ancestors.
fn enterable(path: &Path) -> bool {
    path.ancestors().all(|dir| std::fs::metadata(dir).is_ok_and(|meta| meta.permissions().mode() & 0o001 != 0))
}

/// A running cluster. Dropping it stops the database too, without waiting.
#[derive(Debug)]
pub struct Cluster {
    url: String,
    readonly_url: String,
    stop: CancellationToken,
    keeper: Option<JoinHandle<()>>,
}

impl Cluster {
    /// Initialises the cluster if it is new, starts it and waits until it answers.
    pub async fn start(config: ClusterConfig) -> Result<Self, ClusterError> {
        let binaries = find_binaries()?;
        let place = Place::of(&config.data_dir)?;
        place.make_dir(&place.data)?;
        place.make_dir(&place.socket_dir)?;
        if !place.data.join("PG_VERSION").is_file() {
            init(&place, &binaries).await?;
        }
        stop_leftover(&place).await;
        let child = spawn(&place, &binaries, config.port)?;
        let stop = CancellationToken::new();
        let keeper = tokio::spawn(keep(place.clone(), binaries, config.port, child, stop.clone()));
        let socket = place.socket_dir.display();
        let port = config.port.unwrap_or(5432);
        let url = format!("host={socket} port={port} user={OWNER} dbname={OWNER}");
        let mut cluster = Self { url, readonly_url: String::new(), stop, keeper: Some(keeper) };
        let admin = wait_ready(&place, &format!("host={socket} port={port} user={OWNER} dbname=postgres")).await?;
        if admin.query_opt("SELECT FROM pg_database WHERE datname = $1", &[&OWNER]).await?.is_none() {
            admin.batch_execute(&format!("CREATE DATABASE {OWNER}")).await?;
        }
        let password = password(&config.data_dir.join("analyst.password"))?;
        admin
            .batch_execute(&format!(
                "DO $$ BEGIN
                     IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'mythic_reader') THEN CREATE ROLE mythic_reader NOLOGIN; END IF;
                     IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{ANALYST}') THEN CREATE ROLE {ANALYST}; END IF;
                 END $$;
                 ALTER ROLE {ANALYST} LOGIN PASSWORD '{password}';
                 GRANT mythic_reader TO {ANALYST};
                 ALTER ROLE {ANALYST} SET default_transaction_read_only = on;"
            ))
            .await?;
        cluster.readonly_url = match config.port {
            Some(_) => format!("postgresql://{ANALYST}:{password}@127.0.0.1:{port}/{OWNER}"),
            None => format!("host={socket} port={port} user={ANALYST} dbname={OWNER}"),
        };
        Ok(cluster)
    }

    /// Connection string of the owner, over the socket.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Connection string of the read-only role: over the loopback port if there is one, else over the socket.
    pub fn readonly_url(&self) -> &str {
        &self.readonly_url
    }

    /// Stops the database and waits for it.
    pub async fn stop(mut self) -> Result<(), ClusterError> {
        self.stop.cancel();
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.await;
        }
        Ok(())
    }

    /// Removes a stopped cluster, wherever its data lies.
    pub fn remove(data_dir: &Path) -> Result<(), ClusterError> {
        let place = Place::of(data_dir)?;
        let mut all = vec![data_dir.to_owned(), place.socket_dir];
        all.extend(place.data.parent().map(Path::to_path_buf));
        for path in all {
            match std::fs::remove_dir_all(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io("removing", &path, error)),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn init(place: &Place, binaries: &Binaries) -> Result<(), ClusterError> {
    let mut command = place.command(&binaries.dir.join("initdb"));
    command
        .arg("-D")
        .arg(&place.data)
        .args(["-U", OWNER, "--auth-local=trust", "--auth-host=scram-sha-256", "-E", "UTF8", "--no-locale"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let output = command.output().await.map_err(|source| io("running initdb for", &place.data, source))?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(ClusterError::Init { path: place.data.clone(), message });
    }
    Ok(())
}

fn spawn(place: &Place, binaries: &Binaries, port: Option<u16>) -> Result<Child, ClusterError> {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(&place.log).map_err(|source| io("opening", &place.log, source))?;
    let errors = log.try_clone().map_err(|source| io("opening", &place.log, source))?;
    let mut command = place.command(&binaries.dir.join("postgres"));
    command.arg("-D").arg(&place.data).arg("-k").arg(&place.socket_dir).stdout(log).stderr(errors);
    // The socket's name has the port in it too.
    let listen = if port.is_some() { "127.0.0.1" } else { "" };
    let settings = [
        format!("listen_addresses={listen}"),
        format!("port={}", port.unwrap_or(5432)),
        "unix_socket_permissions=0700".into(),
        "max_connections=120".into(),
        "shared_buffers=128MB".into(),
        "autovacuum_naptime=60s".into(),
        "bgwriter_delay=1000ms".into(),
        "wal_writer_delay=1000ms".into(),
        "checkpoint_timeout=15min".into(),
        "max_wal_size=1GB".into(),
        "jit=off".into(),
        "logging_collector=off".into(),
    ];
    for setting in &settings {
        command.arg("-c").arg(setting);
    }
    command.process_group(0);
    command.spawn().map_err(|source| io("starting", &binaries.dir.join("postgres"), source))
}

/// A database that a killed predecessor left behind ends first.
async fn stop_leftover(place: &Place) {
    let file = place.data.join("postmaster.pid");
    let pid = || -> Option<i32> { std::fs::read_to_string(&file).ok()?.lines().next()?.trim().parse().ok() };
    let Some(pid) = pid() else { return };
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let ours = place.data.as_os_str().as_encoded_bytes();
    if !command.windows(ours.len().max(1)).any(|window| window == ours) {
        return;
    }
    let _ = kill(Pid::from_raw(pid), Signal::SIGINT);
    let started = Instant::now();
    while file.exists() && started.elapsed() < STOP_PATIENCE {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn keep(place: Place, binaries: Binaries, port: Option<u16>, mut child: Child, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            status = child.wait() => {
                let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                tracing::error!(%status, log = %place.log.display(), "the database stopped; starting it again");
            }
        }
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(RESTART_PAUSE) => {}
            }
            stop_leftover(&place).await;
            match spawn(&place, &binaries, port) {
                Ok(next) => {
                    child = next;
                    break;
                }
                Err(error) => tracing::error!("{error}"),
            }
        }
    }
    if let Some(pid) = child.id() {
        let _ = kill(Pid::from_raw(pid as i32), Signal::SIGINT);
        if tokio::time::timeout(STOP_PATIENCE, child.wait()).await.is_err() {
            let _ = kill(Pid::from_raw(pid as i32), Signal::SIGQUIT);
            let _ = child.wait().await;
        }
    }
}

async fn wait_ready(place: &Place, url: &str) -> Result<tokio_postgres::Client, ClusterError> {
    let started = Instant::now();
    loop {
        if let Ok((client, connection)) = tokio_postgres::connect(url, NoTls).await {
            tokio::spawn(connection);
            return Ok(client);
        }
        if started.elapsed() > START_PATIENCE {
            let text = std::fs::read_to_string(&place.log).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let tail = lines.get(lines.len().saturating_sub(10)..).unwrap_or_default().join("\n");
            return Err(ClusterError::NotUp { log: place.log.clone(), tail });
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The read-only role's password: made once, kept in a file of its own.
fn password(path: &Path) -> Result<String, ClusterError> {
    use std::io::Write;
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let text = text.trim();
            let good = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
            if good { Ok(text.to_owned()) } else { Err(ClusterError::Password(path.to_owned())) }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let password = hex::encode(rand::random::<[u8; 16]>());
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)
                .map_err(|source| io("writing", path, source))?;
            file.write_all(password.as_bytes()).map_err(|source| io("writing", path, source))?;
            Ok(password)
        }
        Err(source) => Err(io("reading", path, source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn value(url: &str, query: &str) -> Result<String, tokio_postgres::Error> {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
        let driver = tokio::spawn(connection);
        let row = client.query_one(query, &[]).await.map(|row| row.get::<_, String>(0));
        driver.abort();
        row
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_cluster_keeps_its_data_survives_a_kill_and_its_analyst_only_reads() {
        let dir = tempfile::tempdir().unwrap();
        let config = ClusterConfig {
            data_dir: dir.path().join("postgres"),
            port: Some(std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()),
        };
        let cluster = Cluster::start(config.clone()).await.unwrap();
        let (url, readonly) = (cluster.url().to_owned(), cluster.readonly_url().to_owned());
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
            .batch_execute("CREATE TABLE kept (t text); INSERT INTO kept VALUES ('yes'); GRANT SELECT ON kept TO mythic_reader")
            .await
            .unwrap();
        assert_eq!(value(&readonly, "SELECT t FROM kept").await.unwrap(), "yes");
        assert!(value(&readonly, "INSERT INTO kept VALUES ('no') RETURNING t").await.is_err());
        let wrong = readonly.replace("analyst:", "analyst:x");
        assert!(value(&wrong, "SELECT 'in'").await.is_err(), "a wrong password was taken");

        let place = Place::of(&config.data_dir).unwrap();
        let pid = std::fs::read_to_string(place.data.join("postmaster.pid")).unwrap().lines().next().unwrap().parse().unwrap();
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        let started = Instant::now();
        while value(&url, "SELECT t FROM kept").await.is_err() {
            assert!(started.elapsed() < START_PATIENCE, "the database was not started again");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        cluster.stop().await.unwrap();
        assert!(value(&url, "SELECT 'up'").await.is_err());

        let cluster = Cluster::start(config.clone()).await.unwrap();
        assert_eq!(value(cluster.url(), "SELECT t FROM kept").await.unwrap(), "yes");
        assert_eq!(cluster.readonly_url(), readonly);
        cluster.stop().await.unwrap();
        Cluster::remove(&config.data_dir).unwrap();
        assert!(!place.data.exists() && !place.socket_dir.exists());
    }

    #[test]
    fn a_damaged_password_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p");
        std::fs::write(&path, "'; DROP").unwrap();
        assert!(password(&path).unwrap_err().to_string().contains("remove it"));
    }
}
