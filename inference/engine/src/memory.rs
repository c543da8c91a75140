//! What an engine will need at most, against what the machine has: said at load, so that nothing
//! is killed later.

use std::path::{Path, PathBuf};

/// Memory that a loaded model may come to use, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The weights: mapped, and shared by all engines of the machine that run them.
    pub weights: u64,
    /// Keys and values.
    pub pool: u64,
    /// What a pass works on.
    pub scratch: u64,
}

/// A plan that the machine can't keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the model needs {} MiB of memory ({} for weights, {} for keys and values, {} to compute), and {} MiB are available; {}",
    mib(plan.weights + plan.pool + plan.scratch), mib(plan.weights), mib(plan.pool), mib(plan.scratch), mib(*available),
    self.mend()
)]
pub struct TooBig {
    pub plan: Plan,
    pub available: u64,
}

fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

impl TooBig {
    fn mend(&self) -> String {
        let others = self.plan.weights + self.plan.scratch;
        match self.available.checked_sub(others) {
            // Less than that many positions are of no use.
            Some(left) if left >= 16 << 20 => {
                format!("lower kv_bytes to at most {left}, or free memory")
            }
            _ => "take a smaller model or a machine with more memory".into(),
        }
    }
}

impl Plan {
    /// Whether it fits; where the machine doesn't say what it has, that is not known and taken as
    /// yes.
    pub fn check(self) -> Result<(), TooBig> {
        self.against(available())
    }

    fn against(self, available: Option<u64>) -> Result<(), TooBig> {
        match available {
            Some(available) if self.weights + self.pool + self.scratch > available => Err(TooBig {
                plan: self,
                available,
            }),
            _ => Ok(()),
        }
    }
}

/// Bytes that can be had without anything being swapped or killed: what the kernel estimates for
/// the machine, or what the control groups of this process leave, whichever is less.
pub fn available() -> Option<u64> {
    let meminfo = std::fs::read_to_string("/proc/meminfo").ok()?;
    let machine = meminfo_available(&meminfo)?;
    let lines = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let left = groups(&lines).iter().filter_map(Group::left).min();
    Some(left.map_or(machine, |left| left.min(machine)))
}

fn meminfo_available(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|l| l.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1_024)
}

/// A directory of a memory control group, and what its files are called.
#[derive(Debug, PartialEq, Eq)]
struct Group {
    path: PathBuf,
    names: &'static [&'static str; 4],
}

/// Limit, use, and in `memory.stat` the two kinds of cached files: version 2, version 1.
const UNIFIED: [&str; 4] = [
    "memory.max",
    "memory.current",
    "inactive_file ",
    "active_file ",
];
const LEGACY: [&str; 4] = [
    "memory.limit_in_bytes",
    "memory.usage_in_bytes",
    "total_inactive_file ",
    "total_active_file ",
];

/// The process's memory control groups and all above them, from `/proc/self/cgroup`.
fn groups(lines: &str) -> Vec<Group> {
    let mut found = Vec::new();
    for line in lines.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let (root, names) = match controllers {
            "" => ("/sys/fs/cgroup", &UNIFIED),
            list if list.split(',').any(|c| c == "memory") => ("/sys/fs/cgroup/memory", &LEGACY),
            _ => continue,
        };
        let own = Path::new(root).join(path.trim_start_matches('/'));
        found.extend(
            own.ancestors()
                .take_while(|p| p.starts_with(root))
                .map(|p| Group {
                    path: p.to_owned(),
                    names,
                }),
        );
    }
    found
}

impl Group {
    /// Limit less use, where cached files count as free. `None` without a limit.
    fn left(&self) -> Option<u64> {
        let [limit, used, inactive, active] = self.names;
        let read = |name: &str| std::fs::read_to_string(self.path.join(name)).ok();
        let limit: u64 = read(limit)?.trim().parse().ok()?;
        let used: u64 = read(used)?.trim().parse().ok()?;
        let stat = read("memory.stat").unwrap_or_default();
        let files = |key: &str| -> u64 {
            let line = stat.lines().find_map(|l| l.strip_prefix(key));
            line.and_then(|n| n.trim().parse().ok()).unwrap_or(0)
        };
        let cached = files(inactive) + files(active);
        Some(limit.saturating_sub(used.saturating_sub(cached)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_too_big_names_its_numbers_and_the_setting_to_lower() {
        let plan = Plan {
            weights: 100 << 20,
            pool: 1 << 30,
            scratch: 20 << 20,
        };
        assert_eq!(plan.against(Some(2 << 30)), Ok(()));
        assert_eq!(plan.against(None), Ok(()));
        let error = plan.against(Some(500 << 20)).unwrap_err().to_string();
        let kv_bytes = format!("lower kv_bytes to at most {},", 380 << 20);
        for part in [
            "needs 1144 MiB",
            "100 for weights",
            "1024 for keys",
            "500 MiB are",
            &kv_bytes,
        ] {
            assert!(error.contains(part), "{error}: {part}");
        }
        let error = plan.against(Some(110 << 20)).unwrap_err().to_string();
        assert!(error.contains("smaller model"), "{error}");
    }

    #[test]
    fn what_the_kernel_says_is_read() {
        let text = "MemTotal:  24000 kB\nMemFree: 1 kB\nMemAvailable:   12345 kB\n";
        assert_eq!(meminfo_available(text), Some(12_345 * 1_024));
        assert_eq!(meminfo_available("MemTotal: 1 kB"), None);
        let group = |path: &str, names| Group {
            path: path.into(),
            names,
        };
        assert_eq!(
            groups("1:cpu:/x\n4:blkio,memory:/m\n0::/a\nnonsense"),
            [
                group("/sys/fs/cgroup/memory/m", &LEGACY),
                group("/sys/fs/cgroup/memory", &LEGACY),
                group("/sys/fs/cgroup/a", &UNIFIED),
                group("/sys/fs/cgroup", &UNIFIED),
            ]
        );
        if cfg!(target_os = "linux") {
            assert!(available().is_some_and(|n| n > 0));
        }
    }
}
