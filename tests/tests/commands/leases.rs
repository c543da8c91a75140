//! provider, lease: a provider of one's own from its keys to its notice, a lease of it, and `lease demo` beside them.

use anyhow::{Context, Result, ensure};
use mythic_client::{Commitment, keys, market};
use mythic_e2e::{Network, PATIENCE, ran};
use mythic_interface::market::state::{EpochState, Lease, LeaseStatus, Provider};
use serde_json::Value;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use std::{
    path::Path,
    process::Output,
    time::{Duration, Instant},
};
use tokio::task::JoinHandle;

use crate::{
    has, json,
    nodes::{Running, free_address, stops},
    owned,
};

/// Price of a unit for a second, lamports, before it is raised and after.
const PRICES: [u64; 2] = [20_000, 30_000];

/// What goes on while other commands are typed.
pub struct Market {
    /// What `mythic lease demo` said, and slots that it took.
    demo: JoinHandle<Result<(Output, u64)>>,
    provider: Running,
    /// Configuration of the provider.
    config: String,
    /// Its tenant's wallet.
    wallet: String,
    lease: Pubkey,
    /// Slot from which the tenant is not answered.
    silent: u64,
    /// Slots that `mythic lease demo` may take.
    most: u64,
}

/// A funded wallet's file.
async fn funded(network: &Network, dir: &Path, name: &str) -> Result<String> {
    let (file, wallet) = (dir.join(name), Keypair::new());
    keys::write_keypair(&file, &wallet)?;
    let chain = network.chain();
    chain.airdrop(&wallet.pubkey(), 5_000_000_000).await?;
    Ok(file.display().to_string())
}

async fn lease(network: &Network, address: &Pubkey) -> Result<Lease> {
    let read = network.chain().account::<Lease>(address).await?;
    Ok(read.context("the lease")?.1)
}

/// Slots of a whole lease: an epoch, its proof and the time to dispute that; its start, its answer and its settlement are short beside
/// these.
fn longest(lease: &Lease) -> u64 {
    let (grid, rules) = (&lease.terms.grid, &lease.terms.rules);
    let epoch = u64::from(grid.epoch_slots.get());
    let proof = u64::from(lease.terms.probe.proof_slots.get());
    epoch + proof + u64::from(rules.dispute_slots.get()) + epoch / 2
}

/// lease demo, provider init, measure, run; lease request, top-up, probe. Then the provider answers its tenant no more.
pub async fn begins(network: &Network, dir: &Path) -> Result<Market> {
    let walker = funded(network, dir, "walker.json").await?;
    let words = ["lease", "demo", "--yes", "--keypair", &walker];
    let mut command = tokio::process::Command::from(network.command(&words));
    let chain = network.chain();
    let demo = tokio::spawn(async move {
        let from = chain.slot(Commitment::Processed).await?;
        let output = command.kill_on_drop(true).output().await?;
        let now = chain.slot(Commitment::Processed).await?;
        anyhow::Ok((output, now - from))
    });

    let wallet = funded(network, dir, "tenant.json").await?;
    let home = dir.join("provider").display().to_string();
    let config = format!("{home}/provider.toml");
    let (authority, endpoint) = registers(network, (&home, &config), &wallet).await?;
    measures(network, &config)?;

    let provider = runs(network, (&config, &endpoint), dir).await?;
    let authority = authority.to_string();
    let request = [
        "lease",
        "request",
        "--provider",
        &authority,
        "--min-tokens-per-second",
        "1",
        "--seconds",
        "900",
        "--yes",
        "--json",
        "--keypair",
        &wallet,
    ];
    let leased = json(&network.mythic(&request)?)?;
    ensure!(
        leased["provider"] == authority.as_str() && leased["base_url"] == format!("{endpoint}/v1"),
        "{leased}"
    );
    let address = leased["lease"].as_str().context("no lease")?;
    let address: Pubkey = address.parse()?;
    let mut market = Market {
        demo,
        provider,
        config,
        wallet,
        lease: address,
        silent: 0,
        most: longest(&lease(network, &address).await?),
    };
    market.tops_up(network).await?;
    let address = address.to_string();
    let probed = json(&network.mythic(&market.probe(&address))?)?;
    ensure!(
        probed["access"] == true && probed["answer"].is_string(),
        "{probed}"
    );
    stops(&mut market.provider).await?;
    std::fs::write(Path::new(&home).join("data/cheat"), "no-answer")?;
    market.provider = runs(network, (&market.config, &endpoint), dir).await?;
    market.silent = network.chain().slot(Commitment::Processed).await?;
    Ok(market)
}

/// Runs the provider of a configuration, and waits until it serves.
async fn runs(network: &Network, (config, endpoint): (&str, &str), dir: &Path) -> Result<Running> {
    let file = dir.join("provider.log");
    let log = std::fs::File::create(&file)?;
    let mut process = network.command(&["provider", "run", "--config", config]);
    process.env("MYTHIC_PROVIDER__METRICS_ADDR", free_address()?);
    let running = Running(process.stdout(log.try_clone()?).stderr(log).spawn()?);
    let (started, health) = (Instant::now(), format!("{endpoint}/health"));
    loop {
        let asked = network.http.get(&health).send().await;
        if asked.is_ok_and(|answer| answer.status().is_success()) {
            return Ok(running);
        }
        ensure!(
            started.elapsed() < PATIENCE,
            "it does not serve:\n{}",
            std::fs::read_to_string(&file)?
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Registers a provider, and raises its price. Returns its authority and its URL.
async fn registers(
    network: &Network,
    (home, config): (&str, &str),
    wallet: &str,
) -> Result<(Pubkey, String)> {
    let unnamed = ["provider", "init", home, "--keypair", wallet];
    network.mythic_fails(&unnamed, 2, &["--endpoint"])?;
    let listen = free_address()?;
    let endpoint = format!("http://{listen}");
    let price = format!("{}lamports", PRICES[0]);
    let mut init = vec![
        "provider",
        "init",
        home,
        "--endpoint",
        &endpoint,
        "--listen",
        &listen,
        "--price",
        &price,
        "--json",
        "--keypair",
        wallet,
    ];
    network.mythic_fails(&init, 2, &["2 SOL", "nothing was signed", "--yes"])?;
    init.push("--yes");
    let made = json(&network.mythic(&init)?)?;
    ensure!(made["config"] == config, "{made}");
    owned(Path::new(home))?;
    let authority = keys::load_keypair(Path::new(home).join("authority.json"))?.pubkey();
    ensure!(made["authority"] == authority.to_string(), "{made}");
    let registered = async || -> Result<Provider> {
        let address = market::address::provider(authority);
        let read = network.chain().account::<Provider>(&address).await?;
        Ok(read.context("the provider")?.1)
    };
    let state = registered().await?;
    ensure!(
        state.price.get() == PRICES[0]
            && state.units.get() == 1
            && state.whole_stake() == 2_000_000_000
            && state.endpoint.as_str() == endpoint,
        "{state:?}"
    );

    let again = ran(&mut network.command(&init))?;
    ensure!(again.code == 0, "{again:?}");
    has(&again.stderr, &["nothing is signed"])?;
    let text = std::fs::read_to_string(config)?;
    let [old, new] = PRICES.map(|price| format!("price_lamports = {price}\n"));
    ensure!(text.contains(&old), "{text}");
    std::fs::write(config, text.replace(&old, &new))?;
    network.mythic(&init)?;
    let state = registered().await?;
    ensure!(state.price.get() == PRICES[1], "{state:?}");
    let offers = network.mythic(&["lease", "offers"])?;
    has(&offers, &[&authority.to_string(), &endpoint])?;
    Ok((authority, endpoint))
}

/// What a proof takes, and how fast an engine answers.
fn measures(network: &Network, config: &str) -> Result<()> {
    let nowhere = ["provider", "measure", "--class", "none"];
    network.mythic_fails(&nowhere, 1, &["no class \"none\""])?;
    let measured = ["provider", "measure", "--config", config, "--json"];
    let measured = json(&network.mythic(&measured)?)?;
    ensure!(
        measured["class"] == "cpu"
            && measured["units"] == 1
            && measured["in_time"] == true
            && measured["proof"].as_f64() > Some(0.0)
            && measured["proof"].as_f64() < measured["allowed"].as_f64(),
        "{measured}"
    );
    let speed = &measured["speeds"][0];
    ensure!(
        speed["floor"].as_u64() >= Some(1)
            && speed["floor"].as_f64() <= speed["tokens_per_second"].as_f64(),
        "{measured}"
    );
    Ok(())
}

impl Market {
    fn probe<'a>(&'a self, address: &'a str) -> [&'a str; 6] {
        let wallet = self.wallet.as_str();
        ["lease", "probe", address, "--json", "--keypair", wallet]
    }

    async fn tops_up(&self, network: &Network) -> Result<()> {
        let (address, before) = (self.lease.to_string(), lease(network, &self.lease).await?);
        ensure!(
            before.deposited.get() == 900 * PRICES[1],
            "{:?}",
            before.deposited
        );
        let mut more = vec![
            "lease",
            "top-up",
            &address,
            "--seconds",
            "300",
            "--json",
            "--keypair",
            &self.wallet,
        ];
        network.mythic_fails(&more, 2, &["5 min more", "nothing was signed", "--yes"])?;
        more.push("--yes");
        let told = json(&network.mythic(&more)?)?;
        let after = lease(network, &self.lease).await?;
        ensure!(
            told["paid_lamports"] == 300 * PRICES[1]
                && after.deposited.get() == 1_200 * PRICES[1]
                && after.ends_at.get() == before.ends_at.get() + 300
                && told["ends_at"] == after.ends_at.get(),
            "{told}"
        );
        Ok(())
    }

    /// lease probe and dispute --unserved of a provider that proves and does not answer; provider notice; lease close.
    pub async fn ends(&self, network: &Network) -> Result<()> {
        self.is_unserved(network).await?;
        let address = self.lease.to_string();
        let mut notice = vec![
            "provider",
            "notice",
            &address,
            "--config",
            &self.config,
            "--json",
        ];
        network.mythic_fails(&notice, 2, &["2 epochs", "nothing was signed", "--yes"])?;
        notice.push("--yes");
        let told = json(&network.mythic(&notice)?)?;
        let state = lease(network, &self.lease).await?;
        ensure!(
            state.status() == Some(LeaseStatus::Closing)
                && told["notice_epochs"] == u64::from(state.terms.rules.notice_epochs.get()),
            "{told}: {:?}",
            state.status()
        );
        network.mythic_fails(&notice, 1, &["has none yet"])?;
        let shown = network.mythic(&["lease", "show", &address])?;
        has(&shown, &["the provider has given notice", "not served"])?;

        let close = [
            "lease",
            "close",
            &address,
            "--yes",
            "--keypair",
            &self.wallet,
        ];
        network.mythic(&close)?;
        Ok(())
    }

    /// What `lease demo` said, and how long it took. Nothing of any lease is pending then, on the chain and in the index.
    pub async fn is_settled(mut self, network: &Network) -> Result<()> {
        let (output, slots) = (&mut self.demo).await??;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "{output:?}");
        has(
            &said,
            &[
                "sixteen elements are right",
                "SOL came back",
                "paid to the provider",
            ],
        )?;
        ensure!(slots <= self.most, "{slots} slots and not {}", self.most);
        let (chain, started) = (network.chain(), Instant::now());
        while let Some((_, state)) = chain.account::<Lease>(&self.lease).await?
            && state.pending.get() > 0
        {
            ensure!(started.elapsed() < PATIENCE, "{:?}", state.pending);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let slot = i64::try_from(chain.slot(Commitment::Processed).await?)?;
        let query = "SELECT finalized_slot FROM analytics.pipeline_status";
        while network.sql(query).await?[0]["finalized_slot"].as_i64() < Some(slot) {
            ensure!(started.elapsed() < PATIENCE, "slot {slot} is not final");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        stops(&mut self.provider).await
    }

    /// The tenant says that an epoch was not served: its price is burned, and half as much of the tenant's.
    async fn is_unserved(&self, network: &Network) -> Result<()> {
        let address = self.lease.to_string();
        let stranger = ["lease", "dispute", &address, "--unserved", "--yes"];
        network.mythic_fails(&stranger, 2, &["the tenant's word"])?;
        let unserved = [
            "lease",
            "dispute",
            &address,
            "--unserved",
            "--yes",
            "--json",
            "--keypair",
            &self.wallet,
        ];
        let started = Instant::now();
        let proved = |state: &Lease| {
            let mut entries = state.ring.iter();
            entries.any(|entry| entry.proof != [0; 32] && entry.slot.get() > self.silent)
        };
        while !proved(&lease(network, &self.lease).await?) {
            ensure!(started.elapsed() < PATIENCE, "it does not prove");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        network.mythic_fails(
            &self.probe(&address),
            1,
            &["answers 503", "does not answer its tenants"],
        )?;
        // Until an epoch is metered, and once it is settled, there is none to name.
        let told: Value = loop {
            match network.mythic(&unserved) {
                Ok(told) => break json(&told)?,
                Err(error) => ensure!(started.elapsed() < PATIENCE, "{error:#}"),
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        };
        let state = lease(network, &self.lease).await?;
        let epoch = told["epoch"].as_u64().context("no epoch")?;
        let entry = state.epoch(epoch).context("the epoch is gone")?;
        let (amount, bond) = (entry.amount.get(), entry.amount.get() / 2);
        ensure!(
            amount > 0
                && entry.state == EpochState::Unserved as u8
                && state.burned.get() >= amount
                && told["bond_lamports"] == bond
                && told["burned_lamports"] == amount + bond,
            "{told}: {entry:?}"
        );
        Ok(())
    }
}
