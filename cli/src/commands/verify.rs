//! `mythic verify`: check one answer by hand, or run a verifier: a validator that takes no jobs.

use super::init::{self, is_loopback};
use crate::{
    config,
    context::Connection,
    exit::{self, Exit},
    model::fetch_with_progress,
    progress::Step,
    say,
    stop::shutdown,
    terminal,
    units::{counted, print_table},
};
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use mythic_client::{ChainClient, Commitment, Filter, pda};
use mythic_engine::{Checked, Engine, EngineConfig, kernels};
use mythic_interface::{
    comparison::Rule,
    state::{Job, JobStatus, Model, Validator},
};
use mythic_lab::cheat::Told;
use mythic_model::catalogue as model;
use mythic_node::{seams::Seams, verify::fetch};
use mythic_verifier::{
    Policy, VerifierConfig,
    check::{self, Finding, Position, Subject},
    question::{Question, Reply},
    sample::{self, SlotHashes},
    search::Search,
};
use mythic_wire::{Evidence, signed::purpose};
use serde_json::json;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// What an operator key needs for fees, and for bond and rent of a first challenge.
const OPERATOR_LAMPORTS: u64 = 200_000_000;

/// How long a job's result is waited for.
const PATIENCE: Duration = Duration::from_secs(15);

/// Check an answer against its fingerprint and the model, or run a verifier.
///
/// With a job: once, position by position; --quiet says the verdict alone. Exit codes: 0 the answer is honest, 6 it is false, 7 that cannot be said.
/// With --config: follow results, check some, challenge the false ones, sit on juries. `mythic verify init` writes the configuration.
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
        operator: (
            OPERATOR_LAMPORTS,
            "for fees, and for bond and rent of a first challenge",
        ),
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
        "It may challenge answers to jobs that were requested after its registration. Back up authority.json: it owns the stake.",
    )
}

/// What a check by hand starts from.
struct Claim {
    address: Pubkey,
    state: Job,
    model: Model,
}

async fn claim(chain: &ChainClient, job: &str) -> Result<Claim> {
    let job = job.strip_prefix("chatcmpl-").unwrap_or(job);
    let address: Pubkey = job
        .parse()
        .map_err(|_| Exit::error(exit::USAGE, format!("{job:?} is not a job's address")))?;
    let started = Instant::now();
    let found = loop {
        let found = chain
            .account_at::<Job>(&address, Commitment::Confirmed)
            .await?;
        // A job that was just answered is confirmed in a moment.
        let waits = found.is_some_and(|(_, state)| state.status() == Some(JobStatus::Accepted));
        if !waits || started.elapsed() > PATIENCE {
            break found;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    };
    let Some((_, state)) = found else {
        return Err(Exit::error(
            exit::NOT_FOUND,
            format!(
                "no job {address} on chain: it was never there, is not confirmed yet, or was closed"
            ),
        ));
    };
    if state.submitted_slot.get() == 0 {
        let status = state.status().map_or("unknown", JobStatus::as_str);
        return Err(Exit::error(
            exit::CANNOT_SAY,
            format!("job {address} has no result: it is {status}"),
        ));
    }
    let key = Pubkey::new_from_array(state.terms.model);
    let Some((_, model)) = chain.account::<Model>(&key).await? else {
        return Err(Exit::error(
            exit::NOT_FOUND,
            format!("the job's model {key} is not on chain"),
        ));
    };
    Ok(Claim {
        address,
        state,
        model,
    })
}

/// The file of the claim's model, or what is wrong with the one given.
async fn weights(given: Option<&Path>, claim: &Claim) -> Result<PathBuf> {
    let path = match given {
        Some(path) => path.to_owned(),
        None => fetch_with_progress().await?,
    };
    let hash = model::file_sha256(&path).with_context(|| format!("reading {}", path.display()))?;
    let spec = &claim.model.spec;
    if hash != spec.weights_hash {
        return Err(Exit::error(
            exit::CANNOT_SAY,
            format!(
                "{} is not the job's model {}@{}: its SHA-256 is {}, the model's {}; pass --model FILE",
                path.display(),
                claim.model.name.as_str(),
                hex::encode(&claim.model.identity[..4]),
                hex::encode(hash),
                hex::encode(spec.weights_hash)
            ),
        ));
    }
    if spec.kernel_profile.get() != kernels::PROFILE {
        return Err(Exit::error(
            exit::CANNOT_SAY,
            format!(
                "the job's model is computed in kernel profile {}, this build computes in {}",
                spec.kernel_profile.get(),
                kernels::PROFILE
            ),
        ));
    }
    Ok(path)
}

/// The evidence: from a file, from the gateway by API key, from node and gateways by the wallet's signature.
async fn evidence(verify: &Verify, claim: &Claim, connection: &Connection) -> Result<Search> {
    let mut search = Search::default();
    let (address, state) = (&claim.address, &claim.state);
    if let Some(path) = &verify.evidence {
        let text = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        let evidence: Evidence = serde_json::from_slice(&text)
            .with_context(|| format!("{} holds no evidence", path.display()))?;
        search.take(address, state, &path.display().to_string(), evidence);
        return Ok(search);
    }
    let gateway = connection.gateway()?;
    match gateway.get(&format!("/v1/jobs/{address}/evidence")).await {
        Ok(value) => match serde_json::from_value::<Evidence>(value) {
            Ok(evidence) => {
                if search.take(address, state, gateway.base(), evidence) {
                    return Ok(search);
                }
            }
            Err(error) => search
                .reasons
                .push(format!("{}: unreadable: {error}", gateway.base())),
        },
        Err(error) => search
            .reasons
            .push(format!("{}: {error:#}", gateway.base())),
    }
    let Ok(wallet) = connection.wallet() else {
        search
            .reasons
            .push("no wallet to sign with: pass --keypair of the job's owner or of a validator's operator".into());
        return Ok(search);
    };
    let validator = pda::validator(Pubkey::new_from_array(state.validator));
    let chain = connection.chain();
    let mut sources = Vec::new();
    if let Some((_, validator)) = chain.account::<Validator>(&validator).await? {
        sources.push(validator.endpoint.as_str().to_owned());
    }
    sources.push(state.terms.prompt_source.as_str().to_owned());
    let (rpc_url, _) = connection.chain_urls();
    let asker = fetch::Asker {
        key: &wallet,
        purpose: &purpose_of(&chain, address, state, &wallet.pubkey()).await?,
        allow_loopback: is_loopback(&rpc_url),
    };
    let found = fetch::evidence(address, state, &sources, &asker).await;
    let mut reasons = search.reasons;
    reasons.extend(found.reasons.iter().cloned());
    Ok(Search { reasons, ..found })
}

/// What a wallet asks for evidence as: one of the job's own people, or a validator that checks the result.
async fn purpose_of(
    chain: &ChainClient,
    job: &Pubkey,
    state: &Job,
    wallet: &Pubkey,
) -> Result<String> {
    let key = wallet.to_bytes();
    let terms = &state.terms;
    if [terms.owner, terms.requester, terms.canceller].contains(&key) {
        return Ok(purpose::evidence(job));
    }
    let own = chain.account::<Validator>(&pda::validator(wallet)).await?;
    if let Some((_, own)) = own {
        return Ok(purpose::check(job, &Pubkey::new_from_array(own.authority)));
    }
    let operated = chain
        .program_accounts(&[Filter::operator(wallet)], Commitment::Confirmed)
        .await?;
    Ok(match operated.first() {
        Some((_, validator)) => {
            let validator: &Validator = validator;
            purpose::check(job, &Pubkey::new_from_array(validator.authority))
        }
        None => purpose::evidence(job),
    })
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

/// What a question's values are made of.
fn reply(checked: &Checked) -> Reply {
    Reply {
        fourth: checked.own[3].1,
        at_claimed: checked.at_claimed,
    }
}

async fn once(verify: &Verify, job: &str, connection: &Connection) -> Result<()> {
    let chain = connection.chain();
    let claim = claim(&chain, job).await?;
    let path = weights(verify.model.as_deref(), &claim).await?;
    let step = Step::new("Fetching the evidence");
    let search = evidence(verify, &claim, connection).await?;
    step.done();
    let Some(evidence) = &search.evidence else {
        let reason = search.reason();
        let finding = match search.answered {
            true => Finding::Withheld { reason },
            false => Finding::Unknown { reason },
        };
        return report(verify, &claim, None, &[], &finding, None);
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
    let started = Instant::now();
    let checked = match asked.is_empty() {
        true => Vec::new(),
        false => {
            engine
                .check(&asked.prompt, &asked.output, &asked.claimed)
                .await?
        }
    };
    let seconds = started.elapsed().as_secs_f64();
    step.done();
    let replies: Vec<Reply> = checked.iter().map(reply).collect();
    let values = asked.values(&replies).unwrap_or_default();
    let subject = Subject {
        state: &claim.state,
        spec: &claim.model.spec,
    };
    let (positions, finding) = check::compare(&subject, evidence, &values, drawn.as_deref());
    let text = |id: u32| format!("{:?}", formatter.decode(&[id]));
    report(
        verify,
        &claim,
        Some(&text),
        &positions,
        &finding,
        Some(seconds),
    )
}

fn report(
    verify: &Verify,
    claim: &Claim,
    text: Option<&dyn Fn(u32) -> String>,
    positions: &[Position],
    finding: &Finding,
    seconds: Option<f64>,
) -> Result<()> {
    let exact = check::rule(&claim.model.spec) == Some(Rule::Exact);
    if verify.json {
        let rows: Vec<_> = positions
            .iter()
            .map(|p| {
                json!({
                    "position": p.position,
                    "token": p.token,
                    "given": p.given,
                    "own": &p.own[..4],
                    "own_fourth": p.own[4],
                    "error_ppm": p.error_ppm,
                    "differs": p.differs,
                    "sampled": p.sampled,
                    "fault": p.fault.map(|fault| fault.to_string()),
                })
            })
            .collect();
        let value = json!({
            "job": claim.address.to_string(),
            "validator": Pubkey::new_from_array(claim.state.validator).to_string(),
            "model": hex::encode(claim.model.identity),
            "exact": exact,
            "finding": finding.name(),
            "detail": finding.to_string(),
            "output_tokens": claim.state.output_tokens.get(),
            "differing": positions.iter().filter(|p| p.differs).count(),
            "compute_seconds": seconds,
            "positions": rows,
        });
        terminal::json(&value)?;
    } else {
        say!("{finding}");
        if !verify.quiet {
            table(text, positions);
        }
        if let Some(seconds) = seconds {
            let differing = positions.iter().filter(|p| p.differs).count();
            let profile = if exact { "exact" } else { "calibrated" };
            say!(
                "{}: {}, {differing} differ; {profile} profile; {seconds:.2} s of the engine",
                finding.name(),
                counted(positions.len() as u64, "position"),
            );
        }
    }
    match finding {
        Finding::Honest => Ok(()),
        Finding::Fault { .. } | Finding::Fraud { .. } => Err(Exit::error(
            exit::CHECK_FAILED,
            format!("the answer of job {} is false", claim.address),
        )),
        Finding::Withheld { .. } | Finding::Unknown { .. } => Err(Exit::error(
            exit::CANNOT_SAY,
            format!("job {} could not be checked", claim.address),
        )),
    }
}

fn table(text: Option<&dyn Fn(u32) -> String>, positions: &[Position]) {
    let logit = |value: i32| format!("{:.4}", f64::from(value) / 65_536.0);
    let rows: Vec<Vec<String>> = positions
        .iter()
        .map(|p| {
            let given = p.given.map(|(id, value)| format!("{id}:{}", logit(value)));
            let own = p.own[..4].iter().map(|value| logit(*value));
            let mark = match (p.fault, p.differs) {
                (Some(fault), _) => fault.to_string(),
                (None, true) => "differs".into(),
                (None, false) => "=".into(),
            };
            vec![
                format!("{}{}", p.position, if p.sampled { "*" } else { "" }),
                p.token.to_string(),
                text.map_or_else(String::new, |text| text(p.token)),
                given.join(" "),
                own.collect::<Vec<_>>().join(" "),
                logit(p.own[4]),
                format!("{:.4} %", f64::from(p.error_ppm) / 10_000.0),
                mark,
            ]
        })
        .collect();
    if rows.is_empty() {
        return;
    }
    let headers = [
        "pos",
        "token",
        "text",
        "claimed id:logit",
        "own logits there",
        "own 4th",
        "error",
        "",
    ];
    print_table(&headers, &rows);
    if positions.iter().any(|p| p.sampled) {
        say!("* drawn by the chain");
    }
}
