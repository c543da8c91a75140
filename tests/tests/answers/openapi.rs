//! A client generated from `/openapi.json` reads what a gateway answers: every field has the type that is described.

use anyhow::{Context, Result, ensure};
use mythic_e2e::{
    Network,
    openapi::{Answered, answers, type_check},
};
use serde_json::json;

pub async fn answers_have_the_types_that_a_generated_client_expects(
    network: &Network,
) -> Result<()> {
    let request = ["lease", "request", "--seconds", "120", "--yes", "--json"];
    let leased: serde_json::Value = serde_json::from_str(&network.mythic(&request)?)?;
    let lease = leased["lease"].as_str().context("no lease")?;
    let running = |shown: &serde_json::Value| shown["status"] == "active";
    network
        .until(&format!("/v1/leases/{lease}"), running)
        .await?;
    let described = network.get("/openapi.json").await?;
    let mut found = answers(network, &described).await?;
    let model = network.model().await?;
    let chat =
        json!({"model": model, "max_tokens": 4, "messages": [{"role": "user", "content": "why?"}]});
    let prompt = json!({"model": model, "max_tokens": 4, "prompt": "why?"});
    for (path, body) in [
        ("/v1/estimate", &prompt),
        ("/v1/inference", &prompt),
        ("/v1/inference?wait=false", &prompt),
        ("/v1/chat/completions", &chat),
        ("/v1/completions", &prompt),
        (
            "/v1/responses",
            &json!({"model": model, "max_output_tokens": 4, "input": "why?"}),
        ),
        ("/v1/chat/completions", &json!({"model": model})),
    ] {
        let (status, _, body) = network
            .call(reqwest::Method::POST, path, Some(body))
            .await?;
        found.push(Answered {
            route: path.split('?').next().unwrap_or(path).to_owned(),
            method: "post",
            status,
            body,
        });
    }
    let of = |route: &str, status: u16| {
        found
            .iter()
            .any(|answer| answer.route == route && answer.status == status)
    };
    for (route, status) in [
        ("/v1/jobs", 200),
        ("/v1/jobs/{id}", 200),
        ("/v1/jobs/{id}/receipt", 200),
        ("/v1/jobs/{id}/evidence", 200),
        ("/v1/validators/{id}", 200),
        ("/v1/models/{id}/prices", 200),
        ("/v1/stats/{name}", 200),
        ("/v1/stats/{name}", 404),
        ("/v1/network", 200),
        ("/v1/market", 200),
        ("/v1/classes", 200),
        ("/v1/requests", 200),
        ("/v1/requests/{id}", 200),
        ("/v1/providers/{id}", 200),
        ("/v1/leases/{id}", 200),
        ("/v1/leases/{id}/epochs", 200),
        ("/v1/leases/{id}/disputes", 200),
        ("/health", 200),
        ("/v1/inference", 200),
        ("/v1/inference", 202),
        ("/v1/chat/completions", 200),
        ("/v1/chat/completions", 400),
        ("/v1/completions", 200),
        ("/v1/responses", 200),
    ] {
        ensure!(of(route, status), "no {status} of {route} was seen");
    }
    type_check(&described, &found).await
}
