//! Evidence from strangers: asked for with a signed request at the submitter's node, then at whoever else may hold it, and
//! believed only where it gives what the chain holds.

use mythic_interface::{hash, state::Job};
use reqwest::Method;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;

use super::check::{Mismatch, authenticate};
use crate::{
    fingerprint::Evidence,
    node::outbound::{OutboundError, signed_request},
    wire::MAX_BODY,
};

/// Largest evidence that is taken, in bytes.
const MAX_EVIDENCE: usize = 4 * MAX_BODY;

/// What a search found.
#[derive(Debug, Default)]
pub struct Search {
    /// The evidence of the result.
    pub evidence: Option<Evidence>,
    /// The prompt, where the evidence as a whole is not the result's.
    pub prompt: Option<Vec<u32>>,
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
    pub fn take(&mut self, job: &Pubkey, state: &Job, source: &str, evidence: Evidence) -> bool {
        self.answered = true;
        match authenticate(job.as_array(), state, &evidence) {
            Ok(()) => {
                self.evidence = Some(evidence);
                true
            }
            Err(mismatch) => {
                self.reasons.push(format!("{source}: {mismatch}"));
                let prompt = hash::prompt_hash(&evidence.salt, &evidence.prompt_ids);
                if mismatch != Mismatch::Prompt && prompt == state.terms.prompt_hash {
                    self.prompt = Some(evidence.prompt_ids);
                }
                false
            }
        }
    }
}

/// Asks `sources` (base URLs of nodes and gateways, hostile) one after the other until one has the evidence of a job's result.
pub async fn evidence(
    job: &Pubkey,
    state: &Job,
    sources: &[String],
    key: &Keypair,
    allow_loopback: bool,
) -> Search {
    let mut search = Search::default();
    let mut asked: Vec<&str> = Vec::new();
    let path = format!("/v1/jobs/{job}/evidence");
    for source in sources {
        let source = source.trim_end_matches('/');
        if source.is_empty() || asked.contains(&source) {
            continue;
        }
        asked.push(source);
        let answer = signed_request(
            Method::GET,
            source,
            &path,
            Vec::new(),
            key,
            allow_loopback,
            MAX_EVIDENCE,
        )
        .await;
        match answer {
            Ok(bytes) => match serde_json::from_slice::<Evidence>(&bytes) {
                Ok(evidence) => {
                    if search.take(job, state, source, evidence) {
                        break;
                    }
                }
                Err(error) => {
                    search.answered = true;
                    search
                        .reasons
                        .push(format!("{source}: unreadable: {error}"));
                }
            },
            Err(error) => {
                search.answered |=
                    matches!(&error, OutboundError::Status { status, .. } if *status < 500);
                search.reasons.push(error.to_string());
            }
        }
    }
    search
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verifier::check::tests::{JOB, case};

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
            search.prompt.as_deref(),
            Some(&[5, 6][..]),
            "its prompt is the right one"
        );
        assert!(search.reason().contains("http://a"));
        assert!(search.take(&job, &state, "http://b", evidence.clone()));
        assert_eq!(search.evidence, Some(evidence));
    }

    #[tokio::test]
    async fn nothing_private_is_dialled_and_nobody_reached_is_not_withholding() {
        let (state, _, _) = case(20);
        let job = Pubkey::new_from_array(JOB);
        let key = Keypair::new();
        let sources = [
            "http://127.0.0.1:9".to_string(),
            String::new(),
            "http://10.0.0.1".into(),
        ];
        let search = super::evidence(&job, &state, &sources, &key, false).await;
        assert!(!search.answered && search.evidence.is_none());
        assert_eq!(search.reasons.len(), 2);
        assert!(
            search.reason().contains("not a public address"),
            "{}",
            search.reason()
        );
    }
}
