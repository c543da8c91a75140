//! Counts of offered and dropped updates of the banks that are open, by slot, in atomics that the
//! committing threads share. A bank's creation precedes its accounts and these its freeze (see
//! Agave's replay), so that the numbers read at the seal are exact without a lock.

use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

/// More than the slots that are ever open together; the youngest takes the place of an older one,
/// which then gets no seal.
const LANES: usize = 1024;
const NONE: u64 = u64::MAX;

#[derive(Debug)]
pub(crate) struct Lanes(Box<[Lane]>);

#[derive(Debug)]
struct Lane {
    slot: AtomicU64,
    offered: AtomicU64,
    dropped: AtomicU64,
}

impl Default for Lanes {
    fn default() -> Self {
        Self(
            (0..LANES)
                .map(|_| Lane {
                    slot: AtomicU64::new(NONE),
                    offered: AtomicU64::new(0),
                    dropped: AtomicU64::new(0),
                })
                .collect(),
        )
    }
}

impl Lanes {
    fn at(&self, slot: u64) -> Option<&Lane> {
        self.0.get((slot % LANES as u64) as usize)
    }

    fn open_at(&self, slot: u64) -> Option<&Lane> {
        self.at(slot)
            .filter(|lane| slot != NONE && lane.slot.load(Acquire) == slot)
    }

    /// A bank of `slot` was created: counts from 0.
    pub fn open(&self, slot: u64) {
        if let Some(lane) = self.at(slot) {
            lane.slot.store(NONE, Release);
            lane.offered.store(0, Relaxed);
            lane.dropped.store(0, Relaxed);
            lane.slot.store(slot, Release);
        }
    }

    pub fn is_open(&self, slot: u64) -> bool {
        self.open_at(slot).is_some()
    }

    pub fn offered(&self, slot: u64) {
        if let Some(lane) = self.open_at(slot) {
            lane.offered.fetch_add(1, Relaxed);
        }
    }

    pub fn dropped(&self, slot: u64) {
        if let Some(lane) = self.open_at(slot) {
            lane.dropped.fetch_add(1, Relaxed);
        }
    }

    /// Ends the counting of a bank: `(offered, dropped)`, or `None` if its creation was not seen.
    pub fn close(&self, slot: u64) -> Option<(u64, u64)> {
        let lane = self.open_at(slot)?;
        let counts = (lane.offered.load(Relaxed), lane.dropped.load(Relaxed));
        lane.slot.store(NONE, Release);
        Some(counts)
    }
}
