//! Makes a ledger as `solana-test-validator` does: a genesis with every feature but Alpenglow, the SPL programs, one validator with
//! all the stake, and our program as an upgradeable one.

use crate::{
    config::{LocalnetConfig, key},
    crowd,
};
use agave_feature_set::{FeatureSet, alpenglow};
use agave_votor_messages::consensus_message::BLS_KEYPAIR_DERIVE_SEED;
use anyhow::{Context, Result, anyhow};
use solana_account::{Account, AccountSharedData};
use solana_bls_signatures::keypair::Keypair as BlsKeypair;
use solana_cluster_type::ClusterType;
use solana_epoch_schedule::EpochSchedule;
use solana_fee_calculator::FeeRateGovernor;
use solana_genesis_utils::open_genesis_config;
use solana_keypair::{Keypair, read_keypair_file, write_keypair_file};
use solana_ledger::{blockstore::create_new_ledger, blockstore_options::LedgerColumnOptions};
use solana_loader_v3_interface::state::UpgradeableLoaderState;
use solana_pubkey::Pubkey;
use solana_rent::Rent;
use solana_runtime::genesis_utils::create_genesis_config_with_leader_ex;
use solana_signer::Signer;
use std::path::Path;

const SOL: u64 = 1_000_000_000;

/// The validator's own keys, kept in its ledger.
pub struct Keys {
    /// Identity.
    pub identity: Keypair,
    /// Vote account and its authorized voter.
    pub vote: Keypair,
    /// Answers `requestAirdrop`.
    pub faucet: Keypair,
}

impl Keys {
    /// Reads those of a ledger.
    pub fn load(ledger: &Path) -> Result<Self> {
        let read = |name: &str| {
            let path = ledger.join(name);
            read_keypair_file(&path).map_err(|error| anyhow!("{}: {error}", path.display()))
        };
        Ok(Self {
            identity: read(IDENTITY)?,
            vote: read(VOTE)?,
            faucet: read(FAUCET)?,
        })
    }

    fn save(&self, ledger: &Path) -> Result<()> {
        for (key, name) in [
            (&self.identity, IDENTITY),
            (&self.faucet, FAUCET),
            // The last: its file says that the ledger is whole.
            (&self.vote, VOTE),
        ] {
            let path = ledger.join(name);
            write_keypair_file(key, &path)
                .map_err(|error| anyhow!("{}: {error}", path.display()))?;
        }
        Ok(())
    }
}

const IDENTITY: &str = "validator-keypair.json";
const VOTE: &str = "vote-account-keypair.json";
const FAUCET: &str = "faucet-keypair.json";

/// Whether the configuration's ledger is there already.
pub fn exists(config: &LocalnetConfig) -> bool {
    config.ledger().join(VOTE).exists()
}

/// Whether a new ledger gets many accounts of our program.
pub fn is_crowded() -> bool {
    crowd::count().is_ok_and(|count| count > 0)
}

/// The genesis hash of the configuration's ledger, which is made if there is none.
pub fn open_or_make(config: &LocalnetConfig) -> Result<String> {
    let ledger = config.ledger();
    if !exists(config) {
        std::fs::create_dir_all(&ledger).with_context(|| ledger.display().to_string())?;
        make(config, &ledger).context("making the genesis")?;
    }
    Ok(open_genesis_config(&ledger, u64::MAX)?.hash().to_string())
}

fn make(config: &LocalnetConfig, ledger: &Path) -> Result<()> {
    let keys = Keys {
        identity: Keypair::new(),
        vote: Keypair::new(),
        faucet: Keypair::new(),
    };
    let (rent, stake) = (Rent::default(), Keypair::new());
    let mut features = FeatureSet::all_enabled();
    features.deactivate(&alpenglow::id());
    let mut accounts = solana_program_binaries::spl_programs(&rent);
    accounts.extend(solana_program_binaries::core_bpf_programs(
        &rent,
        |feature| features.is_active(feature),
    ));
    for program in &config.programs {
        let elf =
            std::fs::read(&program.path).with_context(|| program.path.display().to_string())?;
        let authority = program.upgrade_authority.as_deref().map(key).transpose()?;
        accounts.extend(deployed(&key(&program.id)?, authority, &elf, &rent)?);
    }
    accounts.extend(crowd::asked_for(&rent)?);
    let bls = BlsKeypair::derive_from_signer(&keys.vote, BLS_KEYPAIR_DERIVE_SEED)
        .map_err(|error| anyhow!("the vote account's BLS key: {error:?}"))?;
    let mut genesis = create_genesis_config_with_leader_ex(
        config.faucet_lamports,
        &keys.faucet.pubkey(),
        &keys.identity.pubkey(),
        &keys.vote.pubkey(),
        &stake.pubkey(),
        Some(bls.public.to_bytes_compressed()),
        1_000_000 * SOL,
        500 * SOL,
        FeeRateGovernor::default(),
        rent,
        ClusterType::Development,
        &features,
        accounts,
    );
    genesis.epoch_schedule = EpochSchedule::without_warmup();
    genesis.ticks_per_slot = config.ticks_per_slot();
    create_new_ledger(ledger, &genesis, u64::MAX, LedgerColumnOptions::default())
        .map_err(|error| anyhow!("{error:?}"))?;
    keys.save(ledger)
}

/// Program and ProgramData accounts of an upgradeable program.
fn deployed(
    id: &Pubkey,
    authority: Option<Pubkey>,
    elf: &[u8],
    rent: &Rent,
) -> Result<[(Pubkey, AccountSharedData); 2]> {
    let loader = solana_sdk_ids::bpf_loader_upgradeable::id();
    let (programdata_address, _) = Pubkey::find_program_address(&[id.as_ref()], &loader);
    let mut data = bincode::serialize(&UpgradeableLoaderState::ProgramData {
        slot: 0,
        upgrade_authority_address: authority,
    })?;
    // As long as with an authority, where there is none.
    data.resize(UpgradeableLoaderState::size_of_programdata_metadata(), 0);
    data.extend_from_slice(elf);
    let program = bincode::serialize(&UpgradeableLoaderState::Program {
        programdata_address,
    })?;
    let account = |data: Vec<u8>, executable| {
        AccountSharedData::from(Account {
            lamports: rent.minimum_balance(data.len()).max(1),
            data,
            owner: loader,
            executable,
            rent_epoch: u64::MAX,
        })
    };
    Ok([
        (programdata_address, account(data, false)),
        (*id, account(program, true)),
    ])
}
