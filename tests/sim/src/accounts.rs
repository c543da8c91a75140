//! Accounts: what an act makes of one, its bytes as the program would store them, and the values that a
//! table must show for it.

use bytemuck::{Zeroable, bytes_of};
use mythic_interface::market::params::MarketParams;
use mythic_interface::market::state::{Lease, LeaseDispute, LeaseEpoch, Provider, Request};
use mythic_interface::params::Params;
use mythic_interface::state::{
    Case, Header, Job, Model, Output, SpendGrant, VERSION, Validator, Vault, Votes,
};
use mythic_interface::{AI_PRECOMPILES_ID, COMPUTE_MARKET_ID};

use crate::story::{AccountId, Act, Kind};

/// Rent of every account.
const RENT: u64 = 1_000_000;
/// Another program.
const STRANGER: [u8; 32] = [0x55; 32];
/// Jobs: open, accepted, submitted, settled, refunded.
const OPEN: u64 = 1;
const ACCEPTED: u64 = 2;
const SUBMITTED: u64 = 3;
const SETTLED: u64 = 5;
const REFUNDED: u64 = 6;
/// Cases: opening, joining, jury, resolved.
const OPENING: u64 = 1;
const JOINING: u64 = 2;
const JURY: u64 = 3;
const RESOLVED: u64 = 4;
/// Seats of every jury, and positions that are checked.
const SEATS: u64 = 3;
const CHECKED: u64 = 4;
/// Bonds of a case, and what its end is about.
const BOND: u64 = 900;
const SLASHED: u64 = 400;
const BURNED: u64 = 30;
const REWARD: u64 = 11;
const OUTPUT_RENT: u64 = 70;
/// Seats that say the same as one, in every vote.
const AGREES: u64 = 7;
/// Requests: accepted, cancelled; leases: active, ended; disputes about them: resolved. All begin with 1.
const TAKEN: u64 = 2;
const CANCELLED: u64 = 3;
const ACTIVE: u64 = 3;
const ENDED: u64 = 5;
const DECIDED: u64 = 3;
/// What a request and a lease pay in, the most proofs of a lease, and a dispute's bond: what answers, and what is at stake.
const DEPOSIT: u64 = 500;
const PROOFS: u64 = 6;
const LEASE_BOND: (u64, u64) = (30, 70);

/// A living account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    pub seq: u64,
    pub lamports: u64,
    /// What the kind makes of them is in [`bytes`] and [`values`].
    n: [u64; 6],
    spoiled: Option<u8>,
}

/// An account after a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Account {
    Live(Content),
    Closed { owner: [u8; 32], lamports: u64 },
}

impl Content {
    /// Whether two differ at most in lamports, which is nothing that the feed tells.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let lamports = self.lamports;
        *self
            == Self {
                lamports,
                ..other.clone()
            }
    }

    pub fn is_readable(&self) -> bool {
        self.spoiled.is_none()
    }

    /// The slot that is part of the identity of a job or a dispute about a lease.
    pub fn first_slot(&self) -> u64 {
        self.n[1]
    }

    /// A job's status as the feed names it.
    pub fn status(&self) -> &'static str {
        match self.n[0] {
            OPEN => "open",
            ACCEPTED => "accepted",
            SUBMITTED => "submitted",
            SETTLED => "settled",
            _ => "refunded",
        }
    }
}

/// What `act` makes of an account in `slot`; `None` if it does nothing.
pub fn apply(kind: Kind, before: Option<&Account>, act: Act, slot: u64) -> Option<Account> {
    let live = match before {
        Some(Account::Live(content)) => Some(content),
        _ => None,
    };
    let Some(old) = live else {
        return (act == Act::Create).then(|| Account::Live(create(kind, slot)));
    };
    let mut new = old.clone();
    match act {
        Act::Create => return None,
        Act::Touch => {}
        Act::Dust => new.lamports += 7,
        Act::Close => {
            return Some(Account::Closed {
                owner: program(kind),
                lamports: 0,
            });
        }
        Act::GiveAway => {
            return Some(Account::Closed {
                owner: STRANGER,
                lamports: old.lamports,
            });
        }
        Act::Spoil(how) => {
            new.seq += 1;
            new.spoiled = Some(how % 3);
        }
        Act::Change(by) => {
            new.seq += 1;
            new.spoiled = None;
            if !change(kind, &mut new, u64::from(by), slot) {
                return None;
            }
        }
    }
    Some(Account::Live(new))
}

/// Whose accounts these are.
fn program(kind: Kind) -> [u8; 32] {
    match kind {
        Kind::Provider | Kind::Request | Kind::Lease | Kind::LeaseDispute => COMPUTE_MARKET_ID,
        _ => AI_PRECOMPILES_ID,
    }
}

fn create(kind: Kind, slot: u64) -> Content {
    let n = match kind {
        Kind::Vault | Kind::Grant => [100, 0, 0, 100, slot, 0],
        Kind::Job => [OPEN, slot, 0, 0, 0, 1_250],
        Kind::Validator => [5_000, 0, 0, 0, slot, 0],
        Kind::Model => [25, 50, 0, 9, slot, 0],
        Kind::Case => [OPENING, slot, 0, 0, 0, 0],
        Kind::Votes => [0; 6],
        Kind::Output => [300, 1, slot, 0, 0, 0],
        Kind::Provider => [5_000, 0, 0, 0, slot, 0],
        Kind::Request | Kind::Lease | Kind::LeaseDispute => [1, slot, 0, 0, 0, 0],
    };
    Content {
        seq: 1,
        lamports: RENT + n[0],
        n,
        spoiled: None,
    }
}

fn change(kind: Kind, new: &mut Content, by: u64, slot: u64) -> bool {
    let n = &mut new.n;
    match kind {
        Kind::Vault | Kind::Grant => {
            n[0] = 100 + by;
            n[1] = by / 3;
            n[2] = by % 5;
            n[3] += by;
        }
        Kind::Validator => {
            // Some writes leave the stake alone.
            if !by.is_multiple_of(3) {
                n[0] = 5_000 + by;
                n[1] = by % 7;
            }
            n[2] = by % 2;
            n[3] += by;
            n[5] += 1;
        }
        Kind::Model => {
            n[0] = 25 + by % 50;
            n[1] = 50 + by % 90;
        }
        Kind::Job => match n[0] {
            OPEN if by.is_multiple_of(5) => (n[0], n[4]) = (REFUNDED, slot),
            OPEN => (n[0], n[2]) = (ACCEPTED, slot),
            ACCEPTED => (n[0], n[3]) = (SUBMITTED, slot),
            SUBMITTED => (n[0], n[4]) = (SETTLED, slot),
            _ => return false,
        },
        Kind::Case => match n[0] {
            OPENING if n[5] < CHECKED && !by.is_multiple_of(3) => n[5] += 1,
            OPENING => (n[0], n[2]) = (JOINING, slot),
            JOINING => (n[0], n[4]) = (JURY, 1),
            JURY if n[4] < SEATS && !by.is_multiple_of(4) => n[4] += 1,
            JURY => (n[0], n[3]) = (RESOLVED, slot),
            _ => return false,
        },
        Kind::Votes => match n[0] {
            ..SEATS => n[0] += 1,
            _ => return false,
        },
        Kind::Output => match n[1].trailing_ones() {
            chunks @ ..3 => (n[1], n[2]) = (n[1] | 1 << chunks, slot),
            _ if n[3] == 0 => n[3] = slot,
            _ => return false,
        },
        Kind::Provider => {
            n[0] = 5_000 + by;
            n[1] = by % 3;
            n[2] += by;
            n[5] += 1;
        }
        Kind::Request => match n[0] {
            1 if by.is_multiple_of(3) => (n[0], n[2]) = (CANCELLED, slot),
            1 => (n[0], n[2]) = (TAKEN, slot),
            _ => return false,
        },
        Kind::Lease => match n[0] {
            1 => (n[0], n[2]) = (ACTIVE, slot),
            // So that epochs of a lease that had the address before, in the same slot, are none of this one.
            ACTIVE if n[4] < PROOFS && slot > n[1] && !by.is_multiple_of(4) => n[4] += 1,
            ACTIVE => (n[0], n[3]) = (ENDED, slot),
            _ => return false,
        },
        Kind::LeaseDispute => match n[0] {
            1 if n[3] == 0 && !by.is_multiple_of(3) => n[3] = 1,
            1 => (n[0], n[2]) = (DECIDED, slot),
            _ => return false,
        },
    }
    new.lamports = RENT + n[0];
    true
}

/// Address of an account.
pub fn key(account: AccountId) -> [u8; 32] {
    let mut key = [0xa0; 32];
    key[..2].copy_from_slice(&(account as u16).to_le_bytes());
    key
}

/// The account with this address.
pub fn by_key(key: &[u8]) -> AccountId {
    match key {
        [low, high, ..] => usize::from(u16::from_le_bytes([*low, *high])),
        _ => usize::MAX,
    }
}

/// Owner, lamports and data of an account.
pub fn stored(kind: Kind, account: &Account) -> ([u8; 32], u64, Vec<u8>) {
    match account {
        Account::Closed { owner, lamports } => (*owner, *lamports, Vec::new()),
        Account::Live(content) => {
            let mut data = bytes(kind, content);
            match content.spoiled {
                // A layout that does not exist, a cut one, an unknown type.
                Some(0) => data[1] = VERSION + 1,
                Some(1) => data.truncate(20),
                Some(_) => data[0] = 0xee,
                None => {}
            }
            (program(kind), content.lamports, data)
        }
    }
}

fn header(discriminator: u8, status: u8, seq: u64) -> Header {
    Header {
        discriminator,
        version: VERSION,
        bump: 255,
        status,
        reserved: [0; 4],
        seq: seq.into(),
    }
}

fn bytes(kind: Kind, content: &Content) -> Vec<u8> {
    let n = content.n;
    match kind {
        Kind::Vault => {
            let mut a = Vault::zeroed();
            a.header = header(Vault::DISCRIMINATOR, 1, content.seq);
            a.owner = [11; 32];
            a.balance = n[0].into();
            a.held = n[1].into();
            a.open_jobs = (n[2] as u32).into();
            a.deposited = n[3].into();
            a.created_slot = n[4].into();
            bytes_of(&a).to_vec()
        }
        Kind::Grant => {
            let mut a = SpendGrant::zeroed();
            a.header = header(SpendGrant::DISCRIMINATOR, 1, content.seq);
            a.owner = [11; 32];
            a.delegate = [12; 32];
            a.per_job_max = n[0].into();
            a.window_spent = n[1].into();
            a.open_jobs = (n[2] as u32).into();
            a.lifetime_spent = n[3].into();
            a.created_slot = n[4].into();
            bytes_of(&a).to_vec()
        }
        Kind::Job => job(content),
        Kind::Validator => {
            let mut a = Validator::zeroed();
            a.header = header(Validator::DISCRIMINATOR, 1, content.seq);
            a.authority = [14; 32];
            a.stake = n[0].into();
            a.activating = n[1].into();
            a.unbonding = n[2].into();
            a.claimable = n[3].into();
            a.registered_slot = n[4].into();
            a.jobs_settled = n[5].into();
            bytes_of(&a).to_vec()
        }
        Kind::Model => {
            let mut a = Model::zeroed();
            a.header = header(Model::DISCRIMINATOR, 1, content.seq);
            a.price_in = (n[0] as u32).into();
            a.price_out = (n[1] as u32).into();
            a.fee_burned = n[3].into();
            a.registered_slot = n[4].into();
            bytes_of(&a).to_vec()
        }
        Kind::Case => case(content),
        Kind::Votes => votes(content),
        Kind::Provider => provider(content),
        Kind::Request => request(content),
        Kind::Lease => lease(content),
        Kind::LeaseDispute => lease_dispute(content),
        Kind::Output => {
            let mut a = Output::zeroed();
            a.header = header(Output::DISCRIMINATOR, 1, content.seq);
            a.job = [16; 32];
            a.rent_payer = [11; 32];
            a.fingerprint = [15; 32];
            a.count = (n[0] as u32).into();
            a.chunks = (n[1] as u16).into();
            a.posted = n[1].count_ones().into();
            a.updated_slot = n[2].into();
            a.completed_slot = n[3].into();
            for (place, token) in a.tokens.iter_mut().take(n[0] as usize).enumerate() {
                *token = (place as u32).into();
            }
            bytes_of(&a).to_vec()
        }
    }
}

fn case(content: &Content) -> Vec<u8> {
    let [status, opened, complete, resolved, seats, shown] = content.n;
    let mut a = Case::zeroed();
    a.header = header(Case::DISCRIMINATOR, status as u8, content.seq);
    a.job = [16; 32];
    a.model = [13; 32];
    a.submitter = [14; 32];
    a.rent_payer = [12; 32];
    a.fingerprint = [15; 32];
    a.rules = Params::dev().rules;
    a.opened_slot = opened.into();
    a.shown_slot = complete.into();
    a.leaves_slot = complete.into();
    a.resolved_slot = resolved.into();
    a.jury_seats = SEATS as u8;
    a.sampled = CHECKED as u8 - 1;
    a.exact = 1;
    a.output_tokens = 7.into();
    (a.claim_count, a.false_count) = (1, 1);
    let claim = &mut a.claims[0];
    claim.claimant = [12; 32];
    claim.kind = 2;
    claim.named = 1;
    claim.claimed_slot = opened.into();
    claim.at_stake = BOND.into();
    a.held = held(content).into();
    a.output_rent = OUTPUT_RENT.into();
    let named = &mut a.claims[0].leaves[..1];
    let leaves = a.leaves.iter_mut().take(CHECKED as usize - 1);
    for (place, leaf) in leaves.chain(named).enumerate() {
        leaf.position = (place as u32 * 2).into();
        if (place as u64) < shown {
            leaf.present = 1;
            leaf.token = (100 + place as u32).into();
        }
    }
    for (place, seat) in a.seats.iter_mut().take(seats as usize).enumerate() {
        seat.juror = [20 + place as u8; 32];
        seat.commitment = [21; 32];
        seat.committed_slot = complete.into();
        if resolved > 0 {
            seat.revealed_slot = resolved.into();
            seat.reward = REWARD.into();
        }
    }
    if resolved > 0 {
        (a.verdict, a.ground) = (1, 1);
        a.claims[0].outcome = 1;
        a.claims[0].amount = BOND.into();
        a.slashed_amount = SLASHED.into();
        a.claimants_amount = BOND.into();
        a.jurors_amount = (seats * REWARD).into();
        a.burned_amount = BURNED.into();
    }
    bytes_of(&a).to_vec()
}

fn votes(content: &Content) -> Vec<u8> {
    let mut a = Votes::zeroed();
    a.header = header(Votes::DISCRIMINATOR, 1, content.seq);
    a.case = [17; 32];
    a.rent_payer = [12; 32];
    for vote in a.votes.iter_mut().take(content.n[0] as usize) {
        vote.body[..32].fill(31);
        vote.agrees[0] = (AGREES as u16).into();
    }
    bytes_of(&a).to_vec()
}

fn provider(content: &Content) -> Vec<u8> {
    let [stake, leased, earned, _, registered, proved] = content.n;
    let mut a = Provider::zeroed();
    a.header = header(Provider::DISCRIMINATOR, 1, content.seq);
    a.authority = [18; 32];
    a.stake = stake.into();
    a.units = 4.into();
    a.leased = (leased as u16).into();
    a.earned = earned.into();
    a.claimable = earned.into();
    a.registered_slot = registered.into();
    a.proved = proved.into();
    bytes_of(&a).to_vec()
}

fn request(content: &Content) -> Vec<u8> {
    let [status, requested, ended, ..] = content.n;
    let mut a = Request::zeroed();
    a.header = header(Request::DISCRIMINATOR, status as u8, content.seq);
    a.terms.tenant = [19; 32];
    a.terms.kind = 1;
    a.terms.units = 1;
    a.terms.price = 5.into();
    a.terms.seconds = 100.into();
    a.terms.rules = MarketParams::dev().rules;
    a.requested_slot = requested.into();
    a.deadline_slot = (requested + 100).into();
    a.ended_slot = ended.into();
    a.escrow = asked(content).into();
    a.refunded = given_back(content).into();
    bytes_of(&a).to_vec()
}

/// What lies in a request.
fn asked(content: &Content) -> u64 {
    if content.n[0] == 1 { DEPOSIT } else { 0 }
}

fn given_back(content: &Content) -> u64 {
    match content.n[0] {
        CANCELLED => DEPOSIT,
        _ => 0,
    }
}

fn lease(content: &Content) -> Vec<u8> {
    let [status, accepted, started, ended, proofs, _] = content.n;
    let mut a = Lease::zeroed();
    a.header = header(Lease::DISCRIMINATOR, status as u8, content.seq);
    a.terms.request = [22; 32];
    a.terms.tenant = [19; 32];
    a.terms.provider = [18; 32];
    a.terms.units = 1;
    a.terms.price = 5.into();
    a.terms.seconds = 100.into();
    a.terms.rules = MarketParams::dev().rules;
    a.accepted_slot = accepted.into();
    a.started_slot = started.into();
    a.acknowledged_slot = started.into();
    a.ended_slot = ended.into();
    a.reason = u8::from(ended > 0);
    // The lease whose address was used before is told by the slot of its epochs.
    for epoch in 1..=proofs {
        let entry = &mut a.ring[Lease::place(epoch)];
        *entry = LeaseEpoch::zeroed();
        entry.epoch = epoch.into();
        entry.hash = [23; 32];
        entry.proof = [24; 32];
        entry.amount = amount(epoch).into();
        entry.slot = accepted.into();
        entry.state = 1;
    }
    a.deposited = DEPOSIT.into();
    a.pending = pending(content).into();
    if ended > 0 {
        a.refunded = (DEPOSIT - pending(content)).into();
        a.tenant_due = a.refunded;
    } else {
        a.escrow = (DEPOSIT - pending(content)).into();
    }
    bytes_of(&a).to_vec()
}

/// What an epoch costs.
fn amount(epoch: u64) -> u64 {
    10 + epoch
}

/// What all epochs of a lease cost.
fn pending(content: &Content) -> u64 {
    (1..=content.n[4]).map(amount).sum()
}

fn lease_dispute(content: &Content) -> Vec<u8> {
    let [status, opened, resolved, shown, ..] = content.n;
    let (fee, at_stake) = LEASE_BOND;
    let mut a = LeaseDispute::zeroed();
    a.header = header(LeaseDispute::DISCRIMINATOR, status as u8, content.seq);
    a.lease = [25; 32];
    a.epoch = 3.into();
    a.disputer = [12; 32];
    a.provider = [18; 32];
    a.count = 1;
    a.opened = shown as u8;
    a.fee = fee.into();
    a.at_stake = at_stake.into();
    a.opened_slot = opened.into();
    a.openings_end = (opened + 50).into();
    a.resolved_slot = resolved.into();
    a.held = bond(content).into();
    if resolved > 0 {
        a.end = 1;
        a.paid = fee.into();
        a.burned = at_stake.into();
    }
    bytes_of(&a).to_vec()
}

/// What lies in a dispute about a lease.
fn bond(content: &Content) -> u64 {
    match content.n[0] {
        DECIDED => 0,
        _ => LEASE_BOND.0 + LEASE_BOND.1,
    }
}

/// What lies in a case for somebody.
fn held(content: &Content) -> u64 {
    match content.n[0] {
        RESOLVED => BOND - BURNED,
        _ => BOND,
    }
}

fn job(content: &Content) -> Vec<u8> {
    let [status, requested, accepted, submitted, ended, ceiling] = content.n;
    let mut job = Job::zeroed();
    job.header = header(Job::DISCRIMINATOR, status as u8, content.seq);
    job.terms.owner = [11; 32];
    job.terms.requester = [12; 32];
    job.terms.model = [13; 32];
    job.terms.prompt_tokens = 10.into();
    job.terms.max_output_tokens = 20.into();
    job.terms.rules = Params::dev().rules;
    job.requested_slot = requested.into();
    job.accepted_slot = accepted.into();
    job.submitted_slot = submitted.into();
    job.ended_slot = ended.into();
    job.deadline_slot = (requested + 100).into();
    job.ceiling = ceiling.into();
    if accepted > 0 {
        job.validator = [14; 32];
    }
    if submitted > 0 {
        job.output_tokens = 7.into();
        job.finish_reason = 1;
        job.fingerprint = [15; 32];
    }
    if ended > 0 {
        job.end_reason = if status == SETTLED { 1 } else { 2 };
        job.fee = fee(status).into();
        job.refunded_amount = (ceiling - fee(status)).into();
    }
    bytes_of(&job).to_vec()
}

fn fee(status: u64) -> u64 {
    match status {
        SETTLED => 600,
        _ => 0,
    }
}

/// The columns of a row, in the order in which [`crate::tables`] selects them; 0 stands for null.
pub fn values(kind: Kind, content: &Content) -> Vec<i64> {
    let n = content.n;
    let lamports = content.lamports;
    let values: Vec<u64> = match kind {
        Kind::Vault | Kind::Grant => vec![n[0], n[1], n[2], n[3], n[4], lamports],
        Kind::Job => {
            let [status, requested, accepted, submitted, ended, ceiling] = n;
            let known = |slot: u64, value: u64| if slot == 0 { 0 } else { value };
            vec![
                status,
                requested,
                accepted,
                submitted,
                ended,
                known(submitted, 7),
                known(ended, fee(status)),
                known(ended, ceiling - fee(status)),
                ceiling,
                lamports,
            ]
        }
        Kind::Validator => vec![n[0], n[1], n[2], n[3], n[4], n[5], lamports],
        Kind::Model => vec![n[0], n[1], n[3], n[4]],
        Kind::Case => {
            let [status, opened, complete, resolved, seats, shown] = n;
            let at_end = |value: u64| if resolved == 0 { 0 } else { value };
            vec![
                status,
                opened,
                complete,
                resolved,
                SEATS,
                shown,
                BOND,
                at_end(SLASHED),
                at_end(BOND),
                at_end(BURNED),
                held(content),
                OUTPUT_RENT,
                // Taken seats, what they get; claims, what they get; checked positions, the tokens shown there.
                seats,
                at_end(seats * REWARD),
                1,
                at_end(BOND),
                CHECKED,
                (0..shown).map(|place| 100 + place).sum(),
                lamports,
            ]
        }
        Kind::Votes => vec![15, n[0], n[0] * AGREES, lamports],
        Kind::Provider => vec![n[0], n[1], n[2], n[4], n[5], lamports],
        Kind::Request => {
            let (escrow, refunded) = (asked(content), given_back(content));
            vec![n[0], n[1], n[2], DEPOSIT, escrow, refunded, lamports]
        }
        Kind::Lease => {
            let (metered, ended) = (pending(content), n[3] > 0);
            let rest = DEPOSIT - metered;
            let (escrow, due) = if ended { (0, rest) } else { (rest, 0) };
            vec![
                n[0], n[1], n[2], n[3], metered, escrow, due, DEPOSIT, n[4], metered, 0, lamports,
            ]
        }
        Kind::LeaseDispute => {
            let (fee, at_stake) = LEASE_BOND;
            let burned = if n[0] == DECIDED { at_stake } else { 0 };
            vec![
                n[0],
                n[1],
                n[2],
                n[3],
                fee + at_stake,
                bond(content),
                burned,
                lamports,
            ]
        }
        Kind::Output => vec![
            n[0],
            n[1].count_ones().into(),
            n[1].count_ones().into(),
            n[2],
            n[3],
            lamports,
        ],
    };
    values.into_iter().map(|value| value as i64).collect()
}

/// Stake, activating and unbonding stake of a validator.
pub fn stake(content: &Content) -> [i64; 3] {
    [content.n[0], content.n[1], content.n[2]].map(|value| value as i64)
}

/// What the account says it holds for somebody, as the settler counts it.
pub fn held_for_others(kind: Kind, content: &Content) -> i64 {
    let n = content.n;
    let amount = match kind {
        Kind::Vault => n[0],
        Kind::Validator => n[0] + n[1] + n[2] + n[3],
        Kind::Job if n[0] < SETTLED => n[5],
        Kind::Case => held(content) + OUTPUT_RENT,
        Kind::Provider => n[0] + n[2],
        Kind::Request => asked(content),
        Kind::Lease => DEPOSIT,
        Kind::LeaseDispute => bond(content),
        _ => 0,
    };
    amount as i64
}

/// What a row adds to the network's figures: the columns of [`crate::tables`], in their order. `closed`: the account is.
pub fn figures(kind: Kind, content: &Content, closed: bool) -> [i64; 9] {
    let n = content.n;
    let is = |yes: bool| i64::from(yes);
    let mut all = [0; 9];
    match kind {
        Kind::Job => {
            let ended = n[4] > 0;
            all[..3].copy_from_slice(&[1, is(n[0] == SETTLED), is(n[0] == REFUNDED)]);
            all[7] = if ended { fee(n[0]) as i64 } else { 0 };
        }
        Kind::Validator if !closed => all[3..5].copy_from_slice(&[1, n[0] as i64]),
        Kind::Case => {
            let resolved = n[0] == RESOLVED;
            all[5..7].copy_from_slice(&[1, is(!resolved)]);
            all[8] = if resolved { BURNED as i64 } else { 0 };
        }
        Kind::Model => all[8] = n[3] as i64,
        _ => {}
    }
    all
}
