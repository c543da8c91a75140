//! `mythic model`: fetch a file, register it on chain, change its price or retire it, list what the network serves.

use super::wallet::send;
use crate::{
    context::Connection,
    exit::{self, Exit},
    model::{fetch_with_progress, spec},
    report::{Report, print_rows},
};
use anyhow::Result;
use clap::Subcommand;
use mythic_client::{ChainClient, Commitment, ix, pda};
use mythic_interface::{
    ix::{RegisterModel, UpdateModel},
    le::{Text, U32},
    state::{Config, MODEL_NAME_LEN, Model as ModelAccount, ModelStatus},
};
use solana_pubkey::Pubkey;
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
        /// Name shown to users; names are not unique, the identity is [default: the file's own]
        #[arg(long)]
        name: Option<String>,
    },
    /// Change what its registrant may change of a model: prices, name, whether it takes jobs
    Update {
        /// Its identity, at least the first 8 hex digits; NAME@DIGITS works too
        model: String,
        /// Lamports per 1,000 prompt tokens
        #[arg(long)]
        price_in: Option<u32>,
        /// Lamports per 1,000 output tokens
        #[arg(long)]
        price_out: Option<u32>,
        /// New name
        #[arg(long)]
        name: Option<String>,
        /// Take no new jobs; those that run go on
        #[arg(long, conflicts_with = "activate")]
        retire: bool,
        /// Take jobs again
        #[arg(long)]
        activate: bool,
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
            let name = match name {
                Some(name) => text(&name)?,
                None => text(&crate::model::name(&file)?)?,
            };
            let wallet = connection.wallet()?;
            let payer = wallet.pubkey();
            let instruction = ix::register_model(&payer, &payer, &RegisterModel { spec, name });
            let signature = send(&chain, &wallet, &[instruction]).await?;
            Report::default()
                .add("model", address.to_string())
                .add("identity", hex::encode(identity))
                .add("name", name.as_str())
                .lamports("burned", config.params.registration_fee.get())
                .add("signature", signature.to_string())
                .print(false)?;
        }
        Model::Update {
            model,
            price_in,
            price_out,
            name,
            retire,
            activate,
        } => {
            let chain = connection.chain();
            let (address, found) = find(&chain, &model).await?;
            let is_retired = found.header.status == ModelStatus::Retired as u8;
            let arguments = UpdateModel {
                price_in: price_in.map_or(found.price_in, U32::new),
                price_out: price_out.map_or(found.price_out, U32::new),
                name: name.as_deref().map_or(Ok(found.name), text)?,
                retired: (retire || is_retired && !activate).into(),
            };
            let wallet = connection.wallet()?;
            if found.registrant != wallet.pubkey().to_bytes() {
                return Err(Exit::error(
                    exit::USAGE,
                    format!(
                        "only its registrant {} can change this model; pass its key with --keypair",
                        Pubkey::new_from_array(found.registrant)
                    ),
                ));
            }
            let instruction = ix::update_model(&wallet.pubkey(), &address, &arguments);
            let signature = send(&chain, &wallet, &[instruction]).await?;
            Report::default()
                .add("model", address.to_string())
                .add("name", arguments.name.as_str())
                .add("price_in_lamports_per_1k", arguments.price_in.get())
                .add("price_out_lamports_per_1k", arguments.price_out.get())
                .add("retired", arguments.retired == 1)
                .add("signature", signature.to_string())
                .print(false)?;
        }
        Model::List { json } => {
            let models = connection.gateway()?.get("/v1/models").await?;
            if json {
                println!("{}", serde_json::to_string_pretty(&models)?);
                return Ok(());
            }
            let rows = models["data"].as_array().cloned().unwrap_or_default();
            let columns = [
                ("MODEL", "id"),
                ("IN", "price_in_lamports_per_1k"),
                ("OUT", "price_out_lamports_per_1k"),
                ("CONTEXT", "context_length"),
                ("VALIDATORS", "validators"),
                ("ARITHMETIC", "kernel_profile"),
            ];
            print_rows(
                &rows,
                &columns,
                "The gateway serves no model that takes jobs.",
                false,
            );
        }
    }
    Ok(())
}

fn text(name: &str) -> Result<Text<MODEL_NAME_LEN>> {
    Text::new(name).filter(|_| !name.is_empty()).ok_or_else(|| {
        Exit::error(
            exit::USAGE,
            format!(
                "a model's name is 1 to {MODEL_NAME_LEN} printable ASCII characters, not {name:?}"
            ),
        )
    })
}

/// The model on chain whose identity begins with what was typed.
async fn find(chain: &ChainClient, typed: &str) -> Result<(Pubkey, ModelAccount)> {
    let digits = typed.rsplit('@').next().unwrap_or(typed).to_lowercase();
    if digits.len() < 8 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Exit::error(
            exit::USAGE,
            format!(
                "{typed:?} is no identity: at least its first 8 hex digits are needed; `mythic model list` shows them"
            ),
        ));
    }
    let mut found = chain
        .program_accounts::<ModelAccount>(&[], Commitment::Processed)
        .await?;
    found.retain(|(_, model)| hex::encode(model.identity).starts_with(&digits));
    match (found.len(), found.pop()) {
        (1, Some(only)) => Ok(only),
        (0, _) | (_, None) => Err(Exit::error(
            exit::NOT_FOUND,
            format!("no model on this chain has an identity that begins with {digits}"),
        )),
        (n, Some(_)) => Err(Exit::error(
            exit::USAGE,
            format!("{n} models begin with {digits}; type more digits"),
        )),
    }
}
