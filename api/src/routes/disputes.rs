//! Disputes: as the index shows them, with the phase they are in and a countdown to the next.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use solana_pubkey::Pubkey;

use crate::{
    app::App,
    error::{ApiError, ApiResult},
    http::{PathParam, Query},
    routes::listing::Listing,
    routes::lists::{self, Page},
};

/// Columns of a dispute, in the order in which they are shown.
const COLUMNS: &str = "id, job, model, challenger, submitter, status, verdict, ground, commitment, fingerprint, sampled_positions, named_positions,
    opened_positions, output_tokens, output_chunks_posted, jury_seats, committed_seats, revealed_seats, exact_profile,
    bond_lamports, at_stake_lamports, answering_fee_lamports, tariff_lamports, slashed_lamports, challenger_lamports, jurors_lamports,
    submitter_lamports, burned_lamports, penalties_lamports, collected, submitted_slot, opened_slot, openings_end_slot, completed_slot,
    commit_from_slot, commit_end_slot, reveal_end_slot, due_slot, resolved_slot, closed_slot, opened_at, resolved_at, exact";

/// Statuses of a dispute, in the order of their codes from 1.
const STATUSES: [&str; 3] = ["openings", "jury", "resolved"];

/// Slots over which the length of a slot is measured.
const PACE_SLOTS: i64 = 150;

/// What the chain is at, as the index shows it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Pace {
    /// Newest slot.
    now: Option<i64>,
    /// Seconds that a slot took lately.
    seconds: Option<f64>,
}

/// Where a dispute stands at a slot, and what comes next if nobody does anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Phase {
    name: &'static str,
    /// Name and slot of its end.
    next: Option<(&'static str, i64)>,
}

impl Phase {
    /// Of a row, at slot `now` if that is known. `None` where these do not say enough.
    fn of(row: &Map<String, Value>, now: Option<i64>) -> Option<Self> {
        let slot = |name: &str| row.get(name).and_then(Value::as_i64);
        let plain = |name| Self { name, next: None };
        let until = |name, next, end: i64| Self {
            name,
            next: Some((next, end)),
        };
        let text = |name: &str| row.get(name).and_then(Value::as_str);
        let status = text("status")?;
        if status == "resolved" {
            return Some(plain(match slot("closed_slot") {
                Some(_) => "closed",
                None => "resolved",
            }));
        }
        if matches!(text("job_status"), Some("settled" | "refunded" | "slashed")) {
            // Decided by another dispute or by a fault: anyone may end it.
            return Some(plain("due"));
        }
        if status == "openings" {
            let end = slot("openings_end_slot")?;
            return Some(match now? < end {
                true => until("openings", "openings_end", end),
                false => plain("due"),
            });
        }
        let Some(from) = slot("commit_from_slot") else {
            return Some(plain("due"));
        };
        let (commit_end, reveal_end) = (slot("commit_end_slot")?, slot("reveal_end_slot")?);
        let now = now?;
        Some(if now < from {
            until("draw", "commit_from", from)
        } else if now < commit_end {
            until("commit", "commit_end", commit_end)
        } else if slot("due_slot").is_some_and(|due| now >= due) {
            plain("due")
        } else {
            until("reveal", "reveal_end", reveal_end)
        })
    }
}

async fn pace(app: &App) -> ApiResult<Pace> {
    let client = app.pool.get().await?;
    let row = client
        .query_opt(
            "SELECT p.processed_slot,
                    (SELECT extract(epoch FROM max(s.at) - min(s.at))::float8 / nullif(max(s.slot) - min(s.slot), 0)
                       FROM analytics.slots_processed s WHERE s.slot > p.processed_slot - $1 AND s.at IS NOT NULL AND NOT s.gap)
               FROM analytics.pipeline_status p",
            &[&PACE_SLOTS],
        )
        .await?;
    Ok(row.map_or_else(Pace::default, |row| Pace {
        now: row.get(0),
        seconds: row.get::<_, Option<f64>>(1).filter(|pace| *pace > 0.0),
    }))
}

/// A row of the view in the shape of the API.
fn shape(app: &App, mut row: Map<String, Value>, pace: Pace) -> Value {
    let phase = Phase::of(&row, pace.now);
    let next = phase.and_then(|phase| phase.next).zip(pace.now);
    let next = next.map(|((name, slot), now)| {
        let slots = slot.saturating_sub(now);
        let seconds = pace.seconds.map(|pace| (slots as f64 * pace).ceil() as i64);
        json!({"event": name, "slot": slot, "slots_left": slots, "seconds_left": seconds})
    });
    let address = row.get("model").and_then(Value::as_str);
    let address = address.unwrap_or_default().to_owned();
    if let Some(model) = address
        .parse()
        .ok()
        .and_then(|address| app.catalogue.at(&address))
    {
        row.insert("model".into(), json!(model.id));
    }
    row.insert("model_address".into(), json!(address));
    row.insert("object".into(), json!("dispute"));
    row.insert("slot".into(), json!(pace.now));
    row.insert("phase".into(), json!(phase.map(|phase| phase.name)));
    row.insert("next".into(), json!(next));
    Value::Object(row)
}

/// The status of a dispute's job beside it.
fn with_job(rows: &str, commitment: &str) -> String {
    format!(
        "SELECT to_jsonb(d) - '{{id_key,job_key}}'::text[] || jsonb_build_object('job_status',
            (SELECT j.status FROM analytics.jobs_{commitment} j WHERE j.id_key = d.job_key ORDER BY j.requested_slot DESC LIMIT 1))
           FROM ({rows}) d"
    )
}

/// Disputes, newest first. Parameters: opened slot and key of the one to follow, status, job, submitter, challenger, N.
pub(crate) fn list_sql(commitment: &str) -> String {
    let rows = Listing {
        views: &["disputes"],
        commitment,
        columns: &format!("{COLUMNS}, id_key, job_key"),
        condition: "($1::bigint IS NULL OR (opened_slot <= $1 AND (opened_slot < $1 OR id_key < $2::bytea)))
            AND ($3::smallint IS NULL OR status_code = $3) AND ($4::bytea IS NULL OR job_key = $4)
            AND ($5::bytea IS NULL OR submitter_key = $5) AND ($6::bytea IS NULL OR challenger_key = $6)",
        order: "opened_slot DESC, id_key DESC",
        limit: "$7",
    };
    with_job(&rows.sql(), commitment)
}

/// Query of the list of disputes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DisputesQuery {
    limit: Option<i64>,
    after: Option<String>,
    commitment: Option<String>,
    status: Option<String>,
    job: Option<String>,
    validator: Option<String>,
    challenger: Option<String>,
}

/// Disputes, newest first, each with its phase and the slots left of it.
#[utoipa::path(get, path = "/v1/disputes", tag = "disputes",
    params(("limit" = Option<i64>, Query, description = "1 to 100, default 20"), ("after" = Option<String>, Query, description = "Id of the last dispute seen"),
           ("commitment" = Option<String>, Query), ("status" = Option<String>, Query, description = "openings, jury or resolved"),
           ("job" = Option<String>, Query), ("validator" = Option<String>, Query, description = "Whose result is challenged"),
           ("challenger" = Option<String>, Query)),
    responses((status = 200, description = "{object: \"list\", data, has_more}")))]
pub async fn list(
    State(app): State<Arc<App>>,
    Query(query): Query<DisputesQuery>,
) -> ApiResult<Json<Value>> {
    let limit = lists::limit(query.limit)?;
    let commitment = lists::commitment(query.commitment.as_deref())?;
    let status = match query.status.as_deref() {
        None => None,
        Some(name) => Some(code(name)?),
    };
    let after = lists::address("after", query.after.as_deref())?;
    let job = lists::address("job", query.job.as_deref())?;
    let validator = lists::address("validator", query.validator.as_deref())?;
    let challenger = lists::address("challenger", query.challenger.as_deref())?;
    let pace = pace(&app).await?;
    let client = app.pool.get().await?;
    let cursor: Option<i64> = match &after {
        None => None,
        Some(key) => Some(
            client
                .query_opt(
                    &format!(
                        "SELECT opened_slot FROM analytics.disputes_{commitment} WHERE id_key = $1"
                    ),
                    &[key],
                )
                .await?
                .map(|row| row.get(0))
                .ok_or_else(|| {
                    ApiError::invalid("after", "after must be the id of an indexed dispute")
                })?,
        ),
    };
    let rows = client
        .query(
            &list_sql(commitment),
            &[
                &cursor,
                &after,
                &status,
                &job,
                &validator,
                &challenger,
                &(limit + 1),
            ],
        )
        .await?;
    let page = Page::new(rows.iter().map(|row| row.get::<_, Value>(0)), limit);
    Ok(Json(page.map(|row| match row {
        Value::Object(map) => shape(&app, map, pace),
        other => other,
    })))
}

/// The code of a status.
fn code(status: &str) -> ApiResult<i16> {
    (1..)
        .zip(STATUSES)
        .find_map(|(code, name)| (name == status).then_some(code))
        .ok_or_else(|| {
            let message = format!("status must be one of {}", STATUSES.join(", "));
            ApiError::invalid("status", message)
        })
}

/// Query of a dispute.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DisputeQuery {
    commitment: Option<String>,
}

/// One dispute: phase with its countdown, jurors, checked positions, posted output, amounts. Logits are Q16.16.
#[utoipa::path(get, path = "/v1/disputes/{id}", tag = "disputes",
    params(("id" = String, Path), ("commitment" = Option<String>, Query, description = "processed (default), confirmed or finalized")),
    responses((status = 200, description = "The dispute; what is not known yet is null"), (status = 404, description = "dispute_not_found")))]
pub async fn show(
    State(app): State<Arc<App>>,
    PathParam(id): PathParam,
    Query(query): Query<DisputeQuery>,
) -> ApiResult<Json<Value>> {
    let key: Pubkey = id
        .parse()
        .map_err(|_| ApiError::invalid("id", "a dispute's id is its base58 address"))?;
    let commitment = lists::commitment(query.commitment.as_deref())?;
    let pace = pace(&app).await?;
    let client = app.pool.get().await?;
    let rows = format!(
        "SELECT {COLUMNS}, id_key, job_key FROM analytics.disputes_{commitment} WHERE id_key = $1"
    );
    let sql = format!(
        "SELECT whole || jsonb_build_object(
            'jurors', (SELECT COALESCE(jsonb_agg(to_jsonb(u) ORDER BY u.seat), '[]') FROM (
                SELECT seat, juror, committed_slot, revealed_slot, shows_fraud, agrees, reward_lamports, penalty_lamports, outcome, collected
                  FROM analytics.jurors_{commitment} WHERE dispute_key = $1) u),
            'openings', (SELECT COALESCE(jsonb_agg(to_jsonb(o) - 'place' ORDER BY o.place), '[]') FROM (
                SELECT place, position, named, shown, token, ids, logits FROM analytics.openings_{commitment} WHERE dispute_key = $1) o),
            'output', (SELECT COALESCE(jsonb_agg(to_jsonb(p) ORDER BY p.page), '[]') FROM (
                SELECT id, page, token_count, chunks_posted, completed_slot, closed_slot FROM analytics.outputs_{commitment}
                 WHERE job_key = (SELECT job_key FROM analytics.disputes_{commitment} WHERE id_key = $1)) p))
           FROM ({}) w(whole)",
        with_job(&rows, commitment)
    );
    let row = client.query_opt(&sql, &[&key.as_ref()]).await?;
    let mut row = match row.map(|row| row.get::<_, Value>(0)) {
        Some(Value::Object(row)) => row,
        _ => {
            return Err(ApiError::not_found(
                "dispute_not_found",
                format!("no dispute {key} is indexed"),
            ));
        }
    };
    for juror in row
        .get_mut("jurors")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        juror["agrees"] = seats(&juror["agrees"]);
    }
    Ok(Json(shape(&app, row, pace)))
}

/// The seats whose bits are set; null where the bits are not known.
fn seats(bits: &Value) -> Value {
    match bits.as_i64() {
        None => Value::Null,
        Some(bits) => (0..16).filter(|seat| (bits >> seat) & 1 == 1).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn a_phase_ends_in_the_slot_that_begins_the_next() {
        let openings = row(json!({"status": "openings", "openings_end_slot": 55, "due_slot": 55}));
        let jury = row(
            json!({"status": "jury", "openings_end_slot": 55, "commit_from_slot": 26,
            "commit_end_slot": 126, "reveal_end_slot": 176, "due_slot": 176}),
        );
        for (row, now, name, next) in [
            (&openings, 54, "openings", Some(("openings_end", 55))),
            (&openings, 55, "due", None),
            (&jury, 25, "draw", Some(("commit_from", 26))),
            (&jury, 26, "commit", Some(("commit_end", 126))),
            (&jury, 125, "commit", Some(("commit_end", 126))),
            (&jury, 126, "reveal", Some(("reveal_end", 176))),
            (&jury, 175, "reveal", Some(("reveal_end", 176))),
            (&jury, 176, "due", None),
        ] {
            assert_eq!(
                Phase::of(row, Some(now)),
                Some(Phase { name, next }),
                "{now}"
            );
        }
    }

    #[test]
    fn a_dispute_is_due_early_when_all_revealed_no_jury_can_judge_or_the_job_is_decided() {
        let revealed = row(
            json!({"status": "jury", "commit_from_slot": 26, "commit_end_slot": 126,
            "reveal_end_slot": 176, "due_slot": 126}),
        );
        assert_eq!(Phase::of(&revealed, Some(126)).unwrap().name, "due");
        let none = row(json!({"status": "jury", "commit_from_slot": null, "due_slot": 6}));
        assert_eq!(Phase::of(&none, Some(6)).unwrap().name, "due");
        let overtaken =
            row(json!({"status": "openings", "openings_end_slot": 55, "job_status": "slashed"}));
        assert_eq!(Phase::of(&overtaken, None).unwrap().name, "due");
        let closed = row(json!({"status": "resolved", "closed_slot": 9, "job_status": "slashed"}));
        assert_eq!(Phase::of(&closed, None).unwrap().name, "closed");
        let unknown = row(json!({"status": "openings", "openings_end_slot": 55}));
        assert_eq!(Phase::of(&unknown, None), None);
    }

    #[test]
    fn statuses_are_checked_and_bits_become_seats() {
        assert_eq!((code("openings"), code("resolved")), (Ok(1), Ok(3)));
        assert_eq!(code("done").unwrap_err().param.as_deref(), Some("status"));
        assert_eq!(seats(&json!(0b101)), json!([0, 2]));
        assert_eq!(seats(&Value::Null), Value::Null);
    }
}
