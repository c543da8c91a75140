//! Addresses of the program's accounts, with canonical bumps.

use mythic_interface::pda as seeds;
use solana_pubkey::Pubkey;

/// The AI Precompiles program.
pub const PROGRAM_ID: Pubkey = Pubkey::new_from_array(mythic_interface::AI_PRECOMPILES_ID);
/// Where burned lamports go.
pub const INCINERATOR: Pubkey = Pubkey::new_from_array(mythic_interface::INCINERATOR);

/// Address and bump of some seeds.
pub fn find(seeds: &[&[u8]]) -> (Pubkey, u8) {
    Pubkey::find_program_address(seeds, &PROGRAM_ID)
}

/// The Config account.
pub fn config() -> Pubkey {
    find(&seeds::CONFIG).0
}

/// The Treasury account.
pub fn treasury() -> Pubkey {
    find(&seeds::TREASURY).0
}

/// A Model account by its identity.
pub fn model(identity: &[u8; 32]) -> Pubkey {
    find(&seeds::model(identity)).0
}

/// A Validator account by its authority.
pub fn validator(authority: &Pubkey) -> Pubkey {
    find(&seeds::validator(authority.as_array())).0
}

/// A Vault account by its owner.
pub fn vault(owner: &Pubkey) -> Pubkey {
    find(&seeds::vault(owner.as_array())).0
}

/// A SpendGrant account.
pub fn grant(owner: &Pubkey, delegate: &Pubkey) -> Pubkey {
    find(&seeds::grant(owner.as_array(), delegate.as_array())).0
}

/// A Job account.
pub fn job(owner: &Pubkey, nonce: &[u8; 16]) -> Pubkey {
    find(&seeds::job(owner.as_array(), nonce)).0
}

/// A Dispute account; `challenger` is its authority.
pub fn dispute(job: &Pubkey, challenger: &Pubkey) -> Pubkey {
    find(&seeds::dispute(job.as_array(), challenger.as_array())).0
}

/// The Dispute account that records a proven fault of a job.
pub fn fault(job: &Pubkey) -> Pubkey {
    find(&seeds::fault(job.as_array())).0
}

/// An Output account.
pub fn output(job: &Pubkey, page: u32) -> Pubkey {
    find(&seeds::output(job.as_array(), &page.to_le_bytes())).0
}

/// The ProgramData account of a program under the upgradeable loader.
pub fn program_data(program: &Pubkey) -> Pubkey {
    let loader = Pubkey::new_from_array(mythic_interface::UPGRADEABLE_LOADER);
    Pubkey::find_program_address(&[program.as_ref()], &loader).0
}
