//! Accounts of other validators, as read lately: strangers name them in requests. Each name costs at most one read in a while, and
//! an address that names nobody costs a few reads, then one in a while.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use mythic_client::{ChainClient, ClientError, pda};
use mythic_interface::state::Validator;
use mythic_wire::allowance::Allowance;
use parking_lot::Mutex;
use solana_pubkey::Pubkey;
use tokio::sync::Semaphore;

use crate::serve::places::network;

/// How long what was read is believed.
const LIFE: Duration = Duration::from_secs(10);
/// Names that are remembered, those of nobody included.
const MOST: usize = 1_024;
/// Validators that are remembered to be some, so that reading them again is nobody's to refuse.
const MOST_REAL: usize = 8_192;
/// Names of nobody that an address may have read in a row, and how fast more are forgiven.
const STRIKES: u32 = 20;
const STRIKE_EVERY: Duration = Duration::from_secs(1);
/// Addresses whose strikes are counted.
const STRIKERS: usize = 8_192;
/// Reads at a time.
const READS: usize = 8;

/// A cache of validators' accounts.
#[derive(Debug)]
pub struct Validators {
    known: Mutex<HashMap<Pubkey, (Instant, Option<Validator>)>>,
    /// Authorities of which an account was read once.
    real: Mutex<HashSet<Pubkey>>,
    strikes: Allowance<IpAddr>,
    reads: Semaphore,
}

/// Why a validator was not looked for.
#[derive(Debug)]
pub enum Unread {
    /// The chain can't be asked.
    Chain(ClientError),
    /// Whoever asks has named too many that are none.
    TooMany,
}

impl Default for Validators {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            real: Mutex::default(),
            strikes: Allowance::new(STRIKES, STRIKE_EVERY, STRIKERS),
            reads: Semaphore::new(READS),
        }
    }
}

impl Validators {
    /// The validator with this authority, which was named by `address`; `None` if there is none.
    pub async fn get(
        &self,
        chain: &ChainClient,
        authority: &Pubkey,
        address: IpAddr,
        now: Instant,
    ) -> Result<Option<Validator>, Unread> {
        if let Some(found) = self.known(authority, now) {
            return Ok(found);
        }
        let Ok(_turn) = self.reads.acquire().await else {
            return Ok(None);
        };
        if let Some(found) = self.known(authority, now) {
            return Ok(found);
        }
        let address = network(address);
        let real = self.real.lock().contains(authority);
        if !real && !self.strikes.is_left(&address, now) {
            return Err(Unread::TooMany);
        }
        let account = pda::validator(authority);
        let read = chain.account::<Validator>(&account).await;
        let found = read.map_err(Unread::Chain)?.map(|(_, found)| found);
        match found {
            None => drop(self.strikes.take(&address, now)),
            Some(_) => {
                let mut real = self.real.lock();
                if real.len() < MOST_REAL {
                    real.insert(*authority);
                }
            }
        }
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
