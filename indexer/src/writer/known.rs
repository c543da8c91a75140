//! The newest rooted writes of accounts that were asked for lately, so that each is read from the tables once.

use std::collections::HashMap;

use super::Writer;
use crate::error::IndexerError;
use crate::holder::Input;
use crate::plan::{Known, RootedPrint};
use crate::projection::Account;
use crate::state::prints;
use mythic_interface::state::Key;

/// Accounts that are remembered; beyond it all are forgotten, and read again as they come.
const REMEMBERED: usize = 1 << 18;

/// What the tables say of accounts, as far as it is remembered.
#[derive(Debug, Default)]
pub(super) struct Rooted(HashMap<Key, Option<RootedPrint>>);

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

impl Writer {
    /// The newest rooted writes of the accounts that the inputs change.
    pub(super) async fn known(&mut self, inputs: &[(i64, Input)]) -> Result<Known, IndexerError> {
        let accounts = inputs.iter().filter_map(|(_, input)| match input {
            Input::Bank(bank) => Some(&bank.accounts),
            _ => None,
        });
        let accounts: Vec<&Account> = accounts.flatten().collect();
        if self.rooted.0.len() + accounts.len() > REMEMBERED {
            self.rooted.forget();
        }
        let asked: Vec<&Account> = accounts
            .iter()
            .copied()
            .filter(|account| !self.rooted.0.contains_key(&account.pubkey))
            .collect();
        let read = prints::rooted(&mut self.session, &self.schema, &asked).await?;
        let remembered = &mut self.rooted.0;
        remembered.extend(asked.iter().map(|account| (account.pubkey, None)));
        remembered.extend(read.into_iter().map(|(key, write)| (key, Some(write))));
        let mut known = Known::default();
        for account in accounts {
            if let Some(Some(write)) = remembered.get(&account.pubkey) {
                known.learn(account.pubkey, write.clone());
            }
        }
        Ok(known)
    }
}
