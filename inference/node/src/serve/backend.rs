//! What the node needs of an engine.

use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use mythic_engine::{ByOptions, Checked, Engine, EngineError, EngineStats, GenerateRequest, Step};
use mythic_model::prompt::{Message, PromptError};
use mythic_wire::openai;

/// Stream of generated tokens.
pub type Steps = mpsc::Receiver<Result<Step, EngineError>>;

/// A loaded model.
pub trait Backend: Send + Sync + 'static {
    /// Starts a generation; see [`Engine::generate`].
    fn generate(
        &self,
        request: GenerateRequest,
        cancel: CancellationToken,
    ) -> Result<Steps, EngineError>;
    /// What a checker needs of an answer that is known; see [`Engine::check`].
    fn check<'a>(
        &'a self,
        prompt_ids: &'a [u32],
        output_ids: &'a [u32],
        claimed: &'a [[u32; 4]],
        by_options: Option<ByOptions>,
    ) -> BoxFuture<'a, Result<Vec<Checked>, EngineError>>;
    /// Whether answers can be made to follow a grammar; see [`Engine::check_grammar`].
    fn check_grammar<'a>(&'a self, grammar: &'a str) -> BoxFuture<'a, Result<(), EngineError>>;
    /// The engine, for what is done layer by layer: residual rows of answers, and single layers. None by default, so that whatever
    /// else answers has neither.
    fn engine(&self) -> Option<&Engine> {
        None
    }
    /// Numbers for pages and metrics.
    fn stats(&self) -> EngineStats;
    /// Text of tokens.
    fn decode(&self, ids: &[u32]) -> String;
    /// Tokens of a conversation.
    fn chat(&self, messages: &[Message]) -> Result<Vec<u32>, PromptError>;
    /// Longest prompt and output together.
    fn context_length(&self) -> u32;
    /// Size of the vocabulary.
    fn vocab_size(&self) -> usize;
}

impl Backend for Engine {
    fn generate(
        &self,
        request: GenerateRequest,
        cancel: CancellationToken,
    ) -> Result<Steps, EngineError> {
        Engine::generate(self, request, cancel)
    }
    fn check<'a>(
        &'a self,
        prompt_ids: &'a [u32],
        output_ids: &'a [u32],
        claimed: &'a [[u32; 4]],
        by_options: Option<ByOptions>,
    ) -> BoxFuture<'a, Result<Vec<Checked>, EngineError>> {
        Box::pin(Engine::check(
            self, prompt_ids, output_ids, claimed, by_options,
        ))
    }
    fn check_grammar<'a>(&'a self, grammar: &'a str) -> BoxFuture<'a, Result<(), EngineError>> {
        Box::pin(Engine::check_grammar(self, grammar))
    }
    fn engine(&self) -> Option<&Engine> {
        Some(self)
    }
    fn stats(&self) -> EngineStats {
        Engine::stats(self)
    }
    fn decode(&self, ids: &[u32]) -> String {
        self.formatter().decode(ids)
    }
    fn chat(&self, messages: &[Message]) -> Result<Vec<u32>, PromptError> {
        self.formatter().chat(messages)
    }
    fn context_length(&self) -> u32 {
        self.formatter().context_length()
    }
    fn vocab_size(&self) -> usize {
        self.formatter().vocab_size()
    }
}

/// A model that the node served once, under another arithmetic or from another file: what is finished can still be shown and
/// submitted, but nothing can be computed as it was, so a generation is refused.
pub struct Former {
    /// A served model with the same tokenizer, to read old tokens with.
    pub reader: Option<Arc<dyn Backend>>,
}

fn not_run() -> EngineError {
    EngineError::Invalid("this node no longer runs the job's model".into())
}

impl Backend for Former {
    fn generate(&self, _: GenerateRequest, _: CancellationToken) -> Result<Steps, EngineError> {
        Err(not_run())
    }
    fn check<'a>(
        &'a self,
        _: &'a [u32],
        _: &'a [u32],
        _: &'a [[u32; 4]],
        _: Option<ByOptions>,
    ) -> BoxFuture<'a, Result<Vec<Checked>, EngineError>> {
        Box::pin(std::future::ready(Err(not_run())))
    }
    fn check_grammar<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<(), EngineError>> {
        Box::pin(std::future::ready(Err(not_run())))
    }
    fn stats(&self) -> EngineStats {
        EngineStats::default()
    }
    fn decode(&self, ids: &[u32]) -> String {
        self.reader
            .as_ref()
            .map_or_else(String::new, |reader| reader.decode(ids))
    }
    fn chat(&self, messages: &[Message]) -> Result<Vec<u32>, PromptError> {
        match &self.reader {
            Some(reader) => reader.chat(messages),
            None => Err(PromptError::NoTemplate),
        }
    }
    fn context_length(&self) -> u32 {
        0
    }
    fn vocab_size(&self) -> usize {
        0
    }
}

/// A model that the node serves.
#[derive(Clone)]
pub struct ServedModel {
    /// Its account.
    pub address: solana_pubkey::Pubkey,
    /// Its account's content as last read; prices and retirement can change.
    pub account: Arc<parking_lot::RwLock<mythic_interface::state::Model>>,
    /// The engine that runs it.
    pub backend: Arc<dyn Backend>,
}

impl std::fmt::Debug for ServedModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServedModel")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl ServedModel {
    /// Hex identity.
    pub fn identity(&self) -> String {
        hex::encode(self.account.read().identity)
    }

    /// `name@` and 8 hex digits of the identity, as gateways name it.
    pub fn id(&self) -> String {
        let account = self.account.read();
        openai::model_id(account.name.as_str(), &account.identity)
    }
}
