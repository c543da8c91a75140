//! `mythic wallet`, `vault`, `grant` and `key`: whose money, and who may spend how much of it.

use crate::{
    context::Connection,
    exit::{self, Exit},
    units::{parse_amount, print_table, sol},
};
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use mythic_client::{ChainClient, Commitment, ix, keys, pda};
use mythic_inference::wire;
use mythic_interface::{
    instruction::GrantSpend,
    le::{U32, U64},
    state::{GRANT_MODELS, SpendGrant, Vault as VaultAccount},
};
use reqwest::Method;
use serde_json::{Value, json};
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use std::path::PathBuf;

/// A wallet.
#[derive(Subcommand, Debug)]
pub enum Wallet {
    /// Make a key file
    New {
        /// Where to write it; never overwritten
        file: PathBuf,
    },
    /// Address and lamports
    Show,
    /// Ask a development chain's faucet
    Airdrop {
        /// SOL (1.5), or lamports (1500lamports)
        #[arg(value_parser = parse_amount)]
        amount: u64,
    },
}

/// A vault.
#[derive(Subcommand, Debug)]
pub enum Vault {
    /// Balance, and what open jobs hold of it
    Show,
    /// Pay in
    Deposit {
        /// SOL (1.5), or lamports (1500lamports)
        #[arg(value_parser = parse_amount)]
        amount: u64,
    },
    /// Pay out to the owner
    Withdraw {
        /// SOL (1.5), or lamports (1500lamports)
        #[arg(value_parser = parse_amount)]
        amount: u64,
    },
    /// Close a vault without open jobs
    Close,
}

/// What a grant allows.
#[derive(Args, Debug, Clone)]
pub struct Limits {
    /// Most that one job may cost [default: the window's limit]
    #[arg(long, value_parser = parse_amount)]
    per_job: Option<u64>,
    /// Most in one window
    #[arg(long, value_parser = parse_amount)]
    limit: u64,
    /// Length of a window in slots (9,000 are about an hour)
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
                    .min(i64::MAX as u64),
            ),
            expiry_slot: U64::new(self.expires.unwrap_or(i64::MAX as u64)),
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
    Create {
        /// For your own list of keys
        #[arg(long, default_value = "")]
        name: String,
        #[command(flatten)]
        limits: Limits,
        /// Deposit this much first
        #[arg(long, value_parser = parse_amount)]
        deposit: Option<u64>,
    },
    /// Keys of this wallet
    List,
    /// Revoke a key and its delegate's grant
    Revoke {
        /// Id, as `key list` shows it
        id: String,
    },
}

async fn send(chain: &ChainClient, wallet: &Keypair, instructions: &[Instruction]) -> Result<()> {
    let signature = chain
        .send_and_confirm(
            instructions,
            &wallet.pubkey(),
            &[wallet],
            Commitment::Confirmed,
        )
        .await?;
    println!("signature {signature}");
    Ok(())
}

/// Runs `mythic wallet`.
pub async fn wallet(command: Wallet, connection: &Connection) -> Result<()> {
    match command {
        Wallet::New { file } => {
            let key = Keypair::new();
            keys::write_keypair(&file, &key)?;
            println!("{}   {}", key.pubkey(), file.display());
        }
        Wallet::Show => {
            let address = connection.wallet()?.pubkey();
            println!(
                "address   {address}\nbalance   {}",
                sol(connection.chain().balance(&address).await?)
            );
        }
        Wallet::Airdrop { amount } => {
            let address = connection.wallet()?.pubkey();
            let chain = connection.chain();
            chain
                .airdrop(&address, amount)
                .await
                .context("the faucet exists on development chains only")?;
            println!("balance   {}", sol(chain.balance(&address).await?));
        }
    }
    Ok(())
}

/// Runs `mythic vault`.
pub async fn vault(command: Vault, connection: &Connection) -> Result<()> {
    let wallet = connection.wallet()?;
    let owner = wallet.pubkey();
    let chain = connection.chain();
    let address = pda::vault(&owner);
    match command {
        Vault::Show => show_vault(&chain, &owner).await?,
        Vault::Deposit { amount } => {
            send(
                &chain,
                &wallet,
                &[ix::deposit_vault(&owner, &owner, amount)],
            )
            .await?;
            show_vault(&chain, &owner).await?;
        }
        Vault::Withdraw { amount } => {
            send(&chain, &wallet, &[ix::withdraw_vault(&owner, amount)]).await?;
            show_vault(&chain, &owner).await?;
        }
        Vault::Close => {
            let Some((_, state)) = chain.account::<VaultAccount>(&address).await? else {
                return Err(Exit::error(
                    exit::NOT_FOUND,
                    format!("{owner} has no vault"),
                ));
            };
            send(
                &chain,
                &wallet,
                &[ix::close_vault(
                    &owner,
                    &Pubkey::new_from_array(state.rent_payer),
                )],
            )
            .await?;
        }
    }
    Ok(())
}

async fn show_vault(chain: &ChainClient, owner: &Pubkey) -> Result<()> {
    let address = pda::vault(owner);
    let Some((_, vault)) = chain.account::<VaultAccount>(&address).await? else {
        return Err(Exit::error(
            exit::NOT_FOUND,
            format!("{owner} has no vault; `mythic vault deposit` makes one"),
        ));
    };
    println!(
        "vault     {address}\nbalance   {}\nheld      {} by {} open jobs\nspent     {} so far",
        sol(vault.balance.get()),
        sol(vault.held.get()),
        vault.open_jobs.get(),
        sol(vault.spent.get())
    );
    Ok(())
}

async fn load_grant(chain: &ChainClient, owner: &Pubkey, delegate: &Pubkey) -> Result<SpendGrant> {
    match chain
        .account::<SpendGrant>(&pda::grant(owner, delegate))
        .await?
    {
        Some((_, grant)) => Ok(grant),
        None => Err(Exit::error(
            exit::NOT_FOUND,
            format!("{delegate} has no grant from {owner}"),
        )),
    }
}

/// Runs `mythic grant`.
pub async fn grant(command: Grant, connection: &Connection) -> Result<()> {
    let wallet = connection.wallet()?;
    let owner = wallet.pubkey();
    let chain = connection.chain();
    match command {
        Grant::Create { delegate, limits } => {
            send(
                &chain,
                &wallet,
                &[ix::grant_spend(
                    &owner,
                    &owner,
                    &delegate,
                    &limits.arguments(),
                )],
            )
            .await
        }
        Grant::Show { delegate } => {
            let grant = load_grant(&chain, &owner, &delegate).await?;
            println!(
                "grant     {}\nper job   {}\nwindow    {} of {} in {} slots\nlifetime  {} of {}\nrevoked   {}",
                pda::grant(&owner, &delegate),
                sol(grant.per_job_max.get()),
                sol(grant.window_spent.get()),
                sol(grant.window_max.get()),
                grant.window_slots.get(),
                sol(grant.lifetime_spent.get()),
                sol(grant.lifetime_cap.get()),
                if grant.revoked_slot.get() == 0 {
                    "no".into()
                } else {
                    format!("at slot {}", grant.revoked_slot.get())
                }
            );
            Ok(())
        }
        Grant::Revoke { delegate } => {
            send(&chain, &wallet, &[ix::revoke_grant(&owner, &delegate)]).await
        }
        Grant::Close { delegate } => {
            let grant = load_grant(&chain, &owner, &delegate).await?;
            let rent_payer = Pubkey::new_from_array(grant.rent_payer);
            send(
                &chain,
                &wallet,
                &[ix::close_grant(&owner, &delegate, &rent_payer)],
            )
            .await
        }
    }
}

/// Runs `mythic key`.
pub async fn key(command: Key, connection: &Connection) -> Result<()> {
    let wallet = connection.wallet()?;
    let owner = wallet.pubkey();
    match command {
        Key::Create {
            name,
            limits,
            deposit,
        } => {
            let made = signed(
                connection,
                &wallet,
                Method::POST,
                "/v1/keys",
                Some(json!({"name": name})),
            )
            .await?;
            let delegate: Pubkey = made["delegate"]
                .as_str()
                .and_then(|key| key.parse().ok())
                .context("the gateway's answer names no delegate")?;
            let mut instructions = Vec::new();
            if let Some(amount) = deposit {
                instructions.push(ix::deposit_vault(&owner, &owner, amount));
            }
            instructions.push(ix::grant_spend(
                &owner,
                &owner,
                &delegate,
                &limits.arguments(),
            ));
            // The key is shown first: it is shown once only, and works as soon as the grant stands.
            println!("key       {}", made["key"].as_str().unwrap_or("-"));
            println!(
                "id        {}\ndelegate  {delegate}",
                made["id"].as_str().unwrap_or("-")
            );
            send(&connection.chain(), &wallet, &instructions).await?;
            println!(
                "It can spend {} a window of {} slots, {} a job.",
                sol(limits.limit),
                limits.window_slots,
                sol(limits.per_job.unwrap_or(limits.limit))
            );
            Ok(())
        }
        Key::List => {
            let list = signed(connection, &wallet, Method::GET, "/v1/keys", None).await?;
            let rows: Vec<Vec<String>> = list["data"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|key| {
                    ["id", "name", "delegate", "revoked"]
                        .iter()
                        .map(|field| crate::units::cell(&key[field]))
                        .collect()
                })
                .collect();
            print_table(&["ID", "NAME", "DELEGATE", "REVOKED"], &rows);
            Ok(())
        }
        Key::Revoke { id } => {
            let list = signed(connection, &wallet, Method::GET, "/v1/keys", None).await?;
            let delegate = list["data"]
                .as_array()
                .into_iter()
                .flatten()
                .find(|key| key["id"] == id.as_str());
            let delegate: Option<Pubkey> = delegate
                .and_then(|key| key["delegate"].as_str())
                .and_then(|key| key.parse().ok());
            let Some(delegate) = delegate else {
                return Err(Exit::error(
                    exit::NOT_FOUND,
                    format!("this wallet has no key {id}; `mythic key list` shows them"),
                ));
            };
            signed(
                connection,
                &wallet,
                Method::DELETE,
                &format!("/v1/keys/{id}"),
                None,
            )
            .await?;
            println!("revoked   {id}");
            let chain = connection.chain();
            match chain
                .account::<SpendGrant>(&pda::grant(&owner, &delegate))
                .await?
            {
                Some((_, grant)) if grant.revoked_slot.get() == 0 => {
                    send(&chain, &wallet, &[ix::revoke_grant(&owner, &delegate)]).await
                }
                _ => Ok(()),
            }
        }
    }
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
