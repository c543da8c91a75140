//! Checks of configured values. Each message names the key, the value and what is allowed.

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

#[cfg(test)]
mod tests {
    use super::*;

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
