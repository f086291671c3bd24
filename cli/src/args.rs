use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::store_address::StoreAddress;
use crate::tls::Shown;
use crate::units;

/// Tells which deploy made a service heavier, by how much, and in which endpoint.
#[derive(Debug, Parser)]
#[command(
    name = "appweight",
    version,
    after_help = "Start with `appweight serve`, then give a service the agent and open http://127.0.0.1:7070."
)]
pub(crate) struct Args {
    /// What to log: error, warn, info, debug, or a filter such as appweight_collector=debug
    #[arg(
        long,
        env = "APPWEIGHT_LOG",
        default_value = "info",
        global = true,
        value_name = "FILTER"
    )]
    pub(crate) log: String,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run collector and dashboard in one process on one store
    Serve(Box<Serve>),
    /// Run the collector alone: it takes batches, judges deploys and answers queries
    Collector(Box<Collector>),
    /// Run the dashboard alone, for a collector elsewhere
    Dashboard(Dashboard),
    /// Fail if one deploy is heavier than another
    ///
    /// The deploys are those of a collector, or two files of records (--base-file, --head-file). Where the
    /// collector's detector judges the roll-out, what it has called is held to the limits; else both are compared.
    /// Exits 1 when the interval of an increase lies above its limit, 0 when all lie below, and
    /// else 2: it cannot be told (with how many more requests would tell), a deploy is unknown,
    /// instructions were counted in different ways, a file cannot be read, or the collector does not answer.
    Gate(Gate),
    /// Tell the collector that a roll-out starts or ends
    Deploy(Deploy),
    /// Show which deploys made a service heavier, and say what is done about it
    Alerts(Box<crate::alerts::AlertsArgs>),
    /// Show what became heavier slowly: changes of level and trends over days and weeks
    ///
    /// Asks a collector for the weight of each day's peak minute and the daily cost of a request of each endpoint. Of
    /// all that is looked at, at most one in twenty that is told is false on average; the rest is there with --format json.
    /// A trend takes four weeks of days. Exits 0 whatever is found, 2 if the collector does not answer.
    Drift(crate::drift::DriftArgs),
    /// Show which function costs what, and what changed between two deploys or profiles
    Profile(Box<crate::profile::ProfileArgs>),
    /// Find where a series of days or weeks changed for good
    ///
    /// Reads {"series": [1.5, null, 2, …]} on standard input, null being a gap, and prints
    /// {"changepoints": [index, …], "details": […]}: for each change the first value after it, from 0,
    /// the mean before and after, and how sure it is. Exits 2 if the input is no series.
    Changepoints,
    /// Tell what the agent can count on this machine, at what cost, and what to change to get more
    ///
    /// Exits 0 if every request can be counted here, 1 if only one in K of busy endpoints can, since
    /// reading CPU time costs a system call, and 2 if it cannot be told. With --require-instructions
    /// it exits 1 also where instructions are not counted.
    Doctor(crate::doctor::DoctorArgs),
    /// Judge cells of a file: a verdict per deploy and endpoint, as lines of JSON
    Judge(crate::judge::Judge),
    /// Write cells of simulated days, of which it is known what is true
    Simulate(crate::simulate::Simulate),
    /// Score the judge on simulated days
    Evaluate(crate::evaluate::Evaluate),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

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
        value_name = "N"
    )]
    pub(crate) max_services: usize,
    /// How many endpoints of a service are counted apart; those that come later are counted as `other`
    #[arg(
        long,
        env = "APPWEIGHT_MAX_ENDPOINTS",
        default_value_t = 1_000,
        value_name = "N"
    )]
    pub(crate) max_endpoints: usize,
    /// Memory for batches that wait for their commit; beyond it clients are asked to come again
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
    /// Do not judge deploys: of several collectors on one store, exactly one does
    #[arg(long, env = "APPWEIGHT_NO_WATCH")]
    pub(crate) no_watch: bool,
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

/// A collector elsewhere.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct At {
    /// The collector
    #[arg(
        long,
        env = "APPWEIGHT_COLLECTOR",
        default_value = "http://127.0.0.1:7070",
        value_name = "URL"
    )]
    pub(crate) collector: String,
    /// What the collector asks for, if it does: a token for reading, or of `deploy` one for writing
    #[arg(
        long,
        env = "APPWEIGHT_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    pub(crate) token: Option<String>,
    /// Certificates (PEM) that may vouch for an https:// collector; by default the system's
    #[arg(long, env = "APPWEIGHT_CA_FILE", value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
}

impl At {
    pub(crate) fn client(&self) -> anyhow::Result<crate::Collector> {
        let collector = crate::Collector::trusting(&self.collector, self.ca_file.as_deref())?;
        Ok(collector.with_token(self.token.as_deref()))
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Dashboard {
    /// Where to listen; port 0 takes a free one and says which
    #[arg(
        long,
        env = "APPWEIGHT_LISTEN",
        default_value = "127.0.0.1:7071",
        value_name = "ADDRESS"
    )]
    pub(crate) listen: SocketAddr,
    #[command(flatten)]
    pub(crate) shown: Shown,
    #[command(flatten)]
    pub(crate) at: At,
    /// Listen beyond this machine without a token: everybody who reaches the port sees the pages
    #[arg(long, env = "APPWEIGHT_INSECURE_NO_TOKENS")]
    pub(crate) insecure_no_tokens: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// Columns for a terminal
    Table,
    /// One JSON object
    Json,
    /// A table for a pull request
    Markdown,
    /// Workflow commands of GitHub Actions, which are shown beside the change
    Github,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Gate {
    /// The deploy that is the measure; with files it may be left out if its file has only one
    #[arg(
        long,
        env = "APPWEIGHT_GATE_BASE",
        required_unless_present = "base_file",
        value_name = "DEPLOY"
    )]
    pub(crate) base: Option<String>,
    /// The deploy that is held against it
    #[arg(
        long,
        env = "APPWEIGHT_GATE_HEAD",
        required_unless_present = "head_file",
        value_name = "DEPLOY"
    )]
    pub(crate) head: Option<String>,
    /// Records of the old deploy in a file, instead of a collector: batches as JSON, one after another or
    /// in an array, or one as MessagePack; compressed if the name ends in .gz
    #[arg(
        long,
        env = "APPWEIGHT_GATE_BASE_FILE",
        requires = "head_file",
        value_name = "FILE"
    )]
    pub(crate) base_file: Option<PathBuf>,
    /// Records of the new deploy in a file
    #[arg(
        long,
        env = "APPWEIGHT_GATE_HEAD_FILE",
        requires = "base_file",
        value_name = "FILE"
    )]
    pub(crate) head_file: Option<PathBuf>,
    /// Limits by endpoint, and increases that are accepted until a day; by default appweight.toml, if it is there
    #[arg(long, env = "APPWEIGHT_GATE_BUDGET", value_name = "FILE")]
    pub(crate) budget: Option<PathBuf>,
    /// The increase that is still fine; by default the budget's, else 1%
    #[arg(long, env = "APPWEIGHT_GATE_MAX_INCREASE", value_parser = units::percentage, allow_hyphen_values = true, value_name = "PERCENT")]
    pub(crate) max_increase: Option<f64>,
    /// How sure the interval is; by default the budget's, else 99%
    #[arg(long, env = "APPWEIGHT_GATE_CONFIDENCE", value_parser = units::confidence, value_name = "PERCENT")]
    pub(crate) confidence: Option<f64>,
    /// Hold this endpoint to the limit instead of all together; can be repeated
    #[arg(
        long,
        env = "APPWEIGHT_GATE_ENDPOINT",
        value_delimiter = ',',
        value_name = "ENDPOINT"
    )]
    pub(crate) endpoint: Vec<String>,
    /// Hold every endpoint to the limit
    #[arg(
        long,
        env = "APPWEIGHT_GATE_EVERY_ENDPOINT",
        conflicts_with = "endpoint"
    )]
    pub(crate) every_endpoint: bool,
    /// What to compare; by default instructions where both have them, else CPU time
    #[arg(long, env = "APPWEIGHT_GATE_METRIC", value_name = "METRIC")]
    pub(crate) metric: Option<MetricName>,
    /// The service; may be left out if there is only one
    #[arg(long, env = "APPWEIGHT_SERVICE", value_name = "NAME")]
    pub(crate) service: Option<String>,
    #[command(flatten)]
    pub(crate) at: At,
    /// How to print the answer
    #[arg(long, env = "APPWEIGHT_FORMAT", default_value = "table")]
    pub(crate) format: OutputFormat,
    /// With --format github: where the table for the run's page is added
    #[arg(long, env = "GITHUB_STEP_SUMMARY", value_name = "FILE")]
    pub(crate) summary_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MetricName {
    /// CPU instructions
    Instructions,
    /// CPU time
    Cpu,
}

impl MetricName {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Instructions => "instructions",
            Self::Cpu => "cpu",
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Deploy {
    /// What is rolled out: usually the commit
    pub(crate) id: String,
    /// The service
    #[arg(long, env = "APPWEIGHT_SERVICE", value_name = "NAME")]
    pub(crate) service: String,
    /// The last instance has been replaced: the roll-out is over
    #[arg(long)]
    pub(crate) ended: bool,
    /// The deploy that it replaces; by default the one before
    #[arg(long, value_name = "DEPLOY")]
    pub(crate) replaced: Option<String>,
    /// Who made the change
    #[arg(long, env = "APPWEIGHT_DEPLOY_AUTHOR")]
    pub(crate) author: Option<String>,
    /// The change in a line
    #[arg(long, env = "APPWEIGHT_DEPLOY_TITLE")]
    pub(crate) title: Option<String>,
    /// Where to read more
    #[arg(long, env = "APPWEIGHT_DEPLOY_LINK", value_name = "URL")]
    pub(crate) link: Option<String>,
    #[command(flatten)]
    pub(crate) at: At,
}

pub(crate) fn endpoint_change(text: &str) -> Result<(String, f64), String> {
    let (endpoint, percent) = text.rsplit_once('=').ok_or("write it as /feed=0.5%")?;
    Ok((endpoint.to_owned(), units::percentage(percent)?))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn options_are_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn an_endpoint_may_hold_an_equals_sign() {
        assert_eq!(endpoint_change("/a=b=2%"), Ok(("/a=b".to_owned(), 0.02)));
        assert!(endpoint_change("/a").is_err());
    }
}
