//! A job: what was agreed, and how it went.

use super::*;
use crate::hash::{domain, sha256};
use crate::le::{Text, U16, U32};
use crate::leaf::{Leaf, LeafFault, check_leaf, check_unreplayed};
use crate::params::Rules;
use crate::sampler::Sampling;

byte_enum! {
    /// `header.status` of [`Job`]. From `Settled` on it is final.
    JobStatus {
        /// Paid for, no validator yet.
        Open = 1 "open",
        /// A validator works on it.
        Accepted = 2 "accepted",
        /// A result is there; the window runs or waits for its claim.
        Submitted = 3 "submitted",
        /// There is a case about the result, which ends the job.
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
        /// Nobody opened a case in the window.
        Claimed = 1 "claimed",
        /// Cancelled before a validator took it.
        Cancelled = 2 "cancelled",
        /// Declined by its validator.
        Declined = 3 "declined",
        /// No result in time.
        Expired = 4 "expired",
        /// A jury found the result good.
        NotGuilty = 5 "not_guilty",
        /// Its case came to no verdict.
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
    /// How tokens are chosen: `Terms::sampling_profile`.
    SamplingProfile {
        /// Gumbel-max over the four largest logits, from the job's seed.
        SeededTop4 = 1 "seeded-top4",
        /// By the job's options over all logits, in integers, from its seed. Only of a model whose arithmetic is exact.
        SeededFull = 2 "seeded-full",
    }
}

impl SamplingProfile {
    /// Whether the four logits of a leaf replay the choice. What they don't replay, only who computes the same bits can judge.
    pub const fn is_replayed(self) -> bool {
        matches!(self, Self::SeededTop4)
    }
}

impl JobStatus {
    /// Whether the job can change no more.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Settled | Self::Refunded | Self::Slashed)
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
    /// Sampling profile 1: [`crate::hash::stop_hash`]; 2: [`crate::hash::options_hash`]; zero = no stop strings and no options.
    pub options_hash: Hash,
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
        sha256(&[domain::TERMS, &bytes[..source_end], &bytes[after..]])
    }

    /// The sampler that the four logits of a leaf replay; `None` under a profile whose choice needs more than they show.
    pub fn replay(&self) -> Option<Sampling> {
        let profile = SamplingProfile::from_u8(self.sampling_profile);
        match profile.is_some_and(|profile| !profile.is_replayed()) {
            true => None,
            false => Some(Sampling {
                seed: self.seed,
                temperature_milli: self.temperature_milli.get(),
            }),
        }
    }

    /// Checks what each leaf of an answer must satisfy whatever the model.
    pub fn check_leaf(&self, leaf: &Leaf) -> Result<(), LeafFault> {
        match self.replay() {
            Some(sampling) => check_leaf(leaf, &sampling),
            None => check_unreplayed(leaf),
        }
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
    /// Slot in which its case was opened.
    pub case_slot: U64,
    /// Slot of the end.
    pub ended_slot: U64,
    /// 1 if it was requested without a validator, and whoever took it chose it.
    pub open: u8,
    /// [`EndReason`], 0 while it runs.
    pub end_reason: u8,
    /// [`FinishReason`], 0 before a result.
    pub finish_reason: u8,
    /// Tokens of the output.
    pub output_tokens: U32,
    /// [`crate::output::output_root`].
    pub output_root: Hash,
    /// [`crate::hash::fingerprint`].
    pub fingerprint: Hash,
    /// Stake of the validator in the slot of the result, active and unbonding: what a bond against it is computed on.
    pub stake_at_result: U64,
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
    /// Lamports of stake that its validator lost because it took an open job and stayed silent; burned.
    pub no_show_amount: U64,
}
account!(Job, 7);

impl Job {
    /// The status; `None` for a byte that is not listed.
    pub fn status(&self) -> Option<JobStatus> {
        JobStatus::from_u8(self.header.status)
    }

    /// Fee of the result: the price of what was submitted, at most the ceiling.
    pub fn due_fee(&self) -> Result<u64, crate::error::MythicError> {
        let price = self.terms.price_of(self.output_tokens.get())?;
        Ok(price.min(self.ceiling.get()))
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
        let (deadline, cancelled) = (self.deadline_slot.get(), self.cancel_slot.get());
        if cancelled == 0 {
            return deadline;
        }
        let (tokens, rules) = (self.terms.prompt_tokens.get(), &self.terms.rules);
        crate::window::submit_end(deadline, cancelled, tokens, rules)
    }

    /// Slot from which whoever accepted it does not give it up for nothing.
    pub fn decline_end(&self) -> u64 {
        let grace = u64::from(self.terms.rules.cancel_grace_slots.get());
        self.accepted_slot.get().saturating_add(grace)
    }

    /// Whether a cancel came so soon after acceptance that silence is no fault: later ones forgive nothing.
    pub fn is_excused(&self) -> bool {
        let cancelled = self.cancel_slot.get();
        cancelled != 0 && crate::window::open(cancelled, self.decline_end())
    }
}
