use std::collections::BTreeMap;

use appweight_wire::{Age, Cell, CellKey, Flag, InstructionSource, Kind};

use super::*;
use crate::api::{
    DetectedChange, DetectedVerdict, FlagReading, FlagReport, FlagValue, FlagsReport,
};
use crate::evidence::PlacedCell;
use crate::live::MINUTE_US;
use crate::thresholds::Thresholds;

/// Midnight of some day.
const START: i64 = 20_000 * 1_440;
const CLUSTERS: [&str; 2] = ["east", "west"];
const ENDPOINTS: [&str; 3] = ["/feed", "/seen", "/upload"];

/// Who asks for what, and what that costs.
#[derive(Clone, Copy)]
struct Request {
    minute: i64,
    cluster: usize,
    endpoint: usize,
    /// A number between 0 and 1 that tells users apart.
    user: f64,
}

/// A service whose requests are drawn, and told as the agent does: all, and once more by flag and value.
struct Service<'a> {
    minutes: i64,
    value: &'a dyn Fn(Request) -> Option<&'static str>,
    /// The cost of a request with that value, relative.
    cost: &'a dyn Fn(Request, Option<&str>) -> f64,
    error: &'a dyn Fn(Option<&str>) -> bool,
}

const AT_RANDOM: fn(Request) -> Option<&'static str> =
    |request| Some(if request.user < 0.3 { "on" } else { "off" });

impl Default for Service<'_> {
    fn default() -> Self {
        Self {
            minutes: 60,
            value: &AT_RANDOM,
            cost: &|_, _| 1.0,
            error: &|_| false,
        }
    }
}

impl Service<'_> {
    fn cells(&self, seed: u64) -> FlagCells {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut found = FlagCells::default();
        for minute in START..START + self.minutes {
            let (mut flags, mut whole) = (BTreeMap::new(), BTreeMap::new());
            for cluster in 0..CLUSTERS.len() {
                for endpoint in 0..ENDPOINTS.len() {
                    for _ in 0..60 {
                        let request = Request {
                            minute,
                            cluster,
                            endpoint,
                            user: random.f64(),
                        };
                        let value = (self.value)(request);
                        let load = 1.0 + 0.1 * (minute as f64 / 30.0).sin();
                        let spread =
                            (0.5 * (random.f64() + random.f64() + random.f64() - 1.5)).exp();
                        let cost = 1e6 * (self.cost)(request, value) * load * spread;
                        let place = (cluster, endpoint, random.u8(0..4));
                        let error = (self.error)(value);
                        count(&mut whole, (place, None), minute, cost, error);
                        if value.is_some() {
                            count(&mut flags, (place, value), minute, cost, error);
                        }
                    }
                }
            }
            let cells = |cells: BTreeMap<_, PlacedCell>| cells.into_values().collect::<Vec<_>>();
            found.add(&cells(flags), &cells(whole));
        }
        found
    }

    fn report(&self, seed: u64, said: &[(&str, &str)]) -> FlagsReport {
        let of = |minute: i64| minute as u64 * MINUTE_US;
        let span = [of(START), of(START + self.minutes)];
        let said = said.iter();
        let said = said.map(|(flag, how)| ((*flag).to_owned(), (*how).to_owned()));
        let cells = self.cells(seed);
        let thresholds = Thresholds::default();
        report("photo", span, span[0], cells, &said.collect(), &thresholds)
    }
}

type Place = ((usize, usize, u8), Option<&'static str>);

fn count(cells: &mut BTreeMap<Place, PlacedCell>, of: Place, minute: i64, cost: f64, error: bool) {
    let ((cluster, endpoint, host_group), value) = of;
    let placed = cells.entry(of).or_insert_with(|| PlacedCell {
        deploy: "a".to_owned(),
        cluster: CLUSTERS[cluster].to_owned(),
        host_group,
        cell: Cell::new(CellKey {
            start_us: minute as u64 * MINUTE_US,
            width_us: MINUTE_US,
            kind: Kind::Request,
            endpoint: ENDPOINTS[endpoint].to_owned(),
            instruction_source: InstructionSource::None,
            age: Age::Warm,
            flag: value.map(|value| Flag {
                name: "ranker".to_owned(),
                value: value.to_owned(),
            }),
        }),
    });
    placed.cell.n += 1;
    placed.cell.weight += 1;
    placed.cell.errors += u64::from(error);
    let cpu_ns = placed.cell.cpu_ns.get_or_insert_default();
    cpu_ns.observe(cost as u64);
}

fn only(report: &FlagsReport) -> (&FlagReport, &FlagValue) {
    assert_eq!(report.flags.len(), 1, "{report:#?}");
    let flag = &report.flags[0];
    assert_eq!(flag.values.len(), 1, "{report:#?}");
    (flag, &flag.values[0])
}

fn of<'a>(value: &'a FlagValue, endpoint: &str) -> &'a DetectedChange {
    let mut endpoints = value.endpoints.iter();
    endpoints
        .find(|change| change.endpoint.as_deref() == Some(endpoint))
        .unwrap()
}

fn dearer_feed(request: Request, value: Option<&str>) -> f64 {
    if request.endpoint == 0 && value == Some("on") {
        1.2
    } else {
        1.0
    }
}

#[test]
fn what_a_flag_that_is_given_at_random_costs_is_called_a_cost() {
    let service = Service {
        cost: &dearer_feed,
        ..Service::default()
    };
    let report = service.report(1, &[]);
    let (flag, value) = only(&report);
    assert_eq!(
        (flag.base.as_deref(), value.value.as_str()),
        (Some("off"), "on")
    );
    assert!((value.share - 0.3).abs() < 0.02, "{}", value.share);
    assert_eq!(value.reads_as, FlagReading::Cost, "{}", value.because);
    assert!(
        value.because.contains("3 endpoints and 2 clusters"),
        "{}",
        value.because
    );
    let feed = &value.endpoints[0];
    assert_eq!(feed.endpoint.as_deref(), Some("/feed"));
    assert_eq!(feed.verdict, DetectedVerdict::Regressed, "{feed:?}");
    let change = feed.change.unwrap();
    assert!(change.low < 0.2 && 0.2 < change.high, "{change:?}");
    let last_us = (START + 59) as u64 * MINUTE_US;
    assert!(feed.sure_since_us.unwrap() < last_us, "{feed:?}");
    // A third of the service's CPU, of which three tenths pay it already.
    let cost = feed.cost.unwrap();
    assert!((cost.share - 0.2 / 3.06).abs() < 0.01, "{cost:?}");
    assert!(cost.cores.is_some());
    for other in ["/seen", "/upload"] {
        assert_ne!(of(value, other).verdict, DetectedVerdict::Regressed);
    }
    let total = value.total.as_ref().unwrap();
    assert_eq!(total.verdict, DetectedVerdict::Regressed, "{total:?}");
}

#[test]
fn what_goes_along_with_a_country_is_an_association_and_costs_nothing() {
    // Countries come to clusters, and cost what they cost; the flag changes nothing.
    let by_country = |request: Request| {
        let share = if request.cluster == 0 { 0.15 } else { 0.6 };
        Some(if request.user < share { "on" } else { "off" })
    };
    let dear_country =
        |_: Request, value: Option<&str>| if value == Some("on") { 1.3 } else { 1.0 };
    let service = Service {
        value: &by_country,
        cost: &dear_country,
        ..Service::default()
    };
    let report = service.report(2, &[]);
    let (_, value) = only(&report);
    assert_eq!(value.reads_as, FlagReading::Association);
    assert!(
        value.because.contains("in east against"),
        "{}",
        value.because
    );
    let feed = of(value, "/feed");
    assert_eq!(feed.verdict, DetectedVerdict::Regressed);
    assert_eq!(feed.cost, None);
    assert_eq!(value.total.as_ref().unwrap().cost, None);
    // Who gave it knows better.
    let said = service.report(2, &[("ranker", "random")]);
    let (_, value) = only(&said);
    assert_eq!(value.reads_as, FlagReading::Cost);
    assert!(
        value.because.contains("though its share differs"),
        "{}",
        value.because
    );
}

#[test]
fn a_flag_of_which_somebody_said_how_it_is_given_is_read_so() {
    let report = Service::default().report(3, &[("ranker", "country")]);
    let (_, value) = only(&report);
    assert_eq!(value.reads_as, FlagReading::Association);
    assert_eq!(
        value.because,
        "it was said to be given by country, not at random"
    );
}

#[test]
fn a_client_is_told_by_the_endpoints_that_it_asks_for() {
    let by_client = |request: Request| {
        let share = [0.3, 0.3, 0.45][request.endpoint];
        Some(if request.user < share { "ios" } else { "web" })
    };
    let service = Service {
        value: &by_client,
        ..Service::default()
    };
    let report = service.report(4, &[]);
    let (flag, value) = only(&report);
    assert_eq!(flag.base.as_deref(), Some("web"), "the most common one");
    assert_eq!(value.reads_as, FlagReading::Association);
    assert!(value.because.contains("of /upload"), "{}", value.because);
}

#[test]
fn equal_values_are_not_called() {
    let mut called = 0;
    for seed in 100..140 {
        let report = Service::default().report(seed, &[]);
        let (_, value) = only(&report);
        assert_eq!(value.reads_as, FlagReading::Cost, "{}", value.because);
        let changes = value.endpoints.iter().chain(&value.total);
        called += changes
            .filter(|change| change.verdict == DetectedVerdict::Regressed)
            .count();
    }
    assert!(called <= 1, "{called} of 160");
}

#[test]
fn a_ramp_beside_a_load_that_moves_changes_nothing() {
    // From none to all while requests become dearer by half.
    let ramp = |request: Request| {
        let share = (request.minute - START) as f64 / 60.0;
        Some(if request.user < share { "on" } else { "off" })
    };
    let rising = |request: Request, _: Option<&str>| 1.0 + (request.minute - START) as f64 / 120.0;
    let service = Service {
        value: &ramp,
        cost: &rising,
        ..Service::default()
    };
    let report = service.report(5, &[]);
    let (_, value) = only(&report);
    assert_eq!(value.reads_as, FlagReading::Cost, "{}", value.because);
    let change = of(value, "/feed").change.unwrap();
    assert!(change.low < 0.0 && change.high > 0.0, "{change:?}");
}

#[test]
fn a_flag_that_tells_one_value_is_held_against_requests_without_it() {
    let told = |request: Request| (request.endpoint < 2 && request.user < 0.4).then_some("on");
    let service = Service {
        value: &told,
        cost: &dearer_feed,
        ..Service::default()
    };
    let report = service.report(6, &[]);
    let (flag, value) = only(&report);
    assert_eq!(flag.base, None);
    assert!((value.share - 0.4).abs() < 0.02, "{}", value.share);
    assert_eq!(value.reads_as, FlagReading::Cost, "{}", value.because);
    assert_eq!(
        value.endpoints.len(),
        2,
        "that it was not seen in counts for nothing"
    );
    assert_eq!(value.endpoints[0].verdict, DetectedVerdict::Regressed);
}

#[test]
fn failing_fast_is_no_improvement() {
    let service = Service {
        cost: &|_, value| if value == Some("on") { 0.7 } else { 1.0 },
        error: &|value| value == Some("on"),
        ..Service::default()
    };
    let report = service.report(7, &[]);
    let (_, value) = only(&report);
    for change in value.endpoints.iter().chain(&value.total) {
        assert_eq!(change.verdict, DetectedVerdict::Withheld, "{change:?}");
        assert_eq!(change.cost, None);
    }
}

#[test]
fn each_of_many_values_is_held_against_all_others() {
    let three = |request: Request| {
        Some(match request.user {
            user if user < 0.5 => "off",
            user if user < 0.75 => "a",
            _ => "b",
        })
    };
    let dear_b = |_: Request, value: Option<&str>| if value == Some("b") { 1.3 } else { 1.0 };
    let service = Service {
        value: &three,
        cost: &dear_b,
        ..Service::default()
    };
    let report = service.report(8, &[]);
    let values = &report.flags[0].values;
    let names: Vec<&str> = values.iter().map(|value| value.value.as_str()).collect();
    assert_eq!(names, ["b", "a"]);
    let [b, a] = [0, 1].map(|at| of(&values[at], "/feed").change.unwrap().relative);
    assert!((b - 0.3).abs() < 0.05, "{b}");
    // A third of the others are b.
    assert!((a + 0.085).abs() < 0.04, "{a}");
}

#[test]
fn more_values_than_are_judged_are_counted() {
    let user = |request: Request| {
        const NAMES: [&str; 3] = ["x", "y", "z"];
        Some(NAMES[(request.user * 3.0) as usize])
    };
    let service = Service {
        minutes: 2,
        value: &user,
        ..Service::default()
    };
    let mut cells = service.cells(9);
    for at in 0..100 {
        let cell = cells.values["ranker"]["x"].places.clone();
        let value = collect::Value {
            places: cell,
            ..collect::Value::default()
        };
        let values = cells.values.get_mut("ranker").unwrap();
        values.insert(format!("user-{at}"), value);
    }
    let (splits, left_out) = judge::splits(&mut cells);
    assert_eq!(splits[0].judged.len(), MOST_VALUES);
    assert_eq!(left_out as usize, 102 - MOST_VALUES);
}

#[test]
fn too_few_requests_are_not_judged_and_nothing_is_said_of_no_flags() {
    let rare = |request: Request| {
        let is_rare = request.minute == START && request.endpoint == 0 && request.cluster == 0;
        Some(if is_rare { "on" } else { "off" })
    };
    let service = Service {
        minutes: 3,
        value: &rare,
        cost: &|_, value| if value == Some("on") { 9.0 } else { 1.0 },
        ..Service::default()
    };
    let report = service.report(10, &[]);
    let (_, value) = only(&report);
    assert!(
        value.endpoints.is_empty(),
        "it was never without: {value:#?}"
    );
    assert_eq!(value.reads_as, FlagReading::Association);
    let none = Service {
        value: &|_| None,
        ..Service::default()
    };
    let report = none.report(11, &[]);
    assert_eq!((report.flags.len(), report.metric), (0, None));
}
