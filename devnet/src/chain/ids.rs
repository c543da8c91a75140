//! Addresses that every Solana chain has and that this one keeps itself or treats in its own way.

use solana_pubkey::Pubkey;

pub const INCINERATOR_ID: Pubkey =
    Pubkey::from_str_const("1nc1nerator11111111111111111111111111111111");
pub const CLOCK_ID: Pubkey = Pubkey::from_str_const("SysvarC1ock11111111111111111111111111111111");
pub const SLOT_HASHES_ID: Pubkey =
    Pubkey::from_str_const("SysvarS1otHashes111111111111111111111111111");
pub const EPOCH_SCHEDULE_ID: Pubkey =
    Pubkey::from_str_const("SysvarEpochSchedu1e111111111111111111111111");
pub const SYSVAR_OWNER_ID: Pubkey =
    Pubkey::from_str_const("Sysvar1111111111111111111111111111111111111");
pub const NATIVE_LOADER_ID: Pubkey =
    Pubkey::from_str_const("NativeLoader1111111111111111111111111111111");
pub const UPGRADEABLE_LOADER_ID: Pubkey =
    Pubkey::from_str_const("BPFLoaderUpgradeab1e11111111111111111111111");
