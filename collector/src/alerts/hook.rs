use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use ureq::Agent;

/// Longer than anybody who only takes a note needs.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// Somebody who is told of alerts over HTTP.
#[derive(Clone)]
pub struct Hook {
    agent: Agent,
    url: String,
    form: Form,
}

/// What they understand.
#[derive(Clone)]
pub(super) enum Form {
    /// JSON, signed where there is a key: <https://www.standardwebhooks.com>.
    Webhook { key: Option<Vec<u8>> },
    /// A message for a channel: Slack, and whatever takes the same.
    Slack,
}

/// Why nobody can be told that way.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum HookError {
    /// The address is none.
    #[error("an address begins with http:// or https:// and names a host")]
    Address,
    /// The secret is none. It is not quoted.
    #[error(
        "a secret is whsec_ and then 24 to 64 random bytes in base64: `echo whsec_$(openssl rand -base64 32)` makes one"
    )]
    Secret,
}

impl Hook {
    /// Tells everything as JSON. With a secret what is told is signed, as <https://www.standardwebhooks.com> says, so that the
    /// receiver knows who sent it, and when. The agent tells whom to trust.
    ///
    /// # Errors
    /// If the address or the secret is none.
    pub fn webhook(url: &str, secret: Option<&str>, agent: Agent) -> Result<Self, HookError> {
        let key = secret.map(key_of).transpose()?;
        Self::new(url, Form::Webhook { key }, agent)
    }

    /// Tells it as a message for a channel: to an incoming webhook of Slack, or of what understands the same.
    ///
    /// # Errors
    /// If the address is none.
    pub fn slack(url: &str, agent: Agent) -> Result<Self, HookError> {
        Self::new(url, Form::Slack, agent)
    }

    fn new(url: &str, form: Form, agent: Agent) -> Result<Self, HookError> {
        let address: http::Uri = url.parse().map_err(|_| HookError::Address)?;
        if address.host().is_none() || !matches!(address.scheme_str(), Some("http" | "https")) {
            return Err(HookError::Address);
        }
        Ok(Self {
            agent,
            url: url.to_owned(),
            form,
        })
    }

    pub(super) fn form(&self) -> &Form {
        &self.form
    }

    /// By which name it is kept what was told to it.
    pub(super) fn name(&self) -> &'static str {
        match self.form {
            Form::Webhook { .. } => "webhook",
            Form::Slack => "slack",
        }
    }

    /// Sends a message. The id is the same when it is sent again. Blocks.
    ///
    /// # Errors
    /// Why it has to be sent again, in words.
    pub(super) fn send(&self, id: &str, now_s: u64, body: &[u8]) -> Result<(), String> {
        let mut request = self
            .agent
            .post(&self.url)
            .config()
            .timeout_global(Some(TIME_LIMIT))
            .http_status_as_error(false)
            // What was signed for one is not for another.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .build()
            .content_type("application/json")
            .header(
                "user-agent",
                concat!("appweight/", env!("CARGO_PKG_VERSION")),
            );
        if let Form::Webhook { key } = &self.form {
            request = request
                .header("webhook-id", id)
                .header("webhook-timestamp", now_s.to_string());
            if let Some(key) = key {
                request = request.header("webhook-signature", signature(key, id, now_s, body));
            }
        }
        let response = request.send(body).map_err(|error| error.to_string())?;
        if response.status().is_success() {
            Ok(())
        } else {
            Err(format!("it answers {}", response.status()))
        }
    }
}

/// The address may hold a secret: Slack's do.
impl std::fmt::Debug for Hook {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Hook").field(&self.name()).finish()
    }
}

fn key_of(secret: &str) -> Result<Vec<u8>, HookError> {
    let key = secret.strip_prefix("whsec_");
    let key = key.and_then(|key| STANDARD.decode(key.trim()).ok());
    key.filter(|key| (24..=64).contains(&key.len()))
        .ok_or(HookError::Secret)
}

/// Of id, time and body (Standard Webhooks, "Signature scheme").
fn signature(key: &[u8], id: &str, now_s: u64, body: &[u8]) -> String {
    // A key of any length is one; if not, what is sent is not taken for signed.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return String::new();
    };
    mac.update(format!("{id}.{now_s}.").as_bytes());
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_published_example() {
        // The test vector of the reference libraries of Standard Webhooks.
        let key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = signature(
            &key,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn what_is_no_address_and_no_secret_is_refused() {
        let hook =
            |url: &str, secret| Hook::webhook(url, secret, Agent::new_with_defaults()).map(|_| ());
        assert_eq!(hook("http://127.0.0.1:1/x", None), Ok(()));
        for url in ["", "127.0.0.1:1", "ftp://host/x", "http://", "/x"] {
            assert_eq!(hook(url, None), Err(HookError::Address), "{url}");
        }
        for secret in [
            "",
            "whsec_",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_c2hvcnQ=",
        ] {
            assert_eq!(
                hook("http://h/", Some(secret)),
                Err(HookError::Secret),
                "{secret}"
            );
        }
        let shown = format!(
            "{:?}",
            Hook::slack("http://h/secret", Agent::new_with_defaults())
        );
        assert!(!shown.contains("secret"), "{shown}");
    }
}
