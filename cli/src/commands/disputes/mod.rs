//! `mythic disputes`: who challenges whom, what comes next, and how it ended.

mod watch;

use super::jobs::query;
use crate::{
    context::Connection,
    note,
    report::{Report, print_rows},
    say, terminal,
    units::{cell, counted, print_table, sol},
};
use anyhow::Result;
use clap::Subcommand;
use serde_json::Value;

/// Challenges of results.
#[derive(Subcommand, Debug)]
pub enum Disputes {
    /// The newest disputes
    List {
        /// How many
        #[arg(long, default_value_t = 20)]
        limit: usize,
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
            let (mut disputes, more) = gateway.list(&path, limit).await?;
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

/// What comes next, in words; empty where nothing does.
fn countdown(dispute: &Value) -> String {
    let next = &dispute["next"];
    match (next["event"].as_str(), dispute["phase"].as_str()) {
        (Some(event), _) => {
            let about = match next["seconds_left"].as_i64() {
                Some(seconds) => format!(", about {seconds} s"),
                None => String::new(),
            };
            let words = match event {
                "openings_end" => "the data must be shown by slot".to_owned(),
                "commit_from" => "jurors may commit from slot".to_owned(),
                "commit_end" => "jurors may commit until slot".to_owned(),
                "reveal_end" => "jurors may reveal until slot".to_owned(),
                other => format!("{} at slot", other.replace('_', " ")),
            };
            let left = next["slots_left"].as_u64().unwrap_or_default();
            let slot = cell(&next["slot"]);
            format!("{words} {slot} ({}{about} left)", counted(left, "slot"))
        }
        (None, Some("due")) => "verdict due now".into(),
        _ => String::new(),
    }
}

/// What is known of the verdict or, before it, of the answer and the jury.
fn progress(dispute: &Value) -> String {
    let number = |name: &str| dispute[name].as_u64();
    let amount = |name: &str| number(name).map_or_else(|| "-".into(), sol);
    if let Some(verdict) = dispute["verdict"].as_str() {
        let mut text = format!("{verdict} ({})", cell(&dispute["ground"]));
        if number("slashed_lamports").is_some_and(|slashed| slashed > 0) {
            text.push_str(&format!(
                ": the validator loses {}; challenger {} (bond and reward), jurors {}, burned {}",
                amount("slashed_lamports"),
                amount("challenger_lamports"),
                amount("jurors_lamports"),
                amount("burned_lamports")
            ));
        } else {
            text.push_str(&format!(
                ": challenger {} of its bond of {}, submitter {}, jurors {}, burned {}",
                amount("challenger_lamports"),
                amount("bond_lamports"),
                amount("submitter_lamports"),
                amount("jurors_lamports"),
                amount("burned_lamports")
            ));
        }
        return text;
    }
    let checked = number("sampled_positions")
        .zip(number("named_positions"))
        .map_or_else(|| "-".into(), |(a, b)| (a + b).to_string());
    format!(
        "{} of {checked} positions shown, {} of {} seats taken, {} revealed",
        cell(&dispute["opened_positions"]),
        cell(&dispute["committed_seats"]),
        cell(&dispute["jury_seats"]),
        cell(&dispute["revealed_seats"])
    )
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_countdown_names_the_slot_and_about_how_long() {
        let next = json!({"event": "commit_end", "slot": 126, "slots_left": 20, "seconds_left": 8});
        let mut dispute = json!({"phase": "commit", "next": next});
        assert_eq!(
            countdown(&dispute),
            "jurors may commit until slot 126 (20 slots, about 8 s left)"
        );
        dispute["next"]["seconds_left"] = Value::Null;
        assert_eq!(
            countdown(&dispute),
            "jurors may commit until slot 126 (20 slots left)"
        );
        assert_eq!(
            countdown(&json!({"phase": "due", "next": null})),
            "verdict due now"
        );
        assert_eq!(countdown(&json!({"phase": "resolved", "next": null})), "");
    }

    #[test]
    fn progress_tells_the_answer_the_jury_and_then_the_money() {
        let mut dispute = json!({
            "sampled_positions": 16, "named_positions": 1, "opened_positions": 4, "jury_seats": 3, "committed_seats": 2,
            "revealed_seats": 0, "verdict": null
        });
        assert_eq!(
            progress(&dispute),
            "4 of 17 positions shown, 2 of 3 seats taken, 0 revealed"
        );
        for (name, value) in [
            ("verdict", json!("guilty")),
            ("ground", json!("jury")),
            ("slashed_lamports", json!(1_000_000_000)),
            ("challenger_lamports", json!(500_000_000)),
            ("jurors_lamports", json!(499_999_999)),
            ("burned_lamports", json!(1)),
        ] {
            dispute[name] = value;
        }
        assert_eq!(
            progress(&dispute),
            "guilty (jury): the validator loses 1 SOL; challenger 0.5 SOL (bond and reward), jurors 0.499999999 SOL, burned 0.000000001 SOL"
        );
        dispute["slashed_lamports"] = json!(0);
        dispute["verdict"] = json!("void");
        assert!(progress(&dispute).starts_with("void (jury): challenger 0.5 SOL of its bond of -"));
    }
}
