//! The validators as this gateway knows them: from the chain, from their own announcements, from its own experience.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use mythic_client::Commitment;
use mythic_interface::{
    params::Rules,
    state::{Validator, ValidatorStatus},
};
use mythic_wire::{ANNOUNCE_SECONDS, Announcement, allowance::Allowance, parse_hex32};
use parking_lot::Mutex;
use solana_pubkey::Pubkey;

use crate::{
    chain::{Chain, errors::chain_error},
    error::ApiResult,
    fleet::{
        record::{Breaker, Load, LoadGuard, Speed, SuccessRate},
        routing::{Fleet, NoChoice, Node, Request, Router},
    },
};

/// How long the list of validators is believed before it is read again.
const LIST_LIFE: Duration = Duration::from_secs(5);
/// After so long an old list is not believed any more, even while it is read again.
const LIST_LIMIT: Duration = Duration::from_secs(60);
/// Nobody makes the list be read more often than this.
const LIST_PAUSE: Duration = Duration::from_secs(1);
/// Authorities that are known not to be registered, and how long that is believed.
const STRANGERS: usize = 4_096;
const STRANGER_LIFE: Duration = Duration::from_secs(10);
/// Authorities that the chain is asked for at once because the list does not have them, and how soon for one more: whoever asks for
/// many is told what the list says.
const LOOKUPS: (u32, Duration) = (20, Duration::from_millis(200));
/// Prompt beginnings remembered per validator.
const PREFIXES: usize = 256;
/// Jobs that may wait at a validator beside those that it works on.
const AHEAD: u64 = 1;
/// Jobs at once that are believed.
const MOST_CONCURRENT: u32 = 1_024;
/// Jobs given at once to a validator that has not announced how many it takes.
const UNANNOUNCED: u64 = 4;
/// A validator that declined for want of a place is not asked again for so long.
const FULL: Duration = Duration::from_millis(500);

#[derive(Default)]
struct Entry {
    load: Arc<Load>,
    breaker: Breaker,
    success: SuccessRate,
    speed: Speed,
    last: u64,
    full_until: Option<Instant>,
    prefixes: VecDeque<u64>,
    announced: Option<(Instant, Announcement)>,
}

/// How a dispatch went, for the validator's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It answered.
    Good,
    /// It failed by its own fault.
    Bad,
    /// Declined, or the client went away.
    Neutral,
}

/// The validators registered on chain.
#[derive(Clone)]
struct Listed {
    at: Instant,
    slot: u64,
    validators: Arc<Vec<Validator>>,
}

/// All validators.
pub struct Validators {
    chain: Arc<Chain>,
    denied: Vec<[u8; 32]>,
    entries: Mutex<HashMap<[u8; 32], Entry>>,
    dispatches: std::sync::atomic::AtomicU64,
    list: Mutex<Option<Listed>>,
    /// One reads, the others wait or go on with what is known.
    reading: tokio::sync::Mutex<()>,
    stale: AtomicBool,
    strangers: Mutex<HashMap<[u8; 32], Instant>>,
    lookups: Allowance<()>,
}

fn fresh(announced: &Option<(Instant, Announcement)>, now: Instant) -> Option<&Announcement> {
    announced
        .as_ref()
        .filter(|(at, _)| now.duration_since(*at) < Duration::from_secs(3 * ANNOUNCE_SECONDS))
        .map(|(_, announcement)| announcement)
}

impl Validators {
    /// Nothing is known yet; `chain` tells. The authorities `denied` are never given a job.
    pub fn new(chain: Arc<Chain>, denied: Vec<[u8; 32]>) -> Self {
        Self {
            chain,
            denied,
            entries: Mutex::default(),
            dispatches: std::sync::atomic::AtomicU64::new(0),
            list: Mutex::default(),
            reading: tokio::sync::Mutex::default(),
            stale: AtomicBool::new(false),
            strangers: Mutex::default(),
            lookups: Allowance::new(LOOKUPS.0, LOOKUPS.1, 1),
        }
    }

    fn known(&self, life: Duration) -> Option<Listed> {
        self.list
            .lock()
            .clone()
            .filter(|list| list.at.elapsed() < life)
    }

    /// Validators registered on chain, at most 5 seconds old, with the slot of reading. One call reads; meanwhile the others go on
    /// with a list of up to a minute, and wait only where there is none.
    pub async fn registered(&self) -> ApiResult<(u64, Arc<Vec<Validator>>)> {
        let life = if self.stale.load(Ordering::Relaxed) {
            LIST_PAUSE
        } else {
            LIST_LIFE
        };
        if let Some(list) = self.known(life) {
            return Ok((list.slot, list.validators));
        }
        let reading = match self.reading.try_lock() {
            Ok(reading) => reading,
            Err(_) => match self.known(LIST_LIMIT) {
                Some(list) => return Ok((list.slot, list.validators)),
                None => self.reading.lock().await,
            },
        };
        if let Some(list) = self.known(LIST_PAUSE) {
            return Ok((list.slot, list.validators));
        }
        let read = self.read().await;
        drop(reading);
        match (read, self.known(LIST_LIMIT)) {
            (Ok(list), _) | (Err(_), Some(list)) => Ok((list.slot, list.validators)),
            (Err(error), None) => Err(error),
        }
    }

    async fn read(&self) -> ApiResult<Listed> {
        let client = &self.chain.client;
        let slot = client
            .slot(Commitment::Processed)
            .await
            .map_err(chain_error)?;
        let found = client
            .program_accounts::<Validator>(&[], Commitment::Processed)
            .await
            .map_err(chain_error)?;
        let listed = Listed {
            at: Instant::now(),
            slot,
            validators: Arc::new(found.into_iter().map(|(_, validator)| validator).collect()),
        };
        *self.list.lock() = Some(listed.clone());
        self.stale.store(false, Ordering::Relaxed);
        Ok(listed)
    }

    /// Something may have changed: read the list again next time, at most once a second.
    pub fn forget(&self) {
        self.stale.store(true, Ordering::Relaxed);
    }

    /// What a validator says of itself, after its signature was checked.
    pub fn announce(&self, authority: [u8; 32], announcement: Announcement) {
        self.entries.lock().entry(authority).or_default().announced =
            Some((Instant::now(), announcement));
    }

    /// The picture that the router decides on.
    pub async fn fleet(&self, rules: &Rules, price: (u32, u32)) -> ApiResult<Fleet> {
        let (slot, validators) = self.registered().await?;
        let entries = self.entries.lock();
        Ok(self.pictures(&entries, &validators, slot, (rules, price)))
    }

    fn pictures(
        &self,
        entries: &HashMap<[u8; 32], Entry>,
        validators: &[Validator],
        slot: u64,
        (rules, price): (&Rules, (u32, u32)),
    ) -> Fleet {
        let now = Instant::now();
        let nodes = validators
            .iter()
            .filter(|validator| !self.denied.contains(&validator.authority))
            .map(|validator| {
                let entry = entries.get(&validator.authority);
                let announcement = entry.and_then(|entry| fresh(&entry.announced, now));
                picture(validator, (entry, announcement, now), (slot, rules, price))
            })
            .collect();
        Fleet { nodes }
    }

    /// Picks the validator for a request and takes its load, in one step. `wanted` = the client named one.
    pub async fn choose(
        &self,
        request: &Request<'_>,
        rules: &Rules,
        price: (u32, u32),
        wanted: Option<Pubkey>,
    ) -> ApiResult<Result<(Node, LoadGuard), NoChoice>> {
        let (slot, validators) = self.registered().await?;
        let mut entries = self.entries.lock();
        let mut fleet = self.pictures(&entries, &validators, slot, (rules, price));
        if let Some(wanted) = wanted {
            fleet.nodes.retain(|node| {
                mythic_client::pda::validator(Pubkey::new_from_array(node.validator)) == wanted
            });
        }
        Ok(Router::pick(request, &fleet).map(|at| {
            let node = fleet.nodes.swap_remove(at);
            let entry = entries.entry(node.validator).or_default();
            entry.breaker.on_dispatch(Instant::now());
            entry.last = self.dispatches.fetch_add(1, Ordering::Relaxed) + 1;
            if !entry.prefixes.contains(&request.prefix) {
                if entry.prefixes.len() >= PREFIXES {
                    entry.prefixes.pop_front();
                }
                entry.prefixes.push_back(request.prefix);
            }
            let guard = LoadGuard::take(&entry.load, request.tokens);
            (node, guard)
        }))
    }

    /// It declined for want of a place.
    pub fn full(&self, authority: [u8; 32]) {
        let mut entries = self.entries.lock();
        let entry = entries.entry(authority).or_default();
        entry.breaker.on_neutral();
        entry.full_until = Some(Instant::now() + FULL);
    }

    /// A real job of `tokens` tokens took `time` from its first to its last.
    pub fn measured(&self, authority: [u8; 32], tokens: u32, time: Duration) {
        self.entries
            .lock()
            .entry(authority)
            .or_default()
            .speed
            .add(tokens, time);
    }

    /// Breakers that are open now.
    pub fn open_breakers(&self) -> usize {
        let now = Instant::now();
        self.entries
            .lock()
            .values()
            .filter(|entry| !entry.breaker.allows(now))
            .count()
    }

    /// Notes how a dispatch went.
    pub fn report(&self, authority: [u8; 32], verdict: Verdict) {
        let mut entries = self.entries.lock();
        let entry = entries.entry(authority).or_default();
        match verdict {
            Verdict::Good => {
                entry.breaker.on_success();
                entry.success.add(true, Instant::now());
            }
            Verdict::Bad => {
                entry.breaker.on_failure(Instant::now());
                entry.success.add(false, Instant::now());
            }
            Verdict::Neutral => entry.breaker.on_neutral(),
        }
    }

    /// Announcements of the last half minute, by authority.
    pub fn announcements(&self) -> HashMap<[u8; 32], Announcement> {
        let now = Instant::now();
        self.entries
            .lock()
            .iter()
            .filter_map(|(authority, entry)| {
                fresh(&entry.announced, now).map(|announcement| (*authority, announcement.clone()))
            })
            .collect()
    }

    /// The registered validator with this authority, read anew if the list does not have it.
    pub async fn by_authority(&self, authority: &Pubkey) -> ApiResult<Option<Validator>> {
        let (_, validators) = self.registered().await?;
        if let Some(found) = validators
            .iter()
            .find(|validator| validator.authority == authority.to_bytes())
        {
            return Ok(Some(*found));
        }
        if let Some(at) = self.strangers.lock().get(&authority.to_bytes())
            && at.elapsed() < STRANGER_LIFE
        {
            return Ok(None);
        }
        if !self.lookups.take(&(), Instant::now()) {
            return Ok(None);
        }
        let address = mythic_client::pda::validator(authority);
        let found = self
            .chain
            .client
            .account::<Validator>(&address)
            .await
            .map_err(chain_error)?
            .map(|(_, validator)| validator);
        if found.is_none() {
            let mut strangers = self.strangers.lock();
            if strangers.len() >= STRANGERS {
                strangers.retain(|_, at| at.elapsed() < STRANGER_LIFE);
            }
            if strangers.len() < STRANGERS {
                strangers.insert(authority.to_bytes(), Instant::now());
            }
        }
        Ok(found)
    }

    /// Where a validator is reached: as it announced itself, else as the chain says.
    pub fn endpoint(&self, validator: &Validator) -> String {
        let entries = self.entries.lock();
        let announced = entries
            .get(&validator.authority)
            .and_then(|entry| fresh(&entry.announced, Instant::now()));
        endpoint(validator, announced)
    }
}

/// Output tokens a second that nodes say they made together in recent work; none where none says any. Anybody
/// who registers may say anything.
pub fn capacity<'a>(announced: impl Iterator<Item = &'a Announcement>) -> Option<f64> {
    announced
        .filter_map(|announcement| announcement.all_tokens_per_second)
        .filter(|speed| speed.is_finite() && *speed >= 0.0)
        .reduce(|sum, speed| sum + speed)
}

fn endpoint(validator: &Validator, announced: Option<&Announcement>) -> String {
    announced
        .map_or(validator.endpoint.as_str(), |announcement| {
            announcement.endpoint.as_str()
        })
        .trim_end_matches('/')
        .to_owned()
}

/// A validator as the router sees it at `now`, from what is known of it, at `slot` under these rules and prices.
fn picture(
    validator: &Validator,
    (entry, announced, now): (Option<&Entry>, Option<&Announcement>, Instant),
    (slot, rules, price): (u64, &Rules, (u32, u32)),
) -> Node {
    let (own_jobs, own_tokens) =
        entry.map_or((0, 0), |entry| (entry.load.jobs(), entry.load.tokens()));
    let open = u64::from(validator.open_jobs.get()).max(own_jobs);
    let offered = |address: &[u8; 32]| {
        announced.is_none_or(|announcement| {
            announcement.models.iter().any(|model| {
                parse_hex32(&model.identity).is_some_and(|identity| {
                    mythic_client::pda::model(&identity).to_bytes() == *address
                }) && model.min_price_in <= price.0
                    && model.min_price_out <= price.1
            })
        })
    };
    let speed = announced
        .and_then(|announcement| announcement.tokens_per_second)
        .filter(|speed| speed.is_finite() && *speed > 0.0);
    Node {
        validator: validator.authority,
        operator: validator.operator,
        endpoint: endpoint(validator, announced),
        models: validator
            .served()
            .iter()
            .map(|served| served.model)
            .filter(offered)
            .collect(),
        context: announced
            .and_then(|announcement| {
                announcement
                    .models
                    .iter()
                    .map(|model| model.context_length)
                    .max()
            })
            .unwrap_or(0),
        eligible: validator.header.status == ValidatorStatus::Active as u8
            && validator.active_stake(slot) >= rules.min_stake.get()
            && announced.is_none_or(|announcement| !announcement.draining),
        headroom: validator.capacity(slot, rules).saturating_sub(open),
        largest_ceiling: validator.largest_ceiling(slot, rules),
        queued_tokens: announced
            .map_or(0, |announcement| announcement.queued_tokens)
            .max(own_tokens),
        running: own_jobs,
        concurrent: announced.map_or(1, |announcement| announcement.max_concurrent.max(1).into()),
        places: announced.map_or(UNANNOUNCED, |announcement| {
            u64::from(announcement.max_concurrent.clamp(1, MOST_CONCURRENT)) + AHEAD
        }),
        full: entry.is_some_and(|entry| entry.full_until.is_some_and(|until| now < until)),
        measured_milli: entry.map_or(0, |entry| entry.speed.milli()),
        // Bounded before the cast: a validator may claim anything.
        claimed_milli: speed.map_or(0, |speed| (speed * 1_000.0).clamp(1.0, 1e9) as u64),
        last: entry.map_or(0, |entry| entry.last),
        success_milli: entry.map_or(1_000, |entry| entry.success.milli(now)),
        breaker_allows: entry.is_none_or(|entry| entry.breaker.allows(now)),
        warm_prefixes: entry.map_or(Vec::new(), |entry| entry.prefixes.iter().copied().collect()),
        announced: announced.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::Zeroable;
    use mythic_interface::{
        le::{Text, U32, U64},
        params::Params,
        state::ServedModel,
    };

    const IDENTITY: [u8; 32] = [9; 32];

    fn validator() -> Validator {
        let mut v = Validator::zeroed();
        v.header.status = ValidatorStatus::Active as u8;
        v.authority = [1; 32];
        v.stake = U64::new(1_000_000_000);
        v.endpoint = Text::new("http://chain/").unwrap();
        v.model_count = 1;
        v.models[0] = ServedModel {
            model: mythic_client::pda::model(&IDENTITY).to_bytes(),
            since_slot: U64::new(1),
        };
        v
    }

    fn announcement() -> Announcement {
        Announcement {
            validator: Pubkey::new_from_array([1; 32]).to_string(),
            endpoint: "http://said".into(),
            version: "1".into(),
            models: vec![mythic_wire::OfferedModel {
                identity: hex::encode(IDENTITY),
                context_length: 2048,
                min_price_in: 10,
                min_price_out: 10,
            }],
            running: 0,
            queued: 0,
            queued_tokens: 70,
            max_concurrent: 4,
            tokens_per_second: Some(f64::MAX),
            all_tokens_per_second: None,
            draining: false,
        }
    }

    fn see(v: &Validator, announced: Option<&Announcement>, price: (u32, u32)) -> Node {
        let rules = Params::mainnet().rules;
        picture(v, (None, announced, Instant::now()), (10, &rules, price))
    }

    #[test]
    fn a_silent_validator_is_known_from_the_chain() {
        let node = see(&validator(), None, (1, 1));
        assert!(node.eligible && !node.announced);
        assert_eq!(
            (node.endpoint.as_str(), node.headroom, node.models.len()),
            ("http://chain", 20, 1)
        );
    }

    #[test]
    fn an_announcement_goes_before_and_is_not_believed_beyond_reason() {
        let node = see(&validator(), Some(&announcement()), (10, 10));
        assert_eq!(
            (
                node.endpoint.as_str(),
                node.queued_tokens,
                node.claimed_milli
            ),
            ("http://said", 70, 1_000_000_000)
        );
        assert!(
            see(&validator(), Some(&announcement()), (9, 10))
                .models
                .is_empty(),
            "asks a higher price"
        );
        let draining = Announcement {
            draining: true,
            ..announcement()
        };
        assert!(!see(&validator(), Some(&draining), (10, 10)).eligible);
    }

    #[test]
    fn the_network_makes_what_its_nodes_make_however_many_jobs_they_run_at_once() {
        let nodes = [Some(40.0), Some(2.5), Some(-1.0), None].map(|speed| Announcement {
            all_tokens_per_second: speed,
            ..announcement()
        });
        assert!(nodes.iter().all(|node| node.max_concurrent > 1));
        assert_eq!(capacity(nodes.iter()), Some(42.5));
        assert_eq!(capacity([announcement()].iter()), None);
    }

    #[test]
    fn stake_bounds_the_jobs_and_jail_ends_them() {
        let mut v = validator();
        v.open_jobs = U32::new(20);
        assert_eq!(see(&v, None, (1, 1)).headroom, 0);
        v.header.status = ValidatorStatus::Jailed as u8;
        assert!(!see(&v, None, (1, 1)).eligible);
    }
}
