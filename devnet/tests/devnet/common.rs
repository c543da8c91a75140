//! A chain in this process on free ports, its client, and a plugin that records what it is told.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use agave_geyser_plugin_interface::geyser_plugin_interface::{
    GeyserPlugin, GeyserPluginError, ReplicaAccountInfoVersions, ReplicaBlockInfoVersions, Result,
    SlotStatus,
};
use futures::{SinkExt, StreamExt};
use mythic_devnet::geyser::PluginHost;
use mythic_devnet::{DevnetConfig, Servers, run_with};
use serde_json::{Value, json};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use solana_rpc_client_api::config::CommitmentConfig;
use solana_rpc_client_api::request::RpcRequest;
use solana_signature::Signature;
use solana_signer::Signer;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

pub const SOL: u64 = 1_000_000_000;
/// Rent-exempt minimum of an account without data.
pub const RENT: u64 = 890_880;

pub struct Devnet {
    pub rpc: RpcClient,
    pub url: String,
    pub ws_url: String,
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

/// Manual slots, rooted after 4 blocks, in `dir`.
pub fn config(dir: &Path) -> DevnetConfig {
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    DevnetConfig {
        data_dir: dir.to_path_buf(),
        rpc_addr: any,
        ws_addr: any,
        slot_ms: 0,
        rooted_lag: 4,
        ..DevnetConfig::default()
    }
}

impl Devnet {
    pub async fn start(config: DevnetConfig, plugin: Option<Recorder>) -> Self {
        config.validate().unwrap();
        let servers = Servers::bind(&config).await.unwrap();
        let url = format!("http://{}", servers.rpc_addr());
        let ws_url = format!("ws://{}", servers.ws_addr());
        let stop = CancellationToken::new();
        let host = plugin.map(|plugin| {
            PluginHost::in_process(Box::new(plugin), Path::new("test.json")).unwrap()
        });
        let task = tokio::spawn(run_with(config, host, servers, stop.clone()));
        let commitment = CommitmentConfig::processed();
        let rpc = RpcClient::new_with_commitment(url.clone(), commitment);
        let devnet = Self {
            rpc,
            url,
            ws_url,
            stop,
            task,
        };
        let deadline = Instant::now() + Duration::from_secs(60);
        while devnet.rpc.get_health().await.is_err() {
            assert!(Instant::now() < deadline, "the chain does not answer");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        devnet
    }

    pub async fn call(&self, method: &'static str, params: Value) -> Value {
        self.rpc
            .send(RpcRequest::Custom { method }, params)
            .await
            .unwrap()
    }

    /// The answer to a call: `result` or `error`, as it came.
    pub async fn answer(&self, method: &str, params: Value) -> Value {
        let call = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
        let response = reqwest::Client::new().post(&self.url).json(&call).send();
        let answer: Value = response.await.unwrap().json().await.unwrap();
        assert_eq!(answer["id"], 7, "{method}: {answer}");
        answer
    }

    /// Sends instructions and advances a slot; the transaction must have succeeded.
    pub async fn run(
        &self,
        instructions: &[solana_instruction::Instruction],
        signers: &[&Keypair],
    ) -> Signature {
        let finalized = CommitmentConfig::finalized();
        let latest = self.rpc.get_latest_blockhash_with_commitment(finalized);
        let tx = solana_transaction::Transaction::new_signed_with_payer(
            instructions,
            Some(&signers[0].pubkey()),
            signers,
            latest.await.unwrap().0,
        );
        let signature = self.rpc.send_transaction(&tx).await.unwrap();
        self.advance(1).await;
        let status = self.rpc.get_signature_status(&signature).await.unwrap();
        status.expect("it landed").unwrap();
        signature
    }

    pub async fn socket(&self) -> Socket {
        let connected = tokio_tungstenite::connect_async(&self.ws_url);
        connected.await.unwrap().0
    }

    pub async fn advance(&self, count: u64) -> Value {
        self.call("mythic_advanceSlots", json!([count])).await
    }

    /// A new key with `sol` SOL at processed.
    pub async fn funded(&self, sol: u64) -> Keypair {
        let key = Keypair::new();
        self.rpc
            .request_airdrop(&key.pubkey(), sol * SOL)
            .await
            .unwrap();
        self.advance(1).await;
        key
    }

    /// A signed transfer under the finalized blockhash.
    pub async fn transfer(
        &self,
        from: &Keypair,
        to: &Pubkey,
        lamports: u64,
    ) -> solana_transaction::Transaction {
        let finalized = CommitmentConfig::finalized();
        let (blockhash, _) = self
            .rpc
            .get_latest_blockhash_with_commitment(finalized)
            .await
            .unwrap();
        let ix = solana_system_interface::instruction::transfer(&from.pubkey(), to, lamports);
        solana_transaction::Transaction::new_signed_with_payer(
            &[ix],
            Some(&from.pubkey()),
            &[from],
            blockhash,
        )
    }

    pub async fn send(&self, from: &Keypair, to: &Pubkey, lamports: u64) -> Signature {
        let tx = self.transfer(from, to, lamports).await;
        self.rpc.send_transaction(&tx).await.unwrap()
    }

    /// What it ends with by itself.
    pub async fn failed(self) -> anyhow::Error {
        let ended = tokio::time::timeout(Duration::from_secs(60), self.task);
        ended.await.expect("it ends").unwrap().unwrap_err()
    }

    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

/// A plugin that writes down its calls.
#[derive(Clone, Debug, Default)]
pub struct Recorder {
    pub calls: Arc<Mutex<Vec<String>>>,
    /// Threads that told start-up accounts.
    pub readers: Arc<Mutex<HashSet<ThreadId>>>,
    pub fail: bool,
}

impl Recorder {
    fn note(&self, call: String) -> Result<()> {
        self.calls.lock().unwrap().push(call);
        if self.fail {
            return Err(GeyserPluginError::AccountsUpdateError {
                msg: "on purpose".into(),
            });
        }
        Ok(())
    }

    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }
}

impl GeyserPlugin for Recorder {
    fn name(&self) -> &'static str {
        "recorder"
    }

    fn on_load(&mut self, config_file: &str, _is_reload: bool) -> Result<()> {
        self.calls
            .lock()
            .unwrap()
            .push(format!("load {config_file}"));
        Ok(())
    }

    fn on_unload(&mut self) {
        self.calls.lock().unwrap().push("unload".into());
    }

    fn update_account(
        &self,
        account: ReplicaAccountInfoVersions,
        slot: u64,
        is_startup: bool,
    ) -> Result<()> {
        let ReplicaAccountInfoVersions::V0_0_3(info) = account else {
            return self.note("old account version".into());
        };
        if is_startup {
            let reader = std::thread::current().id();
            self.readers.lock().unwrap().insert(reader);
        }
        let key = Pubkey::try_from(info.pubkey).unwrap();
        let signed = info.txn.map(|txn| txn.signature().to_string());
        let signed = signed.as_deref().unwrap_or("-");
        self.note(format!(
            "account {slot} {key} {} {signed} {is_startup}",
            info.lamports
        ))
    }

    fn notify_end_of_startup(&self) -> Result<()> {
        self.note("end of startup".into())
    }

    fn update_slot_status(
        &self,
        slot: u64,
        parent: Option<u64>,
        status: &SlotStatus,
    ) -> Result<()> {
        let parent = parent.map_or("-".into(), |parent| parent.to_string());
        self.note(format!("{} {slot} {parent}", status.as_str()))
    }

    fn notify_block_metadata(&self, info: ReplicaBlockInfoVersions) -> Result<()> {
        let ReplicaBlockInfoVersions::V0_0_4(info) = info else {
            return self.note("old block version".into());
        };
        self.note(format!(
            "block {} {} {}",
            info.slot, info.parent_slot, info.executed_transaction_count
        ))
    }
}

pub type Socket =
    tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

/// The next message; pings are not messages.
pub async fn next(socket: &mut Socket) -> Value {
    loop {
        let message = tokio::time::timeout(Duration::from_secs(20), socket.next());
        let message = message.await.expect("a message").unwrap().unwrap();
        if let Message::Text(text) = message {
            return serde_json::from_str(&text).unwrap();
        }
    }
}

pub async fn subscribe(socket: &mut Socket, method: &str, params: Value) -> Value {
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    socket.send(Message::text(call.to_string())).await.unwrap();
    next(socket).await["result"].clone()
}
