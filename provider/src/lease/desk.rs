//! The leases in care: where whoever reads the chain reaches their tasks.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::RwLock;
use solana_pubkey::Pubkey;
use tokio::sync::mpsc;

use super::fsm::{Event, Standing};
use crate::journal::Promise;

/// Events that wait for a lease's task at most; what is beyond is read again soon.
pub const WAITING: usize = 16;

/// How long a promise that the chain does not show yet takes up its units here: an acceptance lands in seconds, or not at all.
pub const LANDS: Duration = Duration::from_secs(30);

/// Tasks by lease.
#[derive(Debug, Default)]
pub struct Desk(RwLock<HashMap<Pubkey, Place>>);

#[derive(Debug)]
struct Place {
    events: mpsc::Sender<Event>,
    promise: Arc<Promise>,
    since: Instant,
    /// The chain has shown the lease, whosever it is.
    seen: bool,
    standing: Standing,
}

/// What was promised and is not on chain yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Promised {
    pub leases: u64,
    pub units: u64,
}

impl Desk {
    /// A place for a lease; what its task receives. `None` if it has one.
    pub fn enter(&self, lease: Pubkey, promise: Arc<Promise>) -> Option<mpsc::Receiver<Event>> {
        let (events, received) = mpsc::channel(WAITING);
        let mut all = self.0.write();
        if all.contains_key(&lease) {
            return None;
        }
        let place = Place {
            events,
            promise,
            since: Instant::now(),
            seen: false,
            standing: Standing::default(),
        };
        all.insert(lease, place);
        Some(received)
    }

    /// The lease's task has ended.
    pub fn leave(&self, lease: &Pubkey) {
        self.0.write().remove(lease);
    }

    /// Tells a lease's task; false if it is not in care.
    pub fn tell(&self, lease: &Pubkey, event: Event) -> bool {
        let all = self.0.read();
        let Some(place) = all.get(lease) else {
            return false;
        };
        let _ = place.events.try_send(event);
        true
    }

    /// The chain has shown a lease.
    pub fn seen(&self, lease: &Pubkey) {
        if let Some(place) = self.0.write().get_mut(lease) {
            place.seen = true;
        }
    }

    /// A lease stands like this.
    pub fn stands(&self, lease: &Pubkey, standing: Standing) {
        if let Some(place) = self.0.write().get_mut(lease) {
            place.standing = standing;
        }
    }

    /// How the leases in care stand.
    pub fn standings(&self) -> Vec<Standing> {
        let all = self.0.read();
        all.values().map(|place| place.standing).collect()
    }

    /// What was promised a moment ago and is not on chain yet.
    pub fn promised(&self, now: Instant) -> Promised {
        let all = self.0.read();
        let open = |place: &&Place| !place.seen && now.duration_since(place.since) < LANDS;
        all.values()
            .filter(open)
            .fold(Promised::default(), |sum, place| Promised {
                leases: sum.leases + 1,
                units: sum.units + u64::from(place.promise.units),
            })
    }

    /// Leases in care of a tenant: until nothing is left of them.
    pub fn of_tenant(&self, tenant: &str) -> usize {
        let all = self.0.read();
        let own = |place: &&Place| place.promise.tenant == tenant;
        all.values().filter(own).count()
    }

    /// Whether a lease is in care.
    pub fn has(&self, lease: &Pubkey) -> bool {
        self.0.read().contains_key(lease)
    }

    /// The leases in care.
    pub fn leases(&self) -> Vec<Pubkey> {
        self.0.read().keys().copied().collect()
    }

    /// Whether a lease in care has this key.
    pub fn has_key(&self, key_hash: &str) -> bool {
        let all = self.0.read();
        all.values()
            .any(|place| place.promise.key_hash.eq_ignore_ascii_case(key_hash))
    }

    /// What the tenant of a lease in care is given to reach it.
    pub fn access(&self, lease: &Pubkey) -> Option<String> {
        let all = self.0.read();
        Some(all.get(lease)?.promise.access.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_has_one_place_until_it_leaves() {
        let desk = Desk::default();
        let lease = Pubkey::new_from_array([1; 32]);
        let promise = Arc::new(Promise {
            request: String::new(),
            deadline_slot: 0,
            tenant: "alice".into(),
            units: 1,
            weights: String::new(),
            model: "m@0".into(),
            key_hash: "ab".into(),
            max_concurrent: 1,
            access: "{}".into(),
        });
        let tick = || Event::Tick { slot: 1, second: 1 };
        assert!(!desk.tell(&lease, tick()), "it is not in care");
        let mut events = desk.enter(lease, promise.clone()).unwrap();
        assert!(desk.enter(lease, promise.clone()).is_none());
        assert!(desk.has_key("AB") && !desk.has_key("cd"));
        assert_eq!(desk.access(&lease).as_deref(), Some("{}"));
        // One that is behind holds nobody up.
        assert!((0..2 * WAITING).all(|_| desk.tell(&lease, tick())));
        assert!(events.try_recv().is_ok());
        assert_eq!((desk.of_tenant("alice"), desk.of_tenant("bob")), (1, 0));
        // Its unit is taken until the chain shows it, or could have.
        let now = Instant::now();
        let one = Promised {
            leases: 1,
            units: 1,
        };
        assert_eq!(desk.promised(now), one);
        assert_eq!(desk.promised(now + LANDS), Promised::default());
        desk.seen(&lease);
        assert_eq!(desk.promised(now), Promised::default());
        let standing = Standing {
            status: None,
            missed: 2,
        };
        desk.stands(&lease, standing);
        assert_eq!(desk.standings(), [standing]);
        desk.leave(&lease);
        assert!(desk.leases().is_empty() && !desk.has(&lease));
        assert!(desk.enter(lease, promise).is_some());
    }
}
