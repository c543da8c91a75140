//! What a machine must have for containers by runc, and how it is had.

use std::{
    fs,
    path::{Path, PathBuf},
};

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

/// What is missing for containers by this program of runc, on disks that are encrypted or not.
pub fn lacks(runc: &str, is_encrypted: bool) -> Vec<Lack> {
    let mut lacks = Vec::new();
    let mut lack = |what: String, mend: String| lacks.push(Lack { what, mend });
    if !rustix::process::geteuid().is_root() {
        lack(
            "the provider does not run as root".into(),
            "containers by runc need root: set User=root for the service, or offer endpoints only"
                .into(),
        );
    }
    let crypt = is_encrypted.then_some(("cryptsetup", "cryptsetup-bin"));
    let all = [(runc, "runc")].into_iter().chain(PROGRAMS).chain(crypt);
    for (program, package) in all {
        if find(program).is_none() {
            lack(
                format!("no program {program}"),
                format!("apt-get install {package}"),
            );
        }
    }
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    if read("/proc/sys/user/max_user_namespaces").trim() == "0"
        || !Path::new("/proc/self/ns/user").exists()
    {
        lack(
            "no user namespaces".into(),
            "sysctl user.max_user_namespaces=10000, or a kernel with CONFIG_USER_NS".into(),
        );
    }
    if !read("/proc/filesystems")
        .split_whitespace()
        .any(|name| name == "overlay")
    {
        lack("no overlayfs".into(), "modprobe overlay".into());
    }
    if !Path::new("/dev/loop-control").exists() {
        lack("no loop devices".into(), "modprobe loop".into());
    }
    if is_encrypted && !Path::new("/dev/mapper/control").exists() {
        lack(
            "no device mapper, which encrypts disks".into(),
            "modprobe dm-crypt, or set containers.encrypt = false: then disks are plain files, and destroyed by their removal alone".into(),
        );
    }
    for controller in ["memory", "pids", "cpu"] {
        if !is_controlled(controller) {
            lack(
                format!("no control group of kind {controller}"),
                "mount control groups (systemd does), with this controller".into(),
            );
        }
    }
    lacks
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
    fn what_is_missing_is_named_with_its_mend() {
        let lacks = lacks("no-such-runc", false);
        let runc = lacks.iter().find(|lack| lack.what.contains("no-such-runc"));
        assert_eq!(runc.unwrap().mend, "apt-get install runc");
        assert!(lacks.iter().all(|lack| !lack.mend.is_empty()));
        assert!(find("sh").is_some() && find("/no/such").is_none());
    }
}
