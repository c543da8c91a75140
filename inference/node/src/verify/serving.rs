//! Which of our models computes a job's answers: that of the job, or another registration of the same file and arithmetic, which
//! anybody may have made.

use std::collections::HashSet;

use mythic_client::{Commitment, Filter};
use mythic_interface::{
    hash::Hash,
    state::{Case, Job, Key, Model, ModelSpec, ValidatorStatus},
};
use solana_pubkey::Pubkey;

use super::Verifier;
use crate::serve::backend::ServedModel;

/// Models whose results are listed one by one. Anybody may register a file again, for a fee: of more models all results of the network
/// are listed at once, so that nobody hides a registration behind others.
pub(super) const MOST_LISTS: usize = 16;

/// A model of ours that computes what a job's model computes.
#[derive(Clone)]
pub(super) struct Serving {
    pub model: ServedModel,
    /// Our registration, if it is another than the job's.
    pub served: Option<Pubkey>,
    /// What the job's registration says: its thresholds and end tokens count.
    pub spec: ModelSpec,
}

impl Serving {
    /// The registration by which the chain knows that we serve it.
    pub fn registration(&self) -> Key {
        self.model.address.to_bytes()
    }
}

impl Verifier {
    /// What of ours computes the model of a job.
    pub(super) async fn serving(&self, model: &Pubkey) -> Option<Serving> {
        if let Some(own) = self.model(model) {
            let spec = own.account.read().spec;
            return Some(Serving {
                model: own.clone(),
                served: None,
                spec,
            });
        }
        let spec = self.registration(model).await?;
        let own = self.computing(&spec.weights_hash, spec.kernel_profile.get())?;
        Some(Serving {
            served: Some(own.address),
            model: own.clone(),
            spec,
        })
    }

    /// The same of the model of a case, which says itself what its file is.
    pub(super) fn judging(&self, case: &Case) -> Option<(ServedModel, Option<Pubkey>)> {
        let address = Pubkey::new_from_array(case.model);
        if let Some(own) = self.model(&address) {
            return Some((own.clone(), None));
        }
        let own = self.computing(&case.weights_hash, case.kernel_profile.get())?;
        Some((own.clone(), Some(own.address)))
    }

    fn computing(&self, weights: &Hash, profile: u16) -> Option<&ServedModel> {
        self.models.iter().find(|own| {
            let spec = own.account.read().spec;
            spec.weights_hash == *weights && spec.kernel_profile.get() == profile
        })
    }

    async fn registration(&self, model: &Pubkey) -> Option<ModelSpec> {
        let known = self.registrations.get(model);
        if known.is_some() {
            return known;
        }
        let (_, read) = self.chain.account::<Model>(model).await.ok()??;
        self.registrations.put(*model, read.spec);
        Some(read.spec)
    }

    /// The models whose results are looked for: ours, and other registrations of their files, however many.
    pub(super) async fn registered(&self) -> HashSet<Pubkey> {
        let mut all: HashSet<Pubkey> = self.models.iter().map(|own| own.address).collect();
        for own in &self.models {
            let spec = own.account.read().spec;
            let filters = [Filter::weights(&spec.weights_hash)];
            let chain = &self.chain;
            let found = chain.program_accounts::<Model>(&filters, Commitment::Confirmed);
            match found.await {
                Ok(found) => {
                    let twins = found.into_iter();
                    let twins =
                        twins.filter(|(_, model)| model.spec.kernel_profile == spec.kernel_profile);
                    all.extend(twins.map(|(address, _)| address));
                }
                Err(error) => tracing::debug!(%error, "registrations can't be listed"),
            }
        }
        if all.len() > MOST_LISTS {
            tracing::warn!(
                registrations = all.len(),
                "the files of our models are registered more than {MOST_LISTS} times: all results of the network are listed to find theirs"
            );
        }
        all
    }

    /// Whether the chain would take a claim of ours against a job's result, and we would make one under its rules.
    pub(super) fn may_claim(&self, state: &Job, serving: &Serving) -> Result<(), String> {
        let validator = self.validator();
        let rules = &state.terms.rules;
        if state.validator == self.keys.authority.to_bytes() {
            return Err("it is our own".into());
        }
        if validator.header.status != ValidatorStatus::Active as u8 {
            return Err("we are jailed".into());
        }
        let registration = serving.registration();
        if !validator.is_mature(&registration, state.requested_slot.get(), rules) {
            return Err("we did not serve the model long enough before the request".into());
        }
        if validator.active_stake(self.slot()) < rules.min_stake.get() {
            return Err("we have too little stake".into());
        }
        self.config.bounds.rules(rules)?;
        self.config.bounds.model(&serving.spec)
    }
}
