//! The order to stop, step by step, and what balancers and people see of parts that fell silent.

use std::time::{Duration, Instant};

use mythic_api::GatewayConfig;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    harness::{MODEL, World, ask, eventually, within},
    validators::ANSWER,
};

/// How long a gateway of these tests stays up after the order, and how long requests may then take.
const UNREADY: u64 = 8;
const DRAIN: u64 = 8;

struct Gateway {
    url: String,
    stop: CancellationToken,
    served: tokio::task::JoinHandle<anyhow::Result<()>>,
}

async fn start(world: &World, change: impl FnOnce(&mut GatewayConfig)) -> Gateway {
    let mut config = world.config.clone();
    change(&mut config);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let served = tokio::spawn(mythic_api::serve(listener, config, stop.clone()));
    eventually("a gateway", async || {
        status(&url, "/readyz").await == Some(200)
    })
    .await;
    Gateway { url, stop, served }
}

/// On a connection of its own; `None` when none is taken.
async fn status(url: &str, path: &str) -> Option<u16> {
    let client = reqwest::Client::builder()
        .pool_max_idle_per_host(0)
        .build()
        .unwrap();
    let response = client.get(format!("{url}{path}")).send().await.ok()?;
    Some(response.status().as_u16())
}

async fn stream(url: &str, prompt: &str) -> reqwest::Response {
    let body = json!({"model": MODEL, "messages": [{"role": "user", "content": prompt}], "max_completion_tokens": 64, "temperature": 0, "stream": true});
    let request = reqwest::Client::new().post(format!("{url}/v1/chat/completions"));
    request.json(&body).send().await.unwrap()
}

#[test]
fn a_stop_is_told_to_balancers_first_then_requests_end_and_what_is_left_is_told() {
    within(|world| async move {
        let gateway = start(world, |config| {
            config.timing.unready_seconds = UNREADY;
            config.timing.drain_seconds = DRAIN;
        })
        .await;
        let url = gateway.url.clone();
        let short = stream(&url, "slow and at work when the order comes").await;
        let long = stream(&url, "drip longer than a stop takes").await;
        let ordered = Instant::now();
        gateway.stop.cancel();
        // At once not ready, and for a while everything is served as before.
        eventually("what balancers are told", async || {
            status(&url, "/readyz").await == Some(503)
        })
        .await;
        assert_eq!(status(&url, "/livez").await, Some(200));
        let (late, short) = tokio::join!(
            async {
                stream(&url, "came before balancers noticed")
                    .await
                    .text()
                    .await
                    .unwrap()
            },
            async { short.text().await.unwrap() }
        );
        for whole in [&late, &short] {
            assert!(whole.ends_with("data: [DONE]\n\n"), "{whole}");
        }
        assert!(
            ordered.elapsed() < Duration::from_secs(UNREADY + DRAIN),
            "these did not need the whole time"
        );
        eventually("the end of listening", async || {
            status(&url, "/livez").await.is_none()
        })
        .await;
        assert!(ordered.elapsed() >= Duration::from_secs(UNREADY));
        let cut = long.text().await.unwrap();
        let last = cut.trim_end().rsplit("data: ").next().unwrap();
        let last: Value = serde_json::from_str(last).unwrap_or_else(|_| panic!("{cut}"));
        assert_eq!(last["error"]["code"], "gateway_stopping", "{cut}");
        assert!(!cut.contains("[DONE]"));
        gateway.served.await.unwrap().unwrap();
        let took = ordered.elapsed();
        let least = Duration::from_secs(UNREADY + DRAIN);
        assert!(
            took >= least && took < least + Duration::from_secs(50),
            "{took:?}"
        );
    });
}

#[test]
fn without_requests_a_stop_takes_no_longer_than_it_is_told_to_balancers() {
    within(|world| async move {
        let gateway = start(world, |config| config.timing.drain_seconds = 60).await;
        let feed = reqwest::get(format!("{}/v1/stream", gateway.url))
            .await
            .unwrap();
        let ordered = Instant::now();
        gateway.stop.cancel();
        gateway.served.await.unwrap().unwrap();
        assert!(
            ordered.elapsed() < Duration::from_secs(40),
            "{:?}",
            ordered.elapsed()
        );
        assert!(feed.text().await.unwrap().contains("gateway_stopping"));
    });
}

#[test]
fn a_request_that_a_stop_cut_is_answered_under_its_key_by_another_gateway() {
    within(|world| async move {
        let gateway = start(world, |config| config.timing.drain_seconds = 1).await;
        let body = json!({"model": MODEL, "messages": [{"role": "user", "content": "slow, cut by a stop"}], "max_completion_tokens": 64, "temperature": 0});
        let ask = |url: &str| {
            let request = reqwest::Client::new().post(format!("{url}/v1/chat/completions"));
            request
                .header("idempotency-key", "cut-by-a-stop-01")
                .json(&body)
                .send()
        };
        let first = tokio::spawn(ask(&gateway.url));
        world
            .at_work("r.idempotency_key = 'cut-by-a-stop-01'")
            .await;
        gateway.stop.cancel();
        gateway.served.await.unwrap().unwrap();
        let first = first.await.unwrap().unwrap();
        assert_eq!(first.status(), 503);
        let first: Value = first.json().await.unwrap();
        assert_eq!(first["error"]["code"], "gateway_stopping", "{first}");
        eventually("the answer", async || {
            let answer = ask(&world.url).await.unwrap();
            let answer: Value = answer.json().await.unwrap();
            answer["choices"][0]["message"]["content"] == ANSWER
        })
        .await;
    });
}

#[test]
fn an_indexer_and_a_settler_that_fell_silent_are_seen() {
    within(|world| async move {
        let database = world.database().await;
        let sql = include_str!("../../../sql/settler/0001_reconciliation.sql");
        database.batch_execute(sql).await.unwrap();
        let compared = |ago: &str| {
            format!(
                "INSERT INTO settler.reconciliation (ok, context_slot, accounts, differing, confirmed, unbacked, inexact, stored_on_chain, stored_in_index, details, checked_at)
                 VALUES (true, 1, 1, 0, 0, 0, 0, '{{}}', '{{}}', '[]', now() - interval '{ago}')
                 ON CONFLICT (only_row) DO UPDATE SET checked_at = EXCLUDED.checked_at;
                 UPDATE pipeline.lease SET renewed_at = now() - interval '{ago}'"
            )
        };
        for (ago, state) in [("4 minutes", "stale"), ("1 minute", "ok")] {
            database.batch_execute(&compared(ago)).await.unwrap();
            // What was found is shown for a second.
            eventually("what health says", async || {
                let health = world.get("/health").await;
                let parts = &health["components"];
                let seconds = parts["settler"]["silent_seconds"].as_i64();
                let index = parts["index"]["state"].as_str().unwrap();
                parts["settler"]["state"] == state
                    && (index == "stale") == (state == "stale")
                    && seconds.is_some_and(|seconds| (seconds > 180) == (state == "stale"))
            })
            .await;
            assert_eq!(
                status(&world.url, "/readyz").await,
                Some(200),
                "requests are served all the same"
            );
        }
        database
            .batch_execute("DROP SCHEMA settler CASCADE")
            .await
            .unwrap();
    });
}

#[test]
fn what_an_indexer_and_a_settler_wait_for_is_seen_in_their_words() {
    within(|world| async move {
        let database = world.database().await;
        let says = |error: &str| {
            format!(
                "UPDATE pipeline.lease SET renewed_at = now();
                 SELECT pipeline.beat(process, false, '{error}') FROM unnest('{{indexer,settler}}'::text[]) process"
            )
        };
        let error = "database_full: database: no space left on device (53100)";
        database.batch_execute(&says(error)).await.unwrap();
        let metrics = async || {
            let metrics = reqwest::get(format!("{}/metrics", world.url)).await;
            metrics.unwrap().text().await.unwrap()
        };
        let line = |component: &str, state: &str| {
            format!(
                r#"mythic_gateway_component_state{{component="{component}",state="{state}"}} 1"#
            )
        };
        // What was found is shown for a second.
        eventually("what they wait for", async || {
            database.batch_execute(&says(error)).await.unwrap();
            let health = world.get("/health").await;
            let waits = |part: &Value| {
                part["state"] == "waiting"
                    && part["waits_for"] == error
                    && part["beat_seconds"].is_i64()
            };
            let parts = &health["components"];
            health["status"] == "degraded" && waits(&parts["index"]) && waits(&parts["settler"])
        })
        .await;
        let text = metrics().await;
        for component in ["index", "settler"] {
            assert!(text.contains(&line(component, "waiting")), "{text}");
            assert!(!text.contains(&line(component, "ok")), "{text}");
        }
        // Whoever gives no sign of life is stale, whatever it said last.
        let silent = "UPDATE pipeline.heartbeat SET beat_at = now() - interval '31 s'";
        database.batch_execute(silent).await.unwrap();
        eventually("that they are silent", async || {
            let health = world.get("/health").await;
            let state = |component: &str| health["components"][component]["state"].clone();
            state("index") == "stale" && state("settler") == "stale"
        })
        .await;
        database
            .batch_execute("DELETE FROM pipeline.heartbeat")
            .await
            .unwrap();
        eventually("that nothing is known of them", async || {
            let health = world.get("/health").await;
            let settler = &health["components"]["settler"];
            settler["state"] == "none" && settler["waits_for"].is_null()
        })
        .await;
    });
}

#[test]
fn a_clock_of_the_database_that_leaps_takes_no_request_from_a_gateway_that_lives() {
    within(|world| async move {
        let gateway = start(world, |config| config.timing.drain_seconds = DRAIN).await;
        // Two gateways watch each other for as long as one must be silent to be dead.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let database = world.database().await;
        let asked = stream(&gateway.url, "slow while the clock leaps").await;
        let job = asked.headers()["x-mythic-job-id"].to_str().unwrap();
        let request = "SELECT r.state, r.instance, (SELECT count(*) FROM gateway.attempt WHERE request_id = r.id)
            FROM gateway.request r JOIN gateway.attempt a ON a.request_id = r.id WHERE a.job = $1";
        let job = job.parse::<solana_pubkey::Pubkey>().unwrap();
        let shown = async || -> (String, String, i64) {
            let row = database.query_one(request, &[&job.as_ref()]).await.unwrap();
            (row.get(0), row.get(1), row.get(2))
        };
        let (_, instance, _) = shown().await;
        let answer = tokio::spawn(asked.text());
        for leap in ["-", "+", "-"] {
            let sql =
                format!("UPDATE gateway.instance SET beat_at = now() {leap} interval '1 day'");
            database.execute(&sql, &[]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        let answer = answer.await.unwrap().unwrap();
        assert!(answer.ends_with("data: [DONE]\n\n"), "{answer}");
        eventually("the end of the request", async || shown().await.0 == "done").await;
        // It was its own gateway that ended it, and one job was paid.
        assert_eq!(shown().await, ("done".into(), instance, 1));
        gateway.stop.cancel();
        gateway.served.await.unwrap().unwrap();
    });
}

#[test]
fn a_database_that_takes_no_writes_any_more_is_away() {
    within(|world| async move {
        // As a standby, which a failover may make of it.
        let app = world
            .other(|config| {
                config.database_url += " options='-c default_transaction_read_only=on'";
            })
            .await;
        let body = json!({"model": MODEL, "messages": [{"role": "user", "content": "who writes this down?"}]});
        let request = axum::http::Request::post("/v1/chat/completions");
        let (status, body) = ask(&app, request, body.to_string()).await;
        assert_eq!(
            (status, body["error"]["code"].as_str()),
            (503, Some("database_unavailable")),
            "{body}"
        );
        let request = axum::http::Request::get("/health");
        let (_, health) = ask(&app, request, String::new()).await;
        let database = &health["components"]["database"];
        assert_eq!(database["state"], "down", "{health}");
        assert!(database.to_string().contains("takes no writes"), "{health}");
    });
}

#[test]
fn the_database_ends_a_statement_that_takes_too_long() {
    within(|world| async move {
        let app = world.other(|_| {}).await;
        let client = app.pool.get().await.unwrap();
        let began = Instant::now();
        let error = client
            .simple_query("SELECT pg_sleep(60)")
            .await
            .unwrap_err();
        assert_eq!(error.code().map(|code| code.code()), Some("57014"));
        assert!(began.elapsed() < Duration::from_secs(50));
    });
}
