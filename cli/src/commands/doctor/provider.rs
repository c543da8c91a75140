//! `mythic doctor provider`: what would keep a provider of the Compute Market from taking, proving and answering for leases.

use super::finding::{self, Finding, Verdict};
use crate::{config, units::sol};
use anyhow::Result;
use clap::Args;
use mythic_client::{ChainClient, ClientError, Commitment, Filter, keys, market};
use mythic_interface::{
    le::Text,
    market::state::{
        Class, ClassStatus, Lease, MarketConfig, Provider as Registered, ProviderStatus,
    },
    state::Model,
    window,
};
use mythic_provider::{
    ProviderConfig,
    container::{
        config::{ContainersConfig, RuntimeKind},
        needs,
    },
    funds::Needs,
    measure,
    serve::models::LocalModel,
    setup,
};
use mythic_wire::{dial, signed::unix_seconds};
use serde_json::Value;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::timeout;

/// The chain's own clock.
const CLOCK: Pubkey = Pubkey::from_str_const("SysvarC1ock11111111111111111111111111111111");
/// How far the chain's clock and this machine's may be apart, seconds.
const APART: u64 = 60;
/// How long a slot and an answer of the endpoint are waited for.
const PATIENCE: Duration = Duration::from_secs(20);
const INIT: &str =
    "`mythic provider init` with its directory registers it, or changes what the chain says";

/// Look for what would keep a provider from taking leases, proving them and answering disputes, and say how to fix it. Exit code 6 if
/// something is wrong, 7 if something could not be found out
#[derive(Args, Debug)]
pub struct ProviderCheck {
    /// TOML file of the provider; MYTHIC_PROVIDER__KEY in the environment wins
    #[arg(long)]
    config: PathBuf,
    /// Print JSON lines
    #[arg(long)]
    json: bool,
}

/// What is configured, and as whom.
struct Configured {
    config: ProviderConfig,
    authority: Pubkey,
    operator: Pubkey,
}

/// What the chain says.
struct OnChain {
    slot: u64,
    market: MarketConfig,
    class: Option<(Pubkey, Class)>,
    provider: Option<Registered>,
    /// Of a lease's account.
    rent: u64,
    /// Of the operator.
    balance: u64,
}

/// Runs the checks.
pub async fn run(check: ProviderCheck) -> Result<()> {
    let mut findings = Vec::new();
    match configured(&check.config) {
        Ok(own) => {
            let detail = format!("{} would be taken", check.config.display());
            findings.push(Finding::good("config", detail));
            examine(&own, &mut findings).await;
        }
        Err(error) => {
            let fix = "mend the key that it names; the operator's guide lists all of them";
            findings.push(Finding::bad("config", format!("{error:#}"), fix));
        }
    }
    finding::tell(&findings, check.json)
}

fn configured(file: &Path) -> Result<Configured> {
    let config: ProviderConfig = config::load(Some(file))?;
    let authority = config.authority().map_err(anyhow::Error::msg)?;
    let operator = keys::load_keypair(&config.operator_keypair)?.pubkey();
    Ok(Configured {
        config,
        authority,
        operator,
    })
}

async fn examine(own: &Configured, findings: &mut Vec<Finding>) {
    let chain = ChainClient::new(&own.config.rpc_url, &own.config.ws_url);
    findings.push(websocket(&chain, &own.config.ws_url).await);
    match read(&chain, own).await {
        Ok(Some(said)) => {
            findings.push(reached(&chain, said.slot, &own.config.rpc_url).await);
            findings.push(clock(&chain).await);
            findings.push(registered(own, &said));
            findings.extend(of_class(own, &said).await);
            findings.push(funds(own, &said));
        }
        Ok(None) => findings.push(Finding::bad(
            "chain",
            format!("no Compute Market at {}", own.config.rpc_url),
            "name the RPC of the network that the provider is for in rpc_url",
        )),
        Err(error) => findings.push(Finding::bad(
            "chain",
            error.to_string(),
            "start the chain's RPC, or name another one in rpc_url",
        )),
    }
    findings.extend(models(&chain, &own.config).await);
    findings.extend(containers(&own.config.containers));
    findings.push(endpoint(own).await);
}

/// All that is judged; `None` on a chain without a market.
async fn read(chain: &ChainClient, own: &Configured) -> Result<Option<OnChain>, ClientError> {
    let slot = chain.slot(Commitment::Processed).await?;
    let address = market::address::config();
    let Some((_, market)) = chain.account::<MarketConfig>(&address).await? else {
        return Ok(None);
    };
    let class = match Text::new(&own.config.class) {
        Some(name) => {
            let address = market::address::class(&name);
            let class = chain.account::<Class>(&address).await?;
            class.map(|(_, class)| (address, class))
        }
        None => None,
    };
    let address = market::address::provider(own.authority);
    let provider = chain.account::<Registered>(&address).await?;
    Ok(Some(OnChain {
        slot,
        market,
        class,
        provider: provider.map(|(_, provider)| provider),
        rent: chain.rent(Lease::LEN).await?,
        balance: chain.balance(&own.operator).await?,
    }))
}

/// Which chain it is.
async fn reached(chain: &ChainClient, slot: u64, url: &str) -> Finding {
    match chain.rpc().get_genesis_hash().await {
        Ok(genesis) => Finding::good(
            "chain",
            format!("slot {slot} of genesis {genesis} at {url}"),
        ),
        Err(error) => Finding::unknown(
            "chain",
            format!("slot {slot} at {url}; which chain it is can't be told: {error}"),
            "name an RPC that answers getGenesisHash in rpc_url",
        ),
    }
}

async fn websocket(chain: &ChainClient, url: &str) -> Finding {
    let mut slots = chain.watch_slots();
    match timeout(PATIENCE, slots.next()).await {
        Ok(Some(slot)) => Finding::good("slots", format!("slot {} from {url}", slot.slot)),
        _ => Finding::unknown(
            "slots",
            format!("{url} told of no slot within {} s", PATIENCE.as_secs()),
            "look at ws_url; a chain that stands still tells of none either",
        ),
    }
}

async fn clock(chain: &ChainClient) -> Finding {
    let read = chain.raw_account(&CLOCK, Commitment::Processed).await;
    let second = read.ok().and_then(|read| seconds_of(&read.account?.data));
    match second {
        Some(second) => compared(second, unix_seconds()),
        None => Finding::unknown(
            "clock",
            "the chain's clock can't be read",
            "name an RPC in rpc_url that answers for the account of the clock",
        ),
    }
}

/// The time in the account of the chain's clock: after slot, start of the epoch, epoch and the one whose leaders are known.
fn seconds_of(clock: &[u8]) -> Option<u64> {
    let bytes = clock.get(32..40)?.try_into().ok()?;
    i64::from_le_bytes(bytes).try_into().ok()
}

fn compared(chain: u64, here: u64) -> Finding {
    let apart = chain.abs_diff(here);
    match apart <= APART {
        true => Finding::good("clock", format!("{apart} s beside the chain's")),
        false => Finding::bad(
            "clock",
            format!("this machine's clock and the chain's are {apart} s apart"),
            "set this machine's clock by NTP; if it is right, the RPC's node lags",
        ),
    }
}

/// Whether the chain knows it as it is configured.
fn registered(own: &Configured, said: &OnChain) -> Finding {
    const WHAT: &str = "registered";
    let authority = own.authority;
    let Some(found) = &said.provider else {
        let detail = format!("no provider {authority} on this chain");
        return Finding::bad(WHAT, detail, INIT);
    };
    if found.operator != own.operator.to_bytes() {
        let registered = Pubkey::new_from_array(found.operator);
        let detail = format!(
            "its operator on chain is {registered}, and operator_keypair is {}",
            own.operator
        );
        return Finding::bad(WHAT, detail, INIT);
    }
    let is_of_class = said
        .class
        .as_ref()
        .is_none_or(|(address, _)| found.class == address.to_bytes());
    if !is_of_class {
        let detail = format!(
            "it is registered for another class than {:?}",
            own.config.class
        );
        let fix = "name the class that it is registered for; a provider has one for ever";
        return Finding::bad(WHAT, detail, fix);
    }
    if found.header.status == ProviderStatus::Jailed as u8 {
        let until = found.jailed_until.get();
        let detail = format!("it is jailed until slot {until}: a proof of it was refuted");
        let fix = "find out why this machine computes wrongly before it takes leases again";
        return Finding::bad(WHAT, detail, fix);
    }
    match setup::is_as_configured(found, &own.config, &own.operator) {
        Ok(true) => Finding::good(WHAT, authority.to_string()),
        Ok(false) => Finding::new(
            WHAT,
            Verdict::Note,
            "units, price, region or endpoint differ from what the chain says, which counts",
        )
        .fix(INIT),
        Err(error) => Finding::bad(WHAT, format!("{error:#}"), "shorten what it names"),
    }
}

/// The class, the stake behind its units, and whether this machine proves it in time.
async fn of_class(own: &Configured, said: &OnChain) -> Vec<Finding> {
    let Some((_, class)) = &said.class else {
        let detail = format!("the market has no class {:?}", own.config.class);
        return vec![Finding::bad("class", detail, "name one that it has")];
    };
    let retired = class.header.status == ClassStatus::Retired as u8;
    let named = match retired {
        true => Finding::new(
            "class",
            Verdict::Note,
            "it is retired: no new requests come",
        ),
        false => Finding::good("class", own.config.class.clone()),
    };
    let mut findings = vec![named, stake(own, said, class)];
    let (class, grid, units) = (*class, said.market.grid, own.config.units);
    let device = own.config.device.clone();
    let measured =
        tokio::task::spawn_blocking(move || measure::measure(&class, &grid, &device)).await;
    findings.push(match measured {
        Ok(Ok(measured)) => proofs(&measured, units),
        Ok(Err(error)) => Finding::bad(
            "proofs",
            error.to_string(),
            "name a class of CPUs, or a GPU in `device`",
        ),
        Err(error) => Finding::unknown("proofs", error.to_string(), "try again"),
    });
    findings
}

/// Whether active stake backs all units at their price.
fn stake(own: &Configured, said: &OnChain, class: &Class) -> Finding {
    const WHAT: &str = "stake";
    let (rules, config) = (&said.market.params.rules, &own.config);
    let behind = class.probe.stake_per_unit.get();
    if let Err(error) = setup::check_price(config, rules, behind, &said.market.grid) {
        return Finding::bad(WHAT, format!("{error:#}"), "change price_lamports");
    }
    let Some(found) = &said.provider else {
        return Finding::unknown(WHAT, "not registered: there is none", INIT);
    };
    let least = behind
        .saturating_mul(config.units.into())
        .max(rules.min_stake.get());
    let (stake, added) = (found.stake.get(), found.activating.get());
    // What counts from a slot on counts when a request is accepted.
    let (active, coming) = match window::open(said.slot, found.activating_slot.get()) {
        true => (stake, added),
        false => (stake.saturating_add(added), 0),
    };
    match active >= least {
        true => Finding::good(
            WHAT,
            format!("{} behind {} units", sol(active), config.units),
        ),
        false => Finding::bad(
            WHAT,
            format!(
                "{} is active and {} on its way; {} units need {}",
                sol(active),
                sol(coming),
                config.units,
                sol(least)
            ),
            "offer fewer units, or add stake (`mythic provider add-stake`): requests beyond it are declined",
        ),
    }
}

fn proofs(measured: &measure::Measured, units: u16) -> Finding {
    let detail = format!(
        "a unit's proof takes {:.2} s, {units} of them {:.1} % of the {:.1} s in which they are taken",
        measured.proof.as_secs_f64(),
        100.0 * measured.proof.as_secs_f64() * f64::from(units) / measured.allowed.as_secs_f64(),
        measured.allowed.as_secs_f64()
    );
    match measured.is_in_time(units) {
        true => Finding::good("proofs", detail),
        false => Finding::bad(
            "proofs",
            detail,
            "offer fewer units, or leave proofs more cores",
        ),
    }
}

/// Whether the operator can answer for all units.
fn funds(own: &Configured, said: &OnChain) -> Finding {
    const WHAT: &str = "operator";
    let Some((_, class)) = &said.class else {
        let detail = format!("{} holds {}", own.operator, sol(said.balance));
        return Finding::unknown(WHAT, detail, "what it needs follows from the class");
    };
    let behind = class.probe.stake_per_unit.get();
    let needs = Needs::new(said.rent, &said.market.grid, behind, &own.config.bids);
    let needed = needs.to_accept(1, own.config.units.into());
    let detail = format!(
        "{} holds {}; rent of a lease, proofs of a day and answers to disputes of all units take {}",
        own.operator,
        sol(said.balance),
        sol(needed)
    );
    match said.balance >= needed {
        true => Finding::good(WHAT, detail),
        false => {
            let lacks = sol(needed - said.balance);
            Finding::bad(WHAT, detail, format!("send it {lacks}"))
        }
    }
}

/// Whether the chain has a model for each file.
async fn models(chain: &ChainClient, config: &ProviderConfig) -> Vec<Finding> {
    let mut findings = Vec::new();
    for path in &config.models {
        findings.push(match model(chain, path).await {
            Ok(finding) => finding,
            Err(error) => Finding::unknown("model", format!("{error:#}"), "try again"),
        });
    }
    findings
}

async fn model(chain: &ChainClient, path: &Path) -> Result<Finding> {
    const WHAT: &str = "model";
    let (shown, file) = (path.display(), path.to_path_buf());
    let local = match tokio::task::spawn_blocking(move || LocalModel::read(&file)).await? {
        Ok(local) => local,
        Err(error) => {
            let detail = format!("{error:#}");
            return Ok(Finding::bad(WHAT, detail, "name another file in models"));
        }
    };
    let filters = [Filter::<Model>::weights(&local.weights)];
    let found = chain.program_accounts(&filters, Commitment::Processed);
    let found = found.await?;
    Ok(match found.iter().find(|(_, model)| local.is(model)) {
        Some((address, model)) => {
            let name = model.name.as_str();
            Finding::good(WHAT, format!("{shown} is {name}, at {address}"))
        }
        None => Finding::bad(
            WHAT,
            match found.is_empty() {
                true => format!("no model on chain has the weights of {shown}"),
                false => format!(
                    "models on chain have the weights of {shown}, and say something else of it than the file, or are not active"
                ),
            },
            format!("register the file: mythic model register {shown}"),
        ),
    })
}

/// What runs containers here, and what is missing for it; where they are not leased out, whether they could be.
fn containers(config: &ContainersConfig) -> Vec<Finding> {
    const WHAT: &str = "containers";
    let lacks = needs::lacks(config);
    let detail = match config.runtime {
        RuntimeKind::None => {
            let detail = match lacks.first() {
                None => "endpoints only; this machine could run containers by runc".to_owned(),
                Some(lack) => format!("endpoints only; for containers by runc: {}", lack.what),
            };
            return vec![Finding::new(WHAT, Verdict::Note, detail)];
        }
        RuntimeKind::Runc => {
            let images = config.images.len();
            format!("by runc, of the images in {images} directories")
        }
        RuntimeKind::Docker => {
            let repositories = config.repositories.len();
            format!("by Docker, with images of {repositories} repositories beside its own")
        }
    };
    if lacks.is_empty() {
        return vec![Finding::good(WHAT, detail)];
    }
    let lacks = lacks.into_iter();
    lacks
        .map(|lack| Finding::bad(WHAT, lack.what, lack.mend))
        .collect()
}

/// Whether tenants reach it, as far as that can be told from here.
async fn endpoint(own: &Configured) -> Finding {
    const WHAT: &str = "endpoint";
    let origin = match own.config.origin() {
        Ok(origin) => origin,
        Err(error) => return Finding::bad(WHAT, error, "name the public URL"),
    };
    if !own.config.allow_loopback
        && let Some(private) = private(origin.as_str()).await
    {
        let detail = format!("{origin} leads to {private}, which nobody else reaches");
        return Finding::bad(WHAT, detail, "name a public address");
    }
    let detail = match health(&origin.at("/health")).await {
        Ok(health) if health["provider"] == own.authority.to_string() => {
            let detail = format!("{origin} answers as this provider, asked from here");
            return Finding::good(WHAT, detail);
        }
        Ok(_) => {
            let detail = format!("{origin} answers, and not as this provider");
            let fix = "look at the reverse proxy, and at what else listens there";
            return Finding::bad(WHAT, detail, fix);
        }
        Err(error) => format!("{origin} does not answer: {error}"),
    };
    // Whoever can listen there itself has found no provider that runs.
    match TcpListener::bind(own.config.listen) {
        Ok(_) => Finding::new(
            WHAT,
            Verdict::Note,
            format!("{detail}; no provider runs here"),
        )
        .fix("start it, then ask again"),
        Err(_) => Finding::bad(
            WHAT,
            detail,
            format!(
                "let firewall, router and reverse proxy pass it on to {}",
                own.config.listen
            ),
        ),
    }
}

/// An address that a URL leads to and that is no public one; none where the name leads nowhere, which asking it tells.
async fn private(url: &str) -> Option<std::net::IpAddr> {
    let url = reqwest::Url::parse(url).ok()?;
    let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
    let port = url.port_or_known_default()?;
    let found = timeout(PATIENCE, tokio::net::lookup_host((host, port))).await;
    let mut addresses = found.ok()?.ok()?.map(|address| address.ip());
    addresses.find(|address| !dial::is_public(*address))
}

async fn health(url: &str) -> Result<Value, String> {
    let said = |error: reqwest::Error| crate::gateway::root(&error);
    let client = mythic_http::client::builder().build().map_err(said)?;
    let answer = client.get(url).timeout(PATIENCE).send();
    answer.await.map_err(said)?.json().await.map_err(said)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::Zeroable;
    use mythic_interface::{
        le::{U16, U32},
        market::params::{Grid, MarketParams},
    };

    fn own() -> Configured {
        Configured {
            config: ProviderConfig {
                units: 2,
                allow_loopback: true,
                ..ProviderConfig::default()
            },
            authority: Pubkey::new_from_array([1; 32]),
            operator: Pubkey::new_from_array([2; 32]),
        }
    }

    /// A chain that says of [`own`] what it should.
    fn said() -> OnChain {
        let (mut market, mut class) = (MarketConfig::zeroed(), Class::zeroed());
        market.grid = Grid {
            epoch_slots: U32::new(150),
            epoch_seconds: U32::new(60),
        };
        market.params = MarketParams::dev();
        class.header.status = ClassStatus::Active as u8;
        class.probe.stake_per_unit.set(1_000_000_000);
        let address = Pubkey::new_from_array([3; 32]);
        let mut provider = Registered::zeroed();
        provider.header.status = ProviderStatus::Active as u8;
        provider.operator = [2; 32];
        provider.class = address.to_bytes();
        provider.units = U16::new(2);
        provider.price.set(10_000);
        provider.stake.set(2_000_000_000);
        provider.endpoint = Text::new("http://127.0.0.1:8090").unwrap();
        OnChain {
            slot: 900,
            market,
            class: Some((address, class)),
            provider: Some(provider),
            rent: 26_000_000,
            balance: 10_000_000_000,
        }
    }

    fn change(change: impl Fn(&mut Registered)) -> OnChain {
        let mut said = said();
        change(said.provider.as_mut().unwrap());
        said
    }

    #[test]
    fn what_the_chain_says_otherwise_is_named_with_the_fix() {
        let own = own();
        let found = |said: &OnChain| registered(&own, said).told();
        assert_eq!(found(&said()).1, Verdict::Good, "{:?}", found(&said()));
        let mut absent = said();
        absent.provider = None;
        let cases = [
            (absent, Verdict::Bad, "provider init"),
            (
                change(|p| p.operator = [9; 32]),
                Verdict::Bad,
                "operator_keypair",
            ),
            (change(|p| p.class = [9; 32]), Verdict::Bad, "another class"),
            (
                change(|p| p.header.status = ProviderStatus::Jailed as u8),
                Verdict::Bad,
                "jailed",
            ),
            (change(|p| p.price.set(9)), Verdict::Note, "differ"),
        ];
        for (said, verdict, words) in cases {
            let told = found(&said);
            assert_eq!(told.1, verdict, "{told:?}");
            assert!(told.2.contains(words), "{told:?}: {words}");
        }
    }

    #[test]
    fn stake_and_money_for_all_units_are_asked_for() {
        let (mut own, said_well) = (own(), said());
        let class = said_well.class.unwrap().1;
        let of = |own: &Configured, said: &OnChain| stake(own, said, &class).told();
        assert_eq!(of(&own, &said_well).1, Verdict::Good);
        let poor = change(|p| {
            p.stake.set(1_999_999_999);
            p.activating.set(1);
            p.activating_slot.set(901);
        });
        let told = of(&own, &poor);
        assert!(
            told.1 == Verdict::Bad && told.2.contains("2 units"),
            "{told:?}"
        );
        let mut later = poor;
        later.slot = 901;
        assert_eq!(of(&own, &later).1, Verdict::Good, "it counts by then");
        own.config.price_lamports = u64::MAX >> 1;
        assert!(of(&own, &said_well).2.contains("price_lamports"));
        let mut money = said();
        assert_eq!(funds(&own, &money).told().1, Verdict::Good);
        money.balance = 1;
        let told = funds(&own, &money).told();
        assert!(
            told.1 == Verdict::Bad && told.2.contains("send it"),
            "{told:?}"
        );
        money.class = None;
        assert_eq!(funds(&own, &money).told().1, Verdict::Unknown);
    }

    #[test]
    fn clocks_that_are_apart_and_proofs_that_come_late_are_told() {
        let mut clock = [0; 40];
        clock[32..].copy_from_slice(&1_000_i64.to_le_bytes());
        assert_eq!(seconds_of(&clock), Some(1_000));
        assert_eq!(seconds_of(&clock[..39]), None);
        assert_eq!(compared(1_000, 1_000 + APART).told().1, Verdict::Good);
        assert_eq!(compared(1_001 + APART, 1_000).told().1, Verdict::Bad);
        let measured = measure::Measured {
            proof: Duration::from_secs(6),
            allowed: Duration::from_secs(20),
            epoch: Duration::from_secs(60),
        };
        assert_eq!(proofs(&measured, 1).told().1, Verdict::Good);
        let told = proofs(&measured, 2).told();
        assert!(
            told.1 == Verdict::Bad && told.2.contains("60.0 %"),
            "{told:?}"
        );
    }

    #[test]
    fn what_is_missing_for_containers_is_wrong_only_where_they_are_leased_out() {
        let mut config = ContainersConfig {
            runc: "/no/such/runc".into(),
            ..ContainersConfig::default()
        };
        let told = containers(&config);
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].told().1, Verdict::Note);
        config.runtime = RuntimeKind::Runc;
        let told: Vec<_> = containers(&config).iter().map(Finding::told).collect();
        let runc = told.iter().find(|told| told.2.contains("/no/such/runc"));
        assert_eq!(runc.map(|told| told.1), Some(Verdict::Bad), "{told:?}");
    }

    #[tokio::test]
    async fn an_endpoint_that_leads_into_a_private_network_is_told() {
        assert!(private("http://10.0.0.7:8090").await.is_some());
        assert!(private("http://[::1]:8090").await.is_some());
        assert!(private("http://8.8.8.8").await.is_none());
        let mut own = own();
        own.config.allow_loopback = false;
        let told = endpoint(&own).await.told();
        assert!(
            told.1 == Verdict::Bad && told.2.contains("127.0.0.1"),
            "{told:?}"
        );
    }
}
