//! `mythic disputes`: who challenges whom, what comes next, and how it ended.

mod watch;
mod words;

use super::jobs::query;
use crate::{
    context::Connection,
    note,
    report::{Report, print_rows},
    say, terminal,
    units::{cell, print_table},
};
use anyhow::Result;
use clap::Subcommand;
use serde_json::Value;
use words::{countdown, progress};

/// Challenges of results.
#[derive(Subcommand, Debug)]
pub enum Disputes {
    /// The newest disputes
    List {
        /// How many
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
        /// Only those in this status: openings, jury or resolved
        #[arg(long)]
        status: Option<String>,
        /// Only those of this job
        #[arg(long)]
        job: Option<String>,
        /// Only those of results of this validator (its authority)
        #[arg(long)]
        validator: Option<String>,
        /// Only those that this validator brought (its authority)
        #[arg(long)]
        challenger: Option<String>,
        /// Print JSON lines
        #[arg(long)]
        json: bool,
    },
    /// Everything about one dispute: phase, jurors, checked positions, amounts
    Show {
        /// Dispute id
        dispute: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Follow one dispute until its verdict is finalized, or all disputes until interrupted
    Watch {
        /// Dispute id; without one, all disputes
        dispute: Option<String>,
        /// Print each state as one line of JSON
        #[arg(long)]
        json: bool,
    },
}

/// Runs `mythic disputes`.
pub async fn run(command: Disputes, connection: &Connection) -> Result<()> {
    let gateway = connection.gateway()?;
    match command {
        Disputes::List {
            limit,
            status,
            job,
            validator,
            challenger,
            json,
        } => {
            let filters = [
                ("status", status),
                ("job", job),
                ("validator", validator),
                ("challenger", challenger),
            ];
            let path = query("/v1/disputes", &filters)?;
            let (mut disputes, more) = gateway.list(&path, limit as usize).await?;
            if !json {
                for dispute in &mut disputes {
                    dispute["next"] = countdown(dispute).into();
                }
            }
            let columns = [
                ("DISPUTE", "id"),
                ("JOB", "job"),
                ("PHASE", "phase"),
                ("NEXT", "next"),
                ("VERDICT", "verdict"),
                ("GROUND", "ground"),
                ("BOND", "bond_lamports"),
                ("SLASHED", "slashed_lamports"),
                ("COMMITMENT", "commitment"),
            ];
            let none = "No such dispute: nobody has challenged a result.";
            print_rows(&disputes, &columns, none, json)?;
            if !json && !disputes.is_empty() {
                note!("BOND and SLASHED in lamports.");
            }
            if !json && more {
                note!(
                    "The newest {} of more; --limit N shows them.",
                    disputes.len()
                );
            }
        }
        Disputes::Show { dispute, json } => {
            let dispute = gateway.get(&format!("/v1/disputes/{dispute}")).await?;
            match json {
                true => terminal::json(&dispute)?,
                false => show(&dispute)?,
            }
        }
        Disputes::Watch { dispute, json } => {
            watch::watch(&gateway, dispute.as_deref(), json).await?
        }
    }
    Ok(())
}

/// A dispute for people.
fn show(dispute: &Value) -> Result<()> {
    let mut report = Report::default();
    for field in [
        "id",
        "job",
        "job_status",
        "model",
        "submitter",
        "challenger",
        "status",
        "phase",
        "commitment",
        "verdict",
        "ground",
        "opened_slot",
        "openings_end_slot",
        "completed_slot",
        "commit_from_slot",
        "commit_end_slot",
        "reveal_end_slot",
        "resolved_slot",
    ] {
        report.add(field, dispute[field].clone());
    }
    report.say("next", countdown(dispute), dispute["next"].clone());
    report.say("progress", progress(dispute), Value::Null);
    for (label, amount) in [
        ("bond", "bond_lamports"),
        ("of_it_at_stake", "at_stake_lamports"),
        ("slashed", "slashed_lamports"),
        ("to_challenger", "challenger_lamports"),
        ("to_jurors", "jurors_lamports"),
        ("to_submitter", "submitter_lamports"),
        ("burned", "burned_lamports"),
        ("penalties", "penalties_lamports"),
    ] {
        report.lamports(label, dispute[amount].as_u64());
    }
    report.print(false)?;
    let rows = |list: &Value, fields: &[&str]| -> Vec<Vec<String>> {
        let rows = list.as_array().into_iter().flatten();
        rows.map(|row| fields.iter().map(|field| cell(&row[*field])).collect())
            .collect()
    };
    let jurors = rows(
        &dispute["jurors"],
        &[
            "seat",
            "juror",
            "committed_slot",
            "revealed_slot",
            "shows_fraud",
            "outcome",
            "reward_lamports",
            "penalty_lamports",
        ],
    );
    if !jurors.is_empty() {
        say!();
        print_table(
            &[
                "SEAT",
                "JUROR",
                "COMMITTED",
                "REVEALED",
                "FRAUD",
                "OUTCOME",
                "REWARD",
                "PENALTY",
            ],
            &jurors,
        );
    }
    let openings = rows(
        &dispute["openings"],
        &["position", "named", "token", "ids", "logits"],
    );
    if !openings.is_empty() {
        say!();
        print_table(
            &["POSITION", "NAMED", "TOKEN", "IDS", "LOGITS (Q16.16)"],
            &openings,
        );
    }
    Ok(())
}
