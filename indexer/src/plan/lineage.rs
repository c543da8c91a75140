//! What the accounts of a bank were before it.

use std::sync::Arc;

use mythic_interface::state::Key;

use super::{Known, Plan, RootedPrint, State};
use crate::holder::SealedBank;
use crate::projection::{Before, Prints};

/// What is known of accounts before a bank.
pub(super) struct Lineage<'a> {
    /// Of the banks it builds on, newest first, and whether all between were seen whole.
    banks: Vec<(Arc<Prints>, bool)>,
    known: &'a Known,
    /// Rooted writes after this slot can be trusted to be the newest; none can where the line is interrupted.
    trusted: Option<i64>,
}

impl Lineage<'_> {
    pub fn before(&self, key: &Key) -> Before<'_> {
        for (prints, certain) in &self.banks {
            if let Some(print) = prints.get(key) {
                return Before {
                    print: Some(print),
                    certain: *certain,
                };
            }
        }
        let rooted = self.known.get(key);
        Before {
            print: rooted.map(|rooted| &rooted.print),
            certain: rooted
                .zip(self.trusted)
                .is_some_and(|(rooted, after)| rooted.slot > after),
        }
    }
}

impl State {
    /// The line of a bank that event `number` brought down to the root.
    pub(super) fn lineage<'a>(
        &self,
        number: i64,
        bank: &SealedBank,
        known: &'a Known,
    ) -> Lineage<'a> {
        let mut banks = Vec::new();
        let mut certain = true;
        let mut at = bank.parent;
        while let Some(node) = self.tree.node(at) {
            certain &= node.bank.whole;
            if let Some(prints) = self.prints.get(&node.bank.number) {
                banks.push((prints.clone(), certain));
            }
            at = node.bank.parent;
        }
        // A base that came just before is in no print.
        let after_base = self.healed.is_some_and(|healed| healed.event + 1 == number)
            || self
                .tree
                .base()
                .is_some_and(|base| base.number + 1 == number);
        let root = self.tree.root();
        let linked = root.is_some_and(|root| {
            (root.slot, root.hash) == (at.slot, Some(at.hash)) && bank.id.slot > root.slot
        });
        let trusted = (certain && linked && !after_base).then_some(self.doubt_through);
        Lineage {
            banks,
            known,
            trusted,
        }
    }
}

impl Plan {
    /// What an unrooted bank wrote is rooted.
    pub(super) fn root_prints(&mut self, number: i64, slot: i64) {
        let Some(prints) = self.state.prints.remove(&number) else {
            return;
        };
        let prints = Arc::unwrap_or_clone(prints);
        for (key, print) in prints {
            let write = RootedPrint {
                slot,
                ordinal: i32::MAX,
                print,
            };
            self.known.learn(key, write);
        }
    }
}
