//! The gateway: OpenAI's chat API on top of jobs that are paid, fingerprinted and settled on chain.
//!
//! In reading order: [`config`], [`error`] and [`http`] (manners), [`intake`] (what a request asks and comes to), [`fleet`] (who gets
//! it), [`chain`] (what pays for it), [`jobs`] (how it runs and survives), [`store`] (what is kept), [`routes`] (one module per
//! family of routes), [`openapi`] (all of them, described), [`app`] (how it all is put together).

#![forbid(unsafe_code)]

pub mod accounts;
pub mod app;
pub mod chain;
pub mod config;
pub mod dial;
pub mod error;
pub mod feed;
pub mod fleet;
pub mod http;
pub mod intake;
pub mod jobs;
pub mod metrics;
pub mod openapi;
mod rotate;
pub mod routes;
pub mod store;

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use axum::{Json, Router, routing::get};
use mythic_support::{Backoff, life};
use tokio_util::sync::CancellationToken;

use app::App;
pub use config::{DevAccount, GatewayConfig, Limits, ModelConfig, Outlay, Timing};
use jobs::{janitor, recover, rents};
pub use rotate::rotate;
use routes::{cases, pages};

/// How long streams that are told of a stop have to pass it on.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// All routes.
pub fn router(app: Arc<App>) -> Router {
    let (api, described) = openapi::api(&app.config.public_url);
    let described = Json(described);
    let routes = api
        .route("/jobs/{id}", get(pages::job))
        .route("/models", get(http::page_or_hint))
        .route("/models/{id}", get(http::page_or_hint))
        .route("/static/{name}", get(pages::part))
        // The older name of cases.
        .route("/v1/disputes", get(cases::list))
        .route("/v1/disputes/{id}", get(cases::show))
        .route("/openapi.json", get(|| async move { described }));
    let routes = pages::PLAIN
        .iter()
        .fold(routes, |routes, path| routes.route(path, get(pages::plain)));
    let routes = pages::OF_ACCOUNTS.iter().fold(routes, |routes, path| {
        routes.route(path, get(pages::account))
    });
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
    let traces = mythic_trace::start("mythic-gateway", &config.traces)?;
    let ended = work(listener, config, stop).await;
    traces.stop().await;
    ended
}

async fn work(
    listener: tokio::net::TcpListener,
    config: GatewayConfig,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let app = App::new(config, stop.clone()).await?;
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
    while let Err(error) = prepare(&app).await {
        tracing::warn!(%error, "laying out the gateway's tables; trying again");
        if !backoff.wait(&stop).await {
            return Ok(());
        }
    }
    let closing = app.edge.life.closing.clone();
    let background = [
        tokio::spawn({
            let (app, closing) = (app.clone(), closing.clone());
            async move {
                app.hub
                    .run(&app.pool, &app.config.database_url, closing)
                    .await
            }
        }),
        tokio::spawn(janitor::run(app.jobs.clone(), closing.clone())),
        tokio::spawn(recover::run(app.jobs.clone(), closing.clone())),
        tokio::spawn(rents::run(app.jobs.clone(), closing.clone())),
    ];
    tracing::info!(address = %listener.local_addr()?, url = %app.config.public_url, dev = app.config.dev, "gateway ready");
    let limits = mythic_http::Limits {
        // Streams are told and closed before the server cuts what is left.
        drain_seconds: app.config.timing.drain_seconds + LAST_WORDS.as_secs(),
        ..app.config.http.clone()
    };
    let served = tokio::spawn(mythic_http::serve(
        listener,
        router(app.clone()),
        limits,
        closing,
    ));
    life::ready();
    stop.cancelled().await;
    wind_down(&app).await;
    served.await??;
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

/// From the order to stop to the last word: balancers look away, the listener closes, requests end or are told.
async fn wind_down(app: &App) {
    let (life, timing) = (&app.edge.life, &app.config.timing);
    life.unready.cancel();
    tokio::time::sleep(Duration::from_secs(timing.unready_seconds)).await;
    life.closing.cancel();
    app.jobs.tracker.close();
    let drain = Duration::from_secs(timing.drain_seconds);
    if tokio::time::timeout(drain, app.jobs.tracker.wait())
        .await
        .is_err()
    {
        tracing::info!(
            running = app.jobs.runs.len(),
            "stopping with requests under way; the next start looks after them"
        );
    }
    life.cut.cancel();
}
