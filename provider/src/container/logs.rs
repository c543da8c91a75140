//! What a container's command writes: a file on its own disk, so that it goes on while this process does not run, and two pieces of it at
//! most.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::sync::mpsc;

/// Bytes of a piece. The piece before it is kept too.
const PIECE: u64 = 4 << 20;
/// Bytes that are read at once, and reads that wait to be taken.
const CHUNK: usize = 16 << 10;
const WAITING: usize = 16;
/// How often one that is followed is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A container's log.
#[derive(Debug, Clone)]
pub struct Log(pub PathBuf);

impl Log {
    /// For the command to write to.
    pub fn open(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.create(true).append(true).mode(0o600);
        options.open(&self.0)
    }

    /// Puts a line of the provider's into it.
    pub fn remark(&self, line: &str) -> io::Result<()> {
        writeln!(self.open()?, "[mythic] {line}")
    }

    fn before(&self) -> PathBuf {
        self.0.with_extension("before")
    }

    /// Begins another piece once one is full. The command goes on writing to the same file, from its beginning.
    pub fn turn(&self) -> io::Result<()> {
        let length = match fs::metadata(&self.0) {
            Ok(found) => found.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        if length <= PIECE {
            return Ok(());
        }
        let kept = copied(&self.0, &self.before(), length);
        OpenOptions::new().write(true).open(&self.0)?.set_len(0)?;
        match kept {
            // On a disk that is full nothing is kept of it.
            Err(_) => match fs::remove_file(self.before()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
            Ok(()) => Ok(()),
        }
    }

    /// All that is kept, the oldest first; and what comes, if `follow`, until nobody reads.
    pub fn read(&self, follow: bool) -> mpsc::Receiver<Vec<u8>> {
        let (told, read) = mpsc::channel(WAITING);
        let log = self.clone();
        tokio::spawn(async move {
            let before = log.before();
            let mut place = 0;
            while let Some(chunk) = chunk(&before, &mut place) {
                if told.send(chunk).await.is_err() {
                    return;
                }
            }
            let mut place = 0;
            loop {
                match chunk(&log.0, &mut place) {
                    Some(chunk) => {
                        if told.send(chunk).await.is_err() {
                            return;
                        }
                    }
                    None if follow => tokio::select! {
                        () = told.closed() => return,
                        () = tokio::time::sleep(LOOK_EVERY) => {}
                    },
                    None => return,
                }
            }
        });
        read
    }
}

/// The last `PIECE` of a file that may grow.
fn copied(from: &Path, to: &Path, length: u64) -> io::Result<()> {
    let mut from = File::open(from)?;
    from.seek(SeekFrom::Start(length.saturating_sub(PIECE)))?;
    let mut options = OpenOptions::new();
    let options = options.create(true).truncate(true).write(true).mode(0o600);
    let mut to = options.open(to)?;
    io::copy(&mut from.take(PIECE), &mut to).map(drop)
}

/// What is in a file from a place on, which moves behind it. A file that became shorter is another one.
fn chunk(path: &Path, place: &mut u64) -> Option<Vec<u8>> {
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    if length < *place {
        *place = 0;
    }
    file.seek(SeekFrom::Start(*place)).ok()?;
    let mut bytes = Vec::new();
    file.take(CHUNK as u64).read_to_end(&mut bytes).ok()?;
    *place += bytes.len() as u64;
    (!bytes.is_empty()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(mut read: mpsc::Receiver<Vec<u8>>) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(chunk) = read.recv().await {
            all.extend(chunk);
        }
        all
    }

    #[tokio::test]
    async fn two_pieces_are_kept_and_the_command_writes_on() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log(dir.path().join("log"));
        log.turn().unwrap();
        let mut command = log.open().unwrap();
        let piece = vec![b'a'; PIECE as usize + 10];
        for _ in 0..3 {
            command.write_all(&piece).unwrap();
            log.turn().unwrap();
        }
        command.write_all(b"end\n").unwrap();
        log.remark("told").unwrap();
        let kept = all(log.read(false)).await;
        assert_eq!(kept.len() as u64, PIECE + 4 + 14);
        assert!(kept.ends_with(b"aend\n[mythic] told\n"));
    }

    #[tokio::test]
    async fn who_follows_is_told_what_comes() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log(dir.path().join("log"));
        let mut read = log.read(true);
        log.remark("one").unwrap();
        assert_eq!(read.recv().await.unwrap(), b"[mythic] one\n");
        log.remark("two").unwrap();
        assert_eq!(read.recv().await.unwrap(), b"[mythic] two\n");
    }
}
