//! Which files the archive has, as the database lists them, and whether they are there.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::file::{self, Sealed};
use crate::db::Session;
use crate::error::IndexerError;

/// A file as `archive.file` lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub first_event: i64,
    pub last_event: i64,
    pub first_slot: Option<i64>,
    pub last_slot: Option<i64>,
    pub events: i64,
    pub updates: i64,
    pub bytes: i64,
    pub sha256: Vec<u8>,
    /// Hash of the file before it.
    pub previous: Option<Vec<u8>>,
}

/// What can be said against a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state", content = "why")]
pub enum FileState {
    /// It is there, with the listed size (listing), or with every byte as it was written (verifying).
    Good,
    Missing,
    Damaged(String),
}

/// A file of the archive, and how it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileReport {
    pub path: PathBuf,
    pub first_event: i64,
    pub last_event: i64,
    pub first_slot: Option<i64>,
    pub last_slot: Option<i64>,
    pub events: i64,
    pub updates: i64,
    pub bytes: i64,
    /// Hex.
    pub sha256: String,
    #[serde(flatten)]
    pub state: FileState,
}

/// All files, oldest first.
pub(super) async fn list(session: &mut Session) -> Result<Vec<Listed>, IndexerError> {
    let rows = session
        .query("SELECT * FROM archive.file ORDER BY first_event", &[])
        .await?;
    Ok(rows
        .iter()
        .map(|row| Listed {
            first_event: row.get("first_event"),
            last_event: row.get("last_event"),
            first_slot: row.get("first_slot"),
            last_slot: row.get("last_slot"),
            events: row.get("events"),
            updates: row.get("updates"),
            bytes: row.get("bytes"),
            sha256: row.get("sha256"),
            previous: row.get("previous"),
        })
        .collect())
}

/// Lists a file. The caller's transaction removes what the file holds now.
pub(super) async fn add(session: &mut Session, sealed: &Sealed) -> Result<(), IndexerError> {
    let header = &sealed.header;
    let previous = header.previous.as_ref().map(hex::decode).transpose();
    let previous = previous.map_err(|e| IndexerError::Broken(e.to_string()))?;
    let (events, updates) = (header.events as i64, header.updates as i64);
    session
        .execute(
            "INSERT INTO archive.file (first_event, last_event, first_slot, last_slot, events, updates, bytes, sha256, previous)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            &[
                &header.first_event,
                &header.last_event,
                &header.first_slot,
                &header.last_slot,
                &events,
                &updates,
                &(sealed.bytes as i64),
                &&sealed.sha256[..],
                &previous,
            ],
        )
        .await?;
    Ok(())
}

impl Listed {
    pub fn path(&self, dir: &Path) -> PathBuf {
        dir.join(file::name(self.first_event))
    }

    /// Looks whether the file is there, with its size.
    pub(super) fn look(&self, dir: &Path) -> FileState {
        match std::fs::metadata(self.path(dir)) {
            Ok(found) if found.len() as i64 == self.bytes => FileState::Good,
            Ok(found) => {
                FileState::Damaged(format!("it has {} bytes, not {}", found.len(), self.bytes))
            }
            Err(e) => unreadable(&e),
        }
    }

    /// Compares the bytes with those that were written.
    pub(super) fn compare(&self, dir: &Path) -> FileState {
        match file::hash(&self.path(dir)) {
            Ok((_, found)) if found[..] == self.sha256[..] => FileState::Good,
            Ok((_, found)) => FileState::Damaged(format!("its SHA-256 is {}", hex::encode(found))),
            Err(e) => unreadable(&e),
        }
    }

    /// Reads every record too.
    fn verify(&self, dir: &Path) -> FileState {
        match self.compare(dir) {
            FileState::Good => match file::verify(&self.path(dir)) {
                Ok(_) => FileState::Good,
                Err(e) => FileState::Damaged(e.to_string()),
            },
            other => other,
        }
    }

    /// An error that says what to do, unless the file is good.
    pub(super) fn demand(&self, dir: &Path, state: FileState) -> Result<(), IndexerError> {
        let (what, sha) = match state {
            FileState::Good => return Ok(()),
            FileState::Missing => ("is missing".to_owned(), &self.sha256),
            FileState::Damaged(why) => (format!("is damaged: {why}"), &self.sha256),
        };
        Err(IndexerError::Archive(format!(
            "{} {what}. It holds events {} to {}, which are nowhere else: put back a copy of it with SHA-256 {}, or set archive_dir to \
             where the files lie; `mythic indexer archive --verify` looks at all of them",
            self.path(dir).display(),
            self.first_event,
            self.last_event,
            hex::encode(sha)
        )))
    }
}

fn unreadable(error: &io::Error) -> FileState {
    match error.kind() {
        io::ErrorKind::NotFound => FileState::Missing,
        _ => FileState::Damaged(error.to_string()),
    }
}

/// Refuses a list whose files do not follow each other, or are not in `dir` as they were written.
pub(super) fn check(files: &[Listed], dir: Option<&Path>) -> Result<(), IndexerError> {
    let Some(dir) = dir else {
        return match files {
            [] => Ok(()),
            [first, ..] => Err(IndexerError::Archive(format!(
                "events {} to {} are in files: say where they lie (archive_dir)",
                first.first_event,
                files.last().unwrap_or(first).last_event
            ))),
        };
    };
    let mut before: Option<&Listed> = None;
    for listed in files {
        let follows = match before {
            Some(before) => {
                listed.first_event == before.last_event + 1
                    && listed.previous.as_ref() == Some(&before.sha256)
            }
            None => listed.previous.is_none(),
        };
        if !follows {
            return Err(IndexerError::Archive(format!(
                "{} does not follow the file before it in archive.file: restore that table from a backup",
                listed.path(dir).display()
            )));
        }
        listed.demand(dir, listed.compare(dir))?;
        before = Some(listed);
    }
    Ok(())
}

/// The files of the archive and how they are; `verify` reads every byte of them.
pub async fn archive_files(
    database_url: &str,
    dir: &Path,
    verify: bool,
) -> Result<Vec<FileReport>, IndexerError> {
    let mut session = Session::open(database_url, "mythic archive").await?;
    let files = list(&mut session).await?;
    let report = |listed: Listed| FileReport {
        path: listed.path(dir),
        first_event: listed.first_event,
        last_event: listed.last_event,
        first_slot: listed.first_slot,
        last_slot: listed.last_slot,
        events: listed.events,
        updates: listed.updates,
        bytes: listed.bytes,
        sha256: hex::encode(&listed.sha256),
        state: match verify {
            true => listed.verify(dir),
            false => listed.look(dir),
        },
    };
    Ok(files.into_iter().map(report).collect())
}
