//! Starting jobs' tasks: of new jobs, and of those that the journal says were left.

use std::sync::Arc;

use mythic_client::pda;
use mythic_interface::state::Model;
use mythic_wire::parse_hex32;
use parking_lot::RwLock;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use tracing::Instrument;

use super::{
    admit,
    backend::{Former, ServedModel},
    fsm::{Event, Exit, Origin},
    jobs::Jobs,
    messages::Start,
    places::Place,
    task::JobTask,
};
use crate::{keep::journal::Record, setup};

impl Jobs {
    /// Starts a job's task. `place` is its place among the unseen.
    pub fn start(self: &Arc<Self>, start: Start, place: Option<Place>) {
        let job = start.job;
        let origin = start.origin;
        let resumed = start.record.is_some();
        let pending_tokens = start
            .work
            .as_ref()
            .map_or(0, |w| u64::from(w.max_output_tokens));
        let (task, inbox, incoming) = JobTask::new(self.clone(), start);
        self.insert(job, inbox, (task.needs_engine(), pending_tokens), place);
        if !resumed {
            let label = if origin == Origin::CoSigned {
                "cosigned"
            } else {
                "consumed"
            };
            self.meters.accepted.with_label_values(&[label]).inc();
        }
        let jobs = self.clone();
        let first = if resumed { Event::Resume } else { Event::Begin };
        // Within the span of the request that brought it, if one did.
        let span = tracing::info_span!("job", %job);
        let run = async move {
            let exit = task.run(first, incoming, jobs.halt.clone()).await;
            if let Some(exit) = exit {
                jobs.note(Record::Retired {
                    job: job.to_string(),
                    keep: exit == Exit::Submitted,
                })
                .await;
            }
            jobs.remove(&job);
        };
        self.tasks.spawn(run.instrument(span));
    }

    /// A model of jobs in the journal that is served no longer: their results are submitted, the unfinished ones declined.
    async fn former(&self, identity: &str) -> Option<ServedModel> {
        let address = pda::model(&parse_hex32(identity)?);
        let read = || self.chain.account::<Model>(&address);
        let account = match setup::patiently("reading a former model", read).await {
            Ok(found) => found?.1,
            Err(error) => {
                tracing::error!(%error, identity, "former model can't be read");
                return None;
            }
        };
        let reader = self
            .models
            .iter()
            .find(|m| m.account.read().spec.tokenizer_hash == account.spec.tokenizer_hash)
            .map(|m| m.backend.clone());
        Some(ServedModel {
            address,
            account: Arc::new(RwLock::new(account)),
            backend: Arc::new(Former { reader }),
        })
    }

    /// Takes up what the journal says was left.
    pub async fn resume(self: &Arc<Self>) {
        let records: Vec<_> = self
            .ledger
            .read()
            .jobs
            .iter()
            .filter(|(_, r)| !r.kept)
            .map(|(j, r)| (j.clone(), r.clone()))
            .collect();
        for (text, record) in records {
            let Ok(job) = text.parse::<Pubkey>() else {
                continue;
            };
            let served = self.models.iter().find(|m| m.identity() == record.model);
            let model = match served.cloned() {
                Some(model) => model,
                None => match self.former(&record.model).await {
                    Some(model) => model,
                    None => {
                        tracing::error!(%job, model = record.model, "job in the journal is of a model that is not on this chain");
                        continue;
                    }
                },
            };
            tracing::info!(%job, finished = record.finished.is_some(), "job taken up from the journal");
            let parsed = record.transaction.as_ref().and_then(|t| {
                admit::parse_transaction(t, &self.keys.authority, &self.keys.operator.pubkey()).ok()
            });
            let start = Start {
                job,
                origin: record.origin,
                model,
                work: parsed
                    .as_ref()
                    .map(|p| admit::Work::of_request(&p.args, &p.job, &p.model)),
                transaction: parsed.map(|p| p.transaction),
                source: record.source.clone(),
                prompt: record.prompt.clone(),
                client: None,
                shared: record.shared,
                record: Some(record),
                wait: None,
                logprobs: false,
                span: Default::default(),
            };
            self.start(start, None);
        }
    }
}
