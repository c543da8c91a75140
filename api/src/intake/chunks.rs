//! A run as the chunks of a chat's stream.

use super::{
    completion::ChatCompletionChunk,
    play::{Line, Script},
    render::{Frame, Told},
};
use crate::jobs::{
    answer::ChoiceEnd,
    run::{Run, Step},
};

/// What was told of a chat.
pub(super) struct Chunks {
    include_usage: bool,
    /// What was told of each choice that was opened.
    told: Vec<Option<Told>>,
    ends: Vec<(u32, ChoiceEnd)>,
}

impl Chunks {
    /// Nothing was told of so many choices; `include_usage`: the last chunk says what was used.
    pub fn new(choices: u32, include_usage: bool) -> Self {
        Self {
            include_usage,
            told: std::iter::repeat_with(|| None)
                .take(choices as usize)
                .collect(),
            ends: Vec::new(),
        }
    }

    fn line(&self, mut chunk: ChatCompletionChunk) -> Line {
        if self.include_usage && chunk.usage.is_none() {
            chunk.usage = Some(None);
        }
        Line::data(&chunk)
    }

    /// Chunks of a choice, after its opening if it was not opened.
    fn tell(
        &mut self,
        frame: &Frame,
        choice: u32,
        say: impl FnOnce(&mut Told) -> Vec<ChatCompletionChunk>,
    ) -> Vec<Line> {
        let Some(told) = self.told.get_mut(choice as usize) else {
            return Vec::new();
        };
        let mut chunks = match told {
            Some(_) => Vec::new(),
            None => vec![frame.opening(choice)],
        };
        chunks.extend(say(told.get_or_insert_with(|| frame.told())));
        chunks.into_iter().map(|chunk| self.line(chunk)).collect()
    }
}

impl Script for Chunks {
    fn lines(&mut self, run: &Run, step: Step) -> Vec<Line> {
        match step {
            Step::Admitted { .. } => Vec::new(),
            Step::Piece(choice, piece) => {
                let frame = run.frame();
                self.tell(&frame, choice, |told| frame.step(choice, &piece, told))
            }
            Step::End(choice, end) => {
                let frame = run.frame();
                let lines = self.tell(&frame, choice, |told| frame.closing(choice, &end, told));
                self.ends.push((choice, end));
                lines
            }
            Step::Finished => {
                let mut lines = Vec::new();
                if self.include_usage {
                    self.ends.sort_by_key(|(choice, _)| *choice);
                    let ends: Vec<ChoiceEnd> =
                        self.ends.iter().map(|(_, end)| end.clone()).collect();
                    lines.push(self.line(run.frame().usage(&ends)));
                }
                lines.push(Line::done());
                lines
            }
            Step::Failed(error) => vec![Line::data(&error.body())],
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::{
        http::StatusCode,
        response::{IntoResponse, sse::Sse},
    };
    use futures::{Stream, StreamExt};
    use serde_json::{Value, json};
    use std::convert::Infallible;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{
        error::ApiError,
        intake::play::events,
        jobs::{
            answer::Piece,
            run::{Reader, Rejoin, RunHead},
        },
    };

    fn chunks(
        reader: Reader,
        include_usage: bool,
        cut: CancellationToken,
    ) -> impl Stream<Item = Result<axum::response::sse::Event, Infallible>> {
        events(reader, Chunks::new(1, include_usage), cut)
    }

    fn run() -> Arc<Run> {
        Run::new(RunHead {
            id: "r".into(),
            key_id: "k".into(),
            created: 5,
            model: "m@00000000".into(),
            choices: 1,
            logprobs: false,
            calls: None,
            profile: mythic_interface::state::SamplingProfile::SeededTop4,
            rejoin: Rejoin::Never,
        })
    }

    async fn stream_text(run: &Arc<Run>, usage: bool) -> Vec<Value> {
        let response =
            Sse::new(chunks(run.reader(), usage, CancellationToken::new())).into_response();
        let mut body = response.into_body().into_data_stream();
        let mut text = String::new();
        while let Some(chunk) = body.next().await {
            text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
        }
        text.split("\n\n")
            .filter_map(|event| event.strip_prefix("data: "))
            .map(|data| serde_json::from_str(data).unwrap_or(Value::from(data)))
            .collect()
    }

    #[tokio::test]
    async fn a_stream_opens_speaks_closes_counts_and_is_done() {
        let run = run();
        run.push(Step::Admitted {
            choice: 0,
            job: "J".into(),
        });
        run.push(Step::Piece(
            0,
            Arc::new(Piece {
                text: "hi".into(),
                logprob: None,
            }),
        ));
        run.push(Step::End(
            0,
            ChoiceEnd {
                job: "J".into(),
                validator: "V".into(),
                finish: mythic_wire::Finish::Length,
                prompt_tokens: 4,
                cached_tokens: None,
                output_tokens: 1,
                cost_lamports: 150,
                receipt: "u".into(),
                unconfirmed: false,
            },
        ));
        run.push(Step::Finished);
        let events = stream_text(&run, true).await;
        assert_eq!(events.len(), 5);
        assert_eq!(
            events[0]["choices"][0]["delta"],
            json!({"role": "assistant", "content": ""})
        );
        assert_eq!(events[1]["choices"][0]["delta"]["content"], "hi");
        assert_eq!(events[2]["choices"][0]["finish_reason"], "length");
        assert_eq!(events[2]["mythic"]["cost_lamports"], 150);
        assert_eq!(events[3]["usage"]["total_tokens"], 5);
        assert_eq!(events[4], "[DONE]");
        assert!(
            events[..4]
                .iter()
                .all(|event| event["id"] == "chatcmpl-J" && event["created"] == 5)
        );
        // Until the last, chunks of a stream that counts say that they don't know yet.
        assert!(events[..3].iter().all(|event| event["usage"].is_null()));
        assert!(events[0].as_object().unwrap().contains_key("usage"));
        let uncounted = stream_text(&run, false).await;
        assert_eq!(uncounted.len(), 4);
        assert!(!uncounted[0].as_object().unwrap().contains_key("usage"));
    }

    #[tokio::test]
    async fn a_stream_that_a_stop_cuts_ends_with_an_error() {
        let run = run();
        run.push(Step::Admitted {
            choice: 0,
            job: "J".into(),
        });
        let cut = CancellationToken::new();
        cut.cancel();
        let mut state = Box::pin(chunks(run.reader(), false, cut));
        assert!(state.next().await.is_some());
        assert!(state.next().await.is_none());
    }

    #[tokio::test]
    async fn a_failure_in_the_middle_is_an_error_event_without_done() {
        let run = run();
        run.push(Step::Admitted {
            choice: 0,
            job: "J".into(),
        });
        run.push(Step::Piece(
            0,
            Arc::new(Piece {
                text: "hi".into(),
                logprob: None,
            }),
        ));
        run.push(Step::Failed(
            ApiError::new(StatusCode::BAD_GATEWAY, "validator_failed", "gone").job("J"),
        ));
        let events = stream_text(&run, true).await;
        assert_eq!(events.last().unwrap()["error"]["code"], "validator_failed");
        assert_eq!(events.last().unwrap()["error"]["job_id"], "J");
    }
}
