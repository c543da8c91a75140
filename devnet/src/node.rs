//! The shell around the chain: takes its events and makes them durable, tells the plugin and the subscribers.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use mythic_interface::hash::domain;
use mythic_support::Backoff;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use solana_account::ReadableAccount;
use solana_clock::Slot;
use solana_hash::Hash;
use solana_keypair::Keypair;
use solana_message::{Message, VersionedMessage};
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_signer::Signer;
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction_error::TransactionError;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

use crate::chain::{
    Block, Chain, CommandError, Diverged, Event, Level, Made, Mark, Moved, NOMINAL_SLOT_MS, Resume,
    SLOT_HASHES_ID, Settings,
};
use crate::config::DevnetConfig;
use crate::follow::leader::Leader;
use crate::genesis;
use crate::geyser::PluginHost;
use crate::metrics::Metrics;
use crate::store::Store;

/// Notices a subscriber may lag behind before it is disconnected.
const NOTICES: usize = 4_096;
/// Slots advanced by command between two looks at other callers (and with one fsync).
const ADVANCE_CHUNK: u64 = 64;
/// How long a follower counts as healthy that does not hear its leader.
const UNHEARD: Duration = Duration::from_secs(10);
/// Blocks written to disk and rooted at once.
const ROOT_CHUNK: usize = 64;
/// Shortest and longest pause between two tries to write to a disk that fails.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
pub(crate) const COMPUTE_BUDGET_ID: Pubkey =
    Pubkey::from_str_const("ComputeBudget111111111111111111111111111111");

/// What subscribers are told.
#[derive(Clone, Debug)]
pub enum Notice {
    /// A bank was created.
    Slot {
        slot: Slot,
        parent: Slot,
        root: Slot,
    },
    /// A block reached a commitment.
    Block { level: Level, block: Arc<Block> },
    /// The open bank was given up as invalid.
    Dead { slot: Slot, reason: String },
    /// A transaction is in the open bank. Sent only while somebody waits for such (see [`Node::wants_received`]).
    Received { slot: Slot, signature: Signature },
}

/// A place among those counted, given back when it is dropped.
pub struct Place(Arc<AtomicUsize>);

impl Place {
    /// Takes a place if fewer than `most` are taken.
    pub fn take(count: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let more = |taken: usize| (taken < most).then_some(taken + 1);
        count
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more)
            .ok()
            .map(|_| Self(count.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

struct Inner {
    chain: Chain,
    store: Store,
    plugin: Option<PluginHost>,
    /// Of a follower: the height up to which its leader has finalized the chain.
    finalized: Option<u64>,
    /// Failed tries in a row to write, the pauses between them, and when the next one is due.
    failures: u32,
    pauses: Backoff,
    retry_at: Option<Instant>,
}

/// A running chain.
pub struct Node {
    inner: Mutex<Inner>,
    /// Whose blocks these are, if they are another chain's.
    leader: Option<Arc<Leader>>,
    /// When a follower's leader was last heard.
    heard: Mutex<Instant>,
    notices: broadcast::Sender<Notice>,
    slot_ms: watch::Sender<u64>,
    genesis_hash: Hash,
    faucet: Keypair,
    airdrops: AtomicU32,
    /// Names the node in `getIdentity` and as leader of every slot; nobody holds its key.
    identity: Pubkey,
    /// Where JSON-RPC and subscriptions are served.
    addresses: OnceLock<(SocketAddr, SocketAddr)>,
    healthy: AtomicBool,
    /// Subscriptions of all connections.
    pub(crate) subscriptions: Arc<AtomicUsize>,
    /// Subscriptions that wait for a transaction to be received.
    pub(crate) wants_received: Arc<AtomicUsize>,
    pub(crate) metrics: Metrics,
}

fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        })
}

/// 16 bytes that differ from process to process.
fn salt() -> [u8; 16] {
    let mut salt = [0; 16];
    let key = Keypair::new().pubkey().to_bytes();
    salt.copy_from_slice(&key[..16]);
    salt
}

/// A name for the node that is made of its chain's genesis hash.
fn identity(genesis_hash: &Hash) -> Pubkey {
    let digest = Sha256::new()
        .chain_update(domain::DEVNET_IDENTITY)
        .chain_update(genesis_hash.to_bytes())
        .finalize();
    Pubkey::new_from_array(digest.into())
}

/// What the data directory holds; made if it is empty.
struct State {
    store: Store,
    resume: Resume,
    genesis_hash: Hash,
    faucet: Keypair,
    now: i64,
}

impl State {
    fn open(config: &DevnetConfig) -> anyhow::Result<Self> {
        let (mut store, saved) = Store::open(&config.data_dir)?;
        let faucet = genesis::faucet(&config.data_dir.join("faucet.json"))?;
        let now = now_ms();
        let (resume, genesis_hash) = match saved {
            Some(saved) => saved,
            None if config.follow.is_some() => {
                anyhow::bail!("a follower's state is fetched from its leader, and none is here")
            }
            None => {
                let entropy = Keypair::new().pubkey().to_bytes();
                let (resume, hash) = genesis::genesis(config, &faucet.pubkey(), entropy, now)?;
                store
                    .compact(&resume, &hash)
                    .context("writing the genesis state")?;
                (resume, hash)
            }
        };
        Ok(Self {
            store,
            resume,
            genesis_hash,
            faucet,
            now,
        })
    }
}

/// The genesis hash of the chain in `data_dir`, which is made if it is not there: a Geyser plugin's configuration
/// can name it before the chain runs. Blocking; fails while a chain holds the directory.
pub fn genesis_hash(config: &DevnetConfig) -> anyhow::Result<Hash> {
    config.validate().map_err(anyhow::Error::msg)?;
    Ok(State::open(config)?.genesis_hash)
}

impl Node {
    /// Reads or makes the state, gives the plugin its startup accounts, and opens the first bank; a follower's state is there, and
    /// its leader opens banks. Blocking.
    pub fn start(
        config: &DevnetConfig,
        plugin: Option<PluginHost>,
        leader: Option<Arc<Leader>>,
    ) -> anyhow::Result<Arc<Self>> {
        let State {
            store,
            resume,
            genesis_hash,
            faucet,
            now,
        } = State::open(config)?;
        let settings = Settings {
            confirmed_lag: config.confirmed_lag,
            rooted_lag: config.rooted_lag,
            salt: salt(),
        };
        let finalized = leader.as_ref().map(|_| resume.root.height);
        let chain = match &leader {
            None => Chain::new(settings, resume, now),
            Some(_) => Chain::standing(settings, resume, now),
        };
        warn_of_other_programs(config, &chain);
        let mut inner = Inner {
            chain,
            store,
            plugin,
            finalized,
            failures: 0,
            pauses: Backoff::new(PAUSES.0, PAUSES.1),
            retry_at: None,
        };
        if let Some(plugin) = &mut inner.plugin {
            let root = inner.chain.rooted().clone();
            let accounts = inner.chain.accounts(&root, |_, _| true);
            if config.geyser_as_validator {
                let mut storages = inner.store.storages()?;
                // Of SlotHashes as the genesis had it nothing is kept.
                let of_genesis = accounts.into_iter().map(|(key, account, _)| (key, account));
                storages.add_unwritten(of_genesis.filter(|(key, _)| *key != SLOT_HASHES_ID));
                plugin.startup_of_validator(&storages);
            } else {
                plugin.startup(&accounts);
            }
        }
        let node = Self {
            leader,
            heard: Mutex::new(Instant::now()),
            notices: broadcast::channel(NOTICES).0,
            slot_ms: watch::channel(config.slot_ms).0,
            genesis_hash,
            faucet,
            airdrops: AtomicU32::new(0),
            identity: identity(&genesis_hash),
            addresses: OnceLock::new(),
            healthy: AtomicBool::new(true),
            subscriptions: Arc::default(),
            wants_received: Arc::default(),
            metrics: Metrics::new()?,
            inner: Mutex::new(inner),
        };
        node.settle(&mut node.inner.lock());
        Ok(Arc::new(node))
    }

    /// Unloads the plugin (its threads are joined when this returns) and closes the state.
    pub fn shut_down(&self) {
        let inner = &mut *self.inner.lock();
        let last = match inner.finalized {
            None => inner.chain.rootable_at_stop(),
            // Its leader may give up what it has not finalized.
            Some(finalized) => inner.chain.rootable_to(finalized),
        };
        inner.retry_at = None;
        self.root(inner, &last);
        self.tell(inner);
        inner.plugin = None;
    }

    /// Hash that tells this chain from every other.
    pub fn genesis_hash(&self) -> Hash {
        self.genesis_hash
    }

    /// The node's name among leaders.
    pub fn identity(&self) -> Pubkey {
        self.identity
    }

    /// Where JSON-RPC and subscriptions are served, once they are.
    pub fn addresses(&self) -> Option<(SocketAddr, SocketAddr)> {
        self.addresses.get().copied()
    }

    /// Says where JSON-RPC and subscriptions are served.
    pub fn served_at(&self, rpc: SocketAddr, ws: SocketAddr) {
        self.addresses.get_or_init(|| (rpc, ws));
    }

    /// Whether finalized blocks reach the disk, and a follower hears its leader.
    pub fn is_healthy(&self) -> bool {
        let heard = self.leader.is_none() || self.heard.lock().elapsed() < UNHEARD;
        heard && self.healthy.load(Ordering::Relaxed)
    }

    /// The chain that is followed, if one is.
    pub fn leader(&self) -> Option<&Arc<Leader>> {
        self.leader.as_ref()
    }

    /// Milliseconds between slots; 0 = manual.
    pub fn slot_ms(&self) -> u64 {
        *self.slot_ms.borrow()
    }

    /// Sets the milliseconds between slots; 0 = manual.
    pub fn set_slot_ms(&self, slot_ms: u64) {
        self.slot_ms.send_replace(slot_ms);
    }

    /// Notices from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }

    /// Reads the chain.
    pub fn read<T>(&self, f: impl FnOnce(&mut Chain) -> T) -> T {
        f(&mut self.inner.lock().chain)
    }

    /// Executes a transaction into the open bank; see [`Chain::submit`].
    pub fn submit(&self, tx: VersionedTransaction) -> Result<Signature, TransactionError> {
        let mut inner = self.inner.lock();
        let result = inner.chain.submit(tx);
        match &result {
            Ok(_) => self.metrics.transactions.inc(),
            Err(_) => self.metrics.refused.inc(),
        }
        self.settle(&mut inner);
        result
    }

    /// Sends lamports from the faucet.
    pub fn airdrop(&self, to: &Pubkey, lamports: u64) -> Result<Signature, TransactionError> {
        let (balance, blockhash) = self.read(|chain| {
            let tip = chain.tip().clone();
            let faucet = chain.account(&tip, &self.faucet.pubkey());
            (
                faucet.map_or(0, |account| account.lamports()),
                chain.rooted().blockhash,
            )
        });
        if balance < lamports {
            return Err(TransactionError::InsufficientFundsForFee);
        }
        // The compute limit tells two equal airdrops under one blockhash apart.
        let count = self.airdrops.fetch_add(1, Ordering::Relaxed) % 1_000_000;
        let mut limit = vec![2];
        limit.extend_from_slice(&count.saturating_add(10_000).to_le_bytes());
        let instructions = [
            solana_instruction::Instruction {
                program_id: COMPUTE_BUDGET_ID,
                accounts: Vec::new(),
                data: limit,
            },
            solana_system_interface::instruction::transfer(&self.faucet.pubkey(), to, lamports),
        ];
        let payer = self.faucet.pubkey();
        let message = Message::new_with_blockhash(&instructions, Some(&payer), &blockhash);
        let tx = VersionedTransaction::try_new(VersionedMessage::Legacy(message), &[&self.faucet])
            .map_err(|_| TransactionError::SignatureFailure)?;
        self.submit(tx)
    }

    /// The slot clock's step.
    pub fn advance_one(&self) {
        let mut inner = self.inner.lock();
        inner.chain.advance(now_ms());
        self.settle(&mut inner);
    }

    /// Advances `count` slots at once; the Clock moves by 400 ms for each.
    pub fn advance(&self, count: u64) {
        let mut left = count;
        while left > 0 {
            let chunk = left.min(ADVANCE_CHUNK);
            let mut inner = self.inner.lock();
            for _ in 0..chunk {
                inner.chain.warp_clock(NOMINAL_SLOT_MS);
                inner.chain.advance(now_ms());
            }
            self.settle(&mut inner);
            left -= chunk;
        }
    }

    /// Takes what the leader told: gives up what is not on its chain any more, executes its blocks, finalizes what it has
    /// finalized. Returns how many blocks were taken: not all while the disk takes no writes.
    pub fn follow(&self, onto: &Mark, blocks: &[Made], rooted: u64) -> Result<usize, Diverged> {
        *self.heard.lock() = Instant::now();
        let mut taken = 0;
        let mut left = blocks.iter().peekable();
        self.inner.lock().chain.give_up_above(onto);
        loop {
            let inner = &mut *self.inner.lock();
            inner.finalized = Some(rooted);
            let mut applied = Ok(());
            while let Some(made) = left.next_if(|_| !inner.chain.is_full() && applied.is_ok()) {
                applied = inner.chain.apply(made);
                taken += 1;
                if taken % ADVANCE_CHUNK as usize == 0 {
                    break;
                }
            }
            self.settle(inner);
            applied?;
            if left.peek().is_none() || inner.chain.is_full() {
                break;
            }
        }
        Ok(taken)
    }

    /// See [`Chain::fork`].
    pub fn fork(&self, count: u64) -> Result<Moved, CommandError> {
        self.command(|chain| chain.fork(count, now_ms()))
    }

    /// See [`Chain::replay`].
    pub fn replay(&self, slot: Slot, without: Option<&[Signature]>) -> Result<Moved, CommandError> {
        self.command(|chain| chain.replay(slot, without, now_ms()))
    }

    /// See [`Chain::skip`].
    pub fn skip(&self, count: u64) -> Result<Moved, CommandError> {
        self.command(|chain| chain.skip(count, now_ms()))
    }

    /// See [`Chain::dead`].
    pub fn dead(&self, reason: String) -> Moved {
        self.command(|chain| chain.dead(reason, now_ms()))
    }

    /// See [`Chain::revert`].
    pub fn revert(&self, id: u64) -> Result<usize, CommandError> {
        self.command(|chain| chain.revert(id))
    }

    fn command<T>(&self, f: impl FnOnce(&mut Chain) -> T) -> T {
        let mut inner = self.inner.lock();
        let result = f(&mut inner.chain);
        self.settle(&mut inner);
        result
    }

    /// Makes what can be rooted durable, roots it, and tells the events. If the disk fails, nothing is rooted
    /// until it works again.
    fn settle(&self, inner: &mut Inner) {
        let roots = match inner.finalized {
            None => inner.chain.rootable(),
            Some(finalized) => inner.chain.rootable_to(finalized),
        };
        self.root(inner, &roots);
        self.tell(inner);
    }

    fn root(&self, inner: &mut Inner, roots: &[Arc<Block>]) {
        if inner.retry_at.is_some_and(|due| Instant::now() < due) {
            return;
        }
        let open = inner.chain.open_slot();
        let saved = if roots.is_empty() {
            inner.store.note(open)
        } else {
            roots.chunks(ROOT_CHUNK).try_for_each(|chunk| {
                inner.store.append_roots(chunk, open)?;
                inner.chain.root(chunk.len());
                Ok(())
            })
        };
        self.healthy.store(saved.is_ok(), Ordering::Relaxed);
        match saved {
            Ok(()) => {
                inner.failures = 0;
                inner.pauses.reset();
                inner.retry_at = None;
            }
            Err(error) => {
                self.metrics.store_errors.inc();
                inner.failures = inner.failures.saturating_add(1);
                inner.retry_at = Some(Instant::now() + inner.pauses.pause());
                tracing::error!(%error, failures = inner.failures, "rooted state could not be written; nothing is finalized until it can");
            }
        }
        if inner.store.is_long() {
            let state = inner.chain.rooted_state();
            if let Err(error) = inner.store.compact(&state, &self.genesis_hash) {
                self.metrics.store_errors.inc();
                tracing::error!(%error, "a snapshot of the state could not be written; the log goes on");
            }
        }
    }

    /// Tells what happened to the plugin and the subscribers.
    fn tell(&self, inner: &mut Inner) {
        let root = inner.chain.rooted().slot;
        for event in inner.chain.take_events() {
            if let Some(plugin) = &mut inner.plugin {
                plugin.tell(&event);
            }
            let notice = match event {
                Event::CreatedBank { slot, parent } => Notice::Slot { slot, parent, root },
                Event::Processed(block) => Notice::Block {
                    level: Level::Processed,
                    block,
                },
                Event::Confirmed(block) => Notice::Block {
                    level: Level::Confirmed,
                    block,
                },
                Event::Rooted(block) => Notice::Block {
                    level: Level::Finalized,
                    block,
                },
                Event::Dead { slot, reason, .. } => Notice::Dead { slot, reason },
                Event::Transaction { slot, executed }
                    if self.wants_received.load(Ordering::Acquire) > 0 =>
                {
                    Notice::Received {
                        slot,
                        signature: executed.signature,
                    }
                }
                Event::Account { .. } | Event::Transaction { .. } | Event::Frozen(_) => continue,
            };
            // Nobody listening is no error.
            let _ = self.notices.send(notice);
        }
        let metrics = &self.metrics;
        metrics.processed_slot.set(inner.chain.tip().slot as i64);
        metrics.rooted_slot.set(root as i64);
        metrics.accounts.set(inner.chain.account_count() as i64);
        if let Some(plugin) = &inner.plugin {
            metrics.plugin_errors.set(plugin.errors() as i64);
        }
    }
}

/// Advances a slot every `slot_ms` until the token is cancelled.
pub(crate) async fn tick(node: Arc<Node>, stop: CancellationToken) {
    let mut period = node.slot_ms.subscribe();
    loop {
        let slot_ms = *period.borrow_and_update();
        if slot_ms == 0 {
            tokio::select! {
                () = stop.cancelled() => return,
                changed = period.changed() => if changed.is_err() { return },
            }
            continue;
        }
        let mut interval = tokio::time::interval(Duration::from_millis(slot_ms));
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        interval.tick().await;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                changed = period.changed() => {
                    if changed.is_err() { return }
                    break;
                }
                _ = interval.tick() => {
                    let node = node.clone();
                    if let Err(error) = tokio::task::spawn_blocking(move || node.advance_one()).await {
                        tracing::error!(%error, "a slot could not be advanced");
                    }
                }
            }
        }
    }
}

/// A chain keeps the programs it has: say so when the files are others now.
fn warn_of_other_programs(config: &DevnetConfig, chain: &Chain) {
    let root = chain.rooted();
    for program in &config.programs {
        let Ok(id) = crate::config::pubkey("programs.id", &program.id) else {
            continue;
        };
        let on_chain = chain.account(root, &genesis::program_data_address(&id));
        let Ok(elf) = genesis::read_program(&program.path) else {
            continue;
        };
        let same = on_chain.is_some_and(|account| {
            account
                .data()
                .get(genesis::PROGRAM_DATA_HEADER..)
                .is_some_and(|bytes| bytes == elf)
        });
        if !same {
            tracing::warn!(program = program.id, path = %program.path.display(), "the chain runs another build of this program than the file; start anew with an empty data_dir to run the file");
        }
    }
}
