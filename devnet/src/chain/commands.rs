//! What a developer can do to the chain on command: forks, replayed, skipped and dead slots, snapshots.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use solana_account::{AccountSharedData, ReadableAccount};
use solana_clock::Slot;
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_transaction_error::TransactionError;

use super::{Block, Chain, Event, Executed, is_kept_by_the_chain};

/// Snapshots held at once; the oldest goes first.
const MAX_SNAPSHOTS: usize = 16;

/// Why a command was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CommandError {
    #[error(
        "{asked} slots can't be abandoned: {unrooted} are not rooted (1 to {unrooted} are possible)"
    )]
    TooDeep { asked: u64, unrooted: u64 },
    #[error(
        "slot {0} is not an unrooted block of this chain; see getSlot with finalized and processed"
    )]
    NotUnrooted(Slot),
    #[error("transaction {0} is not in slot {1}")]
    NotInSlot(Signature, Slot),
    #[error("{0} slots can't be skipped: 1 to 10000 are possible")]
    SkipCount(u64),
    #[error("there is no snapshot {0}: take one with mythic_snapshot (the last 16 are held)")]
    NoSnapshot(u64),
}

/// What a fork, replay, skip or death did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Block on which the chain goes on.
    pub parent: Slot,
    /// The bank that is open now.
    pub slot: Slot,
    /// Slots that are no longer on the chain; a replayed slot is not among them.
    pub abandoned: Vec<Slot>,
    /// Transactions that landed again.
    pub relanded: Vec<Signature>,
    /// Transactions that could not land again.
    pub dropped: Vec<(Signature, TransactionError)>,
}

impl Chain {
    /// Abandons the last `count` frozen blocks and the open bank, and goes on from the block below them in a slot
    /// that was not used before. Their transactions land again in it, in order, where they still can.
    pub fn fork(&mut self, count: u64, now_ms: i64) -> Result<Moved, CommandError> {
        let unrooted = self.blocks.len() as u64;
        if count == 0 || count > unrooted {
            return Err(CommandError::TooDeep {
                asked: count,
                unrooted,
            });
        }
        let kept = (unrooted - count) as usize;
        let next = self.open.slot.saturating_add(1);
        let mut moved = Moved::default();
        moved.abandoned.push(self.open.slot);
        let open = std::mem::take(&mut self.open.transactions);
        let blocks = self.take_back(kept);
        moved
            .abandoned
            .extend(blocks.iter().map(|block| block.slot));
        moved.abandoned.sort_unstable();
        self.forget_all(&open);
        self.open(next, now_ms);
        let transactions = blocks.iter().flat_map(|block| block.transactions.iter());
        self.land_again(transactions.chain(&open), &mut moved);
        Ok(self.done(moved))
    }

    /// Replays an unrooted slot with other content: without the transactions in `without` (`None` = without any).
    /// The blocks above it are replayed too, as their parent is another block now. What was left out lands again
    /// in the open bank.
    pub fn replay(
        &mut self,
        slot: Slot,
        without: Option<&[Signature]>,
        now_ms: i64,
    ) -> Result<Moved, CommandError> {
        let Some(kept) = self.blocks.iter().position(|block| block.slot == slot) else {
            return Err(CommandError::NotUnrooted(slot));
        };
        let here: HashSet<Signature> = self
            .blocks
            .get(kept)
            .map(|block| block.transactions.iter().map(|tx| tx.signature).collect())
            .unwrap_or_default();
        let out = match without {
            None => here,
            Some(without) => {
                if let Some(missing) = without.iter().find(|signature| !here.contains(signature)) {
                    return Err(CommandError::NotInSlot(*missing, slot));
                }
                without.iter().copied().collect()
            }
        };
        let open_slot = self.open.slot;
        let open = std::mem::take(&mut self.open.transactions);
        let blocks = self.take_back(kept);
        self.forget_all(&open);
        let mut moved = Moved::default();
        let mut left_out = Vec::new();
        for block in &blocks {
            self.open(block.slot, now_ms);
            let (stay, go): (Vec<_>, Vec<_>) = block
                .transactions
                .iter()
                .partition(|tx| !out.contains(&tx.signature));
            left_out.extend(go);
            self.land_again(stay, &mut moved);
            self.freeze();
        }
        self.open(open_slot, now_ms);
        self.land_again(left_out.into_iter().chain(&open), &mut moved);
        Ok(self.done(moved))
    }

    /// Leaves the open slot and the `count - 1` after it without a block. Its transactions land again in the next.
    pub fn skip(&mut self, count: u64, now_ms: i64) -> Result<Moved, CommandError> {
        if count == 0 || count > 10_000 {
            return Err(CommandError::SkipCount(count));
        }
        let first = self.open.slot;
        let next = first.saturating_add(count);
        let moved = Moved {
            abandoned: (first..next).collect(),
            ..Moved::default()
        };
        Ok(self.reopen(next, moved, now_ms))
    }

    /// Declares the block of the open slot invalid. Its transactions land again in the next slot.
    pub fn dead(&mut self, reason: String, now_ms: i64) -> Moved {
        let slot = self.open.slot;
        let parent = self.tip().slot;
        self.events.push(Event::Dead {
            slot,
            parent,
            reason,
        });
        let moved = Moved {
            abandoned: vec![slot],
            ..Moved::default()
        };
        self.reopen(slot.saturating_add(1), moved, now_ms)
    }

    /// Remembers all accounts as the open bank sees them; returns the number by which to come back.
    pub fn snapshot(&mut self) -> u64 {
        let id = self.next_snapshot;
        self.next_snapshot = id.saturating_add(1);
        let accounts = self.user_accounts();
        self.snapshots.insert(id, accounts);
        while self.snapshots.len() > MAX_SNAPSHOTS {
            self.snapshots.pop_first();
        }
        id
    }

    /// Writes every account that differs back to what it was at the snapshot. Slots, time, blockhashes and
    /// signatures go on: a validator's account stream can't run backwards. Returns how many accounts were written.
    pub fn revert(&mut self, id: u64) -> Result<usize, CommandError> {
        let then = self
            .snapshots
            .get(&id)
            .cloned()
            .ok_or(CommandError::NoSnapshot(id))?;
        let now = self.user_accounts();
        let gone = now.keys().filter(|key| !then.contains_key(key));
        let mut writes: Vec<(Pubkey, Option<AccountSharedData>)> =
            gone.map(|key| (*key, None)).collect();
        writes.extend(
            then.into_iter()
                .filter(|(key, account)| now.get(key) != Some(account))
                .map(|(key, account)| (key, Some(account))),
        );
        writes.sort_by_key(|(key, account)| {
            let data = account.as_ref().is_some_and(super::is_program_data);
            (!data, *key)
        });
        let count = writes.len();
        for (key, account) in writes {
            self.ledger.set(key, account.clone());
            self.tell_account(key, account.unwrap_or_default(), None);
        }
        Ok(count)
    }

    fn user_accounts(&self) -> HashMap<Pubkey, AccountSharedData> {
        self.ledger
            .accounts_at(self.open.slot, |_, account| {
                account.lamports() > 0 && !is_kept_by_the_chain(account)
            })
            .into_iter()
            .map(|(key, account, _)| (key, account))
            .collect()
    }

    /// Takes back the open bank and opens `slot` on the same parent.
    fn reopen(&mut self, slot: Slot, mut moved: Moved, now_ms: i64) -> Moved {
        let open = std::mem::take(&mut self.open.transactions);
        self.ledger.undo_above(self.tip().slot);
        self.forget_all(&open);
        self.open(slot, now_ms);
        self.land_again(&open, &mut moved);
        self.done(moved)
    }

    /// Takes back the open bank and all unrooted blocks but the `kept` oldest; returns those blocks.
    pub(super) fn take_back(&mut self, kept: usize) -> Vec<Arc<Block>> {
        let blocks: Vec<_> = self.blocks.drain(kept..).collect();
        self.ledger.undo_above(self.tip().slot);
        for block in &blocks {
            self.hashes.remove(&block.blockhash);
            self.headers.remove(&block.slot);
            self.forget_all(&block.transactions);
        }
        let height = self.tip().height;
        self.hash_order.retain(|(_, of)| *of <= height);
        self.confirmed = self.confirmed.min(height);
        blocks
    }

    pub(super) fn forget_all(&mut self, transactions: &[Arc<Executed>]) {
        for executed in transactions {
            self.history.remove(&executed.signature);
        }
    }

    fn land_again<'a>(
        &mut self,
        transactions: impl IntoIterator<Item = &'a Arc<Executed>>,
        moved: &mut Moved,
    ) {
        for executed in transactions {
            let tx = executed.transaction.clone();
            let landed = self
                .ledger
                .sanitize(tx.clone())
                .and_then(|sanitized| self.execute(tx, sanitized));
            match landed {
                Ok(signature) => moved.relanded.push(signature),
                Err(error) => moved.dropped.push((executed.signature, error)),
            }
        }
    }

    fn done(&self, mut moved: Moved) -> Moved {
        moved.parent = self.tip().slot;
        moved.slot = self.open.slot;
        moved
    }
}
