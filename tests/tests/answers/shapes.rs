//! Official clients shape answers on real processes: functions, JSON of a schema, options of sampling, text completions, responses.

use anyhow::{Context, Result, ensure};
use mythic_e2e::{
    Network,
    clients::{shapes_node, shapes_python},
};
use mythic_interface::state::{Job, SamplingProfile};
use serde_json::json;

pub async fn official_clients_call_functions_ask_for_json_and_stream_responses(
    network: &Network,
) -> Result<()> {
    let python = shapes_python(network).await?;
    ensure!(python["finish_reason"] == "tool_calls", "{python}");
    let call = &python["call"];
    ensure!(
        call[0] == "weather" && call[1]["city"].is_string(),
        "{python}"
    );
    // At temperature 0 the stream says what the whole answer said.
    ensure!(
        python["streamed"] == json!([["weather"], call[1]]),
        "{python}"
    );
    ensure!(python["parsed"]["is_capital"].is_boolean(), "{python}");
    let fingerprint = python["drawn"].as_str().context("no fingerprint")?;
    ensure!(fingerprint.ends_with("_full"), "{python}");
    let text = python["completion"].as_str().unwrap_or_default();
    ensure!(!text.is_empty(), "{python}");
    ensure!(python["events"][0] == "response.created", "{python}");
    ensure!(
        python["deltas"] == python["output_text"] && python["deltas"] != "",
        "{python}"
    );
    ensure!(
        python["usage"]["input_tokens"].as_u64() > Some(0),
        "{python}"
    );
    ensure!(python["response_call"][0] == "function_call", "{python}");
    ensure!(python["refused"] == "previous_response_id", "{python}");

    let node = shapes_node(network).await?;
    ensure!(
        node["seen"].as_array().is_some_and(|seen| !seen.is_empty()),
        "{node}"
    );
    ensure!(node["json"]["city"].is_string(), "{node}");
    ensure!(
        node["events"][0] == "response.created" && node["text"] != "",
        "{node}"
    );

    // An answer by a grammar is checked like any other, and settles.
    let model = network.model().await?;
    let asked = json!({"model": model, "max_completion_tokens": 60, "messages": [{"role": "user", "content": "Name a city."}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "city", "schema":
            {"type": "object", "properties": {"city": {"enum": ["Bern", "Rome"]}}, "required": ["city"], "additionalProperties": false}}}});
    let answer = network.post("/v1/chat/completions", &asked).await?;
    let id = answer["mythic"]["job"].as_str().context("no job")?;
    let settled = network.finalized(id).await?;
    ensure!(settled["status"] == "settled", "{settled}");
    let (_, job) = network
        .chain()
        .account::<Job>(&id.parse()?)
        .await?
        .context("the job is gone")?;
    ensure!(job.terms.sampling_profile == SamplingProfile::SeededFull as u8);
    network.mythic(&["verify", id, "--quiet"])?;
    Ok(())
}
