//! Ports of the network: the documented ones, or free ones where 0 is asked for; a port in use is named before anything starts.

use anyhow::{Result, bail};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// A port that something wants.
#[derive(Clone, Debug)]
pub struct Port {
    /// Whose it is, in words.
    pub what: String,
    /// The option that chooses it.
    pub flag: &'static str,
    /// 0 = any free one.
    pub wanted: u16,
}

/// Takes each wanted port on loopback, or any free one for 0. All are held until every one is found, so that none is given out twice.
pub fn reserve(wanted: &[Port]) -> Result<Vec<SocketAddr>> {
    let mut held = Vec::new();
    let mut taken = Vec::new();
    for Port { what, flag, wanted } in wanted {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, *wanted)) {
            Ok(listener) => held.push(listener),
            Err(error) => taken.push(format!("  {wanted} ({what}): {error}; choose another with {flag} PORT, or {flag} 0 for any free one")),
        }
    }
    if !taken.is_empty() {
        bail!(
            "ports in use:\n{}\nIs another `mythic dev` running?",
            taken.join("\n")
        );
    }
    held.iter()
        .map(|listener| Ok(listener.local_addr()?))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn want(wanted: u16) -> Port {
        Port {
            what: "gateway".into(),
            flag: "--gateway-port",
            wanted,
        }
    }

    #[test]
    fn zero_gives_distinct_free_ports() {
        let ports = reserve(&[want(0), want(0)]).unwrap();
        assert_ne!(ports[0], ports[1]);
    }

    #[test]
    fn a_port_in_use_is_named_with_its_flag() {
        let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = other.local_addr().unwrap().port();
        let message = reserve(&[want(port)]).unwrap_err().to_string();
        assert!(
            message.contains(&port.to_string()) && message.contains("--gateway-port"),
            "{message}"
        );
    }
}
