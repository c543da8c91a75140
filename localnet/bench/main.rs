//! `make bench-plugin`: what a Geyser plugin costs the threads that commit, measured through Agave's own plugin manager.
//!
//! `bench-plugin matrix NOOP.so OURS.so` runs every load in a process of its own, prints a table, and fails where an update
//! was lost without a word, came twice or out of order.
//! `bench-plugin one CONFIG ACCOUNTS THREADS RATE SECONDS [SPOOL]` loads any plugin by its configuration, and prints one line of JSON.
//! ACCOUNTS is `foreign` or `own` (owned by our program), RATE updates a second of each thread, 0 = as many as there can be. With a
//! SPOOL, what ours wrote is read back and compared with what it was told.

mod histogram;
mod load;
mod matrix;
mod oracle;
mod usage;

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["matrix", noop, ours] => matrix::run(Path::new(noop), Path::new(ours)),
        ["one", config, accounts, threads, rate, seconds, rest @ ..] => {
            let load = load::Load {
                own: match *accounts {
                    "own" => true,
                    "foreign" => false,
                    other => bail!("accounts {other:?}: own or foreign"),
                },
                threads: threads.parse().context("threads")?,
                rate: rate.parse().context("rate")?,
                seconds: seconds.parse().context("seconds")?,
            };
            let spool = rest.first().map(PathBuf::from);
            let result = load::run(Path::new(config), &load, spool.as_deref())?;
            println!("{}", serde_json::to_string(&result)?);
            Ok(())
        }
        _ => bail!("matrix NOOP.so OURS.so | one CONFIG own|foreign THREADS RATE SECONDS [SPOOL]"),
    }
}
