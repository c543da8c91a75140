//! Configuration of containers.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

use mythic_support::check;
use serde::{Deserialize, Serialize};

use super::net::PLACES;
use crate::spec::container::{Limits, PORTS, is_repository};

/// What runs containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuntimeKind {
    /// Nothing: endpoints only.
    #[default]
    None,
    /// runc, as root.
    Runc,
    /// Docker, whose daemon this process may ask.
    Docker,
}

/// Containers that tenants can lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ContainersConfig {
    /// What runs them: `none`, `runc` or `docker`.
    pub runtime: RuntimeKind,
    /// OCI layout directories in which runc's images are found by their digests.
    pub images: Vec<PathBuf>,
    /// Directory of unpacked images and of containers' disks; by default `containers` in `data_dir`.
    pub dir: Option<PathBuf>,
    /// Directory of what is gone after a restart of the machine: mounts, and what runc keeps.
    pub run_dir: PathBuf,
    /// The program.
    pub runc: PathBuf,
    /// Docker's program.
    pub docker: PathBuf,
    /// The daemon's address.
    pub docker_host: String,
    /// Repositories from which Docker fetches images that tenants name.
    pub repositories: Vec<String>,
    /// First of 65,536 users and groups of this machine that are containers' own.
    pub first_user: u32,
    /// Largest image, unpacked, MiB.
    pub image_mib: u64,
    /// All images that Docker fetches, unpacked, MiB.
    pub images_mib: u64,
    /// Encrypt disks, each under a key that is destroyed with it.
    pub encrypt: bool,
    /// Most that a lease can ask for, for each unit: thousandths of a core.
    pub cpu_milli: u32,
    /// MiB of memory.
    pub memory_mib: u32,
    /// Processes and threads.
    pub pids: u32,
    /// MiB of disk.
    pub disk_mib: u32,
    /// Host that tenants connect to; by default that of `endpoint`.
    pub host: Option<String>,
    /// Address on which SSH and published ports are listened on.
    pub listen: IpAddr,
    /// First of the ports for that.
    pub first_port: u16,
    /// How many there are: a lease takes one for SSH, and one for each port that it publishes.
    pub ports: u16,
    /// First of 65,536 private addresses out of which containers have theirs.
    pub pool: Ipv4Addr,
    /// Networks that containers do not reach, beside private ones: IPv4 addresses, with `/` and bits.
    pub closed: Vec<String>,
    /// Servers of names that containers ask.
    pub nameservers: Vec<Ipv4Addr>,
    /// Sessions and forwarded connections of a lease at once.
    pub sessions: usize,
    /// How long nothing may pass on a connection to a published port, in seconds.
    pub idle_seconds: u64,
    /// Most that a container sends to the network, MiB a second.
    pub egress_mib: u32,
}

impl Default for ContainersConfig {
    fn default() -> Self {
        Self {
            runtime: RuntimeKind::None,
            images: Vec::new(),
            dir: None,
            run_dir: PathBuf::from("/run/mythic-provider"),
            runc: PathBuf::from("runc"),
            docker: PathBuf::from("docker"),
            docker_host: "unix:///var/run/docker.sock".into(),
            repositories: Vec::new(),
            first_user: 1_000_000,
            image_mib: 20_480,
            images_mib: 40_960,
            encrypt: true,
            cpu_milli: 1_000,
            memory_mib: 1_024,
            pids: 512,
            disk_mib: 8_192,
            host: None,
            listen: Ipv4Addr::UNSPECIFIED.into(),
            first_port: 22_000,
            ports: 1_000,
            pool: Ipv4Addr::new(10, 231, 0, 0),
            closed: Vec::new(),
            nameservers: vec![Ipv4Addr::new(1, 1, 1, 1), Ipv4Addr::new(9, 9, 9, 9)],
            sessions: 32,
            idle_seconds: 3_600,
            egress_mib: 32,
        }
    }
}

impl ContainersConfig {
    /// Whether containers are leased out.
    pub fn is_on(&self) -> bool {
        self.runtime != RuntimeKind::None
    }

    /// Checks every value; the message names key, value and what is allowed.
    pub fn validate(&self) -> Result<(), String> {
        if !self.is_on() {
            return Ok(());
        }
        if self.images.is_empty() && self.runtime == RuntimeKind::Runc {
            return Err(
                "containers.images is empty: name at least one OCI layout directory".into(),
            );
        }
        for (index, path) in self.images.iter().enumerate() {
            if !path.join("oci-layout").is_file() {
                return Err(format!(
                    "containers.images[{index}] = {path:?}: no OCI layout directory; it has no file `oci-layout`"
                ));
            }
        }
        if !self.docker_host.starts_with("unix:///") {
            return Err(format!(
                "containers.docker_host = {:?}: must be a socket of this machine, `unix:///…`",
                self.docker_host
            ));
        }
        for repository in &self.repositories {
            if repository.is_empty() || !is_repository(repository) {
                return Err(format!(
                    "containers.repositories = {repository:?}: must be a repository in small letters, without a tag"
                ));
            }
        }
        let range = |key: &str, value: u64, from: u64, to: u64| {
            check::in_range(&format!("containers.{key}"), value, from, to)
        };
        range("first_user", self.first_user.into(), 65_536, 4_294_000_000)?;
        range("image_mib", self.image_mib, 1, 1 << 24)?;
        if self.runtime == RuntimeKind::Docker && !self.repositories.is_empty() {
            range("images_mib", self.images_mib, self.image_mib, 1 << 24)?;
        }
        for (key, value, (from, to)) in [
            ("cpu_milli", self.cpu_milli, Limits::CPU_MILLI),
            ("memory_mib", self.memory_mib, Limits::MEMORY_MIB),
            ("pids", self.pids, Limits::PIDS),
            ("disk_mib", self.disk_mib, Limits::DISK_MIB),
        ] {
            range(key, value.into(), from.into(), to.into())?;
        }
        let last = u64::from(u16::MAX) - u64::from(self.first_port) + 1;
        range("first_port", self.first_port.into(), 1, u16::MAX.into())?;
        let most = last.min(PLACES.into());
        range("ports", self.ports.into(), 1 + PORTS as u64, most)?;
        range("sessions", self.sessions as u64, 1, 1_024)?;
        range("idle_seconds", self.idle_seconds, 10, 86_400)?;
        range("egress_mib", self.egress_mib.into(), 1, 100_000)?;
        if self.pool.octets()[2..] != [0, 0] || !self.pool.is_private() {
            return Err(format!(
                "containers.pool = {}: must be private and end with .0.0",
                self.pool
            ));
        }
        for network in &self.closed {
            if !is_network(network) {
                return Err(format!(
                    "containers.closed = {network:?}: must be an IPv4 address, with `/` and bits where it is a network"
                ));
            }
        }
        match self.host.as_deref().is_none_or(is_host) {
            true => Ok(()),
            false => Err(format!(
                "containers.host = {:?}: must be a name or an address, without a port",
                self.host.as_deref().unwrap_or_default()
            )),
        }
    }

    /// The ports of this machine.
    pub fn all_ports(&self) -> std::ops::Range<u16> {
        self.first_port..self.first_port.saturating_add(self.ports)
    }

    /// `/etc/resolv.conf` inside.
    pub fn resolv_conf(&self) -> String {
        let lines = self.nameservers.iter();
        lines
            .map(|server| format!("nameserver {server}\n"))
            .collect()
    }
}

fn is_network(text: &str) -> bool {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, bits.parse::<u8>().ok()),
        None => (text, Some(32)),
    };
    address.parse::<Ipv4Addr>().is_ok() && bits.is_some_and(|bits| bits <= 32)
}

fn is_host(host: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-.:".contains(c);
    !host.is_empty() && host.len() <= 253 && host.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_value_is_named_with_what_is_allowed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("oci-layout"), "{}").unwrap();
        let good = ContainersConfig {
            runtime: RuntimeKind::Runc,
            images: vec![dir.path().to_path_buf()],
            ..ContainersConfig::default()
        };
        assert_eq!(good.validate(), Ok(()));
        type Change = fn(&mut ContainersConfig);
        let cases: [(Change, &str); 12] = [
            (|c| c.images.clear(), "containers.images is empty"),
            (|c| c.images[0] = "/no".into(), "containers.images[0]"),
            (
                |c| c.docker_host = "tcp://10.0.0.7:2375".into(),
                "containers.docker_host",
            ),
            (
                |c| c.repositories = vec!["a.example/b:latest".into()],
                "containers.repositories",
            ),
            (|c| c.first_user = 0, "containers.first_user = 0"),
            (|c| c.memory_mib = 0, "containers.memory_mib = 0"),
            (|c| c.egress_mib = 0, "containers.egress_mib = 0"),
            (|c| c.ports = 3, "containers.ports = 3"),
            (|c| c.first_port = 65_000, "containers.ports = 1000"),
            (|c| c.pool = Ipv4Addr::new(8, 8, 0, 0), "containers.pool"),
            (
                |c| c.closed = vec!["1.2.3.4/33".into()],
                "containers.closed",
            ),
            (|c| c.host = Some("a b".into()), "containers.host"),
        ];
        for (change, expected) in cases {
            let mut config = good.clone();
            change(&mut config);
            let error = config.validate().unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        let docker = ContainersConfig {
            runtime: RuntimeKind::Docker,
            repositories: vec!["registry.example:5000/a/b".into()],
            ..ContainersConfig::default()
        };
        assert_eq!(docker.validate(), Ok(()), "its images are the daemon's");
        let narrow = ContainersConfig {
            images_mib: docker.image_mib - 1,
            ..docker
        };
        let error = narrow.validate().unwrap_err();
        assert!(error.contains("containers.images_mib = 20479"), "{error}");
        let off = ContainersConfig::default();
        assert_eq!(off.validate(), Ok(()), "what is off needs nothing");
        assert_eq!(off.all_ports(), 22_000..23_000);
        assert!(off.resolv_conf().starts_with("nameserver 1.1.1.1\n"));
    }
}
