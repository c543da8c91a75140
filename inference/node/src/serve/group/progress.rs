//! Which messages of each partition are done. Pure.

use std::collections::BTreeMap;

#[derive(Debug, Default)]
struct Partition {
    /// Messages that are being looked at, and whether they are done while an earlier one is not.
    open: BTreeMap<i64, bool>,
    /// The offset behind the newest message.
    next: i64,
    committed: i64,
}

/// See the module's description.
#[derive(Debug, Default)]
pub struct Progress(BTreeMap<i32, Partition>);

impl Progress {
    /// A message was read. One that was read before comes again after the partition was away: it begins anew.
    pub fn begin(&mut self, (partition, offset): (i32, i64)) {
        let state = self.0.entry(partition).or_default();
        if offset < state.next {
            *state = Partition::default();
        }
        state.open.insert(offset, false);
        state.next = offset + 1;
    }

    /// A message is done.
    pub fn done(&mut self, (partition, offset): (i32, i64)) {
        let Some(state) = self.0.get_mut(&partition) else {
            return;
        };
        if let Some(done) = state.open.get_mut(&offset) {
            *done = true;
        }
        while let Some(first) = state.open.first_entry().filter(|first| *first.get()) {
            first.remove();
        }
    }

    /// Messages that are not done, or stand behind such.
    pub fn open(&self) -> usize {
        self.0.values().map(|state| state.open.len()).sum()
    }

    /// The positions to commit: everything before is done.
    pub fn due(&self) -> Vec<(i32, i64)> {
        let next = |state: &Partition| state.open.keys().next().copied().unwrap_or(state.next);
        let all = self
            .0
            .iter()
            .map(|(n, state)| (*n, next(state), state.committed));
        let due = all.filter(|(_, next, committed)| next > committed);
        due.map(|(n, next, _)| (n, next)).collect()
    }

    /// A position was committed.
    pub fn committed(&mut self, partition: i32, next: i64) {
        if let Some(state) = self.0.get_mut(&partition) {
            state.committed = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_committed_before_everything_before_it_is_done() {
        let mut progress = Progress::default();
        for offset in [10, 11, 14] {
            progress.begin((0, offset));
        }
        progress.begin((3, 7));
        assert_eq!(progress.due(), [(0, 10), (3, 7)]);
        progress.committed(0, 10);
        progress.committed(3, 7);
        progress.done((0, 11));
        assert_eq!((progress.due(), progress.open()), (vec![], 4));
        progress.done((0, 10));
        assert_eq!(progress.due(), [(0, 14)]);
        progress.done((0, 14));
        progress.done((3, 7));
        assert_eq!(
            (progress.due(), progress.open()),
            (vec![(0, 15), (3, 8)], 0)
        );
        progress.committed(0, 15);
        progress.committed(3, 8);
        assert_eq!(progress.due(), []);
    }

    #[test]
    fn a_partition_that_comes_back_begins_anew() {
        let mut progress = Progress::default();
        progress.begin((0, 20));
        progress.begin((0, 21));
        progress.done((0, 21));
        // Another member had it, and left before it committed.
        progress.begin((0, 18));
        progress.done((0, 20));
        assert_eq!(
            progress.due(),
            [(0, 18)],
            "what is not read again is not waited for"
        );
        progress.done((0, 18));
        assert_eq!(progress.due(), [(0, 19)]);
    }
}
