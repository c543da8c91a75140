//! Masks of a grammar, by `llguidance`, so that they depend on nothing but grammar, vocabulary and the tokens so far.
//!
//! By the library's source a mask would otherwise depend on more: on what the caller can do with forced bytes, on the prompt, on
//! the shared cache of a lexer that was cloned. So nothing is forced, no capability is named, no prompt is given, every guide has a
//! lexer of its own, and a token is looked up in what [`Guide::mask`] gives and nowhere else. What the library can't do within its
//! limits is an error, never another mask.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use llguidance::api::{ParserLimits, TopLevelGrammar};
use llguidance::{ParserFactory, TokenParser, panic_utils};
use mythic_model::tokenizer::Tokenizer;
use toktrie::{ApproximateTokEnv, InferenceCapabilities, TokEnv, TokRxInfo, TokTrie};

use crate::mask::Mask;

/// What a grammar's text is read behind.
const HEAD: &str = "%llguidance {\"no_forcing\": true}\n";
/// Longest token that a grammar is asked about, in bytes; none that is longer is ever allowed.
const LONGEST: usize = 512;
/// Characters of the library's words that are told.
const TOLD: usize = 300;

/// Why there is no mask.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GuideError {
    /// The vocabulary can't be read: no grammar can be asked for with this model.
    #[error("the model's vocabulary can't be put under a grammar: {0}")]
    Vocabulary(String),
    /// Nothing can be made of the text: it is refused before a job is accepted.
    #[error("the grammar can't be used: {0}")]
    Grammar(String),
    /// A limit or an error on the way. It says nothing of the answer: whoever makes it gives it up, and whoever judges it is silent.
    #[error("the grammar can't be followed any further: {0}")]
    Run(String),
}

/// A model's tokens, as grammars see them. Made once for a model.
pub struct Vocabulary {
    factory: ParserFactory,
    size: usize,
}

impl Vocabulary {
    /// Of a tokenizer. Text that a control token shows is none that a grammar's strings could mean; `<name>` means the token itself.
    pub fn new(tokenizer: &Tokenizer) -> Result<Self, GuideError> {
        let count = u32::try_from(tokenizer.vocab_size()).unwrap_or(u32::MAX);
        let pieces = (0..count).map(|id| tokenizer.piece(id));
        let texts = tokenizer.control_texts().iter();
        // What the parts of a text mean is for the tokenizer to say.
        let controls = texts.filter_map(|text| match tokenizer.encode(text, true).as_deref() {
            Ok([id]) => Some((*id, text.as_str())),
            _ => None,
        });
        Self::of(pieces, controls, tokenizer.end_ids())
    }

    /// Of the bytes of all tokens, the texts of control tokens, and the tokens that end an answer.
    pub fn of<'a>(
        pieces: impl Iterator<Item = &'a [u8]>,
        controls: impl Iterator<Item = (u32, &'a str)>,
        ends: &[u32],
    ) -> Result<Self, GuideError> {
        let mut words: Vec<Vec<u8>> = pieces.map(|piece| word(piece).to_vec()).collect();
        for (id, text) in controls {
            if let Some(word) = words.get_mut(id as usize) {
                *word = control(text);
            }
        }
        let size = words.len();
        let count = u32::try_from(size)
            .map_err(|_| GuideError::Vocabulary(format!("it has {size} tokens")))?;
        guarded(|| {
            let info = TokRxInfo::new(count, ends.first().copied().unwrap_or(u32::MAX));
            let mut trie = TokTrie::from(&info, &words);
            if !ends.is_empty() {
                trie = trie.with_eos_tokens(ends);
            }
            let env: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
            let made = ParserFactory::new(&env, InferenceCapabilities::default(), &[]);
            made.map(|mut factory| {
                factory.quiet();
                *factory.limits_mut() = limits();
                factory
            })
        })
        .map(|factory| Self { factory, size })
        .map_err(GuideError::Vocabulary)
    }

    /// Tokens in it.
    pub fn size(&self) -> usize {
        self.size
    }
}

/// The library's limits, which belong to the profile as our own do.
fn limits() -> ParserLimits {
    ParserLimits {
        max_items_in_row: 2_000,
        initial_lexer_fuel: 1_000_000,
        step_lexer_fuel: 200_000,
        step_max_items: 50_000,
        max_lexer_states: 250_000,
        max_grammar_size: 500_000,
        precompute_large_lexemes: true,
        verbose_errors: false,
    }
}

/// The bytes of a token in the library's tree; empty for what no grammar may allow. Bytes that begin as its marker does are no
/// text in any case.
fn word(piece: &[u8]) -> &[u8] {
    match piece.len() <= LONGEST && !piece.contains(&TokTrie::SPECIAL_TOKEN_MARKER) {
        true => piece,
        false => &[],
    }
}

/// A control token in the library's tree: `<name>` behind its marker, whatever brackets the model writes.
fn control(text: &str) -> Vec<u8> {
    let bare = text.strip_prefix(['<', '[']).unwrap_or(text);
    let bare = bare.strip_suffix(['>', ']']).unwrap_or(bare);
    let mut word = vec![TokTrie::SPECIAL_TOKEN_MARKER];
    if bare.len() <= LONGEST {
        word.extend(format!("<{bare}>").bytes());
    }
    word
}

/// Follows one answer through a grammar.
pub struct Guide {
    parser: TokenParser,
    size: usize,
}

impl Guide {
    /// Reads a grammar; what [`crate::grammar::check`] refuses is not given here. May take a fraction of a second.
    pub fn new(vocabulary: &Vocabulary, grammar: &str) -> Result<Self, GuideError> {
        let text = format!("{HEAD}{grammar}");
        let made = guarded(|| {
            let grammar = TopLevelGrammar::from_lark(text);
            let made = vocabulary.factory.create_parser(grammar);
            made.map(|mut parser| {
                parser.start_without_prompt();
                parser
            })
        });
        Ok(Self {
            parser: made.map_err(GuideError::Grammar)?,
            size: vocabulary.size,
        })
    }

    /// What may come next. End-of-sequence tokens are allowed where the grammar accepts, and alone where nothing else may come.
    pub fn mask(&mut self) -> Result<Mask, GuideError> {
        let parser = &mut self.parser;
        let bits = guarded(|| parser.compute_mask()).map_err(GuideError::Run)?;
        Ok(Mask::new(bits.into(), self.size))
    }

    /// Goes on behind a token that the last mask allowed.
    pub fn push(&mut self, token: u32) -> Result<(), GuideError> {
        let parser = &mut self.parser;
        match guarded(|| parser.consume_token(token)).map_err(GuideError::Run)? {
            0 => Ok(()),
            // Nothing that is taken asks for this.
            _ => Err(GuideError::Run("it would take tokens back".into())),
        }
    }
}

/// The library's result; its panics are its errors.
fn guarded<T, E: std::fmt::Display>(work: impl FnOnce() -> Result<T, E>) -> Result<T, String> {
    let mut found = None;
    let caught = panic_utils::catch_unwind(AssertUnwindSafe(|| {
        found = Some(work().map_err(|error| error.to_string()));
        Ok(())
    }));
    let told = |words: String| -> String {
        let first = words.lines().next().unwrap_or_default();
        first.chars().take(TOLD).collect()
    };
    match (caught, found) {
        (Ok(()), Some(result)) => result.map_err(told),
        (Err(error), _) => Err(told(error.to_string())),
        (Ok(()), None) => Err("it said nothing".into()),
    }
}

/// A text that nothing can be made of is refused by whoever takes it in, with a vocabulary or without one: this is without.
pub fn check_text(grammar: &str) -> Result<(), GuideError> {
    let text = format!("{HEAD}{grammar}");
    let checked = guarded(|| {
        let grammar = llguidance::api::GrammarInit::Serialized(TopLevelGrammar::from_lark(text));
        match grammar.validate(None, limits()).into_error() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    });
    checked.map_err(GuideError::Grammar)
}
