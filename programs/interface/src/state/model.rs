//! A model: what never changes about it, and what its registrant may change.

use super::*;
use crate::hash::{domain, sha256};
use crate::le::{Text, U16, U32};

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
    /// Arithmetic of a model's logits: `ModelSpec::kernel_profile`.
    KernelProfile {
        /// candle on a CPU: calibrated, not exact.
        CpuCandle = 1 "cpu-candle",
        /// int8 activations on a CPU: every implementation gives equal bits. (2 was the same with
        /// other orders of attention's and norms' sums; no network used it.)
        CpuWA8 = 3 "cpu-w-a8",
    }
}

impl KernelProfile {
    /// Whether two honest runs give equal bits.
    pub const fn is_exact(self) -> bool {
        matches!(self, Self::CpuWA8)
    }
}

/// The immutable part of a model; with who registered it, it gives the model's identity.
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
    /// The model's identity: `SHA256("mythic/model/v2" ‖ who registered it ‖ the bytes of this structure)`. Nobody can
    /// take another's place by registering a file first.
    pub fn identity(&self, creator: &Key) -> Hash {
        sha256(&[domain::MODEL, creator, bytemuck::bytes_of(self)])
    }

    /// Whether two honest runs give equal bits; not of a profile that is not listed.
    pub fn is_exact(&self) -> bool {
        let profile = u8::try_from(self.kernel_profile.get()).ok();
        let profile = profile.and_then(KernelProfile::from_u8);
        profile.is_some_and(KernelProfile::is_exact)
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
    /// Key that registered it: a part of the identity.
    pub creator: Key,
    /// Key that may change prices, name and retirement: the creator, until it hands over.
    pub registrant: Key,
    /// Key that may take over as registrant.
    pub pending_registrant: Key,
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
