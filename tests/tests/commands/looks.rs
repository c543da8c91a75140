//! What is there: the network, its models, its pages, the README's snippet; and what is not.

use anyhow::{Context, Result, ensure};
use mythic_e2e::{Network, PATIENCE, python, ran, target};
use mythic_interface::state::Model;
use solana_pubkey::Pubkey;
use std::{
    collections::BTreeSet,
    path::Path,
    process::Stdio,
    str::FromStr,
    time::{Duration, Instant},
};

use crate::{has, json, owned};

/// What `mythic doctor` says once it finds nothing: what has just started may still wait for its first slots.
fn healthy(network: &Network, doctor: &[&str]) -> Result<String> {
    let started = Instant::now();
    loop {
        match network.mythic(doctor) {
            Err(_) if started.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(500))
            }
            said => return said,
        }
    }
}

/// completions, config, doctor, network, dev.
pub fn around(network: &Network, dir: &Path) -> Result<()> {
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
        &healthy(network, &["doctor"])?,
        &["PostgreSQL", "model", "chain", "gateway"],
    )?;
    let provider = network.state()["processes"]["provider"]["config"]
        .as_str()
        .context("the provider's config")?
        .to_owned();
    has(
        &healthy(network, &["doctor", "provider", "--config", &provider])?,
        &[
            "genesis",
            "registered",
            "behind 2 units",
            "proof takes",
            "answers as this provider",
        ],
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
    Ok(())
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

/// model: pull, list, register, update.
pub async fn models(network: &Network, dir: &Path) -> Result<()> {
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
    // The network's own registration is named. Beside it one has a model of one's own, once.
    let named = network.mythic(&["model", "register", &path])?;
    has(&named, &["registrant", "identity"])?;
    ensure!(!named.contains("burned"), "{named}");
    let own = ["model", "register", &path, "--own"];
    let made = network.mythic(&own)?;
    has(&made, &["burned"])?;
    has(&network.mythic(&own)?, &["registrant"])?;
    // Two would make every node ask which one it is to serve.
    let identity = made
        .lines()
        .find_map(|line| line.strip_prefix("identity"))
        .context("no identity")?;
    network.mythic(&["model", "update", identity.trim(), "--retire"])?;
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
    Ok(())
}

/// Servers that are not there, and a second network.
pub fn finds_nothing(network: &Network, dir: &Path) -> Result<()> {
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

/// The snippet of the README prints an answer, and nothing but it.
pub fn readme_answers(network: &Network) -> Result<()> {
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

/// Routes of the API that a script names, as far as they are literal: `/v1/jobs`, `/v1/jobs/`.
fn routes_named(script: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "/_".contains(c);
    let rests = script.match_indices("/v1/").map(|(at, _)| &script[at..]);
    rests
        .map(|rest| rest.chars().take_while(|c| is_part(*c)).collect::<String>())
        .filter(|name| name != "/v1/")
        .collect()
}

/// The pages are built, everything that they load is there, and every route that they ask for exists.
pub async fn pages_fetch_what_exists(network: &Network) -> Result<()> {
    let described = network.get("/openapi.json").await?;
    let routes = described["paths"].as_object().context("paths")?;
    let job = network.text("own_job");
    let mut seen = BTreeSet::new();
    let mut named = BTreeSet::new();
    let mut left = vec!["/".to_owned(), format!("/jobs/{job}")];
    while let Some(path) = left.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let response = network.http.get(network.url(&path)).send().await?;
        ensure!(response.status() == 200, "{path}: {}", response.status());
        let text = response.text().await?;
        let parts = text.split(['"', '\'', '`']);
        left.extend(parts.filter_map(|quoted| {
            let name = quoted
                .strip_prefix("/static/")
                .or(quoted.strip_prefix("./"))?;
            let is_script = name.ends_with(".js") || name.ends_with(".css");
            is_script.then(|| format!("/static/{name}"))
        }));
        if path.ends_with(".js") {
            named.extend(routes_named(&text));
        }
    }
    for name in &named {
        let exists = routes.keys().any(|route| match route.split_once('{') {
            Some((before, _)) => name.starts_with(before),
            None => route == name,
        });
        ensure!(exists, "{name} is no route");
    }
    for needed in ["/v1/network", "/v1/jobs", "/v1/market", "/v1/stream"] {
        ensure!(named.contains(needed), "{needed} in {named:?}");
    }
    ensure!(seen.iter().any(|path| path.ends_with(".css")), "{seen:?}");
    Ok(())
}
