//! A container by Docker, held to the same as those by runc.

use super::{
    bounds::{held, terminal},
    machine::{Machine, able, lack, layer, ran, until},
    registry::Registry,
};
use anyhow::{Context, Result, bail, ensure};
use mythic_provider::container::{
    config::RuntimeKind,
    docker::{Docker, DockerParts},
    runtime::{Begun, Plan, Runtime, Seen},
};
use std::{
    fs::{self, File},
    io::Write as _,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;
use tokio::{io::AsyncReadExt as _, net::TcpListener, time::timeout};

/// The machine's own daemon.
const HOST: &str = "unix:///var/run/docker.sock";
const ID: &str = "docked";
/// MiB of the largest image that is fetched here, and of all.
const ROOM: u64 = 8;

/// A daemon: the machine's, or one of the test's own.
struct Daemon {
    host: String,
    own: Option<(Child, [TempDir; 2])>,
}

impl Daemon {
    /// One that answers; without any the test is counted as skipped, or fails where containers must run.
    async fn found() -> Result<Option<Self>> {
        if !able(lack(RuntimeKind::Docker))? {
            return Ok(None);
        }
        let of_machine = Self {
            host: HOST.into(),
            own: None,
        };
        if of_machine.said(&["info"]).is_ok() {
            return Ok(Some(of_machine));
        }
        match Self::begun().await {
            Ok(daemon) => Ok(Some(daemon)),
            Err(error) => able(Some(format!("apt-get install docker.io: {error:#}"))).map(|_| None),
        }
    }

    /// One that needs and changes nothing of the machine.
    async fn begun() -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("mythic-test-")
            .tempdir_in("/run")?;
        let images = tempfile::tempdir()?;
        let path = |name: &str| dir.path().join(name).display().to_string();
        let host = format!("unix://{}", path("docker.sock"));
        let log = path("log");
        let mut dockerd = Command::new("dockerd");
        dockerd.args(["--host", &host, "--bridge=none", "--iptables=false"]);
        dockerd.args(["--ip-forward=false", "--userland-proxy=false"]);
        dockerd.arg("--data-root").arg(images.path());
        dockerd.args(["--exec-root", &path("exec")]);
        dockerd.args(["--pidfile", &path("pid")]);
        dockerd.stdin(Stdio::null()).stdout(Stdio::null());
        dockerd.stderr(File::create(&log)?);
        let child = dockerd.spawn().context("dockerd")?;
        let mut daemon = Self {
            host,
            own: Some((child, [dir, images])),
        };
        until("dockerd answers", async || {
            if let Some((child, _)) = &mut daemon.own
                && let Some(status) = child.try_wait()?
            {
                let said = fs::read_to_string(&log)?;
                bail!("dockerd: {status}: {said}");
            }
            Ok(daemon.said(&["info"]).is_ok())
        })
        .await?;
        Ok(daemon)
    }

    fn docker(&self, arguments: &[&str]) -> Command {
        let mut docker = Command::new("docker");
        docker.args(["--host", &self.host]).args(arguments);
        docker.stdin(Stdio::null());
        docker
    }

    fn said(&self, arguments: &[&str]) -> Result<String> {
        let output = self.docker(arguments).output()?;
        let wrong = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "docker {arguments:?}: {wrong}");
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// Gives Docker the image; returns its name for it.
    fn import(&self) -> Result<String> {
        let mut import = self.docker(&["image", "import", "--change", "ENV PATH=/bin", "-"]);
        import.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = import.spawn()?;
        let mut input = child.stdin.take().context("its input")?;
        input.write_all(&layer()?)?;
        drop(input);
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "docker import: {}", output.status);
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// A runtime that fetches from these repositories, and keeps nothing that it fetched longer than it is used.
    async fn runtime(
        &self,
        machine: &Machine,
        repositories: Vec<String>,
    ) -> Result<Arc<dyn Runtime>> {
        let parts = DockerParts {
            program: "docker".into(),
            host: self.host.clone(),
            provider: machine.provider(),
            disks: machine.disks()?,
            nets: machine.nets(),
            repositories,
            fetched: machine.noted(),
            image_mib: ROOM,
            images_mib: ROOM,
            kept: Duration::ZERO,
        };
        Ok(Arc::new(Docker::open(parts).await?))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some((child, _)) = &mut self.own
            && child.try_wait().is_ok_and(|ended| ended.is_none())
        {
            // Told to end, it ends what it began.
            let _ = Command::new("kill").arg(child.id().to_string()).status();
            let _ = child.wait();
        }
    }
}

/// Whatever a test that failed left.
struct Left<'a> {
    daemon: &'a Daemon,
    id: &'a str,
    images: Vec<String>,
}

impl Drop for Left<'_> {
    fn drop(&mut self) {
        let name = format!("mythic-{}", self.id);
        let mut all = vec![["container", "rm", "--force", &name]];
        let images = self.images.iter();
        all.extend(images.map(|image| ["image", "rm", "--force", image]));
        for arguments in all {
            let _ = self
                .daemon
                .docker(&arguments)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_of_docker_is_held_to_its_bounds_and_leaves_nothing() -> Result<()> {
    let Some(daemon) = Daemon::found().await? else {
        return Ok(());
    };
    let mut machine = Machine::new(247)?;
    machine.image = daemon.import()?;
    let left = Left {
        daemon: &daemon,
        id: ID,
        images: vec![machine.image.clone()],
    };
    let first = daemon.runtime(&machine, Vec::new()).await?;
    let mut plan = machine.plan(ID, 1);
    plan.command = ["/bin/sh", "-c", "echo up; exec sleep 100000"]
        .map(String::from)
        .into();
    refused(&machine, first.as_ref(), &plan).await?;
    ensure!(first.inspect(ID).await? == Seen::Absent);
    first.start(&plan).await?;
    ensure!(first.inspect(ID).await? == Seen::Running);
    bounded(first.as_ref()).await?;
    alone(&machine, first.as_ref()).await?;

    // Nothing can be begun in it when it is full of processes, but all of it can begin anew.
    let bomb = "i=0; while [ $i -lt 200 ]; do sleep 1000 >/dev/null 2>&1 & i=$((i+1)); done; true";
    let (said, _) = ran(first.as_ref(), ID, bomb).await?;
    ensure!(said.contains("fork"), "{said}");
    first.kill(ID).await?;
    until("it has ended", async || {
        Ok(first.inspect(ID).await? == Seen::Ended)
    })
    .await?;
    first.start(&plan).await?;
    let (said, code) = ran(
        first.as_ref(),
        ID,
        "wc -l </proc/net/route; cat /volume/kept",
    )
    .await?;
    ensure!(said == "3\nstays\n" && code == 0, "{said}");
    terminal(first.as_ref(), ID).await?;
    held(first.as_ref(), ID).await?;
    let mut log = first.logs(ID, false).await?;
    let line = log.recv().await.context("no log")?;
    ensure!(line.starts_with(b"up\n"), "{line:?}");

    // Killed while a proof held it.
    first.freeze(ID).await?;
    drop(first);
    let second = daemon.runtime(&machine, Vec::new()).await?;
    let listed = second.list().await?;
    ensure!(
        listed.len() == 1 && listed[0].id == ID && listed[0].slot == 7,
        "{listed:?}"
    );
    second.start(&plan).await?;
    ensure!(second.inspect(ID).await? == Seen::Running);
    second.freeze(ID).await?;
    second.remove(ID).await?;
    machine.assert_gone(second.as_ref(), ID, 1).await?;
    second.remove(ID).await?;
    drop(left);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn images_that_tenants_name_are_fetched_within_their_room_and_make_room_again() -> Result<()>
{
    const ID: &str = "fetching";
    let Some(daemon) = Daemon::found().await? else {
        return Ok(());
    };
    let mut registry = Registry::default();
    let first = registry.image("first", 0)?;
    let second = registry.image("second", 0)?;
    let large = registry.image("large", usize::try_from(ROOM << 20)?)?;
    let repository = registry.serve().await?;
    let named = |image: &str| format!("{repository}@{image}");
    let machine = Machine::new(245)?;
    let left = Left {
        daemon: &daemon,
        id: ID,
        images: [&first, &second, &large].map(|image| named(image)).into(),
    };
    let runtime = daemon.runtime(&machine, vec![repository.clone()]).await?;
    let ready = async |image: &str, from: &str| {
        let mut spec = machine.spec();
        spec.command = vec!["/bin/sh".into()];
        (spec.image, spec.repository) = (image.to_owned(), from.to_owned());
        runtime.ready(&spec, &[]).await
    };
    let is_here = |image: &str| daemon.said(&["image", "inspect", &named(image)]).is_ok();

    // From nowhere but where the operator lets it come.
    let (registry, _) = repository.split_once('/').context("no name")?;
    let elsewhere = format!("{registry}/other");
    let refused = ready(&first, &elsewhere).await;
    ensure!(refused.is_err_and(|why| why.ends_with("is not here")));

    // One that is too large leaves nothing, and one makes room for the next.
    let refused = ready(&large, &repository).await;
    ensure!(refused.is_err_and(|why| why.contains("can't be fetched")));
    ensure!(!is_here(&large));
    let fetched = ready(&first, &repository).await;
    ensure!(fetched.is_ok() && is_here(&first), "{fetched:?}");
    let fetched = ready(&second, &repository).await;
    ensure!(fetched.is_ok() && is_here(&second), "{fetched:?}");
    ensure!(!is_here(&first), "both are larger than their room");

    // What a container is of stays, whoever started it.
    let mut plan = machine.plan(ID, 1);
    (plan.image, plan.repository) = (second.clone(), repository.clone());
    plan.command = ["/bin/sh", "-c", "exec sleep 100000"]
        .map(String::from)
        .into();
    runtime.start(&plan).await?;
    drop(runtime);
    let runtime = daemon.runtime(&machine, vec![repository.clone()]).await?;
    let mut spec = machine.spec();
    spec.command = plan.command.clone();
    (spec.image, spec.repository) = (first.clone(), repository.clone());
    let refused = runtime.ready(&spec, &[]).await;
    ensure!(refused.is_err_and(|why| why.contains("can't be fetched")));
    ensure!(is_here(&second) && !is_here(&first));
    ensure!(runtime.inspect(ID).await? == Seen::Running);
    runtime.remove(ID).await?;
    let fetched = runtime.ready(&spec, &[]).await;
    ensure!(fetched.is_ok() && !is_here(&second), "{fetched:?}");
    drop(left);
    machine.assert_gone(runtime.as_ref(), ID, 1).await
}

/// Nothing is promised that could not start, and a command that is not there is the tenant's own matter.
async fn refused(machine: &Machine, runtime: &dyn Runtime, plan: &Plan) -> Result<()> {
    let mut spec = machine.spec();
    ensure!(runtime.ready(&spec, &[]).await.is_err(), "no command");
    spec.command = plan.command.clone();
    let ready = runtime.ready(&spec, &[]).await;
    ensure!(ready.is_ok(), "{ready:?}");
    let broken = [("A".to_owned(), "b\nc".to_owned())];
    ensure!(runtime.ready(&spec, &broken).await.is_err(), "two lines");
    spec.cpu_milli = 1_024_000;
    ensure!(runtime.ready(&spec, &[]).await.is_err(), "too many cores");
    spec = machine.spec();
    spec.image = format!("sha256:{}", "0".repeat(64));
    for repository in ["", "registry.invalid/a"] {
        spec.repository = repository.into();
        let refused = runtime.ready(&spec, &[]).await;
        ensure!(refused.is_err_and(|why| why.contains("is not here")));
    }
    let mut none = plan.clone();
    none.command = vec!["/nope".into()];
    let begun = runtime.start(&none).await?;
    let is_told = matches!(&begun, Begun::Refused(why) if why.contains("/nope"));
    ensure!(is_told, "{begun:?}");
    runtime.remove(ID).await
}

/// It has what it was given, and no more of anything.
async fn bounded(runtime: &dyn Runtime) -> Result<()> {
    let sh = async |script: &str| ran(runtime, ID, script).await;
    let (said, code) = sh("id -u; echo $TOKEN; cat /etc/resolv.conf; exit 7").await?;
    ensure!(
        said.starts_with("0\nsecret\nnameserver 192.0.2.53") && code == 7,
        "{said} {code}"
    );
    for power in [
        "mount -t tmpfs x /tmp",
        "unshare -U id",
        "unshare -n id",
        "echo 1 >/proc/sys/net/ipv4/ip_forward",
        "echo x >/proc/sysrq-trigger",
        "touch /file",
        "dd if=/dev/zero of=/dev/null bs=200M count=1",
    ] {
        let (said, code) = sh(power).await?;
        ensure!(code != 0, "{power}: {said}");
    }
    ensure!(runtime.inspect(ID).await? == Seen::Running);
    for place in ["/volume", "/root", "/tmp", "/var/tmp"] {
        let script = format!("dd if=/dev/zero of={place}/fill bs=1M count=100");
        let (said, code) = sh(&script).await?;
        ensure!(
            code != 0 && said.contains("No space left"),
            "{place}: {said}"
        );
        sh(&format!("rm {place}/fill")).await?;
    }
    ensure!(sh("echo stays >/volume/kept").await?.1 == 0);
    Ok(())
}

/// It is reached through the provider, and reaches nothing of the machine.
async fn alone(machine: &Machine, runtime: &dyn Runtime) -> Result<()> {
    let serve = "(while :; do echo hello | nc -l -p 9000; done) >/dev/null 2>&1 & sleep 0.3";
    ran(runtime, ID, serve).await?;
    until("it is reached from here", async || {
        let Ok(mut stream) = runtime.dial(ID, 9_000).await else {
            return Ok(false);
        };
        let mut said = [0; 5];
        Ok(stream.read_exact(&mut said).await.is_ok() && &said == b"hello")
    })
    .await?;
    let listener = TcpListener::bind("0.0.0.0:0").await?;
    let (gateway, port) = (machine.nets().net(1).gateway, listener.local_addr()?.port());
    let script = format!("nc -w 2 {gateway} {port} </dev/null");
    let (said, code) = ran(runtime, ID, &script).await?;
    ensure!(code != 0, "{said}");
    ensure!(
        timeout(Duration::from_millis(50), listener.accept())
            .await
            .is_err()
    );
    Ok(())
}
