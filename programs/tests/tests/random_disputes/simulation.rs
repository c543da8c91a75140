//! What a random run does to the world, and what it remembers of it.

use std::collections::BTreeMap;

use mythic_interface::ix::Tag;
use mythic_interface::state::*;
use mythic_program_tests::calls;
use mythic_program_tests::court::{Answered, Ballot, juror};
use mythic_program_tests::draw::Draw;
use mythic_program_tests::world::World;
use proptest::test_runner::TestCaseError;
use solana_instruction::Instruction as Call;
use solana_instruction::error::InstructionError;
use solana_transaction_error::TransactionError;

/// Validators of a court.
pub const VALIDATORS: usize = 7;

pub struct Simulation {
    pub world: World,
    pub answers: Vec<Answered>,
    pub ballots: BTreeMap<(Key, String), Ballot>,
    pub succeeded: BTreeMap<u8, u64>,
    pub outcomes: BTreeMap<(u8, u8), u64>,
}

impl Simulation {
    pub fn name(&self, d: &mut Draw) -> String {
        juror(d.below(VALIDATORS as u64) as usize)
    }

    /// Sends a call; whether it succeeded. A refusal must be the program's own.
    pub fn send(&mut self, call: Call, tampered: bool) -> Result<bool, TestCaseError> {
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

    pub fn exists(&self, address: &Key) -> bool {
        self.world.chain.account(address).is_some()
    }

    /// Whether an answer has a case, resolved or not.
    pub fn has_case(&self, answered: &Answered) -> bool {
        let account = self.world.chain.account(&calls::case(&answered.job));
        account.is_some_and(|account| Case::load(&account.data).is_ok())
    }

    /// To the edge of some phase that lies ahead, or a few slots on.
    pub fn wait(&mut self, d: &mut Draw) {
        let now = self.world.chain.slot();
        let mut edges: Vec<u64> = Vec::new();
        for answered in &self.answers {
            if self.has_case(answered) {
                let case = self.world.case(answered);
                edges.extend(case.due_slot());
                match case.status() {
                    Some(CaseStatus::Opening) => edges.push(case.leaves_due()),
                    Some(CaseStatus::Resolved) | None => {}
                    Some(_) => edges.extend([
                        case.joining_end(),
                        case.commit_start(),
                        case.commit_end(),
                        case.reveal_end(),
                    ]),
                }
            }
            if self.exists(&answered.job) {
                let job = self.world.job(&answered.job);
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
}
