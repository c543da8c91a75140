//! What is traced. Who calls may ask for it or against it, and gets no more than the bound; of the rest a share is, under a bound of its own, so
//! that strangers' marks can't crowd it out.

use crate::config::TraceConfig;
use parking_lot::Mutex;
use std::time::Instant;

/// So many a second, saved up for a second at most.
#[derive(Debug)]
struct Bucket {
    per_second: f64,
    left: Mutex<(f64, Instant)>,
}

impl Bucket {
    fn new(per_second: u32, now: Instant) -> Self {
        let per_second = f64::from(per_second);
        Self {
            per_second,
            left: Mutex::new((per_second, now)),
        }
    }

    fn take(&self, now: Instant) -> bool {
        let mut left = self.left.lock();
        let passed = now.saturating_duration_since(left.1).as_secs_f64();
        left.0 = (left.0 + passed * self.per_second).min(self.per_second);
        left.1 = left.1.max(now);
        let is_left = left.0 >= 1.0;
        if is_left {
            left.0 -= 1.0;
        }
        is_left
    }
}

#[derive(Debug)]
pub(crate) struct Sampler {
    sample: f64,
    marked: Bucket,
    others: Bucket,
}

impl Sampler {
    pub fn new(config: &TraceConfig) -> Self {
        let now = Instant::now();
        Self {
            sample: config.sample,
            marked: Bucket::new(config.per_second, now),
            others: Bucket::new(config.per_second, now),
        }
    }

    /// Whether to trace. `marked`: what the caller said, if anything. `lot`: any number, evenly spread.
    pub fn decide(&self, marked: Option<bool>, lot: u64) -> bool {
        self.decide_at(marked, lot, Instant::now())
    }

    fn decide_at(&self, marked: Option<bool>, lot: u64, now: Instant) -> bool {
        match marked {
            Some(false) => false,
            Some(true) => self.marked.take(now),
            // Of the upper 53 bits: the share is exact at both of its ends.
            None => {
                ((lot >> 11) as f64) < self.sample * (1u64 << 53) as f64 && self.others.take(now)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn sampler(sample: f64, per_second: u32) -> Sampler {
        Sampler::new(&TraceConfig {
            sample,
            per_second,
            ..TraceConfig::default()
        })
    }

    #[test]
    fn strangers_get_no_more_than_the_bound_and_take_nothing_from_the_others() {
        let sampler = sampler(1.0, 10);
        let now = Instant::now() + Duration::from_secs(1);
        let marked = (0..1_000).filter(|_| sampler.decide_at(Some(true), 0, now));
        assert_eq!(marked.count(), 10);
        let others = (0..1_000).filter(|_| sampler.decide_at(None, u64::MAX, now));
        assert_eq!(others.count(), 10);
        let later = now + Duration::from_millis(500);
        let marked = (0..1_000).filter(|_| sampler.decide_at(Some(true), 0, later));
        assert_eq!(marked.count(), 5);
        assert!(!sampler.decide_at(Some(false), 0, later + Duration::from_secs(9)));
    }

    #[test]
    fn the_share_is_the_share() {
        let now = Instant::now() + Duration::from_secs(1);
        let step = u64::MAX / 1_000;
        for (sample, expected) in [(0.0, 0), (0.25, 250), (1.0, 1_000)] {
            let sampler = sampler(sample, 10_000);
            let lots = (0..1_000).map(|n| n * step + step / 2);
            let taken = lots.filter(|lot| sampler.decide_at(None, *lot, now));
            assert_eq!(taken.count(), expected, "{sample}");
        }
        assert!(sampler(1.0, 1).decide(None, u64::MAX));
        assert!(!sampler(0.0, 1).decide(None, 0));
    }
}
