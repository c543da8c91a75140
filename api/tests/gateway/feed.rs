//! The feed: contiguous, filtered, resumable, over server-sent events and WebSocket alike.

use futures::StreamExt;
use serde_json::{Value, json};

use crate::harness::{World, within};

async fn database(world: &World) -> tokio_postgres::Client {
    let config: tokio_postgres::Config = world.database_url.parse().unwrap();
    let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Writes events as the indexer does: numbers from the counter, one notification. Returns the last number.
async fn publish(
    client: &mut tokio_postgres::Client,
    events: &[(&str, &str, Option<&str>, Value)],
) -> i64 {
    let transaction = client.transaction().await.unwrap();
    let first: i64 = transaction
        .query_one(
            "UPDATE feed.counter SET next = next + $1 RETURNING next - $1",
            &[&(events.len() as i64)],
        )
        .await
        .unwrap()
        .get(0);
    for (seq, (topic, op, entity, payload)) in (first..).zip(events) {
        let commitment = if *op == "add" {
            "processed"
        } else {
            "confirmed"
        };
        let mut payload = payload.clone();
        if entity.is_none() {
            payload = json!({"first_seq": first, "last_seq": seq - 1, "count": seq - first});
        }
        transaction
            .execute(
                "INSERT INTO feed.event (seq, topic, op, entity, slot, blockhash, commitment, payload) VALUES ($1, $2, $3, $4, 7, 'bank', $5, $6)",
                &[&seq, topic, op, entity, &commitment, &payload],
            )
            .await
            .unwrap();
    }
    let last = first + events.len() as i64 - 1;
    transaction
        .execute("SELECT pg_notify('mythic_feed', $1)", &[&last.to_string()])
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    last
}

struct Reader {
    stream: futures::stream::BoxStream<'static, reqwest::Result<Vec<u8>>>,
    parser: mythic_wire::sse::SseParser,
    ready: std::collections::VecDeque<Value>,
}

async fn subscribe(world: &World, query: &str) -> Reader {
    let response = reqwest::get(format!("{}/v1/stream?{query}", world.url))
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    let stream = response
        .bytes_stream()
        .map(|chunk| chunk.map(|bytes| bytes.to_vec()))
        .boxed();
    Reader {
        stream,
        parser: mythic_wire::sse::SseParser::new(1 << 20),
        ready: Default::default(),
    }
}

impl Reader {
    async fn next(&mut self) -> Value {
        while self.ready.is_empty() {
            let chunk =
                tokio::time::timeout(std::time::Duration::from_secs(20), self.stream.next())
                    .await
                    .expect("an event in time");
            let events = self.parser.push(&chunk.unwrap().unwrap()).unwrap();
            self.ready.extend(
                events
                    .iter()
                    .map(|event| serde_json::from_str::<Value>(&event.data).unwrap()),
            );
        }
        self.ready.pop_front().unwrap()
    }
}

#[test]
fn a_subscriber_sees_history_then_live_without_a_hole() {
    within(|world| async move {
        let mut database = database(world).await;
        let before = publish(&mut database, &[("jobs", "add", Some("J0"), json!({}))]).await;
        publish(
            &mut database,
            &[
                ("jobs", "add", Some("J1"), json!({})),
                ("jobs", "add", Some("J2"), json!({})),
            ],
        )
        .await;
        let mut reader = subscribe(world, &format!("topics=jobs&after={before}")).await;
        assert_eq!(reader.next().await["entity"], "J1");
        assert_eq!(reader.next().await["entity"], "J2");
        let last = publish(
            &mut database,
            &[
                ("jobs", "add", Some("J3"), json!({})),
                ("network", "add", Some("N"), json!({})),
            ],
        )
        .await;
        let live = reader.next().await;
        assert_eq!(
            (live["entity"].as_str(), live["seq"].as_i64()),
            (Some("J3"), Some(last - 1))
        );
    });
}

#[test]
fn filters_narrow_and_bank_rows_are_told_per_entity() {
    within(|world| async move {
        let mut database = database(world).await;
        let mut all = subscribe(world, "topics=jobs").await;
        let mut mine = subscribe(world, "owner=ME").await;
        let events = [
            ("jobs", "add", Some("A"), json!({"owner": "ME"})),
            ("jobs", "add", Some("B"), json!({"owner": "YOU"})),
            ("jobs", "confirm", None, json!({})),
        ];
        publish(&mut database, &events).await;
        for (op, entity) in [
            ("add", json!("A")),
            ("add", json!("B")),
            ("confirm", Value::Null),
        ] {
            let event = all.next().await;
            assert_eq!(
                (event["op"].as_str(), &event["entity"]),
                (Some(op), &entity)
            );
        }
        for op in ["add", "confirm"] {
            let event = mine.next().await;
            assert_eq!(
                (event["op"].as_str(), event["entity"].as_str()),
                (Some(op), Some("A"))
            );
        }
    });
}

#[test]
fn a_bank_row_is_told_of_every_member_however_many_there_are() {
    within(|world| async move {
        let mut database = database(world).await;
        let before = publish(&mut database, &[("jobs", "add", Some("B0"), json!({}))]).await;
        database
            .batch_execute(
                r#"INSERT INTO feed.event (seq, topic, op, entity, slot, blockhash, commitment, payload)
                   SELECT c.next - 1 + n, 'jobs', 'add', 'M' || n, 8, 'big', 'processed',
                          jsonb_build_object('owner', CASE n WHEN 20999 THEN 'LAST' ELSE 'YOU' END)
                     FROM feed.counter c, generate_series(1, 21000) n;
                   UPDATE feed.counter SET next = next + 21000"#,
            )
            .await
            .unwrap();
        let span = json!({"first_seq": before + 1, "last_seq": before + 21000, "count": 21000});
        database
            .execute(
                "WITH c AS (UPDATE feed.counter SET next = next + 1 RETURNING next - 1 AS seq)
                 INSERT INTO feed.event (seq, topic, op, slot, blockhash, commitment, payload)
                 SELECT seq, 'jobs', 'confirm', 8, 'big', 'confirmed', $1 FROM c",
                &[&span],
            )
            .await
            .unwrap();
        let mut reader = subscribe(world, &format!("owner=LAST&after={before}")).await;
        for op in ["add", "confirm"] {
            let event = reader.next().await;
            assert_eq!(
                (event["op"].as_str(), event["entity"].as_str()),
                (Some(op), Some("M20999"))
            );
        }
    });
}

#[test]
fn the_websocket_says_the_same_and_expired_history_is_410() {
    within(|world| async move {
        let mut database = database(world).await;
        let before = publish(&mut database, &[("results", "add", Some("R0"), json!({}))]).await;
        publish(&mut database, &[("results", "add", Some("R1"), json!({}))]).await;
        let url = format!(
            "{}/ws?topics=results&after={before}",
            world.url.replace("http", "ws")
        );
        let (mut socket, _) = tokio_tungstenite::connect_async(&url).await.unwrap();
        let mut seen = Vec::new();
        publish(&mut database, &[("results", "add", Some("R2"), json!({}))]).await;
        while seen.len() < 2 {
            if let tokio_tungstenite::tungstenite::Message::Text(text) =
                socket.next().await.unwrap().unwrap()
            {
                seen.push(serde_json::from_str::<Value>(text.as_str()).unwrap()["entity"].clone());
            }
        }
        assert_eq!(seen, [json!("R1"), json!("R2")]);
        database
            .execute("UPDATE feed.counter SET oldest = $1", &[&(before + 1)])
            .await
            .unwrap();
        let response = reqwest::get(format!("{}/v1/stream?after={}", world.url, before - 1))
            .await
            .unwrap();
        assert_eq!(response.status(), 410);
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["error"]["code"], "feed_expired");
        database
            .execute("UPDATE feed.counter SET oldest = 1", &[])
            .await
            .unwrap();
    });
}
