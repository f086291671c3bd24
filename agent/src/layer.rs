use std::any::TypeId;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use appweight_wire::Kind;
use axum::routing::Route;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use crate::agent::measuring;
use crate::body::{MeasureBody, StreamedRequest};
use crate::core::Core;
use crate::measured::{End, Measured};
use crate::measurement::{Guarded, Measurement, Outcome};
use crate::{Agent, RequestHead};

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
            core: self.agent.of_start(),
            _handle: Some(self.agent.clone()),
        }
    }
}

/// A service whose requests are measured; made by [`AgentLayer`].
#[derive(Debug)]
pub struct AgentService<S> {
    inner: S,
    core: Option<&'static Core>,
    /// Of the service that the layer has made. Servers clone that one for each connection, axum for
    /// each request, and to count these clones would be a write that all threads share.
    _handle: Option<Agent>,
}

impl<S: Clone> Clone for AgentService<S> {
    #[inline]
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            core: self.core,
            _handle: None,
        }
    }
}

impl<S, B, R> Service<Request<B>> for AgentService<S>
where
    S: Service<Request<B>, Response = Response<R>> + 'static,
    R: MeasureBody,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture<S::Future> {
        let Some(core) = self.core.and_then(measuring) else {
            return ResponseFuture {
                measured: Measured::new(self.inner.call(request), None),
            };
        };
        let hooks = core.hooks();
        let head = RequestHead::of(&request);
        let name = hooks.endpoint(head);
        let user = hooks.user(head);
        let begun = Measurement::begin(core, Kind::Request, &name, Some(head.method), user);
        self.measure(begun, request)
    }
}

impl<S: 'static> AgentService<S> {
    /// A service may do its work before it returns a future, and may panic there.
    #[inline]
    fn measure<B>(
        &mut self,
        measurement: Box<Measurement>,
        request: Request<B>,
    ) -> ResponseFuture<S::Future>
    where
        S: Service<Request<B>>,
    {
        // In so many steps, because a closure would move the request once more.
        let mut call = Guarded::new(measurement);
        let entered = if Self::works_when_called() {
            call.enter()
        } else {
            None
        };
        let future = self.inner.call(request);
        drop(entered);
        ResponseFuture {
            measured: Measured::new(future, call.release()),
        }
    }

    /// Whether something may be done before the first poll. What axum calls a route puts the request aside until then
    /// (`tower::util::Oneshot`), whatever service it holds: two clock readings for nothing.
    #[inline]
    fn works_when_called() -> bool {
        TypeId::of::<S>() != TypeId::of::<Route>()
    }
}

pin_project! {
    /// The response of an [`AgentService`].
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        measured: Measured<F, OfResponse>,
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: MeasureBody,
{
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.project().measured.poll(context)
    }
}

#[derive(Debug)]
struct OfResponse;

impl<R: MeasureBody, E> End<Result<Response<R>, E>> for OfResponse {
    #[inline]
    fn outcome(output: &Result<Response<R>, E>) -> Outcome {
        match output {
            Ok(response) => Outcome::of_status(response.status()),
            Err(_) => Outcome::UNFINISHED,
        }
    }

    /// A body that is streamed is a part of its request.
    #[inline]
    fn goes_on(output: &Result<Response<R>, E>) -> bool {
        matches!(output, Ok(response) if response.body().is_streamed())
    }

    fn go_on(output: Result<Response<R>, E>, begun: Box<Measurement>) -> Result<Response<R>, E> {
        let request = StreamedRequest::new(begun, Self::outcome(&output));
        output.map(|response| response.map(|body| body.measured(request)))
    }
}
