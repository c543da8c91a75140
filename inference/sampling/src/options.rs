//! A job's options and their canonical bytes: every value that is allowed has exactly one encoding, and nothing else decodes.
//!
//! Little-endian, one after the other:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version, 1 |
//! | 1 | `top_k` |
//! | 4, 4 | `top_p_ppm`, `min_p_ppm` |
//! | 2, 2, 2 | `presence_milli`, `frequency_milli` (signed), `repetition_milli` |
//! | 2, then 4 + 4 each | number of biases; token id, bias in thousandths (signed) |
//! | 1, then 2 + n each | number of stop strings; length, UTF-8 |
//! | 4 + n | length of the grammar, 0 = none; UTF-8 |

use mythic_interface::hash::{self, Hash};

use crate::grammar;

/// One, in parts per million.
pub const PPM: u32 = 1_000_000;
/// Tokens of a position among which one can be drawn at most.
pub const MAX_TOP_K: u8 = 64;
/// Largest presence or frequency penalty, either sign, in thousandths.
pub const MAX_PENALTY_MILLI: i16 = 2_000;
/// Largest repetition penalty, in thousandths.
pub const MAX_REPETITION_MILLI: u16 = 10_000;
/// Most tokens with a bias.
pub const MAX_BIAS: usize = 1_024;
/// Largest bias, either sign, in thousandths.
pub const MAX_BIAS_MILLI: i32 = 100_000;
/// Most stop strings.
pub const MAX_STOPS: usize = 4;
/// Longest stop string, in bytes.
pub const MAX_STOP_BYTES: usize = 256;
/// Longest grammar, in bytes.
pub const MAX_GRAMMAR_BYTES: usize = 64 << 10;
/// Longest encoding.
pub const MAX_BYTES: usize =
    FIXED + MAX_BIAS * 8 + MAX_STOPS * (2 + MAX_STOP_BYTES) + MAX_GRAMMAR_BYTES;

const VERSION: u8 = 1;
/// Bytes of the encoding without biases, stop strings and grammar.
const FIXED: usize = 1 + 1 + 4 + 4 + 2 + 2 + 2 + 2 + 1 + 4;
/// A repetition penalty that does nothing, in thousandths.
const NEUTRAL_REPETITION: u16 = 1_000;

/// What a requester may say about the choice of tokens beside temperature and seed, which are in the job's terms.
///
/// [`Options::default`] changes nothing. What a client says in fractions is rounded by whoever makes this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Only this many of the largest: 1 to 63; 0 = all [`MAX_TOP_K`].
    pub top_k: u8,
    /// The smallest set whose probabilities reach this, 1 to [`PPM`]; [`PPM`] = all.
    pub top_p_ppm: u32,
    /// Only tokens with at least this share of the likeliest one's probability, 0 to [`PPM`].
    pub min_p_ppm: u32,
    /// Off the logits of tokens that the answer has already.
    pub presence_milli: i16,
    /// Off the logits for each time that the answer has the token.
    pub frequency_milli: i16,
    /// Divides positive logits of tokens that the answer has already, and multiplies negative ones; 1,000 = neutral.
    pub repetition_milli: u16,
    /// On the logits of these tokens, in thousandths: ids ascending, each once, no bias 0.
    pub logit_bias: Vec<(u32, i32)>,
    /// What ends the answer: ascending by their bytes, each once, none empty.
    pub stop: Vec<String>,
    /// What the answer must look like, in the language of [`crate::grammar`].
    pub grammar: Option<String>,
}

/// Why options are not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("{name} is {value}: allowed is {least} to {most}")]
    Range {
        /// The option, as [`Options`] names it.
        name: &'static str,
        value: i64,
        least: i64,
        most: i64,
    },
    #[error("logit_bias has {0} tokens: allowed are {MAX_BIAS}")]
    TooManyBiases(usize),
    #[error("logit_bias: token ids must ascend, each once, and a bias of 0 is left out")]
    BiasOrder,
    #[error("logit_bias: the model has no token {id}, its ids end at {last}")]
    UnknownToken {
        id: u32,
        /// The vocabulary's largest id.
        last: u32,
    },
    #[error("{0} stop strings are given: allowed are {MAX_STOPS}")]
    TooManyStops(usize),
    #[error("a stop string has {0} bytes: allowed are 1 to {MAX_STOP_BYTES}")]
    StopLength(usize),
    #[error("stop strings must ascend by their bytes, each once")]
    StopOrder,
    #[error("the grammar has {0} bytes: allowed are 1 to {MAX_GRAMMAR_BYTES}")]
    GrammarLength(usize),
    #[error("the grammar is not taken: {0}")]
    Grammar(#[from] grammar::Fault),
    #[error("the options are not canonical bytes of version {VERSION}: {0}")]
    Encoding(&'static str),
}

impl Default for Options {
    fn default() -> Self {
        Self {
            top_k: 0,
            top_p_ppm: PPM,
            min_p_ppm: 0,
            presence_milli: 0,
            frequency_milli: 0,
            repetition_milli: NEUTRAL_REPETITION,
            logit_bias: Vec::new(),
            stop: Vec::new(),
            grammar: None,
        }
    }
}

impl Options {
    /// Options that say nothing but where an answer ends: they are put in order, each once.
    pub fn stopping(mut stop: Vec<String>) -> Self {
        stop.sort_unstable();
        stop.dedup();
        Self {
            stop,
            ..Self::default()
        }
    }

    /// Whether they change nothing.
    pub fn is_neutral(&self) -> bool {
        self.stop.is_empty() && self.only_stops()
    }

    /// Whether they change nothing but where an answer ends: what a job of `seeded-top4` may say.
    pub fn only_stops(&self) -> bool {
        let neutral = Self::default();
        self.top_k == neutral.top_k
            && self.top_p_ppm == neutral.top_p_ppm
            && self.min_p_ppm == neutral.min_p_ppm
            && self.presence_milli == neutral.presence_milli
            && self.frequency_milli == neutral.frequency_milli
            && self.repetition_milli == neutral.repetition_milli
            && self.logit_bias.is_empty()
            && self.grammar.is_none()
    }

    /// Whether a token's logit depends on how often the answer has it.
    pub fn penalises(&self) -> bool {
        self.presence_milli != 0
            || self.frequency_milli != 0
            || self.repetition_milli != NEUTRAL_REPETITION
    }

    /// Whether every value is one that is allowed, for some model; [`Self::check_ids`] is about this one.
    pub fn check(&self) -> Result<(), Refusal> {
        let penalty = i64::from(MAX_PENALTY_MILLI);
        range("top_k", self.top_k, 0, i64::from(MAX_TOP_K) - 1)?;
        range("top_p_ppm", self.top_p_ppm, 1, i64::from(PPM))?;
        range("min_p_ppm", self.min_p_ppm, 0, i64::from(PPM))?;
        range("presence_milli", self.presence_milli, -penalty, penalty)?;
        range("frequency_milli", self.frequency_milli, -penalty, penalty)?;
        let most = i64::from(MAX_REPETITION_MILLI);
        range("repetition_milli", self.repetition_milli, 1, most)?;
        if self.logit_bias.len() > MAX_BIAS {
            return Err(Refusal::TooManyBiases(self.logit_bias.len()));
        }
        let most = i64::from(MAX_BIAS_MILLI);
        for (_, bias) in &self.logit_bias {
            range("logit_bias", *bias, -most, most)?;
        }
        if !self.logit_bias.is_sorted_by(|a, b| a.0 < b.0)
            || self.logit_bias.iter().any(|(_, bias)| *bias == 0)
        {
            return Err(Refusal::BiasOrder);
        }
        if self.stop.len() > MAX_STOPS {
            return Err(Refusal::TooManyStops(self.stop.len()));
        }
        let length = |stop: &&String| stop.is_empty() || stop.len() > MAX_STOP_BYTES;
        if let Some(stop) = self.stop.iter().find(length) {
            return Err(Refusal::StopLength(stop.len()));
        }
        if !self.stop.is_sorted_by(|a, b| a < b) {
            return Err(Refusal::StopOrder);
        }
        match &self.grammar {
            Some(text) if text.is_empty() || text.len() > MAX_GRAMMAR_BYTES => {
                Err(Refusal::GrammarLength(text.len()))
            }
            Some(text) => Ok(grammar::check(text)?),
            None => Ok(()),
        }
    }

    /// Whether every token that they name is in a vocabulary of this size.
    pub fn check_ids(&self, vocabulary: usize) -> Result<(), Refusal> {
        match self.logit_bias.last() {
            Some((id, _)) if *id as usize >= vocabulary => Err(Refusal::UnknownToken {
                id: *id,
                last: u32::try_from(vocabulary.saturating_sub(1)).unwrap_or(u32::MAX),
            }),
            _ => Ok(()),
        }
    }

    /// The canonical bytes.
    pub fn encode(&self) -> Result<Vec<u8>, Refusal> {
        self.check()?;
        let grammar = self.grammar.as_deref().unwrap_or_default();
        let mut out = Vec::with_capacity(FIXED + self.logit_bias.len() * 8 + grammar.len());
        out.extend([VERSION, self.top_k]);
        out.extend(self.top_p_ppm.to_le_bytes());
        out.extend(self.min_p_ppm.to_le_bytes());
        out.extend(self.presence_milli.to_le_bytes());
        out.extend(self.frequency_milli.to_le_bytes());
        out.extend(self.repetition_milli.to_le_bytes());
        // The checked limits fit: 1,024, 4, 256 and 65,536.
        out.extend((self.logit_bias.len() as u16).to_le_bytes());
        for (id, bias) in &self.logit_bias {
            out.extend(id.to_le_bytes());
            out.extend(bias.to_le_bytes());
        }
        out.push(self.stop.len() as u8);
        for stop in &self.stop {
            out.extend((stop.len() as u16).to_le_bytes());
            out.extend(stop.as_bytes());
        }
        out.extend((grammar.len() as u32).to_le_bytes());
        out.extend(grammar.as_bytes());
        Ok(out)
    }

    /// Options from their canonical bytes; whatever [`Self::encode`] does not write is refused.
    pub fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() > MAX_BYTES {
            return Err(Refusal::Encoding("there are too many bytes"));
        }
        let mut rest = Bytes(bytes);
        if rest.take::<1>()? != [VERSION] {
            return Err(Refusal::Encoding("another version"));
        }
        let [top_k] = rest.take()?;
        let top_p_ppm = u32::from_le_bytes(rest.take()?);
        let min_p_ppm = u32::from_le_bytes(rest.take()?);
        let presence_milli = i16::from_le_bytes(rest.take()?);
        let frequency_milli = i16::from_le_bytes(rest.take()?);
        let repetition_milli = u16::from_le_bytes(rest.take()?);
        let mut logit_bias = Vec::new();
        for _ in 0..u16::from_le_bytes(rest.take()?) {
            let id = u32::from_le_bytes(rest.take()?);
            logit_bias.push((id, i32::from_le_bytes(rest.take()?)));
        }
        let mut stop = Vec::new();
        let [stops] = rest.take()?;
        for _ in 0..stops {
            let length = u16::from_le_bytes(rest.take()?);
            stop.push(rest.text(usize::from(length))?);
        }
        let length = u32::from_le_bytes(rest.take()?);
        let length = usize::try_from(length).map_err(|_| Refusal::Encoding(ENDS_EARLY))?;
        let grammar = match length {
            0 => None,
            _ => Some(rest.text(length)?),
        };
        if !rest.0.is_empty() {
            return Err(Refusal::Encoding("bytes follow the last option"));
        }
        let options = Self {
            top_k,
            top_p_ppm,
            min_p_ppm,
            presence_milli,
            frequency_milli,
            repetition_milli,
            logit_bias,
            stop,
            grammar,
        };
        options.check()?;
        Ok(options)
    }

    /// The bytes that messages and evidence hold: none where the options are neutral.
    pub fn to_wire(&self) -> Result<Vec<u8>, Refusal> {
        match self.is_neutral() {
            true => Ok(Vec::new()),
            false => self.encode(),
        }
    }

    /// Options from what messages and evidence hold; neutral ones have no bytes there.
    pub fn from_wire(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let options = Self::decode(bytes)?;
        match options.is_neutral() {
            true => Err(Refusal::Encoding("neutral options have no bytes")),
            false => Ok(options),
        }
    }

    /// What a job's terms say of the options: all zero where they are neutral, else [`hash::options_hash`].
    pub fn hash(&self, salt: &[u8; 16]) -> Result<Hash, Refusal> {
        match self.is_neutral() {
            true => Ok([0; 32]),
            false => Ok(hash::options_hash(salt, &self.encode()?)),
        }
    }
}

const ENDS_EARLY: &str = "the bytes end too early";

/// What is left to decode.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Refusal> {
        let (head, rest) = self
            .0
            .split_first_chunk::<N>()
            .ok_or(Refusal::Encoding(ENDS_EARLY))?;
        self.0 = rest;
        Ok(*head)
    }

    fn text(&mut self, length: usize) -> Result<String, Refusal> {
        let (head, rest) = self
            .0
            .split_at_checked(length)
            .ok_or(Refusal::Encoding(ENDS_EARLY))?;
        self.0 = rest;
        let text = std::str::from_utf8(head).map_err(|_| Refusal::Encoding("text is not UTF-8"))?;
        Ok(text.to_owned())
    }
}

fn range(name: &'static str, value: impl Into<i64>, least: i64, most: i64) -> Result<(), Refusal> {
    let value = value.into();
    match (least..=most).contains(&value) {
        true => Ok(()),
        false => Err(Refusal::Range {
            name,
            value,
            least,
            most,
        }),
    }
}
