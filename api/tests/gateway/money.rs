//! Requests that cost: paid once, answered by whoever can, refused in time.

use std::time::Duration;

use futures::StreamExt;
use mythic_client::{Commitment, ix, pda};
use mythic_interface::{
    hash::{prompt_hash, stop_hash},
    ix::RequestInference,
    le::{Text, U16, U32},
    state::{Job, JobStatus, Vault},
    window,
};
use mythic_wire::{Finish, JobResult, PromptBody};
use serde_json::{Value, json};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

use crate::{
    harness::{MODEL, SOL, World, eventually, within},
    validators::ANSWER,
};

async fn events(response: reqwest::Response) -> Vec<Value> {
    assert_eq!(response.status(), 200, "{:?}", response.headers());
    let text = response.text().await.unwrap();
    text.split("\n\n")
        .filter_map(|event| event.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap_or(Value::from(data)))
        .collect()
}

fn text_of(events: &[Value]) -> String {
    events
        .iter()
        .filter_map(|event| event["choices"][0]["delta"]["content"].as_str())
        .collect()
}

fn wrapped(price_out_tokens: u64, prompt: u64) -> u64 {
    (prompt * 25_000 + price_out_tokens * 50_000).div_ceil(1_000)
}

async fn error_of(response: reqwest::Response, status: u16, code: &str) -> Value {
    assert_eq!(response.status().as_u16(), status);
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["error"]["code"], code, "{body}");
    body["error"].clone()
}

async fn cancelled(world: &World, id: &str) {
    eventually("the cancel", async || {
        let job = world.job(id).await;
        job.cancel_slot.get() > 0 || job.status() == Some(JobStatus::Refunded)
    })
    .await;
}

#[test]
fn a_streamed_chat_is_answered_fingerprinted_and_paid() {
    within(|world| async move {
        let response = world
            .chat(
                "stream it",
                json!({"stream": true, "stream_options": {"include_usage": true}}),
            )
            .send()
            .await
            .unwrap();
        let header = response.headers()["x-mythic-job-id"]
            .to_str()
            .unwrap()
            .to_owned();
        let events = events(response).await;
        assert_eq!(events.last().unwrap(), "[DONE]");
        assert_eq!(text_of(&events), ANSWER);
        let id = events[0]["id"].as_str().unwrap();
        assert_eq!(id, format!("chatcmpl-{header}"));
        let closing = &events[events.len() - 3];
        assert_eq!(
            (
                closing["choices"][0]["finish_reason"].as_str(),
                closing["mythic"]["job"].as_str()
            ),
            (Some("stop"), Some(header.as_str()))
        );
        let usage = &events[events.len() - 2];
        assert_eq!(usage["choices"], json!([]));
        let (input, output) = (
            usage["usage"]["prompt_tokens"].as_u64().unwrap(),
            usage["usage"]["completion_tokens"].as_u64().unwrap(),
        );
        assert_eq!(output, ANSWER.len() as u64 + 1);
        assert_eq!(closing["mythic"]["cost_lamports"], wrapped(output, input));
        let job = world.job(&header).await;
        assert_eq!(job.status(), Some(JobStatus::Submitted));
        assert_eq!(u64::from(job.output_tokens.get()), output);
        assert_eq!(
            Pubkey::new_from_array(job.validator).to_string(),
            closing["mythic"]["validator"].as_str().unwrap()
        );
        // No index follows this chain: what the gateway knows is pending, and the key that paid sees the output.
        let shown = world.get(&format!("/v1/jobs/{header}")).await;
        assert_eq!(
            (shown["status"].as_str(), shown["output"].as_str()),
            (Some("pending"), Some(ANSWER))
        );
        assert!(shown["fee_lamports"].is_null());
        let evidence = world.get(&format!("/v1/jobs/{header}/evidence")).await;
        assert_eq!(evidence["fingerprint"], hex::encode(job.fingerprint));
    });
}

#[test]
fn several_choices_are_several_jobs_with_logprobs() {
    within(|world| async move {
        let response = world
            .chat(
                "twice",
                json!({"n": 2, "logprobs": true, "top_logprobs": 2}),
            )
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["choices"].as_array().unwrap().len(), 2);
        assert_eq!(body["choices"][1]["message"]["content"], ANSWER);
        let entries = body["choices"][0]["logprobs"]["content"]
            .as_array()
            .unwrap();
        assert_eq!(entries.len(), ANSWER.len());
        // The puppet's best logit is 100, its sum over the vocabulary e^101.
        assert_eq!(entries[0]["logprob"], -1.0);
        assert_eq!(
            (
                entries[0]["token"].as_str(),
                entries[0]["top_logprobs"].as_array().unwrap().len()
            ),
            (Some("H"), 2)
        );
        let jobs = body["mythic"]["jobs"].as_array().unwrap();
        assert_ne!(jobs[0]["job"], jobs[1]["job"]);
        assert_eq!(
            body["mythic"]["cost_lamports"].as_u64().unwrap(),
            jobs.iter()
                .map(|job| job["cost_lamports"].as_u64().unwrap())
                .sum::<u64>()
        );
    });
}

#[test]
fn stop_strings_and_limits_end_an_answer() {
    within(|world| async move {
        let body: Value = world
            .chat("until stop", json!({"stop": "STOP"}))
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        assert_eq!(
            body["choices"][0]["message"]["content"],
            "Hello, said the node. "
        );
        assert_eq!(body["choices"][0]["finish_reason"], "stop");
        let body: Value = world
            .chat("short", json!({"max_completion_tokens": 5}))
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        assert_eq!(
            (
                body["choices"][0]["message"]["content"].as_str(),
                body["choices"][0]["finish_reason"].as_str()
            ),
            (Some("Hello"), Some("length"))
        );
    });
}

#[test]
fn a_declining_or_failing_validator_is_passed_over_under_the_same_job() {
    within(|world| async move {
        for prompt in ["first:decline please", "first:silent please"] {
            let body: Value = world
                .chat(prompt, json!({}))
                .send()
                .await
                .unwrap()
                .json()
                .await
                .unwrap();
            assert_eq!(body["choices"][0]["message"]["content"], ANSWER, "{body}");
            let receipt = world
                .get(&format!(
                    "/v1/jobs/{}/receipt",
                    body["mythic"]["job"].as_str().unwrap()
                ))
                .await;
            let attempts = receipt["attempts"].as_array().unwrap();
            assert_eq!(
                attempts.len(),
                1,
                "nothing had landed, so the nonce is the same"
            );
            assert_eq!(attempts[0]["asked"].as_array().unwrap().len(), 2);
        }
    });
}

#[test]
fn a_validator_that_dies_before_its_first_token_is_left_and_its_job_cancelled() {
    within(|world| async move {
        let response = world
            .chat("first:die please", json!({"stream": true}))
            .send()
            .await
            .unwrap();
        let events = events(response).await;
        assert_eq!(text_of(&events), ANSWER);
        let job = events[0]["id"]
            .as_str()
            .unwrap()
            .strip_prefix("chatcmpl-")
            .unwrap()
            .to_owned();
        let receipt = world.get(&format!("/v1/jobs/{job}/receipt")).await;
        let attempts = receipt["attempts"].as_array().unwrap();
        assert_eq!(attempts.len(), 2, "{receipt}");
        assert_eq!(attempts[1]["job"], job);
        cancelled(world, attempts[0]["job"].as_str().unwrap()).await;
    });
}

#[test]
fn after_the_first_content_a_failure_is_an_error_in_the_stream() {
    within(|world| async move {
        for prompt in ["break off", "lie to me"] {
            let events = events(
                world
                    .chat(prompt, json!({"stream": true}))
                    .send()
                    .await
                    .unwrap(),
            )
            .await;
            let error = &events.last().unwrap()["error"];
            assert_eq!(error["code"], "validator_failed", "{events:?}");
            assert!(error["job_id"].is_string());
            if prompt == "break off" {
                assert_eq!(text_of(&events), &ANSWER[..5]);
                cancelled(world, error["job_id"].as_str().unwrap()).await;
            }
        }
    });
}

#[test]
fn a_client_that_leaves_in_the_middle_cancels_its_job() {
    within(|world| async move {
        let response = world
            .chat("slow one, gone", json!({"stream": true}))
            .send()
            .await
            .unwrap();
        let job = response.headers()["x-mythic-job-id"]
            .to_str()
            .unwrap()
            .to_owned();
        let mut stream = response.bytes_stream();
        for _ in 0..3 {
            stream.next().await.unwrap().unwrap();
        }
        drop(stream);
        cancelled(world, &job).await;
    });
}

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
fn what_does_not_fit_and_what_is_unknown_is_refused() {
    within(|world| async move {
        error_of(
            world
                .chat("x", json!({"max_completion_tokens": 4000}))
                .send()
                .await
                .unwrap(),
            400,
            "context_length_exceeded",
        )
        .await;
        error_of(
            world
                .chat(&"long ".repeat(1000), json!({}))
                .send()
                .await
                .unwrap(),
            400,
            "context_length_exceeded",
        )
        .await;
        error_of(
            world
                .chat("x", json!({"model": "gpt-5"}))
                .send()
                .await
                .unwrap(),
            404,
            "model_not_found",
        )
        .await;
    });
}

#[test]
fn an_api_key_pays_from_its_wallets_vault_within_its_grant() {
    within(|world| async move {
        let (wallet, key, delegate, id) = world.customer(SOL, 10_000).await;
        let ask = |tokens: u32| {
            world
                .chat("from my vault", json!({"max_completion_tokens": tokens}))
                .bearer_auth(&key)
                .send()
        };
        error_of(ask(500).await.unwrap(), 402, "spend_limit_exceeded").await;
        let body: Value = ask(64).await.unwrap().json().await.unwrap();
        let job = world.job(body["mythic"]["job"].as_str().unwrap()).await;
        assert_eq!(
            (job.terms.owner, job.terms.requester),
            (wallet.pubkey().to_bytes(), delegate.to_bytes())
        );
        let (_, vault) = world
            .chain
            .account::<Vault>(&pda::vault(wallet.pubkey()))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(vault.balance.get() + job.ceiling.get(), SOL);
        assert_eq!(job.rent_payer, world.gateway_key.to_bytes());
        // Another key sees the job, not its output.
        let path = format!("/v1/jobs/{}", body["mythic"]["job"].as_str().unwrap());
        assert!(world.get(&path).await["output"].is_null());
        let list = world
            .signed(reqwest::Method::GET, "/v1/keys", b"", &wallet)
            .await;
        assert_eq!(list["data"][0]["id"], id);
        assert!(list["data"][0]["key"].is_null());
        let gone = world
            .signed(
                reqwest::Method::DELETE,
                &format!("/v1/keys/{id}"),
                b"",
                &wallet,
            )
            .await;
        assert_eq!(gone["deleted"], true);
    });
}

#[test]
fn an_empty_vault_or_a_missing_grant_is_402() {
    within(|world| async move {
        let (_, key, _, _) = world.customer(0, SOL).await;
        error_of(
            world
                .chat("x", json!({}))
                .bearer_auth(&key)
                .send()
                .await
                .unwrap(),
            402,
            "insufficient_funds",
        )
        .await;
        let (_, key, _, _) = world.customer(SOL, 0).await;
        error_of(
            world
                .chat("x", json!({}))
                .bearer_auth(&key)
                .send()
                .await
                .unwrap(),
            402,
            "grant_not_usable",
        )
        .await;
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
        for count in ["0", "1"] {
            let dropped = tokio::time::timeout(Duration::from_millis(600), ask(count).send()).await;
            assert!(
                dropped.is_err(),
                "the connection is dropped before the answer"
            );
        }
        let body: Value = ask("2").send().await.unwrap().json().await.unwrap();
        assert_eq!(body["choices"][0]["message"]["content"], ANSWER);
        assert_eq!(world.jobs_of(&delegate).await, 1);
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
            tokio::time::sleep(Duration::from_millis(500)).await;
            ask().send().await
        });
        let second = second.unwrap();
        assert!(second.headers().contains_key("retry-after"));
        error_of(second, 409, "request_in_progress").await;
        assert_eq!(first.unwrap().status(), 200);
    });
}

#[test]
fn an_open_job_is_worked_by_whoever_accepts_it() {
    within(|world| async move {
        let client = reqwest::Client::new();
        let body =
            json!({"model": MODEL, "prompt": "open one", "max_tokens": 40, "temperature": 0});
        let ask = || {
            client
                .post(format!("{}/v1/inference?wait=false", world.url))
                .header("idempotency-key", "open-job-key-000001")
                .json(&body)
                .send()
        };
        let response = ask().await.unwrap();
        assert_eq!(response.status(), 202);
        let shown: Value = response.json().await.unwrap();
        let id = shown["id"].as_str().unwrap().to_owned();
        assert_eq!(shown["status"], "pending");
        let again: Value = ask().await.unwrap().json().await.unwrap();
        assert_eq!(again["id"], id);
        let address: Pubkey = id.parse().unwrap();
        eventually("the open job", async || {
            world
                .chain
                .account::<Job>(&address)
                .await
                .unwrap()
                .is_some()
        })
        .await;
        let job = world.job(&id).await;
        let (worker, other) = (&world.validators[0], &world.validators[1]);
        let accept = ix::accept_inference(
            worker.operator.pubkey(),
            worker.authority,
            address,
            job.terms_hash,
        );
        crate::harness::send(&world.chain, &[accept], &[&worker.operator]).await;
        let path = format!("/v1/prompts/{}", hex::encode(job.terms.prompt_hash));
        let refused = world
            .signed(reqwest::Method::GET, &path, b"", &other.operator)
            .await;
        assert_eq!(refused["error"]["code"], "not_the_operator");
        let prompt: PromptBody = serde_json::from_value(
            world
                .signed(reqwest::Method::GET, &path, b"", &worker.operator)
                .await,
        )
        .unwrap();
        let salt = mythic_wire::parse_salt(&prompt.salt).unwrap();
        assert_eq!(
            prompt_hash(&salt, &prompt.prompt_ids),
            job.terms.prompt_hash
        );
        let output: Vec<u32> = "done"
            .bytes()
            .map(u32::from)
            .chain([crate::validators::EOS])
            .collect();
        let job = world.job(&id).await;
        let evidence = worker.prove(&address, &job, (&prompt.prompt_ids, salt), &output);
        let result = serde_json::to_vec(&JobResult {
            job: id.clone(),
            finish_reason: Finish::Eos,
            output_ids: output,
            output_text: "done".into(),
            fingerprint: hex::encode(evidence.fingerprint),
            output_root: hex::encode(evidence.verify().unwrap().output_root),
            submit_signature: None,
            evidence: Box::new(evidence.clone()),
        })
        .unwrap();
        let path = format!("/v1/jobs/{id}/result");
        let early = world
            .signed(reqwest::Method::PUT, &path, &result, &worker.operator)
            .await;
        assert_eq!(early["error"]["code"], "not_submitted");
        worker.submit(&address, &evidence, Finish::Eos).await;
        let kept = world
            .signed(reqwest::Method::PUT, &path, &result, &worker.operator)
            .await;
        assert_eq!(kept["kept"], true, "{kept}");
        assert_eq!(world.get(&format!("/v1/jobs/{id}")).await["output"], "done");
    });
}

#[test]
fn a_client_may_sign_and_pay_for_itself() {
    within(|world| async move {
        let wallet = Keypair::new();
        world
            .chain
            .airdrop(&wallet.pubkey(), 10 * SOL)
            .await
            .unwrap();
        crate::harness::send(
            &world.chain,
            &[ix::deposit_vault(wallet.pubkey(), wallet.pubkey(), SOL)],
            &[&wallet],
        )
        .await;
        let ask = json!({"model": MODEL, "messages": [{"role": "user", "content": "my own transaction"}], "max_tokens": 64, "temperature": 0});
        let client = reqwest::Client::new();
        let quote: Value = client
            .post(format!("{}/v1/estimate", world.url))
            .json(&ask)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        let terms = &quote["terms"];
        let word = |name: &str| terms[name].as_str().unwrap().to_owned();
        let slot = world.chain.slot(Commitment::Processed).await.unwrap();
        let key = |name: &str| word(name).parse::<Pubkey>().unwrap();
        let number = |name: &str| U32::new(quote[name].as_u64().unwrap() as u32);
        let args = RequestInference {
            nonce: window::nonce(slot + 300, *b"client-1"),
            canceller: key("canceller").to_bytes(),
            prompt_hash: mythic_wire::parse_hex32(&word("prompt_hash")).unwrap(),
            prompt_tokens: number("prompt_tokens"),
            max_output_tokens: number("max_output_tokens"),
            price_in: number("price_in_lamports_per_1k"),
            price_out: number("price_out_lamports_per_1k"),
            user_seed: [5; 32],
            temperature_milli: U16::new(0),
            sampling_profile: 1,
            stop_hash: stop_hash::<String>(&[]),
            prompt_source: Text::new(&word("prompt_source")).unwrap(),
            deadline_slots: U32::new(500),
        };
        let who = ix::Requester {
            payer: wallet.pubkey(),
            requester: wallet.pubkey(),
            owner: wallet.pubkey(),
            model: key("model"),
            validator: Some((key("validator"), key("operator"))),
        };
        let hash = world
            .chain
            .latest_blockhash(Commitment::Finalized)
            .await
            .unwrap()
            .hash;
        let signers: Vec<&Keypair> = vec![&wallet];
        let transaction = mythic_client::sign_partly(
            &[ix::request_inference(&who, &args)],
            &wallet.pubkey(),
            &signers,
            hash,
        )
        .unwrap();
        let mut paid = ask.clone();
        paid["mythic"] = json!({"transaction": mythic_api::chain::pay::encode(&transaction).unwrap(), "salt": word("salt")});
        let post = |body: Value| {
            client
                .post(format!("{}/v1/chat/completions", world.url))
                .json(&body)
                .send()
        };
        let mut other = paid.clone();
        other["messages"][0]["content"] = json!("another prompt");
        let error = error_of(post(other).await.unwrap(), 400, "invalid_request").await;
        assert_eq!(error["param"], "mythic.transaction");
        let body: Value = post(paid).await.unwrap().json().await.unwrap();
        assert_eq!(body["choices"][0]["message"]["content"], ANSWER, "{body}");
        let job = world.job(body["mythic"]["job"].as_str().unwrap()).await;
        assert_eq!(
            (job.rent_payer, job.terms.owner),
            (wallet.pubkey().to_bytes(), wallet.pubkey().to_bytes())
        );
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
        let first = tokio::time::timeout(Duration::from_millis(900), ask(url)).await;
        assert!(first.is_err(), "the gateway dies before it has answered");
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
            "/v1/disputes",
            "/v1/stats/daily",
            "/v1/stats/burns",
            "/v1/stats/settlements",
            "/v1/stats/slashes",
            "/v1/stats/fingerprints",
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
        let (database, connection) =
            tokio_postgres::connect(&world.database_url, tokio_postgres::NoTls)
                .await
                .unwrap();
        tokio::spawn(connection);
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
        let health = world.get("/health").await;
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

#[test]
fn indexed_jobs_are_listed_filtered_and_paged() {
    within(|world| async move {
        let config: tokio_postgres::Config = world.database_url.parse().unwrap();
        let (database, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        let projection: String = database
            .query_one("SELECT projection FROM pipeline.lease", &[])
            .await
            .unwrap()
            .get(0);
        let hex = |byte: u8| format!("\\x{}", hex::encode([byte; 32]));
        let owner = Pubkey::new_from_array([77; 32]);
        for (id, slot) in [(1u8, 10), (2, 10), (3, 9)] {
            let row = json!({
                "bank": 0, "slot": slot + 5, "ordinal": 0, "write_seq": 3, "exact": true, "pubkey": hex(id), "requested_slot": slot,
                "owner": hex(77), "requester": hex(77), "canceller": hex(0), "nonce": "\\x00112233445566778899aabbccddeeff",
                "model": format!("\\x{}", hex::encode(world.model.to_bytes())), "validator": hex(5), "rent_payer": hex(6), "status": 5, "end_reason": 1,
                "finish_reason": 1, "prompt_hash": hex(8), "prompt_tokens": 12, "max_output_tokens": 64, "output_tokens": 34, "price_in": 25_000,
                "price_out": 50_000, "seed": hex(9), "temperature_milli": 0, "sampling_profile": 1, "prompt_source": "http://g", "terms_hash": hex(10),
                "deadline_slot": 900, "window_slots": 100, "accepted_slot": slot, "submitted_slot": slot + 1, "ended_slot": slot + 5,
                "window_end_slot": slot + 4, "open_disputes": 0, "output_root": hex(11), "fingerprint": hex(12), "ceiling_lamports": 3500,
                "fee_lamports": 2000, "validator_lamports": 1000, "foundation_lamports": 200, "burned_lamports": 800, "refunded_lamports": 1500,
                "lamports": 1,
            });
            let insert = format!(
                "INSERT INTO {projection}.job SELECT * FROM jsonb_populate_record(NULL::{projection}.job, $1)"
            );
            database.execute(&insert, &[&row]).await.unwrap();
        }
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
