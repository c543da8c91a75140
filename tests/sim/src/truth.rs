//! The plain model: the accounts after every block, and the rows that a table must hold for a chain. It
//! knows the story and nothing of how an index is made.

use std::collections::{BTreeMap, BTreeSet};

use crate::accounts::{self, Account, Content};
use crate::story::{AccountId, BlockId, Kind, Story};

/// One account update of a block.
#[derive(Clone, Debug)]
pub struct Write {
    /// Which of the block's acts it is.
    pub act: usize,
    pub account: AccountId,
    pub after: Account,
    /// Neither the content nor the lamports are others than before.
    pub unchanged: bool,
}

/// What an entity is called: the account, and for jobs the slot of the request, for disputes about leases that of the dispute.
pub type Name = (Kind, AccountId, i64);

/// What the true chain says of an entity.
#[derive(Clone, Debug)]
pub struct Expected {
    /// The newest content that a row can be made of, and the block that wrote it; none if there never was any.
    pub row: Option<(Content, BlockId)>,
    /// The block in which that content became what it is, whatever lamports came since.
    pub said: Option<BlockId>,
    /// Block of the newest write that is not just a repetition, of whatever kind.
    pub newest: BlockId,
    /// The newest content can't be read.
    pub spoiled: bool,
    pub closed_in: Option<BlockId>,
    /// In that block the account was closed when it could not be read: closings of one block are told as one, which is doubtful.
    pub doubted: bool,
}

/// Everything that the story's blocks write.
#[derive(Debug)]
pub struct Truth {
    writes: Vec<Vec<Write>>,
    after: Vec<BTreeMap<AccountId, (Account, u64)>>,
}

impl Truth {
    pub fn of(story: &Story) -> Self {
        let mut truth = Self {
            writes: Vec::new(),
            after: Vec::new(),
        };
        for block in &story.blocks {
            let mut state = block
                .parent
                .map(|parent| truth.after[parent].clone())
                .unwrap_or_default();
            let mut writes = Vec::new();
            for (number, (account, act)) in block.acts.iter().enumerate() {
                let Some(kind) = story.accounts.get(*account) else {
                    continue;
                };
                let before = state.get(account).map(|(account, _)| account);
                let Some(after) = accounts::apply(*kind, before, *act, block.slot) else {
                    continue;
                };
                writes.push(Write {
                    act: number,
                    account: *account,
                    unchanged: before == Some(&after),
                    after: after.clone(),
                });
                state.insert(*account, (after, block.slot));
            }
            truth.writes.push(writes);
            truth.after.push(state);
        }
        truth
    }

    /// The write that an act of a block makes, if it makes one.
    pub fn write(&self, block: BlockId, act: usize) -> Option<&Write> {
        self.writes[block].iter().find(|write| write.act == act)
    }

    pub fn writes_to(&self, block: BlockId, account: AccountId) -> bool {
        self.writes[block]
            .iter()
            .any(|write| write.account == account)
    }

    /// The accounts after a block, each with the slot of its newest write; closed ones too.
    pub fn accounts(&self, block: BlockId) -> &BTreeMap<AccountId, (Account, u64)> {
        &self.after[block]
    }

    /// What the chain that ends in `head` says of every entity.
    pub fn expected(&self, story: &Story, head: BlockId) -> BTreeMap<Name, Expected> {
        let mut all: BTreeMap<Name, Expected> = BTreeMap::new();
        // The name under which each account lives at the moment.
        let mut living: BTreeMap<AccountId, Name> = BTreeMap::new();
        let mut unread: BTreeSet<(AccountId, BlockId)> = BTreeSet::new();
        for block in story.path(head) {
            for write in &self.writes[block] {
                let kind = story.accounts[write.account];
                match &write.after {
                    Account::Closed { .. } => {
                        if let Some(name) = living.remove(&write.account)
                            && let Some(entity) = all.get_mut(&name)
                        {
                            if entity.spoiled {
                                unread.insert((write.account, block));
                            }
                            entity.closed_in = Some(block);
                            entity.newest = block;
                        }
                    }
                    Account::Live(content) => {
                        let name = match kind {
                            Kind::Job | Kind::LeaseDispute => {
                                (kind, write.account, content.first_slot() as i64)
                            }
                            _ => (kind, write.account, 0),
                        };
                        living.insert(write.account, name);
                        let entity = all.entry(name).or_insert(Expected {
                            row: None,
                            said: None,
                            newest: block,
                            spoiled: false,
                            closed_in: None,
                            doubted: false,
                        });
                        entity.closed_in = None;
                        entity.spoiled = !content.is_readable();
                        if !write.unchanged {
                            entity.newest = block;
                        }
                        if content.is_readable() && !write.unchanged {
                            let before = entity.row.as_ref().map(|(before, _)| before);
                            if before.is_none_or(|before| !before.says_the_same(content)) {
                                entity.said = Some(block);
                            }
                            entity.row = Some((content.clone(), block));
                        }
                    }
                }
            }
        }
        for ((_, account, _), entity) in &mut all {
            let closed_in = entity.closed_in;
            entity.doubted = closed_in.is_some_and(|block| unread.contains(&(*account, block)));
        }
        all
    }

    /// Every change of a validator's stake on the chain that ends in `head`: slot and values.
    pub fn stakes(&self, story: &Story, head: BlockId, account: AccountId) -> Vec<(i64, [i64; 3])> {
        let mut told: Vec<(i64, [i64; 3])> = Vec::new();
        for block in story.path(head) {
            for write in self.writes[block]
                .iter()
                .filter(|write| write.account == account)
            {
                if let Account::Live(content) = &write.after
                    && content.is_readable()
                {
                    let stake = accounts::stake(content);
                    if told.last().is_none_or(|(_, before)| *before != stake) {
                        told.push((story.slot(block) as i64, stake));
                    }
                }
            }
        }
        told
    }
}
