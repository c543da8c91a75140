//! Runs a request: all its choices at once, then stores how it ended. Every step that could cost money is stored before it is
//! taken; what may follow what is the machine's ([`super::attempt`]).

use std::{sync::Arc, time::Duration};

use futures::future::join_all;

use crate::{
    error::ApiError,
    fleet::limits::Permit,
    jobs::{
        Jobs,
        choice::{choice, retried},
        run::{Run, Step},
        work::Work,
    },
    store,
};

/// Starts a run in the background; its request is stored already.
pub fn start(parts: &Arc<Jobs>, run: &Arc<Run>, work: Work, permit: Permit) {
    parts.runs.insert(run);
    let (parts, run) = (parts.clone(), run.clone());
    parts.tracker.clone().spawn(async move {
        let _permit = permit;
        parts.metrics.running.inc();
        let watcher = tokio::spawn({
            let (run, rejoin) = (
                run.clone(),
                Duration::from_secs(parts.config.timing.rejoin_seconds),
            );
            async move { run.watch_listeners(rejoin).await }
        });
        let last = execute(&parts, &run, &work).await;
        watcher.abort();
        run.push(last);
        parts.runs.remove(&run.head.id);
        parts.metrics.running.dec();
    });
}

async fn execute(parts: &Jobs, run: &Run, work: &Work) -> Step {
    let choices = (0..run.head.choices).map(|index| async move {
        let outcome = choice(parts, run, work, index).await;
        if outcome.is_err() {
            // One choice failed: the answer can't be whole, so the others are called off.
            run.gone.cancel();
        }
        outcome
    });
    let mut answers = Vec::new();
    let mut failure: Option<ApiError> = None;
    for outcome in join_all(choices).await {
        match outcome {
            Ok(answer) => answers.push(answer),
            Err(error)
                if failure
                    .as_ref()
                    .is_none_or(|first| first.code == "client_gone") =>
            {
                failure = Some(error)
            }
            Err(_) => {}
        }
    }
    let value = store::answer_value(&answers);
    let end = match &failure {
        None => store::End::Answer(&value),
        Some(error) => store::End::Error(error),
    };
    match retried(|| store::end_request(&parts.pool, &run.head.id, &parts.instance, end.clone()))
        .await
    {
        Ok(true) => {}
        Ok(false) => {
            tracing::warn!(request = %run.head.id, "another gateway has taken this request over")
        }
        Err(error) => {
            tracing::error!(%error, request = %run.head.id, "the end of a request could not be stored; it will be looked at again")
        }
    }
    failure.map_or(Step::Finished, Step::Failed)
}
