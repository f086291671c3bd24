//! Process records, which are kept for a while.

use std::collections::BTreeMap;

use appweight::api::ProcessView;
use appweight::evidence::ProcessPoint;
use appweight_wire::Origin;
use clickhouse::query::Query;
use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};

use super::connection::{count_at, fetch_each};
use super::journal::Group;
use super::requests::origin;
use crate::store::copy::KeptProcess;
use crate::store::windows::Sum;
use crate::store::{ProcessQuery, StoreError, TimeRange, code, views};

#[derive(Row, Serialize)]
pub(super) struct ProcessRow {
    service: String,
    deploy: String,
    host: String,
    cluster: String,
    source: String,
    start_us: u64,
    width_us: u64,
    age_us: u64,
    clock_ahead_us: Option<i64>,
    arrived_us: u64,
    position: u32,
    summed: bool,
    cpu_ns: u64,
    instructions: Option<u64>,
    absent_because: Option<String>,
    requests: u64,
    errors: u64,
    #[serde(with = "serde_bytes")]
    record: Vec<u8>,
}

impl ProcessRow {
    /// When it began.
    pub(super) fn start_us(&self) -> u64 {
        self.start_us
    }

    /// Asks whether it is in.
    pub(super) fn count(&self, client: &Client) -> Query {
        let of = (&*self.service, &*self.deploy, &*self.host);
        let at = (self.start_us, self.arrived_us, self.position);
        count_at(client, "processes", of, at)
    }
}

pub(super) fn row(kept: &KeptProcess, (arrived_us, position): (u64, u32)) -> ProcessRow {
    let process = &kept.record;
    let sum = Sum::of(process);
    ProcessRow {
        service: kept.origin.service.clone(),
        deploy: kept.origin.deploy.clone(),
        host: kept.origin.host.clone(),
        cluster: kept.origin.cluster.clone(),
        source: kept.source.clone(),
        start_us: process.start_us,
        width_us: process.width_us,
        age_us: process.process_age_us,
        clock_ahead_us: kept.clock_ahead_us,
        arrived_us,
        position,
        summed: process.active_users.is_none(),
        cpu_ns: sum.cpu_ns,
        instructions: sum.instructions,
        absent_because: sum.absent_because,
        requests: sum.requests,
        errors: sum.errors,
        record: code::pack(process),
    }
}

pub(super) fn rows_of_group(group: &Group) -> Vec<ProcessRow> {
    let processes = group.batches.iter().flat_map(|new| {
        let processes = new.batch.processes.iter();
        processes.map(move |process| (new, process))
    });
    let rows = (0..).zip(processes).map(|(position, (new, process))| {
        let kept = KeptProcess {
            origin: new.batch.origin.clone(),
            source: new.batch.source.to_string(),
            clock_ahead_us: new.clock_ahead_us,
            record: process.clone(),
        };
        row(&kept, (group.made_us, position))
    });
    rows.collect()
}

#[derive(Row, Deserialize)]
struct FoundProcess {
    source: String,
    host: String,
    deploy: String,
    cluster: String,
    clock_ahead_us: Option<i64>,
    #[serde(with = "serde_bytes")]
    record: Vec<u8>,
}

impl FoundProcess {
    fn kept(self, service: &str) -> Result<KeptProcess, StoreError> {
        Ok(KeptProcess {
            record: code::unpack("process record", &self.record)?,
            origin: Origin {
                cluster: self.cluster,
                ..origin(service, self.deploy, self.host)
            },
            source: self.source,
            clock_ahead_us: self.clock_ahead_us,
        })
    }
}

/// Process records of a service that began in that time, in the order in which they came.
pub(super) async fn every(
    client: &Client,
    service: &str,
    time: TimeRange,
) -> Result<Vec<KeptProcess>, StoreError> {
    let sql = "SELECT ?fields FROM processes WHERE service = ? AND start_us >= ? AND start_us < ?
        ORDER BY arrived_us, position";
    let asked = client.query(sql).bind(service);
    let asked = asked.bind(time.from_us).bind(time.until_us);
    fetch_each(asked, |row: FoundProcess| row.kept(service)).await
}

pub(super) async fn points(
    client: &Client,
    query: &ProcessQuery,
) -> Result<Vec<ProcessPoint>, StoreError> {
    let deploy = query.deploy.as_ref().map_or("", |_| "AND deploy = ?");
    let sql = format!(
        "SELECT ?fields FROM processes WHERE service = ? AND start_us >= ? AND start_us < ? AND age_us <= ? {deploy}
        ORDER BY start_us, source, arrived_us, position"
    );
    let mut asked = (client.query(&sql).bind(&query.service))
        .bind(query.time.from_us)
        .bind(query.time.until_us)
        .bind(query.oldest_us);
    if let Some(deploy) = &query.deploy {
        asked = asked.bind(deploy);
    }
    let point = |row: FoundProcess| {
        let kept = row.kept(&query.service)?;
        Ok(views::process_point(kept.source, kept.origin, kept.record))
    };
    fetch_each(asked, point).await
}

pub(super) async fn views(
    client: &Client,
    service: &str,
    since_us: u64,
) -> Result<Vec<ProcessView>, StoreError> {
    let sql = "SELECT ?fields FROM processes WHERE service = ? AND start_us >= ?
        ORDER BY start_us DESC, arrived_us, position LIMIT 1 BY source";
    let mut rows = (client.query(sql).bind(service).bind(since_us)).fetch::<FoundProcess>()?;
    let mut found = BTreeMap::new();
    while let Some(row) = rows.next().await? {
        let kept = row.kept(service)?;
        let mut view = views::process_view(kept.source, kept.origin, kept.record);
        view.clock_ahead_us = kept.clock_ahead_us;
        found.insert((view.host.clone(), view.source.clone()), view);
    }
    Ok(found.into_values().collect())
}
