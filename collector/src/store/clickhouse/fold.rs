//! The older, the less detail. Every cell is added up in each detail when it comes; up to when cells are told in which of
//! them is written down, so that each is told in one alone.

use appweight::evidence::ALL_HOSTS;
use appweight_wire::CellKey;
use clickhouse::{Client, Row};
use serde::Deserialize;

use super::cells;
use super::ddl::Ddl;
use crate::store::cell_sums::{CellSums, Place};
use crate::store::{Horizons, StoreError, TimeRange};

const MINUTE_US: u64 = 60_000_000;
pub(super) const HOUR_US: u64 = 60 * MINUTE_US;
pub(super) const DAY_US: u64 = 24 * HOUR_US;

/// The table of all cells, in each detail.
pub(super) const CELLS: &str = "cells_by_detail";

/// What is told in less detail is dropped so much later, µs. A question that looked up to when before that was said has
/// long been answered then.
const LATER_US: u64 = HOUR_US;

/// In how much detail cells are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    /// As they came, by group of hosts.
    Hosts,
    /// Over all hosts, and at least a minute wide.
    Minutes,
    /// Over all hosts, and at least an hour wide.
    Hours,
}

impl Detail {
    pub(super) const ALL: [Self; 3] = [Self::Hosts, Self::Minutes, Self::Hours];

    /// Its name in the table.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Hosts => "hosts",
            Self::Minutes => "minutes",
            Self::Hours => "hours",
        }
    }

    /// Its number there.
    pub(super) fn number(self) -> i8 {
        match self {
            Self::Hosts => 0,
            Self::Minutes => 1,
            Self::Hours => 2,
        }
    }

    /// The cells with the sums of those that are one in that detail.
    pub(super) fn of<'a>(self, sums: &CellSums<'a>) -> CellSums<'a> {
        let mut folded = CellSums::default();
        for (place, cell) in sums.all() {
            let host_group = match self {
                Self::Hosts => place.host_group,
                Self::Minutes | Self::Hours => ALL_HOSTS,
            };
            let place = Place {
                host_group,
                ..place.clone()
            };
            folded.add_cell(place, self.widened(&cell.key), cell);
        }
        folded
    }

    /// The key of the cell that holds it. What straddles two counts where it begins.
    fn widened(self, key: &CellKey) -> CellKey {
        let mut key = key.clone();
        let width_us = match self {
            Self::Hosts => return key,
            Self::Minutes => MINUTE_US,
            Self::Hours => HOUR_US,
        };
        if key.width_us < width_us {
            key.start_us -= key.start_us % width_us;
            key.width_us = width_us;
        }
        key
    }
}

/// Up to when cells are told in less detail, µs: whole minutes and whole hours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Folded {
    pub(super) minutes_us: u64,
    pub(super) hours_us: u64,
}

impl Folded {
    pub(super) async fn read(client: &Client) -> Result<Self, StoreError> {
        #[derive(Row, Deserialize)]
        struct Until {
            minutes_us: u64,
            hours_us: u64,
        }
        let until = "SELECT maxIf(folded.until_us, step = 'minutes') AS minutes_us,
            maxIf(folded.until_us, step = 'hours') AS hours_us FROM folded";
        let until = client.query(until).fetch_one::<Until>().await?;
        Ok(Self {
            minutes_us: until.minutes_us,
            hours_us: until.hours_us,
        })
    }

    /// When the cells begin that are told in that detail.
    pub(super) fn stretch(self, detail: Detail) -> TimeRange {
        let hosts_us = self.minutes_us.max(self.hours_us);
        let (from_us, until_us) = match detail {
            Detail::Hosts => (hosts_us, u64::MAX),
            Detail::Minutes => (self.hours_us, hosts_us),
            Detail::Hours => (0, self.hours_us),
        };
        TimeRange { from_us, until_us }
    }
}

/// One step to less detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Minutes,
    Hours,
}

impl Step {
    /// Its name in the table.
    fn name(self) -> &'static str {
        match self {
            Self::Minutes => "minutes",
            Self::Hours => "hours",
        }
    }
}

/// Tells cells that begin before in less detail from now on. Returns how many. It is one row that is written, however many.
pub(super) async fn fold(
    client: &Client,
    step: Step,
    horizons: Horizons,
) -> Result<u64, StoreError> {
    let told = Folded::read(client).await?;
    let (from_us, horizon_us, width_us) = match step {
        Step::Minutes => (told.minutes_us, horizons.hosts_us, MINUTE_US),
        Step::Hours => (told.hours_us, horizons.minutes_us, HOUR_US),
    };
    let time = TimeRange {
        from_us,
        until_us: horizon_us - horizon_us % width_us,
    };
    if time.from_us >= time.until_us {
        return Ok(0);
    }
    let narrower = format!("(width_us < {width_us} OR host_group <> {ALL_HOSTS})");
    let folded = cells::count_told(client, told, time, &narrower).await?;
    tell(client, step.name(), time.until_us).await?;
    Ok(folded)
}

/// Says up to when cells are folded.
pub(super) async fn tell(client: &Client, step: &str, until_us: u64) -> Result<(), StoreError> {
    let sql = format!("INSERT INTO folded VALUES ('{step}', ?)");
    Ok(client.query(&sql).bind(until_us).execute().await?)
}

/// Drops of whole days what is told in less detail since a while. Returns of how many days.
pub(super) async fn drop_untold(client: &Client, ddl: &Ddl) -> Result<u64, StoreError> {
    let folded = Folded::read(client).await?;
    let untold = |detail: Detail| {
        let until_us = folded.stretch(detail).from_us.saturating_sub(LATER_US);
        format!(
            "(detail = '{}' AND start_us < {})",
            detail.name(),
            until_us - until_us % DAY_US
        )
    };
    let untold = format!("{} OR {}", untold(Detail::Hosts), untold(Detail::Minutes));
    let pending = "SELECT count() FROM system.mutations
        WHERE database = currentDatabase() AND table = ? AND NOT is_done";
    let pending = client.query(pending).bind(ddl.local(CELLS));
    if pending.fetch_one::<u64>().await? > 0 {
        // What was asked for before comes first.
        return Ok(0);
    }
    let days = format!("SELECT DISTINCT _partition_id FROM {CELLS} WHERE {untold}");
    let days = client.query(&days).fetch_all::<String>().await?;
    for day in &days {
        // Not marked as gone, but gone: a day is not merged again by itself when all of it is in one part.
        let held = ddl.held(CELLS);
        let sql = format!("ALTER TABLE {held} DELETE IN PARTITION ID '{day}' WHERE {untold}");
        // It goes on behind: nothing is told of these rows.
        let dropped = client.query(&sql).with_setting("mutations_sync", "0");
        dropped.execute().await?;
    }
    Ok(days.len() as u64)
}

/// How many cells are told of that time.
pub(super) async fn count(client: &Client, time: TimeRange) -> Result<u64, StoreError> {
    let told = Folded::read(client).await?;
    cells::count_told(client, told, time, "true").await
}

/// Forgets cells that are told to begin before. Returns how many.
pub(super) async fn forget(client: &Client, ddl: &Ddl, horizon_us: u64) -> Result<u64, StoreError> {
    // Else one detail would forget a part of what another holds as one cell.
    let horizon_us = horizon_us - horizon_us % HOUR_US;
    let time = TimeRange {
        from_us: 0,
        until_us: horizon_us,
    };
    let count = count(client, time).await?;
    if count > 0 {
        let sql = format!("DELETE FROM {} WHERE start_us < ?", ddl.held(CELLS));
        client.query(&sql).bind(horizon_us).execute().await?;
    }
    Ok(count)
}
