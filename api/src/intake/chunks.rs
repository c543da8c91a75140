//! A run as the chunks of a stream.

use std::{collections::VecDeque, convert::Infallible};

use futures::Stream;
use tokio_util::sync::CancellationToken;

use super::{
    completion::ChatCompletionChunk,
    render::{Frame, Told},
};
use crate::{
    error::ApiError,
    http::stopping,
    jobs::{
        answer::ChoiceEnd,
        run::{Reader, Step},
    },
};

/// A run as the chunks of a stream; `cut` ends it early, because the gateway stops.
pub(super) fn chunks(
    reader: Reader,
    include_usage: bool,
    cut: CancellationToken,
) -> impl Stream<Item = Result<axum::response::sse::Event, Infallible>> {
    let choices = reader.run().head.choices as usize;
    let state = Chunks {
        reader,
        include_usage,
        cut,
        told: std::iter::repeat_with(|| None).take(choices).collect(),
        ends: Vec::new(),
        ready: VecDeque::new(),
        over: false,
    };
    futures::stream::unfold(state, |mut state| async move {
        let data = state.next().await?;
        Some((Ok(axum::response::sse::Event::default().data(data)), state))
    })
}

/// Where a stream of chunks stands.
struct Chunks {
    reader: Reader,
    include_usage: bool,
    cut: CancellationToken,
    /// What was told of each choice that was opened.
    told: Vec<Option<Told>>,
    ends: Vec<(u32, ChoiceEnd)>,
    ready: VecDeque<String>,
    over: bool,
}

impl Chunks {
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(data) = self.ready.pop_front() {
                return Some(data);
            }
            if self.over {
                return None;
            }
            let cut = self.cut.clone();
            tokio::select! {
                biased;
                event = self.reader.next() => self.take(event),
                () = cut.cancelled() => self.take(Some(Step::Failed(stopping()))),
            }
        }
    }

    fn push(&mut self, mut chunk: ChatCompletionChunk) {
        if self.include_usage && chunk.usage.is_none() {
            chunk.usage = Some(None);
        }
        match serde_json::to_string(&chunk) {
            Ok(data) => self.ready.push_back(data),
            Err(error) => self.take(Some(Step::Failed(ApiError::internal(error)))),
        }
    }

    /// The frame, and what was told of a choice, which is opened if it was not.
    fn open(&mut self, choice: u32) -> Frame {
        let frame = self.reader.run().frame();
        let unopened = self
            .told
            .get_mut(choice as usize)
            .filter(|told| told.is_none())
            .map(|told| *told = Some(Told::default()))
            .is_some();
        if unopened {
            self.push(frame.opening(choice));
        }
        frame
    }

    fn take(&mut self, event: Option<Step>) {
        match event {
            None => self.over = true,
            Some(Step::Admitted { .. }) => {}
            Some(Step::Piece(choice, piece)) => {
                let frame = self.open(choice);
                let chunk = self
                    .told
                    .get_mut(choice as usize)
                    .and_then(Option::as_mut)
                    .and_then(|told| frame.step(choice, &piece, told));
                if let Some(chunk) = chunk {
                    self.push(chunk);
                }
            }
            Some(Step::End(choice, end)) => {
                let frame = self.open(choice);
                self.push(frame.closing(choice, &end));
                self.ends.push((choice, end));
            }
            Some(Step::Finished) => {
                if self.include_usage {
                    self.ends.sort_by_key(|(choice, _)| *choice);
                    let ends: Vec<ChoiceEnd> =
                        self.ends.iter().map(|(_, end)| end.clone()).collect();
                    let chunk = self.reader.run().frame().usage(&ends);
                    self.push(chunk);
                }
                self.ready.push_back("[DONE]".into());
                self.over = true;
            }
            Some(Step::Failed(error)) => {
                self.ready.push_back(error.body().to_string());
                self.over = true;
            }
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
    use futures::StreamExt;
    use serde_json::{Value, json};

    use super::*;
    use crate::jobs::{
        answer::Piece,
        run::{Rejoin, Run, RunHead},
    };

    fn run() -> Arc<Run> {
        Run::new(RunHead {
            id: "r".into(),
            key_id: "k".into(),
            created: 5,
            model: "m@00000000".into(),
            choices: 1,
            logprobs: false,
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
