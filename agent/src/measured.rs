use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use crate::measurement::{Guarded, Measurement};

/// What becomes of the measurement when a future has its output: it is finished, or goes on with
/// what the output is still to do.
pub(crate) trait End<T> {
    fn end(output: T, measurement: Measurement) -> T;
}

pin_project! {
    /// A future that is charged for its own polls, and counted when it ends: also when it panics or
    /// is dropped before its end.
    #[derive(Debug)]
    pub(crate) struct Measured<F, O> {
        // Taken out to be dropped inside the measurement, so that its drop is charged too.
        #[pin]
        future: Option<F>,
        measurement: Option<Measurement>,
        end: PhantomData<O>,
    }

    impl<F, O> PinnedDrop for Measured<F, O> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if let Some(measurement) = this.measurement.take() {
                Guarded::new(measurement).run(|| this.future.set(None));
            }
        }
    }
}

impl<F, O> Measured<F, O> {
    /// Without a measurement the future passes through.
    pub(crate) fn new(future: F, measurement: Option<Measurement>) -> Self {
        Self {
            future: Some(future),
            measurement,
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

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        let future = this
            .future
            .as_mut()
            .as_pin_mut()
            .expect("a future is not polled after its end");
        let Some(measurement) = this.measurement.as_mut() else {
            return future.poll(context);
        };
        let entered = measurement.enter_poll();
        let output = ready!(future.poll(context));
        this.future.set(None);
        drop(entered);
        Poll::Ready(match this.measurement.take() {
            Some(measurement) => O::end(output, measurement),
            None => output,
        })
    }
}
