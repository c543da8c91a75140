//! A row of the log of events, and what it says to the projection.

use std::collections::HashMap;

use tokio_postgres::Row;

use crate::alarms::Kind;
use crate::error::IndexerError;
use crate::holder::{BaseAccounts, Input, SealedBank};
use crate::plan::{detail, kind};
use crate::projection::Account;
use crate::tree::{BankId, Hash};

/// Columns of `archive.event`, in the order in which [`ArchivedEvent::of`] reads them by name.
pub(super) const COLUMNS: &str = "id, kind, run, slot, generation, blockhash, parent_slot, parent_blockhash, \
     extract(epoch FROM block_time)::bigint AS block_seconds, accounts, whole, digest, filter_hash, detail";

/// What the transactions of a bank are taken for, in account updates.
const CALLS_WEIGHT: i64 = 5_000;

/// An event as it is archived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ArchivedEvent {
    pub id: i64,
    pub kind: i16,
    pub run: Vec<u8>,
    pub slot: i64,
    pub generation: i64,
    pub blockhash: Option<Vec<u8>>,
    pub parent_slot: Option<i64>,
    pub parent_blockhash: Option<Vec<u8>>,
    pub block_seconds: Option<i64>,
    /// How many account updates are archived for it.
    pub accounts: i32,
    pub whole: bool,
    pub digest: Option<Vec<u8>>,
    pub filter_hash: Option<Vec<u8>>,
    pub detail: Option<String>,
    /// The transactions of a bank, once they are read: those of a pack lie beside it (`archive.transactions`).
    pub body: Vec<u8>,
}

impl ArchivedEvent {
    pub fn of(row: &Row) -> Self {
        Self {
            id: row.get("id"),
            kind: row.get("kind"),
            run: row.get("run"),
            slot: row.get("slot"),
            generation: row.get("generation"),
            blockhash: row.get("blockhash"),
            parent_slot: row.get("parent_slot"),
            parent_blockhash: row.get("parent_blockhash"),
            block_seconds: row.get("block_seconds"),
            accounts: row.get("accounts"),
            whole: row.get("whole"),
            digest: row.get("digest"),
            filter_hash: row.get("filter_hash"),
            detail: row.get("detail"),
            body: Vec::new(),
        }
    }

    /// Account updates may be archived under its slot.
    pub fn has_content(&self) -> bool {
        matches!(self.kind, kind::BANK | kind::BASE)
    }

    /// Account updates' worth of what is read with it. A base's come apart.
    pub fn weight(&self) -> i64 {
        match self.kind {
            kind::BASE => 0,
            kind::CALLS => CALLS_WEIGHT,
            _ => self.accounts.into(),
        }
    }

    fn slot(&self) -> u64 {
        u64::try_from(self.slot).unwrap_or(0)
    }

    fn parent_slot(&self) -> u64 {
        u64::try_from(self.parent_slot.unwrap_or(0)).unwrap_or(0)
    }

    /// The archive has all updates of an event; what a base holds is read when its time comes.
    fn check_complete(&self, accounts: &[Account]) -> Result<(), IndexerError> {
        if self.kind == kind::BASE || accounts.len() as i64 == i64::from(self.accounts) {
            return Ok(());
        }
        Err(IndexerError::Broken(format!(
            "archived event {} has {} account updates, not {}: the archive is incomplete",
            self.id,
            accounts.len(),
            self.accounts
        )))
    }

    /// What the projection is fed with.
    pub fn input(self, accounts: Vec<Account>) -> Result<Input, IndexerError> {
        let id = self.id;
        let broken = |what: &str| {
            IndexerError::Broken(format!("archived event {id}: its {what} can't be read"))
        };
        let opt_hash =
            |bytes: &Option<Vec<u8>>, what: &str| -> Result<Option<Hash>, IndexerError> {
                let bytes = bytes.as_deref();
                bytes
                    .map(|hash| hash.try_into().map_err(|_| broken(what)))
                    .transpose()
            };
        self.check_complete(&accounts)?;
        let run: [u8; 16] = self.run[..].try_into().map_err(|_| broken("run"))?;
        let slot = self.slot();
        let hash = opt_hash(&self.blockhash, "blockhash")?;
        let parent_hash = opt_hash(&self.parent_blockhash, "parent_blockhash")?;
        let parent_slot = self.parent_slot();
        let generation = self.generation as u32;
        let said = self.detail.unwrap_or_default();
        Ok(match self.kind {
            kind::RUN_START => Input::RunStart {
                run,
                genesis: hash,
                interface: String::new(),
                plugin: String::new(),
                primed: false,
            },
            kind::BASE => Input::Base {
                run,
                slot,
                as_of: parent_hash.map(|hash| BankId {
                    slot: parent_slot,
                    hash,
                }),
                accounts: BaseAccounts::archived(self.accounts as usize),
            },
            kind::BANK => Input::Bank(SealedBank {
                run,
                generation,
                id: BankId {
                    slot,
                    hash: hash.ok_or_else(|| broken("blockhash"))?,
                },
                parent: BankId {
                    slot: parent_slot,
                    hash: parent_hash.ok_or_else(|| broken("parent_blockhash"))?,
                },
                block_time: self.block_seconds,
                digest: Vec::new(),
                filter_hash: Vec::new(),
                whole: self.whole,
                accounts,
                transactions: said == detail::TRANSACTIONS,
            }),
            kind::CALLS => Input::Calls {
                run,
                generation,
                id: BankId {
                    slot,
                    hash: hash.ok_or_else(|| broken("blockhash"))?,
                },
                whole: self.whole,
                body: self.body.into(),
            },
            kind::CONFIRMED => Input::Confirmed { run, slot, hash },
            kind::ROOTED => Input::Rooted {
                run,
                slot,
                hash,
                parent: self.parent_slot.map(|_| parent_slot),
            },
            kind::DEAD => Input::Dead {
                run,
                slot,
                generation,
                reason: said,
                gone: hash,
            },
            kind::RESET => Input::Reset {
                run,
                slot,
                generation,
                gone: hash,
            },
            kind::LOSS => Input::Loss {
                run,
                first: slot,
                last: slot,
                count: 0,
                reason: said,
            },
            kind::RUN_END => Input::RunEnd { run },
            kind::REFUSED => refused(run, slot, &said).ok_or_else(|| broken("detail"))?,
            other => {
                return Err(IndexerError::Broken(format!(
                    "archived event {id} is of unknown kind {other}"
                )));
            }
        })
    }
}

/// What an event of this kind says: `kind: detail`.
fn refused(run: [u8; 16], slot: u64, text: &str) -> Option<Input> {
    let (word, detail) = text.split_once(": ")?;
    Some(Input::Refused {
        run,
        kind: Kind::ALL.into_iter().find(|kind| kind.as_str() == word)?,
        slot,
        detail: detail.to_owned(),
    })
}

/// Events with their account updates, by event.
pub(crate) type Content = HashMap<i64, Vec<Account>>;
