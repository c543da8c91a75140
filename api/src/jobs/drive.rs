//! One dispatch: the prompt goes to a validator, its answer comes back token by token, and what it commits to is checked.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use mythic_wire::{self as wire, Evidence, InferenceRequest, NodeEvent};
use solana_pubkey::Pubkey;
use tokio::time::timeout;

use crate::{
    dial::DialError,
    fleet::routing::Node,
    intake::plan::Plan,
    jobs::Jobs,
    jobs::answer::{ChoiceAnswer, ChoiceEnd, Finish, Piece},
    jobs::dispatch::Work,
    jobs::result::{Decoder, finish_of, receipt},
    jobs::run::{Event, Run},
    store::{self, Attempt},
};

/// Once a stop string came, the validator gets this long to finish by itself.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// How one dispatch ended.
pub enum Outcome {
    /// With a whole answer.
    Done(Box<Done>),
    /// Refused before content; code and message.
    Declined(String, String),
    /// Failed before content.
    Failed(String),
    /// The answer broke off after content.
    Broken(String),
    /// The client went away.
    Gone,
}

/// A whole answer, checked.
pub struct Done {
    /// Its steps in order.
    pub pieces: Vec<Piece>,
    /// Why it ended.
    pub finish: Finish,
    /// Tokens that the validator committed.
    pub output_tokens: u32,
    /// The evidence bundle as it is stored.
    pub evidence: serde_json::Value,
    /// Of the SubmitResult, if it was sent by then.
    pub signature: Option<String>,
}

/// The end of a choice, as it is told and stored.
pub fn end(
    parts: &Jobs,
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
        receipt: receipt(parts, job),
    }
}

/// Hands the prompt to one validator and passes its answer on.
pub async fn drive(
    parts: &Arc<Jobs>,
    run: &Arc<Run>,
    work: &Work,
    index: u32,
    attempt: &Attempt,
    node: &Node,
    transaction: String,
) -> Outcome {
    let plan = &work.plan;
    let timing = &parts.config.timing;
    let request = InferenceRequest {
        transaction,
        job: attempt.job.to_string(),
        prompt_ids: plan.prompt_ids.clone(),
        salt: hex::encode(plan.salt),
        stop: plan.stop.clone(),
        logprobs: work.top_logprobs.is_some(),
    };
    let accept = Duration::from_secs(timing.accept_seconds);
    let opened = tokio::select! {
        () = run.gone.cancelled() => return Outcome::Gone,
        opened = timeout(accept, parts.dialer.infer(&node.endpoint, &request)) => opened,
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
                keep_partial(parts, plan, attempt, node, pieces, &output).await;
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
                    &parts.pool,
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
                log_sum_exp,
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
                    parts
                        .metrics
                        .first_text
                        .observe(started.elapsed().as_secs_f64());
                }
                output.push(token);
                parts.metrics.tokens.inc();
                let piece = decoder.push(token, &top4, log_sum_exp);
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
    parts: &Jobs,
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
        parts,
        plan,
        &attempt.job,
        &validator,
        Finish::Cancelled,
        output.len() as u32,
    );
    let answer = ChoiceAnswer { pieces, end };
    if let Err(error) =
        store::keep_answer(&parts.pool, &attempt.job, "accepted", &answer, None).await
    {
        tracing::warn!(%error, job = %attempt.job, "a partial answer could not be stored");
    }
}
