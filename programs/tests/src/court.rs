//! Disputes step by step: a network of any size with a jury of any size, answered jobs, and a call for each
//! step of each party.

use mythic_interface::dispute::chunks;
use mythic_interface::hash::{self, Hash, sha256};
use mythic_interface::ix::{self, Challenger, Juror, NamedResult, Proof};
use mythic_interface::params::Params;
use mythic_interface::sortition::sample_slot;
use mythic_interface::state::{
    Config, Dispute, DisputeStatus, FinishReason, Key, NO_KEY, Validator,
};
use solana_instruction::Instruction as Call;

use crate::answer::{Answer, Lie, guess};
use crate::calls::{self, Request};
use crate::chain::SOL;
use crate::keys::{key, operator};
use crate::world::{CALIBRATED, EXACT, World, model, spec};

/// Slots from a result to the first in which its sample is known.
pub const SAMPLE_KNOWN: u64 = 21;
/// Most lamports of bond that the tests' challengers offer.
pub const ANY_BOND: u64 = 10 * SOL;

/// Name of validator `i` of a court.
pub fn juror(i: usize) -> String {
    format!("n{i}")
}

/// How a juror votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vote {
    /// Its own computation.
    Honest,
    /// Nothing is wrong, whatever there is.
    Approve,
    /// Made-up numbers that show fraud; equal salts agree.
    Guess(u32),
}

/// An answered job.
#[derive(Clone, Debug)]
pub struct Case {
    pub job: Key,
    pub answer: Answer,
    /// Authority of who submitted.
    pub submitter: Key,
    /// Number of the model.
    pub model: u8,
}

/// Models and `validators` validators `n0`, `n1`, … with 2 SOL each that serve them, on a network with a
/// jury of `seats`; users and a grant as in [`World::new`].
pub fn court(validators: usize, seats: u16, change: impl FnOnce(&mut Params)) -> World {
    let mut world = World::new();
    let mut params = Params::dev();
    params.rules.jury_seats.set(seats);
    change(&mut params);
    let call = calls::update_config(key("admin"), key("foundation"), &params);
    world.chain.must(call);
    for n in [EXACT, CALIBRATED] {
        let call = calls::register_model(key("payer"), key("registrant"), &spec(n), "checked");
        world.chain.must(call);
    }
    for i in 0..validators {
        world.seat(&juror(i), 2 * SOL);
    }
    world.mature();
    world
}

impl World {
    /// Lets the time pass after which who has registered may challenge and judge.
    pub fn mature(&mut self) {
        let config: Config = self.chain.load(&calls::config());
        self.chain
            .advance(config.params.rules.maturity_slots.get().into());
    }

    /// Registers a validator that serves models 1, [`EXACT`] and [`CALIBRATED`].
    pub fn seat(&mut self, name: &str, stake: u64) {
        self.chain.fund(key(name), 1_000 * SOL);
        let models = [model(1), model(EXACT), model(CALIBRATED)];
        let call = calls::register_validator(key(name), operator(name), stake, &models);
        self.chain.must(call);
    }

    /// A job of alice through the gateway, for `submitter`.
    pub fn brief(&mut self, n: u8, submitter: &str, tokens: u32) -> Request {
        let mut request = self.request("alice", "gateway");
        request.model = model(n);
        request.validator = Some((key(submitter), operator(submitter)));
        request.arguments.max_output_tokens.set(tokens);
        request
    }

    /// A job answered by `submitter` with `tokens` tokens.
    pub fn answered(&mut self, n: u8, submitter: &str, tokens: u32, lie: Lie) -> Case {
        let request = self.brief(n, submitter, tokens);
        let job = self.must_request(&request);
        self.answer(&job, submitter, tokens, lie)
    }

    /// Answers a job that `submitter` has accepted.
    pub fn answer(&mut self, job: &Key, submitter: &str, tokens: u32, lie: Lie) -> Case {
        let found = self.job(job);
        let n = (1..=CALIBRATED).find(|n| model(*n) == found.terms.model);
        let answer = Answer::new(job, &found, tokens, FinishReason::Eos, lie);
        let call = calls::submit_result(operator(submitter), key(submitter), *job, &answer.result);
        self.chain.must(call);
        Case {
            job: *job,
            answer,
            submitter: key(submitter),
            model: n.expect("a model of the tests"),
        }
    }

    /// Goes to the first slot in which the sample of a case is known.
    pub fn reach_sample(&mut self, case: &Case) {
        let slot = self.job(&case.job).submitted_slot.get();
        assert_eq!(sample_slot(slot, 3) + 1, slot + SAMPLE_KNOWN);
        self.chain.warp_to(slot + SAMPLE_KNOWN);
    }

    /// The result as instructions name it.
    pub fn named(&self, case: &Case) -> NamedResult {
        NamedResult::of(case.job, &self.job(&case.job))
    }

    pub fn dispute(&self, address: &Key) -> Dispute {
        self.chain.load(address)
    }

    /// A validator by name.
    pub fn validator(&self, name: &str) -> Validator {
        self.chain.load(&calls::validator(&key(name)))
    }

    /// A challenge that names `positions`.
    pub fn challenge(&self, case: &Case, challenger: &str, positions: &[u32]) -> Call {
        let state = self.job(&case.job);
        ix::verify_logits(&party(challenger), case.job, &state, ANY_BOND, positions)
    }

    /// Challenges; the dispute's address.
    pub fn must_challenge(&mut self, case: &Case, challenger: &str) -> Key {
        let call = self.challenge(case, challenger, &[]);
        self.chain.must(call);
        calls::dispute(&case.job, &key(challenger))
    }

    /// The postings of a case's output under a dispute.
    pub fn outputs(&self, case: &Case, dispute: &Key) -> Vec<Call> {
        let named = self.named(case);
        (0..chunks(case.answer.result.output_tokens.get()))
            .map(|chunk| {
                let tail = case.answer.chunk(chunk);
                ix::post_output(&named, key("payer"), *dispute, chunk, &tail)
            })
            .collect()
    }

    /// The checked positions of a dispute.
    pub fn positions(&self, dispute: &Key) -> Vec<u32> {
        let dispute = self.dispute(dispute);
        let leaves = dispute.checked_leaves().iter();
        leaves.map(|leaf| leaf.position.get()).collect()
    }

    /// The openings of a case under a dispute, `each` leaves a call, leaves of one page together.
    pub fn openings(&self, case: &Case, dispute: &Key, each: usize) -> Vec<Call> {
        let named = self.named(case);
        let positions = self.positions(dispute);
        positions
            .chunk_by(|a, b| a / 2_048 == b / 2_048)
            .flat_map(|page| page.chunks(each))
            .map(|some| {
                let tail: Vec<u8> = some
                    .iter()
                    .flat_map(|position| case.answer.opening(*position))
                    .collect();
                ix::post_openings(&named, *dispute, some[0] / 2_048, &tail)
            })
            .collect()
    }

    /// Posts everything that is asked for; the jury is called.
    pub fn must_answer(&mut self, case: &Case, dispute: &Key) {
        for call in self.outputs(case, dispute) {
            self.chain.must(call);
        }
        for call in self.openings(case, dispute, 2) {
            self.chain.must(call);
        }
        assert_eq!(self.dispute(dispute).status(), Some(DisputeStatus::Jury));
    }

    /// The vector that a vote stands for.
    pub fn vector(&self, case: &Case, dispute: &Key, vote: Vote) -> Vec<u8> {
        let positions = self.positions(dispute);
        match vote {
            Vote::Honest => case.answer.vector(&positions),
            Vote::Approve => case.answer.approval(&positions),
            Vote::Guess(salt) => guess(&positions, salt),
        }
    }

    /// The commitment of a juror to a vote.
    pub fn commit(&self, case: &Case, dispute: &Key, name: &str, vote: Vote) -> Call {
        let vector = self.vector(case, dispute, vote);
        let commitment = hash::juror_commitment(dispute, &key(name), &salt(name), &vector);
        ix::commit_juror(&seat(dispute, name), &self.dispute(dispute), commitment)
    }

    /// The reveal of a juror's vote.
    pub fn reveal(&self, case: &Case, dispute: &Key, name: &str, vote: Vote) -> Call {
        let vector = self.vector(case, dispute, vote);
        let state = self.dispute(dispute);
        ix::reveal_juror(&seat(dispute, name), &state, salt(name), &vector)
    }

    /// Whether a validator sits on a jury.
    pub fn sits(&self, dispute: &Key, name: &str) -> bool {
        let dispute = self.dispute(dispute);
        dispute.jury().iter().any(|seat| seat.juror == key(name))
    }

    /// Lets everybody commit who may win a seat; who ranks too low is refused, as it must be.
    pub fn commits(&mut self, case: &Case, dispute: &Key, votes: &[(String, Vote)]) {
        let start = self.dispute(dispute).commit_start();
        self.chain.warp_to(start.max(self.chain.slot()));
        for (name, vote) in votes {
            let call = self.commit(case, dispute, name, *vote);
            if let Err(refusal) = self.chain.send(&[call]) {
                use mythic_interface::error::MythicError::NotSeated;
                assert_eq!(refusal.mythic(), Some(NotSeated), "{refusal:?}");
            }
        }
    }

    /// Lets everybody reveal who sits.
    pub fn reveals(&mut self, case: &Case, dispute: &Key, votes: &[(String, Vote)]) {
        let end = self.dispute(dispute).commit_end();
        self.chain.warp_to(end.max(self.chain.slot()));
        for (name, vote) in votes {
            if self.sits(dispute, name) {
                let call = self.reveal(case, dispute, name, *vote);
                self.chain.must(call);
            }
        }
    }

    /// The resolution of a dispute.
    pub fn resolve(&self, dispute: &Key) -> Call {
        let found = self.dispute(dispute);
        ix::resolve_dispute(dispute, found.job, &self.job(&found.job))
    }

    /// Commits, reveals, resolves; the resolved dispute.
    pub fn must_judge(&mut self, case: &Case, dispute: &Key, votes: &[(String, Vote)]) -> Dispute {
        self.commits(case, dispute, votes);
        self.reveals(case, dispute, votes);
        let call = self.resolve(dispute);
        self.chain.must(call);
        self.dispute(dispute)
    }

    /// Collects whatever a resolved dispute owes anybody.
    pub fn collect_all(&mut self, dispute: &Key) {
        let found = self.dispute(dispute);
        let mut names = vec![found.challenger];
        names.extend(found.jury().iter().map(|seat| seat.juror));
        names.retain(|name| *name != NO_KEY);
        names.sort_unstable();
        names.dedup();
        for name in names {
            let now = self.dispute(dispute);
            let due = now.challenger == name && now.challenger_collected == 0
                || now
                    .jury()
                    .iter()
                    .any(|seat| seat.juror == name && seat.is_due());
            if due {
                self.chain.must(calls::collect_dispute(*dispute, name));
            }
        }
        assert!(self.dispute(dispute).all_collected());
    }

    /// A proof of the leaf at `position`.
    pub fn proof(&self, case: &Case, prover: &str, position: u32, page: Key) -> Call {
        let path = case.answer.path(position);
        let (path, _) = path.as_chunks::<32>();
        let proof = Proof {
            leaf: case.answer.leaves[position as usize],
            path,
            page: (page != calls::NONE).then(|| page.into()),
        };
        ix::prove_fault(&party(prover), case.job, &self.job(&case.job), &proof)
    }
}

/// Somebody who challenges and pays for itself.
pub fn party(name: &str) -> Challenger {
    Challenger {
        payer: key(name).into(),
        operator: operator(name).into(),
        authority: key(name).into(),
    }
}

/// A validator's place in a dispute.
fn seat(dispute: &Key, name: &str) -> Juror {
    Juror {
        operator: operator(name).into(),
        authority: key(name).into(),
        dispute: (*dispute).into(),
    }
}

/// The salt of a juror's commitment.
pub fn salt(name: &str) -> Hash {
    sha256(&[b"salt", name.as_bytes()])
}

/// Votes of validators `from..to`.
pub fn votes(range: core::ops::Range<usize>, vote: Vote) -> Vec<(String, Vote)> {
    range.map(|i| (juror(i), vote)).collect()
}
