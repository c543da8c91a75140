//! The transactions that first showed what happened to requests, leases and disputes.

use mythic_interface::state::Key;

use super::Step;
use crate::entity::table;
use crate::{Account, At, Projected};

table! {
    /// The transaction that first showed a step, in the slot in which it was taken.
    LeaseSignature: LeaseSignatureRow = "lease_signature" ["pubkey", "slot", "step"] {
        pubkey: Key,
        step: i16,
        signature: [u8; 64],
    }
}

impl Projected {
    /// Notes which transaction took these steps.
    pub(super) fn signed(&mut self, account: &Account, at: At, write_seq: i64, steps: &[Step]) {
        let Some(signature) = account.signature else {
            return;
        };
        for step in steps {
            let row = LeaseSignatureRow {
                pubkey: account.pubkey,
                step: *step as i16,
                signature,
            };
            self.row(account, at, write_seq, row);
        }
    }
}
