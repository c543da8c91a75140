//! Runs a request: places each choice with a validator, passes the answer on, fails over before the first content, keeps what
//! happened. Every step that could cost money is stored before it is taken; what may follow what is the machine's ([`super::attempt`]).

use std::{sync::Arc, time::Duration};

use axum::http::StatusCode;
use futures::future::join_all;
use mythic_client::Commitment;
use mythic_interface::window;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use tokio::time::Instant;

use crate::{
    accounts,
    chain::{errors::chain_error, pay},
    error::{ApiError, ApiResult},
    fleet::{
        limits::Permit,
        queue::Try,
        routing::{LoadGuard, NoChoice, Node, Request},
        validators::Verdict,
    },
    jobs::{
        Jobs,
        answer::ChoiceAnswer,
        attempt::{Choice, Effect, Event, State, View},
        drive::{Dispatch, Done, Outcome, drive},
        result,
        run::{Run, Step},
        work::{Payer, Work},
    },
    store::{self, Attempt, Note},
};

/// Dispatches that one choice may take before it fails; being told that a validator is busy is none.
const MAX_DISPATCHES: usize = 8;
/// A nonce with less life than this, in slots, is not used for another dispatch.
const NONCE_MARGIN: u64 = 150;
/// How long the evidence of an answer that is on chain is asked for before the answer is bought again.
const FETCH_PATIENCE: Duration = Duration::from_secs(10);

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

/// Tries again while the database is away: half a minute, as long as a restart of it may take.
async fn retried<F, R, T>(operation: F) -> ApiResult<T>
where
    F: Fn() -> R,
    R: Future<Output = ApiResult<T>>,
{
    let mut pause = Duration::from_millis(100);
    loop {
        match operation().await {
            Err(error) if error.status == 503 && pause < Duration::from_secs(15) => {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            other => return other,
        }
    }
}

/// One choice on its way to its answer.
struct Choosing<'a> {
    parts: &'a Jobs,
    run: &'a Run,
    work: &'a Work,
    index: u32,
    attempts: Vec<Attempt>,
    slot: u64,
    tried: Vec<[u8; 32]>,
    last: Option<ApiError>,
    /// No longer than this is waited for a place.
    until: Instant,
    /// From then on nobody else is asked: no validator's patience with another adds up without end.
    over: Instant,
}

async fn choice(parts: &Jobs, run: &Run, work: &Work, index: u32) -> ApiResult<ChoiceAnswer> {
    let slot = match &work.payer {
        Payer::Key(account) => {
            pay::preflight(&parts.chain, account, &work.plan, run.head.choices).await?
        }
        Payer::Client(..) => parts
            .chain
            .client
            .slot(Commitment::Processed)
            .await
            .map_err(chain_error)?,
    };
    let earlier = store::attempts(&parts.pool, &run.head.id).await?;
    let mut choosing = Choosing {
        parts,
        run,
        work,
        index,
        attempts: earlier
            .into_iter()
            .filter(|attempt| attempt.choice == index)
            .collect(),
        slot,
        tried: Vec::new(),
        last: None,
        until: Instant::now() + Duration::from_secs(parts.config.timing.queue_seconds),
        over: Instant::now() + parts.chain.clock.time_of(work.plan.deadline_slots.into()),
    };
    let outcome = choosing.go().await;
    if outcome.is_err() {
        choosing.leave().await;
    }
    outcome
}

/// What an attempt came to.
enum Came {
    Answer(ChoiceAnswer),
    /// Another validator may be asked.
    Next,
    /// It had no place: wait for one.
    Wait,
}

impl Choosing<'_> {
    async fn go(&mut self) -> ApiResult<ChoiceAnswer> {
        let mut dispatches = 0;
        while dispatches < MAX_DISPATCHES && (dispatches == 0 || Instant::now() < self.over) {
            if self.run.gone.is_cancelled() {
                return Err(client_gone(None));
            }
            if let Some(answer) = self.resume().await? {
                return Ok(answer);
            }
            let (node, guard) = self.place().await?;
            let attempt = self.address().await?;
            let funds = self.parts.funds().await?;
            store::hand_out(&self.parts.pool, &attempt, node.validator, &funds).await?;
            let outcome = self.ask(&attempt, &node).await;
            drop(guard);
            self.parts.queue.changed();
            match self.after(&attempt, &node, outcome?).await? {
                Came::Answer(answer) => return Ok(answer),
                Came::Next => dispatches += 1,
                Came::Wait => {}
            }
        }
        Err(self.last.take().unwrap_or_else(|| {
            ApiError::unavailable(
                "no_validator",
                "no validator took the job; try again shortly",
            )
        }))
    }

    fn current(&self) -> Option<&Attempt> {
        let states = self.attempts.iter().map(|attempt| attempt.state).collect();
        self.attempts.get(Choice::new(states).current()?)
    }

    /// Feeds an event to an attempt, here and in the table.
    async fn feed(&mut self, job: &Pubkey, event: Event, note: Note<'_>) -> ApiResult<Vec<Effect>> {
        let fed = retried(|| store::feed(&self.parts.pool, job, event, note)).await?;
        let Some((state, effects)) = fed else {
            return Err(ApiError::internal(format!("attempt {job} is gone")));
        };
        if let Some(attempt) = self.attempts.iter_mut().find(|attempt| attempt.job == *job) {
            attempt.state = state;
        }
        if effects.contains(&Effect::Watch) {
            self.parts.janitor.notify_one();
        }
        Ok(effects)
    }

    /// The request ends without an answer of this choice: whatever of it is or gets on chain is to be cancelled.
    async fn leave(&mut self) {
        let jobs: Vec<Pubkey> = self.attempts.iter().map(|attempt| attempt.job).collect();
        for job in jobs {
            if let Err(error) = self.feed(&job, Event::Leave, Note::default()).await {
                tracing::error!(%error, %job, "an abandoned job could not be noted; it will be looked at again");
            }
        }
    }

    /// Looks at the address in hand: its answer may be kept, or be on chain; it may be used again, or be spent.
    async fn resume(&mut self) -> ApiResult<Option<ChoiceAnswer>> {
        let Some(attempt) = self.current().cloned() else {
            return Ok(None);
        };
        let found = pay::job(&self.parts.chain, &attempt.job, Commitment::Processed).await?;
        let job = found.as_ref().map(|(_, job)| job);
        let view = View::of(job, self.slot, attempt.expiry());
        let fresh = attempt.expiry() >= self.slot.saturating_add(NONCE_MARGIN)
            && attempt.arguments.prompt_hash == self.work.plan.prompt_hash;
        let effects = self
            .feed(&attempt.job, Event::Retry { view, fresh }, Note::default())
            .await?;
        if effects.contains(&Effect::Use) {
            let answer = attempt.answer.clone().ok_or_else(|| {
                ApiError::new(
                    StatusCode::GONE,
                    "answer_expired",
                    "the answer to this request is no longer kept; its job is in /v1/jobs",
                )
                .job(attempt.job.to_string())
            })?;
            self.tell(&answer);
            return Ok(Some(answer));
        }
        if effects.contains(&Effect::Fetch)
            && let Some(job) = job
        {
            let fetched = result::fetch_answer(self.parts, &attempt, job);
            match tokio::time::timeout(FETCH_PATIENCE, fetched).await {
                Ok(Ok((answer, evidence))) => {
                    let note = Note {
                        answer: Some(&answer),
                        evidence: Some(&evidence),
                        ..Note::default()
                    };
                    self.feed(&attempt.job, Event::Fetched, note).await?;
                    self.tell(&answer);
                    return Ok(Some(answer));
                }
                Ok(Err(error)) => {
                    tracing::info!(%error, job = %attempt.job, "an answer is on chain and can't be had")
                }
                Err(_) => {
                    tracing::info!(job = %attempt.job, "an answer is on chain and did not come in time")
                }
            }
            self.feed(&attempt.job, Event::Leave, Note::default())
                .await?;
        }
        Ok(None)
    }

    fn tell(&self, answer: &ChoiceAnswer) {
        self.tell_from(answer, 0);
    }

    /// Hands an answer out that came as a whole, but for the `told` pieces that were handed out before.
    fn tell_from(&self, answer: &ChoiceAnswer, told: usize) {
        self.run.push(Step::Admitted {
            choice: self.index,
            job: answer.end.job.clone(),
        });
        for piece in answer.pieces.iter().skip(told) {
            self.run
                .push(Step::Piece(self.index, Arc::new(piece.clone())));
        }
        self.run.push(Step::End(self.index, answer.end.clone()));
    }

    /// Waits for a validator with a free place.
    async fn place(&mut self) -> ApiResult<(Node, LoadGuard)> {
        let (parts, work) = (self.parts, self.work);
        let plan = &work.plan;
        let wanted = match &work.payer {
            // The client chose.
            Payer::Client(transaction, _) => transaction.validator.map(|(address, _)| address),
            Payer::Key(_) => None,
        };
        let request = Request {
            model: plan.model.address.to_bytes(),
            tokens: plan.prompt_tokens.saturating_add(plan.max_output_tokens),
            prompt_tokens: plan.prompt_tokens,
            prefix: plan.prefix(),
            tried: &self.tried,
        };
        let lane = wanted.map_or(request.model, |validator| validator.to_bytes());
        let began = Instant::now();
        let placing = parts
            .queue
            .place(lane, &self.run.head.key_id, self.until, || async {
                let price = (plan.price_in, plan.price_out);
                match parts
                    .validators
                    .choose(&request, &plan.rules, price, wanted)
                    .await
                {
                    Ok(Ok(chosen)) => Try::Placed(chosen),
                    // A breaker lets a request through again after its pause.
                    Ok(Err(reason @ (NoChoice::Busy | NoChoice::Full | NoChoice::Unhealthy))) => {
                        Try::Busy(no_choice(reason))
                    }
                    Ok(Err(reason)) => Try::Refused(no_choice(reason)),
                    Err(error) => Try::Refused(error),
                }
            });
        let placed = tokio::select! {
            () = self.run.gone.cancelled() => return Err(client_gone(None)),
            placed = placing => placed,
        };
        parts
            .metrics
            .queue_wait
            .observe(began.elapsed().as_secs_f64());
        // What the last validator said tells more than that none is left.
        placed.map_err(|error| self.last.take().unwrap_or(error))
    }

    /// The address that is used again, or a new one, stored before it is used.
    async fn address(&mut self) -> ApiResult<Attempt> {
        if let Some(attempt) = self
            .attempts
            .last()
            .filter(|attempt| attempt.state == State::Sent)
        {
            return Ok(attempt.clone());
        }
        let states = self.attempts.iter().map(|attempt| attempt.state).collect();
        if Choice::new(states).begin().is_none() {
            return Err(ApiError::internal(
                "a choice has an attempt that may be paid, and wants another",
            ));
        }
        if matches!(self.work.payer, Payer::Client(..)) && !self.attempts.is_empty() {
            return Err(ApiError::new(
                StatusCode::CONFLICT,
                "transaction_used",
                "this transaction was used and its job is given up; sign another one with another nonce",
            ));
        }
        let number = self
            .attempts
            .last()
            .map_or(0, |attempt| attempt.attempt + 1);
        let attempt = new_attempt(
            self.parts,
            self.run,
            self.work,
            (self.index, number),
            self.slot,
        )?;
        let funds = self.parts.funds().await?;
        store::insert_attempt(&self.parts.pool, &attempt, None, &funds).await?;
        self.attempts.push(attempt.clone());
        Ok(attempt)
    }

    async fn ask(&self, attempt: &Attempt, node: &Node) -> ApiResult<Outcome> {
        let transaction = match transaction(self.parts, self.work, attempt, node).await {
            Ok(transaction) => transaction,
            Err(error) => {
                self.parts
                    .validators
                    .report(node.validator, Verdict::Neutral);
                return Err(error);
            }
        };
        let dispatch = Dispatch {
            parts: self.parts,
            run: self.run,
            work: self.work,
            attempt,
            node,
        };
        Ok(drive(&dispatch, transaction).await)
    }

    fn report(&self, node: &Node, outcome: &Outcome) {
        let (verdict, word) = match outcome {
            Outcome::Done(done) if done.end.unconfirmed => (Verdict::Bad, "unconfirmed"),
            Outcome::Done(_) => (Verdict::Good, "done"),
            Outcome::Declined(..) => (Verdict::Neutral, "declined"),
            Outcome::Gone { let_down: true } => (Verdict::Bad, "client_let_down"),
            Outcome::Gone { let_down: false } => (Verdict::Neutral, "client_gone"),
            Outcome::Failed(_) => (Verdict::Bad, "failed"),
            Outcome::Broken(..) => (Verdict::Bad, "broken"),
        };
        let validator = Pubkey::new_from_array(node.validator).to_string();
        self.parts
            .metrics
            .dispatches
            .with_label_values(&[word, &validator])
            .inc();
        match outcome {
            Outcome::Declined(code, _) if is_busy(code) => {
                self.parts.validators.full(node.validator)
            }
            _ => self.parts.validators.report(node.validator, verdict),
        }
    }

    /// What follows from how a dispatch ended.
    async fn after(&mut self, attempt: &Attempt, node: &Node, outcome: Outcome) -> ApiResult<Came> {
        self.report(node, &outcome);
        let validator = Pubkey::new_from_array(node.validator);
        match outcome {
            Outcome::Done(done) => return self.keep(attempt, node, *done).await.map(Came::Answer),
            Outcome::Gone { .. } => return Err(client_gone(Some(&attempt.job))),
            Outcome::Broken(reason, output) => {
                tracing::warn!(job = %attempt.job, %validator, %reason, "an answer broke off");
                // The rest may be on chain.
                if let Some(answer) = self.rest(attempt, &output).await {
                    return Ok(Came::Answer(answer));
                }
                return Err(ApiError::new(
                    StatusCode::BAD_GATEWAY,
                    "validator_failed",
                    format!("the validator broke off in the middle of its answer ({reason}); its job is cancelled and costs what was handed out"),
                )
                .job(attempt.job.to_string()));
            }
            Outcome::Declined(code, message) => {
                tracing::info!(job = %attempt.job, %validator, %code, %message, "declined");
                self.last = Some(declined(&code, &message));
                if code == "price" || code == "price_changed" {
                    self.parts.catalogue.forget();
                }
                if is_busy(&code) && Instant::now() < self.until {
                    return Ok(Came::Wait);
                }
            }
            Outcome::Failed(reason) => {
                tracing::warn!(job = %attempt.job, %validator, %reason, "a validator failed before its first token");
                self.last = Some(ApiError::unavailable(
                    "no_validator",
                    "validators failed to answer; try again shortly",
                ));
            }
        }
        self.fail_over(attempt, node).await
    }

    async fn fail_over(&mut self, attempt: &Attempt, node: &Node) -> ApiResult<Came> {
        let chain = &self.parts.chain;
        chain.blockhashes.forget().await;
        // Whoever holds the job's address by another's hand is no reason to pass over this validator.
        let landed = pay::job(chain, &attempt.job, Commitment::Processed)
            .await
            .ok()
            .flatten();
        if landed.is_none_or(|(_, job)| job.validator == node.validator) {
            self.tried.push(node.validator);
        }
        if matches!(self.work.payer, Payer::Client(..)) {
            if let Some(answer) = self.resume().await? {
                return Ok(Came::Answer(answer));
            }
            return Err(self.last.take().unwrap_or_else(|| {
                ApiError::unavailable(
                    "no_validator",
                    "the validator that the transaction names did not take the job",
                )
            }));
        }
        // What pays may have changed meanwhile; that is then the reason.
        if let Payer::Key(account) = &self.work.payer {
            self.slot = pay::preflight(chain, account, &self.work.plan, 1).await?;
        }
        Ok(Came::Next)
    }

    async fn keep(
        &mut self,
        attempt: &Attempt,
        node: &Node,
        done: Done,
    ) -> ApiResult<ChoiceAnswer> {
        let (tokens, time) = done.pace;
        self.parts.validators.measured(node.validator, tokens, time);
        let answer = ChoiceAnswer {
            pieces: done.pieces,
            end: done.end,
        };
        let event = Event::Answer {
            confirmed: !answer.end.unconfirmed,
        };
        let note = Note {
            answer: Some(&answer),
            evidence: Some(&done.evidence),
            ..Note::default()
        };
        if let Err(error) = self.feed(&attempt.job, event, note).await {
            tracing::error!(%error, job = %attempt.job, "an answer could not be stored");
        }
        self.run.push(Step::End(self.index, answer.end.clone()));
        Ok(answer)
    }

    /// The whole answer, if it is on chain and begins with what was handed out.
    async fn rest(&mut self, attempt: &Attempt, output: &[u32]) -> Option<ChoiceAnswer> {
        let (_, job) = pay::job(&self.parts.chain, &attempt.job, Commitment::Processed)
            .await
            .ok()??;
        if View::of(Some(&job), self.slot, attempt.expiry()) != View::Result {
            return None;
        }
        let fetched = result::fetch_answer(self.parts, attempt, &job);
        let (answer, evidence) = tokio::time::timeout(FETCH_PATIENCE, fetched)
            .await
            .ok()?
            .ok()?;
        let begins = evidence["output_ids"].as_array().is_some_and(|ids| {
            ids.len() >= output.len()
                && ids
                    .iter()
                    .zip(output)
                    .all(|(id, token)| id.as_u64() == Some(u64::from(*token)))
        });
        if !begins {
            return None;
        }
        let note = Note {
            answer: Some(&answer),
            evidence: Some(&evidence),
            ..Note::default()
        };
        self.feed(&attempt.job, Event::Fetched, note).await.ok()?;
        self.tell_from(&answer, output.len());
        Some(answer)
    }
}

fn is_busy(code: &str) -> bool {
    matches!(code, "capacity" | "queue_full" | "draining" | "busy")
}

fn declined(code: &str, message: &str) -> ApiError {
    let message = if is_busy(code) {
        "every validator of this model is busy; try again shortly".to_owned()
    } else {
        format!("no validator took the job; the last one said: {message} ({code})")
    };
    ApiError::unavailable("no_validator", message)
}

fn no_choice(reason: NoChoice) -> ApiError {
    let error = ApiError::unavailable("no_validator", format!("{reason}; try again shortly"));
    match reason {
        NoChoice::Context => error.retry_after(60),
        NoChoice::Busy | NoChoice::Full | NoChoice::Unhealthy => error.retry_after(5),
        _ => error,
    }
}

fn client_gone(job: Option<&Pubkey>) -> ApiError {
    let error = ApiError::new(
        StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        "client_gone",
        "the client went away; the job was cancelled and costs what was handed out",
    );
    match job {
        Some(job) => error.job(job.to_string()),
        None => error,
    }
}

/// A new job address: of the choice and attempt `(index, number)`.
pub fn new_attempt(
    parts: &Jobs,
    run: &Run,
    work: &Work,
    (index, number): (u32, u32),
    slot: u64,
) -> ApiResult<Attempt> {
    let plan = &work.plan;
    let (owner, requester, arguments, client_paid) = match &work.payer {
        Payer::Key(account) => {
            let tag = pay::nonce_tag(&run.head.key_id, &work.request_key, index, number);
            let nonce = window::nonce(slot.saturating_add(plan.nonce_slots), tag);
            let seed = match plan.seed {
                Some(seed) => pay::user_seed(seed, index),
                None => accounts::random()?,
            };
            (
                account.owner,
                account.delegate.pubkey(),
                pay::arguments(&parts.chain, plan, nonce, seed)?,
                false,
            )
        }
        Payer::Client(transaction, owner) => {
            (*owner, transaction.requester, transaction.arguments, true)
        }
    };
    Ok(Attempt {
        job: mythic_client::pda::job(owner, &arguments.nonce),
        request_id: run.head.id.clone(),
        key_id: run.head.key_id.clone(),
        choice: index,
        attempt: number,
        nonce: arguments.nonce,
        owner,
        requester,
        model: plan.model.address,
        arguments,
        ceiling: plan.ceiling,
        stop: plan.stop.clone(),
        validators: Vec::new(),
        client_paid,
        state: State::Sent,
        signature: None,
        answer: None,
        looks: 0,
        created: run.head.created,
    })
}

async fn transaction(
    parts: &Jobs,
    work: &Work,
    attempt: &Attempt,
    node: &Node,
) -> ApiResult<String> {
    match &work.payer {
        Payer::Client(transaction, _) => Ok(transaction.encoded.clone()),
        Payer::Key(account) => {
            let parties = (
                Pubkey::new_from_array(node.validator),
                Pubkey::new_from_array(node.operator),
            );
            let transaction = pay::request_transaction(
                &parts.chain,
                account,
                &attempt.model,
                &attempt.arguments,
                Some(parties),
            )
            .await?;
            pay::encode(&transaction)
        }
    }
}
