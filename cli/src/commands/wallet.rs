//! `mythic wallet` and `mythic vault`: whose money, and how much of it is prepaid.

use crate::{
    context::Connection,
    exit::{self, Exit},
    note,
    report::Report,
    say, terminal,
    units::{parse_amount, sol},
};
use anyhow::{Context, Result};
use clap::Subcommand;
use mythic_client::{ChainClient, ClientError, Commitment, ix, keys, pda};
use mythic_interface::state::Vault as VaultAccount;
use serde_json::json;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_signer::Signer;
use std::path::PathBuf;

/// A wallet.
#[derive(Subcommand, Debug)]
pub enum Wallet {
    /// Make a key file
    New {
        /// Where to write it; never overwritten
        file: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Address and lamports
    Show {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Ask a development chain's faucet
    Airdrop {
        /// SOL (1.5), or lamports (1500lamports)
        #[arg(value_parser = parse_amount)]
        amount: u64,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// A vault.
#[derive(Subcommand, Debug)]
pub enum Vault {
    /// Balance, and what open jobs hold of it
    Show {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Pay in; makes the vault if there is none
    Deposit {
        /// SOL (1.5), or lamports (1500lamports)
        #[arg(value_parser = parse_amount)]
        amount: u64,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Pay out to the owner
    Withdraw {
        /// SOL (1.5), or lamports (1500lamports)
        #[arg(value_parser = parse_amount)]
        amount: u64,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Close a vault without open jobs; balance and rent go back
    Close {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Sends instructions that the wallet signs and pays for, and waits until they are confirmed. A wallet that can't pay is told
/// how much it holds.
pub async fn send(
    chain: &ChainClient,
    wallet: &Keypair,
    instructions: &[Instruction],
) -> Result<Signature> {
    let payer = wallet.pubkey();
    let sent = chain
        .send_and_confirm(instructions, &payer, &[wallet], Commitment::Confirmed)
        .await;
    match sent {
        Ok(signature) => Ok(signature),
        Err(error) => Err(explained(chain, wallet, error).await),
    }
}

/// A refusal of the chain; where the wallet can't pay, with what it holds.
pub async fn explained(chain: &ChainClient, wallet: &Keypair, error: ClientError) -> anyhow::Error {
    let payer = wallet.pubkey();
    match chain.balance(&payer).await {
        Ok(balance) if exit::lacks_funds(&error) => Exit::error(
            exit::FUNDS,
            format!(
                "wallet {payer} holds {}, too little for this; send it SOL (on a development chain: `mythic wallet airdrop 2`)",
                sol(balance)
            ),
        ),
        _ => error.into(),
    }
}

/// Runs `mythic wallet`.
pub async fn wallet(command: Wallet, connection: &Connection) -> Result<()> {
    match command {
        Wallet::New { file, json } => {
            let key = Keypair::new();
            keys::write_keypair(&file, &key)?;
            Report::default()
                .add("address", key.pubkey().to_string())
                .add("file", file.display().to_string())
                .print(json)?;
            note!(
                "Whoever has this file has the money: keep a copy, show it to nobody. Use it with --keypair or MYTHIC_KEYPAIR."
            );
        }
        Wallet::Show { json } => {
            let address = connection.wallet()?.pubkey();
            let balance = connection.chain().balance(&address).await?;
            Report::default()
                .add("address", address.to_string())
                .lamports("balance", balance)
                .print(json)?;
        }
        Wallet::Airdrop { amount, json } => {
            let address = connection.wallet()?.pubkey();
            let chain = connection.chain();
            chain
                .airdrop(&address, amount)
                .await
                .context("the faucet exists on development chains only")?;
            Report::default()
                .add("address", address.to_string())
                .lamports("balance", chain.balance(&address).await?)
                .print(json)?;
        }
    }
    Ok(())
}

/// Runs `mythic vault`.
pub async fn vault(command: Vault, connection: &Connection) -> Result<()> {
    let wallet = connection.wallet()?;
    let owner = wallet.pubkey();
    let chain = connection.chain();
    match command {
        Vault::Show { json } => describe(&chain, &owner).await?.print(json)?,
        Vault::Deposit { amount, json } => {
            let deposit = ix::deposit_vault(owner, owner, amount);
            let signature = send(&chain, &wallet, &[deposit]).await?;
            paid(&chain, &owner, ("deposited", amount), &signature, json).await?;
        }
        Vault::Withdraw { amount, json } => {
            let vault = load(&chain, &owner).await?;
            let balance = vault.balance.get();
            if balance < amount {
                let mut message = format!("{} can be withdrawn", sol(balance));
                if vault.open_jobs.get() > 0 {
                    message.push_str(&format!(
                        "; {} open jobs hold {} more",
                        vault.open_jobs.get(),
                        sol(vault.held.get())
                    ));
                }
                return Err(Exit::error(exit::FUNDS, message));
            }
            let signature = send(&chain, &wallet, &[ix::withdraw_vault(owner, amount)]).await?;
            paid(&chain, &owner, ("withdrew", amount), &signature, json).await?;
        }
        Vault::Close { json } => {
            let vault = load(&chain, &owner).await?;
            let rent_payer = Pubkey::new_from_array(vault.rent_payer);
            let signature = send(&chain, &wallet, &[ix::close_vault(owner, rent_payer)]).await?;
            if json {
                let done = json!({"owner": owner.to_string(), "closed": true, "returned_lamports": vault.balance.get(), "signature": signature.to_string()});
                return terminal::json(&done);
            }
            say!(
                "closed in {signature}; {} went back to {owner}",
                sol(vault.balance.get())
            );
        }
    }
    Ok(())
}

async fn load(chain: &ChainClient, owner: &Pubkey) -> Result<VaultAccount> {
    match chain.account::<VaultAccount>(&pda::vault(owner)).await? {
        Some((_, vault)) => Ok(vault),
        None => Err(Exit::error(
            exit::NOT_FOUND,
            format!("{owner} has no vault; `mythic vault deposit AMOUNT` makes one"),
        )),
    }
}

/// Says what a payment moved, and the vault as it is after it.
async fn paid(
    chain: &ChainClient,
    owner: &Pubkey,
    (verb, amount): (&str, u64),
    signature: &Signature,
    json: bool,
) -> Result<()> {
    if !json {
        say!("{verb} {} in {signature}", sol(amount));
        return describe(chain, owner).await?.print(false);
    }
    let mut report = describe(chain, owner).await?;
    report
        .lamports(verb, amount)
        .add("signature", signature.to_string())
        .print(true)
}

async fn describe(chain: &ChainClient, owner: &Pubkey) -> Result<Report> {
    let vault = load(chain, owner).await?;
    let mut report = Report::default();
    report
        .add("vault", pda::vault(owner).to_string())
        .add("owner", owner.to_string())
        .lamports("balance", vault.balance.get())
        .lamports("held", vault.held.get())
        .add("open_jobs", vault.open_jobs.get())
        .lamports("spent", vault.spent.get());
    Ok(report)
}
