//! Many accounts of our program in a genesis, so that a start meets a snapshot of some size.

use anyhow::{Context, Result};
use mythic_interface::{
    AI_PRECOMPILES_ID, address,
    le::U64,
    pda,
    state::{Header, VERSION, Vault},
};
use solana_account::{Account, AccountSharedData};
use solana_pubkey::Pubkey;
use solana_rent::Rent;

/// How many vaults the genesis gets.
const VARIABLE: &str = "MYTHIC_LOCALNET_VAULTS";

/// How many vaults the environment asks for.
pub fn count() -> Result<u64> {
    match std::env::var(VARIABLE) {
        Ok(text) => text.parse().context(VARIABLE),
        Err(_) => Ok(0),
    }
}

/// These vaults.
pub fn asked_for(rent: &Rent) -> Result<Vec<(Pubkey, AccountSharedData)>> {
    Ok((0..count()?).map(|number| vault(number, rent)).collect())
}

/// A vault as a deposit leaves it, at the address that belongs to its owner.
fn vault(number: u64, rent: &Rent) -> (Pubkey, AccountSharedData) {
    let mut owner = [0x76; 32];
    owner[..8].copy_from_slice(&number.to_le_bytes());
    let (pubkey, bump) = address::find(&pda::vault(&owner));
    let balance = 1_000 + number;
    let vault = Vault {
        header: Header {
            discriminator: Vault::DISCRIMINATOR,
            version: VERSION,
            bump,
            status: 1,
            seq: U64::new(1),
            ..Header::default()
        },
        owner,
        rent_payer: owner,
        balance: U64::new(balance),
        deposited: U64::new(balance),
        ..bytemuck::Zeroable::zeroed()
    };
    let data = bytemuck::bytes_of(&vault).to_vec();
    let account = Account {
        lamports: rent.minimum_balance(data.len()) + balance,
        data,
        owner: Pubkey::new_from_array(AI_PRECOMPILES_ID),
        executable: false,
        rent_epoch: u64::MAX,
    };
    (pubkey, account.into())
}
