//! What a request for a container is promised: whether it fits what is offered, and the ports, network and keys that are its own. Pure, but
//! for the look whether a port is free.

use std::{
    collections::HashSet,
    net::{SocketAddr, TcpListener},
};

use mythic_interface::hash::Hash;

use crate::{
    access::{ContainerAccess, PublishedPort},
    container::{config::ContainersConfig, net::PLACES, ssh::keys},
    journal::Contained,
    spec::ContainerSpec,
};

/// What units of a provider give at most, if a spec asks for more.
pub fn excess(spec: &ContainerSpec, config: &ContainersConfig, units: u8) -> Option<String> {
    let asked = [
        ("cpu_milli", spec.cpu_milli, config.cpu_milli),
        ("memory_mib", spec.memory_mib, config.memory_mib),
        ("pids", spec.pids, config.pids),
        ("disk_mib", spec.disk_mib, config.disk_mib),
    ];
    asked.into_iter().find_map(|(what, asked, each)| {
        let most = u64::from(each) * u64::from(units);
        (u64::from(asked) > most).then(|| format!("{what} {asked}, and its units give {most}"))
    })
}

/// Ports and number of a network that no lease in care has, if there are.
pub fn places(
    config: &ContainersConfig,
    count: usize,
    (ports, nets): &(HashSet<u16>, HashSet<u16>),
) -> Option<(Vec<u16>, u16)> {
    let is_free = |port: &u16| {
        !ports.contains(port) && TcpListener::bind(SocketAddr::new(config.listen, *port)).is_ok()
    };
    let free: Vec<u16> = config.all_ports().filter(is_free).take(count).collect();
    let most = u16::try_from(PLACES).unwrap_or(u16::MAX);
    let net = (0..most).find(|net| !nets.contains(net))?;
    (free.len() == count).then_some((free, net))
}

/// Whether another lease in care has one of its ports, or its network.
pub fn is_taken(contained: &Contained, (ports, nets): &(HashSet<u16>, HashSet<u16>)) -> bool {
    nets.contains(&contained.place) || contained.ports.iter().any(|port| ports.contains(port))
}

/// What is promised, with a host key of this seed.
pub fn contained(
    spec: ContainerSpec,
    environment: Vec<(String, String)>,
    (ports, place): (Vec<u16>, u16),
    seed: &Hash,
) -> Contained {
    Contained {
        spec,
        environment,
        host_key: hex::encode(seed),
        ports,
        place,
    }
}

/// How it is reached.
pub fn access(
    contained: &Contained,
    seed: &Hash,
    (lease, host, operator): (String, String, String),
) -> ContainerAccess {
    let (ssh, published) = match contained.ports.split_first() {
        Some((ssh, published)) => (*ssh, published),
        None => (0, Default::default()),
    };
    let pairs = contained.spec.ports.iter().zip(published);
    let ports = pairs.map(|(inside, outside)| PublishedPort {
        inside: *inside,
        outside: *outside,
    });
    ContainerAccess {
        lease,
        host,
        ssh_port: ssh,
        host_key: keys::line(keys::host_key(seed).public_key()),
        ports: ports.collect(),
        image: contained.spec.image.clone(),
        operator,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::container::tests::small;

    fn config(first_port: u16) -> ContainersConfig {
        ContainersConfig {
            listen: [127, 0, 0, 1].into(),
            first_port,
            ports: 100,
            memory_mib: 64,
            disk_mib: 64,
            cpu_milli: 500,
            pids: 32,
            ..ContainersConfig::default()
        }
    }

    #[test]
    fn a_spec_gets_what_its_units_give_and_no_more() {
        let config = config(22_000);
        assert_eq!(excess(&small(), &config, 1), None);
        let mut large = small();
        large.memory_mib = 128;
        let told = excess(&large, &config, 1).unwrap();
        assert!(
            told.contains("memory_mib 128") && told.contains("64"),
            "{told}"
        );
        assert_eq!(excess(&large, &config, 2), None);
    }

    #[test]
    fn ports_are_nobody_else_s_and_free() {
        // One that another process has.
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let used = other.local_addr().unwrap().port();
        let config = config(used.saturating_sub(10));
        let taken = (HashSet::from([used + 1]), HashSet::from([0, 1]));
        let (ports, net) = places(&config, 20, &taken).unwrap();
        assert!(!ports.contains(&used) && !ports.contains(&(used + 1)));
        assert_eq!((ports.len(), net), (20, 2));
        assert_eq!(places(&config, 101, &taken), None);
        let own = contained(small(), Vec::new(), (ports, net), &[7; 32]);
        assert!(!is_taken(&own, &taken));
        let (port, net) = (HashSet::from([own.ports[3]]), HashSet::from([own.place]));
        assert!(is_taken(&own, &(port, HashSet::new())));
        assert!(is_taken(&own, &(HashSet::new(), net)));
    }

    #[test]
    fn what_a_tenant_is_given_says_where_each_port_is() {
        let seed = [7; 32];
        let contained = contained(
            small(),
            Vec::new(),
            (vec![22_000, 22_001, 22_002], 3),
            &seed,
        );
        let named = ("lease".to_owned(), "host".to_owned(), "operator".to_owned());
        let access = access(&contained, &seed, named);
        assert_eq!(access.ssh_port, 22_000);
        let ports: Vec<_> = access.ports.iter().map(|p| (p.inside, p.outside)).collect();
        assert_eq!(ports, [(80, 22_001), (8_080, 22_002)]);
        let key = contained.host_key().unwrap();
        assert_eq!(access.host_key, keys::line(key.public_key()));
    }
}
