//! Reads the archive from any event on, in order: the files first, then packs, then rows. Every event comes from one place, whatever is
//! in two.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use mythic_interface::state::Key;

use super::event::{ArchivedEvent, COLUMNS, Content};
use super::file::FileReader;
use super::manifest::{self, Listed};
use super::pack::unpack;
use crate::db::Session;
use crate::error::IndexerError;
use crate::holder::Input;
use crate::plan::kind;
use crate::projection::{ARCHIVED, Account, PARCEL_UPDATES, PLACE, Parcels};
use crate::state;

/// Account updates read at once.
const CHUNK_UPDATES: i64 = 50_000;
/// Events read at once.
const CHUNK_EVENTS: usize = 2_000;

/// A reader of the whole archive.
pub(crate) struct Reader {
    session: Session,
    dir: Option<PathBuf>,
    open: Option<Open>,
}

/// The file that is read.
struct Open {
    file: FileReader,
    path: PathBuf,
    /// The event that it gives next.
    next: i64,
}

impl Open {
    fn failed(&self, e: &std::io::Error) -> IndexerError {
        IndexerError::Archive(format!("{}: {e}", self.path.display()))
    }

    fn event(&mut self) -> Result<Option<ArchivedEvent>, IndexerError> {
        let event = self.file.event().map_err(|e| self.failed(&e))?;
        if let Some(event) = &event {
            self.next = event.id + 1;
        }
        Ok(event)
    }

    fn accounts(&mut self) -> Result<Vec<Account>, IndexerError> {
        let mut accounts = Vec::new();
        while let Some(account) = self.file.account().map_err(|e| self.failed(&e))? {
            accounts.push(account);
        }
        Ok(accounts)
    }
}

impl Reader {
    /// Looks at every file first: a rebuild ends before it begins if one is missing or damaged.
    pub async fn open(
        database_url: &str,
        name: &str,
        dir: Option<&Path>,
    ) -> Result<Self, IndexerError> {
        let mut session = Session::open(database_url, name).await?;
        manifest::check(&manifest::list(&mut session).await?, dir)?;
        Ok(Self {
            session,
            dir: dir.map(Path::to_path_buf),
            open: None,
        })
    }

    /// What follows from event `from` on, as much as is read at once; nothing at the end of the log.
    pub async fn inputs(&mut self, from: i64) -> Result<Vec<(i64, Input)>, IndexerError> {
        let at = |open: &Open| open.next == from && from <= open.file.header.last_event;
        if !self.open.as_ref().is_some_and(at) {
            self.open = None;
            // One state of the database: what a file takes over meanwhile is still here. The lock comes before the state, so that no
            // partition goes between them.
            self.session
                .batch(
                    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; LOCK TABLE archive.account IN ACCESS SHARE MODE",
                )
                .await?;
            let found = self.in_database(from).await;
            self.session.rollback().await;
            match found? {
                Found::Inputs(inputs) => return Ok(inputs),
                Found::File(listed) => self.turn_to(&listed, from)?,
            }
        }
        self.in_file()
    }

    async fn in_database(&mut self, from: i64) -> Result<Found, IndexerError> {
        let files = manifest::list(&mut self.session).await?;
        let holds = |file: &Listed| (file.first_event..=file.last_event).contains(&from);
        if let Some(listed) = files.into_iter().find(holds) {
            return Ok(Found::File(listed));
        }
        let session = &mut self.session;
        let mut events = events(session, from).await?;
        if let Some(first) = events.first().filter(|event| event.id != from) {
            return Err(IndexerError::Archive(format!(
                "events {from} to {} are neither in a file nor in the database: restore schema archive from a backup",
                first.id - 1
            )));
        }
        let mut updates = 0;
        let fitting = events.iter().take_while(|event| {
            let fits = updates == 0 || updates < CHUNK_UPDATES;
            updates += event.weight();
            fits
        });
        let count = fitting.count();
        events.truncate(count);
        transactions(session, &mut events).await?;
        let mut content = content(session, &events, |event| event.kind != kind::BASE).await?;
        let inputs = events.into_iter().map(|event| {
            let id = event.id;
            let accounts = content.remove(&id).unwrap_or_default();
            Ok((id, event.input(accounts)?))
        });
        inputs
            .collect::<Result<_, IndexerError>>()
            .map(Found::Inputs)
    }

    fn turn_to(&mut self, listed: &Listed, from: i64) -> Result<(), IndexerError> {
        let mut open = open(listed, self.dir.as_deref())?;
        while open.next < from {
            open.event()?;
        }
        self.open = Some(open);
        Ok(())
    }

    fn in_file(&mut self) -> Result<Vec<(i64, Input)>, IndexerError> {
        let Some(open) = &mut self.open else {
            return Ok(Vec::new());
        };
        let (mut inputs, mut updates) = (Vec::new(), 0);
        while inputs.len() < CHUNK_EVENTS && updates < CHUNK_UPDATES {
            let Some(event) = open.event()? else {
                break;
            };
            updates += event.weight();
            let accounts = match event.kind {
                kind::BASE => Vec::new(),
                _ => open.accounts()?,
            };
            inputs.push((event.id, event.input(accounts)?));
        }
        Ok(inputs)
    }
}

enum Found {
    Inputs(Vec<(i64, Input)>),
    File(Listed),
}

fn open(listed: &Listed, dir: Option<&Path>) -> Result<Open, IndexerError> {
    // What was listed since the reader looked at all files.
    manifest::check(&[], dir)?;
    let dir = dir.ok_or_else(|| {
        IndexerError::Archive(format!(
            "event {} is in a file: say where the files lie (archive_dir)",
            listed.first_event
        ))
    })?;
    listed.demand(dir, listed.look(dir))?;
    let path = listed.path(dir);
    let file = FileReader::open(&path)
        .map_err(|e| IndexerError::Archive(format!("{}: {e}", path.display())))?;
    Ok(Open {
        next: file.header.first_event,
        file,
        path,
    })
}

/// The events from `from` on that a pack holds, or the table.
async fn events(session: &mut Session, from: i64) -> Result<Vec<ArchivedEvent>, IndexerError> {
    let pack = session
        .query(
            "SELECT first_event, last_event, body FROM archive.pack WHERE first_event <= $1 AND last_event >= $1",
            &[&from],
        )
        .await?;
    if let Some(row) = pack.first() {
        let (first, last) = (row.get("first_event"), row.get("last_event"));
        let mut events = unpack(first, last, row.get("body"))?;
        events.retain(|event| event.id >= from);
        return Ok(events);
    }
    let sql = format!(
        "SELECT {COLUMNS} FROM archive.event WHERE id >= $1 ORDER BY id LIMIT {CHUNK_EVENTS}"
    );
    let rows = session.query(&sql, &[&from]).await?;
    Ok(rows.iter().map(ArchivedEvent::of).collect())
}

/// Adds the transactions of those events that have some, and are in the database.
pub(super) async fn transactions(
    session: &mut Session,
    events: &mut [ArchivedEvent],
) -> Result<(), IndexerError> {
    let calls = events.iter().filter(|event| event.kind == kind::CALLS);
    let ids: Vec<i64> = calls.map(|event| event.id).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let found = session
        .query(
            "SELECT event, body FROM archive.transactions WHERE event = ANY($1)",
            &[&ids],
        )
        .await?;
    let mut bodies: HashMap<i64, Vec<u8>> =
        found.iter().map(|row| (row.get(0), row.get(1))).collect();
    for event in events {
        event.body = bodies.remove(&event.id).unwrap_or_default();
    }
    Ok(())
}

/// The account updates of events that are in the database.
pub(super) async fn content(
    session: &mut Session,
    events: &[ArchivedEvent],
    wanted: impl Fn(&ArchivedEvent) -> bool,
) -> Result<Content, IndexerError> {
    let with_content: Vec<&ArchivedEvent> = events
        .iter()
        .filter(|e| e.accounts > 0 && wanted(e))
        .collect();
    let banks: Vec<i64> = with_content.iter().map(|event| event.id).collect();
    let slots = || with_content.iter().map(|event| event.slot);
    let (Some(low), Some(high)) = (slots().min(), slots().max()) else {
        return Ok(Content::new());
    };
    let sql = format!(
        "SELECT a.bank, {ARCHIVED} FROM archive.account a
          WHERE a.slot BETWEEN $1 AND $2 AND a.bank = ANY($3) ORDER BY a.bank, a.ordinal"
    );
    let found = session.query(&sql, &[&low, &high, &banks]).await?;
    let mut accounts = Content::new();
    for row in &found {
        let of_bank = accounts.entry(row.get("bank")).or_default();
        of_bank.extend(state::accounts(row)?);
    }
    Ok(accounts)
}

/// The file that holds an event, opened at it, if one does.
async fn file_at(
    session: &mut Session,
    dir: Option<&Path>,
    event: i64,
) -> Result<Option<Open>, IndexerError> {
    let files = manifest::list(session).await?;
    let holds = |file: &&Listed| (file.first_event..=file.last_event).contains(&event);
    let Some(listed) = files.iter().find(holds) else {
        return Ok(None);
    };
    let mut open = open(listed, dir)?;
    while open.next <= event {
        if open.event()?.is_none() {
            break;
        }
    }
    Ok(Some(open))
}

/// The accounts of a base, part by part, inside the caller's transaction.
pub(crate) struct BaseParts {
    from: BaseSource,
    /// Place of the next account in it.
    next: i32,
}

enum BaseSource {
    File(Box<Open>),
    /// A cursor of the session.
    Cursor,
}

/// Accounts of a base that are read at once, about.
const PART: usize = 10_000;

impl BaseParts {
    /// Of event `event`, archived under `slot`.
    pub async fn open(
        session: &mut Session,
        dir: Option<&Path>,
        (event, slot): (i64, i64),
    ) -> Result<Self, IndexerError> {
        let from = match file_at(session, dir, event).await? {
            Some(open) => BaseSource::File(Box::new(open)),
            None => {
                session
                    .batch(&format!(
                        "DECLARE base_part NO SCROLL CURSOR FOR
                         SELECT {ARCHIVED} FROM archive.account a WHERE a.slot = {slot} AND a.bank = {event}"
                    ))
                    .await?;
                BaseSource::Cursor
            }
        };
        Ok(Self { from, next: 0 })
    }

    /// The next accounts, with their places; none at the end.
    pub async fn next(
        &mut self,
        session: &mut Session,
    ) -> Result<Vec<(i32, Account)>, IndexerError> {
        let mut part = Vec::new();
        match &mut self.from {
            BaseSource::File(open) => {
                while part.len() < PART
                    && let Some(account) = open.file.account().map_err(|e| open.failed(&e))?
                {
                    part.push((self.next, account));
                    self.next += 1;
                }
            }
            BaseSource::Cursor => {
                let sql = format!("FETCH {} FROM base_part", PART / PARCEL_UPDATES);
                for row in &session.query(&sql, &[]).await? {
                    let first: i32 = row.get("first");
                    part.extend((first..).zip(state::accounts(row)?));
                }
                if part.is_empty() {
                    session.batch("CLOSE base_part").await?;
                }
            }
        }
        Ok(part)
    }
}

/// Which of some accounts a base (event `event`, archived under `slot`) has.
pub(crate) async fn base_has(
    session: &mut Session,
    dir: Option<&Path>,
    (event, slot): (i64, i64),
    wanted: &[Vec<u8>],
) -> Result<HashSet<Key>, IndexerError> {
    let mut found = HashSet::new();
    if let Some(mut open) = file_at(session, dir, event).await? {
        let wanted: HashSet<&[u8]> = wanted.iter().map(Vec::as_slice).collect();
        while let Some(account) = open.file.account().map_err(|e| open.failed(&e))? {
            if wanted.contains(&account.pubkey[..]) {
                found.insert(account.pubkey);
            }
        }
        return Ok(found);
    }
    let rows = session
        .query(
            "SELECT DISTINCT k.key FROM archive.account a
              CROSS JOIN LATERAL (SELECT a.pubkey AS key WHERE a.updates IS NULL
                                  UNION ALL SELECT substr(a.keys, 32 * n + 1, 32) FROM generate_series(0, a.updates - 1) n) k
              WHERE a.slot = $1 AND a.bank = $2 AND k.key IN (SELECT unnest($3::bytea[]))",
            &[&slot, &event, &wanted],
        )
        .await?;
    for row in &rows {
        found.extend(Key::try_from(row.get::<_, &[u8]>(0)).ok());
    }
    Ok(found)
}

/// An archived account update, wherever it lies now: that of a bank or base, at its place in it.
pub async fn archived_update(
    database_url: &str,
    dir: &Path,
    bank: i64,
    ordinal: u32,
) -> Result<Option<Account>, IndexerError> {
    let mut session = Session::open(database_url, "mythic archive").await?;
    if let Some(mut open) = file_at(&mut session, Some(dir), bank).await? {
        for _ in 0..ordinal {
            open.file.account().map_err(|e| open.failed(&e))?;
        }
        return open.file.account().map_err(|e| open.failed(&e));
    }
    let found = events(&mut session, bank).await?;
    let Some(event) = found.first().filter(|event| event.id == bank) else {
        return Ok(None);
    };
    let ordinal = i32::try_from(ordinal).unwrap_or(i32::MAX);
    let sql = format!(
        "SELECT e.bank, e.ordinal, {ARCHIVED} FROM (VALUES ($1::bigint, $2::bigint, $3::integer)) e(archive_slot, bank, ordinal)
           JOIN archive.account a ON {PLACE}"
    );
    let rows = session.query(&sql, &[&event.slot, &bank, &ordinal]).await?;
    let mut parcels = Parcels::default();
    let found = rows.first().map(|row| parcels.update(row).cloned());
    found
        .transpose()
        .map_err(|e| IndexerError::Broken(e.to_string()))
}
