//! The foundation's balance in the market.

use mythic_interface::market::state::MarketTreasury;
use mythic_interface::state::Key;

use crate::entity::table;
use crate::fields::amount;
use crate::{Account, At, Projected, Reject};

table! {
    /// The treasury. Amounts in lamports.
    MarketTreasury: MarketTreasuryRow = "market_treasury" ["pubkey"] {
        pubkey: Key,
        balance_lamports: i64,
        withdrawn_lamports: i64,
        received_lamports: i64,
        lamports: i64,
    }
}

impl Projected {
    pub(super) fn market_treasury(
        &mut self,
        account: &Account,
        at: At,
        t: &MarketTreasury,
        lamports: i64,
    ) -> Result<(), Reject> {
        let row = MarketTreasuryRow {
            pubkey: account.pubkey,
            balance_lamports: amount("balance", t.balance.get())?,
            withdrawn_lamports: amount("withdrawn", t.withdrawn.get())?,
            received_lamports: amount("received", t.received.get())?,
            lamports,
        };
        self.row(account, at, amount("seq", t.header.seq.get())?, row);
        Ok(())
    }
}
