//! AppWeight: what an app costs per active user.
//!
//! Per user and not per request, because requests come and go: a release that adds a light request
//! to every screen lowers the cost per request and raises the bill. The peak counts, because
//! machines are bought for it (the choice of Instagram's AppWeight, 2016).

use std::collections::BTreeMap;

use appweight_wire::ActiveUsers;

use crate::api::{Metric, WeightPoint};
use crate::evidence::ProcessPoint;

/// What a service weighed, window by window.
#[derive(Debug, Clone, PartialEq)]
pub struct Weighed {
    /// In what it is weighed.
    pub metric: Metric,
    /// Why instructions are absent, if they are.
    pub instructions_absent_because: Option<String>,
    /// Window by window, by rising start; windows without a process record, and those at either
    /// end that the records cover only in part, are left out.
    pub points: Vec<WeightPoint>,
    /// The window with the most active users.
    pub peak: Option<WeightPoint>,
}

/// Weighs a service by its process records in windows of `window_us` (a record's span or more),
/// which begin at multiples of it. In instructions if every record has them, else in CPU time.
#[must_use]
pub fn weigh(processes: &[ProcessPoint], window_us: u64) -> Weighed {
    let window_us = window_us.max(1);
    let counted =
        !processes.is_empty() && processes.iter().all(|point| point.instructions.is_some());
    let metric = if counted {
        Metric::Instructions
    } else {
        Metric::Cpu
    };
    let first = processes
        .iter()
        .map(|point| point.start_us)
        .min()
        .unwrap_or(0);
    let last = processes
        .iter()
        .map(|point| point.start_us.saturating_add(point.width_us))
        .max()
        .unwrap_or(0);

    let mut windows: BTreeMap<u64, Window> = BTreeMap::new();
    for point in processes {
        let start = point.start_us - point.start_us % window_us;
        windows.entry(start).or_default().add(point, metric);
    }
    let points: Vec<WeightPoint> = windows
        .into_iter()
        .filter(|(start, _)| *start >= first && start.saturating_add(window_us) <= last)
        .map(|(start_us, window)| window.point(start_us, window_us))
        .collect();
    let peak = points
        .iter()
        .filter(|point| point.active_users.is_some())
        .max_by(|a, b| {
            a.active_users
                .unwrap_or(0.0)
                .total_cmp(&b.active_users.unwrap_or(0.0))
        })
        .copied();
    Weighed {
        metric,
        instructions_absent_because: processes
            .iter()
            .find_map(|point| point.instructions_absent_because.clone())
            .filter(|_| !counted),
        points,
        peak,
    }
}

#[derive(Default)]
struct Window {
    requests: u64,
    total: f64,
    users: Option<ActiveUsers>,
}

impl Window {
    fn add(&mut self, point: &ProcessPoint, metric: Metric) {
        self.requests = (point.endpoints.iter()).fold(self.requests, |all, count| {
            all.saturating_add(count.requests)
        });
        self.total += match metric {
            Metric::Instructions => point.instructions.unwrap_or(0) as f64,
            Metric::Cpu => point.cpu_ns as f64,
        };
        if let Some(users) = &point.active_users {
            self.users.get_or_insert_default().unite(users);
        }
    }

    fn point(self, start_us: u64, width_us: u64) -> WeightPoint {
        let active_users = self.users.map(|users| users.estimate());
        WeightPoint {
            start_us,
            width_us,
            active_users,
            requests: self.requests,
            total: self.total,
            weight: active_users
                .filter(|users| *users > 0.0)
                .map(|users| self.total / users),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(
        source: &str,
        start_us: u64,
        cpu_ns: u64,
        users: std::ops::Range<u64>,
    ) -> ProcessPoint {
        let mut sketch = ActiveUsers::new();
        for user in users {
            sketch.insert_hash(user);
        }
        ProcessPoint {
            source: source.into(),
            host: String::new(),
            deploy: "a".into(),
            cluster: String::new(),
            start_us,
            width_us: 10,
            age_us: 0,
            requests_total: 0,
            memory_bytes: None,
            cpu_ns,
            instructions: None,
            instructions_absent_because: Some("no PMU".into()),
            active_users: Some(sketch),
            endpoints: Vec::new(),
        }
    }

    #[test]
    fn users_of_several_processes_unite_and_half_windows_are_left_out() {
        let points = [
            point("a", 10, 7, 0..3),
            point("a", 20, 100, 0..10),
            point("b", 20, 100, 5..15),
            point("a", 30, 100, 0..10),
            point("a", 40, 7, 0..50),
        ];
        let weighed = weigh(&points, 20);
        assert_eq!(weighed.metric, Metric::Cpu);
        assert_eq!(
            weighed.instructions_absent_because.as_deref(),
            Some("no PMU")
        );
        assert_eq!(
            weighed.points.len(),
            1,
            "the first window has only its half, the last is not over"
        );
        let only = weighed.points[0];
        assert_eq!((only.start_us, only.total), (20, 300.0));
        assert_eq!(only.active_users.unwrap().round(), 15.0);
        assert_eq!(only.weight.unwrap().round(), 20.0);
        assert_eq!(weighed.peak, Some(only));
    }

    #[test]
    fn no_records_no_weight() {
        let weighed = weigh(&[], 60_000_000);
        assert_eq!((weighed.points.len(), weighed.peak), (0, None));
    }
}
