//! Validators that claim, stall, flood or are full, clients that leave, gateways that share a database: who pays, and for what.

use std::{sync::atomic::Ordering, time::Duration};

use mythic_interface::state::{Job, JobStatus};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    harness::{SOL, World, ask, eventually, within},
    patience::chat,
    validators::ANSWER,
};

async fn answered(world: &World, prompt: &str) -> Value {
    let response = world.chat(prompt, json!({})).send().await.unwrap();
    let status = response.status();
    let body: Value = response.json().await.unwrap();
    assert_eq!(status, 200, "{prompt}: {body}");
    assert_eq!(body["choices"][0]["message"]["content"], ANSWER, "{prompt}");
    body
}

/// Waits until both validators answer again: what misbehaved was left out for a while.
async fn mended(world: &World) {
    for validator in &world.validators {
        let before = validator.jobs.load(Ordering::SeqCst);
        eventually("a validator's return", async || {
            let response = world.chat("mended?", json!({})).send().await.unwrap();
            response.status() == 200 && validator.jobs.load(Ordering::SeqCst) > before
        })
        .await;
    }
}

async fn state_of(world: &World, job: &str) -> String {
    let job: solana_pubkey::Pubkey = job.parse().unwrap();
    world
        .database()
        .await
        .query_one(
            "SELECT state FROM gateway.attempt WHERE job = $1",
            &[&job.as_ref()],
        )
        .await
        .unwrap()
        .get(0)
}

#[test]
fn an_answer_without_a_job_on_chain_is_not_handed_out() {
    within(|world| async move {
        let response = world
            .chat("all:claim", json!({"stream": true}))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 503);
        let body = response.text().await.unwrap();
        assert!(!body.contains("claimed"), "{body}");
        answered(world, "first:claim").await;
        mended(world).await;
    });
}

#[test]
fn a_validator_is_told_under_what_a_request_is_logged() {
    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let told = async |world: &World, headers: [(&str, &str); 2]| {
        let mut request = world.chat("traced", json!({}));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        let id = response.headers()["x-request-id"]
            .to_str()
            .unwrap()
            .to_owned();
        let job = response.headers()["x-mythic-job-id"]
            .to_str()
            .unwrap()
            .to_owned();
        let told = world
            .validators
            .iter()
            .find_map(|v| v.traces.lock().unwrap().remove(&job));
        let [request, parent] = told.expect("one of them was asked");
        assert_eq!(request.as_deref(), Some(id.as_str()));
        (id, parent)
    };
    within(|world| async move {
        let (id, parent) = told(world, [("x-request-id", "mine-1"), ("traceparent", PARENT)]).await;
        assert_eq!((id.as_str(), parent.as_deref()), ("mine-1", Some(PARENT)));
        // What is neither an id nor a trace goes no further.
        let long = format!("{PARENT}-{}", "0".repeat(4_096));
        let (id, parent) = told(world, [("x-request-id", "a b"), ("traceparent", &long)]).await;
        assert!(
            id.starts_with("req_") && parent.is_none(),
            "{id} {parent:?}"
        );
    });
}

#[test]
fn a_validator_that_accepts_twice_or_floods_is_left_for_another() {
    within(|world| async move {
        for prompt in ["first:twice", "first:noise"] {
            answered(world, prompt).await;
        }
        mended(world).await;
    });
}

#[test]
fn an_answer_is_done_when_the_chain_has_its_result_for_good() {
    within(|world| async move {
        let body = answered(world, "kept and final").await;
        assert!(body["mythic"]["unconfirmed"].is_null());
        let job = body["mythic"]["job"].as_str().unwrap().to_owned();
        eventually("the final result", async || {
            state_of(world, &job).await == "done"
        })
        .await;
    });
}

#[test]
fn an_answer_whose_result_does_not_come_says_so_and_its_job_tells_the_truth() {
    within(|world| async move {
        let body = answered(world, "unsubmitted").await;
        assert_eq!(body["mythic"]["unconfirmed"], true, "{body}");
        let job = body["mythic"]["job"].as_str().unwrap().to_owned();
        assert_eq!(state_of(world, &job).await, "unconfirmed");
        let shown = world.get(&format!("/v1/jobs/{job}")).await;
        assert_eq!(shown["status"], "unconfirmed");
        mended(world).await;
    });
}

#[test]
fn an_answer_that_is_on_chain_is_fetched_and_not_bought_again() {
    within(|world| async move {
        for prompt in ["freeze", "stall"] {
            let (_, key, delegate, _) = world.customer(SOL, SOL).await;
            let response = world
                .chat(prompt, json!({}))
                .bearer_auth(&key)
                .send()
                .await
                .unwrap();
            let body: Value = response.json().await.unwrap();
            assert_eq!(
                body["choices"][0]["message"]["content"], ANSWER,
                "{prompt}: {body}"
            );
            assert_eq!(world.jobs_of(&delegate).await, 1, "{prompt}");
        }
        mended(world).await;
    });
}

#[test]
fn more_requests_than_places_wait_their_turn_and_all_are_answered() {
    within(|world| async move {
        let asked: Vec<usize> = world
            .validators
            .iter()
            .map(|v| v.jobs.load(Ordering::SeqCst))
            .collect();
        // However long their turns take.
        let app = world.other(|config| config.timing.queue_seconds = 60).await;
        let all = (0..20).map(|n| {
            let (request, body) = chat(&format!("crowd {n}"));
            ask(&app, request, body)
        });
        for (status, body) in futures::future::join_all(all).await {
            assert_eq!(status, 200, "{body}");
            assert_eq!(body["choices"][0]["message"]["content"], ANSWER);
        }
        for (validator, before) in world.validators.iter().zip(asked) {
            let share = validator.jobs.load(Ordering::SeqCst) - before;
            assert!(share >= 5, "each has its share: {share} of 20");
        }
    });
}

#[test]
fn one_after_the_other_equals_share() {
    within(|world| async move {
        let asked: Vec<usize> = world
            .validators
            .iter()
            .map(|v| v.jobs.load(Ordering::SeqCst))
            .collect();
        for n in 0..8 {
            answered(world, &format!("share {n}")).await;
        }
        for (validator, before) in world.validators.iter().zip(asked) {
            let share = validator.jobs.load(Ordering::SeqCst) - before;
            assert!(share >= 3, "{share} of 8");
        }
    });
}

#[test]
fn a_plain_client_that_leaves_cancels_its_job_and_one_with_a_key_may_come_back() {
    within(|world| async move {
        let (_, key, delegate, _) = world.customer(SOL, SOL).await;
        let ask = || {
            world
                .chat("slow and left alone", json!({}))
                .bearer_auth(&key)
        };
        let requester = hex::encode(delegate);
        let its = format!("a.requester = decode('{requester}', 'hex')");
        world.leave(ask(), &its).await;
        eventually("the cancel", async || {
            let jobs = world
                .chain
                .program_accounts::<Job>(&[], mythic_client::Commitment::Processed)
                .await
                .unwrap();
            jobs.iter().any(|(_, job)| {
                job.terms.requester == delegate.to_bytes()
                    && (job.cancel_slot.get() > 0 || job.status() == Some(JobStatus::Refunded))
            })
        })
        .await;
        let keyed = || ask().header("idempotency-key", "comes-back-0123456");
        let its = "r.idempotency_key = 'comes-back-0123456'";
        world.leave(keyed(), its).await;
        eventually("the answer under the key", async || {
            keyed().send().await.unwrap().status() == 200
        })
        .await;
        assert_eq!(world.jobs_of(&delegate).await, 2);
    });
}

#[test]
fn whoever_leaves_at_any_moment_no_request_stays_under_way() {
    within(|world| async move {
        let database = world.database().await;
        let leavers = (0..60u64).map(|n| async move {
            let ask = world
                .chat("left early", json!({}))
                .header("idempotency-key", format!("early-leaver-{n:06}"));
            let _ = tokio::time::timeout(Duration::from_millis(n), ask.send()).await;
        });
        futures::future::join_all(leavers).await;
        eventually("every request's end", async || {
            let row = database
                .query_one(
                    "SELECT count(*) FROM gateway.request WHERE state = 'running' AND idempotency_key LIKE 'early-leaver-%'",
                    &[],
                )
                .await
                .unwrap();
            row.get::<_, i64>(0) == 0
        })
        .await;
    });
}

#[test]
fn two_gateways_on_one_database_leave_each_others_requests_alone() {
    within(|world| async move {
        let key = "two-gateways-0123456";
        let first = tokio::spawn(
            world
                .chat("slow between two gateways", json!({}))
                .header("idempotency-key", key)
                .send(),
        );
        let its = format!("r.idempotency_key = '{key}'");
        world.at_work(&its).await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let other = tokio::spawn(mythic_api::serve(
            listener,
            world.config.clone(),
            stop.clone(),
        ));
        eventually("the second gateway", async || {
            reqwest::get(format!("{url}/v1/models"))
                .await
                .is_ok_and(|response| response.status().is_success())
        })
        .await;
        let body: Value = first.await.unwrap().unwrap().json().await.unwrap();
        assert_eq!(body["choices"][0]["message"]["content"], ANSWER, "{body}");
        // The other one replays it.
        let request = json!({"model": "tiny", "messages": [{"role": "user", "content": "slow between two gateways"}], "max_completion_tokens": 64, "temperature": 0});
        let again = reqwest::Client::new()
            .post(format!("{url}/v1/chat/completions"))
            .header("idempotency-key", key)
            .json(&request)
            .send()
            .await
            .unwrap();
        assert_eq!(again.headers()["x-mythic-replayed"], "true");
        stop.cancel();
        other.await.unwrap().unwrap();
    });
}
