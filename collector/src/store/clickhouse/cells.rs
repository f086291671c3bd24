//! Cells: a row for each key and group, which ClickHouse adds up when it merges and when it is asked.

use appweight::evidence::PlacedCell;
use clickhouse::query::Query;
use clickhouse::{Client, Row, RowOwned, RowRead};

use super::cell_rows::{adding, placed, placed_moments, sum_columns};
use super::fold::HOUR_US;
use crate::store::{CellQuery, StoreError, TimeRange};

/// What tells a cell from others, but for its service.
pub(super) const KEY: &str = "start_us, width_us, deploy, kind, endpoint, cluster, instruction_source, age, \
    flag_name, flag_value, host_group";

/// In the order of the other store.
const ORDER: &str = "start_us, width_us, deploy, kind, endpoint, cluster, host_group, instruction_source, age, \
    flag_name, flag_value";

/// Cells from which the width of a service's newest ones is told.
const NEWEST: u32 = 64;

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
pub(super) fn every_key() -> String {
    format!(
        "SELECT DISTINCT {} FROM {}",
        ["service", KEY].join(", "),
        told_all(&format!("service, {KEY}"))
    )
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
    let sql = format!(
        "SELECT {ORDER}, {}
        FROM ({}) AS told WHERE start_us >= ? AND start_us < ? {flags} {deploys}
        GROUP BY {ORDER} ORDER BY {ORDER} {limit}",
        sums::<R>(),
        told(&format!(
            "{KEY}, {}",
            sum_columns::<R>().collect::<Vec<_>>().join(", ")
        ))
    );
    let mut asked = bound(client.query(&sql), &query.service, query.time);
    if !query.deploys.is_empty() {
        asked = asked.bind(&query.deploys);
    }
    let mut rows = asked.fetch::<R>()?;
    let mut cells = Vec::new();
    while let Some(row) = rows.next().await? {
        cells.push(placed(row)?);
    }
    Ok(cells)
}

/// Those columns of a service's cells as they are told, which is in less detail the older they are. It asks for the
/// service and for the time from and until which cells may begin; [`bound`] binds these and the same time again.
fn told(columns: &str) -> String {
    // By hour_us parts of the table are left out: a cell that is told begins at most an hour after it.
    format!(
        "{} WHERE service = ? AND hour_us + {HOUR_US} > ? AND hour_us < ?",
        told_rows(columns)
    )
}

/// The same of every service and time.
fn told_all(columns: &str) -> String {
    format!("({})", told_rows(columns))
}

fn told_rows(columns: &str) -> String {
    let columns = columns.split(", ").map(|column| match column {
        "start_us" => {
            "multiIf(cells.start_us < hours_until, hour_us, cells.start_us < minutes_until, minute_us, cells.start_us)
                AS start_us"
        }
        "width_us" => {
            "multiIf(cells.start_us < hours_until, hour_width_us, cells.start_us < minutes_until, minute_width_us,
                cells.width_us) AS width_us"
        }
        "host_group" => {
            "if(cells.start_us < greatest(hours_until, minutes_until), 255, cells.host_group) AS host_group"
        }
        _ => column,
    });
    format!(
        "WITH (SELECT max(until_us) FROM folded WHERE step = 'hours') AS hours_until,
            (SELECT max(until_us) FROM folded WHERE step = 'minutes') AS minutes_until
        SELECT {} FROM cells",
        columns.collect::<Vec<_>>().join(", ")
    )
}

fn bound(asked: Query, service: &str, time: TimeRange) -> Query {
    (asked.bind(service).bind(time.from_us).bind(time.until_us))
        .bind(time.from_us)
        .bind(time.until_us)
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
    let sql = format!(
        "SELECT count(), min(start_us), max(start_us + width_us)
        FROM ({}) WHERE start_us >= ? AND start_us < ? AND deploy = ?",
        told("start_us, width_us, deploy")
    );
    let span = bound(client.query(&sql), service, time).bind(deploy);
    let (rows, from_us, until_us) = span.fetch_one::<(u64, u64, u64)>().await?;
    Ok((rows > 0).then_some(TimeRange { from_us, until_us }))
}

pub(super) async fn cell_widths(
    client: &Client,
    service: &str,
) -> Result<Option<(u64, u64)>, StoreError> {
    let newest = "SELECT hour_us FROM cells WHERE service = ? ORDER BY hour_us DESC LIMIT 1";
    let newest = client.query(newest).bind(service);
    let Some(newest_us) = newest.fetch_optional::<u64>().await? else {
        return Ok(None);
    };
    let sql = format!(
        "SELECT count(), min(width_us), max(width_us) FROM (
            SELECT DISTINCT {KEY} FROM ({}) WHERE start_us >= ? AND start_us < ?
            ORDER BY start_us DESC, width_us DESC LIMIT {NEWEST}
        )",
        told(KEY)
    );
    let mut found = None;
    // Most services have that many in their newest hour; only of others all cells are looked through.
    for from_us in [newest_us, 0] {
        let time = TimeRange {
            from_us,
            ..TimeRange::ALL
        };
        let widths = bound(client.query(&sql), service, time);
        let (cells, narrowest, widest) = widths.fetch_one::<(u64, u64, u64)>().await?;
        found = (cells > 0).then_some((narrowest, widest));
        if cells >= NEWEST.into() {
            break;
        }
    }
    Ok(found)
}
