//! The transaction that makes a job this node's: brought to the chain, and what becomes of it told to the job's task.

use std::{sync::Arc, time::Duration};

use mythic_client::{ClientError, Commitment, ix};
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_signer::Signer;
use solana_transaction::versioned::VersionedTransaction;
use tokio::sync::mpsc;
use tracing::Instrument;

use super::JobTask;
use crate::serve::{claim::refused, jobs::Jobs, messages::Msg};

impl JobTask {
    /// Sends the co-signed request until it lands, is refused, or can't land any more. One at a time.
    pub(super) fn look_after_request(&mut self, send: bool) {
        let Some(transaction) = self.transaction.clone() else {
            return;
        };
        if let Some(task) = self.requesting.as_ref().filter(|task| !task.is_finished()) {
            if self.sending || !send {
                return;
            }
            // One that only waits gives way to one that sends.
            task.abort();
        }
        self.sending = send;
        let shepherd = Shepherd {
            node: self.node.clone(),
            job: self.job,
            inbox: self.inbox.clone(),
            send,
        };
        self.requesting = Some(tokio::spawn(
            async move {
                shepherd.run(&transaction).await;
            }
            .in_current_span(),
        ));
    }

    /// Sends one accept at a time.
    pub(super) fn send_accept(&mut self) {
        let Some(terms_hash) = self.on_chain.map(|job| job.terms_hash) else {
            self.look_again();
            return;
        };
        if self
            .accepting
            .as_ref()
            .is_some_and(|task| !task.is_finished())
        {
            return;
        }
        if let Some(claim) = self.claim.clone() {
            let acceptance = self.acceptance(terms_hash);
            let sent = async move { acceptance.make(&claim).await };
            self.accepting = Some(tokio::spawn(sent.in_current_span()));
            return;
        }
        let (node, job, inbox) = (self.node.clone(), self.job, self.inbox.clone());
        self.accepting = Some(tokio::spawn(
            async move {
                let operator = node.keys.operator.pubkey();
                let authority = &node.keys.authority;
                let instruction = ix::accept_inference(operator, authority, job, terms_hash);
                if let Err(error) = node.send(&[instruction]).await {
                    refused(&node, &job, &inbox, error.to_string()).await;
                }
            }
            .in_current_span(),
        ));
    }

    pub(super) fn decline(&self) {
        let Some(state) = self.on_chain else { return };
        let (node, job) = (self.node.clone(), self.job);
        tokio::spawn(
            async move {
                let operator = node.keys.operator.pubkey();
                let instruction = ix::decline_job(operator, node.keys.authority, job, &state);
                node.meters.declined.inc();
                if let Err(error) = node.send(&[instruction]).await {
                    tracing::info!(%error, "decline refused");
                }
            }
            .in_current_span(),
        );
    }
}

/// Brings a transaction to the chain: sends it (if `send`), again while it has not landed, until its blockhash has expired in
/// a finalized bank.
struct Shepherd {
    node: Arc<Jobs>,
    job: Pubkey,
    inbox: mpsc::Sender<Msg>,
    send: bool,
}

/// What sending came to.
enum Sent {
    /// The chain's node passes it on.
    Taken,
    /// It can't be told now.
    Later,
    /// It landed, or was told to the task as refused.
    Over,
}

impl Shepherd {
    const PAUSE: Duration = Duration::from_secs(2);

    async fn run(&self, transaction: &VersionedTransaction) {
        let Some(signature) = transaction.signatures.first().copied() else {
            return;
        };
        let mut taken = !self.send;
        let mut tries = 0u32;
        // Whoever is told is gone when the job is.
        while !self.inbox.is_closed() {
            if self.send {
                match self.send(transaction, &signature, taken).await {
                    Sent::Taken if !taken => {
                        taken = true;
                        let _ = self.inbox.send(Msg::Taken).await;
                    }
                    Sent::Taken | Sent::Later => {}
                    Sent::Over => return,
                }
            }
            let pause = match tries {
                0 => Duration::from_millis(800),
                _ => Self::PAUSE,
            };
            tokio::time::sleep(pause).await;
            tries = tries.saturating_add(1);
            match self.node.chain.signature_status(&signature).await {
                Ok(Some(state)) => {
                    if let Some(error) = state.error {
                        self.refused(ClientError::from_transaction(error).to_string())
                            .await;
                    }
                    return;
                }
                Ok(None) => {}
                Err(_) => continue,
            }
            let blockhash = transaction.message.recent_blockhash();
            if let Ok(false) = self.node.chain.blockhash_valid(blockhash).await {
                break;
            }
        }
        self.wait_for_the_end(&signature).await;
    }

    async fn send(
        &self,
        transaction: &VersionedTransaction,
        signature: &Signature,
        taken: bool,
    ) -> Sent {
        match self.node.chain.send(transaction).await {
            Ok(_) => Sent::Taken,
            Err(ClientError::UnknownBlockhash) => {
                // Nobody but this node can send it: what was never taken can't be on its way.
                let blockhash = transaction.message.recent_blockhash();
                if !taken && let Ok(false) = self.node.chain.blockhash_valid(blockhash).await {
                    self.refused(ClientError::UnknownBlockhash.to_string())
                        .await;
                    return Sent::Over;
                }
                Sent::Later
            }
            Err(error) if error.is_transient() => {
                tracing::debug!(%error, "request not sent; trying again");
                Sent::Later
            }
            // Refused in the bank at hand. It may be there already (sent twice), which the status tells.
            Err(error) => {
                match self.node.chain.signature_status(signature).await {
                    Ok(Some(state)) if state.error.is_none() => {}
                    _ => self.refused(error.to_string()).await,
                }
                Sent::Over
            }
        }
    }

    async fn refused(&self, reason: String) {
        refused(&self.node, &self.job, &self.inbox, reason).await;
    }

    /// Expired in the newest bank: final once that bank is.
    async fn wait_for_the_end(&self, signature: &Signature) {
        let mut expired_at = None;
        while !self.inbox.is_closed() {
            tokio::time::sleep(Self::PAUSE).await;
            let chain = &self.node.chain;
            let Some(slot) = expired_at else {
                expired_at = chain.slot(Commitment::Processed).await.ok();
                continue;
            };
            let read = chain.raw_account(&self.job, Commitment::Finalized).await;
            if let Ok(snapshot) = read
                && snapshot.slot >= slot
            {
                if snapshot.account.is_none() {
                    let _ = self.inbox.send(Msg::Expired(*signature)).await;
                }
                return;
            }
        }
    }
}
