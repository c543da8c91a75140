//! Disputes: as the index shows them, with the phase they are in and a countdown to the next.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Deserialize;
use solana_pubkey::Pubkey;

use crate::{
    app::App,
    error::{ApiError, ApiResult, ErrorBody},
    http::{PathParam, Query},
    routes::lists::{self, Page},
    store::index::disputes::{
        self as index, DisputeDetails, DisputeRow, DisputesWanted, NextPhase, Pace,
    },
};

/// Statuses of a dispute, in the order of their codes from 1.
const STATUSES: [&str; 3] = ["openings", "jury", "resolved"];

/// Where a dispute stands at a slot, and what comes next if nobody does anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Phase {
    name: &'static str,
    /// Name and slot of its end.
    next: Option<(&'static str, i64)>,
}

impl Phase {
    /// Of a row, at slot `now` if that is known. `None` where these do not say enough.
    fn of(row: &DisputeRow, now: Option<i64>) -> Option<Self> {
        let plain = |name| Self { name, next: None };
        let until = |name, next, end: i64| Self {
            name,
            next: Some((next, end)),
        };
        if row.status == "resolved" {
            return Some(plain(match row.closed_slot {
                Some(_) => "closed",
                None => "resolved",
            }));
        }
        if matches!(
            row.job_status.as_deref(),
            Some("settled" | "refunded" | "slashed")
        ) {
            // Decided by another dispute or by a fault: anyone may end it.
            return Some(plain("due"));
        }
        if row.status == "openings" {
            let end = row.openings_end_slot?;
            return Some(match now? < end {
                true => until("openings", "openings_end", end),
                false => plain("due"),
            });
        }
        let Some(from) = row.commit_from_slot else {
            return Some(plain("due"));
        };
        let (commit_end, reveal_end) = (row.commit_end_slot?, row.reveal_end_slot?);
        let now = now?;
        Some(if now < from {
            until("draw", "commit_from", from)
        } else if now < commit_end {
            until("commit", "commit_end", commit_end)
        } else if row.due_slot.is_some_and(|due| now >= due) {
            plain("due")
        } else {
            until("reveal", "reveal_end", reveal_end)
        })
    }
}

/// Adds what the index does not say: the model's name here, the phase and what ends it.
fn complete(app: &App, row: &mut DisputeRow, pace: Pace) {
    let phase = Phase::of(row, pace.now);
    let next = phase.and_then(|phase| phase.next).zip(pace.now);
    row.next = next.map(|((event, slot), now)| {
        let slots_left = slot.saturating_sub(now);
        NextPhase {
            event: event.into(),
            slot,
            slots_left,
            seconds_left: pace
                .seconds
                .map(|pace| (slots_left as f64 * pace).ceil() as i64),
        }
    });
    row.phase = phase.map(|phase| phase.name.to_owned());
    row.slot = pace.now;
    row.model_address = row.model.clone().unwrap_or_default();
    if let Some(id) = lists::model_id(app, &row.model_address) {
        row.model = Some(id);
    }
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
#[utoipa::path(get, path = "/v1/disputes", operation_id = "list_disputes", tag = "disputes",
    params(("limit" = Option<i64>, Query, description = "1 to 100, default 20"), ("after" = Option<String>, Query, description = "Id of the last dispute seen"),
           ("commitment" = Option<String>, Query), ("status" = Option<String>, Query, description = "openings, jury or resolved"),
           ("job" = Option<String>, Query), ("validator" = Option<String>, Query, description = "Whose result is challenged"),
           ("challenger" = Option<String>, Query)),
    responses((status = 200, description = "Disputes", body = Page<DisputeRow>)))]
pub async fn list(
    State(app): State<Arc<App>>,
    Query(query): Query<DisputesQuery>,
) -> ApiResult<Json<Page<DisputeRow>>> {
    let limit = lists::limit(query.limit)?;
    let commitment = lists::commitment(query.commitment.as_deref())?;
    let wanted = DisputesWanted {
        status: query.status.as_deref().map(code).transpose()?,
        after: lists::address("after", query.after.as_deref())?,
        job: lists::address("job", query.job.as_deref())?,
        submitter: lists::address("validator", query.validator.as_deref())?,
        challenger: lists::address("challenger", query.challenger.as_deref())?,
    };
    let pace = index::pace(&app.pool).await?;
    let mut rows = index::list(&app.pool, commitment, &wanted, limit + 1).await?;
    for row in &mut rows {
        complete(&app, row, pace);
    }
    Ok(Json(Page::new(rows, limit)))
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
#[utoipa::path(get, path = "/v1/disputes/{id}", operation_id = "show_dispute", tag = "disputes",
    params(("id" = String, Path), ("commitment" = Option<String>, Query, description = "processed (default), confirmed or finalized")),
    responses((status = 200, description = "The dispute; what is not known yet is null", body = DisputeDetails),
              (status = 404, description = "dispute_not_found", body = ErrorBody)))]
pub async fn show(
    State(app): State<Arc<App>>,
    PathParam(id): PathParam,
    Query(query): Query<DisputeQuery>,
) -> ApiResult<Json<DisputeDetails>> {
    let key: Pubkey = id
        .parse()
        .map_err(|_| ApiError::invalid("id", "a dispute's id is its base58 address"))?;
    let commitment = lists::commitment(query.commitment.as_deref())?;
    let pace = index::pace(&app.pool).await?;
    let mut found = index::show(&app.pool, commitment, &key)
        .await?
        .ok_or_else(|| {
            ApiError::not_found("dispute_not_found", format!("no dispute {key} is indexed"))
        })?;
    complete(&app, &mut found.dispute, pace);
    Ok(Json(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    use serde_json::{Value, json};

    fn row(value: Value) -> DisputeRow {
        let mut whole = json!({
            "id": "", "job": "", "challenger": "", "submitter": "", "status": "", "commitment": "", "fingerprint": "",
            "jury_seats": 3, "committed_seats": 0, "revealed_seats": 0, "bond_lamports": 0, "collected": false,
            "opened_slot": 0, "exact": true,
        });
        for (name, value) in value.as_object().into_iter().flatten() {
            whole[name] = value.clone();
        }
        serde_json::from_value(whole).unwrap()
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
    fn statuses_are_checked() {
        assert_eq!((code("openings"), code("resolved")), (Ok(1), Ok(3)));
        assert_eq!(code("done").unwrap_err().param.as_deref(), Some("status"));
    }
}
