//! What can be known about a chain from what the observer saw.

use std::collections::BTreeSet;

use crate::accounts::{Account, Content};
use crate::observer::{Observer, SeenBase};
use crate::story::{AccountId, BlockId, Story, Word};
use crate::truth::Truth;

/// How a block stands to the newest finalized one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    Linked,
    /// It descends from another chain, or is older.
    Off,
    /// A block between them was never seen.
    Hole,
}

pub struct Chain<'a> {
    story: &'a Story,
    seen: &'a Observer,
    root: BlockId,
}

impl<'a> Chain<'a> {
    pub fn new(story: &'a Story, seen: &'a Observer, root: Option<BlockId>) -> Self {
        Self {
            story,
            seen,
            root: root.unwrap_or(0),
        }
    }

    pub fn root(&self) -> BlockId {
        self.root
    }

    pub fn link(&self, block: BlockId) -> Link {
        let mut at = block;
        loop {
            if at == self.root {
                return Link::Linked;
            }
            if self.story.slot(at) <= self.story.slot(self.root) {
                return Link::Off;
            }
            if at != block && !self.seen.sealed.contains(&at) {
                return Link::Hole;
            }
            let Some(parent) = self.story.blocks[at].parent else {
                return Link::Off;
            };
            at = parent;
        }
    }

    /// A block below the finalized one whose own chain can't be followed, or that lies behind a hole in the finalized
    /// one: nobody can tell whether it is on it.
    pub fn is_adrift(&self, block: BlockId) -> bool {
        let mut at = self.root;
        while self.story.slot(at) > self.story.slot(block) {
            match self.story.blocks[at].parent {
                Some(parent) if self.seen.sealed.contains(&at) => at = parent,
                _ => return true,
            }
        }
        let path = self.story.path(block);
        let known = |b: &BlockId| *b == 0 || self.seen.sealed.contains(b);
        // Down to the first block that is final, all must be known.
        !path
            .iter()
            .rev()
            .take_while(|b| !self.story.blocks[**b].canon)
            .all(known)
    }

    /// Blocks that are sealed, linked to the finalized one, and rest on none that is dead or was replaced.
    pub fn firm(&self) -> impl Iterator<Item = BlockId> + '_ {
        let sealed = self.seen.sealed.iter().copied();
        sealed.filter(|block| self.link(*block) == Link::Linked && !self.is_torn(*block))
    }

    /// It, or a block between it and the finalized one, can't be on one chain with what a later run began with.
    pub fn is_left(&self, block: BlockId) -> bool {
        let path = self.story.path(block);
        let root = self.story.slot(self.root);
        let mut above = path.iter().filter(|b| self.story.slot(**b) > root);
        above.any(|block| self.seen.is_left(self.story, *block, root))
    }

    /// It, or a block between it and the finalized one, is dead or was replaced.
    pub fn is_torn(&self, block: BlockId) -> bool {
        let path = self.story.path(block);
        let mut above = path
            .iter()
            .filter(|b| self.story.slot(**b) > self.story.slot(self.root));
        above.any(|block| self.seen.is_torn(*block))
    }

    /// The finalized block and what it descends from as far as the links are known, and what was said to be final
    /// by its name.
    pub fn linked_below(&self) -> BTreeSet<BlockId> {
        let mut linked = BTreeSet::new();
        if self.seen.root.is_none() {
            return linked;
        }
        let named = self.seen.said.get(&Word::Rooted).into_iter().flatten();
        let tops = named
            .copied()
            .filter(|b| self.story.blocks[*b].canon && *b <= self.root);
        for top in tops.chain([self.root]) {
            let mut at = Some(top);
            while let Some(block) = at.filter(|b| self.seen.sealed.contains(b)) {
                if self.seen.is_before(self.story, block) {
                    break;
                }
                linked.insert(block);
                at = self.story.blocks[block].parent;
            }
        }
        linked
    }

    /// Slot of the newest block above the finalized one that was said to be final and never seen: finality is known to stand there.
    pub fn ends_unseen(&self) -> Option<u64> {
        let named = self.seen.said.get(&Word::Rooted).into_iter().flatten();
        let unseen = named.filter(|block| !self.seen.sealed.contains(block));
        let slot = unseen.map(|block| self.story.slot(*block)).max();
        slot.filter(|slot| *slot > self.story.slot(self.root))
    }

    pub fn knowledge(&self, head: BlockId) -> Knowledge<'_> {
        let path = self.story.path(head);
        // Also those of a later block, if nothing was written after the head.
        let is_state_of = |base: &&SeenBase| {
            path.contains(&base.at)
                || self.story.slot(head) >= base.through && self.story.path(base.at).contains(&head)
        };
        let on_path = |base: &&SeenBase| base.linked && is_state_of(base);
        let bases: Vec<&SeenBase> = self.seen.bases.iter().filter(on_path).collect();
        let covered = |block: BlockId| bases.iter().any(|base| block <= base.as_of);
        // A base is used once finality has reached it.
        let is_used = |base: &&SeenBase| {
            !base.replaced && self.story.slot(base.at) <= self.story.slot(self.root)
        };
        let used: Vec<SeenBase> = bases.iter().copied().filter(is_used).copied().collect();
        let surely = |block: BlockId| {
            if self.seen.root.is_none() {
                return false;
            }
            used.iter()
                .any(|base| self.story.slot(block) <= base.through)
        };
        let missed: Vec<BlockId> = path
            .iter()
            .copied()
            .filter(|b| !self.seen.whole.contains(b) || self.seen.is_before(self.story, *b))
            .collect();
        // A block whose seal was lost may be named: what it builds on is still unknown.
        let is_confirmed = |b: &BlockId| {
            self.seen.named(Word::Confirmed, *b)
                && self.seen.sealed.contains(b)
                && self.link(*b) == Link::Linked
        };
        // Of two that are confirmed on two chains nobody knows which one holds.
        let beside = |a: BlockId, b: BlockId| {
            !self.story.path(a).contains(&b) && !self.story.path(b).contains(&a)
        };
        let surely_confirmed = |b: &BlockId| {
            let mut others = self.seen.sealed.iter().filter(|other| is_confirmed(other));
            is_confirmed(b) && !others.any(|other| beside(*other, *b))
        };
        let confirmed = path.iter().rev().find(|b| surely_confirmed(b));
        Knowledge {
            story: self.story,
            head,
            root: self.root,
            healed: missed
                .iter()
                .copied()
                .filter(|b| surely(*b) && !self.seen.whole.contains(b))
                .collect(),
            unhealed: missed.iter().copied().filter(|b| !covered(*b)).collect(),
            ends_unseen: self.ends_unseen(),
            linked: self.linked_below(),
            confirmed: confirmed.copied(),
            misleading: self.misleading(&path, &missed, confirmed.copied()),
            used,
            missed,
            path,
        }
    }

    /// Blocks of other chains that a reader may take for ancestors of a chain's blocks above a hole.
    fn misleading(
        &self,
        path: &[BlockId],
        missed: &[BlockId],
        confirmed: Option<BlockId>,
    ) -> BTreeSet<BlockId> {
        let holes = missed.iter().map(|block| self.story.slot(*block));
        let hole = holes.max().unwrap_or(0);
        let fits = |block: &BlockId| {
            let link = self.link(*block);
            let slot = self.story.slot(*block);
            (self.story.slot(self.root)..hole).contains(&slot)
                && link != Link::Off
                && confirmed.is_none_or(|confirmed| {
                    link == Link::Hole || self.story.path(*block).contains(&confirmed)
                })
        };
        let ends = self.seen.sealed.iter().filter(|block| fits(block));
        ends.flat_map(|block| self.story.path(*block))
            .filter(|block| !path.contains(block))
            .collect()
    }
}

/// What is known about the chain that ends in one block.
pub struct Knowledge<'a> {
    story: &'a Story,
    head: BlockId,
    root: BlockId,
    path: Vec<BlockId>,
    /// Blocks that were not seen whole.
    missed: Vec<BlockId>,
    /// Those of them that start-up accounts surely made up for.
    healed: BTreeSet<BlockId>,
    /// Those that no start-up accounts can have made up for.
    unhealed: Vec<BlockId>,
    /// Slot of an unseen block above the finalized one at which finality stands.
    ends_unseen: Option<u64>,
    linked: BTreeSet<BlockId>,
    /// The newest block of the chain that is surely confirmed.
    confirmed: Option<BlockId>,
    /// Blocks of other chains that may be shown below a hole.
    misleading: BTreeSet<BlockId>,
    /// Start-up accounts that surely were compared with the rows.
    used: Vec<SeenBase>,
}

impl Knowledge<'_> {
    pub fn head(&self) -> BlockId {
        self.head
    }

    /// Finality is known to stand at a block above the finalized one that was never seen.
    pub fn ends_unseen(&self) -> bool {
        self.ends_unseen.is_some()
    }

    /// What was written in this block must be shown.
    pub fn is_sure(&self, block: BlockId) -> bool {
        if self.healed.contains(&block) {
            return true;
        }
        if self.missed.contains(&block) {
            return false;
        }
        if self.story.slot(block) <= self.story.slot(self.root) {
            return self.linked.contains(&block);
        }
        // Finality has passed it, and which blocks that it passed are final nobody knows, whatever was confirmed.
        if self.ends_unseen >= Some(self.story.slot(block)) {
            return false;
        }
        let holes = self
            .missed
            .iter()
            .any(|hole| *hole > block && self.story.slot(*hole) > self.story.slot(self.root));
        !holes || self.confirmed.is_some_and(|confirmed| block <= confirmed)
    }

    /// What this block made of an account must be shown although the account was closed in another one: start-up accounts of after
    /// that don't tell it.
    pub fn is_told(&self, block: BlockId, closed_in: BlockId) -> bool {
        let slot = self.story.slot(block);
        !self.missed.contains(&block)
            || self
                .used
                .iter()
                .any(|base| slot <= base.through && base.at < closed_in)
    }

    pub fn is_missed(&self, block: BlockId) -> bool {
        self.missed.contains(&block)
    }

    /// A block of another chain, which may be shown below a hole, writes to the account.
    pub fn is_misled(&self, truth: &Truth, account: AccountId) -> bool {
        self.misleading
            .iter()
            .any(|block| truth.writes_to(*block, account))
    }

    /// All blocks were seen whole, but for what the first start-up accounts hold.
    pub fn is_complete(&self) -> bool {
        self.missed
            .iter()
            .all(|block| *block == 0 && !self.unhealed.contains(block))
    }

    pub fn has_hole(&self) -> bool {
        self.missed
            .iter()
            .any(|block| self.story.slot(*block) > self.story.slot(self.root))
    }

    /// A block that nothing made up for may have changed what was written in `slot`.
    pub fn missed_after(&self, slot: i64) -> bool {
        self.unhealed
            .iter()
            .any(|block| self.story.slot(*block) as i64 > slot)
    }

    /// A block may have changed what was written in `slot`, or start-up accounts told of it.
    pub fn perhaps_missed_after(&self, slot: i64) -> bool {
        let mut missed = self.missed.iter();
        missed.any(|block| self.story.slot(*block) as i64 >= slot)
    }

    /// The account had this content after the chain's newest block up to `slot`.
    pub fn had(&self, truth: &Truth, account: AccountId, slot: i64, content: &Content) -> bool {
        let mut path = self.path.iter().rev();
        let at = path.find(|block| self.story.slot(**block) as i64 <= slot);
        let stored = at.and_then(|block| truth.accounts(*block).get(&account));
        matches!(stored, Some((Account::Live(had), _)) if had == content)
    }

    /// The chain's blocks from one to another.
    pub fn between(&self, first: BlockId, last: BlockId) -> impl Iterator<Item = BlockId> + '_ {
        let path = self.path.iter().copied();
        path.filter(move |block| (first..=last).contains(block))
    }

    /// The account holds at the head what can't be read.
    pub fn is_spoiled(&self, truth: &Truth, account: AccountId) -> bool {
        let stored = truth.accounts(self.head).get(&account);
        matches!(stored, Some((Account::Live(content), _)) if !content.is_readable())
    }

    /// The account once held on this chain what can't be read.
    pub fn was_spoiled(&self, truth: &Truth, account: AccountId) -> bool {
        self.path.iter().any(|block| {
            let stored = truth.accounts(*block).get(&account);
            matches!(stored, Some((Account::Live(content), _)) if !content.is_readable())
        })
    }

    /// Slot of the newest write of an account on this chain.
    pub fn newest_write(&self, truth: &Truth, account: AccountId) -> i64 {
        let head = self.path.last().copied().unwrap_or(0);
        truth
            .accounts(head)
            .get(&account)
            .map_or(0, |(_, slot)| *slot as i64)
    }
}
