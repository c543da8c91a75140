//! Heals gaps: reads the program's accounts at finality, waits until our root has passed the block they show and is seen to be on
//! the same chain, and hands them over as a base, which all rows are compared with.
//!
//! Works for whoever asks through the database, and by itself where an RPC is configured.

use std::time::{Duration, Instant};

use mythic_support::Backoff;
use tokio::sync::mpsc;

use super::ask::{Limits, Rpc};
use super::follow::Fed;
use super::request::{self, HealProgress, Unhealed};
use super::snapshot::{self, Snapshot};
use crate::alarms::Kind;
use crate::db::Session;
use crate::error::IndexerError;
use crate::holder::Input;
use crate::telemetry::Telemetry;

/// How often requests and gaps are looked for.
const LOOK: Duration = Duration::from_secs(2);
/// How often it is looked whether what was waited for is there.
const WAIT: Duration = Duration::from_millis(200);
/// How long healing that nobody asked for may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// Pause after healing that failed, doubled up to the second.
const PAUSE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(120));

/// Why healing failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Why(String),
    #[error("its time was over")]
    Late,
    #[error(transparent)]
    Database(#[from] IndexerError),
}

impl From<super::ask::RpcError> for Failure {
    fn from(error: super::ask::RpcError) -> Self {
        Self::Why(error.to_string())
    }
}

/// What healing did.
struct Done {
    slot: u64,
    detail: String,
}

/// See the module's description.
pub(crate) struct Healer {
    pub database_url: String,
    pub schema: String,
    /// The RPC that is configured.
    pub rpc: Option<Rpc>,
    pub limits: Limits,
    pub out: mpsc::Sender<Fed>,
    pub telemetry: Telemetry,
}

impl Healer {
    /// Serves until nobody listens any more.
    pub async fn serve(self) {
        let mut backoff = Backoff::new(LOOK, PAUSE.1);
        while !self.out.is_closed() {
            let error = match Session::open(&self.database_url, "mythic indexer heal").await {
                Ok(mut session) => {
                    backoff.reset();
                    self.look(&mut session).await
                }
                Err(error) => error,
            };
            tracing::warn!("healing waits for the database: {error}");
            tokio::time::sleep(backoff.pause()).await;
        }
    }

    /// Serves until the database fails.
    async fn look(&self, session: &mut Session) -> IndexerError {
        let mut backoff = Backoff::new(PAUSE.0, PAUSE.1);
        let mut not_before = Instant::now();
        loop {
            tokio::time::sleep(LOOK).await;
            let by_itself = self.rpc.is_some() && Instant::now() >= not_before;
            let (request, unhealed) = match self.work(session).await {
                Ok(work) => work,
                Err(error) => return error,
            };
            let asked = request.is_some();
            if !asked && (!by_itself || unhealed.count == 0) {
                continue;
            }
            match self.heal(session, request, unhealed).await {
                Ok(()) => backoff.reset(),
                Err(Failure::Database(error)) => return error,
                Err(failure) => {
                    self.telemetry.heals.with_label_values(&["failed"]).inc();
                    tracing::warn!("healing failed: {failure}");
                    if !asked {
                        not_before = Instant::now() + backoff.pause();
                    }
                }
            }
        }
    }

    async fn work(
        &self,
        session: &mut Session,
    ) -> Result<(Option<request::Request>, Unhealed), IndexerError> {
        let request = request::next(session).await?;
        Ok((request, request::unhealed(session, &self.schema).await?))
    }

    async fn heal(
        &self,
        session: &mut Session,
        request: Option<request::Request>,
        unhealed: Unhealed,
    ) -> Result<(), Failure> {
        let id = request.as_ref().map(|request| request.id);
        let patience = request.as_ref().map_or(PATIENCE, |request| request.left);
        let url = request.and_then(|request| request.rpc_url);
        let rpc = match (url, &self.rpc) {
            (Some(url), _) => Rpc::new(&url, self.limits).map_err(Failure::Why),
            (None, Some(rpc)) => Ok(rpc.clone()),
            (None, None) => Err(Failure::Why(
                "no RPC to heal from: set heal_rpc_url, or name one with --from".into(),
            )),
        };
        let healed = match rpc {
            Ok(rpc) => {
                let healing = self.compare(session, &rpc, unhealed, id);
                let in_time = tokio::time::timeout(patience, healing).await;
                in_time.unwrap_or_else(|_| Err(Failure::Late))
            }
            Err(failure) => Err(failure),
        };
        let (state, slot, detail) = match &healed {
            Ok(done) => ("done", Some(done.slot), done.detail.clone()),
            Err(Failure::Why(why)) => ("failed", None, why.clone()),
            // The next look ends what is over, with what it waited for; and whoever holds the lease next takes the rest up again.
            Err(Failure::Late | Failure::Database(_)) => return healed.map(|_| ()),
        };
        if let Ok(done) = &healed {
            self.telemetry.heals.with_label_values(&["done"]).inc();
            tracing::info!(slot = done.slot, "{}", done.detail);
        }
        tell(session, id, state, slot, &detail).await?;
        healed.map(|_| ())
    }

    async fn compare(
        &self,
        session: &mut Session,
        rpc: &Rpc,
        unhealed: Unhealed,
        id: Option<i64>,
    ) -> Result<Done, Failure> {
        if unhealed.count == 0 {
            let slot = request::root(session, &self.schema).await?.unwrap_or(0);
            return Ok(Done {
                slot,
                detail: "nothing to heal".into(),
            });
        }
        self.check_chain(session, rpc).await?;
        let told = format!("reading the accounts from {}", rpc.at());
        tell(session, id, "reading", None, &told).await?;
        let snapshot = snapshot::take(rpc, unhealed.last).await?;
        self.link(session, rpc, &snapshot, id).await?;
        let (low, accounts) = (snapshot.low, snapshot.accounts);
        let told = format!("comparing all rows with {} accounts", accounts.len());
        tell(session, id, "writing", Some(low.slot), &told).await?;
        let count = accounts.len();
        let base = Input::Base {
            run: rand::random(),
            slot: low.slot,
            as_of: Some(low),
            accounts: accounts.into(),
        };
        self.feed(base).await?;
        loop {
            let left = request::unhealed(session, &self.schema).await?;
            if left.count == 0 || left.first > low.slot {
                break;
            }
            tokio::time::sleep(WAIT).await;
        }
        Ok(Done {
            slot: low.slot,
            detail: format!(
                "slots {} to {} are healed: all rows were compared with the {count} accounts of slot {}",
                unhealed.first, unhealed.last, low.slot
            ),
        })
    }

    async fn check_chain(&self, session: &mut Session, rpc: &Rpc) -> Result<(), Failure> {
        let (ours, theirs) = (request::genesis(session).await?, rpc.genesis().await?);
        let text = |hash: [u8; 32]| bs58::encode(hash).into_string();
        match ours.filter(|ours| *ours != theirs) {
            None => Ok(()),
            Some(ours) => Err(Failure::Why(format!(
                "the database belongs to the chain with genesis {}, RPC {} to {}: name an RPC of the same chain",
                text(ours),
                rpc.at(),
                text(theirs)
            ))),
        }
    }

    /// Waits until our root has passed what the snapshot shows, and checks that both speak of one chain.
    async fn link(
        &self,
        session: &mut Session,
        rpc: &Rpc,
        snapshot: &Snapshot,
        id: Option<i64>,
    ) -> Result<(), Failure> {
        let (low, high) = (snapshot.low, snapshot.high);
        let mut said = None;
        loop {
            let root = request::root(session, &self.schema).await?;
            if root.is_some_and(|root| root >= high) {
                break;
            }
            if said != root {
                said = root;
                let at = root.map_or("no block".into(), |root| format!("slot {root}"));
                let told = format!(
                    "waiting for finality here, {at}, to reach slot {high}, which RPC {} shows",
                    rpc.at()
                );
                tell(session, id, "linking", Some(low.slot), &told).await?;
            }
            tokio::time::sleep(WAIT).await;
        }
        match request::rooted_at(session, &self.schema, low.slot).await? {
            Some(ours) if ours == low => Ok(()),
            Some(_) => {
                let detail = format!(
                    "RPC {} finalizes another block than the one that is final here; its accounts are not used",
                    rpc.at()
                );
                self.feed(Input::Refused {
                    run: rand::random(),
                    kind: Kind::RootConflict,
                    slot: low.slot,
                    detail: detail.clone(),
                })
                .await?;
                Err(Failure::Why(detail))
            }
            None => Err(Failure::Why(format!(
                "block {} was not seen here, so nothing says that RPC {} is on the same chain; try again",
                low.slot,
                rpc.at()
            ))),
        }
    }

    async fn feed(&self, input: Input) -> Result<(), Failure> {
        let fed = Fed {
            producer: "heal".into(),
            inputs: vec![input],
        };
        let closed = |_| Failure::Why("the indexer stops".into());
        self.out.send(fed).await.map_err(closed)
    }
}

async fn tell(
    session: &mut Session,
    id: Option<i64>,
    state: &str,
    slot: Option<u64>,
    detail: &str,
) -> Result<(), IndexerError> {
    let Some(id) = id else { return Ok(()) };
    let progress = HealProgress {
        state: state.into(),
        slot,
        detail: detail.into(),
    };
    request::tell(session, id, &progress).await
}
