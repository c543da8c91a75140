//! What would keep the bot from working, looked at once.

use mythic_client::{ChainClient, Commitment};
use tokio_util::sync::CancellationToken;

use crate::{
    config::BotConfig,
    gateway::Gateway,
    metrics::Metrics,
    purse::Secret,
    store::Store,
    telegram::{GetMe, Telegram},
};

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub name: &'static str,
    /// What is there, or what is wrong and how to mend it.
    pub found: Result<String, String>,
}

/// Looks at token, secret, database, Telegram, gateway and chain. Makes nothing but the database's tables.
pub async fn check(config: &BotConfig) -> Vec<Check> {
    let secret = match config.secret_file.exists() {
        true => Secret::read(&config.secret_file)
            .map(|_| "is there; back it up, nothing else can replace it".to_owned())
            .map_err(|error| format!("{error:#}")),
        false => Ok("is made at the first start; back it up then".to_owned()),
    };
    let store = match Store::open(&config.database).await {
        Ok(store) => store.linked().await,
        Err(error) => Err(error),
    };
    let store = store
        .map(|linked| format!("opens, {linked} wallets are linked"))
        .map_err(|error| error.to_string());
    let (telegram, gateway, chain) = tokio::join!(telegram(config), gateway(config), chain(config));
    let check = |name, found| Check { name, found };
    vec![
        check("Telegram", telegram),
        check("secret", secret),
        check("database", store),
        check("gateway", gateway),
        check("chain", chain),
        check("page", page(config)),
    ]
}

async fn telegram(config: &BotConfig) -> Result<String, String> {
    let token = config.token().map_err(|error| format!("{error:#}"))?;
    let api = reqwest::Url::parse(&config.api_url).map_err(|error| format!("api_url: {error}"))?;
    let metrics = Metrics::new().map_err(|error| error.to_string())?;
    let telegram = Telegram::new(&token, api, metrics, CancellationToken::new())
        .map_err(|error| error.to_string())?;
    let me = telegram
        .once(GetMe {})
        .await
        .map_err(|error| error.to_string())?;
    match me.username {
        Some(name) => Ok(format!("knows the bot as @{name}")),
        None => Err("names no bot: the token is no bot's".into()),
    }
}

async fn gateway(config: &BotConfig) -> Result<String, String> {
    let gateway =
        Gateway::new(&config.gateway_url, &config.page("")).map_err(|error| error.to_string())?;
    let models = gateway.models().await.map_err(|error| error.to_string())?;
    match models.is_empty() {
        false => Ok(format!("serves {} models", models.len())),
        true => Err("serves no model".into()),
    }
}

async fn chain(config: &BotConfig) -> Result<String, String> {
    let chain = ChainClient::new(config.rpc_url.clone(), config.ws_url.clone());
    let slot = chain.slot(Commitment::Confirmed).await;
    slot.map(|slot| format!("at slot {slot}"))
        .map_err(|error| error.to_string())
}

/// What can be said of the page without a browser.
fn page(config: &BotConfig) -> Result<String, String> {
    let origin = config.origin()?;
    Ok(match origin.is_loopback() {
        true => "is for this machine alone: public_url is on loopback".to_owned(),
        false => format!("is told to people as {}", config.public_url),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_away_is_named_and_what_is_there_is_good() {
        let dir = tempfile::tempdir().unwrap();
        let config = BotConfig {
            token_file: dir.path().join("none"),
            secret_file: dir.path().join("secret"),
            database: dir.path().join("bot.sqlite").display().to_string(),
            gateway_url: "http://127.0.0.1:1".into(),
            rpc_url: "http://127.0.0.1:1".into(),
            ..BotConfig::default()
        };
        let checks = check(&config).await;
        let good = |name: &str| {
            checks
                .iter()
                .any(|one| one.name == name && one.found.is_ok())
        };
        assert!(good("secret") && good("database") && good("page"));
        assert!(!good("Telegram") && !good("gateway") && !good("chain"));
        assert!(!config.secret_file.exists(), "nothing is made by looking");
    }
}
