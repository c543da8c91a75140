//! One lease, as its provider sees it: what is to be done next. Pure. The chain says how the lease stands, so that a restart needs
//! nothing but the promise; a machine knows beside it what runs here and which steps are under way.
//!
//! What runs is ended by positive evidence alone: the lease was *seen* ended at `confirmed`, or *absent* at `finalized` in a slot after
//! the last in which it was there, and a grace is over. No answer, an old slot or a list without it end nothing; then the time for which
//! it is paid does. A lease follows from its request alone, so that it may be another provider's: that is never served, and is forgotten
//! once it is final.

use std::collections::BTreeMap;

use mythic_client::{Commitment, LAMPORTS_PER_SIGNATURE};
use mythic_interface::{
    market::{
        due, meter,
        probe::DRAW_SLOTS,
        state::{CloseReason, EpochState, Lease, LeaseEpoch, LeaseStatus},
    },
    money::share,
    state::{Key, NO_KEY},
    window,
};

/// Shortest and longest pause before a step is tried again, seconds.
const PAUSES: (u64, u64) = (1, 60);
/// Pause after a step that was done: until the chain shows it.
const AFTER: u64 = 3;
/// An epoch is paid out once the share is worth so many fees of a transaction.
const WORTH_FEES: u64 = 50;
/// Slots behind the one that draws until what it draws is published: the draw may still be on a fork that dies.
const DRAW_MARGIN: u64 = 8;

/// Slots by which the newest slot that is heard of may be ahead of the bank in which a transaction is tried.
const AHEAD: u64 = 2;

/// How a lease in care stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// Its state; `None` until the chain shows it as this provider's.
    pub status: Option<LeaseStatus>,
    /// Epochs in a row whose time for proofs is over and that have none.
    pub missed: u64,
}

/// Something to do. Each is under way once at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Take the request.
    Accept,
    /// Serve the tenant.
    Serve,
    /// Say on chain that it runs.
    Start,
    /// Prove this epoch.
    Prove(u64),
    /// Publish drawn elements of this epoch's proof.
    Publish(u64),
    /// Have what is due paid.
    Release,
    /// End the lease for this reason.
    Close(Ending),
    /// Pay the tenant what is its own.
    Withdraw,
    /// Close the lease's account.
    CloseAccount,
    /// Serve the tenant no longer.
    Stop,
    /// Nothing is left of the lease.
    Forget,
}

impl Step {
    /// What a trace calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accept => "accept lease",
            Self::Serve => "serve lease",
            Self::Start => "start lease",
            Self::Prove(_) => "prove epoch",
            Self::Publish(_) => "publish proof",
            Self::Release => "release epochs",
            Self::Close(_) => "close lease",
            Self::Withdraw => "withdraw for tenant",
            Self::CloseAccount => "close account of lease",
            Self::Stop => "stop serving lease",
            Self::Forget => "forget lease",
        }
    }
}

/// Why a provider ends a lease: its reason on chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// Its time is over.
    Completed,
    /// Its provider's notice is over.
    NoticeOver,
    /// It was not started in time.
    NeverStarted,
    /// Its start was not acknowledged in time.
    NeverAcknowledged,
}

impl Ending {
    /// As the chain calls it.
    pub fn reason(self) -> CloseReason {
        match self {
            Self::Completed => CloseReason::Completed,
            Self::NoticeOver => CloseReason::ClosedByProvider,
            Self::NeverStarted => CloseReason::NeverStarted,
            Self::NeverAcknowledged => CloseReason::NeverAcknowledged,
        }
    }
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// It may work later.
    Failed,
}

/// What a machine is told.
#[derive(Debug, Clone)]
pub enum Event {
    /// The lease's account was read, or was not there.
    Read {
        /// Slot of the bank that was read.
        slot: u64,
        held: Commitment,
        lease: Option<Box<Lease>>,
    },
    /// Time passed.
    Tick {
        /// The newest slot.
        slot: u64,
        /// Unix seconds.
        second: u64,
    },
    /// A step ended.
    Ended(Step, Outcome),
}

/// How long a step waits before it begins again.
#[derive(Debug, Clone, Copy)]
struct Pause {
    /// Second from which it may.
    until: u64,
    /// Length of the next one.
    next: u64,
}

/// A lease.
#[derive(Debug)]
pub struct Machine {
    /// The provider that this is.
    provider: Key,
    /// Slot from which its request can't be accepted any more.
    deadline_slot: u64,
    /// Seconds for which it is served after it ended.
    grace: u64,
    slot: u64,
    second: u64,
    /// As last read, while it was there.
    lease: Option<Box<Lease>>,
    /// Slot in which it was last read, or read to be absent.
    read_slot: u64,
    /// Last slot in which it was there, whosever it was.
    there_slot: Option<u64>,
    /// It was seen at `confirmed`: no fork that dies takes it along.
    firm: bool,
    /// Second until which it is paid, as last read; 0 before its start.
    paid_until: u64,
    /// Second of the evidence that it is over.
    over_since: Option<u64>,
    /// It is absent for good.
    gone: bool,
    serving: bool,
    /// What serves it goes on without this process, and is there in part where a start failed.
    outlives: bool,
    /// Something of an earlier process, or of a start that failed, may still run here.
    left: bool,
    under_way: Vec<Step>,
    pauses: BTreeMap<Step, Pause>,
}

impl Machine {
    /// A lease that this provider promised for a request with this deadline. `outlives` if what serves it may outlive the process that
    /// began it.
    pub fn new(provider: Key, deadline_slot: u64, grace: u64, outlives: bool) -> Self {
        Self {
            provider,
            deadline_slot,
            grace,
            slot: 0,
            second: 0,
            lease: None,
            read_slot: 0,
            there_slot: None,
            firm: false,
            paid_until: 0,
            over_since: None,
            gone: false,
            serving: false,
            outlives,
            left: outlives,
            under_way: Vec::new(),
            pauses: BTreeMap::new(),
        }
    }

    /// The lease as last read.
    pub fn lease(&self) -> Option<&Lease> {
        self.lease.as_deref()
    }

    /// How it stands. What landed in the last slots may not be read yet, so that nothing is called missed at once.
    pub fn standing(&self) -> Standing {
        let Some(lease) = self.lease.as_deref() else {
            return Standing::default();
        };
        let (meter, slot) = (lease.meter(), self.slot.saturating_sub(DRAW_MARGIN));
        let epoch = meter::epoch_of(slot, &meter.grid);
        let is_over = !window::open(slot, meter.proof_end(epoch));
        Standing {
            status: lease.status(),
            missed: match self.takes_proofs(lease) {
                true => meter.missed(epoch + u64::from(is_over)),
                false => 0,
            },
        }
    }

    /// Takes an event; gives the steps that begin now.
    pub fn on(&mut self, event: Event) -> Vec<Step> {
        match event {
            Event::Read { slot, held, lease } => self.read(slot, held, lease),
            Event::Tick { slot, second } => {
                self.slot = self.slot.max(slot);
                self.second = self.second.max(second);
            }
            Event::Ended(step, outcome) => self.ended(step, outcome),
        }
        // Before the first tick nothing is known of the time.
        if self.second == 0 {
            return Vec::new();
        }
        let wanted = self.wanted();
        let free = |step: &Step| {
            let paused = self
                .pauses
                .get(step)
                .is_some_and(|pause| pause.until > self.second);
            !paused && !self.under_way.contains(step) && !self.is_crossed(*step)
        };
        let begun: Vec<Step> = wanted.into_iter().filter(free).collect();
        self.under_way.extend(&begun);
        begun
    }

    /// Whether a step that is under way would undo it, or be undone by it: what is begun late would stay for ever.
    fn is_crossed(&self, step: Step) -> bool {
        let other = match step {
            Step::Stop | Step::Forget => Step::Serve,
            Step::Serve => Step::Stop,
            _ => return false,
        };
        self.under_way.contains(&other)
    }

    fn read(&mut self, slot: u64, held: Commitment, lease: Option<Box<Lease>>) {
        let (firm, is_final) = (held >= Commitment::Confirmed, held == Commitment::Finalized);
        let is_there = lease.is_some();
        let ours = lease.filter(|state| state.terms.provider == self.provider);
        match &ours {
            Some(state) if firm && state.status() == Some(LeaseStatus::Ended) => {
                self.over_since.get_or_insert(self.second);
            }
            Some(_) => {}
            // Who else took the request has it for ever.
            None if is_final && is_there => self.over_for_good(),
            None if is_final => {
                if self.there_slot.is_some_and(|last| slot > last) && !self.firm {
                    // It was on a fork that died: the request may be open again.
                    self.there_slot = None;
                    self.paid_until = 0;
                }
                // It may still be accepted until the deadline.
                if slot > self.there_slot.unwrap_or(self.deadline_slot) {
                    self.over_for_good();
                }
            }
            None => {}
        }
        if is_there {
            self.there_slot = Some(self.there_slot.map_or(slot, |last| last.max(slot)));
            self.firm |= firm;
        }
        if slot >= self.read_slot {
            self.read_slot = slot;
            self.paid_until = match &ours {
                Some(state) => state.ends_at.get(),
                None => self.paid_until,
            };
            self.lease = ours;
        }
    }

    /// Nothing of it is left, or is ever to be, for this provider.
    fn over_for_good(&mut self) {
        self.gone = true;
        self.over_since.get_or_insert(self.second);
    }

    fn ended(&mut self, step: Step, outcome: Outcome) {
        self.under_way.retain(|other| *other != step);
        self.left |= self.outlives && step == Step::Serve;
        let pause = self.pauses.entry(step).or_insert(Pause {
            until: 0,
            next: PAUSES.0,
        });
        match outcome {
            Outcome::Done => {
                *pause = Pause {
                    until: self.second + AFTER,
                    next: PAUSES.0,
                };
                match step {
                    Step::Serve => self.serving = true,
                    Step::Stop => (self.serving, self.left) = (false, false),
                    // Once is enough.
                    Step::Publish(_) => pause.until = u64::MAX,
                    _ => {}
                }
            }
            Outcome::Failed => {
                pause.until = self.second + pause.next;
                pause.next = (2 * pause.next).min(PAUSES.1);
            }
        }
    }

    /// All that should be done as things stand.
    fn wanted(&self) -> Vec<Step> {
        let may_run = self.serving || self.left;
        if may_run && self.is_over() {
            return vec![Step::Stop];
        }
        if self.gone {
            return match may_run {
                true => Vec::new(),
                false => vec![Step::Forget],
            };
        }
        let Some(lease) = self.lease.as_deref() else {
            // What the chain was not asked about may be there, and what was there once may be there again.
            let is_new = self.read_slot > 0 && self.there_slot.is_none();
            return match is_new && window::open(self.slot, self.deadline_slot) {
                true => vec![Step::Accept],
                false => Vec::new(),
            };
        };
        let mut wanted = Vec::new();
        wanted.extend(self.life(lease));
        // What is not served is not proved either: a proof is paid.
        let proof = self.proof(lease).filter(|_| self.serving);
        wanted.extend(proof.map(Step::Prove));
        wanted.extend(self.published(lease).map(Step::Publish));
        wanted.extend(self.is_worth_releasing(lease).then_some(Step::Release));
        wanted
    }

    /// Whether it is served no longer.
    fn is_over(&self) -> bool {
        let paid_until = (self.paid_until > 0).then_some(self.paid_until);
        let ends = [self.over_since, paid_until];
        let ends = ends.into_iter().flatten();
        ends.map(|end| end.saturating_add(self.grace))
            .any(|end| self.second >= end)
    }

    /// The next step in its life.
    fn life(&self, lease: &Lease) -> Option<Step> {
        let over = self.second >= lease.ends_at.get();
        match lease.status()? {
            LeaseStatus::Accepted if !window::open(self.slot, lease.start_end()) => {
                Some(Step::Close(Ending::NeverStarted))
            }
            LeaseStatus::Accepted if self.serving => Some(Step::Start),
            LeaseStatus::Accepted => Some(Step::Serve),
            LeaseStatus::Started if over || !window::open(self.slot, lease.ack_end()) => {
                Some(Step::Close(Ending::NeverAcknowledged))
            }
            LeaseStatus::Active | LeaseStatus::Closing if over => {
                Some(Step::Close(Ending::Completed))
            }
            LeaseStatus::Closing if self.notice_is_over(lease) => {
                Some(Step::Close(Ending::NoticeOver))
            }
            LeaseStatus::Started | LeaseStatus::Active | LeaseStatus::Closing => {
                (!self.serving && !over).then_some(Step::Serve)
            }
            LeaseStatus::Ended => self.remains(lease),
        }
    }

    fn notice_is_over(&self, lease: &Lease) -> bool {
        due::notice_is_over(lease, self.slot.saturating_sub(AHEAD))
    }

    /// What is left to do about a lease that ended.
    fn remains(&self, lease: &Lease) -> Option<Step> {
        let stays = due::account_end(lease)?;
        // It pays the tenant too, or burns what an emptied wallet can't hold: no tenant keeps rent and stake here.
        if !window::open(self.slot, stays) {
            return Some(Step::CloseAccount);
        }
        (lease.tenant_due.get() > 0).then_some(Step::Withdraw)
    }

    /// Whether proofs of it are due at all.
    fn takes_proofs(&self, lease: &Lease) -> bool {
        let running = match lease.status() {
            Some(LeaseStatus::Active | LeaseStatus::Closing) => true,
            Some(LeaseStatus::Started) => window::open(self.slot, lease.ack_end()),
            Some(LeaseStatus::Accepted | LeaseStatus::Ended) | None => false,
        };
        running && lease.mark.get() < lease.ends_at.get()
    }

    /// The epoch whose proof the chain takes now.
    fn proof(&self, lease: &Lease) -> Option<u64> {
        let meter = lease.meter();
        let epoch = meter::epoch_of(self.slot, &meter.grid);
        let due = self.takes_proofs(lease)
            && epoch > meter.last_proved
            && window::open(self.slot, meter.proof_end(epoch));
        due.then_some(epoch)
    }

    /// Epochs whose proofs can be published.
    fn published(&self, lease: &Lease) -> impl Iterator<Item = u64> {
        let drawn = |entry: &&LeaseEpoch| {
            let draw = entry.slot.get().saturating_add(DRAW_SLOTS + DRAW_MARGIN);
            // What the tenant called unserved is disputed like any other.
            let states = [EpochState::Pending as u8, EpochState::Unserved as u8];
            states.contains(&entry.state) && entry.proof != NO_KEY && self.slot > draw
        };
        let drawn = lease.ring.iter().filter(drawn);
        drawn.map(|entry| entry.epoch.get())
    }

    /// Whether what is due is worth a transaction; of a lease that ended, whatever it is.
    fn is_worth_releasing(&self, lease: &Lease) -> bool {
        let due = due::releasable(lease, self.slot.saturating_sub(AHEAD));
        let due: u64 = due.map(|entry| entry.amount.get()).sum();
        let worth = match lease.status() {
            Some(LeaseStatus::Ended) => 1,
            _ => WORTH_FEES * LAMPORTS_PER_SIGNATURE,
        };
        due > 0 && share(due, lease.terms.rules.provider_bps.get()).max(1) >= worth
    }
}

#[cfg(test)]
#[path = "fsm_tests.rs"]
mod tests;
