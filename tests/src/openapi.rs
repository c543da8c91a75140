//! Types that a client generates from `/openapi.json`, held against what a gateway answers.

use crate::{
    Network,
    clients::{npm, run, sources},
};
use anyhow::{Context, Result};
use serde_json::Value;
use std::{fmt::Write as _, process::Command};

/// What a route answered.
#[derive(Debug)]
pub struct Answered {
    /// The route as the description names it, for example `/v1/jobs/{id}`.
    pub route: String,
    /// `get` or `post`.
    pub method: &'static str,
    /// HTTP status.
    pub status: u16,
    /// JSON.
    pub body: Value,
}

/// Answers of every GET route that answers JSON: parameters are filled in with what the network has, and where a route wants more
/// (a signature, a case) its refusal is the answer.
pub async fn answers(network: &Network, described: &Value) -> Result<Vec<Answered>> {
    let job = network.text("own_job");
    let validators = network.get("/v1/validators").await?;
    let validator = validators["data"][0]["id"].as_str().unwrap_or_default();
    let model = network.model().await?;
    let first = async |list: &str| -> Result<String> {
        let list = network.get(list).await?;
        let id = list["data"][0]["id"].as_str();
        Ok(id.unwrap_or(validator).to_owned())
    };
    let (provider, lease) = (first("/v1/providers").await?, first("/v1/leases").await?);
    let request = first("/v1/requests").await?;
    let mut found = Vec::new();
    for (route, item) in described["paths"].as_object().context("paths")? {
        if !item["get"]["responses"]["200"]["content"]["application/json"].is_object() {
            continue;
        }
        let id = match route.as_str() {
            "/v1/models/{id}" | "/v1/models/{id}/prices" => &model,
            "/v1/validators/{id}" | "/v1/cases/{id}" => validator,
            "/v1/providers/{id}" => &provider,
            "/v1/requests/{id}" => &request,
            route if route.starts_with("/v1/leases/{id}") => &lease,
            _ => &job,
        };
        let names: &[&str] = match route.contains("{name}") {
            true => &[
                "daily",
                "burns",
                "slashes",
                "settlements",
                "fingerprints",
                "burned",
                "market",
                "none",
            ],
            false => &[""],
        };
        for name in names {
            let path = route
                .replace("{id}", id)
                .replace("{name}", name)
                .replace("{prompt_hash}", &"0".repeat(64));
            let (status, _, body) = network.call(reqwest::Method::GET, &path, None).await?;
            found.push(Answered {
                route: route.clone(),
                method: "get",
                status,
                body,
            });
        }
    }
    Ok(found)
}

/// Generates types from the description, and checks that each answer has the type of its route and status.
pub async fn type_check(described: &Value, answers: &[Answered]) -> Result<()> {
    let mut text = String::from("import type { Answer } from \"./check\";\n");
    for (number, answer) in answers.iter().enumerate() {
        let Answered {
            route,
            method,
            status,
            body,
        } = answer;
        writeln!(
            text,
            "export const answer{number}: Answer<\"{route}\", \"{method}\", {status}> = {body};"
        )?;
    }
    let described = described.to_string();
    tokio::task::spawn_blocking(move || {
        let dir = npm("openapi", &sources().join("openapi"), &["check.ts"])?;
        std::fs::write(dir.join("openapi.json"), described)?;
        std::fs::write(dir.join("answers.ts"), text)?;
        let tool = |name: &str| dir.join("node_modules/.bin").join(name);
        run(Command::new(tool("openapi-typescript"))
            .args(["openapi.json", "--output", "api.d.ts"])
            .current_dir(&dir))?;
        run(Command::new(tool("tsc"))
            .args(["--noEmit", "--strict", "--target", "es2022"])
            .args(["--module", "esnext", "--moduleResolution", "bundler"])
            .args(["check.ts", "answers.ts"])
            .current_dir(&dir))?;
        Ok(())
    })
    .await?
}
