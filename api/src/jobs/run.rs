//! A request under way: its log of events, who listens to it, and what becomes of it when nobody does.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use mythic_interface::state::SamplingProfile;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    error::ApiError,
    intake::{calls::Calling, render::Frame},
    jobs::answer::{ChoiceAnswer, ChoiceEnd, Piece},
};

/// What happens in a run.
#[derive(Debug, Clone)]
pub enum Step {
    /// A validator has the job of a choice; a failover may bring another.
    Admitted {
        /// Number of the choice.
        choice: u32,
        /// The job, base58.
        job: String,
    },
    /// A step of a choice.
    Piece(u32, Arc<Piece>),
    /// A choice is whole.
    End(u32, ChoiceEnd),
    /// All choices are whole, and stored.
    Finished,
    /// The run failed; nothing follows.
    Failed(ApiError),
}

impl Step {
    fn last(&self) -> bool {
        matches!(self, Self::Finished | Self::Failed(_))
    }
}

/// What a run is for.
#[derive(Debug, Clone)]
pub struct RunHead {
    /// The request's id.
    pub id: String,
    /// Who pays.
    pub key_id: String,
    /// Unix seconds.
    pub created: i64,
    /// The model's id.
    pub model: String,
    /// Number of choices.
    pub choices: u32,
    /// The answer carries log-probabilities.
    pub logprobs: bool,
    /// How the answer calls functions, if it may.
    pub calls: Option<Calling>,
    /// How tokens are chosen.
    pub profile: SamplingProfile,
    /// Whether a client that was lost may come back.
    pub rejoin: Rejoin,
}

/// Whether a client that was lost can find its run again, by sending the same request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejoin {
    /// Nothing tells that a later request would be the same.
    Never,
    /// An SDK repeats by itself as long as nothing of a stream has come.
    BeforeContent,
    /// It has an idempotency key, or an SDK repeats a request whose answer goes out in one piece.
    Always,
}

/// A request under way, or a stored one shown again.
#[derive(Debug)]
pub struct Run {
    /// What it is for.
    pub head: RunHead,
    log: Mutex<Vec<Step>>,
    grown: watch::Sender<usize>,
    listeners: watch::Sender<usize>,
    /// Nobody wants the answer any more.
    pub gone: CancellationToken,
    first_job: OnceLock<String>,
    replayed: bool,
}

impl Run {
    /// A run without events.
    pub fn new(head: RunHead) -> Arc<Self> {
        Arc::new(Self {
            head,
            log: Mutex::default(),
            grown: watch::channel(0).0,
            listeners: watch::channel(0).0,
            gone: CancellationToken::new(),
            first_job: OnceLock::new(),
            replayed: false,
        })
    }

    /// A stored answer as a run that is over.
    pub fn replay(head: RunHead, answers: Vec<ChoiceAnswer>) -> Arc<Self> {
        let mut log = Vec::new();
        for (choice, answer) in (0u32..).zip(answers) {
            log.push(Step::Admitted {
                choice,
                job: answer.end.job.clone(),
            });
            log.extend(
                answer
                    .pieces
                    .into_iter()
                    .map(|piece| Step::Piece(choice, Arc::new(piece))),
            );
            log.push(Step::End(choice, answer.end));
        }
        log.push(Step::Finished);
        Arc::new(Self {
            head,
            grown: watch::channel(log.len()).0,
            log: Mutex::new(log),
            listeners: watch::channel(0).0,
            gone: CancellationToken::new(),
            first_job: OnceLock::new(),
            replayed: true,
        })
    }

    /// Adds an event; nothing follows a last one.
    pub fn push(&self, event: Step) {
        let mut log = self.log.lock();
        if log.last().is_some_and(Step::last) {
            return;
        }
        log.push(event);
        self.grown.send_replace(log.len());
    }

    /// Whether anything of an answer was handed out.
    pub fn has_content(&self) -> bool {
        self.log
            .lock()
            .iter()
            .any(|event| matches!(event, Step::Piece(..) | Step::End(..)))
    }

    /// The job of the first choice, as far as known.
    pub fn job(&self) -> Option<String> {
        self.first_job.get().cloned().or_else(|| {
            self.log.lock().iter().rev().find_map(|event| match event {
                Step::Admitted { choice: 0, job } => Some(job.clone()),
                _ => None,
            })
        })
    }

    /// What all chunks have in common. The id is settled with the first content.
    pub fn frame(&self) -> Frame {
        let job = self.first_job.get_or_init(|| {
            let log = self.log.lock();
            let of = |wanted: Option<u32>| {
                log.iter().rev().find_map(|event| match event {
                    Step::Admitted { choice, job }
                        if wanted.is_none_or(|wanted| wanted == *choice) =>
                    {
                        Some(job.clone())
                    }
                    _ => None,
                })
            };
            of(Some(0))
                .or_else(|| of(None))
                .unwrap_or_else(|| self.head.id.clone())
        });
        Frame {
            job: job.clone(),
            created: self.head.created,
            model: self.head.model.clone(),
            logprobs: self.head.logprobs,
            calls: self.head.calls,
            profile: self.head.profile,
            replayed: self.replayed,
        }
    }

    /// A stored answer is being shown again.
    pub fn frame_replayed(&self) -> bool {
        self.replayed
    }

    /// A reader from the first event on. While one exists somebody listens.
    pub fn reader(self: &Arc<Self>) -> Reader {
        self.listeners.send_modify(|count| *count += 1);
        Reader {
            run: self.clone(),
            at: 0,
            grown: self.grown.subscribe(),
        }
    }

    /// Waits until nobody listens, then calls the answer off: after `rejoin` where the client may come back, else at once.
    pub async fn watch_listeners(&self, rejoin: Duration) {
        let mut listeners = self.listeners.subscribe();
        loop {
            if listeners.wait_for(|count| *count == 0).await.is_err() {
                return;
            }
            let patience = match self.head.rejoin {
                Rejoin::Always => rejoin,
                Rejoin::BeforeContent if !self.has_content() => rejoin,
                Rejoin::BeforeContent | Rejoin::Never => Duration::ZERO,
            };
            tokio::select! {
                () = tokio::time::sleep(patience) => {
                    self.gone.cancel();
                    return;
                }
                joined = listeners.wait_for(|count| *count > 0) => if joined.is_err() { return },
            }
        }
    }
}

/// Reads a run's events in order.
#[derive(Debug)]
pub struct Reader {
    run: Arc<Run>,
    at: usize,
    grown: watch::Receiver<usize>,
}

impl Reader {
    /// The next event; `None` after the last.
    pub async fn next(&mut self) -> Option<Step> {
        loop {
            {
                let log = self.run.log.lock();
                if let Some(event) = log.get(self.at) {
                    self.at += 1;
                    return Some(event.clone());
                }
                if log.last().is_some_and(Step::last) {
                    return None;
                }
            }
            let at = self.at;
            self.grown.wait_for(|length| *length > at).await.ok()?;
        }
    }

    /// Waits until there is content or an end, without taking it.
    pub async fn admitted(&mut self) {
        loop {
            {
                let log = self.run.log.lock();
                if log
                    .iter()
                    .any(|event| !matches!(event, Step::Admitted { .. }))
                {
                    return;
                }
            }
            if self.grown.changed().await.is_err() {
                return;
            }
        }
    }

    /// The failure, if the run failed before it handed anything out.
    pub fn failed_early(&self) -> Option<ApiError> {
        let log = self.run.log.lock();
        match log.last() {
            Some(Step::Failed(error))
                if !log
                    .iter()
                    .any(|event| matches!(event, Step::Piece(..) | Step::End(..))) =>
            {
                Some(error.clone())
            }
            _ => None,
        }
    }

    /// The run that is read.
    pub fn run(&self) -> &Arc<Run> {
        &self.run
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.run
            .listeners
            .send_modify(|count| *count = count.saturating_sub(1));
    }
}

/// Runs of this process by request id.
#[derive(Debug, Default)]
pub struct Runs(Mutex<HashMap<String, Arc<Run>>>);

impl Runs {
    /// Notes a run.
    pub fn insert(&self, run: &Arc<Run>) {
        self.0.lock().insert(run.head.id.clone(), run.clone());
    }

    /// Forgets a run that is over.
    pub fn remove(&self, id: &str) {
        self.0.lock().remove(id);
    }

    /// The run of a request, if it is under way here.
    pub fn get(&self, id: &str) -> Option<Arc<Run>> {
        self.0.lock().get(id).cloned()
    }

    /// Runs under way.
    pub fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// Nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mythic_wire::Finish;

    fn head(rejoin: Rejoin) -> RunHead {
        RunHead {
            id: "req".into(),
            key_id: "k".into(),
            created: 1,
            model: "m".into(),
            choices: 1,
            logprobs: false,
            calls: None,
            profile: SamplingProfile::SeededTop4,
            rejoin,
        }
    }

    fn piece(text: &str) -> Piece {
        Piece {
            text: text.into(),
            logprob: None,
        }
    }

    async fn collect(mut reader: Reader) -> Vec<String> {
        let mut out = Vec::new();
        while let Some(event) = reader.next().await {
            out.push(match event {
                Step::Admitted { job, .. } => format!("admitted {job}"),
                Step::Piece(_, piece) => piece.text.clone(),
                Step::End(..) => "end".into(),
                Step::Finished => "finished".into(),
                Step::Failed(error) => error.code,
            });
        }
        out
    }

    #[tokio::test]
    async fn every_reader_sees_everything_in_order() {
        let run = Run::new(head(Rejoin::Never));
        let early = tokio::spawn(collect(run.reader()));
        run.push(Step::Admitted {
            choice: 0,
            job: "J".into(),
        });
        run.push(Step::Piece(0, Arc::new(piece("a"))));
        run.push(Step::Finished);
        run.push(Step::Piece(0, Arc::new(piece("after the end"))));
        let expected = vec!["admitted J".to_string(), "a".into(), "finished".into()];
        assert_eq!(early.await.unwrap(), expected);
        assert_eq!(collect(run.reader()).await, expected);
    }

    #[tokio::test]
    async fn a_stored_answer_reads_like_the_run_it_was() {
        let end = ChoiceEnd {
            job: "J".into(),
            validator: "V".into(),
            finish: Finish::Eos,
            prompt_tokens: 1,
            cached_tokens: None,
            output_tokens: 2,
            cost_lamports: 3,
            receipt: "r".into(),
            unconfirmed: false,
        };
        let run = Run::replay(
            head(Rejoin::Never),
            vec![ChoiceAnswer {
                pieces: vec![piece("a"), piece("b")],
                end,
            }],
        );
        assert_eq!(
            collect(run.reader()).await,
            ["admitted J", "a", "b", "end", "finished"]
        );
        assert!(run.frame().replayed);
        assert_eq!(run.frame().job, "J");
    }

    #[tokio::test]
    async fn the_id_is_settled_with_the_first_content() {
        let run = Run::new(head(Rejoin::Never));
        run.push(Step::Admitted {
            choice: 0,
            job: "A".into(),
        });
        run.push(Step::Admitted {
            choice: 0,
            job: "B".into(),
        });
        assert_eq!(run.frame().job, "B");
        run.push(Step::Admitted {
            choice: 0,
            job: "C".into(),
        });
        assert_eq!(run.frame().job, "B");
    }

    #[tokio::test]
    async fn a_stream_that_nobody_reads_is_called_off_at_once() {
        let run = Run::new(head(Rejoin::Never));
        let reader = run.reader();
        run.push(Step::Piece(0, Arc::new(piece("a"))));
        let watcher = tokio::spawn({
            let run = run.clone();
            async move { run.watch_listeners(Duration::from_millis(400)).await }
        });
        drop(reader);
        watcher.await.unwrap();
        assert!(run.gone.is_cancelled());
    }

    #[tokio::test]
    async fn a_repeatable_run_waits_for_its_client_to_come_back() {
        let run = Run::new(head(Rejoin::Always));
        drop(run.reader());
        let watcher = tokio::spawn({
            let run = run.clone();
            async move { run.watch_listeners(Duration::from_secs(2)).await }
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
        let again = run.reader();
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert!(!run.gone.is_cancelled());
        drop(again);
        watcher.await.unwrap();
        assert!(run.gone.is_cancelled());
    }
}
