//! What this gateway has seen of a validator: how much it has under way there, how fast it is, whether it fails. Pure.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Tokens and jobs that this gateway has under way at one validator.
#[derive(Debug, Default)]
pub struct Load {
    tokens: AtomicU64,
    jobs: AtomicU64,
}

impl Load {
    /// Tokens under way.
    pub fn tokens(&self) -> u64 {
        self.tokens.load(Ordering::Relaxed)
    }

    /// Jobs under way.
    pub fn jobs(&self) -> u64 {
        self.jobs.load(Ordering::Relaxed)
    }
}

/// Counts a request while it runs; taken before dispatch, given back on drop.
#[derive(Debug)]
pub struct LoadGuard {
    load: Arc<Load>,
    tokens: u64,
}

impl LoadGuard {
    /// Takes the load of one job of `tokens` tokens.
    pub fn take(load: &Arc<Load>, tokens: u32) -> Self {
        load.tokens.fetch_add(u64::from(tokens), Ordering::Relaxed);
        load.jobs.fetch_add(1, Ordering::Relaxed);
        Self {
            load: load.clone(),
            tokens: u64::from(tokens),
        }
    }
}

impl Drop for LoadGuard {
    fn drop(&mut self) {
        self.load.tokens.fetch_sub(self.tokens, Ordering::Relaxed);
        self.load.jobs.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Failures in a row that open a breaker.
const BREAKER_FAILURES: u32 = 3;
const BREAKER_MIN: Duration = Duration::from_secs(5);
const BREAKER_MAX: Duration = Duration::from_secs(60);

/// Circuit breaker of one validator: opens after three failures in a row, lets one probe through after a pause that
/// doubles from 5 s to 60 s, closes on success.
#[derive(Debug, Clone, Default)]
pub struct Breaker {
    failures: u32,
    pauses: u32,
    open_until: Option<Instant>,
    probing_since: Option<Instant>,
}

impl Breaker {
    /// A request may go through now.
    pub fn allows(&self, now: Instant) -> bool {
        match self.open_until {
            None => true,
            // A probe that never reports frees its place after the longest pause.
            Some(until) => {
                now >= until
                    && self
                        .probing_since
                        .is_none_or(|since| now.duration_since(since) > BREAKER_MAX)
            }
        }
    }

    /// A request goes through; after a pause it is the probe.
    pub fn on_dispatch(&mut self, now: Instant) {
        if self.open_until.is_some() {
            self.probing_since = Some(now);
        }
    }

    /// It went well.
    pub fn on_success(&mut self) {
        *self = Self::default();
    }

    /// It failed by the validator's fault.
    pub fn on_failure(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        let was_probe = self.probing_since.take().is_some();
        if was_probe || self.failures >= BREAKER_FAILURES {
            let pause = BREAKER_MIN
                .saturating_mul(1 << self.pauses.min(4))
                .min(BREAKER_MAX);
            self.open_until = Some(now + pause);
            self.pauses = self.pauses.saturating_add(1);
            self.failures = 0;
        }
    }

    /// Neither well nor its fault (declined, the client went away): a probe's place is given back.
    pub fn on_neutral(&mut self) {
        self.probing_since = None;
    }
}

/// After so long half of what failures cost is forgotten: a validator that comes back gets jobs again.
const FORGET: Duration = Duration::from_secs(60);

/// Running share of good outcomes, in thousandths; an old outcome loses an eighth with each new one, and time heals.
#[derive(Debug, Clone, Copy, Default)]
pub struct SuccessRate {
    missing: u32,
    at: Option<Instant>,
}

impl SuccessRate {
    fn missing(self, now: Instant) -> u32 {
        let Some(at) = self.at else { return 0 };
        let halvings = now.duration_since(at).as_secs() / FORGET.as_secs();
        self.missing
            .checked_shr(u32::try_from(halvings).unwrap_or(u32::MAX))
            .unwrap_or(0)
    }

    /// Adds an outcome.
    pub fn add(&mut self, good: bool, now: Instant) {
        let missing = self.missing(now);
        self.missing = (missing * 7 + if good { 0 } else { 1_000 }) / 8;
        self.at = Some(now);
    }

    /// Thousandths.
    pub fn milli(self, now: Instant) -> u32 {
        1_000 - self.missing(now).min(1_000)
    }
}

/// Tokens a second of real jobs, thousandths: a running mean.
#[derive(Debug, Clone, Copy, Default)]
pub struct Speed(u64);

impl Speed {
    /// Adds a job of `tokens` tokens that took `time` from the first to the last. What came faster than anything generates was
    /// held up on the way and measures nothing, like a single token.
    pub fn add(&mut self, tokens: u32, time: Duration) {
        const MOST: u64 = 2_000_000;
        let steps = u64::from(tokens.saturating_sub(1));
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1);
        let now = steps.saturating_mul(1_000_000_000) / micros;
        if now == 0 || now > MOST {
            return;
        }
        self.0 = match self.0 {
            0 => now,
            mean => (mean * 3 + now) / 4,
        };
    }

    /// Thousandths of a token a second; 0 = not measured.
    pub fn milli(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_is_given_back_on_drop() {
        let load = Arc::new(Load::default());
        let guard = LoadGuard::take(&load, 70);
        assert_eq!((load.tokens(), load.jobs()), (70, 1));
        drop(guard);
        assert_eq!((load.tokens(), load.jobs()), (0, 0));
    }

    #[test]
    fn a_breaker_opens_after_three_failures_probes_once_and_closes() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        breaker.on_failure(now);
        breaker.on_failure(now);
        assert!(breaker.allows(now));
        breaker.on_failure(now);
        assert!(!breaker.allows(now));
        let later = now + Duration::from_secs(5);
        assert!(breaker.allows(later));
        breaker.on_dispatch(later);
        assert!(!breaker.allows(later), "one probe at a time");
        breaker.on_failure(later);
        assert!(
            !breaker.allows(later + Duration::from_secs(9)),
            "the pause doubles"
        );
        let again = later + Duration::from_secs(10);
        assert!(breaker.allows(again));
        breaker.on_dispatch(again);
        breaker.on_success();
        assert!(breaker.allows(again));
    }

    #[test]
    fn a_lost_probe_frees_its_place() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        (0..3).for_each(|_| breaker.on_failure(now));
        let later = now + BREAKER_MIN;
        breaker.on_dispatch(later);
        assert!(!breaker.allows(later + Duration::from_secs(30)));
        assert!(breaker.allows(later + Duration::from_secs(61)));
    }

    #[test]
    fn the_success_rate_falls_and_recovers_by_good_jobs_or_by_time() {
        let now = Instant::now();
        let mut rate = SuccessRate::default();
        rate.add(false, now);
        assert!(rate.milli(now) < 900);
        let mut later = rate;
        (0..60).for_each(|_| rate.add(true, now));
        assert!(rate.milli(now) > 980);
        (0..20).for_each(|_| later.add(false, now));
        assert!(later.milli(now) < 200);
        assert!(later.milli(now + 10 * FORGET) > 990);
    }

    #[test]
    fn speed_is_measured_by_what_took_time() {
        let mut speed = Speed::default();
        speed.add(1, Duration::from_secs(1));
        speed.add(40, Duration::ZERO);
        assert_eq!(speed.milli(), 0);
        speed.add(41, Duration::from_secs(2));
        assert_eq!(speed.milli(), 20_000);
        speed.add(81, Duration::from_secs(2));
        assert_eq!(speed.milli(), 25_000);
    }
}
