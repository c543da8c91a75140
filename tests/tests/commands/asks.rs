//! Prompts and jobs.

use crate::tools::{has, json};
use anyhow::{Context, Result, ensure};
use mythic_e2e::{Network, ran};
use std::io::Write;
use std::process::Stdio;

/// ai, estimate, jobs; closing the vault.
pub async fn asks(network: &Network, wallet: &str) -> Result<()> {
    let estimate = network.mythic(&["estimate", "Why is the sky blue?", "--max-tokens", "16"])?;
    has(&estimate, &["prompt tokens", "ceiling cost", "SOL"])?;
    let priced = ["estimate", "Why?", "--max-tokens", "16", "--json"];
    let priced = json(&network.mythic(&priced)?)?;
    ensure!(
        priced["ceiling_cost_lamports"].as_u64() > Some(0),
        "{priced}"
    );

    let asked = ran(&mut network.command(&["ai", "Why is the sky blue?", "--max-tokens", "12"]))?;
    ensure!(
        asked.code == 0 && asked.stdout.trim().len() > 1,
        "{asked:?}"
    );
    has(&asked.stderr, &["SOL", "job ", "validator "])?;
    let mut piped = network
        .command(&[
            "ai",
            "-",
            "--max-tokens",
            "6",
            "--temperature",
            "0",
            "--json",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    piped
        .stdin
        .take()
        .context("stdin")?
        .write_all(b"Count to three.")?;
    let piped = json(&String::from_utf8(piped.wait_with_output()?.stdout)?)?;
    let job = piped["mythic"]["job"]
        .as_str()
        .with_context(|| piped.to_string())?
        .to_owned();
    network.mythic_fails(&["ai", "Hi", "--model", "gpt-9"], 4, &["model_not_found"])?;
    network.mythic_fails(
        &["ai", "Hi", "--max-tokens", "60000"],
        2,
        &["context_length_exceeded"],
    )?;

    let watched = network.mythic(&["jobs", "watch", &format!("chatcmpl-{job}")])?;
    has(&watched, &["settled (finalized)", "burned"])?;
    has(
        &network.mythic(&["jobs", "show", &job])?,
        &["fingerprint", "settled", "refunded", "submitted"],
    )?;
    let shown = json(&network.mythic(&["jobs", "show", &job, "--json"])?)?;
    ensure!(shown["status"] == "settled", "{shown}");
    has(&network.mythic(&["jobs", "list"])?, &["STATUS", &job])?;
    let lines = network.mythic(&[
        "jobs", "list", "--status", "settled", "--limit", "2", "--json",
    ])?;
    ensure!(lines.lines().count() == 2, "{lines}");
    for line in lines.lines() {
        ensure!(json(line)?["status"] == "settled", "{line}");
    }
    network.mythic_fails(&["jobs", "list", "--status", "lost"], 2, &["settled"])?;

    has(
        &network.mythic(&["vault", "close", "--keypair", wallet])?,
        &["closed", "went back"],
    )
}
