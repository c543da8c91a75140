//! Places of requests whose specs are fetched from strangers: so many at once, and few of one host and of one tenant, so that whoever
//! answers slowly holds up nobody else.

use std::sync::Arc;

use parking_lot::Mutex;

/// Specs that are fetched at once.
const AT_ONCE: usize = 8;
/// Of one host, and of one tenant.
const OF_ONE: usize = 2;

/// Who is asked, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    pub host: String,
    pub tenant: [u8; 32],
}

/// Places by what is fetched there.
#[derive(Debug, Clone, Default)]
pub struct Places(Arc<Mutex<Vec<Fetch>>>);

/// A place, until it is dropped.
#[derive(Debug)]
pub struct Place {
    places: Places,
    fetch: Fetch,
}

impl Places {
    /// A place for a fetch, if one is free.
    pub fn take(&self, fetch: Fetch) -> Option<Place> {
        let mut taken = self.0.lock();
        let of = |same: &dyn Fn(&Fetch) -> bool| taken.iter().filter(|other| same(other)).count();
        let is_free = taken.len() < AT_ONCE
            && of(&|other| other.host == fetch.host) < OF_ONE
            && of(&|other| other.tenant == fetch.tenant) < OF_ONE;
        if !is_free {
            return None;
        }
        taken.push(fetch.clone());
        let places = self.clone();
        Some(Place { places, fetch })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.lock();
        if let Some(at) = taken.iter().position(|other| *other == self.fetch) {
            taken.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetch(host: &str, tenant: u8) -> Fetch {
        Fetch {
            host: host.into(),
            tenant: [tenant; 32],
        }
    }

    #[test]
    fn a_slow_host_and_a_busy_tenant_leave_places_to_others() {
        let places = Places::default();
        let slow: Vec<_> = (0..16)
            .filter_map(|tenant| places.take(fetch("tar.example", tenant)))
            .collect();
        assert_eq!(slow.len(), OF_ONE);
        let busy: Vec<_> = (0..16)
            .filter_map(|host| places.take(fetch(&host.to_string(), 99)))
            .collect();
        assert_eq!(busy.len(), OF_ONE);
        let honest = places.take(fetch("specs.example", 50));
        assert!(honest.is_some());
        let mut others: Vec<_> = (100..200)
            .filter_map(|n| places.take(fetch(&n.to_string(), n)))
            .collect();
        assert_eq!(others.len(), AT_ONCE - 2 * OF_ONE - 1);
        // A place that is left is another's.
        others.pop();
        assert!(places.take(fetch("late.example", 51)).is_some());
    }
}
