mod cost;
mod jumps;
mod ladder;
mod look;
mod minute;
mod silence;
mod watch;

pub(crate) use cost::CORE_NS_BY_MINUTE;
pub use watch::WatchOf;

use foldhash::{HashMap, HashMapExt};
use thiserror::Error;

use super::endpoint::{Cell, Endpoint};
use super::flags::{FlagCell, Flags};
use super::hosts::Hosts;
use super::incidents::Incidents;
use super::lines::{CellLine, DeployLine, VerdictLine};
use super::ramps::Ramps;
use super::settings::Settings;
use super::stream::{DayStream, Place};
use super::tell::Step;
use super::warm_up::{Curve, WarmUp};

/// Minutes after a roll-out for which it is watched.
const WATCH_MINUTES: i64 = 60;
/// Chance of a false call of a whole service, per deploy.
pub(crate) const SERVICE_LEVEL: f64 = 0.001;
/// Hosts that must have warmed up with a deploy before anything is said of it: one may be a bad one.
const MIN_NEW_HOSTS: usize = 3;
/// Minutes after which hosts' cells are fit to show such a jump, beyond warm-up.
const SETTLED_AFTER: i64 = 2;

/// Why a line cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DetectError {
    /// A cell names a deploy that no line has announced.
    #[error("deploy {0:?} has no line")]
    UnknownDeploy(String),
    /// Cells are not in order of time.
    #[error("minute {minute} after minute {last}: cells must be in order of time")]
    OutOfOrder {
        /// The line's minute.
        minute: i64,
        /// The minute before it.
        last: i64,
    },
    /// A cell's sums are not those of any requests.
    #[error("a cell must have n > 0 and finite sums")]
    NoCell,
    /// A cell's sums are of costs that no request can have: negative ones, or logarithms beyond those of any number.
    #[error("sum, sumlog and sumsqlog cannot be those of n costs")]
    ImpossibleCost,
}

/// The logarithm of the largest number is less.
const MOST_LOG: f64 = 710.0;

#[derive(Debug, Clone)]
struct Deploy {
    line: DeployLine,
    parent: Option<usize>,
    is_seen: bool,
    last_restart: i64,
    new_hosts: Vec<bool>,
    curve: Curve,
    is_curve_taken: bool,
    /// Minutes in which its code and other code served in one cluster.
    minutes_beside: i64,
    /// Nobody watches it: too many others were watched when it began.
    is_left_out: bool,
    /// Whether it was said why nothing is said of it.
    is_silence_told: bool,
    /// Once judged: its place in the day's stream of tests.
    place: Option<Place>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Deploy(usize),
    Flag(usize),
}

#[derive(Debug, Clone, Default)]
struct Names {
    numbers: HashMap<String, usize>,
}

impl Names {
    fn number(&mut self, name: &str) -> usize {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = self.numbers.len();
        self.numbers.insert(name.to_owned(), number);
        number
    }
}

/// Judges every deploy and flag of one service's stream of cells, minute by minute. Services have nothing in common: each is
/// given a detector of its own.
///
/// ```
/// use appweight::detect::{Detector, DeployLine};
///
/// let mut detector = Detector::new();
/// detector.add_deploy(DeployLine {
///     deploy: "a".to_owned(),
///     service: "photo".to_owned(),
///     replaces: None,
///     start: 0,
///     end: 0,
/// });
/// assert_eq!(detector.finish(), []);
/// ```
#[derive(Debug, Clone)]
pub struct Detector {
    settings: Settings,
    stream: DayStream,
    deploys: Vec<Deploy>,
    deploy_numbers: HashMap<String, usize>,
    endpoint_numbers: HashMap<String, usize>,
    host_names: Names,
    /// By cluster and name.
    host_numbers: HashMap<(usize, usize), usize>,
    merged_hosts: Vec<bool>,
    cluster_names: Names,
    metric: Option<String>,
    endpoints: Vec<Endpoint>,
    /// The service's own line.
    total: Endpoint,
    columns: Vec<Column>,
    hosts: Hosts,
    warm_up: WarmUp,
    flags: Flags,
    /// Whether flags are judged too, not only told from deploys.
    judges_flags: bool,
    ramps: Ramps,
    incidents: Incidents,
    minute: Option<i64>,
    first_minute: Option<i64>,
    last_minute: Option<i64>,
    cells: Vec<Cell>,
    flag_cells: Vec<FlagCell>,
    by_endpoint: Vec<Vec<usize>>,
}

impl Default for Detector {
    fn default() -> Self {
        Self::new()
    }
}

impl Detector {
    /// A detector that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::with_settings(Settings::default())
    }

    /// The same with settings of one's own.
    #[must_use]
    pub fn with_settings(settings: Settings) -> Self {
        Self {
            stream: DayStream::new(settings.false_discovery_rate),
            metric: settings.metric.clone(),
            deploys: Vec::new(),
            deploy_numbers: HashMap::new(),
            endpoint_numbers: HashMap::new(),
            host_names: Names::default(),
            host_numbers: HashMap::new(),
            merged_hosts: Vec::new(),
            cluster_names: Names::default(),
            endpoints: Vec::new(),
            total: Endpoint::new(None, settings.min_change, 0),
            settings,
            columns: Vec::new(),
            hosts: Hosts::default(),
            warm_up: WarmUp::new(),
            flags: Flags::default(),
            judges_flags: true,
            ramps: Ramps::default(),
            incidents: Incidents::default(),
            minute: None,
            first_minute: None,
            last_minute: None,
            cells: Vec::new(),
            flag_cells: Vec::new(),
            by_endpoint: Vec::new(),
        }
    }

    /// The same, which tells what flags do from what deploys do, but says nothing of flags: they take no part of the day's level.
    #[must_use]
    pub(crate) fn judging_no_flags(self) -> Self {
        Self {
            judges_flags: false,
            ..self
        }
    }

    /// Announces a deploy. It must come before its cells and after the deploy that it replaces.
    pub fn add_deploy(&mut self, line: DeployLine) {
        let parent = line
            .replaces
            .as_ref()
            .and_then(|replaced| self.deploy_numbers.get(replaced).copied());
        self.deploy_numbers
            .insert(line.deploy.clone(), self.deploys.len());
        self.deploys.push(Deploy {
            last_restart: line.start,
            line,
            parent,
            is_seen: false,
            new_hosts: Vec::new(),
            curve: Curve::default(),
            is_curve_taken: false,
            minutes_beside: 0,
            is_left_out: false,
            is_silence_told: false,
            place: None,
        });
    }

    /// Takes a cell, and says what the minutes before it made sure.
    ///
    /// # Errors
    ///
    /// The cell's deploy is unknown, its minute comes before another's, or it holds no requests or impossible costs. The detector
    /// stays as it was.
    pub fn add_cell(&mut self, line: &CellLine<'_>) -> Result<Vec<VerdictLine>, DetectError> {
        let sums = [line.sum, line.sumlog, line.sumsqlog];
        if !(line.n > 0.0 && line.n.is_finite() && sums.iter().all(|sum| sum.is_finite())) {
            return Err(DetectError::NoCell);
        }
        let [sum, log, square_log] = sums.map(|sum| sum / line.n);
        if sum < 0.0 || log.abs() > MOST_LOG || !(0.0..=MOST_LOG * MOST_LOG).contains(&square_log) {
            return Err(DetectError::ImpossibleCost);
        }
        let Some(&deploy) = self.deploy_numbers.get(line.deploy.as_ref()) else {
            return Err(DetectError::UnknownDeploy(line.deploy.clone().into_owned()));
        };
        let mut told = Vec::new();
        match self.minute {
            Some(last) if line.minute < last => {
                return Err(DetectError::OutOfOrder {
                    minute: line.minute,
                    last,
                });
            }
            Some(last) if line.minute > last => told = self.close_minute(),
            _ => {}
        }
        self.minute = Some(line.minute);
        self.first_minute.get_or_insert(line.minute);
        let metric = self
            .metric
            .get_or_insert_with(|| line.metric.clone().into_owned());
        if *metric != line.metric {
            // One metric is judged: the one asked for, else that of the first cell.
            return Ok(told);
        }
        let cluster = self.cluster_names.number(&line.cluster);
        let cell = Cell {
            endpoint: self.endpoint(&line.endpoint),
            cluster,
            // Those of flags repeat what other cells have of the hosts.
            host: if line.flag.is_some() {
                0
            } else {
                self.host(cluster, line)
            },
            deploy,
            n: line.n,
            sum: line.sum,
            sum_log: line.sumlog,
            sum_square_log: line.sumsqlog,
            // A cell that does not say so stands for its own requests alone.
            spent: line.sum * (line.weight / line.n).max(1.0),
        };
        match (&line.flag, &line.value) {
            (Some(flag), Some(value)) => self.flag_cells.push(FlagCell {
                flag: flag.clone().into_owned(),
                value: value.clone().into_owned(),
                cell,
            }),
            _ => self.cells.push(cell),
        }
        Ok(told)
    }

    /// Says what is known of every deploy and flag still under watch when the cells end.
    pub fn finish(&mut self) -> Vec<VerdictLine> {
        let before = self.close_minute();
        let Some(minute) = self.last_minute else {
            return before;
        };
        let mut told = Vec::new();
        for column in 0..self.columns.len() {
            if matches!(self.columns[column], Column::Deploy(_)) {
                self.tell_all(column, minute, &mut told);
            }
        }
        self.explain_silence(minute, true, &mut told);
        if self.judges_flags {
            for arm in 0..self.flags.arms.len() {
                self.tell_flag(arm, minute, &mut told);
            }
        }
        self.complete(&mut told);
        [before, told].concat()
    }

    /// What lines say beside their verdict.
    fn complete(&self, told: &mut [VerdictLine]) {
        self.price(told);
        self.explain(told);
    }

    /// The standard error, in logs, that each pair under watch has now: deploy, endpoint (none: the service), error.
    pub fn standard_errors(&self) -> impl Iterator<Item = (&str, Option<&str>, f64)> {
        let columns = self.columns.iter().enumerate();
        columns
            .filter_map(|(column, of)| match of {
                Column::Deploy(deploy) => Some((column, &self.deploys[*deploy])),
                Column::Flag(_) => None,
            })
            .flat_map(move |(column, deploy)| {
                let endpoints = self.endpoints.iter().chain([&self.total]);
                endpoints.filter_map(move |endpoint| {
                    let estimate = endpoint.pairs[column].estimate?;
                    let error = estimate.variance.sqrt();
                    Some((deploy.line.deploy.as_str(), endpoint.name.as_deref(), error))
                })
            })
    }

    fn endpoint(&mut self, name: &str) -> usize {
        if let Some(number) = self.endpoint_numbers.get(name) {
            return *number;
        }
        let number = self.endpoints.len();
        self.endpoint_numbers.insert(name.to_owned(), number);
        let min_change = self.settings.min_change_of(name);
        let endpoint = Endpoint::new(Some(name.to_owned()), min_change, self.columns.len());
        self.endpoints.push(endpoint);
        self.by_endpoint.push(Vec::new());
        number
    }

    /// A name is a host's of its cluster: others may have one of the same.
    fn host(&mut self, cluster: usize, line: &CellLine<'_>) -> usize {
        let name = self.host_names.number(&line.host);
        let next = self.host_numbers.len();
        let number = self.host_numbers.entry((cluster, name));
        let number = *number.or_insert(next);
        if self.merged_hosts.len() <= number {
            self.merged_hosts.resize(number + 1, false);
            self.merged_hosts[number] = line.host == "*";
        }
        number
    }

    /// Whether the code of `deploy` holds the change of `other`.
    fn descends(&self, deploy: usize, other: usize) -> bool {
        let mut at = Some(deploy);
        while let Some(of) = at {
            if of == other {
                return true;
            }
            if of < other {
                return false;
            }
            at = self.deploys[of].parent;
        }
        false
    }
}

impl Deploy {
    /// The minute in which its watch ends.
    fn watched_until(&self) -> i64 {
        self.last_restart.max(self.line.end) + WATCH_MINUTES
    }

    fn step(&self, number: usize) -> Step<'_> {
        Step {
            name: &self.line.deploy,
            number,
            parent: self.parent,
        }
    }

    fn note_host(&mut self, host: usize) {
        if self.new_hosts.len() <= host {
            self.new_hosts.resize(host + 1, false);
        }
        self.new_hosts[host] = true;
    }
}
