//! How a request that makes jobs comes in, and what every answer of one carries.

use std::{net::IpAddr, sync::Arc};

use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderValue},
    response::Response,
};
use mythic_client::Commitment;
use mythic_http::Trace;
use mythic_interface::state::SamplingProfile;
use sha2::{Digest, Sha256};
use solana_signer::Signer;

use super::{
    judges,
    openai::ChatRequest,
    plan::{self, Asking},
};
use crate::{
    app::App,
    chain::{errors::chain_error, own, pay},
    error::{ApiError, ApiResult},
    http::{Asker, stopping},
    jobs::{
        answer::{ChoiceAnswer, ChoiceEnd},
        enter::{self, Entered, Entry},
        run::{Reader, Rejoin, Run, Step},
        work::Payer,
    },
    store,
};

const REPLAYED: &str = "x-mythic-replayed";

fn idempotency_key(headers: &HeaderMap) -> ApiResult<Option<String>> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(text) if (1..=128).contains(&text.len()) => Ok(Some(text.to_owned())),
        _ => Err(ApiError::invalid(
            "Idempotency-Key",
            "Idempotency-Key must be 1 to 128 printable characters",
        )),
    }
}

/// How often an SDK says that it has sent this request before; `None` when no SDK speaks.
fn sdk_repeats(headers: &HeaderMap) -> Option<u32> {
    headers
        .get("x-stainless-retry-count")
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse().ok())
}

/// A request that makes jobs, as it came.
pub(super) struct Intake<'a> {
    pub app: &'a Arc<App>,
    pub headers: &'a HeaderMap,
    /// Where it comes from.
    pub address: IpAddr,
    /// Under what it is logged.
    pub trace: Trace,
    pub body: &'a Bytes,
    pub route: &'static str,
    /// It makes an open job.
    pub open: bool,
}

impl Intake<'_> {
    /// Finds out who pays and what it comes to, and enters it.
    pub async fn enter(self, request: ChatRequest) -> ApiResult<Entered> {
        let app = self.app;
        let idempotency_key = idempotency_key(self.headers)?;
        let (key_id, account, client) = match &request.payment {
            None => {
                let account = app.accounts.authenticate(self.headers).await?;
                (account.key_id.clone(), Some(account), None)
            }
            Some(payment) => {
                let client =
                    own::check_client_transaction(&payment.transaction, &app.chain.payer.pubkey())?;
                (format!("wallet:{}", client.requester), None, Some(client))
            }
        };
        let permit = app.limiter.take(&key_id, std::time::Instant::now())?;
        let id = uuid::Uuid::new_v4().simple().to_string();
        let salt = match &request.payment {
            Some(payment) => payment.salt,
            None => pay::prompt_salt(&app.chain, &id),
        };
        let by = match &account {
            Some(account) => Asker::Key(account.key_id.clone()),
            None => Asker::at(self.address),
        };
        let asking = Asking {
            request: &request,
            by: &by,
            salt,
        };
        let mut plan = plan::plan(&app.catalogue, &app.config, &app.edge, asking).await?;
        judges::require(app, &plan.model).await?;
        let payer = match (account, client) {
            (Some(account), _) => Payer::Key(account),
            (None, Some(client)) => {
                let slot = app
                    .chain
                    .client
                    .slot(Commitment::Processed)
                    .await
                    .map_err(chain_error)?;
                if client.arguments.sampling_profile == SamplingProfile::SeededTop4 as u8 {
                    plan.stay_among_four();
                }
                if let Err(error) =
                    own::matches_plan(&client, &plan, &app.chain.prompt_source, slot)
                {
                    // A repeat is answered as the first one was, though its nonce is over or a price changed meanwhile.
                    let is_taken = match &idempotency_key {
                        Some(key) => store::is_taken(&app.pool, &key_id, key).await?,
                        None => false,
                    };
                    if !is_taken {
                        return Err(error);
                    }
                }
                if client.validator.is_none() != self.open {
                    return Err(ApiError::invalid(
                        "mythic.transaction",
                        "mythic.transaction: a transaction that names a validator is answered at once; one without makes an open job, which POST /v1/inference?wait=false takes",
                    ));
                }
                let owner = own::client_owner(&app.chain, &client).await?;
                Payer::Client(Box::new(client), owner)
            }
            (None, None) => return Err(ApiError::unauthorized("no API key and no transaction")),
        };
        let mut hasher = Sha256::new();
        hasher.update(self.route.as_bytes());
        hasher.update([0]);
        hasher.update(self.body);
        let body_hash: [u8; 32] = hasher.finalize().into();
        let repeats = sdk_repeats(self.headers);
        let rejoin = match (&idempotency_key, repeats) {
            (Some(_), _) => Rejoin::Always,
            (None, Some(_)) if request.stream => Rejoin::BeforeContent,
            (None, Some(_)) => Rejoin::Always,
            (None, None) => Rejoin::Never,
        };
        let entry = Entry {
            id,
            key_id,
            idempotency_key,
            body_hash,
            repeated: repeats.is_some_and(|count| count > 0),
            rejoin,
            open: self.open,
            choices: request.n,
            top_logprobs: request.top_logprobs,
            trace: self.trace,
            plan,
            payer,
            permit,
        };
        enter::enter(&app.jobs, entry).await
    }
}

/// Adds what every answer of such a request carries.
pub(super) fn with_headers(
    app: &App,
    mut response: Response,
    run: &Run,
    job: Option<String>,
) -> Response {
    let headers = response.headers_mut();
    let (most, left) = app.limiter.standing(&run.head.key_id);
    // The bucket refills evenly: seconds until it is full again.
    let reset = u64::from(most - left.min(most)) * 60 / u64::from(most.max(1));
    for (name, value) in [
        ("x-ratelimit-limit-requests", most.to_string()),
        ("x-ratelimit-remaining-requests", left.to_string()),
        ("x-ratelimit-reset-requests", format!("{reset}s")),
    ] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    if let Some(value) = job.and_then(|job| HeaderValue::from_str(&job).ok()) {
        headers.insert("x-mythic-job-id", value);
    }
    if run.frame_replayed() {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

/// Waits for the whole answer, at most until a stop of the gateway has waited long enough.
pub(super) async fn whole(app: &App, reader: &mut Reader) -> ApiResult<Vec<ChoiceAnswer>> {
    let choices = reader.run().head.choices as usize;
    let mut pieces = vec![Vec::new(); choices];
    let mut ends: Vec<Option<ChoiceEnd>> = vec![None; choices];
    loop {
        let event = tokio::select! {
            biased;
            event = reader.next() => event,
            () = app.edge.life.cut.cancelled() => return Err(stopping()),
        };
        let Some(event) = event else { break };
        match event {
            Step::Piece(choice, piece) => {
                if let Some(list) = pieces.get_mut(choice as usize) {
                    list.push(piece.as_ref().clone());
                }
            }
            Step::End(choice, end) => {
                if let Some(place) = ends.get_mut(choice as usize) {
                    *place = Some(end);
                }
            }
            Step::Failed(error) => return Err(error),
            Step::Admitted { .. } | Step::Finished => {}
        }
    }
    pieces
        .into_iter()
        .zip(ends)
        .map(|(pieces, end)| {
            end.map(|end| ChoiceAnswer { pieces, end })
                .ok_or_else(|| ApiError::internal("a choice without an end"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idempotency_keys_are_1_to_128_characters() {
        let mut headers = HeaderMap::new();
        assert_eq!(idempotency_key(&headers), Ok(None));
        for (length, good) in [(0, false), (1, true), (128, true), (129, false)] {
            headers.insert("idempotency-key", "k".repeat(length).parse().unwrap());
            assert_eq!(idempotency_key(&headers).is_ok(), good, "{length}");
        }
    }
}
