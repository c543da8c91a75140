//! Start-up accounts are a base: one that is missing makes the others useless. So they wait for room, which holds up nobody but
//! the validator's start, and that not for ever: when none of them gets on for the configured time, the base of this run is given
//! up, and what follows is dropped and counted like any update that finds no room.

use parking_lot::{Condvar, Mutex};
use std::{
    sync::atomic::{
        AtomicBool, AtomicU64, AtomicUsize,
        Ordering::{Relaxed, SeqCst},
    },
    time::{Duration, Instant},
};

/// Longest sleep before room is looked for again.
const LOOK: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub(crate) struct Startup {
    patience: Duration,
    /// Start-up accounts that the spool took.
    stored: AtomicU64,
    given_up: AtomicBool,
    waiting: AtomicUsize,
    gate: Mutex<()>,
    freed: Condvar,
}

impl Startup {
    pub fn new(patience: Duration) -> Self {
        Self {
            patience,
            stored: AtomicU64::new(0),
            given_up: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
            gate: Mutex::new(()),
            freed: Condvar::new(),
        }
    }

    /// Tries until it succeeds; `false` when the base is given up. A callback's side: another thread makes room.
    pub fn until_taken(&self, attempt: impl Fn() -> bool) -> bool {
        if attempt() {
            return true;
        }
        let mut clock = self.clock();
        self.waiting.fetch_add(1, SeqCst);
        let mut gate = self.gate.lock();
        let taken = loop {
            if attempt() {
                break true;
            }
            if clock.ran_out() {
                break false;
            }
            self.freed.wait_for(&mut gate, LOOK);
        };
        drop(gate);
        self.waiting.fetch_sub(1, SeqCst);
        taken
    }

    /// There may be room for one more.
    pub fn room(&self) {
        if self.waiting.load(SeqCst) > 0 {
            drop(self.gate.lock());
            self.freed.notify_one();
        }
    }

    /// The spool took a start-up account.
    pub fn stored(&self) {
        self.stored.fetch_add(1, Relaxed);
    }

    /// Ends all waiting. `true`: this call ended it.
    pub fn give_up(&self) -> bool {
        let first = !self.given_up.swap(true, SeqCst);
        self.freed.notify_all();
        first
    }

    /// Runs out when no start-up account gets on.
    pub fn clock(&self) -> Clock<'_> {
        Clock {
            startup: self,
            stored: self.stored.load(Relaxed),
            since: Instant::now(),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Clock<'a> {
    startup: &'a Startup,
    stored: u64,
    since: Instant,
}

impl Clock<'_> {
    /// Whether to wait no longer; whoever finds out first says so.
    pub fn ran_out(&mut self) -> bool {
        let stored = self.startup.stored.load(Relaxed);
        if stored != self.stored {
            (self.stored, self.since) = (stored, Instant::now());
        }
        let patience = self.startup.patience;
        if self.since.elapsed() >= patience && self.startup.give_up() {
            log::error!(
                "no start-up account got into the spool for {} s: this run has no base. Is the disk slow or failing, or startup_max_bytes too small for all accounts? Restart the validator when that is mended",
                patience.as_secs()
            );
        }
        self.startup.given_up.load(SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_ends_with_room_and_without_progress() {
        // So long that no thread is kept from its processor for as long.
        let patience = Duration::from_secs(3);
        let startup = Startup::new(patience);
        let room = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // Progress every now and then, for longer than the patience.
                let began = Instant::now();
                while began.elapsed() < patience * 2 {
                    std::thread::sleep(Duration::from_millis(50));
                    startup.stored();
                }
                room.store(true, SeqCst);
                startup.room();
            });
            assert!(startup.until_taken(|| room.load(SeqCst)));
        });
        let began = Instant::now();
        assert!(!startup.until_taken(|| false));
        assert!(began.elapsed() >= patience);
        // Given up once, nobody waits again.
        let mut clock = startup.clock();
        assert!(clock.ran_out(), "at once");
    }
}
