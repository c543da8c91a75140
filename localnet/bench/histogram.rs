//! Nanoseconds counted: one by one up to 16 µs, above in steps of 1/64.

use std::time::Duration;

const EXACT: u64 = 1 << 14;
const STEPS: u64 = 64;
const BUCKETS: usize = EXACT as usize + 50 * STEPS as usize;

/// Counts of durations.
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
    sum: u64,
}

impl Histogram {
    pub fn new() -> Self {
        Self {
            counts: vec![0; BUCKETS],
            total: 0,
            max: 0,
            sum: 0,
        }
    }

    pub fn add(&mut self, nanos: u64) {
        self.counts[bucket(nanos).min(BUCKETS - 1)] += 1;
        self.total += 1;
        self.max = self.max.max(nanos);
        self.sum += nanos;
    }

    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.total += other.total;
        self.max = self.max.max(other.max);
        self.sum += other.sum;
    }

    pub fn total(&self) -> u64 {
        self.total
    }

    pub fn max(&self) -> u64 {
        self.max
    }

    /// All durations together.
    pub fn seconds(&self) -> f64 {
        Duration::from_nanos(self.sum).as_secs_f64()
    }

    /// The duration that `per_mille` of a thousand do not exceed.
    pub fn at(&self, per_mille: u64) -> u64 {
        let wanted = (self.total * per_mille).div_ceil(1000);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return upper(bucket as u64);
            }
        }
        self.max
    }
}

fn bucket(nanos: u64) -> usize {
    if nanos < EXACT {
        return nanos as usize;
    }
    let octave = u64::from(nanos.ilog2()) - 14;
    let step = (nanos >> (octave + 8)) - STEPS;
    (EXACT + octave * STEPS + step) as usize
}

/// The largest duration of a bucket.
fn upper(bucket: u64) -> u64 {
    if bucket < EXACT {
        return bucket;
    }
    let (octave, step) = ((bucket - EXACT) / STEPS, (bucket - EXACT) % STEPS);
    ((STEPS + step + 1) << (octave + 8)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_what_they_say() {
        for nanos in [
            0,
            1,
            16_383,
            16_384,
            16_639,
            16_640,
            40_000,
            1 << 30,
            (1 << 40) + 7,
        ] {
            let upper = upper(bucket(nanos) as u64);
            assert!(
                upper >= nanos && upper - nanos <= nanos / 64 + 1,
                "{nanos} {upper}"
            );
        }
        let mut histogram = Histogram::new();
        (1..=1000).for_each(|nanos| histogram.add(nanos));
        assert_eq!(
            (histogram.at(500), histogram.at(990), histogram.at(999)),
            (500, 990, 999)
        );
    }
}
