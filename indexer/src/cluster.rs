//! A private PostgreSQL cluster in a data directory, run from the system's own binaries: made once,
//! started, watched, stopped. Reached through a Unix socket that only its user and root can open, and on request
//! through a loopback port with a read-only role.

use std::{
    ffi::OsString,
    fmt, fs, io,
    net::TcpListener,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Gid, Pid, Uid, User, chown},
};
use rand::RngCore;
use sha2::{Digest, Sha256};
use tokio::{
    process::{Child, Command},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// Oldest release that works.
pub const OLDEST_VERSION: u32 = 15;
/// A Unix socket's path holds 107 bytes and a zero.
const SOCKET_PATH_MAX: usize = 107;
/// Where clusters lie whose home their user can't enter.
const OUTSIDE: &str = "/var/lib/mythic";
const SUPERUSER: &str = "mythic";
const DATABASE: &str = "mythic";
/// Recovery after a crash may replay a good deal of log.
const START_PATIENCE: Duration = Duration::from_secs(300);
const STOP_PATIENCE: Duration = Duration::from_secs(60);

/// Where a private cluster lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterConfig {
    /// Directory of the cluster, its log and the read-only role's password. As root, where the unprivileged user
    /// can't enter it, the cluster itself lies below `/var/lib/mythic`.
    pub data_dir: PathBuf,
    /// Loopback port for the read-only role; 0 picks a free one, `None` opens none.
    pub port: Option<u16>,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            data_dir: ".mythic/postgres".into(),
            port: None,
        }
    }
}

/// Why a private cluster can't be had.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// No server binaries.
    #[error(
        "no PostgreSQL {OLDEST_VERSION} or later found under /usr/lib/postgresql or on PATH: install it (Debian, Ubuntu: \
         `apt-get install postgresql`), or name a database by URL"
    )]
    NotFound,
    /// The data directory was made by another release.
    #[error(
        "{dir} was made by PostgreSQL {version}, whose binaries are not here: install postgresql-{version}, or remove the \
         directory (the index can be rebuilt from the chain's archive only while it exists)"
    )]
    Version { dir: PathBuf, version: u32 },
    /// No user to drop to.
    #[error(
        "PostgreSQL refuses to run as root, and there is neither a user `postgres` nor `nobody` to run it as: add one"
    )]
    NoUser,
    /// A file operation failed.
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    /// The socket's path is too long.
    #[error(
        "socket path {0} is longer than {SOCKET_PATH_MAX} bytes: set XDG_RUNTIME_DIR to a shorter directory"
    )]
    SocketPath(PathBuf),
    /// A program of PostgreSQL failed.
    #[error("{program} failed: {output}")]
    Failed {
        program: &'static str,
        output: String,
    },
    /// The server ended or did not answer.
    #[error("PostgreSQL did not start: {reason}; its log is {log}:\n{tail}")]
    Start {
        reason: String,
        log: PathBuf,
        tail: String,
    },
    /// SQL on the fresh server failed.
    #[error("preparing the database: {0}")]
    Sql(#[from] tokio_postgres::Error),
}

fn at(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> ClusterError {
    let path = path.into();
    move |source| ClusterError::Io { path, source }
}

/// Server binaries of one release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    /// Major version.
    pub version: u32,
    /// Directory with `initdb` and `postgres`.
    pub dir: PathBuf,
}

impl fmt::Display for Binaries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgreSQL {} in {}", self.version, self.dir.display())
    }
}

/// The newest usable binaries.
pub fn find_binaries() -> Result<Binaries, ClusterError> {
    all_binaries()
        .into_iter()
        .max_by_key(|found| found.version)
        .ok_or(ClusterError::NotFound)
}

fn all_binaries() -> Vec<Binaries> {
    let packaged = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let found = packaged
        .chain(on_path)
        .filter(|dir| dir.join("initdb").is_file() && dir.join("postgres").is_file());
    found
        .filter_map(|dir| {
            let output = std::process::Command::new(dir.join("postgres"))
                .arg("--version")
                .output()
                .ok()?;
            let version = major_version(&String::from_utf8_lossy(&output.stdout))?;
            (version >= OLDEST_VERSION).then_some(Binaries { version, dir })
        })
        .collect()
}

/// `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)` -> 15
fn major_version(text: &str) -> Option<u32> {
    let number = text
        .split_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    number
        .split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

/// The user that the server runs as, when it is not ours.
#[derive(Debug, Clone, Copy)]
struct ServerUser {
    uid: Uid,
    gid: Gid,
}

fn unprivileged() -> Result<Option<ServerUser>, ClusterError> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    ["postgres", "nobody"]
        .into_iter()
        .find_map(|name| User::from_name(name).ok().flatten())
        .map(|user| {
            Some(ServerUser {
                uid: user.uid,
                gid: user.gid,
            })
        })
        .ok_or(ClusterError::NoUser)
}

/// Whether `user` may enter every directory above `path` (those that exist).
fn can_enter(path: &Path, user: ServerUser) -> bool {
    path.ancestors().skip(1).all(|dir| match fs::metadata(dir) {
        Err(_) => true,
        Ok(meta) if meta.uid() == user.uid.as_raw() => meta.mode() & 0o100 != 0,
        Ok(meta) if meta.gid() == user.gid.as_raw() => meta.mode() & 0o010 != 0,
        Ok(meta) => meta.mode() & 0o001 != 0,
    })
}

/// Everything that is decided before a process is started.
#[derive(Debug, Clone)]
struct Place {
    binaries: Binaries,
    user: Option<ServerUser>,
    /// The cluster proper (`PGDATA`).
    data: PathBuf,
    socket_dir: PathBuf,
    log: PathBuf,
    port: u16,
    listens: bool,
}

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
        let password = password(&config.data_dir)?;
        set_up(&admin, &password).await?;
        drop(admin);
        let socket = percent(&place.socket_dir);
        let url = format!("postgres://{SUPERUSER}@{socket}:{}/{DATABASE}", place.port);
        let readonly_url = match place.listens {
            true => format!(
                "postgres://analyst:{password}@127.0.0.1:{}/{DATABASE}",
                place.port
            ),
            false => format!("postgres://analyst@{socket}:{}/{DATABASE}", place.port),
        };
        let stop = CancellationToken::new();
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
        let mut pause = Duration::from_millis(500);
        child = loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(pause) => {}
            }
            pause = (pause * 2).min(Duration::from_secs(30));
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

async fn prepare(config: &ClusterConfig) -> Result<Place, ClusterError> {
    let user = unprivileged()?;
    fs::create_dir_all(&config.data_dir).map_err(at(&config.data_dir))?;
    let home = config
        .data_dir
        .canonicalize()
        .map_err(at(&config.data_dir))?;
    let data = data_dir(&home, user).await?;
    let binaries = binaries_for(&data)?;
    let id = hex::encode(&Sha256::digest(home.as_os_str().as_encoded_bytes())[..6]);
    let (port, listens) = match config.port {
        None => (5432, false),
        Some(0) => {
            let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
            (free.map_err(at(&home))?.port(), true)
        }
        Some(port) => (port, true),
    };
    let socket_dir = socket_dir(&id, user, port)?;
    let place = Place {
        binaries,
        user,
        data,
        socket_dir,
        log: home.join("postgres.log"),
        port,
        listens,
    };
    stop_leftover(&place.data).await?;
    if !place.data.join("PG_VERSION").is_file() {
        place.init().await?;
    }
    place.configure()?;
    Ok(place)
}

/// Where the cluster proper lies. A token ties a directory elsewhere to this one, so that removing this one starts over.
async fn data_dir(home: &Path, user: Option<ServerUser>) -> Result<PathBuf, ClusterError> {
    let inside = home.join("data");
    let Some(user) = user else { return Ok(inside) };
    // The user must pass through `home` itself too.
    let meta = fs::metadata(home).map_err(at(home))?;
    fs::set_permissions(home, fs::Permissions::from_mode(meta.mode() | 0o011)).map_err(at(home))?;
    if can_enter(&inside, user) {
        return Ok(inside);
    }
    let outside = Path::new(OUTSIDE).join(hex::encode(
        &Sha256::digest(home.as_os_str().as_encoded_bytes())[..8],
    ));
    let (ours, theirs) = (home.join("location"), outside.join("token"));
    remove_orphans().await;
    let known = fs::read(&ours)
        .ok()
        .filter(|token| fs::read(&theirs).is_ok_and(|other| *token == other));
    if known.is_none() {
        if outside.exists() {
            stop_leftover(&outside.join("data")).await?;
            fs::remove_dir_all(&outside).map_err(at(&outside))?;
        }
        fs::create_dir_all(&outside).map_err(at(&outside))?;
        for dir in [outside.parent(), Some(outside.as_path())]
            .into_iter()
            .flatten()
        {
            fs::set_permissions(dir, fs::Permissions::from_mode(0o711)).map_err(at(dir))?;
        }
        let (token, owner) = (random_hex(16), outside.join("home"));
        fs::write(&owner, home.as_os_str().as_encoded_bytes()).map_err(at(&owner))?;
        fs::write(&theirs, &token).map_err(at(&theirs))?;
        fs::write(&ours, &token).map_err(at(&ours))?;
    }
    Ok(outside.join("data"))
}

/// Removes clusters elsewhere whose home directory is gone.
async fn remove_orphans() {
    for entry in fs::read_dir(OUTSIDE).into_iter().flatten().flatten() {
        let Ok(home) = fs::read_to_string(entry.path().join("home")) else {
            continue;
        };
        if !Path::new(&home).exists() {
            let removed = match stop_leftover(&entry.path().join("data")).await {
                Ok(()) => fs::remove_dir_all(entry.path()).map_err(at(entry.path())),
                Err(e) => Err(e),
            };
            if let Err(e) = removed {
                tracing::warn!(
                    "a database whose directory {home} is gone could not be removed: {e}"
                );
            }
        }
    }
}

fn binaries_for(data: &Path) -> Result<Binaries, ClusterError> {
    let version = match fs::read_to_string(data.join("PG_VERSION")) {
        Err(_) => return find_binaries(),
        Ok(text) => major_version(&text).unwrap_or_default(),
    };
    let found = all_binaries();
    if found.is_empty() {
        return Err(ClusterError::NotFound);
    }
    found
        .into_iter()
        .find(|binaries| binaries.version == version)
        .ok_or_else(|| ClusterError::Version {
            dir: data.into(),
            version,
        })
}

fn socket_dir(id: &str, user: Option<ServerUser>, port: u16) -> Result<PathBuf, ClusterError> {
    let owner = user.map_or(Uid::effective(), |user| user.uid);
    let runtime = match user {
        Some(_) => Some(PathBuf::from("/run")),
        None => std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from),
    };
    let base = runtime
        .filter(|dir| dir.is_dir())
        .unwrap_or_else(std::env::temp_dir);
    let dir = base.join(format!("mythic-{owner}-{id}"));
    if dir.join(format!(".s.PGSQL.{port}.lock")).as_os_str().len() > SOCKET_PATH_MAX {
        return Err(ClusterError::SocketPath(dir));
    }
    match fs::DirBuilder::new().mode(0o700).create(&dir) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(at(&dir)(e)),
        Err(_) => {
            // Somebody else could have made it first where everyone may write.
            let meta = fs::symlink_metadata(&dir).map_err(at(&dir))?;
            if !meta.is_dir() || meta.uid() != owner.as_raw() {
                let taken = io::Error::new(
                    io::ErrorKind::PermissionDenied,
                    "is not a directory of the database's user: remove it",
                );
                return Err(at(&dir)(taken));
            }
        }
        Ok(()) => give(&dir, user)?,
    }
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).map_err(at(&dir))?;
    Ok(dir)
}

fn give(path: &Path, user: Option<ServerUser>) -> Result<(), ClusterError> {
    match user {
        Some(user) => chown(path, Some(user.uid), Some(user.gid))
            .map_err(io::Error::from)
            .map_err(at(path)),
        None => Ok(()),
    }
}

/// The server that runs in `data`, if one does. Its pid file may be stale and its pid another program's.
fn running_pid(data: &Path) -> Option<Pid> {
    let text = fs::read_to_string(data.join("postmaster.pid")).ok()?;
    let pid: i32 = text.lines().next()?.trim().parse().ok()?;
    let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let ours = command
        .split(|&byte| byte == 0)
        .any(|word| word == data.as_os_str().as_encoded_bytes());
    ours.then_some(Pid::from_raw(pid))
}

async fn stop_leftover(data: &Path) -> Result<(), ClusterError> {
    for signal in [Signal::SIGINT, Signal::SIGQUIT] {
        let Some(pid) = running_pid(data) else { break };
        tracing::warn!(%pid, "stopping a database server that an earlier run left behind");
        let _ = kill(pid, signal);
        let deadline = Instant::now() + STOP_PATIENCE;
        while running_pid(data).is_some() && Instant::now() < deadline {
            sleep(Duration::from_millis(50)).await;
        }
    }
    let stale = data.join("postmaster.pid");
    match fs::remove_file(&stale) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(at(stale)(e)),
        _ => Ok(()),
    }
}

impl Place {
    fn command(&self, program: &str) -> Command {
        let program = self.binaries.dir.join(program);
        // A server must not outlive a killed parent, where util-linux is there to arrange it; else the next start
        // stops it.
        let setpriv = Path::new("/usr/bin/setpriv");
        let mut command = match setpriv.is_file() {
            true => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", "INT", "--"]).arg(program);
                command
            }
            false => Command::new(program),
        };
        command
            .env("LC_ALL", "C")
            .env_remove("PGDATA")
            .stdin(Stdio::null())
            .current_dir("/");
        if let Some(user) = self.user {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        command
    }

    /// Makes the cluster beside its place and moves it there, so that a half-made one is never used.
    async fn init(&self) -> Result<(), ClusterError> {
        let fresh = self.data.with_extension("new");
        if fresh.exists() {
            fs::remove_dir_all(&fresh).map_err(at(&fresh))?;
        }
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&fresh)
            .map_err(at(&fresh))?;
        give(&fresh, self.user)?;
        let arguments: [OsString; 9] = [
            "-D".into(),
            fresh.clone().into(),
            "-U".into(),
            SUPERUSER.into(),
            "--auth=trust".into(),
            "--encoding=UTF8".into(),
            "--locale=C".into(),
            "--data-checksums".into(),
            "--no-instructions".into(),
        ];
        let output = self
            .command("initdb")
            .args(arguments)
            .output()
            .await
            .map_err(at(&fresh))?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(ClusterError::Failed {
                program: "initdb",
                output: text,
            });
        }
        fs::rename(&fresh, &self.data).map_err(at(&self.data))
    }

    fn configure(&self) -> Result<(), ClusterError> {
        let addresses = if self.listens { "127.0.0.1" } else { "" };
        // Small, quiet when idle, and durable: the spool forgets what the index has acknowledged.
        let settings = format!(
            "listen_addresses = '{addresses}'\nport = {port}\nunix_socket_directories = '{socket}'\n\
             unix_socket_permissions = 0700\nmax_connections = 120\nshared_buffers = 64MB\nhuge_pages = off\njit = off\n\
             wal_level = minimal\nmax_wal_senders = 0\nmax_wal_size = 1GB\ncheckpoint_timeout = 15min\n\
             bgwriter_delay = 10s\nwal_writer_delay = 1s\nautovacuum_max_workers = 2\nmax_worker_processes = 4\n\
             max_parallel_workers = 2\nmax_logical_replication_workers = 0\nlog_timezone = 'UTC'\ntimezone = 'UTC'\n\
             log_line_prefix = '%m [%p] '\npassword_encryption = 'scram-sha-256'\n",
            port = self.port,
            socket = self.socket_dir.display().to_string().replace('\'', "''"),
        );
        // The socket lies in a directory that only the server's user and root can enter.
        let access = "local all all trust\nhost mythic analyst 127.0.0.1/32 scram-sha-256\n";
        for (name, text) in [
            ("postgresql.conf", settings.as_str()),
            ("pg_hba.conf", access),
        ] {
            let path = self.data.join(name);
            fs::write(&path, text).map_err(at(&path))?;
            give(&path, self.user)?;
        }
        Ok(())
    }

    fn launch(&self) -> Result<Child, ClusterError> {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&self.log)
            .map_err(at(&self.log))?;
        let errors = log.try_clone().map_err(at(&self.log))?;
        let mut command = self.command("postgres");
        // A group of its own: Ctrl-C in a terminal must not reach it before those who use it.
        command
            .arg("-D")
            .arg(&self.data)
            .stdout(log)
            .stderr(errors)
            .process_group(0);
        command
            .spawn()
            .map_err(at(self.binaries.dir.join("postgres")))
    }

    fn start_error(&self, reason: String) -> ClusterError {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(8)..].join("\n");
        ClusterError::Start {
            reason,
            log: self.log.clone(),
            tail,
        }
    }
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

async fn set_up(admin: &tokio_postgres::Client, password: &str) -> Result<(), ClusterError> {
    if admin
        .query_opt("SELECT FROM pg_database WHERE datname = $1", &[&DATABASE])
        .await?
        .is_none()
    {
        admin
            .batch_execute(&format!("CREATE DATABASE {DATABASE}"))
            .await?;
    }
    // The password is hex of our own making: nothing to quote.
    admin
        .batch_execute(&format!(
            "DO $$ BEGIN
                 IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'mythic_reader') THEN CREATE ROLE mythic_reader NOLOGIN; END IF;
                 IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'analyst') THEN CREATE ROLE analyst LOGIN; END IF;
             END $$;
             GRANT mythic_reader TO analyst;
             ALTER ROLE analyst PASSWORD '{password}' CONNECTION LIMIT 20;
             ALTER ROLE analyst SET default_transaction_read_only = on;
             ALTER ROLE analyst SET statement_timeout = '60s';
             ALTER ROLE analyst SET search_path = analytics, public;"
        ))
        .await?;
    Ok(())
}

/// The read-only role's password: made once, in a file that only its owner can read.
fn password(home: &Path) -> Result<String, ClusterError> {
    let path = home.join("analyst.password");
    if let Ok(text) = fs::read_to_string(&path) {
        let text = text.trim();
        if text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(text.into());
        }
    }
    let password = random_hex(16);
    let mut file = fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(at(&path))?;
    io::Write::write_all(&mut file, password.as_bytes()).map_err(at(&path))?;
    Ok(password)
}

fn random_hex(bytes: usize) -> String {
    let mut random = vec![0; bytes];
    rand::rng().fill_bytes(&mut random);
    hex::encode(random)
}

/// A path as the host part of a URL.
fn percent(path: &Path) -> String {
    let bytes = path.as_os_str().as_encoded_bytes().iter();
    bytes
        .map(|&byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_postgres_says() {
        assert_eq!(
            major_version("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)"),
            Some(15)
        );
        assert_eq!(major_version("postgres (PostgreSQL) 18beta2"), Some(18));
        assert_eq!(major_version("16\n"), Some(16));
        assert_eq!(major_version("what?"), None);
    }

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
        if data.starts_with(OUTSIDE) {
            remove_orphans().await;
            assert!(!data.exists());
        }
    }
}
