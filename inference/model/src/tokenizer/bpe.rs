//! Byte-level byte-pair encoding: words, their bytes written as characters, merged by rank.

use tokenizers::Model;
use tokenizers::models::bpe::{BPE, Merges, Vocab};

use super::error::TokenizerError;
use super::split::PreTokenizer;

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

pub(super) struct Bpe {
    words: PreTokenizer,
    merges: Box<BPE>,
    byte_chars: Box<[char; 256]>,
    /// The token of each byte that is a word by itself, where there is one.
    bytes: Box<[Option<u32>; 256]>,
}

impl Bpe {
    /// Of the tokens that text may become; with `whole_words`, a word that is a token is not merged.
    pub(super) fn new(
        vocabulary: Vocab,
        merges: Merges,
        words: PreTokenizer,
        whole_words: bool,
    ) -> Result<Self, TokenizerError> {
        let byte_chars = Box::new(byte_chars());
        let bytes = Box::new(byte_chars.map(|c| {
            let spelling = c.encode_utf8(&mut [0; 4]).to_owned();
            vocabulary.get(&spelling).copied()
        }));
        let merges = BPE::builder()
            .vocab_and_merges(vocabulary, merges)
            .ignore_merges(whole_words)
            // It would be one a thread, each growing for as long as the thread lives.
            .cache_capacity(0)
            .build()
            .map_err(|e| TokenizerError::Damaged(e.to_string()))?;
        Ok(Self {
            words,
            merges: Box::new(merges),
            byte_chars,
            bytes,
        })
    }

    /// Adds the ids of plain text.
    pub(super) fn encode(&self, text: &str, out: &mut Vec<u32>) -> Result<(), TokenizerError> {
        let mut failed = None;
        let mut spelling = String::new();
        self.words.words(text, |word| {
            if let [byte] = word.as_bytes() {
                out.extend(self.bytes[usize::from(*byte)]);
                return;
            }
            spelling.clear();
            spelling.extend(word.bytes().map(|b| self.byte_chars[usize::from(b)]));
            match self.merges.tokenize(&spelling) {
                Ok(tokens) => out.extend(tokens.iter().map(|token| token.id)),
                Err(error) => failed = Some(error),
            }
        });
        match failed {
            None => Ok(()),
            Some(error) => Err(TokenizerError::Encode(error.to_string())),
        }
    }
}
