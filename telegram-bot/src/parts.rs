//! What everything that the bot does is made of.

use mythic_client::ClientError;
use tokio_util::sync::CancellationToken;

use crate::{
    config::BotConfig,
    gateway::{Gateway, GatewayError},
    metrics::Metrics,
    purse::Purse,
    store::{Store, StoreError},
    telegram::{Me, Telegram, TelegramError},
};

/// The parts.
#[derive(Debug)]
pub struct Parts {
    pub config: BotConfig,
    pub me: Me,
    pub telegram: Telegram,
    pub gateway: Gateway,
    pub purse: Purse,
    pub store: Store,
    pub metrics: Metrics,
    pub stop: CancellationToken,
}

/// Why something is to be tried again, or can't be told.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Telegram(#[from] TelegramError),
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    #[error(transparent)]
    Chain(#[from] ClientError),
    #[error("the bot stops")]
    Stopping,
}
