use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use clap::builder::RangedU64ValueParser;

use super::{endpoint_change, flag_given};
use crate::store_address::StoreAddress;
use crate::tls::Shown;
use crate::units;

/// The collector, or a chore on its store.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Collector {
    #[command(flatten)]
    pub(crate) serve: Serve,
    #[command(subcommand)]
    pub(crate) chore: Option<Chore>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Chore {
    /// Copy the SQLite file of a collector, which may go on meanwhile
    ///
    /// The copy is of the moment at which it begins. It has its name once it is whole, was looked through and lies
    /// on the disk. To go back to it, stop the collector and start it with --database on the copy.
    Backup(crate::backup::Backup),
    /// Write what is in an SQLite store as Parquet files, also while a collector runs on it
    Export(crate::export::Export),
    /// Bring a store to the schema of this program, as a collector does when it starts
    Migrate(crate::stores::Migrate),
    /// Copy a history from SQLite to ClickHouse, or back
    ///
    /// End the collectors of both first. Begun again after an interruption it goes on where it was; until it is done no
    /// collector starts on the target. A target that holds anything else is refused. To copy a file to a file, use backup.
    Copy(crate::stores::Copy),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    /// Where to listen; port 0 takes a free one and says which
    #[arg(
        long,
        env = "APPWEIGHT_LISTEN",
        default_value = "127.0.0.1:7070",
        value_name = "ADDRESS"
    )]
    pub(crate) listen: SocketAddr,
    #[command(flatten)]
    pub(crate) shown: Shown,
    /// What keeps everything: sqlite:FILE, made if it is not there, or clickhouse://USER:PASSWORD@HOST:PORT/DATABASE
    #[arg(
        long,
        env = "APPWEIGHT_STORE",
        hide_env_values = true,
        default_value = "sqlite:appweight.db",
        value_name = "ADDRESS"
    )]
    pub(crate) store: StoreAddress,
    /// The same as --store sqlite:FILE
    #[arg(
        long,
        env = "APPWEIGHT_DATABASE",
        value_name = "FILE",
        conflicts_with = "store"
    )]
    pub(crate) database: Option<PathBuf>,
    /// With ClickHouse: the folder of what is being written, this collector's own; made if it is not there
    #[cfg(feature = "clickhouse")]
    #[arg(
        long,
        env = "APPWEIGHT_JOURNAL",
        default_value = "appweight-journal",
        value_name = "FOLDER"
    )]
    pub(crate) journal: PathBuf,
    /// With ClickHouse: the cluster on which tables are made, replicated. Experimental: it was never run on one
    #[cfg(feature = "clickhouse")]
    #[arg(long, env = "APPWEIGHT_CLICKHOUSE_CLUSTER", value_name = "NAME")]
    pub(crate) clickhouse_cluster: Option<String>,
    /// The width of a point of the weight: users active in such a window are what cost is divided by
    #[arg(long, env = "APPWEIGHT_WEIGHT_WINDOW", default_value = "60s", value_parser = units::duration, value_name = "DURATION")]
    pub(crate) weight_window: Duration,
    /// How long after its end a roll-out is judged for good, so that late cells are in
    #[arg(long, env = "APPWEIGHT_SETTLE", default_value = "2m", value_parser = units::duration, value_name = "DURATION")]
    pub(crate) settle: Duration,
    /// How long single requests and process records are kept
    #[arg(long, env = "APPWEIGHT_KEEP_RECORDS", default_value = "48h", value_parser = units::duration, value_name = "DURATION")]
    pub(crate) keep_records: Duration,
    /// How long cells are kept by group of hosts; older ones are folded over hosts, and to minutes
    #[arg(long, env = "APPWEIGHT_KEEP_HOSTS", default_value = "7d", value_parser = units::duration, value_name = "DURATION")]
    pub(crate) keep_hosts: Duration,
    /// How long cells of minutes are kept; older ones are added up to hours
    #[arg(long, env = "APPWEIGHT_KEEP_MINUTES", default_value = "30d", value_parser = units::duration, value_name = "DURATION")]
    pub(crate) keep_minutes: Duration,
    /// How long cells of hours are kept
    #[arg(long, env = "APPWEIGHT_KEEP_HOURS", default_value = "730d", value_parser = units::duration, value_name = "DURATION")]
    pub(crate) keep_hours: Duration,
    /// How long roll-outs and their verdicts are kept after they were replaced
    #[arg(long, env = "APPWEIGHT_KEEP_DEPLOYS", default_value = "730d", value_parser = units::duration, value_name = "DURATION")]
    pub(crate) keep_deploys: Duration,
    /// How long function profiles are kept after the last one of their deploy was added
    #[arg(long, env = "APPWEIGHT_KEEP_PROFILES", default_value = "30d", value_parser = units::duration, value_name = "DURATION")]
    pub(crate) keep_profiles: Duration,
    /// How long ids of batches are kept, by which a batch that is sent twice counts once; 7d at least, for so long agents keep batches
    #[arg(long, env = "APPWEIGHT_KEEP_BATCH_IDS", default_value = "8d", value_parser = keep_batch_ids, value_name = "DURATION")]
    pub(crate) keep_batch_ids: Duration,
    /// A list of tokens, one on each line: `read TOKEN`, `write TOKEN` or `write SERVICE TOKEN`
    #[arg(long, env = "APPWEIGHT_TOKENS_FILE", value_name = "FILE")]
    pub(crate) tokens_file: Option<PathBuf>,
    /// A token that lets its holder send batches and announce deploys; for one service as SERVICE=TOKEN;
    /// can be repeated
    #[arg(
        long,
        env = "APPWEIGHT_WRITE_TOKEN",
        hide_env_values = true,
        value_delimiter = ',',
        value_name = "[SERVICE=]TOKEN"
    )]
    pub(crate) write_token: Vec<String>,
    /// A token that lets its holder ask the query API and see the pages, where a browser asks for it as
    /// the password of any user; can be repeated
    #[arg(
        long,
        env = "APPWEIGHT_READ_TOKEN",
        hide_env_values = true,
        value_delimiter = ',',
        value_name = "TOKEN"
    )]
    pub(crate) read_token: Vec<String>,
    /// Listen beyond this machine without tokens: everybody who reaches the port may read and write
    #[arg(long, env = "APPWEIGHT_INSECURE_NO_TOKENS")]
    pub(crate) insecure_no_tokens: bool,
    /// How many services there may be; batches and deploys of others are refused
    #[arg(
        long,
        env = "APPWEIGHT_MAX_SERVICES",
        default_value_t = 1_000,
        value_parser = at_least_one(),
        value_name = "N"
    )]
    pub(crate) max_services: usize,
    /// How many endpoints of a service are counted apart; those that come later are counted as `other`
    #[arg(
        long,
        env = "APPWEIGHT_MAX_ENDPOINTS",
        default_value_t = 1_000,
        value_parser = at_least_one(),
        value_name = "N"
    )]
    pub(crate) max_endpoints: usize,
    /// Memory for batches that wait for their commit, 40 MiB at least; beyond it clients are asked to come again
    #[arg(long, env = "APPWEIGHT_COLLECTOR_QUEUE_BYTES", default_value = "64MiB", value_parser = units::bytes, value_name = "SIZE")]
    pub(crate) queue_bytes: usize,
    /// How sure the judge is of all that it says of one deploy
    #[arg(long, env = "APPWEIGHT_CONFIDENCE", default_value = "99.9%", value_parser = units::confidence, value_name = "PERCENT")]
    pub(crate) confidence: f64,
    /// The smallest change that is worth a word
    #[arg(long, env = "APPWEIGHT_MIN_CHANGE", default_value = "1%", value_parser = units::percentage, value_name = "PERCENT")]
    pub(crate) min_change: f64,
    /// The same for one endpoint, as /feed=0.5%; can be repeated
    #[arg(long, env = "APPWEIGHT_MIN_CHANGE_OF", value_parser = endpoint_change, value_delimiter = ',', value_name = "ENDPOINT=PERCENT")]
    pub(crate) min_change_of: Vec<(String, f64)>,
    /// The expected share of false ones among all that the detector calls of a service in a day
    #[arg(long, env = "APPWEIGHT_FALSE_DISCOVERIES", default_value = "20%", value_parser = units::share, value_name = "PERCENT")]
    pub(crate) false_discoveries: f64,
    /// How a feature flag is given to requests, as ranker=random or banner=country; can be repeated. What is not given at random is an
    /// association and no cost; of a flag that is not named here its shares have to tell
    #[arg(long, env = "APPWEIGHT_FLAG_GIVEN", value_parser = flag_given, value_delimiter = ',', value_name = "FLAG=HOW")]
    pub(crate) flag_given: Vec<(String, String)>,
    /// Requests that an endpoint needs under each deploy before it is judged
    #[arg(
        long,
        env = "APPWEIGHT_MIN_REQUESTS",
        default_value_t = 100,
        value_name = "N"
    )]
    pub(crate) min_requests: u64,
    /// Measure the collector by its own agent, as service `appweight-collector` in its own store
    #[arg(long, env = "APPWEIGHT_MEASURE_ITSELF", conflicts_with = "tls_cert")]
    pub(crate) measure_itself: bool,
    /// Tell this address of every alert as JSON: when a deploy made a service heavier, and what became of it
    #[arg(long, env = "APPWEIGHT_ALERT_WEBHOOK", value_name = "URL")]
    pub(crate) alert_webhook: Option<String>,
    /// Sign what is told to the webhook (Standard Webhooks), so that its receiver knows who sent it
    #[arg(
        long,
        env = "APPWEIGHT_ALERT_SECRET",
        hide_env_values = true,
        requires = "alert_webhook",
        value_name = "whsec_…"
    )]
    pub(crate) alert_secret: Option<String>,
    /// Tell a channel of every alert: an incoming webhook of Slack, or of what takes the same messages
    #[arg(
        long,
        env = "APPWEIGHT_ALERT_SLACK",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub(crate) alert_slack: Option<String>,
    /// Where readers of alerts find the dashboard: each has a link to its deploy's page then
    #[arg(long, env = "APPWEIGHT_PUBLIC_URL", value_name = "URL")]
    pub(crate) public_url: Option<String>,
    /// Never judge deploys; without it, of several collectors on one store one judges at a time
    #[arg(long, env = "APPWEIGHT_NO_WATCH")]
    pub(crate) no_watch: bool,
}

/// What an agent's spool keeps at most, and sends again (`docs/wire.md`): a batch that comes later than its id is known counts
/// twice.
const SPOOLED_FOR: Duration = Duration::from_secs(7 * 86_400);

fn at_least_one() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..)
}

fn keep_batch_ids(text: &str) -> Result<Duration, String> {
    let kept = units::duration(text)?;
    if kept < SPOOLED_FOR {
        return Err(
            "agents keep batches for up to 7d and send them again: what comes then would count twice"
                .to_owned(),
        );
    }
    Ok(kept)
}

impl Serve {
    /// What keeps everything.
    pub(crate) fn store(&self) -> StoreAddress {
        match &self.database {
            Some(file) => StoreAddress::Sqlite(file.clone()),
            #[cfg(feature = "clickhouse")]
            None => self
                .store
                .clone()
                .with(&self.journal, self.clickhouse_cluster.as_deref()),
            #[cfg(not(feature = "clickhouse"))]
            None => self.store.clone(),
        }
    }
}
