//! `mythic indexer alarms`: what an operator should look at, and the way to say that it was looked at.

use crate::{
    config,
    context::Connection,
    exit::{self, Exit},
    say, terminal,
    units::print_table,
};
use anyhow::Result;
use clap::Args;
use mythic_indexer::{
    IndexerConfig,
    alarms::{self, Outcome, Shown, Which},
};
use std::path::PathBuf;

/// Alarms of the indexer and the settler.
#[derive(Args, Debug)]
pub struct Alarms {
    /// TOML file of the indexer [default: that of `mythic dev` here, else all defaults]
    #[arg(long)]
    config: Option<PathBuf>,
    /// Show the cleared ones too
    #[arg(long)]
    history: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Clear these: all of them, or none if one is not open
    #[arg(long, num_args = 1.., value_name = "ID", conflicts_with = "clear_all")]
    clear: Vec<i64>,
    /// Clear all that are open
    #[arg(long)]
    clear_all: bool,
    /// Why, for the history
    #[arg(long, default_value = "cleared by the operator")]
    reason: String,
}

/// Runs `mythic indexer alarms`.
pub async fn run(command: Alarms, connection: &Connection) -> Result<()> {
    let config: IndexerConfig = config::beside(command.config, &connection.data_dir())?;
    let url = &config.database_url;
    if command.clear_all || !command.clear.is_empty() {
        let which = match command.clear_all {
            true => Which::All,
            false => Which::Ids(command.clear),
        };
        return match alarms::clear(url, &which, &command.reason)
            .await
            .map_err(exit::of_index)?
        {
            Outcome::Cleared(ids) if command.json => {
                terminal::json_line(&serde_json::json!({"cleared": ids}))
            }
            Outcome::Cleared(ids) => {
                match ids.as_slice() {
                    [] => say!("no alarm is open"),
                    ids => say!("cleared {}: {}", plural(ids.len()), named(ids)),
                }
                Ok(())
            }
            Outcome::NotOpen(missing) => Err(Exit::error(
                exit::NOT_FOUND,
                format!("not open: {}; nothing was cleared", named(&missing)),
            )),
        };
    }
    let shown = alarms::list(url, command.history)
        .await
        .map_err(exit::of_index)?;
    let open = shown.iter().filter(|a| a.cleared_at.is_none()).count();
    if command.json {
        terminal::json(&shown)?;
    } else if !shown.is_empty() {
        let headers = ["ID", "SINCE", "KIND", "SLOTS", "COUNT", "STATE", "DETAIL"];
        print_table(&headers, &shown.iter().map(row).collect::<Vec<_>>());
    }
    match open {
        0 if command.json => Ok(()),
        0 => {
            say!("no alarm is open");
            Ok(())
        }
        open => Err(Exit::error(
            exit::CHECK_FAILED,
            format!("{} open", plural(open)),
        )),
    }
}

fn plural(count: usize) -> String {
    match count {
        1 => "1 alarm".into(),
        count => format!("{count} alarms"),
    }
}

fn named(ids: &[i64]) -> String {
    let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
    ids.join(", ")
}

fn row(alarm: &Shown) -> Vec<String> {
    let slots = match (alarm.slot, alarm.last_slot) {
        (None, _) => "-".into(),
        (Some(first), Some(last)) if last != first => format!("{first}-{last}"),
        (Some(first), _) => first.to_string(),
    };
    let state = match (&alarm.cleared_at, alarm.clears_itself) {
        (Some(at), _) => format!(
            "cleared {at}: {}",
            alarm.cleared_reason.as_deref().unwrap_or("no reason kept")
        ),
        (None, true) => "open, clears itself when healed".into(),
        (None, false) => "open, needs you".into(),
    };
    vec![
        alarm.id.to_string(),
        alarm.since.clone(),
        alarm.kind.clone(),
        slots,
        alarm.count.to_string(),
        state,
        alarm.detail.clone(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_whether_the_operator_is_needed() {
        let mut alarm = Shown {
            id: 7,
            kind: "gap".into(),
            slot: Some(5),
            last_slot: Some(9),
            count: 1,
            detail: "slots 5 to 9 were not seen".into(),
            clears_itself: true,
            since: "2026-01-01T00:00:00Z".into(),
            newest_at: "2026-01-01T00:00:00Z".into(),
            cleared_at: None,
            cleared_reason: None,
        };
        assert_eq!(row(&alarm)[3], "5-9");
        assert!(row(&alarm)[5].contains("clears itself"));
        alarm.clears_itself = false;
        assert_eq!(row(&alarm)[5], "open, needs you");
        alarm.cleared_at = Some("2026-01-02T00:00:00Z".into());
        alarm.cleared_reason = Some("looked at".into());
        assert_eq!(row(&alarm)[5], "cleared 2026-01-02T00:00:00Z: looked at");
    }
}
