//! The older, the less detail: cells are told so by a watermark, and rows are added up so when they are merged.

use appweight::evidence::ALL_HOSTS;
use appweight_wire::CellKey;
use clickhouse::Client;

use super::cell_rows::{ToldRow, adding, sum_columns};
use super::cells::KEY;
use super::ddl::Ddl;
use crate::store::{Horizons, StoreError};

pub(super) const MINUTE_US: u64 = 60_000_000;
pub(super) const HOUR_US: u64 = 60 * MINUTE_US;

/// The start of the sorting key: what cells of one hour have in common that are added up.
const BY_HOUR: &str = "service, hour_us, hour_width_us, deploy, kind, endpoint, cluster, instruction_source, age, \
    flag_name, flag_value";

/// When the cell begins that it is folded into, and how wide that is. What straddles two counts where it begins.
pub(super) fn widened(key: &CellKey, width_us: u64) -> (u64, u64) {
    if key.width_us < width_us {
        (key.start_us - key.start_us % width_us, width_us)
    } else {
        (key.start_us, key.width_us)
    }
}

/// Tells cells that begin before in less detail from now on. Returns how many.
pub(super) async fn fold(client: &Client, horizons: Horizons) -> Result<u64, StoreError> {
    let mut folded = 0;
    for (step, horizon_us, width_us) in [
        ("minutes", horizons.hosts_us, MINUTE_US),
        ("hours", horizons.minutes_us, HOUR_US),
    ] {
        let until_us = horizon_us - horizon_us % width_us;
        let from_us = folded_until(client, step).await?;
        if from_us >= until_us {
            continue;
        }
        let sql = format!(
            "SELECT count() FROM (
                SELECT DISTINCT service, {KEY} FROM cells
                WHERE start_us >= ? AND start_us < ? AND (width_us < {width_us} OR host_group <> {ALL_HOSTS})
            )"
        );
        let count = client.query(&sql).bind(from_us).bind(until_us);
        folded += count.fetch_one::<u64>().await?;
        tell(client, step, until_us).await?;
    }
    Ok(folded)
}

/// Says up to when cells are folded.
pub(super) async fn tell(client: &Client, step: &str, until_us: u64) -> Result<(), StoreError> {
    let sql = format!("INSERT INTO folded VALUES ('{step}', ?)");
    Ok(client.query(&sql).bind(until_us).execute().await?)
}

pub(super) async fn folded_until(client: &Client, step: &str) -> Result<u64, StoreError> {
    let until = "SELECT max(until_us) FROM folded WHERE step = ?";
    Ok(client.query(until).bind(step).fetch_one::<u64>().await?)
}

/// Forgets cells that are told to begin before. Returns how many.
pub(super) async fn forget(client: &Client, ddl: &Ddl, horizon_us: u64) -> Result<u64, StoreError> {
    let hours_us = folded_until(client, "hours").await?;
    let minutes_us = folded_until(client, "minutes").await?;
    let start = format!(
        "multiIf(start_us < {hours_us}, hour_us, start_us < {minutes_us}, minute_us, start_us)"
    );
    let count = format!(
        "SELECT uniqExact(service, {start}, multiIf(start_us < {hours_us}, hour_width_us,
                start_us < {minutes_us}, minute_width_us, width_us),
            deploy, kind, endpoint, cluster, instruction_source, age, flag_name, flag_value,
            if(start_us < {}, {ALL_HOSTS}, host_group))
        FROM cells WHERE {start} < ?",
        hours_us.max(minutes_us)
    );
    let count = client.query(&count).bind(horizon_us);
    let count = count.fetch_one::<u64>().await?;
    if count > 0 {
        let sql = format!("DELETE FROM {} WHERE {start} < ?", ddl.held("cells"));
        client.query(&sql).bind(horizon_us).execute().await?;
    }
    Ok(count)
}

/// How rows are folded over hosts and to minutes.
pub(super) fn to_minutes() -> String {
    format!(
        "GROUP BY {BY_HOUR}, minute_us, minute_width_us SET start_us = any(minute_us), width_us = any(minute_width_us), {}",
        sums_in_place()
    )
}

/// How rows are folded to hours.
pub(super) fn to_hours() -> String {
    format!(
        "GROUP BY {BY_HOUR} SET minute_us = any(hour_us), minute_width_us = any(hour_width_us), \
        start_us = any(hour_us), width_us = any(hour_width_us), {}",
        sums_in_place()
    )
}

/// Of which group of hosts a folded row is makes no difference: it is told as one of all.
fn sums_in_place() -> String {
    let sums = sum_columns::<ToldRow>().map(|name| format!("{name} = {}({name})", adding(name)));
    let host_group = "host_group = any(host_group)".to_owned();
    let all = std::iter::once(host_group).chain(sums);
    all.collect::<Vec<_>>().join(", ")
}
