//! Bad input over HTTP: each has its documented error, and costs nothing. The network's chain speaks to its plugin as a validator of a new
//! cluster does, so that its genesis is a gap, which the index heals from the RPC.

use anyhow::{Context, Result, ensure};
use mythic_e2e::{Network, compare};
use reqwest::Method;
use serde_json::{Value, json};

/// A chat request with some of its fields changed.
fn chat(model: &str, change: Value) -> Value {
    let mut body = json!({"model": model, "messages": [{"role": "user", "content": "Hi"}], "max_completion_tokens": 4});
    for (key, value) in change.as_object().into_iter().flatten() {
        body[key] = value.clone();
    }
    body
}

async fn jobs(network: &Network) -> Result<usize> {
    let listed = network.get("/v1/jobs?limit=100").await?;
    let listed = listed["data"].as_array();
    Ok(listed.context("no list of jobs")?.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_has_its_documented_error_and_costs_nothing() -> Result<()> {
    let env = [("MYTHIC_CHAIN__GEYSER_AS_VALIDATOR", "true")];
    let network = Network::start_with(&["--validators", "1", "--slot-ms", "50"], &env).await?;
    let model = network.model().await?;
    let before = jobs(&network).await?;
    bad_chats(&network, &model).await?;
    bad_http(&network).await?;
    let bought = repeats(&network, &model).await?;
    // What was bought is there, and no refusal made a job.
    let bought = before + bought;
    network
        .until("/v1/jobs?limit=100", |jobs| {
            jobs["data"].as_array().map(Vec::len) >= Some(bought)
        })
        .await?;
    ensure!(jobs(&network).await? == bought, "{before} jobs before");
    let nobody = "/v1/jobs/11111111111111111111111111111111";
    let (status, _, _) = network.call(Method::GET, nobody, None).await?;
    ensure!(status == 404, "{status}");
    goes_away(&network, &model).await?;
    a_genesis_that_nobody_saw_is_healed(&network).await
}

/// What a validator tells of a genesis belongs to no block: a gap at its slot, and nothing else is amiss.
async fn a_genesis_that_nobody_saw_is_healed(network: &Network) -> Result<()> {
    let open = compare::Index::of(network).alarms().await?;
    let of_genesis = |alarm: &Value| alarm["kind"] == "gap" && alarm["last_slot"] == 0;
    ensure!(open.iter().any(of_genesis), "{open:?}");
    let rpc = network.text("rpc_url");
    network.mythic(&["indexer", "heal", "--from", &rpc])?;
    compare::clear(network).await?;
    compare::agree(network, &rpc).await?;
    Ok(())
}

async fn bad_chats(network: &Network, model: &str) -> Result<()> {
    let chat = |change: Value| chat(model, change);
    let cases: Vec<(&str, Value, u16, &str)> = vec![
        (
            "unknown model",
            chat(json!({"model": "gpt-9"})),
            404,
            "model_not_found",
        ),
        (
            "prompt past the context",
            chat(json!({"messages": [{"role": "user", "content": "word ".repeat(20_000)}]})),
            400,
            "context_length_exceeded",
        ),
        (
            "max_tokens past the context",
            chat(json!({"max_completion_tokens": 60_000})),
            400,
            "context_length_exceeded",
        ),
        (
            "max_tokens past what a job may have",
            chat(json!({"max_completion_tokens": 1_000_000})),
            400,
            "invalid_request",
        ),
        ("no messages", chat(json!({"messages": []})), 400, ""),
        (
            "the name of a function",
            chat(json!({"tools": [{"type": "function", "function": {"name": "<tool_call>"}}]})),
            400,
            "invalid_request",
        ),
        (
            "tools of another kind",
            chat(json!({"tools": [{"type": "web_search"}]})),
            400,
            "unsupported_parameter",
        ),
        ("top_p", chat(json!({"top_p": 1.5})), 400, "invalid_request"),
        (
            "a bias of no token",
            chat(json!({"logit_bias": {"4000000000": 1}})),
            400,
            "invalid_request",
        ),
        (
            "a schema that is none",
            chat(json!({"response_format": {"type": "json_schema", "json_schema": {"name": "s"}}})),
            400,
            "invalid_request",
        ),
        (
            "a schema that refers elsewhere",
            chat(
                json!({"response_format": {"type": "json_schema", "json_schema": {"name": "s",
                "schema": {"type": "object", "properties": {"a": {"$ref": "http://example.com/a"}}}}}}),
            ),
            400,
            "invalid_request",
        ),
        (
            "beams",
            chat(json!({"use_beam_search": true})),
            400,
            "unsupported_parameter",
        ),
        ("temperature", chat(json!({"temperature": 9})), 400, ""),
    ];
    for (what, body, status, code) in cases {
        let (got, headers, answer) = network
            .call(Method::POST, "/v1/chat/completions", Some(&body))
            .await?;
        ensure!(got == status, "{what}: {got} {answer}");
        let error = &answer["error"];
        for field in ["message", "type", "param", "code"] {
            ensure!(error.get(field).is_some(), "{what}: no {field} in {answer}");
        }
        ensure!(code.is_empty() || error["code"] == code, "{what}: {answer}");
        ensure!(
            headers.contains_key("x-request-id"),
            "{what}: no x-request-id"
        );
    }
    Ok(())
}

/// Not JSON, not a known route, not a known method, too large.
async fn bad_http(network: &Network) -> Result<()> {
    let raw = |method: Method, path: &str, body: Vec<u8>| {
        network
            .http
            .request(method, network.url(path))
            .header("content-type", "application/json")
            .body(body)
            .send()
    };
    for (what, method, path, body, status) in [
        (
            "malformed JSON",
            Method::POST,
            "/v1/chat/completions",
            b"{\"model\":".to_vec(),
            400,
        ),
        ("unknown route", Method::GET, "/v1/nothing", Vec::new(), 404),
        ("wrong method", Method::PUT, "/v1/models", Vec::new(), 405),
        (
            "oversized body",
            Method::POST,
            "/v1/chat/completions",
            vec![b' '; 3 << 20],
            413,
        ),
        (
            "a response to nothing",
            Method::POST,
            "/v1/responses",
            b"{}".to_vec(),
            400,
        ),
    ] {
        let response = raw(method, path, body).await?;
        let got = response.status().as_u16();
        let answer: Value = response.json().await.with_context(|| what.to_owned())?;
        ensure!(
            got == status && answer["error"]["message"].is_string(),
            "{what}: {got} {answer}"
        );
    }
    Ok(())
}

/// Same Idempotency-Key, another body; and the same body again pays once. Returns how many answers were bought.
async fn repeats(network: &Network, model: &str) -> Result<usize> {
    let chat = |change: Value| chat(model, change);
    let keyed = |body: Value| {
        let request = network
            .http
            .post(network.url("/v1/chat/completions"))
            .bearer_auth(network.text("api_key"));
        request
            .header("idempotency-key", "refusals-0123456789abcdef")
            .json(&body)
            .send()
    };
    let first: Value = keyed(chat(json!({}))).await?.json().await?;
    for _ in 0..2 {
        let again: Value = keyed(chat(json!({}))).await?.json().await?;
        ensure!(again["mythic"]["job"] == first["mythic"]["job"], "{again}");
    }
    let other = keyed(chat(json!({"max_completion_tokens": 5}))).await?;
    ensure!(other.status() == 422, "{}", other.status());
    let retried = || {
        let request = network
            .http
            .post(network.url("/v1/chat/completions"))
            .bearer_auth(network.text("api_key"));
        request
            .header("x-stainless-retry-count", "1")
            .json(&chat(json!({"seed": 99})))
            .send()
    };
    let one: Value = retried().await?.json().await?;
    let two: Value = retried().await?.json().await?;
    ensure!(
        one["mythic"]["job"].is_string() && one["mythic"]["job"] == two["mythic"]["job"],
        "{one} {two}"
    );
    Ok(2)
}

/// A client that goes away mid-stream pays for what it got.
async fn goes_away(network: &Network, model: &str) -> Result<()> {
    let story = json!({"stream": true, "max_completion_tokens": 400, "messages": [{"role": "user", "content": "Write a long story."}]});
    let mut response = network
        .http
        .post(network.url("/v1/chat/completions"))
        .bearer_auth(network.text("api_key"))
        .json(&chat(model, story))
        .send()
        .await?;
    let job = response.headers()["x-mythic-job-id"].to_str()?.to_owned();
    let mut read = 0;
    while let Some(chunk) = response.chunk().await? {
        read += chunk.len();
        if read > 1_500 {
            break;
        }
    }
    drop(response);
    let left = network.finalized(&job).await?;
    ensure!(
        left["status"] == "settled" && left["output_tokens"].as_u64() < Some(400),
        "{left}"
    );
    ensure!(
        left["fee_lamports"].as_u64() < left["ceiling_lamports"].as_u64(),
        "{left}"
    );
    Ok(())
}
