//! How much one API key may use: requests per minute, and requests under way.

use std::{collections::HashMap, sync::Arc, time::Instant};

use axum::http::StatusCode;
use parking_lot::Mutex;

use crate::{
    config::Limits,
    error::{ApiError, ApiResult},
};

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
    running: u32,
}

/// Buckets of all keys.
#[derive(Debug)]
pub struct Limiter {
    limits: Limits,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    buckets: HashMap<String, Bucket>,
    running: u32,
}

/// A request's place; given back on drop.
#[derive(Debug)]
pub struct Permit {
    key: String,
    state: Arc<Mutex<State>>,
}

impl Limiter {
    /// With these bounds.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: Arc::default(),
        }
    }

    /// Takes a place, or 429 with the time to come again.
    pub fn take(&self, key: &str, now: Instant) -> ApiResult<Permit> {
        let refuse = |message: String, seconds: u32| {
            Err(ApiError::new(
                StatusCode::TOO_MANY_REQUESTS,
                "rate_limit_exceeded",
                message,
            )
            .retry_after(seconds))
        };
        let per_minute = f64::from(self.limits.requests_per_minute);
        let mut state = self.state.lock();
        if state.running >= self.limits.concurrent {
            return Err(ApiError::unavailable(
                "gateway_busy",
                "the gateway has as many requests under way as it takes; try again shortly",
            ));
        }
        if state.buckets.len() > 10_000 {
            state.buckets.retain(|_, bucket| {
                bucket.running > 0 || now.duration_since(bucket.at).as_secs() < 60
            });
        }
        let bucket = state.buckets.entry(key.to_owned()).or_insert(Bucket {
            tokens: per_minute,
            at: now,
            running: 0,
        });
        bucket.tokens = (bucket.tokens
            + now.duration_since(bucket.at).as_secs_f64() * per_minute / 60.0)
            .min(per_minute);
        bucket.at = now;
        if bucket.running >= self.limits.concurrent_per_key {
            return refuse(
                format!(
                    "this API key has {} requests under way, which is the limit",
                    bucket.running
                ),
                1,
            );
        }
        if bucket.tokens < 1.0 {
            // Between 1 and 60: the cast is exact enough.
            let wait = ((1.0 - bucket.tokens) * 60.0 / per_minute)
                .ceil()
                .clamp(1.0, 60.0) as u32;
            return refuse(
                format!(
                    "this API key made more than {} requests in a minute",
                    self.limits.requests_per_minute
                ),
                wait,
            );
        }
        bucket.tokens -= 1.0;
        bucket.running += 1;
        state.running += 1;
        Ok(Permit {
            key: key.to_owned(),
            state: self.state.clone(),
        })
    }
}

impl Limiter {
    /// How many requests a key may make in a minute, and how many of them are left.
    pub fn standing(&self, key: &str) -> (u32, u32) {
        let most = self.limits.requests_per_minute;
        let left = self
            .state
            .lock()
            .buckets
            .get(key)
            // Between 0 and the limit: the cast only cuts the fraction.
            .map_or(most, |bucket| bucket.tokens.max(0.0) as u32);
        (most, left)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        state.running = state.running.saturating_sub(1);
        if let Some(bucket) = state.buckets.get_mut(&self.key) {
            bucket.running = bucket.running.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_key_is_held_to_its_rate_and_others_are_not() {
        let limiter = Limiter::new(Limits {
            requests_per_minute: 2,
            ..Limits::default()
        });
        let now = Instant::now();
        drop(limiter.take("a", now).unwrap());
        drop(limiter.take("a", now).unwrap());
        let error = limiter.take("a", now).unwrap_err();
        assert_eq!((error.status, error.retry_after), (429, Some(30)));
        assert!(limiter.take("b", now).is_ok());
        assert!(limiter.take("a", now + Duration::from_secs(30)).is_ok());
    }

    #[test]
    fn a_busy_gateway_does_not_speak_of_the_clients_rate() {
        let limiter = Limiter::new(Limits {
            concurrent: 1,
            ..Limits::default()
        });
        let _first = limiter.take("a", Instant::now()).unwrap();
        let error = limiter.take("b", Instant::now()).unwrap_err();
        assert_eq!((error.status, error.code.as_str()), (503, "gateway_busy"));
        assert_eq!(error.retry_after, Some(2));
        assert_eq!(limiter.standing("a"), (600, 599));
        assert_eq!(limiter.standing("new"), (600, 600));
    }

    #[test]
    fn places_come_back_on_drop() {
        let limiter = Limiter::new(Limits {
            concurrent_per_key: 1,
            ..Limits::default()
        });
        let now = Instant::now();
        let permit = limiter.take("a", now).unwrap();
        assert!(limiter.take("a", now).is_err());
        drop(permit);
        assert!(limiter.take("a", now).is_ok());
    }
}
