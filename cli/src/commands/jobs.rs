//! `mythic jobs`: what was asked, what became of it, what it cost.

use crate::{
    context::Connection,
    feed::{Feed, Patience},
    gateway::Gateway,
    note,
    progress::Live,
    report::{Report, print_rows},
    say, terminal,
    units::{about, cell, counted, grouped},
};
use anyhow::Result;
use clap::Subcommand;
use serde_json::Value;
use std::time::Instant;

/// Slots that must pass before a pace is told from them.
const PACE_SLOTS: u64 = 5;

/// Jobs of the network.
#[derive(Subcommand, Debug)]
pub enum Jobs {
    /// The newest jobs
    List {
        /// How many
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
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
            let filters = [("status", status), ("owner", owner)];
            list(&gateway, &filters, limit as usize, json).await?;
        }
        Jobs::Show { job, json } => {
            let job = gateway.get(&format!("/v1/jobs/{job}")).await?;
            match json {
                true => terminal::json(&job)?,
                false => show(&job)?,
            }
        }
        Jobs::Watch { job, json } => watch(&gateway, &job, json).await?,
    }
    Ok(())
}

/// Prints the newest jobs, and how many more there are.
async fn list(
    gateway: &Gateway,
    filters: &[(&str, Option<String>)],
    limit: usize,
    json: bool,
) -> Result<()> {
    let (jobs, more) = gateway.list(&query("/v1/jobs", filters)?, limit).await?;
    let columns = [
        ("JOB", "id"),
        ("STATUS", "status"),
        ("COMMITMENT", "commitment"),
        ("IN", "prompt_tokens"),
        ("OUT", "output_tokens"),
        ("FEE", "fee_lamports"),
        ("= VALIDATOR", "validator_lamports"),
        ("+ FOUNDATION", "foundation_lamports"),
        ("+ BURNED", "burned_lamports"),
        ("WINDOW END", "window_end_slot"),
    ];
    let none = "No such job yet; `mythic ai \"Hello\"` makes one.";
    print_rows(&jobs, &columns, none, json)?;
    if json || jobs.is_empty() {
        return Ok(());
    }
    note!("IN and OUT in tokens, amounts in lamports, window ends in slots.");
    if more {
        let filtered = filters.iter().any(|(_, value)| value.is_some());
        let all = match filtered {
            true => None,
            false => gateway.get("/v1/network").await?["jobs"].as_u64(),
        };
        let of = all.map_or_else(|| "of more".into(), |all| format!("of {}", grouped(all)));
        note!("The newest {} {of}; --limit N shows more.", jobs.len());
    }
    Ok(())
}

/// A path with those filters that are set.
pub fn query(path: &str, filters: &[(&str, Option<String>)]) -> Result<String> {
    let set = filters
        .iter()
        .filter_map(|(name, value)| Some((*name, value.as_deref()?)));
    // Any base: only the query's escapes are wanted.
    let url = reqwest::Url::parse_with_params("http://localhost", set)?;
    Ok(match url.query() {
        Some(query) if !query.is_empty() => format!("{path}?{query}"),
        _ => path.to_owned(),
    })
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
        report.add("case", dispute);
    }
    report.print(false)?;
    for step in job["transitions"].as_array().into_iter().flatten() {
        say!(
            "  {:<10} slot {:<8} {}  {}",
            cell(&step["status"]),
            cell(&step["slot"]),
            cell(&step["at"]),
            cell(&step["commitment"])
        );
    }
    if let Some(output) = job["output"].as_str() {
        say!("\n{output}");
    }
    Ok(())
}

async fn watch(gateway: &Gateway, id: &str, json: bool) -> Result<()> {
    let id = id.strip_prefix("chatcmpl-").unwrap_or(id);
    let path = format!("/v1/stream?topics=jobs,results,settlements&entity={id}");
    let mut view = View {
        json,
        shown: String::new(),
        live: Live::new(),
        pace: Pace::default(),
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

/// What was printed of the job.
struct View {
    json: bool,
    shown: String,
    /// Counts down while nothing else happens.
    live: Live,
    pace: Pace,
}

impl View {
    /// Prints the job if it is in another state than when it was printed last.
    fn print(&mut self, job: &Value) -> Result<()> {
        let state = format!("{} ({})", cell(&job["status"]), cell(&job["commitment"]));
        if state != self.shown {
            match self.json {
                true => terminal::json_line(job)?,
                false => say!("{state}{}", detail(job)),
            }
            self.shown = state;
        }
        Ok(())
    }
}

/// Shows a job's states until it is over (true) or the feed ends.
async fn follow(
    gateway: &Gateway,
    id: &str,
    path: &str,
    view: &mut View,
    patience: &mut Patience,
) -> Result<bool> {
    // Subscribe before the first read, so that no transition falls between the two.
    let mut feed = Feed::open(gateway, path).await?;
    loop {
        let job = gateway.get(&format!("/v1/jobs/{id}")).await?;
        patience.good();
        view.print(&job)?;
        let terminal = matches!(
            job["status"].as_str(),
            Some("settled" | "refunded" | "slashed")
        );
        if terminal && job["commitment"] == "finalized" {
            return Ok(true);
        }
        if view.live.is_seen() && !view.json {
            let slot = gateway.get("/v1/network").await?["slot"].as_u64();
            let pace = slot.and_then(|slot| view.pace.look(Instant::now(), slot));
            view.live.say(&waits(&job, slot, pace));
        }
        if !feed.news().await {
            return Ok(false);
        }
    }
}

/// How fast slots pass, from two looks at the chain.
#[derive(Default)]
struct Pace {
    first: Option<(Instant, u64)>,
}

impl Pace {
    /// Milliseconds a slot takes, once enough have passed.
    fn look(&mut self, now: Instant, slot: u64) -> Option<u64> {
        let (at, first) = *self.first.get_or_insert((now, slot));
        let passed = slot
            .checked_sub(first)
            .filter(|slots| *slots >= PACE_SLOTS)?;
        let millis = now.duration_since(at).as_millis();
        u64::try_from(millis).ok().map(|millis| millis / passed)
    }
}

/// What a job that is not over waits for at `slot`, where a slot takes so many milliseconds.
fn waits(job: &Value, slot: Option<u64>, slot_ms: Option<u64>) -> String {
    let left = |end: &Value| end.as_u64()?.checked_sub(slot?).filter(|left| *left > 0);
    match job["status"].as_str() {
        Some("submitted") => match left(&job["window_end_slot"]) {
            Some(left) => {
                let seconds = slot_ms.map(|millis| left.saturating_mul(millis) / 1_000);
                let seconds = seconds.map_or_else(String::new, |s| format!(", about {}", about(s)));
                format!(
                    "a case can be opened for {} more{seconds}; then it settles",
                    counted(left, "slot")
                )
            }
            None => "its window is over; it is being settled".into(),
        },
        Some("settled" | "refunded" | "slashed") => {
            "waiting until that is finalized, 32 blocks later".into()
        }
        Some("disputed") => "a case about its result is open".into(),
        _ => "waiting for its result".into(),
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
            " its case decides it; follow with `mythic disputes watch {}`",
            cell(&job["dispute"]["id"])
        ),
        Some("slashed") => format!(
            " {} lamports back to the vault, {} lamports of the validator's stake slashed ({}, case {})",
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    #[test]
    fn a_filter_is_one_value_whatever_is_typed() {
        let set = |text: &str| [("status", Some(text.to_owned())), ("owner", None)];
        assert_eq!(
            query("/v1/jobs", &set("open")).unwrap(),
            "/v1/jobs?status=open"
        );
        assert_eq!(
            query("/v1/jobs", &set("open&limit=1#x")).unwrap(),
            "/v1/jobs?status=open%26limit%3D1%23x"
        );
        assert_eq!(query("/v1/jobs", &[("status", None)]).unwrap(), "/v1/jobs");
    }

    #[test]
    fn a_watcher_sees_how_long_a_case_can_be_opened() {
        let mut job = json!({"status": "submitted", "window_end_slot": 150});
        assert_eq!(
            waits(&job, Some(100), Some(400)),
            "a case can be opened for 50 slots more, about 20 s; then it settles"
        );
        assert!(waits(&job, Some(100), None).contains("50 slots more; then"));
        assert!(waits(&job, Some(150), None).contains("is being settled"));
        job["window_end_slot"] = Value::Null;
        assert!(waits(&job, Some(150), None).contains("is being settled"));
        job["status"] = "settled".into();
        assert!(waits(&job, Some(150), None).contains("finalized"));
        job["status"] = "accepted".into();
        assert!(waits(&job, None, None).contains("result"));
    }

    #[test]
    fn the_pace_of_slots_is_told_once_enough_have_passed() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        assert_eq!(pace.look(start, 100), None);
        assert_eq!(pace.look(start + Duration::from_secs(1), 103), None);
        assert_eq!(pace.look(start + Duration::from_secs(4), 110), Some(400));
        // A chain that went back has no pace.
        assert_eq!(pace.look(start + Duration::from_secs(5), 90), None);
    }
}
