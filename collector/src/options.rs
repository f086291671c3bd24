use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use appweight::thresholds::Thresholds;

use crate::{Access, Clock, Hook};

/// Everything about a collector that can be set.
///
/// ```
/// use appweight_collector::CollectorOptions;
///
/// let options = CollectorOptions {
///     database: "appweight.db".into(),
///     ..CollectorOptions::default()
/// };
/// assert!(options.watch);
/// ```
#[derive(Debug, Clone)]
pub struct CollectorOptions {
    /// The SQLite file; made if it is not there.
    pub database: PathBuf,
    /// Keeps everything in ClickHouse, not in the file.
    #[cfg(feature = "clickhouse")]
    pub clickhouse: Option<crate::ClickhouseOptions>,
    /// What has to be exceeded before a deploy is said to have changed anything.
    pub thresholds: Thresholds,
    /// By flag, how it is given to requests: `random`, or by what else, as `country`. Of others their shares have to tell.
    pub flags_given: BTreeMap<String, String>,
    /// The width of a point of the weight if the question names none.
    pub weight_window: Duration,
    /// How long after its end a roll-out is judged for good, so that late cells are in.
    pub settle: Duration,
    /// How old the report of a roll-out that still goes on may be before it is judged anew when it is asked for. Up to six times
    /// that age it is told meanwhile; of an older one the next report is waited for.
    pub keep_rolling: Duration,
    /// Whether this process judges deploys while no other on its store does. One at a time does.
    pub watch: bool,
    /// Who is told of alerts.
    pub hooks: Vec<Hook>,
    /// Where readers find the dashboard, for links to it.
    pub public_url: Option<String>,
    /// The largest body that is taken, bytes.
    pub body_limit: usize,
    /// How long a body may keep its reader waiting before the client has to send it anew; twelve times as long may all of
    /// it take.
    pub body_patience: Duration,
    /// How much memory batches may take that wait for their commit, bytes. Beyond it clients are
    /// asked to come again. There is always room for one of the largest bodies.
    pub queue_bytes: usize,
    /// How many services there may be. Whatever names another is refused.
    pub max_services: usize,
    /// How many endpoints of a service are counted apart. Those that come later are counted together.
    pub max_endpoints: usize,
    /// How long request records and process records are kept.
    pub keep_records: Duration,
    /// How long cells are kept as they came, by group of hosts. Older ones are folded over all hosts, and
    /// to minutes where they are narrower.
    pub keep_hosts: Duration,
    /// How long cells of minutes are kept. Older ones are added up to hours.
    pub keep_minutes: Duration,
    /// How long cells are kept at all.
    pub keep_hours: Duration,
    /// How long roll-outs and their reports are kept after they were replaced.
    pub keep_deploys: Duration,
    /// How long the profiles of a deploy are kept after the last one was added to them.
    pub keep_profiles: Duration,
    /// How long the ids of batches are kept: longer than any agent keeps a batch to send it again.
    pub keep_batch_ids: Duration,
    /// Who may write and who may read.
    pub access: Access,
    /// What to ask for the time.
    pub clock: Clock,
}

impl Default for CollectorOptions {
    fn default() -> Self {
        const HOUR: u64 = 3_600;
        Self {
            database: PathBuf::from("appweight.db"),
            #[cfg(feature = "clickhouse")]
            clickhouse: None,
            thresholds: Thresholds::default(),
            flags_given: BTreeMap::new(),
            weight_window: Duration::from_secs(60),
            settle: Duration::from_secs(120),
            keep_rolling: Duration::from_secs(5),
            watch: true,
            hooks: Vec::new(),
            public_url: None,
            body_limit: 8 * 1024 * 1024,
            body_patience: Duration::from_secs(10),
            queue_bytes: 64 * 1024 * 1024,
            max_services: 1_000,
            max_endpoints: 1_000,
            keep_records: Duration::from_secs(48 * HOUR),
            keep_hosts: Duration::from_secs(7 * 24 * HOUR),
            keep_minutes: Duration::from_secs(30 * 24 * HOUR),
            keep_hours: Duration::from_secs(2 * 365 * 24 * HOUR),
            keep_deploys: Duration::from_secs(2 * 365 * 24 * HOUR),
            keep_profiles: Duration::from_secs(30 * 24 * HOUR),
            keep_batch_ids: Duration::from_secs(8 * 24 * HOUR),
            access: Access::default(),
            clock: Clock::system(),
        }
    }
}

/// A duration in µs, the unit of every time in the store.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
