//! Attempts: the job addresses of requests, their states and answers. Every change of a state is an event of the machine.

use mythic_interface::ix::{Instruction as _, RequestInference};
use mythic_sampling::Options;
use serde_json::Value;
use solana_pubkey::Pubkey;
use tokio_postgres::Row;

use super::{
    Pool, key,
    outlay::{self, Address, Funds},
};
use crate::{
    error::{ApiError, ApiResult},
    jobs::{
        answer::ChoiceAnswer,
        attempt::{Effect, Event, State},
    },
};

/// Attempts that are taken at once: as many accounts as one call to the chain reads.
const PAGE: usize = 100;

fn state(word: &str) -> ApiResult<State> {
    State::of(word).ok_or_else(|| ApiError::internal(format!("stored state {word}")))
}

/// One job address of a request.
#[derive(Debug, Clone)]
pub struct Attempt {
    pub job: Pubkey,
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
    /// What says how tokens are chosen, beyond the four likeliest.
    pub options: Option<Options>,
    /// Authorities that were asked.
    pub validators: Vec<Pubkey>,
    /// The client sent its own transaction.
    pub client_paid: bool,
    /// What can still become of it.
    pub state: State,
    /// The transaction, once known.
    pub signature: Option<String>,
    /// The answer, while it is kept.
    pub answer: Option<ChoiceAnswer>,
    /// Looks since its state changed.
    pub looks: i32,
    /// Unix seconds.
    pub created: i64,
}

impl Attempt {
    /// Last slot in which it may land.
    pub fn expiry(&self) -> u64 {
        mythic_interface::window::nonce_expiry(&self.nonce)
    }

    fn address(&self) -> Address {
        Address {
            job: self.job,
            owner: self.owner,
            expiry: self.expiry(),
        }
    }
}

const ATTEMPT: &str = "a.job, a.request_id, r.key_id, a.choice, a.attempt, a.nonce, a.owner, a.requester, a.model, a.arguments,
    a.ceiling_lamports, a.stop, a.options, a.validators, a.client_paid, a.state, a.looks, a.signature, a.answer, extract(epoch FROM a.created_at)::bigint AS created";

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
        options: row
            .get::<_, Option<Vec<u8>>>("options")
            .map(|bytes| Options::decode(&bytes))
            .transpose()
            .ok()?,
        validators: row
            .get::<_, Vec<Vec<u8>>>("validators")
            .into_iter()
            .filter_map(key)
            .collect(),
        client_paid: row.get("client_paid"),
        state: State::of(row.get("state"))?,
        looks: row.get("looks"),
        signature: row.get("signature"),
        answer: row
            .get::<_, Option<Value>>("answer")
            .and_then(|value| serde_json::from_value(value).ok()),
        created: row.get("created"),
    })
}

/// Stores an attempt before anything is sent, and lays out what it costs the gateway.
pub async fn insert_attempt(
    pool: &Pool,
    attempt: &Attempt,
    prompt: Option<(&[u32], &[u8; 16])>,
    funds: &Funds<'_>,
) -> ApiResult<()> {
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    if !attempt.client_paid {
        outlay::lay_out(
            &transaction,
            attempt.address(),
            (outlay::JOB_FEES, true),
            funds,
        )
        .await?;
    }
    let arguments = &attempt.arguments;
    let options = attempt.options.as_ref().map(Options::encode);
    let options = options.transpose().map_err(ApiError::internal)?;
    transaction
        .execute(
            "INSERT INTO gateway.attempt (job, request_id, choice, attempt, nonce, owner, requester, model, prompt_hash, prompt_tokens,
                max_output_tokens, price_in, price_out, ceiling_lamports, arguments, stop, client_paid, state, signature, options)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)",
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
                &attempt.state.word(),
                &attempt.signature,
                &options,
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

/// Notes that a validator is about to be given a transaction for this attempt. The first is laid out with the attempt; each further
/// one may land too, if only to fail, and its fees are laid out here.
pub async fn hand_out(
    pool: &Pool,
    attempt: &Attempt,
    validator: [u8; 32],
    funds: &Funds<'_>,
) -> ApiResult<()> {
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    let handed: bool = transaction
        .query_one(
            "SELECT cardinality(validators) > 0 FROM gateway.attempt WHERE job = $1 FOR UPDATE",
            &[&attempt.job.as_ref()],
        )
        .await?
        .get(0);
    if handed && !attempt.client_paid {
        outlay::lay_out(
            &transaction,
            attempt.address(),
            (outlay::REQUEST_FEES, false),
            funds,
        )
        .await?;
    }
    let note = Note {
        validator: Some(validator),
        ..Note::default()
    };
    write(&transaction, &attempt.job, None, note).await?;
    Ok(transaction.commit().await?)
}

/// What is noted beside an event.
#[derive(Debug, Clone, Copy, Default)]
pub struct Note<'a> {
    pub signature: Option<&'a str>,
    /// A validator that is about to be asked.
    pub validator: Option<[u8; 32]>,
    /// The answer, or as much of it as was handed out.
    pub answer: Option<&'a ChoiceAnswer>,
    /// The evidence bundle.
    pub evidence: Option<&'a Value>,
}

/// Feeds an event to an attempt and stores its next state with the note, in one transaction. `None` without such an attempt.
pub async fn feed(
    pool: &Pool,
    job: &Pubkey,
    event: Event,
    note: Note<'_>,
) -> ApiResult<Option<(State, Vec<Effect>)>> {
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    let found = transaction
        .query_opt(
            "SELECT state FROM gateway.attempt WHERE job = $1 FOR UPDATE",
            &[&job.as_ref()],
        )
        .await?;
    let Some(row) = found else { return Ok(None) };
    let (next, effects) = state(row.get(0))?.next(event);
    write(&transaction, job, Some(next), note).await?;
    transaction.commit().await?;
    Ok(Some((next, effects)))
}

/// Notes something about an attempt whose state stays.
pub async fn note(pool: &Pool, job: &Pubkey, note: Note<'_>) -> ApiResult<()> {
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    write(&transaction, job, None, note).await?;
    Ok(transaction.commit().await?)
}

async fn write(
    transaction: &deadpool_postgres::Transaction<'_>,
    job: &Pubkey,
    state: Option<State>,
    note: Note<'_>,
) -> ApiResult<()> {
    let answer = note
        .answer
        .map(serde_json::to_value)
        .transpose()
        .map_err(ApiError::internal)?;
    transaction
        .execute(
            "UPDATE gateway.attempt SET state = coalesce($2, state), signature = coalesce($3, signature),
                    validators = CASE WHEN $4::bytea IS NULL OR cardinality(validators) >= 64 THEN validators ELSE array_append(validators, $4) END,
                    answer = coalesce($5, answer), evidence = coalesce($6, evidence),
                    finished_at = CASE WHEN $5::jsonb IS NULL THEN finished_at ELSE now() END,
                    looks = CASE WHEN $2 IS DISTINCT FROM state AND $2 IS NOT NULL THEN 0 ELSE looks END,
                    next_look = CASE WHEN $2 IS DISTINCT FROM state AND $2 IS NOT NULL THEN now() ELSE next_look END
              WHERE job = $1",
            &[
                &job.as_ref(),
                &state.map(State::word),
                &note.signature,
                &note.validator.as_ref().map(<[u8; 32]>::as_slice),
                &answer,
                &note.evidence,
            ],
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

/// Takes attempts that are due to be looked at, those that wait longest first; until the next look they are this gateway's. Half of a
/// page is for those whose state is new, so that however many linger, a job that was just given up is cancelled at once.
/// Each look doubles the pause to the next, from a second to a minute, while the state stays.
pub async fn due(pool: &Pool) -> ApiResult<Vec<Attempt>> {
    let client = pool.get().await?;
    // Nothing waits for so long, unless the clock leapt back.
    client
        .execute(
            "UPDATE gateway.attempt SET next_look = now() WHERE state IN ('open', 'abandoned', 'unconfirmed', 'answered')
                AND next_look > now() + interval '3 minutes'",
            &[],
        )
        .await?;
    let rows = client
        .query(
            &format!(
                "WITH fresh AS (
                    SELECT job FROM gateway.attempt WHERE state IN ('open', 'abandoned', 'unconfirmed', 'answered') AND looks = 0
                       AND next_look <= now() ORDER BY next_look, job LIMIT {PAGE} / 2 FOR UPDATE SKIP LOCKED),
                 lingering AS (
                    SELECT job FROM gateway.attempt WHERE state IN ('open', 'abandoned', 'unconfirmed', 'answered') AND looks > 0
                       AND next_look <= now() ORDER BY next_look, job LIMIT {PAGE} - (SELECT count(*) FROM fresh) FOR UPDATE SKIP LOCKED),
                 due AS (SELECT job FROM fresh UNION ALL SELECT job FROM lingering),
                 taken AS (
                    UPDATE gateway.attempt t
                       SET looks = looks + 1, next_look = now() + least(60, power(2, least(looks / 4, 6))) * interval '1 second'
                      FROM due WHERE t.job = due.job RETURNING t.*)
                 SELECT {ATTEMPT} FROM taken a JOIN gateway.request r ON r.id = a.request_id ORDER BY a.next_look, a.job"
            ),
            &[],
        )
        .await?;
    Ok(rows.iter().filter_map(attempt).collect())
}

/// Attempts that somebody still has to look at, and seconds until the first of them is due.
pub async fn backlog(pool: &Pool) -> ApiResult<(i64, Option<f64>)> {
    let client = pool.get().await?;
    let row = client
        .query_one(
            "SELECT count(*), extract(epoch FROM min(next_look) - now())::float8 FROM gateway.attempt
              WHERE state IN ('open', 'abandoned', 'unconfirmed', 'answered')",
            &[],
        )
        .await?;
    Ok((row.get(0), row.get(1)))
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
