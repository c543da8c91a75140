//! What a Geyser plugin hears, and what becomes of one that fails.

use std::path::Path;
use std::time::Duration;

use mythic_devnet::DevnetConfig;
use serde_json::json;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

use crate::common::{Devnet, Recorder, SOL, config};

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_hears_what_a_validator_tells() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = Recorder::default();
    let devnet = Devnet::start(config(dir.path()), Some(recorder.clone())).await;
    let payer = devnet.funded(10).await;
    recorder.take();
    let to = Pubkey::new_unique();
    let signature = devnet.send(&payer, &to, SOL).await;
    devnet.advance(1).await;
    let calls = recorder.take();
    let left = 9 * SOL - 5000;
    assert_eq!(
        calls[0],
        format!("account 2 {} {left} {signature} false", payer.pubkey())
    );
    assert_eq!(calls[1], format!("account 2 {to} {SOL} {signature} false"));
    assert_eq!(
        calls[2..6],
        [
            "block 2 1 1",
            "processed 2 1",
            "confirmed 1 0",
            "created_bank 3 2"
        ]
    );
    assert!(calls[6].starts_with("account 3 SysvarC1ock"));
    assert!(calls[7].starts_with("account 3 SysvarS1otHashes"));
    devnet.advance(3).await;
    let calls = recorder.take();
    assert!(calls.contains(&"rooted 1 0".to_owned()));
    devnet.call("mythic_deadSlot", json!([])).await;
    let calls = recorder.take();
    assert_eq!(calls[..2], ["dead 6 5", "created_bank 7 5"]);
    devnet.stop().await;
    assert_eq!(recorder.take().last().unwrap(), "unload");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_fails_stops_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = Recorder {
        fail: true,
        ..Recorder::default()
    };
    let devnet = Devnet::start(config(dir.path()), Some(recorder)).await;
    devnet.funded(1).await;
    devnet.advance(10).await;
    assert_eq!(devnet.rpc.get_slot().await.unwrap(), 11);
    devnet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_is_loaded_from_its_library() {
    let examples = std::env::current_exe()
        .unwrap()
        .with_file_name("../examples/librecorder.so");
    assert!(
        examples.exists(),
        "{} is missing: cargo build -p mythic-devnet --examples",
        examples.display()
    );
    let dir = tempfile::tempdir().unwrap();
    let told = dir.path().join("told.txt");
    let plugin = dir.path().join("plugin.json5");
    let text = format!(
        "{{ libpath: {:?}, out: {:?}, /* JSON5 */ }}",
        examples.display().to_string(),
        told.display().to_string()
    );
    std::fs::write(&plugin, text).unwrap();
    let config = mythic_devnet::DevnetConfig {
        geyser_plugin_config: Some(plugin),
        ..config(&dir.path().join("chain"))
    };
    let stop = tokio_util::sync::CancellationToken::new();
    let chain = tokio::spawn(mythic_devnet::run(config, stop.clone()));
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    let read = || std::fs::read_to_string(&told).unwrap_or_default();
    while !read().contains("created_bank 1") {
        assert!(std::time::Instant::now() < deadline, "nothing was told");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stop.cancel();
    chain.await.unwrap().unwrap();
    let told = read();
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines[..2], ["load", "end of startup"]);
    assert_eq!(lines.last(), Some(&"unload"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_cannot_be_loaded_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let plugin = dir.path().join("plugin.json");
    std::fs::write(&plugin, r#"{"libpath": "nowhere.so"}"#).unwrap();
    let config = mythic_devnet::DevnetConfig {
        geyser_plugin_config: Some(plugin),
        ..config(&dir.path().join("chain"))
    };
    let stop = tokio_util::sync::CancellationToken::new();
    let error = mythic_devnet::run(config, stop).await.unwrap_err();
    assert!(format!("{error:#}").contains("nowhere.so"), "{error:#}");
}

/// The calls of a real validator, where those of this chain are others.
fn as_validator(dir: &Path) -> DevnetConfig {
    DevnetConfig {
        geyser_as_validator: true,
        ..config(dir)
    }
}

/// An account as the recorder notes it.
#[derive(Debug, PartialEq)]
struct Row {
    slot: u64,
    key: String,
    lamports: u64,
    signed: bool,
    is_startup: bool,
}

/// All calls, which tell accounts and nothing else.
fn rows(calls: &[String]) -> Vec<Row> {
    let row = |call: &String| {
        let words: Vec<&str> = call.split(' ').collect();
        let ["account", slot, key, lamports, signed, is_startup] = words[..] else {
            panic!("{call}");
        };
        Row {
            slot: slot.parse().unwrap(),
            key: key.to_owned(),
            lamports: lamports.parse().unwrap(),
            signed: signed != "-",
            is_startup: is_startup.parse().unwrap(),
        }
    };
    calls.iter().map(row).collect()
}

/// Slots and lamports of an account's rows, by slot.
fn versions(rows: &[Row], key: &Pubkey) -> Vec<(u64, u64)> {
    let key = key.to_string();
    let of_key = rows.iter().filter(|row| row.key == key);
    let mut versions: Vec<_> = of_key.map(|row| (row.slot, row.lamports)).collect();
    versions.sort_unstable();
    versions
}

fn place(calls: &[String], begin: &str) -> usize {
    let place = calls.iter().position(|call| call.starts_with(begin));
    place.unwrap_or_else(|| panic!("no {begin} in {calls:#?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_validators_genesis_is_told_as_writes_of_a_slot_that_nobody_creates() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = Recorder::default();
    let devnet = Devnet::start(as_validator(dir.path()), Some(recorder.clone())).await;
    devnet.advance(7).await;
    devnet.stop().await;
    let calls = recorder.take();
    let genesis = rows(&calls[1..place(&calls, "created_bank 1 0")]);
    let written = |row: &Row| row.slot == 0 && !row.is_startup && !row.signed;
    assert!(genesis.iter().all(written), "{genesis:#?}");
    let faucet = DevnetConfig::default().faucet_lamports;
    assert!(genesis.iter().any(|row| row.lamports == faucet));
    let of_slot_0 = ["created_bank 0", "block 0", "processed 0", "rooted 0"];
    for never in of_slot_0.into_iter().chain(["end of startup"]) {
        assert!(!calls.iter().any(|call| call.starts_with(never)), "{never}");
    }
    // Without a snapshot the next start executes it again, and all blocks behind it.
    let recorder = Recorder::default();
    let devnet = Devnet::start(as_validator(dir.path()), Some(recorder.clone())).await;
    devnet.stop().await;
    let calls = recorder.take();
    let again = rows(&calls[1..place(&calls, "created_bank")]);
    assert!(again.iter().all(|row| !row.is_startup));
    assert!(
        again
            .iter()
            .any(|row| row.slot == 0 && row.lamports == faucet)
    );
    assert_eq!(again.last().map(|row| row.slot), Some(6));
    assert!(!calls.contains(&"end of startup".to_owned()));
}

/// A chain with a snapshot of slot 100 and blocks to slot 104 behind it; what a plugin hears when it starts again.
async fn started_again(dir: &Path) -> (Vec<String>, Recorder, [Pubkey; 2]) {
    let devnet = Devnet::start(as_validator(dir), None).await;
    let (payer, closed) = (devnet.funded(10).await, devnet.funded(1).await);
    let to = Pubkey::new_unique();
    devnet.send(&payer, &to, SOL).await;
    devnet.send(&closed, &to, SOL - 5000).await;
    devnet.advance(100).await;
    devnet.send(&payer, &to, SOL).await;
    devnet.advance(3).await;
    devnet.stop().await;
    let recorder = Recorder::default();
    let devnet = Devnet::start(as_validator(dir), Some(recorder.clone())).await;
    devnet.stop().await;
    let calls = recorder.take();
    (calls, recorder, [payer.pubkey(), closed.pubkey()])
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_validator_executes_again_is_told_without_banks_behind_its_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let (calls, _, [payer, _]) = started_again(dir.path()).await;
    let (end, bank) = (
        place(&calls, "end of startup"),
        place(&calls, "created_bank"),
    );
    assert!(calls[bank].ends_with(" 104"), "{}", calls[bank]);
    let read = rows(&calls[1..end]);
    assert!(read.iter().all(|row| row.is_startup && row.slot <= 100));
    let again = rows(&calls[end + 1..bank]);
    assert!(again.iter().all(|row| !row.is_startup && !row.signed));
    let mut slots: Vec<u64> = again.iter().map(|row| row.slot).collect();
    slots.dedup();
    assert_eq!(slots, [101, 102, 103, 104]);
    let left = |transfers: u64| 10 * SOL - transfers * (SOL + 5000);
    assert_eq!(versions(&read, &payer), [(1, 10 * SOL), (3, left(1))]);
    assert_eq!(versions(&again, &payer), [(103, left(2))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn start_up_accounts_of_a_validator_come_from_several_threads_with_older_and_closed_ones() {
    let dir = tempfile::tempdir().unwrap();
    let (calls, recorder, [payer, closed]) = started_again(dir.path()).await;
    assert!(recorder.readers.lock().unwrap().len() > 1);
    let read = rows(&calls[1..place(&calls, "end of startup")]);
    assert!(!read.is_sorted_by_key(|row| row.slot));
    assert_eq!(versions(&read, &payer).len(), 2);
    assert_eq!(versions(&read, &closed), [(2, SOL), (3, 0)]);
    // The Clock, which every slot writes, says of which one the snapshot is.
    assert_eq!(read.iter().map(|row| row.slot).max(), Some(100));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_validator_confirms_some_slots_and_tells_of_shreds() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = Recorder::default();
    let devnet = Devnet::start(as_validator(dir.path()), Some(recorder.clone())).await;
    recorder.take();
    devnet.advance(9).await;
    let calls = recorder.take();
    let told = |word: &str| -> Vec<&String> {
        let begin = format!("{word} ");
        let told = calls.iter().filter(|call| call.starts_with(&begin));
        told.collect()
    };
    let confirmed = [
        "confirmed 2 -",
        "confirmed 4 -",
        "confirmed 6 -",
        "confirmed 8 -",
    ];
    assert_eq!(told("confirmed"), confirmed);
    for word in [
        "processed",
        "completed",
        "created_bank",
        "first_shred_received",
    ] {
        assert_eq!(told(word).len(), 9, "{word}");
    }
    assert_eq!(told("rooted").len(), 5);
    let at = |call: &str| place(&calls, call);
    assert!(at("created_bank 5 4") < at("first_shred_received 5 -"));
    assert!(at("processed 5 4") < at("completed 5 -"));
    devnet.stop().await;
}
