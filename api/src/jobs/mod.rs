//! How requests run: a run's events, the jobs that carry it, their answers, and what outlives the request.

mod after;
pub mod answer;
pub mod attempt;
mod choice;
mod confirm;
pub mod dispatch;
pub mod drive;
pub mod enter;
pub mod janitor;
mod place;
pub mod recover;
pub mod rents;
pub mod result;
pub mod run;
mod traced;
pub mod work;

use std::sync::Arc;

use mythic_interface::state::Job;
use solana_signer::Signer;
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    accounts::Accounts,
    chain::Chain,
    config::GatewayConfig,
    dial::Dialer,
    error::ApiResult,
    fleet::{queue::Queue, validators::Validators},
    intake::plan::Catalogue,
    metrics::Metrics,
    store::{Funds, Pool},
};

/// What jobs are made of and run with.
pub struct Jobs {
    pub config: Arc<GatewayConfig>,
    pub pool: Pool,
    pub chain: Arc<Chain>,
    /// Who pays.
    pub accounts: Arc<Accounts>,
    pub catalogue: Arc<Catalogue>,
    pub validators: Arc<Validators>,
    /// Dials them.
    pub dialer: Dialer,
    pub metrics: Arc<Metrics>,
    /// Requests under way.
    pub runs: run::Runs,
    /// Requests that wait for a validator.
    pub queue: Queue,
    /// This process among the gateways of one database.
    pub instance: String,
    /// Wakes the janitor.
    pub janitor: Notify,
    /// Background work to wait for at the end.
    pub tracker: TaskTracker,
    /// The gateway is stopping.
    pub stop: CancellationToken,
}

impl Jobs {
    /// What the operator lays out for a job that it pays for.
    pub async fn funds(&self) -> ApiResult<Funds<'_>> {
        let chain = &self.chain;
        Ok(Funds {
            bounds: &self.config.outlay,
            operator: chain.payer.pubkey(),
            rent: chain.purse.rent(&chain.client, Job::LEN).await?,
            purse: chain.purse.last(),
        })
    }
}
