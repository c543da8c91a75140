//! A node in its own runtime, and its answers.

use std::{net::TcpListener, sync::Arc, time::Duration};

use mythic_client::ChainClient;
use mythic_interface::state::Model;
use mythic_node::{
    self as node, NodeConfig, Parts,
    keep::{journal::Journal, store::Store},
    seams::{Disclosure, Open},
    serve::backend::{Backend, ServedModel},
    setup::{self, Keys},
};
use mythic_wire::{self as wire, InferenceRequest, NodeEvent};
use solana_pubkey::Pubkey;
use tokio_util::sync::CancellationToken;

use super::PATIENCE;

/// Any port of loopback.
pub fn any_port() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// Runs a node with a backend at a port that is bound, in its own runtime, so that it can be killed.
pub fn run_node(
    config: NodeConfig,
    model: Pubkey,
    backend: Arc<dyn Backend>,
    port: TcpListener,
) -> Running {
    run_node_that(config, model, backend, Arc::new(Open), port)
}

/// Like [`run_node`], one that seals and shows its results in its own way.
pub fn run_node_that(
    config: NodeConfig,
    model: Pubkey,
    backend: Arc<dyn Backend>,
    disclosure: Arc<dyn Disclosure>,
    port: TcpListener,
) -> Running {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let stop = CancellationToken::new();
    let token = stop.clone();
    let (ready, address) = std::sync::mpsc::channel();
    runtime.spawn(async move {
        let keys = Keys::load(&config).unwrap();
        let journal = Journal::open(&config.data_dir).unwrap();
        let store = Store::open(&config.data_dir).unwrap();
        let chain = ChainClient::new(&config.rpc_url, &config.ws_url);
        let network = setup::network(&chain).await.unwrap();
        let (_, account) = chain.account::<Model>(&model).await.unwrap().unwrap();
        let served = ServedModel {
            address: model,
            account: Arc::new(parking_lot::RwLock::new(account)),
            backend,
        };
        let parts = Parts {
            config,
            keys,
            journal,
            store,
            chain,
            network,
            models: vec![served],
            disclosure,
        };
        let node = node::assemble(parts).await.unwrap();
        port.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(port).unwrap();
        ready.send(listener.local_addr().unwrap()).unwrap();
        node::serve(node, listener, token).await.unwrap();
    });
    let address = address.recv_timeout(PATIENCE).expect("the node starts");
    Running {
        url: format!("http://{address}"),
        stop,
        runtime: Some(runtime),
    }
}

/// A node that runs.
pub struct Running {
    pub url: String,
    pub stop: CancellationToken,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Running {
    /// One that somebody else runs.
    pub fn at(url: String) -> Self {
        Self {
            url,
            stop: CancellationToken::new(),
            runtime: None,
        }
    }

    /// Ends it in the middle of whatever it does.
    pub fn kill(mut self) {
        if let Some(runtime) = self.runtime.take() {
            tokio::task::block_in_place(|| runtime.shutdown_timeout(Duration::from_secs(2)));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The events of a node's answer.
pub struct Events {
    response: reqwest::Response,
    parser: wire::sse::SseParser,
    ready: std::collections::VecDeque<NodeEvent>,
}

impl Events {
    pub async fn next(&mut self) -> Option<NodeEvent> {
        while self.ready.is_empty() {
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk())
                .await
                .expect("an event in time")
                .ok()??;
            for event in self.parser.push(&chunk).unwrap() {
                self.ready
                    .push_back(serde_json::from_str(&event.data).unwrap());
            }
        }
        self.ready.pop_front()
    }

    pub async fn all(mut self) -> Vec<NodeEvent> {
        let mut out = Vec::new();
        while let Some(event) = self.next().await {
            out.push(event);
        }
        out
    }
}

pub async fn post(node: &Running, request: &InferenceRequest) -> Result<Events, (u16, String)> {
    let response = reqwest::Client::new()
        .post(format!("{}/v1/inference", node.url))
        .json(request)
        .send()
        .await
        .unwrap();
    if response.status().is_success() {
        return Ok(Events {
            response,
            parser: wire::sse::SseParser::new(8 << 20),
            ready: Default::default(),
        });
    }
    let status = response.status().as_u16();
    let body: wire::ErrorBody = response.json().await.unwrap();
    Err((status, body.error.code.unwrap_or_default()))
}
