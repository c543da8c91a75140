//! Evidence from strangers: asked for with a signed request at the submitter's node, then at whoever else may hold it, and
//! believed only where it gives what the chain holds.

use std::time::Duration;

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

/// Asks `sources` (origins of nodes and gateways, hostile) one after the other until one has the evidence of a job's result.
pub async fn evidence(job: &Pubkey, state: &Job, sources: &[String], asker: &Asker<'_>) -> Search {
    let mut search = Search::default();
    let mut asked: Vec<Origin> = Vec::new();
    let path = format!("/v1/jobs/{job}/evidence");
    for source in sources.iter().filter(|source| !source.is_empty()) {
        let origin = match Origin::parse(source) {
            Ok(origin) => origin,
            Err(error) => {
                search.reasons.push(error.to_string());
                continue;
            }
        };
        if asked.contains(&origin) {
            continue;
        }
        asked.push(origin.clone());
        let ask = Ask {
            origin: &origin,
            method: Method::GET,
            path: &path,
            purpose: asker.purpose,
            body: Vec::new(),
            max_bytes: MAX_EVIDENCE,
            patience: PATIENCE,
        };
        match dial::ask(ask, asker.key, asker.allow_loopback).await {
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
