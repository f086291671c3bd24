//! Cells: a row for each key, detail and group, which ClickHouse adds up when it merges and when it is asked. Each is told in
//! the detail of its age.

use std::collections::HashSet;

use appweight::evidence::PlacedCell;
use clickhouse::{Client, Row, RowOwned, RowRead};
use uuid::Uuid;

use super::cell_rows::{adding, placed, placed_moments, sum_columns};
use super::connection::fetch_each;
use super::fold::{CELLS, Detail, Folded, HOUR_US};
use crate::store::{CellQuery, StoreError, TimeRange};

/// What tells a cell from others, but for its service.
pub(super) const KEY: &str = "start_us, width_us, deploy, kind, endpoint, cluster, instruction_source, age, \
    flag_name, flag_value, host_group";

/// In the order of the other store.
const ORDER: &str = "start_us, width_us, deploy, kind, endpoint, cluster, host_group, instruction_source, age, \
    flag_name, flag_value";

/// Cells from which the width of a service's newest ones is told.
const NEWEST: u32 = 64;

/// How far back they are sought at first, µs.
const RECENT_US: u64 = 5 * 60_000_000;

#[cfg(any(test, feature = "parquet"))]
pub(super) async fn cells(
    client: &Client,
    query: &CellQuery,
) -> Result<Vec<PlacedCell>, StoreError> {
    summed(client, query, "AND flag_name = ''", None, placed).await
}

pub(super) async fn moments(
    client: &Client,
    query: &CellQuery,
    most: Option<usize>,
) -> Result<Vec<PlacedCell>, StoreError> {
    summed(client, query, "AND flag_name = ''", most, placed_moments).await
}

/// Those kept per flag.
pub(super) async fn flag_moments(
    client: &Client,
    service: &str,
    time: TimeRange,
    most: usize,
) -> Result<Vec<PlacedCell>, StoreError> {
    let query = CellQuery {
        service: service.to_owned(),
        deploys: Vec::new(),
        time,
    };
    let flags = "AND flag_name != ''";
    summed(client, &query, flags, Some(most), placed_moments).await
}

/// Every cell of that time, with those per flag.
pub(super) async fn every_cell(
    client: &Client,
    service: &str,
    time: TimeRange,
) -> Result<Vec<PlacedCell>, StoreError> {
    let query = CellQuery {
        service: service.to_owned(),
        deploys: Vec::new(),
        time,
    };
    summed(client, &query, "", None, placed).await
}

/// The key of every cell as it is told, and its service.
pub(super) fn every_key(folded: Folded) -> String {
    keys(folded, TimeRange::ALL, "true")
}

/// How many cells are told of that time, of all services.
pub(super) async fn count_told(
    client: &Client,
    folded: Folded,
    time: TimeRange,
    which: &str,
) -> Result<u64, StoreError> {
    let count = format!("SELECT count() FROM ({})", keys(folded, time, which));
    Ok(client.query(&count).fetch_one::<u64>().await?)
}

fn keys(folded: Folded, time: TimeRange, which: &str) -> String {
    let told = told(folded, time, which);
    format!("SELECT DISTINCT service, {KEY} FROM {told}")
}

/// Cells with the sums that a row has.
async fn summed<R>(
    client: &Client,
    query: &CellQuery,
    flags: &str,
    most: Option<usize>,
    placed: fn(R) -> Result<PlacedCell, StoreError>,
) -> Result<Vec<PlacedCell>, StoreError>
where
    R: RowOwned + RowRead,
{
    let deploys = if query.deploys.is_empty() {
        ""
    } else {
        "AND deploy IN ?"
    };
    let limit = most.map_or_else(String::new, |most| format!("LIMIT {most}"));
    let told = told(
        Folded::read(client).await?,
        query.time,
        &format!("service = ? {flags} {deploys}"),
    );
    let sql = format!(
        "SELECT {ORDER}, {} FROM {told} AS told GROUP BY {ORDER} ORDER BY {ORDER} {limit}",
        sums::<R>()
    );
    let mut asked = client.query(&sql).bind(&query.service);
    if !query.deploys.is_empty() {
        asked = asked.bind(&query.deploys);
    }
    fetch_each(asked, placed).await
}

/// The cells that begin in that time, each in the detail that it is told in, of `which` there are.
pub(super) fn told(folded: Folded, time: TimeRange, which: &str) -> String {
    let within = |detail: Detail| {
        let told = folded.stretch(detail);
        let (from_us, until_us) = (
            told.from_us.max(time.from_us),
            told.until_us.min(time.until_us),
        );
        (from_us < until_us).then(|| {
            format!(
                "detail = '{}' AND start_us >= {from_us} AND start_us < {until_us}",
                detail.name()
            )
        })
    };
    let stretches: Vec<String> = Detail::ALL.into_iter().filter_map(within).collect();
    let stretches = if stretches.is_empty() {
        "false".to_owned()
    } else {
        stretches.join(" OR ")
    };
    // Marks are no cells.
    format!("(SELECT * FROM {CELLS} WHERE ({stretches}) AND service != '' AND {which})")
}

/// The days, by their begin, of which a group's cells are in: the newest of its collector.
pub(super) async fn days_of_group(
    client: &Client,
    collector: Uuid,
    made_us: u64,
) -> Result<HashSet<u64>, StoreError> {
    let days = format!(
        "SELECT start_us FROM {CELLS} WHERE service = '' AND detail = '{}' AND deploy = ?
        GROUP BY start_us HAVING max({CELLS}.instructions_max) = ?",
        Detail::Hosts.name()
    );
    let days = client.query(&days).bind(collector.to_string());
    let days = days.bind(made_us).fetch_all::<u64>().await?;
    Ok(days.into_iter().collect())
}

/// The sum of each.
fn sums<R: Row>() -> String {
    let sums = sum_columns::<R>().map(|name| format!("{}(told.{name}) AS {name}", adding(name)));
    sums.collect::<Vec<_>>().join(", ")
}

pub(super) async fn cell_span(
    client: &Client,
    service: &str,
    deploy: &str,
    time: TimeRange,
) -> Result<Option<TimeRange>, StoreError> {
    let told = told(
        Folded::read(client).await?,
        time,
        "service = ? AND deploy = ?",
    );
    let sql = format!("SELECT count(), min(start_us), max(start_us + width_us) FROM {told}");
    let span = client.query(&sql).bind(service).bind(deploy);
    let (rows, from_us, until_us) = span.fetch_one::<(u64, u64, u64)>().await?;
    Ok((rows > 0).then_some(TimeRange { from_us, until_us }))
}

pub(super) async fn cell_widths(
    client: &Client,
    service: &str,
) -> Result<Option<(u64, u64)>, StoreError> {
    // Of anything that came: its newest cells are little older.
    let newest = "SELECT toUInt64(max(services.last_us)) FROM services WHERE service = ?";
    let newest_us = client
        .query(newest)
        .bind(service)
        .fetch_one::<u64>()
        .await?;
    let folded = Folded::read(client).await?;
    let mut found = None;
    // Most services have that many in their newest minutes; only of others all cells are looked through.
    for from_us in [RECENT_US, 2 * HOUR_US, u64::MAX] {
        let from_us = newest_us.saturating_sub(from_us);
        let time = TimeRange {
            from_us,
            ..TimeRange::ALL
        };
        let told = told(folded, time, "service = ?");
        let sql = format!(
            "SELECT count(), min(width_us), max(width_us) FROM (
                SELECT DISTINCT {KEY} FROM {told} ORDER BY start_us DESC, width_us DESC LIMIT {NEWEST}
            )"
        );
        let widths = client.query(&sql).bind(service);
        let (cells, narrowest, widest) = widths.fetch_one::<(u64, u64, u64)>().await?;
        found = (cells > 0).then_some((narrowest, widest));
        if cells >= NEWEST.into() {
            break;
        }
    }
    Ok(found)
}
