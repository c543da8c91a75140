//! What a look at everything that the gateway needs has found, and when its parts last answered.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde::Serialize;
use utoipa::ToSchema;

use crate::store::health::{AlarmKind, IndexStatus, Reconciliation, SettlerBeat};

/// How long ago chain and database may last have answered while the gateway counts as ready: a hiccup is not an outage.
const GRACE: Duration = Duration::from_secs(15);

/// When chain and database last answered, and what was last found.
#[derive(Debug, Default)]
pub struct Probe {
    pub chain: Mutex<Option<Instant>>,
    pub database: Mutex<Option<Instant>>,
    pub last: tokio::sync::Mutex<Option<(Instant, Arc<Health>)>>,
    /// When `/readyz` last looked for itself.
    pub looked: tokio::sync::Mutex<Option<Instant>>,
}

impl Probe {
    /// True if `part` answered now or a short while ago.
    pub fn well<T, E>(part: &Mutex<Option<Instant>>, outcome: &Result<T, E>) -> bool {
        if outcome.is_ok() {
            *part.lock() = Some(Instant::now());
        }
        Self::is_well(part)
    }

    /// True if `part` answered a short while ago.
    pub fn is_well(part: &Mutex<Option<Instant>>) -> bool {
        part.lock().is_some_and(|at| at.elapsed() < GRACE)
    }
}

/// How all is.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    pub object: &'static str,
    /// `ok`, `degraded` or `down`.
    pub status: &'static str,
    /// Slots that the index is behind the chain.
    pub index_lag_slots: Option<u64>,
    pub components: Components,
    /// The settler's last comparison of index and chain; null before the first.
    pub reconciliation: Option<Reconciliation>,
    /// Seconds since the gateway started.
    pub uptime_seconds: u64,
    pub version: &'static str,
}

/// What the gateway consists of and needs.
#[derive(Debug, Serialize, ToSchema)]
pub struct Components {
    pub chain: ChainState,
    pub database: Part,
    pub index: IndexState,
    pub settler: SettlerState,
    pub alarms: AlarmsState,
    pub feed: FeedState,
    pub validators: ValidatorsState,
    pub fee_payer: PayerState,
    pub requests: RequestsState,
}

impl Components {
    /// Each component with the states that it can be in, and the one that it is in.
    pub fn states(&self) -> [(&'static str, &'static [&'static str], &'static str); 8] {
        [
            ("chain", &["ok", "down"], self.chain.part.state),
            ("database", &["ok", "down"], self.database.state),
            (
                "index",
                &["ok", "lagging", "waiting", "stale", "down"],
                self.index.part.state,
            ),
            (
                "settler",
                &["ok", "waiting", "stale", "none", "down"],
                self.settler.part.state,
            ),
            ("alarms", &["ok", "raised", "down"], self.alarms.part.state),
            ("feed", &["ok", "down"], self.feed.state),
            (
                "validators",
                &["ok", "none_announced", "down"],
                self.validators.part.state,
            ),
            (
                "fee_payer",
                &["ok", "low", "down"],
                self.fee_payer.part.state,
            ),
        ]
    }
}

/// `ok`, or `down` with the error.
#[derive(Debug, Serialize, ToSchema)]
pub struct Part {
    pub state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Part {
    pub fn of<T>(outcome: &Result<T, String>, state: &'static str) -> Self {
        match outcome {
            Ok(_) => Self { state, error: None },
            Err(error) => Self {
                state: "down",
                error: Some(error.clone()),
            },
        }
    }
}

/// The chain's RPC.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChainState {
    #[serde(flatten)]
    pub part: Part,
    pub slot: Option<u64>,
}

/// `ok`, `lagging`, `waiting` (`waits_for` says for what), `stale` (the indexer has not committed for minutes, or gave no sign
/// of life for 30 s) or `down`, and where the index stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct IndexState {
    #[serde(flatten)]
    pub part: Part,
    #[serde(flatten)]
    pub status: IndexStatus,
}

/// `ok`, `waiting` (`waits_for` says for what), `stale` (it has not compared for minutes, or gave no sign of life for 30 s), `none`
/// (no settler has compared anything on this database) or `down`.
#[derive(Debug, Serialize, ToSchema)]
pub struct SettlerState {
    #[serde(flatten)]
    pub part: Part,
    #[serde(flatten)]
    pub beat: SettlerBeat,
    /// Seconds since its last comparison.
    pub silent_seconds: Option<i64>,
}

/// `ok` or `raised`, with the open alarms by kind.
#[derive(Debug, Serialize, ToSchema)]
pub struct AlarmsState {
    #[serde(flatten)]
    pub part: Part,
    pub kinds: Vec<AlarmKind>,
}

/// The feed's connection to the database.
#[derive(Debug, Serialize, ToSchema)]
pub struct FeedState {
    pub state: &'static str,
    pub newest: i64,
    pub subscribers: usize,
}

/// `ok` or `none_announced`.
#[derive(Debug, Serialize, ToSchema)]
pub struct ValidatorsState {
    #[serde(flatten)]
    pub part: Part,
    pub registered: Option<usize>,
    pub announced: usize,
}

/// `ok` or `low`: the account that pays fees and fronts rent.
#[derive(Debug, Serialize, ToSchema)]
pub struct PayerState {
    #[serde(flatten)]
    pub part: Part,
    pub address: String,
    pub lamports: Option<u64>,
}

/// Requests under way.
#[derive(Debug, Serialize, ToSchema)]
pub struct RequestsState {
    pub state: &'static str,
    pub running: usize,
}
