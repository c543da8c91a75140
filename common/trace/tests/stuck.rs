//! A collector that takes connections and never answers holds nobody up: spans are dropped, counted, and a stop ends.

use mythic_trace::{Kind, TraceConfig};
use prometheus::Registry;
use std::{
    collections::BTreeMap,
    net::TcpListener,
    time::{Duration, Instant},
};

/// What the process' metrics say of spans.
fn counted(registry: &Registry) -> BTreeMap<String, u64> {
    let families = registry.gather();
    let family = families
        .iter()
        .find(|family| family.name() == "spans_total");
    let metrics = family.map(|family| family.get_metric()).unwrap_or_default();
    let one = metrics.iter().map(|metric| {
        let outcome = metric.get_label()[0].value().to_owned();
        (outcome, metric.get_counter().get_value() as u64)
    });
    one.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_hangs_costs_spans_and_nothing_else() {
    let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = TraceConfig {
        otlp_endpoint: format!("http://{}", hanging.local_addr().unwrap()),
        sample: 1.0,
        per_second: 1,
    };
    let registry = Registry::new();
    let collector = mythic_trace::collector("spans_total", "Spans").unwrap();
    registry.register(collector).unwrap();
    let exporting = mythic_trace::start("test", &config).unwrap();
    // One is traced, and the bound refuses the next; its parts are many.
    let request = mythic_trace::request("request", None);
    assert!(request.is_recorded());
    const PARTS: u64 = 20_000;
    for _ in 0..PARTS {
        request.child("part", Kind::Inside);
    }
    let told = counted(&registry);
    assert_eq!(told["exported"], 0);
    assert!(told["dropped"] > 0, "{told:?}");
    assert!(
        told["dropped"] + told["failed"] + 2_048 >= PARTS,
        "{told:?}"
    );
    drop(request);
    let began = Instant::now();
    exporting.stop().await;
    assert!(began.elapsed() < Duration::from_secs(60), "a stop ends");
    // A second start in one process changes nothing.
    mythic_trace::start("test", &config).unwrap().stop().await;
}
