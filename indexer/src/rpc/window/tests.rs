use mythic_interface::AI_PRECOMPILES_ID;
use proptest::prelude::*;

use super::*;
use crate::rpc::claim::Touch;

fn id(slot: u64, fork: u8) -> BankId {
    let mut hash = [fork; 32];
    hash[0] = slot as u8;
    BankId { slot, hash }
}

fn key(key: u8) -> Key {
    [key; 32]
}

fn block(slot: u64, parent: BankId, touched: &[(u8, u32)]) -> Block {
    let touch = |(key, transactions): &(u8, u32)| Touch {
        key: [*key; 32],
        signature: [slot as u8; 64],
        transactions: *transactions,
    };
    Block {
        id: id(slot, 0),
        parent,
        time: Some(1),
        touched: touched.iter().map(touch).collect(),
    }
}

fn content(lamports: u64) -> Option<Content> {
    Some(Content {
        owner: AI_PRECOMPILES_ID,
        lamports,
        data: Default::default(),
    })
}

fn window(tracked: &[u8]) -> Window {
    let start = Start {
        chain: vec![id(1, 0)],
        tracked: tracked.iter().map(|k| key(*k)).collect(),
        doubt: 0,
    };
    Window::new([7; 16], start)
}

/// Slot, then key, lamports and exactness of each update.
fn sealed(window: &mut Window) -> Vec<(u64, Vec<(u8, u64, bool)>)> {
    let (banks, checked) = window.seal();
    checked.unwrap();
    let account = |a: &Account| (a.pubkey[0], a.lamports, a.write_version != UNSEEN_BEFORE);
    let bank = |b: &SealedBank| (b.id.slot, b.accounts.iter().map(account).collect());
    banks.iter().map(bank).collect()
}

#[test]
fn a_block_is_sealed_once_all_it_touched_was_read() {
    let mut window = window(&[]);
    assert_eq!(
        window.take(block(2, id(1, 0), &[(1, 1), (2, 1)])),
        Fit::Taken
    );
    assert_eq!(window.take(block(3, id(2, 0), &[])), Fit::Taken);
    assert_eq!(window.unread().len(), 2);
    window.read(3, [(key(1), content(5))].into_iter());
    assert_eq!(window.unread(), [key(2)]);
    assert!(sealed(&mut window).is_empty());
    // Somebody else's account, in a block that is not known yet.
    window.read(4, [(key(2), None)].into_iter());
    assert_eq!((window.unread().len(), window.wanted()), (0, Some(4)));
    assert!(sealed(&mut window).is_empty());
    window.take(block(4, id(3, 0), &[]));
    assert_eq!(
        sealed(&mut window),
        [(2, vec![(1, 5, true)]), (3, vec![]), (4, vec![])]
    );
}

#[test]
fn a_write_that_a_later_block_hides_is_said_with_the_later_one() {
    let mut window = window(&[1]);
    window.take(block(2, id(1, 0), &[(1, 1)]));
    window.read(3, [(key(1), content(8))].into_iter());
    window.take(block(3, id(2, 0), &[(1, 1), (2, 2)]));
    assert_eq!(sealed(&mut window), [(2, vec![])]);
    assert_eq!(
        window.unread(),
        [key(2)],
        "what was read in its last block is not read again"
    );
    window.read(3, [(key(2), content(9))].into_iter());
    assert_eq!(
        sealed(&mut window),
        [(3, vec![(1, 8, false), (2, 9, false)])]
    );
    window.take(block(4, id(3, 0), &[(1, 1)]));
    window.read(4, [(key(1), content(7))].into_iter());
    assert_eq!(sealed(&mut window), [(4, vec![(1, 7, true)])]);
}

#[test]
fn only_what_was_ours_is_closed() {
    let mut window = window(&[1]);
    window.take(block(2, id(1, 0), &[(1, 1), (2, 1)]));
    window.read(2, [(key(1), None), (key(2), None)].into_iter());
    assert_eq!(sealed(&mut window), [(2, vec![(1, 0, true)])]);
    window.rooted(2);
    window.take(block(3, id(2, 0), &[(1, 1)]));
    window.read(3, [(key(1), None)].into_iter());
    assert_eq!(sealed(&mut window), [(3, vec![])], "its closing is final");
}

#[test]
fn a_fork_takes_back_what_was_read_and_what_was_closed() {
    let mut window = window(&[1, 2]);
    window.take(block(2, id(1, 0), &[(1, 1)]));
    window.read(2, [(key(1), None)].into_iter());
    assert_eq!(sealed(&mut window), [(2, vec![(1, 0, true)])]);
    window.take(block(3, id(2, 0), &[(2, 1)]));
    window.read(3, [(key(2), content(3))].into_iter());
    assert_eq!(window.take(block(4, id(1, 0), &[(2, 1)])), Fit::Taken);
    assert_eq!(window.unread(), [key(2)]);
    window.read(4, [(key(2), content(4))].into_iter());
    assert_eq!(sealed(&mut window), [(4, vec![(2, 4, true)])]);
    window.rooted(4);
    window.take(block(5, id(4, 0), &[(1, 1)]));
    window.read(5, [(key(1), None)].into_iter());
    assert_eq!(
        sealed(&mut window),
        [(5, vec![(1, 0, true)])],
        "on this fork it lived"
    );
}

#[test]
fn a_missing_parent_is_asked_for_and_a_stranger_is_refused() {
    let mut window = window(&[]);
    assert_eq!(window.take(block(4, id(3, 0), &[])), Fit::Needs(id(3, 0)));
    assert_eq!(window.take(block(2, id(1, 9), &[])), Fit::Stray);
    assert_eq!(window.newest(), id(1, 0));
}

#[test]
fn reads_of_a_slot_without_a_block_are_forgotten_and_said() {
    let mut window = window(&[1]);
    window.take(block(2, id(1, 0), &[(1, 1)]));
    window.read(3, [(key(1), content(5))].into_iter());
    window.take(block(4, id(2, 0), &[]));
    let (banks, checked) = window.seal();
    assert!(banks.is_empty() && checked.unwrap_err().contains("slot 3"));
    assert_eq!(window.unread(), [key(1)]);
}

#[test]
fn up_to_the_doubt_nothing_is_exact() {
    let start = Start {
        chain: vec![id(1, 0)],
        tracked: HashSet::new(),
        doubt: 2,
    };
    let mut window = Window::new([7; 16], start);
    for slot in [2, 3] {
        window.take(block(slot, id(slot - 1, 0), &[(1, 1)]));
        window.read(slot, [(key(1), content(slot))].into_iter());
    }
    assert_eq!(
        sealed(&mut window),
        [(2, vec![(1, 2, false)]), (3, vec![(1, 3, true)])]
    );
}

proptest! {
    /// Blocks and reads come in any rhythm.
    #[test]
    fn the_last_state_is_right_and_what_is_called_exact_was_seen(
        blocks in proptest::collection::vec(proptest::collection::btree_map(0u8..5, 1u32..3, 0..4), 1..40),
        rhythm in proptest::collection::vec((0u8..4, 0u64..4, any::<bool>()), 0..200),
    ) {
        // Lamports are the number of transactions so far.
        let mut states: Vec<[u64; 5]> = vec![[100; 5]];
        for touched in &blocks {
            let mut state = states[states.len() - 1];
            for (key, transactions) in touched {
                state[usize::from(*key)] += u64::from(*transactions);
            }
            states.push(state);
        }
        let last = blocks.len() as u64 + 1;
        let mut window = window(&[0, 1, 2, 3, 4]);
        let mut seen = [100u64; 5];
        let mut next = 2u64;
        let finish = (0..last).flat_map(|_| [(0, 0, true), (1, 0, true), (2, 0, true)]);
        for (step, ahead, all) in rhythm.into_iter().chain(finish) {
            match step {
                0 if next <= last => {
                    let touched: Vec<(u8, u32)> = blocks[next as usize - 2].iter().map(|(k, n)| (*k, *n)).collect();
                    prop_assert_eq!(window.take(block(next, id(next - 1, 0), &touched)), Fit::Taken);
                    next += 1;
                }
                1 => {
                    let at = (window.newest().slot + ahead).min(last);
                    let state = states[at as usize - 1];
                    let mut keys = window.unread();
                    keys.truncate(if all { usize::MAX } else { 1 });
                    let found = keys.into_iter().map(|key| (key, content(state[usize::from(key[0])])));
                    window.read(at, found.collect::<Vec<_>>().into_iter());
                }
                _ => {
                    for (slot, accounts) in sealed(&mut window) {
                        for (key, lamports, exact) in accounts {
                            let before = &mut seen[usize::from(key)];
                            prop_assert_eq!(lamports, states[slot as usize - 1][usize::from(key)]);
                            prop_assert_eq!(exact, lamports == *before + 1);
                            *before = lamports;
                        }
                    }
                }
            }
        }
        prop_assert_eq!(window.newest().slot, last);
        prop_assert_eq!(seen, states[states.len() - 1]);
    }
}
