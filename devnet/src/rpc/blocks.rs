//! Calls about blocks: content, slots, times, fees and throughput.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Value, json};
use solana_pubkey::Pubkey;
use solana_rpc_client_api::config::{
    CommitmentConfig, RpcBlockConfig, RpcBlockProductionConfig, RpcBlocksConfigWrapper,
    RpcContextConfig, RpcEncodingConfigWrapper, UiTransactionEncoding,
};
use solana_transaction_status::{
    BlockEncodingOptions, ConfirmedBlock, EncodeError, TransactionWithStatusMeta,
    VersionedTransactionWithStatusMeta,
};

use super::error::RpcError;
use super::params::{Params, block, level, pubkey, with_context};
use crate::chain::{Block, Chain, Executed, Level, Missing, SLOTS_PER_EPOCH};
use crate::node::{COMPUTE_BUDGET_ID, Node};

const MAX_BLOCKS_RANGE: u64 = 500_000;
const MAX_SAMPLES: usize = 720;
/// Newest blocks whose priority fees are shown.
const FEE_BLOCKS: usize = 150;
const MAX_FEE_ACCOUNTS: usize = 128;

type Answer = Result<Value, RpcError>;

pub fn get_block(node: &Node, mut params: Params) -> Answer {
    let slot: u64 = params.required(0, "slot")?;
    let config = params
        .optional::<RpcEncodingConfigWrapper<RpcBlockConfig>>(1, "config")?
        .map(|config| config.convert_to_current())
        .unwrap_or_default();
    let least = at_least_confirmed(config.commitment)?;
    let block = node
        .read(|chain| chain.block(slot, least))
        .map_err(|missing| no_block(slot, missing))?;
    let options = BlockEncodingOptions {
        transaction_details: config.transaction_details.unwrap_or_default(),
        show_rewards: config.rewards.unwrap_or(true),
        max_supported_transaction_version: config.max_supported_transaction_version,
    };
    let encoding = config.encoding.unwrap_or(UiTransactionEncoding::Json);
    confirmed(&block)
        .encode_with_options(encoding, options)
        .map(|encoded| json!(encoded))
        .map_err(|EncodeError::UnsupportedTransactionVersion(version)| {
            RpcError::unsupported_version(version)
        })
}

/// A block as a validator would store it. Nobody is rewarded here.
fn confirmed(block: &Block) -> ConfirmedBlock {
    let transaction = |executed: &Arc<Executed>| {
        TransactionWithStatusMeta::Complete(VersionedTransactionWithStatusMeta {
            transaction: executed.transaction.clone(),
            meta: executed.meta.clone(),
        })
    };
    ConfirmedBlock {
        previous_blockhash: block.parent_blockhash.to_string(),
        blockhash: block.blockhash.to_string(),
        parent_slot: block.parent_slot,
        transactions: block.transactions.iter().map(transaction).collect(),
        rewards: Vec::new(),
        num_partitions: None,
        block_time: Some(block.unix_ms.div_euclid(1000)),
        block_height: Some(block.height),
    }
}

fn no_block(slot: u64, missing: Missing) -> RpcError {
    match missing {
        Missing::CleanedUp(first) => RpcError::block_cleaned_up(slot, first),
        Missing::Skipped => RpcError::slot_skipped(slot),
        Missing::NotYet => RpcError::no_block(slot),
    }
}

/// The level of a call that does not read unconfirmed blocks.
pub fn at_least_confirmed(commitment: Option<CommitmentConfig>) -> Result<Level, RpcError> {
    match level(commitment) {
        Level::Processed => Err(RpcError::invalid_params(
            "Method does not support commitment below `confirmed`".into(),
        )),
        level => Ok(level),
    }
}

pub fn get_block_time(chain: &mut Chain, mut params: Params) -> Answer {
    let slot: u64 = params.required(0, "slot")?;
    let time = chain.block_time(slot);
    time.map(|time| json!(time))
        .map_err(|missing| no_block(slot, missing))
}

pub fn get_blocks(chain: &mut Chain, mut params: Params) -> Answer {
    let from: u64 = params.required(0, "start slot")?;
    let (to, config) = params
        .optional::<RpcBlocksConfigWrapper>(1, "end slot")?
        .map(|wrapper| wrapper.unzip())
        .unwrap_or_default();
    let config = match params.optional::<RpcContextConfig>(2, "config")? {
        Some(config) => config,
        None => config.unwrap_or_default(),
    };
    at_least_confirmed(config.commitment)?;
    let newest = block(chain, config.commitment, config.min_context_slot)?;
    let to = to.unwrap_or(newest.slot).min(newest.slot);
    if to.saturating_sub(from) > MAX_BLOCKS_RANGE {
        return Err(RpcError::invalid_params(format!(
            "Slot range too large; max {MAX_BLOCKS_RANGE}"
        )));
    }
    Ok(json!(chain.known_slots(from, to).collect::<Vec<_>>()))
}

pub fn get_blocks_with_limit(chain: &mut Chain, mut params: Params) -> Answer {
    let from: u64 = params.required(0, "start slot")?;
    let limit: u64 = params.required(1, "limit")?;
    let config: RpcContextConfig = params.or_default(2, "config")?;
    at_least_confirmed(config.commitment)?;
    if limit > MAX_BLOCKS_RANGE {
        return Err(RpcError::invalid_params(format!(
            "Limit too large; max {MAX_BLOCKS_RANGE}"
        )));
    }
    let newest = block(chain, config.commitment, config.min_context_slot)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let slots = chain.known_slots(from, newest.slot).take(limit);
    Ok(json!(slots.collect::<Vec<_>>()))
}

/// There is one producer: the leader of every slot.
pub fn get_block_production(node: &Node, mut params: Params) -> Answer {
    let config: RpcBlockProductionConfig = params.or_default(0, "config")?;
    let identity = node.identity();
    let shown = config
        .identity
        .as_deref()
        .map(|text| pubkey("identity", text));
    let shown = shown.transpose()?.is_none_or(|asked| asked == identity);
    node.read(|chain| {
        let at = block(chain, config.commitment, None)?;
        let epoch = at.slot - at.slot % SLOTS_PER_EPOCH;
        let oldest = chain.first_header();
        let (first, last) = match config.range {
            Some(range) => (range.first_slot, range.last_slot.unwrap_or(at.slot)),
            None => (epoch.max(oldest), at.slot),
        };
        let refused = |text: String| Err(RpcError::invalid_params(text));
        if first < oldest {
            return refused(format!("firstSlot, {first}, is too small; min {oldest}"));
        }
        if last > at.slot {
            return refused(format!("lastSlot, {last}, is too large; max {}", at.slot));
        }
        if first > last {
            return refused(format!(
                "lastSlot, {last}, cannot be less than firstSlot, {first}"
            ));
        }
        let slots = last - first + 1;
        let mut by_identity = serde_json::Map::new();
        if shown {
            let produced = json!([slots, chain.count_blocks(first, last)]);
            by_identity.insert(identity.to_string(), produced);
        }
        let range = json!({"firstSlot": first, "lastSlot": last});
        Ok(with_context(
            &at,
            json!({"byIdentity": by_identity, "range": range}),
        ))
    })
}

pub fn get_samples(chain: &mut Chain, mut params: Params) -> Answer {
    let limit = params.optional(0, "limit")?.unwrap_or(MAX_SAMPLES);
    if limit > MAX_SAMPLES {
        return Err(RpcError::invalid_params(format!(
            "Invalid limit; max {MAX_SAMPLES}"
        )));
    }
    let samples = chain.samples(limit);
    let shown = samples.iter().map(|sample| {
        json!({
            "slot": sample.slot,
            "numTransactions": sample.transactions,
            // There are no votes.
            "numNonVoteTransactions": sample.transactions,
            "numSlots": sample.slots,
            "samplePeriodSecs": u16::try_from(sample.seconds).unwrap_or(u16::MAX),
        })
    });
    Ok(Value::Array(shown.collect()))
}

/// The least price of a compute unit with which a transaction landed, for each of the newest blocks; with accounts,
/// the highest of those of the transactions that write them.
pub fn get_priority_fees(node: &Node, mut params: Params) -> Answer {
    let keys: Vec<String> = params.or_default(0, "accounts")?;
    if keys.len() > MAX_FEE_ACCOUNTS {
        return Err(RpcError::invalid_params(format!(
            "Too many inputs provided; max {MAX_FEE_ACCOUNTS}"
        )));
    }
    let keys = keys
        .iter()
        .map(|key| pubkey("accounts", key))
        .collect::<Result<HashSet<Pubkey>, _>>()?;
    let blocks = node.read(|chain| chain.newest_blocks(FEE_BLOCKS));
    let fees = blocks
        .iter()
        .map(|block| json!({"slot": block.slot, "prioritizationFee": priority_fee(block, &keys)}));
    Ok(Value::Array(fees.collect()))
}

fn priority_fee(block: &Block, keys: &HashSet<Pubkey>) -> u64 {
    let mut least: Option<u64> = None;
    let mut of_accounts: std::collections::HashMap<Pubkey, u64> = Default::default();
    for executed in &block.transactions {
        let price = unit_price(executed);
        least = Some(least.map_or(price, |least| least.min(price)));
        let message = executed.sanitized.message();
        for (index, key) in message.account_keys().iter().enumerate() {
            if keys.contains(key) && message.is_writable(index) {
                let of = of_accounts.entry(*key).or_insert(price);
                *of = price.min(*of);
            }
        }
    }
    let of_accounts = of_accounts.into_values().max().unwrap_or(0);
    least.unwrap_or(0).max(of_accounts)
}

/// Micro-lamports per compute unit that a transaction offers.
fn unit_price(executed: &Executed) -> u64 {
    let message = executed.sanitized.message();
    message
        .program_instructions_iter()
        .filter(|(program, _)| **program == COMPUTE_BUDGET_ID)
        .find_map(|(_, instruction)| {
            // SetComputeUnitPrice
            let price = instruction.data.strip_prefix(&[3])?;
            Some(u64::from_le_bytes(*price.first_chunk::<8>()?))
        })
        .unwrap_or(0)
}
