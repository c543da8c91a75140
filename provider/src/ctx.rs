//! What every part of a provider may use: configuration, keys, the chain and what was last read of it.

use std::{
    sync::Arc,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use mythic_client::{Bidding, ChainClient, ClientError, Commitment, Due, account::decode, market};
use mythic_interface::market::state::Provider;
use mythic_support::life::Pulse;
use mythic_wire::Origin;
use parking_lot::RwLock;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use tokio_util::sync::CancellationToken;

use crate::{
    config::ProviderConfig, container::environment::Environments, funds::Needs,
    intake::fit::Decline, journal::Journal, meters::Meters, proof::opening::Openings, seams::Seams,
    serve::models::LocalModel, source::Shelf, speed::Speeds,
};

/// Longest silence of the loop that follows the chain.
const LONGEST_SILENCE: Duration = Duration::from_secs(600);

/// Shared by all parts.
pub struct Ctx {
    pub config: ProviderConfig,
    pub seams: Seams,
    /// Where this provider is reached.
    pub origin: Origin,
    pub chain: ChainClient,
    /// The provider's name.
    pub authority: Pubkey,
    /// Hot key.
    pub operator: Arc<Keypair>,
    /// Address of its class.
    pub class: Pubkey,
    /// Models that tenants can lease.
    pub models: Vec<LocalModel>,
    pub journal: Journal,
    /// What is published of proofs.
    pub openings: Openings,
    /// Specs that tenants left here.
    pub shelf: Shelf,
    /// How fast its engines answer, as far as that was measured.
    pub speeds: Speeds,
    /// Values of environments that tenants told.
    pub environments: Environments,
    /// What the operator must be able to pay.
    pub needs: Needs,
    /// Memory that the proof of a unit takes, bytes.
    pub proof_bytes: u64,
    /// What is measured.
    pub meters: Meters,
    provider: RwLock<Provider>,
    slot: AtomicU64,
    /// When the newest slot was heard of.
    heard: RwLock<Instant>,
    /// Lamports of the operator, as last read.
    balance: RwLock<Option<u64>>,
}

/// What a [`Ctx`] is made of.
pub struct Means {
    pub config: ProviderConfig,
    pub seams: Seams,
    pub origin: Origin,
    pub chain: ChainClient,
    pub authority: Pubkey,
    pub operator: Arc<Keypair>,
    pub class: Pubkey,
    pub models: Vec<LocalModel>,
    pub journal: Journal,
    pub openings: Openings,
    /// The provider's account.
    pub provider: Provider,
    /// What the operator must be able to pay.
    pub needs: Needs,
    /// Memory that the proof of a unit takes, bytes.
    pub proof_bytes: u64,
    /// The newest slot.
    pub slot: u64,
    pub meters: Meters,
}

impl Ctx {
    pub fn new(means: Means) -> Self {
        Self {
            speeds: Speeds::of(&means.config),
            config: means.config,
            seams: means.seams,
            origin: means.origin,
            chain: means.chain,
            authority: means.authority,
            operator: means.operator,
            class: means.class,
            models: means.models,
            journal: means.journal,
            openings: means.openings,
            shelf: Shelf::default(),
            environments: Environments::default(),
            needs: means.needs,
            proof_bytes: means.proof_bytes,
            balance: RwLock::default(),
            provider: RwLock::new(means.provider),
            slot: AtomicU64::new(means.slot),
            heard: RwLock::new(Instant::now()),
            meters: means.meters,
        }
    }

    /// Newest slot seen.
    pub fn slot(&self) -> u64 {
        self.slot.load(Ordering::Relaxed)
    }

    /// The chain has come to a slot.
    fn hear(&self, slot: u64) {
        if self.slot.swap(slot, Ordering::Relaxed) < slot {
            *self.heard.write() = Instant::now();
        }
    }

    /// Since the newest slot was heard of.
    pub fn silent(&self) -> Duration {
        self.heard.read().elapsed()
    }

    /// The provider's account as last read.
    pub fn provider(&self) -> Provider {
        *self.provider.read()
    }

    /// The operator's lamports as last read; `None` before that.
    pub fn balance(&self) -> Option<u64> {
        *self.balance.read()
    }

    /// Below this the operator takes no lease more: a lease's rent, and what is kept for all units that are offered.
    pub fn needed(&self) -> u64 {
        self.needs.to_accept(1, self.config.units.into())
    }

    /// Refuses a floor of tokens a second that these weights, in hex, were not measured to reach.
    pub fn check_floor(&self, weights: &str, floor: Option<u32>) -> Result<(), Decline> {
        let offered = self.provider().units.get();
        self.speeds.check(weights, floor, offered)
    }

    /// Reads the operator's lamports.
    pub async fn read_balance(&self) -> Result<u64, ClientError> {
        let lamports = self.chain.balance(&self.operator.pubkey()).await?;
        *self.balance.write() = Some(lamports);
        Ok(lamports)
    }

    /// Sends a call signed and paid by the operator until it is held at `processed`; nothing is lost if that takes long.
    pub async fn send(&self, call: Instruction) -> Result<(), ClientError> {
        self.send_by(call, Due::NEVER).await
    }

    /// The same of what should land in time: it bids more the nearer the end comes, up to a share of what is lost then.
    pub async fn send_by(&self, call: Instruction, due: Due) -> Result<(), ClientError> {
        let (payer, signers): (_, [&Keypair; 1]) = (self.operator.pubkey(), [&self.operator]);
        let bidding = Bidding {
            bids: &self.config.bids,
            due,
            slot: &|| self.slot(),
        };
        let (calls, held) = ([call], Commitment::Processed);
        let landing = self.chain.pursue(&calls, &payer, &signers, bidding, held);
        landing.await.map(drop)
    }
}

/// Keeps slot and provider fresh.
pub async fn follow_chain(ctx: Arc<Ctx>, quit: CancellationToken) {
    let mut slots = ctx.chain.watch_slots();
    let address = market::address::provider(ctx.authority);
    let mut provider = ctx.chain.watch_account(&address, Commitment::Processed);
    let pulse = Pulse::new("following the chain", LONGEST_SILENCE);
    loop {
        pulse.beat();
        tokio::select! {
            () = quit.cancelled() => return,
            Some(slot) = slots.next() => ctx.hear(slot.slot),
            Some(snapshot) = provider.next() => {
                if let Some(account) = &snapshot.account
                    && let Ok(read) = decode::<Provider>(&address, account)
                {
                    *ctx.provider.write() = read;
                }
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::Path;

    use bytemuck::Zeroable;

    use super::*;

    /// A provider without leases, whose chain nobody asks.
    pub fn idle(config: ProviderConfig, dir: &Path) -> Ctx {
        let (journal, _) = Journal::open(dir).unwrap();
        Ctx::new(Means {
            config,
            seams: Seams::default(),
            origin: Origin::parse("http://127.0.0.1:1").unwrap(),
            chain: ChainClient::new("http://127.0.0.1:9", "ws://127.0.0.1:9"),
            authority: Pubkey::new_from_array([1; 32]),
            operator: Arc::new(Keypair::new()),
            class: Pubkey::new_from_array([2; 32]),
            models: Vec::new(),
            journal,
            openings: Openings::open(dir).unwrap(),
            provider: Provider::zeroed(),
            needs: Needs {
                rent: 1,
                reserve: 2,
            },
            proof_bytes: 0,
            slot: 3,
            meters: Meters::new().unwrap(),
        })
    }

    #[tokio::test]
    async fn a_chain_is_silent_from_its_newest_slot_on() {
        let dir = tempfile::tempdir().unwrap();
        let ctx = idle(ProviderConfig::default(), dir.path());
        let first = *ctx.heard.read();
        tokio::time::sleep(Duration::from_millis(5)).await;
        ctx.hear(3);
        assert_eq!(*ctx.heard.read(), first, "it was heard of before");
        assert!(ctx.silent() >= Duration::from_millis(5));
        ctx.hear(4);
        assert!(*ctx.heard.read() > first && ctx.slot() == 4);
    }
}
