//! OpenAI's older text completions: the text itself is continued, whatever template the model has.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use mythic_http::Trace;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    completion::{Mythic, TokenLogprob, Usage},
    entry::{Intake, whole, with_headers},
    format::response_format,
    openai::{ChatRequest, Given, MAX_TOP_LOGPROBS, choices, streaming},
    params::{Params, payment},
    play::{Line, Script, play},
    render::{Frame, Spoken, Told, finish_reason, usage},
    shapes,
};
use crate::{
    app::App,
    error::{ApiError, ApiResult, ErrorBody},
    http::{Caller, JsonBytes},
    jobs::{
        answer::{ChoiceAnswer, ChoiceEnd},
        enter::Entered,
        run::{Run, Step},
    },
};

/// Output tokens when the client names no limit, as OpenAI has it.
const DEFAULT_TOKENS: u32 = 16;

/// A text that was continued; also an event of a stream.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TextCompletion {
    /// `cmpl-` and the first choice's job.
    pub id: String,
    /// `text_completion`.
    pub object: &'static str,
    /// Unix seconds.
    pub created: i64,
    /// The model's id.
    pub model: String,
    /// One for each of `n`; in a stream one, and none in the event of `usage`.
    pub choices: Vec<TextChoice>,
    /// In a stream only with `include_usage`: null, and in the last event the tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Usage>)]
    pub usage: Option<Option<Usage>>,
    /// What answered: the model's identity and how tokens are chosen.
    pub system_fingerprint: String,
    /// Jobs and price; in a stream in the last event of a choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mythic: Option<Mythic>,
}

/// One continuation, or more of it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TextChoice {
    pub index: u32,
    /// What the model writes behind the prompt.
    pub text: String,
    /// Null unless asked for, and where the sum over the vocabulary is not known.
    pub logprobs: Option<TextLogprobs>,
    /// `stop` or `length`; null until the last event of a stream.
    pub finish_reason: Option<&'static str>,
}

/// Log-probabilities of a text's tokens.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct TextLogprobs {
    /// Their texts, with what is not UTF-8 replaced.
    pub tokens: Vec<String>,
    pub token_logprobs: Vec<f64>,
    /// The likeliest candidates of each.
    pub top_logprobs: Vec<BTreeMap<String, f64>>,
    /// Characters of the text before each.
    pub text_offset: Vec<usize>,
}

impl TextLogprobs {
    /// Of tokens that begin behind so many characters, which are moved on.
    fn of(tokens: Vec<TokenLogprob>, offset: &mut usize) -> Self {
        let mut out = Self::default();
        for token in tokens {
            out.text_offset.push(*offset);
            *offset += token.token.chars().count();
            out.token_logprobs.push(token.logprob);
            let top = token.top_logprobs.into_iter();
            out.top_logprobs
                .push(top.map(|one| (one.token, one.logprob)).collect());
            out.tokens.push(token.token);
        }
        out
    }
}

fn prompt(value: Option<Value>) -> ApiResult<Given> {
    let wrong = || {
        ApiError::invalid(
            "prompt",
            "prompt must be a string, a list of one, or token ids; send a request for each of several",
        )
    };
    let ids = |list: &[Value]| {
        let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
        let ids: Option<Vec<u32>> = list.iter().map(id).collect();
        ids.map(Given::Ids).ok_or_else(wrong)
    };
    match value {
        Some(Value::String(text)) => Ok(Given::Text(text)),
        Some(Value::Array(list)) => match list.as_slice() {
            [Value::String(text)] => Ok(Given::Text(text.clone())),
            [Value::Array(inner)] => ids(inner),
            list => ids(list),
        },
        _ => Err(wrong()),
    }
}

/// Reads the body of `POST /v1/completions`.
fn parse(body: &[u8]) -> ApiResult<ChatRequest> {
    let mut params = Params::new(body)?;
    let given = prompt(params.take("prompt"))?;
    let (stream, include_usage) = streaming(&mut params)?;
    let n = choices(&mut params)?;
    let best_of = params.integer("best_of", 1, 20)?;
    if best_of.is_some_and(|best_of| best_of != u64::from(n)) {
        return Err(ApiError::unsupported(
            "best_of",
            "best_of must be as n: every answer is paid for and shown",
        ));
    }
    let top_logprobs = match params.integer("logprobs", 0, 20)? {
        Some(count) if count > MAX_TOP_LOGPROBS => {
            return Err(ApiError::unsupported(
                "logprobs",
                format!(
                    "logprobs is at most {MAX_TOP_LOGPROBS} here: a fingerprint keeps four candidates"
                ),
            ));
        }
        count => count.and_then(|count| u8::try_from(count).ok()),
    };
    let mut request = ChatRequest {
        stream,
        include_usage,
        n,
        top_logprobs,
        format: response_format(&mut params)?,
        payment: payment(&mut params)?,
        ..ChatRequest::read(&mut params, given)?
    };
    request.max_tokens.get_or_insert(DEFAULT_TOKENS);
    request.check_payment()?;
    params.finish()?;
    Ok(request)
}

impl Frame {
    fn text(&self, choices: Vec<TextChoice>) -> TextCompletion {
        TextCompletion {
            id: format!("cmpl-{}", self.job),
            object: "text_completion",
            created: self.created,
            model: self.model.clone(),
            choices,
            usage: None,
            system_fingerprint: self.system_fingerprint(),
            mythic: None,
        }
    }

    fn texts(&self, answers: &[ChoiceAnswer]) -> TextCompletion {
        let ends: Vec<ChoiceEnd> = answers.iter().map(|answer| answer.end.clone()).collect();
        let choice = |(index, answer): (u32, &ChoiceAnswer)| {
            let whole = self.whole(answer);
            let known = self.logprobs && (whole.text.is_empty() || !whole.tokens.is_empty());
            TextChoice {
                index,
                text: whole.text,
                logprobs: known.then(|| TextLogprobs::of(whole.tokens, &mut 0)),
                finish_reason: Some(finish_reason(answer.end.finish, false)),
            }
        };
        TextCompletion {
            usage: Some(Some(usage(&ends))),
            mythic: Some(self.mythic(&ends)),
            ..self.text((0u32..).zip(answers).map(choice).collect())
        }
    }
}

/// What was told of a text.
struct Texts {
    include_usage: bool,
    /// What was told of each choice, and its characters.
    told: Vec<(Told, usize)>,
    ends: Vec<(u32, ChoiceEnd)>,
}

impl Texts {
    fn line(&self, mut event: TextCompletion) -> Line {
        if self.include_usage && event.usage.is_none() {
            event.usage = Some(None);
        }
        Line::data(&event)
    }

    /// Parts of a choice as events.
    fn tell(
        &mut self,
        frame: &Frame,
        index: u32,
        say: impl FnOnce(&mut Told) -> Vec<Spoken>,
    ) -> Vec<Line> {
        let Some((told, offset)) = self.told.get_mut(index as usize) else {
            return Vec::new();
        };
        let mut events = Vec::new();
        for part in say(told) {
            let text = part.text();
            let logprobs = (frame.logprobs && !part.tokens.is_empty())
                .then(|| TextLogprobs::of(part.tokens, offset));
            if !text.is_empty() || logprobs.is_some() {
                events.push(frame.text(vec![TextChoice {
                    index,
                    text,
                    logprobs,
                    finish_reason: None,
                }]));
            }
        }
        events.into_iter().map(|event| self.line(event)).collect()
    }
}

impl Script for Texts {
    fn lines(&mut self, run: &Run, step: Step) -> Vec<Line> {
        match step {
            Step::Admitted { .. } => Vec::new(),
            Step::Piece(index, piece) => self.tell(&run.frame(), index, |told| told.push(&piece)),
            Step::End(index, end) => {
                let frame = run.frame();
                let mut lines = self.tell(&frame, index, Told::finish);
                let last = TextChoice {
                    index,
                    text: String::new(),
                    logprobs: None,
                    finish_reason: Some(finish_reason(end.finish, false)),
                };
                lines.push(self.line(TextCompletion {
                    mythic: Some(frame.mythic(std::slice::from_ref(&end))),
                    ..frame.text(vec![last])
                }));
                self.ends.push((index, end));
                lines
            }
            Step::Finished => {
                let mut lines = Vec::new();
                if self.include_usage {
                    self.ends.sort_by_key(|(index, _)| *index);
                    let ends: Vec<ChoiceEnd> =
                        self.ends.iter().map(|(_, end)| end.clone()).collect();
                    lines.push(self.line(TextCompletion {
                        usage: Some(Some(usage(&ends))),
                        ..run.frame().text(Vec::new())
                    }));
                }
                lines.push(Line::done());
                lines
            }
            Step::Failed(error) => vec![Line::data(&error.body())],
        }
    }
}

/// OpenAI's older text completions, streamed or whole: the text itself is continued.
#[utoipa::path(post, path = "/v1/completions", operation_id = "create_completion", tag = "inference",
    request_body(content = shapes::CompletionBody), security((), ("api_key" = [])),
    responses((status = 200, description = "With `stream` text/event-stream of TextCompletion, then `[DONE]`", body = TextCompletion),
              (status = 400, description = "invalid_request, invalid_json, unsupported_parameter, context_length_exceeded", body = ErrorBody),
              (status = 401, description = "invalid_api_key", body = ErrorBody), (status = 402, description = "insufficient_funds, spend_limit_exceeded, grant_not_usable", body = ErrorBody),
              (status = 404, description = "model_not_found", body = ErrorBody), (status = 409, description = "request_in_progress", body = ErrorBody),
              (status = 410, description = "answer_expired", body = ErrorBody), (status = 422, description = "idempotency_key_reused, grammar_limit", body = ErrorBody),
              (status = 429, description = "rate_limit_exceeded", body = ErrorBody), (status = 502, description = "validator_failed, chain_refused", body = ErrorBody),
              (status = 503, description = "no_validator, gateway_busy and others, with Retry-After", body = ErrorBody)))]
pub async fn completions(
    State(app): State<Arc<App>>,
    Caller(address): Caller,
    trace: Trace,
    headers: HeaderMap,
    JsonBytes(body): JsonBytes,
) -> ApiResult<Response> {
    /// What a chat calls otherwise.
    const NAMES: &[(&str, &str)] = &[
        ("messages", "prompt"),
        ("max_completion_tokens", "max_tokens"),
    ];
    let request = parse(&body)?;
    let (stream, include_usage) = (request.stream, request.include_usage);
    let intake = Intake {
        app: &app,
        headers: &headers,
        address,
        trace,
        body: &body,
        route: "/v1/completions",
        open: false,
    };
    let entered = intake.enter(request).await;
    let mut reader = match entered.map_err(|error| error.renamed(NAMES))? {
        Entered::Run(reader) => reader,
        Entered::Open(_) => return Err(ApiError::internal("a completion made an open job")),
    };
    let run = reader.run().clone();
    if stream {
        let told = || (run.frame().told(), 0);
        let script = Texts {
            include_usage,
            told: std::iter::repeat_with(told)
                .take(run.head.choices as usize)
                .collect(),
            ends: Vec::new(),
        };
        return play(&app, reader, script).await;
    }
    let answers = whole(&app, &mut reader).await?;
    Ok(with_headers(
        &app,
        Json(run.frame().texts(&answers)).into_response(),
        &run,
        answers.first().map(|answer| answer.end.job.clone()),
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(extra: Value) -> ApiResult<ChatRequest> {
        let mut body = json!({"prompt": "Once"});
        for (name, value) in extra.as_object().unwrap() {
            body[name] = value.clone();
        }
        parse(body.to_string().as_bytes())
    }

    #[test]
    fn a_prompt_is_text_or_tokens() {
        let given = |prompt: Value| read(json!({"prompt": prompt})).unwrap().given;
        assert_eq!(given(json!("a")), Given::Text("a".into()));
        assert_eq!(given(json!(["a"])), Given::Text("a".into()));
        assert_eq!(given(json!([1, 2])), Given::Ids(vec![1, 2]));
        assert_eq!(given(json!([[1, 2]])), Given::Ids(vec![1, 2]));
        for prompt in [json!(null), json!(["a", "b"]), json!([1.5]), json!({})] {
            let error = read(json!({"prompt": prompt})).unwrap_err();
            assert_eq!(error.param.as_deref(), Some("prompt"));
        }
    }

    #[test]
    fn what_changes_nothing_is_taken_and_the_rest_refused_by_name() {
        let request = read(
            json!({"best_of": 2, "n": 2, "echo": false, "suffix": "", "logprobs": 3, "top_p": 0.5}),
        );
        let request = request.unwrap();
        assert_eq!((request.n, request.max_tokens), (2, Some(DEFAULT_TOKENS)));
        assert_eq!(request.top_logprobs, Some(3));
        assert_eq!(request.drawing.named, Some("top_p"));
        for (name, value) in [
            ("best_of", json!(3)),
            ("echo", json!(true)),
            ("suffix", json!("end")),
            ("logprobs", json!(5)),
        ] {
            let error = read(json!({name: value})).unwrap_err();
            assert_eq!(
                (error.code.as_str(), error.param.as_deref()),
                ("unsupported_parameter", Some(name))
            );
        }
    }

    #[test]
    fn offsets_of_tokens_are_characters_of_the_text() {
        let token = |text: &str| TokenLogprob {
            token: text.into(),
            logprob: -1.0,
            bytes: text.as_bytes().to_vec(),
            top_logprobs: Vec::new(),
        };
        let mut offset = 0;
        let first = TextLogprobs::of(vec![token("ä"), token("bc")], &mut offset);
        let second = TextLogprobs::of(vec![token("d")], &mut offset);
        assert_eq!(first.text_offset, [0, 1]);
        assert_eq!(second.text_offset, [3]);
    }
}
