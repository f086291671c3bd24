//! What ClickHouse folds and forgets by itself when it merges: old cells as rows of minutes and hours over all hosts,
//! which are what they are told as, and records.

use std::time::Duration;

use clickhouse::Client;

use super::ddl::Ddl;
use super::fold;
use crate::CollectorOptions;
use crate::store::StoreError;

/// How long cells and records are kept in which detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Keep {
    /// Request and process records.
    pub(crate) records: Duration,
    /// Cells as they came.
    pub(crate) hosts: Duration,
    /// Cells of minutes.
    pub(crate) minutes: Duration,
    /// Cells at all.
    pub(crate) hours: Duration,
}

impl Keep {
    pub(crate) fn of(options: &CollectorOptions) -> Self {
        Self {
            records: options.keep_records,
            hosts: options.keep_hosts,
            minutes: options.keep_minutes,
            hours: options.keep_hours,
        }
    }
}

/// Rows are folded so much later than they are told as folded.
const LATER: Duration = Duration::from_secs(3_600);

/// Sets it for the tables. What is stored is not rewritten for it, but when it is merged the next time.
pub(super) async fn set(client: &Client, ddl: &Ddl, keep: Keep) -> Result<(), StoreError> {
    for statement in statements(ddl, keep) {
        let set = client
            .query(&statement)
            .with_setting("materialize_ttl_after_modify", "0");
        set.execute().await?;
    }
    Ok(())
}

pub(super) fn statements(ddl: &Ddl, keep: Keep) -> [String; 3] {
    let records = format!("{} DELETE", over("start_us", keep.records));
    let folded = [
        format!("{} {}", over("start_us", keep.hosts), fold::to_minutes()),
        format!("{} {}", over("start_us", keep.minutes), fold::to_hours()),
        format!("{} DELETE", over("start_us", keep.hours)),
    ];
    let statement = |table, ttl: &str| format!("ALTER TABLE {} MODIFY TTL {ttl}", ddl.held(table));
    [
        statement("requests", &records),
        statement("processes", &records),
        statement("cells", &folded.join(", ")),
    ]
}

/// When that long is over since, and a little longer; the last moment that ClickHouse's times have if that is after it.
fn over(column: &str, kept: Duration) -> String {
    let seconds = kept
        .saturating_add(LATER)
        .as_secs()
        .min(u64::from(u32::MAX));
    format!(
        "toDateTime(least(intDiv({column}, 1000000) + {seconds}, {}))",
        u32::MAX
    )
}
