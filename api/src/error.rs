//! The one shape of every error that leaves the gateway, and the one way to make a response of it.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio_postgres::error::SqlState;

/// An error as a client meets it: an HTTP status and `{error:{message,type,param,code}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    /// HTTP status.
    pub status: u16,
    /// Stable word that programs match on, for example `no_validator`.
    pub code: String,
    /// What is wrong and how to mend it, for people.
    pub message: String,
    /// The request parameter at fault, when one is.
    #[serde(default)]
    pub param: Option<String>,
    /// The job that exists already; with one, a client must not send the request again by itself.
    #[serde(default)]
    pub job_id: Option<String>,
    /// Seconds after which the request may be sent again.
    #[serde(default)]
    pub retry_after: Option<u32>,
}

impl ApiError {
    /// An error with a status, a code and a message.
    pub fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self {
            status: status.as_u16(),
            code: code.into(),
            message: message.into(),
            param: None,
            job_id: None,
            retry_after: None,
        }
    }

    /// 400 `invalid_request` about one parameter.
    pub fn invalid(param: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", message).param(param)
    }

    /// 400 `unsupported_parameter`: it would change the answer and can't be honoured.
    pub fn unsupported(param: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "unsupported_parameter", message).param(param)
    }

    /// 401 `invalid_api_key`.
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_api_key", message)
    }

    /// 404 with its code.
    pub fn not_found(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    /// 503 of a component that is away for the moment.
    pub fn unavailable(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message).retry_after(2)
    }

    /// 500; the cause goes to the log, not to the client.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, "internal error");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_error",
            "the gateway failed; its log has the cause under this request id",
        )
    }

    /// Names the parameter.
    pub fn param(mut self, param: &str) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Names the parameter as another API calls it: `names` are pairs of a name there and here.
    pub fn renamed(mut self, names: &[(&str, &str)]) -> Self {
        let param = self.param.take();
        self.param = param.map(|param| {
            let found = names.iter().find(|(from, _)| {
                let rest = param.strip_prefix(from);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            });
            match found {
                Some((from, to)) => {
                    self.message = self.message.replace(from, to);
                    format!("{to}{}", &param[from.len()..])
                }
                None => param,
            }
        });
        self
    }

    /// Names the job that exists.
    pub fn job(mut self, job: impl Into<String>) -> Self {
        self.job_id = Some(job.into());
        self
    }

    /// Says when to come again, in seconds.
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    fn kind(&self) -> &'static str {
        match self.status {
            401 => "authentication_error",
            402 => "insufficient_quota",
            403 => "permission_error",
            429 => "rate_limit_error",
            400..=499 => "invalid_request_error",
            _ => "server_error",
        }
    }

    /// The JSON body, also sent as the `data:` of an error in the middle of a stream.
    pub fn body(&self) -> Value {
        json!(ErrorBody {
            error: ErrorDetail {
                message: self.message.clone(),
                kind: self.kind().into(),
                param: self.param.clone(),
                code: self.code.clone(),
                job_id: self.job_id.clone(),
            },
        })
    }
}

/// Every error, in OpenAI's shape.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ErrorBody {
    error: ErrorDetail,
}

/// What is wrong.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ErrorDetail {
    /// What is wrong and how to mend it, for people.
    message: String,
    /// `invalid_request_error`, `authentication_error`, `insufficient_quota`, `permission_error`, `rate_limit_error` or `server_error`.
    #[serde(rename = "type")]
    kind: String,
    /// The request parameter at fault.
    param: Option<String>,
    /// Stable word that programs match on.
    code: String,
    /// The job that exists already: don't send the request again by yourself.
    #[serde(skip_serializing_if = "Option::is_none")]
    job_id: Option<String>,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self.body())).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(job) = &self.job_id {
            headers.insert("x-should-retry", HeaderValue::from_static("false"));
            if let Ok(value) = HeaderValue::from_str(job) {
                headers.insert("x-mythic-job-id", value);
            }
        }
        response
    }
}

impl From<tokio_postgres::Error> for ApiError {
    fn from(error: tokio_postgres::Error) -> Self {
        // An answer of the server with a SQLSTATE of class 57 or 08 means that it is going away; without one, the
        // connection itself broke. One that takes no writes is not the primary any more. Everything else is a fault of ours.
        let read_only = SqlState::READ_ONLY_SQL_TRANSACTION;
        let away = error.code().is_none_or(|code| {
            code.code().starts_with("57") || code.code().starts_with("08") || *code == read_only
        });
        let missing = error
            .code()
            .is_some_and(|code| matches!(code.code(), "42P01" | "3F000"));
        if away {
            tracing::warn!(%error, "database away");
            Self::unavailable(
                "database_unavailable",
                "the database is away; try again shortly",
            )
        } else if missing {
            tracing::warn!(%error, "database not laid out");
            Self::unavailable(
                "index_unavailable",
                "the index is not laid out yet: start `mythic indexer`, then try again",
            )
        } else {
            Self::internal(format!("database: {error:?}"))
        }
    }
}

impl From<deadpool_postgres::PoolError> for ApiError {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        tracing::warn!(%error, "no database connection");
        Self::unavailable(
            "database_unavailable",
            "the database is away; try again shortly",
        )
    }
}

/// What every handler returns.
pub type ApiResult<T> = Result<T, ApiError>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_the_openai_shape() {
        let body = ApiError::invalid("n", "n must be 1 to 8").body();
        assert_eq!(
            body,
            json!({"error": {"message": "n must be 1 to 8", "type": "invalid_request_error", "param": "n", "code": "invalid_request"}})
        );
    }

    #[test]
    fn an_error_names_its_parameter_as_the_api_in_use_calls_it() {
        let names = &[("messages", "input"), ("n", "count")];
        let error =
            ApiError::invalid("messages[0].role", "messages[0].role is wrong").renamed(names);
        assert_eq!(error.param.as_deref(), Some("input[0].role"));
        assert_eq!(error.message, "input[0].role is wrong");
        let other = ApiError::invalid("name", "n").renamed(names);
        assert_eq!(
            (other.param.as_deref(), other.message.as_str()),
            (Some("name"), "n")
        );
    }

    #[test]
    fn an_error_with_a_job_forbids_sdk_retries() {
        let response = ApiError::new(StatusCode::BAD_GATEWAY, "validator_failed", "x")
            .job("J")
            .into_response();
        assert_eq!(response.headers()["x-should-retry"], "false");
        assert_eq!(response.headers()["x-mythic-job-id"], "J");
    }

    #[test]
    fn retry_after_is_a_header() {
        let response = ApiError::unavailable("no_validator", "x").into_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], "2");
    }
}
