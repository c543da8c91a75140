//! Prompts of open jobs, for the operator that accepts one.

use mythic_sampling::Options;
use solana_pubkey::Pubkey;

use super::{Pool, key};
use crate::error::ApiResult;

/// A kept prompt, with what its job asks beside.
pub struct KeptPrompt {
    pub job: Pubkey,
    /// Token ids.
    pub ids: Vec<u32>,
    pub salt: [u8; 16],
    /// Stop strings.
    pub stop: Vec<String>,
    /// What says how tokens are chosen, beyond the four likeliest.
    pub options: Option<Options>,
}

/// Prompts kept under a hash.
pub async fn prompts(pool: &Pool, prompt_hash: &[u8; 32]) -> ApiResult<Vec<KeptPrompt>> {
    let client = pool.get().await?;
    let rows = client
        .query(
            "SELECT p.job, p.ids, p.salt, a.stop, a.options FROM gateway.prompt p JOIN gateway.attempt a USING (job) WHERE p.prompt_hash = $1 LIMIT 16",
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
            Some(KeptPrompt {
                job: key(row.get(0))?,
                ids,
                salt: row.get::<_, Vec<u8>>(2).try_into().ok()?,
                stop: row.get(3),
                options: row
                    .get::<_, Option<Vec<u8>>>(4)
                    .map(|bytes| Options::decode(&bytes))
                    .transpose()
                    .ok()?,
            })
        })
        .collect())
}
