//! A job's result: saved, submitted, and given to the gateway.

use std::{sync::atomic::Ordering, time::Duration};

use mythic_client::Due;
use mythic_interface::{
    ix::SubmitResult,
    le::U32,
    output,
    sampler::Sampling,
    state::{NO_KEY, SamplingProfile},
};
use mythic_wire::{
    self as wire, Finish, JobResult,
    dial::{self, Ask},
    evidence::Draft,
    signed::purpose,
};
use solana_pubkey::Pubkey;
use tokio::sync::mpsc;
use tracing::Instrument;

use super::JobTask;
use crate::{
    keep::{journal::Record, store::Saved},
    serve::{fsm::Event, submit::Ready},
    verify::worth,
};

/// How often the result is offered to the gateway.
const PUBLISH_TRIES: u32 = 6;
const PUBLISH_PATIENCE: Duration = Duration::from_secs(20);

impl JobTask {
    pub(super) async fn save(&mut self, keep: u32, cut: bool) -> Result<(), String> {
        let keep = keep as usize;
        let old = self.saved.clone();
        let work = self.work.as_ref().ok_or("the work is not known")?;
        let prompt = self.prompt.as_ref().ok_or("the prompt is not known")?;
        let salt = wire::parse_salt(&prompt.salt).ok_or("the salt is not hex")?;
        let (mut ids, mut leaves, ended): (Vec<u32>, Vec<_>, Option<Finish>) = match &old {
            Some(old) => (
                old.evidence.output_ids.clone(),
                old.evidence.leaves.clone(),
                Some(old.finish),
            ),
            None => (
                self.made.iter().map(|s| s.token).collect(),
                self.made.iter().map(|s| s.top4).collect(),
                self.made.last().and_then(|s| s.finish),
            ),
        };
        if ids.len() < keep || keep == 0 {
            return Err(format!(
                "{keep} tokens are wanted and {} are there",
                ids.len()
            ));
        }
        ids.truncate(keep);
        leaves.truncate(keep);
        let finish = match (cut, ended) {
            (true, _) => Finish::Cancelled,
            (false, Some(finish)) => finish,
            (false, None) => return Err("the output has no end".into()),
        };
        let spec = self.model.account.read().spec;
        let draft = Draft {
            job: self.job.to_bytes(),
            submitter: self.node.keys.authority.to_bytes(),
            // Not known before the job is seen; the result is sealed again then.
            terms_hash: self.on_chain.as_ref().map_or([0; 32], |job| job.terms_hash),
            salt,
            prompt_ids: prompt.ids.clone(),
            output_ids: ids,
            leaves,
            sampling: Sampling {
                seed: work.seed,
                temperature_milli: work.temperature_milli,
            },
            options: match work.sampling_profile == SamplingProfile::SeededFull as u8 {
                true => Some(prompt.options.clone().unwrap_or_default()),
                false => None,
            },
        };
        let evidence = self
            .node
            .disclosure
            .seal(draft, finish, spec.eos())
            .map_err(|error| error.to_string())?;
        let readers = self.on_chain.as_ref().map_or_else(Vec::new, |job| {
            [job.terms.owner, job.terms.requester, job.terms.canceller]
                .iter()
                .filter(|key| **key != NO_KEY)
                .map(|key| Pubkey::new_from_array(*key).to_string())
                .collect()
        });
        let saved = Saved {
            finish,
            evidence,
            readers,
        };
        let (store, copy) = (self.node.store.clone(), saved.clone());
        tokio::task::spawn_blocking(move || store.save(&copy))
            .await
            .map_err(|error| error.to_string())?
            .map_err(|error| error.to_string())?;
        if !self
            .node
            .note(Record::Finished {
                job: self.job.to_string(),
                tokens: keep as u32,
            })
            .await
        {
            return Err("the journal can't be written".into());
        }
        self.saved = Some(saved);
        Ok(())
    }

    /// Saves what is not saved yet. If the disk refuses, nothing is submitted and the next look at the chain tries again.
    pub(super) async fn save_pending(&mut self) {
        if let Some((keep, cut)) = self.unsaved {
            match self.save(keep, cut).await {
                Ok(()) => self.unsaved = None,
                Err(reason) => {
                    tracing::error!(%reason, "result can't be saved; trying again")
                }
            }
        }
    }

    pub(super) async fn submit(&mut self) {
        self.save_pending().await;
        let Some(saved) = self.saved.as_ref().filter(|_| self.unsaved.is_none()) else {
            let actions = self.fsm.step(Event::SubmitFailed);
            debug_assert!(actions.is_empty());
            return;
        };
        let evidence = &saved.evidence;
        let output_root = output::output_root(&evidence.output_ids).unwrap_or_default();
        let args = SubmitResult {
            terms_hash: evidence.terms_hash,
            output_root,
            fingerprint: evidence.fingerprint,
            output_tokens: U32::new(evidence.output_ids.len() as u32),
            finish_reason: saved.finish as u8,
        };
        self.spans.submit();
        let from = *self.submitting_from.get_or_insert(self.node.slot());
        let due = self
            .on_chain
            .as_ref()
            .map_or(Due::NEVER, |job| worth::of_result(job, from));
        let (told, outcomes) = mpsc::channel(4);
        self.outcomes = Some(outcomes);
        self.node
            .submitter
            .submit(Ready {
                job: self.job,
                args,
                due,
                told,
            })
            .await;
    }

    /// Gives the result to the gateway, unless its stream had it to the end.
    pub(super) fn publish(&self) {
        if self.delivery.done.load(Ordering::Acquire)
            || self.source.is_empty()
            || !self.node.shows()
        {
            return;
        }
        let Ok(source) = wire::Origin::parse(&self.source) else {
            return;
        };
        let Some(saved) = &self.saved else { return };
        let result = JobResult {
            job: self.job.to_string(),
            finish_reason: saved.finish,
            output_text: self.model.backend.decode(&saved.evidence.output_ids),
            output_ids: saved.evidence.output_ids.clone(),
            fingerprint: hex::encode(saved.evidence.fingerprint),
            output_root: output::output_root(&saved.evidence.output_ids)
                .map(hex::encode)
                .unwrap_or_default(),
            submit_signature: self.submit_signature.clone(),
            evidence: Box::new(saved.evidence.clone()),
        };
        let (node, delivery, job) = (self.node.clone(), self.delivery.clone(), self.job);
        tokio::spawn(
            async move {
                let Ok(body) = serde_json::to_vec(&result) else {
                    return;
                };
                let path = format!("/v1/jobs/{}/result", result.job);
                for attempt in 0..PUBLISH_TRIES {
                    // The stream's last event may be on its way.
                    tokio::time::sleep(Duration::from_secs(1) * (attempt + 1)).await;
                    if delivery.done.load(Ordering::Acquire) {
                        return;
                    }
                    let ask = Ask {
                        origin: &source,
                        method: reqwest::Method::PUT,
                        path: &path,
                        purpose: &purpose::result(&job),
                        body: body.clone(),
                        max_bytes: 64 << 10,
                        patience: PUBLISH_PATIENCE,
                    };
                    let put = dial::ask(ask, &node.keys.operator, node.config.allow_loopback).await;
                    match put {
                        Ok(_) => return,
                        Err(error) => {
                            tracing::debug!(%error, attempt, "result not taken by the gateway");
                            if !error.is_transient() {
                                return;
                            }
                        }
                    }
                }
            }
            .in_current_span(),
        );
    }
}
