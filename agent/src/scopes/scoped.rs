use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::current::{Polled, records};
use super::site::Site;
use super::tree::Place;

pin_project! {
    /// A future that is inside of its scope while it is polled, and while it is dropped; made by [`scope!`](crate::scope) and
    /// [`profiled`](crate::profiled).
    #[derive(Debug)]
    #[must_use = "futures do nothing unless they are polled"]
    pub struct Scoped<F> {
        // Taken out to be dropped inside the scope.
        #[pin]
        future: Option<F>,
        site: &'static Site,
        place: Option<Place>,
    }

    impl<F> PinnedDrop for Scoped<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if records() && this.future.is_some() {
                let polled = Polled::enter_to_drop(this.site, this.place);
                this.future.set(None);
                drop(polled);
            }
        }
    }
}

impl<F> Scoped<F> {
    /// Puts a future into a scope.
    #[inline]
    pub fn new(site: &'static Site, future: F) -> Self {
        Self {
            future: Some(future),
            site,
            place: None,
        }
    }
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        let polled = records().then(|| Polled::enter(this.site, this.place));
        let future = this.future.as_mut().as_pin_mut();
        let output = future
            .expect("a future is not polled after its end")
            .poll(context);
        if output.is_ready() {
            this.future.set(None);
        }
        drop(polled);
        output
    }
}
