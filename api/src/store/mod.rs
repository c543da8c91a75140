//! PostgreSQL: what the gateway keeps there, and what it reads of the index. All of its SQL is here.

mod attempts;
mod instances;
mod outlay;
mod prompts;
mod requests;

pub use attempts::{
    Attempt, Note, attempts, backlog, by_job, due, evidence, feed, hand_out, insert_attempt, note,
};
pub use instances::{Watch, adopt, beat, bury, leave, own};
pub use outlay::Funds;
pub use prompts::{KeptPrompt, prompts};
pub use requests::{
    Begin, End, NewRequest, StoredRequest, answer_value, answers_of, begin, end_request, is_taken,
    reopen,
};

use std::time::{Instant, SystemTime};

use mythic_postgres::{Migration, Owner, PostgresError, migrations};
use solana_pubkey::Pubkey;

use crate::error::ApiResult;

pub use mythic_postgres::Pool;

pub mod credit;
pub mod feed;
pub mod health;
pub mod index;
pub mod keys;
#[cfg(test)]
mod retention;
pub mod text;

/// The gateway's SQL files, in order. Landed ones are never edited: what is new gets the next number.
const FILES: &[Migration] = migrations!("../sql/gateway":
    "0001_gateway.sql",
    "0002_keys.sql",
    "0003_attempts.sql",
    "0004_credit.sql",
    "0005_finish.sql",
    "0006_fresh.sql",
    "0007_payments.sql",
    "0008_options.sql",
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

fn key(bytes: Vec<u8>) -> Option<Pubkey> {
    Pubkey::try_from(bytes.as_slice()).ok()
}

/// The database's clock, or what it would show had it not leapt forward since it was first asked: what is forgotten by mistake is gone.
#[derive(Debug, Default)]
pub struct Steady(Option<(SystemTime, Instant)>);

impl Steady {
    /// What time it is.
    pub async fn now(&mut self, pool: &Pool) -> ApiResult<SystemTime> {
        let client = pool.get().await?;
        let shown: SystemTime = client.query_one("SELECT now()", &[]).await?.get(0);
        Ok(self.at(shown))
    }

    fn at(&mut self, shown: SystemTime) -> SystemTime {
        let (first, since) = *self.0.get_or_insert_with(|| (shown, Instant::now()));
        shown.min(first + since.elapsed())
    }
}

/// Forgets what is past its time: answers and prompts after `hours`, everything about ended attempts after a week, revoked keys
/// after a month, once nothing that they began is left, keys that nobody used after a year.
pub async fn forget_old(pool: &Pool, now: SystemTime, hours: u64) -> ApiResult<()> {
    let client = pool.get().await?;
    let hours = hours as f64;
    client
        .execute("UPDATE gateway.attempt SET answer = NULL WHERE answer IS NOT NULL AND finished_at < $2::timestamptz - $1 * interval '1 hour'", &[&hours, &now])
        .await?;
    client
        .execute(
            "DELETE FROM gateway.prompt p USING gateway.attempt a WHERE a.job = p.job AND a.state IN ('done', 'closed', 'unpaid')
                AND a.created_at < $2::timestamptz - $1 * interval '1 hour'",
            &[&hours, &now],
        )
        .await?;
    client
        .execute(
            "UPDATE gateway.request SET answer = NULL, idempotency_key = NULL
              WHERE state <> 'running' AND created_at < $2::timestamptz - $1 * interval '1 hour' AND (answer IS NOT NULL OR idempotency_key IS NOT NULL)",
            &[&hours, &now],
        )
        .await?;
    client
        .execute(
            "DELETE FROM gateway.request r WHERE r.state <> 'running' AND r.created_at < $1::timestamptz - interval '7 days'
                AND NOT EXISTS (SELECT FROM gateway.attempt a WHERE a.request_id = r.id AND a.state IN ('open', 'abandoned', 'unconfirmed', 'answered'))",
            &[&now],
        )
        .await?;
    client
        .execute(
            "DELETE FROM gateway.api_key k WHERE k.revoked_at < $1::timestamptz - interval '30 days'
                AND NOT EXISTS (SELECT FROM gateway.request r WHERE r.key_id = k.id)",
            &[&now],
        )
        .await?;
    client
        .execute(
            "DELETE FROM gateway.api_key WHERE used_at < $1::timestamptz - interval '1 year'",
            &[&now],
        )
        .await?;
    client
        .execute(
            "DELETE FROM gateway.outlay WHERE day < $1::timestamptz::date - 7",
            &[&now],
        )
        .await?;
    Ok(())
}
