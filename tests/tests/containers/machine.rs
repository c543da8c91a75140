//! What the tests run on: whether runc can run here, an image of busybox, a runtime with directories and addresses of its own.

use anyhow::{Context, Result, bail, ensure};
use mythic_provider::{
    container::{
        config::{ContainersConfig, RuntimeKind},
        disk::Disks,
        image::Images,
        needs,
        net::Nets,
        runc::{Runc, RuncParts},
        runtime::{Exec, Plan, Process, Runtime},
    },
    spec::container::ContainerSpec,
};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::{
    env, fs,
    io::Write as _,
    net::Ipv4Addr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::{io::AsyncReadExt as _, time::timeout};

/// How long anything may take here.
pub const PATIENCE: Duration = Duration::from_secs(120);
const BUSYBOX: [&str; 2] = ["/bin/busybox", "/usr/bin/busybox"];
/// First of the users that containers have.
const FIRST_USER: u32 = 1_000_000;

/// What keeps containers by this runtime from running here.
pub fn lack(runtime: RuntimeKind) -> Option<String> {
    let config = ContainersConfig {
        runtime,
        encrypt: false,
        ..ContainersConfig::default()
    };
    let lacks = needs::lacks(&config);
    if let Some(lack) = lacks.first() {
        return Some(format!("{}: {}", lack.what, lack.mend));
    }
    match busybox() {
        Some(_) => None,
        None => Some("no busybox: apt-get install busybox-static".into()),
    }
}

fn busybox() -> Option<PathBuf> {
    BUSYBOX
        .iter()
        .map(PathBuf::from)
        .find(|path| path.is_file())
}

/// Whether containers by runc run here; if not, the test is counted as skipped, or fails where they must run.
pub fn is_able() -> Result<bool> {
    able(lack(RuntimeKind::Runc))
}

/// Whether nothing is lacking; if something is, the test is counted as skipped, or fails where containers must run.
pub fn able(lack: Option<String>) -> Result<bool> {
    let Some(lack) = lack else {
        return Ok(true);
    };
    if env::var_os("MYTHIC_REQUIRE_CONTAINERS").is_some_and(|v| v == "1") {
        bail!("MYTHIC_REQUIRE_CONTAINERS is set, and containers can't run: {lack}");
    }
    skip(&lack)?;
    Ok(false)
}

/// Counts a test as skipped.
fn skip(lack: &str) -> Result<()> {
    let test = std::thread::current();
    let line = format!("SKIPPED: {}", test.name().unwrap_or("a test"));
    // Past what captures the output of tests that pass.
    let _ = writeln!(std::io::stderr(), "{line}: {lack}");
    if let Some(file) = env::var_os("MYTHIC_SKIPPED") {
        let mut options = fs::OpenOptions::new();
        let mut file = options.create(true).append(true).open(file)?;
        writeln!(file, "{line}")?;
    }
    Ok(())
}

fn blob(layout: &Path, bytes: &[u8]) -> Result<(String, usize)> {
    let digits = hex::encode(Sha256::digest(bytes));
    let dir = layout.join("blobs/sha256");
    fs::create_dir_all(&dir)?;
    fs::write(dir.join(&digits), bytes)?;
    Ok((format!("sha256:{digits}"), bytes.len()))
}

/// An archive of busybox.
pub fn layer() -> Result<Vec<u8>> {
    let busybox = fs::read(busybox().context("no busybox")?)?;
    let mut layer = tar::Builder::new(Vec::new());
    let mut entry = |path: &str, kind: tar::EntryType, link: &str, content: &[u8]| -> Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_path(path)?;
        header.set_mode(0o755);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(content.len() as u64);
        if !link.is_empty() {
            header.set_link_name(link)?;
        }
        header.set_cksum();
        Ok(layer.append(&header, content)?)
    };
    entry("bin/busybox", tar::EntryType::Regular, "", &busybox)?;
    for tool in [
        "awk", "cat", "cp", "dd", "df", "echo", "env", "false", "grep", "head", "id", "kill",
        "killall", "ls", "mount", "nc", "nproc", "ps", "rm", "sh", "sleep", "sync", "tail",
        "touch", "true", "unshare", "wc",
    ] {
        entry(
            &format!("bin/{tool}"),
            tar::EntryType::Symlink,
            "busybox",
            b"",
        )?;
    }
    for dir in ["dev", "etc", "proc", "root", "sys", "tmp"] {
        entry(dir, tar::EntryType::Directory, "", b"")?;
    }
    Ok(layer.into_inner()?)
}

/// A layout with an image of busybox; returns its digest.
pub fn image(layout: &Path) -> Result<String> {
    let (layer, size) = blob(layout, &layer()?)?;
    let architecture = match env::consts::ARCH {
        "aarch64" => "arm64",
        _ => "amd64",
    };
    let config = json!({
        "architecture": architecture, "os": "linux",
        "config": {"Env": ["PATH=/bin"], "Cmd": ["/bin/sh", "-c", "echo up; exec sleep 100000"]},
    });
    let (config, config_size) = blob(layout, config.to_string().as_bytes())?;
    let manifest = json!({
        "schemaVersion": 2,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": config_size},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer, "size": size}],
    });
    fs::write(
        layout.join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )?;
    Ok(blob(layout, manifest.to_string().as_bytes())?.0)
}

/// A runtime with directories and addresses of its own.
pub struct Machine {
    dir: TempDir,
    run: TempDir,
    pub image: String,
    pool: Ipv4Addr,
}

impl Machine {
    /// One whose containers have addresses of `10.number`, which no other test has.
    pub fn new(number: u8) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let run = tempfile::Builder::new()
            .prefix("mythic-test-")
            .tempdir_in("/run")?;
        fs::set_permissions(run.path(), fs::Permissions::from_mode(0o711))?;
        let layout = dir.path().join("layout");
        let image = image(&layout)?;
        Ok(Self {
            dir,
            run,
            image,
            pool: Ipv4Addr::new(10, number, 0, 0),
        })
    }

    pub fn provider(&self) -> String {
        format!("test-{}", self.pool)
    }

    /// What a process of the provider has; a second one finds what the first left.
    pub async fn runtime(&self) -> Result<Arc<dyn Runtime>> {
        self.runtime_by("runc").await
    }

    /// The same by runc, which notes in a file beside it whenever it is started.
    pub async fn noting(&self) -> Result<(Arc<dyn Runtime>, PathBuf)> {
        let (program, notes) = (
            self.dir.path().join("noting"),
            self.dir.path().join("notes"),
        );
        let script = format!(
            "#!/bin/sh\necho \"$@\" >>{}\nexec runc \"$@\"\n",
            notes.display()
        );
        fs::write(&program, script)?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o700))?;
        let runtime = self.runtime_by(&program.display().to_string()).await?;
        Ok((runtime, notes))
    }

    async fn runtime_by(&self, program: &str) -> Result<Arc<dyn Runtime>> {
        let images = Images::open(
            self.dir.path().join("images"),
            vec![self.dir.path().join("layout")],
            Some(FIRST_USER),
            64 << 20,
        )?;
        let parts = RuncParts {
            program: program.into(),
            provider: self.provider(),
            disks: self.disks()?,
            nets: self.nets(),
            images: Arc::new(images),
        };
        Ok(Arc::new(Runc::open(parts).await?))
    }

    pub fn disks(&self) -> Result<Disks> {
        Ok(Disks {
            state: self.dir.path().join("leases"),
            run: self.run.path().canonicalize()?,
            first_user: FIRST_USER,
            is_encrypted: false,
            resolv_conf: "nameserver 192.0.2.53\n".into(),
        })
    }

    /// Where images that were fetched are noted.
    pub fn noted(&self) -> PathBuf {
        self.dir.path().join("fetched.json")
    }

    /// The directory of a container that only this process enters.
    pub fn state(&self, id: &str) -> PathBuf {
        self.dir.path().join("leases").join(id)
    }

    /// The digest of the image's layer.
    pub fn layer(&self) -> Result<String> {
        let layer = Sha256::digest(layer()?);
        Ok(format!("sha256:{}", hex::encode(layer)))
    }

    /// What runc keeps of a container.
    pub fn kept(&self, id: &str) -> PathBuf {
        self.run.path().join("runc").join(id)
    }

    /// Runs runc itself on the containers of this machine.
    pub fn runc(&self, arguments: &[&str]) -> Result<()> {
        let mut runc = std::process::Command::new("runc");
        runc.arg("--root").arg(self.run.path().join("runc"));
        runc.args(arguments).stdin(std::process::Stdio::null());
        runc.stdout(std::process::Stdio::null());
        let status = runc.status()?;
        ensure!(status.success(), "runc {arguments:?}: {status}");
        Ok(())
    }

    pub fn nets(&self) -> Nets {
        Nets::new(&self.provider(), self.pool, Vec::new(), 32)
    }

    /// A small container.
    pub fn plan(&self, id: &str, place: u16) -> Plan {
        Plan {
            id: id.into(),
            slot: 7,
            image: self.image.clone(),
            repository: String::new(),
            command: Vec::new(),
            environment: vec![("TOKEN".into(), "secret".into())],
            cpu_milli: 1_000,
            memory_mib: 64,
            pids: 32,
            disk_mib: 32,
            place,
        }
    }

    /// The spec of one.
    pub fn spec(&self) -> ContainerSpec {
        ContainerSpec {
            image: self.image.clone(),
            repository: String::new(),
            command: Vec::new(),
            environment: Vec::new(),
            cpu_milli: 1_000,
            memory_mib: 64,
            pids: 32,
            disk_mib: 32,
            ports: vec![8_080],
            ssh_keys: Vec::new(),
        }
    }

    /// Nothing is left of a container: no process, mount, network, group, file.
    pub async fn assert_gone(&self, runtime: &dyn Runtime, id: &str, place: u16) -> Result<()> {
        use mythic_provider::container::runtime::Seen;
        ensure!(runtime.inspect(id).await? == Seen::Absent);
        ensure!(runtime.list().await?.iter().all(|one| one.id != id));
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let run = self.run.path().join(id).display().to_string();
        let state = self.state(id).display().to_string();
        ensure!(
            !mounts.contains(&run) && !mounts.contains(&state),
            "{mounts}"
        );
        ensure!(!Path::new(&run).exists() && !Path::new(&state).exists());
        ensure!(!self.kept(id).exists());
        let interface = self.nets().net(place).interface;
        ensure!(!Path::new("/sys/class/net").join(interface).exists());
        for group in ["/sys/fs/cgroup/mythic", "/sys/fs/cgroup/memory/mythic"] {
            ensure!(!Path::new(group).join(id).exists(), "{group}");
        }
        Ok(())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // A test that failed leaves nothing behind: its containers have their directories open.
        let root = self.run.path().join("runc");
        for entry in fs::read_dir(&root).into_iter().flatten().flatten() {
            let mut runc = std::process::Command::new("runc");
            runc.arg("--root").arg(&root).args(["delete", "--force"]);
            let _ = runc.arg(entry.file_name()).status();
        }
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let own = [self.run.path(), self.dir.path()].map(|path| path.display().to_string());
        for place in mounts
            .lines()
            .rev()
            .filter_map(|line| line.split(' ').nth(1))
        {
            if own.iter().any(|own| place.starts_with(own)) {
                let _ = std::process::Command::new("umount").arg(place).status();
            }
        }
        let table = self.nets().table();
        let mut nft = std::process::Command::new("nft");
        let _ = nft.args(["delete", "table", "inet", &table]).status();
    }
}

/// What a command says and its exit code.
pub async fn ran(runtime: &dyn Runtime, id: &str, script: &str) -> Result<(String, u32)> {
    let exec = Exec {
        command: vec!["/bin/sh".into(), "-c".into(), script.into()],
        terminal: None,
    };
    let Process {
        input,
        mut output,
        errors,
        mut control,
    } = runtime.exec(id, exec).await?;
    drop(input);
    let (mut said, mut wrong) = (String::new(), String::new());
    let mut errors = errors.context("its errors")?;
    let all = async {
        let (said, wrong) = tokio::join!(
            output.read_to_string(&mut said),
            errors.read_to_string(&mut wrong)
        );
        said.and(wrong)?;
        control.wait().await
    };
    let code = timeout(PATIENCE, all).await.context(script.to_owned())??;
    Ok((format!("{said}{wrong}"), code))
}

/// Waits until something is so.
pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let started = Instant::now();
    while !is_so().await? {
        ensure!(started.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}
