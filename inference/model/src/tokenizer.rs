//! The tokenizer of a GGUF file: byte-level BPE (`tokenizers`) or SentencePiece, special tokens,
//! decoding that never splits a character, and stop strings across token boundaries.
//!
//! The reference is llama.cpp: on the same file the same text gives the same ids.

use std::collections::{BinaryHeap, HashMap};

use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{
    Model, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, SplitDelimiterBehavior,
};

use crate::gguf::{Gguf, GgufError, Texts, Value, short};

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const DIGIT: &str = r"\p{N}";

/// Token texts that end a generation wherever they occur in a vocabulary, as in llama.cpp.
const END_TEXTS: [&str; 11] = [
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "<|end_of_text|>",
];

/// Tokens that a vocabulary may have; the largest of known models have about 2^18.
const VOCABULARY: std::ops::RangeInclusive<usize> = 4..=1 << 20;

/// Why a tokenizer could not be made or a text not be encoded.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    #[error(transparent)]
    Gguf(#[from] GgufError),
    #[error(
        "tokenizer model `{0}` is not supported; supported are `gpt2` (BPE) and `llama` (SentencePiece)"
    )]
    Model(String),
    #[error(
        "pre-tokenizer `{0}` is not supported; supported are default, gpt-2, smollm, starcoder, command-r, refact, llama-bpe, llama3, qwen2, deepseek-r1-qwen"
    )]
    Pre(String),
    #[error("the file's tokenizer is damaged: {0}")]
    Damaged(String),
    #[error("cannot encode the text: {0}")]
    Encode(String),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Class {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

impl Class {
    fn from_code(code: i64) -> Self {
        match code {
            2 => Class::Unknown,
            3 => Class::Control,
            4 => Class::UserDefined,
            5 => Class::Unused,
            6 => Class::Byte,
            _ => Class::Normal,
        }
    }
}

enum Kind {
    Bpe {
        splits: Vec<Split>,
        bpe: Box<BPE>,
        byte_chars: Box<[char; 256]>,
    },
    Spm {
        ids: HashMap<String, u32>,
        scores: Vec<f32>,
        bytes: Box<[Option<u32>; 256]>,
        space_prefix: bool,
    },
}

/// A tokenizer; immutable and shared between threads.
pub struct Tokenizer {
    kind: Kind,
    /// The bytes that each token stands for in text; empty for control tokens.
    pieces: Vec<Box<[u8]>>,
    special: Special,
    bos: Option<u32>,
    eos: Option<u32>,
    add_bos: bool,
    end_ids: Vec<u32>,
    texts_of_special: HashMap<u32, String>,
}

/// Finds special tokens in text: leftmost, the longest first.
struct Special {
    /// Texts by first byte, longest first, and whether a text that is not a template may name it.
    by_first: HashMap<u8, Vec<(String, u32, bool)>>,
}

impl Special {
    fn find(&self, text: &str, from: usize, parse_control: bool) -> Option<(usize, usize, u32)> {
        let bytes = text.as_bytes();
        (from..bytes.len()).find_map(|at| {
            self.by_first
                .get(&bytes[at])?
                .iter()
                .find_map(|(s, id, user)| {
                    ((*user || parse_control) && bytes[at..].starts_with(s.as_bytes())).then_some((
                        at,
                        s.len(),
                        *id,
                    ))
                })
        })
    }
}

/// The 256 characters that byte-level BPE writes bytes with.
pub fn byte_chars() -> [char; 256] {
    let mut out = ['\0'; 256];
    let mut next = 256;
    for (byte, slot) in out.iter_mut().enumerate() {
        let printable = matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
        let code = if printable {
            byte as u32
        } else {
            next += 1;
            next - 1
        };
        *slot = char::from_u32(code).unwrap_or('\u{fffd}');
    }
    out
}

fn texts<'a>(gguf: &'a Gguf, key: &str) -> Result<Option<&'a Texts>, GgufError> {
    match gguf.get(key) {
        None => Ok(None),
        Some(Value::Texts(texts)) => Ok(Some(texts)),
        Some(_) => Err(GgufError::OutOfRange {
            key: key.into(),
            value: "of another type".into(),
            allowed: "an array of strings".into(),
        }),
    }
}

impl Tokenizer {
    /// Builds the tokenizer that the file's metadata describes.
    pub fn from_gguf(gguf: &Gguf) -> Result<Self, TokenizerError> {
        let tokens = texts(gguf, "tokenizer.ggml.tokens")?
            .ok_or_else(|| GgufError::MissingKey("tokenizer.ggml.tokens".into()))?;
        let n = tokens.len();
        if !VOCABULARY.contains(&n) {
            return Err(TokenizerError::Damaged(format!(
                "a vocabulary of {n} tokens; allowed is {} to {}",
                VOCABULARY.start(),
                VOCABULARY.end()
            )));
        }
        let top = n as u32 - 1;
        let classes: Vec<Class> = match gguf.get("tokenizer.ggml.token_type") {
            Some(Value::Ints(codes)) if codes.len() == n => {
                codes.iter().map(Class::from_code).collect()
            }
            None => vec![Class::Normal; n],
            Some(_) => {
                return Err(TokenizerError::Damaged(format!(
                    "token_type is not an array of {n} integers"
                )));
            }
        };
        let id_of = |key: &str| gguf.int(&format!("tokenizer.ggml.{key}"), 0, top);
        let bos = id_of("bos_token_id")?;
        let eos = id_of("eos_token_id")?;
        let model = gguf
            .text("tokenizer.ggml.model")?
            .ok_or_else(|| GgufError::MissingKey("tokenizer.ggml.model".into()))?;
        let mut add_bos = model == "llama";
        let kind = match model {
            "gpt2" => {
                let pre = gguf.text("tokenizer.ggml.pre")?.unwrap_or("default");
                let (patterns, ignore_merges): (&[&str], bool) = match pre {
                    "default" | "gpt-2" | "gpt2" => (&[GPT2], false),
                    "smollm" | "starcoder" | "command-r" | "refact" => (&[DIGIT, GPT2], false),
                    "llama-bpe" | "llama3" | "llama-v3" => {
                        add_bos = true;
                        (&[LLAMA3], true)
                    }
                    "qwen2" | "deepseek-r1-qwen" => (&[QWEN2], false),
                    other => return Err(TokenizerError::Pre(short(other))),
                };
                Self::bpe(gguf, tokens, patterns, ignore_merges)?
            }
            "llama" => Self::spm(gguf, tokens, &classes)?,
            other => return Err(TokenizerError::Model(short(other))),
        };
        let add_bos = gguf
            .bool("tokenizer.ggml.add_bos_token")?
            .unwrap_or(add_bos);
        let pieces = tokens
            .iter()
            .zip(&classes)
            .map(|(text, class)| piece(&kind, text, *class))
            .collect();
        let mut end_ids: Vec<u32> = ["eos_token_id", "eot_token_id", "eom_token_id"]
            .into_iter()
            .map(id_of)
            .filter_map(Result::transpose)
            .collect::<Result<_, _>>()?;
        let mut by_first: HashMap<u8, Vec<(String, u32, bool)>> = HashMap::new();
        let mut texts_of_special = HashMap::new();
        for (id, (text, class)) in (0u32..).zip(tokens.iter().zip(&classes)) {
            if END_TEXTS.contains(&text) {
                end_ids.push(id);
            }
            let special = matches!(class, Class::Control | Class::Unknown | Class::UserDefined);
            if let (true, Some(first)) = (special, text.as_bytes().first()) {
                by_first.entry(*first).or_default().push((
                    text.to_owned(),
                    id,
                    *class == Class::UserDefined,
                ));
                texts_of_special.insert(id, text.to_owned());
            }
        }
        for list in by_first.values_mut() {
            list.sort_by(|a, b| b.0.len().cmp(&a.0.len()).then(a.1.cmp(&b.1)));
        }
        end_ids.sort_unstable();
        end_ids.dedup();
        Ok(Self {
            kind,
            pieces,
            special: Special { by_first },
            bos,
            eos,
            add_bos: add_bos && bos.is_some(),
            end_ids,
            texts_of_special,
        })
    }

    fn bpe(
        gguf: &Gguf,
        tokens: &Texts,
        patterns: &[&str],
        ignore_merges: bool,
    ) -> Result<Kind, TokenizerError> {
        let damaged = |e: tokenizers::Error| TokenizerError::Damaged(e.to_string());
        let merges: Merges = texts(gguf, "tokenizer.ggml.merges")?
            .ok_or_else(|| GgufError::MissingKey("tokenizer.ggml.merges".into()))?
            .iter()
            .map(|line| {
                // The first character may itself be a space-like one, so the split is after it.
                line.char_indices()
                    .skip(1)
                    .find(|(_, c)| *c == ' ')
                    .map(|(at, _)| (line[..at].to_owned(), line[at + 1..].to_owned()))
                    .ok_or_else(|| TokenizerError::Damaged(format!("merge `{}`", short(line))))
            })
            .collect::<Result<_, _>>()?;
        let vocab: Vocab = tokens.iter().map(str::to_owned).zip(0u32..).collect();
        let bpe = BPE::builder()
            .vocab_and_merges(vocab, merges)
            .ignore_merges(ignore_merges)
            .build()
            .map_err(damaged)?;
        let splits = patterns
            .iter()
            .map(|p| {
                Split::new(
                    SplitPattern::Regex((*p).into()),
                    SplitDelimiterBehavior::Isolated,
                    false,
                )
            })
            .collect::<Result<_, _>>()
            .map_err(damaged)?;
        Ok(Kind::Bpe {
            splits,
            bpe: Box::new(bpe),
            byte_chars: Box::new(byte_chars()),
        })
    }

    fn spm(gguf: &Gguf, tokens: &Texts, classes: &[Class]) -> Result<Kind, TokenizerError> {
        let scores = match gguf.get("tokenizer.ggml.scores") {
            Some(Value::Floats(scores)) if scores.len() == tokens.len() => scores.iter().collect(),
            _ => {
                return Err(TokenizerError::Damaged(
                    "scores are not one float a token".into(),
                ));
            }
        };
        let mut ids = HashMap::new();
        let mut bytes = Box::new([None; 256]);
        for (id, (text, class)) in (0u32..).zip(tokens.iter().zip(classes)) {
            if let (Class::Byte, Some(byte)) = (class, byte_token(text)) {
                bytes[usize::from(byte)] = Some(id);
            }
            ids.entry(text.to_owned()).or_insert(id);
        }
        Ok(Kind::Spm {
            ids,
            scores,
            bytes,
            space_prefix: gguf
                .bool("tokenizer.ggml.add_space_prefix")?
                .unwrap_or(true),
        })
    }

    /// Tokens in the vocabulary.
    pub fn vocab_size(&self) -> usize {
        self.pieces.len()
    }

    /// The beginning-of-sequence token, if any.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// Whether a sequence starts with it.
    pub fn add_bos(&self) -> bool {
        self.add_bos
    }

    /// The text of the beginning-of-sequence token, for templates.
    pub fn bos_text(&self) -> &str {
        self.special_text(self.bos)
    }

    /// The text of the end-of-sequence token, for templates.
    pub fn eos_text(&self) -> &str {
        self.special_text(self.eos)
    }

    fn special_text(&self, id: Option<u32>) -> &str {
        id.and_then(|id| self.texts_of_special.get(&id))
            .map_or("", String::as_str)
    }

    /// The tokens that end a generation, ascending.
    pub fn end_ids(&self) -> &[u32] {
        &self.end_ids
    }

    /// The bytes that a token stands for in text; none for control tokens and unknown ids.
    pub fn piece(&self, id: u32) -> &[u8] {
        usize::try_from(id)
            .ok()
            .and_then(|id| self.pieces.get(id))
            .map_or(&[], |p| p)
    }

    /// Ids of `text` without a beginning-of-sequence token. With `parse_control`, texts of
    /// control tokens become these tokens.
    pub fn encode(&self, text: &str, parse_control: bool) -> Result<Vec<u32>, TokenizerError> {
        let mut out = Vec::new();
        let mut at = 0;
        while at < text.len() {
            let found = self.special.find(text, at, parse_control);
            let end = found.map_or(text.len(), |(start, ..)| start);
            if end > at {
                self.encode_plain(&text[at..end], &mut out)?;
            }
            match found {
                Some((start, len, id)) => {
                    out.push(id);
                    at = start + len;
                }
                None => break,
            }
        }
        Ok(out)
    }

    fn encode_plain(&self, text: &str, out: &mut Vec<u32>) -> Result<(), TokenizerError> {
        let fail = |e: tokenizers::Error| TokenizerError::Encode(e.to_string());
        match &self.kind {
            Kind::Bpe {
                splits,
                bpe,
                byte_chars,
            } => {
                let mut pieces = PreTokenizedString::from(text);
                for split in splits {
                    split.pre_tokenize(&mut pieces).map_err(fail)?;
                }
                let mut word = String::new();
                for (piece, ..) in pieces.get_splits(OffsetReferential::Original, OffsetType::None)
                {
                    word.clear();
                    word.extend(piece.bytes().map(|b| byte_chars[usize::from(b)]));
                    out.extend(bpe.tokenize(&word).map_err(fail)?.iter().map(|t| t.id));
                }
            }
            Kind::Spm {
                ids,
                scores,
                bytes,
                space_prefix,
            } => {
                let mut spaced = text.replace(' ', "\u{2581}");
                // Plain text stands at the start or after a special token; both take the prefix.
                if *space_prefix {
                    spaced.insert(0, '\u{2581}');
                }
                spm_merge(&spaced, ids, scores, bytes, out);
            }
        }
        Ok(())
    }

    /// A decoder that gives text as soon as it is complete.
    pub fn decode_stream(&self) -> DecodeStream<'_> {
        DecodeStream {
            tokenizer: self,
            bytes: Utf8Buffer::default(),
        }
    }

    /// The text of `ids`.
    pub fn decode(&self, ids: &[u32]) -> String {
        let bytes: Vec<u8> = ids
            .iter()
            .flat_map(|id| self.piece(*id).iter().copied())
            .collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

fn byte_token(text: &str) -> Option<u8> {
    let hex = text.strip_prefix("<0x")?.strip_suffix('>')?;
    (hex.len() == 2)
        .then(|| u8::from_str_radix(hex, 16).ok())
        .flatten()
}

fn piece(kind: &Kind, text: &str, class: Class) -> Box<[u8]> {
    match (class, kind) {
        (Class::Control | Class::Unused | Class::Unknown, _) => Box::default(),
        (Class::UserDefined, Kind::Bpe { .. }) => text.as_bytes().into(),
        (Class::Byte, _) => byte_token(text).map_or_else(Box::default, |b| [b].into()),
        (_, Kind::Spm { .. }) => text.replace('\u{2581}', " ").into_bytes().into(),
        (_, Kind::Bpe { .. }) => {
            let mut out = Vec::with_capacity(text.len());
            for c in text.chars() {
                match char_byte(c) {
                    Some(byte) => out.push(byte),
                    None => out.extend(c.encode_utf8(&mut [0; 4]).as_bytes()),
                }
            }
            out.into()
        }
    }
}

/// The byte that a character of byte-level BPE stands for: the inverse of [`byte_chars`].
fn char_byte(c: char) -> Option<u8> {
    let code = u32::from(c);
    let byte = match code {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => code,
        0x100..=0x120 => code - 0x100,
        0x121..=0x142 => code - 0x121 + 0x7f,
        0x143 => 0xad,
        _ => return None,
    };
    u8::try_from(byte).ok()
}

/// A pair that may merge: highest score first, then the leftmost.
#[derive(PartialEq)]
struct Pair {
    score: f32,
    left: usize,
    right: usize,
    len: usize,
}

impl Eq for Pair {}

impl Ord for Pair {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.score
            .total_cmp(&other.score)
            .then(other.left.cmp(&self.left))
    }
}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// SentencePiece's merging: characters, then again and again the adjacent pair whose union has
/// the best score; what is in no vocabulary falls back to bytes.
fn spm_merge(
    text: &str,
    ids: &HashMap<String, u32>,
    scores: &[f32],
    bytes: &[Option<u32>; 256],
    out: &mut Vec<u32>,
) {
    const NONE: usize = usize::MAX;
    struct Symbol {
        start: usize,
        len: usize,
        prev: usize,
        next: usize,
    }
    let mut symbols: Vec<Symbol> = Vec::new();
    for (start, c) in text.char_indices() {
        let at = symbols.len();
        symbols.push(Symbol {
            start,
            len: c.len_utf8(),
            prev: at.wrapping_sub(1),
            next: at + 1,
        });
    }
    if let Some(last) = symbols.last_mut() {
        last.next = NONE;
    }
    let mut heap = BinaryHeap::new();
    let propose = |symbols: &[Symbol], left: usize, right: usize, heap: &mut BinaryHeap<Pair>| {
        if left == NONE || right == NONE {
            return;
        }
        let len = symbols[left].len + symbols[right].len;
        let start = symbols[left].start;
        if let Some(id) = ids.get(&text[start..start + len])
            && let Some(score) = scores.get(*id as usize)
        {
            heap.push(Pair {
                score: *score,
                left,
                right,
                len,
            });
        }
    };
    for right in 1..symbols.len() {
        propose(&symbols, right - 1, right, &mut heap);
    }
    while let Some(pair) = heap.pop() {
        let (left, right) = (pair.left, pair.right);
        // A pair is stale when either side has merged since.
        if symbols[left].len == 0
            || symbols[right].len == 0
            || symbols[left].len + symbols[right].len != pair.len
        {
            continue;
        }
        symbols[left].len = pair.len;
        symbols[right].len = 0;
        let next = symbols[right].next;
        symbols[left].next = next;
        if next != NONE {
            symbols[next].prev = left;
        }
        let prev = symbols[left].prev;
        propose(&symbols, prev, left, &mut heap);
        propose(&symbols, left, next, &mut heap);
    }
    for symbol in symbols.iter().filter(|s| s.len > 0) {
        let piece = &text[symbol.start..symbol.start + symbol.len];
        match ids.get(piece) {
            Some(id) => out.push(*id),
            None => out.extend(piece.bytes().filter_map(|b| bytes[usize::from(b)])),
        }
    }
}

/// Bytes in, whole characters out.
#[derive(Clone, Debug, Default)]
struct Utf8Buffer {
    pending: Vec<u8>,
}

impl Utf8Buffer {
    fn push(&mut self, bytes: &[u8]) -> String {
        self.pending.extend_from_slice(bytes);
        let mut out = String::new();
        loop {
            match std::str::from_utf8(&self.pending) {
                Ok(text) => {
                    out.push_str(text);
                    self.pending.clear();
                    return out;
                }
                Err(error) => {
                    let valid = error.valid_up_to();
                    out.push_str(&String::from_utf8_lossy(&self.pending[..valid]));
                    match error.error_len() {
                        // Bytes that no continuation can mend.
                        Some(bad) => {
                            out.push('\u{fffd}');
                            self.pending.drain(..valid + bad);
                        }
                        None => {
                            self.pending.drain(..valid);
                            return out;
                        }
                    }
                }
            }
        }
    }

    fn finish(&mut self) -> String {
        let out = String::from_utf8_lossy(&self.pending).into_owned();
        self.pending.clear();
        out
    }
}

/// Decodes token by token; a character that is spread over tokens comes with the last of them.
pub struct DecodeStream<'a> {
    tokenizer: &'a Tokenizer,
    bytes: Utf8Buffer,
}

impl DecodeStream<'_> {
    /// Adds a token; the text that is complete now, perhaps empty.
    pub fn push(&mut self, id: u32) -> String {
        self.bytes.push(self.tokenizer.piece(id))
    }

    /// What is left: an unfinished character becomes U+FFFD.
    pub fn finish(&mut self) -> String {
        self.bytes.finish()
    }
}

/// Watches decoded text for stop strings, holding back what might become one.
#[derive(Clone, Debug, Default)]
pub struct StopMatcher {
    stops: Vec<String>,
    held: String,
}

/// What a [`StopMatcher`] makes of some text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matched {
    /// Text that may be shown: it can no longer be part of a stop string.
    pub text: String,
    /// A stop string is complete: generation ends, and neither it nor what follows is shown.
    pub stopped: bool,
}

impl StopMatcher {
    /// A matcher of these strings; empty ones are ignored.
    pub fn new(stops: Vec<String>) -> Self {
        Self {
            stops: stops.into_iter().filter(|s| !s.is_empty()).collect(),
            held: String::new(),
        }
    }

    /// Adds text.
    pub fn push(&mut self, text: &str) -> Matched {
        self.held.push_str(text);
        let first = self
            .stops
            .iter()
            .filter_map(|stop| self.held.find(stop.as_str()))
            .min();
        if let Some(at) = first {
            self.held.truncate(at);
            return Matched {
                text: std::mem::take(&mut self.held),
                stopped: true,
            };
        }
        let keep = self
            .stops
            .iter()
            .map(|stop| {
                (1..stop.len())
                    .rev()
                    .find(|n| stop.is_char_boundary(*n) && self.held.ends_with(&stop[..*n]))
                    .unwrap_or(0)
            })
            .max()
            .unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - keep);
        Matched {
            text: std::mem::replace(&mut self.held, rest),
            stopped: false,
        }
    }

    /// The text still held back, once no more will come.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

/// Decoder and stop matcher of one generation, owning its state so that it can live in a queue.
#[derive(Clone, Debug, Default)]
pub struct TextStream {
    bytes: Utf8Buffer,
    stops: StopMatcher,
}

impl TextStream {
    pub fn new(stops: Vec<String>) -> Self {
        Self {
            bytes: Utf8Buffer::default(),
            stops: StopMatcher::new(stops),
        }
    }

    pub fn push(&mut self, piece: &[u8]) -> Matched {
        let text = self.bytes.push(piece);
        self.stops.push(&text)
    }

    pub fn finish(&mut self) -> Matched {
        let tail = self.bytes.finish();
        let mut matched = self.stops.push(&tail);
        if !matched.stopped {
            matched.text.push_str(&self.stops.finish());
        }
        matched
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_characters_are_a_bijection() {
        for (byte, c) in byte_chars().into_iter().enumerate() {
            assert_eq!(char_byte(c).map(usize::from), Some(byte));
        }
        assert_eq!(byte_chars()[usize::from(b' ')], 'Ġ');
        assert_eq!(byte_chars()[usize::from(b'\n')], 'Ċ');
        assert_eq!(char_byte('☃'), None);
    }

    #[test]
    fn characters_come_whole_and_broken_ones_are_replaced() {
        let mut b = Utf8Buffer::default();
        let snow = "☃".as_bytes();
        assert_eq!(b.push(&snow[..1]), "");
        assert_eq!(b.push(&snow[1..]), "☃");
        assert_eq!(b.push(&[b'a', 0xff, b'b', 0xe2]), "a\u{fffd}b");
        assert_eq!(b.push(b"c"), "\u{fffd}c");
        assert_eq!(b.push(&[0xf0, 0x9f]), "");
        assert_eq!(b.finish(), "\u{fffd}");
        assert_eq!(b.finish(), "");
    }

    #[test]
    fn a_stop_string_is_found_across_pushes_and_never_shown() {
        let mut m = StopMatcher::new(vec!["END".into(), "\n\n".into(), String::new()]);
        assert_eq!(m.push("a E").text, "a ");
        assert_eq!(m.push("N").text, "");
        let hit = m.push("D and more");
        assert_eq!((hit.text.as_str(), hit.stopped), ("", true));

        let mut m = StopMatcher::new(vec!["END".into(), "\n\n".into()]);
        assert_eq!(m.push("xEN").text, "x");
        assert_eq!(m.push("ough\n").text, "ENough");
        assert_eq!(m.finish(), "\n");
    }

    #[test]
    fn the_earliest_of_several_stop_strings_wins() {
        let mut m = StopMatcher::new(vec!["later".into(), "first".into()]);
        let hit = m.push("the first, later");
        assert_eq!((hit.text.as_str(), hit.stopped), ("the ", true));
    }

    #[test]
    fn stop_strings_of_several_bytes_a_character_do_not_panic() {
        let mut m = StopMatcher::new(vec!["☃☃".into()]);
        assert_eq!(m.push("é☃").text, "é");
        assert!(m.push("☃").stopped);
    }

    #[test]
    fn sentencepiece_merges_by_score_and_falls_back_to_bytes() {
        let vocab = [
            "<unk>", "▁", "a", "b", "ab", "▁ab", "<0xC3>", "<0xA9>", "ba",
        ];
        let scores = [0.0, -5.0, -4.0, -4.0, -1.0, -2.0, 0.0, 0.0, -0.5];
        let ids = vocab.iter().map(|s| s.to_string()).zip(0u32..).collect();
        let mut bytes = [None; 256];
        bytes[0xc3] = Some(6);
        bytes[0xa9] = Some(7);
        let encode = |text: &str| {
            let mut out = Vec::new();
            spm_merge(text, &ids, &scores, &bytes, &mut out);
            out
        };
        assert_eq!(encode("▁ab"), [5]);
        // `ba` scores best, which leaves an `a` and a `b` outside.
        assert_eq!(encode("abab"), [2, 8, 3]);
        assert_eq!(encode("aé"), [2, 6, 7]);
        assert_eq!(encode(""), [0u32; 0]);
    }
}
