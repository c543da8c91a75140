//! What the newest write of an account was, as far as it matters to the next: an update that changes nothing is told by it.

use std::collections::HashMap;

use mythic_interface::state::Key;

use crate::entity::Entity;

/// The newest write of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Print {
    Closed,
    Readable {
        entity: Entity,
        /// The account's own write counter: the program raises it with every change.
        seq: i64,
        lamports: u64,
    },
    /// With the reason why.
    Unreadable(String),
}

impl Print {
    /// Whether both are the same write of the program: only the lamports may differ.
    pub(crate) fn is_same_write(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Readable { entity, seq, .. },
                Self::Readable {
                    entity: other_entity,
                    seq: other_seq,
                    ..
                },
            ) => (entity, seq) == (other_entity, other_seq),
            _ => false,
        }
    }
}

/// The newest writes of many accounts.
pub type Prints = HashMap<Key, Print>;

/// What is known of an account before an update.
#[derive(Clone, Copy, Debug, Default)]
pub struct Before<'a> {
    pub print: Option<&'a Print>,
    /// Every bank between that write and the update was seen whole.
    pub certain: bool,
}
