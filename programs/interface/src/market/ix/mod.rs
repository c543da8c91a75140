//! The market's instructions, a file a family, by the rules of [`crate::ix`].

use bytemuck::{Pod, Zeroable};

use crate::error::MythicError;
use crate::ix::{AccountSpec, Instruction, InstructionSpec, maybe, pays, read, signs, write};
#[cfg(not(any(target_os = "solana", target_arch = "bpf")))]
use crate::ix::{Argument, describe};
use crate::state::Key;

/// The program whose instructions these are.
const PROGRAM: Key = crate::COMPUTE_MARKET_ID;

mod admin;
#[cfg(not(any(target_os = "solana", target_arch = "bpf")))]
mod described;
mod dispute;
mod lease;
mod provider;
mod request;

pub use admin::*;
pub use dispute::*;
pub use lease::*;
pub use provider::*;
pub use request::*;

/// Splits instruction data into tag and arguments.
pub fn split(data: &[u8]) -> Result<(Tag, &[u8]), MythicError> {
    crate::ix::split_by(data, Tag::from_u8)
}

tags! {
    Initialize UpdateConfig ProposeAdmin AcceptAdmin Pause Unpause Sweep WithdrawFoundation
    RegisterClass RetireClass
    RegisterProvider UpdateProvider AddStake RequestUnstake WithdrawStake WithdrawClaimable Unjail CloseProvider
    RequestCompute CancelRequest ExpireRequest CloseRequest
    AcceptJob StartLease AcknowledgeStart SubmitProof VerifyAndRelease TopUp CloseLease WithdrawLease CloseLeaseAccount
    DisputeLease OpenProof ResolveLeaseDispute CloseLeaseDispute
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
