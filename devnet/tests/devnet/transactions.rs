//! Transactions through the commitments, and those that are refused.

use serde_json::json;
use solana_pubkey::Pubkey;
use solana_rpc_client_api::config::{
    CommitmentConfig, RpcSendTransactionConfig, RpcSimulateTransactionConfig,
};
use solana_signer::Signer;
use solana_transaction_status::UiTransactionEncoding;

use crate::common::{Devnet, RENT, SOL, config};

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
