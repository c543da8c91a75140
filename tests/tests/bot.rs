//! The Telegram bot on real processes, as people use it: a wallet links and allows, a question is paid, answered and settled on chain, kills at
//! its steps change nothing, a limit of the chain bites, a grant ends.

use anyhow::{Context, Result, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use mythic_client::{ChainClient, pda};
use mythic_e2e::{
    Network, PATIENCE,
    clients::{run as run_program, workspace},
    telegram::{Shown, TOKEN, Telegram},
};
use mythic_interface::state::{GrantStatus, Job, SpendGrant, Vault};
use serde_json::{Value, json};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer as _;
use solana_transaction::Transaction;
use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::Arc,
    time::{Duration, Instant},
};

const ANN: i64 = 7;
const GROUP: i64 = -100_500;
/// What a question's message says when the bot is killed.
const MOMENTS: [&str; 3] = ["tokens to read", "answers, for at most", "Receipt"];

/// A bot's process; killed when dropped.
struct Bot(Child);

impl Bot {
    fn start(network: &Network, config: &Path) -> Result<Self> {
        let file = config.display().to_string();
        let mut command = network.command(&["bot", "--config", &file]);
        Ok(Self(command.spawn()?))
    }

    /// As a power cut would.
    fn kill(&mut self) -> Result<()> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Bot {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// A configuration for a network and a Bot API server, with a page on a free port.
fn configuration(network: &Network, telegram: &Telegram, dir: &Path) -> Result<(PathBuf, String)> {
    let token = dir.join("token");
    std::fs::write(&token, TOKEN)?;
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600))?;
    let page = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let in_dir = |name: &str| dir.join(name).display().to_string();
    let mut config = toml::Table::new();
    config.insert("max_output_tokens".into(), toml::Value::Integer(24));
    config.insert("asks_per_user".into(), toml::Value::Integer(5));
    for (key, value) in [
        ("token_file", in_dir("token")),
        ("secret_file", in_dir("secret")),
        ("database", in_dir("bot.sqlite")),
        ("api_url", telegram.url.clone()),
        ("gateway_url", network.text("gateway_url")),
        ("rpc_url", network.text("rpc_url")),
        ("ws_url", network.text("ws_url")),
        ("listen", page.to_string()),
        ("public_url", format!("http://{page}")),
        ("metrics_addr", "127.0.0.1:0".to_owned()),
    ] {
        config.insert(key.into(), toml::Value::String(value));
    }
    let file = dir.join("bot.toml");
    std::fs::write(&file, toml::to_string(&config)?)?;
    Ok((file, format!("http://{page}")))
}

/// What a browser does on the wallet page.
struct Browser<'a> {
    network: &'a Network,
    page: String,
    wallet: &'a Keypair,
}

impl Browser<'_> {
    async fn post(&self, path: &str, body: Value) -> Result<Value> {
        let url = format!("{}{path}", self.page);
        let answer = self.network.http.post(url).json(&body).send().await?;
        let (status, told) = (answer.status(), answer.json::<Value>().await?);
        ensure!(status.is_success(), "{path}: {status} {told}");
        Ok(told)
    }

    /// Signs the challenge, and has its account say in Telegram that the wallet is its own.
    async fn sign_in(&self, telegram: &Telegram) -> Result<()> {
        let wallet = self.wallet.pubkey().to_string();
        let told = self.post("/challenge", json!({"wallet": wallet})).await?;
        let message = told["message"].as_str().context("no challenge")?;
        ensure!(
            message.contains(&wallet) && message.contains("number 7"),
            "{message}"
        );
        let signature = self.wallet.sign_message(message.as_bytes());
        let proof = json!({"signature": STANDARD.encode(signature.as_ref())});
        self.post("/proof", proof).await?;
        ensure!(self.state().await?["wallet"].is_null(), "linked unasked");
        confirm(telegram).await?;
        until("the wallet is linked", async || {
            Ok(self.state().await?["wallet"] == wallet)
        })
        .await
    }

    /// Has the page build a transaction, signs it and sends it.
    async fn transact(&self, wanted: Value) -> Result<()> {
        let told = self.post("/transaction", wanted).await?;
        let text = told["transaction"].as_str().context("no transaction")?;
        let mut transaction: Transaction = bincode::deserialize(&STANDARD.decode(text)?)?;
        let blockhash = transaction.message.recent_blockhash;
        transaction.sign(&[self.wallet], blockhash);
        let signed = STANDARD.encode(bincode::serialize(&transaction)?);
        self.post("/send", json!({"transaction": signed}))
            .await
            .map(drop)
    }

    async fn state(&self) -> Result<Value> {
        let url = format!("{}/state", self.page);
        Ok(self.network.http.get(url).send().await?.json().await?)
    }
}

/// Taps that the wallet which signed is one's own.
async fn confirm(telegram: &Telegram) -> Result<()> {
    let asked = telegram.says(ANN, "Is this your wallet?").await?;
    let yes = asked.buttons.first().context("no button")?;
    telegram.tap(ANN, &asked, yes);
    Ok(())
}

/// Opens the page whose address the bot told last.
async fn browser<'a>(
    network: &'a Network,
    telegram: &Telegram,
    base: &str,
    wallet: &'a Keypair,
) -> Result<Browser<'a>> {
    let shown = telegram.says(ANN, "/link/").await?;
    let at = shown.text.rfind("/link/").context("no address")?;
    let secret: String = shown.text[at + 6..]
        .chars()
        .take_while(char::is_ascii_hexdigit)
        .collect();
    telegram.delete(shown.id);
    Ok(Browser {
        network,
        page: format!("{base}/link/{secret}"),
        wallet,
    })
}

fn allow(per_job: u64, deposit: u64, fuel: u64) -> Value {
    json!({
        "kind": "allow", "deposit": deposit.to_string(), "per_job": per_job.to_string(), "per_day": "50000000",
        "in_all": "100000000", "days": 30, "fuel": fuel.to_string(),
    })
}

fn has_run(one: &Shown) -> bool {
    one.buttons.iter().any(|data| data.starts_with("run:"))
}

/// A price that is shown in a chat, with Run below it.
async fn price(telegram: &Telegram, chat: i64) -> Result<Shown> {
    telegram.until(chat, "with Run", has_run).await
}

/// A picture of a chat, where MYTHIC_SCREENSHOTS names a folder for pictures.
async fn picture(telegram: &Telegram, chat: i64, name: &'static str) -> Result<()> {
    if std::env::var_os("MYTHIC_SCREENSHOTS").is_none() {
        return Ok(());
    }
    let shown = telegram.conversation(chat).to_string();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../telegram-bot/tests/chat.mjs");
    let drawn = tokio::task::spawn_blocking(move || -> Result<()> {
        workspace()?;
        run_program(
            Command::new("node")
                .arg(script)
                .args([name, shown.as_str()]),
        )
        .map(drop)
    });
    drawn.await?
}

/// Taps Run below the price in a chat.
async fn run(telegram: &Telegram, chat: i64) -> Result<Shown> {
    let shown = price(telegram, chat).await?;
    let data = shown.buttons.first().context("no button")?;
    telegram.tap(ANN, &shown, data);
    Ok(shown)
}

/// The job that a receipt links to.
fn job_of(receipt: &Shown) -> Result<Pubkey> {
    let mut urls = receipt
        .entities
        .iter()
        .filter_map(|one| one["url"].as_str());
    let url = urls
        .find(|url| url.contains("/jobs/"))
        .context("no link to a job")?;
    let (_, job) = url.rsplit_once('/').context("no job")?;
    Ok(job.parse()?)
}

async fn vault(chain: &ChainClient, owner: &Pubkey) -> Result<Vault> {
    let read = chain.account::<Vault>(&pda::vault(owner)).await?;
    Ok(read.context("no vault")?.1)
}

/// A question in private: paid from the wallet's vault by the delegate, delivered once, settled on chain as in the receipt.
async fn asks(
    network: &Network,
    telegram: &Telegram,
    wallet: &Keypair,
    delegate: &Pubkey,
) -> Result<()> {
    telegram.write(ANN, ANN, "Name a fish.");
    price(telegram, ANN).await?;
    picture(telegram, ANN, "telegram-price").await?;
    let answer = run(telegram, ANN).await?;
    let receipt = telegram.says(ANN, "Settled").await?;
    picture(telegram, ANN, "telegram-answer").await?;
    let job = job_of(&receipt)?;
    let settled = network.finalized(&job.to_string()).await?;
    ensure!(settled["status"] == "settled", "{settled}");
    ensure!(settled["owner"] == wallet.pubkey().to_string(), "{settled}");
    ensure!(settled["requester"] == delegate.to_string(), "{settled}");
    let fee = settled["fee_lamports"].as_u64().context("no fee")?;
    ensure!(
        receipt.text.contains(&format!("{fee} lamports")),
        "{}",
        receipt.text
    );
    let validator = settled["validator"].as_str().context("no validator")?;
    ensure!(receipt.text.contains(validator), "{}", receipt.text);
    let chain = network.chain();
    ensure!(vault(&chain, &wallet.pubkey()).await?.spent.get() == fee);
    let shown = telegram.shown(ANN);
    let same = shown.iter().filter(|one| one.id == answer.id).count();
    ensure!(same == 1 && !telegram.drafts(ANN).is_empty(), "{shown:#?}");
    // What proves it fits what is on chain, as long as the job's account is there.
    if chain.account::<Job>(&job).await?.is_some() {
        telegram.write(ANN, ANN, "/verify");
        telegram.says(ANN, "It fits").await?;
    }
    Ok(())
}

/// Kills when a question has its price, is being paid, is answered: the next start goes on with it, and it is paid and delivered once.
async fn survives_kills(
    network: &Network,
    telegram: &Telegram,
    bot: &mut Bot,
    config: &Path,
) -> Result<()> {
    for (killed, moment) in MOMENTS.into_iter().enumerate() {
        let is_priced = killed == 0;
        let before = telegram.shown(GROUP);
        let is_new = |one: &Shown| before.iter().all(|old| old.id != one.id);
        telegram.write(ANN, GROUP, "/ai Count to twenty.");
        if !is_priced {
            run(telegram, GROUP).await?;
        }
        // A quick answer may be past it.
        let come =
            |one: &Shown| is_new(one) && [moment, "Receipt"].iter().any(|at| one.text.contains(at));
        telegram.until(GROUP, moment, come).await?;
        bot.kill()?;
        telegram.restarted();
        *bot = Bot::start(network, config)?;
        if is_priced {
            // A tap that comes before the bot knows of its own price is told to come again.
            until("it runs", async || {
                let waits = telegram.shown(GROUP).into_iter().find(has_run);
                if let Some(shown) = &waits {
                    let data = shown.buttons.first().context("no button")?;
                    telegram.tap(ANN, shown, data);
                }
                Ok(waits.is_none())
            })
            .await?;
        }
        let is_settled = |one: &Shown| is_new(one) && one.text.contains("Settled");
        let receipt = telegram.until(GROUP, "Settled", is_settled).await?;
        network.finalized(&job_of(&receipt)?.to_string()).await?;
        let shown = telegram.shown(GROUP);
        let receipts = shown
            .iter()
            .filter(|one| one.text.contains("Receipt"))
            .count();
        ensure!(receipts == killed + 1, "killed at {moment}: {shown:#?}");
    }
    Ok(())
}

/// Waits until the chain says something.
async fn until(what: &str, mut good: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let started = Instant::now();
    while !good().await? {
        ensure!(started.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_in_telegram_is_paid_answered_and_settled_on_chain_and_limits_are_the_chains()
-> Result<()> {
    let telegram = Telegram::start(Arc::default()).await?;
    let network = Network::start(&["--validators", "2", "--slot-ms", "100"]).await?;
    network.finalized(&network.text("own_job")).await?;
    let (chain, dir, wallet) = (network.chain(), tempfile::tempdir()?, Keypair::new());
    chain.airdrop(&wallet.pubkey(), 2_000_000_000).await?;
    let (config, base) = configuration(&network, &telegram, dir.path())?;
    let file = config.display().to_string();
    network.mythic(&["config", "check", &file])?;
    network.mythic(&["doctor", "bot", "--config", &file])?;
    let mut bot = Bot::start(&network, &config)?;

    // Nothing is spent for anybody without a wallet.
    telegram.write(ANN, ANN, "Name a fish.");
    telegram.says(ANN, "No wallet is linked").await?;
    telegram.write(ANN, ANN, "/link");
    let page = browser(&network, &telegram, &base, &wallet).await?;
    page.sign_in(&telegram).await?;
    page.transact(allow(10_000_000, 100_000_000, 50_000_000))
        .await?;
    telegram
        .says(ANN, "Your wallet allows me at most 0.01 SOL")
        .await?;
    let state = page.state().await?;
    let delegate: Pubkey = state["delegate"].as_str().context("no delegate")?.parse()?;
    asks(&network, &telegram, &wallet, &delegate).await?;
    survives_kills(&network, &telegram, &mut bot, &config).await?;
    let path = format!("/v1/jobs?owner={}", wallet.pubkey());
    let jobs = network.get(&path).await?;
    ensure!(
        jobs["data"]
            .as_array()
            .is_some_and(|jobs| jobs.len() == 1 + MOMENTS.len()),
        "{jobs}"
    );

    // A limit that is too low for any question: the chain says so.
    page.transact(allow(1, 0, 0)).await?;
    telegram.write(ANN, ANN, "Name a bird.");
    run(&telegram, ANN).await?;
    let refused = telegram.says(ANN, "The chain refuses").await?;
    ensure!(
        refused.text.contains("GrantPerJobExceeded") && refused.text.contains("Nothing was paid"),
        "{}",
        refused.text
    );

    // The end: here at once, on chain by the wallet, and what lay on the delegate comes back.
    telegram.write(ANN, ANN, "/revoke");
    let page = browser(&network, &telegram, &base, &wallet).await?;
    page.sign_in(&telegram).await?;
    page.transact(json!({"kind": "revoke"})).await?;
    telegram.says(ANN, "allows me nothing any more").await?;
    let address = pda::grant(wallet.pubkey(), delegate);
    let (_, grant) = chain
        .account::<SpendGrant>(&address)
        .await?
        .context("no grant")?;
    ensure!(grant.header.status == GrantStatus::Revoked as u8);
    until("the delegate is empty", async || {
        Ok(chain.balance(&delegate).await? == 0)
    })
    .await?;
    ensure!(
        telegram.violations().is_empty(),
        "{:?}",
        telegram.violations()
    );
    ensure!(vault(&chain, &wallet.pubkey()).await?.open_jobs.get() == 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_in_a_browser_links_and_allows_on_the_page() -> Result<()> {
    let telegram = Telegram::start(Arc::default()).await?;
    let network = Network::start(&["--validators", "2", "--slot-ms", "100"]).await?;
    let (chain, dir, wallet) = (network.chain(), tempfile::tempdir()?, Keypair::new());
    chain.airdrop(&wallet.pubkey(), 2_000_000_000).await?;
    let (config, base) = configuration(&network, &telegram, dir.path())?;
    let _bot = Bot::start(&network, &config)?;
    telegram.write(ANN, ANN, "/link");
    let page = browser(&network, &telegram, &base, &wallet).await?.page;
    let (address, seed) = (
        wallet.pubkey().to_string(),
        hex::encode(wallet.secret_bytes()),
    );
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../telegram-bot/tests/page.mjs");
    tokio::task::spawn_blocking(workspace).await??;
    let browser = tokio::task::spawn_blocking(move || {
        run_program(Command::new("node").arg(script).args([page, address, seed]))
    });
    confirm(&telegram).await?;
    browser.await??;
    telegram
        .says(ANN, "Your wallet allows me at most 0.002 SOL")
        .await?;
    ensure!(vault(&chain, &wallet.pubkey()).await?.balance.get() == 50_000_000);
    Ok(())
}
