//! What a process says of itself to whoever supervises it: that it is ready, and that its loops turn. One process has one
//! supervisor, so there is one record; whoever reads it is the binary (`mythic` tells systemd).

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::watch;

static READY: std::sync::LazyLock<watch::Sender<bool>> =
    std::sync::LazyLock::new(|| watch::Sender::new(false));
static LOOPS: Mutex<Loops> = Mutex::new(Loops::new());

/// The process does what it was started for: it listens, or its first round went well.
pub fn ready() {
    READY.send_replace(true);
}

/// Returns once [`ready`] was called.
pub async fn wait_ready() {
    let mut ready = READY.subscribe();
    // The sender is never dropped.
    let _ = ready.wait_for(|ready| *ready).await;
}

/// A loop that has to turn for the process to do its work. Gone when dropped: a loop that ended is not one that hangs.
#[derive(Debug)]
pub struct Pulse(u64);

impl Pulse {
    /// A loop that has just begun. Without a beat for `patience` it hangs.
    pub fn new(name: &'static str, patience: Duration) -> Self {
        Self(loops().enter(name, patience, Instant::now()))
    }

    /// The loop turned.
    pub fn beat(&self) {
        loops().beat(self.0, Instant::now());
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        loops().leave(self.0);
    }
}

/// A loop that hangs, and for how long it has not turned; `None` while all turn.
pub fn hanging() -> Option<(&'static str, Duration)> {
    loops().hanging(Instant::now())
}

fn loops() -> std::sync::MutexGuard<'static, Loops> {
    LOOPS.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
struct Loops {
    next: u64,
    all: Vec<Loop>,
}

#[derive(Debug)]
struct Loop {
    id: u64,
    name: &'static str,
    patience: Duration,
    at: Instant,
}

impl Loops {
    const fn new() -> Self {
        Self {
            next: 0,
            all: Vec::new(),
        }
    }

    fn enter(&mut self, name: &'static str, patience: Duration, at: Instant) -> u64 {
        let id = self.next;
        self.next += 1;
        self.all.push(Loop {
            id,
            name,
            patience,
            at,
        });
        id
    }

    fn beat(&mut self, id: u64, now: Instant) {
        if let Some(found) = self.all.iter_mut().find(|one| one.id == id) {
            found.at = now;
        }
    }

    fn leave(&mut self, id: u64) {
        self.all.retain(|one| one.id != id);
    }

    fn hanging(&self, now: Instant) -> Option<(&'static str, Duration)> {
        let silent = |one: &Loop| now.saturating_duration_since(one.at);
        let found = self.all.iter().find(|one| silent(one) > one.patience)?;
        Some((found.name, silent(found)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_hangs_when_it_is_silent_for_longer_than_its_own_patience() {
        let mut loops = Loops::new();
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let quick = loops.enter("quick", Duration::from_secs(10), start);
        let slow = loops.enter("slow", Duration::from_secs(100), start);
        assert_eq!(loops.hanging(after(10)), None);
        assert_eq!(
            loops.hanging(after(11)),
            Some(("quick", Duration::from_secs(11)))
        );
        loops.beat(quick, after(11));
        assert_eq!(loops.hanging(after(12)), None);
        loops.leave(quick);
        assert_eq!(loops.hanging(after(99)), None);
        assert_eq!(
            loops.hanging(after(101)).map(|(name, _)| name),
            Some("slow")
        );
        loops.leave(slow);
        assert_eq!(loops.hanging(after(1_000)), None);
    }

    #[tokio::test]
    async fn whoever_waits_hears_of_readiness_before_and_after_it() {
        let early = tokio::spawn(wait_ready());
        tokio::task::yield_now().await;
        assert!(!early.is_finished());
        ready();
        let both = async {
            early.await.unwrap();
            wait_ready().await;
        };
        tokio::time::timeout(Duration::from_secs(10), both)
            .await
            .unwrap();
    }
}
