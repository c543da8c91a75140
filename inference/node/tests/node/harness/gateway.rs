//! A gateway that is played by the test.

use std::sync::{Arc, Mutex};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{OriginalUri, Path, State},
    http::{HeaderMap, Method, StatusCode},
    response::sse::{Event, Sse},
    routing::{get, put},
};
use futures::StreamExt;
use mythic_wire::{self as wire, Announcement, JobResult, PromptBody};
use solana_pubkey::Pubkey;
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

/// What the test's gateway was told.
#[derive(Default)]
pub struct Told {
    pub announced: Vec<(Pubkey, Announcement)>,
    pub results: Vec<(Pubkey, JobResult)>,
    pub prompts: std::collections::HashMap<String, PromptBody>,
    pub asked: Vec<Pubkey>,
    /// Who follows the feed, by signature, and what.
    pub following: Vec<(Pubkey, String)>,
}

pub struct Gateway {
    pub url: String,
    pub told: Arc<Mutex<Told>>,
    pub feed: broadcast::Sender<String>,
}

type Shared = (Arc<Mutex<Told>>, broadcast::Sender<String>);

async fn signed(
    method: Method,
    uri: &OriginalUri,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Pubkey, StatusCode> {
    let host = headers.get("host").and_then(|host| host.to_str().ok());
    let origin = wire::Origin::parse(&format!("http://{}", host.unwrap_or_default()));
    let receiver = wire::signed::Receiver::new(origin.map_err(|_| StatusCode::BAD_REQUEST)?);
    let path = uri.path_and_query().unwrap().as_str();
    let parts: Vec<&str> = uri.path().split('/').collect();
    let purpose = match parts[..] {
        ["", "v1", "prompts", hash] => format!("prompt:{hash}"),
        ["", "v1", "jobs", job, "result"] => format!("result:{job}"),
        ["", "v1", "stream"] => "stream".into(),
        _ => "announce".into(),
    };
    receiver
        .verify(method.as_str(), path, body, headers)
        .and_then(|signed| signed.by(&purpose))
        .map_err(|_| StatusCode::UNAUTHORIZED)
}

impl Gateway {
    pub async fn start() -> Self {
        let told = Arc::new(Mutex::new(Told::default()));
        let (feed, _) = broadcast::channel(64);
        let app = Router::new()
            .route(
                "/v1/nodes/{validator}",
                put(
                    async |State((told, _)): State<Shared>,
                           uri: OriginalUri,
                           headers: HeaderMap,
                           body: Bytes| {
                        let key = signed(Method::PUT, &uri, &headers, &body).await?;
                        let announcement =
                            serde_json::from_slice(&body).map_err(|_| StatusCode::BAD_REQUEST)?;
                        told.lock().unwrap().announced.push((key, announcement));
                        Ok::<_, StatusCode>(StatusCode::NO_CONTENT)
                    },
                ),
            )
            .route(
                "/v1/jobs/{id}/result",
                put(
                    async |State((told, _)): State<Shared>,
                           uri: OriginalUri,
                           headers: HeaderMap,
                           body: Bytes| {
                        let key = signed(Method::PUT, &uri, &headers, &body).await?;
                        let result =
                            serde_json::from_slice(&body).map_err(|_| StatusCode::BAD_REQUEST)?;
                        told.lock().unwrap().results.push((key, result));
                        Ok::<_, StatusCode>(StatusCode::NO_CONTENT)
                    },
                ),
            )
            .route(
                "/v1/prompts/{hash}",
                get(
                    async |State((told, _)): State<Shared>,
                           Path(hash): Path<String>,
                           uri: OriginalUri,
                           headers: HeaderMap| {
                        let key = signed(Method::GET, &uri, &headers, &[]).await?;
                        let mut told = told.lock().unwrap();
                        told.asked.push(key);
                        told.prompts
                            .get(&hash)
                            .cloned()
                            .map(Json)
                            .ok_or(StatusCode::NOT_FOUND)
                    },
                ),
            )
            .route(
                "/v1/stream",
                get(
                    async |State((told, feed)): State<Shared>,
                           uri: OriginalUri,
                           headers: HeaderMap| {
                        let key = signed(Method::GET, &uri, &headers, &[]).await?;
                        let topics = uri.query().unwrap_or_default().to_owned();
                        told.lock().unwrap().following.push((key, topics));
                        let events = BroadcastStream::new(feed.subscribe());
                        let events = events.filter_map(async |e| e.ok());
                        Ok::<_, StatusCode>(Sse::new(events.map(|data| {
                            Ok::<_, std::convert::Infallible>(Event::default().id("1").data(data))
                        })))
                    },
                ),
            )
            .with_state((told.clone(), feed.clone()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, told, feed }
    }
}
