//! Runs a request: picks a validator for each choice, hands the prompt over, passes the answer on, fails over before the
//! first content, keeps what happened. Every step that could cost money is stored before it is taken.

use std::{sync::Arc, time::Duration};

use axum::http::StatusCode;
use futures::future::join_all;
use mythic_client::Commitment;
use mythic_interface::window;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

use crate::{
    accounts::{self, Account},
    chain::errors::chain_error,
    chain::pay::{self, ClientTransaction},
    error::{ApiError, ApiResult},
    fleet::limits::Permit,
    fleet::routing::{NoChoice, Node, Request, Router},
    fleet::validators::Verdict,
    intake::plan::Plan,
    jobs::Jobs,
    jobs::answer::ChoiceAnswer,
    jobs::drive::{Outcome, drive, end},
    jobs::run::{Event, Run},
    store::{self, Attempt},
};

/// Dispatches that one choice may take before it fails.
const MAX_DISPATCHES: usize = 8;
/// A nonce with less life than this, in slots, is not used for another dispatch.
const NONCE_MARGIN: u64 = 60;

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

async fn execute(parts: &Arc<Jobs>, run: &Arc<Run>, work: &Work) -> Event {
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
    let (stored, event) = match failure {
        None => {
            let value = store::answer_value(&answers);
            (
                retried(|| store::finish_request(&parts.pool, &run.head.id, &value)).await,
                Event::Finished,
            )
        }
        Some(error) => (
            retried(|| store::fail_request(&parts.pool, &run.head.id, &error)).await,
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
async fn abandon(parts: &Jobs, job: &Pubkey) {
    let left = retried(|| {
        store::transition(
            &parts.pool,
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
    parts.janitor.notify_one();
}

async fn choice(
    parts: &Arc<Jobs>,
    run: &Arc<Run>,
    work: &Work,
    index: u32,
) -> ApiResult<ChoiceAnswer> {
    let plan = &work.plan;
    let mut slot = match &work.payer {
        Payer::Key(account) => {
            pay::preflight(&parts.chain, account, plan, run.head.choices).await?
        }
        Payer::Client(..) => parts
            .chain
            .client
            .slot(Commitment::Processed)
            .await
            .map_err(chain_error)?,
    };
    let earlier = store::attempts(&parts.pool, &run.head.id).await?;
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
                || pay::job(&parts.chain, &attempt.job, Commitment::Processed)
                    .await?
                    .is_some();
            if spent {
                abandon(parts, &attempt.job).await;
                current = None;
            }
        }
        let picked = pick(parts, work, &tried).await;
        let node = match picked {
            Ok(node) => node,
            Err(error) => {
                if let Some(attempt) = &current {
                    abandon(parts, &attempt.job).await;
                }
                return Err(last.unwrap_or(error));
            }
        };
        let attempt = match current.take() {
            Some(attempt) => attempt,
            None => {
                let attempt = new_attempt(parts, run, work, index, next, slot)?;
                next += 1;
                store::insert_attempt(&parts.pool, &attempt, None).await?;
                attempt
            }
        };
        store::ask(&parts.pool, &attempt.job, &node.validator).await?;
        let guard = parts.validators.dispatch(
            node.validator,
            plan.prompt_tokens + plan.max_output_tokens,
            plan.prefix(),
        );
        let outcome = match transaction(parts, work, &attempt, &node).await {
            Ok(encoded) => drive(parts, run, work, index, &attempt, &node, encoded).await,
            Err(error) => {
                parts.validators.report(node.validator, Verdict::Neutral);
                abandon(parts, &attempt.job).await;
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
        parts.validators.report(node.validator, verdict);
        parts.metrics.dispatches.with_label_values(&[word]).inc();
        match outcome {
            Outcome::Done(done) => {
                let end = end(
                    parts,
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
                        &parts.pool,
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
                abandon(parts, &attempt.job).await;
                return Err(client_gone(Some(&attempt.job)));
            }
            Outcome::Broken(reason) => {
                tracing::warn!(job = %attempt.job, %validator, %reason, "an answer broke off");
                abandon(parts, &attempt.job).await;
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
                    parts.catalogue.forget();
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
            abandon(parts, &attempt.job).await;
            return Err(last.unwrap_or_else(|| {
                ApiError::unavailable(
                    "no_validator",
                    "the validator that the transaction names did not take the job",
                )
            }));
        }
        parts.chain.blockhashes.forget().await;
        // Whoever holds the job's address by another's hand is no reason to pass over this validator.
        let landed = pay::job(&parts.chain, &attempt.job, Commitment::Processed)
            .await
            .ok()
            .flatten();
        if landed.is_none_or(|(_, job)| job.validator == node.validator) {
            tried.push(node.validator);
        }
        // What pays may have changed meanwhile; that is then the reason.
        if let Payer::Key(account) = &work.payer {
            match pay::preflight(&parts.chain, account, plan, 1).await {
                Ok(now) => slot = now,
                Err(error) => {
                    abandon(parts, &attempt.job).await;
                    return Err(error);
                }
            }
        }
        current = Some(attempt);
    }
    if let Some(attempt) = &current {
        abandon(parts, &attempt.job).await;
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

async fn pick(parts: &Jobs, work: &Work, tried: &[[u8; 32]]) -> ApiResult<Node> {
    let plan = &work.plan;
    let request = Request {
        model: plan.model.address.to_bytes(),
        tokens: plan.prompt_tokens.saturating_add(plan.max_output_tokens),
        prefix: plan.prefix(),
        tried,
    };
    let mut fleet = parts
        .validators
        .fleet(&plan.rules, (plan.price_in, plan.price_out))
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
    parts: &Jobs,
    run: &Run,
    work: &Work,
    index: u32,
    number: u32,
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
