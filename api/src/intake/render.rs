//! From answers to OpenAI's shapes: what each chunk says, and what of log-probabilities belongs to the text. Pure.

use std::collections::VecDeque;

use mythic_interface::state::SamplingProfile;
use mythic_wire::Finish;

use super::{
    calls::{CallReader, Calling, Said, call_id},
    completion::{
        AnswerMessage, CalledFunction, ChatChoice, ChatCompletion, ChatCompletionChunk,
        ChunkChoice, CompletionTokensDetails, Delta, FunctionDelta, Logprobs, Mythic, MythicJob,
        PromptTokensDetails, TokenLogprob, ToolCall, ToolCallDelta, TopLogprob, Usage,
    },
};
use crate::jobs::answer::{Candidate, ChoiceAnswer, ChoiceEnd, Piece, cost};

/// OpenAI's word for why a choice ended.
pub(super) fn finish_reason(finish: Finish, has_called: bool) -> &'static str {
    match mythic_wire::openai::finish_reason(finish) {
        "stop" if has_called => "tool_calls",
        word => word,
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
    /// How the answer calls functions, if it may.
    pub calls: Option<Calling>,
    /// How tokens were chosen.
    pub profile: SamplingProfile,
    /// A stored answer is being shown again.
    pub replayed: bool,
}

impl Frame {
    fn id(&self) -> String {
        format!("chatcmpl-{}", self.job)
    }

    /// Nothing of a choice was told.
    pub fn told(&self) -> Told {
        Told::new(self.calls)
    }

    /// The model's identity and how tokens were chosen.
    pub(super) fn system_fingerprint(&self) -> String {
        let identity = self.model.rsplit('@').next().unwrap_or("");
        let how = match self.profile {
            SamplingProfile::SeededTop4 => "top4",
            SamplingProfile::SeededFull => "full",
        };
        format!("fp_{identity}_{how}")
    }

    fn chunk(&self, choices: Vec<ChunkChoice>) -> ChatCompletionChunk {
        ChatCompletionChunk {
            id: self.id(),
            object: "chat.completion.chunk",
            created: self.created,
            model: self.model.clone(),
            choices,
            system_fingerprint: self.system_fingerprint(),
            service_tier: "default",
            usage: None,
            mythic: None,
        }
    }

    fn step_of(
        &self,
        index: u32,
        delta: Delta,
        logprobs: Option<Logprobs>,
        finish_reason: Option<&'static str>,
    ) -> ChatCompletionChunk {
        self.chunk(vec![ChunkChoice {
            index,
            delta,
            logprobs,
            finish_reason,
        }])
    }

    /// The first chunk of a choice.
    pub fn opening(&self, index: u32) -> ChatCompletionChunk {
        let delta = Delta {
            role: Some("assistant"),
            content: Some(String::new()),
            ..Delta::default()
        };
        self.step_of(index, delta, None, None)
    }

    /// A part of a choice; `None` when there is nothing to show.
    fn part(&self, index: u32, part: Spoken) -> Option<ChatCompletionChunk> {
        let logprobs = self.logprobs_of(part.tokens);
        let call = |at, id, kind, name, arguments| Delta {
            tool_calls: vec![ToolCallDelta {
                index: at,
                id,
                kind,
                function: FunctionDelta { name, arguments },
            }],
            ..Delta::default()
        };
        let delta = match part.said {
            Said::Text(text) if text.is_empty() && logprobs.is_none() => return None,
            Said::Text(text) => Delta {
                content: Some(text),
                ..Delta::default()
            },
            Said::Call { at, name } => {
                let id = call_id(&self.job, index, at);
                call(at, Some(id), Some("function"), Some(name), String::new())
            }
            Said::Arguments { at, text } => call(at, None, None, None, text),
        };
        Some(self.step_of(index, delta, logprobs, None))
    }

    /// A step of a choice: none when there is nothing to show.
    pub fn step(&self, index: u32, piece: &Piece, told: &mut Told) -> Vec<ChatCompletionChunk> {
        let parts = told.push(piece).into_iter();
        parts.filter_map(|part| self.part(index, part)).collect()
    }

    /// The last chunks of a choice: what was held back, and the end with `mythic` beside the choices.
    pub fn closing(
        &self,
        index: u32,
        end: &ChoiceEnd,
        told: &mut Told,
    ) -> Vec<ChatCompletionChunk> {
        let parts = told.finish().into_iter();
        let mut out: Vec<ChatCompletionChunk> =
            parts.filter_map(|part| self.part(index, part)).collect();
        let reason = Some(finish_reason(end.finish, told.has_called()));
        out.push(ChatCompletionChunk {
            mythic: Some(self.mythic(std::slice::from_ref(end))),
            ..self.step_of(index, Delta::default(), None, reason)
        });
        out
    }

    /// The usage chunk: no choices.
    pub fn usage(&self, ends: &[ChoiceEnd]) -> ChatCompletionChunk {
        ChatCompletionChunk {
            usage: Some(Some(usage(ends))),
            ..self.chunk(Vec::new())
        }
    }

    /// Jobs and price of choices.
    pub(super) fn mythic(&self, ends: &[ChoiceEnd]) -> Mythic {
        let first = ends.first();
        Mythic {
            job: first.map(|end| end.job.clone()),
            validator: first.map(|end| end.validator.clone()),
            cost_lamports: cost(ends),
            receipt: first.map(|end| end.receipt.clone()),
            jobs: match ends {
                [_, _, ..] => ends
                    .iter()
                    .map(|end| MythicJob {
                        job: end.job.clone(),
                        validator: end.validator.clone(),
                        cost_lamports: end.cost_lamports,
                        receipt: end.receipt.clone(),
                        unconfirmed: end.unconfirmed,
                    })
                    .collect(),
                _ => Vec::new(),
            },
            unconfirmed: ends.iter().any(|end| end.unconfirmed),
            replayed: self.replayed,
        }
    }

    /// `None` if they were not asked for, or there are none to show.
    fn logprobs_of(&self, tokens: Vec<TokenLogprob>) -> Option<Logprobs> {
        (self.logprobs && !tokens.is_empty()).then_some(Logprobs {
            content: tokens,
            refusal: None,
        })
    }

    /// The whole completion.
    pub fn completion(&self, answers: &[ChoiceAnswer]) -> ChatCompletion {
        let ends: Vec<ChoiceEnd> = answers.iter().map(|answer| answer.end.clone()).collect();
        let choices = (0u32..)
            .zip(answers)
            .map(|(index, answer)| self.choice(index, answer))
            .collect();
        ChatCompletion {
            id: self.id(),
            object: "chat.completion",
            created: self.created,
            model: self.model.clone(),
            choices,
            usage: usage(&ends),
            system_fingerprint: self.system_fingerprint(),
            service_tier: "default",
            mythic: self.mythic(&ends),
        }
    }

    fn choice(&self, index: u32, answer: &ChoiceAnswer) -> ChatChoice {
        let whole = self.whole(answer);
        let has_called = !whole.calls.is_empty();
        let calls = whole.calls.into_iter().enumerate();
        let logprobs = match self.logprobs_of(whole.tokens) {
            // An empty answer has no tokens, and that is known.
            None if self.logprobs && whole.text.is_empty() => Some(Logprobs {
                content: Vec::new(),
                refusal: None,
            }),
            other => other,
        };
        ChatChoice {
            index,
            message: AnswerMessage {
                role: "assistant",
                content: (!has_called || !whole.text.is_empty()).then_some(whole.text),
                tool_calls: calls
                    .map(|(at, function)| ToolCall {
                        id: call_id(&self.job, index, at),
                        kind: "function",
                        function,
                    })
                    .collect(),
                refusal: None,
                annotations: Vec::new(),
            },
            logprobs,
            finish_reason: finish_reason(answer.end.finish, has_called),
        }
    }

    /// All of an answer, text and calls apart.
    pub(super) fn whole(&self, answer: &ChoiceAnswer) -> Whole {
        let mut told = self.told();
        let mut whole = Whole::default();
        for piece in &answer.pieces {
            whole.take(told.push(piece));
        }
        whole.take(told.finish());
        whole
    }
}

/// An answer, text and calls apart.
#[derive(Debug, Default)]
pub(super) struct Whole {
    pub text: String,
    /// Tokens of the text.
    pub tokens: Vec<TokenLogprob>,
    pub calls: Vec<CalledFunction>,
}

impl Whole {
    fn take(&mut self, parts: Vec<Spoken>) {
        for part in parts {
            self.tokens.extend(part.tokens);
            match part.said {
                Said::Text(text) => self.text += &text,
                Said::Call { name, .. } => self.calls.push(CalledFunction {
                    name,
                    arguments: String::new(),
                }),
                Said::Arguments { at, text } => {
                    if let Some(call) = self.calls.get_mut(at) {
                        call.arguments += &text;
                    }
                }
            }
        }
    }
}

/// A part of a choice that can be told.
#[derive(Debug)]
pub(super) struct Spoken {
    pub said: Said,
    /// Tokens of its text.
    pub tokens: Vec<TokenLogprob>,
}

impl Spoken {
    /// Its text, if it is text.
    pub fn text(&self) -> String {
        match &self.said {
            Said::Text(text) => text.clone(),
            Said::Call { .. } | Said::Arguments { .. } => String::new(),
        }
    }
}

/// How much of a choice was told. Text may be held back in case it becomes a stop string, or a call; its tokens wait with it, and go
/// with it if it never comes: tokens that are told join to the text, or end with the token in which the text ends.
#[derive(Debug, Default)]
pub struct Told {
    text: usize,
    tokens: usize,
    held: VecDeque<TokenLogprob>,
    reader: Option<CallReader>,
}

impl Told {
    /// Nothing was told of a choice that calls so, if it does.
    fn new(calls: Option<Calling>) -> Self {
        Self {
            reader: calls.map(CallReader::new),
            ..Self::default()
        }
    }

    /// Whether a function was called.
    pub(super) fn has_called(&self) -> bool {
        self.reader.as_ref().is_some_and(CallReader::has_called)
    }

    /// What can be told with this piece.
    pub(super) fn push(&mut self, piece: &Piece) -> Vec<Spoken> {
        self.held.extend(piece.logprob.as_ref().map(token));
        let said = match &mut self.reader {
            None => vec![Said::Text(piece.text.clone())],
            Some(reader) => reader.push(&piece.text),
        };
        self.parts(said)
    }

    /// What was held back, at the end.
    pub(super) fn finish(&mut self) -> Vec<Spoken> {
        let said = self.reader.as_mut().map(CallReader::finish);
        self.parts(said.unwrap_or_default())
    }

    fn parts(&mut self, said: Vec<Said>) -> Vec<Spoken> {
        let part = |said: Said| {
            let tokens = match &said {
                Said::Text(text) => self.tokens(text.len()),
                Said::Call { .. } | Said::Arguments { .. } => Vec::new(),
            };
            Spoken { said, tokens }
        };
        said.into_iter().map(part).collect()
    }

    /// The tokens that belong to so many more bytes of text.
    fn tokens(&mut self, bytes: usize) -> Vec<TokenLogprob> {
        self.text += bytes;
        let mut out = Vec::new();
        while self.tokens < self.text
            && let Some(next) = self.held.pop_front()
        {
            self.tokens += next.bytes.len();
            out.push(next);
        }
        out
    }
}

fn token((chosen, top): &(Candidate, Vec<Candidate>)) -> TokenLogprob {
    TokenLogprob {
        token: chosen.token.clone(),
        logprob: chosen.logprob,
        bytes: chosen.bytes.clone(),
        top_logprobs: top
            .iter()
            .map(|candidate| TopLogprob {
                token: candidate.token.clone(),
                logprob: candidate.logprob,
                bytes: candidate.bytes.clone(),
            })
            .collect(),
    }
}

/// OpenAI's usage. Each choice is a job that reads, and pays for, the prompt: its tokens count once a choice, so that usage times
/// price is what it costs.
pub fn usage(ends: &[ChoiceEnd]) -> Usage {
    let prompt: u64 = ends.iter().map(|end| u64::from(end.prompt_tokens)).sum();
    let output: u64 = ends.iter().map(|end| u64::from(end.output_tokens)).sum();
    // Known of all, or not known.
    let cached: Option<u64> = (ends.iter())
        .map(|end| end.cached_tokens.map(u64::from))
        .sum();
    Usage {
        prompt_tokens: prompt,
        completion_tokens: output,
        total_tokens: prompt + output,
        prompt_tokens_details: PromptTokensDetails {
            cached_tokens: cached,
            audio_tokens: 0,
        },
        completion_tokens_details: CompletionTokensDetails::default(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::intake::calls::CallStyle;

    fn frame() -> Frame {
        Frame {
            job: "J".into(),
            created: 7,
            model: "m@0a1b2c3d".into(),
            logprobs: false,
            calls: None,
            profile: SamplingProfile::SeededTop4,
            replayed: false,
        }
    }

    fn end(job: &str, output: u32, cost: u64) -> ChoiceEnd {
        ChoiceEnd {
            job: job.into(),
            validator: "V".into(),
            finish: mythic_wire::Finish::Eos,
            prompt_tokens: 10,
            cached_tokens: None,
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

    /// A step that adds `text` and whose token is `token`.
    fn spoken(text: &str, token: &str) -> Piece {
        let candidate = Candidate {
            token: token.into(),
            logprob: -1.0,
            bytes: token.as_bytes().to_vec(),
        };
        Piece {
            text: text.into(),
            logprob: Some((candidate.clone(), vec![candidate])),
        }
    }

    fn answer(pieces: Vec<Piece>) -> ChoiceAnswer {
        ChoiceAnswer {
            pieces,
            end: end("J", 1, 1),
        }
    }

    #[test]
    fn the_first_chunk_has_the_role_and_the_last_the_reason_and_the_job() {
        assert_eq!(
            json!(frame().opening(0))["choices"][0]["delta"],
            json!({"role": "assistant", "content": ""})
        );
        let closing = frame().closing(0, &end("J", 3, 9), &mut frame().told());
        let last = json!(closing[0]);
        assert_eq!(last["choices"][0]["finish_reason"], "stop");
        assert_eq!(
            last["mythic"],
            json!({"job": "J", "validator": "V", "cost_lamports": 9, "receipt": "/v1/jobs/J/receipt"})
        );
        assert_eq!(last["id"], "chatcmpl-J");
        assert_eq!(last["system_fingerprint"], "fp_0a1b2c3d_top4");
        assert!(last.get("usage").is_none());
    }

    #[test]
    fn usage_counts_what_is_paid_for_the_prompt_and_the_output_of_each_choice() {
        let usage = json!(frame().usage(&[end("J", 3, 9), end("K", 5, 11)]));
        assert_eq!(usage["usage"]["prompt_tokens"], 20);
        assert_eq!(usage["usage"]["completion_tokens"], 8);
        assert_eq!(usage["usage"]["total_tokens"], 28);
        assert_eq!(
            usage["usage"]["completion_tokens_details"]["reasoning_tokens"],
            0
        );
        assert_eq!(usage["choices"], json!([]));
    }

    #[test]
    fn cached_tokens_are_those_of_all_choices_or_are_not_told() {
        let of = |said: Option<u32>| {
            let mut end = end("J", 1, 1);
            end.tell_cached(said);
            end
        };
        let details = |ends: &[ChoiceEnd]| json!(usage(ends))["prompt_tokens_details"].clone();
        let both = [of(Some(8)), of(Some(0))];
        assert_eq!(
            details(&both),
            json!({"cached_tokens": 8, "audio_tokens": 0})
        );
        // One that said nothing is not one that found nothing.
        let silent = [of(Some(8)), of(None)];
        assert_eq!(details(&silent), json!({"audio_tokens": 0}));
        // Nobody had read more than there is.
        assert_eq!(details(&[of(Some(u32::MAX))])["cached_tokens"], 10);
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
        let body = json!(frame().completion(&answers));
        assert_eq!(body["choices"][0]["message"]["content"], "ab");
        assert_eq!(body["choices"][0]["message"]["annotations"], json!([]));
        assert_eq!(body["choices"][1]["index"], 1);
        assert_eq!(body["mythic"]["cost_lamports"], 6);
        assert_eq!(body["mythic"]["jobs"][1]["job"], "K");
        assert_eq!(body["service_tier"], "default");
    }

    #[test]
    fn a_step_without_text_is_not_sent() {
        let mut told = Told::default();
        assert!(frame().step(0, &piece(""), &mut told).is_empty());
    }

    #[test]
    fn logprobs_that_are_not_known_are_null_and_those_of_an_empty_answer_are_none() {
        let frame = Frame {
            logprobs: true,
            ..frame()
        };
        let step = json!(frame.step(0, &piece("a"), &mut Told::default()));
        assert_eq!(step[0]["choices"][0]["logprobs"], Value::Null);
        let body = json!(frame.completion(&[answer(vec![piece("a")])]));
        assert_eq!(body["choices"][0]["logprobs"], Value::Null);
        let empty = json!(frame.completion(&[answer(vec![piece("")])]));
        assert_eq!(empty["choices"][0]["logprobs"]["content"], json!([]));
    }

    #[test]
    fn tokens_of_what_a_stop_string_cut_off_are_not_told() {
        let frame = Frame {
            logprobs: true,
            ..frame()
        };
        // "when d" stops: what might begin it is held back, and the tokens behind the text are cut.
        let pieces = vec![
            spoken("There", "There"),
            spoken(" was ", " was"),
            spoken("a time ", " a time"),
            spoken("", " when"),
            spoken("", " dragons"),
        ];
        let body = json!(frame.completion(&[answer(pieces.clone())]));
        let tokens = |content: &Value| -> String {
            content
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|entry| entry["token"].as_str())
                .collect()
        };
        let text = "There was a time ";
        assert_eq!(body["choices"][0]["message"]["content"], text);
        let told = tokens(&body["choices"][0]["logprobs"]["content"]);
        // The text ends within " when".
        assert_eq!(told, "There was a time when");
        let mut streamed = String::new();
        let mut state = Told::default();
        for piece in &pieces {
            for chunk in frame.step(0, piece, &mut state) {
                streamed += &tokens(&json!(chunk)["choices"][0]["logprobs"]["content"]);
            }
        }
        assert!(told.starts_with(&streamed) && streamed.len() >= text.trim_end().len());
    }

    #[test]
    fn tokens_wait_for_the_text_that_is_held_back() {
        let frame = Frame {
            logprobs: true,
            ..frame()
        };
        let mut told = Told::default();
        assert!(frame.step(0, &spoken("", "ab"), &mut told).is_empty());
        let chunks = frame.step(0, &spoken("abcd", "cd"), &mut told);
        let content = &chunks[0].choices[0].logprobs.as_ref().unwrap().content;
        assert_eq!(content.len(), 2);
    }

    /// A frame of an answer that may call, and such an answer.
    fn calling() -> (Frame, ChoiceAnswer) {
        let frame = Frame {
            logprobs: true,
            calls: Some(Calling {
                style: CallStyle::Hermes,
                is_alone: false,
            }),
            profile: SamplingProfile::SeededFull,
            ..frame()
        };
        let pieces = [
            "Wait.",
            "\n<tool_call>\n{\"name\": \"f\", ",
            "\"arguments\": {\"x\": ",
            "1}}\n</tool_call>",
        ];
        let pieces = pieces.map(|text| spoken(text, text));
        (frame, answer(pieces.to_vec()))
    }

    #[test]
    fn calls_are_apart_from_text_and_say_why_the_answer_ended() {
        let (frame, answer) = calling();
        let body = json!(frame.completion(&[answer]));
        let choice = &body["choices"][0];
        assert_eq!(choice["finish_reason"], "tool_calls");
        assert_eq!(choice["message"]["content"], "Wait.");
        let call = &choice["message"]["tool_calls"][0];
        assert_eq!(call["type"], "function");
        assert_eq!(
            call["function"],
            json!({"name": "f", "arguments": "{\"x\": 1}"})
        );
        // Tokens of calls are not of the text.
        assert_eq!(choice["logprobs"]["content"].as_array().unwrap().len(), 1);
        assert_eq!(body["system_fingerprint"], "fp_0a1b2c3d_full");
    }

    #[test]
    fn a_stream_of_calls_joins_to_the_calls_of_the_whole_answer() {
        let (frame, answer) = calling();
        let mut told = frame.told();
        let mut chunks = Vec::new();
        for piece in &answer.pieces {
            chunks.extend(frame.step(0, piece, &mut told));
        }
        chunks.extend(frame.closing(0, &answer.end, &mut told));
        let chunks = json!(chunks);
        let deltas: Vec<&Value> = chunks
            .as_array()
            .unwrap()
            .iter()
            .map(|chunk| &chunk["choices"][0]["delta"]["tool_calls"][0])
            .filter(|call| call.is_object())
            .collect();
        let whole = json!(frame.completion(&[answer]));
        let call = &whole["choices"][0]["message"]["tool_calls"][0];
        assert_eq!(deltas[0]["id"], call["id"]);
        assert_eq!(deltas[0]["function"]["name"], "f");
        assert!(
            deltas[1..]
                .iter()
                .all(|delta| delta.get("id").is_none() && delta["index"] == 0)
        );
        let arguments: String = deltas
            .iter()
            .filter_map(|delta| delta["function"]["arguments"].as_str())
            .collect();
        assert_eq!(arguments, call["function"]["arguments"]);
        let last = chunks.as_array().unwrap().last().unwrap();
        assert_eq!(last["choices"][0]["finish_reason"], "tool_calls");
    }

    #[test]
    fn an_answer_that_only_calls_has_no_content() {
        let (frame, _) = calling();
        let text = "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>";
        let body = json!(frame.completion(&[answer(vec![piece(text)])]));
        assert_eq!(body["choices"][0]["message"]["content"], Value::Null);
    }
}
