//! Every route with its description: `/openapi.json` is made of what the router is made of, so that no route of the API can be
//! missing in it. Pages and the description itself are no part of the API.

use std::sync::Arc;

use utoipa::{
    Modify, OpenApi, ToSchema as _,
    openapi::{
        Content, Ref, RefOr, ResponseBuilder,
        path::Operation,
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::App,
    error::ErrorBody,
    intake::{chat, completion::ChatCompletionChunk, estimate, inference, legacy, responses},
    routes::{
        cases, credit, health, jobs, keys, leases, lists, market, metrics, nodes, prices, stream,
    },
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Mythic gateway",
        description = "AI inference that is paid, fingerprinted and settled on chain. How tokens are chosen can be computed again by validators; what can't is refused. Every error has the shape of ErrorBody; a 503 says in Retry-After when to come again."
    ),
    components(schemas(ChatCompletionChunk)),
    modifiers(&Security)
)]
struct Described;

/// How requests are authenticated.
struct Security;

impl Modify for Security {
    fn modify(&self, described: &mut utoipa::openapi::OpenApi) {
        let components = described.components.get_or_insert_default();
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

/// Statuses that a route can answer with because of what it takes: its database and chain, parameters, a body.
fn add_shared(operation: &mut Operation) {
    let mut shared = vec![
        ("500", "internal_error"),
        (
            "503",
            "database_unavailable, index_unavailable, chain_unavailable, gateway_stopping; with Retry-After",
        ),
    ];
    if operation.parameters.is_some() || operation.request_body.is_some() {
        shared.push(("400", "invalid_request"));
    }
    if operation.request_body.is_some() {
        shared.push(("408", "body_timeout"));
        shared.push(("413", "body_too_large"));
        shared.push((
            "415",
            "unsupported_media_type, unsupported_content_encoding",
        ));
    }
    for (status, description) in shared {
        let response = ResponseBuilder::new()
            .description(description)
            .content(
                "application/json",
                Content::new(Some(Ref::from_schema_name(ErrorBody::name()))),
            )
            .build();
        operation
            .responses
            .responses
            .entry(status.into())
            .or_insert(RefOr::T(response));
    }
}

/// The routes of the API, and their description as served at `public_url`.
pub fn api(public_url: &str) -> (axum::Router<Arc<App>>, utoipa::openapi::OpenApi) {
    let (router, mut described) = OpenApiRouter::with_openapi(Described::openapi())
        .routes(routes!(chat::completions))
        .routes(routes!(responses::create))
        .routes(routes!(legacy::completions))
        .routes(routes!(inference::inference))
        .routes(routes!(estimate::estimate))
        .routes(routes!(lists::models))
        .routes(routes!(lists::model))
        .routes(routes!(prices::list))
        .routes(routes!(lists::network))
        .routes(routes!(lists::validators))
        .routes(routes!(lists::validator))
        .routes(routes!(lists::stats))
        .routes(routes!(cases::list))
        .routes(routes!(cases::show))
        .routes(routes!(market::market))
        .routes(routes!(market::providers))
        .routes(routes!(market::provider))
        .routes(routes!(market::classes))
        .routes(routes!(market::requests))
        .routes(routes!(market::request))
        .routes(routes!(leases::list))
        .routes(routes!(leases::show))
        .routes(routes!(leases::epochs))
        .routes(routes!(leases::disputes))
        .routes(routes!(jobs::list))
        .routes(routes!(jobs::show))
        .routes(routes!(jobs::receipt))
        .routes(routes!(jobs::evidence))
        .routes(routes!(nodes::result))
        .routes(routes!(nodes::prompt))
        .routes(routes!(nodes::announce))
        .routes(routes!(keys::create, keys::list))
        .routes(routes!(keys::delete))
        .routes(routes!(credit::show, credit::pay_in))
        .routes(routes!(stream::sse))
        .routes(routes!(stream::ws))
        .routes(routes!(health::health))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(metrics::metrics))
        .split_for_parts();
    described.servers = Some(vec![utoipa::openapi::Server::new(
        public_url.trim_end_matches('/'),
    )]);
    for item in described.paths.paths.values_mut() {
        for operation in [
            &mut item.get,
            &mut item.post,
            &mut item.put,
            &mut item.delete,
        ]
        .into_iter()
        .flatten()
        {
            add_shared(operation);
        }
    }
    (router, described)
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value};

    use super::*;

    /// Values that are different for each kind of event or alarm: `unknown` to a client.
    const ANY: [&str; 4] = ["payload", "details", "stored_on_chain", "stored_in_index"];

    /// What the SDK's types are made of.
    const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../clients/sdk/openapi.json");

    fn document() -> Value {
        serde_json::to_value(api("http://127.0.0.1:4002/").1).unwrap()
    }

    fn object(value: &Value) -> &Map<String, Value> {
        value.as_object().unwrap_or_else(|| panic!("{value}"))
    }

    /// Says of every schema in `schema` that says nothing where it stands.
    fn gaps(document: &Value, schema: &Value, at: &str, depth: u32, found: &mut Vec<String>) {
        if depth > 12 || ANY.iter().any(|any| at.ends_with(any)) {
            return;
        }
        if let Some(name) = schema["$ref"].as_str() {
            let pointer = name.trim_start_matches('#');
            match document.pointer(pointer) {
                Some(named) => gaps(document, named, at, depth + 1, found),
                None => found.push(format!("{at}: no {name}")),
            }
            return;
        }
        for kind in ["oneOf", "anyOf", "allOf"] {
            if let Some(parts) = schema[kind].as_array() {
                for part in parts {
                    gaps(document, part, at, depth + 1, found);
                }
                return;
            }
        }
        let kind = match &schema["type"] {
            Value::Array(kinds) => kinds.iter().find(|kind| *kind != "null"),
            kind => Some(kind),
        };
        match kind.and_then(Value::as_str) {
            None => found.push(format!("{at}: any value")),
            Some("object") => {
                let (fields, rest) = (&schema["properties"], &schema["additionalProperties"]);
                if fields.is_null() && !rest.is_object() {
                    found.push(format!("{at}: an object of any fields"));
                }
                for (name, field) in fields.as_object().into_iter().flatten() {
                    gaps(document, field, &format!("{at}.{name}"), depth + 1, found);
                }
            }
            Some("array") => gaps(
                document,
                &schema["items"],
                &format!("{at}[]"),
                depth + 1,
                found,
            ),
            Some(_) => {}
        }
    }

    #[test]
    fn every_answer_and_body_has_a_schema_that_says_all_its_fields() {
        let document = document();
        let mut found = Vec::new();
        let mut checked = 0;
        for (path, item) in object(&document["paths"]) {
            for (method, operation) in object(item) {
                let body = &operation["requestBody"]["content"]["application/json"];
                if operation["requestBody"].is_object() {
                    gaps(
                        &document,
                        &body["schema"],
                        &format!("{method} {path} body"),
                        0,
                        &mut found,
                    );
                }
                for (status, response) in object(&operation["responses"]) {
                    let at = format!("{method} {path} {status}");
                    let Some(content) = response["content"].as_object() else {
                        // A switch of protocols has no body.
                        if status != "101" {
                            found.push(format!("{at}: no content"));
                        }
                        continue;
                    };
                    for (_, content) in content {
                        gaps(&document, &content["schema"], &at, 0, &mut found);
                        checked += 1;
                    }
                }
            }
        }
        assert!(checked > 80, "{checked}");
        assert!(found.is_empty(), "{}", found.join("\n"));
    }

    #[test]
    fn the_sdk_is_made_of_the_document_that_is_served() {
        if std::env::var_os("MYTHIC_REWRITE").is_some() {
            let served = api("http://127.0.0.1:4002/").1;
            let text = served.to_pretty_json().unwrap();
            std::fs::write(COMMITTED, text + "\n").unwrap();
            return;
        }
        let committed = std::fs::read_to_string(COMMITTED).unwrap();
        let committed: Value = serde_json::from_str(&committed).unwrap();
        assert!(
            committed == document(),
            "{COMMITTED} is not true any more; MYTHIC_REWRITE=1 rewrites it, and then `npm run generate` in clients/ the SDK's types"
        );
    }

    #[test]
    fn what_the_gateway_adds_to_a_row_of_the_index_is_described_too() {
        let schemas = &document()["components"]["schemas"];
        let job = serde_json::to_value(crate::store::index::jobs::JobRow::default()).unwrap();
        for field in object(&job).keys() {
            assert!(schemas["Job"]["properties"][field].is_object(), "{field}");
        }
        for (schema, fields) in [
            ("Case", ["object", "phase", "next", "slot", "model_address"]),
            (
                "Lease",
                ["object", "epoch", "next", "slot", "model_address"],
            ),
        ] {
            for field in fields {
                let described = &schemas[schema]["properties"][field];
                assert!(described.is_object(), "{schema}.{field}");
            }
        }
    }

    #[test]
    fn every_route_says_what_it_answers_when_it_fails() {
        let document = document();
        for (path, item) in object(&document["paths"]) {
            for (method, operation) in object(item) {
                let responses = object(&operation["responses"]);
                assert!(
                    responses.contains_key("500") && responses.contains_key("503"),
                    "{method} {path}"
                );
                for (status, response) in responses {
                    let failed = status.starts_with('4') || status.starts_with('5');
                    // Health has its own shape when all is down.
                    if failed && path != "/health" {
                        let schema = &response["content"]["application/json"]["schema"]["$ref"];
                        assert_eq!(
                            schema, "#/components/schemas/ErrorBody",
                            "{method} {path} {status}"
                        );
                    }
                }
            }
        }
        let names: Vec<&str> = object(&document["paths"])
            .values()
            .flat_map(|item| object(item).values())
            .map(|operation| operation["operationId"].as_str().unwrap())
            .collect();
        let different: std::collections::HashSet<&str> = names.iter().copied().collect();
        assert_eq!(
            different.len(),
            names.len(),
            "generated clients name their functions by these: {names:?}"
        );
        let schemes = object(&document["components"]["securitySchemes"]);
        assert!(schemes.contains_key("api_key") && schemes.contains_key("wallet_signature"));
        assert_eq!(document["servers"][0]["url"], "http://127.0.0.1:4002");
    }

    #[test]
    fn no_handler_answers_untyped_json() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        for folder in ["routes", "intake"] {
            for entry in std::fs::read_dir(root.join(folder)).unwrap() {
                let path = entry.unwrap().path();
                let text = std::fs::read_to_string(&path).unwrap();
                assert!(!text.contains("Json<Value>"), "{}", path.display());
            }
        }
    }
}
