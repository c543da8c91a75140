//! What is remembered of the newest rooted writes.

use std::collections::HashMap;

use crate::plan::{Known, RootedPrint};
use mythic_interface::state::Key;

/// Accounts that are remembered; beyond it all are forgotten, and read again as they come.
pub(super) const REMEMBERED: usize = 1 << 18;

/// What the tables say of an account.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// Tables that were asked.
    pub asked: u32,
    pub write: Option<RootedPrint>,
}

impl Read {
    /// Learns of a write; the newest counts.
    pub fn learn(&mut self, write: RootedPrint) {
        let newer = |old: &RootedPrint| (write.slot, write.ordinal) > (old.slot, old.ordinal);
        if self.write.as_ref().is_none_or(newer) {
            self.write = Some(write);
        }
    }
}

/// What the tables say of accounts, as far as it is remembered.
#[derive(Debug, Default)]
pub(super) struct Rooted(pub(super) HashMap<Key, Read>);

impl Rooted {
    /// A transaction is committed that found or rooted these writes. An account that is not remembered stays so: what the tables
    /// have of it may be newer than a bank that was rooted late.
    pub fn learn(&mut self, known: Known) {
        for (key, write) in known {
            if let Some(read) = self.0.get_mut(&key) {
                read.learn(write);
            }
        }
    }

    /// Tables were changed otherwise than by rooting.
    pub fn forget(&mut self) {
        self.0 = HashMap::new();
    }
}
