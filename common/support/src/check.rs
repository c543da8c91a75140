//! Checks of configured values. Each message names the key, the value and what is allowed.

use std::path::{Path, PathBuf};

/// `value` lies in `from..=to`.
pub fn in_range(key: &str, value: u64, from: u64, to: u64) -> Result<(), String> {
    match (from..=to).contains(&value) {
        true => Ok(()),
        false => Err(format!("{key} = {value}: allowed is {from} to {to}")),
    }
}

/// `url` begins with one of `schemes` (each with its `://`).
pub fn url(key: &str, url: &str, schemes: &[&str]) -> Result<(), String> {
    match schemes.iter().any(|scheme| url.starts_with(scheme)) {
        true => Ok(()),
        false => Err(format!(
            "{key} = {url:?}: allowed is a URL with {}",
            schemes.join(" or ")
        )),
    }
}

/// Whether a file of a secret is its reader's alone, by its permission bits. What systemd hands over (`LoadCredential=`) lies in a
/// directory that only the service can enter, `credentials`; there an access list for the service's user shows as the bit of the
/// group.
pub fn is_private(path: &Path, mode: u32, credentials: Option<&Path>) -> bool {
    let others = match credentials {
        Some(dir) if path.starts_with(dir) => 0o037,
        _ => 0o077,
    };
    mode & others == 0
}

/// Where systemd puts what it hands over to this service.
pub fn credentials() -> Option<PathBuf> {
    std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_may_have_an_access_list_and_no_other_file() {
        let dir = Path::new("/run/credentials/a.service");
        let inside = dir.join("key.json");
        assert!(is_private(&inside, 0o440, Some(dir)));
        assert!(!is_private(&inside, 0o444, Some(dir)));
        assert!(!is_private(&inside, 0o440, None));
        assert!(!is_private(Path::new("/etc/key.json"), 0o440, Some(dir)));
        assert!(is_private(Path::new("/etc/key.json"), 0o600, None));
    }

    #[test]
    fn messages_name_key_value_and_what_is_allowed() {
        assert_eq!(in_range("n", 5, 1, 5), Ok(()));
        assert_eq!(
            in_range("n", 6, 1, 5).unwrap_err(),
            "n = 6: allowed is 1 to 5"
        );
        assert_eq!(url("u", "ws://x", &["ws://", "wss://"]), Ok(()));
        assert_eq!(
            url("u", "http://x", &["ws://", "wss://"]).unwrap_err(),
            "u = \"http://x\": allowed is a URL with ws:// or wss://"
        );
    }
}
