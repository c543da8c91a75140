//! Cases step by step: a network of any size with a jury of any size, answered jobs, and a call for each
//! step of each party. A job has one case, so whatever concerns a case is asked of the answer.

use mythic_interface::hash::{self, Hash, sha256};
use mythic_interface::ix::{self, Claimant, Juror, NamedResult, Proof, Statement};
use mythic_interface::output::chunks;
use mythic_interface::params::Params;
use mythic_interface::sortition::sample_slot;
use mythic_interface::state::{
    Case, CaseStatus, Claim, ClaimKind, Config, FinishReason, Key, Output, SamplingProfile,
    Validator, Votes,
};
use solana_instruction::Instruction as Call;

use crate::answer::{Answer, Lie, guess};
use crate::calls::{self, Request};
use crate::chain::SOL;
use crate::keys::{key, operator};
use crate::world::{CALIBRATED, EXACT, World, model, spec};

/// Slots from a result to the first in which its sample is known.
pub const SAMPLE_KNOWN: u64 = 21;
/// Most lamports of bond that the tests' claimants offer.
pub const ANY_BOND: u64 = 100 * SOL;

/// Name of validator `i` of a court.
pub fn juror(i: usize) -> String {
    format!("n{i}")
}

/// How a juror votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ballot {
    /// Its own computation.
    Honest,
    /// Its own work, and that nothing is wrong, whatever there is.
    Approve,
    /// That nothing is wrong, without any work.
    Lazy,
    /// Its own work, and made-up findings that show fraud; equal salts agree.
    Guess(u32),
}

/// An answered job.
#[derive(Clone, Debug)]
pub struct Answered {
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
    /// Lets the time pass after which who has registered may claim and judge.
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
    pub fn answered(&mut self, n: u8, submitter: &str, tokens: u32, lie: Lie) -> Answered {
        let request = self.brief(n, submitter, tokens);
        let job = self.must_request(&request);
        self.answer(&job, submitter, tokens, lie)
    }

    /// The same by options, which are sampling profile 2, to the exact model.
    pub fn by_options(&mut self, submitter: &str, tokens: u32) -> Request {
        let mut request = self.brief(EXACT, submitter, tokens);
        request.arguments.sampling_profile = SamplingProfile::SeededFull as u8;
        request.arguments.options_hash = hash::options_hash(&[5; 16], b"options");
        request
    }

    /// Answers a job that `submitter` has accepted.
    pub fn answer(&mut self, job: &Key, submitter: &str, tokens: u32, lie: Lie) -> Answered {
        self.answer_until(job, submitter, (tokens, FinishReason::Eos), lie)
    }

    /// The same with so many tokens, ended so.
    pub fn answer_until(
        &mut self,
        job: &Key,
        submitter: &str,
        (tokens, finish): (u32, FinishReason),
        lie: Lie,
    ) -> Answered {
        let found = self.job(job);
        let n = (1..=CALIBRATED).find(|n| model(*n) == found.terms.model);
        let answer = Answer::new(job, &found, tokens, finish, lie);
        let call = calls::submit_result(operator(submitter), key(submitter), *job, &answer.result);
        self.chain.must(call);
        Answered {
            job: *job,
            answer,
            submitter: key(submitter),
            model: n.expect("a model of the tests"),
        }
    }

    /// Goes to the first slot in which the sample of an answer is known.
    pub fn reach_sample(&mut self, answered: &Answered) {
        let slot = self.job(&answered.job).submitted_slot.get();
        assert_eq!(sample_slot(slot, 3) + 1, slot + SAMPLE_KNOWN);
        self.chain.warp_to(slot + SAMPLE_KNOWN);
    }

    /// The result as instructions name it.
    pub fn named(&self, answered: &Answered) -> NamedResult {
        NamedResult::of(answered.job, &self.job(&answered.job))
    }

    pub fn case(&self, answered: &Answered) -> Case {
        self.chain.load(&calls::case(&answered.job))
    }

    /// A validator by name.
    pub fn validator(&self, name: &str) -> Validator {
        self.chain.load(&calls::validator(&key(name)))
    }

    /// A claim by `name`.
    pub fn claiming(
        &self,
        answered: &Answered,
        name: &str,
        kind: ClaimKind,
        positions: &[u32],
    ) -> Call {
        let state = self.job(&answered.job);
        let statement = Statement {
            kind,
            bond: ANY_BOND,
            positions,
            served: None,
        };
        ix::verify_logits(&party(name), answered.job, &state, &statement)
    }

    /// The claim by `name` that an answer is false.
    pub fn objection(&self, answered: &Answered, name: &str, positions: &[u32]) -> Call {
        self.claiming(answered, name, ClaimKind::False, positions)
    }

    /// Says `false`; opens the case or joins it.
    pub fn must_object(&mut self, answered: &Answered, name: &str, positions: &[u32]) {
        let call = self.objection(answered, name, positions);
        self.chain.must(call);
    }

    /// Opens the case by saying `withheld`.
    pub fn must_miss(&mut self, answered: &Answered, name: &str) {
        let call = self.claiming(answered, name, ClaimKind::Withheld, &[]);
        self.chain.must(call);
    }

    /// The postings of an answer's output.
    pub fn outputs(&self, answered: &Answered) -> Vec<Call> {
        let named = self.named(answered);
        (0..chunks(answered.answer.result.output_tokens.get()))
            .map(|chunk| {
                let tail = answered.answer.chunk(chunk);
                let case = calls::case(&answered.job);
                ix::post_output(&named, key("payer"), case, chunk, &tail)
            })
            .collect()
    }

    /// The openings of what is asked for and not shown, `each` leaves a call, leaves of one page together.
    pub fn openings(&self, answered: &Answered, each: usize) -> Vec<Call> {
        let case = self.case(answered);
        let groups = case.claims().iter().flat_map(Claim::group);
        let missing = case.sample().iter().chain(groups);
        let missing = missing.filter(|leaf| leaf.present == 0);
        let mut positions: Vec<u32> = missing.map(|leaf| leaf.position.get()).collect();
        positions.sort_unstable();
        positions.dedup();
        positions
            .chunk_by(|a, b| a / 2_048 == b / 2_048)
            .flat_map(|page| page.chunks(each))
            .map(|some| self.opening(answered, some))
            .collect()
    }

    /// The opening of some positions of one page.
    pub fn opening(&self, answered: &Answered, positions: &[u32]) -> Call {
        let named = self.named(answered);
        let leaves = positions.iter().flat_map(|p| answered.answer.opening(*p));
        let tail: Vec<u8> = leaves.collect();
        let case = calls::case(&answered.job);
        ix::post_openings(&named, case, positions[0] / 2_048, &tail)
    }

    /// Posts everything that is asked for and not there.
    pub fn must_show(&mut self, answered: &Answered) {
        if self.case(answered).status() == Some(CaseStatus::Opening) {
            for call in self.outputs(answered) {
                self.chain.must(call);
            }
        }
        for call in self.openings(answered, 2) {
            self.chain.must(call);
        }
        assert!(self.case(answered).is_shown());
    }

    /// The vote that a ballot stands for.
    pub fn body(&self, answered: &Answered, ballot: Ballot) -> Vec<u8> {
        let (answer, case) = (&answered.answer, self.case(answered));
        match ballot {
            Ballot::Honest => answer.vote(&case),
            Ballot::Approve => answer.approval(&case),
            Ballot::Lazy => {
                let mut body = answer.approval(&case);
                if case.exact != 0 {
                    body[..32].copy_from_slice(&sha256(&[b"no work"]));
                }
                body
            }
            Ballot::Guess(salt) => guess(answer, &case, salt),
        }
    }

    /// The commitment of a juror to a vote.
    pub fn commit(&self, answered: &Answered, name: &str, ballot: Ballot) -> Call {
        let address = calls::case(&answered.job);
        let body = self.body(answered, ballot);
        let commitment = hash::juror_commitment(&address, &key(name), &salt(name), &body);
        ix::commit_juror(&seat(&address, name), &self.case(answered), commitment)
    }

    /// The reveal of a juror's vote.
    pub fn reveal(&self, answered: &Answered, name: &str, ballot: Ballot) -> Call {
        let body = self.body(answered, ballot);
        let address = calls::case(&answered.job);
        let state = self.case(answered);
        ix::reveal_juror(&seat(&address, name), &state, salt(name), &body)
    }

    /// Seats of a validator.
    pub fn seats(&self, answered: &Answered, name: &str) -> usize {
        let case = self.case(answered);
        let own = case.jury().iter().filter(|seat| seat.juror == key(name));
        own.count()
    }

    /// Whether a validator sits on the jury.
    pub fn sits(&self, answered: &Answered, name: &str) -> bool {
        self.seats(answered, name) != 0
    }

    /// Lets everybody commit. Who wins no seat counts all the same, unless another has its bit.
    pub fn commits(&mut self, answered: &Answered, ballots: &[(String, Ballot)]) {
        let start = self.case(answered).commit_start();
        self.chain.warp_to(start.max(self.chain.slot()));
        for (name, ballot) in ballots {
            let call = self.commit(answered, name, *ballot);
            if let Err(refusal) = self.chain.send(&[call]) {
                use mythic_interface::error::MythicError::AlreadyCommitted;
                assert_eq!(refusal.mythic(), Some(AlreadyCommitted), "{refusal:?}");
                assert!(self.case(answered).counts(&key(name)), "{name}");
            }
        }
    }

    /// Lets everybody reveal who sits.
    pub fn reveals(&mut self, answered: &Answered, ballots: &[(String, Ballot)]) {
        let end = self.case(answered).commit_end();
        self.chain.warp_to(end.max(self.chain.slot()));
        for (name, ballot) in ballots {
            if self.sits(answered, name) {
                let call = self.reveal(answered, name, *ballot);
                self.chain.must(call);
            }
        }
    }

    /// The resolution of a case.
    pub fn resolve(&self, answered: &Answered) -> Call {
        let state = self.case(answered);
        let job = self.job(&answered.job);
        ix::resolve_case(calls::case(&answered.job), &state, &job)
    }

    /// Waits until it is due and resolves; the resolved case.
    pub fn must_resolve(&mut self, answered: &Answered) -> Case {
        let due = self.case(answered).due_slot().expect("open");
        self.chain.warp_to(due.max(self.chain.slot()));
        let call = self.resolve(answered);
        self.chain.must(call);
        self.case(answered)
    }

    /// Commits, reveals, resolves; the resolved case.
    pub fn must_judge(&mut self, answered: &Answered, ballots: &[(String, Ballot)]) -> Case {
        self.commits(answered, ballots);
        self.reveals(answered, ballots);
        self.must_resolve(answered)
    }

    /// The collection for one validator.
    pub fn collection(&self, answered: &Answered, authority: Key) -> Call {
        let gone = self.chain.account(&calls::validator(&authority));
        let closed = gone.is_none_or(|account| account.data.is_empty());
        calls::collect_case(calls::case(&answered.job), authority, closed)
    }

    /// Collects whatever a resolved case owes anybody.
    pub fn collect_all(&mut self, answered: &Answered) {
        for name in self.case(answered).due_parties() {
            let call = self.collection(answered, name);
            self.chain.must(call);
        }
        assert!(self.case(answered).all_collected());
    }

    /// The closing of a case and its votes.
    pub fn closing(&self, answered: &Answered) -> Call {
        let case = self.case(answered);
        let judged = case.false_count != 0;
        let votes = judged.then(|| self.chain.load::<Votes>(&calls::votes(&answered.job)));
        ix::close_case(calls::case(&answered.job), &case, votes.as_ref())
    }

    /// Everything that these keys have: stake, earnings, and the wallets that paid for rent and bonds.
    pub fn wealth(&self, names: &[&str]) -> u64 {
        let of = |name: &&str| {
            let validator = self.validator(name);
            let inside = validator.whole_stake() + validator.claimable.get();
            inside + self.chain.lamports(&key(name))
        };
        names.iter().map(of).sum()
    }

    /// Collects and closes what a resolved case holds, its page of output too, so that all rent is back.
    pub fn wind_up(&mut self, answered: &Answered) {
        self.collect_all(answered);
        let delay = self.case(answered).rules.close_delay_slots;
        self.chain.advance(delay.get().into());
        let close = self.closing(answered);
        self.chain.must(close);
        if let Some(page) = self.chain.account(&calls::output(&answered.job, 0)) {
            let payer = Output::load(&page.data).expect("a page").rent_payer;
            let close = calls::close_output(answered.job, 0, payer);
            self.chain.must(close);
        }
    }

    /// A proof of the leaf at `position`.
    pub fn proof(&self, answered: &Answered, prover: &str, position: u32, page: Key) -> Call {
        let path = answered.answer.path(position);
        let (path, _) = path.as_chunks::<32>();
        let proof = Proof {
            leaf: answered.answer.leaves[position as usize],
            path,
            page: (page != calls::NONE).then(|| page.into()),
        };
        ix::prove_fault(
            &party(prover),
            answered.job,
            &self.job(&answered.job),
            &proof,
        )
    }
}

/// Somebody who claims and pays for itself.
pub fn party(name: &str) -> Claimant {
    Claimant {
        payer: key(name).into(),
        operator: operator(name).into(),
        authority: key(name).into(),
    }
}

/// A validator's place in a case.
pub fn seat(case: &Key, name: &str) -> Juror {
    Juror {
        operator: operator(name).into(),
        authority: key(name).into(),
        case: (*case).into(),
        served: None,
    }
}

/// The salt of a juror's commitment.
pub fn salt(name: &str) -> Hash {
    sha256(&[b"salt", name.as_bytes()])
}

/// Ballots of validators `from..to`.
pub fn ballots(range: core::ops::Range<usize>, ballot: Ballot) -> Vec<(String, Ballot)> {
    range.map(|i| (juror(i), ballot)).collect()
}
