//! `mythic disputes watch`: whose result of which job is challenged, what the jury does, how it ends; each thing said once.

use super::words::{countdown, progress};
use crate::{
    feed::{Feed, Patience},
    gateway::Gateway,
    note,
    progress::Live,
    say, terminal,
    units::{cell, sol},
};
use anyhow::Result;
use serde_json::Value;
use std::collections::HashMap;

/// Cases that are followed at once, newest first.
const FOLLOWED: usize = 100;

/// Follows one case until its verdict is final, or all of them until interrupted.
pub async fn watch(gateway: &Gateway, id: Option<&str>, json: bool) -> Result<()> {
    let path = match id {
        Some(id) => format!("/v1/stream?topics=disputes&entity={id}"),
        None => "/v1/stream?topics=disputes".to_owned(),
    };
    let mut view = View {
        json,
        all: id.is_none(),
        shown: HashMap::new(),
        live: Live::new(),
    };
    let mut patience = Patience::new();
    loop {
        let followed = follow(gateway, id, &path, &mut view, &mut patience).await;
        if followed.as_ref().is_ok_and(|over| *over) {
            return Ok(());
        }
        patience.again(followed.map(drop)).await?;
    }
}

/// What was printed of each case.
struct View {
    json: bool,
    /// Whether all cases are followed: then each line names its own.
    all: bool,
    /// The newest line of each.
    shown: HashMap<String, String>,
    /// Counts down while nothing else happens.
    live: Live,
}

/// What a line says of a case: where it stands and what is known. How firm that is counts for a verdict alone, and a
/// countdown is no news.
fn state(case: &Value) -> String {
    let phase = cell(&case["phase"]);
    match (case["verdict"].is_string(), is_over(case)) {
        (true, true) => format!("verdict final: {}", progress(case)),
        (true, false) => format!("verdict: {}", progress(case)),
        (false, _) => format!("{phase}: {}", progress(case)),
    }
}

/// Who challenges whose answer to what.
fn parties(case: &Value) -> String {
    let bonds = case["bonds_lamports"].as_u64().filter(|bonds| *bonds > 0);
    let does = match case["prover"].is_string() {
        true => "proves a fault in",
        false => "challenges",
    };
    format!(
        "case {}: validator {} {does} the answer of validator {} to job {}{}",
        cell(&case["id"]),
        cell(&case["challenger"]),
        cell(&case["submitter"]),
        cell(&case["job"]),
        bonds.map_or_else(String::new, |bonds| format!(
            ", with {} of bonds",
            sol(bonds)
        ))
    )
}

impl View {
    /// Prints a case if there is something new to say; at its first line also who is in it.
    fn print(&mut self, case: &Value) -> Result<()> {
        let id = cell(&case["id"]);
        let state = state(case);
        let before = self.shown.get(&id);
        if before == Some(&state) {
            return Ok(());
        }
        if self.json {
            terminal::json_line(case)?;
        } else {
            if before.is_none() {
                say!("{}", parties(case));
            }
            let name: String = match self.all {
                true => id.chars().take(8).chain("… ".chars()).collect(),
                false => String::new(),
            };
            let next = countdown(case);
            let joint = if next.is_empty() { "" } else { "; " };
            say!("  {name}slot {}  {state}{joint}{next}", cell(&case["slot"]));
        }
        self.shown.insert(id, state);
        Ok(())
    }
}

/// Whether a case can show nothing more that a watcher waits for.
fn is_over(case: &Value) -> bool {
    case["status"] == "resolved" && case["commitment"] == "finalized"
}

/// Shows states until the one case followed is over (true) or the feed ends.
async fn follow(
    gateway: &Gateway,
    id: Option<&str>,
    path: &str,
    view: &mut View,
    patience: &mut Patience,
) -> Result<bool> {
    // Subscribe before the first read, so that no change falls between the two.
    let mut feed = Feed::open(gateway, path).await?;
    loop {
        match id {
            Some(id) => {
                let case = gateway.get(&format!("/v1/cases/{id}")).await?;
                view.print(&case)?;
                if is_over(&case) {
                    return Ok(true);
                }
                view.live.say(&countdown(&case));
            }
            None => {
                let first = patience.is_new();
                let (cases, _) = gateway.list("/v1/cases", FOLLOWED).await?;
                if first && cases.is_empty() && !view.json {
                    note!("No case yet; waiting for one (Ctrl-C ends this).");
                }
                for case in &cases {
                    // What was over before is history, not news.
                    let known = view.shown.contains_key(&cell(&case["id"]));
                    if !first || known || !is_over(case) {
                        view.print(case)?;
                    } else {
                        view.shown.insert(cell(&case["id"]), state(case));
                    }
                }
                let newest = cases.iter().find(|case| !is_over(case));
                view.live.say(&newest.map(countdown).unwrap_or_default());
            }
        }
        patience.good();
        if !feed.news().await {
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_line_names_job_and_accused_and_is_not_said_again_for_a_countdown_or_a_commitment() {
        let mut case = json!({
            "id": "D", "job": "J", "submitter": "S", "challenger": "C", "claims": 1, "bonds_lamports": 500_000_000, "phase": "commit",
            "sampled_positions": 16, "named_positions": 1, "opened_positions": 17, "jury_seats": 3, "committed_seats": 2,
            "revealed_seats": 0, "verdict": null, "commitment": "processed", "status": "jury",
            "next": {"event": "commit_end", "slot": 126, "slots_left": 20},
        });
        let who = parties(&case);
        assert!(
            who.contains("validator S") && who.contains("job J") && who.contains("0.5 SOL"),
            "{who}"
        );
        let first = state(&case);
        case["commitment"] = "confirmed".into();
        case["next"]["slots_left"] = 12.into();
        assert_eq!(state(&case), first);
        case["revealed_seats"] = 1.into();
        assert_ne!(state(&case), first);
        case["verdict"] = "guilty".into();
        case["status"] = "resolved".into();
        let early = state(&case);
        case["commitment"] = "finalized".into();
        assert!(
            early.starts_with("verdict: guilty")
                && state(&case).starts_with("verdict final: guilty")
        );
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
