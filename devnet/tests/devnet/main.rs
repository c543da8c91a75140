//! The chain through its doors: JSON-RPC with Solana's own client, WebSocket, a Geyser plugin, restarts.

mod clients;
mod common;
mod hostile;
mod kill;
mod reads;
mod subscriptions;
mod tokens;

use std::time::Duration;

use common::{Devnet, RENT, Recorder, SOL, config, next, subscribe};
use futures::SinkExt;
use serde_json::{Value, json};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_rpc_client_api::config::{
    CommitmentConfig, RpcSendTransactionConfig, RpcSimulateTransactionConfig,
};
use solana_signer::Signer;
use solana_transaction_status::UiTransactionEncoding;
use tokio_tungstenite::tungstenite::Message;

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_goes_through_the_commitments() {
    let dir = tempfile::tempdir().unwrap();
    let devnet = Devnet::start(config(dir.path()), None).await;
    let rpc = &devnet.rpc;
    let payer = devnet.funded(10).await;
    let to = Pubkey::new_unique();
    let signature = devnet.send(&payer, &to, SOL).await;
    let status = || async {
        rpc.get_signature_statuses(&[signature])
            .await
            .unwrap()
            .value
    };
    assert_eq!(status().await, [None]);
    devnet.advance(1).await;
    let seen = status().await[0].clone().unwrap();
    assert!(seen.err.is_none() && !seen.satisfies_commitment(CommitmentConfig::confirmed()));
    devnet.advance(1).await;
    let seen = status().await[0].clone().unwrap();
    assert!(seen.satisfies_commitment(CommitmentConfig::confirmed()));
    assert!(!seen.satisfies_commitment(CommitmentConfig::finalized()));
    let finalized = CommitmentConfig::finalized();
    let balance = rpc
        .get_balance_with_commitment(&to, finalized)
        .await
        .unwrap();
    assert_eq!(balance.value, 0);
    devnet.advance(3).await;
    let seen = status().await[0].clone().unwrap();
    assert_eq!(seen.confirmations, None);
    let balance = rpc
        .get_balance_with_commitment(&to, finalized)
        .await
        .unwrap();
    assert_eq!(balance.value, SOL);
    assert_eq!(
        rpc.get_balance(&payer.pubkey()).await.unwrap(),
        9 * SOL - 5000
    );

    let found = rpc
        .get_transaction(&signature, UiTransactionEncoding::Base64)
        .await
        .unwrap();
    assert_eq!(found.slot, seen.slot);
    assert_eq!(found.transaction.meta.unwrap().fee, 5000);
    let json = devnet
        .call(
            "getTransaction",
            json!([signature.to_string(), "jsonParsed"]),
        )
        .await;
    let parsed = &json["transaction"]["message"]["instructions"][0]["parsed"];
    assert_eq!(parsed["type"], "transfer");
    let history = rpc
        .get_signatures_for_address(&payer.pubkey())
        .await
        .unwrap();
    assert_eq!(history.len(), 2);
    assert_eq!(history[0].signature, signature.to_string());
    devnet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_read_that_clients_use_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let devnet = Devnet::start(config(dir.path()), None).await;
    let rpc = &devnet.rpc;
    let payer = devnet.funded(3).await;
    devnet.advance(5).await;
    assert_eq!(rpc.get_version().await.unwrap().solana_core, "4.2.2");
    assert_eq!(rpc.get_slot().await.unwrap(), 6);
    let finalized = CommitmentConfig::finalized();
    assert_eq!(rpc.get_slot_with_commitment(finalized).await.unwrap(), 2);
    assert_eq!(rpc.get_block_height().await.unwrap(), 6);
    assert_eq!(rpc.get_first_available_block().await.unwrap(), 0);
    assert_eq!(rpc.get_blocks(0, None).await.unwrap(), [0, 1, 2]);
    assert!(rpc.get_block_time(6).await.unwrap() > 1_600_000_000);
    let epoch = rpc.get_epoch_info().await.unwrap();
    assert_eq!(
        (epoch.absolute_slot, epoch.epoch, epoch.transaction_count),
        (6, 0, Some(1))
    );
    assert_eq!(
        rpc.get_minimum_balance_for_rent_exemption(0).await.unwrap(),
        RENT
    );
    rpc.get_genesis_hash().await.unwrap();
    let (blockhash, last_valid) = rpc
        .get_latest_blockhash_with_commitment(CommitmentConfig::processed())
        .await
        .unwrap();
    assert_eq!(last_valid, 156);
    let processed = CommitmentConfig::processed();
    assert!(rpc.is_blockhash_valid(&blockhash, processed).await.unwrap());
    assert!(!rpc.is_blockhash_valid(&blockhash, finalized).await.unwrap());
    let tx = devnet.transfer(&payer, &Pubkey::new_unique(), RENT).await;
    assert_eq!(rpc.get_fee_for_message(&tx.message).await.unwrap(), 5000);
    let supply = rpc.supply_with_commitment(processed).await.unwrap();
    assert!(supply.value.total > SOL);
    let accounts = rpc
        .get_multiple_accounts(&[payer.pubkey(), Pubkey::new_unique()])
        .await
        .unwrap();
    assert_eq!(accounts[0].as_ref().unwrap().lamports, 3 * SOL);
    assert!(accounts[1].is_none());

    let clock = "SysvarC1ock11111111111111111111111111111111";
    for encoding in ["base58", "base64", "base64+zstd", "jsonParsed"] {
        let config = json!({"encoding": encoding, "commitment": "processed"});
        let account = devnet.call("getAccountInfo", json!([clock, config])).await;
        assert_eq!(account["value"]["space"], 40, "{encoding}");
    }
    let slice = json!({"encoding": "base64", "dataSlice": {"offset": 0, "length": 8}});
    let account = devnet.call("getAccountInfo", json!([clock, slice])).await;
    assert_eq!(account["value"]["data"][0], "AgAAAAAAAAA=");
    let sysvars = "Sysvar1111111111111111111111111111111111111";
    let filters = json!({"encoding": "base64", "withContext": true, "filters": [
        {"dataSize": 40}, {"memcmp": {"offset": 0, "bytes": "AgAAAAAAAAA=", "encoding": "base64"}}
    ]});
    let found = devnet
        .call("getProgramAccounts", json!([sysvars, filters]))
        .await;
    assert_eq!(found["value"].as_array().unwrap().len(), 1);
    assert_eq!(found["value"][0]["pubkey"], clock);
    devnet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn preflight_refuses_what_would_fail_and_simulation_shows_why() {
    let dir = tempfile::tempdir().unwrap();
    let devnet = Devnet::start(config(dir.path()), None).await;
    let rpc = &devnet.rpc;
    let payer = devnet.funded(1).await;
    let to = Pubkey::new_unique();
    let too_much = devnet.transfer(&payer, &to, 5 * SOL).await;
    let error = rpc.send_transaction(&too_much).await.unwrap_err();
    assert!(error.get_transaction_error().is_some(), "{error}");
    let simulated = rpc.simulate_transaction(&too_much).await.unwrap().value;
    assert!(simulated.err.is_some());
    assert!(
        simulated
            .logs
            .unwrap()
            .iter()
            .any(|log| log.contains("insufficient lamports"))
    );

    let unchecked = RpcSendTransactionConfig {
        skip_preflight: true,
        ..RpcSendTransactionConfig::default()
    };
    let signature = rpc
        .send_transaction_with_config(&too_much, unchecked)
        .await
        .unwrap();
    devnet.advance(1).await;
    assert!(
        rpc.get_signature_status(&signature)
            .await
            .unwrap()
            .unwrap()
            .is_err()
    );

    let mut forged = devnet.transfer(&payer, &to, RENT).await;
    forged.signatures[0] = Default::default();
    let error = rpc.send_transaction(&forged).await.unwrap_err();
    assert!(
        error.to_string().contains("signature verification"),
        "{error}"
    );
    let replace = RpcSimulateTransactionConfig {
        replace_recent_blockhash: true,
        inner_instructions: true,
        commitment: Some(CommitmentConfig::processed()),
        ..RpcSimulateTransactionConfig::default()
    };
    let simulated = rpc
        .simulate_transaction_with_config(&forged, replace)
        .await
        .unwrap()
        .value;
    assert_eq!((simulated.err, simulated.units_consumed), (None, Some(150)));
    assert!(simulated.replacement_blockhash.is_some());

    let mut stale = devnet.transfer(&payer, &to, RENT).await;
    stale.sign(&[&payer], solana_hash::Hash::new_from_array([9; 32]));
    for config in [unchecked, RpcSendTransactionConfig::default()] {
        let error = rpc
            .send_transaction_with_config(&stale, config)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("Blockhash not found"), "{error}");
    }
    devnet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn developers_move_the_chain_by_command() {
    let dir = tempfile::tempdir().unwrap();
    let devnet = Devnet::start(config(dir.path()), None).await;
    let payer = devnet.funded(10).await;
    devnet.advance(6).await;
    let (a, b) = (Pubkey::new_unique(), Pubkey::new_unique());
    let first = devnet.send(&payer, &a, RENT).await;
    devnet.advance(1).await;
    let moved = devnet.call("mythic_fork", json!([1])).await;
    assert_eq!(moved["relanded"], json!([first.to_string()]));
    assert_eq!(moved["dropped"], json!([]));
    assert_eq!(devnet.rpc.get_balance(&a).await.unwrap(), 0);
    devnet.advance(1).await;
    assert_eq!(devnet.rpc.get_balance(&a).await.unwrap(), RENT);

    let slot = devnet.rpc.get_slot().await.unwrap();
    let moved = devnet.call("mythic_replaySlot", json!([slot])).await;
    assert_eq!(moved["relanded"], json!([first.to_string()]));
    assert_eq!(devnet.rpc.get_balance(&a).await.unwrap(), 0);
    let moved = devnet.call("mythic_skipSlot", json!([3])).await;
    assert_eq!(moved["slot"], slot + 4);
    let moved = devnet.call("mythic_deadSlot", json!(["a test"])).await;
    assert_eq!(moved["slot"], slot + 5);
    devnet.advance(1).await;
    assert_eq!(devnet.rpc.get_balance(&a).await.unwrap(), RENT);
    assert_eq!(devnet.rpc.get_slot().await.unwrap(), slot + 5);

    let id = devnet.call("mythic_snapshot", json!([])).await;
    devnet.send(&payer, &b, RENT).await;
    devnet.advance(2).await;
    assert_eq!(devnet.rpc.get_balance(&b).await.unwrap(), RENT);
    devnet.call("mythic_revert", json!([id])).await;
    devnet.advance(1).await;
    assert_eq!(devnet.rpc.get_balance(&b).await.unwrap(), 0);

    let before = devnet.rpc.get_slot().await.unwrap();
    devnet.call("mythic_setSlotMs", json!([10])).await;
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while devnet.rpc.get_slot().await.unwrap() < before + 5 {
        assert!(
            std::time::Instant::now() < deadline,
            "the slots stand still"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    devnet.call("mythic_setSlotMs", json!([0])).await;
    devnet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orderly_restart_keeps_what_was_confirmed_and_abandons_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (Pubkey::new_unique(), Pubkey::new_unique());
    let genesis = mythic_devnet::genesis_hash(&config(dir.path())).unwrap();
    let devnet = Devnet::start(config(dir.path()), None).await;
    assert_eq!(devnet.rpc.get_genesis_hash().await.unwrap(), genesis);
    let held = mythic_devnet::genesis_hash(&config(dir.path())).unwrap_err();
    assert!(held.to_string().contains("another process"), "{held}");
    let payer = devnet.funded(10).await;
    devnet.advance(1).await;
    let rooted = devnet.transfer(&payer, &a, RENT).await;
    devnet.rpc.send_transaction(&rooted).await.unwrap();
    devnet.advance(6).await;
    devnet.send(&payer, &b, RENT).await;
    devnet.advance(1).await;
    let before = devnet.call("mythic_status", json!([])).await;
    devnet.stop().await;

    let recorder = Recorder::default();
    let devnet = Devnet::start(config(dir.path()), Some(recorder.clone())).await;
    let after = devnet.call("mythic_status", json!([])).await;
    assert_eq!(after["rootedSlot"], before["confirmedSlot"]);
    assert!(after["openSlot"].as_u64() > before["openSlot"].as_u64());
    assert_eq!(devnet.rpc.get_genesis_hash().await.unwrap(), genesis);
    assert_eq!(devnet.rpc.get_balance(&a).await.unwrap(), RENT);
    assert_eq!(devnet.rpc.get_balance(&b).await.unwrap(), 0);
    let seen = devnet
        .rpc
        .get_signature_statuses(&[rooted.signatures[0]])
        .await
        .unwrap();
    assert!(seen.value[0].is_some());
    let error = devnet.rpc.send_transaction(&rooted).await.unwrap_err();
    assert!(
        error.to_string().contains("already been processed"),
        "{error}"
    );
    let calls = recorder.take();
    assert_eq!(calls[0], "load test.json");
    let end = calls
        .iter()
        .position(|call| call == "end of startup")
        .unwrap();
    let started = format!(" {a} {RENT} - true");
    assert!(calls[1..end].iter().any(|call| call.ends_with(&started)));
    let open = after["openSlot"].as_u64().unwrap();
    let root = after["rootedSlot"].as_u64().unwrap();
    assert_eq!(calls[end + 1], format!("created_bank {open} {root}"));
    devnet.stop().await;
}

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

#[tokio::test(flavor = "multi_thread")]
async fn programs_are_deployed_at_genesis_with_their_authority() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../programs/elf/mythic_ai_precompiles.so");
    let dir = tempfile::tempdir().unwrap();
    let authority = Keypair::new().pubkey();
    let rich = Keypair::new();
    let id = Pubkey::new_from_array(mythic_interface::AI_PRECOMPILES_ID);
    let config = mythic_devnet::DevnetConfig {
        programs: vec![mythic_devnet::ProgramConfig {
            id: id.to_string(),
            path: path.clone(),
            upgrade_authority: Some(authority.to_string()),
        }],
        genesis_accounts: vec![mythic_devnet::GenesisAccount {
            pubkey: rich.pubkey().to_string(),
            lamports: 5 * SOL,
        }],
        ..config(dir.path())
    };
    for _ in 0..2 {
        let devnet = Devnet::start(config.clone(), None).await;
        let rpc = &devnet.rpc;
        let program = rpc.get_account(&id).await.unwrap();
        assert!(program.executable);
        let data = Pubkey::try_from(&program.data[4..36]).unwrap();
        let loaded = rpc.get_account(&data).await.unwrap();
        assert_eq!(loaded.data[..4], [3, 0, 0, 0]);
        assert_eq!(loaded.data[12], 1);
        assert_eq!(loaded.data[13..45], authority.to_bytes());
        assert_eq!(loaded.data[45..], std::fs::read(&path).unwrap());
        assert!(rpc.get_balance(&rich.pubkey()).await.unwrap() == 5 * SOL);
        let blockhash = rpc.get_latest_blockhash().await.unwrap();
        let nonsense = solana_instruction::Instruction::new_with_bytes(id, &[255; 9], Vec::new());
        let tx = solana_transaction::Transaction::new_signed_with_payer(
            &[nonsense],
            Some(&rich.pubkey()),
            &[&rich],
            blockhash,
        );
        let simulated = rpc.simulate_transaction(&tx).await.unwrap().value;
        let logs = simulated.logs.unwrap();
        assert!(
            logs.iter()
                .any(|log| log.contains(&format!("Program {id} failed"))),
            "{logs:?}"
        );
        devnet.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_follow_the_chain() {
    let dir = tempfile::tempdir().unwrap();
    let devnet = Devnet::start(config(dir.path()), None).await;
    let payer = devnet.funded(10).await;
    let to = Pubkey::new_unique();
    let key = to.to_string();
    let processed = json!({"commitment": "processed", "encoding": "base64"});
    let tx = devnet.transfer(&payer, &to, SOL).await;
    let signature = tx.signatures[0].to_string();
    let (mut socket, _) = tokio_tungstenite::connect_async(&devnet.ws_url)
        .await
        .unwrap();
    let system = "11111111111111111111111111111111";
    let account = subscribe(&mut socket, "accountSubscribe", json!([key, processed])).await;
    let program = subscribe(&mut socket, "programSubscribe", json!([system, processed])).await;
    let once = subscribe(
        &mut socket,
        "signatureSubscribe",
        json!([signature, {"commitment": "confirmed"}]),
    )
    .await;
    let logs = subscribe(
        &mut socket,
        "logsSubscribe",
        json!([{"mentions": [key]}, {"commitment": "processed"}]),
    )
    .await;
    let slots = subscribe(&mut socket, "slotSubscribe", json!([])).await;
    let roots = subscribe(&mut socket, "rootSubscribe", json!([])).await;
    devnet.rpc.send_transaction(&tx).await.unwrap();
    devnet.advance(6).await;

    let mut seen = Vec::new();
    while !seen
        .iter()
        .any(|m: &Value| m["method"] == "rootNotification" && m["params"]["result"] == 3)
    {
        seen.push(next(&mut socket).await);
    }
    let of = |id: &Value| -> Vec<&Value> {
        seen.iter()
            .filter(|m| m["params"]["subscription"] == *id)
            .map(|m| &m["params"]["result"])
            .collect()
    };
    assert_eq!(of(&account).len(), 1);
    assert_eq!(of(&account)[0]["value"]["lamports"], SOL);
    assert_eq!(of(&account)[0]["context"]["slot"], 2);
    assert_eq!(of(&program).len(), 2);
    assert_eq!(
        of(&once),
        [&json!({"context": {"slot": 2}, "value": {"err": null}})]
    );
    assert_eq!(of(&logs)[0]["value"]["signature"], signature);
    assert_eq!(of(&slots)[0]["parent"], 2);
    assert_eq!(of(&roots)[0], &json!(1));

    let late = json!([signature, {"commitment": "finalized"}]);
    let again = subscribe(&mut socket, "signatureSubscribe", late).await;
    let told = next(&mut socket).await;
    assert_eq!(told["params"]["subscription"], again);
    let call = json!({"jsonrpc": "2.0", "id": 2, "method": "slotUnsubscribe", "params": [slots]});
    socket.send(Message::text(call.to_string())).await.unwrap();
    assert_eq!(next(&mut socket).await["result"], true);
    for hostile in [
        "{",
        "[]",
        r#"{"id":1,"method":"x"}"#,
        r#"{"id":1,"method":"accountSubscribe","params":[5]}"#,
    ] {
        socket.send(Message::text(hostile)).await.unwrap();
        assert!(
            next(&mut socket).await["error"]["code"].is_i64(),
            "{hostile}"
        );
    }
    let quiet = json!({"jsonrpc": "2.0", "method": "ping"});
    socket.send(Message::text(quiet.to_string())).await.unwrap();
    devnet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_requests_get_errors() {
    let dir = tempfile::tempdir().unwrap();
    let devnet = Devnet::start(config(dir.path()), None).await;
    let http = reqwest::Client::new();
    let post = |body: String| {
        let request = http
            .post(&devnet.url)
            .header("content-type", "application/json")
            .body(body);
        async move {
            let response = request.send().await.unwrap();
            let status = response.status().as_u16();
            (status, response.json::<Value>().await.unwrap())
        }
    };
    let call = |method: &str, params: Value| {
        json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}).to_string()
    };
    let deep = "[".repeat(100_000);
    for (body, code) in [
        (String::new(), -32700),
        ("nonsense".into(), -32700),
        (deep, -32700),
        ("[]".into(), -32600),
        ("5".into(), -32600),
        (call("nope", json!([])), -32601),
        (call("getBalance", json!([])), -32602),
        (call("getBalance", json!(["not base58 !"])), -32602),
        (call("getBalance", json!({"a": 1})), -32600),
        (call("sendTransaction", json!(["1111"])), -32602),
        (call("sendTransaction", json!(["x".repeat(5000)])), -32602),
        (
            call(
                "getAccountInfo",
                json!(["SysvarC1ock11111111111111111111111111111111", {"minContextSlot": 99}]),
            ),
            -32016,
        ),
        (
            call(
                "getAccountInfo",
                json!(["SysvarS1otHashes111111111111111111111111111"]),
            ),
            -32600,
        ),
        (call("mythic_advanceSlots", json!([u64::MAX])), -32602),
        (call("mythic_fork", json!([0])), -32602),
        (call("mythic_revert", json!([12345])), -32602),
        (call("mythic_nope", json!([])), -32601),
        (
            call("getSignatureStatuses", json!([vec!["1"; 257]])),
            -32602,
        ),
        (
            call(
                "requestAirdrop",
                json!([Pubkey::new_unique().to_string(), u64::MAX]),
            ),
            -32603,
        ),
    ] {
        let shown: String = body.chars().take(80).collect();
        let (status, answer) = post(body).await;
        assert_eq!(
            (status, &answer["error"]["code"]),
            (200, &json!(code)),
            "{shown}: {answer}"
        );
    }
    let (status, answer) = post("x".repeat(300_000)).await;
    assert_eq!((status, &answer["error"]["code"]), (413, &json!(-32600)));
    let batch = format!(
        "[{},{}]",
        call("getSlot", json!([])),
        call("nope", json!([]))
    );
    let (_, answer) = post(batch).await;
    assert_eq!(answer.as_array().unwrap().len(), 2);
    let metrics = http
        .get(format!("{}/metrics", devnet.url))
        .send()
        .await
        .unwrap();
    assert!(
        metrics
            .text()
            .await
            .unwrap()
            .contains("mythic_devnet_processed_slot")
    );
    devnet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_equal_airdrops_both_land() {
    let dir = tempfile::tempdir().unwrap();
    let devnet = Devnet::start(config(dir.path()), None).await;
    let to = Keypair::new().pubkey();
    for _ in 0..2 {
        devnet.rpc.request_airdrop(&to, SOL).await.unwrap();
    }
    devnet.advance(1).await;
    assert_eq!(devnet.rpc.get_balance(&to).await.unwrap(), 2 * SOL);
    devnet.stop().await;
}
