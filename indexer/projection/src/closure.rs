//! Accounts that exist no more: no lamports, or another owner.

use mythic_interface::state::Key;
use serde_json::json;

use super::{Account, At, Projected, fields::base58};
use crate::entity::table;
use crate::feed::Topic;

table! {
    /// The account exists no more. Every closing is kept: an address may be used again.
    Closure: ClosureRow = "closure" ["pubkey", "slot"] {
        pubkey: Key,
    }
}

impl Projected {
    pub(super) fn closure(&mut self, account: &Account, at: At) {
        let pubkey = account.pubkey;
        self.row(account, at, 0, ClosureRow { pubkey });
        self.announce(
            Topic::Network,
            account,
            at,
            || json!({"object": "closure", "id": base58(&pubkey), "slot": at.slot}),
        );
    }
}
