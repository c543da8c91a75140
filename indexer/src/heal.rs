//! `mythic indexer heal`: asks the indexer that runs to heal the gaps, or runs until it is done where none does.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::config::IndexerConfig;
use crate::db::Session;
use crate::error::IndexerError;
use crate::migrate::migrate;
use crate::rpc::request;
use crate::rpc::{HealProgress, Unhealed};
use crate::service;

/// How often the progress is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// How long beyond its time a request is waited for: whoever serves it says how it ended.
const GRACE: Duration = Duration::from_secs(5);

/// What came of healing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealReport {
    /// What was to be healed before.
    pub found: Unhealed,
    /// What is to be healed still.
    pub left: Unhealed,
    /// None if there was nothing to heal.
    pub ended: Option<HealProgress>,
}

/// Heals all gaps from the RPC at `rpc_url`, or from the one that is configured; tells `told` what it is at.
///
/// An indexer that runs does it; where none does, one runs here until it is done.
///
/// # Errors
/// The database can't be reached or used, or no RPC is named.
pub async fn heal(
    config: &IndexerConfig,
    rpc_url: Option<String>,
    patience: Duration,
    mut told: impl FnMut(&HealProgress),
) -> Result<HealReport, IndexerError> {
    config.validate().map_err(IndexerError::Config)?;
    let url = rpc_url.or_else(|| config.heal_url().map(str::to_owned));
    let url = url.ok_or_else(|| {
        IndexerError::Config("no RPC to heal from: pass --from, or set heal_rpc_url".into())
    })?;
    crate::rpc::check_url(&url).map_err(|e| IndexerError::Config(format!("--from: {e}")))?;
    migrate(&config.database_url).await?;
    let mut session = Session::open(&config.database_url, "mythic heal").await?;
    let found = unhealed(&mut session).await?;
    if found.count == 0 {
        return Ok(HealReport {
            found,
            left: found,
            ended: None,
        });
    }
    let id = request::ask(&mut session, Some(&url), patience).await?;
    // Another one that holds the lease goes on holding it, and this one waits behind it.
    let stop = CancellationToken::new();
    let alone = IndexerConfig {
        metrics_addr: None,
        ..config.clone()
    };
    let indexer = tokio::spawn(service::run(alone, stop.clone()));
    let ended = watch(&mut session, id, patience, &mut told).await;
    stop.cancel();
    let ran = indexer
        .await
        .map_err(|e| IndexerError::Broken(e.to_string()))?;
    let ended = ended?;
    // An error of the indexer here says more than a request that nobody served.
    if ended.state != "done" {
        ran?;
    }
    Ok(HealReport {
        found,
        left: unhealed(&mut session).await?,
        ended: Some(ended),
    })
}

async fn unhealed(session: &mut Session) -> Result<Unhealed, IndexerError> {
    let rows = session
        .query("SELECT projection FROM pipeline.lease", &[])
        .await?;
    let schema: String = rows
        .first()
        .map(|row| row.get(0))
        .ok_or_else(|| IndexerError::Broken("the lease has no row".into()))?;
    request::unhealed(session, &schema).await
}

/// Waits until a request has ended.
async fn watch(
    session: &mut Session,
    id: i64,
    patience: Duration,
    told: &mut impl FnMut(&HealProgress),
) -> Result<HealProgress, IndexerError> {
    let deadline = Instant::now() + patience + GRACE;
    let mut last = None;
    loop {
        let progress = request::progress(session, id).await?;
        if last.as_ref() != Some(&progress) {
            told(&progress);
            last = Some(progress.clone());
        }
        if matches!(progress.state.as_str(), "done" | "failed") {
            return Ok(progress);
        }
        if Instant::now() >= deadline {
            let over = HealProgress {
                state: "failed".into(),
                detail: format!("its time was over: {}", progress.detail),
                ..progress
            };
            request::tell(session, id, &over).await?;
            return Ok(over);
        }
        tokio::time::sleep(LOOK).await;
    }
}
