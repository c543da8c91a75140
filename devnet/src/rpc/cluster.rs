//! Calls about the cluster: one node, which leads every slot, without votes, stake, inflation or snapshots to fetch.

use serde_json::{Value, json};
use solana_rpc_client_api::config::{
    RpcContextConfig, RpcEpochConfig, RpcGetVoteAccountsConfig, RpcLeaderScheduleConfig,
    RpcLeaderScheduleConfigWrapper,
};
use solana_rpc_client_api::response::RpcContactInfo;

use super::error::RpcError;
use super::params::{Params, block, pubkey, with_context};
use crate::chain::{Chain, SLOTS_PER_EPOCH};
use crate::node::Node;

/// The release whose behaviour is followed.
pub const API_VERSION: &str = "4.2.2";
const MAX_LEADERS: u64 = 5_000;
const MAX_REWARDED: usize = 100;

type Answer = Result<Value, RpcError>;

/// First four bytes of the identifier of the features that this release knows.
fn feature_set() -> u32 {
    let id = agave_feature_set::ID.to_bytes();
    u32::from_le_bytes([id[0], id[1], id[2], id[3]])
}

pub fn get_version() -> Answer {
    Ok(json!({"solana-core": API_VERSION, "feature-set": feature_set()}))
}

/// Unhealthy while finalized blocks can't be written to disk.
pub fn get_health(node: &Node) -> Answer {
    if node.is_healthy() {
        Ok(json!("ok"))
    } else {
        Err(RpcError::unhealthy())
    }
}

pub fn get_nodes(node: &Node) -> Answer {
    let (rpc, pubsub) = node.addresses().unzip();
    Ok(json!([RpcContactInfo {
        pubkey: node.identity().to_string(),
        gossip: None,
        tvu: None,
        tpu: None,
        tpu_quic: None,
        tpu_forwards: None,
        tpu_forwards_quic: None,
        tpu_vote: None,
        serve_repair: None,
        rpc,
        pubsub,
        version: Some(API_VERSION.into()),
        client_id: None,
        feature_set: Some(feature_set()),
        shred_version: None,
    }]))
}

/// Nobody votes here.
pub fn get_vote_accounts(mut params: Params) -> Answer {
    let config: RpcGetVoteAccountsConfig = params.or_default(0, "config")?;
    if let Some(text) = &config.vote_pubkey {
        pubkey("votePubkey", text)?;
    }
    Ok(json!({"current": [], "delinquent": []}))
}

pub fn get_slot_leader(node: &Node, mut params: Params) -> Answer {
    let config: RpcContextConfig = params.or_default(0, "config")?;
    node.read(|chain| block(chain, config.commitment, config.min_context_slot))?;
    Ok(json!(node.identity().to_string()))
}

pub fn get_slot_leaders(node: &Node, mut params: Params) -> Answer {
    let start: u64 = params.required(0, "start slot")?;
    let limit: u64 = params.required(1, "limit")?;
    if limit > MAX_LEADERS {
        return Err(RpcError::invalid_params(format!(
            "Invalid limit; max {MAX_LEADERS}"
        )));
    }
    let epoch = start / SLOTS_PER_EPOCH;
    if epoch > scheduled(node) {
        return Err(RpcError::invalid_params(format!(
            "Invalid slot range: leader schedule for epoch {epoch} is unavailable"
        )));
    }
    let identity = node.identity().to_string();
    Ok(json!(vec![identity; usize::try_from(limit).unwrap_or(0)]))
}

/// The last epoch whose leaders are known.
fn scheduled(node: &Node) -> u64 {
    let slot = node.read(|chain| chain.tip().slot);
    (slot / SLOTS_PER_EPOCH).saturating_add(1)
}

pub fn get_leader_schedule(node: &Node, mut params: Params) -> Answer {
    let (slot, config) = params
        .optional::<RpcLeaderScheduleConfigWrapper>(0, "slot")?
        .map(|wrapper| wrapper.unzip())
        .unwrap_or_default();
    let config = match params.optional::<RpcLeaderScheduleConfig>(1, "config")? {
        Some(config) => config,
        None => config.unwrap_or_default(),
    };
    let identity = node.identity();
    let asked = config
        .identity
        .as_deref()
        .map(|text| pubkey("identity", text));
    let asked = asked.transpose()?.is_none_or(|asked| asked == identity);
    let at = node.read(|chain| block(chain, config.commitment, None))?;
    let epoch = slot.unwrap_or(at.slot) / SLOTS_PER_EPOCH;
    if epoch > scheduled(node) {
        return Ok(Value::Null);
    }
    let mut schedule = serde_json::Map::new();
    if asked {
        let all: Vec<u64> = (0..SLOTS_PER_EPOCH).collect();
        schedule.insert(identity.to_string(), json!(all));
    }
    Ok(Value::Object(schedule))
}

pub fn get_identity(node: &Node) -> Answer {
    Ok(json!({"identity": node.identity().to_string()}))
}

pub fn get_block_commitment(mut params: Params) -> Answer {
    let _: u64 = params.required(0, "slot")?;
    Ok(json!({"commitment": null, "totalStake": 0}))
}

pub fn get_epoch_info(chain: &mut Chain, mut params: Params) -> Answer {
    let config: RpcEpochConfig = params.or_default(0, "config")?;
    let at = block(chain, config.commitment, config.min_context_slot)?;
    Ok(json!({
        "absoluteSlot": at.slot,
        "blockHeight": at.height,
        "epoch": at.slot / SLOTS_PER_EPOCH,
        "slotIndex": at.slot % SLOTS_PER_EPOCH,
        "slotsInEpoch": SLOTS_PER_EPOCH,
        "transactionCount": at.transaction_count,
    }))
}

pub fn get_epoch_schedule() -> Answer {
    Ok(json!({
        "slotsPerEpoch": SLOTS_PER_EPOCH,
        "leaderScheduleSlotOffset": SLOTS_PER_EPOCH,
        "warmup": false,
        "firstNormalEpoch": 0,
        "firstNormalSlot": 0,
    }))
}

pub fn get_inflation_governor() -> Answer {
    Ok(json!({
        "initial": 0.0, "terminal": 0.0, "taper": 0.0, "foundation": 0.0, "foundationTerm": 0.0,
    }))
}

pub fn get_inflation_rate(chain: &mut Chain) -> Answer {
    let epoch = chain.tip().slot / SLOTS_PER_EPOCH;
    Ok(json!({"total": 0.0, "validator": 0.0, "foundation": 0.0, "epoch": epoch}))
}

/// Nobody is rewarded: once an epoch is over, its rewards are known to be none.
pub fn get_inflation_reward(chain: &mut Chain, mut params: Params) -> Answer {
    let addresses: Vec<String> = params.or_default(0, "addresses")?;
    let config: RpcEpochConfig = params.or_default(1, "config")?;
    if addresses.len() > MAX_REWARDED {
        return Err(RpcError::invalid_params(format!(
            "Too many inputs provided; max {MAX_REWARDED}"
        )));
    }
    for address in &addresses {
        pubkey("addresses", address)?;
    }
    let at = block(chain, config.commitment, config.min_context_slot)?;
    let epoch = config
        .epoch
        .unwrap_or((at.slot / SLOTS_PER_EPOCH).saturating_sub(1));
    let over = epoch.saturating_add(1).saturating_mul(SLOTS_PER_EPOCH);
    if at.slot < over {
        return Err(RpcError::no_block(over));
    }
    Ok(json!(vec![Value::Null; addresses.len()]))
}

/// One lamport, as by the features of this chain.
pub fn get_stake_minimum_delegation(chain: &mut Chain, mut params: Params) -> Answer {
    let config: RpcContextConfig = params.or_default(0, "config")?;
    let at = block(chain, config.commitment, config.min_context_slot)?;
    Ok(with_context(&at, 1))
}
