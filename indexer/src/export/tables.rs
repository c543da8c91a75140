//! Which tables are exported, and what a day needs beside having been seen whole, so that nobody's file of it can become another one.

use tokio_postgres::Client;

use crate::error::IndexerError;

/// A UTC day of the finalized chain.
pub(super) struct Day {
    pub date: String,
    pub first_slot: i64,
    pub last_slot: i64,
}

/// A view of schema `dune`.
pub(super) struct Exported {
    pub name: &'static str,
    /// What makes a row one of its day, in the order of the rows.
    pub order: &'static str,
    /// Finds what leaves the day of this table out, as a text: DAY, FIRST and LAST stand for the day and its slots.
    unless: Option<&'static str>,
}

/// Columns that say how things are now, not how they were on the day.
pub(super) const CHANGING: [(&str, &str); 2] = [("model_prices", "name"), ("model_daily", "name")];

pub(super) static TABLES: [Exported; 15] = [
    always("blocks", "block_slot"),
    Exported {
        name: "instruction_calls",
        order: "block_slot, tx_index, outer_instruction_index, inner_instruction_index NULLS FIRST",
        unless: Some(
            "SELECT 'the calls of slot ' || slot || ' are not all known here' FROM analytics.slot_calls_finalized
              WHERE slot BETWEEN FIRST AND LAST AND complete IS NOT TRUE ORDER BY slot LIMIT 1",
        ),
    },
    Exported {
        name: "job_events",
        order: "block_slot, job, event",
        unless: Some(
            "SELECT 'the transaction of job ' || job || ' in slot ' || block_slot || ' is not known here' FROM dune.job_events
              WHERE block_date = 'DAY' AND tx_id IS NULL LIMIT 1",
        ),
    },
    always("lease_balances", "block_slot, lease"),
    Exported {
        name: "lease_epochs",
        order: "block_slot, lease, epoch",
        unless: Some(
            "SELECT 'epoch ' || epoch || ' of lease ' || lease || ' is pending' FROM dune.lease_epochs
              WHERE block_date = 'DAY' AND status = 'pending' ORDER BY block_slot, lease LIMIT 1",
        ),
    },
    Exported {
        name: "lease_events",
        order: "block_slot, lease, request, event, epoch, tx_id",
        // A request has no lease until it is accepted. What lies behind the last proof is metered by the transaction of the end.
        unless: Some(
            "SELECT why FROM (
               SELECT 'request ' || id || ', made on it, waits for a provider' AS why FROM analytics.requests_finalized
                WHERE requested_slot BETWEEN FIRST AND LAST AND status = 'open'
               UNION ALL
               SELECT 'the transaction of ' || COALESCE(lease, request) || ' in slot ' || block_slot || ' is not known here' FROM dune.lease_events
                WHERE block_date = 'DAY' AND tx_id IS NULL AND event <> 'metered') w LIMIT 1",
        ),
    },
    always("market_daily", "block_date"),
    // A job is of its model from the request on.
    always("model_daily", "model"),
    always("model_prices", "block_slot, model"),
    Exported {
        name: "network_daily",
        order: "block_date",
        unless: Some(
            "SELECT 'jurors of case ' || id || ', resolved on it, may still pay' FROM analytics.cases_finalized
              WHERE resolved_slot BETWEEN FIRST AND LAST AND NOT collected ORDER BY resolved_slot, id LIMIT 1",
        ),
    },
    Exported {
        name: "settlements",
        order: "block_slot, job",
        unless: Some(
            "SELECT 'the transaction that ended job ' || job || ' is not known here' FROM dune.settlements
              WHERE block_date = 'DAY' AND tx_id IS NULL LIMIT 1",
        ),
    },
    always("provider_balances", "block_slot, provider"),
    always("validator_balances", "block_slot, validator"),
    Exported {
        name: "validator_daily",
        order: "validator",
        unless: Some(
            "SELECT 'job ' || id || ', requested on it, waits for a validator' FROM analytics.jobs_finalized
              WHERE requested_slot BETWEEN FIRST AND LAST AND status = 'open' ORDER BY requested_slot, id LIMIT 1",
        ),
    },
    always("vault_balances", "block_slot, vault"),
];

const fn always(name: &'static str, order: &'static str) -> Exported {
    Exported {
        name,
        order,
        unless: None,
    }
}

/// Why the day of a table is left out.
pub(super) async fn unless(
    client: &Client,
    table: &Exported,
    day: &Day,
) -> Result<Option<String>, IndexerError> {
    let Some(sql) = table.unless else {
        return Ok(None);
    };
    let sql = sql
        .replace("FIRST", &day.first_slot.to_string())
        .replace("LAST", &day.last_slot.to_string())
        .replace("DAY", &day.date);
    let rows = client.query(&sql, &[]).await?;
    Ok(rows.first().map(|row| row.get(0)))
}
