//! One provider of the Compute Market: leases capacity to tenants, proves it in each epoch, and is paid by the second.
//!
//! - [`ProviderConfig`], [`run`]: configuration and entry; [`setup`]: its class and registration; [`measure`]: how long its proofs take;
//!   [`speed`]: how fast its engines answer
//! - [`ctx`]: what every part may use; [`journal`]: what was promised
//! - [`intake`]: requests, [`source`] and [`spec`]: what their tenants want exactly
//! - [`lease`]: leases from their acceptance to the last lamport; [`proof`]: their proofs, [`disputes`]: answers about them
//! - [`container`]: containers that tenants lease
//! - [`serve`]: what tenants use; [`access`]: how they reach it; [`receipt`]: what is signed about answers
//! - [`keeper`]: earnings and jail; [`funds`]: what the operator must be able to pay; [`seams`]: what can be another's
//! - [`meters`]: what is measured; [`telemetry`]: how it is told

#![forbid(unsafe_code)]

pub mod access;
pub mod config;
pub mod container;
pub mod ctx;
pub mod disputes;
pub mod funds;
pub mod intake;
pub mod journal;
pub mod keeper;
pub mod lease;
pub mod measure;
pub mod meters;
pub mod proof;
pub mod receipt;
pub mod seams;
pub mod serve;
pub mod setup;
pub mod source;
pub mod spec;
pub mod speed;
pub mod telemetry;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use mythic_client::{ChainClient, Commitment, keys, patiently};
use mythic_interface::market::state::Lease;
use mythic_support::life;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use config::ProviderConfig;
pub use seams::Seams;

use container::{
    config::RuntimeKind,
    disk::Disks,
    docker::{self, Docker, DockerParts},
    fleet::Containers,
    image::Images,
    needs,
    net::Nets,
    runc::{Runc, RuncParts},
    runtime::Runtime,
    strays,
};
use ctx::{Ctx, Means};
use funds::Needs;
use intake::Intake;
use journal::{Journal, Promise};
use lease::{reconcile, task::Shared};
use meters::Meters;
use proof::opening::Openings;
use serve::{
    http::{self, Serving},
    models::LocalModel,
};

/// How long a stop waits for what runs.
const PARTING: Duration = Duration::from_secs(5);

/// Runs a provider until `stop`. Returns an error only for what a restart would not mend; the message names the mend.
pub async fn run(config: ProviderConfig, seams: Seams, stop: CancellationToken) -> Result<()> {
    config.validate().map_err(anyhow::Error::msg)?;
    let traces = mythic_trace::start("mythic-provider", &config.traces)?;
    let ended = prepare_and_work(config, seams, stop).await;
    traces.stop().await;
    ended
}

async fn prepare_and_work(
    config: ProviderConfig,
    seams: Seams,
    stop: CancellationToken,
) -> Result<()> {
    tokio::select! {
        // Waiting for a chain that is not there yet must not hold up a stop.
        prepared = prepare(config, seams) => {
            let prepared = prepared?;
            work(prepared, stop).await
        }
        () = stop.cancelled() => Ok(()),
    }
}

/// What a provider starts with.
struct Prepared {
    ctx: Arc<Ctx>,
    /// What was promised before.
    promises: Vec<(Pubkey, Promise)>,
    listener: TcpListener,
    /// What runs containers.
    runtime: Option<Arc<dyn Runtime>>,
}

async fn prepare(config: ProviderConfig, seams: Seams) -> Result<Prepared> {
    let origin = config.origin().map_err(anyhow::Error::msg)?;
    let authority = config.authority().map_err(anyhow::Error::msg)?;
    let operator = keys::load_keypair(&config.operator_keypair).context("operator_keypair")?;
    let (journal, promises) = Journal::open(&config.data_dir)?;
    let openings = Openings::open(&config.data_dir).context("making the directory of proofs")?;
    let listener = TcpListener::bind(config.listen).await.with_context(|| {
        format!(
            "listen = {}: cannot listen there; is another process using the port?",
            config.listen
        )
    })?;
    let runtime = runtime(&config).await?;
    let chain = ChainClient::new(&config.rpc_url, &config.ws_url);
    let grid = setup::market(&chain).await?.grid;
    let (class, state) = setup::class(&chain, &config.class).await?;
    let provider = setup::registered(&chain, &config, &operator.pubkey()).await?;
    let (paths, units, device) = (config.models.clone(), config.units, config.device.clone());
    let looked = tokio::task::spawn_blocking(move || -> Result<_> {
        let models = paths.iter().map(|path| LocalModel::read(path));
        let models = models.collect::<Result<Vec<_>>>()?;
        Ok((models, measure::measure(&state, &grid, &device)?))
    });
    let (models, measured) = looked.await??;
    let seconds = measured.proof.as_secs_f64();
    match measured.is_in_time(units) {
        true => tracing::info!(
            seconds,
            class = config.class,
            "a proof of one unit was measured"
        ),
        false => tracing::error!(
            seconds,
            class = config.class,
            units,
            "proofs of all units may come too late on this machine as it is now: offer fewer, or leave it more cores"
        ),
    }
    let meters = Meters::new()?;
    meters.window(measured.allowed);
    let rent = || chain.rent(Lease::LEN);
    let rent = patiently("asking for the rent", rent).await?;
    let needs = Needs::new(rent, &grid, state.probe.stake_per_unit.get(), &config.bids);
    let slot = patiently("reading the slot", || chain.slot(Commitment::Processed)).await?;
    let ctx = Arc::new(Ctx::new(Means {
        config,
        seams,
        origin,
        chain,
        authority,
        operator: Arc::new(operator),
        class,
        models,
        journal,
        openings,
        provider,
        needs,
        proof_bytes: proof::bytes(state.probe.n.get()),
        slot,
        meters,
    }));
    Ok(Prepared {
        ctx,
        promises,
        listener,
        runtime,
    })
}

/// What runs containers, if they are leased out: the machine is looked over before anything is promised on it.
async fn runtime(config: &ProviderConfig) -> Result<Option<Arc<dyn Runtime>>> {
    const LOOK: &str = "`mythic doctor provider` says what is missing";
    ensure!(
        !config.containers.is_on() || !needs::is_apart(),
        "containers.runtime: this process has mounts of its own, which end with it while containers go on; {LOOK}"
    );
    Ok(match config.containers.runtime {
        RuntimeKind::None => None,
        RuntimeKind::Runc => {
            let runc = runc(config).await;
            let runc = runc.with_context(|| format!("containers.runtime = \"runc\": {LOOK}"))?;
            Some(Arc::new(runc))
        }
        RuntimeKind::Docker => {
            let docker = docker(config).await;
            let docker =
                docker.with_context(|| format!("containers.runtime = \"docker\": {LOOK}"))?;
            Some(Arc::new(docker))
        }
    })
}

/// A directory, made if it is not there.
fn made(dir: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    Ok(dir.canonicalize()?)
}

/// Disks of containers.
fn disks(config: &ProviderConfig) -> Result<Disks> {
    let own = &config.containers;
    Ok(Disks {
        state: made(&config.containers_dir())?.join("leases"),
        run: made(&own.run_dir)?,
        first_user: own.first_user,
        is_encrypted: own.encrypt,
        resolv_conf: own.resolv_conf(),
    })
}

/// Networks of containers.
fn nets(config: &ProviderConfig) -> Nets {
    let own = &config.containers;
    let (pool, closed) = (own.pool, own.closed.clone());
    Nets::new(&config.authority, pool, closed, own.egress_mib)
}

async fn runc(config: &ProviderConfig) -> Result<Runc> {
    let own = &config.containers;
    let images = Images::open(
        made(&config.containers_dir())?.join("images"),
        own.images.clone(),
        Some(own.first_user),
        own.image_mib << 20,
    )?;
    let parts = RuncParts {
        program: own.runc.display().to_string(),
        provider: config.authority.clone(),
        disks: disks(config)?,
        nets: nets(config),
        images: Arc::new(images),
    };
    Runc::open(parts).await
}

async fn docker(config: &ProviderConfig) -> Result<Docker> {
    let own = &config.containers;
    let parts = DockerParts {
        program: own.docker.display().to_string(),
        host: own.docker_host.clone(),
        provider: config.authority.clone(),
        disks: disks(config)?,
        nets: nets(config),
        repositories: own.repositories.clone(),
        fetched: made(&config.containers_dir())?.join("fetched.json"),
        image_mib: own.image_mib,
        images_mib: own.images_mib,
        kept: docker::KEPT,
    };
    Docker::open(parts).await
}

async fn work(prepared: Prepared, stop: CancellationToken) -> Result<()> {
    let ctx = prepared.ctx;
    let quit = CancellationToken::new();
    let (config, meters) = (ctx.config.containers.clone(), ctx.meters.clone());
    let containers = Arc::new(Containers::new(prepared.runtime, config, meters));
    let shared = Shared {
        ctx: ctx.clone(),
        endpoints: Arc::default(),
        containers: containers.clone(),
        desk: Arc::default(),
        lost: Arc::default(),
        quit: quit.clone(),
    };
    let decisions = Arc::default();
    let serving = Serving::new(
        ctx.clone(),
        shared.endpoints.clone(),
        shared.desk.clone(),
        Arc::clone(&decisions),
    );
    let intake = Intake::new(shared.clone(), decisions);
    intake.resume(prepared.promises);
    let background = TaskTracker::new();
    background.spawn(ctx::follow_chain(ctx.clone(), quit.clone()));
    background.spawn(intake.clone().mend(stop.clone()));
    background.spawn(intake.run(stop.clone()));
    background.spawn(reconcile::run(
        ctx.clone(),
        shared.desk.clone(),
        shared.lost.clone(),
        quit.clone(),
    ));
    background.spawn(strays::run(
        ctx.clone(),
        shared.desk.clone(),
        containers.clone(),
        quit.clone(),
    ));
    background.spawn(telemetry::run(ctx.clone(), shared.desk, quit.clone()));
    background.spawn(disputes::run(ctx.clone(), quit.clone()));
    background.spawn(keeper::run(ctx.clone(), quit.clone()));
    background.close();
    let limits = ctx.config.http.clone();
    let server = tokio::spawn(mythic_http::serve(
        prepared.listener,
        http::router(Arc::new(serving)),
        limits,
        quit.clone(),
    ));
    tracing::info!(provider = %ctx.authority, endpoint = %ctx.origin, "provider ready");
    life::ready();
    stop.cancelled().await;
    quit.cancel();
    // Containers go on while this process does not run.
    let _ = tokio::time::timeout(PARTING, containers.part()).await;
    let _ = tokio::time::timeout(PARTING, background.wait()).await;
    let _ = tokio::time::timeout(PARTING, server).await;
    tracing::info!(
        "provider stopped; leases go on at the next start, if it comes before their proofs are missed"
    );
    Ok(())
}
