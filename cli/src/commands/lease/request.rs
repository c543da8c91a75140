//! `mythic lease request`: from an offer to an endpoint that answers.

use super::{
    host::{Host, Reach, Word},
    image::ContainerArgs,
    kept::Kept,
    read::{address, load, request_at},
    show::{ProviderOffer, offers},
};
use crate::{
    commands::wallet,
    confirm::confirm,
    context::Connection,
    exit::{self, Exit},
    note,
    progress::Step,
    report::Report,
    say,
    units::{about, sol},
};
use anyhow::{Context, Result};
use clap::Args;
use mythic_client::{ChainClient, Commitment, base_fee, market};
use mythic_interface::{
    hash::lease_key_hash,
    le::{Text, U32, U64},
    market::{
        ix::{self, RequestCompute},
        meter,
        state::{Isolation, Lease, LeaseKind, LeaseStatus, MarketConfig, RequestStatus},
    },
    state::{Model, ModelStatus, NO_KEY},
    window,
};
use mythic_provider::{
    access::Access,
    intake::fit::Decline,
    spec::{Document, FLOOR_ANSWER, FLOOR_PROMPT, Spec, container::Unsealed},
};
use mythic_wire::openai::model_id;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use std::time::{Duration, Instant};

/// Slots from a request to the deadline of its acceptance, and the life of its nonce, as far as the market allows.
const DEADLINE_SLOTS: u32 = 150;
const NONCE_SLOTS: u32 = 1_000;
/// How long a start is waited for after that: an engine is loaded.
const START_PATIENCE: Duration = Duration::from_secs(180);
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Pause before the values of an environment are told again that others' have pushed out.
const TELL_AGAIN: Duration = Duration::from_secs(5);

/// Lease an endpoint, or with --image a container: pay for all seconds, wait until the provider serves it, check how it is reached,
/// acknowledge. What it costs is shown first; what is not used comes back when you close it
#[derive(Args, Debug, Clone)]
pub struct Request {
    /// Authority of the provider [default: the cheapest of the class with units free]
    #[arg(long)]
    pub provider: Option<String>,
    /// Class of capacity
    #[arg(long, default_value = "cpu")]
    pub class: String,
    /// Model: its id, its name, or its address on chain [default: the only one]
    #[arg(long)]
    pub model: Option<String>,
    /// Units, 1 to 8
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=8))]
    pub units: u8,
    /// Seconds to pay for; `mythic lease top-up` adds more
    #[arg(long, default_value_t = 600)]
    pub seconds: u32,
    /// Answers at once
    #[arg(long, default_value_t = 2)]
    pub max_concurrent: usize,
    /// Least tokens a second of one answer that the provider must promise; it takes the request only if it has measured as much
    #[arg(long, conflicts_with = "image")]
    pub min_tokens_per_second: Option<u32>,
    #[command(flatten)]
    pub container: ContainerArgs,
    #[command(flatten)]
    pub reach: Reach,
    /// Sign without asking
    #[arg(long)]
    pub yes: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// A lease that runs and is acknowledged.
pub struct Leased {
    pub lease: Pubkey,
    pub key: String,
    pub access: Access,
}

impl Request {
    /// Leases an endpoint.
    pub async fn run(self, connection: &Connection) -> Result<Leased> {
        let (chain, wallet) = (connection.chain(), connection.wallet()?);
        let offer = self.offer(&chain).await?;
        let (model, model_name) = self.model(&chain).await?;
        let market = market::address::config();
        let read = chain.account::<MarketConfig>(&market).await?;
        let (_, config) = read.context("the market is not initialised on this chain")?;
        self.check_price(&offer, &config)?;
        let all = self.costs(&chain, &offer, &model_name).await?;
        let question = format!(
            "Wallet {} signs and pays {}. Go on?",
            wallet.pubkey(),
            sol(all)
        );
        confirm(&question, self.yes)?;

        let host = Host::of_lease(&offer.endpoint, self.reach.is_private(connection)).await?;
        let key = format!("lease-{}", hex::encode(rand::random::<[u8; 24]>()));
        let spec = Spec::endpoint(&lease_key_hash(key.as_bytes()), self.max_concurrent)
            .with_floor(self.min_tokens_per_second);
        let document = Document::new(rand::random(), &spec);
        let source = host.leave(&document).await?;
        let slot = chain.slot(Commitment::Processed).await?;
        let params = &config.params;
        let life = NONCE_SLOTS.min(params.max_nonce_life_slots.get());
        let nonce = window::nonce(slot.saturating_add(life.into()), rand::random());
        let (class, args) = self.arguments(&offer, Some(&model), (&document, &source), &config)?;
        let args = RequestCompute { nonce, ..args };
        let address = market::address::request(wallet.pubkey(), &nonce);
        let lease = market::address::lease(address);
        // The key is on disk before anything is paid for it.
        let kept = Kept {
            lease: lease.to_string(),
            key: key.clone(),
            endpoint: offer.endpoint.clone(),
            document: String::from_utf8(document.to_bytes()).ok(),
            ssh_key: None,
        };
        let file = kept.write(connection, &lease)?;

        let step = Step::new(format!("Paying into request {address}"));
        let call = ix::request_compute(wallet.pubkey(), wallet.pubkey(), class, &args);
        wallet::send(&chain, &wallet, &[call]).await?;
        step.done();
        let state = accepted(&chain, &wallet, &host, (&address, &lease), &[]).await?;
        let wanted = Wanted {
            model: model_name,
            max_concurrent: self.max_concurrent,
            min_tokens_per_second: self.min_tokens_per_second,
            operator: offer.operator.to_string(),
        };
        let access = acknowledged(&chain, &wallet, &host, (&lease, &key, &wanted), state).await?;

        let running = Leased { lease, key, access };
        let mut report = Report::default();
        report
            .add("lease", lease.to_string())
            .add("request", address.to_string())
            .add("provider", offer.authority.to_string())
            .add("model", running.access.model.clone())
            .add("base_url", running.access.base_url.clone())
            .add("api_key", running.key.clone())
            .add("kept_in", file.display().to_string())
            .lamports(
                "paid",
                args.price.get() * u64::from(self.seconds) * u64::from(self.units),
            );
        report.print(self.json)?;
        if !self.json {
            say!(
                "\n  curl {}/chat/completions -H 'Authorization: Bearer {}' -H 'Content-Type: application/json' \\\n    -d '{{\"messages\":[{{\"role\":\"user\",\"content\":\"Why is the sky blue?\"}}]}}'\n",
                running.access.base_url,
                running.key
            );
            say!("`mythic lease probe {lease}` checks it, `mythic lease close {lease}` ends it.");
        }
        Ok(running)
    }

    /// The provider that is asked: the one that is named, or the cheapest that has room.
    pub async fn offer(&self, chain: &ChainClient) -> Result<ProviderOffer> {
        let offers = offers(chain, &self.class).await?;
        let none = |message: String| Exit::error(exit::NOT_FOUND, message);
        if let Some(named) = &self.provider {
            let authority = address(named)?;
            let found = offers
                .into_iter()
                .find(|offer| offer.authority == authority);
            return found
                .ok_or_else(|| none(format!("no provider {authority} of class {:?}", self.class)));
        }
        let free = offers
            .into_iter()
            .filter(|offer| offer.is_active && offer.free_units >= self.units.into());
        free.min_by_key(|offer| offer.price).ok_or_else(|| {
            none(format!(
                "no provider of class {:?} has {} units free; `mythic lease offers` shows all",
                self.class, self.units
            ))
        })
    }

    /// The account of the model, and its id.
    async fn model(&self, chain: &ChainClient) -> Result<(Pubkey, String)> {
        let models = chain
            .program_accounts::<Model>(&[], Commitment::Confirmed)
            .await?;
        let active = models
            .into_iter()
            .filter(|(_, model)| model.header.status == ModelStatus::Active as u8);
        let named = active.map(|(address, model)| {
            let id = model_id(model.name.as_str(), &model.identity);
            (address, id)
        });
        let wanted = |(address, id): &(Pubkey, String)| match self.model.as_deref() {
            None => true,
            Some(wanted) => {
                id == wanted
                    || id.split('@').next() == Some(wanted)
                    || address.to_string() == wanted
            }
        };
        let mut found: Vec<(Pubkey, String)> = named.filter(wanted).collect();
        match (found.pop(), found.is_empty()) {
            (Some(only), true) => Ok(only),
            (None, _) => Err(Exit::error(
                exit::NOT_FOUND,
                format!(
                    "no model {} on this chain",
                    self.model.as_deref().unwrap_or_default()
                ),
            )),
            (Some(last), false) => {
                let ids: Vec<String> = found.into_iter().chain([last]).map(|(_, id)| id).collect();
                Err(Exit::error(
                    exit::USAGE,
                    format!("--model: several fit, name one of {}", ids.join(", ")),
                ))
            }
        }
    }

    /// Refuses what the market would.
    pub fn check_price(&self, offer: &ProviderOffer, config: &MarketConfig) -> Result<()> {
        let (least, no_show) = (config.grid.epoch_seconds.get(), config.params.rules.no_show);
        let refuse = |message: String| Err(Exit::error(exit::USAGE, message));
        if self.seconds < least {
            return refuse(format!(
                "--seconds {}: a lease lasts at least an epoch, which is {least} s",
                self.seconds
            ));
        }
        let price = meter::price_of(offer.price, self.units, self.seconds.into());
        if price.is_ok_and(|price| price < no_show.get()) {
            return refuse(format!(
                "--seconds {}: all of them must cost at least {}; take more",
                self.seconds,
                sol(no_show.get())
            ));
        }
        Ok(())
    }

    /// Says what it costs; returns all that leaves the wallet at first.
    pub async fn costs(
        &self,
        chain: &ChainClient,
        offer: &ProviderOffer,
        model: &str,
    ) -> Result<u64> {
        let price = meter::price_of(offer.price, self.units, self.seconds.into());
        let price = price.map_err(|error| Exit::error(exit::USAGE, error.message()))?;
        let len = mythic_interface::market::state::Request::LEN;
        let (rent, fees) = (chain.rent(len).await?, base_fee(1) * 2);
        note!("Leasing {model} of provider {}:", offer.authority);
        note!(
            "  {} for {} of {} at {} a second each; what is not used comes back",
            sol(price),
            about(self.seconds.into()),
            crate::units::counted(self.units.into(), "unit"),
            sol(offer.price)
        );
        note!(
            "  {} of rent, which comes back, and {} of fees",
            sol(rent),
            sol(fees)
        );
        if let Some(floor) = self.min_tokens_per_second {
            note!(
                "  at least {floor} tokens a second for one answer of {FLOOR_ANSWER} tokens or more to a prompt of at most {FLOOR_PROMPT}, which the provider must have measured to take it; `mythic lease probe` measures it, no stake backs it"
            );
        }
        Ok(price.saturating_add(rent).saturating_add(fees))
    }

    /// The class and the arguments of a request: of an endpoint of this model, or of a container.
    pub fn arguments(
        &self,
        offer: &ProviderOffer,
        model: Option<&Pubkey>,
        (document, source): (&Document, &str),
        config: &MarketConfig,
    ) -> Result<(Pubkey, RequestCompute)> {
        let deadline = DEADLINE_SLOTS.min(config.params.max_request_slots.get());
        let source = Text::new(source).with_context(|| {
            format!("the provider's URL is so long that {source} does not fit a request")
        })?;
        let args = RequestCompute {
            nonce: [0; 16],
            kind: match model {
                Some(_) => LeaseKind::Endpoint as u8,
                None => LeaseKind::Container as u8,
            },
            spec_hash: document.hash(),
            spec_source: source,
            model: model.map_or(NO_KEY, |model| model.to_bytes()),
            units: self.units,
            region: Text::default(),
            isolation: Isolation::Process as u8,
            provider: offer.authority.to_bytes(),
            price: U64::new(offer.price),
            seconds: U32::new(self.seconds),
            deadline_slots: U32::new(deadline),
            rules_hash: config.rules_hash,
            bump: 0,
        };
        Ok((offer.class, args))
    }
}

/// Waits until the provider has taken a request and started its lease. One that it declines, or does not take in time, is taken back. Values
/// of an environment that it has forgotten are told again.
pub async fn accepted(
    chain: &ChainClient,
    wallet: &Keypair,
    host: &Host,
    (request, lease): (&Pubkey, &Pubkey),
    environment: &[Unsealed],
) -> Result<Lease> {
    let step = Step::new("Waiting until the provider takes it and starts");
    let started = Instant::now();
    let (mut told, forgotten) = (started, Decline::Environment.to_string());
    let mut waited = None;
    loop {
        if let Some((_, state)) = chain.account::<Lease>(lease).await?
            && state.status() != Some(LeaseStatus::Accepted)
        {
            step.done();
            return Ok(state);
        }
        let open = request_at(chain, request).await;
        let slot = chain.slot(Commitment::Processed).await?;
        if let Some(open) = open.filter(|open| open.header.status == RequestStatus::Open as u8) {
            let late = !window::open(slot, open.deadline_slot.get());
            let refusal = match host.word(request).await {
                Word::Declined(reason) => Some(at_last(reason, waited.take())),
                Word::Waiting(reason) if late => Some(reason),
                Word::Waiting(reason) => {
                    step.note(&reason);
                    if reason == forgotten && told.elapsed() > TELL_AGAIN {
                        told = Instant::now();
                        if let Err(error) = host.tell_environment(wallet, lease, environment).await
                        {
                            step.note(&format!("the environment can't be told again: {error:#}"));
                        }
                    }
                    waited = Some(reason);
                    None
                }
                Word::Nothing => late.then(|| "it did not take it in time".to_owned()),
            };
            if let Some(reason) = refusal {
                let call = ix::cancel_request(wallet.pubkey(), request);
                wallet::send(chain, wallet, &[call]).await?;
                return Err(Exit::error(
                    exit::FAILURE,
                    format!(
                        "the provider declines: {reason}. The request is taken back and refunded"
                    ),
                ));
            }
        } else {
            step.note("taken; it is prepared");
        }
        if started.elapsed() > START_PATIENCE {
            return Err(Exit::error(
                exit::UNREACHABLE,
                format!("the lease did not start in time; `mythic lease close {lease}` refunds it"),
            ));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Why a request is declined, with what it waited for until then: of one whose time ran out that is the reason.
fn at_last(reason: String, waited: Option<String>) -> String {
    match waited {
        Some(before) if before != reason => format!("{reason}; until then: {before}"),
        _ => reason,
    }
}

/// What was asked for, as the provider must give it.
struct Wanted {
    /// The model's id.
    model: String,
    max_concurrent: usize,
    min_tokens_per_second: Option<u32>,
    /// Base58 key of the provider's operator.
    operator: String,
}

impl Wanted {
    /// Refuses what a provider gives that was not asked for; nothing of it is acknowledged.
    fn check(&self, lease: &Pubkey, access: &Access) -> Result<()> {
        let other = |what: &str, given: &str, wanted: &str| {
            let message = format!(
                "the provider's {what} is {given}, and {wanted} was asked for: not acknowledged; `mythic lease close {lease}` ends it"
            );
            Err(Exit::error(exit::CHECK_FAILED, message))
        };
        let lease = lease.to_string();
        if access.lease != lease {
            return other("lease", &access.lease, &lease);
        }
        if access.model != self.model {
            return other("model", &access.model, &self.model);
        }
        if access.operator != self.operator {
            return other("operator", &access.operator, &self.operator);
        }
        if access.min_tokens_per_second != self.min_tokens_per_second {
            let floor = |promised: Option<u32>| promised.map_or("none".into(), |n| n.to_string());
            let (given, wanted) = (access.min_tokens_per_second, self.min_tokens_per_second);
            return other("floor in tokens a second", &floor(given), &floor(wanted));
        }
        match access.max_concurrent >= self.max_concurrent {
            true => Ok(()),
            false => other(
                "number of answers at once",
                &access.max_concurrent.to_string(),
                &self.max_concurrent.to_string(),
            ),
        }
    }
}

/// Checks how a lease is reached, reaches it, and says so on chain.
async fn acknowledged(
    chain: &ChainClient,
    wallet: &Keypair,
    host: &Host,
    (lease, key, wanted): (&Pubkey, &str, &Wanted),
    state: Lease,
) -> Result<Access> {
    let step = Step::new("Checking how it is reached, and acknowledging the start");
    let access = host.access(lease, &state).await?;
    wanted.check(lease, &access)?;
    host.model(&access, key).await?;
    acknowledge(chain, wallet, lease, state).await?;
    step.done();
    Ok(access)
}

/// Says on chain that a lease was reached.
pub async fn acknowledge(
    chain: &ChainClient,
    wallet: &Keypair,
    lease: &Pubkey,
    state: Lease,
) -> Result<()> {
    if state.status() == Some(LeaseStatus::Started) {
        let call = ix::acknowledge_start(lease, &state);
        wallet::send(chain, wallet, &[call]).await?;
    }
    let state = load(chain, lease).await?;
    match state.status() == Some(LeaseStatus::Active) {
        true => Ok(()),
        false => Err(Exit::error(
            exit::FAILURE,
            format!(
                "the lease is not active: {}",
                super::words::standing(&state, 0)
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_waited_is_told_what_for() {
        let declined = |waited: Option<&str>| at_last("late".into(), waited.map(str::to_owned));
        assert_eq!(declined(None), "late");
        assert_eq!(declined(Some("late")), "late");
        assert_eq!(declined(Some("no room")), "late; until then: no room");
    }

    #[test]
    fn what_was_not_asked_for_is_not_acknowledged() {
        let lease = Pubkey::new_from_array([1; 32]);
        let wanted = Wanted {
            model: "m@0".into(),
            max_concurrent: 2,
            min_tokens_per_second: Some(20),
            operator: "op".into(),
        };
        let good = Access {
            lease: lease.to_string(),
            base_url: "http://127.0.0.1:1/v1".into(),
            model: "m@0".into(),
            max_concurrent: 2,
            operator: "op".into(),
            min_tokens_per_second: Some(20),
        };
        assert!(wanted.check(&lease, &good).is_ok());
        type Change = fn(&mut Access);
        let cases: [(Change, &str); 6] = [
            (|a| a.lease = "other".into(), "lease is other"),
            (|a| a.model = "tiny@0".into(), "model is tiny@0"),
            (|a| a.operator = "thief".into(), "operator is thief"),
            (|a| a.max_concurrent = 1, "answers at once is 1"),
            (|a| a.min_tokens_per_second = Some(19), "a second is 19"),
            (|a| a.min_tokens_per_second = None, "a second is none"),
        ];
        for (change, words) in cases {
            let mut access = good.clone();
            change(&mut access);
            let refused = wanted.check(&lease, &access).unwrap_err().to_string();
            assert!(refused.contains(words), "{refused}");
        }
    }
}
