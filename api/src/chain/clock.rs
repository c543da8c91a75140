//! How long slots take here, measured from what the chain says while it is read.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Until it is measured.
const SLOT: Duration = Duration::from_millis(400);
/// What is believed.
const BOUNDS: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(2));
/// A measurement spans at least so many slots and begins anew after so long.
const SPAN: u64 = 16;
const LIFE: Duration = Duration::from_secs(600);

#[derive(Debug, Clone, Copy)]
struct Seen {
    from: (Instant, u64),
    length: Duration,
}

/// The chain's clock.
#[derive(Debug, Default)]
pub struct Clock(Mutex<Option<Seen>>);

impl Clock {
    /// A slot was read at `now`.
    pub fn saw(&self, slot: u64, now: Instant) {
        let mut seen = self.0.lock();
        let Some(known) = seen.as_mut() else {
            *seen = Some(Seen {
                from: (now, slot),
                length: SLOT,
            });
            return;
        };
        let (since, first) = known.from;
        let time = now.duration_since(since);
        let Some(slots) = slot.checked_sub(first) else {
            // Another chain, or a node that is behind.
            known.from = (now, slot);
            return;
        };
        if slots >= SPAN {
            let slots = u32::try_from(slots).unwrap_or(u32::MAX);
            known.length = (time / slots).clamp(BOUNDS.0, BOUNDS.1);
        }
        if time > LIFE {
            known.from = (now, slot);
        }
    }

    /// How long so many slots take.
    pub fn time_of(&self, slots: u64) -> Duration {
        let length = self.0.lock().map_or(SLOT, |seen| seen.length);
        length.saturating_mul(u32::try_from(slots).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_takes_400_ms_until_it_is_measured() {
        let (clock, now) = (Clock::default(), Instant::now());
        assert_eq!(clock.time_of(10), Duration::from_secs(4));
        clock.saw(100, now);
        clock.saw(110, now + Duration::from_secs(1));
        assert_eq!(clock.time_of(10), Duration::from_secs(4), "too few slots");
        clock.saw(200, now + Duration::from_secs(10));
        assert_eq!(clock.time_of(10), Duration::from_secs(1));
    }

    #[test]
    fn what_the_chain_says_is_believed_within_bounds() {
        let (clock, now) = (Clock::default(), Instant::now());
        clock.saw(0, now);
        clock.saw(1_000_000, now + Duration::from_secs(1));
        assert_eq!(clock.time_of(1), BOUNDS.0);
        clock.saw(5, now + Duration::from_secs(2));
        clock.saw(30, now + Duration::from_secs(500));
        assert_eq!(clock.time_of(1), BOUNDS.1);
    }
}
