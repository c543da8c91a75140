//! The prompts of a calibration, and the jobs made of them. Which set a prompt belongs to, its
//! seed and its temperature follow from a hash of its text: nobody picks them.

use mythic_interface::hash::{Hash, domain, sha256};
use mythic_interface::sampler::Sampling;
use serde::Deserialize;

use mythic_model::prompt::{Message, PromptError, PromptFormatter};

const PROMPTS: &str = include_str!("prompts.json");

/// A prompt of the set.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prompt {
    /// What sort of text it is; for people.
    pub kind: String,
    pub system: Option<String>,
    pub user: String,
}

impl Prompt {
    fn hash(&self) -> Hash {
        let system = self.system.as_deref().unwrap_or_default();
        let length = (system.len() as u64).to_le_bytes();
        sha256(&[
            domain::CALIBRATION_PROMPT,
            &length,
            system.as_bytes(),
            self.user.as_bytes(),
        ])
    }
}

/// The committed prompts, in the order of their hashes.
pub fn prompts() -> Vec<Prompt> {
    // The file is part of the build, and a test reads it.
    let mut prompts: Vec<Prompt> = serde_json::from_str(PROMPTS).unwrap_or_default();
    prompts.sort_by_cached_key(Prompt::hash);
    prompts
}

/// A prompt as a paid job: what the chain would fix beforehand.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Its place in the order of hashes.
    pub index: usize,
    pub prompt_ids: Vec<u32>,
    /// The same without the system prompt, if there is one.
    pub without_system: Option<Vec<u32>>,
    pub sampling: Sampling,
}

/// Jobs apart: thresholds come from the first set, rates from the second.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    pub calibration: Vec<Job>,
    pub test: Vec<Job>,
}

/// Jobs of the first `count` prompts: two fifths to calibrate, the rest to test, at least one each.
pub fn split(formatter: &PromptFormatter, count: usize) -> Result<Split, PromptError> {
    let mut jobs = Vec::new();
    for (index, prompt) in prompts().iter().take(count).enumerate() {
        jobs.push(job(formatter, index, prompt)?);
    }
    let at = (jobs.len() * 2 / 5).max(1).min(jobs.len());
    let test = jobs.split_off(at);
    Ok(Split {
        calibration: jobs,
        test,
    })
}

fn job(formatter: &PromptFormatter, index: usize, prompt: &Prompt) -> Result<Job, PromptError> {
    let ids = |system: Option<&str>| {
        let system = system.map(|s| Message::new("system", s));
        let user = Message::new("user", prompt.user.as_str());
        let messages: Vec<Message> = system.into_iter().chain([user]).collect();
        match formatter.chat(&messages) {
            // A base model: the texts as they are.
            Err(PromptError::NoTemplate) => {
                let texts: Vec<&str> = messages.iter().map(|m| m.content.as_str()).collect();
                formatter.encode(&texts.join("\n\n"))
            }
            other => other,
        }
    };
    let hash = prompt.hash();
    Ok(Job {
        index,
        prompt_ids: ids(prompt.system.as_deref())?,
        without_system: match prompt.system {
            Some(_) => Some(ids(None)?),
            None => None,
        },
        sampling: Sampling {
            seed: sha256(&[domain::CALIBRATION_SEED, &hash]),
            // One in five is greedy.
            temperature_milli: [1_000, 700, 1_000, 1_300, 0][usize::from(hash[31]) % 5],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_set_is_large_varied_and_without_repeats() {
        let prompts = prompts();
        assert!(prompts.len() >= 60, "{}", prompts.len());
        let kinds: BTreeSet<_> = prompts.iter().map(|p| p.kind.as_str()).collect();
        for kind in ["chat", "code", "list", "language", "numbers"] {
            assert!(kinds.contains(kind), "{kind}");
        }
        let texts: BTreeSet<_> = prompts.iter().map(|p| (&p.system, &p.user)).collect();
        assert_eq!(texts.len(), prompts.len());
        assert!(prompts.iter().filter(|p| p.system.is_some()).count() >= 20);
    }
}
