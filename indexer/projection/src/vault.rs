//! Prepaid balances of users.

use mythic_interface::state::{Key, Vault};

use super::{Account, At, Projected, Reject, fields::amount};
use crate::entity::table;

table! {
    /// A vault. Amounts in lamports.
    Vault: VaultRow = "vault" ["pubkey"] {
        pubkey: Key,
        owner: Key,
        rent_payer: Key,
        balance: i64,
        held: i64,
        open_jobs: i64,
        deposited: i64,
        withdrawn: i64,
        spent: i64,
        created_slot: i64,
        lamports: i64,
    }
}

impl Projected {
    pub(super) fn vault(
        &mut self,
        account: &Account,
        at: At,
        v: &Vault,
        lamports: i64,
    ) -> Result<(), Reject> {
        let row = VaultRow {
            pubkey: account.pubkey,
            owner: v.owner,
            rent_payer: v.rent_payer,
            balance: amount("balance", v.balance.get())?,
            held: amount("held", v.held.get())?,
            open_jobs: v.open_jobs.get().into(),
            deposited: amount("deposited", v.deposited.get())?,
            withdrawn: amount("withdrawn", v.withdrawn.get())?,
            spent: amount("spent", v.spent.get())?,
            created_slot: amount("created_slot", v.created_slot.get())?,
            lamports,
        };
        self.row(account, at, amount("seq", v.header.seq.get())?, row);
        Ok(())
    }
}
