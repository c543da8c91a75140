//! Bodies of requests, read within bounds; every refusal has our shape.

use std::{io::Read, sync::Arc};

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    http::{HeaderMap, StatusCode, header},
};
use flate2::read::{GzDecoder, ZlibDecoder};
use mythic_wire::signed::{AuthError, Signed};

use crate::{
    app::App,
    error::{ApiError, ApiResult},
};

/// A JSON body as bytes, unpacked and within the limit; the handler parses it.
#[derive(Debug)]
pub struct JsonBytes(pub Bytes);

/// Any body within a limit, with what a signature covers.
#[derive(Debug)]
pub struct SignedBody {
    /// The signature; what it may do depends on what it was made for.
    signed: Signed,
    /// The body.
    pub body: Bytes,
}

/// How a body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    None,
    Gzip,
    Deflate,
}

fn packing(headers: &HeaderMap) -> ApiResult<Packing> {
    let Some(value) = headers.get(header::CONTENT_ENCODING) else {
        return Ok(Packing::None);
    };
    match value.to_str().unwrap_or("?").trim() {
        "" | "identity" => Ok(Packing::None),
        "gzip" | "x-gzip" => Ok(Packing::Gzip),
        "deflate" => Ok(Packing::Deflate),
        other => Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_content_encoding",
            format!(
                "content-encoding {other:?} is not taken here; send gzip, deflate or the plain body"
            ),
        )),
    }
}

fn too_large(limit: usize) -> ApiError {
    ApiError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "body_too_large",
        format!("the body is larger than {limit} bytes"),
    )
}

fn unpack(packing: Packing, body: Bytes, limit: usize) -> ApiResult<Bytes> {
    let read = |source: &mut dyn Read| {
        let mut out = Vec::new();
        source
            .take(limit as u64 + 1)
            .read_to_end(&mut out)
            .map_err(|error| {
                ApiError::new(
                    StatusCode::BAD_REQUEST,
                    "body_broken",
                    format!("the body can't be unpacked: {error}"),
                )
            })?;
        if out.len() > limit {
            return Err(too_large(limit));
        }
        Ok(Bytes::from(out))
    };
    match packing {
        Packing::None => Ok(body),
        Packing::Gzip => read(&mut GzDecoder::new(body.as_ref())),
        Packing::Deflate => read(&mut ZlibDecoder::new(body.as_ref())),
    }
}

/// Reads a body of at most `limit` bytes. What is left of a larger one is the server's to throw away.
async fn read(request: Request, limit: usize) -> ApiResult<Bytes> {
    let stated = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.parse::<u64>().ok());
    if stated.is_some_and(|length| length > limit as u64) {
        return Err(too_large(limit));
    }
    axum::body::to_bytes(request.into_body(), limit)
        .await
        .map_err(|error| {
            let mut source: Option<&dyn std::error::Error> = Some(&error);
            while let Some(inner) = source {
                if inner.to_string().contains("length limit exceeded") {
                    return too_large(limit);
                }
                if inner.is::<mythic_http::BodyTimeout>() {
                    return ApiError::new(
                        StatusCode::REQUEST_TIMEOUT,
                        "body_timeout",
                        inner.to_string(),
                    );
                }
                source = inner.source();
            }
            ApiError::new(
                StatusCode::BAD_REQUEST,
                "body_broken",
                "the body broke off before it was whole",
            )
        })
}

impl FromRequest<Arc<App>> for JsonBytes {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> ApiResult<Self> {
        let json = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|v| v.to_str().ok())
            .is_some_and(|value| {
                let kind = value
                    .split(';')
                    .next()
                    .unwrap_or("")
                    .trim()
                    .to_ascii_lowercase();
                kind == "application/json" || kind.ends_with("+json")
            });
        if !json {
            return Err(ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "send the body as content-type: application/json",
            ));
        }
        let packing = packing(request.headers())?;
        let limit = app.config.limits.body_bytes;
        let body = read(request, limit).await?;
        unpack(packing, body, limit).map(Self)
    }
}

impl SignedBody {
    /// Who signed, if it was signed for `purpose`; 401 `invalid_signature` otherwise.
    pub fn signer(&self, purpose: &str) -> ApiResult<solana_pubkey::Pubkey> {
        self.signed.by(purpose).map_err(unsigned)
    }
}

impl FromRequest<Arc<App>> for SignedBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> ApiResult<Self> {
        let method = request.method().clone();
        let path = request
            .uri()
            .path_and_query()
            .map_or_else(|| "/".to_owned(), |path| path.to_string());
        let headers = request.headers().clone();
        if packing(&headers)? != Packing::None {
            return Err(ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_content_encoding",
                "a signed body is sent plain: the signature covers the bytes that are sent",
            ));
        }
        let body = read(request, mythic_wire::MAX_BODY).await?;
        let signed = app
            .receiver
            .verify(method.as_str(), &path, &body, &headers)
            .map_err(unsigned)?;
        Ok(Self { signed, body })
    }
}

/// 401 `invalid_signature`.
pub fn unsigned(error: AuthError) -> ApiError {
    ApiError::new(
        StatusCode::UNAUTHORIZED,
        "invalid_signature",
        error.to_string(),
    )
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(plain: &[u8]) -> Bytes {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(plain).unwrap();
        out.finish().unwrap().into()
    }

    #[test]
    fn packed_bodies_are_unpacked_within_the_limit() {
        let unpacked = unpack(Packing::Gzip, gzip(b"{}"), 100).unwrap();
        assert_eq!(unpacked.as_ref(), b"{}");
        let bomb = gzip(&vec![b' '; 10_000_000]);
        assert!(bomb.len() < 100_000);
        assert_eq!(
            unpack(Packing::Gzip, bomb, 1_000_000).unwrap_err().status,
            413
        );
        let broken = unpack(Packing::Gzip, Bytes::from_static(b"{}"), 100);
        assert_eq!(broken.unwrap_err().code, "body_broken");
    }

    #[test]
    fn an_unknown_packing_is_named() {
        let mut headers = HeaderMap::new();
        assert_eq!(packing(&headers), Ok(Packing::None));
        headers.insert("content-encoding", "br".parse().unwrap());
        let error = packing(&headers).unwrap_err();
        assert_eq!(
            (error.status, error.message.contains("\"br\"")),
            (415, true)
        );
    }
}
