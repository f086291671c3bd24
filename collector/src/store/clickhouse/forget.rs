//! Keeping no more than was asked for, in steps between which batches are committed.
//!
//! ClickHouse gives every part of a table a new version for each delete, whether a row of it is meant or not, and what was
//! deleted stays on the disk until it is merged. So a day that is too old as a whole is dropped, which touches nothing else: a step
//! each. What is left is one delete a table.

use std::collections::VecDeque;

use clickhouse::Client;

use super::connection::if_allowed;
use super::ddl::Ddl;
use super::endpoints::PRECISION_US;
use super::fold::{self, CELLS, DAY_US, Step};
use super::profiles::OF;
use super::{deploys, services};
use crate::store::{Forgotten, Horizons, StoreError, TimeRange};

/// What became of a group is remembered longer than the batches that it brought, µs: an hour.
const GROUPS_LONGER_US: u64 = 3_600_000_000;

/// Also rows that were deleted and are still on the disk.
const SEEING_DELETED: (&str, &str) = ("apply_deleted_mask", "0");

/// Tables that hold records, each divided by days.
const RECORDS: [&str; 3] = ["requests", "costliest", "processes"];

/// What is left to be done until nothing is too old.
#[derive(Default)]
pub(super) struct Pass(Option<(Horizons, VecDeque<Piece>)>);

impl Pass {
    /// Does the first thing that is to be done. Another pass begins when this one is through or something failed, or with other
    /// horizons.
    pub(super) async fn step(
        &mut self,
        client: &Client,
        ddl: &Ddl,
        horizons: Horizons,
    ) -> Result<Forgotten, StoreError> {
        let begun = self.0.take().filter(|(of, _)| *of == horizons);
        let mut left = match begun {
            Some((_, left)) => left,
            None => pieces(client, horizons).await?,
        };
        while let Some(piece) = left.pop_front() {
            if let Some(mut forgotten) = piece.forget(client, ddl, horizons).await? {
                forgotten.more = !left.is_empty();
                if forgotten.more {
                    self.0 = Some((horizons, left));
                }
                return Ok(forgotten);
            }
        }
        Ok(Forgotten::default())
    }
}

/// What is done at once.
enum Piece {
    /// A whole day.
    Day(Day),
    /// What is too old of a table of records otherwise.
    Records(&'static str),
    Batches,
    Groups,
    Profiles,
    /// What is too old of cells otherwise.
    Cells,
    Days,
    Endpoints,
    Deploys,
    Services,
    /// Cells of whole days in more detail than they are told in.
    Untold,
    Fold(Step),
}

/// All that may be to be done. Deletes before it folds, as the other store.
async fn pieces(client: &Client, horizons: Horizons) -> Result<VecDeque<Piece>, StoreError> {
    let mut all = VecDeque::new();
    let seeing = if_allowed(client, SEEING_DELETED).await?;
    for table in RECORDS {
        all.extend(whole_days(&seeing, table, horizons.records_us).await?);
        all.push_back(Piece::Records(table));
    }
    all.extend([Piece::Batches, Piece::Groups, Piece::Profiles]);
    all.extend(whole_days(&seeing, CELLS, horizons.cells_us).await?);
    all.extend([
        Piece::Cells,
        Piece::Days,
        Piece::Endpoints,
        Piece::Deploys,
        Piece::Services,
        Piece::Untold,
        Piece::Fold(Step::Minutes),
        Piece::Fold(Step::Hours),
    ]);
    Ok(all)
}

impl Piece {
    /// Returns how much that was; `None` if there was nothing to do.
    async fn forget(
        self,
        client: &Client,
        ddl: &Ddl,
        horizons: Horizons,
    ) -> Result<Option<Forgotten>, StoreError> {
        let mut forgotten = Forgotten::default();
        let rows = match self {
            Self::Day(day) => return day.drop(client, ddl).await,
            Self::Records(table) => {
                let horizon_us = horizons.records_us;
                let rows = delete(client, ddl, table, "start_us < ?", horizon_us).await?;
                forgotten.records = told_once(table, rows);
                rows
            }
            Self::Batches => {
                let horizon_us = horizons.batches_us;
                forgotten.batches = old_batches(client, horizon_us).await?;
                delete(client, ddl, "batches", "received_us < ?", horizon_us).await?
            }
            Self::Groups => {
                let horizon_us = horizons.batches_us.saturating_sub(GROUPS_LONGER_US);
                delete(client, ddl, "groups", "made_us < ?", horizon_us).await?
            }
            Self::Profiles => {
                let (replicates, rows) = profiles(client, ddl, horizons.profiles_us).await?;
                forgotten.profiles = replicates;
                rows
            }
            Self::Cells => {
                forgotten.cells = fold::forget(client, ddl, horizons.cells_us).await?;
                forgotten.cells
            }
            Self::Days => {
                let horizon_us = horizons.cells_us;
                forgotten.days = delete(client, ddl, "days", "start_us < ?", horizon_us).await?;
                forgotten.days
            }
            Self::Endpoints => {
                forgotten.endpoints = endpoints(client, ddl, horizons.minutes_us).await?;
                forgotten.endpoints
            }
            Self::Deploys => {
                forgotten.deploys = deploys::forget(client, ddl, horizons.deploys_us).await?;
                forgotten.deploys
            }
            Self::Services => {
                // Its cells are gone by now: it is by their service that they are found.
                let gone_us = horizons.deploys_us.min(horizons.cells_us);
                forgotten.services = services::forget(client, ddl, gone_us).await?;
                forgotten.services
            }
            Self::Untold => fold::drop_untold(client, ddl).await?,
            Self::Fold(step) => {
                forgotten.folded = fold::fold(client, step, horizons).await?;
                forgotten.folded
            }
        };
        Ok((rows > 0).then_some(forgotten))
    }
}

/// A day of a table, in a partition of its own.
struct Day {
    table: &'static str,
    partition: String,
    start_us: u64,
}

/// Those of a table that are too old as a whole, also if every row of them was deleted.
async fn whole_days(
    client: &Client,
    table: &'static str,
    horizon_us: u64,
) -> Result<Vec<Piece>, StoreError> {
    let days = format!(
        "SELECT _partition_id, max(start_us) AS newest_us FROM {table}
        GROUP BY _partition_id HAVING newest_us < ? ORDER BY newest_us"
    );
    let days = client.query(&days).bind(horizon_us - horizon_us % DAY_US);
    let days = days.fetch_all::<(String, u64)>().await?.into_iter();
    let day = |(partition, newest_us)| {
        Piece::Day(Day {
            table,
            partition,
            start_us: newest_us - newest_us % DAY_US,
        })
    };
    Ok(days.map(day).collect())
}

impl Day {
    /// Returns `None` if ClickHouse does not let it go as a whole: then it is deleted with the rest.
    async fn drop(self, client: &Client, ddl: &Ddl) -> Result<Option<Forgotten>, StoreError> {
        let time = TimeRange {
            from_us: self.start_us,
            until_us: self.start_us + DAY_US,
        };
        let mut forgotten = Forgotten::default();
        if self.table == CELLS {
            forgotten.cells = fold::count(client, time).await?;
        } else {
            let count = format!(
                "SELECT count() FROM {} WHERE start_us >= ? AND start_us < ?",
                self.table
            );
            let count = client.query(&count).bind(time.from_us).bind(time.until_us);
            forgotten.records = told_once(self.table, count.fetch_one().await?);
        }
        let sql = drop_day(ddl, self.table, &self.partition);
        match client.query(&sql).execute().await {
            Ok(()) => Ok(Some(forgotten)),
            Err(clickhouse::error::Error::BadResponse(why)) => {
                let (table, day) = (self.table, self.partition);
                tracing::debug!(table, day, why, "deleted row by row: it may not be dropped");
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

pub(super) fn drop_day(ddl: &Ddl, table: &str, partition: &str) -> String {
    format!(
        "ALTER TABLE {} DROP PARTITION ID '{partition}'",
        ddl.held(table)
    )
}

/// The costliest are records that are counted elsewhere.
fn told_once(table: &str, rows: u64) -> u64 {
    if table == "costliest" { 0 } else { rows }
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

/// Forgets replicates, of each of which there may be several rows. A replicate is forgotten as a whole, its tree first: what is
/// behind it tells which. Returns how many, and how many rows.
async fn profiles(client: &Client, ddl: &Ddl, horizon_us: u64) -> Result<(u64, u64), StoreError> {
    let of = format!("(service, deploy, {OF}, replicate)");
    let old = format!(
        "{of} IN (SELECT {of} FROM {} GROUP BY service, deploy, {OF}, replicate HAVING max(until_us) < ?)",
        ddl.local("profiles")
    );
    delete(client, ddl, "profile_nodes", &old, horizon_us).await?;
    let count = format!(
        "SELECT count() FROM (
            SELECT 1 FROM profiles WHERE service != '' GROUP BY service, deploy, {OF}, replicate HAVING max(until_us) < ?
        )"
    );
    let count = client.query(&count).bind(horizon_us);
    let count = count.fetch_one::<u64>().await?;
    let rows = delete(client, ddl, "profiles", &old, horizon_us).await?;
    Ok((count, rows))
}

async fn endpoints(client: &Client, ddl: &Ddl, horizon_us: u64) -> Result<u64, StoreError> {
    let of = "(service, endpoint)";
    let old = format!(
        "{of} IN (SELECT {of} FROM endpoints GROUP BY service, endpoint HAVING max(counted_us) < ?)"
    );
    // Whatever was counted on the day of the horizon may have been after it.
    let day_us = horizon_us - horizon_us % PRECISION_US;
    delete(client, ddl, "endpoints", &old, day_us).await
}
