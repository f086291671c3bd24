//! Whether a connection has a request in hand: from its whole head on until the last byte of its answer is written.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Of one connection, all of whose work is done by one task.
#[derive(Debug, Clone, Default)]
pub(super) struct InHand(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// Requests whose answer has not been handed over as a whole.
    requests: AtomicUsize,
    /// Bytes of an answer wait until the client has read others.
    writing: AtomicBool,
}

impl InHand {
    pub(super) fn any(&self) -> bool {
        self.0.requests.load(Ordering::Relaxed) > 0 || self.0.writing.load(Ordering::Relaxed)
    }

    /// A request has come, and is in hand as long as what is returned.
    pub(super) fn request(&self) -> Request {
        self.0.requests.fetch_add(1, Ordering::Relaxed);
        Request(self.clone())
    }

    pub(super) fn watch<I>(&self, io: I) -> Watched<I> {
        Watched {
            io,
            in_hand: self.clone(),
        }
    }
}

/// A request in hand.
#[derive(Debug)]
pub(super) struct Request(InHand);

impl Request {
    /// An answer's body with which it ends.
    pub(super) fn until_sent(self, body: Body) -> Body {
        Body::new(Answer { body, _of: self })
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.0.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Answer {
    body: Body,
    _of: Request,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The stream under a connection, which tells whether something waits to be written.
#[derive(Debug)]
pub(super) struct Watched<I> {
    io: I,
    in_hand: InHand,
}

impl<I> Watched<I> {
    fn wrote<T>(&self, polled: Poll<T>) -> Poll<T> {
        let waits = polled.is_pending();
        self.in_hand.0.writing.store(waits, Ordering::Relaxed);
        polled
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Watched<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Watched<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(context, bytes);
        self.wrote(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write_vectored(context, bytes);
        self.wrote(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_flush(context);
        self.wrote(polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_shutdown(context);
        self.wrote(polled)
    }
}
