//! Random games of a lying coalition against honest parties, every lamport counted: who says what is true never ends below where
//! it began but for fees named beforehand, and a coalition under a third of a jury's seats never above its lawful pay.
//!
//! The games are the same each time. `MYTHIC_TEST_SEED` plays one of them, or any other.

use mythic_interface::dispute::{least_keys, quorum};
use mythic_interface::state::*;
use mythic_program_tests::answer::Lie;
use mythic_program_tests::calls::{self, NONE};
use mythic_program_tests::court::{Answered, Ballot, court, juror};
use mythic_program_tests::draw::Draw;
use mythic_program_tests::keys::key;
use mythic_program_tests::world::{CALIBRATED, EXACT, World};

/// n0 submits, n1 is who checks, n2 to n5 claim for the coalition, the rest judge.
const CHECKER: &str = "n1";
const FRIENDS: core::ops::Range<usize> = 2..6;
const JUDGES: core::ops::Range<usize> = 6..26;
const GAMES: u64 = 160;

struct Game {
    world: World,
    before: World,
    answered: Answered,
    lie: Lie,
    /// Somebody honest beside the submitter has the evidence.
    evidence: bool,
    /// Judges of the coalition.
    bent: Vec<String>,
    ballots: Vec<(String, Ballot)>,
}

impl Game {
    fn new(start: &World, d: &mut Draw) -> Self {
        let at = d.below(300) as u32;
        let lie = d.pick(&[
            Lie::None,
            Lie::None,
            Lie::OtherModel,
            Lie::OneToken(at),
            Lie::Planted(at),
            Lie::NotTheChoice(at),
        ]);
        // A calibrated profile cannot find one altered token.
        let n = match lie {
            Lie::None | Lie::OtherModel | Lie::Planted(_) => d.pick(&[EXACT, EXACT, CALIBRATED]),
            _ => EXACT,
        };
        let lie = match lie {
            Lie::OneToken(at) if at.is_multiple_of(4) => Lie::Astray(at),
            other => other,
        };
        let mut world = start.clone();
        // Half of what leaves no fault is by options, whose choice no leaf replays.
        let faulty = matches!(lie, Lie::Planted(_) | Lie::NotTheChoice(_));
        let answered = match n == EXACT && !faulty && at.is_multiple_of(2) {
            true => {
                let request = world.by_options("n0", 300);
                let job = world.must_request(&request);
                world.answer(&job, "n0", 300, lie)
            }
            false => world.answered(n, "n0", 300, lie),
        };
        world.reach_sample(&answered);
        let bent: Vec<String> = JUDGES.filter(|_| d.chance(6)).map(juror).collect();
        Game {
            before: world.clone(),
            world,
            answered,
            lie,
            evidence: d.below(4) > 0,
            bent,
            ballots: Vec::new(),
        }
    }

    fn honest_submitter(&self) -> bool {
        self.lie == Lie::None
    }

    fn try_send(&mut self, call: solana_instruction::Instruction) -> bool {
        self.world.chain.send(&[call]).is_ok()
    }

    fn free(&self) -> Vec<u32> {
        let case = self.world.case(&self.answered);
        let sampled: Vec<u32> = case
            .sample()
            .iter()
            .map(|leaf| leaf.position.get())
            .collect();
        (0..300)
            .filter(|position| !sampled.contains(position))
            .collect()
    }

    fn has_case(&self) -> bool {
        let account = self.world.chain.account(&calls::case(&self.answered.job));
        account.is_some_and(|account| Case::load(&account.data).is_ok())
    }

    /// Who checks says what it knows: that data is withheld, or what is false, by name if the sample misses it.
    fn check(&mut self) {
        if !self.evidence {
            if !self.has_case() {
                self.world.must_miss(&self.answered.clone(), CHECKER);
            }
            return;
        }
        let mut trial = self.world.clone();
        if !self.has_case() {
            trial.must_miss(&self.answered, CHECKER);
        }
        let case = trial.case(&self.answered);
        let sampled = |p: u32| case.sample().iter().any(|leaf| leaf.position.get() == p);
        let named = match self.lie {
            Lie::None | Lie::NotTheChoice(_) => return,
            Lie::OneToken(p) | Lie::Astray(p) if !sampled(p) => vec![p],
            _ => Vec::new(),
        };
        let call = self.world.objection(&self.answered, CHECKER, &named);
        self.try_send(call);
    }

    /// A friend says anything, true or not.
    fn babble(&mut self, friend: usize, d: &mut Draw) {
        let exact = self.answered.model == EXACT;
        let mut named = Vec::new();
        if exact && self.has_case() && d.chance(2) {
            named.push(d.pick(&self.free()));
        }
        let kind = match self.has_case() || d.chance(2) {
            true => ClaimKind::False,
            false => ClaimKind::Withheld,
        };
        let call = self
            .world
            .claiming(&self.answered, &juror(friend), kind, &named);
        self.try_send(call);
    }

    /// Whoever has the data shows it; a cheater some of it, or nothing.
    fn show(&mut self, d: &mut Draw) {
        let all = self.honest_submitter() || self.evidence;
        let most = if all { 0 } else { d.pick(&[0, 0, 4, 1]) };
        let mut calls = self.world.outputs(&self.answered);
        calls.extend(self.world.openings(&self.answered, 1));
        for call in calls {
            if most == 0 || !d.chance(most) {
                self.try_send(call);
            }
        }
    }

    fn fault(&mut self) -> bool {
        let (Lie::Planted(p) | Lie::NotTheChoice(p)) = self.lie else {
            return false;
        };
        let call = self.world.proof(&self.answered, "n2", p, NONE);
        self.try_send(call)
    }

    fn judge(&mut self, d: &mut Draw) {
        let start = self.world.case(&self.answered).commit_start();
        self.world.chain.warp_to(start.max(self.world.chain.slot()));
        for name in JUDGES.map(juror) {
            let ballot = match self.bent.contains(&name) {
                true => d.pick(&[
                    Ballot::Approve,
                    Ballot::Guess(1),
                    Ballot::Lazy,
                    Ballot::Honest,
                ]),
                false => Ballot::Honest,
            };
            let call = self.world.commit(&self.answered, &name, ballot);
            self.try_send(call);
            self.ballots.push((name, ballot));
        }
        let end = self.world.case(&self.answered).commit_end();
        self.world.chain.warp_to(end);
        for (name, ballot) in self.ballots.clone() {
            let silent = self.bent.contains(&name) && d.chance(4);
            if self.world.sits(&self.answered, &name) && !silent {
                let call = self.world.reveal(&self.answered, &name, ballot);
                self.try_send(call);
            }
        }
    }

    /// One game to its end.
    fn play(&mut self, d: &mut Draw) {
        let mut friends: Vec<usize> = FRIENDS.collect();
        friends.truncate(d.below(5) as usize);
        if d.chance(2)
            && let Some(friend) = friends.pop()
        {
            self.babble(friend, d);
        }
        self.check();
        if !self.has_case() {
            match friends.pop() {
                Some(friend) => self.babble(friend, d),
                None => return,
            }
        }
        if !self.has_case() || d.chance(12) && self.fault() {
            return;
        }
        self.show(d);
        let joining = self.world.case(&self.answered).status() == Some(CaseStatus::Joining);
        if joining {
            let quick = d.chance(2);
            if quick {
                self.check();
            }
            for friend in friends {
                self.babble(friend, d);
            }
            if !quick {
                self.check();
            }
            let end = self.world.case(&self.answered).joining_end();
            self.world.chain.warp_to(end.max(self.world.chain.slot()));
            self.show(d);
            let case = self.world.case(&self.answered);
            if case.is_shown() && case.false_count > 0 {
                let early = d.chance(6) && self.fault();
                self.judge(d);
                if !early && d.chance(3) {
                    self.fault();
                }
            }
        }
        self.world.must_resolve(&self.answered.clone());
    }

    fn change(&self, names: &[&str]) -> i64 {
        self.world.wealth(names) as i64 - self.before.wealth(names) as i64
    }

    fn seats(&self, case: &Case, of: impl Fn(&str) -> bool) -> Vec<JurySeat> {
        let jury = case.jury().iter().filter(|seat| seat.is_taken());
        jury.filter(|seat| {
            let mut names = JUDGES.map(juror);
            let name = names.find(|name| key(name) == seat.juror);
            name.is_some_and(|name| of(&name))
        })
        .copied()
        .collect()
    }

    /// What must hold in the end, of a game with a case.
    fn settle(&mut self) -> &'static str {
        let case = self.world.case(&self.answered);
        let job = self.world.job(&self.answered.job);
        self.world.wind_up(&self.answered.clone());
        let theirs = self.seats(&case, |name| self.bent.iter().any(|bent| bent == name));
        let honest = self.seats(&case, |name| !self.bent.iter().any(|bent| bent == name));
        let mut keys: Vec<Key> = honest.iter().map(|seat| seat.juror).collect();
        keys.sort_unstable();
        keys.dedup();
        let jury = u32::from(case.jury_seats);
        let nobody = theirs.is_empty() && honest.is_empty();
        let sound = honest.len() as u32 >= quorum(jury) && keys.len() as u32 >= least_keys(jury);
        if !(nobody || sound) {
            return "unsound";
        }
        // Who checks: the answering fees of its claims and, if its jury was void, the small tariffs.
        let own = case
            .claims()
            .iter()
            .filter(|claim| claim.claimant == key(CHECKER));
        let fees: u64 = own.map(|claim| claim.answering_fee.get()).sum();
        let void = u64::from(case.verdict == Verdict::Void as u8) * case.jurors_amount.get();
        let checked = self.change(&[CHECKER]);
        assert!(checked >= -((fees + void) as i64), "who checks: {checked}");
        for name in JUDGES.map(juror).filter(|name| !self.bent.contains(name)) {
            let change = self.change(&[&name]);
            assert!(change >= 0, "{name}: {change}");
        }
        let mut coalition: Vec<String> = FRIENDS.map(juror).collect();
        coalition.extend(self.bent.iter().cloned());
        if self.honest_submitter() {
            let change = self.change(&["n0"]);
            let pay = job.validator_amount.get() as i64;
            assert!(change >= pay, "the submitter: {change} of {pay}");
        } else {
            coalition.push("n0".into());
        }
        let tariffs: u64 = theirs.iter().map(|seat| seat.reward.get()).sum();
        // Where nobody said that an answer was false, it is paid like any other.
        let false_said = case
            .claims()
            .iter()
            .any(|claim| claim.outcome == Outcome::Right as u8);
        let looked = self.evidence && !matches!(self.lie, Lie::None | Lie::NotTheChoice(_));
        let caught = case.verdict == Verdict::Guilty as u8 || case.verdict == Verdict::Fault as u8;
        assert!(
            !looked || caught,
            "{:?} escaped: {:?}",
            self.lie,
            case.ground
        );
        let names: Vec<&str> = coalition.iter().map(String::as_str).collect();
        let (change, mut lawful) = (self.change(&names), tariffs as i64);
        if !self.honest_submitter() && !caught {
            lawful += (job.validator_amount.get() + case.submitter_amount.get()) as i64;
        }
        assert!(
            change <= lawful,
            "the coalition: {change}, {lawful} is lawful"
        );
        match (caught, false_said) {
            (true, _) => "caught",
            (false, true) => "right and not caught",
            (false, false) => "paid",
        }
    }
}

#[test]
fn who_is_honest_loses_no_more_than_named_and_who_lies_gains_no_more_than_its_pay() {
    let starts = [3, 5, 7, 15].map(|seats| court(JUDGES.end, seats, |_| {}));
    let given = std::env::var("MYTHIC_TEST_SEED").ok();
    let seeds: Vec<u64> = match given {
        Some(text) => vec![text.parse().expect("MYTHIC_TEST_SEED is a number")],
        None => (0..GAMES).collect(),
    };
    let mut ends = std::collections::BTreeMap::<&str, u64>::new();
    for seed in seeds {
        println!("again with: MYTHIC_TEST_SEED={seed}");
        let mut d = Draw(seed);
        let start = d.pick(&[0usize, 1, 2, 3]);
        let mut game = Game::new(&starts[start], &mut d);
        game.play(&mut d);
        let end = match game.has_case() {
            true => game.settle(),
            false => "no case",
        };
        *ends.entry(end).or_default() += 1;
    }
    println!("{ends:?}");
    assert_eq!(ends.get("right and not caught"), None);
}
