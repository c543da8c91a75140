//! What the worker and the handles of an engine share.

use parking_lot::{Condvar, Mutex};

use super::durations::Durations;
use super::scheduler::Scheduler;

/// What the worker counts and measures.
#[derive(Default)]
pub struct Counters {
    /// What computes.
    pub device: String,
    pub output_tokens: u64,
    pub cancelled: u64,
    pub prefill_rate: Option<f64>,
    pub decode_rate: Option<f64>,
    /// Of one request.
    pub stream_rate: Option<f64>,
    /// From a request to its first token.
    pub first_tokens: Durations,
    /// From a request's token to its next.
    pub next_tokens: Durations,
}

/// What worker and handles share.
pub struct Shared {
    pub scheduler: Mutex<Scheduler>,
    pub counters: Mutex<Counters>,
    pub gate: Gate,
}

/// Stands before each pass; closed while somebody holds it.
#[derive(Default)]
pub struct Gate {
    held: Mutex<usize>,
    open: Condvar,
}

impl Gate {
    /// Returns once nobody holds it.
    pub fn pass(&self) {
        let mut held = self.held.lock();
        while *held > 0 {
            self.open.wait(&mut held);
        }
    }

    pub fn hold(&self) {
        *self.held.lock() += 1;
    }

    pub fn release(&self) {
        *self.held.lock() -= 1;
        self.open.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, mpsc},
        time::Duration,
    };

    use super::*;

    #[test]
    fn a_gate_opens_once_nobody_holds_it() {
        let gate = Arc::new(Gate::default());
        gate.pass();
        gate.hold();
        gate.hold();
        let (told, passed) = mpsc::channel();
        let waits = gate.clone();
        let thread = std::thread::spawn(move || {
            waits.pass();
            told.send(()).unwrap();
        });
        gate.release();
        let early = passed.recv_timeout(Duration::from_millis(50));
        assert!(early.is_err(), "one holds it still");
        gate.release();
        passed.recv_timeout(Duration::from_secs(60)).unwrap();
        thread.join().unwrap();
    }
}
