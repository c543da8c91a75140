//! Brings a development chain to the state in which it can sell inference. Every step looks first, so that a restart repeats
//! none, and a chain of an older build is brought up to date.

use super::market::Market;
use anyhow::{Context, Result};
use mythic_client::{ChainClient, Commitment, Filter, ix, keys::DevKeys, pda};
use mythic_interface::{
    ix::{GrantSpend, RegisterModel, UpdateModel},
    le::{Text, U32, U64},
    params::Params,
    state::{Config, GRANT_MODELS, Model, ModelSpec, ModelStatus, SpendGrant, Vault},
};
use mythic_provider::ProviderConfig;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

const SOL: u64 = 1_000_000_000;
/// Least the DEV vault holds after a start.
const DEV_VAULT: u64 = 100 * SOL;
/// What the DEV account's delegate may spend.
const PER_JOB_MAX: u64 = SOL;
const WINDOW_MAX: u64 = 10 * SOL;
const WINDOW_SLOTS: u32 = 9_000;
const LIFETIME_CAP: u64 = 1_000 * SOL;

/// What bootstrap needs to know.
pub struct Plan<'a> {
    pub chain: &'a ChainClient,
    /// All keys of the network.
    pub keys: &'a DevKeys,
    /// Key that spends for the DEV account at the gateway.
    pub delegate: &'a Keypair,
    /// The model that all validators serve.
    pub spec: ModelSpec,
    /// Its name on chain.
    pub model_name: &'a str,
    /// The Compute Market.
    pub market: Market,
    /// Its one provider.
    pub provider: &'a ProviderConfig,
}

/// Funds the keys, initialises both programs, registers provider and model, fills the DEV vault and grants its delegate. Returns the models
/// that this one replaces: the same file under another arithmetic or other terms, retired now.
pub async fn run(plan: &Plan<'_>) -> Result<Vec<Model>> {
    let keys = plan.keys;
    let mut funded: Vec<(Pubkey, u64)> = vec![
        (keys.admin.pubkey(), 100 * SOL),
        (keys.dev.pubkey(), 1_000 * SOL),
        (keys.gateway.pubkey(), 100 * SOL),
        (keys.settler.pubkey(), 10 * SOL),
    ];
    for (authority, operator) in keys.validators.iter().chain([&keys.provider]) {
        funded.push((authority.pubkey(), 50 * SOL));
        funded.push((operator.pubkey(), 10 * SOL));
    }
    futures::future::try_join_all(
        funded
            .into_iter()
            .map(|(key, lamports)| fund(plan.chain, key, lamports)),
    )
    .await?;

    if plan
        .chain
        .account::<Config>(&pda::config())
        .await?
        .is_none()
    {
        let instruction = ix::initialize(
            keys.admin.pubkey(),
            keys.admin.pubkey(),
            keys.admin.pubkey(),
            keys.foundation.pubkey(),
            &Params::dev(),
        );
        send(plan.chain, &[instruction], &[&keys.admin])
            .await
            .context("initialising the program")?;
    }
    plan.market.prepare(plan.chain, keys, plan.provider).await?;
    let former = models(plan).await?;
    let owner = keys.dev.pubkey();
    let balance = plan
        .chain
        .account::<Vault>(&pda::vault(owner))
        .await?
        .map_or(0, |(_, vault)| vault.balance.get());
    if balance < DEV_VAULT {
        let instruction = ix::deposit_vault(owner, owner, DEV_VAULT - balance);
        send(plan.chain, &[instruction], &[&keys.dev])
            .await
            .context("filling the DEV vault")?;
    }
    let delegate = plan.delegate.pubkey();
    let grant = plan
        .chain
        .account::<SpendGrant>(&pda::grant(owner, delegate))
        .await?;
    let usable = grant.is_some_and(|(_, grant)| {
        grant.revoked_slot.get() == 0
            && grant
                .lifetime_cap
                .get()
                .saturating_sub(grant.lifetime_spent.get())
                >= WINDOW_MAX
    });
    if !usable {
        let limits = GrantSpend {
            spent: grant.map_or(U64::new(0), |(_, grant)| grant.lifetime_spent),
            per_job_max: U64::new(PER_JOB_MAX),
            window_max: U64::new(WINDOW_MAX),
            window_slots: U32::new(WINDOW_SLOTS),
            lifetime_cap: U64::new(LIFETIME_CAP),
            expiry_slot: U64::new(i64::MAX as u64),
            model_count: 0,
            models: [[0; 32]; GRANT_MODELS],
        };
        let instruction = ix::grant_spend(owner, owner, delegate, &limits);
        send(plan.chain, &[instruction], &[&keys.dev])
            .await
            .context("granting the DEV delegate")?;
    }
    Ok(former)
}

/// Makes the plan's model the one that takes jobs; the others that this network registered of the same file take none any more.
async fn models(plan: &Plan<'_>) -> Result<Vec<Model>> {
    let admin = plan.keys.admin.pubkey();
    let identity = plan.spec.identity(admin.as_array());
    let name = Text::new(plan.model_name).context("the model's name does not fit its account")?;
    match plan.chain.account::<Model>(&pda::model(&identity)).await? {
        None => {
            let spec = plan.spec;
            let instruction = ix::register_model(admin, admin, &RegisterModel { spec, name });
            send(plan.chain, &[instruction], &[&plan.keys.admin])
                .await
                .context("registering the model")?;
        }
        // An older build ran here in between.
        Some((_, model)) if is_retired(&model) => retire(plan, &model, false).await?,
        Some(_) => {}
    }
    let filters = [
        Filter::weights(&plan.spec.weights_hash),
        Filter::registrant(&admin),
    ];
    let found = plan
        .chain
        .program_accounts::<Model>(&filters, Commitment::Processed)
        .await?;
    let mut former: Vec<Model> = found.into_iter().map(|(_, model)| model).collect();
    former.retain(|model| model.identity != identity);
    for model in former.iter().filter(|model| !is_retired(model)) {
        retire(plan, model, true).await?;
    }
    Ok(former)
}

fn is_retired(model: &Model) -> bool {
    model.header.status == ModelStatus::Retired as u8
}

async fn retire(plan: &Plan<'_>, model: &Model, retired: bool) -> Result<()> {
    let admin = &plan.keys.admin;
    let arguments = UpdateModel {
        price_in: model.price_in,
        price_out: model.price_out,
        name: model.name,
        retired: retired.into(),
    };
    let address = pda::model(&model.identity);
    let instruction = ix::update_model(admin.pubkey(), address, &arguments);
    send(plan.chain, &[instruction], &[admin])
        .await
        .context("changing a model's retirement")
}

async fn fund(chain: &ChainClient, key: Pubkey, lamports: u64) -> Result<()> {
    if chain.balance(&key).await? < lamports / 2 {
        chain
            .airdrop(&key, lamports)
            .await
            .with_context(|| format!("funding {key}"))?;
    }
    Ok(())
}

async fn send(
    chain: &ChainClient,
    instructions: &[Instruction],
    signers: &[&Keypair],
) -> Result<()> {
    let payer = signers[0].pubkey();
    chain
        .send_and_confirm(instructions, &payer, signers, Commitment::Processed)
        .await?;
    Ok(())
}
