//! Calls and batches of JSON-RPC 2.0, the same over HTTP and WebSocket.

use serde_json::{Value, json};

use super::error::RpcError;
use super::params::Params;
use crate::metrics::Metrics;

/// Most calls in one batch.
const MAX_BATCH: usize = 100;
/// Bytes of a batch's answers beyond which its other calls are refused.
const MAX_ANSWERS: usize = 64 * 1024 * 1024;

/// One call.
struct Call {
    /// None: nobody waits for an answer.
    id: Option<Value>,
    method: String,
    params: Vec<Value>,
}

impl Call {
    /// Reads a call. What is wrong comes with the call's id, if that can be read.
    fn read(call: Value) -> Result<Self, Box<(Value, RpcError)>> {
        let refused = |id: Option<Value>, text: &str| {
            let error = RpcError::invalid_request(text.into());
            Err(Box::new((id.unwrap_or(Value::Null), error)))
        };
        let Value::Object(mut call) = call else {
            return refused(None, "a call is an object");
        };
        let id = call.remove("id");
        if matches!(
            id,
            Some(Value::Object(_) | Value::Array(_) | Value::Bool(_))
        ) {
            return refused(None, "id: a number, a string or null is needed");
        }
        let Some(Value::String(method)) = call.remove("method") else {
            return refused(id, "method: a string is needed");
        };
        let params = match call.remove("params") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(params)) => params,
            Some(_) => return refused(id, "params: an array is needed"),
        };
        Ok(Self { id, method, params })
    }
}

/// Answers a call or a batch with `one`; none if nobody waits for an answer.
pub fn answer(
    bytes: &[u8],
    metrics: &Metrics,
    mut one: impl FnMut(&str, Params) -> Result<Value, RpcError>,
) -> Option<String> {
    let mut single = |call| {
        metrics.requests.inc();
        let (id, result) = match Call::read(call) {
            Ok(call) => (call.id?, one(&call.method, Params(call.params))),
            Err(refused) => {
                let (id, error) = *refused;
                (id, Err(error))
            }
        };
        Some(match result {
            Ok(result) => json!({"jsonrpc": "2.0", "result": result, "id": id}).to_string(),
            Err(error) => {
                metrics.request_errors.inc();
                error.response(id).to_string()
            }
        })
    };
    let error = match serde_json::from_slice::<Value>(bytes) {
        Ok(Value::Array(calls)) if (1..=MAX_BATCH).contains(&calls.len()) => {
            return batch(calls, single);
        }
        Ok(Value::Array(_)) => {
            RpcError::invalid_request(format!("a batch has 1 to {MAX_BATCH} calls"))
        }
        Ok(call) => return single(call),
        Err(error) => RpcError::parse(error.to_string()),
    };
    metrics.request_errors.inc();
    Some(error.response(Value::Null).to_string())
}

fn batch(calls: Vec<Value>, mut single: impl FnMut(Value) -> Option<String>) -> Option<String> {
    let mut answers = String::new();
    for call in calls {
        let one = if answers.len() < MAX_ANSWERS {
            single(call)
        } else {
            let id = call.get("id").cloned();
            let text = format!(
                "the answers of this batch are beyond {MAX_ANSWERS} bytes; send the other calls apart"
            );
            id.map(|id| RpcError::invalid_request(text).response(id).to_string())
        };
        if let Some(one) = one {
            answers.push(if answers.is_empty() { '[' } else { ',' });
            answers.push_str(&one);
        }
    }
    if answers.is_empty() {
        return None;
    }
    answers.push(']');
    Some(answers)
}
