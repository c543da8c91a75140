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
const DEFAULT_DATA_DIR: &str = ".mythic";

/// Heading of the options that every command takes.
pub const HEADING: &str = "Global options";

/// Options that every user command takes. Their variables are read here and not by clap, which would show an option whose
/// variable is set as a required one.
#[derive(Args, Clone, Debug)]
pub struct Connection {
    /// Gateway's base URL [env: MYTHIC_GATEWAY_URL] [default: that of `mythic dev` here, else http://127.0.0.1:4002]
    #[arg(long, global = true, help_heading = HEADING)]
    gateway: Option<String>,
    /// API key of the gateway [env: MYTHIC_API_KEY] [default: that of `mythic dev` here]
    #[arg(long, global = true, help_heading = HEADING)]
    api_key: Option<String>,
    /// Chain's JSON-RPC URL [env: MYTHIC_RPC_URL] [default: that of `mythic dev` here, else http://127.0.0.1:8899]
    #[arg(long, global = true, help_heading = HEADING)]
    rpc: Option<String>,
    /// Chain's WebSocket URL [env: MYTHIC_WS_URL] [default: that of `mythic dev` here, else ws://127.0.0.1:8900]
    #[arg(long, global = true, help_heading = HEADING)]
    ws: Option<String>,
    /// Wallet: a Solana keypair file [env: MYTHIC_KEYPAIR] [default: the DEV key of `mythic dev` here]
    #[arg(long, global = true, help_heading = HEADING)]
    keypair: Option<PathBuf>,
    /// Data directory in which to look for `dev.json` [env: MYTHIC_DATA_DIR] [default: .mythic]
    #[arg(long, global = true, help_heading = HEADING)]
    data_dir: Option<PathBuf>,
}

/// A variable that is set to something.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl Connection {
    /// Data directory of `mythic dev`.
    pub fn data_dir(&self) -> PathBuf {
        self.data_dir
            .clone()
            .or_else(|| variable("MYTHIC_DATA_DIR").map(PathBuf::from))
            .unwrap_or_else(|| DEFAULT_DATA_DIR.into())
    }

    fn gateway_url(&self) -> Option<String> {
        self.gateway
            .clone()
            .or_else(|| variable("MYTHIC_GATEWAY_URL"))
    }

    fn rpc_url(&self) -> Option<String> {
        self.rpc.clone().or_else(|| variable("MYTHIC_RPC_URL"))
    }

    /// Whether flags or variables point at a network, which may be elsewhere.
    pub fn is_named(&self) -> bool {
        self.gateway_url().is_some() || self.rpc_url().is_some()
    }

    fn dev(&self) -> Option<DevState> {
        DevState::read(&self.data_dir()).ok()
    }

    /// The gateway to talk to.
    pub fn gateway(&self) -> Result<Gateway> {
        let dev = self.dev();
        let url = self
            .gateway_url()
            .or_else(|| dev.as_ref().map(|dev| dev.gateway_url.clone()));
        let key = self
            .api_key
            .clone()
            .or_else(|| variable("MYTHIC_API_KEY"))
            .or_else(|| dev.map(|dev| dev.api_key));
        Gateway::new(url.as_deref().unwrap_or(DEFAULT_GATEWAY), key)
    }

    /// Where the gateway shows something to people, if one of this network is known.
    pub fn page(&self, path: &str) -> Option<String> {
        let dev = || self.dev().filter(|_| !self.is_named());
        let url = self
            .gateway_url()
            .or_else(|| dev().map(|dev| dev.gateway_url))?;
        Some(format!("{}{path}", url.trim_end_matches('/')))
    }

    /// RPC and WebSocket URLs of the chain.
    pub fn chain_urls(&self) -> (String, String) {
        let dev = self.dev();
        (
            self.rpc_url()
                .or_else(|| dev.as_ref().map(|dev| dev.rpc_url.clone()))
                .unwrap_or_else(|| DEFAULT_RPC.into()),
            self.ws
                .clone()
                .or_else(|| variable("MYTHIC_WS_URL"))
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
            .or_else(|| variable("MYTHIC_KEYPAIR").map(PathBuf::from))
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
