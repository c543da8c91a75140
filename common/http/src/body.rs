//! Bodies that are watched: a request's has a deadline and its unread rest is found again; a response's ends when its reader is gone.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{BoxError, body::Body};
use bytes::Bytes;
use futures::future::BoxFuture;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;

use crate::io::Line;

/// The body took longer than the listener allows.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the body did not arrive in time")]
pub struct BodyTimeout;

/// What is known of a request's body beside its reader.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    unread: Mutex<Option<Incoming>>,
    ended: CancellationToken,
    late: CancellationToken,
}

impl Progress {
    /// Done when the last byte of the body was read.
    pub(crate) async fn end(&self) {
        self.ended.cancelled().await;
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    pub(crate) fn is_late(&self) -> bool {
        self.late.is_cancelled()
    }

    fn unread(&self) -> std::sync::MutexGuard<'_, Option<Incoming>> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what the handler left and throws it away; false if more than `most` bytes or `time` would be needed.
    pub(crate) async fn discard(&self, most: usize, time: Duration) -> bool {
        let Some(mut body) = self.unread().take() else {
            return self.is_ended();
        };
        if body
            .size_hint()
            .exact()
            .is_some_and(|left| left > most as u64)
        {
            return false;
        }
        let read = async {
            let mut bytes = 0_usize;
            while let Some(frame) = body.frame().await {
                let Ok(frame) = frame else { return false };
                bytes += frame.data_ref().map_or(0, Bytes::len);
                if bytes > most {
                    return false;
                }
            }
            true
        };
        let whole = tokio::time::timeout(time, read).await.unwrap_or(false);
        if whole {
            self.ended.cancel();
        }
        whole
    }
}

/// A request's body under a deadline.
#[derive(Debug)]
pub(crate) struct RequestBody {
    inner: Option<Incoming>,
    progress: Arc<Progress>,
    deadline: Pin<Box<Sleep>>,
}

impl RequestBody {
    pub(crate) fn new(inner: Incoming, time: Duration) -> (Self, Arc<Progress>) {
        let progress = Arc::new(Progress::default());
        if inner.is_end_stream() {
            progress.ended.cancel();
        }
        let body = Self {
            inner: Some(inner),
            progress: progress.clone(),
            deadline: Box::pin(tokio::time::sleep_until(Instant::now() + time)),
        };
        (body, progress)
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let Some(inner) = &mut this.inner else {
            return Poll::Ready(None);
        };
        match Pin::new(&mut *inner).poll_frame(cx) {
            Poll::Pending => match this.deadline.as_mut().poll(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(()) => {
                    this.progress.late.cancel();
                    this.inner = None;
                    Poll::Ready(Some(Err(BodyTimeout.into())))
                }
            },
            Poll::Ready(Some(Ok(frame))) => {
                if inner.is_end_stream() {
                    this.progress.ended.cancel();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                this.inner = None;
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Ready(None) => {
                this.progress.ended.cancel();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner
            .as_ref()
            .is_none_or(|inner| inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.inner
            .as_ref()
            .map_or_else(SizeHint::default, |inner| inner.size_hint())
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if !self.progress.is_ended() {
            *self.progress.unread() = self.inner.take();
        }
    }
}

/// A response's body that breaks off when its reader has gone away.
pub(crate) struct ResponseBody {
    inner: Body,
    gone: Option<BoxFuture<'static, ()>>,
    line: Arc<Line>,
}

impl ResponseBody {
    pub(crate) fn new(inner: Body, gone: Option<BoxFuture<'static, ()>>, line: Arc<Line>) -> Self {
        Self { inner, gone, line }
    }
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Ready(frame) => Poll::Ready(frame.map(|frame| frame.map_err(Into::into))),
            Poll::Pending => {
                let gone = this
                    .gone
                    .as_mut()
                    .is_some_and(|gone| gone.as_mut().poll(cx).is_ready());
                if !gone {
                    return Poll::Pending;
                }
                this.gone = None;
                Poll::Ready(Some(Err("the reader is gone".into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        self.line.answered();
    }
}
