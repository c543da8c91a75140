//! Masks of a grammar, by `llguidance`, so that they depend on nothing but grammar, vocabulary and the tokens so far.
//!
//! By the library's source a mask would otherwise depend on more: on what the caller can do with forced bytes, on the prompt, on
//! the shared cache of a lexer that was cloned. So nothing is forced, no capability is named, no prompt is given, every guide has a
//! lexer of its own, and a token is looked up in what [`Guide::mask`] gives and nowhere else. What the library can't do within its
//! limits is an error, never another mask.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use llguidance::api::{GrammarInit, ParserLimits, TopLevelGrammar};
use llguidance::{ParserFactory, TokenParser, panic_utils};
use mythic_model::tokenizer::Tokenizer;
use toktrie::{ApproximateTokEnv, InferenceCapabilities, TokEnv, TokRxInfo, TokTrie};

use crate::mask::Mask;

/// What a grammar's text is read behind.
const HEAD: &str = "%llguidance {\"no_forcing\": true}\n";
/// Longest token that a grammar is asked about, in bytes; none that is longer is ever allowed.
const LONGEST: usize = 512;
/// Stack on which a grammar is read: as many levels as a text within the limits can have, with room to spare.
const STACK: usize = 128 << 20;
/// Most bytes of the lexer of one answer, by the library's own count. It grows with what the answer comes across.
const LEXER: usize = 64 << 20;
/// Most items, of eight bytes, that the parser of one answer keeps of what it has taken.
const ITEMS: usize = 32 << 20;
/// Characters of the library's words that are told.
const TOLD: usize = 300;
/// Longest that a grammar may take to be read and to give its first mask, if an answer is to follow it. Whoever makes the answer and
/// whoever checks it reads it again, and there no clock counts.
pub const LONGEST_READING: Duration = Duration::from_secs(10);

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

impl GuideError {
    /// What is said of a grammar that takes longer than [`LONGEST_READING`].
    pub fn too_long() -> Self {
        Self::Grammar("it takes too long to read".into())
    }
}

/// Reads a grammar up to the mask of an answer's first token, as everybody does who may refuse it: what this refuses is refused
/// before anybody pays.
pub fn read(vocabulary: &Vocabulary, grammar: &str) -> Result<(), GuideError> {
    read_within(vocabulary, grammar, LONGEST_READING)
}

fn read_within(
    vocabulary: &Vocabulary,
    grammar: &str,
    longest: Duration,
) -> Result<(), GuideError> {
    let began = Instant::now();
    Guide::new(vocabulary, grammar)?.mask()?;
    match began.elapsed() > longest {
        true => Err(GuideError::too_long()),
        false => Ok(()),
    }
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
        // What ends an answer is no text in it, whatever its bytes are.
        for end in ends {
            if let Some(word) = words.get_mut(*end as usize)
                && word.first() != Some(&TokTrie::SPECIAL_TOKEN_MARKER)
            {
                word.clear();
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

/// The library's limits, which belong to the profile as our own do. A state of a lexer takes up to two kilobytes: these are 64 MiB.
fn limits() -> ParserLimits {
    ParserLimits {
        max_items_in_row: 2_000,
        initial_lexer_fuel: 1_000_000,
        step_lexer_fuel: 200_000,
        step_max_items: 50_000,
        max_lexer_states: 32_768,
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
    /// What the parser keeps, in its items.
    items: usize,
}

impl Guide {
    /// Reads a grammar; what [`crate::grammar::check`] refuses is not given here. May take a fraction of a second.
    pub fn new(vocabulary: &Vocabulary, grammar: &str) -> Result<Self, GuideError> {
        let grammar = TopLevelGrammar::from_lark(format!("{HEAD}{grammar}"));
        let parser = deep(|| {
            let made = vocabulary.factory.create_parser(grammar);
            made.map(|mut parser| {
                parser.start_without_prompt();
                parser
            })
        })?;
        Ok(Self {
            parser,
            size: vocabulary.size,
            items: 0,
        })
    }

    /// What may come next. End-of-sequence tokens are allowed where the grammar accepts, and alone where nothing else may come.
    pub fn mask(&mut self) -> Result<Mask, GuideError> {
        let (parser, items) = (&mut self.parser, self.items);
        let bits = guarded(|| -> Result<_, String> {
            let bits = parser.compute_mask().map_err(|error| error.to_string())?;
            // Whether the grammar accepts is found behind the library's last look at its limits.
            if let Some(error) = parser.parser.get_error() {
                return Err(error.message());
            }
            room(parser.parser.lexer_stats().num_bytes, items)?;
            Ok(bits)
        });
        Ok(Mask::new(bits.map_err(GuideError::Run)?.into(), self.size))
    }

    /// Goes on behind a token that the last mask allowed.
    pub fn push(&mut self, token: u32) -> Result<(), GuideError> {
        let parser = &mut self.parser;
        let before = parser.parser_stats().all_items;
        let back = guarded(|| parser.consume_token(token)).map_err(GuideError::Run)?;
        let added = self.parser.parser_stats().all_items.saturating_sub(before);
        self.items = self.items.saturating_add(added);
        match back {
            0 => Ok(()),
            // Nothing that is taken asks for this.
            _ => Err(GuideError::Run("it would take tokens back".into())),
        }
    }
}

/// An answer that would take more memory is one that can't be followed: by the same count everywhere.
fn room(lexer: usize, items: usize) -> Result<(), String> {
    match lexer > LEXER || items > ITEMS {
        true => Err("it takes more memory than an answer has".into()),
        false => Ok(()),
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

/// Reads a grammar where there is room for it: the library follows rules and references by calling itself, and a stack that ends
/// would end the process.
fn deep<T: Send, E: std::fmt::Display>(
    work: impl FnOnce() -> Result<T, E> + Send,
) -> Result<T, GuideError> {
    let read = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("mythic-grammar".into())
            .stack_size(STACK)
            .spawn_scoped(scope, || guarded(work));
        match thread.map(|thread| thread.join()) {
            Ok(Ok(read)) => read,
            Ok(Err(_)) => Err("reading it failed".into()),
            Err(error) => Err(format!("there is no thread to read it: {error}")),
        }
    });
    read.map_err(GuideError::Grammar)
}

/// A text that nothing can be made of is refused by whoever takes it in, with a vocabulary or without one: this is without.
pub fn check_text(grammar: &str) -> Result<(), GuideError> {
    let grammar = TopLevelGrammar::from_lark(format!("{HEAD}{grammar}"));
    deep(|| {
        let read = GrammarInit::Serialized(grammar).validate(None, limits());
        match read.into_error() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_too_long_to_read_is_refused() {
        let pieces: Vec<[u8; 1]> = (0..=255).map(|byte| [byte]).collect();
        let pieces = pieces.iter().map(|piece| &piece[..]);
        let vocabulary = Vocabulary::of(pieces, std::iter::empty(), &[0]).unwrap();
        assert_eq!(read(&vocabulary, "start: \"a\"\n"), Ok(()));
        // No reading takes no time at all.
        let late = read_within(&vocabulary, "start: \"a\"\n", Duration::ZERO);
        assert_eq!(late, Err(GuideError::too_long()));
        let nonsense = read(&vocabulary, "start: other\n");
        assert!(matches!(nonsense, Err(GuideError::Grammar(_))));
    }

    #[test]
    fn an_answer_has_so_much_memory_and_no_more() {
        assert_eq!(room(LEXER, ITEMS), Ok(()));
        assert!(room(LEXER + 1, 0).is_err() && room(0, ITEMS + 1).is_err());
        // What the parser keeps is counted.
        let pieces: Vec<[u8; 1]> = (0..=255).map(|byte| [byte]).collect();
        let pieces = pieces.iter().map(|piece| &piece[..]);
        let vocabulary = Vocabulary::of(pieces, std::iter::empty(), &[0]).unwrap();
        let mut guide = Guide::new(&vocabulary, "start: one+\none: \"a\" \"b\"\n").unwrap();
        for token in b"abab" {
            guide.mask().unwrap();
            let before = guide.items;
            guide.push(u32::from(*token)).unwrap();
            assert!(guide.items >= before);
        }
        assert!(guide.items > 0);
        guide.items = ITEMS + 1;
        assert!(matches!(guide.mask(), Err(GuideError::Run(_))));
    }
}
