//! What the gateway's own account holds: it pays the fees of every job and fronts its rent.

use std::time::{Duration, Instant};

use mythic_client::ChainClient;
use parking_lot::Mutex;
use solana_pubkey::Pubkey;

use crate::{
    chain::errors::chain_error,
    error::{ApiError, ApiResult},
};

/// How long a balance is believed.
const LIFE: Duration = Duration::from_secs(5);

/// How long the chain's price of rent is believed.
const RENT_LIFE: Duration = Duration::from_secs(3_600);

/// The payer's balance and what it fronts for a job, read by one at a time.
#[derive(Default)]
pub struct Purse {
    seen: Mutex<Option<(Instant, u64)>>,
    rent: tokio::sync::Mutex<Option<(Instant, u64)>>,
    reading: tokio::sync::Mutex<()>,
}

impl Purse {
    /// Lamports as they were last read; `None` before the first time.
    pub fn last(&self) -> Option<u64> {
        self.seen.lock().map(|(_, lamports)| lamports)
    }

    fn fresh(&self) -> Option<u64> {
        self.seen
            .lock()
            .filter(|(at, _)| at.elapsed() < LIFE)
            .map(|(_, lamports)| lamports)
    }

    async fn balance(&self, client: &ChainClient, payer: &Pubkey) -> ApiResult<u64> {
        if let Some(lamports) = self.fresh() {
            return Ok(lamports);
        }
        let _reading = self.reading.lock().await;
        if let Some(lamports) = self.fresh() {
            return Ok(lamports);
        }
        let lamports = client.balance(payer).await.map_err(chain_error)?;
        *self.seen.lock() = Some((Instant::now(), lamports));
        Ok(lamports)
    }

    /// Rent of an account of so many bytes; it is always asked for the same number.
    pub async fn rent(&self, client: &ChainClient, bytes: usize) -> ApiResult<u64> {
        let mut known = self.rent.lock().await;
        if let Some((_, lamports)) = known.filter(|(at, _)| at.elapsed() < RENT_LIFE) {
            return Ok(lamports);
        }
        let lamports = client.rent(bytes).await.map_err(chain_error)?;
        *known = Some((Instant::now(), lamports));
        Ok(lamports)
    }

    /// Refuses new work while less than the reserve is left: what is under way must be ended.
    pub async fn check(&self, client: &ChainClient, payer: &Pubkey, reserve: u64) -> ApiResult<()> {
        if self.balance(client, payer).await? >= reserve {
            return Ok(());
        }
        Err(ApiError::unavailable(
            "gateway_funds",
            "this gateway is short of funds for fees and rent and takes no new jobs; send your own transaction, or try again later",
        )
        .retry_after(60))
    }
}
