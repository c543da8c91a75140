//! `mythic verify`: check one answer by hand, or run a verifier: a validator that takes no jobs.

mod balance;
mod claim;
mod evidence;
mod report;

use super::init::{self, is_loopback};
use crate::{
    config,
    context::Connection,
    exit::{self, Exit},
    progress::Step,
    stop::shutdown,
};
use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use mythic_client::{ChainClient, Commitment};
use mythic_engine::{ByOptions, Checked, Engine, EngineConfig};
use mythic_interface::state::Job;
use mythic_lab::cheat::Told;
use mythic_node::seams::Seams;
use mythic_sampling::Options;
use mythic_verifier::{
    Policy, VerifierConfig,
    check::{self, Finding, Subject},
    question::{Question, Reply},
    sample::{self, SlotHashes},
};
use mythic_wire::Evidence;
use report::Outcome;
use solana_pubkey::Pubkey;
use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Instant};

/// Check an answer against its fingerprint and the model, or run a verifier.
///
/// With a job: once, position by position; --quiet says the verdict alone. Exit codes: 0 the answer is honest, 6 it is false, 7 that cannot be said.
/// With --config: follow results, check some, claim what is false, sit on juries. `mythic verify init` writes the configuration.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Verify {
    #[command(subcommand)]
    command: Option<VerifyCommand>,
    /// Address of the job to check
    #[arg(conflicts_with = "config", required_unless_present = "config")]
    job: Option<String>,
    /// TOML file of a verifier; MYTHIC_NODE__KEY in the environment wins
    #[arg(long)]
    config: Option<PathBuf>,
    /// GGUF file of the job's model [default: the default model, fetched]
    #[arg(long)]
    model: Option<PathBuf>,
    /// Read the evidence from this file instead of asking for it
    #[arg(long, value_name = "FILE")]
    evidence: Option<PathBuf>,
    /// Threads of the engine; 0 = one for each core
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Say the verdict alone, without a row for each position
    #[arg(long, short)]
    quiet: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Verify {
    /// Whether it runs until it is stopped.
    pub fn is_process(&self) -> bool {
        self.command.is_none() && self.config.is_some()
    }
}

#[derive(Subcommand, Debug)]
enum VerifyCommand {
    /// Write keys and the configuration of a verifier, and say how to fund it
    Init(Init),
}

#[derive(Args, Debug)]
struct Init {
    /// Directory for verify.toml, keys, journal and evidence
    #[arg(default_value = "mythic-verifier")]
    dir: PathBuf,
    /// GGUF file to check with [default: the default model, fetched]
    #[arg(long)]
    model: Option<PathBuf>,
    /// Where to listen for /health, /stats and /metrics
    #[arg(long, default_value = "127.0.0.1:8081")]
    listen: SocketAddr,
    /// Part of the answers to check, 0 to 1
    #[arg(long, default_value_t = 1.0, value_parser = parse_rate)]
    rate: f64,
    /// Stake to register with, in SOL
    #[arg(long, default_value = "1", value_parser = crate::units::parse_amount)]
    stake: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.0..=1.0).contains(&rate) => Ok(rate),
        _ => Err("0 to 1".into()),
    }
}

/// Runs `mythic verify`.
pub async fn run(verify: Verify, connection: &Connection) -> Result<()> {
    if let Some(VerifyCommand::Init(init)) = verify.command {
        return self::init(init, connection).await;
    }
    match (&verify.config, &verify.job) {
        (Some(file), _) => {
            let told: Told = config::load(Some(file))?;
            let mut config = told.node;
            config.accept_jobs = false;
            if !config.verifier.enabled {
                return Err(Exit::error(
                    exit::USAGE,
                    format!(
                        "{}: verifier.enabled = false; a verifier has nothing else to do",
                        file.display()
                    ),
                ));
            }
            mythic_node::run(config, Seams::default(), shutdown()).await
        }
        (None, Some(job)) => once(&verify, job, connection).await,
        (None, None) => Err(Exit::error(
            exit::USAGE,
            "name a job to check, or a verifier's --config; `mythic verify init` writes one",
        )),
    }
}

async fn init(init: Init, connection: &Connection) -> Result<()> {
    let wanted = init::Init {
        dir: init.dir,
        file: "verify.toml",
        model: init.model,
        stake: init.stake,
        operator: init::operator(connection, init.stake).await,
        command: "mythic verify",
        json: init.json,
    };
    let mut made = init::make(wanted, connection).await?;
    // Only a development network has nodes that nobody else could reach.
    made.config.allow_loopback = is_loopback(&made.config.rpc_url);
    made.config.listen = init.listen;
    made.config.accept_jobs = false;
    made.config.verifier = VerifierConfig {
        policy: Policy::Rate,
        rate: init.rate,
        ..VerifierConfig::default()
    };
    let loopback = made.config.allow_loopback;
    made.write(
        loopback.then_some("The chain is on loopback"),
        "It may claim against answers to jobs that were requested long enough after its registration. Back up authority.json: it owns the stake.",
    )
}

/// The chain's sample of a result, while its slot hashes are kept.
async fn drawn(chain: &ChainClient, state: &Job) -> Result<Option<Vec<u32>>> {
    let sysvar = Pubkey::new_from_array(sample::SLOT_HASHES);
    let read = chain.raw_account(&sysvar, Commitment::Processed).await?;
    let hashes = read
        .account
        .and_then(|account| SlotHashes::parse(&account.data));
    Ok(hashes
        .and_then(|hashes| sample::of_job(state, &hashes))
        .map(|sample| sample.positions().to_vec()))
}

/// What a question's answer is made of.
fn reply(checked: &Checked) -> Reply {
    Reply {
        four: checked.own,
        fifth: checked.fifth,
        at_claimed: checked.at_claimed,
        choice: checked.choice,
    }
}

/// How the tokens of an answer by options were to be chosen; nothing of another.
fn by_options(state: &Job, evidence: &Evidence) -> Result<Option<ByOptions>> {
    if state.terms.replay().is_some() {
        return Ok(None);
    }
    let bytes = evidence.options.as_deref().unwrap_or_default();
    let options = Options::from_wire(bytes).context("the options in the evidence")?;
    Ok(Some(ByOptions {
        options: Arc::new(options),
        sampling: check::sampling(state),
        output_tokens: state.output_tokens.get(),
        max_tokens: state.terms.max_output_tokens.get(),
        finish_reason: state.finish_reason,
        asked: None,
    }))
}

async fn once(verify: &Verify, job: &str, connection: &Connection) -> Result<()> {
    let chain = connection.chain();
    let claim = claim::claim(&chain, job).await?;
    let path = claim::weights(verify.model.as_deref(), &claim).await?;
    let step = Step::new("Fetching the evidence");
    let search = evidence::evidence(verify.evidence.as_deref(), &claim, connection).await?;
    step.done();
    let Some(evidence) = &search.evidence else {
        let reason = search.reason();
        let finding = match search.answered {
            true => Finding::Withheld { reason },
            false => Finding::Unknown { reason },
        };
        let outcome = Outcome {
            offer: balance::offer(&chain, &claim, &finding).await?,
            claim: &claim,
            finding,
            positions: Vec::new(),
            text: None,
            seconds: None,
        };
        return outcome.report(verify.json, verify.quiet);
    };
    let drawn = drawn(&chain, &claim.state).await?;
    let step = Step::new("Computing the answer again");
    let config = EngineConfig {
        threads: verify.threads,
        ..EngineConfig::default()
    };
    let engine = tokio::task::spawn_blocking(move || Engine::load(path, config)).await??;
    let formatter = engine.formatter().clone();
    let claimed: Vec<[u32; 4]> = evidence
        .leaves
        .iter()
        .map(|four| four.map(|e| e.0))
        .collect();
    let asked = Question::new(
        &evidence.prompt_ids,
        &evidence.output_ids,
        &claimed,
        formatter.vocab_size(),
        formatter.context_length() as usize,
    );
    let by_options = by_options(&claim.state, evidence)?;
    let started = Instant::now();
    let checked = match asked.is_empty() {
        true => Vec::new(),
        false => {
            engine
                .check(&asked.prompt, &asked.output, &asked.claimed, by_options)
                .await?
        }
    };
    let seconds = started.elapsed().as_secs_f64();
    step.done();
    let replies: Vec<Reply> = checked.iter().map(reply).collect();
    let own = asked.answered(&replies).unwrap_or_default();
    let subject = Subject {
        state: &claim.state,
        spec: &claim.model.spec,
    };
    let (positions, finding) = check::compare(&subject, evidence, &own, drawn.as_deref());
    let text = |id: u32| format!("{:?}", formatter.decode(&[id]));
    let outcome = Outcome {
        offer: balance::offer(&chain, &claim, &finding).await?,
        claim: &claim,
        finding,
        positions,
        text: Some(&text),
        seconds: Some(seconds),
    };
    outcome.report(verify.json, verify.quiet)
}
