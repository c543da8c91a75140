//! `mythic dev ask`: buys an answer from a validator of one's choice. A gateway would choose by speed and load.

use super::{control, state::DevState};
use crate::{
    commands::ai::parse_temperature,
    exit::{self, Exit},
    feed::events,
    gateway::ANSWER_PATIENCE,
    note,
    terminal::{self, Answer},
};
use anyhow::{Context, Result};
use clap::Args;
use futures::StreamExt;
use mythic_client::{ChainClient, Commitment, ix, keys, pda, sign_partly};
use mythic_interface::{
    hash,
    ix::RequestInference,
    le::{Text, U16, U32},
    state::{Config, Model, SamplingProfile},
    window,
};
use mythic_lab::cheat::Told;
use mythic_model::prompt::{Message, PromptFormatter};
use mythic_sampling::{Options, PPM, grammar};
use mythic_wire::{Finish, InferenceRequest, NodeEvent, encode_transaction};
use serde_json::{Value, json};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use std::{collections::BTreeMap, path::Path};

/// Slots until the job's deadline, and until its nonce expires.
const DEADLINE_SLOTS: u32 = 1_000;

/// Buy an answer from one validator, paid from the DEV account's vault
#[derive(Args, Debug)]
pub struct Ask {
    /// Number of the validator, from 1
    #[arg(long)]
    validator: usize,
    /// The prompt
    prompt: String,
    /// Most output tokens to pay for
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    max_tokens: u32,
    /// 0 = always the likeliest token
    #[arg(long, default_value_t = 1.0, value_parser = parse_temperature)]
    temperature: f64,
    /// Draw from the likeliest tokens that together have this probability, above 0, up to 1
    #[arg(long, value_parser = parse_top_p)]
    top_p: Option<f64>,
    /// Add to the logit of a token, -100 to 100, as ID=BIAS; can be given again
    #[arg(long, value_name = "ID=BIAS", value_parser = parse_bias, allow_hyphen_values = true)]
    logit_bias: Vec<(u32, i32)>,
    /// Have the answer be a JSON object
    #[arg(long)]
    json_object: bool,
    /// Print one JSON object at the end instead of streaming
    #[arg(long)]
    json: bool,
}

/// What came back.
#[derive(Default)]
pub struct Got {
    pub job: String,
    text: String,
    output_ids: Vec<u32>,
    /// Known once the validator has shown its evidence.
    finish: Option<Finish>,
}

impl Ask {
    /// One whose answer is not printed.
    pub fn quietly(validator: usize, prompt: &str, max_tokens: u32) -> Self {
        Self {
            validator,
            prompt: prompt.into(),
            max_tokens,
            temperature: 1.0,
            top_p: None,
            logit_bias: Vec::new(),
            json_object: false,
            json: true,
        }
    }

    /// What the answer is to be drawn by, if that is said.
    fn options(&self) -> Option<Options> {
        let bias: BTreeMap<u32, i32> = self.logit_bias.iter().copied().collect();
        let options = Options {
            // At most one, as the command line allows.
            top_p_ppm: self
                .top_p
                .map_or(PPM, |p| ((p * f64::from(PPM)).round() as u32).max(1)),
            logit_bias: bias.into_iter().filter(|(_, bias)| *bias != 0).collect(),
            grammar: self.json_object.then(grammar::json_object),
            ..Options::default()
        };
        (!options.is_neutral()).then_some(options)
    }

    /// Buys the answer; without `json` it is printed as it comes.
    pub async fn buy(&self, state: &DevState) -> Result<Got> {
        let validator = state.validator(self.validator)?;
        let request = self.request(state).await?;
        let client = mythic_http::client::builder()
            .read_timeout(ANSWER_PATIENCE)
            .build()?;
        let url = format!("{}/v1/inference", validator.endpoint);
        let response = client.post(&url).json(&request).send().await;
        let response = response.map_err(|error| {
            Exit::error(
                exit::UNREACHABLE,
                format!(
                    "validator {} does not answer at {url}: {error}",
                    self.validator
                ),
            )
        })?;
        if !response.status().is_success() {
            let body: Value = response.json().await.unwrap_or(Value::Null);
            let why = body["error"]["message"].as_str().unwrap_or("no reason");
            return Err(Exit::error(
                exit::FAILURE,
                format!("validator {} refuses: {why}", self.validator),
            ));
        }
        self.read(response, &request.job).await
    }

    pub async fn run(self, data_dir: &Path) -> Result<()> {
        let state = control::running(data_dir)?;
        let validator = state.validator(self.validator)?;
        let got = self.buy(&state).await?;
        if self.json {
            let object = json!({
                "job": got.job,
                "validator": validator.authority,
                "text": got.text,
                "output_ids": got.output_ids,
                "finish_reason": got.finish.map(Finish::as_str),
            });
            return terminal::json_line(&object);
        }
        if got.finish.is_none() {
            note!("The validator shows no evidence of this answer.");
        }
        note!("job {} · validator {}", got.job, validator.authority);
        Ok(())
    }

    async fn read(&self, response: reqwest::Response, job: &str) -> Result<Got> {
        let mut got = Got {
            job: job.to_owned(),
            ..Got::default()
        };
        let mut stream = events(response);
        let mut out = Answer::stdout();
        while let Some(event) = stream.next().await {
            match serde_json::from_str(&event?.data).context("the validator's stream")? {
                NodeEvent::Accepted { .. } => {}
                NodeEvent::Token { token, text, .. } => {
                    got.output_ids.push(token);
                    got.text.push_str(&text);
                    if !self.json {
                        out.write(&text)?;
                    }
                }
                NodeEvent::Done { finish_reason, .. } => got.finish = Some(finish_reason),
                NodeEvent::Error { message, .. } => {
                    return Err(Exit::error(
                        exit::FAILURE,
                        format!("the answer of job {job} broke off: {message}"),
                    ));
                }
            }
        }
        if !self.json {
            out.end()?;
        }
        Ok(got)
    }

    /// The prompt, and the transaction that pays for it.
    async fn request(&self, state: &DevState) -> Result<InferenceRequest> {
        let validator = state.validator(self.validator)?;
        let config = &state.process(&validator.process)?.config;
        let config: Told = toml::from_str(&std::fs::read_to_string(config)?)?;
        let config = config.node;
        let served = config
            .models
            .first()
            .context("the validator serves no model")?;
        let identity = served.identity.as_deref().unwrap_or_default();
        let identity: [u8; 32] = hex::decode(identity)
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .context("the validator's configuration names no model")?;
        let path = served.path.clone();
        let message = Message::new("user", &self.prompt);
        let prompt_ids =
            tokio::task::spawn_blocking(move || PromptFormatter::from_gguf(path)?.chat(&[message]))
                .await??;

        let chain = ChainClient::new(&state.rpc_url, &state.ws_url);
        let model = pda::model(&identity);
        let (_, account) = chain
            .account::<Model>(&model)
            .await?
            .context("the model is not on chain")?;
        let (_, network) = chain
            .account::<Config>(&pda::config())
            .await?
            .context("the program is not initialised")?;
        let dev = state.keys.get("dev").context("no DEV key in dev.json")?;
        let dev = keys::load_keypair(&dev.path)?;
        let owner = dev.pubkey();
        // A new key is 32 bytes that nobody can guess.
        let [seed, random] = [(); 2].map(|()| Keypair::new().pubkey().to_bytes());
        let (salt, tag) = (first::<16>(&random), first::<8>(&seed));
        let options = self.options();
        let (profile, options_hash) = match &options {
            Some(options) => (SamplingProfile::SeededFull, options.hash(&salt)?),
            None => (SamplingProfile::SeededTop4, [0; 32]),
        };
        let slot = chain.slot(Commitment::Processed).await?;
        let args = RequestInference {
            nonce: window::nonce(slot + u64::from(DEADLINE_SLOTS), tag),
            canceller: owner.to_bytes(),
            prompt_hash: hash::prompt_hash(&salt, &prompt_ids),
            prompt_tokens: U32::new(u32::try_from(prompt_ids.len())?),
            max_output_tokens: U32::new(self.max_tokens),
            price_in: account.price_in,
            price_out: account.price_out,
            user_seed: seed,
            // At most 2,000, as the command line allows.
            temperature_milli: U16::new((self.temperature * 1_000.0).round() as u16),
            sampling_profile: profile as u8,
            options_hash,
            prompt_source: Text::new("").context("an empty text")?,
            deadline_slots: U32::new(DEADLINE_SLOTS),
            rules_hash: network.rules_hash,
            bump: 0,
        };
        let key = |text: &str| text.parse::<Pubkey>().context("a key in dev.json");
        let who = ix::Requester {
            payer: owner,
            requester: owner,
            owner,
            model,
            validator: Some((key(&validator.authority)?, key(&validator.operator)?)),
        };
        let blockhash = chain.latest_blockhash(Commitment::Finalized).await?;
        let instruction = ix::request_inference(&who, &args);
        let transaction = sign_partly(&[instruction], &owner, &[&dev], blockhash.hash)?;
        Ok(InferenceRequest {
            transaction: encode_transaction(&transaction)?,
            job: pda::job(owner, &args.nonce).to_string(),
            prompt_ids,
            salt: hex::encode(salt),
            stop: Vec::new(),
            options: options.map(|options| options.to_wire()).transpose()?,
            logprobs: false,
        })
    }
}

fn parse_top_p(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(p) if p > 0.0 && p <= 1.0 => Ok(p),
        _ => Err("expected a number above 0, up to 1".into()),
    }
}

/// A token id and its bias in thousandths.
fn parse_bias(text: &str) -> Result<(u32, i32), String> {
    let parsed = text.split_once('=').and_then(|(id, bias)| {
        let bias: f64 = bias.parse().ok()?;
        let within = (-100.0..=100.0).contains(&bias);
        within.then_some((id.parse().ok()?, (bias * 1_000.0).round() as i32))
    });
    parsed.ok_or_else(|| "expected ID=BIAS, with a bias of -100 to 100".into())
}

fn first<const N: usize>(bytes: &[u8; 32]) -> [u8; N] {
    std::array::from_fn(|i| bytes[i])
}
