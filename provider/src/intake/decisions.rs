//! What became of each open request here, in words: a tenant that waits asks.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use solana_pubkey::Pubkey;

use super::fit::Decline;
use crate::source::SourceError;

/// Pause before a request that could not be taken for a passing reason is looked at again.
const AGAIN: Duration = Duration::from_secs(5);
/// How long it is told what became of a request that is not open any more.
const TOLD: Duration = Duration::from_secs(900);
/// How often a spec is fetched in vain at most: a source that does not answer twice is not waited for again.
const FETCHES: u8 = 2;
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

/// A decision, when it was made, how often the spec was fetched in vain, and the word of the last refusal.
#[derive(Debug)]
struct Made {
    decision: Decision,
    at: Instant,
    fetches: u8,
    word: Option<&'static str>,
}

/// Decisions by request.
#[derive(Debug, Default)]
pub struct Decisions(Mutex<HashMap<Pubkey, Made>>);

impl Decisions {
    /// What became of a request, if it was seen.
    pub fn of(&self, request: &Pubkey) -> Option<Decision> {
        Some(self.0.lock().get(request)?.decision.clone())
    }

    /// The request is promised a lease.
    pub(super) fn take(&self, request: Pubkey) {
        self.take_at(request, Instant::now());
    }

    /// [`Self::take`] at some time.
    pub fn take_at(&self, request: Pubkey, now: Instant) {
        self.set(request, Decision::Taken, (0, None), now);
    }

    /// The request is not taken; whether it is looked at again follows from why, and from how often its source was silent. Whether it
    /// was not declined for this before.
    pub(super) fn decline(&self, request: Pubkey, decline: &Decline) -> bool {
        self.decline_at(request, decline, Instant::now())
    }

    /// [`Self::decline`] at some time.
    pub fn decline_at(&self, request: Pubkey, decline: &Decline, now: Instant) -> bool {
        let silent = matches!(decline, Decline::Source(SourceError::Fetch(_)));
        let (had, before) = self.before(&request);
        let fetches = had.saturating_add(silent.into());
        let decision = Decision::Declined {
            reason: decline.to_string(),
            again: decline.is_passing() && fetches < FETCHES,
        };
        let word = Some(decline.word());
        self.set(request, decision, (fetches, word), now);
        word != before
    }

    /// How often a request's spec was fetched in vain, and the word of its last refusal.
    fn before(&self, request: &Pubkey) -> (u8, Option<&'static str>) {
        let all = self.0.lock();
        all.get(request)
            .map_or((0, None), |made| (made.fetches, made.word))
    }

    fn set(
        &self,
        request: Pubkey,
        decision: Decision,
        (fetches, word): (u8, Option<&'static str>),
        at: Instant,
    ) {
        let made = Made {
            decision,
            at,
            fetches,
            word,
        };
        self.0.lock().insert(request, made);
    }

    /// Whether a request is to be read now; then it is being read.
    pub(super) fn begin(&self, request: Pubkey) -> bool {
        self.begin_at(request, Instant::now())
    }

    /// [`Self::begin`] at some time.
    pub fn begin_at(&self, request: Pubkey, now: Instant) -> bool {
        let due = self.is_due(&request, now);
        if due {
            let before = self.before(&request);
            self.set(request, Decision::Reading, before, now);
        }
        due
    }

    /// Whether a request is to be read: it is new, or was declined for a while that is over.
    pub fn is_due(&self, request: &Pubkey, now: Instant) -> bool {
        match self.0.lock().get(request) {
            None => true,
            Some(made) => match made.decision {
                Decision::Declined { again, .. } => again && now.duration_since(made.at) >= AGAIN,
                Decision::Reading | Decision::Taken => false,
            },
        }
    }

    /// Forgets what nobody asks for: requests that are not open any more, after a while.
    pub(super) fn keep(&self, open: &[Pubkey]) {
        self.keep_at(open, Instant::now());
    }

    /// [`Self::keep`] at some time.
    pub fn keep_at(&self, open: &[Pubkey], now: Instant) {
        let mut all = self.0.lock();
        let full = all.len() > MOST;
        all.retain(|request, made| {
            open.contains(request) || (!full && now.duration_since(made.at) < TOLD)
        });
    }
}

#[cfg(test)]
mod tests {
    use mythic_wire::dial::OutboundError;

    use super::*;

    #[test]
    fn a_request_is_read_once_and_again_only_where_that_may_help() {
        let (decisions, now) = (Decisions::default(), Instant::now());
        let key = Pubkey::new_from_array([1; 32]);
        assert_eq!(decisions.of(&key), None);
        assert!(decisions.begin_at(key, now) && !decisions.begin_at(key, now));
        assert_eq!(decisions.of(&key), Some(Decision::Reading));
        assert!(decisions.decline(key, &Decline::NoUnits), "it is news");
        assert!(!decisions.begin_at(key, Instant::now()));
        assert!(decisions.begin_at(key, Instant::now() + AGAIN));
        assert!(!decisions.decline(key, &Decline::NoUnits), "it is none");
        assert!(decisions.decline(key, &Decline::Container));
        assert!(!decisions.begin_at(key, Instant::now() + 10 * AGAIN));
        let now = Instant::now();
        decisions.keep_at(&[], now);
        assert!(decisions.of(&key).is_some(), "it is told for a while");
        decisions.keep_at(&[], now + TOLD);
        assert_eq!(decisions.of(&key), None);
    }

    #[test]
    fn a_source_that_was_silent_twice_is_not_waited_for_again() {
        let (decisions, key) = (Decisions::default(), Pubkey::new_from_array([1; 32]));
        let silent = || {
            let failed = OutboundError::Failed {
                url: "http://tar.example/x".into(),
                reason: "no whole answer within 10 s".into(),
            };
            Decline::Source(SourceError::Fetch(failed))
        };
        let later = || Instant::now() + 2 * AGAIN;
        assert!(decisions.begin_at(key, Instant::now()));
        decisions.decline(key, &silent());
        // What else passes is no fault of the source's.
        decisions.decline(key, &Decline::NoUnits);
        assert!(decisions.begin_at(key, later()));
        decisions.decline(key, &silent());
        assert!(!decisions.begin_at(key, later()));
        let Some(Decision::Declined { again, .. }) = decisions.of(&key) else {
            panic!("it is declined");
        };
        assert!(!again);
    }
}
