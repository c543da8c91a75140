//! A run as a stream of events, in the words of one of OpenAI's APIs.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use axum::response::{
    IntoResponse, Response,
    sse::{Event, KeepAlive, Sse},
};
use futures::Stream;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::entry::with_headers;
use crate::{
    app::App,
    error::{ApiError, ApiResult},
    http::stopping,
    jobs::run::{Reader, Run, Step},
    routes::stream::unbuffered,
};

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Its name, in APIs that name them.
    pub event: Option<&'static str>,
    pub data: String,
}

impl Line {
    /// An event without a name.
    pub fn data(content: &impl Serialize) -> Self {
        Self {
            event: None,
            data: written(content),
        }
    }

    /// What ends a stream of events without names.
    pub fn done() -> Self {
        Self {
            event: None,
            data: "[DONE]".into(),
        }
    }
}

/// JSON of what has no keys but texts: it can't fail.
pub(super) fn written(content: &impl Serialize) -> String {
    serde_json::to_string(content)
        .unwrap_or_else(|error| ApiError::internal(error).body().to_string())
}

/// How the steps of a run are told.
pub(super) trait Script: Send + 'static {
    /// What a step says; after [`Step::Finished`] and [`Step::Failed`] there is no other.
    fn lines(&mut self, run: &Run, step: Step) -> Vec<Line>;
}

/// Where a stream stands.
struct Playing<S> {
    reader: Reader,
    script: S,
    cut: CancellationToken,
    ready: VecDeque<Line>,
    over: bool,
}

impl<S: Script> Playing<S> {
    async fn next(&mut self) -> Option<Line> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Some(line);
            }
            if self.over {
                return None;
            }
            let cut = self.cut.clone();
            let step = tokio::select! {
                biased;
                step = self.reader.next() => step,
                () = cut.cancelled() => Some(Step::Failed(stopping())),
            };
            self.over = !matches!(
                step,
                Some(Step::Admitted { .. } | Step::Piece(..) | Step::End(..))
            );
            if let Some(step) = step {
                self.ready
                    .extend(self.script.lines(self.reader.run(), step));
            }
        }
    }
}

/// A run as events; `cut` ends them early, because the gateway stops.
pub(super) fn events<S: Script>(
    reader: Reader,
    script: S,
    cut: CancellationToken,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let state = Playing {
        reader,
        script,
        cut,
        ready: VecDeque::new(),
        over: false,
    };
    futures::stream::unfold(state, |mut state| async move {
        let line = state.next().await?;
        let event = match line.event {
            None => Event::default(),
            Some(name) => Event::default().event(name),
        };
        Some((Ok(event.data(line.data)), state))
    })
}

/// Answers with a run's events. Nothing is sent before it is known that there will be an answer, or 10 s have passed: a refusal is
/// still a status then.
pub(super) async fn play<S: Script>(
    app: &Arc<App>,
    mut reader: Reader,
    script: S,
) -> ApiResult<Response> {
    let admission = Duration::from_secs(app.config.timing.admission_seconds);
    tokio::select! {
        _ = tokio::time::timeout(admission, reader.admitted()) => {}
        () = app.edge.life.cut.cancelled() => return Err(stopping()),
    }
    if let Some(error) = reader.failed_early() {
        return Err(error);
    }
    let run = reader.run().clone();
    let job = run.job();
    let events = Sse::new(events(reader, script, app.edge.life.cut.clone())).keep_alive(
        KeepAlive::new()
            .interval(Duration::from_secs(10))
            .text("ping"),
    );
    Ok(with_headers(
        app,
        unbuffered(events.into_response()),
        &run,
        job,
    ))
}
