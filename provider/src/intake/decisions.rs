//! What became of each open request here, in words: a tenant that waits asks.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use solana_pubkey::Pubkey;

use super::fit::Decline;

/// Pause before a request that could not be taken for a passing reason is looked at again.
const AGAIN: Duration = Duration::from_secs(5);
/// How long it is told what became of a request that is not open any more.
const TOLD: Duration = Duration::from_secs(900);
/// Decisions that are remembered at most.
const MOST: usize = 4_096;

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Its spec is being read.
    Reading,
    /// It is promised a lease.
    Taken,
    /// It is not taken; it may be later if `again`.
    Declined {
        /// In words.
        reason: String,
        again: bool,
    },
}

impl Decision {
    pub(super) fn declined(decline: &Decline) -> Self {
        Self::Declined {
            reason: decline.to_string(),
            again: decline.is_passing(),
        }
    }
}

/// Decisions by request.
#[derive(Debug, Default)]
pub struct Decisions(Mutex<HashMap<Pubkey, (Decision, Instant)>>);

impl Decisions {
    /// What became of a request, if it was seen.
    pub fn of(&self, request: &Pubkey) -> Option<Decision> {
        Some(self.0.lock().get(request)?.0.clone())
    }

    pub(super) fn set(&self, request: Pubkey, decision: Decision) {
        self.0.lock().insert(request, (decision, Instant::now()));
    }

    /// Whether a request is to be read now; then it is being read.
    pub(super) fn begin(&self, request: Pubkey) -> bool {
        self.begin_at(request, Instant::now())
    }

    fn begin_at(&self, request: Pubkey, now: Instant) -> bool {
        let mut all = self.0.lock();
        let due = match all.get(&request) {
            None => true,
            Some((Decision::Declined { again, .. }, at)) => {
                *again && now.duration_since(*at) >= AGAIN
            }
            Some(_) => false,
        };
        if due {
            all.insert(request, (Decision::Reading, now));
        }
        due
    }

    /// Forgets what nobody asks for: requests that are not open any more, after a while.
    pub(super) fn keep(&self, open: &[Pubkey]) {
        let now = Instant::now();
        let mut all = self.0.lock();
        let full = all.len() > MOST;
        all.retain(|request, (_, at)| {
            open.contains(request) || (!full && now.duration_since(*at) < TOLD)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_once_and_again_only_where_that_may_help() {
        let (decisions, now) = (Decisions::default(), Instant::now());
        let key = Pubkey::new_from_array([1; 32]);
        assert_eq!(decisions.of(&key), None);
        assert!(decisions.begin_at(key, now) && !decisions.begin_at(key, now));
        assert_eq!(decisions.of(&key), Some(Decision::Reading));
        decisions.set(key, Decision::declined(&Decline::NoUnits));
        assert!(!decisions.begin_at(key, Instant::now()));
        assert!(decisions.begin_at(key, Instant::now() + AGAIN));
        decisions.set(key, Decision::declined(&Decline::Container));
        assert!(!decisions.begin_at(key, Instant::now() + 10 * AGAIN));
        decisions.keep(&[]);
        assert!(decisions.of(&key).is_some(), "it is told for a while");
    }
}
