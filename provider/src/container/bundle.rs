//! The bundle of a container, as runc reads it. Pure.

use std::path::{Component, Path, PathBuf};

use rustix::process::Resource;
use serde_json::{Value, json};

use super::{
    image::{Image, ImageConfig},
    runtime::Plan,
    seccomp,
    unpack::USERS,
};

/// Powers that root has inside: over the container's own files, users and ports.
pub const CAPABILITIES: [&str; 9] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];
/// Where programs are looked for, unless the image says otherwise.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// MiB of `/dev/shm`, which count as memory of the container.
pub const SHARED_MIB: u32 = 64;
/// Microseconds in which a share of the cores is counted.
const PERIOD: u64 = 100_000;
/// Limits of each process: bytes of what it leaves when it crashes, files that it has open; and for each user, counted for the machine's
/// root too, signals and bytes of messages that wait.
const LIMITS: [(&str, Resource, u64); 4] = [
    ("core", Resource::Core, 0),
    ("nofile", Resource::Nofile, 65_536),
    ("sigpending", Resource::Sigpending, 1_024),
    ("msgqueue", Resource::Msgqueue, 819_200),
];
/// Parts of `/proc` that tell of the machine, and those that change it.
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];
const READ_ONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];
/// Where the volume is.
pub const VOLUME: &str = "/volume";
/// Names under which a container of this provider is known.
pub const LABEL_PROVIDER: &str = "mythic.provider";
pub const LABEL_SLOT: &str = "mythic.slot";

/// Where a container's files are on this machine.
#[derive(Debug, Clone)]
pub struct Paths {
    pub rootfs: PathBuf,
    pub volume: PathBuf,
    /// Of root, and for what is written for a while; where the image's own can't be written to.
    pub home: PathBuf,
    pub tmp: PathBuf,
    pub resolv_conf: PathBuf,
    pub hosts: PathBuf,
}

/// What a bundle is made of, beside the plan.
#[derive(Debug, Clone)]
pub struct Parts<'a> {
    pub image: &'a Image,
    /// User and group of its process, as they are inside.
    pub user: (u32, u32),
    pub paths: &'a Paths,
    /// First of the machine's users that are the container's.
    pub first_user: u32,
    /// The provider's name.
    pub provider: &'a str,
    /// Most that this process may give of a limit.
    pub most: fn(Resource) -> Option<u64>,
    /// Whether the machine speaks IPv6, which is then closed.
    pub has_ipv6: bool,
}

/// `config.json`.
pub fn config(plan: &Plan, parts: &Parts<'_>) -> Value {
    json!({
        "ociVersion": "1.0.2",
        "hostname": hostname(&plan.id),
        "process": process(plan, parts),
        "root": {"path": parts.paths.rootfs, "readonly": false},
        "mounts": mounts(parts.paths),
        "annotations": {
            LABEL_PROVIDER: parts.provider,
            LABEL_SLOT: plan.slot.to_string(),
        },
        "linux": linux(plan, parts),
    })
}

/// The first characters of the lease, in letters that names of machines have.
pub fn hostname(id: &str) -> String {
    id.chars().take(12).collect::<String>().to_ascii_lowercase()
}

fn process(plan: &Plan, parts: &Parts<'_>) -> Value {
    let (image, (uid, gid)) = (&parts.image.config, parts.user);
    let cwd = image.working_dir.as_deref().filter(|dir| is_inside(dir));
    let rlimits = limits(parts.most).map(|(name, value)| {
        let name = format!("RLIMIT_{}", name.to_ascii_uppercase());
        json!({"type": name, "soft": value, "hard": value})
    });
    json!({
        "terminal": false,
        "user": {"uid": uid, "gid": gid},
        "args": words(&plan.command, image),
        "env": environment(plan, image),
        "cwd": cwd.unwrap_or("/"),
        "capabilities": {
            "bounding": CAPABILITIES,
            "effective": CAPABILITIES,
            "permitted": CAPABILITIES,
        },
        "rlimits": rlimits,
        "noNewPrivileges": true,
        "oomScoreAdj": 500,
    })
}

/// Limits of each process, none above what this process may give.
pub fn limits(most: fn(Resource) -> Option<u64>) -> [(&'static str, u64); 4] {
    LIMITS.map(|(name, kind, wanted)| {
        let value = most(kind).map_or(wanted, |most| most.min(wanted));
        (name, value)
    })
}

/// Whether a directory to begin in is one of the container's own: `/proc` has ways out of it.
pub fn is_inside(dir: &str) -> bool {
    let mut parts = Path::new(dir).components();
    let is_absolute = parts.next() == Some(Component::RootDir);
    let mut names = parts.clone();
    is_absolute
        && names.next() != Some(Component::Normal("proc".as_ref()))
        && parts.all(|part| matches!(part, Component::Normal(_)))
}

/// The words that are run: the tenant's, or the image's.
pub fn words(command: &[String], image: &ImageConfig) -> Vec<String> {
    match command.is_empty() {
        true => image.command(),
        false => command.to_vec(),
    }
}

/// Variables, each once: the tenant's before the image's before ours.
pub fn environment(plan: &Plan, image: &ImageConfig) -> Vec<String> {
    let own = plan.environment.iter();
    let own = own.map(|(name, value)| format!("{name}={value}"));
    let theirs = image.env.iter().flatten().cloned();
    let mut all: Vec<String> = Vec::new();
    for variable in own.chain(theirs).chain([PATH.to_owned()]) {
        let is_same = |other: &String| other.split('=').next() == variable.split('=').next();
        if variable.contains('=') && !all.iter().any(is_same) {
            all.push(variable);
        }
    }
    all
}

fn mounts(paths: &Paths) -> Value {
    let bound = |inside: &str, outside: &PathBuf, options: &[&str]| json!({"destination": inside, "type": "bind", "source": outside, "options": options});
    json!([
        {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=64k"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "noexec", "nodev", "mode=1777", format!("size={SHARED_MIB}m")]},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]},
        bound("/etc/resolv.conf", &paths.resolv_conf, &["bind", "ro", "nosuid", "nodev", "noexec"]),
        bound("/etc/hosts", &paths.hosts, &["bind", "ro", "nosuid", "nodev", "noexec"]),
        bound(VOLUME, &paths.volume, &["bind", "rw", "nosuid", "nodev"]),
    ])
}

fn linux(plan: &Plan, parts: &Parts<'_>) -> Value {
    let namespaces = ["pid", "network", "ipc", "uts", "mount", "cgroup", "user"];
    let namespaces = namespaces.map(|kind| json!({"type": kind}));
    let moved = json!([{"containerID": 0, "hostID": parts.first_user, "size": USERS}]);
    let mut sysctl = json!({"net.ipv4.ping_group_range": "0 65535"});
    if parts.has_ipv6 {
        sysctl["net.ipv6.conf.all.disable_ipv6"] = "1".into();
        sysctl["net.ipv6.conf.default.disable_ipv6"] = "1".into();
    }
    let memory = u64::from(plan.memory_mib) << 20;
    json!({
        "namespaces": namespaces,
        "uidMappings": moved,
        "gidMappings": moved,
        "cgroupsPath": format!("/mythic/{}", plan.id),
        "sysctl": sysctl,
        "maskedPaths": MASKED,
        "readonlyPaths": READ_ONLY,
        "rootfsPropagation": "private",
        "seccomp": seccomp::profile(),
        "resources": {
            "devices": [{"allow": false, "access": "rwm"}],
            // What may be swapped is counted with memory: none.
            "memory": {"limit": memory, "swap": memory},
            "pids": {"limit": plan.pids},
            "cpu": {
                "quota": u64::from(plan.cpu_milli) * PERIOD / 1_000,
                "period": PERIOD,
            },
        },
    })
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn plan() -> Plan {
        Plan {
            id: "8mYq".into(),
            slot: 7,
            image: format!("sha256:{}", "ab".repeat(32)),
            repository: String::new(),
            command: vec!["/bin/sh".into()],
            environment: vec![("TOKEN".into(), "a=b".into())],
            cpu_milli: 1_500,
            memory_mib: 64,
            pids: 32,
            disk_mib: 64,
            place: 3,
        }
    }

    fn made(plan: &Plan, image: ImageConfig) -> Value {
        let image = Image {
            rootfs: "/images/x/rootfs".into(),
            config: image,
        };
        let paths = Paths {
            rootfs: "/run/x/rootfs".into(),
            volume: "/data/x/volume".into(),
            home: "/data/x/home".into(),
            tmp: "/data/x/tmp".into(),
            resolv_conf: "/data/x/resolv.conf".into(),
            hosts: "/data/x/hosts".into(),
        };
        let parts = Parts {
            image: &image,
            user: (33, 34),
            paths: &paths,
            first_user: 1_000_000,
            provider: "prov",
            most: |kind| (kind == Resource::Nofile).then_some(512),
            has_ipv6: true,
        };
        config(plan, &parts)
    }

    #[test]
    fn a_container_is_apart_from_the_machine_in_every_namespace_and_has_no_power_over_it() {
        let made = made(&plan(), ImageConfig::default());
        let linux = &made["linux"];
        let kinds = linux["namespaces"].as_array().unwrap().iter();
        let kinds: Vec<_> = kinds.map(|one| one["type"].as_str().unwrap()).collect();
        for kind in ["pid", "network", "ipc", "uts", "mount", "cgroup", "user"] {
            assert!(kinds.contains(&kind), "{kind}");
        }
        // None is another's that is joined.
        assert!(
            linux["namespaces"]
                .as_array()
                .unwrap()
                .iter()
                .all(|one| one.get("path").is_none())
        );
        assert_eq!(linux["uidMappings"][0]["hostID"], 1_000_000);
        assert_eq!(made["process"]["noNewPrivileges"], true);
        assert_eq!(linux["seccomp"]["defaultAction"], "SCMP_ACT_ERRNO");
        for power in [
            "CAP_SYS_ADMIN",
            "CAP_NET_ADMIN",
            "CAP_NET_RAW",
            "CAP_SYS_PTRACE",
            "CAP_MKNOD",
        ] {
            let bounding = made["process"]["capabilities"]["bounding"]
                .as_array()
                .unwrap();
            assert!(!bounding.contains(&power.into()), "{power}");
        }
        assert!(made["process"]["capabilities"].get("ambient").is_none());
        for mount in made["mounts"].as_array().unwrap() {
            let options = mount["options"].as_array().unwrap();
            assert!(options.contains(&"nosuid".into()), "{mount}");
        }
    }

    #[test]
    fn what_was_asked_for_is_what_it_is_held_to() {
        let made = made(&plan(), ImageConfig::default());
        let resources = &made["linux"]["resources"];
        assert_eq!(resources["memory"]["limit"], 64 << 20);
        assert_eq!(resources["memory"]["swap"], 64 << 20);
        assert_eq!(resources["pids"]["limit"], 32);
        assert_eq!(resources["cpu"]["quota"], 150_000);
        assert_eq!(made["linux"]["cgroupsPath"], "/mythic/8mYq");
        assert_eq!(made["annotations"][LABEL_SLOT], "7");
        assert_eq!(made["process"]["user"]["gid"], 34);
        // No more is promised than this process may give.
        let limits = made["process"]["rlimits"].as_array().unwrap();
        let of = |kind: &str| limits.iter().find(|one| one["type"] == kind).unwrap();
        assert_eq!(of("RLIMIT_NOFILE")["hard"], 512);
        assert_eq!(of("RLIMIT_SIGPENDING")["hard"], 1_024);
        assert_eq!(of("RLIMIT_CORE")["soft"], 0);
    }

    #[test]
    fn a_container_begins_in_a_directory_of_its_own() {
        let begins = |dir: &str| {
            let image = ImageConfig {
                working_dir: Some(dir.into()),
                ..ImageConfig::default()
            };
            let made = made(&plan(), image);
            made["process"]["cwd"].as_str().unwrap().to_owned()
        };
        for dir in ["/", "/srv", "/srv/proc", "/processes"] {
            assert_eq!(begins(dir), dir);
        }
        for dir in [
            "/proc",
            "/proc/self/fd/8",
            "//proc/self/fd/8",
            "/./proc/self/fd/8",
            "/srv/../proc/self/fd/8",
            "..",
            "",
        ] {
            assert_eq!(begins(dir), "/", "{dir}");
        }
    }

    #[test]
    fn the_tenant_s_words_and_variables_go_before_the_image_s() {
        let image = ImageConfig {
            env: Some(vec![
                "TOKEN=image".into(),
                "PATH=/opt".into(),
                "damaged".into(),
            ]),
            entrypoint: Some(vec!["/entry".into()]),
            cmd: Some(vec!["word".into()]),
            working_dir: Some("relative".into()),
            user: None,
        };
        let told = made(&plan(), image.clone());
        assert_eq!(told["process"]["args"], json!(["/bin/sh"]));
        assert_eq!(told["process"]["env"], json!(["TOKEN=a=b", "PATH=/opt"]));
        assert_eq!(told["process"]["cwd"], "/");
        let mut own = plan();
        own.command.clear();
        own.environment.clear();
        let told = made(&own, image);
        assert_eq!(told["process"]["args"], json!(["/entry", "word"]));
        let bare = made(&own, ImageConfig::default());
        assert_eq!(bare["process"]["env"], json!([PATH]));
    }
}
