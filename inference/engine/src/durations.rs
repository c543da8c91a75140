//! How long something took, counted in buckets.

use std::time::Duration;

use serde::Serialize;

/// Upper ends of all buckets but the last, in seconds.
pub const ENDS: [f64; 18] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0,
    60.0, 120.0, 300.0,
];

/// Durations since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Durations {
    /// How many there were in each bucket: over the end before it, up to its own; the last has none.
    pub counts: [u64; ENDS.len() + 1],
    /// Of all together.
    pub seconds: f64,
}

impl Durations {
    pub(crate) fn add(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        self.counts[ENDS.partition_point(|end| *end < seconds)] += 1;
        self.seconds += seconds;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_in_the_first_bucket_that_reaches_it() {
        let mut all = Durations::default();
        for millis in [0, 1, 2, 250, 300_000, 300_001] {
            all.add(Duration::from_millis(millis));
        }
        let mut want = [0; ENDS.len() + 1];
        (want[0], want[1], want[8], want[17], want[18]) = (2, 1, 1, 1, 1);
        assert_eq!(all.counts, want);
        assert!((all.seconds - 600.254).abs() < 1e-9);
    }
}
