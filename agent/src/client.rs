use std::time::{Duration, SystemTime};

use appweight_wire::{Format, SENT_US_HEADER};
use http::header::{AUTHORIZATION, RETRY_AFTER};
use http::{HeaderMap, HeaderValue};
use ureq::Agent as Http;

use crate::backoff::Failure;
use crate::queue::Sealed;
use crate::settings::Settings;

const CONNECT: Duration = Duration::from_secs(2);
const TOTAL: Duration = Duration::from_secs(10);
/// Of what a collector says, so much is read.
const WORDS_BYTES: u64 = 2_000;

/// Puts batches to a collector.
pub(crate) struct Client {
    http: Option<Http>,
    batches: String,
    authorization: Option<HeaderValue>,
    #[cfg(feature = "tls")]
    ca_file: Option<std::path::PathBuf>,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It is stored.
    Taken,
    /// It will never be taken; in the collector's words.
    Refused(String),
    /// It may be taken another time.
    Failed(Failure),
}

impl Client {
    pub(crate) fn new(settings: &Settings) -> Self {
        let authorization = settings.token.as_ref().and_then(|token| {
            let mut value = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        Self {
            http: None,
            batches: format!("{}/v1/batches/", settings.collector),
            authorization,
            #[cfg(feature = "tls")]
            ca_file: settings.ca_file.clone(),
        }
    }

    /// Sends a batch once. `left` is the time that is left for it, if there is less than usual.
    pub(crate) fn put(&mut self, batch: &Sealed, left: Option<Duration>) -> Answer {
        if self.http.is_none() {
            match self.connect() {
                Ok(http) => self.http = Some(http),
                Err(why) => return Answer::Failed(Failure::new(why)),
            }
        }
        let Some(http) = &self.http else {
            return Answer::Failed(Failure::new("not set up".to_owned()));
        };
        let timeout = left.map_or(TOTAL, |left| left.clamp(Duration::from_millis(1), TOTAL));
        let mut request = http
            .put(format!("{}{}", self.batches, batch.id))
            .config()
            .timeout_global(Some(timeout))
            .build()
            .header("content-type", Format::MessagePack.content_type())
            .header("content-encoding", "zstd")
            .header(SENT_US_HEADER, now_us().to_string());
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        let mut response = match request.send(batch.bytes.as_slice()) {
            Ok(response) => response,
            Err(error) => return Answer::Failed(Failure::new(error.to_string())),
        };
        let status = response.status();
        let retry_after = retry_after(response.headers());
        let words = response
            .body_mut()
            .with_config()
            .limit(WORDS_BYTES)
            .lossy_utf8(true)
            .read_to_string()
            .unwrap_or_default();
        let said = format!("{status} {}", crate::names::clean(words.trim()));
        match status.as_u16() {
            200..=299 => Answer::Taken,
            401 | 403 => Answer::Failed(Failure {
                why: said,
                retry_after,
                unauthorized: true,
            }),
            400..=499 if !matches!(status.as_u16(), 408 | 429) => Answer::Refused(said),
            _ => Answer::Failed(Failure {
                why: said,
                retry_after,
                unauthorized: false,
            }),
        }
    }

    /// Nothing is sent yet. What is amiss here may be mended while the service runs: it is tried
    /// again before each batch.
    fn connect(&self) -> Result<Http, String> {
        let config = Http::config_builder()
            .timeout_connect(Some(CONNECT))
            .timeout_global(Some(TOTAL))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            // A proxy in the environment is for the service's own calls, not for the collector.
            .proxy(None)
            .user_agent(concat!("appweight-agent/", env!("CARGO_PKG_VERSION")));
        #[cfg(feature = "tls")]
        let config = if self.batches.starts_with("https:") {
            config.tls_config(crate::tls::config(self.ca_file.as_deref())?)
        } else {
            config
        };
        Ok(config.build().new_agent())
    }
}

/// By the machine's clock; 0 if that is before 1970.
fn now_us() -> u128 {
    SystemTime::UNIX_EPOCH
        .elapsed()
        .map_or(0, |since| since.as_micros())
}

/// The form in seconds alone: a collector's clock may be wrong.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse();
    seconds.ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_that_is_asked_for_is_read_in_seconds() {
        let asked = |value: &'static str| {
            retry_after(&HeaderMap::from_iter([(
                RETRY_AFTER,
                HeaderValue::from_static(value),
            )]))
        };
        assert_eq!(asked("5"), Some(Duration::from_secs(5)));
        assert_eq!(asked(" 0 "), Some(Duration::ZERO));
        assert_eq!(asked("-1"), None);
        assert_eq!(asked("Wed, 21 Oct 2026 07:28:00 GMT"), None);
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
