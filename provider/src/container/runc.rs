//! Containers by runc, as root: a bundle from an OCI layout, users of their own, a disk of their own, a network of their own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use async_trait::async_trait;
use mythic_support::files;
use rustix::process::getrlimit;
use serde::Deserialize;
use tokio::{
    net::TcpStream,
    sync::{Mutex, mpsc},
    time::{Instant, sleep, timeout},
};

use super::{
    bundle::{self, Parts},
    command,
    disk::Disks,
    executed, forward,
    image::{self, Image, Images},
    inside::{self, Networks},
    life::Lives,
    logs::Log,
    net::Nets,
    runtime::{Begun, Exec, Labelled, Plan, Process, Runtime, Seen, refusal},
};
use crate::spec::ContainerSpec;

/// How long a container's first process may take to end by itself.
const PARTING: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long `runc create` may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// What runc writes of a container once it is made.
const STATE: &str = "state.json";
/// Files that are watched, and lists of them, by each user of a container.
const COUNTED: [(&str, &str); 2] = [
    ("max_inotify_instances", "32"),
    ("max_inotify_watches", "65536"),
];
/// Why an image alone is no container.
const NO_COMMAND: &str = "the image has no command of its own, and the spec names none";
/// In a container's directory: why it could not be made.
const COMPLAINTS: &str = "runc.log";
/// Bytes of complaints that are told.
const COMPLAINT: usize = 400;

/// What a [`Runc`] is made of.
#[derive(Debug, Clone)]
pub struct RuncParts {
    /// The program.
    pub program: String,
    /// The provider's name.
    pub provider: String,
    pub disks: Disks,
    pub nets: Nets,
    pub images: Arc<Images>,
}

/// Containers by runc.
pub struct Runc {
    parts: RuncParts,
    /// What runc keeps of its containers; gone after a restart of the machine, as they are.
    root: PathBuf,
    /// Images are unpacked one at a time.
    unpacking: Arc<Mutex<()>>,
    lives: Lives,
    networks: Networks,
}

#[derive(Debug, Deserialize)]
struct State {
    id: String,
    pid: u32,
    status: String,
    #[serde(default)]
    annotations: std::collections::HashMap<String, String>,
}

impl Runc {
    /// Lays out the rules of the network, which hold for every container that follows.
    pub async fn open(parts: RuncParts) -> Result<Self> {
        parts.nets.lay_out().await?;
        forward::open(&parts.nets.prefix()).await?;
        let root = parts.disks.run.join("runc");
        files::private_dir(&root)?;
        Ok(Self {
            parts,
            root,
            unpacking: Arc::default(),
            lives: Lives::default(),
            networks: Networks::default(),
        })
    }

    fn dir(&self, id: &str) -> PathBuf {
        self.parts.disks.dir(id)
    }

    fn log(&self, id: &str) -> Log {
        Log(self.parts.disks.log(id))
    }

    async fn runc(&self, arguments: &[&str]) -> Result<Vec<u8>> {
        let root = self.root.to_str().context("the directory's name")?;
        let mut all = vec!["--root", root];
        all.extend_from_slice(arguments);
        command::run(&self.parts.program, &all).await
    }

    /// What runc says of a container; `None` if it knows none, whatever it began to write.
    async fn state(&self, id: &str) -> Result<Option<State>> {
        if !self.root.join(id).join(STATE).exists() {
            return Ok(None);
        }
        let said = self.runc(&["state", id]).await?;
        Ok(Some(serde_json::from_slice(&said).context("runc state")?))
    }

    async fn pid(&self, id: &str) -> Result<u32> {
        let state = self.state(id).await?.filter(|state| state.pid > 0);
        Ok(state.context("the container does not run")?.pid)
    }

    async fn image(&self, digest: &str) -> Result<Image> {
        // Nobody waits for another one's.
        if let Some(image) = self.parts.images.unpacked(digest) {
            return Ok(image);
        }
        let one = self.unpacking.clone().lock_owned().await;
        let (images, digest) = (self.parts.images.clone(), digest.to_owned());
        let image = tokio::task::spawn_blocking(move || {
            let _one = one;
            images.image(&digest)
        });
        image.await?
    }

    /// Makes disk, bundle and container; its first process waits.
    async fn create(&self, plan: &Plan) -> Result<Begun> {
        let (id, disks) = (plan.id.as_str(), &self.parts.disks);
        disks.note(id, plan.place, plan.slot)?;
        let image = self.image(&plan.image).await?;
        let words = bundle::words(&plan.command, &image.config);
        ensure!(!words.is_empty(), NO_COMMAND);
        disks.mount(id, plan.disk_mib, &image.rootfs).await?;
        let user = image.config.user.as_deref().unwrap_or_default();
        let paths = disks.paths(id);
        let parts = Parts {
            image: &image,
            user: image::user(&image.rootfs, user)?,
            paths: &paths,
            first_user: disks.first_user,
            provider: &self.parts.provider,
            most: |kind| getrlimit(kind).maximum,
            has_ipv6: Path::new("/proc/sys/net/ipv6").exists(),
        };
        let config = serde_json::to_vec(&bundle::config(plan, &parts))?;
        let bundle = self.dir(id).join("bundle");
        files::private_dir(&bundle)?;
        files::replace(&bundle.join("config.json"), &config)?;
        if self.root.join(id).exists() {
            // A container that was not wholly made is in the way of its next one.
            self.runc(&["delete", "--force", id]).await?;
        }
        self.created(id, &bundle).await
    }

    async fn created(&self, id: &str, bundle: &Path) -> Result<Begun> {
        let complaints = self.dir(id).join(COMPLAINTS);
        drop(files::create_private(&complaints)?);
        let out = self.log(id).open()?;
        let mut create = command::unmasked(&self.parts.program);
        create.arg("--root").arg(&self.root);
        create.arg("--log").arg(&complaints);
        create.args(["create", "--bundle"]).arg(bundle).arg(id);
        create
            .stdin(Stdio::null())
            .stderr(out.try_clone()?)
            .stdout(out);
        let mut child = create.spawn().context("runc create")?;
        let Ok(ended) = timeout(PATIENCE, child.wait()).await else {
            child.kill().await?;
            self.runc(&["delete", "--force", id]).await?;
            bail!("runc create: not done within {} s", PATIENCE.as_secs());
        };
        if ended?.success() {
            return Ok(Begun::Runs);
        }
        let said = fs::read(&complaints).unwrap_or_default();
        let end = said.get(said.len().saturating_sub(COMPLAINT)..);
        let told = String::from_utf8_lossy(end.unwrap_or_default());
        // What is half made is no container.
        self.runc(&["delete", "--force", id]).await?;
        if let Some(why) = refusal(&String::from_utf8_lossy(&said)) {
            return Ok(Begun::Refused(why));
        }
        bail!(
            "runc create: {}",
            told.trim().replace(char::is_control, " ")
        )
    }

    /// Ends its processes and forgets them.
    async fn end(&self, id: &str) -> Result<()> {
        let Some(state) = self.state(id).await? else {
            return match self.root.join(id).exists() {
                // It was not wholly made.
                true => self.runc(&["delete", "--force", id]).await.map(drop),
                false => Ok(()),
            };
        };
        if state.status == "paused" {
            self.runc(&["resume", id]).await?;
        }
        if state.status != "stopped" && self.runc(&["kill", id, "TERM"]).await.is_ok() {
            let until = Instant::now() + PARTING;
            while Instant::now() < until && self.inspect(id).await? != Seen::Ended {
                sleep(LOOK_EVERY).await;
            }
        }
        self.runc(&["delete", "--force", id]).await.map(drop)
    }
}

/// Bounds what each user of a container may have of what the kernel counts for this machine's root, too.
async fn bound(pid: u32) -> Result<()> {
    let users = format!("--user=/proc/{pid}/ns/user");
    for (name, most) in COUNTED {
        let path = format!("/proc/sys/user/{name}");
        let write = [users.as_str(), "tee", path.as_str()];
        command::fed("nsenter", &write, most.as_bytes()).await?;
    }
    Ok(())
}

#[async_trait]
impl Runtime for Runc {
    fn name(&self) -> &'static str {
        "runc"
    }

    async fn ready(
        &self,
        spec: &ContainerSpec,
        _environment: &[(String, String)],
    ) -> Result<(), String> {
        let digest = &spec.image;
        if !self.parts.images.has(digest) {
            return Err(format!("{digest} is not here"));
        }
        let image = self.image(digest).await.map_err(|error| {
            tracing::warn!(
                image = digest,
                "an image that was asked for can't be unpacked: {error:#}"
            );
            format!("{digest} can't be unpacked here")
        })?;
        let user = image.config.user.as_deref().unwrap_or_default();
        image::user(&image.rootfs, user).map_err(|error| format!("{error:#}"))?;
        match bundle::words(&spec.command, &image.config).is_empty() {
            true => Err(NO_COMMAND.into()),
            false => Ok(()),
        }
    }

    fn room(&self, promised: &[(String, u32)]) -> Result<u64> {
        self.parts.disks.room(promised)
    }

    async fn start(&self, plan: &Plan) -> Result<Begun> {
        let id = plan.id.as_str();
        let begun = match self.inspect(id).await? {
            Seen::Running | Seen::Frozen => {
                self.thaw(id).await?;
                self.lives.note(id, self.pid(id).await?);
                return Ok(Begun::Runs);
            }
            Seen::Created => Begun::Runs,
            Seen::Ended => {
                self.runc(&["delete", "--force", id]).await?;
                self.create(plan).await?
            }
            Seen::Absent => self.create(plan).await?,
        };
        self.networks.forget(id);
        if begun == Begun::Runs {
            let pid = self.pid(id).await?;
            self.parts.nets.connect(plan.place, pid).await?;
            bound(pid).await?;
            self.runc(&["start", id]).await?;
            self.lives.note(id, pid);
        }
        Ok(begun)
    }

    async fn inspect(&self, id: &str) -> Result<Seen> {
        let Some(state) = self.state(id).await? else {
            return Ok(Seen::Absent);
        };
        Ok(match state.status.as_str() {
            "created" | "creating" => Seen::Created,
            "running" => Seen::Running,
            "paused" => Seen::Frozen,
            "stopped" => Seen::Ended,
            other => bail!("runc says that it is {other:?}"),
        })
    }

    fn is_running(&self, id: &str) -> bool {
        self.lives.is_running(id)
    }

    async fn tend(&self, id: &str) -> Result<()> {
        Ok(self.log(id).turn()?)
    }

    async fn remove(&self, id: &str) -> Result<()> {
        self.end(id).await?;
        self.lives.forget(id);
        self.networks.forget(id);
        if let Some((place, _)) = self.parts.disks.noted(id) {
            self.parts.nets.disconnect(place).await?;
        }
        self.parts.disks.destroy(id).await
    }

    async fn kill(&self, id: &str) -> Result<()> {
        self.runc(&["kill", id, "KILL"]).await.map(drop)
    }

    async fn freeze(&self, id: &str) -> Result<()> {
        self.runc(&["pause", id]).await.map(drop)
    }

    async fn thaw(&self, id: &str) -> Result<()> {
        match self.inspect(id).await? {
            Seen::Frozen => self.runc(&["resume", id]).await.map(drop),
            _ => Ok(()),
        }
    }

    async fn exec(&self, id: &str, exec: Exec) -> Result<Process> {
        let mut command = command::unmasked(&self.parts.program);
        command.arg("--root").arg(&self.root).arg("exec");
        if let Some((term, _)) = &exec.terminal {
            command.args(["--tty", "--env"]).arg(format!("TERM={term}"));
        }
        command.arg(id).args(&exec.command);
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
        Ok(self.log(id).read(follow))
    }

    async fn uphold(&self) -> Result<bool> {
        let is_changed = self.parts.nets.uphold().await?;
        forward::open(&self.parts.nets.prefix()).await?;
        Ok(is_changed)
    }

    async fn remark(&self, id: &str, line: &str) -> Result<()> {
        Ok(self.log(id).remark(line)?)
    }

    async fn list(&self) -> Result<Vec<Labelled>> {
        let mut all = self.parts.disks.list()?;
        let said = self.runc(&["list", "--format", "json"]).await?;
        let known: Option<Vec<State>> = serde_json::from_slice(&said).context("runc list")?;
        for state in known.unwrap_or_default() {
            let of = state.annotations.get(bundle::LABEL_PROVIDER);
            let is_new = all.iter().all(|one| one.id != state.id);
            if of == Some(&self.parts.provider) && is_new {
                let slot = state.annotations.get(bundle::LABEL_SLOT);
                let slot = slot.and_then(|slot| slot.parse().ok()).unwrap_or(0);
                all.push(Labelled {
                    id: state.id,
                    slot,
                    place: None,
                });
            }
        }
        Ok(all)
    }
}
