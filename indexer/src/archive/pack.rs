//! Packs: older events of the log, many in one row, compressed. A slot without content costs a tenth of what its rows did.

use std::io::Read;

use super::codec::Codec;
use super::event::{ArchivedEvent, COLUMNS};
use super::packed;
use crate::db::Session;
use crate::error::IndexerError;

/// A pack is no longer than this when it is unpacked.
const LONGEST: u64 = 64 << 20;
const LEVEL: i32 = 9;

fn unreadable(first: i64, error: &std::io::Error) -> IndexerError {
    IndexerError::Archive(format!(
        "the pack of events from {first} on (table archive.pack) can't be read: {error}: restore it from a backup of schema archive"
    ))
}

/// The events of a pack.
pub(super) fn unpack(
    first: i64,
    last: i64,
    body: &[u8],
) -> Result<Vec<ArchivedEvent>, IndexerError> {
    let failed = |e: &std::io::Error| unreadable(first, e);
    let decoder = zstd::Decoder::new(body).map_err(|e| failed(&e))?;
    let mut plain = Vec::new();
    decoder
        .take(LONGEST)
        .read_to_end(&mut plain)
        .map_err(|e| failed(&e))?;
    let (mut from, mut codec) = (&plain[..], Codec::new(first));
    let events: Result<Vec<_>, _> = (first..=last).map(|_| codec.read(&mut from)).collect();
    events.map_err(|e| failed(&e))
}

/// Packs the oldest `events` events, if as many and `lag` newer ones are in the table. Says whether it did.
pub(crate) async fn pack(
    session: &mut Session,
    events: i64,
    lag: i64,
) -> Result<bool, IndexerError> {
    let first = packed(session).await? + 1;
    let newest = session
        .query("SELECT COALESCE(max(id), 0) FROM archive.event", &[])
        .await?;
    let newest: i64 = newest.first().map_or(0, |row| row.get(0));
    let last = first + events - 1;
    if newest <= last + lag {
        return Ok(false);
    }
    session.batch("BEGIN").await?;
    let done = move_events(session, first, last).await;
    match done {
        Ok(()) => session.batch("COMMIT").await?,
        Err(_) => session.rollback().await,
    }
    done.map(|()| true)
}

async fn move_events(session: &mut Session, first: i64, last: i64) -> Result<(), IndexerError> {
    let sql = format!("SELECT {COLUMNS} FROM archive.event WHERE id BETWEEN $1 AND $2 ORDER BY id");
    let rows = session.query(&sql, &[&first, &last]).await?;
    let events: Vec<ArchivedEvent> = rows.iter().map(ArchivedEvent::of).collect();
    if events.len() as i64 != last - first + 1 {
        return Err(IndexerError::Archive(format!(
            "the log lacks events between {first} and {last}: it is packed no further"
        )));
    }
    let slots = || events.iter().filter(|e| e.has_content()).map(|e| e.slot);
    let (low, high) = (slots().min(), slots().max());
    let (mut plain, mut codec) = (Vec::new(), Codec::new(first));
    for event in &events {
        codec
            .write(&mut plain, event)
            .map_err(|e| unreadable(first, &e))?;
    }
    let body = tokio::task::spawn_blocking(move || zstd::bulk::compress(&plain, LEVEL))
        .await
        .map_err(|e| IndexerError::Broken(e.to_string()))?
        .map_err(|e| unreadable(first, &e))?;
    session
        .execute(
            "INSERT INTO archive.pack (first_event, last_event, first_slot, last_slot, body) VALUES ($1, $2, $3, $4, $5)",
            &[&first, &last, &low, &high, &body],
        )
        .await?;
    session
        .execute(
            "DELETE FROM archive.event WHERE id BETWEEN $1 AND $2",
            &[&first, &last],
        )
        .await?;
    Ok(())
}
