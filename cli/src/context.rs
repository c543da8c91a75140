//! What commands of a user need to know: which gateway, which chain, which keys. Flags win over the environment, which
//! wins over the `dev.json` of a network that `mythic dev` runs from this directory.

use crate::{dev::state::DevState, exit::Exit, gateway::Gateway};
use anyhow::{Context as _, Result};
use clap::Args;
use mythic_client::{ChainClient, keys};
use solana_keypair::Keypair;
use std::path::PathBuf;

const DEFAULT_GATEWAY: &str = "http://127.0.0.1:4002";
const DEFAULT_RPC: &str = "http://127.0.0.1:8899";
const DEFAULT_WS: &str = "ws://127.0.0.1:8900";

/// Options that every user command takes.
#[derive(Args, Clone, Debug)]
pub struct Connection {
    /// Gateway's base URL [default: that of `mythic dev` here, else http://127.0.0.1:4002]
    #[arg(long, env = "MYTHIC_GATEWAY_URL", global = true)]
    pub gateway: Option<String>,
    /// API key of the gateway
    #[arg(long, env = "MYTHIC_API_KEY", hide_env_values = true, global = true)]
    pub api_key: Option<String>,
    /// Chain's JSON-RPC URL
    #[arg(long, env = "MYTHIC_RPC_URL", global = true)]
    pub rpc: Option<String>,
    /// Chain's WebSocket URL
    #[arg(long, env = "MYTHIC_WS_URL", global = true)]
    pub ws: Option<String>,
    /// Wallet: a Solana keypair file [default: the DEV key of `mythic dev` here]
    #[arg(long, env = "MYTHIC_KEYPAIR", global = true)]
    pub keypair: Option<PathBuf>,
    /// Data directory in which to look for `dev.json`
    #[arg(
        long,
        env = "MYTHIC_DATA_DIR",
        default_value = ".mythic",
        global = true
    )]
    pub data_dir: PathBuf,
}

impl Connection {
    fn dev(&self) -> Option<DevState> {
        DevState::read(&self.data_dir).ok()
    }

    /// The gateway to talk to.
    pub fn gateway(&self) -> Result<Gateway> {
        let dev = self.dev();
        let url = self
            .gateway
            .clone()
            .or_else(|| dev.as_ref().map(|dev| dev.gateway_url.clone()));
        let key = self.api_key.clone().or_else(|| dev.map(|dev| dev.api_key));
        Gateway::new(url.as_deref().unwrap_or(DEFAULT_GATEWAY), key)
    }

    /// RPC and WebSocket URLs of the chain.
    pub fn chain_urls(&self) -> (String, String) {
        let dev = self.dev();
        (
            self.rpc
                .clone()
                .or_else(|| dev.as_ref().map(|dev| dev.rpc_url.clone()))
                .unwrap_or_else(|| DEFAULT_RPC.into()),
            self.ws
                .clone()
                .or_else(|| dev.map(|dev| dev.ws_url))
                .unwrap_or_else(|| DEFAULT_WS.into()),
        )
    }

    /// The chain to talk to.
    pub fn chain(&self) -> ChainClient {
        let (rpc, ws) = self.chain_urls();
        ChainClient::new(rpc, ws)
    }

    /// The user's wallet.
    pub fn wallet(&self) -> Result<Keypair> {
        let path = self
            .keypair
            .clone()
            .or_else(|| self.dev().and_then(|dev| dev.keys.get("dev").map(|key| PathBuf::from(&key.path))))
            .ok_or_else(|| {
                Exit::error(
                    crate::exit::NOT_FOUND,
                    "no wallet: pass --keypair FILE (or MYTHIC_KEYPAIR); `mythic wallet new FILE` makes one",
                )
            })?;
        keys::load_keypair(&path).with_context(|| format!("wallet {}", path.display()))
    }
}
