//! A made-up chain behind JSON-RPC as a validator answers it, and beside it the spool of a plugin that sees the same.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::routing::post;
use base64::{Engine, engine::general_purpose::STANDARD};
use mythic_interface::AI_PRECOMPILES_ID;
use serde_json::{Value, json};

use crate::tests::chain::*;

/// A block: slot and fork.
pub type At = (u64, u8);

/// What one answer does in place of the truth.
#[derive(Clone, Debug)]
pub enum Fault {
    /// HTTP 429 with `Retry-After` in seconds.
    Busy(u64),
    /// Another body.
    Body(String),
    /// A node of the pool that is this many blocks behind answers.
    Behind(usize),
    /// An error of JSON-RPC.
    Error(i64),
}

struct SimBlock {
    parent: At,
    transactions: Vec<Vec<Write>>,
    state: BTreeMap<u8, Write>,
}

type Meanwhile = Box<dyn FnMut(&mut World) + Send>;

pub struct World {
    blocks: BTreeMap<At, SimBlock>,
    pub genesis: [u8; 32],
    pub confirmed: At,
    pub finalized: At,
    /// Blocks below are not kept.
    pub first: u64,
    /// It takes questions and answers none.
    pub silent: bool,
    /// It does not know `base64+zstd`.
    pub plain: bool,
    /// Most accounts that an answer holds.
    pub most: usize,
    pub faults: VecDeque<Fault>,
    /// Methods that were asked, in order.
    pub asked: Vec<String>,
    /// Called when accounts are read, before they are: the chain goes on in between.
    pub meanwhile: Option<Meanwhile>,
    spool: Option<Chain>,
}

pub type Shared = Arc<Mutex<World>>;

impl World {
    /// A chain whose first block holds these accounts.
    pub fn new(base: &[Write]) -> Self {
        let state = base.iter().map(|w| (w.key, w.clone())).collect();
        let first = SimBlock {
            parent: (0, 0),
            transactions: Vec::new(),
            state,
        };
        Self {
            blocks: BTreeMap::from([((0, 0), first)]),
            genesis: GENESIS,
            confirmed: (0, 0),
            finalized: (0, 0),
            first: 0,
            silent: false,
            plain: false,
            most: usize::MAX,
            faults: VecDeque::new(),
            asked: Vec::new(),
            meanwhile: None,
            spool: None,
        }
    }

    /// The same with a plugin that writes a spool.
    pub fn with_spool(base: &[Write], dir: &Path) -> Self {
        let mut world = Self::new(base);
        world.spool = Some(Chain::start(dir, 1, 0, base));
        world
    }

    /// Makes the plugin lose what comes until it writes again.
    pub fn pause_spool(&mut self) -> Option<Chain> {
        self.spool.take()
    }

    pub fn resume_spool(&mut self, spool: Option<Chain>) {
        self.spool = spool;
    }

    pub fn block(&mut self, at: At, parent: At, transactions: &[Vec<Write>]) {
        let mut state = self.blocks[&parent].state.clone();
        for write in transactions.iter().flatten() {
            match write.lamports {
                0 => state.remove(&write.key),
                _ => state.insert(write.key, write.clone()),
            };
        }
        if let Some(spool) = &mut self.spool {
            let writes: Vec<Write> = transactions.iter().flatten().cloned().collect();
            spool.bank(at.0, at.1, parent, &writes);
            spool.sync();
        }
        let block = SimBlock {
            parent,
            transactions: transactions.to_vec(),
            state,
        };
        self.blocks.insert(at, block);
    }

    pub fn confirm(&mut self, at: At) {
        self.confirmed = at;
        if let Some(spool) = &mut self.spool {
            spool.confirm(at.0, at.1);
            spool.sync();
        }
    }

    pub fn finalize(&mut self, at: At) {
        self.finalized = at;
        if let Some(spool) = &mut self.spool {
            spool.root(at.0, at.1);
            spool.sync();
        }
    }

    /// The chain down from a block, newest first.
    fn chain(&self, at: At) -> Vec<At> {
        let mut chain = vec![at];
        let mut at = at;
        while at != (0, 0) {
            at = self.blocks[&at].parent;
            chain.push(at);
        }
        chain
    }

    fn answer(&mut self, method: &str, params: &Value, behind: usize) -> Value {
        let at = |at: At| {
            let chain = self.chain(at);
            chain[behind.min(chain.len() - 1)]
        };
        let (confirmed, finalized) = (at(self.confirmed), at(self.finalized));
        let configs = params.as_array().unwrap().iter().rev();
        let config = configs.clone().find(|p| p.is_object()).cloned();
        let config = config.unwrap_or_default();
        let tip = match config["commitment"].as_str() {
            Some("confirmed") => confirmed,
            _ => finalized,
        };
        let ok = |result: Value| json!({"jsonrpc": "2.0", "id": 1, "result": result});
        let error = |code: i64| json!({"jsonrpc": "2.0", "id": 1, "error": {"code": code, "message": "made up"}});
        if config["minContextSlot"]
            .as_u64()
            .is_some_and(|least| tip.0 < least)
        {
            return error(-32016);
        }
        if self.plain && config["encoding"] == "base64+zstd" {
            return error(-32602);
        }
        let context = json!({"slot": tip.0, "apiVersion": "4.2.2"});
        match method {
            "getGenesisHash" => ok(json!(bs58::encode(self.genesis).into_string())),
            "getSlot" => ok(json!(tip.0)),
            "getBlocks" => {
                let (from, to) = (params[0].as_u64().unwrap(), params[1].as_u64().unwrap());
                let mut slots: Vec<u64> = self.chain(confirmed).iter().map(|at| at.0).collect();
                slots.retain(|slot| (from.max(self.first)..=to).contains(slot));
                slots.reverse();
                ok(json!(slots))
            }
            "getBlock" => {
                let slot = params[0].as_u64().unwrap();
                if slot < self.first {
                    return error(-32001);
                }
                if slot > tip.0 {
                    return error(-32004);
                }
                match self.chain(tip).iter().find(|at| at.0 == slot) {
                    Some(at) => ok(self.show(*at, &config)),
                    None => error(-32007),
                }
            }
            "getMultipleAccounts" => {
                let state = &self.blocks[&tip].state;
                let one = |key: &Value| {
                    let key = bs58::decode(key.as_str().unwrap()).into_vec().unwrap();
                    state.get(&key[0]).map(|write| account(write, &config))
                };
                let accounts: Vec<Option<Value>> =
                    params[0].as_array().unwrap().iter().map(one).collect();
                ok(json!({"context": context, "value": accounts}))
            }
            "getProgramAccounts" => {
                let first = config["filters"][0]["memcmp"]["bytes"].as_str();
                let first = first.map(|bytes| STANDARD.decode(bytes).unwrap()[0]);
                let program = bs58::decode(params[0].as_str().unwrap()).into_vec();
                let program = program.unwrap();
                let state = self.blocks[&tip].state.values();
                let found: Vec<&Write> = state
                    .filter(|w| {
                        w.owner[..] == program[..]
                            && first.is_none_or(|b| w.data.first() == Some(&b))
                    })
                    .collect();
                let bare = config["dataSlice"].is_object();
                if found.len() > self.most && !bare {
                    return error(-32600);
                }
                let one = |write: &&Write| json!({"pubkey": text([write.key; 32]), "account": account(write, &config)});
                let accounts: Vec<Value> = found.iter().map(one).collect();
                ok(json!({"context": context, "value": accounts}))
            }
            other => panic!("{other} was asked"),
        }
    }

    fn show(&self, at: At, config: &Value) -> Value {
        let block = &self.blocks[&at];
        let one = |writes: &Vec<Write>| {
            let key = |key: [u8; 32], writable: bool| json!({"pubkey": text(key), "writable": writable, "signer": false, "source": "transaction"});
            let mut keys = vec![key([200; 32], true)];
            keys.extend(writes.iter().map(|write| key([write.key; 32], true)));
            // Somebody else's account.
            keys.push(key([201; 32], true));
            keys.push(key(AI_PRECOMPILES_ID, false));
            let signature = bs58::encode(signature(at.0, at.1, writes[0].key)).into_string();
            json!({"transaction": {"signatures": [signature], "accountKeys": keys}, "meta": {"err": null, "fee": 5000}, "version": 0})
        };
        let mut shown = json!({
            "blockhash": text(hash(at.0, at.1)),
            "previousBlockhash": text(hash(block.parent.0, block.parent.1)),
            "parentSlot": block.parent.0,
            "blockTime": 1_800_000_000 + at.0 as i64,
            "blockHeight": at.0,
        });
        if config["transactionDetails"] == "accounts" {
            shown["transactions"] = json!(block.transactions.iter().map(one).collect::<Vec<_>>());
        }
        if at == (0, 0) {
            // The first block has none below it.
            shown["parentSlot"] = json!(0);
        }
        shown
    }
}

fn text(key: [u8; 32]) -> String {
    bs58::encode(key).into_string()
}

fn account(write: &Write, config: &Value) -> Value {
    let encoding = config["encoding"].as_str().unwrap();
    let data = match (config["dataSlice"].is_object(), encoding) {
        (true, _) => Vec::new(),
        (false, "base64+zstd") => zstd::encode_all(&write.data[..], 0).unwrap(),
        (false, _) => write.data.to_vec(),
    };
    let packed = match encoding {
        "base64+zstd" if data.is_empty() => zstd::encode_all(&data[..], 0).unwrap(),
        _ => data,
    };
    json!({
        "lamports": write.lamports, "owner": text(write.owner), "data": [STANDARD.encode(packed), encoding],
        "executable": false, "rentEpoch": u64::MAX, "space": write.data.len(),
    })
}

async fn handle(State(world): State<Shared>, body: Bytes) -> (StatusCode, HeaderMap, String) {
    let call: Value = serde_json::from_slice(&body).unwrap();
    let method = call["method"].as_str().unwrap().to_owned();
    let mut headers = HeaderMap::new();
    let (fault, silent) = {
        let mut world = world.lock().unwrap();
        world.asked.push(method.clone());
        (world.faults.pop_front(), world.silent)
    };
    if silent {
        std::future::pending::<()>().await;
    }
    let mut behind = 0;
    match fault {
        Some(Fault::Busy(seconds)) => {
            headers.insert("retry-after", HeaderValue::from(seconds));
            return (StatusCode::TOO_MANY_REQUESTS, headers, "slow down".into());
        }
        Some(Fault::Body(body)) => return (StatusCode::OK, headers, body),
        Some(Fault::Behind(blocks)) => behind = blocks,
        Some(Fault::Error(code)) => {
            let body = json!({"jsonrpc": "2.0", "id": call["id"], "error": {"code": code, "message": "made\u{0}up\u{1b}[2J"}});
            return (StatusCode::OK, headers, body.to_string());
        }
        None => {}
    }
    let mut world = world.lock().unwrap();
    if method == "getMultipleAccounts"
        && let Some(mut meanwhile) = world.meanwhile.take()
    {
        meanwhile(&mut world);
        world.meanwhile = Some(meanwhile);
    }
    let mut answer = world.answer(&method, &call["params"], behind);
    answer["id"] = call["id"].clone();
    (StatusCode::OK, headers, answer.to_string())
}

/// Serves a chain; its URL.
pub async fn serve(world: World) -> (Shared, String) {
    let world = Arc::new(Mutex::new(world));
    let app = axum::Router::new()
        .route("/{*path}", post(handle))
        .route("/", post(handle));
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let listener = tokio::net::TcpListener::bind(any).await.unwrap();
    let url = format!("http://{}/secret-key", listener.local_addr().unwrap());
    let app = app.with_state(world.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (world, url)
}
