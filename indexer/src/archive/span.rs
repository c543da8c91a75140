//! Spans that are older than the retention go into files, and their partitions out of the database.
//!
//! In this order, so that a crash at any point loses nothing: the file is written beside its name, made durable, read back and named;
//! one transaction lists it and removes its packs; then partitions of which every update is in a listed file are detached, and
//! dropped, or attached again where something was written into them until then. What a crash leaves is done again: a file that is
//! not listed is written over, a partition whose updates are in files too is dropped later, and a reader takes each event from one place.

use std::path::{Path, PathBuf};

use super::event::ArchivedEvent;
use super::file::{FileWriter, Header, Sealed};
use super::manifest::{self, FileState, Listed};
use super::pack::unpack;
use super::{filed, read};
use crate::db::Session;
use crate::error::IndexerError;
use crate::plan::EPOCH_SLOTS;
use crate::projection::{ARCHIVED, Account};
use crate::state;

/// Account updates that are held at once.
const CHUNK: i32 = 20_000;

/// Where spans go, and when.
#[derive(Clone, Debug)]
pub(crate) struct Spans {
    pub dir: PathBuf,
    /// Slots that stay in the database below the newest finalized one.
    pub keep_slots: i64,
    /// A file is ended when it has taken as many bytes, before compression.
    pub file_bytes: u64,
}

/// A pack that is to go.
struct Due {
    first: i64,
    last: i64,
}

/// First slot that stays, at an epoch's border.
async fn boundary(session: &mut Session, schema: &str, keep: i64) -> Result<i64, IndexerError> {
    let sql = format!("SELECT finalized_slot FROM {schema}.head");
    let rows = session.query(&sql, &[]).await?;
    let root: Option<i64> = rows.first().and_then(|row| row.get(0));
    let last = root.map_or(0, |root| root.saturating_sub(keep).max(0));
    Ok(last / EPOCH_SLOTS * EPOCH_SLOTS)
}

/// Writes one file of what is older than the retention. Says whether it did.
pub(crate) async fn file_span(
    session: &mut Session,
    schema: &str,
    spans: &Spans,
) -> Result<bool, IndexerError> {
    let boundary = boundary(session, schema, spans.keep_slots).await?;
    let before = filed(session).await?;
    let due = due(session, before, boundary).await?;
    let Some(first) = due.first() else {
        return Ok(false);
    };
    if first.first != before + 1 {
        return Err(IndexerError::Archive(format!(
            "events {} to {} are neither in a file nor in a pack: restore schema archive from a backup",
            before + 1,
            first.first - 1
        )));
    }
    let header = Header {
        genesis: genesis(session).await?,
        first_event: first.first,
        previous: last_hash(session).await?,
        ..Header::default()
    };
    let sealed = write(session, spans, header, &due).await?;
    session.batch("BEGIN").await?;
    let listed = match manifest::add(session, &sealed).await {
        Ok(()) => session
            .execute(
                "DELETE FROM archive.pack WHERE last_event <= $1",
                &[&sealed.header.last_event],
            )
            .await
            .map(drop),
        Err(e) => Err(e),
    };
    match &listed {
        Ok(()) => session.batch("COMMIT").await?,
        Err(_) => session.rollback().await,
    }
    listed?;
    tracing::info!(
        events = sealed.header.events,
        updates = sealed.header.updates,
        bytes = sealed.bytes,
        "a span of the archive is in {}",
        spans
            .dir
            .join(super::file::name(sealed.header.first_event))
            .display()
    );
    Ok(true)
}

/// The oldest packs, up to the one that goes beyond the boundary, if any has a slot below it.
async fn due(session: &mut Session, after: i64, boundary: i64) -> Result<Vec<Due>, IndexerError> {
    let rows = session
        .query(
            "SELECT first_event, last_event FROM archive.pack WHERE first_event > $1
                AND first_event < COALESCE((SELECT min(first_event) FROM archive.pack WHERE first_event > $1 AND first_slot >= $2), 9223372036854775807)
                AND EXISTS (SELECT FROM archive.pack WHERE first_event > $1 AND first_slot < $2)
              ORDER BY first_event LIMIT 100000",
            &[&after, &boundary],
        )
        .await?;
    let pack = |row: &tokio_postgres::Row| Due {
        first: row.get(0),
        last: row.get(1),
    };
    Ok(rows.iter().map(pack).collect())
}

async fn genesis(session: &mut Session) -> Result<Option<String>, IndexerError> {
    let rows = session
        .query("SELECT genesis_hash FROM pipeline.chain", &[])
        .await?;
    let text = |row: &tokio_postgres::Row| bs58::encode(row.get::<_, &[u8]>(0)).into_string();
    Ok(rows.first().map(text))
}

async fn last_hash(session: &mut Session) -> Result<Option<String>, IndexerError> {
    let rows = session
        .query(
            "SELECT sha256 FROM archive.file ORDER BY first_event DESC LIMIT 1",
            &[],
        )
        .await?;
    Ok(rows.first().map(|row| hex::encode(row.get::<_, &[u8]>(0))))
}

/// Bytes are compressed and written beside the tasks that wait for the database.
async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
    dir: &Path,
) -> Result<T, IndexerError> {
    let done = tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| IndexerError::Broken(e.to_string()))?;
    done.map_err(|e| {
        IndexerError::Archive(format!(
            "the files of the archive can't be written to {}: {e}: nothing is lost, the span stays in the database; see archive_dir",
            dir.display()
        ))
    })
}

async fn write(
    session: &mut Session,
    spans: &Spans,
    header: Header,
    due: &[Due],
) -> Result<Sealed, IndexerError> {
    let dir = spans.dir.clone();
    let mut file = apart(move || FileWriter::create(&dir, header), &spans.dir).await?;
    for pack in due {
        let rows = session
            .query(
                "SELECT body FROM archive.pack WHERE first_event = $1",
                &[&pack.first],
            )
            .await?;
        let body: &[u8] = rows.first().map_or(&[], |row| row.get(0));
        let mut events = unpack(pack.first, pack.last, body)?.into_iter().peekable();
        while let Some(event) = events.next() {
            if event.accounts > CHUNK {
                file = large(session, spans, file, event).await?;
                continue;
            }
            let held = |event: &ArchivedEvent| event.weight().max(event.accounts.into());
            let mut updates = held(&event);
            let mut chunk = vec![event];
            while let Some(next) = events.next_if(|next| held(next) + updates <= i64::from(CHUNK)) {
                updates += held(&next);
                chunk.push(next);
            }
            read::transactions(session, &mut chunk).await?;
            let mut content = read::content(session, &chunk, |_| true).await?;
            let put = move || {
                for event in &chunk {
                    file.event(event)?;
                    for account in content.remove(&event.id).unwrap_or_default() {
                        file.account(&account)?;
                    }
                }
                Ok(file)
            };
            file = apart(put, &spans.dir).await?;
        }
        if file.raw_bytes >= spans.file_bytes {
            break;
        }
    }
    apart(move || file.finish(), &spans.dir).await
}

/// An event with more updates than are held at once.
async fn large(
    session: &mut Session,
    spans: &Spans,
    file: FileWriter,
    event: ArchivedEvent,
) -> Result<FileWriter, IndexerError> {
    let (id, slot, accounts) = (event.id, event.slot, event.accounts);
    let mut file = file;
    file = apart(move || file.event(&event).map(|()| file), &spans.dir).await?;
    for from in (0..accounts).step_by(CHUNK as usize) {
        // A parcel that begins here may end beyond: the next part begins after it.
        let sql = format!(
            "SELECT {ARCHIVED} FROM archive.account a
              WHERE a.slot = $1 AND a.bank = $2 AND a.ordinal >= $3 AND a.ordinal < $4 ORDER BY a.ordinal"
        );
        let to = from.saturating_add(CHUNK);
        let rows = session.query(&sql, &[&slot, &id, &from, &to]).await?;
        let mut part: Vec<Account> = Vec::new();
        for row in &rows {
            part.extend(state::accounts(row)?);
        }
        let put = move || {
            for account in &part {
                file.account(account)?;
            }
            Ok(file)
        };
        file = apart(put, &spans.dir).await?;
    }
    Ok(file)
}

/// Removes transactions that are in files. Says whether more may be.
pub(crate) async fn forget_filed(session: &mut Session, batch: i64) -> Result<bool, IndexerError> {
    let removed = session
        .execute(
            "DELETE FROM archive.transactions WHERE event IN (
                 SELECT event FROM archive.transactions WHERE event <= (SELECT max(last_event) FROM archive.file) ORDER BY event LIMIT $1)",
            &[&batch],
        )
        .await?;
    Ok(removed as i64 == batch)
}

/// How the database has a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attached {
    Yes,
    /// A detachment was interrupted.
    Half,
    No,
}

/// Lets go of partitions whose updates are all in files, and that nobody needs. Says how many it dropped.
pub(crate) async fn release(
    session: &mut Session,
    schema: &str,
    spans: &Spans,
) -> Result<u64, IndexerError> {
    let boundary = boundary(session, schema, spans.keep_slots).await?;
    let rows = session
        .query(
            "SELECT substr(c.relname, 9)::bigint AS epoch, i.inhdetachpending AS half
               FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid AND i.inhparent = 'archive.account'::regclass
              WHERE c.relnamespace = 'archive'::regnamespace AND c.relkind = 'r' AND c.relname ~ '^account_[0-9]{1,15}$' ORDER BY 1",
            &[],
        )
        .await?;
    let partitions = rows.iter().map(|row| {
        let attached = match row.get::<_, Option<bool>>("half") {
            Some(false) => Attached::Yes,
            Some(true) => Attached::Half,
            None => Attached::No,
        };
        (row.get::<_, i64>("epoch"), attached)
    });
    let mut dropped = 0;
    for (epoch, attached) in partitions {
        let first = epoch.saturating_mul(EPOCH_SLOTS);
        let old = first.saturating_add(EPOCH_SLOTS) <= boundary;
        // One that is detached is dropped for the reasons for which it was detached.
        if attached == Attached::Yes && !old {
            continue;
        }
        let spare = in_files(session, schema, first, spans).await?;
        if attached == Attached::Yes && !spare || !detach(session, epoch, attached).await? {
            continue;
        }
        // Whoever was writing into it when it was looked at has ended, and nobody writes into it any more.
        if !spare || is_needed(session, schema, first).await? {
            let to = first.saturating_add(EPOCH_SLOTS);
            let back = format!(
                "ALTER TABLE archive.account ATTACH PARTITION archive.account_{epoch} FOR VALUES FROM ({first}) TO ({to})"
            );
            alter(session, epoch, &back).await?;
        } else if alter(
            session,
            epoch,
            &format!("DROP TABLE archive.account_{epoch}"),
        )
        .await?
        {
            tracing::info!(epoch, "a partition of the archive is only in files now");
            dropped += 1;
        }
    }
    Ok(dropped)
}

/// Whether something of the slots of an epoch that begins here is in no file yet, or the feed or a base that waits needs it here.
async fn is_needed(session: &mut Session, schema: &str, first: i64) -> Result<bool, IndexerError> {
    let last = first.saturating_add(EPOCH_SLOTS - 1);
    let sql = format!(
        "SELECT EXISTS (SELECT FROM archive.pack WHERE last_slot >= $1 AND first_slot <= $2)
             OR EXISTS (SELECT FROM archive.event WHERE kind = 3 AND slot BETWEEN $1 AND $2)
             OR EXISTS (SELECT FROM archive.event WHERE kind = 2 AND slot BETWEEN $1 AND $2)
             OR EXISTS (SELECT FROM {schema}.head WHERE base_event IS NOT NULL AND base_slot BETWEEN $1 AND $2)
             OR EXISTS (SELECT FROM feed.entry WHERE archive_slot BETWEEN $1 AND $2)"
    );
    let rows = session.query(&sql, &[&first, &last]).await?;
    Ok(rows.first().is_none_or(|row| row.get(0)))
}

/// Every update of the epoch's slots is in a file that is there, and neither the feed nor a base that waits needs them here.
async fn in_files(
    session: &mut Session,
    schema: &str,
    first: i64,
    spans: &Spans,
) -> Result<bool, IndexerError> {
    if is_needed(session, schema, first).await? {
        return Ok(false);
    }
    let last = first.saturating_add(EPOCH_SLOTS - 1);
    let touches = |file: &Listed| {
        file.first_slot.is_some_and(|slot| slot <= last)
            && file.last_slot.is_some_and(|slot| slot >= first)
    };
    for listed in manifest::list(session).await?.iter().filter(|f| touches(f)) {
        let dir = spans.dir.clone();
        let found = listed.clone();
        let state = tokio::task::spawn_blocking(move || found.look(&dir))
            .await
            .map_err(|e| IndexerError::Broken(e.to_string()))?;
        if state != FileState::Good {
            listed.demand(&spans.dir, state)?;
        }
    }
    Ok(true)
}

/// Takes a partition out of the table without making anybody wait; who reads it may go on. `false`: somebody reads for too long,
/// and it is tried again.
async fn detach(
    session: &mut Session,
    epoch: i64,
    attached: Attached,
) -> Result<bool, IndexerError> {
    let how = match attached {
        Attached::No => return Ok(true),
        Attached::Yes => "CONCURRENTLY",
        Attached::Half => "FINALIZE",
    };
    session.batch("SET statement_timeout = '20s'").await?;
    let sql = format!("ALTER TABLE archive.account DETACH PARTITION archive.account_{epoch} {how}");
    let done = session.batch(&sql).await;
    session.batch("RESET statement_timeout").await?;
    waited(done)
}

/// Drops a detached partition or attaches it again, if it still is one.
async fn alter(session: &mut Session, epoch: i64, sql: &str) -> Result<bool, IndexerError> {
    session
        .batch("BEGIN; SET LOCAL lock_timeout = '1s'")
        .await?;
    let done = alter_locked(session, epoch, sql).await;
    match &done {
        Ok(true) => session.batch("COMMIT").await?,
        _ => session.rollback().await,
    }
    match done {
        Ok(altered) => Ok(altered),
        Err(e) => waited(Err(e)),
    }
}

async fn alter_locked(session: &mut Session, epoch: i64, sql: &str) -> Result<bool, IndexerError> {
    let table = format!("archive.account_{epoch}");
    session
        .batch(&format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))
        .await?;
    let rows = session
        .query(
            "SELECT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = to_regclass($1))",
            &[&table],
        )
        .await?;
    // The writer attached it again for a block that came late.
    if rows.first().is_none_or(|row| row.get(0)) {
        return Ok(false);
    }
    session.batch(sql).await?;
    Ok(true)
}

/// Tells what is only busy from what fails.
fn waited(done: Result<(), IndexerError>) -> Result<bool, IndexerError> {
    match done {
        Ok(()) => Ok(true),
        Err(e) if e.is_busy() => Ok(false),
        Err(e) => Err(e),
    }
}
