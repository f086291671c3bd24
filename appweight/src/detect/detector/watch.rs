//! Which deploys a detector looks at.

use super::{Column, Detector};

/// How a deploy stands with the detector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchOf {
    /// Whether it is looked at every minute.
    pub is_open: bool,
    /// Whether something could be said of it, since enough hosts have warmed up with it.
    pub is_judged: bool,
    /// Whether nobody looks at it, since as many others as are told apart were under watch when it began.
    pub is_left_out: bool,
}

impl Detector {
    /// How that deploy stands; `None` if it has no line.
    #[must_use]
    pub fn watch_of(&self, deploy: &str) -> Option<WatchOf> {
        let number = *self.deploy_numbers.get(deploy)?;
        Some(WatchOf {
            is_open: self.columns.contains(&Column::Deploy(number)),
            is_judged: self.deploys[number].place.is_some(),
            is_left_out: self.deploys[number].is_left_out,
        })
    }
}
