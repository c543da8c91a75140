//! Answers: what a run produced, and how it is written in OpenAI's shapes. Pure.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// One candidate of a position.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The token's text, with what is not UTF-8 replaced.
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
    pub text: String,
    /// The chosen token and the alternatives, most likely first; present when log-probabilities were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logprob: Option<(Candidate, Vec<Candidate>)>,
}

/// Why an answer ended, in OpenAI's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Finish {
    /// The model was done, or a stop string came.
    Stop,
    /// The token limit came.
    Length,
    /// The client went away; what it had been given is what it has.
    Cancelled,
}

impl Finish {
    fn as_openai(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length | Self::Cancelled => "length",
        }
    }
}

/// How a choice ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChoiceEnd {
    /// The job's address, base58.
    pub job: String,
    /// The validator's authority, base58.
    pub validator: String,
    /// Why it ended.
    pub finish: Finish,
    /// Tokens of the prompt as the model saw it.
    pub prompt_tokens: u32,
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

/// What stays the same over all chunks of one completion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The first choice's job, base58.
    pub job: String,
    /// Unix seconds.
    pub created: i64,
    /// The model's id, `name@` 8 hex digits.
    pub model: String,
    /// The client wants log-probabilities.
    pub logprobs: bool,
    /// A stored answer is being shown again.
    pub replayed: bool,
}

impl Frame {
    fn id(&self) -> String {
        format!("chatcmpl-{}", self.job)
    }

    fn chunk(&self, choices: Value) -> Value {
        json!({
            "id": self.id(),
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "choices": choices,
        })
    }

    /// The first chunk of a choice.
    pub fn opening(&self, index: u32) -> Value {
        self.chunk(json!([{"index": index, "delta": {"role": "assistant", "content": ""}, "logprobs": null, "finish_reason": null}]))
    }

    /// A step of a choice; `None` when there is nothing to show.
    pub fn step(&self, index: u32, piece: &Piece) -> Option<Value> {
        let logprobs = self.logprobs_of(std::slice::from_ref(piece));
        if piece.text.is_empty() && logprobs.is_none() {
            return None;
        }
        Some(self.chunk(json!([{
            "index": index,
            "delta": {"content": piece.text},
            "logprobs": logprobs,
            "finish_reason": null,
        }])))
    }

    /// The last chunk of a choice, with `mythic` beside the choices.
    pub fn closing(&self, index: u32, end: &ChoiceEnd) -> Value {
        let mut chunk = self.chunk(json!([{
            "index": index,
            "delta": {},
            "logprobs": null,
            "finish_reason": end.finish.as_openai(),
        }]));
        chunk["mythic"] = self.mythic(std::slice::from_ref(end));
        chunk
    }

    /// The usage chunk: no choices.
    pub fn usage(&self, ends: &[ChoiceEnd]) -> Value {
        let mut chunk = self.chunk(json!([]));
        chunk["usage"] = usage(ends);
        chunk
    }

    fn mythic(&self, ends: &[ChoiceEnd]) -> Value {
        let mut out = json!({
            "job": ends.first().map(|end| &end.job),
            "validator": ends.first().map(|end| &end.validator),
            "cost_lamports": cost(ends),
            "receipt": ends.first().map(|end| &end.receipt),
        });
        if ends.len() > 1 {
            out["jobs"] = ends
                .iter()
                .map(|end| json!({"job": end.job, "validator": end.validator, "cost_lamports": end.cost_lamports, "receipt": end.receipt}))
                .collect();
        }
        if ends.iter().any(|end| end.unconfirmed) {
            out["unconfirmed"] = json!(true);
        }
        if self.replayed {
            out["replayed"] = json!(true);
        }
        out
    }

    /// OpenAI's log-probabilities of some steps; `None` if they were not asked for or are not known.
    fn logprobs_of(&self, pieces: &[Piece]) -> Option<Value> {
        let entries = entries(pieces);
        (self.logprobs && !entries.is_empty()).then(|| json!({"content": entries, "refusal": null}))
    }

    /// The whole completion as one JSON.
    pub fn completion(&self, answers: &[ChoiceAnswer]) -> Value {
        let ends: Vec<ChoiceEnd> = answers.iter().map(|answer| answer.end.clone()).collect();
        let choices: Vec<Value> = answers
            .iter()
            .enumerate()
            .map(|(index, answer)| {
                let logprobs = self.logprobs_of(&answer.pieces);
                json!({
                    "index": index,
                    "message": {"role": "assistant", "content": answer.text(), "refusal": null},
                    "logprobs": logprobs,
                    "finish_reason": answer.end.finish.as_openai(),
                })
            })
            .collect();
        json!({
            "id": self.id(),
            "object": "chat.completion",
            "created": self.created,
            "model": self.model,
            "choices": choices,
            "usage": usage(&ends),
            "mythic": self.mythic(&ends),
        })
    }
}

/// Total price of the choices, in lamports.
pub fn cost(ends: &[ChoiceEnd]) -> u64 {
    ends.iter()
        .fold(0, |sum, end| sum.saturating_add(end.cost_lamports))
}

/// OpenAI's usage. Each choice is a job that reads, and pays for, the prompt: its tokens count once a choice, so that usage times
/// price is what it costs.
pub fn usage(ends: &[ChoiceEnd]) -> Value {
    let prompt: u64 = ends.iter().map(|end| u64::from(end.prompt_tokens)).sum();
    let output: u64 = ends.iter().map(|end| u64::from(end.output_tokens)).sum();
    json!({"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output})
}

fn entries(pieces: &[Piece]) -> Vec<Value> {
    let entry = |candidate: &Candidate| json!({"token": candidate.token, "logprob": candidate.logprob, "bytes": candidate.bytes});
    pieces
        .iter()
        .filter_map(|piece| piece.logprob.as_ref())
        .map(|(chosen, top)| {
            let mut out = entry(chosen);
            out["top_logprobs"] = top.iter().map(entry).collect();
            out
        })
        .collect()
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

    fn frame() -> Frame {
        Frame {
            job: "J".into(),
            created: 7,
            model: "m@00000000".into(),
            logprobs: false,
            replayed: false,
        }
    }

    fn end(job: &str, output: u32, cost: u64) -> ChoiceEnd {
        ChoiceEnd {
            job: job.into(),
            validator: "V".into(),
            finish: Finish::Stop,
            prompt_tokens: 10,
            output_tokens: output,
            cost_lamports: cost,
            receipt: format!("/v1/jobs/{job}/receipt"),
            unconfirmed: false,
        }
    }

    fn piece(text: &str) -> Piece {
        Piece {
            text: text.into(),
            logprob: None,
        }
    }

    #[test]
    fn the_first_chunk_has_the_role_and_the_last_the_reason_and_the_job() {
        assert_eq!(
            frame().opening(0)["choices"][0]["delta"],
            json!({"role": "assistant", "content": ""})
        );
        let last = frame().closing(0, &end("J", 3, 9));
        assert_eq!(last["choices"][0]["finish_reason"], "stop");
        assert_eq!(
            last["mythic"],
            json!({"job": "J", "validator": "V", "cost_lamports": 9, "receipt": "/v1/jobs/J/receipt"})
        );
        assert_eq!(last["id"], "chatcmpl-J");
    }

    #[test]
    fn usage_counts_what_is_paid_for_the_prompt_and_the_output_of_each_choice() {
        let usage = frame().usage(&[end("J", 3, 9), end("K", 5, 11)]);
        assert_eq!(
            usage["usage"],
            json!({"prompt_tokens": 20, "completion_tokens": 8, "total_tokens": 28})
        );
        assert_eq!(usage["choices"], json!([]));
    }

    #[test]
    fn several_choices_are_several_jobs_of_one_completion() {
        let answers = [
            ChoiceAnswer {
                pieces: vec![piece("a"), piece("b")],
                end: end("J", 2, 4),
            },
            ChoiceAnswer {
                pieces: vec![piece("c")],
                end: end("K", 1, 2),
            },
        ];
        let body = frame().completion(&answers);
        assert_eq!(body["choices"][0]["message"]["content"], "ab");
        assert_eq!(body["choices"][1]["index"], 1);
        assert_eq!(body["mythic"]["cost_lamports"], 6);
        assert_eq!(body["mythic"]["jobs"][1]["job"], "K");
    }

    #[test]
    fn a_step_without_text_is_not_sent() {
        assert!(frame().step(0, &piece("")).is_none());
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

    #[test]
    fn logprobs_that_are_not_known_are_null() {
        let frame = Frame {
            logprobs: true,
            ..frame()
        };
        let step = frame.step(0, &piece("a")).unwrap();
        assert_eq!(step["choices"][0]["logprobs"], Value::Null);
        let answer = ChoiceAnswer {
            pieces: vec![piece("a")],
            end: end("J", 1, 1),
        };
        let body = frame.completion(&[answer]);
        assert_eq!(body["choices"][0]["logprobs"], Value::Null);
    }
}
