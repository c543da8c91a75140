//! The jobs in care: who runs, how much is to come, and the admission of new ones.

use std::{collections::HashMap, net::IpAddr, ops::Deref, sync::Arc, time::Duration};

use mythic_client::Commitment;
use mythic_support::life::Pulse;
use mythic_wire::allowance::Allowance;
use parking_lot::Mutex;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    admit::{Decline, ModelFacts, Situation},
    backend::ServedModel,
    fsm::Origin,
    messages::Msg,
    places::{Limits, Place, Places},
    sources::Sources,
    submit::Submitter,
};
use crate::ctx::Ctx;

/// How often the accounts of jobs in care are read, beside their subscriptions, which a fork may leave silent.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Longest look: each call to the chain ends by itself.
const LONGEST_LOOK: Duration = Duration::from_secs(600);
/// Requests of one address that the chain would refuse, in a row, and how fast more are forgiven.
const STRIKES: u32 = 20;
const STRIKE_EVERY: Duration = Duration::from_secs(3);
/// Addresses whose strikes are counted.
const STRIKERS: usize = 8_192;

struct Handle {
    inbox: mpsc::Sender<Msg>,
    needs_engine: bool,
    /// It was seen accepted, so the chain counts it in the validator's open jobs.
    seen: bool,
    /// Given back once it was seen.
    place: Option<Place>,
    /// Most tokens it may still produce.
    pending_tokens: u64,
}

/// The table of jobs, and what their tasks share.
pub struct Jobs {
    ctx: Arc<Ctx>,
    /// Sends results.
    pub submitter: Submitter,
    /// Servers that hold prompts.
    pub sources: Sources,
    /// Places for jobs that nobody has paid for yet.
    pub places: Places,
    /// Requests that the chain would refuse, or whose grammar can't be followed, by address.
    pub strikes: Allowance<IpAddr>,
    /// Held from the capacity check until the job is in the table.
    pub admission: tokio::sync::Mutex<()>,
    table: Mutex<HashMap<Pubkey, Handle>>,
    /// Ends all tasks; what is left is in the journal.
    pub halt: CancellationToken,
    /// The jobs' tasks.
    pub tasks: TaskTracker,
}

impl Deref for Jobs {
    type Target = Ctx;

    fn deref(&self) -> &Ctx {
        &self.ctx
    }
}

impl Jobs {
    /// An empty table.
    pub fn new(ctx: Arc<Ctx>, submitter: Submitter) -> Self {
        let unseen = ctx.config.max_unseen;
        Self {
            submitter,
            sources: Sources::new(ctx.gateways.clone()),
            places: Places::new(Limits {
                all: unseen,
                requester: (unseen / 2).max(1),
                address: (unseen - unseen / 4).max(1),
            }),
            strikes: Allowance::new(STRIKES, STRIKE_EVERY, STRIKERS),
            admission: tokio::sync::Mutex::new(()),
            table: Mutex::default(),
            halt: CancellationToken::new(),
            tasks: TaskTracker::new(),
            ctx,
        }
    }

    /// What all parts share.
    pub fn ctx(&self) -> &Arc<Ctx> {
        &self.ctx
    }

    /// Jobs that need the engine, and the most tokens they may still produce.
    pub fn load(&self) -> (usize, u64) {
        let jobs = self.table.lock();
        let busy = jobs.values().filter(|h| h.needs_engine);
        busy.fold((0, 0), |(n, tokens), h| {
            (n + 1, tokens.saturating_add(h.pending_tokens))
        })
    }

    /// Runs `f` with what decisions are made from.
    pub fn decide<T>(&self, origin: Origin, f: impl FnOnce(&Situation<'_>) -> T) -> T {
        let (running, _) = self.load();
        let (validator, params, operator) =
            (self.validator(), self.params(), self.keys.operator.pubkey());
        let unseen = self.table.lock().values().filter(|h| !h.seen).count() as u64;
        f(&Situation {
            authority: &self.keys.authority,
            operator: &operator,
            validator: &validator,
            params: &params,
            bounds: &self.config.bounds,
            slot: self.slot(),
            unseen_jobs: unseen,
            running,
            max_running: self.config.max_concurrent + self.config.max_queue,
            min_deadline_slots: self.config.min_deadline_slots,
            min_price_in: self.config.min_price_in,
            min_price_out: self.config.min_price_out,
            min_job_lamports: self.config.min_job_lamports(origin == Origin::Consumed),
        })
    }

    /// Runs `f` with what is known of a model.
    pub fn with_facts<T>(&self, model: &ServedModel, f: impl FnOnce(&ModelFacts<'_>) -> T) -> T {
        let account = *model.account.read();
        f(&ModelFacts {
            address: &model.address,
            model: &account,
            context_length: model.backend.context_length(),
            vocab_size: model.backend.vocab_size(),
        })
    }

    /// Counts a refusal.
    pub fn refuse(&self, decline: &Decline) {
        self.meters
            .refused
            .with_label_values(&[decline.status().1])
            .inc();
    }

    /// Tells whether a job keeps the engine busy, and whether it was seen accepted on chain.
    pub fn set_progress(&self, job: &Pubkey, needs_engine: bool, seen: bool) {
        if let Some(handle) = self.table.lock().get_mut(job) {
            handle.needs_engine = needs_engine;
            handle.seen = seen;
            if seen {
                handle.place = None;
            }
        }
    }

    /// Inbox of a job in care.
    pub fn inbox(&self, job: &Pubkey) -> Option<mpsc::Sender<Msg>> {
        self.table.lock().get(job).map(|h| h.inbox.clone())
    }

    /// Puts a job into the table. `place` is its place among the unseen.
    pub fn insert(
        &self,
        job: Pubkey,
        inbox: mpsc::Sender<Msg>,
        load: (bool, u64),
        place: Option<Place>,
    ) {
        let (needs_engine, pending_tokens) = load;
        let handle = Handle {
            inbox,
            needs_engine,
            seen: false,
            place,
            pending_tokens,
        };
        self.table.lock().insert(job, handle);
    }

    /// Takes a job out of the table.
    pub fn remove(&self, job: &Pubkey) {
        self.table.lock().remove(job);
    }
}

/// Reads the accounts of all jobs in care at both commitments, while there are any.
pub async fn look_after(jobs: Arc<Jobs>, quit: CancellationToken) {
    let mut tick = tokio::time::interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let pulse = Pulse::new("looking after jobs", LONGEST_LOOK);
    loop {
        pulse.beat();
        tokio::select! {
            () = quit.cancelled() => return,
            _ = tick.tick() => {}
        }
        let (running, _) = jobs.load();
        let cared: Vec<(Pubkey, mpsc::Sender<Msg>)> = jobs
            .table
            .lock()
            .iter()
            .map(|(job, handle)| (*job, handle.inbox.clone()))
            .collect();
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        jobs.meters.active_jobs.set(count(cared.len()));
        jobs.meters.running_jobs.set(count(running));
        if cared.is_empty() {
            continue;
        }
        let addresses: Vec<_> = cared.iter().map(|(job, _)| *job).collect();
        for (commitment, finalized) in [
            (Commitment::Processed, false),
            (Commitment::Finalized, true),
        ] {
            match jobs.chain.raw_accounts(&addresses, commitment).await {
                Ok(snapshots) => {
                    for ((_, inbox), snapshot) in cared.iter().zip(snapshots) {
                        // A task that is behind gets the next round.
                        let _ = inbox.try_send(Msg::Chain {
                            snapshot,
                            finalized,
                        });
                    }
                }
                Err(error) => tracing::warn!(%error, "accounts of jobs can't be read"),
            }
        }
    }
}
