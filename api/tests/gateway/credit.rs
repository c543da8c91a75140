//! Prepaid credit: credited once, taken where what is free ends, and given back when rent returns.

use std::{sync::Arc, time::Duration};

use mythic_api::app::App;
use mythic_client::{Commitment, ix, sign};
use mythic_interface::state::Job;
use reqwest::Method;
use serde_json::{Value, json};
use solana_instruction::{AccountMeta, Instruction};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

use crate::harness::{MODEL, SOL, World, ask, eventually, within};

/// What a job costs in fees.
const FEES: u64 = 20_000;

fn transfer(from: &Pubkey, to: &Pubkey, lamports: u64, named: &[Pubkey]) -> Instruction {
    let mut accounts = vec![AccountMeta::new(*from, true), AccountMeta::new(*to, false)];
    accounts.extend(
        named
            .iter()
            .map(|key| AccountMeta::new_readonly(*key, false)),
    );
    Instruction {
        program_id: Pubkey::default(),
        accounts,
        data: [2u32.to_le_bytes().as_slice(), &lamports.to_le_bytes()].concat(),
    }
}

async fn wallet(world: &World) -> Keypair {
    let wallet = Keypair::new();
    let lamports = 10 * SOL;
    world
        .chain
        .airdrop(&wallet.pubkey(), lamports)
        .await
        .unwrap();
    wallet
}

/// Sends without looking at how it ends; its signature.
async fn sent(world: &World, instruction: Instruction, from: &Keypair) -> String {
    let hash = world
        .chain
        .latest_blockhash(Commitment::Processed)
        .await
        .unwrap()
        .hash;
    let transaction = sign(&[instruction], &from.pubkey(), &[from], hash).unwrap();
    let signature = world.chain.send_with(&transaction, true).await.unwrap();
    signature.to_string()
}

async fn final_(world: &World, signature: &str) {
    let signature = signature.parse().unwrap();
    eventually("the transfer's finality", async || {
        let status = world.chain.signature_status(&signature).await.unwrap();
        status.is_some_and(|status| status.commitment == Commitment::Finalized)
    })
    .await;
}

async fn paid(world: &World, from: &Keypair, lamports: u64) -> String {
    let pay = transfer(&from.pubkey(), &world.gateway_key, lamports, &[]);
    let signature = sent(world, pay, from).await;
    final_(world, &signature).await;
    signature
}

async fn tell(world: &World, signature: &str, wallet: &Keypair) -> Value {
    let body = json!({"signature": signature}).to_string();
    world
        .signed(Method::POST, "/v1/credit", body.as_bytes(), wallet)
        .await
}

async fn standing(world: &World, wallet: &Keypair) -> Value {
    world.signed(Method::GET, "/v1/credit", b"", wallet).await
}

fn refused(answer: &Value, code: &str, word: &str) {
    let error = &answer["error"];
    assert_eq!(error["code"], code, "{answer}");
    assert!(
        error["message"].as_str().unwrap().contains(word),
        "{answer}"
    );
}

/// Paid in, spent, held and balance fit each other.
fn reconciles(standing: &Value) {
    let of = |name: &str| standing[format!("{name}_lamports")].as_u64().unwrap();
    assert_eq!(
        of("paid_in"),
        of("balance") + of("held") + of("spent"),
        "{standing}"
    );
}

#[test]
fn a_transfer_is_credited_once_however_often_and_wherever_it_is_told_of() {
    within(|world| async move {
        let wallet = wallet(world).await;
        let before = standing(world, &wallet).await;
        assert_eq!(before["pay_to"], world.gateway_key.to_string());
        assert_eq!(before["balance_lamports"], 0);
        let signature = paid(world, &wallet, 1_000_000).await;
        let app = world.other(|_| {}).await;
        // Five times at once here, five times at another gateway on the same database.
        let here = (0..5).map(|_| tell(world, &signature, &wallet));
        let there = (0..5).map(|_| tell_there(&app, &signature, &wallet));
        let (here, there) = futures::join!(
            futures::future::join_all(here),
            futures::future::join_all(there)
        );
        let told: Vec<Value> = here.into_iter().chain(there).collect();
        let now = told
            .iter()
            .filter(|it| it["payment"]["credited_now"] == true);
        assert_eq!(now.count(), 1, "{told:?}");
        for answer in &told {
            assert_eq!(answer["payment"]["lamports"], 1_000_000, "{answer}");
        }
        let later = tell(world, &signature, &wallet).await;
        assert_eq!(later["payment"]["credited_now"], false);
        assert_eq!(later["balance_lamports"], 1_000_000);
        eventually("what metrics say of all credit", async || {
            let metrics = reqwest::get(format!("{}/metrics", world.url))
                .await
                .unwrap();
            let metrics = metrics.text().await.unwrap();
            let balance = "mythic_gateway_credit_lamports{kind=\"balance\"} ";
            let told = metrics.lines().find_map(|line| line.strip_prefix(balance));
            told.is_some_and(|told| told.parse::<u64>().unwrap() >= 1_000_000)
        })
        .await;
        reconciles(&later);
    });
}

async fn tell_there(app: &Arc<App>, signature: &str, wallet: &Keypair) -> Value {
    let body = json!({"signature": signature}).to_string();
    let origin = mythic_wire::Origin::parse(&app.config.public_url).unwrap();
    let signed = mythic_wire::signed::Request {
        origin: &origin,
        method: "POST",
        path: "/v1/credit",
        purpose: "credit",
        body: body.as_bytes(),
    };
    let request = axum::http::Request::post("/v1/credit");
    let headers = mythic_wire::signed::sign(&signed, wallet);
    let request = headers
        .into_iter()
        .fold(request, |it, (name, value)| it.header(name, value));
    ask(app, request, body).await.1
}

#[test]
fn what_is_not_a_final_transfer_of_this_wallet_to_this_operator_is_refused() {
    within(|world| async move {
        let (payer, stranger) = (wallet(world).await, wallet(world).await);
        let (from, operator) = (payer.pubkey(), world.gateway_key);
        // Slow enough to see it before it is final.
        world.command("mythic_setSlotMs", 1_000).await;
        let elsewhere = sent(
            world,
            transfer(&from, &stranger.pubkey(), 1_000_000, &[]),
            &payer,
        )
        .await;
        let failed = sent(world, transfer(&from, &operator, 1_000 * SOL, &[]), &payer).await;
        let small = sent(world, transfer(&from, &operator, 19_999, &[]), &payer).await;
        let good = sent(world, transfer(&from, &operator, 1_000_000, &[]), &payer).await;
        let landed = good.parse().unwrap();
        eventually("the transfer", async || {
            let status = world.chain.signature_status(&landed).await.unwrap();
            status.is_some()
        })
        .await;
        let early = tell(world, &good, &payer).await;
        world.command("mythic_setSlotMs", 100).await;
        refused(&early, "payment_not_final", "not finalized");
        for signature in [&elsewhere, &failed, &small, &good] {
            final_(world, signature).await;
        }
        refused(
            &tell(world, &elsewhere, &payer).await,
            "payment_refused",
            "no plain transfer",
        );
        refused(
            &tell(world, &failed, &payer).await,
            "payment_refused",
            "failed on chain",
        );
        refused(
            &tell(world, &small, &payer).await,
            "payment_refused",
            "too few",
        );
        refused(
            &tell(world, &good, &stranger).await,
            "payment_refused",
            "not wallet",
        );
        let unknown = bs58::encode([7; 64]).into_string();
        refused(
            &tell(world, &unknown, &payer).await,
            "payment_not_found",
            "knows no such",
        );
        refused(
            &tell(world, "0x00", &payer).await,
            "invalid_request",
            "base58",
        );
        assert_eq!(standing(world, &stranger).await["paid_in_lamports"], 0);
        // What was too early is taken when it is final.
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(
            tell(world, &good, &payer).await["balance_lamports"],
            1_000_000
        );
        // A transfer that names a wallet is that wallet's, whoever sent it.
        let gift = transfer(&from, &operator, 50_000, &[stranger.pubkey()]);
        let gift = sent(world, gift, &payer).await;
        final_(world, &gift).await;
        refused(
            &tell(world, &gift, &payer).await,
            "payment_refused",
            "not wallet",
        );
        assert_eq!(
            tell(world, &gift, &stranger).await["balance_lamports"],
            50_000
        );
    });
}

#[test]
fn only_the_wallet_tells_of_its_transfers_and_each_request_works_once() {
    within(|world| async move {
        let wallet = wallet(world).await;
        let url = format!("{}/v1/credit", world.url);
        let unsigned = reqwest::get(&url).await.unwrap();
        assert_eq!(unsigned.status(), 401);
        let origin = mythic_wire::Origin::parse(&world.url).unwrap();
        let request = |purpose| mythic_wire::signed::Request {
            origin: &origin,
            method: "GET",
            path: "/v1/credit",
            purpose,
            body: b"",
        };
        let ask = |headers: &[(&'static str, String); 5]| {
            let request = reqwest::Client::new().get(&url);
            headers
                .iter()
                .fold(request, |it, (name, value)| it.header(*name, value))
                .send()
        };
        let other = mythic_wire::signed::sign(&request("keys"), &wallet);
        assert_eq!(ask(&other).await.unwrap().status(), 401);
        let good = mythic_wire::signed::sign(&request("credit"), &wallet);
        assert_eq!(ask(&good).await.unwrap().status(), 200);
        assert_eq!(ask(&good).await.unwrap().status(), 401);
    });
}

/// A customer for whom nothing is free today any more.
async fn spent_up(world: &World) -> (Keypair, String, Pubkey) {
    let (wallet, key, delegate, _) = world.customer(SOL, SOL).await;
    world
        .database()
        .await
        .execute(
            "INSERT INTO gateway.outlay (day, owner, jobs, fees) VALUES (current_date, $1, 1, $2)",
            &[
                &wallet.pubkey().as_ref(),
                &(world.config.outlay.fees_per_owner_per_day as i64),
            ],
        )
        .await
        .unwrap();
    (wallet, key, delegate)
}

#[test]
fn where_what_is_free_ends_credit_pays_the_fees() {
    within(|world| async move {
        let (wallet, key, delegate) = spent_up(world).await;
        let ask = || {
            let chat = world.chat("on credit", json!({"max_completion_tokens": 1}));
            chat.bearer_auth(&key).send()
        };
        let response = ask().await.unwrap();
        assert_eq!(response.status(), 402);
        let body: Value = response.json().await.unwrap();
        refused(&body, "gateway_fees_spent", &FEES.to_string());
        refused(&body, "gateway_fees_spent", &world.gateway_key.to_string());
        refused(&body, "gateway_fees_spent", "POST /v1/credit");
        let signature = paid(world, &wallet, FEES + 5_000).await;
        let told = tell(world, &signature, &wallet).await;
        assert_eq!(told["free_fees_left_lamports"], 0);
        assert_eq!(ask().await.unwrap().status(), 200);
        let after = standing(world, &wallet).await;
        assert_eq!(
            (
                after["spent_lamports"].as_u64(),
                after["balance_lamports"].as_u64()
            ),
            (Some(FEES), Some(5_000))
        );
        assert_eq!(
            after["held_lamports"], 0,
            "its rent is fronted as everybody's"
        );
        reconciles(&after);
        // The rest is too little for another one, and says by how much.
        let body: Value = ask().await.unwrap().json().await.unwrap();
        refused(&body, "gateway_fees_spent", "15000");
        assert_eq!(
            standing(world, &wallet).await,
            after,
            "nothing is taken for a refusal"
        );
        assert_eq!(world.jobs_of(&delegate).await, 1);
    });
}

#[test]
fn each_further_validator_that_is_asked_costs_its_transactions_fees() {
    within(|world| async move {
        let (wallet, key, _) = spent_up(world).await;
        let signature = paid(world, &wallet, 1_000_000).await;
        tell(world, &signature, &wallet).await;
        let chat = world.chat("first:decline on credit", json!({}));
        assert_eq!(chat.bearer_auth(&key).send().await.unwrap().status(), 200);
        let after = standing(world, &wallet).await;
        assert_eq!(after["spent_lamports"], FEES + 15_000, "{after}");
        reconciles(&after);
    });
}

#[test]
fn many_requests_at_once_never_take_more_than_there_is() {
    within(|world| async move {
        let (wallet, key, delegate) = spent_up(world).await;
        let signature = paid(world, &wallet, 3 * FEES + 1_000).await;
        tell(world, &signature, &wallet).await;
        let asked = (0..8).map(|n| {
            let chat = world.chat(
                &format!("one of many {n}"),
                json!({"max_completion_tokens": 1}),
            );
            let asked = chat.bearer_auth(&key).send();
            async move { asked.await.unwrap().status().as_u16() }
        });
        let codes = futures::future::join_all(asked).await;
        let of = |code| codes.iter().filter(|it| **it == code).count();
        let after = standing(world, &wallet).await;
        reconciles(&after);
        assert!(
            after["spent_lamports"].as_u64().unwrap() <= 3 * FEES,
            "{after}"
        );
        assert!(of(200) <= 3 && of(402) >= 5, "{codes:?}");
        assert!(world.jobs_of(&delegate).await <= 3);
    });
}

/// A chat of one token at a gateway that is asked without a socket.
async fn chat_there(app: &Arc<App>, prompt: &str, key: &str) -> (u16, Value) {
    let body = json!({"model": MODEL, "messages": [{"role": "user", "content": prompt}], "max_completion_tokens": 1});
    let request = axum::http::Request::post("/v1/chat/completions")
        .header("authorization", format!("Bearer {key}"));
    ask(app, request, body.to_string()).await
}

/// Has the rent of a wallet's jobs looked for now, not in a minute.
async fn look_now(world: &World, wallet: &Keypair) {
    world
        .database()
        .await
        .execute(
            "UPDATE gateway.credit_use SET next_look = now() WHERE owner = $1",
            &[&wallet.pubkey().as_ref()],
        )
        .await
        .unwrap();
}

async fn rent_is_back(world: &World, wallet: &Keypair) -> Value {
    let database = world.database().await;
    eventually("the rent", async || {
        // Whoever looked before the closing was final looks again in a minute.
        look_now(world, wallet).await;
        let sql = "SELECT held FROM gateway.credit WHERE owner = $1";
        let row = database
            .query_one(sql, &[&wallet.pubkey().as_ref()])
            .await
            .unwrap();
        row.get::<_, i64>(0) == 0
    })
    .await;
    standing(world, wallet).await
}

#[test]
fn more_open_jobs_than_are_free_take_their_rent_from_credit_until_they_are_closed() {
    within(|world| async move {
        let app = world.other(|config| config.outlay.jobs_per_owner = 1).await;
        let (wallet, key, _, _) = world.customer(SOL, SOL).await;
        let (status, body) = chat_there(&app, "the free one", &key).await;
        assert_eq!(status, 200, "{body}");
        let rent = world.chain.rent(Job::LEN).await.unwrap();
        let (status, body) = chat_there(&app, "one too many", &key).await;
        assert_eq!(status, 429);
        refused(
            &body,
            "too_many_open_jobs",
            &format!("prepay {rent} lamports"),
        );
        let signature = paid(world, &wallet, rent + 1_000_000).await;
        tell(world, &signature, &wallet).await;
        let (status, body) = chat_there(&app, "on credit", &key).await;
        assert_eq!(status, 200, "{body}");
        let out = standing(world, &wallet).await;
        assert_eq!(
            (
                out["held_lamports"].as_u64(),
                out["spent_lamports"].as_u64()
            ),
            (Some(rent), Some(0))
        );
        reconciles(&out);
        // While the job stands its rent is out.
        look_now(world, &wallet).await;
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(standing(world, &wallet).await, out);
        let job = body["mythic"]["job"].as_str().unwrap();
        close(world, job).await;
        let back = rent_is_back(world, &wallet).await;
        assert_eq!(back["balance_lamports"], rent + 1_000_000, "{back}");
        reconciles(&back);
        // Looking again gives nothing twice.
        look_now(world, &wallet).await;
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(standing(world, &wallet).await, back);
    });
}

/// Has a job paid and closed, as the settler would.
async fn close(world: &World, job: &str) {
    let address: Pubkey = job.parse().unwrap();
    let crank = async |instruction: fn(Pubkey, &Job) -> Instruction| {
        let instruction = instruction(address, &world.job(job).await);
        crate::harness::send(&world.chain, &[instruction], &[&world.dev]).await;
    };
    world.advance(150).await;
    crank(ix::claim_inference_fee).await;
    world.advance(2_300).await;
    crank(ix::close_job).await;
}

#[test]
fn a_job_that_never_came_to_be_gives_its_rent_back_and_not_its_fees() {
    within(|world| async move {
        let app = world.other(|config| config.outlay.jobs_per_owner = 1).await;
        let (wallet, key, _) = spent_up(world).await;
        let signature = paid(world, &wallet, SOL).await;
        tell(world, &signature, &wallet).await;
        let (status, body) = chat_there(&app, "the first one", &key).await;
        assert_eq!(status, 200, "{body}");
        let (status, _) = chat_there(&app, "all:decline on credit", &key).await;
        assert_eq!(status, 503);
        let out = standing(world, &wallet).await;
        assert!(out["held_lamports"].as_u64().unwrap() > 1_000_000, "{out}");
        world.advance(700).await;
        let back = rent_is_back(world, &wallet).await;
        assert_eq!(back["spent_lamports"], out["spent_lamports"]);
        assert!(
            back["spent_lamports"].as_u64().unwrap() >= 2 * FEES,
            "{back}"
        );
        reconciles(&back);
        // What each job took adds up to what the wallet spent.
        let row = world
            .database()
            .await
            .query_one(
                "SELECT sum(fees)::bigint, sum(rent) FILTER (WHERE returned_at IS NULL)::bigint FROM gateway.credit_use WHERE owner = $1",
                &[&wallet.pubkey().as_ref()],
            )
            .await
            .unwrap();
        assert_eq!(
            row.get::<_, i64>(0),
            back["spent_lamports"].as_i64().unwrap()
        );
        assert_eq!(row.get::<_, Option<i64>>(1).unwrap_or(0), 0);
    });
}

#[test]
fn below_the_reserve_no_new_work_is_taken() {
    within(|world| async move {
        let (_, key, delegate, _) = world.customer(SOL, SOL).await;
        let app = world
            .other(|config| config.outlay.reserve_lamports = 1 << 40)
            .await;
        let (status, body) = chat_there(&app, "below the reserve", &key).await;
        assert_eq!(status, 503);
        refused(&body, "gateway_funds", "short of funds");
        assert_eq!(world.jobs_of(&delegate).await, 0);
    });
}

#[test]
fn what_wallets_have_prepaid_is_not_laid_out_for_others() {
    within(|world| async move {
        let (_, key, delegate, _) = world.customer(SOL, SOL).await;
        let (rich, rich_key, _) = spent_up(world).await;
        let signature = paid(world, &rich, 2 * SOL).await;
        tell(world, &signature, &rich).await;
        // The operator's own money is just the reserve: what is above it is prepaid.
        let all = world.chain.balance(&world.gateway_key).await.unwrap();
        let app = world
            .other(|config| config.outlay.reserve_lamports = all - SOL)
            .await;
        let (status, body) = chat_there(&app, "for free", &key).await;
        assert_eq!(status, 503, "{body}");
        refused(&body, "gateway_funds", "POST /v1/credit");
        assert_eq!(world.jobs_of(&delegate).await, 0);
        let (status, body) = chat_there(&app, "on credit", &rich_key).await;
        assert_eq!(status, 200, "{body}");
    });
}

#[test]
fn what_is_laid_out_for_all_in_a_day_ends_and_credit_goes_on() {
    within(|world| async move {
        let (wallet, key, _, _) = world.customer(SOL, SOL).await;
        let spent: i64 = world
            .database()
            .await
            .query_one("SELECT coalesce(sum(fees), 0)::bigint FROM gateway.outlay WHERE day = current_date", &[])
            .await
            .unwrap()
            .get(0);
        let app = world
            .other(|config| config.outlay.fees_per_day = spent as u64 + FEES)
            .await;
        assert_eq!(chat_there(&app, "the last free one", &key).await.0, 200);
        let (status, body) = chat_there(&app, "one after it", &key).await;
        assert_eq!(status, 402);
        refused(&body, "gateway_fees_spent", "for everybody");
        let signature = paid(world, &wallet, FEES).await;
        tell(world, &signature, &wallet).await;
        assert_eq!(chat_there(&app, "one after it", &key).await.0, 200);
        assert_eq!(standing(world, &wallet).await["spent_lamports"], FEES);
    });
}
