use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use appweight::api::Problem;
use serde::de::DeserializeOwned;
use ureq::Agent;
use ureq::config::ConfigBuilder;
use ureq::typestate::AgentScope;

/// The largest answer that is read, bytes: a profile of the most nodes that can be asked for.
const MAX_ANSWER: u64 = 64 << 20;

fn config() -> ConfigBuilder<AgentScope> {
    Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(30)))
        .http_status_as_error(false)
}

/// What calls an address, also an `https://` one, of somebody whom the certificates of the file vouch for, or else those
/// of the system.
pub(crate) fn trusting(url: &str, ca_file: Option<&Path>) -> anyhow::Result<Agent> {
    if url.starts_with("https://") {
        over_tls(ca_file)
    } else {
        Ok(config().build().into())
    }
}

#[cfg(feature = "tls")]
fn over_tls(ca_file: Option<&Path>) -> anyhow::Result<Agent> {
    use ureq::tls::{Certificate, RootCerts, TlsConfig};

    let authorities = crate::tls::authorities(ca_file)?;
    let roots: Vec<Certificate<'static>> = authorities
        .iter()
        .map(|authority| Certificate::from_der(authority).to_owned())
        .collect();
    let tls = TlsConfig::builder().root_certs(RootCerts::from(roots));
    Ok(config().tls_config(tls.build()).build().into())
}

#[cfg(not(feature = "tls"))]
fn over_tls(_: Option<&Path>) -> anyhow::Result<Agent> {
    bail!("{}", crate::tls::NOT_BUILT_IN)
}

/// A collector's API over HTTP. Calls block.
#[derive(Debug, Clone)]
pub struct Collector {
    agent: Agent,
    url: String,
    authorization: Option<String>,
}

impl Collector {
    /// The collector at that address, as `http://127.0.0.1:7070`.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self {
            agent: config().build().into(),
            url: url.trim_end_matches('/').to_owned(),
            authorization: None,
        }
    }

    /// The same, also at an `https://` address, of one that the certificates of the file vouch for, or else those
    /// of the system.
    ///
    /// # Errors
    /// If there are no certificates, or the program was built without TLS.
    pub fn trusting(url: &str, ca_file: Option<&Path>) -> anyhow::Result<Self> {
        Ok(Self {
            agent: trusting(url, ca_file)?,
            ..Self::new(url)
        })
    }

    /// The same with a token, if there is one.
    #[must_use]
    pub fn with_token(self, token: Option<&str>) -> Self {
        Self {
            authorization: token.map(|token| format!("Bearer {token}")),
            ..self
        }
    }

    /// GETs an answer.
    ///
    /// # Errors
    /// If no collector answers there, or it refuses: then in its own words.
    pub fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> anyhow::Result<T> {
        let mut request = self.agent.get(format!("{}{path}", self.url));
        for (name, value) in query {
            request = request.query(*name, *value);
        }
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        let response = request.call().with_context(|| self.unreachable())?;
        self.read(response)
    }

    /// POSTs JSON.
    ///
    /// # Errors
    /// As for [`Collector::get`].
    pub fn post<T: DeserializeOwned>(&self, path: &str, body: &[u8]) -> anyhow::Result<T> {
        let mut request = self
            .agent
            .post(format!("{}{path}", self.url))
            .content_type("application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        let response = request.send(body).with_context(|| self.unreachable())?;
        self.read(response)
    }

    fn unreachable(&self) -> String {
        format!(
            "no collector answers at {} (is it running? --collector sets the address)",
            self.url
        )
    }

    fn read<T: DeserializeOwned>(
        &self,
        mut response: ureq::http::Response<ureq::Body>,
    ) -> anyhow::Result<T> {
        let status = response.status();
        let body = response
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER)
            .read_to_vec()
            .with_context(|| format!("the collector at {} broke off its answer", self.url))?;
        if status.is_success() {
            return serde_json::from_slice(&body).with_context(|| {
                format!(
                    "{} does not answer as an AppWeight collector does",
                    self.url
                )
            });
        }
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => match problem.field {
                Some(field) => bail!("{} ({field})", problem.detail),
                None => bail!("{}", problem.detail),
            },
            Err(_) => bail!("{} answers {status}", self.url),
        }
    }
}
