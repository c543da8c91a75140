//! `mythic disputes watch`: who is challenged over which job, what the jury does, how it ends; each thing said once.

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

/// Disputes that are followed at once, newest first.
const FOLLOWED: usize = 100;

/// Follows one dispute until its verdict is final, or all of them until interrupted.
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

/// What was printed of each dispute.
struct View {
    json: bool,
    /// Whether all disputes are followed: then each line names its own.
    all: bool,
    /// The newest line of each.
    shown: HashMap<String, String>,
    /// Counts down while nothing else happens.
    live: Live,
}

/// What a line says of a dispute: where it stands and what is known. How firm that is counts for a verdict alone, and a
/// countdown is no news.
fn state(dispute: &Value) -> String {
    let phase = cell(&dispute["phase"]);
    match (dispute["verdict"].is_string(), is_over(dispute)) {
        (true, true) => format!("verdict final: {}", progress(dispute)),
        (true, false) => format!("verdict: {}", progress(dispute)),
        (false, _) => format!("{phase}: {}", progress(dispute)),
    }
}

/// Who challenges whom about what.
fn parties(dispute: &Value) -> String {
    let bond = dispute["bond_lamports"].as_u64().map(sol);
    format!(
        "dispute {}: validator {} challenges the answer of validator {} to job {}{}",
        cell(&dispute["id"]),
        cell(&dispute["challenger"]),
        cell(&dispute["submitter"]),
        cell(&dispute["job"]),
        bond.map_or_else(String::new, |bond| format!(", with a bond of {bond}"))
    )
}

impl View {
    /// Prints a dispute if there is something new to say; at its first line also who is in it.
    fn print(&mut self, dispute: &Value) -> Result<()> {
        let id = cell(&dispute["id"]);
        let state = state(dispute);
        let before = self.shown.get(&id);
        if before == Some(&state) {
            return Ok(());
        }
        if self.json {
            terminal::json_line(dispute)?;
        } else {
            if before.is_none() {
                say!("{}", parties(dispute));
            }
            let name: String = match self.all {
                true => id.chars().take(8).chain("… ".chars()).collect(),
                false => String::new(),
            };
            let next = countdown(dispute);
            let joint = if next.is_empty() { "" } else { "; " };
            say!(
                "  {name}slot {}  {state}{joint}{next}",
                cell(&dispute["slot"])
            );
        }
        self.shown.insert(id, state);
        Ok(())
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
    patience: &mut Patience,
) -> Result<bool> {
    // Subscribe before the first read, so that no change falls between the two.
    let mut feed = Feed::open(gateway, path).await?;
    loop {
        match id {
            Some(id) => {
                let dispute = gateway.get(&format!("/v1/disputes/{id}")).await?;
                view.print(&dispute)?;
                if is_over(&dispute) {
                    return Ok(true);
                }
                view.live.say(&countdown(&dispute));
            }
            None => {
                let first = patience.is_new();
                let (disputes, _) = gateway.list("/v1/disputes", FOLLOWED).await?;
                if first && disputes.is_empty() && !view.json {
                    note!("No dispute yet; waiting for one (Ctrl-C ends this).");
                }
                for dispute in &disputes {
                    // What was over before is history, not news.
                    let known = view.shown.contains_key(&cell(&dispute["id"]));
                    if !first || known || !is_over(dispute) {
                        view.print(dispute)?;
                    } else {
                        view.shown.insert(cell(&dispute["id"]), state(dispute));
                    }
                }
                let newest = disputes.iter().find(|dispute| !is_over(dispute));
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
        let mut dispute = json!({
            "id": "D", "job": "J", "submitter": "S", "challenger": "C", "bond_lamports": 500_000_000, "phase": "commit",
            "sampled_positions": 16, "named_positions": 1, "opened_positions": 17, "jury_seats": 3, "committed_seats": 2,
            "revealed_seats": 0, "verdict": null, "commitment": "processed", "status": "jury",
            "next": {"event": "commit_end", "slot": 126, "slots_left": 20},
        });
        let who = parties(&dispute);
        assert!(
            who.contains("validator S") && who.contains("job J") && who.contains("0.5 SOL"),
            "{who}"
        );
        let first = state(&dispute);
        dispute["commitment"] = "confirmed".into();
        dispute["next"]["slots_left"] = 12.into();
        assert_eq!(state(&dispute), first);
        dispute["revealed_seats"] = 1.into();
        assert_ne!(state(&dispute), first);
        dispute["verdict"] = "guilty".into();
        dispute["status"] = "resolved".into();
        let early = state(&dispute);
        dispute["commitment"] = "finalized".into();
        assert!(
            early.starts_with("verdict: guilty")
                && state(&dispute).starts_with("verdict final: guilty")
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
