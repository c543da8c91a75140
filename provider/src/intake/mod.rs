//! Requests of capacity: found, weighed ([`fit`]), read, promised.
//!
//! - [`container`]: what is promised of a container
//! - [`decisions`]: what became of each here, for its tenant; [`places`]: how many are fetched from strangers at once
//! - [`mend`]: leases whose promise is lost

pub mod container;
pub mod decisions;
pub mod fit;
mod mend;
pub mod places;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use mythic_client::{Commitment, Filter, market};
use mythic_engine::memory;
use mythic_interface::{
    hash::Hash,
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
    container::ssh::session::MEMORY_MIB,
    journal::{Contained, Promise},
    lease::task::{self, Care, Shared},
    source::{self, Asker},
    spec::{Document, SpecError},
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

/// What a request's tenant is promised, and what that needs.
struct Wish {
    lease: Pubkey,
    promise: Promise,
    /// Memory that it takes.
    plan: memory::Plan,
    /// Tokens a second.
    floor: Option<u32>,
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
        // The key of a lost lease is not known: nobody else may come to have the same.
        let clear = self.shared.lost.is_clear();
        for (address, request) in open {
            // What can't be had at all is not even fetched.
            let fits = fit::fits(&request, &ctx.provider(), ctx.slot());
            match fits.and_then(|()| clear.then_some(()).ok_or(Decline::Lost)) {
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
        let wish = self.read(address, request).await?;
        let ctx = &self.shared.ctx;
        ctx.check_floor(&wish.promise.weights, wish.floor)?;
        let (lease, tenant) = (wish.lease, Pubkey::new_from_array(request.terms.tenant));
        self.keep(request, wish).await?;
        // The journal has them now.
        ctx.environments.forget(&lease, &tenant);
        Ok(())
    }

    /// Reads what the tenant wants.
    async fn read(&self, address: &Pubkey, request: &Request) -> Result<Wish, Decline> {
        match request.terms.kind == LeaseKind::Endpoint as u8 {
            true => self.read_endpoint(address, request).await,
            false => self.read_container(address, request).await,
        }
    }

    /// The spec of a request.
    async fn spec(&self, address: &Pubkey, request: &Request) -> Result<Document, Decline> {
        let (ctx, terms) = (&self.shared.ctx, &request.terms);
        let asker = Asker {
            origin: &ctx.origin,
            shelf: &ctx.shelf,
            key: &ctx.operator,
            allow_loopback: ctx.config.allow_loopback,
        };
        let source = terms.spec_source.as_str();
        Ok(asker.spec(address, source, &terms.spec_hash).await?)
    }

    async fn read_container(&self, address: &Pubkey, request: &Request) -> Result<Wish, Decline> {
        let (ctx, terms) = (&self.shared.ctx, &request.terms);
        let runtime = self.shared.containers.runtime();
        let runtime = runtime.ok_or(Decline::Container)?;
        let spec = self.spec(address, request).await?.container()?;
        let config = &ctx.config.containers;
        if let Some(excess) = container::excess(&spec, config, terms.units) {
            return Err(Decline::Resources(excess));
        }
        let (lease, tenant) = (
            market::address::lease(address),
            Pubkey::new_from_array(terms.tenant),
        );
        let told = ctx.environments.of(&lease, &tenant);
        if told.is_none() && !spec.environment.is_empty() {
            return Err(Decline::Environment);
        }
        let environment = spec.unseal(&told.unwrap_or_default());
        let environment = environment.map_err(SpecError::from)?;
        // Who promises what can't be started pays for that.
        let ready = runtime.ready(&spec, &environment).await;
        ready.map_err(Decline::Image)?;
        let memory = u64::from(spec.memory_mib) << 20;
        let (seed, count): (Hash, usize) = (rand::random(), 1 + spec.ports.len());
        let mut taken = self.shared.desk.taken();
        // A container without a promise keeps its network until it is removed.
        let here = runtime.list().await;
        let here = here.map_err(|error| Decline::Runtime(format!("{error:#}")))?;
        taken.1.extend(here.iter().filter_map(|one| one.place));
        let places = container::places(config, count, &taken).ok_or(Decline::Ports)?;
        let contained = container::contained(spec, environment, places, &seed);
        let host = ctx.config.containers_host().unwrap_or_default();
        let named = (lease.to_string(), host, ctx.operator.pubkey().to_string());
        let access = container::access(&contained, &seed, named);
        let promise = Promise {
            request: address.to_string(),
            deadline_slot: request.deadline_slot.get(),
            tenant: tenant.to_string(),
            units: terms.units,
            weights: String::new(),
            model: String::new(),
            key_hash: String::new(),
            max_concurrent: 0,
            access: serde_json::to_string(&access).unwrap_or_default(),
            container: Some(contained),
        };
        // Beside what it may use, a proof of its units is made, and its sessions take memory that is not its own.
        let proof = ctx.proof_bytes.saturating_mul(terms.units.into());
        let sessions = (config.sessions as u64 * MEMORY_MIB) << 20;
        let plan = memory::Plan {
            weights: 0,
            pool: memory,
            scratch: proof.saturating_add(sessions),
        };
        Ok(Wish {
            lease,
            promise,
            plan,
            floor: None,
        })
    }

    async fn read_endpoint(&self, address: &Pubkey, request: &Request) -> Result<Wish, Decline> {
        let (ctx, terms) = (&self.shared.ctx, &request.terms);
        let model = Pubkey::new_from_array(terms.model);
        let read = ctx.chain.account::<Model>(&model);
        let unknown = |error: mythic_client::ClientError| Decline::Chain(error.to_string());
        let (_, model) = read.await.map_err(unknown)?.ok_or(Decline::Model)?;
        let local = ctx.models.iter().find(|local| local.is(&model));
        let local = local.ok_or(Decline::Model)?;
        let spec = self.spec(address, request).await?.endpoint()?;
        let most = ctx.config.max_concurrent * usize::from(terms.units);
        if spec.max_concurrent > most {
            return Err(Decline::Concurrent(most));
        }
        let floor = spec.min_tokens_per_second;
        let lease = market::address::lease(address);
        let model = model_id(model.name.as_str(), &model.identity);
        let access = Access {
            lease: lease.to_string(),
            base_url: ctx.origin.at("/v1"),
            model: model.clone(),
            max_concurrent: spec.max_concurrent,
            operator: ctx.operator.pubkey().to_string(),
            min_tokens_per_second: floor,
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
            container: None,
        };
        let weights = std::fs::metadata(&local.path).map_or(0, |file| file.len());
        let plan = memory::Plan {
            weights,
            pool: ctx.config.kv_bytes.saturating_mul(terms.units.into()),
            scratch: 0,
        };
        Ok(Wish {
            lease,
            promise,
            plan,
            floor,
        })
    }

    /// Writes a promise and takes its lease into care, if all that it needs is left.
    async fn keep(&self, request: &Request, wish: Wish) -> Result<(), Decline> {
        let (ctx, desk) = (&self.shared.ctx, &self.shared.desk);
        let Wish {
            lease,
            promise,
            mut plan,
            ..
        } = wish;
        let _one = self.one.lock().await;
        if desk.has(&lease) {
            return Ok(());
        }
        // An image may have taken long.
        fit::fits(request, &ctx.provider(), ctx.slot())?;
        if let Some(contained) = &promise.container {
            // Another one may have been promised them meanwhile.
            if container::is_taken(contained, &desk.taken()) {
                return Err(Decline::Ports);
            }
            self.check_disk(contained)?;
        }
        // What containers in care may come to use is as good as used.
        plan.pool = plan.pool.saturating_add(desk.memory_mib() << 20);
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
        plan.check().map_err(|error| {
            Decline::Memory(match &promise.container {
                Some(_) => format!(
                    "all containers here, its sessions and a proof may need {} MiB, and {} MiB are available",
                    (plan.pool + plan.scratch) >> 20,
                    error.available >> 20
                ),
                None => error.to_string(),
            })
        })?;
        let unknown = |error: mythic_client::ClientError| Decline::Chain(error.to_string());
        let balance = ctx.read_balance().await.map_err(unknown)?;
        let promised = desk.promised(Instant::now());
        fit::is_left(request, &ctx.provider(), promised, (balance, &ctx.needs))?;
        let kept = ctx.journal.keep(&lease, &promise);
        kept.map_err(|error| Decline::Journal(error.to_string()))?;
        self.begin(lease, promise);
        Ok(())
    }

    /// Whether the machine has room for one more disk, whatever the others come to hold.
    fn check_disk(&self, contained: &Contained) -> Result<(), Decline> {
        let runtime = self.shared.containers.runtime();
        let runtime = runtime.ok_or(Decline::Container)?;
        let left = runtime.room(&self.shared.desk.disks());
        let left = left.map_err(|error| Decline::Runtime(format!("{error:#}")))?;
        let asked = contained.spec.disk_mib;
        match u64::from(asked) <= left {
            true => Ok(()),
            false => Err(Decline::Disk { asked, left }),
        }
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
