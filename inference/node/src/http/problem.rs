//! Refusals of jobs as OpenAI's clients read them.

use axum::response::Response;
use mythic_chat::problem;

use crate::{node::Node, serve::admit::Decline};

/// A refusal, counted.
pub(crate) fn declined(node: &Node, reason: &Decline) -> Response {
    node.jobs.refuse(reason);
    let (status, code) = reason.status();
    let kind = if status < 500 {
        "invalid_request_error"
    } else {
        "server_error"
    };
    problem(status, kind, code, reason.to_string())
}
