use super::*;
use proptest::prelude::*;

fn id(slot: u64, fork: u8) -> BankId {
    BankId {
        slot,
        hash: [fork.wrapping_mul(31).wrapping_add(slot as u8); 32],
    }
}

/// A bank at `slot` on `fork`, built on `parent`.
fn bank(number: i64, slot: u64, fork: u8, parent: BankId) -> Bank {
    Bank {
        number,
        id: id(slot, fork),
        parent,
        whole: true,
    }
}

fn confirmed(bank: BankId) -> Event {
    Event::Confirmed(bank)
}

fn rooted(bank: BankId) -> Event {
    Event::Rooted(bank)
}

fn base(number: i64, slot: u64, as_of: Option<BankId>) -> Event {
    Event::Base(PendingBase {
        number,
        slot,
        as_of,
    })
}

/// A tree rooted at slot 10 that holds 11, 12, 13 on fork 0, numbered as their slots.
fn line() -> SlotTree {
    let mut tree = SlotTree::default();
    tree.apply(base(1, 10, Some(id(10, 0))));
    for slot in 11..=13 {
        let effects = tree.apply(Event::Sealed(bank(slot as i64, slot, 0, id(slot - 1, 0))));
        assert_eq!(
            effects,
            [Effect::Added {
                number: slot as i64
            }]
        );
    }
    tree
}

#[test]
fn a_base_on_an_empty_tree_is_due_at_once_and_is_the_root() {
    let mut tree = SlotTree::default();
    assert_eq!(
        tree.apply(base(7, 10, Some(id(10, 0)))),
        [Effect::BaseDue {
            number: 7,
            slot: 10
        }]
    );
    assert_eq!(
        tree.root(),
        Some(Root {
            slot: 10,
            hash: Some(id(10, 0).hash)
        })
    );
}

#[test]
fn a_base_waits_for_our_root_and_speaks_for_the_bank_that_the_run_builds_on() {
    let mut tree = line();
    assert_eq!(tree.apply(base(20, 11, Some(id(12, 0)))), []);
    assert_eq!(tree.apply(rooted(id(11, 0))).len(), 2);
    assert!(tree.apply(rooted(id(12, 0))).contains(&Effect::BaseDue {
        number: 20,
        slot: 12
    }));
    assert_eq!(tree.base(), None);
}

#[test]
fn a_base_whose_bank_was_orphaned_speaks_only_for_its_own_slot() {
    let mut tree = line();
    tree.apply(Event::Sealed(bank(30, 12, 1, id(11, 0))));
    tree.apply(base(20, 11, Some(id(12, 1))));
    assert!(tree.apply(rooted(id(12, 0))).contains(&Effect::BaseDue {
        number: 20,
        slot: 11
    }));
}

#[test]
fn the_processed_chain_is_the_highest_slot_ties_by_first_arrival() {
    let mut tree = line();
    assert_eq!(tree.processed_chain().banks, [11, 12, 13]);
    tree.apply(Event::Sealed(bank(14, 13, 1, id(11, 0))));
    assert_eq!(
        tree.processed_chain().banks,
        [11, 12, 13],
        "same slot, came second"
    );
    tree.apply(Event::Sealed(bank(15, 14, 1, id(13, 1))));
    assert_eq!(tree.processed_chain().banks, [11, 14, 15]);
}

#[test]
fn confirmed_covers_ancestors_once_oldest_first() {
    let mut tree = line();
    assert_eq!(
        tree.apply(confirmed(id(12, 0))),
        [
            Effect::Confirmed { number: 11 },
            Effect::Confirmed { number: 12 }
        ]
    );
    assert_eq!(tree.apply(confirmed(id(12, 0))), []);
    assert_eq!(tree.apply(confirmed(id(11, 0))), []);
    assert_eq!(tree.confirmed_chain().banks, [11, 12]);
    assert_eq!(tree.confirmed_slot(), Some(12));
}

#[test]
fn confirmed_may_come_before_the_seal() {
    let mut tree = line();
    assert_eq!(tree.apply(confirmed(id(14, 0))), []);
    assert_eq!(
        tree.apply(Event::Sealed(bank(14, 14, 0, id(13, 0)))),
        [
            Effect::Added { number: 14 },
            Effect::Confirmed { number: 11 },
            Effect::Confirmed { number: 12 },
            Effect::Confirmed { number: 13 },
            Effect::Confirmed { number: 14 },
        ]
    );
}

#[test]
fn rooted_implies_confirmed_and_roots_all_ancestors() {
    let mut tree = line();
    tree.apply(confirmed(id(11, 0)));
    assert_eq!(
        tree.apply(rooted(id(12, 0))),
        [
            Effect::Rooted { number: 11 },
            Effect::Confirmed { number: 12 },
            Effect::Rooted { number: 12 },
        ]
    );
    assert_eq!(
        tree.root(),
        Some(Root {
            slot: 12,
            hash: Some(id(12, 0).hash)
        })
    );
    assert_eq!(tree.processed_chain().banks, [13]);
    assert_eq!(tree.apply(rooted(id(12, 0))), [], "said twice");
}

#[test]
fn rooting_orphans_what_is_neither_ancestor_nor_descendant() {
    let mut tree = line();
    tree.apply(Event::Sealed(bank(20, 12, 1, id(11, 0))));
    tree.apply(Event::Sealed(bank(21, 15, 1, id(12, 1))));
    let effects = tree.apply(rooted(id(12, 0)));
    assert_eq!(
        &effects[effects.len() - 2..],
        [
            Effect::Orphaned { number: 20 },
            Effect::Orphaned { number: 21 }
        ]
    );
    assert_eq!(tree.processed_chain().banks, [13]);
}

#[test]
fn a_bank_of_a_dead_fork_is_orphaned_even_when_it_comes_late() {
    let mut tree = line();
    tree.apply(rooted(id(12, 0)));
    assert_eq!(
        tree.apply(Event::Sealed(bank(30, 12, 1, id(11, 0)))),
        [
            Effect::Added { number: 30 },
            Effect::Orphaned { number: 30 }
        ]
    );
    assert_eq!(
        tree.apply(Event::Sealed(bank(31, 12, 0, id(11, 0)))),
        [Effect::Ignored { number: 31 }]
    );
    // One that builds on the dead fork is on no chain either.
    assert_eq!(
        tree.apply(Event::Sealed(bank(32, 14, 1, id(12, 1)))),
        [
            Effect::Added { number: 32 },
            Effect::Orphaned { number: 32 }
        ]
    );
}

#[test]
fn a_bank_that_links_others_to_a_dead_fork_takes_them_with_it() {
    let mut tree = line();
    // 21 and what builds on it stand above a hole: 20 has not come.
    tree.apply(Event::Sealed(bank(30, 12, 1, id(11, 0))));
    for (number, slot, parent) in [
        (31, 21, id(20, 1)),
        (32, 22, id(21, 1)),
        (33, 23, id(22, 1)),
    ] {
        let effects = tree.apply(Event::Sealed(bank(number, slot, 1, parent)));
        assert_eq!(effects, [Effect::Added { number }]);
    }
    tree.apply(rooted(id(13, 0)));
    assert_eq!(tree.processed_chain().banks, [31, 32, 33]);
    assert_eq!(
        tree.apply(Event::Sealed(bank(34, 20, 1, id(12, 1)))),
        [
            Effect::Added { number: 34 },
            Effect::Orphaned { number: 34 },
            Effect::Orphaned { number: 31 },
            Effect::Orphaned { number: 32 },
            Effect::Orphaned { number: 33 },
        ]
    );
    assert!(tree.processed_chain().banks.is_empty());
}

#[test]
fn a_replayed_slot_leaves_the_processed_chain_but_may_still_be_rooted() {
    let mut tree = line();
    tree.apply(Event::GivenUp(id(12, 0)));
    assert_eq!(
        tree.processed_chain().banks,
        [11],
        "12 and what builds on it"
    );
    tree.apply(Event::Sealed(bank(14, 12, 1, id(11, 0))));
    assert_eq!(tree.processed_chain().banks, [11, 14]);
    let effects = tree.apply(rooted(id(12, 0)));
    assert!(effects.contains(&Effect::Rooted { number: 12 }));
    assert!(effects.contains(&Effect::Orphaned { number: 14 }));
    assert_eq!(tree.processed_chain().banks, [13]);
}

#[test]
fn a_dead_slot_is_no_tip() {
    let mut tree = line();
    tree.apply(Event::GivenUp(id(13, 0)));
    assert_eq!(tree.processed_chain().banks, [11, 12]);
}

#[test]
fn a_confirmed_bank_is_not_given_up_by_a_reset() {
    let mut tree = line();
    tree.apply(confirmed(id(13, 0)));
    tree.apply(Event::GivenUp(id(12, 0)));
    assert_eq!(tree.processed_chain().banks, [11, 12, 13]);
}

#[test]
fn the_first_seal_of_a_new_run_gives_up_what_it_does_not_build_on() {
    let mut tree = line();
    tree.apply(Event::RunStarted);
    assert_eq!(
        tree.processed_chain().banks,
        [11, 12, 13],
        "nothing is known yet"
    );
    tree.apply(Event::Sealed(bank(20, 12, 1, id(11, 0))));
    assert_eq!(
        tree.processed_chain().banks,
        [11, 20],
        "although 13 is a higher slot"
    );
    tree.apply(Event::Sealed(bank(21, 13, 1, id(12, 1))));
    assert_eq!(tree.processed_chain().banks, [11, 20, 21]);
}

#[test]
fn what_another_producer_seals_gives_up_nothing_for_the_one_that_began_again() {
    let mut tree = line();
    tree.apply(rooted(id(11, 0)));
    tree.apply(Event::RunStarted);
    // What it tells of slots that finality has passed does not say that it lives.
    tree.apply(Event::Accompanied(11));
    assert!(tree.run_fresh());
    tree.apply(Event::Accompanied(12));
    tree.apply(Event::Sealed(bank(20, 12, 1, id(11, 0))));
    assert_eq!(tree.processed_chain().banks, [12, 13]);
}

#[test]
fn who_seals_a_bank_has_what_it_builds_on() {
    let mut tree = line();
    tree.apply(Event::RunStarted);
    tree.apply(Event::Sealed(bank(20, 12, 1, id(11, 0))));
    assert_eq!(tree.processed_chain().banks, [11, 20]);
    // Another producer goes on from 13, which it has not sealed since it began.
    tree.apply(Event::Sealed(bank(21, 14, 0, id(13, 0))));
    assert_eq!(tree.processed_chain().banks, [11, 12, 13, 21]);
}

#[test]
fn a_seal_repeated_in_a_new_run_is_the_same_bank_and_keeps_what_builds_on_it() {
    let mut tree = line();
    tree.apply(Event::Sealed(bank(20, 15, 1, id(11, 0))));
    assert_eq!(tree.processed_chain().banks, [11, 20]);
    tree.apply(Event::RunStarted);
    assert_eq!(
        tree.apply(Event::Sealed(bank(40, 12, 0, id(11, 0)))),
        [Effect::Ignored { number: 40 }]
    );
    assert_eq!(
        tree.processed_chain().banks,
        [11, 12, 13],
        "the producer comes to 13 again, and 15 is on another fork"
    );
}

#[test]
fn what_a_new_run_replays_below_the_root_gives_up_nothing_above_it() {
    let mut tree = line();
    tree.apply(Event::Sealed(bank(20, 12, 1, id(11, 0))));
    tree.apply(rooted(id(11, 0)));
    tree.apply(Event::RunStarted);
    tree.apply(Event::Sealed(bank(40, 11, 0, id(10, 0))));
    assert_eq!(tree.processed_chain().banks, [12, 13]);
    // The first one above it does.
    tree.apply(Event::Sealed(bank(41, 12, 1, id(11, 0))));
    assert_eq!(tree.processed_chain().banks, [20]);
}

#[test]
fn an_orphaned_bank_that_is_sealed_again_is_not_retracted_again() {
    let mut tree = line();
    tree.apply(Event::Sealed(bank(20, 12, 1, id(11, 0))));
    let effects = tree.apply(rooted(id(13, 0)));
    assert!(effects.contains(&Effect::Orphaned { number: 20 }));
    let again = tree.apply(Event::Sealed(bank(30, 12, 1, id(11, 0))));
    assert_eq!(again, [Effect::Ignored { number: 30 }]);
}

#[test]
fn a_base_that_waits_is_not_forgotten_for_one_of_a_lower_slot() {
    let mut tree = line();
    tree.apply(base(20, 13, None));
    assert_eq!(tree.apply(base(21, 11, None)), []);
    assert_eq!(tree.base().map(|base| base.number), Some(20));
    let effects = tree.apply(rooted(id(13, 0)));
    let due = Effect::BaseDue {
        number: 20,
        slot: 13,
    };
    assert!(effects.contains(&due));
    tree.apply(base(22, 15, None));
    tree.apply(base(23, 16, None));
    assert_eq!(tree.base().map(|base| base.number), Some(23));
}

#[test]
fn finality_passes_over_a_missing_bank_and_waits_for_its_link() {
    let mut tree = line();
    tree.apply(confirmed(id(12, 0)));
    // 14 was lost; 15 builds on it. That 12 was confirmed does not say that 14 builds on it.
    tree.apply(Event::Sealed(bank(15, 15, 0, id(14, 0))));
    assert_eq!(
        tree.apply(rooted(id(15, 0))),
        [
            Effect::Gap {
                first: 11,
                last: 14,
                top: id(14, 0)
            },
            Effect::Confirmed { number: 15 },
            Effect::Rooted { number: 15 },
        ]
    );
    assert_eq!(tree.nodes().count(), 3);
    assert_eq!(tree.processed_chain(), Line::default());
    assert_eq!(
        tree.apply(Event::Sealed(bank(14, 14, 0, id(13, 0)))),
        [
            Effect::Added { number: 14 },
            Effect::Rooted { number: 11 },
            Effect::Rooted { number: 12 },
            Effect::Confirmed { number: 13 },
            Effect::Rooted { number: 13 },
            Effect::Confirmed { number: 14 },
            Effect::Rooted { number: 14 },
            Effect::GapClosed { first: 11 },
        ]
    );
    assert_eq!(tree.nodes().count(), 0);
}

#[test]
fn a_bank_of_a_gap_that_is_said_to_be_final_waits_for_nothing() {
    let mut tree = line();
    tree.apply(Event::Sealed(bank(30, 12, 1, id(11, 0))));
    tree.apply(Event::Sealed(bank(31, 14, 1, id(12, 1))));
    tree.apply(Event::Sealed(bank(20, 20, 0, id(19, 0))));
    assert!(tree.apply(rooted(id(20, 0))).contains(&Effect::Gap {
        first: 11,
        last: 19,
        top: id(19, 0)
    }));
    // Its own line is rooted, and what can't be on one chain with it is orphaned.
    assert_eq!(
        tree.apply(rooted(id(12, 0))),
        [
            Effect::GapSplit {
                first: 13,
                top: id(19, 0)
            },
            Effect::Confirmed { number: 11 },
            Effect::Rooted { number: 11 },
            Effect::Confirmed { number: 12 },
            Effect::Rooted { number: 12 },
            Effect::Orphaned { number: 30 },
            Effect::GapClosed { first: 11 },
            Effect::Orphaned { number: 31 },
        ]
    );
    // One that was not seen is waited for.
    assert_eq!(
        tree.apply(rooted(id(15, 0))),
        [
            Effect::GapSplit {
                first: 16,
                top: id(19, 0)
            },
            Effect::GapShrunk {
                first: 13,
                top: id(15, 0)
            },
        ]
    );
    assert_eq!(tree.apply(rooted(id(15, 0))), []);
    let effects = tree.apply(Event::Sealed(bank(32, 15, 0, id(13, 0))));
    assert!(effects.contains(&Effect::Rooted { number: 13 }));
    assert_eq!(effects.last(), Some(&Effect::GapClosed { first: 13 }));
    assert_eq!(tree.state().gaps, BTreeMap::from([(16, id(19, 0))]));
    assert!(matches!(
        tree.apply(rooted(id(19, 1)))[0],
        Effect::Alarm(Anomaly::RootConflict { root: 19, .. })
    ));
}

#[test]
fn confirmed_banks_of_an_abandoned_fork_are_never_rooted() {
    let mut tree = SlotTree::default();
    tree.apply(base(1, 10, Some(id(10, 0))));
    for slot in 11..=14 {
        tree.apply(Event::Sealed(bank(
            slot as i64,
            slot,
            1,
            id(slot - 1, if slot == 11 { 0 } else { 1 }),
        )));
    }
    tree.apply(confirmed(id(14, 1)));
    tree.apply(Event::RunStarted);
    // The chain went on from 10 by 15, which was not seen, and 16.
    tree.apply(Event::Sealed(bank(20, 16, 0, id(15, 0))));
    let effects = tree.apply(rooted(id(16, 0)));
    assert_eq!(
        effects
            .iter()
            .filter(|e| matches!(e, Effect::Rooted { .. }))
            .count(),
        1
    );
    let effects = tree.apply(Event::Sealed(bank(21, 15, 0, id(10, 0))));
    for number in 11..=14 {
        assert!(
            effects.contains(&Effect::Orphaned { number }),
            "{effects:?}"
        );
    }
    assert!(effects.contains(&Effect::GapClosed { first: 11 }));
}

#[test]
fn a_root_that_was_never_sealed_is_the_top_of_its_gap() {
    let mut tree = line();
    assert_eq!(
        tree.apply(rooted(id(14, 0))),
        [Effect::Gap {
            first: 11,
            last: 14,
            top: id(14, 0)
        }]
    );
    // What builds on it is on the chain.
    tree.apply(Event::Sealed(bank(15, 15, 0, id(14, 0))));
    assert_eq!(
        tree.apply(rooted(id(15, 0))),
        [
            Effect::Confirmed { number: 15 },
            Effect::Rooted { number: 15 }
        ]
    );
    let effects = tree.apply(Event::Sealed(bank(14, 14, 0, id(13, 0))));
    assert_eq!(effects.last(), Some(&Effect::GapClosed { first: 11 }));
    assert_eq!(
        effects
            .iter()
            .filter(|e| matches!(e, Effect::Rooted { .. }))
            .count(),
        4
    );
}

#[test]
fn late_banks_are_kept_in_whatever_order_they_come() {
    for order in [[11, 12, 13], [13, 12, 11], [12, 11, 13], [11, 13, 12]] {
        let mut tree = SlotTree::default();
        tree.apply(base(1, 10, Some(id(10, 0))));
        tree.apply(Event::Sealed(bank(4, 14, 0, id(13, 0))));
        tree.apply(rooted(id(14, 0)));
        // Beside them a fork that nobody went on with.
        tree.apply(Event::Sealed(bank(99, 12, 1, id(11, 0))));
        let mut all = Vec::new();
        for slot in order {
            all.extend(tree.apply(Event::Sealed(bank(slot as i64, slot, 0, id(slot - 1, 0)))));
        }
        for number in 11..=13 {
            assert!(
                all.contains(&Effect::Rooted { number }),
                "{order:?}: {all:?}"
            );
        }
        assert!(
            all.contains(&Effect::Orphaned { number: 99 }),
            "{order:?}: {all:?}"
        );
        assert!(
            tree.state().gaps.is_empty() && tree.nodes().count() == 0,
            "{order:?}"
        );
    }
}

#[test]
fn banks_that_wait_below_the_root_are_bounded_and_named_when_they_are_given_up() {
    let mut tree = SlotTree::default();
    tree.apply(base(1, 10, Some(id(10, 0))));
    let top = 20 + UNPLACED_LIMIT as u64;
    tree.apply(Event::Sealed(bank(1, top, 0, id(top - 1, 0))));
    tree.apply(rooted(id(top, 0)));
    for slot in 0..UNPLACED_LIMIT as u64 {
        let effects = tree.apply(Event::Sealed(bank(
            slot as i64,
            12 + slot,
            0,
            id(11 + slot, 0),
        )));
        assert_eq!(effects.len(), 1);
    }
    let slot = 13 + UNPLACED_LIMIT as u64;
    let effects = tree.apply(Event::Sealed(bank(-1, slot, 0, id(slot - 1, 0))));
    assert_eq!(
        effects,
        [Effect::Added { number: -1 }, Effect::GivenUp { number: 0 }]
    );
}

#[test]
fn gaps_are_bounded_and_give_up_what_waits_in_them() {
    let mut tree = SlotTree::default();
    tree.apply(base(1, 10, Some(id(10, 0))));
    tree.apply(rooted(id(15, 0)));
    tree.apply(Event::Sealed(bank(2, 13, 0, id(12, 0))));
    let mut all = Vec::new();
    for n in 0..GAP_LIMIT as u64 {
        all.extend(tree.apply(rooted(id(20 + 5 * n, 0))));
    }
    assert!(all.contains(&Effect::GivenUp { number: 2 }));
    assert!(all.contains(&Effect::GapGivenUp { first: 11 }));
    assert_eq!(tree.state().gaps.len(), GAP_LIMIT);
}

#[test]
fn a_whole_bank_takes_the_place_of_an_incomplete_one_before_and_after_its_root() {
    let part = |number, slot, whole| {
        Event::Sealed(Bank {
            whole,
            ..bank(number, slot, 0, id(slot - 1, 0))
        })
    };
    let mut tree = SlotTree::default();
    tree.apply(base(1, 10, Some(id(10, 0))));
    tree.apply(part(11, 11, false));
    tree.apply(part(12, 12, false));
    assert_eq!(tree.processed_chain().inexact_through, Some(12));
    assert_eq!(
        tree.apply(part(20, 11, false)),
        [Effect::Ignored { number: 20 }]
    );
    assert_eq!(
        tree.apply(part(21, 12, true)),
        [Effect::Completed { number: 12, by: 21 }]
    );
    assert_eq!(tree.processed_chain().inexact_through, Some(11));
    tree.apply(rooted(id(12, 0)));
    assert_eq!(
        tree.apply(part(22, 11, true)),
        [Effect::Completed { number: 11, by: 22 }]
    );
    assert_eq!(
        tree.apply(part(23, 11, true)),
        [Effect::Ignored { number: 23 }]
    );
}

#[test]
fn a_bank_that_is_not_whole_waits_for_its_content_beyond_the_rooted_ones_that_are_remembered() {
    let number = |slot: u64| slot as i64;
    let part = |slot, fork, whole| {
        let parent = id(slot - 1, 0);
        let number = number(slot) + i64::from(fork) * 10_000 + i64::from(whole) * 50_000;
        Event::Sealed(Bank {
            whole,
            ..bank(number, slot, fork, parent)
        })
    };
    let memory = ROOTED_MEMORY as u64;
    let mut tree = SlotTree::default();
    tree.apply(base(1, 10, Some(id(10, 0))));
    for slot in 11..=memory + 20 {
        tree.apply(part(slot, 0, slot != 11 && slot != 13));
        tree.apply(rooted(id(slot, 0)));
    }
    assert_eq!(tree.state().rooted.keys().next(), Some(&21));
    assert_eq!(SlotTree::restore(tree.state()), tree);
    // Another block, the same one not whole again, one that was whole: nothing new.
    for (slot, fork, whole) in [(11, 1, true), (11, 0, false), (12, 0, true)] {
        let effects = tree.apply(part(slot, fork, whole));
        assert!(
            matches!(effects[..], [Effect::Ignored { .. }]),
            "{effects:?}"
        );
    }
    for slot in [13, 11] {
        let (number, by) = (number(slot), number(slot) + 50_000);
        assert_eq!(
            tree.apply(part(slot, 0, true)),
            [Effect::Completed { number, by }]
        );
        assert_eq!(
            tree.apply(part(slot, 0, true)),
            [Effect::Ignored { number: by }]
        );
    }
    assert!(tree.state().unfinished.is_empty());
}

#[test]
fn a_hole_never_turns_a_view_back_to_the_root() {
    let mut tree = line();
    tree.apply(confirmed(id(12, 0)));
    // A plugin that is loaded again: 14 has no seal.
    tree.apply(Event::RunStarted);
    tree.apply(Event::Sealed(bank(15, 15, 0, id(14, 0))));
    let whole = |banks: &[i64], inexact_through| Line {
        banks: banks.to_vec(),
        inexact_through,
    };
    assert_eq!(tree.processed_chain(), whole(&[11, 12, 13, 15], Some(14)));
    assert_eq!(tree.confirmed_chain(), whole(&[11, 12], None));
    tree.apply(confirmed(id(15, 0)));
    assert_eq!(tree.confirmed_chain(), whole(&[11, 12, 15], Some(14)));
    // It comes late.
    tree.apply(Event::Sealed(bank(14, 14, 0, id(13, 0))));
    assert_eq!(tree.processed_chain(), whole(&[11, 12, 13, 14, 15], None));
}

#[test]
fn below_a_hole_a_view_follows_what_is_confirmed() {
    let mut tree = line();
    tree.apply(Event::Sealed(bank(20, 12, 1, id(11, 0))));
    tree.apply(confirmed(id(12, 1)));
    tree.apply(Event::Sealed(bank(21, 16, 1, id(15, 1))));
    assert_eq!(tree.processed_chain().banks, [11, 20, 21]);
}

#[test]
fn a_bank_that_cannot_descend_from_the_root_is_never_the_tip() {
    let mut tree = line();
    tree.apply(rooted(id(12, 0)));
    for (number, slot, parent) in [
        (30, 19, id(11, 1)),
        (31, 20, id(19, 1)),
        (32, 21, id(12, 7)),
    ] {
        assert_eq!(
            tree.apply(Event::Sealed(bank(number, slot, 1, parent))),
            [Effect::Added { number }, Effect::Orphaned { number }]
        );
    }
    assert_eq!(tree.processed_chain().banks, [13]);
    assert_eq!(tree.apply(confirmed(id(19, 1))), []);
    assert_eq!(
        tree.apply(Event::Sealed(bank(33, 19, 1, id(11, 1)))),
        [Effect::Ignored { number: 33 }]
    );
    assert_eq!(tree.state().pending_confirmed.len(), 0);
}

#[test]
fn a_bank_that_was_given_up_stays_on_no_chain_but_its_own() {
    let mut tree = line();
    tree.apply(Event::GivenUp(id(12, 0)));
    tree.apply(Event::GivenUp(id(12, 1)));
    tree.apply(Event::RunStarted);
    tree.apply(Event::Sealed(bank(20, 13, 1, id(12, 1))));
    assert_eq!(tree.apply(rooted(id(11, 0))).len(), 2);
    let effects = tree.apply(rooted(id(13, 1)));
    assert!(effects.contains(&Effect::Rooted { number: 20 }));
    assert!(effects.contains(&Effect::Gap {
        first: 12,
        last: 12,
        top: id(12, 1)
    }));
    assert!(
        effects.contains(&Effect::Orphaned { number: 12 })
            && effects.contains(&Effect::Orphaned { number: 13 })
    );
}

#[test]
fn another_bank_of_a_slot_stands_when_one_is_given_up() {
    let mut tree = line();
    tree.apply(Event::Sealed(bank(20, 13, 1, id(12, 0))));
    tree.apply(Event::GivenUp(id(13, 0)));
    assert_eq!(tree.processed_chain().banks, [11, 12, 20]);
}

#[test]
fn missing_banks_that_come_late_close_their_gap() {
    let mut tree = SlotTree::default();
    tree.apply(base(1, 10, Some(id(10, 0))));
    tree.apply(Event::Sealed(bank(2, 13, 0, id(12, 0))));
    assert!(tree.apply(rooted(id(13, 0))).contains(&Effect::Gap {
        first: 11,
        last: 12,
        top: id(12, 0)
    }));
    assert_eq!(
        tree.apply(Event::Sealed(bank(3, 12, 0, id(11, 0)))),
        [
            Effect::Added { number: 3 },
            Effect::Confirmed { number: 3 },
            Effect::Rooted { number: 3 },
            Effect::GapShrunk {
                first: 11,
                top: id(11, 0)
            },
        ]
    );
    let effects = tree.apply(Event::Sealed(bank(4, 11, 0, id(10, 0))));
    assert_eq!(effects.last(), Some(&Effect::GapClosed { first: 11 }));
    assert!(tree.state().gaps.is_empty());
}

#[test]
fn contradictions_are_alarms_and_never_stop_the_tree() {
    let mut tree = line();
    tree.apply(Event::Sealed(bank(20, 12, 1, id(11, 0))));
    tree.apply(confirmed(id(12, 0)));
    let effects = tree.apply(confirmed(id(12, 1)));
    assert!(
        matches!(effects[0], Effect::Alarm(Anomaly::ConfirmedFork { .. })),
        "{effects:?}"
    );
    let effects = tree.apply(rooted(id(10, 9)));
    assert!(matches!(
        effects[0],
        Effect::Alarm(Anomaly::RootConflict { root: 10, .. })
    ));
    let own_parent = bank(50, 20, 0, id(20, 0));
    assert!(matches!(
        tree.apply(Event::Sealed(own_parent))[1],
        Effect::Alarm(Anomaly::Malformed { .. })
    ));
}

/// Random histories: a random tree of banks, sealed in random order with statuses of one main chain
/// mixed in, some seals lost.
fn history() -> impl Strategy<Value = Vec<Event>> {
    (
        proptest::collection::vec(
            (1u64..4, any::<proptest::sample::Index>(), any::<bool>()),
            1..40,
        ),
        proptest::collection::vec(any::<(u8, u8, bool)>(), 0..80),
        any::<bool>(),
    )
        .prop_map(|(shape, order, with_base)| {
            let mut banks = vec![(id(0, 0), id(0, 0))];
            for (index, (step, parent, extend)) in shape.into_iter().enumerate() {
                let parent = if extend {
                    banks[banks.len() - 1].0
                } else {
                    parent.get(&banks).0
                };
                banks.push((id(parent.slot + step, index as u8 % 5), parent));
            }
            banks.sort();
            banks.dedup_by_key(|b| b.0);
            // The main chain: ancestors of the last bank.
            let mut main = vec![banks[banks.len() - 1]];
            while let Some(parent) = banks
                .iter()
                .find(|b| b.0 == main[main.len() - 1].1 && b.0.slot > 0)
            {
                main.push(*parent);
            }
            main.reverse();
            let mut events = Vec::new();
            if with_base {
                events.push(base(1_000, 0, Some(id(0, 0))));
            }
            let mut sealed: Vec<Event> = banks[1..]
                .iter()
                .enumerate()
                .map(|(n, (id, parent))| {
                    Event::Sealed(Bank {
                        number: n as i64 + 1,
                        id: *id,
                        parent: *parent,
                        whole: true,
                    })
                })
                .collect();
            let mut upto = 0;
            for (pick, kind, lose) in order {
                match kind % 9 {
                    0..=4 if !sealed.is_empty() => {
                        let at = (pick as usize % 3).min(sealed.len() - 1);
                        let event = sealed.remove(at);
                        if !lose || kind % 2 == 0 {
                            events.push(event);
                        }
                    }
                    5 => events.push(confirmed(main[pick as usize % main.len()].0)),
                    6 => {
                        upto = (upto + pick as usize % 3).min(main.len() - 1);
                        events.push(rooted(main[upto].0));
                    }
                    // A producer that started again says older ones too.
                    8 => events.push(rooted(main[pick as usize % (upto + 1)].0)),
                    7 if lose => events.push(Event::RunStarted),
                    7 => events.push(Event::GivenUp(main[pick as usize % main.len()].0)),
                    _ => {}
                }
            }
            events.extend(sealed);
            events.push(rooted(main[main.len() - 1].0));
            events
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_history_keeps_the_rules(events in history()) {
        let mut tree = SlotTree::default();
        let (mut added, mut confirmed, mut rooted, mut orphaned) =
            (BTreeSet::new(), BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let mut root_slot = None;
        for event in events {
            let before = tree.clone();
            for effect in tree.apply(event) {
                match effect {
                    Effect::Added { number } => prop_assert!(added.insert(number), "added twice"),
                    Effect::Confirmed { number } => {
                        prop_assert!(added.contains(&number));
                        prop_assert!(confirmed.insert(number), "confirmed twice");
                    }
                    Effect::Rooted { number } => {
                        prop_assert!(confirmed.contains(&number), "rooted implies confirmed, said before");
                        prop_assert!(rooted.insert(number), "rooted twice");
                    }
                    Effect::Orphaned { number } | Effect::GivenUp { number } => {
                        prop_assert!(added.contains(&number) && !rooted.contains(&number));
                        prop_assert!(orphaned.insert(number), "orphaned twice");
                    }
                    Effect::Gap { first, last, top } => prop_assert!(first <= last && top.slot == last),
                    _ => {}
                }
            }
            // The root only moves forward; chains are linked and above it.
            let now = tree.root().map(|r| r.slot);
            prop_assert!(now >= root_slot);
            root_slot = now;
            let held: BTreeMap<i64, Bank> = tree.nodes().map(|n| (n.bank.number, n.bank)).collect();
            for chain in [tree.processed_chain(), tree.confirmed_chain()] {
                for pair in chain.banks.windows(2) {
                    let (parent, lower) = (held[&pair[1]].parent, held[&pair[0]].id);
                    let hole = parent.slot > lower.slot && tree.node(parent).is_none();
                    prop_assert!(parent == lower || (hole && chain.inexact_through >= Some(parent.slot)));
                }
                prop_assert!(chain.banks.iter().all(|n| Some(held[n].id.slot) > root_slot || root_slot.is_none()));
            }
            // What was said to be final waits for nothing.
            if let Event::Rooted(id) = event {
                prop_assert!(tree.node(id).is_none(), "final, and it waits");
            }
            // Nothing that is held builds on a bank that is known to be on no chain.
            let state = tree.state();
            let mut parents = held.values().map(|bank| bank.parent);
            prop_assert!(!parents.any(|parent| state.dead.contains(&parent)), "on a dead bank");
            // Every bank is in the tree, rooted or orphaned, exactly one of them.
            for number in &added {
                let places = [held.contains_key(number), rooted.contains(number), orphaned.contains(number)];
                prop_assert_eq!(places.iter().filter(|p| **p).count(), 1, "bank {}", number);
            }
            // Persist and restore at any moment: the same tree, so the same future.
            prop_assert_eq!(SlotTree::restore(tree.state()), tree.clone());
            let mut again = SlotTree::restore(before.state());
            again.apply(event);
            prop_assert_eq!(&again, &tree);
        }
    }

    #[test]
    fn the_order_of_seals_does_not_change_what_is_rooted(order in Just((1..=12i64).collect::<Vec<_>>()).prop_shuffle()) {
        // A line 1..=8 and a fork 9..=12 from 4; everything sealed, in any order, then rooted to 8.
        let parent = |n: i64| match n { 1..=8 => id(n as u64 - 1, 0), 9 => id(4, 0), _ => id(n as u64 - 5, 1) };
        let place = |n: i64| match n { 1..=8 => id(n as u64, 0), _ => id(n as u64 - 4, 1) };
        let mut tree = SlotTree::default();
        tree.apply(base(100, 0, Some(id(0, 0))));
        for n in order {
            tree.apply(Event::Sealed(Bank { number: n, id: place(n), parent: parent(n), whole: true }));
        }
        let effects = tree.apply(rooted(id(8, 0)));
        for n in 1..=8 {
            let found = effects.contains(&Effect::Rooted { number: n });
            prop_assert!(found, "bank {} is not rooted", n);
        }
        for n in 9..=12 {
            let found = effects.contains(&Effect::Orphaned { number: n });
            prop_assert!(found, "bank {} is not orphaned", n);
        }
        prop_assert_eq!(tree.nodes().count(), 0);
    }
}
