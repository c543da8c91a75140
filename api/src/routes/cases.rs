//! Cases: as the index shows them, with the phase they are in and a countdown to the next.

use std::sync::Arc;

use axum::{Json, extract::State};
use mythic_interface::state::CaseStatus;
use serde::Deserialize;
use solana_pubkey::Pubkey;

use crate::{
    app::App,
    error::{ApiError, ApiResult, ErrorBody},
    http::{PathParam, Query},
    routes::lists::{self, Page},
    store::index::cases::{self as index, CaseDetails, CaseRow, CasesWanted, NextPhase, Pace},
};

/// Where a case stands at a slot, and what comes next if nobody does anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Phase {
    name: &'static str,
    /// Name and slot of its end.
    next: Option<(&'static str, i64)>,
}

impl Phase {
    /// Of a row, at slot `now` if that is known. `None` where these do not say enough.
    fn of(row: &CaseRow, now: Option<i64>) -> Option<Self> {
        let plain = |name| Self { name, next: None };
        if row.status == "resolved" {
            return Some(plain(match row.closed_slot {
                Some(_) => "closed",
                None => "resolved",
            }));
        }
        let now = now?;
        let before = |name, event, end: i64| {
            (now < end).then_some(Self {
                name,
                next: Some((event, end)),
            })
        };
        let due = Some(plain("due"));
        if row.status == "opening" {
            return before("opening", "leaves_due", row.leaves_due_slot?).or(due);
        }
        let joining = before("joining", "joining_end", row.joining_end_slot?);
        if joining.is_some() || row.false_claims == 0 {
            return joining.or(due);
        }
        if row.opened_positions < row.sampled_positions + row.named_positions {
            return before("showing", "leaves_due", row.leaves_due_slot?).or(due);
        }
        let reveal_end = row.reveal_end_slot?;
        before("draw", "commit_from", row.commit_from_slot?)
            .or(before("commit", "commit_end", row.commit_end_slot?))
            .or_else(|| match row.due_slot {
                Some(slot) if now >= slot => due,
                _ => before("reveal", "reveal_end", reveal_end),
            })
            .or(due)
    }
}

/// Adds what the index does not say: the model's name here, the phase and what ends it.
fn complete(app: &App, row: &mut CaseRow, pace: Pace) {
    let phase = Phase::of(row, pace.now);
    let next = phase.and_then(|phase| phase.next).zip(pace.now);
    row.next = next.map(|((event, slot), now)| NextPhase::of(event, slot, now, pace.seconds));
    row.phase = phase.map(|phase| phase.name.to_owned());
    row.slot = pace.now;
    row.model_address = row.model.clone().unwrap_or_default();
    if let Some(id) = lists::model_id(app, &row.model_address) {
        row.model = Some(id);
    }
}

/// Query of the list of cases.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CasesQuery {
    limit: Option<i64>,
    after: Option<String>,
    commitment: Option<String>,
    status: Option<String>,
    job: Option<String>,
    validator: Option<String>,
    challenger: Option<String>,
}

/// Cases, newest first, each with its phase and the slots left of it. `/v1/disputes` is the same.
#[utoipa::path(get, path = "/v1/cases", operation_id = "list_cases", tag = "cases",
    params(("limit" = Option<i64>, Query, description = "1 to 100, default 20"), ("after" = Option<String>, Query, description = "Id of the last case seen"),
           ("commitment" = Option<String>, Query), ("status" = Option<String>, Query, description = "opening, joining, jury or resolved"),
           ("job" = Option<String>, Query), ("validator" = Option<String>, Query, description = "Whose result it is about"),
           ("challenger" = Option<String>, Query, description = "Who got the reward, else who opened it or proved the fault")),
    responses((status = 200, description = "Cases", body = Page<CaseRow>)))]
pub async fn list(
    State(app): State<Arc<App>>,
    Query(query): Query<CasesQuery>,
) -> ApiResult<Json<Page<CaseRow>>> {
    let limit = lists::limit(query.limit)?;
    let commitment = lists::commitment(query.commitment.as_deref())?;
    let wanted = CasesWanted {
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
    lists::status(status, |code| {
        CaseStatus::from_u8(code).map(CaseStatus::as_str)
    })
}

/// Query of a case.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseQuery {
    commitment: Option<String>,
}

/// One case: phase with its countdown, claims, jurors, checked positions, posted output, amounts. Logits are Q16.16.
/// `/v1/disputes/{id}` is the same.
#[utoipa::path(get, path = "/v1/cases/{id}", operation_id = "show_case", tag = "cases",
    params(("id" = String, Path), ("commitment" = Option<String>, Query, description = "processed (default), confirmed or finalized")),
    responses((status = 200, description = "The case; what is not known yet is null", body = CaseDetails),
              (status = 404, description = "case_not_found", body = ErrorBody)))]
pub async fn show(
    State(app): State<Arc<App>>,
    PathParam(id): PathParam,
    Query(query): Query<CaseQuery>,
) -> ApiResult<Json<CaseDetails>> {
    let key: Pubkey = id
        .parse()
        .map_err(|_| ApiError::invalid("id", "a case's id is its base58 address"))?;
    let commitment = lists::commitment(query.commitment.as_deref())?;
    let pace = index::pace(&app.pool).await?;
    let mut found = index::show(&app.pool, commitment, &key)
        .await?
        .ok_or_else(|| {
            ApiError::not_found("case_not_found", format!("no case {key} is indexed"))
        })?;
    complete(&app, &mut found.case, pace);
    Ok(Json(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    use serde_json::{Value, json};

    fn row(value: Value) -> CaseRow {
        let mut whole = json!({
            "id": "", "job": "", "challenger": "", "submitter": "", "status": "", "commitment": "", "fingerprint": "",
            "exact_profile": true, "claims": 1, "false_claims": 1, "sampled_positions": 16, "named_positions": 1,
            "opened_positions": 17, "jury_seats": 3, "committed_seats": 0, "revealed_seats": 0, "stake_at_result_lamports": 0,
            "committed_stake_lamports": 0, "tariff_lamports": 0, "bonds_lamports": 0, "collected": false, "opened_slot": 0,
            "exact": true,
        });
        for (name, value) in value.as_object().into_iter().flatten() {
            whole[name] = value.clone();
        }
        serde_json::from_value(whole).unwrap()
    }

    /// Shown in slot 6 in a window of 100, all that was named with it.
    fn joined(more: Value) -> CaseRow {
        let mut whole = json!({"status": "joining", "joining_end_slot": 106, "leaves_due_slot": 156, "commit_from_slot": 126,
            "commit_end_slot": 226, "reveal_end_slot": 276, "due_slot": 226});
        for (name, value) in more.as_object().into_iter().flatten() {
            whole[name] = value.clone();
        }
        row(whole)
    }

    #[test]
    fn a_phase_ends_in_the_slot_that_begins_the_next() {
        let opening = row(json!({"status": "opening", "leaves_due_slot": 55, "due_slot": 55}));
        let waiting = joined(json!({}));
        let judging = joined(json!({"status": "jury", "due_slot": 276}));
        for (row, now, name, next) in [
            (&opening, 54, "opening", Some(("leaves_due", 55))),
            (&opening, 55, "due", None),
            (&waiting, 105, "joining", Some(("joining_end", 106))),
            (&waiting, 106, "draw", Some(("commit_from", 126))),
            (&waiting, 126, "commit", Some(("commit_end", 226))),
            (&waiting, 226, "due", None),
            (&judging, 225, "commit", Some(("commit_end", 226))),
            (&judging, 226, "reveal", Some(("reveal_end", 276))),
            (&judging, 275, "reveal", Some(("reveal_end", 276))),
            (&judging, 276, "due", None),
        ] {
            assert_eq!(
                Phase::of(row, Some(now)),
                Some(Phase { name, next }),
                "{now}"
            );
        }
    }

    #[test]
    fn what_a_joiner_named_is_awaited_after_the_joining() {
        let asked = joined(json!({"named_positions": 2, "commit_from_slot": null,
            "commit_end_slot": null, "reveal_end_slot": null, "due_slot": 156}));
        for (now, name, next) in [
            (105, "joining", Some(("joining_end", 106))),
            (106, "showing", Some(("leaves_due", 156))),
            (156, "due", None),
        ] {
            assert_eq!(Phase::of(&asked, Some(now)), Some(Phase { name, next }));
        }
    }

    #[test]
    fn a_case_is_due_early_when_all_revealed_or_nobody_says_false() {
        let revealed = joined(json!({"status": "jury"}));
        assert_eq!(Phase::of(&revealed, Some(226)).unwrap().name, "due");
        let none = joined(json!({"false_claims": 0, "commit_from_slot": null}));
        assert_eq!(Phase::of(&none, Some(105)).unwrap().name, "joining");
        assert_eq!(Phase::of(&none, Some(106)).unwrap().name, "due");
        let closed = row(json!({"status": "resolved", "closed_slot": 9}));
        assert_eq!(Phase::of(&closed, None).unwrap().name, "closed");
        let unknown = row(json!({"status": "opening", "leaves_due_slot": 55}));
        assert_eq!(Phase::of(&unknown, None), None);
    }

    #[test]
    fn statuses_are_checked() {
        assert_eq!((code("opening"), code("resolved")), (Ok(1), Ok(4)));
        assert_eq!(code("done").unwrap_err().param.as_deref(), Some("status"));
    }
}
