//! Values of environments that tenants told before their requests are read: for so many leases, for a while. Whoever signed them is their
//! tenant only if the request says so.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde::Deserialize;
use solana_pubkey::Pubkey;

use crate::spec::container::Unsealed;

/// Environments that are kept at most, and of one signer.
const KEPT: usize = 512;
const OF_ONE: usize = 16;
/// How long one is kept that no request asked for.
const KEEP: Duration = Duration::from_secs(900);
/// Longest body that tells one, bytes.
pub const MAX_ENVIRONMENT: usize = 64 << 10;

/// What a tenant tells.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    pub values: Vec<Unsealed>,
}

/// A lease, and who told values for it.
type Key = (Pubkey, Pubkey);

/// Values that were told, from where, and when.
struct Environment {
    values: Vec<Unsealed>,
    by: IpAddr,
    at: Instant,
}

/// Values by lease and signer.
#[derive(Default)]
pub struct Environments(Mutex<HashMap<Key, Environment>>);

impl Environments {
    /// Keeps the values that a signer told from an address for a lease, in the place of older ones. Where there are too many the oldest go:
    /// of a signer its own, of all those of the address that told most, as keys cost nothing.
    pub fn put(
        &self,
        (lease, signer): (Pubkey, Pubkey),
        by: IpAddr,
        values: Vec<Unsealed>,
        now: Instant,
    ) {
        let mut all = self.0.lock();
        all.retain(|_, told| now.duration_since(told.at) < KEEP);
        let at = now;
        all.insert((lease, signer), Environment { values, by, at });
        let own = all.keys().filter(|(_, by)| *by == signer).count();
        if own > OF_ONE {
            evict(&mut all, |(_, by), _| *by == signer);
        } else if all.len() > KEPT {
            let most = most(&all);
            evict(&mut all, |_, told| most.is_none_or(|most| told.by == most));
        }
    }

    /// The values that this tenant told for a lease.
    pub fn of(&self, lease: &Pubkey, tenant: &Pubkey) -> Option<Vec<Unsealed>> {
        let all = self.0.lock();
        Some(all.get(&(*lease, *tenant))?.values.clone())
    }

    /// They are kept elsewhere now.
    pub fn forget(&self, lease: &Pubkey, tenant: &Pubkey) {
        self.0.lock().remove(&(*lease, *tenant));
    }
}

/// The address that told most.
fn most(all: &HashMap<Key, Environment>) -> Option<IpAddr> {
    let mut counts: HashMap<IpAddr, usize> = HashMap::new();
    for told in all.values() {
        *counts.entry(told.by).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count);
    most.map(|(by, _)| by)
}

/// Takes away the oldest of those that may go.
fn evict(all: &mut HashMap<Key, Environment>, may: impl Fn(&Key, &Environment) -> bool) {
    let those = all.iter().filter(|&(key, told)| may(key, told));
    let oldest = those.min_by_key(|(_, told)| told.at).map(|(key, _)| *key);
    if let Some(oldest) = oldest {
        all.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u32) -> Pubkey {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&n.to_le_bytes());
        Pubkey::new_from_array(bytes)
    }

    fn from(n: u8) -> IpAddr {
        [192, 0, 2, n].into()
    }

    fn values(value: &str) -> Vec<Unsealed> {
        vec![Unsealed {
            name: "A".into(),
            salt: String::new(),
            value: value.into(),
        }]
    }

    #[test]
    fn values_are_their_signers_and_nobody_elses() {
        let (kept, now) = (Environments::default(), Instant::now());
        kept.put((key(1), key(2)), from(1), values("mine"), now);
        kept.put((key(1), key(3)), from(2), values("forged"), now);
        kept.put((key(1), key(2)), from(1), values("newer"), now);
        let found = kept.of(&key(1), &key(2)).unwrap();
        assert_eq!(found[0].value, "newer");
        assert!(kept.of(&key(2), &key(2)).is_none());
        kept.forget(&key(1), &key(2));
        assert!(kept.of(&key(1), &key(2)).is_none());
    }

    #[test]
    fn one_signer_takes_its_own_places_alone_and_the_oldest_go() {
        let (kept, now) = (Environments::default(), Instant::now());
        let at = |millis: u64| now + Duration::from_millis(millis);
        kept.put((key(1), key(1)), from(1), values("honest"), at(0));
        for lease in 0..100 {
            let of = (key(1_000 + lease), key(2));
            kept.put(of, from(2), values("a"), at(u64::from(lease)));
        }
        assert_eq!(kept.0.lock().len(), OF_ONE + 1);
        assert!(kept.of(&key(1), &key(1)).is_some());
        assert!(kept.of(&key(1_000), &key(2)).is_none(), "its oldest went");
        assert!(kept.of(&key(1_099), &key(2)).is_some());
        // With as many keys as it likes an address pushes out nobody else's.
        for signer in 0..2 * KEPT as u32 {
            let of = (key(1), key(10 + signer));
            kept.put(of, from(2), values("a"), at(1_000));
            assert!(kept.0.lock().len() <= KEPT);
        }
        assert!(kept.of(&key(1), &key(1)).is_some());
        assert!(kept.of(&key(1_099), &key(2)).is_none(), "it was the oldest");
        let late = now + 2 * KEEP;
        kept.put((key(1), key(1)), from(1), values("late"), late);
        assert_eq!(kept.0.lock().len(), 1, "what nobody asked for is gone");
    }
}
