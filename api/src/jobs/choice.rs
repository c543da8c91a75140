//! One choice on its way to its answer: it is placed with a validator, passed on, and fails over before the first content.

use std::{sync::Arc, time::Duration};

use axum::http::StatusCode;
use mythic_client::Commitment;
use mythic_support::Backoff;
use solana_pubkey::Pubkey;
use tokio::time::Instant;

use crate::{
    chain::{errors::chain_error, pay},
    error::{ApiError, ApiResult},
    jobs::{
        Jobs,
        answer::ChoiceAnswer,
        attempt::{Choice, Effect, Event, View},
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
/// How long what must be stored is tried while the database is away: as long as a restart of it may take.
const RETRIED: Duration = Duration::from_secs(30);
/// How long the evidence of an answer that is on chain is asked for before the answer is bought again.
pub(super) const FETCH_PATIENCE: Duration = Duration::from_secs(10);

/// Tries again while the database is away, for [`RETRIED`].
pub(super) async fn retried<F, R, T>(operation: F) -> ApiResult<T>
where
    F: Fn() -> R,
    R: Future<Output = ApiResult<T>>,
{
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(8));
    let until = Instant::now() + RETRIED;
    loop {
        match operation().await {
            Err(error) if error.status == 503 && Instant::now() < until => {
                tokio::time::sleep(backoff.pause()).await;
            }
            other => return other,
        }
    }
}

/// One choice on its way to its answer.
pub(super) struct Choosing<'a> {
    pub(super) parts: &'a Jobs,
    pub(super) run: &'a Run,
    pub(super) work: &'a Work,
    pub(super) index: u32,
    pub(super) attempts: Vec<Attempt>,
    pub(super) slot: u64,
    pub(super) tried: Vec<[u8; 32]>,
    pub(super) last: Option<ApiError>,
    /// No longer than this is waited for a place.
    pub(super) until: Instant,
    /// From then on nobody else is asked: no validator's patience with another adds up without end.
    pub(super) over: Instant,
}

/// Brings one choice to its answer, or gives it up.
pub(super) async fn choice(
    parts: &Jobs,
    run: &Run,
    work: &Work,
    index: u32,
) -> ApiResult<ChoiceAnswer> {
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
pub(super) enum Came {
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
    pub(super) async fn feed(
        &mut self,
        job: &Pubkey,
        event: Event,
        note: Note<'_>,
    ) -> ApiResult<Vec<Effect>> {
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
    pub(super) async fn resume(&mut self) -> ApiResult<Option<ChoiceAnswer>> {
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
    pub(super) fn tell_from(&self, answer: &ChoiceAnswer, told: usize) {
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
}

pub(super) fn client_gone(job: Option<&Pubkey>) -> ApiError {
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
