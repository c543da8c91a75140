//! Whether a request is one that this provider can take: what the program checks, looked at before anything is fetched or signed. Pure.

use mythic_interface::{
    market::{
        meter,
        state::{Provider, ProviderStatus, Request},
    },
    state::NO_KEY,
};

use crate::{source::SourceError, spec::SpecError};

/// Slots that must be left to accept.
const LEAST_SLOTS: u64 = 10;

/// Why a request is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Decline {
    #[error("it is meant for another provider")]
    Others,
    #[error("container leases are not served by this version: endpoints only")]
    Container,
    #[error("its model is none of those that this provider has")]
    Model,
    #[error("it wants another region")]
    Region,
    #[error("it wants tenants kept apart better than by a process")]
    Isolation,
    #[error("it states {asked} lamports a second, and this provider's price is {price}")]
    Price { asked: u64, price: u64 },
    #[error("no unit is free")]
    NoUnits,
    #[error("this provider is jailed")]
    Jailed,
    #[error("the price of an epoch is below the market's least, or too large")]
    EpochPrice,
    #[error("fewer than {LEAST_SLOTS} slots are left to accept it")]
    Late,
    #[error("it wants more answers at once than {0}, all that its units make")]
    Concurrent(usize),
    #[error("another lease here has the same key: make a new one")]
    KeyInUse,
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error("the chain does not answer: {0}")]
    Chain(String),
    #[error("the promise can't be written: {0}")]
    Journal(String),
}

impl Decline {
    /// Whether it may be taken later.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::NoUnits | Self::Jailed | Self::Chain(_) | Self::Journal(_) | Self::KeyInUse => {
                true
            }
            Self::Source(error) => error.is_transient(),
            _ => false,
        }
    }
}

/// Weighs a request by what is on chain.
pub fn fits(request: &Request, provider: &Provider, slot: u64) -> Result<(), Decline> {
    let (asked, price) = (&request.terms, provider.price.get());
    let named = asked.provider != NO_KEY;
    if (named && asked.provider != provider.authority) || asked.class != provider.class {
        return Err(Decline::Others);
    }
    if slot.saturating_add(LEAST_SLOTS) > request.deadline_slot.get() {
        return Err(Decline::Late);
    }
    if provider.header.status != ProviderStatus::Active as u8 {
        return Err(Decline::Jailed);
    }
    if !asked.region.is_empty() && asked.region != provider.region {
        return Err(Decline::Region);
    }
    if provider.isolation < asked.isolation {
        return Err(Decline::Isolation);
    }
    let offered = asked.price.get();
    if price > offered || (named && price != offered) {
        let asked = offered;
        return Err(Decline::Price { asked, price });
    }
    let seconds = asked.grid.epoch_seconds.get();
    match meter::price_of(price, asked.units, seconds.into()) {
        Ok(epoch) if epoch >= asked.rules.min_epoch_price.get() => {}
        _ => return Err(Decline::EpochPrice),
    }
    match provider.free_units() >= asked.units.into() {
        true => Ok(()),
        false => Err(Decline::NoUnits),
    }
}

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable;
    use mythic_interface::{
        le::{Text, U16, U32},
        market::params::{Grid, MarketParams},
    };

    use super::*;

    fn pair() -> (Request, Provider) {
        let (mut request, mut provider) = (Request::zeroed(), Provider::zeroed());
        provider.header.status = ProviderStatus::Active as u8;
        provider.authority = [1; 32];
        provider.class = [2; 32];
        provider.price.set(10_000);
        provider.units = U16::new(2);
        provider.leased = U16::new(1);
        provider.region = Text::new("eu").unwrap();
        request.deadline_slot.set(1_000);
        let terms = &mut request.terms;
        terms.class = [2; 32];
        terms.provider = [1; 32];
        terms.units = 1;
        terms.price.set(10_000);
        terms.rules = MarketParams::dev().rules;
        terms.grid = Grid {
            epoch_slots: U32::new(150),
            epoch_seconds: U32::new(60),
        };
        (request, provider)
    }

    #[test]
    fn what_does_not_fit_is_declined_in_its_own_words() {
        let (request, provider) = pair();
        assert!(fits(&request, &provider, 990).is_ok());
        type Change = fn(&mut Request, &mut Provider);
        let cases: [(Change, &str); 10] = [
            (|r, _| r.terms.provider = [9; 32], "another provider"),
            (|r, _| r.terms.class = [9; 32], "another provider"),
            (|r, _| r.deadline_slot.set(999), "slots are left"),
            (
                |_, p| p.header.status = ProviderStatus::Jailed as u8,
                "jailed",
            ),
            (|r, _| r.terms.region = Text::new("us").unwrap(), "region"),
            (|r, _| r.terms.isolation = 1, "kept apart"),
            (|r, _| r.terms.price.set(10_001), "price is 10000"),
            (|r, _| r.terms.units = 2, "no unit"),
            (|r, _| r.terms.rules.min_epoch_price.set(600_001), "least"),
            (|r, _| r.terms.grid.epoch_seconds.set(1), "least"),
        ];
        for (change, words) in cases {
            let (mut request, mut provider) = pair();
            change(&mut request, &mut provider);
            let declined = fits(&request, &provider, 990).unwrap_err().to_string();
            assert!(declined.contains(words), "{declined}: not {words}");
        }
    }

    #[test]
    fn an_open_request_pays_at_most_its_own_price() {
        let (mut request, provider) = pair();
        request.terms.provider = NO_KEY;
        request.terms.price.set(20_000);
        assert!(fits(&request, &provider, 0).is_ok());
        request.terms.price.set(9_999);
        assert!(matches!(
            fits(&request, &provider, 0),
            Err(Decline::Price { .. })
        ));
    }

    #[test]
    fn what_passes_is_looked_at_again() {
        assert!(Decline::NoUnits.is_passing() && Decline::Jailed.is_passing());
        assert!(Decline::Source(SourceError::NotHere).is_passing());
        assert!(!Decline::Source(SourceError::Url(String::new())).is_passing());
        assert!(!Decline::Container.is_passing() && !Decline::Model.is_passing());
    }
}
