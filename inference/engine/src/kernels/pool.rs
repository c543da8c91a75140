//! A pool of threads for short parallel loops: a forward pass has five in every layer, each of
//! microseconds. The caller works too; helpers that have nothing to do spin for a moment, because
//! the next loop is near, then give way to others, then sleep until they are called.

use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::*};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::environment;

/// How long a helper looks for the next loop before it lets other threads run in between.
const SPIN: Duration = Duration::from_micros(10);

/// How long it looks in all before it sleeps. Between two passes lie tens of microseconds.
const AWAKE: Duration = Duration::from_micros(150);

/// Set while helpers may join; the bits below count those inside.
const OPEN: u32 = 1 << 31;

type Body<'a> = dyn Fn(usize) + Sync + 'a;

struct Loop {
    body: *const Body<'static>,
    count: usize,
}

struct Shared {
    /// Counts loops, so that helpers see a new one.
    round: AtomicUsize,
    gate: AtomicU32,
    current: UnsafeCell<Loop>,
    /// The next index to be taken.
    next: AtomicUsize,
    panicked: AtomicBool,
    stop: AtomicBool,
    asleep: Box<[AtomicBool]>,
}

// SAFETY: `current` is written only by the one caller that holds `ThreadPool::turn`, while the gate is
// shut and nobody is inside, and read only by helpers inside; the gate orders the two.
unsafe impl Sync for Shared {}
// SAFETY: as above; the pointer is used only while its owner waits in `run`.
unsafe impl Send for Shared {}

/// Threads that run loops together with their caller.
pub struct ThreadPool {
    shared: Arc<Shared>,
    helpers: Vec<(JoinHandle<()>, Thread)>,
    /// One loop at a time.
    turn: Mutex<()>,
}

impl ThreadPool {
    /// A pool of `threads` in all, the caller included.
    pub fn new(threads: usize) -> std::io::Result<Self> {
        let helpers = threads.max(1) - 1;
        let shared = Arc::new(Shared {
            round: AtomicUsize::new(0),
            gate: AtomicU32::new(0),
            current: UnsafeCell::new(Loop {
                body: &|_| (),
                count: 0,
            }),
            next: AtomicUsize::new(0),
            panicked: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            asleep: (0..helpers).map(|_| AtomicBool::new(false)).collect(),
        });
        let mut pool = Self {
            shared,
            helpers: Vec::new(),
            turn: Mutex::new(()),
        };
        for index in 0..helpers {
            let shared = pool.shared.clone();
            let handle = std::thread::Builder::new()
                .name(format!("mythic-kernel-{index}"))
                .spawn(move || shared.help(index))?;
            let thread = handle.thread().clone();
            pool.helpers.push((handle, thread));
        }
        Ok(pool)
    }

    /// Threads that compute.
    pub fn threads(&self) -> usize {
        self.helpers.len() + 1
    }

    /// Calls `body` with every index below `count`, once each, on all threads; returns when all
    /// are done. `body` must not call `run` itself. A panic in it comes out here.
    pub fn run(&self, count: usize, body: impl Fn(usize) + Sync) {
        if count <= 1 || self.helpers.is_empty() {
            (0..count).for_each(body);
            return;
        }
        let _turn = self.turn.lock();
        let shared = &*self.shared;
        let body: &Body = &body;
        // SAFETY: only the lifetime changes. `Inside` below waits, even when unwinding, until no
        // helper is inside, so the reference outlives its uses.
        let body: *const Body<'static> =
            unsafe { std::mem::transmute::<*const Body<'_>, *const Body<'static>>(body) };
        // SAFETY: the gate is shut and nobody is inside: see `Inside::drop`.
        unsafe { *shared.current.get() = Loop { body, count } };
        shared.next.store(0, Relaxed);
        shared.gate.store(OPEN, Release);
        shared.round.fetch_add(1, SeqCst);
        let inside = Inside(shared);
        for ((_, thread), asleep) in self.helpers.iter().zip(&shared.asleep) {
            if asleep.load(SeqCst) && asleep.swap(false, SeqCst) {
                thread.unpark();
            }
        }
        shared.work();
        drop(inside);
        if shared.panicked.swap(false, Relaxed) {
            panic!("a kernel thread panicked");
        }
    }

    /// Calls `body` with every task on all threads; as [`Self::run`].
    pub fn each<T: Send>(&self, tasks: Vec<T>, body: impl Fn(T) + Sync) {
        let tasks: Vec<Mutex<Option<T>>> = tasks.into_iter().map(|t| Mutex::new(Some(t))).collect();
        self.run(tasks.len(), |i| {
            // Taken before it runs: the lock is never waited for.
            let task = tasks[i].lock().take();
            task.into_iter().for_each(&body);
        });
    }
}

/// Shuts the gate and waits for the helpers that came in.
struct Inside<'a>(&'a Shared);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        let shared = self.0;
        // Whatever is left (after a panic) is not begun.
        shared.next.store(usize::MAX / 2, Relaxed);
        if shared.gate.fetch_and(!OPEN, AcqRel) == OPEN {
            return;
        }
        let mut pause = Pause::new();
        while shared.gate.load(Acquire) != 0 {
            pause.wait();
        }
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        self.shared.stop.store(true, SeqCst);
        self.shared.round.fetch_add(1, SeqCst);
        for (handle, thread) in self.helpers.drain(..) {
            thread.unpark();
            // A helper never panics: what it runs is caught.
            let _ = handle.join();
        }
    }
}

impl Shared {
    /// Takes indices until there are none; only for threads inside.
    fn work(&self) {
        // SAFETY: the caller of `run` wrote it before it opened the gate, and writes again only
        // when all are outside.
        let current = unsafe { &*self.current.get() };
        // SAFETY: `run` waits for everybody inside before `body` ends.
        let body = unsafe { &*current.body };
        loop {
            let index = self.next.fetch_add(1, Relaxed);
            if index >= current.count {
                return;
            }
            body(index);
        }
    }

    fn help(&self, me: usize) {
        if let Err(error) = environment::check() {
            tracing::error!(%error, "a kernel thread cannot compute");
            self.panicked.store(true, Relaxed);
            return;
        }
        let mut seen = 0;
        loop {
            seen = self.next_round(me, seen);
            if self.stop.load(SeqCst) {
                return;
            }
            let joined = self
                .gate
                .fetch_update(AcqRel, Acquire, |g| (g & OPEN != 0).then_some(g + 1));
            if joined.is_err() {
                continue;
            }
            if catch_unwind(AssertUnwindSafe(|| self.work())).is_err() {
                self.panicked.store(true, Relaxed);
            }
            self.gate.fetch_sub(1, Release);
        }
    }

    /// Waits for a loop after the one `seen`.
    fn next_round(&self, me: usize, seen: usize) -> usize {
        let mut pause = Pause::new();
        loop {
            let round = self.round.load(SeqCst);
            if round != seen {
                return round;
            }
            if !pause.tired() {
                pause.wait();
                continue;
            }
            // Said before looking once more, so that whoever starts a loop after that look sees it.
            self.asleep[me].store(true, SeqCst);
            while self.round.load(SeqCst) == seen && self.asleep[me].load(SeqCst) {
                std::thread::park();
            }
            self.asleep[me].store(false, SeqCst);
        }
    }
}

/// Waiting for something that is near.
struct Pause {
    since: Option<Instant>,
    turns: u32,
    waited: Duration,
}

impl Pause {
    fn new() -> Self {
        Self {
            since: None,
            turns: 0,
            waited: Duration::ZERO,
        }
    }

    fn wait(&mut self) {
        self.turns += 1;
        if self.waited > SPIN {
            std::thread::yield_now();
        } else {
            std::hint::spin_loop();
        }
        // The clock costs more than a turn.
        if self.turns.is_multiple_of(32) {
            self.waited = self.since.get_or_insert_with(Instant::now).elapsed();
        }
    }

    fn tired(&self) -> bool {
        self.waited > AWAKE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_runs_once_whatever_the_threads() {
        for threads in [1, 2, 5] {
            let pool = ThreadPool::new(threads).expect("threads");
            for count in [0, 1, 2, 3, 64, 1_000] {
                let hits: Vec<AtomicU32> = (0..count).map(|_| AtomicU32::new(0)).collect();
                pool.run(count, |i| {
                    hits[i].fetch_add(1, Relaxed);
                });
                assert!(hits.iter().all(|h| h.load(Relaxed) == 1));
            }
        }
    }

    #[test]
    fn loops_follow_each_other_at_once_and_after_sleep() {
        let pool = ThreadPool::new(3).expect("threads");
        let sum = AtomicUsize::new(0);
        for round in 0..20_000 {
            pool.run(7, |i| {
                sum.fetch_add(i, Relaxed);
            });
            if round % 5_000 == 0 {
                while !pool.shared.asleep.iter().all(|a| a.load(SeqCst)) {
                    std::thread::yield_now();
                }
            }
        }
        assert_eq!(sum.load(Relaxed), 20_000 * 21);
    }

    #[test]
    fn a_panic_comes_out_and_the_pool_lives_on() {
        let pool = ThreadPool::new(2).expect("threads");
        let run = |bad: usize| {
            catch_unwind(AssertUnwindSafe(|| {
                pool.run(8, |i| assert_ne!(i, bad, "on purpose"));
            }))
        };
        assert!(run(3).is_err());
        assert!(run(9).is_ok());
    }

    #[test]
    fn several_callers_take_turns() {
        let pool = ThreadPool::new(2).expect("threads");
        let sum = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        pool.run(4, |i| {
                            sum.fetch_add(i, Relaxed);
                        });
                    }
                });
            }
        });
        assert_eq!(sum.load(Relaxed), 3 * 500 * 6);
    }
}
