//! The tokenizer of a GGUF file: byte-level BPE (`tokenizers`) or SentencePiece.
//!
//! - [`Tokenizer`]: the vocabulary, text to ids and back to bytes
//! - [`split`]: how text is cut into words before BPE
//! - `bpe`, `spm`: merging
//! - `special`: control tokens and others that stand in text as they are
//! - [`text`](DecodeStream): decoding that never splits a character, and stop strings
//!
//! The reference is llama.cpp: on the same file the same text gives the same ids. Only what a text
//! can't be is stricter: no spelling of plain text, in no vocabulary, becomes a control token.

mod bpe;
mod error;
mod special;
pub mod split;
mod spm;
mod text;

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use crate::gguf::{Gguf, GgufError, Texts, Value, short};
use bpe::Bpe;
pub use bpe::byte_chars;
pub use error::TokenizerError;
use special::Special;
use split::PreTokenizer;
use spm::Spm;
pub use text::{DecodeStream, Matched, StopMatcher, TextStream};

/// Token texts that end a generation wherever they occur in a vocabulary, as in llama.cpp.
const END_TEXTS: [&str; 15] = [
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "<|end_of_text|>",
    "<end_of_utterance>",
];
/// Ends a message, and no answer, in the vocabularies of gpt-oss and Solar, which have a pair of the others.
const MESSAGE_END: &str = "<|end|>";
const ANSWER_ENDS: [[&str; 2]; 2] = [["<|return|>", "<|call|>"], ["<|calls|>", "<|flush|>"]];

/// Tokens that a vocabulary may have; the largest of known models have about 2^18.
const VOCABULARY: std::ops::RangeInclusive<usize> = 4..=1 << 20;

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
    Bpe(Bpe),
    Spm(Spm),
}

/// A tokenizer; immutable and shared between threads.
pub struct Tokenizer {
    kind: Kind,
    /// The bytes that each token stands for in text; empty for control tokens.
    pieces: Vec<Box<[u8]>>,
    special: Special,
    /// Texts of control tokens.
    control_texts: Vec<String>,
    bos: Option<u32>,
    eos: Option<u32>,
    add_bos: bool,
    end_ids: Vec<u32>,
    texts_of_special: HashMap<u32, String>,
    longest: usize,
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

/// The vocabulary of a file, as its metadata lists it.
struct Vocabulary<'a> {
    tokens: &'a Texts,
    /// Of each token; those that end a generation are control tokens whatever the file says.
    classes: Vec<Class>,
    bos: Option<u32>,
    eos: Option<u32>,
    end_ids: Vec<u32>,
    /// Tokens that plain text never becomes.
    never_text: HashSet<u32>,
}

impl<'a> Vocabulary<'a> {
    fn new(gguf: &'a Gguf) -> Result<Self, TokenizerError> {
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
        let mut classes: Vec<Class> = match gguf.get("tokenizer.ggml.token_type") {
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
        let top = u32::try_from(n - 1).unwrap_or(u32::MAX);
        let id_of = |key: &str| gguf.int(&format!("tokenizer.ggml.{key}"), 0, top);
        let (bos, eos) = (id_of("bos_token_id")?, id_of("eos_token_id")?);
        let mut end_ids: Vec<u32> = [eos, id_of("eot_token_id")?, id_of("eom_token_id")?]
            .into_iter()
            .flatten()
            .collect();
        let ends: Vec<(u32, &str)> = (0u32..)
            .zip(tokens.iter())
            .filter(|(_, text)| END_TEXTS.contains(text))
            .collect();
        let has = |wanted: &&str| ends.iter().any(|(_, text)| text == wanted);
        let harmony = ANSWER_ENDS.iter().any(|pair| pair.iter().all(has));
        for (id, text) in &ends {
            if let Some(class) = usize::try_from(*id).ok().and_then(|id| classes.get_mut(id)) {
                *class = Class::Control;
            }
            if !(harmony && *text == MESSAGE_END) {
                end_ids.push(*id);
            }
        }
        end_ids.sort_unstable();
        end_ids.dedup();
        let control = (0u32..).zip(&classes).filter_map(|(id, class)| {
            matches!(class, Class::Control | Class::Unknown).then_some(id)
        });
        Ok(Self {
            tokens,
            never_text: control.chain(end_ids.iter().copied()).chain(bos).collect(),
            classes,
            bos,
            eos,
            end_ids,
        })
    }

    /// Every token with its text and class.
    fn iter(&self) -> impl Iterator<Item = (u32, &'a str, Class)> {
        let tokens: &'a Texts = self.tokens;
        (0u32..)
            .zip(tokens.iter().zip(&self.classes))
            .map(|(id, (text, class))| (id, text, *class))
    }

    /// The tokens that plain text may become by merging.
    fn of_text(&self) -> impl Iterator<Item = (u32, &'a str)> {
        self.iter()
            .filter(|(id, ..)| !self.never_text.contains(id))
            .map(|(id, text, _)| (id, text))
    }
}

impl Tokenizer {
    /// Builds the tokenizer that the file's metadata describes.
    pub fn from_gguf(gguf: &Gguf) -> Result<Self, TokenizerError> {
        let vocabulary = Vocabulary::new(gguf)?;
        let model = gguf
            .text("tokenizer.ggml.model")?
            .ok_or_else(|| GgufError::MissingKey("tokenizer.ggml.model".into()))?;
        let (kind, add_bos) = match model {
            "gpt2" => {
                let pre = gguf.text("tokenizer.ggml.pre")?.unwrap_or("default");
                let (words, whole_words) =
                    PreTokenizer::named(pre).ok_or_else(|| TokenizerError::Pre(short(pre)))?;
                // llama.cpp gives the Llama 3 family a beginning-of-sequence token unless the file says no.
                (
                    Kind::Bpe(bpe(gguf, &vocabulary, words, whole_words)?),
                    whole_words,
                )
            }
            "llama" => (Kind::Spm(spm(gguf, &vocabulary)?), true),
            other => return Err(TokenizerError::Model(short(other))),
        };
        let add_bos = gguf
            .bool("tokenizer.ggml.add_bos_token")?
            .unwrap_or(add_bos);
        let pieces: Vec<Box<[u8]>> = vocabulary
            .iter()
            .map(|(_, text, class)| piece(&kind, text, class))
            .collect();
        let special = |class| matches!(class, Class::Control | Class::Unknown | Class::UserDefined);
        let texts_of_special: HashMap<u32, String> = vocabulary
            .iter()
            .filter(|(.., class)| special(*class))
            .map(|(id, text, _)| (id, text.to_owned()))
            .collect();
        let longest = |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or(0);
        Ok(Self {
            special: Special::new(
                vocabulary
                    .iter()
                    .filter(|(.., class)| special(*class))
                    .map(|(id, text, class)| (text, id, class == Class::UserDefined)),
            )?,
            control_texts: vocabulary
                .iter()
                .filter(|(_, text, class)| {
                    matches!(class, Class::Control | Class::Unknown) && !text.is_empty()
                })
                .map(|(_, text, _)| text.to_owned())
                .collect(),
            longest: longest(&mut pieces.iter().map(|piece| piece.len()))
                .max(longest(&mut texts_of_special.values().map(String::len))),
            kind,
            pieces,
            bos: vocabulary.bos,
            eos: vocabulary.eos,
            add_bos: add_bos && vocabulary.bos.is_some(),
            end_ids: vocabulary.end_ids,
            texts_of_special,
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

    /// Texts of the control tokens: what no text that a user types may become.
    pub fn control_texts(&self) -> &[String] {
        &self.control_texts
    }

    /// The tokens that end a generation, ascending.
    pub fn end_ids(&self) -> &[u32] {
        &self.end_ids
    }

    /// Most bytes of text that one token takes up.
    pub fn longest_token(&self) -> usize {
        self.longest
    }

    /// The bytes that a token stands for in text, perhaps a part of a character; none for control
    /// tokens and unknown ids.
    pub fn piece(&self, id: u32) -> &[u8] {
        usize::try_from(id)
            .ok()
            .and_then(|id| self.pieces.get(id))
            .map_or(&[], |p| p)
    }

    /// Ids of `text` without a beginning-of-sequence token. With `parse_control`, texts of
    /// control tokens become these tokens; without, all of it is text.
    pub fn encode(&self, text: &str, parse_control: bool) -> Result<Vec<u32>, TokenizerError> {
        self.encode_where(text, &|_| parse_control)
    }

    /// The same, where texts of control tokens become these tokens only at places that are `allowed`.
    pub(crate) fn encode_where(
        &self,
        text: &str,
        allowed: &dyn Fn(&Range<usize>) -> bool,
    ) -> Result<Vec<u32>, TokenizerError> {
        let mut out = Vec::new();
        let mut at = 0;
        loop {
            let found = self.special.find(text, at, allowed);
            let end = found.as_ref().map_or(text.len(), |(place, _)| place.start);
            if end > at {
                self.encode_plain(&text[at..end], &mut out)?;
            }
            let Some((place, id)) = found else {
                return Ok(out);
            };
            out.push(id);
            at = place.end;
        }
    }

    fn encode_plain(&self, text: &str, out: &mut Vec<u32>) -> Result<(), TokenizerError> {
        match &self.kind {
            Kind::Bpe(bpe) => bpe.encode(text, out),
            Kind::Spm(spm) => {
                spm.encode(text, out);
                Ok(())
            }
        }
    }

    /// The bytes of `ids`, which need not be whole characters.
    pub fn decode_bytes(&self, ids: &[u32]) -> Vec<u8> {
        ids.iter()
            .flat_map(|id| self.piece(*id).iter().copied())
            .collect()
    }

    /// The text of `ids`; what is no character becomes U+FFFD.
    pub fn decode(&self, ids: &[u32]) -> String {
        String::from_utf8_lossy(&self.decode_bytes(ids)).into_owned()
    }
}

fn bpe(
    gguf: &Gguf,
    vocabulary: &Vocabulary,
    words: PreTokenizer,
    whole_words: bool,
) -> Result<Bpe, TokenizerError> {
    let merges = texts(gguf, "tokenizer.ggml.merges")?
        .ok_or_else(|| GgufError::MissingKey("tokenizer.ggml.merges".into()))?;
    let never: HashSet<&str> = vocabulary
        .iter()
        .filter(|(id, ..)| vocabulary.never_text.contains(id))
        .map(|(_, text, _)| text)
        .collect();
    let merges = merges
        .iter()
        .map(|line| {
            // The first character may itself be a space-like one, so the split is after it.
            line.char_indices()
                .skip(1)
                .find(|(_, c)| *c == ' ')
                .map(|(at, _)| (&line[..at], &line[at + 1..]))
                .ok_or_else(|| TokenizerError::Damaged(format!("merge `{}`", short(line))))
        })
        .filter(|merge| match merge {
            Ok((a, b)) => !never.contains(format!("{a}{b}").as_str()),
            Err(_) => true,
        })
        .map(|merge| merge.map(|(a, b)| (a.to_owned(), b.to_owned())))
        .collect::<Result<_, _>>()?;
    let of_text = vocabulary
        .of_text()
        .map(|(id, text)| (text.to_owned(), id))
        .collect();
    Bpe::new(of_text, merges, words, whole_words)
}

fn spm(gguf: &Gguf, vocabulary: &Vocabulary) -> Result<Spm, TokenizerError> {
    let scores = match gguf.get("tokenizer.ggml.scores") {
        Some(Value::Floats(scores)) if scores.len() == vocabulary.tokens.len() => {
            scores.iter().collect()
        }
        _ => {
            return Err(TokenizerError::Damaged(
                "scores are not one float a token".into(),
            ));
        }
    };
    let mut bytes = Box::new([None; 256]);
    for (id, text, class) in vocabulary.iter() {
        if let (Class::Byte, Some(byte)) = (class, byte_token(text)) {
            bytes[usize::from(byte)] = Some(id);
        }
    }
    let mut ids = HashMap::new();
    for (id, text) in vocabulary.of_text() {
        ids.entry(text.to_owned()).or_insert(id);
    }
    Ok(Spm {
        ids,
        scores,
        bytes,
        space_prefix: gguf
            .bool("tokenizer.ggml.add_space_prefix")?
            .unwrap_or(true),
    })
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
        (Class::UserDefined, Kind::Bpe(_)) => text.as_bytes().into(),
        (Class::Byte, _) => byte_token(text).map_or_else(Box::default, |b| [b].into()),
        (_, Kind::Spm(_)) => text.replace('\u{2581}', " ").into_bytes().into(),
        (_, Kind::Bpe(_)) => {
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
}
