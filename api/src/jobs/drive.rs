//! One dispatch: the prompt goes to a validator, its answer comes back token by token. Nothing is handed out before the chain
//! shows that this validator has the job, and the answer ends when the chain shows the result that it commits to.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use mythic_http::Trace;
use mythic_interface::state::Job;
use mythic_sampling::Options;
use mythic_trace::{Kind, Span};
use mythic_wire::{
    Evidence, Finish, GRAMMAR_LIMIT, InferenceRequest, NodeEvent, evidence::options_fit,
    parse_hex32,
};
use solana_pubkey::Pubkey;
use tokio::time::{Instant, timeout_at};

use crate::{
    dial::DialError,
    fleet::routing::Node,
    jobs::{
        Jobs,
        answer::{ChoiceAnswer, ChoiceEnd, Piece},
        attempt::{Event, View},
        confirm,
        result::{Decoder, receipt},
        run::{Run, Step},
        work::Work,
    },
    store::{self, Attempt, Note},
};

/// Once a stop string came, the validator gets this long to finish by itself.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// A client that waited this long for the first token and then left was let down by the validator.
const LET_DOWN: Duration = Duration::from_secs(5);
/// After the deadline on chain no result counts; so long may the news of it take.
const DEADLINE_GRACE: Duration = Duration::from_secs(5);
/// Bytes of a stream beside those of its tokens: pings, the evidence's frame.
const STREAM_BYTES: usize = 256 << 10;
/// Bytes of a stream for each token that was asked for: its event, its leaf and its place in the evidence.
const TOKEN_BYTES: usize = 2 << 10;
/// Bytes of the evidence for each token of the prompt.
const PROMPT_BYTES: usize = 16;

/// One dispatch of one attempt to one validator.
pub struct Dispatch<'a> {
    /// What jobs run with.
    pub parts: &'a Jobs,
    pub run: &'a Run,
    /// What it asks.
    pub work: &'a Work,
    /// The job address.
    pub attempt: &'a Attempt,
    /// Who is asked.
    pub node: &'a Node,
}

/// How one dispatch ended.
pub enum Outcome {
    /// With a whole answer.
    Done(Box<Done>),
    /// Refused before content; code and message.
    Declined(String, String),
    /// Failed before content.
    Failed(String),
    /// The answer broke off after content: why, and what was handed out.
    Broken(String, Vec<u32>),
    /// The answer could not follow its grammar to the end, as no other validator's could.
    Unfollowed,
    /// The client went away; `let_down` = it had waited long for a first token.
    Gone {
        /// It counts against the validator.
        let_down: bool,
    },
}

/// A whole answer, checked.
pub struct Done {
    /// Its steps in order.
    pub pieces: Vec<Piece>,
    /// How it ended, as it is told.
    pub end: ChoiceEnd,
    /// The evidence bundle as it is stored.
    pub evidence: serde_json::Value,
    /// From the middle token to the last.
    pub pace: (u32, Duration),
}

/// What came of a validator so far.
struct Incoming<'a> {
    d: &'a Dispatch<'a>,
    span: Span,
    decoder: Decoder<'a>,
    pieces: Vec<Piece>,
    output: Vec<u32>,
    times: Vec<Instant>,
    started: Instant,
    heard: Instant,
    job: Option<Job>,
    over: Instant,
}

/// Hands the prompt to one validator and passes its answer on. The validator is told of `trace`.
pub async fn drive(d: &Dispatch<'_>, transaction: String, trace: &Trace) -> Outcome {
    let mut incoming = Incoming::new(d, trace);
    let plan = &d.work.plan;
    let options = plan.options.as_ref().map(Options::to_wire).transpose();
    let options = match options {
        Ok(options) => options,
        Err(refusal) => return Outcome::Failed(refusal.to_string()),
    };
    let request = InferenceRequest {
        transaction,
        job: d.attempt.job.to_string(),
        prompt_ids: plan.prompt_ids.clone(),
        salt: hex::encode(plan.salt),
        // Options have their stop strings with them.
        stop: match options {
            Some(_) => Vec::new(),
            None => plan.stop.clone(),
        },
        options,
        logprobs: d.work.top_logprobs.is_some(),
    };
    let budget = STREAM_BYTES
        + TOKEN_BYTES.saturating_mul(plan.max_output_tokens as usize)
        + PROMPT_BYTES.saturating_mul(plan.prompt_ids.len());
    let opened = tokio::select! {
        () = d.run.gone.cancelled() => return incoming.gone().await,
        opened = timeout_at(incoming.patience(), d.parts.dialer.infer(&d.node.endpoint, &request, trace, budget)) => opened,
    };
    let mut events = match opened {
        Err(_) => return Outcome::Failed("no answer in time".into()),
        Ok(Err(DialError::Declined { code, message })) => return Outcome::Declined(code, message),
        Ok(Err(DialError::Failed(reason))) => return Outcome::Failed(reason),
        Ok(Ok(events)) => events,
    };
    loop {
        let event = tokio::select! {
            () = d.run.gone.cancelled() => return incoming.gone().await,
            event = timeout_at(incoming.patience(), events.next()) => event,
        };
        let step = match event {
            Err(_) => Err("silent for too long, or past its deadline".into()),
            Ok(None) => Err("the stream ended early".into()),
            Ok(Some(Err(error))) => Err(error.to_string()),
            Ok(Some(Ok(NodeEvent::Accepted { signature, .. }))) => {
                tokio::select! {
                    () = d.run.gone.cancelled() => return incoming.gone().await,
                    step = incoming.accepted(&signature) => step,
                }
            }
            Ok(Some(Ok(NodeEvent::Token {
                position,
                token,
                top4,
                log_sum_exp,
                ..
            }))) => incoming.token(position, token, &top4, log_sum_exp),
            Ok(Some(Ok(NodeEvent::Error { code, message }))) => {
                return incoming.ended(code, &message);
            }
            Ok(Some(Ok(NodeEvent::Done {
                finish_reason,
                output_ids,
                fingerprint,
                output_root,
                cached_tokens,
                evidence,
                ..
            }))) => {
                let said = (
                    output_ids.as_slice(),
                    fingerprint.as_str(),
                    output_root.as_str(),
                );
                match incoming.check(said, &evidence) {
                    Err(reason) => Err(reason.into()),
                    Ok(()) => match incoming.done(finish_reason, &evidence).await {
                        Ok(mut done) => {
                            done.end.tell_cached(cached_tokens);
                            return Outcome::Done(done);
                        }
                        Err(reason) => Err(reason),
                    },
                }
            }
        };
        if let Err(reason) = step {
            return incoming.failed(reason);
        }
    }
}

impl<'a> Incoming<'a> {
    fn new(d: &'a Dispatch<'a>, trace: &Trace) -> Self {
        let now = Instant::now();
        Self {
            d,
            span: trace.span.clone(),
            decoder: Decoder::new(
                &d.work.plan.model,
                &d.work.plan.stop,
                d.work.plan.options.as_ref(),
                d.work.top_logprobs,
            ),
            pieces: Vec::new(),
            output: Vec::new(),
            times: Vec::new(),
            started: now,
            heard: now,
            job: None,
            over: now
                + d.parts
                    .chain
                    .clock
                    .time_of(u64::from(d.work.plan.deadline_slots))
                + DEADLINE_GRACE,
        }
    }

    /// Until when the next event must come. What counts is the last step of the answer, not the last word of the validator.
    fn patience(&self) -> Instant {
        let timing = &self.d.parts.config.timing;
        let seconds = match (self.job.is_some(), self.output.is_empty()) {
            _ if self.decoder.stopped => STOP_GRACE,
            (false, _) => Duration::from_secs(timing.accept_seconds),
            (true, true) => Duration::from_secs(timing.first_token_seconds),
            (true, false) => Duration::from_secs(timing.next_token_seconds),
        };
        (self.heard + seconds).min(self.over)
    }

    /// The validator says that it has the job: the chain must show it.
    async fn accepted(&mut self, signature: &str) -> Result<(), String> {
        let d = self.d;
        if self.job.is_some() {
            return Err("it accepted the job twice".into());
        }
        let until = Instant::now() + Duration::from_secs(d.parts.config.timing.confirm_seconds);
        let _seen = self.span.child("see the job on chain", Kind::Client);
        let job = confirm::taken(
            &d.parts.chain,
            d.attempt,
            &d.node.validator,
            until.min(self.over),
        )
        .await?;
        let left = job
            .deadline_slot
            .get()
            .saturating_sub(job.accepted_slot.get());
        self.job = Some(job);
        self.heard = Instant::now();
        self.over = self
            .over
            .min(self.heard + d.parts.chain.clock.time_of(left) + DEADLINE_GRACE);
        let signature: String = signature.chars().take(100).collect();
        let seen = Event::Seen {
            view: View::Taken,
            firm: false,
        };
        let note = Note {
            signature: Some(&signature),
            ..Note::default()
        };
        if let Err(error) = store::feed(&d.parts.pool, &d.attempt.job, seen, note).await {
            tracing::warn!(%error, job = %d.attempt.job, "acceptance could not be noted");
        }
        d.run.push(Step::Admitted {
            choice: d.attempt.choice,
            job: d.attempt.job.to_string(),
        });
        Ok(())
    }

    fn token(
        &mut self,
        position: u32,
        token: u32,
        top4: &[(u32, i32); 4],
        log_sum_exp: Option<f32>,
    ) -> Result<(), String> {
        let d = self.d;
        if self.job.is_none() {
            return Err("a token before acceptance".into());
        }
        if position as usize != self.output.len()
            || self.output.len() >= d.work.plan.max_output_tokens as usize
        {
            return Err("tokens out of order, or more than asked for".into());
        }
        if self.output.is_empty() {
            d.parts
                .metrics
                .first_text
                .observe(self.started.elapsed().as_secs_f64());
        }
        self.heard = Instant::now();
        self.times.push(self.heard);
        self.output.push(token);
        d.parts.metrics.tokens.inc();
        let piece = self.decoder.push(token, top4, log_sum_exp);
        self.hand_out(piece);
        Ok(())
    }

    fn hand_out(&mut self, piece: Piece) {
        self.d
            .run
            .push(Step::Piece(self.d.attempt.choice, Arc::new(piece.clone())));
        self.pieces.push(piece);
    }

    /// What the validator commits to must be what it streamed, under this job, its terms and its own name.
    fn check(
        &self,
        (output_ids, fingerprint, output_root): (&[u32], &str, &str),
        evidence: &Evidence,
    ) -> Result<(), &'static str> {
        let Some(job) = &self.job else {
            return Err("done before acceptance");
        };
        if output_ids != self.output || evidence.output_ids != self.output {
            return Err("the validator commits to other tokens than it streamed");
        }
        if evidence.job != self.d.attempt.job.to_bytes()
            || evidence.submitter != self.d.node.validator
            || evidence.terms_hash != job.terms_hash
            || evidence.seed != job.terms.seed
            || evidence.temperature_milli != job.terms.temperature_milli.get()
        {
            return Err("the evidence is of another job, or of other terms");
        }
        if !options_fit(&job.terms, &evidence.salt, evidence.options.as_deref()) {
            return Err("the evidence is of other options");
        }
        let digests = evidence
            .verify()
            .map_err(|_| "the evidence does not hold")?;
        if digests.prompt_hash != job.terms.prompt_hash {
            return Err("the evidence is of another prompt");
        }
        if parse_hex32(fingerprint) != Some(digests.fingerprint)
            || parse_hex32(output_root) != Some(digests.output_root)
        {
            return Err("the fingerprint is not the evidence's");
        }
        Ok(())
    }

    /// Ends the answer: the chain must show the result, else it is marked as not confirmed.
    async fn done(&mut self, finish: Finish, evidence: &Evidence) -> Result<Box<Done>, String> {
        let d = self.d;
        let timing = &d.parts.config.timing;
        let until = Instant::now() + Duration::from_secs(timing.confirm_seconds);
        let _seen = self.span.child("see the result on chain", Kind::Client);
        let confirmed =
            confirm::submitted(&d.parts.chain, &d.attempt.job, &evidence.fingerprint, until).await;
        if let Some(piece) = self.decoder.finish() {
            self.hand_out(piece);
        }
        let output_tokens = u32::try_from(self.output.len()).unwrap_or(u32::MAX);
        let finish = match self.decoder.stopped {
            true => Finish::Stopped,
            false => finish,
        };
        let mut end = end(d, finish, output_tokens);
        end.unconfirmed = !confirmed;
        let middle = self.times.len() / 2;
        let pace = match (self.times.get(middle), self.times.last()) {
            (Some(from), Some(to)) => *to - *from,
            _ => Duration::ZERO,
        };
        Ok(Box::new(Done {
            pieces: std::mem::take(&mut self.pieces),
            end,
            evidence: serde_json::to_value(evidence).map_err(|error| error.to_string())?,
            pace: (
                u32::try_from(self.times.len() - middle).unwrap_or(u32::MAX),
                pace,
            ),
        }))
    }

    /// The validator says that there will be no answer, or no more of it.
    fn ended(self, code: String, message: &str) -> Outcome {
        if self.output.is_empty() {
            return Outcome::Declined(code, message.chars().take(500).collect());
        }
        let options = self.d.work.plan.options.as_ref();
        // Of an answer that has a grammar its word is taken: it gives up what it would be paid for.
        if code == GRAMMAR_LIMIT && options.is_some_and(|options| options.grammar.is_some()) {
            return Outcome::Unfollowed;
        }
        let message: String = message.chars().take(200).collect();
        self.failed(format!("{code}: {message}"))
    }

    /// Before the first token another validator may be asked; after it the answer is this one's.
    fn failed(self, reason: String) -> Outcome {
        if self.output.is_empty() {
            Outcome::Failed(reason)
        } else {
            Outcome::Broken(reason, self.output)
        }
    }

    /// The client went away: what it was given is kept.
    async fn gone(self) -> Outcome {
        let d = self.d;
        if self.output.is_empty() {
            return Outcome::Gone {
                let_down: self.started.elapsed() >= LET_DOWN,
            };
        }
        let output_tokens = u32::try_from(self.output.len()).unwrap_or(u32::MAX);
        let answer = ChoiceAnswer {
            pieces: self.pieces,
            end: end(d, Finish::Cancelled, output_tokens),
        };
        let note = Note {
            answer: Some(&answer),
            ..Note::default()
        };
        if let Err(error) = store::note(&d.parts.pool, &d.attempt.job, note).await {
            tracing::warn!(%error, job = %d.attempt.job, "a partial answer could not be stored");
        }
        Outcome::Gone { let_down: false }
    }
}

/// The end of a choice, as it is told and stored.
fn end(d: &Dispatch<'_>, finish: Finish, output_tokens: u32) -> ChoiceEnd {
    ChoiceEnd {
        job: d.attempt.job.to_string(),
        validator: Pubkey::new_from_array(d.node.validator).to_string(),
        finish,
        prompt_tokens: d.work.plan.prompt_tokens,
        cached_tokens: None,
        output_tokens,
        cost_lamports: d.work.plan.cost(output_tokens),
        receipt: receipt(d.parts, &d.attempt.job),
        unconfirmed: false,
    }
}
