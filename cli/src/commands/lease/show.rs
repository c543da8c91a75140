//! `mythic lease offers`, `list`, `show`: what the chain says of providers and leases.

use super::{
    read::{address, load},
    words,
};
use crate::{
    context::Connection,
    exit::{self, Exit},
    note,
    report::{Report, print_rows},
    units::sol,
};
use anyhow::Result;
use clap::Args;
use mythic_client::{ChainClient, Commitment, Filter, market};
use mythic_interface::{
    le::Text,
    market::state::{
        Lease, LeaseStatus, Provider, ProviderStatus, Request as RequestAccount, RequestStatus,
    },
};
use mythic_wire::signed::unix_seconds;
use serde_json::{Value, json};
use solana_pubkey::Pubkey;
use solana_signer::Signer;

/// A provider as a tenant sees it.
#[derive(Debug, Clone)]
pub struct ProviderOffer {
    pub authority: Pubkey,
    /// Address of the class.
    pub class: Pubkey,
    /// Key that serves and signs receipts.
    pub operator: Pubkey,
    /// URL, as it says.
    pub endpoint: String,
    /// Lamports a second for each unit.
    pub price: u64,
    pub free_units: u16,
    /// Whether it takes leases.
    pub is_active: bool,
    account: Provider,
}

/// The providers of a class, the cheapest first.
pub async fn offers(chain: &ChainClient, class: &str) -> Result<Vec<ProviderOffer>> {
    let name = Text::new(class)
        .ok_or_else(|| Exit::error(exit::USAGE, format!("{class:?} is no name of a class")))?;
    let class = market::address::class(&name);
    let filters = [Filter::<Provider>::class(&class)];
    let found = chain
        .program_accounts(&filters, Commitment::Confirmed)
        .await?;
    let mut offers: Vec<ProviderOffer> = found
        .into_iter()
        .map(|(_, account)| ProviderOffer {
            authority: Pubkey::new_from_array(account.authority),
            class,
            operator: Pubkey::new_from_array(account.operator),
            endpoint: account.endpoint.as_str().to_owned(),
            price: account.price.get(),
            free_units: account.free_units(),
            is_active: account.header.status == ProviderStatus::Active as u8,
            account,
        })
        .collect();
    offers.sort_by_key(|offer| (offer.price, offer.authority));
    Ok(offers)
}

/// Who leases out what, and for how much
#[derive(Args, Debug)]
pub struct Offers {
    /// Class of capacity
    #[arg(long, default_value = "cpu")]
    class: String,
    /// Print JSON lines
    #[arg(long)]
    json: bool,
}

impl Offers {
    /// Runs it.
    pub async fn run(self, connection: &Connection) -> Result<()> {
        let offers = offers(&connection.chain(), &self.class).await?;
        let rows: Vec<Value> = offers
            .iter()
            .map(|offer| {
                let account = &offer.account;
                json!({
                    "provider": offer.authority.to_string(),
                    "price_lamports": offer.price,
                    "price": format!("{}/s", sol(offer.price)),
                    "units": account.units.get(),
                    "free_units": offer.free_units,
                    "status": if offer.is_active { "active" } else { "jailed" },
                    "region": account.region.as_str(),
                    "endpoint": offer.endpoint,
                    "proved": account.proved.get(),
                    "missed": account.missed.get(),
                    "refuted": account.refuted.get(),
                    "stake_lamports": account.stake.get(),
                })
            })
            .collect();
        let columns = [
            ("provider", "provider"),
            ("a unit", "price"),
            ("free", "free_units"),
            ("status", "status"),
            ("proved", "proved"),
            ("missed", "missed"),
            ("refuted", "refuted"),
            ("endpoint", "endpoint"),
        ];
        let none = format!("no provider of class {:?}", self.class);
        print_rows(&rows, &columns, &none, self.json)
    }
}

/// Your leases, and requests that are still open
#[derive(Args, Debug)]
pub struct List {
    /// Print JSON lines
    #[arg(long)]
    json: bool,
}

impl List {
    /// Runs it.
    pub async fn run(self, connection: &Connection) -> Result<()> {
        let (chain, tenant) = (connection.chain(), connection.wallet()?.pubkey());
        let filters = [Filter::<Lease>::tenant(&tenant)];
        let mut leases = chain
            .program_accounts(&filters, Commitment::Confirmed)
            .await?;
        leases.sort_by_key(|(_, lease)| std::cmp::Reverse(lease.accepted_slot.get()));
        let open = [
            Filter::<RequestAccount>::tenant(&tenant),
            Filter::<RequestAccount>::status(RequestStatus::Open),
        ];
        let open = chain.program_accounts(&open, Commitment::Confirmed).await?;
        let now = unix_seconds();
        let requests = open.iter().map(|(address, request)| {
            json!({
                "address": address.to_string(),
                "standing": format!("open request, until slot {}", request.deadline_slot.get()),
                "provider": Pubkey::new_from_array(request.terms.provider).to_string(),
                "left": sol(request.escrow.get()),
                "escrow_lamports": request.escrow.get(),
            })
        });
        let leases = leases.iter().map(|(address, lease)| {
            json!({
                "address": address.to_string(),
                "standing": words::standing(lease, now),
                "provider": Pubkey::new_from_array(lease.terms.provider).to_string(),
                "left": sol(lease.escrow.get()),
                "escrow_lamports": lease.escrow.get(),
                "tenant_due_lamports": lease.tenant_due.get(),
            })
        });
        let rows: Vec<Value> = requests.chain(leases).collect();
        let columns = [
            ("lease", "address"),
            ("how it stands", "standing"),
            ("provider", "provider"),
            ("not used yet", "left"),
        ];
        let none = "no leases; `mythic lease offers` shows what there is";
        print_rows(&rows, &columns, none, self.json)
    }
}

/// Everything about one lease: how it stands, its epochs, where its money is
#[derive(Args, Debug)]
pub struct Show {
    /// Address of the lease
    lease: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Show {
    /// Runs it.
    pub async fn run(self, connection: &Connection) -> Result<()> {
        let address = address(&self.lease)?;
        let lease = load(&connection.chain(), &address).await?;
        describe(&address, &lease).print(self.json)?;
        if let Some(page) = connection
            .page(&format!("/leases/{address}"))
            .filter(|_| !self.json)
        {
            note!("On a page: {page}");
        }
        Ok(())
    }
}

/// A lease as people and scripts read it.
pub fn describe(address: &Pubkey, lease: &Lease) -> Report {
    let (terms, now) = (&lease.terms, unix_seconds());
    let status = lease.status().map(LeaseStatus::as_str);
    let mut report = Report::default();
    report
        .add("lease", address.to_string())
        .say("status", words::standing(lease, now), status)
        .add("tenant", Pubkey::new_from_array(terms.tenant).to_string())
        .add(
            "provider",
            Pubkey::new_from_array(terms.provider).to_string(),
        )
        .add("units", terms.units)
        .say(
            "price",
            format!("{} a second for each unit", sol(terms.price.get())),
            terms.price.get(),
        )
        .add("ends_at", lease.ends_at.get())
        .add("last_proved_epoch", lease.last_proved.get())
        .add("missed_epochs", lease.missed.get())
        .add("open_disputes", lease.open_disputes.get());
    for (name, lamports) in [
        ("deposited", lease.deposited),
        ("compensated", lease.compensated),
        ("escrow", lease.escrow),
        ("pending", lease.pending),
        ("paid", lease.paid),
        ("foundation", lease.foundation),
        ("burned", lease.burned),
        ("refunded", lease.refunded),
        ("tenant_due", lease.tenant_due),
    ] {
        report.lamports(name, lamports.get());
    }
    let epochs = words::epochs(lease);
    let lines: Vec<String> = epochs.iter().map(|entry| words::epoch(entry)).collect();
    let values: Vec<Value> = epochs
        .iter()
        .map(|entry| {
            json!({
                "epoch": entry.epoch.get(),
                "seconds": entry.seconds.get(),
                "amount_lamports": entry.amount.get(),
                "slot": entry.slot.get(),
                "proof": hex::encode(entry.proof),
                "state": entry.state,
            })
        })
        .collect();
    report.say("epochs", lines.join("; "), values);
    report
}
