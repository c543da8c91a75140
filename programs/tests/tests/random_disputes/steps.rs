//! Random steps: cases, disputes, validators.

use mythic_interface::state::*;
use mythic_program_tests::answer::Lie;
use mythic_program_tests::calls::{self, NONE};
use mythic_program_tests::chain::SOL;
use mythic_program_tests::court::{Case, SAMPLE_KNOWN, Vote, juror};
use mythic_program_tests::draw::Draw;
use mythic_program_tests::keys::{key, operator};
use mythic_program_tests::world::{CALIBRATED, EXACT, model};
use proptest::test_runner::TestCaseError;
use solana_instruction::Instruction as Call;

use crate::simulation::{Simulation, VALIDATORS};

impl Simulation {
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

    pub fn step(&mut self, seed: u64) -> Result<(), TestCaseError> {
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
}
