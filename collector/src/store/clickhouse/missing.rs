//! Rows that ClickHouse takes for known without having them.
//!
//! A table that is not replicated writes down that it knows a block's token before the block is in (`MergeTreeSink` in
//! ClickHouse's source): killed in between, it leaves the block out when it comes again, and its rows are nowhere. So what was
//! begun before is looked for, and inserted with another token where it is missing.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use clickhouse::query::Query;
use clickhouse::{Client, Row, RowWrite};
use uuid::Uuid;

use super::cells;
use super::connection::{count_at, insert, insert_each};
use super::costliest::{self, CostlyRow};
use super::fold::{CELLS, DAY_US};
use super::group_rows::cells_of;
use super::journal::Group;
use super::processes::{self, ProcessRow};
use super::profiles;
use super::requests::{self, Arrived, RequestRow, RequestRows};
use crate::off_the_runtime::off_the_runtime;
use crate::store::StoreError;

/// How often rows that are missing are inserted anew: each needs a kill at another unlucky moment.
const ATTEMPTS: usize = 10;

/// Inserts what is missing of a group that was begun before.
pub(super) async fn insert_missing(
    client: &Client,
    collector: Uuid,
    group: &Arc<Group>,
) -> Result<(), StoreError> {
    for attempt in 1..=ATTEMPTS {
        let token = format!("{} {attempt}", group.id);
        let missing = Missing {
            client,
            collector,
            group,
            token: Some(&token),
        };
        let rows = missing.insert().await?;
        if rows == 0 {
            return Ok(());
        }
        tracing::warn!(
            group = %group.id,
            rows,
            "ClickHouse said that it knew rows which it did not have: they were inserted again"
        );
    }
    // Each of these inserts was answered: what is not there now was in, and is too old to be kept.
    Ok(())
}

/// Inserts rows with a token that others may use for other rows, of whom the first alone comes in. Returns whose are in, which
/// `whose` asks for.
pub(super) async fn insert_first<R>(
    client: &Client,
    table: &str,
    token: &str,
    rows: &[R],
    whose: Query,
) -> Result<String, StoreError>
where
    R: for<'a> Row<Value<'a> = R> + RowWrite + Clone,
{
    let mut token = token.to_owned();
    for attempt in 1..=ATTEMPTS {
        insert(client, table, Some(&token), rows.to_vec()).await?;
        if let Some(first) = whose.clone().fetch_optional::<String>().await? {
            return Ok(first);
        }
        token = format!("again {attempt}, {token}");
    }
    Err(StoreError::Cut(format!(
        "ClickHouse does not have what it took into {table} {ATTEMPTS} times"
    )))
}

/// What is missing of a group.
struct Missing<'a> {
    client: &'a Client,
    collector: Uuid,
    group: &'a Arc<Group>,
    token: Option<&'a str>,
}

impl Missing<'_> {
    /// Inserts it, and returns how many rows that were.
    async fn insert(&self) -> Result<usize, StoreError> {
        let records = self.requests().await? + self.costliest().await? + self.processes().await?;
        // Sums of older versions do not say which group they are of.
        if !self.group.marked {
            return Ok(records);
        }
        Ok(records + self.cells().await? + self.profiles().await?)
    }

    async fn cells(&self) -> Result<usize, StoreError> {
        let (group, collector) = (Arc::clone(self.group), self.collector);
        let mut rows = off_the_runtime(move || cells_of(&group, collector)).await?;
        let known = cells::days_of_group(self.client, collector, self.group.made_us).await?;
        rows.retain(|row| !known.contains(&row.day_us()));
        let count = rows.len();
        insert(self.client, CELLS, self.token, rows).await?;
        Ok(count)
    }

    async fn profiles(&self) -> Result<usize, StoreError> {
        let parts = profiles::Parts::of(self.group);
        let (collector, made_us) = (self.collector, self.group.made_us);
        let mut count = 0;
        if !profiles::are_in(self.client, "profiles", collector, made_us).await? {
            let rows = parts.rows_of_group(collector, made_us);
            count += rows.len();
            insert(self.client, "profiles", self.token, rows).await?;
        }
        if !profiles::are_in(self.client, "profile_nodes", collector, made_us).await? {
            let rows = parts.node_rows_of_group(collector, made_us);
            count += rows.len();
            insert(self.client, "profile_nodes", self.token, rows).await?;
        }
        Ok(count)
    }

    async fn requests(&self) -> Result<usize, StoreError> {
        let mut requests = requests::of_group(self.group);
        let start_us = |(_, request, ..): &Arrived<'_>| request.start_us;
        let count = |&(origin, request, arrived_us, position): &Arrived<'_>| {
            let of = (&*origin.service, &*origin.deploy, &*origin.host);
            let at = (request.start_us, arrived_us, position);
            count_at(self.client, "requests", of, at)
        };
        let known = days_that_are_in(&requests, start_us, count).await?;
        requests.retain(|request| !known.contains(&day(start_us(request))));
        let count = requests.len();
        let rows = RequestRows::of(requests);
        insert_each::<RequestRow<'_>>(self.client, "requests", self.token, rows).await?;
        Ok(count)
    }

    async fn costliest(&self) -> Result<usize, StoreError> {
        let mut rows = costliest::rows(requests::of_group(self.group));
        // What says that some are left out may be alike in several groups: only where there is nothing else it tells of this one.
        rows.sort_by_key(CostlyRow::says_left_out);
        let count = |row: &CostlyRow<'_>| row.count(self.client);
        let known = days_that_are_in(&rows, CostlyRow::start_us, count).await?;
        rows.retain(|row| !known.contains(&day(row.start_us())));
        let count = rows.len();
        insert_each::<CostlyRow<'_>>(self.client, "costliest", self.token, rows).await?;
        Ok(count)
    }

    async fn processes(&self) -> Result<usize, StoreError> {
        let mut rows = processes::rows_of_group(self.group);
        let count = |row: &ProcessRow| row.count(self.client);
        let known = days_that_are_in(&rows, ProcessRow::start_us, count).await?;
        rows.retain(|row| !known.contains(&day(row.start_us())));
        let count = rows.len();
        insert(self.client, "processes", self.token, rows).await?;
        Ok(count)
    }
}

fn day(start_us: u64) -> u64 {
    start_us / DAY_US
}

/// The days of which the first row is in, by what `count` asks: those of a day are in together, or none of them.
async fn days_that_are_in<T>(
    rows: &[T],
    start_us: impl Fn(&T) -> u64,
    count: impl Fn(&T) -> Query,
) -> Result<HashSet<u64>, StoreError> {
    let mut first_rows = BTreeMap::new();
    for row in rows {
        first_rows
            .entry(day(start_us(row)))
            .or_insert_with(|| count(row));
    }
    let mut days = HashSet::new();
    for (day, count) in first_rows {
        if count.fetch_one::<u64>().await? > 0 {
            days.insert(day);
        }
    }
    Ok(days)
}
