//! Accounts that are left alone for a while: those about which the chain refused what was sent, ever longer, and those about which
//! there was nothing to do. Pure.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use solana_pubkey::Pubkey;

/// Accounts that are remembered: strangers make them.
const MAX: usize = 10_000;

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
    of: HashMap<Pubkey, Rest>,
}

impl Rests {
    /// With these first and longest pauses.
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self {
            pauses: (first, longest),
            of: HashMap::new(),
        }
    }

    /// Whether an account is left alone now.
    pub fn has(&self, account: &Pubkey, now: Instant) -> bool {
        self.of.get(account).is_some_and(|rest| now < rest.until)
    }

    /// Leaves an account alone from now on.
    pub fn begin(&mut self, account: Pubkey, now: Instant) {
        if self.of.len() >= MAX && !self.of.contains_key(&account) {
            self.of.retain(|_, rest| now < rest.until);
            if self.of.len() >= MAX {
                self.of.clear();
            }
        }
        let (first, longest) = self.pauses;
        let rest = self.of.entry(account).or_insert(Rest {
            until: now,
            next: first,
        });
        rest.until = now + rest.next;
        rest.next = (2 * rest.next).min(longest);
    }

    /// Something about it was done.
    pub fn end(&mut self, account: &Pubkey) {
        self.of.remove(account);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn rests() -> Rests {
        Rests::new(30 * SECOND, 3_600 * SECOND)
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
    }

    #[test]
    fn strangers_fill_no_memory() {
        let (mut full, now) = (rests(), Instant::now());
        for n in 0..3 * MAX as u64 {
            full.begin(key(n), now);
            assert!(full.of.len() <= MAX);
        }
        // What is over is forgotten first.
        let mut rests = rests();
        for n in 0..MAX as u64 {
            rests.begin(key(n), now);
        }
        rests.begin(key(1 << 40), now + 30 * SECOND);
        assert_eq!(rests.of.len(), 1);
    }
}
