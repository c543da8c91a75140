//! The prompt of an open job, which somebody else holds.

use std::time::Duration;

use mythic_wire::{
    self as wire, PromptBody,
    dial::{self, Ask},
    signed::purpose,
};
use tracing::Instrument;

use super::JobTask;
use crate::{
    keep::journal::{Prompt, Record},
    serve::{admit, fsm::Event, jobs::Jobs, messages::Msg},
};

/// How often the prompt is asked for before the job is declined; the gateway's view of the chain may lag.
const PROMPT_TRIES: u32 = 3;
const PROMPT_PAUSE: Duration = Duration::from_millis(700);
/// How long all that may take.
const PROMPT_PATIENCE: Duration = Duration::from_secs(5);

impl JobTask {
    pub(super) fn fetch_prompt(&self) {
        let Some(state) = self.on_chain else { return };
        let (node, inbox) = (self.node.clone(), self.inbox.clone());
        let source = self.source.clone();
        tokio::spawn(
            async move {
                let asked = ask_for_prompt(&node, &source, &state.terms.prompt_hash);
                let answer = match tokio::time::timeout(PROMPT_PATIENCE, asked).await {
                    Ok(answer) => answer,
                    Err(_) => Err(format!("no prompt within {} s", PROMPT_PATIENCE.as_secs())),
                };
                tracing::debug!(came = answer.is_ok(), "prompt");
                let _ = inbox.send(Msg::Prompt(answer)).await;
            }
            .in_current_span(),
        );
    }

    pub(super) async fn take_prompt(&mut self, body: PromptBody) -> Result<(), String> {
        let work = self.work.as_ref().ok_or("the terms are not known")?;
        let salt = wire::parse_salt(&body.salt).ok_or("its salt is not 32 hex digits")?;
        let vocabulary = self.model.backend.vocab_size();
        let asked = admit::Brought {
            ids: &body.prompt_ids,
            salt: &salt,
            stop: &body.stop,
            options: body.options.as_deref(),
        };
        work.check_prompt(&asked, vocabulary)
            .map_err(|e| e.to_string())?;
        if body.prompt_ids.iter().any(|id| *id as usize >= vocabulary) {
            return Err("it has a token outside the vocabulary".into());
        }
        admit::check_open_options(body.options.as_deref()).map_err(|e| e.to_string())?;
        let prompt = Prompt {
            ids: body.prompt_ids,
            salt: body.salt,
            stop: body.stop,
            options: body.options,
        };
        if !self
            .node
            .note(Record::Prompt {
                job: self.job.to_string(),
                prompt: prompt.clone(),
            })
            .await
        {
            return Err("the journal can't be written".into());
        }
        self.prompt = Some(prompt);
        Ok(())
    }

    pub(super) async fn no_prompt(&mut self, reason: &str) {
        tracing::info!(source = %self.source, %reason, "no prompt; declining");
        if let Some(wait) = self.wait.take() {
            wait.failed(std::time::Instant::now());
        }
        self.apply(Event::PromptFailed).await;
    }
}

/// Asks the source of an open job's prompt for it, a few times.
async fn ask_for_prompt(
    node: &Jobs,
    source: &str,
    prompt_hash: &[u8; 32],
) -> Result<PromptBody, String> {
    let source = wire::Origin::parse(source).map_err(|error| error.to_string())?;
    let hash = hex::encode(prompt_hash);
    let path = format!("/v1/prompts/{hash}");
    let mut reason = String::new();
    for attempt in 0..PROMPT_TRIES {
        tokio::time::sleep(PROMPT_PAUSE * attempt).await;
        let ask = Ask {
            origin: &source,
            method: reqwest::Method::GET,
            path: &path,
            purpose: &purpose::prompt(&hash),
            body: Vec::new(),
            max_bytes: wire::MAX_BODY,
            patience: PROMPT_PATIENCE,
        };
        match dial::ask(ask, &node.keys.operator, node.config.allow_loopback).await {
            Ok(bytes) => return serde_json::from_slice(&bytes).map_err(|e| e.to_string()),
            Err(error) => {
                reason = error.to_string();
                if !error.is_transient() {
                    break;
                }
            }
        }
    }
    Err(reason)
}
