//! One validator of Agave 4.2.2 in this process, alone in its cluster, with everything on loopback: RPC, WebSocket, a faucet, and the
//! admin RPC on the socket `admin.rpc` of its ledger, as `agave-validator` has it.

use crate::{
    config::LocalnetConfig,
    ledger::{self, Keys},
};
use agave_snapshots::{
    SnapshotInterval, paths::BANK_SNAPSHOTS_DIR, snapshot_config::SnapshotConfig,
};
use agave_validator::admin_rpc_service::{self, AdminRpcRequestMetadata};
use agave_votor::vote_history_storage::FileVoteHistoryStorage;
use anyhow::{Context, Result, anyhow, ensure};
use crossbeam_channel::unbounded;
use solana_accounts_db::{
    accounts_db::{ACCOUNTS_DB_CONFIG_FOR_TESTING, AccountsDbConfig},
    accounts_index::{AccountIndex, AccountSecondaryIndexes, AccountsIndexConfig},
    utils::create_accounts_run_and_snapshot_dirs,
};
use solana_core::{
    consensus::tower_storage::FileTowerStorage,
    validator::{Validator, ValidatorConfig, ValidatorTpuConfig},
};
use solana_faucet::faucet::{Faucet, run_faucet};
use solana_gossip::{cluster_info::NodeConfig, node::Node};
use solana_keypair::Keypair;
use solana_net_utils::{SocketAddrSpace, multihomed_sockets::BindIpAddrs};
use solana_rpc::{rpc::JsonRpcConfig, rpc_pubsub_service::PubSubConfig};
use solana_signer::Signer;
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::{NonZero, NonZeroU64},
    path::Path,
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime},
};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Where gossip, TPU and TVU find free ports.
const PORTS: (u16, u16) = (11_000, 32_000);
/// Slots between two snapshots: a start replays what came after.
const SNAPSHOT_EVERY: NonZeroU64 = NonZeroU64::new(100).unwrap();
const SNAPSHOT_PATIENCE: Duration = Duration::from_secs(600);

/// A validator that runs.
pub struct Running {
    validator: Validator,
    asked: Arc<AtomicBool>,
}

impl Running {
    /// Somebody called `exit` of the admin RPC.
    pub fn was_asked_to_exit(&self) -> bool {
        self.asked.load(Relaxed)
    }

    /// Stops it and unloads its plugins.
    pub fn close(self) {
        self.validator.close();
    }
}

/// Runs without plugins until there is a snapshot to start from, as the validators of a cluster that exists do: accounts of a genesis
/// are told as writes of a block that nobody creates or freezes.
pub fn run_to_snapshot(config: &LocalnetConfig) -> Result<()> {
    let running = start(&LocalnetConfig {
        geyser_plugin_config: None,
        ..config.clone()
    })?;
    let deadline = Instant::now() + SNAPSHOT_PATIENCE;
    let ledger = config.ledger();
    let made = || -> Result<bool> {
        for entry in std::fs::read_dir(&ledger)? {
            let name = entry?.file_name();
            let name = name.to_string_lossy();
            if name.starts_with("snapshot-") && name.ends_with(".tar.zst") {
                return Ok(true);
            }
        }
        Ok(false)
    };
    while !made()? {
        ensure!(Instant::now() < deadline, "there is no snapshot");
        std::thread::sleep(Duration::from_millis(200));
    }
    running.close();
    Ok(())
}

/// Starts the configuration's validator on its ledger, which is made if there is none.
pub fn start(config: &LocalnetConfig) -> Result<Running> {
    let genesis = ledger::open_or_make(config)?;
    let ledger = config.ledger();
    let keys = Keys::load(&ledger)?;
    log::info!(
        "genesis hash {genesis}, identity {}",
        keys.identity.pubkey()
    );
    let faucet = faucet(keys.faucet)?;
    let node = node(&keys.identity, config)?;
    let settings = settings(config, &ledger, faucet)?;
    let voters = Arc::new(RwLock::new(vec![Arc::new(keys.vote.insecure_clone())]));
    let (progress, post_init) = (Arc::default(), Arc::default());
    let (to_plugins, plugins) = unbounded();
    admin_rpc_service::run(
        &ledger,
        AdminRpcRequestMetadata {
            rpc_addr: Some(config.rpc_addr),
            start_time: SystemTime::now(),
            start_progress: Arc::clone(&progress),
            validator_exit: settings.validator_exit.clone(),
            validator_exit_backpressure: HashMap::default(),
            authorized_voter_keypairs: voters.clone(),
            tower_storage: settings.tower_storage.clone(),
            vote_history_storage: settings.vote_history_storage.clone(),
            staked_nodes_overrides: settings.staked_nodes_overrides.clone(),
            post_init: Arc::clone(&post_init),
            rpc_to_plugin_manager_sender: Some(to_plugins),
        },
    );
    let asked = Arc::new(AtomicBool::new(false));
    let exit = asked.clone();
    let mut exits = settings
        .validator_exit
        .write()
        .map_err(|_| anyhow!("exits"))?;
    exits.register_exit(Box::new(move || exit.store(true, Relaxed)));
    drop(exits);
    let validator = Validator::new(
        node,
        Arc::new(keys.identity),
        &ledger,
        &keys.vote.pubkey(),
        voters,
        Vec::new(),
        &settings,
        Some(plugins),
        progress,
        SocketAddrSpace::new(true),
        ValidatorTpuConfig::new_for_tests(),
        post_init,
        None,
    )?;
    Ok(Running { validator, asked })
}

fn settings(config: &LocalnetConfig, ledger: &Path, faucet: SocketAddr) -> Result<ValidatorConfig> {
    let (accounts, _) = create_accounts_run_and_snapshot_dirs(ledger.join("accounts"))?;
    // As whoever serves `getProgramAccounts` starts a validator: `--account-index program-id`.
    let by_program = AccountSecondaryIndexes {
        keys: None,
        indexes: [AccountIndex::ProgramId].into(),
    };
    Ok(ValidatorConfig {
        on_start_geyser_plugin_config_files: Some(
            config.geyser_plugin_config.iter().cloned().collect(),
        ),
        // Without it the admin RPC can load a plugin, which then hears nothing of accounts.
        geyser_plugin_always_enabled: true,
        rpc_addrs: Some((config.rpc_addr, config.ws_addr)),
        rpc_config: JsonRpcConfig {
            account_indexes: by_program.clone(),
            enable_rpc_transaction_history: true,
            enable_extended_tx_metadata_storage: true,
            faucet_addr: Some(faucet),
            ..JsonRpcConfig::default_for_test()
        },
        pubsub_config: PubSubConfig::default_for_tests(),
        account_paths: vec![accounts],
        accounts_db_config: AccountsDbConfig {
            index: Some(AccountsIndexConfig::default()),
            account_indexes: Some(by_program),
            ..ACCOUNTS_DB_CONFIG_FOR_TESTING
        },
        run_verification: false,
        snapshot_config: SnapshotConfig {
            full_snapshot_archive_interval: SnapshotInterval::Slots(SNAPSHOT_EVERY),
            incremental_snapshot_archive_interval: SnapshotInterval::Disabled,
            bank_snapshots_dir: ledger.join(BANK_SNAPSHOTS_DIR),
            full_snapshot_archives_dir: ledger.to_path_buf(),
            incremental_snapshot_archives_dir: ledger.to_path_buf(),
            use_registered_io_uring_buffers: false,
            use_direct_io: false,
            ..SnapshotConfig::default()
        },
        max_genesis_archive_unpacked_size: u64::MAX,
        no_wait_for_vote_to_start_leader: true,
        tower_storage: Arc::new(FileTowerStorage::new(ledger.to_path_buf())),
        vote_history_storage: Arc::new(FileVoteHistoryStorage::new(ledger.to_path_buf())),
        ..ValidatorConfig::default_for_test()
    })
}

fn node(identity: &Keypair, config: &LocalnetConfig) -> Result<Node> {
    let one = NonZero::new(1).context("one")?;
    let mut node = Node::new_with_external_ip(
        &identity.pubkey(),
        NodeConfig {
            bind_ip_addrs: BindIpAddrs::new(vec![LOOPBACK]).map_err(|error| anyhow!("{error}"))?,
            gossip_port: 0,
            port_range: PORTS,
            advertised_ip: LOOPBACK,
            public_tvu_addr: None,
            public_tpu_addr: None,
            public_tpu_forwards_addr: None,
            num_tvu_receive_sockets: one,
            num_tvu_retransmit_sockets: one,
            num_quic_endpoints: one,
        },
    );
    let told = node.info.set_rpc(config.rpc_addr).is_ok()
        && node.info.set_rpc_pubsub(config.ws_addr).is_ok();
    ensure!(told, "the RPC's addresses can't be announced");
    Ok(node)
}

/// Answers airdrops without a limit, on a free port.
fn faucet(key: Keypair) -> Result<SocketAddr> {
    let (told, told_by) = unbounded();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new()
        .name("faucet".into())
        .spawn(move || {
            let faucet = Arc::new(Mutex::new(Faucet::new(key, None, None, None)));
            runtime.block_on(run_faucet(faucet, SocketAddr::new(LOOPBACK, 0), Some(told)));
        })?;
    told_by.recv()?.map_err(|error| anyhow!("{error}"))
}
