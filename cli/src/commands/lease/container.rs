//! `mythic lease request --image`: from an offer to a container that its tenant has entered.

use super::{
    host::Host,
    kept::Kept,
    request::{Request, accepted, acknowledge},
    ssh::{self, LoginKey},
};
use crate::{
    commands::wallet,
    confirm::confirm,
    context::Connection,
    exit::{self, Exit},
    progress::Step,
    report::Report,
    say,
    units::sol,
};
use anyhow::{Context, Result};
use mythic_client::{ChainClient, Commitment, market};
use mythic_interface::{
    market::{
        ix::{self, RequestCompute},
        state::{Lease, MarketConfig},
    },
    window,
};
use mythic_provider::{
    access::ContainerAccess,
    spec::{ContainerSpec, Document, Spec},
};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

/// Slots for which the nonce of a request lives, as far as the market allows.
const NONCE_SLOTS: u32 = 1_000;

/// Requests a container, enters it and acknowledges.
pub async fn run(request: &Request, image: &str, connection: &Connection) -> Result<()> {
    let (chain, wallet) = (connection.chain(), connection.wallet()?);
    let key = LoginKey::fresh();
    let (spec, told) = request.container.spec(image, &key)?;
    let offer = request.offer(&chain).await?;
    let read = chain
        .account::<MarketConfig>(&market::address::config())
        .await?;
    let (_, config) = read.context("the market is not initialised on this chain")?;
    request.check_price(&offer, &config)?;
    let named = format!("a container of {image}");
    let all = request.costs(&chain, &offer, &named).await?;
    let question = format!(
        "Wallet {} signs and pays {}. Go on?",
        wallet.pubkey(),
        sol(all)
    );
    confirm(&question, request.yes)?;

    let allow_loopback = request.reach.is_private(connection);
    let host = Host::of_lease(&offer.endpoint, allow_loopback).await?;
    let document = Document::new(rand::random(), &Spec::container(spec.clone()));
    let source = host.leave(&document).await?;
    let slot = chain.slot(Commitment::Processed).await?;
    let life = NONCE_SLOTS.min(config.params.max_nonce_life_slots.get());
    let nonce = window::nonce(slot.saturating_add(life.into()), rand::random());
    let (class, args) = request.arguments(&offer, None, (&document, &source), &config)?;
    let args = RequestCompute { nonce, ..args };
    let address = market::address::request(wallet.pubkey(), &nonce);
    let lease = market::address::lease(address);
    let kept = Kept {
        lease: lease.to_string(),
        key: String::new(),
        endpoint: offer.endpoint.clone(),
        document: None,
        ssh_key: Some(key.secret()?),
    };
    let file = kept.write(connection, &lease)?;
    // Known before it is asked for: nothing is accepted without it.
    if !told.is_empty() {
        host.tell_environment(&wallet, &lease, &told).await?;
    }

    let step = Step::new(format!("Paying into request {address}"));
    let call = ix::request_compute(wallet.pubkey(), wallet.pubkey(), class, &args);
    wallet::send(&chain, &wallet, &[call]).await?;
    step.done();
    let state = accepted(&chain, &wallet, &host, (&address, &lease), &told).await?;
    let wanted = Expected {
        spec: &spec,
        operator: offer.operator.to_string(),
        allow_loopback,
    };
    let access = entered(&chain, &wallet, &host, (&lease, &key, &wanted), state).await?;

    let mut report = Report::default();
    let ports: Vec<String> = access
        .ports
        .iter()
        .map(|port| format!("{} at {}:{}", port.inside, access.host, port.outside))
        .collect();
    report
        .add("lease", lease.to_string())
        .add("request", address.to_string())
        .add("provider", offer.authority.to_string())
        .add("image", access.image.clone())
        .add("ssh", format!("{}:{}", access.host, access.ssh_port))
        .add("host_key", access.host_key.clone())
        .say("ports", ports.join(", "), ports)
        .add("kept_in", file.display().to_string())
        .lamports(
            "paid",
            args.price.get() * u64::from(request.seconds) * u64::from(request.units),
        );
    report.print(request.json)?;
    if !request.json {
        say!(
            "`mythic lease ssh {lease}` enters it, `mythic lease logs {lease}` shows what it writes, `mythic lease close {lease}` ends it."
        );
    }
    Ok(())
}

/// What was asked for, as the provider must give it.
struct Expected<'a> {
    spec: &'a ContainerSpec,
    /// Base58 key of the provider's operator.
    operator: String,
    /// Whether it may be at an address that is not public.
    allow_loopback: bool,
}

impl Expected<'_> {
    /// Refuses what a provider gives that was not asked for; nothing of it is acknowledged.
    fn check(&self, lease: &Pubkey, access: &ContainerAccess) -> Result<()> {
        let lease = lease.to_string();
        let ports: Vec<u16> = access.ports.iter().map(|port| port.inside).collect();
        let what = if access.lease != lease {
            "lease"
        } else if access.image != self.spec.image {
            "image"
        } else if access.operator != self.operator {
            "operator"
        } else if ports != self.spec.ports {
            "list of ports"
        } else {
            return Ok(());
        };
        Err(Exit::error(
            exit::CHECK_FAILED,
            format!(
                "the provider gives another {what} than was asked for: not acknowledged; `mythic lease close {lease}` ends it"
            ),
        ))
    }
}

/// Checks how a container is reached, enters it, and says so on chain.
async fn entered(
    chain: &ChainClient,
    wallet: &Keypair,
    host: &Host,
    (lease, key, wanted): (&Pubkey, &LoginKey, &Expected<'_>),
    state: Lease,
) -> Result<ContainerAccess> {
    let step = Step::new("Checking how it is reached, entering it, and acknowledging the start");
    let access = host.container(lease, &state).await?;
    wanted.check(lease, &access)?;
    ssh::enter(&access, std::slice::from_ref(key), wanted.allow_loopback).await?;
    acknowledge(chain, wallet, lease, state).await?;
    step.done();
    Ok(access)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::lease::image::tests::{args, image};
    use mythic_provider::access::PublishedPort;

    #[test]
    fn what_was_not_asked_for_is_not_acknowledged() {
        let (spec, _) = args().spec(&image(), &LoginKey::fresh()).unwrap();
        let lease = Pubkey::new_from_array([1; 32]);
        let wanted = Expected {
            spec: &spec,
            operator: "op".into(),
            allow_loopback: false,
        };
        let good = ContainerAccess {
            lease: lease.to_string(),
            host: "h".into(),
            ssh_port: 1,
            host_key: "k".into(),
            ports: vec![PublishedPort {
                inside: 80,
                outside: 2,
            }],
            image: image(),
            operator: "op".into(),
        };
        assert!(wanted.check(&lease, &good).is_ok());
        type Change = fn(&mut ContainerAccess);
        let cases: [(Change, &str); 4] = [
            (|a| a.lease = "x".into(), "another lease"),
            (|a| a.image = "x".into(), "another image"),
            (|a| a.operator = "x".into(), "another operator"),
            (|a| a.ports.clear(), "another list of ports"),
        ];
        for (change, words) in cases {
            let mut access = good.clone();
            change(&mut access);
            let refused = wanted.check(&lease, &access).unwrap_err().to_string();
            assert!(refused.contains(words), "{refused}");
        }
    }
}
