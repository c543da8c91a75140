//! From the runtime's call to an instruction's handler.

use mythic_interface::error::MythicError;
use mythic_interface::ix::{self, Instruction, Tag};
use pinocchio::error::ProgramError;
use pinocchio::{AccountView, Address, ProgramResult};

use crate::{
    accounts, claim, config, grant, job, jury, model, post, settle, stake, validator, vault,
    verdict,
};

/// Accounts that are read from a call: one more than the longest list, so that a longer one is noticed.
const MAX_ACCOUNTS: usize = 16;

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
                Tag::PostOutput => {
                    let (arguments, tail) = ix::PostOutput::decode_with_tail(arguments)?;
                    post::post_output(accounts, arguments, tail)
                }
                Tag::PostOpenings => {
                    let (arguments, tail) = ix::PostOpenings::decode_with_tail(arguments)?;
                    post::post_openings(accounts, arguments, tail)
                }
                Tag::RevealJuror => {
                    let (arguments, tail) = ix::RevealJuror::decode_with_tail(arguments)?;
                    jury::reveal(accounts, arguments, tail)
                }
                Tag::ProveFault => {
                    let (arguments, tail) = ix::ProveFault::decode_with_tail(arguments)?;
                    verdict::prove(accounts, arguments, tail)
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
        RegisterModel => model::register,
        UpdateModel => model::update,
        ProposeRegistrant => model::propose_registrant,
        AcceptRegistrant => model::accept_registrant,
        RegisterValidator => validator::register,
        UpdateValidator => validator::update,
        AddStake => stake::add_stake,
        RequestUnstake => stake::unstake,
        WithdrawStake => stake::withdraw_stake,
        WithdrawClaimable => validator::withdraw_claimable,
        Unjail => validator::unjail,
        CloseValidator => validator::close,
        ProposeOwner => validator::propose_owner,
        AcceptOwner => validator::accept_owner,
        DepositVault => vault::deposit,
        WithdrawVault => vault::withdraw,
        CloseVault => vault::close,
        GrantSpend => grant::grant,
        RevokeGrant => grant::revoke,
        CloseGrant => grant::close,
        RequestInference => job::request,
        AcceptInference => job::accept,
        DeclineJob => settle::decline,
        CancelJob => settle::cancel,
        ExpireJob => settle::expire,
        SubmitResult => job::submit,
        ClaimInferenceFee => settle::claim,
        CloseJob => settle::close,
        VerifyLogits => claim::verify_logits,
        CommitJuror => jury::commit,
        ResolveCase => verdict::resolve,
        CollectCase => verdict::collect,
        CloseCase => verdict::close,
        CloseOutput => verdict::close_output,
    }
}
