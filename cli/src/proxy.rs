//! Loopback is dialled directly, whatever the proxy variables say: a proxy elsewhere would not find what runs here.

/// The variables that name proxies, as HTTP libraries read them.
const PROXIES: [&str; 6] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
];
const DIRECT: [&str; 2] = ["NO_PROXY", "no_proxy"];
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.0/8", "::1"];

/// The proxy variable that is set, if one is.
pub fn variable() -> Option<&'static str> {
    PROXIES
        .into_iter()
        .find(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// Whether other programs of this user find loopback in spite of [`variable`].
pub fn others_go_direct() -> bool {
    let listed = DIRECT.iter().filter_map(|name| std::env::var(name).ok());
    listed
        .flat_map(|value| {
            value
                .split(',')
                .map(|one| one.trim().to_owned())
                .collect::<Vec<_>>()
        })
        .any(|one| one == "*" || one == "127.0.0.1" || one == "127.0.0.0/8")
}

/// Excepts loopback from the proxies for this process and those it starts. Call it before any thread is started.
pub fn except_loopback() {
    if variable().is_none() {
        return;
    }
    let set: Vec<String> = DIRECT
        .iter()
        .filter_map(|name| std::env::var(name).ok())
        .collect();
    let value = with_loopback(&set);
    for name in DIRECT {
        // SAFETY: no other thread exists yet that could read the environment.
        unsafe { std::env::set_var(name, &value) };
    }
}

/// The exceptions that were set, and loopback.
fn with_loopback(set: &[String]) -> String {
    let mut all: Vec<&str> = Vec::new();
    let listed = set.iter().flat_map(|value| value.split(',').map(str::trim));
    for one in listed.filter(|one| !one.is_empty()).chain(LOOPBACK) {
        if !all.contains(&one) {
            all.push(one);
        }
    }
    all.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_that_were_set_stay_and_loopback_is_added_once() {
        assert_eq!(with_loopback(&[]), "localhost,127.0.0.0/8,::1");
        let set = ["a.example, localhost".to_owned(), "a.example,*".to_owned()];
        assert_eq!(with_loopback(&set), "a.example,localhost,*,127.0.0.0/8,::1");
    }
}
