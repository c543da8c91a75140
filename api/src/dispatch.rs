//! Runs a request: picks a validator for each choice, hands the prompt over, passes the answer on, fails over before the
//! first content, keeps what happened. Every step that could cost money is stored before it is taken.

use std::{sync::Arc, time::Duration};

use axum::http::StatusCode;
use futures::{StreamExt, future::join_all};
use mythic_client::Commitment;
use mythic_inference::{
    prompt::PromptFormatter,
    tokenizer::{DecodeStream, StopMatcher},
    wire::{self, Evidence, InferenceRequest, NodeEvent},
};
use mythic_interface::{
    hash,
    state::{Job, JobStatus},
    window,
};
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use tokio::time::timeout;

use crate::{
    answer::{Candidate, ChoiceAnswer, ChoiceEnd, Finish, Piece, log_shares},
    app::App,
    dial::DialError,
    error::{ApiError, ApiResult},
    fleet::Verdict,
    keys::{self, Account},
    limits::Permit,
    onchain::{self, ClientTransaction},
    plan::Plan,
    routing::{NoChoice, Node, Request, Router},
    run::{Event, Run},
    store::{self, Attempt},
};

/// Dispatches that one choice may take before it fails.
const MAX_DISPATCHES: usize = 8;
/// A nonce with less life than this, in slots, is not used for another dispatch.
const NONCE_MARGIN: u64 = 60;
/// Once a stop string came, the validator gets this long to finish by itself.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// Who pays for a run.
#[derive(Debug, Clone)]
pub enum Payer {
    /// The gateway signs as the delegate of an API key.
    Key(Account),
    /// The client signed.
    Client(Box<ClientTransaction>, Pubkey),
}

/// What a run needs.
pub struct Work {
    /// What is asked for.
    pub plan: Arc<Plan>,
    /// Who pays.
    pub payer: Payer,
    /// The part of nonces that makes them this request's.
    pub request_key: String,
    /// Candidates to keep per position.
    pub top_logprobs: Option<u8>,
}

/// Where a job's receipt is.
pub fn receipt(app: &App, job: &Pubkey) -> String {
    format!(
        "{}/v1/jobs/{job}/receipt",
        app.config.public_url.trim_end_matches('/')
    )
}

/// Turns token ids into the steps of an answer.
pub struct Decoder<'a> {
    formatter: &'a PromptFormatter,
    text: DecodeStream<'a>,
    stops: StopMatcher,
    top: Option<u8>,
    /// A stop string has come.
    pub stopped: bool,
}

impl<'a> Decoder<'a> {
    /// A decoder for one answer.
    pub fn new(formatter: &'a PromptFormatter, stop: &[String], top: Option<u8>) -> Self {
        Self {
            formatter,
            text: formatter.decode_stream(),
            stops: StopMatcher::new(stop.to_vec()),
            top,
            stopped: false,
        }
    }

    fn show(&mut self, text: &str) -> String {
        if self.stopped {
            return String::new();
        }
        let matched = self.stops.push(text);
        self.stopped = matched.stopped;
        matched.text
    }

    /// The next token.
    pub fn push(&mut self, token: u32, top4: &[(u32, i32); 4]) -> Piece {
        let over = self.stopped;
        let text = self.text.push(token);
        let text = self.show(&text);
        let hidden = over || self.formatter.eos_ids().contains(&token);
        let logprob = match self.top {
            Some(top) if !hidden => {
                let shares = log_shares(top4.map(|(_, logit)| logit));
                let candidates: Vec<Candidate> = top4
                    .iter()
                    .zip(shares)
                    .map(|((id, _), logprob)| {
                        let bytes = self.formatter.tokenizer().piece(*id).to_vec();
                        Candidate {
                            token: String::from_utf8_lossy(&bytes).into_owned(),
                            logprob,
                            bytes,
                        }
                    })
                    .collect();
                top4.iter()
                    .position(|(id, _)| *id == token)
                    .and_then(|at| candidates.get(at).cloned())
                    .map(|chosen| {
                        (
                            chosen,
                            candidates.into_iter().take(usize::from(top)).collect(),
                        )
                    })
            }
            _ => None,
        };
        Piece { text, logprob }
    }

    /// What was held back, at the end.
    pub fn finish(&mut self) -> Option<Piece> {
        let tail = self.text.finish();
        let mut text = self.show(&tail);
        if !self.stopped {
            text.push_str(&self.stops.finish());
        }
        (!text.is_empty()).then_some(Piece {
            text,
            logprob: None,
        })
    }

    /// All steps of an answer that is known as a whole.
    pub fn all(mut self, evidence: &Evidence) -> (Vec<Piece>, bool) {
        let mut pieces: Vec<Piece> = evidence
            .output_ids
            .iter()
            .zip(&evidence.leaves)
            .map(|(token, top4)| self.push(*token, top4))
            .collect();
        pieces.extend(self.finish());
        (pieces, self.stopped)
    }
}

/// How OpenAI's clients are told that an answer ended.
pub fn finish_of(finish: wire::Finish, stopped: bool) -> Finish {
    match finish {
        _ if stopped => Finish::Stop,
        wire::Finish::Eos | wire::Finish::Stopped => Finish::Stop,
        wire::Finish::Length => Finish::Length,
        wire::Finish::Cancelled => Finish::Cancelled,
    }
}

/// Starts a run in the background; its request is stored already.
pub fn start(app: &Arc<App>, run: &Arc<Run>, work: Work, permit: Permit) {
    app.runs.insert(run);
    let (app, run) = (app.clone(), run.clone());
    app.tracker.clone().spawn(async move {
        let _permit = permit;
        app.metrics.running.inc();
        let watcher = tokio::spawn({
            let (run, rejoin) = (
                run.clone(),
                Duration::from_secs(app.config.timing.rejoin_seconds),
            );
            async move { run.watch_listeners(rejoin).await }
        });
        let last = execute(&app, &run, &work).await;
        watcher.abort();
        run.push(last);
        app.runs.remove(&run.head.id);
        app.metrics.running.dec();
    });
}

async fn execute(app: &Arc<App>, run: &Arc<Run>, work: &Work) -> Event {
    let choices = (0..run.head.choices).map(|index| async move {
        let outcome = choice(app, run, work, index).await;
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
    let (stored, event) = match failure {
        None => {
            let value = store::answer_value(&answers);
            (
                retried(|| store::finish_request(&app.pool, &run.head.id, &value)).await,
                Event::Finished,
            )
        }
        Some(error) => (
            retried(|| store::fail_request(&app.pool, &run.head.id, &error)).await,
            Event::Failed(error),
        ),
    };
    if let Err(error) = stored {
        tracing::error!(%error, request = %run.head.id, "the end of a request could not be stored; a restart will look at its jobs again");
    }
    event
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

/// Leaves an attempt: whatever of it is or gets on chain is to be cancelled.
async fn abandon(app: &App, job: &Pubkey) {
    let left = retried(|| {
        store::transition(
            &app.pool,
            job,
            &["sent", "accepted", "open"],
            "abandoned",
            None,
        )
    })
    .await;
    if let Err(error) = left {
        tracing::error!(%error, %job, "an abandoned job could not be noted; a restart will find it");
    }
    app.janitor.notify_one();
}

/// How one dispatch ended.
enum Outcome {
    Done(Box<Done>),
    Declined(String, String),
    Failed(String),
    /// The answer broke off after content.
    Broken(String),
    Gone,
}

struct Done {
    pieces: Vec<Piece>,
    finish: Finish,
    output_tokens: u32,
    evidence: serde_json::Value,
    signature: Option<String>,
}

async fn choice(
    app: &Arc<App>,
    run: &Arc<Run>,
    work: &Work,
    index: u32,
) -> ApiResult<ChoiceAnswer> {
    let plan = &work.plan;
    let mut slot = match &work.payer {
        Payer::Key(account) => onchain::preflight(app, account, plan, run.head.choices).await?,
        Payer::Client(..) => app
            .chain
            .slot(Commitment::Processed)
            .await
            .map_err(onchain::chain_error)?,
    };
    let earlier = store::attempts(&app.pool, &run.head.id).await?;
    // A repeat of a request that failed as a whole: what is answered is not bought again.
    let answered = earlier
        .iter()
        .rev()
        .filter(|attempt| attempt.choice == index)
        .find_map(|attempt| attempt.answer.clone().filter(|_| attempt.state == "done"));
    if let Some(answer) = answered {
        run.push(Event::Admitted {
            choice: index,
            job: answer.end.job.clone(),
        });
        for piece in &answer.pieces {
            run.push(Event::Piece(index, Arc::new(piece.clone())));
        }
        run.push(Event::End(index, answer.end.clone()));
        return Ok(answer);
    }
    let mut current = earlier.into_iter().rfind(|attempt| attempt.choice == index);
    let mut next = current.as_ref().map_or(0, |attempt| attempt.attempt + 1);
    let mut tried: Vec<[u8; 32]> = Vec::new();
    let mut last: Option<ApiError> = None;
    for _ in 0..MAX_DISPATCHES {
        if run.gone.is_cancelled() {
            return Err(client_gone(None));
        }
        // An address is used again until its job is on chain; then it is spent.
        if let Some(attempt) = &current {
            let spent = attempt.expiry() < slot.saturating_add(NONCE_MARGIN)
                || attempt.state == "done"
                || attempt.arguments.prompt_hash != plan.prompt_hash
                || onchain::job(app, &attempt.job, Commitment::Processed)
                    .await?
                    .is_some();
            if spent {
                abandon(app, &attempt.job).await;
                current = None;
            }
        }
        let picked = pick(app, work, &tried).await;
        let node = match picked {
            Ok(node) => node,
            Err(error) => {
                if let Some(attempt) = &current {
                    abandon(app, &attempt.job).await;
                }
                return Err(last.unwrap_or(error));
            }
        };
        let attempt = match current.take() {
            Some(attempt) => attempt,
            None => {
                let attempt = new_attempt(app, run, work, index, next, slot)?;
                next += 1;
                store::insert_attempt(&app.pool, &attempt, None).await?;
                attempt
            }
        };
        store::ask(&app.pool, &attempt.job, &node.validator).await?;
        let guard = app.validators.dispatch(
            node.validator,
            plan.prompt_tokens + plan.max_output_tokens,
            plan.prefix(),
        );
        let outcome = match transaction(app, work, &attempt, &node).await {
            Ok(encoded) => drive(app, run, work, index, &attempt, &node, encoded).await,
            Err(error) => {
                app.validators.report(node.validator, Verdict::Neutral);
                abandon(app, &attempt.job).await;
                return Err(error);
            }
        };
        drop(guard);
        let validator = Pubkey::new_from_array(node.validator);
        let (verdict, word) = match &outcome {
            Outcome::Done(_) => (Verdict::Good, "done"),
            Outcome::Declined(..) => (Verdict::Neutral, "declined"),
            Outcome::Gone => (Verdict::Neutral, "client_gone"),
            Outcome::Failed(_) => (Verdict::Bad, "failed"),
            Outcome::Broken(_) => (Verdict::Bad, "broken"),
        };
        app.validators.report(node.validator, verdict);
        app.metrics.dispatches.with_label_values(&[word]).inc();
        match outcome {
            Outcome::Done(done) => {
                let end = end(
                    app,
                    plan,
                    &attempt.job,
                    &validator,
                    done.finish,
                    done.output_tokens,
                );
                let answer = ChoiceAnswer {
                    pieces: done.pieces,
                    end: end.clone(),
                };
                if let Some(signature) = &done.signature {
                    tracing::debug!(job = %attempt.job, %signature, "result submitted");
                }
                if let Err(error) = retried(|| {
                    store::keep_answer(
                        &app.pool,
                        &attempt.job,
                        "done",
                        &answer,
                        Some(&done.evidence),
                    )
                })
                .await
                {
                    tracing::error!(%error, job = %attempt.job, "an answer could not be stored");
                }
                run.push(Event::End(index, end));
                return Ok(answer);
            }
            Outcome::Gone => {
                abandon(app, &attempt.job).await;
                return Err(client_gone(Some(&attempt.job)));
            }
            Outcome::Broken(reason) => {
                tracing::warn!(job = %attempt.job, %validator, %reason, "an answer broke off");
                abandon(app, &attempt.job).await;
                return Err(ApiError::new(
                    StatusCode::BAD_GATEWAY,
                    "validator_failed",
                    format!("the validator broke off in the middle of its answer ({reason}); its job is cancelled and costs what was handed out"),
                )
                .job(attempt.job.to_string()));
            }
            Outcome::Declined(code, message) => {
                tracing::info!(job = %attempt.job, %validator, %code, %message, "declined");
                last = Some(declined(&code, &message));
                if code == "price" || code == "price_changed" {
                    app.catalogue.forget();
                }
            }
            Outcome::Failed(reason) => {
                tracing::warn!(job = %attempt.job, %validator, %reason, "a validator failed before its first token");
                last = Some(ApiError::unavailable(
                    "no_validator",
                    "validators failed to answer; try again shortly",
                ));
            }
        }
        if matches!(work.payer, Payer::Client(..)) {
            abandon(app, &attempt.job).await;
            return Err(last.unwrap_or_else(|| {
                ApiError::unavailable(
                    "no_validator",
                    "the validator that the transaction names did not take the job",
                )
            }));
        }
        app.blockhashes.forget().await;
        // Whoever holds the job's address by another's hand is no reason to pass over this validator.
        let landed = onchain::job(app, &attempt.job, Commitment::Processed)
            .await
            .ok()
            .flatten();
        if landed.is_none_or(|(_, job)| job.validator == node.validator) {
            tried.push(node.validator);
        }
        // What pays may have changed meanwhile; that is then the reason.
        if let Payer::Key(account) = &work.payer {
            match onchain::preflight(app, account, plan, 1).await {
                Ok(now) => slot = now,
                Err(error) => {
                    abandon(app, &attempt.job).await;
                    return Err(error);
                }
            }
        }
        current = Some(attempt);
    }
    if let Some(attempt) = &current {
        abandon(app, &attempt.job).await;
    }
    Err(last.unwrap_or_else(|| {
        ApiError::unavailable(
            "no_validator",
            "no validator took the job; try again shortly",
        )
    }))
}

fn declined(code: &str, message: &str) -> ApiError {
    let busy = matches!(code, "capacity" | "queue_full" | "draining" | "busy");
    let message = if busy {
        "every validator of this model is busy; try again shortly".to_owned()
    } else {
        format!("no validator took the job; the last one said: {message} ({code})")
    };
    ApiError::unavailable("no_validator", message)
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

fn end(
    app: &App,
    plan: &Plan,
    job: &Pubkey,
    validator: &Pubkey,
    finish: Finish,
    output_tokens: u32,
) -> ChoiceEnd {
    ChoiceEnd {
        job: job.to_string(),
        validator: validator.to_string(),
        finish,
        prompt_tokens: plan.prompt_tokens,
        output_tokens,
        cost_lamports: plan.cost(output_tokens),
        receipt: receipt(app, job),
    }
}

async fn pick(app: &App, work: &Work, tried: &[[u8; 32]]) -> ApiResult<Node> {
    let plan = &work.plan;
    let request = Request {
        model: plan.model.address.to_bytes(),
        tokens: plan.prompt_tokens.saturating_add(plan.max_output_tokens),
        prefix: plan.prefix(),
        tried,
    };
    let mut fleet = app
        .validators
        .fleet(app, &plan.rules, (plan.price_in, plan.price_out))
        .await?;
    if let Payer::Client(transaction, _) = &work.payer {
        // The client chose.
        let wanted = transaction.validator.map(|(address, _)| address);
        fleet.nodes.retain(|node| {
            Some(mythic_client::pda::validator(&Pubkey::new_from_array(
                node.validator,
            ))) == wanted
        });
    }
    match Router::pick(&request, &fleet) {
        Ok(at) => Ok(fleet.nodes.swap_remove(at)),
        Err(reason) => {
            let error =
                ApiError::unavailable("no_validator", format!("{reason}; try again shortly"));
            Err(if reason == NoChoice::Context {
                error.retry_after(60)
            } else {
                error
            })
        }
    }
}

/// A new job address for a choice, stored before it is used.
pub fn new_attempt(
    app: &App,
    run: &Run,
    work: &Work,
    index: u32,
    number: u32,
    slot: u64,
) -> ApiResult<Attempt> {
    let plan = &work.plan;
    let (owner, requester, arguments, client_paid) = match &work.payer {
        Payer::Key(account) => {
            let tag = onchain::nonce_tag(&run.head.key_id, &work.request_key, index, number);
            let nonce = window::nonce(slot.saturating_add(plan.nonce_slots), tag);
            let seed = match plan.seed {
                Some(seed) => onchain::user_seed(seed, index),
                None => keys::random()?,
            };
            (
                account.owner,
                account.delegate.pubkey(),
                onchain::arguments(app, plan, nonce, seed)?,
                false,
            )
        }
        Payer::Client(transaction, owner) => {
            (*owner, transaction.requester, transaction.arguments, true)
        }
    };
    Ok(Attempt {
        job: mythic_client::pda::job(&owner, &arguments.nonce),
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
        state: "sent".into(),
        signature: None,
        answer: None,
        created: run.head.created,
    })
}

async fn transaction(app: &App, work: &Work, attempt: &Attempt, node: &Node) -> ApiResult<String> {
    match &work.payer {
        Payer::Client(transaction, _) => Ok(transaction.encoded.clone()),
        Payer::Key(account) => {
            let parties = (
                Pubkey::new_from_array(node.validator),
                Pubkey::new_from_array(node.operator),
            );
            let transaction = onchain::request_transaction(
                app,
                account,
                &attempt.model,
                &attempt.arguments,
                Some(parties),
            )
            .await?;
            onchain::encode(&transaction)
        }
    }
}

/// Hands the prompt to one validator and passes its answer on.
async fn drive(
    app: &Arc<App>,
    run: &Arc<Run>,
    work: &Work,
    index: u32,
    attempt: &Attempt,
    node: &Node,
    transaction: String,
) -> Outcome {
    let plan = &work.plan;
    let timing = &app.config.timing;
    let request = InferenceRequest {
        transaction,
        job: attempt.job.to_string(),
        prompt_ids: plan.prompt_ids.clone(),
        salt: hex::encode(plan.salt),
        stop: plan.stop.clone(),
    };
    let accept = Duration::from_secs(timing.accept_seconds);
    let opened = tokio::select! {
        () = run.gone.cancelled() => return Outcome::Gone,
        opened = timeout(accept, app.dialer.infer(&node.endpoint, &request)) => opened,
    };
    let mut events = match opened {
        Err(_) => return Outcome::Failed("no answer in time".into()),
        Ok(Err(DialError::Declined { code, message })) => return Outcome::Declined(code, message),
        Ok(Err(DialError::Failed(reason))) => return Outcome::Failed(reason),
        Ok(Ok(events)) => events,
    };
    let mut decoder = Decoder::new(&plan.model.formatter, &plan.stop, work.top_logprobs);
    let mut pieces: Vec<Piece> = Vec::new();
    let mut output: Vec<u32> = Vec::new();
    let mut accepted = false;
    let started = std::time::Instant::now();
    loop {
        let patience = match (accepted, output.is_empty()) {
            _ if decoder.stopped => STOP_GRACE,
            (false, _) => accept,
            (true, true) => Duration::from_secs(timing.first_token_seconds),
            (true, false) => Duration::from_secs(timing.next_token_seconds),
        };
        let event = tokio::select! {
            () = run.gone.cancelled() => {
                keep_partial(app, plan, attempt, node, pieces, &output).await;
                return Outcome::Gone;
            }
            event = timeout(patience, events.next()) => event,
        };
        // Before the first token another validator may be asked; after it the answer is this one's.
        let fail = |reason: String| {
            if output.is_empty() {
                Outcome::Failed(reason)
            } else {
                Outcome::Broken(reason)
            }
        };
        match event {
            Err(_) => return fail("silent for too long".into()),
            Ok(None) => return fail("the stream ended early".into()),
            Ok(Some(Err(error))) => return fail(error.to_string()),
            Ok(Some(Ok(NodeEvent::Accepted { signature, .. }))) => {
                accepted = true;
                let signature = signature.chars().take(100).collect::<String>();
                if let Err(error) = store::transition(
                    &app.pool,
                    &attempt.job,
                    &["sent"],
                    "accepted",
                    Some(&signature),
                )
                .await
                {
                    tracing::warn!(%error, job = %attempt.job, "acceptance could not be noted");
                }
                run.push(Event::Admitted {
                    choice: index,
                    job: attempt.job.to_string(),
                });
            }
            Ok(Some(Ok(NodeEvent::Token {
                position,
                token,
                top4,
                ..
            }))) => {
                if !accepted {
                    return fail("a token before acceptance".into());
                }
                if position as usize != output.len()
                    || output.len() >= plan.max_output_tokens as usize
                {
                    return fail("tokens out of order, or more than asked for".into());
                }
                if output.is_empty() {
                    app.metrics
                        .first_text
                        .observe(started.elapsed().as_secs_f64());
                }
                output.push(token);
                app.metrics.tokens.inc();
                let piece = decoder.push(token, &top4);
                run.push(Event::Piece(index, Arc::new(piece.clone())));
                pieces.push(piece);
            }
            Ok(Some(Ok(NodeEvent::Error { code, message }))) => {
                return match output.is_empty() {
                    true => Outcome::Declined(code, message.chars().take(500).collect()),
                    false => Outcome::Broken(format!(
                        "{code}: {}",
                        message.chars().take(200).collect::<String>()
                    )),
                };
            }
            Ok(Some(Ok(NodeEvent::Done {
                finish_reason,
                output_ids,
                fingerprint,
                output_root,
                submit_signature,
                evidence,
            }))) => {
                let checked = check_done(
                    attempt,
                    node,
                    &output,
                    &output_ids,
                    &fingerprint,
                    &output_root,
                    &evidence,
                );
                if let Err(reason) = checked {
                    return fail(reason.into());
                }
                if let Some(piece) = decoder.finish() {
                    run.push(Event::Piece(index, Arc::new(piece.clone())));
                    pieces.push(piece);
                }
                let evidence = match serde_json::to_value(&evidence) {
                    Ok(value) => value,
                    Err(error) => return fail(error.to_string()),
                };
                return Outcome::Done(Box::new(Done {
                    pieces,
                    finish: finish_of(finish_reason, decoder.stopped),
                    output_tokens: output_ids.len() as u32,
                    evidence,
                    signature: submit_signature,
                }));
            }
        }
    }
}

/// What the validator commits to must be what it streamed, under this job and by its own name.
fn check_done(
    attempt: &Attempt,
    node: &Node,
    streamed: &[u32],
    output_ids: &[u32],
    fingerprint: &str,
    output_root: &str,
    evidence: &Evidence,
) -> Result<(), &'static str> {
    if output_ids != streamed || evidence.output_ids != streamed {
        return Err("the validator commits to other tokens than it streamed");
    }
    if evidence.job != attempt.job.to_bytes() || evidence.submitter != node.validator {
        return Err("the evidence is of another job");
    }
    let digests = evidence
        .verify()
        .map_err(|_| "the evidence does not hold")?;
    if digests.prompt_hash != attempt.arguments.prompt_hash {
        return Err("the evidence is of another prompt");
    }
    if wire::parse_hex32(fingerprint) != Some(digests.fingerprint)
        || wire::parse_hex32(output_root) != Some(digests.output_root)
    {
        return Err("the fingerprint is not the evidence's");
    }
    Ok(())
}

/// Keeps what the client was given before it went away.
async fn keep_partial(
    app: &App,
    plan: &Plan,
    attempt: &Attempt,
    node: &Node,
    pieces: Vec<Piece>,
    output: &[u32],
) {
    if output.is_empty() {
        return;
    }
    let validator = Pubkey::new_from_array(node.validator);
    let end = end(
        app,
        plan,
        &attempt.job,
        &validator,
        Finish::Cancelled,
        output.len() as u32,
    );
    let answer = ChoiceAnswer { pieces, end };
    if let Err(error) = store::keep_answer(&app.pool, &attempt.job, "accepted", &answer, None).await
    {
        tracing::warn!(%error, job = %attempt.job, "a partial answer could not be stored");
    }
}

/// Gets the answer of a job that is submitted, from its validator's evidence, checked against the chain.
pub async fn fetch_answer(
    app: &App,
    attempt: &Attempt,
    job: &Job,
) -> ApiResult<(ChoiceAnswer, serde_json::Value)> {
    let away = |reason: String| ApiError::unavailable("evidence_unavailable", reason);
    let validator = Pubkey::new_from_array(job.validator);
    let account = keys::by_id(app, &attempt.key_id)
        .await?
        .ok_or_else(|| away("the key of this request is gone".into()))?;
    let registered = app
        .validators
        .by_authority(app, &validator)
        .await?
        .ok_or_else(|| away("the validator is gone".into()))?;
    let endpoint = app.validators.endpoint(&registered);
    let evidence = app
        .dialer
        .evidence(&endpoint, &attempt.job, &account.delegate)
        .await
        .map_err(|error| away(error.to_string()))?;
    let answer = answer_from(app, attempt, job, &evidence, None)?;
    let value = serde_json::to_value(&evidence).map_err(ApiError::internal)?;
    Ok((answer, value))
}

/// The answer in some evidence, which must be what the job on chain commits to.
pub fn answer_from(
    app: &App,
    attempt: &Attempt,
    job: &Job,
    evidence: &Evidence,
    top: Option<u8>,
) -> ApiResult<ChoiceAnswer> {
    let wrong =
        |reason: &str| ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "result_mismatch", reason);
    let digests = evidence
        .verify()
        .map_err(|error| wrong(&error.to_string()))?;
    let committed = evidence.job == attempt.job.to_bytes()
        && evidence.submitter == job.validator
        && evidence.terms_hash == job.terms_hash
        && digests.prompt_hash == job.terms.prompt_hash
        && digests.fingerprint == job.fingerprint
        && digests.output_root == job.output_root
        && hash::output_root(&evidence.output_ids) == Some(job.output_root);
    if !committed {
        return Err(wrong("the result is not what the job on chain commits to"));
    }
    let model = app
        .catalogue
        .at(&attempt.model)
        .ok_or_else(|| wrong("this gateway does not serve the job's model"))?;
    let (pieces, stopped) = Decoder::new(&model.formatter, &attempt.stop, top).all(evidence);
    let finish = wire::Finish::from_code(job.finish_reason)
        .map_or(Finish::Cancelled, |finish| finish_of(finish, stopped));
    let fee = job
        .terms
        .price_of(digests.count)
        .map_or(job.ceiling.get(), |fee| fee.min(job.ceiling.get()));
    Ok(ChoiceAnswer {
        pieces,
        end: ChoiceEnd {
            job: attempt.job.to_string(),
            validator: Pubkey::new_from_array(job.validator).to_string(),
            finish,
            prompt_tokens: job.terms.prompt_tokens.get(),
            output_tokens: digests.count,
            cost_lamports: fee,
            receipt: receipt(app, &attempt.job),
        },
    })
}

/// A result is there, or was.
pub fn has_result(job: &Job) -> bool {
    matches!(
        job.status(),
        Some(JobStatus::Submitted | JobStatus::Disputed | JobStatus::Settled)
    ) && job.submitted_slot.get() > 0
}
