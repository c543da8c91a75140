//! Compares the chain's accounts at a finalized slot with the index's rows. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};

use mythic_client::account::{ProgramAccount, decode};
use mythic_interface::state::{
    Case, Job, JobStatus, Model, Output, SpendGrant, Treasury, Validator, Vault, Votes,
};
use serde::Serialize;
use solana_pubkey::Pubkey;

/// Kinds of accounts that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Foundation's balance.
    Treasury,
    /// Models; they store nothing.
    Model,
    /// Stake, earnings and dues.
    Validator,
    /// Users' balances.
    Vault,
    /// Grants; they store nothing.
    Grant,
    /// What jobs hold until their end.
    Job,
    /// Bonds, slashed stake until it is collected, prepaid rent.
    Case,
    /// What juries revealed; they store nothing.
    Votes,
    /// Posted output; it stores nothing.
    Output,
}

/// An account as the chain has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainAccount {
    /// Address.
    pub pubkey: Pubkey,
    /// Kind.
    pub kind: Kind,
    /// The account's own write counter.
    pub seq: u64,
    /// Lamports it holds.
    pub lamports: u64,
    /// Lamports it says it holds for somebody.
    pub stored: u64,
    /// Length of its data, bytes.
    pub bytes: usize,
}

impl ChainAccount {
    /// Reads a program account; `None` for kinds that are not compared and for what does not decode.
    pub fn read(pubkey: Pubkey, account: &solana_account::Account) -> Option<Self> {
        fn load<T: ProgramAccount>(
            pubkey: &Pubkey,
            account: &solana_account::Account,
        ) -> Option<T> {
            decode(pubkey, account).ok()
        }
        let sum = |amounts: &[u64]| {
            amounts
                .iter()
                .fold(0u64, |sum, amount| sum.saturating_add(*amount))
        };
        let (kind, seq, stored) = match *account.data.first()? {
            Treasury::DISCRIMINATOR => {
                let t = load::<Treasury>(&pubkey, account)?;
                (Kind::Treasury, t.header.seq, t.balance.get())
            }
            Model::DISCRIMINATOR => (Kind::Model, load::<Model>(&pubkey, account)?.header.seq, 0),
            Validator::DISCRIMINATOR => {
                let v = load::<Validator>(&pubkey, account)?;
                let dues = [
                    v.claimable.get(),
                    v.owed_foundation.get(),
                    v.owed_burn.get(),
                ];
                (
                    Kind::Validator,
                    v.header.seq,
                    v.whole_stake().saturating_add(sum(&dues)),
                )
            }
            Vault::DISCRIMINATOR => {
                let v = load::<Vault>(&pubkey, account)?;
                (Kind::Vault, v.header.seq, v.balance.get())
            }
            SpendGrant::DISCRIMINATOR => (
                Kind::Grant,
                load::<SpendGrant>(&pubkey, account)?.header.seq,
                0,
            ),
            Job::DISCRIMINATOR => {
                let j = load::<Job>(&pubkey, account)?;
                let runs = !j.status().is_some_and(JobStatus::is_terminal);
                (
                    Kind::Job,
                    j.header.seq,
                    if runs { j.ceiling.get() } else { 0 },
                )
            }
            Case::DISCRIMINATOR => {
                let case = load::<Case>(&pubkey, account)?;
                let stored = sum(&[case.held.get(), case.output_rent.get()]);
                (Kind::Case, case.header.seq, stored)
            }
            Votes::DISCRIMINATOR => (Kind::Votes, load::<Votes>(&pubkey, account)?.header.seq, 0),
            Output::DISCRIMINATOR => (
                Kind::Output,
                load::<Output>(&pubkey, account)?.header.seq,
                0,
            ),
            _ => return None,
        };
        Some(Self {
            pubkey,
            kind,
            seq: seq.get(),
            lamports: account.lamports,
            stored,
            bytes: account.data.len(),
        })
    }
}

/// A finalized row of the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexRow {
    /// Address.
    pub pubkey: Pubkey,
    /// Kind.
    pub kind: Kind,
    /// Slot of the row's last write.
    pub slot: u64,
    /// The account's write counter in it.
    pub seq: u64,
    /// Lamports, where the views have them.
    pub lamports: Option<u64>,
    /// Lamports stored for somebody.
    pub stored: u64,
    /// Whether every write up to it was seen.
    pub exact: bool,
}

/// An account that is not the same on both sides.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Difference {
    /// Address, base58.
    pub account: String,
    /// Slot of the index's row; null when it has none.
    pub slot: Option<u64>,
    /// What differs.
    pub what: String,
}

impl Difference {
    fn key(&self) -> (String, Option<u64>) {
        (self.account.clone(), self.slot)
    }
}

/// Result of one comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconciliation {
    /// Finalized slot of the chain's side.
    pub context_slot: u64,
    /// Accounts compared.
    pub accounts: u64,
    /// Accounts that differ.
    pub differing: Vec<Difference>,
    /// Those that differed in the comparison before as well: an alarm.
    pub confirmed: Vec<Difference>,
    /// Accounts that hold less than rent and what they store.
    pub unbacked: Vec<Difference>,
    /// Accounts left out, since a gap may have hidden writes.
    pub inexact: u64,
    /// Stored lamports by kind, on chain and in the index, over the accounts compared.
    pub on_chain: BTreeMap<Kind, u64>,
    /// As `on_chain`.
    pub in_index: BTreeMap<Kind, u64>,
}

impl Reconciliation {
    /// Nothing to alarm anyone.
    pub fn ok(&self) -> bool {
        self.confirmed.is_empty() && self.unbacked.is_empty()
    }
}

/// What a chain holds.
#[derive(Clone, Copy, Debug)]
pub struct ChainSide<'a> {
    /// Finalized slot in which it was read.
    pub slot: u64,
    /// All accounts of the program.
    pub accounts: &'a [ChainAccount],
    /// Least lamports of an account by its length.
    pub rent: &'a HashMap<usize, u64>,
}

/// What an index says whose root is at that slot or past it.
#[derive(Clone, Copy, Debug)]
pub struct IndexSide<'a> {
    /// All accounts that it knows.
    pub rows: &'a [IndexRow],
    /// Whether it knows that it missed something.
    pub gaps: bool,
}

/// Compares the two. Rows written after the chain was read are left out; so are inexact ones, and absent ones while
/// gaps are open. `before` is the previous result.
pub fn reconcile(
    chain: ChainSide<'_>,
    index: IndexSide<'_>,
    before: Option<&Reconciliation>,
) -> Reconciliation {
    let ChainSide {
        slot: context_slot,
        accounts: chain,
        rent,
    } = chain;
    let IndexSide { rows: index, gaps } = index;
    let mut out = Reconciliation {
        context_slot,
        ..Reconciliation::default()
    };
    let rows: HashMap<Pubkey, &IndexRow> = index.iter().map(|row| (row.pubkey, row)).collect();
    let mut seen = HashSet::with_capacity(chain.len());
    for account in chain {
        seen.insert(account.pubkey);
        let least = rent.get(&account.bytes).copied().unwrap_or(0);
        if account.lamports < account.stored.saturating_add(least) {
            out.unbacked.push(Difference {
                account: account.pubkey.to_string(),
                slot: None,
                what: format!(
                    "{} lamports, stores {} and needs {least} for rent",
                    account.lamports, account.stored
                ),
            });
        }
        let Some(row) = rows.get(&account.pubkey) else {
            match gaps {
                true => out.inexact += 1,
                false => out.differ(account.pubkey, None, "not in the index".into()),
            }
            continue;
        };
        if row.slot > context_slot {
            continue;
        }
        if !row.exact {
            out.inexact += 1;
            continue;
        }
        out.accounts += 1;
        *out.on_chain.entry(account.kind).or_default() += account.stored;
        *out.in_index.entry(row.kind).or_default() += row.stored;
        let lamports = row.lamports.unwrap_or(account.lamports);
        let (ours, theirs) = (
            (row.seq, lamports, row.stored),
            (account.seq, account.lamports, account.stored),
        );
        if ours != theirs {
            let what =
                format!("(seq, lamports, stored) is {ours:?} in the index, {theirs:?} on chain");
            out.differ(account.pubkey, Some(row.slot), what);
        }
    }
    for row in index
        .iter()
        .filter(|row| row.slot <= context_slot && !seen.contains(&row.pubkey))
    {
        match row.exact {
            true => out.differ(row.pubkey, Some(row.slot), "not on chain".into()),
            false => out.inexact += 1,
        }
    }
    let earlier: HashSet<_> = before
        .into_iter()
        .flat_map(|b| &b.differing)
        .map(Difference::key)
        .collect();
    out.confirmed = out
        .differing
        .iter()
        .filter(|difference| earlier.contains(&difference.key()))
        .cloned()
        .collect();
    out
}

impl Reconciliation {
    fn differ(&mut self, pubkey: Pubkey, slot: Option<u64>, what: String) {
        self.differing.push(Difference {
            account: pubkey.to_string(),
            slot,
            what,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(n: u8, slot: u64) -> (ChainAccount, IndexRow) {
        let pubkey = Pubkey::new_from_array([n; 32]);
        let account = ChainAccount {
            pubkey,
            kind: Kind::Vault,
            seq: 3,
            lamports: 150,
            stored: 100,
            bytes: 10,
        };
        let row = IndexRow {
            pubkey,
            kind: Kind::Vault,
            slot,
            seq: 3,
            lamports: Some(150),
            stored: 100,
            exact: true,
        };
        (account, row)
    }

    fn compare(
        slot: u64,
        accounts: &[ChainAccount],
        rows: &[IndexRow],
        gaps: bool,
        before: Option<&Reconciliation>,
    ) -> Reconciliation {
        let rent = HashMap::from([(10, 50)]);
        let chain = ChainSide {
            slot,
            accounts,
            rent: &rent,
        };
        reconcile(chain, IndexSide { rows, gaps }, before)
    }

    #[test]
    fn a_case_stores_what_it_holds_for_the_parties_and_for_rent() {
        use bytemuck::Zeroable;
        let mut case = Case::zeroed();
        case.header.discriminator = Case::DISCRIMINATOR;
        case.header.version = mythic_interface::state::VERSION;
        case.header.seq.set(4);
        case.held.set(70);
        case.output_rent.set(30);
        let account = solana_account::Account {
            lamports: 150,
            data: bytemuck::bytes_of(&case).to_vec(),
            owner: mythic_client::pda::PROGRAM_ID,
            ..solana_account::Account::default()
        };
        let key = Pubkey::new_from_array([1; 32]);
        let read = ChainAccount::read(key, &account).unwrap();
        assert_eq!((read.kind, read.seq, read.stored), (Kind::Case, 4, 100));
        let short = solana_account::Account {
            data: account.data[1..].to_vec(),
            ..account
        };
        assert_eq!(ChainAccount::read(key, &short), None);
    }

    #[test]
    fn equal_sides_agree_and_sum_up() {
        let ((a, ra), (b, rb)) = (pair(1, 5), pair(2, 9));
        let result = compare(9, &[a, b], &[ra, rb], false, None);
        assert!(result.ok() && result.differing.is_empty());
        assert_eq!((result.accounts, result.on_chain[&Kind::Vault]), (2, 200));
    }

    #[test]
    fn a_difference_alarms_only_when_it_stays() {
        let (a, mut ra) = pair(1, 5);
        ra.seq = 2;
        let first = compare(
            9,
            std::slice::from_ref(&a),
            std::slice::from_ref(&ra),
            false,
            None,
        );
        assert!(first.ok() && first.differing.len() == 1);
        let again = compare(
            12,
            std::slice::from_ref(&a),
            std::slice::from_ref(&ra),
            false,
            Some(&first),
        );
        assert!(!again.ok());
        ra.slot = 11;
        let moved = compare(12, &[a], &[ra], false, Some(&first));
        assert!(moved.ok());
    }

    #[test]
    fn later_rows_and_gaps_are_left_out() {
        let (a, mut ra) = pair(1, 10);
        ra.seq = 4;
        let later = compare(
            9,
            std::slice::from_ref(&a),
            std::slice::from_ref(&ra),
            false,
            None,
        );
        assert!(later.differing.is_empty() && later.accounts == 0);
        ra.slot = 5;
        ra.exact = false;
        let inexact = compare(9, std::slice::from_ref(&a), &[ra], false, None);
        assert_eq!((inexact.differing.len(), inexact.inexact), (0, 1));
        let gap = compare(9, std::slice::from_ref(&a), &[], true, None);
        assert_eq!((gap.differing.len(), gap.inexact), (0, 1));
        let missing = compare(9, &[a], &[], false, None);
        assert_eq!(missing.differing.len(), 1);
        let (_, row) = pair(3, 5);
        assert_eq!(compare(9, &[], &[row], false, None).differing.len(), 1);
    }

    #[test]
    fn an_account_that_cannot_pay_what_it_stores_is_an_alarm_at_once() {
        let (mut a, mut ra) = pair(1, 5);
        a.lamports = 149;
        ra.lamports = Some(149);
        assert!(!compare(9, &[a], &[ra], false, None).ok());
    }
}
