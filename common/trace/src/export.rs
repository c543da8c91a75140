//! The way out: ended spans wait in a bounded queue, and a thread of their own sends them. A collector that is away or slow costs spans,
//! which are counted, and nothing else.

use crate::{
    config::TraceConfig,
    counts::COUNTS,
    sampling::Sampler,
    span::{TRACING, Tracing},
};
use futures::StreamExt;
use mythic_support::Throttle;
use opentelemetry::{Context, KeyValue, trace::TracerProvider};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, RetryPolicy, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    trace::{
        BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider, Span, SpanData, SpanExporter,
        SpanLimits, SpanProcessor,
    },
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

/// Spans that wait at most; about 1 KB each.
const QUEUE: usize = 2_048;
const BATCH: usize = 256;
/// Pause between two batches that are not full.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a collector may take for a batch.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a stop waits for the last of them.
const LAST: Duration = Duration::from_secs(2);
/// Longest answer of a collector that is read, in bytes.
const MAX_ANSWER: usize = 64 << 10;
const WARNINGS: Duration = Duration::from_secs(60);

/// Why traces can't be turned on.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    #[error("{0}")]
    Config(String),
    #[error("traces: {0}")]
    Start(String),
}

/// Traces that are on, or not.
#[must_use = "a process that ends says the last of its spans with `stop`"]
#[derive(Debug)]
pub struct Exporting(Option<SdkTracerProvider>);

impl Exporting {
    /// Sends what waits, and ends. It takes two seconds at most.
    pub async fn stop(self) {
        let Some(provider) = self.0 else {
            return;
        };
        let ended = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(LAST));
        if !matches!(tokio::time::timeout(LAST * 2, ended).await, Ok(Ok(Ok(())))) {
            tracing::warn!("the last spans did not get to the collector in time");
        }
    }
}

/// Turns traces on where they are set. A process has one place that they go to: the first.
pub fn start(process: &str, config: &TraceConfig) -> Result<Exporting, TraceError> {
    config.validate().map_err(TraceError::Config)?;
    let Some(endpoint) = config.endpoint().map_err(TraceError::Config)? else {
        return Ok(Exporting(None));
    };
    let failed = |error: &dyn std::fmt::Display| TraceError::Start(error.to_string());
    let runtime = tokio::runtime::Handle::try_current().map_err(|error| failed(&error))?;
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(PATIENCE)
        .build()
        .map_err(|error| failed(&error))?;
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_http_client(Client { client, runtime })
        .with_retry_policy(RetryPolicy::disabled())
        .with_endpoint(endpoint.as_str())
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(PATIENCE)
        .build()
        .map_err(|error| failed(&error))?;
    let waiting = Arc::new(AtomicUsize::new(0));
    let exporter = Counted {
        inner: exporter,
        waiting: waiting.clone(),
        warnings: Throttle::new(WARNINGS),
    };
    // Its own queue is never full: ours is shorter.
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE * 2)
        .with_max_export_batch_size(BATCH)
        .with_scheduled_delay(PAUSE)
        .build();
    let inner = BatchSpanProcessor::builder(exporter)
        .with_batch_config(batches)
        .build();
    let provider = SdkTracerProvider::builder()
        .with_span_processor(Bounded { inner, waiting })
        // What is begun is decided before.
        .with_sampler(opentelemetry_sdk::trace::Sampler::AlwaysOn)
        .with_span_limits(SpanLimits {
            max_attributes_per_span: 32,
            max_events_per_span: 8,
            max_links_per_span: 8,
            max_attributes_per_event: 8,
            max_attributes_per_link: 8,
        })
        .with_resource(
            Resource::builder()
                .with_service_name(process.to_owned())
                .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
                .build(),
        )
        .build();
    let tracing = Tracing {
        tracer: provider.tracer("mythic"),
        sampler: Sampler::new(config),
    };
    if TRACING.set(tracing).is_err() {
        return Ok(Exporting(None));
    }
    let host = endpoint.host_str().unwrap_or_default();
    tracing::info!(
        host,
        sample = config.sample,
        per_second = config.per_second,
        "traces are sent to a collector"
    );
    Ok(Exporting(Some(provider)))
}

/// Our own client on our own runtime; the thread that sends waits for it.
#[derive(Debug)]
struct Client {
    client: reqwest::Client,
    runtime: tokio::runtime::Handle,
}

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let sent = self.runtime.spawn(async move {
            let (parts, body) = request.into_parts();
            let url = reqwest::Url::parse(&parts.uri.to_string())?;
            let post = client
                .request(parts.method, url)
                .headers(parts.headers)
                .body(body);
            let response = post.send().await.map_err(reqwest::Error::without_url)?;
            let status = response.status();
            let (mut bytes, mut stream) = (Vec::new(), response.bytes_stream());
            while let Some(chunk) = stream.next().await {
                let chunk = chunk.map_err(reqwest::Error::without_url)?;
                if bytes.len() + chunk.len() > MAX_ANSWER {
                    return Err("the collector's answer is too long".into());
                }
                bytes.extend_from_slice(&chunk);
            }
            let answer = Response::builder().status(status).body(bytes.into())?;
            Ok::<_, HttpError>(answer)
        });
        sent.await?
    }
}

/// The bound before the queue.
#[derive(Debug)]
struct Bounded {
    inner: BatchSpanProcessor,
    waiting: Arc<AtomicUsize>,
}

impl SpanProcessor for Bounded {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.inner.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.waiting.fetch_add(1, Relaxed) >= QUEUE {
            self.waiting.fetch_sub(1, Relaxed);
            COUNTS.dropped.fetch_add(1, Relaxed);
            return;
        }
        self.inner.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// Counts what became of each batch.
#[derive(Debug)]
struct Counted<E> {
    inner: E,
    waiting: Arc<AtomicUsize>,
    warnings: Throttle,
}

impl<E: SpanExporter> SpanExporter for Counted<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len();
        let sent = self.inner.export(batch).await;
        self.waiting.fetch_sub(count, Relaxed);
        match &sent {
            Ok(()) => COUNTS.exported.fetch_add(count as u64, Relaxed),
            Err(error) => {
                if let Some(more) = self.warnings.allow() {
                    let error: &OTelSdkError = error;
                    tracing::warn!(more, %error, "the collector does not take spans; they are dropped");
                }
                COUNTS.failed.fetch_add(count as u64, Relaxed)
            }
        };
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}
