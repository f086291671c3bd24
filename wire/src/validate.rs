//! What a collector refuses although every field has its type.

mod profile;

use std::fmt;

use crate::{Batch, Cell, Content, Deploy, Distribution, Flag, ProcessRecord, RequestRecord};

/// The limits of the format, each a bound on what one hostile or broken client can cost.
pub mod limits {
    /// Bytes of a name: service, deploy, host, cluster, region, endpoint, flag, downstream.
    pub const NAME_BYTES: usize = 200;
    /// Bytes of free text: a deploy's title, author and link, a counter's reason.
    pub const TEXT_BYTES: usize = 2_000;
    /// Records in one batch.
    pub const RECORDS: usize = 100_000;
    /// Flags or downstreams of one request.
    pub const FACTS: usize = 64;
    /// Nodes of one profile, and functions.
    pub const PROFILE_NODES: usize = 20_000;
    /// Builds of one profile.
    pub const BUILDS: usize = 16;
    /// Timers of one profile.
    pub const TIMERS: usize = 16;
    /// How deep the values of a MessagePack body lie in one another. What is known here is not ten deep; a field that is not
    /// known is read past, and a reader that goes down into it needs stack for each level.
    pub const DEPTH: usize = 64;
    /// Requests of a cell or of an endpoint in a process's span, and how many a record stands for: 2⁴⁰, more than a process ends
    /// in a day, and so few that sums of millions of them are numbers still.
    pub const COUNT: u64 = 1 << 40;
    /// The longest cell, µs: a day.
    pub const CELL_WIDTH_US: u64 = 86_400_000_000;
    /// The latest time, µs: the year 2200. Nanoseconds sent as microseconds end up behind it.
    pub const TIME_US: u64 = 7_258_118_400_000_000;
    /// The earliest time, µs: 2020. Seconds or milliseconds sent as microseconds end up before it.
    pub const TIME_US_MIN: u64 = 1_577_836_800_000_000;
}

/// A field with a value that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Invalid {
    /// Its path, as `cells[3].cpu_ns.sum`.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

pub(crate) trait Validate {
    fn validate(&self) -> Result<(), Invalid>;
}

type Checked = Result<(), Invalid>;

fn refuse(field: impl Into<String>, reason: impl Into<String>) -> Checked {
    Err(Invalid {
        field: field.into(),
        reason: reason.into(),
    })
}

fn check(holds: bool, field: impl FnOnce() -> String, reason: &str) -> Checked {
    if holds {
        Ok(())
    } else {
        refuse(field(), reason)
    }
}

fn short(value: &str, limit: usize, field: impl FnOnce() -> String) -> Checked {
    if value.len() > limit {
        return refuse(
            field(),
            format!("{} bytes long, at most {limit} are taken", value.len()),
        );
    }
    // Most names are ASCII, of which this is told at once.
    let plain = value.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    if !plain && value.chars().any(char::is_control) {
        return refuse(field(), "holds a control character");
    }
    Ok(())
}

fn name(value: &str, field: impl Fn() -> String) -> Checked {
    if value.is_empty() {
        return refuse(field(), "must not be empty");
    }
    short(value, limits::NAME_BYTES, field)
}

/// Whether [`name`] takes it.
pub(crate) fn is_name(value: &str) -> bool {
    name(value, String::new).is_ok()
}

/// Whether [`time`] takes it.
pub(crate) fn is_time(value: u64) -> bool {
    (limits::TIME_US_MIN..=limits::TIME_US).contains(&value)
}

/// Whether [`count`] takes it.
pub(crate) fn is_count(value: u64) -> bool {
    value <= limits::COUNT
}

/// Whether a request may have ended with it.
pub(crate) fn is_status(value: u64) -> bool {
    (100..=999).contains(&value)
}

fn time(value: u64, field: impl FnOnce() -> String) -> Checked {
    check(
        is_time(value),
        field,
        "not a time between 2020 and 2200 in µs since the Unix epoch",
    )
}

fn width(value: u64, field: impl FnOnce() -> String) -> Checked {
    check(
        (1..=limits::CELL_WIDTH_US).contains(&value),
        field,
        "not between 1 µs and a day",
    )
}

fn count(value: u64, field: impl FnOnce() -> String) -> Checked {
    check(
        is_count(value),
        field,
        "more than 2⁴⁰, which no process gets to",
    )
}

impl Validate for Batch {
    fn validate(&self) -> Checked {
        let near = self.version.abs_diff(crate::VERSION) <= 1 && self.version > 0;
        check(
            near,
            || "version".into(),
            "not a version that this collector reads: it reads 1 to 3",
        )?;
        name(&self.origin.service, || "origin.service".into())?;
        name(&self.origin.deploy, || "origin.deploy".into())?;
        name(&self.origin.host, || "origin.host".into())?;
        short(&self.origin.cluster, limits::NAME_BYTES, || {
            "origin.cluster".into()
        })?;
        short(&self.origin.region, limits::NAME_BYTES, || {
            "origin.region".into()
        })?;
        if let Some(cell_width_us) = self.cell_width_us {
            width(cell_width_us, || "cell_width_us".into())?;
        }
        check(
            self.len() <= limits::RECORDS,
            || ".".into(),
            "more than 100,000 records in one batch: send several",
        )?;
        check(
            self.content == Content::Cells || self.cells.is_empty(),
            || "cells".into(),
            "a batch whose content is \"requests\" has no cells: they would be counted twice",
        )?;
        for (index, cell) in self.cells.iter().enumerate() {
            check_cell(cell, format_args!("cells[{index}]"))?;
        }
        for (index, request) in self.requests.iter().enumerate() {
            check_request(request, self.content, format_args!("requests[{index}]"))?;
        }
        for (index, process) in self.processes.iter().enumerate() {
            check_process(process, format_args!("processes[{index}]"))?;
        }
        for (index, profile) in self.profiles.iter().enumerate() {
            profile::check_profile(profile, &format!("profiles[{index}]"))?;
        }
        Ok(())
    }
}

impl Validate for Deploy {
    fn validate(&self) -> Checked {
        name(&self.service, || "service".into())?;
        name(&self.id, || "id".into())?;
        if self.started_us != 0 {
            time(self.started_us, || "started_us".into())?;
        }
        if let Some(ended_us) = self.ended_us {
            time(ended_us, || "ended_us".into())?;
            check(
                self.started_us <= ended_us,
                || "ended_us".into(),
                "lies before started_us",
            )?;
        }
        if let Some(replaced) = &self.replaced {
            name(replaced, || "replaced".into())?;
        }
        for (text, field) in [
            (&self.author, "author"),
            (&self.title, "title"),
            (&self.link, "link"),
        ] {
            if let Some(text) = text {
                short(text, limits::TEXT_BYTES, || field.into())?;
            }
        }
        if let Some(link) = &self.link {
            check(
                link.starts_with("https://") || link.starts_with("http://"),
                || "link".into(),
                "neither an http nor an https address",
            )?;
        }
        Ok(())
    }
}

fn check_flag(flag: &Flag, at: fmt::Arguments<'_>) -> Checked {
    name(&flag.name, || format!("{at}.name"))?;
    short(&flag.value, limits::NAME_BYTES, || format!("{at}.value"))
}

fn check_cell(cell: &Cell, at: fmt::Arguments<'_>) -> Checked {
    let key = &cell.key;
    name(&key.endpoint, || format!("{at}.endpoint"))?;
    time(key.start_us, || format!("{at}.start_us"))?;
    width(key.width_us, || format!("{at}.width_us"))?;
    check(
        key.start_us.is_multiple_of(key.width_us),
        || format!("{at}.start_us"),
        "not a multiple of width_us",
    )?;
    if let Some(flag) = &key.flag {
        check_flag(flag, format_args!("{at}.flag"))?;
    }
    check(
        cell.n > 0,
        || format!("{at}.n"),
        "a cell holds at least one request",
    )?;
    check(
        cell.weight >= cell.n,
        || format!("{at}.weight"),
        "less than n",
    )?;
    // And with it all that are at most n.
    count(cell.weight, || format!("{at}.weight"))?;
    check(
        cell.errors <= cell.n,
        || format!("{at}.errors"),
        "more than n",
    )?;
    check(
        cell.scaled <= cell.n,
        || format!("{at}.scaled"),
        "more than n",
    )?;
    check(
        cell.unfinished <= cell.n,
        || format!("{at}.unfinished"),
        "more than n",
    )?;
    for (distribution, metric) in [
        (&cell.instructions, "instructions"),
        (&cell.cpu_ns, "cpu_ns"),
        (&cell.wall_ns, "wall_ns"),
        (&cell.allocated_bytes, "allocated_bytes"),
    ] {
        if let Some(distribution) = distribution {
            check_distribution(distribution, cell.n, format_args!("{at}.{metric}"))?;
        }
    }
    Ok(())
}

fn check_distribution(distribution: &Distribution, n: u64, at: fmt::Arguments<'_>) -> Checked {
    check(
        (1..=n).contains(&distribution.n),
        || format!("{at}.n"),
        "not between 1 and the cell's n",
    )?;
    check(
        distribution.min <= distribution.max,
        || format!("{at}.min"),
        "more than max",
    )?;
    let (count, sum) = (u128::from(distribution.n), u128::from(distribution.sum));
    let possible = count * u128::from(distribution.min)..=count * u128::from(distribution.max);
    check(
        possible.contains(&sum) || distribution.sum == u64::MAX,
        || format!("{at}.sum"),
        "not between n times min and n times max",
    )?;
    check(
        distribution.sum_squares.0.saturating_mul(count) >= sum.saturating_mul(sum)
            || distribution.sum == u64::MAX,
        || format!("{at}.sum_squares"),
        "less than sum²/n",
    )?;
    let mut total = 0_u64;
    let mut before = None;
    for (index, &(bucket, count)) in distribution.histogram.iter().enumerate() {
        let here = || format!("{at}.histogram[{index}]");
        check(
            bucket < Distribution::BUCKETS,
            here,
            "there are buckets 0 to 495 only",
        )?;
        check(before < Some(bucket), here, "buckets must rise")?;
        before = Some(bucket);
        total = total.saturating_add(count);
    }
    check(
        total == distribution.n,
        || format!("{at}.histogram"),
        "its counts do not add up to n",
    )
}

fn check_request(request: &RequestRecord, content: Content, at: fmt::Arguments<'_>) -> Checked {
    name(&request.endpoint, || format!("{at}.endpoint"))?;
    time(request.start_us, || format!("{at}.start_us"))?;
    check(
        content == Content::Cells || request.weight > 0,
        || format!("{at}.weight"),
        "a request that is counted stands for at least one",
    )?;
    count(request.weight, || format!("{at}.weight"))?;
    if let Some(method) = &request.method {
        name(method, || format!("{at}.method"))?;
    }
    if let Some(status) = request.status {
        check(
            is_status(status.into()),
            || format!("{at}.status"),
            "not a status between 100 and 999",
        )?;
    }
    check(
        request.downstream.len() <= limits::FACTS,
        || format!("{at}.downstream"),
        "more than 64 of them",
    )?;
    for downstream in request.downstream.keys() {
        name(downstream, || format!("{at}.downstream"))?;
    }
    check(
        request.flags.len() <= limits::FACTS,
        || format!("{at}.flags"),
        "more than 64 of them",
    )?;
    for (index, flag) in request.flags.iter().enumerate() {
        check_flag(flag, format_args!("{at}.flags[{index}]"))?;
    }
    Ok(())
}

fn check_process(process: &ProcessRecord, at: fmt::Arguments<'_>) -> Checked {
    time(process.start_us, || format!("{at}.start_us"))?;
    width(process.width_us, || format!("{at}.width_us"))?;
    short(&process.cpu_model, limits::TEXT_BYTES, || {
        format!("{at}.cpu_model")
    })?;
    short(&process.kernel, limits::TEXT_BYTES, || {
        format!("{at}.kernel")
    })?;
    for (index, counted) in process.endpoints.iter().enumerate() {
        let here = |field: &str| format!("{at}.endpoints[{index}].{field}");
        name(&counted.endpoint, || here("endpoint"))?;
        count(counted.requests, || here("requests"))?;
        count(counted.errors, || here("errors"))?;
    }
    for (index, counter) in process.counters.iter().enumerate() {
        let here = format!("{at}.counters[{index}]");
        name(&counter.name, || format!("{here}.name"))?;
        for text in [&counter.read_by, &counter.absent_because]
            .into_iter()
            .flatten()
        {
            short(text, limits::TEXT_BYTES, || here.clone())?;
        }
    }
    Ok(())
}
