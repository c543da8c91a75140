//! Reads parameters of calls; every error names the parameter.

use std::str::FromStr;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use solana_clock::Slot;
use solana_hash::Hash;
use solana_pubkey::Pubkey;
use solana_rpc_client_api::config::{CommitmentConfig, CommitmentLevel};
use solana_signature::Signature;

use super::error::RpcError;
use crate::chain::{Block, Chain, Level};

/// Positional parameters.
pub struct Params(pub Vec<Value>);

impl Params {
    /// The parameter at `index`, if it is there and not null.
    pub fn optional<T: DeserializeOwned>(
        &mut self,
        index: usize,
        name: &str,
    ) -> Result<Option<T>, RpcError> {
        match self.0.get_mut(index).map(Value::take) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => serde_json::from_value(value).map(Some).map_err(|error| {
                RpcError::invalid_params(format!("Invalid params: {name}: {error}"))
            }),
        }
    }

    /// The parameter at `index`, or its default.
    pub fn or_default<T: DeserializeOwned + Default>(
        &mut self,
        index: usize,
        name: &str,
    ) -> Result<T, RpcError> {
        Ok(self.optional(index, name)?.unwrap_or_default())
    }

    /// The parameter at `index`, which must be there.
    pub fn required<T: DeserializeOwned>(
        &mut self,
        index: usize,
        name: &str,
    ) -> Result<T, RpcError> {
        self.optional(index, name)?
            .ok_or_else(|| RpcError::invalid_params(format!("Invalid params: {name} is missing")))
    }

    pub fn pubkey(&mut self, index: usize, name: &str) -> Result<Pubkey, RpcError> {
        pubkey(name, &self.required::<String>(index, name)?)
    }

    pub fn signature(&mut self, index: usize, name: &str) -> Result<Signature, RpcError> {
        signature(name, &self.required::<String>(index, name)?)
    }

    pub fn hash(&mut self, index: usize, name: &str) -> Result<Hash, RpcError> {
        let text: String = self.required(index, name)?;
        Hash::from_str(&text)
            .map_err(|error| RpcError::invalid_params(format!("Invalid params: {name}: {error}")))
    }
}

pub fn pubkey(name: &str, text: &str) -> Result<Pubkey, RpcError> {
    Pubkey::from_str(text)
        .map_err(|error| RpcError::invalid_params(format!("Invalid params: {name}: {error}")))
}

pub fn signature(name: &str, text: &str) -> Result<Signature, RpcError> {
    Signature::from_str(text)
        .map_err(|error| RpcError::invalid_params(format!("Invalid params: {name}: {error}")))
}

/// The level of a commitment; none given = finalized, as on a validator.
pub fn level(commitment: Option<CommitmentConfig>) -> Level {
    let commitment = commitment.unwrap_or_default();
    if commitment.is_finalized() {
        Level::Finalized
    } else if commitment.is_confirmed() {
        Level::Confirmed
    } else {
        Level::Processed
    }
}

/// A level as the configuration of a call gives it.
pub fn commitment(level: CommitmentLevel) -> CommitmentConfig {
    CommitmentConfig { commitment: level }
}

/// The block a call reads from.
pub fn block(
    chain: &Chain,
    commitment: Option<CommitmentConfig>,
    min_context_slot: Option<Slot>,
) -> Result<Arc<Block>, RpcError> {
    let block = chain.block_at(level(commitment));
    match min_context_slot {
        Some(least) if block.slot < least => Err(RpcError::min_context_slot(block.slot)),
        _ => Ok(block),
    }
}

/// A value with the slot it was read at.
pub fn with_context(block: &Block, value: impl serde::Serialize) -> Value {
    json!({"context": {"slot": block.slot, "apiVersion": super::cluster::API_VERSION}, "value": value})
}
