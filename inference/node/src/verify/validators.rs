//! Accounts of other validators, as read lately: strangers name them in requests, and each name costs at most one read in a while.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use mythic_client::{ChainClient, ClientError, pda};
use mythic_interface::state::Validator;
use parking_lot::Mutex;
use solana_pubkey::Pubkey;
use tokio::sync::Semaphore;

/// How long what was read is believed.
const LIFE: Duration = Duration::from_secs(10);
/// Names that are remembered, those of nobody included.
const MOST: usize = 1_024;
/// Reads at a time.
const READS: usize = 8;

/// A cache of validators' accounts.
#[derive(Debug)]
pub struct Validators {
    known: Mutex<HashMap<Pubkey, (Instant, Option<Validator>)>>,
    reads: Semaphore,
}

impl Default for Validators {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            reads: Semaphore::new(READS),
        }
    }
}

impl Validators {
    /// The validator with this authority; `None` if there is none.
    pub async fn get(
        &self,
        chain: &ChainClient,
        authority: &Pubkey,
        now: Instant,
    ) -> Result<Option<Validator>, ClientError> {
        if let Some(found) = self.known(authority, now) {
            return Ok(found);
        }
        let Ok(_turn) = self.reads.acquire().await else {
            return Ok(None);
        };
        if let Some(found) = self.known(authority, now) {
            return Ok(found);
        }
        let address = pda::validator(authority);
        let read = chain.account::<Validator>(&address).await?;
        let found = read.map(|(_, validator)| validator);
        let mut known = self.known.lock();
        if known.len() >= MOST {
            known.retain(|_, (at, _)| now.duration_since(*at) < LIFE);
        }
        if known.len() < MOST {
            known.insert(*authority, (now, found));
        }
        Ok(found)
    }

    fn known(&self, authority: &Pubkey, now: Instant) -> Option<Option<Validator>> {
        let known = self.known.lock();
        let (at, found) = known.get(authority)?;
        (now.saturating_duration_since(*at) < LIFE).then_some(*found)
    }
}
