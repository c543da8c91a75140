//! Finding the server's own programs.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use super::{config::OLDEST_VERSION, error::ClusterError};

/// Server binaries of one release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    /// Major version.
    pub version: u32,
    /// Directory with `initdb` and `postgres`.
    pub dir: PathBuf,
}

impl fmt::Display for Binaries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgreSQL {} in {}", self.version, self.dir.display())
    }
}

/// The newest usable binaries.
pub fn find_binaries() -> Result<Binaries, ClusterError> {
    all_binaries()
        .into_iter()
        .max_by_key(|found| found.version)
        .ok_or(ClusterError::NotFound)
}

fn all_binaries() -> Vec<Binaries> {
    let packaged = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let found = packaged
        .chain(on_path)
        .filter(|dir| dir.join("initdb").is_file() && dir.join("postgres").is_file());
    found
        .filter_map(|dir| {
            let output = std::process::Command::new(dir.join("postgres"))
                .arg("--version")
                .output()
                .ok()?;
            let version = major_version(&String::from_utf8_lossy(&output.stdout))?;
            (version >= OLDEST_VERSION).then_some(Binaries { version, dir })
        })
        .collect()
}

/// `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)` -> 15
fn major_version(text: &str) -> Option<u32> {
    let number = text
        .split_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    number
        .split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

pub(super) fn binaries_for(data: &Path) -> Result<Binaries, ClusterError> {
    let version = match fs::read_to_string(data.join("PG_VERSION")) {
        Err(_) => return find_binaries(),
        Ok(text) => major_version(&text).unwrap_or_default(),
    };
    let found = all_binaries();
    if found.is_empty() {
        return Err(ClusterError::NotFound);
    }
    found
        .into_iter()
        .find(|binaries| binaries.version == version)
        .ok_or_else(|| ClusterError::Version {
            dir: data.into(),
            version,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_postgres_says() {
        assert_eq!(
            major_version("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)"),
            Some(15)
        );
        assert_eq!(major_version("postgres (PostgreSQL) 18beta2"), Some(18));
        assert_eq!(major_version("16\n"), Some(16));
        assert_eq!(major_version("what?"), None);
    }
}
