//! A schedule, from its seed: what tenants do, and what goes wrong, when. Taken apart to find what of it is needed.

use std::fmt;

use mythic_provider::lease::fsm::{Ending, Step};

use crate::rng::Rng;

/// What a promise's way to the disk is called among the steps.
pub const KEEP: &str = "keep promise";
/// What an answer to a dispute is called.
pub const ANSWER: &str = "answer dispute";

/// A point of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Nothing of it was done.
    Begins,
    /// Its transaction is on the way.
    Sent,
    /// It is over, and the lease's machine was not told.
    Over,
}

/// When something goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// At a millisecond.
    At(u64),
    /// At the `nth` step of a name.
    Step {
        name: &'static str,
        phase: Phase,
        nth: u32,
    },
}

/// What goes wrong, and for how many milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The provider dies; its machine too, if it loses power; and its data directory may be gone.
    Kill {
        down_ms: u64,
        power: bool,
        lost: bool,
    },
    /// The chain makes no slots.
    Halt(u64),
    /// No node answers.
    Silent(u64),
    /// Nodes answer of so many slots ago.
    Stale { ms: u64, slots: u64 },
    /// Nodes have lost their state: lists are empty, and no account is there.
    Empty(u64),
    /// The newest branch dies after so many slots.
    Fork(u64),
    /// The chain's clock leaps ahead by so many seconds.
    Leap(u64),
    /// Transactions land late.
    Crowded(u64),
}

impl What {
    /// Its kind.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Kill { lost: true, .. } => "lost disk",
            Self::Kill { power: true, .. } => "power cut",
            Self::Kill { .. } => "kill",
            Self::Halt(_) => "halt",
            Self::Silent(_) => "silent nodes",
            Self::Stale { .. } => "stale nodes",
            Self::Empty(_) => "empty nodes",
            Self::Fork(_) => "fork",
            Self::Leap(_) => "leap",
            Self::Crowded(_) => "crowd",
        }
    }
}

/// All of them.
pub const WORDS: [&str; 10] = [
    "lost disk",
    "power cut",
    "kill",
    "halt",
    "silent nodes",
    "stale nodes",
    "empty nodes",
    "fork",
    "leap",
    "crowd",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mishap {
    pub when: When,
    pub what: What,
}

/// What becomes of the spec that a provider asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Good,
    /// It is not there.
    Missing,
    /// It has another hash.
    Other,
}

/// What somebody does about a lease that is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    Close,
    TopUp(u32),
    Unserved,
    /// The provider gives notice.
    Notice,
    /// Somebody disputes the newest proof, naming one element more than so many.
    Refute(u8),
}

/// What a tenant wants and does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenancy {
    /// Millisecond of the request.
    pub at: u64,
    pub tenant: &'static str,
    /// It wants a container, which outlives the provider's process; else an endpoint.
    pub container: bool,
    pub units: u8,
    pub seconds: u32,
    /// It names the provider; else the rival may take it, after so many milliseconds.
    pub named: bool,
    pub rival_ms: Option<u64>,
    pub source: Source,
    /// Milliseconds from the start to its acknowledgement; none if there is none.
    pub acknowledges_ms: Option<u64>,
    /// Milliseconds from the acknowledgement, and what is done then.
    pub deeds: Vec<(u64, Deed)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    pub seed: u64,
    pub tenancies: Vec<Tenancy>,
    pub mishaps: Vec<Mishap>,
    /// Somebody ends leases whose provider is silent.
    pub stranger: bool,
}

/// Milliseconds within which something goes wrong by the clock.
const ROUGH_MS: usize = 800_000;
/// How many of the points come first at which a fork that dies may take something back.
const FORKED: usize = 12;

/// Points at which something may go wrong: what sends nothing is not on its way, and the acts of the process are no steps of a lease.
pub fn points() -> Vec<(&'static str, Phase)> {
    use Phase::{Begins, Over, Sent};
    let sending = [
        Step::Accept.name(),
        Step::Start.name(),
        Step::Prove(0).name(),
        Step::Close(Ending::Completed).name(),
        Step::Release.name(),
        Step::Withdraw.name(),
        Step::CloseAccount.name(),
    ];
    let silent = [
        Step::Serve.name(),
        Step::Publish(0).name(),
        Step::Stop.name(),
        Step::Forget.name(),
        KEEP,
    ];
    let mut points = Vec::new();
    for name in sending {
        points.extend([Begins, Sent, Over].map(|phase| (name, phase)));
    }
    for name in silent {
        points.extend([Begins, Over].map(|phase| (name, phase)));
    }
    points.extend([Begins, Sent].map(|phase| (ANSWER, phase)));
    points
}

pub fn generate(seed: u64) -> Schedule {
    let mut rng = Rng::new(seed);
    let count = rng.between(1, 5);
    let mut tenancies: Vec<Tenancy> = (0..count).map(|_| tenancy(&mut rng)).collect();
    // One in ten has nothing wrong with it: what happens there happens by itself.
    let mut mishaps = Vec::new();
    if !rng.percent(10) {
        let count = rng.between(1, 6);
        mishaps.extend((0..count).map(|_| mishap(&mut rng)));
        // Seeds in a row are killed at all points in turn, and have a lease that comes there.
        let points = points();
        let (name, phase) = points[seed as usize % points.len()];
        let when = When::Step {
            name,
            phase,
            nth: 1,
        };
        let what = kill(&mut rng);
        mishaps.push(Mishap { when, what });
        ordinary(&mut tenancies[0]);
    }
    Schedule {
        seed,
        tenancies,
        mishaps,
        stranger: rng.percent(50),
    }
}

fn ms(rng: &mut Rng, low: usize, high: usize) -> u64 {
    rng.between(low, high) as u64
}

fn tenancy(rng: &mut Rng) -> Tenancy {
    let named = rng.percent(60);
    let deeds = (0..rng.below(3)).map(|_| {
        let deed = match rng.below(10) {
            0..3 => Deed::Close,
            3..5 => Deed::TopUp(rng.between(1, 120) as u32),
            5..7 => Deed::Unserved,
            7 => Deed::Notice,
            _ => Deed::Refute(rng.below(3) as u8),
        };
        (ms(rng, 0, 300_000), deed)
    });
    let deeds = deeds.collect();
    let at = ms(rng, 1_000, 200_000);
    Tenancy {
        at,
        tenant: rng.pick::<&str>(&["alice", "bob", "carol"]),
        container: at.is_multiple_of(3),
        units: rng.between(1, 2) as u8,
        seconds: rng.between(100, 420) as u32,
        named,
        rival_ms: (!named && rng.percent(60)).then(|| ms(rng, 0, 8_000)),
        source: match rng.below(20) {
            0 => Source::Missing,
            1 => Source::Other,
            _ => Source::Good,
        },
        acknowledges_ms: rng.percent(85).then(|| ms(rng, 500, 20_000)),
        deeds,
    }
}

/// Makes a tenancy one that is promised, acknowledged, disputed and closed before its time.
fn ordinary(tenancy: &mut Tenancy) {
    tenancy.named = true;
    tenancy.rival_ms = None;
    tenancy.source = Source::Good;
    tenancy.seconds = 300;
    tenancy.acknowledges_ms = Some(2_000);
    // A proof can be disputed in two thirds of the time.
    let disputes = [80_000, 100_000, 120_000].map(|after| (after, Deed::Refute(0)));
    tenancy.deeds = Vec::from(disputes);
    tenancy.deeds.push((200_000, Deed::Close));
}

fn kill(rng: &mut Rng) -> What {
    What::Kill {
        down_ms: match rng.percent(35) {
            true => ms(rng, 60_000, 400_000),
            false => ms(rng, 250, 45_000),
        },
        power: rng.percent(50),
        lost: rng.percent(8),
    }
}

fn mishap(rng: &mut Rng) -> Mishap {
    let what = match rng.below(20) {
        0..8 => kill(rng),
        8..12 => What::Fork(ms(rng, 2, 25)),
        12..14 => What::Silent(ms(rng, 2_000, 120_000)),
        14..16 => What::Stale {
            ms: ms(rng, 2_000, 120_000),
            slots: ms(rng, 1, 150),
        },
        16 => What::Empty(ms(rng, 2_000, 120_000)),
        17 => What::Halt(ms(rng, 2_000, 90_000)),
        18 => What::Leap(ms(rng, 1, 90)),
        _ => What::Crowded(ms(rng, 5_000, 60_000)),
    };
    let points = points();
    let among = match what {
        What::Fork(_) => &points[..FORKED],
        _ => &points[..],
    };
    let when = match rng.percent(35) {
        true => When::At(ms(rng, 0, ROUGH_MS)),
        false => {
            let (name, phase) = *rng.pick(among);
            let nth = rng.between(1, 4) as u32;
            When::Step { name, phase, nth }
        }
    };
    Mishap { when, what }
}

impl Schedule {
    /// Whether a data directory may be lost, and with it leases that others must settle.
    pub fn loses(&self) -> bool {
        let is_loss = |mishap: &Mishap| matches!(mishap.what, What::Kill { lost: true, .. });
        self.mishaps.iter().any(is_loss)
    }

    /// The same with one thing less, each in turn.
    pub fn smaller(&self) -> Vec<Self> {
        let mut all = Vec::new();
        for at in 0..self.mishaps.len() {
            let mut less = self.clone();
            less.mishaps.remove(at);
            all.push(less);
        }
        for at in 0..self.tenancies.len() {
            let mut less = self.clone();
            less.tenancies.remove(at);
            all.push(less);
        }
        for (of, tenancy) in self.tenancies.iter().enumerate() {
            for at in 0..tenancy.deeds.len() {
                let mut less = self.clone();
                less.tenancies[of].deeds.remove(at);
                all.push(less);
            }
        }
        all
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for tenancy in &self.tenancies {
            writeln!(f, "{tenancy:?}")?;
        }
        for mishap in &self.mishaps {
            writeln!(f, "{mishap:?}")?;
        }
        write!(f, "stranger: {}", self.stranger)
    }
}
