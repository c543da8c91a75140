//! Addresses of the program's accounts, with canonical bumps. Their seeds are in [`crate::pda`].

use solana_pubkey::Pubkey;

use crate::pda;

/// The AI Precompiles program.
pub const PROGRAM_ID: Pubkey = Pubkey::new_from_array(crate::AI_PRECOMPILES_ID);
/// Where burned lamports go.
pub const INCINERATOR: Pubkey = Pubkey::new_from_array(crate::INCINERATOR);
/// The system program.
pub const SYSTEM: Pubkey = Pubkey::new_from_array(crate::SYSTEM_PROGRAM);

/// What names an account: an address as clients hold it or the 32 bytes of it that accounts hold.
pub trait Named: Copy {
    /// The address.
    fn pubkey(self) -> Pubkey;
}

impl Named for Pubkey {
    fn pubkey(self) -> Pubkey {
        self
    }
}

impl Named for [u8; 32] {
    fn pubkey(self) -> Pubkey {
        Pubkey::new_from_array(self)
    }
}

impl<T: Named> Named for &T {
    fn pubkey(self) -> Pubkey {
        (*self).pubkey()
    }
}

/// Address and bump of some seeds.
pub fn find(seeds: &[&[u8]]) -> (Pubkey, u8) {
    Pubkey::find_program_address(seeds, &PROGRAM_ID)
}

/// The Config account.
pub fn config() -> Pubkey {
    find(&pda::CONFIG).0
}

/// The Treasury account.
pub fn treasury() -> Pubkey {
    find(&pda::TREASURY).0
}

/// A Model account by its identity.
pub fn model(identity: &[u8; 32]) -> Pubkey {
    find(&pda::model(identity)).0
}

/// A Validator account by its authority.
pub fn validator(authority: impl Named) -> Pubkey {
    find(&pda::validator(authority.pubkey().as_array())).0
}

/// A Vault account by its owner.
pub fn vault(owner: impl Named) -> Pubkey {
    find(&pda::vault(owner.pubkey().as_array())).0
}

/// A SpendGrant account.
pub fn grant(owner: impl Named, delegate: impl Named) -> Pubkey {
    let (owner, delegate) = (owner.pubkey(), delegate.pubkey());
    find(&pda::grant(owner.as_array(), delegate.as_array())).0
}

/// A Job account.
pub fn job(owner: impl Named, nonce: &[u8; 16]) -> Pubkey {
    find(&pda::job(owner.pubkey().as_array(), nonce)).0
}

/// The Case account of a job.
pub fn case(job: impl Named) -> Pubkey {
    find(&pda::case(job.pubkey().as_array())).0
}

/// The Votes account of a case.
pub fn votes(case: impl Named) -> Pubkey {
    find(&pda::votes(case.pubkey().as_array())).0
}

/// An Output account.
pub fn output(job: impl Named, page: u32) -> Pubkey {
    find(&pda::output(job.pubkey().as_array(), &page.to_le_bytes())).0
}

/// The ProgramData account of a program under the upgradeable loader.
pub fn program_data(program: &Pubkey) -> Pubkey {
    let loader = Pubkey::new_from_array(crate::UPGRADEABLE_LOADER);
    Pubkey::find_program_address(&[program.as_ref()], &loader).0
}
