//! `mythic model`: fetch a file, register it on chain, change its price or retire it, list what the network serves.

use super::wallet::send;
use crate::{
    context::Connection,
    exit::{self, Exit},
    model::{check, fetch_with_progress, pull_with_progress, spec},
    note,
    report::{Report, print_rows},
    say, terminal,
};
use anyhow::{Context as _, Result};
use clap::Subcommand;
use mythic_client::{ChainClient, Commitment, ix, pda};
use mythic_interface::{
    ix::{RegisterModel, UpdateModel},
    le::{Text, U32},
    state::{Config, MODEL_NAME_LEN, Model as ModelAccount, ModelStatus},
};
use mythic_model::pull::{Fetched, ModelSource, PullError, Puller};
use serde_json::{Value, json};
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use std::path::{Path, PathBuf};

/// Models.
#[derive(Subcommand, Debug)]
pub enum Model {
    /// Fetch a model file into the cache, checked by its SHA-256; prints its path
    ///
    /// A hub's file is checked against the SHA-256 that the hub has on record. HF_ENDPOINT names another hub than huggingface.co.
    Pull {
        /// hub:OWNER/REPO/FILE, an address (with --sha256), or the path of a file [default: the default model]
        source: Option<String>,
        /// SHA-256 that the file must have, 64 hex digits
        #[arg(long, value_name = "HEX", requires = "source")]
        sha256: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Register a GGUF file on chain. Burns the registration fee
    ///
    /// A file that somebody has registered under this build's arithmetic is named instead, and nothing is burned: nodes can serve it.
    Register {
        /// GGUF file
        file: PathBuf,
        /// Name shown to users; names are not unique, the identity is [default: the file's own]
        #[arg(long)]
        name: Option<String>,
        /// Register it under your own key, whoever else has: a model beside theirs, with prices that you set
        #[arg(long)]
        own: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
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
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Models the gateway serves, with prices per 1,000 tokens, and the files that were fetched
    List {
        /// Only the files that were fetched; asks no gateway
        #[arg(long)]
        fetched: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Runs `mythic model`.
pub async fn run(command: Model, connection: &Connection) -> Result<()> {
    match command {
        Model::Pull {
            source,
            sha256,
            json,
        } => pull(source.as_deref(), sha256.as_deref(), json).await,
        Model::Register {
            file,
            name,
            own,
            json,
        } => {
            let report = register(&file, name.as_deref(), own, connection).await?;
            report.print(json)
        }
        Model::Update {
            model,
            price_in,
            price_out,
            name,
            retire,
            activate,
            json,
        } => {
            let change = Change {
                price_in,
                price_out,
                name,
                retire,
                activate,
            };
            update(&model, change, connection).await?.print(json)
        }
        Model::List {
            fetched: true,
            json,
        } => list_fetched(json),
        Model::List { json, .. } => list(connection, json).await,
    }
}

/// Fetches a file and says whether this build could serve it.
async fn pull(source: Option<&str>, sha256: Option<&str>, json: bool) -> Result<()> {
    let (path, sha256) = match source {
        None => (fetch_with_progress().await?, None),
        Some(text) => {
            let source = ModelSource::parse(text).map_err(refused)?;
            let fetched = pull_with_progress(&source, sha256).await.map_err(refused)?;
            if let Err(error) = check(&fetched.path) {
                note!("This build can't serve it: {error:#}");
            }
            (fetched.path, Some(fetched.sha256))
        }
    };
    match (json, sha256) {
        (true, Some(sha256)) => terminal::json(&json!({ "file": path, "sha256": sha256 }))?,
        (true, None) => terminal::json(&json!({ "file": path }))?,
        (false, _) => say!("{}", path.display()),
    }
    Ok(())
}

/// An error of fetching, with its exit code.
fn refused(error: PullError) -> anyhow::Error {
    let code = match &error {
        PullError::Source(_) | PullError::NotAHash(_) | PullError::NoHash(_) => exit::USAGE,
        PullError::Unreachable { .. } => exit::UNREACHABLE,
        PullError::OtherFile { .. } => exit::CHECK_FAILED,
        PullError::Io { .. } | PullError::Cache(_) => exit::FAILURE,
    };
    Exit::error(code, error.to_string())
}

/// The files that were fetched, as rows.
fn fetched() -> Result<Vec<Value>> {
    let files = Puller::from_env()?.fetched()?;
    let row =
        |file: &Fetched| json!({ "file": file.path, "bytes": file.bytes, "sha256": file.sha256 });
    Ok(files.iter().map(row).collect())
}

fn list_fetched(json: bool) -> Result<()> {
    let columns = [("FILE", "file"), ("BYTES", "bytes"), ("SHA-256", "sha256")];
    let none = "No model file was fetched yet; `mythic model pull` fetches one.";
    print_rows(&fetched()?, &columns, none, json)
}

/// Registers a file that this build can serve; one that is registered already is named.
async fn register(
    file: &Path,
    name: Option<&str>,
    own: bool,
    connection: &Connection,
) -> Result<Report> {
    let spec = spec(file).context("not registered, and nothing was burned")?;
    let wallet = connection.wallet()?;
    let payer = wallet.pubkey();
    let identity = spec.identity(payer.as_array());
    let chain = connection.chain();
    let mut known = chain
        .program_accounts::<ModelAccount>(&[], Commitment::Processed)
        .await?;
    known.retain(|(_, model)| match own {
        true => model.identity == identity,
        false => model.spec == spec && model.header.status != ModelStatus::Retired as u8,
    });
    // One's own before others'.
    known.sort_by_key(|(address, model)| (model.identity != identity, *address));
    let mut report = Report::default();
    if let Some((address, model)) = known.first() {
        note!(
            "{} is registered already: nothing was burned. With --own it is registered under your key too.",
            file.display()
        );
        report
            .add("model", address.to_string())
            .add("identity", hex::encode(model.identity))
            .add("name", model.name.as_str())
            .add(
                "registrant",
                Pubkey::new_from_array(model.registrant).to_string(),
            );
        return Ok(report);
    }
    let Some((_, config)) = chain.account::<Config>(&pda::config()).await? else {
        return Err(Exit::error(
            exit::NOT_FOUND,
            "the program is not initialised on this chain",
        ));
    };
    let name = match name {
        Some(name) => text(name)?,
        None => text(&crate::model::name(file)?)?,
    };
    let instruction = ix::register_model(payer, payer, &RegisterModel { spec, name });
    let signature = send(&chain, &wallet, &[instruction]).await?;
    report
        .add("model", pda::model(&identity).to_string())
        .add("identity", hex::encode(identity))
        .add("name", name.as_str())
        .lamports("burned", config.params.registration_fee.get())
        .add("signature", signature.to_string());
    Ok(report)
}

/// What `model update` changes.
struct Change {
    price_in: Option<u32>,
    price_out: Option<u32>,
    name: Option<String>,
    retire: bool,
    activate: bool,
}

async fn update(model: &str, change: Change, connection: &Connection) -> Result<Report> {
    let chain = connection.chain();
    let (address, found) = find(&chain, model).await?;
    let is_retired = found.header.status == ModelStatus::Retired as u8;
    let arguments = UpdateModel {
        price_in: change.price_in.map_or(found.price_in, U32::new),
        price_out: change.price_out.map_or(found.price_out, U32::new),
        name: change.name.as_deref().map_or(Ok(found.name), text)?,
        retired: (change.retire || is_retired && !change.activate).into(),
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
    let instruction = ix::update_model(wallet.pubkey(), address, &arguments);
    let signature = send(&chain, &wallet, &[instruction]).await?;
    let mut report = Report::default();
    report
        .add("model", address.to_string())
        .add("name", arguments.name.as_str())
        .add("price_in_lamports_per_1k", arguments.price_in.get())
        .add("price_out_lamports_per_1k", arguments.price_out.get())
        .add("retired", arguments.retired == 1)
        .add("signature", signature.to_string());
    Ok(report)
}

async fn list(connection: &Connection, json: bool) -> Result<()> {
    let mut models = connection.gateway()?.get("/v1/models").await?;
    if json {
        if let Some(fields) = models.as_object_mut() {
            fields.insert("fetched".to_owned(), fetched()?.into());
        }
        return terminal::json(&models);
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
    let none = "The gateway serves no model that takes jobs.";
    print_rows(&rows, &columns, none, false)?;
    if !rows.is_empty() {
        note!("IN and OUT in lamports per 1,000 tokens.");
    }
    say!();
    list_fetched(false)
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
