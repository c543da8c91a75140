//! What a claim costs, brings and risks, from the case as it stands. Pure.

use mythic_interface::{
    dispute::{self, Bond, EVIDENT_REWARD_BPS, REWARD_BPS, Standing},
    error::MythicError,
    money,
    state::{Case, ClaimKind, Job, OUTPUT_PAGE_TOKENS},
};
use serde::{Deserialize, Serialize};

/// Rents of the accounts that a claim may have to make, lamports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rents {
    /// A case.
    pub case: u64,
    /// Its jury's votes.
    pub votes: u64,
    /// A page of output.
    pub page: u64,
}

/// What a claimant pays in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    /// The bond.
    pub bond: Bond,
    /// Rent, which returns when the accounts close: of case and output by who opens, of the votes by the first `false`.
    pub rent: u64,
}

impl Price {
    /// Of a claim that names `named` positions and opens the job's case, or joins the one there is.
    pub fn of(
        job: &Job,
        case: Option<&Case>,
        (kind, named): (ClaimKind, u32),
        rents: &Rents,
    ) -> Result<Self, MythicError> {
        let standing = Standing::of(job, case, kind, named)?;
        let bond = Bond::of(&job.terms.rules, &standing)?;
        let mut rent = 0u64;
        if case.is_none() {
            let pages = job.output_tokens.get().div_ceil(OUTPUT_PAGE_TOKENS as u32);
            let output = rents.page.saturating_mul(u64::from(pages));
            rent = rents.case.saturating_add(output);
        }
        if kind == ClaimKind::False && standing.nth == 1 {
            rent = rent.saturating_add(rents.votes);
        }
        Ok(Self { bond, rent })
    }

    /// Lamports that it ties up.
    pub fn total(&self) -> u64 {
        self.bond.total.saturating_add(self.rent)
    }
}

/// What may come of a claim, lamports beside bond and rent that return; fees of transactions not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    /// Gained if a jury finds it the earliest that was right; nothing by `withheld`, which no jury judges.
    pub right: u64,
    /// Gained if the submitter doesn't answer, by the earliest `false`, else by who opened.
    pub unanswered: u64,
    /// Lost, at most, if it is wrong.
    pub wrong: u64,
    /// Lost, at most, if nothing is decided.
    pub void: u64,
}

impl Balance {
    /// Of a claim. What would be gained is reckoned from the stake at the result; a jury takes no more than the stake that commits.
    pub fn of(job: &Job, kind: ClaimKind, bond: &Bond) -> Self {
        let rules = &job.terms.rules;
        let slash = dispute::slash(rules, job.stake_at_result.get());
        let answered = bond.answering_fee.saturating_add(bond.tariffs);
        let jurors = match bond.tariffs {
            0 => 0,
            _ => rules
                .juror_tariff
                .get()
                .saturating_mul(rules.jury_seats.get().into()),
        };
        Self {
            right: match kind {
                ClaimKind::False => money::share(slash, REWARD_BPS),
                ClaimKind::Withheld => 0,
            },
            unanswered: money::share(slash, EVIDENT_REWARD_BPS),
            wrong: bond.at_stake.saturating_add(answered),
            void: bond.answering_fee.saturating_add(jurors),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::Zeroable;
    use mythic_interface::params::Params;

    const SOL: u64 = 1_000_000_000;
    const RENTS: Rents = Rents {
        case: 50,
        votes: 60,
        page: 7,
    };

    fn job(tokens: u32) -> Job {
        let mut job = Job::zeroed();
        job.terms.rules = Params::mainnet().rules;
        job.terms.price_out.set(50_000);
        job.output_tokens.set(tokens);
        job.stake_at_result.set(SOL);
        job.ceiling.set(SOL);
        job
    }

    #[test]
    fn a_claim_of_withholding_costs_the_answer_and_nothing_else() {
        let job = job(512);
        let price = Price::of(&job, None, (ClaimKind::Withheld, 0), &RENTS).unwrap();
        assert_eq!(price.bond.total, 5_000 * (8 + 4));
        assert_eq!(price.rent, 50 + 7);
        let balance = Balance::of(&job, ClaimKind::Withheld, &price.bond);
        let expected = Balance {
            right: 0,
            unanswered: SOL / 20,
            wrong: 60_000,
            void: 60_000,
        };
        assert_eq!(balance, expected);
    }

    #[test]
    fn a_claim_of_falsehood_costs_more_the_later_it_comes_and_the_jury_but_once() {
        let job = job(512);
        let first = Price::of(&job, None, (ClaimKind::False, 2), &RENTS).unwrap();
        let each = SOL / 2 / 10_000 * 150;
        let tariff = 20_000 + job.due_fee().unwrap();
        assert_eq!(first.bond.at_stake, each);
        assert_eq!(first.bond.tariffs, 15 * tariff);
        assert_eq!(first.bond.answering_fee, 5_000 * (4 + 9));
        assert_eq!(first.rent, 50 + 7 + 60);
        let balance = Balance::of(&job, ClaimKind::False, &first.bond);
        assert_eq!(balance.right, SOL / 5);
        assert_eq!(balance.wrong, first.bond.total);
        assert_eq!(balance.void, first.bond.answering_fee + 15 * 20_000);
        let mut case = Case::zeroed();
        case.claim_count = 3;
        case.false_count = 2;
        let third = Price::of(&job, Some(&case), (ClaimKind::False, 1), &RENTS).unwrap();
        assert_eq!(third.bond.at_stake, 3 * each);
        assert_eq!(third.bond.tariffs, 0);
        assert_eq!(third.bond.answering_fee, 5_000);
        assert_eq!(third.rent, 0);
        // Who opened with `withheld` has paid for case and output, not for the votes.
        case.false_count = 0;
        let late = Price::of(&job, Some(&case), (ClaimKind::False, 1), &RENTS).unwrap();
        assert_eq!(late.rent, 60);
        assert_eq!(late.bond.tariffs, 15 * tariff);
    }
}
