//! The index against the chain's own RPC: every account of the programs, by address, write counter and lamports, and the money in it.

use crate::{Network, PATIENCE, rpc_at, sql};
use anyhow::{Context, Result, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use mythic_interface::{
    PROGRAMS,
    market::state::{Class, Lease, LeaseDispute, MarketConfig, MarketTreasury, Provider, Request},
    state::{Case, Config, Job, Model, Output, SpendGrant, Treasury, Validator, Vault, Votes},
};
use serde_json::{Value, json};
use solana_pubkey::Pubkey;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Addresses with their write counter, their lamports where the view has them, and other numbers that must agree.
type Rows = BTreeMap<String, Vec<Option<u64>>>;

/// Families whose rows are the accounts that there are. Those of `jobs` stay when an account is closed.
const FAMILIES: [(&str, &str, &str); 17] = [
    (
        "vaults",
        "lamports, balance, held, open_jobs, deposited, spent",
        "true",
    ),
    ("grants", "lamports, lifetime_spent, open_jobs", "true"),
    (
        "validators",
        "lamports, stake, claimable, earned, slashed",
        "true",
    ),
    (
        "jobs",
        "lamports, status_code, ceiling_lamports, window_slots",
        "closed_slot IS NULL",
    ),
    (
        "cases",
        "lamports, status_code, slashed_lamports, held_lamports",
        "closed_slot IS NULL",
    ),
    ("votes", "lamports", "closed_slot IS NULL"),
    ("outputs", "lamports", "closed_slot IS NULL"),
    ("treasury", "lamports, balance, received", "true"),
    ("models", "price_in, price_out", "true"),
    ("config", "slot - slot", "true"),
    (
        "providers",
        "lamports, stake_lamports, claimable_lamports, earned_lamports, slashed_lamports, epochs_proved, epochs_missed",
        "true",
    ),
    ("classes", "lamports, matrix_side, rounds", "true"),
    (
        "requests",
        "lamports, status_code, escrow_lamports, refunded_lamports",
        "closed_slot IS NULL",
    ),
    (
        "leases",
        "lamports, status_code, escrow_lamports, pending_lamports, paid_lamports, foundation_lamports, burned_lamports, refunded_lamports",
        "closed_slot IS NULL",
    ),
    (
        "lease_disputes",
        "lamports, status_code, held_lamports",
        "closed_slot IS NULL",
    ),
    (
        "market_treasury",
        "lamports, balance_lamports, received_lamports",
        "true",
    ),
    ("market_config", "slot - slot", "true"),
];

/// What an account's bytes say, as the columns of [`FAMILIES`] do.
fn read(data: &[u8], lamports: u64) -> Option<(&'static str, Vec<u64>)> {
    macro_rules! family {
        ($($type:ident as $name:literal: |$a:ident| [$($number:expr),*];)*) => {$(
            if let Ok($a) = $type::load(data) {
                return Some(($name, vec![$a.header.seq.get(), $($number),*]));
            }
        )*};
    }
    family! {
        Vault as "vaults": |a| [lamports, a.balance.get(), a.held.get(), a.open_jobs.get().into(), a.deposited.get(), a.spent.get()];
        SpendGrant as "grants": |a| [lamports, a.lifetime_spent.get(), a.open_jobs.get().into()];
        Validator as "validators": |a| [lamports, a.stake.get(), a.claimable.get(), a.earned.get(), a.slashed.get()];
        Job as "jobs": |a| [lamports, a.header.status.into(), a.ceiling.get(), a.terms.rules.window_slots.get().into()];
        Case as "cases": |a| [lamports, a.header.status.into(), a.slashed_amount.get(), a.held.get()];
        Votes as "votes": |a| [lamports];
        Output as "outputs": |a| [lamports];
        Treasury as "treasury": |a| [lamports, a.balance.get(), a.received.get()];
        Model as "models": |a| [a.price_in.get().into(), a.price_out.get().into()];
        Config as "config": |a| [0];
        Provider as "providers": |a| [lamports, a.stake.get(), a.claimable.get(), a.earned.get(), a.slashed.get(), a.proved.get(), a.missed.get()];
        Class as "classes": |a| [lamports, a.probe.n.get().into(), a.probe.rounds.get().into()];
        Request as "requests": |a| [lamports, a.header.status.into(), a.escrow.get(), a.refunded.get()];
        Lease as "leases": |a| [
            lamports, a.header.status.into(), a.escrow.get(), a.pending.get(), a.paid.get(), a.foundation.get(), a.burned.get(), a.refunded.get()
        ];
        LeaseDispute as "lease_disputes": |a| [lamports, a.header.status.into(), a.held.get()];
        MarketTreasury as "market_treasury": |a| [lamports, a.balance.get(), a.received.get()];
        MarketConfig as "market_config": |a| [0];
    }
    None
}

/// All accounts of the programs at finality, and the newest slot that they are of.
async fn chain(url: &str) -> Result<(u64, BTreeMap<&'static str, Rows>)> {
    let (mut newest, mut families) = (0, BTreeMap::new());
    for program in PROGRAMS {
        newest = newest.max(of_program(url, program, &mut families).await?);
    }
    Ok((newest, families))
}

/// Adds the accounts of a program; the slot that they are of.
async fn of_program(
    url: &str,
    program: [u8; 32],
    families: &mut BTreeMap<&'static str, Rows>,
) -> Result<u64> {
    let program = Pubkey::new_from_array(program).to_string();
    let options = json!({"commitment": "finalized", "encoding": "base64", "withContext": true});
    let (http, params) = (reqwest::Client::new(), json!([program, options]));
    let answer = rpc_at(&http, url, "getProgramAccounts", params).await?;
    let slot = answer["context"]["slot"].as_u64().context("no slot")?;
    for entry in answer["value"].as_array().context("no accounts")? {
        let account = &entry["account"];
        let address = entry["pubkey"].as_str().context("no address")?;
        let data = STANDARD.decode(account["data"][0].as_str().context("no data")?)?;
        let lamports = account["lamports"].as_u64().context("no lamports")?;
        let (family, numbers) =
            read(&data, lamports).with_context(|| format!("{address} is of no known kind"))?;
        let numbers = numbers.into_iter().map(Some).collect();
        families
            .entry(family)
            .or_default()
            .insert(address.to_owned(), numbers);
    }
    Ok(slot)
}

/// The first differences of two sides.
fn differences(family: &str, chain: &Rows, index: &Rows) -> Vec<String> {
    let keys: std::collections::BTreeSet<&String> = chain.keys().chain(index.keys()).collect();
    keys.into_iter()
        .filter(|key| chain.get(*key) != index.get(*key))
        .map(|key| {
            let (chain, index) = (chain.get(key), index.get(key));
            format!("{family} {key}: chain {chain:?}, index {index:?}")
        })
        .collect()
}

/// Waits until finality in the index has reached a slot.
pub async fn finalized(network: &Network, slot: u64) -> Result<()> {
    Index::of(network).finalized(slot, PATIENCE).await
}

/// Waits until the index says of every account what the RPC at `url` says. Returns how many there are.
pub async fn agree(network: &Network, url: &str) -> Result<usize> {
    Index::of(network).agree(url, PATIENCE).await
}

/// Waits until no gap and no alarm is open; returns the pipeline's status.
pub async fn clear(network: &Network) -> Result<Value> {
    Index::of(network).clear(PATIENCE).await
}

/// An index, and what its processes say of themselves when it is not what it should be.
pub struct Index<'a> {
    database_url: String,
    logs: Box<dyn Fn() -> String + Send + Sync + 'a>,
}

impl<'a> Index<'a> {
    /// That of a network.
    pub fn of(network: &'a Network) -> Self {
        Self::new(network.text("database_url"), || network.logs())
    }

    pub fn new(database_url: String, logs: impl Fn() -> String + Send + Sync + 'a) -> Self {
        Self {
            database_url,
            logs: Box::new(logs),
        }
    }

    pub async fn sql(&self, query: &str) -> Result<Vec<Value>> {
        sql(&self.database_url, query).await
    }

    /// Alarms that are open.
    pub async fn alarms(&self) -> Result<Vec<Value>> {
        self.sql("SELECT kind, slot, last_slot, count, detail FROM analytics.alarms WHERE cleared_at IS NULL")
            .await
    }

    /// Waits until finality has reached a slot.
    pub async fn finalized(&self, slot: u64, patience: Duration) -> Result<()> {
        let started = Instant::now();
        loop {
            let status = self.sql("SELECT * FROM analytics.pipeline_status").await?;
            if status[0]["finalized_slot"].as_u64() >= Some(slot) {
                return Ok(());
            }
            ensure!(
                started.elapsed() < patience,
                "the index is not at slot {slot}: {status:?}\n{}",
                (self.logs)()
            );
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    /// Waits until it says of every account what the RPC at `url` says. Returns how many there are.
    pub async fn agree(&self, url: &str, patience: Duration) -> Result<usize> {
        let started = Instant::now();
        loop {
            let (slot, chain) = match chain(url).await {
                Ok(found) => found,
                // One that is busy answers later.
                Err(error) => {
                    ensure!(started.elapsed() < patience, "{url}: {error:#}");
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    continue;
                }
            };
            self.finalized(slot, patience).await?;
            let mut found = Vec::new();
            for (family, columns, alive) in FAMILIES {
                let index = self.view(family, columns, alive).await?;
                let none = Rows::new();
                let chain = chain.get(family).unwrap_or(&none);
                found.extend(differences(family, chain, &index));
            }
            let count: usize = chain.values().map(BTreeMap::len).sum();
            if found.is_empty() {
                let sizes: Vec<_> = chain
                    .iter()
                    .map(|(name, rows)| (name, rows.len()))
                    .collect();
                println!("index and RPC agree on {count} accounts at slot {slot}: {sizes:?}");
                return Ok(count);
            }
            ensure!(
                started.elapsed() < patience,
                "{} of {count} accounts differ at slot {slot}: {:#?}\n{}",
                found.len(),
                found.iter().take(20).collect::<Vec<_>>(),
                (self.logs)()
            );
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Waits until no gap and no alarm is open; returns the pipeline's status.
    pub async fn clear(&self, patience: Duration) -> Result<Value> {
        let started = Instant::now();
        loop {
            let status = self.sql("SELECT * FROM analytics.pipeline_status").await?;
            let open = self.alarms().await?;
            if status[0]["gaps_open"] == json!(0) && open.is_empty() {
                return Ok(status[0].clone());
            }
            ensure!(
                started.elapsed() < patience,
                "gaps or alarms stay open: {status:?} {open:?}\n{}",
                (self.logs)()
            );
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    /// The rows of a family's finalized view.
    async fn view(&self, family: &str, columns: &str, alive: &str) -> Result<Rows> {
        let rows = self
            .sql(&format!(
                "SELECT id, jsonb_build_array(write_seq, {columns}) AS numbers FROM analytics.{family}_finalized WHERE {alive}"
            ))
            .await?;
        rows.iter()
            .map(|row| {
                let id = row["id"].as_str().context("a row without an address")?;
                let numbers = row["numbers"].as_array().context("no numbers")?;
                Ok((id.to_owned(), numbers.iter().map(Value::as_u64).collect()))
            })
            .collect()
    }
}
