//! How often each of many may do something: so many at once, and one more each while.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::Mutex,
    time::{Duration, Instant},
};

/// Allowances by key, for a bounded number of keys.
#[derive(Debug)]
pub struct Allowance<K> {
    burst: u32,
    every: Duration,
    most: usize,
    /// When each key's allowance is whole again.
    whole: Mutex<HashMap<K, Instant>>,
}

impl<K: Eq + Hash + Clone> Allowance<K> {
    /// `burst` at once and one more each `every`, for at most `most` keys at a time.
    pub fn new(burst: u32, every: Duration, most: usize) -> Self {
        Self {
            burst,
            every,
            most,
            whole: Mutex::default(),
        }
    }

    /// Whether `key` may do it now; counts nothing.
    pub fn is_left(&self, key: &K, now: Instant) -> bool {
        let whole = self
            .whole
            .lock()
            .unwrap_or_else(|broken| broken.into_inner());
        let at = whole.get(key).map_or(now, |at| (*at).max(now));
        at + self.every <= now + self.every * self.burst
    }

    /// Counts one of `key`; false if it has had its share, or too many others have.
    pub fn take(&self, key: &K, now: Instant) -> bool {
        let mut whole = self
            .whole
            .lock()
            .unwrap_or_else(|broken| broken.into_inner());
        if whole.len() >= self.most && !whole.contains_key(key) {
            whole.retain(|_, at| *at > now);
            if whole.len() >= self.most {
                return false;
            }
        }
        let at = whole.get(key).map_or(now, |at| (*at).max(now));
        let next = at + self.every;
        if next > now + self.every * self.burst {
            return false;
        }
        whole.insert(key.clone(), next);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_few_at_once_and_one_more_in_a_while() {
        let allowance = Allowance::new(3, Duration::from_secs(2), 2);
        let now = Instant::now();
        let taken = |at: Instant, who: u8| (0..9).filter(|_| allowance.take(&who, at)).count();
        assert!(allowance.is_left(&1, now));
        assert_eq!(taken(now, 1), 3);
        assert!(!allowance.is_left(&1, now));
        assert_eq!(taken(now, 2), 3);
        assert_eq!(taken(now, 3), 0, "no room for a third");
        assert_eq!(taken(now + Duration::from_secs(2), 1), 1);
        assert_eq!(
            taken(now + Duration::from_secs(60), 3),
            3,
            "the others are whole again"
        );
    }
}
