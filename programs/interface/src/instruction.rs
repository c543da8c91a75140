//! Instructions: tags, arguments and account lists.
//!
//! Instruction data is the tag's byte and then the arguments, a fixed structure with alignment 1. Accounts
//! come in the order of [`Instruction::ACCOUNTS`]; for one that is `optional` and absent the program's own
//! address stands, read-only. [`ALL`] lists everything for tools and documents.

use bytemuck::{Pod, Zeroable};

use crate::error::MythicError;
use crate::hash::Hash;
use crate::le::{Text, U16, U32, U64};
use crate::params::Params;
use crate::state::{
    ENDPOINT_LEN, GPU_NAME_LEN, GRANT_MODELS, Key, LEAF_LEN, MODEL_NAME_LEN, ModelSpec,
    NAMED_POSITIONS, PROMPT_SOURCE_LEN,
};

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

const fn read(name: &'static str) -> AccountSpec {
    AccountSpec {
        name,
        signer: false,
        writable: false,
        optional: false,
    }
}
const fn write(name: &'static str) -> AccountSpec {
    AccountSpec {
        name,
        signer: false,
        writable: true,
        optional: false,
    }
}
const fn signs(name: &'static str) -> AccountSpec {
    AccountSpec {
        name,
        signer: true,
        writable: false,
        optional: false,
    }
}
const fn pays(name: &'static str) -> AccountSpec {
    AccountSpec {
        name,
        signer: true,
        writable: true,
        optional: false,
    }
}
const fn maybe(spec: AccountSpec) -> AccountSpec {
    AccountSpec {
        name: spec.name,
        signer: spec.signer,
        writable: spec.writable,
        optional: true,
    }
}

/// An instruction: its arguments are the type itself.
pub trait Instruction: Pod {
    /// First byte of the data.
    const TAG: Tag;
    /// Accounts in their order.
    const ACCOUNTS: &'static [AccountSpec];
    /// Name of read-only accounts that may follow, if any may.
    const TRAILING: Option<&'static str> = None;
    /// What bytes follow the arguments, if any do.
    const TAIL: Option<&'static str> = None;
    /// Length of the data, tag included and tail not.
    const DATA_LEN: usize = 1 + core::mem::size_of::<Self>();

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
        data.push(Self::TAG as u8);
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
    pub tag: Tag,
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
    let (tag, arguments) = data.split_first().ok_or(MythicError::UnknownInstruction)?;
    Ok((
        Tag::from_u8(*tag).ok_or(MythicError::UnknownInstruction)?,
        arguments,
    ))
}

macro_rules! instructions {
    ($(
        $(#[$doc:meta])*
        $name:ident = $tag:literal {
            $($(#[$fdoc:meta])* $field:ident: $ty:ty,)*
        } [$($account:expr),* $(,)?] $(+ $trailing:literal)? $(=> $tail:literal)?
    )*) => {
        /// First byte of instruction data.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Tag { $($(#[$doc])* $name = $tag,)* }

        impl Tag {
            /// The tag of a byte, `None` if it is not listed.
            pub const fn from_u8(value: u8) -> Option<Self> {
                match value { $($tag => Some(Self::$name),)* _ => None }
            }
            /// The name, as in the documentation.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }
            /// What tools need to know about the instruction.
            pub const fn spec(self) -> &'static InstructionSpec {
                match self { $(Self::$name => &InstructionSpec {
                    tag: Self::$name,
                    data_len: <$name as Instruction>::DATA_LEN,
                    accounts: <$name as Instruction>::ACCOUNTS,
                    trailing: <$name as Instruction>::TRAILING,
                    tail: <$name as Instruction>::TAIL,
                },)* }
            }
        }

        /// Every tag, ascending.
        pub const ALL: &[Tag] = &[$(Tag::$name),*];

        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
            #[repr(C)]
            pub struct $name { $($(#[$fdoc])* pub $field: $ty,)* }

            impl Instruction for $name {
                const TAG: Tag = Tag::$name;
                const ACCOUNTS: &'static [AccountSpec] = &[$($account),*];
                $(const TRAILING: Option<&'static str> = Some($trailing);)?
                $(const TAIL: Option<&'static str> = Some($tail);)?
            }
        )*
    };
}

instructions! {
    /// Creates config and treasury. Once, by the program's upgrade authority.
    Initialize = 1 {
        /// Key that sets parameters.
        admin: Key,
        /// Address that receives the foundation's share.
        foundation: Key,
        /// All parameters.
        params: Params,
    } [pays("payer"), signs("upgrade_authority"), read("program_data"), write("config"), write("treasury"), read("system_program")]

    /// Sets all parameters and the foundation's address. Running jobs keep theirs.
    UpdateConfig = 2 {
        /// Address that receives the foundation's share.
        foundation: Key,
        /// All parameters.
        params: Params,
    } [signs("admin"), write("config")]

    /// Names who may take over as admin.
    ProposeAdmin = 3 {
        /// The next admin; zero takes a proposal back.
        new_admin: Key,
    } [signs("admin"), write("config")]

    /// Takes over as admin.
    AcceptAdmin = 4 {} [signs("new_admin"), write("config")]

    /// Stops new jobs, and nothing else.
    Pause = 5 {} [signs("admin"), write("config")]

    /// Takes jobs again.
    Unpause = 6 {} [signs("admin"), write("config")]

    /// Moves what a validator owes to the treasury and the incinerator. Anyone.
    Sweep = 7 {} [write("validator"), write("treasury"), write("incinerator")]

    /// Pays the treasury's balance to the foundation's address. Anyone.
    WithdrawFoundation = 8 {} [read("config"), write("treasury"), write("foundation")]

    /// Registers a model and burns the registration fee. Prices start at the config's defaults.
    RegisterModel = 16 {
        /// What never changes.
        spec: ModelSpec,
        /// Name.
        name: Text<MODEL_NAME_LEN>,
    } [pays("payer"), signs("registrant"), read("config"), write("model"), write("incinerator"), read("system_program")]

    /// Changes prices, name and retirement.
    UpdateModel = 17 {
        /// Lamports per 1,000 prompt tokens.
        price_in: U32,
        /// Lamports per 1,000 output tokens.
        price_out: U32,
        /// Name.
        name: Text<MODEL_NAME_LEN>,
        /// 1 = no new jobs, 0 = jobs.
        retired: u8,
    } [signs("registrant"), write("model")]

    /// Registers a validator with stake, which is active at once. The models it serves follow as accounts.
    RegisterValidator = 24 {
        /// Hot key.
        operator: Key,
        /// Lamports of stake, from the payer.
        stake: U64,
        /// GPU memory, MiB; 0 = CPU only.
        vram_mib: U32,
        /// Name of the GPU; empty = CPU only.
        gpu_name: Text<GPU_NAME_LEN>,
        /// URL at which gateways reach the node.
        endpoint: Text<ENDPOINT_LEN>,
    } [pays("payer"), signs("authority"), read("config"), write("validator"), read("system_program")] + "model"

    /// Replaces a validator's operator, endpoint, GPU and models. The models it serves follow as accounts;
    /// those it served before keep their slot.
    UpdateValidator = 25 {
        /// Hot key.
        operator: Key,
        /// GPU memory, MiB; 0 = CPU only.
        vram_mib: U32,
        /// Name of the GPU; empty = CPU only.
        gpu_name: Text<GPU_NAME_LEN>,
        /// URL at which gateways reach the node.
        endpoint: Text<ENDPOINT_LEN>,
    } [signs("authority"), write("validator")] + "model"

    /// Adds stake, which counts after the unbonding time; stake that is activating already waits with it.
    AddStake = 26 {
        /// Lamports, from the payer.
        amount: U64,
    } [pays("payer"), signs("authority"), read("config"), write("validator"), read("system_program")]

    /// Takes stake out of the active one; stake that is unbonding already waits with it.
    RequestUnstake = 27 {
        /// Lamports; what stays must be the minimum stake or nothing.
        amount: U64,
    } [signs("authority"), read("config"), write("validator")]

    /// Pays out unbonded stake.
    WithdrawStake = 28 {} [pays("authority"), write("validator")]

    /// Pays what was earned to the authority. Signed by authority or operator.
    WithdrawClaimable = 29 {} [signs("signer"), write("validator"), write("authority")]

    /// Ends a jail time that is over. Signed by authority or operator.
    Unjail = 30 {} [signs("signer"), read("config"), write("validator")]

    /// Closes a validator that holds nothing.
    CloseValidator = 31 {} [signs("authority"), write("validator"), write("rent_payer")]

    /// Pays into a vault, which is created if need be. Anyone may pay for anyone.
    DepositVault = 40 {
        /// Lamports, from the payer.
        amount: U64,
    } [pays("payer"), read("owner"), write("vault"), read("system_program")]

    /// Pays out of a vault to its owner.
    WithdrawVault = 41 {
        /// Lamports.
        amount: U64,
    } [pays("owner"), write("vault")]

    /// Closes a vault without open jobs; the balance goes to the owner.
    CloseVault = 42 {} [pays("owner"), write("vault"), write("rent_payer")]

    /// Lets a delegate spend within limits, or changes the limits; what was spent stays counted. Revives a
    /// revoked grant.
    GrantSpend = 43 {
        /// Most lamports of one job.
        per_job_max: U64,
        /// Most lamports in one window.
        window_max: U64,
        /// Length of a window, slots.
        window_slots: U32,
        /// Most lamports ever.
        lifetime_cap: U64,
        /// Slot from which the grant is void.
        expiry_slot: U64,
        /// Used part of `models`; 0 = every model.
        model_count: u8,
        /// Addresses of models that may be used; the rest zero.
        models: [Key; GRANT_MODELS],
    } [pays("payer"), signs("owner"), read("delegate"), write("grant"), read("system_program")]

    /// Ends a grant; its running jobs go on.
    RevokeGrant = 44 {} [signs("owner"), write("grant")]

    /// Closes a grant that is revoked or expired and has no open jobs. Anyone.
    CloseGrant = 45 {} [write("grant"), write("rent_payer")]

    /// Requests a job and pays its ceiling into it. With a validator and its operator's signature it is
    /// accepted at once, without it is open.
    RequestInference = 56 {
        /// Expiry slot (8 bytes, little-endian) and 8 bytes that tell attempts apart.
        nonce: [u8; 16],
        /// Who may cancel beside owner and requester; zero = nobody.
        canceller: Key,
        /// [`crate::hash::prompt_hash`].
        prompt_hash: Hash,
        /// Tokens of the prompt.
        prompt_tokens: U32,
        /// Most tokens of the output.
        max_output_tokens: U32,
        /// Lamports per 1,000 prompt tokens; must be the model's.
        price_in: U32,
        /// Lamports per 1,000 output tokens; must be the model's.
        price_out: U32,
        /// The requester's seed.
        user_seed: Hash,
        /// Temperature in thousandths.
        temperature_milli: U16,
        /// [`crate::state::SamplingProfile`].
        sampling_profile: u8,
        /// [`crate::hash::stop_hash`]; zero = no stop strings.
        stop_hash: Hash,
        /// Base URL of the gateway that holds the prompt.
        prompt_source: Text<PROMPT_SOURCE_LEN>,
        /// Slots from the request to the deadline.
        deadline_slots: U32,
    } [
        pays("payer"), signs("requester"), read("config"), read("model"), write("vault"), maybe(write("grant")),
        write("job"), maybe(write("validator")), maybe(signs("operator")), read("system_program"),
    ]

    /// Takes an open job.
    AcceptInference = 57 {
        /// Terms that are accepted; another fork may have others at this address.
        terms_hash: Hash,
    } [signs("operator"), write("validator"), write("job")]

    /// Gives an accepted job up, in time; it is refunded.
    DeclineJob = 58 {} [signs("operator"), write("validator"), write("job"), write("vault"), maybe(write("grant"))]

    /// Cancels a job: refunds an open one, records the cancel of an accepted one.
    CancelJob = 59 {} [signs("canceller"), write("job"), write("vault"), maybe(write("grant"))]

    /// Refunds a job that has no result in time. Anyone.
    ExpireJob = 60 {} [write("job"), write("vault"), maybe(write("validator")), maybe(write("grant"))]

    /// Commits to a result.
    SubmitResult = 61 {
        /// Terms under which the work was done.
        terms_hash: Hash,
        /// [`crate::hash::output_root`].
        output_root: Hash,
        /// [`crate::hash::fingerprint`].
        fingerprint: Hash,
        /// Tokens of the output.
        output_tokens: U32,
        /// [`crate::state::FinishReason`].
        finish_reason: u8,
    } [signs("operator"), read("validator"), write("job")]

    /// Settles an unchallenged result after its window. Anyone.
    ClaimInferenceFee = 62 {} [write("job"), write("validator"), write("vault"), maybe(write("grant"))]

    /// Closes a job that ended long enough ago; the rent goes to who paid it. Anyone.
    CloseJob = 63 {} [write("job"), write("rent_payer")]

    /// Challenges a result: draws the sample, takes the bond and the rent of the output that will be posted.
    VerifyLogits = 72 {
        /// Slot of the result that is challenged.
        submitted_slot: U64,
        /// Its fingerprint.
        fingerprint: Hash,
        /// Most lamports of bond that the challenger pays.
        bond: U64,
        /// Used part of `positions`.
        position_count: u8,
        /// Positions to check beside the sampled ones, ascending; the rest zero. Only in an exact profile.
        positions: [U32; NAMED_POSITIONS],
    } [
        pays("payer"), signs("operator"), write("challenger"), write("job"), write("submitter"), read("model"),
        write("dispute"), read("system_program"),
    ]

    /// Posts a chunk of the output; one that is there already changes nothing. The first chunk of a page creates
    /// it, from what the challenger prepaid. Anyone.
    PostOutput = 73 {
        /// Slot of the result.
        submitted_slot: U64,
        /// Its fingerprint.
        fingerprint: Hash,
        /// Index of the chunk.
        chunk: U32,
    } [
        pays("payer"), write("dispute"), read("job"), write("first_page"), maybe(write("page")), read("system_program"),
    ] => "the chunk's token ids, 4 bytes each, and its path in the output tree"

    /// Shows leaves of checked positions, once the output is posted; those that are there already change nothing. The
    /// page holds their tokens. The last leaf calls the jury. Anyone.
    PostOpenings = 74 {
        /// Slot of the result.
        submitted_slot: U64,
        /// Its fingerprint.
        fingerprint: Hash,
    } [write("dispute"), read("job"), read("first_page"), maybe(read("page"))]
        => "one or more leaves, each 40 bytes of content and its path in the fingerprint's tree"

    /// Commits to a vector and takes the seats for which the validator ranks highest so far.
    CommitJuror = 75 {
        /// Slot of the result.
        submitted_slot: U64,
        /// Its fingerprint.
        fingerprint: Hash,
        /// [`crate::state::Dispute::positions_hash`] of the positions that were checked.
        positions_hash: Hash,
        /// [`crate::hash::juror_commitment`].
        commitment: Hash,
    } [signs("operator"), read("validator"), write("dispute")]

    /// Shows the vector behind a commitment.
    RevealJuror = 76 {
        /// Slot of the result.
        submitted_slot: U64,
        /// Its fingerprint.
        fingerprint: Hash,
        /// Salt of the commitment.
        salt: Hash,
    } [signs("operator"), read("validator"), write("dispute")]
        => "the vector: 5 logits of 4 bytes for each checked position"

    /// Proves with one leaf that a result breaks the rules; the job is decided at once. The page of posted output is
    /// needed where the leaf's token differs from it.
    ProveFault = 77 {
        /// Slot of the result.
        submitted_slot: U64,
        /// Its fingerprint.
        fingerprint: Hash,
        /// Content of the leaf.
        leaf: [u8; LEAF_LEN],
    } [
        pays("payer"), signs("operator"), write("prover"), write("job"), write("submitter"), write("vault"),
        maybe(write("grant")), read("model"), maybe(read("page")), write("fault"), read("system_program"),
    ] => "the leaf's path in the fingerprint's tree"

    /// Decides a dispute that is due, and with it the job if it was the last or the result is false. Anyone.
    ResolveDispute = 78 {} [
        write("dispute"), write("job"), write("submitter"), write("vault"), maybe(write("grant")),
    ]

    /// Moves what a resolved dispute owes a validator to its account, and takes what it lost as a juror. What is due
    /// to a validator that was closed is burned. Anyone.
    CollectDispute = 79 {
        /// Authority of the validator.
        authority: Key,
    } [write("dispute"), write("validator"), write("incinerator")]

    /// Closes a dispute that was resolved long enough ago and owes nothing. Anyone.
    CloseDispute = 80 {} [write("dispute"), write("rent_payer")]

    /// Closes a page of output whose job ended long enough ago. Anyone.
    CloseOutput = 81 {} [write("page"), read("job"), write("rent_payer")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_ascend_and_lead_back() {
        assert!(ALL.windows(2).all(|pair| (pair[0] as u8) < pair[1] as u8));
        for tag in ALL {
            assert_eq!(Tag::from_u8(*tag as u8), Some(*tag));
            assert_eq!(tag.spec().tag, *tag);
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
