//! Key files. A key is a JSON array of 64 bytes (the format of `solana-keygen`), readable by its owner only.

use std::{
    fs,
    io::{Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use mythic_support::check::{credentials, is_private};
use solana_keypair::Keypair;

/// Largest key file that is read, in bytes. A key takes at most 257.
const MAX_KEY_FILE: u64 = 4_096;

/// What can go wrong with a key file. The message names the file and the mend.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file can't be read.
    #[error("cannot read key file {path}: {source}; make one with `mythic wallet new {path}`")]
    Read {
        /// File that was asked for.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file can't be written.
    #[error("cannot write key file {path}: {source}")]
    Write {
        /// File that was asked for.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The content is not a key.
    #[error("{path} is not a key file: {reason}; expected a JSON array of 64 bytes")]
    Format {
        /// File that was read.
        path: PathBuf,
        /// Why it was refused; never shows key bytes.
        reason: &'static str,
    },
    /// Others can read the key.
    #[error("key file {path} has mode {mode:o}: others can read it; run `chmod 600 {path}`")]
    Exposed {
        /// File that was read.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Writing would replace a key.
    #[error("key file {path} already exists and is never overwritten; move it away first")]
    Exists {
        /// File that is in the way.
        path: PathBuf,
    },
}

/// Reads a key file. Refuses one that group or others may read.
pub fn load_keypair(path: impl AsRef<Path>) -> Result<Keypair, KeyError> {
    let path = path.as_ref();
    let read = |source| KeyError::Read {
        path: path.to_path_buf(),
        source,
    };
    let file = fs::File::open(path).map_err(read)?;
    let mode = file.metadata().map_err(read)?.permissions().mode() & 0o777;
    if !is_private(path, mode, credentials().as_deref()) {
        return Err(KeyError::Exposed {
            path: path.to_path_buf(),
            mode,
        });
    }
    let mut text = String::new();
    file.take(MAX_KEY_FILE)
        .read_to_string(&mut text)
        .map_err(read)?;
    let format = |reason| KeyError::Format {
        path: path.to_path_buf(),
        reason,
    };
    let bytes: Vec<u8> =
        serde_json::from_str(text.trim()).map_err(|_| format("not a JSON array of bytes"))?;
    Keypair::try_from(bytes.as_slice())
        .map_err(|_| format("secret and public halves do not belong together"))
}

/// Writes a new key file with mode 0600, durably. Never overwrites.
pub fn write_keypair(path: impl AsRef<Path>, key: &Keypair) -> Result<(), KeyError> {
    let path = path.as_ref();
    let write = |source: std::io::Error| {
        if source.kind() == std::io::ErrorKind::AlreadyExists {
            KeyError::Exists {
                path: path.to_path_buf(),
            }
        } else {
            KeyError::Write {
                path: path.to_path_buf(),
                source,
            }
        }
    };
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        fs::create_dir_all(parent).map_err(write)?;
    }
    let mut text = String::with_capacity(256);
    text.push('[');
    for (i, byte) in key.to_bytes().iter().enumerate() {
        if i > 0 {
            text.push(',');
        }
        text.push_str(&byte.to_string());
    }
    text.push(']');
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(write)?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(write)
}

/// Reads a key file, or makes the key and the file when there is none.
pub fn load_or_create(path: impl AsRef<Path>) -> Result<Keypair, KeyError> {
    let path = path.as_ref();
    if path.exists() {
        return load_keypair(path);
    }
    let key = Keypair::new();
    write_keypair(path, &key)?;
    Ok(key)
}

/// The keys of a development network, one file each in a directory: made at first use, the same ever after.
#[derive(Debug)]
pub struct DevKeys {
    /// Directory of the key files.
    pub dir: PathBuf,
    /// Upgrade authority of the program; signs Initialize and becomes admin.
    pub admin: Keypair,
    /// Receives the foundation's share.
    pub foundation: Keypair,
    /// The DEV account: owns the vault that pays requests of a development network.
    pub dev: Keypair,
    /// Fronts rent and fees of the gateway's transactions.
    pub gateway: Keypair,
    /// Pays the settler's cranks.
    pub settler: Keypair,
    /// Authority and operator of each validator, by number.
    pub validators: Vec<(Keypair, Keypair)>,
    /// Authority and operator of the provider.
    pub provider: (Keypair, Keypair),
}

impl DevKeys {
    /// Loads the keys in `dir`, making what is missing, for `validators` validators.
    pub fn load_or_create(dir: impl AsRef<Path>, validators: usize) -> Result<Self, KeyError> {
        let dir = dir.as_ref();
        let key = |name: &str| load_or_create(dir.join(format!("{name}.json")));
        Ok(Self {
            admin: key("admin")?,
            foundation: key("foundation")?,
            dev: key("dev")?,
            gateway: key("gateway")?,
            settler: key("settler")?,
            validators: (0..validators)
                .map(|i| {
                    Ok((
                        key(&format!("validator-{i}"))?,
                        key(&format!("operator-{i}"))?,
                    ))
                })
                .collect::<Result<_, KeyError>>()?,
            provider: (key("provider")?, key("provider-operator")?),
            dir: dir.to_path_buf(),
        })
    }

    /// File of a key by its name, for example `validator-0`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.json"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use solana_signer::Signer;

    fn dir() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn a_written_key_is_read_back_and_is_private() {
        let dir = dir();
        let path = dir.path().join("deep/key.json");
        let key = Keypair::new();
        write_keypair(&path, &key).unwrap();
        assert_eq!(load_keypair(&path).unwrap().pubkey(), key.pubkey());
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }

    #[test]
    fn a_key_is_never_overwritten() {
        let dir = dir();
        let path = dir.path().join("key.json");
        write_keypair(&path, &Keypair::new()).unwrap();
        assert!(matches!(
            write_keypair(&path, &Keypair::new()),
            Err(KeyError::Exists { .. })
        ));
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let dir = dir();
        let path = dir.path().join("key.json");
        write_keypair(&path, &Keypair::new()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = load_keypair(&path).unwrap_err();
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }

    #[test]
    fn what_is_not_a_key_is_refused() {
        let dir = dir();
        for (i, text) in [
            "",
            "{}",
            "[1,2]",
            "[300]",
            &format!("[{}]", ["7"; 64].join(",")),
        ]
        .iter()
        .enumerate()
        {
            let path = dir.path().join(format!("{i}.json"));
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)
                .unwrap();
            file.write_all(text.as_bytes()).unwrap();
            assert!(
                matches!(load_keypair(&path), Err(KeyError::Format { .. })),
                "{text}"
            );
        }
    }

    #[test]
    fn development_keys_stay_the_same() {
        let dir = dir();
        let first = DevKeys::load_or_create(dir.path(), 2).unwrap();
        let second = DevKeys::load_or_create(dir.path(), 3).unwrap();
        assert_eq!(first.dev.pubkey(), second.dev.pubkey());
        assert_eq!(
            first.validators[1].0.pubkey(),
            second.validators[1].0.pubkey()
        );
        assert_eq!(second.validators.len(), 3);
    }
}
