//! Subscriptions as Agave's clients know them.

use std::time::{Duration, Instant};

use futures::SinkExt;
use serde_json::{Value, json};
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use tokio_tungstenite::tungstenite::Message;

use crate::common::{Devnet, RENT, SOL, Socket, config, next, subscribe};

async fn send(socket: &mut Socket, message: Value) {
    socket
        .send(Message::text(message.to_string()))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_too_long_for_base58_are_told_with_agaves_text() {
    let dir = tempfile::tempdir().unwrap();
    let devnet = Devnet::start(config(dir.path()), None).await;
    let hashes = "SysvarS1otHashes111111111111111111111111111";
    let sysvars = "Sysvar1111111111111111111111111111111111111";
    let processed = json!({"commitment": "processed"});
    let mut socket = devnet.socket().await;
    let account = subscribe(&mut socket, "accountSubscribe", json!([hashes, processed])).await;
    let base58 = json!({"commitment": "processed", "encoding": "base58"});
    let explicit = subscribe(&mut socket, "accountSubscribe", json!([hashes, base58])).await;
    let program = subscribe(&mut socket, "programSubscribe", json!([sysvars, processed])).await;
    devnet.advance(1).await;
    let text = "error: data too large for bs58 encoding";
    let (mut seen, mut keys) = (Vec::new(), Vec::new());
    while seen.len() < 2 || keys.len() < 2 {
        let told = next(&mut socket).await;
        let (params, method) = (&told["params"], told["method"].as_str().unwrap());
        let value = &params["result"]["value"];
        match method {
            "accountNotification" => {
                let number = params["subscription"].clone();
                let shown = match number == account {
                    true => json!(text),
                    false => json!([text, "base58"]),
                };
                assert_eq!(value["data"], shown);
                seen.push(number);
            }
            _ => {
                assert_eq!(params["subscription"], program);
                keys.push(value["pubkey"].clone());
                if value["pubkey"] == hashes {
                    assert_eq!(value["account"]["data"], text);
                }
            }
        }
    }
    assert_eq!(seen, [account, explicit]);
    assert!(keys.contains(&json!(hashes)));
    devnet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_arrival_of_a_transaction_is_told_when_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let devnet = Devnet::start(config(dir.path()), None).await;
    let payer = devnet.funded(10).await;
    let tx = devnet.transfer(&payer, &Pubkey::new_unique(), RENT).await;
    let signature = tx.signatures[0].to_string();
    let mut socket = devnet.socket().await;
    let both = json!([signature, {"commitment": "confirmed", "enableReceivedNotification": true}]);
    let early = subscribe(&mut socket, "signatureSubscribe", both.clone()).await;
    devnet.rpc.send_transaction(&tx).await.unwrap();
    let told = next(&mut socket).await;
    assert_eq!(told["params"]["subscription"], early);
    assert_eq!(told["params"]["result"]["value"], "receivedSignature");
    let late = subscribe(&mut socket, "signatureSubscribe", both.clone()).await;
    let told = next(&mut socket).await;
    assert_eq!(told["params"]["subscription"], late);
    assert_eq!(told["params"]["result"]["value"], "receivedSignature");
    devnet.advance(2).await;
    for number in [early, late] {
        let told = next(&mut socket).await;
        assert_eq!(told["params"]["subscription"], number);
        assert_eq!(told["params"]["result"]["value"], json!({"err": null}));
    }
    let landed = subscribe(&mut socket, "signatureSubscribe", both).await;
    let told = next(&mut socket).await;
    assert_eq!(told["params"]["subscription"], landed);
    assert_eq!(told["params"]["result"]["value"], json!({"err": null}));
    devnet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_of_slots_name_each_step() {
    let dir = tempfile::tempdir().unwrap();
    let devnet = Devnet::start(config(dir.path()), None).await;
    let mut socket = devnet.socket().await;
    let number = subscribe(&mut socket, "slotsUpdatesSubscribe", json!([])).await;
    devnet.advance(1).await;
    devnet.call("mythic_deadSlot", json!(["a test"])).await;
    devnet.advance(5).await;
    let mut kinds = std::collections::BTreeSet::new();
    while kinds.len() < 5 {
        let told = next(&mut socket).await;
        assert_eq!(told["method"], "slotsUpdatesNotification");
        let result = &told["params"]["result"];
        assert!(result["slot"].is_u64() && result["timestamp"].is_u64());
        let kind = result["type"].as_str().unwrap().to_owned();
        match kind.as_str() {
            "createdBank" => assert!(result["parent"].is_u64()),
            "frozen" => assert_eq!(result["stats"]["numFailedTransactions"], 0),
            "dead" => assert_eq!(result["err"], "a test"),
            _ => {}
        }
        kinds.insert(kind);
    }
    let all = [
        "createdBank",
        "dead",
        "frozen",
        "optimisticConfirmation",
        "root",
    ];
    assert!(kinds.iter().eq(all.iter()), "{kinds:?}");
    let end =
        json!({"jsonrpc": "2.0", "id": 9, "method": "slotsUpdatesUnsubscribe", "params": [number]});
    send(&mut socket, end).await;
    while next(&mut socket).await["id"] != 9 {}
    devnet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_and_errors_over_websocket_carry_their_ids() {
    let dir = tempfile::tempdir().unwrap();
    let devnet = Devnet::start(config(dir.path()), None).await;
    let mut socket = devnet.socket().await;
    let call = |id: u64, method: &str, params: Value| json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
    send(
        &mut socket,
        json!([
            call(1, "slotSubscribe", json!([])),
            {"jsonrpc": "2.0", "method": "slotSubscribe"},
            call(2, "voteSubscribe", json!([])),
            call(3, "blockSubscribe", json!(["all"])),
            call(4, "getSlot", json!([])),
            call(5, "accountSubscribe", json!({"a": 1})),
            5,
            {"jsonrpc": "2.0", "id": "six"},
        ]),
    )
    .await;
    let answers = next(&mut socket).await;
    let answers = answers.as_array().unwrap();
    let ids: Vec<&Value> = answers.iter().map(|answer| &answer["id"]).collect();
    assert_eq!(json!(ids), json!([1, 2, 3, 4, 5, null, "six"]));
    assert!(answers[0]["result"].is_u64());
    for (answer, code, word) in [
        (&answers[1], -32601, "votes"),
        (&answers[2], -32601, "getBlock"),
        (&answers[3], -32601, "HTTP"),
        (&answers[4], -32600, "params"),
        (&answers[5], -32600, "object"),
        (&answers[6], -32600, "method"),
    ] {
        assert_eq!(answer["error"]["code"], code, "{answer}");
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains(word), "{message}");
    }
    send(
        &mut socket,
        call(7, "getSlot", json!({"commitment": "processed"})),
    )
    .await;
    assert_eq!(next(&mut socket).await["id"], 7);
    let many: Vec<Value> = (0..101)
        .map(|id| call(id, "slotSubscribe", json!([])))
        .collect();
    send(&mut socket, json!(many)).await;
    assert_eq!(next(&mut socket).await["error"]["code"], -32600);
    devnet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_holds_a_thousand_subscriptions() {
    let dir = tempfile::tempdir().unwrap();
    let devnet = Devnet::start(config(dir.path()), None).await;
    let mut socket = devnet.socket().await;
    for round in 0..11 {
        let call = |id: u64| json!({"jsonrpc": "2.0", "id": id, "method": "rootSubscribe"});
        let calls: Vec<Value> = (0..100).map(call).collect();
        send(&mut socket, json!(calls)).await;
        let answers = next(&mut socket).await;
        let refused = answers
            .as_array()
            .unwrap()
            .iter()
            .filter(|answer| answer["error"].is_object());
        assert_eq!(refused.count(), if round < 10 { 0 } else { 100 });
    }
    devnet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_that_does_not_read_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let devnet = Devnet::start(config(dir.path()), None).await;
    let payer = devnet.funded(10).await;
    let mut stalled = devnet.socket().await;
    let sysvars = "Sysvar1111111111111111111111111111111111111";
    let config = json!({"commitment": "processed", "encoding": "base64"});
    for _ in 0..20 {
        subscribe(&mut stalled, "programSubscribe", json!([sysvars, config])).await;
    }
    let open = async || {
        let text = reqwest::get(format!("{}/metrics", devnet.url))
            .await
            .unwrap();
        let text = text.text().await.unwrap();
        let line = text
            .lines()
            .find(|line| line.starts_with("mythic_devnet_websocket_connections"));
        line.unwrap().ends_with(" 1")
    };
    assert!(open().await);
    // Each slot is half a megabyte to the stalled reader. The others are served all the while.
    let deadline = Instant::now() + Duration::from_secs(60);
    while open().await {
        assert!(Instant::now() < deadline, "the stalled subscriber stays");
        devnet.advance(8).await;
        devnet.rpc.get_balance(&payer.pubkey()).await.unwrap();
    }
    assert_eq!(
        devnet.rpc.get_balance(&payer.pubkey()).await.unwrap(),
        10 * SOL
    );
    devnet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_follow_the_chain() {
    let dir = tempfile::tempdir().unwrap();
    let devnet = Devnet::start(config(dir.path()), None).await;
    let payer = devnet.funded(10).await;
    let to = Pubkey::new_unique();
    let key = to.to_string();
    let processed = json!({"commitment": "processed", "encoding": "base64"});
    let tx = devnet.transfer(&payer, &to, SOL).await;
    let signature = tx.signatures[0].to_string();
    let (mut socket, _) = tokio_tungstenite::connect_async(&devnet.ws_url)
        .await
        .unwrap();
    let system = "11111111111111111111111111111111";
    let account = subscribe(&mut socket, "accountSubscribe", json!([key, processed])).await;
    let program = subscribe(&mut socket, "programSubscribe", json!([system, processed])).await;
    let once = subscribe(
        &mut socket,
        "signatureSubscribe",
        json!([signature, {"commitment": "confirmed"}]),
    )
    .await;
    let logs = subscribe(
        &mut socket,
        "logsSubscribe",
        json!([{"mentions": [key]}, {"commitment": "processed"}]),
    )
    .await;
    let slots = subscribe(&mut socket, "slotSubscribe", json!([])).await;
    let roots = subscribe(&mut socket, "rootSubscribe", json!([])).await;
    devnet.rpc.send_transaction(&tx).await.unwrap();
    devnet.advance(6).await;

    let mut seen = Vec::new();
    while !seen
        .iter()
        .any(|m: &Value| m["method"] == "rootNotification" && m["params"]["result"] == 3)
    {
        seen.push(next(&mut socket).await);
    }
    let of = |id: &Value| -> Vec<&Value> {
        seen.iter()
            .filter(|m| m["params"]["subscription"] == *id)
            .map(|m| &m["params"]["result"])
            .collect()
    };
    assert_eq!(of(&account).len(), 1);
    assert_eq!(of(&account)[0]["value"]["lamports"], SOL);
    assert_eq!(of(&account)[0]["context"]["slot"], 2);
    assert_eq!(of(&program).len(), 2);
    assert_eq!(
        of(&once),
        [&json!({"context": {"slot": 2}, "value": {"err": null}})]
    );
    assert_eq!(of(&logs)[0]["value"]["signature"], signature);
    assert_eq!(of(&slots)[0]["parent"], 2);
    assert_eq!(of(&roots)[0], &json!(1));

    let late = json!([signature, {"commitment": "finalized"}]);
    let again = subscribe(&mut socket, "signatureSubscribe", late).await;
    let told = next(&mut socket).await;
    assert_eq!(told["params"]["subscription"], again);
    let call = json!({"jsonrpc": "2.0", "id": 2, "method": "slotUnsubscribe", "params": [slots]});
    socket.send(Message::text(call.to_string())).await.unwrap();
    assert_eq!(next(&mut socket).await["result"], true);
    for hostile in [
        "{",
        "[]",
        r#"{"id":1,"method":"x"}"#,
        r#"{"id":1,"method":"accountSubscribe","params":[5]}"#,
    ] {
        socket.send(Message::text(hostile)).await.unwrap();
        assert!(
            next(&mut socket).await["error"]["code"].is_i64(),
            "{hostile}"
        );
    }
    let quiet = json!({"jsonrpc": "2.0", "method": "ping"});
    socket.send(Message::text(quiet.to_string())).await.unwrap();
    devnet.stop().await;
}
