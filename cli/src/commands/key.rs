//! `mythic key`: API keys of the gateway, each with a delegate that may spend from this wallet's vault.

use super::{grant::Limits, signed::signed, wallet::send};
use crate::{
    context::Connection,
    exit::{self, Exit},
    note,
    report::{Report, print_rows},
    say, terminal,
    units::{about, counted, parse_amount, sol},
};
use anyhow::{Context, Result};
use clap::Subcommand;
use mythic_client::{ix, pda};
use mythic_interface::state::SpendGrant;
use mythic_wire::signed::purpose;
use reqwest::Method;
use serde_json::json;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

/// API keys.
#[derive(Subcommand, Debug)]
pub enum Key {
    /// Make a key, let its delegate spend, and fill the vault, in one
    #[command(
        after_help = "Example, a key that may spend 0.1 SOL a day and 1 SOL ever, with 0.5 SOL paid in:\n  mythic key create --name bot --limit 0.1 --deposit 0.5\n\nUse it as `api_key` of an OpenAI client, or with MYTHIC_API_KEY (--api-key) here."
    )]
    Create {
        /// For your own list of keys
        #[arg(long, default_value = "")]
        name: String,
        #[command(flatten)]
        limits: Limits,
        /// Deposit this much into the vault first
        #[arg(long, value_parser = parse_amount)]
        deposit: Option<u64>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Keys of this wallet
    List {
        /// Print JSON lines
        #[arg(long)]
        json: bool,
    },
    /// Revoke a key and its delegate's grant
    Revoke {
        /// Id, as `key list` shows it
        id: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Runs `mythic key`.
pub async fn run(command: Key, connection: &Connection) -> Result<()> {
    let wallet = connection.wallet()?;
    match command {
        Key::Create {
            name,
            limits,
            deposit,
            json,
        } => {
            let new = NewKey {
                name,
                limits,
                deposit,
                json,
            };
            create(connection, &wallet, new).await
        }
        Key::List { json } => {
            let list = signed(
                connection,
                &wallet,
                purpose::KEYS,
                (Method::GET, "/v1/keys"),
                None,
            )
            .await?;
            let rows = list["data"].as_array().cloned().unwrap_or_default();
            let columns = [
                ("ID", "id"),
                ("NAME", "name"),
                ("DELEGATE", "delegate"),
                ("REVOKED", "revoked"),
            ];
            print_rows(
                &rows,
                &columns,
                "This wallet has no keys; `mythic key create --limit AMOUNT` makes one.",
                json,
            )
        }
        Key::Revoke { id, json } => revoke(connection, &wallet, &id, json).await,
    }
}

/// What is asked of `key create`.
struct NewKey {
    name: String,
    limits: Limits,
    deposit: Option<u64>,
    json: bool,
}

async fn create(connection: &Connection, wallet: &Keypair, new: NewKey) -> Result<()> {
    let owner = wallet.pubkey();
    let body = json!({ "name": new.name });
    let made = signed(
        connection,
        wallet,
        purpose::KEYS,
        (Method::POST, "/v1/keys"),
        Some(body),
    )
    .await?;
    let text = |field: &str| -> Result<String> {
        made[field]
            .as_str()
            .map(str::to_owned)
            .with_context(|| format!("the gateway's answer has no {field}"))
    };
    let (id, key) = (text("id")?, text("key")?);
    let delegate: Pubkey = text("delegate")?
        .parse()
        .context("the delegate that the gateway names is no address")?;
    let mut instructions = Vec::new();
    if let Some(amount) = new.deposit {
        instructions.push(ix::deposit_vault(owner, owner, amount));
    }
    let arguments = new.limits.arguments(0);
    instructions.push(ix::grant_spend(owner, owner, delegate, &arguments));
    let signature = match send(&connection.chain(), wallet, &instructions).await {
        Ok(signature) => signature,
        Err(error) => {
            // A key that can spend nothing is of no use to anybody.
            let path = format!("/v1/keys/{id}");
            return Err(match signed(connection, wallet, purpose::KEYS, (Method::DELETE, &path), None).await {
                Ok(_) => error.context("no key was made: deposit and grant failed"),
                Err(_) => error.context(format!(
                    "key {id} can't spend: deposit and grant failed; `mythic key revoke {id}` removes it"
                )),
            });
        }
    };
    let mut report = Report::default();
    report
        .add("key", key.as_str())
        .add("id", id)
        .add("delegate", delegate.to_string())
        .lamports("per_job_max", arguments.per_job_max.get())
        .lamports("window_max", arguments.window_max.get())
        .add("window_slots", new.limits.window_slots)
        .lamports("lifetime_cap", arguments.lifetime_cap.get());
    if let Some(amount) = new.deposit {
        report.lamports("deposited", amount);
    }
    report
        .add("signature", signature.to_string())
        .print(new.json)?;
    let base = connection.gateway()?.base().to_owned();
    note!(
        "The key is shown this once; the gateway keeps only its hash. Use it as `api_key` of an OpenAI client with base URL {base}/v1, or here:\n  export MYTHIC_API_KEY={key}"
    );
    note!(
        "It may spend {} in {} (about {}), and {} in all. More: `mythic grant create {delegate} --limit AMOUNT --lifetime AMOUNT`",
        sol(arguments.window_max.get()),
        counted(new.limits.window_slots.into(), "slot"),
        about(u64::from(new.limits.window_slots) * 2 / 5),
        sol(arguments.lifetime_cap.get())
    );
    Ok(())
}

async fn revoke(connection: &Connection, wallet: &Keypair, id: &str, json: bool) -> Result<()> {
    let owner = wallet.pubkey();
    let list = signed(
        connection,
        wallet,
        purpose::KEYS,
        (Method::GET, "/v1/keys"),
        None,
    )
    .await?;
    let delegate: Option<Pubkey> = list["data"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|key| key["id"] == id)
        .and_then(|key| key["delegate"].as_str())
        .and_then(|key| key.parse().ok());
    let Some(delegate) = delegate else {
        return Err(Exit::error(
            exit::NOT_FOUND,
            format!("this wallet has no key {id}; `mythic key list` shows them"),
        ));
    };
    let path = format!("/v1/keys/{id}");
    signed(
        connection,
        wallet,
        purpose::KEYS,
        (Method::DELETE, &path),
        None,
    )
    .await?;
    if !json {
        say!("revoked {id}");
    }
    let chain = connection.chain();
    let grant = chain
        .account::<SpendGrant>(&pda::grant(owner, delegate))
        .await?;
    let mut signature = None;
    if let Some((_, grant)) = grant.filter(|(_, grant)| grant.revoked_slot.get() == 0) {
        let sent = send(&chain, wallet, &[ix::revoke_grant(owner, delegate)]).await?;
        if !json {
            say!(
                "its grant of {} a window was revoked in {sent}",
                sol(grant.window_max.get())
            );
        }
        signature = Some(sent.to_string());
    }
    if json {
        let done = json!({"id": id, "revoked": true, "delegate": delegate.to_string(), "grant_revoked_in": signature});
        return terminal::json(&done);
    }
    Ok(())
}
