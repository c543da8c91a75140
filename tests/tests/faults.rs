//! Bad days: processes killed without warning while jobs run, and forks that take requests and results away. Whatever happens,
//! every job ends, nobody pays twice, and the index equals the chain.

use anyhow::{Context, Result, ensure};
use mythic_client::pda;
use mythic_e2e::{Network, PATIENCE};
use mythic_interface::state::{Job, Vault};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use solana_pubkey::Pubkey;
use std::{
    str::FromStr,
    time::{Duration, Instant},
};

async fn chat(network: &Network, key: &str, prompt: &str, tokens: u32) -> Result<(u16, Value)> {
    let body = json!({
        "model": network.model().await?,
        "messages": [{"role": "user", "content": prompt}],
        "max_completion_tokens": tokens,
        "seed": 3,
    });
    let response = network
        .http
        .post(network.url("/v1/chat/completions"))
        .bearer_auth(network.text("api_key"))
        .header("idempotency-key", key)
        .json(&body)
        .send()
        .await?;
    let status = response.status().as_u16();
    Ok((status, response.json().await.unwrap_or(Value::Null)))
}

/// Repeats one request under its key until it is answered, as a client with retries does. One that failed for good, because its
/// validator died in the middle of the answer, is asked anew under another key.
async fn insist(network: &Network, key: &str, prompt: &str, tokens: u32) -> Result<Value> {
    let started = Instant::now();
    let mut last = String::new();
    let mut key = key.to_owned();
    while started.elapsed() < PATIENCE {
        match chat(network, &key, prompt, tokens).await {
            Ok((200, answer)) => return Ok(answer),
            Ok((502, failed)) if failed["error"]["job_id"].is_string() => {
                last = format!("502 {failed}");
                key.push_str("-anew");
            }
            Ok((status, answer)) => last = format!("{status} {answer}"),
            Err(error) => last = error.to_string(),
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    anyhow::bail!("never answered; last: {last}\n{}", network.logs())
}

async fn vault(network: &Network) -> Result<Vault> {
    let owner = network.state()["keys"]["dev"]["pubkey"]
        .as_str()
        .context("dev key")?
        .to_owned();
    Ok(network
        .chain()
        .account::<Vault>(&pda::vault(Pubkey::from_str(&owner)?))
        .await?
        .context("no vault")?
        .1)
}

/// Waits until no job is open, then compares what the vault spent with the sum of fees, and the index with the chain.
async fn books_balance(network: &Network) -> Result<()> {
    let started = Instant::now();
    while vault(network).await?.open_jobs.get() > 0 {
        ensure!(
            started.elapsed() < PATIENCE,
            "jobs stay open\n{}",
            network.logs()
        );
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    network.until("/v1/network", |_| true).await?;
    let spent = vault(network).await?.spent.get();
    let started = Instant::now();
    loop {
        let rows = network
            .sql("SELECT id, status, fee_lamports, closed_slot FROM analytics.jobs_finalized")
            .await?;
        let fees: u64 = rows
            .iter()
            .filter_map(|row| row["fee_lamports"].as_u64())
            .sum();
        let ended = rows
            .iter()
            .all(|row| matches!(row["status"].as_str(), Some("settled" | "refunded")));
        if fees == spent && ended {
            for row in rows.iter().filter(|row| row["closed_slot"].is_null()) {
                let id = Pubkey::from_str(row["id"].as_str().unwrap_or_default())?;
                if let Some((_, job)) = network.chain().account::<Job>(&id).await? {
                    ensure!(
                        row["fee_lamports"].as_u64().unwrap_or(0) == job.fee.get(),
                        "{row}"
                    );
                }
            }
            return Ok(());
        }
        ensure!(
            started.elapsed() < PATIENCE,
            "the vault spent {spent}, the index says {fees}: {rows:?}\n{}",
            network.logs()
        );
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_processes_at_random_loses_no_job_and_charges_none_twice() -> Result<()> {
    let seed = std::env::var("MYTHIC_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(rand::random::<u64>);
    println!("replay with MYTHIC_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let network = Network::start(&["--validators", "2", "--slot-ms", "50"]).await?;
    for (round, process) in ["indexer", "gateway", "node-1", "chain", "node-2", "gateway"]
        .into_iter()
        .enumerate()
    {
        let key = format!("faults-{seed}-{round}-idempotent");
        let pause = Duration::from_millis(random.random_range(0..1_500));
        let (answer, crash) = tokio::join!(
            insist(&network, &key, "Tell me a short story.", 16),
            async {
                tokio::time::sleep(pause).await;
                network.crash(process).await
            }
        );
        crash.with_context(|| format!("killing {process}"))?;
        let answer = answer.with_context(|| format!("{process} killed after {pause:?}"))?;
        ensure!(
            answer["choices"][0]["message"]["content"].is_string(),
            "{answer}"
        );
        // The same request again is the same answer, and costs nothing.
        let again = insist(&network, &key, "Tell me a short story.", 16).await?;
        ensure!(again["mythic"]["job"] == answer["mythic"]["job"], "{again}");
    }
    books_balance(&network).await
}

/// Abandons the last slots so that `slot` is gone; the newest of them.
async fn fork_away(network: &Network, slot: u64) -> Result<u64> {
    let now = network
        .rpc("getSlot", json!([{"commitment": "processed"}]))
        .await?
        .as_u64()
        .context("slot")?;
    ensure!(now >= slot, "slot {slot} is in the future of {now}");
    network.rpc("mythic_fork", json!([now - slot + 1])).await?;
    Ok(now)
}

fn jobs_of(list: &Value) -> impl Iterator<Item = &Value> {
    list["data"].as_array().into_iter().flatten()
}

/// The slot of a job's request, once the index has it.
fn requested(job: &Value) -> Option<u64> {
    let steps = job["transitions"].as_array()?;
    steps.iter().find_map(|step| step["slot"].as_u64())
}

#[tokio::test(flavor = "multi_thread")]
async fn forks_that_abandon_request_and_result_change_no_outcome() -> Result<()> {
    let network = Network::start(&["--validators", "1", "--slot-ms", "50"]).await?;
    // Slots are long until both forks are made: what is rooted can't be abandoned any more.
    network.rpc("mythic_setSlotMs", json!([500])).await?;
    let listed = network.get("/v1/jobs?limit=5").await?;
    let own: Vec<Value> = jobs_of(&listed).map(|job| job["id"].clone()).collect();
    let begun = |job: &&Value| !own.contains(&job["id"]) && requested(job).is_some();
    // The request's slot goes while the answer is generated: a long one, so that there is time.
    let (answer, forked) = tokio::join!(
        insist(
            &network,
            "fork-request-0123456789",
            "Write about the sea.",
            256
        ),
        async {
            let jobs = network
                .until("/v1/jobs?limit=5", |jobs| {
                    jobs_of(jobs).any(|job| begun(&job))
                })
                .await?;
            let slot = jobs_of(&jobs).find(begun).and_then(requested);
            fork_away(&network, slot.context("slot of the request")?).await
        }
    );
    let abandoned = forked.context("forking the request away")?;
    let answer = answer?;
    // The index keeps to the abandoned slots until the new ones are higher.
    network
        .until("/health", |health| {
            let processed = health["components"]["index"]["processed_slot"].as_u64();
            processed > Some(abandoned)
        })
        .await?;
    let id = answer["mythic"]["job"]
        .as_str()
        .with_context(|| format!("{answer}"))?
        .to_owned();
    // The result's slot goes as soon as it is there.
    let job = network
        .until(&format!("/v1/jobs/{id}"), |job| {
            matches!(job["status"].as_str(), Some("submitted" | "settled"))
        })
        .await?;
    let submitted = job["transitions"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|step| step["status"] == "submitted")
        .and_then(|step| step["slot"].as_u64())
        .context("slot of the result")?;
    fork_away(&network, submitted)
        .await
        .context("forking the result away")?;
    network.rpc("mythic_setSlotMs", json!([50])).await?;
    let settled = network.finalized(&id).await?;
    ensure!(settled["status"] == "settled", "{settled}");
    let rows = network
        .sql(&format!(
            "SELECT status, fee_lamports FROM analytics.jobs_finalized WHERE id = '{id}'"
        ))
        .await?;
    ensure!(
        rows.len() == 1 && rows[0]["fee_lamports"] == settled["fee_lamports"],
        "{rows:?}"
    );
    let retracted = network
        .sql("SELECT count(*) AS n FROM feed.event WHERE op = 'retract'")
        .await;
    if let Ok(retracted) = retracted {
        ensure!(
            retracted[0]["n"].as_u64() > Some(0),
            "no bank was retracted"
        );
    }
    books_balance(&network).await
}
