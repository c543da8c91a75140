//! One answer as it is made: tokens one after the other, and its end. Pure: logits and masks in, tokens and text out.

use std::sync::Arc;

use mythic_interface::sampler::Sampling;
use mythic_interface::state::FinishReason;
use mythic_model::tokenizer::TextStream;

use crate::choice::{Counts, NoChoice, Position, Scratch};
use crate::mask::Mask;
use crate::options::Options;

/// Chooses the tokens of one answer.
#[derive(Debug)]
pub struct Sampler {
    options: Arc<Options>,
    sampling: Sampling,
    /// Tokens so far.
    made: u32,
    counts: Counts,
    scratch: Scratch,
}

impl Sampler {
    pub fn new(options: Arc<Options>, sampling: Sampling) -> Self {
        Self {
            options,
            sampling,
            made: 0,
            counts: Counts::default(),
            scratch: Scratch::default(),
        }
    }

    /// The token that is chosen next by these raw logits, one for each token of the vocabulary.
    pub fn choose(&mut self, mask: Option<&Mask>, logits: &[f32]) -> Result<u32, NoChoice> {
        let here = Position {
            options: &self.options,
            sampling: &self.sampling,
            position: self.made,
            counts: &self.counts,
            mask,
        };
        here.choose(logits, &mut self.scratch)
    }

    /// Goes on behind a token: the chosen one, or another that is shown.
    pub fn push(&mut self, token: u32) {
        self.made += 1;
        self.counts.push(token);
    }
}

/// The text of one answer, and where it ends.
#[derive(Clone, Debug)]
pub struct Ending {
    text: TextStream,
    made: u32,
    max_tokens: u32,
}

/// What a token came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// Text that is complete now; no part of a stop string.
    pub text: String,
    /// Why the answer ends with this token, if it does.
    pub finish: Option<FinishReason>,
}

impl Ending {
    pub fn new(stop: Vec<String>, max_tokens: u32) -> Self {
        Self {
            text: TextStream::new(stop),
            made: 0,
            max_tokens,
        }
    }

    /// Adds a token: its bytes, and whether it is an end-of-sequence id.
    pub fn push(&mut self, piece: &[u8], is_end: bool) -> Added {
        self.made += 1;
        let mut matched = self.text.push(piece);
        let mut finish = match (is_end, matched.stopped) {
            (true, _) => Some(FinishReason::Eos),
            (false, true) => Some(FinishReason::Stopped),
            (false, false) => (self.made >= self.max_tokens).then_some(FinishReason::Length),
        };
        if finish.is_some() && !matched.stopped {
            // An unfinished character becomes one that a stop string may hold.
            let tail = self.text.finish();
            matched.text.push_str(&tail.text);
            if tail.stopped && finish == Some(FinishReason::Length) {
                finish = Some(FinishReason::Stopped);
            }
        }
        Added {
            text: matched.text,
            finish,
        }
    }
}
