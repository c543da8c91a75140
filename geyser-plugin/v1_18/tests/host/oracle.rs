//! What a story's spool must hold.

use crate::story::{OURS, Story, Write};
use mythic_stream::{
    digest::{BankDigest, filter_hash},
    proto::{AccountUpdate, Event, SlotSeal, SlotStatus, TransactionSeal, TransactionUpdate},
};
use std::collections::BTreeMap;

/// Slot and generation.
type Place = (u64, u32);

/// A spool's events by what they belong to.
#[derive(Default)]
struct Held<'a> {
    base: Vec<&'a AccountUpdate>,
    updates: BTreeMap<Place, Vec<&'a AccountUpdate>>,
    transactions: BTreeMap<Place, Vec<&'a TransactionUpdate>>,
    seals: Vec<&'a SlotSeal>,
    transaction_seals: BTreeMap<Place, &'a TransactionSeal>,
    statuses: BTreeMap<(u64, SlotStatus), u32>,
    base_end: Option<(u64, u64)>,
}

fn sort(events: &[Event]) -> Held<'_> {
    let mut held = Held::default();
    let mut created: BTreeMap<u64, u32> = BTreeMap::new();
    for event in events {
        match event {
            Event::Start(start) => {
                assert_eq!(start.interface, "1.18.26");
                assert_eq!(start.genesis_hash.as_ref(), [5; 32]);
            }
            Event::Account(update) if update.is_startup => held.base.push(update),
            Event::Account(update) => {
                // A bank's creation precedes its accounts.
                let known = created.get(&update.slot).copied().unwrap_or(0);
                assert_eq!(update.generation, known, "slot {}", update.slot);
                let place = (update.slot, update.generation);
                held.updates.entry(place).or_default().push(update);
            }
            Event::Transaction(update) => {
                let place = (update.slot, update.generation);
                held.transactions.entry(place).or_default().push(update);
            }
            Event::Seal(seal) => held.seals.push(seal),
            Event::TransactionSeal(seal) => {
                let place = (seal.slot, seal.generation);
                assert!(held.transaction_seals.insert(place, seal).is_none());
            }
            Event::Slot(update) => {
                if update.status() == SlotStatus::CreatedBank {
                    *created.entry(update.slot).or_default() += 1;
                }
                *held
                    .statuses
                    .entry((update.slot, update.status()))
                    .or_default() += 1;
            }
            Event::BaseEnd(end) => held.base_end = Some((end.slot, end.count)),
            Event::Loss(loss) => panic!("nothing may be lost: {loss:?}"),
            Event::End(_) => {}
            #[allow(unreachable_patterns)]
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(events.first(), Some(Event::Start(_))));
    assert!(matches!(events.last(), Some(Event::End(_))));
    held
}

/// Writes by account, in the order in which each account was written.
fn of_story<'a>(writes: impl Iterator<Item = &'a Write>) -> BTreeMap<[u8; 32], Vec<Write>> {
    let mut by_key: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for write in writes.filter(|write| write.passes) {
        by_key.entry(write.key).or_default().push(write.clone());
    }
    by_key
}

fn of_spool(updates: &[&AccountUpdate]) -> BTreeMap<[u8; 32], Vec<Write>> {
    let mut by_key: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for update in updates {
        let key = update.pubkey.as_ref().try_into().unwrap();
        by_key.entry(key).or_default().push(Write {
            key,
            owner: update.owner.as_ref().try_into().unwrap(),
            lamports: update.lamports,
            data: update.data.to_vec(),
            passes: true,
        });
    }
    by_key
}

/// Compares all of it; how many banks are sealed.
pub fn compare(story: &Story, events: &[Event]) -> usize {
    let held = sort(events);
    let base = of_story(story.base.iter().flatten());
    assert_eq!(of_spool(&held.base), base);
    let rows: usize = base.values().map(Vec::len).sum();
    assert_eq!(held.base_end, Some((90, rows as u64)));
    // What belongs to no bank: replay at boot, and the bank in whose middle it ended.
    for slot in 100..=104 {
        let before = story.before.iter().filter(|(at, _)| *at == slot);
        let first = story.first.writes.iter().flatten();
        let first = first.filter(|_| slot == story.first.slot);
        let told = of_story(before.map(|(_, write)| write).chain(first));
        let spool = held.updates.get(&(slot, 0)).map(Vec::as_slice);
        assert_eq!(of_spool(spool.unwrap_or_default()), told);
    }
    assert_eq!(held.seals.len(), story.banks.len());
    for (bank, seal) in story.banks.iter().zip(&held.seals) {
        let place = (bank.slot, bank.generation);
        assert_eq!((seal.slot, seal.generation), place);
        assert_eq!(seal.blockhash.as_ref(), bank.hash);
        assert_eq!(
            (seal.parent_slot, seal.parent_blockhash.as_ref()),
            (bank.parent, &bank.parent_hash[..])
        );
        assert_eq!(seal.filter_hash.as_ref(), filter_hash(&[OURS]));
        let updates = held
            .updates
            .get(&place)
            .map(Vec::as_slice)
            .unwrap_or_default();
        assert_eq!(of_spool(updates), of_story(bank.writes.iter().flatten()));
        if let Some(transaction) = bank.transactions.first() {
            assert!(
                updates
                    .iter()
                    .all(|update| update.signature.as_ref() == transaction.signature)
            );
        }
        let mut digest = BankDigest::default();
        for write in bank.writes.iter().flatten().filter(|write| write.passes) {
            digest.push(write.key, &write.owner, write.lamports, &write.data);
        }
        assert_eq!(
            (seal.offered, seal.dropped),
            (digest.updates(), 0),
            "slot {}",
            bank.slot
        );
        assert_eq!(seal.digest.as_ref(), digest.finish());
        compare_transactions(bank, &held);
    }
    compare_statuses(story, &held);
    held.seals.len()
}

fn compare_transactions(bank: &crate::story::Bank, held: &Held<'_>) {
    let place = (bank.slot, bank.generation);
    let told = held.transactions.get(&place).map(Vec::as_slice);
    let mut told = told.unwrap_or_default().to_vec();
    told.sort_by_key(|update| update.index);
    let ours: Vec<_> = bank
        .transactions
        .iter()
        .enumerate()
        .filter(|(_, t)| t.is_ours())
        .collect();
    assert_eq!(told.len(), ours.len(), "slot {}", bank.slot);
    for (update, (index, transaction)) in told.into_iter().zip(&ours) {
        assert_eq!(update.index, *index as u64);
        assert_eq!(update.signature.as_ref(), transaction.signature);
        assert_eq!((update.fee, update.compute_units), (5_000, Some(777)));
        let calls: Vec<usize> = update
            .calls
            .iter()
            .map(|call| call.instruction as usize)
            .collect();
        let ours = transaction
            .calls
            .iter()
            .enumerate()
            .filter(|(_, ours)| **ours);
        assert_eq!(calls, ours.map(|(at, _)| at).collect::<Vec<_>>());
        let failure = update.failure.as_ref();
        assert_eq!(
            failure.and_then(|failure| failure.code),
            transaction.custom_error
        );
    }
    if let Some(seal) = held.transaction_seals.get(&place) {
        assert_eq!((seal.offered, seal.dropped), (ours.len() as u64, 0));
        let all = bank.transactions.len() as u64;
        assert_eq!((seal.executed, seal.told), (all, all), "slot {}", bank.slot);
        assert_eq!(seal.blockhash.as_ref(), bank.hash);
    }
}

fn compare_statuses(story: &Story, held: &Held<'_>) {
    let mut told: BTreeMap<(u64, SlotStatus), u32> = BTreeMap::new();
    let mut count = |slot, status| *told.entry((slot, status)).or_default() += 1;
    for bank in std::iter::once(&story.first).chain(&story.banks) {
        count(bank.slot, SlotStatus::Processed);
        if bank.slot != story.first.slot {
            count(bank.slot, SlotStatus::CreatedBank);
        }
        if let Some(slot) = bank.confirmed {
            count(slot, SlotStatus::Confirmed);
        }
        if let Some(slot) = bank.rooted {
            count(slot, SlotStatus::Rooted);
        }
    }
    assert_eq!(held.statuses, told);
    // Every root that was seen from its beginning ends its transactions, and nothing else does.
    let roots = told
        .keys()
        .filter(|(_, status)| *status == SlotStatus::Rooted);
    let roots = roots
        .map(|(slot, _)| *slot)
        .filter(|slot| *slot != story.first.slot);
    let mut sealed: Vec<u64> = held
        .transaction_seals
        .keys()
        .map(|(slot, _)| *slot)
        .collect();
    sealed.dedup();
    assert_eq!(sealed, roots.collect::<Vec<_>>());
}
