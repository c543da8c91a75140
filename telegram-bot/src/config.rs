//! The bot's configuration.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use figment::{
    Figment,
    providers::{Env, Format, Toml},
};
use mythic_http::Limits;
use mythic_support::check::{credentials, in_range, is_private, url};
use mythic_wire::Origin;
use serde::{Deserialize, Serialize};

/// Keys of the bot's TOML file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BotConfig {
    /// File with the token that BotFather gave, for its owner alone.
    pub token_file: PathBuf,
    /// Bot API server.
    pub api_url: String,
    /// Gateway that answers.
    pub gateway_url: String,
    /// The gateway's address as people know it, with its pages; empty = `gateway_url`.
    pub pages_url: String,
    /// JSON-RPC of the chain.
    pub rpc_url: String,
    /// WebSocket of the chain.
    pub ws_url: String,
    /// Name of the chain as wallets know it.
    pub chain: String,
    /// URL of a transaction in an explorer, with `{}` for its signature; empty = none.
    pub explorer_url: String,
    /// A file (SQLite), or the URL of a PostgreSQL server.
    pub database: String,
    /// File with the secret that everybody's delegate is derived from; made at the first start.
    pub secret_file: PathBuf,
    /// Where the wallet page and the webhook are served.
    pub listen: SocketAddr,
    /// How people reach them: scheme, host and port.
    pub public_url: String,
    /// Telegram sends updates to `public_url` instead of being asked for them.
    pub webhook: bool,
    /// Most tokens of an answer.
    pub max_output_tokens: u32,
    /// Questions of one person under way at once.
    pub asks_per_user: usize,
    /// Questions of one person in an hour.
    pub asks_per_hour: u32,
    /// Hours that questions and answers are kept.
    pub keep_hours: u64,
    /// Lamports below which a question runs at once, until its author sets another limit.
    pub run_below_lamports: u64,
    /// Where to serve `/metrics` and `/health`; without an address in the file, on loopback.
    pub metrics_addr: Option<SocketAddr>,
    /// What whoever connects to `listen` is granted.
    pub limits: Limits,
}

impl Default for BotConfig {
    fn default() -> Self {
        Self {
            token_file: "telegram.token".into(),
            api_url: "https://api.telegram.org".into(),
            gateway_url: "http://127.0.0.1:4002".into(),
            pages_url: String::new(),
            rpc_url: "http://127.0.0.1:8899".into(),
            ws_url: "ws://127.0.0.1:8900".into(),
            chain: "solana:localnet".into(),
            explorer_url: String::new(),
            database: "bot.sqlite".into(),
            secret_file: "bot.secret".into(),
            listen: ([127, 0, 0, 1], 8091).into(),
            public_url: "http://127.0.0.1:8091".into(),
            webhook: false,
            max_output_tokens: 1_024,
            asks_per_user: 2,
            asks_per_hour: 60,
            keep_hours: 24,
            run_below_lamports: 0,
            metrics_addr: Some(([127, 0, 0, 1], 9474).into()),
            limits: Limits {
                connections: 500,
                connections_per_address: 50,
                ..Limits::default()
            },
        }
    }
}

impl BotConfig {
    /// Checks every value; the message names key, value and what is allowed.
    pub fn validate(&self) -> Result<(), String> {
        let http = ["http://", "https://"];
        for (key, value) in [
            ("api_url", &self.api_url),
            ("gateway_url", &self.gateway_url),
            ("rpc_url", &self.rpc_url),
        ] {
            url(key, value, &http)?;
        }
        if reqwest::Url::parse(&self.api_url).is_err() {
            return Err(format!("api_url = {:?}: allowed is a URL", self.api_url));
        }
        url("ws_url", &self.ws_url, &["ws://", "wss://"])?;
        for (key, value) in [
            ("pages_url", &self.pages_url),
            ("explorer_url", &self.explorer_url),
        ] {
            if !value.is_empty() {
                url(key, value, &http)?;
            }
        }
        if !self.explorer_url.is_empty() && !self.explorer_url.contains("{}") {
            let value = &self.explorer_url;
            return Err(format!(
                "explorer_url = {value:?}: allowed is a URL with {{}} for the signature"
            ));
        }
        let origin = self.origin()?;
        if !origin.as_str().starts_with("https://") && !origin.is_loopback() {
            return Err(format!(
                "public_url = {:?}: allowed is https, or http on this machine: wallets sign what this page shows",
                self.public_url
            ));
        }
        if self.webhook && !origin.as_str().starts_with("https://") && self.is_telegrams() {
            return Err(
                "webhook = true: public_url must be https, Telegram sends to no other".into(),
            );
        }
        if !self.chain.starts_with("solana:") {
            let value = &self.chain;
            return Err(format!("chain = {value:?}: allowed is solana:NAME"));
        }
        if self.is_postgres() {
            mythic_postgres::check_url(&self.database)
                .map_err(|error| format!("database: {error}"))?;
        } else if self.database.is_empty() {
            return Err("database = \"\": allowed is a file, or a URL of PostgreSQL".into());
        }
        for (key, path) in [
            ("token_file", &self.token_file),
            ("secret_file", &self.secret_file),
        ] {
            if path.as_os_str().is_empty() {
                return Err(format!("{key} = \"\": allowed is a file"));
            }
        }
        in_range("max_output_tokens", self.max_output_tokens.into(), 1, 8_192)?;
        in_range("asks_per_user", self.asks_per_user as u64, 1, 100)?;
        in_range("asks_per_hour", self.asks_per_hour.into(), 1, 3_600)?;
        in_range("keep_hours", self.keep_hours, 1, 8_760)?;
        in_range(
            "run_below_lamports",
            self.run_below_lamports,
            0,
            1_000_000_000,
        )?;
        self.limits
            .validate()
            .map_err(|error| format!("limits.{error}"))
    }

    /// The origin that `public_url` names.
    pub fn origin(&self) -> Result<Origin, String> {
        Origin::parse(&self.public_url).map_err(|error| format!("public_url: {error}"))
    }

    /// Whether updates and messages go through Telegram's own server.
    fn is_telegrams(&self) -> bool {
        self.api_url.contains("api.telegram.org")
    }

    /// Whether the database is a PostgreSQL server.
    pub fn is_postgres(&self) -> bool {
        self.database.contains("://") || self.database.contains("host=")
    }

    /// A page of the gateway.
    pub fn page(&self, path: &str) -> String {
        let base = match self.pages_url.is_empty() {
            true => &self.gateway_url,
            false => &self.pages_url,
        };
        format!("{}{path}", base.trim_end_matches('/'))
    }

    /// Reads the token; refuses a file that others may read.
    pub fn token(&self) -> anyhow::Result<String> {
        let text = private(&self.token_file, "token_file")?;
        let token = text.trim();
        let is_one = token
            .split_once(':')
            .is_some_and(|(id, rest)| id.parse::<u64>().is_ok() && rest.len() >= 20)
            && token
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b":_-".contains(&b));
        anyhow::ensure!(
            is_one,
            "token_file {} holds no token as BotFather gives them (123456:ABC…)",
            self.token_file.display()
        );
        Ok(token.to_owned())
    }

    /// Reads a file (all defaults when `None`), applies `MYTHIC_BOT__KEY` of the environment and validates.
    pub fn load(file: Option<&Path>) -> anyhow::Result<Self> {
        let mut figment = Figment::new();
        if let Some(file) = file {
            anyhow::ensure!(
                file.is_file(),
                "no configuration file at {}",
                file.display()
            );
            figment = figment.merge(Toml::file_exact(file));
        }
        let config: Self = figment
            .merge(Env::prefixed("MYTHIC_BOT__").split("__"))
            .extract()
            .map_err(|error| anyhow::anyhow!("configuration of the bot: {error}"))?;
        config
            .validate()
            .map_err(|message| anyhow::anyhow!("configuration of the bot: {message}"))?;
        Ok(config)
    }
}

/// The text of a file that others may not read.
pub fn private(path: &Path, key: &str) -> anyhow::Result<String> {
    use anyhow::Context as _;
    use std::os::unix::fs::PermissionsExt as _;
    let named = || format!("{key} {}", path.display());
    let mode = std::fs::metadata(path)
        .with_context(named)?
        .permissions()
        .mode();
    anyhow::ensure!(
        is_private(path, mode, credentials().as_deref()),
        "{} can be read by others; run chmod 600 on it",
        named()
    );
    std::fs::read_to_string(path).with_context(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_refusals_name_key_value_and_what_is_allowed() {
        BotConfig::default().validate().unwrap();
        let refused = |change: fn(&mut BotConfig), words: &str| {
            let mut config = BotConfig::default();
            change(&mut config);
            let error = config.validate().unwrap_err();
            assert!(error.contains(words), "{error}");
        };
        refused(|c| c.public_url = "http://bot.example".into(), "https");
        refused(|c| c.public_url = "https://a/b".into(), "public_url");
        refused(|c| c.chain = "main".into(), "solana:NAME");
        refused(|c| c.explorer_url = "https://x".into(), "{}");
        refused(|c| c.max_output_tokens = 0, "1 to 8192");
        refused(|c| c.database = String::new(), "database");
        refused(|c| c.webhook = true, "https");
        refused(|c| c.limits.connections = 0, "limits.connections");
        refused(|c| c.gateway_url = "127.0.0.1".into(), "gateway_url");
    }

    #[test]
    fn unknown_keys_are_refused_and_all_keys_can_be_written_and_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("bot.toml");
        std::fs::write(&file, toml::to_string(&BotConfig::default()).unwrap()).unwrap();
        assert_eq!(BotConfig::load(Some(&file)).unwrap(), BotConfig::default());
        std::fs::write(&file, "tokenfile = \"x\"").unwrap();
        let error = format!("{:#}", BotConfig::load(Some(&file)).unwrap_err());
        assert!(error.contains("tokenfile"), "{error}");
    }

    #[test]
    fn a_token_that_others_can_read_or_that_is_none_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let token_file = dir.path().join("token");
        let config = BotConfig {
            token_file: token_file.clone(),
            ..BotConfig::default()
        };
        let write = |text: &str, mode| {
            std::fs::write(&token_file, text).unwrap();
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&token_file, mode).unwrap();
            config.token().map_err(|error| format!("{error:#}"))
        };
        let token = "123456:AAbbCCddEEffGGhhIIjjKKll_-mm";
        assert_eq!(write(&format!("{token}\n"), 0o600).unwrap(), token);
        assert!(write(token, 0o644).unwrap_err().contains("chmod 600"));
        assert!(write("none", 0o600).unwrap_err().contains("BotFather"));
    }
}
