use std::collections::BTreeMap;

use appweight::evidence::ProcessPoint;
use appweight_wire::EndpointCount;

/// Process records added up by window. A day of a fleet's records is gigabytes, nearly all of it
/// sketches of users; its windows are a few megabytes and weigh the same.
#[derive(Debug)]
pub(super) struct Fold {
    window_us: u64,
    windows: BTreeMap<u64, ProcessPoint>,
}

impl Fold {
    pub(super) fn new(window_us: u64) -> Self {
        Self {
            window_us,
            windows: BTreeMap::new(),
        }
    }

    pub(super) fn add(&mut self, point: ProcessPoint) {
        let window = point.start_us - point.start_us % self.window_us;
        match self.windows.get_mut(&window) {
            Some(sum) => unite(sum, &point),
            None => {
                let mut sum = point;
                sum.endpoints = vec![requests_of(&sum)];
                self.windows.insert(window, sum);
            }
        }
    }

    /// One point per window, from the start of its first record to the end of its last one.
    pub(super) fn into_points(self) -> Vec<ProcessPoint> {
        self.windows.into_values().collect()
    }
}

fn unite(sum: &mut ProcessPoint, point: &ProcessPoint) {
    let end_us = (sum.start_us + sum.width_us).max(point.start_us + point.width_us);
    sum.start_us = sum.start_us.min(point.start_us);
    sum.width_us = end_us - sum.start_us;
    sum.cpu_ns = sum.cpu_ns.saturating_add(point.cpu_ns);
    // Where one process has no count, a sum of the others would be taken for all.
    sum.instructions = sum
        .instructions
        .zip(point.instructions)
        .map(|(a, b)| a.saturating_add(b));
    if sum.instructions_absent_because.is_none() {
        sum.instructions_absent_because
            .clone_from(&point.instructions_absent_because);
    }
    if let Some(users) = &point.active_users {
        sum.active_users.get_or_insert_default().unite(users);
    }
    let more = requests_of(point);
    for all in &mut sum.endpoints {
        all.requests = all.requests.saturating_add(more.requests);
        all.errors = all.errors.saturating_add(more.errors);
    }
}

/// All endpoints as one: a weight does not tell them apart.
fn requests_of(point: &ProcessPoint) -> EndpointCount {
    let mut all = EndpointCount::default();
    for count in &point.endpoints {
        all.requests = all.requests.saturating_add(count.requests);
        all.errors = all.errors.saturating_add(count.errors);
    }
    all
}

#[cfg(test)]
mod tests {
    use appweight::weight::weigh;
    use appweight_wire::ActiveUsers;
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{NOON, SECOND};

    fn point() -> impl Strategy<Value = ProcessPoint> {
        let counts = (
            0_u64..40,
            0_u64..1_000_000_000,
            prop::option::weighted(0.99, 0_u64..1_000_000),
        );
        let users = prop::option::of(prop::collection::vec(any::<u64>(), 0..50));
        (counts, users, prop::collection::vec(0_u64..9, 0..3)).prop_map(
            |((second, cpu_ns, instructions), users, requests)| {
                let users = users.map(|hashes| {
                    let mut users = ActiveUsers::new();
                    hashes.into_iter().for_each(|hash| users.insert_hash(hash));
                    users
                });
                let count = |requests| EndpointCount {
                    endpoint: "/feed".into(),
                    requests,
                    errors: 0,
                };
                ProcessPoint {
                    source: "1".into(),
                    deploy: "a".into(),
                    start_us: NOON + second * SECOND,
                    width_us: SECOND,
                    age_us: SECOND,
                    requests_total: 0,
                    memory_bytes: None,
                    cpu_ns,
                    instructions,
                    instructions_absent_because: instructions
                        .is_none()
                        .then(|| "no PMU".to_owned()),
                    active_users: users,
                    endpoints: requests.into_iter().map(count).collect(),
                }
            },
        )
    }

    proptest! {
        #[test]
        fn weighs_what_the_records_weigh(points in prop::collection::vec(point(), 0..30), window in 1_u64..9) {
            let mut fold = Fold::new(window * SECOND);
            points.iter().cloned().for_each(|point| fold.add(point));
            let folded = weigh(&fold.into_points(), window * SECOND);
            let plain = weigh(&points, window * SECOND);
            prop_assert_eq!(folded.metric, plain.metric);
            prop_assert_eq!(folded.instructions_absent_because, plain.instructions_absent_because);
            prop_assert_eq!(folded.points.len(), plain.points.len());
            for (folded, plain) in folded.points.iter().zip(&plain.points) {
                prop_assert_eq!((folded.start_us, folded.width_us), (plain.start_us, plain.width_us));
                prop_assert_eq!((folded.requests, folded.total), (plain.requests, plain.total));
                prop_assert_eq!(folded.active_users.is_some(), plain.active_users.is_some());
                let difference = folded.active_users.unwrap_or(0.0) - plain.active_users.unwrap_or(0.0);
                prop_assert!(difference.abs() < 1e-6);
            }
        }
    }
}
