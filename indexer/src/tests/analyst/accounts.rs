//! The bytes of the accounts of a made network.

use bytemuck::Zeroable;
use mythic_interface::le::Text;
use mythic_interface::params::Params;
use mythic_interface::state::{
    Case, CaseStatus, ClaimKind, Ground, Job, Model, Outcome as ClaimOutcome, Treasury, Validator,
    Vault, Verdict,
};

use super::world::{Balances, Fact, MODEL, OWNER, Outcome, VALIDATOR, key};
use crate::tests::chain::header;

/// What a job may cost, and what its vault holds for it.
pub const CEILING: u64 = 50_000;
/// What a validator loses with a slashed job.
pub const SLASH: u64 = 2_001;
/// What each validator begins with.
pub const STAKE: u64 = 1_000_000_000;
/// What each vault begins with.
pub const DEPOSIT: u64 = 1_000_000_000_000;

pub fn job(fact: &Fact, status: u8) -> Vec<u8> {
    let mut job = Job::zeroed();
    let ended = status > 4;
    job.header = header(7, status, u64::from(status));
    job.terms.owner = key(OWNER, fact.owner);
    job.terms.requester = key(OWNER, fact.owner);
    job.terms.model = key(MODEL, fact.model);
    job.terms.prompt_tokens = 100.into();
    job.terms.max_output_tokens = 500.into();
    job.terms.price_in = 100.into();
    job.terms.price_out = 200.into();
    job.terms.rules = Params::dev().rules;
    job.terms.prompt_source = Text::new("http://gateway").unwrap();
    job.rent_payer = key(OWNER, fact.owner);
    job.requested_slot = fact.requested.into();
    job.accepted_slot = fact.accepted.into();
    job.submitted_slot = fact.submitted.into();
    job.case_slot = fact.disputed.into();
    job.ended_slot = fact.ended.into();
    job.deadline_slot = (fact.requested + 500).into();
    job.ceiling = CEILING.into();
    if fact.accepted > 0 {
        job.validator = key(VALIDATOR, fact.validator);
    }
    if fact.submitted > 0 {
        job.output_tokens = fact.output_tokens.into();
        job.finish_reason = 1;
        job.fingerprint = fact.key;
    }
    if ended {
        job.end_reason = match fact.outcome {
            Outcome::Settled => 1,
            Outcome::Refunded => 2,
            Outcome::Slashed => 7,
        };
        job.fee = fact.fee.into();
        job.validator_amount = fact.validator_lamports().into();
        job.foundation_amount = fact.foundation_lamports().into();
        job.burned_amount = fact.burned_lamports().into();
        job.refunded_amount = (CEILING - fact.fee).into();
    }
    bytemuck::bytes_of(&job).to_vec()
}

pub fn vault(owner: u64, balances: &Balances) -> Vec<u8> {
    let mut vault = Vault::zeroed();
    vault.header = header(5, 1, balances.seq + 1);
    vault.owner = key(OWNER, owner);
    vault.rent_payer = key(OWNER, owner);
    vault.deposited = DEPOSIT.into();
    vault.balance = (DEPOSIT - balances.spent).into();
    vault.held = balances.held.into();
    vault.spent = balances.spent.into();
    vault.created_slot = 1.into();
    bytemuck::bytes_of(&vault).to_vec()
}

pub fn validator(n: u64, balances: &Balances) -> Vec<u8> {
    let mut validator = Validator::zeroed();
    validator.header = header(4, 1, balances.seq + 1);
    validator.authority = key(VALIDATOR + 100, n);
    validator.operator = key(VALIDATOR + 101, n);
    validator.rent_payer = key(VALIDATOR + 100, n);
    validator.stake = (STAKE - balances.slashed).into();
    validator.claimable = balances.earned.into();
    validator.earned = balances.earned.into();
    validator.slashed = balances.slashed.into();
    validator.jobs_settled = balances.settled.into();
    validator.registered_slot = 1.into();
    validator.gpu_name = Text::new("none").unwrap();
    bytemuck::bytes_of(&validator).to_vec()
}

/// A model whose prices have changed so many times.
pub fn model(n: u64, changes: u64) -> Vec<u8> {
    let mut model = Model::zeroed();
    model.header = header(3, 1, changes + 1);
    model.identity = key(MODEL + 100, n);
    model.registrant = key(OWNER, n);
    model.name = Text::new(&format!("model-{n}")).unwrap();
    model.price_in = (100 + 10 * changes as u32).into();
    model.price_out = (200 + 10 * changes as u32).into();
    model.fee_burned = 1_000_000.into();
    model.registered_slot = 1.into();
    bytemuck::bytes_of(&model).to_vec()
}

pub fn treasury(balances: &Balances) -> Vec<u8> {
    let mut treasury = Treasury::zeroed();
    treasury.header = header(2, 1, balances.seq + 1);
    treasury.balance = balances.earned.into();
    treasury.received = balances.earned.into();
    bytemuck::bytes_of(&treasury).to_vec()
}

/// The case of a slashed job, opened or resolved.
pub fn case(job: &Fact, resolved: bool) -> Vec<u8> {
    let mut case = Box::new(Case::zeroed());
    let status = if resolved {
        CaseStatus::Resolved
    } else {
        CaseStatus::Opening
    };
    case.header = header(8, status as u8, 1 + u64::from(resolved));
    case.job = job.key;
    case.model = key(MODEL, job.model);
    case.submitter = key(VALIDATOR + 100, job.validator);
    case.rules = Params::dev().rules;
    case.jury_seats = 3;
    case.requested_slot = job.requested.into();
    case.submitted_slot = job.submitted.into();
    case.opened_slot = job.disputed.into();
    (case.claim_count, case.false_count) = (1, 1);
    let claim = &mut case.claims[0];
    claim.claimant = key(
        VALIDATOR + 100,
        (job.validator + 1) % super::world::VALIDATORS,
    );
    claim.kind = ClaimKind::False as u8;
    claim.claimed_slot = job.disputed.into();
    claim.at_stake = 1_000.into();
    if resolved {
        claim.outcome = ClaimOutcome::Right as u8;
        claim.amount = 2_000.into();
        claim.collected = 1;
        case.resolved_slot = job.ended.into();
        case.verdict = Verdict::Guilty as u8;
        case.ground = Ground::Unanswered as u8;
        case.slashed_amount = SLASH.into();
        case.claimants_amount = 2_000.into();
        case.jurors_amount = 1_000.into();
        case.burned_amount = 1.into();
    }
    bytemuck::bytes_of(&*case).to_vec()
}
