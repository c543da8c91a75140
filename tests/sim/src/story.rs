//! What happened in one simulated network: the blocks as they are, and what one validator's plugin
//! told of them, in its order. A story is data: it can be printed, played, and made smaller.

/// Number of a block; block 0 is the state that the first run starts from.
pub type BlockId = usize;
/// Number of an account.
pub type AccountId = usize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Vault,
    Grant,
    Job,
    Validator,
    Model,
    Case,
    Votes,
    Output,
    Provider,
    Request,
    Lease,
    LeaseDispute,
}

impl Kind {
    /// Its row is still shown when the account is closed, with the slot of that.
    pub fn stays(self) -> bool {
        !matches!(
            self,
            Self::Vault | Self::Grant | Self::Validator | Self::Model | Self::Provider
        )
    }
}

/// What a transaction does to an account. What the account's state does not allow is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Creates it, also under the address of one that was closed.
    Create,
    /// Changes amounts; takes a job a step further.
    Change(u16),
    /// Names it writable and changes nothing.
    Touch,
    /// Sends lamports to it: anyone can, and the program does not run.
    Dust,
    /// Closes it: no lamports.
    Close,
    /// Closes it: the lamports stay, the owner is another.
    GiveAway,
    /// Leaves content that no row can be made from.
    Spoil(u8),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    pub slot: u64,
    pub parent: Option<BlockId>,
    pub acts: Vec<(AccountId, Act)>,
    /// It ends up on the chain that the network finalizes.
    pub canon: bool,
}

/// Start-up accounts of a run: the state of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Base {
    pub at: BlockId,
    /// Storages also hold older versions of accounts.
    pub old_rows: bool,
    /// One row is lost on the way.
    pub lost_row: bool,
    /// The producer was told other owners: it sees none of our accounts.
    pub wrong_filter: bool,
}

/// What stands behind the last whole frame after a crash of the producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    Clean,
    Zeros(u16),
    Noise(u16),
    /// The first bytes of one more frame, at most so many.
    Half(u16),
    /// Rubbish that the next run does not cut: it comes to the disk after the run has begun.
    Left(u16),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Word {
    Processed,
    Confirmed,
    Rooted,
}

/// How the indexer is disturbed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Its process ends after it has sent so many messages to the database.
    Cut(u16),
    /// Its connections are ended by the server, as when that restarts.
    Disconnect,
    /// A second indexer waits for the lease when the first one ends.
    Handover,
    /// Two indexers run and lose their connections at once: both want the lease.
    Duel,
    /// The server ends its connections while it works on this message; the process lives on.
    Terminate(u16),
    /// The server dies and comes back.
    ServerRestart,
    /// So many batches are committed; of the last one the answer never comes.
    Unanswered(u16),
    /// The positions are again those of the last comparison, as if a backup was laid over them: what was applied since comes again.
    Back,
}

/// One entry of the producer's log, or a moment of the test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    Start {
        base: Option<Base>,
        primed: bool,
    },
    End,
    Break(Tail),
    Create {
        block: BlockId,
        lost: bool,
    },
    Write {
        block: BlockId,
        index: usize,
        lost: bool,
    },
    Seal {
        block: BlockId,
        lost: bool,
    },
    /// A write that is replayed at boot: no bank is announced for it.
    Boot {
        block: BlockId,
        index: usize,
    },
    Status {
        block: BlockId,
        word: Word,
        lost: bool,
    },
    Dead {
        block: BlockId,
    },
    /// An entry of the log of a second producer, which sees the same chain.
    Second(Box<Item>),
    /// A write as no other producer has it: the second one is broken or lies.
    Lie {
        block: BlockId,
        index: usize,
    },
    /// The disk flips bits of the next entry, or of its length.
    Flip {
        length: bool,
    },
    Trouble(Trouble),
    /// The indexer has read all so far: compare everything.
    Check,
}

impl Item {
    /// The block that it tells of.
    pub fn block(&self) -> Option<BlockId> {
        match self {
            Self::Create { block, .. }
            | Self::Write { block, .. }
            | Self::Seal { block, .. }
            | Self::Boot { block, .. }
            | Self::Status { block, .. }
            | Self::Lie { block, .. }
            | Self::Dead { block } => Some(*block),
            Self::Second(item) => item.block(),
            _ => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    pub accounts: Vec<Kind>,
    pub blocks: Vec<Block>,
    pub items: Vec<Item>,
    /// Account updates that one transaction of the indexer holds at most.
    pub batch_updates: usize,
    /// Also compare a rebuild with the live tables at the end.
    pub rebuild: bool,
    /// A segment of a spool is closed at this size, in bytes; none as operators have it.
    pub segment_bytes: Option<u64>,
    /// The indexer has the least memory for what waits, so that larger things wait on disk.
    pub spills: bool,
}

impl Story {
    pub fn producers(&self) -> usize {
        let second = self
            .items
            .iter()
            .any(|item| matches!(item, Item::Second(_)));
        1 + usize::from(second)
    }

    /// Positions go back.
    pub fn has_repeats(&self) -> bool {
        self.items.contains(&Item::Trouble(Trouble::Back))
    }

    /// A second producer tells of a block what the first one does not.
    pub fn has_lie(&self) -> bool {
        let lie =
            |item: &Item| matches!(item, Item::Second(said) if matches!(**said, Item::Lie { .. }));
        self.items.iter().any(lie)
    }

    /// The blocks from the first to `block`.
    pub fn path(&self, block: BlockId) -> Vec<BlockId> {
        let mut path = vec![block];
        let mut at = block;
        while let Some(parent) = self.blocks[at].parent {
            path.push(parent);
            at = parent;
        }
        path.reverse();
        path
    }

    /// Every block that is sealed has a parent that was sealed, or that start-up accounts hold.
    pub fn has_no_gap(&self) -> bool {
        let mut known = vec![false; self.blocks.len()];
        self.items.iter().all(|item| match item {
            Item::Start {
                base: Some(base), ..
            } => {
                known[base.at] = true;
                true
            }
            Item::Seal { block, lost: false } => {
                known[*block] = true;
                self.blocks[*block]
                    .parent
                    .is_some_and(|parent| known[parent])
            }
            _ => true,
        })
    }

    pub fn slot(&self, block: BlockId) -> u64 {
        self.blocks[block].slot
    }
}
