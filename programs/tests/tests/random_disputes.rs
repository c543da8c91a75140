//! Random disputes by many parties, honest and not, with time that jumps to the edges of phases: whatever
//! happens, the invariants hold after each transaction (the harness checks), refusals are the program's own,
//! and cranks that anyone can send bring everything to its end and every lamport home.

use std::collections::BTreeMap;

use mythic_interface::ix::{ALL, Tag};
use mythic_interface::state::*;
use mythic_program_tests::answer::Lie;
use mythic_program_tests::calls::{self, NONE};
use mythic_program_tests::chain::SOL;
use mythic_program_tests::court::{Case, SAMPLE_KNOWN, Vote, court, juror};
use mythic_program_tests::draw::Draw;
use mythic_program_tests::keys::{key, operator};
use mythic_program_tests::world::{CALIBRATED, EXACT, World, grant_of, model};
use proptest::test_runner::{Config as Runs, TestCaseError, TestRunner};
use solana_instruction::Instruction as Call;
use solana_instruction::error::InstructionError;
use solana_transaction_error::TransactionError;

const VALIDATORS: usize = 7;

struct Simulation {
    world: World,
    cases: Vec<Case>,
    disputes: Vec<(usize, Key)>,
    votes: BTreeMap<(Key, String), Vote>,
    succeeded: BTreeMap<u8, u64>,
    outcomes: BTreeMap<(u8, u8), u64>,
}

impl Simulation {
    fn name(&self, d: &mut Draw) -> String {
        juror(d.below(VALIDATORS as u64) as usize)
    }

    /// Sends a call; whether it succeeded. A refusal must be the program's own.
    fn send(&mut self, call: Call, tampered: bool) -> Result<bool, TestCaseError> {
        let Some(tag) = call.data.first().copied() else {
            return Ok(false);
        };
        match self.world.chain.send(std::slice::from_ref(&call)) {
            Ok(_) => {
                *self.succeeded.entry(tag).or_default() += 1;
                Ok(true)
            }
            Err(refusal) => {
                let aborted = matches!(
                    refusal.error,
                    TransactionError::InstructionError(
                        _,
                        InstructionError::ProgramFailedToComplete
                    )
                );
                match aborted || !(refusal.mythic().is_some() || tampered) {
                    true => Err(TestCaseError::fail(format!(
                        "{:?} fails with {:?}\n{}",
                        Tag::from_u8(tag),
                        refusal.error,
                        refusal.logs.join("\n")
                    ))),
                    false => Ok(false),
                }
            }
        }
    }

    fn exists(&self, address: &Key) -> bool {
        self.world.chain.account(address).is_some()
    }

    /// To the edge of some phase that lies ahead, or a few slots on.
    fn wait(&mut self, d: &mut Draw) {
        let now = self.world.chain.slot();
        let mut edges: Vec<u64> = Vec::new();
        for (_, dispute) in &self.disputes {
            if !self.exists(dispute) {
                continue;
            }
            let found = self.world.dispute(dispute);
            edges.extend(found.due_slot());
            if found.status() == Some(DisputeStatus::Jury) {
                edges.extend([found.commit_start(), found.commit_end(), found.reveal_end()]);
            }
        }
        for case in &self.cases {
            if self.exists(&case.job) {
                let job = self.world.job(&case.job);
                if job.status() == Some(JobStatus::Submitted) {
                    edges.push(job.submitted_slot.get() + 21);
                }
                edges.extend(job.window_end());
            }
        }
        edges.retain(|edge| *edge > now + 1);
        match edges.is_empty() || d.chance(4) {
            true => {
                let slots = d.pick(&[1, 3, 10, 60, 2_300]);
                self.world.chain.advance(slots);
            }
            false => {
                edges.sort_unstable();
                let edge = edges[d.below(edges.len().min(2) as u64) as usize];
                self.world.chain.warp_to(edge - d.below(2));
            }
        }
    }

    fn new_case(&mut self, d: &mut Draw) -> Result<(), TestCaseError> {
        let n = d.pick(&[EXACT, EXACT, CALIBRATED, 1]);
        let name = self.name(d);
        let tokens = d.pick(&[1, 5, 20, 140]);
        let at = d.below(u64::from(tokens)) as u32;
        let lie = d.pick(&[
            Lie::None,
            Lie::None,
            Lie::None,
            Lie::OtherModel,
            Lie::OtherModel,
            Lie::Noise,
            Lie::WrongIds,
            Lie::OneToken(at),
            Lie::RepeatedId(at),
            Lie::NotOrdered(at),
            Lie::NotTheChoice(at),
            Lie::NotTheOutput(at),
            Lie::EosInside(at),
            Lie::NoEos,
        ]);
        let mut request = self.world.brief(n, &name, tokens);
        if d.chance(2) {
            request.requester = key("alice");
        }
        if self.send(request.call(), false)? {
            let job = request.job();
            let found = self.world.job(&job);
            let answer = mythic_program_tests::answer::Answer::new(
                &job,
                &found,
                tokens,
                FinishReason::Eos,
                lie,
            );
            let call = calls::submit_result(operator(&name), key(&name), job, &answer.result);
            self.send(call, false)?;
            self.cases.push(Case {
                job,
                answer,
                submitter: key(&name),
                model: n,
            });
        }
        Ok(())
    }

    /// Something about one case.
    fn about_a_case(&mut self, d: &mut Draw) -> Result<(), TestCaseError> {
        let Some(case) = self.latest(d) else {
            return self.new_case(d);
        };
        if !self.exists(&case.job) {
            return Ok(());
        }
        let name = self.name(d);
        match d.below(6) {
            0..3 => {
                let count = case.answer.result.output_tokens.get();
                let named: Vec<u32> = match d.below(3) {
                    0 if count > 17 => vec![d.below(u64::from(count)) as u32],
                    _ => Vec::new(),
                };
                let submitted = self.world.job(&case.job).submitted_slot.get();
                if submitted > 0 && d.chance(2) {
                    let known = submitted + SAMPLE_KNOWN;
                    self.world.chain.warp_to(known.max(self.world.chain.slot()));
                }
                let call = self.world.challenge(&case, &name, &named);
                let tampered = d.chance(10);
                let call = self.tamper(call, tampered, d);
                if self.send(call, tampered)? {
                    let index = self.cases.iter().position(|c| c.job == case.job);
                    let dispute = calls::dispute(&case.job, &key(&name));
                    self.disputes.push((index.expect("there"), dispute));
                }
            }
            3 => {
                let leaf = d.below(case.answer.leaves.len() as u64) as u32;
                let position = (0..case.answer.leaves.len() as u32)
                    .find(|p| {
                        case.answer.tokens[*p as usize] != case.answer.leaves[*p as usize].token
                    })
                    .unwrap_or(leaf);
                let page = calls::output(&case.job, 0);
                let page = match self.exists(&page) && d.chance(2) {
                    true => page,
                    false => NONE,
                };
                let call = self.world.proof(&case, &name, position, page);
                self.send(call, false)?;
            }
            4 => {
                let claim = self.world.claim(&case.job);
                self.send(claim, false)?;
            }
            _ => {
                let page = calls::output(&case.job, 0);
                if let Some(account) = self.world.chain.account(&page)
                    && let Ok(found) = Output::load(&account.data)
                {
                    let call = calls::close_output(case.job, 0, found.rent_payer);
                    self.send(call, false)?;
                }
                let payer = self.world.job(&case.job).rent_payer;
                self.send(calls::close_job(case.job, payer), false)?;
            }
        }
        Ok(())
    }

    fn latest(&self, d: &mut Draw) -> Option<Case> {
        let back = 1 + d.below(self.cases.len().clamp(1, 4) as u64) as usize;
        let at = self.cases.len().checked_sub(back)?;
        Some(self.cases[at].clone())
    }

    fn tamper(&self, mut call: Call, really: bool, d: &mut Draw) -> Call {
        if really {
            match d.chance(2) {
                true => {
                    let byte = d.below(call.data.len() as u64) as usize;
                    call.data[byte] ^= 1 << d.below(8);
                }
                false => {
                    let at = d.below(call.accounts.len() as u64) as usize;
                    let mut others = vec![calls::config(), model(EXACT), key("stranger")];
                    others.extend(self.disputes.iter().map(|(_, dispute)| *dispute));
                    others.extend(self.cases.iter().map(|case| case.job));
                    others.extend((0..VALIDATORS).map(|i| calls::validator(&key(&juror(i)))));
                    call.accounts[at].pubkey = d.pick(&others).into();
                }
            }
        }
        call
    }

    /// The next phase of a dispute, as most parties would have it.
    fn carry_on(&mut self, case: &Case, dispute: Key, d: &mut Draw) -> Result<(), TestCaseError> {
        let found = self.world.dispute(&dispute);
        let now = self.world.chain.slot();
        match found.status() {
            Some(DisputeStatus::Openings) => {
                for call in self.world.outputs(case, &dispute) {
                    self.send(call, false)?;
                }
                for call in self.world.openings(case, &dispute, 2) {
                    self.send(call, false)?;
                }
            }
            Some(DisputeStatus::Jury) if found.jury().iter().any(JurySeat::is_taken) => {
                self.world.chain.warp_to(found.commit_end().max(now));
                for i in 0..VALIDATORS {
                    let name = juror(i);
                    if let Some(vote) = self.votes.get(&(dispute, name.clone())).copied()
                        && !d.chance(20)
                    {
                        let call = self.world.reveal(case, &dispute, &name, vote);
                        self.send(call, false)?;
                    }
                }
            }
            Some(DisputeStatus::Jury) => {
                self.world.chain.warp_to(found.commit_start().max(now));
                let mixed = d.chance(3);
                for i in 0..VALIDATORS {
                    let name = juror(i);
                    let vote = match mixed {
                        true => d.pick(&[Vote::Honest, Vote::Approve, Vote::Guess(1)]),
                        false => Vote::Honest,
                    };
                    let call = self.world.commit(case, &dispute, &name, vote);
                    if self.send(call, false)? {
                        self.votes.insert((dispute, name), vote);
                    }
                }
            }
            _ => {
                for i in 0..VALIDATORS {
                    let call = calls::collect_dispute(dispute, key(&juror(i)));
                    self.send(call, false)?;
                }
            }
        }
        if d.chance(2) {
            let call = self.world.resolve(&dispute);
            if self.send(call, false)? {
                let found = self.world.dispute(&dispute);
                let outcome = (found.verdict, found.ground);
                *self.outcomes.entry(outcome).or_default() += 1;
            }
        }
        Ok(())
    }

    /// Something about one dispute, mostly what may come next.
    fn about_a_dispute(&mut self, d: &mut Draw) -> Result<(), TestCaseError> {
        let back = 1 + d.below(self.disputes.len().clamp(1, 5) as u64) as usize;
        let Some(at) = self.disputes.len().checked_sub(back) else {
            return self.about_a_case(d);
        };
        let (index, dispute) = self.disputes[at];
        let case = self.cases[index].clone();
        if !self.exists(&dispute) || !self.exists(&case.job) {
            return Ok(());
        }
        if d.chance(2) {
            return self.carry_on(&case, dispute, d);
        }
        let found = self.world.dispute(&dispute);
        let next: &[u64] = match found.status() {
            Some(DisputeStatus::Openings) => &[0, 0, 0, 1, 1, 1, 4],
            Some(DisputeStatus::Jury) => &[2, 2, 2, 3, 3, 3, 4],
            _ => &[5, 5, 6],
        };
        let kind = match d.chance(8) {
            true => d.below(7),
            false => d.pick(next),
        };
        let tampered = d.chance(12);
        match kind {
            0 => {
                for call in self.world.outputs(&case, &dispute) {
                    if d.chance(8) {
                        continue;
                    }
                    let call = self.tamper(call, tampered, d);
                    self.send(call, tampered)?;
                }
            }
            1 => {
                let each = 1 + d.below(2) as usize;
                for call in self.world.openings(&case, &dispute, each) {
                    if d.chance(20) {
                        continue;
                    }
                    let call = self.tamper(call, tampered, d);
                    self.send(call, tampered)?;
                }
            }
            2 => {
                for i in 0..VALIDATORS {
                    if d.chance(3) {
                        continue;
                    }
                    let name = juror(i);
                    let vote = d.pick(&[
                        Vote::Honest,
                        Vote::Honest,
                        Vote::Honest,
                        Vote::Approve,
                        Vote::Guess(1),
                        Vote::Guess(i as u32 + 2),
                    ]);
                    let call = self.world.commit(&case, &dispute, &name, vote);
                    let call = self.tamper(call, tampered, d);
                    if self.send(call, tampered)? {
                        self.votes.insert((dispute, name), vote);
                    }
                }
            }
            3 => {
                for i in 0..VALIDATORS {
                    let name = juror(i);
                    let vote = self.votes.get(&(dispute, name.clone()));
                    let vote = vote.copied().unwrap_or(Vote::Honest);
                    if d.chance(6) {
                        continue;
                    }
                    let call = self.world.reveal(&case, &dispute, &name, vote);
                    let call = self.tamper(call, tampered, d);
                    self.send(call, tampered)?;
                }
            }
            4 => {
                let call = self.world.resolve(&dispute);
                let call = self.tamper(call, tampered, d);
                if self.send(call, tampered)? && !tampered {
                    let found = self.world.dispute(&dispute);
                    *self
                        .outcomes
                        .entry((found.verdict, found.ground))
                        .or_default() += 1;
                }
            }
            5 => {
                let call = calls::collect_dispute(dispute, key(&self.name(d)));
                let call = self.tamper(call, tampered, d);
                self.send(call, tampered)?;
            }
            _ => {
                self.send(calls::close_dispute(dispute, found.rent_payer), false)?;
            }
        }
        Ok(())
    }

    /// Validators change, leave, come back.
    fn about_a_validator(&mut self, d: &mut Draw) -> Result<(), TestCaseError> {
        let name = self.name(d);
        let authority = key(&name);
        let models = [model(1), model(EXACT), model(CALIBRATED)];
        let call = match d.below(10) {
            0 => calls::add_stake(key("payer"), authority, d.pick(&[1, SOL])),
            1 | 2 => calls::request_unstake(authority, d.pick(&[1, SOL, 2 * SOL])),
            3 => calls::withdraw_stake(authority),
            4 => calls::withdraw_claimable(operator(&name), authority),
            5 => calls::unjail(operator(&name), authority),
            6 => calls::sweep(authority),
            7 => {
                let served = &models[..d.below(4) as usize];
                calls::update_validator(authority, operator(&name), served)
            }
            8 => calls::close_validator(authority, authority),
            _ => calls::register_validator(authority, operator(&name), 2 * SOL, &models),
        };
        self.send(call, false)?;
        Ok(())
    }

    fn step(&mut self, seed: u64) -> Result<(), TestCaseError> {
        let mut d = Draw(seed);
        match d.below(16) {
            0..3 => {
                self.wait(&mut d);
                Ok(())
            }
            3 => self.new_case(&mut d),
            4..7 => self.about_a_case(&mut d),
            7 => self.about_a_validator(&mut d),
            _ => self.about_a_dispute(&mut d),
        }
    }

    /// With everything due done by strangers, no dispute, page, job or lamport is left behind.
    fn wind_down(&mut self) {
        const LONG: u64 = 50_000_000;
        self.world.chain.advance(LONG);
        for (_, dispute) in self.disputes.clone() {
            if !self.exists(&dispute) {
                continue;
            }
            if self.world.dispute(&dispute).status() != Some(DisputeStatus::Resolved) {
                let call = self.world.resolve(&dispute);
                self.world.chain.must(call);
            }
        }
        for case in self.cases.clone() {
            if !self.exists(&case.job) {
                continue;
            }
            let job = self.world.job(&case.job);
            match job.status().expect("listed") {
                JobStatus::Accepted => {
                    let call =
                        calls::expire(case.job, job.terms.owner, job.validator, grant_of(&job));
                    self.world.chain.must(call);
                }
                JobStatus::Submitted | JobStatus::Disputed => {
                    let claim = self.world.claim(&case.job);
                    self.world.chain.must(claim);
                }
                _ => {}
            }
        }
        self.world.chain.advance(LONG);
        let mut addresses: Vec<Key> = self.disputes.iter().map(|entry| entry.1).collect();
        addresses.extend(self.cases.iter().map(|case| calls::fault(&case.job)));
        for dispute in addresses {
            if self.exists(&dispute) {
                self.world.collect_all(&dispute);
                let payer = self.world.dispute(&dispute).rent_payer;
                self.world.chain.must(calls::close_dispute(dispute, payer));
            }
        }
        for case in self.cases.clone() {
            if let Some(account) = self.world.chain.account(&calls::output(&case.job, 0)) {
                let payer = Output::load(&account.data).expect("a page").rent_payer;
                self.world
                    .chain
                    .must(calls::close_output(case.job, 0, payer));
            }
            if self.exists(&case.job) {
                let payer = self.world.job(&case.job).rent_payer;
                self.world.chain.must(calls::close_job(case.job, payer));
            }
        }
        for i in 0..VALIDATORS {
            self.leave(&juror(i));
        }
        let alice: Vault = self.world.chain.load(&calls::vault(&key("alice")));
        assert_eq!((alice.held.get(), alice.open_jobs.get()), (0, 0));
    }

    fn leave(&mut self, name: &str) {
        let authority = key(name);
        if !self.exists(&calls::validator(&authority)) {
            return;
        }
        let chain = &mut self.world.chain;
        let active = chain
            .load::<Validator>(&calls::validator(&authority))
            .active_stake(chain.slot());
        if active > 0 {
            chain.must(calls::request_unstake(authority, active));
            chain.advance(50_000_000);
        }
        let found: Validator = chain.load(&calls::validator(&authority));
        if found.unbonding.get() > 0 {
            chain.must(calls::withdraw_stake(authority));
        }
        if found.claimable.get() > 0 {
            chain.must(calls::withdraw_claimable(authority, authority));
        }
        if found.owed_foundation.get() + found.owed_burn.get() > 0 {
            chain.must(calls::sweep(authority));
        }
        chain.must(calls::close_validator(authority, found.rent_payer));
    }
}

#[test]
fn invariants_hold_under_random_disputes_of_juries_of_every_size() {
    let starts = [3, 5, 7, 15].map(|seats| court(VALIDATORS, seats, |_| {}));
    let runs = Runs {
        cases: 192,
        max_shrink_iters: 200,
        failure_persistence: None,
        ..Runs::default()
    };
    let strategy = (
        0usize..4,
        proptest::collection::vec(proptest::num::u64::ANY, 100..250),
    );
    let total = std::cell::RefCell::new((BTreeMap::<u8, u64>::new(), BTreeMap::new()));
    let result = TestRunner::new(runs).run(&strategy, |(jury, seeds)| {
        let mut simulation = Simulation {
            world: starts[jury].clone(),
            cases: Vec::new(),
            disputes: Vec::new(),
            votes: BTreeMap::new(),
            succeeded: BTreeMap::new(),
            outcomes: BTreeMap::new(),
        };
        for seed in seeds {
            simulation.step(seed)?;
        }
        simulation.wind_down();
        let (succeeded, outcomes) = &mut *total.borrow_mut();
        for (tag, count) in simulation.succeeded {
            *succeeded.entry(tag).or_default() += count;
        }
        for (outcome, count) in simulation.outcomes {
            *outcomes.entry(outcome).or_insert(0u64) += count;
        }
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
    let (succeeded, outcomes) = total.into_inner();
    println!("succeeded: {succeeded:?}");
    println!("outcomes (verdict, ground): {outcomes:?}");
    let never: Vec<&Tag> = ALL
        .iter()
        .filter(|tag| **tag as u8 >= Tag::VerifyLogits as u8)
        .filter(|tag| !succeeded.contains_key(&(**tag as u8)))
        .collect();
    assert!(never.is_empty(), "{never:?} never succeeded");
    let (jury, void) = (Ground::Jury as u8, Verdict::Void as u8);
    for outcome in [
        (Verdict::Guilty as u8, jury),
        (Verdict::NotGuilty as u8, jury),
        (void, jury),
        (Verdict::Guilty as u8, Ground::Unanswered as u8),
        (void, Ground::NoThresholds as u8),
        (void, Ground::Overtaken as u8),
    ] {
        assert!(outcomes.contains_key(&outcome), "no {outcome:?}");
    }
}
