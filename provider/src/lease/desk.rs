//! The leases in care: where whoever reads the chain reaches their tasks.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use mythic_interface::market::state::LeaseStatus;
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
        self.enter_at(lease, promise, Instant::now())
    }

    /// [`Self::enter`] at some time.
    pub fn enter_at(
        &self,
        lease: Pubkey,
        promise: Arc<Promise>,
        since: Instant,
    ) -> Option<mpsc::Receiver<Event>> {
        let (events, received) = mpsc::channel(WAITING);
        let mut all = self.0.write();
        if all.contains_key(&lease) {
            return None;
        }
        let place = Place {
            events,
            promise,
            since,
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

    /// Whether a lease in care was promised a container.
    pub fn has_container(&self, lease: &Pubkey) -> bool {
        let all = self.0.read();
        let place = all.get(lease);
        place.is_some_and(|place| place.promise.container.is_some())
    }

    /// The leases in care.
    pub fn leases(&self) -> Vec<Pubkey> {
        self.0.read().keys().copied().collect()
    }

    /// Whether a lease in care has this key.
    pub fn has_key(&self, key_hash: &str) -> bool {
        let all = self.0.read();
        let is_same = |own: &str| !own.is_empty() && own.eq_ignore_ascii_case(key_hash);
        all.values().any(|place| is_same(&place.promise.key_hash))
    }

    /// Ports of this machine and numbers of networks that leases in care have.
    pub fn taken(&self) -> (HashSet<u16>, HashSet<u16>) {
        let all = self.0.read();
        let contained = all
            .values()
            .filter_map(|place| place.promise.container.as_ref());
        let (mut ports, mut places) = (HashSet::new(), HashSet::new());
        for one in contained {
            ports.extend(&one.ports);
            places.insert(one.place);
        }
        (ports, places)
    }

    /// MiB that the containers of leases in care may come to use.
    pub fn memory_mib(&self) -> u64 {
        let all = self.0.read();
        let contained = all
            .values()
            .filter_map(|place| place.promise.container.as_ref());
        contained.map(|one| u64::from(one.spec.memory_mib)).sum()
    }

    /// Containers of leases in care that have not ended, and MiB of their disks.
    pub fn disks(&self) -> Vec<(String, u32)> {
        let all = self.0.read();
        let disk = |(lease, place): (&Pubkey, &Place)| {
            let contained = place.promise.container.as_ref()?;
            let is_over = place.standing.status == Some(LeaseStatus::Ended);
            (!is_over).then(|| (lease.to_string(), contained.spec.disk_mib))
        };
        all.iter().filter_map(disk).collect()
    }

    /// What the tenant of a lease in care is given to reach it.
    pub fn access(&self, lease: &Pubkey) -> Option<String> {
        let all = self.0.read();
        let access = &all.get(lease)?.promise.access;
        (!access.is_empty()).then(|| access.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Contained;

    #[test]
    fn what_containers_have_is_taken_until_their_leases_leave() {
        let desk = Desk::default();
        let promise = |place: u16, ports: Vec<u16>| {
            Arc::new(Promise {
                request: String::new(),
                deadline_slot: 0,
                tenant: "alice".into(),
                units: 1,
                weights: String::new(),
                model: String::new(),
                key_hash: String::new(),
                max_concurrent: 0,
                access: "{}".into(),
                container: Some(Contained {
                    spec: crate::spec::container::tests::small(),
                    environment: Vec::new(),
                    host_key: String::new(),
                    ports,
                    place,
                }),
            })
        };
        let lease = |n: u8| Pubkey::new_from_array([n; 32]);
        let _first = desk.enter(lease(1), promise(4, vec![1, 2])).unwrap();
        let _second = desk.enter(lease(2), promise(5, vec![3])).unwrap();
        assert_eq!(
            desk.taken(),
            (HashSet::from([1, 2, 3]), HashSet::from([4, 5]))
        );
        assert_eq!(desk.memory_mib(), 128);
        // Containers have no key, and none is another's.
        assert!(!desk.has_key(""));
        // One that is only seen to its end was promised none.
        let _third = desk.enter(lease(3), Arc::default()).unwrap();
        assert!(desk.has_container(&lease(1)) && desk.has(&lease(3)));
        assert!(!desk.has_container(&lease(3)) && !desk.has_container(&lease(4)));
        desk.leave(&lease(1));
        assert_eq!(desk.taken(), (HashSet::from([3]), HashSet::from([5])));
        assert_eq!(desk.memory_mib(), 64);
        assert_eq!(desk.disks(), [(lease(2).to_string(), 64)]);
        let standing = Standing {
            status: Some(LeaseStatus::Ended),
            missed: 0,
        };
        desk.stands(&lease(2), standing);
        assert!(desk.disks().is_empty());
    }

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
            container: None,
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
