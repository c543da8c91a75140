//! Leases whose promise is lost: what they were promised is read again from where their requests say that it is, and they are served on.
//! Where it can't be had they are ended as well as this provider still can.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::future::join_all;
use mythic_client::{Commitment, account, market};
use mythic_interface::{
    hash::access_hash,
    market::{
        ix,
        state::{CloseReason, LeaseKind, Request},
    },
};
use mythic_support::Throttle;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::{Intake, TOLD_EVERY};
use crate::{
    journal::Promise,
    lease::{
        lost::{self, Found, Next},
        reconcile,
    },
};

/// How often lost leases are tried: a tenant may leave its spec again.
const EVERY: Duration = Duration::from_secs(10);

impl Intake {
    /// Runs until `stop`.
    pub async fn mend(self, stop: CancellationToken) {
        let told = Throttle::new(TOLD_EVERY);
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = tick.tick() => {}
            }
            let (intake, told) = (&self, &told);
            let lost = self.shared.lost.all().into_iter();
            let tried = lost.map(|found| async move {
                if let Err(error) = intake.take_up(&found).await
                    && told.allow().is_some()
                {
                    let lease = found.lease;
                    tracing::error!(%lease, "a lease of this provider is in no journal here and is not served: {error:#}. Does another process run for the same provider, or was data_dir lost?");
                }
            });
            join_all(tried).await;
        }
    }

    /// Serves a lost lease on, or gives it up.
    async fn take_up(&self, found: &Found) -> Result<()> {
        let (ctx, lease) = (&self.shared.ctx, &found.lease);
        if self.shared.desk.has(lease) {
            return Ok(());
        }
        let (promise, error) = match self.promised(found).await {
            Ok(promise) => (Some(promise), None),
            Err(error) => (None, Some(error)),
        };
        match lost::next(promise, found) {
            Next::Wait => return error.map_or(Ok(()), Err),
            Next::Notice => {
                let (operator, reason) = (ctx.operator.pubkey(), CloseReason::ClosedByProvider);
                let notice = ix::close_lease(operator, lease, &found.state, reason, false);
                ctx.send(notice).await.context("giving notice")?;
                // It is settled once a list shows the notice: the fork that has it may die.
                tracing::error!(%lease, "its promise is lost, and can't be read again: notice is given");
            }
            Next::Keep(promise) => {
                self.adopt(lease, *promise).await?;
                match error {
                    None => {
                        tracing::warn!(%lease, "its promise was lost and read again: it is served on");
                    }
                    Some(error) => {
                        tracing::error!(%lease, "its promise is lost, and what it was promised can't be read again ({error:#}): it is not served, and seen to its end");
                    }
                }
            }
        }
        Ok(())
    }

    /// What a lease was promised, read again.
    async fn promised(&self, found: &Found) -> Result<Promise> {
        let (ctx, state) = (&self.shared.ctx, &found.state);
        let address = Pubkey::new_from_array(state.terms.request);
        let both = [address, market::address::provider(ctx.authority)];
        let held = Commitment::Confirmed;
        let read = ctx.chain.raw_accounts_since(&both, held, found.last);
        let read = reconcile::witnessed(read.await?)?;
        let request = account::found::<Request>(&address, read.account.as_ref())?;
        let request = request.context("its request is not there")?;
        ensure!(
            request.terms_hash == state.terms.request_hash,
            "its request is another one"
        );
        ensure!(
            request.terms.kind == LeaseKind::Endpoint as u8,
            "ports, environment and host key of its container are lost with its promise"
        );
        let wish = self.read(&address, &request).await?;
        ensure!(wish.lease == found.lease, "it is not its request's");
        if state.started_slot.get() == 0 {
            // What was measured may be lost too.
            ctx.check_floor(&wish.promise.weights, wish.floor)?;
        } else {
            ensure!(
                access_hash(wish.promise.access.as_bytes()) == state.access_hash,
                "its start states other data to reach it than follow from this configuration"
            );
        }
        Ok(wish.promise)
    }

    /// Writes the promise of a lease that the chain has, and takes it into care.
    async fn adopt(&self, lease: &Pubkey, promise: Promise) -> Result<()> {
        let (ctx, desk) = (&self.shared.ctx, &self.shared.desk);
        let _one = self.one.lock().await;
        if desk.has(lease) {
            return Ok(());
        }
        let is_new = promise.is_unserved() || !desk.has_key(&promise.key_hash);
        ensure!(is_new, "another lease here has the same key");
        ctx.journal.keep(lease, &promise)?;
        self.begin(*lease, promise);
        Ok(())
    }
}
