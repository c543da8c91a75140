//! Which address a request comes from: the peer's, or what a reverse proxy says that is trusted.

use std::net::IpAddr;

use axum::http::HeaderMap;

/// Where proxies say for whom they ask, the nearest last.
const FORWARDED: &str = "x-forwarded-for";

/// The address that a request comes from: an IPv4 address, or the /64 that one IPv6 host usually owns. `X-Forwarded-For` is read from its
/// end, as only the last entries come from proxies of ours.
pub fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[IpAddr]) -> IpAddr {
    let is_ours = |address: &IpAddr| trusted.contains(address);
    let mut nearest = peer.to_canonical();
    let told: Vec<&str> = headers
        .get_all(FORWARDED)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .collect();
    for entry in told.into_iter().rev() {
        if !is_ours(&nearest) {
            break;
        }
        let Ok(address) = entry.trim().parse::<IpAddr>() else {
            break;
        };
        nearest = address.to_canonical();
    }
    group(nearest)
}

/// What is counted together.
pub fn group(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(peer: &str, forwarded: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED, value.parse().unwrap());
        }
        let trusted = ["10.0.0.1", "10.0.0.2"].map(|address| address.parse().unwrap());
        client(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn proxies_that_are_trusted_are_believed_and_no_others() {
        assert_eq!(from("192.0.2.7", &["198.51.100.1"]), "192.0.2.7");
        assert_eq!(from("10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        // What a client claims in front of what the proxy saw counts for nothing.
        assert_eq!(from("10.0.0.1", &["9.9.9.9, 198.51.100.1"]), "198.51.100.1");
        let both = ["9.9.9.9", "198.51.100.1, 10.0.0.2"];
        assert_eq!(from("::ffff:10.0.0.1", &both), "198.51.100.1");
        assert_eq!(from("10.0.0.1", &["nonsense"]), "10.0.0.1");
        assert_eq!(from("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn one_ipv6_host_is_one_whichever_of_its_addresses_it_takes() {
        assert_eq!(from("2001:db8::1", &[]), "2001:db8::");
        assert_eq!(from("2001:db8::ffff:0:1", &[]), "2001:db8::");
        assert_eq!(from("10.0.0.1", &["2001:db8:1::9"]), "2001:db8:1::");
    }
}
