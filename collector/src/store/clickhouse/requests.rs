//! Request records, which are kept for a while.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::vec;

use appweight::api::RequestView;
use appweight_wire::{Age, Downstream, Flag, InstructionSource, Kind, Origin, RequestRecord};
use clickhouse::query::Query;
use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};

use super::connection::fetch_each;
use super::costliest;
use super::journal::Group;
use crate::store::copy::KeptRequest;
use crate::store::{RequestOrder, RequestQuery, StoreError, TimeRange, code};

#[derive(Row, Serialize)]
pub(super) struct RequestRow<'a> {
    service: &'a str,
    deploy: &'a str,
    host: &'a str,
    endpoint: &'a str,
    start_us: u64,
    instructions: Option<u64>,
    cpu_ns: Option<u64>,
    arrived_us: u64,
    position: u32,
    #[serde(with = "serde_bytes")]
    record: Vec<u8>,
}

/// What of a request record is in no column of its own. Without names, which would be most of it: fields are added at the
/// end. Older programs wrote the whole record with names, which is read as this.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Facts<'a> {
    kind: Kind,
    method: Cow<'a, Option<String>>,
    status: Option<u16>,
    error: bool,
    unfinished: bool,
    weight: u64,
    age: Age,
    instruction_source: InstructionSource,
    scaled: bool,
    wall_ns: u64,
    rss_start_bytes: Option<u64>,
    rss_end_bytes: Option<u64>,
    allocated_bytes: Option<u64>,
    allocations: Option<u64>,
    downstream: Cow<'a, BTreeMap<String, Downstream>>,
    flags: Cow<'a, [Flag]>,
    polls: u64,
    thread_hops: u64,
}

impl<'a> Facts<'a> {
    fn of(request: &'a RequestRecord) -> Self {
        Self {
            kind: request.kind,
            method: Cow::Borrowed(&request.method),
            status: request.status,
            error: request.error,
            unfinished: request.unfinished,
            weight: request.weight,
            age: request.age,
            instruction_source: request.instruction_source,
            scaled: request.scaled,
            wall_ns: request.wall_ns,
            rss_start_bytes: request.rss_start_bytes,
            rss_end_bytes: request.rss_end_bytes,
            allocated_bytes: request.allocated_bytes,
            allocations: request.allocations,
            downstream: Cow::Borrowed(&request.downstream),
            flags: Cow::Borrowed(&request.flags),
            polls: request.polls,
            thread_hops: request.thread_hops,
        }
    }
}

/// The columns of a request record.
#[derive(Row, Deserialize)]
pub(super) struct FoundRequest {
    host: String,
    deploy: String,
    endpoint: String,
    start_us: u64,
    instructions: Option<u64>,
    cpu_ns: Option<u64>,
    arrived_us: u64,
    #[serde(with = "serde_bytes")]
    record: Vec<u8>,
}

impl FoundRequest {
    /// Of the costliest: that some are left out from here on.
    pub(super) fn says_left_out(&self) -> bool {
        self.record.is_empty()
    }

    pub(super) fn view(mut self) -> Result<RequestView, StoreError> {
        Ok(RequestView {
            request: self.request()?,
            host: self.host,
            deploy: self.deploy,
        })
    }

    fn request(&mut self) -> Result<RequestRecord, StoreError> {
        let facts: Facts<'_> = code::unpack("request record", &self.record)?;
        Ok(RequestRecord {
            kind: facts.kind,
            start_us: self.start_us,
            endpoint: std::mem::take(&mut self.endpoint),
            method: facts.method.into_owned(),
            status: facts.status,
            error: facts.error,
            unfinished: facts.unfinished,
            weight: facts.weight,
            age: facts.age,
            instructions: self.instructions,
            instruction_source: facts.instruction_source,
            scaled: facts.scaled,
            cpu_ns: self.cpu_ns,
            wall_ns: facts.wall_ns,
            rss_start_bytes: facts.rss_start_bytes,
            rss_end_bytes: facts.rss_end_bytes,
            allocated_bytes: facts.allocated_bytes,
            allocations: facts.allocations,
            downstream: facts.downstream.into_owned(),
            flags: facts.flags.into_owned(),
            polls: facts.polls,
            thread_hops: facts.thread_hops,
        })
    }
}

/// A request record, where it comes from, when it arrived, and its place among those that arrived then, from 1.
pub(super) type Arrived<'a> = (&'a Origin, &'a RequestRecord, u64, u32);

/// Rows of request records in the order of the table, which ClickHouse need not find then. Each is made when it is
/// asked for: they are many.
pub(super) struct RequestRows<'a>(vec::IntoIter<Arrived<'a>>);

impl<'a> RequestRows<'a> {
    pub(super) fn of(mut requests: Vec<Arrived<'a>>) -> Self {
        requests.sort_by_key(|(origin, request, ..)| (origin.service.as_str(), request.start_us));
        Self(requests.into_iter())
    }
}

/// The request records of a group.
pub(super) fn of_group(group: &Group) -> Vec<Arrived<'_>> {
    let requests = group.batches.iter().flat_map(|new| {
        let requests = new.batch.requests.iter();
        requests.map(|request| (&new.batch.origin, request))
    });
    let requests = (1..).zip(requests);
    let requests = requests.map(|(at, (origin, request))| (origin, request, group.made_us, at));
    requests.collect()
}

/// What of a record is in no column of its own.
pub(super) fn packed(request: &RequestRecord) -> Vec<u8> {
    code::pack_in_order(&Facts::of(request))
}

impl<'a> Iterator for RequestRows<'a> {
    type Item = RequestRow<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let (origin, request, arrived_us, position) = self.0.next()?;
        Some(RequestRow {
            service: &origin.service,
            deploy: &origin.deploy,
            host: &origin.host,
            endpoint: &request.endpoint,
            start_us: request.start_us,
            instructions: request.instructions,
            cpu_ns: request.cpu_ns,
            arrived_us,
            position,
            record: packed(request),
        })
    }
}

/// Request records of a service that began in that time, in the order in which they came.
pub(super) async fn every(
    client: &Client,
    service: &str,
    time: TimeRange,
) -> Result<Vec<KeptRequest>, StoreError> {
    let sql = "SELECT ?fields FROM requests WHERE service = ? AND start_us >= ? AND start_us < ?
        ORDER BY arrived_us, position";
    let asked = client.query(sql).bind(service);
    let asked = asked.bind(time.from_us).bind(time.until_us);
    let kept = |mut row: FoundRequest| {
        Ok(KeptRequest {
            arrived: row.arrived_us,
            record: row.request()?,
            origin: origin(service, row.deploy, row.host),
        })
    };
    fetch_each(asked, kept).await
}

pub(super) fn origin(service: &str, deploy: String, host: String) -> Origin {
    Origin {
        service: service.to_owned(),
        deploy,
        host,
        ..Origin::default()
    }
}

/// Of the time that is asked for.
pub(super) const IN_TIME: &str = "start_us >= ? AND start_us < ?";

/// The condition for the rows that a question is about.
pub(super) struct Filter<'a> {
    pub(super) query: &'a RequestQuery,
    /// The part of it for the time, to which both ends are bound; `None` if any time is meant.
    pub(super) in_time: Option<&'a str>,
}

impl Filter<'_> {
    pub(super) fn sql(&self) -> String {
        let time = self.in_time.map(|in_time| format!(" AND ({in_time})"));
        let time = time.unwrap_or_default();
        let endpoint = (self.query.endpoint.as_ref()).map_or("", |_| " AND endpoint = ?");
        let deploy = (self.query.deploy.as_ref()).map_or("", |_| " AND deploy = ?");
        format!("service = ?{time}{endpoint}{deploy}")
    }

    pub(super) fn bind(&self, asked: Query) -> Query {
        let mut asked = asked.bind(&self.query.service);
        if self.in_time.is_some() {
            let TimeRange { from_us, until_us } = self.query.time;
            asked = asked.bind(from_us).bind(until_us);
        }
        let values = [&self.query.endpoint, &self.query.deploy];
        values.into_iter().flatten().fold(asked, Query::bind)
    }
}

pub(super) async fn requests(
    client: &Client,
    query: &RequestQuery,
) -> Result<Vec<RequestView>, StoreError> {
    if query.order == RequestOrder::Cost
        && let Some(found) = costliest::requests(client, query).await?
    {
        return Ok(found);
    }
    let order = match query.order {
        // Not `NULLS LAST`: with a LIMIT ClickHouse 26.5 then leaves out some of the first rows.
        RequestOrder::Cost => {
            "instructions IS NULL, ifNull(instructions, 0) DESC, cpu_ns IS NULL, ifNull(cpu_ns, 0) DESC, start_us DESC"
        }
        RequestOrder::Time => "start_us DESC",
    };
    let filter = Filter {
        query,
        in_time: Some(IN_TIME),
    };
    let asked_for = filter.sql();
    // Which ones is found without the records themselves, which are long. GLOBAL: on a cluster by all of it.
    let sql = format!(
        "SELECT ?fields FROM requests WHERE {asked_for} AND (start_us, arrived_us, position) GLOBAL IN (
            SELECT start_us, arrived_us, position FROM requests WHERE {asked_for}
            ORDER BY {order}, arrived_us DESC, position DESC LIMIT {limit} OFFSET {skip}
        ) ORDER BY {order}, arrived_us DESC, position DESC LIMIT {limit}",
        limit = query.limit,
        skip = query.skip
    );
    let asked = filter.bind(filter.bind(client.query(&sql)));
    fetch_each(asked, FoundRequest::view).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{NOON, request};

    #[test]
    fn records_are_read_as_they_are_written_and_as_older_programs_wrote_them() {
        let full = RequestRecord {
            kind: Kind::Task,
            unfinished: true,
            weight: 100,
            age: Age::Warm,
            instructions: Some(7),
            instruction_source: InstructionSource::HardwareAll,
            allocations: Some(3),
            downstream: [("cache".to_owned(), Downstream::default())].into(),
            flags: vec![Flag {
                name: "new-feed".into(),
                value: "on".into(),
            }],
            thread_hops: 2,
            ..request(NOON, 5)
        };
        for record in [full, RequestRecord::default()] {
            for bytes in [
                code::pack_in_order(&Facts::of(&record)),
                code::pack(&record),
            ] {
                let mut found = FoundRequest {
                    host: String::new(),
                    deploy: String::new(),
                    endpoint: record.endpoint.clone(),
                    start_us: record.start_us,
                    instructions: record.instructions,
                    cpu_ns: record.cpu_ns,
                    arrived_us: 0,
                    record: bytes,
                };
                assert_eq!(found.request().unwrap(), record);
            }
        }
    }
}
