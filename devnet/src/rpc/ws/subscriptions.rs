//! What a connection subscribed to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use serde_json::{Value, json};
use solana_rpc_client_api::config::{
    RpcAccountInfoConfig, RpcProgramAccountsConfig, RpcSignatureSubscribeConfig,
    RpcTransactionLogsConfig, RpcTransactionLogsFilter,
};

use super::subscription::{Shown, Subscription};
use super::told::{Due, Found, Wait};
use crate::node::{Node, Notice, Place};
use crate::rpc::encode;
use crate::rpc::error::RpcError;
use crate::rpc::params::{Params, level, pubkey};

/// Subscriptions of one connection, and of all together.
const MAX_SUBSCRIPTIONS: usize = 1_000;
const MAX_IN_ALL: usize = 20_000;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// The subscriptions of one connection.
pub struct Subscriptions {
    table: BTreeMap<u64, (Subscription, Place)>,
    in_all: Arc<AtomicUsize>,
    wants_received: Arc<AtomicUsize>,
}

impl Subscriptions {
    pub fn new(node: &Node) -> Self {
        Self {
            table: BTreeMap::new(),
            in_all: node.subscriptions.clone(),
            wants_received: node.wants_received.clone(),
        }
    }

    pub fn numbers(&self) -> Vec<u64> {
        self.table.keys().copied().collect()
    }

    /// Answers a call; a new subscription's number is also put into `new`.
    pub fn call(
        &mut self,
        method: &str,
        params: Params,
        new: &mut Vec<u64>,
    ) -> Result<Value, RpcError> {
        if let Some(subscription) = self.read(method, params)? {
            let number = self.insert(subscription)?;
            new.push(number);
            return Ok(json!(number));
        }
        Ok(json!(true))
    }

    fn insert(&mut self, subscription: Subscription) -> Result<u64, RpcError> {
        if self.table.len() >= MAX_SUBSCRIPTIONS {
            return Err(RpcError::invalid_request(format!(
                "at most {MAX_SUBSCRIPTIONS} subscriptions on a connection"
            )));
        }
        let place = Place::take(&self.in_all, MAX_IN_ALL).ok_or_else(|| {
            RpcError::invalid_request(format!("at most {MAX_IN_ALL} subscriptions in all"))
        })?;
        let number = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        self.table.insert(number, (subscription, place));
        Ok(number)
    }

    /// The subscription that a call asks for; none if it ended one.
    fn read(&mut self, method: &str, mut params: Params) -> Result<Option<Subscription>, RpcError> {
        Ok(Some(match method {
            "accountSubscribe" => {
                let key = params.pubkey(0, "pubkey")?;
                let config: RpcAccountInfoConfig = params.or_default(1, "config")?;
                Subscription::Account {
                    key,
                    level: level(config.commitment),
                    shown: Shown::of(&config),
                }
            }
            "programSubscribe" => {
                let id = params.pubkey(0, "program id")?;
                let config: RpcProgramAccountsConfig = params.or_default(1, "config")?;
                let filters = config.filters.unwrap_or_default();
                encode::check_filters(&filters)?;
                Subscription::Program {
                    id,
                    filters,
                    level: level(config.account_config.commitment),
                    shown: Shown::of(&config.account_config),
                }
            }
            "signatureSubscribe" => {
                let signature = params.signature(0, "signature")?;
                let config: RpcSignatureSubscribeConfig = params.or_default(1, "config")?;
                let wanted = config.enable_received_notification.unwrap_or_default();
                let take = || Place::take(&self.wants_received, usize::MAX);
                Subscription::Signature {
                    signature,
                    level: level(config.commitment),
                    received: wanted.then(take).flatten(),
                }
            }
            "logsSubscribe" => logs(params)?,
            "slotSubscribe" => Subscription::Slot,
            "slotsUpdatesSubscribe" => Subscription::SlotsUpdates,
            "rootSubscribe" => Subscription::Root,
            "accountUnsubscribe"
            | "programUnsubscribe"
            | "signatureUnsubscribe"
            | "logsUnsubscribe"
            | "slotUnsubscribe"
            | "slotsUpdatesUnsubscribe"
            | "rootUnsubscribe" => {
                let number: u64 = params.required(0, "subscription")?;
                return match self.table.remove(&number) {
                    Some(_) => Ok(None),
                    None => Err(RpcError::invalid_params("Invalid subscription id.".into())),
                };
            }
            _ => return Err(RpcError::unknown_method(method, Some(why_not(method)))),
        }))
    }

    /// For a new subscription to a signature: what to look for in the chain, as it may have landed already.
    pub fn waits_for(&self, number: u64) -> Option<Wait> {
        match self.table.get(&number) {
            Some((
                Subscription::Signature {
                    signature,
                    level,
                    received,
                },
                _,
            )) => Some(Wait {
                signature: *signature,
                level: *level,
                received: received.is_some(),
            }),
            _ => None,
        }
    }

    /// What was found by [`Wait::look`] as a message.
    pub fn found(&mut self, number: u64, found: Found) -> String {
        match found {
            Found::Landed { .. } => {
                self.table.remove(&number);
            }
            Found::Received { .. } => self.told_received(number),
        }
        found.text(number)
    }

    fn told_received(&mut self, number: u64) {
        if let Some((Subscription::Signature { received, .. }, _)) = self.table.get_mut(&number) {
            *received = None;
        }
    }

    /// What a notice means to a subscription.
    pub fn due(&mut self, number: u64, notice: &Notice) -> Vec<Due> {
        let Some((subscription, _)) = self.table.get(&number) else {
            return Vec::new();
        };
        let due = subscription.due(number, notice);
        if !due.is_empty() && matches!(subscription, Subscription::Signature { .. }) {
            match notice {
                Notice::Received { .. } => self.told_received(number),
                _ => {
                    self.table.remove(&number);
                }
            }
        }
        due
    }
}

fn logs(mut params: Params) -> Result<Subscription, RpcError> {
    let filter: RpcTransactionLogsFilter = params.required(0, "filter")?;
    let config: Option<RpcTransactionLogsConfig> = params.optional(1, "config")?;
    let mentions = match filter {
        RpcTransactionLogsFilter::All | RpcTransactionLogsFilter::AllWithVotes => None,
        RpcTransactionLogsFilter::Mentions(keys) => match keys.as_slice() {
            [key] => Some(pubkey("mentions", key)?),
            _ => {
                return Err(RpcError::invalid_params(
                    "Invalid Request: Only 1 address supported".into(),
                ));
            }
        },
    };
    Ok(Subscription::Logs {
        mentions,
        level: level(config.and_then(|config| config.commitment)),
    })
}

/// Why a method is not offered here.
fn why_not(method: &str) -> &'static str {
    match method {
        "blockSubscribe" | "blockUnsubscribe" => {
            "not offered, as on a validator without --rpc-pubsub-enable-block-subscription; use slotSubscribe or \
             rootSubscribe and getBlock"
        }
        "voteSubscribe" | "voteUnsubscribe" => "nobody votes on this chain",
        _ => "this port takes subscriptions; calls go to the HTTP port",
    }
}
