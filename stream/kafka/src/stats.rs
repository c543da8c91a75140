//! What the forwarder counts.

use crate::trouble::Trouble;
use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// No record waits.
const NONE: u64 = u64::MAX;
/// Nothing is known yet.
const STARTING: usize = usize::MAX - 1;
const WORKS: usize = usize::MAX;

/// Counters of a forwarder, since the process started.
#[derive(Debug)]
pub struct ForwardStats {
    records: AtomicU64,
    messages: AtomicU64,
    bytes: AtomicU64,
    errors: AtomicU64,
    resent: AtomicU64,
    damage: AtomicU64,
    /// When the oldest waiting record was written, Unix nanoseconds.
    oldest: AtomicU64,
    state: AtomicUsize,
}

impl Default for ForwardStats {
    fn default() -> Self {
        Self {
            records: AtomicU64::new(0),
            messages: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            resent: AtomicU64::new(0),
            damage: AtomicU64::new(0),
            oldest: AtomicU64::new(NONE),
            state: AtomicUsize::new(STARTING),
        }
    }
}

impl ForwardStats {
    pub(crate) fn delivered(&self) {
        self.messages.fetch_add(1, Relaxed);
    }

    pub(crate) fn record(&self, bytes: usize) {
        self.records.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(crate) fn failed(&self, trouble: Trouble) {
        self.errors.fetch_add(1, Relaxed);
        self.waits(trouble);
    }

    pub(crate) fn waits(&self, trouble: Trouble) {
        let at = Trouble::ALL.iter().position(|t| *t == trouble);
        self.state.store(at.unwrap_or_default(), Relaxed);
    }

    pub(crate) fn works(&self) {
        self.state.store(WORKS, Relaxed);
    }

    pub(crate) fn resent(&self) {
        self.resent.fetch_add(1, Relaxed);
    }

    pub(crate) fn damaged(&self) {
        self.damage.fetch_add(1, Relaxed);
    }

    pub(crate) fn oldest_waiting(&self, written: Option<u64>) {
        self.oldest.store(written.unwrap_or(NONE), Relaxed);
    }

    /// Records that the brokers have, repeats included.
    pub fn records(&self) -> u64 {
        self.records.load(Relaxed)
    }

    /// Messages that they are, copies for each partition included.
    pub fn messages(&self) -> u64 {
        self.messages.load(Relaxed)
    }

    /// Bytes of these messages, before compression.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Times that forwarding stopped for a reason, and began again.
    pub fn errors(&self) -> u64 {
        self.errors.load(Relaxed)
    }

    /// Times that the brokers had lost what they acknowledged, and were sent it again.
    pub fn resends(&self) -> u64 {
        self.resent.load(Relaxed)
    }

    /// Damage told downstream: records that can't be read, are gone or are too large.
    pub fn damages(&self) -> u64 {
        self.damage.load(Relaxed)
    }

    /// Why nothing goes on; `None`: it does.
    pub fn trouble(&self) -> Option<Trouble> {
        Trouble::ALL.get(self.state.load(Relaxed)).copied()
    }

    /// It has delivered, or found out why it can't.
    pub fn started(&self) -> bool {
        self.state.load(Relaxed) != STARTING
    }

    /// How long the oldest record that was read and is not delivered has been in the spool; zero: none waits.
    pub fn lag(&self) -> Duration {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        match self.oldest.load(Relaxed) {
            NONE => Duration::ZERO,
            written => now
                .unwrap_or_default()
                .saturating_sub(Duration::from_nanos(written)),
        }
    }
}
