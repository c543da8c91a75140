//! What subscribers are told.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use solana_account::{AccountSharedData, ReadableAccount};
use solana_account_decoder::UiAccountEncoding;
use solana_pubkey::Pubkey;
use solana_rpc_client_api::response::UiTransactionError;
use solana_signature::Signature;
use solana_transaction_error::TransactionError;

use super::subscription::{Shown, Subscription};
use crate::chain::{Block, Level, mint_of};
use crate::node::{Node, Notice};
use crate::rpc::encode::{self, Taken};

/// A notification that is due. Accounts are encoded one at a time, when their turn to be sent comes.
pub enum Due {
    Ready(Value),
    Account {
        number: u64,
        slot: u64,
        /// Told with its address, as one of a program's.
        of_program: bool,
        key: Pubkey,
        account: AccountSharedData,
        shown: Shown,
    },
}

impl Due {
    pub async fn text(self, node: &Arc<Node>) -> String {
        let (number, slot, of_program, key, account, shown) = match self {
            Self::Ready(value) => return value.to_string(),
            Self::Account {
                number,
                slot,
                of_program,
                key,
                account,
                shown,
            } => (number, slot, of_program, key, account, shown),
        };
        let taken = take(node, key, account, shown.encoding).await;
        let account = json!(taken.notice(shown.encoding, shown.slice));
        let (method, value) = if of_program {
            let value = json!({"pubkey": key.to_string(), "account": account});
            ("programNotification", value)
        } else {
            ("accountNotification", account)
        };
        notification(method, number, in_context(slot, value)).to_string()
    }
}

/// Takes an account with its mint, if it is a token account that is to be parsed.
async fn take(
    node: &Arc<Node>,
    key: Pubkey,
    account: AccountSharedData,
    encoding: UiAccountEncoding,
) -> Taken {
    let plain = Taken::plain(key, account.clone());
    if encoding != UiAccountEncoding::JsonParsed || mint_of(&account).is_none() {
        return plain;
    }
    let node = node.clone();
    let parsed = tokio::task::spawn_blocking(move || {
        node.read(|chain| {
            let tip = chain.tip().clone();
            Taken::new(chain, &tip, key, account, encoding)
        })
    });
    parsed.await.unwrap_or(plain)
}

/// A signature that somebody waits for.
pub struct Wait {
    pub signature: Signature,
    pub level: Level,
    pub received: bool,
}

/// That it is there already.
pub enum Found {
    Landed {
        slot: u64,
        err: Option<TransactionError>,
    },
    Received {
        slot: u64,
    },
}

impl Wait {
    /// Looks whether the transaction reached its level, or at least arrived.
    pub fn look(&self, node: &Node) -> Option<Found> {
        node.read(|chain| match chain.status(&self.signature) {
            Some((status, reached)) if reached >= self.level => Some(Found::Landed {
                slot: chain.block_at(self.level).slot,
                err: status.err,
            }),
            _ if self.received && chain.knows(&self.signature) => Some(Found::Received {
                slot: chain.open_slot(),
            }),
            _ => None,
        })
    }
}

impl Found {
    pub fn text(self, number: u64) -> String {
        let (slot, value) = match self {
            Self::Landed { slot, err } => (slot, json!({"err": ui_error(err.as_ref())})),
            Self::Received { slot } => (slot, json!("receivedSignature")),
        };
        notification("signatureNotification", number, in_context(slot, value)).to_string()
    }
}

impl Subscription {
    /// What a notice means to the subscription.
    pub fn due(&self, number: u64, notice: &Notice) -> Vec<Due> {
        match notice {
            Notice::Block { level, block } => self.reached(number, *level, block),
            Notice::Slot { slot, parent, root } => {
                let ready = match self {
                    Self::Slot => notification(
                        "slotNotification",
                        number,
                        json!({"slot": slot, "parent": parent, "root": root}),
                    ),
                    Self::SlotsUpdates => {
                        update(number, "createdBank", *slot, [("parent", json!(parent))])
                    }
                    _ => return Vec::new(),
                };
                vec![Due::Ready(ready)]
            }
            Notice::Dead { slot, reason } => match self {
                Self::SlotsUpdates => vec![Due::Ready(update(
                    number,
                    "dead",
                    *slot,
                    [("err", json!(reason))],
                ))],
                _ => Vec::new(),
            },
            Notice::Received { slot, signature } => match self {
                Self::Signature {
                    signature: awaited,
                    received: Some(_),
                    ..
                } if awaited == signature => vec![Due::Ready(notification(
                    "signatureNotification",
                    number,
                    in_context(*slot, json!("receivedSignature")),
                ))],
                _ => Vec::new(),
            },
        }
    }

    /// What it means that a block reached a level.
    fn reached(&self, number: u64, reached: Level, block: &Block) -> Vec<Due> {
        let account =
            |key: Pubkey, account: &AccountSharedData, of_program, shown: &Shown| Due::Account {
                number,
                slot: block.slot,
                of_program,
                key,
                account: account.clone(),
                shown: *shown,
            };
        match self {
            Self::Account { key, level, shown } if *level == reached => {
                let index = block
                    .writes
                    .binary_search_by_key(key, |(written, _)| *written);
                let written = index.ok().and_then(|index| block.writes.get(index));
                let due = written.map(|(_, written)| account(*key, written, false, shown));
                due.into_iter().collect()
            }
            Self::Program {
                id,
                filters,
                level,
                shown,
            } if *level == reached => {
                let of = |(_, written): &&(Pubkey, AccountSharedData)| {
                    written.owner() == id && encode::passes(filters, written)
                };
                let written = block.writes.iter().filter(of);
                written
                    .map(|(key, written)| account(*key, written, true, shown))
                    .collect()
            }
            Self::Signature {
                signature, level, ..
            } if *level <= reached => {
                let mut transactions = block.transactions.iter();
                let landed = transactions.find(|tx| tx.signature == *signature);
                let due = landed.map(|executed| {
                    let err = executed.meta.status.as_ref().err();
                    let value = json!({"err": ui_error(err)});
                    let value = in_context(block.slot, value);
                    Due::Ready(notification("signatureNotification", number, value))
                });
                due.into_iter().collect()
            }
            Self::Logs { mentions, level } if *level == reached => {
                logs(number, mentions.as_ref(), block)
            }
            Self::Root if reached == Level::Finalized => {
                vec![Due::Ready(notification(
                    "rootNotification",
                    number,
                    json!(block.slot),
                ))]
            }
            Self::SlotsUpdates => vec![Due::Ready(block_update(number, reached, block))],
            _ => Vec::new(),
        }
    }
}

fn logs(number: u64, mentions: Option<&Pubkey>, block: &Block) -> Vec<Due> {
    let named = |executed: &&Arc<crate::chain::Executed>| {
        let message = executed.sanitized.message();
        mentions.is_none_or(|key| message.account_keys().iter().any(|used| used == key))
    };
    let mentioned = block.transactions.iter().filter(named);
    mentioned
        .map(|executed| {
            let value = json!({
                "signature": executed.signature.to_string(),
                "err": ui_error(executed.meta.status.as_ref().err()),
                "logs": executed.meta.log_messages.as_deref().unwrap_or_default(),
            });
            let value = in_context(block.slot, value);
            Due::Ready(notification("logsNotification", number, value))
        })
        .collect()
}

/// What `slotsUpdatesSubscribe` tells of a block that reached a level.
fn block_update(number: u64, reached: Level, block: &Block) -> Value {
    let slot = block.slot;
    match reached {
        Level::Confirmed => update(number, "optimisticConfirmation", slot, []),
        Level::Finalized => update(number, "root", slot, []),
        Level::Processed => {
            let count = block.transactions.len();
            let failed = |tx: &&Arc<crate::chain::Executed>| tx.meta.status.is_err();
            let failed = block.transactions.iter().filter(failed).count();
            let stats = json!({
                // A block is one entry.
                "numTransactionEntries": usize::from(count > 0),
                "numSuccessfulTransactions": count - failed,
                "numFailedTransactions": failed,
                "maxTransactionsPerEntry": count,
            });
            update(number, "frozen", slot, [("stats", stats)])
        }
    }
}

fn update<const N: usize>(number: u64, kind: &str, slot: u64, more: [(&str, Value); N]) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let timestamp = now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
    let mut result = json!({"type": kind, "slot": slot, "timestamp": timestamp});
    if let Value::Object(result) = &mut result {
        result.extend(more.map(|(name, value)| (name.to_owned(), value)));
    }
    notification("slotsUpdatesNotification", number, result)
}

fn ui_error(error: Option<&TransactionError>) -> Option<UiTransactionError> {
    error.cloned().map(Into::into)
}

fn in_context(slot: u64, value: Value) -> Value {
    json!({"context": {"slot": slot}, "value": value})
}

fn notification(method: &str, subscription: u64, result: Value) -> Value {
    json!({
        "jsonrpc": "2.0",
        "method": method,
        "params": {"result": result, "subscription": subscription},
    })
}
