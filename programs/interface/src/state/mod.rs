//! Account layouts: `repr(C)`, alignment 1, no padding, fixed length, integers little-endian.
//!
//! Every account starts with a [`Header`]. Read one with [`Account::load`], which checks length,
//! discriminator and version; the owner program is the caller's to check. Keys are 32 raw bytes; a key of
//! zeroes means none. Slots of 0 mean "has not happened". Money is lamports.

use bytemuck::{Pod, Zeroable};

use crate::hash::Hash;
use crate::le::U64;

/// A public key or an account's address.
pub type Key = [u8; 32];
/// No key.
pub const NO_KEY: Key = [0; 32];
/// Layout version of every account.
pub const VERSION: u8 = 4;

/// Room for the name of a model, bytes.
pub const MODEL_NAME_LEN: usize = 48;
/// Room for the name of a GPU, bytes.
pub const GPU_NAME_LEN: usize = 48;
/// Room for a validator's endpoint URL, bytes.
pub const ENDPOINT_LEN: usize = 96;
/// Room for the base URL of a gateway that holds a prompt, bytes.
pub const PROMPT_SOURCE_LEN: usize = 96;
/// Models that a validator can serve.
pub const VALIDATOR_MODELS: usize = 8;
/// Models that a grant can name.
pub const GRANT_MODELS: usize = 4;
/// End-of-sequence ids of a model.
pub const MODEL_EOS_IDS: usize = 8;
/// Positions that a case samples.
pub const SAMPLED_POSITIONS: usize = 16;
/// Positions that a claim can name beside them.
pub const NAMED_POSITIONS: usize = 2;
/// Claims of a case that say `false`, at most.
pub const MAX_FALSE: usize = 16;
/// Claims of a case at most: one of withholding may have opened it.
pub const MAX_CLAIMS: usize = MAX_FALSE + 1;
/// Positions that a case checks at most.
pub const CHECKED_POSITIONS: usize = SAMPLED_POSITIONS + MAX_FALSE * NAMED_POSITIONS;
/// Digests of a juror's vote at most: of its work, of the sample, of each claim's positions.
pub const VOTE_DIGESTS: usize = 2 + MAX_FALSE;
/// Room for a juror's vote, bytes.
pub const VOTE_LEN: usize = 32 * VOTE_DIGESTS;
/// Bytes of the bits by which a case notes who has committed to its jury.
pub const COMMITTER_BYTES: usize = 512;
/// Bytes of a leaf's content.
pub const LEAF_LEN: usize = 40;
/// Token ids on one page of posted output.
pub const OUTPUT_PAGE_TOKENS: usize = 2_048;

/// First 16 bytes of every account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Header {
    /// Type of the account, never 0.
    pub discriminator: u8,
    /// Layout version, [`VERSION`].
    pub version: u8,
    /// Bump of the address: the canonical one, but for a job whose requester chose another.
    pub bump: u8,
    /// Status; which values there are depends on the account.
    pub status: u8,
    /// Zero.
    pub reserved: [u8; 4],
    /// Number of writes of this account: the creation is 1, each later write adds 1.
    pub seq: U64,
}

/// Why bytes are not the account they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// Another length than the layout has.
    Length {
        /// Length of the layout.
        expected: usize,
        /// Length of the bytes.
        found: usize,
    },
    /// Another type of account, or none.
    Discriminator {
        /// Discriminator of the type.
        expected: u8,
        /// Discriminator of the bytes.
        found: u8,
    },
    /// A layout version that this build does not know.
    Version {
        /// Version of the bytes.
        found: u8,
    },
}

impl core::fmt::Display for LoadError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Length { expected, found } => {
                write!(f, "account of {found} bytes, expected {expected}")
            }
            Self::Discriminator { expected, found } => {
                write!(f, "account with discriminator {found}, expected {expected}")
            }
            Self::Version { found } => {
                write!(f, "account of layout version {found}, expected {VERSION}")
            }
        }
    }
}

impl core::error::Error for LoadError {}

/// The program whose accounts these are.
const PROGRAM: Key = crate::AI_PRECOMPILES_ID;

/// An account of one of the programs.
pub trait Account: Pod {
    /// Address of the program that owns it.
    const PROGRAM: Key;
    /// First byte of the account.
    const DISCRIMINATOR: u8;
    /// Name of the type.
    const NAME: &'static str;
    /// Length in bytes.
    const LEN: usize = core::mem::size_of::<Self>();

    /// The first 16 bytes.
    fn header(&self) -> &Header;
    /// The first 16 bytes, to write.
    fn header_mut(&mut self) -> &mut Header;

    /// Reads an account in place; checks length, discriminator and version.
    fn load(data: &[u8]) -> Result<&Self, LoadError> {
        let account: &Self = bytemuck::try_from_bytes(data).map_err(|_| LoadError::Length {
            expected: Self::LEN,
            found: data.len(),
        })?;
        check(account.header(), Self::DISCRIMINATOR)?;
        Ok(account)
    }

    /// As [`Account::load`], to write.
    fn load_mut(data: &mut [u8]) -> Result<&mut Self, LoadError> {
        let found = data.len();
        let account: &mut Self =
            bytemuck::try_from_bytes_mut(data).map_err(|_| LoadError::Length {
                expected: Self::LEN,
                found,
            })?;
        check(account.header(), Self::DISCRIMINATOR)?;
        Ok(account)
    }
}

fn check(header: &Header, expected: u8) -> Result<(), LoadError> {
    if header.discriminator != expected {
        return Err(LoadError::Discriminator {
            expected,
            found: header.discriminator,
        });
    }
    if header.version != VERSION {
        return Err(LoadError::Version {
            found: header.version,
        });
    }
    Ok(())
}

/// An account of the program that stands as `PROGRAM` where this is called.
macro_rules! account {
    ($name:ident, $discriminator:literal) => {
        impl Account for $name {
            const PROGRAM: Key = PROGRAM;
            const DISCRIMINATOR: u8 = $discriminator;
            const NAME: &'static str = stringify!($name);
            fn header(&self) -> &Header {
                &self.header
            }
            fn header_mut(&mut self) -> &mut Header {
                &mut self.header
            }
        }
        impl $name {
            /// First byte of the account.
            pub const DISCRIMINATOR: u8 = $discriminator;
            /// Length in bytes.
            pub const LEN: usize = core::mem::size_of::<Self>();
            /// Reads an account in place; checks length, discriminator and version.
            pub fn load(data: &[u8]) -> Result<&Self, LoadError> {
                <Self as Account>::load(data)
            }
        }
    };
}

macro_rules! byte_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $value:literal $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* $variant = $value,)* }

        impl $name {
            /// The value of a byte, `None` if it is not listed.
            pub const fn from_u8(value: u8) -> Option<Self> {
                match value { $($value => Some(Self::$variant),)* _ => None }
            }
            /// The name in SQL and JSON.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

mod case;
mod config;
#[cfg(not(any(target_os = "solana", target_arch = "bpf")))]
mod dues;
mod job;
mod model;
mod validator;
mod vault;

pub use case::{
    Case, CaseStatus, Claim, ClaimKind, Ground, JurySeat, OpenedLeaf, Outcome, Output, Verdict,
    Vote, Votes,
};
pub use config::{Config, ConfigStatus, Treasury};
pub use job::{EndReason, FinishReason, Job, JobStatus, SamplingProfile, Terms};
pub use model::{KernelProfile, Model, ModelSpec, ModelStatus};
pub use validator::{ServedModel, Validator, ValidatorStatus};
pub use vault::{GrantStatus, SpendGrant, Vault};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::le::Text;

    #[test]
    fn lengths_are_frozen() {
        let found = [
            Config::LEN,
            Treasury::LEN,
            Model::LEN,
            Validator::LEN,
            Vault::LEN,
            SpendGrant::LEN,
            Job::LEN,
            Case::LEN,
            Output::LEN,
            Votes::LEN,
        ];
        assert_eq!(found, FROZEN);
        assert!(
            found.iter().all(|len| *len <= 10_240),
            "one instruction can create it"
        );
    }

    const FROZEN: [usize; 10] = [328, 80, 420, 831, 140, 329, 827, 7_153, 8_334, 9_320];

    #[test]
    fn load_refuses_other_lengths_types_and_versions() {
        let mut bytes = [0u8; Vault::LEN];
        assert_eq!(
            Vault::load(&bytes[1..]),
            Err(LoadError::Length {
                expected: Vault::LEN,
                found: Vault::LEN - 1
            })
        );
        assert_eq!(
            Vault::load(&bytes),
            Err(LoadError::Discriminator {
                expected: 5,
                found: 0
            })
        );
        bytes[0] = 5;
        assert_eq!(Vault::load(&bytes), Err(LoadError::Version { found: 0 }));
        bytes[1] = VERSION;
        assert!(Vault::load(&bytes).is_ok());
    }

    #[test]
    fn the_unused_room_of_the_prompt_source_is_not_hashed() {
        let mut terms = Terms::zeroed();
        terms.prompt_source = Text::new("http://gateway").unwrap();
        let hash = terms.hash();
        terms.deadline_slots.set(1);
        assert_ne!(terms.hash(), hash);
        terms.deadline_slots.set(0);
        terms.prompt_source = Text::new("http://gatewax").unwrap();
        assert_ne!(terms.hash(), hash);
    }
}
