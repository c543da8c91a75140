//! The gateway: OpenAI's chat API on top of jobs that are paid, fingerprinted and settled on chain.
//!
//! In reading order: [`config`], [`error`] and [`http`] (manners), [`intake`] (what a request asks and comes to), [`fleet`] (who gets
//! it), [`chain`] (what pays for it), [`jobs`] (how it runs and survives), [`store`] (what is kept), [`routes`] (one module per
//! family of routes), [`app`] (how it all is put together).

#![forbid(unsafe_code)]

pub mod accounts;
pub mod app;
pub mod chain;
pub mod config;
pub mod dial;
pub mod error;
pub mod fleet;
pub mod http;
pub mod intake;
pub mod jobs;
pub mod metrics;
pub mod routes;
pub mod store;

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use axum::{
    Json, Router,
    routing::{delete, get, post, put},
};
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi;

use app::App;
pub use config::{DevAccount, GatewayConfig, Limits, ModelConfig, Outlay, Timing};
use intake::chat;
use jobs::{janitor, recover};
use routes::{disputes, health, keys, lists, nodes, pages, stream};

/// How long requests under way may take to end when the gateway stops; what is left is recovered at the next start.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Mythic gateway",
        description = "AI inference that is paid, fingerprinted and settled on chain"
    ),
    paths(
        chat::completions,
        chat::inference,
        chat::estimate,
        lists::models,
        lists::model,
        lists::network,
        lists::validators,
        lists::validator,
        disputes::list,
        disputes::show,
        lists::stats,
        routes::jobs::list,
        routes::jobs::show,
        routes::jobs::receipt,
        routes::jobs::evidence,
        nodes::announce,
        nodes::prompt,
        nodes::result,
        keys::create,
        keys::list,
        keys::delete,
        stream::sse,
        stream::ws,
        health::health,
        metrics::metrics,
    )
)]
struct Api;

async fn openapi() -> Json<utoipa::openapi::OpenApi> {
    Json(Api::openapi())
}

/// All routes.
pub fn router(app: Arc<App>) -> Router {
    let routes = Router::new()
        .route("/", get(pages::network))
        .route("/jobs/{id}", get(pages::job))
        .route("/static/{name}", get(pages::part))
        .route("/health", get(health::health))
        .route("/metrics", get(metrics::metrics))
        .route("/openapi.json", get(openapi))
        .route("/ws", get(stream::ws))
        .route("/v1/stream", get(stream::sse))
        .route("/v1/network", get(lists::network))
        .route("/v1/models", get(lists::models))
        .route("/v1/models/{id}", get(lists::model))
        .route("/v1/chat/completions", post(chat::completions))
        .route("/v1/inference", post(chat::inference))
        .route("/v1/estimate", post(chat::estimate))
        .route("/v1/jobs", get(routes::jobs::list))
        .route("/v1/jobs/{id}", get(routes::jobs::show))
        .route("/v1/jobs/{id}/receipt", get(routes::jobs::receipt))
        .route("/v1/jobs/{id}/evidence", get(routes::jobs::evidence))
        .route("/v1/jobs/{id}/result", put(nodes::result))
        .route("/v1/validators", get(lists::validators))
        .route("/v1/validators/{id}", get(lists::validator))
        .route("/v1/disputes", get(disputes::list))
        .route("/v1/disputes/{id}", get(disputes::show))
        .route("/v1/stats/{name}", get(lists::stats))
        .route("/v1/prompts/{prompt_hash}", get(nodes::prompt))
        .route("/v1/nodes/{validator}", put(nodes::announce))
        .route("/v1/keys", post(keys::create).get(keys::list))
        .route("/v1/keys/{id}", delete(keys::delete));
    http::dress(routes, app)
}

/// Runs the gateway until `stop`. Waits for the database at start; never exits on a transient fault.
pub async fn run(config: GatewayConfig, stop: CancellationToken) -> anyhow::Result<()> {
    let listen = config.listen;
    let listener = tokio::net::TcpListener::bind(listen)
        .await
        .with_context(|| format!("listening on {listen}"))?;
    serve(listener, config, stop).await
}

async fn prepare(app: &App) -> anyhow::Result<()> {
    store::migrate(&app.config.database_url).await?;
    Ok(store::beat(&app.pool, &app.jobs.instance).await?)
}

/// Like [`run`] on a listener that is open already.
pub async fn serve(
    listener: tokio::net::TcpListener,
    config: GatewayConfig,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let app = App::new(config, stop.clone()).await?;
    let mut pause = Duration::from_millis(200);
    while let Err(error) = prepare(&app).await {
        tracing::warn!(%error, "laying out the gateway's tables; trying again");
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(Duration::from_secs(5));
    }
    let background = [
        tokio::spawn({
            let (app, stop) = (app.clone(), stop.clone());
            async move { app.hub.run(&app, stop).await }
        }),
        tokio::spawn(janitor::run(app.jobs.clone(), stop.clone())),
        tokio::spawn(recover::run(app.jobs.clone(), stop.clone())),
    ];
    tracing::info!(address = %listener.local_addr()?, url = %app.config.public_url, dev = app.config.dev, "gateway ready");
    let served = axum::serve(listener, router(app.clone())).with_graceful_shutdown({
        let stop = stop.clone();
        async move { stop.cancelled().await }
    });
    let mut served = tokio::spawn(async move { served.await });
    tokio::select! {
        outcome = &mut served => outcome??,
        () = stop.cancelled() => {
            app.jobs.tracker.close();
            let ended = tokio::time::timeout(STOP_PATIENCE, async {
                let outcome = (&mut served).await;
                app.jobs.tracker.wait().await;
                outcome
            })
            .await;
            if ended.is_err() {
                served.abort();
                tracing::info!(running = app.jobs.runs.len(), "stopping with requests under way; the next start looks after them");
            }
        }
    }
    for task in background {
        task.abort();
    }
    // What is left can be taken over at once.
    if let Err(error) = store::leave(&app.pool, &app.jobs.instance).await {
        tracing::warn!(%error, "the gateway's end could not be noted");
    }
    tracing::info!("gateway stopped");
    Ok(())
}
