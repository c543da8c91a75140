//! Commands to a development network that runs.

use super::state::DevState;
use crate::exit::{self, Exit};
use anyhow::{Result, bail};
use serde_json::{Value, json};
use std::path::Path;

/// Advances the network by `slots` at once.
pub async fn warp(data_dir: &Path, slots: u64) -> Result<()> {
    let state = DevState::read(data_dir)?;
    let now = rpc(&state.rpc_url, "mythic_advanceSlots", json!([slots])).await?;
    println!("slot {}", now["processedSlot"]);
    Ok(())
}

/// Calls a method of the development chain.
pub async fn rpc(url: &str, method: &str, params: Value) -> Result<Value> {
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let unreachable = |error: reqwest::Error| {
        Exit::error(
            exit::UNREACHABLE,
            format!("no chain at {url}: {error}; start one with `make dev`"),
        )
    };
    let response = reqwest::Client::new().post(url).json(&request).send().await;
    let answer: Value = response.map_err(unreachable)?.json().await?;
    match answer["error"]["message"].as_str() {
        Some(message) => bail!("{method}: {message}"),
        None => Ok(answer["result"].clone()),
    }
}
