//! One job's task: turns the world into events for [`JobFsm`] and its actions into work. No decisions are made here.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use mythic_client::{AccountSnapshot, ClientError, Commitment, ix};
use mythic_interface::{
    ix::SubmitResult,
    le::U32,
    output,
    sampler::Sampling,
    state::{Job, JobStatus, NO_KEY},
};
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_signer::Signer;
use solana_transaction::versioned::VersionedTransaction;
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{
    admit::Work,
    backend::{ServedModel, Steps},
    fsm::{Action, Event, Exit, Failure, JobFsm, Origin, TermsMatch, View},
    jobs::Jobs,
    messages::{Delivery, Msg, Start},
    sources::Wait,
    submit::{Outcome, Ready},
};
use crate::keep::{
    journal::{Prompt, Record},
    store::Saved,
};
use mythic_engine::{EngineError, GenerateRequest, Sampler, Step};
use mythic_wire::{
    self as wire, Finish, JobResult, NodeEvent, PromptBody,
    dial::{self, Ask},
    evidence::Draft,
    signed::purpose,
};

/// How often the prompt is asked for before the job is declined; the gateway's view of the chain may lag.
const PROMPT_TRIES: u32 = 3;
const PROMPT_PAUSE: Duration = Duration::from_millis(700);
/// How long all that may take.
const PROMPT_PATIENCE: Duration = Duration::from_secs(5);
/// How often the result is offered to the gateway.
const PUBLISH_TRIES: u32 = 6;
const PUBLISH_PATIENCE: Duration = Duration::from_secs(20);
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
    outcomes: Option<mpsc::Receiver<Outcome>>,
    submit_signature: Option<String>,
    refusals: u32,
    done_told: bool,
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
            outcomes: None,
            submit_signature: start.record.as_ref().and_then(|r| r.submitted.clone()),
            refusals: 0,
            done_told: false,
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
                tracing::info!(job = %self.job, %reason, "request or accept refused");
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
            Msg::Attach {
                transaction,
                work,
                client,
                delivery,
            } => {
                if self.work.as_ref() != Some(&work) {
                    let _ = client.try_send(NodeEvent::Error {
                        code: "job_lost".into(),
                        message: "this job's address is taken by other work".into(),
                    });
                    return;
                }
                self.handed_before = self
                    .handed_before
                    .max(self.delivery.tokens.load(Ordering::Acquire));
                self.transaction = Some(*transaction);
                if let Some(task) = self.requesting.take() {
                    task.abort();
                }
                self.client = Some(client);
                self.delivery = delivery;
                (self.emitted, self.accepted_told, self.done_told) = (0, false, false);
                if self.made.is_empty()
                    && let Some(saved) = &self.saved
                {
                    self.made = replay(saved, &self.model);
                }
                self.look_after_request(true);
                self.emit();
                if self.submit_signature.is_some() && self.fsm.gate_open() {
                    self.tell_done();
                }
            }
        }
    }

    async fn no_prompt(&mut self, reason: &str) {
        tracing::info!(job = %self.job, source = %self.source, %reason, "no prompt; declining");
        if let Some(wait) = self.wait.take() {
            wait.failed(std::time::Instant::now());
        }
        self.apply(Event::PromptFailed).await;
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
                let finished = step.finish.is_some();
                self.made.push(step);
                let count = self.made.len() as u32;
                self.emit();
                self.count_handed().await;
                if finished {
                    self.steps = None;
                    self.cancel = None;
                    self.node.meters.output_tokens.inc_by(u64::from(count));
                    self.apply(Event::Finished(count)).await;
                } else {
                    self.apply(Event::Generated(count)).await;
                }
            }
            Some(Err(EngineError::Cancelled)) => self.steps = None,
            Some(Err(error)) => {
                self.steps = None;
                tracing::error!(job = %self.job, %error, "engine failed");
                self.apply(Event::EngineFailed).await;
            }
            None => {
                self.steps = None;
                tracing::error!(job = %self.job, "engine ended without an end");
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
                self.node.meters.submitted.inc();
                self.apply(Event::SubmitLanded(slot)).await;
            }
            Some(Outcome::Failed(reason)) => {
                self.outcomes = None;
                self.node.meters.submit_failures.inc();
                self.refusals += 1;
                // A refusal that repeats is told ever more rarely.
                if self.refusals.is_power_of_two() {
                    tracing::warn!(job = %self.job, %reason, times = self.refusals, "result not submitted; looking at the chain and trying again");
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
            tracing::debug!(job = %self.job, ?action, "action");
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
                    tracing::info!(job = %self.job, ?exit, "job retired");
                    self.exit = Some(exit);
                }
            }
        }
    }

    /// Gives the client what it may have.
    fn emit(&mut self) {
        if !self.fsm.gate_open() {
            return;
        }
        let Some(client) = &self.client else { return };
        if !self.accepted_told {
            self.accepted_told = true;
            let signature = self
                .transaction
                .as_ref()
                .and_then(|t| t.signatures.first())
                .map(ToString::to_string);
            let event = NodeEvent::Accepted {
                job: self.job.to_string(),
                signature: signature.unwrap_or_default(),
            };
            if client.try_send(event).is_err() {
                self.client = None;
                return;
            }
        }
        while let Some(step) = self.made.get(self.emitted) {
            let event = NodeEvent::Token {
                position: step.position,
                token: step.token,
                text: step.text.clone(),
                top4: step.top4,
                log_sum_exp: step.log_sum_exp,
            };
            if client.try_send(event).is_err() {
                // It went away; the work goes on unless the job is cancelled.
                self.client = None;
                return;
            }
            self.emitted += 1;
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
            tracing::error!(job = %self.job, "nothing to run");
            return;
        };
        let request = GenerateRequest {
            prompt_ids: prompt.ids.clone(),
            max_tokens: work.max_output_tokens,
            sampler: Sampler::Verified {
                seed: work.seed,
                temperature_milli: work.temperature_milli,
            },
            stop: prompt.stop.clone(),
            logprobs: self.logprobs,
        };
        let cancel = CancellationToken::new();
        match self.model.backend.generate(request, cancel.clone()) {
            Ok(steps) => {
                self.cancel = Some(cancel);
                self.steps = Some(steps);
            }
            Err(EngineError::Busy { .. }) => {
                let inbox = self.inbox.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(BUSY_PAUSE).await;
                    let _ = inbox.send(Msg::Engine).await;
                });
            }
            Err(error) => {
                tracing::error!(job = %self.job, %error, "engine refused");
                // Through the inbox: this may run inside `apply`.
                let (sender, receiver) = mpsc::channel(1);
                let _ = sender.try_send(Err(error));
                self.steps = Some(receiver);
            }
        }
    }

    async fn save(&mut self, keep: u32, cut: bool) -> Result<(), String> {
        let keep = keep as usize;
        let old = self.saved.clone();
        let work = self.work.as_ref().ok_or("the work is not known")?;
        let prompt = self.prompt.as_ref().ok_or("the prompt is not known")?;
        let salt = wire::parse_salt(&prompt.salt).ok_or("the salt is not hex")?;
        let (mut ids, mut leaves, ended): (Vec<u32>, Vec<_>, Option<Finish>) = match &old {
            Some(old) => (
                old.evidence.output_ids.clone(),
                old.evidence.leaves.clone(),
                Some(old.finish),
            ),
            None => (
                self.made.iter().map(|s| s.token).collect(),
                self.made.iter().map(|s| s.top4).collect(),
                self.made.last().and_then(|s| s.finish),
            ),
        };
        if ids.len() < keep || keep == 0 {
            return Err(format!(
                "{keep} tokens are wanted and {} are there",
                ids.len()
            ));
        }
        ids.truncate(keep);
        leaves.truncate(keep);
        let finish = match (cut, ended) {
            (true, _) => Finish::Cancelled,
            (false, Some(finish)) => finish,
            (false, None) => return Err("the output has no end".into()),
        };
        let evidence = self
            .node
            .disclosure
            .seal(Draft {
                job: self.job.to_bytes(),
                submitter: self.node.keys.authority.to_bytes(),
                // Not known before the job is seen; the result is sealed again then.
                terms_hash: self.on_chain.as_ref().map_or([0; 32], |job| job.terms_hash),
                salt,
                prompt_ids: prompt.ids.clone(),
                output_ids: ids,
                leaves,
                sampling: Sampling {
                    seed: work.seed,
                    temperature_milli: work.temperature_milli,
                },
            })
            .map_err(|error| error.to_string())?;
        let readers = self.on_chain.as_ref().map_or_else(Vec::new, |job| {
            [job.terms.owner, job.terms.requester, job.terms.canceller]
                .iter()
                .filter(|key| **key != NO_KEY)
                .map(|key| Pubkey::new_from_array(*key).to_string())
                .collect()
        });
        let saved = Saved {
            finish,
            evidence,
            readers,
        };
        let (store, copy) = (self.node.store.clone(), saved.clone());
        tokio::task::spawn_blocking(move || store.save(&copy))
            .await
            .map_err(|error| error.to_string())?
            .map_err(|error| error.to_string())?;
        if !self
            .node
            .note(Record::Finished {
                job: self.job.to_string(),
                tokens: keep as u32,
            })
            .await
        {
            return Err("the journal can't be written".into());
        }
        self.saved = Some(saved);
        Ok(())
    }

    /// Saves what is not saved yet. If the disk refuses, nothing is submitted and the next look at the chain tries again.
    async fn save_pending(&mut self) {
        if let Some((keep, cut)) = self.unsaved {
            match self.save(keep, cut).await {
                Ok(()) => self.unsaved = None,
                Err(reason) => {
                    tracing::error!(job = %self.job, %reason, "result can't be saved; trying again")
                }
            }
        }
    }

    async fn submit(&mut self) {
        self.save_pending().await;
        let Some(saved) = self.saved.as_ref().filter(|_| self.unsaved.is_none()) else {
            let actions = self.fsm.step(Event::SubmitFailed);
            debug_assert!(actions.is_empty());
            return;
        };
        let evidence = &saved.evidence;
        let output_root = output::output_root(&evidence.output_ids).unwrap_or_default();
        let args = SubmitResult {
            terms_hash: evidence.terms_hash,
            output_root,
            fingerprint: evidence.fingerprint,
            output_tokens: U32::new(evidence.output_ids.len() as u32),
            finish_reason: saved.finish as u8,
        };
        let (told, outcomes) = mpsc::channel(4);
        self.outcomes = Some(outcomes);
        self.node
            .submitter
            .submit(Ready {
                job: self.job,
                args,
                told,
            })
            .await;
    }

    fn tell_done(&mut self) {
        if self.done_told {
            return;
        }
        if !self.node.shows() {
            (self.done_told, self.client) = (true, None);
            return;
        }
        let (Some(client), Some(saved)) = (&self.client, &self.saved) else {
            return;
        };
        let evidence = &saved.evidence;
        let event = NodeEvent::Done {
            finish_reason: saved.finish,
            output_ids: evidence.output_ids.clone(),
            fingerprint: hex::encode(evidence.fingerprint),
            output_root: output::output_root(&evidence.output_ids)
                .map(hex::encode)
                .unwrap_or_default(),
            submit_signature: self.submit_signature.clone(),
            evidence: Box::new(evidence.clone()),
        };
        self.done_told = client.try_send(event).is_ok();
        self.client = None;
    }

    fn fail_client(&mut self, failure: Failure) {
        if let Some(client) = self.client.take() {
            let (code, message) = match failure {
                Failure::NotPaid => (
                    "not_paid",
                    "the paying transaction was refused, or did not land in time",
                ),
                Failure::Cancelled => ("cancelled", "the job was cancelled"),
                Failure::Engine => (
                    "engine_failed",
                    "the engine failed; the job is declined and refunded",
                ),
                Failure::Lost => ("job_lost", "the job ended, or went to another validator"),
            };
            let _ = client.try_send(NodeEvent::Error {
                code: code.into(),
                message: message.into(),
            });
        }
    }

    /// Reads the account now instead of at the next round.
    fn look_again(&self) {
        let (node, job, inbox) = (self.node.clone(), self.job, self.inbox.clone());
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(500)).await;
            if let Ok(snapshot) = node.chain.raw_account(&job, Commitment::Processed).await {
                let _ = inbox
                    .send(Msg::Chain {
                        snapshot,
                        finalized: false,
                    })
                    .await;
            }
        });
    }

    /// Sends the co-signed request until it lands, is refused, or can't land any more. One at a time.
    fn look_after_request(&mut self, send: bool) {
        let Some(transaction) = self.transaction.clone() else {
            return;
        };
        if let Some(task) = self.requesting.as_ref().filter(|task| !task.is_finished()) {
            if self.sending || !send {
                return;
            }
            // One that only waits gives way to one that sends.
            task.abort();
        }
        self.sending = send;
        let shepherd = Shepherd {
            node: self.node.clone(),
            job: self.job,
            inbox: self.inbox.clone(),
            send,
        };
        self.requesting = Some(tokio::spawn(async move {
            shepherd.run(&transaction).await;
        }));
    }

    /// Sends one accept at a time.
    fn send_accept(&mut self) {
        let Some(terms_hash) = self.on_chain.map(|job| job.terms_hash) else {
            self.look_again();
            return;
        };
        if self
            .accepting
            .as_ref()
            .is_some_and(|task| !task.is_finished())
        {
            return;
        }
        let (node, job, inbox) = (self.node.clone(), self.job, self.inbox.clone());
        self.accepting = Some(tokio::spawn(async move {
            let operator = node.keys.operator.pubkey();
            let authority = &node.keys.authority;
            let instruction = ix::accept_inference(operator, authority, job, terms_hash);
            if let Err(error) = node.send(&[instruction]).await {
                refused(&node, &job, &inbox, error.to_string()).await;
            }
        }));
    }

    fn decline(&self) {
        let Some(state) = self.on_chain else { return };
        let (node, job) = (self.node.clone(), self.job);
        tokio::spawn(async move {
            let operator = node.keys.operator.pubkey();
            let instruction = ix::decline_job(operator, node.keys.authority, job, &state);
            node.meters.declined.inc();
            if let Err(error) = node.send(&[instruction]).await {
                tracing::info!(%job, %error, "decline refused");
            }
        });
    }

    fn fetch_prompt(&self) {
        let Some(state) = self.on_chain else { return };
        let (node, inbox, job) = (self.node.clone(), self.inbox.clone(), self.job);
        let source = self.source.clone();
        tokio::spawn(async move {
            let asked = ask_for_prompt(&node, &source, &state.terms.prompt_hash);
            let answer = match tokio::time::timeout(PROMPT_PATIENCE, asked).await {
                Ok(answer) => answer,
                Err(_) => Err(format!("no prompt within {} s", PROMPT_PATIENCE.as_secs())),
            };
            tracing::debug!(%job, came = answer.is_ok(), "prompt");
            let _ = inbox.send(Msg::Prompt(answer)).await;
        });
    }

    async fn take_prompt(&mut self, body: PromptBody) -> Result<(), String> {
        let work = self.work.as_ref().ok_or("the terms are not known")?;
        let salt = wire::parse_salt(&body.salt).ok_or("its salt is not 32 hex digits")?;
        work.check_prompt(&body.prompt_ids, &salt, &body.stop)
            .map_err(|e| e.to_string())?;
        let vocabulary = self.model.backend.vocab_size();
        if body.prompt_ids.iter().any(|id| *id as usize >= vocabulary) {
            return Err("it has a token outside the vocabulary".into());
        }
        let prompt = Prompt {
            ids: body.prompt_ids,
            salt: body.salt,
            stop: body.stop,
        };
        if !self
            .node
            .note(Record::Prompt {
                job: self.job.to_string(),
                prompt: prompt.clone(),
            })
            .await
        {
            return Err("the journal can't be written".into());
        }
        self.prompt = Some(prompt);
        Ok(())
    }

    /// Gives the result to the gateway, unless its stream had it to the end.
    fn publish(&self) {
        if self.delivery.done.load(Ordering::Acquire)
            || self.source.is_empty()
            || !self.node.shows()
        {
            return;
        }
        let Ok(source) = wire::Origin::parse(&self.source) else {
            return;
        };
        let Some(saved) = &self.saved else { return };
        let result = JobResult {
            job: self.job.to_string(),
            finish_reason: saved.finish,
            output_text: self.model.backend.decode(&saved.evidence.output_ids),
            output_ids: saved.evidence.output_ids.clone(),
            fingerprint: hex::encode(saved.evidence.fingerprint),
            output_root: output::output_root(&saved.evidence.output_ids)
                .map(hex::encode)
                .unwrap_or_default(),
            submit_signature: self.submit_signature.clone(),
            evidence: Box::new(saved.evidence.clone()),
        };
        let (node, delivery, job) = (self.node.clone(), self.delivery.clone(), self.job);
        tokio::spawn(async move {
            let Ok(body) = serde_json::to_vec(&result) else {
                return;
            };
            let path = format!("/v1/jobs/{}/result", result.job);
            for attempt in 0..PUBLISH_TRIES {
                // The stream's last event may be on its way.
                tokio::time::sleep(Duration::from_secs(1) * (attempt + 1)).await;
                if delivery.done.load(Ordering::Acquire) {
                    return;
                }
                let ask = Ask {
                    origin: &source,
                    method: reqwest::Method::PUT,
                    path: &path,
                    purpose: &purpose::result(&job),
                    body: body.clone(),
                    max_bytes: 64 << 10,
                    patience: PUBLISH_PATIENCE,
                };
                let put = dial::ask(ask, &node.keys.operator, node.config.allow_loopback).await;
                match put {
                    Ok(_) => return,
                    Err(error) => {
                        tracing::debug!(job = %result.job, %error, attempt, "result not taken by the gateway");
                        if !error.is_transient() {
                            return;
                        }
                    }
                }
            }
        });
    }
}

/// Asks the source of an open job's prompt for it, a few times.
async fn ask_for_prompt(
    node: &Jobs,
    source: &str,
    prompt_hash: &[u8; 32],
) -> Result<PromptBody, String> {
    let source = wire::Origin::parse(source).map_err(|error| error.to_string())?;
    let hash = hex::encode(prompt_hash);
    let path = format!("/v1/prompts/{hash}");
    let mut reason = String::new();
    for attempt in 0..PROMPT_TRIES {
        tokio::time::sleep(PROMPT_PAUSE * attempt).await;
        let ask = Ask {
            origin: &source,
            method: reqwest::Method::GET,
            path: &path,
            purpose: &purpose::prompt(&hash),
            body: Vec::new(),
            max_bytes: wire::MAX_BODY,
            patience: PROMPT_PATIENCE,
        };
        match dial::ask(ask, &node.keys.operator, node.config.allow_loopback).await {
            Ok(bytes) => return serde_json::from_slice(&bytes).map_err(|e| e.to_string()),
            Err(error) => {
                reason = error.to_string();
                if !error.is_transient() {
                    break;
                }
            }
        }
    }
    Err(reason)
}

/// The steps of a result that was made before a restart, its text in one piece.
fn replay(saved: &Saved, model: &ServedModel) -> Vec<Step> {
    let evidence = &saved.evidence;
    let mut text = model.backend.decode(&evidence.output_ids);
    (0u32..)
        .zip(evidence.output_ids.iter().zip(&evidence.leaves))
        .map(|(position, (token, top4))| Step {
            position,
            token: *token,
            top4: *top4,
            text: std::mem::take(&mut text),
            log_sum_exp: None,
            finish: None,
        })
        .collect()
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

/// Tells of a refusal, after what the chain shows: a job that is ours all the same is kept.
async fn refused(node: &Jobs, job: &Pubkey, inbox: &mpsc::Sender<Msg>, reason: String) {
    let snapshot = loop {
        match node.chain.raw_account(job, Commitment::Processed).await {
            Ok(snapshot) => break snapshot,
            Err(_) if inbox.is_closed() => return,
            Err(_) => tokio::time::sleep(Duration::from_millis(500)).await,
        }
    };
    let finalized = false;
    let _ = inbox
        .send(Msg::Chain {
            snapshot,
            finalized,
        })
        .await;
    let _ = inbox.send(Msg::Refused(reason)).await;
}

/// Brings a transaction to the chain: sends it (if `send`), again while it has not landed, until its blockhash has expired in
/// a finalized bank.
struct Shepherd {
    node: Arc<Jobs>,
    job: Pubkey,
    inbox: mpsc::Sender<Msg>,
    send: bool,
}

/// What sending came to.
enum Sent {
    /// The chain's node passes it on.
    Taken,
    /// It can't be told now.
    Later,
    /// It landed, or was told to the task as refused.
    Over,
}

impl Shepherd {
    const PAUSE: Duration = Duration::from_secs(2);

    async fn run(&self, transaction: &VersionedTransaction) {
        let Some(signature) = transaction.signatures.first().copied() else {
            return;
        };
        let mut taken = !self.send;
        let mut tries = 0u32;
        // Whoever is told is gone when the job is.
        while !self.inbox.is_closed() {
            if self.send {
                match self.send(transaction, &signature, taken).await {
                    Sent::Taken if !taken => {
                        taken = true;
                        let _ = self.inbox.send(Msg::Taken).await;
                    }
                    Sent::Taken | Sent::Later => {}
                    Sent::Over => return,
                }
            }
            let pause = match tries {
                0 => Duration::from_millis(800),
                _ => Self::PAUSE,
            };
            tokio::time::sleep(pause).await;
            tries = tries.saturating_add(1);
            match self.node.chain.signature_status(&signature).await {
                Ok(Some(state)) => {
                    if let Some(error) = state.error {
                        self.refused(ClientError::from_transaction(error).to_string())
                            .await;
                    }
                    return;
                }
                Ok(None) => {}
                Err(_) => continue,
            }
            let blockhash = transaction.message.recent_blockhash();
            if let Ok(false) = self.node.chain.blockhash_valid(blockhash).await {
                break;
            }
        }
        self.wait_for_the_end(&signature).await;
    }

    async fn send(
        &self,
        transaction: &VersionedTransaction,
        signature: &Signature,
        taken: bool,
    ) -> Sent {
        match self.node.chain.send(transaction).await {
            Ok(_) | Err(ClientError::AlreadyProcessed) => Sent::Taken,
            Err(ClientError::UnknownBlockhash) => {
                // Nobody but this node can send it: what was never taken can't be on its way.
                let blockhash = transaction.message.recent_blockhash();
                if !taken && let Ok(false) = self.node.chain.blockhash_valid(blockhash).await {
                    self.refused(ClientError::UnknownBlockhash.to_string())
                        .await;
                    return Sent::Over;
                }
                Sent::Later
            }
            Err(error) if error.is_transient() => {
                tracing::debug!(job = %self.job, %error, "request not sent; trying again");
                Sent::Later
            }
            // Refused in the bank at hand. It may be there already (sent twice), which the status tells.
            Err(error) => {
                match self.node.chain.signature_status(signature).await {
                    Ok(Some(state)) if state.error.is_none() => {}
                    _ => self.refused(error.to_string()).await,
                }
                Sent::Over
            }
        }
    }

    async fn refused(&self, reason: String) {
        refused(&self.node, &self.job, &self.inbox, reason).await;
    }

    /// Expired in the newest bank: final once that bank is.
    async fn wait_for_the_end(&self, signature: &Signature) {
        let mut expired_at = None;
        while !self.inbox.is_closed() {
            tokio::time::sleep(Self::PAUSE).await;
            let chain = &self.node.chain;
            let Some(slot) = expired_at else {
                expired_at = chain.slot(Commitment::Processed).await.ok();
                continue;
            };
            let read = chain.raw_account(&self.job, Commitment::Finalized).await;
            if let Ok(snapshot) = read
                && snapshot.slot >= slot
            {
                if snapshot.account.is_none() {
                    let _ = self.inbox.send(Msg::Expired(*signature)).await;
                }
                return;
            }
        }
    }
}
