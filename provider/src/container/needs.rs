//! What a machine must have for containers, and how it is had.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::config::{ContainersConfig, RuntimeKind};

/// Something that is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    /// What.
    pub what: String,
    /// How it is had.
    pub mend: String,
}

/// Programs, and the packages of Debian that have them.
const PROGRAMS: [(&str, &str); 6] = [
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("nsenter", "util-linux"),
    ("mount", "mount"),
    ("umount", "mount"),
    ("mkfs.ext4", "e2fsprogs"),
];
/// Where programs of the system are, whatever `PATH` says.
const SYSTEM: [&str; 2] = ["/usr/sbin", "/sbin"];

/// Which mounts this process sees, and which the machine's first one does.
const MOUNTS: &str = "/proc/self/ns/mnt";
const FIRST_MOUNTS: &str = "/proc/1/ns/mnt";
/// Releases of runc from which on no image or command leads out of a container, as far as is known: the first of each series that is mended.
const MENDED: [(u32, u32, u32); 2] = [(1, 2, 8), (1, 3, 3)];
/// All that follow are mended.
const ALL_MENDED: (u32, u32, u32) = (1, 4, 0);

/// What is missing for containers by the runtime that is configured; by runc if none is.
pub fn lacks(config: &ContainersConfig) -> Vec<Lack> {
    match config.runtime {
        RuntimeKind::Docker => of_machine(&config.docker, "docker.io", config.encrypt),
        RuntimeKind::None | RuntimeKind::Runc => {
            let mut lacks = of_machine(&config.runc, "runc", config.encrypt);
            lacks.extend(of_runc());
            lacks.extend(of_release(&config.runc));
            lacks
        }
    }
}

fn lack(what: impl Into<String>, mend: impl Into<String>) -> Lack {
    Lack {
        what: what.into(),
        mend: mend.into(),
    }
}

/// What a runtime of either kind needs, for disks that are encrypted or not.
fn of_machine(program: &Path, package: &str, is_encrypted: bool) -> Vec<Lack> {
    let mut lacks = Vec::new();
    if !rustix::process::geteuid().is_root() {
        lacks.push(lack(
            "the provider does not run as root",
            "disks and networks of containers need root: set User=root for the service, or offer endpoints only",
        ));
    }
    let program = program.display().to_string();
    let crypt = is_encrypted.then_some(("cryptsetup", "cryptsetup-bin"));
    let own = [(program.as_str(), package)];
    for (program, package) in own.into_iter().chain(PROGRAMS).chain(crypt) {
        if find(program).is_none() {
            let mend = format!("apt-get install {package}");
            lacks.push(lack(format!("no program {program}"), mend));
        }
    }
    if is_apart() {
        lacks.push(lack(
            "the provider's mounts are its own, and end with it",
            "let the service share the machine's: the operator guide's drop-in for it opens all that keeps them apart",
        ));
    }
    if !Path::new("/dev/loop-control").exists() {
        lacks.push(lack("no loop devices", "modprobe loop"));
    }
    if is_encrypted && !Path::new("/dev/mapper/control").exists() {
        lacks.push(lack(
            "no device mapper, which encrypts disks",
            "modprobe dm-crypt, or set containers.encrypt = false: then disks are plain files, and destroyed by their removal alone",
        ));
    }
    lacks
}

/// Whether this process has mounts of its own, which end with it. Who may not look at the machine's first process knows nothing of it.
pub fn is_apart() -> bool {
    let both = (fs::read_link(MOUNTS), fs::read_link(FIRST_MOUNTS));
    matches!(both, (Ok(own), Ok(first)) if own != first)
}

/// What the kernel must have for runc as it is used here.
fn of_runc() -> Vec<Lack> {
    let mut lacks = Vec::new();
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    if read("/proc/sys/user/max_user_namespaces").trim() == "0"
        || !Path::new("/proc/self/ns/user").exists()
    {
        lacks.push(lack(
            "no user namespaces",
            "sysctl user.max_user_namespaces=10000, or a kernel with CONFIG_USER_NS",
        ));
    }
    let systems = read("/proc/filesystems");
    if !systems.split_whitespace().any(|name| name == "overlay") {
        lacks.push(lack("no overlayfs", "modprobe overlay"));
    }
    for controller in ["memory", "pids", "cpu"] {
        if !is_controlled(controller) {
            lacks.push(lack(
                format!("no control group of kind {controller}"),
                "mount control groups (systemd does), with this controller",
            ));
        }
    }
    lacks
}

/// Whether runc is a release with known ways out. Distributions mend older ones under names of their own, which say nothing here.
fn of_release(runc: &Path) -> Option<Lack> {
    let said = Command::new(runc).arg("--version").output().ok()?;
    let said = String::from_utf8(said.stdout).ok()?;
    let version = said.lines().next()?.strip_prefix("runc version ")?.trim();
    is_open(version).then(|| {
        lack(
            format!("runc {version} has known ways out of a container"),
            "install runc 1.2.8, 1.3.3, 1.4.0 or newer, or your distribution's",
        )
    })
}

/// Whether a version is one of runc's own releases, and none that is mended.
fn is_open(version: &str) -> bool {
    let parts: Option<Vec<u32>> = version.split('.').map(|part| part.parse().ok()).collect();
    let Some(&[major, minor, patch]) = parts.as_deref() else {
        return false;
    };
    let mended = MENDED.iter();
    let mut mended = mended.filter(|first| (first.0, first.1) == (major, minor));
    (major, minor, patch) < ALL_MENDED && !mended.any(|first| patch >= first.2)
}

/// Whether groups of this kind can be made, in either version.
fn is_controlled(controller: &str) -> bool {
    let root = Path::new("/sys/fs/cgroup");
    let unified = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
    unified.split_whitespace().any(|one| one == controller) || root.join(controller).is_dir()
}

/// A program, where it is.
fn find(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|path| path.is_file());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let own = std::env::split_paths(&path);
    let all = own.chain(SYSTEM.map(PathBuf::from));
    all.map(|dir| dir.join(program)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_of_runc_with_known_ways_out_are_told() {
        for open in ["1.1.5", "1.1.12", "1.2.7", "1.3.2", "1.0.0"] {
            assert!(is_open(open), "{open}");
        }
        for mended in ["1.2.8", "1.3.3", "1.4.0", "1.5.1", "2.0.0"] {
            assert!(!is_open(mended), "{mended}");
        }
        // A distribution's own.
        for unknown in ["1.1.5+ds1", "1.1.12-0ubuntu2", "", "1.2", "1.2.3.4"] {
            assert!(!is_open(unknown), "{unknown}");
        }
    }

    #[test]
    fn what_is_missing_is_named_with_its_mend() {
        let mut config = ContainersConfig {
            runc: "no-such-runc".into(),
            docker: "no-such-docker".into(),
            encrypt: false,
            ..ContainersConfig::default()
        };
        let mend = |config: &ContainersConfig, program: &str| {
            let lacks = lacks(config);
            assert!(lacks.iter().all(|lack| !lack.mend.is_empty()));
            let found = lacks.into_iter().find(|lack| lack.what.contains(program));
            found.map(|lack| lack.mend)
        };
        let runc = mend(&config, "no-such-runc");
        assert_eq!(runc.as_deref(), Some("apt-get install runc"));
        assert_eq!(mend(&config, "no-such-docker"), None);
        config.runtime = RuntimeKind::Docker;
        let docker = mend(&config, "no-such-docker");
        assert_eq!(docker.as_deref(), Some("apt-get install docker.io"));
        assert!(find("sh").is_some() && find("/no/such").is_none());
    }
}
