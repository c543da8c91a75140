//! A lease on real processes, as its tenant types it: offers, request, OpenAI clients, a provider that is killed, the proof of an epoch
//! on chain, what is published of it, close, refund; then the provider proves what it did not compute, and is convicted; and every lamport
//! is where it should be, on the chain as in the index, in its feed, in the gateway's API and on its pages.

use anyhow::{Context, Result, ensure};
use mythic_client::{
    Bids, ChainClient, Commitment, Filter, account::found, keys, market, market::ix,
};
use mythic_e2e::{Network, PATIENCE, compare};
use mythic_interface::{
    hash::access_hash,
    le::{Text, U32, U64},
    market::{
        ix::RequestCompute,
        probe::WholeProof,
        state::{
            DisputeEnd, EpochState, Isolation, Lease, LeaseDispute, LeaseKind, LeaseStatus,
            MarketConfig, NamedElement, Provider, Request,
        },
    },
    window,
};
use reqwest::StatusCode;
use serde_json::{Value, json};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use std::{
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

const FEE: u64 = 5_000;
const SECONDS: u64 = 600;

fn json(text: &str) -> Result<Value> {
    serde_json::from_str(text).with_context(|| text.to_owned())
}

fn word<'a>(value: &'a Value, name: &str) -> Result<&'a str> {
    value[name]
        .as_str()
        .with_context(|| format!("no {name} in {value}"))
}

/// Waits until a lease is what `good` accepts.
async fn until(
    chain: &ChainClient,
    lease: &Pubkey,
    good: impl Fn(&Lease) -> bool,
) -> Result<Lease> {
    let started = Instant::now();
    loop {
        let read = chain.account::<Lease>(lease).await?;
        let state = read.map(|(_, state)| state);
        if let Some(state) = state.filter(&good) {
            return Ok(state);
        }
        ensure!(
            started.elapsed() < PATIENCE,
            "the lease never became what it should: {state:?}"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// A funded wallet of its own, and its file.
async fn funded(chain: &ChainClient, dir: &Path, name: &str) -> Result<(Keypair, String)> {
    let file = dir.join(name);
    let wallet = Keypair::new();
    keys::write_keypair(&file, &wallet)?;
    chain.airdrop(&wallet.pubkey(), 2_000_000_000).await?;
    Ok((wallet, file.display().to_string()))
}

/// Asks the endpoint of a lease for an answer.
async fn ask(
    network: &Network,
    base: &str,
    key: &str,
    change: Value,
) -> Result<(StatusCode, String)> {
    let mut body = json!({"messages": [{"role": "user", "content": "Name a fish."}], "max_tokens": 8, "temperature": 0});
    for (name, value) in change.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    let url = format!("{base}/chat/completions");
    let asked = network
        .http
        .post(url)
        .bearer_auth(key)
        .json(&body)
        .send()
        .await?;
    Ok((asked.status(), asked.text().await?))
}

/// Whole and streamed answers are the same and have receipts; no other key is served, and nothing that the lease is not of.
async fn chats(network: &Network, base: &str, key: &str, lease: &str) -> Result<String> {
    let (status, whole) = ask(network, base, key, json!({})).await?;
    ensure!(status == 200, "{status} {whole}");
    let whole = json(&whole)?;
    let text = word(&whole["choices"][0]["message"], "content")?.to_owned();
    ensure!(
        !text.is_empty() && whole["object"] == "chat.completion",
        "{whole}"
    );
    ensure!(whole["mythic"]["receipt"]["lease"] == lease, "{whole}");
    let (status, stream) = ask(network, base, key, json!({"stream": true})).await?;
    ensure!(status == 200, "{status} {stream}");
    let mut streamed = String::new();
    let mut receipts = 0;
    for event in stream
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
    {
        if event == "[DONE]" {
            break;
        }
        let chunk = json(event)?;
        streamed.push_str(
            chunk["choices"][0]["delta"]["content"]
                .as_str()
                .unwrap_or_default(),
        );
        receipts += usize::from(chunk["mythic"]["receipt"].is_object());
    }
    ensure!(
        streamed == text && receipts == 1,
        "{streamed:?} and not {text:?}: {stream}"
    );
    let (status, refused) = ask(network, base, "lease-another", json!({})).await?;
    ensure!(
        status == 401 && refused.contains("invalid_api_key"),
        "{status} {refused}"
    );
    let (status, refused) = ask(network, base, key, json!({"model": "gpt-9"})).await?;
    ensure!(
        status == 404 && refused.contains("model_not_found"),
        "{status} {refused}"
    );
    Ok(text)
}

/// A request for a container is refused with a reason, and can be taken back.
async fn container(network: &Network, wallet: &Keypair, file: &str) -> Result<()> {
    let chain = network.chain();
    let read = chain
        .account::<MarketConfig>(&market::address::config())
        .await?;
    let (_, config) = read.context("no market")?;
    let state = network.state();
    let authority: Pubkey = word(&state["provider"], "authority")?.parse()?;
    let read = chain
        .account::<Provider>(&market::address::provider(authority))
        .await?;
    let (_, provider) = read.context("no provider")?;
    let nonce = window::nonce(chain.slot(Commitment::Processed).await? + 900, [9; 8]);
    let args = RequestCompute {
        nonce,
        kind: LeaseKind::Container as u8,
        spec_hash: [1; 32],
        spec_source: Text::new("http://127.0.0.1:9/spec").context("a URL")?,
        model: [0; 32],
        units: 1,
        region: Text::default(),
        isolation: Isolation::Process as u8,
        provider: authority.to_bytes(),
        price: provider.price,
        seconds: U32::new(120),
        deadline_slots: U32::new(1_000),
        rules_hash: config.rules_hash,
        bump: 0,
    };
    let class = Pubkey::new_from_array(provider.class);
    let key = wallet.pubkey();
    let call = ix::request_compute(key, key, class, &args);
    chain
        .send_and_confirm(&[call], &key, &[wallet], Commitment::Confirmed)
        .await?;
    let request = market::address::request(key, &nonce);
    let url = format!(
        "{}/v1/requests/{request}",
        word(&state["provider"], "endpoint")?
    );
    let started = Instant::now();
    let answer = loop {
        let answer: Value = network.http.get(&url).send().await?.json().await?;
        if answer["status"] != "unseen" && answer["status"] != "reading" {
            break answer;
        }
        ensure!(started.elapsed() < PATIENCE, "{answer}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    ensure!(answer["status"] == "declined", "{answer}");
    ensure!(
        word(&answer, "reason")?.contains("endpoints only"),
        "{answer}"
    );
    let request = request.to_string();
    let back = [
        "lease",
        "close",
        &request,
        "--yes",
        "--json",
        "--keypair",
        file,
    ];
    let back = json(&network.mythic(&back)?)?;
    ensure!(
        back["returned_lamports"] == U64::get(provider.price) * 120,
        "{back}"
    );
    Ok(())
}

/// Somebody says that the proof is false; the provider opens what is named, and is paid for that. Returns what it got of the bond, and
/// what was burned of it.
async fn disputed(chain: &ChainClient, lease: &Pubkey, epoch: u64) -> Result<(u64, u64)> {
    let disputer = Keypair::new();
    let key = disputer.pubkey();
    chain.airdrop(&key, 1_000_000_000).await?;
    let named = [(0, 5, 7), (0, 500, 17), (7, 511, 511)].map(|(round, row, column)| NamedElement {
        unit: 0,
        round: U32::new(round),
        row: U32::new(row),
        column: U32::new(column),
    });
    let state = until(chain, lease, |state| state.epoch(epoch).is_some()).await?;
    let entry = state.epoch(epoch).context("no epoch")?;
    let call = ix::refute_lease(key, key, (lease, &state), entry, &named, 1_000_000_000);
    chain
        .send_and_confirm(&[call], &key, &[&disputer], Commitment::Processed)
        .await?;
    let address = market::address::lease_dispute(lease, epoch, key);
    let started = Instant::now();
    loop {
        let read = chain.account::<LeaseDispute>(&address).await?;
        let (_, dispute) = read.context("no dispute")?;
        if dispute.end != 0 {
            ensure!(dispute.end == DisputeEnd::Answered as u8, "{dispute:?}");
            return Ok((dispute.paid.get(), dispute.burned.get()));
        }
        ensure!(
            started.elapsed() < PATIENCE,
            "the dispute is not answered: {dispute:?}"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// What leaves nothing over: of the lease, of its account, of the tenant's wallet, of the provider.
async fn adds_up(
    chain: &ChainClient,
    lease: &Pubkey,
    spent: u64,
    (before, bond): (&Provider, (u64, u64)),
    leased: u16,
) -> Result<()> {
    let state = until(chain, lease, |state| state.pending.get() == 0).await?;
    let sum = |parts: &[U64]| parts.iter().map(|part| part.get()).sum::<u64>();
    let came = sum(&[state.deposited, state.compensated]);
    let is = [
        state.escrow,
        state.pending,
        state.paid,
        state.foundation,
        state.burned,
        state.refunded,
    ];
    ensure!(came == sum(&is), "{state:?}");
    ensure!(
        state.escrow.get() == 0 && state.tenant_due.get() == 0,
        "{state:?}"
    );
    let used = sum(&[state.paid, state.foundation, state.burned]);
    ensure!(
        state.paid.get() == used / 2 && state.foundation.get() == used / 10,
        "{state:?}"
    );
    let account = chain
        .raw_account(lease, Commitment::Processed)
        .await?
        .account;
    let held = account.context("no account")?.lamports;
    ensure!(
        held == chain.rent(Lease::LEN).await?,
        "{held} lie in the lease"
    );
    // The wallet paid what was used, the rent of the request, and the fees of what it signed: the provider may have paid it out.
    let rent = chain.rent(Request::LEN).await?;
    let fees = spent
        .checked_sub(used + rent)
        .context("the wallet spent too little")?;
    ensure!(
        [3 * FEE, 4 * FEE].contains(&fees),
        "{fees} of fees, {used} used"
    );
    let address = market::address::provider(state.terms.provider);
    let read = chain.account::<Provider>(&address).await?;
    let (_, after) = read.context("no provider")?;
    ensure!(
        after.earned.get() - before.earned.get() == state.paid.get() + bond.0,
        "{after:?}"
    );
    ensure!(
        owed(&after) - owed(before) == state.foundation.get() + state.burned.get() + bond.1,
        "{after:?}"
    );
    balanced(chain, &address, &after).await?;
    ensure!(
        after.slashed.get() == 0 && after.leased.get() == leased,
        "{after:?}"
    );
    Ok(())
}

/// What a provider's account holds for foundation and incinerator.
fn owed(provider: &Provider) -> u64 {
    provider.owed_foundation.get() + provider.owed_burn.get()
}

/// Every lamport of a provider's account has a name.
async fn balanced(chain: &ChainClient, address: &Pubkey, state: &Provider) -> Result<()> {
    let account = chain
        .raw_account(address, Commitment::Processed)
        .await?
        .account;
    let held = account.context("no account")?.lamports;
    let named = state.whole_stake() + state.claimable.get() + owed(state);
    ensure!(
        held == named + chain.rent(Provider::LEN).await?,
        "{held}: {state:?}"
    );
    Ok(())
}

/// Every epoch of a lease was paid. Returns the lease then.
async fn all_released(chain: &ChainClient, lease: &Pubkey) -> Result<Lease> {
    let settled = until(chain, lease, |state| state.pending.get() == 0).await?;
    let states = settled.ring.iter().filter(|entry| entry.state != 0);
    let states: Vec<u8> = states.map(|entry| entry.state).collect();
    let released = |state: &u8| *state == EpochState::Released as u8;
    ensure!(
        !states.is_empty() && states.iter().all(released),
        "{settled:?}"
    );
    Ok(settled)
}

/// What views and feed call the amounts of a lease, and what the chain says.
fn amounts(state: &Lease) -> [(&'static str, u64); 9] {
    [
        ("deposited_lamports", state.deposited.get()),
        ("compensated_lamports", state.compensated.get()),
        ("escrow_lamports", state.escrow.get()),
        ("pending_lamports", state.pending.get()),
        ("paid_lamports", state.paid.get()),
        ("foundation_lamports", state.foundation.get()),
        ("burned_lamports", state.burned.get()),
        ("refunded_lamports", state.refunded.get()),
        ("tenant_due_lamports", state.tenant_due.get()),
    ]
}

/// Whether a row or a payload says of a lease that has ended what the chain says.
fn says(told: &Value, state: &Lease) -> bool {
    told["write_seq"] == state.header.seq.get()
        && told["status"] == "ended"
        && told["reason"] == "closed_by_tenant"
        && amounts(state).iter().all(|(name, is)| told[name] == *is)
}

/// The index says of a lease whose epochs were all paid what the chain says, at every commitment, and the feed told of it.
async fn indexed(network: &Network, lease: &str, state: &Lease) -> Result<()> {
    let started = Instant::now();
    for commitment in ["processed", "confirmed", "finalized"] {
        let query =
            format!("SELECT * FROM analytics.leases_{commitment} WHERE id = '{lease}' AND exact");
        loop {
            let rows = network.sql(&query).await?;
            if rows.len() == 1 && rows.iter().all(|row| says(row, state)) {
                ensure!(
                    rows[0]["astray_lamports"] == 0 && rows[0]["held_lamports"] == 0,
                    "{rows:?}"
                );
                break;
            }
            ensure!(
                started.elapsed() < PATIENCE,
                "{query}: {rows:?}, chain {state:?}\n{}",
                network.logs()
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    epochs_indexed(network, lease, state).await?;
    let query = format!(
        "SELECT DISTINCT event FROM analytics.lease_events_finalized WHERE lease = '{lease}'"
    );
    let events = network.sql(&query).await?;
    for event in [
        "requested",
        "accepted",
        "started",
        "acknowledged",
        "proved",
        "disputed",
        "resolved",
        "ended",
    ] {
        ensure!(
            events.iter().any(|row| row["event"] == event),
            "no {event} in {events:?}"
        );
    }
    told(network, lease, state).await
}

/// The gateway shows of a lease whose epochs were all paid what the chain says, and there are pages of it, of its provider, of the market.
async fn shown(network: &Network, lease: &str, state: &Lease) -> Result<()> {
    let path = format!("/v1/leases/{lease}?commitment=finalized");
    let same = |told: &Value| {
        let same = amounts(state).iter().all(|(name, is)| told[name] == *is);
        same && told["status"] == "ended" && told["exact"] == true
    };
    let shown = network.until(&path, same).await?;
    ensure!(
        shown["reason"] == "closed_by_tenant" && shown["astray_lamports"] == 0,
        "{shown}"
    );
    let epochs = shown["epochs"].as_array().context("no epochs")?;
    for entry in state.ring.iter().filter(|entry| entry.state != 0) {
        let mut told = epochs.iter();
        let told = told.find(|told| told["epoch"] == entry.epoch.get());
        let told = told.with_context(|| format!("{entry:?} is not in {shown}"))?;
        ensure!(
            told["amount_lamports"] == entry.amount.get() && told["status"] == "released",
            "{told}: {entry:?}"
        );
    }
    let provider = Pubkey::new_from_array(state.terms.provider);
    for page in [
        "/market".to_owned(),
        format!("/leases/{lease}"),
        format!("/providers/{provider}"),
    ] {
        let response = network.http.get(network.url(&page)).send().await?;
        ensure!(response.status() == 200, "{page}: {}", response.status());
    }
    Ok(())
}

/// The rows of its epochs are those of its ring, and come to what was paid and split.
async fn epochs_indexed(network: &Network, lease: &str, state: &Lease) -> Result<()> {
    let query =
        format!("SELECT * FROM analytics.lease_epochs_finalized WHERE lease = '{lease}' AND exact");
    let rows = network.sql(&query).await?;
    for entry in state.ring.iter().filter(|entry| entry.state != 0) {
        let row = rows.iter().find(|row| row["epoch"] == entry.epoch.get());
        let row = row.with_context(|| format!("{entry:?} is not in {rows:?}"))?;
        ensure!(
            row["status"] == "released"
                && row["amount_lamports"] == entry.amount.get()
                && row["seconds"] == entry.seconds.get()
                && row["metered_slot"] == entry.slot.get()
                && row["proved"] == (entry.proof != [0; 32]),
            "{row}: {entry:?}"
        );
    }
    for (name, is) in [
        ("provider_lamports", state.paid.get()),
        ("foundation_lamports", state.foundation.get()),
    ] {
        let sum: u64 = rows.iter().filter_map(|row| row[name].as_u64()).sum();
        ensure!(sum == is, "{name}: {sum} and not {is}: {rows:?}");
    }
    Ok(())
}

/// The feed told of the newest write of a lease.
async fn told(network: &Network, lease: &str, state: &Lease) -> Result<()> {
    let url = network.url(&format!("/v1/stream?topics=leases&entity={lease}&after=0"));
    let read = async {
        let mut stream = network.http.get(url).send().await?.error_for_status()?;
        let mut text = String::new();
        while let Some(bytes) = stream.chunk().await? {
            text.push_str(&String::from_utf8_lossy(&bytes));
            let lines = text.lines().filter_map(|line| line.strip_prefix("data: "));
            // The last one may not be there as a whole yet.
            let mut events = lines.filter_map(|line| json(line).ok());
            if events.any(|event| event["op"] == "add" && says(&event["payload"], state)) {
                return anyhow::Ok(());
            }
        }
        anyhow::bail!("the feed ended: {text}")
    };
    let read = tokio::time::timeout(PATIENCE, read).await;
    read.context("the feed did not tell of it")?
}

/// Kills the provider: its tenant's key gets the same answer again a little later.
async fn survives(network: &Network, (base, key): (&str, &str), text: &str) -> Result<()> {
    network.crash("provider").await?;
    let started = Instant::now();
    loop {
        match ask(network, base, key, json!({})).await {
            Ok((status, answer)) if status == 200 => {
                let answer = json(&answer)?;
                ensure!(
                    answer["choices"][0]["message"]["content"] == text,
                    "{answer}"
                );
                break;
            }
            _ => ensure!(
                started.elapsed() < PATIENCE,
                "not served again:\n{}",
                network.logs()
            ),
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    Ok(())
}

/// Takes the promise of a lease away and kills the provider: once the tenant has left its spec again the same key gets the same answer.
async fn is_found_again(
    network: &Network,
    (base, key): (&str, &str),
    text: &str,
    (address, file): (&str, &str),
) -> Result<()> {
    let promise = format!("provider/leases/{address}.json");
    std::fs::remove_file(network.data_dir().join(promise))?;
    network.crash("provider").await?;
    let started = Instant::now();
    loop {
        // It fails until the lease is served again, and leaves the spec there.
        let probed = network.mythic(&["lease", "probe", address, "--json", "--keypair", file]);
        if let Ok((status, answer)) = ask(network, base, key, json!({})).await
            && status == 200
        {
            let answer = json(&answer)?;
            ensure!(
                answer["choices"][0]["message"]["content"] == text,
                "{answer}"
            );
            return Ok(());
        }
        ensure!(
            started.elapsed() < PATIENCE,
            "not served again: {probed:?}\n{}",
            network.logs()
        );
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// The newest proof on chain is what is computed here; returns its epoch.
async fn proved(chain: &ChainClient, lease: &Pubkey) -> Result<u64> {
    let proved = until(chain, lease, |state| {
        state.ring.iter().any(|entry| entry.proof != [0; 32])
    })
    .await?;
    let entries = proved.ring.iter().filter(|entry| entry.proof != [0; 32]);
    let entry = entries.max_by_key(|entry| entry.epoch.get());
    let entry = entry.context("no proof")?;
    let epoch = entry.epoch.get();
    let own = WholeProof::new(lease.as_array(), epoch, &entry.hash, (1, 8, 512));
    ensure!(
        own.root() == entry.proof,
        "another proof than is right: {entry:?}"
    );
    Ok(epoch)
}

/// A lease that is had on request.
fn leased(network: &Network, file: &str) -> Result<Value> {
    let seconds = SECONDS.to_string();
    let request = [
        "lease",
        "request",
        "--seconds",
        &seconds,
        "--yes",
        "--json",
        "--keypair",
        file,
    ];
    json(&network.mythic(&request)?)
}

/// It is served no longer, a little after the chain says so.
async fn forgotten(network: &Network, (base, key): (&str, &str), address: &str) -> Result<()> {
    let started = Instant::now();
    while ask(network, base, key, json!({})).await?.0 != 401 {
        ensure!(started.elapsed() < PATIENCE, "still served");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let shown = network.mythic(&["lease", "show", address])?;
    ensure!(
        shown.contains("ended: you closed it") && shown.contains("paid"),
        "{shown}"
    );
    Ok(())
}

/// A tenant whose provider proves what it did not compute.
struct Victim {
    wallet: Keypair,
    file: String,
    lease: Pubkey,
    /// Lamports before the lease.
    held: u64,
}

/// Has the provider prove made-up products from now on, and leases both of its units.
async fn deceived(network: &Network, chain: &ChainClient, dir: &Path) -> Result<[Victim; 2]> {
    let told = json(&network.mythic(&["dev", "cheat", "--provider", "--json"])?)?;
    ensure!(told["cheat"] == "wrong-proof", "{told}");
    let (mut victims, started) = (Vec::new(), Instant::now());
    for attempt in 0.. {
        let (wallet, file) = funded(chain, dir, &format!("victim-{attempt}.json")).await?;
        let held = chain.balance(&wallet.pubkey()).await?;
        match leased(network, &file) {
            Ok(told) => victims.push(Victim {
                lease: word(&told, "lease")?.parse()?,
                wallet,
                file,
                held,
            }),
            // A request that was not taken in time is taken back.
            Err(error) => ensure!(started.elapsed() < PATIENCE, "no lease: {error:#}"),
        }
        if victims.len() == 2 {
            break;
        }
    }
    let victims: Result<[Victim; 2], _> = victims.try_into();
    victims.ok().context("two victims")
}

/// A process that ends with its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// False proofs are found and disputed from the command line, once by hand and once by a watcher of all leases: the provider loses half of
/// the stake behind each lease, the tenants have all that they paid, and who disputed has its bond and a quarter of the loss.
async fn convicted(
    network: &Network,
    chain: &ChainClient,
    [one, other]: [Victim; 2],
    dir: &Path,
) -> Result<()> {
    let address =
        market::address::provider(until(chain, &one.lease, |_| true).await?.terms.provider);
    let before = books(chain, &address, [&one, &other]).await?;
    let (watcher, file) = funded(chain, dir, "watcher.json").await?;
    let first = by_hand(network, chain, &one, (&watcher, &file)).await?;

    let watch = [
        "lease",
        "watch",
        "--dispute",
        "--max-bond",
        "0.01",
        "--yes",
        "--keypair",
        &file,
    ];
    let running = network
        .command(&watch)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let running = Running(running);
    let convicted = |state: &Lease| state.refuted_slot.get() != 0;
    until(chain, &other.lease, convicted).await?;
    drop(running);
    let second = judged(chain, &other).await?;
    let (one, other) = (
        refunded(network, chain, &one).await?,
        refunded(network, chain, &other).await?,
    );

    let read = chain.account::<Provider>(&address).await?;
    let (_, after) = read.context("no provider")?;
    balanced(chain, &address, &after).await?;
    let slashed = first.slashed.get() + second.slashed.get();
    let rewards = first.reward.get() + second.reward.get();
    ensure!(
        after.slashed.get() - before.provider.slashed.get() == slashed,
        "{after:?}"
    );
    // What was paid before the conviction stays paid.
    let (paid, gone) = spent([&one, &other]);
    let gone = gone - before.gone + slashed - rewards;
    ensure!(owed(&after) - owed(&before.provider) == gone, "{after:?}");
    let earned = after.earned.get() - before.provider.earned.get();
    ensure!(
        after.refuted.get() == 2 && earned == paid - before.paid,
        "{after:?}"
    );
    Ok(())
}

/// A provider, and what its victims' leases had spent in the same moment.
struct Books {
    provider: Provider,
    paid: u64,
    gone: u64,
}

/// What leases paid their provider, and what else of theirs is gone.
fn spent(leases: [&Lease; 2]) -> (u64, u64) {
    let paid = leases.map(|lease| lease.paid.get());
    let gone = leases.map(|lease| lease.foundation.get() + lease.burned.get());
    (paid.iter().sum(), gone.iter().sum())
}

/// Reads them all at once.
async fn books(chain: &ChainClient, provider: &Pubkey, victims: [&Victim; 2]) -> Result<Books> {
    let [one, other] = victims.map(|victim| victim.lease);
    let all = [*provider, one, other];
    let read = chain.raw_accounts(&all, Commitment::Processed).await?;
    let account = |place: usize| read.get(place).and_then(|read| read.account.as_ref());
    let one = found::<Lease>(&one, account(1))?.context("no lease")?;
    let other = found::<Lease>(&other, account(2))?.context("no lease")?;
    let (paid, gone) = spent([&one, &other]);
    let provider = found::<Provider>(provider, account(0))?.context("no provider")?;
    Ok(Books {
        provider,
        paid,
        gone,
    })
}

/// Disputes the false proof of a lease as somebody types it; what the chain has of the dispute after its verdict.
async fn by_hand(
    network: &Network,
    chain: &ChainClient,
    victim: &Victim,
    (watcher, file): (&Keypair, &str),
) -> Result<LeaseDispute> {
    let had = chain.balance(&watcher.pubkey()).await?;
    let lease = victim.lease.to_string();
    let dispute = [
        "lease",
        "dispute",
        &lease,
        "--no-wait",
        "--yes",
        "--json",
        "--keypair",
        file,
    ];
    let started = Instant::now();
    // Until the epoch begins and its proof is published, there is nothing to dispute.
    let told = loop {
        match network.mythic(&dispute) {
            Ok(told) => break json(&told)?,
            Err(error) => ensure!(
                started.elapsed() < PATIENCE,
                "nothing is disputed: {error:#}"
            ),
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    let first = judged(chain, victim).await?;
    let disputes = format!("/v1/leases/{lease}/disputes");
    let shown = network
        .until(&disputes, |page| page["data"][0]["outcome"] == "wrong")
        .await?;
    let shown = &shown["data"][0];
    ensure!(
        shown["slashed_lamports"] == U64::get(first.slashed)
            && shown["reward_lamports"] == U64::get(first.reward)
            && shown["disputer"] == watcher.pubkey().to_string(),
        "{shown}"
    );
    ensure!(told["verdict"] == DisputeEnd::Wrong as u8, "{told}");
    ensure!(told["reward_lamports"] == U64::get(first.reward), "{told}");
    // What it spent is the bond, which waits in the dispute, the rent of that, fees, and bids for room once a part of the time was gone.
    let spent = had - chain.balance(&watcher.pubkey()).await?;
    let rent = chain.rent(LeaseDispute::LEN).await?;
    let fees = spent - rent - first.returned.get();
    let bids = 4 * Bids::default().all(first.reward.get() / 4);
    // Its provider answers no dispute: a root and the element were shown from here.
    let all = 3 * FEE..=6 * FEE + bids;
    ensure!(all.contains(&fees), "{fees}: {first:?}");
    let left = json(&network.mythic(&[
        "lease",
        "settle",
        &lease,
        "--yes",
        "--json",
        "--keypair",
        file,
    ])?)?;
    ensure!(
        left["held_for_you_lamports"] == U64::get(first.held),
        "{left}"
    );
    Ok(first)
}

/// The dispute that convicted a lease's provider: all that was at stake is where it should be.
async fn judged(chain: &ChainClient, victim: &Victim) -> Result<LeaseDispute> {
    let about = [Filter::<LeaseDispute>::lease(&victim.lease)];
    let found = chain
        .program_accounts(&about, Commitment::Processed)
        .await?;
    let [(address, state)] = found.as_slice() else {
        anyhow::bail!("not one dispute: {found:?}");
    };
    ensure!(state.end == DisputeEnd::Wrong as u8, "{state:?}");
    let lease = until(chain, &victim.lease, |_| true).await?;
    let half = lease.terms.probe.stake_per_unit.get() / 2;
    ensure!(
        state.slashed.get() == half && lease.slashed.get() == half,
        "{state:?}"
    );
    ensure!(state.reward.get() == half / 4, "{state:?}");
    ensure!(
        state.returned.get() == state.fee.get() + state.at_stake.get(),
        "{state:?}"
    );
    ensure!(
        state.held.get() == state.returned.get() + state.reward.get(),
        "{state:?}"
    );
    let account = chain
        .raw_account(address, Commitment::Processed)
        .await?
        .account;
    let lamports = account.context("no account")?.lamports;
    ensure!(
        lamports == chain.rent(LeaseDispute::LEN).await? + state.held.get(),
        "{lamports}: {state:?}"
    );
    Ok(*state)
}

/// A tenant whose provider was convicted has all that was not paid before, but for the rent of its request and fees.
async fn refunded(network: &Network, chain: &ChainClient, victim: &Victim) -> Result<Lease> {
    let lease = victim.lease.to_string();
    let shown = network.mythic(&["lease", "show", &lease])?;
    ensure!(shown.contains("a proof was refuted"), "{shown}");
    // The provider may pay it out first.
    let close = ["lease", "close", &lease, "--yes", "--keypair", &victim.file];
    network.mythic(&close)?;
    let state = until(chain, &victim.lease, |state| state.tenant_due.get() == 0).await?;
    let used = state.paid.get() + state.foundation.get() + state.burned.get();
    ensure!(
        state.deposited.get() == state.refunded.get() + used && state.pending.get() == 0,
        "{state:?}"
    );
    let spent = victim.held - chain.balance(&victim.wallet.pubkey()).await?;
    let fees = spent - used - chain.rent(Request::LEN).await?;
    ensure!([2 * FEE, 3 * FEE].contains(&fees), "{fees}: {state:?}");
    Ok(state)
}

/// A network whose settler leaves with the provider what it owes, which is counted here.
async fn started() -> Result<Network> {
    let keep = [
        ("MYTHIC_SETTLER__SWEEP_MIN_LAMPORTS", "1000000000000"),
        ("MYTHIC_SETTLER__SWEEP_AFTER_SLOTS", "432000"),
    ];
    Network::start_with(&["--validators", "1", "--slot-ms", "50"], &keep).await
}

/// The provider publishes the proof of this epoch, or a newer one by now, and the lease's access is what it stated.
async fn is_published(network: &Network, (address, file): (&str, &str), epoch: u64) -> Result<()> {
    let started = Instant::now();
    let probed = loop {
        let probed =
            json(&network.mythic(&["lease", "probe", address, "--json", "--keypair", file])?)?;
        if probed["proof"].as_u64() >= Some(epoch) {
            break probed;
        }
        ensure!(
            started.elapsed() < PATIENCE,
            "nothing is published: {probed}"
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    ensure!(probed["access"] == true, "{probed}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_lives_from_its_request_to_its_last_lamport() -> Result<()> {
    let network = started().await?;
    let (chain, scratch) = (network.chain(), tempfile::tempdir()?);
    let (wallet, file) = funded(&chain, scratch.path(), "tenant.json").await?;
    let offers = json(&network.mythic(&["lease", "offers", "--json"])?)?;
    ensure!(
        offers["free_units"] == 2 && offers["status"] == "active",
        "{offers}"
    );
    let authority: Pubkey = word(&offers, "provider")?.parse()?;
    let read = chain
        .account::<Provider>(&market::address::provider(authority))
        .await?;
    let (_, before) = read.context("no provider")?;
    container(&network, &wallet, &file).await?;
    network.mythic_fails(
        &["lease", "request", "--keypair", &file],
        2,
        &["nothing was signed", "--yes"],
    )?;
    // No floor is promised that was not measured.
    network.mythic_fails(
        &[
            "lease",
            "request",
            "--min-tokens-per-second",
            "5",
            "--yes",
            "--keypair",
            &file,
        ],
        1,
        &["5 tokens a second for one answer", "has not measured"],
    )?;

    let held = chain.balance(&wallet.pubkey()).await?;
    let leased = leased(&network, &file)?;
    let (address, key, base) = (
        word(&leased, "lease")?,
        word(&leased, "api_key")?,
        word(&leased, "base_url")?,
    );
    let lease: Pubkey = address.parse()?;
    let state = until(&chain, &lease, |state| {
        state.status() == Some(LeaseStatus::Active)
    })
    .await?;
    ensure!(
        state.deposited.get() == SECONDS * before.price.get(),
        "{state:?}"
    );
    let url = format!(
        "{}/v1/leases/{address}/access",
        word(&network.state()["provider"], "endpoint")?
    );
    let access = network.http.get(&url).send().await?.bytes().await?;
    ensure!(access_hash(&access) == state.access_hash, "{access:?}");
    let listed = network.mythic(&["lease", "list", "--keypair", &file])?;
    ensure!(
        listed.contains(address) && listed.contains("active"),
        "{listed}"
    );
    let text = chats(&network, base, key, address).await?;

    // What was promised survives a kill: the same key, the same model, the same answer.
    survives(&network, (base, key), &text).await?;
    let after = network.http.get(&url).send().await?.bytes().await?;
    ensure!(after == access, "the access changed: {after:?}");

    // The proof of the next epoch is on chain, and is what anybody computes.
    let epoch = proved(&chain, &lease).await?;
    is_published(&network, (address, &file), epoch).await?;

    let bond = disputed(&chain, &lease, epoch).await?;
    ensure!(bond.0 > 0 && bond.1 > 0, "{bond:?}");

    // What was promised survives the loss of the disk too: the chain names the spec.
    is_found_again(&network, (base, key), &text, (address, &file)).await?;
    let after = network.http.get(&url).send().await?.bytes().await?;
    ensure!(after == access, "the access changed: {after:?}");

    let closed = json(&network.mythic(&[
        "lease",
        "close",
        address,
        "--yes",
        "--json",
        "--keypair",
        &file,
    ])?)?;
    ensure!(closed["returned_lamports"].as_u64() > Some(0), "{closed}");
    let ended = until(&chain, &lease, |state| {
        state.status() == Some(LeaseStatus::Ended)
    })
    .await?;
    ensure!(ended.tenant_due.get() == 0, "{ended:?}");
    let spent = held - chain.balance(&wallet.pubkey()).await?;
    // While it is settled the provider turns bad, so that the next epoch's proofs are false.
    let victims = deceived(&network, &chain, scratch.path()).await?;
    adds_up(&chain, &lease, spent, (&before, bond), 2).await?;
    let settled = all_released(&chain, &lease).await?;
    indexed(&network, address, &settled).await?;
    shown(&network, address, &settled).await?;
    forgotten(&network, (base, key), address).await?;
    convicted(&network, &chain, victims, scratch.path()).await?;
    compare::agree(&network, &network.text("rpc_url")).await?;
    Ok(())
}
