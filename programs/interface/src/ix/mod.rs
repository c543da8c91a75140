//! Instructions, a file a family: tag, arguments, account list and, for clients and tests, the builder of each.
//!
//! Instruction data is the tag's byte and then the arguments, a fixed structure with alignment 1. Accounts
//! come in the order of [`Instruction::ACCOUNTS`]; for one that is `optional` and absent the program's own
//! address stands, read-only. [`ALL`] lists everything for tools and documents.

use bytemuck::{Pod, Zeroable};

use crate::error::MythicError;
use crate::state::Key;

/// The program whose instructions these are.
const PROGRAM: Key = crate::AI_PRECOMPILES_ID;

/// One account of an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountSpec {
    /// Name in documents and tools.
    pub name: &'static str,
    /// Must sign.
    pub signer: bool,
    /// Is written.
    pub writable: bool,
    /// May be absent: then the program's own address, read-only and not signing.
    pub optional: bool,
}

pub(crate) const fn read(name: &'static str) -> AccountSpec {
    AccountSpec {
        name,
        signer: false,
        writable: false,
        optional: false,
    }
}
pub(crate) const fn write(name: &'static str) -> AccountSpec {
    AccountSpec {
        name,
        signer: false,
        writable: true,
        optional: false,
    }
}
pub(crate) const fn signs(name: &'static str) -> AccountSpec {
    AccountSpec {
        name,
        signer: true,
        writable: false,
        optional: false,
    }
}
pub(crate) const fn pays(name: &'static str) -> AccountSpec {
    AccountSpec {
        name,
        signer: true,
        writable: true,
        optional: false,
    }
}
pub(crate) const fn maybe(spec: AccountSpec) -> AccountSpec {
    AccountSpec {
        name: spec.name,
        signer: spec.signer,
        writable: spec.writable,
        optional: true,
    }
}

/// An instruction: its arguments are the type itself.
pub trait Instruction: Pod {
    /// Address of the program that it is for.
    const PROGRAM: Key;
    /// First byte of the data.
    const NUMBER: u8;
    /// The name, as in the documentation.
    const NAME: &'static str;
    /// Accounts in their order.
    const ACCOUNTS: &'static [AccountSpec];
    /// Name of read-only accounts that may follow, if any may.
    const TRAILING: Option<&'static str> = None;
    /// What bytes follow the arguments, if any do.
    const TAIL: Option<&'static str> = None;
    /// Length of the data, tag included and tail not.
    const DATA_LEN: usize = 1 + core::mem::size_of::<Self>();
    /// What the bytes of the data behind the tag say.
    #[cfg(not(any(target_os = "solana", target_arch = "bpf")))]
    const ARGUMENTS: &'static [Argument];

    /// Reads the arguments behind the tag, in place.
    fn decode(arguments: &[u8]) -> Result<&Self, MythicError> {
        bytemuck::try_from_bytes(arguments).map_err(|_| MythicError::InvalidInstructionData)
    }

    /// As [`Instruction::decode`], with the bytes that follow, whose length is not checked.
    fn decode_with_tail(arguments: &[u8]) -> Result<(&Self, &[u8]), MythicError> {
        let (fixed, tail) = arguments
            .split_at_checked(core::mem::size_of::<Self>())
            .ok_or(MythicError::InvalidInstructionData)?;
        Ok((Self::decode(fixed)?, tail))
    }

    /// The instruction data: tag and arguments.
    #[cfg(not(any(target_os = "solana", target_arch = "bpf")))]
    fn encode(&self) -> alloc::vec::Vec<u8> {
        let mut data = alloc::vec::Vec::with_capacity(Self::DATA_LEN);
        data.push(Self::NUMBER);
        data.extend_from_slice(bytemuck::bytes_of(self));
        data
    }

    /// The instruction data: tag, arguments and what follows them.
    #[cfg(not(any(target_os = "solana", target_arch = "bpf")))]
    fn encode_with_tail(&self, tail: &[u8]) -> alloc::vec::Vec<u8> {
        let mut data = self.encode();
        data.extend_from_slice(tail);
        data
    }
}

/// What tools need to know about an instruction.
#[derive(Clone, Copy, Debug)]
pub struct InstructionSpec {
    /// First byte of the data.
    pub number: u8,
    /// Length of the data, tag included and tail not.
    pub data_len: usize,
    /// Accounts in their order.
    pub accounts: &'static [AccountSpec],
    /// Name of read-only accounts that may follow, if any may.
    pub trailing: Option<&'static str>,
    /// What bytes follow the arguments, if any do.
    pub tail: Option<&'static str>,
}

/// Splits instruction data into tag and arguments.
pub fn split(data: &[u8]) -> Result<(Tag, &[u8]), MythicError> {
    split_by(data, Tag::from_u8)
}

/// Splits instruction data into a tag, as `known` reads it, and arguments.
pub(crate) fn split_by<T>(
    data: &[u8],
    known: impl Fn(u8) -> Option<T>,
) -> Result<(T, &[u8]), MythicError> {
    let (tag, arguments) = data.split_first().ok_or(MythicError::UnknownInstruction)?;
    Ok((
        known(*tag).ok_or(MythicError::UnknownInstruction)?,
        arguments,
    ))
}

/// Defines instructions of the program that stands as `PROGRAM` where this is called: documentation, name, tag, arguments,
/// accounts; `= "name"` behind an argument is its name with the unit, for tools; `+` names trailing accounts, `=>` what bytes
/// follow. A new one is also listed in `tags!`.
macro_rules! instructions {
    ($(
        $(#[$doc:meta])*
        $name:ident = $tag:literal {
            $($(#[$fdoc:meta])* $field:ident: $ty:ty $(= $unit:literal)?,)*
        } [$($account:expr),* $(,)?] $(+ $trailing:literal)? $(=> $tail:literal)?
    )*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
            #[repr(C)]
            pub struct $name { $($(#[$fdoc])* pub $field: $ty,)* }

            impl Instruction for $name {
                const PROGRAM: Key = PROGRAM;
                const NUMBER: u8 = $tag;
                const NAME: &'static str = stringify!($name);
                const ACCOUNTS: &'static [AccountSpec] = &[$($account),*];
                #[cfg(not(any(target_os = "solana", target_arch = "bpf")))]
                const ARGUMENTS: &'static [Argument] =
                    describe::arguments!($name { $($field: $ty $(= $unit)?,)* });
                $(const TRAILING: Option<&'static str> = Some($trailing);)?
                $(const TAIL: Option<&'static str> = Some($tail);)?
            }
        )*
    };
}

macro_rules! tags {
    ($($name:ident)*) => {
        /// First byte of instruction data.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Tag {
            $(#[doc = concat!("Of [`", stringify!($name), "`].")] $name = <$name as Instruction>::NUMBER,)*
        }

        impl Tag {
            /// The tag of a byte, `None` if it is not listed.
            pub const fn from_u8(value: u8) -> Option<Self> {
                match value { $(<$name as Instruction>::NUMBER => Some(Self::$name),)* _ => None }
            }
            /// The name, as in the documentation.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }
            /// What tools need to know about the instruction.
            pub const fn spec(self) -> &'static InstructionSpec {
                match self { $(Self::$name => &InstructionSpec {
                    number: <$name as Instruction>::NUMBER,
                    data_len: <$name as Instruction>::DATA_LEN,
                    accounts: <$name as Instruction>::ACCOUNTS,
                    trailing: <$name as Instruction>::TRAILING,
                    tail: <$name as Instruction>::TAIL,
                },)* }
            }
            /// What the bytes of the data behind the tag say.
            #[cfg(not(any(target_os = "solana", target_arch = "bpf")))]
            pub const fn arguments(self) -> &'static [Argument] {
                match self { $(Self::$name => <$name as Instruction>::ARGUMENTS,)* }
            }
        }

        /// Every tag, ascending.
        pub const ALL: &[Tag] = &[$(Tag::$name),*];
    };
}

mod admin;
#[cfg(feature = "client")]
pub(crate) mod build;
mod case;
#[cfg(not(any(target_os = "solana", target_arch = "bpf")))]
pub(crate) mod describe;
mod job;
mod model;
mod validator;
mod vault;

pub use admin::*;
#[cfg(feature = "client")]
pub use build::build;
pub use case::*;
#[cfg(not(any(target_os = "solana", target_arch = "bpf")))]
pub use describe::{Argument, Described, Shape};
pub use job::*;
pub use model::*;
pub use validator::*;
pub use vault::*;

tags! {
    Initialize UpdateConfig ProposeAdmin AcceptAdmin Pause Unpause Sweep WithdrawFoundation
    RegisterModel UpdateModel ProposeRegistrant AcceptRegistrant
    RegisterValidator UpdateValidator AddStake RequestUnstake WithdrawStake WithdrawClaimable Unjail
    CloseValidator ProposeOwner AcceptOwner
    DepositVault WithdrawVault CloseVault GrantSpend RevokeGrant CloseGrant
    RequestInference AcceptInference DeclineJob CancelJob ExpireJob SubmitResult ClaimInferenceFee
    CloseJob
    VerifyLogits PostOutput PostOpenings CommitJuror RevealJuror ProveFault ResolveCase
    CollectCase CloseCase CloseOutput
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::le::U32;

    #[test]
    fn tags_ascend_and_lead_back() {
        assert!(ALL.windows(2).all(|pair| (pair[0] as u8) < pair[1] as u8));
        for tag in ALL {
            assert_eq!(Tag::from_u8(*tag as u8), Some(*tag));
            assert_eq!(tag.spec().number, *tag as u8);
        }
        assert_eq!(split(&[]), Err(MythicError::UnknownInstruction));
        assert_eq!(split(&[0]), Err(MythicError::UnknownInstruction));
    }

    #[test]
    fn arguments_go_there_and_back() {
        let args = SubmitResult {
            terms_hash: [1; 32],
            output_root: [2; 32],
            fingerprint: [3; 32],
            output_tokens: U32::new(4),
            finish_reason: 1,
        };
        let data = args.encode();
        assert_eq!(data.len(), SubmitResult::DATA_LEN);
        let (tag, rest) = split(&data).unwrap();
        assert_eq!(tag, Tag::SubmitResult);
        assert_eq!(SubmitResult::decode(rest), Ok(&args));
        assert_eq!(
            SubmitResult::decode(&rest[1..]),
            Err(MythicError::InvalidInstructionData)
        );
        assert!(Pause::decode(&[]).is_ok());
        assert_eq!(
            Pause::decode(&[0]).err(),
            Some(MythicError::InvalidInstructionData)
        );
    }
}
