//! What validator, plugin and indexer use while the plugin comes and goes: it must not become more and more.

use anyhow::{Context, Result, ensure};
use mythic_e2e::Network;
use std::{fs, path::Path};

/// The plugin's thread that writes the spool.
const DRAIN: &str = "mythicDrain";
/// Most segments of the spool: that which is written, that of the plugin before, and those of one round that are not read yet.
const SEGMENTS: usize = 6;
/// Most bytes of the spool: segments of 64 MiB.
const SPOOL: u64 = 256 << 20;
/// Most MiB that the ledger becomes longer: it holds all blocks of the cluster, and two snapshots.
const LEDGER: u64 = 8 << 10;

/// What is used at a moment.
#[derive(Debug)]
pub struct Usage {
    /// Resident, MiB.
    validator: u64,
    indexer: u64,
    /// Open files and sockets of the validator that are none of its ledger, and of the indexer.
    files: [usize; 2],
    /// Segments of the spool, and bytes of all that lies there.
    segments: usize,
    spool: u64,
    /// MiB of the validator's ledger, snapshots and all.
    ledger: u64,
}

impl Usage {
    pub fn now(network: &Network) -> Result<Self> {
        let (validator, indexer) = (pid(network, "chain")?, pid(network, "indexer")?);
        let spool = files(&network.data_dir().join("spool"))?;
        let segments = spool.iter().filter(|(name, _)| name.ends_with(".seg"));
        let dir = network.data_dir().join("chain/ledger").canonicalize()?;
        let ledger = files(&dir)?;
        Ok(Self {
            validator: resident(validator)?,
            indexer: resident(indexer)?,
            files: [open(validator, &dir)?, open(indexer, &dir)?],
            segments: segments.count(),
            spool: bytes(&spool),
            ledger: bytes(&ledger) >> 20,
        })
    }

    /// Whether this is about what was used at `first`, a round that has warmed up everything. A validator's own memory grows with its
    /// young ledger: only what would be a leak of every round is told from that.
    pub fn is_bounded_by(&self, first: &Self) -> Result<()> {
        let more = |now: u64, then: u64, spare: u64| now > then + then / 2 + spare;
        let mut files = self.files.iter().zip(&first.files);
        ensure!(
            !more(self.indexer, first.indexer, 64)
                && !more(self.validator, first.validator, 4096)
                && files.all(|(now, then)| *now <= then + 64)
                && self.segments <= SEGMENTS
                && self.spool <= SPOOL
                && self.ledger <= first.ledger + LEDGER,
            "it uses more and more: {first:?} became {self:?}"
        );
        Ok(())
    }
}

/// How many of the plugin's threads the validator has.
pub fn drains(network: &Network) -> Result<usize> {
    let tasks = fs::read_dir(format!("/proc/{}/task", pid(network, "chain")?))?;
    let name = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm")).ok();
    let names = tasks.flatten().filter_map(name);
    Ok(names.filter(|name| name.trim() == DRAIN).count())
}

fn pid(network: &Network, process: &str) -> Result<i32> {
    let pid = network.pid(process);
    pid.with_context(|| format!("{process} does not run"))
}

/// MiB in memory.
pub fn resident(pid: i32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024)
}

/// Open files and sockets but those in a directory.
fn open(pid: i32, but: &Path) -> Result<usize> {
    let all = fs::read_dir(format!("/proc/{pid}/fd"))?.flatten();
    let leads = all.filter_map(|file| fs::read_link(file.path()).ok());
    Ok(leads.filter(|path| !path.starts_with(but)).count())
}

/// Names and lengths of the files in and below a directory; what is gone while it is looked at counts nothing.
pub fn files(dir: &Path) -> Result<Vec<(String, u64)>> {
    let mut found = Vec::new();
    let mut left = vec![dir.to_owned()];
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => left.push(entry.path()),
                Ok(meta) => {
                    found.push((entry.file_name().to_string_lossy().into_owned(), meta.len()));
                }
                Err(_) => {}
            }
        }
    }
    ensure!(!found.is_empty(), "nothing in {}", dir.display());
    Ok(found)
}

pub fn bytes(files: &[(String, u64)]) -> u64 {
    files.iter().map(|(_, bytes)| bytes).sum()
}
