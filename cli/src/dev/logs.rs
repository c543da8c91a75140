//! Logs that do not grow for ever: one that is too large becomes `NAME.log.1`, and the one before that goes.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

/// Largest log, bytes.
const MOST: u64 = 16 << 20;
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Watches these logs until it is dropped with its task.
pub async fn keep(logs: Vec<PathBuf>) {
    loop {
        for log in &logs {
            if let Err(error) = rotate(log, MOST) {
                tracing::warn!(log = %log.display(), "its log can't be rotated: {error}");
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Moves a log's content away if it has more than `most` bytes. Its writer keeps the file, which must be open for appending.
fn rotate(log: &Path, most: u64) -> io::Result<bool> {
    match std::fs::metadata(log) {
        Ok(meta) if meta.len() > most => {}
        Ok(_) => return Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    }
    let draft = log.with_extension("log.new");
    std::fs::copy(log, &draft)?;
    std::fs::rename(&draft, log.with_extension("log.1"))?;
    std::fs::OpenOptions::new()
        .write(true)
        .open(log)?
        .set_len(0)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_log_that_is_too_large_starts_anew_and_one_former_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node-1.log");
        assert!(!rotate(&path, 10).unwrap());
        let mut log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .unwrap();
        for (text, rotated) in [
            ("0123456789", false),
            ("first", true),
            ("second one", false),
            ("!", true),
        ] {
            log.write_all(text.as_bytes()).unwrap();
            assert_eq!(rotate(&path, 10).unwrap(), rotated, "{text}");
        }
        log.write_all(b"third").unwrap();
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(read("node-1.log"), "third");
        assert_eq!(read("node-1.log.1"), "second one!");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
