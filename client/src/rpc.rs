//! The HTTP side of the chain's RPC: every call ends in time, no answer is longer than a client can bear, and a chain on
//! this machine is never asked through a proxy, whatever the environment says.

use std::{net::IpAddr, time::Duration};

use async_trait::async_trait;
use reqwest::{Request, Response, ResponseBuilderExt, Url};
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

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one HTTP request may take, its answer's last byte included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a call may take with the pauses that a busy node asks for.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest answer that is read, bytes after decompression: some 40,000 jobs.
const MAX_ANSWER: usize = 64 << 20;

/// A client of the chain's RPC at `url`, which reads at `processed` where a call names no commitment.
pub(crate) fn client(url: String) -> RpcClient {
    let mut http = reqwest::Client::builder()
        .default_headers(HttpSender::default_headers())
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(REQUEST_TIMEOUT)
        .pool_idle_timeout(REQUEST_TIMEOUT);
    if is_loopback(&url) {
        http = http.no_proxy();
    }
    // Fails only where TLS cannot be set up at all: then as `reqwest::Client::new` does.
    let http = ClientBuilder::new(http.build().unwrap_or_default())
        .with(Bounded)
        .build();
    RpcClient::new_sender(
        Timed(HttpSender::new_with_client_with_middleware(url, http)),
        RpcClientConfig::with_commitment(CommitmentConfig::processed()),
    )
}

/// Whether a URL leads to this machine.
fn is_loopback(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else {
        return false;
    };
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match host.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_told_by_its_host() {
        for url in [
            "http://127.0.0.1:8899",
            "http://127.8.0.1",
            "http://localhost:1/x",
            "http://[::1]:8899",
            "https://chain.localhost",
        ] {
            assert!(is_loopback(url), "{url}");
        }
        for url in [
            "https://api.example.com",
            "http://10.0.0.1:8899",
            "http://localhost.example.com",
            "http://127.0.0.1.example.com",
            "nonsense",
        ] {
            assert!(!is_loopback(url), "{url}");
        }
    }
}
