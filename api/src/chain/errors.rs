//! The chain's refusals as clients see them.

use axum::http::StatusCode;
use mythic_client::ClientError;
use mythic_interface::error::MythicError;

use crate::error::ApiError;

/// A chain error as clients see it.
pub fn chain_error(error: ClientError) -> ApiError {
    match &error {
        ClientError::Program(program) => refusal(*program),
        _ if error.is_transient() => {
            tracing::warn!(%error, "chain");
            ApiError::unavailable(
                "chain_unavailable",
                "the chain is away or slow; try again shortly",
            )
        }
        _ => {
            tracing::warn!(%error, "chain");
            ApiError::new(
                StatusCode::BAD_GATEWAY,
                "chain_refused",
                format!("the chain refused the transaction: {error}"),
            )
        }
    }
}

/// The program's refusal of a request as clients see it.
pub fn refusal(error: MythicError) -> ApiError {
    let payment = |code: &str| ApiError::new(StatusCode::PAYMENT_REQUIRED, code, error.message());
    match error {
        MythicError::InsufficientFunds => payment("insufficient_funds"),
        MythicError::GrantPerJobExceeded
        | MythicError::GrantWindowExceeded
        | MythicError::GrantLifetimeExceeded => payment("spend_limit_exceeded"),
        MythicError::GrantRevoked
        | MythicError::GrantExpired
        | MythicError::GrantModelNotAllowed
        | MythicError::MissingGrant => payment("grant_not_usable"),
        MythicError::PriceChanged => ApiError::unavailable(
            "price_changed",
            "the model's price changed just now; send the request again",
        )
        .retry_after(1),
        MythicError::RulesChanged => ApiError::unavailable(
            "rules_changed",
            "the network's rules changed just now; send the request again",
        )
        .retry_after(1),
        other => ApiError::new(
            StatusCode::BAD_GATEWAY,
            "chain_refused",
            format!(
                "the program refused: {} ({})",
                other.name(),
                other.message()
            ),
        ),
    }
}
