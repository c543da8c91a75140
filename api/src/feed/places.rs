//! How many may follow the feed.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use axum::http::StatusCode;
use parking_lot::Mutex;

use crate::{
    config::Limits,
    error::{ApiError, ApiResult},
};

/// Most places of one validator's operator: a node follows a few topics.
const PER_OPERATOR: u32 = 8;

/// Who takes a place at the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Follower {
    /// A validator's operator, by its signature.
    Operator([u8; 32]),
    /// Anybody else, by address.
    Address(IpAddr),
}

#[derive(Debug, Default)]
struct Taken {
    by_reader: HashMap<Follower, u32>,
    strangers: u32,
    all: u32,
}

/// The places of the feed. Some are kept for validators, so that strangers can't keep them from hearing of jobs.
#[derive(Debug, Clone)]
pub struct Places {
    taken: Arc<Mutex<Taken>>,
    all: u32,
    strangers: u32,
    per_address: u32,
}

/// A reader's place; given back on drop.
#[derive(Debug)]
pub struct Place {
    reader: Follower,
    taken: Arc<Mutex<Taken>>,
}

impl Places {
    /// As many as the limits say.
    pub fn new(limits: &Limits) -> Self {
        Self {
            taken: Arc::default(),
            all: limits.subscribers,
            strangers: limits
                .subscribers
                .saturating_sub(limits.subscribers_for_validators),
            per_address: limits.subscribers_per_address,
        }
    }

    /// A place, or 429.
    pub fn take(&self, reader: Follower) -> ApiResult<Place> {
        let refuse = |message: &str| {
            Err(ApiError::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_subscribers",
                message,
            )
            .retry_after(10))
        };
        let mut taken = self.taken.lock();
        let own = taken.by_reader.get(&reader).copied().unwrap_or(0);
        match reader {
            Follower::Operator(_) if own >= PER_OPERATOR => {
                return refuse("this operator follows the feed often enough");
            }
            Follower::Address(_) if own >= self.per_address => {
                return refuse("your address has as many places at the feed as it may");
            }
            Follower::Address(_) if taken.strangers >= self.strangers => {
                return refuse("the feed has no free place");
            }
            _ if taken.all >= self.all => return refuse("the feed has no free place"),
            _ => {}
        }
        *taken.by_reader.entry(reader).or_default() += 1;
        taken.all += 1;
        if matches!(reader, Follower::Address(_)) {
            taken.strangers += 1;
        }
        Ok(Place {
            reader,
            taken: self.taken.clone(),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock();
        taken.all = taken.all.saturating_sub(1);
        if matches!(self.reader, Follower::Address(_)) {
            taken.strangers = taken.strangers.saturating_sub(1);
        }
        if let Some(own) = taken.by_reader.get_mut(&self.reader) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                taken.by_reader.remove(&self.reader);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_per_address_and_some_are_kept_for_validators() {
        let places = Places::new(&Limits {
            subscribers: 4,
            subscribers_for_validators: 1,
            subscribers_per_address: 2,
            ..Limits::default()
        });
        let stranger = |n: u8| Follower::Address(IpAddr::from([192, 0, 2, n]));
        let first = places.take(stranger(1)).unwrap();
        let _second = places.take(stranger(1)).unwrap();
        assert_eq!(places.take(stranger(1)).unwrap_err().status, 429);
        let _third = places.take(stranger(2)).unwrap();
        assert_eq!(
            places.take(stranger(3)).unwrap_err().code,
            "too_many_subscribers"
        );
        let operator = places.take(Follower::Operator([1; 32])).unwrap();
        assert!(places.take(Follower::Operator([2; 32])).is_err());
        drop(first);
        let _again = places.take(stranger(3)).unwrap();
        drop(operator);
        assert!(places.take(Follower::Operator([2; 32])).is_ok());
    }
}
