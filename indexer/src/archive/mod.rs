//! The archive: every event that decided anything, in order, and the account updates of every block. What is new lies in tables
//! ([`event`]); what is older is packed ([`pack`]); spans that are older than the retention lie in files ([`file`], listed by
//! [`manifest`]), and their partitions are gone ([`span`]). [`read`] gives all of it in order, as a rebuild needs it.

mod codec;
mod event;
mod file;
mod manifest;
mod pack;
mod read;
mod span;

pub use file::Header;
pub use manifest::{FileReport, FileState, archive_files};
pub(crate) use pack::pack;
pub use read::archived_update;
pub(crate) use read::{BaseParts, Reader, base_has};
pub(crate) use span::{Spans, file_span, forget_filed, release};

use crate::db::Session;
use crate::error::IndexerError;

/// The newest event that is in a pack or a file; 0 if none is.
async fn packed(session: &mut Session) -> Result<i64, IndexerError> {
    let rows = session
        .query(
            "SELECT greatest((SELECT max(last_event) FROM archive.pack), (SELECT max(last_event) FROM archive.file), 0)",
            &[],
        )
        .await?;
    Ok(rows.first().map_or(0, |row| row.get(0)))
}

/// The newest event that is in a file; 0 if none is.
async fn filed(session: &mut Session) -> Result<i64, IndexerError> {
    let rows = session
        .query("SELECT COALESCE(max(last_event), 0) FROM archive.file", &[])
        .await?;
    Ok(rows.first().map_or(0, |row| row.get(0)))
}
