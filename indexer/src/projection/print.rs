//! What the newest write of an account was, as far as it matters to the next: an update that changes nothing is told by it.

use std::collections::HashMap;

use mythic_interface::state::Key;

use super::{Account, Projected, Reject};
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

/// The newest writes of many accounts.
pub type Prints = HashMap<Key, Print>;

/// What is known of an account before an update.
#[derive(Clone, Copy, Debug, Default)]
pub struct Before<'a> {
    pub print: Option<&'a Print>,
    /// Every bank between that write and the update was seen whole.
    pub certain: bool,
}

impl Print {
    pub(super) fn of(account: &Account, projected: &Result<Projected, Reject>) -> Self {
        let projected = match projected {
            Ok(projected) => projected,
            Err(reason) => return Self::Unreadable(reason.to_string()),
        };
        let state = projected.rows.iter().find(|row| row.entity.is_account());
        state.map_or(Self::Closed, |row| Self::Readable {
            entity: row.entity,
            seq: row.write_seq,
            lamports: account.lamports,
        })
    }
}
