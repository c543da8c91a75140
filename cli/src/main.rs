//! `mythic`: every process of the network and every tool of its users.

mod commands;
mod config;
mod context;
mod dev;
mod exit;
mod gateway;
mod model;
mod progress;
mod report;
mod units;

use anyhow::Result;
use clap::{Args, CommandFactory, Parser, Subcommand};
use commands::{
    ai, calibrate, check, disputes, doctor, jobs, model as models, node, spend, verify, wallet,
};
use context::Connection;
use std::{path::PathBuf, process::ExitCode};
use tokio_util::sync::CancellationToken;

/// Verifiable AI inference, settled on chain.
#[derive(Parser)]
#[command(
    name = "mythic",
    version,
    propagate_version = true,
    after_help = "Exit codes: 1 failure, 2 usage, 3 a server could not be reached, 4 not found, 5 not enough money, 6 a check failed, 7 a check could not be made.\n\
                  Start with `mythic dev`, then `mythic ai \"Why is the sky blue?\"`."
)]
struct Cli {
    #[command(flatten)]
    connection: Connection,
    /// Log lines as JSON
    #[arg(long, global = true)]
    log_json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Dev(Box<dev::Dev>),
    Ai(ai::Ai),
    Estimate(ai::Estimate),
    /// Jobs: list, show, watch
    #[command(subcommand)]
    Jobs(jobs::Jobs),
    /// Disputes: list, show, watch
    #[command(subcommand)]
    Disputes(disputes::Disputes),
    /// The network in numbers
    Network {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Models: fetch, register, update, list
    #[command(subcommand)]
    Model(models::Model),
    Calibrate(calibrate::Calibrate),
    /// Keys and lamports of a wallet
    #[command(subcommand)]
    Wallet(wallet::Wallet),
    /// The prepaid balance that pays for jobs
    #[command(subcommand)]
    Vault(wallet::Vault),
    /// What a delegate may spend from the vault
    #[command(subcommand)]
    Grant(spend::Grant),
    /// API keys: key, deposit and grant in one
    #[command(subcommand)]
    Key(spend::Key),
    /// Look for what would keep Mythic from working here, and name the mend
    Doctor {
        /// Print JSON lines
        #[arg(long)]
        json: bool,
    },
    /// Configuration files: check, show
    #[command(subcommand)]
    Config(check::Config),
    /// Run a validator's node, or make its configuration
    Node(node::Node),
    Verify(verify::Verify),
    /// Run the gateway
    Gateway(Run),
    /// Run the indexer, rebuild its tables from the archive, see its alarms
    Indexer(check::Indexer),
    /// Run the settler: claims, expiries, verdicts, payments, sweeps, closes
    Settler(Run),
    /// Run the development chain
    Chain(Run),
    /// Print shell completions
    Completions {
        /// Shell
        shell: clap_complete::Shell,
    },
}

/// Options of every process.
#[derive(Args)]
struct Run {
    /// TOML file; without it all defaults. MYTHIC_<PROCESS>__KEY in the environment wins
    #[arg(long)]
    config: Option<PathBuf>,
}

/// A token that SIGINT or SIGTERM cancels.
fn shutdown() -> CancellationToken {
    use tokio::signal::unix::{SignalKind, signal};
    let token = CancellationToken::new();
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        match signal(kind) {
            Ok(mut signal) => {
                let token = token.clone();
                tokio::spawn(async move {
                    signal.recv().await;
                    token.cancel();
                });
            }
            Err(error) => tracing::warn!("no handler for a stop signal: {error}"),
        }
    }
    token
}

async fn run(cli: Cli) -> Result<()> {
    let connection = &cli.connection;
    match cli.command {
        Command::Dev(args) => dev::run(*args, &connection.data_dir).await,
        Command::Ai(args) => ai::ai(args, connection).await,
        Command::Estimate(args) => ai::estimate(args, connection).await,
        Command::Jobs(command) => jobs::run(command, connection).await,
        Command::Disputes(command) => disputes::run(command, connection).await,
        Command::Network { json } => jobs::network(json, connection).await,
        Command::Model(command) => models::run(command, connection).await,
        Command::Calibrate(args) => calibrate::run(args).await,
        Command::Wallet(command) => wallet::wallet(command, connection).await,
        Command::Vault(command) => wallet::vault(command, connection).await,
        Command::Grant(command) => spend::grant(command, connection).await,
        Command::Key(command) => spend::key(command, connection).await,
        Command::Doctor { json } => doctor::run(json, connection).await,
        Command::Config(command) => check::config(command),
        Command::Node(command) => node::run(command, connection).await,
        Command::Verify(command) => verify::run(command, connection).await,
        Command::Gateway(run) => {
            mythic_api::run(config::load(run.config.as_deref())?, shutdown()).await
        }
        Command::Indexer(command) => check::indexer(command, connection).await,
        Command::Settler(run) => {
            Ok(mythic_settler::run(config::load(run.config.as_deref())?, shutdown()).await?)
        }
        Command::Chain(run) => {
            mythic_devnet::run(config::load(run.config.as_deref())?, shutdown()).await
        }
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "mythic", &mut std::io::stdout());
            Ok(())
        }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let process = match &cli.command {
        Command::Node(_)
        | Command::Gateway(_)
        | Command::Indexer(_)
        | Command::Settler(_)
        | Command::Chain(_) => true,
        Command::Verify(verify) => verify.is_process(),
        _ => false,
    };
    if !process && !matches!(cli.command, Command::Dev(_)) {
        // Output into `head` ends this command quietly, as other Unix tools end.
        // SAFETY: restores the default action of a signal, before any thread is started.
        let _ = unsafe {
            nix::sys::signal::signal(
                nix::sys::signal::Signal::SIGPIPE,
                nix::sys::signal::SigHandler::SigDfl,
            )
        };
    }
    mythic_support::telemetry::start(
        if process {
            "info,tokio_postgres=warn"
        } else {
            "warn"
        },
        cli.log_json,
    );
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: starting the runtime: {error}");
            return ExitCode::from(exit::FAILURE);
        }
    };
    match runtime.block_on(run(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(exit::code(&error))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
