//! The leader, as its follower sees it: asked for blocks and state, and handed what only a leader can do.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};
use solana_keypair::Keypair;
use solana_signer::Signer;
use tokio::sync::Semaphore;

use super::wire::{Ask, MAX_ANSWER, PATH, Question, Secret, Told, VERSION};
use crate::config::DevnetConfig;

/// How long an answer may take, the leader's own wait for something new included.
const ANSWER: Duration = Duration::from_secs(30);
/// How long a call that is handed on may take.
const CALL: Duration = Duration::from_secs(10);
/// Calls handed on at the same time: those that only read never wait for a leader that hangs.
const CALLS: usize = 8;
/// Longest answer to a call that is handed on.
const MAX_CALL: usize = 1024 * 1024;

/// Why a leader was not heard.
#[derive(Debug, thiserror::Error)]
pub enum Unheard {
    #[error("the leader at {url} can't be reached: {reason}")]
    Away { url: String, reason: String },
    #[error("the leader at {url} answers {status}: {hint}")]
    Status {
        url: String,
        status: u16,
        hint: &'static str,
    },
    #[error("what answers at {url} does not know our secret, or is of another build")]
    Stranger { url: String },
}

/// Why a call that was handed on came to nothing.
#[derive(Debug)]
pub enum Refusal {
    /// The leader's own error: code, message, data.
    Answer(i64, String, Option<Value>),
    Away(String),
}

/// See the module's description.
pub struct Leader {
    url: String,
    http: reqwest::Client,
    secret: Secret,
    calls: Arc<Semaphore>,
}

impl Leader {
    /// The leader that a configuration names, if it names one.
    pub fn of(config: &DevnetConfig) -> anyhow::Result<Option<Arc<Self>>> {
        let (Some(url), Some(secret)) = (&config.follow, &config.follow_secret_file) else {
            return Ok(None);
        };
        let http = mythic_http::client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(ANSWER)
            .build()
            .context("a client of the leader")?;
        Ok(Some(Arc::new(Self {
            url: url.trim_end_matches('/').to_owned(),
            http,
            secret: Secret::read(secret)?,
            calls: Arc::new(Semaphore::new(CALLS)),
        })))
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Asks for what a follower of the chain `genesis` needs.
    pub async fn ask(&self, genesis: Option<[u8; 32]>, ask: Ask) -> Result<Told, Unheard> {
        let question = Question {
            version: VERSION,
            nonce: Keypair::new().pubkey().to_bytes(),
            genesis,
            ask,
        };
        let body = self.secret.ask(&question).map_err(|e| self.away(e))?;
        let request = self
            .http
            .post(format!("{}{PATH}", self.url))
            .header("content-type", "application/octet-stream")
            .body(body);
        let response = request.send().await.map_err(|e| self.away(e))?;
        let status = response.status().as_u16();
        if status != 200 {
            return Err(Unheard::Status {
                url: self.url.clone(),
                status,
                hint: match status {
                    401 => "its follow_secret_file has another secret, or its build is another one",
                    404 => {
                        "it has no follow_secret_file, follows another chain, or is no development chain"
                    }
                    _ => "it is busy, or something stands before it",
                },
            });
        }
        let bytes = self.bytes(response, MAX_ANSWER).await?;
        let told = self.secret.told(&question.nonce, &bytes);
        told.ok_or_else(|| Unheard::Stranger {
            url: self.url.clone(),
        })
    }

    /// Hands a JSON-RPC call on to the leader, and its answer back.
    pub async fn call(&self, method: &str, params: &[Value]) -> Result<Value, Refusal> {
        let away = |error: Unheard| Refusal::Away(error.to_string());
        let Ok(_place) = self.calls.clone().try_acquire_owned() else {
            return Err(Refusal::Away(
                "too many calls wait for the leader; try again".into(),
            ));
        };
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let request = self.http.post(&self.url).timeout(CALL).json(&body);
        let response = request.send().await.map_err(|e| away(self.away(e)))?;
        let bytes = self.bytes(response, MAX_CALL).await.map_err(away)?;
        let mut answer: Value = serde_json::from_slice(&bytes).map_err(|e| away(self.away(e)))?;
        match answer["error"].take() {
            Value::Null => Ok(answer["result"].take()),
            mut error => Err(Refusal::Answer(
                error["code"].as_i64().unwrap_or(-32603),
                error["message"].as_str().unwrap_or("no reason").to_owned(),
                Some(error["data"].take()).filter(|data| !data.is_null()),
            )),
        }
    }

    async fn bytes(
        &self,
        mut response: reqwest::Response,
        most: usize,
    ) -> Result<Vec<u8>, Unheard> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.away(e))? {
            if bytes.len() + chunk.len() > most {
                return Err(self.away(format!("an answer of more than {most} bytes")));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    fn away(&self, reason: impl std::fmt::Display) -> Unheard {
        Unheard::Away {
            url: self.url.clone(),
            reason: reason.to_string(),
        }
    }
}
