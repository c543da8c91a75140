//! What a web page, another machine or a careless client gets.

use std::time::Duration;

use serde_json::{Value, json};
use solana_pubkey::Pubkey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, http::StatusCode};

use crate::common::{Devnet, config};

const SLOT: &str = r#"{"jsonrpc":"2.0","id":1,"method":"getSlot"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn foreign_pages_hosts_and_proxies_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let devnet = Devnet::start(config(dir.path()), None).await;
    let http = reqwest::Client::new();
    let status = async |headers: &[(&str, &str)]| {
        let mut request = http.post(&devnet.url).body(SLOT);
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json; charset=utf-8");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    };
    let mut upgrades = Vec::new();
    for headers in [
        [("host", "evil.example")],
        [("origin", "https://evil.example")],
        [("origin", "null")],
        [("x-forwarded-for", "10.0.0.1")],
    ] {
        let response = status(&headers).await;
        assert_eq!(response.status(), 403, "{headers:?}");
        assert!(
            !response
                .headers()
                .contains_key("access-control-allow-origin")
        );
        let mut request = devnet.ws_url.as_str().into_client_request().unwrap();
        let (name, value) = headers[0];
        request.headers_mut().insert(name, value.parse().unwrap());
        upgrades.push(request);
    }
    for request in upgrades {
        match tokio_tungstenite::connect_async(request).await {
            Err(Error::Http(response)) => assert_eq!(response.status(), StatusCode::FORBIDDEN),
            other => panic!("{other:?}"),
        }
    }
    for kind in ["text/plain", "application/x-www-form-urlencoded"] {
        let response = status(&[("content-type", kind)]).await;
        assert_eq!(response.status(), 415, "{kind}");
        let answer: Value = response.json().await.unwrap();
        assert_eq!(answer["error"]["code"], -32600);
    }
    assert_eq!(status(&[]).await.status(), 200);

    // A page that is developed on this machine may read the answers.
    let page = "http://localhost:5173";
    let response = status(&[("origin", page)]).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["access-control-allow-origin"], page);
    let preflight = http
        .request(reqwest::Method::OPTIONS, &devnet.url)
        .header("origin", page)
        .header("access-control-request-method", "POST")
        .header(
            "access-control-request-headers",
            "content-type,solana-client",
        )
        .send()
        .await
        .unwrap();
    assert_eq!(preflight.headers()["access-control-allow-origin"], page);
    let allowed = preflight.headers()["access-control-allow-headers"]
        .to_str()
        .unwrap();
    assert!(allowed.contains("solana-client"), "{allowed}");
    devnet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_carries_the_id_of_its_call() {
    let dir = tempfile::tempdir().unwrap();
    let devnet = Devnet::start(config(dir.path()), None).await;
    let http = reqwest::Client::new();
    for (call, id) in [
        (
            json!({"jsonrpc": "2.0", "id": 7, "method": "getSlot", "params": {"a": 1}}),
            json!(7),
        ),
        (
            json!({"jsonrpc": "2.0", "id": "seven", "method": 5}),
            json!("seven"),
        ),
        (
            json!({"jsonrpc": "2.0", "id": 7, "method": "getSlot", "params": [5]}),
            json!(7),
        ),
        (
            json!({"jsonrpc": "2.0", "id": 7, "method": "nope"}),
            json!(7),
        ),
        (
            json!({"jsonrpc": "2.0", "id": [7], "method": "getSlot"}),
            json!(null),
        ),
        (json!([7]), json!(null)),
    ] {
        let response = http.post(&devnet.url).json(&call).send().await.unwrap();
        let answer: Value = response.json().await.unwrap();
        let answer = answer.get(0).unwrap_or(&answer);
        assert!(answer["error"]["code"].is_i64(), "{call}: {answer}");
        assert_eq!(answer["id"], id, "{call}: {answer}");
    }
    devnet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_large_answers_has_an_end() {
    let dir = tempfile::tempdir().unwrap();
    let devnet = Devnet::start(config(dir.path()), None).await;
    let call = |id: u64| json!({"jsonrpc": "2.0", "id": id, "method": "getLeaderSchedule"});
    let batch: Vec<Value> = (0..100).map(call).collect();
    let response = reqwest::Client::new()
        .post(&devnet.url)
        .json(&batch)
        .send()
        .await
        .unwrap();
    let bytes = response.bytes().await.unwrap();
    assert!(bytes.len() < 80 << 20, "{}", bytes.len());
    let answers: Vec<Value> = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(answers.len(), 100);
    assert!(answers[0]["result"].is_object());
    let message = answers[99]["error"]["message"].as_str().unwrap();
    assert!(message.contains("apart"), "{message}");
    assert_eq!(answers[99]["id"], 99);
    devnet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_and_idle_connections_are_closed_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.limits.header_seconds = 1;
    config.limits.body_seconds = 1;
    config.limits.idle_seconds = 1;
    config.limits.connections = 8;
    config.limits.connections_per_address = 8;
    let devnet = Devnet::start(config, None).await;
    let ports = [&devnet.url, &devnet.ws_url].map(|url| url.split("//").nth(1).unwrap().to_owned());
    for port in &ports {
        for start in [
            "",
            "POST / HT",
            "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{",
        ] {
            let mut stream = TcpStream::connect(port).await.unwrap();
            stream.write_all(start.as_bytes()).await.unwrap();
            let mut rest = Vec::new();
            let closed =
                tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut rest));
            let _ = closed.await.expect("it is closed");
        }
        let mut held = Vec::new();
        for _ in 0..20 {
            held.push(TcpStream::connect(port).await.unwrap());
        }
        let mut told = vec![0; 64];
        let last = held.last_mut().unwrap();
        let read = tokio::time::timeout(Duration::from_secs(20), last.read(&mut told));
        let read = read.await.expect("it is turned away").unwrap_or(0);
        assert!(read == 0 || told.starts_with(b"HTTP/1.1 4") || told.starts_with(b"HTTP/1.1 503"));
    }
    devnet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_requests_get_errors() {
    let dir = tempfile::tempdir().unwrap();
    let devnet = Devnet::start(config(dir.path()), None).await;
    let http = reqwest::Client::new();
    let post = |body: String| {
        let request = http
            .post(&devnet.url)
            .header("content-type", "application/json")
            .body(body);
        async move {
            let response = request.send().await.unwrap();
            let status = response.status().as_u16();
            (status, response.json::<Value>().await.unwrap())
        }
    };
    let call = |method: &str, params: Value| {
        json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}).to_string()
    };
    let deep = "[".repeat(100_000);
    for (body, code) in [
        (String::new(), -32700),
        ("nonsense".into(), -32700),
        (deep, -32700),
        ("[]".into(), -32600),
        ("5".into(), -32600),
        (call("nope", json!([])), -32601),
        (call("getBalance", json!([])), -32602),
        (call("getBalance", json!(["not base58 !"])), -32602),
        (call("getBalance", json!({"a": 1})), -32600),
        (call("sendTransaction", json!(["1111"])), -32602),
        (call("sendTransaction", json!(["x".repeat(5000)])), -32602),
        (
            call(
                "getAccountInfo",
                json!(["SysvarC1ock11111111111111111111111111111111", {"minContextSlot": 99}]),
            ),
            -32016,
        ),
        (
            call(
                "getAccountInfo",
                json!(["SysvarS1otHashes111111111111111111111111111"]),
            ),
            -32600,
        ),
        (call("mythic_advanceSlots", json!([u64::MAX])), -32602),
        (call("mythic_fork", json!([0])), -32602),
        (call("mythic_revert", json!([12345])), -32602),
        (call("mythic_nope", json!([])), -32601),
        (
            call("getSignatureStatuses", json!([vec!["1"; 257]])),
            -32602,
        ),
        (
            call(
                "requestAirdrop",
                json!([Pubkey::new_unique().to_string(), u64::MAX]),
            ),
            -32603,
        ),
    ] {
        let shown: String = body.chars().take(80).collect();
        let (status, answer) = post(body).await;
        assert_eq!(
            (status, &answer["error"]["code"]),
            (200, &json!(code)),
            "{shown}: {answer}"
        );
    }
    let (status, answer) = post("x".repeat(300_000)).await;
    assert_eq!((status, &answer["error"]["code"]), (413, &json!(-32600)));
    let batch = format!(
        "[{},{}]",
        call("getSlot", json!([])),
        call("nope", json!([]))
    );
    let (_, answer) = post(batch).await;
    assert_eq!(answer.as_array().unwrap().len(), 2);
    let metrics = http
        .get(format!("{}/metrics", devnet.url))
        .send()
        .await
        .unwrap();
    assert!(
        metrics
            .text()
            .await
            .unwrap()
            .contains("mythic_devnet_processed_slot")
    );
    devnet.stop().await;
}
