//! `mythic jobs` and `mythic network`: what the network did and is doing.

use crate::{
    context::Connection,
    gateway::{Gateway, events},
    report::{Report, print_rows},
    units::cell,
};
use anyhow::Result;
use clap::Subcommand;
use futures::StreamExt;
use reqwest::Method;
use serde_json::Value;
use std::time::{Duration, Instant};

/// Longest pause between two looks at a job that is followed: its commitment rises without an event of its own.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// How long a gateway that restarts is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Jobs of the network.
#[derive(Subcommand, Debug)]
pub enum Jobs {
    /// The newest jobs
    List {
        /// How many
        #[arg(long, default_value_t = 20)]
        limit: usize,
        /// Only those in this status: open, accepted, submitted, disputed, settled, refunded or slashed
        #[arg(long)]
        status: Option<String>,
        /// Only those that this wallet's vault pays
        #[arg(long)]
        owner: Option<String>,
        /// Print JSON lines
        #[arg(long)]
        json: bool,
    },
    /// Everything about one job
    Show {
        /// Job id; a completion's id (chatcmpl-…) works too
        job: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Follow one job until it is settled, refunded or slashed, and finalized
    Watch {
        /// Job id; a completion's id (chatcmpl-…) works too
        job: String,
        /// Print each state as one line of JSON
        #[arg(long)]
        json: bool,
    },
}

/// Runs `mythic jobs`.
pub async fn run(command: Jobs, connection: &Connection) -> Result<()> {
    let gateway = connection.gateway()?;
    match command {
        Jobs::List {
            limit,
            status,
            owner,
            json,
        } => {
            let mut path = String::from("/v1/jobs?");
            for (name, value) in [("status", status), ("owner", owner)] {
                if let Some(value) = value {
                    path.push_str(&format!("{name}={value}&"));
                }
            }
            let jobs = gateway
                .list(path.trim_end_matches(['?', '&']), limit)
                .await?;
            let columns = [
                ("JOB", "id"),
                ("STATUS", "status"),
                ("COMMITMENT", "commitment"),
                ("IN", "prompt_tokens"),
                ("OUT", "output_tokens"),
                ("FEE", "fee_lamports"),
                ("BURNED", "burned_lamports"),
                ("WINDOW END", "window_end_slot"),
            ];
            print_rows(
                &jobs,
                &columns,
                "No such job yet; `mythic ai \"Hello\"` makes one.",
                json,
            );
        }
        Jobs::Show { job, json } => {
            let job = gateway.get(&format!("/v1/jobs/{job}")).await?;
            match json {
                true => println!("{}", serde_json::to_string_pretty(&job)?),
                false => show(&job)?,
            }
        }
        Jobs::Watch { job, json } => watch(&gateway, &job, json).await?,
    }
    Ok(())
}

/// A job for people: what it is, what became of it, what it cost.
fn show(job: &Value) -> Result<()> {
    let mut report = Report::default();
    for field in [
        "id",
        "status",
        "commitment",
        "model",
        "validator",
        "owner",
        "prompt_tokens",
        "output_tokens",
        "max_output_tokens",
        "finish_reason",
        "end_reason",
        "fingerprint",
        "output_root",
        "window_end_slot",
    ] {
        report.add(field, job[field].clone());
    }
    for (label, amount) in [
        ("ceiling", "ceiling_lamports"),
        ("fee", "fee_lamports"),
        ("to_validator", "validator_lamports"),
        ("to_foundation", "foundation_lamports"),
        ("burned", "burned_lamports"),
        ("refunded", "refunded_lamports"),
        ("slashed", "slashed_lamports"),
    ] {
        report.lamports(label, job[amount].as_u64());
    }
    if let Some(dispute) = job["dispute"]["id"].as_str() {
        report.add("dispute", dispute);
    }
    report.print(false)?;
    for step in job["transitions"].as_array().into_iter().flatten() {
        println!(
            "  {:<10} slot {:<8} {}  {}",
            cell(&step["status"]),
            cell(&step["slot"]),
            cell(&step["at"]),
            cell(&step["commitment"])
        );
    }
    if let Some(output) = job["output"].as_str() {
        println!("\n{output}");
    }
    Ok(())
}

async fn watch(gateway: &Gateway, id: &str, json: bool) -> Result<()> {
    let id = id.strip_prefix("chatcmpl-").unwrap_or(id);
    let path = format!("/v1/stream?topics=jobs,results,settlements&entity={id}");
    // The first look and the first subscription fail at once; later ones are made again, as long as a gateway may take to restart.
    let mut shown = String::new();
    let mut last_good: Option<Instant> = None;
    loop {
        let followed = follow(gateway, id, &path, json, &mut shown, &mut last_good).await;
        match (followed, last_good) {
            (Ok(true), _) => return Ok(()),
            (Ok(false), _) => {}
            (Err(error), Some(at)) if at.elapsed() < PATIENCE => {
                tracing::debug!("{error:#}");
            }
            (Err(error), _) => return Err(error),
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Shows a job's states until it is over (true) or the feed ends.
async fn follow(
    gateway: &Gateway,
    id: &str,
    path: &str,
    json: bool,
    shown: &mut String,
    last_good: &mut Option<Instant>,
) -> Result<bool> {
    // Subscribe before the first read, so that no transition falls between the two.
    let mut feed = events(gateway.send(gateway.request(Method::GET, path)).await?);
    loop {
        let job = gateway.get(&format!("/v1/jobs/{id}")).await?;
        *last_good = Some(Instant::now());
        let state = format!("{} ({})", cell(&job["status"]), cell(&job["commitment"]));
        if state != *shown {
            match json {
                true => println!("{job}"),
                false => println!("{state}{}", detail(&job)),
            }
            *shown = state;
        }
        let terminal = matches!(
            job["status"].as_str(),
            Some("settled" | "refunded" | "slashed")
        );
        if terminal && job["commitment"] == "finalized" {
            return Ok(true);
        }
        if let Ok(None | Some(Err(_))) = tokio::time::timeout(LOOK_EVERY, feed.next()).await {
            return Ok(false);
        }
    }
}

fn detail(job: &Value) -> String {
    match job["status"].as_str() {
        Some("submitted") => format!(
            " fingerprint {} · window ends at slot {}",
            cell(&job["fingerprint"]),
            cell(&job["window_end_slot"])
        ),
        Some("settled") => format!(
            " fee {} = validator {} + foundation {} + burned {} lamports; {} refunded",
            cell(&job["fee_lamports"]),
            cell(&job["validator_lamports"]),
            cell(&job["foundation_lamports"]),
            cell(&job["burned_lamports"]),
            cell(&job["refunded_lamports"])
        ),
        Some("disputed") => format!(
            " {} open; follow with `mythic disputes watch {}`",
            cell(&job["open_disputes"]),
            cell(&job["dispute"]["id"])
        ),
        Some("slashed") => format!(
            " {} lamports back to the vault, {} lamports of the validator's stake slashed ({}, dispute {})",
            cell(&job["refunded_lamports"]),
            cell(&job["slashed_lamports"]),
            cell(&job["end_reason"]),
            cell(&job["dispute"]["id"])
        ),
        Some("refunded") => format!(
            " {} lamports back to the vault ({})",
            cell(&job["refunded_lamports"]),
            cell(&job["end_reason"])
        ),
        _ => String::new(),
    }
}

/// Runs `mythic network`.
pub async fn network(json: bool, connection: &Connection) -> Result<()> {
    let gateway = connection.gateway()?;
    let network = gateway.get("/v1/network").await?;
    if json {
        println!("{}", serde_json::to_string_pretty(&network)?);
        return Ok(());
    }
    let mut report = Report::default();
    report.add("gateway", gateway.base());
    for field in [
        "slot",
        "finalized_slot",
        "active_validators",
        "registered_validators",
        "gpus",
    ] {
        report.add(field, network[field].clone());
    }
    let speed = network["capacity_tokens_per_second"].as_f64();
    report.say(
        "capacity",
        speed.map_or_else(|| "-".into(), |speed| format!("{speed:.0} tokens/s")),
        speed,
    );
    for field in [
        "jobs",
        "jobs_settled",
        "jobs_slashed",
        "disputes",
        "disputes_open",
    ] {
        report.add(field, network[field].clone());
    }
    report
        .lamports("staked", network["staked_lamports"].as_u64())
        .lamports("slashed", network["slashed_lamports"].as_u64())
        .lamports("burned", network["burned_lamports"].as_u64())
        .print(false)
}
