//! Query strings and path parameters; a refusal names the parameter and says what there is.

use std::sync::Arc;

use axum::{
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
};
use serde::de::DeserializeOwned;

use crate::{
    app::App,
    error::{ApiError, ApiResult},
};

/// The query string as `T`.
#[derive(Debug)]
pub struct Query<T>(pub T);

/// What is between the first two backquotes.
fn quoted(text: &str) -> Option<&str> {
    text.split('`').nth(1)
}

/// Serde's words in ours. `T`'s fields are what may be asked; the error names the one at fault if it knows it.
fn refusal(query: &str, text: &str) -> ApiError {
    if text.contains("unknown field") {
        let name = quoted(text).unwrap_or("?").to_owned();
        let known: Vec<&str> = text.split('`').skip(3).step_by(2).collect();
        let message = match known.as_slice() {
            [] => format!("no query parameter {name:?} is taken here"),
            known => format!(
                "no query parameter {name:?} is taken here; there are {}",
                known.join(", ")
            ),
        };
        return ApiError::invalid(&name, message);
    }
    if text.contains("duplicate field") {
        let name = quoted(text).unwrap_or("?").to_owned();
        return ApiError::invalid(&name, format!("{name} is given twice"));
    }
    // A value that can't be read: the parameter whose value it is comes before the colon, or is the only one.
    let name = text
        .split(':')
        .map(str::trim)
        .find(|part| {
            !part.is_empty()
                && query
                    .split('&')
                    .any(|pair| pair.split('=').next() == Some(part))
        })
        .unwrap_or("query")
        .to_owned();
    ApiError::new(
        StatusCode::BAD_REQUEST,
        "invalid_request",
        format!("{name} has a value that can't be read"),
    )
    .param(&name)
}

impl<T: DeserializeOwned> FromRequestParts<Arc<App>> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> ApiResult<Self> {
        let query = parts.uri.query().unwrap_or("").to_owned();
        axum::extract::Query::<T>::from_request_parts(parts, app)
            .await
            .map(|query| Self(query.0))
            .map_err(|error| refusal(&query, &error.body_text()))
    }
}

/// The one path parameter.
#[derive(Debug)]
pub struct PathParam(pub String);

impl FromRequestParts<Arc<App>> for PathParam {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> ApiResult<Self> {
        axum::extract::Path::<String>::from_request_parts(parts, app)
            .await
            .map(|path| Self(path.0))
            .map_err(|error| {
                ApiError::new(
                    StatusCode::BAD_REQUEST,
                    "invalid_request",
                    error.body_text(),
                )
                .param("path")
            })
    }
}

#[cfg(test)]
mod tests {
    use axum::extract::Query as AxumQuery;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Asked {
        #[allow(dead_code)]
        limit: Option<i64>,
        #[allow(dead_code)]
        after: Option<String>,
    }

    fn refused(query: &str) -> ApiError {
        let uri = format!("/?{query}").parse().unwrap();
        let error = AxumQuery::<Asked>::try_from_uri(&uri).unwrap_err();
        refusal(query, &error.body_text())
    }

    #[test]
    fn refusals_name_the_parameter_and_what_there_is() {
        let error = refused("lim=3");
        assert_eq!(error.param.as_deref(), Some("lim"));
        assert!(error.message.contains("limit, after"), "{error}");
        let error = refused("after=a&limit=x");
        assert_eq!(error.param.as_deref(), Some("limit"), "{error}");
        assert!(!error.message.contains("serde"), "{error}");
        let error = refused("limit=1&limit=2");
        assert_eq!(error.param.as_deref(), Some("limit"), "{error}");
    }
}
