//! The costliest request records, in that order: `requests` has them in the order of time.
//!
//! Of each group those come here that may be among the costliest of a deploy, or of an endpoint of it. Of each endpoint of
//! which some were left out, a row without a record stands above them. So the first rows are the costliest requests if none of
//! them is such a row; else all records are to be asked, which takes longer.

use std::cmp::Reverse;
use std::collections::HashMap;

use appweight::api::RequestView;
use appweight_wire::RequestRecord;
use clickhouse::query::Query;
use clickhouse::{Client, Row};
use serde::Serialize;

use super::connection::alone;
use super::requests::{Arrived, Filter, FoundRequest, IN_TIME, packed};
use crate::store::{RequestQuery, StoreError, TimeRange};

/// How many come here of a group: of each deploy, and of each of its endpoints whatever others there are.
const KEPT: Kept = Kept {
    of_deploy: 128,
    of_endpoint: 8,
};

/// Whoever turns that many pages asks all records.
const MOST_WANTED: u32 = 2_000;

#[derive(Clone, Copy)]
struct Kept {
    of_deploy: usize,
    of_endpoint: usize,
}

#[derive(Debug, Clone, Row, Serialize)]
pub(super) struct CostlyRow<'a> {
    service: &'a str,
    deploy: &'a str,
    host: &'a str,
    endpoint: &'a str,
    cost: u128,
    start_us: u64,
    instructions: Option<u64>,
    cpu_ns: Option<u64>,
    arrived_us: u64,
    position: u32,
    #[serde(with = "serde_bytes")]
    record: Vec<u8>,
}

impl<'a> CostlyRow<'a> {
    fn of((origin, request, arrived_us, position): Arrived<'a>) -> Self {
        Self {
            service: &origin.service,
            deploy: &origin.deploy,
            host: &origin.host,
            endpoint: &request.endpoint,
            cost: cost(request),
            start_us: request.start_us,
            instructions: request.instructions,
            cpu_ns: request.cpu_ns,
            arrived_us,
            position,
            record: packed(request),
        }
    }

    /// When it began, or the last of those that are left out.
    pub(super) fn start_us(&self) -> u64 {
        self.start_us
    }

    /// That it is no record, but says that some are left out.
    pub(super) fn says_left_out(&self) -> bool {
        self.position == 0
    }

    /// Asks whether it is in.
    pub(super) fn count(&self, client: &Client) -> Query {
        let count = "SELECT count() FROM costliest WHERE service = ? AND cost = ? AND start_us = ? AND arrived_us = ?
            AND position = ? AND deploy = ? AND endpoint = ? AND host = ?";
        let of = client.query(count).bind(self.service);
        let at = of.bind(self.cost).bind(self.start_us);
        let at = at.bind(self.arrived_us).bind(self.position);
        at.bind(self.deploy).bind(self.endpoint).bind(self.host)
    }

    /// Says that this one and cheaper ones are left out.
    fn left_out((origin, request, ..): Arrived<'a>) -> Self {
        Self {
            service: &origin.service,
            deploy: &origin.deploy,
            host: "",
            endpoint: &request.endpoint,
            cost: cost(request).saturating_add(1),
            start_us: request.start_us,
            instructions: None,
            cpu_ns: None,
            arrived_us: 0,
            position: 0,
            record: Vec::new(),
        }
    }
}

/// Instructions, then CPU time; what is absent is below all else.
fn cost(request: &RequestRecord) -> u128 {
    let above = |value: Option<u64>| u128::from(value.map_or(0, |value| value.saturating_add(1)));
    above(request.instructions) << 64 | above(request.cpu_ns)
}

/// The rows of a group.
pub(super) fn rows(requests: Vec<Arrived<'_>>) -> Vec<CostlyRow<'_>> {
    chosen(requests, KEPT)
}

fn chosen(mut requests: Vec<Arrived<'_>>, kept: Kept) -> Vec<CostlyRow<'_>> {
    requests.sort_by_cached_key(|&(origin, request, arrived_us, position)| {
        let rank = (cost(request), request.start_us, arrived_us, position);
        (
            origin.service.as_str(),
            origin.deploy.as_str(),
            Reverse(rank),
        )
    });
    let mut rows: Vec<CostlyRow<'_>> = Vec::new();
    let deploys = requests.chunk_by(|(one, ..), (other, ..)| {
        (&one.service, &one.deploy) == (&other.service, &other.deploy)
    });
    for deploy in deploys {
        let mut of_endpoints: HashMap<&str, OfEndpoint> = HashMap::new();
        for (of_deploy, &arrived) in deploy.iter().enumerate() {
            let (_, request, ..) = arrived;
            let of_endpoint = of_endpoints.entry(&request.endpoint).or_default();
            if of_deploy < kept.of_deploy || of_endpoint.kept < kept.of_endpoint {
                of_endpoint.kept += 1;
                rows.push(CostlyRow::of(arrived));
                continue;
            }
            match of_endpoint.left_out {
                // It stays until the last of them is forgotten.
                Some(at) => rows[at].start_us = rows[at].start_us.max(request.start_us),
                None => {
                    of_endpoint.left_out = Some(rows.len());
                    rows.push(CostlyRow::left_out(arrived));
                }
            }
        }
    }
    rows
}

#[derive(Default)]
struct OfEndpoint {
    kept: usize,
    /// The row that says so.
    left_out: Option<usize>,
}

/// The costliest requests, if it is known here which they are.
pub(super) async fn requests(
    client: &Client,
    query: &RequestQuery,
) -> Result<Option<Vec<RequestView>>, StoreError> {
    let wanted = query.skip.saturating_add(query.limit);
    if wanted > MOST_WANTED {
        return Ok(None);
    }
    // What says that some were left out is no record's, and holds for any time.
    let in_time = format!("position = 0 OR {IN_TIME}");
    let filter = Filter {
        query,
        // Most ask for any time: ClickHouse would hold each granule of the table against a condition on it.
        in_time: (query.time != TimeRange::ALL).then_some(&*in_time),
    };
    // By the service, which is one and the same: ordered by a number first, ClickHouse would hold each row against those found
    // so far, though it reads them in this order, which took a fifth of the time.
    let sql = format!(
        "SELECT ?fields FROM costliest WHERE {asked_for}
        ORDER BY service DESC, cost DESC, start_us DESC, arrived_us DESC, position DESC LIMIT {wanted}",
        asked_for = filter.sql()
    );
    let asked = alone(filter.bind(client.query(&sql)));
    let mut rows = asked.fetch::<FoundRequest>()?;
    let mut found = Vec::new();
    let mut skip = query.skip;
    while let Some(row) = rows.next().await? {
        if row.says_left_out() {
            return Ok(None);
        }
        if skip > 0 {
            skip -= 1;
        } else {
            found.push(row.view()?);
        }
    }
    Ok(Some(found))
}

#[cfg(test)]
mod tests;
