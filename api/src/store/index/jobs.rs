//! Jobs as the index shows them.

use serde::{Deserialize, Serialize};
use solana_pubkey::Pubkey;
use utoipa::ToSchema;

use super::{FIRST_ROWS, Listing, decode, decode_all, first_rows, texts};
use crate::{
    error::{ApiError, ApiResult},
    store::Pool,
};

/// Columns of a job, without those of [`KEYS`].
const COLUMNS: &str = "status, commitment, prompt_tokens, output_tokens, max_output_tokens, finish_reason,
    end_reason, price_in, price_out, ceiling_lamports, fee_lamports, validator_lamports, foundation_lamports, burned_lamports, refunded_lamports,
    slashed_lamports, prompt_hash, terms_hash, output_root, fingerprint, seed, temperature_milli, sampling_profile, requested_slot,
    deadline_slot, submitted_slot, window_end_slot, ended_slot, closed_slot, open_disputes, requested_at, ended_at, exact, transitions";

/// Keys of a job.
const KEYS: [&str; 5] = ["id", "model", "validator", "owner", "requester"];

fn columns() -> String {
    format!("{}, {COLUMNS}", texts(&KEYS))
}

fn object() -> String {
    "job".into()
}

/// A job. Amounts are lamports; what is not known yet is null.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = Job)]
pub struct JobRow {
    /// `job`.
    #[serde(default = "object")]
    pub object: String,
    /// Address of its account, base58.
    pub id: String,
    /// `open`, `accepted`, `submitted`, `disputed`, `settled`, `refunded` or `slashed`; before the index shows it `pending`,
    /// `unconfirmed` (sent, and not seen on chain in time) or `unpaid` (it can't come on chain any more).
    pub status: String,
    /// Commitment of its newest transition: `processed`, `confirmed` or `finalized`.
    pub commitment: Option<String>,
    /// Id of the model if this gateway serves it, else its address.
    pub model: String,
    /// Address of the model, base58.
    #[serde(default)]
    pub model_address: String,
    /// Authority of the validator that accepted it, base58.
    pub validator: Option<String>,
    /// The wallet that pays, base58.
    pub owner: String,
    /// Who signed the request: the owner or a delegate, base58.
    pub requester: String,
    /// Tokens of the prompt.
    pub prompt_tokens: i64,
    /// Tokens of the answer.
    pub output_tokens: Option<i64>,
    /// Most tokens of the answer.
    pub max_output_tokens: i64,
    /// Why the answer ended: `eos`, `length`, `stopped` or `cancelled`.
    pub finish_reason: Option<String>,
    /// Why the job ended: `claimed`, `cancelled`, `declined`, `expired`, `not_guilty`, `void`, `guilty` or `fault`.
    pub end_reason: Option<String>,
    /// Lamports per 1,000 prompt tokens.
    pub price_in: i64,
    /// Lamports per 1,000 output tokens.
    pub price_out: i64,
    /// Most that it can cost.
    pub ceiling_lamports: i64,
    /// What it cost.
    pub fee_lamports: Option<i64>,
    /// The validator's part of the fee.
    pub validator_lamports: Option<i64>,
    /// The foundation's part of the fee.
    pub foundation_lamports: Option<i64>,
    /// The part of the fee that is burned.
    pub burned_lamports: Option<i64>,
    /// What went back to the owner.
    pub refunded_lamports: Option<i64>,
    /// Stake that the validator lost.
    pub slashed_lamports: Option<i64>,
    /// 64 hex digits.
    pub prompt_hash: String,
    /// 64 hex digits.
    pub terms_hash: Option<String>,
    /// 64 hex digits.
    pub output_root: Option<String>,
    /// 64 hex digits.
    pub fingerprint: Option<String>,
    /// 64 hex digits.
    pub seed: Option<String>,
    /// Temperature in thousandths.
    pub temperature_milli: i64,
    /// How its tokens are chosen: 1 `seeded-top4`, which anybody replays from the evidence; 2 `seeded-full`, which only those can
    /// compute again who run the model.
    pub sampling_profile: i64,
    /// Slot of the request.
    pub requested_slot: Option<i64>,
    /// Last slot in which a result is taken.
    pub deadline_slot: Option<i64>,
    /// Slot of the result.
    pub submitted_slot: Option<i64>,
    /// Slot from which nobody opens a case about the result.
    pub window_end_slot: Option<i64>,
    /// Slot in which it was settled, refunded or slashed.
    pub ended_slot: Option<i64>,
    /// Slot in which its account was closed.
    pub closed_slot: Option<i64>,
    /// Cases about its result that are not resolved: at most one.
    pub open_disputes: Option<i64>,
    /// Time of `requested_slot`.
    pub requested_at: Option<String>,
    /// Time of `ended_slot`.
    pub ended_at: Option<String>,
    /// False where a gap in the index may hide changes.
    pub exact: Option<bool>,
    /// What happened to it, in order.
    pub transitions: Option<Vec<Transition>>,
}

/// A change of a job's status.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Transition {
    /// `open`, `accepted`, `cancelling`, `submitted`, `disputed`, `settled`, `refunded` or `slashed`.
    status: Option<String>,
    slot: i64,
    /// Time of the slot.
    at: Option<String>,
    /// `processed`, `confirmed` or `finalized`.
    commitment: String,
    /// The transaction, base58; null where no bank with it was seen.
    signature: Option<String>,
}

/// The case about a job's result.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct JobCase {
    /// Address, base58; `GET /v1/cases/{id}` shows all of it.
    id: String,
    /// `opening`, `joining`, `jury` or `resolved`.
    status: String,
    /// `guilty`, `not_guilty`, `void` or `fault`.
    verdict: Option<String>,
    /// `jury`, `unanswered`, `no_claim`, `fault`, `no_quorum` or `too_few_judges`.
    ground: Option<String>,
    /// Who got the reward, else who opened it or proved the fault, base58.
    challenger: Option<String>,
    claims: i64,
    bonds_lamports: i64,
    slashed_lamports: Option<i64>,
    opened_slot: i64,
    joining_end_slot: Option<i64>,
    leaves_due_slot: Option<i64>,
    commit_from_slot: Option<i64>,
    commit_end_slot: Option<i64>,
    reveal_end_slot: Option<i64>,
    due_slot: Option<i64>,
    resolved_slot: Option<i64>,
}

/// A job with the case about its result; to the key that paid also what was answered.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct JobDetails {
    #[serde(flatten)]
    pub job: JobRow,
    /// The case about its result.
    pub dispute: Option<JobCase>,
    /// The answer's text, for the key that paid, for 24 hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}

/// What jobs are listed by.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct JobsWanted {
    pub status: Option<i16>,
    pub validator: Option<Vec<u8>>,
    pub owner: Option<Vec<u8>>,
    pub model: Option<Vec<u8>>,
    /// The job to follow.
    pub after: Option<Vec<u8>>,
}

/// Jobs, newest first. Parameters: requested slot and key of the job to follow, status, validator, owner, model, N.
pub(super) fn list_sql(commitment: &str) -> String {
    sql(
        commitment,
        "($1::bigint IS NULL OR (requested_slot <= $1 AND (requested_slot < $1 OR id_key > $2::bytea)))
            AND ($3::smallint IS NULL OR status_code = $3) AND ($4::bytea IS NULL OR validator_key = $4)
            AND ($5::bytea IS NULL OR owner_key = $5) AND ($6::bytea IS NULL OR model_key = $6)",
        "$7",
    )
}

/// The newest jobs.
pub(super) fn first_sql(commitment: &str) -> String {
    sql(commitment, "true", &FIRST_ROWS.to_string())
}

fn sql(commitment: &str, condition: &str, limit: &str) -> String {
    let rows = Listing {
        views: &["jobs"],
        commitment,
        columns: &format!("{}, id_key", columns()),
        condition,
        order: "requested_slot DESC, id_key",
        limit,
    };
    format!("SELECT to_jsonb(j) - 'id_key' FROM ({}) j", rows.sql())
}

/// At most `limit` jobs, newest first.
pub async fn list(
    pool: &Pool,
    commitment: &'static str,
    wanted: &JobsWanted,
    limit: i64,
) -> ApiResult<Vec<JobRow>> {
    if *wanted == JobsWanted::default() && limit <= FIRST_ROWS {
        return first_rows(pool, &first_sql(commitment), limit).await;
    }
    let client = pool.get().await?;
    let cursor: Option<i64> = match &wanted.after {
        None => None,
        Some(key) => {
            let sql = format!(
                "SELECT requested_slot FROM analytics.jobs_{commitment} WHERE id_key = $1 ORDER BY requested_slot DESC LIMIT 1"
            );
            let row = client.query_opt(&sql, &[key]).await?;
            Some(row.map(|row| row.get(0)).ok_or_else(|| {
                ApiError::invalid("after", "after must be the id of an indexed job")
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
                &wanted.validator,
                &wanted.owner,
                &wanted.model,
                &limit,
            ],
        )
        .await?;
    decode_all(rows)
}

/// A job; `None` if the index does not show it at this commitment.
pub async fn show(
    pool: &Pool,
    commitment: &'static str,
    job: &Pubkey,
) -> ApiResult<Option<JobDetails>> {
    let client = pool.get().await?;
    let row = client
        .query_opt(
            &format!(
                "SELECT to_jsonb(j) || jsonb_build_object('dispute',
                    (SELECT to_jsonb(d) FROM (SELECT {}, status, verdict, ground, claims, bonds_lamports, slashed_lamports, opened_slot,
                            joining_end_slot, leaves_due_slot, commit_from_slot, commit_end_slot, reveal_end_slot, due_slot, resolved_slot
                       FROM analytics.cases_{commitment} WHERE job_key = $1 ORDER BY opened_slot DESC LIMIT 1) d))
                   FROM (SELECT {} FROM analytics.jobs_{commitment} WHERE id_key = $1 ORDER BY requested_slot DESC LIMIT 1) j",
                texts(&["id", "challenger"]),
                columns()
            ),
            &[&job.as_ref()],
        )
        .await?;
    row.map(|row| decode(row.get(0))).transpose()
}

/// Mean length in tokens of the answers to the newest jobs; `None` before the first of the model among them. However many jobs
/// there are, at most a thousand are read.
pub async fn mean_output(pool: &Pool, model: &Pubkey) -> ApiResult<Option<i64>> {
    let lately = Listing {
        views: &["jobs"],
        commitment: "processed",
        columns: "model_key, output_tokens, requested_slot, id_key",
        condition: "true",
        order: "requested_slot DESC, id_key",
        limit: "1000",
    };
    let sql = format!(
        "SELECT avg(output_tokens)::bigint FROM (SELECT output_tokens FROM ({}) newest
           WHERE model_key = $1 AND output_tokens IS NOT NULL ORDER BY requested_slot DESC LIMIT 100) lately",
        lately.sql()
    );
    let client = pool.get().await?;
    Ok(client.query_one(&sql, &[&model.as_ref()]).await?.get(0))
}
