use std::time::Duration;

use appweight_wire::Format;
use ureq::Agent as Http;

use crate::queue::Sealed;

const CONNECT: Duration = Duration::from_secs(2);
const TOTAL: Duration = Duration::from_secs(10);
/// Of what a collector says, so much is read.
const WORDS_BYTES: u64 = 2_000;

/// Puts batches to a collector.
pub(crate) struct Client {
    http: Http,
    batches: String,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It is stored.
    Taken,
    /// It will never be taken; in the collector's words.
    Refused(String),
    /// It may be taken another time.
    Failed(String),
}

impl Client {
    pub(crate) fn new(collector: &str) -> Self {
        let http = Http::config_builder()
            .timeout_connect(Some(CONNECT))
            .timeout_global(Some(TOTAL))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            // A proxy in the environment is for the service's own calls, not for the collector.
            .proxy(None)
            .user_agent(concat!("appweight-agent/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Self {
            http,
            batches: format!("{collector}/v1/batches/"),
        }
    }

    /// Sends a batch once. `left` is the time that is left for it, if there is less than usual.
    pub(crate) fn put(&self, batch: &Sealed, left: Option<Duration>) -> Answer {
        let timeout = left.map_or(TOTAL, |left| left.clamp(Duration::from_millis(1), TOTAL));
        let sent = self
            .http
            .put(format!("{}{}", self.batches, batch.id))
            .config()
            .timeout_global(Some(timeout))
            .build()
            .header("content-type", Format::MessagePack.content_type())
            .send(batch.bytes.as_slice());
        let mut response = match sent {
            Ok(response) => response,
            Err(error) => return Answer::Failed(error.to_string()),
        };
        let status = response.status();
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
            408 | 429 => Answer::Failed(said),
            400..=499 => Answer::Refused(said),
            _ => Answer::Failed(said),
        }
    }
}
