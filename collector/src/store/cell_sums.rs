//! Cells added up in memory for a whole commit, so that a thousand hosts of sixteen groups are sixteen rows.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use appweight::evidence::{PlacedCell, by_cluster};
use appweight_wire::{Batch, Cell, CellKey, host_group};

/// The sums of many cells. Most are of one cell alone, which is not copied.
#[derive(Default)]
pub(super) struct CellSums<'a>(BTreeMap<(Place<'a>, Cow<'a, CellKey>), Cow<'a, Cell>>);

/// Where a cell belongs, beside its own key.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Place<'a> {
    pub(super) service: Cow<'a, str>,
    pub(super) deploy: Cow<'a, str>,
    pub(super) cluster: Cow<'a, str>,
    pub(super) host_group: u8,
}

impl Ord for Place<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.service.cmp(&other.service))
            .then_with(|| self.deploy.cmp(&other.deploy))
            .then_with(|| by_cluster(&self.cluster, &other.cluster))
            .then_with(|| self.host_group.cmp(&other.host_group))
    }
}

impl PartialOrd for Place<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<'a> CellSums<'a> {
    /// Adds the cells of a batch, each under its own key and host group, or those that it was `moved` to.
    pub(super) fn add(
        &mut self,
        batch: &'a Batch,
        moved: impl Fn(&CellKey) -> Option<(CellKey, u8)>,
    ) {
        let origin = &batch.origin;
        let group = host_group(&origin.host);
        for cell in &batch.cells {
            let place = |host_group| Place {
                service: Cow::Borrowed(&origin.service),
                deploy: Cow::Borrowed(&origin.deploy),
                cluster: Cow::Borrowed(&origin.cluster),
                host_group,
            };
            match moved(&cell.key) {
                None => self.add_as_it_is(place(group), cell),
                Some((key, group)) => self.add_cell(place(group), key, cell),
            }
        }
    }

    fn add_as_it_is(&mut self, place: Place<'a>, cell: &'a Cell) {
        match self.0.entry((place, Cow::Borrowed(&cell.key))) {
            Entry::Vacant(entry) => {
                entry.insert(Cow::Borrowed(cell));
            }
            Entry::Occupied(entry) => entry.into_mut().to_mut().add(cell),
        }
    }

    /// Adds one cell to that of a key.
    pub(super) fn add_cell(&mut self, place: Place<'a>, key: CellKey, cell: &Cell) {
        self.0
            .entry((place, Cow::Owned(key.clone())))
            .or_insert_with(|| Cow::Owned(Cell::new(key)))
            .to_mut()
            .add(cell);
    }

    /// The sums of cells of a service that a store kept.
    pub(super) fn of_kept(service: &'a str, cells: &'a [PlacedCell]) -> Self {
        let mut sums = Self::default();
        for placed in cells {
            let place = Place {
                service: service.into(),
                deploy: placed.deploy.as_str().into(),
                cluster: placed.cluster.as_str().into(),
                host_group: placed.host_group,
            };
            sums.add_as_it_is(place, &placed.cell);
        }
        sums
    }

    /// Each of them, by where it belongs.
    pub(super) fn all(&self) -> impl ExactSizeIterator<Item = (&Place<'a>, &Cell)> {
        (self.0.iter()).map(|((place, _), cell)| (place, &**cell))
    }
}
