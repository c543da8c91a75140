//! The setting that turns traces on.

use serde::{Deserialize, Serialize};

/// Traces of a process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TraceConfig {
    /// Base URL of an OTLP collector (HTTP, protobuf), like `http://127.0.0.1:4318`; `OTEL_EXPORTER_OTLP_ENDPOINT` where it is empty.
    /// Without either nothing is traced.
    pub otlp_endpoint: String,
    /// Share of requests and jobs that are traced of those that nobody marked, 0 to 1.
    pub sample: f64,
    /// Most requests and jobs a second that are traced: so many that callers marked, and so many of the others.
    pub per_second: u32,
}

impl Default for TraceConfig {
    fn default() -> Self {
        Self {
            otlp_endpoint: String::new(),
            sample: 0.05,
            per_second: 10,
        }
    }
}

impl TraceConfig {
    /// Checks every key. The message names key, value and what is allowed.
    pub fn validate(&self) -> Result<(), String> {
        if !self.otlp_endpoint.is_empty() && url(&self.otlp_endpoint).is_none() {
            return Err(
                "traces.otlp_endpoint: not a base URL like http://127.0.0.1:4318 without user name, query or fragment"
                    .into(),
            );
        }
        if !(0.0..=1.0).contains(&self.sample) {
            return Err(format!("traces.sample = {}: 0 to 1", self.sample));
        }
        if !(1..=10_000).contains(&self.per_second) {
            return Err(format!(
                "traces.per_second = {}: 1 to 10000",
                self.per_second
            ));
        }
        Ok(())
    }

    /// Where spans are sent, if they are.
    pub(crate) fn endpoint(&self) -> Result<Option<reqwest::Url>, String> {
        let (name, text) = match self.otlp_endpoint.as_str() {
            "" => {
                let name = "OTEL_EXPORTER_OTLP_ENDPOINT";
                (name, std::env::var(name).unwrap_or_default())
            }
            text => ("traces.otlp_endpoint", text.to_owned()),
        };
        if text.is_empty() {
            return Ok(None);
        }
        let base = url(&text).ok_or_else(|| format!("{name} is not a usable http or https URL"))?;
        let path = format!("{}/v1/traces", base.path().trim_end_matches('/'));
        let mut whole = base;
        whole.set_path(&path);
        Ok(Some(whole))
    }
}

/// An http(s) URL that holds no secret: it is shown in logs.
fn url(text: &str) -> Option<reqwest::Url> {
    let url = reqwest::Url::parse(text).ok()?;
    let plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    let good = matches!(url.scheme(), "http" | "https") && url.has_host() && plain;
    good.then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_checked_by_name() {
        let set = |text: &str| toml::from_str::<TraceConfig>(text).unwrap();
        assert_eq!(set("").validate(), Ok(()));
        assert_eq!(
            set("otlp_endpoint = 'http://[::1]:4318/otlp/'").validate(),
            Ok(())
        );
        for (text, key) in [
            ("otlp_endpoint = 'ftp://a'", "otlp_endpoint"),
            ("otlp_endpoint = 'http://user:secret@a'", "otlp_endpoint"),
            ("otlp_endpoint = 'a:4318'", "otlp_endpoint"),
            ("sample = 1.5", "sample"),
            ("sample = nan", "sample"),
            ("per_second = 0", "per_second"),
        ] {
            let refused = set(text).validate().unwrap_err();
            assert!(
                refused.contains(key) && !refused.contains("secret"),
                "{refused}"
            );
        }
        assert!(toml::from_str::<TraceConfig>("endpoint = ''").is_err());
        let base = set("otlp_endpoint = 'http://a:4318/otlp/'")
            .endpoint()
            .unwrap();
        assert_eq!(base.unwrap().as_str(), "http://a:4318/otlp/v1/traces");
    }
}
