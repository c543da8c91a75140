//! Containers of leases as a provider keeps them: SSH, published ports, commands that end, proofs that hold them, the end of a lease.

use super::machine::{Machine, PATIENCE, is_able, until};
use anyhow::{Context, Result, ensure};
use mythic_provider::{
    container::{
        config::{ContainersConfig, RuntimeKind},
        fleet::Containers,
        runtime::{Runtime, Seen},
        ssh::keys,
    },
    journal::Contained,
    meters::Meters,
};
use russh::{
    ChannelMsg,
    client::{self, Handle},
    keys::{PrivateKeyWithHashAlg, PublicKeyOrCertificate},
};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use std::{
    net::{Ipv4Addr, TcpListener},
    sync::Arc,
    time::Duration,
};
use tokio::{io::AsyncReadExt as _, net::TcpStream, time::timeout};

const PLACE: u16 = 5;
/// More than a look and the first pause before a command begins again.
const TIME_TO_BEGIN: Duration = Duration::from_secs(4);

/// A client that takes any host key.
struct Anybody;

impl client::Handler for Anybody {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        _key: &PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        Ok(true)
    }
}

async fn enter(port: u16, wallet: &Keypair) -> Result<Option<Handle<Anybody>>> {
    let config = Arc::new(client::Config::default());
    let mut handle = client::connect(config, (Ipv4Addr::LOCALHOST, port), Anybody).await?;
    let key = keys::host_key(wallet.secret_bytes());
    let key = PrivateKeyWithHashAlg::new(Arc::new(key), None);
    let answer = handle.authenticate_publickey("root", key).await?;
    Ok(answer.success().then_some(handle))
}

async fn ran(handle: &Handle<Anybody>, script: &str) -> Result<(String, Option<u32>)> {
    let mut channel = handle.channel_open_session().await?;
    channel.exec(true, script).await?;
    let (mut said, mut code) = (Vec::new(), None);
    let heard = async {
        while let Some(message) = channel.wait().await {
            match message {
                ChannelMsg::Data { data } => said.extend_from_slice(&data),
                ChannelMsg::ExitStatus { exit_status } => code = Some(exit_status),
                _ => {}
            }
        }
    };
    timeout(PATIENCE, heard).await.context("no end")?;
    Ok((String::from_utf8(said)?, code))
}

/// Ports that are free.
fn ports(count: usize) -> Result<Vec<u16>> {
    let listeners = (0..count).map(|_| TcpListener::bind("127.0.0.1:0"));
    let listeners: Vec<TcpListener> = listeners.collect::<Result<_, _>>()?;
    let mut ports = Vec::with_capacity(count);
    for listener in &listeners {
        ports.push(listener.local_addr()?.port());
    }
    Ok(ports)
}

fn fleet(runtime: &Arc<dyn Runtime>) -> Result<Containers> {
    let config = ContainersConfig {
        runtime: RuntimeKind::Runc,
        listen: Ipv4Addr::LOCALHOST.into(),
        ..ContainersConfig::default()
    };
    Ok(Containers::new(
        Some(runtime.clone()),
        config,
        Meters::new()?,
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_s_container_is_entered_kept_running_held_for_proofs_and_ended() -> Result<()> {
    if !is_able()? {
        return Ok(());
    }
    let machine = Machine::new(243)?;
    let runtime = machine.runtime().await?;
    let containers = fleet(&runtime)?;
    let (wallet, lease) = (Keypair::new(), Pubkey::new_from_array([243; 32]));
    let id = lease.to_string();
    let mut spec = machine.spec();
    let script =
        "rm -f /tmp/stop; echo begun >>/volume/begun; while [ ! -e /tmp/stop ]; do sleep 0.1; done";
    spec.command = vec!["/bin/sh".into(), "-c".into(), script.into()];
    let contained = Contained {
        spec,
        environment: Vec::new(),
        host_key: "07".repeat(32),
        ports: ports(2)?,
        place: PLACE,
    };
    let tenant = wallet.pubkey();
    containers.start(lease, (&contained, &tenant), 1).await?;
    containers.start(lease, (&contained, &tenant), 1).await?;
    ensure!(containers.count() == 1);

    // Its tenant comes in, nobody else.
    let ssh = contained.ports[0];
    ensure!(enter(ssh, &Keypair::new()).await?.is_none());
    let handle = enter(ssh, &wallet).await?.context("refused")?;
    let (said, code) = ran(&handle, "id -u; exit 3").await?;
    ensure!(said == "0\n" && code == Some(3), "{said} {code:?}");

    // What is published is reached, and forwarded ports too.
    ran(
        &handle,
        "(while :; do echo hello | nc -l -p 8080; done) >/dev/null 2>&1 &",
    )
    .await?;
    until("the published port answers", async || {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, contained.ports[1])).await?;
        let mut said = [0; 5];
        Ok(stream.read_exact(&mut said).await.is_ok() && &said == b"hello")
    })
    .await?;

    // Who hangs up leaves what does not care, within the container.
    let channel = handle.channel_open_session().await?;
    channel
        .exec(true, "trap '' HUP; touch /tmp/stays; exec sleep 1234")
        .await?;
    until("it runs", async || {
        Ok(ran(&handle, "ls /tmp/stays").await?.1 == Some(0))
    })
    .await?;
    handle
        .disconnect(russh::Disconnect::ByApplication, "", "")
        .await?;
    let handle = enter(ssh, &wallet).await?.context("refused")?;
    let (said, _) = ran(&handle, "ps").await?;
    ensure!(said.contains("sleep 1234"), "{said}");

    // While a proof is made nothing moves, and sessions wait.
    let frozen = containers.hold(&lease).context("it is not here")?;
    frozen.stands_still().await?;
    ensure!(runtime.inspect(&id).await? == Seen::Frozen);
    let waiting = ran(&handle, "echo at last");
    tokio::pin!(waiting);
    let early = timeout(Duration::from_secs(2), &mut waiting).await;
    ensure!(early.is_err() && runtime.inspect(&id).await? == Seen::Frozen);
    drop(frozen);
    ensure!(waiting.await?.0 == "at last\n");

    // A command that ends begins again on the same disk, but not beside a proof.
    ran(&handle, "touch /tmp/stop").await?;
    until("the command has ended", async || {
        Ok(runtime.inspect(&id).await? == Seen::Ended)
    })
    .await?;
    let frozen = containers.hold(&lease).context("it is not here")?;
    frozen.stands_still().await?;
    tokio::time::sleep(TIME_TO_BEGIN).await;
    ensure!(runtime.inspect(&id).await? == Seen::Ended);
    drop(frozen);
    until("the command runs again", async || {
        let Some(handle) = enter(ssh, &wallet).await? else {
            return Ok(false);
        };
        Ok(ran(&handle, "wc -l </volume/begun").await?.0.trim() == "2")
    })
    .await?;
    let mut log = runtime.logs(&id, false).await?;
    let mut told = Vec::new();
    while let Some(chunk) = log.recv().await {
        told.extend(chunk);
    }
    let told = String::from_utf8_lossy(&told).into_owned();
    ensure!(told.contains("[mythic] the command has ended"), "{told}");

    // Another process finds it, and ends it though it never started it.
    containers.part().await;
    drop(containers);
    let containers = fleet(&runtime)?;
    until("the first one has let go of the ports", async || {
        Ok(containers
            .start(lease, (&contained, &tenant), 1)
            .await
            .is_ok())
    })
    .await?;
    ensure!(enter(ssh, &wallet).await?.is_some());
    containers.part().await;
    let third = fleet(&runtime)?;
    third.stop(&lease).await?;
    third.stop(&lease).await?;
    machine.assert_gone(runtime.as_ref(), &id, PLACE).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_whose_command_is_not_there_is_served_and_told_why_it_does_not_run() -> Result<()> {
    if !is_able()? {
        return Ok(());
    }
    let machine = Machine::new(248)?;
    let runtime = machine.runtime().await?;
    let containers = fleet(&runtime)?;
    let (wallet, lease) = (Keypair::new(), Pubkey::new_from_array([248; 32]));
    let id = lease.to_string();
    let mut spec = machine.spec();
    spec.command = vec!["/nope".into()];
    let contained = Contained {
        spec,
        environment: Vec::new(),
        host_key: "07".repeat(32),
        ports: ports(2)?,
        place: PLACE,
    };
    let tenant = wallet.pubkey();
    containers.start(lease, (&contained, &tenant), 1).await?;
    ensure!(enter(contained.ports[0], &wallet).await?.is_some());
    // It is tried again.
    until("it is told twice", async || {
        let mut log = runtime.logs(&id, false).await?;
        let mut told = Vec::new();
        while let Some(chunk) = log.recv().await {
            told.extend(chunk);
        }
        let told = String::from_utf8_lossy(&told).into_owned();
        let why = "[mythic] the command can't be run: exec: \"/nope\"";
        Ok(told.matches(why).count() > 1)
    })
    .await?;
    let held = containers.hold(&lease).context("it is proved")?;
    held.stands_still().await?;
    drop(held);
    containers.stop(&lease).await?;
    machine.assert_gone(runtime.as_ref(), &id, PLACE).await
}
