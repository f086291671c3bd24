//! What a service weighed, by window: added up by ClickHouse but for users, whose sketches it cannot unite.

use appweight::evidence::ProcessPoint;
use clickhouse::{Client, Row};
use serde::Deserialize;

use crate::store::windows::{Sum, Windows};
use crate::store::{StoreError, TimeRange};

/// The sums of a window, or a record that is to be added.
#[derive(Row, Deserialize)]
struct Found {
    from_us: u64,
    until_us: u64,
    cpu_ns: u64,
    instructions: Option<u64>,
    absent_because: Option<String>,
    requests: u64,
    errors: u64,
    #[serde(with = "serde_bytes")]
    record: Vec<u8>,
}

/// In one question for all of the time: whatever their order, a window is a sum.
pub(super) async fn windows(
    client: &Client,
    service: &str,
    time: TimeRange,
    window_us: u64,
) -> Result<Vec<ProcessPoint>, StoreError> {
    // Sums end where numbers do, as they do elsewhere.
    let sum = |of: &str| format!("toUInt64(least(sum(toUInt128({of})), {}))", u64::MAX);
    let sql = format!(
        "SELECT toUInt64(min(start_us)) AS from_us, toUInt64(max(start_us + width_us)) AS until_us,
            {cpu_ns} AS cpu_ns,
            if(countIf(processes.instructions IS NULL) = 0, {instructions}, NULL) AS instructions,
            CAST(min(processes.absent_because) AS Nullable(String)) AS absent_because,
            {requests} AS requests, {errors} AS errors, '' AS record
        FROM processes WHERE service = ? AND start_us >= ? AND start_us < ? AND summed
        GROUP BY intDiv(start_us, {window_us})
        UNION ALL SELECT 0, 0, 0, NULL, NULL, 0, 0, record
        FROM processes WHERE service = ? AND start_us >= ? AND start_us < ? AND NOT summed",
        cpu_ns = sum("processes.cpu_ns"),
        instructions = sum("assumeNotNull(processes.instructions)"),
        requests = sum("processes.requests"),
        errors = sum("processes.errors"),
    );
    let mut asked = client.query(&sql);
    for _ in 0..2 {
        asked = asked.bind(service).bind(time.from_us).bind(time.until_us);
    }
    let mut rows = asked.fetch::<Found>()?;
    let mut windows = Windows::new(window_us);
    while let Some(row) = rows.next().await? {
        if row.record.is_empty() {
            windows.add_sum(&Sum {
                start_us: row.from_us,
                width_us: row.until_us - row.from_us,
                cpu_ns: row.cpu_ns,
                instructions: row.instructions,
                absent_because: row.absent_because,
                requests: row.requests,
                errors: row.errors,
            });
        } else {
            windows.add(&row.record)?;
        }
    }
    Ok(windows.into_points())
}

#[cfg(test)]
mod tests;
