//! `mythic_*`: what a developer can do to the chain. Shapes are in docs/devnet.md.

use serde::Deserialize;
use serde_json::{Value, json};
use solana_signature::Signature;

use super::error::RpcError;
use super::params::{Params, signature};
use crate::chain::{CommandError, Level, Moved};
use crate::node::Node;

const MAX_ADVANCE: u64 = 10_000;
const MAX_SLOT_MS: u64 = 60_000;
const MAX_REASON: usize = 200;

type Answer = Result<Value, RpcError>;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplayConfig {
    without: Option<Vec<String>>,
}

pub fn call(node: &Node, method: &str, mut params: Params) -> Answer {
    match method {
        "mythic_advanceSlots" => {
            let count: u64 = params.optional(0, "count")?.unwrap_or(1);
            if count == 0 || count > MAX_ADVANCE {
                return Err(RpcError::invalid_params(format!(
                    "count = {count}: allowed are 1 to {MAX_ADVANCE}"
                )));
            }
            node.advance(count);
            Ok(position(node))
        }
        "mythic_fork" => {
            let count: u64 = params.optional(0, "count")?.unwrap_or(1);
            moved(node.fork(count))
        }
        "mythic_replaySlot" => {
            let slot: u64 = params.required(0, "slot")?;
            let config: ReplayConfig = params.or_default(1, "config")?;
            let without = config
                .without
                .map(|texts| {
                    texts
                        .iter()
                        .map(|text| signature("without", text))
                        .collect::<Result<Vec<Signature>, _>>()
                })
                .transpose()?;
            moved(node.replay(slot, without.as_deref()))
        }
        "mythic_skipSlot" => {
            let count: u64 = params.optional(0, "count")?.unwrap_or(1);
            moved(node.skip(count))
        }
        "mythic_deadSlot" => {
            let reason: Option<String> = params.optional(0, "reason")?;
            let reason = reason.unwrap_or_else(|| "declared dead by mythic_deadSlot".into());
            if reason.len() > MAX_REASON {
                return Err(RpcError::invalid_params(format!(
                    "reason: {} bytes; at most {MAX_REASON}",
                    reason.len()
                )));
            }
            moved(Ok(node.dead(reason)))
        }
        "mythic_snapshot" => Ok(json!(node.read(|chain| chain.snapshot()))),
        "mythic_revert" => {
            let id: u64 = params.required(0, "snapshot")?;
            let accounts = node.revert(id).map_err(refused)?;
            Ok(json!({"slot": node.read(|chain| chain.open_slot()), "accounts": accounts}))
        }
        "mythic_setSlotMs" => {
            let slot_ms: u64 = params.required(0, "milliseconds")?;
            if slot_ms > MAX_SLOT_MS {
                return Err(RpcError::invalid_params(format!(
                    "milliseconds = {slot_ms}: allowed are 0 (manual) to {MAX_SLOT_MS}"
                )));
            }
            node.set_slot_ms(slot_ms);
            Ok(json!(slot_ms))
        }
        "mythic_status" => Ok(position(node)),
        _ => Err(RpcError::unknown_method(method, None)),
    }
}

/// Where the chain stands.
fn position(node: &Node) -> Value {
    let slot_ms = node.slot_ms();
    node.read(|chain| {
        json!({
            "openSlot": chain.open_slot(),
            "processedSlot": chain.tip().slot,
            "confirmedSlot": chain.block_at(Level::Confirmed).slot,
            "rootedSlot": chain.rooted().slot,
            "blockHeight": chain.tip().height,
            "slotMs": slot_ms,
        })
    })
}

fn moved(result: Result<Moved, CommandError>) -> Answer {
    let moved = result.map_err(refused)?;
    let dropped: Vec<Value> = moved
        .dropped
        .iter()
        .map(|(signature, error)| {
            json!({"signature": signature.to_string(), "error": error.to_string()})
        })
        .collect();
    let relanded: Vec<String> = moved.relanded.iter().map(Signature::to_string).collect();
    Ok(json!({
        "parent": moved.parent,
        "slot": moved.slot,
        "abandoned": moved.abandoned,
        "relanded": relanded,
        "dropped": dropped,
    }))
}

fn refused(error: CommandError) -> RpcError {
    RpcError::invalid_params(error.to_string())
}
