//! The provider's endpoints.
//!
//! | route | who |
//! |---|---|
//! | `GET /health` | anyone |
//! | `GET /v1/models`, `POST /v1/chat/completions` | the tenant: its key as bearer token |
//! | `PUT /specs/:name` | anyone, a few each: the spec of a request that is about to be made |
//! | `GET /v1/requests/:request` | anyone: what became of a request here |
//! | `PUT /v1/leases/:lease/environment` | the tenant, by its signature: values that a spec only commits to |
//! | `GET /v1/leases/:lease/access` | anyone: the exact bytes whose hash the start states |
//! | `GET /v1/leases/:lease/proof/:epoch` | anyone: what is published of a proof |
//!
//! Pages of any site may ask all of it: nothing here goes by cookies.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{ConnectInfo, DefaultBodyLimit, Path, Request, State},
    http::{HeaderMap, HeaderName, Method, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use mythic_chat::{Answer, ChatRequest, not_generated, problem};
use mythic_http::{
    Trace,
    guard::{LocalOnly, is_local_origin},
};
use mythic_interface::hash::sha256;
use mythic_trace::{Span, names};
use mythic_wire::{
    MAX_BODY,
    allowance::Allowance,
    signed::{Receiver, purpose, unix_seconds},
};
use serde_json::json;
use solana_pubkey::Pubkey;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use super::{
    address,
    bodies::Bodies,
    endpoints::{Endpoint, Endpoints},
};
use crate::{
    container::environment::{MAX_ENVIRONMENT, Told},
    ctx::Ctx,
    intake::decisions::{Decision, Decisions},
    lease::desk::Desk,
    receipt::Facts,
    source,
    spec::{Document, MAX_DOCUMENT},
};

/// Specs that an address leaves at once, and how fast it may leave more.
const SPECS: u32 = 16;
const SPEC_EVERY: Duration = Duration::from_secs(10);
/// Longest time from a request to the end of its answer, however slowly it is read.
const LONGEST_ANSWER: Duration = Duration::from_secs(1_800);
/// Addresses whose specs are counted at a time.
const LEAVERS: usize = 4_096;
/// How long a browser may keep what a page may ask.
const ALLOWED_FOR: Duration = Duration::from_secs(3_600);

/// What routes use.
pub struct Serving {
    pub ctx: Arc<Ctx>,
    pub endpoints: Arc<Endpoints>,
    pub desk: Arc<Desk>,
    pub decisions: Arc<Decisions>,
    leavers: Allowance<IpAddr>,
    bodies: Bodies,
    /// Reverse proxies whose word is taken.
    trusted: Vec<IpAddr>,
    /// Takes what tenants sign.
    signed: Receiver,
}

impl Serving {
    pub fn new(
        ctx: Arc<Ctx>,
        endpoints: Arc<Endpoints>,
        desk: Arc<Desk>,
        decisions: Arc<Decisions>,
    ) -> Self {
        Self {
            trusted: ctx.config.proxies(),
            signed: Receiver::new(ctx.origin.clone()),
            bodies: Bodies::default(),
            ctx,
            endpoints,
            desk,
            decisions,
            leavers: Allowance::new(SPECS, SPEC_EVERY, LEAVERS),
        }
    }
}

/// The router of all endpoints.
pub fn router(serving: Arc<Serving>) -> Router {
    let local = serving.ctx.config.allow_loopback && serving.ctx.origin.is_loopback();
    let router = Router::new()
        .route("/health", get(health))
        .route("/v1/models", get(models))
        .route(CHAT, post(chat))
        .route(
            "/specs/{name}",
            put(leave).layer(DefaultBodyLimit::max(MAX_DOCUMENT)),
        )
        .route("/v1/requests/{request}", get(request))
        .route(
            "/v1/leases/{lease}/environment",
            put(environment).layer(DefaultBodyLimit::max(MAX_ENVIRONMENT)),
        )
        .route("/v1/leases/{lease}/access", get(access))
        .route("/v1/leases/{lease}/proof/{epoch}", get(proof))
        .fallback(|| async { refusal(404, "not_found", "no such route") })
        .method_not_allowed_fallback(|| async {
            refusal(405, "method_not_allowed", "this route takes another method")
        })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn(traced))
        .layer(pages(local))
        .with_state(serving);
    // A development network is for this machine: pages of others reach it through a browser or a proxy.
    match local {
        true => router.layer(LocalOnly),
        false => router,
    }
}

/// Lets pages ask: of any site, or of this machine alone.
fn pages(is_local: bool) -> CorsLayer {
    let origins = match is_local {
        true => AllowOrigin::predicate(|origin, _| origin.to_str().is_ok_and(is_local_origin)),
        false => AllowOrigin::any(),
    };
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::OPTIONS])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([HeaderName::from_static("x-request-id"), header::RETRY_AFTER])
        .max_age(ALLOWED_FOR)
}

/// Path of what tenants ask for most.
const CHAT: &str = "/v1/chat/completions";

/// The span of an answer, where it is traced.
async fn traced(mut trace: Trace, mut request: Request, next: Next) -> Response {
    if request.uri().path() != CHAT || !mythic_trace::is_on() {
        return next.run(request).await;
    }
    let span = trace.begin(format!("{} {CHAT}", request.method()));
    span.word(names::METHOD, request.method().as_str())
        .word(names::ROUTE, CHAT)
        .word(names::REQUEST_ID, trace.id.as_str());
    request.extensions_mut().insert(trace);
    let response = next.run(request).await;
    let status = response.status().as_u16();
    span.number(names::STATUS, status);
    if status >= 500 {
        span.failed(&status.to_string());
    }
    response
}

fn refusal(status: u16, code: &str, message: impl Into<String>) -> Response {
    problem(status, "invalid_request_error", code, message)
}

async fn health(State(serving): State<Arc<Serving>>) -> Response {
    let provider = serving.ctx.provider();
    Json(json!({
        "status": "ok",
        "provider": serving.ctx.authority.to_string(),
        "slot": serving.ctx.slot(),
        "units": provider.units.get(),
        "leased_units": provider.leased.get(),
        "leases_in_care": serving.desk.leases().len(),
        "leases_served": serving.endpoints.count(),
        "operator_lamports": serving.ctx.balance(),
        "operator_needs_lamports": serving.ctx.needed(),
    }))
    .into_response()
}

/// The lease whose key a request has.
fn tenant(serving: &Serving, headers: &HeaderMap) -> Result<Arc<Endpoint>, Box<Response>> {
    let key = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    let found = key.and_then(|key| serving.endpoints.of_key(key.trim().as_bytes()));
    found.ok_or_else(|| {
        Box::new(problem(
            401,
            "authentication_error",
            "invalid_api_key",
            "no lease that runs here has this key; send the lease's own as `Authorization: Bearer KEY`",
        ))
    })
}

async fn models(State(serving): State<Arc<Serving>>, headers: HeaderMap) -> Response {
    match tenant(&serving, &headers) {
        Ok(endpoint) => Json(json!({
            "object": "list",
            "data": [{
                "id": endpoint.model,
                "object": "model",
                "owned_by": serving.ctx.authority.to_string(),
                "context_length": endpoint.engine.formatter().context_length(),
                "lease": endpoint.lease.to_string(),
            }],
        }))
        .into_response(),
        Err(refused) => *refused,
    }
}

async fn chat(
    State(serving): State<Arc<Serving>>,
    trace: Trace,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let endpoint = match tenant(&serving, &headers) {
        Ok(endpoint) => endpoint,
        Err(refused) => return *refused,
    };
    if !serving.ctx.seams.answers {
        let message = "this provider does not answer its tenants";
        return problem(503, "server_error", "not_served", message);
    }
    // Who has no key, or has as many answers under way as it may, brings no body here.
    let Some(place) = endpoint.place() else {
        let message = format!(
            "the lease makes {} answers at once and all are under way",
            endpoint.max_concurrent
        );
        return problem(429, "rate_limit_error", "max_concurrent", message);
    };
    let (body, room) = match serving.bodies.read(&headers, body).await {
        Ok(read) => read,
        Err(error) => {
            let (status, code) = error.code();
            return refusal(status, code, error.to_string());
        }
    };
    let request = match ChatRequest::read(&body) {
        Ok(request) => request,
        Err(error) => return refusal(400, "invalid_json", error),
    };
    let (bare, _) = endpoint.model.split_once('@').unwrap_or_default();
    if let Some(wanted) = request.model.as_deref()
        && wanted != endpoint.model
        && wanted != bare
    {
        let message = format!(
            "model {wanted:?} is not leased; this lease is of {}",
            endpoint.model
        );
        return refusal(404, "model_not_found", message);
    }
    let formatter = endpoint.engine.formatter();
    let prompt_ids = request
        .messages()
        .and_then(|messages| formatter.chat(&messages).map_err(|error| error.to_string()));
    let prompt_ids = match prompt_ids {
        Ok(ids) => ids,
        Err(error) => return refusal(400, "invalid_messages", error),
    };
    let (stream, prompt_tokens) = (request.stream, prompt_ids.len());
    let generate = request.generate(prompt_ids, formatter.context_length());
    let asked = sha256(&[&body]);
    drop((body, room));
    let cancel = endpoint.cancel();
    let steps = match endpoint.engine.generate(generate, cancel.clone()) {
        Ok(steps) => steps,
        Err(error) => return not_generated(&error),
    };
    serving.ctx.meters.answer_begun();
    let (operator, meters) = (serving.ctx.operator.clone(), serving.ctx.meters.clone());
    let (lease, model) = (endpoint.lease, endpoint.model.clone());
    // However slowly the answer is read: the engine is the lease's, and ends with it.
    drop(endpoint);
    let answer = Answer::new(model.clone(), prompt_tokens, steps, cancel.drop_guard());
    let answer = answer.within(LONGEST_ANSWER).holding(place);
    let span = spoken_of(trace.span, &lease, &model);
    let answer = answer.remarked(move |told| {
        meters.answered(told.usage.prompt_tokens, told.usage.completion_tokens);
        span.number(names::INPUT_TOKENS, told.usage.prompt_tokens)
            .number(names::OUTPUT_TOKENS, told.usage.completion_tokens);
        let facts = Facts {
            lease: &lease,
            request: asked,
            answer: told.text,
            model: &model,
            usage: told.usage,
            at: unix_seconds(),
        };
        json!({"receipt": facts.sign(&operator)})
    });
    answer.respond(stream).await
}

/// What a span says of an answer: never what was asked or answered.
fn spoken_of(span: Span, lease: &Pubkey, model: &str) -> Span {
    if span.is_recorded() {
        span.word(names::LEASE, &lease.to_string())
            .word(names::OPERATION, "chat")
            .word(names::PROVIDER, names::PROVIDER_NAME)
            .word(names::RESPONSE_MODEL, model);
    }
    span
}

async fn leave(
    State(serving): State<Arc<Serving>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let now = Instant::now();
    let from = address::client(peer.ip(), &headers, &serving.trusted);
    if !serving.leavers.take(&from, now) {
        let message = "too many specs from this address; try again shortly";
        return problem(429, "rate_limit_error", "too_many_specs", message);
    }
    let document = match Document::read(&body) {
        Ok(document) => document,
        Err(error) => return refusal(400, "invalid_spec", error.to_string()),
    };
    if source::name(&document.hash()) != name {
        let message = "the name is not the first half of the document's hash";
        return refusal(400, "other_name", message);
    }
    match serving.ctx.shelf.put(document, from, now) {
        Some(_) => Json(json!({"name": name})).into_response(),
        None => problem(
            503,
            "server_error",
            "capacity",
            "too many specs lie here already; try again shortly",
        ),
    }
}

/// Values of a container's environment. They are kept under the name of whoever signed them, and count for the tenant of a request alone.
async fn environment(
    State(serving): State<Arc<Serving>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let now = Instant::now();
    let from = address::client(peer.ip(), &headers, &serving.trusted);
    if !serving.leavers.take(&from, now) {
        let message = "too many specs and environments from this address; try again shortly";
        return problem(429, "rate_limit_error", "too_many_specs", message);
    }
    let Ok(lease) = id.parse::<Pubkey>() else {
        return refusal(400, "invalid_address", "not the address of a lease");
    };
    let path = format!("/v1/leases/{id}/environment");
    let signed = serving.signed.verify("PUT", &path, &body, &headers);
    let signer = signed.and_then(|signed| signed.by(&purpose::environment(&lease)));
    let signer = match signer {
        Ok(signer) => signer,
        Err(error) => {
            return problem(401, "authentication_error", "not_signed", error.to_string());
        }
    };
    let told = match serde_json::from_slice::<Told>(&body) {
        Ok(told) => told,
        Err(error) => return refusal(400, "invalid_environment", error.to_string()),
    };
    let environments = &serving.ctx.environments;
    environments.put((lease, signer), from, told.values, now);
    Json(json!({"lease": id})).into_response()
}

async fn request(State(serving): State<Arc<Serving>>, Path(id): Path<String>) -> Response {
    let Ok(address) = id.parse::<Pubkey>() else {
        return refusal(400, "invalid_address", "not the address of a request");
    };
    let (status, reason) = match serving.decisions.of(&address) {
        None => ("unseen", None),
        Some(Decision::Reading) => ("reading", None),
        Some(Decision::Taken) => ("taken", None),
        Some(Decision::Declined { reason, again }) => match again {
            true => ("waiting", Some(reason)),
            false => ("declined", Some(reason)),
        },
    };
    Json(json!({"request": id, "status": status, "reason": reason})).into_response()
}

async fn access(State(serving): State<Arc<Serving>>, Path(id): Path<String>) -> Response {
    let promised = id
        .parse::<Pubkey>()
        .ok()
        .and_then(|lease| serving.desk.access(&lease));
    match promised {
        Some(access) => json_bytes(access.into_bytes()),
        None => refusal(404, "lease_not_found", "no such lease is in care here"),
    }
}

async fn proof(
    State(serving): State<Arc<Serving>>,
    Path((id, epoch)): Path<(String, u64)>,
) -> Response {
    let Ok(lease) = id.parse::<Pubkey>() else {
        return refusal(400, "invalid_address", "not the address of a lease");
    };
    let read = move || serving.ctx.openings.read(&lease, epoch);
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok(Some(opening))) => json_bytes(opening),
        Ok(Ok(None)) => refusal(404, "proof_not_found", "nothing is published of this epoch"),
        _ => problem(
            500,
            "server_error",
            "proof_unreadable",
            "what is published of this epoch can't be read",
        ),
    }
}

/// JSON exactly as it is.
fn json_bytes(bytes: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], bytes).into_response()
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
    };

    use super::*;
    use crate::{config::ProviderConfig, ctx};

    /// A provider without leases, until its task is aborted.
    async fn served(
        config: ProviderConfig,
        dir: &std::path::Path,
    ) -> (SocketAddr, tokio::task::JoinHandle<std::io::Result<()>>) {
        let ctx = Arc::new(ctx::tests::idle(config, dir));
        let serving = Serving::new(ctx, Arc::default(), Arc::default(), Arc::default());
        let router = router(Arc::new(serving));
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, service).await });
        (address, server)
    }

    /// Everything that is answered to a request of a page.
    async fn told(address: SocketAddr, origin: &str, asked: &str) -> String {
        let (first, rest) = asked.split_once("\r\n").unwrap();
        let request = format!(
            "{first}\r\nHost: {address}\r\nConnection: close\r\nOrigin: {origin}\r\n{rest}"
        );
        let mut line = TcpStream::connect(address).await.unwrap();
        line.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        line.read_to_string(&mut answer).await.unwrap();
        answer
    }

    const PREFLIGHT: &str = "OPTIONS /specs/x HTTP/1.1\r\nAccess-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: content-type\r\n\r\n";
    const LEFT: &str = "PUT /specs/x HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}";

    #[tokio::test]
    async fn a_page_of_any_site_may_leave_a_spec_and_ask_its_lease() {
        let dir = tempfile::tempdir().unwrap();
        let (address, server) = served(ProviderConfig::default(), dir.path()).await;
        let site = "https://app.example";
        let allowed = told(address, site, PREFLIGHT).await;
        for wanted in [
            "HTTP/1.1 200",
            "access-control-allow-origin: *",
            "access-control-allow-methods: GET,POST,PUT,OPTIONS",
            "access-control-allow-headers: content-type",
        ] {
            assert!(allowed.contains(wanted), "{wanted}: {allowed}");
        }
        // What is refused is read too.
        let left = told(address, site, LEFT).await;
        assert!(left.starts_with("HTTP/1.1 400"), "{left}");
        assert!(left.contains("access-control-allow-origin: *"), "{left}");
        let asked = "GET /v1/models HTTP/1.1\r\nAuthorization: Bearer none\r\n\r\n";
        let asked = told(address, site, asked).await;
        assert!(asked.starts_with("HTTP/1.1 401"), "{asked}");
        assert!(asked.contains("access-control-allow-origin: *"), "{asked}");
        server.abort();
    }

    #[tokio::test]
    async fn a_development_network_answers_pages_of_its_own_machine_alone() {
        let dir = tempfile::tempdir().unwrap();
        let config = ProviderConfig {
            allow_loopback: true,
            ..ProviderConfig::default()
        };
        let (address, server) = served(config, dir.path()).await;
        let own = "http://localhost:5173";
        let allowed = told(address, own, PREFLIGHT).await;
        let wanted = format!("access-control-allow-origin: {own}");
        assert!(allowed.contains(&wanted), "{allowed}");
        let refused = told(address, "https://app.example", PREFLIGHT).await;
        assert!(refused.starts_with("HTTP/1.1 403"), "{refused}");
        server.abort();
    }

    #[tokio::test]
    async fn who_has_no_key_is_refused_before_a_byte_of_its_body_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let (address, server) = served(ProviderConfig::default(), dir.path()).await;
        let mut line = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer lease-none\r\nContent-Length: {MAX_BODY}\r\n\r\n"
        );
        line.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        let read = line.read_exact(&mut answer);
        let read = tokio::time::timeout(Duration::from_secs(60), read).await;
        read.expect("an answer without a body").unwrap();
        assert_eq!(&answer, b"HTTP/1.1 401");
        server.abort();
    }
}
