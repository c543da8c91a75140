//! Requests of capacity: found, weighed ([`fit`]), read, promised.
//!
//! - [`decisions`]: what became of each here, for its tenant

pub mod decisions;
pub mod fit;

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use mythic_client::{Commitment, Filter, market};
use mythic_interface::{
    market::state::{LeaseKind, Request, RequestStatus},
    state::Model,
};
use mythic_support::{Backoff, Throttle};
use mythic_wire::openai::model_id;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use tokio::sync::Semaphore;

use crate::{
    access::Access,
    journal::Promise,
    lease::task::{self, Care, Shared},
    source::Asker,
};
use decisions::{Decision, Decisions};
use fit::Decline;

/// How often open requests are looked for.
const EVERY: Duration = Duration::from_secs(2);
/// Longest pause while the chain does not answer.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);
const TOLD_EVERY: Duration = Duration::from_secs(60);
/// Requests that are read at once: strangers may keep some waiting.
const AT_ONCE: usize = 8;

/// Requests as they are taken in.
#[derive(Clone)]
pub struct Intake {
    shared: Shared,
    decisions: Arc<Decisions>,
    places: Arc<Semaphore>,
}

impl Intake {
    pub fn new(shared: Shared, decisions: Arc<Decisions>) -> Self {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        Self {
            shared,
            decisions,
            places,
        }
    }

    /// Goes on with what was promised before a restart.
    pub fn resume(&self, promises: Vec<(Pubkey, Promise)>) {
        for (lease, promise) in promises {
            tracing::info!(%lease, "a promise in the journal: going on with what the chain says of it");
            self.begin(lease, promise);
        }
    }

    /// Runs until `stop`: from then on nothing new is taken.
    pub async fn run(self, stop: tokio_util::sync::CancellationToken) {
        let told = Throttle::new(TOLD_EVERY);
        let mut pauses = Backoff::new(EVERY, LONGEST_PAUSE);
        while pauses.wait(&stop).await {
            match self.round().await {
                Ok(()) => pauses.reset(),
                Err(error) => {
                    if told.allow().is_some() {
                        tracing::warn!("open requests can't be looked for: {error:#}");
                    }
                }
            }
        }
    }

    async fn round(&self) -> Result<()> {
        let ctx = &self.shared.ctx;
        let filters = [
            Filter::<Request>::status(RequestStatus::Open),
            Filter::<Request>::class(&ctx.class),
        ];
        let open = ctx.chain.program_accounts(&filters, Commitment::Processed);
        let open = open.await?;
        let addresses: Vec<Pubkey> = open.iter().map(|(address, _)| *address).collect();
        self.decisions.keep(&addresses);
        for (address, request) in open {
            // What can't be had at all is not even fetched.
            match fit::fits(&request, &ctx.provider(), ctx.slot()) {
                Err(Decline::Others) => continue,
                Err(decline) => {
                    self.decisions.set(address, Decision::declined(&decline));
                    continue;
                }
                Ok(()) => {}
            }
            let Ok(place) = self.places.clone().try_acquire_owned() else {
                return Ok(());
            };
            if self.decisions.begin(address) {
                let intake = self.clone();
                tokio::spawn(async move {
                    intake.consider(address, request).await;
                    drop(place);
                });
            }
        }
        Ok(())
    }

    async fn consider(&self, address: Pubkey, request: Request) {
        let decision = match self.promise(&address, &request).await {
            Ok((lease, promise)) => {
                self.begin(lease, promise);
                Decision::Taken
            }
            Err(decline) => {
                tracing::info!(request = %address, %decline, "request declined");
                Decision::declined(&decline)
            }
        };
        self.decisions.set(address, decision);
    }

    /// Reads what the tenant wants and writes the promise to give it.
    async fn promise(
        &self,
        address: &Pubkey,
        request: &Request,
    ) -> Result<(Pubkey, Promise), Decline> {
        let (ctx, terms) = (&self.shared.ctx, &request.terms);
        if terms.kind != LeaseKind::Endpoint as u8 {
            return Err(Decline::Container);
        }
        let model = Pubkey::new_from_array(terms.model);
        let read = ctx.chain.account::<Model>(&model);
        let unknown = |error: mythic_client::ClientError| Decline::Chain(error.to_string());
        let (_, model) = read.await.map_err(unknown)?.ok_or(Decline::Model)?;
        let local = ctx.models.iter().find(|local| local.is(&model));
        let local = local.ok_or(Decline::Model)?;
        let asker = Asker {
            origin: &ctx.origin,
            shelf: &ctx.shelf,
            key: &ctx.operator,
            allow_loopback: ctx.config.allow_loopback,
        };
        let source = terms.spec_source.as_str();
        let document = asker.spec(address, source, &terms.spec_hash).await?;
        let spec = document.endpoint()?;
        let most = ctx.config.max_concurrent * usize::from(terms.units);
        if spec.max_concurrent > most {
            return Err(Decline::Concurrent(most));
        }
        let lease = market::address::lease(address);
        if self.shared.desk.has_key(&spec.key_hash) {
            return Err(Decline::KeyInUse);
        }
        let model = model_id(model.name.as_str(), &model.identity);
        let access = Access {
            lease: lease.to_string(),
            base_url: ctx.origin.at("/v1"),
            model: model.clone(),
            max_concurrent: spec.max_concurrent,
            operator: ctx.operator.pubkey().to_string(),
        };
        let promise = Promise {
            request: address.to_string(),
            deadline_slot: request.deadline_slot.get(),
            units: terms.units,
            weights: hex::encode(local.weights),
            model,
            key_hash: spec.key_hash.to_ascii_lowercase(),
            max_concurrent: spec.max_concurrent,
            access: serde_json::to_string(&access).unwrap_or_default(),
        };
        let kept = ctx.journal.keep(&lease, &promise);
        kept.map_err(|error| Decline::Journal(error.to_string()))?;
        Ok((lease, promise))
    }

    /// Takes a lease into care; one that is in care already stays there.
    fn begin(&self, lease: Pubkey, promise: Promise) {
        let promise = Arc::new(promise);
        if let Some(events) = self.shared.desk.enter(lease, promise.clone()) {
            let care = Care { lease, promise };
            tokio::spawn(task::run(self.shared.clone(), care, events));
        }
    }
}
