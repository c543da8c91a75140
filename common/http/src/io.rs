//! A socket with the time-outs that hyper does not have, and with words of our own where hyper refuses a request with an empty body.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::http::StatusCode;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep},
};

use crate::{limits::Limits, places::Place, refusal};

/// How long the rest of what a client sends is read after its connection was closed from here, so that it gets to read the
/// answer: closing a socket with unread bytes makes the kernel reset it.
const LINGER: Duration = Duration::from_secs(1);

/// What socket and service know of each other.
#[derive(Debug, Default)]
pub(crate) struct Line {
    requests: AtomicU64,
    busy: AtomicBool,
    handed: AtomicBool,
    upgraded: AtomicBool,
}

impl Line {
    /// A request has come in.
    pub(crate) fn asked(&self) {
        self.requests.fetch_add(1, Ordering::AcqRel);
        self.busy.store(true, Ordering::Release);
    }

    /// The service has handed a response to hyper.
    pub(crate) fn handed(&self, upgraded: bool) {
        self.handed.store(true, Ordering::Release);
        self.upgraded.store(upgraded, Ordering::Release);
    }

    /// Hyper has taken the last of the response.
    pub(crate) fn answered(&self) {
        self.busy.store(false, Ordering::Release);
    }

    fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire) || self.upgraded.load(Ordering::Acquire)
    }
}

/// What a reader waits for when no request is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// The rest of a request's head.
    Head,
    /// Another request.
    Idle,
}

/// A timer that is made once for each direction of a connection and moved.
#[derive(Debug)]
struct Timer {
    sleep: Pin<Box<Sleep>>,
    set: bool,
}

impl Timer {
    fn new() -> Self {
        Self {
            sleep: Box::pin(tokio::time::sleep(Duration::ZERO)),
            set: false,
        }
    }

    fn set(&mut self, time: Duration) {
        self.sleep.as_mut().reset(Instant::now() + time);
        self.set = true;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        self.set && self.sleep.as_mut().poll(cx).is_ready()
    }
}

#[derive(Debug)]
pub(crate) struct Watched {
    stream: Arc<TcpStream>,
    line: Arc<Line>,
    limits: Arc<Limits>,
    wait: Option<Wait>,
    heard: bool,
    requests: u64,
    reading: Timer,
    writing: Timer,
    own: Option<(Vec<u8>, usize)>,
    _place: Place,
}

impl Watched {
    pub(crate) fn new(
        stream: Arc<TcpStream>,
        line: Arc<Line>,
        limits: Arc<Limits>,
        place: Place,
    ) -> Self {
        let mut reading = Timer::new();
        reading.set(limits.header_time());
        Self {
            stream,
            line,
            limits,
            wait: Some(Wait::Head),
            heard: false,
            requests: 0,
            reading,
            writing: Timer::new(),
            own: None,
            _place: place,
        }
    }

    /// Nothing has come: is that still in time?
    fn overdue(&mut self, cx: &mut Context<'_>) -> bool {
        let requests = self.line.requests.load(Ordering::Acquire);
        if requests != self.requests {
            self.requests = requests;
            self.wait = None;
        }
        if self.line.is_busy() {
            self.wait = None;
            return false;
        }
        if self.wait.is_none() {
            self.wait = Some(Wait::Idle);
            self.reading.set(self.limits.idle_time());
        }
        if !self.reading.poll(cx) {
            return false;
        }
        if self.wait == Some(Wait::Head) && self.heard {
            let words = refusal::last_words(
                StatusCode::REQUEST_TIMEOUT,
                "header_timeout",
                "the request's headers did not arrive in time",
            );
            // The connection ends in any case; who does not take these few bytes at once goes without.
            let _ = self.stream.try_write(&words);
        }
        true
    }

    /// Something has come outside of a request: its head has to be whole in time.
    fn arrived(&mut self) {
        self.heard = true;
        let requests = self.line.requests.load(Ordering::Acquire);
        if !self.line.is_busy() && (self.wait != Some(Wait::Head) || requests != self.requests) {
            self.requests = requests;
            self.wait = Some(Wait::Head);
            self.reading.set(self.limits.header_time());
        }
    }

    /// Hyper's own refusals begin after everything that the service handed over was written, and have no body.
    fn refusal(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        if self.line.handed.load(Ordering::Acquire) {
            return None;
        }
        let status = std::str::from_utf8(bytes.get(9..12)?).ok()?;
        if !bytes.starts_with(b"HTTP/1.1 4") && !bytes.starts_with(b"HTTP/1.0 4") {
            return None;
        }
        let (status, code, message) = match status {
            "431" => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "headers_too_large",
                format!(
                    "at most {} headers of {} bytes in all are taken",
                    self.limits.headers, self.limits.header_bytes
                ),
            ),
            "414" => (
                StatusCode::URI_TOO_LONG,
                "uri_too_long",
                "the request's address is too long".to_owned(),
            ),
            _ => (
                StatusCode::BAD_REQUEST,
                "bad_http",
                "this is no HTTP/1.1 request that can be read: look at the request line, at header names and values, and at Content-Length and Transfer-Encoding"
                    .to_owned(),
            ),
        };
        Some(refusal::last_words(status, code, &message))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            match self.stream.poll_write_ready(cx)? {
                Poll::Ready(()) => match self.stream.try_write(bytes) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    sent => {
                        self.writing.set = false;
                        return Poll::Ready(sent);
                    }
                },
                Poll::Pending => {
                    if !self.writing.set {
                        self.writing.set(self.limits.write_time());
                    }
                    if self.writing.poll(cx) {
                        return Poll::Ready(Err(io::Error::new(
                            io::ErrorKind::TimedOut,
                            "the reader takes nothing",
                        )));
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    fn poll_own(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some((words, mut sent)) = self.own.take() {
            let rest = words.get(sent..).unwrap_or_default();
            if rest.is_empty() {
                break;
            }
            match self.poll_send(cx, rest) {
                Poll::Pending => {
                    self.own = Some((words, sent));
                    return Poll::Pending;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(count)) => {
                    sent += count;
                    self.own = Some((words, sent));
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.stream.poll_read_ready(cx))?;
            match self.stream.try_read(buffer.initialize_unfilled()) {
                Ok(count) => {
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match self.poll_receive(cx, buffer) {
            Poll::Ready(Ok(())) => {
                if buffer.filled().len() > before {
                    self.arrived();
                }
                // A head that comes byte by byte is always ready for one more: its time ends all the same.
                if self.wait == Some(Wait::Head) && self.overdue(cx) {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                Poll::Ready(Ok(()))
            }
            Poll::Pending if self.overdue(cx) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            other => other,
        }
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.own.is_none()
            && let Some(words) = self.refusal(bytes)
        {
            self.own = Some((words, 0));
            return Poll::Ready(Ok(bytes.len()));
        }
        ready!(self.poll_own(cx))?;
        self.poll_send(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_own(cx))?;
        // Hyper flushes the socket after it has written all that it holds.
        if !self.line.is_busy() {
            self.line.handed.store(false, Ordering::Release);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_own(cx))?;
        if let Err(error) =
            socket2::SockRef::from(&*self.stream).shutdown(std::net::Shutdown::Write)
        {
            return match error.kind() {
                io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
                _ => Poll::Ready(Err(error)),
            };
        }
        if !self.writing.set {
            self.writing.set(LINGER);
        }
        let mut waste = [0_u8; 4096];
        loop {
            let mut buffer = ReadBuf::new(&mut waste);
            let over = match self.poll_receive(cx, &mut buffer) {
                Poll::Ready(Ok(())) => buffer.filled().is_empty() || self.writing.poll(cx),
                Poll::Ready(Err(_)) => true,
                Poll::Pending if self.writing.poll(cx) => true,
                Poll::Pending => return Poll::Pending,
            };
            if over {
                return Poll::Ready(Ok(()));
            }
        }
    }
}
