//! Which validator gets a request. Pure: `Router::pick` sees a request and a picture of the fleet.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// What routing needs to know of a request.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// Identity of the model.
    pub model: [u8; 32],
    /// Prompt and most output together, in tokens.
    pub tokens: u32,
    /// Hash of the beginning of the prompt, for prefix affinity.
    pub prefix: u64,
    /// Validators that this request has already failed on.
    pub tried: &'a [[u8; 32]],
}

/// A validator as the router sees it.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its authority.
    pub validator: [u8; 32],
    /// Its hot key: signs acceptance.
    pub operator: [u8; 32],
    /// Base URL, without a slash at the end.
    pub endpoint: String,
    /// Models it serves.
    pub models: Vec<[u8; 32]>,
    /// Most tokens that fit, prompt and output; 0 = unknown.
    pub context: u32,
    /// Registered, not jailed, not stopped accepting.
    pub eligible: bool,
    /// Jobs it may still take by its stake, after those this gateway has under way.
    pub headroom: u64,
    /// Tokens waiting there, by its own word and by what this gateway has under way.
    pub queued_tokens: u64,
    /// Tokens a second, thousandths; 0 = not measured.
    pub tokens_per_s_milli: u64,
    /// Share of good outcomes lately, in thousandths.
    pub success_milli: u32,
    /// The breaker lets requests through.
    pub breaker_allows: bool,
    /// It served a prompt with this beginning lately.
    pub warm_prefixes: Vec<u64>,
    /// It announced itself to this gateway lately.
    pub announced: bool,
}

/// All known validators.
#[derive(Debug, Clone, Default)]
pub struct Fleet {
    /// In any order; ties go to the lower authority.
    pub nodes: Vec<Node>,
}

/// Why nobody was picked: the first filter that left nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoChoice {
    /// No registered validator serves the model.
    #[error("no validator serves this model now")]
    Model,
    /// Those that serve it can't hold prompt and output.
    #[error("no validator that serves this model has a context for prompt and output together")]
    Context,
    /// Those that could are down, or failed lately.
    #[error("every validator of this model is unreachable or failed lately")]
    Unhealthy,
    /// Those that are up have no stake free for another job.
    #[error("every validator of this model is at the limit of its stake")]
    Full,
    /// Every one left has been asked for this request.
    #[error("every validator of this model declined or failed on this request")]
    Tried,
}

/// The picking rule.
#[derive(Debug, Clone, Copy)]
pub struct Router;

/// Speed assumed for a validator that has not been measured, thousandths of a token a second.
const UNMEASURED: u64 = 10_000;

/// Why a node is left out, and which stay.
type Filter<'a> = (NoChoice, &'a dyn Fn(&Node) -> bool);

impl Router {
    /// Index of the validator with the least expected wait, or why there is none.
    pub fn pick(request: &Request<'_>, fleet: &Fleet) -> Result<usize, NoChoice> {
        let mut left: Vec<usize> = (0..fleet.nodes.len()).collect();
        let filters: [Filter<'_>; 5] = [
            (NoChoice::Model, &|node| {
                node.eligible && node.models.contains(&request.model)
            }),
            (NoChoice::Context, &|node| {
                node.context == 0 || node.context >= request.tokens
            }),
            (NoChoice::Unhealthy, &|node| {
                node.breaker_allows && !node.endpoint.is_empty()
            }),
            (NoChoice::Full, &|node| node.headroom > 0),
            (NoChoice::Tried, &|node| {
                !request.tried.contains(&node.validator)
            }),
        ];
        for (reason, keep) in filters {
            left.retain(|index| fleet.nodes.get(*index).is_some_and(keep));
            if left.is_empty() {
                return Err(reason);
            }
        }
        left.into_iter()
            .min_by_key(|index| {
                fleet
                    .nodes
                    .get(*index)
                    .map(|node| (Self::score(request, node), node.validator))
            })
            .ok_or(NoChoice::Model)
    }

    /// Expected milliseconds until the answer is whole, worsened by failures; smaller is better.
    pub fn score(request: &Request<'_>, node: &Node) -> u64 {
        let speed = if node.tokens_per_s_milli == 0 {
            UNMEASURED
        } else {
            node.tokens_per_s_milli
        };
        let tokens = node.queued_tokens.saturating_add(u64::from(request.tokens));
        let mut wait = tokens.saturating_mul(1_000_000) / speed;
        if node.warm_prefixes.contains(&request.prefix) {
            wait = wait / 10 * 8;
        }
        if !node.announced {
            wait = wait.saturating_mul(2);
        }
        wait.saturating_mul(1_000) / u64::from(node.success_milli.clamp(50, 1_000))
    }
}

/// Tokens and jobs that this gateway has under way at one validator.
#[derive(Debug, Default)]
pub struct Load {
    tokens: AtomicU64,
    jobs: AtomicU64,
}

impl Load {
    /// Tokens under way.
    pub fn tokens(&self) -> u64 {
        self.tokens.load(Ordering::Relaxed)
    }

    /// Jobs under way.
    pub fn jobs(&self) -> u64 {
        self.jobs.load(Ordering::Relaxed)
    }
}

/// Counts a request while it runs; taken before dispatch, given back on drop.
#[derive(Debug)]
pub struct LoadGuard {
    load: Arc<Load>,
    tokens: u64,
}

impl LoadGuard {
    /// Takes the load of one job of `tokens` tokens.
    pub fn take(load: &Arc<Load>, tokens: u32) -> Self {
        load.tokens.fetch_add(u64::from(tokens), Ordering::Relaxed);
        load.jobs.fetch_add(1, Ordering::Relaxed);
        Self {
            load: load.clone(),
            tokens: u64::from(tokens),
        }
    }
}

impl Drop for LoadGuard {
    fn drop(&mut self) {
        self.load.tokens.fetch_sub(self.tokens, Ordering::Relaxed);
        self.load.jobs.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Failures in a row that open a breaker.
const BREAKER_FAILURES: u32 = 3;
const BREAKER_MIN: Duration = Duration::from_secs(5);
const BREAKER_MAX: Duration = Duration::from_secs(60);

/// Circuit breaker of one validator: opens after three failures in a row, lets one probe through after a pause that
/// doubles from 5 s to 60 s, closes on success.
#[derive(Debug, Clone, Default)]
pub struct Breaker {
    failures: u32,
    pauses: u32,
    open_until: Option<Instant>,
    probing_since: Option<Instant>,
}

impl Breaker {
    /// A request may go through now.
    pub fn allows(&self, now: Instant) -> bool {
        match self.open_until {
            None => true,
            // A probe that never reports frees its place after the longest pause.
            Some(until) => {
                now >= until
                    && self
                        .probing_since
                        .is_none_or(|since| now.duration_since(since) > BREAKER_MAX)
            }
        }
    }

    /// A request goes through; after a pause it is the probe.
    pub fn on_dispatch(&mut self, now: Instant) {
        if self.open_until.is_some() {
            self.probing_since = Some(now);
        }
    }

    /// It went well.
    pub fn on_success(&mut self) {
        *self = Self::default();
    }

    /// It failed by the validator's fault.
    pub fn on_failure(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        let was_probe = self.probing_since.take().is_some();
        if was_probe || self.failures >= BREAKER_FAILURES {
            let pause = BREAKER_MIN
                .saturating_mul(1 << self.pauses.min(4))
                .min(BREAKER_MAX);
            self.open_until = Some(now + pause);
            self.pauses = self.pauses.saturating_add(1);
            self.failures = 0;
        }
    }

    /// Neither well nor its fault (declined, the client went away): a probe's place is given back.
    pub fn on_neutral(&mut self) {
        self.probing_since = None;
    }
}

/// Running share of good outcomes, in thousandths; an old outcome loses an eighth with each new one.
#[derive(Debug, Clone, Copy)]
pub struct SuccessRate(u32);

impl Default for SuccessRate {
    fn default() -> Self {
        Self(1_000)
    }
}

impl SuccessRate {
    /// Adds an outcome.
    pub fn add(&mut self, good: bool) {
        self.0 = (self.0 * 7 + if good { 1_000 } else { 0 } + 4) / 8;
    }

    /// Thousandths.
    pub fn milli(self) -> u32 {
        self.0.min(1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: [u8; 32] = [1; 32];

    fn node(id: u8) -> Node {
        Node {
            validator: [id; 32],
            operator: [id + 100; 32],
            endpoint: "http://n".into(),
            models: vec![MODEL],
            context: 2048,
            eligible: true,
            headroom: 5,
            queued_tokens: 0,
            tokens_per_s_milli: 20_000,
            success_milli: 1_000,
            breaker_allows: true,
            warm_prefixes: vec![],
            announced: true,
        }
    }

    fn request(tried: &[[u8; 32]]) -> Request<'_> {
        Request {
            model: MODEL,
            tokens: 600,
            prefix: 9,
            tried,
        }
    }

    fn pick(nodes: Vec<Node>) -> Result<usize, NoChoice> {
        Router::pick(&request(&[]), &Fleet { nodes })
    }

    #[test]
    fn each_filter_gives_its_reason() {
        assert_eq!(pick(vec![]), Err(NoChoice::Model));
        assert_eq!(
            pick(vec![Node {
                eligible: false,
                ..node(1)
            }]),
            Err(NoChoice::Model)
        );
        assert_eq!(
            pick(vec![Node {
                models: vec![[2; 32]],
                ..node(1)
            }]),
            Err(NoChoice::Model)
        );
        assert_eq!(
            pick(vec![Node {
                context: 512,
                ..node(1)
            }]),
            Err(NoChoice::Context)
        );
        assert_eq!(
            pick(vec![Node {
                breaker_allows: false,
                ..node(1)
            }]),
            Err(NoChoice::Unhealthy)
        );
        assert_eq!(
            pick(vec![Node {
                headroom: 0,
                ..node(1)
            }]),
            Err(NoChoice::Full)
        );
        let tried = [[1; 32]];
        assert_eq!(
            Router::pick(
                &request(&tried),
                &Fleet {
                    nodes: vec![node(1)]
                }
            ),
            Err(NoChoice::Tried)
        );
    }

    #[test]
    fn the_shorter_queue_the_faster_node_and_the_better_record_win() {
        assert_eq!(
            pick(vec![
                Node {
                    queued_tokens: 100,
                    ..node(1)
                },
                node(2)
            ]),
            Ok(1)
        );
        assert_eq!(
            pick(vec![
                node(1),
                Node {
                    tokens_per_s_milli: 40_000,
                    ..node(2)
                }
            ]),
            Ok(1)
        );
        assert_eq!(
            pick(vec![
                Node {
                    success_milli: 500,
                    ..node(1)
                },
                node(2)
            ]),
            Ok(1)
        );
    }

    #[test]
    fn a_warm_prefix_wins_over_a_small_queue_but_not_a_long_one() {
        let warm = Node {
            warm_prefixes: vec![9],
            queued_tokens: 100,
            ..node(1)
        };
        assert_eq!(pick(vec![warm.clone(), node(2)]), Ok(0));
        assert_eq!(
            pick(vec![
                Node {
                    queued_tokens: 5_000,
                    ..warm
                },
                node(2)
            ]),
            Ok(1)
        );
    }

    #[test]
    fn ties_go_to_the_lower_authority() {
        assert_eq!(pick(vec![node(2), node(1)]), Ok(1));
    }

    #[test]
    fn absurd_announcements_do_not_overflow() {
        assert_eq!(
            pick(vec![Node {
                queued_tokens: u64::MAX,
                tokens_per_s_milli: 1,
                success_milli: 0,
                announced: false,
                ..node(1)
            }]),
            Ok(0)
        );
    }

    #[test]
    fn load_is_given_back_on_drop() {
        let load = Arc::new(Load::default());
        let guard = LoadGuard::take(&load, 70);
        assert_eq!((load.tokens(), load.jobs()), (70, 1));
        drop(guard);
        assert_eq!((load.tokens(), load.jobs()), (0, 0));
    }

    #[test]
    fn a_breaker_opens_after_three_failures_probes_once_and_closes() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        breaker.on_failure(now);
        breaker.on_failure(now);
        assert!(breaker.allows(now));
        breaker.on_failure(now);
        assert!(!breaker.allows(now));
        let later = now + Duration::from_secs(5);
        assert!(breaker.allows(later));
        breaker.on_dispatch(later);
        assert!(!breaker.allows(later), "one probe at a time");
        breaker.on_failure(later);
        assert!(
            !breaker.allows(later + Duration::from_secs(9)),
            "the pause doubles"
        );
        let again = later + Duration::from_secs(10);
        assert!(breaker.allows(again));
        breaker.on_dispatch(again);
        breaker.on_success();
        assert!(breaker.allows(again));
    }

    #[test]
    fn a_lost_probe_frees_its_place() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        (0..3).for_each(|_| breaker.on_failure(now));
        let later = now + BREAKER_MIN;
        breaker.on_dispatch(later);
        assert!(!breaker.allows(later + Duration::from_secs(30)));
        assert!(breaker.allows(later + Duration::from_secs(61)));
    }

    #[test]
    fn the_success_rate_falls_and_recovers() {
        let mut rate = SuccessRate::default();
        rate.add(false);
        assert!(rate.milli() < 900);
        (0..60).for_each(|_| rate.add(true));
        assert!(rate.milli() > 980);
    }
}
