//! What a change costs the service.

use super::Detector;
use crate::api::AddedCost;
use crate::detect::endpoint::Cell;
use crate::detect::lines::{Ruling, VerdictLine};

/// The metric whose sums are time on a core, and as much of it as a core has in a minute.
const CPU_METRIC: &str = "cpu_ns";
pub(crate) const CORE_NS_BY_MINUTE: f64 = 60e9;

impl Detector {
    pub(super) fn note_spent(&mut self, cells: &[Cell], minute: i64) {
        for cell in cells {
            let endpoint = &mut self.endpoints[cell.endpoint];
            for of in [endpoint, &mut self.total] {
                of.spend.add(minute, cell.deploy, cell.spent);
            }
        }
    }

    /// Says of each change that was called what it costs.
    pub(super) fn price(&self, told: &mut [VerdictLine]) {
        for line in told {
            line.cost = self.cost_of(line);
        }
    }

    fn cost_of(&self, line: &VerdictLine) -> Option<AddedCost> {
        let is_called = matches!(line.verdict, Ruling::Regressed | Ruling::Improved);
        let effect = line.effect.filter(|_| is_called)?;
        let deploy = *self.deploy_numbers.get(line.deploy.as_ref()?)?;
        let endpoint = match &line.endpoint {
            None => &self.total,
            Some(name) => &self.endpoints[*self.endpoint_numbers.get(name)?],
        };
        let with = |of: usize| self.descends(of, deploy);
        let first = self.first_minute?;
        let added = endpoint.spend.added(effect, line.at_minute, first, with);
        self.added(added, line.at_minute)
    }

    fn added(&self, added: f64, minute: i64) -> Option<AddedCost> {
        let of_service = self.total.spend.by_minute(minute, self.first_minute?);
        let share = added / of_service;
        let is_cpu = self.metric.as_deref() == Some(CPU_METRIC);
        let cores = |by_minute: f64| is_cpu.then(|| by_minute / CORE_NS_BY_MINUTE);
        share.is_finite().then(|| AddedCost {
            share,
            cores: cores(added),
            of_cores: cores(of_service),
        })
    }
}
