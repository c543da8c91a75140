//! A collector of traces: takes what processes send over OTLP, and keeps it.

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::any_value,
    trace::v1::{Span, status::StatusCode},
};
use prost::Message;
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

/// Longest body that is taken, in bytes.
const MAX_BODY: u64 = 64 << 20;

/// A span as it came.
#[derive(Clone, Debug)]
pub struct Told {
    /// The process.
    pub service: String,
    pub span: Span,
}

impl Told {
    pub fn trace(&self) -> String {
        hex::encode(&self.span.trace_id)
    }

    pub fn id(&self) -> String {
        hex::encode(&self.span.span_id)
    }

    pub fn parent(&self) -> String {
        hex::encode(&self.span.parent_span_id)
    }

    /// An attribute; null if there is none.
    pub fn attribute(&self, name: &str) -> Value {
        let found = self.span.attributes.iter().find(|found| found.key == name);
        let value = found.and_then(|found| found.value.as_ref()?.value.as_ref());
        match value {
            Some(any_value::Value::StringValue(text)) => json!(text),
            Some(any_value::Value::IntValue(number)) => json!(number),
            Some(any_value::Value::DoubleValue(number)) => json!(number),
            Some(any_value::Value::ArrayValue(list)) => {
                let words = list.values.iter().map(|item| match &item.value {
                    Some(any_value::Value::StringValue(text)) => json!(text),
                    other => json!(format!("{other:?}")),
                });
                words.collect()
            }
            Some(other) => json!(format!("{other:?}")),
            None => Value::Null,
        }
    }

    pub fn failed(&self) -> bool {
        let status = self.span.status.as_ref();
        status.is_some_and(|status| status.code() == StatusCode::Error)
    }
}

/// What came.
#[derive(Default)]
struct Kept {
    spans: Vec<Told>,
    bytes: Vec<u8>,
}

/// The collector. Its threads end with the process.
pub struct Collector {
    address: SocketAddr,
    kept: Arc<Mutex<Kept>>,
}

impl Collector {
    pub fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let kept: Arc<Mutex<Kept>> = Arc::default();
        let keeper = kept.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let keeper = keeper.clone();
                std::thread::spawn(move || serve(stream, &keeper));
            }
        });
        Ok(Self { address, kept })
    }

    /// Base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All spans so far.
    pub fn spans(&self) -> Vec<Told> {
        self.kept
            .lock()
            .map(|kept| kept.spans.clone())
            .unwrap_or_default()
    }

    /// Whether a text stands anywhere in what came.
    pub fn holds(&self, text: &str) -> bool {
        let kept = self.kept.lock();
        kept.is_ok_and(|kept| {
            let mut places = kept.bytes.windows(text.len());
            places.any(|place| place == text.as_bytes())
        })
    }
}

/// Answers the requests of one connection.
fn serve(stream: TcpStream, kept: &Mutex<Kept>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let traces = line.starts_with("POST /v1/traces ");
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader
                .read_line(&mut header)
                .ok()
                .filter(|read| *read > 0)?;
            let header = header.trim().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = Vec::new();
        let mut sent = (&mut reader).take(u64::min(length, MAX_BODY));
        sent.read_to_end(&mut body).ok()?;
        let known = traces && keep(&body, kept);
        let status = if known { "200 OK" } else { "400 Bad Request" };
        write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").ok()?;
    }
}

fn keep(body: &[u8], kept: &Mutex<Kept>) -> bool {
    let Ok(request) = ExportTraceServiceRequest::decode(body) else {
        return false;
    };
    let Ok(mut kept) = kept.lock() else {
        return false;
    };
    kept.bytes.extend_from_slice(body);
    for of_process in request.resource_spans {
        let attributes = of_process
            .resource
            .into_iter()
            .flat_map(|found| found.attributes);
        let named = attributes.filter(|found| found.key == "service.name");
        let mut service = named.filter_map(|found| match found.value?.value? {
            any_value::Value::StringValue(text) => Some(text),
            _ => None,
        });
        let service = service.next_back().unwrap_or_default();
        let spans = of_process
            .scope_spans
            .into_iter()
            .flat_map(|scope| scope.spans);
        kept.spans.extend(spans.map(|span| Told {
            service: service.clone(),
            span,
        }));
    }
    true
}
