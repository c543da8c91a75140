//! One container and two: within their bounds, apart from the machine and from each other, gone in the end; and starts that were cut off.

use super::machine::{Machine, is_able, ran, until};
use anyhow::{Context, Result, ensure};
use mythic_provider::container::runtime::{Begun, Exec, Runtime, Seen, Size};
use std::time::Duration;
use tokio::{io::AsyncReadExt as _, net::TcpListener, time::timeout};

#[tokio::test(flavor = "multi_thread")]
async fn a_container_is_held_to_its_bounds_and_leaves_nothing() -> Result<()> {
    if !is_able()? {
        return Ok(());
    }
    let machine = Machine::new(240)?;
    let runtime = machine.runtime().await?;
    let (runtime, plan) = (runtime.as_ref(), machine.plan("bounds", 1));
    ensure!(runtime.inspect("bounds").await? == Seen::Absent);
    refused(runtime, &machine).await?;
    runtime.start(&plan).await?;
    ensure!(runtime.inspect("bounds").await? == Seen::Running);
    let sh = async |script: &str| ran(runtime, "bounds", script).await;

    let (said, code) = sh("id -u; echo $TOKEN; cat /etc/resolv.conf; exit 7").await?;
    ensure!(
        said.starts_with("0\nsecret\nnameserver 192.0.2.53") && code == 7,
        "{said} {code}"
    );
    // Root inside is nobody outside, and can make itself nothing more.
    for power in [
        "mount -t tmpfs x /tmp",
        "unshare -U id",
        "unshare -n id",
        "unshare -m id",
        "echo 1 >/proc/sys/net/ipv4/ip_forward",
        "echo x >/proc/sysrq-trigger",
        "if [ -d /sys/fs/cgroup/memory ]; then echo 1 >/sys/fs/cgroup/memory/memory.limit_in_bytes; else echo 1 >/sys/fs/cgroup/memory.max; fi",
        "head -c 1 /proc/kcore | grep .",
        "kill -9 1",
    ] {
        let (said, code) = sh(power).await?;
        let is_alive = runtime.inspect("bounds").await? == Seen::Running;
        ensure!(
            (code != 0 || power == "kill -9 1") && is_alive,
            "{power}: {said} {code}"
        );
    }
    let (map, _) = sh(
        "cat /proc/self/uid_map; grep CapBnd /proc/self/status; grep Seccomp: /proc/self/status",
    )
    .await?;
    ensure!(
        map.contains("1000000") && map.contains("Seccomp:\t2"),
        "{map}"
    );

    // Nor does it use up what is root's of the machine.
    let (said, _) = sh("ulimit -i; ulimit -q; cat /proc/sys/user/max_inotify_instances").await?;
    ensure!(said == "1024\n819200\n32\n", "{said}");

    // A bomb that forks is bounded, and the container lives on.
    let (said, _) =
        sh("i=0; while [ $i -lt 200 ]; do sleep 1000 >/dev/null 2>&1 & i=$((i+1)); done; true")
            .await?;
    ensure!(said.contains("fork"), "{said}");
    // Nothing can be begun in it now, but all of it can begin anew.
    runtime.kill("bounds").await?;
    until("it has ended", async || {
        Ok(runtime.inspect("bounds").await? == Seen::Ended)
    })
    .await?;
    runtime.start(&plan).await?;
    ensure!(sh("true").await?.1 == 0);

    // So is who fills the disk, whatever part of it; and memory.
    for place in ["/fill", "/volume/fill"] {
        let (said, code) = sh(&format!("dd if=/dev/zero of={place} bs=1M count=100")).await?;
        ensure!(
            code != 0 && said.contains("No space left"),
            "{place}: {said}"
        );
        sh(&format!("rm {place}")).await?;
    }
    let (said, code) = sh("dd if=/dev/zero of=/dev/null bs=200M count=1").await?;
    ensure!(code != 0, "{said}");
    ensure!(runtime.inspect("bounds").await? == Seen::Running);

    terminal(runtime, "bounds").await?;
    held(runtime, "bounds").await?;
    let mut log = runtime.logs("bounds", false).await?;
    let first = log.recv().await.context("no log")?;
    ensure!(first.starts_with(b"up\n"), "{first:?}");

    let started = std::time::Instant::now();
    runtime.remove("bounds").await?;
    ensure!(
        started.elapsed() < Duration::from_secs(10),
        "{:?}",
        started.elapsed()
    );
    machine.assert_gone(runtime, "bounds", 1).await?;
    runtime.remove("bounds").await?;
    Ok(())
}

/// Nothing is promised that could not start, and a command that is not there is the tenant's own matter.
async fn refused(runtime: &dyn Runtime, machine: &Machine) -> Result<()> {
    let mut spec = machine.spec();
    let ready = runtime.ready(&spec, &[]).await;
    ensure!(ready.is_ok(), "{ready:?}");
    spec.image = format!("sha256:{}", "0".repeat(64));
    let refused = runtime.ready(&spec, &[]).await;
    ensure!(refused.is_err_and(|why| why.contains("is not here")));
    // A layer is here, too, and no image.
    spec.image = machine.layer()?;
    let refused = runtime.ready(&spec, &[]).await;
    ensure!(refused.is_err_and(|why| why.contains("can't be unpacked")));
    for (command, told) in [("/nope", "/nope"), ("nope", "not found"), ("/tmp", "/tmp")] {
        let mut plan = machine.plan("bounds", 1);
        plan.command = vec![command.into()];
        let begun = runtime.start(&plan).await?;
        let is_told = matches!(&begun, Begun::Refused(why) if why.contains(told));
        ensure!(is_told, "{begun:?}");
        ensure!(runtime.inspect("bounds").await? == Seen::Absent);
    }
    runtime.remove("bounds").await?;
    machine.assert_gone(runtime, "bounds", 1).await
}

/// A shell has a terminal of the size that its user has.
pub async fn terminal(runtime: &dyn Runtime, id: &str) -> Result<()> {
    let exec = Exec {
        command: vec![
            "/bin/sh".into(),
            "-c".into(),
            // Docker tells the size when the command runs already.
            "until [ \"$(busybox stty size)\" = '33 111' ]; do sleep 0.1; done; echo so it is; echo $TERM".into(),
        ],
        terminal: Some((
            "xterm".into(),
            Size {
                rows: 33,
                columns: 111,
            },
        )),
    };
    let mut process = runtime.exec(id, exec).await?;
    let mut said = String::new();
    let read = process.output.read_to_string(&mut said);
    timeout(super::machine::PATIENCE, read).await??;
    ensure!(
        said.contains("so it is") && said.contains("xterm"),
        "{said:?}"
    );
    ensure!(process.control.wait().await? == 0);
    Ok(())
}

/// While it is held nothing in it moves; started, it goes on.
pub async fn held(runtime: &dyn Runtime, id: &str) -> Result<()> {
    let count = "(while [ ! -e /tmp/enough ]; do echo x >>/tmp/count; sleep 0.05; done) >/dev/null 2>&1 & sleep 0.3";
    ran(runtime, id, count).await?;
    runtime.freeze(id).await?;
    ensure!(runtime.inspect(id).await? == Seen::Frozen);
    runtime.thaw(id).await?;
    runtime.thaw(id).await?;
    ensure!(runtime.inspect(id).await? == Seen::Running);
    ran(runtime, id, "touch /tmp/enough").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_container_reaches_the_machine_or_another() -> Result<()> {
    if !is_able()? {
        return Ok(());
    }
    let machine = Machine::new(241)?;
    let runtime = machine.runtime().await?;
    let runtime = runtime.as_ref();
    for (id, place) in [("one", 1), ("two", 2)] {
        runtime.start(&machine.plan(id, place)).await?;
    }
    let listener = TcpListener::bind("0.0.0.0:0").await?;
    let port = listener.local_addr()?.port();
    let (one, two) = (machine.nets().net(1), machine.nets().net(2));
    let serve = "(while :; do echo hello | nc -l -p 9000; done) >/dev/null 2>&1 & sleep 0.3";
    for id in ["one", "two"] {
        ran(runtime, id, serve).await?;
    }
    // Its own service answers, inside and through the provider.
    let (said, _) = ran(runtime, "two", "nc -w 5 127.0.0.1 9000 </dev/null").await?;
    ensure!(said.contains("hello"), "{said}");
    until("it is reached from here", async || {
        let Ok(mut stream) = runtime.dial("two", 9_000).await else {
            return Ok(false);
        };
        let mut said = [0; 5];
        Ok(stream.read_exact(&mut said).await.is_ok() && &said == b"hello")
    })
    .await?;
    ensure!(runtime.dial("two", 9_001).await.is_err());
    for (address, port) in [
        (one.gateway.to_string(), port),
        (two.gateway.to_string(), port),
        (two.address.to_string(), 9_000),
        ("169.254.169.254".into(), 80),
        ("10.0.0.1".into(), 80),
        ("192.168.0.1".into(), 80),
    ] {
        let script = format!("nc -w 2 {address} {port} </dev/null");
        let (said, code) = ran(runtime, "one", &script).await?;
        ensure!(
            code != 0 && !said.contains("hello"),
            "{address}:{port}: {said} {code}"
        );
    }
    // What listens on the machine heard nobody.
    ensure!(
        timeout(Duration::from_millis(50), listener.accept())
            .await
            .is_err()
    );
    for (id, place) in [("one", 1), ("two", 2)] {
        runtime.remove(id).await?;
        machine.assert_gone(runtime, id, place).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_connects_starts_no_program_and_meets_the_container_as_it_runs_now() -> Result<()> {
    if !is_able()? {
        return Ok(());
    }
    let machine = Machine::new(249)?;
    let (runtime, notes) = machine.noting().await?;
    let (runtime, plan) = (runtime.as_ref(), machine.plan("met", 1));
    let serve = "(while :; do echo hello | nc -l -p 9000; done) >/dev/null 2>&1 & sleep 0.3";
    for _ in 0..2 {
        runtime.start(&plan).await?;
        ran(runtime, "met", serve).await?;
        until("it is reached", async || {
            let Ok(mut stream) = runtime.dial("met", 9_000).await else {
                return Ok(false);
            };
            let mut said = [0; 5];
            Ok(stream.read_exact(&mut said).await.is_ok() && &said == b"hello")
        })
        .await?;
        let before = std::fs::read_to_string(&notes)?;
        for _ in 0..20 {
            ensure!(runtime.dial("met", 9_001).await.is_err());
        }
        ensure!(std::fs::read_to_string(&notes)? == before);
        runtime.kill("met").await?;
        until("it has ended", async || {
            Ok(runtime.inspect("met").await? == Seen::Ended)
        })
        .await?;
    }
    runtime.remove("met").await?;
    ensure!(runtime.dial("met", 9_000).await.is_err());
    machine.assert_gone(runtime, "met", 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_somebody_changed_are_as_they_were_again() -> Result<()> {
    if !is_able()? {
        return Ok(());
    }
    let machine = Machine::new(250)?;
    let runtime = machine.runtime().await?;
    let table = machine.nets().table();
    let nft = |words: &[&str]| -> Result<()> {
        let status = std::process::Command::new("nft").args(words).status()?;
        ensure!(status.success(), "nft {words:?}: {status}");
        Ok(())
    };
    ensure!(!runtime.uphold().await?);
    for change in [
        &["delete", "table", "inet", &table][..],
        &["flush", "chain", "inet", &table, "input"],
    ] {
        nft(change)?;
        ensure!(runtime.uphold().await?, "{change:?}");
        ensure!(!runtime.uphold().await?, "{change:?}");
    }
    nft(&["list", "chain", "inet", &table, "outward"])
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_process_started_the_next_one_finds_goes_on_with_and_ends() -> Result<()> {
    if !is_able()? {
        return Ok(());
    }
    let machine = Machine::new(242)?;
    let mut plan = machine.plan("kept", 3);
    let script = "rm -f /tmp/stop; while [ ! -e /tmp/stop ]; do sleep 0.1; done";
    plan.command = vec!["/bin/sh".into(), "-c".into(), script.into()];
    let first = machine.runtime().await?;
    first.start(&plan).await?;
    ran(
        first.as_ref(),
        "kept",
        "echo here >/tmp/mark; echo stays >/volume/mark",
    )
    .await?;
    let began = ran(first.as_ref(), "kept", "cat /proc/1/stat").await?.0;
    // Killed while a proof held it.
    first.freeze("kept").await?;
    drop(first);
    let second = machine.runtime().await?;
    let listed = second.list().await?;
    ensure!(
        listed.len() == 1 && listed[0].id == "kept" && listed[0].slot == 7,
        "{listed:?}"
    );
    second.start(&plan).await?;
    let (mark, _) = ran(second.as_ref(), "kept", "cat /tmp/mark").await?;
    let now = ran(second.as_ref(), "kept", "cat /proc/1/stat").await?.0;
    let start = |stat: &str| stat.split(' ').nth(21).map(str::to_owned);
    ensure!(
        mark == "here\n" && start(&now) == start(&began),
        "{now} {began}"
    );
    // A command that ended starts again on the same disk.
    ran(second.as_ref(), "kept", "touch /tmp/stop").await?;
    until("it has ended", async || {
        Ok(second.inspect("kept").await? == Seen::Ended)
    })
    .await?;
    second.start(&plan).await?;
    let (mark, _) = ran(second.as_ref(), "kept", "cat /volume/mark").await?;
    ensure!(mark == "stays\n", "{mark}");
    second.remove("kept").await?;
    machine.assert_gone(second.as_ref(), "kept", 3).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_was_cut_off_anywhere_is_taken_up_or_cleared_away() -> Result<()> {
    if !is_able()? {
        return Ok(());
    }
    let machine = Machine::new(246)?;
    let runtime = machine.runtime().await?;
    let (runtime, plan) = (runtime.as_ref(), machine.plan("cut", 9));
    let state = machine.state("cut");
    let bundle = state.join("bundle").display().to_string();
    let interface = machine.nets().net(9).interface;
    type Cut<'a> = &'a dyn Fn() -> Result<()>;
    let begun: Cut = &|| {
        std::fs::create_dir_all(&state)?;
        Ok(std::fs::write(state.join("place"), "9 7")?)
    };
    let cuts: [(&str, Cut); 7] = [
        ("nothing but its directory", begun),
        ("a disk without a file system", &|| {
            begun()?;
            Ok(std::fs::write(state.join("disk.new"), [7_u8; 4_096])?)
        }),
        ("its network's end on the machine", &|| {
            begun()?;
            let mut ip = std::process::Command::new("ip");
            ip.args(["link", "add", &interface, "type", "veth"]);
            ensure!(ip.status()?.success());
            Ok(())
        }),
        ("a container of which runc had written nothing", &|| {
            begun()?;
            Ok(std::fs::create_dir(machine.kept("cut"))?)
        }),
        ("a disk, mounted, and no container", &|| {
            machine.runc(&["delete", "--force", "cut"])
        }),
        ("a container that was made and not started", &|| {
            machine.runc(&["delete", "--force", "cut"])?;
            machine.runc(&["create", "--bundle", &bundle, "cut"])
        }),
        ("a container that is held", &|| {
            machine.runc(&["pause", "cut"])
        }),
    ];
    for (at, (what, cut)) in cuts.into_iter().enumerate() {
        // Taken up.
        if at > 3 {
            runtime.start(&plan).await?;
        }
        cut().context(what)?;
        runtime.start(&plan).await.context(what)?;
        let (said, code) = ran(runtime, "cut", "cat /proc/net/route | wc -l; id -u").await?;
        ensure!(said == "3\n0\n" && code == 0, "{what}: {said}");
        runtime.remove("cut").await.context(what)?;
        machine.assert_gone(runtime, "cut", 9).await.context(what)?;
        // Cleared away.
        if at > 3 {
            runtime.start(&plan).await?;
        }
        cut().context(what)?;
        runtime.remove("cut").await.context(what)?;
        machine.assert_gone(runtime, "cut", 9).await.context(what)?;
    }
    Ok(())
}
