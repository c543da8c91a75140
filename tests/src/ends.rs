//! What must be true once the load is gone: everything ended, everything paid, nothing taken.

use std::time::{Duration, Instant};

use crate::{Network, PATIENCE};
use anyhow::{Context, Result, ensure};
use mythic_interface::state::Vault;
use serde_json::Value;
use solana_pubkey::Pubkey;

/// Jobs end at the latest at their deadline, disputes some time later.
const ENDS: Duration = Duration::from_secs(600);

/// Waits until there is nothing left that contradicts.
pub async fn until<F, R>(what: &str, patience: Duration, mut left: F) -> Result<()>
where
    F: FnMut() -> R,
    R: Future<Output = Result<Option<String>>>,
{
    let started = Instant::now();
    loop {
        let left = match left().await {
            Ok(None) => return Ok(()),
            Ok(Some(left)) => left,
            Err(error) => format!("{error:#}"),
        };
        ensure!(started.elapsed() < patience, "{what}: {left}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// A connection that sees all tables and may change them, which the analysts' role can't.
pub async fn own_tables(network: &Network) -> Result<tokio_postgres::Client> {
    let config = network.config("gateway")?;
    let url = config
        .get("database_url")
        .and_then(toml::Value::as_str)
        .context("gateway.toml: database_url")?;
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Waits until a table of the gateway's has no such rows.
async fn none(tables: &tokio_postgres::Client, rows: &str, patience: Duration) -> Result<()> {
    until(rows, patience, || async {
        let query = format!("SELECT count(*) FROM gateway.{rows}");
        let count: i64 = tables.query_one(&query, &[]).await?.get(0);
        Ok((count > 0).then(|| count.to_string()))
    })
    .await
}

/// Jobs, requests, attempts, and what keeps places at the nodes.
pub async fn everything_ended(network: &Network) -> Result<()> {
    until("jobs that do not end", ENDS, || async {
        let open = network
            .sql("SELECT id, owner, status, deadline_slot, cancel_slot, prompt_source FROM analytics.jobs WHERE status NOT IN ('settled', 'refunded', 'slashed')")
            .await?;
        Ok((!open.is_empty()).then(|| format!("{open:?}")))
    })
    .await?;
    let tables = own_tables(network).await?;
    none(&tables, "request WHERE state = 'running'", PATIENCE).await?;
    let over = "attempt WHERE state NOT IN ('done', 'unpaid', 'closed')";
    none(&tables, over, ENDS).await?;
    let state = network.state();
    for validator in state["validators"].as_array().into_iter().flatten() {
        let endpoint = validator["endpoint"].as_str().context("endpoint")?;
        until("places that are taken", PATIENCE, || async {
            let answer = network.http.get(format!("{endpoint}/stats")).send().await?;
            let stats: Value = answer.json().await?;
            let free = ["jobs_busy", "queued_tokens", "open_jobs_on_chain"]
                .iter()
                .all(|taken| stats[taken] == 0);
            Ok((!free).then(|| stats.to_string()))
        })
        .await?;
    }
    Ok(())
}

/// The DEV account.
pub fn owner(network: &Network) -> Result<Pubkey> {
    let state = network.state();
    let key = state["keys"]["dev"]["pubkey"].as_str();
    Ok(key.context("dev key")?.parse()?)
}

/// Waits until a vault has spent what the final jobs of its owner cost, and nothing of it is held.
pub async fn money(network: &Network, owner: &Pubkey) -> Result<()> {
    until("money", PATIENCE, || async {
        let vault = mythic_client::pda::vault(*owner);
        let found = network.chain().account::<Vault>(&vault).await?;
        let (_, vault) = found.context("no vault")?;
        let rows = network
            .sql(&format!(
                "SELECT coalesce(sum(fee_lamports), 0)::bigint AS fees FROM analytics.jobs_finalized WHERE owner = '{owner}'"
            ))
            .await?;
        let fees = rows[0]["fees"].as_u64().context("no sum")?;
        let (spent, held, open) = (vault.spent.get(), vault.held.get(), vault.open_jobs.get());
        Ok((spent != fees || held > 0 || open > 0)
            .then(|| format!("spent {spent}, fees {fees}, held {held}, open jobs {open}")))
    })
    .await
}

/// Sees to it that no answer was found false but those of the validator that was told to cheat, and says how the jobs ended.
pub async fn only_cheats_were_found(network: &Network, cheat: usize) -> Result<()> {
    let ended = network
        .sql(
            "SELECT status, end_reason, count(*) FROM analytics.jobs GROUP BY 1, 2 ORDER BY 3 DESC",
        )
        .await?;
    println!("jobs: {ended:?}");
    let state = network.state();
    let cheat = state["validators"][cheat - 1]["authority"].as_str();
    let cheat = cheat.context("the cheat's key")?;
    let found = network
        .sql(&format!(
            "SELECT id, validator, end_reason FROM analytics.jobs WHERE status = 'slashed' AND validator <> '{cheat}'"
        ))
        .await?;
    ensure!(found.is_empty(), "honest answers found false: {found:?}");
    Ok(())
}
