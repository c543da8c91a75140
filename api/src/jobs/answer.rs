//! Answers: what a run produced. Pure.

use mythic_wire::Finish;
use serde::{Deserialize, Serialize};

/// One candidate of a position.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The token's text, with what is not UTF-8 replaced.
    #[serde(with = "crate::store::text")]
    pub token: String,
    /// Natural logarithm of its probability over the whole vocabulary, at temperature 1.
    pub logprob: f64,
    /// The token's bytes.
    pub bytes: Vec<u8>,
}

/// One step of an answer: the text it adds (may be empty), and its candidates when the client asked for them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Piece {
    /// Text that this step adds to the answer.
    #[serde(with = "crate::store::text")]
    pub text: String,
    /// The chosen token and the alternatives, most likely first; present when log-probabilities were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logprob: Option<(Candidate, Vec<Candidate>)>,
}

/// How a choice ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChoiceEnd {
    /// The job's address, base58.
    pub job: String,
    /// The validator's authority, base58.
    pub validator: String,
    #[serde(with = "mythic_wire::finish")]
    pub finish: Finish,
    /// Tokens of the prompt as the model saw it.
    pub prompt_tokens: u32,
    /// Of these, how many the validator says that it had read before; `None` where it said nothing, or nobody heard it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_tokens: Option<u32>,
    /// Tokens the validator committed, the end-of-sequence token included.
    pub output_tokens: u32,
    /// What the job costs: tokens times price, rounded up once.
    pub cost_lamports: u64,
    /// Where the receipt is.
    pub receipt: String,
    /// The chain did not show the result in time: nobody vouches for this answer yet; its job tells later.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unconfirmed: bool,
}

impl ChoiceEnd {
    /// Takes the validator's word for how much of the prompt it had read before: no more than the prompt has.
    pub fn tell_cached(&mut self, said: Option<u32>) {
        self.cached_tokens = said.map(|tokens| tokens.min(self.prompt_tokens));
    }
}

/// A finished choice as it is stored and replayed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChoiceAnswer {
    /// Its steps in order.
    pub pieces: Vec<Piece>,
    /// How it ended.
    pub end: ChoiceEnd,
}

impl ChoiceAnswer {
    /// The whole text.
    pub fn text(&self) -> String {
        self.pieces
            .iter()
            .map(|piece| piece.text.as_str())
            .collect()
    }
}

/// Total price of the choices, in lamports.
pub fn cost(ends: &[ChoiceEnd]) -> u64 {
    ends.iter()
        .fold(0, |sum, end| sum.saturating_add(end.cost_lamports))
}

/// Log-probabilities of four Q16.16 logits over the whole vocabulary, at temperature 1. `log_sum_exp` is the validator's word: one
/// that is smaller than the four alone give, or no number, is not believed.
pub fn logprobs(logits: [i32; 4], log_sum_exp: f32) -> Option<[f64; 4]> {
    /// What the rounding of logits and sum may add up to.
    const TOLERANCE: f64 = 1e-3;
    let sum = f64::from(log_sum_exp);
    let out = logits.map(|logit| f64::from(logit) / 65_536.0 - sum);
    let total: f64 = out.iter().map(|value| value.exp()).sum();
    let possible = sum.is_finite() && total <= 1.0 + TOLERANCE;
    possible.then(|| out.map(|value| value.min(0.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_with_a_nul_is_kept_without_one_and_comes_back_with_it() {
        let piece = Piece {
            text: "a\0b".into(),
            logprob: Some((
                Candidate {
                    token: "\0".into(),
                    logprob: -1.0,
                    bytes: vec![0],
                },
                Vec::new(),
            )),
        };
        let kept = serde_json::to_string(&piece).unwrap();
        assert!(!kept.contains("\\u0000"), "{kept}");
        assert_eq!(serde_json::from_str::<Piece>(&kept).unwrap(), piece);
    }

    #[test]
    fn logprobs_are_over_the_whole_vocabulary_or_not_known() {
        // Four of equal weight that share 0.8; the rest of the vocabulary has 0.2.
        let sum = (4.0_f32 * 1.0_f32.exp() / 0.8).ln();
        for value in logprobs([65_536; 4], sum).unwrap() {
            assert!((value.exp() - 0.2).abs() < 1e-6);
        }
        let alone = (4.0_f32 * 1.0_f32.exp()).ln();
        assert!(logprobs([65_536; 4], alone).is_some());
        for impossible in [alone - 0.01, f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(logprobs([65_536; 4], impossible), None);
        }
    }
}
