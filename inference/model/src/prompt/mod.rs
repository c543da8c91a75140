//! From messages to token ids, without loading weights: what the gateway prices and hashes, and
//! what the engine decodes with.
//!
//! - [`PromptFormatter`]: tokenizer, chat template, limits, identity of a model file
//! - `marks`: how the texts of users are kept apart from the template's own markup
//! - `source`: the template as Hugging Face writes it, made fit for the template engine
//! - `functions`: what templates call
//! - [`Conversation`]: messages in which functions are called; [`TemplateOptions`]: what else a template is told

mod conversation;
mod error;
mod functions;
mod marks;
mod source;

use std::io;
use std::path::Path;

use minijinja::value::merge_maps;
use minijinja::{Environment, ErrorKind, UndefinedBehavior, context};
use mythic_interface::hash::{Hash, sha256};
use mythic_interface::state::ModelSpec;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::gguf::{Gguf, Value, short};
use crate::tokenizer::{DecodeStream, Tokenizer};
pub use conversation::{Conversation, ReasoningEffort, TemplateOptions};
pub use error::PromptError;
use marks::{Guard, Marks, Rendered};
use source::Source;

/// Steps that a chat template may take: several thousand messages' worth.
const TEMPLATE_FUEL: u64 = 2_000_000;
/// Levels of macros, loops and includes that it may go down.
const TEMPLATE_DEPTH: usize = 100;
/// Bytes that a stand-in takes for a character of one.
const STAND_IN: usize = 4;

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user`, `assistant`, or whatever the model's template knows.
    pub role: String,
    pub content: String,
}

impl Message {
    /// A message of any role.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self {
            role: role.into(),
            content: content.into(),
        }
    }
}

/// Hashes that identify what a file holds beside its weights; part of a model's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Over every `tokenizer.*` key but the chat template, in key order.
    pub tokenizer: Hash,
    /// SHA-256 of the chat template's text; of nothing where there is none.
    pub chat_template: Hash,
}

impl Identity {
    /// Whether a model on chain is of the file with these weights, whatever arithmetic it is computed with.
    pub fn is_of(&self, spec: &ModelSpec, weights: &Hash) -> bool {
        spec.weights_hash == *weights
            && spec.tokenizer_hash == self.tokenizer
            && spec.chat_template_hash == self.chat_template
    }
}

/// Tokenizer, chat template and limits of a model file.
pub struct PromptFormatter {
    tokenizer: Tokenizer,
    templates: Environment<'static>,
    guard: Guard,
    has_template: bool,
    name: String,
    context_length: u32,
    identity: Identity,
}

const TEMPLATE: &str = "chat";

/// Takes what a template writes, up to a limit.
struct Limited {
    bytes: Vec<u8>,
    most: usize,
}

impl io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.most {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl PromptFormatter {
    /// Reads the metadata of a GGUF file.
    pub fn from_gguf(path: impl AsRef<Path>) -> Result<Self, PromptError> {
        Self::from_parsed(&Gguf::open(path.as_ref())?)
    }

    /// The same from a file that is open already.
    pub fn from_parsed(gguf: &Gguf) -> Result<Self, PromptError> {
        Self::with_clock(gguf, OffsetDateTime::now_utc)
    }

    /// The same, for templates that write the date: `clock` says it, in UTC.
    fn with_clock(gguf: &Gguf, clock: fn() -> OffsetDateTime) -> Result<Self, PromptError> {
        let tokenizer = Tokenizer::from_gguf(gguf)?;
        let architecture = gguf.architecture()?;
        let context_length =
            gguf.require_int(&format!("{architecture}.context_length"), 1, 1 << 24)?;
        let template = gguf.text("tokenizer.chat_template")?;
        let mut templates = Environment::new();
        // As Hugging Face renders chat templates.
        templates.set_trim_blocks(true);
        templates.set_lstrip_blocks(true);
        templates.set_undefined_behavior(UndefinedBehavior::Lenient);
        templates.set_fuel(Some(TEMPLATE_FUEL));
        templates.set_recursion_limit(TEMPLATE_DEPTH);
        templates.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        functions::add(&mut templates, clock);
        let source = Source::read(template.unwrap_or_default());
        let guard = Guard::new(tokenizer.control_texts(), &source.literals, &source.text)?;
        if template.is_some() {
            templates
                .add_template_owned(TEMPLATE, source.text)
                .map_err(|e| PromptError::BadTemplate(e.to_string()))?;
        }
        Ok(Self {
            identity: identity(gguf, template.unwrap_or_default()),
            tokenizer,
            templates,
            guard,
            has_template: template.is_some(),
            name: short(gguf.text("general.name")?.unwrap_or("unnamed")),
            context_length,
        })
    }

    /// Token ids of a conversation, ready for the assistant's answer. Only what the template writes
    /// itself becomes control tokens; contents and roles are text.
    pub fn chat(&self, messages: &[Message]) -> Result<Vec<u32>, PromptError> {
        self.chat_with(messages, &TemplateOptions::default())
    }

    /// The same, with what else the template is told.
    pub fn chat_with(
        &self,
        messages: &[Message],
        options: &TemplateOptions,
    ) -> Result<Vec<u32>, PromptError> {
        self.tokens_of(&self.rendered(messages, options)?)
    }

    /// The same of a conversation in which functions are called, for a template that knows of them.
    pub fn converse(&self, conversation: &Conversation) -> Result<Vec<u32>, PromptError> {
        self.converse_with(conversation, &TemplateOptions::default())
    }

    /// The same, with what else the template is told.
    pub fn converse_with(
        &self,
        conversation: &Conversation,
        options: &TemplateOptions,
    ) -> Result<Vec<u32>, PromptError> {
        let count = conversation.messages.len();
        let rendered = self.rendered_of(conversation.texts(), count, options, |marks| {
            context! {
                messages => conversation.marked_messages(&self.guard, marks),
                tools => conversation.marked_tools(&self.guard, marks),
            }
        })?;
        self.tokens_of(&rendered)
    }

    fn tokens_of(&self, rendered: &Rendered) -> Result<Vec<u32>, PromptError> {
        let mut ids = self
            .tokenizer
            .encode_where(&rendered.text, &|place| rendered.allows(place))?;
        self.prefix_bos(&mut ids);
        Ok(ids)
    }

    /// The text of a conversation as the model sees it.
    pub fn render(&self, messages: &[Message]) -> Result<String, PromptError> {
        let options = TemplateOptions::default();
        self.rendered(messages, &options)
            .map(|rendered| rendered.text)
    }

    fn rendered(
        &self,
        messages: &[Message],
        options: &TemplateOptions,
    ) -> Result<Rendered, PromptError> {
        let texts: Vec<&str> = messages
            .iter()
            .flat_map(|message| [message.role.as_str(), message.content.as_str()])
            .collect();
        self.rendered_of(texts, messages.len(), options, |marks| {
            let marked: Vec<Message> = messages
                .iter()
                .map(|message| Message {
                    role: self.guard.role(marks, &message.role),
                    content: self.guard.text(marks, &message.content),
                })
                .collect();
            // Not undefined: as Hugging Face calls templates.
            context! { messages => marked, tools => () }
        })
    }

    /// Renders `messages` and `tools`, which `given` makes of stand-ins for what users wrote: these texts, in so many messages.
    fn rendered_of<'t>(
        &self,
        mut texts: Vec<&'t str>,
        messages: usize,
        options: &'t TemplateOptions,
        given: impl FnOnce(&Marks) -> minijinja::Value,
    ) -> Result<Rendered, PromptError> {
        texts.extend(options.texts());
        if !self.has_template {
            return Err(PromptError::NoTemplate);
        }
        self.check_length(texts.iter().map(|text| text.len()).sum())?;
        // Each message is a token at least.
        self.check_length(messages.saturating_mul(self.tokenizer.longest_token()))?;
        let marks = self.guard.marks(texts.iter().copied())?;
        let template = self
            .templates
            .get_template(TEMPLATE)
            .map_err(|e| PromptError::BadTemplate(e.to_string()))?;
        let mut written = Limited {
            bytes: Vec::new(),
            most: self.most_bytes().saturating_mul(STAND_IN),
        };
        let context = context! {
            add_generation_prompt => true,
            bos_token => self.tokenizer.bos_text(),
            eos_token => self.tokenizer.eos_text(),
            documents => options.marked_documents(&self.guard, &marks),
            ..merge_maps([given(&marks), options.switches()])
        };
        let failed = |e: minijinja::Error| {
            if e.kind() == ErrorKind::WriteFailure {
                return self.too_long();
            }
            let said = e.detail().map_or_else(|| e.to_string(), str::to_owned);
            PromptError::Refused(marks.restore(&said).text)
        };
        template
            .render_captured_to(context, &mut written)
            .map_err(failed)?;
        let rendered = marks.restore(&String::from_utf8_lossy(&written.bytes));
        self.check_length(rendered.text.len())?;
        Ok(rendered)
    }

    /// Token ids of a single prompt: a message of a user where the model has a chat template, else the
    /// text itself.
    pub fn prompt(&self, text: &str) -> Result<Vec<u32>, PromptError> {
        match self.has_template {
            true => self.chat(&[Message::new("user", text)]),
            false => self.encode(text),
        }
    }

    /// Token ids of plain text, with the beginning-of-sequence token where the model has one. Texts of
    /// control tokens are text here.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, PromptError> {
        self.check_length(text.len())?;
        let mut ids = self.tokenizer.encode(text, false)?;
        self.prefix_bos(&mut ids);
        Ok(ids)
    }

    /// Renders what any template must be able to render.
    pub fn check_template(&self) -> Result<(), PromptError> {
        if !self.has_template {
            return Ok(());
        }
        let hello = Message::new("user", "Hello.");
        let broken = |error| match error {
            PromptError::Refused(said) => PromptError::BadTemplate(format!(
                "it does not render a user's first message: {said}"
            )),
            other => other,
        };
        self.chat(&[hello]).map(drop).map_err(broken)
    }

    /// Whether the template reads a variable of this name.
    pub fn reads(&self, variable: &str) -> bool {
        let template = self.templates.get_template(TEMPLATE);
        template.is_ok_and(|template| template.undeclared_variables(false).contains(variable))
    }

    /// Whether the model takes conversations; else it takes single prompts.
    pub fn has_template(&self) -> bool {
        self.has_template
    }

    /// Bytes of text that its context can hold: as many tokens, each the longest there is.
    pub fn most_bytes(&self) -> usize {
        usize::try_from(self.context_length)
            .unwrap_or(usize::MAX)
            .saturating_mul(self.tokenizer.longest_token())
    }

    fn check_length(&self, bytes: usize) -> Result<(), PromptError> {
        match bytes > self.most_bytes() {
            true => Err(self.too_long()),
            false => Ok(()),
        }
    }

    fn too_long(&self) -> PromptError {
        PromptError::TooLong {
            context: self.context_length,
            most_bytes: self.most_bytes(),
        }
    }

    fn prefix_bos(&self, ids: &mut Vec<u32>) {
        if let Some(bos) = self.tokenizer.bos()
            && self.tokenizer.add_bos()
            && ids.first() != Some(&bos)
        {
            ids.insert(0, bos);
        }
    }

    /// A decoder that gives text as soon as it is complete; control tokens give none.
    pub fn decode_stream(&self) -> DecodeStream<'_> {
        DecodeStream::new(&self.tokenizer)
    }

    /// The bytes of a token, perhaps a part of a character; none for control tokens.
    pub fn piece(&self, id: u32) -> &[u8] {
        self.tokenizer.piece(id)
    }

    /// The bytes of `ids`, which need not be whole characters.
    pub fn decode_bytes(&self, ids: &[u32]) -> Vec<u8> {
        self.tokenizer.decode_bytes(ids)
    }

    /// The text of `ids`; what is no character becomes U+FFFD.
    pub fn decode(&self, ids: &[u32]) -> String {
        self.tokenizer.decode(ids)
    }

    /// The tokens that end a generation, ascending.
    pub fn eos_ids(&self) -> &[u32] {
        self.tokenizer.end_ids()
    }

    /// Tokens in the vocabulary.
    pub fn vocab_size(&self) -> usize {
        self.tokenizer.vocab_size()
    }

    /// Most tokens of prompt and answer together.
    pub fn context_length(&self) -> u32 {
        self.context_length
    }

    /// The name that the file gives itself.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Hashes of tokenizer and chat template.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// The tokenizer itself.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }
}

fn identity(gguf: &Gguf, template: &str) -> Identity {
    let mut hash = Sha256::new();
    hash.update(mythic_interface::hash::domain::TOKENIZER);
    fn text(hash: &mut Sha256, s: &str) {
        hash.update((s.len() as u64).to_le_bytes());
        hash.update(s);
    }
    for (key, value) in gguf.metadata() {
        if !key.starts_with("tokenizer.") || key.starts_with("tokenizer.chat_template") {
            continue;
        }
        text(&mut hash, key);
        match value {
            Value::Int(n) => hash.update(n.to_le_bytes()),
            Value::Float(x) => hash.update(x.to_le_bytes()),
            Value::Bool(b) => hash.update([u8::from(*b)]),
            Value::Text(s) => text(&mut hash, s),
            Value::Texts(list) => list.iter().for_each(|s| text(&mut hash, s)),
            Value::Ints(list) => list.iter().for_each(|n| hash.update(n.to_le_bytes())),
            Value::Floats(list) => list.iter().for_each(|x| hash.update(x.to_le_bytes())),
            Value::Bools(list) => list.iter().for_each(|b| hash.update([u8::from(b)])),
        }
    }
    Identity {
        tokenizer: hash.finalize().into(),
        chat_template: sha256(&[template.as_bytes()]),
    }
}
