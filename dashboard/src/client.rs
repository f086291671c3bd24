use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use appweight::api::{
    Alert, DeployReport, DeploySummary, DriftReport, FlagsReport, Problem, ProcessView,
    ProfileDiff, ProfileSummary, ProfileView, RequestView, ServiceSummary, WeightSeries,
};
use appweight_wire::{Deploy, Kind};
use axum::Router;
use axum::body::Body;
use http::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;
use tower::ServiceExt;

use crate::connector::{Connector, plain};
use crate::href;

/// Longer than any question should take, shorter than a reader's patience.
const PATIENCE: Duration = Duration::from_secs(20);
/// A collector that answers with more than this is not one of ours.
const MAX_ANSWER: usize = 64 << 20;

/// Asks the query API, over the network or in the same process.
#[derive(Debug, Clone)]
pub struct QueryClient {
    transport: Transport,
    authorization: Option<HeaderValue>,
}

#[derive(Debug, Clone)]
enum Transport {
    InProcess(Router),
    Remote {
        base: String,
        client: Client<Connector, Body>,
    },
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The address cannot be used.
    #[error("the collector's address {0:?} is not an {1}:// address")]
    Address(String, &'static str),
    /// None of the certificates that may vouch for a collector can be used.
    #[error("none of the certificates that may vouch for the collector can be used")]
    Authorities,
    /// The token cannot be one.
    #[error("the token has characters that no token has")]
    Token,
    /// No answer came.
    #[error("the collector could not be reached: {0}")]
    Unreachable(String),
    /// The collector refused and said why.
    #[error("{}", .0.detail)]
    Refused(Problem),
    /// Something answered, but not in the query API's terms.
    #[error("the collector's answer to {question} was not understood: {reason}")]
    NotUnderstood {
        /// The path and query that were asked.
        question: String,
        /// What was wrong with the answer.
        reason: String,
    },
}

/// Which part of the weight's history.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) from_us: Option<u64>,
    pub(crate) until_us: Option<u64>,
    pub(crate) window_us: Option<u64>,
}

/// Which recorded requests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RequestsAsked<'a> {
    pub(crate) service: &'a str,
    pub(crate) endpoint: Option<&'a str>,
    pub(crate) deploy: Option<&'a str>,
    pub(crate) order: Option<&'a str>,
    pub(crate) limit: Option<u64>,
}

/// Which two profiles to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DiffAsked<'a> {
    pub(crate) service: &'a str,
    pub(crate) base: &'a str,
    pub(crate) head: &'a str,
    pub(crate) endpoint: &'a str,
    pub(crate) kind: Kind,
    /// The collector's choice, if left out.
    pub(crate) timer: Option<&'a str>,
    pub(crate) taken: Option<&'a str>,
}

impl QueryClient {
    /// Asks a collector's router in this process.
    pub fn in_process(collector: Router) -> Self {
        Self {
            transport: Transport::InProcess(collector),
            authorization: None,
        }
    }

    /// The same, with the token that the collector asks for.
    ///
    /// # Errors
    /// If it has characters that no header can hold.
    pub fn with_token(self, token: &str) -> Result<Self, QueryError> {
        let mut authorization =
            HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| QueryError::Token)?;
        authorization.set_sensitive(true);
        Ok(Self {
            authorization: Some(authorization),
            ..self
        })
    }

    /// Asks a collector over HTTP.
    ///
    /// # Errors
    /// If the address is not `http://host[:port][/prefix]`. Whether somebody answers there is
    /// found out by the first question.
    pub fn remote(url: &str) -> Result<Self, QueryError> {
        Self::over(url, "http", plain())
    }

    /// Asks a collector at an `https://` address, if one of these certificates vouches for it.
    ///
    /// # Errors
    /// If the address is not `https://host[:port][/prefix]`, or none of the certificates can be used.
    #[cfg(feature = "tls")]
    pub fn remote_over_tls(
        url: &str,
        authorities: Vec<rustls::pki_types::CertificateDer<'static>>,
    ) -> Result<Self, QueryError> {
        Self::over(url, "https", crate::connector::over_tls(authorities)?)
    }

    fn over(url: &str, scheme: &'static str, connector: Connector) -> Result<Self, QueryError> {
        let refused = || QueryError::Address(url.to_owned(), scheme);
        let parsed: http::Uri = url.parse().map_err(|_| refused())?;
        if parsed.scheme_str() != Some(scheme)
            || parsed.host().is_none_or(str::is_empty)
            || parsed.query().is_some()
        {
            return Err(refused());
        }
        Ok(Self {
            transport: Transport::Remote {
                base: url.trim_end_matches('/').to_owned(),
                client: Client::builder(TokioExecutor::new()).build(connector),
            },
            authorization: None,
        })
    }

    /// Where a browser finds an answer: a path on this origin, or the remote collector's address.
    pub(crate) fn public(&self, question: &str) -> String {
        match &self.transport {
            Transport::InProcess(_) => question.to_owned(),
            Transport::Remote { base, .. } => format!("{base}{question}"),
        }
    }

    pub(crate) async fn services(&self) -> Result<Vec<ServiceSummary>, QueryError> {
        self.ask("/v1/services").await
    }

    pub(crate) async fn deploys(
        &self,
        service: &str,
        limit: u64,
    ) -> Result<Vec<DeploySummary>, QueryError> {
        self.ask(&Self::deploys_question(service, limit)).await
    }

    pub(crate) fn deploys_question(service: &str, limit: u64) -> String {
        href::with_query(
            "/v1/deploys",
            &[
                ("service", Some(service.to_owned())),
                ("limit", Some(limit.to_string())),
            ],
        )
    }

    pub(crate) async fn deploy(
        &self,
        id: &str,
        service: Option<&str>,
        started_us: Option<u64>,
    ) -> Result<DeployReport, QueryError> {
        self.ask(&Self::deploy_question(id, service, started_us))
            .await
    }

    pub(crate) fn deploy_question(
        id: &str,
        service: Option<&str>,
        started_us: Option<u64>,
    ) -> String {
        href::with_query(
            &format!("/v1/deploys/{}", href::encode(id)),
            &[
                ("service", service.map(str::to_owned)),
                ("started_us", started_us.map(|us| us.to_string())),
            ],
        )
    }

    /// The alert of a roll-out, if it has one.
    pub(crate) async fn alert(&self, deploy: &Deploy) -> Result<Option<Alert>, QueryError> {
        let question = href::with_query(
            "/v1/alerts",
            &[
                ("service", Some(deploy.service.clone())),
                ("from_us", Some(deploy.started_us.to_string())),
                ("until_us", Some((deploy.started_us + 1).to_string())),
            ],
        );
        let alerts: Vec<Alert> = self.ask(&question).await?;
        let mut of_it = alerts.into_iter();
        Ok(of_it.find(|alert| alert.deploy.id == deploy.id))
    }

    pub(crate) async fn weight(
        &self,
        service: &str,
        span: Span,
    ) -> Result<WeightSeries, QueryError> {
        self.ask(&Self::weight_question(service, span)).await
    }

    pub(crate) fn weight_question(service: &str, span: Span) -> String {
        href::with_query(
            "/v1/weight",
            &[
                ("service", Some(service.to_owned())),
                ("from_us", span.from_us.map(|us| us.to_string())),
                ("until_us", span.until_us.map(|us| us.to_string())),
                ("window_us", span.window_us.map(|us| us.to_string())),
            ],
        )
    }

    pub(crate) async fn drift(
        &self,
        service: &str,
        from_us: u64,
    ) -> Result<DriftReport, QueryError> {
        self.ask(&Self::drift_question(service, from_us)).await
    }

    pub(crate) fn drift_question(service: &str, from_us: u64) -> String {
        href::with_query(
            "/v1/drift",
            &[
                ("service", Some(service.to_owned())),
                ("from_us", Some(from_us.to_string())),
            ],
        )
    }

    pub(crate) async fn flags(&self, service: &str) -> Result<FlagsReport, QueryError> {
        self.ask(&Self::flags_question(service)).await
    }

    pub(crate) fn flags_question(service: &str) -> String {
        href::with_query("/v1/flags", &[("service", Some(service.to_owned()))])
    }

    pub(crate) async fn processes(&self, service: &str) -> Result<Vec<ProcessView>, QueryError> {
        self.ask(&Self::processes_question(service)).await
    }

    pub(crate) fn processes_question(service: &str) -> String {
        href::with_query("/v1/processes", &[("service", Some(service.to_owned()))])
    }

    pub(crate) async fn requests(
        &self,
        asked: &RequestsAsked<'_>,
    ) -> Result<Vec<RequestView>, QueryError> {
        self.ask(&Self::requests_question(asked)).await
    }

    pub(crate) fn requests_question(asked: &RequestsAsked<'_>) -> String {
        href::with_query(
            "/v1/requests",
            &[
                ("service", Some(asked.service.to_owned())),
                ("endpoint", asked.endpoint.map(str::to_owned)),
                ("deploy", asked.deploy.map(str::to_owned)),
                ("order", asked.order.map(str::to_owned)),
                ("limit", asked.limit.map(|n| n.to_string())),
            ],
        )
    }

    /// What profiles there are of a deploy.
    pub(crate) async fn profiles(
        &self,
        service: &str,
        deploy: &str,
    ) -> Result<Vec<ProfileSummary>, QueryError> {
        // One page of all that there can be of one deploy.
        let parameters = [("service", service), ("deploy", deploy), ("limit", "10000")];
        let parameters = parameters.map(|(name, value)| (name, Some(value.to_owned())));
        self.ask(&href::with_query("/v1/profiles", &parameters))
            .await
    }

    pub(crate) async fn profile_diff(
        &self,
        asked: &DiffAsked<'_>,
    ) -> Result<ProfileDiff, QueryError> {
        self.ask(&Self::profile_diff_question(asked)).await
    }

    pub(crate) fn profile_diff_question(asked: &DiffAsked<'_>) -> String {
        href::with_query(
            "/v1/profile/diff",
            &[
                ("service", Some(asked.service.to_owned())),
                ("base", Some(asked.base.to_owned())),
                ("head", Some(asked.head.to_owned())),
                ("endpoint", Some(asked.endpoint.to_owned())),
                ("kind", Some(asked.kind.as_str().to_owned())),
                ("timer", asked.timer.map(str::to_owned)),
                ("taken", asked.taken.map(str::to_owned)),
            ],
        )
    }

    pub(crate) async fn profile(
        &self,
        deploy: &str,
        endpoint: &str,
        others: &BTreeMap<String, String>,
    ) -> Result<ProfileView, QueryError> {
        let named = [("deploy", deploy), ("endpoint", endpoint)];
        let others = others
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let parameters: Vec<(&str, Option<String>)> = named
            .into_iter()
            .chain(others)
            .map(|(name, value)| (name, Some(value.to_owned())))
            .collect();
        self.ask(&href::with_query("/v1/profile", &parameters))
            .await
    }

    async fn ask<T: DeserializeOwned>(&self, question: &str) -> Result<T, QueryError> {
        let not_understood = |reason: String| QueryError::NotUnderstood {
            question: question.to_owned(),
            reason,
        };
        let whole = async {
            let answer = self.send(question).await?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), MAX_ANSWER)
                .collect()
                .await
                .map_err(|e| QueryError::Unreachable(e.to_string()))?
                .to_bytes();
            Ok::<_, QueryError>((status, body))
        };
        let (status, body) = tokio::time::timeout(PATIENCE, whole).await.map_err(|_| {
            QueryError::Unreachable(format!("no answer within {} s", PATIENCE.as_secs()))
        })??;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|e| not_understood(e.to_string()));
        }
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => Err(QueryError::Refused(Problem {
                status: status.as_u16(),
                ..problem
            })),
            Err(_) => Err(not_understood(format!("status {status} without a reason"))),
        }
    }

    async fn send(&self, question: &str) -> Result<Response<Body>, QueryError> {
        let request = |uri: String| {
            let mut request = Request::get(uri).header(ACCEPT, "application/json");
            if let Some(authorization) = &self.authorization {
                request = request.header(AUTHORIZATION, authorization);
            }
            request
                .body(Body::empty())
                .map_err(|e| QueryError::NotUnderstood {
                    question: question.to_owned(),
                    reason: e.to_string(),
                })
        };
        match &self.transport {
            Transport::InProcess(router) => {
                let answer: Result<_, Infallible> =
                    router.clone().oneshot(request(question.to_owned())?).await;
                Ok(answer.unwrap_or_else(|never| match never {}))
            }
            Transport::Remote { base, client } => client
                .request(request(format!("{base}{question}"))?)
                .await
                .map(|answer| answer.map(Body::new))
                .map_err(|e| QueryError::Unreachable(format!("{base}: {}", with_causes(&e)))),
        }
    }
}

impl QueryError {
    /// The status that the reader's browser is told.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            // Its token is not its reader's.
            Self::Refused(problem)
                if (400..500).contains(&problem.status) && problem.status != 401 =>
            {
                StatusCode::from_u16(problem.status).unwrap_or(StatusCode::BAD_GATEWAY)
            }
            _ => StatusCode::BAD_GATEWAY,
        }
    }
}

/// A client's error says "client error (Connect)"; what one wants to know is below it.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(cause) = below {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        below = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_http_addresses_are_taken() {
        for good in ["http://127.0.0.1:4600", "http://collector/prefix/"] {
            assert!(QueryClient::remote(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "collector",
            "https://collector",
            "ftp://x",
            "http://x/?a=b",
        ] {
            let error = QueryClient::remote(bad).unwrap_err();
            assert!(error.to_string().contains("http://"), "{bad}: {error}");
        }
    }

    #[test]
    fn questions_carry_only_what_was_asked_and_escape_it() {
        assert_eq!(
            QueryClient::deploy_question("release/7 & co", None, Some(5)),
            "/v1/deploys/release%2F7%20%26%20co?started_us=5"
        );
        assert_eq!(
            QueryClient::weight_question("photo", Span::default()),
            "/v1/weight?service=photo"
        );
    }
}
