//! wallet, vault, credit, grant, key; ai, estimate, jobs.

use anyhow::{Context, Result, ensure};
use mythic_client::{keys, pda};
use mythic_e2e::{Network, ran};
use mythic_interface::state::{SpendGrant, Vault};
use serde_json::Value;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use std::{io::Write, path::Path, process::Stdio, str::FromStr};

use crate::{has, json};

const SOL: u64 = 1_000_000_000;

/// Commands of one wallet.
struct Wallet<'a> {
    network: &'a Network,
    file: &'a str,
    owner: Pubkey,
}

impl Wallet<'_> {
    fn args<'b>(&'b self, args: &[&'b str]) -> Vec<&'b str> {
        [args, &["--keypair", self.file]].concat()
    }

    fn run(&self, args: &[&str]) -> Result<String> {
        self.network.mythic(&self.args(args))
    }

    fn fails(&self, args: &[&str], code: i32, words: &[&str]) -> Result<()> {
        self.network.mythic_fails(&self.args(args), code, words)
    }

    async fn vault(&self) -> Result<Vault> {
        let vault = pda::vault(self.owner);
        let found = self.network.chain().account::<Vault>(&vault).await?;
        Ok(found.context("the vault")?.1)
    }
}

/// wallet, vault, grant, key. Returns the wallet's file.
pub async fn pays(network: &Network, dir: &Path) -> Result<String> {
    let file = dir.join("wallet.json").display().to_string();
    let made = network.mythic(&["wallet", "new", &file])?;
    let owner = keys::load_keypair(Path::new(&file))?.pubkey();
    has(&made, &[&owner.to_string()])?;
    network.mythic_fails(&["wallet", "new", &file], 1, &[&file])?;
    let wallet = Wallet {
        network,
        file: &file,
        owner,
    };
    deposits(&wallet)?;
    credit(&wallet)?;
    grants(&wallet).await?;
    let key = buys(&wallet).await?;
    bounds(&wallet, &key).await?;
    stakes(&wallet)?;
    Ok(file)
}

/// Stake of a validator and of the provider, which the wallet pays and their authorities sign.
fn stakes(wallet: &Wallet<'_>) -> Result<()> {
    wallet.run(&["wallet", "airdrop", "1"])?;
    let keys = wallet.network.data_dir().join("keys");
    for (command, name) in [("node", "validator-0"), ("provider", "provider")] {
        let file = keys.join(format!("{name}.json")).display().to_string();
        let add = [command, "add-stake", "0.1", "--authority", &file];
        wallet.fails(&add, 2, &["Adding 0.1 SOL", "slots from now", "--yes"])?;
        let added = json(&wallet.run(&[&add[..], &["--yes", "--json"]].concat())?)?;
        ensure!(added["added_lamports"] == SOL / 10, "{added}");
        let waiting = added["activating_lamports"].as_u64().unwrap_or(0);
        ensure!(waiting >= SOL / 10, "{added}");
        // A second time it waits beside the first.
        let again = json(&wallet.run(&[&add[..], &["--yes", "--json"]].concat())?)?;
        ensure!(
            again["activating_lamports"] == waiting + SOL / 10,
            "{again}"
        );
    }
    let nobodys = ["--authority", wallet.file, "--yes"];
    for (command, what) in [("node", "no validator"), ("provider", "no provider")] {
        let add = [&[command, "add-stake", "0.1"][..], &nobodys].concat();
        wallet.fails(&add, 4, &[what])?;
    }
    Ok(())
}

/// Airdrop, deposit, withdrawal.
fn deposits(wallet: &Wallet<'_>) -> Result<()> {
    wallet.fails(&["vault", "show"], 4, &["mythic vault deposit"])?;
    wallet.fails(&["vault", "deposit", "1"], 5, &["holds 0 SOL", "airdrop"])?;
    has(&wallet.run(&["wallet", "airdrop", "3"])?, &["3 SOL"])?;
    let shown = json(&wallet.run(&["wallet", "show", "--json"])?)?;
    ensure!(shown["address"] == wallet.owner.to_string(), "{shown}");
    ensure!(shown["balance_lamports"] == 3 * SOL, "{shown}");

    has(
        &wallet.run(&["vault", "deposit", "1"])?,
        &["deposited 1 SOL"],
    )?;
    has(
        &wallet.run(&["vault", "withdraw", "0.25"])?,
        &["withdrew 0.25 SOL"],
    )?;
    wallet.fails(&["vault", "withdraw", "5"], 5, &["0.75 SOL"])?;
    wallet.fails(&["vault", "deposit", "ten"], 2, &["not an amount"])?;
    let shown = json(&wallet.run(&["vault", "show", "--json"])?)?;
    ensure!(shown["balance_lamports"] == SOL * 3 / 4, "{shown}");
    Ok(())
}

/// Credit at the gateway: paid in, and told of.
fn credit(wallet: &Wallet<'_>) -> Result<()> {
    has(&wallet.run(&["credit", "show"])?, &["pay to", "0 SOL"])?;
    let added = json(&wallet.run(&["credit", "add", "0.01", "--json"])?)?;
    ensure!(
        added["balance_lamports"] == SOL / 100 && added["credited_now"] == true,
        "{added}"
    );
    wallet.fails(&["credit", "tell", "nonsense"], 2, &["invalid value"])?;
    let unknown = "1".repeat(64);
    wallet.fails(&["credit", "tell", &unknown], 4, &["payment_not_found"])
}

/// A grant's whole life.
async fn grants(wallet: &Wallet<'_>) -> Result<()> {
    let chain = wallet.network.chain();
    has(&wallet.run(&["grant", "list"])?, &["mythic grant create"])?;
    let delegate = Pubkey::new_from_array([7; 32]).to_string();
    let address = pda::grant(wallet.owner, Pubkey::from_str(&delegate)?);
    wallet.fails(&["grant", "show", &delegate], 4, &["mythic grant create"])?;
    wallet.run(&[
        "grant",
        "create",
        &delegate,
        "--limit",
        "0.01",
        "--per-job",
        "1000lamports",
    ])?;
    let shown = json(&wallet.run(&["grant", "show", &delegate, "--json"])?)?;
    ensure!(
        shown["per_job_max_lamports"] == 1_000 && shown["window_max_lamports"] == SOL / 100,
        "{shown}"
    );
    ensure!(shown["revoked_slot"].is_null(), "{shown}");
    has(
        &wallet.run(&["grant", "list"])?,
        &[&delegate, "10000000", "REVOKED"],
    )?;
    has(&wallet.run(&["grant", "revoke", &delegate])?, &["revoked"])?;
    let (_, grant) = chain
        .account::<SpendGrant>(&address)
        .await?
        .context("the grant")?;
    ensure!(grant.revoked_slot.get() > 0);
    has(&wallet.run(&["grant", "close", &delegate])?, &["closed"])?;
    ensure!(chain.account::<SpendGrant>(&address).await?.is_none());
    Ok(())
}

/// An API key: deposit, grant and key in one; the jobs it buys are this wallet's.
async fn buys(wallet: &Wallet<'_>) -> Result<Value> {
    has(&wallet.run(&["key", "list"])?, &["mythic key create"])?;
    let made = json(&wallet.run(&[
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
    has(
        &wallet.run(&["key", "list"])?,
        &["bot", &text("id"), "false"],
    )?;
    let before = wallet.vault().await?;
    ensure!(before.balance.get() == SOL * 8 / 10, "{before:?}");
    let answer = json(&wallet.network.mythic(&[
        "ai",
        "Say hi.",
        "--max-tokens",
        "4",
        "--json",
        "--api-key",
        &text("key"),
    ])?)?;
    let job = answer["mythic"]["job"].as_str().context("no job")?;
    let settled = wallet.network.finalized(job).await?;
    ensure!(settled["owner"] == wallet.owner.to_string(), "{settled}");
    let after = wallet.vault().await?;
    let cost = answer["mythic"]["cost_lamports"].as_u64();
    ensure!(Some(before.balance.get() - after.balance.get()) == cost);
    Ok(made)
}

/// A limit that no job fits, and a wallet that can't pay what it asks for: then no key is left behind. `made` is revoked.
async fn bounds(wallet: &Wallet<'_>, made: &Value) -> Result<()> {
    let text = |field: &str| made[field].as_str().unwrap_or_default();
    let small = json(&wallet.run(&["key", "create", "--limit", "1lamports", "--json"])?)?;
    let small = small["key"].as_str().context("no key")?.to_owned();
    wallet.network.mythic_fails(
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
    wallet.fails(&poor, 5, &["no key was made", "holds"])?;
    has(&wallet.run(&["key", "revoke", text("id")])?, &["revoked"])?;
    let list = wallet.run(&["key", "list", "--json"])?;
    for line in list.lines() {
        let key = json(line)?;
        let gone = key["id"] == text("id") || key["name"] == "poor";
        ensure!(key["revoked"] == gone, "{key}");
    }
    wallet.fails(&["key", "revoke", "key_none"], 4, &["mythic key list"])?;
    let delegate = Pubkey::from_str(text("delegate"))?;
    let (_, grant) = wallet
        .network
        .chain()
        .account::<SpendGrant>(&pda::grant(wallet.owner, delegate))
        .await?
        .context("the grant")?;
    ensure!(grant.revoked_slot.get() > 0);
    Ok(())
}

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
