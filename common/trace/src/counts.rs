//! What became of spans, as each process' metrics show it.

use parking_lot::Mutex;
use prometheus::{
    IntCounterVec, Opts,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Spans of this process.
pub(crate) struct Counts {
    pub exported: AtomicU64,
    /// There was no room in the queue.
    pub dropped: AtomicU64,
    /// The collector did not take them.
    pub failed: AtomicU64,
}

pub(crate) static COUNTS: Counts = Counts {
    exported: AtomicU64::new(0),
    dropped: AtomicU64::new(0),
    failed: AtomicU64::new(0),
};

impl Counts {
    fn outcomes(&self) -> [(&'static str, u64); 3] {
        [
            ("exported", self.exported.load(Relaxed)),
            ("dropped", self.dropped.load(Relaxed)),
            ("failed", self.failed.load(Relaxed)),
        ]
    }
}

struct Spans {
    counter: IntCounterVec,
    /// Held while the counter is brought up to date.
    one: Mutex<()>,
}

impl Collector for Spans {
    fn desc(&self) -> Vec<&Desc> {
        self.counter.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let _one = self.one.lock();
        for (outcome, total) in COUNTS.outcomes() {
            let told = self.counter.with_label_values(&[outcome]);
            told.inc_by(total.saturating_sub(told.get()));
        }
        self.counter.collect()
    }
}

/// The counter of spans by `outcome` under a process' own name for it.
pub fn collector(name: &str, help: &str) -> Result<Box<dyn Collector>, prometheus::Error> {
    let counter = IntCounterVec::new(Opts::new(name, help), &["outcome"])?;
    let one = Mutex::new(());
    Ok(Box::new(Spans { counter, one }))
}
