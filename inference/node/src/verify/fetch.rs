//! Evidence from strangers: asked for with a signed request at the submitter's node, then at whoever else may hold it, and
//! believed only where it gives what the chain holds.

use std::time::Duration;

use futures::{StreamExt, stream};
use mythic_interface::state::Job;
use mythic_verifier::search::Search;
use mythic_wire::{
    Evidence, MAX_BODY, Origin,
    dial::{self, Ask, OutboundError},
};
use reqwest::Method;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;

/// Largest evidence that is taken, in bytes.
const MAX_EVIDENCE: usize = 4 * MAX_BODY;
/// How long one source may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// Signs.
    pub key: &'a Keypair,
    /// What for; see [`mythic_wire::signed::purpose`].
    pub purpose: &'a str,
    /// Whether loopback and private addresses are dialled.
    pub allow_loopback: bool,
}

/// Sources that are asked at once, so that one which keeps us waiting holds up none of the others for long.
const AT_ONCE: usize = 4;

/// Asks `sources` (origins of nodes and gateways, hostile), a few at a time and in this order, until one has the evidence of a
/// job's result.
pub async fn evidence(job: &Pubkey, state: &Job, sources: &[String], asker: &Asker<'_>) -> Search {
    let mut search = Search::default();
    let mut origins: Vec<Origin> = Vec::new();
    let path = format!("/v1/jobs/{job}/evidence");
    for source in sources.iter().filter(|source| !source.is_empty()) {
        match Origin::parse(source) {
            Ok(origin) if origins.contains(&origin) => {}
            Ok(origin) => origins.push(origin),
            Err(error) => search.reasons.push(error.to_string()),
        }
    }
    let path = path.as_str();
    let asked = stream::iter(origins).map(|origin| async move {
        let ask = Ask {
            origin: &origin,
            method: Method::GET,
            path,
            purpose: asker.purpose,
            body: Vec::new(),
            max_bytes: MAX_EVIDENCE,
            patience: PATIENCE,
        };
        let answer = dial::ask(ask, asker.key, asker.allow_loopback).await;
        (origin, answer)
    });
    let mut answers = std::pin::pin!(asked.buffer_unordered(AT_ONCE));
    while let Some((origin, answer)) = answers.next().await {
        match answer {
            Ok(bytes) => match serde_json::from_slice::<Evidence>(&bytes) {
                Ok(evidence) => {
                    if search.take(job, state, origin.as_str(), evidence) {
                        break;
                    }
                }
                Err(error) => {
                    search.answered = true;
                    search
                        .reasons
                        .push(format!("{origin}: unreadable: {error}"));
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
            "http://8.8.8.8/v1/jobs/J/evidence#".into(),
        ];
        let asker = Asker {
            key: &key,
            purpose: "evidence:J",
            allow_loopback: false,
        };
        let search = super::evidence(&job, &state, &sources, &asker).await;
        assert!(!search.answered && search.evidence.is_none());
        assert_eq!(search.reasons.len(), 3);
        let reason = search.reason();
        assert!(reason.contains("not a public address"), "{reason}");
        assert!(reason.contains("is not an origin"), "{reason}");
    }
}
