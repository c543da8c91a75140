//! From the runtime's call to an instruction's handler.

use mythic_interface::error::MythicError;
use mythic_interface::ix::Instruction;
use mythic_interface::market::ix::{self, Tag};
use pinocchio::error::ProgramError;
use pinocchio::{AccountView, Address, ProgramResult};

use crate::{accounts, close, config, dispute, lease, opening, proof, provider, request, verdict};

/// Accounts that are read from a call: one more than the longest list, so that a longer one is noticed.
const MAX_ACCOUNTS: usize = 7;

pinocchio::program_entrypoint!(entry, MAX_ACCOUNTS);

#[cfg(any(target_os = "solana", target_arch = "bpf"))]
pinocchio::no_allocator!();
#[cfg(any(target_os = "solana", target_arch = "bpf"))]
pinocchio::nostd_panic_handler!();

fn entry(program_id: &Address, accounts: &mut [AccountView], data: &[u8]) -> ProgramResult {
    process(program_id, accounts, data).map_err(|error| ProgramError::Custom(error.code()))
}

/// Runs one instruction.
pub fn process(
    program_id: &Address,
    accounts: &mut [AccountView],
    data: &[u8],
) -> Result<(), MythicError> {
    if *program_id.as_array() != accounts::PROGRAM_ID {
        return Err(MythicError::WrongProgramId);
    }
    let (tag, arguments) = ix::split(data)?;
    accounts::check_list(accounts, tag.spec(), &accounts::PROGRAM_ID)?;

    macro_rules! dispatch {
        ($($name:ident => $handler:path,)*) => {
            match tag {
                $(Tag::$name => $handler(accounts, ix::$name::decode(arguments)?),)*
                Tag::OpenProof => {
                    let (arguments, tail) = ix::OpenProof::decode_with_tail(arguments)?;
                    opening::open(accounts, arguments, tail)
                }
            }
        };
    }
    dispatch! {
        Initialize => config::initialize,
        UpdateConfig => config::update,
        ProposeAdmin => config::propose_admin,
        AcceptAdmin => config::accept_admin,
        Pause => config::pause,
        Unpause => config::unpause,
        Sweep => config::sweep,
        WithdrawFoundation => config::withdraw_foundation,
        RegisterClass => config::register_class,
        RetireClass => config::retire_class,
        RegisterProvider => provider::register,
        UpdateProvider => provider::update,
        AddStake => provider::add_stake,
        RequestUnstake => provider::request_unstake,
        WithdrawStake => provider::withdraw_stake,
        WithdrawClaimable => provider::withdraw_claimable,
        Unjail => provider::unjail,
        CloseProvider => provider::close,
        RequestCompute => request::request,
        CancelRequest => request::cancel,
        ExpireRequest => request::expire,
        CloseRequest => request::close,
        AcceptJob => lease::accept,
        StartLease => lease::start,
        AcknowledgeStart => lease::acknowledge,
        SubmitProof => proof::submit,
        VerifyAndRelease => proof::release,
        TopUp => lease::top_up,
        CloseLease => close::close,
        WithdrawLease => lease::withdraw,
        CloseLeaseAccount => lease::close_account,
        DisputeLease => dispute::dispute,
        ResolveLeaseDispute => verdict::resolve,
        CloseLeaseDispute => verdict::close,
    }
}
