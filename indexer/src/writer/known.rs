//! The newest rooted writes of accounts that were asked for lately, so that each is read from the tables once.

use super::{Writer, rooted::REMEMBERED};
use crate::error::IndexerError;
use crate::holder::Input;
use crate::plan::Known;
use crate::projection::Account;
use crate::state::prints;

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
