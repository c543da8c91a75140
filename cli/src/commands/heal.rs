//! `mythic indexer heal`: repairs what the index did not see, from a chain's RPC.

use crate::{
    config,
    context::Connection,
    exit::{self, Exit},
    note, say, terminal,
};
use anyhow::Result;
use clap::Args;
use mythic_indexer::{HealReport, IndexerConfig};
use serde_json::json;
use std::{path::PathBuf, time::Duration};

/// Repair what the index did not see, from a chain's RPC
///
/// Reads the program's accounts at finality, waits until the index has passed the block that they show and holds the same one, and
/// compares all rows with them: rows that differ and are not newer are written, accounts that are not there any more are closed.
/// What changed says `exact = false`: its values are right, what happened in between is not known.
///
/// The indexer that runs does it, and goes on meanwhile. Where none runs, one runs here until it is done: it needs the spool, or
/// `source = "rpc"`, for finality to move on. `mythic indexer alarms` and `analytics.slots` show the gaps.
///
/// Exit codes: 0 healed, or nothing to heal; 2 no RPC is named; 3 the database can't be reached; 6 not healed, with the reason.
#[derive(Args, Debug)]
pub struct Heal {
    /// TOML file of the indexer [default: that of `mythic dev` here, else all defaults]
    #[arg(long)]
    config: Option<PathBuf>,
    /// JSON-RPC to read from [default: heal_rpc_url of the file, or the rpc_url that it follows]
    #[arg(long, value_name = "URL")]
    from: Option<String>,
    /// Give up after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs `mythic indexer heal`.
pub async fn run(command: Heal, connection: &Connection) -> Result<()> {
    let config: IndexerConfig = config::beside(command.config, &connection.data_dir())?;
    let patience = Duration::from_secs(command.timeout);
    let json = command.json;
    let told = |progress: &mythic_indexer::HealProgress| {
        if !json && !matches!(progress.state.as_str(), "done" | "failed") {
            note!("{}: {}", progress.state, progress.detail);
        }
    };
    let report = mythic_indexer::heal(&config, command.from, patience, told)
        .await
        .map_err(exit::of_index)?;
    show(&report, json)
}

fn show(report: &HealReport, json: bool) -> Result<()> {
    let (found, left) = (&report.found, &report.left);
    let done = report.ended.as_ref().is_none_or(|e| e.state == "done") && left.count == 0;
    let detail = match &report.ended {
        None => {
            "nothing to heal: no finalized slot was missed that a comparison has not spoken for"
        }
        Some(ended) => ended.detail.as_str(),
    };
    if json {
        terminal::json(&json!({
            "healed": done,
            "found": {"count": found.count, "first_slot": found.first, "last_slot": found.last},
            "left": {"count": left.count, "first_slot": left.first, "last_slot": left.last},
            "compared_at_slot": report.ended.as_ref().and_then(|ended| ended.slot),
            "detail": detail,
        }))?;
    } else if done {
        say!("{detail}");
    }
    match done {
        true => Ok(()),
        false => Err(Exit::error(
            exit::CHECK_FAILED,
            format!(
                "{} gaps or incomplete blocks are left: {detail}",
                left.count
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mythic_indexer::{HealProgress, Unhealed};

    #[test]
    fn what_is_left_is_a_failed_check_and_nothing_to_heal_is_not() {
        let nothing = HealReport {
            found: Unhealed::default(),
            left: Unhealed::default(),
            ended: None,
        };
        assert!(show(&nothing, false).is_ok());
        let one = Unhealed {
            count: 1,
            first: 5,
            last: 9,
        };
        let ended = |state: &str| {
            Some(HealProgress {
                state: state.into(),
                slot: None,
                detail: "RPC https://rpc.example is busy".into(),
            })
        };
        for (state, left) in [
            ("failed", one),
            ("done", one),
            ("failed", Unhealed::default()),
        ] {
            let report = HealReport {
                found: one,
                left,
                ended: ended(state),
            };
            let error = show(&report, false).unwrap_err();
            assert_eq!(exit::code(&error), exit::CHECK_FAILED);
            assert!(error.to_string().contains("busy"), "{error}");
        }
    }
}
