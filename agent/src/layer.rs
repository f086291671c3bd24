use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use appweight_wire::Kind;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use crate::Agent;
use crate::body::{MeasureBody, StreamedRequest};
use crate::hooks::route;
use crate::measured::{End, Measured};
use crate::measurement::{Guarded, Measurement, Outcome};
use crate::passing::{Begun, Passing};

/// A tower layer that measures every request of a service; see [`Agent::layer`].
#[derive(Debug, Clone)]
pub struct AgentLayer {
    agent: Agent,
}

impl AgentLayer {
    pub(crate) fn new(agent: Agent) -> Self {
        Self { agent }
    }
}

impl<S> Layer<S> for AgentLayer {
    type Service = AgentService<S>;

    fn layer(&self, inner: S) -> AgentService<S> {
        AgentService {
            inner,
            agent: self.agent.clone(),
        }
    }
}

/// A service whose requests are measured; made by [`AgentLayer`].
#[derive(Debug, Clone)]
pub struct AgentService<S> {
    inner: S,
    agent: Agent,
}

impl<S, B, R> Service<Request<B>> for AgentService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: MeasureBody,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture<S::Future> {
        let Some(core) = self.agent.core() else {
            return ResponseFuture::new(self.inner.call(request), None, None);
        };
        let hooks = core.hooks();
        let (begun, request) = if hooks.need_parts() {
            // Taking a request apart moves some hundred bytes: only for those who want to see it.
            let (parts, body) = request.into_parts();
            let name = hooks.endpoint(&parts);
            let user = hooks.user(&parts);
            let begun = Begun::new(core, Kind::Request, &name, Some(&parts.method), user);
            (begun, Request::from_parts(parts, body))
        } else {
            let name = route(request.extensions());
            let begun = Begun::new(core, Kind::Request, name, Some(request.method()), None);
            (begun, request)
        };
        // A service may do its work before it returns a future, and may panic there.
        match begun {
            Begun::Measured(measurement) => {
                let mut call = Guarded::new(measurement);
                let future = call.run(|| self.inner.call(request));
                ResponseFuture::new(future, call.release(), None)
            }
            Begun::Passing(passing) => {
                ResponseFuture::new(self.inner.call(request), None, Some(passing))
            }
        }
    }
}

pin_project! {
    /// The response of an [`AgentService`].
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        measured: Measured<F, OfResponse>,
        passing: Option<Passing>,
    }
}

impl<F> ResponseFuture<F> {
    fn new(future: F, measurement: Option<Measurement>, passing: Option<Passing>) -> Self {
        Self {
            measured: Measured::new(future, measurement),
            passing,
        }
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: MeasureBody,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let output = ready!(this.measured.poll(context));
        Poll::Ready(match this.passing.take() {
            Some(passing) => respond(output, Begun::Passing(passing)),
            None => output,
        })
    }
}

#[derive(Debug)]
struct OfResponse;

impl<R: MeasureBody, E> End<Result<Response<R>, E>> for OfResponse {
    fn end(output: Result<Response<R>, E>, measurement: Measurement) -> Result<Response<R>, E> {
        respond(output, Begun::Measured(measurement))
    }
}

/// Ends the request, or leaves that to its body.
fn respond<R: MeasureBody, E>(
    output: Result<Response<R>, E>,
    request: Begun,
) -> Result<Response<R>, E> {
    match output {
        Ok(response) => {
            let outcome = Outcome::of_status(response.status());
            if response.body().is_streamed() {
                let request = StreamedRequest::new(request, outcome);
                return Ok(response.map(|body| body.measured(request)));
            }
            request.finish(outcome);
            Ok(response)
        }
        Err(error) => {
            request.finish(Outcome::UNFINISHED);
            Err(error)
        }
    }
}
