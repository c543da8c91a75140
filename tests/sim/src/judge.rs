//! Compares what the index shows with the plain model.
//!
//! The rules, all from what the pipeline promises:
//! - What is final is on the true chain, and all of it that is linked is final.
//! - A view shows one chain; the processed one ends in the highest bank known, the confirmed one in the highest confirmed.
//! - A row that says `exact` equals the truth at its view's head, and nothing that could have changed it was missed.
//! - A row whose newest write came in a whole, linked bank equals the truth even if it says that it is not exact.

use std::collections::{BTreeMap, BTreeSet};

use crate::accounts;
use crate::chain::{Chain, Knowledge, Link};
use crate::log::hash;
use crate::observer::Observer;
use crate::story::{BlockId, Item, Kind, Story, Word};
use crate::tables::{BankRow, Commitment, HeldRow, Row, View};
use crate::truth::{Expected, Name, Truth};

/// A difference between index and model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which rule it breaks.
    pub rule: &'static str,
    pub what: String,
}

/// What a comparison found.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    pub faults: Vec<Fault>,
    pub rows: usize,
    /// Rows that say `exact = false`, each with a reason.
    pub inexact: usize,
}

impl Verdict {
    pub fn fault(&mut self, rule: &'static str, what: String) {
        self.faults.push(Fault { rule, what });
    }
}

/// The views and banks at one moment.
#[derive(Debug)]
pub struct Shown {
    pub views: BTreeMap<Commitment, View>,
    pub banks: Vec<BankRow>,
    pub held: Vec<HeldRow>,
}

pub struct Judge<'a> {
    pub story: &'a Story,
    pub truth: &'a Truth,
    pub seen: &'a Observer,
    blocks: BTreeMap<String, BlockId>,
    pub verdict: Verdict,
}

impl<'a> Judge<'a> {
    pub fn new(story: &'a Story, truth: &'a Truth, seen: &'a Observer) -> Self {
        let text = |block| bs58::encode(hash(story, block)).into_string();
        Self {
            story,
            truth,
            seen,
            blocks: (0..story.blocks.len())
                .map(|block| (text(block), block))
                .collect(),
            verdict: Verdict::default(),
        }
    }

    pub fn block(&self, blockhash: Option<&str>) -> Option<BlockId> {
        self.blocks.get(blockhash?).copied()
    }

    pub fn name(&self, block: BlockId) -> String {
        format!("block {block} (slot {})", self.story.slot(block))
    }

    /// Two producers that have different updates of a block are an alarm. After a restart the indexer can't compare any more.
    pub fn digests(&mut self, alarm: bool) {
        let mut troubles = self.story.items.iter();
        let disturbed = troubles.any(|item| matches!(item, Item::Trouble(_)));
        let lie = self.story.has_lie();
        if alarm && !lie {
            let what = "an alarm says that updates differ, and they do not".into();
            self.verdict.fault("digest", what);
        }
        if lie && !alarm && !disturbed && self.seen.lied {
            let what = "the second producer lied, and no alarm says it".into();
            self.verdict.fault("digest", what);
        }
    }

    pub fn compare(&mut self, shown: &Shown) {
        let root = self.finalized(&shown.views[&Commitment::Finalized]);
        let chain = Chain::new(self.story, self.seen, root);
        self.banks(&chain, &shown.banks);
        for (commitment, view) in &shown.views {
            let head = match commitment {
                Commitment::Finalized => root.unwrap_or(0),
                _ => {
                    let newest = view.slots.iter().find(|row| !row.gap);
                    let head = newest.and_then(|row| self.block(row.blockhash.as_deref()));
                    let head = head.or(root).unwrap_or(0);
                    match commitment {
                        Commitment::Processed => self.processed(&chain, head),
                        _ => self.confirmed(&chain, head),
                    }
                    head
                }
            };
            // Where a block below the head was opened again, what stands on it is in the air.
            if !self.one_chain(*commitment, view, head) || chain.is_torn(head) {
                continue;
            }
            self.rows(&chain, *commitment, view, head);
        }
        self.held(&chain, &shown.held);
    }

    /// What the settler compares with the chain: sums by kind over the rows that say exact.
    fn held(&mut self, chain: &Chain, held: &[HeldRow]) {
        let expected = self.truth.expected(self.story, chain.root());
        let mut sums: BTreeMap<Kind, (i64, i64)> = BTreeMap::new();
        for row in held.iter().filter(|row| row.exact) {
            let truth = expected.get(&row.name);
            let truth = truth.and_then(|e| e.row.as_ref().filter(|_| e.closed_in.is_none()));
            let truth = truth.map_or(0, |(c, _)| accounts::held_for_others(row.name.0, c));
            let (shown, known) = sums.entry(row.name.0).or_default();
            *shown += row.held;
            *known += truth;
        }
        for (kind, (shown, truth)) in sums {
            if shown != truth {
                let what =
                    format!("accounts of kind {kind:?} are said to hold {shown}, truth {truth}");
                self.verdict.fault("held", what);
            }
        }
    }

    /// The network's figures, where everything was seen.
    fn figures(&mut self, commitment: Commitment, view: &View, head: BlockId) {
        let mut truth = [0; 9];
        for ((kind, ..), entity) in &self.truth.expected(self.story, head) {
            let Some((content, _)) = &entity.row else {
                continue;
            };
            let closed = entity.closed_in.is_some();
            for (sum, one) in truth
                .iter_mut()
                .zip(accounts::figures(*kind, content, closed))
            {
                *sum += one;
            }
        }
        if view.figures != truth {
            let what = format!(
                "{}: the network's figures are {:?}, truth {truth:?}",
                commitment.name(),
                view.figures
            );
            self.verdict.fault("figures", what);
        }
    }

    /// The newest finalized block that is shown.
    fn finalized(&mut self, view: &View) -> Option<BlockId> {
        let said = self.seen.root.map(|root| self.story.slot(root));
        let mut root = None;
        for row in view.slots.iter().filter(|row| !row.gap) {
            match self.block(row.blockhash.as_deref()) {
                Some(block) if self.story.blocks[block].canon => {
                    if said.is_none_or(|said| self.story.slot(block) > said) {
                        self.verdict.fault(
                            "early",
                            format!("{} is final, and nobody said so", self.name(block)),
                        );
                    }
                    root = root.max(Some(block));
                }
                Some(block) => {
                    let what = format!("{} is final and not on the true chain", self.name(block));
                    self.verdict.fault("off-chain", what);
                }
                None => self.verdict.fault(
                    "off-chain",
                    format!("an unknown bank of slot {} is final", row.slot),
                ),
            }
        }
        let named = self.seen.said.get(&Word::Rooted).into_iter().flatten();
        let least = named
            .filter(|b| self.seen.sealed.contains(b) && self.story.blocks[**b].canon)
            .max()
            .copied();
        if least > root {
            let what = format!(
                "finality stands at {root:?}, block {least:?} was said to be final and is known"
            );
            self.verdict.fault("behind", what);
        }
        root
    }

    fn processed(&mut self, chain: &Chain, head: BlockId) {
        if head != chain.root() && chain.link(head) == Link::Off {
            self.verdict.fault(
                "head-off",
                format!(
                    "the processed view ends in {}, off the finalized chain",
                    self.name(head)
                ),
            );
        }
        if self.seen.gone.contains(&head) {
            self.verdict.fault(
                "head-gone",
                format!(
                    "the processed view ends in {}, whose slot is dead",
                    self.name(head)
                ),
            );
        }
        let kept = chain.firm().filter(|block| !chain.is_left(*block));
        let kept = kept.filter(|_| chain.ends_unseen().is_none());
        let best = kept.max_by_key(|block| self.story.slot(*block));
        if let Some(best) = best.filter(|best| self.story.slot(*best) > self.story.slot(head)) {
            let what = format!(
                "the processed view ends in {}, and {} is known",
                self.name(head),
                self.name(best)
            );
            self.verdict.fault("head-behind", what);
        }
    }

    fn confirmed(&mut self, chain: &Chain, head: BlockId) {
        let seen = self.seen;
        let sure: Vec<BlockId> = chain
            .firm()
            .filter(|_| chain.ends_unseen().is_none())
            .filter(|b| seen.named(Word::Confirmed, *b) || seen.named(Word::Rooted, *b))
            .collect();
        let best = sure
            .iter()
            .copied()
            .max_by_key(|block| self.story.slot(*block));
        if let Some(best) = best {
            let path: BTreeSet<BlockId> = self.story.path(best).into_iter().collect();
            let one_chain = sure.iter().all(|block| path.contains(block));
            if one_chain && self.story.slot(best) > self.story.slot(head) {
                let what = format!(
                    "the confirmed view ends in {}, and {} is confirmed",
                    self.name(head),
                    self.name(best)
                );
                self.verdict.fault("confirmed-behind", what);
            }
        }
        let perhaps =
            |block: BlockId| seen.named(Word::Confirmed, block) || seen.named(Word::Rooted, block);
        let allowed = head == chain.root()
            || chain.link(head) != Link::Off
                && seen
                    .sealed
                    .iter()
                    .any(|block| perhaps(*block) && self.story.path(*block).contains(&head));
        if !allowed {
            self.verdict.fault(
                "confirmed-never",
                format!(
                    "the confirmed view ends in {}, which nobody confirmed",
                    self.name(head)
                ),
            );
        }
    }

    fn banks(&mut self, chain: &Chain, banks: &[BankRow]) {
        let root = chain.root();
        let linked = chain.linked_below();
        let mut status: BTreeMap<BlockId, &str> = BTreeMap::new();
        for row in banks {
            match self.block(row.blockhash.as_deref()) {
                Some(block) => drop(status.insert(block, row.status.as_str())),
                None if row.blockhash.is_none() => {}
                None => self.verdict.fault(
                    "bank-unknown",
                    format!("a bank of slot {} that nobody sealed", row.slot),
                ),
            }
        }
        for (block, status) in &status {
            let canon = self.story.blocks[*block].canon;
            let passed =
                self.story.slot(*block) <= self.story.slot(root) && self.seen.root.is_some();
            let gone =
                matches!(*status, "orphaned") || *status == "dead" && !self.seen.is_torn(*block);
            if canon && gone {
                self.verdict.fault(
                    "orphaned",
                    format!("{} is {status} and on the true chain", self.name(*block)),
                );
            }
            let off = chain.link(*block) == Link::Off && passed;
            if !canon
                && off
                && matches!(*status, "processed" | "confirmed")
                && !chain.is_adrift(*block)
            {
                self.verdict.fault(
                    "left",
                    format!(
                        "{} is {status}, and finality passed it on another chain",
                        self.name(*block)
                    ),
                );
            }
        }
        for block in linked {
            let found = status.get(&block).copied().unwrap_or("not there");
            if self.seen.sealed.contains(&block) && found != "finalized" {
                let what = format!(
                    "{} is linked to the finalized {} and is {found}",
                    self.name(block),
                    self.name(root)
                );
                self.verdict.fault("not-final", what);
            }
        }
    }

    /// Whether the view shows one bank a slot, each the parent of the next where that is known.
    fn one_chain(&mut self, commitment: Commitment, view: &View, head: BlockId) -> bool {
        let path: BTreeSet<BlockId> = self.story.path(head).into_iter().collect();
        let rows: Vec<_> = view.slots.iter().filter(|row| !row.gap).collect();
        for two in rows.windows(2) {
            if two[0].slot == two[1].slot {
                let what = format!(
                    "{} shows two banks of slot {}",
                    commitment.name(),
                    two[0].slot
                );
                self.verdict.fault("two-chains", what);
                return false;
            }
            let (Some(upper), Some(lower)) = (
                self.block(two[0].blockhash.as_deref()),
                self.block(two[1].blockhash.as_deref()),
            ) else {
                continue;
            };
            // Below a hole nobody can tell for sure which block follows.
            let parent = self.story.blocks[upper].parent;
            let known =
                parent.is_some_and(|p| self.seen.sealed.contains(&p) && !self.seen.is_torn(p));
            if known && path.contains(&upper) && parent != Some(lower) {
                let what = format!(
                    "{} shows {} below {}",
                    commitment.name(),
                    self.name(lower),
                    self.name(upper)
                );
                self.verdict.fault("two-chains", what);
                return false;
            }
        }
        true
    }

    fn rows(&mut self, chain: &Chain, commitment: Commitment, view: &View, head: BlockId) {
        let known = chain.knowledge(head);
        let expected = self.truth.expected(self.story, head);
        for (name, expected) in &expected {
            self.verdict.rows += 1;
            self.row(&known, (commitment, *name), expected, view.rows.get(name));
        }
        for (name, row) in view
            .rows
            .iter()
            .filter(|(name, _)| !expected.contains_key(name))
        {
            let what = format!(
                "{} shows {name:?}, which never was on its chain: {row:?}",
                commitment.name()
            );
            if row.exact || known.is_complete() {
                self.verdict.fault("ghost", what);
            }
        }
        if known.is_complete() && !known.has_hole() {
            self.stakes(commitment, view, head);
            self.figures(commitment, view, head);
        }
    }

    /// What a closing closed is not asked again once more is known: the address held what can't be read, and the closing may have
    /// come before what made it readable, or after its next use; or more came when it was closed. Below a hole the row may be that of
    /// another chain.
    fn is_doubtful(&self, known: &Knowledge, name: Name, expected: &Expected) -> bool {
        let closed_late =
            |block: BlockId| self.seen.may_be_late(block) && known.was_spoiled(self.truth, name.1);
        // What it was last, or a block between that and its closing, came when it was closed.
        let told_late = |closed_in: BlockId| {
            let last = expected.row.as_ref().map_or(closed_in, |(_, block)| *block);
            let mut until = known.between(last, closed_in);
            until.any(|block| self.seen.came_late(block))
        };
        let closed_in = expected.closed_in;
        expected.doubted
            || closed_in.is_some_and(|block| told_late(block) || closed_late(block))
            || known.is_misled(self.truth, name.1)
    }

    /// Whether a row says rightly when it was closed, as far as that can be known.
    fn is_dated(&self, known: &Knowledge, name: Name, expected: &Expected, row: &Row) -> bool {
        let closed = expected.closed_in;
        let closed = closed.map(|block| self.story.slot(block) as i64);
        let missed = expected.closed_in.is_some_and(|b| known.is_missed(b));
        match (row.closed_slot, closed) {
            // What start-up accounts lack was closed by then.
            (Some(shown), Some(closed)) if missed && !row.exact => shown >= closed,
            // An account that is there again, with content that can't be read, may be the one of before.
            (None, Some(_)) if missed && !row.exact => known.is_spoiled(self.truth, name.1),
            (shown, closed) => shown == closed,
        }
    }

    fn row(
        &mut self,
        known: &Knowledge,
        (commitment, name): (Commitment, Name),
        expected: &Expected,
        row: Option<&Row>,
    ) {
        let story = self.story;
        let is_told = |block: BlockId| {
            known.is_sure(block)
                && expected
                    .closed_in
                    .is_none_or(|closed_in| known.is_told(block, closed_in))
        };
        let sure = known.is_sure(expected.newest)
            && expected.row.as_ref().is_none_or(|(_, b)| is_told(*b))
            && !known.is_misled(self.truth, name.1);
        let shown = expected
            .row
            .as_ref()
            .filter(|_| expected.closed_in.is_none() || name.0.stays());
        let tell = |what: &str| {
            let truth = shown.map(|(content, block)| {
                format!(
                    "{:?} seq {} of slot {}",
                    accounts::values(name.0, content),
                    content.seq,
                    story.slot(*block)
                )
            });
            let closed = expected.closed_in.map(|block| story.slot(block));
            format!(
                "{} {name:?} at block {}: {what}; index {}; truth {} (newest write in block {}, closed {closed:?})",
                commitment.name(),
                known.head(),
                row.map_or("has no row".into(), described),
                truth.as_deref().unwrap_or("has no row"),
                expected.newest
            )
        };
        match (row, shown) {
            (None, None) => {}
            (None, Some(_)) if sure && !expected.spoiled => {
                self.verdict.fault("missing", tell("a row is missing"))
            }
            (None, Some(_)) => {}
            (Some(row), None) if row.exact => self.verdict.fault(
                "exact-wrong",
                tell("it is closed or was never readable, and is shown as exact"),
            ),
            (Some(_), None) if sure && !expected.spoiled => self
                .verdict
                .fault("ghost", tell("it is closed and still shown")),
            (Some(_), None) => {}
            (Some(row), Some((content, block))) => {
                self.verdict.inexact += usize::from(!row.exact);
                let slots = story.slot(*block) as i64..=known.newest_write(self.truth, name.1);
                // An account that was closed and made again unseen, with the content that it had: start-up accounts show no
                // difference, and nobody can tell that it is not the one of before.
                let missed = known.is_missed(*block);
                // What start-up accounts told may stand at the slot of the snapshot.
                let equal = row.values == accounts::values(name.0, content)
                    && row.seq == content.seq as i64
                    && (slots.contains(&row.slot)
                        || missed && known.had(self.truth, name.1, row.slot, content)
                        || !row.exact && row.slot >= *slots.start());
                let dated = self.is_dated(known, name, expected, row);
                if name.0.stays() && equal && (sure || row.exact) && !dated {
                    self.verdict
                        .fault("closed-slot", tell("the slot of its closing is wrong"));
                    return;
                }
                let done =
                    name.0.stays() && expected.closed_in.is_some_and(|block| known.is_sure(block));
                if row.exact && expected.spoiled {
                    self.verdict.fault(
                        "exact-unreadable",
                        tell("its newest content can't be read, and it says exact"),
                    );
                } else if row.exact && !equal {
                    self.verdict
                        .fault("exact-wrong", tell("it says exact and is wrong"));
                } else if row.exact && !done && known.missed_after(row.slot) {
                    self.verdict.fault(
                        "exact-unknowable",
                        tell("it says exact, and a later block of the chain was never seen whole"),
                    );
                } else if !row.exact && sure && !expected.spoiled && !equal {
                    self.verdict.fault(
                        "stale",
                        tell("its newest write is known, and it shows something else"),
                    );
                } else if !row.exact
                    && !expected.spoiled
                    && !self.is_doubtful(known, name, expected)
                    && !known.ends_unseen()
                    && !known.perhaps_missed_after(row.slot.min(*slots.start()))
                {
                    self.verdict.fault(
                        "inexact",
                        tell("nothing was missed, and it says that it is not exact"),
                    );
                }
            }
        }
    }

    fn stakes(&mut self, commitment: Commitment, view: &View, head: BlockId) {
        for (account, kind) in self.story.accounts.iter().enumerate() {
            if *kind != Kind::Validator {
                continue;
            }
            let told = view.stakes.get(&account).cloned().unwrap_or_default();
            let truth = self.truth.stakes(self.story, head, account);
            if told != truth {
                let what = format!(
                    "{}: stake of validator {account} is told as {told:?}, truth {truth:?}",
                    commitment.name()
                );
                self.verdict.fault("stakes", what);
            }
        }
    }
}

fn described(row: &Row) -> String {
    format!(
        "{:?} seq {} of slot {} exact {} closed {:?}",
        row.values, row.seq, row.slot, row.exact, row.closed_slot
    )
}
