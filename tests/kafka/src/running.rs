//! The process that has to go with this one.

use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

static PROCESS: AtomicI32 = AtomicI32::new(0);

/// Notes which process has to go with this one.
pub(crate) fn runs(pid: Option<u32>) {
    PROCESS.store(pid.map_or(0, |pid| pid as i32), Relaxed);
}

/// That process, for whoever ends it; nobody else gets it after that.
pub(crate) fn taken() -> Option<i32> {
    match PROCESS.swap(0, Relaxed) {
        0 => None,
        pid => Some(pid),
    }
}
