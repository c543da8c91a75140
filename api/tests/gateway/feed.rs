//! The feed: contiguous, filtered, resumable, over server-sent events and WebSocket alike.

use std::time::{Duration, Instant};

use bytemuck::Zeroable;
use futures::StreamExt;
use mythic_interface::{
    AI_PRECOMPILES_ID,
    state::{Job, JobStatus, VERSION},
};
use mythic_wire::signed::purpose;
use serde_json::{Value, json};
use solana_keypair::Keypair;

use crate::harness::{FEED_PLACES, World, within};

/// An event: topic, op, and the account that changed with its owner; none of a whole block.
type Event<'a> = (&'a str, &'a str, Option<(&'a str, &'a str)>);

/// 32 bytes of a name.
fn key(name: &str) -> [u8; 32] {
    let mut key = [1; 32];
    key[..name.len()].copy_from_slice(name.as_bytes());
    key
}

/// The address of a name.
fn address(name: &str) -> String {
    bs58::encode(key(name)).into_string()
}

/// A job of an owner, submitted in the slot of [`publish`].
fn job(owner: &str) -> Vec<u8> {
    let mut job = Job::zeroed();
    job.header.discriminator = Job::DISCRIMINATOR;
    job.header.version = VERSION;
    job.header.status = JobStatus::Submitted as u8;
    job.terms.owner = key(owner);
    job.submitted_slot = 7.into();
    bytemuck::bytes_of(&job).to_vec()
}

/// A place for a block in the archive; returns its number.
async fn block(client: &impl tokio_postgres::GenericClient) -> i64 {
    client
        .batch_execute(
            "CREATE TABLE IF NOT EXISTS archive.account_0 PARTITION OF archive.account FOR VALUES FROM (0) TO (432000)",
        )
        .await
        .unwrap();
    client
        .query_one(
            "SELECT COALESCE(max(bank), 0) + 1 FROM archive.account",
            &[],
        )
        .await
        .unwrap()
        .get(0)
}

/// Writes events as the indexer does: archived updates, numbers from the counter, one notification. Returns the last number.
async fn publish(client: &mut tokio_postgres::Client, events: &[Event<'_>]) -> i64 {
    let transaction = client.transaction().await.unwrap();
    let bank = block(&transaction).await;
    let first: i64 = transaction
        .query_one(
            "UPDATE feed.counter SET next = next + $1 RETURNING next - $1",
            &[&(events.len() as i64)],
        )
        .await
        .unwrap()
        .get(0);
    for ((ordinal, seq), (topic, op, account)) in (0i32..).zip(first..).zip(events) {
        let span = account.is_none().then(|| (first, seq - 1, ordinal));
        if let Some((name, owner)) = account {
            let lamports: i64 = if *topic == "network" { 0 } else { 1 };
            transaction
                .execute(
                    "INSERT INTO archive.account (slot, bank, ordinal, write_version, account_slot, pubkey, owner, lamports, data)
                     VALUES (7, $1, $2, 0, 7, $3, $4, $5, $6)",
                    &[
                        &bank,
                        &ordinal,
                        &&key(name)[..],
                        &&AI_PRECOMPILES_ID[..],
                        &&lamports.to_le_bytes()[..],
                        &job(owner),
                    ],
                )
                .await
                .unwrap();
        }
        transaction
            .execute(
                "INSERT INTO feed.entry (seq, topic, op, slot, blockhash, bank, archive_slot, ordinal, first_seq, last_seq, count)
                 VALUES ($1, $2, $3, 7, decode(lpad('7', 64, '0'), 'hex'), $4, $5, $6, $7, $8, $9)",
                &[
                    &seq,
                    topic,
                    op,
                    &bank,
                    &account.map(|_| 7i64),
                    &account.map(|_| ordinal),
                    &span.map(|span| span.0),
                    &span.map(|span| span.1),
                    &span.map(|span| span.2),
                ],
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

pub struct Reader {
    stream: futures::stream::BoxStream<'static, reqwest::Result<Vec<u8>>>,
    parser: mythic_wire::sse::SseParser,
    ready: std::collections::VecDeque<Value>,
}

pub async fn subscribe(world: &World, query: &str) -> Reader {
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
    /// The next event.
    pub async fn next(&mut self) -> Value {
        while self.ready.is_empty() {
            let chunk = tokio::time::timeout(Duration::from_secs(60), self.stream.next())
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
        let mut database = world.database().await;
        let before = publish(&mut database, &[("jobs", "add", Some(("J0", "YOU")))]).await;
        publish(
            &mut database,
            &[
                ("jobs", "add", Some(("J1", "YOU"))),
                ("jobs", "add", Some(("J2", "YOU"))),
            ],
        )
        .await;
        let mut reader = subscribe(world, &format!("topics=jobs&after={before}")).await;
        assert_eq!(reader.next().await["entity"], address("J1"));
        assert_eq!(reader.next().await["entity"], address("J2"));
        let last = publish(
            &mut database,
            &[
                ("jobs", "add", Some(("J3", "YOU"))),
                ("network", "add", Some(("N", "YOU"))),
            ],
        )
        .await;
        let live = reader.next().await;
        assert_eq!(
            (live["entity"].as_str(), live["seq"].as_i64()),
            (Some(address("J3").as_str()), Some(last - 1))
        );
    });
}

#[test]
fn filters_narrow_and_bank_rows_are_told_per_entity() {
    within(|world| async move {
        let mut database = world.database().await;
        let mut all = subscribe(world, "topics=jobs").await;
        let mut mine = subscribe(world, &format!("owner={}", address("ME"))).await;
        let events = [
            ("jobs", "add", Some(("A", "ME"))),
            ("jobs", "add", Some(("B", "YOU"))),
            ("jobs", "confirm", None),
        ];
        publish(&mut database, &events).await;
        for (op, entity) in [
            ("add", json!(address("A"))),
            ("add", json!(address("B"))),
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
                (Some(op), Some(address("A").as_str()))
            );
        }
    });
}

#[test]
fn a_bank_row_is_told_of_every_member_however_many_there_are() {
    within(|world| async move {
        let mut database = world.database().await;
        let before = publish(&mut database, &[("jobs", "add", Some(("B0", "YOU")))]).await;
        let bank = block(&database).await;
        let (ours, others) = (job("LAST"), job("YOU"));
        database
            .execute(
                "WITH made AS (
                    INSERT INTO archive.account (slot, bank, ordinal, write_version, account_slot, pubkey, owner, lamports, data)
                    SELECT 8, $1, n, 0, 8, decode(lpad(to_hex(n), 64, '0'), 'hex'), $2, '\\x0100000000000000',
                           CASE n WHEN 20999 THEN $3::bytea ELSE $4::bytea END FROM generate_series(1, 21000) n RETURNING ordinal)
                 INSERT INTO feed.entry (seq, topic, op, slot, blockhash, bank, archive_slot, ordinal)
                 SELECT $5::bigint + ordinal, 'jobs', 'add', 8, decode(lpad('8', 64, '0'), 'hex'), $1, 8, ordinal FROM made",
                &[&bank, &&AI_PRECOMPILES_ID[..], &ours, &others, &before],
            )
            .await
            .unwrap();
        database
            .execute(
                "INSERT INTO feed.entry (seq, topic, op, slot, blockhash, bank, first_seq, last_seq, count)
                 VALUES ($1::bigint + 21001, 'jobs', 'confirm', 8, decode(lpad('8', 64, '0'), 'hex'), $2, $1 + 1, $1 + 21000, 21000)",
                &[&before, &bank],
            )
            .await
            .unwrap();
        database
            .batch_execute("UPDATE feed.counter SET next = next + 21001")
            .await
            .unwrap();
        let last = bs58::encode(hex::decode(format!("{:064x}", 20999)).unwrap()).into_string();
        let query = format!("owner={}&after={before}", address("LAST"));
        let mut reader = subscribe(world, &query).await;
        for op in ["add", "confirm"] {
            let event = reader.next().await;
            assert_eq!(
                (event["op"].as_str(), event["entity"].as_str()),
                (Some(op), Some(last.as_str()))
            );
        }
    });
}

#[test]
fn what_the_feed_tells_of_a_job_is_made_from_the_archived_update() {
    within(|world| async move {
        let mut database = world.database().await;
        let mut reader = subscribe(world, "topics=results").await;
        publish(&mut database, &[("results", "add", Some(("P", "ME")))]).await;
        let event = reader.next().await;
        let payload = &event["payload"];
        assert_eq!(
            (&payload["id"], &payload["owner"], &payload["status"]),
            (
                &json!(address("P")),
                &json!(address("ME")),
                &json!("submitted")
            )
        );
        assert_eq!(payload["submitted_slot"], 7);
        assert_eq!(event["commitment"], "processed");
    });
}

#[test]
fn an_event_whose_update_is_not_archived_any_more_is_a_gap() {
    within(|world| async move {
        let mut database = world.database().await;
        let before = publish(&mut database, &[("jobs", "add", Some(("G0", "YOU")))]).await;
        let lost = publish(&mut database, &[("jobs", "add", Some(("G1", "YOU")))]).await;
        let last = publish(&mut database, &[("jobs", "add", Some(("G2", "YOU")))]).await;
        database
            .execute(
                "DELETE FROM archive.account WHERE (bank, ordinal) = (SELECT bank, ordinal FROM feed.entry WHERE seq = $1)",
                &[&lost],
            )
            .await
            .unwrap();
        // What the gateway read before the update went, it may still tell.
        while world.get("/health").await["components"]["feed"]["newest"] != last {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let mut reader = subscribe(world, &format!("topics=jobs&after={before}")).await;
        assert_eq!(
            reader.next().await,
            json!({"gap": {"from": lost, "to": lost}})
        );
        assert_eq!(reader.next().await["entity"], address("G2"));
    });
}

#[test]
fn the_websocket_says_the_same_and_expired_history_is_410() {
    within(|world| async move {
        let mut database = world.database().await;
        let before = publish(&mut database, &[("results", "add", Some(("R0", "YOU")))]).await;
        publish(&mut database, &[("results", "add", Some(("R1", "YOU")))]).await;
        let url = format!(
            "{}/ws?topics=results&after={before}",
            world.url.replace("http", "ws")
        );
        let (mut socket, _) = tokio_tungstenite::connect_async(&url).await.unwrap();
        let mut seen = Vec::new();
        publish(&mut database, &[("results", "add", Some(("R2", "YOU")))]).await;
        while seen.len() < 2 {
            if let tokio_tungstenite::tungstenite::Message::Text(text) =
                socket.next().await.unwrap().unwrap()
            {
                seen.push(serde_json::from_str::<Value>(text.as_str()).unwrap()["entity"].clone());
            }
        }
        assert_eq!(seen, [json!(address("R1")), json!(address("R2"))]);
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

/// Asks for the feed, signed by `key` for `wanted` if there is one.
async fn follow(world: &World, signed: Option<(&Keypair, &str)>) -> reqwest::Response {
    let path = "/v1/stream?topics=results";
    let mut request = reqwest::Client::new().get(format!("{}{path}", world.url));
    if let Some((key, purpose)) = signed {
        let signed = mythic_wire::signed::Request {
            origin: &mythic_wire::Origin::parse(&world.url).unwrap(),
            method: "GET",
            path,
            purpose,
            body: b"",
        };
        for (name, value) in mythic_wire::signed::sign(&signed, key) {
            request = request.header(name, value);
        }
    }
    request.send().await.unwrap()
}

#[test]
fn a_validators_operator_has_a_place_where_its_address_has_none_left() {
    within(|world| async move {
        let operator = &world.validators[0].operator;
        // Those of earlier tests end when the gateway sees that their readers are gone.
        let mut strangers = Vec::new();
        let until = Instant::now() + Duration::from_secs(40);
        while strangers.len() < FEED_PLACES as usize {
            assert!(Instant::now() < until, "{} places", strangers.len());
            match follow(world, None).await {
                taken if taken.status() == 200 => strangers.push(taken),
                full => {
                    assert_eq!(full.status(), 429);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        assert_eq!(follow(world, None).await.status(), 429);
        let signed = follow(world, Some((operator, purpose::STREAM))).await;
        assert_eq!(signed.status(), 200);
        // Anybody can sign; whoever is no validator's operator has its address's places.
        let nobody = Keypair::new();
        let refused = follow(world, Some((&nobody, purpose::STREAM))).await;
        assert_eq!(refused.status(), 429);
        // What was signed for something else is no subscription.
        let refused = follow(world, Some((operator, purpose::ANNOUNCE))).await;
        assert_eq!(refused.status(), 401);
        let body: Value = refused.json().await.unwrap();
        assert_eq!(body["error"]["code"], "invalid_signature");
    });
}
