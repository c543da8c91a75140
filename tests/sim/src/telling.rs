//! The order of a producer's log: banks that interleave, and statuses that come early, late or not at all.

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::{Plan, Restart, Step};
use crate::rng::Rng;
use crate::story::{BlockId, Item, Word};

/// Writes down what the plugin says while the validator does the plan's steps.
pub(crate) fn tell(plan: &mut Plan) -> Vec<Item> {
    let mut items = Vec::new();
    let mut statuses = Statuses::new(plan);
    let steps = std::mem::take(&mut plan.steps);
    let mut at = 0;
    while at < steps.len() {
        match &steps[at] {
            Step::Restart(restart) => {
                statuses.restart(restart);
                start(plan, restart, at == 0, &mut items);
                at += 1;
            }
            Step::Bank(block) => {
                let mut banks = bank(plan, *block);
                at += 1;
                if let Some(Step::Bank(next)) = steps.get(at)
                    && plan.blocks[*next].parent != Some(*block)
                    && plan.blocks[*block].parent != Some(*next)
                    && plan.blocks[*next].slot != plan.blocks[*block].slot
                    && plan.rng.percent(30)
                {
                    let other = bank(plan, *next);
                    banks = interleave(&mut plan.rng, banks, other);
                    at += 1;
                }
                for item in banks {
                    statuses.around(plan, item, &mut items);
                }
            }
        }
    }
    statuses.end(plan, &mut items);
    possible(plan, items)
}

/// Without what no validator does: it replays no block whose parent it has not, and finalizes none in whose slot it holds another.
fn possible(plan: &Plan, items: Vec<Item>) -> Vec<Item> {
    let mut known: BTreeSet<BlockId> = BTreeSet::new();
    let mut skipped: BTreeSet<BlockId> = BTreeSet::new();
    let mut held: BTreeMap<u64, BlockId> = BTreeMap::new();
    let mut is_possible = |item: &Item| {
        match item {
            Item::Start { base: Some(_), .. } => {
                known.clear();
                held.clear();
            }
            Item::Status {
                block,
                word: Word::Rooted,
                ..
            } => {
                let slot = plan.blocks[*block].slot;
                return held.get(&slot).is_none_or(|held| held == block);
            }
            Item::Create { block, .. } => {
                let parent = plan.blocks[*block].parent;
                let has = parent.is_some_and(|p| plan.blocks[p].canon || known.contains(&p));
                match has {
                    true => {
                        skipped.remove(block);
                        held.insert(plan.blocks[*block].slot, *block);
                    }
                    false => drop(skipped.insert(*block)),
                }
            }
            Item::Seal { block, .. } if !skipped.contains(block) => drop(known.insert(*block)),
            _ => {}
        }
        item.block().is_none_or(|block| !skipped.contains(&block))
    };
    items.into_iter().filter(|item| is_possible(item)).collect()
}

fn start(plan: &mut Plan, restart: &Restart, first: bool, items: &mut Vec<Item>) {
    let mut halved = Vec::new();
    if !first {
        if let Some(tail) = restart.tail {
            // What was written last had not reached the disk.
            for _ in 0..plan.rng.below(6) {
                match items.last() {
                    Some(Item::Start { .. }) | None => break,
                    Some(_) => items.pop(),
                };
            }
            items.push(Item::Break(tail));
        } else {
            if restart.base.is_none() || plan.rng.percent(50) {
                // In the middle of a slot.
                for _ in 0..plan.rng.below(3) {
                    if let Some(Item::Write { .. } | Item::Seal { .. }) = items.last() {
                        halved.extend(items.pop());
                    }
                }
            }
            items.push(Item::End);
        }
    }
    items.push(Item::Start {
        base: restart.base,
        primed: plan.rng.percent(90),
    });
    if restart.base.is_none() {
        items.extend(halved.into_iter().rev());
    }
    for block in &restart.boot {
        for index in 0..plan.blocks[*block].acts.len() {
            items.push(Item::Boot {
                block: *block,
                index,
            });
        }
    }
}

/// One bank's entries. A block that is not on the true chain may be found dead, or be replayed no further.
fn bank(plan: &mut Plan, block: BlockId) -> Vec<Item> {
    let acts = plan.blocks[block].acts.len();
    let rng = &mut plan.rng;
    let create = Item::Create { block, lost: false };
    let seal = Item::Seal { block, lost: false };
    let write = |index| Item::Write {
        block,
        index,
        lost: false,
    };
    let mut items = Vec::new();
    if rng.percent(8) {
        // Replayed again, after a part of it or all.
        for _ in 0..rng.between(1, 3) {
            items.push(create.clone());
            if rng.percent(40) {
                items.extend((0..acts).map(write));
                items.push(seal.clone());
            } else {
                items.extend((0..rng.below(acts + 1)).map(write));
            }
        }
    }
    items.push(create);
    let order = shuffled(plan, block);
    let rng = &mut plan.rng;
    if !plan.blocks[block].canon && rng.percent(20) {
        let seen = rng.below(acts + 1);
        items.extend(order.into_iter().take(seen).map(write));
        if rng.percent(70) {
            items.push(Item::Dead { block });
        }
        return items;
    }
    items.extend(order.into_iter().map(write));
    items.push(seal);
    items
}

/// Different accounts come in any order, each account in its own.
fn shuffled(plan: &mut Plan, block: BlockId) -> Vec<usize> {
    let acts = &plan.blocks[block].acts;
    let mut order: Vec<usize> = (0..acts.len()).collect();
    for _ in 0..acts.len() {
        let at = plan.rng.below(acts.len());
        if at + 1 < order.len() && acts[order[at]].0 != acts[order[at + 1]].0 {
            order.swap(at, at + 1);
        }
    }
    order
}

fn interleave(rng: &mut Rng, one: Vec<Item>, other: Vec<Item>) -> Vec<Item> {
    let mut both = Vec::new();
    let (mut one, mut other) = (one.into_iter().peekable(), other.into_iter().peekable());
    while one.peek().is_some() || other.peek().is_some() {
        match rng.percent(50) {
            true => both.extend(one.next()),
            false => both.extend(other.next()),
        }
    }
    both
}

/// What is said of slots, while banks go by.
struct Statuses {
    places: BTreeMap<BlockId, usize>,
    /// Place of the true chain at whose seal something is said.
    due: Vec<(usize, Item)>,
    /// The newest finalized place that this run has said, or started from.
    root: usize,
    /// The newest place that was sealed.
    newest: usize,
    early: BTreeSet<BlockId>,
}

impl Statuses {
    fn new(plan: &mut Plan) -> Self {
        let places = plan.canon.iter().enumerate();
        let places: BTreeMap<BlockId, usize> = places.map(|(at, block)| (*block, at)).collect();
        let early = plan.canon.iter().copied();
        let early: Vec<BlockId> = early.collect();
        let early = early.into_iter().filter(|_| plan.rng.percent(6)).collect();
        Self {
            places,
            due: Vec::new(),
            root: 0,
            newest: 0,
            early,
        }
    }

    fn restart(&mut self, restart: &Restart) {
        if let Some(root) = restart.root {
            self.root = root;
            self.due.clear();
        }
    }

    fn around(&mut self, plan: &mut Plan, item: Item, items: &mut Vec<Item>) {
        if let Item::Create { block, .. } = &item
            && self.early.remove(block)
        {
            items.push(say(*block, Word::Confirmed));
        }
        let sealed = match &item {
            Item::Seal { block, .. } => Some(*block),
            _ => None,
        };
        items.push(item);
        let Some(block) = sealed else { return };
        if plan.rng.percent(70) {
            items.push(say(block, Word::Processed));
        }
        let Some(place) = self.places.get(&block).copied() else {
            if plan.abandoned.contains(&block) && plan.rng.percent(70) {
                items.push(say(block, Word::Confirmed));
            }
            return;
        };
        self.newest = self.newest.max(place);
        for _ in 0..2 {
            // Some are never confirmed, few twice.
            if plan.rng.percent(42) {
                let late = plan.rng.below(plan.lag + 2);
                self.due.push((place + late, say(block, Word::Confirmed)));
            }
        }
        let mut due: Vec<Item> = Vec::new();
        self.due.retain(|(when, item)| {
            let now = *when <= place;
            if now {
                due.push(item.clone());
            }
            !now
        });
        items.extend(due);
        while self.root + plan.lag < place {
            self.root += 1;
            self.say_root(plan, items);
        }
    }

    fn say_root(&mut self, plan: &mut Plan, items: &mut Vec<Item>) {
        if plan.rng.percent(90) {
            items.push(say(plan.canon[self.root], Word::Rooted));
        }
    }

    /// In the end most blocks are finalized.
    fn end(&mut self, plan: &mut Plan, items: &mut Vec<Item>) {
        let last = self.newest.saturating_sub(plan.rng.below(3));
        while self.root < last {
            self.root += 1;
            self.say_root(plan, items);
        }
    }
}

fn say(block: BlockId, word: Word) -> Item {
    Item::Status {
        block,
        word,
        lost: false,
    }
}
