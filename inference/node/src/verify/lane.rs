//! Who has the engine next. A pass over a long prompt takes longer than a window is open, anybody can have many of them wanted, and one runs
//! at a time: so votes go before checks, the nearest end before later ones, and of one submitter's results no more than a share before
//! others'. What comes to nothing any more is left. [`Lane`] is pure: wants and slots in, turns out; [`Turns`] waits.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use mythic_interface::state::Key;
use parking_lot::Mutex;
use solana_pubkey::Pubkey;
use tokio::sync::Notify;

/// Slots that a claim or a commitment takes from its pass to the chain.
const LANDING: u64 = 4;
/// Slots of the engine that results of one submitter take before others' go first; then as many again.
const SHARE: u64 = 25;
/// Slots for which it is remembered what a submitter's results took.
const MEMORY: u64 = 250;
/// How often it is looked whose turn it is, at least: slots pass.
const LOOK_EVERY: Duration = Duration::from_millis(400);
/// Least slots of a pass from which the engine's speed is learned: shorter ones say little.
const MEASURED: u64 = 4;

/// Least tokens of such a pass: of fewer, what every pass costs is the most.
const TELLING: u64 = 64;

/// What a pass is for, the first first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// A juror's vote.
    Vote,
    /// The check of a result that the policy drew, which no submitter can know.
    Drawn,
    /// The check of a result because it has a case, which anybody may have opened.
    Case,
}

impl Purpose {
    /// One word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vote => "vote",
            Self::Drawn | Self::Case => "check",
        }
    }
}

/// A pass that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    pub job: Pubkey,
    pub submitter: Key,
    pub purpose: Purpose,
    /// Slot from which nothing can be said by it.
    pub end: u64,
    /// Tokens that it reads.
    pub tokens: u64,
}

/// Why a pass is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Nothing can be said by it any more.
    Closed,
    /// The engine would not be done in time.
    Late,
}

impl Left {
    /// One word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Late => "late",
        }
    }
}

/// What whoever wants a pass does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Has the engine, or goes on with it.
    Run,
    /// Waits; what ran gives way.
    Wait,
    /// Goes away.
    Left(Left),
}

struct Running {
    ticket: u64,
    want: Want,
    since: u64,
}

/// Passes that are wanted, and the one that runs.
#[derive(Default)]
pub struct Lane {
    tickets: u64,
    waiting: BTreeMap<u64, Want>,
    running: Option<Running>,
    /// Passes of late: whose, when they ended, slots.
    taken: VecDeque<(Key, u64, u64)>,
    /// Tokens that the engine reads in a thousand slots, once measured.
    speed: Option<u64>,
}

impl Lane {
    /// Takes a place; the ticket names it.
    pub fn enter(&mut self, want: Want) -> u64 {
        self.tickets += 1;
        self.waiting.insert(self.tickets, want);
        self.tickets
    }

    /// What whoever holds a ticket does in this slot.
    pub fn turn(&mut self, ticket: u64, slot: u64) -> Next {
        if let Some(running) = &self.running
            && running.ticket == ticket
        {
            let of = running.want.job;
            let end = self.about(&of).map(|want| want.end).max();
            return match (end.is_none_or(|end| slot >= end), self.gives_way(slot)) {
                (true, _) => {
                    self.stop(slot, false);
                    Next::Left(Left::Closed)
                }
                (false, true) => {
                    if let Some(want) = self.stop(slot, true) {
                        self.waiting.insert(ticket, want);
                    }
                    Next::Wait
                }
                (false, false) => Next::Run,
            };
        }
        let Some(want) = self.waiting.get(&ticket).copied() else {
            return Next::Left(Left::Closed);
        };
        if let Some(left) = self.left(&want, slot) {
            self.waiting.remove(&ticket);
            // A slow hour is not for ever: each that is left for want of time makes it likelier that the next one is tried.
            if left == Left::Late {
                self.speed = self.speed.map(|speed| speed.saturating_add(speed / 32 + 1));
            }
            return Next::Left(left);
        }
        if self.running.is_some() || self.first(slot) != Some(ticket) {
            return Next::Wait;
        }
        self.waiting.remove(&ticket);
        self.running = Some(Running {
            ticket,
            want,
            since: slot,
        });
        Next::Run
    }

    /// Gives a place back; `done` says that its pass came to its end.
    pub fn leave(&mut self, ticket: u64, slot: u64, done: bool) {
        self.waiting.remove(&ticket);
        let ours = |running: &&Running| running.ticket == ticket;
        if let Some(running) = self.running.as_ref().filter(ours) {
            let (tokens, spent) = (running.want.tokens, slot.saturating_sub(running.since));
            if done && spent >= MEASURED && tokens >= TELLING {
                let measured = (tokens * 1_000 / spent).max(1);
                self.speed = Some(self.at_least_half(measured));
            }
            self.stop(slot, true);
        }
    }

    /// The ends of checks whose results have a case: when it is shown is its submitter's choice.
    pub fn end_with(&mut self, end_of: impl Fn(&Pubkey) -> Option<u64>) {
        let running = self.running.as_mut().map(|running| &mut running.want);
        for want in self.waiting.values_mut().chain(running) {
            if want.purpose != Purpose::Vote
                && let Some(end) = end_of(&want.job)
            {
                want.end = end;
            }
        }
    }

    /// Ends what runs; in vain, its speed is known to be no higher.
    fn stop(&mut self, slot: u64, good: bool) -> Option<Want> {
        let Running { want, since, .. } = self.running.take()?;
        let spent = slot.saturating_sub(since).max(1);
        if !good && want.tokens >= TELLING {
            let most = (want.tokens * 1_000 / spent).max(1);
            let most = self.speed.map_or(most, |speed| speed.min(most));
            self.speed = Some(self.at_least_half(most));
        }
        self.taken.push_back((want.submitter, slot, spent));
        while self
            .taken
            .front()
            .is_some_and(|(_, at, _)| at.saturating_add(MEMORY) < slot)
        {
            self.taken.pop_front();
        }
        Some(want)
    }

    /// A speed, or half of the known one: slots that leap within one pass, after a stall of the RPC server, say little of the engine.
    fn at_least_half(&self, measured: u64) -> u64 {
        self.speed.map_or(measured, |speed| measured.max(speed / 2))
    }

    /// Slots that a pass takes, as far as is known.
    fn takes(&self, want: &Want) -> u64 {
        self.speed.map_or(0, |speed| want.tokens * 1_000 / speed)
    }

    /// Whether it comes to nothing. What runs for somebody else is not begun anew.
    fn left(&self, want: &Want, slot: u64) -> Option<Left> {
        if slot >= want.end {
            return Some(Left::Closed);
        }
        let runs = self.running.as_ref().map(|running| running.want.job);
        let done = slot
            .saturating_add(self.takes(want))
            .saturating_add(LANDING);
        (runs != Some(want.job) && done > want.end).then_some(Left::Late)
    }

    /// All that are wanted of one result.
    fn about<'a>(&'a self, job: &'a Pubkey) -> impl Iterator<Item = &'a Want> {
        let running = self.running.as_ref().map(|running| &running.want);
        let all = self.waiting.values().chain(running);
        all.filter(|want| want.job == *job)
    }

    /// Shares of the engine that each submitter's results took of late, with the one that runs.
    fn shares(&self, slot: u64) -> BTreeMap<Key, u64> {
        let mut all = BTreeMap::new();
        let taken = self.taken.iter();
        let taken = taken.filter(|(_, at, _)| at.saturating_add(MEMORY) >= slot);
        let running = self.running.iter().map(|running| {
            let spent = slot.saturating_sub(running.since);
            (running.want.submitter, spent)
        });
        for (submitter, slots) in taken.map(|(key, _, slots)| (*key, *slots)).chain(running) {
            *all.entry(submitter).or_default() += slots;
        }
        all.values_mut().for_each(|slots| *slots /= SHARE);
        all
    }

    /// Who goes first, the end aside.
    fn rank(shares: &BTreeMap<Key, u64>, want: &Want) -> (bool, u64, Purpose) {
        let share = shares.get(&want.submitter).copied().unwrap_or(0);
        (want.purpose != Purpose::Vote, share, want.purpose)
    }

    /// The first of those that wait and are of use.
    fn first(&self, slot: u64) -> Option<u64> {
        let shares = self.shares(slot);
        let useful = self.waiting.iter();
        let useful = useful.filter(|(_, want)| self.left(want, slot).is_none());
        let first =
            useful.min_by_key(|(ticket, want)| (Self::rank(&shares, want), want.end, **ticket));
        first.map(|(ticket, _)| *ticket)
    }

    /// Whether what runs makes room: for one that goes before it and could not wait until it is done. What takes longer than was thought
    /// is expected to take as long again. The engine keeps what it read of the prompt.
    fn gives_way(&self, slot: u64) -> bool {
        let Some(running) = &self.running else {
            return false;
        };
        let (job, spent) = (&running.want.job, slot.saturating_sub(running.since));
        let rest = match self.takes(&running.want).saturating_sub(spent) {
            0 => spent,
            rest => rest,
        };
        let shares = self.shares(slot);
        let rank = self.about(job).map(|want| Self::rank(&shares, want)).min();
        self.waiting.values().any(|want| {
            let done = slot + rest + self.takes(want) + LANDING;
            want.job != *job
                && Some(Self::rank(&shares, want)) < rank
                && self.left(want, slot).is_none()
                && done > want.end
        })
    }
}

/// The lane, and who waits in it.
#[derive(Default)]
pub struct Turns {
    lane: Mutex<Lane>,
    moved: Notify,
}

impl Turns {
    /// A place in the lane, which is given back with it.
    pub fn enter<S: Fn() -> u64>(&self, want: Want, slot: S) -> Ticket<'_, S> {
        let ticket = self.lane.lock().enter(want);
        Ticket {
            turns: self,
            ticket,
            slot,
            done: false,
        }
    }

    /// See [`Lane::end_with`].
    pub fn end_with(&self, end_of: impl Fn(&Pubkey) -> Option<u64>) {
        self.lane.lock().end_with(end_of);
    }
}

/// Somebody's place in the lane.
pub struct Ticket<'a, S: Fn() -> u64> {
    turns: &'a Turns,
    ticket: u64,
    slot: S,
    done: bool,
}

impl<S: Fn() -> u64> Ticket<'_, S> {
    /// What to do now.
    pub fn turn(&self) -> Next {
        let mut lane = self.turns.lane.lock();
        let ran = lane.running.is_some();
        let turn = lane.turn(self.ticket, (self.slot)());
        if ran && lane.running.is_none() {
            self.turns.moved.notify_waiters();
        }
        turn
    }

    /// Ends when it may be otherwise than at the call.
    pub fn moved(&self) -> impl Future {
        tokio::time::timeout(LOOK_EVERY, self.turns.moved.notified())
    }

    /// Its pass came to its end.
    pub fn done(mut self) {
        self.done = true;
    }
}

impl<S: Fn() -> u64> Drop for Ticket<'_, S> {
    fn drop(&mut self) {
        let mut lane = self.turns.lane.lock();
        lane.leave(self.ticket, (self.slot)(), self.done);
        drop(lane);
        self.turns.moved.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAIT: Key = [1; 32];
    const OTHER: Key = [2; 32];

    fn want(n: u8, submitter: Key, purpose: Purpose, end: u64, tokens: u64) -> Want {
        Want {
            job: Pubkey::new_from_array([n; 32]),
            submitter,
            purpose,
            end,
            tokens,
        }
    }

    /// A lane of an engine that reads 40 tokens a slot.
    fn lane() -> Lane {
        Lane {
            speed: Some(40_000),
            ..Lane::default()
        }
    }

    /// In which order they have the engine, each for a slot, from slot 0; who is left stays away.
    fn order(wants: &[Want]) -> Vec<u8> {
        let mut lane = lane();
        let tickets: Vec<u64> = wants.iter().map(|want| lane.enter(*want)).collect();
        let mut ran = Vec::new();
        for slot in 0..wants.len() as u64 {
            for (ticket, want) in tickets.iter().zip(wants) {
                if lane.turn(*ticket, slot) == Next::Run {
                    ran.push(want.job.to_bytes()[0]);
                    lane.leave(*ticket, slot, true);
                    break;
                }
            }
        }
        ran
    }

    #[test]
    fn votes_go_first_by_the_end_of_their_commits_then_what_was_drawn_then_cases_by_their_ends() {
        use Purpose::{Case, Drawn, Vote};
        let wants = [
            want(1, BAIT, Case, 60, 400),
            want(2, BAIT, Case, 50, 400),
            want(3, BAIT, Drawn, 90, 400),
            want(4, BAIT, Drawn, 80, 400),
            want(5, BAIT, Vote, 280, 400),
            want(6, OTHER, Vote, 260, 400),
        ];
        assert_eq!(order(&wants), [6, 5, 4, 3, 2, 1]);
    }

    #[test]
    fn what_comes_to_nothing_is_left() {
        let mut lane = lane();
        for (end, tokens, slot, turn) in [
            (100, 400, 86, Next::Run),
            (100, 400, 87, Next::Left(Left::Late)),
            (100, 8_192, 0, Next::Left(Left::Late)),
            (100, 400, 100, Next::Left(Left::Closed)),
        ] {
            lane.speed = Some(40_000);
            let ticket = lane.enter(want(1, BAIT, Purpose::Drawn, end, tokens));
            assert_eq!(lane.turn(ticket, slot), turn, "{end} {tokens} {slot}");
            lane.leave(ticket, slot, true);
        }
        // What runs is ended with its window, and the engine known to be no faster.
        let ticket = lane.enter(want(1, BAIT, Purpose::Drawn, 100, 400));
        lane.speed = None;
        assert_eq!(lane.turn(ticket, 20), Next::Run);
        assert_eq!(lane.turn(ticket, 99), Next::Run);
        assert_eq!(lane.turn(ticket, 100), Next::Left(Left::Closed));
        assert_eq!(lane.speed, Some(5_000));
        // Yet a slow hour is not for ever.
        let tries = (0..100).find(|_| {
            let ticket = lane.enter(want(1, BAIT, Purpose::Drawn, 100, 1_000));
            lane.turn(ticket, 0) == Next::Run
        });
        assert!(tries.is_some_and(|tries| tries > 3), "{tries:?}");
    }

    #[test]
    fn slots_that_leap_within_a_pass_make_no_engine_slow() {
        let mut lane = lane();
        let ticket = lane.enter(want(1, BAIT, Purpose::Vote, 9_000, 400));
        assert_eq!(lane.turn(ticket, 0), Next::Run);
        lane.leave(ticket, 4_000, true);
        assert_eq!(lane.speed, Some(20_000), "and not 100");
        let next = lane.enter(want(2, OTHER, Purpose::Drawn, 4_100, 400));
        assert_eq!(lane.turn(next, 4_000), Next::Run);
        // One that is slow is known to be so soon.
        lane.leave(next, 4_080, true);
        assert_eq!(lane.speed, Some(10_000));
        // A short answer says nothing of it.
        let short = lane.enter(want(3, OTHER, Purpose::Drawn, 4_200, 9));
        assert_eq!(lane.turn(short, 4_080), Next::Run);
        lane.leave(short, 4_100, true);
        assert_eq!(lane.speed, Some(10_000));
    }

    #[test]
    fn the_flood_of_one_submitter_holds_no_other_up() {
        let mut lane = lane();
        let baits: Vec<u64> = (1..21)
            .map(|n| lane.enter(want(n, BAIT, Purpose::Case, 200 + u64::from(n), 2_000)))
            .collect();
        assert_eq!(lane.turn(baits[0], 0), Next::Run);
        // The lie comes later, and ends later.
        let lie = lane.enter(want(99, OTHER, Purpose::Case, 250, 2_000));
        assert_eq!(lane.turn(lie, 1), Next::Wait);
        assert_eq!(lane.turn(baits[0], 49), Next::Run, "it can wait as yet");
        lane.leave(baits[0], 50, true);
        assert_eq!(lane.turn(baits[1], 50), Next::Wait, "its share is spent");
        assert_eq!(lane.turn(lie, 50), Next::Run);
        lane.leave(lie, 100, true);
        assert_eq!(lane.turn(baits[1], 100), Next::Run, "nobody else waits");
        lane.leave(baits[1], 150, true);
        assert_eq!(lane.shares(150), BTreeMap::from([(BAIT, 4), (OTHER, 2)]));
        assert!(lane.shares(150 + MEMORY + 1).is_empty(), "long ago");
    }

    #[test]
    fn what_runs_makes_room_for_one_before_it_that_could_not_wait() {
        let mut lane = lane();
        let long = lane.enter(want(1, BAIT, Purpose::Case, 9_000, 8_192));
        assert_eq!(lane.turn(long, 0), Next::Run);
        let lie = lane.enter(want(2, OTHER, Purpose::Case, 110, 400));
        // As long as both have taken as little, the first goes on.
        assert_eq!(lane.turn(long, 24), Next::Run);
        assert_eq!(lane.turn(long, 25), Next::Wait);
        assert_eq!(lane.turn(lie, 25), Next::Run);
        lane.leave(lie, 35, true);
        assert_eq!(lane.turn(long, 35), Next::Run);
        // A vote waits where it can, and the same result's is what runs.
        let same = lane.enter(want(1, BAIT, Purpose::Vote, 130, 8_192));
        assert_eq!(lane.turn(long, 36), Next::Run);
        assert_eq!(lane.turn(same, 36), Next::Wait);
        let vote = lane.enter(want(3, OTHER, Purpose::Vote, 330, 400));
        assert_eq!(lane.turn(long, 37), Next::Run);
        assert_eq!(lane.turn(vote, 37), Next::Wait);
    }

    #[test]
    fn a_case_that_is_shown_ends_sooner_than_one_that_waits() {
        let mut lane = lane();
        let [first, second] = [1, 2].map(|n| lane.enter(want(n, BAIT, Purpose::Case, 500, 400)));
        lane.end_with(|job| (job.to_bytes()[0] == 2).then_some(90));
        assert_eq!(lane.turn(first, 0), Next::Wait);
        assert_eq!(lane.turn(second, 0), Next::Run);
    }
}
