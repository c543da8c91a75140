//! Writes a story's entries to a spool as the plugin does: generations, seals with their counts and digests,
//! blockhashes in statuses as far as the run knows them, losses.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use mythic_interface::PROGRAMS;
use mythic_stream::digest::{BankDigest, filter_hash};
use mythic_stream::proto::{
    AccountUpdate, BaseEnd, End, Event, Loss, LossReason, SlotSeal, SlotStatus, SlotUpdate, Start,
};
use mythic_stream::spool::{FsyncPolicy, Room, Writer, WriterConfig};
use sha2::{Digest as _, Sha256};

use crate::accounts::{self, Account};
use crate::observer::Observer;
use crate::rng::Rng;
use crate::story::{Base, BlockId, Item, Story, Tail, Word};
use crate::truth::Truth;

/// Chain that all stories are of.
const GENESIS: [u8; 32] = [0xaa; 32];
/// An owner that is not ours.
const OTHER_OWNER: [u8; 32] = [0x77; 32];

/// Blockhash of a block.
pub fn hash(story: &Story, block: BlockId) -> [u8; 32] {
    let mut text = Sha256::new();
    text.update(b"a block of a simulation");
    text.update((block as u64).to_le_bytes());
    text.update(story.slot(block).to_le_bytes());
    text.finalize().into()
}

/// A producer has fewer runs than this; the ids of its runs count up from its number times this.
pub const RUNS: u8 = 100;

/// Bytes of a frame's length, at its beginning.
const LENGTH: usize = 4;

/// What the disk does to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flip {
    Any,
    Length,
}

/// A bank as the plugin keeps it.
#[derive(Default)]
struct Bank {
    generation: u32,
    open: bool,
    digest: BankDigest,
    sealed: Option<BlockId>,
}

/// Owner, lamports, data.
type Stored = ([u8; 32], u64, Vec<u8>);

/// Where an account update belongs.
#[derive(Clone, Copy)]
struct Place {
    slot: u64,
    generation: u32,
    startup: bool,
}

/// Counts of a bank that is being filled; without them there is no seal.
#[derive(Default)]
struct Lane {
    offered: u64,
    dropped: u64,
    /// Updates that the disk damaged.
    damaged: u64,
    lies: bool,
}

/// Start-up rows that the plugin passes on: slot, account, what is stored. An account that went to another owner is
/// not among them.
fn snapshot(story: &Story, truth: &Truth, base: Base) -> Vec<(u64, usize, Account)> {
    let passes = |account: &Account| match account {
        Account::Live(_) => true,
        Account::Closed { lamports, .. } => *lamports == 0,
    };
    let newest = truth.accounts(base.at);
    let mut rows = BTreeMap::new();
    for (account, (stored, slot)) in newest.iter().filter(|(_, row)| passes(&row.0)) {
        rows.insert((*slot, *account), stored.clone());
        if !base.old_rows {
            continue;
        }
        for block in story.path(base.at).iter().rev().skip(1).take(4) {
            if let Some((older, slot)) = truth.accounts(*block).get(account)
                && passes(older)
            {
                rows.entry((*slot, *account))
                    .or_insert_with(|| older.clone());
            }
        }
    }
    rows.into_iter()
        .map(|((slot, account), stored)| (slot, account, stored))
        .collect()
}

/// Where the plugin lays what it writes next.
#[derive(Clone, PartialEq, Eq)]
struct Edge {
    segment: PathBuf,
    length: u64,
}

impl Edge {
    fn of(dir: &Path) -> Result<Self> {
        let segment = newest(dir)?;
        let length = segment.metadata()?.len();
        Ok(Self { segment, length })
    }

    /// Where a frame that was written here begins: a new segment may have been opened for it.
    fn frame(self, dir: &Path, head: u64) -> Result<Self> {
        let segment = newest(dir)?;
        Ok(match segment == self.segment {
            true => self,
            false => Self {
                segment,
                length: head,
            },
        })
    }
}

/// The newest segment of a spool.
fn newest(dir: &Path) -> Result<PathBuf> {
    let segments = std::fs::read_dir(dir)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "seg"));
    segments.max().context("a spool without segments")
}

/// Flips bits of a frame, or one of its length.
fn flip(frame: &Edge, how: Flip) -> Result<()> {
    let mut bytes = std::fs::read(&frame.segment)?;
    let content = bytes
        .get_mut(frame.length as usize..)
        .filter(|frame| frame.len() > LENGTH)
        .context("nothing to damage was written")?;
    let mut rng = Rng::new(frame.length);
    match how {
        Flip::Length => content[rng.below(LENGTH)] ^= 1 << rng.below(8),
        Flip::Any => {
            // An odd number: two flips of one bit are none.
            for _ in 0..*rng.pick(&[1, 3]) {
                let at = rng.below(content.len());
                content[at] ^= 1 << rng.below(8);
            }
        }
    }
    let mut file = OpenOptions::new().write(true).open(&frame.segment)?;
    file.seek(SeekFrom::Start(frame.length))?;
    Ok(file.write_all(content)?)
}

/// The producer of one spool.
pub struct Producer {
    dir: PathBuf,
    /// Of several: which it is.
    number: u8,
    /// It is the only one, so that all it says is applied.
    alone: bool,
    /// The next entry is damaged on the disk.
    flips: Option<Flip>,
    segment_bytes: Option<u64>,
    /// Length of an empty segment.
    head: u64,
    /// Rubbish that comes to the disk once the next run has begun, and to which segment.
    left: Option<(PathBuf, Vec<u8>)>,
    writer: Option<Writer>,
    runs: u8,
    version: u64,
    filter: [u8; 32],
    banks: BTreeMap<u64, Bank>,
    lanes: BTreeMap<u64, Lane>,
    /// Run and number of the last entry that a reader has to act on.
    last: Option<([u8; 16], u64)>,
}

impl Producer {
    pub fn new(dir: PathBuf, number: u8, alone: bool, segment_bytes: Option<u64>) -> Self {
        Self {
            dir,
            number,
            alone,
            flips: None,
            segment_bytes,
            head: 0,
            left: None,
            writer: None,
            runs: 0,
            version: 0,
            filter: [0; 32],
            banks: BTreeMap::new(),
            lanes: BTreeMap::new(),
            last: None,
        }
    }

    pub fn last(&self) -> Option<([u8; 16], u64)> {
        self.last
    }

    pub fn sync(&mut self) -> Result<()> {
        match &mut self.writer {
            Some(writer) => Ok(writer.sync()?),
            None => Ok(()),
        }
    }

    /// The disk will damage the next entry.
    pub fn flips(&self) -> bool {
        self.flips.is_some()
    }

    /// Writes an entry, and tells the observer what it says.
    pub fn say(
        &mut self,
        story: &Story,
        truth: &Truth,
        item: &Item,
        seen: &mut Observer,
    ) -> Result<()> {
        self.entry(story, truth, item, seen)?;
        self.flips = match item {
            Item::Flip { length: true } => Some(Flip::Length),
            Item::Flip { length: false } => Some(Flip::Any),
            _ => None,
        };
        Ok(())
    }

    fn entry(
        &mut self,
        story: &Story,
        truth: &Truth,
        item: &Item,
        seen: &mut Observer,
    ) -> Result<()> {
        match item {
            Item::Start { base, primed } => self.start(story, truth, *base, *primed, seen)?,
            Item::End => {
                self.push(Event::End(End {}))?;
                seen.end();
                self.writer = None;
            }
            Item::Break(tail) => self.fall(*tail)?,
            Item::Create { block, lost } => self.create(story.slot(*block), *lost, seen)?,
            Item::Write { block, index, lost } => {
                if let Some(write) = truth.write(*block, *index) {
                    let stored = accounts::stored(story.accounts[write.account], &write.after);
                    self.update(story.slot(*block), write.account, stored, *lost)?;
                }
            }
            Item::Boot { block, index } => {
                if let Some(write) = truth.write(*block, *index) {
                    let stored = accounts::stored(story.accounts[write.account], &write.after);
                    let place = Place {
                        slot: story.slot(*block),
                        generation: 0,
                        startup: false,
                    };
                    self.account(place, write.account, stored)?;
                }
            }
            Item::Seal { block, lost } => self.seal(story, *block, *lost, seen)?,
            Item::Status { block, word, lost } => self.status(story, *block, *word, *lost, seen)?,
            Item::Dead { block } => {
                let slot = story.slot(*block);
                self.slot(slot, SlotStatus::Dead, None)?;
                seen.dead(slot);
            }
            Item::Lie { block, index } => {
                if let Some(write) = truth.write(*block, *index) {
                    let mut stored = accounts::stored(story.accounts[write.account], &write.after);
                    stored.1 += 1_000;
                    if let Some(lane) = self.lanes.get_mut(&story.slot(*block)) {
                        lane.lies = true;
                    }
                    self.update(story.slot(*block), write.account, stored, false)?;
                }
            }
            Item::Flip { .. } | Item::Second(_) | Item::Trouble(_) | Item::Check => {}
        }
        Ok(())
    }

    fn push(&mut self, event: Event) -> Result<()> {
        let acts = match &event {
            Event::Seal(_) | Event::Loss(_) | Event::End(_) => true,
            // Of several producers, one that can't name the block is not heard.
            Event::Slot(update) => match update.status() {
                SlotStatus::CreatedBank | SlotStatus::Processed => false,
                SlotStatus::Confirmed | SlotStatus::Rooted => {
                    self.alone || !update.blockhash.is_empty()
                }
                _ => self.alone,
            },
            Event::Account(_) | Event::BaseEnd(_) => false,
            _ => self.alone,
        };
        let flips = std::mem::take(&mut self.flips);
        let writer = self
            .writer
            .as_mut()
            .context("the story writes outside of a run")?;
        let before = match flips {
            Some(_) => {
                writer.sync()?;
                Some(Edge::of(&self.dir)?)
            }
            None => None,
        };
        let seq = writer.append(event, Room::Reserved)?;
        let run = writer.run();
        if let (Some(how), Some(before)) = (flips, before) {
            writer.sync()?;
            return flip(&before.frame(&self.dir, self.head)?, how);
        }
        if acts {
            self.last = Some((run, seq));
        }
        Ok(())
    }

    fn start(
        &mut self,
        story: &Story,
        truth: &Truth,
        base: Option<Base>,
        primed: bool,
        seen: &mut Observer,
    ) -> Result<()> {
        self.writer = None;
        self.runs += 1;
        self.banks.clear();
        self.lanes.clear();
        let mut config = WriterConfig::new(&self.dir);
        config.fsync = FsyncPolicy::Never;
        config.segment_bytes = self.segment_bytes.unwrap_or(config.segment_bytes);
        self.writer = Some(Writer::open(config, [self.runs + RUNS * self.number; 16])?);
        self.head = Edge::of(&self.dir)?.length;
        if let Some((segment, rubbish)) = self.left.take()
            && segment.exists()
        {
            OpenOptions::new()
                .append(true)
                .open(segment)?
                .write_all(&rubbish)?;
        }
        let wrong = base.is_some_and(|base| base.wrong_filter);
        self.filter = match wrong {
            true => filter_hash(&[OTHER_OWNER]),
            false => filter_hash(&PROGRAMS),
        };
        self.push(Event::Start(Start {
            genesis_hash: GENESIS.to_vec().into(),
            filter_hash: self.filter.to_vec().into(),
            interface: "4.2.2".into(),
            plugin: "sim".into(),
            primed,
        }))?;
        seen.start();
        match base {
            Some(base) => self.base(story, truth, base, seen),
            None => Ok(()),
        }
    }

    fn base(
        &mut self,
        story: &Story,
        truth: &Truth,
        base: Base,
        seen: &mut Observer,
    ) -> Result<()> {
        let mut rows = match base.wrong_filter {
            true => Vec::new(),
            false => snapshot(story, truth, base),
        };
        let mut rng = Rng::new(base.at as u64);
        for at in (1..rows.len()).rev() {
            let other = rng.below(at + 1);
            rows.swap(at, other);
        }
        let count = rows.len() as u64;
        let through = rows.iter().map(|row| row.0).max().unwrap_or(0);
        if base.lost_row {
            rows.pop();
        }
        let whole = rows.len() as u64 == count;
        for (slot, account, stored) in &rows {
            let stored = accounts::stored(story.accounts[*account], stored);
            let place = Place {
                slot: *slot,
                generation: 0,
                startup: true,
            };
            self.account(place, *account, stored)?;
        }
        self.push(Event::BaseEnd(BaseEnd {
            slot: through,
            count,
        }))?;
        if whole && !base.wrong_filter {
            seen.base(base.at, through);
        }
        Ok(())
    }

    /// The producer dies: no `End`, and perhaps rubbish behind the last frame.
    fn fall(&mut self, tail: Tail) -> Result<()> {
        self.sync()?;
        if let Tail::Half(length) = tail {
            return self.tear(length);
        }
        self.writer = None;
        let noise = |length: u16| -> Vec<u8> {
            let mut rng = Rng::new(u64::from(length));
            (0..length).map(|_| rng.number() as u8).collect()
        };
        let rubbish = match tail {
            Tail::Clean | Tail::Half(_) => return Ok(()),
            Tail::Zeros(length) => vec![0; usize::from(length)],
            Tail::Noise(length) => noise(length),
            Tail::Left(length) => {
                self.left = Some((newest(&self.dir)?, noise(length)));
                return Ok(());
            }
        };
        Ok(OpenOptions::new()
            .append(true)
            .open(newest(&self.dir)?)?
            .write_all(&rubbish)?)
    }

    /// Of one more frame only the beginning reaches the disk.
    fn tear(&mut self, length: u16) -> Result<()> {
        let before = Edge::of(&self.dir)?;
        let writer = self.writer.as_mut().context("no run dies")?;
        writer.append(Event::End(End {}), Room::Reserved)?;
        writer.sync()?;
        self.writer = None;
        let frame = before.frame(&self.dir, self.head)?;
        let whole = frame.segment.metadata()?.len() - frame.length;
        let torn = u64::from(length) % whole;
        let file = OpenOptions::new().write(true).open(&frame.segment)?;
        Ok(file.set_len(frame.length + torn)?)
    }

    fn create(&mut self, slot: u64, lost: bool, seen: &mut Observer) -> Result<()> {
        if lost {
            self.lanes.remove(&slot);
            return self.lost(slot, LossReason::SlotRecords);
        }
        let bank = self.banks.entry(slot).or_default();
        *bank = Bank {
            generation: bank.generation + 1,
            open: true,
            ..Bank::default()
        };
        self.lanes.insert(slot, Lane::default());
        seen.created(slot);
        self.slot(slot, SlotStatus::CreatedBank, None)
    }

    fn update(&mut self, slot: u64, account: usize, stored: Stored, lost: bool) -> Result<()> {
        if self.filter != filter_hash(&PROGRAMS) {
            return Ok(());
        }
        if let Some(lane) = self.lanes.get_mut(&slot) {
            lane.offered += 1;
            lane.dropped += u64::from(lost);
            lane.damaged += u64::from(self.flips.is_some());
        }
        if lost {
            return self.lost(slot, LossReason::QueueFull);
        }
        let generation = match self.banks.get_mut(&slot) {
            None => 0,
            Some(bank) if bank.open => {
                let (owner, lamports, data) = &stored;
                bank.digest
                    .push(accounts::key(account), owner, *lamports, data);
                bank.generation
            }
            Some(_) => return self.lost(slot, LossReason::AfterSeal),
        };
        let place = Place {
            slot,
            generation,
            startup: false,
        };
        self.account(place, account, stored)
    }

    fn account(
        &mut self,
        place: Place,
        account: usize,
        (owner, lamports, data): Stored,
    ) -> Result<()> {
        self.version += 1;
        let mut signature = Vec::new();
        if !place.startup {
            signature = vec![account as u8; 64];
            signature[1..9].copy_from_slice(&place.slot.to_le_bytes());
        }
        self.push(Event::Account(AccountUpdate {
            slot: place.slot,
            generation: place.generation,
            write_version: self.version,
            pubkey: accounts::key(account).to_vec().into(),
            owner: owner.to_vec().into(),
            lamports,
            data: data.into(),
            is_startup: place.startup,
            signature: signature.into(),
        }))
    }

    fn seal(
        &mut self,
        story: &Story,
        block: BlockId,
        lost: bool,
        seen: &mut Observer,
    ) -> Result<()> {
        let slot = story.slot(block);
        let Some(lane) = self.lanes.remove(&slot) else {
            return Ok(());
        };
        if lost {
            return self.lost(slot, LossReason::SlotRecords);
        }
        let Some(bank) = self.banks.get_mut(&slot).filter(|bank| bank.open) else {
            return Ok(());
        };
        let flips = self.flips;
        bank.open = false;
        bank.sealed = Some(block);
        let (generation, digest) = (bank.generation, bank.digest.finish());
        let parent = story.blocks[block]
            .parent
            .context("the first block has no seal")?;
        self.push(Event::Seal(SlotSeal {
            slot,
            generation,
            blockhash: hash(story, block).to_vec().into(),
            parent_slot: story.slot(parent),
            parent_blockhash: hash(story, parent).to_vec().into(),
            block_time: Some(1_800_000_000 + slot as i64),
            offered: lane.offered,
            dropped: lane.dropped,
            digest: digest.to_vec().into(),
            filter_hash: self.filter.to_vec().into(),
            block_height: None,
            transactions: false,
        }))?;
        if flips.is_some() {
            return Ok(());
        }
        // A run of another filter saw none of our accounts: its banks tell nothing.
        let whole = lane.dropped == 0 && lane.damaged == 0 && self.filter == filter_hash(&PROGRAMS);
        seen.lied |= whole && lane.lies;
        seen.sealed(story, block, whole);
        Ok(())
    }

    fn status(
        &mut self,
        story: &Story,
        block: BlockId,
        word: Word,
        lost: bool,
        seen: &mut Observer,
    ) -> Result<()> {
        let slot = story.slot(block);
        if lost {
            return self.lost(slot, LossReason::SlotRecords);
        }
        let named = self.banks.get(&slot).and_then(|bank| bank.sealed);
        let status = match word {
            Word::Processed => SlotStatus::Processed,
            Word::Confirmed => SlotStatus::Confirmed,
            Word::Rooted => SlotStatus::Rooted,
        };
        let blockhash = named.map(|named| hash(story, named));
        let parent = story.blocks[block].parent.map(|parent| story.slot(parent));
        let generation = self.banks.get(&slot).map_or(0, |bank| bank.generation);
        let flips = self.flips;
        self.push(Event::Slot(SlotUpdate {
            slot,
            generation,
            status: status.into(),
            parent,
            blockhash: blockhash
                .map(|hash| hash.to_vec().into())
                .unwrap_or_default(),
            dead_reason: None,
        }))?;
        if flips.is_none() {
            seen.status(story, word, named);
        }
        Ok(())
    }

    fn slot(&mut self, slot: u64, status: SlotStatus, parent: Option<u64>) -> Result<()> {
        let generation = self.banks.get(&slot).map_or(0, |bank| bank.generation);
        self.push(Event::Slot(SlotUpdate {
            slot,
            generation,
            status: status.into(),
            parent,
            blockhash: Default::default(),
            dead_reason: None,
        }))
    }

    fn lost(&mut self, slot: u64, reason: LossReason) -> Result<()> {
        self.push(Event::Loss(Loss {
            first_slot: slot,
            last_slot: slot,
            count: 1,
            reason: reason.into(),
        }))
    }
}
