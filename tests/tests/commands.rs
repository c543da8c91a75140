//! Every command that a user types, as typed: what it prints, how it fails, what it changed on chain.

use anyhow::{Context, Result, ensure};
use mythic_client::{keys, pda};
use mythic_e2e::{Network, PATIENCE, python, ran, target};
use mythic_interface::state::{Model, SpendGrant, Validator, Vault};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use std::{
    collections::BTreeSet,
    io::Write,
    path::Path,
    process::{Child, Stdio},
    str::FromStr,
    time::{Duration, Instant},
};

const SOL: u64 = 1_000_000_000;

/// A process that ends with the test, whatever becomes of it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn json(text: &str) -> Result<Value> {
    serde_json::from_str(text).with_context(|| text.to_owned())
}

fn has(text: &str, words: &[&str]) -> Result<()> {
    for word in words {
        ensure!(text.contains(word), "no {word:?} in:\n{text}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_does_what_it_says() -> Result<()> {
    let network = Network::start(&["--validators", "1", "--slot-ms", "50"]).await?;
    let scratch = tempfile::tempdir()?;
    let dir = scratch.path();
    looks_around(&network, dir).await?;
    readme_answers(&network).await?;
    let wallet = pays(&network, dir).await?;
    asks(&network, &wallet).await?;
    checks(&network, dir).await?;
    serves(&network, dir).await?;
    pages_fetch_what_exists(&network).await?;
    network.mythic(&["dev", "stop"])?;
    network.mythic_fails(&["dev", "stop"], 4, &["no development network runs"])?;
    Ok(())
}

/// completions, config, doctor, network, model, dev; servers that are not there.
async fn looks_around(network: &Network, dir: &Path) -> Result<()> {
    has(
        &network.mythic(&["completions", "bash"])?,
        &["_mythic", "estimate"],
    )?;

    let config = network.state()["processes"]["gateway"]["config"]
        .as_str()
        .context("the gateway's config")?
        .to_owned();
    has(&network.mythic(&["config", "check", &config])?, &["good"])?;
    has(
        &network.mythic(&["config", "show", "node"])?,
        &["max_concurrent = 4"],
    )?;
    let bad = dir.join("gateway.toml");
    std::fs::write(&bad, "lisssten = \"127.0.0.1:1\"\n")?;
    let bad = bad.display().to_string();
    network.mythic_fails(&["config", "check", &bad], 6, &["lisssten"])?;
    std::fs::write(&bad, "rpc_url = \"ftp://x\"\n")?;
    network.mythic_fails(
        &["config", "check", &bad],
        6,
        &["rpc_url", "ftp", "https://"],
    )?;

    has(
        &network.mythic(&["doctor"])?,
        &["PostgreSQL", "model", "chain", "gateway"],
    )?;
    has(
        &network.mythic(&["network"])?,
        &["active validators      1", "burned"],
    )?;
    let shown = json(&network.mythic(&["network", "--json"])?)?;
    ensure!(shown["active_validators"] == 1, "{shown}");
    has(&network.mythic(&["dev", "warp", "3"])?, &["slot "])?;
    let warped = json(&network.mythic(&["dev", "warp", "1", "--json"])?)?;
    ensure!(warped["processedSlot"].is_u64(), "{warped}");
    network.mythic_fails(&["dev", "warp", "0"], 2, &["1..=10000"])?;
    has(
        &network.mythic(&["dev", "status"])?,
        &["API key", "RESTARTS", "node-1", "mythic dev stop"],
    )?;
    let state = json(&network.mythic(&["dev", "status", "--json"])?)?;
    ensure!(state["ready_at"].is_u64(), "{state}");
    let key = state["api_key"].as_str().unwrap_or_default();
    ensure!(key.starts_with("dev-") && key.len() == 36, "{state}");
    private(network)?;

    // The default model is cached, registered and listed; another file is another model.
    let file = network.mythic(&["model", "pull"])?;
    let file = Path::new(file.trim());
    ensure!(file.is_file(), "{file:?}");
    let model = network.model().await?;
    has(
        &network.mythic(&["model", "list"])?,
        &["VALIDATORS", &model],
    )?;
    let path = file.display().to_string();
    has(
        &network.mythic(&["model", "register", &path])?,
        &["registered already"],
    )?;
    let other = dir.join("other.gguf");
    let mut bytes = std::fs::read(file)?;
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
    std::fs::write(&other, bytes)?;
    let path = other.display().to_string();
    let made = network.mythic(&["model", "register", &path, "--name", "other"])?;
    has(&made, &["identity", "burned", "signature"])?;
    let address = made
        .lines()
        .find_map(|line| line.strip_prefix("model"))
        .context("no address")?;
    let account = network
        .chain()
        .account::<Model>(&Pubkey::from_str(address.trim())?)
        .await?;
    ensure!(account.is_some_and(|(_, model)| model.name.as_str() == "other"));

    let identity = made
        .lines()
        .find_map(|line| line.strip_prefix("identity"))
        .context("no identity")?
        .trim();
    let update = [
        "model",
        "update",
        &identity[..12],
        "--price-out",
        "70000",
        "--retire",
    ];
    has(&network.mythic(&update)?, &["70000", "true"])?;
    network.mythic_fails(&["model", "update", "abc"], 2, &["8 hex digits"])?;
    network.mythic_fails(
        &["model", "update", &model, "--activate"],
        2,
        &["registrant", "--keypair"],
    )?;

    let nowhere = "http://127.0.0.1:1";
    network.mythic_fails(
        &["network", "--gateway", nowhere],
        3,
        &["--gateway", "make dev"],
    )?;
    network.mythic_fails(&["wallet", "show", "--rpc", nowhere], 3, &[nowhere])?;
    network.mythic_fails(&["jobs", "show", "nonsense"], 2, &["base58"])?;
    network.mythic_fails(
        &["jobs", "show", "11111111111111111111111111111111"],
        4,
        &["no job"],
    )?;

    // A second network on the same ports names them and the flags; in the same directory it names the first one.
    let port = network.text("gateway_url");
    let port = port.rsplit(':').next().unwrap_or_default();
    network.mythic_fails(
        &["dev", "--gateway-port", port],
        1,
        &["another `mythic dev`"],
    )?;
    let second = ran(std::process::Command::new(target().join("mythic"))
        .args(["dev", "--gateway-port", port, "--data-dir"])
        .arg(dir.join("second"))
        .stdin(Stdio::null()))?;
    ensure!(second.code == 1, "{second:?}");
    has(&second.stderr, &[port, "gateway", "--gateway-port"])
}

/// What the data directory holds of keys, prompts and configurations is for its owner alone.
fn private(network: &Network) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path| -> Result<u32> {
        let meta = std::fs::metadata(path).with_context(|| path.display().to_string())?;
        Ok(meta.permissions().mode() & 0o777)
    };
    let root = network.data_dir();
    for dir in [
        "chain", "config", "gateway", "keys", "logs", "nodes", "spool",
    ] {
        ensure!(mode(&root.join(dir))? == 0o700, "{dir} is open");
    }
    ensure!(mode(&root.join("dev.json"))? == 0o600, "dev.json is open");
    for dir in ["config", "keys", "logs", "nodes"] {
        owned(&root.join(dir))?;
    }
    Ok(())
}

/// Nobody but its owner can read anything in a directory.
fn owned(dir: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mut left = vec![dir.to_owned()];
    while let Some(path) = left.pop() {
        let Ok(meta) = std::fs::metadata(&path) else {
            continue; // Gone in between: a draft that was renamed.
        };
        let mode = meta.permissions().mode() & 0o777;
        ensure!(mode & 0o077 == 0, "{}: {mode:o}", path.display());
        if meta.is_dir() {
            for entry in std::fs::read_dir(&path)? {
                left.push(entry?.path());
            }
        }
    }
    Ok(())
}

/// The snippet of the README prints an answer, and nothing but it.
async fn readme_answers(network: &Network) -> Result<()> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = std::fs::read_to_string(readme)?;
    let snippet = readme
        .split("```python\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .context("no snippet")?;
    let snippet = snippet.replace("http://127.0.0.1:4002", &network.text("gateway_url"));
    ensure!(snippet.contains(&network.text("gateway_url")), "{snippet}");
    let run = || ran(std::process::Command::new(python()?).args(["-c", &snippet]));
    let said = tokio::task::block_in_place(run)?;
    ensure!(
        said.code == 0 && said.stdout.trim().len() > 1 && said.stdout.ends_with('\n'),
        "{said:?}"
    );
    ensure!(!said.stdout.trim_end().ends_with("None"), "{said:?}");
    Ok(())
}

/// wallet, vault, grant, key. Returns the wallet's file.
async fn pays(network: &Network, dir: &Path) -> Result<String> {
    let chain = network.chain();
    let file = dir.join("wallet.json").display().to_string();
    let made = network.mythic(&["wallet", "new", &file])?;
    let key = keys::load_keypair(Path::new(&file))?;
    let owner = key.pubkey();
    has(&made, &[&owner.to_string()])?;
    network.mythic_fails(&["wallet", "new", &file], 1, &[&file])?;
    let with = |args: &[&str]| -> Vec<String> {
        args.iter()
            .map(|arg| (*arg).to_owned())
            .chain(["--keypair".into(), file.clone()])
            .collect()
    };
    let run = |args: &[&str]| {
        let args = with(args);
        network.mythic(&args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let fails = |args: &[&str], code, words: &[&str]| {
        let args = with(args);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        network.mythic_fails(&args, code, words)
    };

    fails(&["vault", "show"], 4, &["mythic vault deposit"])?;
    fails(&["vault", "deposit", "1"], 5, &["holds 0 SOL", "airdrop"])?;
    has(&run(&["wallet", "airdrop", "3"])?, &["3 SOL"])?;
    let shown = json(&run(&["wallet", "show", "--json"])?)?;
    ensure!(shown["address"] == owner.to_string(), "{shown}");
    ensure!(shown["balance_lamports"] == 3 * SOL, "{shown}");

    has(&run(&["vault", "deposit", "1"])?, &["deposited 1 SOL"])?;
    has(
        &run(&["vault", "withdraw", "0.25"])?,
        &["withdrew 0.25 SOL"],
    )?;
    fails(&["vault", "withdraw", "5"], 5, &["0.75 SOL"])?;
    fails(&["vault", "deposit", "ten"], 2, &["not an amount"])?;
    let shown = json(&run(&["vault", "show", "--json"])?)?;
    ensure!(shown["balance_lamports"] == SOL * 3 / 4, "{shown}");

    // Credit at the gateway: paid in, told of twice, counted once.
    has(&run(&["credit", "show"])?, &["pay to", "0 SOL"])?;
    let added = json(&run(&["credit", "add", "0.01", "--json"])?)?;
    ensure!(
        added["balance_lamports"] == SOL / 100 && added["credited_now"] == true,
        "{added}"
    );
    fails(&["credit", "tell", "nonsense"], 2, &["invalid value"])?;
    let unknown = "1".repeat(64);
    fails(&["credit", "tell", &unknown], 4, &["payment_not_found"])?;

    // A grant's whole life.
    has(&run(&["grant", "list"])?, &["mythic grant create"])?;
    let delegate = Pubkey::new_from_array([7; 32]).to_string();
    let address = pda::grant(owner, Pubkey::from_str(&delegate)?);
    fails(&["grant", "show", &delegate], 4, &["mythic grant create"])?;
    run(&[
        "grant",
        "create",
        &delegate,
        "--limit",
        "0.01",
        "--per-job",
        "1000lamports",
    ])?;
    let shown = json(&run(&["grant", "show", &delegate, "--json"])?)?;
    ensure!(
        shown["per_job_max_lamports"] == 1_000 && shown["window_max_lamports"] == SOL / 100,
        "{shown}"
    );
    ensure!(shown["revoked_slot"].is_null(), "{shown}");
    has(
        &run(&["grant", "list"])?,
        &[&delegate, "10000000", "REVOKED"],
    )?;
    has(&run(&["grant", "revoke", &delegate])?, &["revoked"])?;
    let (_, grant) = chain
        .account::<SpendGrant>(&address)
        .await?
        .context("the grant")?;
    ensure!(grant.revoked_slot.get() > 0);
    has(&run(&["grant", "close", &delegate])?, &["closed"])?;
    ensure!(chain.account::<SpendGrant>(&address).await?.is_none());

    // An API key: deposit, grant and key in one; the jobs it buys are this wallet's.
    has(&run(&["key", "list"])?, &["mythic key create"])?;
    let made = json(&run(&[
        "key",
        "create",
        "--name",
        "bot",
        "--limit",
        "0.1",
        "--deposit",
        "0.05",
        "--json",
    ])?)?;
    let text = |field: &str| made[field].as_str().unwrap_or_default().to_owned();
    ensure!(text("key").starts_with("mk-"), "{made}");
    has(&run(&["key", "list"])?, &["bot", &text("id"), "false"])?;
    let before = chain
        .account::<Vault>(&pda::vault(owner))
        .await?
        .context("the vault")?
        .1;
    ensure!(before.balance.get() == SOL * 8 / 10, "{before:?}");
    let answer = json(&network.mythic(&[
        "ai",
        "Say hi.",
        "--max-tokens",
        "4",
        "--json",
        "--api-key",
        &text("key"),
    ])?)?;
    let job = answer["mythic"]["job"].as_str().context("no job")?;
    let settled = network.finalized(job).await?;
    ensure!(settled["owner"] == owner.to_string(), "{settled}");
    let after = chain
        .account::<Vault>(&pda::vault(owner))
        .await?
        .context("the vault")?
        .1;
    let cost = answer["mythic"]["cost_lamports"].as_u64();
    ensure!(Some(before.balance.get() - after.balance.get()) == cost);

    // A limit that no job fits, and a wallet that can't pay what it asks for: then no key is left behind.
    let small = json(&run(&["key", "create", "--limit", "1lamports", "--json"])?)?;
    let small = small["key"].as_str().context("no key")?.to_owned();
    network.mythic_fails(
        &["ai", "Say hi.", "--api-key", &small],
        5,
        &["spend_limit_exceeded"],
    )?;
    let poor = [
        "key",
        "create",
        "--name",
        "poor",
        "--limit",
        "1",
        "--deposit",
        "900",
    ];
    fails(&poor, 5, &["no key was made", "holds"])?;
    has(&run(&["key", "revoke", &text("id")])?, &["revoked"])?;
    let list = run(&["key", "list", "--json"])?;
    for line in list.lines() {
        let key = json(line)?;
        let gone = key["id"] == text("id") || key["name"] == "poor";
        ensure!(key["revoked"] == gone, "{key}");
    }
    fails(&["key", "revoke", "key_none"], 4, &["mythic key list"])?;
    let delegate = Pubkey::from_str(&text("delegate"))?;
    let (_, grant) = chain
        .account::<SpendGrant>(&pda::grant(owner, delegate))
        .await?
        .context("the grant")?;
    ensure!(grant.revoked_slot.get() > 0);
    Ok(file)
}

/// ai, estimate, jobs; closing the vault.
async fn asks(network: &Network, wallet: &str) -> Result<()> {
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

/// verify, verify init, a verifier of its own, disputes, dev cheat.
async fn checks(network: &Network, dir: &Path) -> Result<()> {
    let answer = ["ai", "Name a fish.", "--max-tokens", "6", "--json"];
    let bought = || -> Result<String> {
        let answer = json(&network.mythic(&answer)?)?;
        let job = answer["mythic"]["job"].as_str();
        Ok(job.with_context(|| answer.to_string())?.to_owned())
    };
    let job = bought()?;
    has(
        &network.mythic(&["verify", &job])?,
        &[
            "claimed id:logit",
            "honest: every position",
            "exact profile",
        ],
    )?;
    let quiet = network.mythic(&["verify", &job, "--quiet"])?;
    ensure!(quiet.lines().count() == 2, "{quiet}");
    has(&quiet, &["honest"])?;
    let checked = json(&network.mythic(&["verify", &job, "--json"])?)?;
    ensure!(
        checked["finding"] == "honest" && checked["differing"] == 0,
        "{checked}"
    );
    let positions = checked["positions"].as_array().map(Vec::len);
    ensure!(
        positions == checked["output_tokens"].as_u64().map(|n| n as usize),
        "{checked}"
    );
    // Evidence of another prompt is not this job's.
    let evidence = format!("/v1/jobs/{job}/evidence");
    let evidence = network.http.get(network.url(&evidence)).bearer_auth("dev");
    let mut evidence: Value = evidence.send().await?.error_for_status()?.json().await?;
    let prompt = evidence["prompt_ids"].as_array_mut().context("a prompt")?;
    prompt.reverse();
    let tampered = dir.join("evidence.json");
    std::fs::write(&tampered, evidence.to_string())?;
    let tampered = tampered.display().to_string();
    let check = ["verify", &job, "--evidence", &tampered];
    network.mythic_fails(&check, 7, &["could not be checked"])?;
    network.mythic_fails(&["verify", "nonsense"], 2, &["not a job's address"])?;
    let nobody = Pubkey::new_from_array([9; 32]).to_string();
    network.mythic_fails(&["verify", &nobody], 4, &["no job"])?;

    has(&network.mythic(&["disputes", "list"])?, &["challenged"])?;
    network.mythic_fails(&["disputes", "show", &nobody], 4, &["no dispute"])?;
    let unknown = ["disputes", "list", "--status", "lost"];
    network.mythic_fails(&unknown, 2, &["resolved"])?;
    let ninth = ["dev", "cheat", "--validator", "9"];
    network.mythic_fails(&ninth, 4, &["validators 1 to 1"])?;
    let way = ["dev", "cheat", "--validator", "1", "--how", "kindly"];
    network.mythic_fails(&way, 2, &["one-token", "withhold"])?;
    let alone = ["dev", "cheat", "--validator", "1"];
    network.mythic_fails(&alone, 2, &["nobody else", "--validators 3"])?;

    let home = dir.join("verifier").display().to_string();
    let listen = free_address()?;
    let init = ["verify", "init", &home, "--listen", &listen];
    has(
        &network.mythic(&init)?,
        &["verify.toml", "1 SOL stake", "Back up authority.json"],
    )?;
    network.mythic_fails(&init, 1, &["verify.toml exists"])?;
    owned(Path::new(&home))?;
    let config = format!("{home}/verify.toml");
    for (key, amount) in [("authority", "1.1"), ("operator", "0.2")] {
        let file = format!("{home}/{key}.json");
        network.mythic(&["wallet", "airdrop", amount, "--keypair", &file])?;
    }
    let log = std::fs::File::create(dir.join("verifier.log"))?;
    let mut verifier = network.command(&["verify", "--config", &config]);
    let mut running = Running(verifier.stdout(log.try_clone()?).stderr(log).spawn()?);
    let stats = format!("http://{listen}/stats");
    let started = Instant::now();
    let mut asked = false;
    loop {
        let stats = async { network.http.get(&stats).send().await?.json::<Value>().await };
        if let Ok(stats) = stats.await {
            if stats["verifier"]["totals"]["checked"]["honest"].as_u64() > Some(0) {
                break;
            }
            if !asked {
                bought()?;
                asked = true;
            }
        }
        ensure!(
            started.elapsed() < PATIENCE,
            "it checks nothing: {}",
            std::fs::read_to_string(dir.join("verifier.log")).unwrap_or_default()
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    stops(&mut running).await
}

/// An address that is free now.
fn free_address() -> Result<String> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    Ok(listener.local_addr()?.to_string())
}

/// Ends by SIGTERM, and well.
async fn stops(running: &mut Running) -> Result<()> {
    kill(Pid::from_raw(running.0.id() as i32), Signal::SIGTERM)?;
    let started = Instant::now();
    let status = loop {
        match running.0.try_wait()? {
            Some(status) => break status,
            None => ensure!(started.elapsed() < PATIENCE, "it does not stop"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    ensure!(status.success(), "{status}");
    Ok(())
}

/// node init, config check, and a second validator that registers, announces itself and is paid for a job.
async fn serves(network: &Network, dir: &Path) -> Result<()> {
    let listen = free_address()?;
    let home = dir.join("node").display().to_string();
    let endpoint = format!("http://{listen}");
    let init = [
        "node",
        "init",
        &home,
        "--endpoint",
        &endpoint,
        "--listen",
        &listen,
        "--stake",
        "2",
    ];
    let said = network.mythic(&init)?;
    has(
        &said,
        &["node.toml", "2 SOL stake", "Back up authority.json"],
    )?;
    network.mythic_fails(&init, 1, &["node.toml exists"])?;
    network.mythic_fails(&["node", "init", &home], 2, &["--endpoint"])?;
    let config = format!("{home}/node.toml");
    has(&network.mythic(&["config", "check", &config])?, &["good"])?;

    let node = || network.command(&["node", "--config", &config]);
    let unfunded = ran(&mut node())?;
    ensure!(unfunded.code == 1, "{unfunded:?}");
    has(&unfunded.stderr, &["holds 0 lamports", "Send it"])?;
    for (key, amount) in [("authority", "3"), ("operator", "0.05")] {
        let file = format!("{home}/{key}.json");
        network.mythic(&["wallet", "airdrop", amount, "--keypair", &file])?;
    }
    let log = std::fs::File::create(dir.join("node.log"))?;
    let mut running = Running(node().stdout(log.try_clone()?).stderr(log).spawn()?);
    let authority = keys::load_keypair(Path::new(&format!("{home}/authority.json")))?.pubkey();
    let listed = network
        .until("/v1/validators", |list| {
            list["data"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|v| v["authority"] == authority.to_string() && v["live"].is_object())
        })
        .await
        .with_context(|| std::fs::read_to_string(dir.join("node.log")).unwrap_or_default())?;
    ensure!(
        listed["data"].as_array().map(Vec::len) == Some(3),
        "{listed}"
    );
    let (_, validator) = network
        .chain()
        .account::<Validator>(&pda::validator(authority))
        .await?
        .context("the validator")?;
    ensure!(validator.stake.get() == 2 * SOL && validator.endpoint.as_str() == endpoint);
    let stats: Value = network
        .http
        .get(format!("{endpoint}/stats"))
        .send()
        .await?
        .json()
        .await?;
    ensure!(
        stats["cpu_only"] == true && stats["gpu"].is_null(),
        "{stats}"
    );

    stops(&mut running).await
}

/// Everything that the two pages load or ask for is there.
async fn pages_fetch_what_exists(network: &Network) -> Result<()> {
    let job = network.text("own_job");
    let mut seen = BTreeSet::new();
    let mut left = vec!["/".to_owned(), format!("/jobs/{job}")];
    while let Some(path) = left.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let response = network.http.get(network.url(&path)).send().await?;
        ensure!(response.status() == 200, "{path}: {}", response.status());
        let kind = response.headers()["content-type"].to_str()?.to_owned();
        let ours = ["text/html", "text/javascript"];
        if !ours.iter().any(|ours| kind.starts_with(ours)) {
            continue;
        }
        // Quoted paths: of parts, of pages, of the API.
        let text = response.text().await?;
        for quoted in text.split('"').skip(1).step_by(2) {
            let next = match quoted {
                "./page.js" => "/static/page.js".to_owned(),
                "/v1/jobs/" => format!("/v1/jobs/{job}"),
                "/jobs/" => format!("/jobs/{job}"),
                // A command line that is shown, not fetched.
                _ if quoted.contains(char::is_whitespace) => continue,
                // Nobody has challenged anything here.
                "/v1/disputes/" => continue,
                "/receipt" | "/evidence" => format!("/v1/jobs/{job}{quoted}"),
                // The job is appended.
                _ if quoted.starts_with('/') && quoted.ends_with("job=") => {
                    format!("{quoted}{job}")
                }
                _ if quoted.starts_with('/') => quoted.to_owned(),
                _ => continue,
            };
            left.push(next);
        }
    }
    for needed in [
        "/static/job.js",
        "/static/style.css",
        "/v1/network",
        "/v1/validators?limit=100",
    ] {
        ensure!(seen.contains(needed), "{needed} in {seen:?}");
    }
    ensure!(
        seen.iter().any(|path| path.starts_with("/v1/stream?")),
        "{seen:?}"
    );
    Ok(())
}
