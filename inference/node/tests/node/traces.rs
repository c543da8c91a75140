//! A job is logged under the id and the trace of the request that brought it.

use std::{
    io::Write,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tracing_subscriber::fmt::MakeWriter;

use crate::harness::{PATIENCE, World};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// What the process logs.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_logged_under_the_request_that_brought_it() {
    let log = Log::default();
    // For the whole process, because the node has threads of its own; what other tests log is in it too.
    tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(log.clone())
        .init();
    let world = World::start(60).await;
    let node = world.node(Duration::from_millis(2));
    let ask = async |tag: u8, id: &str, parent: &str| {
        let (args, prompt) = world.request(tag, 4).await;
        let request = world.cosigned(&args, &prompt).await;
        let response = reqwest::Client::new()
            .post(format!("{}/v1/inference", node.url))
            .header("x-request-id", id)
            .header("traceparent", parent)
            .json(&request)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        let said = response.headers()["x-request-id"]
            .to_str()
            .unwrap()
            .to_owned();
        response.bytes().await.unwrap();
        let job = world.job(&args).to_string();
        let started = Instant::now();
        loop {
            let text = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
            let retired = |line: &&str| line.contains("job retired") && line.contains(&job);
            if let Some(line) = text.lines().find(retired) {
                return (said, line.to_owned(), text.clone());
            }
            assert!(
                started.elapsed() < PATIENCE,
                "job {job} is not logged:\n{text}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let (said, line, _) = ask(1, "mine:1", PARENT).await;
    assert_eq!(said, "mine:1");
    assert!(line.contains("mine:1") && line.contains(PARENT), "{line}");
    // What is no id and no trace is neither logged nor given back.
    let long = format!("{PARENT}-{}", "7".repeat(9_000));
    let (said, line, log) = ask(2, "a b[2J", &long).await;
    assert!(said.starts_with("req_") && line.contains(&said), "{line}");
    assert!(!line.contains("traceparent"), "{line}");
    assert!(
        !log.contains("7777") && !log.contains("[2J"),
        "hostile headers are logged"
    );
}
