//! The job that is checked by hand, as the chain has it, and the weights to check it with.

use crate::{
    exit::{self, Exit},
    model::fetch_with_progress,
};
use anyhow::{Context, Result};
use mythic_client::{ChainClient, Commitment};
use mythic_engine::kernels;
use mythic_interface::state::{Job, JobStatus, Model};
use mythic_model::catalogue as model;
use solana_pubkey::Pubkey;
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// How long a job's result is waited for.
const PATIENCE: Duration = Duration::from_secs(15);

/// What a check by hand starts from.
pub struct Claim {
    pub address: Pubkey,
    pub state: Job,
    pub model: Model,
}

/// Reads a job that has a result, waiting a little for one that was just answered.
pub async fn claim(chain: &ChainClient, job: &str) -> Result<Claim> {
    let job = job.strip_prefix("chatcmpl-").unwrap_or(job);
    let address: Pubkey = job
        .parse()
        .map_err(|_| Exit::error(exit::USAGE, format!("{job:?} is not a job's address")))?;
    let started = Instant::now();
    let found = loop {
        let found = chain
            .account_at::<Job>(&address, Commitment::Confirmed)
            .await?;
        // A job that was just answered is confirmed in a moment.
        let waits = found.is_some_and(|(_, state)| state.status() == Some(JobStatus::Accepted));
        if !waits || started.elapsed() > PATIENCE {
            break found;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    };
    let Some((_, state)) = found else {
        return Err(Exit::error(
            exit::NOT_FOUND,
            format!(
                "no job {address} on chain: it was never there, is not confirmed yet, or was closed"
            ),
        ));
    };
    if state.submitted_slot.get() == 0 {
        let status = state.status().map_or("unknown", JobStatus::as_str);
        return Err(Exit::error(
            exit::CANNOT_SAY,
            format!("job {address} has no result: it is {status}"),
        ));
    }
    let key = Pubkey::new_from_array(state.terms.model);
    let Some((_, model)) = chain.account::<Model>(&key).await? else {
        return Err(Exit::error(
            exit::NOT_FOUND,
            format!("the job's model {key} is not on chain"),
        ));
    };
    Ok(Claim {
        address,
        state,
        model,
    })
}

/// The file of the claim's model, or what is wrong with the one given.
pub async fn weights(given: Option<&Path>, claim: &Claim) -> Result<PathBuf> {
    let path = match given {
        Some(path) => path.to_owned(),
        None => fetch_with_progress().await?,
    };
    let hash = model::file_sha256(&path).with_context(|| format!("reading {}", path.display()))?;
    let spec = &claim.model.spec;
    if hash != spec.weights_hash {
        return Err(Exit::error(
            exit::CANNOT_SAY,
            format!(
                "{} is not the job's model {}@{}: its SHA-256 is {}, the model's {}; pass --model FILE",
                path.display(),
                claim.model.name.as_str(),
                hex::encode(&claim.model.identity[..4]),
                hex::encode(hash),
                hex::encode(spec.weights_hash)
            ),
        ));
    }
    if spec.kernel_profile.get() != kernels::PROFILE {
        return Err(Exit::error(
            exit::CANNOT_SAY,
            format!(
                "the job's model is computed in kernel profile {}, this build computes in {}",
                spec.kernel_profile.get(),
                kernels::PROFILE
            ),
        ));
    }
    Ok(path)
}
