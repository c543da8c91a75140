//! What the client of a co-signed job is told.

use std::sync::{Arc, atomic::Ordering};

use mythic_engine::Step;
use mythic_interface::output;
use mythic_wire::{GRAMMAR_LIMIT, NodeEvent};
use solana_transaction::versioned::VersionedTransaction;
use tokio::sync::mpsc;

use super::JobTask;
use crate::{
    keep::store::Saved,
    serve::{admit::Work, backend::ServedModel, fsm::Failure, messages::Delivery},
};

impl JobTask {
    /// The gateway asks for the job again: this client's stream replaces the earlier one.
    pub(super) fn attach(
        &mut self,
        transaction: VersionedTransaction,
        work: &Work,
        client: mpsc::Sender<NodeEvent>,
        delivery: Arc<Delivery>,
    ) {
        if self.work.as_ref() != Some(work) {
            let _ = client.try_send(NodeEvent::Error {
                code: "job_lost".into(),
                message: "this job's address is taken by other work".into(),
            });
            return;
        }
        self.handed_before = self
            .handed_before
            .max(self.delivery.tokens.load(Ordering::Acquire));
        self.transaction = Some(transaction);
        if let Some(task) = self.requesting.take() {
            task.abort();
        }
        self.client = Some(client);
        self.delivery = delivery;
        (self.emitted, self.accepted_told, self.done_told) = (0, false, false);
        if self.made.is_empty()
            && let Some(saved) = &self.saved
        {
            self.made = replay(saved, &self.model);
        }
        self.look_after_request(true);
        self.emit();
        if self.submit_signature.is_some() && self.fsm.gate_open() {
            self.tell_done();
        }
    }

    /// Gives the client what it may have.
    pub(super) fn emit(&mut self) {
        if !self.fsm.gate_open() {
            return;
        }
        let Some(client) = &self.client else { return };
        if !self.accepted_told {
            self.accepted_told = true;
            let signature = self
                .transaction
                .as_ref()
                .and_then(|t| t.signatures.first())
                .map(ToString::to_string);
            let event = NodeEvent::Accepted {
                job: self.job.to_string(),
                signature: signature.unwrap_or_default(),
            };
            if client.try_send(event).is_err() {
                self.client = None;
                return;
            }
        }
        while let Some(step) = self.made.get(self.emitted) {
            let event = NodeEvent::Token {
                position: step.position,
                token: step.token,
                text: step.text.clone(),
                top4: step.top4,
                log_sum_exp: step.log_sum_exp,
            };
            if client.try_send(event).is_err() {
                // It went away; the work goes on unless the job is cancelled.
                self.client = None;
                return;
            }
            self.emitted += 1;
        }
    }

    pub(super) fn tell_done(&mut self) {
        if self.done_told {
            return;
        }
        if !self.node.shows() {
            (self.done_told, self.client) = (true, None);
            return;
        }
        let (Some(client), Some(saved)) = (&self.client, &self.saved) else {
            return;
        };
        let evidence = &saved.evidence;
        let event = NodeEvent::Done {
            finish_reason: saved.finish,
            output_ids: evidence.output_ids.clone(),
            fingerprint: hex::encode(evidence.fingerprint),
            output_root: output::output_root(&evidence.output_ids)
                .map(hex::encode)
                .unwrap_or_default(),
            submit_signature: self.submit_signature.clone(),
            cached_tokens: self.made.first().and_then(|step| step.cached_tokens),
            evidence: Box::new(evidence.clone()),
        };
        self.done_told = client.try_send(event).is_ok();
        self.client = None;
    }

    pub(super) fn fail_client(&mut self, failure: Failure) {
        if let Some(client) = self.client.take() {
            let (code, message) = match failure {
                Failure::NotPaid => (
                    "not_paid",
                    "the paying transaction was refused, or did not land in time",
                ),
                Failure::Cancelled => ("cancelled", "the job was cancelled"),
                Failure::Engine => (
                    "engine_failed",
                    "the engine failed; the job is declined and refunded",
                ),
                Failure::Grammar => (
                    GRAMMAR_LIMIT,
                    "the answer's grammar met a limit on the way; the job is declined and refunded",
                ),
                Failure::Lost => ("job_lost", "the job ended, or went to another validator"),
            };
            let _ = client.try_send(NodeEvent::Error {
                code: code.into(),
                message: message.into(),
            });
        }
    }
}

/// The steps of a result that was made before a restart, its text in one piece.
fn replay(saved: &Saved, model: &ServedModel) -> Vec<Step> {
    let evidence = &saved.evidence;
    let mut text = model.backend.decode(&evidence.output_ids);
    (0u32..)
        .zip(evidence.output_ids.iter().zip(&evidence.leaves))
        .map(|(position, (token, top4))| Step {
            position,
            token: *token,
            top4: *top4,
            text: std::mem::take(&mut text),
            log_sum_exp: None,
            cached_tokens: None,
            finish: None,
        })
        .collect()
}
