//! The newest rooted writes of accounts.

use std::collections::HashMap;

use mythic_interface::state::Key;

use crate::projection::{Print, Prints};

/// The newest rooted write of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootedPrint {
    pub slot: i64,
    pub ordinal: i32,
    pub print: Print,
}

/// The newest rooted writes of the accounts that a batch changes.
#[derive(Clone, Debug, Default)]
pub struct Known(HashMap<Key, RootedPrint>);

impl Known {
    /// Learns of a write; the newest counts.
    pub fn learn(&mut self, key: Key, write: RootedPrint) {
        let newer = |old: &RootedPrint| (write.slot, write.ordinal) > (old.slot, old.ordinal);
        if self.0.get(&key).is_none_or(newer) {
            self.0.insert(key, write);
        }
    }

    pub fn get(&self, key: &Key) -> Option<&RootedPrint> {
        self.0.get(key)
    }

    /// The writes alone.
    pub fn into_prints(self) -> Prints {
        let all = self.0.into_iter();
        all.map(|(key, write)| (key, write.print)).collect()
    }
}

impl IntoIterator for Known {
    type Item = (Key, RootedPrint);
    type IntoIter = std::collections::hash_map::IntoIter<Key, RootedPrint>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
