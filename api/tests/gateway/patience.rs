//! How long anybody is waited for, and what is looked after when nobody waits any more.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Router, body::Bytes, extract::State, response::IntoResponse};
use mythic_api::app::App;
use mythic_interface::window;
use serde_json::{Value, json};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;

use crate::{
    harness::{MODEL, SOL, World, ask, eventually, within},
    validators::ANSWER,
};

/// A chat for a gateway that is asked without a socket.
pub fn chat(prompt: &str) -> (axum::http::request::Builder, String) {
    let body = json!({"model": MODEL, "messages": [{"role": "user", "content": prompt}], "max_completion_tokens": 64, "temperature": 0});
    (
        axum::http::Request::post("/v1/chat/completions"),
        body.to_string(),
    )
}

#[test]
fn an_answer_that_drips_ends_with_its_jobs_deadline() {
    within(|world| async move {
        // 100 slots of 100 ms; each token comes well before the patience with the next one is over.
        let app = world.other(|config| config.deadline_slots = 100).await;
        // It learns how long slots take here.
        for prompt in ["learns", "learned"] {
            let (request, body) = chat(prompt);
            assert_eq!(ask(&app, request, body).await.0, 200);
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        let started = Instant::now();
        let (request, body) = chat("drip");
        let (status, body) = ask(&app, request, body).await;
        assert_eq!(
            (status, body["error"]["code"].as_str()),
            (502, Some("validator_failed")),
            "{body}"
        );
        let took = started.elapsed();
        assert!(
            took > Duration::from_secs(5) && took < Duration::from_secs(60),
            "{took:?}"
        );
    });
}

/// How often validators were noted to have come to this outcome.
async fn outcomes(app: &Arc<App>, outcome: &str) -> f64 {
    let text = String::from_utf8(app.metrics.text().unwrap()).unwrap();
    let wanted = format!("mythic_gateway_dispatches_total{{outcome=\"{outcome}\"");
    let lines = text.lines().filter(|line| line.starts_with(&wanted));
    lines
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

#[test]
fn who_leaves_after_waiting_long_for_a_first_token_was_let_down_by_the_validator() {
    within(|world| async move {
        let app = world
            .other(|config| config.timing.first_token_seconds = 30)
            .await;
        let asked = || {
            let jobs = world
                .validators
                .iter()
                .map(|v| v.jobs.load(Ordering::SeqCst));
            jobs.sum::<usize>()
        };
        for (wait, let_down) in [
            (Duration::from_millis(500), 0.0),
            (Duration::from_secs(8), 1.0),
        ] {
            let (request, body) = chat(&format!("freeze for {wait:?}"));
            let before = asked();
            let leaves = async {
                eventually("a validator that is asked", async || asked() > before).await;
                tokio::time::sleep(wait).await;
            };
            tokio::select! {
                answer = ask(&app, request, body) => panic!("left before the first token: {answer:?}"),
                () = leaves => {}
            }
            eventually("the end of the request", async || app.jobs.runs.is_empty()).await;
            assert_eq!(outcomes(&app, "client_let_down").await, let_down);
        }
        assert_eq!(outcomes(&app, "client_gone").await, 1.0);
    });
}

#[test]
fn thousands_of_jobs_that_never_end_do_not_hide_a_newer_one() {
    within(|world| async move {
        let database = world.database().await;
        let request = "never-ending";
        database
            .execute(
                "INSERT INTO gateway.request (id, key_id, body_hash, state, choices, model, logprobs) VALUES ($1, 'dev', '', 'failed', 1, 'm', false)",
                &[&request],
            )
            .await
            .unwrap();
        // Their nonces expire in the far future, and nothing is under their addresses: each look finds them as they were.
        let nonce = window::nonce(1 << 60, [7; 8]);
        let arguments = [0u8; std::mem::size_of::<mythic_interface::ix::RequestInference>()];
        database
            .execute(
                "INSERT INTO gateway.attempt (job, request_id, choice, attempt, nonce, owner, requester, model, prompt_hash, prompt_tokens,
                    max_output_tokens, price_in, price_out, ceiling_lamports, arguments, stop, client_paid, state, created_at, next_look, looks)
                 SELECT sha256(('never' || n)::bytea), $1, 0, n, $2, $3, $3, $3, $3, 1, 1, 1, 1, 1, $4, '{}', true, 'abandoned',
                        now() - interval '1 day', now() - interval '1 day', 1 FROM generate_series(1, 3000) n",
                &[&request, &nonce.as_slice(), &[9u8; 32].as_slice(), &arguments.as_slice()],
            )
            .await
            .unwrap();
        let left = world
            .chat("drip behind thousands", json!({"stream": true}))
            .send()
            .await
            .unwrap();
        let job = left.headers()["x-mythic-job-id"]
            .to_str()
            .unwrap()
            .to_owned();
        drop(left);
        eventually("the cancel", async || {
            world.job(&job).await.cancel_slot.get() > 0
        })
        .await;
        database
            .execute("DELETE FROM gateway.request WHERE id = $1", &[&request])
            .await
            .unwrap();
    });
}

#[test]
fn a_request_that_lost_its_run_is_ended_and_its_key_is_free_again() {
    within(|world| async move {
        let database = world.database().await;
        let instances = "SELECT id FROM gateway.instance ORDER BY beat_at DESC LIMIT 1";
        let living: String = database.query_one(instances, &[]).await.unwrap().get(0);
        for (id, instance) in [
            ("lost-of-the-living", living.as_str()),
            ("lost-of-the-dead", "nobody"),
        ] {
            database
                .execute(
                    "INSERT INTO gateway.request (id, key_id, idempotency_key, body_hash, state, choices, model, logprobs, instance, created_at)
                     VALUES ($1, 'dev', $1, '', 'running', 1, 'm', false, $2, now() - interval '1 minute')",
                    &[&id, &instance],
                )
                .await
                .unwrap();
            eventually("the end of the request", async || {
                let sql = "SELECT state, error->>'code' FROM gateway.request WHERE id = $1";
                let row = database.query_one(sql, &[&id]).await.unwrap();
                row.get::<_, &str>(0) == "failed"
                    && row.get::<_, Option<&str>>(1) == Some("interrupted")
            })
            .await;
        }
    });
}

/// Passes calls on to the chain and counts them.
async fn counted_rpc(world: &World) -> (String, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let state = (
        count.clone(),
        world.config.rpc_url.clone(),
        reqwest::Client::new(),
    );
    type Passed = (Arc<AtomicUsize>, String, reqwest::Client);
    async fn pass(State((count, url, client)): State<Passed>, body: Bytes) -> impl IntoResponse {
        count.fetch_add(1, Ordering::SeqCst);
        let sent = client
            .post(url)
            .header("content-type", "application/json")
            .body(body);
        let answer = sent.send().await.unwrap().bytes().await.unwrap();
        ([("content-type", "application/json")], answer)
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(pass).with_state(state);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, count)
}

/// An announcement of `validator` that `signer` signs.
async fn announced(app: &Arc<App>, validator: &Pubkey, signer: &Keypair) -> (u16, Value) {
    let body = json!({"validator": validator.to_string(), "endpoint": "http://127.0.0.1:1", "version": "0", "models": [], "max_concurrent": 1,
        "running": 0, "queued": 0, "queued_tokens": 0, "tokens_per_second": null, "draining": false})
    .to_string();
    let path = format!("/v1/nodes/{validator}");
    let origin = mythic_wire::Origin::parse(&app.config.public_url).unwrap();
    let signed = mythic_wire::signed::Request {
        origin: &origin,
        method: "PUT",
        path: &path,
        purpose: "announce",
        body: body.as_bytes(),
    };
    let request = axum::http::Request::put(&path);
    let headers = mythic_wire::signed::sign(&signed, signer);
    let request = headers
        .into_iter()
        .fold(request, |it, (name, value)| it.header(name, value));
    ask(app, request, body).await
}

#[test]
fn strangers_who_announce_cost_the_chain_little() {
    within(|world| async move {
        let (rpc, calls) = counted_rpc(world).await;
        let app = world.other(|config| config.rpc_url = rpc).await;
        let stranger = Keypair::new();
        let real = world.validators[0].authority;
        let (status, body) = announced(&app, &real, &stranger).await;
        assert_eq!(
            (status, body["error"]["code"].as_str()),
            (403, Some("not_the_operator")),
            "{body}"
        );
        let before = calls.load(Ordering::SeqCst);
        let began = Instant::now();
        // A wrong signer of a real validator, and validators that do not exist, each another one.
        for _ in 0..200 {
            assert_eq!(announced(&app, &real, &stranger).await.0, 403);
            assert_eq!(
                announced(&app, &Pubkey::new_unique(), &stranger).await.0,
                404
            );
        }
        // The list is read each 5 s (two calls), look-ups are 20 at once and 5 a second.
        let seconds = began.elapsed().as_secs() as usize + 1;
        let (most, made) = (
            20 + 5 * seconds + 2 * (seconds / 5 + 1),
            calls.load(Ordering::SeqCst) - before,
        );
        assert!(made <= most, "{made} calls in {seconds} s");
        let (status, body) = announced(&app, &real, &world.validators[0].operator).await;
        assert_eq!(status, 200, "the operator is heard beside them: {body}");
    });
}

#[test]
fn more_prompts_than_can_be_read_at_once_are_told_to_come_again() {
    within(|world| async move {
        let app = world.other(|_| {}).await;
        let mut turns = Vec::new();
        while let Ok(Ok(turn)) =
            tokio::time::timeout(Duration::from_millis(100), app.edge.turn()).await
        {
            turns.push(turn);
        }
        let response = {
            let body = json!({"model": MODEL, "prompt": "one too many"}).to_string();
            let request = axum::http::Request::post("/v1/estimate");
            ask(&app, request, body).await
        };
        assert_eq!(
            (response.0, response.1["error"]["code"].as_str()),
            (503, Some("gateway_busy"))
        );
        turns.pop();
        let body = json!({"model": MODEL, "prompt": "there is a place"}).to_string();
        assert_eq!(
            ask(&app, axum::http::Request::post("/v1/estimate"), body)
                .await
                .0,
            200
        );
    });
}

#[test]
fn a_list_of_answers_comes_packed_to_those_who_unpack_and_a_key_sees_its_rate() {
    within(|world| async move {
        let (_, key, _, _) = world.customer(SOL, SOL).await;
        let answer = world
            .chat("what is left", json!({}))
            .bearer_auth(&key)
            .send()
            .await
            .unwrap();
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        let most: u32 = header("x-ratelimit-limit-requests").parse().unwrap();
        let left: u32 = header("x-ratelimit-remaining-requests").parse().unwrap();
        assert_eq!(
            (most, left),
            (world.config.limits.requests_per_minute, most - 1)
        );
        assert!(header("x-ratelimit-reset-requests").ends_with('s'));
        assert!(header("openai-processing-ms").parse::<u64>().is_ok());
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body["choices"][0]["message"]["content"], ANSWER);
        let plain = reqwest::Client::builder().no_gzip().build().unwrap();
        let packed = plain
            .get(format!("{}/openapi.json", world.url))
            .header("accept-encoding", "gzip")
            .send()
            .await
            .unwrap();
        assert_eq!(packed.headers()["content-encoding"], "gzip");
        let bytes = packed.bytes().await.unwrap();
        let mut plain = String::new();
        std::io::Read::read_to_string(
            &mut flate2::read::GzDecoder::new(bytes.as_ref()),
            &mut plain,
        )
        .unwrap();
        assert!(serde_json::from_str::<Value>(&plain).unwrap()["paths"].is_object());
        // A stream is passed on as it comes, whatever its reader could unpack.
        let stream = world
            .chat("unpacked", json!({"stream": true}))
            .header("accept-encoding", "gzip")
            .send()
            .await
            .unwrap();
        assert!(!stream.headers().contains_key("content-encoding"));
        stream.text().await.unwrap();
    });
}

#[test]
fn a_listener_that_is_ahead_of_the_feed_is_told_to_read_anew() {
    within(|world| async move {
        let response = reqwest::get(format!("{}/v1/stream?after=9000000000", world.url))
            .await
            .unwrap();
        assert_eq!(response.status(), 410);
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["error"]["code"], "feed_expired");
        let message = body["error"]["message"].as_str().unwrap();
        assert!(
            message.contains("/v1/jobs"),
            "it says where the present state is: {message}"
        );
    });
}
