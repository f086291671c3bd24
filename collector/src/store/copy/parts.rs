//! Into which parts a history is divided: the same ones each time, as long as it is the same.

use std::fmt;

use sha2::{Digest, Sha256};

use super::{Known, Rows, Transfer};
use crate::store::{StoreError, TimeRange};

/// Rows from which on an hour more is another part.
const ROWS_OF_A_PART: u64 = 20_000;

const HOUR_US: u64 = 3_600_000_000;

/// What is copied apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    /// Services, endpoints, roll-outs, and up to when cells are folded. First: by it cells are told.
    Known,
    /// Ids of batches.
    Batches,
    /// Cells.
    Cells,
    /// Request records.
    Requests,
    /// Process records.
    Processes,
    /// Profiles.
    Profiles,
}

impl Table {
    /// In the order in which they are copied.
    const ALL: [Self; 6] = [
        Self::Known,
        Self::Batches,
        Self::Cells,
        Self::Requests,
        Self::Processes,
        Self::Profiles,
    ];
}

/// How many rows there are of a service, of a deploy where it is about profiles, and of an hour where rows have a time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Count {
    /// The service; empty where rows have none.
    pub(crate) service: String,
    /// The deploy, of profiles.
    pub(crate) deploy: String,
    /// The hour, counted since the epoch.
    pub(crate) hour: u64,
    /// How many.
    pub(crate) rows: u64,
}

/// What is copied at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// Of what.
    pub(crate) table: Table,
    /// Of which service.
    pub(crate) service: String,
    /// Of which deploy.
    pub(crate) deploy: String,
    /// What begins, or came, in that time.
    pub(crate) time: TimeRange,
    /// How many rows that is.
    pub(crate) rows: u64,
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            table,
            service,
            deploy,
            time,
            rows,
        } = self;
        let hours = (time.from_us / HOUR_US, time.until_us / HOUR_US);
        write!(
            formatter,
            "{table:?} of {service:?} {deploy:?}, hours {} to {}: {rows}",
            hours.0, hours.1
        )
    }
}

/// All parts of what there is.
pub(super) async fn plan(of: &dyn Transfer) -> Result<Vec<Part>, StoreError> {
    let mut plan: Vec<Part> = Vec::new();
    for table in Table::ALL {
        let mut counts = of.counts(table).await?;
        counts.sort();
        for count in counts {
            let time = TimeRange {
                from_us: count.hour * HOUR_US,
                until_us: (count.hour + 1) * HOUR_US,
            };
            if let Some(last) = plan.last_mut()
                && (last.table, &last.service, &last.deploy)
                    == (table, &count.service, &count.deploy)
                && last.rows + count.rows <= ROWS_OF_A_PART
            {
                last.time.until_us = time.until_us;
                last.rows += count.rows;
                continue;
            }
            plan.push(Part {
                table,
                service: count.service,
                deploy: count.deploy,
                time,
                rows: count.rows,
            });
        }
    }
    Ok(plan)
}

/// How many of what there are in all, by the parts of it. Of roll-outs and alerts those that hold now: a store may keep their
/// changes too.
pub(super) async fn totals(
    of: &dyn Transfer,
    plan: &[Part],
) -> Result<Vec<(String, u64)>, StoreError> {
    let mut totals = Vec::new();
    for table in Table::ALL.into_iter().skip(1) {
        let parts = plan.iter().filter(|part| part.table == table);
        let rows = parts.map(|part| part.rows).sum();
        totals.push((format!("{table:?}").to_lowercase(), rows));
    }
    let known = plan.iter().find(|part| part.table == Table::Known);
    let known = match known {
        Some(part) => of.take(part).await?,
        None => Rows::Mark,
    };
    let known = match known {
        Rows::Known(known) => known,
        _ => Known::default(),
    };
    for (what, rows) in [
        ("services", known.services.len()),
        ("endpoints", known.endpoints.len()),
        ("roll-outs", known.rollouts.len()),
        ("alerts", known.alerts.len()),
        ("days", known.days.len()),
    ] {
        totals.push((what.to_owned(), rows as u64));
    }
    Ok(totals)
}

/// What a history is known by again. Each batch that comes changes it.
pub(super) fn fingerprint(plan: &[Part]) -> String {
    let mut hash = Sha256::new();
    for part in plan {
        hash.update(part.to_string());
        hash.update([0]);
    }
    let digest: [u8; 32] = hash.finalize().into();
    let hex = digest.iter().take(16).map(|byte| format!("{byte:02x}"));
    hex.collect()
}
