//! Accounts whose content can't be read: what is known of them is older.

use mythic_interface::state::Key;

use super::{Account, At, Projected};
use crate::entity::table;

table! {
    /// The content of an account could not be read; without a reason, it can be read again.
    Unreadable: UnreadableRow = "unreadable" ["pubkey"] {
        pubkey: Key,
        reason: Option<String>,
    }
}

impl Projected {
    pub fn unreadable(&mut self, account: &Account, at: At, reason: Option<String>) {
        let pubkey = account.pubkey;
        self.row(account, at, 0, UnreadableRow { pubkey, reason });
    }
}
