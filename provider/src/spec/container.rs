//! What the tenant of a container wants: image, command, environment, bounds, ports, SSH keys. Every field is bounded and checked before
//! anything is done about it.

use std::collections::HashSet;

use mythic_interface::hash::environment_hash;
use russh::keys::{Algorithm, PublicKey};
use serde::{Deserialize, Serialize};

/// Longest word of a command and longest value of the environment, bytes.
const WORD: usize = 4_096;
/// Words of a command, variables of the environment.
const WORDS: usize = 64;
/// Bytes of all values of an environment together.
const VALUES: usize = 32 << 10;
/// Longest name of a variable, bytes.
const NAME: usize = 128;
/// Ports that are published.
pub const PORTS: usize = 16;
/// SSH keys.
const KEYS: usize = 16;
/// Longest line of an SSH key. What is nested in a key can't be deep in so few bytes.
const KEY: usize = 1_024;
/// Longest name of a repository.
const REPOSITORY: usize = 255;
/// Hex digits of a digest, and what stands before them.
const DIGITS: usize = 64;
const DIGEST: &str = "sha256:";

/// Least and most of what can be asked for. With less, what starts a container does not fit into it.
pub struct Limits;

impl Limits {
    /// Thousandths of a core.
    pub const CPU_MILLI: (u32, u32) = (100, 1_024_000);
    /// MiB of memory.
    pub const MEMORY_MIB: (u32, u32) = (32, 4 << 20);
    /// Processes and threads.
    pub const PIDS: (u32, u32) = (32, 65_536);
    /// MiB of disk.
    pub const DISK_MIB: (u32, u32) = (16, 16 << 20);
}

/// A container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContainerSpec {
    /// Digest of the image's manifest: `sha256:` and 64 hex digits.
    pub image: String,
    /// Repository from which Docker pulls it, without tag and digest; runc looks in the provider's own directories.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub repository: String,
    /// Words of the command; none = the image's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Variables of the environment; their values follow by a request that the tenant signs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<Sealed>,
    /// Thousandths of a core.
    pub cpu_milli: u32,
    /// Memory, MiB; nothing is swapped.
    pub memory_mib: u32,
    /// Processes and threads.
    pub pids: u32,
    /// Disk, MiB: all that it writes, its volume and its logs.
    pub disk_mib: u32,
    /// TCP ports of the container that the provider publishes, each under a port of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<u16>,
    /// SSH keys that may log in, as in `authorized_keys` without options: Ed25519 or ECDSA.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ssh_keys: Vec<String>,
}

/// A variable of the environment whose value is not told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sealed {
    /// Its name.
    pub name: String,
    /// Hex [`environment_hash`] of salt, name and value.
    pub hash: String,
}

/// The value of a variable, as its tenant tells it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unsealed {
    /// The variable's name.
    pub name: String,
    /// Its salt, 32 hex digits.
    pub salt: String,
    /// Its value.
    pub value: String,
}

/// Why a container is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContainerError {
    #[error("image {0:?} is no digest: `sha256:` and 64 hex digits in small letters")]
    Image(String),
    #[error(
        "repository {0:?}: small letters, digits and `.-_/:` only, at most {REPOSITORY} bytes, without a tag"
    )]
    Repository(String),
    #[error("the command has {0} words; at most {WORDS} are allowed")]
    Words(usize),
    #[error("word {0} of the command is empty, longer than {WORD} bytes, or has a NUL in it")]
    Word(usize),
    #[error("the environment has {0} variables; at most {WORDS} are allowed")]
    Variables(usize),
    #[error(
        "variable {0:?}: a name is letters, digits and `_`, begins with no digit, has at most {NAME} bytes, and stands once"
    )]
    Variable(String),
    #[error("the hash of variable {0} is not 64 hex digits")]
    Hash(String),
    #[error("{what} = {value}: allowed are {least} to {most}")]
    Bound {
        what: &'static str,
        value: u32,
        least: u32,
        most: u32,
    },
    #[error("port {0} is none, or stands twice; at most {PORTS} can be published")]
    Port(u16),
    #[error(
        "SSH key {0} can't be used: one line of an Ed25519 or ECDSA key, at most {KEYS} of them"
    )]
    Key(usize),
    #[error("the value of variable {0} is not the one that the spec commits to")]
    OtherValue(String),
    #[error("the value of variable {0} has a NUL in it, or more than {WORD} bytes")]
    Value(String),
    #[error("the values of the environment have more than {VALUES} bytes")]
    Values,
    #[error("the spec has {wanted} variables and {told} values were told")]
    Told { wanted: usize, told: usize },
}

impl Sealed {
    /// Seals a value.
    pub fn new(salt: &[u8; 16], name: &str, value: &str) -> Self {
        Self {
            name: name.into(),
            hash: hex::encode(environment_hash(salt, name, value)),
        }
    }
}

impl ContainerSpec {
    /// Checks every field.
    pub fn check(&self) -> Result<(), ContainerError> {
        if digits(&self.image).is_none() {
            return Err(ContainerError::Image(self.image.clone()));
        }
        if !is_repository(&self.repository) {
            return Err(ContainerError::Repository(self.repository.clone()));
        }
        self.check_command()?;
        self.check_environment()?;
        self.check_bounds()?;
        let mut seen = HashSet::new();
        for port in &self.ports {
            if *port == 0 || !seen.insert(*port) || seen.len() > PORTS {
                return Err(ContainerError::Port(*port));
            }
        }
        self.keys().map(drop)
    }

    fn check_command(&self) -> Result<(), ContainerError> {
        let words = self.command.len();
        if words > WORDS {
            return Err(ContainerError::Words(words));
        }
        let bad = |(at, word): (usize, &String)| {
            let is_empty = at == 0 && word.is_empty();
            (is_empty || word.len() > WORD || word.contains('\0')).then_some(at)
        };
        match self.command.iter().enumerate().find_map(bad) {
            Some(at) => Err(ContainerError::Word(at)),
            None => Ok(()),
        }
    }

    fn check_environment(&self) -> Result<(), ContainerError> {
        let count = self.environment.len();
        if count > WORDS {
            return Err(ContainerError::Variables(count));
        }
        let mut seen = HashSet::new();
        for sealed in &self.environment {
            if !is_variable(&sealed.name) || !seen.insert(&sealed.name) {
                return Err(ContainerError::Variable(sealed.name.clone()));
            }
            if mythic_wire::parse_hex32(&sealed.hash).is_none() {
                return Err(ContainerError::Hash(sealed.name.clone()));
            }
        }
        Ok(())
    }

    fn check_bounds(&self) -> Result<(), ContainerError> {
        for (what, value, (least, most)) in [
            ("cpu_milli", self.cpu_milli, Limits::CPU_MILLI),
            ("memory_mib", self.memory_mib, Limits::MEMORY_MIB),
            ("pids", self.pids, Limits::PIDS),
            ("disk_mib", self.disk_mib, Limits::DISK_MIB),
        ] {
            if !(least..=most).contains(&value) {
                return Err(ContainerError::Bound {
                    what,
                    value,
                    least,
                    most,
                });
            }
        }
        Ok(())
    }

    /// The hex digits of the image's digest.
    pub fn digest(&self) -> Result<&str, ContainerError> {
        digits(&self.image).ok_or_else(|| ContainerError::Image(self.image.clone()))
    }

    /// Keys that may log in.
    pub fn keys(&self) -> Result<Vec<PublicKey>, ContainerError> {
        if self.ssh_keys.len() > KEYS {
            return Err(ContainerError::Key(KEYS));
        }
        let lines = self.ssh_keys.iter().enumerate();
        lines
            .map(|(at, line)| ssh_key(line).ok_or(ContainerError::Key(at)))
            .collect()
    }

    /// The environment, if each value is the one that the spec commits to.
    pub fn unseal(&self, told: &[Unsealed]) -> Result<Vec<(String, String)>, ContainerError> {
        if told.len() != self.environment.len() {
            let wanted = self.environment.len();
            let told = told.len();
            return Err(ContainerError::Told { wanted, told });
        }
        if told.iter().map(|told| told.value.len()).sum::<usize>() > VALUES {
            return Err(ContainerError::Values);
        }
        let mut open = Vec::with_capacity(told.len());
        for sealed in &self.environment {
            let name = &sealed.name;
            let found = told.iter().find(|told| told.name == *name);
            let found = found.ok_or_else(|| ContainerError::OtherValue(name.clone()))?;
            if found.value.len() > WORD || found.value.contains('\0') {
                return Err(ContainerError::Value(name.clone()));
            }
            let mut salt = [0; 16];
            let read = hex::decode_to_slice(&found.salt, &mut salt);
            let hash = hex::encode(environment_hash(&salt, name, &found.value));
            if read.is_err() || !hash.eq_ignore_ascii_case(&sealed.hash) {
                return Err(ContainerError::OtherValue(name.clone()));
            }
            open.push((name.clone(), found.value.clone()));
        }
        Ok(open)
    }
}

/// The digits of a digest in its only form.
pub fn digits(digest: &str) -> Option<&str> {
    let digits = digest.strip_prefix(DIGEST)?;
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (digits.len() == DIGITS && digits.bytes().all(is_hex)).then_some(digits)
}

/// Whether a repository can have this name; none at all is fine too.
pub fn is_repository(name: &str) -> bool {
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"./-_:".contains(&byte);
    // What stands behind the last slash would be a tag.
    let last = name.rsplit('/').next().unwrap_or_default();
    name.len() <= REPOSITORY
        && name.bytes().all(allowed)
        && !last.contains(':')
        && !name.starts_with(['/', '-', '.', ':'])
}

/// Whether a variable of an environment can have this name.
pub fn is_variable(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !name.is_empty()
        && name.len() <= NAME
        && name.bytes().all(allowed)
        && !name.as_bytes()[0].is_ascii_digit()
}

/// A key that may log in.
pub fn ssh_key(line: &str) -> Option<PublicKey> {
    if line.len() > KEY || line.contains(['\0', '\n', '\r']) {
        return None;
    }
    let key = PublicKey::from_openssh(line).ok()?;
    let is_known = matches!(
        key.algorithm(),
        Algorithm::Ed25519 | Algorithm::Ecdsa { .. }
    );
    is_known.then_some(key)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub const KEY_LINE: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti tenant";

    /// A small container.
    pub fn small() -> ContainerSpec {
        ContainerSpec {
            image: format!("sha256:{}", "ab".repeat(32)),
            repository: String::new(),
            command: vec!["/bin/sh".into(), "-c".into(), "sleep 1000".into()],
            environment: vec![Sealed::new(&[1; 16], "TOKEN", "secret")],
            cpu_milli: 500,
            memory_mib: 64,
            pids: 32,
            disk_mib: 64,
            ports: vec![80, 8_080],
            ssh_keys: vec![KEY_LINE.into()],
        }
    }

    #[test]
    fn a_spec_that_is_what_it_should_be_is_taken() {
        assert_eq!(small().check(), Ok(()));
        assert_eq!(small().digest().unwrap(), "ab".repeat(32));
        let mut pulled = small();
        pulled.repository = "registry.example:5000/a/b-c".into();
        assert_eq!(pulled.check(), Ok(()));
    }

    #[test]
    fn every_field_is_bounded() {
        type Change = fn(&mut ContainerSpec);
        let cases: [(Change, &str); 24] = [
            (|s| s.image = "latest".into(), "no digest"),
            (
                |s| s.image = format!("sha256:{}", "AB".repeat(32)),
                "no digest",
            ),
            (
                |s| s.image = format!("sha256:{}", "ab".repeat(31)),
                "no digest",
            ),
            (
                |s| s.image = format!("sha256:../{}", "a".repeat(61)),
                "no digest",
            ),
            (|s| s.repository = "a:tag".into(), "repository"),
            (|s| s.repository = "A".into(), "repository"),
            (|s| s.repository = "-v".into(), "repository"),
            (|s| s.command = vec!["a".into(); 65], "65 words"),
            (|s| s.command = vec![String::new()], "word 0"),
            (|s| s.command[2] = "a\0b".into(), "word 2"),
            (|s| s.command[1] = "a".repeat(4_097), "word 1"),
            (|s| s.environment[0].name = "A=B".into(), "\"A=B\""),
            (|s| s.environment[0].name = "1A".into(), "\"1A\""),
            (|s| s.environment[0].name = "A\0".into(), "variable"),
            (
                |s| s.environment.push(s.environment[0].clone()),
                "stands once",
            ),
            (|s| s.environment[0].hash = "00".into(), "64 hex digits"),
            (|s| s.cpu_milli = 99, "cpu_milli = 99"),
            (|s| s.memory_mib = u32::MAX, "memory_mib"),
            (|s| s.pids = 31, "pids = 31"),
            (|s| s.disk_mib = 1, "disk_mib = 1"),
            (|s| s.ports = vec![80, 80], "port 80"),
            (|s| s.ports = (1..=17).collect(), "port 17"),
            (|s| s.ssh_keys = vec!["ssh-rsa AAAA".into()], "SSH key 0"),
            (|s| s.ssh_keys[0].push('\n'), "SSH key 0"),
        ];
        for (change, words) in cases {
            let mut spec = small();
            change(&mut spec);
            let refused = spec.check().unwrap_err().to_string();
            assert!(refused.contains(words), "{refused}: {words}");
        }
    }

    fn told(salt: [u8; 16], name: &str, value: &str) -> Unsealed {
        Unsealed {
            name: name.into(),
            salt: hex::encode(salt),
            value: value.into(),
        }
    }

    #[test]
    fn values_are_those_that_the_spec_commits_to_and_no_others() {
        let spec = small();
        let good = [told([1; 16], "TOKEN", "secret")];
        let open = spec.unseal(&good).unwrap();
        assert_eq!(open, [("TOKEN".to_owned(), "secret".to_owned())]);
        for bad in [
            vec![],
            vec![told([1; 16], "TOKEN", "other")],
            vec![told([2; 16], "TOKEN", "secret")],
            vec![told([1; 16], "OTHER", "secret")],
            vec![told([1; 16], "TOKEN", "a\0")],
            vec![told([1; 16], "TOKEN", &"a".repeat(4_097))],
            [good.clone(), good.clone()].concat(),
        ] {
            assert!(spec.unseal(&bad).is_err());
        }
    }

    #[test]
    fn a_name_can_t_pass_for_a_value() {
        let of = |name: &str, value: &str| Sealed::new(&[0; 16], name, value).hash;
        assert_ne!(of("AB", "C"), of("A", "BC"));
    }
}
