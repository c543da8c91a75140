//! What a calibration computed so far, a JSON line for each answer, so that it goes on where it was
//! broken off. A torn last line is dropped.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::cheats::{Answer, Values};

/// An answer and the checker's values for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub writer: String,
    /// The job's index.
    pub job: usize,
    pub answer: Answer,
    /// The writer's own log-sum-exp of each position, bits of an f32.
    pub log_sum_exp_bits: Vec<u32>,
    pub checked: Values,
}

/// An open file of entries.
pub struct Journal {
    file: File,
    entries: BTreeMap<(String, usize), Entry>,
}

impl Journal {
    /// Reads what is there and goes on behind it.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let mut entries = BTreeMap::new();
        let mut whole = 0;
        let mut reader = BufReader::new(&file);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line)?;
            if read == 0 || line.last() != Some(&b'\n') {
                break;
            }
            let Ok(entry) = serde_json::from_slice::<Entry>(&line) else {
                break;
            };
            whole += read as u64;
            entries.insert((entry.writer.clone(), entry.job), entry);
        }
        file.set_len(whole)?;
        file.seek(SeekFrom::Start(whole))?;
        Ok(Self { file, entries })
    }

    /// Keeps an entry.
    pub fn append(&mut self, entry: Entry) -> std::io::Result<()> {
        let mut line = serde_json::to_vec(&entry)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.entries
            .insert((entry.writer.clone(), entry.job), entry);
        Ok(())
    }

    /// The entry of that writer and job.
    pub fn get(&self, writer: &str, job: usize) -> Option<&Entry> {
        self.entries.get(&(writer.to_owned(), job))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_there_after_a_torn_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("entries.jsonl");
        let entry = |job| Entry {
            writer: "this engine".into(),
            job,
            answer: Answer {
                ids: vec![5],
                leaves: vec![[(5, -7), (6, -8), (7, -9), (8, -10)]],
            },
            log_sum_exp_bits: Vec::new(),
            checked: Values::default(),
        };
        let mut journal = Journal::open(&path).unwrap();
        journal.append(entry(0)).unwrap();
        journal.append(entry(1)).unwrap();
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 9]).unwrap();
        let mut journal = Journal::open(&path).unwrap();
        assert_eq!(journal.get("this engine", 0), Some(&entry(0)));
        assert_eq!(journal.get("this engine", 1), None);
        journal.append(entry(1)).unwrap();
        drop(journal);
        assert_eq!(std::fs::read(&path).unwrap(), whole);
    }
}
