//! Warnings that repeat: the first is logged, the rest of a period only counted.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Lets one message through in each period.
#[derive(Debug)]
pub struct Throttle {
    period: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    held_back: u64,
}

impl Throttle {
    /// One message in `period`.
    pub fn new(period: Duration) -> Self {
        Self {
            period,
            state: Mutex::default(),
        }
    }

    /// Whether to log now: `Some` with the number of messages held back since the last one, `None` to stay quiet.
    pub fn allow(&self) -> Option<u64> {
        self.allow_at(Instant::now())
    }

    fn allow_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let since = |last: Instant| now.saturating_duration_since(last);
        if state.last.is_some_and(|last| since(last) < self.period) {
            state.held_back = state.held_back.saturating_add(1);
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_message_a_period_says_how_many_were_held_back() {
        let throttle = Throttle::new(Duration::from_secs(10));
        let now = Instant::now();
        assert_eq!(throttle.allow_at(now), Some(0));
        assert_eq!(throttle.allow_at(now), None);
        assert_eq!(throttle.allow_at(now + Duration::from_secs(9)), None);
        let later = now + Duration::from_secs(11);
        assert_eq!(throttle.allow_at(later), Some(2));
        assert_eq!(throttle.allow_at(later), None);
    }
}
