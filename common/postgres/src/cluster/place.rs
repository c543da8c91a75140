//! A cluster's files and its server process: where they lie, how they are made, configured and started.

use std::{
    ffi::OsString,
    fs, io,
    net::TcpListener,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Stdio,
};

use nix::unistd::Uid;
use sha2::{Digest, Sha256};
use tokio::process::{Child, Command};

use super::{
    binaries::{Binaries, binaries_for},
    config::{ClusterConfig, SUPERUSER},
    error::{ClusterError, at},
    home,
    process::stop_leftover,
    user::{ServerUser, give, unprivileged},
};

/// A Unix socket's path holds 107 bytes and a zero.
const SOCKET_PATH_MAX: usize = 107;
/// Ends a program with the one that started it.
const SETPRIV: &str = "/usr/bin/setpriv";
/// Bounds a program's memory.
const PRLIMIT: &str = "/usr/bin/prlimit";
/// Most address space of one server process, bytes: a session that asks for more memory gets an error instead of all of it.
const ADDRESS_SPACE: u64 = 4 << 30;

/// Everything that is decided before a process is started.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub binaries: Binaries,
    pub user: Option<ServerUser>,
    /// The cluster proper (`PGDATA`).
    pub data: PathBuf,
    pub socket_dir: PathBuf,
    pub log: PathBuf,
    pub port: u16,
    pub listens: bool,
}

/// Decides where everything lies, ends what an earlier run left behind, and makes the cluster if there is none.
pub(super) async fn prepare(config: &ClusterConfig) -> Result<Place, ClusterError> {
    let user = unprivileged()?;
    let home = home::make(&config.data_dir)?;
    let data = home::data_dir(&home, user).await?;
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

impl Place {
    /// A program of the server's. Where util-linux is there it ends with us and its memory is bounded; without it, the next
    /// start stops what was left.
    fn command(&self, program: &str) -> Command {
        let mut words: Vec<OsString> = Vec::new();
        if Path::new(SETPRIV).is_file() {
            words.extend([SETPRIV, "--pdeathsig", "INT", "--"].map(OsString::from));
        }
        if Path::new(PRLIMIT).is_file() {
            words.extend([PRLIMIT.into(), format!("--as={ADDRESS_SPACE}").into()]);
        }
        words.push(self.binaries.dir.join(program).into());
        let mut words = words.into_iter();
        let mut command = Command::new(words.next().unwrap_or_default());
        command
            .args(words)
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
             unix_socket_permissions = 0700\nmax_connections = 120\nmax_locks_per_transaction = 256\nshared_buffers = 64MB\nhuge_pages = off\njit = off\n\
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

    pub fn launch(&self) -> Result<Child, ClusterError> {
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

    pub fn start_error(&self, reason: String) -> ClusterError {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let mut tail: Vec<&str> = text.lines().rev().take(8).collect();
        tail.reverse();
        let tail = tail.join("\n");
        ClusterError::Start {
            reason,
            log: self.log.clone(),
            tail,
        }
    }
}
