//! Account layouts: `repr(C)`, alignment 1, no padding, fixed length, integers little-endian.
//!
//! Every account starts with a [`Header`]. Read one with [`Account::load`], which checks length,
//! discriminator and version; the owner program is the caller's to check. Keys are 32 raw bytes; a key of
//! zeroes means none. Slots of 0 mean "has not happened". Money is lamports.

use bytemuck::{Pod, Zeroable};

use crate::comparison::Rule;
use crate::hash::{Hash, Leaf, OUTPUT_CHUNK, sha256};
use crate::le::{I32, Text, U16, U32, U64};
use crate::params::{MAX_JURY_SEATS, Params, Rules};

/// A public key or an account's address.
pub type Key = [u8; 32];
/// No key.
pub const NO_KEY: Key = [0; 32];
/// Layout version of every account.
pub const VERSION: u8 = 1;

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
/// Positions that a dispute samples.
pub const SAMPLED_POSITIONS: usize = 16;
/// Positions that a challenger can name beside them.
pub const NAMED_POSITIONS: usize = 2;
/// Positions that a dispute checks at most.
pub const CHECKED_POSITIONS: usize = SAMPLED_POSITIONS + NAMED_POSITIONS;
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
    /// Canonical bump of the address.
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

/// An account of the program.
pub trait Account: Pod {
    /// First byte of the account.
    const DISCRIMINATOR: u8;
    /// Name of the type.
    const NAME: &'static str;
    /// Length in bytes.
    const LEN: usize = core::mem::size_of::<Self>();

    /// The first 16 bytes.
    fn header(&self) -> &Header;

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

macro_rules! account {
    ($name:ident, $discriminator:literal) => {
        impl Account for $name {
            const DISCRIMINATOR: u8 = $discriminator;
            const NAME: &'static str = stringify!($name);
            fn header(&self) -> &Header {
                &self.header
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

byte_enum! {
    /// `header.status` of [`Config`].
    ConfigStatus {
        /// Jobs are taken.
        Active = 1 "active",
        /// No new jobs.
        Paused = 2 "paused",
    }
}
byte_enum! {
    /// `header.status` of [`Model`].
    ModelStatus {
        /// Jobs can name it.
        Active = 1 "active",
        /// No new jobs.
        Retired = 2 "retired",
    }
}
byte_enum! {
    /// `header.status` of [`Validator`].
    ValidatorStatus {
        /// May take jobs, challenge and judge.
        Active = 1 "active",
        /// May only submit, answer and reveal, until unjailed.
        Jailed = 2 "jailed",
    }
}
byte_enum! {
    /// `header.status` of [`SpendGrant`].
    GrantStatus {
        /// The delegate may spend until expiry.
        Active = 1 "active",
        /// The delegate may not spend.
        Revoked = 2 "revoked",
    }
}
byte_enum! {
    /// `header.status` of [`Job`]. From `Settled` on it is final.
    JobStatus {
        /// Paid for, no validator yet.
        Open = 1 "open",
        /// A validator works on it.
        Accepted = 2 "accepted",
        /// A result is there; the window runs or waits for its claim.
        Submitted = 3 "submitted",
        /// The result is disputed.
        Disputed = 4 "disputed",
        /// The fee was paid.
        Settled = 5 "settled",
        /// The requester has its money back, without a result.
        Refunded = 6 "refunded",
        /// The result was found false: refunded, and the validator slashed.
        Slashed = 7 "slashed",
    }
}
byte_enum! {
    /// Why a job ended: `Job::end_reason`, 0 while it runs.
    EndReason {
        /// Unchallenged, or every challenge is over.
        Claimed = 1 "claimed",
        /// Cancelled before a validator took it.
        Cancelled = 2 "cancelled",
        /// Declined by its validator.
        Declined = 3 "declined",
        /// No result in time.
        Expired = 4 "expired",
        /// A jury found the result good.
        NotGuilty = 5 "not_guilty",
        /// A jury reached no verdict.
        Void = 6 "void",
        /// A jury found the result false, or its data was not shown.
        Guilty = 7 "guilty",
        /// The program found the result false.
        Fault = 8 "fault",
    }
}
byte_enum! {
    /// Why an output ends: `Job::finish_reason`, 0 before a result.
    FinishReason {
        /// The model ended it.
        Eos = 1 "eos",
        /// The most tokens allowed.
        Length = 2 "length",
        /// A stop string was met.
        Stopped = 3 "stopped",
        /// A cancel was recorded.
        Cancelled = 4 "cancelled",
    }
}
byte_enum! {
    /// Arithmetic of a model's logits: `ModelSpec::kernel_profile`.
    KernelProfile {
        /// candle on a CPU: calibrated, not exact.
        CpuCandle = 1 "cpu-candle",
        /// int8 activations on a CPU: every implementation gives equal bits.
        CpuWA8 = 2 "cpu-w-a8",
    }
}
byte_enum! {
    /// How tokens are chosen: `Terms::sampling_profile`.
    SamplingProfile {
        /// Gumbel-max over the four largest logits, from the job's seed.
        SeededTop4 = 1 "seeded-top4",
    }
}
byte_enum! {
    /// `header.status` of [`Dispute`].
    DisputeStatus {
        /// Openings and output are awaited.
        Openings = 1 "openings",
        /// All is shown; the jury commits and reveals.
        Jury = 2 "jury",
        /// Decided.
        Resolved = 3 "resolved",
    }
}
byte_enum! {
    /// What a dispute was decided by: `Dispute::ground`, 0 while undecided.
    Ground {
        /// The jury's vectors.
        Jury = 1 "jury",
        /// Openings or output were not shown in time.
        Unanswered = 2 "unanswered",
        /// Everything was shown, and the model has no thresholds that a jury could judge by.
        NoThresholds = 3 "no_thresholds",
        /// The job was decided by another dispute or by a fault.
        Overtaken = 4 "overtaken",
        /// A leaf that breaks the rules.
        Fault = 5 "fault",
    }
}
byte_enum! {
    /// `Dispute::verdict`, 0 while undecided.
    Verdict {
        /// The result was false.
        Guilty = 1 "guilty",
        /// The result was good.
        NotGuilty = 2 "not_guilty",
        /// Not decided, or overtaken by another dispute.
        Void = 3 "void",
        /// The program itself found a fault.
        Fault = 4 "fault",
    }
}

impl JobStatus {
    /// Whether the job can change no more.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Settled | Self::Refunded | Self::Slashed)
    }
}

impl KernelProfile {
    /// Whether two honest runs give equal bits.
    pub const fn is_exact(self) -> bool {
        matches!(self, Self::CpuWA8)
    }
}

/// The network's parameters and its admin. Read-only in the life of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Config {
    /// Status: [`ConfigStatus`].
    pub header: Header,
    /// Key that sets parameters.
    pub admin: Key,
    /// Key that may take over as admin.
    pub pending_admin: Key,
    /// Address that receives the foundation's share.
    pub foundation: Key,
    /// Who paid the rent.
    pub rent_payer: Key,
    /// Slot of initialization.
    pub initialized_slot: U64,
    /// Slot of the last change.
    pub updated_slot: U64,
    /// The parameters.
    pub params: Params,
}
account!(Config, 1);

/// The foundation's balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Treasury {
    /// Status: 1.
    pub header: Header,
    /// Who paid the rent.
    pub rent_payer: Key,
    /// Lamports of the foundation that lie here.
    pub balance: U64,
    /// Lamports withdrawn in total.
    pub withdrawn: U64,
    /// Lamports of fees and of stake that were swept here in total.
    pub received: U64,
    /// Slot of the last change.
    pub updated_slot: U64,
}
account!(Treasury, 2);

/// The immutable part of a model; its hash is the model's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct ModelSpec {
    /// SHA-256 of the weights' file.
    pub weights_hash: Hash,
    /// SHA-256 of the tokenizer, as the engine canonicalises it.
    pub tokenizer_hash: Hash,
    /// SHA-256 of the chat template's UTF-8.
    pub chat_template_hash: Hash,
    /// The weights' quantisation: GGUF's `general.file_type`.
    pub quantisation: U16,
    /// [`KernelProfile`].
    pub kernel_profile: U16,
    /// Longest context, tokens.
    pub context_length: U32,
    /// Most prompt and output tokens of a job together.
    pub max_job_tokens: U32,
    /// Threshold τ₁ of the relative error, parts per million; 0 with `miss_ppm` 0 = no jury.
    pub error_ppm: U32,
    /// Threshold τ₃ of the share of missed fourth places, parts per million.
    pub miss_ppm: U32,
    /// Slots in which jurors commit.
    pub commit_slots: U16,
    /// Least GPU memory, MiB; 0 = runs on a CPU.
    pub min_vram_mib: U32,
    /// Used part of `eos_ids`.
    pub eos_count: u8,
    /// End-of-sequence token ids, ascending; the rest zero.
    pub eos_ids: [U32; MODEL_EOS_IDS],
}

impl ModelSpec {
    /// The model's identity: `SHA256("mythic/model/v1" ‖ the bytes of this structure)`.
    pub fn identity(&self) -> Hash {
        sha256(&[b"mythic/model/v1", bytemuck::bytes_of(self)])
    }

    /// The end-of-sequence ids in use.
    pub fn eos(&self) -> &[U32] {
        &self.eos_ids[..(self.eos_count as usize).min(MODEL_EOS_IDS)]
    }
}

/// A model that jobs can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Model {
    /// Status: [`ModelStatus`].
    pub header: Header,
    /// [`ModelSpec::identity`].
    pub identity: Hash,
    /// Key that may change prices, name and retirement.
    pub registrant: Key,
    /// Who paid the rent.
    pub rent_payer: Key,
    /// Name; free for anyone to choose, so never an identity.
    pub name: Text<MODEL_NAME_LEN>,
    /// Lamports per 1,000 prompt tokens.
    pub price_in: U32,
    /// Lamports per 1,000 output tokens.
    pub price_out: U32,
    /// Lamports burned at registration.
    pub fee_burned: U64,
    /// Slot of registration.
    pub registered_slot: U64,
    /// Slot of the last change.
    pub updated_slot: U64,
    /// Slot of retirement, 0 while active.
    pub retired_slot: U64,
    /// What never changes.
    pub spec: ModelSpec,
}
account!(Model, 3);

/// A model that a validator serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct ServedModel {
    /// Address of the [`Model`].
    pub model: Key,
    /// Slot since when.
    pub since_slot: U64,
}

/// A validator: stake, keys, what it serves and what it has earned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Validator {
    /// Status: [`ValidatorStatus`].
    pub header: Header,
    /// Cold key: stake, earnings, settings. It is the validator's name everywhere.
    pub authority: Key,
    /// Hot key: accepts, declines, submits, disputes.
    pub operator: Key,
    /// Who paid the rent.
    pub rent_payer: Key,
    /// Active stake.
    pub stake: U64,
    /// Added stake that does not count yet.
    pub activating: U64,
    /// Slot from which `activating` counts.
    pub activating_slot: U64,
    /// Stake on its way out; still slashable.
    pub unbonding: U64,
    /// Slot from which `unbonding` can be withdrawn.
    pub unbonding_slot: U64,
    /// Earned and not yet withdrawn.
    pub claimable: U64,
    /// Foundation's part of claimed fees, not yet swept.
    pub owed_foundation: U64,
    /// Part of claimed fees and slashes to burn, not yet swept.
    pub owed_burn: U64,
    /// Jobs accepted and not yet ended.
    pub open_jobs: U32,
    /// Disputes of this validator's results, and disputes or juries in which it has something at stake.
    pub open_disputes: U32,
    /// Jobs settled in its favour.
    pub jobs_settled: U64,
    /// Jobs that expired in its hands.
    pub jobs_missed: U64,
    /// Jobs it declined.
    pub jobs_declined: U64,
    /// Lamports earned in total.
    pub earned: U64,
    /// Lamports slashed in total.
    pub slashed: U64,
    /// Slot of registration.
    pub registered_slot: U64,
    /// Slot of the last change of settings or stake.
    pub updated_slot: U64,
    /// Slot from which a jailed validator may ask to be unjailed.
    pub jailed_until: U64,
    /// GPU memory, MiB; 0 = CPU only.
    pub vram_mib: U32,
    /// Name of the GPU, as the validator states it; empty = CPU only.
    pub gpu_name: Text<GPU_NAME_LEN>,
    /// URL at which gateways reach the node, as the validator states it: hostile.
    pub endpoint: Text<ENDPOINT_LEN>,
    /// Used part of `models`.
    pub model_count: u8,
    /// Models served; the rest zero.
    pub models: [ServedModel; VALIDATOR_MODELS],
}
account!(Validator, 4);

impl Validator {
    /// The models in use.
    pub fn served(&self) -> &[ServedModel] {
        &self.models[..(self.model_count as usize).min(VALIDATOR_MODELS)]
    }

    /// Slot since when it serves `model`, `None` if it does not.
    pub fn serves(&self, model: &Key) -> Option<u64> {
        self.served()
            .iter()
            .find(|served| served.model == *model)
            .map(|served| served.since_slot.get())
    }

    /// Stake that counts at `slot`: the active one and what has become active since the last write.
    pub fn active_stake(&self, slot: u64) -> u64 {
        match slot >= self.activating_slot.get() {
            true => self.stake.get().saturating_add(self.activating.get()),
            false => self.stake.get(),
        }
    }

    /// Stake that a slash counts: active, activating and unbonding.
    pub fn whole_stake(&self) -> u64 {
        self.stake
            .get()
            .saturating_add(self.activating.get())
            .saturating_add(self.unbonding.get())
    }

    /// Jobs that its active stake can back at `slot`.
    pub fn capacity(&self, slot: u64, rules: &Rules) -> u64 {
        self.active_stake(slot)
            .checked_div(rules.stake_per_job.get())
            .unwrap_or(0)
    }
}

/// A user's prepaid balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Vault {
    /// Status: 1.
    pub header: Header,
    /// Whose it is.
    pub owner: Key,
    /// Who paid the rent.
    pub rent_payer: Key,
    /// Lamports that can be spent or withdrawn.
    pub balance: U64,
    /// Lamports that open jobs hold; they lie in the jobs.
    pub held: U64,
    /// Jobs not yet ended.
    pub open_jobs: U32,
    /// Lamports deposited in total.
    pub deposited: U64,
    /// Lamports withdrawn in total.
    pub withdrawn: U64,
    /// Lamports paid for jobs in total.
    pub spent: U64,
    /// Slot of creation.
    pub created_slot: U64,
    /// Slot of the last change.
    pub updated_slot: U64,
}
account!(Vault, 5);

/// Leave for a delegate to spend from an owner's vault within limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct SpendGrant {
    /// Status: [`GrantStatus`].
    pub header: Header,
    /// Whose vault pays.
    pub owner: Key,
    /// Who may request jobs.
    pub delegate: Key,
    /// Who paid the rent.
    pub rent_payer: Key,
    /// Most lamports of one job.
    pub per_job_max: U64,
    /// Most lamports in one window.
    pub window_max: U64,
    /// Length of a window, slots.
    pub window_slots: U32,
    /// Start of the current window; the next one starts with the first job after its end.
    pub window_start: U64,
    /// Lamports spent and held in the current window.
    pub window_spent: U64,
    /// Most lamports ever.
    pub lifetime_cap: U64,
    /// Lamports spent and held ever.
    pub lifetime_spent: U64,
    /// Slot from which the grant is void.
    pub expiry_slot: U64,
    /// Jobs not yet ended.
    pub open_jobs: U32,
    /// Slot of creation.
    pub created_slot: U64,
    /// Slot of the last change.
    pub updated_slot: U64,
    /// Slot of revocation, 0 while active.
    pub revoked_slot: U64,
    /// Used part of `models`; 0 = every model.
    pub model_count: u8,
    /// Addresses of models that may be used; the rest zero.
    pub models: [Key; GRANT_MODELS],
}
account!(SpendGrant, 6);

impl SpendGrant {
    /// The models it names; none = every model is allowed.
    pub fn named_models(&self) -> &[Key] {
        &self.models[..(self.model_count as usize).min(GRANT_MODELS)]
    }

    /// Whether it covers `model`.
    pub fn allows(&self, model: &Key) -> bool {
        let named = self.named_models();
        named.is_empty() || named.contains(model)
    }
}

/// What requester and validator agreed on, in the order in which it is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Terms {
    /// Whose vault pays.
    pub owner: Key,
    /// Who signed the request: the owner or a delegate.
    pub requester: Key,
    /// Who may cancel beside owner and requester (the gateway); zero = nobody.
    pub canceller: Key,
    /// Expiry slot (8 bytes, little-endian) and 8 bytes that tell attempts apart.
    pub nonce: [u8; 16],
    /// Address of the [`Model`].
    pub model: Key,
    /// [`crate::hash::prompt_hash`].
    pub prompt_hash: Hash,
    /// Tokens of the prompt.
    pub prompt_tokens: U32,
    /// Most tokens of the output.
    pub max_output_tokens: U32,
    /// Lamports per 1,000 prompt tokens.
    pub price_in: U32,
    /// Lamports per 1,000 output tokens.
    pub price_out: U32,
    /// [`crate::hash::job_seed`] of the job and the requester's seed.
    pub seed: Hash,
    /// Temperature in thousandths; 0 = the largest logit.
    pub temperature_milli: U16,
    /// [`SamplingProfile`].
    pub sampling_profile: u8,
    /// [`crate::hash::stop_hash`]; zero = no stop strings.
    pub stop_hash: Hash,
    /// Base URL of the gateway that holds the prompt: hostile.
    pub prompt_source: Text<PROMPT_SOURCE_LEN>,
    /// Slots from the request to the deadline.
    pub deadline_slots: U32,
    /// The network's rules at the request.
    pub rules: Rules,
}

impl Terms {
    /// `SHA256("mythic/terms/v1" ‖ the terms in their order)`, the prompt source as a length byte and its text.
    pub fn hash(&self) -> Hash {
        let bytes = bytemuck::bytes_of(self);
        let source_end =
            core::mem::offset_of!(Terms, prompt_source) + 1 + self.prompt_source.bytes().len();
        let after = core::mem::offset_of!(Terms, deadline_slots);
        sha256(&[b"mythic/terms/v1", &bytes[..source_end], &bytes[after..]])
    }

    /// Most lamports that the job can cost.
    pub fn ceiling(&self) -> Result<u64, crate::error::MythicError> {
        self.price_of(self.max_output_tokens.get())
    }

    /// Lamports that `output_tokens` cost.
    pub fn price_of(&self, output_tokens: u32) -> Result<u64, crate::error::MythicError> {
        crate::money::price(
            self.prompt_tokens.get(),
            output_tokens,
            self.price_in.get(),
            self.price_out.get(),
        )
    }
}

/// A job from its request to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Job {
    /// Status: [`JobStatus`].
    pub header: Header,
    /// What was agreed.
    pub terms: Terms,
    /// [`Terms::hash`].
    pub terms_hash: Hash,
    /// Who paid the rent and gets it back.
    pub rent_payer: Key,
    /// Address of the [`SpendGrant`] it was requested under; zero = requested by the owner.
    pub grant: Key,
    /// Window of the grant that it counts in.
    pub grant_window_start: U64,
    /// Authority of the validator; zero while open.
    pub validator: Key,
    /// Slot of the request.
    pub requested_slot: U64,
    /// Slot of acceptance.
    pub accepted_slot: U64,
    /// Slot from which no result is taken.
    pub deadline_slot: U64,
    /// Slot in which a cancel was recorded.
    pub cancel_slot: U64,
    /// Slot of the result.
    pub submitted_slot: U64,
    /// Slot of the first challenge.
    pub disputed_slot: U64,
    /// Slot of the end.
    pub ended_slot: U64,
    /// [`EndReason`], 0 while it runs.
    pub end_reason: u8,
    /// [`FinishReason`], 0 before a result.
    pub finish_reason: u8,
    /// Disputes not yet resolved.
    pub open_disputes: U16,
    /// Tokens of the output.
    pub output_tokens: U32,
    /// [`crate::hash::output_root`].
    pub output_root: Hash,
    /// [`crate::hash::fingerprint`].
    pub fingerprint: Hash,
    /// Most lamports it can cost; lies in this account until the end.
    pub ceiling: U64,
    /// Lamports that lie in this account for it: the ceiling, then 0.
    pub escrow: U64,
    /// Fee, at the end.
    pub fee: U64,
    /// Validator's part of the fee.
    pub validator_amount: U64,
    /// Foundation's part of the fee.
    pub foundation_amount: U64,
    /// Burned part of the fee.
    pub burned_amount: U64,
    /// Lamports that went back to the vault.
    pub refunded_amount: U64,
    /// Lamports of stake slashed for it.
    pub slashed_amount: U64,
}
account!(Job, 7);

impl Job {
    /// The status; `None` for a byte that is not listed.
    pub fn status(&self) -> Option<JobStatus> {
        JobStatus::from_u8(self.header.status)
    }

    /// End of the challenge window, `None` before a result.
    pub fn window_end(&self) -> Option<u64> {
        match self.submitted_slot.get() {
            0 => None,
            slot => Some(crate::window::challenge_end(slot, &self.terms.rules)),
        }
    }

    /// Slot from which no result is taken, a recorded cancel considered.
    pub fn submit_end(&self) -> u64 {
        crate::window::submit_end(
            self.deadline_slot.get(),
            self.cancel_slot.get(),
            &self.terms.rules,
        )
    }
}

/// One leaf of the fingerprint that was opened under a dispute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct OpenedLeaf {
    /// 1 once it was shown.
    pub present: u8,
    /// Position in the output.
    pub position: U32,
    /// Token at it.
    pub token: U32,
    /// The four ids with the largest logits.
    pub ids: [U32; 4],
    /// Their logits, Q16.16.
    pub logits: [I32; 4],
}

impl OpenedLeaf {
    /// Fills in a leaf that was shown.
    pub fn show(&mut self, leaf: &Leaf) {
        self.present = 1;
        self.position.set(leaf.position);
        self.token.set(leaf.token);
        for (i, (id, logit)) in leaf.top4.iter().enumerate() {
            self.ids[i].set(*id);
            self.logits[i].set(*logit);
        }
    }

    /// The logits that were submitted, largest first.
    pub fn given(&self) -> [i32; 4] {
        self.logits.map(I32::get)
    }
}

/// One seat of a jury.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct JurySeat {
    /// Authority of the juror; zero = not taken.
    pub juror: Key,
    /// Rank of the juror at this seat, Q16.16.
    pub rank: I32,
    /// Hash of the slot that draws this seat; zero = not used yet.
    pub slot_hash: Hash,
    /// [`crate::hash::juror_commitment`].
    pub commitment: Hash,
    /// Slot of the commitment.
    pub committed_slot: U64,
    /// Slot of the reveal, 0 = none.
    pub revealed_slot: U64,
    /// 1 once the amount of this seat was collected.
    pub collected: u8,
    /// 1 if its vector shows fraud.
    pub fraud: u8,
    /// Bit per seat that shows fraud too and whose vector agrees with this one, itself included.
    pub agrees: U16,
    /// Per checked position, logits at the four ids and the juror's own fourth-largest, Q16.16.
    pub vector: [[I32; 5]; CHECKED_POSITIONS],
    /// Lamports due to the juror.
    pub reward: U64,
    /// Lamports that the juror loses; once collected, those that it lost.
    pub penalty: U64,
}

impl JurySeat {
    /// Whether somebody sits here.
    pub fn is_taken(&self) -> bool {
        self.juror != NO_KEY
    }

    /// Whether its juror has shown its vector.
    pub fn is_revealed(&self) -> bool {
        self.revealed_slot.get() != 0
    }

    /// Whether something is left to collect.
    pub fn is_due(&self) -> bool {
        self.collected == 0 && (self.reward.get() != 0 || self.penalty.get() != 0)
    }
}

/// A challenge of a job's result, or the record of a proven fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Dispute {
    /// Status: [`DisputeStatus`].
    pub header: Header,
    /// Address of the [`Job`].
    pub job: Key,
    /// Address of the [`Model`].
    pub model: Key,
    /// Authority of the challenger, or of who proved the fault.
    pub challenger: Key,
    /// Authority of the validator that submitted.
    pub submitter: Key,
    /// Who paid the rent.
    pub rent_payer: Key,
    /// Result that is challenged.
    pub fingerprint: Hash,
    /// Slot of the job's request: jurors supported the model before it.
    pub requested_slot: U64,
    /// Slot of the result.
    pub submitted_slot: U64,
    /// Slot of the challenge.
    pub challenged_slot: U64,
    /// Slot in which openings and output were complete.
    pub completed_slot: U64,
    /// Slot of the end.
    pub resolved_slot: U64,
    /// [`Verdict`], 0 while undecided.
    pub verdict: u8,
    /// [`Ground`], 0 while undecided.
    pub ground: u8,
    /// Seats of the jury.
    pub jury_seats: u8,
    /// Sampled positions.
    pub sampled: u8,
    /// Positions named by the challenger, behind the sampled ones.
    pub named: u8,
    /// Leaves shown.
    pub opened: u8,
    /// 1 if the model's kernel profile is exact.
    pub exact: u8,
    /// [`FinishReason`] of the result.
    pub finish_reason: u8,
    /// Tokens of the output.
    pub output_tokens: U32,
    /// Slots in which jurors commit.
    pub commit_slots: U16,
    /// Threshold τ₁ of the model, parts per million.
    pub error_ppm: U32,
    /// Threshold τ₃ of the model, parts per million.
    pub miss_ppm: U32,
    /// Used part of `eos_ids`.
    pub eos_count: u8,
    /// End-of-sequence ids of the model.
    pub eos_ids: [U32; MODEL_EOS_IDS],
    /// The job's rules.
    pub rules: Rules,
    /// Slot hashes that draw the sample.
    pub sample_hashes: [Hash; 4],
    /// Leaves of the checked positions.
    pub leaves: [OpenedLeaf; CHECKED_POSITIONS],
    /// The jury.
    pub seats: [JurySeat; MAX_JURY_SEATS],
    /// Lamports of the bond, as paid: the stake, the answering fee and the tariff of every seat.
    pub bond: U64,
    /// Part of the bond that is burned if the result was good.
    pub at_stake: U64,
    /// Part of the bond for the submitter's answer.
    pub answering_fee: U64,
    /// Part of the bond for each seat.
    pub tariff: U64,
    /// Lamports that lie here for somebody: the bond, then what is due and not collected.
    pub held: U64,
    /// Lamports prepaid here for the rent of the posted output.
    pub output_rent: U64,
    /// Lamports slashed.
    pub slashed_amount: U64,
    /// Lamports due to the challenger.
    pub challenger_amount: U64,
    /// 1 once the challenger's amount was collected.
    pub challenger_collected: u8,
    /// Lamports due to all jurors together.
    pub jurors_amount: U64,
    /// Lamports paid to the submitter for answering.
    pub submitter_amount: U64,
    /// Lamports of bond or slash that were burned.
    pub burned_amount: U64,
    /// Lamports that jurors lost, as far as collected; burned.
    pub penalties_amount: U64,
}
account!(Dispute, 8);

impl Dispute {
    /// The status; `None` for a byte that is not listed.
    pub fn status(&self) -> Option<DisputeStatus> {
        DisputeStatus::from_u8(self.header.status)
    }

    /// Checked positions: sampled and named.
    pub fn checked(&self) -> usize {
        usize::from(self.sampled)
            .saturating_add(usize::from(self.named))
            .min(CHECKED_POSITIONS)
    }

    /// Leaves of the checked positions, sampled ones first.
    pub fn checked_leaves(&self) -> &[OpenedLeaf] {
        &self.leaves[..self.checked()]
    }

    /// [`crate::hash::positions_hash`] of the checked positions, which jurors name.
    pub fn positions_hash(&self) -> Hash {
        let mut positions = [U32::new(0); CHECKED_POSITIONS];
        for (out, leaf) in positions.iter_mut().zip(self.checked_leaves()) {
            *out = leaf.position;
        }
        crate::hash::positions_hash(&positions[..self.checked()])
    }

    /// The seats in use.
    pub fn jury(&self) -> &[JurySeat] {
        &self.seats[..usize::from(self.jury_seats).min(MAX_JURY_SEATS)]
    }

    /// The model's end-of-sequence ids.
    pub fn eos(&self) -> &[U32] {
        &self.eos_ids[..usize::from(self.eos_count).min(MODEL_EOS_IDS)]
    }

    /// How vectors are compared; `None` where there is no jury.
    pub fn rule(&self) -> Option<Rule> {
        match (self.exact, self.error_ppm.get()) {
            (0, 0) => None,
            (0, tau1_ppm) => Some(Rule::Calibrated {
                tau1_ppm,
                tau3_ppm: self.miss_ppm.get(),
            }),
            _ => Some(Rule::Exact),
        }
    }

    /// End of the time for openings and output.
    pub fn openings_end(&self) -> u64 {
        crate::window::openings_end(self.challenged_slot.get(), &self.rules)
    }

    /// Slot whose hash draws seat 0.
    pub fn jury_slot(&self) -> u64 {
        crate::window::jury_slot(self.completed_slot.get())
    }

    /// Slot from which jurors commit.
    pub fn commit_start(&self) -> u64 {
        crate::window::commit_start(self.completed_slot.get(), self.jury_seats)
    }

    /// Slot from which jurors commit no more, and reveal.
    pub fn commit_end(&self) -> u64 {
        self.commit_start()
            .saturating_add(u64::from(self.commit_slots.get()))
    }

    /// Slot from which jurors reveal no more.
    pub fn reveal_end(&self) -> u64 {
        self.commit_end()
            .saturating_add(u64::from(self.rules.reveal_slots.get()))
    }

    /// Whether everybody who sits on the jury has revealed.
    pub fn all_revealed(&self) -> bool {
        let mut seats = self.jury().iter();
        seats.all(|seat| !seat.is_taken() || seat.is_revealed())
    }

    /// Slot from which it can be resolved if nothing else happens; `None` once it is.
    pub fn due_slot(&self) -> Option<u64> {
        match self.status()? {
            DisputeStatus::Openings => Some(self.openings_end()),
            DisputeStatus::Jury if self.rule().is_none() => Some(self.completed_slot.get()),
            DisputeStatus::Jury if self.all_revealed() => Some(self.commit_end()),
            DisputeStatus::Jury => Some(self.reveal_end()),
            DisputeStatus::Resolved => None,
        }
    }

    /// Slot from which it can be closed, once it is resolved and everything collected.
    pub fn retention_end(&self) -> u64 {
        self.resolved_slot
            .get()
            .saturating_add(u64::from(self.rules.close_delay_slots.get()))
    }

    /// Whether everybody has collected what is due.
    pub fn all_collected(&self) -> bool {
        self.challenger_collected != 0 && !self.jury().iter().any(JurySeat::is_due)
    }
}

/// A page of output posted under a dispute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Output {
    /// Status: 1.
    pub header: Header,
    /// Address of the [`Job`].
    pub job: Key,
    /// Who paid the rent.
    pub rent_payer: Key,
    /// Fingerprint that the output belongs to.
    pub fingerprint: Hash,
    /// Slot of the last posting.
    pub updated_slot: U64,
    /// Page number from 0.
    pub page: U32,
    /// Token ids of the page once it is complete.
    pub count: U32,
    /// Bit per posted chunk of 128 ids.
    pub chunks: U16,
    /// On page 0: chunks posted on all pages.
    pub posted: U32,
    /// On page 0: slot in which every page was complete.
    pub completed_slot: U64,
    /// Token ids.
    pub tokens: [U32; OUTPUT_PAGE_TOKENS],
}
account!(Output, 9);

impl Output {
    /// The token at a position of the output, `None` if it is on another page or not posted.
    pub fn token(&self, position: u32) -> Option<u32> {
        let page_tokens = OUTPUT_PAGE_TOKENS as u32;
        if position / page_tokens != self.page.get() {
            return None;
        }
        let at = position % page_tokens;
        let chunk = at / OUTPUT_CHUNK as u32;
        if (self.chunks.get() >> chunk) & 1 == 0 {
            return None;
        }
        self.tokens.get(at as usize).map(|token| token.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            Dispute::LEN,
            Output::LEN,
        ];
        assert_eq!(found, FROZEN);
        assert!(
            found.iter().all(|len| *len <= 10_240),
            "one instruction can create it"
        );
    }

    const FROZEN: [usize; 9] = [270, 80, 356, 719, 140, 329, 786, 8_788, 8_334];

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
