//! The gateway's own tables: requests and attempts. All SQL of this part is here.

use mythic_interface::ix::{Instruction as _, RequestInference};
use mythic_postgres::{Migration, Owner, PostgresError, migrations};
use serde_json::{Value, json};
use solana_pubkey::Pubkey;
use tokio_postgres::Row;

use crate::{
    error::{ApiError, ApiResult},
    jobs::answer::ChoiceAnswer,
};

pub use mythic_postgres::Pool;

pub mod keys;
pub mod text;

/// The gateway's SQL files, in order. Landed ones are never edited: what is new gets the next number.
const FILES: &[Migration] = migrations!("../sql/gateway":
    "0001_gateway.sql",
    "0002_keys.sql",
);

const OWNER: Owner = Owner {
    schema: "gateway",
    files: FILES,
    former: &[],
    left: &[],
    repeatable: &[],
    scoped_schema: "",
};

/// Lays out the gateway's tables.
pub async fn migrate(database_url: &str) -> Result<(), PostgresError> {
    mythic_postgres::migrate(database_url, &OWNER).await
}

/// A request to be remembered.
#[derive(Debug, Clone)]
pub struct NewRequest {
    /// Its id.
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
}

/// A request found in the table.
#[derive(Debug, Clone)]
pub struct StoredRequest {
    /// Its id.
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
                      WHERE key_id = $1 AND body_hash = $2 AND idempotency_key IS NULL AND created_at > now() - interval '10 minutes'
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
            "INSERT INTO gateway.request (id, key_id, idempotency_key, body_hash, state, choices, model, logprobs)
             VALUES ($1, $2, $3, $4, 'running', $5, $6, $7)
             ON CONFLICT (key_id, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING",
            &[
                &request.id,
                &request.key_id,
                &request.idempotency_key,
                &request.body_hash.as_slice(),
                &(request.choices as i32),
                &request.model,
                &request.logprobs,
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

/// Takes a failed request up again; false if somebody else did.
pub async fn reopen(pool: &Pool, id: &str) -> ApiResult<bool> {
    let client = pool.get().await?;
    let changed = client
        .execute("UPDATE gateway.request SET state = 'running', error = NULL, finished_at = NULL WHERE id = $1 AND state = 'failed'", &[&id])
        .await?;
    Ok(changed == 1)
}

/// Stores what repeats are given.
pub async fn finish_request(pool: &Pool, id: &str, answer: &Value) -> ApiResult<()> {
    let client = pool.get().await?;
    client
        .execute("UPDATE gateway.request SET state = 'done', answer = $2, finished_at = now() WHERE id = $1", &[&id, answer])
        .await?;
    Ok(())
}

/// Stores why it failed.
pub async fn fail_request(pool: &Pool, id: &str, error: &ApiError) -> ApiResult<()> {
    let client = pool.get().await?;
    let error = serde_json::to_value(error).map_err(ApiError::internal)?;
    client
        .execute("UPDATE gateway.request SET state = 'failed', error = $2, finished_at = now() WHERE id = $1", &[&id, &error])
        .await?;
    Ok(())
}

/// One job address of a request.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The job.
    pub job: Pubkey,
    /// Its request.
    pub request_id: String,
    /// Who pays.
    pub key_id: String,
    /// Number of the choice.
    pub choice: u32,
    /// Number of the attempt.
    pub attempt: u32,
    /// The job's nonce.
    pub nonce: [u8; 16],
    /// The wallet that pays.
    pub owner: Pubkey,
    /// Who signs the request.
    pub requester: Pubkey,
    /// Address of the model.
    pub model: Pubkey,
    /// What was asked for.
    pub arguments: RequestInference,
    /// Most lamports it can cost.
    pub ceiling: u64,
    /// Stop strings.
    pub stop: Vec<String>,
    /// Authorities that were asked.
    pub validators: Vec<Pubkey>,
    /// The client sent its own transaction.
    pub client_paid: bool,
    /// As in the table.
    pub state: String,
    /// The transaction, once known.
    pub signature: Option<String>,
    /// The answer, while it is kept.
    pub answer: Option<ChoiceAnswer>,
    /// Unix seconds.
    pub created: i64,
}

impl Attempt {
    /// Last slot in which it may land.
    pub fn expiry(&self) -> u64 {
        mythic_interface::window::nonce_expiry(&self.nonce)
    }
}

const ATTEMPT: &str = "a.job, a.request_id, r.key_id, a.choice, a.attempt, a.nonce, a.owner, a.requester, a.model, a.arguments,
    a.ceiling_lamports, a.stop, a.validators, a.client_paid, a.state, a.signature, a.answer, extract(epoch FROM a.created_at)::bigint AS created";

fn key(bytes: Vec<u8>) -> Option<Pubkey> {
    Pubkey::try_from(bytes.as_slice()).ok()
}

fn attempt(row: &Row) -> Option<Attempt> {
    Some(Attempt {
        job: key(row.get("job"))?,
        request_id: row.get("request_id"),
        key_id: row.get("key_id"),
        choice: u32::try_from(row.get::<_, i32>("choice")).ok()?,
        attempt: u32::try_from(row.get::<_, i32>("attempt")).ok()?,
        nonce: row.get::<_, Vec<u8>>("nonce").try_into().ok()?,
        owner: key(row.get("owner"))?,
        requester: key(row.get("requester"))?,
        model: key(row.get("model"))?,
        arguments: *RequestInference::decode(&row.get::<_, Vec<u8>>("arguments")).ok()?,
        ceiling: u64::try_from(row.get::<_, i64>("ceiling_lamports")).ok()?,
        stop: row.get("stop"),
        validators: row
            .get::<_, Vec<Vec<u8>>>("validators")
            .into_iter()
            .filter_map(key)
            .collect(),
        client_paid: row.get("client_paid"),
        state: row.get("state"),
        signature: row.get("signature"),
        answer: row
            .get::<_, Option<Value>>("answer")
            .and_then(|value| serde_json::from_value(value).ok()),
        created: row.get("created"),
    })
}

/// Stores an attempt before anything is sent.
pub async fn insert_attempt(
    pool: &Pool,
    attempt: &Attempt,
    prompt: Option<(&[u32], &[u8; 16])>,
) -> ApiResult<()> {
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    let arguments = &attempt.arguments;
    transaction
        .execute(
            "INSERT INTO gateway.attempt (job, request_id, choice, attempt, nonce, owner, requester, model, prompt_hash, prompt_tokens,
                max_output_tokens, price_in, price_out, ceiling_lamports, arguments, stop, client_paid, state, signature)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)",
            &[
                &attempt.job.as_ref(),
                &attempt.request_id,
                &(attempt.choice as i32),
                &(attempt.attempt as i32),
                &attempt.nonce.as_slice(),
                &attempt.owner.as_ref(),
                &attempt.requester.as_ref(),
                &attempt.model.as_ref(),
                &arguments.prompt_hash.as_slice(),
                &i64::from(arguments.prompt_tokens.get()),
                &i64::from(arguments.max_output_tokens.get()),
                &i64::from(arguments.price_in.get()),
                &i64::from(arguments.price_out.get()),
                &i64::try_from(attempt.ceiling).unwrap_or(i64::MAX),
                &bytemuck::bytes_of(arguments),
                &attempt.stop,
                &attempt.client_paid,
                &attempt.state,
                &attempt.signature,
            ],
        )
        .await?;
    if let Some((ids, salt)) = prompt {
        let ids: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
        transaction
            .execute(
                "INSERT INTO gateway.prompt (job, prompt_hash, ids, salt) VALUES ($1, $2, $3, $4)",
                &[
                    &attempt.job.as_ref(),
                    &arguments.prompt_hash.as_slice(),
                    &ids,
                    &salt.as_slice(),
                ],
            )
            .await?;
    }
    Ok(transaction.commit().await?)
}

/// Notes that a validator is about to be asked under this address.
pub async fn ask(pool: &Pool, job: &Pubkey, validator: &[u8; 32]) -> ApiResult<()> {
    let client = pool.get().await?;
    client
        .execute(
            "UPDATE gateway.attempt SET state = 'sent', validators = array_append(validators, $2) WHERE job = $1",
            &[&job.as_ref(), &validator.as_slice()],
        )
        .await?;
    Ok(())
}

/// Moves an attempt to another state, from one of `from`; false if it was in none of them.
pub async fn transition(
    pool: &Pool,
    job: &Pubkey,
    from: &[&str],
    to: &str,
    signature: Option<&str>,
) -> ApiResult<bool> {
    let client = pool.get().await?;
    let changed = client
        .execute(
            "UPDATE gateway.attempt SET state = $3, signature = coalesce($4, signature) WHERE job = $1 AND state = ANY($2)",
            &[&job.as_ref(), &from, &to, &signature],
        )
        .await?;
    Ok(changed == 1)
}

/// Keeps an attempt's answer and evidence.
pub async fn keep_answer(
    pool: &Pool,
    job: &Pubkey,
    state: &str,
    answer: &ChoiceAnswer,
    evidence: Option<&Value>,
) -> ApiResult<()> {
    let client = pool.get().await?;
    let answer = serde_json::to_value(answer).map_err(ApiError::internal)?;
    client
        .execute(
            "UPDATE gateway.attempt SET state = $2, answer = $3, evidence = coalesce($4, evidence), finished_at = now() WHERE job = $1",
            &[&job.as_ref(), &state, &answer, &evidence],
        )
        .await?;
    Ok(())
}

/// Attempts of a request, in order.
pub async fn attempts(pool: &Pool, request_id: &str) -> ApiResult<Vec<Attempt>> {
    let client = pool.get().await?;
    let rows = client
        .query(
            &format!(
                "SELECT {ATTEMPT} FROM gateway.attempt a JOIN gateway.request r ON r.id = a.request_id
                  WHERE a.request_id = $1 ORDER BY a.choice, a.attempt"
            ),
            &[&request_id],
        )
        .await?;
    Ok(rows.iter().filter_map(attempt).collect())
}

/// The attempt under a job's address.
pub async fn by_job(pool: &Pool, job: &Pubkey) -> ApiResult<Option<Attempt>> {
    let client = pool.get().await?;
    let row = client
        .query_opt(
            &format!("SELECT {ATTEMPT} FROM gateway.attempt a JOIN gateway.request r ON r.id = a.request_id WHERE a.job = $1"),
            &[&job.as_ref()],
        )
        .await?;
    Ok(row.as_ref().and_then(attempt))
}

/// Attempts that need somebody to look after them.
pub async fn in_state(pool: &Pool, states: &[&str]) -> ApiResult<Vec<Attempt>> {
    let client = pool.get().await?;
    let rows = client
        .query(
            &format!(
                "SELECT {ATTEMPT} FROM gateway.attempt a JOIN gateway.request r ON r.id = a.request_id
                  WHERE a.state = ANY($1) ORDER BY a.created_at LIMIT 500"
            ),
            &[&states],
        )
        .await?;
    Ok(rows.iter().filter_map(attempt).collect())
}

/// Requests that were under way when the gateway stopped: id and number of choices.
pub async fn running_requests(pool: &Pool) -> ApiResult<Vec<(String, u32)>> {
    let client = pool.get().await?;
    let rows = client
        .query(
            "SELECT id, choices FROM gateway.request WHERE state = 'running'",
            &[],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|row| (row.get(0), row.get::<_, i32>(1).unsigned_abs()))
        .collect())
}

/// The stored evidence of a job.
pub async fn evidence(pool: &Pool, job: &Pubkey) -> ApiResult<Option<Value>> {
    let client = pool.get().await?;
    let row = client
        .query_opt(
            "SELECT evidence FROM gateway.attempt WHERE job = $1",
            &[&job.as_ref()],
        )
        .await?;
    Ok(row.and_then(|row| row.get(0)))
}

/// A kept prompt: the job, token ids, salt, stop strings.
pub type KeptPrompt = (Pubkey, Vec<u32>, [u8; 16], Vec<String>);

/// Prompts kept under a hash.
pub async fn prompts(pool: &Pool, prompt_hash: &[u8; 32]) -> ApiResult<Vec<KeptPrompt>> {
    let client = pool.get().await?;
    let rows = client
        .query(
            "SELECT p.job, p.ids, p.salt, a.stop FROM gateway.prompt p JOIN gateway.attempt a USING (job) WHERE p.prompt_hash = $1 LIMIT 16",
            &[&prompt_hash.as_slice()],
        )
        .await?;
    Ok(rows
        .iter()
        .filter_map(|row| {
            let ids: Vec<u8> = row.get(1);
            let ids = ids
                .chunks_exact(4)
                .filter_map(|chunk| chunk.try_into().ok().map(u32::from_le_bytes))
                .collect();
            Some((
                key(row.get(0))?,
                ids,
                row.get::<_, Vec<u8>>(2).try_into().ok()?,
                row.get(3),
            ))
        })
        .collect())
}

/// Forgets what is past its time: answers and prompts after `hours`, everything about ended attempts after a week.
pub async fn forget_old(pool: &Pool, hours: u64) -> ApiResult<()> {
    let client = pool.get().await?;
    let hours = hours as f64;
    client
        .execute("UPDATE gateway.attempt SET answer = NULL WHERE answer IS NOT NULL AND finished_at < now() - $1 * interval '1 hour'", &[&hours])
        .await?;
    client
        .execute(
            "DELETE FROM gateway.prompt p USING gateway.attempt a WHERE a.job = p.job AND a.state IN ('done', 'closed')
                AND a.created_at < now() - $1 * interval '1 hour'",
            &[&hours],
        )
        .await?;
    client
        .execute(
            "UPDATE gateway.request SET answer = NULL, idempotency_key = NULL
              WHERE state <> 'running' AND created_at < now() - $1 * interval '1 hour' AND (answer IS NOT NULL OR idempotency_key IS NOT NULL)",
            &[&hours],
        )
        .await?;
    client
        .execute(
            "DELETE FROM gateway.request r WHERE r.state <> 'running' AND r.created_at < now() - interval '7 days'
                AND NOT EXISTS (SELECT FROM gateway.attempt a WHERE a.request_id = r.id AND a.state NOT IN ('done', 'closed'))",
            &[],
        )
        .await?;
    Ok(())
}

/// What is stored of the answer of a whole request.
pub fn answer_value(answers: &[ChoiceAnswer]) -> Value {
    json!({ "choices": answers })
}

/// The answers in [`answer_value`].
pub fn answers_of(value: &Value) -> Option<Vec<ChoiceAnswer>> {
    serde_json::from_value(value.get("choices")?.clone()).ok()
}
