//! `mythic disputes`: who claims what against whose result, what comes next, and how it ended.

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
use words::{countdown, finds, progress, verdicts};

/// Cases: what is said against results.
#[derive(Subcommand, Debug)]
pub enum Disputes {
    /// The newest cases
    List {
        /// How many
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
        /// Only those in this status: opening, joining, jury or resolved
        #[arg(long)]
        status: Option<String>,
        /// Only that of this job
        #[arg(long)]
        job: Option<String>,
        /// Only those of results of this validator (its authority)
        #[arg(long)]
        validator: Option<String>,
        /// Only those that this validator opened or won (its authority)
        #[arg(long)]
        challenger: Option<String>,
        /// Print JSON lines
        #[arg(long)]
        json: bool,
    },
    /// Everything about one case: phase, claims, jurors, checked positions, amounts
    Show {
        /// Address of the case
        case: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Follow one case until its verdict is finalized, or all cases until interrupted
    Watch {
        /// Address of the case; without one, all cases
        case: Option<String>,
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
            let path = query("/v1/cases", &filters)?;
            let (mut cases, more) = gateway.list(&path, limit as usize).await?;
            if !json {
                for case in &mut cases {
                    case["next"] = countdown(case).into();
                }
            }
            let columns = [
                ("CASE", "id"),
                ("JOB", "job"),
                ("PHASE", "phase"),
                ("NEXT", "next"),
                ("CLAIMS", "claims"),
                ("VERDICT", "verdict"),
                ("GROUND", "ground"),
                ("BONDS", "bonds_lamports"),
                ("SLASHED", "slashed_lamports"),
                ("COMMITMENT", "commitment"),
            ];
            let none = "No such case: nobody has challenged a result.";
            print_rows(&cases, &columns, none, json)?;
            if !json && !cases.is_empty() {
                note!("BONDS and SLASHED in lamports.");
            }
            if !json && more {
                note!("The newest {} of more; --limit N shows them.", cases.len());
            }
        }
        Disputes::Show { case, json } => {
            let case = gateway.get(&format!("/v1/cases/{case}")).await?;
            match json {
                true => terminal::json(&case)?,
                false => show(&case)?,
            }
        }
        Disputes::Watch { case, json } => watch::watch(&gateway, case.as_deref(), json).await?,
    }
    Ok(())
}

/// A case for people.
fn show(case: &Value) -> Result<()> {
    let mut report = Report::default();
    for field in [
        "id",
        "job",
        "job_status",
        "model",
        "submitter",
        "challenger",
        "prover",
        "status",
        "phase",
        "commitment",
        "verdict",
        "ground",
        "opened_slot",
        "shown_slot",
        "joining_end_slot",
        "leaves_due_slot",
        "commit_from_slot",
        "commit_end_slot",
        "reveal_end_slot",
        "resolved_slot",
    ] {
        report.add(field, case[field].clone());
    }
    report.say("next", countdown(case), case["next"].clone());
    report.say("progress", progress(case), Value::Null);
    for (label, amount) in [
        ("bonds", "bonds_lamports"),
        ("stake_at_result", "stake_at_result_lamports"),
        ("committed_stake", "committed_stake_lamports"),
        ("slashed", "slashed_lamports"),
        ("reward", "reward_lamports"),
        ("to_claimants", "claimants_lamports"),
        ("to_jurors", "jurors_lamports"),
        ("to_submitter", "submitter_lamports"),
        ("burned", "burned_lamports"),
        ("penalties", "penalties_lamports"),
    ] {
        report.lamports(label, case[amount].as_u64());
    }
    report.print(false)?;
    let table = |rows: Vec<Vec<String>>, names: &[&str]| {
        if !rows.is_empty() {
            say!();
            print_table(names, &rows);
        }
    };
    table(claims(case), CLAIMS);
    table(jurors(case), JURORS);
    let fields = ["position", "asked_by", "token", "ids", "logits"];
    let openings = rows(&case["openings"], &fields);
    table(
        openings,
        &["POSITION", "ASKED BY", "TOKEN", "IDS", "LOGITS (Q16.16)"],
    );
    Ok(())
}

fn rows(list: &Value, fields: &[&str]) -> Vec<Vec<String>> {
    let rows = list.as_array().into_iter().flatten();
    rows.map(|row| fields.iter().map(|field| cell(&row[*field])).collect())
        .collect()
}

const CLAIMS: &[&str] = &[
    "CLAIM",
    "BY",
    "SAYS",
    "POSITIONS",
    "SEATS",
    "OUTCOME",
    "AT STAKE",
    "BOND",
    "GETS",
];

/// The claims, each with what the seats that revealed find of what it says.
fn claims(case: &Value) -> Vec<Vec<String>> {
    let claims = case["all_claims"].as_array().into_iter().flatten();
    claims
        .map(|claim| {
            let of = |field: &str| cell(&claim[field]);
            vec![
                of("place"),
                of("claimant"),
                of("kind"),
                of("positions"),
                verdicts(case, claim),
                of("outcome"),
                of("at_stake_lamports"),
                of("bond_lamports"),
                of("amount_lamports"),
            ]
        })
        .collect()
}

const JURORS: &[&str] = &[
    "SEAT",
    "JUROR",
    "COMMITTED",
    "REVEALED",
    "FINDS TRUE",
    "OUTCOME",
    "REWARD",
    "PENALTY",
];

fn jurors(case: &Value) -> Vec<Vec<String>> {
    let jurors = case["jurors"].as_array().into_iter().flatten();
    jurors
        .map(|seat| {
            let of = |field: &str| cell(&seat[field]);
            vec![
                of("seat"),
                of("juror"),
                of("committed_slot"),
                of("revealed_slot"),
                finds(case, seat),
                of("outcome"),
                of("reward_lamports"),
                of("penalty_lamports"),
            ]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn claims_stand_beside_what_the_seats_find() {
        let case = json!({
            "all_claims": [
                {"place": 0, "claimant": "A", "kind": "withheld", "digest_place": null},
                {"place": 1, "claimant": "B", "kind": "false", "positions": [5, 9], "digest_place": 2, "outcome": "right",
                 "at_stake_lamports": 300, "bond_lamports": 1000, "amount_lamports": 1800},
            ],
            "jurors": [
                {"seat": 0, "juror": "J", "finds_true": [1]},
                {"seat": 1, "juror": "J", "finds_true": [1, 2]},
                {"seat": 2, "juror": "K", "finds_true": null},
            ],
        });
        let told = claims(&case);
        assert_eq!(told[0][4], "-");
        assert_eq!(told[1][3], "[5,9]");
        assert_eq!(
            told[1][4],
            "sample 2 true, 0 false; its own 1 true, 1 false"
        );
        assert_eq!(told[1][5..], ["right", "300", "1000", "1800"]);
        let seats = jurors(&case);
        assert_eq!(seats[0][4], "sample");
        assert_eq!(seats[1][4], "sample, claim 1");
        assert_eq!(seats[2][4], "-");
    }
}
