//! What a random run does to the world, and what it remembers of it.

use std::collections::BTreeMap;

use mythic_interface::ix::Tag;
use mythic_interface::state::*;
use mythic_program_tests::court::{Case, Vote, juror};
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
    pub cases: Vec<Case>,
    pub disputes: Vec<(usize, Key)>,
    pub votes: BTreeMap<(Key, String), Vote>,
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

    /// To the edge of some phase that lies ahead, or a few slots on.
    pub fn wait(&mut self, d: &mut Draw) {
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
}
