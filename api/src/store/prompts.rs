//! Prompts of open jobs, for the operator that accepts one.

use solana_pubkey::Pubkey;

use super::{Pool, key};
use crate::error::ApiResult;

/// A kept prompt: the job, token ids, salt, stop strings.
pub type KeptPrompt = (Pubkey, Vec<u32>, [u8; 16], Vec<String>);

/// Prompts kept under a hash.
pub async fn prompts(pool: &Pool, prompt_hash: &[u8; 32]) -> ApiResult<Vec<KeptPrompt>> {
    let client = pool.get().await?;
    let rows = client
        .query(
            "SELECT p.job, p.ids, p.salt, a.stop FROM gateway.prompt p JOIN gateway.attempt a USING (job) WHERE p.prompt_hash = $1 LIMIT 16",
            &[&prompt_hash.as_slice()],
        )
        .await?;
    Ok(rows
        .iter()
        .filter_map(|row| {
            let ids: Vec<u8> = row.get(1);
            let ids = ids
                .chunks_exact(4)
                .filter_map(|chunk| chunk.try_into().ok().map(u32::from_le_bytes))
                .collect();
            Some((
                key(row.get(0))?,
                ids,
                row.get::<_, Vec<u8>>(2).try_into().ok()?,
                row.get(3),
            ))
        })
        .collect())
}
