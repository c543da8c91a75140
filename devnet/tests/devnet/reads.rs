//! Calls that wallets, explorers and indexers make, with Agave's answers.

use serde_json::json;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_rpc_client_api::config::{CommitmentConfig, RpcBlockConfig, TransactionDetails};
use solana_signature::Signature;
use solana_signer::Signer;
use solana_transaction_status::UiTransactionEncoding;

use crate::common::{Devnet, RENT, SOL, config};

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_is_a_place_in_the_ledger_whomever_it_belongs_to() {
    let dir = tempfile::tempdir().unwrap();
    let devnet = Devnet::start(config(dir.path()), None).await;
    let a = devnet.funded(10).await;
    devnet.advance(6).await;
    let (b, c) = (Pubkey::new_unique(), Pubkey::new_unique());
    let mut sent = Vec::new();
    for (to, lamports) in [(&b, RENT), (&c, RENT), (&b, RENT + 1), (&c, RENT + 1)] {
        sent.push(devnet.send(&a, to, lamports).await.to_string());
        devnet.advance(1).await;
    }
    devnet.advance(2).await;
    let of = async |address: &Pubkey, more: serde_json::Value| -> Vec<String> {
        let mut config = json!({"commitment": "confirmed"});
        for (name, value) in more.as_object().unwrap() {
            config[name] = value.clone();
        }
        let params = json!([address.to_string(), config]);
        let found = devnet.call("getSignaturesForAddress", params).await;
        let found = found.as_array().unwrap().iter();
        found
            .map(|one| one["signature"].as_str().unwrap().to_owned())
            .collect()
    };
    let [b1, c1, b2, c2] = [0, 1, 2, 3].map(|i| sent[i].as_str());
    let nobody = Signature::from([7; 64]).to_string();
    assert_eq!(of(&b, json!({})).await, [b2, b1]);
    assert_eq!(of(&b, json!({"before": c1})).await, [b1]);
    assert_eq!(of(&b, json!({"before": c2})).await, [b2, b1]);
    assert_eq!(of(&b, json!({"until": c1})).await, [b2]);
    assert_eq!(of(&c, json!({"until": b1})).await, [c2, c1]);
    assert_eq!(of(&c, json!({"before": c2, "until": b1})).await, [c1]);
    assert_eq!(of(&b, json!({"before": c1, "until": c2})).await, [""; 0]);
    assert_eq!(of(&b, json!({"before": nobody})).await, [""; 0]);
    assert_eq!(of(&b, json!({"until": nobody})).await, [b2, b1]);
    assert_eq!(of(&b, json!({"limit": 1})).await, [b2]);
    for limit in [0, 1_001] {
        let params = json!([b.to_string(), {"limit": limit}]);
        let answer = devnet.answer("getSignaturesForAddress", params).await;
        assert_eq!(answer["error"]["code"], -32602, "{limit}");
    }
    devnet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_are_shown_with_their_transactions() {
    let dir = tempfile::tempdir().unwrap();
    let devnet = Devnet::start(config(dir.path()), None).await;
    let rpc = &devnet.rpc;
    let payer = devnet.funded(10).await;
    devnet.advance(6).await;
    let to = Pubkey::new_unique();
    let signature = devnet.send(&payer, &to, SOL).await.to_string();
    let moved = devnet.call("mythic_skipSlot", json!([2])).await;
    let skipped = moved["abandoned"][0].as_u64().unwrap();
    let slot = moved["slot"].as_u64().unwrap();
    devnet.advance(2).await;

    let with = |details, encoding, commitment| RpcBlockConfig {
        transaction_details: Some(details),
        encoding: Some(encoding),
        commitment: Some(commitment),
        max_supported_transaction_version: Some(0),
        ..RpcBlockConfig::default()
    };
    let confirmed = CommitmentConfig::confirmed();
    let full = with(
        TransactionDetails::Full,
        UiTransactionEncoding::JsonParsed,
        confirmed,
    );
    let block = rpc.get_block_with_config(slot, full).await.unwrap();
    assert_eq!(block.parent_slot, skipped - 1);
    assert_eq!(block.block_height, Some(skipped));
    assert_eq!(block.rewards, Some(Vec::new()));
    let transactions = block.transactions.unwrap();
    assert_eq!(transactions.len(), 1);
    assert_eq!(transactions[0].meta.as_ref().unwrap().fee, 5000);
    for details in [
        TransactionDetails::Signatures,
        TransactionDetails::Accounts,
        TransactionDetails::None,
    ] {
        let config = with(details, UiTransactionEncoding::Base64, confirmed);
        let block = rpc.get_block_with_config(slot, config).await.unwrap();
        let signatures =
            (details == TransactionDetails::Signatures).then(|| vec![signature.clone()]);
        assert_eq!(block.signatures, signatures);
        assert_eq!(
            block.transactions.is_some(),
            details == TransactionDetails::Accounts
        );
    }
    let error = async |slot: u64, config: serde_json::Value| {
        let answer = devnet.answer("getBlock", json!([slot, config])).await;
        answer["error"]["code"].as_i64()
    };
    assert_eq!(error(slot, json!({})).await, Some(-32004), "not finalized");
    assert_eq!(
        error(slot, json!({"commitment": "processed"})).await,
        Some(-32602)
    );
    assert_eq!(error(u64::MAX, json!({})).await, Some(-32004));
    devnet.advance(6).await;
    assert_eq!(error(slot, json!({})).await, None);
    assert_eq!(error(skipped, json!({})).await, Some(-32007));
    let answer = devnet.answer("getBlockTime", json!([skipped])).await;
    assert_eq!(answer["error"]["code"], -32007);
    assert!(rpc.get_block_time(slot).await.unwrap() > 1_600_000_000);
    let next = rpc.get_blocks_with_limit(skipped, 2).await.unwrap();
    assert_eq!(next, [slot, slot + 1]);
    assert_eq!(rpc.get_blocks(skipped, Some(slot)).await.unwrap(), [slot]);
    for (method, params) in [
        ("getBlocks", json!([0, 1, {"commitment": "processed"}])),
        ("getBlocksWithLimit", json!([0, 500_001])),
    ] {
        let answer = devnet.answer(method, params).await;
        assert_eq!(answer["error"]["code"], -32602, "{method}");
    }
    devnet.stop().await;

    let devnet = Devnet::start(config(dir.path()), None).await;
    let first = devnet.rpc.get_first_available_block().await.unwrap();
    assert!(first > slot, "content is held from the start on");
    let answer = devnet.answer("getBlock", json!([slot])).await;
    assert_eq!(answer["error"]["code"], -32001, "{answer}");
    devnet.advance(6).await;
    let known = devnet.rpc.get_blocks(0, None).await.unwrap();
    assert_eq!(known.first(), Some(&first));
    for slot in known {
        let answer = devnet.answer("getBlock", json!([slot])).await;
        assert!(answer["result"]["blockhash"].is_string(), "{answer}");
    }
    devnet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_one_node_speaks_for_its_cluster() {
    let dir = tempfile::tempdir().unwrap();
    let devnet = Devnet::start(config(dir.path()), None).await;
    let rpc = &devnet.rpc;
    devnet.advance(5).await;
    assert!(rpc.get_version().await.unwrap().feature_set.is_some());
    let identity = rpc.get_identity().await.unwrap();
    let nodes = rpc.get_cluster_nodes().await.unwrap();
    assert_eq!(nodes.len(), 1);
    assert_eq!(nodes[0].pubkey, identity.to_string());
    assert_eq!(format!("http://{}", nodes[0].rpc.unwrap()), devnet.url);
    assert_eq!(format!("ws://{}", nodes[0].pubsub.unwrap()), devnet.ws_url);
    let votes = rpc.get_vote_accounts().await.unwrap();
    assert!(votes.current.is_empty() && votes.delinquent.is_empty());
    let leaders = rpc.get_slot_leaders(0, 3).await.unwrap();
    assert_eq!(leaders, [identity; 3]);
    let leader = devnet.call("getSlotLeader", json!([])).await;
    assert_eq!(leader, identity.to_string());
    let schedule = rpc.get_leader_schedule(None).await.unwrap().unwrap();
    assert_eq!(schedule[&identity.to_string()].len(), 432_000);
    assert!(
        rpc.get_leader_schedule(Some(u64::MAX))
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(rpc.get_inflation_rate().await.unwrap().total, 0.0);
    assert_eq!(rpc.get_inflation_governor().await.unwrap().initial, 0.0);
    let production = rpc.get_block_production().await.unwrap().value;
    let (slots, blocks) = production.by_identity[&identity.to_string()];
    assert!(slots > 0 && slots == blocks, "{slots} {blocks}");
    assert_eq!(
        rpc.get_epoch_schedule().await.unwrap().slots_per_epoch,
        432_000
    );
    assert_eq!(rpc.get_stake_minimum_delegation().await.unwrap(), 1);
    let largest = devnet.call("getLargestAccounts", json!([])).await;
    assert_eq!(largest["value"].as_array().unwrap().len(), 20);
    let snapshot = devnet.answer("getHighestSnapshotSlot", json!([])).await;
    assert_eq!(snapshot["error"]["code"], -32008);
    let rewards = json!([[identity.to_string()], {"epoch": 0}]);
    let rewards = devnet.answer("getInflationReward", rewards).await;
    assert_eq!(rewards["error"]["code"], -32004, "the epoch is not over");
    for (method, word) in [
        ("getMaxShredInsertSlot", "shreds"),
        ("getConfirmedBlock", "getBlock"),
        ("accountSubscribe", "WebSocket"),
    ] {
        let answer = devnet.answer(method, json!([])).await;
        assert_eq!(answer["error"]["code"], -32601);
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains(word), "{message}");
    }
    devnet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn throughput_and_fees_are_those_of_this_chain() {
    let dir = tempfile::tempdir().unwrap();
    let devnet = Devnet::start(config(dir.path()), None).await;
    let payer = devnet.funded(10).await;
    devnet.advance(6).await;
    let to = Pubkey::new_unique();
    let pay =
        |lamports| solana_system_interface::instruction::transfer(&payer.pubkey(), &to, lamports);
    let price = |micro_lamports: u64| {
        let mut data = vec![3];
        data.extend_from_slice(&micro_lamports.to_le_bytes());
        solana_instruction::Instruction {
            program_id: Pubkey::from_str_const("ComputeBudget111111111111111111111111111111"),
            accounts: Vec::new(),
            data,
        }
    };
    devnet.run(&[price(700), pay(RENT)], &[&payer]).await;
    let slot = devnet.rpc.get_slot().await.unwrap();
    let fee = async |accounts: &[Pubkey]| {
        let fees = devnet
            .rpc
            .get_recent_prioritization_fees(accounts)
            .await
            .unwrap();
        fees.iter()
            .find(|fee| fee.slot == slot)
            .unwrap()
            .prioritization_fee
    };
    assert_eq!(fee(&[]).await, 700);
    assert_eq!(fee(&[to]).await, 700);
    devnet.send(&payer, &to, RENT + 5).await;
    devnet.run(&[price(900), pay(RENT)], &[&payer]).await;
    let fees = devnet
        .rpc
        .get_recent_prioritization_fees(&[])
        .await
        .unwrap();
    assert_eq!(
        fees.last().unwrap().prioritization_fee,
        0,
        "the least of the block"
    );

    // A slot by command is 400 ms of the chain's time.
    devnet.advance(460).await;
    let samples = devnet
        .rpc
        .get_recent_performance_samples(Some(2))
        .await
        .unwrap();
    assert_eq!(samples.len(), 2);
    for sample in &samples {
        assert_eq!(sample.sample_period_secs, 60);
        assert!((149..=151).contains(&sample.num_slots), "{sample:?}");
    }
    let all = devnet
        .rpc
        .get_recent_performance_samples(None)
        .await
        .unwrap();
    assert!(
        all.iter()
            .map(|sample| sample.num_transactions)
            .sum::<u64>()
            <= 4
    );
    let answer = devnet
        .answer("getRecentPerformanceSamples", json!([721]))
        .await;
    assert_eq!(answer["error"]["code"], -32602);
    devnet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_account_is_larger_than_an_account_can_be() {
    let dir = tempfile::tempdir().unwrap();
    let devnet = Devnet::start(config(dir.path()), None).await;
    let rent = async |bytes: u64| {
        devnet
            .answer("getMinimumBalanceForRentExemption", json!([bytes]))
            .await
    };
    assert!(rent(10 << 20).await["result"].is_u64());
    for bytes in [(10 << 20) + 1, 1 << 60, u64::MAX] {
        let error = json!({"code": -32600, "message": "Invalid request"});
        assert_eq!(rent(bytes).await["error"], error, "{bytes}");
    }
    devnet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_is_full_takes_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let devnet = Devnet::start(config(dir.path()), None).await;
    let payer = Keypair::new();
    devnet
        .rpc
        .request_airdrop(&payer.pubkey(), 100 * SOL)
        .await
        .unwrap();
    devnet.advance(6).await;
    let call = |i: u64| json!({"jsonrpc": "2.0", "id": i, "method": "requestAirdrop", "params": [payer.pubkey().to_string(), 1]});
    let http = reqwest::Client::new();
    let mut refused = None;
    for round in 0..110u64 {
        let batch: Vec<_> = (0..100).map(|i| call(round * 100 + i)).collect();
        let response = http.post(&devnet.url).json(&batch).send().await.unwrap();
        let answers: Vec<serde_json::Value> = response.json().await.unwrap();
        refused = answers
            .into_iter()
            .find(|answer| answer["error"].is_object());
        if refused.is_some() {
            break;
        }
    }
    let message = refused.expect("a limit")["error"]["message"].to_string();
    assert!(message.contains("Block Cost Limit"), "{message}");
    devnet.advance(1).await;
    devnet
        .rpc
        .request_airdrop(&payer.pubkey(), SOL)
        .await
        .unwrap();
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
