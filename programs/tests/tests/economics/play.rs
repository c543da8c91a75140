//! One job from its answer to its end, with all who have a part in it.

use mythic_interface::dispute::quorum;
use mythic_interface::output::chunks;
use mythic_interface::state::{Case, CaseStatus, Claim, Verdict};
use mythic_program_tests::answer::Lie;
use mythic_program_tests::calls::NONE;
use mythic_program_tests::court::{Answered, Ballot, juror};
use mythic_program_tests::draw::Draw;
use mythic_program_tests::keys::key;
use mythic_program_tests::world::{EXACT, World};

use crate::parties::{Setting, Strategy, TOKENS, VALIDATORS};

/// Fee of a transaction with one signature.
const TRANSACTION: i64 = 5_000;

/// Who gained or lost what, in lamports, fees of transactions with it.
#[derive(Clone, Debug)]
pub struct Round {
    /// All keys of the strategy together.
    pub own: i64,
    /// The honest validator that claimed, if one did.
    pub claimant: Option<i64>,
    /// What that one could know beforehand that it might pay although it is right.
    pub named: i64,
    /// Every honest juror that revealed.
    pub jurors: Vec<i64>,
    /// Seats of the strategy's keys.
    pub seats: usize,
    pub verdict: Verdict,
}

/// A job that is being played.
struct Play {
    world: World,
    /// As it was when the answer was there.
    before: World,
    answered: Answered,
    lie: Lie,
    strategy: Strategy,
    own: Vec<String>,
    /// Transactions of the strategy's keys.
    sent: i64,
    claimant: Option<String>,
    claims_sent: i64,
}

/// The answer of a strategy to a job, in a network at some slot.
fn answered(
    base: &World,
    setting: Setting,
    strategy: Strategy,
    draw: &mut Draw,
) -> (World, Answered, Lie) {
    let mut world = base.clone();
    world.chain.advance(1 + draw.below(300));
    let submitter = match strategy {
        Strategy::Whale => "whale",
        _ => "n0",
    };
    let lie = match strategy {
        Strategy::OneToken => Lie::OneToken(draw.below(u64::from(TOKENS)) as u32),
        Strategy::Planted => Lie::Planted(draw.below(u64::from(TOKENS)) as u32),
        Strategy::PlantedFriend => {
            let changed = draw.below(u64::from(TOKENS)) as u32;
            Lie::PlantedBeside(changed, (changed + TOKENS / 2) % TOKENS)
        }
        strategy if strategy.answers_falsely() || strategy == Strategy::Lazy => Lie::OtherModel,
        _ => Lie::None,
    };
    let mut request = world.brief(EXACT, submitter, TOKENS);
    request.arguments.price_out.set(setting.price);
    let job = world.must_request(&request);
    let answered = world.answer(&job, submitter, TOKENS, lie);
    (world, answered, lie)
}

/// What the validator earns if nobody looks.
pub fn unchallenged(base: &World, setting: Setting) -> i64 {
    let (mut world, answered, _) = answered(base, setting, Strategy::Lie, &mut Draw(1));
    let before = world.wealth(&["n0"]);
    let end = world.job(&answered.job).window_end().expect("submitted");
    world.chain.warp_to(end);
    let claim = world.claim(&answered.job);
    world.chain.must(claim);
    (world.wealth(&["n0"]) - before) as i64
}

/// Plays a strategy once, challenged by an honest validator wherever one has a reason to.
pub fn challenged(base: &World, setting: Setting, strategy: Strategy, draw: &mut Draw) -> Round {
    let (mut world, answered, lie) = answered(base, setting, strategy, draw);
    world.reach_sample(&answered);
    let mut play = Play {
        before: world.clone(),
        world,
        answered,
        lie,
        strategy,
        own: strategy.keys(),
        sent: 0,
        claimant: None,
        claims_sent: 0,
    };
    play.open(draw);
    play.fill(draw);
    let case = match strategy {
        Strategy::Silent => play.world.must_resolve(&play.answered),
        _ => play.judge(draw),
    };
    play.count(&case)
}

impl Play {
    /// An honest validator that has no other part.
    fn honest(&self, draw: &mut Draw) -> String {
        let all = (VALIDATORS / 2..VALIDATORS).map(juror);
        let free: Vec<String> = all.filter(|name| !self.own.contains(name)).collect();
        free[draw.below(free.len() as u64) as usize].clone()
    }

    /// An honest validator says what it found.
    fn claim_truly(&mut self, draw: &mut Draw) {
        let name = self.honest(draw);
        self.claims_sent += 2;
        if self.strategy == Strategy::Bait {
            self.world.must_miss(&self.answered, &name);
        } else {
            let differs = |position: &u32| {
                let own = self.answered.answer.own(*position);
                own.top4 != self.answered.answer.leaves[*position as usize].top4
            };
            let named: Vec<u32> = (0..TOKENS).filter(differs).take(1).collect();
            let call = self.world.objection(&self.answered, &name, &named);
            // Sampled already, or everything is false.
            if self.world.chain.send(&[call]).is_err() {
                self.world.must_object(&self.answered, &name, &[]);
            }
        }
        self.claimant = Some(name);
    }

    /// Somebody opens the case, and what is asked for is shown if that is wanted.
    fn open(&mut self, draw: &mut Draw) {
        match self.strategy {
            Strategy::Spam | Strategy::Robbers(_) => {
                let name = self.own[0].clone();
                self.world.must_object(&self.answered, &name, &[]);
                self.sent += 2;
            }
            Strategy::Friend | Strategy::Filled | Strategy::PlantedFriend => {
                let name = self.own[1].clone();
                self.world.must_object(&self.answered, &name, &[]);
                self.sent += 2;
            }
            _ => self.claim_truly(draw),
        }
        if self.strategy != Strategy::Silent {
            self.show();
        }
    }

    /// The submitter shows what is asked for; two leaves fit a transaction.
    fn show(&mut self) {
        if self.own.contains(&self.submitter()) {
            let case = self.world.case(&self.answered);
            let opening = case.status() == Some(CaseStatus::Opening);
            let pages = if opening { chunks(TOKENS) } else { 0 };
            let groups = case.claims().iter().flat_map(Claim::group);
            let asked = case.sample().iter().chain(groups);
            let leaves = asked.filter(|leaf| leaf.present == 0).count();
            self.sent += i64::from(pages) + leaves.div_ceil(2) as i64;
        }
        self.world.must_show(&self.answered);
    }

    fn submitter(&self) -> String {
        match self.strategy {
            Strategy::Whale => "whale".into(),
            _ => juror(0),
        }
    }

    /// Others join.
    fn fill(&mut self, draw: &mut Draw) {
        match self.strategy {
            Strategy::Filled => {
                for name in &self.own[2..] {
                    self.world.must_object(&self.answered, name, &[]);
                    self.sent += 2;
                }
                self.claim_truly(draw);
                self.show();
            }
            Strategy::Friend | Strategy::PlantedFriend => {
                self.claim_truly(draw);
                self.show();
            }
            _ => {}
        }
    }

    fn ballot(&self, name: &str, draw: &mut Draw) -> Ballot {
        let own = self.own.iter().any(|key| key == name);
        match self.strategy {
            Strategy::Cabal(_) if own => Ballot::Approve,
            Strategy::Robbers(_) if own => Ballot::Guess(1),
            Strategy::Lazy if draw.chance(3) => Ballot::Lazy,
            _ => Ballot::Honest,
        }
    }

    /// The jury votes and is counted; a planted fault is proved before.
    fn judge(&mut self, draw: &mut Draw) -> Case {
        let case = self.world.case(&self.answered);
        if case.false_count == 0 {
            return self.world.must_resolve(&self.answered);
        }
        let claims = case.claims().iter().map(|claim| claim.claimant);
        let parties: Vec<_> = claims.chain([self.answered.submitter]).collect();
        let mut ballots: Vec<(String, Ballot)> = (0..VALIDATORS)
            .map(juror)
            .filter(|name| !parties.contains(&key(name)))
            .map(|name| {
                let ballot = self.ballot(&name, draw);
                (name, ballot)
            })
            .collect();
        if self.strategy.sees_the_draw() && !self.decides(&ballots) {
            for (_, ballot) in &mut ballots {
                *ballot = Ballot::Honest;
            }
        }
        if self.strategy == Strategy::Lazy {
            let lazy = ballots.iter().filter(|(_, b)| *b == Ballot::Lazy);
            self.own = lazy.map(|(name, _)| name.clone()).collect();
        }
        self.world.commits(&self.answered, &ballots);
        self.world.reveals(&self.answered, &ballots);
        let judged = self.own.iter();
        let judged = judged.filter(|name| self.world.sits(&self.answered, name));
        self.sent += 2 * judged.count() as i64;
        if let Lie::Planted(position) | Lie::PlantedBeside(_, position) = self.lie {
            let prover = self.own.last().expect("friends");
            let call = self.world.proof(&self.answered, prover, position, NONE);
            self.world.chain.must(call);
            self.sent += 2;
        }
        self.world.must_resolve(&self.answered)
    }

    /// Whether the strategy's keys get the seats without which there is no quorum, if all commit: seats are drawn before that.
    fn decides(&self, ballots: &[(String, Ballot)]) -> bool {
        let mut seen = self.world.clone();
        seen.commits(&self.answered, ballots);
        let case = seen.case(&self.answered);
        let own = case.jury().iter();
        let own = own.filter(|seat| self.own.iter().any(|name| seat.juror == key(name)));
        let seats = usize::from(case.jury_seats);
        own.count() + quorum(case.jury_seats.into()) as usize > seats
    }

    fn change(&self, name: &str) -> i64 {
        self.world.wealth(&[name]) as i64 - self.before.wealth(&[name]) as i64
    }

    /// Collects, closes, and counts.
    fn count(mut self, case: &Case) -> Round {
        self.world.wind_up(&self.answered);
        let honest = case.jury().iter().filter(|seat| seat.is_revealed());
        let mut jurors: Vec<String> = (0..VALIDATORS)
            .map(juror)
            .filter(|name| honest.clone().any(|seat| seat.juror == key(name)))
            .filter(|name| !self.own.contains(name))
            .collect();
        jurors.dedup();
        let seats = case.jury().iter();
        let seats = seats.filter(|seat| self.own.iter().any(|name| seat.juror == key(name)));
        let claimant = self.claimant.as_deref();
        let bond = case
            .claims()
            .iter()
            .find(|claim| claimant.is_some_and(|name| claim.claimant == key(name)));
        // The answer, a void jury's tariffs, its own transactions.
        let void = u64::from(case.jury_seats) * case.rules.juror_tariff.get();
        let named = bond.map_or(0, |claim| {
            (claim.answering_fee.get() + void.min(claim.tariffs.get())) as i64
                + TRANSACTION * self.claims_sent
        });
        Round {
            own: self.own.iter().map(|name| self.change(name)).sum::<i64>()
                - TRANSACTION * self.sent,
            claimant: claimant.map(|name| self.change(name) - TRANSACTION * self.claims_sent),
            named,
            jurors: jurors.iter().map(|name| self.change(name)).collect(),
            seats: seats.count(),
            verdict: Verdict::from_u8(case.verdict).expect("resolved"),
        }
    }
}
