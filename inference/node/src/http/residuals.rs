//! `GET /v1/jobs/:id/residuals` and `/:layer`: for who audits a result layer by layer, first the hashes of what all layers gave, then the
//! rows that it draws. Nothing is computed for it: what is not kept any more is refused.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{ConnectInfo, OriginalUri, Path, State},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use futures::stream;
use mythic_chat::problem;
use mythic_engine::residuals::Residuals;
use mythic_wire::ResidualDigests;
use solana_pubkey::Pubkey;

use super::evidence::{forbidden, load, may_check, no_address, unsigned};
use crate::{node::Node, seams::Shown};

/// Who asks: where from, for which path, and how it is signed.
type Asks = (ConnectInfo<SocketAddr>, OriginalUri, HeaderMap);

pub(super) async fn digests(
    State(node): State<Arc<Node>>,
    Path(id): Path<String>,
    from: ConnectInfo<SocketAddr>,
    uri: OriginalUri,
    headers: HeaderMap,
) -> Response {
    let kept = match kept(&node, &id, (from, uri, headers)).await {
        Ok(kept) => kept,
        Err(response) => return *response,
    };
    let Ok(_place) = node.rows_sent.clone().try_acquire_owned() else {
        return busy();
    };
    let hashed = tokio::task::spawn_blocking(move || {
        let layers = kept.digests().iter().map(hex::encode).collect();
        ResidualDigests {
            positions: u32::try_from(kept.positions()).unwrap_or(u32::MAX),
            width: u32::try_from(kept.shape().width).unwrap_or(u32::MAX),
            layers,
        }
    });
    match hashed.await {
        Ok(digests) => Json(digests).into_response(),
        Err(error) => problem(500, "server_error", "residuals", error.to_string()),
    }
}

pub(super) async fn rows(
    State(node): State<Arc<Node>>,
    Path((id, layer)): Path<(String, String)>,
    from: ConnectInfo<SocketAddr>,
    uri: OriginalUri,
    headers: HeaderMap,
) -> Response {
    let kept = match kept(&node, &id, (from, uri, headers)).await {
        Ok(kept) => kept,
        Err(response) => return *response,
    };
    let layers = kept.shape().layers;
    let Some(layer) = layer.parse::<usize>().ok().filter(|layer| *layer < layers) else {
        return no_residuals(&id);
    };
    let Ok(place) = node.rows_sent.clone().try_acquire_owned() else {
        return busy();
    };
    // A page at a time, so that a slow reader costs no memory but its place.
    let pages = stream::unfold((kept, place, 0), move |(kept, place, page)| {
        let rows = kept.page_rows(layer, page);
        let next = rows.map(|rows| {
            let bytes = Ok::<Bytes, std::io::Error>(Bytes::from(rows));
            (bytes, (kept, place, page + 1))
        });
        std::future::ready(next)
    });
    let headers = [(header::CONTENT_TYPE, "application/octet-stream")];
    (headers, Body::from_stream(pages)).into_response()
}

/// The rows of a job's answer, for a validator that may check it.
async fn kept(
    node: &Node,
    id: &str,
    (ConnectInfo(peer), OriginalUri(uri), headers): Asks,
) -> Result<Arc<Residuals>, Box<Response>> {
    let job = id.parse::<Pubkey>();
    let job = job.map_err(|_| Box::new(no_address(id)))?;
    let path = uri
        .path_and_query()
        .map_or_else(|| uri.path(), |path| path.as_str());
    let signed = node.receiver.verify("GET", path, &[], &headers);
    let signed = signed.map_err(|error| Box::new(unsigned(error)))?;
    let Some(check) = signed.check().filter(|(named, _, _)| *named == job) else {
        return Err(forbidden(
            "residual rows are for validators that check the job".into(),
        ));
    };
    let none = || Box::new(no_residuals(id));
    if node.config.residual_bytes == 0 || node.disclosure.shown() != Shown::Everything {
        return Err(none());
    }
    let state = may_check(node, check, peer.ip(), &node.rows).await?;
    let model = Pubkey::new_from_array(state.terms.model);
    let engine = node.model(&model).and_then(|model| model.backend.engine());
    let engine = engine.ok_or_else(none)?;
    let saved = load(node, job).await.ok().flatten().ok_or_else(none)?;
    let (prompt, output) = (&saved.evidence.prompt_ids, &saved.evidence.output_ids);
    engine.residuals(prompt, output).ok_or_else(none)
}

fn busy() -> Response {
    problem(
        503,
        "server_error",
        "busy",
        "others are sent rows now; ask again in a while".to_owned(),
    )
}

fn no_residuals(id: &str) -> Response {
    problem(
        404,
        "invalid_request_error",
        "no_residuals",
        format!("no such residual rows of job {id} are kept here"),
    )
}
