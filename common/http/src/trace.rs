//! Under what a request is found in the logs of every process that it passes through, and where traces are kept.

use std::{borrow::Cow, convert::Infallible};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, request::Parts},
};

use mythic_trace::Span;

use crate::request_id::{self, RequestId};

const PARENT: &str = "traceparent";

/// A request's id, the W3C trace context that it came with, and its span. Handed on to other processes: where the request is traced here
/// its span is the parent of theirs, else the context is handed on as it came.
#[derive(Debug, Clone)]
pub struct Trace {
    /// The request's id.
    pub id: RequestId,
    parent: Option<String>,
    /// Nothing, if the request is not traced.
    pub span: Span,
}

impl Trace {
    /// The trace context that it came with.
    pub fn parent(&self) -> Option<&str> {
        self.parent.as_deref()
    }

    /// Begins its span, unless it is not to be traced. Whoever takes the request's trace from then on finds it.
    pub fn begin(&mut self, name: impl Into<Cow<'static, str>>) -> Span {
        self.span = mythic_trace::request(name, self.parent());
        self.span.clone()
    }

    /// The same request, in a part of it.
    pub fn within(&self, span: &Span) -> Self {
        Self {
            span: span.clone(),
            ..self.clone()
        }
    }

    /// The headers that hand it on.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, Cow<'_, str>)> {
        let own = self.span.traceparent().map(Cow::Owned);
        let parent = own.or_else(|| self.parent().map(Cow::Borrowed));
        [(request_id::HEADER, self.id.as_str().into())]
            .into_iter()
            .chain(parent.map(|parent| (PARENT, parent)))
    }
}

impl<S: Sync> FromRequestParts<S> for Trace {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        if let Some(trace) = parts.extensions.get::<Self>() {
            return Ok(trace.clone());
        }
        // The server has given the request an id; a router that is called without it takes or makes its own.
        let id = parts.extensions.get::<RequestId>().cloned();
        Ok(Self {
            id: id.unwrap_or_else(|| RequestId::of_headers(&parts.headers)),
            parent: parent(&parts.headers),
            span: Span::default(),
        })
    }
}

/// `traceparent` of version 00: `00-` trace id `-` span id `-` flags, in lower-case hex, neither id all zero. Anything else is as
/// good as none, as the specification wants it.
fn parent(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all(PARENT).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let text = value.to_str().ok()?;
    let mut parts = text.split('-');
    let of = |part: Option<&str>, length: usize| {
        part.is_some_and(|part| {
            part.len() == length && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        })
    };
    let some = |part: &str| part.bytes().any(|byte| byte != b'0');
    let (version, trace, span, flags) = (parts.next(), parts.next(), parts.next(), parts.next());
    let sane = version == Some("00")
        && of(trace, 32)
        && trace.is_some_and(some)
        && of(span, 16)
        && span.is_some_and(some)
        && of(flags, 2)
        && parts.next().is_none();
    sane.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    async fn of(headers: &[(&str, &[u8])]) -> Trace {
        let mut request = Request::builder();
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        Trace::from_request_parts(&mut parts, &()).await.unwrap()
    }

    #[tokio::test]
    async fn what_came_is_handed_on() {
        let trace = of(&[("x-request-id", b"mine-1"), (PARENT, GOOD.as_bytes())]).await;
        let headers: Vec<_> = trace.headers().collect();
        assert_eq!(
            headers,
            [("x-request-id", "mine-1".into()), (PARENT, GOOD.into())]
        );
    }

    #[tokio::test]
    async fn a_hostile_header_is_as_good_as_none() {
        let long = format!("{GOOD}-{}", "0".repeat(100_000));
        let bad: [&[u8]; 11] = [
            b"",
            b"00",
            b"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            b"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            b"00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            b"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            b"00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0\t",
            b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-\xff\xff",
            long.as_bytes(),
        ];
        for value in bad {
            let trace = of(&[(PARENT, value)]).await;
            assert_eq!(trace.parent(), None, "{}", String::from_utf8_lossy(value));
            assert_eq!(trace.headers().count(), 1);
        }
        let twice = of(&[(PARENT, GOOD.as_bytes()), (PARENT, GOOD.as_bytes())]).await;
        assert_eq!(twice.parent(), None);
        let id = of(&[("x-request-id", b"a\tb")]).await.id;
        assert!(id.as_str().starts_with("req_"));
    }
}
