//! The chain from its genesis on: commands that move it, restarts, programs and airdrops.

use std::time::Duration;

use serde_json::json;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

use crate::common::{Devnet, RENT, Recorder, SOL, config};

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
