//! A build whose engine computes otherwise meets the data of an older one: the model is registered anew and its predecessor
//! retired; the name means the new one; what was begun under the old one ends as the chain says, and stays visible.

use anyhow::{Context, Result, ensure};
use mythic_client::{Commitment, ix, keys, pda};
use mythic_e2e::Network;
use mythic_engine::kernels;
use mythic_interface::{
    hash,
    ix::{RegisterModel, RequestInference, SubmitResult, UpdateModel, UpdateValidator},
    le::{Text, U16, U32},
    output,
    params::Params,
    state::{Job, KernelProfile, Model, ModelStatus, SamplingProfile, Validator},
    window,
};
use serde_json::{Value, json};
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

struct Cast {
    admin: Keypair,
    dev: Keypair,
    authority: Keypair,
    operator: Keypair,
}

impl Cast {
    fn read(network: &Network) -> Result<Self> {
        let key = |name: &str| {
            let file = network.data_dir().join("keys").join(format!("{name}.json"));
            keys::load_keypair(&file).with_context(|| file.display().to_string())
        };
        Ok(Self {
            admin: key("admin")?,
            dev: key("dev")?,
            authority: key("validator-0")?,
            operator: key("operator-0")?,
        })
    }
}

async fn send(network: &Network, what: &[Instruction], signers: &[&Keypair]) -> Result<()> {
    let payer = signers.first().context("no signer")?.pubkey();
    network
        .chain()
        .send_and_confirm(what, &payer, signers, Commitment::Confirmed)
        .await?;
    Ok(())
}

async fn model(network: &Network, identity: &[u8; 32]) -> Result<Model> {
    let found = network
        .chain()
        .account::<Model>(&pda::model(identity))
        .await?;
    Ok(found.context("no such model")?.1)
}

fn retirement(model: &Model, retired: u8) -> UpdateModel {
    UpdateModel {
        price_in: model.price_in,
        price_out: model.price_out,
        name: model.name,
        retired,
    }
}

/// Requests a job of a model for the validator, signed by all.
async fn request(
    network: &Network,
    cast: &Cast,
    model: &Model,
    tag: u8,
    deadline: u32,
) -> Result<Pubkey> {
    let slot = network.chain().slot(Commitment::Processed).await?;
    let owner = cast.dev.pubkey();
    let args = RequestInference {
        nonce: window::nonce(slot + 400, [tag; 8]),
        canceller: owner.to_bytes(),
        prompt_hash: hash::prompt_hash(&[tag; 16], &[1, 2, 3]),
        prompt_tokens: U32::new(3),
        max_output_tokens: U32::new(2),
        price_in: model.price_in,
        price_out: model.price_out,
        user_seed: [tag; 32],
        temperature_milli: U16::new(0),
        sampling_profile: SamplingProfile::SeededTop4 as u8,
        options_hash: [0; 32],
        prompt_source: Text::new("").context("empty text")?,
        deadline_slots: U32::new(deadline),
        rules_hash: Params::dev().rules.hash(),
        bump: 0,
    };
    let who = ix::Requester {
        payer: owner,
        requester: owner,
        owner,
        model: pda::model(&model.identity),
        validator: Some((cast.authority.pubkey(), cast.operator.pubkey())),
    };
    let instruction = ix::request_inference(&who, &args);
    send(network, &[instruction], &[&cast.dev, &cast.operator]).await?;
    Ok(pda::job(owner, &args.nonce))
}

async fn validator(network: &Network, address: &Pubkey) -> Result<Validator> {
    let found = network.chain().account::<Validator>(address).await?;
    Ok(found.context("the validator")?.1)
}

/// What an older build left: the same file under the other arithmetic, served, and this build's not in use.
async fn left_by_an_older_build(
    network: &Network,
    cast: &Cast,
    now: &Model,
) -> Result<(Model, KernelProfile)> {
    let other = match kernels::PROFILE {
        profile if profile == KernelProfile::CpuCandle as u16 => KernelProfile::CpuWA8,
        _ => KernelProfile::CpuCandle,
    };
    let mut spec = now.spec;
    spec.kernel_profile = U16::new(other as u16);
    let admin = cast.admin.pubkey();
    let register = RegisterModel {
        spec,
        name: now.name,
    };
    let retire = ix::update_model(admin, pda::model(&now.identity), &retirement(now, 1));
    send(
        network,
        &[ix::register_model(admin, admin, &register), retire],
        &[&cast.admin],
    )
    .await?;
    let old = model(network, &spec.identity(admin.as_array())).await?;
    let authority = cast.authority.pubkey();
    let v = validator(network, &pda::validator(authority)).await?;
    let settings = UpdateValidator {
        operator: v.operator,
        vram_mib: v.vram_mib,
        gpu_name: v.gpu_name,
        endpoint: v.endpoint,
    };
    let serve = ix::update_validator(
        authority,
        authority,
        &settings,
        &[pda::model(&old.identity)],
    );
    send(network, &[serve], &[&cast.authority]).await?;
    Ok((old, other))
}

/// Two of its jobs: one with a result, whose window is open, and one that was never finished.
async fn begun(network: &Network, cast: &Cast, old: &Model) -> Result<[Pubkey; 2]> {
    let submitted = request(network, cast, old, 1, 300).await?;
    let job = network.chain().account::<Job>(&submitted).await?;
    let (_, state) = job.context("the job")?;
    let result = SubmitResult {
        terms_hash: state.terms_hash,
        output_root: output::output_root(&[9, 9]).context("a root")?,
        fingerprint: [3; 32],
        output_tokens: U32::new(2),
        finish_reason: 2,
    };
    let submit = ix::submit_result(
        cast.operator.pubkey(),
        cast.authority.pubkey(),
        submitted,
        &result,
    );
    send(network, &[submit], &[&cast.operator]).await?;
    Ok([submitted, request(network, cast, old, 2, 100).await?])
}

#[tokio::test(flavor = "multi_thread")]
async fn another_arithmetic_takes_the_name_over_and_old_jobs_end_as_they_must() -> Result<()> {
    let mut network = Network::start(&["--validators", "1", "--slot-ms", "50"]).await?;
    let cast = Cast::read(&network)?;
    let current = network.get("/v1/models").await?["data"][0].clone();
    let identity = hex::decode(current["identity"].as_str().unwrap_or_default())?;
    let identity: [u8; 32] = identity.as_slice().try_into()?;
    let now = model(&network, &identity).await?;
    ensure!(now.spec.kernel_profile.get() == kernels::PROFILE);

    let (old, other) = left_by_an_older_build(&network, &cast, &now).await?;
    let [submitted, unfinished] = begun(&network, &cast, &old).await?;
    network.restart().await?;
    ensure!(network.text("model") == current["name"].as_str().unwrap_or_default());

    // Retired and taking jobs, on chain and at the gateway.
    let status = |model: &Model| ModelStatus::from_u8(model.header.status);
    ensure!(status(&model(&network, &old.identity).await?) == Some(ModelStatus::Retired));
    ensure!(status(&model(&network, &identity).await?) == Some(ModelStatus::Active));
    let listed = network.get("/v1/models").await?;
    ensure!(
        listed["data"].as_array().map(Vec::len) == Some(1)
            && listed["data"][0]["id"] == current["id"],
        "{listed}"
    );
    let name = current["name"].as_str().unwrap_or_default();
    let old_id = format!("{name}@{}", hex::encode(&old.identity[..4]));
    let shown = network.get(&format!("/v1/models/{old_id}")).await?;
    ensure!(
        shown["status"] == "retired" && shown["kernel_profile"] == other.as_str(),
        "{shown}"
    );
    let address = pda::validator(cast.authority.pubkey());
    let serves: Vec<[u8; 32]> = validator(&network, &address)
        .await?
        .served()
        .iter()
        .map(|s| s.model)
        .collect();
    ensure!(serves == [pda::model(&identity).to_bytes()]);

    // The bare name buys the new one, the old one's own name nothing.
    let chat = |model: &str| json!({"model": model, "max_completion_tokens": 4, "messages": [{"role": "user", "content": "Hi"}]});
    let answer = network.post("/v1/chat/completions", &chat(name)).await?;
    ensure!(answer["model"] == current["id"], "{answer}");
    let (code, _, refused) = network
        .call(
            reqwest::Method::POST,
            "/v1/chat/completions",
            Some(&chat(&old_id)),
        )
        .await?;
    let message = refused["error"]["message"].as_str().unwrap_or_default();
    let now_id = current["id"].as_str().unwrap_or_default();
    ensure!(code == 404 && message.contains(now_id), "{code} {refused}");

    // What was begun ends as it must, under the name it had.
    let paid = network
        .finalized(answer["mythic"]["job"].as_str().unwrap_or_default())
        .await?;
    ensure!(
        paid["status"] == "settled" && paid["model"] == current["id"],
        "{paid}"
    );
    for (job, status) in [(submitted, "settled"), (unfinished, "refunded")] {
        let ended = network.finalized(&job.to_string()).await?;
        ensure!(
            ended["status"] == status && ended["model"] == old_id,
            "{ended}"
        );
    }
    let listed = network.get(&format!("/v1/jobs?model={old_id}")).await?;
    let ids: Vec<&Value> = listed["data"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|job| &job["id"])
        .collect();
    ensure!(ids.len() == 2, "{listed}");
    Ok(())
}
