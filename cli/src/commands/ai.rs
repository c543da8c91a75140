//! `mythic ai` and `mythic estimate`: one prompt, streamed; what it would cost.

use crate::{
    context::Connection,
    exit::{self, Exit},
    feed::events,
    note,
    report::Report,
    terminal::{self, Answer},
    units::{cell, sol},
};
use anyhow::{Context as _, Result};
use clap::Args;
use futures::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};
use std::io::{IsTerminal, Read};

/// Ask a model. The answer goes to stdout as it is written, what it cost to stderr.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  mythic ai \"Why is the sky blue?\"\n  git diff | mythic ai --system \"Review this patch.\" -\n  mythic ai --json --temperature 0 \"2+2=\" | jq .mythic"
)]
pub struct Ai {
    /// The prompt; `-` reads stdin
    prompt: String,
    /// Model id, as `mythic model list` shows it [default: the gateway's first]
    #[arg(long, short)]
    model: Option<String>,
    /// System message put before the prompt
    #[arg(long)]
    system: Option<String>,
    /// Most output tokens to pay for
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    max_tokens: Option<u32>,
    /// 0 to 2; 0 = always the likeliest token, and the same answer each time [default: the gateway's, 1]
    #[arg(long, value_parser = parse_temperature)]
    temperature: Option<f64>,
    /// Enters the draw of tokens together with the job's address: above temperature 0 an answer differs each time in
    /// spite of it, at 0 it changes nothing
    #[arg(long)]
    seed: Option<i64>,
    /// Print the complete answer as one JSON object instead of streaming
    #[arg(long)]
    json: bool,
}

/// Price a prompt without running it.
#[derive(Args, Debug)]
pub struct Estimate {
    /// The prompt; `-` reads stdin
    prompt: String,
    /// Model id [default: the gateway's first]
    #[arg(long, short)]
    model: Option<String>,
    /// Most output tokens
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    max_tokens: Option<u32>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Parses a temperature within the protocol's range.
pub fn parse_temperature(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(value) if (0.0..=2.0).contains(&value) => Ok(value),
        _ => Err("0 to 2".into()),
    }
}

fn read_prompt(prompt: &str) -> Result<String> {
    if prompt != "-" {
        return Ok(prompt.to_owned());
    }
    if std::io::stdin().is_terminal() {
        note!("Reading the prompt from the terminal; end it with Ctrl-D.");
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    Ok(text)
}

async fn model_or_first(connection: &Connection, model: Option<String>) -> Result<String> {
    if let Some(model) = model {
        return Ok(model);
    }
    let models = connection.gateway()?.get("/v1/models").await?;
    models["data"][0]["id"]
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| {
            Exit::error(
                exit::NOT_FOUND,
                "the gateway serves no model yet; `mythic network` shows whether validators are up",
            )
        })
}

/// Runs `mythic ai`.
pub async fn ai(args: Ai, connection: &Connection) -> Result<()> {
    let gateway = connection.gateway()?;
    let mut messages = Vec::new();
    if let Some(system) = &args.system {
        messages.push(json!({"role": "system", "content": system}));
    }
    messages.push(json!({"role": "user", "content": read_prompt(&args.prompt)?}));
    let mut body = json!({
        "model": model_or_first(connection, args.model).await?,
        "messages": messages,
        "stream": !args.json,
    });
    if let Some(max) = args.max_tokens {
        body["max_completion_tokens"] = max.into();
    }
    if let Some(temperature) = args.temperature {
        body["temperature"] = temperature.into();
    }
    if let Some(seed) = args.seed {
        body["seed"] = seed.into();
    }
    if args.json {
        let answer = gateway.post("/v1/chat/completions", &body).await?;
        return terminal::json(&answer);
    }
    let response = gateway
        .send(
            gateway
                .request(Method::POST, "/v1/chat/completions")
                .json(&body),
        )
        .await?;
    let receipt = print_stream(response).await?;
    if let Some(cost) = receipt["cost_lamports"].as_u64() {
        note!(
            "{} · job {} · validator {}",
            sol(cost),
            cell(&receipt["job"]),
            cell(&receipt["validator"])
        );
    }
    Ok(())
}

/// Prints a streamed answer as it comes. Returns what the gateway says of its job.
async fn print_stream(response: reqwest::Response) -> Result<Value> {
    let mut stream = events(response);
    let mut out = Answer::stdout();
    let mut receipt = Value::Null;
    while let Some(event) = stream.next().await {
        let event = event?;
        if event.data == "[DONE]" {
            break;
        }
        let chunk: Value = serde_json::from_str(&event.data).context("the gateway's stream")?;
        if let Some(message) = chunk["error"]["message"].as_str() {
            out.end()?;
            return Err(Exit::error(
                exit::FAILURE,
                format!("the answer broke off: {message}"),
            ));
        }
        if let Some(text) = chunk["choices"][0]["delta"]["content"].as_str() {
            out.write(text)?;
        }
        if chunk["mythic"].is_object() {
            receipt = chunk["mythic"].clone();
        }
    }
    out.end()?;
    Ok(receipt)
}

/// Runs `mythic estimate`.
pub async fn estimate(args: Estimate, connection: &Connection) -> Result<()> {
    let gateway = connection.gateway()?;
    let mut body = json!({
        "model": model_or_first(connection, args.model).await?,
        "prompt": read_prompt(&args.prompt)?,
    });
    if let Some(max) = args.max_tokens {
        body["max_tokens"] = max.into();
    }
    let answer = gateway.post("/v1/estimate", &body).await?;
    if args.json {
        return terminal::json(&answer);
    }
    let mut report = Report::default();
    for field in [
        "model",
        "prompt_tokens",
        "max_output_tokens",
        "expected_output_tokens",
    ] {
        report.add(field, answer[field].clone());
    }
    report
        .lamports("estimated_cost", answer["estimated_cost_lamports"].as_u64())
        .lamports("ceiling_cost", answer["ceiling_cost_lamports"].as_u64())
        .print(false)
}
