//! What a node does once at start: read its keys, load its models and find them on chain, register its validator.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail};
use mythic_client::{ChainClient, ClientError, Commitment, Filter, base_fee, ix, keys, pda};
use mythic_interface::{
    ix::{RegisterValidator, UpdateValidator},
    le::{Text, U32, U64},
    state::{Config, Model, ModelStatus, Validator},
};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

use crate::{
    config::{ModelConfig, NodeConfig},
    seams::Seams,
    serve::backend::ServedModel,
};
use mythic_engine::{Engine, EngineConfig, kernels};
use mythic_model::{catalogue::file_sha256, prompt};

/// The node's keys.
#[derive(Debug, Clone)]
pub struct Keys {
    /// The validator.
    pub authority: Pubkey,
    /// Its owner's key, if the node holds it: the authority's own, until it handed over.
    pub authority_key: Option<Arc<Keypair>>,
    /// Hot key.
    pub operator: Arc<Keypair>,
}

impl Keys {
    /// Reads the key files that the config names.
    pub fn load(config: &NodeConfig) -> Result<Self> {
        let operator =
            Arc::new(keys::load_keypair(&config.operator_keypair).context("operator_keypair")?);
        let authority_key = match &config.authority_keypair {
            Some(path) => Some(Arc::new(
                keys::load_keypair(path).context("authority_keypair")?,
            )),
            None => None,
        };
        let authority = match (&authority_key, &config.validator) {
            (Some(key), None) => key.pubkey(),
            (_, Some(text)) => {
                let named: Pubkey = text
                    .parse()
                    .map_err(|_| anyhow::anyhow!("validator = {text:?} is not a key"))?;
                // Another key is that of an owner who took the validator over.
                named
            }
            (None, None) => bail!("authority_keypair or validator must be set"),
        };
        if operator.pubkey() == authority {
            bail!(
                "operator_keypair and authority_keypair are the same key; the hot key must be another one"
            );
        }
        Ok(Self {
            authority,
            authority_key,
            operator,
        })
    }

    /// The key of `owner`, which `what` needs.
    fn owner_for(&self, owner: &Pubkey, what: &str) -> Result<Arc<Keypair>> {
        let held = self.authority_key.clone();
        held.filter(|key| key.pubkey() == *owner).ok_or_else(|| {
            anyhow::anyhow!(
                "{what} needs the signature of {owner}: set authority_keypair to the file of this key"
            )
        })
    }
}

/// Calls `f` until it succeeds or fails for good, so that a node may start before its chain does.
pub async fn patiently<T, F>(what: &str, f: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T, ClientError>>,
{
    let called = mythic_client::patiently(what, f).await;
    called.with_context(|| what.to_string())
}

/// The network's Config account.
pub async fn network(chain: &ChainClient) -> Result<Config> {
    let address = pda::config();
    loop {
        let found = patiently("reading the network's config", || {
            chain.account::<Config>(&address)
        })
        .await?;
        if let Some((_, config)) = found {
            return Ok(config);
        }
        tracing::warn!(
            "the program is not initialised on this chain; waiting (is rpc_url the right one?)"
        );
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

/// The models that the validator serves already; none while it is not registered.
pub async fn served(chain: &ChainClient, keys: &Keys) -> Result<Vec<Pubkey>> {
    let address = pda::validator(keys.authority);
    let read = || chain.account::<Validator>(&address);
    let found = patiently("reading the validator", read).await?;
    let served = found.iter().flat_map(|(_, validator)| validator.served());
    Ok(served
        .map(|served| Pubkey::new_from_array(served.model))
        .collect())
}

/// Loads one model file and finds its account on chain, among those that are `served` already if it is there.
pub async fn load_model(
    chain: &ChainClient,
    config: &NodeConfig,
    model: &ModelConfig,
    served: &[Pubkey],
    seams: &Seams,
) -> Result<ServedModel> {
    let path = model.path.clone();
    let engine_config = EngineConfig {
        threads: config.threads,
        kv_bytes: config.kv_bytes,
        max_sequences: config.max_concurrent,
        // Jobs that come back after a restart or a fork find a place beside the new ones.
        max_queued: config.max_queue + config.max_concurrent + 16,
        chunk: EngineConfig::default().chunk.max(config.max_concurrent),
        ..EngineConfig::default()
    };
    let (engine, weights) = tokio::task::spawn_blocking(move || -> Result<_> {
        let weights =
            file_sha256(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let engine = Engine::load(&path, engine_config)
            .with_context(|| format!("cannot load {}", path.display()))?;
        Ok((engine, weights))
    })
    .await??;
    let formatter = engine.formatter().clone();
    let filters = [Filter::weights(&weights)];
    let mut found = patiently("looking for the model on chain", || {
        chain.program_accounts::<Model>(&filters, Commitment::Confirmed)
    })
    .await?;
    let is_served = |(address, account): &(Pubkey, Model)| {
        account.header.status == ModelStatus::Active as u8 && served.contains(address)
    };
    // Anybody may register the file again, which is nothing to who serves it already.
    if model.identity.is_none() && found.iter().any(is_served) {
        found.retain(is_served);
    }
    let (address, account) = choose(found, &weights, &formatter.identity(), model, &model.path)?;
    let bounded = config.bounds.model(&account.spec);
    bounded
        .map_err(anyhow::Error::msg)
        .with_context(|| format!("model {address} of {}", model.path.display()))?;
    tracing::info!(model = account.name.as_str(), identity = %hex::encode(account.identity), %address, "model loaded");
    Ok(ServedModel {
        address,
        account: Arc::new(parking_lot::RwLock::new(account)),
        backend: (seams.backend)(engine, &model.path, config),
    })
}

/// The account that a file belongs to, among those with its weights.
fn choose(
    found: Vec<(Pubkey, Model)>,
    weights: &[u8; 32],
    identity: &prompt::Identity,
    config: &ModelConfig,
    path: &Path,
) -> Result<(Pubkey, Model)> {
    let mut fitting: Vec<_> = found
        .into_iter()
        .filter(|(address, model)| {
            let spec = &model.spec;
            let fits = identity.is_of(spec, weights)
                && spec.kernel_profile.get() == kernels::PROFILE
                && spec.identity(&model.creator) == model.identity
                && pda::model(&model.identity) == *address;
            let wanted = config
                .identity
                .as_ref()
                .is_none_or(|id| hex::encode(model.identity).starts_with(&id.to_ascii_lowercase()));
            fits && wanted && model.header.status == ModelStatus::Active as u8
        })
        .collect();
    match (fitting.len(), fitting.pop()) {
        (1, Some(only)) => Ok(only),
        (0, _) | (_, None) => bail!(
            "no active model on chain has the weights (SHA-256 {}), tokenizer, chat template and kernel profile of {}{}; register it \
             with `mythic model register {}`",
            hex::encode(weights),
            path.display(),
            config
                .identity
                .as_ref()
                .map(|id| format!(" and the identity {id}"))
                .unwrap_or_default(),
            path.display()
        ),
        (n, Some(last)) => {
            let ids: Vec<_> = fitting
                .iter()
                .chain([&last])
                .map(|(_, m)| hex::encode(m.identity))
                .collect();
            bail!(
                "{n} models on chain have this file; set identity of {} to one of {}",
                path.display(),
                ids.join(", ")
            )
        }
    }
}

/// Makes the chain say what the config says: registers the validator with stake, or updates it.
pub async fn register(
    chain: &ChainClient,
    config: &NodeConfig,
    keys: &Keys,
    network: &Config,
    models: &[Pubkey],
) -> Result<Validator> {
    let gpu_name = Text::new(&config.gpu_name).ok_or_else(|| {
        anyhow::anyhow!(
            "gpu_name = {:?}: at most 48 printable ASCII characters",
            config.gpu_name
        )
    })?;
    let endpoint = config.origin().map_err(anyhow::Error::msg)?.to_string();
    let endpoint = Text::new(&endpoint).ok_or_else(|| {
        anyhow::anyhow!("endpoint = {endpoint:?}: at most 96 printable ASCII characters")
    })?;
    let wanted = UpdateValidator {
        operator: keys.operator.pubkey().to_bytes(),
        vram_mib: U32::new(config.vram_mib),
        gpu_name,
        endpoint,
    };
    let address = pda::validator(keys.authority);
    let read = || chain.account::<Validator>(&address);
    match patiently("reading the validator", read).await? {
        None => {
            let key = keys.owner_for(&keys.authority, "registering the validator")?;
            let bounded = config.bounds.rules(&network.params.rules);
            bounded
                .map_err(anyhow::Error::msg)
                .context("registering the validator")?;
            let least = network.params.rules.min_stake.get();
            can_stake(chain, config, keys, least).await?;
            let args = RegisterValidator {
                operator: wanted.operator,
                stake: U64::new(config.stake_lamports),
                vram_mib: wanted.vram_mib,
                gpu_name,
                endpoint,
            };
            let instruction = ix::register_validator(keys.authority, keys.authority, &args, models);
            send(chain, &instruction, &key)
                .await
                .context("registering the validator")?;
            tracing::info!(validator = %keys.authority, stake_lamports = config.stake_lamports, "validator registered");
        }
        Some((_, validator)) if !says(&validator, &wanted, models) => {
            let owner = Pubkey::new_from_array(validator.owner);
            let key = keys.owner_for(
                &owner,
                "the validator's operator, endpoint, GPU or models differ from the config, and changing them",
            )?;
            let instruction = ix::update_validator(owner, keys.authority, &wanted, models);
            send(chain, &instruction, &key)
                .await
                .context("updating the validator")?;
            tracing::info!(validator = %keys.authority, "validator updated");
        }
        Some(_) => {}
    }
    let operator = keys.operator.pubkey();
    let balance = patiently("reading the operator's balance", || {
        chain.balance(&operator)
    })
    .await?;
    if balance < base_fee(1) {
        bail!(
            "operator {operator} holds {balance} lamports and can't pay a transaction; send it 50,000,000 lamports (0.05 SOL), enough for \
             thousands of jobs"
        );
    }
    match patiently("reading the validator", read).await? {
        Some((_, validator)) => Ok(validator),
        None => bail!(
            "validator {} vanished right after it was registered: the chain forked; start again",
            keys.authority
        ),
    }
}

/// Whether the chain says of the validator what the config wants.
fn says(validator: &Validator, wanted: &UpdateValidator, models: &[Pubkey]) -> bool {
    validator.operator == wanted.operator
        && validator.vram_mib.get() == wanted.vram_mib.get()
        && validator.gpu_name == wanted.gpu_name
        && validator.endpoint == wanted.endpoint
        && validator.served().len() == models.len()
        && models
            .iter()
            .all(|m| validator.serves(m.as_array()).is_some())
}

/// Whether the network takes the stake and the authority has it; `least` is the network's.
async fn can_stake(
    chain: &ChainClient,
    config: &NodeConfig,
    keys: &Keys,
    least: u64,
) -> Result<()> {
    if config.stake_lamports < least {
        bail!(
            "stake_lamports = {}: this network wants at least {least}",
            config.stake_lamports
        );
    }
    let rent = patiently("asking for the rent", || chain.rent(Validator::LEN)).await?;
    // Beside fees an account keeps the rent of an empty one, or nothing.
    let spare = patiently("asking for the rent", || chain.rent(0)).await?;
    let needed = config
        .stake_lamports
        .saturating_add(rent)
        .saturating_add(base_fee(1))
        .saturating_add(spare);
    let balance = patiently("reading the balance", || chain.balance(&keys.authority)).await?;
    if balance < needed {
        bail!(
            "validator {} is not registered and its authority holds {balance} lamports; stake, rent and fee take {needed}. Send \
             it {} lamports, or lower stake_lamports (at least {least})",
            keys.authority,
            needed - balance
        );
    }
    Ok(())
}

async fn send(
    chain: &ChainClient,
    instruction: &solana_instruction::Instruction,
    key: &Keypair,
) -> Result<()> {
    let payer = key.pubkey();
    let (instructions, signers) = ([instruction.clone()], [key]);
    patiently("sending", || {
        chain.send_and_confirm(&instructions, &payer, &signers, Commitment::Confirmed)
    })
    .await?;
    Ok(())
}
