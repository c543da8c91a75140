//! What a story is made from: the blocks as they are, and what the validator does.

use std::collections::BTreeSet;

use crate::profile::Mix;
use crate::rng::Rng;
use crate::story::{Base, Block, BlockId, Kind, Tail};

/// What the validator does, in its order.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Replays a block.
    Bank(BlockId),
    Restart(Restart),
}

#[derive(Clone, Debug)]
pub(crate) struct Restart {
    /// Start-up accounts, or none when the plugin alone is loaded again.
    pub base: Option<Base>,
    /// Blocks replayed at boot, without banks.
    pub boot: Vec<BlockId>,
    /// The newest finalized block that the new run starts from, as a place in the true chain.
    pub root: Option<usize>,
    /// How it ended before; none = cleanly.
    pub tail: Option<Tail>,
}

/// A plan under construction.
pub(crate) struct Plan {
    pub rng: Rng,
    /// For what came to the simulation later: what the other draws stays the same.
    pub later: Rng,
    pub mix: Mix,
    pub accounts: Vec<Kind>,
    /// The first so many accounts are written to.
    pub active: usize,
    pub blocks: Vec<Block>,
    /// The true chain.
    pub canon: Vec<BlockId>,
    pub steps: Vec<Step>,
    /// Blocks of the true chain between the newest one and the finalized one.
    pub lag: usize,
    /// Blocks that are confirmed and end up on no chain.
    pub abandoned: BTreeSet<BlockId>,
    pub living: Vec<BTreeSet<usize>>,
    pub slots: BTreeSet<u64>,
}
