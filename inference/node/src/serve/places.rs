//! Places for jobs that the chain has not shown yet: few, and for each requester and each address fewer, since nobody has paid
//! for them. A place is given back when the job is seen or ends.

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use parking_lot::Mutex;

use super::admit::Decline;

/// Most unseen jobs.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Of all together.
    pub all: usize,
    /// Of one requester.
    pub requester: usize,
    /// Of one address; of one network of 2^64 addresses where they are long.
    pub address: usize,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    requesters: HashMap<[u8; 32], usize>,
    addresses: HashMap<IpAddr, usize>,
}

/// The places.
#[derive(Debug)]
pub struct Places {
    limits: Limits,
    taken: Arc<Mutex<Taken>>,
}

/// A place that is taken until it is dropped.
#[derive(Debug)]
pub struct Place {
    taken: Arc<Mutex<Taken>>,
    requester: [u8; 32],
    address: IpAddr,
}

impl Places {
    /// All free.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            taken: Arc::default(),
        }
    }

    /// Takes a place for a job of `requester` that came from `address`.
    pub fn take(&self, requester: [u8; 32], address: IpAddr) -> Result<Place, Decline> {
        let address = network(address);
        let mut taken = self.taken.lock();
        if taken.all >= self.limits.all {
            return Err(Decline::Unseen("jobs"));
        }
        if count(&taken.requesters, &requester) >= self.limits.requester {
            return Err(Decline::Unseen("jobs of this requester"));
        }
        if count(&taken.addresses, &address) >= self.limits.address {
            return Err(Decline::Unseen("jobs from this address"));
        }
        taken.all += 1;
        *taken.requesters.entry(requester).or_default() += 1;
        *taken.addresses.entry(address).or_default() += 1;
        Ok(Place {
            taken: self.taken.clone(),
            requester,
            address,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock();
        taken.all = taken.all.saturating_sub(1);
        give_back(&mut taken.requesters, &self.requester);
        give_back(&mut taken.addresses, &self.address);
    }
}

fn count<K: Eq + Hash>(map: &HashMap<K, usize>, key: &K) -> usize {
    map.get(key).copied().unwrap_or(0)
}

fn give_back<K: Eq + Hash>(map: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = map.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            map.remove(key);
        }
    }
}

/// What counts as one address: whoever has one IPv6 address has 2^64 of them.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unseen_jobs_are_few_and_each_strangers_fewer() {
        let places = Places::new(Limits {
            all: 4,
            requester: 2,
            address: 3,
        });
        let address = |n: u8| IpAddr::from([10, 0, 0, n]);
        let mut kept: Vec<Place> = (0..2)
            .map(|_| places.take([1; 32], address(1)).unwrap())
            .collect();
        assert!(places.take([1; 32], address(2)).is_err(), "requester");
        kept.push(places.take([2; 32], address(1)).unwrap());
        assert!(places.take([3; 32], address(1)).is_err(), "address");
        kept.push(places.take([3; 32], address(2)).unwrap());
        assert!(places.take([4; 32], address(3)).is_err(), "all");
        kept.remove(0);
        let again = places.take([1; 32], address(3)).unwrap();
        drop((kept, again));
        let taken = places.taken.lock();
        assert!(taken.all == 0 && taken.requesters.is_empty() && taken.addresses.is_empty());
    }

    #[test]
    fn long_addresses_count_by_network() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(
            network(address("2001:db8::1")),
            network(address("2001:db8::ffff:2"))
        );
        assert_ne!(
            network(address("2001:db8::1")),
            network(address("2001:db8:0:1::1"))
        );
        assert_eq!(network(address("::ffff:1.2.3.4")), address("1.2.3.4"));
    }
}
