//! What an engine is asked and what it answers.

use std::sync::Arc;

use mythic_interface::sampler::{Sampling, Top4};
/// Why a generation ended; an engine never says `Cancelled`.
pub use mythic_interface::state::FinishReason as Finish;
use mythic_sampling::Options;

/// How tokens are chosen.
#[derive(Clone, Debug, PartialEq)]
pub enum Sampler {
    /// The protocol's: seeded, among the four largest logits, replayable on chain.
    Verified {
        seed: [u8; 32],
        temperature_milli: u16,
    },
    /// The protocol's by options: seeded, over the whole vocabulary, replayable by whoever computes the same bits. What the
    /// options say of stop strings takes the place of [`GenerateRequest::stop`].
    Full {
        seed: [u8; 32],
        temperature_milli: u16,
        options: Arc<Options>,
    },
    /// Over the whole vocabulary, for unbilled requests.
    Free {
        /// 0 takes the largest logit.
        temperature: f32,
        /// Smallest set of tokens whose probabilities reach this sum; 1 = all.
        top_p: f32,
        seed: u64,
    },
}

impl Sampler {
    pub(crate) fn validate(&self, vocabulary: usize) -> Result<(), EngineError> {
        match self {
            Sampler::Verified { .. } => Ok(()),
            Sampler::Full { options, .. } => options
                .check()
                .and_then(|()| options.check_ids(vocabulary))
                .map_err(|refusal| EngineError::Invalid(refusal.to_string())),
            Sampler::Free {
                temperature, top_p, ..
            } => {
                if !(0.0..=100.0).contains(temperature) {
                    return Err(EngineError::Invalid(format!(
                        "temperature {temperature}: allowed is 0 to 100"
                    )));
                }
                if !(*top_p > 0.0 && *top_p <= 1.0) {
                    return Err(EngineError::Invalid(format!(
                        "top_p {top_p}: allowed is above 0, up to 1"
                    )));
                }
                Ok(())
            }
        }
    }

    /// Seed and temperature, if it is one of the protocol's.
    pub fn verified(&self) -> Option<Sampling> {
        match self {
            Sampler::Verified {
                seed,
                temperature_milli,
            }
            | Sampler::Full {
                seed,
                temperature_milli,
                ..
            } => Some(Sampling {
                seed: *seed,
                temperature_milli: *temperature_milli,
            }),
            Sampler::Free { .. } => None,
        }
    }
}

/// A request to generate.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerateRequest {
    /// The whole prompt as token ids, beginning-of-sequence token included.
    pub prompt_ids: Vec<u32>,
    /// Most tokens to generate, at least 1.
    pub max_tokens: u32,
    pub sampler: Sampler,
    /// Strings that end the generation; they are not part of the text.
    pub stop: Vec<String>,
    /// Whether each step says its [`Step::log_sum_exp`].
    pub logprobs: bool,
}

/// Who goes first where not all can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Priority {
    /// Somebody waits for the tokens: every [`super::Engine::generate`].
    Interactive,
    /// Answers that are checked: [`super::Engine::check`] and [`super::Engine::teacher_forced`].
    Verification,
}

/// What a checker computes at one position of an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Checked {
    /// Its own four largest logits, Q16.16.
    pub own: Top4,
    /// Its own fifth-largest, which no answer shows: that it was computed.
    pub fifth: (u32, i32),
    /// Its own logits at the four ids that the answer's maker claimed, Q16.16.
    pub at_claimed: [i32; 4],
    /// Natural logarithm of the sum of the exponentials of all logits of the position.
    pub log_sum_exp: f32,
    /// What must stand there by the answer's options, `u32::MAX` where nothing may; `None` if nobody asked.
    pub choice: Option<u32>,
}

/// How the tokens of an answer that is checked were to be chosen, where its four largest logits don't tell.
#[derive(Clone, Debug)]
pub struct ByOptions {
    pub options: Arc<Options>,
    pub sampling: Sampling,
    /// Tokens of the whole result.
    pub output_tokens: u32,
    /// Most tokens that were asked for.
    pub max_tokens: u32,
    /// As the result says it.
    pub finish_reason: u8,
    /// The positions that are asked about, ascending; `None` = all.
    pub asked: Option<Vec<u32>>,
}

/// One generated token.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Index of the token in the answer, from 0.
    pub position: u32,
    pub token: u32,
    /// The four largest logits (Q16.16) of the position, ordered as the protocol wants.
    pub top4: Top4,
    /// Text that is complete with this token; may be empty, and is held back while it might
    /// become a stop string.
    pub text: String,
    /// Natural logarithm of the sum of the exponentials of all logits of the position, if the
    /// request asked: a logit less this is a log-probability.
    pub log_sum_exp: Option<f32>,
    /// On the first step: tokens of the prompt whose keys and values were found in the prefix cache. It says nothing of the
    /// answer, and is `None` where it is not known.
    pub cached_tokens: Option<u32>,
    /// Set on the last step.
    pub finish: Option<Finish>,
}

/// What can go wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    #[error(
        "the engine is busy: {queued} requests wait already; try again in {retry_after_seconds} s"
    )]
    Busy {
        queued: usize,
        retry_after_seconds: u64,
    },
    #[error("the prompt is empty")]
    EmptyPrompt,
    #[error(
        "{prompt_tokens} prompt tokens and {max_tokens} to generate exceed the model's context of {context}"
    )]
    ContextExceeded {
        prompt_tokens: usize,
        max_tokens: usize,
        context: usize,
    },
    #[error(
        "the request needs {needed} bytes of key-value memory, the node allows {allowed}; lower max_tokens, or raise kv_bytes"
    )]
    TooLarge { needed: u64, allowed: u64 },
    #[error("token id {id} is outside the vocabulary of {vocabulary}")]
    UnknownToken { id: u32, vocabulary: usize },
    #[error("{0}")]
    Invalid(String),
    /// The last thing a stream gives after its token was cancelled.
    #[error("the request was cancelled")]
    Cancelled,
    /// The library that follows grammars met a limit or an error. It says nothing of the answer.
    #[error("{0}")]
    Grammar(String),
    #[error("the model computed no usable logits: {0}")]
    Numbers(String),
    #[error("the engine has stopped")]
    Stopped,
}
