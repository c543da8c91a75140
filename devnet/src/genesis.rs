//! The first state of a chain: programs, funded accounts, the faucet's key.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use mythic_interface::hash::domain;
use sha2::{Digest, Sha256};
use solana_account::{Account, AccountSharedData};
use solana_clock::Slot;
use solana_hash::Hash;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_rent::Rent;
use solana_signer::Signer;
use solana_slot_hashes::SlotHashes;

use crate::chain::{Block, Resume, UPGRADEABLE_LOADER_ID};
use crate::config::{DevnetConfig, pubkey};

/// Bytes before the ELF in a ProgramData account of loader v3: tag u32, slot u64, authority option.
pub const PROGRAM_DATA_HEADER: usize = 45;
/// Largest program file taken, as the loader's largest account.
const MAX_PROGRAM_BYTES: u64 = 10 * 1024 * 1024 - PROGRAM_DATA_HEADER as u64;

type Accounts = Vec<(Pubkey, AccountSharedData, Slot)>;

/// State of a new chain at slot 0, and its genesis hash. `entropy` makes each chain another one.
pub fn genesis(
    config: &DevnetConfig,
    faucet: &Pubkey,
    entropy: [u8; 32],
    now_ms: i64,
) -> anyhow::Result<(Resume, Hash)> {
    let mut accounts: Accounts = Vec::new();
    for program in &config.programs {
        let id = pubkey("programs.id", &program.id).map_err(|e| anyhow!(e))?;
        let authority = match &program.upgrade_authority {
            Some(key) => Some(pubkey("programs.upgrade_authority", key).map_err(|e| anyhow!(e))?),
            None => None,
        };
        let elf = read_program(&program.path)?;
        accounts.extend(program_accounts(&id, &elf, authority.as_ref()));
    }
    for account in &config.genesis_accounts {
        let key = pubkey("genesis_accounts.pubkey", &account.pubkey).map_err(|e| anyhow!(e))?;
        accounts.push(funded(key, account.lamports));
    }
    accounts.push(funded(*faucet, config.faucet_lamports));
    let mut hasher = Sha256::new()
        .chain_update(domain::DEVNET_GENESIS)
        .chain_update(entropy);
    for (key, account, _) in &accounts {
        hasher.update(key.to_bytes());
        hasher.update(Sha256::digest(solana_account::ReadableAccount::data(
            account,
        )));
    }
    let hash = Hash::new_from_array(hasher.finalize().into());
    let root = Block {
        slot: 0,
        parent_slot: 0,
        height: 0,
        blockhash: hash,
        parent_blockhash: Hash::default(),
        unix_ms: now_ms,
        transaction_count: 0,
        transactions: Vec::new(),
        state: Hash::default(),
        writes: Vec::new(),
    };
    let resume = Resume {
        root,
        slot_hashes: SlotHashes::new(&[]),
        blockhashes: vec![(hash, 0)],
        statuses: Vec::new(),
        accounts,
        next_slot: 1,
    };
    Ok((resume, hash))
}

/// Reads a program file.
pub fn read_program(path: &Path) -> anyhow::Result<Vec<u8>> {
    let size = fs::metadata(path)
        .with_context(|| format!("program {}: can't be read; build it first", path.display()))?
        .len();
    if size > MAX_PROGRAM_BYTES {
        bail!(
            "program {}: {size} bytes, more than {MAX_PROGRAM_BYTES}",
            path.display()
        );
    }
    let elf = fs::read(path).with_context(|| format!("program {}", path.display()))?;
    if !elf.starts_with(b"\x7fELF") {
        bail!("program {}: not an ELF file", path.display());
    }
    Ok(elf)
}

/// Address of a program's ProgramData account.
pub fn program_data_address(id: &Pubkey) -> Pubkey {
    Pubkey::find_program_address(&[id.as_ref()], &UPGRADEABLE_LOADER_ID).0
}

/// Program and ProgramData accounts as loader v3 writes them, deployed at slot 0.
fn program_accounts(id: &Pubkey, elf: &[u8], authority: Option<&Pubkey>) -> Accounts {
    let data_address = program_data_address(id);
    let mut data = Vec::with_capacity(PROGRAM_DATA_HEADER + elf.len());
    data.extend_from_slice(&3u32.to_le_bytes());
    data.extend_from_slice(&0u64.to_le_bytes());
    data.push(u8::from(authority.is_some()));
    data.extend_from_slice(&authority.copied().unwrap_or_default().to_bytes());
    data.extend_from_slice(elf);
    let mut program = Vec::with_capacity(36);
    program.extend_from_slice(&2u32.to_le_bytes());
    program.extend_from_slice(&data_address.to_bytes());
    vec![
        (data_address, loader_account(data, false), 0),
        (*id, loader_account(program, true), 0),
    ]
}

fn loader_account(data: Vec<u8>, executable: bool) -> AccountSharedData {
    Account {
        lamports: Rent::default().minimum_balance(data.len()),
        data,
        owner: UPGRADEABLE_LOADER_ID,
        executable,
        rent_epoch: u64::MAX,
    }
    .into()
}

fn funded(key: Pubkey, lamports: u64) -> (Pubkey, AccountSharedData, Slot) {
    let account = Account {
        lamports,
        rent_epoch: u64::MAX,
        ..Account::default()
    };
    (key, account.into(), 0)
}

/// The faucet's key, made at first use: a JSON array of 64 bytes, readable by the owner only.
pub fn faucet(path: &Path) -> anyhow::Result<Keypair> {
    match fs::read(path) {
        Ok(bytes) => {
            let bytes: Vec<u8> = serde_json::from_slice(&bytes)
                .with_context(|| format!("{}: not a keypair file", path.display()))?;
            Keypair::try_from(bytes.as_slice())
                .map_err(|error| anyhow!("{}: not a keypair: {error}", path.display()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let key = Keypair::new();
            let bytes = serde_json::to_vec(&key.to_bytes().to_vec())?;
            crate::store::replace(path, |file| file.write_all(&bytes))?;
            tracing::info!(faucet = %key.pubkey(), "made the faucet's key");
            Ok(key)
        }
        Err(error) => Err(error).with_context(|| format!("{}", path.display())),
    }
}
