//! Error codes of both programs: `ProgramError::Custom(code)`. A code means the same in both, and never changes its
//! meaning; they are grouped by hundreds. From [`MARKET_ERRORS`] on they are the Compute Market's alone.

/// First code that only the Compute Market gives.
pub const MARKET_ERRORS: u32 = 900;

macro_rules! errors {
    ($($(#[$group:meta])* $name:ident = $code:literal, $message:literal;)*) => {
        /// Why the program refused an instruction. One check, one error.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u32)]
        pub enum MythicError {
            $(#[doc = $message] $name = $code,)*
        }

        impl MythicError {
            /// Every error, in the order of their codes.
            pub const ALL: &'static [MythicError] = &[$(MythicError::$name),*];

            /// The name, as in the documentation.
            pub const fn name(self) -> &'static str {
                match self { $(MythicError::$name => stringify!($name),)* }
            }

            /// One sentence for a person: what is wrong and what would be right.
            pub const fn message(self) -> &'static str {
                match self { $(MythicError::$name => $message,)* }
            }
        }
    };
}

errors! {
    // 1xx: the call itself
    UnknownInstruction = 100, "the first byte of the instruction data is no known instruction";
    InvalidInstructionData = 101, "the instruction data has another length than its arguments";
    NotEnoughAccounts = 102, "the instruction needs more accounts";
    TooManyAccounts = 103, "the instruction takes fewer accounts";
    MissingSignature = 104, "an account that must sign did not";
    AccountNotWritable = 105, "an account that is written is not marked writable";
    WrongProgramId = 106, "the program is not deployed under the address it was built for";
    InvalidSystemProgram = 107, "the account is not the system program";
    InvalidIncinerator = 108, "the account is not the incinerator";
    AmountTooLarge = 109, "an amount does not fit a signed 64-bit integer";
    ZeroAmount = 110, "the amount is zero";
    BalanceUnderflow = 111, "a stored balance is smaller than what would be taken from it";
    InvalidText = 112, "a text is too long or is not printable ASCII padded with zeroes";
    InvalidPadding = 113, "unused room in the arguments is not zero";
    ClockUnavailable = 114, "the clock or rent sysvar cannot be read";
    SystemCallFailed = 115, "the system program refused a transfer or an account creation";
    CounterOverflow = 116, "a counter cannot be raised further";
    InvalidFlag = 117, "a flag is neither 0 nor 1";

    // 2xx: accounts
    WrongAccountOwner = 200, "the account is not owned by this program";
    WrongAccountType = 201, "the account has another type, version or length than expected";
    WrongAddress = 202, "the account's address is not the one its seeds give";
    AccountExists = 203, "the account exists already";
    WrongVault = 204, "the vault belongs to another owner than the job";
    WrongGrant = 205, "the grant is not the one the job was requested under";
    MissingGrant = 206, "the job was requested under a grant, which must be passed";
    UnexpectedGrant = 207, "a grant was passed where none applies";
    WrongValidator = 208, "the validator is not the job's";
    MissingValidator = 209, "the job has a validator, which must be passed";
    UnexpectedValidator = 210, "a validator was passed where none applies";
    WrongRentPayer = 211, "the account is not the one that paid the rent";
    WrongModel = 212, "the model is not the one expected";
    MissingOperator = 213, "a validator needs its operator's signature beside it";

    // 3xx: config, treasury
    NotUpgradeAuthority = 300, "the signer is not the program's upgrade authority";
    InvalidProgramData = 301, "the account is not this program's program data";
    NotAdmin = 302, "the signer is not the admin";
    NotPendingAdmin = 303, "the signer is not the proposed admin";
    Paused = 304, "the network is paused: no new jobs or requests";
    NotPaused = 305, "the network is not paused";
    WindowOutOfRange = 306, "the window and reveals must be 32 to 400 slots, cancel grace 1 to 400, openings at least 50";
    DurationOutOfRange = 307, "a duration in slots is zero or too long, or the speed of reading is zero";
    CloseDelayTooShort = 308, "the close delay must be longer than a nonce's life";
    UnbondingOutOfRange = 309, "unbonding must last at least job + window + openings + 800 slots, that of a provider dispute + openings + 800, and at least the jail";
    SharesOutOfRange = 310, "the shares of a fee must be 1 basis point at least and 10,000 together at most";
    SlashOutOfRange = 311, "the slash must be 1,000 to 10,000 basis points, the bond 50 to 10,000";
    JuryOutOfRange = 312, "a jury has 3 to 15 seats";
    StakeOutOfRange = 313, "minimum stake, stake per job and stake of a juror must not be zero, and exposure be 1 to 10,000 basis points";
    InvalidAddress = 314, "the address is all zero or is an account of this program";
    NothingToSweep = 315, "the validator owes nothing to foundation and incinerator";
    NothingToWithdraw = 316, "there is nothing to withdraw";
    WrongFoundation = 317, "the account is not the foundation's address";

    // 4xx: models
    UnknownKernelProfile = 400, "the kernel profile is not listed";
    InvalidEosIds = 401, "end-of-sequence ids must be 1 to 8, ascending and distinct";
    InvalidContextLength = 402, "the context length is zero";
    InvalidJobTokens = 403, "the most tokens of a job must be 2 to the context length";
    ThresholdOutOfRange = 404, "the error threshold is at most 10,000 ppm and the share of misses at most 1,000,000 ppm, both or neither";
    CommitSlotsOutOfRange = 405, "commit slots must be 100 to 300";
    NotRegistrant = 406, "the signer is not the model's registrant";
    ModelRetired = 407, "the model is retired";
    EmptyName = 408, "the name is empty";
    PriceChanged = 409, "the prices are not the ones stated";
    NotPendingRegistrant = 410, "the signer is not the proposed registrant";

    // 5xx: validators
    NotAuthority = 500, "the key is not the owner of the validator or provider";
    NotOperator = 501, "the signer is not the operator of the validator or provider";
    StakeBelowMinimum = 502, "the active stake is below the minimum";
    TooManyModels = 503, "a validator serves at most 8 models, a grant names at most 4";
    DuplicateModel = 504, "a model is named twice";
    InsufficientStake = 505, "the active stake is smaller than the amount";
    StakeLocked = 506, "the unbonding time is not over";
    OpenCases = 507, "a case of the validator is not decided, or a claim of it not collected";
    OpenJobs = 508, "there are open jobs";
    Jailed = 509, "the validator is jailed";
    NotJailed = 510, "the validator is not jailed";
    JailNotOver = 511, "the jail time is not over";
    ValidatorNotEmpty = 512, "the validator still holds stake, earnings or dues";
    ModelNotServed = 513, "the validator does not serve the model";
    NoCapacity = 514, "the stake is taken up by what was accepted";
    NotPendingOwner = 515, "the signer is not the proposed owner";
    StakeObliged = 516, "what the validator accepted or judged may still be asked of its stake";
    ExposureExceeded = 517, "the job's ceiling, or those of all open jobs together, exceed what the validator's stake backs";

    // 6xx: vaults and grants
    NotOwner = 600, "the signer is not the owner";
    InsufficientFunds = 601, "the vault's balance is too small";
    FundsHeld = 602, "open jobs hold part of the vault";
    GrantRevoked = 603, "the grant is revoked";
    GrantExpired = 604, "the grant has expired";
    GrantActive = 605, "the grant is neither revoked nor expired";
    GrantLimitsInvalid = 606, "a grant's limits must not be zero, nor its expiry lie in the past";
    GrantModelNotAllowed = 607, "the grant does not cover this model";
    GrantPerJobExceeded = 608, "the job's ceiling exceeds the grant's limit per job";
    GrantWindowExceeded = 609, "the job's ceiling exceeds what is left of the grant's window";
    GrantLifetimeExceeded = 610, "the job's ceiling exceeds what is left of the grant";
    SelfDelegation = 611, "owner and delegate are the same key";
    GrantSpentChanged = 612, "the grant's spent amount is not the one stated";

    // 7xx: jobs
    NotRequester = 700, "the signer is neither the vault's owner nor a delegate with a grant";
    EmptyPrompt = 701, "a job needs at least one prompt token";
    EmptyOutput = 702, "a job needs room for at least one output token";
    TooManyTokens = 703, "prompt and output exceed what the model allows, or the output 65,536 tokens";
    TemperatureOutOfRange = 704, "the temperature is at most 2,000 thousandths";
    UnknownSamplingProfile = 705, "the sampling profile is not listed";
    DeadlineOutOfRange = 706, "the deadline must be 1 to max_job_slots slots away, that of a request of capacity 1 to max_request_slots";
    NonceExpired = 707, "the nonce's expiry slot has passed";
    NonceTooFar = 708, "the nonce's expiry slot is too far away";
    WrongJobStatus = 709, "the job's status does not allow this";
    WrongFork = 710, "the account is not in the state that the instruction names";
    DeadlinePassed = 711, "the deadline has passed";
    DeadlineNotPassed = 712, "the deadline has not passed";
    NotCanceller = 713, "the signer may not cancel this job";
    AlreadyCancelled = 714, "a cancel is already recorded";
    OutputTokensOutOfRange = 715, "the output has no tokens or more than the job allows";
    InvalidFinishReason = 716, "the finish reason is not listed";
    FinishNotLength = 717, "finish reason length needs the most tokens allowed";
    FinishNotStopped = 718, "finish reason stopped needs a job with stop strings";
    FinishNotCancelled = 719, "finish reason cancelled needs a recorded cancel";
    WindowOpen = 720, "the challenge window is still open";
    WindowClosed = 721, "the challenge window is closed";
    TooEarlyToClose = 722, "the account must stay a while longer";
    RulesChanged = 723, "the network's rules are not the ones stated";
    SamplingNeedsExact = 724, "this sampling profile is only for models whose arithmetic is exact";

    // 8xx: cases
    ChallengerTooYoung = 800, "the validator was not registered, or did not serve the model, long enough before the request";
    SelfChallenge = 801, "the submitter cannot claim, judge or be paid for its own result";
    SampleNotKnown = 802, "the slots that draw the sample or the jury have not passed";
    SlotHashExpired = 803, "the slot hash is no longer kept";
    PositionsInvalid = 804, "named positions must be ascending, distinct, inside the output and not sampled";
    NotExactProfile = 805, "positions can be named only in an exact profile";
    OpeningMismatch = 806, "a leaf and its path do not lead to the fingerprint";
    OpeningInvalid = 807, "a leaf breaks the rules of order, choice or end of sequence";
    OutputMismatch = 808, "posted tokens do not match the output root";
    OpeningsOver = 809, "the time for openings is over";
    NotComplete = 810, "leaves or output are not complete";
    WrongCaseStatus = 811, "the case's status does not allow this";
    CommitClosed = 812, "jurors cannot commit now";
    NotEligibleJuror = 813, "the validator may not sit on this jury";
    AlreadyCommitted = 814, "the juror has committed already";
    NotSeated = 815, "the juror has no seat";
    RevealClosed = 816, "jurors cannot reveal now";
    CommitmentMismatch = 817, "the vote does not match the commitment";
    CaseNotResolved = 818, "the case is not resolved";
    CaseNotDue = 819, "the case cannot be resolved yet";
    NoFault = 820, "the leaves shown break no rule";
    AlreadyCollected = 821, "the amount was collected already";
    BondTooSmall = 822, "the bond offered is smaller than what the claim costs now";
    WrongCase = 823, "the case is not of this job";
    WrongOutput = 824, "the page is not the one that holds these tokens of the job's output";
    NotChecked = 825, "the case does not check this position";
    OutputInvalid = 826, "posted tokens break the rules of end of sequence";
    AlreadyRevealed = 827, "the juror has revealed already";
    NotCollected = 828, "amounts of the case are not collected yet";
    NothingToCollect = 829, "the case owes this validator nothing and asks nothing of it";
    JobRunning = 830, "the job has not ended, or an end of it is too recent";
    CaseFull = 831, "sixteen claims say false already";
    JoinClosed = 832, "the time to join the case is over";
    NotJoinable = 833, "a case is joined only by saying false, and only once output and sample are shown";
    InvalidClaimKind = 834, "the kind of claim is not listed";
    NoRule = 835, "a model that is neither exact nor has thresholds takes no false";
    WrongVotes = 836, "the votes are not the case's";
    AlreadyClaimed = 837, "the validator has said so already";
    SeatOfClaimant = 838, "who claims does not judge";
    NothingNamed = 839, "a claim of withholding names no positions";
    FaultProved = 840, "a fault was proved already, and this one shows nothing that is awaited";

    // 9xx: classes and providers of the market
    EpochOutOfRange = 900, "an epoch has 32 to 10,000,000 slots of 1/20 to 2 seconds";
    NoticeOutOfRange = 901, "notice and missed epochs must be 1 to 16";
    ClassOutOfRange = 902, "a side is a multiple of 16 up to 16,384, rounds 1 to 4,096, proofs 12 to 400 slots and half an epoch, stake at least a lamport";
    ClassRetired = 903, "the class is retired";
    WrongClass = 904, "the class is not the one expected";
    UnitsOutOfRange = 905, "a provider offers at least one unit, and as many as are leased; a lease has 1 to 8";
    UnknownIsolation = 906, "the isolation is not listed";
    StakeInUse = 907, "the active stake would not cover the units that it backs";
    ProviderNotEmpty = 908, "the provider still holds stake, earnings or dues";
    OpenLeases = 909, "there are accounts of the provider's leases";
    OpenDisputes = 910, "there are disputes that are not resolved";
    WrongProvider = 911, "the provider is not the one expected";
    DisputeTimeOutOfRange = 912, "starts and disputes last 32 slots at least, openings 50, acknowledgements 32 to an epoch; disputes with openings at most 30 epochs";
    AmountsOutOfRange = 913, "the answering fee is at most the least price of an epoch, no_show at most sixteen times that";

    // 10xx: requests
    UnknownLeaseKind = 1000, "the kind of lease is not listed";
    InvalidLeaseModel = 1001, "an endpoint names a model, a container none";
    LeaseTimeOutOfRange = 1002, "a lease lasts at least an epoch, and with all that is added at most max_lease_seconds";
    EpochTooCheap = 1003, "an epoch of the lease costs less than min_epoch_price";
    WrongRequestStatus = 1004, "the request's status does not allow this";
    NotTenant = 1005, "the signer is not the tenant";
    WrongTenant = 1006, "the account is not the tenant";
    WrongRegion = 1007, "the provider is not in the region that is asked for";
    WeakIsolation = 1008, "the provider isolates less than is asked for";
    PriceTooHigh = 1009, "the provider's price is above the request's";
    NoUnits = 1010, "the provider has not as many units free";
    EpochsUnbacked = 1011, "the stake behind the units is less than the price of 32 epochs";
    LeaseExists = 1012, "the request's lease still has its account";
    EscrowTooSmall = 1013, "all seconds of the lease cost less than no_show";

    // 11xx: leases
    WrongLeaseStatus = 1100, "the lease's status does not allow this";
    EmptyHash = 1101, "a hash is all zero";
    WrongEpoch = 1102, "the epoch is not the current one";
    EpochUnknown = 1103, "the hash of the epoch's first slot is not known yet";
    EpochProved = 1104, "the epoch is proved, or the lease started in it";
    ProofsClosed = 1105, "the time for proofs of this epoch is over";
    LeaseOver = 1106, "the lease's time is over, or too little is left of it to add to";
    NothingToRelease = 1107, "there is no epoch that can be paid now";
    UnknownCloseReason = 1108, "the reason is not listed, or nobody can give it";
    LeaseRunning = 1109, "the lease's time is not over";
    NoticeRunning = 1110, "the provider's notice is not over";
    NotMissed = 1111, "too few epochs in a row were missed";
    LeaseNotEmpty = 1112, "epochs of the lease are still pending";

    // 12xx: disputes about proofs
    UnknownDisputeKind = 1200, "the kind of dispute, or of what is shown, is not listed";
    EpochNotPending = 1201, "the lease has no such epoch, or it is settled";
    DisputeClosed = 1202, "the time to dispute the epoch is over";
    ProofMissing = 1203, "what is behind the last proof has no proof to refute";
    ElementsInvalid = 1204, "1 to 8 elements must be named, ascending, distinct and inside the proof";
    UnexpectedDispute = 1205, "an account of a dispute was passed where there is none";
    WrongDisputeStatus = 1206, "the dispute's status does not allow this";
    WrongLease = 1207, "the lease is not the dispute's";
    PathMismatch = 1208, "what is shown and its path do not lead to the proof";
    NotNamed = 1209, "the dispute does not name this";
    RootNotShown = 1210, "the roots that the element needs are not shown";
    AlreadyOpened = 1211, "this is shown already";
    DisputeNotDue = 1212, "the dispute cannot be resolved yet, or an older one comes first";
    WrongDisputer = 1213, "the account is not who disputed";
    BondTooHigh = 1214, "the bond is more than the dispute says that it may be";
}

impl MythicError {
    /// The number on the wire.
    pub const fn code(self) -> u32 {
        self as u32
    }

    /// The error of a code, `None` if the code is not this program's.
    pub fn from_code(code: u32) -> Option<Self> {
        Self::ALL.iter().copied().find(|error| error.code() == code)
    }
}

impl core::fmt::Display for MythicError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} ({}): {}", self.name(), self.code(), self.message())
    }
}

impl core::error::Error for MythicError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_ascending_and_lead_back() {
        assert!(
            MythicError::ALL
                .windows(2)
                .all(|pair| pair[0].code() < pair[1].code())
        );
        for error in MythicError::ALL {
            assert_eq!(MythicError::from_code(error.code()), Some(*error));
        }
        assert_eq!(MythicError::from_code(0), None);
    }
}
