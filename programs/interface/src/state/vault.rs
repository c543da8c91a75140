//! A user's prepaid balance, and leave for a delegate to spend from it.

use super::*;
use crate::le::U32;

byte_enum! {
    /// `header.status` of [`SpendGrant`].
    GrantStatus {
        /// The delegate may spend until expiry.
        Active = 1 "active",
        /// The delegate may not spend.
        Revoked = 2 "revoked",
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
