//! The wallet page as a browser and a stranger use it.

use serde_json::json;
use solana_keypair::Keypair;
use solana_signer::Signer as _;

use crate::{
    ANN, linked,
    world::{Bot, World},
};

const BOB: i64 = 8;

fn allow() -> serde_json::Value {
    json!({"kind": "allow", "deposit": "1000", "per_job": "10", "per_day": "100", "in_all": "1000", "days": 3, "fuel": "50"})
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_for_one_account_and_a_challenge_for_one_signature() {
    let world = World::start().await;
    let bot = Bot::start(world.config());
    let page = world.open_page(ANN).await;
    let shown = reqwest::get(&page).await.unwrap();
    assert_eq!(shown.status(), 200);
    let policy = shown.headers()["content-security-policy"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
    let (_, state) = world.state(&page).await;
    assert_eq!(state["account"], "@ann, \u{2068}Ann\u{2069}");
    assert!(state["wallet"].is_null() && state["unconfirmed"].is_null());
    // Nothing is built before a wallet has signed in.
    let (status, _) = world.post(&format!("{page}/transaction"), &allow()).await;
    assert_eq!(status, 403);
    let wallet = Keypair::new();
    let (status, told) = world
        .post(
            &format!("{page}/challenge"),
            &json!({"wallet": wallet.pubkey().to_string()}),
        )
        .await;
    let message = told["message"].as_str().unwrap().to_owned();
    assert_eq!(status, 200);
    for words in [
        wallet.pubkey().to_string(),
        world.page.to_string(),
        "the Telegram account @ann, Ann (number 7) in the bot @".into(),
        "Nonce: ".into(),
        "Expiration Time: ".into(),
    ] {
        assert!(message.contains(&words), "{words}: {message}");
    }
    // Another key's signature, and one of another challenge.
    let encode = |signature: solana_signature::Signature| {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        json!({"signature": STANDARD.encode(signature.as_ref())})
    };
    let proof = format!("{page}/proof");
    let forged = encode(Keypair::new().sign_message(message.as_bytes()));
    assert_eq!(world.post(&proof, &forged).await.0, 401);
    let old = encode(wallet.sign_message(message.as_bytes()));
    world
        .post(
            &format!("{page}/challenge"),
            &json!({"wallet": wallet.pubkey().to_string()}),
        )
        .await;
    assert_eq!(
        world.post(&proof, &old).await.0,
        401,
        "a newer challenge took its place"
    );
    let (status, told) = world.sign_in(&page, &wallet).await;
    assert_eq!(status, 200, "{told}");
    assert_eq!(world.post(&proof, &old).await.0, 400, "it was used");
    assert_eq!(
        world.sign_in(&page, &Keypair::new()).await.0,
        400,
        "one wallet an address"
    );
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_built_before_the_account_confirmed_and_nothing_sent_that_is_not_signed() {
    let world = World::start().await;
    let bot = Bot::start(world.config());
    let (page, wallet) = (world.open_page(ANN).await, Keypair::new());
    assert_eq!(world.sign_in(&page, &wallet).await.0, 200);
    // Signed is not linked: the account is asked first.
    let (status, _) = world.post(&format!("{page}/transaction"), &allow()).await;
    assert_eq!(status, 403);
    let (_, state) = world.state(&page).await;
    assert_eq!(state["unconfirmed"], wallet.pubkey().to_string());
    world.confirm(ANN, 0).await;
    world
        .telegram
        .says(ANN, "A wallet was linked")
        .await
        .unwrap();
    let (_, state) = world.state(&page).await;
    assert_eq!(state["wallet"], wallet.pubkey().to_string());
    let (status, told) = world.post(&format!("{page}/transaction"), &allow()).await;
    assert_eq!(status, 200, "{told}");
    assert!(told["transaction"].is_string());
    // What the wallet did not sign is not sent.
    let (status, _) = world.post(&format!("{page}/send"), &told).await;
    assert_eq!((status, world.script().sent), (400, 0));
    let other = format!("http://{}/link/{}", world.page, "a".repeat(64));
    let unknown = [
        other.clone(),
        format!("{other}x"),
        format!("http://{}/link/x", world.page),
    ];
    for unknown in unknown {
        assert_eq!(world.state(&unknown).await.0, 404, "{unknown}");
    }
    // A new address ends the old one.
    world.open_page(ANN).await;
    assert_eq!(world.state(&page).await.0, 404);
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_that_its_account_does_not_know_is_not_linked_and_nobody_else_may_say_so() {
    let (world, bot) = linked().await;
    let telegram = &world.telegram;
    let page = world.open_page(ANN).await;
    let stranger = Keypair::new();
    assert_eq!(world.sign_in(&page, &stranger).await.0, 200);
    let asked = telegram.says(ANN, "Is this your wallet?").await.unwrap();
    assert!(asked.text.contains(&stranger.pubkey().to_string()));
    // Bob's tap says nothing about Ann's page, whatever it holds.
    telegram.tap(BOB, &asked, &asked.buttons[0]);
    crate::until("Bob is told", || {
        telegram
            .taps()
            .iter()
            .any(|told| told.contains("has ended"))
    })
    .await;
    let (_, state) = world.state(&page).await;
    assert!(state["wallet"].is_null() && !state["unconfirmed"].is_null());
    world.confirm(ANN, 1).await;
    let denied = telegram.says(ANN, "Nothing was linked").await.unwrap();
    assert!(denied.id == asked.id && denied.buttons.is_empty());
    assert_eq!(world.state(&page).await.0, 404);
    // Who was linked before still is.
    telegram.write(ANN, ANN, "/balance");
    telegram.says(ANN, "There is none yet").await.unwrap();
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn amounts_that_can_not_be_are_refused_before_a_wallet_is_asked() {
    let world = World::start().await;
    let bot = Bot::start(world.config());
    let page = world.link(BOB, &Keypair::new()).await;
    for (field, value) in [
        ("per_job", json!("0")),
        ("per_day", json!("-1")),
        ("days", json!(0)),
        ("deposit", json!(5)),
        ("fuel", json!("1e9")),
        ("more", json!("1")),
    ] {
        let mut wrong = allow();
        wrong[field] = value;
        let (status, _) = world.post(&format!("{page}/transaction"), &wrong).await;
        assert!((400..500).contains(&status), "{field}: {status}");
    }
    let (status, told) = world
        .post(&format!("{page}/transaction"), &json!({"kind": "revoke"}))
        .await;
    assert_eq!(status, 400, "{told}");
    assert!(told["error"].as_str().unwrap().contains("no leave to end"));
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_revoke_nothing_is_spent_until_a_wallet_is_linked_again() {
    let (world, bot) = linked().await;
    world.telegram.write(ANN, ANN, "/revoke");
    world
        .telegram
        .says(ANN, "I spend nothing for you any more")
        .await
        .unwrap();
    world.telegram.write(ANN, ANN, "why?");
    world
        .telegram
        .says(ANN, "No wallet is linked")
        .await
        .unwrap();
    assert_eq!(world.script().paid.len(), 0);
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_webhook_takes_updates_from_telegram_alone_and_each_once() {
    let world = World::start().await;
    let bot = Bot::start(mythic_bot::BotConfig {
        webhook: true,
        ..world.config()
    });
    crate::until("the webhook is told", || world.telegram.webhook().is_some()).await;
    let told = world.telegram.webhook().unwrap();
    let (url, secret) = (
        told["url"].as_str().unwrap(),
        told["secret_token"].as_str().unwrap(),
    );
    let mut update = mythic_e2e::telegram::Telegram::message(ANN, ANN, "/help");
    update["update_id"] = 5.into();
    let send = async |secret: &str| {
        let request = reqwest::Client::new()
            .post(url)
            .header("x-telegram-bot-api-secret-token", secret);
        request
            .json(&update)
            .send()
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    assert_eq!(send("another").await, 404);
    for _ in 0..3 {
        assert_eq!(send(secret).await, 200);
    }
    world
        .telegram
        .says(ANN, "each answer can be checked")
        .await
        .unwrap();
    bot.stop().await;
    assert_eq!(world.telegram.shown(ANN).len(), 1);
}
