//! The id under which a request is found in logs: the client's own if it is sane, a new one otherwise.

use axum::http::{HeaderMap, HeaderValue, Request};

/// Name of the header, in requests and in responses.
pub(crate) const HEADER: &str = "x-request-id";
/// Longest id that is taken over from a client, bytes.
const MOST: usize = 128;

/// A request's id: a header value of 1 to 128 letters, digits and `-_.:`. Handlers find it among the request's extensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A new one.
    pub(crate) fn random() -> Self {
        Self(format!("req_{}", uuid::Uuid::new_v4().simple()))
    }

    /// The id that a request brings along, else a new one.
    pub fn of<B>(request: &Request<B>) -> Self {
        Self::of_headers(request.headers())
    }

    pub(crate) fn of_headers(headers: &HeaderMap) -> Self {
        Self::sent(headers).unwrap_or_else(Self::random)
    }

    fn sent(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(HEADER)?.to_str().ok()?;
        let sane = (1..=MOST).contains(&value.len())
            && value
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte));
        sane.then(|| Self(value.to_owned()))
    }

    pub(crate) fn header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.0).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(sent: &'static str) -> RequestId {
        let request = Request::builder().header(HEADER, sent).body(()).unwrap();
        RequestId::of(&request)
    }

    #[test]
    fn a_sane_id_is_kept_and_any_other_replaced() {
        assert_eq!(of("trace-1:2_3.4").as_str(), "trace-1:2_3.4");
        for bad in ["", "a b", "x\"y", "<script>"] {
            assert!(of(bad).as_str().starts_with("req_"), "{bad:?}");
        }
        let long = "a".repeat(129);
        let request = Request::builder().header(HEADER, &long).body(()).unwrap();
        assert!(RequestId::of(&request).as_str().starts_with("req_"));
    }
}
