//! Jumps that all endpoints make together: incidents, which no deploy is charged with.

use super::Detector;
use crate::detect::endpoint::ABOUT_THE_SAME;
use crate::detect::learn::{JUMP_ROOM, Prepared, moves};

/// All endpoints jump together from so many standard errors on, and by so much, in logs: an endpoint that few ask
/// for would not show it alone.
const JUMP_AT: f64 = 5.0;
const LEAST_JUMP: f64 = 0.01;
/// An incident is known to end at some time: from so many standard errors on, if it is by about as much as it began.
const END_AT: f64 = 3.0;
/// A cluster goes along with the others if it shows at least this share of what all of them show.
const GOES_ALONG: f64 = 0.5;
/// Minutes after which a jump that did not come back is taken to have come to stay.
const OPEN_MINUTES: i64 = 120;

/// What is known of incidents.
#[derive(Debug, Clone, Default)]
pub(super) struct Incidents {
    /// A jump that has not come back: its minute, and by how much, in logs.
    open: Option<(i64, f64)>,
    /// The last minute in which all jumped.
    last_jump: Option<i64>,
    /// The last minute that had cells fit to be learned from.
    last_seen: Option<i64>,
}

/// Whether a jump takes another one back.
fn came_back(open: f64, jump: f64) -> bool {
    ABOUT_THE_SAME.contains(&(-jump / open))
}

impl Incidents {
    fn note(&mut self, minute: i64, jump: f64) {
        self.last_jump = Some(minute);
        self.open = match self.open {
            // The clusters that show it a minute later belong to it.
            Some((since, open)) if since + 1 == minute && open * jump > 0.0 => Some((since, open)),
            Some((_, open)) if came_back(open, jump) => None,
            _ => Some((minute, jump)),
        };
    }

    /// Whether one began or ended in that minute or later.
    pub(super) fn is_since(&self, minute: i64) -> bool {
        self.last_jump.is_some_and(|last| last >= minute)
    }

    fn open_at(&self, minute: i64) -> Option<f64> {
        let (since, jump) = self.open?;
        (minute - since <= OPEN_MINUTES).then_some(jump)
    }
}

/// Clusters that jump, and by how much: from the sum of how far each one's cells are from what is expected × precision, and
/// of precision. All clusters are looked at together first, since one alone may show too little; those that do not show it
/// themselves are left. A cluster that has nothing to show goes with the others. `open` is the jump of an incident that has not
/// ended.
fn jumps(clusters: &[(f64, f64)], open: Option<f64>) -> Vec<(usize, f64)> {
    let is_jump = |(sum, precision): (f64, f64)| {
        let jump: f64 = sum / precision;
        let is_end = open.is_some_and(|open| came_back(open, jump));
        let at = if is_end { END_AT } else { JUMP_AT };
        jump.abs() > (at / precision.sqrt()).max(LEAST_JUMP)
    };
    let (sum, precision) = clusters
        .iter()
        .fold((0.0, 0.0), |all, of| (all.0 + of.0, all.1 + of.1));
    let together = is_jump((sum, precision)).then_some(sum / precision);
    let mut jumps: Vec<(usize, f64)> = Vec::new();
    for (cluster, &(sum, precision)) in clusters.iter().enumerate() {
        let own = sum / precision;
        let goes_along = together.is_some_and(|all| own / all >= GOES_ALONG);
        if precision > 0.0 && (goes_along || is_jump((sum, precision))) {
            jumps.push((cluster, own));
        }
    }
    if let Some(&(_, any)) = jumps.first() {
        let silent = (0..clusters.len()).filter(|cluster| clusters[*cluster].1 <= 0.0);
        jumps.extend(silent.map(|cluster| (cluster, together.unwrap_or(any))));
    }
    jumps
}

impl Detector {
    /// Lets the level of every endpoint go in clusters where all jump together (see [`jumps`]). Returns those clusters.
    ///
    /// `unexpected` has how far settled hosts are from what is expected of them. The other measure is how far all hosts moved
    /// since the minute before, which shows a jump within a roll-out too; in each cluster the one counts that knows more.
    pub(super) fn free_where_all_jump(
        &mut self,
        mut unexpected: Vec<(f64, f64)>,
        prepared: &[Vec<Prepared>],
        minute: i64,
    ) -> Vec<usize> {
        let mut moved: Vec<(f64, f64)> = vec![(0.0, 0.0); unexpected.len()];
        for (endpoint, prepared) in self.endpoints.iter().zip(prepared) {
            for (cluster, by) in moves(endpoint, prepared, minute).into_iter().enumerate() {
                if let Some((by, variance)) = by {
                    moved[cluster].0 += by / variance;
                    moved[cluster].1 += 1.0 / variance;
                }
            }
        }
        for (unexpected, moved) in unexpected.iter_mut().zip(moved) {
            if moved.1 > unexpected.1 {
                *unexpected = moved;
            }
        }
        let jumps = jumps(&unexpected, self.incidents.open_at(minute));
        if jumps.is_empty() {
            return Vec::new();
        }
        let count = unexpected.len() as f64;
        for endpoint in self.endpoints.iter_mut().chain(&mut self.totals) {
            for &(_, jump) in &jumps {
                endpoint.note_jump(jump / count, true);
            }
        }
        let mean = jumps.iter().map(|(_, jump)| jump).sum::<f64>() / jumps.len() as f64;
        self.incidents.note(minute, mean);
        self.free(&jumps, JUMP_ROOM)
    }

    /// Where all hosts were cold at once while an incident lasted, it may have ended unseen: before and after are
    /// not compared.
    pub(super) fn free_after_a_gap(
        &mut self,
        prepared: &[Vec<Prepared>],
        minute: i64,
        mut freed: Vec<usize>,
    ) -> Vec<usize> {
        if prepared.iter().all(Vec::is_empty) {
            return freed;
        }
        let last = self.incidents.last_seen.replace(minute);
        let is_gap = last.is_some_and(|last| last + 1 < minute);
        if let Some(jump) = self.incidents.open_at(minute).filter(|_| is_gap) {
            let clusters = 0..self.cluster_names.numbers.len();
            let others = clusters.filter(|cluster| !freed.contains(cluster));
            let others: Vec<(usize, f64)> = others.map(|cluster| (cluster, jump)).collect();
            // It ended or it did not: no more than the jump itself.
            freed.extend(self.free(&others, 1.0));
        }
        freed
    }

    fn free(&mut self, clusters: &[(usize, f64)], room: f64) -> Vec<usize> {
        if !clusters.is_empty() {
            for endpoint in self.endpoints.iter_mut().chain(&mut self.totals) {
                for &(cluster, jump) in clusters {
                    endpoint.filter.loosen_cluster(cluster, room * jump * jump);
                }
                endpoint.learner.interrupt();
            }
        }
        clusters.iter().map(|(cluster, _)| *cluster).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_that_nearly_show_a_jump_show_it_together() {
        let of = |jump: f64, error: f64| (jump / (error * error), 1.0 / (error * error));
        let all = [of(-0.2, 0.041), of(-0.14, 0.027), of(-0.16, 0.019)];
        let which = |clusters: &[(f64, f64)]| {
            let jumps = jumps(clusters, None).into_iter();
            jumps.map(|(cluster, _)| cluster).collect::<Vec<_>>()
        };
        assert_eq!(which(&all), [0, 1, 2]);
        assert_eq!(which(&all[..1]), [0; 0], "4.9 standard errors");
        assert_eq!(which(&[of(0.2, 0.02), of(0.01, 0.02), (0.0, 0.0)]), [0, 2]);
        assert_eq!(which(&[of(0.009, 0.0001)]), [0; 0], "too small to matter");
        let end = [of(-0.05, 0.015)];
        assert_eq!(which(&end), [0; 0]);
        assert_eq!(jumps(&end, Some(0.06)).len(), 1);
        assert_eq!(jumps(&end, Some(-0.06)), []);
    }

    #[test]
    fn an_incident_is_open_until_its_jump_comes_back() {
        let mut incidents = Incidents::default();
        incidents.note(10, 0.1);
        incidents.note(11, 0.12);
        assert_eq!(incidents.open_at(30), Some(0.1));
        incidents.note(31, -0.08);
        assert_eq!(incidents.open_at(32), None);
        incidents.note(40, 0.1);
        assert_eq!(incidents.open_at(40 + OPEN_MINUTES + 1), None);
    }
}
