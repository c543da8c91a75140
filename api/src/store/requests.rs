//! Requests: what a repeat finds, how each ended.

use serde_json::{Value, json};
use tokio_postgres::Row;

use super::Pool;
use crate::{
    error::{ApiError, ApiResult},
    jobs::answer::ChoiceAnswer,
};

/// A request to be remembered.
#[derive(Debug, Clone)]
pub struct NewRequest {
    pub id: String,
    /// Who pays.
    pub key_id: String,
    /// As the client sent it.
    pub idempotency_key: Option<String>,
    /// SHA-256 of route and body.
    pub body_hash: [u8; 32],
    /// Jobs it makes.
    pub choices: u32,
    /// The model's id.
    pub model: String,
    /// The answer carries log-probabilities.
    pub logprobs: bool,
    /// The gateway that runs it.
    pub instance: String,
}

/// A request found in the table.
#[derive(Debug, Clone)]
pub struct StoredRequest {
    pub id: String,
    /// SHA-256 of route and body.
    pub body_hash: Vec<u8>,
    /// `running`, `done` or `failed`.
    pub state: String,
    /// What a repeat is given.
    pub answer: Option<Value>,
    /// Why it failed.
    pub error: Option<ApiError>,
    /// Unix seconds.
    pub created: i64,
}

fn stored(row: &Row) -> StoredRequest {
    StoredRequest {
        id: row.get("id"),
        body_hash: row.get("body_hash"),
        state: row.get("state"),
        answer: row.get("answer"),
        error: row
            .get::<_, Option<Value>>("error")
            .and_then(|value| serde_json::from_value(value).ok()),
        created: row.get("created"),
    }
}

const REQUEST: &str =
    "id, body_hash, state, answer, error, extract(epoch FROM created_at)::bigint AS created";

/// What a request meets in the table.
#[derive(Debug, Clone)]
pub enum Begin {
    /// It is new and now stored.
    New,
    /// There is an earlier one: the same idempotency key, or (for an SDK's repeat) the same body.
    Found(Box<StoredRequest>),
}

/// Stores a request before anything is sent, or finds the earlier one. `repeat` = an SDK says that it sends again.
pub async fn begin(pool: &Pool, request: &NewRequest, repeat: bool) -> ApiResult<Begin> {
    let client = pool.get().await?;
    if repeat && request.idempotency_key.is_none() {
        let earlier = client
            .query_opt(
                &format!(
                    "SELECT {REQUEST} FROM gateway.request
                      WHERE key_id = $1 AND body_hash = $2 AND idempotency_key IS NULL
                        AND (state = 'running' OR created_at > now() - interval '10 minutes')
                      ORDER BY created_at DESC LIMIT 1"
                ),
                &[&request.key_id, &request.body_hash.as_slice()],
            )
            .await?;
        if let Some(row) = earlier {
            return Ok(Begin::Found(Box::new(stored(&row))));
        }
    }
    let inserted = client
        .execute(
            "INSERT INTO gateway.request (id, key_id, idempotency_key, body_hash, state, choices, model, logprobs, instance)
             VALUES ($1, $2, $3, $4, 'running', $5, $6, $7, $8)
             ON CONFLICT (key_id, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING",
            &[
                &request.id,
                &request.key_id,
                &request.idempotency_key,
                &request.body_hash.as_slice(),
                &(request.choices as i32),
                &request.model,
                &request.logprobs,
                &request.instance,
            ],
        )
        .await?;
    if inserted == 1 {
        return Ok(Begin::New);
    }
    let row = client
        .query_one(
            &format!(
                "SELECT {REQUEST} FROM gateway.request WHERE key_id = $1 AND idempotency_key = $2"
            ),
            &[&request.key_id, &request.idempotency_key],
        )
        .await?;
    Ok(Begin::Found(Box::new(stored(&row))))
}

/// Whether a request under this key is under way or answered: what it asks was checked when it came.
pub async fn is_taken(pool: &Pool, key_id: &str, idempotency_key: &str) -> ApiResult<bool> {
    let client = pool.get().await?;
    let row = client
        .query_one(
            "SELECT EXISTS (SELECT FROM gateway.request
                             WHERE key_id = $1 AND idempotency_key = $2 AND state IN ('running', 'done'))",
            &[&key_id, &idempotency_key],
        )
        .await?;
    Ok(row.get(0))
}

/// Takes a failed request up again; false if somebody else did.
pub async fn reopen(pool: &Pool, id: &str, instance: &str) -> ApiResult<bool> {
    let client = pool.get().await?;
    let changed = client
        .execute(
            "UPDATE gateway.request SET state = 'running', error = NULL, finished_at = NULL, instance = $2 WHERE id = $1 AND state = 'failed'",
            &[&id, &instance],
        )
        .await?;
    Ok(changed == 1)
}

/// How a request ended.
#[derive(Debug, Clone)]
pub enum End<'a> {
    /// What repeats are given.
    Answer(&'a Value),
    /// Why it failed.
    Error(&'a ApiError),
}

/// Stores how a request ended; false if it is not this gateway's any more.
pub async fn end_request(pool: &Pool, id: &str, instance: &str, end: End<'_>) -> ApiResult<bool> {
    let (state, answer, error) = match end {
        End::Answer(answer) => ("done", Some(answer), None),
        End::Error(error) => (
            "failed",
            None,
            Some(serde_json::to_value(error).map_err(ApiError::internal)?),
        ),
    };
    let client = pool.get().await?;
    let changed = client
        .execute(
            "UPDATE gateway.request SET state = $3, answer = $4, error = $5, finished_at = now()
              WHERE id = $1 AND instance = $2 AND state = 'running'",
            &[&id, &instance, &state, &answer, &error],
        )
        .await?;
    Ok(changed == 1)
}

/// What is stored of the answer of a whole request.
pub fn answer_value(answers: &[ChoiceAnswer]) -> Value {
    json!({ "choices": answers })
}

/// The answers in [`answer_value`].
pub fn answers_of(value: &Value) -> Option<Vec<ChoiceAnswer>> {
    serde_json::from_value(value.get("choices")?.clone()).ok()
}
