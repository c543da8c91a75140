//! `GET /v1/jobs/:id/evidence`: the proof of a result, which holds the prompt, for those who may see it.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Instant,
};

use axum::{
    Json,
    extract::{ConnectInfo, OriginalUri, Path, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use mythic_chat::problem;
use mythic_interface::state::Job;
use mythic_wire::{
    access,
    allowance::Allowance,
    signed::{AuthError, purpose},
};
use solana_pubkey::Pubkey;
use solana_signer::Signer;

use crate::{keep::store::Saved, node::Node, seams::Shown, verify::validators::Unread};

pub(super) async fn evidence(
    State(node): State<Arc<Node>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Path(id): Path<String>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Response {
    let Ok(job) = id.parse::<Pubkey>() else {
        return no_address(&id);
    };
    let path = uri
        .path_and_query()
        .map_or_else(|| uri.path(), |p| p.as_str());
    let signed = match node.receiver.verify("GET", path, &[], &headers) {
        Ok(signed) => signed,
        Err(error) => return unsigned(error),
    };
    // A check names its validator; all others ask for a job of their own.
    let check = signed.check().filter(|(named, _, _)| *named == job);
    let reader = match &check {
        Some(_) => None,
        None => match signed.by(&purpose::evidence(&job)) {
            Ok(key) => Some(key),
            Err(error) => return unsigned(error),
        },
    };
    let shown = node.disclosure.shown();
    if shown == Shown::Nothing {
        return no_evidence(&id);
    }
    let mut saved = match load(&node, job).await {
        Ok(Some(saved)) => saved,
        Ok(None) => return no_evidence(&id),
        Err(reason) => return problem(500, "server_error", "evidence_unreadable", reason),
    };
    let refused = match (check, reader) {
        (Some(check), _) => may_check(&node, check, peer.ip(), &node.checks)
            .await
            .map(drop),
        (None, Some(key)) => may_read(&node, &saved, &key),
        (None, None) => Err(forbidden("nobody asks".into())),
    };
    match refused {
        Ok(()) => {
            let own = saved.evidence.submitter == node.keys.authority.to_bytes();
            if own && shown == Shown::Prompt {
                saved.evidence.leaves.clear();
            }
            Json(saved.evidence).into_response()
        }
        Err(response) => *response,
    }
}

pub(super) fn no_address(id: &str) -> Response {
    problem(
        400,
        "invalid_request_error",
        "invalid_job",
        format!("{id:?} is not a job's address"),
    )
}

pub(super) fn unsigned(error: AuthError) -> Response {
    problem(401, "authentication_error", "unsigned", error.to_string())
}

pub(super) async fn load(node: &Node, job: Pubkey) -> Result<Option<Saved>, String> {
    let (store, others) = (node.store.clone(), node.others.clone());
    tokio::task::spawn_blocking(move || match store.load(&job) {
        Ok(None) => others.load(&job),
        found => found,
    })
    .await
    .map_err(|error| error.to_string())?
    .map_err(|error| error.to_string())
}

pub(super) fn forbidden(message: String) -> Box<Response> {
    Box::new(problem(403, "permission_error", "not_entitled", message))
}

fn too_many(message: &str) -> Box<Response> {
    Box::new(problem(429, "rate_limit_error", "too_many_checks", message))
}

/// Whether a key is one of the job's own people, or this node's.
fn may_read(node: &Node, saved: &Saved, key: &Pubkey) -> Result<(), Box<Response>> {
    let ours = *key == node.keys.operator.pubkey() || *key == node.keys.authority;
    match ours || saved.readers.contains(&key.to_string()) {
        true => Ok(()),
        false => Err(forbidden(format!(
            "{key} is neither the job's owner, requester nor canceller; a validator signs for a check"
        ))),
    }
}

/// Whether a validator may check the job's result now, which is given back; counts it in `allowance`.
pub(super) async fn may_check(
    node: &Node,
    (job, validator, signer): (Pubkey, Pubkey, Pubkey),
    address: IpAddr,
    allowance: &Allowance<[u8; 32]>,
) -> Result<Job, Box<Response>> {
    let unavailable = |error: mythic_client::ClientError| {
        Box::new(problem(
            503,
            "server_error",
            "chain_unavailable",
            error.to_string(),
        ))
    };
    let found = node
        .validators
        .get(&node.chain, &validator, address, Instant::now())
        .await
        .map_err(|unread| match unread {
            Unread::Chain(error) => unavailable(error),
            Unread::TooMany => too_many(
                "your address has named too many that are no validators; ask again in a while",
            ),
        })?;
    let Some(found) = found else {
        return Err(forbidden(format!("{validator} is no registered validator")));
    };
    if signer.to_bytes() != found.authority && signer.to_bytes() != found.operator {
        return Err(forbidden(access::Denied::NotTheValidator.to_string()));
    }
    if !allowance.take(&found.authority, Instant::now()) {
        return Err(too_many(
            "this validator has opened too many checks here; ask again in a while",
        ));
    }
    let state = node.chain.account::<Job>(&job).await.map_err(unavailable)?;
    let Some((_, state)) = state else {
        return Err(forbidden(access::Denied::NotDisputable.to_string()));
    };
    match access::may_check(&state, &found, &signer.to_bytes(), node.slot()) {
        Ok(()) => Ok(state),
        Err(denied) => Err(forbidden(denied.to_string())),
    }
}

fn no_evidence(id: &str) -> Response {
    problem(
        404,
        "invalid_request_error",
        "no_evidence",
        format!("no evidence of job {id} is kept here"),
    )
}
