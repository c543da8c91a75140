//! indexer heal, indexer archive, export: on an index that is whole, and on one that missed a block.

use anyhow::{Context, Result, ensure};
use mythic_e2e::{Network, PATIENCE, ends::own_tables};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs::{File, read_dir},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::{has, json};

/// What the commands say where nothing is missing, nothing is old and nothing is over.
pub fn whole(network: &Network, dir: &Path) -> Result<()> {
    let rpc = network.text("rpc_url");
    let healed = json(&network.mythic(&["indexer", "heal", "--from", &rpc, "--json"])?)?;
    ensure!(
        healed["healed"] == true && healed["found"]["count"] == 0,
        "{healed}"
    );
    has(
        &network.mythic(&["indexer", "archive"])?,
        &["archive_keep_slots"],
    )?;
    let files = json(&network.mythic(&["indexer", "archive", "--verify", "--json"])?)?;
    ensure!(files == serde_json::json!([]), "{files}");
    network.mythic_fails(
        &["indexer", "archive", "--update", "999999999:0"],
        4,
        &["no update 0 of bank 999999999"],
    )?;
    network.mythic_fails(&["indexer", "archive", "--update", "4711"], 2, &["4711:3"])?;
    let out = dir.join("parquet").display().to_string();
    network.mythic_fails(&["export", "--parquet", &out], 6, &["no day is over"])?;
    network.mythic_fails(
        &["export", "--parquet", &out, "--from", "2026-1-1"],
        2,
        &["2026-01-31"],
    )?;
    Ok(())
}

/// A day is over: its finalized rows are in files, and the manifest says which. Whoever asks again gets the same.
pub async fn exports(network: &Network, dir: &Path) -> Result<()> {
    let client = own_tables(network).await?;
    let row = client
        .query_one(
            "SELECT l.projection, s.finalized_slot, ((now() - interval '2 days') AT TIME ZONE 'UTC')::date::text
               FROM pipeline.lease l, analytics.pipeline_status s",
            &[],
        )
        .await?;
    let (schema, last, day): (String, i64, String) = (row.get(0), row.get(1), row.get(2));
    // What is final by now was the day before yesterday.
    for table in ["slot", "empty_slot"] {
        let sql = format!(
            "UPDATE {schema}.{table} SET block_time = ($1::text || ' 12:00 UTC')::timestamptz WHERE slot <= $2"
        );
        client.execute(&sql, &[&day, &last]).await?;
    }
    // A day is over when a block of a later one is final.
    until("a final block of today", async || {
        let sql =
            "SELECT count(DISTINCT block_date) > 1 FROM dune.blocks WHERE block_date IS NOT NULL";
        Ok(client
            .query_one(sql, &[])
            .await?
            .get::<_, bool>(0)
            .then_some(()))
    })
    .await?;
    let out = dir.join("days");
    let shown = out.display().to_string();
    let said = network.mythic(&["export", "--parquet", &shown])?;
    has(&said, &["1 days, ", &shown])?;
    let read = || -> Result<String> { Ok(std::fs::read_to_string(out.join("manifest.json"))?) };
    let (text, mut rows) = (read()?, 0);
    let manifest = json(&text)?;
    let tables = manifest["tables"].as_object().context("no tables")?;
    for (name, table) in tables {
        ensure!(table["columns"].as_array().is_some_and(|c| c.len() > 3));
        let Some(file) = table["files"].get(&day) else {
            continue;
        };
        let path = file["path"].as_str().context("no path")?;
        ensure!(path == format!("{name}/{day}.parquet"), "{path}");
        let bytes = std::fs::read(out.join(path))?;
        ensure!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
        ensure!(file["bytes"].as_u64() == Some(bytes.len() as u64));
        rows += file["rows"].as_u64().context("no rows")?;
    }
    let count = |name: &str| tables[name]["files"][&day]["rows"].as_u64();
    ensure!(
        count("blocks") > Some(1) && count("validator_balances") > Some(0),
        "{text}"
    );
    has(&said, &[&format!("1 days, {rows} rows in ")])?;
    network.mythic(&["export", "--parquet", &shown, "--from", &day, "--to", &day])?;
    ensure!(read()? == text, "another export of the day is another file");
    Ok(())
}

/// The newest segment of the spool, and its bytes.
fn newest(spool: &Path) -> Result<(PathBuf, u64)> {
    let mut segments: Vec<PathBuf> = read_dir(spool)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|kind| kind == "seg"))
        .collect();
    segments.sort();
    let path = segments.pop().context("the spool has no segment")?;
    let size = path.metadata()?.len();
    Ok((path, size))
}

async fn until<T>(what: &str, mut found: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let started = Instant::now();
    loop {
        if let Some(found) = found().await? {
            return Ok(found);
        }
        ensure!(started.elapsed() < PATIENCE, "waited for {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Records of the spool are spoiled before the indexer reads it. The gap is said, and one command mends it.
pub async fn missed(network: &Network) -> Result<()> {
    let indexer = network.state()["processes"]["indexer"]["pid"]
        .as_i64()
        .context("no indexer runs")?;
    let indexer = Pid::from_raw(i32::try_from(indexer)?);
    kill(indexer, Signal::SIGSTOP)?;
    let spool = network.data_dir().join("spool");
    let (segment, read) = newest(&spool)?;
    until("blocks that nobody read", async || {
        Ok((newest(&spool)?.1 > read + 8192).then_some(()))
    })
    .await?;
    let file = File::options().read(true).write(true).open(&segment)?;
    let mut bytes = [0; 2048];
    file.read_exact_at(&mut bytes, read + 2048)?;
    file.write_all_at(&bytes.map(|byte| !byte), read + 2048)?;
    kill(indexer, Signal::SIGCONT)?;

    until("the alarm of the gap", async || {
        let open = network
            .sql("SELECT gaps_open FROM analytics.pipeline_status")
            .await?;
        Ok(open
            .iter()
            .any(|row| row["gaps_open"].as_i64() > Some(0))
            .then_some(()))
    })
    .await?;
    network.mythic_fails(&["indexer", "alarms"], 6, &["alarms open"])?;
    network.mythic_fails(
        &[
            "indexer",
            "heal",
            "--from",
            "http://127.0.0.1:9",
            "--timeout",
            "10",
        ],
        6,
        &["127.0.0.1:9"],
    )?;
    let rpc = network.text("rpc_url");
    let healed = json(&network.mythic(&["indexer", "heal", "--from", &rpc, "--json"])?)?;
    ensure!(
        healed["healed"] == true && healed["found"]["count"].as_u64() > Some(0),
        "{healed}"
    );
    let open = network
        .sql("SELECT gaps_open FROM analytics.pipeline_status")
        .await?;
    ensure!(open[0]["gaps_open"] == 0, "{open:?}");
    Ok(())
}
