//! Places of connections whose clients have not said yet who they are: few of one address, so that strangers leave some to the tenant.

use std::{net::IpAddr, sync::Arc};

use parking_lot::Mutex;

/// Places at once, and of one address.
const AT_ONCE: usize = 32;
const OF_ONE: usize = 8;

/// Addresses of those that wait.
#[derive(Debug, Clone, Default)]
pub struct Waiting(Arc<Mutex<Vec<IpAddr>>>);

/// A place, until it is dropped.
#[derive(Debug)]
pub struct Wait {
    waiting: Waiting,
    address: IpAddr,
}

impl Waiting {
    /// A place for a connection from an address, if one is free.
    pub fn take(&self, address: IpAddr) -> Option<Wait> {
        let mut taken = self.0.lock();
        let own = taken.iter().filter(|other| **other == address).count();
        if taken.len() >= AT_ONCE || own >= OF_ONE {
            return None;
        }
        taken.push(address);
        let waiting = self.clone();
        Some(Wait { waiting, address })
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut taken = self.waiting.0.lock();
        if let Some(at) = taken.iter().position(|other| *other == self.address) {
            taken.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_leaves_places_to_others() {
        let (waiting, of) = (Waiting::default(), |n: u8| IpAddr::from([192, 0, 2, n]));
        let mut first: Vec<_> = (0..99).filter_map(|_| waiting.take(of(1))).collect();
        assert_eq!(first.len(), OF_ONE);
        let others: Vec<_> = (2..99).filter_map(|n| waiting.take(of(n))).collect();
        assert_eq!(others.len(), AT_ONCE - OF_ONE);
        // A place that is left is another's.
        assert!(waiting.take(of(200)).is_none());
        first.pop();
        assert!(waiting.take(of(200)).is_some());
    }
}
