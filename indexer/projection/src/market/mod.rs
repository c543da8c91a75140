//! Accounts of the Compute Market: a file for each, as for those of AI Precompiles.

pub(crate) mod class;
pub(crate) mod config;
pub(crate) mod dispute;
pub(crate) mod lease;
pub(crate) mod provider;
pub(crate) mod request;
pub(crate) mod signature;
#[cfg(test)]
mod tests;
pub(crate) mod treasury;

use mythic_interface::market::params::MarketRules;
use mythic_interface::market::state::{
    Class, Isolation, Lease, LeaseDispute, MarketConfig, MarketTreasury, Provider, Request,
};
use serde_json::{Value as Json, json};

use crate::entity::Entity;
use crate::fields::amount;
use crate::{Account, At, Projected, Reject};

/// Latest second that is shown as a time: the end of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;

impl Projected {
    /// Takes an account of the market, which says that it is of this kind.
    pub(crate) fn market(
        &mut self,
        account: &Account,
        at: At,
        entity: Entity,
        lamports: i64,
    ) -> Result<(), Reject> {
        let data = &account.data;
        match entity {
            Entity::MarketConfig => {
                self.market_config(account, at, MarketConfig::load(data)?, lamports)
            }
            Entity::MarketTreasury => {
                self.market_treasury(account, at, MarketTreasury::load(data)?, lamports)
            }
            Entity::Class => self.class(account, at, Class::load(data)?, lamports),
            Entity::Provider => self.provider(account, at, Provider::load(data)?, lamports),
            Entity::Request => self.request(account, at, Request::load(data)?, lamports),
            Entity::Lease => self.lease(account, at, Lease::load(data)?, lamports),
            Entity::LeaseDispute => {
                self.lease_dispute(account, at, LeaseDispute::load(data)?, lamports)
            }
            _ => Err(Reject::Unknown(data.first().copied().unwrap_or(0))),
        }
    }
}

/// What happens to requests, leases and disputes, by its number in the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i16)]
enum Step {
    Requested = 1,
    Accepted = 2,
    Started = 3,
    Acknowledged = 4,
    Proved = 5,
    Metered = 6,
    Disputed = 7,
    Resolved = 8,
    Refuted = 9,
    Ended = 10,
    Cancelled = 11,
    Expired = 12,
}

impl Step {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Accepted => "accepted",
            Self::Started => "started",
            Self::Acknowledged => "acknowledged",
            Self::Proved => "proved",
            Self::Metered => "metered",
            Self::Disputed => "disputed",
            Self::Resolved => "resolved",
            Self::Refuted => "refuted",
            Self::Ended => "ended",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }
}

/// The steps that were taken in the slot of an update.
fn here(at: At, steps: &[(Step, Option<i64>)]) -> Vec<Step> {
    let slot = i64::try_from(at.slot).ok();
    let here = |when: &Option<i64>| when.is_some() && *when == slot;
    let taken = steps.iter().filter(|(_, when)| here(when));
    taken.map(|(step, _)| *step).collect()
}

/// Their names, for the feed.
fn names(steps: &[Step]) -> Vec<&'static str> {
    steps.iter().map(|step| step.as_str()).collect()
}

/// A second of Unix time that may not have come: 0 = not yet.
fn second_of(field: &'static str, value: u64) -> Result<Option<i64>, Reject> {
    if value > LAST_SECOND {
        return Err(Reject::OutOfRange {
            field,
            value,
            most: LAST_SECOND,
        });
    }
    Ok(Some(amount(field, value)?).filter(|second| *second != 0))
}

/// Several amounts together.
fn sum_of(field: &'static str, amounts: &[u64]) -> Result<i64, Reject> {
    let sum = amounts
        .iter()
        .fold(0u64, |sum, amount| sum.saturating_add(*amount));
    amount(field, sum)
}

fn isolation(value: u8) -> Result<Isolation, Reject> {
    let field = "isolation";
    Isolation::from_u8(value).ok_or(Reject::Listed { field, value })
}

/// A slot from which something is due. One that no column holds never comes.
fn due_from(slot: Option<u64>) -> Option<i64> {
    slot.map(|slot| i64::try_from(slot).unwrap_or(i64::MAX))
}

/// Rules by their names, which end in the unit.
fn rules(r: &MarketRules) -> Json {
    json!({
        "start_slots": r.start_slots.get(),
        "ack_slots": r.ack_slots.get(),
        "dispute_slots": r.dispute_slots.get(),
        "openings_slots": r.openings_slots.get(),
        "max_missed_epochs": r.max_missed.get(),
        "notice_epochs": r.notice_epochs.get(),
        "jail_slots": r.jail_slots.get(),
        "close_delay_slots": r.close_delay_slots.get(),
        "max_lease_seconds": r.max_lease_seconds.get(),
        "provider_bps": r.provider_bps.get(),
        "foundation_bps": r.foundation_bps.get(),
        "answering_fee_lamports": r.answering_fee.get(),
        "no_show_lamports": r.no_show.get(),
        "min_epoch_price_lamports": r.min_epoch_price.get(),
        "min_stake_lamports": r.min_stake.get(),
    })
}
