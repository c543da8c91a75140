//! Requests of capacity: found, weighed ([`fit`]), read, promised.
//!
//! - [`decisions`]: what became of each here, for its tenant; [`places`]: how many are fetched from strangers at once

pub mod decisions;
pub mod fit;
pub mod places;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use mythic_client::{Commitment, Filter, market};
use mythic_engine::memory;
use mythic_interface::{
    market::state::{LeaseKind, Request, RequestStatus},
    state::Model,
};
use mythic_support::{Backoff, Throttle};
use mythic_wire::openai::model_id;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use tokio::sync::{Mutex, Semaphore};

use crate::{
    access::Access,
    journal::Promise,
    lease::task::{self, Care, Shared},
    source::{self, Asker},
};
use decisions::Decisions;
use fit::Decline;
use places::{Fetch, Places};

/// How often open requests are looked for.
const EVERY: Duration = Duration::from_secs(2);
/// Longest pause while the chain does not answer.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);
const TOLD_EVERY: Duration = Duration::from_secs(60);
/// Requests that are read at once whose specs were left here: nobody keeps them waiting but the chain.
const OWN_AT_ONCE: usize = 32;

/// Requests as they are taken in.
#[derive(Clone)]
pub struct Intake {
    shared: Shared,
    decisions: Arc<Decisions>,
    places: Places,
    own: Arc<Semaphore>,
    /// Promises are made one after the other: each looks at what the ones before left.
    one: Arc<Mutex<()>>,
}

/// Begins with another one each turn.
fn rotate<T>(list: &mut [T], turn: usize) {
    let from = turn.checked_rem(list.len()).unwrap_or(0);
    list.rotate_left(from);
}

/// What a request needs while it is read; left when it is dropped.
type Held = Box<dyn Send>;

impl Intake {
    pub fn new(shared: Shared, decisions: Arc<Decisions>) -> Self {
        Self {
            shared,
            decisions,
            places: Places::default(),
            own: Arc::new(Semaphore::new(OWN_AT_ONCE)),
            one: Arc::default(),
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
        let mut turn = 0_usize;
        while pauses.wait(&stop).await {
            turn = turn.wrapping_add(1);
            match self.round(turn).await {
                Ok(()) => pauses.reset(),
                Err(error) => {
                    if told.allow().is_some() {
                        tracing::warn!("open requests can't be looked for: {error:#}");
                    }
                }
            }
        }
    }

    /// Looks at all open requests, each time from another one on: where places run out, nobody is last for ever.
    async fn round(&self, turn: usize) -> Result<()> {
        let ctx = &self.shared.ctx;
        let filters = [
            Filter::<Request>::status(RequestStatus::Open),
            Filter::<Request>::class(&ctx.class),
        ];
        let open = ctx.chain.program_accounts(&filters, Commitment::Processed);
        let mut open = open.await?;
        let addresses: Vec<Pubkey> = open.iter().map(|(address, _)| *address).collect();
        self.decisions.keep(&addresses);
        let names = open.iter().map(|(_, request)| &request.terms.spec_hash);
        let names: Vec<String> = names.map(source::name).collect();
        ctx.shelf.keep(&names, Instant::now());
        rotate(&mut open, turn);
        for (address, request) in open {
            // What can't be had at all is not even fetched.
            match fit::fits(&request, &ctx.provider(), ctx.slot()) {
                Err(Decline::Others) => continue,
                Err(decline) => {
                    self.decline(address, &decline);
                    continue;
                }
                Ok(()) => {}
            }
            if !self.decisions.is_due(&address, Instant::now()) {
                continue;
            }
            let Some(place) = self.place(&request) else {
                continue;
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

    /// A place to read a request, if one is free.
    fn place(&self, request: &Request) -> Option<Held> {
        let source = request.terms.spec_source.as_str();
        match source::host(&self.shared.ctx.origin, source) {
            None => {
                let place = self.own.clone().try_acquire_owned().ok()?;
                Some(Box::new(place))
            }
            Some(host) => {
                let tenant = request.terms.tenant;
                Some(Box::new(self.places.take(Fetch { host, tenant })?))
            }
        }
    }

    async fn consider(&self, address: Pubkey, request: Request) {
        match self.promise(&address, &request).await {
            Ok(()) => self.decisions.take(address),
            Err(decline) => {
                tracing::info!(request = %address, %decline, "request declined");
                self.decline(address, &decline);
            }
        }
    }

    /// Says so, and counts each reason once.
    fn decline(&self, address: Pubkey, decline: &Decline) {
        if self.decisions.decline(address, decline) {
            self.shared.ctx.meters.declined(decline.word());
        }
    }

    /// Reads what the tenant wants and promises to give it.
    async fn promise(&self, address: &Pubkey, request: &Request) -> Result<(), Decline> {
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
            tenant: Pubkey::new_from_array(terms.tenant).to_string(),
            units: terms.units,
            weights: hex::encode(local.weights),
            model,
            key_hash: spec.key_hash.to_ascii_lowercase(),
            max_concurrent: spec.max_concurrent,
            access: serde_json::to_string(&access).unwrap_or_default(),
        };
        let weights = std::fs::metadata(&local.path).map_or(0, |file| file.len());
        self.keep(request, (lease, promise), weights).await
    }

    /// Writes a promise and takes its lease into care, if all that it needs is left.
    async fn keep(
        &self,
        request: &Request,
        (lease, promise): (Pubkey, Promise),
        weights: u64,
    ) -> Result<(), Decline> {
        let (ctx, desk) = (&self.shared.ctx, &self.shared.desk);
        let _one = self.one.lock().await;
        if desk.has(&lease) {
            return Ok(());
        }
        if desk.has_key(&promise.key_hash) {
            return Err(Decline::KeyInUse);
        }
        let (own, most) = (
            desk.of_tenant(&promise.tenant),
            ctx.config.max_leases_per_tenant,
        );
        if own >= most {
            return Err(Decline::Tenant(own));
        }
        let plan = memory::Plan {
            weights,
            pool: ctx.config.kv_bytes.saturating_mul(promise.units.into()),
            scratch: 0,
        };
        plan.check()
            .map_err(|error| Decline::Memory(error.to_string()))?;
        let unknown = |error: mythic_client::ClientError| Decline::Chain(error.to_string());
        let balance = ctx.read_balance().await.map_err(unknown)?;
        let promised = desk.promised(Instant::now());
        fit::is_left(request, &ctx.provider(), promised, (balance, &ctx.needs))?;
        let kept = ctx.journal.keep(&lease, &promise);
        kept.map_err(|error| Decline::Journal(error.to_string()))?;
        self.begin(lease, promise);
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_places_run_out_everybody_is_first_in_its_turn() {
        let order = |turn: usize| {
            let mut list = ["a", "b", "c"];
            rotate(&mut list, turn);
            list
        };
        let firsts: Vec<_> = (0..4).map(|turn| order(turn)[0]).collect();
        assert_eq!(firsts, ["a", "b", "c", "a"]);
        assert_eq!(order(1), ["b", "c", "a"], "nobody is left out");
        // The count of turns begins anew in the end, and a list may be empty.
        assert_eq!(order(usize::MAX).len(), 3);
        rotate::<u8>(&mut [], 7);
        // One place, taken by whoever is first and kept for a while: in as many turns all had it.
        let places = Places::default();
        let fetch = |n: u8| Fetch {
            host: "one.example".into(),
            tenant: [n; 32],
        };
        let mut served = std::collections::BTreeSet::new();
        for turn in 0..6 {
            let mut list: Vec<u8> = (0..6).collect();
            rotate(&mut list, turn);
            let taken: Vec<_> = list
                .iter()
                .filter_map(|n| Some((*n, places.take(fetch(*n))?)))
                .collect();
            assert!(taken.len() < list.len(), "places run out");
            served.extend(taken.iter().map(|(n, _)| *n));
        }
        assert_eq!(served.len(), 6);
    }
}
