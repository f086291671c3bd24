//! A group of batches as rows.

use uuid::Uuid;

use super::cell_rows::CellRow;
use super::journal::Group;
use super::processes::{self, ProcessRow};
use super::profiles::{NodeRow, PartRow};
use super::{cell_rows, profiles};
use crate::store::cell_sums::CellSums;

/// The rows of a group that are added up or kept, but for its request records.
pub(super) struct Rows {
    pub(super) cells: Vec<CellRow>,
    pub(super) processes: Vec<ProcessRow>,
    pub(super) profiles: Vec<PartRow>,
    pub(super) profile_nodes: Vec<NodeRow>,
}

impl Rows {
    pub(super) fn of(group: &Group, collector: Uuid) -> Self {
        let parts = profiles::Parts::of(group);
        Self {
            cells: cells_of(group, collector),
            processes: processes::rows_of_group(group),
            profiles: parts.rows_of_group(collector, group.made_us),
            profile_nodes: parts.node_rows_of_group(collector, group.made_us),
        }
    }
}

/// The cells of a group, with what says that they are in.
pub(super) fn cells_of(group: &Group, collector: Uuid) -> Vec<CellRow> {
    let mut sums = CellSums::default();
    for new in &group.batches {
        sums.add(&new.batch, |_| None);
    }
    let mut rows = cell_rows::rows(&sums, |_, _| true);
    rows.extend(cell_rows::marks(&rows, collector, group.made_us));
    rows
}
