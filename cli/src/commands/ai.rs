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
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    io::{IsTerminal, Read},
    path::{Path, PathBuf},
};

/// Ask a model. The answer goes to stdout as it is written, what it cost to stderr.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  mythic ai \"Why is the sky blue?\"\n  git diff | mythic ai --system \"Review this patch.\" -\n  mythic ai --json-schema city.json \"Name a city.\" | jq\n  mythic ai --json --temperature 0 \"2+2=\" | jq .mythic"
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
    /// Whether the model thinks before it answers, or how much, where its chat template can be told so
    #[arg(long, value_name = "HOW", value_parser = ["on", "off", "low", "medium", "high"])]
    thinking: Option<String>,
    #[command(flatten)]
    shape: Shape,
    /// Print the complete answer as one JSON object instead of streaming
    #[arg(long)]
    json: bool,
}

/// What shapes an answer: all of it needs a model whose results are compared to the bit.
#[derive(Args, Debug)]
#[command(next_help_heading = "How tokens are chosen")]
struct Shape {
    /// Draw from the likeliest tokens that together have this share of probability, 0 to 1
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    top_p: Option<f64>,
    /// Draw from this many of the likeliest tokens; 0 = all, 4 = what every model can do
    #[arg(long, value_name = "COUNT")]
    top_k: Option<u32>,
    /// Draw only tokens with this share of the likeliest one's probability, 0 to 1
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    min_p: Option<f64>,
    /// Take this off the logits of tokens that the answer has, -2 to 2
    #[arg(long, value_name = "PENALTY", allow_negative_numbers = true)]
    presence_penalty: Option<f64>,
    /// Take this off the logits for each time that the answer has the token, -2 to 2
    #[arg(long, value_name = "PENALTY", allow_negative_numbers = true)]
    frequency_penalty: Option<f64>,
    /// Divide the logits of tokens that the answer has by this; 1 = not
    #[arg(long, value_name = "FACTOR")]
    repetition_penalty: Option<f64>,
    /// Add this to a token's logit, -100 to 100; may be given often
    #[arg(long, value_name = "TOKEN=BIAS", value_parser = parse_bias)]
    logit_bias: Vec<(u32, f64)>,
    /// End the answer before this text; up to four times
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
    /// Answer with a JSON object
    #[arg(long, conflicts_with = "json_schema")]
    json_object: bool,
    /// Answer with JSON of the schema in this file
    #[arg(long, value_name = "FILE")]
    json_schema: Option<PathBuf>,
    /// Let the model call functions: a JSON list of tools, as OpenAI has them. Calls are printed as JSON, a line each
    #[arg(long, value_name = "FILE")]
    tools: Option<PathBuf>,
}

impl Shape {
    /// Adds what was said to a request's body.
    fn add_to(&self, body: &mut Value) -> Result<()> {
        let mut add = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                body[name] = value;
            }
        };
        add("top_p", self.top_p.map(Value::from));
        add("top_k", self.top_k.map(Value::from));
        add("min_p", self.min_p.map(Value::from));
        add("presence_penalty", self.presence_penalty.map(Value::from));
        add("frequency_penalty", self.frequency_penalty.map(Value::from));
        add(
            "repetition_penalty",
            self.repetition_penalty.map(Value::from),
        );
        let biases = self.logit_bias.iter();
        let biases: Map<String, Value> = biases
            .map(|(token, bias)| (token.to_string(), Value::from(*bias)))
            .collect();
        add(
            "logit_bias",
            (!biases.is_empty()).then(|| Value::from(biases)),
        );
        add(
            "stop",
            (!self.stop.is_empty()).then(|| Value::from(self.stop.clone())),
        );
        add(
            "response_format",
            self.json_object.then(|| json!({"type": "json_object"})),
        );
        if let Some(path) = &self.json_schema {
            let schema = json!({"name": "answer", "strict": true, "schema": read_json(path)?});
            let format = json!({"type": "json_schema", "json_schema": schema});
            add("response_format", Some(format));
        }
        if let Some(path) = &self.tools {
            add("tools", Some(read_json(path)?));
        }
        Ok(())
    }
}

/// The parameter that tells a chat template how to think, and its value.
fn thinking(how: &str) -> (&'static str, Value) {
    match how {
        "on" => ("enable_thinking", true.into()),
        "off" => ("enable_thinking", false.into()),
        effort => ("reasoning_effort", effort.into()),
    }
}

/// JSON out of a file that the command line names.
fn read_json(path: &Path) -> Result<Value> {
    let refused = |why: String| Exit::error(exit::USAGE, format!("{}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| refused(format!("not JSON: {error}")))
}

/// Parses a share.
fn parse_share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err("0 to 1".into()),
    }
}

/// Parses `TOKEN=BIAS`.
fn parse_bias(text: &str) -> Result<(u32, f64), String> {
    let parsed = text.split_once('=').and_then(|(token, bias)| {
        let bias: f64 = bias.parse().ok()?;
        Some((token.parse().ok()?, bias)).filter(|_| (-100.0..=100.0).contains(&bias))
    });
    parsed.ok_or_else(|| "a token's id, =, and -100 to 100".into())
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
    if let Some(how) = &args.thinking {
        let (name, value) = thinking(how);
        body[name] = value;
    }
    args.shape.add_to(&mut body)?;
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
    let mut calls = Calls::default();
    let mut has_text = false;
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
        let delta = &chunk["choices"][0]["delta"];
        if let Some(text) = delta["content"].as_str() {
            has_text |= !text.is_empty();
            out.write(text)?;
        }
        calls.take(&delta["tool_calls"]);
        if chunk["mythic"].is_object() {
            receipt = chunk["mythic"].clone();
        }
    }
    let lines = calls.lines();
    if has_text && !lines.is_empty() {
        out.write("\n")?;
    }
    out.write(&lines.join("\n"))?;
    out.end()?;
    Ok(receipt)
}

/// Calls of a stream, as far as they came.
#[derive(Default)]
struct Calls(BTreeMap<u64, (String, String)>);

impl Calls {
    fn take(&mut self, deltas: &Value) {
        for delta in deltas.as_array().into_iter().flatten() {
            let (name, arguments) = self
                .0
                .entry(delta["index"].as_u64().unwrap_or(0))
                .or_default();
            let function = &delta["function"];
            name.push_str(function["name"].as_str().unwrap_or_default());
            arguments.push_str(function["arguments"].as_str().unwrap_or_default());
        }
    }

    /// A line of JSON each; arguments that were cut off are text.
    fn lines(self) -> Vec<String> {
        let line = |(name, text): (String, String)| {
            let arguments = serde_json::from_str(&text).unwrap_or(Value::from(text));
            json!({"name": name, "arguments": arguments}).to_string()
        };
        self.0.into_values().map(line).collect()
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinking_is_switched_or_measured() {
        assert_eq!(thinking("on"), ("enable_thinking", json!(true)));
        assert_eq!(thinking("off"), ("enable_thinking", json!(false)));
        assert_eq!(thinking("low"), ("reasoning_effort", json!("low")));
    }
}
