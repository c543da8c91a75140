//! Values of environments that tenants told before their requests are read: for so many leases, for a while. Whoever signed them is their
//! tenant only if the request says so.

use std::{
    collections::HashMap,
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

/// Values by lease and signer.
#[derive(Default)]
pub struct Environments(Mutex<HashMap<Key, (Vec<Unsealed>, Instant)>>);

impl Environments {
    /// Keeps the values that a signer told for a lease, in the place of older ones; false if there is no room.
    pub fn put(&self, lease: Pubkey, signer: Pubkey, values: Vec<Unsealed>, now: Instant) -> bool {
        let mut all = self.0.lock();
        all.retain(|_, (_, at)| now.duration_since(*at) < KEEP);
        let own = all.keys().filter(|(_, by)| *by == signer).count();
        let is_new = !all.contains_key(&(lease, signer));
        if is_new && (own >= OF_ONE || all.len() >= KEPT) {
            return false;
        }
        all.insert((lease, signer), (values, now));
        true
    }

    /// The values that this tenant told for a lease.
    pub fn of(&self, lease: &Pubkey, tenant: &Pubkey) -> Option<Vec<Unsealed>> {
        let all = self.0.lock();
        Some(all.get(&(*lease, *tenant))?.0.clone())
    }

    /// They are kept elsewhere now.
    pub fn forget(&self, lease: &Pubkey, tenant: &Pubkey) {
        self.0.lock().remove(&(*lease, *tenant));
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
        assert!(kept.put(key(1), key(2), values("mine"), now));
        assert!(kept.put(key(1), key(3), values("forged"), now));
        assert!(kept.put(key(1), key(2), values("newer"), now));
        let found = kept.of(&key(1), &key(2)).unwrap();
        assert_eq!(found[0].value, "newer");
        assert!(kept.of(&key(2), &key(2)).is_none());
        kept.forget(&key(1), &key(2));
        assert!(kept.of(&key(1), &key(2)).is_none());
    }

    #[test]
    fn one_signer_takes_its_own_places_alone_and_they_come_back() {
        let (kept, now) = (Environments::default(), Instant::now());
        let taken = |at: Instant, signer: u32| {
            (0..100)
                .filter(|lease| kept.put(key(1_000 + lease), key(signer), values("a"), at))
                .count()
        };
        assert_eq!(taken(now, 1), OF_ONE);
        assert_eq!(taken(now, 2), OF_ONE);
        for signer in 3..100 {
            taken(now, signer);
        }
        assert_eq!(kept.0.lock().len(), KEPT);
        assert_eq!(taken(now, 200), 0);
        assert_eq!(taken(now + KEEP, 200), OF_ONE);
    }
}
