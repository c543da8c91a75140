//! Who holds how many connections of a listener.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use crate::limits::Limits;

/// Counts of open connections.
#[derive(Debug, Default)]
struct Counts {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// The connections of one listener.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places(Arc<Mutex<Counts>>);

/// One open connection; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Places,
    address: IpAddr,
}

/// Why a connection is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// The listener has as many as it may.
    Listener,
    /// The address has as many as it may.
    Address,
}

/// What is counted together: an IPv4 address, or the /64 that one IPv6 host usually owns.
fn group(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
    }
}

impl Places {
    fn counts(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn take(&self, address: IpAddr, limits: &Limits) -> Result<Place, Full> {
        let address = group(address);
        let mut counts = self.counts();
        if counts.all >= limits.connections {
            return Err(Full::Listener);
        }
        let held = counts.by_address.entry(address).or_default();
        if *held >= limits.connections_per_address {
            return Err(Full::Address);
        }
        *held += 1;
        counts.all += 1;
        Ok(Place {
            places: self.clone(),
            address,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.places.counts();
        counts.all = counts.all.saturating_sub(1);
        if let Some(held) = counts.by_address.get_mut(&self.address) {
            *held = held.saturating_sub(1);
            if *held == 0 {
                counts.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_by_address_and_given_back() {
        let limits = Limits {
            connections: 3,
            connections_per_address: 2,
            ..Limits::default()
        };
        let places = Places::default();
        let a: IpAddr = "2001:db8::1".parse().unwrap();
        let same_64: IpAddr = "2001:db8::ffff".parse().unwrap();
        let other: IpAddr = "192.0.2.1".parse().unwrap();
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        let first = places.take(a, &limits).unwrap();
        let _second = places.take(same_64, &limits).unwrap();
        assert_eq!(places.take(a, &limits).unwrap_err(), Full::Address);
        let third = places.take(other, &limits).unwrap();
        assert_eq!(places.take(mapped, &limits).unwrap_err(), Full::Listener);
        drop(third);
        drop(first);
        let _again = places.take(a, &limits).unwrap();
        let _mapped = places.take(mapped, &limits).unwrap();
        drop((_second, _again, _mapped));
        assert!(places.counts().by_address.is_empty());
    }
}
