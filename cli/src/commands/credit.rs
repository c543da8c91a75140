//! `mythic credit`: what a wallet has prepaid at a gateway for fees and rent beyond what the gateway lays out for free.

use super::{signed::signed, wallet::send};
use crate::{
    context::Connection,
    note,
    report::Report,
    units::{parse_amount, sol},
};
use anyhow::{Context, Result, bail};
use clap::Subcommand;
use mythic_client::{ChainClient, Commitment};
use mythic_wire::signed::purpose;
use reqwest::Method;
use serde_json::{Value, json};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_signer::Signer;
use std::time::{Duration, Instant};

/// How long a transfer may take from its landing to its finality, and how often is looked.
const FINALITY: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(500);

/// Credit.
#[derive(Subcommand, Debug)]
pub enum Credit {
    /// What this wallet has prepaid, and where to pay
    Show {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Transfer this much to the gateway's operator, and tell the gateway
    #[command(
        after_help = "Credit pays for fees and rent of jobs by API key beyond what the gateway lays out for free. It is spent at this gateway and not paid out."
    )]
    Add {
        /// SOL (1.5), or lamports (1500lamports)
        #[arg(value_parser = parse_amount)]
        amount: u64,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Tell the gateway of a transfer that was made elsewhere
    Tell {
        /// The transfer's transaction
        signature: Signature,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Runs `mythic credit`.
pub async fn run(command: Credit, connection: &Connection) -> Result<()> {
    let wallet = connection.wallet()?;
    match command {
        Credit::Show { json } => print(&show(connection, &wallet).await?, json),
        Credit::Add { amount, json } => {
            let pay_to: Pubkey = show(connection, &wallet).await?["pay_to"]
                .as_str()
                .and_then(|address| address.parse().ok())
                .context("the gateway names no address to pay to")?;
            let pay =
                solana_system_interface::instruction::transfer(&wallet.pubkey(), &pay_to, amount);
            let chain = connection.chain();
            let signature = send(&chain, &wallet, &[pay]).await?;
            note!(
                "{} sent to {pay_to} in {signature}; waiting until it is final",
                sol(amount)
            );
            let told = async {
                finality(&chain, &signature).await?;
                tell(connection, &wallet, &signature).await
            };
            let told = told.await.with_context(|| {
                format!("the transfer is made and not credited yet; run `mythic credit tell {signature}`")
            })?;
            print(&told, json)
        }
        Credit::Tell { signature, json } => {
            print(&tell(connection, &wallet, &signature).await?, json)
        }
    }
}

async fn show(connection: &Connection, wallet: &Keypair) -> Result<Value> {
    signed(
        connection,
        wallet,
        purpose::CREDIT,
        (Method::GET, "/v1/credit"),
        None,
    )
    .await
}

async fn tell(connection: &Connection, wallet: &Keypair, signature: &Signature) -> Result<Value> {
    let body = json!({"signature": signature.to_string()});
    let route = (Method::POST, "/v1/credit");
    signed(connection, wallet, purpose::CREDIT, route, Some(body)).await
}

async fn finality(chain: &ChainClient, signature: &Signature) -> Result<()> {
    let started = Instant::now();
    while started.elapsed() < FINALITY {
        match chain.signature_status(signature).await {
            Ok(Some(status)) if status.commitment == Commitment::Finalized => return Ok(()),
            Err(error) if !error.is_transient() => return Err(error.into()),
            _ => tokio::time::sleep(LOOK).await,
        }
    }
    bail!("{signature} is not final after {} s", FINALITY.as_secs())
}

fn print(credit: &Value, json: bool) -> Result<()> {
    let mut report = Report::default();
    for name in ["wallet", "pay_to"] {
        report.add(name, credit[name].clone());
    }
    for name in ["balance", "held", "spent", "paid_in", "free_fees_left"] {
        report.lamports(name, credit[format!("{name}_lamports")].as_u64());
    }
    let payment = &credit["payment"];
    if payment.is_object() {
        report
            .lamports("credited", payment["lamports"].as_u64())
            .add("credited_now", payment["credited_now"].clone());
    }
    report.print(json)
}
