//! The state from which a follower goes on: its own, where the leader still has the blocks after it; else the leader's.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use mythic_support::Backoff;
use solana_hash::Hash;
use tokio_util::sync::CancellationToken;

use super::leader::{Leader, Unheard};
use super::wire::{Ask, MAX_STATE, Told};
use crate::chain::Mark;
use crate::store::Store;

/// Pauses between two questions.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// Most beginnings of a transfer, each of a newer state than the one before.
const TRANSFERS: u32 = 10;

/// What a directory holds.
struct Here {
    store: Store,
    /// Genesis hash and newest finalized block.
    chain: Option<(Hash, Mark)>,
}

fn open(dir: &Path) -> anyhow::Result<Here> {
    let (store, saved) = Store::open(dir)?;
    let chain = saved.map(|(resume, genesis)| {
        let root = &resume.root;
        (genesis, (root.height, root.blockhash.to_bytes()))
    });
    Ok(Here { store, chain })
}

/// Sees to it that `dir` holds a state that the leader's blocks go on from. Without one of its own it waits for the leader, until
/// `stop`; with one it does not.
pub async fn begin(leader: &Leader, dir: &Path, stop: &CancellationToken) -> anyhow::Result<()> {
    let path = dir.to_path_buf();
    let here = tokio::task::spawn_blocking(move || open(&path)).await;
    let mut here = here.context("reading the state")??;
    if let Some((genesis, root)) = here.chain {
        match leader
            .ask(Some(genesis.to_bytes()), Ask::Blocks(vec![root]))
            .await
        {
            Ok(Told::Gone) => tracing::warn!(
                height = root.0,
                "the leader has no longer what comes after the newest block here: its state takes the place of this one"
            ),
            Ok(told) => return belongs(&told, leader.url()),
            Err(error) => {
                tracing::warn!(%error, "goes on with what is here until the leader answers");
                return Ok(());
            }
        }
    }
    let genesis = here.chain.map(|(genesis, _)| genesis);
    let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
    let bytes = loop {
        match fetch(leader, genesis).await {
            Ok(bytes) => break bytes,
            Err(error) if error.is::<Unheard>() => {
                tracing::warn!(%error, "a follower begins with its leader's state: waiting for it");
            }
            Err(error) => return Err(error),
        }
        if !backoff.wait(stop).await {
            bail!("stopped before the leader was heard");
        }
    };
    let size = bytes.len();
    let installed = move || here.store.install(&bytes, genesis.as_ref());
    let installed = tokio::task::spawn_blocking(installed).await;
    installed.context("writing the leader's state")??;
    tracing::info!(
        bytes = size,
        leader = leader.url(),
        "has the leader's state"
    );
    Ok(())
}

/// Whether an answer is one to blocks of the leader's own chain.
pub fn belongs(told: &Told, leader: &str) -> anyhow::Result<()> {
    match told {
        Told::OtherChain(theirs) => bail!(
            "the leader at {leader} has another chain, of genesis {}: empty data_dir to follow that one",
            Hash::new_from_array(*theirs)
        ),
        Told::Unknown => bail!(
            "the leader at {leader} does not know the newest finalized block here: it lost blocks, or follows another history; \
             empty data_dir to follow it"
        ),
        Told::Refused(reason) => bail!("the leader at {leader} refuses: {reason}"),
        Told::Blocks { .. } | Told::Gone | Told::State(_) => Ok(()),
    }
}

/// The leader's finalized state, as its file would have it.
async fn fetch(leader: &Leader, genesis: Option<Hash>) -> anyhow::Result<Vec<u8>> {
    let genesis = genesis.map(|genesis| genesis.to_bytes());
    let (mut bytes, mut id, mut begun) = (Vec::new(), 0, 0);
    loop {
        let offset = bytes.len() as u64;
        let told = leader.ask(genesis, Ask::State { id, offset }).await?;
        belongs(&told, leader.url())?;
        let Told::State(part) = told else {
            bail!("the leader's answer is none to a question for its state");
        };
        if part.id != id {
            begun += 1;
            (id, bytes) = (part.id, Vec::new());
        }
        let follows = part.offset == bytes.len() as u64 && !part.bytes.is_empty();
        if !follows || part.total > MAX_STATE as u64 || begun > TRANSFERS {
            bail!("the leader's state does not come whole");
        }
        bytes.extend_from_slice(&part.bytes);
        if bytes.len() as u64 >= part.total {
            return Ok(bytes);
        }
    }
}
