//! The main job on real processes: a prompt is paid, answered, fingerprinted, settled, indexed and shown, and every number of
//! it is checked from outside.

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use mythic_client::{Commitment, ix, pda, sign};
use mythic_e2e::{Network, PATIENCE, chat_node, chat_python, compare};
use mythic_interface::{
    money::{price, split},
    output,
    state::{Job, SpendGrant, Validator, Vault},
};
use mythic_model::prompt::PromptFormatter;
use mythic_wire::evidence::Evidence;
use serde_json::{Value, json};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use std::{
    str::FromStr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

type Seen = Arc<Mutex<Vec<Value>>>;

/// Collects the feed over WebSocket from now on.
async fn watch(network: &Network) -> Result<Seen> {
    let url = format!(
        "{}/ws?topics=jobs,results,settlements",
        network.text("gateway_url").replacen("http", "ws", 1)
    );
    let (mut socket, _) = tokio_tungstenite::connect_async(url)
        .await
        .context("subscribing to the feed")?;
    let seen = Seen::default();
    let sink = seen.clone();
    tokio::spawn(async move {
        while let Some(Ok(message)) = socket.next().await {
            if let Ok(event) = serde_json::from_str(message.to_text().unwrap_or_default()) {
                sink.lock().unwrap().push(event);
            }
        }
    });
    Ok(seen)
}

fn number(value: &Value, key: &str) -> Result<u64> {
    value[key]
        .as_u64()
        .with_context(|| format!("{key} of {value}"))
}

fn key(value: &Value, key: &str) -> Result<Pubkey> {
    Ok(Pubkey::from_str(
        value[key]
            .as_str()
            .with_context(|| format!("{key} of {value}"))?,
    )?)
}

/// Vault and grant of the DEV account.
async fn money(network: &Network) -> Result<(Vault, SpendGrant)> {
    let keys = &network.state()["keys"];
    let (owner, delegate) = (
        key(&keys["dev"], "pubkey")?,
        key(&keys["delegate"], "pubkey")?,
    );
    let chain = network.chain();
    let (_, vault) = chain
        .account::<Vault>(&pda::vault(owner))
        .await?
        .context("no vault")?;
    let (_, grant) = chain
        .account::<SpendGrant>(&pda::grant(owner, delegate))
        .await?
        .context("no grant")?;
    Ok((vault, grant))
}

/// What must hold for one settled job, wherever it is looked at. Returns its fee.
async fn check_job(network: &Network, id: &str, text: Option<&str>) -> Result<u64> {
    let shown = network.finalized(id).await?;
    ensure!(shown["status"] == "settled", "{shown}");
    let (_, job) = network
        .chain()
        .account::<Job>(&Pubkey::from_str(id)?)
        .await?
        .context("the job's account")?;
    check_amounts(&job, &shown)?;
    check_evidence(network, id, &job, text).await?;
    check_transitions(&shown)?;
    let cost = job.fee.get();
    check_views(network, id, cost).await?;
    Ok(cost)
}

/// The chain's own account says what is shown, and divides the price as the terms say.
fn check_amounts(job: &Job, shown: &Value) -> Result<()> {
    let tokens = job.output_tokens.get();
    let terms = &job.terms;
    let (price_in, price_out) = (terms.price_in.get(), terms.price_out.get());
    let due = |output: u32| {
        price(terms.prompt_tokens.get(), output, price_in, price_out)
            .map_err(|error| anyhow::anyhow!("{error:?}"))
    };
    ensure!(job.ceiling.get() == due(terms.max_output_tokens.get())?);
    let cost = due(tokens)?.min(job.ceiling.get());
    ensure!(
        job.fee.get() == cost,
        "fee {} instead of {cost}",
        job.fee.get()
    );
    let shares = split(cost, &terms.rules);
    ensure!(
        shares.earner == cost / 2 && shares.foundation == cost / 10,
        "50 and 10 percent of {cost}"
    );
    ensure!(
        job.validator_amount.get() == shares.earner
            && job.foundation_amount.get() == shares.foundation
    );
    ensure!(
        job.validator_amount.get() + job.foundation_amount.get() + job.burned_amount.get() == cost
    );
    ensure!(job.refunded_amount.get() == job.ceiling.get() - cost);
    for (field, amount) in [
        ("fee_lamports", job.fee),
        ("validator_lamports", job.validator_amount),
        ("foundation_lamports", job.foundation_amount),
        ("burned_lamports", job.burned_amount),
        ("refunded_lamports", job.refunded_amount),
        ("ceiling_lamports", job.ceiling),
    ] {
        ensure!(number(shown, field)? == amount.get(), "{field}: {shown}");
    }
    ensure!(shown["fingerprint"] == hex::encode(job.fingerprint));
    ensure!(
        number(shown, "window_end_slot")?
            == job.submitted_slot.get() + u64::from(terms.rules.window_slots.get())
    );
    ensure!(
        job.ended_slot.get() >= number(shown, "window_end_slot")?,
        "claimed inside the window"
    );
    Ok(())
}

/// Evidence recomputes to what the chain holds, and the text is what its ids say.
async fn check_evidence(network: &Network, id: &str, job: &Job, text: Option<&str>) -> Result<()> {
    let evidence: Evidence =
        serde_json::from_value(network.get(&format!("/v1/jobs/{id}/evidence")).await?)?;
    let digests = evidence
        .verify()
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    ensure!(
        digests.fingerprint == job.fingerprint
            && digests.output_root == job.output_root
            && digests.prompt_hash == job.terms.prompt_hash
    );
    ensure!(evidence.terms_hash == job.terms.hash() && evidence.terms_hash == job.terms_hash);
    ensure!(output::output_root(&evidence.output_ids) == Some(job.output_root));
    ensure!(evidence.output_ids.len() == job.output_tokens.get() as usize);
    if let Some(text) = text {
        let gguf =
            mythic_model::catalogue::cache_dir()?.join(mythic_model::catalogue::CATALOGUE[0].file);
        let formatter = PromptFormatter::from_gguf(gguf)?;
        let ids: Vec<u32> = evidence
            .output_ids
            .iter()
            .copied()
            .filter(|id| !formatter.eos_ids().contains(id))
            .collect();
        ensure!(
            formatter.decode(&ids) == text,
            "the client read {text:?}, committed was {:?}",
            formatter.decode(&ids)
        );
    }
    Ok(())
}

/// States in order, each with its slot and time.
fn check_transitions(shown: &Value) -> Result<()> {
    let transitions = shown["transitions"].as_array().context("transitions")?;
    let names: Vec<&str> = transitions
        .iter()
        .filter_map(|step| step["status"].as_str())
        .collect();
    ensure!(
        names.ends_with(&["accepted", "submitted", "settled"]),
        "{names:?}"
    );
    ensure!(
        transitions.iter().all(|step| step["slot"].is_u64()
            && step["at"].is_string()
            && step["commitment"] == "finalized"),
        "{transitions:?}"
    );
    Ok(())
}

/// The three commitments agree in SQL.
async fn check_views(network: &Network, id: &str, cost: u64) -> Result<()> {
    let fields = "id, status, output_tokens, fee_lamports, validator_lamports, foundation_lamports, burned_lamports, fingerprint, ended_slot";
    let mut views = Vec::new();
    for view in ["processed", "confirmed", "finalized"] {
        views.push(
            network
                .sql(&format!(
                    "SELECT {fields} FROM analytics.jobs_{view} WHERE id = '{id}'"
                ))
                .await?,
        );
    }
    ensure!(
        views[0].len() == 1 && views[0] == views[1] && views[1] == views[2],
        "{views:?}"
    );
    ensure!(number(&views[0][0], "fee_lamports")? == cost);
    Ok(())
}

/// Every call of a settled job's life is in SQL, and one that failed too, with its error's name.
async fn check_calls(network: &Network, id: &str) -> Result<()> {
    let chain = network.chain();
    let key = Pubkey::from_str(id)?;
    let (_, job) = chain
        .account::<Job>(&key)
        .await?
        .context("the job's account")?;
    // Nobody can claim it again.
    let payer = Keypair::new();
    chain.airdrop(&payer.pubkey(), 1_000_000_000).await?;
    let again = ix::claim_inference_fee(key, &job);
    let blockhash = chain.latest_blockhash(Commitment::Finalized).await?.hash;
    let transaction = sign(&[again], &payer.pubkey(), &[&payer], blockhash)?;
    chain.send_with(&transaction, true).await?;

    let query = format!(
        "SELECT name, success, error, signer, accounts->>'job' AS job, arguments, fee_lamports FROM analytics.instruction_calls_finalized
          WHERE job_key = analytics.key('{id}') AND exact ORDER BY slot, transaction_index, instruction_index"
    );
    let started = Instant::now();
    let calls = loop {
        let calls = network.sql(&query).await?;
        if calls.last().is_some_and(|call| call["success"] == false) {
            break calls;
        }
        ensure!(started.elapsed() < PATIENCE, "{calls:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let names: Vec<&str> = calls
        .iter()
        .filter_map(|call| call["name"].as_str())
        .collect();
    ensure!(
        names
            == [
                "RequestInference",
                "SubmitResult",
                "ClaimInferenceFee",
                "ClaimInferenceFee"
            ],
        "{calls:?}"
    );
    ensure!(calls.iter().all(|call| call["job"] == id), "{calls:?}");
    let (good, failed) = calls.split_at(3);
    ensure!(
        good.iter()
            .all(|call| call["success"] == true && call["error"].is_null()),
        "{good:?}"
    );
    ensure!(
        failed[0]["error"] == "WrongJobStatus"
            && failed[0]["signer"] == payer.pubkey().to_string()
            && number(&failed[0], "fee_lamports")? > 0,
        "{failed:?}"
    );
    let asked = &good[0]["arguments"];
    ensure!(
        number(asked, "prompt_tokens")? == u64::from(job.terms.prompt_tokens.get())
            && number(asked, "price_in_lamports")? == u64::from(job.terms.price_in.get()),
        "{asked}"
    );
    Ok(())
}

/// Two official clients stream a chat. Returns what they read, and what it cost.
async fn two_clients(network: &Network) -> Result<([Value; 2], u64)> {
    let python = chat_python(network, "Name three colours.", 24).await?;
    let node = chat_node(network, "What is the capital of France?", 16).await?;
    let mut spent = 0;
    for answer in [&python, &node] {
        let job = answer["mythic"]["job"]
            .as_str()
            .context("no job in the stream")?;
        ensure!(
            answer["ids"] == json!([format!("chatcmpl-{job}")]),
            "{answer}"
        );
        ensure!(answer["job_header"] == job, "{answer}");
        ensure!(
            !answer["text"].as_str().unwrap_or_default().is_empty(),
            "{answer}"
        );
        let cost = check_job(network, job, answer["text"].as_str()).await?;
        ensure!(
            number(&answer["mythic"], "cost_lamports")? == cost,
            "{answer}"
        );
        spent += cost;
    }
    ensure!(
        python["roles"] == json!(["assistant"]) && python["logprob_tokens"].as_u64() > Some(0),
        "{python}"
    );
    Ok(([python, node], spent))
}

/// An open job is consumed by a worker from the feed, and its answer put back. Returns the job and its fee.
async fn open_job(network: &Network) -> Result<(String, u64)> {
    let model = network.model().await?;
    let open = network
        .post(
            "/v1/inference?wait=false",
            &json!({"model": model, "prompt": "Once upon a time", "max_tokens": 12}),
        )
        .await?;
    let open_id = open["id"]
        .as_str()
        .with_context(|| format!("{open}"))?
        .to_owned();
    let spent = check_job(network, &open_id, None)
        .await
        .context("the open job")?;
    let with_output = network
        .until(&format!("/v1/jobs/{open_id}"), |job| {
            job["output"].is_string()
        })
        .await?;
    ensure!(
        !with_output["output"]
            .as_str()
            .unwrap_or_default()
            .is_empty()
    );
    let first = with_output["transitions"][0]["status"].as_str();
    ensure!(first == Some("open"), "{with_output}");
    Ok((open_id, spent))
}

/// The burn reaches the incinerator and is destroyed: validators owe nothing once swept.
async fn all_is_swept(network: &Network) -> Result<()> {
    let authority = key(&network.state()["validators"][0], "authority")?;
    let validators: Vec<Value> = network.state()["validators"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let started = Instant::now();
    loop {
        let mut owed = 0;
        for validator in &validators {
            let address = pda::validator(key(validator, "authority")?);
            let (_, state) = network
                .chain()
                .account::<Validator>(&address)
                .await?
                .context("a validator's account")?;
            owed += state.owed_burn.get() + state.owed_foundation.get();
        }
        if owed == 0 {
            break;
        }
        ensure!(
            started.elapsed() < PATIENCE,
            "{owed} lamports are not swept; {authority}\n{}",
            network.logs()
        );
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let incinerator = Pubkey::new_from_array(mythic_interface::INCINERATOR);
    ensure!(
        network.chain().balance(&incinerator).await? == 0,
        "the incinerator keeps lamports"
    );
    Ok(())
}

/// The WebSocket saw every state of the streamed jobs, and its banks confirmed and finalized.
fn feed_told_all(answers: &[Value], seen: &Seen) -> Result<()> {
    for answer in answers {
        let job = answer["mythic"]["job"].as_str().unwrap_or_default();
        let events = seen.lock().unwrap().clone();
        let adds: Vec<&Value> = events
            .iter()
            .filter(|event| event["op"] == "add" && event["entity"] == job)
            .collect();
        let states: Vec<&str> = adds
            .iter()
            .filter(|event| event["topic"] == "jobs")
            .filter_map(|event| event["payload"]["status"].as_str())
            .collect();
        ensure!(states == ["accepted", "submitted", "settled"], "{states:?}");
        // Confirmation and finality are one row for a bank and topic.
        for add in adds {
            for op in ["confirm", "finalize"] {
                ensure!(
                    events.iter().any(|event| event["op"] == op
                        && event["topic"] == add["topic"]
                        && event["blockhash"] == add["blockhash"]),
                    "no {op} of {add}"
                );
            }
        }
        let numbers: Vec<u64> = events
            .iter()
            .filter_map(|event| event["seq"].as_u64())
            .collect();
        ensure!(
            numbers.windows(2).all(|pair| pair[0] <= pair[1]),
            "out of order"
        );
    }
    Ok(())
}

/// Rebuilding from the archive gives the same tables.
async fn rebuild_changes_nothing(network: &Network) -> Result<()> {
    let config = network.state()["processes"]["indexer"]["config"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let before = network.sql("SELECT id, status, fee_lamports, fingerprint, transitions FROM analytics.jobs_finalized ORDER BY id").await?;
    network.mythic(&["indexer", "rebuild", "--config", &config])?;
    let after = network.sql("SELECT id, status, fee_lamports, fingerprint, transitions FROM analytics.jobs_finalized ORDER BY id").await?;
    ensure!(
        before == after && before.len() >= 4,
        "rebuild changed the jobs"
    );
    Ok(())
}

/// A restart of everything, where the plugin hears of the kept chain what a validator would tell: a snapshot of slot 100 or later, with older
/// versions among its accounts, and the blocks behind it without their banks. No row and no alarm comes of it.
async fn starts_again_as_a_validator(network: &mut Network) -> Result<()> {
    compare::finalized(network, 100).await?;
    network.set("MYTHIC_CHAIN__GEYSER_AS_VALIDATOR", "true");
    network.restart().await?;
    compare::clear(network).await?;
    compare::agree(network, &network.text("rpc_url")).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_is_paid_answered_fingerprinted_settled_indexed_and_shown() -> Result<()> {
    let network = Network::start(&["--validators", "2", "--slot-ms", "50"]).await?;
    let own = network.text("own_job");
    check_job(&network, &own, None)
        .await
        .context("the network's own first job")?;
    check_calls(&network, &own).await.context("its calls")?;
    let (vault_before, grant_before) = money(&network).await?;
    let seen = watch(&network).await?;

    let (answers, streamed) = two_clients(&network).await?;
    let (open_id, open) = open_job(&network).await?;
    let spent = streamed + open;

    // Vault and grant are debited exactly.
    let (vault, grant) = money(&network).await?;
    ensure!(
        vault_before.balance.get() - vault.balance.get() == spent,
        "vault: {} for {spent}",
        vault_before.balance.get() - vault.balance.get()
    );
    ensure!(vault.held.get() == 0 && vault.open_jobs.get() == 0);
    ensure!(grant.lifetime_spent.get() - grant_before.lifetime_spent.get() == spent);

    all_is_swept(&network).await?;
    let started = Instant::now();
    while let Err(error) = feed_told_all(&answers, &seen) {
        ensure!(started.elapsed() < PATIENCE, "{error:#}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    rebuild_changes_nothing(&network).await?;

    // Live indexing goes on after the swap, and after a restart of everything.
    let mut network = network;
    let answer = chat_python(&network, "Count to three.", 8).await?;
    check_job(
        &network,
        answer["mythic"]["job"].as_str().unwrap_or_default(),
        answer["text"].as_str(),
    )
    .await?;
    starts_again_as_a_validator(&mut network).await?;
    let kept = network.get(&format!("/v1/jobs/{open_id}")).await?;
    ensure!(kept["status"] == "settled", "{kept}");
    network.stop().await
}
