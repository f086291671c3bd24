//! In how much detail cells are kept. The older they are, the less: folded over hosts and to minutes
//! first, then added up to hours.
//!
//! Every cell is in one row alone, so that whatever is asked is a plain sum. What was folded up to which
//! time is written down with it; a cell that comes late is added where its time is kept by then.

use appweight::evidence::ALL_HOSTS;
use appweight_wire::{Cell, CellKey};
use rusqlite::{Connection, Row, Transaction, params};

use super::cells::{add_all, remove};
use super::code;
use crate::store::cell_sums::{CellSums, Place};
use crate::store::{Horizons, StoreError};

const MINUTE_US: u64 = 60_000_000;
const HOUR_US: u64 = 60 * MINUTE_US;

/// Cells that are folded at once, so that no batch waits long behind them.
const AT_ONCE: usize = 1_000;

/// Up to when cells are kept in less detail, µs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Folded {
    pub(super) minutes_us: u64,
    pub(super) hours_us: u64,
}

/// One step to less detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Over hosts, and to minutes where cells are narrower.
    Minutes,
    /// To hours.
    Hours,
}

impl Step {
    /// How it is written down.
    fn code(self) -> i64 {
        match self {
            Self::Minutes => 1,
            Self::Hours => 2,
        }
    }

    fn width_us(self) -> u64 {
        match self {
            Self::Minutes => MINUTE_US,
            Self::Hours => HOUR_US,
        }
    }
}

impl Folded {
    pub(super) fn read(connection: &Connection) -> Result<Self, StoreError> {
        let mut statement = connection.prepare_cached("SELECT step, until_us FROM folded")?;
        let mut rows = statement.query([])?;
        let mut folded = Self::default();
        while let Some(row) = rows.next()? {
            let until_us = code::time_of(row, 1)?;
            match row.get(0)? {
                1 => folded.minutes_us = until_us,
                2 => folded.hours_us = until_us,
                step => return Err(code::unknown("step of folding", step)),
            }
        }
        Ok(folded)
    }

    /// Writes both down.
    pub(super) fn write(self, transaction: &Transaction<'_>) -> Result<(), StoreError> {
        tell(transaction, Step::Minutes, self.minutes_us)?;
        tell(transaction, Step::Hours, self.hours_us)
    }

    fn of(self, step: Step) -> u64 {
        match step {
            Step::Minutes => self.minutes_us,
            Step::Hours => self.hours_us,
        }
    }

    /// The key and host group under which a cell is kept now, if these are not its own.
    pub(super) fn moved(self, key: &CellKey) -> Option<(CellKey, u8)> {
        let step = if key.start_us < self.hours_us {
            Step::Hours
        } else if key.start_us < self.minutes_us {
            Step::Minutes
        } else {
            return None;
        };
        Some((widened(key, step), ALL_HOSTS))
    }
}

/// The key of the cell that holds it after that step. What straddles two counts where it begins.
fn widened(key: &CellKey, step: Step) -> CellKey {
    let mut key = key.clone();
    let width_us = step.width_us();
    if key.width_us < width_us {
        key.start_us -= key.start_us % width_us;
        key.width_us = width_us;
    }
    key
}

/// Folds some of what is older than its horizon. Returns how many cells, and whether there may be more.
pub(super) fn fold_some(
    transaction: &Transaction<'_>,
    horizons: Horizons,
) -> Result<(u64, bool), StoreError> {
    for (step, horizon_us) in [
        (Step::Minutes, horizons.hosts_us),
        (Step::Hours, horizons.minutes_us),
    ] {
        let horizon_us = horizon_us - horizon_us % step.width_us();
        let from_us = Folded::read(transaction)?.of(step);
        if from_us >= horizon_us {
            continue;
        }
        let services = services(transaction)?;
        let first_us = first_start(transaction, &services, from_us)?.unwrap_or(horizon_us);
        // An hour at a time; where nothing is, nothing has to be gone through.
        let until_us = horizon_us.min(first_us - first_us % HOUR_US + HOUR_US);
        let (folded, all) = fold(transaction, &services, step, (from_us, until_us))?;
        if all {
            tell(transaction, step, until_us)?;
        }
        return Ok((folded, true));
    }
    Ok((0, false))
}

/// Writes down up to when cells are folded.
fn tell(transaction: &Transaction<'_>, step: Step, until_us: u64) -> Result<(), StoreError> {
    let sql = "INSERT INTO folded (step, until_us) VALUES (?1, ?2)
        ON CONFLICT (step) DO UPDATE SET until_us = excluded.until_us";
    transaction
        .prepare_cached(sql)?
        .execute(params![step.code(), code::time(until_us)])?;
    Ok(())
}

/// When the first cell begins that does not begin before.
fn first_start(
    transaction: &Transaction<'_>,
    services: &[String],
    from_us: u64,
) -> Result<Option<u64>, StoreError> {
    let sql = "SELECT min(start_us) FROM cells WHERE service = ?1 AND start_us >= ?2";
    let mut statement = transaction.prepare_cached(sql)?;
    let mut first_us = None;
    for service in services {
        let found = statement.query_row(params![service, code::time(from_us)], |row| {
            code::maybe_time_of(row, 0)
        })?;
        first_us = first_us.into_iter().chain(found).min();
    }
    Ok(first_us)
}

/// Folds up to a number of the cells of that time. Returns how many, and whether these were all.
fn fold(
    transaction: &Transaction<'_>,
    services: &[String],
    step: Step,
    (from_us, until_us): (u64, u64),
) -> Result<(u64, bool), StoreError> {
    const FIND: &str = "SELECT deploy, cluster, host_group, start_us, width_us, kind, endpoint, instruction_source, age,
            n, weight, errors, scaled, metrics, flag_name, flag_value
        FROM cells WHERE service = ?1 AND start_us >= ?2 AND start_us < ?3 AND (width_us < ?4 OR host_group <> ?5)
        ORDER BY start_us LIMIT ?6";
    let mut found: Vec<(Place<'static>, Cell)> = Vec::new();
    let mut statement = transaction.prepare_cached(FIND)?;
    for service in services {
        let mut rows = statement.query(params![
            service,
            code::time(from_us),
            code::time(until_us),
            code::time(step.width_us()),
            ALL_HOSTS,
            (AT_ONCE - found.len()) as i64,
        ])?;
        while let Some(row) = rows.next()? {
            found.push(place_and_cell(service, row)?);
        }
        if found.len() == AT_ONCE {
            break;
        }
    }
    let mut sums = CellSums::default();
    for (place, cell) in &found {
        remove(transaction, place, &cell.key)?;
        let place = Place {
            host_group: ALL_HOSTS,
            ..place.clone()
        };
        sums.add_cell(place, widened(&cell.key, step), cell);
    }
    add_all(transaction, &sums)?;
    Ok((found.len() as u64, found.len() < AT_ONCE))
}

fn place_and_cell(service: &str, row: &Row<'_>) -> Result<(Place<'static>, Cell), StoreError> {
    let placed = super::read::cell_of(row, code::unpack_metrics)?;
    let place = Place {
        service: service.to_owned().into(),
        deploy: placed.deploy.into(),
        cluster: placed.cluster.into(),
        host_group: placed.host_group,
    };
    let mut cell = placed.cell;
    cell.key.flag = code::flag_of(row.get(14)?, row.get(15)?);
    Ok((place, cell))
}

pub(super) fn services(transaction: &Transaction<'_>) -> Result<Vec<String>, StoreError> {
    let mut statement = transaction.prepare_cached("SELECT service FROM services")?;
    let services = statement.query_map([], |row| row.get(0))?;
    Ok(services.collect::<Result<_, _>>()?)
}
