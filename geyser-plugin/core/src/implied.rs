//! Banks of a validator that does not say when it creates one: where a bank begins, and whether all of it was seen.
//!
//! A bank's accounts are written after its parent is frozen, and before it is frozen itself. So a bank whose first account came after
//! this run saw its parent frozen was seen from its beginning. What comes before this run saw any freeze (replay at boot, the rest of a
//! bank in whose middle the plugin was loaded) belongs to no bank. An account of a slot that is frozen already begins the slot anew: the validator
//! dumped the block and replays another one.

use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

/// More than the slots that are ever open together, or that a child may have between it and its parent.
const KEPT: usize = 1024;

#[derive(Debug, Default)]
pub(crate) struct Implied {
    any_frozen: AtomicBool,
    order: Mutex<Order>,
}

/// What happened when, in one count.
#[derive(Debug, Default)]
struct Order {
    now: u64,
    /// Banks that began and are not frozen.
    opened: BTreeMap<u64, u64>,
    /// Slots up to this one are forgotten: none of them begins.
    forgotten: Option<u64>,
    frozen: BTreeMap<u64, u64>,
}

impl Order {
    fn tick(&mut self) -> u64 {
        self.now += 1;
        self.now
    }
}

impl Implied {
    /// A bank of `slot` seems to begin; whoever else comes with an account of it waits here until it has. `open` is called once for
    /// each bank, whether it succeeds or not: one that began late would be sealed without its beginning. It is not called before anything
    /// was frozen in this run.
    pub fn begin(&self, slot: u64, open: impl FnOnce()) {
        if !self.any_frozen.load(Relaxed) {
            return;
        }
        let mut order = self.order.lock();
        let forgotten = order.forgotten.is_some_and(|last| slot <= last);
        if forgotten || order.opened.contains_key(&slot) {
            return;
        }
        let now = order.tick();
        order.opened.insert(slot, now);
        if order.opened.len() > KEPT {
            order.forgotten = order.opened.pop_first().map(|(slot, _)| slot);
        }
        open();
    }

    /// A bank is frozen; whether it was seen from its beginning.
    pub fn freeze(&self, slot: u64, parent: u64) -> bool {
        let mut order = self.order.lock();
        let opened = order.opened.remove(&slot);
        let frozen = order.frozen.get(&parent);
        let whole = opened.is_some_and(|opened| frozen.is_some_and(|frozen| *frozen < opened));
        let now = order.tick();
        order.frozen.insert(slot, now);
        if order.frozen.len() > KEPT {
            order.frozen.pop_first();
        }
        self.any_frozen.store(true, Relaxed);
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begins(implied: &Implied, slot: u64) -> bool {
        let mut opened = false;
        implied.begin(slot, || opened = true);
        opened
    }

    #[test]
    fn a_bank_is_whole_if_it_began_after_its_parent_was_frozen() {
        let implied = Implied::default();
        // Replay at boot, and the bank that was under way.
        assert!(!begins(&implied, 5));
        assert!(!implied.freeze(5, 4));
        assert!(begins(&implied, 6));
        // Another fork, whose parent this run did not see frozen.
        assert!(begins(&implied, 7));
        assert!(implied.freeze(6, 5));
        assert!(!implied.freeze(7, 3));
        // A child that was begun before its parent was frozen. Nothing begins twice.
        assert!(begins(&implied, 9) && begins(&implied, 8));
        assert!(!begins(&implied, 9) && !begins(&implied, 8));
        assert!(implied.freeze(8, 6));
        assert!(!implied.freeze(9, 8));
        // Dumped and replayed, on another parent.
        assert!(begins(&implied, 8));
        assert!(implied.freeze(8, 5));
        // Frozen again without an account.
        assert!(!implied.freeze(8, 5));
    }

    #[test]
    fn what_is_remembered_has_an_end() {
        let implied = Implied::default();
        for slot in 1..10_000 {
            implied.freeze(slot, slot - 1);
            assert!(begins(&implied, slot + 20_000));
        }
        assert!(!begins(&implied, 20_001), "its beginning is forgotten");
        let order = implied.order.lock();
        assert!(order.frozen.len() <= KEPT && order.opened.len() <= KEPT);
    }
}
