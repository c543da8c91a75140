//! `mythic-localnet chain --config FILE` runs a validator where `mythic chain` runs the development chain, from the same file.
//! `mythic-localnet genesis --config FILE` makes the ledger if there is none, and prints the hash of its genesis.
//! `mythic-localnet plugin LEDGER (list | load CONFIG | unload NAME | reload NAME CONFIG)` asks the admin RPC.

use anyhow::{Context, Result, bail};
use mythic_localnet::{admin, config::LocalnetConfig, ledger, validator};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// Pause between two looks for a signal.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const LOG: &str = "warn,mythic_localnet=info,solana_geyser_plugin_manager=info,mythic_geyser_plugin=info,solana_runtime::snapshot_bank_utils=info,solana_core::validator=info";

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["genesis", "--config", file] => {
            let config = LocalnetConfig::load(Path::new(file))?;
            genesis(&config)
        }
        ["chain", "--config", file] => chain(&LocalnetConfig::load(Path::new(file))?),
        ["plugin", ledger, rest @ ..] => {
            for line in admin::plugin(&PathBuf::from(ledger), rest)? {
                println!("{line}");
            }
            Ok(())
        }
        _ => bail!("genesis --config FILE | chain --config FILE | plugin LEDGER …"),
    }
}

fn genesis(config: &LocalnetConfig) -> Result<()> {
    agave_logger::setup_with_default(LOG);
    let made = !ledger::exists(config);
    let hash = ledger::open_or_make(config)?;
    if made && ledger::is_crowded() {
        validator::run_to_snapshot(config).context("running to the first snapshot")?;
    }
    println!("{hash}");
    Ok(())
}

fn chain(config: &LocalnetConfig) -> Result<()> {
    agave_logger::setup_with_default(LOG);
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let validator = validator::start(config).context("starting the validator")?;
    let (rpc, ws) = (config.rpc_addr, config.ws_addr);
    log::info!("the validator runs: RPC {rpc}, WebSocket {ws}");
    // Agave itself ends at SIGTERM without a word to its plugins; `agave-validator exit` unloads them, and so does this.
    while signals.pending().next().is_none() && !validator.was_asked_to_exit() {
        std::thread::sleep(LOOK_EVERY);
    }
    log::info!("asked to stop");
    validator.close();
    log::info!("stopped");
    Ok(())
}
