//! The table of calls, and those about blocks and the chain.

use serde_json::{Value, json};
use solana_rpc_client_api::config::{
    CommitmentConfig, CommitmentLevel, RpcBlocksConfigWrapper, RpcContextConfig, RpcEpochConfig,
};

use super::error::RpcError;
use super::params::{Params, block, level, with_context};
use super::{accounts, mythic, transactions};
use crate::chain::{Chain, Level, MAX_BLOCKHASH_AGE, SLOTS_PER_EPOCH};
use crate::node::Node;

/// The release whose behaviour is followed.
pub const API_VERSION: &str = "4.2.2";
const MAX_BLOCKS_RANGE: u64 = 500_000;

type Answer = Result<Value, RpcError>;

/// Answers a call.
pub fn call(node: &Node, method: &str, params: Params) -> Answer {
    let read = |f: fn(&Chain, Params) -> Answer, params| node.read(|chain| f(chain, params));
    match method {
        "getAccountInfo" => read(accounts::get_account_info, params),
        "getMultipleAccounts" => read(accounts::get_multiple_accounts, params),
        "getProgramAccounts" => read(accounts::get_program_accounts, params),
        "getBalance" => read(accounts::get_balance, params),
        "getMinimumBalanceForRentExemption" => read(accounts::get_minimum_balance, params),
        "getSupply" => read(accounts::get_supply, params),
        "sendTransaction" => transactions::send(node, params),
        "simulateTransaction" => transactions::simulate(node, params),
        "requestAirdrop" => transactions::request_airdrop(node, params),
        "getFeeForMessage" => node.read(|chain| transactions::get_fee(chain, params)),
        "getSignatureStatuses" => read(transactions::get_statuses, params),
        "getSignaturesForAddress" => read(transactions::get_signatures, params),
        "getTransaction" => read(transactions::get_transaction, params),
        "getLatestBlockhash" => read(get_latest_blockhash, params),
        "isBlockhashValid" => read(is_blockhash_valid, params),
        "getSlot" => read(
            |chain, params| at(chain, params, |block| block.slot),
            params,
        ),
        "getBlockHeight" => read(
            |chain, params| at(chain, params, |block| block.height),
            params,
        ),
        "getTransactionCount" => read(
            |chain, params| at(chain, params, |block| block.transaction_count),
            params,
        ),
        "getBlockTime" => read(get_block_time, params),
        "getBlocks" => read(get_blocks, params),
        "getFirstAvailableBlock" | "minimumLedgerSlot" => {
            Ok(json!(node.read(|chain| chain.first_slot())))
        }
        "getEpochInfo" => read(get_epoch_info, params),
        "getEpochSchedule" => Ok(json!({
            "slotsPerEpoch": SLOTS_PER_EPOCH,
            "leaderScheduleSlotOffset": SLOTS_PER_EPOCH,
            "warmup": false,
            "firstNormalEpoch": 0,
            "firstNormalSlot": 0,
        })),
        "getGenesisHash" => Ok(json!(node.genesis_hash().to_string())),
        "getVersion" => Ok(json!({"solana-core": API_VERSION, "feature-set": null})),
        "getHealth" => Ok(json!("ok")),
        _ if method.starts_with("mythic_") => mythic::call(node, method, params),
        _ => Err(RpcError::unknown_method(method)),
    }
}

fn at(chain: &Chain, mut params: Params, f: fn(&crate::chain::Block) -> u64) -> Answer {
    let config: RpcContextConfig = params.or_default(0, "config")?;
    let block = block(chain, config.commitment, config.min_context_slot)?;
    Ok(json!(f(&block)))
}

fn get_latest_blockhash(chain: &Chain, mut params: Params) -> Answer {
    let config: RpcContextConfig = params.or_default(0, "config")?;
    let at = block(chain, config.commitment, config.min_context_slot)?;
    Ok(with_context(
        &at,
        json!({
            "blockhash": at.blockhash.to_string(),
            "lastValidBlockHeight": at.height.saturating_add(MAX_BLOCKHASH_AGE),
        }),
    ))
}

fn is_blockhash_valid(chain: &Chain, mut params: Params) -> Answer {
    let hash = params.hash(0, "blockhash")?;
    let config: RpcContextConfig = params.or_default(1, "config")?;
    let at = block(chain, config.commitment, config.min_context_slot)?;
    Ok(with_context(&at, chain.blockhash_is_valid(&hash, &at)))
}

fn get_block_time(chain: &Chain, mut params: Params) -> Answer {
    let slot: u64 = params.required(0, "slot")?;
    match chain.block_time(slot) {
        Some(time) => Ok(json!(time)),
        None => Err(RpcError::no_block(slot)),
    }
}

fn get_blocks(chain: &Chain, mut params: Params) -> Answer {
    let from: u64 = params.required(0, "start slot")?;
    let (to, config) = params
        .optional::<RpcBlocksConfigWrapper>(1, "end slot")?
        .map(|wrapper| wrapper.unzip())
        .unwrap_or_default();
    let config = match params.optional::<RpcContextConfig>(2, "config")? {
        Some(config) => config,
        None => config.unwrap_or_default(),
    };
    let least = level(config.commitment).max(Level::Confirmed);
    let newest = chain.block_at(least).slot;
    let to = to.unwrap_or(newest).min(newest);
    if to.saturating_sub(from) > MAX_BLOCKS_RANGE {
        return Err(RpcError::invalid_params(format!(
            "Slot range too large; max {MAX_BLOCKS_RANGE}"
        )));
    }
    Ok(json!(chain.known_slots(from, to).collect::<Vec<_>>()))
}

fn get_epoch_info(chain: &Chain, mut params: Params) -> Answer {
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

/// A level as the configuration of a call gives it.
pub fn commitment(level: CommitmentLevel) -> CommitmentConfig {
    CommitmentConfig { commitment: level }
}
