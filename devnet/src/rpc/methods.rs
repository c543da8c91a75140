//! The table of calls, and those that read the newest block.

use serde_json::{Value, json};
use solana_rpc_client_api::config::RpcContextConfig;
use tokio::runtime::Handle;

use super::error::RpcError;
use super::params::{Params, block, with_context};
use super::{accounts, blocks, cluster, mythic, tokens, transactions};
use crate::chain::{Block, Chain, MAX_BLOCKHASH_AGE};
use crate::follow::leader::{Leader, Refusal};
use crate::node::Node;

type Answer = Result<Value, RpcError>;

/// Answers a call.
pub fn call(node: &Node, method: &str, params: Params) -> Answer {
    let read = |f: fn(&mut Chain, Params) -> Answer, params| node.read(|chain| f(chain, params));
    if let Some(leader) = node.leader() {
        match method {
            // What makes blocks is the leader's.
            "sendTransaction" | "requestAirdrop" => return hand_on(leader, method, &params.0),
            "mythic_status" => {}
            _ if method.starts_with("mythic_") => return Err(RpcError::follows(leader.url())),
            _ => {}
        }
    }
    match method {
        "getAccountInfo" => accounts::get_account_info(node, params),
        "getMultipleAccounts" => accounts::get_multiple_accounts(node, params),
        "getProgramAccounts" => accounts::get_program_accounts(node, params),
        "getBalance" => accounts::get_balance(node, params),
        "getMinimumBalanceForRentExemption" => read(accounts::get_minimum_balance, params),
        "getSupply" => read(accounts::get_supply, params),
        "getLargestAccounts" => read(accounts::get_largest_accounts, params),

        "getTokenAccountsByOwner" => tokens::get_accounts(node, params, tokens::By::Owner),
        "getTokenAccountsByDelegate" => tokens::get_accounts(node, params, tokens::By::Delegate),
        "getTokenAccountBalance" => read(tokens::get_balance, params),
        "getTokenSupply" => read(tokens::get_supply, params),
        "getTokenLargestAccounts" => read(tokens::get_largest, params),

        "sendTransaction" => transactions::send(node, params),
        "simulateTransaction" => transactions::simulate(node, params),
        "requestAirdrop" => transactions::request_airdrop(node, params),
        "getFeeForMessage" => read(transactions::get_fee, params),
        "getSignatureStatuses" => read(transactions::get_statuses, params),
        "getSignaturesForAddress" => transactions::get_signatures(node, params),
        "getTransaction" => transactions::get_transaction(node, params),

        "getLatestBlockhash" => read(get_latest_blockhash, params),
        "isBlockhashValid" => read(is_blockhash_valid, params),
        "getSlot" => at(node, params, |block| block.slot),
        "getBlockHeight" => at(node, params, |block| block.height),
        "getTransactionCount" => at(node, params, |block| block.transaction_count),
        "getBlock" => blocks::get_block(node, params),
        "getBlockTime" => read(blocks::get_block_time, params),
        "getBlocks" => read(blocks::get_blocks, params),
        "getBlocksWithLimit" => read(blocks::get_blocks_with_limit, params),
        "getBlockProduction" => blocks::get_block_production(node, params),
        "getRecentPerformanceSamples" => read(blocks::get_samples, params),
        "getRecentPrioritizationFees" => blocks::get_priority_fees(node, params),
        "getFirstAvailableBlock" | "minimumLedgerSlot" => {
            Ok(json!(node.read(|chain| chain.first_slot())))
        }

        "getVersion" => cluster::get_version(),
        "getHealth" => cluster::get_health(node),
        "getGenesisHash" => Ok(json!(node.genesis_hash().to_string())),
        "getIdentity" => cluster::get_identity(node),
        "getClusterNodes" => cluster::get_nodes(node),
        "getVoteAccounts" => cluster::get_vote_accounts(params),
        "getSlotLeader" => cluster::get_slot_leader(node, params),
        "getSlotLeaders" => cluster::get_slot_leaders(node, params),
        "getLeaderSchedule" => cluster::get_leader_schedule(node, params),
        "getBlockCommitment" => cluster::get_block_commitment(params),
        "getEpochInfo" => read(cluster::get_epoch_info, params),
        "getEpochSchedule" => cluster::get_epoch_schedule(),
        "getInflationGovernor" => cluster::get_inflation_governor(),
        "getInflationRate" => read(|chain, _| cluster::get_inflation_rate(chain), params),
        "getInflationReward" => read(cluster::get_inflation_reward, params),
        "getStakeMinimumDelegation" => read(cluster::get_stake_minimum_delegation, params),
        "getHighestSnapshotSlot" => Err(RpcError::no_snapshot()),

        _ if method.starts_with("mythic_") => mythic::call(node, method, params),
        _ => Err(RpcError::unknown_method(method, why_not(method))),
    }
}

/// Hands a call on to the chain that is followed. Calls are answered where waiting holds nobody else up.
fn hand_on(leader: &Leader, method: &str, params: &[Value]) -> Answer {
    let answered = Handle::current().block_on(leader.call(method, params));
    answered.map_err(|refusal| match refusal {
        Refusal::Answer(code, message, data) => RpcError {
            code,
            message,
            data,
        },
        Refusal::Away(reason) => RpcError::internal(reason),
    })
}

/// Why a method that other nodes may know is not offered.
fn why_not(method: &str) -> Option<&'static str> {
    Some(match method {
        "getMaxRetransmitSlot" | "getMaxShredInsertSlot" => "this chain has no shreds",
        "getConfirmedBlock" => "removed in Agave 2.0; use getBlock",
        "getConfirmedBlocks" => "removed in Agave 2.0; use getBlocks",
        "getConfirmedBlocksWithLimit" => "removed in Agave 2.0; use getBlocksWithLimit",
        "getConfirmedTransaction" => "removed in Agave 2.0; use getTransaction",
        "getConfirmedSignaturesForAddress2" => "removed in Agave 2.0; use getSignaturesForAddress",
        "getRecentBlockhash" | "getFeeCalculatorForBlockhash" | "getFeeRateGovernor" => {
            "removed in Agave 2.0; use getLatestBlockhash and getFeeForMessage"
        }
        "getFees" => "removed in Agave 2.0; use getFeeForMessage",
        "getSnapshotSlot" => "removed in Agave 2.0; use getHighestSnapshotSlot",
        "getStakeActivation" => "removed in Agave 2.0; read the stake account",
        _ if method.ends_with("Subscribe") || method.ends_with("Unsubscribe") => {
            "subscriptions go over the WebSocket port"
        }
        _ => return None,
    })
}

fn at(node: &Node, mut params: Params, f: fn(&Block) -> u64) -> Answer {
    let config: RpcContextConfig = params.or_default(0, "config")?;
    let block = node.read(|chain| block(chain, config.commitment, config.min_context_slot))?;
    Ok(json!(f(&block)))
}

fn get_latest_blockhash(chain: &mut Chain, mut params: Params) -> Answer {
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

fn is_blockhash_valid(chain: &mut Chain, mut params: Params) -> Answer {
    let hash = params.hash(0, "blockhash")?;
    let config: RpcContextConfig = params.or_default(1, "config")?;
    let at = block(chain, config.commitment, config.min_context_slot)?;
    Ok(with_context(&at, chain.blockhash_is_valid(&hash, &at)))
}
