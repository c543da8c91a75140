//! Finalized rows as Parquet files, one for each table and UTC day, for who wants to compute without this database. A day is
//! exported when it is over and nothing of it was missed, and only of tables that grow: so every operator's file of a day has the
//! same bytes, and a manifest says which.

mod file;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use file::{ColumnKind, DayFile};
use futures::TryStreamExt;
use mythic_postgres::{Manner, connect};
use serde::{Deserialize, Serialize};
use tokio_postgres::Client;

use crate::error::IndexerError;

/// Views of schema `dune` whose rows never change, and what makes a row one of its day.
const TABLES: [(&str, &str); 6] = [
    ("blocks", "block_slot"),
    ("job_events", "block_slot, job, event"),
    ("model_prices", "block_slot, model"),
    ("settlements", "block_slot, job"),
    ("validator_balances", "block_slot, validator"),
    ("vault_balances", "block_slot, vault"),
];
const MANIFEST: &str = "manifest.json";

/// What lies in a folder of exported files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub genesis_hash: String,
    pub tables: BTreeMap<String, ExportedTable>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportedTable {
    /// Name, type, and what it means.
    pub columns: Vec<(String, String, String)>,
    /// By day.
    pub files: BTreeMap<String, ExportedFile>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportedFile {
    /// Relative to the manifest.
    pub path: String,
    pub rows: u64,
    /// Of the blocks of the day.
    pub first_slot: i64,
    pub last_slot: i64,
    pub bytes: u64,
    pub sha256: String,
}

/// What an export did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportReport {
    pub days: Vec<String>,
    pub rows: u64,
    /// Days that were left out, and why.
    pub skipped: Vec<(String, String)>,
}

/// A UTC day of the finalized chain.
struct Day {
    date: String,
    first_slot: i64,
    last_slot: i64,
}

/// Writes the days `from` to `to` (dates, both included; open ends are all there is) into `dir`, and the manifest last. Days
/// that the manifest names already and that are not asked for stay.
pub async fn export(
    database_url: &str,
    dir: &Path,
    from: Option<&str>,
    to: Option<&str>,
) -> Result<ExportReport, IndexerError> {
    let manner = Manner::named("mythic export")
        .statement_timeout(Duration::from_secs(3_600))
        .idle_in_transaction(Duration::from_secs(600));
    let (client, _guard) = connect(database_url, &manner).await?;
    // One state of the database for all files.
    client
        .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .await?;
    let genesis: Option<String> = client
        .query_one("SELECT genesis_hash FROM analytics.pipeline_status", &[])
        .await?
        .get(0);
    let genesis_hash = genesis.ok_or_else(|| {
        IndexerError::Export("the index has no chain yet: start the indexer first".into())
    })?;
    let mut manifest = read_manifest(dir)?.unwrap_or_else(|| Manifest {
        genesis_hash: genesis_hash.clone(),
        tables: BTreeMap::new(),
    });
    if manifest.genesis_hash != genesis_hash {
        return Err(IndexerError::Export(format!(
            "{} holds files of the chain with genesis {}, the database is of {genesis_hash}: choose another folder",
            dir.display(),
            manifest.genesis_hash
        )));
    }
    let mut report = ExportReport::default();
    let days = days(&client, from, to, &mut report).await?;
    for (table, order) in TABLES {
        let columns = columns(&client, table).await?;
        let listed: Vec<(String, String, String)> = columns
            .iter()
            .map(|(name, kind, said)| (name.clone(), kind.name().into(), said.clone()))
            .collect();
        let entry = manifest.tables.entry(table.into()).or_default();
        if entry.columns != listed {
            *entry = ExportedTable {
                columns: listed,
                files: BTreeMap::new(),
            };
        }
        let columns: Vec<(String, ColumnKind)> = columns
            .into_iter()
            .map(|(name, kind, _)| (name, kind))
            .collect();
        for day in &days {
            let written = write_day(&client, dir, (table, order), &columns, day).await?;
            report.rows += written.rows;
            entry.files.insert(day.date.clone(), written);
        }
    }
    report.days = days.into_iter().map(|day| day.date).collect();
    let text =
        serde_json::to_string_pretty(&manifest).map_err(|e| IndexerError::Broken(e.to_string()))?;
    let (part, path) = (dir.join("manifest.part"), dir.join(MANIFEST));
    std::fs::create_dir_all(dir)
        .and_then(|()| std::fs::write(&part, text + "\n"))
        .and_then(|()| std::fs::rename(&part, &path))
        .map_err(|e| unusable(&path, &e))?;
    Ok(report)
}

fn unusable(path: &Path, error: &std::io::Error) -> IndexerError {
    IndexerError::Export(format!("{}: {error}", path.display()))
}

fn read_manifest(dir: &Path) -> Result<Option<Manifest>, IndexerError> {
    let path = dir.join(MANIFEST);
    match std::fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).map(Some).map_err(|e| {
            IndexerError::Export(format!(
                "{}: {e}: move it away to start over",
                path.display()
            ))
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unusable(&path, &error)),
    }
}

/// The days that are over and complete.
async fn days(
    client: &Client,
    from: Option<&str>,
    to: Option<&str>,
    report: &mut ExportReport,
) -> Result<Vec<Day>, IndexerError> {
    let rows = client
        .query(
            "SELECT block_date::text, min(block_slot), max(block_slot) FROM dune.blocks WHERE block_date IS NOT NULL GROUP BY 1 ORDER BY 1",
            &[],
        )
        .await?;
    let all: Vec<Day> = rows
        .iter()
        .map(|row| Day {
            date: row.get(0),
            first_slot: row.get(1),
            last_slot: row.get(2),
        })
        .collect();
    let mut days = Vec::new();
    for (place, day) in all.iter().enumerate() {
        if from.is_some_and(|from| day.date.as_str() < from)
            || to.is_some_and(|to| day.date.as_str() > to)
        {
            continue;
        }
        let before = place
            .checked_sub(1)
            .and_then(|place| all.get(place))
            .map(|day| day.last_slot);
        let after = all.get(place + 1).map(|day| day.first_slot);
        let why = match (before, after) {
            (_, None) => Some("it is not over".to_owned()),
            (None, _) if day.first_slot > 1 => Some("the index begins in it".to_owned()),
            (_, Some(after)) => missed(client, before.unwrap_or(0), after).await?,
        };
        match why {
            Some(why) => report.skipped.push((day.date.clone(), why)),
            None => days.push(Day {
                date: day.date.clone(),
                ..*day
            }),
        }
    }
    Ok(days)
}

/// What was not seen between two slots.
async fn missed(client: &Client, after: i64, before: i64) -> Result<Option<String>, IndexerError> {
    let rows = client
        .query(
            "SELECT slot, last_slot FROM analytics.slots_finalized WHERE last_slot > $1 AND slot < $2
                AND (gap OR NOT exact) ORDER BY slot LIMIT 1",
            &[&after, &before],
        )
        .await?;
    Ok(rows.first().map(|row| {
        format!(
            "slots {} to {} were not seen whole",
            row.get::<_, i64>(0),
            row.get::<_, i64>(1)
        )
    }))
}

async fn columns(
    client: &Client,
    table: &str,
) -> Result<Vec<(String, ColumnKind, String)>, IndexerError> {
    let statement = client
        .prepare(&format!("SELECT * FROM dune.{table}"))
        .await?;
    let rows = client
        .query(
            "SELECT col_description(a.attrelid, a.attnum) FROM pg_attribute a WHERE a.attrelid = $1::text::regclass AND a.attnum > 0
                AND NOT a.attisdropped ORDER BY a.attnum",
            &[&format!("dune.{table}")],
        )
        .await?;
    let said = rows
        .iter()
        .map(|row| row.get::<_, Option<String>>(0).unwrap_or_default());
    let columns = statement.columns().iter().zip(said);
    columns
        .map(|(column, said)| {
            Ok((
                column.name().to_owned(),
                ColumnKind::of(column.name(), column.type_())?,
                said,
            ))
        })
        .collect()
}

async fn write_day(
    client: &Client,
    dir: &Path,
    (table, order): (&str, &str),
    columns: &[(String, ColumnKind)],
    day: &Day,
) -> Result<ExportedFile, IndexerError> {
    let folder = dir.join(table);
    std::fs::create_dir_all(&folder).map_err(|e| unusable(&folder, &e))?;
    let name = format!("{}.parquet", day.date);
    let (path, part) = (folder.join(&name), folder.join(format!("{name}.part")));
    let select: Vec<String> = columns
        .iter()
        .map(|(name, kind)| kind.select(name))
        .collect();
    // Texts in the order of their bytes, whatever the database's language is.
    let order: Vec<String> = order
        .split(", ")
        .map(|name| {
            match columns
                .iter()
                .any(|(column, kind)| column == name && *kind == ColumnKind::Text)
            {
                true => format!("{name} COLLATE \"C\""),
                false => name.to_owned(),
            }
        })
        .collect();
    let sql = format!(
        "SELECT {} FROM dune.{table} WHERE block_date = $1::text::date ORDER BY {}",
        select.join(", "),
        order.join(", ")
    );
    let mut rows = std::pin::pin!(client.query_raw(&sql, [&day.date]).await?);
    let mut output = DayFile::create(&part, columns)?;
    let mut count = 0;
    while let Some(row) = rows.try_next().await? {
        output.push(row)?;
        count += 1;
    }
    let sealed = output.seal()?;
    std::fs::rename(&part, &path).map_err(|e| unusable(&path, &e))?;
    Ok(ExportedFile {
        path: format!("{table}/{name}"),
        rows: count,
        first_slot: day.first_slot,
        last_slot: day.last_slot,
        bytes: sealed.bytes,
        sha256: sealed.sha256,
    })
}
