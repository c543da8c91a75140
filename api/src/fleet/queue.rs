//! Requests that wait for a validator, before any job of theirs exists: first come first served within a key, fair turns among
//! keys, bounded in number and in time. A lane holds those that can be served by the same validators.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use crate::{
    config::Limits,
    error::{ApiError, ApiResult},
};

/// A place may be freed where this gateway does not see it: the first of a lane looks again after so long.
const LOOK: Duration = Duration::from_millis(400);
/// So many waiting requests are tried when a place was freed: the first may be one that none of the free validators can serve.
const SCAN: u32 = 8;

/// What came of a try to place a request.
pub enum Try<T> {
    /// It has its place.
    Placed(T),
    /// Every validator that could is busy: wait.
    Busy(ApiError),
    /// Waiting would not help.
    Refused(ApiError),
}

/// Order of waiting: the turn, then the arrival.
type Place = (u64, u64);

struct Waiter {
    wake: Arc<Notify>,
    /// The last change after which it was tried.
    tried: u64,
}

#[derive(Default)]
struct Lane {
    waiting: BTreeMap<Place, Waiter>,
    /// Turn of the request that was placed last.
    turn: u64,
    /// Each key's last turn, while it waits.
    keys: HashMap<String, (u64, u32)>,
    /// Counts changes; nobody is tried twice in one.
    change: u64,
    /// Tries since the last change.
    tries: u32,
}

impl Lane {
    /// The next that may be tried.
    fn next(&self) -> Option<Place> {
        if self.tries >= SCAN {
            return None;
        }
        self.waiting
            .iter()
            .find(|(_, waiter)| waiter.tried < self.change)
            .map(|(place, _)| *place)
    }

    fn wake(&self) {
        if let Some(waiter) = self.next().and_then(|place| self.waiting.get(&place)) {
            waiter.wake.notify_one();
        }
    }

    fn changed(&mut self) {
        self.change += 1;
        self.tries = 0;
        self.wake();
    }
}

#[derive(Default)]
struct State {
    lanes: HashMap<[u8; 32], Lane>,
    arrivals: u64,
    waiting: u32,
}

/// All lanes.
pub struct Queue {
    state: Mutex<State>,
    most: u32,
    most_per_key: u32,
}

/// A request's place in the queue; given up on drop.
struct Ticket<'a> {
    queue: &'a Queue,
    lane: [u8; 32],
    key: &'a str,
    place: Place,
    wake: Arc<Notify>,
}

impl Queue {
    /// A queue with these bounds.
    pub fn new(limits: &Limits) -> Self {
        Self {
            state: Mutex::default(),
            most: limits.queue,
            most_per_key: limits.queue_per_key,
        }
    }

    /// Requests that wait.
    pub fn len(&self) -> usize {
        self.state.lock().waiting as usize
    }

    /// Nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A place was freed, or a validator has come: whoever is first is tried.
    pub fn changed(&self) {
        for lane in self.state.lock().lanes.values_mut() {
            lane.changed();
        }
    }

    /// Waits for a place until `until`; `attempt` is called in turn, once after each change.
    pub async fn place<T, F: Future<Output = Try<T>>>(
        &self,
        lane: [u8; 32],
        key: &str,
        until: Instant,
        mut attempt: impl FnMut() -> F,
    ) -> ApiResult<T> {
        let ticket = self.enter(lane, key)?;
        let mut last: Option<ApiError> = None;
        loop {
            if self.may_try(&ticket) {
                let outcome = attempt().await;
                match outcome {
                    Try::Placed(placed) => {
                        ticket.placed();
                        return Ok(placed);
                    }
                    Try::Refused(error) => return Err(error),
                    Try::Busy(error) => last = Some(error),
                }
                self.tried(&ticket);
            }
            tokio::select! {
                () = ticket.wake.notified() => {}
                () = tokio::time::sleep_until(until) => {
                    return Err(last.unwrap_or_else(|| busy("every validator of this model is busy")));
                }
                () = tokio::time::sleep(LOOK) => self.look_again(&ticket),
            }
        }
    }

    fn enter<'a>(&'a self, lane: [u8; 32], key: &'a str) -> ApiResult<Ticket<'a>> {
        let mut state = self.state.lock();
        if state.waiting >= self.most {
            return Err(busy("validators are busy and the gateway's queue is full"));
        }
        state.arrivals += 1;
        let arrival = state.arrivals;
        let lanes = state.lanes.entry(lane).or_default();
        let (last, count) = lanes.keys.get(key).copied().unwrap_or((0, 0));
        if count >= self.most_per_key {
            return Err(busy(
                "validators are busy and this API key has as many requests waiting as it may",
            ));
        }
        let turn = last.max(lanes.turn) + 1;
        lanes.keys.insert(key.to_owned(), (turn, count + 1));
        let wake = Arc::new(Notify::new());
        if lanes.waiting.is_empty() {
            lanes.change += 1;
            lanes.tries = 0;
        }
        let tried = if lanes.waiting.is_empty() {
            lanes.change - 1
        } else {
            lanes.change
        };
        lanes.waiting.insert(
            (turn, arrival),
            Waiter {
                wake: wake.clone(),
                tried,
            },
        );
        state.waiting += 1;
        Ok(Ticket {
            queue: self,
            lane,
            key,
            place: (turn, arrival),
            wake,
        })
    }

    fn may_try(&self, ticket: &Ticket<'_>) -> bool {
        let mut state = self.state.lock();
        let Some(lane) = state.lanes.get_mut(&ticket.lane) else {
            return false;
        };
        if lane.next() != Some(ticket.place) {
            return false;
        }
        let change = lane.change;
        lane.tries += 1;
        if let Some(waiter) = lane.waiting.get_mut(&ticket.place) {
            waiter.tried = change;
        }
        true
    }

    /// Nobody is tried while another is; the next one's turn comes after.
    fn tried(&self, ticket: &Ticket<'_>) {
        if let Some(lane) = self.state.lock().lanes.get(&ticket.lane) {
            lane.wake();
        }
    }

    fn look_again(&self, ticket: &Ticket<'_>) {
        let mut state = self.state.lock();
        if let Some(lane) = state.lanes.get_mut(&ticket.lane)
            && lane.waiting.keys().next() == Some(&ticket.place)
        {
            lane.changed();
        }
    }
}

impl Ticket<'_> {
    fn placed(&self) {
        let mut state = self.queue.state.lock();
        if let Some(lane) = state.lanes.get_mut(&self.lane) {
            lane.turn = lane.turn.max(self.place.0);
            // It took one place; there may be more.
            lane.tries = 0;
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut state = self.queue.state.lock();
        state.waiting = state.waiting.saturating_sub(1);
        let Some(lane) = state.lanes.get_mut(&self.lane) else {
            return;
        };
        lane.waiting.remove(&self.place);
        if let Some((_, count)) = lane.keys.get_mut(self.key) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                lane.keys.remove(self.key);
            }
        }
        if lane.waiting.is_empty() {
            state.lanes.remove(&self.lane);
        } else {
            // Those behind were not tried since this one took its turn, or gave it up.
            lane.changed();
        }
    }
}

fn busy(reason: &str) -> ApiError {
    ApiError::unavailable("no_validator", format!("{reason}; try again shortly")).retry_after(5)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn queue(queue: u32, queue_per_key: u32) -> Queue {
        Queue::new(&Limits {
            queue,
            queue_per_key,
            ..Limits::default()
        })
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(2)
    }

    fn late() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    const LANE: [u8; 32] = [1; 32];

    #[tokio::test]
    async fn a_place_that_is_free_is_taken_at_once() {
        let placed = queue(1, 1)
            .place(LANE, "k", late(), || async { Try::Placed(7) })
            .await;
        assert_eq!(placed, Ok(7));
    }

    #[tokio::test]
    async fn places_go_round_among_keys_and_in_order_within_one() {
        let queue = Arc::new(queue(16, 8));
        let free = Arc::new(AtomicU32::new(0));
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for (key, name) in [
            ("a", "a1"),
            ("a", "a2"),
            ("a", "a3"),
            ("b", "b1"),
            ("c", "c1"),
        ] {
            let (waiting, places, log) = (queue.clone(), free.clone(), order.clone());
            let before = queue.len();
            tasks.push(tokio::spawn(async move {
                let placed = waiting
                    .place(LANE, key, late(), || {
                        let taken = places
                            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
                        std::future::ready(match taken {
                            Ok(_) => Try::Placed(()),
                            Err(_) => Try::Busy(busy("busy")),
                        })
                    })
                    .await;
                if placed.is_ok() {
                    log.lock().push(name);
                }
            }));
            while queue.len() == before {
                tokio::task::yield_now().await;
            }
        }
        for placed in 1..=5 {
            free.store(1, Ordering::SeqCst);
            queue.changed();
            let deadline = late();
            while order.lock().len() < placed {
                assert!(Instant::now() < deadline, "{:?}", order.lock());
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(*order.lock(), ["a1", "b1", "c1", "a2", "a3"]);
        assert!(queue.is_empty());
        for task in tasks {
            task.await.unwrap();
        }
    }

    #[tokio::test]
    async fn waiting_is_bounded_in_time_and_number_with_a_time_to_come_again() {
        let queue = queue(2, 1);
        let wait = |key| {
            queue.place(LANE, key, soon(), || async {
                Try::<()>::Busy(busy("every validator is busy"))
            })
        };
        let (first, second, same, third) = tokio::join!(wait("a"), wait("b"), wait("a"), wait("c"));
        for (outcome, reason) in [
            (first, "every validator"),
            (second, "every validator"),
            (same, "queue is full"),
            (third, "queue is full"),
        ] {
            let error = outcome.unwrap_err();
            assert!(error.message.contains(reason), "{error}");
            assert_eq!((error.status, error.retry_after), (503, Some(5)));
        }
        let (_, same) = tokio::join!(wait("a"), wait("a"));
        assert!(same.unwrap_err().message.contains("this API key"));
        assert!(queue.is_empty());
    }

    #[tokio::test]
    async fn one_that_fits_nowhere_does_not_hold_up_those_behind_it() {
        let queue = queue(8, 8);
        let (_, second) = tokio::join!(
            tokio::time::timeout(
                Duration::from_secs(5),
                queue.place(LANE, "a", soon(), || async {
                    Try::<()>::Busy(busy("busy"))
                })
            ),
            queue.place(LANE, "a", late(), || async { Try::Placed(2) }),
        );
        assert_eq!(second, Ok(2));
    }
}
