//! Bonds, votes, verdicts and money of a case: pure functions in integers, for the program, for whoever decides
//! whether a claim pays, and for simulations.
//!
//! [`Bond::of`] says what a claim costs, [`exact_digest`] and [`work_digest`] what a juror computes, [`decide`] turns the
//! jury's votes into outcomes of claims and a verdict, and [`share_out`] turns these into amounts. What goes in comes out:
//! bonds and slash are the sum of all amounts.

use crate::comparison::{Comparison, Rule, VALUES_LEN, Values};
use crate::error::MythicError;
use crate::hash::{Hash, domain, sha256};
use crate::ix::leaves_in_one_call;
use crate::le::I32;
use crate::leaf::Leaf;
use crate::money::{add, checked_mul, share, sub};
use crate::output::chunks;
use crate::params::{MAX_JURY_SEATS, Rules};
use crate::state::{
    CHECKED_POSITIONS, Case, ClaimKind, Ground, Job, LEAF_LEN, MAX_CLAIMS, MAX_FALSE, OpenedLeaf,
    Outcome, SAMPLED_POSITIONS, VOTE_DIGESTS, Verdict, Votes,
};

/// Share of the slash for the earliest right claim where a jury decided, or where a fault was proved and a claim that says
/// `false` stands, basis points.
pub const REWARD_BPS: u16 = 4_000;
/// The same where nobody had to compute anything: what was not shown in time, and a fault beside which no `false` stands.
pub const EVIDENT_REWARD_BPS: u16 = 1_000;
/// Index of the work's digest in an exact vote.
pub const WORK: usize = 0;
/// Index of the sample's digest. Those of the groups follow.
pub const SAMPLE: usize = 1;

/// Transactions that show so many chunks and leaves of an output of `tokens` tokens: what an answer costs.
pub const fn pieces(tokens: u32, chunks: u32, leaves: u32) -> u32 {
    chunks.saturating_add(leaves.div_ceil(leaves_in_one_call(tokens) as u32))
}

/// Seats that must agree for a verdict: two thirds of the jury, rounded up.
pub const fn quorum(jury_seats: u32) -> u32 {
    (2 * jury_seats).div_ceil(3)
}

/// Keys that must agree for a verdict, whatever seats they have.
pub const fn least_keys(jury_seats: u32) -> u32 {
    if jury_seats <= 3 { 2 } else { 3 }
}

/// Lamports of `whole_stake` that a guilty submitter loses.
pub const fn slash(rules: &Rules, whole_stake: u64) -> u64 {
    share(whole_stake, rules.slash_bps.get())
}

/// What of a slash is taken: all of it where the program itself decides, by a jury at most the stake of all who committed to
/// it. So nobody takes more than they bring, and a network that comes to judge takes the whole.
pub fn slash_cap(ground: Ground, slash: u64, committed_stake: u64) -> u64 {
    match ground {
        Ground::Jury => slash.min(committed_stake),
        _ => slash,
    }
}

/// Pay of a juror where the jury decides: the rules' tariff, and the fee of the job, which it computes again, as far as the cap.
pub fn tariff(rules: &Rules, fee: u64) -> Result<u64, MythicError> {
    add(rules.juror_tariff.get(), fee.min(rules.tariff_cap.get()))
}

/// Digest of a group of positions in an exact profile: what a juror reveals of them, and what the program computes from the
/// leaves that were shown. Positions ascending, at most 16; what a juror's leaves hold, [`crate::choice`] says.
pub fn exact_digest(leaves: &[Leaf]) -> Hash {
    let mut bytes = [[0; LEAF_LEN]; SAMPLED_POSITIONS];
    for (out, leaf) in bytes.iter_mut().zip(leaves) {
        *out = leaf.encode();
    }
    let used = leaves.len().min(SAMPLED_POSITIONS);
    sha256(&[domain::EXACT, bytes[..used].as_flattened()])
}

/// [`exact_digest`] of leaves as they were shown.
pub fn shown_digest(shown: &[OpenedLeaf]) -> Hash {
    let mut leaves = [OpenedLeaf::default().leaf(); SAMPLED_POSITIONS];
    for (out, leaf) in leaves.iter_mut().zip(shown) {
        *out = leaf.leaf();
    }
    exact_digest(&leaves[..shown.len().min(SAMPLED_POSITIONS)])
}

/// Digest of a juror's own work in an exact profile: at each checked position ([`Case::checked_positions`]) id and logit of
/// the fifth-largest, which no leaf shows.
pub fn work_digest(fifths: &[(u32, i32)]) -> Hash {
    let mut bytes = [[0; 8]; CHECKED_POSITIONS];
    for (out, (id, logit)) in bytes.iter_mut().zip(fifths) {
        out[..4].copy_from_slice(&id.to_le_bytes());
        out[4..].copy_from_slice(&logit.to_le_bytes());
    }
    let used = fifths.len().min(CHECKED_POSITIONS);
    sha256(&[domain::WORK, bytes[..used].as_flattened()])
}

/// What a claim adds to a case, and what it threatens with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What it says.
    pub kind: ClaimKind,
    /// How many will have said `false`, with this one.
    pub nth: u32,
    /// Stake of the submitter at the result, [`Job::stake_at_result`].
    pub stake: u64,
    /// Fee of the job.
    pub fee: u64,
    /// Transactions that show what it asks for, [`pieces`].
    pub pieces: u32,
}

impl Standing {
    /// How a claim that names `named` positions would stand: opening a case, or joining the one there is.
    pub fn of(
        job: &Job,
        case: Option<&Case>,
        kind: ClaimKind,
        named: u32,
    ) -> Result<Self, MythicError> {
        let tokens = job.output_tokens.get();
        let (output, sample) = match case {
            Some(_) => (0, 0),
            None => (chunks(tokens), tokens.min(SAMPLED_POSITIONS as u32)),
        };
        Ok(Self {
            kind,
            nth: case.map_or(0, |case| u32::from(case.false_count)) + 1,
            stake: job.stake_at_result.get(),
            fee: job.due_fee()?,
            pieces: pieces(tokens, output, sample.saturating_add(named)),
        })
    }
}

/// What a claimant pays in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bond {
    /// Burned if the claim is wrong: a part of the slash, times the number of claims that say `false`.
    pub at_stake: u64,
    /// For the submitter's answer to what the claim asks for.
    pub answering_fee: u64,
    /// For the jury, a tariff for each seat: the first that says `false` alone.
    pub tariffs: u64,
    /// All of it.
    pub total: u64,
}

impl Bond {
    /// The bond that a claim costs.
    pub fn of(rules: &Rules, standing: &Standing) -> Result<Self, MythicError> {
        let answering_fee = product(rules.answering_fee.get(), u64::from(standing.pieces))?;
        let (mut at_stake, mut tariffs) = (0, 0);
        if standing.kind == ClaimKind::False {
            let each = share(slash(rules, standing.stake), rules.bond_bps.get());
            at_stake = product(each, u64::from(standing.nth))?;
            if standing.nth == 1 {
                let seats = u64::from(rules.jury_seats.get());
                tariffs = product(tariff(rules, standing.fee)?, seats)?;
            }
        }
        Ok(Self {
            at_stake,
            answering_fee,
            tariffs,
            total: add(add(at_stake, answering_fee)?, tariffs)?,
        })
    }
}

fn product(a: u64, b: u64) -> Result<u64, MythicError> {
    add(checked_mul(a, b).ok_or(MythicError::AmountTooLarge)?, 0)
}

/// Bit per digest of a vote that finds the leaves of the case true: [`SAMPLE`] and, in an exact profile, the groups.
pub fn finds_true(case: &Case, rule: Rule, body: &[u8]) -> u32 {
    match rule {
        Rule::Exact => {
            let expected = core::iter::once(&case.sample_digest)
                .chain(case.groups().map(|claim| &claim.digest));
            let revealed = body.chunks_exact(size_of::<Hash>()).skip(SAMPLE);
            let mut right = 0;
            for (index, (expected, own)) in expected.zip(revealed).enumerate() {
                if own == expected {
                    right |= 1 << (SAMPLE + index);
                }
            }
            right
        }
        Rule::Calibrated { .. } => {
            let mut comparison = Comparison::new(rule);
            for (leaf, own) in case.sample().iter().zip(values(body)) {
                comparison.submitted(&leaf.given(), &native(own));
            }
            u32::from(!comparison.verdict().is_fraud()) << SAMPLE
        }
    }
}

/// Bit per digest in which two votes say the same. Calibrated: whether their values agree by the rules that judge the submitter.
pub fn agreement(case: &Case, rule: Rule, a: &[u8], b: &[u8]) -> u32 {
    match rule {
        Rule::Exact => {
            let pairs = a
                .chunks_exact(size_of::<Hash>())
                .zip(b.chunks_exact(size_of::<Hash>()));
            let mut same = 0;
            for (index, (a, b)) in pairs.enumerate() {
                if a == b {
                    same |= 1 << index;
                }
            }
            same
        }
        Rule::Calibrated { .. } => {
            let mut comparison = Comparison::new(rule);
            for ((_, a), b) in case.sample().iter().zip(values(a)).zip(values(b)) {
                comparison.checkers(&native(a), &native(b));
            }
            u32::from(!comparison.verdict().is_fraud()) << SAMPLE
        }
    }
}

fn values(body: &[u8]) -> &[[I32; 5]] {
    let (values, _) = body.as_chunks::<VALUES_LEN>();
    bytemuck::cast_slice(values)
}

fn native(values: &[I32; 5]) -> Values {
    values.map(I32::get)
}

/// What is known of one seat when a jury is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Finding {
    /// Somebody sits here.
    pub taken: bool,
    /// The juror has shown its vote.
    pub revealed: bool,
    /// First seat of the same juror.
    pub first: u8,
    /// [`crate::state::Vote::right`].
    pub right: u32,
    /// [`crate::state::Vote::agrees`].
    pub agrees: [u16; VOTE_DIGESTS],
}

/// What is known of one claim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// It says `false`, not `withheld`.
    pub is_false: bool,
    /// Index of its group's digest; 0 if it names nothing.
    pub group: u8,
    /// It names a position that was proved to break the rules.
    pub proved: bool,
}

/// What a case is decided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Findings {
    /// Votes are digests.
    pub exact: bool,
    /// Output, sample and the opener's positions were shown.
    pub shown: bool,
    /// Seats in use.
    pub jury: usize,
    /// The seats.
    pub seats: [Finding; MAX_JURY_SEATS],
    /// Claims in use.
    pub count: usize,
    /// The claims.
    pub claims: [Said; MAX_CLAIMS],
}

impl Findings {
    /// What a case and its votes say; without votes nobody has revealed.
    pub fn of(case: &Case, votes: Option<&Votes>) -> Self {
        let mut findings = Self {
            exact: case.exact != 0,
            shown: case.shown_slot.get() != 0,
            jury: case.jury().len(),
            seats: [Finding::default(); MAX_JURY_SEATS],
            count: case.claims().len(),
            claims: [Said::default(); MAX_CLAIMS],
        };
        let jury = case.jury();
        for (index, (finding, seat)) in findings.seats.iter_mut().zip(jury).enumerate() {
            let first = jury.iter().position(|other| other.juror == seat.juror);
            finding.taken = seat.is_taken();
            finding.first = first.unwrap_or(index) as u8;
            if let (true, Some(votes)) = (seat.is_revealed(), votes) {
                let vote = &votes.votes[index];
                finding.revealed = true;
                finding.right = vote.right.get();
                for (out, mask) in finding.agrees.iter_mut().zip(&vote.agrees) {
                    *out = mask.get();
                }
            }
        }
        let mut group = SAMPLE as u8;
        for (said, claim) in findings.claims.iter_mut().zip(case.claims()) {
            said.is_false = claim.is_false();
            said.proved = claim.is_proved();
            if claim.named != 0 {
                group += 1;
                said.group = group;
            }
        }
        findings
    }

    fn seats(&self) -> &[Finding] {
        &self.seats[..self.jury.min(MAX_JURY_SEATS)]
    }

    fn claims(&self) -> &[Said] {
        &self.claims[..self.count.min(MAX_CLAIMS)]
    }

    /// Seats of which something holds.
    fn mask(&self, test: impl Fn(&Finding) -> bool) -> u16 {
        let mut mask = 0;
        for (index, finding) in self.seats().iter().enumerate() {
            if test(finding) {
                mask |= 1 << index;
            }
        }
        mask
    }

    /// The first seat of each juror among some seats.
    fn firsts(&self, mask: u16) -> u16 {
        let mut firsts = 0;
        for (index, finding) in self.seats().iter().enumerate() {
            if mask >> index & 1 == 1 {
                firsts |= 1 << finding.first;
            }
        }
        firsts
    }

    /// Whether some seats are enough to decide: two thirds of all, empty ones included, of enough keys.
    fn decides(&self, mask: u16) -> bool {
        let seats = self.jury as u32;
        mask.count_ones() >= quorum(seats) && self.firsts(mask).count_ones() >= least_keys(seats)
    }

    /// The largest set of seats among `of` that agree with one of them about a digest, if it decides.
    fn agreed(&self, of: u16, digest: usize) -> Option<u16> {
        let mut largest = 0u16;
        for (index, finding) in self.seats().iter().enumerate() {
            let bit = 1 << index;
            if of & bit == 0 {
                continue;
            }
            let agreed = (finding.agrees[digest] & of) | bit;
            if agreed.count_ones() > largest.count_ones() {
                largest = agreed;
            }
        }
        self.decides(largest).then_some(largest)
    }
}

/// What the votes that were revealed come to.
struct Tally {
    /// Seats whose votes count.
    workers: u16,
    /// Seats against something that was decided.
    against: u16,
    /// By digest: what was decided of the leaves.
    truths: [Option<bool>; VOTE_DIGESTS],
}

fn tally(findings: &Findings) -> Tally {
    let revealed = findings.mask(|finding| finding.taken && finding.revealed);
    let mut tally = Tally {
        workers: revealed,
        against: 0,
        truths: [None; VOTE_DIGESTS],
    };
    if findings.exact {
        match findings.agreed(revealed, WORK) {
            Some(workers) => {
                tally.workers = workers;
                tally.against = revealed & !workers;
            }
            // Nobody can tell who computed anything.
            None => return tally,
        }
    }
    let groups = findings.claims().iter().filter(|said| said.group != 0);
    for digest in SAMPLE..=SAMPLE + groups.count().min(MAX_FALSE) {
        let right = tally.workers & findings.mask(|finding| finding.right >> digest & 1 == 1);
        let others = tally.workers & !right;
        let side = match findings.decides(right) {
            true => Some((true, right)),
            false => findings
                .agreed(others, digest)
                .map(|agreed| (false, agreed)),
        };
        if let Some((truth, side)) = side {
            tally.truths[digest] = Some(truth);
            tally.against |= tally.workers & !side;
        }
    }
    tally
}

/// A verdict and what it means for each claim and seat; one bit a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The verdict.
    pub verdict: Verdict,
    /// What decided.
    pub ground: Ground,
    /// What became of each claim.
    pub outcomes: [Outcome; MAX_CLAIMS],
    /// The claim that is rewarded; without one the prover of a fault is.
    pub rewarded: Option<usize>,
    /// What of the slash is the reward, basis points.
    pub reward_bps: u16,
    /// First seat of each juror that is paid.
    pub paid: u16,
    /// Seats that are fined.
    pub fined: u16,
}

/// Decides a case. `ground` says by what: a jury, what was not shown in time, that nobody said `false`, or a proven fault.
///
/// A claim is right if the sample or its own group is false, or if it names a proven fault; wrong if the sample and its group are
/// true; else undecided. Guilty is one right claim; not guilty if all are wrong; everything else is void. With a fault the verdict is
/// that, whatever the jury says: it goes to the earliest claim that is right, else the earliest that is undecided.
pub fn decide(ground: Ground, findings: &Findings) -> Decision {
    let mut decision = Decision {
        verdict: Verdict::Void,
        ground,
        outcomes: [Outcome::Undecided; MAX_CLAIMS],
        rewarded: None,
        reward_bps: REWARD_BPS,
        paid: 0,
        fined: 0,
    };
    let tally = tally(findings);
    let revealed = findings.mask(|finding| finding.taken && finding.revealed);
    let truth = |digest: u8| tally.truths.get(usize::from(digest)).copied().flatten();
    for (outcome, said) in decision.outcomes.iter_mut().zip(findings.claims()) {
        let sample = truth(SAMPLE as u8);
        let group = match said.group {
            0 => Some(true),
            group => truth(group),
        };
        *outcome = match (said.is_false, ground) {
            (_, Ground::Unanswered) => Outcome::Right,
            (false, _) if findings.shown => Outcome::Wrong,
            (false, _) => Outcome::Undecided,
            (true, _) if said.proved => Outcome::Right,
            (true, _) if sample == Some(false) || group == Some(false) => Outcome::Right,
            (true, _) if sample == Some(true) && group == Some(true) => Outcome::Wrong,
            (true, _) => Outcome::Undecided,
        };
    }
    let falses = |test: fn(Outcome) -> bool| {
        let mut claims = findings.claims().iter().zip(&decision.outcomes);
        claims.position(|(said, outcome)| said.is_false && test(*outcome))
    };
    let right = falses(|outcome| outcome == Outcome::Right);
    let open = falses(|outcome| outcome == Outcome::Undecided);
    let judge = |decision: &mut Decision| {
        let silent = findings.mask(|finding| finding.taken && !finding.revealed);
        decision.fined = silent | tally.against;
        decision.paid = findings.firsts(revealed & !tally.against);
    };
    match ground {
        Ground::Unanswered => {
            decision.verdict = Verdict::Guilty;
            decision.rewarded = falses(|_| true).or(Some(0));
            decision.reward_bps = EVIDENT_REWARD_BPS;
        }
        Ground::NoClaim => {}
        Ground::Fault => {
            decision.verdict = Verdict::Fault;
            decision.rewarded = right.or(open);
            if decision.rewarded.is_none() {
                // Who opened with `withheld`, if nobody says more.
                let alone = !findings.claims().is_empty() && falses(|_| true).is_none();
                decision.rewarded = alone.then_some(0);
                decision.reward_bps = EVIDENT_REWARD_BPS;
            }
            judge(&mut decision);
        }
        Ground::Jury | Ground::NoQuorum | Ground::TooFew => {
            decision.rewarded = right;
            decision.verdict = match (right, open) {
                (Some(_), _) => Verdict::Guilty,
                (None, None) => Verdict::NotGuilty,
                (None, Some(_)) => Verdict::Void,
            };
            let keys = findings.firsts(revealed).count_ones();
            decision.ground = match decision.verdict {
                Verdict::Void if keys < least_keys(findings.jury as u32) => Ground::TooFew,
                Verdict::Void => Ground::NoQuorum,
                _ => Ground::Jury,
            };
            judge(&mut decision);
        }
    }
    decision
}

/// What a claimant paid in, as it lies in the case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deposit {
    /// See [`Bond::at_stake`].
    pub at_stake: u64,
    /// See [`Bond::answering_fee`].
    pub answering_fee: u64,
    /// See [`Bond::tariffs`].
    pub tariffs: u64,
}

/// The money of a case.
#[derive(Clone, Copy, Debug)]
pub struct Money<'a> {
    /// Of each claim.
    pub deposits: &'a [Deposit],
    /// [`tariff`] of the job.
    pub tariff: u64,
    /// The rules' tariff alone.
    pub juror_tariff: u64,
    /// Lamports slashed.
    pub slashed: u64,
}

/// Who gets what of bonds and slash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// Each claimant's: what returns of its bond, and the reward.
    pub claims: [u64; MAX_CLAIMS],
    /// All claimants' together.
    pub claimants: u64,
    /// Each paid juror's.
    pub juror: u64,
    /// All paid jurors' together.
    pub jurors: u64,
    /// The submitter's, for answering.
    pub submitter: u64,
    /// The prover's of a fault.
    pub prover: u64,
    /// Burned.
    pub burned: u64,
}

/// Shares out the bonds and what was slashed, which is 0 unless the verdict goes against the submitter.
pub fn share_out(decision: &Decision, money: &Money) -> Result<Shares, MythicError> {
    let mut shares = Shares {
        claims: [0; MAX_CLAIMS],
        claimants: 0,
        juror: 0,
        jurors: 0,
        submitter: 0,
        prover: 0,
        burned: 0,
    };
    let guilty = matches!(decision.verdict, Verdict::Guilty | Verdict::Fault);
    let paid = u64::from(decision.paid.count_ones());
    let reward = share(money.slashed, decision.reward_bps);
    let rest = sub(money.slashed, reward)?;
    shares.juror = match decision.verdict {
        Verdict::Guilty | Verdict::Fault => money.tariff.min(rest.checked_div(paid).unwrap_or(0)),
        Verdict::NotGuilty => money.tariff,
        Verdict::Void => money.juror_tariff,
    };
    shares.jurors = product(shares.juror, paid)?;
    if guilty {
        shares.burned = sub(rest, shares.jurors)?;
        if decision.rewarded.is_none() {
            shares.prover = reward;
        }
    }
    for (index, deposit) in money.deposits.iter().take(MAX_CLAIMS).enumerate() {
        let mut amount = add(deposit.answering_fee, deposit.tariffs)?;
        if decision.outcomes[index] == Outcome::Wrong {
            shares.burned = add(shares.burned, deposit.at_stake)?;
        } else {
            amount = add(amount, deposit.at_stake)?;
        }
        if guilty {
            if decision.rewarded == Some(index) {
                amount = add(amount, reward)?;
            }
        } else {
            // The submitter has answered, and the jury is paid by who called it.
            amount = sub(amount, deposit.answering_fee)?;
            shares.submitter = add(shares.submitter, deposit.answering_fee)?;
            if deposit.tariffs != 0 {
                amount = sub(amount, shares.jurors)?;
            }
        }
        shares.claims[index] = amount;
        shares.claimants = add(shares.claimants, amount)?;
    }
    Ok(shares)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::params::Params;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// A vote of one seat, by what it says of each digest: equal numbers agree, 0 finds the leaves true. `None` is silence.
    type Words<'a> = Option<&'a [u8]>;

    /// A jury whose jurors have one seat each.
    fn jury(seats: usize, votes: &[Words], claims: &[Said]) -> Findings {
        let keys: Vec<u8> = (0..votes.len() as u8).collect();
        seated(seats, &keys, votes, claims)
    }

    /// A jury whose seats belong to jurors by the number of their first seat.
    fn seated(seats: usize, keys: &[u8], votes: &[Words], claims: &[Said]) -> Findings {
        let mut findings = Findings {
            exact: true,
            shown: true,
            jury: seats,
            seats: [Finding::default(); MAX_JURY_SEATS],
            count: claims.len(),
            claims: [Said::default(); MAX_CLAIMS],
        };
        findings.claims[..claims.len()].copy_from_slice(claims);
        for (index, vote) in votes.iter().enumerate() {
            let seat = &mut findings.seats[index];
            (seat.taken, seat.first) = (true, keys[index]);
            let Some(words) = vote else { continue };
            seat.revealed = true;
            for (digest, word) in words.iter().enumerate() {
                if digest >= SAMPLE && *word == 0 {
                    seat.right |= 1 << digest;
                }
                for (other, theirs) in votes.iter().enumerate() {
                    if theirs.is_some_and(|theirs| theirs[digest] == *word) {
                        seat.agrees[digest] |= 1 << other;
                    }
                }
            }
        }
        findings
    }

    const FALSE: Said = Said {
        is_false: true,
        group: 0,
        proved: false,
    };
    const WITHHELD: Said = Said {
        is_false: false,
        ..FALSE
    };

    fn names(group: u8) -> Said {
        Said { group, ..FALSE }
    }

    #[test]
    fn two_thirds_of_the_seats_rounded_up_are_needed() {
        assert_eq!([3, 5, 7, 15].map(quorum), [2, 4, 5, 10]);
        for seats in 3..=15usize {
            let needed = quorum(seats as u32).max(least_keys(seats as u32)) as usize;
            for count in 0..=seats {
                for (word, verdict) in [(1, Verdict::Guilty), (0, Verdict::NotGuilty)] {
                    let words = [9, word];
                    let votes = std::vec![Some(&words[..]); count];
                    let decision = decide(Ground::Jury, &jury(seats, &votes, &[FALSE]));
                    match count >= needed {
                        true => assert_eq!(decision.verdict, verdict),
                        false => assert_eq!(decision.verdict, Verdict::Void),
                    }
                }
            }
        }
    }

    #[test]
    fn a_verdict_needs_keys_as_well_as_seats() {
        let words = [9, 1];
        let two = [0, 0, 0, 0, 0, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5];
        let votes = [Some(&words[..]); 15];
        let decision = decide(Ground::Jury, &seated(15, &two, &votes, &[FALSE]));
        assert_eq!(
            (decision.verdict, decision.ground),
            (Verdict::Void, Ground::TooFew)
        );
        assert_eq!((decision.paid, decision.fined), (0b10_0001, 0));
        let three = [0, 0, 0, 0, 0, 5, 5, 5, 5, 5, 5, 5, 5, 5, 14];
        let decision = decide(Ground::Jury, &seated(15, &three, &votes, &[FALSE]));
        assert_eq!(decision.verdict, Verdict::Guilty);
        // Three reveal, but the third says something else: two keys decide nothing.
        let mut votes = votes;
        votes[14] = Some(&[9, 0]);
        let decision = decide(Ground::Jury, &seated(15, &three, &votes, &[FALSE]));
        assert_eq!(decision.ground, Ground::NoQuorum);
    }

    #[test]
    fn guesses_that_do_not_agree_do_not_add_up_and_cost_the_guessers() {
        let guesses: Vec<[u8; 2]> = (1..=7).map(|guess| [9, guess]).collect();
        let votes: Vec<Words> = guesses.iter().map(|words| Some(&words[..])).collect();
        let decision = decide(Ground::Jury, &jury(7, &votes, &[FALSE]));
        assert_eq!(
            (decision.verdict, decision.fined),
            (Verdict::Void, 0),
            "nothing was decided"
        );
        // Five that agree outvote two that guess.
        let mut votes = votes;
        votes[2..].fill(Some(&[9, 8]));
        let decision = decide(Ground::Jury, &jury(7, &votes, &[FALSE]));
        assert_eq!(decision.verdict, Verdict::Guilty);
        assert_eq!((decision.paid, decision.fined), (0b111_1100, 0b11));
    }

    #[test]
    fn who_did_not_do_the_work_counts_as_silent() {
        let (worked, lazy) = ([9, 1], [3, 0]);
        let mut votes = std::vec![Some(&worked[..]); 10];
        votes.extend([Some(&lazy[..]); 5]);
        let decision = decide(Ground::Jury, &jury(15, &votes, &[FALSE]));
        assert_eq!(decision.verdict, Verdict::Guilty);
        assert_eq!(decision.fined, 0b111_1100_0000_0000);
        // Where no quorum shares its work nothing is decided, and silence alone is fined.
        votes[0] = None;
        let decision = decide(Ground::Jury, &jury(15, &votes, &[FALSE]));
        assert_eq!((decision.verdict, decision.fined), (Verdict::Void, 1));
    }

    #[test]
    fn each_claim_is_judged_by_the_sample_and_its_own_group() {
        // The sample is true; of three groups the first is true, the second false, the third undecided.
        let votes: Vec<[u8; 5]> = (0..7).map(|seat| [9, 0, 0, 4, seat % 3]).collect();
        let votes: Vec<Words> = votes.iter().map(|words| Some(&words[..])).collect();
        let claims = [WITHHELD, FALSE, names(2), names(3), names(4)];
        let decision = decide(Ground::Jury, &jury(7, &votes, &claims));
        use Outcome::{Right, Undecided, Wrong};
        assert_eq!(
            decision.outcomes[..5],
            [Wrong, Wrong, Wrong, Right, Undecided]
        );
        assert_eq!(
            (decision.verdict, decision.rewarded),
            (Verdict::Guilty, Some(3))
        );
        // Without the false group it is void, not good: somebody may be right.
        let claims = [FALSE, names(2), names(4)];
        let undecided: Vec<[u8; 5]> = (0..7).map(|seat| [9, 0, 0, 0, seat % 3]).collect();
        let votes: Vec<Words> = undecided.iter().map(|words| Some(&words[..])).collect();
        let decision = decide(Ground::Jury, &jury(7, &votes, &claims));
        assert_eq!(decision.verdict, Verdict::Void);
        assert_eq!(decision.outcomes[..3], [Wrong, Wrong, Undecided]);
        // A false sample makes everybody right.
        let sample: Vec<[u8; 5]> = (0..7).map(|seat| [9, 5, 0, 0, seat % 3]).collect();
        let votes: Vec<Words> = sample.iter().map(|words| Some(&words[..])).collect();
        let decision = decide(Ground::Jury, &jury(7, &votes, &claims));
        assert_eq!(decision.outcomes[..3], [Right; 3]);
    }

    #[test]
    fn a_fault_is_one_whatever_the_jury_says_which_finds_whom_to_pay_and_whom_to_fine() {
        let (honest, approves) = ([9, 5], [9, 0]);
        let mut votes = std::vec![Some(&honest[..]); 10];
        votes.extend([Some(&approves[..]), None]);
        let decision = decide(Ground::Fault, &jury(15, &votes, &[WITHHELD, FALSE]));
        assert_eq!(
            (decision.verdict, decision.rewarded),
            (Verdict::Fault, Some(1))
        );
        assert_eq!(decision.reward_bps, REWARD_BPS);
        let (paid, fined) = (0b11_1111_1111, 1 << 10 | 1 << 11);
        assert_eq!((decision.paid, decision.fined), (paid, fined));
        // Without a quorum nothing is judged: silence alone is fined, and the earliest that stands is paid.
        votes[0] = None;
        let decision = decide(Ground::Fault, &jury(15, &votes, &[WITHHELD, FALSE]));
        assert_eq!((decision.fined, decision.rewarded), (1 | 1 << 11, Some(1)));
        // Who is right comes before who is undecided and came first, and who was wrong gets nothing.
        let two = [9, 0, 0, 4];
        let votes = std::vec![Some(&two[..]); 10];
        let mixed = [FALSE, names(2), names(3)];
        let decision = decide(Ground::Fault, &jury(15, &votes, &mixed));
        assert_eq!(decision.rewarded, Some(2));
        // Who names the fault itself is right, though the jury finds the leaf true.
        let named = Said {
            proved: true,
            ..names(2)
        };
        let decision = decide(Ground::Fault, &jury(15, &votes, &[FALSE, named, names(3)]));
        let outcomes = [Outcome::Wrong, Outcome::Right, Outcome::Right];
        assert_eq!(decision.outcomes[..3], outcomes);
        assert_eq!(decision.rewarded, Some(1));
        let nobody = decide(Ground::Fault, &jury(15, &[], &[]));
        assert_eq!(
            (nobody.rewarded, nobody.reward_bps),
            (None, EVIDENT_REWARD_BPS)
        );
        let opener = decide(Ground::Fault, &jury(15, &[], &[WITHHELD]));
        assert_eq!(opener.rewarded, Some(0));
        // A claim that a quorum has already shown wrong does not stand.
        let votes = std::vec![Some(&approves[..]); 10];
        for (claims, at) in [(&[FALSE][..], 0), (&[WITHHELD, FALSE], 1)] {
            let decision = decide(Ground::Fault, &jury(15, &votes, claims));
            assert_eq!(
                (decision.rewarded, decision.outcomes[at]),
                (None, Outcome::Wrong)
            );
            assert_eq!(decision.reward_bps, EVIDENT_REWARD_BPS);
        }
    }

    #[test]
    fn what_is_not_shown_pays_a_tenth_to_the_first_that_said_false() {
        let decision = decide(
            Ground::Unanswered,
            &jury(15, &[], &[WITHHELD, FALSE, FALSE]),
        );
        assert_eq!(decision.rewarded, Some(1));
        let decision = decide(Ground::Unanswered, &jury(15, &[], &[WITHHELD]));
        assert_eq!(
            (decision.rewarded, decision.reward_bps),
            (Some(0), EVIDENT_REWARD_BPS)
        );
        let nothing = decide(Ground::NoClaim, &jury(15, &[], &[WITHHELD]));
        assert_eq!(
            (nothing.verdict, nothing.outcomes[0]),
            (Verdict::Void, Outcome::Wrong)
        );
    }

    /// Of an answer of 512 tokens by a validator of 1 SOL.
    fn standing(kind: ClaimKind, nth: u32, pieces: u32) -> Standing {
        Standing {
            kind,
            nth,
            stake: 1_000_000_000,
            fee: 25_600,
            pieces,
        }
    }

    fn deposit(bond: &Bond) -> Deposit {
        Deposit {
            at_stake: bond.at_stake,
            answering_fee: bond.answering_fee,
            tariffs: bond.tariffs,
        }
    }

    #[test]
    fn the_promised_bonds() {
        let rules = Params::mainnet().rules;
        let bond = |kind, nth, pieces| Bond::of(&rules, &standing(kind, nth, pieces)).unwrap();
        // 16 leaves by two, and 4 chunks; of a long output a leaf each.
        assert_eq!([pieces(512, 4, 16), pieces(512, 4, 17)], [12, 13]);
        assert_eq!([pieces(512, 0, 2), pieces(2_049, 17, 16)], [1, 33]);
        // 1.5 % of half a SOL, 5,000 for each of 12 pieces, 15 tariffs of 20,000 + 25,600.
        assert_eq!(
            bond(ClaimKind::False, 1, 12),
            Bond {
                at_stake: 7_500_000,
                answering_fee: 60_000,
                tariffs: 684_000,
                total: 8_244_000
            }
        );
        assert_eq!(bond(ClaimKind::Withheld, 1, 12).total, 60_000);
        // The sixteenth, naming two positions: sixteen times the part at stake, no tariffs.
        assert_eq!(bond(ClaimKind::False, 16, 1).total, 120_000_000 + 5_000);
        // Filling a case burns two slashes; ten friends 0.8 of one.
        let burned = |count| -> u64 {
            (1..=count)
                .map(|n| bond(ClaimKind::False, n, 0).at_stake)
                .sum()
        };
        assert_eq!((burned(16), burned(10)), (1_020_000_000, 412_500_000));
        assert_eq!(tariff(&rules, u64::MAX / 4), Ok(10_020_000));
    }

    #[test]
    fn the_promised_shares() {
        let rules = Params::mainnet().rules;
        let deposits = [
            deposit(&Bond::of(&rules, &standing(ClaimKind::False, 1, 12)).unwrap()),
            deposit(&Bond::of(&rules, &standing(ClaimKind::False, 2, 1)).unwrap()),
        ];
        let votes: Vec<[u8; 3]> = (0..15).map(|_| [9, 0, 4]).collect();
        let votes: Vec<Words> = votes.iter().map(|words| Some(&words[..])).collect();
        let guilty = decide(Ground::Jury, &jury(15, &votes, &[FALSE, names(2)]));
        let slashed = slash_cap(Ground::Jury, slash(&rules, 1_000_000_001), 400_000_000);
        assert_eq!(slashed, 400_000_000);
        let mut money = Money {
            deposits: &deposits,
            tariff: 45_600,
            juror_tariff: 20_000,
            slashed,
        };
        let shares = share_out(&guilty, &money).unwrap();
        // The first was wrong and loses its part at stake; the second gets two fifths of the slash.
        assert_eq!(shares.claims[0], 60_000 + 684_000);
        assert_eq!(shares.claims[1], 15_000_000 + 5_000 + 160_000_000);
        assert_eq!((shares.juror, shares.jurors), (45_600, 684_000));
        assert_eq!(shares.burned, 7_500_000 + 240_000_000 - 684_000);

        let votes = std::vec![Some(&[9, 0, 0][..]); 15];
        let good = decide(Ground::Jury, &jury(15, &votes, &[FALSE, names(2)]));
        money.slashed = 0;
        let shares = share_out(&good, &money).unwrap();
        assert_eq!(shares.submitter, 65_000);
        assert_eq!(shares.claims[..2], [0, 0], "all tariffs were earned");
        assert_eq!(shares.burned, 22_500_000);

        let void = decide(Ground::Jury, &jury(15, &votes[..2], &[FALSE, names(2)]));
        let shares = share_out(&void, &money).unwrap();
        assert_eq!((shares.juror, shares.jurors), (20_000, 40_000));
        assert_eq!(shares.claims[0], 7_500_000 + 684_000 - 40_000);
        assert_eq!((shares.claims[1], shares.burned), (15_000_000, 0));

        let nobody = decide(Ground::Fault, &jury(15, &[], &[]));
        money.deposits = &[];
        money.slashed = slash_cap(Ground::Fault, 500_000_000, 0);
        let shares = share_out(&nobody, &money).unwrap();
        assert_eq!((shares.prover, shares.burned), (50_000_000, 450_000_000));
        // The rest pays tariffs as far as it goes.
        let all = decide(Ground::Fault, &jury(15, &votes, &[]));
        money.slashed = 100;
        let shares = share_out(&all, &money).unwrap();
        assert_eq!((shares.prover, shares.jurors, shares.burned), (10, 90, 0));
    }

    #[test]
    fn digests_bind_what_they_are_of() {
        let leaf = |position| Leaf {
            position,
            token: 3,
            top4: [(3, 9), (4, 8), (5, 7), (6, 6)],
        };
        let mut shown = OpenedLeaf::default();
        shown.show(&leaf(7));
        assert_eq!(shown_digest(&[shown]), exact_digest(&[leaf(7)]));
        assert_ne!(exact_digest(&[leaf(7)]), exact_digest(&[leaf(8)]));
        assert_ne!(exact_digest(&[leaf(7)]), exact_digest(&[leaf(7), leaf(8)]));
        assert_ne!(work_digest(&[(1, 2)]), work_digest(&[(2, 1)]));
        assert_ne!(work_digest(&[]), exact_digest(&[]));
    }

    fn finding() -> impl Strategy<Value = Finding> {
        (
            any::<bool>(),
            any::<bool>(),
            any::<u32>(),
            any::<[u16; VOTE_DIGESTS]>(),
        )
            .prop_map(|(taken, revealed, right, agrees)| Finding {
                taken,
                revealed,
                first: 0,
                right,
                agrees,
            })
    }

    proptest! {
        #[test]
        fn bonds_and_slash_are_the_sum_of_the_shares(
            seats in proptest::collection::vec(finding(), 3..=15),
            firsts in any::<[u8; MAX_JURY_SEATS]>(),
            claims in proptest::collection::vec((any::<bool>(), any::<bool>()), 0..=16),
            withheld: bool,
            flags: (bool, bool),
            stake in 0u64..1 << 50,
            fee in 0u64..1 << 40,
            committed in 0u64..1 << 50,
            which in 0u8..4,
        ) {
            let mut rules = Params::mainnet().rules;
            rules.jury_seats.set(seats.len() as u16);
            let mut findings = Findings {
                exact: flags.0,
                shown: flags.1,
                jury: seats.len(),
                seats: [Finding::default(); MAX_JURY_SEATS],
                count: 0,
                claims: [Said::default(); MAX_CLAIMS],
            };
            for (index, seat) in seats.iter().enumerate() {
                // A seat's first is itself or an earlier one that is its own first.
                let earlier = usize::from(firsts[index]) % (index + 1);
                let first = match findings.seats[earlier].first == earlier as u8 && earlier < index {
                    true => earlier,
                    false => index,
                };
                findings.seats[index] = Finding { first: first as u8, ..*seat };
            }
            let mut deposits = Vec::new();
            let mut add_claim = |findings: &mut Findings, kind, nth: u32, named: bool, group: u8, proved| {
                let bond = Bond::of(&rules, &Standing { kind, nth, stake, fee, pieces: 20 }).unwrap();
                deposits.push(deposit(&bond));
                findings.claims[findings.count] = Said {
                    is_false: kind == ClaimKind::False,
                    group: if named { group } else { 0 },
                    proved: named && proved,
                };
                findings.count += 1;
            };
            if withheld {
                add_claim(&mut findings, ClaimKind::Withheld, 1, false, 0, false);
            }
            let mut group = SAMPLE as u8;
            for (nth, (named, proved)) in claims.iter().enumerate() {
                group += u8::from(*named);
                add_claim(&mut findings, ClaimKind::False, nth as u32 + 1, *named, group, *proved);
            }
            let ground = [Ground::Jury, Ground::Unanswered, Ground::NoClaim, Ground::Fault][usize::from(which)];
            // Without a claim there is a fault or nothing.
            prop_assume!(ground == Ground::Fault || findings.count > 0);
            prop_assume!(ground != Ground::Jury || !claims.is_empty());
            let decision = decide(ground, &findings);
            let guilty = matches!(decision.verdict, Verdict::Guilty | Verdict::Fault);
            let slashed = match guilty {
                true => slash_cap(decision.ground, slash(&rules, stake), committed),
                false => 0,
            };
            let money = Money {
                deposits: &deposits,
                tariff: tariff(&rules, fee).unwrap(),
                juror_tariff: rules.juror_tariff.get(),
                slashed,
            };
            let shares = share_out(&decision, &money).unwrap();
            let paid_in: u64 = deposits.iter().map(|d| d.at_stake + d.answering_fee + d.tariffs).sum();
            prop_assert_eq!(
                paid_in + slashed,
                shares.claimants + shares.jurors + shares.submitter + shares.prover + shares.burned
            );
            prop_assert_eq!(shares.claims.iter().sum::<u64>(), shares.claimants);
            // Nobody loses more than was named beforehand.
            for (index, deposit) in deposits.iter().enumerate() {
                let named = deposit.answering_fee + deposit.tariffs;
                let at_stake = match decision.outcomes[index] {
                    Outcome::Wrong => deposit.at_stake,
                    _ => 0,
                };
                let bond = deposit.at_stake + named;
                prop_assert!(shares.claims[index] + at_stake + named >= bond);
            }
        }
    }
}
