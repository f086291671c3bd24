//! Deploys that nothing is judged of, and why.

use super::{Detector, WATCH_MINUTES};
use crate::detect::ladder::Ladder;
use crate::detect::lines::VerdictLine;
use crate::detect::tell::verdict;

impl Detector {
    /// Says why nothing is said of deploys that replace another: of those whose watch would be over, or of all once the cells end.
    pub(super) fn explain_silence(
        &mut self,
        minute: i64,
        is_end: bool,
        told: &mut Vec<VerdictLine>,
    ) {
        let metric = self.metric.as_deref().unwrap_or("any metric");
        for deploy in &mut self.deploys {
            let line = &deploy.line;
            let Some(replaced) = &line.replaces else {
                continue;
            };
            let is_due = is_end || minute >= line.start.max(line.end) + WATCH_MINUTES;
            let is_watched = deploy.is_seen && deploy.parent.is_some();
            if !is_due || is_watched || deploy.is_silence_told {
                continue;
            }
            let mut ladder = Ladder::default();
            let why = if deploy.is_seen {
                format!("data: {replaced:?}, which it replaces, has no line of its service above")
            } else if line.start > minute {
                format!("data: the cells end in minute {minute}, before its roll-out begins")
            } else {
                format!("data: no cell of {metric} is of a request that it served")
            };
            ladder.check(false, &why);
            deploy.is_silence_told = true;
            told.push(VerdictLine {
                deploy: Some(line.deploy.clone()),
                checks: ladder.into_checks(),
                // A file that is cut before the roll-out need not announce it.
                ..verdict(None, false, false, 0.0, minute.max(line.start))
            });
        }
    }
}
