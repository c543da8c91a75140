//! From a chat request to what a job would be: the prompt's tokens, limits, prices. And the models that this gateway serves.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use anyhow::Context;
use axum::http::StatusCode;
use mythic_client::pda;
use mythic_interface::{
    hash::{self, Hash},
    money,
    params::MAX_OUTPUT_TOKENS,
    state::{Config, ConfigStatus, Model, ModelStatus, SamplingProfile},
};
use mythic_model::{
    gguf::Gguf,
    prompt::{PromptError, PromptFormatter},
};
use mythic_sampling::{GuideError, Options, Refusal, Vocabulary, guide};
use parking_lot::Mutex;
use solana_pubkey::Pubkey;

use crate::{
    chain::{Chain, errors::chain_error},
    config::{GatewayConfig, ModelConfig},
    error::{ApiError, ApiResult},
    http::{Asker, Edge},
    intake::{
        calls::{CallStyle, Calling},
        format::Format,
        grammar::grammar,
        history::ChatMessage,
        openai::{ChatRequest, DEFAULT_MAX_TOKENS, Given},
        prompt, template,
        tools::{ToolChoice, Tools},
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
    /// How it calls functions.
    pub calls: CallStyle,
    /// The control token that opens calls in its answers, where it is none of text.
    opening: Option<u32>,
    /// Its tokens as grammars see them; made with the first.
    vocabulary: OnceLock<Result<Vocabulary, GuideError>>,
}

/// The control token that opens calls, where their whole markup is control tokens.
fn opening(formatter: &PromptFormatter, style: CallStyle) -> Option<u32> {
    let control = |text: &str| match formatter.tokenizer().encode(text, true).as_deref() {
        // It gives no text.
        Ok([id]) if formatter.piece(*id).is_empty() => Some(*id),
        _ => None,
    };
    let opening = control(style.opening()?)?;
    style
        .closing()
        .is_none_or(|text| control(text).is_some())
        .then_some(opening)
}

impl Served {
    /// Reads tokenizer and template out of the model's file.
    pub fn open(config: &ModelConfig) -> anyhow::Result<Self> {
        let identity = mythic_wire::parse_hex32(&config.identity).context("model identity")?;
        let reading = || format!("model {}: reading {}", config.name, config.gguf.display());
        let gguf = Gguf::open(&config.gguf).with_context(reading)?;
        let template = gguf.text("tokenizer.chat_template").with_context(reading)?;
        let formatter = PromptFormatter::from_parsed(&gguf)
            .and_then(|formatter| formatter.check_template().map(|()| formatter))
            .with_context(reading)?;
        let calls = prompt::style(&formatter, template.unwrap_or_default());
        Ok(Self {
            calls,
            opening: opening(&formatter, calls),
            vocabulary: OnceLock::new(),
            name: config.name.clone(),
            identity,
            address: pda::model(&identity),
            id: mythic_wire::openai::model_id(&config.name, &identity),
            formatter,
        })
    }

    /// Its tokens as grammars see them: to make that takes a fraction of a second.
    fn vocabulary(&self) -> Result<&Vocabulary, GuideError> {
        let made = || Vocabulary::new(self.formatter.tokenizer());
        let vocabulary = self.vocabulary.get_or_init(made).as_ref();
        vocabulary.map_err(GuideError::clone)
    }

    /// The control token that is shown in an answer by these options, since calls begin with it, and its text.
    pub fn shown(&self, options: Option<&Options>) -> Option<(u32, &'static str)> {
        options?.grammar.as_ref()?;
        self.opening.zip(self.calls.opening())
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
    /// What says how tokens are chosen, under sampling profile `seeded-full`; `None` = `seeded-top4`.
    pub options: Option<Options>,
    /// How the answer calls functions, if it may.
    pub calls: Option<Calling>,
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

    /// How tokens are chosen, as the terms say it.
    pub fn profile(&self) -> SamplingProfile {
        match self.options {
            Some(_) => SamplingProfile::SeededFull,
            None => SamplingProfile::SeededTop4,
        }
    }

    /// Draws from the four likeliest, if the request says nothing against it: a client that pays itself may choose the profile that
    /// anybody can replay.
    pub fn stay_among_four(&mut self) {
        self.options = self.options.take().filter(|options| !options.only_stops());
    }

    /// What the terms say of the options, or of the stop strings where there is nothing else.
    pub fn options_hash(&self) -> ApiResult<Hash> {
        match &self.options {
            Some(options) => options.hash(&self.salt).map_err(ApiError::internal),
            None => Ok(hash::stop_hash(&self.stop)),
        }
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

/// Bytes that the model is told of a request at least.
fn bytes(request: &ChatRequest) -> usize {
    let given = match &request.given {
        Given::Chat(messages) => messages.iter().map(ChatMessage::bytes).sum(),
        Given::Prompt(text) | Given::Text(text) => text.len(),
        Given::Ids(_) => 0,
    };
    let tools = request.tools.iter().flat_map(|tools| &tools.list);
    let told = tools.map(|tool| {
        tool.name.len()
            + tool.description.as_ref().map_or(0, String::len)
            + tool.parameters.to_string().len()
    });
    let documents = request.template.documents.iter();
    let documents: usize = documents.map(|one| one.to_string().len()).sum();
    told.sum::<usize>()
        .saturating_add(documents)
        .saturating_add(given)
}

/// Refuses by its bytes what can't fit: tokens are seldom longer than [`TOKEN_BYTES`], and what is read into tokens costs time and memory.
fn check_bytes(bytes: usize, context: u32) -> ApiResult<()> {
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

/// The parameter that asks for a grammar.
fn shaping(request: &ChatRequest) -> Option<&'static str> {
    match (&request.tools, &request.format) {
        (Some(_), _) => Some("tools"),
        (None, Format::Text) => None,
        (None, Format::Object | Format::Schema(_)) => Some("response_format"),
    }
}

/// Why validators would refuse a grammar that `name` asks for.
fn unfollowed(name: &str, why: &impl std::fmt::Display) -> ApiError {
    ApiError::invalid(
        name,
        format!(
            "{name}: a schema can't be followed; simplify or leave out what is named here: {why}"
        ),
    )
}

/// What says how tokens are chosen, or why this model can't be asked so; `None` = as the program replays it by itself.
fn options(request: &ChatRequest, model: &Served, is_exact: bool) -> ApiResult<Option<Options>> {
    let shaping = shaping(request);
    let profile = request
        .drawing
        .profile(shaping, request.temperature_milli, is_exact)
        .map_err(|name| {
            ApiError::unsupported(
                name,
                format!(
                    "{name} is not supported for {}: its results are compared within bounds, not to the bit, so nobody could show that {name} was followed. Leave it out, or use a model whose is_exact is true in GET /v1/models",
                    model.id
                ),
            )
        })?;
    if profile == SamplingProfile::SeededTop4 {
        return Ok(None);
    }
    let is_plain =
        |tools: &Tools| tools.choice == ToolChoice::Auto && request.format != Format::Text;
    if request.tools.as_ref().is_some_and(is_plain) && model.calls == CallStyle::Llama3 {
        return Err(ApiError::invalid(
            "response_format",
            format!(
                "response_format and tools can't go together for {}: its calls are JSON without markup, so an answer could be either. Leave one out, or set tool_choice to \"none\" or \"required\"",
                model.id
            ),
        ));
    }
    let calling = request.tools.as_ref();
    let calling = calling.map(|tools| (tools, model.calls, model.opening.is_some()));
    let options = Options {
        stop: Options::stopping(request.stop.clone()).stop,
        grammar: grammar(calling, &request.format),
        ..request.drawing.options.clone()
    };
    let name = shaping.unwrap_or("response_format");
    let refused = |error: Refusal| match &error {
        Refusal::UnknownToken { .. } => ApiError::invalid("logit_bias", error.to_string()),
        Refusal::GrammarLength(bytes) => ApiError::invalid(
            name,
            format!(
                "{name} comes to a grammar of {bytes} bytes, and a job carries at most {}: send fewer or smaller schemas",
                mythic_sampling::MAX_GRAMMAR_BYTES
            ),
        ),
        Refusal::Grammar(fault) => unfollowed(name, fault),
        _ => ApiError::internal(&error),
    };
    options.check().map_err(refused)?;
    options
        .check_ids(model.formatter.vocab_size())
        .map_err(refused)?;
    Ok(Some(options))
}

/// Why a prompt can't be told.
fn untold(error: PromptError) -> ApiError {
    match error {
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
    }
}

/// The prompt's tokens.
async fn prompt_ids(edge: &Edge, request: &ChatRequest, model: Arc<Served>) -> ApiResult<Vec<u32>> {
    let vocabulary = model.formatter.vocab_size();
    if let Given::Ids(ids) = &request.given
        && let Some(id) = ids.iter().find(|id| **id as usize >= vocabulary)
    {
        return Err(ApiError::invalid(
            "prompt",
            format!("the model has no token {id}, its vocabulary has {vocabulary}"),
        ));
    }
    let (given, tools) = (request.given.clone(), request.tools.clone());
    let told = request.template.clone();
    let turn = edge.turn().await?;
    // Reading a long prompt takes milliseconds: not on the threads that serve streams. The turn lasts as long as the work, also when
    // nobody waits for it any more.
    let read = move || {
        let _turn = turn;
        let formatter = &model.formatter;
        template::check(&told, &model.id, |name| formatter.reads(name))?;
        prompt::tokens(formatter, model.calls, &given, tools.as_ref(), &told).map_err(untold)
    };
    let ids = tokio::task::spawn_blocking(read)
        .await
        .map_err(ApiError::internal)??;
    match ids.is_empty() {
        true => Err(ApiError::invalid("prompt", "the prompt has no tokens")),
        false => Ok(ids),
    }
}

/// Reads a grammar as validators do before they take a job, within their time. One that can't be followed, or takes long, is counted
/// against who sent it, also who doesn't wait for it.
async fn read_grammar(
    edge: &Edge,
    by: &Asker,
    model: &Arc<Served>,
    (name, grammar): (&str, &str),
) -> ApiResult<()> {
    let turn = edge.reading(by).await?;
    // What is made with a model's first grammar is not in that one's time.
    let of = model.clone();
    let made = tokio::task::spawn_blocking(move || of.vocabulary().map(|_| ())).await;
    let made = made.map_err(ApiError::internal)?;
    made.map_err(|error| unfollowed(name, &error))?;
    let (of, text) = (model.clone(), grammar.to_owned());
    let reading = tokio::task::spawn_blocking(move || {
        // Who waits is told in time; the turn lasts as long as the work, and what came of it counts.
        let words = of.vocabulary()?;
        let began = Instant::now();
        let read = guide::read(words, &text);
        turn.end(read.is_ok(), began.elapsed());
        read
    });
    let read = match tokio::time::timeout(guide::LONGEST_READING, reading).await {
        Ok(read) => read.map_err(ApiError::internal)?,
        Err(_) => Err(GuideError::too_long()),
    };
    read.map_err(|error| unfollowed(name, &error))
}

/// What is asked, and by whom.
pub struct Asking<'a> {
    pub request: &'a ChatRequest,
    pub by: &'a Asker,
    /// Of the prompt hash; the client's when it pays by its own transaction.
    pub salt: [u8; 16],
}

/// Makes the plan of a request.
pub async fn plan(
    catalogue: &Catalogue,
    config: &GatewayConfig,
    edge: &Edge,
    Asking { request, by, salt }: Asking<'_>,
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
    check_bytes(bytes(request), context)?;
    let options = options(request, &model, on_chain.spec.is_exact())?;
    let prompt_ids = prompt_ids(edge, request, model.clone()).await?;
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
    // What takes longest comes last.
    let grammar = options
        .as_ref()
        .and_then(|options| options.grammar.as_deref());
    if let Some(grammar) = grammar {
        let name = shaping(request).unwrap_or("response_format");
        read_grammar(edge, by, &model, (name, grammar)).await?;
    }
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
        options,
        calls: request.tools.is_some().then_some(Calling {
            style: model.calls,
            is_alone: request.format != Format::Text,
        }),
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
        check_bytes(16 * 2048, 2048).unwrap();
        let error = check_bytes(16 * 2048 + 1, 2048).unwrap_err();
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
