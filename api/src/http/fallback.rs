//! What requests are told that no route takes: which one they may have meant.

use axum::{
    extract::Request,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::{error::ApiError, routes::pages};

/// First segments of what lies under `/v1`.
const UNDER_V1: [&str; 16] = [
    "chat",
    "completions",
    "responses",
    "models",
    "inference",
    "estimate",
    "jobs",
    "validators",
    "cases",
    "disputes",
    "network",
    "stats",
    "keys",
    "stream",
    "nodes",
    "prompts",
];

/// OpenAI's routes that are not offered, by their beginning under `/v1`, with what to use instead.
const NOT_OFFERED: [(&str, &str); 10] = [
    (
        "responses/",
        "responses are not kept; POST /v1/responses makes one, and GET /v1/jobs tells of its job",
    ),
    (
        "embeddings",
        "embeddings are not offered: the models here generate text",
    ),
    (
        "audio",
        "audio is not offered: the models here generate text",
    ),
    (
        "images",
        "images are not offered: the models here generate text",
    ),
    ("moderations", "moderation is not offered"),
    (
        "files",
        "files are not offered; prompts go with their request",
    ),
    (
        "batches",
        "batches are not offered; POST /v1/inference?wait=false makes jobs without waiting",
    ),
    ("fine_tuning", "fine-tuning is not offered"),
    (
        "assistants",
        "assistants are not offered; POST /v1/chat/completions works",
    ),
    (
        "threads",
        "threads are not offered; POST /v1/chat/completions works",
    ),
];

/// The path that was probably meant: without doubled slashes, a slash at the end, or a doubled or missing `/v1`.
fn meant(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let mut rest = parts.as_slice();
    while let ["v1", inner @ ..] = rest {
        rest = inner;
    }
    let versioned =
        rest.len() < parts.len() || rest.first().is_some_and(|first| UNDER_V1.contains(first));
    match versioned {
        true => format!("/v1/{}", rest.join("/")),
        false => format!("/{}", rest.join("/")),
    }
}

fn message(path: &str) -> String {
    let meant = meant(path);
    let under = meant
        .strip_prefix("/v1/")
        .unwrap_or(meant.trim_start_matches('/'));
    let first = under.split('/').next().unwrap_or("");
    if let Some((_, why)) = NOT_OFFERED
        .iter()
        .find(|(name, _)| *name == first || (name.ends_with('/') && under.starts_with(name)))
    {
        return (*why).to_owned();
    }
    if meant != path && UNDER_V1.contains(&first) {
        return format!(
            "no such route; did you mean {meant}? The base URL of this API is http://HOST:PORT/v1, with nothing behind it"
        );
    }
    "no such route; GET /openapi.json lists all".to_owned()
}

fn wants_page(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.contains("text/html"))
}

/// A page at an address that is also one of the API without its `/v1`: programs that ask for it are told so.
pub async fn page_or_hint(request: Request) -> Response {
    match wants_page(request.headers()) {
        true => pages::plain().await,
        false => unknown_route(request).await,
    }
}

/// No route has this address.
pub async fn unknown_route(request: Request) -> Response {
    let path = request.uri().path();
    if wants_page(request.headers()) && !path.starts_with("/v1") {
        return pages::missing();
    }
    ApiError::not_found("unknown_route", message(path)).into_response()
}

/// The route has other methods.
pub async fn wrong_method(request: Request) -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        format!(
            "{} is not offered here; GET /openapi.json lists what is",
            request.method()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_nearly_right_are_told_the_right_one() {
        for path in [
            "/v1//chat/completions",
            "//v1/chat/completions",
            "/v1/chat/completions/",
            "/v1/v1/chat/completions",
            "/chat/completions",
        ] {
            let message = message(path);
            assert!(
                message.contains("did you mean /v1/chat/completions?"),
                "{path}: {message}"
            );
            assert!(message.contains("base URL"), "{path}: {message}");
        }
        for path in ["/v1/models/", "/v1//models", "/models"] {
            assert!(message(path).contains("did you mean /v1/models?"), "{path}");
        }
    }

    #[test]
    fn what_is_not_offered_is_said_with_and_without_v1() {
        for path in ["/v1/embeddings", "/embeddings", "/v1/embeddings/"] {
            assert!(
                message(path).contains("embeddings are not offered"),
                "{path}"
            );
        }
        assert!(message("/v1/responses/resp_1").contains("are not kept"));
        assert!(message("/responses").contains("did you mean /v1/responses?"));
        assert!(message("/nope").contains("/openapi.json"));
    }
}
