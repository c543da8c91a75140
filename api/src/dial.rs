//! Requests to validators, whose endpoints are hostile: outside a development network no private address is dialled,
//! redirects are not followed, answers are bounded.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream::BoxStream};
use mythic_wire::dial as outbound;
use mythic_wire::{self as wire, ErrorBody, Evidence, InferenceRequest, MAX_BODY, NodeEvent};
use parking_lot::Mutex;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;

/// How long a resolved name is kept.
const CLIENT_LIFE: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
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
    clients: Mutex<HashMap<String, (Instant, reqwest::Client)>>,
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
    async fn client(&self, url: &reqwest::Url) -> Result<reqwest::Client, DialError> {
        let origin = url.origin().ascii_serialization();
        if let Some((at, client)) = self.clients.lock().get(&origin)
            && at.elapsed() < CLIENT_LIFE
        {
            return Ok(client.clone());
        }
        let (host, addresses) = outbound::resolve(url, self.dev)
            .await
            .map_err(|error| DialError::Failed(error.to_string()))?;
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(CLIENT_LIFE)
            .resolve_to_addrs(&host, &addresses)
            .build()
            .map_err(|error| DialError::Failed(error.to_string()))?;
        let mut clients = self.clients.lock();
        if clients.len() >= CLIENTS {
            clients.clear();
        }
        clients.insert(origin, (Instant::now(), client.clone()));
        Ok(client)
    }

    /// Gives a validator a prompt and the transaction to co-sign; its events follow, in at most `budget` bytes.
    pub async fn infer(
        &self,
        endpoint: &str,
        request: &InferenceRequest,
        budget: usize,
    ) -> Result<BoxStream<'static, Result<NodeEvent, DialError>>, DialError> {
        let failed = |error: reqwest::Error| DialError::Failed(error.without_url().to_string());
        let url = reqwest::Url::parse(&format!("{endpoint}/v1/inference"))
            .map_err(|error| DialError::Failed(format!("endpoint: {error}")))?;
        let client = self.client(&url).await?;
        let response = client
            .post(url)
            .json(request)
            .send()
            .await
            .map_err(failed)?;
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
        let mut parser = SseData::default();
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
                Ok(bytes) => match {
                    left -= bytes.len();
                    parser.push(&bytes)
                } {
                    Err(reason) => vec![Err(DialError::Failed(reason.into()))],
                    Ok(list) => list
                        .into_iter()
                        .map(|data| {
                            serde_json::from_str(&data).map_err(|error| {
                                DialError::Failed(format!("unreadable event: {error}"))
                            })
                        })
                        .collect(),
                },
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
        let url = reqwest::Url::parse(&format!("{endpoint}/v1/jobs/{job}/evidence"))
            .map_err(|error| DialError::Failed(format!("endpoint: {error}")))?;
        let client = self.client(&url).await?;
        let mut request = client.get(url.clone()).timeout(Duration::from_secs(20));
        for (name, value) in wire::sign("GET", url.path(), b"", requester) {
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

/// Takes the `data:` of server-sent events out of bytes, however they are cut; an event is at most [`MAX_BODY`] long.
#[derive(Debug, Default)]
pub struct SseData {
    line: Vec<u8>,
    data: Option<String>,
}

impl SseData {
    /// Takes the next bytes and gives the events that are whole.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<String>, &'static str> {
        let mut out = Vec::new();
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (head, tail) = rest.split_at(end);
            self.line.extend_from_slice(head);
            rest = tail.get(1..).unwrap_or(&[]);
            let line = std::mem::take(&mut self.line);
            let text = std::str::from_utf8(&line).map_err(|_| "an event is not UTF-8")?;
            let text = text.strip_suffix('\r').unwrap_or(text);
            if text.is_empty() {
                out.extend(self.data.take());
            } else if let Some(value) = text.strip_prefix("data:") {
                let value = value.strip_prefix(' ').unwrap_or(value);
                match &mut self.data {
                    Some(data) => {
                        data.push('\n');
                        data.push_str(value);
                    }
                    None => self.data = Some(value.to_owned()),
                }
            }
            self.check()?;
        }
        self.line.extend_from_slice(rest);
        self.check()?;
        Ok(out)
    }

    fn check(&self) -> Result<(), &'static str> {
        if self.line.len() + self.data.as_ref().map_or(0, String::len) > MAX_BODY {
            return Err("an event is too long");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_the_same_however_the_bytes_are_cut() {
        let text =
            ": ping\r\n\nevent: x\ndata: {\"a\":\ndata: 1}\n\ndata:é\r\n\r\ndata: half".as_bytes();
        let whole = SseData::default().push(text).unwrap();
        assert_eq!(whole, ["{\"a\":\n1}", "é"]);
        for size in 1..text.len() {
            let mut parser = SseData::default();
            let parts: Vec<String> = text
                .chunks(size)
                .flat_map(|chunk| parser.push(chunk).unwrap())
                .collect();
            assert_eq!(parts, whole, "{size}");
        }
    }

    #[test]
    fn an_endless_event_ends_the_stream() {
        let mut parser = SseData::default();
        assert!(parser.push(&vec![b'a'; MAX_BODY + 1]).is_err());
    }

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
