//! Subscriptions over WebSocket: account, program, signature, slot, root, logs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::ws::{Message, WebSocket};
use axum::extract::{State, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};
use solana_account::ReadableAccount;
use solana_account_decoder::{UiAccountEncoding, UiDataSliceConfig};
use solana_pubkey::Pubkey;
use solana_rpc_client_api::config::{
    RpcAccountInfoConfig, RpcProgramAccountsConfig, RpcSignatureSubscribeConfig,
    RpcTransactionLogsConfig, RpcTransactionLogsFilter,
};
use solana_rpc_client_api::filter::RpcFilterType;
use solana_rpc_client_api::response::UiTransactionError;
use solana_signature::Signature;
use solana_transaction_error::TransactionError;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::error::RpcError;
use super::params::{Params, level, pubkey};
use super::{Call, encode};
use crate::chain::{Block, Level};
use crate::node::{Node, Notice};

const MAX_MESSAGE: usize = 64 * 1024;
const MAX_SUBSCRIPTIONS: usize = 1_000;
const MAX_CONNECTIONS: i64 = 1_024;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

#[derive(Clone)]
struct Shared {
    node: Arc<Node>,
    stop: CancellationToken,
}

pub fn router(node: Arc<Node>, stop: CancellationToken) -> Router {
    Router::new()
        .route("/", get(upgrade))
        .with_state(Shared { node, stop })
}

async fn upgrade(State(shared): State<Shared>, upgrade: WebSocketUpgrade) -> Response {
    if shared.node.metrics.connections.get() >= MAX_CONNECTIONS {
        let text = format!("{MAX_CONNECTIONS} connections are open; close some");
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    }
    upgrade
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE)
        .on_upgrade(move |socket| async move {
            shared.node.metrics.connections.inc();
            serve(socket, &shared).await;
            shared.node.metrics.connections.dec();
        })
}

async fn serve(mut socket: WebSocket, shared: &Shared) {
    let mut notices = shared.node.subscribe();
    let mut subscriptions = Subscriptions::default();
    loop {
        let outgoing = tokio::select! {
            () = shared.stop.cancelled() => break,
            received = socket.recv() => match received {
                Some(Ok(Message::Text(text))) => subscriptions.handle(&shared.node, text.as_bytes()),
                Some(Ok(Message::Binary(bytes))) => subscriptions.handle(&shared.node, &bytes),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
            },
            notice = notices.recv() => match notice {
                Ok(notice) => subscriptions.notify(&notice),
                Err(RecvError::Lagged(missed)) => {
                    tracing::warn!(missed, "a subscriber was too slow and is disconnected");
                    break;
                }
                Err(RecvError::Closed) => break,
            },
        };
        for message in outgoing {
            let text = Message::Text(message.to_string().into());
            let sent = tokio::select! {
                () = shared.stop.cancelled() => return,
                sent = socket.send(text) => sent,
            };
            if sent.is_err() {
                return;
            }
        }
    }
    let _ = socket.send(Message::Close(None)).await;
}

enum Subscription {
    Account {
        key: Pubkey,
        level: Level,
        encoding: UiAccountEncoding,
        slice: Option<UiDataSliceConfig>,
    },
    Program {
        id: Pubkey,
        filters: Vec<RpcFilterType>,
        level: Level,
        encoding: UiAccountEncoding,
        slice: Option<UiDataSliceConfig>,
    },
    Signature {
        signature: Signature,
        level: Level,
    },
    Logs {
        mentions: Option<Pubkey>,
        level: Level,
    },
    Slot,
    Root,
}

/// The subscriptions of one connection.
#[derive(Default)]
struct Subscriptions(BTreeMap<u64, Subscription>);

impl Subscriptions {
    /// Handles a message; returns what is to be sent.
    fn handle(&mut self, node: &Node, bytes: &[u8]) -> Vec<Value> {
        let call = serde_json::from_slice(bytes)
            .map_err(|error| RpcError::parse(error.to_string()))
            .and_then(Call::read);
        let call = match call {
            Ok(call) => call,
            Err(error) => return vec![error.response(Value::Null)],
        };
        // A call without an id (clients' keep-alives) asks for no answer.
        let Some(id) = call.id else {
            return Vec::new();
        };
        match self.call(&call.method, Params(call.params)) {
            Ok(Done::Subscribed(number)) => {
                let mut out = vec![json!({"jsonrpc": "2.0", "result": number, "id": id})];
                out.extend(self.already(node, number));
                out
            }
            Ok(Done::Unsubscribed) => vec![json!({"jsonrpc": "2.0", "result": true, "id": id})],
            Err(error) => vec![error.response(id)],
        }
    }

    fn call(&mut self, method: &str, mut params: Params) -> Result<Done, RpcError> {
        let subscription = match method {
            "accountSubscribe" => {
                let key = params.pubkey(0, "pubkey")?;
                let config: RpcAccountInfoConfig = params.or_default(1, "config")?;
                Subscription::Account {
                    key,
                    level: level(config.commitment),
                    encoding: config.encoding.unwrap_or(UiAccountEncoding::Binary),
                    slice: config.data_slice,
                }
            }
            "programSubscribe" => {
                let id = params.pubkey(0, "program id")?;
                let config: RpcProgramAccountsConfig = params.or_default(1, "config")?;
                let filters = config.filters.unwrap_or_default();
                encode::check_filters(&filters)?;
                let read = config.account_config;
                Subscription::Program {
                    id,
                    filters,
                    level: level(read.commitment),
                    encoding: read.encoding.unwrap_or(UiAccountEncoding::Binary),
                    slice: read.data_slice,
                }
            }
            "signatureSubscribe" => {
                let signature = params.signature(0, "signature")?;
                let config: RpcSignatureSubscribeConfig = params.or_default(1, "config")?;
                Subscription::Signature {
                    signature,
                    level: level(config.commitment),
                }
            }
            "logsSubscribe" => {
                let filter: RpcTransactionLogsFilter = params.required(0, "filter")?;
                let config: Option<RpcTransactionLogsConfig> = params.optional(1, "config")?;
                let mentions = match filter {
                    RpcTransactionLogsFilter::All | RpcTransactionLogsFilter::AllWithVotes => None,
                    RpcTransactionLogsFilter::Mentions(keys) => match keys.as_slice() {
                        [key] => Some(pubkey("mentions", key)?),
                        _ => {
                            return Err(RpcError::invalid_params(
                                "Invalid Request: Only 1 address supported".into(),
                            ));
                        }
                    },
                };
                Subscription::Logs {
                    mentions,
                    level: level(config.and_then(|config| config.commitment)),
                }
            }
            "slotSubscribe" => Subscription::Slot,
            "rootSubscribe" => Subscription::Root,
            "accountUnsubscribe"
            | "programUnsubscribe"
            | "signatureUnsubscribe"
            | "logsUnsubscribe"
            | "slotUnsubscribe"
            | "rootUnsubscribe" => {
                let number: u64 = params.required(0, "subscription")?;
                return match self.0.remove(&number) {
                    Some(_) => Ok(Done::Unsubscribed),
                    None => Err(RpcError::invalid_params("Invalid subscription id.".into())),
                };
            }
            _ => return Err(RpcError::unknown_method(method)),
        };
        if self.0.len() >= MAX_SUBSCRIPTIONS {
            return Err(RpcError::invalid_request(format!(
                "at most {MAX_SUBSCRIPTIONS} subscriptions on a connection"
            )));
        }
        let number = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        self.0.insert(number, subscription);
        Ok(Done::Subscribed(number))
    }

    /// A signature that is there already is notified at once.
    fn already(&mut self, node: &Node, number: u64) -> Option<Value> {
        let Some(Subscription::Signature { signature, level }) = self.0.get(&number) else {
            return None;
        };
        let (status, context) = node.read(|chain| {
            let (status, reached) = chain.status(signature)?;
            (reached >= *level).then(|| (status, chain.block_at(*level).slot))
        })?;
        self.0.remove(&number);
        let value = json!({"err": ui_error(status.err.as_ref())});
        Some(notification(
            "signatureNotification",
            number,
            in_context(context, value),
        ))
    }

    /// What a notice means to this connection.
    fn notify(&mut self, notice: &Notice) -> Vec<Value> {
        let mut out = Vec::new();
        match notice {
            Notice::Slot { slot, parent, root } => {
                let result = json!({"slot": slot, "parent": parent, "root": root});
                for (number, subscription) in &self.0 {
                    if matches!(subscription, Subscription::Slot) {
                        out.push(notification("slotNotification", *number, result.clone()));
                    }
                }
            }
            Notice::Block { level, block } => {
                let mut done = Vec::new();
                for (number, subscription) in &self.0 {
                    let before = out.len();
                    subscription.reached(*number, *level, block, &mut out);
                    if matches!(subscription, Subscription::Signature { .. }) && out.len() > before
                    {
                        done.push(*number);
                    }
                }
                for number in done {
                    self.0.remove(&number);
                }
            }
        }
        out
    }
}

enum Done {
    Subscribed(u64),
    Unsubscribed,
}

impl Subscription {
    /// A block reached a level.
    fn reached(&self, number: u64, reached: Level, block: &Block, out: &mut Vec<Value>) {
        match self {
            Self::Account {
                key,
                level,
                encoding,
                slice,
            } if *level == reached => {
                let Ok(index) = block
                    .writes
                    .binary_search_by_key(key, |(written, _)| *written)
                else {
                    return;
                };
                if let Some((_, account)) = block.writes.get(index) {
                    match encode::account(key, account, *encoding, *slice) {
                        Ok(account) => out.push(notification(
                            "accountNotification",
                            number,
                            in_context(block.slot, json!(account)),
                        )),
                        Err(error) => {
                            tracing::debug!(%key, ?error, "an account could not be encoded")
                        }
                    }
                }
            }
            Self::Program {
                id,
                filters,
                level,
                encoding,
                slice,
            } if *level == reached => {
                for (key, account) in &block.writes {
                    if account.owner() != id || !encode::passes(filters, account) {
                        continue;
                    }
                    if let Ok(account) = encode::account(key, account, *encoding, *slice) {
                        let value = json!({"pubkey": key.to_string(), "account": account});
                        out.push(notification(
                            "programNotification",
                            number,
                            in_context(block.slot, value),
                        ));
                    }
                }
            }
            Self::Signature { signature, level } if *level <= reached => {
                let landed = block
                    .transactions
                    .iter()
                    .find(|tx| tx.signature == *signature);
                if let Some(executed) = landed {
                    let err = executed.meta.status.as_ref().err();
                    out.push(notification(
                        "signatureNotification",
                        number,
                        in_context(block.slot, json!({"err": ui_error(err)})),
                    ));
                }
            }
            Self::Logs { mentions, level } if *level == reached => {
                for executed in &block.transactions {
                    let message = executed.sanitized.message();
                    let named = mentions
                        .is_none_or(|key| message.account_keys().iter().any(|used| *used == key));
                    if named {
                        let value = json!({
                            "signature": executed.signature.to_string(),
                            "err": ui_error(executed.meta.status.as_ref().err()),
                            "logs": executed.meta.log_messages.as_deref().unwrap_or_default(),
                        });
                        out.push(notification(
                            "logsNotification",
                            number,
                            in_context(block.slot, value),
                        ));
                    }
                }
            }
            Self::Root if reached == Level::Finalized => {
                out.push(notification("rootNotification", number, json!(block.slot)));
            }
            _ => {}
        }
    }
}

fn ui_error(error: Option<&TransactionError>) -> Option<UiTransactionError> {
    error.cloned().map(Into::into)
}

fn in_context(slot: u64, value: Value) -> Value {
    json!({"context": {"slot": slot}, "value": value})
}

fn notification(method: &str, subscription: u64, result: Value) -> Value {
    json!({
        "jsonrpc": "2.0",
        "method": method,
        "params": {"result": result, "subscription": subscription},
    })
}
