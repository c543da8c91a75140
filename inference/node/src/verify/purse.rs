//! What the operator's money is for. A claim `withheld` costs who provokes it nothing and ties up rent until its case is closed: so it takes
//! nothing that a `false` or an answer of ours needs, a few are open at a time, and who answers is asked less often. Pure, but for what reads
//! the chain.

use std::collections::HashMap;

use bytemuck::Zeroable;
use mythic_client::{Bids, ChainClient, ClientError, Commitment, pda};
use mythic_interface::{
    dispute,
    params::{Params, Rules},
    state::{Case, ClaimKind, Config, Job, Key, NAMED_POSITIONS, Output, Validator, Votes},
};
use mythic_verifier::price::{Price, Rents};
use solana_pubkey::Pubkey;

use super::worth;

/// Claims `withheld` that are open at most, until their rent is back: of all, and of results of one submitter.
const MOST_OPEN: usize = 8;
const MOST_OF_ONE: usize = 3;
/// Submitters that are remembered to have answered such claims.
const MOST_KNOWN: usize = 1_024;
/// Claims answered by a submitter that count: of its results, one in two for each is asked for, so never fewer than one in four.
const MOST_ANSWERED: u32 = 2;
/// Tokens of an answer by which a wallet is reckoned.
const USUAL_TOKENS: u32 = 512;
/// Lamports for fees of results and cases.
const FEES: u64 = 50_000_000;

/// A claim `withheld` of ours that opened a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    pub submitter: Key,
    /// It was shown after all.
    pub answered: bool,
}

impl Opened {
    /// That of a case, if there is one.
    pub fn of(case: &Case, me: &Key) -> Option<Self> {
        let opener = case.claims().first()?;
        (opener.claimant == *me && !opener.is_false()).then_some(Self {
            submitter: case.submitter,
            answered: case.shown_slot.get() != 0,
        })
    }
}

/// A claim `withheld` of ours whose case was not seen yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnderWay {
    pub submitter: Key,
    /// What it takes at most.
    pub lamports: u64,
    /// Slot until which it is waited for.
    pub until: u64,
}

/// Our claims `withheld`.
#[derive(Default)]
pub struct Withheld {
    /// Those whose cases were seen at the last look.
    open: HashMap<Pubkey, Opened>,
    /// Those under way.
    sent: HashMap<Pubkey, UnderWay>,
    /// How many were answered by whom, and when the last one was.
    answered: HashMap<Key, (u32, u64)>,
}

impl Withheld {
    /// The cases that ours opened, each time all that are not closed.
    pub fn look(&mut self, open: HashMap<Pubkey, Opened>, slot: u64) {
        for (job, claim) in open.iter().filter(|(_, claim)| claim.answered) {
            if !self.open.get(job).is_some_and(|before| before.answered) {
                self.answers(claim.submitter, slot);
            }
        }
        self.open = open;
        let seen = &self.open;
        self.sent
            .retain(|job, claim| !seen.contains_key(job) && slot < claim.until);
    }

    fn answers(&mut self, submitter: Key, slot: u64) {
        if self.answered.len() >= MOST_KNOWN && !self.answered.contains_key(&submitter) {
            let oldest = self.answered.iter().min_by_key(|(_, (_, at))| *at);
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                self.answered.remove(&oldest);
            }
        }
        let (count, at) = self.answered.entry(submitter).or_default();
        (*count, *at) = ((*count + 1).min(MOST_ANSWERED), slot);
    }

    /// Lamports that those under way take at most, but for that of this job: a balance may be read before they land.
    pub fn under_way(&self, job: &Pubkey) -> u64 {
        let others = self.sent.iter().filter(|(other, _)| *other != job);
        others
            .map(|(_, claim)| claim.lamports)
            .fold(0, u64::saturating_add)
    }

    /// Whether another is made, of a result for which we drew `lot`; it counts from now on, until it is seen or waited for no more.
    pub fn take(&mut self, job: Pubkey, claim: UnderWay, lot: u8) -> Result<(), &'static str> {
        let submitter = claim.submitter;
        let answered = self.answered.get(&submitter).map_or(0, |(count, _)| *count);
        if u32::from(lot).trailing_zeros() < answered {
            return Err("answers");
        }
        let sent = self.sent.iter().filter(|(other, _)| **other != job);
        let open = self.open.values().map(|claim| claim.submitter);
        let all: Vec<Key> = open.chain(sent.map(|(_, claim)| claim.submitter)).collect();
        let of_one = all.iter().filter(|of| **of == submitter).count();
        if all.len() >= MOST_OPEN || of_one >= MOST_OF_ONE {
            return Err("open");
        }
        self.sent.insert(job, claim);
        Ok(())
    }

    /// It was not made.
    pub fn give_back(&mut self, job: &Pubkey) {
        self.sent.remove(job);
    }
}

/// Lamports that a claim takes at most: what it ties up, and all bids for it.
pub fn needed(price: &Price, loss: u64, bids: &Bids) -> u64 {
    price.total().saturating_add(bids.all(loss))
}

/// The same of one that opens the case of a result, were that of a submitter with this stake.
fn opening(job: &Job, stake: u64, kind: ClaimKind, rents: &Rents, bids: &Bids) -> u64 {
    let mut job = *job;
    job.stake_at_result.set(stake);
    let named = match kind {
        ClaimKind::False => NAMED_POSITIONS as u32,
        ClaimKind::Withheld => 0,
    };
    let Ok(price) = Price::of(&job, None, (kind, named), rents) else {
        return u64::MAX;
    };
    let due = worth::of_claim(&job, None, kind, &price.bond, 0);
    needed(&price, due.loss, bids)
}

/// What is known of the network and of us when money is reckoned.
#[derive(Clone, Copy, Debug)]
pub struct Funds<'a> {
    pub rents: &'a Rents,
    pub bids: &'a Bids,
    /// The largest stake of the network.
    pub largest_stake: u64,
    /// Our own.
    pub stake: u64,
}

/// Lamports that a claim `withheld` against a result leaves in a wallet: for our own answers, and for a first `false` against the largest
/// stake of the network; where the wallet would not do for that, against the stake behind this result.
pub fn kept(job: &Job, balance: u64, means: &Funds<'_>) -> u64 {
    let first = |stake| opening(job, stake, ClaimKind::False, means.rents, means.bids);
    let answers = answers(&job.terms.rules, means);
    let stake = job.stake_at_result.get();
    // Where the largest is not known yet, this one is.
    let largest = first(means.largest_stake.max(stake)).saturating_add(answers);
    match balance >= largest {
        true => largest,
        false => first(stake).saturating_add(answers),
    }
}

/// Lamports that may be bid for our own answer in a case.
fn answers(rules: &Rules, means: &Funds<'_>) -> u64 {
    means.bids.all(dispute::slash(rules, means.stake))
}

/// Lamports that an operator should have: for a first `false` against the largest stake of the network, for the claims `withheld` that one
/// submitter can provoke, for its own answers and for fees.
pub fn wallet(rules: &Rules, means: &Funds<'_>) -> u64 {
    let mut job = Job::zeroed();
    job.terms.rules = *rules;
    job.output_tokens.set(USUAL_TOKENS);
    let opening = |kind| opening(&job, means.largest_stake, kind, means.rents, means.bids);
    let baits = opening(ClaimKind::Withheld).saturating_mul(MOST_OF_ONE as u64);
    [
        opening(ClaimKind::False),
        baits,
        answers(rules, means),
        FEES,
    ]
    .into_iter()
    .fold(0, u64::saturating_add)
}

/// Rents of the accounts that a claim may make, as the chain says.
pub async fn rents(chain: &ChainClient) -> Result<Rents, ClientError> {
    Ok(Rents {
        case: chain.rent(Case::LEN).await?,
        votes: chain.rent(Votes::LEN).await?,
        page: chain.rent(Output::LEN).await?,
    })
}

/// The largest stake that a validator of the network has.
pub async fn largest_stake(chain: &ChainClient) -> Result<u64, ClientError> {
    let all = chain.program_accounts::<Validator>(&[], Commitment::Confirmed);
    let stakes = all.await?.into_iter().map(|(_, of)| of.whole_stake());
    Ok(stakes.max().unwrap_or(0))
}

/// What an operator with such a stake should have on a network, and against which stake it is reckoned.
pub async fn recommended(
    chain: &ChainClient,
    bids: &Bids,
    stake: u64,
) -> Result<(u64, u64), ClientError> {
    let config = chain.account::<Config>(&pda::config()).await?;
    let rules = config.map_or(Params::mainnet().rules, |(_, config)| config.params.rules);
    let largest_stake = largest_stake(chain).await?.max(rules.min_stake.get());
    let means = Funds {
        rents: &rents(chain).await?,
        bids,
        largest_stake,
        stake,
    };
    Ok((wallet(&rules, &means), largest_stake))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOL: u64 = 1_000_000_000;
    const BAIT: Key = [1; 32];
    /// Those of today's layout, about.
    const RENTS: Rents = Rents {
        case: 70_000_000,
        votes: 64_000_000,
        page: 40_000_000,
    };

    fn job(n: u8) -> Pubkey {
        Pubkey::new_from_array([n; 32])
    }

    fn of(submitter: Key, until: u64) -> UnderWay {
        UnderWay {
            submitter,
            lamports: 7,
            until,
        }
    }

    fn open(n: u8, answered: bool) -> (Pubkey, Opened) {
        let submitter = BAIT;
        (
            job(n),
            Opened {
                submitter,
                answered,
            },
        )
    }

    #[test]
    fn a_few_are_open_at_a_time_and_fewer_of_one_submitter() {
        let mut claims = Withheld::default();
        for n in 0..3 {
            assert_eq!(claims.take(job(n), of(BAIT, 100), 0), Ok(()));
        }
        assert_eq!(
            claims.take(job(2), of(BAIT, 100), 0),
            Ok(()),
            "the same again"
        );
        assert_eq!(claims.take(job(3), of(BAIT, 100), 0), Err("open"));
        claims.give_back(&job(2));
        assert_eq!(claims.take(job(3), of(BAIT, 100), 0), Ok(()));
        // They are seen, or not in time; each counts once, until its case is closed.
        claims.look([open(0, false), open(1, false)].into(), 99);
        assert_eq!(claims.take(job(4), of(BAIT, 200), 0), Err("open"));
        claims.look([open(0, false), open(1, false)].into(), 100);
        assert_eq!(claims.take(job(4), of(BAIT, 200), 0), Ok(()));
        for n in 5..10 {
            assert_eq!(claims.take(job(n), of([n; 32], 200), 0), Ok(()));
        }
        assert_eq!(claims.take(job(11), of([11; 32], 200), 0), Err("open"));
        claims.look(HashMap::new(), 200);
        assert_eq!(claims.take(job(11), of([11; 32], 300), 0), Ok(()));
    }

    #[test]
    fn what_a_claim_takes_counts_until_its_case_is_seen() {
        let mut claims = Withheld::default();
        for n in 0..3 {
            assert_eq!(claims.under_way(&job(n)), 7 * u64::from(n));
            assert_eq!(claims.take(job(n), of(BAIT, 100), 0), Ok(()));
        }
        assert_eq!(claims.under_way(&job(1)), 14, "its own is not counted");
        claims.look([open(0, false)].into(), 99);
        assert_eq!(claims.under_way(&job(9)), 14);
        claims.give_back(&job(1));
        assert_eq!(claims.under_way(&job(9)), 7);
        claims.look([open(0, false)].into(), 100);
        assert_eq!(claims.under_way(&job(9)), 0);
    }

    #[test]
    fn who_answers_is_asked_less_often_and_never_left_alone() {
        let mut claims = Withheld::default();
        let asked = |claims: &mut Withheld| {
            let asks = (0..=255).filter(|lot| {
                let taken = claims.take(job(9), of(BAIT, 100), *lot).is_ok();
                claims.give_back(&job(9));
                taken
            });
            asks.count()
        };
        for (answered, expected) in [(0, 256), (1, 128), (2, 64), (3, 64), (9, 64)] {
            let cases = (0..answered).map(|n| open(n, true));
            claims.look(cases.collect(), 100);
            claims.look(HashMap::new(), 100);
            assert_eq!(asked(&mut claims), expected, "{answered}");
            claims.answered.clear();
        }
        // A case is counted once, when it was shown.
        claims.look([open(1, false)].into(), 100);
        assert_eq!(asked(&mut claims), 256);
        for _ in 0..3 {
            claims.look([open(1, true)].into(), 100);
            assert_eq!(asked(&mut claims), 128);
        }
        for n in 0..=MOST_KNOWN {
            let mut key = [7; 32];
            key[..8].copy_from_slice(&(n as u64).to_le_bytes());
            claims.answers(key, 101);
        }
        assert_eq!(claims.answered.len(), MOST_KNOWN);
        assert!(!claims.answered.contains_key(&BAIT), "the oldest");
    }

    #[test]
    fn three_baits_leave_what_a_false_takes_whoever_has_the_largest_stake() {
        let rules = Params::mainnet().rules;
        let bids = Bids::default();
        let bait_of = job;
        let mut job = Job::zeroed();
        job.terms.rules = rules;
        job.output_tokens.set(USUAL_TOKENS);
        for largest in [1, 10, 300] {
            let means = Funds {
                rents: &RENTS,
                bids: &bids,
                largest_stake: largest * SOL,
                stake: SOL,
            };
            // Baits are of the least stake.
            job.stake_at_result.set(SOL);
            let mut balance = wallet(&rules, &means);
            let bait = opening(&job, SOL, ClaimKind::Withheld, &RENTS, &bids);
            let mut baits = 0;
            while balance >= bait.saturating_add(kept(&job, balance, &means)) {
                (balance, baits) = (balance - bait, baits + 1);
            }
            assert!(baits >= MOST_OF_ONE, "{largest}: {baits}");
            let first = opening(&job, largest * SOL, ClaimKind::False, &RENTS, &bids);
            assert!(balance >= first, "{largest}: {balance} {first}");
            // The same where all come at once, of as many submitters, and none has landed when the balance is read.
            let (balance, mut claims) = (wallet(&rules, &means), Withheld::default());
            for n in 0..u8::MAX {
                let free = balance.saturating_sub(claims.under_way(&bait_of(n)));
                let claim = UnderWay {
                    submitter: [n; 32],
                    lamports: bait,
                    until: 100,
                };
                if free >= bait.saturating_add(kept(&job, free, &means)) {
                    let _ = claims.take(bait_of(n), claim, 0);
                }
            }
            let taken = claims.under_way(&bait_of(u8::MAX));
            assert!(taken >= bait * MOST_OF_ONE as u64, "{largest}: {taken}");
            assert!(balance - taken >= first, "{largest}: {balance} {taken}");
            // Who has too little for the largest keeps what it takes against this one.
            let poor = first / 2;
            let own = opening(&job, SOL, ClaimKind::False, &RENTS, &bids);
            assert!(kept(&job, poor, &means) >= own);
            assert!(kept(&job, poor, &means) <= own + answers(&rules, &means));
            // The largest is not known before it was read.
            let unread = Funds {
                largest_stake: 0,
                ..means
            };
            assert!(kept(&job, balance, &unread) >= own);
        }
    }
}
