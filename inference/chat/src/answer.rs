//! What comes back: one completion, or its chunks as events.

use std::{convert::Infallible, time::Duration};

use axum::{
    Json,
    response::{
        IntoResponse, Response,
        sse::{Event as SseEvent, KeepAlive, Sse},
    },
};
use futures::{Stream, StreamExt, stream};
use mythic_engine::{EngineError, Step};
use mythic_interface::hash::Hash;
use mythic_wire::{
    ErrorBody, Finish,
    openai::{ChatChunk, ChatCompletion, Frame, Usage},
    signed::unix_seconds,
};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};
use tokio_util::sync::DropGuard;

use crate::problem::problem;

type Steps = mpsc::Receiver<Result<Step, EngineError>>;

/// What is said of an answer that is cut off.
const LATE: &str = "the answer took too long and is cut off";

/// What was answered, for whoever says something about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// SHA-256 of the text.
    pub text: Hash,
    /// Tokens.
    pub usage: Usage,
}

/// What is said about an answer once it is whole, beside it as `mythic`.
type Remark = Box<dyn FnOnce(&Told) -> Value + Send>;

/// An answer that an engine makes.
pub struct Answer {
    steps: Steps,
    frame: Frame,
    prompt_tokens: u64,
    remark: Option<Remark>,
    /// When it is cut off, whole or not.
    end: Option<Instant>,
    /// Whatever ends the answer ends these: the generation, a place among those that run.
    held: Box<dyn Send>,
}

impl Answer {
    /// The answer of `model` that comes step by step; whatever ends it drops the guard.
    pub fn new(model: String, prompt_tokens: usize, steps: Steps, guard: DropGuard) -> Self {
        let frame = Frame {
            id: format!("chatcmpl-direct-{}", uuid::Uuid::new_v4().simple()),
            created: unix_seconds(),
            model,
            system: format!("mythic-{}", env!("CARGO_PKG_VERSION")),
        };
        Self {
            steps,
            frame,
            prompt_tokens: prompt_tokens as u64,
            remark: None,
            end: None,
            held: Box::new(guard),
        }
    }

    /// With something that is kept until the answer has ended.
    pub fn holding(self, place: impl Send + 'static) -> Self {
        let held = Box::new((self.held, place));
        Self { held, ..self }
    }

    /// Cut off after so long, however slowly it is made or read.
    pub fn within(self, longest: Duration) -> Self {
        let end = Some(Instant::now() + longest);
        Self { end, ..self }
    }

    /// The next step; `None` where there is none, an error where the time is over.
    async fn step(&mut self) -> Option<Result<Step, String>> {
        let step = match self.end {
            None => self.steps.recv().await,
            // What is there already comes too late as well.
            Some(end) if Instant::now() >= end => return Some(Err(LATE.into())),
            Some(end) => match timeout_at(end, self.steps.recv()).await {
                Ok(step) => step,
                Err(_) => return Some(Err(LATE.into())),
            },
        };
        Some(step?.map_err(|error| error.to_string()))
    }

    /// With something that is said about it in the end.
    pub fn remarked(self, remark: impl FnOnce(&Told) -> Value + Send + 'static) -> Self {
        let remark: Option<Remark> = Some(Box::new(remark));
        Self { remark, ..self }
    }

    /// As a stream of events, or whole.
    pub async fn respond(self, stream: bool) -> Response {
        match stream {
            true => Sse::new(self.events())
                .keep_alive(KeepAlive::new())
                .into_response(),
            false => self.whole().await,
        }
    }

    async fn whole(mut self) -> Response {
        let (mut text, mut end) = (String::new(), Progress::default());
        while let Some(step) = self.step().await {
            match step {
                Ok(step) => {
                    end.take(&step);
                    text.push_str(&step.text);
                }
                Err(error) => return problem(500, "server_error", "engine_failed", error),
            }
        }
        let Some(finish) = end.finish else {
            let message = "the engine ended without an end";
            return problem(500, "server_error", "engine_failed", message);
        };
        let told = end.told(self.prompt_tokens);
        let answer: ChatCompletion = self.frame.whole(text, finish, told.usage);
        Json(remarked(answer, self.remark.take(), &told)).into_response()
    }

    fn events(self) -> impl Stream<Item = Result<SseEvent, Infallible>> {
        let opening: ChatChunk = self.frame.opening(0);
        let first = event(&opening);
        let rest = stream::unfold(Some((self, Progress::default())), |state| async move {
            let (mut answer, mut end) = state?;
            match answer.step().await {
                Some(Ok(step)) => {
                    end.take(&step);
                    let text: ChatChunk = answer.frame.text(0, step.text, None);
                    let mut events = vec![event(&text)];
                    let Some(finish) = step.finish else {
                        return Some((events, Some((answer, end))));
                    };
                    let told = end.told(answer.prompt_tokens);
                    let closing: ChatChunk = answer.frame.closing(0, finish);
                    events.push(event(&remarked(closing, answer.remark.take(), &told)));
                    events.push(SseEvent::default().data("[DONE]"));
                    Some((events, None))
                }
                Some(Err(error)) => {
                    let body = ErrorBody::new("server_error", "engine_failed", error);
                    Some((vec![event(&body)], None))
                }
                None => None,
            }
        });
        stream::once(async { first })
            .chain(rest.flat_map(stream::iter))
            .map(Ok)
    }
}

/// What has come so far.
#[derive(Default)]
struct Progress {
    text: Sha256,
    tokens: u64,
    finish: Option<Finish>,
}

impl Progress {
    fn take(&mut self, step: &Step) {
        self.text.update(step.text.as_bytes());
        self.tokens += 1;
        self.finish = step.finish;
    }

    fn told(self, prompt_tokens: u64) -> Told {
        Told {
            text: self.text.finalize().into(),
            usage: Usage::new(prompt_tokens, self.tokens),
        }
    }
}

fn event(content: &impl Serialize) -> SseEvent {
    SseEvent::default().data(serde_json::to_string(content).unwrap_or_default())
}

/// A completion or its last chunk with what is said about it.
fn remarked(answer: impl Serialize, remark: Option<Remark>, told: &Told) -> Value {
    let mut answer = serde_json::to_value(answer).unwrap_or_default();
    if let (Some(remark), Value::Object(fields)) = (remark, &mut answer) {
        fields.insert("mythic".into(), remark(told));
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tokio_util::sync::CancellationToken;

    fn step(position: u32, text: &str, finish: Option<Finish>) -> Step {
        Step {
            position,
            token: 1,
            top4: Default::default(),
            text: text.into(),
            log_sum_exp: None,
            cached_tokens: None,
            finish,
        }
    }

    /// An answer of "hi!", the token that it cancels when it ends, and whether its place is taken.
    fn answer() -> (Answer, CancellationToken) {
        let (told, steps) = mpsc::channel(4);
        told.try_send(Ok(step(0, "hi", None))).unwrap();
        told.try_send(Ok(step(1, "!", Some(Finish::Eos)))).unwrap();
        let cancel = CancellationToken::new();
        let answer = Answer::new("m@0".into(), 3, steps, cancel.clone().drop_guard());
        let remark = |told: &Told| json!({"tokens": told.usage.total_tokens, "text": told.text});
        (answer.remarked(remark), cancel)
    }

    async fn body(response: Response) -> String {
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 16).await;
        String::from_utf8(bytes.unwrap().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn an_answer_is_the_same_whole_and_in_pieces_and_ends_what_it_holds() {
        let text: Hash = Sha256::digest(b"hi!").into();
        let (answer, cancel) = self::answer();
        let whole: Value = serde_json::from_str(&body(answer.respond(false).await).await).unwrap();
        assert_eq!(whole["choices"][0]["message"]["content"], "hi!");
        assert_eq!(whole["usage"]["completion_tokens"], 2);
        assert_eq!(whole["mythic"], json!({"tokens": 5, "text": text}));
        assert!(cancel.is_cancelled());

        let (answer, cancel) = self::answer();
        let stream = body(answer.respond(true).await).await;
        let events: Vec<&str> = stream
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .collect();
        assert_eq!(events.last(), Some(&"[DONE]"));
        let last: Value = serde_json::from_str(events[events.len() - 2]).unwrap();
        assert_eq!(last["choices"][0]["finish_reason"], "stop");
        assert_eq!(last["mythic"], whole["mythic"]);
        assert!(cancel.is_cancelled());
    }

    #[tokio::test]
    async fn an_answer_that_takes_too_long_is_cut_off_and_ends_what_it_holds() {
        for stream in [false, true] {
            let (told, steps) = mpsc::channel(4);
            told.try_send(Ok(step(0, "hi", None))).unwrap();
            let cancel = CancellationToken::new();
            let answer = Answer::new("m@0".into(), 3, steps, cancel.clone().drop_guard());
            let answer = answer.within(Duration::from_millis(50));
            // Its engine says nothing more and does not end.
            let cut = body(answer.respond(stream).await).await;
            assert!(cut.contains(LATE), "{cut}");
            assert!(cancel.is_cancelled());
            drop(told);
        }
    }
}
