//! A history moved from one store to another, part by part.
//!
//! A part is what one insert takes: the cells of some hours of a service, say. The target writes down which parts are
//! in, so that whoever begins again goes on where it ended, and nothing is in twice.

mod parts;

use appweight::drift::Day;
use appweight::evidence::PlacedCell;
use appweight_wire::{Origin, ProcessRecord, RequestRecord};
use async_trait::async_trait;
use uuid::Uuid;

pub(crate) use parts::{Count, Part, Table};

use super::profiles;
use super::rollouts::Rollout;
use super::{AlertStatus, StoreError};

/// What is written down of a copy that has begun, and of one that is whole.
const BEGUN: &str = "begun";
const WHOLE: &str = "whole";

/// A store that a history is read from, and written to.
#[async_trait]
pub(crate) trait Transfer: Send + Sync {
    /// How many rows of a table there are, by what divides it.
    async fn counts(&self, table: Table) -> Result<Vec<Count>, StoreError>;
    /// A part of what there is.
    async fn take(&self, part: &Part) -> Result<Rows, StoreError>;
    /// Adds a part, once: given again it changes nothing.
    async fn give(&self, source: &str, part: &str, rows: Rows) -> Result<(), StoreError>;
    /// What was written down of copies into this, each with its source.
    async fn given(&self) -> Result<Vec<(String, String)>, StoreError>;
}

/// The rows of a part.
#[derive(Debug, Clone)]
pub(crate) enum Rows {
    /// That something begins or has ended.
    Mark,
    /// What is known of services.
    Known(Known),
    /// Ids of batches.
    Batches(Vec<KnownBatch>),
    /// Cells of a service, with those per flag.
    Cells(String, Vec<PlacedCell>),
    /// Request records, in the order in which they came.
    Requests(Vec<KeptRequest>),
    /// Process records, in the order in which they came.
    Processes(Vec<KeptProcess>),
    /// Profiles of a service's deploy.
    Profiles(String, String, Vec<(profiles::Place, profiles::Part)>),
}

/// What is known of services beside their records.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// Each with its first and last moment, µs.
    pub(crate) services: Vec<(String, u64, u64)>,
    /// Service, endpoint, and when it was counted last, µs.
    pub(crate) endpoints: Vec<(String, String, u64)>,
    /// Up to when cells are folded to minutes, µs.
    pub(crate) minutes_us: u64,
    /// Up to when cells are folded to hours, µs.
    pub(crate) hours_us: u64,
    /// Roll-outs in the order in which they became known, each with its final report.
    pub(crate) rollouts: Vec<(Rollout, Option<String>)>,
    /// What was done about alerts.
    pub(crate) alerts: Vec<AlertStatus>,
    /// What was kept of days.
    pub(crate) days: Vec<Day>,
}

/// A batch that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KnownBatch {
    /// Its id.
    pub(crate) uuid: Uuid,
    /// The SHA-256 of its body.
    pub(crate) digest: [u8; 32],
    /// When it came, µs.
    pub(crate) received_us: u64,
}

/// A request record with what was told of it.
#[derive(Debug, Clone)]
pub(crate) struct KeptRequest {
    /// The higher, the later it came; those of one batch have the same.
    #[cfg_attr(
        not(feature = "clickhouse"),
        expect(dead_code, reason = "a file has them in that order")
    )]
    pub(crate) arrived: u64,
    /// Whose it is.
    pub(crate) origin: Origin,
    /// The record.
    pub(crate) record: RequestRecord,
}

/// A process record with what was told of it.
#[derive(Debug, Clone)]
pub(crate) struct KeptProcess {
    /// Whose it is.
    pub(crate) origin: Origin,
    /// The process.
    pub(crate) source: String,
    /// How far its clock was ahead, µs.
    pub(crate) clock_ahead_us: Option<i64>,
    /// The record.
    pub(crate) record: ProcessRecord,
}

/// How far a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyProgress {
    /// Parts that are in.
    pub parts: usize,
    /// Parts in all.
    pub of_parts: usize,
    /// Rows of the parts that are in.
    pub rows: u64,
    /// Rows in all.
    pub of_rows: u64,
}

/// Why a history was not copied, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// A store failed.
    #[error("{which}: {error}")]
    Store {
        /// Which of the two.
        which: &'static str,
        /// Why.
        error: StoreError,
    },
    /// The target holds a history.
    #[error(
        "the target holds something already that no copy of this store put there: give an empty one"
    )]
    NotEmpty,
    /// The source is not what it was.
    #[error(
        "the target holds a part of another copy, or the source has changed since: end what writes to it, and begin again with an empty target"
    )]
    Changed,
    /// The target answered that all is in, but it is not. ClickHouse does so if it was killed at a bad moment.
    #[error(
        "the target has {found} of {sent} rows of the {what}, though it said that it has all: begin again with an empty target"
    )]
    Lost {
        /// Of which.
        what: String,
        /// How many it has.
        found: u64,
        /// How many it was given.
        sent: u64,
    },
}

/// Copies all of `from` into `to`, which is empty or holds a part of the same copy.
pub(crate) async fn copy(
    from: &dyn Transfer,
    to: &dyn Transfer,
    mut progress: impl FnMut(CopyProgress),
) -> Result<CopyProgress, CopyError> {
    let source_failed = failed("the source");
    let target_failed = failed("the target");
    let plan = parts::plan(from).await.map_err(&source_failed)?;
    let source = parts::fingerprint(&plan);
    let given = to.given().await.map_err(&target_failed)?;
    let begun = given
        .iter()
        .any(|(of, part)| *of == source && part == BEGUN);
    if !begun {
        if !given.is_empty() {
            return Err(CopyError::Changed);
        }
        let held = parts::plan(to).await.map_err(&target_failed)?;
        if held.iter().any(|part| part.rows > 0) {
            return Err(CopyError::NotEmpty);
        }
        let mark = to.give(&source, BEGUN, Rows::Mark);
        mark.await.map_err(&target_failed)?;
    }
    let is_in = |name: &str| given.iter().any(|(_, part)| part == name);
    let mut so_far = CopyProgress {
        parts: 0,
        of_parts: plan.len(),
        rows: 0,
        of_rows: plan.iter().map(|part| part.rows).sum(),
    };
    for part in &plan {
        let name = part.to_string();
        if !is_in(&name) && !is_in(WHOLE) {
            let rows = from.take(part).await.map_err(&source_failed)?;
            let give = to.give(&source, &name, rows);
            give.await.map_err(&target_failed)?;
        }
        so_far.parts += 1;
        so_far.rows += part.rows;
        progress(so_far);
    }
    if !is_in(WHOLE) {
        let again = parts::plan(from).await.map_err(&source_failed)?;
        if parts::fingerprint(&again) != source {
            return Err(CopyError::Changed);
        }
        let sent = parts::totals(from, &again).await.map_err(&source_failed)?;
        let held = parts::plan(to).await.map_err(&target_failed)?;
        let held = parts::totals(to, &held).await.map_err(&target_failed)?;
        for ((what, sent), (_, found)) in sent.into_iter().zip(held) {
            if found < sent {
                return Err(CopyError::Lost { what, found, sent });
            }
        }
        let mark = to.give(&source, WHOLE, Rows::Mark);
        mark.await.map_err(&target_failed)?;
    }
    Ok(so_far)
}

/// Refuses a store that holds a part of a history alone: what is counted into it could not be told from the rest.
pub(crate) async fn refuse_half_copied(store: &dyn Transfer) -> Result<(), StoreError> {
    let given = store.given().await?;
    if given.is_empty() || given.iter().any(|(_, part)| part == WHOLE) {
        Ok(())
    } else {
        Err(StoreError::HalfCopied)
    }
}

fn failed(which: &'static str) -> impl Fn(StoreError) -> CopyError {
    move |error| CopyError::Store { which, error }
}
