//! The edge: who may call from where, who pays, what a stop looks like, what packed and misplaced requests are told.

use std::{io::Write, sync::Arc};

use axum::{
    body::Body,
    http::{Method, Request, Response},
};
use mythic_api::{DevAccount, GatewayConfig, app::App};
use mythic_client::keys::write_keypair;
use serde_json::{Value, json};
use solana_keypair::Keypair;
use solana_signer::Signer;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::harness::DEV_KEY;

/// A gateway with nothing behind it; with `dev`, on a development network.
async fn app(dir: &tempfile::TempDir, dev: bool) -> Arc<App> {
    let path = |name: &str, key: &Keypair| {
        let path = dir.path().join(name);
        write_keypair(&path, key).unwrap();
        path
    };
    let owner = Keypair::new();
    let config = GatewayConfig {
        keypair_path: path("gateway.json", &Keypair::new()),
        master_key_file: dir.path().join("master.key"),
        database_url: format!("host={} user=nobody dbname=none", dir.path().display()),
        rpc_url: "http://127.0.0.1:9".into(),
        ws_url: "ws://127.0.0.1:9".into(),
        dev,
        dev_account: dev.then(|| DevAccount {
            owner: owner.pubkey().to_string(),
            delegate_keypair_path: path("delegate.json", &owner),
            key: Some(DEV_KEY.into()),
        }),
        ..GatewayConfig::default()
    };
    App::new(config, CancellationToken::new()).await.unwrap()
}

async fn ask(app: &Arc<App>, request: Request<Body>) -> (u16, Value, Response<()>) {
    let response = mythic_api::router(app.clone())
        .oneshot(request)
        .await
        .unwrap();
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, 1 << 24).await.unwrap();
    let value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    (
        parts.status.as_u16(),
        value,
        Response::from_parts(parts, ()),
    )
}

fn chat(headers: &[(&str, &str)]) -> Request<Body> {
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    let mut request = Request::builder()
        .method(Method::POST)
        .uri("/v1/chat/completions")
        .header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::from(body.to_string())).unwrap()
}

/// Status and code: `model_not_found` means that the request got past the question of who pays.
async fn code(app: &Arc<App>, headers: &[(&str, &str)]) -> (u16, String) {
    let (status, body, _) = ask(app, chat(headers)).await;
    (
        status,
        body["error"]["code"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
    )
}

#[tokio::test]
async fn web_pages_do_not_spend_the_development_account() {
    let dir = tempfile::tempdir().unwrap();
    let app = app(&dir, true).await;
    let host = ("host", "127.0.0.1:4002");
    let passed = (404, "model_not_found".to_owned());
    let bearer = format!("Bearer {DEV_KEY}");
    assert_eq!(code(&app, &[host]).await, passed);
    assert_eq!(
        code(&app, &[host, ("authorization", "Bearer dev")]).await,
        passed
    );
    let page = ("origin", "http://localhost:5173");
    assert_eq!(code(&app, &[host, page]).await.0, 401);
    assert_eq!(
        code(&app, &[host, page, ("authorization", "Bearer dev")])
            .await
            .0,
        401
    );
    assert_eq!(
        code(&app, &[host, page, ("authorization", &bearer)]).await,
        passed
    );
    let evil = ("origin", "https://evil.example");
    assert_eq!(
        code(&app, &[host, evil, ("authorization", &bearer)]).await,
        (403, "foreign_origin".into())
    );
    assert_eq!(
        code(&app, &[("host", "evil.example")]).await,
        (403, "foreign_host".into())
    );
    assert_eq!(
        code(&app, &[host, ("x-forwarded-for", "192.0.2.1")]).await,
        (403, "forwarded".into())
    );
    let preflight = Request::builder()
        .method(Method::OPTIONS)
        .uri("/v1/chat/completions")
        .header("host", "127.0.0.1:4002")
        .header("origin", "https://evil.example")
        .header("access-control-request-method", "POST")
        .body(Body::empty())
        .unwrap();
    let (status, _, response) = ask(&app, preflight).await;
    assert_eq!(status, 403);
    assert!(
        !response
            .headers()
            .contains_key("access-control-allow-origin")
    );
}

#[tokio::test]
async fn a_wallets_key_never_means_the_development_account() {
    let dir = tempfile::tempdir().unwrap();
    let app = app(&dir, true).await;
    // Without a database nobody can say whose key it is: it is not taken for the development account's either.
    let (status, code) = code(&app, &[("authorization", "Bearer mk-unknown")]).await;
    assert_eq!((status, code.as_str()), (503, "database_unavailable"));
    let long = format!("Bearer mk-{}", "a".repeat(200));
    let refused = self::code(&app, &[("authorization", &long)]).await;
    assert_eq!(refused, (401, "invalid_api_key".into()));
}

#[tokio::test]
async fn packed_bodies_are_read_and_others_named() {
    let dir = tempfile::tempdir().unwrap();
    let app = app(&dir, true).await;
    let plain = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]}).to_string();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(plain.as_bytes()).unwrap();
    for (encoding, body, expected) in [
        ("gzip", packed.finish().unwrap(), (404, "model_not_found")),
        (
            "br",
            plain.into_bytes(),
            (415, "unsupported_content_encoding"),
        ),
    ] {
        let request = Request::builder()
            .method(Method::POST)
            .uri("/v1/chat/completions")
            .header("content-type", "application/json")
            .header("content-encoding", encoding)
            .body(Body::from(body))
            .unwrap();
        let (status, body, _) = ask(&app, request).await;
        assert_eq!((status, body["error"]["code"].as_str().unwrap()), expected);
    }
}

#[tokio::test]
async fn estimates_are_counted_by_address() {
    let dir = tempfile::tempdir().unwrap();
    let app = app(&dir, true).await;
    let estimate = || {
        Request::builder()
            .method(Method::POST)
            .uri("/v1/estimate")
            .header("content-type", "application/json")
            .body(Body::from(r#"{"model": "m", "prompt": "hi"}"#))
            .unwrap()
    };
    let mut refused = None;
    for _ in 0..=app.config.limits.anonymous_per_minute * 2 {
        let (status, body, response) = ask(&app, estimate()).await;
        if status == 429 {
            refused = Some((body["error"]["code"].clone(), response));
            break;
        }
        assert_eq!(status, 404);
    }
    let (code, response) = refused.expect("no end to estimates");
    assert_eq!(code, "rate_limit_exceeded");
    assert!(response.headers().contains_key("retry-after"));
}

#[tokio::test]
async fn a_stopping_gateway_is_live_but_not_ready() {
    let dir = tempfile::tempdir().unwrap();
    let app = app(&dir, false).await;
    let probe = |path: &str| Request::get(path).body(Body::empty()).unwrap();
    let (status, body, _) = ask(&app, probe("/livez")).await;
    assert_eq!((status, body["status"].as_str()), (200, Some("live")));
    // Neither chain nor database has ever answered.
    let (status, _, response) = ask(&app, probe("/readyz")).await;
    assert_eq!(status, 503);
    assert!(response.headers().contains_key("retry-after"));
    app.edge.life.unready.cancel();
    let (status, body, _) = ask(&app, probe("/readyz")).await;
    assert_eq!(status, 503);
    assert_eq!(body["error"]["code"], "gateway_stopping");
}

#[tokio::test]
async fn the_description_names_servers_and_security_and_what_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let app = app(&dir, false).await;
    let request = Request::get("/openapi.json").body(Body::empty()).unwrap();
    let (_, described, _) = ask(&app, request).await;
    assert_eq!(described["servers"][0]["url"], "http://127.0.0.1:4002");
    let schemes = &described["components"]["securitySchemes"];
    assert!(schemes["api_key"].is_object() && schemes["wallet_signature"].is_object());
    let chat = &described["paths"]["/v1/chat/completions"]["post"];
    for status in [
        "200", "400", "401", "402", "404", "409", "422", "429", "502", "503",
    ] {
        let schema = &chat["responses"][status]["content"]["application/json"]["schema"];
        assert!(schema.is_object(), "{status}");
    }
    assert!(described["components"]["schemas"]["ChatCompletionChunk"].is_object());
}
