//! `mythic model`: fetch a file, register it on chain, list what the network serves.

use crate::{
    context::Connection,
    exit::{self, Exit},
    model::{fetch_with_progress, spec},
    units::{cell, print_table, sol},
};
use anyhow::Result;
use clap::Subcommand;
use mythic_client::{Commitment, ix, pda};
use mythic_interface::{
    instruction::RegisterModel,
    le::Text,
    state::{Config, Model as ModelAccount},
};
use solana_signer::Signer;
use std::path::PathBuf;

/// Models.
#[derive(Subcommand, Debug)]
pub enum Model {
    /// Fetch the default model into the cache, checked by its SHA-256; prints its path
    Pull,
    /// Register a GGUF file on chain. Burns the registration fee
    Register {
        /// GGUF file
        file: PathBuf,
        /// Name shown to users; names are not unique, the identity is
        #[arg(long)]
        name: String,
    },
    /// Models the gateway serves, with prices per 1,000 tokens
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Runs `mythic model`.
pub async fn run(command: Model, connection: &Connection) -> Result<()> {
    match command {
        Model::Pull => println!("{}", fetch_with_progress().await?.display()),
        Model::Register { file, name } => {
            let spec = spec(&file)?;
            let identity = spec.identity();
            let address = pda::model(&identity);
            let chain = connection.chain();
            if chain.account::<ModelAccount>(&address).await?.is_some() {
                println!(
                    "{} is registered already: model {address}, identity {}",
                    file.display(),
                    hex::encode(identity)
                );
                return Ok(());
            }
            let Some((_, config)) = chain.account::<Config>(&pda::config()).await? else {
                return Err(Exit::error(
                    exit::NOT_FOUND,
                    "the program is not initialised on this chain",
                ));
            };
            let name = Text::new(&name).ok_or_else(|| {
                Exit::error(
                    exit::USAGE,
                    "--name must be printable ASCII and fit into a model's account (32 bytes)",
                )
            })?;
            let wallet = connection.wallet()?;
            let payer = wallet.pubkey();
            let instruction = ix::register_model(&payer, &payer, &RegisterModel { spec, name });
            let signature = chain
                .send_and_confirm(&[instruction], &payer, &[&wallet], Commitment::Confirmed)
                .await?;
            println!(
                "model     {address}\nidentity  {}\nburned    {}\nsignature {signature}",
                hex::encode(identity),
                sol(config.params.registration_fee.get())
            );
        }
        Model::List { json } => {
            let models = connection.gateway()?.get("/v1/models").await?;
            if json {
                println!("{}", serde_json::to_string_pretty(&models)?);
                return Ok(());
            }
            let rows: Vec<Vec<String>> = models["data"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|model| {
                    vec![
                        cell(&model["id"]),
                        cell(&model["price_in_lamports_per_1k"]),
                        cell(&model["price_out_lamports_per_1k"]),
                        cell(&model["context_length"]),
                        cell(&model["validators"]),
                    ]
                })
                .collect();
            print_table(&["MODEL", "IN", "OUT", "CONTEXT", "VALIDATORS"], &rows);
        }
    }
    Ok(())
}
