//! Requests that cost: paid once, answered by whoever can, refused in time.

use futures::StreamExt;
use mythic_client::pda;
use mythic_interface::state::{JobStatus, Vault};
use serde_json::{Value, json};
use solana_pubkey::Pubkey;
use solana_signer::Signer;

use crate::{
    harness::{SOL, World, error_of, eventually, within},
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
