//! A whole network through a real broker: the plugin forwards, the indexer and the validators read there; the broker dies, forgets what it
//! acknowledged, and gets more partitions.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use mythic_broker::Broker;
use mythic_e2e::{Network, PATIENCE, ends};
use mythic_kafka::{Consumer, Settings, Start, Topic};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewPartitions},
    client::DefaultClientContext,
};
use serde_json::{Value, json};

/// Buys an answer; returns its job.
async fn ask(network: &Network, prompt: &str) -> Result<String> {
    let body = json!({
        "model": network.model().await?,
        "messages": [{"role": "user", "content": prompt}],
        "max_completion_tokens": 8,
    });
    let answer = network.post("/v1/chat/completions", &body).await?;
    Ok(answer["mythic"]["job"]
        .as_str()
        .with_context(|| format!("no job in {answer}"))?
        .to_owned())
}

/// Waits until a job is paid.
async fn settled(network: &Network, job: &str) -> Result<Value> {
    let shown = network.finalized(job).await?;
    ensure!(shown["status"] == "settled", "{shown}");
    Ok(shown)
}

/// Kills the broker after it has acknowledged what comes of an answer, all of which it loses.
async fn forget(network: &Network, broker: &mut Broker, kafka: &Settings) -> Result<()> {
    let (updates, feed) = (kafka.topic(Topic::Updates), kafka.topic(Topic::Feed));
    let flushed = [broker.flushed(&updates)?, broker.flushed(&feed)?];
    let job = ask(network, "And the sea?").await?;
    let (what, running) = ("the answer in both topics", &*broker);
    ends::until(what, PATIENCE, || async {
        let grown =
            running.flushed(&updates)? != flushed[0] && running.flushed(&feed)? != flushed[1];
        Ok((!grown).then(|| "they are as they were".to_owned()))
    })
    .await?;
    broker.kill();
    for topic in &flushed {
        broker.lose_since(topic)?;
    }
    broker.restart()?;
    settled(network, &job).await?;
    Ok(())
}

/// Gives both topics one more partition, and tells it to whoever writes the feed.
async fn grow(network: &Network, kafka: &mut Settings) -> Result<()> {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &kafka.brokers);
    let admin: AdminClient<DefaultClientContext> = client.create()?;
    kafka.partitions += 1;
    for topic in [Topic::Updates, Topic::Feed] {
        let name = kafka.topic(topic);
        let more = NewPartitions::new(&name, kafka.partitions.into());
        let grown = admin.create_partitions([&more], &AdminOptions::new());
        for result in grown.await? {
            ensure!(result.is_ok(), "{result:?}");
        }
    }
    let mut indexer = network.config("indexer")?;
    let section = indexer.get_mut("kafka").and_then(toml::Value::as_table_mut);
    let section = section.context("no section [kafka]")?;
    section.insert("partitions".into(), i64::from(kafka.partitions).into());
    let path = network.data_dir().join("config/indexer.toml");
    std::fs::write(path, toml::to_string(&indexer)?)?;
    network.start_again("indexer").await
}

/// Messages of the feed's topic that the validators have read.
async fn read_by_validators(network: &Network) -> Result<f64> {
    let state = network.state();
    let mut all = 0.0;
    for validator in state["validators"].as_array().context("validators")? {
        let endpoint = validator["endpoint"].as_str().context("an endpoint")?;
        let metrics = network.http.get(format!("{endpoint}/metrics"));
        let metrics = metrics.send().await?.error_for_status()?.text().await?;
        let read = metrics
            .lines()
            .find_map(|line| line.strip_prefix("mythic_node_kafka_messages_total "));
        all += read.context("no count of messages")?.parse::<f64>()?;
    }
    Ok(all)
}

/// An open job comes to a validator by the feed's topic, is answered and paid.
async fn open_job(network: &Network) -> Result<()> {
    let before = read_by_validators(network).await?;
    let model = network.model().await?;
    let body = json!({"model": model, "prompt": "Once upon a time", "max_tokens": 8});
    let open = network.post("/v1/inference?wait=false", &body).await?;
    let job = open["id"].as_str().with_context(|| format!("{open}"))?;
    let shown = settled(network, job).await?;
    let first = shown["transitions"][0]["status"].as_str();
    ensure!(first == Some("open"), "{shown}");
    // Its events may be in the partition that was added.
    ends::until("the validators to read", PATIENCE, || async {
        let after = read_by_validators(network).await?;
        Ok((after <= before).then(|| format!("{after} messages, as before")))
    })
    .await
}

/// What an event is, wherever it is told.
fn event(told: &Value) -> Value {
    json!([told["topic"], told["op"], told["entity"], told["slot"]])
}

/// Reads the feed's topic until it has told so many events, each as often as it likes.
fn told(kafka: &Settings, newest: i64) -> Result<BTreeMap<i64, Value>> {
    let starts: Vec<_> = (0..i32::from(kafka.partitions))
        .map(|partition| (partition, Start::Oldest))
        .collect();
    let consumer = Consumer::assigned(kafka, Topic::Feed, &starts)?;
    let (mut told, started) = (BTreeMap::new(), Instant::now());
    while told.range(..=newest).count() < newest as usize {
        ensure!(
            started.elapsed() < PATIENCE,
            "{} of {newest} events are told",
            told.len()
        );
        let Ok(Some(message)) = consumer.poll(Duration::from_millis(500)) else {
            continue;
        };
        let value: Value = serde_json::from_slice(&message.value)?;
        let seq = value["seq"].as_i64();
        let seq = seq.with_context(|| format!("no event: {value}"))?;
        let other = told.insert(seq, event(&value));
        ensure!(
            other.is_none_or(|other| other == event(&value)),
            "{seq} is told as two: {value}"
        );
    }
    Ok(told)
}

/// The topic tells every event of the feed.
async fn feed_is_told(network: &Network, kafka: &Settings) -> Result<()> {
    let rows = network
        .sql("SELECT seq, topic, op, entity, slot FROM feed.event ORDER BY seq")
        .await?;
    let newest = rows.last().and_then(|row| row["seq"].as_i64());
    let newest = newest.context("the feed is empty")?;
    let kafka = kafka.clone();
    let told = tokio::task::spawn_blocking(move || told(&kafka, newest)).await??;
    for row in rows {
        let seq = row["seq"].as_i64().context("a number")?;
        ensure!(told.get(&seq) == Some(&event(&row)), "{seq}: {row}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_through_kafka_settles_its_jobs_also_when_the_broker_dies_and_forgets()
-> Result<()> {
    let Some(mut broker) = Broker::start()? else {
        return Ok(());
    };
    let address = broker.plain();
    // Ready means that a job was paid, answered and indexed, all of it through the broker.
    let args = ["--validators", "2", "--slot-ms", "50", "--kafka", &address];
    let network = Network::start(&args).await?;
    let shown = network
        .sql("SELECT count(*) AS n FROM analytics.jobs_processed")
        .await?;
    ensure!(shown[0]["n"].as_i64() > Some(0), "{shown:?}");
    let config = network.config("indexer")?;
    let kafka = config.get("kafka").context("no section [kafka]")?;
    let mut kafka: Settings = kafka.clone().try_into()?;

    broker.kill();
    // The gateway and the validators need no broker for an answer.
    let job = ask(&network, "Why is the sky blue?").await?;
    broker.restart()?;
    settled(&network, &job).await?;
    forget(&network, &mut broker, &kafka).await?;
    grow(&network, &mut kafka).await?;
    open_job(&network).await?;

    // That the brokers forgot stays said until an operator has read it.
    let open = "SELECT kind, slot, last_slot, count, detail FROM analytics.alarms WHERE cleared_at IS NULL AND kind <> 'kafka'";
    ends::until("open alarms", PATIENCE, || async {
        let open = network.sql(open).await?;
        Ok((!open.is_empty()).then(|| format!("{open:?}")))
    })
    .await?;
    let inexact = network
        .sql("SELECT id FROM analytics.jobs WHERE NOT exact")
        .await?;
    ensure!(inexact.is_empty(), "{inexact:?}");
    feed_is_told(&network, &kafka).await
}
