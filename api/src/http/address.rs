//! Which address a request comes from, and how much one address may ask for where no key says who asks.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use axum::{
    extract::ConnectInfo,
    http::{Extensions, HeaderMap, StatusCode},
};
use ipnet::IpNet;
use parking_lot::Mutex;

use crate::error::{ApiError, ApiResult};

/// Most addresses that are counted apart; past it, those that come anew share one bucket.
const MOST: usize = 20_000;

/// A single address or a network in CIDR notation.
pub fn parse_network(text: &str) -> Option<IpNet> {
    text.parse()
        .ok()
        .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// The address that a request comes from: the peer's, or what the nearest proxy that is trusted says of it. `X-Forwarded-For` is read
/// from its end, as only the last entries come from proxies of ours.
pub fn client(extensions: &Extensions, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let peer = extensions
        .get::<ConnectInfo<SocketAddr>>()
        .map_or(IpAddr::from([127, 0, 0, 1]), |info| {
            info.0.ip().to_canonical()
        });
    let is_ours = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    if !is_ours(&peer) {
        return peer;
    }
    let mut nearest = peer;
    let told = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .collect::<Vec<_>>();
    for entry in told.into_iter().rev() {
        let Ok(address) = entry.trim().parse::<IpAddr>() else {
            break;
        };
        nearest = address.to_canonical();
        if !is_ours(&nearest) {
            break;
        }
    }
    nearest
}

/// What is counted together: an IPv4 address, or the /64 that one IPv6 host usually owns.
pub fn group(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
    }
}

/// Requests of addresses, each in a bucket that refills evenly.
#[derive(Debug)]
pub struct AddressLimiter {
    most: f64,
    period: Duration,
    what: &'static str,
    buckets: Mutex<HashMap<Option<IpAddr>, (f64, Instant)>>,
}

impl AddressLimiter {
    /// So many of `what` in a period for each address.
    pub fn new(most: u32, period: Duration, what: &'static str) -> Self {
        Self {
            most: f64::from(most),
            period,
            what,
            buckets: Mutex::default(),
        }
    }

    /// Takes one, or 429 with the time to come again.
    pub fn take(&self, address: IpAddr, now: Instant) -> ApiResult<()> {
        let mut buckets = self.buckets.lock();
        let mut key = Some(group(address));
        if buckets.len() >= MOST && !buckets.contains_key(&key) {
            // A bucket that had a whole period to fill is as good as none.
            buckets.retain(|_, (_, at)| now.duration_since(*at) < self.period);
            if buckets.len() >= MOST {
                key = None;
            }
        }
        let rate = self.most / self.period.as_secs_f64();
        let (left, at) = buckets.entry(key).or_insert((self.most, now));
        *left = (*left + now.saturating_duration_since(*at).as_secs_f64() * rate).min(self.most);
        *at = now;
        if *left >= 1.0 {
            *left -= 1.0;
            return Ok(());
        }
        // At most the period, which is minutes: the cast is exact enough.
        let wait = ((1.0 - *left) / rate).ceil().clamp(1.0, 3_600.0) as u32;
        Err(ApiError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "rate_limit_exceeded",
            format!(
                "your address made more than {} {} in {} s",
                self.most,
                self.what,
                self.period.as_secs()
            ),
        )
        .retry_after(wait))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let mut extensions = Extensions::new();
        extensions.insert(ConnectInfo(SocketAddr::new(peer.parse().unwrap(), 1)));
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|t| parse_network(t).unwrap()).collect();
        client(&extensions, &headers, &trusted).to_string()
    }

    #[test]
    fn only_proxies_that_are_trusted_are_believed() {
        assert_eq!(from("192.0.2.9", &["198.51.100.1"], &[]), "192.0.2.9");
        let proxies = ["127.0.0.1", "10.0.0.0/8"];
        assert_eq!(
            from("127.0.0.1", &["198.51.100.1"], &proxies),
            "198.51.100.1"
        );
        assert_eq!(
            from(
                "127.0.0.1",
                &["203.0.113.7, 198.51.100.1, 10.1.1.1"],
                &proxies
            ),
            "198.51.100.1"
        );
        assert_eq!(
            from("127.0.0.1", &["203.0.113.7", "198.51.100.1"], &proxies),
            "198.51.100.1"
        );
        assert_eq!(from("127.0.0.1", &["nonsense"], &proxies), "127.0.0.1");
        assert_eq!(from("192.0.2.9", &["198.51.100.1"], &proxies), "192.0.2.9");
    }

    #[test]
    fn an_address_is_held_to_its_rate_and_the_table_has_an_end() {
        let limiter = AddressLimiter::new(2, Duration::from_secs(60), "estimates");
        let now = Instant::now();
        let one: IpAddr = "2001:db8::1".parse().unwrap();
        let neighbour: IpAddr = "2001:db8::2".parse().unwrap();
        limiter.take(one, now).unwrap();
        limiter.take(neighbour, now).unwrap();
        let error = limiter.take(one, now).unwrap_err();
        assert_eq!((error.status, error.retry_after), (429, Some(30)));
        limiter.take(one, now + Duration::from_secs(30)).unwrap();
        for n in 0..50_000u32 {
            let _ = limiter.take(IpAddr::from(n.to_be_bytes()), now);
        }
        assert!(limiter.buckets.lock().len() <= MOST + 1);
    }
}
