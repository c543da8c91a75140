//! What the worker and the handles of an engine share.

use parking_lot::Mutex;

use super::scheduler::Scheduler;

/// What the worker counts and measures.
#[derive(Default)]
pub struct Counters {
    pub output_tokens: u64,
    pub cancelled: u64,
    pub prefill_rate: Option<f64>,
    pub decode_rate: Option<f64>,
}

/// What worker and handles share.
pub struct Shared {
    pub scheduler: Mutex<Scheduler>,
    pub counters: Mutex<Counters>,
}
