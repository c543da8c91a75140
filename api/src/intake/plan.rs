//! From a chat request to what a job would be: the prompt's tokens, limits, prices. And the models that this gateway serves.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use axum::http::StatusCode;
use mythic_client::pda;
use mythic_interface::{
    hash, money,
    params::MAX_OUTPUT_TOKENS,
    state::{Config, ConfigStatus, Model, ModelStatus},
};
use mythic_model::prompt::{Message, PromptError, PromptFormatter};
use parking_lot::Mutex;
use solana_pubkey::Pubkey;

use crate::{
    chain::{Chain, errors::chain_error},
    config::{GatewayConfig, ModelConfig},
    error::{ApiError, ApiResult},
    http::Edge,
    intake::{
        history::ChatMessage,
        openai::{ChatRequest, DEFAULT_MAX_TOKENS},
    },
};

/// How long prices and rules are believed before they are read again.
const CHAIN_LIFE: Duration = Duration::from_secs(20);
/// Prompt tokens that make a prefix, for affinity.
const PREFIX_TOKENS: usize = 64;
/// Bytes of text that a token of the context may take on average.
const TOKEN_BYTES: usize = 16;

/// A model that this gateway serves.
pub struct Served {
    /// Name by configuration.
    pub name: String,
    /// Identity on chain.
    pub identity: [u8; 32],
    /// Address of the Model account.
    pub address: Pubkey,
    /// `name@` and 8 hex digits of the identity.
    pub id: String,
    /// Tokenizer and template.
    pub formatter: PromptFormatter,
}

impl Served {
    /// Reads tokenizer and template out of the model's file.
    pub fn open(config: &ModelConfig) -> anyhow::Result<Self> {
        let identity = mythic_wire::parse_hex32(&config.identity).context("model identity")?;
        let formatter = PromptFormatter::from_gguf(&config.gguf)
            .and_then(|formatter| formatter.check_template().map(|()| formatter))
            .with_context(|| format!("model {}: reading {}", config.name, config.gguf.display()))?;
        Ok(Self {
            name: config.name.clone(),
            identity,
            address: pda::model(&identity),
            id: mythic_wire::openai::model_id(&config.name, &identity),
            formatter,
        })
    }
}

/// All models of this gateway, with what the chain says of them.
pub struct Catalogue {
    source: Arc<Chain>,
    models: Vec<Arc<Served>>,
    chain: Mutex<HashMap<Pubkey, (Instant, Model)>>,
    rules: Mutex<Option<(Instant, Config)>>,
}

impl Catalogue {
    /// A catalogue of these models.
    pub fn new(models: Vec<Served>, source: Arc<Chain>) -> Self {
        Self {
            source,
            models: models.into_iter().map(Arc::new).collect(),
            chain: Mutex::default(),
            rules: Mutex::default(),
        }
    }

    /// All models.
    pub fn all(&self) -> &[Arc<Served>] {
        &self.models
    }

    /// The model that a client names: by `name@` 8 hex digits, or by a configured name, whose first bearer it means.
    pub fn find(&self, name: &str) -> ApiResult<Arc<Served>> {
        self.models
            .iter()
            .find(|model| model.name == name || model.id == name)
            .cloned()
            .ok_or_else(|| {
                let known: Vec<&str> = self.models.iter().map(|model| model.id.as_str()).collect();
                ApiError::not_found(
                    "model_not_found",
                    format!(
                        "no model {name:?} here; this gateway serves: {}",
                        known.join(", ")
                    ),
                )
                .param("model")
            })
    }

    /// The model of requests that name none: the only one, under whatever identities it is known.
    pub fn default_model(&self) -> Option<&Arc<Served>> {
        let first = self.models.first()?;
        let is_only = self.models.iter().all(|model| model.name == first.name);
        is_only.then_some(first)
    }

    /// The model that a request is for.
    pub fn wanted(&self, name: Option<&str>) -> ApiResult<Arc<Served>> {
        match name {
            Some(name) => self.find(name),
            None => self.default_model().cloned().ok_or_else(|| {
                ApiError::invalid(
                    "model",
                    "model must name a model: this gateway serves several; GET /v1/models lists them",
                )
            }),
        }
    }

    /// The model at an address, if it is served.
    pub fn at(&self, address: &Pubkey) -> Option<&Arc<Served>> {
        self.models.iter().find(|model| model.address == *address)
    }

    /// The Model account, at most 20 seconds old.
    pub async fn on_chain(&self, model: &Served) -> ApiResult<Model> {
        if let Some((at, account)) = self.chain.lock().get(&model.address)
            && at.elapsed() < CHAIN_LIFE
        {
            return Ok(*account);
        }
        let found = self
            .source
            .client
            .account::<Model>(&model.address)
            .await
            .map_err(chain_error)?;
        let Some((_, account)) = found else {
            return Err(ApiError::unavailable(
                "model_not_registered",
                format!("model {} is not registered on this chain yet", model.id),
            ));
        };
        self.chain
            .lock()
            .insert(model.address, (Instant::now(), account));
        Ok(account)
    }

    /// The network's configuration, at most 20 seconds old.
    pub async fn rules(&self) -> ApiResult<Config> {
        if let Some((at, config)) = *self.rules.lock()
            && at.elapsed() < CHAIN_LIFE
        {
            return Ok(config);
        }
        let found = self
            .source
            .client
            .account::<Config>(&pda::config())
            .await
            .map_err(chain_error)?;
        let Some((_, config)) = found else {
            return Err(ApiError::unavailable(
                "chain_not_initialised",
                "the program is not initialised on this chain yet",
            ));
        };
        *self.rules.lock() = Some((Instant::now(), config));
        Ok(config)
    }

    /// Something changed: read it again next time.
    pub fn forget(&self) {
        self.chain.lock().clear();
        *self.rules.lock() = None;
    }
}

/// What a request comes to.
pub struct Plan {
    /// The model.
    pub model: Arc<Served>,
    /// Token ids as the model sees them.
    pub prompt_ids: Vec<u32>,
    /// Their number.
    pub prompt_tokens: u32,
    /// Most tokens of the answer.
    pub max_output_tokens: u32,
    /// Lamports per 1,000 prompt tokens.
    pub price_in: u32,
    /// Lamports per 1,000 output tokens.
    pub price_out: u32,
    /// Most lamports of one job.
    pub ceiling: u64,
    /// Of the prompt hash.
    pub salt: [u8; 16],
    /// As in the terms.
    pub prompt_hash: [u8; 32],
    /// Thousandths.
    pub temperature_milli: u16,
    /// The client's seed.
    pub seed: Option<i64>,
    /// Stop strings.
    pub stop: Vec<String>,
    /// Slots to the deadline.
    pub deadline_slots: u32,
    /// Slots that a nonce lives.
    pub nonce_slots: u64,
    /// Most slots to a deadline, by the chain's rules.
    pub max_deadline_slots: u32,
    /// Most slots that a nonce may live, by the chain's rules.
    pub max_nonce_slots: u64,
    /// Lamports of stake that a validator needs per job.
    pub rules: mythic_interface::params::Rules,
}

impl Plan {
    /// Hash of the prompt's beginning.
    pub fn prefix(&self) -> u64 {
        let bytes: Vec<u8> = self
            .prompt_ids
            .iter()
            .take(PREFIX_TOKENS)
            .flat_map(|id| id.to_le_bytes())
            .collect();
        let [a, b, c, d, e, f, g, h, ..] = hash::sha256(&[&bytes]);
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    /// Hashes the prompt under another salt.
    pub fn resalt(&mut self, salt: [u8; 16]) {
        self.prompt_hash = hash::prompt_hash(&salt, &self.prompt_ids);
        self.salt = salt;
    }

    /// Lamports that an answer of so many tokens costs.
    pub fn cost(&self, output_tokens: u32) -> u64 {
        money::price(
            self.prompt_tokens,
            output_tokens,
            self.price_in,
            self.price_out,
        )
        .map_or(self.ceiling, |fee| fee.min(self.ceiling))
    }
}

/// Most output tokens: as asked if it fits, else the default cut to what is left.
pub fn fit(prompt: u32, asked: Option<u32>, context: u32, job: u32) -> ApiResult<u32> {
    let room = context
        .min(job)
        .saturating_sub(prompt)
        .min(MAX_OUTPUT_TOKENS);
    let exceeded = |message: String| {
        Err(
            ApiError::new(StatusCode::BAD_REQUEST, "context_length_exceeded", message).param(
                if asked.is_some() && room > 0 {
                    "max_completion_tokens"
                } else {
                    "messages"
                },
            ),
        )
    };
    let most = context.min(job);
    // OpenAI's words: libraries look for them to know this error.
    match asked {
        _ if room == 0 => exceeded(format!(
            "This model's maximum context length is {most} tokens. However, your messages resulted in {prompt} tokens. Please reduce the length of the messages."
        )),
        Some(asked) if asked > room => exceeded(format!(
            "This model's maximum context length is {most} tokens. However, you requested {} tokens ({prompt} in the messages, {asked} in the completion). An answer has at most {MAX_OUTPUT_TOKENS} tokens, so ask for {room} or fewer.",
            u64::from(prompt) + u64::from(asked)
        )),
        Some(asked) => Ok(asked),
        None => Ok(DEFAULT_MAX_TOKENS.min(room)),
    }
}

/// Refuses by its bytes what can't fit: tokens are seldom longer than [`TOKEN_BYTES`], and what is read into tokens costs time and memory.
fn check_bytes(messages: &[ChatMessage], context: u32) -> ApiResult<()> {
    let bytes: usize = messages.iter().map(|message| message.content.len()).sum();
    let most = usize::try_from(context)
        .unwrap_or(usize::MAX)
        .saturating_mul(TOKEN_BYTES);
    if bytes <= most {
        return Ok(());
    }
    Err(ApiError::new(
        StatusCode::BAD_REQUEST,
        "context_length_exceeded",
        format!(
            "This model's maximum context length is {context} tokens. However, your messages have {bytes} bytes, and more than {most} are not read. Please reduce the length of the messages."
        ),
    )
    .param("messages"))
}

/// Makes the plan of a request. `salt` is the client's when it pays by its own transaction.
pub async fn plan(
    catalogue: &Catalogue,
    config: &GatewayConfig,
    edge: &Edge,
    request: &ChatRequest,
    salt: [u8; 16],
) -> ApiResult<Plan> {
    let model = catalogue.wanted(request.model.as_deref())?;
    let on_chain = catalogue.on_chain(&model).await?;
    let rules = catalogue.rules().await?;
    if on_chain.header.status == ModelStatus::Retired as u8 {
        let successor = catalogue.find(&model.name)?;
        let mut message = format!("model {} is retired on chain", model.id);
        if successor.id != model.id {
            message.push_str(&format!("; {} is now {}", model.name, successor.id));
        }
        return Err(ApiError::not_found("model_not_found", message).param("model"));
    }
    if rules.header.status == ConfigStatus::Paused as u8 {
        return Err(ApiError::unavailable(
            "network_paused",
            "the network takes no new jobs at the moment",
        )
        .retry_after(60));
    }
    let context = on_chain
        .spec
        .context_length
        .get()
        .min(model.formatter.context_length());
    check_bytes(&request.messages, context)?;
    let messages: Vec<Message> = request
        .messages
        .iter()
        .map(|message| Message::new(message.role, message.content.as_str()))
        .collect();
    let (formatter, is_prompt) = (model.clone(), request.is_prompt);
    let turn = edge.turn().await?;
    // Tokenising a long prompt takes milliseconds: not on the threads that serve streams. The turn lasts as long as the work, also
    // when nobody waits for it any more.
    let format = move || {
        let _turn = turn;
        match messages.as_slice() {
            [prompt] if is_prompt => formatter.formatter.prompt(&prompt.content),
            messages => formatter.formatter.chat(messages),
        }
    };
    let prompt_ids = tokio::task::spawn_blocking(format)
        .await
        .map_err(ApiError::internal)?
        .map_err(|error| match error {
            PromptError::Refused(_) | PromptError::NoTemplate => {
                ApiError::invalid("messages", error.to_string())
            }
            PromptError::TooLong { .. } => ApiError::new(
                StatusCode::BAD_REQUEST,
                "context_length_exceeded",
                error.to_string(),
            )
            .param("messages"),
            other => ApiError::internal(other),
        })?;
    let prompt_tokens = u32::try_from(prompt_ids.len()).unwrap_or(u32::MAX);
    let max_output_tokens = fit(
        prompt_tokens,
        request.max_tokens,
        context,
        on_chain.spec.max_job_tokens.get(),
    )?;
    let (price_in, price_out) = (on_chain.price_in.get(), on_chain.price_out.get());
    let ceiling = money::price(prompt_tokens, max_output_tokens, price_in, price_out)
        .map_err(|error| ApiError::invalid("max_completion_tokens", error.message()))?;
    Ok(Plan {
        prompt_hash: hash::prompt_hash(&salt, &prompt_ids),
        prompt_ids,
        prompt_tokens,
        max_output_tokens,
        price_in,
        price_out,
        ceiling,
        salt,
        temperature_milli: request.temperature_milli,
        seed: request.seed,
        stop: request.stop.clone(),
        deadline_slots: config.deadline_slots.min(rules.params.max_job_slots.get()),
        nonce_slots: config
            .nonce_slots
            .min(u64::from(rules.params.max_nonce_life_slots.get())),
        max_deadline_slots: rules.params.max_job_slots.get(),
        max_nonce_slots: u64::from(rules.params.max_nonce_life_slots.get()),
        rules: rules.params.rules,
        model,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_limit_the_answer_gets_512_tokens_or_what_is_left() {
        assert_eq!(fit(10, None, 2048, 4096), Ok(512));
        assert_eq!(fit(2000, None, 2048, 4096), Ok(48));
        assert_eq!(fit(100, None, 2048, 200), Ok(100));
    }

    #[test]
    fn what_can_not_fit_is_refused_before_it_is_read() {
        let message = |bytes: usize| ChatMessage {
            role: "user",
            content: "a".repeat(bytes),
        };
        check_bytes(&[message(16 * 2048)], 2048).unwrap();
        let error = check_bytes(&[message(16 * 2048), message(1)], 2048).unwrap_err();
        assert_eq!(error.code, "context_length_exceeded");
        assert!(
            error
                .message
                .contains("This model's maximum context length is 2048 tokens")
        );
    }

    #[test]
    fn what_does_not_fit_is_said_with_numbers() {
        let error = fit(10, Some(2039), 2048, 4096).unwrap_err();
        assert_eq!(
            (error.code.as_str(), error.param.as_deref()),
            ("context_length_exceeded", Some("max_completion_tokens"))
        );
        assert!(error.message.contains("2038"));
        // What litellm and those that build on it look for.
        assert!(
            error
                .message
                .contains("This model's maximum context length is 2048 tokens")
        );
        let error = fit(2048, None, 2048, 4096).unwrap_err();
        assert_eq!(error.param.as_deref(), Some("messages"));
        assert_eq!(fit(10, Some(2038), 2048, 4096), Ok(2038));
        let error = fit(10, Some(100_000), 131_072, 131_072).unwrap_err();
        assert!(error.message.contains("ask for 65536 or fewer"));
    }
}
