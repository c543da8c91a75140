//! From a seed to a story: first the blocks as they are, then the order in which one validator met them.

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::{Plan, Restart, Step};
use crate::profile::{Mix, Profile};
use crate::rng::Rng;
use crate::story::{Act, Base, Block, BlockId, Item, Kind, Story, Tail, Trouble};
use crate::telling::tell;

/// The story of a seed.
pub fn generate(seed: u64, profile: Profile) -> Story {
    let mut plan = Plan::new(seed, profile.mix());
    plan.true_chain();
    let sides = plan.sides();
    plan.order(&sides);
    let (batch_updates, rebuild) = (
        *plan.rng.pick(&[1, 2, 5, 20, 100, 20_000]),
        plan.rng.percent(4),
    );
    let mut items = tell(&mut plan);
    plan.lose(&mut items);
    if plan.mix.second {
        plan.order(&sides);
        let mut other = tell(&mut plan);
        plan.lose(&mut other);
        items = weave(&mut plan, items, other);
    }
    plan.flip(&mut items);
    plan.disturb(&mut items);
    plan.repeat(&mut items);
    let later = &mut plan.later;
    Story {
        segment_bytes: plan
            .mix
            .small_segments
            .then(|| *later.pick(&[600, 1_500, 4_000, 20_000])),
        spills: plan.mix.disputes,
        accounts: plan.accounts,
        blocks: plan.blocks,
        items,
        batch_updates,
        rebuild,
    }
}

impl Plan {
    fn new(seed: u64, mix: Mix) -> Self {
        let (mut rng, mut later) = (Rng::new(seed), Rng::new(!seed));
        let number = rng.between(3, 12);
        let kinds = [
            Kind::Vault,
            Kind::Vault,
            Kind::Job,
            Kind::Job,
            Kind::Job,
            Kind::Validator,
            Kind::Grant,
            Kind::Model,
        ];
        let mut accounts: Vec<Kind> = (0..number).map(|_| *rng.pick(&kinds)).collect();
        if rng.percent(2) {
            // Start-up accounts of some size; nothing happens to the others later.
            let others = rng.between(100, 1_500);
            accounts.extend((0..others).map(|_| *rng.pick(&kinds)));
        }
        let lag = rng.between(2, 6);
        if mix.disputes {
            // Every second one, and sometimes more than memory takes: a case, its votes or a page of output are some kilobytes.
            for kind in &mut accounts {
                *kind = *later.pick(&[*kind, *kind, *kind, Kind::Case, Kind::Votes, Kind::Output]);
            }
            if later.percent(6) {
                let others = later.between(50, 250);
                accounts.extend(
                    (0..others).map(|_| *later.pick(&[Kind::Case, Kind::Votes, Kind::Output])),
                );
            }
        }
        if mix.market {
            for kind in &mut accounts {
                let lease = Kind::Lease;
                *kind = *later.pick(&[
                    *kind,
                    Kind::Provider,
                    Kind::Request,
                    lease,
                    lease,
                    Kind::LeaseDispute,
                ]);
            }
        }
        Self {
            rng,
            later,
            mix,
            accounts,
            active: number,
            blocks: Vec::new(),
            canon: Vec::new(),
            steps: Vec::new(),
            lag,
            abandoned: BTreeSet::new(),
            living: Vec::new(),
            slots: BTreeSet::new(),
        }
    }

    fn block(&mut self, slot: u64, parent: Option<BlockId>, canon: bool) -> BlockId {
        let mut living = parent.map(|p| self.living[p].clone()).unwrap_or_default();
        let mut acts = Vec::new();
        let number = match parent {
            Some(_) => [0, 1, 1, 2, 2, 3, 4][self.rng.below(7)],
            None => self.accounts.len(),
        };
        for n in 0..number {
            let account = match parent {
                Some(_) => self.rng.below(self.active),
                None => n,
            };
            let act = match living.contains(&account) {
                false if self.rng.percent(60) => Act::Create,
                false => continue,
                true if !canon && self.later.percent(self.mix.spoiled_forks) => {
                    Act::Spoil(self.later.below(3) as u8)
                }
                true => self.act(),
            };
            match act {
                Act::Create => drop(living.insert(account)),
                Act::Close | Act::GiveAway => drop(living.remove(&account)),
                _ => {}
            }
            acts.push((account, act));
        }
        self.slots.insert(slot);
        self.living.push(living);
        self.blocks.push(Block {
            slot,
            parent,
            acts,
            canon,
        });
        self.blocks.len() - 1
    }

    fn act(&mut self) -> Act {
        let by = self.rng.below(1_000) as u16;
        match self.rng.below(100) {
            n if n < self.mix.spoiled => Act::Spoil(by as u8),
            0..=77 => Act::Change(by),
            78..=82 => Act::Touch,
            83..=87 => Act::Dust,
            88..=95 => Act::Close,
            _ => Act::GiveAway,
        }
    }

    fn true_chain(&mut self) {
        // Some stories pass from one epoch to the next.
        let mut slot = *self.rng.pick(&[10, 1_000, 431_985]);
        let first = self.block(slot, None, true);
        self.canon.push(first);
        let length = self.rng.between(8, 30);
        for _ in 0..length {
            slot += [1, 1, 1, 2, 2, 3, 5][self.rng.below(7)];
            let parent = self.canon.last().copied();
            let block = self.block(slot, parent, true);
            self.canon.push(block);
        }
    }

    /// Side chains: after which place of the true chain each of their blocks is met.
    fn sides(&mut self) -> BTreeMap<usize, Vec<BlockId>> {
        let mut sides: BTreeMap<usize, Vec<BlockId>> = BTreeMap::new();
        for place in 0..self.canon.len() - 1 {
            if !self.rng.percent(self.mix.forks) {
                continue;
            }
            let mut parent = self.canon[place];
            if self.rng.percent(25) {
                // Another block of the slot that the next true block has.
                let slot = self.blocks[self.canon[place + 1]].slot;
                let block = self.block(slot, Some(parent), false);
                sides.entry(place).or_default().push(block);
                continue;
            }
            let mut at = place + self.rng.below(self.lag);
            for _ in 0..self.rng.between(1, 4) {
                let slot = self.blocks[parent].slot + self.rng.between(1, 4) as u64;
                let Some(slot) = (slot..slot + 3).find(|slot| !self.slots.contains(slot)) else {
                    break;
                };
                parent = self.block(slot, Some(parent), false);
                at = at.min(place + self.lag - 1).min(self.canon.len() - 1);
                sides.entry(at).or_default().push(parent);
                at += self.rng.below(2);
            }
        }
        sides
    }

    fn order(&mut self, sides: &BTreeMap<usize, Vec<BlockId>>) {
        let first = Base {
            at: self.canon[0],
            old_rows: self.rng.percent(20),
            lost_row: false,
            wrong_filter: false,
        };
        self.steps.push(Step::Restart(Restart {
            base: Some(first),
            boot: Vec::new(),
            root: Some(0),
            tail: None,
        }));
        let restarts = self.rng.below(self.mix.restarts + 1);
        let at: BTreeSet<usize> = (0..restarts)
            .map(|_| self.rng.between(2, self.canon.len() - 2))
            .collect();
        let mut place = 0;
        let mut skipped = 0;
        while place < self.canon.len() {
            if place > skipped {
                self.steps.push(Step::Bank(self.canon[place]));
                self.again(place);
            }
            let side = sides.get(&place).into_iter().flatten();
            self.steps.extend(side.map(|block| Step::Bank(*block)));
            if at.contains(&place) && place >= skipped {
                skipped = self.restart(place, sides);
                place = place.max(skipped);
            }
            place += 1;
        }
    }

    /// The validator dumps its newest blocks and replays them.
    fn again(&mut self, place: usize) {
        if !self.rng.percent(5) {
            return;
        }
        let deep = self.rng.between(1, self.lag.min(place)) - 1;
        for place in place - deep..=place {
            self.steps.push(Step::Bank(self.canon[place]));
        }
    }

    /// A restart after `place` of the true chain; returns up to where the blocks are known, seen or not.
    fn restart(&mut self, place: usize, sides: &BTreeMap<usize, Vec<BlockId>>) -> usize {
        let tail = match self.rng.below(4) {
            0 => None,
            1 => Some(Tail::Clean),
            2 => Some(Tail::Zeros(self.rng.below(300) as u16)),
            _ => Some(Tail::Noise(self.rng.below(300) as u16)),
        };
        let tail = match tail {
            Some(_) if self.later.percent(self.mix.torn) => {
                let length = self.later.below(300) as u16;
                Some(match self.later.percent(50) {
                    true => Tail::Half(length),
                    false => Tail::Left(length),
                })
            }
            tail => tail,
        };
        if self.rng.percent(self.mix.reload) {
            self.steps.push(Step::Restart(Restart {
                base: None,
                boot: Vec::new(),
                root: None,
                tail: None,
            }));
            return place;
        }
        if self.rng.percent(self.mix.abandoned) {
            let mut parent = self.canon[place];
            for _ in 0..self.rng.between(1, 4) {
                parent = self.block(self.blocks[parent].slot + 1, Some(parent), false);
                self.steps.push(Step::Bank(parent));
                self.abandoned.insert(parent);
            }
        }
        let newest = self.canon.len() - 2;
        let from = match self.rng.percent(self.mix.newer_snapshot) && place < newest {
            true => self.rng.between(place + 1, newest.min(place + 5)),
            false => self.rng.between(0, place.saturating_sub(self.lag)),
        };
        let base = Base {
            at: self.canon[from],
            old_rows: self.rng.percent(30),
            lost_row: self.rng.percent(self.mix.broken_base),
            wrong_filter: self.rng.percent(self.mix.wrong_filter),
        };
        let mut next = from + 1;
        let mut boot = Vec::new();
        if self.rng.percent(self.mix.boot) {
            for _ in 0..self.rng.between(1, 3) {
                if next < newest {
                    boot.push(self.canon[next]);
                    next += 1;
                }
            }
        }
        self.steps.push(Step::Restart(Restart {
            base: Some(base),
            boot,
            root: Some(from),
            tail,
        }));
        for again in next..=place {
            self.steps.push(Step::Bank(self.canon[again]));
            if self.rng.percent(self.mix.met_again) {
                let side = sides.get(&again).into_iter().flatten().copied();
                let known: Vec<BlockId> = side.filter(|b| self.is_after(*b, from)).collect();
                self.steps.extend(known.into_iter().map(Step::Bank));
            }
        }
        place.max(next - 1)
    }

    /// Whether a side block descends from a place of the true chain.
    fn is_after(&self, block: BlockId, place: usize) -> bool {
        let mut at = block;
        while let Some(parent) = self.blocks[at].parent {
            if parent == self.canon[place] {
                return true;
            }
            at = parent;
        }
        false
    }

    fn lose(&mut self, items: &mut [Item]) {
        let lost = self.mix.lost;
        for item in items {
            // A producer that misses that a slot was opened again, or what became of it, leaves the block before
            // as the only one: nobody could know better.
            if let Item::Create { block, .. } | Item::Seal { block, .. } = item {
                let slot = self.blocks[*block].slot;
                if self
                    .blocks
                    .iter()
                    .filter(|block| block.slot == slot)
                    .count()
                    > 1
                {
                    continue;
                }
            }
            if let Item::Create { lost: gone, .. }
            | Item::Write { lost: gone, .. }
            | Item::Seal { lost: gone, .. }
            | Item::Status { lost: gone, .. } = item
            {
                *gone = self.rng.below(1_000) < lost;
            }
        }
    }

    /// Damages entries. A reader that misses that a slot was opened again can't know better than that nothing happened.
    fn flip(&mut self, items: &mut Vec<Item>) {
        if self.mix.flips + self.mix.lengths == 0 {
            return;
        }
        let mut at = 0;
        while at < items.len() {
            let damaged = matches!(
                items[at],
                Item::Write { lost: false, .. }
                    | Item::Status { lost: false, .. }
                    | Item::Seal { lost: false, .. }
            );
            let alone = items[at].block().is_some_and(|block| {
                let slot = self.blocks[block].slot;
                self.blocks.iter().filter(|b| b.slot == slot).count() == 1
            });
            if damaged && alone {
                let flips = self.rng.below(1_000) < self.mix.flips;
                let length = self.mix.lengths > 0 && self.later.below(1_000) < self.mix.lengths;
                if flips || length {
                    items.insert(at, Item::Flip { length });
                    at += 1;
                }
            }
            at += 1;
        }
    }

    /// Batches are offered again.
    fn repeat(&mut self, items: &mut Vec<Item>) {
        for _ in 0..self.later.below(self.mix.repeats + 1) {
            let trouble = match self.later.percent(50) {
                true => Trouble::Unanswered(self.later.between(1, 12) as u16),
                false => Trouble::Back,
            };
            let at = self.later.between(1, items.len() - 1);
            items.insert(at, Item::Trouble(trouble));
        }
    }

    fn disturb(&mut self, items: &mut Vec<Item>) {
        for _ in 0..self.rng.below(self.mix.server_restarts + 1) {
            let at = self.rng.between(1, items.len());
            items.insert(at, Item::Trouble(Trouble::ServerRestart));
        }
        for _ in 0..self.rng.below(self.mix.troubles + 1) {
            let trouble = match self.rng.below(8) {
                0 => Trouble::Disconnect,
                1 => Trouble::Handover,
                kind => {
                    let messages = self.rng.between(1, 400) as u16;
                    match kind {
                        2 => Trouble::Duel,
                        3 | 4 => Trouble::Terminate(messages),
                        _ => Trouble::Cut(messages),
                    }
                }
            };
            let at = self.rng.between(1, items.len());
            items.insert(at, Item::Trouble(trouble));
        }
        for _ in 0..self.rng.below(3) {
            let at = self.rng.between(1, items.len());
            items.insert(at, Item::Check);
        }
        items.push(Item::Check);
    }
}

/// Two logs as they come in side by side: one may lag, one may end early, and the second may tell something else of a block.
fn weave(plan: &mut Plan, mut first: Vec<Item>, mut other: Vec<Item>) -> Vec<Item> {
    let rng = &mut plan.rng;
    if rng.percent(35) {
        // It dies, and never comes back.
        let dies = match rng.percent(50) {
            true => &mut first,
            false => &mut other,
        };
        let alive = rng.between(dies.len() / 4, dies.len());
        dies.truncate(alive.max(1));
    }
    let (n, m) = (first.len() as i64, other.len() as i64);
    let lead = rng.below((n * m) as usize / 2 + 1) as i64 - n * m / 4;
    let (mut one, mut two) = (first.into_iter().peekable(), other.into_iter().peekable());
    let (mut i, mut j) = (0, 0);
    let mut items = Vec::new();
    while one.peek().is_some() || two.peek().is_some() {
        let jitter = rng.below((n * m) as usize / 20 + 1) as i64;
        if two.peek().is_none() || one.peek().is_some() && i * m <= j * n + lead + jitter {
            items.extend(one.next());
            i += 1;
        } else {
            items.extend(two.next().map(|item| Item::Second(Box::new(item))));
            j += 1;
        }
    }
    if rng.percent(plan.mix.lies) {
        lie(rng, &mut items);
    }
    items
}

/// Turns a write of the second producer into a lie, where the indexer has surely read the truth before.
fn lie(rng: &mut Rng, items: &mut Vec<Item>) {
    let mut whole: BTreeMap<BlockId, bool> = BTreeMap::new();
    let mut told: BTreeSet<BlockId> = BTreeSet::new();
    let mut places = Vec::new();
    for (at, item) in items.iter().enumerate() {
        match item {
            Item::Create { block, lost } => drop(whole.insert(*block, !lost)),
            Item::Write { block, lost, .. } => {
                if let Some(whole) = whole.get_mut(block) {
                    *whole &= !lost;
                }
            }
            Item::Seal { block, lost: false } if whole.get(block) == Some(&true) => {
                told.insert(*block);
            }
            Item::Second(said) => match **said {
                Item::Write {
                    block,
                    index,
                    lost: false,
                } if told.contains(&block) => places.push((at, block, index)),
                _ => {}
            },
            _ => {}
        }
    }
    if places.is_empty() {
        return;
    }
    let (at, block, index) = *rng.pick(&places);
    items[at] = Item::Second(Box::new(Item::Lie { block, index }));
    items.insert(at, Item::Check);
}
