//! Gateways that share the database: each shows signs of life, and takes over what a dead one has left.

use std::{
    collections::HashMap,
    time::{Duration, Instant, SystemTime},
};

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

/// The last signs of life of the other gateways, and since when each is the last: the database's clock may leap, so only who watched
/// a gateway be silent calls it dead.
#[derive(Debug, Default)]
pub struct Watch(HashMap<String, (SystemTime, Instant)>);

impl Watch {
    /// Those that have given no sign for longer than `limit`, and their last ones.
    pub async fn silent(
        &mut self,
        pool: &Pool,
        instance: &str,
        limit: Duration,
    ) -> ApiResult<Vec<(String, SystemTime)>> {
        let client = pool.get().await?;
        let sql = "SELECT id, beat_at FROM gateway.instance WHERE id <> $1";
        let rows = client.query(sql, &[&instance]).await?;
        let before = std::mem::take(&mut self.0);
        for row in &rows {
            let (id, beat): (String, SystemTime) = (row.get(0), row.get(1));
            let same = before.get(&id).filter(|(seen, _)| *seen == beat);
            let since = same.map_or_else(Instant::now, |(_, since)| *since);
            self.0.insert(id, (beat, since));
        }
        let silent = self.0.iter().filter(|(_, seen)| seen.1.elapsed() > limit);
        Ok(silent.map(|(id, seen)| (id.clone(), seen.0)).collect())
    }
}

/// Removes these gateways, unless they have shown life since. Only a gateway that itself beat all the time may say so: after
/// a pause of the database everybody's last sign is old.
pub async fn bury(pool: &Pool, silent: &[(String, SystemTime)]) -> ApiResult<()> {
    let client = pool.get().await?;
    let (ids, beats): (Vec<&str>, Vec<SystemTime>) =
        silent.iter().map(|(id, beat)| (id.as_str(), *beat)).unzip();
    client
        .execute(
            "DELETE FROM gateway.instance i USING unnest($1::text[], $2::timestamptz[]) AS s(id, beat_at)
              WHERE i.id = s.id AND i.beat_at = s.beat_at",
            &[&ids, &beats],
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

/// Requests that this gateway has had under way for over `seconds`, or for how long nobody can tell since the clock leapt back: id
/// and number of choices.
pub async fn own(pool: &Pool, instance: &str, seconds: u64) -> ApiResult<Vec<(String, u32)>> {
    let client = pool.get().await?;
    let rows = client
        .query(
            "SELECT id, choices FROM gateway.request WHERE state = 'running' AND instance = $1
                AND (created_at < now() - $2 * interval '1 second' OR created_at > now() + $2 * interval '1 second')",
            &[&instance, &(seconds as f64)],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|row| (row.get(0), row.get::<_, i32>(1).unsigned_abs()))
        .collect())
}
