//! What a Geyser plugin hears, and what becomes of one that fails.

use std::time::Duration;

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
