//! Subscriptions over WebSocket: one connection.

mod subscription;
mod subscriptions;
mod told;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::ws::{Message, WebSocket};
use axum::extract::{State, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::Semaphore;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::call;
use crate::node::{Node, Notice};
use subscriptions::Subscriptions;

const MAX_MESSAGE: usize = 64 * 1024;
const MAX_CONNECTIONS: usize = 1_024;
/// How long a message may take to be taken by a reader.
const SEND: Duration = Duration::from_secs(10);
/// How often a reader is pinged, and the silence after which it is taken for gone.
const PING: Duration = Duration::from_secs(20);
const SILENCE: Duration = Duration::from_secs(60);

#[derive(Clone)]
struct Shared {
    node: Arc<Node>,
    stop: CancellationToken,
    places: Arc<Semaphore>,
}

pub fn router(node: Arc<Node>, stop: CancellationToken) -> Router {
    Router::new().route("/", get(upgrade)).with_state(Shared {
        node,
        stop,
        places: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
    })
}

async fn upgrade(State(shared): State<Shared>, upgrade: WebSocketUpgrade) -> Response {
    let Ok(place) = shared.places.clone().try_acquire_owned() else {
        let text = format!("{MAX_CONNECTIONS} connections are open; close some");
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    };
    upgrade
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE)
        .on_upgrade(move |socket| async move {
            shared.node.metrics.connections.inc();
            let connection = Connection {
                socket,
                subscriptions: Subscriptions::new(&shared.node),
                node: shared.node.clone(),
                stop: shared.stop,
            };
            connection.serve().await;
            shared.node.metrics.connections.dec();
            drop(place);
        })
}

struct Connection {
    socket: WebSocket,
    subscriptions: Subscriptions,
    node: Arc<Node>,
    stop: CancellationToken,
}

/// The connection has ended.
struct Gone;

impl Connection {
    async fn serve(mut self) {
        if self.follow().await.is_ok() {
            let close = self.socket.send(Message::Close(None));
            let _ = tokio::time::timeout(Duration::from_secs(1), close).await;
        }
    }

    /// Answers and notifies until the connection ends (`Err`) or is to be closed (`Ok`).
    async fn follow(&mut self) -> Result<(), Gone> {
        let mut notices = self.node.subscribe();
        let mut ping = tokio::time::interval_at(tokio::time::Instant::now() + PING, PING);
        ping.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return Ok(()),
                _ = ping.tick() => {
                    if heard.elapsed() > SILENCE {
                        tracing::debug!("a subscriber is silent and is disconnected");
                        return Ok(());
                    }
                    self.send(Message::Ping(Default::default())).await?;
                }
                received = self.socket.recv() => {
                    heard = Instant::now();
                    match received {
                        Some(Ok(Message::Text(text))) => self.answer(text.as_bytes()).await?,
                        Some(Ok(Message::Binary(bytes))) => self.answer(&bytes).await?,
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                        Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(Gone),
                    }
                }
                notice = notices.recv() => match notice {
                    Ok(notice) => self.notify(&notice).await?,
                    Err(RecvError::Lagged(missed)) => {
                        tracing::warn!(missed, "a subscriber was too slow and is disconnected");
                        return Ok(());
                    }
                    Err(RecvError::Closed) => return Ok(()),
                },
            }
        }
    }

    async fn answer(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        let subscriptions = &mut self.subscriptions;
        let mut new = Vec::new();
        let answer = call::answer(bytes, &self.node.metrics, |method, params| {
            subscriptions.call(method, params, &mut new)
        });
        let Some(answer) = answer else {
            return Ok(());
        };
        self.send(Message::Text(answer.into())).await?;
        for number in new {
            if let Some(wait) = self.subscriptions.waits_for(number) {
                // The chain may be busy: its lock is not waited for here.
                let node = self.node.clone();
                let found = tokio::task::spawn_blocking(move || wait.look(&node)).await;
                if let Ok(Some(found)) = found {
                    let text = self.subscriptions.found(number, found);
                    self.send(Message::Text(text.into())).await?;
                }
            }
        }
        Ok(())
    }

    /// Tells each subscription in turn, so that the memory of one message is held at a time.
    async fn notify(&mut self, notice: &Notice) -> Result<(), Gone> {
        for number in self.subscriptions.numbers() {
            for due in self.subscriptions.due(number, notice) {
                let text = due.text(&self.node).await;
                self.send(Message::Text(text.into())).await?;
            }
        }
        Ok(())
    }

    /// Sends, unless the reader stalls or the chain stops.
    async fn send(&mut self, message: Message) -> Result<(), Gone> {
        tokio::select! {
            () = self.stop.cancelled() => Err(Gone),
            sent = tokio::time::timeout(SEND, self.socket.send(message)) => match sent {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(Gone),
                Err(_) => {
                    tracing::warn!("a subscriber does not read and is disconnected");
                    Err(Gone)
                }
            },
        }
    }
}
