//! The HTTP side of the chain's RPC: every call ends in time, no answer is longer than a client can bear, and a chain on
//! this machine is never asked through a proxy, whatever the environment says.

use std::time::Duration;

use async_trait::async_trait;
use reqwest::{Request, Response, ResponseBuilderExt};
use reqwest_middleware::{ClientBuilder, Middleware, Next};
use solana_rpc_client::{
    http_sender::HttpSender,
    nonblocking::rpc_client::RpcClient,
    rpc_client::RpcClientConfig,
    rpc_sender::{RpcSender, RpcTransportStats},
};
use solana_rpc_client_api::{
    client_error::{ErrorKind, Result},
    config::CommitmentConfig,
    request::RpcRequest,
};

/// How long one HTTP request may take, its answer's last byte included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a call may take with the pauses that a busy node asks for.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest answer that is read, bytes after decompression: some 40,000 jobs.
const MAX_ANSWER: usize = 64 << 20;

/// A client of the chain's RPC at `url`, which reads at `processed` where a call names no commitment.
pub(crate) fn client(url: String) -> RpcClient {
    let http = mythic_http::client::builder()
        .default_headers(HttpSender::default_headers())
        .timeout(REQUEST_TIMEOUT);
    // Fails only where TLS cannot be set up at all: then as `reqwest::Client::new` does.
    let http = ClientBuilder::new(http.build().unwrap_or_default())
        .with(Bounded)
        .build();
    RpcClient::new_sender(
        Timed(HttpSender::new_with_client_with_middleware(url, http)),
        RpcClientConfig::with_commitment(CommitmentConfig::processed()),
    )
}

/// Gives a call up after [`CALL_TIMEOUT`].
struct Timed(HttpSender);

#[async_trait]
impl RpcSender for Timed {
    async fn send(
        &self,
        request: RpcRequest,
        params: serde_json::Value,
    ) -> Result<serde_json::Value> {
        match tokio::time::timeout(CALL_TIMEOUT, self.0.send(request, params)).await {
            Ok(answer) => answer,
            Err(_) => {
                let seconds = CALL_TIMEOUT.as_secs();
                let reason = format!("no answer to {request} within {seconds} seconds");
                Err(ErrorKind::Custom(reason).into())
            }
        }
    }

    fn get_transport_stats(&self) -> RpcTransportStats {
        self.0.get_transport_stats()
    }

    fn url(&self) -> String {
        self.0.url()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the answer is longer than {MAX_ANSWER} bytes")]
struct TooLong;

/// Reads an answer up to [`MAX_ANSWER`].
struct Bounded;

#[async_trait]
impl Middleware for Bounded {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut http::Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        let mut answer = next.run(request, extensions).await?;
        let mut read = http::Response::builder()
            .status(answer.status())
            .url(answer.url().clone());
        if let Some(headers) = read.headers_mut() {
            *headers = answer.headers().clone();
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            if body.len().saturating_add(chunk.len()) > MAX_ANSWER {
                return Err(reqwest_middleware::Error::middleware(TooLong));
            }
            body.extend_from_slice(&chunk);
        }
        read.body(body)
            .map(Response::from)
            .map_err(reqwest_middleware::Error::middleware)
    }
}
