//! Gateways that share the database: each shows signs of life, and takes over what a dead one has left.

use super::Pool;
use crate::error::ApiResult;

/// Shows that a gateway lives.
pub async fn beat(pool: &Pool, instance: &str) -> ApiResult<()> {
    let client = pool.get().await?;
    client
        .execute(
            "INSERT INTO gateway.instance (id) VALUES ($1) ON CONFLICT (id) DO UPDATE SET beat_at = now()",
            &[&instance],
        )
        .await?;
    Ok(())
}

/// A gateway stops: what it leaves can be taken over at once.
pub async fn leave(pool: &Pool, instance: &str) -> ApiResult<()> {
    let client = pool.get().await?;
    client
        .execute("DELETE FROM gateway.instance WHERE id = $1", &[&instance])
        .await?;
    Ok(())
}

/// Removes gateways that gave no sign of life for `seconds`. Only a gateway that itself beat all that time may say so: after
/// a pause of the database everybody's last sign is old.
pub async fn bury(pool: &Pool, instance: &str, seconds: u64) -> ApiResult<()> {
    let client = pool.get().await?;
    client
        .execute(
            "DELETE FROM gateway.instance WHERE id <> $1 AND beat_at < now() - $2 * interval '1 second'",
            &[&instance, &(seconds as f64)],
        )
        .await?;
    Ok(())
}

/// Takes over requests that are under way at no living gateway: id and number of choices. Each is taken by one gateway.
pub async fn adopt(pool: &Pool, instance: &str) -> ApiResult<Vec<(String, u32)>> {
    let client = pool.get().await?;
    let rows = client
        .query(
            "UPDATE gateway.request r SET instance = $1 WHERE state = 'running'
                AND NOT EXISTS (SELECT FROM gateway.instance i WHERE i.id = r.instance) RETURNING id, choices",
            &[&instance],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|row| (row.get(0), row.get::<_, i32>(1).unsigned_abs()))
        .collect())
}

/// Requests that this gateway has had under way for over `seconds`: id and number of choices.
pub async fn own(pool: &Pool, instance: &str, seconds: u64) -> ApiResult<Vec<(String, u32)>> {
    let client = pool.get().await?;
    let rows = client
        .query(
            "SELECT id, choices FROM gateway.request WHERE state = 'running' AND instance = $1
                AND created_at < now() - $2 * interval '1 second'",
            &[&instance, &(seconds as f64)],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|row| (row.get(0), row.get::<_, i32>(1).unsigned_abs()))
        .collect())
}
