//! An answer that is shown, followed from its beginning: what may be judged at each of its positions.

use mythic_interface::choice::{self, claims_stop};
use mythic_interface::state::FinishReason;
use mythic_model::tokenizer::Tokenizer;

use crate::guide::{Guide, GuideError, Vocabulary};
use crate::mask::Mask;
use crate::options::Options;
use crate::sampler::Ending;

/// What must stand at a position, behind the tokens that are shown before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// What the sampler chooses, among what the mask allows.
    Choice(Option<Mask>),
    /// Nothing may: the answer had left its grammar or its end, or says it stopped where no stop string is whole.
    Nothing,
    /// Nobody asked.
    Unasked,
}

/// An answer that is shown.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    pub options: &'a Options,
    pub output: &'a [u32],
    /// Tokens of the whole result, of which `output` may be the part that can be read.
    pub output_tokens: u32,
    /// Most tokens that it could have: with the last of those an unfinished character is one.
    pub max_tokens: u32,
    /// As the result says it, [`FinishReason`].
    pub finish_reason: u8,
}

/// What a judge knows of a model's tokens.
pub trait Tokens {
    /// The bytes that a token stands for in text.
    fn piece(&self, id: u32) -> &[u8];
    /// The tokens that end an answer.
    fn ends(&self) -> &[u32];
}

impl Tokens for Tokenizer {
    fn piece(&self, id: u32) -> &[u8] {
        Tokenizer::piece(self, id)
    }
    fn ends(&self) -> &[u32] {
        self.end_ids()
    }
}

impl Shown<'_> {
    /// What must stand at every position that is `asked`; masks are made at all of them, one after the other as the maker of the
    /// answer does it, so that the library's limits are met where it met them. Ends with an error once it is not `wanted`.
    pub fn follow(
        &self,
        tokens: &impl Tokens,
        vocabulary: Option<&Vocabulary>,
        asked: &dyn Fn(u32) -> bool,
        wanted: &dyn Fn() -> bool,
    ) -> Result<Vec<Expected>, GuideError> {
        let mut guide = match (&self.options.grammar, vocabulary) {
            (None, _) => None,
            (Some(text), Some(vocabulary)) => Some(Guide::new(vocabulary, text)?),
            (Some(_), None) => {
                let words = "there is none to make masks with";
                return Err(GuideError::Vocabulary(words.into()));
            }
        };
        let mut ending = Ending::new(self.options.stop.clone(), self.max_tokens);
        let (mut in_grammar, mut is_over) = (true, false);
        let mut all = Vec::with_capacity(self.output.len());
        for (position, token) in (0u32..).zip(self.output) {
            if !wanted() {
                return Err(GuideError::Run("nobody waits for it any more".into()));
            }
            let is_end = tokens.ends().contains(token);
            let added = ending.push(tokens.piece(*token), is_end);
            let stops_here = added.finish == Some(FinishReason::Stopped);
            let follows = in_grammar && !is_over;
            let mask = match guide.as_mut().filter(|_| follows) {
                Some(guide) => Some(guide.mask()?),
                None => None,
            };
            let course = choice::Course {
                in_grammar,
                is_over,
                stops_here,
            };
            let claims = claims_stop(position, self.output_tokens, self.finish_reason);
            is_over |= is_end || stops_here;
            // Nobody goes on behind the last: what the library says of it is no matter.
            let goes_on = !is_over && all.len() + 1 < self.output.len();
            if let (Some(guide), Some(mask)) = (&mut guide, &mask)
                && goes_on
            {
                match mask.allows(*token) {
                    true => guide.push(*token)?,
                    false => in_grammar = false,
                }
            }
            all.push(match (course.token(0, claims), asked(position)) {
                (None, _) => Expected::Nothing,
                (Some(_), true) => Expected::Choice(mask),
                (Some(_), false) => Expected::Unasked,
            });
        }
        Ok(all)
    }
}
