//! Disputes as the index shows them.

use serde::{Deserialize, Deserializer, Serialize};
use solana_pubkey::Pubkey;
use utoipa::ToSchema;

use super::{FIRST_ROWS, Listing, decode, decode_all, first_rows, texts};
use crate::{
    error::{ApiError, ApiResult},
    store::Pool,
};

/// Columns of a dispute, without those of [`KEYS`].
const COLUMNS: &str = "status, verdict, ground, commitment, fingerprint, sampled_positions, named_positions,
    opened_positions, output_tokens, output_chunks_posted, jury_seats, committed_seats, revealed_seats, exact_profile,
    bond_lamports, at_stake_lamports, answering_fee_lamports, tariff_lamports, slashed_lamports, challenger_lamports, jurors_lamports,
    submitter_lamports, burned_lamports, penalties_lamports, collected, submitted_slot, opened_slot, openings_end_slot, completed_slot,
    commit_from_slot, commit_end_slot, reveal_end_slot, due_slot, resolved_slot, closed_slot, opened_at, resolved_at, exact";

/// Keys of a dispute.
const KEYS: [&str; 5] = ["id", "job", "model", "challenger", "submitter"];

fn columns() -> String {
    format!("{}, {COLUMNS}", texts(&KEYS))
}

/// Slots over which the length of a slot is measured.
const PACE_SLOTS: i64 = 150;

fn object() -> String {
    "dispute".into()
}

/// A dispute, or a proven fault (ground `fault`). Amounts are lamports; what is not known yet is null.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Dispute)]
pub struct DisputeRow {
    /// `dispute`.
    #[serde(default = "object")]
    object: String,
    /// Address of its account, base58.
    id: String,
    /// Address of the job, base58.
    job: String,
    /// Status of the job.
    pub job_status: Option<String>,
    /// Id of the model if this gateway serves it, else its address.
    pub model: Option<String>,
    /// Address of the model, base58.
    #[serde(default)]
    pub model_address: String,
    /// Who challenged, base58.
    challenger: String,
    /// Authority of the validator whose result is challenged, base58.
    submitter: String,
    /// `openings`, `jury` or `resolved`.
    pub status: String,
    /// Where it stands at `slot`: `openings`, `draw`, `commit`, `reveal`, `due` (anyone may end it), `resolved` or `closed`.
    #[serde(default)]
    pub phase: Option<String>,
    /// What comes next if nobody does anything.
    #[serde(default)]
    pub next: Option<NextPhase>,
    /// Newest slot of the index.
    #[serde(default)]
    pub slot: Option<i64>,
    /// `guilty`, `not_guilty`, `void` or `fault`.
    verdict: Option<String>,
    /// `jury`, `unanswered`, `no_thresholds`, `overtaken` or `fault`.
    ground: Option<String>,
    /// Commitment of its newest change.
    commitment: String,
    /// The challenged result's, 64 hex digits.
    fingerprint: String,
    /// Positions that were drawn.
    sampled_positions: Option<i64>,
    /// Positions that the challenger named.
    named_positions: Option<i64>,
    /// Positions that the submitter showed.
    opened_positions: Option<i64>,
    output_tokens: Option<i64>,
    /// Chunks of 128 token ids posted.
    output_chunks_posted: Option<i64>,
    jury_seats: i64,
    committed_seats: i64,
    revealed_seats: i64,
    /// Whether the model's arithmetic is the same on every machine.
    exact_profile: Option<bool>,
    bond_lamports: i64,
    at_stake_lamports: Option<i64>,
    answering_fee_lamports: Option<i64>,
    tariff_lamports: Option<i64>,
    slashed_lamports: Option<i64>,
    /// What the challenger got, the bond among it.
    challenger_lamports: Option<i64>,
    jurors_lamports: Option<i64>,
    submitter_lamports: Option<i64>,
    burned_lamports: Option<i64>,
    /// What jurors lost.
    penalties_lamports: Option<i64>,
    /// Resolved, and everybody has what is due.
    collected: bool,
    submitted_slot: Option<i64>,
    opened_slot: i64,
    pub openings_end_slot: Option<i64>,
    completed_slot: Option<i64>,
    pub commit_from_slot: Option<i64>,
    pub commit_end_slot: Option<i64>,
    pub reveal_end_slot: Option<i64>,
    pub due_slot: Option<i64>,
    resolved_slot: Option<i64>,
    pub closed_slot: Option<i64>,
    opened_at: Option<String>,
    resolved_at: Option<String>,
    /// False where a gap in the index may hide changes.
    exact: bool,
}

/// The end of a dispute's phase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NextPhase {
    /// `openings_end`, `commit_from`, `commit_end` or `reveal_end`.
    pub event: String,
    pub slot: i64,
    pub slots_left: i64,
    /// At the pace of the last slots; null where that is not known.
    pub seconds_left: Option<i64>,
}

/// A dispute with all that belongs to it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DisputeDetails {
    #[serde(flatten)]
    pub dispute: DisputeRow,
    /// Taken seats of the jury.
    jurors: Vec<JurorRow>,
    /// Positions that it checks.
    openings: Vec<OpeningRow>,
    /// Pages of the posted output.
    output: Vec<OutputRow>,
}

/// A seat of a jury.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct JurorRow {
    seat: i64,
    /// Authority, base58.
    juror: String,
    committed_slot: i64,
    revealed_slot: Option<i64>,
    /// What it found; null until it reveals.
    shows_fraud: Option<bool>,
    /// Seats whose logits are as its own; null until it reveals.
    #[serde(deserialize_with = "seats")]
    agrees: Option<Vec<u8>>,
    reward_lamports: Option<i64>,
    penalty_lamports: Option<i64>,
    /// `paid`, `penalised` or `unpaid`; null until the dispute is resolved.
    outcome: Option<String>,
    collected: bool,
}

/// A position that a dispute checks.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct OpeningRow {
    /// In the output, from 0.
    position: i64,
    /// The challenger named it; the others were drawn.
    named: bool,
    /// The submitter showed it.
    shown: bool,
    /// Id of its token; null until it is shown.
    token: Option<i64>,
    /// The four likeliest ids, likeliest first; null until shown.
    ids: Option<Vec<i64>>,
    /// Their logits in Q16.16; null until shown.
    logits: Option<Vec<i64>>,
}

/// A page of token ids posted under a dispute.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct OutputRow {
    /// Address of its account, base58.
    id: String,
    /// From 0.
    page: i64,
    token_count: i64,
    /// Chunks of 128 token ids posted.
    chunks_posted: i64,
    completed_slot: Option<i64>,
    closed_slot: Option<i64>,
}

/// The seats whose bits are set; null where the bits are not known.
fn seats<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
    let bits = Option::<i64>::deserialize(deserializer)?;
    Ok(bits.map(|bits| (0..16).filter(|seat| (bits >> seat) & 1 == 1).collect()))
}

/// What the chain is at, as the index shows it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pace {
    /// Newest slot.
    pub now: Option<i64>,
    /// Seconds that a slot took lately.
    pub seconds: Option<f64>,
}

/// Newest slot, and how long the last ones took.
pub async fn pace(pool: &Pool) -> ApiResult<Pace> {
    let client = pool.get().await?;
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

/// What disputes are listed by.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct DisputesWanted {
    pub status: Option<i16>,
    pub job: Option<Vec<u8>>,
    pub submitter: Option<Vec<u8>>,
    pub challenger: Option<Vec<u8>>,
    /// The dispute to follow.
    pub after: Option<Vec<u8>>,
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
pub(super) fn list_sql(commitment: &str) -> String {
    sql(
        commitment,
        "($1::bigint IS NULL OR (opened_slot <= $1 AND (opened_slot < $1 OR id_key < $2::bytea)))
            AND ($3::smallint IS NULL OR status_code = $3) AND ($4::bytea IS NULL OR job_key = $4)
            AND ($5::bytea IS NULL OR submitter_key = $5) AND ($6::bytea IS NULL OR challenger_key = $6)",
        "$7",
    )
}

/// The newest disputes.
pub(super) fn first_sql(commitment: &str) -> String {
    sql(commitment, "true", &FIRST_ROWS.to_string())
}

fn sql(commitment: &str, condition: &str, limit: &str) -> String {
    let rows = Listing {
        views: &["disputes"],
        commitment,
        columns: &format!("{}, id_key, job_key", columns()),
        condition,
        order: "opened_slot DESC, id_key DESC",
        limit,
    };
    with_job(&rows.sql(), commitment)
}

/// At most `limit` disputes, newest first.
pub async fn list(
    pool: &Pool,
    commitment: &'static str,
    wanted: &DisputesWanted,
    limit: i64,
) -> ApiResult<Vec<DisputeRow>> {
    if *wanted == DisputesWanted::default() && limit <= FIRST_ROWS {
        return first_rows(pool, &first_sql(commitment), limit).await;
    }
    let client = pool.get().await?;
    let cursor: Option<i64> = match &wanted.after {
        None => None,
        Some(key) => {
            let sql = format!(
                "SELECT opened_slot FROM analytics.disputes_{commitment} WHERE id_key = $1"
            );
            let row = client.query_opt(&sql, &[key]).await?;
            Some(row.map(|row| row.get(0)).ok_or_else(|| {
                ApiError::invalid("after", "after must be the id of an indexed dispute")
            })?)
        }
    };
    let rows = client
        .query(
            &list_sql(commitment),
            &[
                &cursor,
                &wanted.after,
                &wanted.status,
                &wanted.job,
                &wanted.submitter,
                &wanted.challenger,
                &limit,
            ],
        )
        .await?;
    decode_all(rows)
}

/// A dispute with its jury, positions and output; `None` if the index does not show it at this commitment.
pub async fn show(
    pool: &Pool,
    commitment: &'static str,
    key: &Pubkey,
) -> ApiResult<Option<DisputeDetails>> {
    let client = pool.get().await?;
    let rows = format!(
        "SELECT {}, id_key, job_key FROM analytics.disputes_{commitment} WHERE id_key = $1",
        columns()
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
    row.map(|row| decode(row.get(0))).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_become_seats() {
        let read = |text: &str| seats(&mut serde_json::Deserializer::from_str(text)).unwrap();
        assert_eq!(read("5"), Some(vec![0, 2]));
        assert_eq!(read("null"), None);
    }
}
