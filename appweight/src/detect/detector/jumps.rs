//! Jumps that all endpoints make together: incidents, which no deploy is charged with.

use super::Detector;
use crate::detect::incidents::came_back;
use crate::detect::learn::{Freed, JUMP_ROOM, Prepared, moves};

/// All endpoints jump together from so many standard errors on, and by so much, in logs: an endpoint that few ask
/// for would not show it alone.
const JUMP_AT: f64 = 5.0;
const LEAST_JUMP: f64 = 0.01;
/// An incident is known to end at some time: from so many standard errors on, if it is by about as much as it began.
const END_AT: f64 = 3.0;
/// A cluster goes along with the others if it shows at least this share of what all of them show; so do endpoints.
const GOES_ALONG: f64 = 0.5;
/// Standard errors by which clusters or endpoints fall short of that if they do.
const FALLS_SHORT_AT: f64 = 2.0;

/// How far cells are from where they should be, by endpoint: sums of that × precision, and of precision.
#[derive(Debug, Clone, Default)]
pub(super) struct Shown {
    by_endpoint: Vec<(f64, f64)>,
}

impl Shown {
    pub(super) fn add(&mut self, endpoint: usize, (sum, precision): (f64, f64)) {
        if self.by_endpoint.len() <= endpoint {
            self.by_endpoint.resize(endpoint + 1, (0.0, 0.0));
        }
        let of = &mut self.by_endpoint[endpoint];
        *of = (of.0 + sum, of.1 + precision);
    }

    pub(super) fn absorb(&mut self, other: &Self) {
        for (endpoint, &of) in other.by_endpoint.iter().enumerate() {
            self.add(endpoint, of);
        }
    }

    fn precision(&self) -> f64 {
        self.by_endpoint.iter().map(|of| of.1).sum()
    }

    fn jump(&self) -> f64 {
        self.by_endpoint.iter().map(|of| of.0).sum::<f64>() / self.precision()
    }

    /// Whether the others go along if the endpoint that tells the most of the jump is left out: one that many ask for
    /// can pass for all. Where there are no others, or they know too little to tell, they do.
    fn is_of_all(&self) -> bool {
        let jump = self.jump();
        let towards = |sum: f64| sum * jump.signum();
        let parts = self.by_endpoint.iter();
        let Some(most) = parts.max_by(|a, b| towards(a.0).total_cmp(&towards(b.0))) else {
            return true;
        };
        let precision = self.precision() - most.1;
        let others = towards(jump * self.precision() - most.0) / precision;
        let reach = FALLS_SHORT_AT / precision.sqrt();
        precision <= 0.0 || others + reach >= GOES_ALONG * jump.abs()
    }
}

/// Clusters in which all endpoints jump, and by how much. All clusters are looked at together first, since one alone may show too
/// little; those that do not show it themselves are left. A cluster that has nothing to show goes with the others. `open` is the
/// jump of an incident that has not ended.
fn jumps(clusters: &[Shown], open: Option<f64>) -> Vec<(usize, f64)> {
    let is_jump = |shown: &Shown| {
        let jump = shown.jump();
        let is_end = open.is_some_and(|open| came_back(open, jump));
        let at = if is_end { END_AT } else { JUMP_AT };
        jump.abs() > (at / shown.precision().sqrt()).max(LEAST_JUMP) && shown.is_of_all()
    };
    let mut all = Shown::default();
    for shown in clusters {
        all.absorb(shown);
    }
    let together = is_jump(&all).then(|| all.jump());
    let mut jumps: Vec<(usize, f64)> = Vec::new();
    for (cluster, shown) in clusters.iter().enumerate() {
        let reach = FALLS_SHORT_AT / shown.precision().sqrt();
        let goes_along = together
            .is_some_and(|all| shown.jump() * all.signum() + reach >= GOES_ALONG * all.abs());
        if shown.precision() > 0.0 && (goes_along || is_jump(shown)) {
            jumps.push((cluster, shown.jump()));
        }
    }
    if let Some(&(_, any)) = jumps.first() {
        let silent = (0..clusters.len()).filter(|cluster| clusters[*cluster].precision() <= 0.0);
        jumps.extend(silent.map(|cluster| (cluster, together.unwrap_or(any))));
    }
    jumps
}

impl Detector {
    /// Lets the level of every endpoint go in clusters where all jump together (see [`jumps`]). Returns those clusters, with the jump.
    ///
    /// `unexpected` has how far settled hosts are from what is expected of them. The other measure is how far all hosts moved
    /// since the minute before, which shows a jump within a roll-out too; in each cluster the one counts that knows more.
    pub(super) fn free_where_all_jump(
        &mut self,
        mut unexpected: Vec<Shown>,
        prepared: &[Vec<Prepared>],
        minute: i64,
    ) -> Vec<Freed> {
        let mut moved = vec![Shown::default(); unexpected.len()];
        for (at, (endpoint, prepared)) in self.endpoints.iter().zip(prepared).enumerate() {
            for (cluster, by) in moves(endpoint, prepared, minute).into_iter().enumerate() {
                if let Some((by, variance)) = by {
                    moved[cluster].add(at, (by / variance, 1.0 / variance));
                }
            }
        }
        for (unexpected, moved) in unexpected.iter_mut().zip(moved) {
            if moved.precision() > unexpected.precision() {
                *unexpected = moved;
            }
        }
        let jumps = jumps(&unexpected, self.incidents.open_at(minute));
        if jumps.is_empty() {
            return Vec::new();
        }
        let count = unexpected.len() as f64;
        let mean = jumps.iter().map(|(_, jump)| jump).sum::<f64>() / jumps.len() as f64;
        let began = self.incidents.note(minute, mean);
        for endpoint in self.endpoints.iter_mut().chain([&mut self.total]) {
            for &(_, jump) in &jumps {
                endpoint.note_jump(jump / count, true, began);
            }
        }
        self.free(&jumps, JUMP_ROOM);
        let freed = |(cluster, jump)| Freed {
            cluster,
            jump: Some(jump),
        };
        jumps.into_iter().map(freed).collect()
    }

    /// Where all hosts were cold at once while an incident lasted, it may have ended unseen: before and after are
    /// not compared.
    pub(super) fn free_after_a_gap(
        &mut self,
        prepared: &[Vec<Prepared>],
        minute: i64,
        mut freed: Vec<Freed>,
    ) -> Vec<Freed> {
        if prepared.iter().all(Vec::is_empty) {
            return freed;
        }
        let last = self.incidents.last_seen.replace(minute);
        let is_gap = last.is_some_and(|last| last + 1 < minute);
        if let Some(jump) = self.incidents.open_at(minute).filter(|_| is_gap) {
            let clusters = 0..self.cluster_names.numbers.len();
            let others = clusters.filter(|cluster| freed.iter().all(|of| of.cluster != *cluster));
            let others: Vec<(usize, f64)> = others.map(|cluster| (cluster, jump)).collect();
            // It ended or it did not: no more than the jump itself.
            self.free(&others, 1.0);
            let unseen = |(cluster, _)| Freed {
                cluster,
                jump: None,
            };
            freed.extend(others.into_iter().map(unseen));
        }
        freed
    }

    fn free(&mut self, clusters: &[(usize, f64)], room: f64) {
        if !clusters.is_empty() {
            for endpoint in self.endpoints.iter_mut().chain([&mut self.total]) {
                for &(cluster, jump) in clusters {
                    endpoint.filter.loosen_cluster(cluster, room * jump * jump);
                }
                endpoint.learner.interrupt();
                endpoint.recent.interrupt();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(endpoints: &[(f64, f64)]) -> Shown {
        let mut shown = Shown::default();
        for (endpoint, (jump, error)) in endpoints.iter().enumerate() {
            let precision = 1.0 / (error * error);
            shown.add(endpoint, (jump * precision, precision));
        }
        shown
    }

    #[test]
    fn what_one_endpoint_does_is_no_jump_of_all() {
        let of = |jumps: [f64; 4]| {
            let errors = [0.002, 0.003, 0.005, 0.01];
            let endpoints: Vec<(f64, f64)> = jumps.into_iter().zip(errors).collect();
            jumps_of(&shown(&endpoints))
        };
        assert_eq!(of([0.25, 0.001, -0.004, 0.01]), 0);
        assert_eq!(of([0.001, 0.001, -0.25, 0.01]), 0);
        assert_eq!(of([0.05, 0.049, 0.057, 0.03]), 1);
        assert_eq!(of([-0.05, -0.03, -0.04, -0.08]), 1);
        assert_eq!(jumps_of(&shown(&[(0.1, 0.01)])), 1, "it is all there is");
        let hardly_known = [(0.1, 0.002), (0.01, 0.03)];
        assert_eq!(jumps_of(&shown(&hardly_known)), 1);
    }

    fn jumps_of(shown: &Shown) -> usize {
        jumps(std::slice::from_ref(shown), None).len()
    }

    #[test]
    fn clusters_that_nearly_show_a_jump_show_it_together() {
        let of = |jump: f64, error: f64| shown(&[(jump, error)]);
        let all = [of(-0.2, 0.041), of(-0.14, 0.027), of(-0.16, 0.019)];
        let which = |clusters: &[Shown]| {
            let jumps = jumps(clusters, None).into_iter();
            jumps.map(|(cluster, _)| cluster).collect::<Vec<_>>()
        };
        assert_eq!(which(&all), [0, 1, 2]);
        assert_eq!(which(&all[..1]), [0; 0], "4.9 standard errors");
        let hardly_known = of(-0.026, 0.03);
        assert_eq!(
            which(&[all[1].clone(), all[2].clone(), hardly_known]),
            [0, 1, 2]
        );
        let silent = Shown::default();
        assert_eq!(which(&[of(0.2, 0.02), of(0.01, 0.02), silent]), [0, 2]);
        assert_eq!(which(&[of(0.009, 0.0001)]), [0; 0], "too small to matter");
        let end = [of(-0.05, 0.015)];
        assert_eq!(which(&end), [0; 0]);
        assert_eq!(jumps(&end, Some(0.06)).len(), 1);
        assert_eq!(jumps(&end, Some(-0.06)), []);
    }
}
