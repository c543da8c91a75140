//! Every load in a process of its own, and a table of them. A plugin of ours that lost an update without a word, stored one twice or two in
//! the wrong order is an error.

use crate::{load::Outcome, oracle::Found};
use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use std::{path::Path, process::Command};

/// Hash of no chain.
const GENESIS: &str = "11111111111111111111111111111112";

/// Prints a table; `MYTHIC_BENCH_SECONDS` says how long each load lasts.
pub fn run(noop: &Path, ours: &Path) -> Result<()> {
    let seconds = std::env::var("MYTHIC_BENCH_SECONDS").unwrap_or_else(|_| "5".into());
    println!(
        "| plugin | accounts | threads | load | updates/s | p50 | p99 | p99.9 | max | over no-op p99 | stored, lost, duplicate, misordered | RSS MiB | callbacks, of a committing thread | spool's thread, of a core |"
    );
    println!("|---|---|--:|---|--:|--:|--:|--:|--:|--:|---|--:|--:|--:|");
    for threads in ["1", "2", "3", "4"] {
        for rate in ["0", "20000"] {
            let load = |plugin: &Path, accounts| one(plugin, accounts, threads, rate, &seconds);
            let nothing = load(noop, "foreign")?;
            row(["no-op", "any", threads, rate], &nothing, None)?;
            for accounts in ["foreign", "own"] {
                let names = ["Mythic", accounts, threads, rate];
                row(names, &load(ours, accounts)?, Some(&nothing))?;
            }
        }
    }
    Ok(())
}

fn one(plugin: &Path, accounts: &str, threads: &str, rate: &str, seconds: &str) -> Result<Outcome> {
    let dir = tempfile::tempdir()?;
    let (config, spool) = (dir.path().join("plugin.json"), dir.path().join("spool"));
    let ours = plugin.to_string_lossy().contains("mythic_geyser");
    let mut text = json!({"libpath": plugin.canonicalize()?});
    if ours {
        let owner = bs58::encode(mythic_interface::AI_PRECOMPILES_ID).into_string();
        text = json!({
            "libpath": plugin.canonicalize()?,
            "spool_dir": spool,
            "owners": [owner],
            "genesis_hash": GENESIS,
            "spool_max_bytes": 16u64 << 30,
        });
    }
    std::fs::write(&config, serde_json::to_vec(&text)?)?;
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg("one")
        .arg(&config)
        .args([accounts, threads, rate, seconds]);
    if ours {
        command.arg(&spool);
    }
    let ran = command.output()?;
    let said = String::from_utf8_lossy(&ran.stdout);
    ensure!(
        ran.status.success(),
        "{}: {}\n{}",
        plugin.display(),
        ran.status,
        String::from_utf8_lossy(&ran.stderr)
    );
    let line = said.lines().last().context("no outcome")?;
    serde_json::from_str(line).with_context(|| line.to_owned())
}

/// What came of the updates that were told, in words. Each is stored, or counted as dropped; a block's seal says how many it was
/// offered, unless records of slots were dropped.
fn checked(found: &Found, told: u64) -> Result<String> {
    let unsaid = i128::from(told) - i128::from(found.stored) - i128::from(found.dropped);
    let counted = found.slot_records > 0 || found.offered == told;
    ensure!(
        unsaid == 0 && found.duplicate == 0 && found.misordered == 0 && found.ended && counted,
        "of {told} updates {unsaid} were lost without a word: {found:?}"
    );
    Ok(format!(
        "{}, {} (all said), {}, {}",
        found.stored, found.dropped, found.duplicate, found.misordered
    ))
}

fn row(names: [&str; 4], outcome: &Outcome, noop: Option<&Outcome>) -> Result<()> {
    let [plugin, accounts, threads, rate] = names;
    let load = match rate {
        "0" => "saturated".to_owned(),
        rate => format!("{rate}/s a thread"),
    };
    let over = noop.map_or("–".into(), |noop| {
        format!("{}", outcome.p99 as i64 - noop.p99 as i64)
    });
    let told = match accounts {
        "own" => outcome.updates,
        _ => 0,
    };
    let found = match (&outcome.found, noop) {
        (Some(found), _) => checked(found, told)
            .with_context(|| format!("{accounts}, {threads} threads, {load}"))?,
        (None, None) => "–".into(),
        (None, Some(_)) => bail!("nothing was read back of what {plugin} wrote"),
    };
    let committing = threads.parse::<f64>()? * outcome.seconds;
    println!(
        "| {plugin} | {accounts} | {threads} | {load} | {} | {} | {} | {} | {} | {over} | {found} | {} → {} | {:.1} % | {:.0} % |",
        outcome.per_second,
        outcome.p50,
        outcome.p99,
        outcome.p999,
        outcome.max,
        outcome.rss_before,
        outcome.rss_most,
        100.0 * outcome.callback_seconds / committing,
        100.0 * outcome.drain_seconds / outcome.seconds,
    );
    Ok(())
}
