//! `mythic export`: finalized rows as files, for tools that read no database.

use crate::{config, context::Connection, exit, exit::Exit, progress::Step, say};
use anyhow::Result;
use clap::Args;
use mythic_indexer::IndexerConfig;
use std::path::PathBuf;

/// Write finalized rows as Parquet files, one for each table and UTC day, with a manifest
#[derive(Args, Debug)]
#[command(after_help = "Read them with DuckDB:\n  \
    duckdb -c \"SELECT block_date, sum(fee_lamports) FROM read_parquet('DIR/settlements/*.parquet') GROUP BY 1 ORDER BY 1\"")]
pub struct Export {
    /// Folder; files of earlier exports stay in it
    #[arg(long, value_name = "DIR")]
    parquet: PathBuf,
    /// First day, YYYY-MM-DD [default: the first of the chain]
    #[arg(long, value_parser = date)]
    from: Option<String>,
    /// Last day, YYYY-MM-DD [default: the last that is over]
    #[arg(long, value_parser = date)]
    to: Option<String>,
    /// PostgreSQL URL; an analyst's will do [default: the indexer's]
    #[arg(long)]
    database: Option<String>,
    /// TOML file of the indexer [default: that of `mythic dev` here, else all defaults]
    #[arg(long)]
    config: Option<PathBuf>,
}

fn date(text: &str) -> Result<String, String> {
    let shape = text
        .bytes()
        .map(|b| if b.is_ascii_digit() { b'0' } else { b });
    match shape.eq(*b"0000-00-00") {
        true => Ok(text.to_owned()),
        false => Err("a day looks like 2026-01-31".into()),
    }
}

/// Runs `mythic export`.
pub async fn run(command: Export, connection: &Connection) -> Result<()> {
    let url = match command.database {
        Some(url) => url,
        None => {
            config::beside::<IndexerConfig>(command.config, &connection.data_dir())?.database_url
        }
    };
    let step = Step::new("Writing finalized days");
    let (from, to) = (command.from.as_deref(), command.to.as_deref());
    let report = mythic_indexer::export(&url, &command.parquet, from, to)
        .await
        .map_err(exit::of_index)?;
    step.done();
    for (day, why) in &report.skipped {
        say!("{day} left out: {why}");
    }
    if report.days.is_empty() {
        return Err(Exit::error(
            exit::CHECK_FAILED,
            "no day is over and complete: nothing was written but the manifest",
        ));
    }
    say!(
        "{} days, {} rows in {}",
        report.days.len(),
        report.rows,
        command.parquet.display()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_a_date() {
        assert_eq!(date("2026-01-31"), Ok("2026-01-31".into()));
        assert!(date("2026-1-31").is_err() && date("yesterday").is_err());
    }
}
