//! The last finalized blockhash, asked for at most once in two seconds.

use std::time::{Duration, Instant};

use mythic_client::{ChainClient, Commitment};

use crate::{chain::errors::chain_error, error::ApiResult};

/// How long a finalized blockhash is handed out before a newer one is asked for.
const BLOCKHASH_LIFE: Duration = Duration::from_secs(2);

/// The last finalized blockhash.
#[derive(Default)]
pub struct Blockhashes(tokio::sync::Mutex<Option<(Instant, solana_hash::Hash)>>);

impl Blockhashes {
    /// A finalized blockhash, at most 2 seconds old: what names it survives a fork.
    pub async fn get(&self, chain: &ChainClient) -> ApiResult<solana_hash::Hash> {
        let mut held = self.0.lock().await;
        match *held {
            Some((at, hash)) if at.elapsed() < BLOCKHASH_LIFE => Ok(hash),
            _ => {
                let hash = chain
                    .latest_blockhash(Commitment::Finalized)
                    .await
                    .map_err(chain_error)?
                    .hash;
                *held = Some((Instant::now(), hash));
                Ok(hash)
            }
        }
    }

    /// The chain did not know it: ask anew.
    pub async fn forget(&self) {
        *self.0.lock().await = None;
    }
}
