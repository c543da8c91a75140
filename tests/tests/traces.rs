//! Traces of one chat through a whole network: a collector is told of every part of it, in one tree, and of nothing that was said.

use anyhow::{Context, Result, ensure};
use mythic_e2e::{
    Network, PATIENCE,
    otlp::{Collector, Told},
};
use serde_json::{Value, json};
use std::{collections::HashSet, time::Instant};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";
const UNWANTED: &str = "5bf92f3577b34da6a3ce929d0e0e4737";
/// Stands in the prompt, and is no word that an answer would have.
const SECRET: &str = "quetzalcoatlus-7391";

async fn chat(network: &Network, trace: &str, flags: &str) -> Result<Value> {
    let body = json!({
        "model": network.model().await?,
        "messages": [{"role": "user", "content": format!("Say hello to {SECRET}.")}],
        "max_tokens": 12,
    });
    let response = network
        .http
        .post(network.url("/v1/chat/completions"))
        .header("traceparent", format!("00-{trace}-{SPAN}-{flags}"))
        .json(&body)
        .send()
        .await?;
    ensure!(response.status() == 200, "{}", response.text().await?);
    Ok(response.json().await?)
}

/// Waits for a span with this name that is good. There may be others: of a validator that was asked before, of a crank sent again.
async fn span(collector: &Collector, name: &str, good: impl Fn(&Told) -> bool) -> Result<Told> {
    let began = Instant::now();
    loop {
        let spans = collector.spans();
        let mut named = spans.iter().filter(|told| told.span.name == name);
        if let Some(told) = named.find(|told| good(told)) {
            return Ok(told.clone());
        }
        let names: Vec<_> = spans.iter().map(|told| &told.span.name).collect();
        ensure!(began.elapsed() < PATIENCE, "no span {name} among {names:?}");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn one_chat_is_one_tree_and_nothing_that_was_said_is_in_it() -> Result<()> {
    let collector = Collector::start()?;
    let endpoint = collector.url();
    let mut env = vec![("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())];
    let shares = ["GATEWAY", "NODE", "INDEXER", "SETTLER"].map(|process| {
        let key = |key: &str| format!("MYTHIC_{process}__TRACES__{key}");
        [(key("SAMPLE"), "1.0"), (key("PER_SECOND"), "10000")]
    });
    let shares = shares.iter().flatten();
    env.extend(shares.map(|(name, value)| (name.as_str(), *value)));
    let network = Network::start_with(&["--slot-ms", "100"], &env).await?;
    // Marked as not wanted: nothing of it may come. Its end precedes that of the next.
    chat(&network, UNWANTED, "00").await?;
    let answer = chat(&network, TRACE, "01").await?;
    let job = answer["mythic"]["job"].as_str().or(answer["id"].as_str());
    let job = job.context("the job's id")?.trim_start_matches("chatcmpl-");
    let ours = |told: &Told| told.trace() == TRACE;

    let request = span(&collector, "POST /v1/chat/completions", ours).await?;
    ensure!(request.parent() == SPAN && request.service == "mythic-gateway");
    ensure!(request.attribute("http.response.status_code") == 200);
    let model = network.model().await?;
    let name = format!("chat {}", model.split('@').next().unwrap_or_default());
    let good = |told: &Told| ours(told) && !told.failed();
    let asked = span(&collector, &name, good).await?;
    ensure!(asked.parent() == request.id(), "{asked:?}");
    let part_of_asked = |told: &Told| ours(told) && told.parent() == asked.id();
    check_conventions(&asked, &answer, job)?;
    let part_of_request = |told: &Told| ours(told) && told.parent() == request.id();
    span(&collector, "find a validator", part_of_request).await?;
    for name in ["see the job on chain", "see the result on chain"] {
        span(&collector, name, part_of_asked).await?;
    }

    let taken = span(&collector, "POST /v1/inference", part_of_asked).await?;
    ensure!(taken.service == "mythic-node", "{taken:?}");
    ensure!(taken.attribute("mythic.job") == job, "{taken:?}");
    for name in ["generate", "submit result"] {
        let part_of_taken = |told: &Told| ours(told) && told.parent() == taken.id();
        span(&collector, name, part_of_taken).await?;
    }

    check_job(&collector, &asked, job).await?;
    ensure!(
        !collector
            .spans()
            .iter()
            .any(|told| told.trace() == UNWANTED)
    );
    check_silence(&network, &collector, &answer)?;
    check_logs(&network)?;
    Ok(())
}

/// Names and numbers as OpenTelemetry wants them.
fn check_conventions(asked: &Told, answer: &Value, job: &str) -> Result<()> {
    let usage = &answer["usage"];
    for (name, value) in [
        ("gen_ai.operation.name", json!("chat")),
        ("gen_ai.provider.name", json!("mythic")),
        ("gen_ai.request.max_tokens", json!(12)),
        ("gen_ai.usage.input_tokens", usage["prompt_tokens"].clone()),
        (
            "gen_ai.usage.output_tokens",
            usage["completion_tokens"].clone(),
        ),
        (
            "gen_ai.response.finish_reasons",
            json!([answer["choices"][0]["finish_reason"]]),
        ),
        ("mythic.job", json!(job)),
    ] {
        let told = asked.attribute(name);
        ensure!(told == value, "{name} = {told}, not {value}");
    }
    ensure!(asked.attribute("gen_ai.request.model").is_string() && !asked.failed());
    Ok(())
}

/// What indexer and settler do with the job is in the trace that the request links to.
async fn check_job(collector: &Collector, asked: &Told, job: &str) -> Result<()> {
    let link = asked.span.links.first().context("no link to the job")?;
    let trace = hex::encode(&link.trace_id);
    let of_job = |told: &Told| told.trace() == trace && told.attribute("mythic.job") == job;
    let claimed = span(collector, "settle claim", of_job).await?;
    ensure!(claimed.service == "mythic-settler" && claimed.parent() == hex::encode(&link.span_id));
    let settled = |told: &Told| of_job(told) && told.attribute("mythic.state") == "settled";
    let settled = span(collector, "index job", settled).await?;
    ensure!(settled.service == "mythic-indexer");
    let spans = collector.spans();
    let states = spans
        .iter()
        .filter(|told| of_job(told))
        .map(|told| told.attribute("mythic.state"));
    let states: HashSet<String> = states
        .filter_map(|state| Some(state.as_str()?.to_owned()))
        .collect();
    ensure!(states.contains("submitted"), "{states:?}");
    Ok(())
}

/// Neither prompt nor answer nor any key or secret of the network is in what came.
fn check_silence(network: &Network, collector: &Collector, answer: &Value) -> Result<()> {
    ensure!(!collector.holds(SECRET), "the prompt is in a span");
    let text = answer["choices"][0]["message"]["content"]
        .as_str()
        .unwrap_or_default();
    ensure!(
        text.len() < 8 || !collector.holds(text),
        "the answer is in a span"
    );
    let key = network.text("api_key");
    ensure!(
        key.len() > 8 && !collector.holds(&key),
        "the API key is in a span"
    );
    Ok(())
}

fn check_logs(network: &Network) -> Result<()> {
    let log = std::fs::read_to_string(network.data_dir().join("logs/gateway.log"))?;
    ensure!(
        log.contains(TRACE),
        "the gateway's log does not name the trace"
    );
    Ok(())
}
