use appweight_wire::ProfileRecord;

use crate::support::TestCollector;

/// By a path such as `/feed/rank`: calls and own values, a value for each timer.
pub(crate) struct Told<'a>(pub(crate) &'a ProfileRecord);

impl Told<'_> {
    pub(crate) fn path(&self, node: usize) -> String {
        if node == 0 {
            return String::new();
        }
        let parent = self.path(self.0.parents[node] as usize);
        let name = &self.0.functions[self.0.node_functions[node] as usize].name;
        let name = name.rsplit("::").next().expect("at least one part");
        format!("{parent}/{name}")
    }

    pub(crate) fn paths(&self) -> Vec<String> {
        (0..self.0.parents.len())
            .map(|node| self.path(node))
            .collect()
    }

    pub(crate) fn node(&self, path: &str) -> usize {
        let paths = self.paths();
        let found = paths.iter().position(|known| known == path);
        found.unwrap_or_else(|| panic!("no {path} among {paths:?}"))
    }

    pub(crate) fn calls(&self, path: &str) -> u64 {
        self.0.calls[self.node(path)]
    }

    pub(crate) fn own(&self, timer: &str) -> &[i64] {
        let timer = self.0.timers.iter().find(|known| known.name == timer);
        &timer.expect("the timer").own
    }

    pub(crate) fn own_of(&self, timer: &str, path: &str) -> i64 {
        self.own(timer)[self.node(path)]
    }

    /// The node and all that is below it.
    pub(crate) fn total_of(&self, timer: &str, path: &str) -> i64 {
        let below = format!("{path}/");
        let paths = self.paths().into_iter().zip(self.own(timer));
        paths
            .filter(|(known, _)| known == path || known.starts_with(&below))
            .map(|(_, own)| own)
            .sum()
    }
}

pub(crate) fn profiles(collector: &TestCollector) -> Vec<ProfileRecord> {
    let batches = collector.batches();
    batches
        .into_iter()
        .flat_map(|batch| batch.profiles)
        .collect()
}

/// The only profile of that endpoint.
pub(crate) fn profile(collector: &TestCollector, endpoint: &str) -> ProfileRecord {
    let mut found = profiles(collector);
    found.retain(|profile| profile.endpoint == endpoint);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}
