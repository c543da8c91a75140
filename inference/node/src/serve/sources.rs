//! Who makes the node wait for prompts: an open job's prompt lies with a server that a stranger named. Waiting takes none of the
//! engine's places but one of a few of its own, and a server that kept the node waiting is left alone for a while. Of our own gateways
//! it is the owner of the job who is: whoever likes names a gateway for a prompt that it never had.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use mythic_wire::Origin;
use parking_lot::Mutex;

/// Prompts that are waited for at the same time.
const ALL: usize = 8;
/// Of these, from servers that are no gateways of ours: however many they are, our own gateways' jobs are taken.
const STRANGERS: usize = 4;
/// Of these, from one such server.
const FROM_ONE: usize = 2;
/// Of these, for one owner's jobs.
const FOR_ONE: usize = 2;
/// How long a server, or an owner, is left alone after the first failure; each further one doubles it.
const REST: Duration = Duration::from_secs(60);
const LONGEST_REST: Duration = Duration::from_secs(6 * 3_600);
/// Failed servers and owners that are remembered.
const MOST: usize = 4_096;

/// A source that is waited for, and for whose job.
type Whose = (Origin, [u8; 32]);

/// Who is left alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Blamed {
    Server(Origin),
    Owner([u8; 32]),
}

#[derive(Debug, Clone, Copy)]
struct Failure {
    times: u32,
    until: Instant,
}

#[derive(Debug, Default)]
struct Waits {
    running: Vec<Whose>,
    failed: HashMap<Blamed, Failure>,
}

/// Servers that hold prompts, as they behaved.
#[derive(Debug)]
pub struct Sources {
    known: Vec<Origin>,
    waits: Arc<Mutex<Waits>>,
}

impl Sources {
    /// `known` are the node's own gateways, which may have more waits.
    pub fn new(known: Vec<Origin>) -> Self {
        Self {
            known,
            waits: Arc::default(),
        }
    }

    /// Whom a failure is held against.
    fn blamed(&self, source: &Origin, owner: &[u8; 32]) -> Blamed {
        match self.known.contains(source) {
            true => Blamed::Owner(*owner),
            false => Blamed::Server(source.clone()),
        }
    }

    /// Whether a prompt of `owner`'s job may be waited for at `source` now.
    pub fn is_open(&self, source: &Origin, owner: &[u8; 32], now: Instant) -> bool {
        let waits = self.waits.lock();
        let known = self.known.contains(source);
        let count =
            |f: &dyn Fn(&Whose) -> bool| waits.running.iter().filter(|wait| f(wait)).count();
        let failure = waits.failed.get(&self.blamed(source, owner));
        let rests = failure.is_some_and(|f| f.until > now);
        let room = known
            || count(&|(origin, _)| !self.known.contains(origin)) < STRANGERS
                && count(&|(origin, _)| origin == source) < FROM_ONE
                && count(&|(_, who)| who == owner) < FOR_ONE;
        !rests && waits.running.len() < ALL && room
    }

    /// A wait for a prompt; `None` if there may be no more now.
    pub fn begin(&self, source: &Origin, owner: &[u8; 32], now: Instant) -> Option<Wait> {
        if !self.is_open(source, owner, now) {
            return None;
        }
        let of = (source.clone(), *owner);
        self.waits.lock().running.push(of.clone());
        Some(Wait {
            waits: self.waits.clone(),
            blamed: self.blamed(source, owner),
            of,
        })
    }
}

/// A prompt that is waited for, until it is dropped.
#[derive(Debug)]
pub struct Wait {
    waits: Arc<Mutex<Waits>>,
    of: Whose,
    blamed: Blamed,
}

impl Wait {
    /// The prompt came.
    pub fn came(self) {
        self.waits.lock().failed.remove(&self.blamed);
    }

    /// The server gave no prompt, or a wrong one.
    pub fn failed(self, now: Instant) {
        let mut waits = self.waits.lock();
        if waits.failed.len() >= MOST {
            waits.failed.retain(|_, failure| failure.until > now);
        }
        let times = waits.failed.get(&self.blamed).map_or(0, |f| f.times);
        if waits.failed.len() < MOST {
            let rest = REST.saturating_mul(1 << times.min(16)).min(LONGEST_REST);
            let failure = Failure {
                times: times.saturating_add(1),
                until: now + rest,
            };
            waits.failed.insert(self.blamed.clone(), failure);
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut waits = self.waits.lock();
        if let Some(at) = waits.running.iter().position(|of| *of == self.of) {
            waits.running.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(n: usize) -> Origin {
        Origin::parse(&format!("http://10.0.0.{n}")).unwrap()
    }

    #[test]
    fn tarpits_hold_few_waits_and_none_of_a_known_gateway() {
        let sources = Sources::new(vec![origin(1)]);
        let now = Instant::now();
        let begin = |source: usize, owner: u8| sources.begin(&origin(source), &[owner; 32], now);
        let mut kept = vec![begin(2, 2).unwrap(), begin(2, 3).unwrap()];
        assert!(begin(2, 4).is_none(), "one server");
        kept.push(begin(3, 3).unwrap());
        assert!(begin(4, 3).is_none(), "one owner");
        kept.push(begin(4, 4).unwrap());
        assert!(begin(5, 5).is_none(), "strangers together");
        kept.extend((0..4).map(|_| begin(1, 9).unwrap()));
        assert!(begin(1, 9).is_none(), "all together");
        kept.clear();
        assert!(begin(2, 4).is_some());
    }

    #[test]
    fn nobody_keeps_others_from_a_known_gateway_by_prompts_that_it_never_had() {
        let sources = Sources::new(vec![origin(1)]);
        let now = Instant::now();
        for _ in 0..9 {
            let wait = sources.begin(&origin(1), &[2; 32], now);
            let Some(wait) = wait else { continue };
            wait.failed(now);
        }
        assert!(!sources.is_open(&origin(1), &[2; 32], now), "who asked");
        assert!(sources.is_open(&origin(1), &[3; 32], now), "another");
        assert!(
            sources.is_open(&origin(4), &[2; 32], now),
            "another's server"
        );
        let later = now + REST;
        let wait = sources.begin(&origin(1), &[2; 32], later);
        wait.expect("forgiven").came();
        assert!(sources.waits.lock().failed.is_empty());
    }

    #[test]
    fn a_server_that_failed_rests_longer_each_time() {
        let sources = Sources::new(Vec::new());
        let mut now = Instant::now();
        for rest in [60, 120, 240] {
            sources
                .begin(&origin(2), &[2; 32], now)
                .unwrap()
                .failed(now);
            assert!(!sources.is_open(&origin(2), &[2; 32], now + Duration::from_secs(rest - 1)));
            now += Duration::from_secs(rest);
            assert!(sources.is_open(&origin(2), &[2; 32], now));
        }
        sources.begin(&origin(2), &[2; 32], now).unwrap().came();
        assert!(sources.is_open(&origin(2), &[2; 32], now));
        assert!(sources.waits.lock().running.is_empty());
    }
}
