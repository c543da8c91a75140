//! A search for the evidence of a result among strangers: what is believed of what they send.

use mythic_interface::{hash, state::Job};
use mythic_wire::evidence::{Evidence, Mismatch, options_fit};
use solana_pubkey::Pubkey;

use crate::check::sample_by_terms;

/// What a job's terms commit to and no more: enough to compute the answer that its case shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    pub ids: Vec<u32>,
    /// As [`Evidence::options`].
    pub options: Option<Vec<u8>>,
}

/// What a search found.
#[derive(Debug, Default)]
pub struct Search {
    /// The evidence of the result.
    pub evidence: Option<Evidence>,
    /// What was asked for, where the evidence as a whole is not the result's.
    pub prompt: Option<Prompt>,
    /// Somebody was reached and had nothing, or something else: the data is withheld and not merely out of reach.
    pub answered: bool,
    /// What each source said.
    pub reasons: Vec<String>,
}

impl Search {
    /// What the sources said, in one line.
    pub fn reason(&self) -> String {
        match self.reasons.is_empty() {
            true => "nobody is known who could have the evidence".into(),
            false => self.reasons.join("; "),
        }
    }

    /// Takes what claims to be the evidence of a result; true once it is.
    pub fn take(
        &mut self,
        job: &Pubkey,
        state: &Job,
        source: &str,
        mut evidence: Evidence,
    ) -> bool {
        self.answered = true;
        sample_by_terms(&mut evidence, state);
        match evidence.of(job.as_array(), state) {
            Ok(_) => {
                self.evidence = Some(evidence);
                true
            }
            Err(mismatch) => {
                self.reasons.push(format!("{source}: {mismatch}"));
                let prompt = hash::prompt_hash(&evidence.salt, &evidence.prompt_ids);
                let options = evidence.options.as_deref();
                let options = options_fit(&state.terms, &evidence.salt, options);
                if mismatch != Mismatch::Prompt && prompt == state.terms.prompt_hash && options {
                    self.prompt = Some(Prompt {
                        ids: evidence.prompt_ids,
                        options: evidence.options,
                    });
                }
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{JOB, case};

    #[test]
    fn evidence_is_believed_where_it_gives_what_the_chain_holds() {
        let (state, _, evidence) = case(20);
        let job = Pubkey::new_from_array(JOB);
        let mut search = Search::default();
        let mut forged = evidence.clone();
        forged.leaves[3][0].1 += 1;
        assert!(!search.take(&job, &state, "http://a", forged));
        assert!(search.answered && search.evidence.is_none());
        assert_eq!(
            search.prompt.as_ref().map(|prompt| &prompt.ids[..]),
            Some(&[5, 6][..]),
            "its prompt is the right one"
        );
        assert!(search.reason().contains("http://a"));
        assert!(search.take(&job, &state, "http://b", evidence.clone()));
        assert_eq!(search.evidence, Some(evidence));
    }
}
