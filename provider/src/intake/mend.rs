//! Leases whose promise is lost: what they were promised is read again from where their requests say that it is, and they are served on.
//! Where it can't be had they are ended as well as this provider still can.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::future::join_all;
use mythic_interface::{
    hash::access_hash,
    market::{
        ix,
        state::{CloseReason, Lease, LeaseKind, Request},
    },
};
use mythic_support::Throttle;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::{Intake, TOLD_EVERY, container};
use crate::{
    journal::Promise,
    lease::lost::{self, Left},
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
            let tried = lost.map(|(lease, state)| async move {
                if let Err(error) = intake.take_up(&lease, &state).await
                    && told.allow().is_some()
                {
                    tracing::error!(%lease, "a lease of this provider is in no journal here and is not served: {error:#}. Does another process run for the same provider, or was data_dir lost?");
                }
            });
            join_all(tried).await;
        }
    }

    /// Serves a lost lease on, or gives it up once nobody else serves it either.
    async fn take_up(&self, lease: &Pubkey, state: &Lease) -> Result<()> {
        let ctx = &self.shared.ctx;
        let error = match self.promised(lease, state).await {
            Ok(promise) => {
                self.adopt(lease, promise).await?;
                let tenant = Pubkey::new_from_array(state.terms.tenant);
                ctx.environments.forget(lease, &tenant);
                tracing::warn!(%lease, "its promise was lost and read again: it is served on");
                return Ok(());
            }
            Err(error) => error,
        };
        match lost::left(state, ctx.slot()) {
            Left::Wait => return Err(error),
            Left::Settle => {}
            Left::Notice => {
                let (operator, reason) = (ctx.operator.pubkey(), CloseReason::ClosedByProvider);
                ctx.send(ix::close_lease(operator, lease, state, reason, false))
                    .await
                    .context("giving notice")?;
            }
        }
        self.adopt(lease, unserved(state)).await?;
        tracing::error!(%lease, "its promise is lost, and what it was promised can't be read again ({error:#}): it is not served, and seen to its end");
        Ok(())
    }

    /// What a lease was promised, read again.
    async fn promised(&self, lease: &Pubkey, state: &Lease) -> Result<Promise> {
        let is_endpoint = state.terms.kind == LeaseKind::Endpoint as u8;
        ensure!(
            is_endpoint || state.started_slot.get() == 0,
            "ports, environment and host key of its container are lost with its promise"
        );
        let address = Pubkey::new_from_array(state.terms.request);
        let read = self.shared.ctx.chain.account::<Request>(&address).await?;
        let (_, request) = read.context("its request is not there")?;
        ensure!(
            request.terms_hash == state.terms.request_hash,
            "its request is another one"
        );
        let wish = self.read(&address, &request).await?;
        ensure!(wish.lease == *lease, "it is not its request's");
        let access = access_hash(wish.promise.access.as_bytes());
        ensure!(
            state.started_slot.get() == 0 || access == state.access_hash,
            "its start states other data to reach it than follow from this configuration"
        );
        Ok(wish.promise)
    }

    /// Writes the promise of a lease that the chain has, and takes it into care.
    async fn adopt(&self, lease: &Pubkey, promise: Promise) -> Result<()> {
        let (ctx, desk) = (&self.shared.ctx, &self.shared.desk);
        let _one = self.one.lock().await;
        if desk.has(lease) {
            return Ok(());
        }
        if let Some(contained) = &promise.container {
            let is_free = !container::is_taken(contained, &desk.taken());
            ensure!(
                is_free,
                "another lease here has its ports or its network by now"
            );
            // What was begun of it was promised others, and nobody has used it.
            self.shared.containers.stop(lease).await?;
        }
        ctx.journal.keep(lease, &promise)?;
        self.begin(*lease, promise);
        Ok(())
    }
}

/// The promise of a lease that can't be served: its machine settles it.
fn unserved(state: &Lease) -> Promise {
    Promise {
        request: Pubkey::new_from_array(state.terms.request).to_string(),
        tenant: Pubkey::new_from_array(state.terms.tenant).to_string(),
        units: state.terms.units,
        ..Promise::default()
    }
}
