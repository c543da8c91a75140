//! A container's network: a pair of interfaces of its own, four addresses, and rules that let it reach public addresses alone. What the
//! rules are is pure; laying them out takes `ip` and `nft`.

use std::{fmt::Write as _, net::Ipv4Addr, path::Path, sync::Arc};

use anyhow::{Context as _, Result};
use mythic_interface::hash::sha256;
use parking_lot::Mutex;

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
/// Packets that a container may send for each MiB: small ones cost the machine as much as large ones.
const PACKETS_A_MIB: u32 = 2_048;
/// Names of all providers' interfaces begin with it.
const INTERFACES: &str = "my";
/// The chain of packets that are no container's, on a machine that passed none on before.
const OTHERS: &str = "chain others";
/// Whether the machine passes packets on.
const FORWARDING: &str = "net/ipv4/ip_forward";
/// Addresses of a container's network: its own, the machine's side, and the two that every network has.
const BLOCK: u32 = 4;
/// Bits of the addresses from which networks are cut, and of each network.
const POOL_BITS: u32 = 16;
const NETWORK_BITS: u32 = 30;
/// Networks that fit.
pub const PLACES: u32 = 1 << (NETWORK_BITS - POOL_BITS);

/// Networks of one provider.
#[derive(Debug, Clone)]
pub struct Nets {
    /// First address; 65,536 are cut into networks of four.
    pool: Ipv4Addr,
    /// Marks interfaces and rules as this provider's.
    mark: String,
    /// Networks that are closed too.
    closed: Vec<String>,
    /// MiB a second that a container sends at most.
    egress_mib: u32,
    laid: Arc<Mutex<Laid>>,
}

/// What this process laid out.
#[derive(Debug, Default)]
struct Laid {
    /// As `nft` lists it.
    listed: String,
    /// The machine passes nothing on but what is containers'.
    is_closed: bool,
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
    /// Networks of a provider out of this pool, with what is closed beside private addresses, and MiB a second that each may send.
    pub fn new(provider: &str, pool: Ipv4Addr, closed: Vec<String>, egress_mib: u32) -> Self {
        let mark = sha256(&[provider.as_bytes()]);
        Self {
            pool,
            mark: hex::encode(mark).chars().take(6).collect(),
            closed,
            egress_mib,
            laid: Arc::default(),
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
        format!("{INTERFACES}{}", self.mark)
    }

    /// The table of its rules.
    pub fn table(&self) -> String {
        format!("mythic_{}", self.mark)
    }

    /// The rules, as `nft` reads them: all at once or none, and the same again whenever they are laid out. `is_closed` if nothing is passed on
    /// but what is containers', of this provider or another.
    pub fn rules(&self, is_closed: bool) -> String {
        let (table, ours) = (self.table(), format!("\"{}*\"", self.prefix()));
        let mut closed = CLOSED.join(", ");
        for network in &self.closed {
            let _ = write!(closed, ", {network}");
        }
        let pool = format!("{}/{POOL_BITS}", self.pool);
        let (mib, packets) = (
            self.egress_mib,
            self.egress_mib.saturating_mul(PACKETS_A_MIB),
        );
        let others = match is_closed {
            true => format!(
                "    {OTHERS} {{
        type filter hook forward priority -10; policy accept;
        meta nfproto ipv4 iifname != \"{INTERFACES}*\" oifname != \"{INTERFACES}*\" drop
    }}
"
            ),
            false => String::new(),
        };
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
    set bytes {{
        type ifname
        size 65535
        flags dynamic
    }}
    set packets {{
        type ifname
        size 65535
        flags dynamic
    }}
{others}    chain forward {{
        type filter hook forward priority -10; policy accept;
        iifname {ours} jump outward
        oifname {ours} jump inward
    }}
    chain outward {{
        meta nfproto != ipv4 drop
        ip saddr != {pool} drop
        add @bytes {{ iifname limit rate over {mib} mbytes/second }} drop
        add @packets {{ iifname limit rate over {packets}/second burst {packets} packets }} drop
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
        let before = self.listed().await;
        // Who passed nothing on is to be no router for its neighbours now, nor after a restart of this process.
        let is_closed = self.laid.lock().is_closed
            || !is_forwarding()
            || before.is_ok_and(|listed| listed.contains(OTHERS));
        let rules = self.rules(is_closed);
        command::fed("nft", &["-f", "-"], rules.as_bytes()).await?;
        set(FORWARDING, "1")?;
        let listed = self.listed().await?;
        *self.laid.lock() = Laid { listed, is_closed };
        Ok(())
    }

    /// Lays the rules out again if they are not what this process laid out, or the machine passes nothing on; says whether that was so.
    pub async fn uphold(&self) -> Result<bool> {
        let listed = self.listed().await;
        let is_same = listed.is_ok_and(|listed| listed == self.laid.lock().listed);
        if is_same && is_forwarding() {
            return Ok(false);
        }
        self.lay_out().await?;
        Ok(true)
    }

    /// The rules that are there.
    async fn listed(&self) -> Result<String> {
        let table = self.table();
        let asked = ["--terse", "list", "table", "inet", &table];
        let said = command::run("nft", &asked).await?;
        // Behind `#` newer ones count what a set holds.
        let said = String::from_utf8_lossy(&said);
        let lines = said
            .lines()
            .map(|line| line.split('#').next().unwrap_or(line).trim_end());
        Ok(lines.collect::<Vec<_>>().join("\n"))
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

fn is_forwarding() -> bool {
    let path = Path::new("/proc/sys").join(FORWARDING);
    std::fs::read_to_string(path).is_ok_and(|value| value.trim() == "1")
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
        Nets::new("prov", pool, vec!["198.51.100.7".into()], 16)
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
        let other = Nets::new("other", Ipv4Addr::new(10, 232, 0, 0), Vec::new(), 16);
        assert_ne!(other.net(1).interface, nets.net(1).interface);
        assert_ne!(other.table(), nets.table());
    }

    #[test]
    fn the_rules_close_what_is_private_and_what_the_operator_says() {
        let rules = nets().rules(false);
        for closed in CLOSED.iter().chain(&["198.51.100.7"]) {
            assert!(rules.contains(closed), "{closed}");
        }
        // What is closed is closed before anything is let out, and answers alone come in.
        let at = |text: &str| rules.find(text).unwrap();
        assert!(at("ip daddr @closed drop") < at("        accept"));
        assert!(at("chain input") < at("chain source"));
        assert_eq!(rules.matches('{').count(), rules.matches('}').count());
    }

    #[test]
    fn what_a_container_sends_is_bounded_whatever_it_belongs_to() {
        let rules = nets().rules(false);
        let at = |text: &str| rules.find(text).unwrap();
        let (bytes, packets) = ("rate over 16 mbytes/second", "rate over 32768/second");
        assert!(at(bytes) < at(packets) && at(packets) < at("ct state established"));
    }

    #[test]
    fn a_machine_that_passed_nothing_on_passes_only_what_is_containers() {
        let (open, closed) = (nets().rules(false), nets().rules(true));
        assert!(!open.contains(OTHERS));
        let drop = "meta nfproto ipv4 iifname != \"my*\" oifname != \"my*\" drop";
        assert!(closed.contains(OTHERS) && closed.contains(drop), "{closed}");
        assert_eq!(closed.matches('{').count(), closed.matches('}').count());
        assert!(nets().net(0).interface.starts_with(INTERFACES));
    }
}
