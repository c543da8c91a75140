use std::{net::SocketAddr, process::Stdio};

use anyhow::{Result, bail};
use async_trait::async_trait;
use russh::{
    ChannelMsg, Disconnect, client,
    keys::{PrivateKeyWithHashAlg, PublicKeyOrCertificate},
};
use solana_pubkey::Pubkey;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpSocket,
    process::{Child, Command},
    sync::{mpsc, watch},
};

use super::*;
use crate::{
    container::{
        runtime::{Begun, Control, Exec, Labelled, Plan, Process, Runtime, Seen, Signal, Size},
        ssh::{
            keys,
            session::{self, Gate},
        },
    },
    spec::ContainerSpec,
};

const PATIENCE: Duration = Duration::from_secs(60);
/// How often clients are asked here whether they are there.
const ASKED: Duration = Duration::from_secs(2);

/// This machine in the place of a container.
struct Here {
    /// Where forwarded connections go.
    port: u16,
}

struct Ran(Child);

#[async_trait]
impl Control for Ran {
    fn resize(&self, _size: Size) {}

    fn signal(&self, _signal: Signal) {}

    async fn wait(&mut self) -> Result<u32> {
        Ok(self.0.wait().await?.code().unwrap_or(255) as u32)
    }
}

#[async_trait]
impl Runtime for Here {
    fn name(&self) -> &'static str {
        "here"
    }

    async fn ready(&self, _: &ContainerSpec, _: &[(String, String)]) -> Result<(), String> {
        Ok(())
    }

    fn room(&self, _: &[(String, u32)]) -> Result<u64> {
        bail!("nobody asked for it")
    }

    async fn start(&self, _: &Plan) -> Result<Begun> {
        bail!("it runs")
    }

    async fn inspect(&self, _: &str) -> Result<Seen> {
        Ok(Seen::Running)
    }

    fn is_running(&self, _: &str) -> bool {
        true
    }

    async fn tend(&self, _: &str) -> Result<()> {
        Ok(())
    }

    async fn remove(&self, _: &str) -> Result<()> {
        Ok(())
    }

    async fn kill(&self, _: &str) -> Result<()> {
        Ok(())
    }

    async fn freeze(&self, _: &str) -> Result<()> {
        Ok(())
    }

    async fn thaw(&self, _: &str) -> Result<()> {
        Ok(())
    }

    async fn exec(&self, _: &str, exec: Exec) -> Result<Process> {
        let mut child = Command::new(&exec.command[0])
            .args(&exec.command[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        Ok(Process {
            input: Box::new(child.stdin.take().unwrap()),
            output: Box::new(child.stdout.take().unwrap()),
            errors: Some(Box::new(child.stderr.take().unwrap())),
            control: Box::new(Ran(child)),
        })
    }

    async fn dial(&self, _: &str, port: u16) -> Result<TcpStream> {
        match port {
            80 => Ok(TcpStream::connect(("127.0.0.1", self.port)).await?),
            _ => bail!("nobody listens there"),
        }
    }

    async fn logs(&self, _: &str, follow: bool) -> Result<mpsc::Receiver<Vec<u8>>> {
        let (told, read) = mpsc::channel(4);
        told.send(b"line\n".to_vec()).await?;
        if follow {
            tokio::spawn(async move { told.closed().await });
        }
        Ok(read)
    }

    async fn uphold(&self) -> Result<bool> {
        Ok(false)
    }

    async fn remark(&self, _: &str, _: &str) -> Result<()> {
        Ok(())
    }

    async fn list(&self) -> Result<Vec<Labelled>> {
        Ok(Vec::new())
    }
}

/// A lease whose door is open.
struct Open {
    address: SocketAddr,
    ended: CancellationToken,
    frozen: watch::Sender<bool>,
    served: tokio::task::JoinHandle<()>,
}

fn wallet() -> PrivateKey {
    keys::host_key(&[5; 32])
}

async fn open(port: u16, sessions: usize) -> Open {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let ended = CancellationToken::new();
    let (frozen, is_frozen) = watch::channel(false);
    let door = Door {
        room: Room {
            runtime: Arc::new(Here { port }),
            id: "lease".into(),
            frozen: is_frozen,
            ended: ended.clone(),
            gate: Gate::default(),
        },
        keys: vec![
            keys::host_key(&[3; 32]).public_key().key_data().clone(),
            wallet().public_key().key_data().clone(),
        ],
        sessions: Arc::new(Semaphore::new(sessions)),
        alive: ASKED,
        meters: Meters::new().unwrap(),
    };
    let served = tokio::spawn(door.serve(listener, keys::host_key(&[9; 32])));
    Open {
        address,
        ended,
        frozen,
        served,
    }
}

/// A client that takes one host key alone.
struct Tenant;

impl client::Handler for Tenant {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        key: &PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        let wanted = keys::host_key(&[9; 32]).public_key().key_data().clone();
        Ok(
            matches!(key, PublicKeyOrCertificate::PublicKey { key, .. } if *key.key_data() == wanted),
        )
    }
}

/// A connection under this key; `None` where it is refused.
async fn enter(open: &Open, key: PrivateKey) -> Option<client::Handle<Tenant>> {
    enter_at(open.address, key).await
}

async fn enter_at(address: SocketAddr, key: PrivateKey) -> Option<client::Handle<Tenant>> {
    let config = Arc::new(client::Config::default());
    let mut handle = client::connect(config, address, Tenant).await.unwrap();
    let key = PrivateKeyWithHashAlg::new(Arc::new(key), None);
    let answer = handle.authenticate_publickey("root", key).await;
    answer
        .is_ok_and(|answer| answer.success())
        .then_some(handle)
}

/// What a command says, and its exit code.
async fn ran(
    handle: &client::Handle<Tenant>,
    command: &str,
    input: &[u8],
) -> (String, Option<u32>) {
    let channel = handle.channel_open_session().await.unwrap();
    channel.exec(true, command).await.unwrap();
    heard(channel, input).await
}

/// The exit code of a command that does nothing; `None` where there is no session for it.
async fn tried(handle: &client::Handle<Tenant>) -> Option<u32> {
    let channel = handle.channel_open_session().await.ok()?;
    channel.exec(true, "true").await.ok()?;
    heard(channel, b"").await.1
}

/// Waits until there is a session again.
async fn until_there_is_a_place(handle: &client::Handle<Tenant>) {
    let again = async {
        while tried(handle).await != Some(0) {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    let again = tokio::time::timeout(PATIENCE, again).await;
    again.expect("a place");
}

async fn heard(channel: Channel<client::Msg>, input: &[u8]) -> (String, Option<u32>) {
    let (mut read, write) = channel.split();
    let (mut said, mut code) = (Vec::new(), None);
    let hear = async {
        while let Some(message) = read.wait().await {
            match message {
                ChannelMsg::Data { data } => said.extend_from_slice(&data),
                ChannelMsg::ExitStatus { exit_status } => code = Some(exit_status),
                _ => {}
            }
        }
    };
    let speak = async {
        write.data(input).await.unwrap();
        write.eof().await.unwrap();
    };
    let both = async { tokio::join!(hear, speak) };
    tokio::time::timeout(PATIENCE, both).await.expect("an end");
    (String::from_utf8_lossy(&said).into_owned(), code)
}

#[tokio::test]
async fn keys_of_the_spec_and_the_wallet_come_in_and_no_others() {
    let open = open(1, 8).await;
    assert!(enter(&open, keys::host_key(&[3; 32])).await.is_some());
    assert!(enter(&open, wallet()).await.is_some());
    assert!(enter(&open, keys::host_key(&[4; 32])).await.is_none());
    // The wallet of the lease is a key as it is on chain.
    let public = *wallet().public_key().key_data().ed25519().unwrap();
    let of_chain = keys::of_wallet(&Pubkey::new_from_array(public.0));
    assert_eq!(of_chain, *wallet().public_key().key_data());
    let mut handle = {
        let config = Arc::new(client::Config::default());
        client::connect(config, open.address, Tenant).await.unwrap()
    };
    for answer in [
        handle.authenticate_none("root").await.unwrap(),
        handle.authenticate_password("root", "root").await.unwrap(),
    ] {
        assert!(!answer.success());
    }
}

#[tokio::test]
async fn commands_read_speak_and_end_with_their_code() {
    let open = open(1, 8).await;
    let handle = enter(&open, wallet()).await.unwrap();
    let (said, code) = ran(&handle, "cat; echo gone >&2; exit 7", b"hello").await;
    assert_eq!((said.as_str(), code), ("hello", Some(7)));
    // More than all pipes hold, in both directions at once.
    let much = vec![b'x'; 3 << 20];
    let (said, code) = ran(&handle, "cat", &much).await;
    assert_eq!((said.len(), code), (much.len(), Some(0)));
}

#[tokio::test]
async fn logs_are_read_and_followed() {
    let open = open(1, 8).await;
    let handle = enter(&open, wallet()).await.unwrap();
    let channel = handle.channel_open_session().await.unwrap();
    channel
        .request_subsystem(true, session::LOGS)
        .await
        .unwrap();
    let (said, code) = heard(channel, b"").await;
    assert_eq!((said.as_str(), code), ("line\n", Some(0)));
    let mut channel = handle.channel_open_session().await.unwrap();
    channel
        .request_subsystem(true, session::FOLLOW)
        .await
        .unwrap();
    let first = async {
        loop {
            if let Some(ChannelMsg::Data { data }) = channel.wait().await {
                return data;
            }
        }
    };
    let first = tokio::time::timeout(PATIENCE, first).await.unwrap();
    assert_eq!(&first[..], b"line\n");
    open.ended.cancel();
    let over = async { while channel.wait().await.is_some() {} };
    tokio::time::timeout(PATIENCE, over)
        .await
        .expect("the lease ended");
}

#[tokio::test]
async fn ports_are_forwarded_into_the_container_and_nowhere_else() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = [0; 4];
        stream.read_exact(&mut asked).await.unwrap();
        stream.write_all(b"pong").await.unwrap();
    });
    let open = open(port, 8).await;
    let handle = enter(&open, wallet()).await.unwrap();
    let forward = |host: &'static str, port: u32| {
        handle.channel_open_direct_tcpip(host, port, "127.0.0.1", 1)
    };
    let mut stream = forward("localhost", 80).await.unwrap().into_stream();
    stream.write_all(b"ping").await.unwrap();
    let mut said = [0; 4];
    stream.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"pong");
    for (host, port) in [
        ("localhost", 81),
        ("169.254.169.254", 80),
        ("10.0.0.1", 80),
        ("localhost", 70_000),
    ] {
        assert!(forward(host, port).await.is_err(), "{host}:{port}");
    }
}

#[tokio::test]
async fn sessions_are_bounded_and_a_place_comes_back() {
    let open = open(1, 1).await;
    let handle = enter(&open, wallet()).await.unwrap();
    let first = handle.channel_open_session().await.unwrap();
    assert_eq!(tried(&handle).await, Some(255), "no place");
    first.close().await.unwrap();
    until_there_is_a_place(&handle).await;
}

#[tokio::test]
async fn a_container_is_restarted_though_all_its_sessions_are_taken() {
    let open = open(1, 1).await;
    let handle = enter(&open, wallet()).await.unwrap();
    let _held = handle.channel_open_session().await.unwrap();
    let channel = handle.channel_open_session().await.unwrap();
    assert!(handle.channel_open_session().await.is_err());
    channel
        .request_subsystem(true, session::RESTART)
        .await
        .unwrap();
    assert_eq!(heard(channel, b"").await.1, Some(0));
}

#[tokio::test]
async fn sessions_begin_no_faster_than_the_machine_bears() {
    let open = open(1, 1_000).await;
    let handle = enter(&open, wallet()).await.unwrap();
    let mut held = Vec::new();
    for _ in 0..200 {
        held.extend(handle.channel_open_session().await);
    }
    assert!(held.len() < 200);
}

#[tokio::test]
async fn commands_that_say_nothing_keep_no_other_from_beginning() {
    let open = open(1, 8).await;
    let handle = enter(&open, wallet()).await.unwrap();
    let silent = handle.channel_open_session().await.unwrap();
    silent.exec(true, "exec sleep 1000").await.unwrap();
    let (said, code) = ran(&handle, "echo done", b"").await;
    assert_eq!((said.as_str(), code), ("done\n", Some(0)));
}

#[tokio::test]
async fn who_closes_a_session_whose_command_reads_nothing_leaves_its_place() {
    let open = open(1, 1).await;
    let handle = enter(&open, wallet()).await.unwrap();
    let channel = handle.channel_open_session().await.unwrap();
    channel.exec(true, "exec sleep 1000").await.unwrap();
    // More than its pipe holds, and then more pieces than wait anywhere.
    channel.data_bytes(vec![b'x'; 200 << 10]).await.unwrap();
    for _ in 0..300 {
        channel.data_bytes(vec![b'x']).await.unwrap();
    }
    channel.close().await.unwrap();
    let other = enter(&open, wallet()).await.unwrap();
    until_there_is_a_place(&other).await;
}

#[tokio::test]
async fn keys_are_exchanged_by_what_costs_the_machine_little() {
    let open = open(1, 8).await;
    let costly = Preferred {
        kex: Cow::Owned(vec![
            kex::DH_GEX_SHA256,
            kex::DH_G18_SHA512,
            kex::DH_G14_SHA256,
        ]),
        ..Preferred::default()
    };
    let config = client::Config {
        preferred: costly,
        ..client::Config::default()
    };
    let tried = client::connect(Arc::new(config), open.address, Tenant).await;
    assert!(tried.is_err());
    assert!(enter(&open, wallet()).await.is_some());
}

#[tokio::test]
async fn strangers_who_say_nothing_leave_places_to_the_tenant() {
    let open = open(1, 8).await;
    let mut strangers = Vec::new();
    for last in [2, 3] {
        for _ in 0..32 {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind(([127, 0, 0, last], 0).into()).unwrap();
            strangers.push(socket.connect(open.address).await.unwrap());
        }
    }
    // More than one address may have wait at once: whoever is known waits no longer.
    let mut known = Vec::new();
    for _ in 0..12 {
        known.push(enter(&open, wallet()).await.expect("it is the tenant"));
    }
    assert_eq!(tried(&known[0]).await, Some(0));
}

#[tokio::test]
async fn a_client_that_is_dead_leaves_its_place_whether_it_is_spoken_to_or_not() {
    for command in ["echo; exec sleep 1000", "yes"] {
        let open = open(1, 1).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, door) = (listener.local_addr().unwrap(), open.address);
        let cut = CancellationToken::new();
        let relay = tokio::spawn({
            let cut = cut.clone();
            async move {
                let (mut client, _) = listener.accept().await.unwrap();
                let mut server = TcpStream::connect(door).await.unwrap();
                tokio::select! {
                    _ = copy_bidirectional(&mut client, &mut server) => {}
                    () = cut.cancelled() => {}
                }
                // Neither of them hears of it.
                (client, server)
            }
        });
        let dead = enter_at(address, wallet()).await.unwrap();
        let mut channel = dead.channel_open_session().await.unwrap();
        channel.exec(true, command).await.unwrap();
        let runs =
            async { while !matches!(channel.wait().await, Some(ChannelMsg::Data { .. })) {} };
        tokio::time::timeout(PATIENCE, runs).await.expect("it runs");
        cut.cancel();
        let _streams = relay.await.unwrap();
        let tenant = enter(&open, wallet()).await.unwrap();
        assert_eq!(
            tried(&tenant).await,
            Some(255),
            "{command}: it is not cut off at once"
        );
        until_there_is_a_place(&tenant).await;
    }
}

#[tokio::test]
async fn a_container_that_is_held_is_waited_for() {
    let open = open(1, 8).await;
    let handle = enter(&open, wallet()).await.unwrap();
    open.frozen.send_replace(true);
    let ran = ran(&handle, "echo done", b"");
    tokio::pin!(ran);
    let early = tokio::time::timeout(Duration::from_millis(300), &mut ran).await;
    assert!(early.is_err(), "it is held");
    open.frozen.send_replace(false);
    assert_eq!(ran.await, ("done\n".to_owned(), Some(0)));
}

#[tokio::test]
async fn everything_ends_with_the_lease() {
    let open = open(1, 8).await;
    let handle = enter(&open, wallet()).await.unwrap();
    let channel = handle.channel_open_session().await.unwrap();
    channel.exec(true, "sleep 1000").await.unwrap();
    // One that never says who it is.
    let mut silent = TcpStream::connect(open.address).await.unwrap();
    open.ended.cancel();
    tokio::time::timeout(PATIENCE, open.served)
        .await
        .expect("an end")
        .unwrap();
    let mut rest = Vec::new();
    let _ = silent.read_to_end(&mut rest).await;
    assert!(TcpStream::connect(open.address).await.is_err());
    let _ = handle.disconnect(Disconnect::ByApplication, "", "").await;
}
