//! Random steps: answers, cases, validators.

use mythic_interface::state::*;
use mythic_program_tests::answer::{Answer, Lie};
use mythic_program_tests::calls::{self, NONE};
use mythic_program_tests::chain::SOL;
use mythic_program_tests::court::{Answered, Ballot, SAMPLE_KNOWN, juror};
use mythic_program_tests::draw::Draw;
use mythic_program_tests::keys::{key, operator};
use mythic_program_tests::world::{CALIBRATED, EXACT, model};
use proptest::test_runner::TestCaseError;
use solana_instruction::Instruction as Call;

use crate::simulation::{Simulation, VALIDATORS};

type Done = Result<(), TestCaseError>;

impl Simulation {
    fn new_answer(&mut self, d: &mut Draw) -> Done {
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
            Lie::Planted(at),
            Lie::NotTheOutput(at),
            Lie::EosInside(at),
            Lie::NoEos,
            Lie::NoToken(at),
            Lie::Astray(at),
            Lie::RunsOn(at),
        ]);
        let mut request = match n == EXACT && d.chance(2) {
            true => self.world.by_options(&name, tokens),
            false => self.world.brief(n, &name, tokens),
        };
        if d.chance(2) {
            request.requester = key("alice");
        }
        if self.send(request.call(), false)? {
            let job = request.job();
            let found = self.world.job(&job);
            let answer = Answer::new(&job, &found, tokens, FinishReason::Eos, lie);
            let call = calls::submit_result(operator(&name), key(&name), job, &answer.result);
            self.send(call, false)?;
            self.answers.push(Answered {
                job,
                answer,
                submitter: key(&name),
                model: n,
            });
        }
        Ok(())
    }

    fn latest(&self, d: &mut Draw) -> Option<Answered> {
        let back = 1 + d.below(self.answers.len().clamp(1, 4) as u64) as usize;
        let at = self.answers.len().checked_sub(back)?;
        Some(self.answers[at].clone())
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
                    for answered in &self.answers {
                        others.extend([
                            answered.job,
                            calls::case(&answered.job),
                            calls::votes(&answered.job),
                        ]);
                    }
                    others.extend((0..VALIDATORS).map(|i| calls::validator(&key(&juror(i)))));
                    call.accounts[at].pubkey = d.pick(&others).into();
                }
            }
        }
        call
    }

    /// Somebody says something of an answer, at a time at which it may.
    fn claim(&mut self, answered: &Answered, d: &mut Draw) -> Done {
        let name = self.name(d);
        let count = answered.answer.result.output_tokens.get();
        let named: Vec<u32> = match d.below(3) {
            0 if count > 17 => vec![d.below(u64::from(count)) as u32],
            _ => Vec::new(),
        };
        let submitted = self.world.job(&answered.job).submitted_slot.get();
        if submitted > 0 && d.chance(2) {
            let known = submitted + SAMPLE_KNOWN;
            self.world.chain.warp_to(known.max(self.world.chain.slot()));
        }
        let call = match d.chance(4) {
            true => self
                .world
                .claiming(answered, &name, ClaimKind::Withheld, &[]),
            false => self.world.objection(answered, &name, &named),
        };
        let tampered = d.chance(10);
        let call = self.tamper(call, tampered, d);
        self.send(call, tampered)?;
        Ok(())
    }

    fn prove(&mut self, answered: &Answered, d: &mut Draw) -> Done {
        let (leaves, tokens) = (&answered.answer.leaves, &answered.answer.tokens);
        let leaf = d.below(leaves.len() as u64) as u32;
        let differs = |p: &u32| tokens[*p as usize] != leaves[*p as usize].token;
        let position = (0..leaves.len() as u32).find(differs).unwrap_or(leaf);
        let page = calls::output(&answered.job, 0);
        let page = match self.exists(&page) && d.chance(2) {
            true => page,
            false => NONE,
        };
        let name = self.name(d);
        let call = self.world.proof(answered, &name, position, page);
        if self.send(call, false)?
            && self.world.case(answered).status() == Some(CaseStatus::Resolved)
        {
            self.note(answered);
        }
        Ok(())
    }

    /// Notes how a case ended.
    fn note(&mut self, answered: &Answered) {
        let case = self.world.case(answered);
        let outcome = (case.verdict, case.ground);
        *self.outcomes.entry(outcome).or_default() += 1;
    }

    /// Something about one answer.
    fn about_an_answer(&mut self, d: &mut Draw) -> Done {
        let Some(answered) = self.latest(d) else {
            return self.new_answer(d);
        };
        if !self.exists(&answered.job) {
            return Ok(());
        }
        match d.below(6) {
            0..3 => self.claim(&answered, d)?,
            3 => self.prove(&answered, d)?,
            4 => {
                let claim = self.world.claim(&answered.job);
                self.send(claim, false)?;
            }
            _ => {
                let page = calls::output(&answered.job, 0);
                if let Some(account) = self.world.chain.account(&page)
                    && let Ok(found) = Output::load(&account.data)
                {
                    let call = calls::close_output(answered.job, 0, found.rent_payer);
                    self.send(call, false)?;
                }
                let payer = self.world.job(&answered.job).rent_payer;
                self.send(calls::close_job(answered.job, payer), false)?;
            }
        }
        Ok(())
    }

    /// What has to come next so that a case gets on, done by all.
    fn carry_on(&mut self, answered: &Answered, d: &mut Draw) -> Done {
        let case = self.world.case(answered);
        let now = self.world.chain.slot();
        match case.status() {
            Some(CaseStatus::Opening) => self.post(answered, 0, d)?,
            Some(CaseStatus::Joining) if !case.is_shown() => self.post(answered, 0, d)?,
            Some(CaseStatus::Joining) if d.chance(3) => self.claim(answered, d)?,
            Some(CaseStatus::Joining) => {
                self.world.chain.warp_to(case.commit_start().max(now));
                let mixed = d.chance(3);
                for i in 0..VALIDATORS {
                    let ballot = match mixed {
                        true => d.pick(&[Ballot::Honest, Ballot::Approve, Ballot::Guess(1)]),
                        false => Ballot::Honest,
                    };
                    self.commit(answered, juror(i), ballot, d)?;
                }
            }
            Some(CaseStatus::Jury) => {
                self.world.chain.warp_to(case.commit_end().max(now));
                self.reveal(answered, 20, d)?;
            }
            _ => {
                for i in 0..VALIDATORS {
                    let call = self.world.collection(answered, key(&juror(i)));
                    self.send(call, false)?;
                }
            }
        }
        if d.chance(2) {
            self.resolve(answered, d)?;
        }
        Ok(())
    }

    /// Output and leaves, some of them left out once in `gaps` times.
    fn post(&mut self, answered: &Answered, gaps: u64, d: &mut Draw) -> Done {
        let tampered = gaps > 0 && d.chance(12);
        let each = 1 + d.below(2) as usize;
        let mut calls = self.world.outputs(answered);
        calls.extend(self.world.openings(answered, each));
        for call in calls {
            if gaps > 0 && d.chance(gaps) {
                continue;
            }
            let call = self.tamper(call, tampered, d);
            self.send(call, tampered)?;
        }
        Ok(())
    }

    fn commit(&mut self, answered: &Answered, name: String, ballot: Ballot, d: &mut Draw) -> Done {
        let tampered = d.chance(40);
        let call = self.world.commit(answered, &name, ballot);
        let call = self.tamper(call, tampered, d);
        if self.send(call, tampered)? {
            self.ballots.insert((answered.job, name), ballot);
        }
        Ok(())
    }

    /// Everybody reveals what it committed to, but once in `silent` times.
    fn reveal(&mut self, answered: &Answered, silent: u64, d: &mut Draw) -> Done {
        let tampered = d.chance(40);
        for name in (0..VALIDATORS).map(juror) {
            let ballot = self.ballots.get(&(answered.job, name.clone()));
            let ballot = ballot.copied().unwrap_or(Ballot::Honest);
            if d.chance(silent) {
                continue;
            }
            let call = self.world.reveal(answered, &name, ballot);
            let call = self.tamper(call, tampered, d);
            self.send(call, tampered)?;
        }
        Ok(())
    }

    fn resolve(&mut self, answered: &Answered, d: &mut Draw) -> Done {
        let tampered = d.chance(12);
        let call = self.world.resolve(answered);
        let call = self.tamper(call, tampered, d);
        if self.send(call, tampered)? && self.has_case(answered) {
            self.note(answered);
        }
        Ok(())
    }

    /// Something about one case, mostly what may come next.
    fn about_a_case(&mut self, d: &mut Draw) -> Done {
        let Some(answered) = self.latest(d) else {
            return self.new_answer(d);
        };
        if !self.exists(&answered.job) || !self.has_case(&answered) {
            return self.about_an_answer(d);
        }
        if d.chance(2) {
            return self.carry_on(&answered, d);
        }
        let next: &[u64] = match self.world.case(&answered).status() {
            Some(CaseStatus::Opening) => &[0, 0, 0, 4],
            Some(CaseStatus::Joining) => &[0, 1, 1, 2, 2, 4],
            Some(CaseStatus::Jury) => &[2, 3, 3, 3, 4],
            _ => &[5, 5, 6],
        };
        let kind = match d.chance(8) {
            true => d.below(7),
            false => d.pick(next),
        };
        match kind {
            0 => self.post(&answered, 8, d),
            1 => self.claim(&answered, d),
            2 => {
                for i in 0..VALIDATORS {
                    if d.chance(3) {
                        continue;
                    }
                    let ballot = d.pick(&[
                        Ballot::Honest,
                        Ballot::Honest,
                        Ballot::Honest,
                        Ballot::Approve,
                        Ballot::Lazy,
                        Ballot::Guess(1),
                        Ballot::Guess(i as u32 + 2),
                    ]);
                    self.commit(&answered, juror(i), ballot, d)?;
                }
                Ok(())
            }
            3 => self.reveal(&answered, 6, d),
            4 => self.resolve(&answered, d),
            5 => {
                let tampered = d.chance(12);
                let authority = key(&self.name(d));
                let call = self.world.collection(&answered, authority);
                let call = self.tamper(call, tampered, d);
                self.send(call, tampered).map(drop)
            }
            _ => {
                let call = self.world.closing(&answered);
                self.send(call, false).map(drop)
            }
        }
    }

    /// Validators change, leave, come back.
    fn about_a_validator(&mut self, d: &mut Draw) -> Done {
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

    pub fn step(&mut self, seed: u64) -> Done {
        let mut d = Draw(seed);
        match d.below(16) {
            0..3 => {
                self.wait(&mut d);
                Ok(())
            }
            3 => self.new_answer(&mut d),
            4..7 => self.about_an_answer(&mut d),
            7 => self.about_a_validator(&mut d),
            _ => self.about_a_case(&mut d),
        }
    }
}
