//! What is remembered of the newest rooted writes.

use std::collections::HashMap;

use crate::plan::{Known, RootedPrint};
use mythic_interface::state::Key;

/// Accounts that are remembered; beyond it all are forgotten, and read again as they come.
pub(super) const REMEMBERED: usize = 1 << 18;

/// What the tables say of accounts, as far as it is remembered.
#[derive(Debug, Default)]
pub(super) struct Rooted(pub(super) HashMap<Key, Option<RootedPrint>>);

impl Rooted {
    /// A transaction is committed that found or rooted these writes. An account that is not remembered stays so: what the tables
    /// have of it may be newer than a bank that was rooted late.
    pub fn learn(&mut self, known: Known) {
        for (key, write) in known {
            if let Some(print) = self.0.get_mut(&key) {
                let newer =
                    |old: &RootedPrint| (write.slot, write.ordinal) > (old.slot, old.ordinal);
                if print.as_ref().is_none_or(newer) {
                    *print = Some(write);
                }
            }
        }
    }

    /// Tables were changed otherwise than by rooting.
    pub fn forget(&mut self) {
        self.0 = HashMap::new();
    }
}
