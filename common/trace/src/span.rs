//! Spans.

use crate::sampling::Sampler;
use opentelemetry::{
    Context, KeyValue, StringValue, Value,
    trace::{
        Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId,
        TraceState, Tracer,
    },
};
use opentelemetry_sdk::trace::{SdkTracer, Span as SdkSpan};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, OnceLock},
    time::SystemTime,
};

use crate::names;

/// Longest text of an attribute, in bytes.
const MAX_TEXT: usize = 256;

pub(crate) static TRACING: OnceLock<Tracing> = OnceLock::new();

#[derive(Debug)]
pub(crate) struct Tracing {
    pub tracer: SdkTracer,
    pub sampler: Sampler,
}

/// Which side of a call a span is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Answers a request.
    Server,
    /// Makes one.
    Client,
    /// Works within.
    Inside,
}

/// Something that takes time, while any clone of it lives. Most are nothing: those of requests that are not traced.
#[derive(Clone, Default)]
pub struct Span(Option<Arc<Recorded>>);

struct Recorded {
    span: Mutex<SdkSpan>,
    context: SpanContext,
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.trace_id() {
            Some(id) => write!(f, "Span({id})"),
            None => f.write_str("Span"),
        }
    }
}

/// What a span begins with.
struct Beginning {
    name: Cow<'static, str>,
    kind: Kind,
    parent: Option<SpanContext>,
    started: Option<SystemTime>,
}

impl Beginning {
    fn record(self, tracing: &Tracing) -> Span {
        let kind = match self.kind {
            Kind::Server => SpanKind::Server,
            Kind::Client => SpanKind::Client,
            Kind::Inside => SpanKind::Internal,
        };
        let mut builder = tracing.tracer.span_builder(self.name).with_kind(kind);
        builder.start_time = self.started;
        let context = match self.parent {
            Some(parent) => Context::new().with_remote_span_context(parent),
            None => Context::new(),
        };
        let span = tracing.tracer.build_with_context(builder, &context);
        let context = span.span_context().clone();
        Span(Some(Arc::new(Recorded {
            span: Mutex::new(span),
            context,
        })))
    }
}

/// Whether anything is traced at all.
pub fn is_on() -> bool {
    TRACING.get().is_some()
}

/// A request that came with this `traceparent`, or with none that is usable. Nothing if it is not traced.
pub fn request(name: impl Into<Cow<'static, str>>, traceparent: Option<&str>) -> Span {
    let Some(tracing) = TRACING.get() else {
        return Span::default();
    };
    let parent = traceparent.and_then(parse);
    let marked = parent.as_ref().map(SpanContext::is_sampled);
    if !tracing.sampler.decide(marked, rand::random()) {
        return Span::default();
    }
    Beginning {
        name: name.into(),
        kind: Kind::Server,
        parent,
        started: None,
    }
    .record(tracing)
}

/// Something that happens to a job outside of a request, since `started` or now. All processes trace the same jobs.
pub fn of_job(
    name: impl Into<Cow<'static, str>>,
    job: &[u8; 32],
    started: Option<SystemTime>,
) -> Span {
    let Some(tracing) = TRACING.get() else {
        return Span::default();
    };
    let (context, lot) = job_context(job);
    if !tracing.sampler.decide(None, lot) {
        return Span::default();
    }
    Beginning {
        name: name.into(),
        kind: Kind::Inside,
        parent: Some(context),
        started,
    }
    .record(tracing)
}

/// The trace of a job: from its address. And its lot.
fn job_context(job: &[u8; 32]) -> (SpanContext, u64) {
    let mut hasher = Sha256::new();
    hasher.update(b"mythic trace of a job");
    hasher.update(job);
    let hash: [u8; 32] = hasher.finalize().into();
    let number = |from: usize| {
        let bytes = hash
            .get(from..from + 8)
            .and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(1, u64::from_be_bytes)
    };
    let trace = u128::from(number(0)) << 64 | u128::from(number(8));
    let context = SpanContext::new(
        TraceId::from(trace.max(1)),
        SpanId::from(number(16).max(1)),
        TraceFlags::SAMPLED,
        true,
        TraceState::default(),
    );
    (context, number(24))
}

/// `00-TRACE-SPAN-FLAGS`, as `mythic_http` lets it through.
fn parse(text: &str) -> Option<SpanContext> {
    let mut parts = text.split('-').skip(1);
    let (trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?);
    let context = SpanContext::new(
        TraceId::from(u128::from_str_radix(trace, 16).ok()?),
        SpanId::from(u64::from_str_radix(span, 16).ok()?),
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()? & 1),
        true,
        TraceState::default(),
    );
    context.is_valid().then_some(context)
}

/// A text that is not too long.
fn text(value: &str) -> StringValue {
    let mut end = value.len().min(MAX_TEXT);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    value.get(..end).unwrap_or_default().to_owned().into()
}

impl Span {
    /// Whether it is anything: where what would be said of it costs something.
    pub fn is_recorded(&self) -> bool {
        self.0.is_some()
    }

    /// A part of it. Nothing if it is nothing.
    pub fn child(&self, name: impl Into<Cow<'static, str>>, kind: Kind) -> Self {
        let (Some(recorded), Some(tracing)) = (&self.0, TRACING.get()) else {
            return Self::default();
        };
        Beginning {
            name: name.into(),
            kind,
            parent: Some(recorded.context.clone()),
            started: None,
        }
        .record(tracing)
    }

    fn attribute(&self, name: &'static str, value: impl Into<Value>) -> &Self {
        if let Some(recorded) = &self.0 {
            let attribute = KeyValue::new(name, value);
            recorded.span.lock().set_attribute(attribute);
        }
        self
    }

    /// Says something of it in a word or an address: never in what a user wrote.
    pub fn word(&self, name: &'static str, value: &str) -> &Self {
        if self.0.is_some() {
            self.attribute(name, text(value));
        }
        self
    }

    pub fn number(&self, name: &'static str, value: impl TryInto<i64>) -> &Self {
        if let Ok(value) = value.try_into() {
            self.attribute(name, value);
        }
        self
    }

    pub fn fraction(&self, name: &'static str, value: f64) -> &Self {
        self.attribute(name, value)
    }

    /// A list of one word, as some conventions want it.
    pub fn words(&self, name: &'static str, value: &str) -> &Self {
        if self.0.is_some() {
            let list = opentelemetry::Array::String(vec![text(value)]);
            self.attribute(name, Value::Array(list));
        }
        self
    }

    /// Names the job, and links to the trace of what settler and indexer do with it.
    pub fn job(&self, job: &[u8; 32], shown: &str) -> &Self {
        if let Some(recorded) = &self.0 {
            let of_job = job_context(job).0;
            recorded.span.lock().add_link(of_job, Vec::new());
            self.word(names::JOB, shown);
        }
        self
    }

    /// It failed; why, in a word.
    pub fn failed(&self, reason: &str) -> &Self {
        if let Some(recorded) = &self.0 {
            recorded.span.lock().set_status(Status::error(""));
            self.word(names::ERROR, reason);
        }
        self
    }

    /// The header that makes another process' span a part of it.
    pub fn traceparent(&self) -> Option<String> {
        let context = &self.0.as_ref()?.context;
        Some(format!(
            "00-{}-{}-01",
            context.trace_id(),
            context.span_id()
        ))
    }

    /// Under what it is found where traces are kept.
    pub fn trace_id(&self) -> Option<String> {
        Some(self.0.as_ref()?.context.trace_id().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_the_setting_a_span_is_nothing() {
        let span = request(
            "x",
            Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        );
        assert!(!span.is_recorded() && span.traceparent().is_none());
        let child = span.child("y", Kind::Client);
        child
            .word(names::JOB, "x")
            .number(names::SLOT, 1u64)
            .failed("z");
        assert!(!child.is_recorded());
    }

    #[test]
    fn a_job_has_a_trace_that_its_address_tells() {
        let (one, again, other) = (
            job_context(&[1; 32]),
            job_context(&[1; 32]),
            job_context(&[2; 32]),
        );
        assert_eq!(one, again);
        assert_ne!(one.0.trace_id(), other.0.trace_id());
        assert!(one.0.is_valid() && one.0.is_remote());
    }

    #[test]
    fn a_callers_mark_is_read() {
        let of = |flags| {
            parse(&format!(
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}"
            ))
            .unwrap()
        };
        assert!(of("01").is_sampled() && of("03").is_sampled() && !of("00").is_sampled());
        assert_eq!(parse("00-0-0-01"), None);
        assert_eq!(text(&"é".repeat(300)).as_str().len(), MAX_TEXT);
    }
}
