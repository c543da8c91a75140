//! From messages to token ids, without loading weights: what the gateway prices and hashes, and
//! what the engine decodes with.

use std::path::Path;

use minijinja::{Environment, ErrorKind, UndefinedBehavior, context};
use mythic_interface::hash::{Hash, sha256};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::gguf::{Gguf, GgufError, Value, short};
use crate::tokenizer::{DecodeStream, Tokenizer, TokenizerError};

/// Steps that a chat template may take: several thousand messages' worth.
const TEMPLATE_FUEL: u64 = 2_000_000;

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

/// Why a prompt could not be formatted.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    #[error(transparent)]
    Gguf(#[from] GgufError),
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    #[error("the model file has no chat template; send a plain prompt instead of messages")]
    NoTemplate,
    #[error("the model's chat template is broken: {0}")]
    BadTemplate(String),
    /// The template called `raise_exception`, or failed on these messages.
    #[error("the model's chat template refuses these messages: {0}")]
    Refused(String),
}

/// Hashes that identify what a file holds beside its weights; part of a model's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Over every `tokenizer.*` key but the chat template, in key order.
    pub tokenizer: Hash,
    /// SHA-256 of the chat template's text; of nothing where there is none.
    pub chat_template: Hash,
}

/// Tokenizer, chat template and limits of a model file.
pub struct PromptFormatter {
    tokenizer: Tokenizer,
    templates: Environment<'static>,
    has_template: bool,
    name: String,
    context_length: u32,
    identity: Identity,
}

const TEMPLATE: &str = "chat";

impl PromptFormatter {
    /// Reads the metadata of a GGUF file.
    pub fn from_gguf(path: impl AsRef<Path>) -> Result<Self, PromptError> {
        Self::from_parsed(&Gguf::open(path.as_ref())?)
    }

    /// The same from a file that is open already.
    pub fn from_parsed(gguf: &Gguf) -> Result<Self, PromptError> {
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
        templates.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        templates.add_function("raise_exception", |message: String| {
            Err::<String, _>(minijinja::Error::new(ErrorKind::InvalidOperation, message))
        });
        if let Some(template) = template {
            templates
                .add_template_owned(TEMPLATE, template.to_owned())
                .map_err(|e| PromptError::BadTemplate(e.to_string()))?;
        }
        Ok(Self {
            identity: identity(gguf, template.unwrap_or_default()),
            tokenizer,
            templates,
            has_template: template.is_some(),
            name: short(gguf.text("general.name")?.unwrap_or("unnamed")),
            context_length,
        })
    }

    /// Token ids of a conversation, ready for the assistant's answer.
    pub fn chat(&self, messages: &[Message]) -> Result<Vec<u32>, PromptError> {
        let text = self.render(messages)?;
        let mut ids = self.tokenizer.encode(&text, true)?;
        self.prefix_bos(&mut ids);
        Ok(ids)
    }

    /// The text of a conversation as the model sees it.
    pub fn render(&self, messages: &[Message]) -> Result<String, PromptError> {
        if !self.has_template {
            return Err(PromptError::NoTemplate);
        }
        let template = self
            .templates
            .get_template(TEMPLATE)
            .map_err(|e| PromptError::BadTemplate(e.to_string()))?;
        template
            .render(context! {
                messages => messages,
                add_generation_prompt => true,
                bos_token => self.tokenizer.bos_text(),
                eos_token => self.tokenizer.eos_text(),
            })
            .map_err(|e| PromptError::Refused(e.detail().map_or(e.to_string(), str::to_owned)))
    }

    /// Token ids of a plain prompt, with the beginning-of-sequence token where the model has one.
    /// Texts of control tokens are read as these tokens, as in llama.cpp.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, PromptError> {
        let mut ids = self.tokenizer.encode(text, true)?;
        self.prefix_bos(&mut ids);
        Ok(ids)
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
        self.tokenizer.decode_stream()
    }

    /// The text of `ids`.
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
