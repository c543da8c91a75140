//! One job's task: turns the world into events for [`JobFsm`] and its actions into work. No decisions are made here.

mod claimed;
mod client;
mod prompt;
mod request;
mod result;
mod traced;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use mythic_client::{AccountSnapshot, Commitment};
use mythic_engine::{EngineError, GenerateRequest, Sampler, Step};
use mythic_interface::state::{Job, JobStatus, SamplingProfile};
use mythic_wire::{Finish, NodeEvent};
use solana_pubkey::Pubkey;
use solana_transaction::versioned::VersionedTransaction;
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{
    admit::{self, Work},
    backend::{ServedModel, Steps},
    claim::Claim,
    fsm::{Action, Event, Exit, JobFsm, Origin, TermsMatch, View},
    jobs::Jobs,
    messages::{Delivery, Msg, Start},
    sources::Wait,
    submit::Outcome,
};

use crate::keep::{
    journal::{Prompt, Record},
    store::Saved,
};

/// Wait before the engine is asked again when its queue is full.
const BUSY_PAUSE: Duration = Duration::from_millis(300);

/// One job's task.
pub struct JobTask {
    node: Arc<Jobs>,
    job: Pubkey,
    origin: Origin,
    model: ServedModel,
    work: Option<Work>,
    transaction: Option<VersionedTransaction>,
    source: String,
    prompt: Option<Prompt>,
    logprobs: bool,
    client: Option<mpsc::Sender<NodeEvent>>,
    delivery: Arc<Delivery>,
    handed_before: u32,
    handed_written: u32,
    fsm: JobFsm,
    inbox: mpsc::Sender<Msg>,
    cancel: Option<CancellationToken>,
    steps: Option<Steps>,
    made: Vec<Step>,
    emitted: usize,
    accepted_told: bool,
    on_chain: Option<Job>,
    saved: Option<Saved>,
    unsaved: Option<(u32, bool)>,
    wait: Option<Wait>,
    requesting: Option<JoinHandle<()>>,
    /// Whether the request is sent, and not only waited for.
    sending: bool,
    accepting: Option<JoinHandle<()>>,
    /// Of a job that other workers of the validator may have accepted.
    claim: Option<Claim>,
    claiming: Option<JoinHandle<()>>,
    outcomes: Option<mpsc::Receiver<Outcome>>,
    submit_signature: Option<String>,
    /// Slot in which it was submitted first.
    submitting_from: Option<u64>,
    refusals: u32,
    done_told: bool,
    spans: traced::Spans,
    exit: Option<Exit>,
}

impl JobTask {
    /// Makes the task of a job; the sender is its inbox.
    pub fn new(node: Arc<Jobs>, start: Start) -> (Self, mpsc::Sender<Msg>, mpsc::Receiver<Msg>) {
        let (inbox, incoming) = mpsc::channel(64);
        let handed_before = start.record.as_ref().map_or(0, |r| r.handed);
        let mut saved = None;
        let fsm = match &start.record {
            Some(record) => {
                if record.finished.is_some() {
                    saved = node.store.load(&start.job).unwrap_or_else(|error| {
                        tracing::error!(job = %start.job, %error, "saved result can't be read; making it again");
                        None
                    });
                }
                let result = saved.as_ref().map(|s: &Saved| {
                    let tokens = s.evidence.output_ids.len() as u32;
                    (tokens, s.finish == Finish::Cancelled)
                });
                JobFsm::resumed(start.origin, start.prompt.is_some(), handed_before, result)
            }
            None => JobFsm::new(start.origin),
        };
        let (client, delivery) = match start.client {
            Some((client, delivery)) => (Some(client), delivery),
            None => (None, Arc::default()),
        };
        let spans = traced::Spans::new(start.span, &start.job, &start.model);
        let claim = start.shared.then(|| match &start.record {
            Some(record) => Claim::resumed(record),
            None => Claim::default(),
        });
        let task = Self {
            node,
            job: start.job,
            origin: start.origin,
            model: start.model,
            work: start.work,
            transaction: start.transaction,
            source: start.source,
            prompt: start.prompt,
            logprobs: start.logprobs,
            client,
            delivery,
            handed_before,
            handed_written: handed_before,
            fsm,
            inbox: inbox.clone(),
            cancel: None,
            steps: None,
            made: Vec::new(),
            emitted: 0,
            accepted_told: false,
            on_chain: None,
            saved,
            unsaved: None,
            wait: start.wait,
            requesting: None,
            sending: false,
            accepting: None,
            claim,
            claiming: None,
            outcomes: None,
            submit_signature: start.record.as_ref().and_then(|r| r.submitted.clone()),
            submitting_from: None,
            refusals: 0,
            done_told: false,
            spans,
            exit: None,
        };
        (task, inbox, incoming)
    }

    /// Whether the engine will be busy with it.
    pub fn needs_engine(&self) -> bool {
        self.fsm.needs_engine()
    }

    /// Runs until the job is retired, or until `halt` (what is left is in the journal).
    pub async fn run(
        mut self,
        first: Event,
        mut incoming: mpsc::Receiver<Msg>,
        halt: CancellationToken,
    ) -> Option<Exit> {
        let mut watch = self
            .node
            .chain
            .watch_account(&self.job, Commitment::Processed);
        if first == Event::Resume && self.origin == Origin::CoSigned {
            // What was sent before the restart may still land.
            self.look_after_request(false);
        }
        self.apply(first).await;
        while self.exit.is_none() {
            tokio::select! {
                () = halt.cancelled() => break,
                snapshot = watch.next() => match snapshot {
                    Some(snapshot) => self.chain(snapshot, false).await,
                    None => break,
                },
                msg = incoming.recv() => match msg {
                    Some(msg) => self.message(msg).await,
                    None => break,
                },
                step = next_step(&mut self.steps) => self.engine(step).await,
                outcome = next_outcome(&mut self.outcomes) => self.outcome(outcome).await,
            }
            self.node
                .set_progress(&self.job, self.fsm.needs_engine(), self.fsm.gate_open());
        }
        if let Some(cancel) = self.cancel.take() {
            cancel.cancel();
        }
        self.exit
    }

    async fn message(&mut self, msg: Msg) {
        match msg {
            Msg::Chain {
                snapshot,
                finalized,
            } => self.chain(snapshot, finalized).await,
            Msg::Refused(reason) => {
                tracing::info!(%reason, "request or accept refused");
                self.apply(Event::Refused).await;
            }
            Msg::Taken => self.apply(Event::RequestTaken).await,
            Msg::Expired(signature) => {
                // An earlier transaction's end says nothing of the present one.
                let present = self.transaction.as_ref().and_then(|t| t.signatures.first());
                if present == Some(&signature) {
                    self.apply(Event::Expired).await;
                }
            }
            Msg::Prompt(Ok(body)) => match self.take_prompt(body).await {
                Ok(()) => {
                    if let Some(wait) = self.wait.take() {
                        wait.came();
                    }
                    self.apply(Event::PromptReady).await;
                }
                Err(reason) => self.no_prompt(&reason).await,
            },
            Msg::Prompt(Err(reason)) => self.no_prompt(&reason).await,
            Msg::Engine => self.start_engine().await,
            Msg::Claim(held) => self.hold(held).await,
            Msg::Attach {
                transaction,
                work,
                client,
                delivery,
            } => self.attach(*transaction, &work, client, delivery),
        }
    }

    async fn chain(&mut self, snapshot: AccountSnapshot, finalized: bool) {
        let job = snapshot
            .account
            .as_ref()
            .and_then(|account| mythic_client::account::decode::<Job>(&self.job, account).ok());
        self.count_handed().await;
        if let Some(job) = &job
            && !finalized
        {
            if self.work.is_none() {
                self.work = Some(Work::of_terms(&job.terms));
            }
            self.on_chain = Some(*job);
        }
        let view = view(
            job.as_ref(),
            &self.node.keys.authority,
            self.work.as_ref(),
            self.saved.as_ref().map(|s| &s.evidence.terms_hash),
        );
        let Some(view) = self.claimed(view, snapshot.slot, finalized) else {
            return;
        };
        self.apply(Event::Chain {
            slot: snapshot.slot,
            finalized,
            view,
        })
        .await;
        self.emit();
    }

    async fn engine(&mut self, step: Option<Result<Step, EngineError>>) {
        match step {
            Some(Ok(step)) => {
                let end = step.finish;
                self.made.push(step);
                let count = self.made.len() as u32;
                self.emit();
                self.count_handed().await;
                if end.is_some() {
                    self.spans.generated(count, end);
                    self.steps = None;
                    self.cancel = None;
                    self.node.meters.output_tokens.inc_by(u64::from(count));
                    self.apply(Event::Finished(count)).await;
                } else {
                    self.apply(Event::Generated(count)).await;
                }
            }
            Some(Err(EngineError::Cancelled)) => self.steps = None,
            Some(Err(EngineError::Grammar(reason))) => {
                self.steps = None;
                self.spans.engine_failed();
                tracing::info!(%reason, "the answer's grammar met a limit; the job is given up");
                self.apply(Event::GrammarFailed).await;
            }
            Some(Err(error)) => {
                self.steps = None;
                self.spans.engine_failed();
                tracing::error!(%error, "engine failed");
                self.apply(Event::EngineFailed).await;
            }
            None => {
                self.steps = None;
                self.spans.engine_failed();
                tracing::error!("engine ended without an end");
                self.apply(Event::EngineFailed).await;
            }
        }
    }

    async fn outcome(&mut self, outcome: Option<Outcome>) {
        match outcome {
            Some(Outcome::Sent(signature)) => {
                let signature = signature.to_string();
                self.node
                    .note(Record::Submitted {
                        job: self.job.to_string(),
                        signature: signature.clone(),
                    })
                    .await;
                self.submit_signature = Some(signature);
                self.tell_done();
            }
            Some(Outcome::Landed(slot)) => {
                self.outcomes = None;
                self.refusals = 0;
                self.submitting_from = None;
                self.spans.landed(slot);
                self.node.meters.submitted.inc();
                self.apply(Event::SubmitLanded(slot)).await;
            }
            Some(Outcome::Failed(reason)) => {
                self.outcomes = None;
                self.spans.submit_failed();
                self.node.meters.submit_failures.inc();
                self.refusals += 1;
                // A refusal that repeats is told ever more rarely.
                if self.refusals.is_power_of_two() {
                    tracing::warn!(%reason, times = self.refusals, "result not submitted; looking at the chain and trying again");
                }
                self.apply(Event::SubmitFailed).await;
                // The client is not kept waiting for a chain that is in trouble.
                self.tell_done();
                self.look_again();
            }
            None => {
                self.outcomes = None;
                self.apply(Event::SubmitFailed).await;
            }
        }
    }

    async fn apply(&mut self, event: Event) {
        let mut actions = std::collections::VecDeque::from(self.fsm.step(event));
        while let Some(action) = actions.pop_front() {
            tracing::debug!(?action, "action");
            match action {
                Action::SendRequest => self.look_after_request(true),
                Action::SendAccept => self.send_accept(),
                Action::FetchPrompt => self.fetch_prompt(),
                Action::StartEngine => {
                    // The same tokens come again: a client that is still there has the first ones.
                    self.made.clear();
                    self.saved = None;
                    self.start_engine().await;
                }
                Action::StopEngine => {
                    if let Some(cancel) = self.cancel.take() {
                        cancel.cancel();
                    }
                    self.steps = None;
                    self.spans.generated(self.made.len() as u32, None);
                }
                Action::OpenGate => self.emit(),
                Action::SaveResult { keep, cut } => {
                    self.unsaved = Some((keep, cut));
                    self.save_pending().await;
                }
                Action::Submit => self.submit().await,
                Action::Decline => self.decline(),
                Action::Publish => self.publish(),
                Action::FailClient(failure) => self.fail_client(failure),
                Action::Retire(exit) => {
                    tracing::info!(?exit, "job retired");
                    self.exit = Some(exit);
                }
            }
        }
    }

    async fn count_handed(&mut self) {
        let handed = self
            .handed_before
            .max(self.delivery.tokens.load(Ordering::Acquire));
        if handed > self.handed_written {
            self.handed_written = handed;
            self.node.note_soft(Record::Handed {
                job: self.job.to_string(),
                tokens: handed,
            });
            self.apply_handed(handed);
        }
    }

    fn apply_handed(&mut self, handed: u32) {
        let actions = self.fsm.step(Event::HandedOut(handed));
        debug_assert!(actions.is_empty());
    }

    async fn start_engine(&mut self) {
        if self.steps.is_some() || !self.fsm.needs_engine() {
            return;
        }
        let (Some(work), Some(prompt)) = (&self.work, &self.prompt) else {
            // The work of a resumed job is known once the chain was read, which comes before this.
            tracing::error!("nothing to run");
            return;
        };
        let cancel = CancellationToken::new();
        let started = sampler(work, prompt).and_then(|sampler| {
            let request = GenerateRequest {
                prompt_ids: prompt.ids.clone(),
                max_tokens: work.max_output_tokens,
                sampler,
                stop: prompt.stop.clone(),
                logprobs: self.logprobs,
            };
            self.model.backend.generate(request, cancel.clone())
        });
        match started {
            Ok(steps) => {
                self.spans.generate(work, prompt.ids.len());
                self.cancel = Some(cancel);
                self.steps = Some(steps);
            }
            Err(EngineError::Busy { .. }) => {
                let inbox = self.inbox.clone();
                tokio::spawn(
                    async move {
                        tokio::time::sleep(BUSY_PAUSE).await;
                        let _ = inbox.send(Msg::Engine).await;
                    }
                    .in_current_span(),
                );
            }
            Err(error) => {
                tracing::error!(%error, "engine refused");
                // Through the inbox: this may run inside `apply`.
                let (sender, receiver) = mpsc::channel(1);
                let _ = sender.try_send(Err(error));
                self.steps = Some(receiver);
            }
        }
    }

    /// Reads the account now instead of at the next round.
    fn look_again(&self) {
        let (node, job, inbox) = (self.node.clone(), self.job, self.inbox.clone());
        tokio::spawn(
            async move {
                tokio::time::sleep(Duration::from_millis(500)).await;
                if let Ok(snapshot) = node.chain.raw_account(&job, Commitment::Processed).await {
                    let _ = inbox
                        .send(Msg::Chain {
                            snapshot,
                            finalized: false,
                        })
                        .await;
                }
            }
            .in_current_span(),
        );
    }
}

/// How the tokens of a job are chosen.
fn sampler(work: &Work, prompt: &Prompt) -> Result<Sampler, EngineError> {
    let (seed, temperature_milli) = (work.seed, work.temperature_milli);
    if work.sampling_profile != SamplingProfile::SeededFull as u8 {
        return Ok(Sampler::Verified {
            seed,
            temperature_milli,
        });
    }
    // Those of a job that was taken decode, unless another version took it.
    let options = admit::options(prompt.options.as_deref())
        .map_err(|error| EngineError::Invalid(error.to_string()))?;
    Ok(Sampler::Full {
        seed,
        temperature_milli,
        options: Arc::new(options),
    })
}

async fn next_step(steps: &mut Option<Steps>) -> Option<Result<Step, EngineError>> {
    match steps {
        Some(steps) => steps.recv().await,
        None => std::future::pending().await,
    }
}

async fn next_outcome(outcomes: &mut Option<mpsc::Receiver<Outcome>>) -> Option<Outcome> {
    match outcomes {
        Some(outcomes) => outcomes.recv().await,
        None => std::future::pending().await,
    }
}

/// What a job account means to this node. Pure.
pub fn view(
    job: Option<&Job>,
    authority: &Pubkey,
    work: Option<&Work>,
    saved_terms: Option<&[u8; 32]>,
) -> View {
    let Some(job) = job else { return View::Absent };
    let ours = job.validator == authority.to_bytes();
    match job.status() {
        None => View::Absent,
        Some(JobStatus::Open) => View::Open,
        Some(JobStatus::Refunded) => View::Ended,
        Some(_) if !ours => View::Others,
        Some(JobStatus::Accepted) => {
            let terms = if work.is_some_and(|work| *work != Work::of_terms(&job.terms)) {
                TermsMatch::Foreign
            } else if saved_terms.is_some_and(|hash| *hash != job.terms_hash) {
                TermsMatch::Compatible
            } else {
                TermsMatch::Same
            };
            View::Ours {
                terms,
                cancelled: job.cancel_slot.get() != 0,
                end_slot: job.submit_end(),
            }
        }
        // Settled or slashed: our result had its effect, the keeper reads the amounts.
        Some(
            JobStatus::Submitted | JobStatus::Disputed | JobStatus::Settled | JobStatus::Slashed,
        ) => View::Submitted,
    }
}
