//! The detector on a service's cells as a store has them, fed as minutes become complete.
//!
//! What it says depends on the cells and roll-outs alone, not on how many minutes were fed at once: who reads them again after a
//! restart is told the same.

mod minute;
mod roll_outs;
mod say;
mod verdict;

pub use verdict::judged_by;

use std::collections::{BTreeMap, BTreeSet};

use appweight_wire::{Deploy, Kind};

use crate::api::Metric;
use crate::detect::{CellLine, DeployLine, Detector, Ruling, Settings, VerdictLine, WatchOf};
use crate::evidence::PlacedCell;
use crate::thresholds::Thresholds;
pub(crate) use minute::{Counted, Sums};
use minute::{FlagPlace, Minutes, Place, flag_minutes, minutes};
use roll_outs::RollOuts;
pub(crate) use say::{change_of, rank, us, verdict_of};

/// The width of the cells that it takes, µs.
pub const MINUTE_US: u64 = 60_000_000;
/// Hosts, or groups of them, that each side must have.
const MIN_HOSTS: usize = 3;
/// Minutes for which what cannot be judged keeps it silent: those that a filter's level rests on.
const UNFIT_MINUTES: i64 = 60;
/// Cells as a store has them, of some minutes, of which no more need to be read at once: those of a minute that is judged are fewer, also
/// where each is there from young and from warm processes.
pub const MOST_READ: usize = 4 * minute::MOST_CELLS;

/// The minute in which that time lies.
#[must_use]
pub fn minute_of(us: u64) -> i64 {
    i64::try_from(us / MINUTE_US).unwrap_or(i64::MAX)
}

/// A roll-out is now told otherwise than when its cells were taken: they have to be read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewritten;

/// Why cells cannot be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unfit {
    /// Of another width than a minute, µs.
    Width(u64),
    /// Folded over all hosts.
    Folded,
    /// More in a minute than are judged.
    TooMany(usize),
}

/// A pair of roll-out and endpoint; none: all together.
type Pair = (usize, Option<Endpoint>);
type Endpoint = (Kind, String);

/// The detector of one service.
#[derive(Debug, Clone)]
pub struct Live {
    detector: Detector,
    counted: Option<Counted>,
    roll_outs: RollOuts,
    /// The first minute that was not fed.
    next: i64,
    /// By roll-out: who served with it.
    hosts: Vec<BTreeSet<(String, u8)>>,
    unfit: Option<(i64, Unfit)>,
    /// Minutes with more cells than are judged.
    left_out: u64,
    /// When it was sure first.
    sure_since: BTreeMap<Pair, i64>,
    /// The last word on roll-outs that are no longer under watch.
    last: BTreeMap<Pair, VerdictLine>,
    /// What is said now of those that are.
    now: BTreeMap<Pair, VerdictLine>,
    /// By roll-out.
    watches: Vec<Option<WatchOf>>,
}

impl Live {
    /// One that has seen nothing, and takes cells from that minute on.
    #[must_use]
    pub fn new(thresholds: &Thresholds, from: i64) -> Self {
        let by_endpoint = thresholds.min_change_by_endpoint.iter();
        let min_change_of = by_endpoint
            .flat_map(|(endpoint, change)| Kind::ALL.map(|kind| (name(kind, endpoint), *change)))
            .collect();
        let settings = Settings {
            min_change: thresholds.min_change,
            min_change_of,
            false_discovery_rate: thresholds.false_discoveries,
            ..Settings::default()
        };
        Self {
            detector: Detector::with_settings(settings).judging_no_flags(),
            counted: None,
            roll_outs: RollOuts::default(),
            next: from,
            hosts: Vec::new(),
            unfit: None,
            left_out: 0,
            sure_since: BTreeMap::new(),
            last: BTreeMap::new(),
            now: BTreeMap::new(),
            watches: Vec::new(),
        }
    }

    /// The first minute whose cells it has not seen.
    #[must_use]
    pub fn next_minute(&self) -> i64 {
        self.next
    }

    /// Takes up the roll-outs that are new. The list holds all that began since `since_us`, by rising start.
    ///
    /// # Errors
    ///
    /// One is told otherwise than before, or began in a minute that was fed without it.
    pub fn add_roll_outs(&mut self, deploys: &[Deploy], since_us: u64) -> Result<(), Rewritten> {
        let fed = self.counted.map(|_| self.next);
        for number in self.roll_outs.take_up(deploys, since_us, fed)? {
            let roll_out = self.roll_outs.of(number);
            self.detector.add_deploy(DeployLine {
                deploy: number.to_string(),
                service: String::new(),
                replaces: roll_out.parent.map(|parent| parent.to_string()),
                start: roll_out.minute(),
                // It is over when the last host has restarted, which the cells tell.
                end: roll_out.minute(),
            });
            self.hosts.push(BTreeSet::new());
        }
        Ok(())
    }

    /// Takes the cells of all minutes from [`Live::next_minute`] up to, but not including, `until`, and of `flags` those that are kept per flag.
    pub fn feed(&mut self, cells: &[PlacedCell], flags: &[PlacedCell], until: i64) {
        if self.counted.is_none() {
            self.counted = Counted::of(cells);
        }
        if let Some(counted) = self.counted {
            self.feed_counted(cells, flags, counted);
        }
        self.next = self.next.max(until);
    }

    /// Leaves a minute out that has so many cells, or more.
    pub fn leave_out(&mut self, minute: i64, cells: usize) {
        self.unfit = Some((minute, Unfit::TooMany(cells)));
        self.left_out += 1;
        self.next = self.next.max(minute + 1);
    }

    fn feed_counted(&mut self, cells: &[PlacedCell], flags: &[PlacedCell], counted: Counted) {
        let Minutes {
            sums,
            unfit,
            left_out,
        } = minutes(cells, counted);
        self.unfit = unfit.or(self.unfit);
        self.left_out += left_out;
        let mut flags = flag_minutes(flags, counted);
        let mut sums = sums.iter().peekable();
        while let Some((place, of)) = sums.next() {
            // Without a roll-out nothing is known of who runs it: it was told since the list was made.
            if let Some(number) = self.roll_outs.serving(place.deploy, place.minute) {
                let hosts = &mut self.hosts[number];
                let host = (place.cluster.to_owned(), place.host_group);
                if !hosts.contains(&host) {
                    hosts.insert(host);
                }
                self.take(&line_of(place, number, of, counted.metric));
            }
            let is_last = sums
                .peek()
                .is_none_or(|(next, _)| next.minute != place.minute);
            if is_last {
                self.take_flags(place.minute, flags.remove(&place.minute), counted.metric);
            }
        }
    }

    fn take_flags(
        &mut self,
        minute: i64,
        cells: Option<BTreeMap<FlagPlace<'_>, Sums>>,
        metric: Metric,
    ) {
        for (of, sums) in cells.into_iter().flatten() {
            let Some(number) = self.roll_outs.serving(of.deploy, minute) else {
                continue;
            };
            let place = Place {
                minute,
                deploy: of.deploy,
                kind: of.kind,
                endpoint: of.endpoint,
                cluster: of.cluster,
                host_group: 0,
            };
            self.take(&CellLine {
                flag: Some(of.flag.into()),
                value: Some(of.value.into()),
                host: "*".into(),
                ..line_of(&place, number, &sums, metric)
            });
        }
    }

    fn take(&mut self, line: &CellLine<'_>) {
        // The sums are those of requests, their deploy is known and they are in order: nothing is refused.
        for told in self.detector.add_cell(line).unwrap_or_default() {
            self.note(&told);
            if let Some(pair) = pair_of(&told) {
                self.last.insert(pair, told);
            }
        }
    }

    /// Says what is known by the last minute that was fed. It is as if the cells ended there: what is fed next changes nothing
    /// of it, nor does it change what is said of that.
    pub fn look(&mut self) {
        let mut ended = self.detector.clone();
        self.now.clear();
        for told in ended.finish() {
            self.note(&told);
            if let Some(pair) = pair_of(&told) {
                self.now.insert(pair, told);
            }
        }
        let numbers = 0..self.hosts.len();
        self.watches = numbers
            .map(|number| ended.watch_of(&number.to_string()))
            .collect();
    }

    fn note(&mut self, told: &VerdictLine) {
        if matches!(told.verdict, Ruling::Regressed | Ruling::Improved)
            && let Some(pair) = pair_of(told)
        {
            self.sure_since.entry(pair).or_insert(told.at_minute);
        }
    }
}

/// A cell as the detector takes it.
fn line_of<'a>(place: &Place<'a>, number: usize, sums: &Sums, metric: Metric) -> CellLine<'a> {
    CellLine {
        minute: place.minute,
        deploy: number.to_string().into(),
        endpoint: name(place.kind, place.endpoint).into(),
        host: format!("{} {}", place.host_group, place.cluster).into(),
        cluster: place.cluster.into(),
        metric: match metric {
            Metric::Instructions => "instructions".into(),
            Metric::Cpu => "cpu_ns".into(),
        },
        n: sums.n,
        weight: sums.weight,
        sum: sums.sum,
        sumsq: 0.0,
        sumlog: sums.log,
        sumsqlog: sums.square_log,
        min: 0.0,
        max: 0.0,
        flag: None,
        value: None,
    }
}

/// An endpoint as the detector knows it: a task may be called as a request is.
fn name(kind: Kind, endpoint: &str) -> String {
    format!("{} {endpoint}", kind.as_str())
}

fn pair_of(told: &VerdictLine) -> Option<Pair> {
    let number = told.deploy.as_ref()?.parse().ok()?;
    let Some(name) = &told.endpoint else {
        return Some((number, None));
    };
    let (kind, endpoint) = name.split_once(' ')?;
    let kind = Kind::ALL.into_iter().find(|known| known.as_str() == kind)?;
    Some((number, Some((kind, endpoint.to_owned()))))
}
