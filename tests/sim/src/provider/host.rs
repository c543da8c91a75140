//! The provider's process, and the machine that it runs on: its own journal, desk, decisions, places and machines of leases, its own
//! reading of lists and accounts; what its tasks do is done here in the time of the simulation. It is killed between any two of its acts.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use mythic_client::{AccountSnapshot, Bids, Commitment, Listed};
use mythic_interface::COMPUTE_MARKET_ID;
use mythic_interface::hash::access_hash;
use mythic_interface::le::U64;
use mythic_interface::market::ix::{self, SubmitProof};
use mythic_interface::market::state::{
    CloseReason, Lease, LeaseStatus, Provider, Request, RequestStatus,
};
use mythic_interface::market::{address, meter};
use mythic_interface::window;
use mythic_program_tests::keys::{key, operator};
use mythic_program_tests::market::calls::{self, GRID, STAKE_PER_UNIT};
use mythic_provider::funds::Needs;
use mythic_provider::intake::decisions::Decisions;
use mythic_provider::intake::fit::{self, Decline};
use mythic_provider::intake::places::{Fetch, Place as FetchPlace, Places};
use mythic_provider::journal::{Journal, Promise};
use mythic_provider::lease::desk::Desk;
use mythic_provider::lease::fsm::{Event, Machine, Outcome, Step};
use mythic_provider::lease::lost::{self, Left, Lost};
use mythic_provider::lease::reconcile;
use mythic_provider::proof::{self, Shape};
use mythic_provider::source::SourceError;
use mythic_provider::spec::SpecError;
use solana_account::Account as RawAccount;
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;
use tokio::sync::mpsc;

use super::answers::Answers;
use super::bench::{GRACE, Served, is_ours};
use super::cluster::{CLASS, OURS};
use super::disk::Disk;
use super::outside::{Down, Killed, Outside};
use super::schedule::{KEEP, Phase, Source};

/// How often the process reads lists of its leases, and of open requests.
const ROUND_MS: u64 = 5_000;
const LOOK_MS: u64 = 2_000;
/// How often leases without a promise are tried.
const MEND_MS: u64 = 10_000;
/// Lamports of a lease's rent.
const RENT: u64 = 26_434_080;
/// Leases of one tenant at most.
const OF_ONE_TENANT: usize = 16;
/// Of a hundred engines that are started.
const BROKEN: usize = 4;

pub struct Host {
    disk: Disk,
    running: Option<Running>,
    /// Millisecond from which it runs again.
    up: u64,
    /// A data directory was lost: what it was promised in it is found again, or given up.
    lost: bool,
}

impl Host {
    pub fn new() -> Result<Self> {
        Ok(Self {
            disk: Disk::new().context("a directory for a journal")?,
            running: None,
            up: 0,
            lost: false,
        })
    }

    pub fn tick(&mut self, out: &mut Outside) -> Result<()> {
        if let Some(down) = out.down.take() {
            self.die(down, out)?;
        }
        if self.running.is_none() && out.now >= self.up {
            let running = Running::start(&self.disk, out)?;
            if !self.lost {
                running.judge_promises(out);
            }
            self.running = Some(running);
        }
        let Some(running) = &mut self.running else {
            return Ok(());
        };
        match running.tick(out, &mut self.disk) {
            Ok(()) => {
                running.judge_served(out);
                if !self.lost {
                    running.judge_promises(out);
                }
            }
            Err(Killed) => {
                if let Some(down) = out.down.take() {
                    self.die(down, out)?;
                }
            }
        }
        Ok(())
    }

    fn die(&mut self, down: Down, out: &mut Outside) -> Result<()> {
        // The journal's lock goes with it.
        self.running = None;
        self.up = self.up.max(down.until);
        out.abandon();
        if down.power {
            self.disk.lose(&mut out.rng)?;
        }
        if down.lost {
            self.disk = Disk::new()?;
            self.lost = true;
        }
        Ok(())
    }

    /// Whether it runs and nothing is left to it.
    pub fn is_idle(&self) -> bool {
        let idle = |running: &Running| running.tended.is_empty() && running.readings.is_empty();
        self.running.as_ref().is_some_and(idle)
    }

    /// What it should not have in the end.
    pub fn left(&self) -> Result<Option<String>> {
        let tended: Vec<Pubkey> = match &self.running {
            Some(running) => running.tended.keys().copied().collect(),
            None => Vec::new(),
        };
        let promises = self.disk.promises()?;
        let is_clean = tended.is_empty() && promises == 0;
        Ok((!is_clean).then(|| format!("leases {tended:?} in care, {promises} promises")))
    }
}

/// A request whose spec is being read.
struct Reading {
    request: Pubkey,
    state: Request,
    until: u64,
    _place: FetchPlace,
}

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
    /// Its engine runs.
    served: bool,
    /// Slot of the newest answer, and the second until which the lease was paid in it.
    paid_until: (u64, u64),
    errands: Vec<Errand>,
}

struct Running {
    journal: Journal,
    desk: Desk,
    decisions: Decisions,
    places: Places,
    needs: Needs,
    tended: BTreeMap<Pubkey, Tended>,
    readings: Vec<Reading>,
    /// Newest slots that lists and accounts were answered of.
    newest: (u64, u64),
    next_round: u64,
    next_look: u64,
    next_mend: u64,
    slot: u64,
    provider: Provider,
    lost: Lost,
    answers: Answers,
}

impl Running {
    fn start(disk: &Disk, out: &mut Outside) -> Result<Self> {
        let (journal, promises) = Journal::open(disk.path())?;
        let sight = out.cluster.newest(Commitment::Processed);
        let mut running = Self {
            journal,
            desk: Desk::default(),
            decisions: Decisions::default(),
            places: Places::default(),
            needs: Needs::new(RENT, &GRID, STAKE_PER_UNIT, &Bids::default()),
            tended: BTreeMap::new(),
            readings: Vec::new(),
            newest: (0, 0),
            next_round: out.now,
            next_look: out.now,
            next_mend: out.now,
            slot: out.slot().unwrap_or(0),
            provider: sight.provider,
            lost: Lost::default(),
            answers: Answers::default(),
        };
        for (lease, promise) in promises {
            running.take_up(lease, promise, out)?;
        }
        Ok(running)
    }

    /// Takes a lease into care.
    fn take_up(&mut self, lease: Pubkey, promise: Promise, out: &Outside) -> Result<()> {
        let request = promise.request.parse::<Pubkey>()?;
        let deadline = promise.deadline_slot;
        let promise = Arc::new(promise);
        let place = self.desk.enter_at(lease, promise.clone(), out.instant());
        let Some(events) = place else {
            return Ok(());
        };
        let tended = Tended {
            machine: Machine::new(key(OURS), deadline, GRACE),
            events,
            request,
            promise,
            next_read: out.now,
            served: false,
            paid_until: (0, 0),
            errands: Vec::new(),
        };
        self.tended.insert(lease, tended);
        Ok(())
    }

    fn tick(&mut self, out: &mut Outside, disk: &mut Disk) -> Result<(), Killed> {
        self.slot = self.slot.max(out.slot().unwrap_or(0));
        if out.now >= self.next_round {
            self.next_round = out.now + ROUND_MS;
            self.round(out);
        }
        if out.now >= self.next_look {
            self.next_look = out.now + LOOK_MS;
            self.look(out);
        }
        if out.now >= self.next_mend {
            self.next_mend = out.now + MEND_MS;
            self.mend(out, disk);
        }
        self.read(out, disk)?;
        self.answers.tick(out)?;
        let leases: Vec<Pubkey> = self.tended.keys().copied().collect();
        for lease in leases {
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

    /// Lets what is served be judged.
    fn judge_served(&self, out: &mut Outside) {
        let served = self.tended.iter().filter(|(_, tended)| tended.served);
        let all: Vec<Served> = served
            .map(|(lease, tended)| tended.as_served(lease))
            .collect();
        let second = out.second();
        out.bench.serves(out.now, second, &out.cluster, &all);
    }

    /// Lets what was promised be judged.
    fn judge_promises(&self, out: &mut Outside) {
        let sight = out.cluster.newest(Commitment::Processed);
        out.bench
            .promised(&sight, |lease| self.tended.contains_key(lease));
    }

    /// A list at `confirmed`, and of what it does not hold the accounts at `finalized`.
    fn round(&mut self, out: &Outside) {
        let Some((slot, sight)) = out.sight(Commitment::Confirmed, self.newest.0) else {
            return;
        };
        let ours = sight.leases.iter().filter(|(_, state)| is_ours(state));
        let accounts = match out.is_empty() {
            true => Vec::new(),
            false => ours.map(|(lease, state)| (*lease, *state)).collect(),
        };
        let listed = Listed { slot, accounts };
        self.newest.0 = slot;
        let mut unknown = Vec::new();
        for (lease, state) in &listed.accounts {
            let event = Event::Read {
                slot,
                held: Commitment::Confirmed,
                lease: Some(Box::new(*state)),
            };
            let is_known = self.desk.tell(lease, event);
            if !is_known && state.status() != Some(LeaseStatus::Ended) {
                unknown.push((*lease, *state));
            }
        }
        self.lost.set(unknown);
        let mut known = self.desk.leases();
        known.sort_unstable();
        for lease in reconcile::absent(&known, &listed) {
            let Some((slot, sight)) = out.sight(Commitment::Finalized, self.newest.1) else {
                continue;
            };
            let is_there = |_: &RawAccount| !out.is_empty();
            let both = [
                sight.leases.get(&lease).map(raw).filter(is_there),
                Some(raw(&sight.provider)).filter(is_there),
            ];
            let both = both.map(|account| AccountSnapshot { slot, account });
            let read = reconcile::witnessed(both.to_vec());
            if let Ok((slot, event)) = read.and_then(|read| reconcile::last_word(&lease, &read)) {
                self.newest.1 = slot;
                self.desk.tell(&lease, event);
            }
        }
    }

    /// Leases without a promise: it is made again where their specs are there again, or they are given up.
    fn mend(&mut self, out: &mut Outside, disk: &mut Disk) {
        for (lease, state) in self.lost.all() {
            if self.tended.contains_key(&lease) {
                continue;
            }
            let request = Pubkey::new_from_array(state.terms.request);
            let there = out.sources.get(&request) == Some(&Source::Good) && out.rng.percent(60);
            let read = out.sight(Commitment::Processed, 0);
            let read = read.and_then(|(_, sight)| sight.requests.get(&request).copied());
            let promise = match read.filter(|_| there) {
                Some(read) => promise(&request, &read),
                None => match lost::left(&state, self.slot) {
                    Left::Wait => continue,
                    Left::Settle => unserved(&state),
                    Left::Notice => {
                        let reason = CloseReason::ClosedByProvider;
                        let by = operator(OURS);
                        out.post(ix::close_lease(by, lease, &state, reason, false));
                        unserved(&state)
                    }
                },
            };
            let kept = self.journal.keep(&lease, &promise);
            kept.expect("a promise is written");
            disk.kept();
            let taken = self.take_up(lease, promise, out);
            taken.expect("the request's address is one");
        }
    }

    /// Open requests: what fits is read.
    fn look(&mut self, out: &mut Outside) {
        let Some((_, sight)) = out.sight(Commitment::Processed, 0) else {
            return;
        };
        self.provider = sight.provider;
        let class = calls::class(CLASS);
        let is_open = |state: &Request| {
            let open = state.header.status == RequestStatus::Open as u8;
            open && state.terms.class == class && !out.is_empty()
        };
        let open: Vec<(Pubkey, Request)> = sight
            .requests
            .iter()
            .filter(|(_, state)| is_open(state))
            .map(|(request, state)| (*request, *state))
            .collect();
        let addresses: Vec<Pubkey> = open.iter().map(|(request, _)| *request).collect();
        self.decisions.keep(&addresses);
        for (request, state) in open {
            let now = out.instant();
            match fit::fits(&state, &self.provider, self.slot) {
                Err(Decline::Others) => continue,
                Err(decline) => {
                    self.decisions.decline_at(request, &decline, now);
                    continue;
                }
                Ok(()) => {}
            }
            if !self.decisions.is_due(&request, now) {
                continue;
            }
            let fetch = Fetch {
                host: "specs.example".into(),
                tenant: state.terms.tenant,
            };
            let Some(place) = self.places.take(fetch) else {
                continue;
            };
            if self.decisions.begin_at(request, now) {
                self.readings.push(Reading {
                    request,
                    state,
                    until: out.now + out.between(100, 3_000),
                    _place: place,
                });
            }
        }
    }

    /// Specs that are read: promises what can be promised.
    fn read(&mut self, out: &mut Outside, disk: &mut Disk) -> Result<(), Killed> {
        let readings = std::mem::take(&mut self.readings);
        let (over, later): (Vec<_>, Vec<_>) = readings
            .into_iter()
            .partition(|reading| reading.until <= out.now);
        self.readings = later;
        for reading in over {
            let now = out.instant();
            match self.promise(&reading, out, disk)? {
                Ok(()) => self.decisions.take_at(reading.request, now),
                Err(decline) => {
                    self.decisions.decline_at(reading.request, &decline, now);
                }
            }
        }
        Ok(())
    }

    /// Promises a lease, if all that it needs is left: on disk first.
    fn promise(
        &mut self,
        reading: &Reading,
        out: &mut Outside,
        disk: &mut Disk,
    ) -> Result<Result<(), Decline>, Killed> {
        match out.sources.get(&reading.request) {
            Some(Source::Good) => {}
            Some(Source::Other) => return Ok(Err(SourceError::from(SpecError::OtherHash).into())),
            Some(Source::Missing) | None => return Ok(Err(SourceError::NotHere.into())),
        }
        let request = &reading.state;
        let lease = address::lease(reading.request);
        let promise = promise(&reading.request, request);
        if self.desk.has(&lease) {
            return Ok(Ok(()));
        }
        if self.desk.has_key(&promise.key_hash) {
            return Ok(Err(Decline::KeyInUse));
        }
        let own = self.desk.of_tenant(&promise.tenant);
        if own >= OF_ONE_TENANT {
            return Ok(Err(Decline::Tenant(own)));
        }
        let Some((_, sight)) = out.sight(Commitment::Processed, 0) else {
            return Ok(Err(Decline::Chain("it is silent".into())));
        };
        let promised = self.desk.promised(out.instant());
        let funds = (sight.operator, &self.needs);
        if let Err(decline) = fit::is_left(request, &self.provider, promised, funds) {
            return Ok(Err(decline));
        }
        if let Err(killed) = out.comes_to(KEEP, Phase::Begins) {
            let cut = disk.cut(&lease, &promise, &mut out.rng);
            cut.expect("a part of a promise is written");
            return Err(killed);
        }
        let kept = self.journal.keep(&lease, &promise);
        kept.expect("a promise is written");
        disk.kept();
        out.comes_to(KEEP, Phase::Over)?;
        let taken = self.take_up(lease, promise, out);
        taken.expect("the request's address is one");
        Ok(Ok(()))
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
            slot, lease: found, ..
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
                // One that is only seen to its end has no key.
                return Ok(match self.tended.get_mut(lease) {
                    Some(tended) if !broken && !tended.promise.key_hash.is_empty() => {
                        tended.served = true;
                        Went::Over(step, Outcome::Done)
                    }
                    _ => failed,
                });
            }
            (Stage::Working, Step::Stop | Step::Publish(_)) => {
                return Ok(Went::Over(step, Outcome::Done));
            }
            (Stage::Working, Step::Forget) => {
                out.bench.forgets(&out.cluster, lease);
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
            let request = sight.requests.get(&tended.request)?;
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

/// What a request is promised.
fn promise(address: &Pubkey, request: &Request) -> Promise {
    let lease = address::lease(address);
    Promise {
        request: address.to_string(),
        deadline_slot: request.deadline_slot.get(),
        tenant: Pubkey::new_from_array(request.terms.tenant).to_string(),
        units: request.terms.units,
        key_hash: address.to_string(),
        access: format!("{{\"lease\":\"{lease}\"}}"),
        ..Promise::default()
    }
}

/// What a lease is promised that is only seen to its end.
fn unserved(state: &Lease) -> Promise {
    Promise {
        request: Pubkey::new_from_array(state.terms.request).to_string(),
        tenant: Pubkey::new_from_array(state.terms.tenant).to_string(),
        units: state.terms.units,
        ..Promise::default()
    }
}

/// An account as nodes hand it out.
fn raw<T: bytemuck::Pod>(state: &T) -> RawAccount {
    RawAccount {
        lamports: RENT,
        data: bytemuck::bytes_of(state).to_vec(),
        owner: Pubkey::new_from_array(COMPUTE_MARKET_ID),
        ..RawAccount::default()
    }
}
