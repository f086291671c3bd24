use serde_json::Value;
use ureq::Agent;
use ureq::config::ConfigBuilder;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::typestate::AgentScope;

use crate::wait::PATIENCE;

/// What a server answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The `Content-Type`, `""` if there is none.
    pub content_type: String,
    /// The body.
    pub text: String,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Panics
    /// If it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|error| panic!("{error} in the body of {self:?}"))
    }
}

fn agent() -> Agent {
    config().build().into()
}

fn config() -> ConfigBuilder<AgentScope> {
    Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .http_status_as_error(false)
        .proxy(None)
}

/// GETs an `https://` address of a server with that certificate.
///
/// # Errors
/// If there is no answer, or not from it.
pub fn get_over_tls(url: &str, certificate: &[u8]) -> Result<Answer, String> {
    let believed = Certificate::from_der(certificate).to_owned();
    let tls = TlsConfig::builder().root_certs(RootCerts::from(vec![believed]));
    let agent: Agent = config().tls_config(tls.build()).build().into();
    read(agent.get(url).call())
}

/// GETs an address.
///
/// # Errors
/// If there is no answer.
pub fn get(url: &str) -> Result<Answer, String> {
    read(agent().get(url).call())
}

/// PUTs a body.
///
/// # Errors
/// If there is no answer.
pub fn put(url: &str, content_type: &str, body: &[u8]) -> Result<Answer, String> {
    read(agent().put(url).content_type(content_type).send(body))
}

/// PUTs a body that is compressed, with its `Content-Encoding`.
///
/// # Errors
/// If there is no answer.
pub fn put_encoded(
    url: &str,
    content_type: &str,
    encoding: &str,
    body: &[u8],
) -> Result<Answer, String> {
    let request = agent().put(url).content_type(content_type);
    read(request.header("content-encoding", encoding).send(body))
}

/// POSTs a body.
///
/// # Errors
/// If there is no answer.
pub fn post(url: &str, content_type: &str, body: &[u8]) -> Result<Answer, String> {
    read(agent().post(url).content_type(content_type).send(body))
}

/// Any other method.
///
/// # Errors
/// If there is no answer.
///
/// # Panics
/// If the address or the method is none.
pub fn send(method: &str, url: &str, content_type: &str, body: &[u8]) -> Result<Answer, String> {
    let request = ureq::http::Request::builder()
        .method(method.to_uppercase().as_str())
        .uri(url)
        .header("content-type", content_type)
        .body(body)
        .expect("a method and an address");
    let request = agent()
        .configure_request(request)
        .allow_non_standard_methods(true)
        .build();
    read(agent().run(request))
}

fn read(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Answer, String> {
    let mut answer = answer.map_err(|error| error.to_string())?;
    let content_type = answer
        .headers()
        .get("content-type")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let text = answer
        .body_mut()
        .read_to_string()
        .map_err(|error| error.to_string())?;
    Ok(Answer {
        status: answer.status().as_u16(),
        content_type,
        text,
    })
}
