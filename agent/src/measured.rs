use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::measurement::{Entered, Guarded, Measurement, Outcome};

/// What becomes of the request or task when its future has its output.
pub(crate) trait End<T> {
    /// How it ended.
    fn outcome(output: &T) -> Outcome;

    /// Whether it goes on with what the output is still to do.
    fn goes_on(_output: &T) -> bool {
        false
    }

    /// Lets it go on. Only called if it does.
    #[expect(clippy::boxed_local, reason = "whoever overrides it keeps it")]
    fn go_on(output: T, _begun: Box<Measurement>) -> T {
        output
    }
}

pin_project! {
    /// A future that is charged for its own polls, and counted when it ends: also when it panics or
    /// is dropped before its end.
    #[derive(Debug)]
    pub(crate) struct Measured<F, O> {
        // Taken out to be dropped inside the measurement, so that its drop is charged too.
        #[pin]
        future: Option<F>,
        begun: Option<Box<Measurement>>,
        end: PhantomData<O>,
    }

    impl<F, O> PinnedDrop for Measured<F, O> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if let Some(begun) = this.begun.take() {
                let mut guarded = Guarded::new(begun);
                let entered = guarded.enter();
                this.future.set(None);
                drop(entered);
            }
        }
    }
}

impl<F, O> Measured<F, O> {
    /// Without anything that has begun the future passes through.
    #[inline]
    pub(crate) fn new(future: F, begun: Option<Box<Measurement>>) -> Self {
        Self {
            future: Some(future),
            begun,
            end: PhantomData,
        }
    }
}

impl<F, O> Future for Measured<F, O>
where
    F: Future,
    O: End<F::Output>,
{
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        let future = this
            .future
            .as_mut()
            .as_pin_mut()
            .expect("a future is not polled after its end");
        if this.begun.is_none() {
            return future.poll(context);
        }
        let entered = Entered::poll(this.begun);
        let polled = future.poll(context);
        if polled.is_ready() {
            this.future.set(None);
        }
        drop(entered);
        if let Poll::Ready(output) = &polled {
            let Some(begun) = this.begun.take() else {
                return polled;
            };
            if O::goes_on(output) {
                return polled.map(|output| O::go_on(output, begun));
            }
            begun.finish(O::outcome(output));
        }
        polled
    }
}
