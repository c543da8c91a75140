//! Who there is: people by their names, and the program's accounts by their seeds.

use mythic_interface::AI_PRECOMPILES_ID;
use mythic_interface::hash::sha256;
use mythic_interface::state::Key;
use solana_pubkey::Pubkey;

/// Everybody who has lamports of their own.
pub const PEOPLE: [&str; 12] = [
    "payer",
    "upgrade_authority",
    "admin",
    "registrant",
    "alice",
    "bob",
    "carol",
    "gateway",
    "v1",
    "v2",
    "v3",
    "stranger",
];

/// The key of somebody: the hash of the name.
pub fn key(name: &str) -> Key {
    sha256(&[b"test key", name.as_bytes()])
}

/// The operator of a validator.
pub fn operator(name: &str) -> Key {
    key(&format!("{name}/operator"))
}

/// Address of the program for `seeds`, with the canonical bump.
pub fn address(seeds: &[&[u8]]) -> Key {
    Pubkey::find_program_address(seeds, &Pubkey::from(AI_PRECOMPILES_ID))
        .0
        .to_bytes()
}
