//! Finalized rows as Parquet files, one for each table and UTC day, for who wants to compute without this database. A day is
//! exported when it is over and nothing of it was missed, and only what can't change any more: so every operator's file of a day
//! has the same bytes, and a manifest says which.

mod file;
mod tables;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use file::{ColumnKind, DayFile};
use futures::TryStreamExt;
use mythic_postgres::{Manner, connect};
use serde::{Deserialize, Serialize};
use tokio_postgres::Client;

use crate::error::IndexerError;
use tables::{CHANGING, Day, Exported, TABLES};

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
    /// Days, or tables of a day, that were left out, and why.
    pub skipped: Vec<(String, String)>,
}

/// A table and its columns: name, kind, what it means.
type Described = (&'static Exported, Vec<(String, ColumnKind, String)>);

/// Writes the days `from` to `to` (dates, both included; open ends are all there is) into `dir`, and after each day the manifest.
/// Days that the manifest names already and that are not asked for stay.
///
/// A day is read in a transaction of its own: what is over does not change, and a long one would hold back vacuum, and be ended where
/// analysts may not take that long.
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
    let described = describe(&client, &mut manifest).await?;
    for day in days {
        client
            .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            .await?;
        for (table, columns) in &described {
            if let Some(why) = tables::unless(&client, table, &day).await? {
                let what = format!("{} of {}", table.name, day.date);
                report.skipped.push((what, why));
                continue;
            }
            let written = write_day(&client, dir, table, columns, &day).await?;
            report.rows += written.rows;
            let entry = manifest.tables.entry(table.name.into()).or_default();
            entry.files.insert(day.date.clone(), written);
        }
        client.batch_execute("COMMIT").await?;
        report.days.push(day.date);
        write_manifest(dir, &manifest)?;
    }
    write_manifest(dir, &manifest)?;
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

fn write_manifest(dir: &Path, manifest: &Manifest) -> Result<(), IndexerError> {
    let text =
        serde_json::to_string_pretty(manifest).map_err(|e| IndexerError::Broken(e.to_string()))?;
    let (part, path) = (dir.join("manifest.part"), dir.join(MANIFEST));
    std::fs::create_dir_all(dir)
        .and_then(|()| std::fs::write(&part, text + "\n"))
        .and_then(|()| std::fs::rename(&part, &path))
        .map_err(|e| unusable(&path, &e))
}

/// The tables with their columns; files of other columns leave the manifest.
async fn describe(
    client: &Client,
    manifest: &mut Manifest,
) -> Result<Vec<Described>, IndexerError> {
    let mut described = Vec::new();
    for table in &TABLES {
        let columns = columns(client, table.name).await?;
        let listed: Vec<(String, String, String)> = columns
            .iter()
            .map(|(name, kind, said)| (name.clone(), kind.name().into(), said.clone()))
            .collect();
        let entry = manifest.tables.entry(table.name.into()).or_default();
        if entry.columns != listed {
            *entry = ExportedTable {
                columns: listed,
                files: BTreeMap::new(),
            };
        }
        described.push((table, columns));
    }
    Ok(described)
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
        .filter(|(column, _)| !CHANGING.contains(&(table, column.name())))
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
    table: &Exported,
    columns: &[(String, ColumnKind, String)],
    day: &Day,
) -> Result<ExportedFile, IndexerError> {
    let folder = dir.join(table.name);
    std::fs::create_dir_all(&folder).map_err(|e| unusable(&folder, &e))?;
    let name = format!("{}.parquet", day.date);
    let (path, part) = (folder.join(&name), folder.join(format!("{name}.part")));
    let select: Vec<String> = columns
        .iter()
        .map(|(name, kind, _)| kind.select(name))
        .collect();
    // Texts in the order of their bytes, whatever the database's language is.
    let order: Vec<String> = table
        .order
        .split(", ")
        .map(|name| {
            match columns
                .iter()
                .any(|(column, kind, _)| column == name && *kind == ColumnKind::Text)
            {
                true => format!("{name} COLLATE \"C\""),
                false => name.to_owned(),
            }
        })
        .collect();
    let sql = format!(
        "SELECT {} FROM dune.{} WHERE block_date = $1::text::date ORDER BY {}",
        select.join(", "),
        table.name,
        order.join(", ")
    );
    let mut rows = std::pin::pin!(client.query_raw(&sql, [&day.date]).await?);
    let columns: Vec<(String, ColumnKind)> = columns
        .iter()
        .map(|(name, kind, _)| (name.clone(), *kind))
        .collect();
    let mut output = DayFile::create(&part, &columns)?;
    let mut count = 0;
    while let Some(row) = rows.try_next().await? {
        output.push(row)?;
        count += 1;
    }
    let sealed = output.seal()?;
    std::fs::rename(&part, &path).map_err(|e| unusable(&path, &e))?;
    Ok(ExportedFile {
        path: format!("{}/{name}", table.name),
        rows: count,
        first_slot: day.first_slot,
        last_slot: day.last_slot,
        bytes: sealed.bytes,
        sha256: sealed.sha256,
    })
}
