//! Where a choice goes: a validator with a free place, and the job address under which it is asked.

use axum::http::StatusCode;
use mythic_interface::window;
use mythic_trace::Kind;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use tokio::time::Instant;

use crate::{
    accounts,
    chain::pay,
    error::{ApiError, ApiResult},
    fleet::{
        queue::Try,
        record::LoadGuard,
        routing::{NoChoice, Node, Request},
        validators::Verdict,
    },
    jobs::{
        Jobs,
        attempt::{Choice, State},
        choice::{Choosing, client_gone},
        drive::{Dispatch, Outcome},
        run::Run,
        traced::traced,
        work::{Payer, Work},
    },
    store::{self, Attempt},
};

impl Choosing<'_> {
    /// Waits for a validator with a free place.
    pub(super) async fn place(&mut self) -> ApiResult<(Node, LoadGuard)> {
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
            ceiling: plan.ceiling,
            prefix: plan.prefix(),
            tried: &self.tried,
        };
        let lane = wanted.map_or(request.model, |validator| validator.to_bytes());
        let began = Instant::now();
        let _waiting = work.trace.span.child("find a validator", Kind::Inside);
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
    pub(super) async fn address(&mut self) -> ApiResult<Attempt> {
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

    pub(super) async fn ask(&self, attempt: &Attempt, node: &Node) -> ApiResult<Outcome> {
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
        Ok(traced(&dispatch, transaction).await)
    }
}

fn no_choice(reason: NoChoice) -> ApiError {
    let error = ApiError::unavailable("no_validator", format!("{reason}; try again shortly"));
    match reason {
        NoChoice::Context => error.retry_after(60),
        NoChoice::Busy | NoChoice::Full | NoChoice::Unhealthy => error.retry_after(5),
        _ => error,
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
        options: plan.options.clone(),
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
