//! `make agave`: plugin, program, indexer, settler, gateway and nodes on Agave's own validator (`localnet/`). A job is paid 50/10/40, a
//! cheat is slashed, the plugin is unloaded, loaded and loaded again under load, the validator restarts on its ledger, orderly
//! and killed, from a snapshot with many accounts of the program. After each the index says of every account what the RPC says, and
//! validator, plugin and indexer use about what they did.

mod crowd;
mod usage;

use crate::usage::{Usage, drains};
use anyhow::{Context, Result, bail, ensure};
use mythic_client::Commitment;
use mythic_e2e::{
    Network, chain_program, compare,
    load::{self, Gateway, Tally},
    ran,
};
use mythic_interface::state::{Job, Validator};
use serde_json::{Value, json};
use solana_pubkey::Pubkey;
use std::{
    process::Command,
    str::FromStr,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

/// Clients that ask all the time while the plugin comes and goes.
const CLIENTS: u64 = 3;
/// Least time between two things that are done to the plugin: some blocks.
const WHILE: Duration = Duration::from_secs(8);
/// Most rounds of them, however long the load lasts.
const ROUNDS: u32 = 20;
/// Name of the plugin at the validator.
const PLUGIN: &str = "mythic";
/// A job whose client has left may end at its deadline: 1,200 slots, each of up to a second.
const ENDS: Duration = Duration::from_secs(1_500);

/// A number of the environment.
fn number<T: FromStr>(variable: &str) -> Option<T> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Three validators on Agave.
async fn start() -> Result<Network> {
    ensure!(
        chain_program().is_some(),
        "MYTHIC_TEST_CHAIN_PROGRAM names no validator: make agave"
    );
    let slot_ms = number::<u64>("MYTHIC_AGAVE_SLOT_MS").unwrap_or(200);
    Network::start(&["--validators", "3", "--slot-ms", &slot_ms.to_string()]).await
}

/// What `agave-validator plugin …` does, over the admin RPC. Returns what it answered and how long it took.
fn plugin(network: &Network, words: &[&str]) -> Result<(String, Duration)> {
    let started = Instant::now();
    let mut command = Command::new(chain_program().context("no validator")?);
    command
        .arg("plugin")
        .arg(network.data_dir().join("chain/ledger"))
        .args(words);
    let ran = ran(&mut command)?;
    ensure!(
        ran.code == 0,
        "plugin {words:?}: {ran:?}\n{}",
        network.logs()
    );
    Ok((ran.stdout.trim().to_owned(), started.elapsed()))
}

/// Waits until `done` gives something.
async fn until<T>(
    network: &Network,
    what: &str,
    patience: Duration,
    mut done: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let started = Instant::now();
    let mut last = None;
    loop {
        match done().await {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => {}
            Err(error) => last = Some(error),
        }
        if started.elapsed() > patience {
            bail!("{what}: {last:?}\n{}", network.logs());
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// A job that ended well: half to the validator, a tenth to the foundation, the rest is burned.
async fn settled(network: &Network, id: &str) -> Result<()> {
    let shown = until(network, "a job to end", ENDS, async || {
        let job = network.get(&format!("/v1/jobs/{id}")).await?;
        let ended = ["settled", "refunded", "slashed"]
            .contains(&job["status"].as_str().unwrap_or_default());
        Ok((ended && job["commitment"] == "finalized").then_some(job))
    })
    .await?;
    ensure!(shown["status"] == "settled", "{shown}");
    let (_, job) = network
        .chain()
        .account::<Job>(&Pubkey::from_str(id)?)
        .await?
        .context("the job's account")?;
    let (fee, validator) = (job.fee.get(), job.validator_amount.get());
    let (foundation, burned) = (job.foundation_amount.get(), job.burned_amount.get());
    ensure!(
        fee > 0
            && validator == fee / 2
            && foundation == fee / 10
            && validator + foundation + burned == fee,
        "{fee} lamports: {validator}, {foundation}, {burned}"
    );
    for (name, amount) in [
        ("fee_lamports", fee),
        ("validator_lamports", validator),
        ("foundation_lamports", foundation),
        ("burned_lamports", burned),
    ] {
        ensure!(shown[name].as_u64() == Some(amount), "{name}: {shown}");
    }
    println!("job {id}: fee {fee} = {validator} + {foundation} + {burned}");
    Ok(())
}

/// Buys an answer of the gateway, as soon as it sells one. Returns its job.
async fn bought(network: &Network, model: &str) -> Result<String> {
    let body = json!({
        "model": model,
        "messages": [{"role": "user", "content": "Are you there again?"}],
        "max_completion_tokens": 8,
    });
    until(network, "an answer", ENDS, async || {
        let answer = network.post("/v1/chat/completions", &body).await?;
        Ok(answer["mythic"]["job"].as_str().map(str::to_owned))
    })
    .await
}

/// A validator cheats and loses half of its stake.
async fn slashed(network: &Network) -> Result<()> {
    network.mythic(&["dev", "cheat", "--validator", "2", "--how", "prefill"])?;
    let answer: Value = serde_json::from_str(&network.mythic(&[
        "dev",
        "ask",
        "--validator",
        "2",
        "--max-tokens",
        "24",
        "--temperature",
        "1",
        "--json",
        "Write a long story about a ship that is lost in the fog.",
    ])?)?;
    let id = answer["job"].as_str().context("no job")?;
    let shown = until(network, "the slash", ENDS, async || {
        let job = network.get(&format!("/v1/jobs/{id}")).await?;
        Ok((job["commitment"] == "finalized" && job["status"] == "slashed").then_some(job))
    })
    .await?;
    let state = network.state();
    let authority = state["validators"][1]["authority"]
        .as_str()
        .context("authority")?;
    let (_, validator) = network
        .chain()
        .account::<Validator>(&mythic_client::pda::validator(Pubkey::from_str(authority)?))
        .await?
        .context("the validator's account")?;
    let lost = validator.slashed.get();
    ensure!(
        lost > 0 && shown["slashed_lamports"].as_u64() == Some(lost),
        "{lost} lost, {shown}"
    );
    println!("job {id}: slashed {lost} lamports");
    network.mythic(&["dev", "cheat", "--validator", "2", "--how", "honest"])?;
    Ok(())
}

/// Clients ask until `end`, whatever happens.
fn clients(
    network: &Network,
    model: &str,
    end: Instant,
) -> (Arc<Tally>, Vec<tokio::task::JoinHandle<()>>) {
    let tally = Arc::new(Tally::default());
    let gateway = Gateway {
        url: network.text("gateway_url"),
        key: network.text("api_key"),
        model: model.to_owned(),
    };
    let asking = (0..CLIENTS).map(|seed| {
        let (gateway, tally) = (gateway.clone(), tally.clone());
        tokio::spawn(async move { load::client(gateway, seed, end, &tally).await })
    });
    let asking = asking.collect();
    (tally, asking)
}

/// Every job is over, and the index has seen its end.
async fn quiet(network: &Network) -> Result<()> {
    until(network, "jobs to end", ENDS, async || {
        let open = network
            .sql("SELECT id, status FROM analytics.jobs WHERE status NOT IN ('settled', 'refunded', 'slashed')")
            .await?;
        Ok(open.is_empty().then_some(()))
    })
    .await?;
    let slot = network.chain().slot(Commitment::Processed).await?;
    compare::finalized(network, slot).await
}

/// What the index did not see while there was no plugin is a gap; it is healed from the validator's RPC.
async fn healed(network: &Network) -> Result<()> {
    let slot = network.chain().slot(Commitment::Processed).await?;
    compare::finalized(network, slot).await?;
    println!(
        "before the heal: {:?}",
        compare::Index::of(network).alarms().await?
    );
    let rpc = network.text("rpc_url");
    println!(
        "{}",
        network.mythic(&["indexer", "heal", "--from", &rpc])?.trim()
    );
    Ok(())
}

/// The validator has as many of the plugin's threads as plugins are loaded: one that has ended is listed for some moments.
async fn has_drains(network: &Network, count: usize) -> Result<()> {
    until(network, "threads of the plugin", ENDS, async || {
        Ok((drains(network)? == count).then_some(()))
    })
    .await
}

/// The plugin is unloaded, loaded, and loaded anew in one step. What was not seen is a gap, and healed.
async fn round(network: &Network, config: &str, pause: Duration) -> Result<[Duration; 3]> {
    ensure!(plugin(network, &["list"])?.0 == PLUGIN);
    let (_, unload) = plugin(network, &["unload", PLUGIN])?;
    ensure!(plugin(network, &["list"])?.0.is_empty());
    has_drains(network, 0).await?;
    tokio::time::sleep(pause).await;
    let (name, load) = plugin(network, &["load", config])?;
    ensure!(name == PLUGIN, "{name}");
    has_drains(network, 1).await?;
    tokio::time::sleep(pause).await;
    let (_, reload) = plugin(network, &["reload", PLUGIN, config])?;
    has_drains(network, 1).await?;
    tokio::time::sleep(pause).await;
    healed(network).await?;
    Ok([unload, load, reload])
}

/// Round after round while clients ask: they are answered in each, and nothing grows.
async fn plugin_comes_and_goes(network: &Network, model: &str, end: Instant) -> Result<()> {
    let config = network.data_dir().join("config/geyser-plugin.json5");
    let config = config.display().to_string();
    let (tally, asking) = clients(network, model, end);
    let pause = WHILE.max(end.saturating_duration_since(Instant::now()) / (3 * ROUNDS));
    let (mut rounds, mut first) = (0, None);
    // The last one too has clients until it ends.
    while rounds == 0 || Instant::now() + 3 * pause < end {
        rounds += 1;
        let before = tally.answered.load(Relaxed);
        let took = round(network, &config, pause).await?;
        let answered = tally.answered.load(Relaxed) - before;
        let used = Usage::now(network)?;
        println!(
            "round {rounds}: unload, load, reload {took:.0?}; {answered} answers, {} broken; {used:?}",
            tally.broken.load(Relaxed)
        );
        ensure!(
            answered > 0 && tally.broken.load(Relaxed) == 0,
            "clients met {tally:?}\n{}",
            network.logs()
        );
        match &first {
            None => first = Some(used),
            Some(first) => used.is_bounded_by(first)?,
        }
    }
    for client in asking {
        client.await?;
    }
    println!("{rounds} rounds: {tally:?}");
    ensure!(
        tally.wrongs().is_empty() && tally.broken.load(Relaxed) == 0,
        "{tally:?}"
    );
    healed(network).await
}

/// A start on the kept ledger is a base that the index takes; no gap is left.
async fn based(network: &Network) -> Result<()> {
    quiet(network).await?;
    let agreed = compare::agree(network, &network.text("rpc_url")).await?;
    let status = compare::clear(network).await?;
    println!("{agreed} accounts agree; {status}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs localnet: make agave"]
async fn the_whole_network_on_agave() -> Result<()> {
    let mut network = start().await?;
    let model = network.model().await?;
    let own = network.text("own_job");
    settled(&network, &own).await?;
    compare::agree(&network, &network.text("rpc_url")).await?;
    slashed(&network).await?;
    compare::agree(&network, &network.text("rpc_url")).await?;

    let end = Instant::now() + Duration::from_secs(number("MYTHIC_AGAVE_SECONDS").unwrap_or(30));
    plugin_comes_and_goes(&network, &model, end).await?;
    quiet(&network).await?;
    compare::agree(&network, &network.text("rpc_url")).await?;

    println!("an orderly restart on the kept ledger");
    network.restart().await?;
    based(&network).await?;
    println!("the validator is killed and starts again on its ledger");
    let rooted = network.chain().slot(Commitment::Finalized).await?;
    network.crash("chain").await?;
    // It answers from its snapshot on, while it replays what came after.
    until(
        &network,
        "the validator to be where it was",
        ENDS,
        async || {
            let slot = network.chain().slot(Commitment::Finalized).await?;
            Ok((slot >= rooted).then_some(()))
        },
    )
    .await?;
    // The first job's account may be closed by now.
    let first = network.get(&format!("/v1/jobs/{own}")).await?;
    ensure!(first["status"] == "settled", "{first}");
    settled(&network, &bought(&network, &model).await?).await?;
    based(&network).await?;
    let state = network.state();
    let states: Vec<_> = state["processes"]
        .as_object()
        .into_iter()
        .flatten()
        .collect();
    println!(
        "restarts: {:?}",
        states
            .iter()
            .map(|(name, process)| (name, &process["restarts"]))
            .collect::<Vec<_>>()
    );
    let jobs = network
        .sql("SELECT status, exact, count(*) FROM analytics.jobs_finalized GROUP BY 1, 2")
        .await?;
    println!("jobs: {jobs:?}");
    network.stop().await
}
