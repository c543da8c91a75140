//! The feed over server-sent events and over WebSocket.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::{
        FromRequestParts, State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket, rejection::WebSocketUpgradeRejection},
    },
    http::{HeaderMap, StatusCode, request::Parts},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::{Stream, StreamExt, stream};
use mythic_wire::signed::purpose;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    error::{ApiError, ApiResult, ErrorBody},
    feed::{
        filter::{FeedQuery, Filter},
        places::Follower,
        subscription::{Item, Subscription},
    },
    http::{Caller, Query, address::group, stopping, unsigned},
    store::feed::ShownEvent,
};

/// Pause between pings.
const PING: Duration = Duration::from_secs(15);
/// A WebSocket client that says nothing, not even pong, for this long is gone.
const SILENCE: Duration = Duration::from_secs(60);
/// A client that takes nothing for this long is gone.
const STUCK: Duration = Duration::from_secs(30);

fn cursor(query: &FeedQuery, headers: &HeaderMap) -> ApiResult<Option<i64>> {
    // A reconnecting EventSource sends where it was; that goes before the address it was made with.
    match headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok())
    {
        None => Ok(query.after),
        Some(text) => match text.trim().parse() {
            Ok(seq) if seq >= 0 => Ok(Some(seq)),
            _ => Err(ApiError::invalid(
                "Last-Event-ID",
                "Last-Event-ID must be the id of an event",
            )),
        },
    }
}

/// The feed as server-sent events: `id` is the event's number, `data` its JSON; missing ones are told by an event `gap`.
#[utoipa::path(get, path = "/v1/stream", operation_id = "follow_events", tag = "feed",
    params(("topics" = Option<String>, Query, description = "jobs, results, disputes, validators, settlements, leases, network; all if absent"),
           ("after" = Option<i64>, Query, description = "Everything after this number; also Last-Event-ID"), ("entity" = Option<String>, Query),
           ("job" = Option<String>, Query, description = "This job and its case"),
           ("validator" = Option<String>, Query), ("owner" = Option<String>, Query), ("model" = Option<String>, Query),
           ("lease" = Option<String>, Query, description = "This lease and the disputes about it"),
           ("request" = Option<String>, Query, description = "This request of capacity and its lease"),
           ("tenant" = Option<String>, Query), ("provider" = Option<String>, Query, description = "Its authority")),
    responses((status = 200, description = "`data` of each event", content_type = "text/event-stream", body = ShownEvent),
              (status = 401, description = "invalid_signature", body = ErrorBody), (status = 404, description = "model_not_found", body = ErrorBody),
              (status = 410, description = "feed_expired", body = ErrorBody), (status = 429, description = "too_many_subscribers", body = ErrorBody)))]
pub async fn sse(
    State(app): State<Arc<App>>,
    Subscriber(reader): Subscriber,
    Query(query): Query<FeedQuery>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let subscription = Subscription::begin(
        app.hub.clone(),
        app.pool.clone(),
        Filter::new(&query, &app.catalogue)?,
        cursor(&query, &headers)?,
        app.edge.feed.take(reader)?,
    )
    .await?;
    // At once, so that whoever connects to a quiet network sees that it is connected.
    let connected = stream::once(async { Ok(Event::default().comment("connected")) });
    let response = Sse::new(connected.chain(events(subscription, app.edge.life.closing.clone())))
        .keep_alive(KeepAlive::new().interval(PING).text("ping"))
        .into_response();
    Ok(unbuffered(response))
}

/// Tells reverse proxies to pass a stream on as it comes.
pub fn unbuffered(mut response: Response) -> Response {
    response.headers_mut().insert(
        "x-accel-buffering",
        axum::http::HeaderValue::from_static("no"),
    );
    response
}

fn events(
    subscription: Subscription,
    closing: CancellationToken,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let state = Some((subscription, closing));
    stream::unfold(state, |state| async move {
        let (mut subscription, closing) = state?;
        let item = tokio::select! {
            () = closing.cancelled() => {
                let last = Event::default().event("error").data(stopping().body().to_string());
                return Some((Ok(last), None));
            }
            item = subscription.next() => item?,
        };
        let event = match item {
            Item::Event(seq, value) => Event::default().id(seq.to_string()).data(value.to_string()),
            Item::Gap(from, to) => Event::default()
                .event("gap")
                .id(to.to_string())
                .data(json!({"gap": {"from": from, "to": to}}).to_string()),
            Item::End => return None,
        };
        Some((Ok(event), Some((subscription, closing))))
    })
}

/// Who reads: the operator that signed, if a validator registered it, else the address.
pub struct Subscriber(Follower);

impl FromRequestParts<Arc<App>> for Subscriber {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> ApiResult<Self> {
        let Caller(address) = Caller::from_request_parts(parts, app).await?;
        let address = Follower::Address(group(address));
        if !parts
            .headers
            .contains_key(mythic_wire::signed::HEADER_SIGNATURE)
        {
            return Ok(Self(address));
        }
        let path = parts
            .uri
            .path_and_query()
            .map_or_else(|| parts.uri.path().to_owned(), ToString::to_string);
        let operator = app
            .receiver
            .verify("GET", &path, b"", &parts.headers)
            .and_then(|signed| signed.by(purpose::STREAM))
            .map_err(unsigned)?
            .to_bytes();
        let (_, validators) = app.validators.registered().await?;
        Ok(Self(
            match validators.iter().any(|one| one.operator == operator) {
                true => Follower::Operator(operator),
                false => address,
            },
        ))
    }
}

/// The feed over WebSocket: one JSON text message per event, `{gap:{from,to}}` for missing ones.
#[utoipa::path(get, path = "/ws", operation_id = "follow_websocket", tag = "feed",
    params(("topics" = Option<String>, Query), ("after" = Option<i64>, Query), ("entity" = Option<String>, Query), ("job" = Option<String>, Query),
           ("validator" = Option<String>, Query), ("owner" = Option<String>, Query), ("model" = Option<String>, Query),
           ("lease" = Option<String>, Query, description = "This lease and the disputes about it"),
           ("request" = Option<String>, Query, description = "This request of capacity and its lease"),
           ("tenant" = Option<String>, Query), ("provider" = Option<String>, Query, description = "Its authority")),
    responses((status = 101, description = "WebSocket; each message is a FeedEvent"), (status = 401, description = "invalid_signature", body = ErrorBody),
              (status = 404, description = "model_not_found", body = ErrorBody), (status = 410, description = "feed_expired", body = ErrorBody),
              (status = 426, description = "websocket_expected", body = ErrorBody), (status = 429, description = "too_many_subscribers", body = ErrorBody)))]
pub async fn ws(
    State(app): State<Arc<App>>,
    Subscriber(reader): Subscriber,
    Query(query): Query<FeedQuery>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> ApiResult<Response> {
    let upgrade = upgrade.map_err(|error| {
        ApiError::new(
            StatusCode::UPGRADE_REQUIRED,
            "websocket_expected",
            format!("{error}; GET /v1/stream has the same feed without WebSocket"),
        )
    })?;
    let subscription = Subscription::begin(
        app.hub.clone(),
        app.pool.clone(),
        Filter::new(&query, &app.catalogue)?,
        cursor(&query, &headers)?,
        app.edge.feed.take(reader)?,
    )
    .await?;
    Ok(upgrade
        .max_message_size(4096)
        .on_upgrade(move |socket| async move { talk(app, socket, subscription).await }))
}

async fn talk(app: Arc<App>, mut socket: WebSocket, mut subscription: Subscription) {
    let mut ping = tokio::time::interval(PING);
    let mut heard = tokio::time::Instant::now();
    loop {
        let message = tokio::select! {
            () = app.edge.life.closing.cancelled() => Message::Close(Some(CloseFrame { code: 1001, reason: "gateway_stopping".into() })),
            item = subscription.next() => match item {
                Some(Item::Event(_, value)) => Message::text(value.to_string()),
                Some(Item::Gap(from, to)) => Message::text(json!({"gap": {"from": from, "to": to}}).to_string()),
                Some(Item::End) | None => Message::Close(Some(CloseFrame { code: 1013, reason: "the database is away; come again with after=".into() })),
            },
            incoming = socket.recv() => match incoming {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {
                    heard = tokio::time::Instant::now();
                    continue;
                }
            },
            _ = ping.tick() => {
                if heard.elapsed() > SILENCE {
                    return;
                }
                Message::Ping(Default::default())
            }
        };
        let closing = matches!(message, Message::Close(_));
        match tokio::time::timeout(STUCK, socket.send(message)).await {
            Ok(Ok(())) if !closing => {}
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_event_id_goes_before_the_address() {
        let mut headers = HeaderMap::new();
        let query = FeedQuery {
            after: Some(3),
            ..FeedQuery::default()
        };
        assert_eq!(cursor(&query, &headers), Ok(Some(3)));
        headers.insert("last-event-id", "9".parse().unwrap());
        assert_eq!(cursor(&query, &headers), Ok(Some(9)));
        headers.insert("last-event-id", "x".parse().unwrap());
        assert!(cursor(&query, &headers).is_err());
    }
}
