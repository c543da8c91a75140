//! What every part of the node may use: configuration, keys, the chain and what was last read of it, models, journal.

use std::{
    collections::BTreeSet,
    sync::Arc,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use mythic_client::{Bidding, ChainClient, ClientError, Commitment, Due, pda};
use mythic_interface::{
    params::Params,
    state::{Config, Validator},
};
use mythic_support::life::Pulse;
use mythic_wire::Origin;
use parking_lot::RwLock;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use tokio_util::sync::CancellationToken;

use crate::{
    config::NodeConfig,
    keep::{journal::Record, ledger::Ledger, store::Store},
    meters::Meters,
    seams::{Disclosure, Shown},
    serve::backend::ServedModel,
    setup::Keys,
};

/// How often config and models are read again.
const REFRESH_EVERY: Duration = Duration::from_secs(30);
/// Least time between two readings that requests cause.
const REREAD_AFTER: Duration = Duration::from_secs(1);
/// Longest refresh: nine calls to the chain, each ending in 30 seconds.
const LONGEST_REFRESH: Duration = Duration::from_secs(600);

/// Shared by all parts of a node.
pub struct Ctx {
    pub config: NodeConfig,
    /// Where this node is reached.
    pub origin: Origin,
    /// The gateways it announces itself to.
    pub gateways: Vec<Origin>,
    pub chain: ChainClient,
    pub keys: Keys,
    /// Models served.
    pub models: Vec<ServedModel>,
    /// Own results.
    pub store: Store,
    /// Others' results that were fetched.
    pub others: Store,
    /// The journal.
    pub ledger: Ledger,
    /// Counters.
    pub meters: Meters,
    /// What is shown of results.
    pub disclosure: Arc<dyn Disclosure>,
    /// Jobs with a case in care: their evidence is kept, however old it is.
    pub in_case: RwLock<BTreeSet<Pubkey>>,
    validator: RwLock<Validator>,
    params: RwLock<Params>,
    slot: AtomicU64,
    draining: AtomicBool,
    /// When the parameters were read because a request named others.
    reread: tokio::sync::Mutex<Option<Instant>>,
}

/// What a [`Ctx`] is made of.
pub(crate) struct Means {
    pub config: NodeConfig,
    pub origin: Origin,
    pub gateways: Vec<Origin>,
    pub chain: ChainClient,
    pub keys: Keys,
    pub models: Vec<ServedModel>,
    pub store: Store,
    pub others: Store,
    pub ledger: Ledger,
    pub meters: Meters,
    pub disclosure: Arc<dyn Disclosure>,
}

impl Ctx {
    pub(crate) fn new(parts: Means, validator: Validator, params: Params, slot: u64) -> Self {
        Self {
            config: parts.config,
            origin: parts.origin,
            gateways: parts.gateways,
            chain: parts.chain,
            keys: parts.keys,
            models: parts.models,
            store: parts.store,
            others: parts.others,
            ledger: parts.ledger,
            meters: parts.meters,
            disclosure: parts.disclosure,
            in_case: RwLock::default(),
            validator: RwLock::new(validator),
            params: RwLock::new(params),
            slot: AtomicU64::new(slot),
            draining: AtomicBool::new(false),
            reread: Default::default(),
        }
    }

    /// The model of an account.
    pub fn model(&self, address: &Pubkey) -> Option<&ServedModel> {
        self.models.iter().find(|m| m.address == *address)
    }

    /// Newest slot seen.
    pub fn slot(&self) -> u64 {
        self.slot.load(Ordering::Relaxed)
    }

    /// Whether all evidence of its own results is given out.
    pub fn shows(&self) -> bool {
        self.disclosure.shown() == Shown::Everything
    }

    /// Whether it takes no new jobs.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// From now on it takes no new jobs.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// The validator as last read.
    pub fn validator(&self) -> Validator {
        *self.validator.read()
    }

    /// The network's parameters as last read.
    pub fn params(&self) -> Params {
        *self.params.read()
    }

    /// Reads the parameters anew, since somebody knows others: at most once in [`REREAD_AFTER`], whoever asks.
    pub async fn reread_params(&self) {
        let mut last = self.reread.lock().await;
        if last.is_none_or(|last| last.elapsed() >= REREAD_AFTER) {
            refresh_params(self).await;
            *last = Some(Instant::now());
        }
    }

    /// Writes a record durably; false if the disk refuses.
    pub async fn note(&self, record: Record) -> bool {
        let written = self.ledger.write(record).await;
        self.meters.journal_failing.set(i64::from(!written));
        written
    }

    /// Writes a record that may be lost with the machine.
    pub fn note_soft(&self, record: Record) {
        self.ledger.write_soft(record);
    }

    /// Sends instructions signed and paid by the operator, until they are processed; nothing is lost if that takes long.
    pub async fn send(&self, instructions: &[Instruction]) -> Result<(), ClientError> {
        self.send_by(instructions, &[], Due::NEVER).await.map(drop)
    }

    /// The same of what should land in time, with `signers` beside the operator. Returns the fees.
    pub async fn send_by(
        &self,
        instructions: &[Instruction],
        signers: &[&Keypair],
        due: Due,
    ) -> Result<u64, ClientError> {
        let operator: &Keypair = &self.keys.operator;
        let all: Vec<&Keypair> = std::iter::once(operator)
            .chain(signers.iter().copied())
            .collect();
        let bidding = Bidding {
            bids: &self.config.bids,
            due,
            slot: &|| self.slot(),
        };
        let (payer, held) = (operator.pubkey(), Commitment::Processed);
        let landing = self
            .chain
            .pursue(instructions, &payer, &all, bidding, held)
            .await?;
        let lamports = landing.fees;
        self.note_soft(Record::Fee { lamports });
        Ok(lamports)
    }
}

/// Keeps slot, validator, parameters and model prices fresh.
pub async fn follow_chain(ctx: Arc<Ctx>, quit: CancellationToken) {
    let mut slots = ctx.chain.watch_slots();
    let address = pda::validator(ctx.keys.authority);
    let mut validator = ctx.chain.watch_account(&address, Commitment::Processed);
    let mut refresh = tokio::time::interval(REFRESH_EVERY);
    refresh.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let pulse = Pulse::new("following the chain", LONGEST_REFRESH);
    loop {
        pulse.beat();
        tokio::select! {
            () = quit.cancelled() => return,
            Some(slot) = slots.next() => {
                ctx.slot.store(slot.slot, Ordering::Relaxed);
                ctx.meters.slot.set(i64::try_from(slot.slot).unwrap_or(i64::MAX));
            }
            Some(snapshot) = validator.next() => {
                if let Some(account) = &snapshot.account
                    && let Ok(read) = mythic_client::account::decode::<Validator>(&address, account)
                {
                    *ctx.validator.write() = read;
                }
            }
            _ = refresh.tick() => refresh_accounts(&ctx).await,
        }
    }
}

async fn refresh_params(ctx: &Ctx) {
    if let Ok(Some((_, config))) = ctx.chain.account::<Config>(&pda::config()).await {
        *ctx.params.write() = config.params;
    }
}

async fn refresh_accounts(ctx: &Ctx) {
    refresh_params(ctx).await;
    for model in &ctx.models {
        if let Ok(Some((_, read))) = ctx.chain.account(&model.address).await {
            *model.account.write() = read;
        }
    }
}
