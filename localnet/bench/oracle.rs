//! Reads back what our plugin wrote: which update of which thread, how often, in which order.

use crate::load::{ACCOUNTS, Stamp};
use anyhow::{Context, Result, bail};
use mythic_stream::{
    proto::{Event, LossReason},
    spool::{Reader, ReaderConfig},
};
use serde::{Deserialize, Serialize};
use std::path::Path;

const BATCH: usize = 10_000;

/// What was found. Every update that was told and is not there must be in `dropped`.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Found {
    /// Distinct updates in the spool.
    pub stored: u64,
    /// Updates that came more than once.
    pub duplicate: u64,
    /// Updates of an account that stand behind a later one of it.
    pub misordered: u64,
    /// Updates that the plugin says it dropped: the counts of `Loss`.
    pub dropped: u64,
    /// Records of slots that it says it dropped: there are more banks here than a chain ever has.
    pub slot_records: u64,
    /// Blocks sealed, and how many updates their seals say that they were offered.
    pub seals: u64,
    /// Sum over the seals.
    pub offered: u64,
    /// The run was closed in order.
    pub ended: bool,
}

/// What is known of one thread's updates.
struct Thread {
    seen: Vec<u64>,
    newest: Vec<u64>,
}

/// Reads a spool whose run has ended; `told` is how many updates each thread made.
pub fn read(dir: &Path, told: &[u64]) -> Result<Found> {
    let mut reader = Reader::open(ReaderConfig {
        dir: dir.to_path_buf(),
        name: "oracle".into(),
        start: None,
    })?;
    let mut threads: Vec<Thread> = told
        .iter()
        .map(|told| Thread {
            seen: vec![0; (*told as usize).div_ceil(64)],
            newest: vec![0; ACCOUNTS],
        })
        .collect();
    let mut found = Found::default();
    loop {
        let items = reader.poll(BATCH)?;
        let Some(last) = items.last().map(|item| item.next) else {
            return Ok(found);
        };
        for item in items {
            let envelope = item.envelope.context("the spool is damaged")?;
            match envelope.event.context("an empty envelope")? {
                Event::Account(update) => {
                    let stamp = Stamp::read(&update.data).context("an account of nobody")?;
                    note(&mut threads, stamp, &mut found)?;
                }
                Event::Loss(loss) if loss.reason() == LossReason::SlotRecords => {
                    found.slot_records += loss.count;
                }
                Event::Loss(loss) => found.dropped += loss.count,
                Event::Seal(seal) => {
                    found.seals += 1;
                    found.offered += seal.offered;
                }
                Event::End(_) => found.ended = true,
                _ => {}
            }
        }
        reader.ack(&last)?;
    }
}

fn note(threads: &mut [Thread], stamp: Stamp, found: &mut Found) -> Result<()> {
    let number = stamp.number;
    let (word, bit) = (number as usize / 64, 1 << (number % 64));
    let thread = threads
        .get_mut(stamp.thread as usize)
        .context("no such thread")?;
    let Some(seen) = thread.seen.get_mut(word) else {
        bail!("update {number} was never made");
    };
    if *seen & bit != 0 {
        found.duplicate += 1;
        return Ok(());
    }
    *seen |= bit;
    found.stored += 1;
    let newest = &mut thread.newest[number as usize % ACCOUNTS];
    // Numbers count from 0, and 0 stands for none yet.
    if number + 1 < *newest {
        found.misordered += 1;
    }
    *newest = (number + 1).max(*newest);
    Ok(())
}
