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

#[cfg(test)]
mod tests {
    use crate::entity::Entity;
    use crate::{Account, Before, Print, project_bank};

    #[test]
    fn what_closes_an_account_that_could_not_be_read_is_not_exact() {
        let gone = Account {
            pubkey: [1; 32],
            owner: [0; 32],
            lamports: 0,
            data: Default::default(),
            signature: None,
            write_version: 1,
            slot: 9,
        };
        let exact = |print: &Print| {
            let before = |_: &_| Before {
                print: Some(print),
                certain: true,
            };
            let changes = project_bank(9, std::slice::from_ref(&gone), &Default::default(), before);
            let mut rows = changes.rows.iter();
            rows.find(|row| row.entity == Entity::Closure)
                .map(|row| row.exact)
        };
        assert_eq!(exact(&Print::Unreadable("cut".into())), Some(false));
        let read = Print::Readable {
            entity: Entity::Job,
            seq: 3,
            lamports: 5,
        };
        assert_eq!(exact(&read), Some(true));
    }
}
