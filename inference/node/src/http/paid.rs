//! `POST /v1/inference`: a paid job, taken and streamed.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{
    body::Bytes,
    extract::{ConnectInfo, State},
    response::{
        IntoResponse, Response,
        sse::{Event as SseEvent, KeepAlive, Sse},
    },
};
use futures::{Stream, StreamExt, stream};
use mythic_chat::problem;
use mythic_http::Trace;
use mythic_wire::{InferenceRequest, NodeEvent};

use super::problem::declined;
use crate::{
    node::Node,
    serve::{
        cosigned::{self, Refusal},
        messages::Delivery,
    },
};

/// How long a co-signed job may take until its first event.
const FIRST_EVENT: Duration = Duration::from_secs(90);

/// A paid job: checks, co-signs, starts, and streams.
pub(super) async fn inference(
    State(node): State<Arc<Node>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    trace: Trace,
    body: Bytes,
) -> Response {
    let request: InferenceRequest = match serde_json::from_slice(&body) {
        Ok(request) => request,
        Err(error) => {
            return problem(
                400,
                "invalid_request_error",
                "invalid_json",
                format!("body: {error}"),
            );
        }
    };
    let (events, delivery) = match cosigned::take(&node.jobs, request, peer.ip(), trace.span).await
    {
        Ok(started) => started,
        Err(Refusal::Declined(reason)) => return declined(&node, &reason),
        Err(Refusal::Broken(message)) => {
            return problem(503, "server_error", "unavailable", message);
        }
    };
    let mut events = events;
    // A refusal before the first token can still be a status, and another validator can be asked.
    let first = match tokio::time::timeout(FIRST_EVENT, events.recv()).await {
        Ok(Some(NodeEvent::Error { code, message })) => {
            return problem(
                if code == "not_paid" { 402 } else { 503 },
                "server_error",
                &code,
                message,
            );
        }
        Ok(Some(event)) => event,
        Ok(None) => {
            return problem(503, "server_error", "unavailable", "the node is stopping");
        }
        Err(_) => {
            return problem(
                503,
                "server_error",
                "not_paid",
                "the job was not seen on chain in time",
            );
        }
    };
    let rest = stream::unfold(events, |mut events| async move {
        events.recv().await.map(|event| (event, events))
    });
    Sse::new(deliver(stream::once(async { first }).chain(rest), delivery))
        .keep_alive(KeepAlive::new().interval(Duration::from_secs(10)))
        .into_response()
}

/// Counts what the connection takes over: that is what the client has.
fn deliver(
    events: impl Stream<Item = NodeEvent>,
    delivery: Arc<Delivery>,
) -> impl Stream<Item = Result<SseEvent, Infallible>> {
    events.filter_map(move |event| {
        match &event {
            NodeEvent::Token { position, .. } => {
                delivery
                    .tokens
                    .fetch_max(position.saturating_add(1), Ordering::AcqRel);
            }
            NodeEvent::Done { .. } => delivery.done.store(true, Ordering::Release),
            NodeEvent::Accepted { .. } | NodeEvent::Error { .. } => {}
        }
        let frame = SseEvent::default().json_data(&event).ok().map(Ok);
        std::future::ready(frame)
    })
}
