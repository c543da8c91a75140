//! What a perfect reader of the log could know: which blocks came whole, what was said of them, what
//! start-up accounts make up for.
//!
//! A status without a blockhash names no block. The plugin fills in the blockhash of the bank of that slot that its run sealed last, so
//! one without it is of a bank that this run did not seal: it was replayed at boot, or dumped, or the seal was lost. What an earlier run
//! sealed for the slot may be another block: a validator dumps and replays, and after a restart may follow another chain. A
//! reader that took it for that block would finalize what is on no chain.
//!
//! In the same way a run that opens a slot again, or calls it dead, gives up the bank that this run sealed, and none of another run.

use std::collections::{BTreeMap, BTreeSet};

use crate::story::{BlockId, Story, Word};

/// Start-up accounts that can be used.
#[derive(Clone, Copy, Debug)]
pub struct SeenBase {
    pub at: BlockId,
    /// The block below the first that its run sealed, if nothing is written between: it is the state of that one too, and the reader
    /// sees nothing that speaks against it.
    pub as_of: BlockId,
    /// Highest slot among its rows: up to there it surely speaks.
    pub through: u64,
    producer: usize,
    /// A bank of its run was sealed, which says what the run went on from.
    pub linked: bool,
    /// It waited for finality together with one of a higher slot, which speaks for it.
    pub replaced: bool,
}

#[derive(Debug, Default)]
pub struct Observer {
    /// The producer that speaks, of `producers`. Their logs are read side by side: nothing may rest on which of two was read first.
    pub speaker: usize,
    pub producers: usize,
    /// A whole bank was sealed with an update that no other producer has.
    pub lied: bool,
    /// Blocks that were sealed with all their updates, and others that were sealed.
    pub whole: BTreeSet<BlockId>,
    pub sealed: BTreeSet<BlockId>,
    /// Sealed blocks whose slot a producer opened again since, in the run that sealed them.
    torn: BTreeSet<(usize, BlockId)>,
    /// Sealed blocks whose slot was opened again and found dead.
    pub gone: BTreeSet<BlockId>,
    /// What was said of blocks by their name.
    pub said: BTreeMap<Word, BTreeSet<BlockId>>,
    pub bases: Vec<SeenBase>,
    /// By producer, the slot of the first start-up accounts that could be used: an index that has no other begins there.
    began: BTreeMap<usize, u64>,
    /// The newest block that was said to be finalized.
    pub root: Option<BlockId>,
    /// Blocks that first came whole when finality had passed them.
    pub late: BTreeSet<BlockId>,
    /// Blocks that were sealed once without all their updates.
    patchy: BTreeSet<BlockId>,
    /// Sealed blocks that can't be on one chain with what a later run began with: whether the producer still has them is open.
    left: BTreeSet<BlockId>,
    /// Producer and seals of each run, in order.
    runs: Vec<(usize, Vec<BlockId>)>,
    /// Producers whose run that goes on has sealed nothing above the finalized block.
    fresh: BTreeSet<usize>,
    /// Producers whose run ended and was followed by none.
    ended: BTreeSet<usize>,
    /// Blocks sealed in the runs that go on, by producer and slot.
    this_run: BTreeMap<(usize, u64), BTreeSet<BlockId>>,
    by_slot: BTreeMap<u64, BTreeSet<BlockId>>,
}

impl Observer {
    /// Of so many producers.
    pub fn of(producers: usize) -> Self {
        Self {
            producers,
            ..Self::default()
        }
    }

    pub fn start(&mut self) {
        let speaker = self.speaker;
        self.this_run.retain(|key, _| key.0 != speaker);
        self.fresh.insert(speaker);
        self.ended.remove(&speaker);
        self.runs.push((speaker, Vec::new()));
        self.bases
            .retain(|base| base.linked || base.producer != speaker);
    }

    pub fn end(&mut self) {
        self.ended.insert(self.speaker);
    }

    pub fn base(&mut self, at: BlockId, through: u64) {
        self.bases.push(SeenBase {
            at,
            as_of: at,
            through,
            producer: self.speaker,
            linked: false,
            replaced: false,
        });
    }

    pub fn created(&mut self, slot: u64) {
        let speaker = self.speaker;
        let before = self.this_run.remove(&(speaker, slot)).unwrap_or_default();
        self.torn
            .extend(before.into_iter().map(|block| (speaker, block)));
    }

    pub fn dead(&mut self, slot: u64) {
        self.created(slot);
        let before = self.by_slot.get(&slot).into_iter().flatten();
        // Of two logs nobody knows which was read first.
        let gone = before.filter(|b| self.is_torn(**b) && self.producers == 1);
        let gone: Vec<BlockId> = gone.copied().collect();
        self.gone.extend(gone);
    }

    /// A producer gave it up, and none holds it: whether it is still shown until another one is sealed is open.
    pub fn is_torn(&self, block: BlockId) -> bool {
        let mut held = self.this_run.values();
        (0..self.producers).any(|producer| self.torn.contains(&(producer, block)))
            && !held.any(|blocks| blocks.contains(&block))
    }

    pub fn sealed(&mut self, story: &Story, block: BlockId, whole: bool) {
        let slot = story.slot(block);
        self.link_base(story, block);
        if self.fresh.contains(&self.speaker) {
            let path = story.path(block);
            let beside =
                |other: &BlockId| !path.contains(other) && !story.path(*other).contains(&block);
            let left: Vec<BlockId> = self.sealed.iter().copied().filter(beside).collect();
            self.left.extend(left);
            if self.root.is_none_or(|root| slot > story.slot(root)) {
                self.fresh.remove(&self.speaker);
            }
        }
        self.left.remove(&block);
        let mut runs = self.runs.iter_mut().rev();
        if let Some((_, seals)) = runs.find(|(producer, _)| *producer == self.speaker) {
            seals.push(block);
        }
        self.sealed.insert(block);
        if !whole {
            self.patchy.insert(block);
        }
        if whole
            && self.whole.insert(block)
            && self.root.is_some_and(|root| slot <= story.slot(root))
        {
            self.late.insert(block);
        }
        // It holds one bank of a slot.
        self.created(slot);
        self.torn.remove(&(self.speaker, block));
        self.gone.remove(&block);
        let run = (self.speaker, slot);
        self.this_run.entry(run).or_default().insert(block);
        self.by_slot.entry(slot).or_default().insert(block);
    }

    /// The index may have begun above it.
    pub fn is_before(&self, story: &Story, block: BlockId) -> bool {
        let mut began = self.began.values();
        began.any(|began| story.slot(block) <= *began)
    }

    /// It was sealed when blocks above it were final, or first without all its updates.
    pub fn came_late(&self, block: BlockId) -> bool {
        self.late.contains(&block) || self.patchy.contains(&block)
    }

    /// Its updates may have come when blocks above it were final, or when blocks below it were not known.
    pub fn may_be_late(&self, block: BlockId) -> bool {
        self.producers > 1 || self.came_late(block)
    }

    /// It can't be on one chain with what a run began with above `root`, and no run that goes on holds it. Of two logs nobody knows
    /// which was read first, so that any run of another producer may have begun after it was sealed.
    pub fn is_left(&self, story: &Story, block: BlockId, root: u64) -> bool {
        if self.producers == 1 {
            return self.left.contains(&block);
        }
        let mut held = self.this_run.iter();
        if held.any(|((by, _), blocks)| !self.ended.contains(by) && blocks.contains(&block)) {
            return false;
        }
        let path = story.path(block);
        let beside =
            |other: &BlockId| !path.contains(other) && !story.path(*other).contains(&block);
        self.runs.iter().any(|(_, seals)| {
            let above = seals.iter().position(|seal| story.slot(*seal) > root);
            let began = &seals[..above.map_or(seals.len(), |at| at + 1)];
            began.iter().any(beside)
        })
    }

    /// The start-up accounts of this run are usable from now on. Of several that wait for finality only one is kept.
    fn link_base(&mut self, story: &Story, first: BlockId) {
        let named = self.said.get(&Word::Rooted).into_iter().flatten();
        let reached = named
            .filter(|b| self.sealed.contains(b))
            .map(|b| story.slot(*b))
            .max();
        let waits = |base: &SeenBase| {
            self.producers > 1
                || reached.is_none_or(|slot| slot < base.through.max(story.slot(base.at)))
        };
        let of_speaker = |base: &SeenBase| !base.linked && base.producer == self.speaker;
        let linked = |at: &usize| self.bases[*at].linked && waits(&self.bases[*at]);
        let waiting: Vec<usize> = (0..self.bases.len()).filter(linked).collect();
        let new: Vec<usize> = (0..self.bases.len())
            .filter(|at| of_speaker(&self.bases[*at]))
            .collect();
        let path = story.path(first);
        for new in new {
            self.bases[new].linked = true;
            let at = self.bases[new].at;
            let mut between = path.iter().filter(|block| (at + 1..first).contains(block));
            if path.contains(&at) && between.clone().all(|b| story.blocks[*b].acts.is_empty()) {
                self.bases[new].as_of = between.next_back().copied().unwrap_or(at);
            }
            let began = self.began.entry(self.speaker);
            began.or_insert(self.bases[new].through);
            for old in &waiting {
                let lower = match self.bases[*old].through > self.bases[new].through {
                    true => new,
                    false => *old,
                };
                self.bases[lower].replaced = true;
            }
        }
    }

    /// `hash` is the block that the plugin named, if it could name one.
    pub fn status(&mut self, story: &Story, word: Word, named: Option<BlockId>) {
        let Some(block) = named else { return };
        self.said.entry(word).or_default().insert(block);
        let newer = self
            .root
            .is_none_or(|root| story.slot(root) < story.slot(block));
        if word == Word::Rooted && newer {
            self.root = Some(block);
        }
    }

    pub fn named(&self, word: Word, block: BlockId) -> bool {
        self.said
            .get(&word)
            .is_some_and(|said| said.contains(&block))
    }
}
