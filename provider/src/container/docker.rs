//! Containers by Docker: its command and its daemon, with disks and networks of our own. An image's files can't be written to; what can is
//! on the container's disk: its volume, `/root`, `/tmp` and `/var/tmp`.

use std::{path::PathBuf, process::Stdio, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use async_trait::async_trait;
use serde::Deserialize;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    process::Command,
    sync::mpsc,
    time::timeout,
};

use super::{
    bundle::{CAPABILITIES, LABEL_PROVIDER, LABEL_SLOT, SHARED_MIB, VOLUME, hostname},
    command,
    disk::Disks,
    executed,
    inside::{self, Networks},
    net::Nets,
    runtime::{Exec, Labelled, Plan, Process, Runtime, Seen},
};
use crate::spec::container::digits;

/// What stands before the lease in a container's name.
const NAME: &str = "mythic-";
/// What Docker says of a container that is not there.
const NONE: &str = "No such container";
/// How long a container's first process may take to end by itself, seconds.
const PARTING: &str = "2";
/// How long an image may take to come.
const PULL: Duration = Duration::from_secs(600);
/// Bytes of a log that are passed on at once, and pieces that wait.
const CHUNK: usize = 16 << 10;
const WAITING: usize = 16;

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
}

/// Containers by Docker.
pub struct Docker(DockerParts, Networks);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerState {
    status: String,
    pid: u32,
}

impl Docker {
    /// Lays out the rules of the network, and asks the daemon whose users containers have: `first_user` counts only where it moves them.
    pub async fn open(mut parts: DockerParts) -> Result<Self> {
        parts.nets.lay_out().await?;
        let asked = [
            "--host",
            &parts.host,
            "info",
            "--format",
            "{{json .SecurityOptions}}",
        ];
        let said = command::run(&parts.program, &asked).await?;
        if !String::from_utf8_lossy(&said).contains("name=userns") {
            parts.disks.first_user = 0;
        }
        Ok(Self(parts, Networks::default()))
    }

    async fn docker(&self, arguments: &[&str]) -> Result<String> {
        let mut all = vec!["--host", self.0.host.as_str()];
        all.extend_from_slice(arguments);
        let said = command::run(&self.0.program, &all).await?;
        Ok(String::from_utf8_lossy(&said).into_owned())
    }

    /// A command that Docker runs, not begun yet.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.0.program);
        command.args(["--host", &self.0.host]).args(arguments);
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

    async fn pid(&self, id: &str) -> Result<u32> {
        let state = self.state(id).await?.filter(|state| state.pid > 0);
        Ok(state.context("the container does not run")?.pid)
    }

    /// Makes disk and container.
    async fn create(&self, plan: &Plan) -> Result<()> {
        let (id, disks) = (plan.id.as_str(), &self.0.disks);
        disks.note(id, plan.place, plan.slot)?;
        disks.attach(id, plan.disk_mib).await?;
        let mut create = self.command(&["container", "create"]);
        create.args(arguments(plan, &self.0.provider, disks)?);
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
        // It was fetched when the request was taken.
        ("pull", "never"),
        ("network", "none"),
        ("ipc", "private"),
        ("restart", "no"),
        ("security-opt", "no-new-privileges"),
        ("log-driver", "json-file"),
        ("log-opt", "max-size=4m"),
        ("log-opt", "max-file=2"),
        ("ulimit", "core=0"),
        ("oom-score-adj", "500"),
        ("read-only", "true"),
        ("cap-drop", "ALL"),
    ] {
        set(option, value.to_owned());
    }
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

    async fn has(&self, image: &str, repository: &str) -> bool {
        if digits(image).is_none() {
            return false;
        }
        let reference = reference(image, repository);
        if self.docker(&["image", "inspect", &reference]).await.is_ok() {
            return true;
        }
        // What a stranger names is fetched only from where the operator lets it come.
        if !self.0.repositories.iter().any(|one| one == repository) {
            return false;
        }
        let mut pull = self.command(&["image", "pull", "--quiet", &reference]);
        pull.stdin(Stdio::null()).stdout(Stdio::null());
        pull.stderr(Stdio::null()).kill_on_drop(true);
        let pulled = timeout(PULL, pull.status()).await;
        matches!(pulled, Ok(Ok(status)) if status.success())
    }

    async fn start(&self, plan: &Plan) -> Result<()> {
        let id = plan.id.as_str();
        match self.inspect(id).await? {
            Seen::Running if self.0.nets.is_connected(plan.place) => return Ok(()),
            Seen::Running => {}
            Seen::Frozen => return self.thaw(id).await,
            seen => {
                if seen == Seen::Absent {
                    self.create(plan).await?;
                }
                // After a restart of the machine its disk is not mounted.
                self.0.disks.attach(id, plan.disk_mib).await?;
                self.docker(&["container", "start", &name(id)]).await?;
            }
        }
        self.1.forget(id);
        let pid = self.pid(id).await?;
        self.0.nets.connect(plan.place, pid).await
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
        self.1.forget(id);
        if let Some((place, _)) = self.0.disks.noted(id) {
            self.0.nets.disconnect(place).await?;
        }
        self.0.disks.destroy(id).await
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
        let network = self.1.of(id, || self.pid(id)).await?;
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
        self.0.nets.uphold().await
    }

    async fn remark(&self, id: &str, line: &str) -> Result<()> {
        // Docker's logs take no lines of others.
        tracing::debug!(lease = id, line, "not in the container's log");
        Ok(())
    }

    async fn list(&self) -> Result<Vec<Labelled>> {
        let mut all = self.0.disks.list()?;
        let filter = format!("label={LABEL_PROVIDER}={}", self.0.provider);
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
    use crate::container::bundle::tests::plan;

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
