//! Every documented refusal in its shape, with neither chain nor database behind the gateway.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{Method, Request, StatusCode},
    response::Response,
};
use mythic_api::{GatewayConfig, app::App};
use mythic_client::keys::write_keypair;
use serde_json::{Value, json};
use solana_keypair::Keypair;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

async fn app(dir: &tempfile::TempDir) -> Arc<App> {
    let keypair_path = dir.path().join("gateway.json");
    write_keypair(&keypair_path, &Keypair::new()).unwrap();
    let config = GatewayConfig {
        keypair_path,
        master_key_file: dir.path().join("master.key"),
        database_url: format!("host={} user=nobody dbname=none", dir.path().display()),
        rpc_url: "http://127.0.0.1:9".into(),
        ws_url: "ws://127.0.0.1:9".into(),
        ..GatewayConfig::default()
    };
    App::new(config, CancellationToken::new()).await.unwrap()
}

async fn send(request: Request<Body>) -> Response {
    let dir = tempfile::tempdir().unwrap();
    mythic_api::router(app(&dir).await)
        .oneshot(request)
        .await
        .unwrap()
}

async fn body(response: Response) -> Value {
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 24)
        .await
        .unwrap();
    serde_json::from_slice(&bytes)
        .unwrap_or_else(|_| panic!("not JSON: {}", String::from_utf8_lossy(&bytes)))
}

/// Status and code of a refusal, after checking its shape.
async fn refused(request: Request<Body>) -> (u16, String, Value) {
    let response = send(request).await;
    let status = response.status().as_u16();
    assert!(
        response.headers()["x-request-id"]
            .to_str()
            .unwrap()
            .starts_with("req_")
    );
    let body = body(response).await;
    let error = body["error"]
        .as_object()
        .unwrap_or_else(|| panic!("{body}"));
    for field in ["message", "type", "param", "code"] {
        assert!(error.contains_key(field), "{body}");
    }
    assert!(!error["message"].as_str().unwrap().is_empty());
    (
        status,
        error["code"].as_str().unwrap().to_owned(),
        body["error"].clone(),
    )
}

fn request(
    method: Method,
    path: &str,
    content_type: Option<&str>,
    body: impl Into<Body>,
) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(kind) = content_type {
        request = request.header("content-type", kind);
    }
    request.body(body.into()).unwrap()
}

fn chat(body: Value) -> Request<Body> {
    request(
        Method::POST,
        "/v1/chat/completions",
        Some("application/json"),
        body.to_string(),
    )
}

fn hello() -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]})
}

#[tokio::test]
async fn an_unknown_route_is_404_in_our_shape() {
    let (status, code, _) = refused(request(Method::GET, "/nope", None, "")).await;
    assert_eq!((status, code.as_str()), (404, "unknown_route"));
}

#[tokio::test]
async fn a_response_that_is_asked_for_by_its_id_is_said_not_to_be_kept() {
    let (status, _, error) = refused(request(Method::GET, "/v1/responses/resp_1", None, "")).await;
    assert_eq!(status, 404);
    assert!(error["message"].as_str().unwrap().contains("not kept"));
}

#[tokio::test]
async fn a_wrong_method_is_405() {
    let (status, code, _) = refused(request(Method::GET, "/v1/chat/completions", None, "")).await;
    assert_eq!((status, code.as_str()), (405, "method_not_allowed"));
}

#[tokio::test]
async fn a_wrong_content_type_is_415() {
    for kind in [None, Some("text/plain")] {
        let (status, code, _) =
            refused(request(Method::POST, "/v1/chat/completions", kind, "{}")).await;
        assert_eq!((status, code.as_str()), (415, "unsupported_media_type"));
    }
}

#[tokio::test]
async fn an_oversized_body_is_413_stated_or_not() {
    let big = vec![b' '; (2 << 20) + 1];
    let (status, code, _) = refused(request(
        Method::POST,
        "/v1/chat/completions",
        Some("application/json"),
        big.clone(),
    ))
    .await;
    assert_eq!((status, code.as_str()), (413, "body_too_large"));
    let chunked = Body::from_stream(futures::stream::iter(
        big.chunks(100_000)
            .map(|c| Ok::<_, std::io::Error>(c.to_vec()))
            .collect::<Vec<_>>(),
    ));
    let (status, _, _) = refused(request(
        Method::POST,
        "/v1/chat/completions",
        Some("application/json"),
        chunked,
    ))
    .await;
    assert_eq!(status, 413);
}

#[tokio::test]
async fn malformed_json_is_400() {
    for text in ["{", "[]", "nonsense", "", "\u{0}"] {
        let (status, code, _) = refused(request(
            Method::POST,
            "/v1/chat/completions",
            Some("application/json"),
            text,
        ))
        .await;
        assert_eq!((status, code.as_str()), (400, "invalid_json"), "{text:?}");
    }
}

#[tokio::test]
async fn an_unsupported_parameter_is_named() {
    let mut body = hello();
    body["functions"] = json!([{"name": "f"}]);
    let (status, code, error) = refused(chat(body)).await;
    assert_eq!(
        (status, code.as_str(), error["param"].as_str()),
        (400, "unsupported_parameter", Some("functions"))
    );
}

#[tokio::test]
async fn without_an_api_key_it_is_401() {
    let (status, code, _) = refused(chat(hello())).await;
    assert_eq!((status, code.as_str()), (401, "invalid_api_key"));
}

#[tokio::test]
async fn without_a_database_it_is_503_with_retry_after() {
    let mut request = chat(hello());
    request
        .headers_mut()
        .insert("authorization", "Bearer mk-some".parse().unwrap());
    let response = send(request).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.headers().contains_key("retry-after"));
    assert_eq!(
        body(response).await["error"]["code"],
        "database_unavailable"
    );
}

#[tokio::test]
async fn a_bad_idempotency_key_is_400() {
    let mut request = chat(hello());
    request
        .headers_mut()
        .insert("idempotency-key", "k".repeat(129).parse().unwrap());
    let (status, _, error) = refused(request).await;
    assert_eq!(
        (status, error["param"].as_str()),
        (400, Some("Idempotency-Key"))
    );
}

#[tokio::test]
async fn bad_queries_and_ids_are_400() {
    for path in [
        "/v1/jobs?limit=0",
        "/v1/jobs?limit=x",
        "/v1/jobs?nope=1",
        "/v1/jobs?commitment=rooted",
        "/v1/jobs?status=gone",
        "/v1/jobs?owner=0x1",
        "/v1/jobs/not-a-job",
        "/v1/jobs/%ff",
        "/v1/stream?topics=nope",
        "/v1/stream?after=-1",
        "/v1/validators?after=zz",
        "/v1/stats/daily?after=x",
    ] {
        let (status, code, _) = refused(request(Method::GET, path, None, "")).await;
        assert_eq!((status, code.as_str()), (400, "invalid_request"), "{path}");
    }
}

#[tokio::test]
async fn an_unknown_model_is_404_for_those_who_ask() {
    let (status, code, _) = refused(request(Method::GET, "/v1/models/gpt-4", None, "")).await;
    assert_eq!((status, code.as_str()), (404, "model_not_found"));
}

#[tokio::test]
async fn what_nodes_and_wallets_send_must_be_signed() {
    for (method, path) in [
        (Method::POST, "/v1/keys"),
        (Method::GET, "/v1/keys"),
        (Method::DELETE, "/v1/keys/k"),
        (Method::PUT, "/v1/nodes/11111111111111111111111111111111"),
        (Method::GET, "/v1/prompts/00"),
        (
            Method::PUT,
            "/v1/jobs/11111111111111111111111111111111/result",
        ),
    ] {
        let (status, code, _) =
            refused(request(method, path, Some("application/json"), "{}")).await;
        assert_eq!(
            (status, code.as_str()),
            (401, "invalid_signature"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_plain_request_to_the_websocket_is_426() {
    let (status, code, _) = refused(request(Method::GET, "/ws", None, "")).await;
    assert_eq!((status, code.as_str()), (426, "websocket_expected"));
}

#[tokio::test]
async fn browsers_may_call_with_any_header() {
    let preflight = Request::builder()
        .method(Method::OPTIONS)
        .uri("/v1/chat/completions")
        .header("origin", "https://app.example")
        .header("access-control-request-method", "POST")
        .header(
            "access-control-request-headers",
            "authorization,x-stainless-lang,idempotency-key",
        )
        .body(Body::empty())
        .unwrap();
    let response = send(preflight).await;
    assert!(response.status().is_success());
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
    assert_eq!(
        response.headers()["access-control-allow-headers"],
        "authorization,x-stainless-lang,idempotency-key"
    );
    let mut request = chat(hello());
    request
        .headers_mut()
        .insert("origin", "https://app.example".parse().unwrap());
    let exposed = send(request).await.headers()["access-control-expose-headers"]
        .to_str()
        .unwrap()
        .to_owned();
    for header in ["x-mythic-job-id", "x-request-id", "retry-after"] {
        assert!(exposed.contains(header), "{exposed}");
    }
}

#[tokio::test]
async fn openapi_lists_every_route() {
    let body = body(send(request(Method::GET, "/openapi.json", None, "")).await).await;
    assert!(body["openapi"].as_str().unwrap().starts_with("3.1"));
    for path in [
        "/health",
        "/livez",
        "/readyz",
        "/metrics",
        "/ws",
        "/v1/network",
        "/v1/models",
        "/v1/models/{id}",
        "/v1/inference",
        "/v1/chat/completions",
        "/v1/estimate",
        "/v1/jobs",
        "/v1/jobs/{id}",
        "/v1/jobs/{id}/receipt",
        "/v1/jobs/{id}/evidence",
        "/v1/jobs/{id}/result",
        "/v1/validators",
        "/v1/validators/{id}",
        "/v1/cases",
        "/v1/cases/{id}",
        "/v1/market",
        "/v1/providers",
        "/v1/providers/{id}",
        "/v1/classes",
        "/v1/requests",
        "/v1/requests/{id}",
        "/v1/leases",
        "/v1/leases/{id}",
        "/v1/leases/{id}/epochs",
        "/v1/leases/{id}/disputes",
        "/v1/stats/{name}",
        "/v1/prompts/{prompt_hash}",
        "/v1/nodes/{validator}",
        "/v1/keys",
        "/v1/keys/{id}",
        "/v1/stream",
    ] {
        assert!(body["paths"][path].is_object(), "{path}");
    }
}

#[tokio::test]
async fn health_says_what_is_down_and_metrics_count() {
    let dir = tempfile::tempdir().unwrap();
    let router = mythic_api::router(app(&dir).await);
    let response = router
        .clone()
        .oneshot(request(Method::GET, "/health", None, ""))
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let health = body(response).await;
    assert_eq!(
        (
            health["status"].as_str(),
            health["index_lag_slots"].is_null()
        ),
        (Some("down"), true)
    );
    let response = router
        .oneshot(request(Method::GET, "/metrics", None, ""))
        .await
        .unwrap();
    let text = axum::body::to_bytes(response.into_body(), 1 << 20)
        .await
        .unwrap();
    let text = String::from_utf8(text.to_vec()).unwrap();
    assert!(
        text.contains(r#"mythic_gateway_requests_total{route="/health",status="503"} 1"#),
        "{text}"
    );
}

/// A page as a browser asks for it.
fn visit(path: &str) -> Request<Body> {
    let mut visit = request(Method::GET, path, None, "");
    let accept = "text/html,*/*".parse().unwrap();
    visit.headers_mut().insert("accept", accept);
    visit
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers()[name].to_str().unwrap()
}

async fn text(response: Response) -> String {
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 24)
        .await
        .unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn every_page_has_an_address_and_a_strict_policy() {
    let account = "11111111111111111111111111111111";
    let of_account = [
        "jobs",
        "cases",
        "disputes",
        "validators",
        "leases",
        "requests",
        "providers",
    ]
    .map(|kind| format!("/{kind}/{account}"));
    let plain = [
        "/",
        "/jobs",
        "/cases",
        "/disputes",
        "/validators",
        "/models",
        "/models/tiny@01234567",
        "/market",
        "/leases",
        "/providers",
        "/requests",
        "/economics",
        "/status",
    ]
    .map(str::to_owned);
    let answer = format!("/jobs/chatcmpl-{account}");
    for path in of_account.iter().chain(&plain).chain([&answer]) {
        let response = send(visit(path)).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert!(header(&response, "content-type").starts_with("text/html"));
        let policy = header(&response, "content-security-policy");
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
        ] {
            assert!(
                policy.contains(part) && !policy.contains("unsafe"),
                "{policy}"
            );
        }
        assert_eq!(header(&response, "cache-control"), "no-cache");
        assert_eq!(header(&response, "x-content-type-options"), "nosniff");
        let text = text(response).await;
        assert!(!text.contains("://"), "{path} names another place");
    }
}

#[tokio::test]
async fn an_address_without_a_page_is_a_page_that_says_so() {
    for path in [
        "/nowhere",
        "/jobs/x",
        "/jobs/%ff",
        "/validators/x",
        "/cases/x",
        "/leases/x",
        "/requests/x",
        "/providers/x",
    ] {
        let response = send(visit(path)).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        assert!(header(&response, "content-type").starts_with("text/html"));
    }
    // Programs that forgot /v1 are told so.
    let (status, code, body) = refused(request(Method::GET, "/models", None, "")).await;
    assert_eq!((status, code.as_str()), (404, "unknown_route"));
    let message = body["message"].as_str().unwrap();
    assert!(message.contains("/v1/models"), "{message}");
}

#[tokio::test]
async fn parts_of_pages_are_those_that_were_built_and_no_other_files() {
    // A build without Node has one page and no parts.
    let document = text(send(visit("/")).await).await;
    let parts = document
        .split('"')
        .filter(|text| text.starts_with("/static/"));
    for part in parts {
        let response = send(visit(part)).await;
        assert_eq!(response.status(), StatusCode::OK, "{part}");
        let kinds = ["text/javascript", "text/css", "image/svg+xml"];
        let kind = header(&response, "content-type");
        assert!(kinds.iter().any(|ours| kind.starts_with(ours)), "{kind}");
        let hashed = part.split('.').count() == 3;
        let cached = header(&response, "cache-control");
        assert_eq!(cached.contains("immutable"), hashed, "{part}: {cached}");
    }
    for path in [
        "/static/nothing",
        "/static/index.html",
        "/static/.gitignore",
        "/static/..%2fbuild.rs",
        "/static/%2e%2e%2fCargo.toml",
        "/static/%2fetc%2fpasswd",
        "/static/%ff",
    ] {
        let (status, code, _) = refused(visit(path)).await;
        assert_eq!((status, code.as_str()), (404, "unknown_route"), "{path}");
    }
}
