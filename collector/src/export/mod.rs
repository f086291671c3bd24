//! What is in the store as Parquet files, for whoever wants to ask it something else.

mod table;
mod tables;

use std::fs;
use std::path::{Path, PathBuf};

use appweight::drift::Day;
use appweight_wire::Cell;

use self::table::{Table, TableError};
use crate::Collector;
use crate::off_the_runtime::off_the_runtime;
use crate::store::{
    CellQuery, DeployQuery, ProcessQuery, RequestOrder, RequestQuery, StoreError, TimeRange,
};

/// So much of a service is read at once, µs: an hour.
const STEP_US: u64 = 3_600_000_000;
/// What begins so much later than now is of clocks that are wrong, and so little that it is read at once.
const AHEAD_US: u64 = 24 * STEP_US;
/// Requests read at once.
const REQUESTS: u32 = 50_000;

/// How many rows were written of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exported {
    /// Roll-outs, with their verdicts.
    pub deploys: u64,
    /// Cells.
    pub cells: u64,
    /// Recorded requests.
    pub requests: u64,
    /// Process records.
    pub processes: u64,
    /// Peaks of days.
    pub days: u64,
    /// Endpoints of days.
    pub endpoint_days: u64,
}

/// Why nothing, or not all, was exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file cannot be written.
    #[error("{}: {reason}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}

impl ExportError {
    fn of(path: &Path, reason: &dyn std::fmt::Display) -> Self {
        Self::File {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }
}

impl Collector {
    /// Writes `deploys.parquet`, `cells.parquet`, `requests.parquet`, `processes.parquet`, `days.parquet` and
    /// `endpoint_days.parquet` into a folder, of all services. What began in that time is written, from its first µs
    /// up to but without the last; files that are there already are replaced once the new ones are whole.
    ///
    /// # Errors
    /// If the store cannot be read or a file cannot be written.
    pub async fn export(
        &self,
        folder: &Path,
        from_us: u64,
        until_us: u64,
    ) -> Result<Exported, ExportError> {
        fs::create_dir_all(folder).map_err(|error| ExportError::of(folder, &error))?;
        let time = TimeRange {
            from_us,
            until_us: until_us.min(TimeRange::ALL.until_us),
        };
        Ok(Exported {
            deploys: self.deploys_into(folder, time).await?,
            cells: self.cells_into(folder, time).await?,
            requests: self.requests_into(folder, time).await?,
            processes: self.processes_into(folder, time).await?,
            days: self
                .days_into(folder, "days", &tables::days(), tables::day, time)
                .await?,
            endpoint_days: self
                .days_into(
                    folder,
                    "endpoint_days",
                    &tables::endpoint_days(),
                    tables::endpoint_day,
                    time,
                )
                .await?,
        })
    }

    async fn deploys_into(&self, folder: &Path, time: TimeRange) -> Result<u64, ExportError> {
        let mut file = File::create(folder, "deploys", &tables::deploys())?;
        let store = &self.app().store;
        for known in store.services().await? {
            let query = DeployQuery {
                service: known.service,
                id: None,
                started: time,
                after: None,
                limit: u32::MAX,
            };
            let entries = store.deploys(query).await?;
            file = file
                .add(move |table| {
                    entries
                        .iter()
                        .try_for_each(|entry| tables::deploy(table, entry))
                })
                .await?;
        }
        file.finish().await
    }

    async fn cells_into(&self, folder: &Path, time: TimeRange) -> Result<u64, ExportError> {
        let mut file = File::create(folder, "cells", &tables::cells())?;
        let store = &self.app().store;
        for (service, step) in self.steps(time).await? {
            let query = CellQuery {
                service: service.clone(),
                deploys: Vec::new(),
                time: step,
            };
            let cells = store.cells(query).await?;
            file = file
                .add(move |table| {
                    cells
                        .iter()
                        .try_for_each(|placed| tables::cell(table, &service, placed))
                })
                .await?;
        }
        file.finish().await
    }

    async fn requests_into(&self, folder: &Path, time: TimeRange) -> Result<u64, ExportError> {
        let mut file = File::create(folder, "requests", &tables::requests())?;
        let store = &self.app().store;
        for (service, step) in self.steps(time).await? {
            let mut skip = 0;
            loop {
                let query = RequestQuery {
                    service: service.clone(),
                    endpoint: None,
                    deploy: None,
                    time: step,
                    order: RequestOrder::Time,
                    skip,
                    limit: REQUESTS,
                };
                let views = store.requests(query).await?;
                let (name, last) = (service.clone(), views.len() < REQUESTS as usize);
                file = file
                    .add(move |table| {
                        views
                            .iter()
                            .try_for_each(|view| tables::request(table, &name, view))
                    })
                    .await?;
                if last {
                    break;
                }
                skip += REQUESTS;
            }
        }
        file.finish().await
    }

    async fn processes_into(&self, folder: &Path, time: TimeRange) -> Result<u64, ExportError> {
        let mut file = File::create(folder, "processes", &tables::processes())?;
        let store = &self.app().store;
        for (service, step) in self.steps(time).await? {
            let points = store
                .process_points(ProcessQuery::all(&service, step))
                .await?;
            file = file
                .add(move |table| {
                    points
                        .iter()
                        .try_for_each(|point| tables::process(table, &service, point))
                })
                .await?;
        }
        file.finish().await
    }

    async fn days_into(
        &self,
        folder: &Path,
        name: &str,
        columns: &[table::Column],
        add: fn(&mut Table, &Day) -> Result<(), TableError>,
        time: TimeRange,
    ) -> Result<u64, ExportError> {
        let mut file = File::create(folder, name, columns)?;
        let store = &self.app().store;
        for known in store.services().await? {
            let days = store.days(&known.service, time).await?;
            file = file
                .add(move |table| days.iter().try_for_each(|day| add(table, day)))
                .await?;
        }
        file.finish().await
    }

    /// Every service with the hours in which it may have something.
    async fn steps(&self, time: TimeRange) -> Result<Vec<(String, TimeRange)>, ExportError> {
        let mut steps = Vec::new();
        let ahead_us = (self.app().options.clock.now_us()).saturating_add(AHEAD_US);
        for known in self.app().store.services().await? {
            let mut from_us = time.from_us.max(known.first_us);
            let until_us = time.until_us.min(known.last_us.saturating_add(1));
            while from_us < until_us {
                let end_us = if from_us < ahead_us {
                    until_us.min((from_us - from_us % STEP_US).saturating_add(STEP_US))
                } else {
                    until_us
                };
                let step = TimeRange {
                    from_us,
                    until_us: end_us,
                };
                steps.push((known.service.clone(), step));
                from_us = end_us;
            }
        }
        Ok(steps)
    }
}

/// A table that is written beside its place and put there when it is whole.
struct File {
    table: Table,
    part: PathBuf,
    path: PathBuf,
}

impl File {
    fn create(folder: &Path, name: &str, columns: &[table::Column]) -> Result<Self, ExportError> {
        let path = folder.join(format!("{name}.parquet"));
        let part = folder.join(format!("{name}.parquet.part"));
        let table =
            Table::create(&part, name, columns).map_err(|why| ExportError::of(&part, &why))?;
        Ok(Self { table, part, path })
    }

    async fn add(
        mut self,
        rows: impl FnOnce(&mut Table) -> Result<(), TableError> + Send + 'static,
    ) -> Result<Self, ExportError> {
        off_the_runtime(move || {
            rows(&mut self.table).map_err(|why| ExportError::of(&self.part, &why))?;
            Ok(self)
        })
        .await?
    }

    async fn finish(self) -> Result<u64, ExportError> {
        off_the_runtime(move || {
            let rows = self
                .table
                .finish()
                .map_err(|why| ExportError::of(&self.part, &why))?;
            fs::rename(&self.part, &self.path).map_err(|why| ExportError::of(&self.path, &why))?;
            Ok(rows)
        })
        .await?
    }
}

/// What is written of each distribution of a cell: its name, and where it is.
type Metric = (
    &'static str,
    fn(&Cell) -> Option<&appweight_wire::Distribution>,
);

#[cfg(test)]
mod tests;
