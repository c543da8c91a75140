//! The development chain with its plugin and its RPC: the program's own transactions, seen both ways.

use std::path::Path;
use std::time::Duration;

use mythic_client::{ChainClient, Commitment, ix, pda};
use mythic_devnet::geyser::PluginHost;
use mythic_devnet::{DevnetConfig, ProgramConfig, Servers, run_with};
use mythic_geyser_plugin::Plugin;
use mythic_interface::ix::GrantSpend;
use mythic_interface::le::{U32, U64};
use mythic_interface::params::Params;
use mythic_interface::{AI_PRECOMPILES_ID, PROGRAMS};
use serde_json::json;
use solana_keypair::Keypair;
use solana_signer::Signer;
use tokio_util::sync::CancellationToken;

use super::follow::{config, current, spawn, until};
use crate::tests::postgres::Database;
use crate::{IndexerConfig, SourceKind, Swap, rebuild};

const SOL: u64 = 1_000_000_000;

fn devnet(dir: &Path, admin: &Keypair) -> DevnetConfig {
    let any = "127.0.0.1:0".parse().unwrap();
    let elf =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../programs/elf/mythic_ai_precompiles.so");
    DevnetConfig {
        data_dir: dir.join("chain"),
        rpc_addr: any,
        ws_addr: any,
        slot_ms: 50,
        rooted_lag: 8,
        programs: vec![ProgramConfig {
            id: bs58::encode(AI_PRECOMPILES_ID).into_string(),
            path: elf,
            upgrade_authority: Some(admin.pubkey().to_string()),
        }],
        ..DevnetConfig::default()
    }
}

async fn send(chain: &ChainClient, call: solana_instruction::Instruction, signer: &Keypair) {
    let payer = signer.pubkey();
    chain
        .send_and_confirm(&[call], &payer, &[signer], Commitment::Processed)
        .await
        .unwrap();
}

fn grant(per_job: u64) -> GrantSpend {
    GrantSpend {
        spent: U64::new(0),
        per_job_max: U64::new(per_job),
        window_max: U64::new(10 * per_job),
        window_slots: U32::new(100),
        lifetime_cap: U64::new(100 * per_job),
        expiry_slot: U64::new(1 << 40),
        model_count: 0,
        models: [[0; 32]; 4],
    }
}

/// What a network does in some seconds: accounts are made, written again and again, in the same block too, and closed.
async fn live(chain: &ChainClient, admin: &Keypair) {
    let foundation = Keypair::new().pubkey();
    let key = admin.pubkey();
    chain.airdrop(&key, 1_000 * SOL).await.unwrap();
    let initialize = ix::initialize(key, key, key, foundation, &Params::dev());
    send(chain, initialize, admin).await;
    let owners: Vec<Keypair> = (0..6).map(|_| Keypair::new()).collect();
    for owner in &owners {
        chain.airdrop(&owner.pubkey(), 100 * SOL).await.unwrap();
    }
    for round in 1..=4u64 {
        for owner in &owners {
            let at = owner.pubkey();
            let deposits = (0..3).map(|n| {
                let call = ix::deposit_vault(key, at, round * SOL + n);
                async move { send(chain, call, admin).await }
            });
            futures::future::join_all(deposits).await;
            let delegate = foundation;
            send(
                chain,
                ix::grant_spend(at, at, delegate, &grant(round * 1000)),
                owner,
            )
            .await;
        }
        let gone = &owners[round as usize];
        let vault = chain
            .account::<mythic_interface::state::Vault>(&pda::vault(gone.pubkey()))
            .await;
        let balance = vault.unwrap().unwrap().1.balance.get();
        send(chain, ix::withdraw_vault(gone.pubkey(), balance), gone).await;
        send(chain, ix::close_vault(gone.pubkey(), key), gone).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_index_from_rpc_has_the_accounts_of_the_index_from_the_plugin() {
    let dir = tempfile::tempdir().unwrap();
    let admin = Keypair::new();
    let devnet = devnet(dir.path(), &admin);
    let plugin = dir.path().join("plugin.json5");
    let genesis = mythic_devnet::genesis_hash(&devnet).unwrap().to_string();
    let owners = PROGRAMS.map(|program| bs58::encode(program).into_string());
    let text = json!({"libpath": "none", "spool_dir": dir.path().join("spool"), "owners": owners, "genesis_hash": genesis});
    std::fs::write(&plugin, text.to_string()).unwrap();
    let host = PluginHost::in_process(Box::new(Plugin::default()), &plugin).unwrap();
    let servers = Servers::bind(&devnet).await.unwrap();
    let url = format!("http://{}", servers.rpc_addr());
    let chain = ChainClient::new(url.clone(), format!("ws://{}", servers.ws_addr()));
    let stop_chain = CancellationToken::new();
    let validator = tokio::spawn(run_with(devnet, Some(host), servers, stop_chain.clone()));
    let (polled, spooled) = (
        Database::new("devnet_rpc").await,
        Database::new("devnet_spool").await,
    );
    let from_rpc = config(&polled, &url);
    let from_spool = IndexerConfig {
        database_url: spooled.url.clone(),
        source: SourceKind::Spool,
        rpc_url: None,
        spool_dir: dir.path().join("spool"),
        ..from_rpc.clone()
    };
    let indexers = [spawn(&from_rpc), spawn(&from_spool)];
    live(&chain, &admin).await;
    let last = chain.slot(Commitment::Processed).await.unwrap();
    for db in [&polled, &spooled] {
        let sql = format!("SELECT finalized_slot > {last} FROM analytics.pipeline_status");
        until(db, &sql, &["(t)"]).await;
    }
    let expected = current(&spooled).await;
    assert!(expected.len() >= 10, "{expected:?}");
    assert_eq!(current(&polled).await, expected);
    // What is called exact was seen as the plugin saw it.
    let history = "SELECT count(*) FROM analytics.vaults_finalized WHERE exact";
    eprintln!(
        "exact vaults: {:?} polled, {:?} streamed",
        polled.texts(history).await,
        spooled.texts(history).await
    );
    assert_eq!(
        polled
            .texts("SELECT kind, detail FROM pipeline.alarm")
            .await,
        Vec::<String>::new()
    );
    for (task, stop) in indexers {
        stop.cancel();
        task.await.unwrap().unwrap();
    }
    stop_chain.cancel();
    tokio::time::timeout(Duration::from_secs(60), validator)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    let report = rebuild(&polled.url, Swap::Never).await.unwrap();
    assert_eq!(report.different, Vec::<String>::new());
}
