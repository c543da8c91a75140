//! What gateways and nodes say to each other over HTTP.
//!
//! | from -> to | request | body -> answer |
//! |---|---|---|
//! | gateway -> node | `POST /v1/inference` | [`InferenceRequest`] -> stream of [`NodeEvent`] |
//! | node -> gateway | `PUT /v1/nodes/:validator` | [`Announcement`] |
//! | node -> gateway | `GET /v1/prompts/:prompt_hash` | -> [`PromptBody`] |
//! | node -> gateway | `PUT /v1/jobs/:id/result` | [`JobResult`] |
//! | anyone entitled -> node | `GET /v1/jobs/:id/evidence` | -> [`Evidence`] |
//! | validator -> node | `GET /v1/jobs/:id/residuals` | -> [`ResidualDigests`] |
//! | validator -> node | `GET /v1/jobs/:id/residuals/:layer` | -> a layer's rows |
//!
//! Errors are `{"error":{"message","type","param","code"}}` ([`ErrorBody`]) with a status of 4xx or 5xx; in a stream that has begun
//! they are [`NodeEvent::Error`].
//!
//! - [`message`]: the bodies; [`bytes64`]: bytes in them
//! - [`evidence`]: what proves a result; [`finish`]: why an output ended
//! - [`signed`]: signed requests; [`origin`]: whom they are meant for
//! - [`access`]: which validators see evidence; [`allowance`]: how often each may do something
//! - [`openai`]: OpenAI's shapes; [`sse`]: events out of bytes
//! - [`dial`]: requests to hosts that strangers name

pub mod access;
pub mod allowance;
pub mod bytes64;
#[cfg(feature = "dial")]
pub mod dial;
pub mod evidence;
pub mod finish;
pub mod message;
pub mod openai;
pub mod origin;
pub mod signed;
pub mod sse;

/// Why an output ended, as on chain.
pub use mythic_interface::state::FinishReason as Finish;

pub use evidence::Evidence;
pub use message::*;
pub use openai::{ErrorBody, ErrorDetail};
pub use origin::Origin;
