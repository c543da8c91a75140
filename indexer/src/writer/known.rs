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
        let remembered = &mut self.rooted.0;
        let unasked = |account: &Account| {
            let asked = remembered.get(&account.pubkey).map_or(0, |read| read.asked);
            prints::asked_of(account) & !asked != 0
        };
        let asked: Vec<&Account> = accounts.iter().copied().filter(|a| unasked(a)).collect();
        let found = prints::rooted(&mut self.session, &self.schema, &asked).await?;
        for account in asked {
            let read = remembered.entry(account.pubkey).or_default();
            read.asked |= prints::asked_of(account);
        }
        for (key, write) in found {
            remembered.entry(key).or_default().learn(write);
        }
        let mut known = Known::default();
        for account in accounts {
            let read = self.rooted.0.get(&account.pubkey);
            if let Some(write) = read.and_then(|read| read.write.as_ref()) {
                known.learn(account.pubkey, write.clone());
            }
        }
        Ok(known)
    }
}
