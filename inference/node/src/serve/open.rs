//! Open jobs: found in the gateways' feeds or in Kafka, and by a search of the chain, and taken where they are worth it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use mythic_client::{Commitment, Filter};
use mythic_interface::state::{Job, JobStatus};
use rand::seq::SliceRandom;
use solana_pubkey::Pubkey;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::{
    admit,
    feed::{self, Feed},
    fsm::Origin,
    group::{self, Found},
    jobs::Jobs,
    messages::Start,
};
use crate::{config::JobsFrom, keep::journal::Record};

/// How often the chain is searched for open jobs that the feed did not tell of.
const SCAN_EVERY: Duration = Duration::from_secs(20);
/// The same where Kafka tells every job to one worker: what that one leaves because it is busy, the others find.
const RARE_SCAN_EVERY: Duration = Duration::from_secs(60);
/// Pause before a job is looked at again that could not be read or noted.
const AGAIN: Duration = Duration::from_secs(1);
/// Longest wait before an open job is taken; spreads validators.
const TAKE_SPREAD_MS: u64 = 250;
/// Jobs of one search that are looked at.
const LOOKS: usize = 64;
/// Jobs that are looked at at the same time.
const AT_ONCE: usize = 16;

/// Whether a job has been looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Looked {
    /// It is in the journal, or is not ours.
    Done,
    /// Chain or journal could not be reached, or the node stops.
    Later,
}

/// Runs until `stop`.
pub async fn run(jobs: Arc<Jobs>, stop: CancellationToken) {
    let (sender, mut incoming) = mpsc::channel::<Found>(256);
    let grouped = jobs.config.kafka.clone();
    let grouped = grouped.filter(|_| jobs.config.jobs == JobsFrom::Kafka);
    let mut scan = tokio::time::interval(match &grouped {
        Some(_) => RARE_SCAN_EVERY,
        None => SCAN_EVERY,
    });
    scan.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    match grouped {
        Some(settings) => {
            let means = (jobs.meters.clone(), stop.clone());
            let started = group::follow(settings, &jobs.keys.authority, sender.clone(), means);
            if let Err(error) = started {
                tracing::error!(%error, "no thread for Kafka; jobs are found by the scan only");
            }
        }
        None => follow_gateways(&jobs, &sender, &stop),
    }
    let looks = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let found = tokio::select! {
            () = stop.cancelled() => return,
            Some(found) = incoming.recv() => found,
            _ = scan.tick() => Found::Gap,
        };
        match found {
            Found::Gap => search(&jobs, &sender).await,
            Found::Hint(job) => {
                // What is passed over while too many are looked at, the search finds again.
                if let Ok(turn) = looks.clone().try_acquire_owned() {
                    let jobs = jobs.clone();
                    tokio::spawn(async move {
                        consider(&jobs, job).await;
                        drop(turn);
                    });
                }
            }
            Found::Job(job, done) => {
                let turn = tokio::select! {
                    () = stop.cancelled() => return,
                    turn = looks.clone().acquire_owned() => turn,
                };
                let (jobs, stop) = (jobs.clone(), stop.clone());
                tokio::spawn(async move {
                    if settle(&jobs, job, &stop).await == Looked::Done {
                        done.done();
                    }
                    drop(turn);
                });
            }
        }
    }
}

fn follow_gateways(jobs: &Jobs, sender: &mpsc::Sender<Found>, stop: &CancellationToken) {
    for gateway in &jobs.gateways {
        let feed = Feed {
            gateway: gateway.clone(),
            operator: jobs.keys.operator.clone(),
            topic: "jobs",
            cursor: None,
            take: |event| feed::opened_job(&event.data).map(Found::Hint),
        };
        tokio::spawn(feed.follow(sender.clone(), stop.clone()));
    }
}

/// Looks at a job until it is in the journal or is not ours.
async fn settle(jobs: &Arc<Jobs>, job: Pubkey, stop: &CancellationToken) -> Looked {
    loop {
        if consider(jobs, job).await == Looked::Done {
            return Looked::Done;
        }
        tokio::select! {
            () = stop.cancelled() => return Looked::Later,
            () = tokio::time::sleep(AGAIN) => {}
        }
    }
}

/// Looks for open jobs of our models. Of many, some at random: those that are not worth it must not hide the others.
async fn search(jobs: &Jobs, sender: &mpsc::Sender<Found>) {
    for model in &jobs.models {
        let filters = [
            Filter::<Job>::status(JobStatus::Open),
            Filter::<Job>::model(&model.address),
        ];
        let read = jobs
            .chain
            .program_accounts::<Job>(&filters, Commitment::Processed);
        match read.await {
            Ok(found) => {
                let mut worthy: Vec<Pubkey> = found
                    .into_iter()
                    .filter(|(_, state)| {
                        jobs.decide(Origin::Consumed, |now| {
                            jobs.with_facts(model, |facts| admit::check_open(state, facts, now))
                        })
                        .is_ok()
                    })
                    .map(|(job, _)| job)
                    .collect();
                worthy.shuffle(&mut rand::rng());
                for job in worthy.into_iter().take(LOOKS) {
                    let _ = sender.try_send(Found::Hint(job));
                }
            }
            Err(error) => tracing::debug!(%error, "open jobs can't be listed"),
        }
    }
}

/// Looks at an account that may be an open job, and takes it if it is worth it.
async fn consider(jobs: &Arc<Jobs>, job: Pubkey) -> Looked {
    if jobs.is_draining() {
        return Looked::Later;
    }
    if jobs.inbox(&job).is_some() {
        return Looked::Done;
    }
    let state = match jobs.chain.account::<Job>(&job).await {
        Ok(Some((_, state))) if state.status() == Some(JobStatus::Open) => state,
        Ok(_) => return Looked::Done,
        Err(error) => {
            tracing::debug!(%job, %error, "open job can't be read");
            return Looked::Later;
        }
    };
    let Some(model) = jobs
        .model(&Pubkey::new_from_array(state.terms.model))
        .cloned()
    else {
        return Looked::Done;
    };
    let shared = jobs.config.jobs == JobsFrom::Kafka;
    // Each validator waits its own while for each job, the busy ones longer; so do workers of one.
    let lot = mythic_interface::hash::sha256(&[job.as_array(), jobs.keys.authority.as_array()]);
    let lot = if shared { rand::random() } else { lot };
    let (running, _) = jobs.load();
    let wait = u64::from(lot[0]) * TAKE_SPREAD_MS / 256 + running as u64 * TAKE_SPREAD_MS;
    tokio::time::sleep(Duration::from_millis(wait)).await;
    let _admission = jobs.admission.lock().await;
    if jobs.inbox(&job).is_some() {
        return Looked::Done;
    }
    let decided = jobs.decide(Origin::Consumed, |now| {
        jobs.with_facts(&model, |facts| admit::check_open(&state, facts, now))
    });
    let taken = decided.and_then(|work| Ok((work, admit::prompt_source(&state)?)));
    let (work, source) = match taken {
        Ok(taken) => taken,
        Err(reason) => {
            tracing::debug!(%job, %reason, "open job left to others");
            return Looked::Done;
        }
    };
    let wait = jobs
        .sources
        .begin(&source, &state.terms.owner, Instant::now());
    let Some(wait) = wait else {
        tracing::debug!(%job, %source, "open job left: its prompt source made us wait, or does");
        return Looked::Done;
    };
    let record = Record::Accepted {
        job: job.to_string(),
        origin: Origin::Consumed,
        model: model.identity(),
        transaction: None,
        source: source.to_string(),
        prompt_hash: hex::encode(work.prompt_hash),
        prompt: None,
        shared,
    };
    if !jobs.note(record).await {
        return Looked::Later;
    }
    let start = Start {
        job,
        origin: Origin::Consumed,
        model,
        work: Some(work),
        transaction: None,
        source: source.to_string(),
        prompt: None,
        client: None,
        record: None,
        shared,
        wait: Some(wait),
        logprobs: false,
        span: mythic_trace::of_job("open job", &job.to_bytes(), None),
    };
    jobs.start(start, None);
    Looked::Done
}
