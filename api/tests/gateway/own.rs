//! Jobs that the gateway does not pay for or does not place: a client's own transaction, and open jobs that anybody may take.

use mythic_client::{Commitment, ix};
use mythic_interface::{
    hash::{prompt_hash, stop_hash},
    ix::RequestInference,
    le::{Text, U16, U32},
    state::Job,
    window,
};
use mythic_wire::{Finish, JobResult, PromptBody};
use serde_json::{Value, json};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

use crate::{
    harness::{MODEL, SOL, World, error_of, eventually, within},
    validators::ANSWER,
};

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
        let evidence = worker.prove(
            &address,
            &job,
            (&prompt.prompt_ids, salt),
            prompt.options.clone(),
            &output,
        );
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

/// A wallet that signs for itself, and what the gateway wants of its transaction.
struct Own {
    wallet: Keypair,
    ask: Value,
    quote: Value,
    slot: u64,
}

impl Own {
    async fn new(world: &World, prompt: &str) -> Self {
        let wallet = Keypair::new();
        let lamports = 10 * SOL;
        world
            .chain
            .airdrop(&wallet.pubkey(), lamports)
            .await
            .unwrap();
        let deposit = ix::deposit_vault(wallet.pubkey(), wallet.pubkey(), SOL);
        crate::harness::send(&world.chain, &[deposit], &[&wallet]).await;
        let ask = json!({"model": MODEL, "messages": [{"role": "user", "content": prompt}], "max_tokens": 64, "temperature": 0});
        let estimate = reqwest::Client::new().post(format!("{}/v1/estimate", world.url));
        let quote = estimate
            .json(&ask)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        let slot = world.chain.slot(Commitment::Processed).await.unwrap();
        Self {
            wallet,
            ask,
            quote,
            slot,
        }
    }

    fn word(&self, name: &str) -> String {
        self.quote["terms"][name].as_str().unwrap().to_owned()
    }

    fn key(&self, name: &str) -> Pubkey {
        self.word(name).parse().unwrap()
    }

    fn arguments(&self) -> RequestInference {
        let number = |name: &str| U32::new(self.quote[name].as_u64().unwrap() as u32);
        RequestInference {
            nonce: window::nonce(self.slot + 300, *b"client-1"),
            canceller: self.key("canceller").to_bytes(),
            prompt_hash: mythic_wire::parse_hex32(&self.word("prompt_hash")).unwrap(),
            prompt_tokens: number("prompt_tokens"),
            max_output_tokens: number("max_output_tokens"),
            price_in: number("price_in_lamports_per_1k"),
            price_out: number("price_out_lamports_per_1k"),
            user_seed: [5; 32],
            temperature_milli: U16::new(0),
            sampling_profile: 1,
            options_hash: stop_hash::<String>(&[]),
            prompt_source: Text::new(&self.word("prompt_source")).unwrap(),
            deadline_slots: U32::new(500),
            rules_hash: mythic_wire::parse_hex32(&self.word("rules_hash")).unwrap(),
            bump: 0,
        }
    }

    /// The request with its transaction.
    async fn paid(&self, world: &World, arguments: &RequestInference) -> Value {
        let who = ix::Requester {
            payer: self.wallet.pubkey(),
            requester: self.wallet.pubkey(),
            owner: self.wallet.pubkey(),
            model: self.key("model"),
            validator: Some((self.key("validator"), self.key("operator"))),
        };
        let hash = world
            .chain
            .latest_blockhash(Commitment::Finalized)
            .await
            .unwrap()
            .hash;
        let signers: Vec<&Keypair> = vec![&self.wallet];
        let request = [ix::request_inference(&who, arguments)];
        let transaction =
            mythic_client::sign_partly(&request, &self.wallet.pubkey(), &signers, hash).unwrap();
        let encoded = mythic_api::chain::pay::encode(&transaction).unwrap();
        let mut paid = self.ask.clone();
        paid["mythic"] = json!({"transaction": encoded, "salt": self.word("salt")});
        paid
    }
}

async fn post(world: &World, body: &Value) -> reqwest::Response {
    let request = reqwest::Client::new().post(format!("{}/v1/chat/completions", world.url));
    request.json(body).send().await.unwrap()
}

#[test]
fn a_client_may_sign_and_pay_for_itself() {
    within(|world| async move {
        let own = Own::new(world, "my own transaction").await;
        let paid = own.paid(world, &own.arguments()).await;
        let mut other = paid.clone();
        other["messages"][0]["content"] = json!("another prompt");
        let error = error_of(post(world, &other).await, 400, "invalid_request").await;
        assert_eq!(error["param"], "mythic.transaction");
        let body: Value = post(world, &paid).await.json().await.unwrap();
        assert_eq!(body["choices"][0]["message"]["content"], ANSWER, "{body}");
        let job = world.job(body["mythic"]["job"].as_str().unwrap()).await;
        let wallet = own.wallet.pubkey().to_bytes();
        assert_eq!((job.rent_payer, job.terms.owner), (wallet, wallet));
    });
}

#[test]
fn a_repeat_is_answered_though_the_nonce_of_its_transaction_is_over() {
    within(|world| async move {
        let own = Own::new(world, "come again").await;
        let mut arguments = own.arguments();
        let last = own.slot + 80;
        arguments.nonce = window::nonce(last, *b"client-3");
        let paid = own.paid(world, &arguments).await;
        let ask = || {
            let request = reqwest::Client::new().post(format!("{}/v1/chat/completions", world.url));
            request
                .header("idempotency-key", "own-again-1")
                .json(&paid)
                .send()
        };
        let first: Value = ask().await.unwrap().json().await.unwrap();
        assert_eq!(first["choices"][0]["message"]["content"], ANSWER, "{first}");
        eventually("the nonce is over", async || {
            world.chain.slot(Commitment::Processed).await.unwrap() > last
        })
        .await;
        let again = ask().await.unwrap();
        assert_eq!(again.headers()["x-mythic-replayed"], "true");
        let again: Value = again.json().await.unwrap();
        assert_eq!(again["mythic"]["job"], first["mythic"]["job"]);
        assert_eq!(again["choices"][0]["message"]["content"], ANSWER);
        // Without the key it is a request like any other, and too late.
        let error = error_of(post(world, &paid).await, 400, "invalid_request").await;
        assert!(
            error["message"].as_str().unwrap().contains("nonce"),
            "{error}"
        );
    });
}

#[test]
fn a_clients_transaction_fixes_nothing_for_later_than_the_gateway_looks_after() {
    within(|world| async move {
        let own = Own::new(world, "too far ahead").await;
        type Change = fn(&mut RequestInference, u64);
        let changes: [(&str, Change); 5] = [
            ("nonce", |it, _| {
                it.nonce = window::nonce(u64::MAX >> 1, *b"client-2")
            }),
            ("nonce", |it, slot| {
                it.nonce = window::nonce(slot - 10, *b"client-2")
            }),
            ("deadline_slots", |it, _| {
                it.deadline_slots = U32::new(u32::MAX)
            }),
            ("deadline_slots", |it, _| it.deadline_slots = U32::new(0)),
            ("prompt_source", |it, _| {
                it.prompt_source = Text::new("http://127.0.0.1:1").unwrap()
            }),
        ];
        for (what, change) in changes {
            let mut arguments = own.arguments();
            change(&mut arguments, own.slot);
            let paid = own.paid(world, &arguments).await;
            let error = error_of(post(world, &paid).await, 400, "invalid_request").await;
            assert!(error["message"].as_str().unwrap().contains(what), "{error}");
        }
        let database = world.database().await;
        let kept = "SELECT count(*) FROM gateway.attempt WHERE owner = $1";
        let row = database
            .query_one(kept, &[&own.wallet.pubkey().as_ref()])
            .await
            .unwrap();
        assert_eq!(
            row.get::<_, i64>(0),
            0,
            "nothing of it is kept, let alone looked after"
        );
    });
}
