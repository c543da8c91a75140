//! One connection from its first request to its last.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::ConnectInfo,
    http::{HeaderValue, Request, Response, StatusCode, Version, header},
};
use futures::{FutureExt, future::BoxFuture};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::{
    body::{Progress, RequestBody, ResponseBody},
    io::{Line, Watched},
    limits::Limits,
    places::Place,
    refusal,
    request_id::{HEADER, RequestId},
};

/// How long the unread rest of a body is read after its refusal.
const DISCARD_TIME: Duration = Duration::from_secs(5);
/// Slack of hyper's buffer over the bound of a head, and the least that it takes.
const BUFFER: usize = 64 << 10;

/// What all requests of a connection share.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) stream: Arc<TcpStream>,
    pub(crate) peer: SocketAddr,
    pub(crate) limits: Arc<Limits>,
    pub(crate) router: Router,
    line: Arc<Line>,
}

/// The client went away before its answer was there.
#[derive(Debug, thiserror::Error)]
#[error("the client is gone")]
struct Gone;

impl Connection {
    pub(crate) fn new(
        stream: TcpStream,
        peer: SocketAddr,
        limits: Arc<Limits>,
        router: Router,
    ) -> Self {
        Self {
            stream: Arc::new(stream),
            peer,
            limits,
            router,
            line: Arc::default(),
        }
    }

    /// Serves it until it ends, or until the answer under way is written once `stop` is set.
    pub(crate) async fn run(self, place: Place, stop: CancellationToken) {
        let io = Watched::new(
            self.stream.clone(),
            self.line.clone(),
            self.limits.clone(),
            place,
        );
        let (headers, bytes) = (self.limits.headers, self.limits.header_bytes);
        let service = service_fn(move |request| self.clone().answer(request));
        let connection = http1::Builder::new()
            .half_close(true)
            .header_read_timeout(None)
            .max_headers(headers)
            .max_header_size(bytes)
            .max_buf_size(bytes + BUFFER)
            .serve_connection(TokioIo::new(io), service)
            .with_upgrades();
        let mut connection = std::pin::pin!(connection);
        let mut stopping = false;
        loop {
            tokio::select! {
                // First, so that an answer which is ready at the same moment already says that the connection ends.
                biased;
                () = stop.cancelled(), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
                ended = &mut connection => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "connection ended");
                    }
                    return;
                }
            }
        }
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<ResponseBody>, Gone> {
        self.line.asked();
        let id = RequestId::of(&request);
        let head = Head::of(&request);
        let (mut parts, body) = request.into_parts();
        let (body, progress) = RequestBody::new(body, self.limits.body_time());
        parts.extensions.insert(id.clone());
        parts.extensions.insert(ConnectInfo(self.peer));
        let handled = self
            .router
            .clone()
            .oneshot(Request::from_parts(parts, body))
            .map(|answer| match answer {
                Ok(response) => response,
                Err(never) => match never {},
            });
        let mut gone = head
            .watched()
            .then(|| gone(self.stream.clone(), progress.clone()));
        let mut response = tokio::select! {
            biased;
            response = handled => response,
            () = async { match &mut gone { Some(gone) => gone.await, None => std::future::pending().await } } => return Err(Gone),
        };
        if progress.is_late() {
            response = refusal::response(
                StatusCode::REQUEST_TIMEOUT,
                "body_timeout",
                "the request's body did not arrive in time",
            );
        }
        let upgraded = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if !upgraded && !self.usable_after(&head, &progress).await {
            response
                .headers_mut()
                .insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if !response.headers().contains_key(HEADER)
            && let Some(value) = id.header()
        {
            response.headers_mut().insert(HEADER, value);
        }
        self.line.handed(upgraded);
        Ok(response
            .map(|body| ResponseBody::new(body, gone.filter(|_| !upgraded), self.line.clone())))
    }

    /// Whether another request can be read after this one: its body has to be out of the way.
    async fn usable_after(&self, head: &Head, progress: &Progress) -> bool {
        if progress.is_ended() {
            return true;
        }
        // Who waits for "100 Continue" has not sent the body, and after a final status perhaps never will.
        !head.expects
            && !progress.is_late()
            && progress
                .discard(self.limits.discard_bytes, DISCARD_TIME)
                .await
    }
}

/// What the head of a request says about its connection.
struct Head {
    last: bool,
    expects: bool,
}

impl Head {
    fn of<B>(request: &Request<B>) -> Self {
        let says_close = request
            .headers()
            .get_all(header::CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|word| word.trim().eq_ignore_ascii_case("close"));
        Self {
            last: says_close || request.version() < Version::HTTP_11,
            expects: request.headers().contains_key(header::EXPECT),
        }
    }

    /// A client that said that this is its last request may shut its sending side down and still read the answer. One that keeps the
    /// connection for more and then closes it is gone.
    fn watched(&self) -> bool {
        !self.last
    }
}

/// Done when the client has closed its side. Bytes of a further request end the watch: who sends them is there.
fn gone(stream: Arc<TcpStream>, progress: Arc<Progress>) -> BoxFuture<'static, ()> {
    async move {
        progress.end().await;
        match stream.peek(&mut [0_u8; 1]).await {
            Ok(0) | Err(_) => {}
            Ok(_) => std::future::pending().await,
        }
    }
    .boxed()
}
