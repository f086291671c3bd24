//! Where measurements lie: each thread keeps some that have ended for those that begin, so that none is allocated in a
//! steady flow of requests.

use crate::measurement::Measurement;

/// How many a thread keeps, some hundred bytes each.
const KEPT: usize = 64;

/// A thread's.
#[derive(Debug, Default)]
pub(crate) struct Stock {
    #[expect(
        clippy::vec_box,
        reason = "a measurement stays where it is while it runs"
    )]
    kept: Vec<Box<Measurement>>,
}

impl Stock {
    /// One that has ended, if the thread keeps any.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<Box<Measurement>> {
        self.kept.pop()
    }

    /// Keeps one that has ended, if there is room.
    #[inline]
    pub(crate) fn give_back(&mut self, measurement: Box<Measurement>) {
        if self.kept.len() < KEPT {
            self.kept.push(measurement);
        }
    }
}
