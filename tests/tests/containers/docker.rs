//! A container by Docker, held to the same as those by runc.

use super::{
    bounds::{held, terminal},
    machine::{Machine, lack, layer, ran, skip, until},
};
use anyhow::{Context, Result, ensure};
use mythic_provider::container::{
    config::RuntimeKind,
    docker::{Docker, DockerParts},
    runtime::{Begun, Plan, Runtime, Seen},
};
use std::{
    io::Write as _,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};
use tokio::{io::AsyncReadExt as _, net::TcpListener, time::timeout};

const HOST: &str = "unix:///var/run/docker.sock";
const ID: &str = "docked";

fn docker(arguments: &[&str]) -> Command {
    let mut docker = Command::new("docker");
    docker.args(["--host", HOST]).args(arguments);
    docker.stdin(Stdio::null());
    docker
}

fn said(arguments: &[&str]) -> Result<String> {
    let output = docker(arguments).output()?;
    let wrong = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "docker {arguments:?}: {wrong}");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Gives Docker the image; returns its name for it.
fn import() -> Result<String> {
    let mut import = docker(&["image", "import", "--change", "ENV PATH=/bin", "-"]);
    import.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = import.spawn()?;
    let mut input = child.stdin.take().context("its input")?;
    input.write_all(&layer()?)?;
    drop(input);
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "docker import: {}", output.status);
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Whatever a test that failed left.
struct Left(String);

impl Drop for Left {
    fn drop(&mut self) {
        let name = format!("mythic-{ID}");
        for arguments in [
            ["container", "rm", "--force", &name],
            ["image", "rm", "--force", &self.0],
        ] {
            let _ = docker(&arguments)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
        }
    }
}

async fn runtime(machine: &Machine) -> Result<Arc<dyn Runtime>> {
    let parts = DockerParts {
        program: "docker".into(),
        host: HOST.into(),
        provider: machine.provider(),
        disks: machine.disks()?,
        nets: machine.nets(),
        repositories: Vec::new(),
    };
    Ok(Arc::new(Docker::open(parts).await?))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_of_docker_is_held_to_its_bounds_and_leaves_nothing() -> Result<()> {
    let lacks = lack(RuntimeKind::Docker);
    if let Some(lack) = lacks.or_else(|| said(&["info"]).err().map(|error| error.to_string())) {
        return skip(&lack);
    }
    let mut machine = Machine::new(247)?;
    machine.image = import()?;
    let left = Left(machine.image.clone());
    let first = runtime(&machine).await?;
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
    let second = runtime(&machine).await?;
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
