//! `mythic indexer archive`: the files that older spans of the archive lie in, and what is in the archive.

use crate::{
    config,
    context::Connection,
    exit::{self, Exit},
    say, terminal,
    units::print_table,
};
use anyhow::Result;
use clap::Args;
use mythic_indexer::{FileReport, FileState, IndexerConfig, archive_files, archived_update};
use serde_json::json;
use std::path::PathBuf;

/// Files of the archive.
#[derive(Args, Debug)]
pub struct Archive {
    /// TOML file of the indexer [default: that of `mythic dev` here, else all defaults]
    #[arg(long)]
    config: Option<PathBuf>,
    /// Read every byte of every file, and compare with what was written
    #[arg(long)]
    verify: bool,
    /// Print an account update wherever it lies: the number of its block, and its place in it, as table pipeline.dead_letter has them
    #[arg(long, value_name = "BANK:ORDINAL", value_parser = place, conflicts_with = "verify")]
    update: Option<(i64, u32)>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn place(text: &str) -> Result<(i64, u32), String> {
    let parts = text.split_once(':');
    let read = parts.and_then(|(bank, ordinal)| Some((bank.parse().ok()?, ordinal.parse().ok()?)));
    read.ok_or_else(|| "a place looks like 4711:3".into())
}

/// Runs `mythic indexer archive`.
pub async fn run(command: Archive, connection: &Connection) -> Result<()> {
    let config: IndexerConfig = config::beside(command.config, &connection.data_dir())?;
    let (url, dir) = (&config.database_url, &config.archive_dir);
    if let Some((bank, ordinal)) = command.update {
        let found = archived_update(url, dir, bank, ordinal).await;
        let Some(update) = found.map_err(exit::of_index)? else {
            return Err(Exit::error(
                exit::NOT_FOUND,
                format!("the archive has no update {ordinal} of bank {bank}"),
            ));
        };
        let base58 = |key: [u8; 32]| bs58::encode(key).into_string();
        let signature = update.signature.map(|s| bs58::encode(s).into_string());
        return terminal::json(&json!({
            "bank": bank,
            "ordinal": ordinal,
            "account": base58(update.pubkey),
            "owner": base58(update.owner),
            "lamports": update.lamports,
            "slot": update.slot,
            "signature": signature,
            "data": hex::encode(&update.data),
        }));
    }
    let files = archive_files(url, dir, command.verify)
        .await
        .map_err(exit::of_index)?;
    let bad = files.iter().filter(|file| file.state != FileState::Good);
    let bad = bad.count();
    if command.json {
        terminal::json(&files)?;
    } else if files.is_empty() {
        say!(
            "no span is older than archive_keep_slots ({}): all of the archive is in the database",
            config.archive_keep_slots
        );
    } else {
        let headers = ["FILE", "EVENTS", "SLOTS", "UPDATES", "BYTES", "STATE"];
        print_table(&headers, &files.iter().map(row).collect::<Vec<_>>());
    }
    match bad {
        0 => Ok(()),
        bad => Err(Exit::error(
            exit::CHECK_FAILED,
            format!(
                "{bad} of {} files can't be used: put back copies with the listed SHA-256 (--json), or set archive_dir to where they lie",
                files.len()
            ),
        )),
    }
}

fn row(file: &FileReport) -> Vec<String> {
    let slots = match (file.first_slot, file.last_slot) {
        (Some(first), Some(last)) => format!("{first}-{last}"),
        _ => "-".into(),
    };
    let state = match &file.state {
        FileState::Good => "good".into(),
        FileState::Missing => "missing".into(),
        FileState::Damaged(why) => format!("damaged: {why}"),
    };
    vec![
        file.path.display().to_string(),
        format!("{}-{}", file.first_event, file.last_event),
        slots,
        file.updates.to_string(),
        file.bytes.to_string(),
        state,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_what_a_file_holds_and_how_it_is() {
        let mut file = FileReport {
            path: "archive/events-000000000000001.archive".into(),
            first_event: 1,
            last_event: 900,
            first_slot: Some(5),
            last_slot: Some(310),
            events: 900,
            updates: 12,
            bytes: 40_960,
            sha256: "ab".repeat(32),
            state: FileState::Missing,
        };
        assert_eq!(row(&file)[1..4], ["1-900", "5-310", "12"]);
        assert_eq!(row(&file)[5], "missing");
        file.state = FileState::Damaged("it has 3 bytes, not 40960".into());
        assert_eq!(row(&file)[5], "damaged: it has 3 bytes, not 40960");
        let json = serde_json::to_value(&file).unwrap();
        assert_eq!(
            (&json["state"], &json["why"]),
            (&json!("damaged"), &json!("it has 3 bytes, not 40960"))
        );
    }

    #[test]
    fn a_place_is_a_block_and_an_update_in_it() {
        assert_eq!(place("4711:3"), Ok((4711, 3)));
        assert!(place("4711").is_err() && place("4711:-1").is_err());
    }
}
