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
    extract::State,
    routing::{delete, get, post, put},
};
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi;

use app::App;
pub use config::{DevAccount, GatewayConfig, Limits, ModelConfig, Outlay, Timing};
use intake::chat;
use jobs::{janitor, recover};
use routes::{disputes, health, keys, lists, nodes, pages, stream};

/// How long streams that are told of a stop have to pass it on.
const LAST_WORDS: Duration = Duration::from_secs(2);

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Mythic gateway",
        description = "AI inference that is paid, fingerprinted and settled on chain. Answers are sampled from the four likeliest tokens."
    ),
    components(schemas(intake::completion::ChatCompletionChunk)),
    modifiers(&Extras),
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
        health::live,
        health::ready,
        metrics::metrics,
    )
)]
struct Api;

/// What is the same for all routes: how requests are authenticated.
struct Extras;

impl utoipa::Modify for Extras {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        use utoipa::openapi::security::{
            ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme,
        };
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme(
            "api_key",
            SecurityScheme::Http(
                HttpBuilder::new()
                    .scheme(HttpAuthScheme::Bearer)
                    .description(Some("A key of POST /v1/keys, mk-…"))
                    .build(),
            ),
        );
        components.add_security_scheme(
            "wallet_signature",
            SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(
                "x-mythic-signature",
                "With x-mythic-key and x-mythic-time; docs/api.md, Signed requests",
            ))),
        );
    }
}

async fn openapi(State(app): State<Arc<App>>) -> Json<utoipa::openapi::OpenApi> {
    let mut described = Api::openapi();
    described.servers = Some(vec![utoipa::openapi::Server::new(
        app.config.public_url.trim_end_matches('/'),
    )]);
    Json(described)
}

/// All routes.
pub fn router(app: Arc<App>) -> Router {
    let routes = Router::new()
        .route("/", get(pages::network))
        .route("/jobs/{id}", get(pages::job))
        .route("/static/{name}", get(pages::part))
        .route("/health", get(health::health))
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
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
    let closing = app.edge.life.closing.clone();
    let background = [
        tokio::spawn({
            let (app, closing) = (app.clone(), closing.clone());
            async move { app.hub.run(&app, closing).await }
        }),
        tokio::spawn(janitor::run(app.jobs.clone(), closing.clone())),
        tokio::spawn(recover::run(app.jobs.clone(), closing.clone())),
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
