//! `mythic`: every process of the network and every tool of its users.

mod commands;
mod config;
mod confirm;
mod context;
mod dev;
mod exit;
mod feed;
mod gateway;
mod model;
mod progress;
mod proxy;
mod report;
mod stop;
mod suggest;
mod supervised;
mod terminal;
mod units;

use anyhow::{Context, Result};
use clap::{Args, CommandFactory, Parser, Subcommand};
use commands::{
    ai, bot, calibrate, check, credit, disputes, doctor, export, gateway as gateways, grant, jobs,
    key, lease, model as models, network, node, provider, verify, wallet,
};
use context::Connection;
use std::{path::PathBuf, process::ExitCode};
use stop::shutdown;

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
    #[arg(long, global = true, help_heading = context::HEADING)]
    log_json: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    Dev(Box<dev::Dev>),
    Ai(ai::Ai),
    Estimate(ai::Estimate),
    /// Jobs: list, show, watch
    #[command(subcommand)]
    Jobs(jobs::Jobs),
    /// Cases, in which results are claimed to be false or withheld: list, show, watch
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
    Grant(grant::Grant),
    /// What is prepaid at the gateway for fees and rent
    #[command(subcommand)]
    Credit(credit::Credit),
    /// API keys: key, deposit and grant in one
    #[command(subcommand)]
    Key(key::Key),
    /// Look for what would keep Mythic from working here, and say how to fix it
    Doctor(doctor::Doctor),
    /// Configuration files: check, show
    #[command(subcommand)]
    Config(check::Config),
    /// Run a validator's node, or make its configuration
    Node(node::Node),
    Verify(verify::Verify),
    /// Leases of capacity on the Compute Market: offers, request, list, show, probe, top-up, close
    #[command(subcommand)]
    Lease(lease::Lease),
    #[command(subcommand)]
    Provider(provider::Provider),
    /// Run the gateway, or change its master key
    Gateway(gateways::GatewayProcess),
    /// Run the indexer, rebuild its tables from the archive, heal its gaps, see its alarms
    Indexer(check::Indexer),
    Export(export::Export),
    Bot(bot::Bot),
    /// Run the settler: claims, expiries, verdicts, payments, sweeps, closes
    Settler(Run),
    /// Run the development chain
    Chain(Run),
    /// Print shell completions
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// Write manual pages, one for each command
    Manual {
        /// Directory for them; it has to exist
        dir: PathBuf,
    },
}

/// Options of every process.
#[derive(Args)]
struct Run {
    /// TOML file; without it all defaults. MYTHIC_<PROCESS>__KEY in the environment wins
    #[arg(long)]
    config: Option<PathBuf>,
}

async fn run(command: Command, connection: &Connection) -> Result<()> {
    match command {
        Command::Dev(args) => dev::run(*args, &connection.data_dir()).await,
        Command::Ai(args) => ai::ai(args, connection).await,
        Command::Estimate(args) => ai::estimate(args, connection).await,
        Command::Jobs(command) => jobs::run(command, connection).await,
        Command::Disputes(command) => disputes::run(command, connection).await,
        Command::Network { json } => network::run(json, connection).await,
        Command::Model(command) => models::run(command, connection).await,
        Command::Calibrate(args) => calibrate::run(args).await,
        Command::Wallet(command) => wallet::wallet(command, connection).await,
        Command::Vault(command) => wallet::vault(command, connection).await,
        Command::Grant(command) => grant::run(command, connection).await,
        Command::Credit(command) => credit::run(command, connection).await,
        Command::Key(command) => key::run(command, connection).await,
        Command::Doctor(args) => doctor::run(args, connection).await,
        Command::Config(command) => check::config(command),
        Command::Node(command) => node::run(command, connection).await,
        Command::Verify(command) => verify::run(command, connection).await,
        Command::Lease(command) => lease::run(command, connection).await,
        Command::Provider(command) => provider::run(command, connection).await,
        Command::Gateway(command) => gateways::run(command).await,
        Command::Indexer(command) => check::indexer(command, connection).await,
        Command::Bot(command) => bot::run(command).await,
        Command::Export(command) => export::run(command, connection).await,
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
        Command::Manual { dir } => clap_mangen::generate_to(Cli::command(), &dir)
            .with_context(|| format!("writing manual pages to {}", dir.display())),
    }
}

/// The command line, or how it ends at once: help, version, or what is wrong with it.
fn parse() -> Result<(Command, Cli), ExitCode> {
    let mut cli = Cli::try_parse().map_err(|error| {
        let error = suggest::complete(error, Cli::command(), std::env::args_os().skip(1));
        let _ = error.print();
        ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(exit::USAGE))
    })?;
    match cli.command.take() {
        Some(command) => Ok((command, cli)),
        None => {
            let printed = Cli::command().print_help();
            Err(printed.map_or(ExitCode::from(exit::FAILURE), |()| ExitCode::SUCCESS))
        }
    }
}

/// Whether a command runs until it is stopped.
fn is_process(command: &Command) -> bool {
    match command {
        Command::Node(node) => node.is_process(),
        Command::Verify(verify) => verify.is_process(),
        Command::Indexer(indexer) => indexer.is_process(),
        Command::Gateway(gateway) => gateway.is_process(),
        Command::Provider(provider) => provider.is_process(),
        Command::Settler(_) | Command::Chain(_) | Command::Bot(_) => true,
        _ => false,
    }
}

/// What must be set before any thread is started.
fn prepare(process: bool, keeps_data: bool) {
    proxy::except_loopback();
    if process || keeps_data {
        // Journals, evidence, keys and configurations are for the user they belong to.
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    } else {
        // Output into `head` ends this command quietly, as other Unix tools end.
        // SAFETY: restores the default action of a signal, before any thread is started.
        let _ = unsafe {
            nix::sys::signal::signal(
                nix::sys::signal::Signal::SIGPIPE,
                nix::sys::signal::SigHandler::SigDfl,
            )
        };
    }
}

fn main() -> ExitCode {
    let (command, cli) = match parse() {
        Ok(parsed) => parsed,
        Err(code) => return code,
    };
    let process = is_process(&command);
    prepare(process, matches!(&command, Command::Dev(dev) if dev.runs()));
    mythic_support::telemetry::start(
        if process {
            "info,tokio_postgres=warn"
        } else {
            "warn"
        },
        cli.log_json,
        progress::line,
    );
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            note!("error: starting the runtime: {error}");
            return ExitCode::from(exit::FAILURE);
        }
    };
    if process {
        supervised::start(runtime.handle());
    }
    match runtime.block_on(run(command, &cli.connection)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            note!("error: {error:#}");
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

    /// Command lines of the pages: those of blocks, and pieces of code in a sentence.
    fn command_lines() -> Vec<String> {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut pages = vec![root.join("README.md"), root.join("CONTRIBUTING.md")];
        let docs = std::fs::read_dir(root.join("docs")).unwrap();
        pages.extend(docs.map(|file| file.unwrap().path()));
        let mut lines = Vec::new();
        for page in pages {
            let text = std::fs::read_to_string(&page).unwrap_or_default();
            let pieces = text.split('`').skip(1).step_by(2).flat_map(str::lines);
            let commands = pieces.map(str::trim).filter(|line| {
                line.strip_prefix("mythic ")
                    .is_some_and(|rest| rest.starts_with(|c: char| c == '-' || c.is_lowercase()))
            });
            lines.extend(commands.map(str::to_owned));
        }
        lines
    }

    /// What is wrong with a line, if anything: a command or an option that there is not.
    fn unknown(line: &str) -> Option<String> {
        let mut root = Cli::command();
        root.build();
        let mut command = &root;
        let mut is_value = false;
        for word in line.split_whitespace().skip(1) {
            let word = word.trim_matches(['[', ']']);
            if std::mem::take(&mut is_value) {
                continue;
            }
            // What is behind it is another program's.
            if word == "--" {
                return None;
            }
            if let Some(option) = word.strip_prefix("--") {
                let mut known = command.get_arguments().chain(root.get_arguments());
                match known.find(|arg| arg.get_long() == Some(option)) {
                    Some(arg) => is_value = arg.get_action().takes_values(),
                    None => return Some(word.to_owned()),
                }
            } else if word.starts_with(['#', '"']) {
                return None;
            } else if word.contains('|') {
                let mut either = word.split('|');
                return either
                    .find(|one| command.find_subcommand(one).is_none())
                    .map(str::to_owned);
            } else if let Some(next) = command.find_subcommand(word) {
                command = next;
            } else if command.has_subcommands() && command.get_positionals().next().is_none() {
                return Some(word.to_owned());
            }
        }
        None
    }

    #[test]
    fn every_command_that_a_page_names_exists() {
        let lines = command_lines();
        assert!(lines.len() > 40, "{} lines were found", lines.len());
        for line in lines {
            assert_eq!(unknown(&line), None, "{line}");
        }
        assert!(unknown("mythic jobs lost").is_some() && unknown("mythic ai --sead 1").is_some());
    }
}
