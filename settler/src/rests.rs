//! Accounts that are left alone for a while: those about which the chain refused what was sent, ever longer, and those about which
//! there was nothing to do. Pure.

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

use solana_pubkey::Pubkey;

#[derive(Debug)]
struct Rest {
    until: Instant,
    /// The next one, if it comes before this one is forgotten.
    next: Duration,
}

/// Which accounts rest.
#[derive(Debug)]
pub(crate) struct Rests {
    /// First and longest pause; each is twice the one before.
    pauses: (Duration, Duration),
    /// Accounts that are remembered: strangers make them.
    most: usize,
    of: HashMap<Pubkey, Rest>,
    /// The same by their ends.
    ends: BTreeSet<(Instant, Pubkey)>,
}

impl Rests {
    /// With these first and longest pauses, of so many accounts. Of more, those that would rest the shortest time do not.
    pub fn new(first: Duration, longest: Duration, most: usize) -> Self {
        Self {
            pauses: (first, longest),
            most,
            of: HashMap::new(),
            ends: BTreeSet::new(),
        }
    }

    /// Whether an account is left alone now.
    pub fn has(&self, account: &Pubkey, now: Instant) -> bool {
        self.of.get(account).is_some_and(|rest| now < rest.until)
    }

    /// Leaves an account alone from now on.
    pub fn begin(&mut self, account: Pubkey, now: Instant) {
        let (first, longest) = self.pauses;
        let pause = self.forget(&account).map_or(first, |rest| rest.next);
        while self.of.len() >= self.most
            && let Some((_, soonest)) = self.ends.pop_first()
        {
            self.of.remove(&soonest);
        }
        let rest = Rest {
            until: now + pause,
            next: (2 * pause).min(longest),
        };
        self.ends.insert((rest.until, account));
        self.of.insert(account, rest);
    }

    /// Something about it was done.
    pub fn end(&mut self, account: &Pubkey) {
        self.forget(account);
    }

    fn forget(&mut self, account: &Pubkey) -> Option<Rest> {
        let rest = self.of.remove(account)?;
        self.ends.remove(&(rest.until, *account));
        Some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MOST: usize = 100;

    fn rests() -> Rests {
        Rests::new(30 * SECOND, 3_600 * SECOND, MOST)
    }

    fn key(n: u64) -> Pubkey {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&n.to_le_bytes());
        Pubkey::new_from_array(bytes)
    }

    #[test]
    fn what_is_refused_again_rests_twice_as_long_up_to_a_bound() {
        let (mut rests, mut now) = (rests(), Instant::now());
        for seconds in [30, 60, 120, 240, 480, 960, 1_920, 3_600, 3_600] {
            rests.begin(key(1), now);
            assert!(rests.has(&key(1), now + (seconds - 1) * SECOND));
            assert!(!rests.has(&key(2), now));
            now += seconds * SECOND;
            assert!(!rests.has(&key(1), now), "{seconds}");
        }
        rests.end(&key(1));
        rests.begin(key(1), now);
        assert!(!rests.has(&key(1), now + 30 * SECOND));
        assert_eq!((rests.of.len(), rests.ends.len()), (1, 1));
    }

    #[test]
    fn of_more_than_are_remembered_those_that_rest_longest_stay() {
        let (mut rests, now) = (rests(), Instant::now());
        // Refused three times, the last time for two minutes.
        for _ in 0..3 {
            rests.begin(key(0), now);
        }
        for n in 1..=3 * MOST as u64 {
            rests.begin(key(n), now + Duration::from_millis(n));
            assert!(rests.of.len() <= MOST && rests.ends.len() == rests.of.len());
        }
        let later = now + SECOND;
        assert!(rests.has(&key(0), later));
        assert!(!rests.has(&key(1), later), "the soonest is forgotten");
        let kept = (1..=3 * MOST as u64).filter(|n| rests.has(&key(*n), later));
        assert_eq!(kept.count(), MOST - 1);
    }
}
