//! JSON-RPC errors, with Agave's codes.

use serde_json::{Value, json};
use solana_rpc_client_api::custom_error;

/// An error answer.
#[derive(Clone, Debug, PartialEq)]
pub struct RpcError {
    pub code: i64,
    pub message: String,
    pub data: Option<Value>,
}

impl RpcError {
    fn new(code: i64, message: String) -> Self {
        Self {
            code,
            message,
            data: None,
        }
    }

    pub fn parse(message: String) -> Self {
        Self::new(-32700, format!("Parse error: {message}"))
    }

    pub fn invalid_request(message: String) -> Self {
        Self::new(-32600, message)
    }

    /// `why`: what a caller should know if the method is one that other nodes may offer.
    pub fn unknown_method(method: &str, why: Option<&str>) -> Self {
        let method: String = method.chars().take(64).collect();
        let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
        Self::new(-32601, format!("Method not found: {method}{why}"))
    }

    pub fn invalid_params(message: String) -> Self {
        Self::new(-32602, message)
    }

    pub fn internal(message: String) -> Self {
        Self::new(-32603, message)
    }

    pub fn preflight(message: String, data: Value) -> Self {
        Self {
            data: Some(data),
            ..Self::new(
                custom_error::JSON_RPC_SERVER_ERROR_SEND_TRANSACTION_PREFLIGHT_FAILURE,
                message,
            )
        }
    }

    pub fn signature_verification() -> Self {
        Self::new(
            custom_error::JSON_RPC_SERVER_ERROR_TRANSACTION_SIGNATURE_VERIFICATION_FAILURE,
            "Transaction signature verification failure".into(),
        )
    }

    pub fn unsupported_version(version: u8) -> Self {
        Self::new(
            custom_error::JSON_RPC_SERVER_ERROR_UNSUPPORTED_TRANSACTION_VERSION,
            format!(
                "Transaction version ({version}) is not supported by the requesting client. Please try the request \
                 again with the following configuration parameter: \"maxSupportedTransactionVersion\": {version}"
            ),
        )
    }

    pub fn no_block(slot: u64) -> Self {
        Self::new(
            custom_error::JSON_RPC_SERVER_ERROR_BLOCK_NOT_AVAILABLE,
            format!("Block not available for slot {slot}"),
        )
    }

    pub fn block_cleaned_up(slot: u64, first: u64) -> Self {
        Self::new(
            custom_error::JSON_RPC_SERVER_ERROR_BLOCK_CLEANED_UP,
            format!(
                "Block {slot} cleaned up, does not exist on node. First available block: {first}"
            ),
        )
    }

    pub fn slot_skipped(slot: u64) -> Self {
        Self::new(
            custom_error::JSON_RPC_SERVER_ERROR_SLOT_SKIPPED,
            format!("Slot {slot} was skipped, or missing due to ledger jump to recent snapshot"),
        )
    }

    pub fn no_snapshot() -> Self {
        Self::new(
            custom_error::JSON_RPC_SERVER_ERROR_NO_SNAPSHOT,
            "No snapshot".into(),
        )
    }

    pub fn unhealthy() -> Self {
        Self {
            data: Some(json!({"numSlotsBehind": null})),
            ..Self::new(
                custom_error::JSON_RPC_SERVER_ERROR_NODE_UNHEALTHY,
                "Node is unhealthy".into(),
            )
        }
    }

    /// Only the chain that this one follows can do that.
    pub fn follows(leader: &str) -> Self {
        Self::invalid_request(format!(
            "this chain follows the one at {leader}, which makes the blocks: ask there"
        ))
    }

    pub fn min_context_slot(context_slot: u64) -> Self {
        Self {
            data: Some(json!({"contextSlot": context_slot})),
            ..Self::new(
                custom_error::JSON_RPC_SERVER_ERROR_MIN_CONTEXT_SLOT_NOT_REACHED,
                "Minimum context slot has not been reached".into(),
            )
        }
    }

    /// The whole answer to the call `id`.
    pub fn response(&self, id: Value) -> Value {
        let mut error = json!({"code": self.code, "message": self.message});
        if let (Some(data), Value::Object(error)) = (&self.data, &mut error) {
            error.insert("data".into(), data.clone());
        }
        json!({"jsonrpc": "2.0", "error": error, "id": id})
    }
}
