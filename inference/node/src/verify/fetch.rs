//! Evidence from strangers: asked for with a signed request at the submitter's node, then at whoever else may hold it, and
//! believed only where it gives what the chain holds.

use mythic_interface::state::Job;
use reqwest::Method;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;

use mythic_verifier::search::Search;
use mythic_wire::dial::{OutboundError, signed_request};
use mythic_wire::{MAX_BODY, fingerprint::Evidence};

/// Largest evidence that is taken, in bytes.
const MAX_EVIDENCE: usize = 4 * MAX_BODY;

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
    use bytemuck::Zeroable;

    #[tokio::test]
    async fn nothing_private_is_dialled_and_nobody_reached_is_not_withholding() {
        let state = Job::zeroed();
        let job = Pubkey::new_from_array([1; 32]);
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
