//! What runs beside the pump while an indexer holds the lease.

use std::collections::HashSet;
use std::time::Duration;

use mythic_interface::state::Key;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::ask::Rpc;
use super::follow::{Fed, Follower};
use super::heal::Healer;
use super::window::Start;
use crate::config::{IndexerConfig, SourceKind};
use crate::error::IndexerError;
use crate::plan::State;
use crate::telemetry::Telemetry;
use crate::tree::{BankId, Root};

/// Inputs that may wait for the pump.
const AHEAD: usize = 4;

/// The follower and the healer; they end with this.
#[derive(Debug)]
pub(crate) struct Tasks(Vec<JoinHandle<()>>);

impl Tasks {
    /// Starts what the configuration asks for, from where the tables are; `tracked` are the programs' accounts in them, unless what
    /// is followed must be looked at anew.
    pub fn start(
        config: &IndexerConfig,
        telemetry: &Telemetry,
        (state, schema): (&State, &str),
        tracked: Option<HashSet<Key>>,
    ) -> Result<(Self, mpsc::Receiver<Fed>), IndexerError> {
        let (out, fed) = mpsc::channel(AHEAD);
        let limits = config.rpc_limits();
        let rpc = |url: &Option<String>| {
            let rpc = url.as_deref().map(|url| Rpc::new(url, limits));
            rpc.transpose().map_err(IndexerError::Config)
        };
        let followed = match config.source {
            SourceKind::Rpc => rpc(&config.rpc_url)?,
            SourceKind::Spool | SourceKind::Kafka => None,
        };
        let healer = Healer {
            database_url: config.database_url.clone(),
            schema: schema.to_owned(),
            rpc: rpc(&config.heal_rpc_url)?.or_else(|| followed.clone()),
            limits,
            out: out.clone(),
            telemetry: telemetry.clone(),
        };
        let mut tasks = vec![tokio::spawn(healer.serve())];
        if let Some(rpc) = followed {
            let poll = Duration::from_millis(config.rpc_poll_ms);
            let resume = tracked.and_then(|tracked| resume(state, tracked));
            let root = state.tree.root();
            let follower = Follower::new(rpc, poll, (root, resume), out, telemetry.clone());
            tasks.push(tokio::spawn(follower.follow()));
        }
        Ok((Self(tasks), fed))
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

/// The confirmed chain from the root up, if the root's block is known.
fn resume(state: &State, tracked: HashSet<Key>) -> Option<Start> {
    let Root { slot, hash } = state.tree.root()?;
    let root = BankId { slot, hash: hash? };
    let mut chain = Vec::new();
    let confirmed = state.confirmed.banks.last();
    let mut at = confirmed.and_then(|number| Some(state.banks.get(number)?.id));
    while let Some(node) = at.and_then(|id| state.tree.node(id)) {
        chain.push(node.bank.id);
        at = Some(node.bank.parent);
    }
    if at != Some(root) {
        // What is not known to stand on the root is asked for again.
        chain.clear();
    }
    chain.push(root);
    chain.reverse();
    Some(Start {
        chain,
        tracked,
        doubt: 0,
    })
}
