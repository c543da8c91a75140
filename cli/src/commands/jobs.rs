//! `mythic jobs` and `mythic network`: what the network did and is doing.

use crate::{
    context::Connection,
    gateway::events,
    units::{cell, print_table},
};
use anyhow::Result;
use clap::Subcommand;
use futures::StreamExt;
use reqwest::Method;
use serde_json::Value;
use std::time::Duration;

/// Jobs of the network.
#[derive(Subcommand, Debug)]
pub enum Jobs {
    /// The newest jobs
    List {
        /// How many
        #[arg(long, default_value_t = 20)]
        limit: usize,
        /// Print JSON lines
        #[arg(long)]
        json: bool,
    },
    /// Everything about one job
    Show {
        /// Job id
        job: String,
    },
    /// Follow one job until it is settled, refunded or slashed, and finalized
    Watch {
        /// Job id
        job: String,
    },
}

/// Runs `mythic jobs`.
pub async fn run(command: Jobs, connection: &Connection) -> Result<()> {
    let gateway = connection.gateway()?;
    match command {
        Jobs::List { limit, json } => {
            let jobs = gateway.list("/v1/jobs", limit).await?;
            if json {
                for job in jobs {
                    println!("{job}");
                }
                return Ok(());
            }
            let rows: Vec<Vec<String>> = jobs
                .iter()
                .map(|job| {
                    [
                        "id",
                        "status",
                        "commitment",
                        "prompt_tokens",
                        "output_tokens",
                        "fee_lamports",
                        "burned_lamports",
                        "window_end_slot",
                    ]
                    .iter()
                    .map(|key| cell(&job[key]))
                    .collect()
                })
                .collect();
            print_table(
                &[
                    "JOB",
                    "STATUS",
                    "COMMITMENT",
                    "IN",
                    "OUT",
                    "FEE",
                    "BURNED",
                    "WINDOW END",
                ],
                &rows,
            );
        }
        Jobs::Show { job } => {
            let job = gateway.get(&format!("/v1/jobs/{job}")).await?;
            println!("{}", serde_json::to_string_pretty(&job)?);
        }
        Jobs::Watch { job } => watch(&job, connection).await?,
    }
    Ok(())
}

async fn watch(id: &str, connection: &Connection) -> Result<()> {
    let gateway = connection.gateway()?;
    // Subscribe before the first read, so that no transition falls between the two.
    let path = "/v1/stream?topics=jobs,results,settlements";
    let mut feed = events(gateway.send(gateway.request(Method::GET, path)).await?);
    let mut shown = String::new();
    loop {
        let job = gateway.get(&format!("/v1/jobs/{id}")).await?;
        let line = format!("{} ({})", cell(&job["status"]), cell(&job["commitment"]));
        if line != shown {
            println!("{line}{}", detail(&job));
            shown = line;
        }
        let terminal = matches!(
            job["status"].as_str(),
            Some("settled" | "refunded" | "slashed")
        );
        if terminal && job["commitment"] == "finalized" {
            return Ok(());
        }
        // A commitment rises without an event of this job: look again at least every few seconds.
        let _ = tokio::time::timeout(Duration::from_secs(3), async {
            while let Some(Ok(event)) = feed.next().await {
                if event.data.contains(id) {
                    break;
                }
            }
        })
        .await;
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
        Some("refunded") => format!(
            " {} lamports back to the vault",
            cell(&job["refunded_lamports"])
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
    for (key, value) in network.as_object().into_iter().flatten() {
        println!("{key:<28} {}", cell(value));
    }
    Ok(())
}
