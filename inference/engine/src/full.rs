//! A paid answer by its options (`seeded-full`), as the engine's thread drives it: logits and masks come when they come, and what
//! is chosen depends on neither's time.

use std::sync::Arc;

use mythic_sampling::choice::NoChoice;
use mythic_sampling::course::Expected;
use mythic_sampling::{Guide, Mask, Options, Sampler};

use mythic_interface::sampler::Sampling;

use super::logits::Kept;
use super::masks::{Made, Masks};
use super::request::{ByOptions, EngineError};
use super::scheduler::Id;

/// What is kept of a row's logits, and all of them.
pub(crate) type LateRow = Box<(Kept, Vec<f32>)>;

/// Where the mask of the next position is.
enum Guided {
    /// Everything is allowed.
    Free,
    /// Nobody has read the grammar yet.
    New(String),
    /// A thread makes it.
    Making,
    Here(Box<Guide>, Mask),
}

/// The choice of the tokens of one answer.
pub(crate) struct Full {
    sampler: Sampler,
    guided: Guided,
    /// A row whose mask is late.
    row: Option<LateRow>,
}

impl Full {
    pub(crate) fn new(options: &Arc<Options>, sampling: Sampling) -> Self {
        let grammar = options.grammar.clone();
        Self {
            sampler: Sampler::new(options.clone(), sampling),
            guided: grammar.map_or(Guided::Free, Guided::New),
            row: None,
        }
    }

    /// Asks for the first mask, so that it is made while the prompt waits and is read.
    pub(crate) fn begin(&mut self, id: Id, masks: &Masks) {
        if let Guided::New(grammar) = &mut self.guided {
            masks.begin(id, std::mem::take(grammar));
            self.guided = Guided::Making;
        }
    }

    /// The token that these logits choose; `None` where they wait for their mask.
    pub(crate) fn choose(
        &mut self,
        kept: &Kept,
        logits: &[f32],
    ) -> Result<Option<u32>, EngineError> {
        let mask = match &self.guided {
            Guided::Free => None,
            Guided::Here(_, mask) => Some(mask),
            Guided::New(_) | Guided::Making => {
                self.row = Some(Box::new((*kept, logits.to_vec())));
                return Ok(None);
            }
        };
        Ok(Some(self.sampler.choose(mask, logits).map_err(no_choice)?))
    }

    /// Takes a mask, and gives the row that waited for it.
    pub(crate) fn take(&mut self, made: Made) -> Result<Option<LateRow>, EngineError> {
        let (guide, mask) = made
            .found
            .map_err(|error| EngineError::Grammar(error.to_string()))?;
        self.guided = Guided::Here(guide, mask);
        Ok(self.row.take())
    }

    /// Goes on behind the chosen token: the next mask is made while the model reads it.
    pub(crate) fn push(&mut self, id: Id, token: u32, masks: &Masks) {
        self.sampler.push(token);
        self.guided = match std::mem::replace(&mut self.guided, Guided::Making) {
            Guided::Here(guide, _) => {
                masks.go(id, guide, token);
                Guided::Making
            }
            other => other,
        };
    }

    /// Whether a row waits for its mask.
    pub(crate) fn waits(&self) -> bool {
        self.row.is_some()
    }
}

/// The choices of an answer that is shown, one position after the other.
pub(crate) struct Replay {
    sampler: Sampler,
    output: Vec<u32>,
    /// Of the next positions.
    expected: std::vec::IntoIter<Expected>,
}

impl Replay {
    pub(crate) fn new(by: &ByOptions, output: Vec<u32>, expected: Vec<Expected>) -> Self {
        Self {
            sampler: Sampler::new(by.options.clone(), by.sampling),
            output,
            expected: expected.into_iter(),
        }
    }

    /// What must stand at the next position; `None` if nobody asked.
    pub(crate) fn choice(
        &mut self,
        position: usize,
        logits: &[f32],
    ) -> Result<Option<u32>, EngineError> {
        let chosen = match self.expected.next() {
            Some(Expected::Choice(mask)) => {
                let chosen = self.sampler.choose(mask.as_ref(), logits);
                Some(chosen.map_err(no_choice)?)
            }
            Some(Expected::Nothing) => Some(u32::MAX),
            Some(Expected::Unasked) | None => None,
        };
        if let Some(token) = self.output.get(position) {
            self.sampler.push(*token);
        }
        Ok(chosen)
    }
}

fn no_choice(error: NoChoice) -> EngineError {
    match error {
        NoChoice::Row(error) => EngineError::Numbers(error.to_string()),
        NoChoice::NothingAllowed => EngineError::Grammar(error.to_string()),
    }
}
