//! The spool's directories and files are for their owner alone: whoever reads them knows the run, which is what tells a frame from
//! bytes that somebody put into an account.

use super::{error::SpoolError, records::Ack};
use std::{
    fs::{self, Metadata, Permissions},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::Path,
};

/// What lies in a spool, beside its segments.
const NAMES: [&str; 7] = [
    "lock",
    "durable",
    "acks",
    "tracked",
    "tracked.new",
    "spill",
    "forwarded",
];

/// Makes the spool's directory and that of the acknowledgements, or closes those that are there to others.
pub(crate) fn make(dir: &Path) -> Result<(), SpoolError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(Ack::dir(dir))
        .map_err(SpoolError::io(dir))?;
    usable(dir)?;
    close(dir, 0o700)?;
    close(&Ack::dir(dir), 0o700)
}

/// Why a directory that is there is refused as a spool, without changing anything: it is open to others and holds other things too.
pub fn usable(dir: &Path) -> Result<(), SpoolError> {
    let mode = mode(&fs::metadata(dir).map_err(SpoolError::io(dir))?);
    if mode & 0o077 != 0
        && let Some(stranger) = stranger(dir)?
    {
        // It may be /tmp: nobody wants that closed.
        return Err(SpoolError::Shared {
            path: dir.into(),
            mode,
            stranger,
        });
    }
    Ok(())
}

/// Closes the files that an earlier version may have left open to others.
pub(crate) fn close_files(dir: &Path) -> Result<(), SpoolError> {
    for folder in [dir.to_path_buf(), Ack::dir(dir)] {
        for entry in fs::read_dir(&folder).map_err(SpoolError::io(&folder))? {
            let entry = entry.map_err(SpoolError::io(&folder))?;
            // Readers come and go: what is gone needs no closing.
            if entry.file_type().is_ok_and(|kind| kind.is_file()) {
                close(&entry.path(), 0o600)?;
            }
        }
    }
    Ok(())
}

fn close(path: &Path, to: u32) -> Result<(), SpoolError> {
    match fs::metadata(path) {
        Ok(meta) if mode(&meta) & 0o077 != 0 => {
            fs::set_permissions(path, Permissions::from_mode(to)).map_err(SpoolError::io(path))
        }
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(SpoolError::io(path)(e)),
        _ => Ok(()),
    }
}

/// A name in `dir` that no spool has.
fn stranger(dir: &Path) -> Result<Option<String>, SpoolError> {
    let entries = fs::read_dir(dir).map_err(SpoolError::io(dir))?;
    let names = entries.flatten().map(|entry| entry.file_name());
    Ok(names
        .map(|name| name.to_string_lossy().into_owned())
        .find(|name| !NAMES.contains(&name.as_str()) && !name.ends_with(".seg")))
}

fn mode(meta: &Metadata) -> u32 {
    meta.permissions().mode() & 0o777
}
