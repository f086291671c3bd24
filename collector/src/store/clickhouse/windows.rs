//! What a service weighed, by window: added up by ClickHouse but for users, whose sketches it cannot unite.

use appweight::evidence::ProcessPoint;
use clickhouse::{Client, Row};
use serde::Deserialize;

use crate::store::windows::{Sum, Windows, halves};
use crate::store::{StoreError, TimeRange};

/// Whatever the order of its records, a window is a sum.
pub(super) async fn windows(
    client: &Client,
    service: &str,
    time: TimeRange,
    window_us: u64,
) -> Result<Vec<ProcessPoint>, StoreError> {
    let (sums, others) = sums(client, service, time, window_us).await?;
    let [first, second] = halves(time, window_us);
    let middle_us = second.from_us;
    let (first_sums, second_sums): (Vec<Sum>, Vec<Sum>) =
        (sums.into_iter()).partition(|sum| sum.start_us < middle_us);
    let half = |time, sums| {
        let (client, service) = (client.clone(), service.to_owned());
        let mut windows = Windows::new(window_us);
        async move {
            for sum in sums {
                windows.add_sum(&sum);
            }
            if others {
                add_others(&client, &service, time, &mut windows).await?;
            }
            Ok::<_, StoreError>(windows)
        }
    };
    let (first, second) = (half(first, first_sums), half(second, second_sums));
    let (first, second) = if others {
        // Tasks of their own: most of it is work here.
        let (first, second) = (tokio::spawn(first), tokio::spawn(second));
        let cut = |error: tokio::task::JoinError| StoreError::Cut(error.to_string());
        let (first, second) = tokio::try_join!(first, second).map_err(cut)?;
        (first?, second?)
    } else {
        (first.await?, second.await?)
    };
    let mut points = first.into_points();
    points.extend(second.into_points());
    Ok(points)
}

/// What ClickHouse adds up, window by window, and whether there are others.
async fn sums(
    client: &Client,
    service: &str,
    time: TimeRange,
    window_us: u64,
) -> Result<(Vec<Sum>, bool), StoreError> {
    #[derive(Row, Deserialize)]
    struct Found {
        summed: bool,
        from_us: u64,
        until_us: u64,
        cpu_ns: u64,
        instructions: Option<u64>,
        absent_because: Option<String>,
        requests: u64,
        errors: u64,
    }
    // Sums end where numbers do, as they do elsewhere.
    let sum = |of: &str| format!("toUInt64(least(sum(toUInt128({of})), {}))", u64::MAX);
    let sql = format!(
        "SELECT summed, toUInt64(min(start_us)) AS from_us, toUInt64(max(start_us + width_us)) AS until_us,
            {cpu_ns} AS cpu_ns,
            if(countIf(processes.instructions IS NULL) = 0, {instructions}, NULL) AS instructions,
            CAST(min(processes.absent_because) AS Nullable(String)) AS absent_because,
            {requests} AS requests, {errors} AS errors
        FROM processes WHERE service = ? AND start_us >= ? AND start_us < ?
        GROUP BY summed, intDiv(start_us, {window_us})",
        cpu_ns = sum("processes.cpu_ns"),
        instructions = sum("assumeNotNull(processes.instructions)"),
        requests = sum("processes.requests"),
        errors = sum("processes.errors"),
    );
    let asked = client.query(&sql).bind(service);
    let asked = asked.bind(time.from_us).bind(time.until_us);
    let (summed, others): (Vec<_>, Vec<_>) =
        (asked.fetch_all::<Found>().await?.into_iter()).partition(|row| row.summed);
    let sums = summed.into_iter().map(|row| Sum {
        start_us: row.from_us,
        width_us: row.until_us - row.from_us,
        cpu_ns: row.cpu_ns,
        instructions: row.instructions,
        absent_because: row.absent_because,
        requests: row.requests,
        errors: row.errors,
    });
    Ok((sums.collect(), !others.is_empty()))
}

/// Adds records that are added up here: those with sketches of users, and those that older collectors wrote.
async fn add_others(
    client: &Client,
    service: &str,
    time: TimeRange,
    windows: &mut Windows,
) -> Result<(), StoreError> {
    #[derive(Row, Deserialize)]
    struct Found {
        #[serde(with = "serde_bytes")]
        record: Vec<u8>,
    }
    let sql = "SELECT record FROM processes WHERE service = ? AND start_us >= ? AND start_us < ? AND NOT summed";
    let asked = client.query(sql).bind(service);
    let asked = asked.bind(time.from_us).bind(time.until_us);
    let mut rows = asked.fetch::<Found>()?;
    while let Some(row) = rows.next().await? {
        windows.add(&row.record)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
