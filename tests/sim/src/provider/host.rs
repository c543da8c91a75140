//! The provider's process, and the machine that it runs on: its own journal, decisions, places, its own reading of lists and accounts, in the
//! time of the simulation. It is killed between any two of its acts.

use anyhow::{Context as _, Result};
use mythic_client::{AccountSnapshot, Bids, Commitment, Listed};
use mythic_interface::COMPUTE_MARKET_ID;
use mythic_interface::market::state::{
    CloseReason, LeaseKind, LeaseStatus, Provider, Request, RequestStatus,
};
use mythic_interface::market::{address, ix};
use mythic_program_tests::keys::operator;
use mythic_program_tests::market::calls::{self, GRID, STAKE_PER_UNIT};
use mythic_provider::funds::Needs;
use mythic_provider::intake::decisions::Decisions;
use mythic_provider::intake::fit::{self, Decline};
use mythic_provider::intake::places::{Fetch, Place as FetchPlace, Places};
use mythic_provider::journal::{Contained, Journal, Promise};
use mythic_provider::lease::fsm::Event;
use mythic_provider::lease::lost::{self, Found, Lost, Next};
use mythic_provider::lease::reconcile;
use mythic_provider::source::SourceError;
use mythic_provider::spec::{ContainerSpec, SpecError};
use solana_account::Account as RawAccount;
use solana_pubkey::Pubkey;

use super::answers::Answers;
use super::bench::is_ours;
use super::care::Care;
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

pub struct Host {
    disk: Disk,
    running: Option<Running>,
    /// Millisecond from which it runs again.
    up: u64,
}

impl Host {
    pub fn new() -> Result<Self> {
        Ok(Self {
            disk: Disk::new().context("a directory for a journal")?,
            running: None,
            up: 0,
        })
    }

    pub fn tick(&mut self, out: &mut Outside) -> Result<()> {
        if let Some(down) = out.down.take() {
            self.die(down, out)?;
        }
        if self.running.is_none() && out.now >= self.up {
            let running = Running::start(&self.disk, out)?;
            running.judge_promises(out);
            self.running = Some(running);
        }
        let Some(running) = &mut self.running else {
            return Ok(());
        };
        match running.tick(out, &mut self.disk) {
            Ok(()) => {
                running.judge_served(&self.disk, out);
                running.judge_promises(out);
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
            out.bench.loses(out.cluster.slot(Commitment::Processed));
        }
        Ok(())
    }

    /// Whether it runs and nothing is left to it.
    pub fn is_idle(&self) -> bool {
        let idle = |running: &Running| running.care.is_empty() && running.readings.is_empty();
        self.running.as_ref().is_some_and(idle)
    }

    /// What it should not have in the end.
    pub fn left(&self) -> Result<Option<String>> {
        let tended: Vec<Pubkey> = match &self.running {
            Some(running) => running.care.leases(),
            None => Vec::new(),
        };
        let (promises, running) = (self.disk.promises()?, &self.disk.containers);
        let is_clean = tended.is_empty() && promises == 0 && running.is_empty();
        let left =
            format!("leases {tended:?} in care, {promises} promises, containers {running:?}");
        Ok((!is_clean).then_some(left))
    }
}

/// A request whose spec is being read.
struct Reading {
    request: Pubkey,
    state: Request,
    until: u64,
    _place: FetchPlace,
}

struct Running {
    care: Care,
    decisions: Decisions,
    places: Places,
    needs: Needs,
    readings: Vec<Reading>,
    /// Newest slots that lists and accounts were answered of.
    newest: (u64, u64),
    next_round: u64,
    next_look: u64,
    next_mend: u64,
    provider: Provider,
    lost: Lost,
    /// Notices that are on their way.
    notices: Vec<u64>,
    answers: Answers,
}

impl Running {
    fn start(disk: &Disk, out: &mut Outside) -> Result<Self> {
        let (journal, promises) = Journal::open(disk.path())?;
        let sight = out.cluster.newest(Commitment::Processed);
        let mut running = Self {
            care: Care::new(journal, out),
            decisions: Decisions::default(),
            places: Places::default(),
            needs: Needs::new(RENT, &GRID, STAKE_PER_UNIT, &Bids::default()),
            readings: Vec::new(),
            newest: (0, 0),
            next_round: out.now,
            next_look: out.now,
            next_mend: out.now,
            provider: sight.provider,
            lost: Lost::default(),
            notices: Vec::new(),
            answers: Answers::default(),
        };
        for (lease, promise) in promises {
            running.care.take_up(lease, promise, out)?;
        }
        Ok(running)
    }

    fn tick(&mut self, out: &mut Outside, disk: &mut Disk) -> Result<(), Killed> {
        self.care.hear(out);
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
        self.care.tick(out, disk)
    }

    /// Lets what is served be judged.
    fn judge_served(&self, disk: &Disk, out: &mut Outside) {
        let all = self.care.served(disk);
        let second = out.second();
        out.bench.serves(out.now, second, &out.cluster, &all);
    }

    /// Lets what was promised be judged.
    fn judge_promises(&self, out: &mut Outside) {
        let sight = out.cluster.newest(Commitment::Processed);
        let is_promised = |lease: &Pubkey| self.care.desk.has(lease);
        out.bench.promised(out.now, &sight, is_promised);
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
            let is_known = self.care.desk.tell(lease, event);
            if !is_known && state.status() != Some(LeaseStatus::Ended) {
                unknown.push((*lease, *state));
            }
        }
        self.lost.set(slot, unknown);
        let mut known = self.care.desk.leases();
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
                self.care.desk.tell(&lease, event);
            }
        }
    }

    /// Leases without a promise: it is made again where their specs are there again, or they are given up.
    fn mend(&mut self, out: &mut Outside, disk: &mut Disk) {
        self.notices.retain(|notice| out.result(*notice).is_none());
        // A round waits for what it sends.
        if !self.notices.is_empty() {
            return;
        }
        for found in self.lost.all() {
            let lease = found.lease;
            if self.care.desk.has(&lease) {
                continue;
            }
            match lost::next(read_again(&found, out), &found) {
                Next::Wait => {}
                Next::Notice => {
                    let (by, reason) = (operator(OURS), CloseReason::ClosedByProvider);
                    let notice = ix::close_lease(by, lease, &found.state, reason, false);
                    self.notices.push(out.send(notice));
                }
                Next::Keep(promise) => {
                    self.care.keep(&lease, &promise, disk);
                    let taken = self.care.take_up(lease, *promise, out);
                    taken.expect("the request's address is one");
                }
            }
        }
    }

    /// Open requests: what fits is read.
    fn look(&mut self, out: &mut Outside) {
        let Some((_, sight)) = out.sight(Commitment::Processed, 0) else {
            return;
        };
        if !out.is_empty() {
            self.provider = sight.provider;
        }
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
        self.decisions.keep_at(&addresses, out.instant());
        let clear = self.lost.is_clear();
        for (request, state) in open {
            let now = out.instant();
            let fits = fit::fits(&state, &self.provider, self.care.slot);
            match fits.and_then(|()| clear.then_some(()).ok_or(Decline::Lost)) {
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
        if self.care.desk.has(&lease) {
            return Ok(Ok(()));
        }
        if self.care.desk.has_key(&promise.key_hash) {
            return Ok(Err(Decline::KeyInUse));
        }
        let own = self.care.desk.of_tenant(&promise.tenant);
        if own >= OF_ONE_TENANT {
            return Ok(Err(Decline::Tenant(own)));
        }
        let Some((_, sight)) = out.sight(Commitment::Processed, 0) else {
            return Ok(Err(Decline::Chain("it is silent".into())));
        };
        let promised = self.care.desk.promised(out.instant());
        let balance = match out.is_empty() {
            true => 0,
            false => sight.operator,
        };
        let funds = (balance, &self.needs);
        if let Err(decline) = fit::is_left(request, &self.provider, promised, funds) {
            return Ok(Err(decline));
        }
        if let Err(killed) = out.comes_to(KEEP, Phase::Begins) {
            let cut = disk.cut(&lease, &promise, &mut out.rng);
            cut.expect("a part of a promise is written");
            return Err(killed);
        }
        self.care.keep(&lease, &promise, disk);
        out.comes_to(KEEP, Phase::Over)?;
        let taken = self.care.take_up(lease, promise, out);
        taken.expect("the request's address is one");
        Ok(Ok(()))
    }
}

/// What a request is promised.
fn promise(address: &Pubkey, request: &Request) -> Promise {
    let lease = address::lease(address);
    let container = is_container(request.terms.kind).then(contained);
    Promise {
        request: address.to_string(),
        deadline_slot: request.deadline_slot.get(),
        tenant: Pubkey::new_from_array(request.terms.tenant).to_string(),
        units: request.terms.units,
        key_hash: match container {
            Some(_) => String::new(),
            None => address.to_string(),
        },
        access: format!("{{\"lease\":\"{lease}\"}}"),
        container,
        ..Promise::default()
    }
}

fn is_container(kind: u8) -> bool {
    kind == LeaseKind::Container as u8
}

/// A container, of which only that it is one counts here.
fn contained() -> Contained {
    Contained {
        spec: ContainerSpec {
            image: String::new(),
            repository: String::new(),
            command: Vec::new(),
            environment: Vec::new(),
            cpu_milli: 500,
            memory_mib: 64,
            pids: 32,
            disk_mib: 64,
            ports: Vec::new(),
            ssh_keys: Vec::new(),
        },
        environment: Vec::new(),
        host_key: String::new(),
        ports: Vec::new(),
        place: 0,
    }
}

/// What a lost lease was promised, where its tenant leaves the spec again: three of five do. A container is lost for good.
fn read_again(found: &Found, out: &Outside) -> Option<Promise> {
    let request = Pubkey::new_from_array(found.state.terms.request);
    let is_good = out.sources.get(&request) == Some(&Source::Good);
    let is_left = is_good && request.as_array()[0] % 5 < 3;
    let (_, sight) = out.sight(Commitment::Confirmed, found.last)?;
    let state = sight.requests.get(&request)?;
    let can_be = is_left && !is_container(state.terms.kind);
    (can_be && !out.is_empty()).then(|| promise(&request, state))
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
