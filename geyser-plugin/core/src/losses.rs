//! What was lost since the drain thread last told: a count and a slot range for each reason.

use mythic_stream::proto::{Loss, LossReason};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Reasons, in the order of their cells.
const REASONS: [LossReason; 6] = LossReason::ALL;

#[derive(Debug, Default)]
pub(crate) struct Losses([Cell; REASONS.len()]);

#[derive(Debug)]
struct Cell {
    count: AtomicU64,
    first: AtomicU64,
    last: AtomicU64,
    total: AtomicU64,
}

impl Default for Cell {
    fn default() -> Self {
        Self {
            count: AtomicU64::new(0),
            first: AtomicU64::new(u64::MAX),
            last: AtomicU64::new(0),
            total: AtomicU64::new(0),
        }
    }
}

impl Losses {
    fn cell(&self, reason: LossReason) -> Option<&Cell> {
        let at = REASONS.iter().position(|&r| r == reason)?;
        self.0.get(at)
    }

    pub fn add(&self, reason: LossReason, slot: u64) {
        if let Some(cell) = self.cell(reason) {
            cell.total.fetch_add(1, Relaxed);
        }
        self.put_back(&Loss {
            first_slot: slot,
            last_slot: slot,
            count: 1,
            reason: reason.into(),
        });
    }

    /// Keeps a loss that could not be written for the next time.
    pub fn put_back(&self, loss: &Loss) {
        if let Some(cell) = self.cell(loss.reason()) {
            // The range before the count: whoever takes the count finds at least its range.
            cell.first.fetch_min(loss.first_slot, Relaxed);
            cell.last.fetch_max(loss.last_slot, Relaxed);
            cell.count.fetch_add(loss.count, Relaxed);
        }
    }

    /// What is to be told. Counts are exact; a range may be wider than the slots that lost something.
    pub fn take(&self) -> Vec<Loss> {
        let taken = self.0.iter().zip(REASONS).filter_map(|(cell, reason)| {
            if cell.count.load(Relaxed) == 0 {
                return None;
            }
            let count = cell.count.swap(0, Relaxed);
            let (first, last) = (cell.first.load(Relaxed), cell.last.load(Relaxed));
            // The next range starts where this one ends: a loss that comes meanwhile lies in one of them.
            let _ = cell.first.compare_exchange(first, last, Relaxed, Relaxed);
            Some(Loss {
                first_slot: first.min(last),
                last_slot: last,
                count,
                reason: reason.into(),
            })
        });
        taken.collect()
    }

    pub fn totals(&self) -> [(LossReason, u64); REASONS.len()] {
        std::array::from_fn(|i| (REASONS[i], self.0[i].total.load(Relaxed)))
    }
}
