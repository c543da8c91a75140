//! Leases in care, each with its own machine, and what their tasks do: every step takes its time, sends what it sends, and is over before
//! the machine is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use mythic_client::Commitment;
use mythic_interface::hash::access_hash;
use mythic_interface::le::U64;
use mythic_interface::market::ix::{self, SubmitProof};
use mythic_interface::market::meter;
use mythic_interface::market::state::{Lease, RequestStatus};
use mythic_interface::window;
use mythic_program_tests::keys::{key, operator};
use mythic_provider::journal::{Journal, Promise};
use mythic_provider::lease::desk::Desk;
use mythic_provider::lease::fsm::{Event, Machine, Outcome, Step};
use mythic_provider::proof::{self, Shape};
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;
use tokio::sync::mpsc;

use super::bench::{GRACE, Served, is_ours};
use super::cluster::OURS;
use super::disk::Disk;
use super::outside::{Killed, Outside};
use super::schedule::Phase;

/// Of a hundred engines that are started.
const BROKEN: usize = 4;

/// How far a step is.
enum Stage {
    Working,
    /// What it sends is made.
    Made(Box<Instruction>),
    Sent(u64),
}

/// A step under way.
struct Errand {
    step: Step,
    /// Nothing happens to it before.
    at: u64,
    /// The lease as it was when the step began.
    state: Option<Box<Lease>>,
    stage: Stage,
}

/// What became of a step in a tick.
enum Went {
    On(Errand),
    Over(Step, Outcome),
}

/// A lease in care.
struct Tended {
    machine: Machine,
    events: mpsc::Receiver<Event>,
    request: Pubkey,
    promise: Arc<Promise>,
    next_read: u64,
    /// It is served by this process.
    served: bool,
    /// Slot of the newest answer, and the second until which the lease was paid in it.
    paid_until: (u64, u64),
    /// Last slot in which it was there.
    there: u64,
    errands: Vec<Errand>,
}

pub struct Care {
    journal: Journal,
    pub desk: Desk,
    /// The newest slot that was heard of.
    pub slot: u64,
    tended: BTreeMap<Pubkey, Tended>,
}

impl Care {
    pub fn new(journal: Journal, out: &Outside) -> Self {
        Self {
            journal,
            desk: Desk::default(),
            slot: out.slot().unwrap_or(0),
            tended: BTreeMap::new(),
        }
    }

    /// Hears of the newest slot.
    pub fn hear(&mut self, out: &Outside) {
        self.slot = self.slot.max(out.slot().unwrap_or(0));
    }

    pub fn is_empty(&self) -> bool {
        self.tended.is_empty()
    }

    pub fn leases(&self) -> Vec<Pubkey> {
        self.tended.keys().copied().collect()
    }

    /// Those that are served, by this process or by what an earlier one left running.
    pub fn served(&self, disk: &Disk) -> Vec<Served> {
        let runs = |of: &(&Pubkey, &Tended)| of.1.served || disk.containers.contains(of.0);
        let served = self.tended.iter().filter(runs);
        served
            .map(|(lease, tended)| tended.as_served(lease))
            .collect()
    }

    /// Writes a promise.
    pub fn keep(&self, lease: &Pubkey, promise: &Promise, disk: &mut Disk) {
        let kept = self.journal.keep(lease, promise);
        kept.expect("a promise is written");
        disk.kept();
    }

    /// Takes a lease into care.
    pub fn take_up(&mut self, lease: Pubkey, promise: Promise, out: &Outside) -> Result<()> {
        let request = promise.request.parse::<Pubkey>()?;
        let (deadline, outlives) = (promise.deadline_slot, promise.container.is_some());
        let promise = Arc::new(promise);
        let place = self.desk.enter_at(lease, promise.clone(), out.instant());
        let Some(events) = place else {
            return Ok(());
        };
        let tended = Tended {
            machine: Machine::new(key(OURS), deadline, GRACE, outlives),
            events,
            request,
            promise,
            next_read: out.now,
            served: false,
            paid_until: (0, 0),
            there: 0,
            errands: Vec::new(),
        };
        self.tended.insert(lease, tended);
        Ok(())
    }

    /// Tells every machine what there is to tell, and goes on with the steps.
    pub fn tick(&mut self, out: &mut Outside, disk: &mut Disk) -> Result<(), Killed> {
        for lease in self.leases() {
            while let Some(event) = self.received(&lease) {
                self.tell(lease, event, out)?;
            }
            if let Some(event) = self.watched(&lease, out) {
                self.tell(lease, event, out)?;
            }
            let (slot, second) = (self.slot, out.second());
            self.tell(lease, Event::Tick { slot, second }, out)?;
            self.go_on(lease, out, disk)?;
        }
        Ok(())
    }

    /// What the reconciler left for a lease.
    fn received(&mut self, lease: &Pubkey) -> Option<Event> {
        self.tended.get_mut(lease)?.events.try_recv().ok()
    }

    /// The lease as a node shows it now.
    fn watched(&mut self, lease: &Pubkey, out: &mut Outside) -> Option<Event> {
        let tended = self.tended.get_mut(lease)?;
        if out.now < tended.next_read {
            return None;
        }
        tended.next_read = out.now + out.between(300, 1_500);
        let (slot, sight) = out.sight(Commitment::Processed, 0)?;
        let shown = sight.leases.get(lease).filter(|_| !out.is_empty());
        Some(Event::Read {
            slot,
            held: Commitment::Processed,
            lease: shown.map(|state| Box::new(*state)),
        })
    }

    /// Tells a lease's machine, and begins what it wants.
    fn tell(&mut self, lease: Pubkey, event: Event, out: &mut Outside) -> Result<(), Killed> {
        let Some(tended) = self.tended.get_mut(&lease) else {
            return Ok(());
        };
        if let Event::Read {
            slot,
            held,
            lease: found,
        } = &event
        {
            if found.is_some() {
                self.desk.seen(&lease);
            }
            if *slot >= tended.paid_until.0 {
                let ours = found.as_deref().filter(|state| is_ours(state));
                let until = ours.map_or(tended.paid_until.1, |state| state.ends_at.get());
                tended.paid_until = (*slot, until);
            }
            if found.is_some() {
                tended.there = tended.there.max(*slot);
            } else if *held == Commitment::Finalized && *slot > tended.there {
                // It was on a fork that died, if it was there.
                tended.paid_until.1 = 0;
            }
        }
        let steps = tended.machine.on(event);
        self.desk.stands(&lease, tended.machine.standing());
        for step in steps {
            out.comes_to(step.name(), Phase::Begins)?;
            let takes = match step {
                Step::Serve => out.between(1_000, 4_000),
                Step::Stop | Step::Forget => 0,
                _ => out.between(50, 400),
            };
            if step == Step::Stop {
                let second = out.second();
                let served = tended.as_served(&lease);
                out.bench.stops(second, &out.cluster, &served);
                tended.served = false;
            }
            tended.errands.push(Errand {
                step,
                at: out.now + takes,
                state: tended.machine.lease().copied().map(Box::new),
                stage: Stage::Working,
            });
        }
        Ok(())
    }

    /// Goes on with a lease's steps.
    fn go_on(&mut self, lease: Pubkey, out: &mut Outside, disk: &mut Disk) -> Result<(), Killed> {
        let Some(tended) = self.tended.get_mut(&lease) else {
            return Ok(());
        };
        let errands = std::mem::take(&mut tended.errands);
        let (due, later): (Vec<_>, Vec<_>) =
            errands.into_iter().partition(|errand| errand.at <= out.now);
        tended.errands = later;
        for errand in due {
            let (step, outcome) = match self.advance(&lease, errand, out, disk)? {
                Went::On(errand) => {
                    if let Some(tended) = self.tended.get_mut(&lease) {
                        tended.errands.push(errand);
                    }
                    continue;
                }
                Went::Over(step, outcome) => (step, outcome),
            };
            out.comes_to(step.name(), Phase::Over)?;
            if step == Step::Forget {
                self.tended.remove(&lease);
                self.desk.leave(&lease);
                return Ok(());
            }
            self.tell(lease, Event::Ended(step, outcome), out)?;
        }
        Ok(())
    }

    fn advance(
        &mut self,
        lease: &Pubkey,
        mut errand: Errand,
        out: &mut Outside,
        disk: &mut Disk,
    ) -> Result<Went, Killed> {
        let step = errand.step;
        let failed = Went::Over(step, Outcome::Failed);
        let call = match (errand.stage, step) {
            (Stage::Sent(flight), _) => {
                return Ok(match out.result(flight) {
                    Some(true) => Went::Over(step, Outcome::Done),
                    Some(false) => failed,
                    None => {
                        errand.stage = Stage::Sent(flight);
                        Went::On(errand)
                    }
                });
            }
            (Stage::Made(call), _) => *call,
            (Stage::Working, Step::Serve) => {
                let broken = out.rng.percent(BROKEN);
                return Ok(match self.tended.get_mut(lease) {
                    Some(tended) if !broken && !tended.promise.is_unserved() => {
                        tended.served = true;
                        if tended.promise.container.is_some() {
                            disk.containers.insert(*lease);
                        }
                        Went::Over(step, Outcome::Done)
                    }
                    _ => failed,
                });
            }
            (Stage::Working, Step::Stop) => {
                disk.containers.remove(lease);
                return Ok(Went::Over(step, Outcome::Done));
            }
            (Stage::Working, Step::Publish(_)) => return Ok(Went::Over(step, Outcome::Done)),
            (Stage::Working, Step::Forget) => {
                let runs = disk.containers.contains(lease);
                out.bench.forgets(&out.cluster, lease, runs);
                disk.forgets(lease);
                self.journal
                    .forget(lease)
                    .expect("a promise can be removed");
                return Ok(Went::Over(step, Outcome::Done));
            }
            (Stage::Working, Step::Prove(epoch)) => {
                errand.stage = Stage::Working;
                return Ok(match errand.state.take() {
                    Some(state) => self.prove(lease, (errand, state), epoch, out),
                    None => failed,
                });
            }
            (Stage::Working, _) => match self.call(lease, step, errand.state.as_deref(), out) {
                Some(call) => call,
                None => return Ok(failed),
            },
        };
        errand.stage = Stage::Sent(out.send(call));
        out.comes_to(step.name(), Phase::Sent)?;
        Ok(Went::On(errand))
    }

    /// Waits for the hash of an epoch's first slot, then computes.
    fn prove(
        &self,
        lease: &Pubkey,
        (mut errand, state): (Errand, Box<Lease>),
        epoch: u64,
        out: &mut Outside,
    ) -> Went {
        let meter = state.meter();
        if out.is_silent() || !window::open(self.slot, meter.proof_end(epoch)) {
            return Went::Over(errand.step, Outcome::Failed);
        }
        let start = meter::epoch_start(epoch, &meter.grid);
        let Some((first_slot, hash)) = out.first_from(start) else {
            errand.at = out.now + out.between(100, 500);
            errand.state = Some(state);
            return Went::On(errand);
        };
        let shape = Shape {
            lease: *lease,
            epoch,
            hash,
            size: proof::size(&state.terms),
        };
        let args = SubmitProof {
            terms_hash: state.terms_hash,
            epoch: U64::new(epoch),
            first_slot: U64::new(first_slot),
            hash,
            proof: shape.compute().root(),
        };
        let call = ix::submit_proof(operator(OURS), key(OURS), lease, &args);
        errand.at = out.now + out.between(500, 8_000);
        errand.state = Some(state);
        errand.stage = Stage::Made(Box::new(call));
        Went::On(errand)
    }

    /// The transaction of a step that is one.
    fn call(
        &self,
        lease: &Pubkey,
        step: Step,
        state: Option<&Lease>,
        out: &Outside,
    ) -> Option<Instruction> {
        let tended = self.tended.get(lease)?;
        let by = operator(OURS);
        if step == Step::Accept {
            let (_, sight) = out.sight(Commitment::Processed, 0)?;
            let request = sight.requests.get(&tended.request);
            let request = request.filter(|_| !out.is_empty())?;
            let is_open = request.header.status == RequestStatus::Open as u8;
            return is_open.then(|| ix::accept_job(by, key(OURS), tended.request, request));
        }
        let state = state?;
        match step {
            Step::Start => {
                let access = access_hash(tended.promise.access.as_bytes());
                Some(ix::start_lease(by, lease, state, access))
            }
            Step::Release => Some(ix::verify_and_release(lease, state)),
            Step::Close(ending) => Some(ix::close_lease(by, lease, state, ending.reason(), false)),
            Step::Withdraw => Some(ix::withdraw_lease(lease, state)),
            Step::CloseAccount => Some(ix::close_lease_account(lease, state)),
            _ => None,
        }
    }
}

impl Tended {
    fn as_served(&self, lease: &Pubkey) -> Served {
        Served {
            lease: *lease,
            deadline: self.promise.deadline_slot,
            paid_until: self.paid_until.1,
        }
    }
}
