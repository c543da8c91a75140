//! A container's network: a pair of interfaces of its own, four addresses, and rules that let it reach public addresses alone. What the
//! rules are is pure; laying them out takes `ip` and `nft`.

use std::{fmt::Write as _, net::Ipv4Addr, path::Path};

use anyhow::{Context as _, Result};
use mythic_interface::hash::sha256;

use super::command;

/// What no container reaches: the machine and its neighbours, other containers, the clouds' own services, what is no single host.
const CLOSED: [&str; 15] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "168.63.129.16",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/3",
];
/// Connections that a container has open at once.
const FLOWS: u32 = 4_096;
/// Addresses of a container's network: its own, the machine's side, and the two that every network has.
const BLOCK: u32 = 4;
/// Bits of the addresses from which networks are cut, and of each network.
const POOL_BITS: u32 = 16;
const NETWORK_BITS: u32 = 30;
/// Networks that fit.
pub const PLACES: u32 = 1 << (NETWORK_BITS - POOL_BITS);

/// Networks of one provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nets {
    /// First address; 65,536 are cut into networks of four.
    pool: Ipv4Addr,
    /// Marks interfaces and rules as this provider's.
    mark: String,
    /// Networks that are closed too.
    closed: Vec<String>,
}

/// One container's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Net {
    /// The machine's end of the pair.
    pub interface: String,
    /// The other end, until it is inside.
    pub peer: String,
    /// The machine's address.
    pub gateway: Ipv4Addr,
    /// The container's.
    pub address: Ipv4Addr,
}

impl Nets {
    /// Networks of a provider out of this pool, with what is closed beside private addresses.
    pub fn new(provider: &str, pool: Ipv4Addr, closed: Vec<String>) -> Self {
        let mark = sha256(&[provider.as_bytes()]);
        Self {
            pool,
            mark: hex::encode(mark).chars().take(6).collect(),
            closed,
        }
    }

    /// The network of a container.
    pub fn net(&self, place: u16) -> Net {
        let first = self.pool.to_bits() + (u32::from(place) % PLACES) * BLOCK;
        Net {
            interface: format!("{}{place:04x}", self.prefix()),
            peer: format!("{}{place:04x}p", self.prefix()),
            gateway: Ipv4Addr::from_bits(first + 1),
            address: Ipv4Addr::from_bits(first + 2),
        }
    }

    /// Names of this provider's interfaces begin with it.
    pub fn prefix(&self) -> String {
        format!("my{}", self.mark)
    }

    /// The table of its rules.
    pub fn table(&self) -> String {
        format!("mythic_{}", self.mark)
    }

    /// The rules, as `nft` reads them: all at once or none, and the same again whenever they are laid out.
    pub fn rules(&self) -> String {
        let (table, ours) = (self.table(), format!("\"{}*\"", self.prefix()));
        let mut closed = CLOSED.join(", ");
        for network in &self.closed {
            let _ = write!(closed, ", {network}");
        }
        let pool = format!("{}/{POOL_BITS}", self.pool);
        format!(
            "table inet {table} {{}}
delete table inet {table}
table inet {table} {{
    set closed {{
        type ipv4_addr
        flags interval
        auto-merge
        elements = {{ {closed} }}
    }}
    set flows {{
        type ifname
        size 65535
        flags dynamic
    }}
    chain forward {{
        type filter hook forward priority -10; policy accept;
        iifname {ours} jump outward
        oifname {ours} jump inward
    }}
    chain outward {{
        meta nfproto != ipv4 drop
        ip saddr != {pool} drop
        ct state established,related accept
        ip daddr @closed drop
        tcp dport 25 drop
        ct state new add @flows {{ iifname ct count over {FLOWS} }} drop
        accept
    }}
    chain inward {{
        ct state established,related accept
        drop
    }}
    chain input {{
        type filter hook input priority -10; policy accept;
        iifname {ours} ct state established,related accept
        iifname {ours} drop
    }}
    chain source {{
        type nat hook postrouting priority 100; policy accept;
        ip saddr {pool} oifname != {ours} masquerade
    }}
}}
"
        )
    }

    /// Lays the rules out, and lets the machine pass packets on.
    pub async fn lay_out(&self) -> Result<()> {
        let rules = self.rules();
        command::fed("nft", &["-f", "-"], rules.as_bytes()).await?;
        set("net/ipv4/ip_forward", "1")
    }

    /// Gives the process a network of its own. What an earlier attempt left is made anew.
    pub async fn connect(&self, place: u16, pid: u32) -> Result<()> {
        let net = self.net(place);
        self.disconnect(place).await?;
        let Net {
            interface,
            peer,
            gateway,
            address,
        } = &net;
        let outside = format!(
            "link add {interface} type veth peer name {peer}\nlink set {peer} netns {pid}\naddr add {gateway}/{NETWORK_BITS} dev {interface}\n"
        );
        command::fed("ip", &["-batch", "-"], outside.as_bytes()).await?;
        // Who sends in another's name is not heard; the machine speaks no IPv6 there.
        set(&format!("net/ipv4/conf/{interface}/rp_filter"), "1")?;
        let ipv6 = format!("net/ipv6/conf/{interface}/disable_ipv6");
        if Path::new("/proc/sys").join(&ipv6).exists() {
            set(&ipv6, "1")?;
        }
        let up = format!("link set {interface} up\n");
        command::fed("ip", &["-batch", "-"], up.as_bytes()).await?;
        let inside = format!(
            "link set lo up\nlink set {peer} name eth0\naddr add {address}/{NETWORK_BITS} dev eth0\nlink set eth0 up\nroute add default via {gateway}\n"
        );
        let namespace = format!("--net=/proc/{pid}/ns/net");
        let enter = [namespace.as_str(), "ip", "-batch", "-"];
        command::fed("nsenter", &enter, inside.as_bytes()).await?;
        Ok(())
    }

    /// Whether the machine's end of a container's network is there.
    pub fn is_connected(&self, place: u16) -> bool {
        let interface = self.net(place).interface;
        Path::new("/sys/class/net").join(interface).exists()
    }

    /// Takes a container's network away; nothing is fine too.
    pub async fn disconnect(&self, place: u16) -> Result<()> {
        let interface = self.net(place).interface;
        if !Path::new("/sys/class/net").join(&interface).exists() {
            return Ok(());
        }
        match command::run("ip", &["link", "delete", &interface]).await {
            // It leaves with its other end, which may be first.
            Err(_) if !Path::new("/sys/class/net").join(&interface).exists() => Ok(()),
            deleted => deleted.map(drop),
        }
    }
}

fn set(key: &str, value: &str) -> Result<()> {
    let path = Path::new("/proc/sys").join(key);
    std::fs::write(&path, value).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets() -> Nets {
        let pool = Ipv4Addr::new(10, 231, 0, 0);
        Nets::new("prov", pool, vec!["198.51.100.7".into()])
    }

    #[test]
    fn no_two_containers_share_an_address_or_an_interface() {
        let nets = nets();
        let mut seen = std::collections::HashSet::new();
        for place in 0..PLACES as u16 {
            let net = nets.net(place);
            assert!(net.interface.len() <= 15 && net.peer.len() <= 15, "{net:?}");
            assert_eq!(net.address.octets()[..2], [10, 231]);
            for one in [
                net.interface,
                net.gateway.to_string(),
                net.address.to_string(),
            ] {
                assert!(seen.insert(one), "{place}");
            }
        }
        assert_eq!(nets.net(1).address, Ipv4Addr::new(10, 231, 0, 6));
        let other = Nets::new("other", Ipv4Addr::new(10, 232, 0, 0), Vec::new());
        assert_ne!(other.net(1).interface, nets.net(1).interface);
        assert_ne!(other.table(), nets.table());
    }

    #[test]
    fn the_rules_close_what_is_private_and_what_the_operator_says() {
        let rules = nets().rules();
        for closed in CLOSED.iter().chain(&["198.51.100.7"]) {
            assert!(rules.contains(closed), "{closed}");
        }
        // What is closed is closed before anything is let out, and answers alone come in.
        let at = |text: &str| rules.find(text).unwrap();
        assert!(at("ip daddr @closed drop") < at("        accept"));
        assert!(at("chain input") < at("chain source"));
        assert_eq!(rules.matches('{').count(), rules.matches('}').count());
    }
}
