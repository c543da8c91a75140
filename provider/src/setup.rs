//! What a provider is on chain: its class, its registration, and what that costs.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use mythic_client::{ChainClient, base_fee, market, patiently};
use mythic_interface::{
    le::{Text, U16, U64},
    market::{
        ix::{self, RegisterProvider, UpdateProvider},
        meter,
        params::{Grid, MarketRules},
        state::{Class, ClassStatus, Isolation, Lease, MarketConfig, Provider, RING},
    },
};
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;

use crate::{config::ProviderConfig, funds::Needs};

/// Pause while the market is not there yet.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The market's parameters; waits until the chain has them.
pub async fn market(chain: &ChainClient) -> Result<MarketConfig> {
    let address = market::address::config();
    loop {
        let read = || chain.account::<MarketConfig>(&address);
        if let Some((_, config)) = patiently("reading the market's config", read).await? {
            return Ok(config);
        }
        tracing::warn!(
            "the Compute Market is not initialised on this chain; waiting (is rpc_url the right one?)"
        );
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// A class by its name.
pub async fn class(chain: &ChainClient, name: &str) -> Result<(Pubkey, Class)> {
    let text = Text::new(name).with_context(|| format!("class {name:?}: no name of a class"))?;
    let address = market::address::class(&text);
    let read = || chain.account::<Class>(&address);
    match patiently("reading the class", read).await? {
        Some((_, class)) => Ok((address, class)),
        None => bail!("the market has no class {name:?}"),
    }
}

/// A provider's account, if it is registered.
pub async fn provider(chain: &ChainClient, authority: &Pubkey) -> Result<Option<Provider>> {
    let address = market::address::provider(authority);
    let read = || chain.account::<Provider>(&address);
    let found = patiently("reading the provider", read).await?;
    Ok(found.map(|(_, provider)| provider))
}

/// What a configuration wants of the chain.
fn wanted(config: &ProviderConfig, operator: &Pubkey) -> Result<UpdateProvider> {
    let endpoint = config.origin().map_err(anyhow::Error::msg)?;
    let unfit = |what: &str| anyhow!("{what} does not fit its account");
    Ok(UpdateProvider {
        operator: operator.to_bytes(),
        units: U16::new(config.units),
        price: U64::new(config.price_lamports),
        region: Text::new(&config.region).ok_or_else(|| unfit("region"))?,
        isolation: isolation(config) as u8,
        endpoint: Text::new(endpoint.as_str()).ok_or_else(|| unfit("endpoint"))?,
    })
}

/// How well all its tenants are kept apart: those of endpoints are threads and memory of one process.
fn isolation(config: &ProviderConfig) -> Isolation {
    match config.models.is_empty() && config.containers.is_on() {
        true => Isolation::Container,
        false => Isolation::Process,
    }
}

/// What brings the chain to where a configuration wants it.
#[derive(Debug, Clone)]
pub struct Registration {
    /// `None` if the chain says it already.
    pub call: Option<Instruction>,
    /// Whether there is no account yet.
    pub is_new: bool,
    /// Lamports of stake and of rent that go into the account; both come back.
    pub stake: u64,
    pub rent: u64,
    /// Lamports that the operator should have: rents of leases, and what is kept for proofs and answers, of all units.
    pub operator: u64,
    /// Lamports of the fee, for the signatures of payer and authority.
    pub fee: u64,
}

/// Plans a registration, or a change of one. Names what the market would refuse.
pub async fn plan(
    chain: &ChainClient,
    config: &ProviderConfig,
    operator: &Pubkey,
    payer: &Pubkey,
) -> Result<Registration> {
    let authority = config.authority().map_err(anyhow::Error::msg)?;
    let (market, wanted) = (market(chain).await?, wanted(config, operator)?);
    let rules = &market.params.rules;
    let (class_address, class) = class(chain, &config.class).await?;
    let fee = base_fee(2);
    let rent = patiently("asking for the rent", || chain.rent(Lease::LEN)).await?;
    let behind = class.probe.stake_per_unit.get();
    let needs = Needs::new(rent, &market.grid, behind, &config.bids);
    let funds = needs.to_begin(config.units.into());
    if let Some(found) = provider(chain, &authority).await? {
        ensure!(
            found.class == class_address.to_bytes(),
            "provider {authority} is registered for another class; a provider has one for ever"
        );
        let call = (!says(&found, &wanted)).then(|| ix::update_provider(authority, &wanted));
        return Ok(Registration {
            call,
            is_new: false,
            stake: 0,
            rent: 0,
            operator: funds,
            fee,
        });
    }
    ensure!(
        class.header.status == ClassStatus::Active as u8,
        "class {:?} is retired",
        config.class
    );
    let least = behind
        .saturating_mul(config.units.into())
        .max(rules.min_stake.get());
    ensure!(
        config.stake_lamports >= least,
        "stake_lamports = {}: {} units of class {:?} need at least {least}",
        config.stake_lamports,
        config.units,
        config.class
    );
    check_price(config, rules, behind, &market.grid)?;
    let args = RegisterProvider {
        operator: wanted.operator,
        stake: U64::new(config.stake_lamports),
        units: wanted.units,
        price: wanted.price,
        region: wanted.region,
        isolation: wanted.isolation,
        endpoint: wanted.endpoint,
    };
    let rent = patiently("asking for the rent", || chain.rent(Provider::LEN)).await?;
    Ok(Registration {
        call: Some(ix::register_provider(
            payer,
            authority,
            class_address,
            &args,
        )),
        is_new: true,
        stake: config.stake_lamports,
        rent,
        operator: funds,
        fee,
    })
}

/// Refuses a price at which no lease could begin.
pub fn check_price(
    config: &ProviderConfig,
    rules: &MarketRules,
    stake_per_unit: u64,
    grid: &Grid,
) -> Result<()> {
    let (price, seconds) = (config.price_lamports, u64::from(grid.epoch_seconds.get()));
    let epoch = meter::price_of(price, 1, seconds).unwrap_or(u64::MAX);
    let least = rules.min_epoch_price.get().div_ceil(seconds.max(1));
    let most = stake_per_unit / RING as u64 / seconds.max(1);
    ensure!(
        epoch >= rules.min_epoch_price.get(),
        "price_lamports = {price}: the market wants at least {least} lamports a second"
    );
    ensure!(
        epoch.saturating_mul(RING as u64) <= stake_per_unit,
        "price_lamports = {price}: the stake behind a unit of this class backs at most {most} lamports a second"
    );
    Ok(())
}

/// Whether the chain says of a provider what its configuration says.
pub fn is_as_configured(
    found: &Provider,
    config: &ProviderConfig,
    operator: &Pubkey,
) -> Result<bool> {
    Ok(says(found, &wanted(config, operator)?))
}

/// Whether the chain says of a provider what is wanted.
fn says(provider: &Provider, wanted: &UpdateProvider) -> bool {
    provider.operator == wanted.operator
        && provider.units == wanted.units
        && provider.price == wanted.price
        && provider.region == wanted.region
        && provider.isolation == wanted.isolation
        && provider.endpoint == wanted.endpoint
}

/// The provider's account for a process that starts: refused where it is not registered, or with another operator.
pub async fn registered(
    chain: &ChainClient,
    config: &ProviderConfig,
    operator: &Pubkey,
) -> Result<Provider> {
    let authority = config.authority().map_err(anyhow::Error::msg)?;
    let found = provider(chain, &authority).await?;
    let found = found.with_context(|| {
        format!("provider {authority} is not registered; `mythic provider init` registers it")
    })?;
    ensure!(
        found.operator == operator.to_bytes(),
        "provider {authority} has another operator on chain than operator_keypair; `mythic provider init` changes it"
    );
    if !is_as_configured(&found, config, operator)? {
        tracing::warn!(
            "units, price, region or endpoint differ from what is registered, and the chain's count; `mythic provider init` changes them"
        );
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use mythic_interface::{le::U32, market::params::MarketParams};

    use super::*;

    #[test]
    fn a_price_at_which_no_lease_could_begin_is_refused() {
        let grid = Grid {
            epoch_slots: U32::new(150),
            epoch_seconds: U32::new(60),
        };
        let rules = MarketParams::dev().rules;
        let check = |price_lamports: u64| {
            let config = ProviderConfig {
                price_lamports,
                ..ProviderConfig::default()
            };
            check_price(&config, &rules, 100_000_000, &grid).map_err(|error| error.to_string())
        };
        assert_eq!(check(10_000), Ok(()));
        assert!(check(1_666).unwrap_err().contains("at least 1667"));
        assert!(check(60_000).unwrap_err().contains("at most 52083"));
    }
}
