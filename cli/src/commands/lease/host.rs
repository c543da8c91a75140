//! A provider over HTTP, as its account says where it is: a stranger, whose answers are bounded and believed only where the chain agrees.

use crate::{
    context::Connection,
    dev::control,
    exit::{self, Exit},
};
use anyhow::{Context, Result, ensure};
use clap::Args;
use mythic_interface::{hash::access_hash, market::state::Lease};
use mythic_provider::{
    access::{Access, ContainerAccess},
    proof::opening::{MAX_OPENING, Opening},
    receipt::Receipt,
    source::{SPECS, name},
    spec::{Document, FLOOR_ANSWER, container::Unsealed},
};
use mythic_wire::{
    Origin, dial,
    signed::{self, purpose},
};
use reqwest::RequestBuilder;
use serde::Deserialize;
use serde_json::{Value, json};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use std::time::{Duration, Instant};

/// How long an answer may take; a completion is short here.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a stranger's answer may take, name and connection with it.
const STRANGERS_PATIENCE: Duration = Duration::from_secs(15);
/// Characters of a provider's reason that are told.
const REASON: usize = 200;
/// Tokens of the completion of a probe.
const TOKENS: u32 = 16;
/// What is asked where speed is measured, most tokens of the answer, and how often it is tried.
const COUNT: &str = "Count from one to five hundred in words, one number a line.";
const MOST_MEASURED: u32 = 1_024;
const TRIES: usize = 3;

/// Where a provider may be.
#[derive(Args, Debug, Clone, Copy, Default)]
pub struct Reach {
    /// Ask a provider at loopback and private addresses too: development networks only [default: of a `mythic dev` here]
    #[arg(long)]
    allow_loopback: bool,
}

impl Reach {
    /// Whether it may be at an address that is not public.
    pub fn is_private(self, connection: &Connection) -> bool {
        self.allow_loopback || is_of_dev(connection)
    }
}

/// A provider at its URL.
pub struct Host {
    endpoint: String,
    origin: Origin,
    http: reqwest::Client,
    patience: Duration,
    allow_loopback: bool,
}

/// What became of a request at its provider.
pub enum Word {
    /// It is on its way, or the provider has not seen it yet.
    Nothing,
    /// It is not taken now, for this reason.
    Waiting(String),
    /// It is not taken at all, for this reason.
    Declined(String),
}

/// How a lease is reached, by what it is of.
#[derive(Deserialize)]
#[serde(untagged)]
pub enum Reached {
    Container(ContainerAccess),
    Endpoint(Access),
}

/// A short answer, and whether its receipt is the operator's.
pub struct Said {
    pub text: String,
    pub tokens: u64,
}

/// Whether the chain is that of a `mythic dev` which runs in the data directory: everybody there has addresses of this machine. What one
/// that is gone left there says nothing: its port may be another chain's by now.
fn is_of_dev(connection: &Connection) -> bool {
    let (rpc, _) = connection.chain_urls();
    control::running(&connection.data_dir()).is_ok_and(|dev| dev.rpc_url == rpc)
}

/// Whether an answer says something of speed: the model may have ended it early, and of short ones nothing is promised.
fn is_telling(made: u64, asked: u32) -> bool {
    made >= u64::from((asked / 2).max(FLOOR_ANSWER))
}

/// No provider is reached at a URL.
fn none_at(url: &str, error: &anyhow::Error) -> anyhow::Error {
    Exit::error(exit::UNREACHABLE, format!("no provider at {url}: {error}"))
}

impl Host {
    /// A tenant's provider at the URL that it wrote on the chain itself: its name is resolved first, and connections go to public
    /// addresses alone unless `allow_loopback`.
    pub async fn of_lease(endpoint: &str, allow_loopback: bool) -> Result<Self> {
        let host = Self::of_stranger(endpoint, allow_loopback).await?;
        Ok(Self {
            patience: PATIENCE,
            ..host
        })
    }

    /// The same of a provider of whom nothing is wanted but what it published.
    pub async fn of_stranger(endpoint: &str, allow_loopback: bool) -> Result<Self> {
        let found = async {
            let origin = Origin::parse(endpoint)?;
            let http = dial::client(&origin, allow_loopback).await?;
            anyhow::Ok((origin, http))
        };
        let (origin, http) = found.await.map_err(|error| none_at(endpoint, &error))?;
        Ok(Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            origin,
            http,
            patience: STRANGERS_PATIENCE,
            allow_loopback,
        })
    }

    /// What asks at a base URL that the provider stated: another place than its own is checked as its own was.
    async fn client(&self, base_url: &str) -> Result<reqwest::Client> {
        let found = async {
            let origin = reqwest::Url::parse(base_url)?.origin();
            let origin = Origin::parse(&origin.ascii_serialization())?;
            match origin == self.origin {
                true => Ok(self.http.clone()),
                false => anyhow::Ok(dial::client(&origin, self.allow_loopback).await?),
            }
        };
        found.await.map_err(|error| none_at(base_url, &error))
    }

    async fn bytes(&self, request: RequestBuilder) -> Result<Vec<u8>> {
        let unreachable = |error: reqwest::Error| {
            Exit::error(
                exit::UNREACHABLE,
                format!(
                    "no provider at {}: {}",
                    self.endpoint,
                    crate::gateway::root(&error)
                ),
            )
        };
        let request = request.timeout(self.patience);
        let mut response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            ensure!(
                bytes.len() + chunk.len() <= MAX_OPENING,
                "the provider's answer is longer than {MAX_OPENING} bytes"
            );
            bytes.extend_from_slice(&chunk);
        }
        if !status.is_success() {
            let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
            let message = body["error"]["message"].as_str();
            let message: String = match message {
                Some(reason) => reason.chars().take(REASON).collect(),
                None => "no reason given".into(),
            };
            let code = match status.as_u16() {
                404 => exit::NOT_FOUND,
                _ => exit::FAILURE,
            };
            return Err(Exit::error(
                code,
                format!("the provider answers {}: {message}", status.as_u16()),
            ));
        }
        Ok(bytes)
    }

    /// Leaves a spec there; returns its URL, which the request names.
    pub async fn leave(&self, document: &Document) -> Result<String> {
        let url = format!("{}{SPECS}{}", self.endpoint, name(&document.hash()));
        let put = self.http.put(&url).body(document.to_bytes());
        self.bytes(put).await?;
        Ok(url)
    }

    /// Tells the values of a container's environment, signed by its tenant.
    pub async fn tell_environment(
        &self,
        wallet: &Keypair,
        lease: &Pubkey,
        values: &[Unsealed],
    ) -> Result<()> {
        let (path, body) = (
            format!("/v1/leases/{lease}/environment"),
            serde_json::to_vec(&json!({"values": values}))?,
        );
        let asked = signed::Request {
            origin: &self.origin,
            method: "PUT",
            path: &path,
            purpose: &purpose::environment(lease),
            body: &body,
        };
        let mut put = self.http.put(format!("{}{path}", self.endpoint));
        for (name, value) in signed::sign(&asked, wallet) {
            put = put.header(name, value);
        }
        self.bytes(put.body(body)).await.map(drop)
    }

    /// What became of a request there.
    pub async fn word(&self, request: &Pubkey) -> Word {
        let url = format!("{}/v1/requests/{request}", self.endpoint);
        let Ok(bytes) = self.bytes(self.http.get(url)).await else {
            return Word::Nothing;
        };
        let answer: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let reason = answer["reason"].as_str().unwrap_or("it gives no reason");
        match answer["status"].as_str() {
            Some("waiting") => Word::Waiting(reason.into()),
            Some("declined") => Word::Declined(reason.into()),
            _ => Word::Nothing,
        }
    }

    /// How an endpoint is reached, exactly as its start states.
    pub async fn access(&self, lease: &Pubkey, state: &Lease) -> Result<Access> {
        match self.reached(lease, state).await? {
            Reached::Endpoint(access) => Ok(access),
            Reached::Container(_) => Err(Exit::error(
                exit::USAGE,
                format!("lease {lease} is of a container: `mythic lease ssh {lease}` enters it"),
            )),
        }
    }

    /// How a container is reached, exactly as its start states.
    pub async fn container(&self, lease: &Pubkey, state: &Lease) -> Result<ContainerAccess> {
        match self.reached(lease, state).await? {
            Reached::Container(access) => Ok(access),
            Reached::Endpoint(_) => Err(Exit::error(
                exit::USAGE,
                format!("lease {lease} is of an endpoint and not of a container"),
            )),
        }
    }

    /// How a lease is reached, whatever it is of.
    pub async fn reached(&self, lease: &Pubkey, state: &Lease) -> Result<Reached> {
        let url = format!("{}/v1/leases/{lease}/access", self.endpoint);
        let bytes = self.bytes(self.http.get(url)).await?;
        if access_hash(&bytes) != state.access_hash {
            return Err(Exit::error(
                exit::CHECK_FAILED,
                "what the provider gives you to reach the lease is not what it stated on chain: do not acknowledge it, close it",
            ));
        }
        serde_json::from_slice(&bytes).context("what the provider gives you can't be read")
    }

    /// The models that a key may use, which must be one.
    pub async fn model(&self, access: &Access, key: &str) -> Result<String> {
        let url = format!("{}/models", access.base_url);
        let http = self.client(&access.base_url).await?;
        let bytes = self.bytes(http.get(url).bearer_auth(key)).await?;
        let models: Value = serde_json::from_slice(&bytes)?;
        let id = models["data"][0]["id"].as_str().unwrap_or_default();
        ensure!(
            id == access.model,
            "the lease is of {}, and the provider serves {id:?}",
            access.model
        );
        Ok(id.to_owned())
    }

    /// A short answer under a key, whose receipt the operator on chain must have signed.
    pub async fn chat(
        &self,
        access: &Access,
        (lease, operator): (&Pubkey, &Pubkey),
        key: &str,
        question: &str,
    ) -> Result<Said> {
        let about = (lease, operator);
        self.answer(access, about, key, (question, TOKENS)).await
    }

    /// Tokens a second of one answer, from the request to its end: the best of a few tries, or the first that reaches a floor. `None` if
    /// all answers were too short to tell.
    pub async fn speed(
        &self,
        access: &Access,
        (lease, operator): (&Pubkey, &Pubkey),
        key: &str,
        floor: u32,
    ) -> Result<Option<f64>> {
        // What takes two seconds at the floor: the way there and back is a small part of it.
        let tokens = floor.saturating_mul(2).clamp(FLOOR_ANSWER, MOST_MEASURED);
        let mut best: Option<f64> = None;
        for _ in 0..TRIES {
            let (about, started) = ((lease, operator), Instant::now());
            let said = self.answer(access, about, key, (COUNT, tokens)).await?;
            // The provider's own count: no more than were asked for, nor than the text can hold.
            let most = u64::from(tokens).min(said.text.len() as u64);
            let made = said.tokens.min(most);
            if !is_telling(made, tokens) {
                continue;
            }
            let speed = made as f64 / started.elapsed().as_secs_f64();
            best = Some(best.map_or(speed, |best| best.max(speed)));
            if speed >= f64::from(floor) {
                break;
            }
        }
        Ok(best)
    }

    async fn answer(
        &self,
        access: &Access,
        (lease, operator): (&Pubkey, &Pubkey),
        key: &str,
        (question, tokens): (&str, u32),
    ) -> Result<Said> {
        let body = serde_json::to_vec(&json!({
            "model": access.model,
            "messages": [{"role": "user", "content": question}],
            "max_completion_tokens": tokens,
            "temperature": 0,
        }))?;
        let url = format!("{}/chat/completions", access.base_url);
        let http = self.client(&access.base_url).await?;
        let ask = http.post(url).bearer_auth(key).body(body.clone());
        let bytes = self.bytes(ask).await?;
        let answer: Value = serde_json::from_slice(&bytes)?;
        let text = answer["choices"][0]["message"]["content"].as_str();
        let text = text.context("the answer has no text")?.to_owned();
        let receipt: Receipt = serde_json::from_value(answer["mythic"]["receipt"].clone())
            .context("the answer has no receipt")?;
        if !receipt.holds(operator, lease, &body, &text) {
            return Err(Exit::error(
                exit::CHECK_FAILED,
                "the receipt is not signed by the provider's operator, or is about another answer",
            ));
        }
        Ok(Said {
            text,
            tokens: receipt.completion_tokens,
        })
    }

    /// What is published of an epoch's proof; `None` where nothing is yet.
    pub async fn opening(&self, lease: &Pubkey, epoch: u64) -> Result<Option<Opening>> {
        let url = format!("{}/v1/leases/{lease}/proof/{epoch}", self.endpoint);
        match self.bytes(self.http.get(url)).await {
            Ok(bytes) => {
                let opening = serde_json::from_slice(&bytes);
                Ok(Some(
                    opening.context("what is published of the proof can't be read")?,
                ))
            }
            Err(error) if exit::code(&error) == exit::NOT_FOUND => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn neither_a_provider_nor_what_it_states_is_asked_at_a_private_address() {
        for endpoint in ["http://127.0.0.1:1", "http://10.1.2.3", "http://[::1]"] {
            let refused = Host::of_lease(endpoint, false).await.err();
            let refused = refused.expect(endpoint).to_string();
            assert!(refused.contains("not a public address"), "{refused}");
        }
        let host = Host::of_lease("http://8.8.8.8", false).await.unwrap();
        for base_url in [
            "http://127.0.0.1:1/v1",
            "http://8.8.8.8:1@127.0.0.1:1/v1",
            "http://169.254.169.254/latest",
            "http://[::ffff:10.0.0.1]/v1",
        ] {
            let access = Access {
                lease: String::new(),
                base_url: base_url.into(),
                model: "m@0".into(),
                max_concurrent: 1,
                operator: String::new(),
                min_tokens_per_second: None,
            };
            let refused = host.model(&access, "key").await.unwrap_err().to_string();
            assert!(refused.contains("not a public address"), "{refused}");
            let asked = (&Pubkey::default(), &Pubkey::default());
            let refused = host.chat(&access, asked, "key", "Hi").await.err();
            let refused = refused.expect(base_url).to_string();
            assert!(refused.contains("not a public address"), "{refused}");
        }
        assert!(host.client("file:///etc/passwd").await.is_err());
        assert!(host.client("http://8.8.8.8/v1").await.is_ok());
    }

    #[test]
    fn an_answer_that_ends_early_says_nothing_of_speed() {
        for (made, asked, told) in [
            (u64::from(FLOOR_ANSWER), FLOOR_ANSWER, true),
            (u64::from(FLOOR_ANSWER) - 1, FLOOR_ANSWER, false),
            (512, MOST_MEASURED, true),
            (511, MOST_MEASURED, false),
        ] {
            assert_eq!(is_telling(made, asked), told, "{made} of {asked}");
        }
    }
}
