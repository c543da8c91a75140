//! Containers by Docker: its command and its daemon, with disks and networks of our own. An image's files can't be written to; what can is
//! on the container's disk: its volume, `/root`, `/tmp` and `/var/tmp`.

use std::{
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use async_trait::async_trait;
use mythic_support::files;
use parking_lot::Mutex;
use rustix::{fs::statvfs, process::getrlimit};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    process::Command,
    sync::{self, mpsc},
    time::timeout,
};

use super::{
    bundle::{
        CAPABILITIES, LABEL_PROVIDER, LABEL_SLOT, SHARED_MIB, VOLUME, hostname, is_inside, limits,
        words,
    },
    command,
    disk::Disks,
    executed,
    fetched::Fetched,
    forward,
    image::ImageConfig,
    inside::{self, Networks},
    life::Lives,
    net::Nets,
    runtime::{Begun, Exec, Labelled, Plan, Process, Runtime, SPARE_MIB, Seen, refusal},
    seccomp,
};
use crate::spec::{ContainerSpec, container::digits};

/// What stands before the lease in a container's name.
const NAME: &str = "mythic-";
/// What Docker says of a container that is not there.
const NONE: &str = "No such container";
/// What it says of an image that is not there.
const NO_IMAGE: &str = "No such image";
/// How long a container's first process may take to end by itself, seconds.
const PARTING: &str = "2";
/// How long an image may take to come.
const PULL: Duration = Duration::from_secs(600);
/// How often the disk is looked at meanwhile.
const PULL_LOOK: Duration = Duration::from_millis(500);
/// Bytes of it that are left free, and that others may take of it meanwhile.
const SPARE: u64 = SPARE_MIB << 20;
/// Bytes of a log that are passed on at once, and pieces that wait.
const CHUNK: usize = 16 << 10;
const WAITING: usize = 16;

/// How long an image that was fetched stays after a request that named it, whether a container is made of it or not.
pub const KEPT: Duration = Duration::from_secs(900);

/// What a [`Docker`] is made of.
#[derive(Debug, Clone)]
pub struct DockerParts {
    /// The program.
    pub program: String,
    /// The daemon's address.
    pub host: String,
    /// The provider's name.
    pub provider: String,
    pub disks: Disks,
    pub nets: Nets,
    /// Repositories from which images are fetched.
    pub repositories: Vec<String>,
    /// Where those that were fetched are noted.
    pub fetched: PathBuf,
    /// Largest that is fetched, unpacked, MiB.
    pub image_mib: u64,
    /// All that are fetched, unpacked, MiB.
    pub images_mib: u64,
    /// How long they stay where nothing is made of them: [`KEPT`].
    pub kept: Duration,
}

/// Containers by Docker.
pub struct Docker {
    parts: DockerParts,
    /// Cores of the machine: Docker makes no container of more.
    cores: u32,
    lives: Lives,
    networks: Networks,
    /// Where the daemon keeps images.
    root: PathBuf,
    fetched: Mutex<Fetched>,
    /// One image comes at a time.
    fetching: sync::Mutex<()>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerState {
    status: String,
    pid: u32,
    /// Why it could not be started the last time.
    #[serde(default)]
    error: String,
}

/// What Docker says of itself.
#[derive(Debug, Deserialize)]
struct Info {
    #[serde(rename = "NCPU")]
    cores: u32,
    #[serde(default, rename = "SecurityOptions")]
    security: Option<Vec<String>>,
    #[serde(rename = "DockerRootDir")]
    root: PathBuf,
}

/// What Docker says of an image.
#[derive(Debug, Default, Deserialize)]
struct DockerImage {
    #[serde(flatten)]
    config: ImageConfig,
    #[serde(default, rename = "Volumes")]
    volumes: Option<Map<String, Value>>,
}

impl Docker {
    /// Lays out the rules of the network, and asks the daemon whose users containers have: `first_user` counts only where it moves them.
    pub async fn open(mut parts: DockerParts) -> Result<Self> {
        parts.nets.lay_out().await?;
        forward::open(&parts.nets.prefix()).await?;
        let asked = ["--host", &parts.host, "info", "--format", "{{json .}}"];
        let said = command::run(&parts.program, &asked).await?;
        let info: Info = serde_json::from_slice(&said).context("docker info")?;
        let security = info.security.unwrap_or_default();
        if !security.iter().any(|one| one.contains("name=userns")) {
            tracing::warn!(
                "Docker runs without userns-remap: root of a container is root of this machine, with nine capabilities"
            );
            parts.disks.first_user = 0;
        }
        let profile = serde_json::to_vec(&seccomp::profile())?;
        files::replace(&calls(&parts.disks), &profile)?;
        let fetched = Fetched::open(parts.fetched.clone(), parts.kept)?;
        Ok(Self {
            parts,
            cores: info.cores,
            lives: Lives::default(),
            networks: Networks::default(),
            root: info.root,
            fetched: Mutex::new(fetched),
            fetching: sync::Mutex::default(),
        })
    }

    async fn docker(&self, arguments: &[&str]) -> Result<String> {
        let mut all = vec!["--host", self.parts.host.as_str()];
        all.extend_from_slice(arguments);
        let said = command::run(&self.parts.program, &all).await?;
        Ok(String::from_utf8_lossy(&said).into_owned())
    }

    /// A command that Docker runs, not begun yet.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.parts.program);
        command.args(["--host", &self.parts.host]).args(arguments);
        command
    }

    /// What Docker says of a container; `None` if it knows none.
    async fn state(&self, id: &str) -> Result<Option<DockerState>> {
        let name = name(id);
        let asked = ["container", "inspect", "--format", "{{json .State}}", &name];
        match self.docker(&asked).await {
            Ok(said) => Ok(Some(serde_json::from_str(&said).context("docker inspect")?)),
            Err(error) if error.to_string().contains(NONE) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What Docker says of an image, which it fetches if it has none; else says to a tenant why there is none.
    async fn image(&self, digest: &str, repository: &str) -> Result<DockerImage, String> {
        let absent = || format!("{digest} is not here");
        digits(digest).ok_or_else(absent)?;
        let reference = reference(digest, repository);
        if let Some(found) = self.has(&reference).await {
            self.fetched.lock().used(&reference, Instant::now());
            return Ok(found);
        }
        // What a stranger names is fetched only from where the operator lets it come.
        if !self.parts.repositories.iter().any(|one| one == repository) {
            return Err(absent());
        }
        let fetched = timeout(PULL, self.fetch(&reference)).await;
        let fetched = fetched.unwrap_or_else(|_| Err(anyhow!("not within {PULL:?}")));
        fetched.map_err(|error| {
            tracing::info!(image = reference, "an image is not fetched: {error:#}");
            format!("{} and can't be fetched now", absent())
        })
    }

    /// Fetches an image, if there is room for it among those that were fetched.
    async fn fetch(&self, reference: &str) -> Result<DockerImage> {
        let _turn = self.fetching.lock().await;
        // For another request, meanwhile.
        if let Some(found) = self.has(reference).await {
            return Ok(found);
        }
        let (one, all) = (self.parts.image_mib << 20, self.parts.images_mib << 20);
        self.fetched.lock().forget(reference)?;
        self.make_room(all.saturating_sub(one)).await?;
        // Noted before a byte of it comes, so that it is known whose it is whatever becomes of this process.
        self.fetched.lock().note(reference, one, Instant::now())?;
        let found = self.pulled(reference, one).await;
        if found.is_err() {
            self.discard(reference).await?;
        }
        found
    }

    /// Removes images that were fetched and that nothing uses, until all of them take no more.
    async fn make_room(&self, bytes: u64) -> Result<()> {
        let idle = self.fetched.lock().idle(Instant::now());
        for reference in idle {
            if self.fetched.lock().bytes() <= bytes {
                break;
            }
            if let Err(error) = self.discard(&reference).await {
                tracing::debug!(image = reference, "an image stays: {error:#}");
            }
        }
        let left = self.fetched.lock().bytes();
        ensure!(
            left <= bytes,
            "those that were fetched for others take {} MiB",
            left >> 20
        );
        Ok(())
    }

    /// Removes an image that was fetched. One that a container is of stays, which is an error.
    async fn discard(&self, reference: &str) -> Result<()> {
        match self.docker(&["image", "rm", reference]).await {
            Err(error) if !error.to_string().contains(NO_IMAGE) => Err(error),
            _ => Ok(self.fetched.lock().forget(reference)?),
        }
    }

    /// An image that Docker pulls now, no larger than it may be.
    async fn pulled(&self, reference: &str, most: u64) -> Result<DockerImage> {
        let before = self.free()?;
        let mut pull = self.command(&["image", "pull", "--quiet", reference]);
        pull.stdin(Stdio::null()).stdout(Stdio::null());
        pull.stderr(Stdio::null()).kill_on_drop(true);
        let mut child = pull.spawn().context("docker pull")?;
        let mut looks = tokio::time::interval(PULL_LOOK);
        let status = loop {
            tokio::select! {
                status = child.wait() => break status?,
                // What comes is beside what is unpacked of it, and others write too. Without its client the daemon lets go of both.
                _ = looks.tick() => {
                    let free = self.free()?;
                    let taken = before.saturating_sub(free);
                    ensure!(
                        free >= SPARE && taken <= most.saturating_mul(2).saturating_add(SPARE),
                        "it takes too much of the disk"
                    );
                }
            }
        };
        ensure!(status.success(), "docker pull: {status}");
        let asked = ["image", "inspect", "--format", "{{.Size}}", reference];
        let size: u64 = self.docker(&asked).await?.trim().parse()?;
        ensure!(size <= most, "it is of {} MiB", size >> 20);
        self.fetched.lock().note(reference, size, Instant::now())?;
        self.has(reference).await.context("it is not there")
    }

    /// Bytes that are free where the daemon keeps images.
    fn free(&self) -> Result<u64> {
        let found = statvfs(&self.root).with_context(|| self.root.display().to_string())?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    async fn has(&self, reference: &str) -> Option<DockerImage> {
        let asked = [
            "image",
            "inspect",
            "--format",
            "{{json .Config}}",
            reference,
        ];
        let said = self.docker(&asked).await.ok()?;
        let config: Option<DockerImage> = serde_json::from_str(&said).ok()?;
        Some(config.unwrap_or_default())
    }

    async fn pid(&self, id: &str) -> Result<u32> {
        let state = self.state(id).await?.filter(|state| state.pid > 0);
        Ok(state.context("the container does not run")?.pid)
    }

    /// Makes disk and container.
    async fn create(&self, plan: &Plan) -> Result<()> {
        let (id, disks) = (plan.id.as_str(), &self.parts.disks);
        // It was there when the request was taken, and may have gone since.
        let image = self.image(&plan.image, &plan.repository).await;
        image.map_err(|why| anyhow!(why))?;
        disks.note(id, plan.place, plan.slot)?;
        disks.attach(id, plan.disk_mib).await?;
        let mut create = self.command(&["container", "create"]);
        create.args(arguments(plan, &self.parts.provider, disks)?);
        create.stdin(Stdio::piped()).stdout(Stdio::piped());
        create.stderr(Stdio::piped()).kill_on_drop(true);
        // Everybody on the machine reads a command's words, and a variable of the program's own could change what it does.
        let lines = lines(&plan.environment)?;
        let mut child = create.spawn().context("docker create")?;
        let mut input = child.stdin.take().context("its input")?;
        // A program that ended early says why.
        let _ = timeout(PULL, input.write_all(lines.as_bytes())).await;
        drop(input);
        let created = timeout(PULL, child.wait_with_output())
            .await
            .context("docker create")??;
        match created.status.success() {
            true => Ok(()),
            false => {
                let told = String::from_utf8_lossy(&created.stderr).into_owned();
                bail!(
                    "docker create: {}",
                    told.trim().replace(char::is_control, " ")
                )
            }
        }
    }
}

/// A container's name.
fn name(id: &str) -> String {
    format!("{NAME}{id}")
}

/// Where the system calls are listed that containers may make.
fn calls(disks: &Disks) -> PathBuf {
    disks.run.join("seccomp.json")
}

/// Whether a container of a spec can be made of an image.
fn fit(image: &DockerImage, spec: &ContainerSpec) -> Result<(), String> {
    if image.volumes.iter().flatten().next().is_some() {
        return Err("it has volumes of its own, which would be on no lease's disk".into());
    }
    let dir = image.config.working_dir.as_deref().unwrap_or_default();
    if !dir.is_empty() && !is_inside(dir) {
        return Err("it begins in a directory that is none of its own".into());
    }
    match words(&spec.command, &image.config).is_empty() {
        true => Err("it has no command of its own, and the spec names none".into()),
        false => Ok(()),
    }
}

/// Variables, as Docker reads them.
fn lines(environment: &[(String, String)]) -> Result<String> {
    let mut lines = String::new();
    for (name, value) in environment {
        ensure!(
            !value.contains(['\n', '\r']),
            "the value of {name} has a line break, which Docker's environments can't have"
        );
        lines.extend([name.as_str(), "=", value.as_str(), "\n"]);
    }
    Ok(lines)
}

/// How Docker calls an image: by its manifest's digest in a repository, or alone, then by its configuration's.
fn reference(image: &str, repository: &str) -> String {
    match repository.is_empty() {
        true => image.to_owned(),
        false => format!("{repository}@{image}"),
    }
}

/// Passes what is read on until its end.
async fn pass(mut from: impl AsyncRead + Unpin, told: &mpsc::Sender<Vec<u8>>) {
    let mut chunk = vec![0; CHUNK];
    loop {
        let count = from.read(&mut chunk).await.unwrap_or(0);
        let bytes = chunk.get(..count).unwrap_or_default().to_vec();
        if count == 0 || told.send(bytes).await.is_err() {
            return;
        }
    }
}

/// The words behind `docker container create`.
fn arguments(plan: &Plan, provider: &str, disks: &Disks) -> Result<Vec<String>> {
    let mut all: Vec<String> = Vec::new();
    let mut set = |option: &str, value: String| all.push(format!("--{option}={value}"));
    let memory = format!("{}m", plan.memory_mib);
    set("name", name(&plan.id));
    set("hostname", hostname(&plan.id));
    set("label", format!("{LABEL_PROVIDER}={provider}"));
    set("label", format!("{LABEL_SLOT}={}", plan.slot));
    // Its network is ours, and there once it runs.
    for (option, value) in [
        ("env-file", "/dev/stdin"),
        // It is there, or was just fetched.
        ("pull", "never"),
        ("network", "none"),
        ("ipc", "private"),
        ("restart", "no"),
        ("security-opt", "no-new-privileges"),
        ("log-driver", "json-file"),
        ("log-opt", "max-size=4m"),
        ("log-opt", "max-file=2"),
        ("oom-score-adj", "500"),
        // An image's own look at its health would be one more command.
        ("no-healthcheck", "true"),
        ("read-only", "true"),
        ("cap-drop", "ALL"),
    ] {
        set(option, value.to_owned());
    }
    for (limit, most) in limits(|kind| getrlimit(kind).maximum) {
        set("ulimit", format!("{limit}={most}"));
    }
    let profile = calls(disks);
    let profile = profile
        .to_str()
        .with_context(|| format!("{}: no text", profile.display()))?;
    set("security-opt", format!("seccomp={profile}"));
    for power in CAPABILITIES {
        set("cap-add", power.trim_start_matches("CAP_").to_owned());
    }
    set("memory", memory.clone());
    set("memory-swap", memory);
    set("shm-size", format!("{SHARED_MIB}m"));
    set("pids-limit", plan.pids.to_string());
    set(
        "cpus",
        format!("{}.{:03}", plan.cpu_milli / 1_000, plan.cpu_milli % 1_000),
    );
    let paths = disks.paths(&plan.id);
    let mut bind = |path: &PathBuf, inside: &str, more: &str| -> Result<()> {
        let source = path
            .to_str()
            .filter(|text| !text.contains([',', '"', '\n']));
        let source = source
            .with_context(|| format!("{}: letters that Docker can't name", path.display()))?;
        set(
            "mount",
            format!("type=bind,source={source},target={inside}{more}"),
        );
        Ok(())
    };
    bind(&paths.volume, VOLUME, "")?;
    bind(&paths.home, "/root", "")?;
    bind(&paths.tmp, "/tmp", "")?;
    bind(&paths.tmp, "/var/tmp", "")?;
    bind(&paths.resolv_conf, "/etc/resolv.conf", ",readonly")?;
    bind(&paths.hosts, "/etc/hosts", ",readonly")?;
    let image = reference(&plan.image, &plan.repository);
    match plan.command.split_first() {
        None => all.push(image),
        Some((first, rest)) => {
            all.push(format!("--entrypoint={first}"));
            all.push(image);
            all.extend_from_slice(rest);
        }
    }
    Ok(all)
}

#[async_trait]
impl Runtime for Docker {
    fn name(&self) -> &'static str {
        "docker"
    }

    async fn ready(
        &self,
        spec: &ContainerSpec,
        environment: &[(String, String)],
    ) -> Result<(), String> {
        lines(environment).map_err(|error| error.to_string())?;
        if spec.cpu_milli > self.cores.saturating_mul(1_000) {
            return Err(format!("this machine has {} cores", self.cores));
        }
        let image = self.image(&spec.image, &spec.repository).await?;
        fit(&image, spec)
    }

    fn room(&self, promised: &[(String, u32)]) -> Result<u64> {
        self.parts.disks.room(promised)
    }

    async fn start(&self, plan: &Plan) -> Result<Begun> {
        let id = plan.id.as_str();
        match self.inspect(id).await? {
            Seen::Running if !self.parts.nets.is_connected(plan.place) => {}
            Seen::Running | Seen::Frozen => {
                self.thaw(id).await?;
                self.lives.note(id, self.pid(id).await?);
                return Ok(Begun::Runs);
            }
            seen => {
                if seen == Seen::Absent {
                    self.create(plan).await?;
                }
                // After a restart of the machine its disk is not mounted.
                self.parts.disks.attach(id, plan.disk_mib).await?;
                self.networks.forget(id);
                if let Err(error) = self.docker(&["container", "start", &name(id)]).await {
                    // It says there at full length what went wrong.
                    let state = self.state(id).await?;
                    let why = state.and_then(|state| refusal(&state.error));
                    return why.map(Begun::Refused).ok_or(error);
                }
            }
        }
        let pid = self.pid(id).await?;
        self.lives.note(id, pid);
        self.parts.nets.connect(plan.place, pid).await?;
        Ok(Begun::Runs)
    }

    async fn inspect(&self, id: &str) -> Result<Seen> {
        let Some(state) = self.state(id).await? else {
            return Ok(Seen::Absent);
        };
        Ok(match state.status.as_str() {
            "created" => Seen::Created,
            "running" | "restarting" => Seen::Running,
            "paused" => Seen::Frozen,
            "exited" | "dead" | "removing" => Seen::Ended,
            other => bail!("docker says that it is {other:?}"),
        })
    }

    fn is_running(&self, id: &str) -> bool {
        self.lives.is_running(id)
    }

    async fn tend(&self, _id: &str) -> Result<()> {
        Ok(())
    }

    async fn remove(&self, id: &str) -> Result<()> {
        let name = name(id);
        self.thaw(id).await?;
        if self.inspect(id).await? == Seen::Running {
            self.docker(&["container", "stop", "-t", PARTING, &name])
                .await?;
        }
        let remove = ["container", "rm", "--force", "--volumes", &name];
        match self.docker(&remove).await {
            Err(error) if !error.to_string().contains(NONE) => return Err(error),
            _ => {}
        }
        self.lives.forget(id);
        self.networks.forget(id);
        if let Some((place, _)) = self.parts.disks.noted(id) {
            self.parts.nets.disconnect(place).await?;
        }
        self.parts.disks.destroy(id).await
    }

    async fn kill(&self, id: &str) -> Result<()> {
        self.docker(&["container", "kill", &name(id)])
            .await
            .map(drop)
    }

    async fn freeze(&self, id: &str) -> Result<()> {
        self.docker(&["container", "pause", &name(id)])
            .await
            .map(drop)
    }

    async fn thaw(&self, id: &str) -> Result<()> {
        match self.inspect(id).await? {
            Seen::Frozen => self
                .docker(&["container", "unpause", &name(id)])
                .await
                .map(drop),
            _ => Ok(()),
        }
    }

    async fn exec(&self, id: &str, exec: Exec) -> Result<Process> {
        let mut command = self.command(&["container", "exec", "--interactive"]);
        if let Some((term, _)) = &exec.terminal {
            command.arg("--tty").arg(format!("--env=TERM={term}"));
        }
        command.arg(name(id)).args(&exec.command);
        match exec.terminal {
            Some((_, size)) => executed::on_terminal(command, size),
            None => executed::piped(command),
        }
    }

    async fn dial(&self, id: &str, port: u16) -> Result<TcpStream> {
        let network = self.networks.of(id, || self.pid(id)).await?;
        inside::dial(network, port).await
    }

    async fn logs(&self, id: &str, follow: bool) -> Result<mpsc::Receiver<Vec<u8>>> {
        let mut logs = self.command(&["container", "logs"]);
        if follow {
            logs.arg("--follow");
        }
        logs.arg(name(id)).kill_on_drop(true).stdin(Stdio::null());
        logs.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = logs.spawn().context("docker logs")?;
        let output = child.stdout.take().context("its output")?;
        let errors = child.stderr.take().context("its errors")?;
        let (told, read) = mpsc::channel(WAITING);
        tokio::spawn(async move {
            let both = async { tokio::join!(pass(output, &told), pass(errors, &told)) };
            tokio::select! {
                _ = both => {}
                // Nobody reads on.
                () = told.closed() => {}
            }
            let _ = child.kill().await;
        });
        Ok(read)
    }

    async fn uphold(&self) -> Result<bool> {
        let is_changed = self.parts.nets.uphold().await?;
        forward::open(&self.parts.nets.prefix()).await?;
        Ok(is_changed)
    }

    async fn remark(&self, id: &str, line: &str) -> Result<()> {
        // Docker's logs take no lines of others.
        tracing::debug!(lease = id, line, "not in the container's log");
        Ok(())
    }

    async fn list(&self) -> Result<Vec<Labelled>> {
        let mut all = self.parts.disks.list()?;
        let filter = format!("label={LABEL_PROVIDER}={}", self.parts.provider);
        let format = format!("{{{{.Names}}}} {{{{.Label \"{LABEL_SLOT}\"}}}}");
        let asked = [
            "container",
            "ls",
            "--all",
            "--filter",
            &filter,
            "--format",
            &format,
        ];
        for line in self.docker(&asked).await?.lines() {
            let (found, slot) = line.split_once(' ').unwrap_or((line, ""));
            let Some(id) = found.strip_prefix(NAME) else {
                continue;
            };
            if all.iter().all(|one| one.id != id) {
                let slot = slot.parse().unwrap_or(0);
                all.push(Labelled {
                    id: id.to_owned(),
                    slot,
                    place: None,
                });
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{container::bundle::tests::plan, spec::container::tests::small};

    fn disks() -> Disks {
        Disks {
            state: "/data".into(),
            run: "/run/x".into(),
            first_user: 0,
            is_encrypted: false,
            resolv_conf: String::new(),
        }
    }

    #[test]
    fn a_container_has_no_power_no_network_of_docker_and_no_secret_in_its_words() {
        let words = arguments(&plan(), "prov", &disks()).unwrap();
        for word in [
            "--cap-drop=ALL",
            "--network=none",
            "--read-only=true",
            "--security-opt=no-new-privileges",
            "--memory=64m",
            "--memory-swap=64m",
            "--pids-limit=32",
            "--cpus=1.500",
            "--env-file=/dev/stdin",
            "--label=mythic.provider=prov",
            "--entrypoint=/bin/sh",
            "--no-healthcheck=true",
            "--security-opt=seccomp=/run/x/seccomp.json",
            "--ulimit=core=0",
        ] {
            assert!(words.iter().any(|one| one == word), "{word}: {words:?}");
        }
        assert!(
            !words
                .iter()
                .any(|word| word.contains("a=b") || word.contains("NET_RAW"))
        );
        // The image is the last word but for those of the command, which is one here.
        assert_eq!(words.last().unwrap(), &plan().image);
    }

    #[test]
    fn an_image_that_writes_beside_its_disk_or_runs_nothing_is_refused() {
        let of = |text: &str| serde_json::from_str::<Option<DockerImage>>(text).unwrap();
        let (mut spec, good) = (small(), r#"{"Cmd": ["sh"], "Volumes": null, "User": "7"}"#);
        assert_eq!(fit(&of(good).unwrap(), &spec), Ok(()));
        let refused = |text: &str, spec: &ContainerSpec| fit(&of(text).unwrap(), spec);
        let volumes = refused(r#"{"Cmd": ["sh"], "Volumes": {"/data": {}}}"#, &spec);
        assert!(volumes.unwrap_err().contains("volumes"));
        let begins = refused(r#"{"WorkingDir": "/proc/self/fd/8"}"#, &spec);
        assert!(begins.unwrap_err().contains("begins"));
        assert_eq!(refused("{}", &spec), Ok(()), "the spec has a command");
        spec.command.clear();
        assert!(refused("{}", &spec).is_err() && of("null").is_none());
    }

    #[test]
    fn an_image_is_named_by_its_digest_alone_or_in_a_repository() {
        assert_eq!(reference("sha256:ab", ""), "sha256:ab");
        assert_eq!(
            reference("sha256:ab", "a.example/b"),
            "a.example/b@sha256:ab"
        );
    }

    #[test]
    fn values_are_told_in_lines_of_their_own() {
        let of = |value: &str| lines(&[("A".into(), value.into()), ("B".into(), String::new())]);
        assert_eq!(of("x = #y").unwrap(), "A=x = #y\nB=\n");
        assert!(of("x\nLD_PRELOAD=/evil").is_err() && of("x\r").is_err());
    }
}
