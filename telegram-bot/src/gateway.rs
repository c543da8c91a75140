//! The gateway's public API, as far as the bot uses it. What it sends is bounded and read leniently.

use std::time::Duration;

use futures::{Stream, StreamExt as _};
use mythic_wire::{
    Evidence, Origin,
    signed::{self, purpose},
    sse::SseParser,
};
use reqwest::{RequestBuilder, Response};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;

/// Longest silence of a gateway: an answer's headers wait for a validator.
const SILENCE: Duration = Duration::from_secs(90);
/// Longest wait for what does not stream.
const PATIENCE: Duration = Duration::from_secs(30);
/// Most bytes of a JSON answer, and of an event of a stream.
const BYTES: usize = 4 << 20;
/// Most bytes of evidence.
const EVIDENCE_BYTES: usize = 32 << 20;
/// Most characters of what it says of an error.
const WORDS: usize = 500;
/// Most bytes of a whole answer's text.
const ANSWER_BYTES: usize = 1 << 20;

/// What a question would cost, and what its request is made of.
#[derive(Debug, Clone, Deserialize)]
pub struct Estimate {
    pub model: String,
    pub prompt_tokens: u32,
    pub max_output_tokens: u32,
    pub estimated_cost_lamports: u64,
    pub ceiling_cost_lamports: u64,
    pub price_in_lamports_per_1k: u32,
    pub price_out_lamports_per_1k: u32,
    pub terms: Terms,
}

/// What a request is made of.
#[derive(Debug, Clone, Deserialize)]
pub struct Terms {
    pub model: String,
    pub canceller: String,
    pub salt: String,
    pub prompt_hash: String,
    pub sampling_profile: u8,
    pub options_hash: String,
    pub temperature_milli: u16,
    pub prompt_source: String,
    pub deadline_slots: u32,
    pub rules_hash: String,
    pub validator: Option<String>,
    pub operator: Option<String>,
}

/// A model.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Model {
    pub id: String,
    #[serde(default)]
    pub is_default: bool,
    pub price_in_lamports_per_1k: Option<u64>,
    pub price_out_lamports_per_1k: Option<u64>,
    pub validators: Option<u64>,
}

/// What the index knows of a job.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct JobView {
    pub status: String,
    pub fee_lamports: Option<u64>,
    pub refunded_lamports: Option<u64>,
    pub validator_lamports: Option<u64>,
    pub burned_lamports: Option<u64>,
    pub slashed_lamports: Option<u64>,
    pub output_tokens: Option<u64>,
    pub window_end_slot: Option<u64>,
    pub validator: Option<String>,
}

#[derive(Deserialize)]
struct Page<T> {
    data: Vec<T>,
}

/// What went wrong between the bot and the gateway.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct GatewayError {
    /// `None` where nobody answered.
    pub status: Option<u16>,
    pub code: String,
    /// For people.
    pub message: String,
    /// The job that exists already.
    pub job: Option<String>,
    pub retry_after: Option<Duration>,
}

impl GatewayError {
    /// Nobody answered, or not as it should.
    pub fn away(message: impl Into<String>) -> Self {
        Self {
            status: None,
            code: "away".into(),
            message: message.into(),
            job: None,
            retry_after: None,
        }
    }

    /// The innermost cause: what lies around it names the URL.
    fn of(error: &reqwest::Error) -> Self {
        let mut cause = std::error::Error::source(error);
        while let Some(inner) = cause.and_then(|cause| cause.source()) {
            cause = Some(inner);
        }
        let cause = cause.map_or("the request failed".to_owned(), |cause| cause.to_string());
        Self::away(format!("the gateway does not answer ({cause})"))
    }

    /// Whether the same may be sent again later: nothing is known to have gone wrong for good.
    pub fn may_pass(&self) -> bool {
        self.job.is_none()
            && self.code != "transaction_used"
            && matches!(self.status, None | Some(408 | 409 | 429 | 500..))
    }
}

/// A step of an answer that streams.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// More text.
    Text(String),
    /// What it cost, and who answered.
    Receipt {
        cost: u64,
        validator: Option<String>,
        unconfirmed: bool,
    },
    /// It is whole.
    Done,
}

/// A client of one gateway. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Gateway {
    base: String,
    /// As people know it: what is signed for it names this address.
    public: String,
    http: reqwest::Client,
}

impl Gateway {
    /// A client of the gateway at a URL, with or without `/v1`, which people know by another one.
    pub fn new(base: &str, public: &str) -> reqwest::Result<Self> {
        let bare = |url: &str| url.trim_end_matches('/').trim_end_matches("/v1").to_owned();
        Ok(Self {
            base: bare(base),
            public: bare(public),
            http: mythic_http::client::builder()
                .read_timeout(SILENCE)
                .redirect(reqwest::redirect::Policy::none())
                .build()?,
        })
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    async fn json<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        most: usize,
    ) -> Result<T, GatewayError> {
        let response = request
            .timeout(PATIENCE)
            .send()
            .await
            .map_err(|error| GatewayError::of(&error))?;
        let response = accepted(response).await?;
        let bytes = body(response, most).await?;
        serde_json::from_slice(&bytes).map_err(|error| {
            GatewayError::away(format!("the gateway's answer can't be read: {error}"))
        })
    }

    /// What a question would cost.
    pub async fn estimate(&self, ask: &Question<'_>) -> Result<Estimate, GatewayError> {
        let request = self.http.post(self.url("/v1/estimate")).json(&ask.body());
        self.json(request, BYTES).await
    }

    /// The models that are served here.
    pub async fn models(&self) -> Result<Vec<Model>, GatewayError> {
        let request = self
            .http
            .get(self.url("/v1/models"))
            .header("accept", "application/json");
        Ok(self.json::<Page<Model>>(request, BYTES).await?.data)
    }

    /// What the index knows of a job.
    pub async fn job(&self, job: &str) -> Result<JobView, GatewayError> {
        let request = self.http.get(self.url(&format!("/v1/jobs/{job}")));
        self.json(request, BYTES).await
    }

    /// What proves an answer, asked for by the delegate that requested it.
    pub async fn evidence(
        &self,
        job: &Pubkey,
        delegate: &Keypair,
    ) -> Result<Evidence, GatewayError> {
        let path = format!("/v1/jobs/{job}/evidence");
        let origin =
            Origin::parse(&self.public).map_err(|error| GatewayError::away(error.to_string()))?;
        let to_sign = signed::Request {
            origin: &origin,
            method: "GET",
            path: &path,
            purpose: &purpose::evidence(job),
            body: b"",
        };
        let mut request = self.http.get(self.url(&path));
        for (name, value) in signed::sign(&to_sign, delegate) {
            request = request.header(name, value);
        }
        self.json(request, EVIDENCE_BYTES).await
    }

    /// Sends a question with its payment, or again under the same key; its answer as it comes.
    pub async fn chat(
        &self,
        body: String,
        key: &str,
    ) -> Result<impl Stream<Item = Result<Step, GatewayError>> + Unpin + Send + use<>, GatewayError>
    {
        let sent = self
            .http
            .post(self.url("/v1/chat/completions"))
            .header("content-type", "application/json")
            .header("idempotency-key", key)
            .body(body)
            .send()
            .await
            .map_err(|error| GatewayError::of(&error))?;
        Ok(Box::pin(steps(accepted(sent).await?)))
    }
}

/// A question as the gateway is asked it.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    pub model: Option<&'a str>,
    pub prompt: &'a str,
    pub max_tokens: u32,
}

impl Question<'_> {
    /// The part that the estimate and the request have in common: what is estimated is what is paid.
    fn body(&self) -> Value {
        let mut body = json!({
            "messages": [{"role": "user", "content": self.prompt}],
            "max_tokens": self.max_tokens,
        });
        if let Some(model) = self.model {
            body["model"] = model.into();
        }
        body
    }

    /// The request with its payment, as it is stored and sent.
    pub fn paid(&self, transaction: &str, salt: &str) -> String {
        let mut body = self.body();
        body["stream"] = true.into();
        body["mythic"] = json!({"transaction": transaction, "salt": salt});
        body.to_string()
    }
}

/// A response of 2xx; everything else in the gateway's own words.
async fn accepted(response: Response) -> Result<Response, GatewayError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let wait = response.headers().get("retry-after");
    let wait = wait.and_then(|value| value.to_str().ok()?.parse().ok());
    let bytes = body(response, BYTES).await.unwrap_or_default();
    let told: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    Err(refused(&told, Some(status.as_u16()), wait))
}

fn refused(told: &Value, status: Option<u16>, wait: Option<u64>) -> GatewayError {
    let error = &told["error"];
    let word = |name: &str| {
        let text = error[name].as_str()?;
        Some(text.chars().take(WORDS).collect::<String>())
    };
    let nothing = || match status {
        Some(status) => format!("the gateway answers {status}"),
        None => "the gateway broke the answer off".into(),
    };
    GatewayError {
        status,
        code: word("code").unwrap_or_default(),
        message: word("message").unwrap_or_else(nothing),
        job: word("job_id"),
        retry_after: wait.map(|seconds| Duration::from_secs(seconds.min(60))),
    }
}

async fn body(response: Response, most: usize) -> Result<Vec<u8>, GatewayError> {
    let mut bytes = Vec::new();
    let mut parts = response.bytes_stream();
    while let Some(part) = parts.next().await {
        let part = part.map_err(|error| GatewayError::of(&error))?;
        if bytes.len() + part.len() > most {
            return Err(GatewayError::away("the gateway's answer is too long"));
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

/// The steps of a `text/event-stream`. One that ends without `[DONE]` ends with an error.
fn steps(response: Response) -> impl Stream<Item = Result<Step, GatewayError>> + Send {
    let state = Streaming {
        parts: Box::pin(response.bytes_stream()),
        parser: SseParser::new(BYTES),
        ready: std::collections::VecDeque::new(),
        length: 0,
        is_over: false,
    };
    futures::stream::unfold(state, |mut state| async move {
        let step = state.next().await?;
        Some((step, state))
    })
}

type Parts = std::pin::Pin<Box<dyn Stream<Item = reqwest::Result<bytes::Bytes>> + Send>>;

struct Streaming {
    parts: Parts,
    parser: SseParser,
    ready: std::collections::VecDeque<Result<Step, GatewayError>>,
    /// Bytes of text so far.
    length: usize,
    is_over: bool,
}

impl Streaming {
    async fn next(&mut self) -> Option<Result<Step, GatewayError>> {
        loop {
            if let Some(step) = self.ready.pop_front() {
                self.is_over |= matches!(step, Ok(Step::Done) | Err(_));
                return Some(step);
            }
            if self.is_over {
                return None;
            }
            let events = match self.parts.next().await {
                None => Err(GatewayError::away("the gateway broke the answer off")),
                Some(Err(error)) => Err(GatewayError::of(&error)),
                Some(Ok(bytes)) => self.parser.push(&bytes).map_err(GatewayError::away),
            };
            match events {
                Ok(events) => {
                    for event in events {
                        self.take(&event.data);
                    }
                }
                Err(error) => self.ready.push_back(Err(error)),
            }
        }
    }

    fn take(&mut self, data: &str) {
        if data == "[DONE]" {
            self.ready.push_back(Ok(Step::Done));
            return;
        }
        let Ok(chunk) = serde_json::from_str::<Value>(data) else {
            let error = GatewayError::away("the gateway's stream can't be read");
            self.ready.push_back(Err(error));
            return;
        };
        if chunk["error"].is_object() {
            self.ready.push_back(Err(refused(&chunk, None, None)));
            return;
        }
        if let Some(text) = chunk["choices"][0]["delta"]["content"].as_str() {
            self.length += text.len();
            self.ready.push_back(match self.length <= ANSWER_BYTES {
                true => Ok(Step::Text(text.to_owned())),
                false => Err(GatewayError::away("the answer is too long")),
            });
        }
        let mythic = &chunk["mythic"];
        if let Some(cost) = mythic["cost_lamports"].as_u64() {
            self.ready.push_back(Ok(Step::Receipt {
                cost,
                validator: mythic["validator"].as_str().map(str::to_owned),
                unconfirmed: mythic["unconfirmed"].as_bool().unwrap_or(false),
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_estimated_is_what_is_paid() {
        let question = Question {
            model: Some("tiny"),
            prompt: "why?",
            max_tokens: 9,
        };
        let mut paid: Value = serde_json::from_str(&question.paid("AA==", "00")).unwrap();
        assert_eq!(paid["mythic"], json!({"transaction": "AA==", "salt": "00"}));
        let paid = paid.as_object_mut().unwrap();
        paid.remove("mythic");
        paid.remove("stream");
        assert_eq!(Value::Object(paid.clone()), question.body());
    }

    #[test]
    fn only_what_may_pass_is_sent_again() {
        let error = |status, code: &str, job: Option<&str>| {
            let told = json!({"error": {"code": code, "message": "m", "job_id": job}});
            refused(&told, status, Some(1_000))
        };
        assert!(error(Some(503), "no_validator", None).may_pass());
        assert!(error(Some(409), "request_in_progress", None).may_pass());
        assert!(error(None, "gateway_stopping", None).may_pass());
        assert!(!error(Some(409), "transaction_used", None).may_pass());
        assert!(!error(Some(502), "validator_failed", Some("J")).may_pass());
        assert!(!error(Some(400), "invalid_request", None).may_pass());
        let waits = error(Some(429), "x", None).retry_after;
        assert_eq!(
            waits,
            Some(Duration::from_secs(60)),
            "no longer than a minute"
        );
    }

    #[test]
    fn a_stream_ends_by_done_or_with_an_error() {
        let mut streaming = Streaming {
            parts: Box::pin(futures::stream::empty()),
            parser: SseParser::new(BYTES),
            ready: std::collections::VecDeque::new(),
            length: 0,
            is_over: false,
        };
        streaming.take(r#"{"choices":[{"delta":{"content":"a"}}]}"#);
        streaming
            .take(r#"{"choices":[{"delta":{}}],"mythic":{"cost_lamports":3,"validator":"V"}}"#);
        streaming.take(r#"{"choices":[],"mythic":null}"#);
        let said: Vec<_> = streaming.ready.drain(..).map(Result::unwrap).collect();
        let receipt = Step::Receipt {
            cost: 3,
            validator: Some("V".into()),
            unconfirmed: false,
        };
        assert_eq!(said, [Step::Text("a".into()), receipt]);
        for broken in [
            "{",
            r#"{"error":{"code":"gateway_stopping","message":"m"}}"#,
        ] {
            streaming.take(broken);
            assert!(streaming.ready.pop_front().unwrap().is_err());
        }
        let end = futures::executor::block_on(streaming.next());
        assert!(end.unwrap().is_err() && futures::executor::block_on(streaming.next()).is_none());
    }
}
