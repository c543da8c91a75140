//! API keys: a signed request works once, wherever it is taken to, and nobody makes keys without end.

use mythic_client::ix;
use reqwest::Method;
use serde_json::{Value, json};
use solana_keypair::Keypair;
use solana_signer::Signer;

use crate::harness::{SOL, World, ask, send, within};

type Signed = [(&'static str, String); 5];

fn sign(world: &World, method: &str, path: &str, wallet: &Keypair) -> Signed {
    let origin = mythic_wire::Origin::parse(&world.url).unwrap();
    let request = mythic_wire::signed::Request {
        origin: &origin,
        method,
        path,
        purpose: "keys",
        body: b"",
    };
    mythic_wire::signed::sign(&request, wallet)
}

/// Status of a captured request at the gateway that runs.
async fn here(world: &World, method: &str, path: &str, headers: &Signed) -> u16 {
    let method: Method = method.parse().unwrap();
    let request = reqwest::Client::new().request(method, format!("{}{path}", world.url));
    let request = headers
        .iter()
        .fold(request, |it, (name, value)| it.header(*name, value));
    request.send().await.unwrap().status().as_u16()
}

#[test]
fn a_captured_request_is_worth_nothing_here_after_a_restart_and_at_another_gateway() {
    within(|world| async move {
        let (wallet, key, _, id) = world.customer(SOL, SOL).await;
        let path = format!("/v1/keys/{id}");
        // What a gateway remembers of requests is gone after its restart, and was never there at another one of the same
        // address; a third one, of another address, shares the database.
        let restarted = world.other(|_| {}).await;
        let elsewhere = world
            .other(|config| config.public_url = "http://127.0.0.1:1".into())
            .await;
        for (method, path) in [("GET", "/v1/keys"), ("DELETE", path.as_str())] {
            let captured = sign(world, method, path, &wallet);
            assert_eq!(here(world, method, path, &captured).await, 200);
            assert_eq!(here(world, method, path, &captured).await, 401);
            for app in [&restarted, &elsewhere] {
                let request = axum::http::Request::builder().method(method).uri(path);
                let request = captured
                    .iter()
                    .fold(request, |it, (name, value)| it.header(*name, value));
                let (status, body) = ask(app, request, String::new()).await;
                assert_eq!(
                    (status, body["error"]["code"].as_str()),
                    (401, Some("invalid_signature")),
                    "{body}"
                );
            }
        }
        // Captured and taken elsewhere before it comes here, it does nothing there and still works here.
        let captured = sign(world, "GET", "/v1/keys", &wallet);
        let request = axum::http::Request::get("/v1/keys");
        let request = captured
            .iter()
            .fold(request, |it, (name, value)| it.header(*name, value));
        assert_eq!(ask(&elsewhere, request, String::new()).await.0, 401);
        assert_eq!(here(world, "GET", "/v1/keys", &captured).await, 200);
        // And the key that was revoked pays no more.
        let chat = world.chat("revoked", json!({})).bearer_auth(&key);
        assert_eq!(chat.send().await.unwrap().status(), 401);
    });
}

async fn create_there(
    app: &std::sync::Arc<mythic_api::app::App>,
    wallet: &Keypair,
) -> (u16, Value) {
    let origin = mythic_wire::Origin::parse(&app.config.public_url).unwrap();
    let signed = mythic_wire::signed::Request {
        origin: &origin,
        method: "POST",
        path: "/v1/keys",
        purpose: "keys",
        body: b"{}",
    };
    let request = axum::http::Request::post("/v1/keys");
    let headers = mythic_wire::signed::sign(&signed, wallet);
    let request = headers
        .into_iter()
        .fold(request, |it, (name, value)| it.header(name, value));
    ask(app, request, "{}".into()).await
}

#[test]
fn an_empty_wallet_gets_no_key_and_an_address_and_a_wallet_only_so_many() {
    within(|world| async move {
        let app = world.other(|config| config.limits.keys_per_hour = 3).await;
        let empty = Keypair::new();
        let (status, body) = create_there(&app, &empty).await;
        assert_eq!(
            (status, body["error"]["code"].as_str()),
            (402, Some("insufficient_funds"))
        );
        // Lamports in a vault are as good as lamports in the wallet.
        let payer = Keypair::new();
        world
            .chain
            .airdrop(&payer.pubkey(), 10 * SOL)
            .await
            .unwrap();
        let vault = ix::deposit_vault(payer.pubkey(), empty.pubkey(), SOL);
        send(&world.chain, &[vault], &[&payer]).await;
        assert_eq!(create_there(&app, &empty).await.0, 200);
        assert_eq!(create_there(&app, &payer).await.0, 200);
        let (status, body) = create_there(&app, &payer).await;
        assert_eq!(
            (status, body["error"]["code"].as_str()),
            (429, Some("rate_limit_exceeded")),
            "the address had three tries"
        );
        // A wallet with as many keys as it may have gets none from any address; revoked ones count for less, not for nothing.
        let app = world.other(|_| {}).await;
        let database = world.database().await;
        let fill = "INSERT INTO gateway.api_key (id, hash, owner, delegate, sealed, name, revoked_at)
                    SELECT $2 || n, sha256(($2 || n)::bytea), $1, $1, '', '', $4 FROM generate_series(1, $3::int) n";
        let owner = payer.pubkey();
        database
            .execute(
                fill,
                &[
                    &owner.as_ref(),
                    &"filled",
                    &99i32,
                    &None::<std::time::SystemTime>,
                ],
            )
            .await
            .unwrap();
        let (status, body) = create_there(&app, &payer).await;
        assert_eq!(
            (status, body["error"]["code"].as_str()),
            (429, Some("too_many_keys")),
            "{body}"
        );
        database
            .execute(
                "UPDATE gateway.api_key SET revoked_at = now() WHERE owner = $1",
                &[&owner.as_ref()],
            )
            .await
            .unwrap();
        assert_eq!(create_there(&app, &payer).await.0, 200);
        database
            .execute(
                fill,
                &[
                    &owner.as_ref(),
                    &"revoked",
                    &900i32,
                    &Some(std::time::SystemTime::now()),
                ],
            )
            .await
            .unwrap();
        let (status, body) = create_there(&app, &payer).await;
        assert_eq!(
            (status, body["error"]["code"].as_str()),
            (429, Some("too_many_keys")),
            "{body}"
        );
    });
}
