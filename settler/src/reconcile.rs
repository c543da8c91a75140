//! Compares the chain's accounts at a finalized slot with the index's rows. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};

use mythic_client::account::{ProgramAccount, decode};
use mythic_interface::market::state::{
    Class, Lease, LeaseDispute, MarketTreasury, Provider, Request,
};
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
    /// Foundation's balance in the market.
    MarketTreasury,
    /// Classes of capacity; they store nothing.
    Class,
    /// Stake, earnings and dues.
    Provider,
    /// What tenants paid for leases that nobody has accepted.
    Request,
    /// Seconds to come, epochs that can be disputed, what is the tenant's.
    Lease,
    /// Bonds, then what is due to disputers.
    LeaseDispute,
}

impl Kind {
    /// Whether accounts of the kind are the Compute Market's.
    pub const fn is_of_market(self) -> bool {
        matches!(
            self,
            Self::MarketTreasury
                | Self::Class
                | Self::Provider
                | Self::Request
                | Self::Lease
                | Self::LeaseDispute
        )
    }
}

/// An account as the chain has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainAccount {
    /// Address.
    pub pubkey: Pubkey,
    /// Kind.
    pub kind: Kind,
    /// Finalized slot in which it was read.
    pub slot: u64,
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
    /// Reads a program account as it was in a slot; `None` for kinds that are not compared and for what does not decode.
    pub fn read(pubkey: Pubkey, account: &solana_account::Account, slot: u64) -> Option<Self> {
        let (kind, seq, stored) =
            of_ai_precompiles(&pubkey, account).or_else(|| of_compute_market(&pubkey, account))?;
        Some(Self {
            pubkey,
            kind,
            slot,
            seq,
            lamports: account.lamports,
            stored,
            bytes: account.data.len(),
        })
    }
}

fn load<T: ProgramAccount>(pubkey: &Pubkey, account: &solana_account::Account) -> Option<T> {
    decode(pubkey, account).ok()
}

fn sum(amounts: &[u64]) -> u64 {
    amounts
        .iter()
        .fold(0u64, |sum, amount| sum.saturating_add(*amount))
}

/// Kind, write counter and stored lamports of an account of AI Precompiles.
fn of_ai_precompiles(
    pubkey: &Pubkey,
    account: &solana_account::Account,
) -> Option<(Kind, u64, u64)> {
    let (kind, seq, stored) = match *account.data.first()? {
        Treasury::DISCRIMINATOR => {
            let t = load::<Treasury>(pubkey, account)?;
            (Kind::Treasury, t.header.seq, t.balance.get())
        }
        Model::DISCRIMINATOR => (Kind::Model, load::<Model>(pubkey, account)?.header.seq, 0),
        Validator::DISCRIMINATOR => {
            let v = load::<Validator>(pubkey, account)?;
            let dues = [
                v.whole_stake(),
                v.claimable.get(),
                v.owed_foundation.get(),
                v.owed_burn.get(),
            ];
            (Kind::Validator, v.header.seq, sum(&dues))
        }
        Vault::DISCRIMINATOR => {
            let v = load::<Vault>(pubkey, account)?;
            (Kind::Vault, v.header.seq, v.balance.get())
        }
        SpendGrant::DISCRIMINATOR => {
            let grant = load::<SpendGrant>(pubkey, account)?;
            (Kind::Grant, grant.header.seq, 0)
        }
        Job::DISCRIMINATOR => {
            let j = load::<Job>(pubkey, account)?;
            let runs = !j.status().is_some_and(JobStatus::is_terminal);
            let stored = if runs { j.ceiling.get() } else { 0 };
            (Kind::Job, j.header.seq, stored)
        }
        Case::DISCRIMINATOR => {
            let case = load::<Case>(pubkey, account)?;
            let stored = sum(&[case.held.get(), case.output_rent.get()]);
            (Kind::Case, case.header.seq, stored)
        }
        Votes::DISCRIMINATOR => (Kind::Votes, load::<Votes>(pubkey, account)?.header.seq, 0),
        Output::DISCRIMINATOR => (Kind::Output, load::<Output>(pubkey, account)?.header.seq, 0),
        _ => return None,
    };
    Some((kind, seq.get(), stored))
}

/// The same of an account of the Compute Market.
fn of_compute_market(
    pubkey: &Pubkey,
    account: &solana_account::Account,
) -> Option<(Kind, u64, u64)> {
    let (kind, seq, stored) = match *account.data.first()? {
        MarketTreasury::DISCRIMINATOR => {
            let t = load::<MarketTreasury>(pubkey, account)?;
            (Kind::MarketTreasury, t.header.seq, t.balance.get())
        }
        Class::DISCRIMINATOR => (Kind::Class, load::<Class>(pubkey, account)?.header.seq, 0),
        Provider::DISCRIMINATOR => {
            let p = load::<Provider>(pubkey, account)?;
            let dues = [
                p.whole_stake(),
                p.claimable.get(),
                p.owed_foundation.get(),
                p.owed_burn.get(),
            ];
            (Kind::Provider, p.header.seq, sum(&dues))
        }
        Request::DISCRIMINATOR => {
            let r = load::<Request>(pubkey, account)?;
            (Kind::Request, r.header.seq, r.escrow.get())
        }
        Lease::DISCRIMINATOR => {
            let l = load::<Lease>(pubkey, account)?;
            let stored = sum(&[l.escrow.get(), l.pending.get(), l.tenant_due.get()]);
            (Kind::Lease, l.header.seq, stored)
        }
        LeaseDispute::DISCRIMINATOR => {
            let d = load::<LeaseDispute>(pubkey, account)?;
            (Kind::LeaseDispute, d.header.seq, d.held.get())
        }
        _ => return None,
    };
    Some((kind, seq.get(), stored))
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
    /// Accounts whose amounts do not add up.
    pub unbalanced: Vec<Difference>,
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
        self.confirmed.is_empty() && self.unbacked.is_empty() && self.unbalanced.is_empty()
    }
}

/// What a chain holds.
#[derive(Clone, Copy, Debug)]
pub struct ChainSide<'a> {
    /// Finalized slot from which on it was read.
    pub slot: u64,
    /// All accounts of the programs.
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
    /// Accounts that it knows whose amounts do not add up, those that are closed too.
    pub unbalanced: &'a [Difference],
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
    let IndexSide {
        rows: index,
        gaps,
        unbalanced,
    } = index;
    let mut out = Reconciliation {
        context_slot,
        unbalanced: unbalanced.to_vec(),
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
        if row.slot > account.slot {
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
            slot: 9,
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
        let index = IndexSide {
            rows,
            gaps,
            unbalanced: &[],
        };
        reconcile(chain, index, before)
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
        let read = ChainAccount::read(key, &account, 7).unwrap();
        assert_eq!((read.kind, read.seq, read.stored), (Kind::Case, 4, 100));
        let short = solana_account::Account {
            data: account.data[1..].to_vec(),
            ..account
        };
        assert_eq!(ChainAccount::read(key, &short, 7), None);
    }

    #[test]
    fn a_lease_stores_what_is_to_come_what_can_be_disputed_and_what_is_the_tenants() {
        use bytemuck::Zeroable;
        let mut lease = Lease::zeroed();
        lease.header.discriminator = Lease::DISCRIMINATOR;
        lease.header.version = mythic_interface::state::VERSION;
        lease.escrow.set(70);
        lease.pending.set(20);
        lease.tenant_due.set(9);
        lease.paid.set(500);
        let mut account = solana_account::Account {
            lamports: 150,
            data: bytemuck::bytes_of(&lease).to_vec(),
            owner: Pubkey::new_from_array(mythic_interface::COMPUTE_MARKET_ID),
            ..solana_account::Account::default()
        };
        let key = Pubkey::new_from_array([1; 32]);
        let read = ChainAccount::read(key, &account, 7).unwrap();
        assert_eq!((read.kind, read.slot, read.stored), (Kind::Lease, 7, 99));
        // The other program has no such account.
        account.owner = mythic_client::pda::PROGRAM_ID;
        assert_eq!(ChainAccount::read(key, &account, 7), None);
    }

    #[test]
    fn each_account_is_compared_at_the_slot_in_which_it_was_read() {
        let (mut a, mut ra) = pair(1, 5);
        (a.slot, ra.slot, ra.seq) = (12, 11, 2);
        let found = compare(
            9,
            std::slice::from_ref(&a),
            std::slice::from_ref(&ra),
            false,
            None,
        );
        assert_eq!(found.differing.len(), 1);
        a.slot = 10;
        assert!(compare(9, &[a], &[ra], false, None).differing.is_empty());
    }

    #[test]
    fn amounts_that_do_not_add_up_are_an_alarm_at_once() {
        let astray = [Difference {
            account: "x".into(),
            slot: Some(5),
            what: "1 lamports astray".into(),
        }];
        let index = IndexSide {
            rows: &[],
            gaps: false,
            unbalanced: &astray,
        };
        let rent = HashMap::new();
        let chain = ChainSide {
            slot: 9,
            accounts: &[],
            rent: &rent,
        };
        assert!(!reconcile(chain, index, None).ok());
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
        let (mut a, mut ra) = pair(1, 5);
        ra.seq = 2;
        let first = compare(
            9,
            std::slice::from_ref(&a),
            std::slice::from_ref(&ra),
            false,
            None,
        );
        assert!(first.ok() && first.differing.len() == 1);
        a.slot = 12;
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
