//! Response bodies: one that is streamed is a part of its request.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body as AxumBody;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::{BoxBody, UnsyncBoxBody};
use http_body_util::{Empty, Full};
use pin_project_lite::pin_project;

use crate::measurement::{Entered, Measurement, Outcome};

/// A response body that the agent's layer knows how to measure.
///
/// A body that lies in memory costs nothing more, and its request is counted when the response is
/// there. One that is streamed is charged to its request for each poll, and the request is counted
/// when the stream ends or is given up. What it used in a cell that is over by its next poll is counted there, marked as
/// unfinished, so that a stream without an end is not missing. Implement it for a body type of your own with
/// [`MeasuredBody::new`], or as one that is never streamed.
pub trait MeasureBody: Sized {
    /// Whether there is more to do before the whole body is there.
    fn is_streamed(&self) -> bool;

    /// The body that is charged to the measurement. Only called if it is streamed.
    #[must_use]
    fn measured(self, request: StreamedRequest) -> Self;
}

/// A request whose response body is not sent yet; counted when it is dropped.
pub struct StreamedRequest {
    request: Option<Box<Measurement>>,
    outcome: Outcome,
}

impl StreamedRequest {
    pub(crate) fn new(request: Box<Measurement>, outcome: Outcome) -> Self {
        Self {
            request: Some(request),
            outcome,
        }
    }

    fn finish(&mut self, whole: bool) {
        let Some(mut request) = self.request.take() else {
            return;
        };
        request.lasts();
        request.finish(Outcome {
            error: self.outcome.error || !whole,
            ..self.outcome
        });
    }
}

impl fmt::Debug for StreamedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamedRequest").finish_non_exhaustive()
    }
}

impl Drop for StreamedRequest {
    fn drop(&mut self) {
        self.finish(false);
    }
}

pin_project! {
    /// A body whose polls are charged to its request.
    #[derive(Debug)]
    pub struct MeasuredBody<B>
    where
        B: Body,
    {
        #[pin]
        body: B,
        request: StreamedRequest,
    }

    impl<B> PinnedDrop for MeasuredBody<B>
    where
        B: Body,
    {
        fn drop(this: Pin<&mut Self>) {
            // A server need not ask again once the body says that it has ended.
            let this = this.project();
            let whole = this.body.is_end_stream();
            this.request.finish(whole);
        }
    }
}

impl<B: Body> MeasuredBody<B> {
    /// Charges the body's polls to the request.
    pub fn new(body: B, request: StreamedRequest) -> Self {
        Self { body, request }
    }
}

impl<B: Body> Body for MeasuredBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let Some(measurement) = &mut this.request.request else {
            return this.body.poll_frame(context);
        };
        measurement.count_what_is_over(this.request.outcome);
        let entered = Entered::poll(&mut this.request.request);
        let polled = this.body.poll_frame(context);
        drop(entered);
        match &polled {
            Poll::Ready(None) => this.request.finish(true),
            Poll::Ready(Some(Err(_))) => this.request.finish(false),
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A body of known length is taken for one in memory.
fn has_unknown_length(body: &impl Body) -> bool {
    body.size_hint().exact().is_none() && !body.is_end_stream()
}

impl MeasureBody for AxumBody {
    fn is_streamed(&self) -> bool {
        has_unknown_length(self)
    }

    fn measured(self, request: StreamedRequest) -> Self {
        Self::new(MeasuredBody::new(self, request))
    }
}

impl<D, E> MeasureBody for UnsyncBoxBody<D, E>
where
    D: bytes::Buf + 'static,
    E: 'static,
{
    fn is_streamed(&self) -> bool {
        has_unknown_length(self)
    }

    fn measured(self, request: StreamedRequest) -> Self {
        Self::new(MeasuredBody::new(self, request))
    }
}

impl<D, E> MeasureBody for BoxBody<D, E>
where
    D: bytes::Buf + 'static,
    E: 'static,
{
    fn is_streamed(&self) -> bool {
        has_unknown_length(self)
    }

    fn measured(self, request: StreamedRequest) -> Self {
        Self::new(MeasuredBody::new(self, request))
    }
}

macro_rules! in_memory {
    ($($body:ty $(, $data:ident)?;)*) => {$(
        impl$(<$data>)? MeasureBody for $body {
            fn is_streamed(&self) -> bool {
                false
            }

            fn measured(self, _: StreamedRequest) -> Self {
                self
            }
        }
    )*};
}

in_memory! {
    Full<D>, D;
    Empty<D>, D;
    bytes::Bytes;
    String;
    Vec<u8>;
    ();
}
