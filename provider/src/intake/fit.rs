//! Whether a request is one that this provider can take: what the program checks, looked at before anything is fetched or signed. Pure.

use mythic_interface::{
    market::{
        meter,
        state::{Provider, ProviderStatus, RING, Request},
    },
    money::checked_mul,
    state::NO_KEY,
    window,
};

use crate::{funds::Needs, lease::desk::Promised, source::SourceError, spec::SpecError};

/// Slots that must be left to accept.
const LEAST_SLOTS: u64 = 10;

/// Why a request is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Decline {
    #[error("it is meant for another provider")]
    Others,
    #[error("containers are not leased out here: endpoints only")]
    Container,
    #[error("it asks for {0}")]
    Resources(String),
    #[error("no container can be made of its image here: {0}")]
    Image(String),
    #[error("the values of its environment were not told yet")]
    Environment,
    #[error("all ports or networks for containers are taken")]
    Ports,
    #[error("the containers here can't be looked at: {0}")]
    Runtime(String),
    #[error("its model is none of those that this provider has")]
    Model,
    #[error("it wants another region")]
    Region,
    #[error("it wants tenants kept apart better than by a process")]
    Isolation,
    #[error("it states {asked} lamports a second, and this provider's price is {price}")]
    Price { asked: u64, price: u64 },
    #[error("all its seconds together cost less than the market's no_show")]
    Escrow,
    #[error("this provider's stake is below the market's least, or does not cover one more lease")]
    Stake,
    #[error("the price of 32 epochs is more than the stake behind the units")]
    Unbacked,
    #[error("its tenant has {0} leases here already; one more may follow when one is settled")]
    Tenant(usize),
    #[error("this provider has too little to pay proofs and answers of one more lease")]
    Funds,
    #[error("this machine has too little memory left: {0}")]
    Memory(String),
    #[error(
        "this machine's disk has room for {left} MiB more of containers, and it asks for {asked}"
    )]
    Disk { asked: u32, left: u64 },
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
    #[error("it wants at least {asked} tokens a second, and this provider promises at most {most}")]
    Floor { asked: u32, most: u32 },
    #[error("it wants at least {0} tokens a second, and this provider has not measured its own")]
    Unmeasured(u32),
    #[error("this provider looks first after the leases that it has")]
    Lost,
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
    /// In a word, as metrics call it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Others => "others",
            Self::Container => "container",
            Self::Resources(_) => "resources",
            Self::Image(_) => "image",
            Self::Environment => "environment",
            Self::Ports => "ports",
            Self::Runtime(_) => "runtime",
            Self::Model => "model",
            Self::Region => "region",
            Self::Isolation => "isolation",
            Self::Price { .. } => "price",
            Self::Escrow => "escrow",
            Self::Stake => "stake",
            Self::Unbacked => "unbacked",
            Self::Tenant(_) => "tenant",
            Self::Funds => "funds",
            Self::Memory(_) => "memory",
            Self::Disk { .. } => "disk",
            Self::NoUnits => "no_units",
            Self::Jailed => "jailed",
            Self::EpochPrice => "epoch_price",
            Self::Late => "late",
            Self::Concurrent(_) => "concurrent",
            Self::Floor { .. } => "floor",
            Self::Unmeasured(_) => "unmeasured",
            Self::Lost => "lost",
            Self::KeyInUse => "key_in_use",
            Self::Source(_) => "source",
            Self::Spec(_) => "spec",
            Self::Chain(_) => "chain",
            Self::Journal(_) => "journal",
        }
    }

    /// Whether it may be taken later.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::NoUnits
            | Self::Environment
            | Self::Ports
            | Self::Runtime(_)
            | Self::Jailed
            | Self::Stake
            | Self::Tenant(_)
            | Self::Funds
            | Self::Memory(_)
            | Self::Disk { .. }
            | Self::Chain(_)
            | Self::Journal(_)
            | Self::Lost
            | Self::KeyInUse => true,
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
    match meter::price_of(price, asked.units, asked.seconds.get().into()) {
        Ok(all) if all >= asked.rules.no_show.get() => {}
        _ => return Err(Decline::Escrow),
    }
    match provider.free_units() >= asked.units.into() {
        true => is_backed(request, provider, slot),
        false => Err(Decline::NoUnits),
    }
}

/// Whether the stake covers one more lease, as the program asks.
fn is_backed(request: &Request, provider: &Provider, slot: u64) -> Result<(), Decline> {
    let (asked, mut stake) = (&request.terms, provider.stake.get());
    // What counts from a slot on counts when it is accepted.
    if !window::open(slot, provider.activating_slot.get()) {
        stake = stake.saturating_add(provider.activating.get());
    }
    let behind = |units: u64| checked_mul(provider.stake_per_unit.get(), units).unwrap_or(u64::MAX);
    let units = u64::from(asked.units);
    let all = behind(u64::from(provider.backed.get()) + units);
    if stake < asked.rules.min_stake.get() || stake < all {
        return Err(Decline::Stake);
    }
    let seconds = asked.grid.epoch_seconds.get();
    let epoch = meter::price_of(provider.price.get(), asked.units, seconds.into());
    let pending = checked_mul(epoch.unwrap_or(u64::MAX), RING as u64);
    match pending.is_some_and(|pending| pending <= behind(units)) {
        true => Ok(()),
        false => Err(Decline::Unbacked),
    }
}

/// Whether units and lamports are left for a request beside what was promised a moment ago.
pub fn is_left(
    request: &Request,
    provider: &Provider,
    promised: Promised,
    (balance, needs): (u64, &Needs),
) -> Result<(), Decline> {
    let units = promised.units + u64::from(request.terms.units);
    if u64::from(provider.free_units()) < units {
        return Err(Decline::NoUnits);
    }
    let leased = u64::from(provider.leased.get()) + units;
    match balance >= needs.to_accept(promised.leases + 1, leased) {
        true => Ok(()),
        false => Err(Decline::Funds),
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
        provider.stake_per_unit.set(100_000_000);
        provider.stake.set(1_000_000_000);
        provider.backed = U16::new(1);
        provider.units = U16::new(2);
        provider.leased = U16::new(1);
        provider.region = Text::new("eu").unwrap();
        request.deadline_slot.set(1_000);
        let terms = &mut request.terms;
        terms.class = [2; 32];
        terms.provider = [1; 32];
        terms.units = 1;
        terms.price.set(10_000);
        terms.seconds = U32::new(600);
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
        let cases: [(Change, &str); 14] = [
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
            (|r, _| r.terms.seconds.set(99), "no_show"),
            (|_, p| p.stake.set(999_999_999), "stake is below"),
            (|_, p| p.backed = U16::new(10), "does not cover"),
            (|_, p| p.stake_per_unit.set(19_199_999), "32 epochs"),
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
    fn stake_that_counts_from_now_on_covers_a_lease() {
        let (request, mut provider) = pair();
        provider.stake.set(0);
        provider.activating.set(1_000_000_000);
        provider.activating_slot.set(900);
        assert!(fits(&request, &provider, 900).is_ok());
        assert!(matches!(
            fits(&request, &provider, 899),
            Err(Decline::Stake)
        ));
    }

    #[test]
    fn nothing_is_promised_that_eats_into_what_answers_disputes() {
        let (request, mut provider) = pair();
        let needs = Needs {
            rent: 26_000_000,
            reserve: 20_000_000,
        };
        let promised = |leases, units| Promised { leases, units };
        let left = |provider: &Provider, promised, balance| {
            is_left(&request, provider, promised, (balance, &needs))
        };
        // One unit is leased already, and this would be the second.
        let least = 26_000_000 + 2 * 20_000_000;
        assert!(left(&provider, promised(0, 0), least).is_ok());
        let poor = left(&provider, promised(0, 0), least - 1);
        assert!(matches!(poor, Err(Decline::Funds)));
        // What was promised a moment ago counts, before the chain shows it.
        let taken = left(&provider, promised(1, 1), u64::MAX);
        assert!(matches!(taken, Err(Decline::NoUnits)));
        provider.units = U16::new(3);
        let both = 2 * 26_000_000 + 3 * 20_000_000;
        assert!(left(&provider, promised(1, 1), both).is_ok());
        assert!(left(&provider, promised(1, 1), both - 1).is_err());
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
        assert!(Decline::Lost.is_passing() && Decline::Runtime(String::new()).is_passing());
        assert!(Decline::Funds.is_passing() && Decline::Tenant(1).is_passing());
        assert!(Decline::Source(SourceError::NotHere).is_passing());
        assert!(!Decline::Source(SourceError::Url(String::new())).is_passing());
        assert!(!Decline::Container.is_passing() && !Decline::Model.is_passing());
    }
}
