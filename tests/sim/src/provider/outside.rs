//! All that is around the provider's process: time, the chain and the nodes that answer for it, transactions on their way, and what goes
//! wrong.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mythic_client::Commitment;
use mythic_interface::hash::Hash;
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;

use super::bench::Bench;
use super::cluster::{Cluster, SLOT_MS, Sight};
use super::schedule::{Mishap, Phase, Schedule, Source, What, When};
use crate::rng::Rng;

/// Milliseconds of a step of the simulation, and of a tick of a lease's machine.
pub const TICK_MS: u64 = 250;
/// Milliseconds for which somebody tries to have a transaction sent.
const PATIENCE_MS: u64 = 30_000;

/// The provider's process was killed: nothing more is done in it.
#[derive(Debug)]
pub struct Killed;

/// Until when it is down, whether its machine lost power, and whether its data directory is lost.
#[derive(Clone, Copy, Debug)]
pub struct Down {
    pub until: u64,
    pub power: bool,
    pub lost: bool,
}

/// Until which millisecond what is wrong.
#[derive(Debug, Default)]
struct Weather {
    silent: u64,
    stale: u64,
    /// Slots by which nodes are behind meanwhile.
    behind: u64,
    empty: u64,
    crowded: u64,
    halted: u64,
}

/// A transaction on its way.
#[derive(Debug)]
struct Flight {
    id: u64,
    call: Instruction,
    /// The provider's process waits for it.
    awaited: bool,
    /// A node has taken it.
    sent: bool,
    begun: u64,
    lands: u64,
}

/// A point of a step, in words.
pub fn at(name: &str, phase: Phase) -> String {
    format!("{name}, {phase:?}")
}

pub struct Outside {
    /// Milliseconds since the beginning.
    pub now: u64,
    pub rng: Rng,
    pub cluster: Cluster,
    pub bench: Bench,
    /// What becomes of the spec of each request.
    pub sources: BTreeMap<Pubkey, Source>,
    /// Set where the process is killed.
    pub down: Option<Down>,
    weather: Weather,
    mishaps: Vec<Mishap>,
    /// How often a step came to a point.
    counts: BTreeMap<(&'static str, Phase), u32>,
    flights: Vec<Flight>,
    last_flight: u64,
    /// Whether the program took what the process waited for.
    results: BTreeMap<u64, bool>,
    began: Instant,
    second: u64,
}

impl Outside {
    pub fn new(schedule: &Schedule) -> Self {
        let cluster = Cluster::begin();
        let second = cluster.second();
        Self {
            now: 0,
            rng: Rng::new(!schedule.seed),
            cluster,
            bench: Bench::default(),
            sources: BTreeMap::new(),
            down: None,
            weather: Weather::default(),
            mishaps: schedule.mishaps.clone(),
            counts: BTreeMap::new(),
            flights: Vec::new(),
            last_flight: 0,
            results: BTreeMap::new(),
            began: Instant::now(),
            second,
        }
    }

    /// The second (Unix), as everybody but the chain has it.
    pub fn second(&self) -> u64 {
        self.second + self.now / 1_000
    }

    /// The same, as a process tells its own time.
    pub fn instant(&self) -> Instant {
        self.began + Duration::from_millis(self.now)
    }

    /// A number of milliseconds.
    pub fn between(&mut self, low: usize, high: usize) -> u64 {
        self.rng.between(low, high) as u64
    }

    /// Time passes, outside.
    pub fn pass(&mut self) {
        self.now += TICK_MS;
        let now = self.now;
        // Who is killed is looked after by whoever runs it.
        let _ = self.befalls(|mishap| matches!(mishap.when, When::At(at) if at <= now));
        let halted = self.weather.halted > now;
        for call in self.cluster.pass(TICK_MS, halted, &mut self.rng) {
            // What a branch took along may be taken by the next one.
            if self.rng.percent(50) {
                self.post(call);
            }
        }
        self.fly();
        self.bench.passes(now, &self.cluster);
    }

    /// A step comes to a point: something may go wrong there.
    pub fn comes_to(&mut self, name: &'static str, phase: Phase) -> Result<(), Killed> {
        let count = self.counts.entry((name, phase)).or_default();
        *count += 1;
        let here = When::Step {
            name,
            phase,
            nth: *count,
        };
        let is_due = self.mishaps.iter().any(|mishap| mishap.when == here);
        if is_due {
            self.bench.saw(&at(name, phase));
        }
        self.befalls(|mishap| mishap.when == here)
    }

    fn befalls(&mut self, is_due: impl Fn(&Mishap) -> bool) -> Result<(), Killed> {
        let mishaps = std::mem::take(&mut self.mishaps);
        let (due, later): (Vec<_>, Vec<_>) = mishaps.into_iter().partition(is_due);
        self.mishaps = later;
        let mut killed = Ok(());
        for mishap in due {
            self.bench.saw(mishap.what.word());
            self.befall(mishap.what);
            if let What::Kill { .. } = mishap.what {
                killed = Err(Killed);
            }
        }
        killed
    }

    fn befall(&mut self, what: What) {
        let now = self.now;
        let ms = match what {
            What::Kill {
                down_ms,
                power,
                lost,
            } => {
                let until = now + down_ms;
                self.down = Some(Down { until, power, lost });
                down_ms
            }
            What::Halt(ms) => {
                self.weather.halted = self.weather.halted.max(now + ms);
                ms
            }
            What::Silent(ms) => {
                self.weather.silent = self.weather.silent.max(now + ms);
                ms
            }
            What::Stale { ms, slots } => {
                self.weather.stale = self.weather.stale.max(now + ms);
                self.weather.behind = slots;
                ms
            }
            What::Empty(ms) => {
                self.weather.empty = self.weather.empty.max(now + ms);
                ms
            }
            What::Crowded(ms) => {
                self.weather.crowded = self.weather.crowded.max(now + ms);
                ms
            }
            What::Fork(slots) => {
                self.cluster.split(slots);
                (slots + 1) * SLOT_MS
            }
            What::Leap(seconds) => {
                self.cluster.leap(seconds);
                0
            }
        };
        self.bench.rough(now, now + ms);
    }

    /// What a node says of a commitment, if it answers and is at least at a slot.
    pub fn sight(&self, held: Commitment, since: u64) -> Option<(u64, Rc<Sight>)> {
        if self.is_silent() {
            return None;
        }
        let slot = self.cluster.slot(held).saturating_sub(self.behind());
        (slot >= since).then(|| (slot, self.cluster.at(slot)))
    }

    /// The newest slot that a node tells of.
    pub fn slot(&self) -> Option<u64> {
        Some(self.sight(Commitment::Processed, 0)?.0)
    }

    /// The first slot from one on of which a node knows the hash; `None` until there is a block behind it.
    pub fn first_from(&self, slot: u64) -> Option<(u64, Hash)> {
        let (first, hash) = self.cluster.first_from(slot);
        (first < self.slot()?).then_some((first, hash))
    }

    /// Whether nodes answer with nothing.
    pub fn is_empty(&self) -> bool {
        self.weather.empty > self.now
    }

    pub fn is_silent(&self) -> bool {
        self.weather.silent > self.now
    }

    fn behind(&self) -> u64 {
        match self.weather.stale > self.now {
            true => self.weather.behind,
            false => 0,
        }
    }

    fn latency(&mut self) -> u64 {
        match self.weather.crowded > self.now {
            true => self.between(5_000, 25_000),
            false => self.between(400, 2_000),
        }
    }

    /// Somebody sends an instruction.
    pub fn post(&mut self, call: Instruction) {
        self.launch(call, false);
    }

    /// The provider's process sends one; what [`Self::result`] is asked for.
    pub fn send(&mut self, call: Instruction) -> u64 {
        self.launch(call, true)
    }

    fn launch(&mut self, call: Instruction, awaited: bool) -> u64 {
        let lands = self.now + self.latency();
        let sent = !awaited || !self.is_silent();
        self.last_flight += 1;
        let id = self.last_flight;
        self.flights.push(Flight {
            id,
            call,
            awaited,
            sent,
            begun: self.now,
            lands,
        });
        id
    }

    /// Whether the program took it, once that is known.
    pub fn result(&mut self, id: u64) -> Option<bool> {
        self.results.remove(&id)
    }

    /// Nobody waits for what the process has sent; of what a node has taken some lands all the same.
    pub fn abandon(&mut self) {
        let mut kept = Vec::new();
        for mut flight in std::mem::take(&mut self.flights) {
            let lands = !flight.awaited || (flight.sent && self.rng.percent(50));
            flight.awaited = false;
            if lands {
                kept.push(flight);
            }
        }
        self.flights = kept;
        self.results.clear();
    }

    fn fly(&mut self) {
        let (silent, halted) = (self.is_silent(), self.weather.halted > self.now);
        let mut kept = Vec::new();
        for mut flight in std::mem::take(&mut self.flights) {
            if !flight.sent && !silent {
                flight.sent = true;
                flight.lands = self.now + self.latency();
            }
            if flight.sent && !halted && flight.lands <= self.now {
                let taken = self.cluster.land(&flight.call);
                if flight.awaited {
                    self.results.insert(flight.id, taken);
                }
            } else if !flight.sent && self.now >= flight.begun + PATIENCE_MS {
                self.results.insert(flight.id, false);
            } else {
                kept.push(flight);
            }
        }
        self.flights = kept;
    }
}
