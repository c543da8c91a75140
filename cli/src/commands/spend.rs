//! `mythic grant` and `mythic key`: who may spend how much of a vault.

use super::wallet::send;
use crate::{
    context::Connection,
    exit::{self, Exit},
    report::{Report, print_rows},
    units::{parse_amount, sol},
};
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use mythic_client::{ChainClient, ix, pda};
use mythic_interface::{
    ix::GrantSpend,
    le::{U32, U64},
    state::{GRANT_MODELS, SpendGrant},
};
use mythic_wire as wire;
use reqwest::Method;
use serde_json::{Value, json};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

/// A slot that never comes.
const NEVER: u64 = i64::MAX as u64;

/// What a grant allows.
#[derive(Args, Debug, Clone)]
pub struct Limits {
    /// Most in one window: SOL (1.5), or lamports (1500lamports)
    #[arg(long, value_parser = parse_amount)]
    limit: u64,
    /// Most that one job may cost [default: the window's limit]
    #[arg(long, value_parser = parse_amount)]
    per_job: Option<u64>,
    /// Length of a window in slots (9,000 are about an hour, 216,000 a day)
    #[arg(long, default_value_t = 216_000)]
    window_slots: u32,
    /// Most ever [default: ten times the window's limit]
    #[arg(long, value_parser = parse_amount)]
    lifetime: Option<u64>,
    /// Slot from which the grant is void [default: never]
    #[arg(long)]
    expires: Option<u64>,
}

impl Limits {
    fn arguments(&self) -> GrantSpend {
        GrantSpend {
            per_job_max: U64::new(self.per_job.unwrap_or(self.limit)),
            window_max: U64::new(self.limit),
            window_slots: U32::new(self.window_slots),
            lifetime_cap: U64::new(
                self.lifetime
                    .unwrap_or_else(|| self.limit.saturating_mul(10))
                    .min(NEVER),
            ),
            expiry_slot: U64::new(self.expires.unwrap_or(NEVER)),
            model_count: 0,
            models: [[0; 32]; GRANT_MODELS],
        }
    }
}

/// Grants.
#[derive(Subcommand, Debug)]
pub enum Grant {
    /// Let a delegate spend from the vault, or change its limits
    Create {
        /// Delegate's address
        delegate: Pubkey,
        #[command(flatten)]
        limits: Limits,
    },
    /// Limits, and what was spent of them
    Show {
        /// Delegate's address
        delegate: Pubkey,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// End a grant; running jobs go on
    Revoke {
        /// Delegate's address
        delegate: Pubkey,
    },
    /// Close a grant that is over; its rent goes to who paid it
    Close {
        /// Delegate's address
        delegate: Pubkey,
    },
}

/// API keys.
#[derive(Subcommand, Debug)]
pub enum Key {
    /// Make a key, let its delegate spend, and fill the vault, in one
    #[command(
        after_help = "Example, a key that may spend 0.1 SOL a day and 1 SOL ever, with 0.5 SOL paid in:\n  mythic key create --name bot --limit 0.1 --deposit 0.5"
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
    },
}

async fn load(chain: &ChainClient, owner: &Pubkey, delegate: &Pubkey) -> Result<SpendGrant> {
    match chain
        .account::<SpendGrant>(&pda::grant(owner, delegate))
        .await?
    {
        Some((_, grant)) => Ok(grant),
        None => Err(Exit::error(
            exit::NOT_FOUND,
            format!(
                "{delegate} has no grant from {owner}; `mythic grant create {delegate} --limit AMOUNT` makes one"
            ),
        )),
    }
}

async fn show(chain: &ChainClient, owner: &Pubkey, delegate: &Pubkey, json: bool) -> Result<()> {
    let grant = load(chain, owner, delegate).await?;
    let (revoked, expiry) = (grant.revoked_slot.get(), grant.expiry_slot.get());
    Report::default()
        .add("grant", pda::grant(owner, delegate).to_string())
        .add("owner", owner.to_string())
        .add("delegate", delegate.to_string())
        .lamports("per_job_max", grant.per_job_max.get())
        .lamports("window_max", grant.window_max.get())
        .lamports("window_spent", grant.window_spent.get())
        .add("window_slots", grant.window_slots.get())
        .lamports("lifetime_cap", grant.lifetime_cap.get())
        .lamports("lifetime_spent", grant.lifetime_spent.get())
        .add("open_jobs", grant.open_jobs.get())
        .say(
            "expiry_slot",
            if expiry >= NEVER {
                "never".into()
            } else {
                expiry.to_string()
            },
            (expiry < NEVER).then_some(expiry),
        )
        .say(
            "revoked_slot",
            if revoked == 0 {
                "not revoked".into()
            } else {
                revoked.to_string()
            },
            (revoked > 0).then_some(revoked),
        )
        .print(json)
}

/// Runs `mythic grant`.
pub async fn grant(command: Grant, connection: &Connection) -> Result<()> {
    let wallet = connection.wallet()?;
    let owner = wallet.pubkey();
    let chain = connection.chain();
    match command {
        Grant::Create { delegate, limits } => {
            let instruction = ix::grant_spend(&owner, &owner, &delegate, &limits.arguments());
            let signature = send(&chain, &wallet, &[instruction]).await?;
            println!("granted in {signature}");
            show(&chain, &owner, &delegate, false).await
        }
        Grant::Show { delegate, json } => show(&chain, &owner, &delegate, json).await,
        Grant::Revoke { delegate } => {
            load(&chain, &owner, &delegate).await?;
            let signature = send(&chain, &wallet, &[ix::revoke_grant(&owner, &delegate)]).await?;
            println!("revoked in {signature}; jobs that run go on");
            Ok(())
        }
        Grant::Close { delegate } => {
            let grant = load(&chain, &owner, &delegate).await?;
            let rent_payer = Pubkey::new_from_array(grant.rent_payer);
            let instruction = ix::close_grant(&owner, &delegate, &rent_payer);
            let signature = send(&chain, &wallet, &[instruction]).await?;
            println!("closed in {signature}; its rent went to {rent_payer}");
            Ok(())
        }
    }
}

/// Runs `mythic key`.
pub async fn key(command: Key, connection: &Connection) -> Result<()> {
    let wallet = connection.wallet()?;
    match command {
        Key::Create {
            name,
            limits,
            deposit,
            json,
        } => create(connection, &wallet, &name, &limits, deposit, json).await,
        Key::List { json } => {
            let list = signed(connection, &wallet, Method::GET, "/v1/keys", None).await?;
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
            );
            Ok(())
        }
        Key::Revoke { id } => revoke(connection, &wallet, &id).await,
    }
}

async fn create(
    connection: &Connection,
    wallet: &Keypair,
    name: &str,
    limits: &Limits,
    deposit: Option<u64>,
    json: bool,
) -> Result<()> {
    let owner = wallet.pubkey();
    let body = json!({ "name": name });
    let made = signed(connection, wallet, Method::POST, "/v1/keys", Some(body)).await?;
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
    if let Some(amount) = deposit {
        instructions.push(ix::deposit_vault(&owner, &owner, amount));
    }
    let arguments = limits.arguments();
    instructions.push(ix::grant_spend(&owner, &owner, &delegate, &arguments));
    let signature = match send(&connection.chain(), wallet, &instructions).await {
        Ok(signature) => signature,
        Err(error) => {
            // A key that can spend nothing is of no use to anybody.
            let path = format!("/v1/keys/{id}");
            return Err(match signed(connection, wallet, Method::DELETE, &path, None).await {
                Ok(_) => error.context("no key was made: deposit and grant failed"),
                Err(_) => error.context(format!(
                    "key {id} can't spend: deposit and grant failed; `mythic key revoke {id}` removes it"
                )),
            });
        }
    };
    let mut report = Report::default();
    report
        .add("key", key)
        .add("id", id)
        .add("delegate", delegate.to_string())
        .lamports("per_job_max", arguments.per_job_max.get())
        .lamports("window_max", arguments.window_max.get())
        .add("window_slots", limits.window_slots)
        .lamports("lifetime_cap", arguments.lifetime_cap.get());
    if let Some(amount) = deposit {
        report.lamports("deposited", amount);
    }
    report.add("signature", signature.to_string()).print(json)?;
    eprintln!("The key is shown this once; the gateway keeps only its hash.");
    Ok(())
}

async fn revoke(connection: &Connection, wallet: &Keypair, id: &str) -> Result<()> {
    let owner = wallet.pubkey();
    let list = signed(connection, wallet, Method::GET, "/v1/keys", None).await?;
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
    signed(connection, wallet, Method::DELETE, &path, None).await?;
    println!("revoked {id}");
    let chain = connection.chain();
    match chain
        .account::<SpendGrant>(&pda::grant(&owner, &delegate))
        .await?
    {
        Some((_, grant)) if grant.revoked_slot.get() == 0 => {
            let signature = send(&chain, wallet, &[ix::revoke_grant(&owner, &delegate)]).await?;
            println!(
                "its grant of {} a window was revoked in {signature}",
                sol(grant.window_max.get())
            );
        }
        _ => {}
    }
    Ok(())
}

/// A request that the wallet signs (see `wire`).
async fn signed(
    connection: &Connection,
    wallet: &Keypair,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> Result<Value> {
    let gateway = connection.gateway()?;
    let bytes = body
        .map(|body| body.to_string().into_bytes())
        .unwrap_or_default();
    let mut request = gateway.request(method.clone(), path);
    for (name, value) in wire::sign(method.as_str(), path, &bytes, wallet) {
        request = request.header(name, value);
    }
    if !bytes.is_empty() {
        request = request
            .header("content-type", "application/json")
            .body(bytes);
    }
    gateway
        .send(request)
        .await?
        .json()
        .await
        .context("the gateway's answer is not JSON")
}
