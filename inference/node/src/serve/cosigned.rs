//! Co-signed jobs: a gateway brings a prompt and a transaction that pays for it and lacks only our signature. Nothing is signed,
//! written or computed before the chain has said on trial that it would take the transaction.

use std::{net::IpAddr, sync::Arc, time::Instant};

use mythic_client::ClientError;
use mythic_engine::EngineError;
use mythic_interface::error::MythicError;
use mythic_trace::Span;
use mythic_wire::{self as wire, InferenceRequest, NodeEvent};
use solana_rpc_client_api::config::RpcSimulateTransactionConfig;
use solana_signer::Signer;
use solana_transaction::versioned::VersionedTransaction;
use tokio::sync::mpsc;

use super::{
    admit::{self, CoSignable, Decline, Work},
    backend::ServedModel,
    fsm::Origin,
    jobs::Jobs,
    messages::{Delivery, Msg, Start},
    places::{Place, network},
};
use crate::keep::journal::{Prompt, Record};

/// How long the trial may take.
const TRIAL: std::time::Duration = std::time::Duration::from_secs(5);

/// Why a request was not taken.
pub enum Refusal {
    /// It is not one that this node takes.
    Declined(Decline),
    /// Something broke here.
    Broken(String),
}

impl From<Decline> for Refusal {
    fn from(reason: Decline) -> Self {
        Self::Declined(reason)
    }
}

/// The events of a job that was taken, and how far they got.
pub type Started = (mpsc::Receiver<NodeEvent>, Arc<Delivery>);

/// Takes a request that came from `address`, or says why not. Its job goes on in `span`.
pub async fn take(
    jobs: &Arc<Jobs>,
    request: InferenceRequest,
    address: IpAddr,
    span: Span,
) -> Result<Started, Refusal> {
    if jobs.is_draining() {
        return Err(Decline::Closed("it is stopping").into());
    }
    if !jobs.config.accept_jobs {
        return Err(Decline::Closed("it verifies and takes no jobs").into());
    }
    let address = network(address);
    if !jobs.strikes.is_left(&address, Instant::now()) {
        return Err(Decline::Unseen("requests from this address that the chain refuses").into());
    }
    let operator = jobs.keys.operator.pubkey();
    let parsed = admit::parse_transaction(&request.transaction, &jobs.keys.authority, &operator)?;
    let model = jobs
        .model(&parsed.model)
        .cloned()
        .ok_or(Decline::UnknownModel(parsed.model))?;
    let room = parsed
        .args
        .max_output_tokens
        .get()
        .min(model.backend.context_length()) as usize
        + 8;
    let (sender, events) = mpsc::channel(room);
    let delivery = Arc::new(Delivery::default());
    if let Some(inbox) = jobs.inbox(&parsed.job) {
        return attach(jobs, &request, &parsed, &inbox, (sender, events, delivery)).await;
    }
    let check = || {
        jobs.decide(Origin::CoSigned, |now| {
            jobs.with_facts(&model, |facts| {
                admit::check_request(&request, &parsed, facts, now)
            })
        })
    };
    if let Err(decline) = check() {
        // The rules were changed, and whoever asks may know it first.
        if !matches!(decline, Decline::RulesChanged) {
            return Err(decline.into());
        }
        jobs.reread_params().await;
        check()?;
    }
    let mut place = jobs.places.take(parsed.requester.to_bytes(), address)?;
    if let Err(decline) = trial(jobs, &parsed.transaction).await {
        if matches!(decline, Decline::Refused(_)) {
            jobs.strikes.take(&address, Instant::now());
        }
        return Err(decline.into());
    }
    // A grammar that can't be followed is refused before anything binds us. It is read only where the chain takes the payment.
    if let Some(grammar) = admit::grammar(request.options.as_deref())? {
        place = read_grammar(jobs, &model, (grammar, address), place).await?;
    }
    let _admission = jobs.admission.lock().await;
    if jobs.inbox(&parsed.job).is_some() {
        return Err(Refusal::Broken("the job was brought twice at once".into()));
    }
    // The trial took a while: what there was room for may be taken.
    let work = check()?;
    let transaction = co_sign(jobs, &parsed);
    let encoded = wire::encode_transaction(&transaction)
        .map_err(|error| Refusal::Broken(error.to_string()))?;
    let prompt = Prompt {
        ids: request.prompt_ids,
        salt: request.salt,
        stop: request.stop,
        options: request.options,
    };
    let source = parsed.args.prompt_source.as_str().to_string();
    // On disk before anything is signed that binds us.
    let record = Record::Accepted {
        job: parsed.job.to_string(),
        origin: Origin::CoSigned,
        model: model.identity(),
        transaction: Some(encoded),
        source: source.clone(),
        prompt_hash: hex::encode(work.prompt_hash),
        prompt: Some(prompt.clone()),
        shared: false,
    };
    if !jobs.note(record).await {
        return Err(Refusal::Broken(
            "the node can't write its journal; its disk may be full".into(),
        ));
    }
    let start = Start {
        job: parsed.job,
        origin: Origin::CoSigned,
        model,
        work: Some(work),
        transaction: Some(transaction),
        source,
        prompt: Some(prompt),
        client: Some((sender, delivery.clone())),
        record: None,
        shared: false,
        wait: None,
        logprobs: request.logprobs,
        span,
    };
    jobs.start(start, Some(place));
    Ok((events, delivery))
}

/// Gives the place back if the grammar can be followed here. It is read to its end also where whoever asks goes away meanwhile, so
/// that its place is taken as long, and what came of it counts.
async fn read_grammar(
    jobs: &Arc<Jobs>,
    model: &ServedModel,
    (grammar, address): (String, IpAddr),
    place: Place,
) -> Result<Place, Refusal> {
    let (jobs, backend) = (jobs.clone(), model.backend.clone());
    let reading = tokio::spawn(async move {
        let Err(error) = backend.check_grammar(&grammar).await else {
            return Ok(place);
        };
        // It cost work that nobody pays; a gateway reads what it sends by the same vocabulary before.
        if matches!(error, EngineError::Grammar(_)) {
            jobs.strikes.take(&address, Instant::now());
        }
        Err(Decline::Invalid(error.to_string()))
    });
    match reading.await {
        Ok(read) => read.map_err(Refusal::from),
        Err(error) => Err(Refusal::Broken(error.to_string())),
    }
}

/// The same job again: its task checks nothing anew but goes by the same address, so the prompt must fit the transaction.
async fn attach(
    jobs: &Jobs,
    request: &InferenceRequest,
    parsed: &CoSignable,
    inbox: &mpsc::Sender<Msg>,
    (sender, events, delivery): (
        mpsc::Sender<NodeEvent>,
        mpsc::Receiver<NodeEvent>,
        Arc<Delivery>,
    ),
) -> Result<Started, Refusal> {
    let work = Work::of_request(&parsed.args, &parsed.job, &parsed.model);
    let salt = wire::parse_salt(&request.salt)
        .ok_or_else(|| Decline::Invalid("salt: expected 32 hex digits".into()))?;
    let model = jobs.model(&parsed.model);
    let vocabulary = model.map_or(0, |model| model.backend.vocab_size());
    work.check_prompt(&admit::Brought::of(request, &salt), vocabulary)?;
    let attach = Msg::Attach {
        transaction: Box::new(co_sign(jobs, parsed)),
        work: Box::new(work),
        client: sender,
        delivery: delivery.clone(),
    };
    match inbox.send(attach).await {
        Ok(()) => {
            tracing::info!(job = %parsed.job, "asked for again");
            Ok((events, delivery))
        }
        Err(_) => Err(Refusal::Broken(
            "the job has just ended; look at it on chain".into(),
        )),
    }
}

fn co_sign(jobs: &Jobs, parsed: &CoSignable) -> VersionedTransaction {
    let mut transaction = parsed.transaction.clone();
    let signature = jobs
        .keys
        .operator
        .sign_message(&transaction.message.serialize());
    if let Some(place) = transaction.signatures.get_mut(parsed.signature_index) {
        *place = signature;
    }
    transaction
}

/// Asks the chain on trial whether it would take the transaction: whether its blockhash is known and the payer and the vault
/// have the money. Our signature is not needed for that.
async fn trial(jobs: &Jobs, transaction: &VersionedTransaction) -> Result<(), Decline> {
    let config = RpcSimulateTransactionConfig {
        sig_verify: false,
        commitment: Some(solana_rpc_client_api::config::CommitmentConfig::processed()),
        encoding: Some(solana_rpc_client_api::config::UiTransactionEncoding::Base64),
        ..RpcSimulateTransactionConfig::default()
    };
    let asked = jobs
        .chain
        .rpc()
        .simulate_transaction_with_config(transaction, config);
    let unasked = |reason: String| Decline::Unasked(reason);
    let answer = tokio::time::timeout(TRIAL, asked)
        .await
        .map_err(|_| unasked("no answer in time".into()))?
        .map_err(|error| unasked(ClientError::from(error).to_string()))?;
    match answer.value.err {
        None => Ok(()),
        Some(error) => Err(match ClientError::from_transaction(error.into()) {
            // Ours are as old as theirs: nobody lied.
            ClientError::Program(MythicError::RulesChanged) => Decline::RulesChanged,
            error => Decline::Refused(error.to_string()),
        }),
    }
}
