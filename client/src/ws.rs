//! The chain's WebSocket: many subscriptions over one connection that is made when first needed and made again,
//! with every subscription, whenever it breaks.
//!
//! A watch holds the newest value only, so a slow reader costs no memory. After each (re)subscription the account is
//! also read once over RPC, so that nothing written while the connection was down is missed.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::{SinkExt, StreamExt};
use mythic_support::Backoff;
use serde_json::{Value, json};
use solana_account::Account;
use solana_pubkey::Pubkey;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use solana_rpc_client_api::config::CommitmentConfig;
use tokio::{
    net::TcpStream,
    sync::{mpsc, watch},
    time::{Instant, sleep_until, timeout},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::{Message, protocol::WebSocketConfig},
};

use crate::error::causes;

/// Largest message taken from the node, in bytes (an account is at most 10 MiB, in base64).
const MAX_MESSAGE: usize = 16 << 20;
/// How long a connection may take, handshakes included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the node may take to accept a message.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
const PING_EVERY: Duration = Duration::from_secs(20);
/// Shortest and longest pause before a connection is made again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// An account as the chain last told it.
#[derive(Debug, Clone, PartialEq)]
pub struct AccountSnapshot {
    /// Slot of the bank that was read.
    pub slot: u64,
    /// `None` when no account is there.
    pub account: Option<Account>,
}

/// A slot as announced by `slotSubscribe`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotInfo {
    /// The new slot.
    pub slot: u64,
    pub parent: u64,
    /// The newest root.
    pub root: u64,
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

#[derive(Debug)]
enum Topic {
    Account {
        pubkey: Pubkey,
        commitment: CommitmentConfig,
        out: watch::Sender<Option<AccountSnapshot>>,
    },
    Slot {
        out: watch::Sender<Option<SlotInfo>>,
    },
}

#[derive(Debug)]
enum Command {
    Subscribe(u64, Topic),
    Unsubscribe(u64),
}

/// Ends its subscription when dropped.
#[derive(Debug)]
struct Guard {
    id: u64,
    commands: mpsc::UnboundedSender<Command>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.commands.send(Command::Unsubscribe(self.id));
    }
}

/// A watched account. Dropping it ends the subscription.
#[derive(Debug)]
pub struct AccountWatch {
    values: watch::Receiver<Option<AccountSnapshot>>,
    _guard: Guard,
}

impl AccountWatch {
    /// The next value that differs from the last one seen; `None` once the client is gone.
    pub async fn next(&mut self) -> Option<AccountSnapshot> {
        loop {
            self.values.changed().await.ok()?;
            if let Some(value) = self.values.borrow_and_update().clone() {
                return Some(value);
            }
        }
    }
}

/// Watched slots. Dropping it ends the subscription.
#[derive(Debug)]
pub struct SlotWatch {
    values: watch::Receiver<Option<SlotInfo>>,
    _guard: Guard,
}

impl SlotWatch {
    /// The newest slot not yet seen by this watch; `None` once the client is gone.
    pub async fn next(&mut self) -> Option<SlotInfo> {
        loop {
            self.values.changed().await.ok()?;
            if let Some(value) = *self.values.borrow_and_update() {
                return Some(value);
            }
        }
    }
}

/// Handle on the connection; cheap to clone. The connection's task ends when the last handle and watch are dropped.
#[derive(Debug, Clone)]
pub(crate) struct WsClient {
    commands: mpsc::UnboundedSender<Command>,
    next_id: Arc<AtomicU64>,
}

impl WsClient {
    /// Must be called inside a tokio runtime; dials only when something is watched.
    pub(crate) fn new(url: String, rpc: Arc<RpcClient>) -> Self {
        let (commands, receiver) = mpsc::unbounded_channel();
        tokio::spawn(
            Connection {
                url,
                rpc,
                commands: receiver,
                topics: HashMap::new(),
            }
            .run(),
        );
        Self {
            commands,
            next_id: Arc::new(AtomicU64::new(1)),
        }
    }

    fn subscribe(&self, topic: Topic) -> Guard {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let _ = self.commands.send(Command::Subscribe(id, topic));
        Guard {
            id,
            commands: self.commands.clone(),
        }
    }

    pub(crate) fn account(&self, pubkey: Pubkey, commitment: CommitmentConfig) -> AccountWatch {
        let (out, values) = watch::channel(None);
        AccountWatch {
            values,
            _guard: self.subscribe(Topic::Account {
                pubkey,
                commitment,
                out,
            }),
        }
    }

    pub(crate) fn slots(&self) -> SlotWatch {
        let (out, values) = watch::channel(None);
        SlotWatch {
            values,
            _guard: self.subscribe(Topic::Slot { out }),
        }
    }
}

struct Connection {
    url: String,
    rpc: Arc<RpcClient>,
    commands: mpsc::UnboundedReceiver<Command>,
    topics: HashMap<u64, Topic>,
}

impl Connection {
    async fn run(mut self) {
        let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
        loop {
            while self.topics.is_empty() {
                match self.commands.recv().await {
                    Some(command) => self.note(command),
                    None => return,
                }
            }
            let config = WebSocketConfig::default()
                .max_message_size(Some(MAX_MESSAGE))
                .max_frame_size(Some(MAX_MESSAGE));
            let connect = connect_async_with_config(self.url.as_str(), Some(config), true);
            match timeout(CONNECT_TIMEOUT, connect).await {
                Err(_) => {
                    tracing::warn!(url = %self.url, "chain WebSocket does not answer; trying again")
                }
                Ok(Ok((socket, _))) => {
                    let since = Instant::now();
                    match self.serve(socket).await {
                        End::Idle => continue,
                        End::Closed => return,
                        End::Broken(reason) => {
                            tracing::warn!(url = %self.url, %reason, "chain WebSocket broke; connecting again");
                        }
                    }
                    if since.elapsed() > PAUSES.1 {
                        backoff.reset();
                    }
                }
                Ok(Err(error)) => {
                    let error = causes(&error);
                    tracing::warn!(url = %self.url, error, "chain WebSocket unreachable; trying again")
                }
            }
            let until = Instant::now() + backoff.pause();
            loop {
                tokio::select! {
                    () = sleep_until(until) => break,
                    command = self.commands.recv() => match command {
                        Some(command) => self.note(command),
                        None => return,
                    }
                }
            }
        }
    }

    fn note(&mut self, command: Command) {
        match command {
            Command::Subscribe(id, topic) => {
                self.topics.insert(id, topic);
            }
            Command::Unsubscribe(id) => {
                self.topics.remove(&id);
            }
        }
    }

    /// Speaks over one connection until it breaks or nothing is watched any more.
    async fn serve(&mut self, mut socket: Socket) -> End {
        // Our number of a request or topic, and the node's number of the subscription.
        let mut server_of: HashMap<u64, u64> = HashMap::new();
        let mut topic_of: HashMap<u64, u64> = HashMap::new();
        let ids: Vec<u64> = self.topics.keys().copied().collect();
        for id in ids {
            if let Some(topic) = self.topics.get(&id)
                && let Err(reason) = send(&mut socket, subscribe_request(id, topic)).await
            {
                return End::Broken(reason);
            }
        }
        let mut ping = tokio::time::interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                command = self.commands.recv() => {
                    let Some(command) = command else {
                        let _ = timeout(SEND_TIMEOUT, socket.close(None)).await;
                        return End::Closed;
                    };
                    let request = match &command {
                        Command::Subscribe(id, topic) => Some(subscribe_request(*id, topic)),
                        Command::Unsubscribe(id) => server_of.remove(id).and_then(|server| {
                            topic_of.remove(&server);
                            self.topics.get(id).map(|topic| unsubscribe_request(*id, topic, server))
                        }),
                    };
                    self.note(command);
                    if let Some(request) = request
                        && let Err(reason) = send(&mut socket, request).await
                    {
                        return End::Broken(reason);
                    }
                    if self.topics.is_empty() {
                        let _ = timeout(SEND_TIMEOUT, socket.close(None)).await;
                        return End::Idle;
                    }
                }
                message = socket.next() => {
                    heard = Instant::now();
                    match message {
                        Some(Ok(Message::Text(text))) => {
                            self.receive(text.as_str(), &mut server_of, &mut topic_of);
                        }
                        Some(Ok(Message::Close(_))) | None => return End::Broken("closed by the node".into()),
                        Some(Ok(_)) => {}
                        Some(Err(error)) => return End::Broken(error.to_string()),
                    }
                }
                _ = ping.tick() => {
                    if heard.elapsed() > PING_EVERY * 2 {
                        return End::Broken("silent for too long".into());
                    }
                    if let Err(reason) = send(&mut socket, Message::Ping(Default::default())).await {
                        return End::Broken(reason);
                    }
                }
            }
        }
    }

    fn receive(
        &self,
        text: &str,
        server_of: &mut HashMap<u64, u64>,
        topic_of: &mut HashMap<u64, u64>,
    ) {
        let Ok(value) = serde_json::from_str::<Value>(text) else {
            tracing::debug!("message of the chain WebSocket is not JSON");
            return;
        };
        if let Some(id) = value.get("id").and_then(Value::as_u64) {
            let Some(topic) = self.topics.get(&id) else {
                return;
            };
            match value.get("result").and_then(Value::as_u64) {
                Some(server) => {
                    server_of.insert(id, server);
                    topic_of.insert(server, id);
                    if let Topic::Account {
                        pubkey,
                        commitment,
                        out,
                    } = topic
                    {
                        tokio::spawn(read_once(
                            self.rpc.clone(),
                            *pubkey,
                            *commitment,
                            out.clone(),
                        ));
                    }
                }
                None => {
                    let answer = value.get("error").map(Value::to_string).unwrap_or_default();
                    tracing::warn!(answer, "subscription refused by the node");
                }
            }
            return;
        }
        let Some(params) = value.get("params") else {
            return;
        };
        let Some(id) = params
            .get("subscription")
            .and_then(Value::as_u64)
            .and_then(|s| topic_of.get(&s))
        else {
            return;
        };
        match (self.topics.get(id), params.get("result")) {
            (Some(Topic::Account { out, .. }), Some(result)) => {
                if let Some(snapshot) = parse_account(result) {
                    out.send_if_modified(|held| {
                        let changed = held.as_ref() != Some(&snapshot);
                        *held = Some(snapshot);
                        changed
                    });
                }
            }
            (Some(Topic::Slot { out }), Some(result)) => {
                if let Some(slot) = parse_slot(result) {
                    out.send_replace(Some(slot));
                }
            }
            _ => {}
        }
    }
}

/// Sends a message in time, or says why it could not.
async fn send(socket: &mut Socket, message: impl Into<Message>) -> Result<(), String> {
    match timeout(SEND_TIMEOUT, socket.send(message.into())).await {
        Ok(sent) => sent.map_err(|error| error.to_string()),
        Err(_) => Err("the node takes no messages".into()),
    }
}

enum End {
    Idle,
    Closed,
    Broken(String),
}

/// Fills the gap before a subscription; an answer older than what arrived meanwhile is dropped.
async fn read_once(
    rpc: Arc<RpcClient>,
    pubkey: Pubkey,
    commitment: CommitmentConfig,
    out: watch::Sender<Option<AccountSnapshot>>,
) {
    match rpc.get_account_with_commitment(&pubkey, commitment).await {
        Ok(response) => {
            let snapshot = AccountSnapshot {
                slot: response.context.slot,
                account: response.value,
            };
            out.send_if_modified(|held| match held {
                Some(newer) if newer.slot > snapshot.slot => false,
                _ => {
                    *held = Some(snapshot);
                    true
                }
            });
        }
        Err(error) => tracing::debug!(%pubkey, %error, "first read of a watched account failed"),
    }
}

fn subscribe_request(id: u64, topic: &Topic) -> String {
    let (method, params) = match topic {
        Topic::Account {
            pubkey, commitment, ..
        } => (
            "accountSubscribe",
            json!([pubkey.to_string(), {"encoding": "base64", "commitment": commitment.commitment.to_string()}]),
        ),
        Topic::Slot { .. } => ("slotSubscribe", json!([])),
    };
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string()
}

fn unsubscribe_request(id: u64, topic: &Topic, server: u64) -> String {
    let method = match topic {
        Topic::Account { .. } => "accountUnsubscribe",
        Topic::Slot { .. } => "slotUnsubscribe",
    };
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": [server]}).to_string()
}

fn parse_slot(result: &Value) -> Option<SlotInfo> {
    Some(SlotInfo {
        slot: result.get("slot")?.as_u64()?,
        parent: result.get("parent")?.as_u64()?,
        root: result.get("root")?.as_u64()?,
    })
}

fn parse_account(result: &Value) -> Option<AccountSnapshot> {
    use base64::Engine;
    let slot = result.get("context")?.get("slot")?.as_u64()?;
    let value = result.get("value")?;
    if value.is_null() {
        return Some(AccountSnapshot {
            slot,
            account: None,
        });
    }
    let lamports = value.get("lamports")?.as_u64()?;
    let data = value.get("data")?.as_array()?.first()?.as_str()?;
    let account = Account {
        lamports,
        data: base64::engine::general_purpose::STANDARD
            .decode(data)
            .ok()?,
        owner: value.get("owner")?.as_str()?.parse().ok()?,
        executable: value
            .get("executable")
            .and_then(Value::as_bool)
            .unwrap_or(false),
        rent_epoch: value
            .get("rentEpoch")
            .and_then(Value::as_u64)
            .unwrap_or(u64::MAX),
    };
    // A closed account is announced with its lamports gone.
    Some(AccountSnapshot {
        slot,
        account: (lamports > 0).then_some(account),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_notification_is_parsed() {
        let owner = Pubkey::new_from_array([7; 32]);
        let mut result = json!({
            "context": {"slot": 9},
            "value": {"lamports": 5, "data": ["AQID", "base64"], "owner": owner.to_string(), "executable": false, "rentEpoch": 0, "space": 3}
        });
        let snapshot = parse_account(&result).unwrap();
        assert_eq!(snapshot.slot, 9);
        assert_eq!(snapshot.account.unwrap().data, vec![1, 2, 3]);
        result["value"]["lamports"] = json!(0);
        assert_eq!(parse_account(&result).unwrap().account, None);
    }

    #[test]
    fn a_hostile_notification_is_dropped() {
        for text in [
            r#"{}"#,
            r#"{"context":{"slot":-1},"value":null}"#,
            r#"{"context":{"slot":1},"value":{"lamports":1}}"#,
        ] {
            assert!(
                parse_account(&serde_json::from_str(text).unwrap()).is_none(),
                "{text}"
            );
        }
    }
}
