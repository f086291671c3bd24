//! The checks that hold for all endpoints of a deploy.

use std::collections::BTreeSet;

use super::{Column, Detector, MIN_NEW_HOSTS};
use crate::detect::endpoint::Cell;
use crate::detect::filter::MAX_COLUMNS;
use crate::detect::ladder::Ladder;
use crate::detect::lines::VerdictLine;

impl Detector {
    /// Counts for each deploy under watch the minutes in which its code and other code served in one cluster.
    pub(super) fn note_control(&mut self, cells: &[Cell]) {
        let served: BTreeSet<(usize, usize)> = cells
            .iter()
            .map(|cell| (cell.cluster, cell.deploy))
            .collect();
        for at in 0..self.columns.len() {
            let Column::Deploy(deploy) = self.columns[at] else {
                continue;
            };
            let (mut with, mut without) = (BTreeSet::new(), BTreeSet::new());
            for (cluster, of) in &served {
                let side = if self.descends(*of, deploy) {
                    &mut with
                } else {
                    &mut without
                };
                side.insert(*cluster);
            }
            let is_beside = !with.is_disjoint(&without);
            self.deploys[deploy].minutes_beside += i64::from(is_beside);
        }
    }

    /// Puts what holds for the whole deploy before what each line rests on by itself.
    pub(super) fn explain(&self, told: &mut [VerdictLine]) {
        for line in told {
            let deploy = line.deploy.as_ref();
            let Some(deploy) = deploy.and_then(|name| self.deploy_numbers.get(name)) else {
                continue;
            };
            let of = &self.deploys[*deploy];
            if !of.is_left_out && !of.is_silence_told {
                line.checks.splice(0..0, self.checks_of(*deploy));
            }
        }
    }

    fn checks_of(&self, number: usize) -> Vec<String> {
        let deploy = &self.deploys[number];
        let mut ladder = Ladder::default();
        ladder.note(&match deploy.minutes_beside {
            0 => "control: old and new never served at once in a cluster: before against after, the day's level and slope taken off".to_owned(),
            minutes => format!(
                "control: old and new served at once in a cluster in {minutes} minutes, which are compared one by one"
            ),
        });
        let warm = deploy.new_hosts.iter().filter(|new| **new).count();
        let needed = MIN_NEW_HOSTS.min(self.host_numbers.len());
        ladder.check(
            warm >= needed,
            &format!("hosts: {warm} have warmed up with it, {needed} are needed"),
        );
        ladder.note(&self.warm_up.in_words());
        if let Some(place) = deploy.place {
            ladder.note(&format!(
                "false discoveries: at {:.0} % a day all its endpoints together may be called with a chance of {:.3} % (LORD++)",
                100.0 * self.settings.false_discovery_rate,
                100.0 * place.level
            ));
        }
        ladder.into_checks()
    }

    /// What is said of a deploy that nobody can watch.
    pub(super) fn leave_out(&mut self, deploy: usize, minute: i64) -> VerdictLine {
        self.deploys[deploy].is_left_out = true;
        let mut ladder = Ladder::default();
        ladder.check(
            false,
            &format!(
                "watch: {MAX_COLUMNS} other changes were under watch when it began, as many as are told apart"
            ),
        );
        VerdictLine {
            deploy: Some(self.deploys[deploy].line.deploy.clone()),
            checks: ladder.into_checks(),
            ..crate::detect::tell::verdict(None, false, false, 0.0, minute)
        }
    }
}
