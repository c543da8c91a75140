//! Wallets, vaults, grants, keys.

use crate::tools::{has, json};
use anyhow::{Context, Result, ensure};
use mythic_client::{keys, pda};
use mythic_e2e::Network;
use mythic_interface::state::{SpendGrant, Vault};
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use std::path::Path;
use std::str::FromStr;

const SOL: u64 = 1_000_000_000;

/// A wallet of its own, whose commands name it.
struct Wallet<'a> {
    network: &'a Network,
    file: String,
    owner: Pubkey,
}

impl Wallet<'_> {
    fn with<'b>(&'b self, args: &[&'b str]) -> Vec<&'b str> {
        [args, &["--keypair", &self.file]].concat()
    }

    fn run(&self, args: &[&str]) -> Result<String> {
        self.network.mythic(&self.with(args))
    }

    fn fails(&self, args: &[&str], code: i32, words: &[&str]) -> Result<()> {
        self.network.mythic_fails(&self.with(args), code, words)
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
        file,
        owner,
    };
    vault(&wallet)?;
    grant(&wallet).await?;
    key(&wallet).await?;
    Ok(wallet.file)
}

fn vault(wallet: &Wallet<'_>) -> Result<()> {
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

/// A grant's whole life.
async fn grant(wallet: &Wallet<'_>) -> Result<()> {
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
async fn key(wallet: &Wallet<'_>) -> Result<()> {
    let (network, chain) = (wallet.network, wallet.network.chain());
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
    let before = chain
        .account::<Vault>(&pda::vault(wallet.owner))
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
    ensure!(settled["owner"] == wallet.owner.to_string(), "{settled}");
    let after = chain
        .account::<Vault>(&pda::vault(wallet.owner))
        .await?
        .context("the vault")?
        .1;
    let cost = answer["mythic"]["cost_lamports"].as_u64();
    ensure!(Some(before.balance.get() - after.balance.get()) == cost);
    useless_keys(wallet)?;
    revoked(wallet, &text("id"), &text("delegate")).await
}

/// A limit that no job fits, and a wallet that can't pay what it asks for: then no key is left behind.
fn useless_keys(wallet: &Wallet<'_>) -> Result<()> {
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
    wallet.fails(&poor, 5, &["no key was made", "holds"])
}

async fn revoked(wallet: &Wallet<'_>, id: &str, delegate: &str) -> Result<()> {
    let chain = wallet.network.chain();
    has(&wallet.run(&["key", "revoke", id])?, &["revoked"])?;
    let list = wallet.run(&["key", "list", "--json"])?;
    for line in list.lines() {
        let key = json(line)?;
        let gone = key["id"] == id || key["name"] == "poor";
        ensure!(key["revoked"] == gone, "{key}");
    }
    wallet.fails(&["key", "revoke", "key_none"], 4, &["mythic key list"])?;
    let delegate = Pubkey::from_str(delegate)?;
    let (_, grant) = chain
        .account::<SpendGrant>(&pda::grant(wallet.owner, delegate))
        .await?
        .context("the grant")?;
    ensure!(grant.revoked_slot.get() > 0);
    Ok(())
}
