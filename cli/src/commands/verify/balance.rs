//! What it would cost, bring and risk to claim what a check by hand found, from the case as it stands.

use super::claim::Claim;
use crate::{say, units::sol};
use anyhow::Result;
use mythic_client::{ChainClient, pda};
use mythic_interface::{
    comparison::Rule,
    state::{Case, CaseStatus, ClaimKind, JobStatus, NAMED_POSITIONS},
};
use mythic_verifier::{
    check::{self, Finding},
    price::{Balance, Price},
};
use serde_json::{Value, json};

/// One claim that could be made now.
pub struct Offer {
    kind: ClaimKind,
    price: Price,
    balance: Balance,
}

/// What could be claimed of a finding now; nothing where it is honest or can't be said, or nobody can claim any more.
pub async fn offer(chain: &ChainClient, claim: &Claim, finding: &Finding) -> Result<Option<Offer>> {
    let kind = match finding {
        Finding::Fault { .. } | Finding::Fraud { .. } => ClaimKind::False,
        Finding::Withheld { .. } => ClaimKind::Withheld,
        Finding::Honest | Finding::Audited | Finding::Unknown { .. } => return Ok(None),
    };
    let state = &claim.state;
    let slot = chain.slot(mythic_client::Commitment::Processed).await?;
    let case = chain.account::<Case>(&pda::case(claim.address)).await?;
    let case = case.map(|(_, case)| case);
    let open = match (state.status(), &case) {
        (Some(JobStatus::Submitted), None) => state.window_end().is_some_and(|end| slot < end),
        (Some(JobStatus::Submitted | JobStatus::Disputed), Some(case)) => {
            kind == ClaimKind::False
                && match case.status() {
                    Some(CaseStatus::Opening) => true,
                    Some(CaseStatus::Joining) => slot < case.joining_end(),
                    _ => false,
                }
        }
        _ => false,
    };
    let rule = check::rule(&claim.model.spec);
    if !open || (kind == ClaimKind::False && rule.is_none()) {
        return Ok(None);
    }
    let rents = mythic_node::verify::purse::rents(chain).await?;
    // At most: what is sampled is not named.
    let named = match (kind, rule) {
        (ClaimKind::False, Some(Rule::Exact)) => NAMED_POSITIONS as u32,
        _ => 0,
    };
    let price = Price::of(state, case.as_ref(), (kind, named), &rents)?;
    Ok(Some(Offer {
        kind,
        balance: Balance::of(state, kind, &price.bond),
        price,
    }))
}

impl Offer {
    pub fn say(&self) {
        let Self {
            kind,
            price,
            balance,
        } = self;
        let bond = &price.bond;
        say!(
            "a claim `{}` now: bond {} (at stake {}, answering {}, jury {}), rent {} until it is closed",
            kind.as_str(),
            sol(bond.total),
            sol(bond.at_stake),
            sol(bond.answering_fee),
            sol(bond.tariffs),
            sol(price.rent),
        );
        match kind {
            ClaimKind::False => say!(
                "  the earliest that is right gains {}, {} if nothing is shown; wrong loses {}, undecided at most {}",
                sol(balance.right),
                sol(balance.unanswered),
                sol(balance.wrong),
                sol(balance.void),
            ),
            ClaimKind::Withheld => say!(
                "  gains {} if it is never shown, loses {} if it is",
                sol(balance.unanswered),
                sol(balance.wrong),
            ),
        }
    }

    pub fn json(&self) -> Value {
        let bond = &self.price.bond;
        json!({
            "kind": self.kind.as_str(),
            "bond_lamports": bond.total,
            "at_stake_lamports": bond.at_stake,
            "answering_fee_lamports": bond.answering_fee,
            "tariffs_lamports": bond.tariffs,
            "rent_lamports": self.price.rent,
            "right_lamports": self.balance.right,
            "unanswered_lamports": self.balance.unanswered,
            "wrong_lamports": self.balance.wrong,
            "void_lamports": self.balance.void,
        })
    }
}
