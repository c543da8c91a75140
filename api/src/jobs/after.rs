//! What follows from how a dispatch ended: the answer is kept, the rest of it fetched, another validator asked, or the choice given up.

use axum::http::StatusCode;
use mythic_client::Commitment;
use mythic_wire::GRAMMAR_LIMIT;
use solana_pubkey::Pubkey;
use tokio::time::Instant;

use crate::{
    chain::pay,
    error::{ApiError, ApiResult},
    fleet::{routing::Node, validators::Verdict},
    jobs::{
        answer::ChoiceAnswer,
        attempt::{Event, View},
        choice::{Came, Choosing, FETCH_PATIENCE, client_gone},
        drive::{Done, Outcome},
        result,
        run::Step,
        work::Payer,
    },
    store::{Attempt, Note},
};

impl Choosing<'_> {
    fn report(&self, node: &Node, outcome: &Outcome) {
        let (verdict, word) = match outcome {
            Outcome::Done(done) if done.end.unconfirmed => (Verdict::Bad, "unconfirmed"),
            Outcome::Done(_) => (Verdict::Good, "done"),
            Outcome::Declined(..) => (Verdict::Neutral, "declined"),
            Outcome::Gone { let_down: true } => (Verdict::Bad, "client_let_down"),
            Outcome::Gone { let_down: false } => (Verdict::Neutral, "client_gone"),
            Outcome::Failed(_) => (Verdict::Bad, "failed"),
            Outcome::Broken(..) => (Verdict::Bad, "broken"),
            Outcome::Unfollowed => (Verdict::Neutral, "unfollowed"),
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
    pub(super) async fn after(
        &mut self,
        attempt: &Attempt,
        node: &Node,
        outcome: Outcome,
    ) -> ApiResult<Came> {
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
            Outcome::Unfollowed => {
                return Err(ApiError::new(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    GRAMMAR_LIMIT,
                    "the answer could not follow its schema to the end within the limits that all validators keep; its validator says that it gives the job up, which costs nothing then, and the job is cancelled. Simplify the schema",
                )
                .job(attempt.job.to_string()));
            }
            Outcome::Declined(code, message) => {
                tracing::info!(job = %attempt.job, %validator, %code, %message, "declined");
                self.last = Some(declined(&code, &message));
                if ["price", "price_changed", "rules_changed"].contains(&code.as_str()) {
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
