//! `mythic disputes`: who challenges whom, what comes next, and how it ended.

use crate::{
    context::Connection,
    gateway::{Gateway, events},
    report::{Report, print_rows},
    units::{cell, print_table, sol},
};
use anyhow::Result;
use clap::Subcommand;
use futures::StreamExt;
use reqwest::Method;
use serde_json::Value;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// Longest pause between two looks: countdowns move without an event of their own.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// How long a gateway that restarts is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// Disputes that are followed at once, newest first.
const FOLLOWED: usize = 100;

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
            let mut path = String::from("/v1/disputes?");
            for (name, value) in [
                ("status", status),
                ("job", job),
                ("validator", validator),
                ("challenger", challenger),
            ] {
                if let Some(value) = value {
                    path.push_str(&format!("{name}={value}&"));
                }
            }
            let mut disputes = gateway
                .list(path.trim_end_matches(['?', '&']), limit)
                .await?;
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
            print_rows(
                &disputes,
                &columns,
                "No such dispute: nobody has challenged a result.",
                json,
            );
        }
        Disputes::Show { dispute, json } => {
            let dispute = gateway.get(&format!("/v1/disputes/{dispute}")).await?;
            match json {
                true => println!("{}", serde_json::to_string_pretty(&dispute)?),
                false => show(&dispute)?,
            }
        }
        Disputes::Watch { dispute, json } => watch(&gateway, dispute.as_deref(), json).await?,
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
            format!(
                "{} at slot {} ({} slots{about})",
                event.replace('_', " "),
                cell(&next["slot"]),
                cell(&next["slots_left"])
            )
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
                ": {} slashed; challenger {} (bond and reward), jurors {}, burned {}",
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
        println!();
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
        println!();
        print_table(
            &["POSITION", "NAMED", "TOKEN", "IDS", "LOGITS (Q16.16)"],
            &openings,
        );
    }
    Ok(())
}

async fn watch(gateway: &Gateway, id: Option<&str>, json: bool) -> Result<()> {
    let path = match id {
        Some(id) => format!("/v1/stream?topics=disputes&entity={id}"),
        None => "/v1/stream?topics=disputes".to_owned(),
    };
    let mut view = View {
        json,
        shown: HashMap::new(),
    };
    // The first look and the first subscription fail at once; later ones are made again, as long as a gateway may take to restart.
    let mut last_good: Option<Instant> = None;
    loop {
        let followed = follow(gateway, id, &path, &mut view, &mut last_good).await;
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

/// What was printed of each dispute.
struct View {
    json: bool,
    shown: HashMap<String, String>,
}

impl View {
    /// Prints a dispute if it is in another state than when it was printed last; `named` puts its id before it.
    fn print(&mut self, dispute: &Value, named: bool) {
        let id = cell(&dispute["id"]);
        let state = format!(
            "{} ({}) {}",
            cell(&dispute["phase"]),
            cell(&dispute["commitment"]),
            progress(dispute)
        );
        if self.shown.get(&id) == Some(&state) {
            return;
        }
        let next = countdown(dispute);
        let next = match next.is_empty() {
            true => String::new(),
            false => format!("; {next}"),
        };
        match (self.json, named) {
            (true, _) => println!("{dispute}"),
            (false, true) => println!("{id}  slot {}  {state}{next}", cell(&dispute["slot"])),
            (false, false) => println!("slot {}  {state}{next}", cell(&dispute["slot"])),
        }
        self.shown.insert(id, state);
    }
}

/// Whether a dispute can show nothing more that a watcher waits for.
fn is_over(dispute: &Value) -> bool {
    dispute["status"] == "resolved" && dispute["commitment"] == "finalized"
}

/// Shows states until the one dispute followed is over (true) or the feed ends.
async fn follow(
    gateway: &Gateway,
    id: Option<&str>,
    path: &str,
    view: &mut View,
    last_good: &mut Option<Instant>,
) -> Result<bool> {
    // Subscribe before the first read, so that no change falls between the two.
    let mut feed = events(gateway.send(gateway.request(Method::GET, path)).await?);
    loop {
        match id {
            Some(id) => {
                let dispute = gateway.get(&format!("/v1/disputes/{id}")).await?;
                view.print(&dispute, false);
                if is_over(&dispute) {
                    return Ok(true);
                }
            }
            None => {
                let first = last_good.is_none();
                let disputes = gateway.list("/v1/disputes", FOLLOWED).await?;
                if first && disputes.is_empty() && !view.json {
                    eprintln!("No dispute yet; waiting for one (Ctrl-C ends this).");
                }
                for dispute in disputes.iter().rev() {
                    // What was over before is history, not news.
                    let known = view.shown.contains_key(&cell(&dispute["id"]));
                    if !first || known || !is_over(dispute) {
                        view.print(dispute, true);
                    } else {
                        view.shown.insert(cell(&dispute["id"]), String::new());
                    }
                }
            }
        }
        *last_good = Some(Instant::now());
        if let Ok(None | Some(Err(_))) = tokio::time::timeout(LOOK_EVERY, feed.next()).await {
            return Ok(false);
        }
    }
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
            "commit end at slot 126 (20 slots, about 8 s)"
        );
        dispute["next"]["seconds_left"] = Value::Null;
        assert_eq!(countdown(&dispute), "commit end at slot 126 (20 slots)");
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
            "guilty (jury): 1 SOL slashed; challenger 0.5 SOL (bond and reward), jurors 0.499999999 SOL, burned 0.000000001 SOL"
        );
        dispute["slashed_lamports"] = json!(0);
        dispute["verdict"] = json!("void");
        assert!(progress(&dispute).starts_with("void (jury): challenger 0.5 SOL of its bond of -"));
    }

    #[test]
    fn a_watcher_waits_for_finality() {
        assert!(!is_over(
            &json!({"status": "resolved", "commitment": "confirmed"})
        ));
        assert!(!is_over(
            &json!({"status": "jury", "commitment": "finalized"})
        ));
        assert!(is_over(
            &json!({"status": "resolved", "commitment": "finalized"})
        ));
    }
}
