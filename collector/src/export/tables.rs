//! The columns of each table, and a row of it.

use appweight::api::{DeployVerdict, RequestView};
use appweight::drift::Day;
use appweight::evidence::{PlacedCell, ProcessPoint};
use appweight_wire::Distribution;
use parquet::basic::Repetition;

use super::Metric;
use super::table::Kind::{self, Count, Flag, Real, Text, Time};
use super::table::{Column, OPTIONAL, REQUIRED, Table, TableError, Value};
use crate::store::DeployEntry;

const METRICS: [Metric; 4] = [
    ("instructions", |cell| cell.instructions.as_ref()),
    ("cpu_ns", |cell| cell.cpu_ns.as_ref()),
    ("wall_ns", |cell| cell.wall_ns.as_ref()),
    ("allocated_bytes", |cell| cell.allocated_bytes.as_ref()),
];

fn columns(columns: &[(&str, Kind, Repetition)]) -> Vec<Column> {
    let own = |(name, kind, repetition): &(&str, Kind, Repetition)| {
        ((*name).to_owned(), *kind, *repetition)
    };
    columns.iter().map(own).collect()
}

fn text(text: Option<&str>) -> Value<'_> {
    text.map_or(Value::Absent, Value::Text)
}

fn count(count: Option<u64>) -> Value<'static> {
    count.map_or(Value::Absent, Value::Count)
}

fn real(real: Option<f64>) -> Value<'static> {
    real.map_or(Value::Absent, Value::Real)
}

pub(super) fn deploys() -> Vec<Column> {
    columns(&[
        ("service", Text, REQUIRED),
        ("deploy", Text, REQUIRED),
        ("started", Time, REQUIRED),
        ("ended", Time, OPTIONAL),
        ("replaced", Text, OPTIONAL),
        ("author", Text, OPTIONAL),
        ("title", Text, OPTIONAL),
        ("link", Text, OPTIONAL),
        ("judged", Time, OPTIONAL),
        ("verdict", Text, OPTIONAL),
        ("headline", Text, OPTIONAL),
        ("change", Real, OPTIONAL),
        ("change_low", Real, OPTIONAL),
        ("change_high", Real, OPTIONAL),
    ])
}

pub(super) fn deploy(table: &mut Table, entry: &DeployEntry) -> Result<(), TableError> {
    let deploy = &entry.deploy;
    let report = entry.report.as_ref();
    let summary = report.map(|report| &report.summary);
    let comparison = report.and_then(|report| report.comparison.as_ref());
    let change = comparison.and_then(|comparison| comparison.total.change);
    table.row(&[
        Value::Text(&deploy.service),
        Value::Text(&deploy.id),
        Value::Count(deploy.started_us),
        count(deploy.ended_us),
        text(deploy.replaced.as_deref()),
        text(deploy.author.as_deref()),
        text(deploy.title.as_deref()),
        text(deploy.link.as_deref()),
        count(summary.and_then(|summary| summary.judged_us)),
        text(summary.map(|summary| verdict(summary.verdict))),
        text(summary.map(|summary| summary.headline.as_str())),
        real(change.map(|change| change.relative)),
        real(change.map(|change| change.low)),
        real(change.map(|change| change.high)),
    ])
}

fn verdict(verdict: DeployVerdict) -> &'static str {
    crate::metrics::verdict_name(verdict)
}

pub(super) fn cells() -> Vec<Column> {
    let mut all = columns(&[
        ("service", Text, REQUIRED),
        ("start", Time, REQUIRED),
        ("width_us", Count, REQUIRED),
        ("deploy", Text, REQUIRED),
        ("kind", Text, REQUIRED),
        ("endpoint", Text, REQUIRED),
        ("cluster", Text, REQUIRED),
        ("host_group", Count, REQUIRED),
        ("instruction_source", Text, REQUIRED),
        ("age", Text, REQUIRED),
        ("n", Count, REQUIRED),
        ("weight", Count, REQUIRED),
        ("errors", Count, REQUIRED),
        ("scaled", Count, REQUIRED),
        ("unfinished", Count, REQUIRED),
    ]);
    for (metric, _) in METRICS {
        for (part, kind) in [
            ("n", Count),
            ("sum", Count),
            ("sum_squares", Real),
            ("min", Count),
            ("max", Count),
            ("p50", Count),
            ("p99", Count),
        ] {
            all.push((format!("{metric}_{part}"), kind, OPTIONAL));
        }
    }
    all
}

pub(super) fn cell(
    table: &mut Table,
    service: &str,
    placed: &PlacedCell,
) -> Result<(), TableError> {
    let (cell, key) = (&placed.cell, &placed.cell.key);
    let mut row = vec![
        Value::Text(service),
        Value::Count(key.start_us),
        Value::Count(key.width_us),
        Value::Text(&placed.deploy),
        Value::Text(key.kind.as_str()),
        Value::Text(&key.endpoint),
        Value::Text(&placed.cluster),
        Value::Count(u64::from(placed.host_group)),
        Value::Text(key.instruction_source.as_str()),
        Value::Text(key.age.as_str()),
        Value::Count(cell.n),
        Value::Count(cell.weight),
        Value::Count(cell.errors),
        Value::Count(cell.scaled),
        Value::Count(cell.unfinished),
    ];
    for (_, of) in METRICS {
        let values: Option<&Distribution> = of(cell);
        row.extend([
            count(values.map(|values| values.n)),
            count(values.map(|values| values.sum)),
            real(values.map(|values| values.sum_squares.as_f64())),
            count(values.map(|values| values.min)),
            count(values.map(|values| values.max)),
            count(values.and_then(|values| values.quantile(0.5))),
            count(values.and_then(|values| values.quantile(0.99))),
        ]);
    }
    table.row(&row)
}

pub(super) fn days() -> Vec<Column> {
    columns(&[
        ("service", Text, REQUIRED),
        ("day", Time, REQUIRED),
        ("peak_start", Time, OPTIONAL),
        ("active_users", Count, OPTIONAL),
        ("requests", Count, OPTIONAL),
        ("cpu_ns", Count, OPTIONAL),
        ("instructions", Count, OPTIONAL),
        ("minutes", Count, OPTIONAL),
    ])
}

/// The day's peak minute.
pub(super) fn day(table: &mut Table, day: &Day) -> Result<(), TableError> {
    let peak = day.peak.as_ref();
    table.row(&[
        Value::Text(&day.service),
        Value::Count(day.start_us),
        count(peak.map(|peak| peak.start_us)),
        count(peak.map(|peak| peak.active_users)),
        count(peak.map(|peak| peak.requests)),
        count(peak.map(|peak| peak.cpu_ns)),
        count(peak.and_then(|peak| peak.instructions)),
        count(peak.map(|peak| peak.minutes.into())),
    ])
}

pub(super) fn endpoint_days() -> Vec<Column> {
    columns(&[
        ("service", Text, REQUIRED),
        ("day", Time, REQUIRED),
        ("kind", Text, REQUIRED),
        ("endpoint", Text, REQUIRED),
        ("requests", Count, REQUIRED),
        ("cpu_requests", Count, OPTIONAL),
        ("cpu_ns", Count, OPTIONAL),
        ("instruction_source", Text, OPTIONAL),
        ("instruction_requests", Count, OPTIONAL),
        ("instructions", Count, OPTIONAL),
    ])
}

/// A row for each of the day's endpoints: what so many requests of warm processes cost.
pub(super) fn endpoint_day(table: &mut Table, day: &Day) -> Result<(), TableError> {
    day.endpoints.iter().try_for_each(|of| {
        let instructions = of.instructions;
        table.row(&[
            Value::Text(&day.service),
            Value::Count(day.start_us),
            Value::Text(of.kind.as_str()),
            Value::Text(&of.endpoint),
            Value::Count(of.requests),
            count(of.cpu_ns.map(|cost| cost.requests)),
            count(of.cpu_ns.map(|cost| cost.total)),
            text(instructions.map(|of| of.source.as_str())),
            count(instructions.map(|of| of.cost.requests)),
            count(instructions.map(|of| of.cost.total)),
        ])
    })
}

pub(super) fn requests() -> Vec<Column> {
    columns(&[
        ("service", Text, REQUIRED),
        ("start", Time, REQUIRED),
        ("deploy", Text, REQUIRED),
        ("host", Text, REQUIRED),
        ("kind", Text, REQUIRED),
        ("endpoint", Text, REQUIRED),
        ("method", Text, OPTIONAL),
        ("status", Count, OPTIONAL),
        ("error", Flag, REQUIRED),
        ("weight", Count, REQUIRED),
        ("age", Text, REQUIRED),
        ("instructions", Count, OPTIONAL),
        ("instruction_source", Text, REQUIRED),
        ("cpu_ns", Count, OPTIONAL),
        ("wall_ns", Count, REQUIRED),
        ("allocated_bytes", Count, OPTIONAL),
        ("polls", Count, REQUIRED),
        ("thread_hops", Count, REQUIRED),
    ])
}

pub(super) fn request(
    table: &mut Table,
    service: &str,
    view: &RequestView,
) -> Result<(), TableError> {
    let request = &view.request;
    table.row(&[
        Value::Text(service),
        Value::Count(request.start_us),
        Value::Text(&view.deploy),
        Value::Text(&view.host),
        Value::Text(request.kind.as_str()),
        Value::Text(&request.endpoint),
        text(request.method.as_deref()),
        count(request.status.map(u64::from)),
        Value::Flag(request.error),
        Value::Count(request.weight),
        Value::Text(request.age.as_str()),
        count(request.instructions),
        Value::Text(request.instruction_source.as_str()),
        count(request.cpu_ns),
        Value::Count(request.wall_ns),
        count(request.allocated_bytes),
        Value::Count(request.polls),
        Value::Count(request.thread_hops),
    ])
}

pub(super) fn processes() -> Vec<Column> {
    columns(&[
        ("service", Text, REQUIRED),
        ("start", Time, REQUIRED),
        ("width_us", Count, REQUIRED),
        ("deploy", Text, REQUIRED),
        ("cluster", Text, REQUIRED),
        ("source", Text, REQUIRED),
        ("age_us", Count, REQUIRED),
        ("requests_total", Count, REQUIRED),
        ("memory_bytes", Count, OPTIONAL),
        ("cpu_ns", Count, REQUIRED),
        ("instructions", Count, OPTIONAL),
        ("active_users", Real, OPTIONAL),
    ])
}

pub(super) fn process(
    table: &mut Table,
    service: &str,
    point: &ProcessPoint,
) -> Result<(), TableError> {
    table.row(&[
        Value::Text(service),
        Value::Count(point.start_us),
        Value::Count(point.width_us),
        Value::Text(&point.deploy),
        Value::Text(&point.cluster),
        Value::Text(&point.source),
        Value::Count(point.age_us),
        Value::Count(point.requests_total),
        count(point.memory_bytes),
        Value::Count(point.cpu_ns),
        count(point.instructions),
        real(point.active_users.as_ref().map(|users| users.estimate())),
    ])
}
