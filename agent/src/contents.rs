use std::iter::Sum;
use std::ops::AddAssign;

use appweight_wire::Batch;

/// What is sent, or lost, with a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Contents {
    /// Cells, requests and processes: what the collector counts.
    pub(crate) records: u64,
    /// The requests and tasks that its cells stand for: what is missing if it is lost.
    pub(crate) requests: u64,
}

impl Contents {
    pub(crate) fn of(batch: &Batch) -> Self {
        // Cells of flags hold the same requests once more.
        let cells = batch.cells.iter().filter(|cell| cell.key.flag.is_none());
        Self {
            records: batch.len() as u64,
            requests: cells.map(|cell| cell.weight).sum(),
        }
    }
}

impl AddAssign for Contents {
    fn add_assign(&mut self, more: Self) {
        self.records += more.records;
        self.requests += more.requests;
    }
}

impl Sum for Contents {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |mut sum, more| {
            sum += more;
            sum
        })
    }
}
