//! Which errors the market gives: some of those that both programs share, and all of its own.

use crate::error::{MARKET_ERRORS, MythicError};

/// Errors of AI Precompiles that the market gives too.
const SHARED: &[MythicError] = {
    use MythicError::*;
    &[
        UnknownInstruction,
        InvalidInstructionData,
        NotEnoughAccounts,
        TooManyAccounts,
        MissingSignature,
        AccountNotWritable,
        WrongProgramId,
        InvalidSystemProgram,
        InvalidIncinerator,
        AmountTooLarge,
        ZeroAmount,
        BalanceUnderflow,
        InvalidText,
        ClockUnavailable,
        SystemCallFailed,
        CounterOverflow,
        InvalidFlag,
        WrongAccountOwner,
        WrongAccountType,
        WrongAddress,
        AccountExists,
        WrongRentPayer,
        NotUpgradeAuthority,
        InvalidProgramData,
        NotAdmin,
        NotPendingAdmin,
        Paused,
        NotPaused,
        DurationOutOfRange,
        CloseDelayTooShort,
        UnbondingOutOfRange,
        SharesOutOfRange,
        InvalidAddress,
        NothingToSweep,
        NothingToWithdraw,
        WrongFoundation,
        EmptyName,
        PriceChanged,
        NotAuthority,
        NotOperator,
        StakeBelowMinimum,
        InsufficientStake,
        StakeLocked,
        Jailed,
        NotJailed,
        JailNotOver,
        NoCapacity,
        StakeObliged,
        DeadlineOutOfRange,
        NonceExpired,
        NonceTooFar,
        WrongFork,
        DeadlinePassed,
        DeadlineNotPassed,
        TooEarlyToClose,
        RulesChanged,
        OpeningsOver,
    ]
};

/// Every error of the market, in the order of codes.
pub fn all() -> impl Iterator<Item = MythicError> {
    let own = MythicError::ALL
        .iter()
        .filter(|error| error.code() >= MARKET_ERRORS);
    SHARED.iter().chain(own).copied()
}
