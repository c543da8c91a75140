//! What shares no code with the nodes checks their answers: the Python in `tests/verifier`, by the model's file, the accounts' bytes
//! and the evidence.

use anyhow::{Context, Result, ensure};
use base64::{Engine, prelude::BASE64_STANDARD};
use mythic_e2e::{Network, python};
use mythic_interface::state::Job;
use serde_json::{Value, json};
use solana_pubkey::Pubkey;
use std::{path::Path, process::Command};

/// An account's bytes in base64.
async fn account(network: &Network, address: &str) -> Result<String> {
    let asked = json!([address, {"encoding": "base64"}]);
    let found = network.rpc("getAccountInfo", asked).await?;
    let data = found["value"]["data"][0].as_str();
    Ok(data.with_context(|| format!("{address}: {found}"))?.into())
}

/// What the verifier is given of a job.
async fn subject(network: &Network, id: &str, file: &Path) -> Result<Value> {
    let job = account(network, id).await?;
    let bytes = BASE64_STANDARD.decode(&job)?;
    let state = Job::load(&bytes).ok().context("a job")?;
    let model = Pubkey::new_from_array(state.terms.model).to_string();
    Ok(json!({
        "file": file,
        "address": id,
        "job": job,
        "model": account(network, &model).await?,
        "evidence": network.get(&format!("/v1/jobs/{id}/evidence")).await?,
    }))
}

/// What the verifier finds.
fn verify(subject: &Value) -> Result<Value> {
    let file = tempfile::NamedTempFile::new()?;
    serde_json::to_writer(&file, subject)?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("verifier/verify.py");
    let output = Command::new(python()?)
        .arg(script)
        .arg(file.path())
        .output()?;
    serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

pub async fn a_verifier_that_shares_no_code_finds_answers_honest_and_altered_evidence_withheld(
    network: &Network,
) -> Result<()> {
    let file = mythic_model::catalogue::fetch(|_| ()).await?;
    let model = network.model().await?;
    let city = json!({"type": "object", "properties": {"city": {"enum": ["Bern", "Rome"]}}, "required": ["city"], "additionalProperties": false});
    let format = json!({"type": "json_schema", "json_schema": {"name": "city", "schema": city}});
    // All but the first are by options: sampling profile 2.
    for (temperature, options) in [
        (0.8, json!({})),
        (0.8, json!({"top_p": 0.7, "frequency_penalty": 0.5})),
        (0.0, json!({"presence_penalty": 1.0, "stop": ["."]})),
        (0.8, json!({"response_format": format})),
    ] {
        let mut chat = json!({
            "model": model,
            "messages": [{"role": "user", "content": "Name two colours."}],
            "max_tokens": 8,
            "temperature": temperature,
        });
        for (name, value) in options.as_object().context("options")? {
            chat[name] = value.clone();
        }
        let answer = network.post("/v1/chat/completions", &chat).await?;
        let id = answer["mythic"]["job"].as_str().context("a job")?;
        network.finalized(id).await?;
        let subject = subject(network, id, &file).await?;
        let found = verify(&subject)?;
        ensure!(found == json!({"finding": "honest"}), "{options}: {found}");
        let mut altered = subject.clone();
        let logit = &mut altered["evidence"]["leaves"][0][0][1];
        *logit = json!(logit.as_i64().context("a logit")? - 1);
        let found = verify(&altered)?;
        ensure!(found["what"] == "fingerprint", "{options}: {found}");
    }
    Ok(())
}
