use clickhouse::Client;

use super::ddl::Ddl;
use super::endpoints::PRECISION_US;
use super::profiles::OF;
use super::{deploys, fold, services};
use crate::store::{Forgotten, Horizons, StoreError};

/// What became of a group is remembered longer than the batches that it brought, µs: an hour.
const GROUPS_LONGER_US: u64 = 3_600_000_000;

/// Deletes what is older than its horizon.
pub(super) async fn forget(
    client: &Client,
    ddl: &Ddl,
    horizons: Horizons,
) -> Result<Forgotten, StoreError> {
    let requests = delete(client, ddl, "requests", "start_us < ?", horizons.records_us).await?;
    delete(
        client,
        ddl,
        "costliest",
        "start_us < ?",
        horizons.records_us,
    )
    .await?;
    let processes = delete(
        client,
        ddl,
        "processes",
        "start_us < ?",
        horizons.records_us,
    )
    .await?;
    let batches = old_batches(client, horizons.batches_us).await?;
    delete(
        client,
        ddl,
        "batches",
        "received_us < ?",
        horizons.batches_us,
    )
    .await?;
    let groups_us = horizons.batches_us.saturating_sub(GROUPS_LONGER_US);
    delete(client, ddl, "groups", "made_us < ?", groups_us).await?;
    // A replicate is forgotten as a whole, its tree first: what is behind it tells which.
    let of = format!("(service, deploy, {OF}, replicate)");
    let old = format!(
        "{of} IN (SELECT {of} FROM {} GROUP BY service, deploy, {OF}, replicate HAVING max(until_us) < ?)",
        ddl.local("profiles")
    );
    delete(client, ddl, "profile_nodes", &old, horizons.profiles_us).await?;
    let profiles = old_profiles(client, horizons.profiles_us).await?;
    delete(client, ddl, "profiles", &old, horizons.profiles_us).await?;
    let cells = fold::forget(client, ddl, horizons.cells_us).await?;
    let days = delete(client, ddl, "days", "start_us < ?", horizons.cells_us).await?;
    let of = "(service, endpoint)";
    let old = format!(
        "{of} IN (SELECT {of} FROM endpoints GROUP BY service, endpoint HAVING max(counted_us) < ?)"
    );
    // Whatever was counted on the day of the horizon may have been after it.
    let day_us = horizons.minutes_us - horizons.minutes_us % PRECISION_US;
    let endpoints = delete(client, ddl, "endpoints", &old, day_us).await?;
    let deploys = deploys::forget(client, ddl, horizons.deploys_us).await?;
    // Its cells are gone by now: it is by their service that they are found.
    let gone_us = horizons.deploys_us.min(horizons.cells_us);
    let services = services::forget(client, ddl, gone_us).await?;
    Ok(Forgotten {
        records: requests + processes,
        batches,
        profiles,
        cells,
        days,
        endpoints,
        deploys,
        services,
        folded: fold::fold(client, ddl, horizons).await?,
        ..Forgotten::default()
    })
}

async fn delete(
    client: &Client,
    ddl: &Ddl,
    table: &str,
    which: &str,
    horizon_us: u64,
) -> Result<u64, StoreError> {
    let count = format!("SELECT count() FROM {table} WHERE {which}");
    let rows = client.query(&count).bind(horizon_us);
    let rows = rows.fetch_one::<u64>().await?;
    if rows > 0 {
        let sql = format!("DELETE FROM {} WHERE {which}", ddl.held(table));
        client.query(&sql).bind(horizon_us).execute().await?;
    }
    Ok(rows)
}

/// Batches: one that was sent again has claims that were withdrawn, too.
async fn old_batches(client: &Client, horizon_us: u64) -> Result<u64, StoreError> {
    let count = "SELECT count() FROM batches
        WHERE received_us < ? AND group_id NOT IN (SELECT group_id FROM groups WHERE state = 'withdrawn')";
    let count = client.query(count).bind(horizon_us);
    Ok(count.fetch_one::<u64>().await?)
}

/// Replicates, of each of which there may be several rows.
async fn old_profiles(client: &Client, horizon_us: u64) -> Result<u64, StoreError> {
    let sql = format!(
        "SELECT count() FROM (
            SELECT 1 FROM profiles WHERE service != '' GROUP BY service, deploy, {OF}, replicate HAVING max(until_us) < ?
        )"
    );
    Ok(client
        .query(&sql)
        .bind(horizon_us)
        .fetch_one::<u64>()
        .await?)
}
