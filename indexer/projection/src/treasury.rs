//! The foundation's balance.

use mythic_interface::state::{Key, Treasury};

use super::{Account, At, Projected, Reject, fields::amount};
use crate::entity::table;

table! {
    /// The treasury. Amounts in lamports.
    Treasury: TreasuryRow = "treasury" ["pubkey"] {
        pubkey: Key,
        balance: i64,
        withdrawn: i64,
        received: i64,
        lamports: i64,
    }
}

impl Projected {
    pub(super) fn treasury(
        &mut self,
        account: &Account,
        at: At,
        t: &Treasury,
        lamports: i64,
    ) -> Result<(), Reject> {
        let row = TreasuryRow {
            pubkey: account.pubkey,
            balance: amount("balance", t.balance.get())?,
            withdrawn: amount("withdrawn", t.withdrawn.get())?,
            received: amount("received", t.received.get())?,
            lamports,
        };
        self.row(account, at, amount("seq", t.header.seq.get())?, row);
        Ok(())
    }
}
