//! What the gateway shows of the network: models, prices, jobs, validators, alarms.

use mythic_interface::state::ModelSpec;
use serde_json::{Value, json};
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use tokio_postgres::Client;

use crate::harness::{World, ask, insert, spec, within};

#[test]
fn an_announcement_is_the_operators_alone() {
    within(|world| async move {
        let one = &world.validators[0];
        let path = format!("/v1/nodes/{}", one.authority);
        let body = json!({
            "validator": one.authority.to_string(), "endpoint": "http://127.0.0.1:1", "version": "1", "models": [], "running": 0, "queued": 0,
            "queued_tokens": 0, "max_concurrent": 1, "tokens_per_second": null, "draining": false,
        });
        let refused = world
            .signed(
                reqwest::Method::PUT,
                &path,
                body.to_string().as_bytes(),
                &world.validators[1].operator,
            )
            .await;
        assert_eq!(refused["error"]["code"], "not_the_operator");
        let refused = world
            .signed(reqwest::Method::PUT, &path, b"{}", &one.operator)
            .await;
        assert_eq!(refused["error"]["code"], "invalid_json");
    });
}

#[test]
fn models_and_estimates_give_prices_and_the_network_is_shown() {
    within(|world| async move {
        let models = world.get("/v1/models").await;
        let model = &models["data"][0];
        assert!(model["id"].as_str().unwrap().starts_with("tiny@"));
        assert_eq!(
            (
                model["price_out_lamports_per_1k"].as_u64(),
                model["validators"].as_u64(),
                model["address"].as_str()
            ),
            (
                Some(50_000),
                Some(2),
                Some(world.model.to_string().as_str())
            )
        );
        let one = world
            .get(&format!("/v1/models/{}", model["id"].as_str().unwrap()))
            .await;
        assert_eq!(one["identity"], model["identity"]);
        let network = world.get("/v1/network").await;
        assert_eq!(
            (
                network["jobs"].is_u64(),
                network["capacity_tokens_per_second"].is_null()
            ),
            (true, true)
        );
        for path in [
            "/v1/jobs",
            "/v1/validators",
            "/v1/cases",
            "/v1/stats/daily",
            "/v1/stats/burns",
            "/v1/stats/settlements",
            "/v1/stats/slashes",
            "/v1/stats/fingerprints",
            "/v1/stats/burned",
            "/v1/stats/market",
            "/v1/providers",
            "/v1/classes",
            "/v1/requests",
            "/v1/leases",
        ] {
            let list = world.get(path).await;
            assert_eq!(
                (list["object"].as_str(), list["has_more"].is_boolean()),
                (Some("list"), true),
                "{path}: {list}"
            );
        }
        let health = world.get("/health").await;
        assert_eq!(health["components"]["chain"]["state"], "ok", "{health}");
        assert!(world.dev.pubkey() != Pubkey::default());
    });
}

#[test]
fn health_names_the_open_alarms_by_kind_until_they_are_cleared() {
    within(|world| async move {
        let database = world.database().await;
        for (kind, detail, itself) in [
            ("root_conflict", "first", false),
            ("root_conflict", "second", false),
            ("gap", "slots 5 to 6 were not seen", true),
        ] {
            let raise = mythic_indexer::alarms::RAISE;
            // Finality is far from there: the indexer leaves them alone.
            let (slot, count, banks) = (1i64 << 40, 1i64, Vec::<i64>::new());
            database
                .execute(
                    raise,
                    &[&kind, &slot, &slot, &count, &banks, &itself, &detail],
                )
                .await
                .unwrap();
        }
        let mut health = world.get("/health").await;
        // What is shown may be a moment old.
        for _ in 0..100 {
            if health["components"]["alarms"]["state"] == "raised" {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            health = world.get("/health").await;
        }
        let alarms = &health["components"]["alarms"];
        assert_eq!(
            (health["status"].as_str(), alarms["state"].as_str()),
            (Some("degraded"), Some("raised")),
            "{health}"
        );
        let kinds = alarms["kinds"].as_array().unwrap();
        let of = |kind: &str| kinds.iter().find(|k| k["kind"] == kind).unwrap();
        assert_eq!(
            (
                of("root_conflict")["open"].as_i64(),
                &of("root_conflict")["newest"]
            ),
            (Some(2), &json!("second"))
        );
        assert!(of("gap")["since"].is_string());
        assert_eq!(
            (
                &of("gap")["clears_itself"],
                &of("root_conflict")["clears_itself"]
            ),
            (&json!(true), &json!(false))
        );
        let all = mythic_indexer::alarms::Which::All;
        mythic_indexer::alarms::clear(&world.database_url, &all, "seen")
            .await
            .unwrap();
        // What was found is shown for a second.
        crate::harness::eventually("calm", async || {
            let health = world.get("/health").await;
            health["components"]["alarms"] == json!({"state": "ok", "kinds": []})
        })
        .await;
    });
}

/// Three settled jobs of one owner, as the index writes them; the second was made by options.
async fn index_jobs(world: &World, database: &Client, projection: &str) {
    let hex = |byte: u8| format!("\\x{}", hex::encode([byte; 32]));
    for (id, slot) in [(1u8, 10), (2, 10), (3, 9)] {
        let row = json!({
            "bank": 0, "slot": slot + 5, "ordinal": 0, "write_seq": 3, "exact": true, "pubkey": hex(id), "requested_slot": slot,
            "owner": hex(77), "requester": hex(77), "canceller": hex(0), "nonce": "\\x00112233445566778899aabbccddeeff",
            "model": format!("\\x{}", hex::encode(world.model.to_bytes())), "validator": hex(5), "rent_payer": hex(6), "status": 5, "end_reason": 1,
            "finish_reason": 1, "prompt_hash": hex(8), "prompt_tokens": 12, "max_output_tokens": 64, "output_tokens": 34, "price_in": 25_000,
            "price_out": 50_000, "seed": hex(9), "temperature_milli": 0, "sampling_profile": if id == 2 { 2 } else { 1 }, "prompt_source": "http://g", "terms_hash": hex(10),
            "deadline_slot": 900, "window_slots": 100, "accepted_slot": slot, "submitted_slot": slot + 1, "ended_slot": slot + 5,
            "window_end_slot": slot + 4, "open_disputes": 0, "output_root": hex(11), "fingerprint": hex(12), "ceiling_lamports": 3500,
            "fee_lamports": 2000, "validator_lamports": 1000, "foundation_lamports": 200, "burned_lamports": 800, "refunded_lamports": 1500,
            "lamports": 1,
        });
        insert(database, projection, "job", &row).await;
    }
}

#[test]
fn what_a_model_cost_is_listed_by_the_blocks_that_wrote_it() {
    within(|world| async move {
        let database = world.database().await;
        let projection: String = database
            .query_one("SELECT projection FROM pipeline.lease", &[])
            .await
            .unwrap()
            .get(0);
        let model = Pubkey::new_from_array([88; 32]);
        for (slot, price) in [(7, 20_000), (9, 25_000), (12, 30_000)] {
            let row = json!({
                "bank": 0, "slot": slot, "ordinal": 0, "exact": true, "pubkey": format!("\\x{}", hex::encode(model.to_bytes())),
                "price_in": price, "price_out": 2 * price, "retired": false,
            });
            insert(&database, &projection, "model_price", &row).await;
        }
        let path = format!("/v1/models/{model}/prices?limit=2");
        let page = world.get(&path).await;
        let shown: Vec<_> = page["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|price| {
                (
                    price["slot"].as_i64(),
                    price["price_out_lamports_per_1k"].as_i64(),
                )
            })
            .collect();
        assert_eq!(
            shown,
            [(Some(12), Some(60_000)), (Some(9), Some(50_000))],
            "{page}"
        );
        assert_eq!(page["has_more"], true);
        let rest = world.get(&format!("{path}&after=9")).await;
        assert_eq!(
            (&rest["data"][0]["slot"], &rest["has_more"]),
            (&json!(7), &json!(false))
        );
        // By its id, where this gateway serves it; without a price so far.
        let models = world.get("/v1/models").await;
        let id = models["data"][0]["id"].as_str().unwrap();
        let own = world.get(&format!("/v1/models/{id}/prices")).await;
        assert_eq!(own["object"], "list", "{own}");
        let unknown = world.get("/v1/models/nobody/prices").await;
        assert_eq!(unknown["error"]["code"], "model_not_found");
    });
}

#[test]
fn indexed_jobs_are_listed_filtered_and_paged() {
    within(|world| async move {
        let database = world.database().await;
        let projection: String = database
            .query_one("SELECT projection FROM pipeline.lease", &[])
            .await
            .unwrap()
            .get(0);
        let owner = Pubkey::new_from_array([77; 32]);
        index_jobs(world, &database, &projection).await;
        let id = |byte: u8| Pubkey::new_from_array([byte; 32]).to_string();
        let mut seen = Vec::new();
        let mut after = String::new();
        loop {
            let page = world
                .get(&format!("/v1/jobs?limit=2&owner={owner}{after}"))
                .await;
            let data = page["data"]
                .as_array()
                .unwrap_or_else(|| panic!("{page}"))
                .clone();
            seen.extend(
                data.iter()
                    .map(|job| job["id"].as_str().unwrap().to_owned()),
            );
            if page["has_more"] == false {
                break;
            }
            after = format!("&after={}", seen.last().unwrap());
        }
        assert_eq!(seen, [id(1), id(2), id(3)]);
        for (query, count) in [
            ("status=settled", 3),
            ("status=open", 0),
            ("model=tiny", 3),
            ("commitment=finalized", 3),
        ] {
            let page = world.get(&format!("/v1/jobs?owner={owner}&{query}")).await;
            assert_eq!(page["data"].as_array().unwrap().len(), count, "{query}");
        }
        let job = world.get(&format!("/v1/jobs/{}", id(1))).await;
        assert_eq!(
            (
                job["object"].as_str(),
                job["status"].as_str(),
                job["commitment"].as_str()
            ),
            (Some("job"), Some("settled"), Some("finalized"))
        );
        assert!(job["model"].as_str().unwrap().starts_with("tiny@"));
        assert!(job["dispute"].is_null() && job["slashed_lamports"].is_null());
        let steps: Vec<&str> = job["transitions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|step| step["status"].as_str().unwrap())
            .collect();
        assert_eq!(steps, ["open", "accepted", "submitted", "settled"]);
        let receipt = world.get(&format!("/v1/jobs/{}/receipt", id(1))).await;
        assert_eq!(
            receipt["split"],
            json!({"validator_lamports": 1000, "foundation_lamports": 200, "burned_lamports": 800})
        );
        // Whether anybody can replay the answer.
        assert_eq!(job["sampling_profile"], 1);
        let other = world.get(&format!("/v1/jobs/{}/receipt", id(2))).await;
        assert_eq!(
            (&receipt["sampling_profile"], &other["sampling_profile"]),
            (&json!(1), &json!(2))
        );
        let burns = world.get("/v1/stats/burns?limit=2").await;
        assert_eq!(
            (
                burns["data"].as_array().unwrap().len(),
                burns["has_more"].as_bool()
            ),
            (2, Some(true))
        );
        let rest = world
            .get(&format!(
                "/v1/stats/burns?limit=2&after={}",
                burns["data"][1]["cursor"].as_str().unwrap()
            ))
            .await;
        assert_eq!(rest["data"].as_array().unwrap().len(), 1);
        let by_id = world.get("/v1/stats/settlements?limit=1").await;
        assert!(by_id["data"][0]["job_key"].is_null() && by_id["data"][0]["job"].is_string());
        database
            .execute(
                &format!("DELETE FROM {projection}.job WHERE owner = $1"),
                &[&owner.as_ref()],
            )
            .await
            .unwrap();
    });
}

#[test]
fn a_request_without_a_model_is_for_the_only_one() {
    within(|world| async move {
        let models = world.get("/v1/models").await;
        assert_eq!(models["data"].as_array().unwrap().len(), 1, "{models}");
        let only = &models["data"][0];
        assert_eq!(only["is_default"], true, "{models}");
        let app = world.other(|_| {}).await;
        let post =
            |path: &str, body: Value| ask(&app, axum::http::Request::post(path), body.to_string());
        let messages = json!([{"role": "user", "content": "hi"}]);
        for body in [
            json!({"prompt": "hi"}),
            json!({"messages": messages, "model": null}),
        ] {
            let (status, estimate) = post("/v1/estimate", body).await;
            assert_eq!(
                (status, &estimate["model"]),
                (200, &only["id"]),
                "{estimate}"
            );
        }
        let chat = world.chat("for the only model", json!({"model": null}));
        let answer: Value = chat.send().await.unwrap().json().await.unwrap();
        assert_eq!(answer["model"], only["id"], "{answer}");
    });
}

#[test]
fn a_model_without_a_template_takes_prompts_and_no_messages() {
    within(|world| async move {
        let spec = ModelSpec {
            weights_hash: [9; 32],
            ..spec()
        };
        let bare = world.other_model("bare", spec, None).await;
        let app = world.other(|config| config.models.push(bare)).await;
        let post =
            |path: &str, body: Value| ask(&app, axum::http::Request::post(path), body.to_string());
        let (status, body) =
            post("/v1/estimate", json!({"model": "bare", "prompt": "a text"})).await;
        assert_eq!(
            (status, body["prompt_tokens"].as_u64()),
            (200, Some(6)),
            "the text itself: {body}"
        );
        // Of two models neither is meant by a request that names none.
        let (status, body) = post("/v1/estimate", json!({"prompt": "a text"})).await;
        assert_eq!(
            (status, body["error"]["param"].as_str()),
            (400, Some("model")),
            "{body}"
        );
        let (_, models) = ask(&app, axum::http::Request::get("/v1/models"), String::new()).await;
        let defaults = models["data"].as_array().unwrap();
        assert!(
            defaults.len() == 2 && defaults.iter().all(|model| model["is_default"] == false),
            "{models}"
        );
        let messages =
            json!({"model": "bare", "messages": [{"role": "user", "content": "a text"}]});
        for path in ["/v1/estimate", "/v1/chat/completions"] {
            let (status, body) = post(path, messages.clone()).await;
            let error = &body["error"];
            assert_eq!(
                (status, error["param"].as_str()),
                (400, Some("messages")),
                "{body}"
            );
            assert!(
                error["message"].as_str().unwrap().contains("template"),
                "{body}"
            );
        }
        let (status, body) = post(
            "/v1/inference",
            json!({"model": "bare", "prompt": "a text"}),
        )
        .await;
        assert_eq!(
            (status, body["error"]["code"].as_str()),
            (503, Some("no_validator")),
            "nobody serves it: {body}"
        );
    });
}
