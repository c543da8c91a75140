//! Checks of what types can't: each message names the key, the value and what is allowed.

use solana_pubkey::Pubkey;

use super::{DevAccount, GatewayConfig, ModelConfig};

/// Longest `public_url`: it is written into jobs.
const MAX_URL: usize = 96;
/// Longest step of a stop, seconds.
const MAX_STOP: u64 = 3_600;

fn is_address(text: &str) -> bool {
    text.parse::<Pubkey>().is_ok()
}

impl GatewayConfig {
    /// Checks what types can't; the message names the key, the value and what is allowed.
    pub fn validate(&self) -> Result<(), String> {
        self.check_urls()?;
        check_models(&self.models)?;
        for (key, list) in [
            ("deny_validators", &self.deny_validators),
            ("deny_wallets", &self.deny_wallets),
        ] {
            if let Some(wrong) = list.iter().find(|address| !is_address(address)) {
                return Err(format!("{key}: {wrong:?} is not a base58 address"));
            }
        }
        if let Some(account) = &self.dev_account {
            self.check_dev_account(account)?;
        }
        if let Some(bad) = self
            .trusted_proxies
            .iter()
            .find(|text| crate::http::address::parse_network(text).is_none())
        {
            return Err(format!(
                "trusted_proxies = {bad:?}: must be an address or a network like 10.0.0.0/8"
            ));
        }
        self.http
            .validate()
            .map_err(|error| format!("http.{error}"))?;
        self.traces.validate()?;
        if self.limits.subscribers_for_validators >= self.limits.subscribers {
            return Err(format!(
                "limits.subscribers_for_validators = {}: must be less than limits.subscribers = {}",
                self.limits.subscribers_for_validators, self.limits.subscribers
            ));
        }
        if self.timing.unready_seconds > MAX_STOP || self.timing.drain_seconds > MAX_STOP {
            return Err(format!(
                "timing.unready_seconds and timing.drain_seconds: at most {MAX_STOP} each"
            ));
        }
        match self
            .positive()
            .iter()
            .find(|(_, value)| *value == 0 || *value > 1 << 40)
        {
            Some((key, value)) => Err(format!(
                "{key} = {value}: must be at least 1 and at most 2^40"
            )),
            None => Ok(()),
        }
    }

    fn check_urls(&self) -> Result<(), String> {
        let begins = |key: &str, url: &str, schemes: &[&str]| {
            if schemes.iter().any(|scheme| url.starts_with(scheme)) {
                Ok(())
            } else {
                Err(format!(
                    "{key} = {url:?}: must begin with {}",
                    schemes.join(" or ")
                ))
            }
        };
        mythic_wire::Origin::parse(&self.public_url)
            .map_err(|error| format!("public_url: {error}"))?;
        begins("rpc_url", &self.rpc_url, &["http://", "https://"])?;
        begins("ws_url", &self.ws_url, &["ws://", "wss://"])?;
        if self.public_url.len() > MAX_URL {
            return Err(format!(
                "public_url = {:?}: at most {MAX_URL} bytes, it is written into jobs",
                self.public_url
            ));
        }
        mythic_postgres::check_url(&self.database_url)
            .map_err(|error| format!("database_url: {error}"))
    }

    fn check_dev_account(&self, account: &DevAccount) -> Result<(), String> {
        if !self.dev {
            return Err("dev_account: only with dev = true".into());
        }
        if !self.listen.ip().is_loopback() {
            return Err(format!(
                "dev_account: only with a loopback listen address, not {}: any API key pays with it",
                self.listen
            ));
        }
        if !mythic_http::guard::is_local_url(&self.public_url) {
            return Err(format!(
                "dev_account: only with a public_url on this machine, not {:?}: any request pays with it",
                self.public_url
            ));
        }
        if !self.trusted_proxies.is_empty() {
            return Err("dev_account: not behind proxies; take trusted_proxies away".into());
        }
        if account
            .key
            .as_ref()
            .is_some_and(|key| key.len() < 16 || key.starts_with("mk-"))
        {
            return Err(
                "dev_account.key: at least 16 characters that do not begin with mk-".into(),
            );
        }
        if !is_address(&account.owner) {
            return Err(format!(
                "dev_account.owner = {:?}: not a base58 address",
                account.owner
            ));
        }
        Ok(())
    }

    /// Numbers that must be at least 1.
    fn positive(&self) -> Vec<(&'static str, u64)> {
        let (limits, outlay, timing) = (&self.limits, &self.outlay, &self.timing);
        vec![
            ("limits.body_bytes", limits.body_bytes as u64),
            (
                "limits.requests_per_minute",
                limits.requests_per_minute.into(),
            ),
            (
                "limits.concurrent_per_key",
                limits.concurrent_per_key.into(),
            ),
            ("limits.concurrent", limits.concurrent.into()),
            (
                "limits.anonymous_per_minute",
                limits.anonymous_per_minute.into(),
            ),
            ("limits.keys_per_hour", limits.keys_per_hour.into()),
            ("limits.credits_per_hour", limits.credits_per_hour.into()),
            (
                "limits.subscribers_per_address",
                limits.subscribers_per_address.into(),
            ),
            ("limits.queue", limits.queue.into()),
            ("limits.queue_per_key", limits.queue_per_key.into()),
            ("outlay.jobs_per_owner", outlay.jobs_per_owner.into()),
            ("outlay.rent_seconds", outlay.rent_seconds),
            (
                "outlay.fees_per_owner_per_day",
                outlay.fees_per_owner_per_day,
            ),
            ("outlay.fees_per_day", outlay.fees_per_day),
            ("timing.confirm_seconds", timing.confirm_seconds),
            ("timing.queue_seconds", timing.queue_seconds),
            ("timing.instance_seconds", timing.instance_seconds),
            ("timing.admission_seconds", timing.admission_seconds),
            ("timing.accept_seconds", timing.accept_seconds),
            ("timing.first_token_seconds", timing.first_token_seconds),
            ("timing.next_token_seconds", timing.next_token_seconds),
            ("timing.answer_hours", timing.answer_hours),
            ("deadline_slots", self.deadline_slots.into()),
            ("nonce_slots", self.nonce_slots),
        ]
    }
}

fn check_models(models: &[ModelConfig]) -> Result<(), String> {
    for (index, model) in models.iter().enumerate() {
        let named = !model.name.is_empty() && model.name.len() <= 100 && !model.name.contains('@');
        if !named {
            return Err(format!(
                "models[{index}].name = {:?}: 1 to 100 bytes without @",
                model.name
            ));
        }
        if hex::decode(&model.identity).map_or(0, |bytes| bytes.len()) != 32 {
            return Err(format!(
                "models[{index}].identity = {:?}: must be 64 hex digits",
                model.identity
            ));
        }
        if models
            .iter()
            .take(index)
            .any(|other| other.identity.eq_ignore_ascii_case(&model.identity))
        {
            return Err(format!(
                "models[{index}].identity = {:?}: listed twice",
                model.identity
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut GatewayConfig)) -> String {
        let mut config = GatewayConfig::default();
        change(&mut config);
        config.validate().unwrap_err()
    }

    #[test]
    fn the_default_is_valid() {
        GatewayConfig::default().validate().unwrap();
    }

    #[test]
    fn errors_name_the_key() {
        assert!(refused(|c| c.rpc_url = "8899".into()).starts_with("rpc_url"));
        assert!(
            refused(|c| c.public_url = format!("http://{}", "a".repeat(96)))
                .starts_with("public_url")
        );
        assert!(refused(|c| c.limits.concurrent = 0).starts_with("limits.concurrent"));
        let model = || ModelConfig {
            name: "m".into(),
            identity: "00".repeat(32),
            gguf: "m.gguf".into(),
        };
        assert!(refused(|c| c.models = vec![model(), model()]).contains("twice"));
        assert!(
            refused(|c| c.models = vec![ModelConfig {
                identity: "0".into(),
                ..model()
            }])
            .contains("identity")
        );
    }

    #[test]
    fn an_account_for_everybody_stays_on_loopback() {
        let account = DevAccount {
            owner: "11111111111111111111111111111111".into(),
            delegate_keypair_path: "d.json".into(),
            key: None,
        };
        assert!(refused(|c| c.dev_account = Some(account.clone())).contains("dev = true"));
        let message = refused(|c| {
            c.dev = true;
            c.listen = "0.0.0.0:4002".parse().unwrap();
            c.dev_account = Some(account.clone());
        });
        assert!(message.contains("loopback"), "{message}");
        // Behind a proxy on the same machine `listen` is loopback and the gateway public all the same.
        let message = refused(|c| {
            c.dev = true;
            c.public_url = "https://gateway.example".into();
            c.dev_account = Some(account.clone());
        });
        assert!(message.contains("public_url"), "{message}");
        let message = refused(|c| {
            c.dev = true;
            c.trusted_proxies = vec!["127.0.0.1".into()];
            c.dev_account = Some(account.clone());
        });
        assert!(message.contains("trusted_proxies"), "{message}");
    }

    #[test]
    fn unknown_keys_are_refused() {
        assert!(serde_json::from_str::<GatewayConfig>(r#"{"liste": 1}"#).is_err());
    }
}
