//! One chain follows another: it has its blocks, hands on what only the leader can do, and goes on after whatever happens to both.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mythic_devnet::DevnetConfig;
use serde_json::{Value, json};
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::common::{Devnet, Recorder, SOL, config};

fn secret(dir: &Path, name: &str, text: &str) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = dir.join(name);
    std::fs::write(&path, text.repeat(32)).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// A chain that may be followed.
fn leads(dir: &Path) -> DevnetConfig {
    let mut config = config(&dir.join("leader"));
    config.follow_secret_file = Some(secret(dir, "secret", "s"));
    config
}

/// An address that stays, whoever is behind it: nobody else can take its port between two of them.
struct Address {
    url: String,
    behind: Arc<Mutex<Option<SocketAddr>>>,
}

impl Address {
    async fn of(devnet: &Devnet) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let behind = Arc::new(Mutex::new(Some(address(devnet))));
        let now = behind.clone();
        tokio::spawn(async move {
            while let Ok((mut outer, _)) = listener.accept().await {
                let Some(to) = *now.lock().unwrap() else {
                    continue;
                };
                tokio::spawn(async move {
                    let mut inner = TcpStream::connect(to).await?;
                    tokio::io::copy_bidirectional(&mut outer, &mut inner).await
                });
            }
        });
        Self { url, behind }
    }

    fn is_now(&self, to: Option<SocketAddr>) {
        *self.behind.lock().unwrap() = to;
    }
}

fn follows(dir: &Path, leader: &str) -> DevnetConfig {
    DevnetConfig {
        follow: Some(leader.to_owned()),
        follow_secret_file: Some(secret(dir, "secret", "s")),
        ..config(&dir.join("follower"))
    }
}

fn address(devnet: &Devnet) -> SocketAddr {
    devnet.url.trim_start_matches("http://").parse().unwrap()
}

/// What a chain says of itself: newest and newest finalized slot, and hash of the newest.
async fn stands(devnet: &Devnet) -> Value {
    let status = devnet.call("mythic_status", json!([])).await;
    let processed = json!([{"commitment": "processed"}]);
    let hash = devnet.call("getLatestBlockhash", processed).await;
    json!([
        status["processedSlot"],
        status["rootedSlot"],
        hash["value"]["blockhash"]
    ])
}

/// Waits until the follower stands where its leader does.
async fn caught_up(leader: &Devnet, follower: &Devnet) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let (theirs, ours) = (stands(leader).await, stands(follower).await);
        if theirs == ours {
            return;
        }
        assert!(Instant::now() < deadline, "{ours} instead of {theirs}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What a plugin was told of blocks, sysvars left out.
fn of_blocks(calls: Vec<String>) -> Vec<String> {
    let mut calls = calls;
    calls.retain(|call| !call.contains("Sysvar") && !call.ends_with("true"));
    calls
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_has_every_block_and_tells_its_plugin_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let plugins = [Recorder::default(), Recorder::default()];
    let leader = Devnet::start(leads(dir.path()), Some(plugins[0].clone())).await;
    // What happened before is in the state that the follower begins with.
    let payer = leader.funded(10).await;
    leader.advance(8).await;
    let config = follows(dir.path(), &leader.url);
    let follower = Devnet::start(config, Some(plugins[1].clone())).await;
    caught_up(&leader, &follower).await;
    assert_eq!(
        follower.rpc.get_balance(&payer.pubkey()).await.unwrap(),
        10 * SOL
    );
    plugins.iter().for_each(|plugin| drop(plugin.take()));

    // Sent to the follower, executed by both.
    let to = Pubkey::new_unique();
    let signature = follower.send(&payer, &to, SOL).await;
    let airdrop = follower.rpc.request_airdrop(&to, SOL).await.unwrap();
    leader.advance(6).await;
    caught_up(&leader, &follower).await;
    for devnet in [&leader, &follower] {
        assert_eq!(devnet.rpc.get_balance(&to).await.unwrap(), 2 * SOL);
        let asked = json!([[signature.to_string(), airdrop.to_string()]]);
        let statuses = devnet.call("getSignatureStatuses", asked).await;
        for status in statuses["value"].as_array().unwrap() {
            assert_eq!(status["confirmationStatus"], "finalized", "{status}");
        }
    }
    let [told, followed] = plugins.each_ref().map(|plugin| of_blocks(plugin.take()));
    let blocks = |calls: &[String], what: &str| -> Vec<String> {
        let of = calls.iter().filter(|call| call.starts_with(what));
        of.cloned().collect()
    };
    for what in ["account", "block", "rooted"] {
        let (told, followed) = (blocks(&told, what), blocks(&followed, what));
        assert!(!told.is_empty());
        assert!(
            followed.ends_with(&told),
            "{what}: {followed:#?}, {told:#?}"
        );
    }

    // What a leader refuses, its follower refuses with the same words; what moves a chain is the leader's.
    let unknown = json!(["2".repeat(88), {"encoding": "base58"}]);
    let refused = follower.answer("sendTransaction", unknown.clone()).await;
    assert_eq!(
        refused["error"],
        leader.answer("sendTransaction", unknown).await["error"]
    );
    for (method, params) in [
        ("mythic_advanceSlots", json!([1])),
        ("mythic_fork", json!([1])),
    ] {
        let refused = follower.answer(method, params).await["error"].clone();
        let message = refused["message"].as_str().unwrap();
        assert!(message.contains(&leader.url), "{message}");
    }
    follower.stop().await;
    leader.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_goes_the_way_of_its_leader_over_forks_and_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let leader = Devnet::start(leads(dir.path()), None).await;
    let at = Address::of(&leader).await;
    let follower = Devnet::start(follows(dir.path(), &at.url), None).await;
    let payer = leader.funded(10).await;
    leader.advance(6).await;
    caught_up(&leader, &follower).await;

    // Blocks that are given up, replayed, skipped and dead.
    leader.send(&payer, &Pubkey::new_unique(), SOL).await;
    leader.advance(2).await;
    caught_up(&leader, &follower).await;
    leader.call("mythic_fork", json!([2])).await;
    caught_up(&leader, &follower).await;
    leader.advance(1).await;
    let slot = stands(&leader).await[0].clone();
    leader.call("mythic_replaySlot", json!([slot])).await;
    leader.call("mythic_skipSlot", json!([3])).await;
    leader.call("mythic_deadSlot", json!([])).await;
    leader.advance(2).await;
    caught_up(&leader, &follower).await;

    // The follower is away for a while and goes on from its own state.
    follower.stop().await;
    leader.send(&payer, &Pubkey::new_unique(), SOL).await;
    leader.advance(20).await;
    let follower = Devnet::start(follows(dir.path(), &at.url), None).await;
    caught_up(&leader, &follower).await;

    // The leader is away: what is here is served on, what only a leader can do is refused, and then all goes on.
    at.is_now(None);
    leader.stop().await;
    follower.rpc.get_balance(&payer.pubkey()).await.unwrap();
    let refused = follower
        .answer("requestAirdrop", json!([payer.pubkey().to_string(), 1]))
        .await;
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(message.contains("can't be reached"), "{message}");
    let leader = Devnet::start(leads(dir.path()), None).await;
    at.is_now(Some(address(&leader)));
    leader.send(&payer, &Pubkey::new_unique(), SOL).await;
    leader.advance(6).await;
    caught_up(&leader, &follower).await;

    // Blocks that the leader finalized while the follower was away, and has no content of since its own restart.
    follower.stop().await;
    leader.advance(20).await;
    leader.stop().await;
    let leader = Devnet::start(leads(dir.path()), None).await;
    at.is_now(Some(address(&leader)));
    leader.advance(6).await;
    let follower = Devnet::start(follows(dir.path(), &at.url), None).await;
    caught_up(&leader, &follower).await;
    assert_eq!(
        follower.rpc.get_balance(&payer.pubkey()).await.unwrap(),
        leader.rpc.get_balance(&payer.pubkey()).await.unwrap()
    );
    follower.stop().await;
    leader.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_comes_to_another_state_halts_the_follower_with_both_hashes() {
    let dir = tempfile::tempdir().unwrap();
    let leader = Devnet::start(leads(dir.path()), None).await;
    let id = leader.call("mythic_snapshot", json!([])).await;
    leader.funded(10).await;
    let follower = Devnet::start(follows(dir.path(), &leader.url), None).await;
    caught_up(&leader, &follower).await;
    // Writes that no transaction explains.
    leader.call("mythic_revert", json!([id])).await;
    leader.advance(1).await;
    let error = format!("{:#}", follower.failed().await);
    let hashes = error
        .split_whitespace()
        .filter(|word| word.trim_matches(',').len() >= 43);
    assert!(
        error.contains("differ, and it halts") && hashes.count() >= 2,
        "{error}"
    );
    leader.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_follows_or_leads_without_the_secret() {
    let dir = tempfile::tempdir().unwrap();
    let leader = Devnet::start(leads(dir.path()), None).await;
    let at = Address::of(&leader).await;
    let http = reqwest::Client::new();
    let ask = |body: Vec<u8>| {
        http.post(format!("{}/follow", leader.url))
            .body(body)
            .send()
    };
    for body in [Vec::new(), vec![0; 100], vec![7; 100_000]] {
        assert_eq!(ask(body).await.unwrap().status(), 401);
    }
    assert_eq!(ask(vec![0; 200_000]).await.unwrap().status(), 413);

    // Another secret: it never has a state, and says why.
    let mut stranger = follows(dir.path(), &leader.url);
    stranger.follow_secret_file = Some(secret(dir.path(), "other", "o"));
    let stop = tokio_util::sync::CancellationToken::new();
    let strange = tokio::spawn(mythic_devnet::run(stranger.clone(), stop.clone()));
    tokio::time::sleep(Duration::from_millis(500)).await;
    stop.cancel();
    let error = strange.await.unwrap().unwrap_err().to_string();
    assert!(error.contains("before the leader was heard"), "{error}");
    assert!(!stranger.data_dir.join("state.bin").exists());

    // Whoever begins more questions than are read at once, and ends none, keeps no follower away for long.
    let slow: Vec<TcpStream> = futures::future::join_all((0..100).map(|_| async {
        let mut stream = TcpStream::connect(address(&leader)).await.unwrap();
        let head = "POST /follow HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 100\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    }))
    .await;
    let begun = Instant::now();
    while ask(vec![0; 100]).await.unwrap().status() != 401 {
        assert!(begun.elapsed() < Duration::from_secs(30), "still held up");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(slow);

    // Whoever takes the leader's port tells nobody anything.
    let follower = Devnet::start(follows(dir.path(), &at.url), None).await;
    leader.advance(6).await;
    caught_up(&leader, &follower).await;
    let before = stands(&follower).await;
    leader.stop().await;
    let impostor = TcpListener::bind("127.0.0.1:0").await.unwrap();
    at.is_now(Some(impostor.local_addr().unwrap()));
    let answered = tokio::spawn(async move {
        for _ in 0..3 {
            let (mut socket, _) = impostor.accept().await.unwrap();
            let mut question = vec![0; 4096];
            assert!(socket.read(&mut question).await.unwrap() > 0);
            let body = "x".repeat(200);
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: 200\r\nconnection: close\r\n\r\n{body}"
            );
            socket.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    answered.await.unwrap();
    assert_eq!(stands(&follower).await, before);
    follower.stop().await;

    // A chain without a secret is followed by nobody.
    let alone = Devnet::start(config(&dir.path().join("alone")), None).await;
    let url = format!("{}/follow", alone.url);
    assert_eq!(http.post(url).send().await.unwrap().status(), 404);
    alone.stop().await;
}
