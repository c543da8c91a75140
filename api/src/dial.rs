//! Requests to validators, whose endpoints are hostile: outside a development network no private address is dialled,
//! redirects are not followed, answers are bounded.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream::BoxStream};
use mythic_http::Trace;
use mythic_wire::{
    ErrorBody, Evidence, InferenceRequest, MAX_BODY, NodeEvent, Origin, dial,
    signed::{self, purpose},
    sse::SseParser,
};
use parking_lot::Mutex;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;

/// How long a resolved name is kept.
const CLIENT_LIFE: Duration = Duration::from_secs(60);
/// Clients kept at most.
const CLIENTS: usize = 1024;

/// Why a validator did not take a job.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DialError {
    /// It said no, in order.
    #[error("declined: {message} ({code})")]
    Declined {
        /// Its word for it.
        code: String,
        /// For people.
        message: String,
    },
    /// It did not answer as a validator does.
    #[error("failed: {0}")]
    Failed(String),
}

/// Dials validators.
pub struct Dialer {
    dev: bool,
    clients: Mutex<HashMap<Origin, (Instant, reqwest::Client)>>,
}

impl Dialer {
    /// `dev` allows loopback and private addresses.
    pub fn new(dev: bool) -> Self {
        Self {
            dev,
            clients: Mutex::default(),
        }
    }

    /// A client whose connections go to the addresses that were checked, and nowhere else.
    async fn client(&self, origin: &Origin) -> Result<reqwest::Client, DialError> {
        if let Some((at, client)) = self.clients.lock().get(origin)
            && at.elapsed() < CLIENT_LIFE
        {
            return Ok(client.clone());
        }
        let client = dial::client(origin, self.dev)
            .await
            .map_err(|error| DialError::Failed(error.to_string()))?;
        let mut clients = self.clients.lock();
        if clients.len() >= CLIENTS {
            clients.clear();
        }
        clients.insert(origin.clone(), (Instant::now(), client.clone()));
        Ok(client)
    }

    /// Gives a validator a prompt and the transaction to co-sign, and under what the request is logged; its events follow, in at
    /// most `budget` bytes.
    pub async fn infer(
        &self,
        endpoint: &str,
        request: &InferenceRequest,
        trace: &Trace,
        budget: usize,
    ) -> Result<BoxStream<'static, Result<NodeEvent, DialError>>, DialError> {
        let failed = |error: reqwest::Error| DialError::Failed(error.without_url().to_string());
        let origin = parse(endpoint)?;
        let client = self.client(&origin).await?;
        let mut post = client.post(origin.at("/v1/inference")).json(request);
        for (name, value) in trace.headers() {
            post = post.header(name, value.as_ref());
        }
        let response = post.send().await.map_err(failed)?;
        let status = response.status();
        if !status.is_success() {
            let body = bounded(response, 64 << 10).await?;
            return Err(match serde_json::from_slice::<ErrorBody>(&body) {
                Ok(body) if status.is_client_error() || status.as_u16() == 503 => {
                    DialError::Declined {
                        code: body.error.code.unwrap_or_else(|| "declined".into()),
                        message: body.error.message.chars().take(500).collect(),
                    }
                }
                _ => DialError::Failed(format!("status {status}")),
            });
        }
        let mut parser = SseParser::new(MAX_BODY);
        let mut left = budget;
        let events = response.bytes_stream().flat_map(move |chunk| {
            let items: Vec<Result<NodeEvent, DialError>> = match chunk {
                Err(error) => vec![Err(DialError::Failed(error.without_url().to_string()))],
                Ok(bytes) if bytes.len() > left => {
                    left = 0;
                    vec![Err(DialError::Failed(
                        "its stream is longer than its answer can be".into(),
                    ))]
                }
                Ok(bytes) => {
                    left -= bytes.len();
                    match parser.push(&bytes) {
                        Err(reason) => vec![Err(DialError::Failed(reason.into()))],
                        Ok(list) => list
                            .into_iter()
                            .map(|event| {
                                serde_json::from_str(&event.data).map_err(|error| {
                                    DialError::Failed(format!("unreadable event: {error}"))
                                })
                            })
                            .collect(),
                    }
                }
            };
            futures::stream::iter(items)
        });
        Ok(events.boxed())
    }

    /// Fetches the evidence of a job as its requester.
    pub async fn evidence(
        &self,
        endpoint: &str,
        job: &Pubkey,
        requester: &Keypair,
    ) -> Result<Evidence, DialError> {
        let failed = |error: reqwest::Error| DialError::Failed(error.without_url().to_string());
        let origin = parse(endpoint)?;
        let client = self.client(&origin).await?;
        let path = format!("/v1/jobs/{job}/evidence");
        let signed = signed::Request {
            origin: &origin,
            method: "GET",
            path: &path,
            purpose: &purpose::evidence(job),
            body: b"",
        };
        let mut request = client
            .get(origin.at(&path))
            .timeout(Duration::from_secs(20));
        for (name, value) in signed::sign(&signed, requester) {
            request = request.header(name, value);
        }
        let response = request.send().await.map_err(failed)?;
        let status = response.status();
        let body = bounded(response, MAX_BODY).await?;
        if !status.is_success() {
            return Err(DialError::Failed(format!("status {status}")));
        }
        serde_json::from_slice(&body)
            .map_err(|error| DialError::Failed(format!("unreadable evidence: {error}")))
    }
}

fn parse(endpoint: &str) -> Result<Origin, DialError> {
    Origin::parse(endpoint).map_err(|error| DialError::Failed(format!("endpoint: {error}")))
}

async fn bounded(response: reqwest::Response, limit: usize) -> Result<Vec<u8>, DialError> {
    let mut bytes = Vec::new();
    let mut stream = response.bytes_stream();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| DialError::Failed(error.without_url().to_string()))?;
        if bytes.len() + chunk.len() > limit {
            return Err(DialError::Failed(format!(
                "answer is longer than {limit} bytes"
            )));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_private_endpoint_is_not_dialled_outside_a_development_network() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let error = Dialer::new(false)
            .evidence(&endpoint, &Pubkey::default(), &Keypair::new())
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("not a public address"),
            "{error}"
        );
        for hostile in [
            "http://[::1]:1",
            "http://169.254.169.254",
            "http://10.0.0.1",
            "http://localhost",
            "file:///etc",
            "http://8.8.8.8/v1/jobs/J/evidence#",
        ] {
            assert!(
                Dialer::new(false)
                    .evidence(hostile, &Pubkey::default(), &Keypair::new())
                    .await
                    .is_err(),
                "{hostile}"
            );
        }
    }
}
