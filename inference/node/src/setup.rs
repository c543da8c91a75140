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
use mythic_engine::{Choice, Engine, EngineConfig, kernels};
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
        device: config.device.clone(),
        threads: config.threads,
        kv_bytes: config.kv_bytes,
        residual_bytes: config.residual_bytes,
        residual_seconds: config.residual_seconds,
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
    let found = patiently("looking for the model on chain", || {
        chain.program_accounts::<Model>(&filters, Commitment::Confirmed)
    })
    .await?;
    let file = File {
        path: &model.path,
        weights,
        identity: formatter.identity(),
        ends: formatter.eos_ids(),
        context: formatter.context_length(),
    };
    let (address, account) = choose(found, &file, model, served)?;
    if config.verifier.enabled || config.verifier.jury {
        // Anybody may register the file for jobs as long as its context.
        holds(&engine, config.kv_bytes)
            .with_context(|| format!("model {address} of {}", model.path.display()))?;
    }
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

/// Whether the engine can compute every answer of its file again: what it could not it would neither claim against nor judge.
fn holds(engine: &Engine, kv_bytes: u64) -> Result<()> {
    let needed = engine.context_bytes();
    if kv_bytes < needed {
        bail!(
            "kv_bytes = {kv_bytes}: the check of an answer takes up to {needed} bytes for keys and values. Set kv_bytes = {needed}, or \
             verifier.enabled = false and verifier.jury = false to check and judge nothing"
        );
    }
    Ok(())
}

/// A model file as it is.
struct File<'a> {
    path: &'a Path,
    /// SHA-256.
    weights: [u8; 32],
    identity: prompt::Identity,
    /// The tokens that end an answer, ascending.
    ends: &'a [u32],
    context: u32,
}

impl File<'_> {
    /// What a registration says otherwise than the file: an honest answer of the file would be false by it.
    fn differs(&self, address: &Pubkey, model: &Model) -> Option<&'static str> {
        let spec = &model.spec;
        let ends = spec.eos().iter().map(|id| id.get());
        let said = [
            ("weights", spec.weights_hash == self.weights),
            ("tokenizer", spec.tokenizer_hash == self.identity.tokenizer),
            (
                "chat template",
                spec.chat_template_hash == self.identity.chat_template,
            ),
            (
                "kernel profile",
                spec.kernel_profile.get() == kernels::PROFILE,
            ),
            ("end-of-sequence ids", ends.eq(self.ends.iter().copied())),
            (
                "context, which max_job_tokens exceeds",
                spec.max_job_tokens.get() <= self.context,
            ),
            (
                "identity",
                spec.identity(&model.creator) == model.identity
                    && pda::model(&model.identity) == *address,
            ),
        ];
        let other = said.into_iter().find(|(_, same)| !same);
        other.map(|(what, _)| what)
    }
}

/// The account that a file belongs to, among those with its weights. Anybody may register the file again, which is nothing to who serves
/// one that fits already.
fn choose(
    found: Vec<(Pubkey, Model)>,
    file: &File<'_>,
    config: &ModelConfig,
    served: &[Pubkey],
) -> Result<(Pubkey, Model)> {
    let identity = |model: &Model| hex::encode(model.identity);
    let wanted = |model: &Model| match &config.identity {
        Some(id) => identity(model).starts_with(&id.to_ascii_lowercase()),
        None => true,
    };
    let active = found
        .into_iter()
        .filter(|(_, model)| model.header.status == ModelStatus::Active as u8 && wanted(model));
    let (mut fitting, others): (Vec<_>, Vec<_>) =
        active.partition(|(address, model)| file.differs(address, model).is_none());
    if config.identity.is_none() && fitting.iter().any(|(address, _)| served.contains(address)) {
        fitting.retain(|(address, _)| served.contains(address));
    }
    let path = file.path.display();
    match (fitting.len(), fitting.pop()) {
        (1, Some(only)) => Ok(only),
        (0, _) | (_, None) => {
            let others = others.iter().filter_map(|(address, model)| {
                let what = file.differs(address, model)?;
                Some(format!("; {} has another {what}", identity(model)))
            });
            bail!(
                "no active model on chain has the weights (SHA-256 {}), tokenizer, chat template, kernel profile, end-of-sequence ids and \
                 context of {path}{}{}; register it with `mythic model register {path}`",
                hex::encode(file.weights),
                config
                    .identity
                    .as_ref()
                    .map(|id| format!(" and the identity {id}"))
                    .unwrap_or_default(),
                others.collect::<String>(),
            )
        }
        (n, Some(last)) => {
            let lines = fitting.iter().chain([&last]).map(|(_, model)| {
                format!(
                    "\n  identity = \"{}\"  of {}: prices {} and {}, {} tokens a job, {} slots to commit",
                    identity(model),
                    Pubkey::new_from_array(model.registrant),
                    model.price_in,
                    model.price_out,
                    model.spec.max_job_tokens,
                    model.spec.commit_slots
                )
            });
            bail!(
                "{n} models on chain have this file; type one of these lines under the path {path}:{}",
                lines.collect::<String>()
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
    if config.device != Choice::Cpu && config.gpu_name.is_empty() {
        tracing::info!(
            device = %config.device,
            "gpu_name and vram_mib are empty: the chain says that this validator computes on CPUs alone"
        );
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::Zeroable;
    use mythic_interface::state::ModelSpec;

    fn file() -> File<'static> {
        File {
            path: Path::new("m.gguf"),
            weights: [1; 32],
            identity: prompt::Identity {
                tokenizer: [2; 32],
                chat_template: [3; 32],
            },
            ends: &[2, 7],
            context: 1_024,
        }
    }

    /// A registration of the file by a key, changed.
    fn registered(creator: u8, change: impl Fn(&mut ModelSpec)) -> (Pubkey, Model) {
        let mut model = Model::zeroed();
        model.header.status = ModelStatus::Active as u8;
        (model.creator, model.registrant) = ([creator; 32], [creator; 32]);
        let spec = &mut model.spec;
        spec.weights_hash = [1; 32];
        spec.tokenizer_hash = [2; 32];
        spec.chat_template_hash = [3; 32];
        spec.kernel_profile.set(kernels::PROFILE);
        spec.max_job_tokens.set(1_024);
        spec.eos_count = 2;
        spec.eos_ids[0].set(2);
        spec.eos_ids[1].set(7);
        change(spec);
        model.identity = spec.identity(&model.creator);
        (pda::model(&model.identity), model)
    }

    fn config(identity: Option<&str>) -> ModelConfig {
        ModelConfig {
            path: "m.gguf".into(),
            identity: identity.map(str::to_owned),
        }
    }

    #[test]
    fn a_registration_by_which_an_honest_answer_is_false_is_not_served() {
        let good = registered(1, |_| ());
        type Change = fn(&mut ModelSpec);
        let poisoned: [(Change, &str); 6] = [
            (|s| s.eos_ids[1].set(8), "another end-of-sequence ids"),
            (|s| s.eos_count = 1, "another end-of-sequence ids"),
            (|s| s.max_job_tokens.set(1_025), "another context"),
            (|s| s.tokenizer_hash = [9; 32], "another tokenizer"),
            (|s| s.chat_template_hash = [9; 32], "another chat template"),
            (|s| s.kernel_profile.set(1), "another kernel profile"),
        ];
        for (change, word) in poisoned {
            let bad = registered(2, change);
            let named = hex::encode(bad.1.identity);
            // Alone, asked for by name, and served already.
            for (identity, served) in [(None, vec![]), (Some(&*named), vec![]), (None, vec![bad.0])]
            {
                let error = choose(vec![bad], &file(), &config(identity), &served).unwrap_err();
                let said = error.to_string();
                assert!(said.contains(&format!("{named} has {word}")), "{said}");
            }
            let both = choose(vec![bad, good], &file(), &config(None), &[bad.0]);
            assert_eq!(both.unwrap().0, good.0);
        }
    }

    #[test]
    fn of_several_that_fit_the_served_one_is_taken_else_it_says_what_to_type() {
        let all = vec![
            registered(1, |_| ()),
            registered(2, |s| s.commit_slots.set(9)),
        ];
        let error = choose(all.clone(), &file(), &config(None), &[]).unwrap_err();
        let said = error.to_string();
        for (_, model) in &all {
            let line = format!("identity = \"{}\"", hex::encode(model.identity));
            assert!(said.contains(&line), "{said}");
        }
        assert!(said.contains("9 slots to commit"), "{said}");
        let served = choose(all.clone(), &file(), &config(None), &[all[1].0]);
        assert_eq!(served.unwrap().0, all[1].0);
        let named = hex::encode(all[0].1.identity);
        let chosen = choose(
            all.clone(),
            &file(),
            &config(Some(&named[..8])),
            &[all[1].0],
        );
        assert_eq!(chosen.unwrap().0, all[0].0);
    }
}
