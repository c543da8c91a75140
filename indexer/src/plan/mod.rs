//! From inputs to everything one transaction has to write. Pure: the fork tree decides, the projection
//! decodes, feed numbers are given; nothing here waits or fails.
//!
//! [`inputs`] archives each input and gives it to the tree, [`effects`] follows from what the tree says, [`content`] projects
//! accounts, [`calls`] transactions, [`chains`] sums up.

mod anomaly;
mod calls;
mod chains;
mod content;
mod effects;
mod inputs;
mod known;
mod lineage;
mod mark;
mod watch;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::alarms::Alarm;
use crate::calls::BankCalls;
use crate::entity::Entity;
use crate::feed::{FeedRow, Span};
use crate::holder::{BaseAccounts, Input};
use crate::projection::{Prints, Refused};
use crate::tree::{BankId, Hash, Line, Root, SlotTree};
pub use inputs::archived_rows;
pub use known::{Known, RootedPrint};
pub use mark::RowMark;
use mythic_interface::state::Key;
use mythic_postgres::CopyBuffer;
use mythic_stream::spool::Position;
pub use watch::Watch;

/// Slots per archive partition.
pub const EPOCH_SLOTS: i64 = 432_000;

/// `status` of table `slot`.
pub mod status {
    pub const PROCESSED: i16 = 1;
    pub const CONFIRMED: i16 = 2;
    pub const FINALIZED: i16 = 3;
    pub const ORPHANED: i16 = 4;
    pub const DEAD: i16 = 5;
    pub const GAP: i16 = 6;
    /// Waited in a gap for its link, until there was no room for it.
    pub const GIVEN_UP: i16 = 7;
}

/// `kind` of table `archive.event`.
pub mod kind {
    pub const RUN_START: i16 = 1;
    pub const BASE: i16 = 2;
    pub const BANK: i16 = 3;
    pub const CONFIRMED: i16 = 5;
    pub const ROOTED: i16 = 6;
    pub const DEAD: i16 = 7;
    pub const RESET: i16 = 8;
    pub const LOSS: i16 = 9;
    pub const RUN_END: i16 = 10;
    pub const REFUSED: i16 = 11;
    pub const CALLS: i16 = 12;
}

/// `detail` of a sealed bank in table `archive.event`.
pub mod detail {
    /// Another seal has the bank's content.
    pub const REPEATED: &str = "repeated";
    /// Its transactions are streamed.
    pub const TRANSACTIONS: &str = "transactions";
}

/// What the database says about a bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    pub status: i16,
    pub on_processed: bool,
    pub on_confirmed: bool,
    pub replaced: bool,
}

impl Marks {
    /// Of a bank that is on no unrooted chain.
    fn of(status: i16) -> Self {
        Self {
            status,
            on_processed: false,
            on_confirmed: false,
            replaced: false,
        }
    }
}

/// A base that all rows were compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Healed {
    /// The slot whose state it is.
    pub through: i64,
    pub event: i64,
    /// The slot that its accounts are archived under.
    pub base_slot: i64,
}

/// An unrooted bank: what was written for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BankInfo {
    pub id: BankId,
    /// Tables it has rows in, by [`Entity::bit`].
    pub entities: u32,
    pub spans: Vec<Span>,
    pub whole: bool,
    pub marks: Marks,
}

/// What a writer knows between two transactions; a function of the database's content.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    pub tree: SlotTree,
    pub next_event: i64,
    pub next_feed: i64,
    /// The run that began and has sealed nothing yet.
    pub fresh_run: Option<[u8; 16]>,
    /// The banks of the tree.
    pub banks: BTreeMap<i64, BankInfo>,
    /// What these banks wrote.
    pub prints: BTreeMap<i64, Arc<Prints>>,
    /// The unrooted chains as the overlays have them.
    pub processed: Line,
    pub confirmed: Line,
    pub healed: Option<Healed>,
    /// Newest rooted slot that was ever in a gap or not whole, healed or not; -1 if there is none.
    pub doubt_through: i64,
    /// The slot under which the base is archived that the tree waits to apply.
    pub base: Option<i64>,
    pub genesis: Option<Hash>,
    /// How far the log of each producer is read.
    pub positions: BTreeMap<String, Reached>,
}

/// How far a log is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Where a restart reads from.
    pub resume: Position,
    /// Everything before it is applied.
    pub applied: Position,
}

impl State {
    /// Whether a base has spoken for a slot.
    fn is_healed(&self, slot: i64) -> bool {
        self.healed.is_some_and(|healed| slot <= healed.through)
    }

    /// Some content is on its way to finality, so its progress is worth a transaction of its own.
    pub fn busy(&self) -> bool {
        self.banks.values().any(|b| b.entities != 0) || self.tree.base().is_some()
    }
}

/// The rows of a bank.
pub type BankRows = BTreeMap<Entity, CopyBuffer>;

/// How an overlay changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChainChange {
    /// Banks that left the unrooted chain: rooted, or on another fork now.
    pub gone: Vec<i64>,
    pub joined: Vec<i64>,
    pub now: Vec<i64>,
    /// Some left without being rooted: entities they changed show an older bank's row again.
    pub switched: bool,
    /// Tables concerned.
    pub entities: u32,
}

/// A base whose time has come. Its accounts are read from the archive.
#[derive(Clone, Copy, Debug)]
pub struct BaseWork {
    pub number: i64,
    /// The slot whose state it is.
    pub slot: i64,
    /// The slot under which it is archived.
    pub base_slot: i64,
    /// Newest slot that an earlier base has spoken for; -1 if none.
    pub healed_before: i64,
}

/// An incomplete bank whose content came after all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completed {
    pub number: i64,
    pub accounts: i32,
    pub entities: u32,
}

/// What becomes of a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapChange {
    /// It ends at this bank now.
    Top(BankId),
    /// All its banks have come.
    Closed,
    /// Late banks are not waited for any more.
    GivenUp,
}

/// Content that could not be projected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    pub bank: i64,
    pub slot: i64,
    pub refused: Refused,
}

/// Everything one transaction writes.
#[derive(Debug, Default)]
pub struct Plan {
    pub state: State,
    /// Inputs taken; fewer than given when a base has to be applied before the rest, or an alarm to be healed.
    pub used: usize,
    pub events: CopyBuffer,
    pub accounts: CopyBuffer,
    /// The open alarms, if what came is to be archived; a rebuild reads it from there, and raises none.
    pub watch: Option<Watch>,
    /// Bases to archive: number, slot, accounts.
    pub bases: Vec<(i64, i64, BaseAccounts)>,
    /// Of the archive.
    pub transactions: CopyBuffer,
    pub calls: Vec<BankCalls>,
    pub slots: CopyBuffer,
    /// Rows of each bank whose content came.
    pub rows: BTreeMap<i64, BankRows>,
    /// The same rows by their keys, of what is archived.
    pub marked: BTreeMap<i64, Vec<RowMark>>,
    /// Keys in the rows, whose texts views show.
    pub keys: HashSet<Key>,
    pub epochs: BTreeSet<i64>,
    pub feed: Vec<FeedRow>,
    pub bank_topics: CopyBuffer,
    pub rooted: Vec<i64>,
    pub orphaned: Vec<i64>,
    pub rooted_entities: u32,
    pub ended_entities: u32,
    /// Processed, confirmed.
    pub chains: [ChainChange; 2],
    pub marks: Vec<(i64, Marks)>,
    /// By the gap's first slot.
    pub gaps: Vec<(i64, GapChange)>,
    pub completed: Vec<Completed>,
    /// Banks that were rooted after a base had spoken for their slot.
    pub late: Vec<i64>,
    pub late_entities: u32,
    pub exactness_changed: bool,
    pub base: Option<BaseWork>,
    pub alarms: Vec<Alarm>,
    /// The last input may have healed what an open alarm is about.
    pub heals: bool,
    pub dead: Vec<DeadLetter>,
    pub genesis: Option<Hash>,
    pub updates: usize,
    pub banks: usize,
    new_slots: Vec<NewSlot>,
    ended: BTreeMap<i64, (BankInfo, i16)>,
    known: Known,
    /// The input at hand ended a gap, a bank that was not whole, or the wait of one.
    mended: bool,
}

#[derive(Debug)]
struct NewSlot {
    number: i64,
    slot: i64,
    last_slot: i64,
    hash: Option<Hash>,
    parent: Option<BankId>,
    block_time: Option<i64>,
    accounts: i32,
    whole: bool,
    /// Its transactions are streamed.
    transactions: bool,
    /// Set for rows that are no bank; a bank's is decided at the end.
    fixed: Option<i16>,
}

/// Updates the database itself refused, by bank and ordinal, with its reason.
pub type Refusals = HashMap<i64, HashMap<i32, String>>;

/// Plans the inputs, numbered in the order of the archive. `known` has the newest rooted writes of the accounts they change, `watch`
/// the open alarms.
pub fn plan(
    state: &State,
    inputs: &[(i64, Input)],
    refusals: &Refusals,
    known: Known,
    watch: Option<Watch>,
) -> Plan {
    let mut plan = Plan {
        state: state.clone(),
        known,
        watch,
        ..Plan::default()
    };
    for (number, input) in inputs {
        // A base is compared with what was rooted before it, and an alarm heals before another is raised. The seal that made a
        // base known may follow (it came in the same envelope), nothing else.
        if (plan.base.is_some() || plan.heals)
            && !(matches!(input, Input::Bank(_))
                && matches!(inputs.get(plan.used - 1), Some((_, Input::Base { .. }))))
        {
            break;
        }
        plan.used += 1;
        plan.state.next_event = number + 1;
        let root = plan.state.tree.root();
        plan.input(*number, input, refusals);
        plan.note_healing(root);
    }
    plan.finish();
    plan
}

impl Plan {
    /// The rooted writes that the plan was given, and those that it roots.
    pub fn take_known(&mut self) -> Known {
        std::mem::take(&mut self.known)
    }

    fn raise(&mut self, alarm: Alarm) {
        if let Some(watch) = &mut self.watch {
            watch.raised(&alarm);
        }
        self.alarms.push(alarm);
    }

    /// Notes whether the input at hand may have healed what an open alarm is about; the root was `before`.
    fn note_healing(&mut self, before: Option<Root>) {
        let mended = std::mem::take(&mut self.mended);
        let root = self.state.tree.root();
        if let (Some(watch), Some(now)) = (&self.watch, root) {
            let moved = root != before;
            self.heals |= self.base.is_some() || watch.may_heal(slot_i64(now.slot), moved, mended);
        }
    }
}

fn slot_i64(slot: u64) -> i64 {
    i64::try_from(slot).unwrap_or(i64::MAX)
}
