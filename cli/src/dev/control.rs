//! Commands to a development network that runs.

use super::{layout, ready, state::DevState};
use crate::{
    exit::{self, Exit},
    progress::Step,
    say, terminal,
    units::print_table,
};
use anyhow::{Context, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// Longest that a call may take: ten thousand slots at once do take a while.
const CALL_PATIENCE: Duration = Duration::from_secs(600);
/// Longer than every process and the database may take to stop.
const STOP_PATIENCE: Duration = Duration::from_secs(120);

/// Advances the network by `slots` at once.
pub async fn warp(data_dir: &Path, slots: u64, json: bool) -> Result<()> {
    let state = running(data_dir)?;
    let now = rpc(&state.rpc_url, "mythic_advanceSlots", json!([slots])).await?;
    match json {
        true => terminal::json(&now)?,
        false => say!("slot {}", now["processedSlot"]),
    }
    Ok(())
}

/// Prints what `mythic dev` said at Ready, and how its processes are.
pub async fn status(data_dir: &Path, json: bool) -> Result<()> {
    let state = running(data_dir)?;
    if json {
        return terminal::json(&state);
    }
    let stop = format!(
        "`mythic dev stop`, or Ctrl-C where it runs (process {})",
        state.pid
    );
    ready::announce(&state, &stop);
    let rows: Vec<Vec<String>> = state
        .processes
        .iter()
        .map(|(name, process)| {
            vec![
                name.clone(),
                process
                    .pid
                    .map_or_else(|| "down".into(), |pid| pid.to_string()),
                process.restarts.to_string(),
                process.log.display().to_string(),
            ]
        })
        .collect();
    print_table(&["PROCESS", "PID", "RESTARTS", "LOG"], &rows);
    if state.ready_at.is_none() {
        say!("\nIt is not Ready yet.");
    }
    Ok(())
}

/// Stops the network of a data directory and waits until it is gone.
pub async fn stop(data_dir: &Path, json: bool) -> Result<()> {
    let Some(pid) = layout::runs(data_dir)? else {
        return Err(none_runs(data_dir));
    };
    let step = Step::new(format!("Stopping the network of process {pid}"));
    kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGTERM)
        .with_context(|| format!("stopping process {pid}"))?;
    let started = Instant::now();
    while layout::runs(data_dir)?.is_some() {
        if started.elapsed() > STOP_PATIENCE {
            bail!(
                "process {pid} does not stop within {} s",
                STOP_PATIENCE.as_secs()
            );
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    step.done();
    match json {
        true => terminal::json(&json!({"stopped": true, "pid": pid})),
        false => Ok(()),
    }
}

/// The network that runs in a data directory. What one that was killed left there is not taken for it: its processes are gone,
/// and their numbers may be others' by now.
pub fn running(data_dir: &Path) -> Result<DevState> {
    let Some(pid) = layout::runs(data_dir)? else {
        return Err(none_runs(data_dir));
    };
    let between = || format!("`mythic dev` (process {pid}) is starting or stopping; try again");
    let state = DevState::read(data_dir).with_context(between)?;
    match state.pid == pid {
        true => Ok(state),
        false => Err(Exit::error(exit::NOT_FOUND, between())),
    }
}

fn none_runs(data_dir: &Path) -> anyhow::Error {
    Exit::error(
        exit::NOT_FOUND,
        format!(
            "no development network runs in {}; `make dev` starts one, --data-dir names another directory",
            data_dir.display()
        ),
    )
}

/// Calls a method of the development chain.
pub async fn rpc(url: &str, method: &str, params: Value) -> Result<Value> {
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let unreachable = |error: reqwest::Error| {
        Exit::error(
            exit::UNREACHABLE,
            format!("no chain at {url}: {error}; start one with `make dev`"),
        )
    };
    let client = mythic_http::client::builder()
        .read_timeout(CALL_PATIENCE)
        .timeout(CALL_PATIENCE)
        .build()?;
    let response = client.post(url).json(&request).send().await;
    let answer: Value = response.map_err(unreachable)?.json().await?;
    match answer["error"]["message"].as_str() {
        Some(message) => bail!("{method}: {message}"),
        None => Ok(answer["result"].clone()),
    }
}
