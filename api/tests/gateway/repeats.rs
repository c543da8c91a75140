//! Requests that are sent again: paid once, and answered after whatever happened to the first.

use std::time::Duration;

use mythic_interface::state::JobStatus;
use serde_json::{Value, json};

use crate::{
    harness::{MODEL, SOL, error_of, eventually, within},
    validators::ANSWER,
};

#[test]
fn nobody_to_ask_is_503_with_retry_after_and_a_repeat_uses_the_same_job() {
    within(|world| async move {
        let key = "nobody-to-ask-000001";
        for _ in 0..2 {
            let response = world
                .chat("all:decline", json!({}))
                .header("idempotency-key", key)
                .send()
                .await
                .unwrap();
            assert!(response.headers().contains_key("retry-after"));
            error_of(response, 503, "no_validator").await;
        }
        let config: tokio_postgres::Config = world.database_url.parse().unwrap();
        let (database, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        let row = database
            .query_one(
                "SELECT count(*), min(cardinality(validators))::bigint FROM gateway.attempt a JOIN gateway.request r ON r.id = a.request_id
                  WHERE r.idempotency_key = $1",
                &[&key],
            )
            .await
            .unwrap();
        let (addresses, asked) = (row.get::<_, i64>(0), row.get::<_, i64>(1));
        assert_eq!(addresses, 1, "one job address");
        assert!(asked >= 4, "each validator asked at least twice: {asked}");
    });
}

#[test]
fn the_same_idempotency_key_pays_once_and_replays() {
    within(|world| async move {
        let (_, key, delegate, _) = world.customer(SOL, SOL).await;
        let ask = |prompt: &str| {
            world
                .chat(prompt, json!({}))
                .bearer_auth(&key)
                .header("idempotency-key", "0123456789abcdef")
        };
        let first: Value = ask("once").send().await.unwrap().json().await.unwrap();
        let again = ask("once").send().await.unwrap();
        assert_eq!(again.headers()["x-mythic-replayed"], "true");
        let again: Value = again.json().await.unwrap();
        assert_eq!(
            (again["id"].clone(), again["choices"].clone()),
            (first["id"].clone(), first["choices"].clone())
        );
        assert_eq!(again["mythic"]["replayed"], true);
        error_of(
            ask("other").send().await.unwrap(),
            422,
            "idempotency_key_reused",
        )
        .await;
        assert_eq!(world.jobs_of(&delegate).await, 1);
    });
}

#[test]
fn a_request_posted_three_times_after_dropped_connections_pays_once() {
    within(|world| async move {
        let (_, key, delegate, _) = world.customer(SOL, SOL).await;
        let ask = |count: &str| {
            world
                .chat("slow and dropped", json!({}))
                .bearer_auth(&key)
                .header("x-stainless-retry-count", count.to_owned())
        };
        let requester = hex::encode(delegate);
        let its = format!("a.requester = decode('{requester}', 'hex')");
        world.leave(ask("0"), &its).await;
        // However far it has come by the second time.
        let _ = tokio::time::timeout(Duration::from_millis(300), ask("1").send()).await;
        let body: Value = ask("2").send().await.unwrap().json().await.unwrap();
        assert_eq!(body["choices"][0]["message"]["content"], ANSWER);
        assert_eq!(world.jobs_of(&delegate).await, 1);
    });
}

#[test]
fn an_answer_that_was_kept_under_the_former_words_for_its_end_is_replayed() {
    within(|world| async move {
        let ask = || {
            let chat = world.chat("kept for long", json!({}));
            chat.header("idempotency-key", "former-words-0001")
        };
        let first: Value = ask().send().await.unwrap().json().await.unwrap();
        let former = "UPDATE gateway.request SET answer = jsonb_set(answer, '{choices,0,end,finish}', '\"stop\"') WHERE idempotency_key = $1";
        let database = world.database().await;
        assert_eq!(
            database
                .execute(former, &[&"former-words-0001"])
                .await
                .unwrap(),
            1
        );
        let sql = include_str!("../../../sql/gateway/0005_finish.sql");
        database.batch_execute(sql).await.unwrap();
        let again: Value = ask().send().await.unwrap().json().await.unwrap();
        assert_eq!(again["choices"], first["choices"]);
        assert_eq!(again["choices"][0]["finish_reason"], "stop");
    });
}

#[test]
fn a_second_request_under_a_running_key_waits_its_turn() {
    within(|world| async move {
        let ask = || {
            world
                .chat("slow, twice at once", json!({}))
                .header("idempotency-key", "running-key-0123456")
        };
        let (first, second) = tokio::join!(ask().send(), async {
            let first = "r.idempotency_key = 'running-key-0123456'";
            world.at_work(first).await;
            ask().send().await
        });
        let second = second.unwrap();
        assert!(second.headers().contains_key("retry-after"));
        error_of(second, 409, "request_in_progress").await;
        assert_eq!(first.unwrap().status(), 200);
    });
}

#[test]
fn a_gateway_that_is_killed_in_the_middle_gives_the_answer_after_its_restart() {
    within(|world| async move {
        let start = || async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            let stop = tokio_util::sync::CancellationToken::new();
            // A runtime of its own, so that ending it ends everything as a kill would.
            let (config, url_out) = (world.config.clone(), url.clone());
            let std_listener = listener.into_std().unwrap();
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap();
            runtime.spawn(async move {
                let listener = tokio::net::TcpListener::from_std(std_listener).unwrap();
                mythic_api::serve(listener, config, stop).await.unwrap();
            });
            eventually("a gateway", async || {
                reqwest::get(format!("{url}/v1/models"))
                    .await
                    .is_ok_and(|r| r.status().is_success())
            })
            .await;
            (runtime, url_out)
        };
        let body = json!({"model": MODEL, "messages": [{"role": "user", "content": "slow, and the gateway dies"}], "max_completion_tokens": 64, "temperature": 0});
        let ask = |url: String| {
            reqwest::Client::new()
                .post(format!("{url}/v1/chat/completions"))
                .header("idempotency-key", "killed-gateway-0001")
                .json(&body)
                .send()
        };
        let (runtime, url) = start().await;
        let at_work = world.at_work("r.idempotency_key = 'killed-gateway-0001'");
        tokio::select! {
            first = ask(url) => panic!("the gateway dies before it has answered: {first:?}"),
            () = at_work => {}
        }
        runtime.shutdown_background();
        let (runtime, url) = start().await;
        let answer = std::sync::Mutex::new(Value::Null);
        eventually("the answer", async || {
            let response = ask(url.clone()).await.unwrap();
            let ready = response.status() == 200;
            if !ready {
                assert_eq!(response.status(), 409);
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
            *answer.lock().unwrap() = response.json().await.unwrap();
            ready
        })
        .await;
        let answer = answer.into_inner().unwrap();
        assert_eq!(answer["choices"][0]["message"]["content"], ANSWER);
        assert_eq!(answer["mythic"]["replayed"], true);
        let job = world.job(answer["mythic"]["job"].as_str().unwrap()).await;
        assert_eq!(
            (job.status(), job.cancel_slot.get()),
            (Some(JobStatus::Submitted), 0)
        );
        runtime.shutdown_background();
    });
}
