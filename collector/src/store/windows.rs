use std::collections::BTreeMap;

use appweight::evidence::ProcessPoint;
#[cfg(feature = "clickhouse")]
use appweight_wire::ProcessRecord;
use appweight_wire::{ActiveUsers, EndpointCount};
use serde::Deserialize;

use super::{StoreError, TimeRange, code};

/// The counter.
const INSTRUCTIONS: &str = "instructions";

/// Process records added up by window. A day of a fleet's records is gigabytes, nearly all of it
/// sketches of users; its windows are a few megabytes and weigh the same.
#[derive(Debug)]
pub(super) struct Windows {
    window_us: u64,
    windows: BTreeMap<u64, ProcessPoint>,
}

/// What of a process record says how much its service weighs.
#[derive(Deserialize)]
struct Record<'a> {
    start_us: u64,
    width_us: u64,
    cpu_ns: u64,
    instructions: Option<u64>,
    #[serde(default)]
    endpoints: Vec<Counts>,
    active_users: Option<ActiveUsers>,
    #[serde(borrow, default)]
    counters: Vec<Counter<'a>>,
}

/// Of some endpoint: a weight does not tell them apart.
#[derive(Deserialize)]
struct Counts {
    requests: u64,
    errors: u64,
}

#[derive(Deserialize)]
struct Counter<'a> {
    name: &'a str,
    absent_because: Option<&'a str>,
}

/// What a record, or some of one window, add to what a service weighs, but for users.
#[cfg(feature = "clickhouse")]
#[derive(Debug)]
pub(super) struct Sum {
    pub(super) start_us: u64,
    pub(super) width_us: u64,
    pub(super) cpu_ns: u64,
    pub(super) instructions: Option<u64>,
    pub(super) absent_because: Option<String>,
    pub(super) requests: u64,
    pub(super) errors: u64,
}

#[cfg(feature = "clickhouse")]
impl Sum {
    pub(super) fn of(record: &ProcessRecord) -> Self {
        let endpoints = record.endpoints.iter();
        let (requests, errors) = endpoints.fold((0_u64, 0_u64), |(requests, errors), count| {
            (
                requests.saturating_add(count.requests),
                errors.saturating_add(count.errors),
            )
        });
        let mut counters = record.counters.iter();
        let counter = counters.find(|counter| counter.name == INSTRUCTIONS);
        Self {
            start_us: record.start_us,
            width_us: record.width_us,
            cpu_ns: record.cpu_ns,
            instructions: record.instructions,
            absent_because: counter.and_then(|counter| counter.absent_because.clone()),
            requests,
            errors,
        }
    }
}

/// The two halves of a time, which share no window: they are read side by side.
pub(super) fn halves(time: TimeRange, window_us: u64) -> [TimeRange; 2] {
    let middle_us = time.from_us + time.until_us.saturating_sub(time.from_us) / 2;
    let middle_us = (middle_us - middle_us % window_us).max(time.from_us);
    let first = TimeRange {
        until_us: middle_us,
        ..time
    };
    let second = TimeRange {
        from_us: middle_us,
        ..time
    };
    [first, second]
}

impl Windows {
    pub(super) fn new(window_us: u64) -> Self {
        Self {
            window_us,
            windows: BTreeMap::new(),
        }
    }

    /// Adds a record as stores write them.
    pub(super) fn add(&mut self, record: &[u8]) -> Result<(), StoreError> {
        let record: Record<'_> = code::unpack("process record", record)?;
        self.add_record(record);
        Ok(())
    }

    /// Adds what records weigh together: some of one window.
    #[cfg(feature = "clickhouse")]
    pub(super) fn add_sum(&mut self, sum: &Sum) {
        self.add_record(Record {
            start_us: sum.start_us,
            width_us: sum.width_us,
            cpu_ns: sum.cpu_ns,
            instructions: sum.instructions,
            endpoints: vec![Counts {
                requests: sum.requests,
                errors: sum.errors,
            }],
            active_users: None,
            counters: vec![Counter {
                name: INSTRUCTIONS,
                absent_because: sum.absent_because.as_deref(),
            }],
        });
    }

    fn add_record(&mut self, record: Record<'_>) {
        let window = record.start_us - record.start_us % self.window_us;
        match self.windows.get_mut(&window) {
            Some(sum) => unite(sum, &record),
            None => {
                self.windows.insert(window, point(record));
            }
        }
    }

    /// One point per window, from the start of its first record to the end of its last one.
    pub(super) fn into_points(self) -> Vec<ProcessPoint> {
        self.windows.into_values().collect()
    }
}

fn point(record: Record<'_>) -> ProcessPoint {
    ProcessPoint {
        source: String::new(),
        host: String::new(),
        deploy: String::new(),
        cluster: String::new(),
        start_us: record.start_us,
        width_us: record.width_us,
        age_us: 0,
        requests_total: 0,
        memory_bytes: None,
        cpu_ns: record.cpu_ns,
        instructions: record.instructions,
        instructions_absent_because: why_absent(&record).map(str::to_owned),
        endpoints: vec![requests_of(&record)],
        active_users: record.active_users,
    }
}

fn unite(sum: &mut ProcessPoint, record: &Record<'_>) {
    let end_us = (sum.start_us + sum.width_us).max(record.start_us + record.width_us);
    sum.start_us = sum.start_us.min(record.start_us);
    sum.width_us = end_us - sum.start_us;
    sum.cpu_ns = sum.cpu_ns.saturating_add(record.cpu_ns);
    // Where one process has no count, a sum of the others would be taken for all.
    sum.instructions = sum
        .instructions
        .zip(record.instructions)
        .map(|(a, b)| a.saturating_add(b));
    // One of the reasons, the same in whichever order the records come.
    if let Some(why) = why_absent(record)
        && (sum.instructions_absent_because.as_deref()).is_none_or(|known| why < known)
    {
        sum.instructions_absent_because = Some(why.to_owned());
    }
    if let Some(users) = &record.active_users {
        sum.active_users.get_or_insert_default().unite(users);
    }
    let more = requests_of(record);
    for all in &mut sum.endpoints {
        all.requests = all.requests.saturating_add(more.requests);
        all.errors = all.errors.saturating_add(more.errors);
    }
}

fn requests_of(record: &Record<'_>) -> EndpointCount {
    let mut all = EndpointCount::default();
    for count in &record.endpoints {
        all.requests = all.requests.saturating_add(count.requests);
        all.errors = all.errors.saturating_add(count.errors);
    }
    all
}

fn why_absent<'a>(record: &Record<'a>) -> Option<&'a str> {
    let mut counters = record.counters.iter();
    counters
        .find(|counter| counter.name == INSTRUCTIONS)?
        .absent_because
}

#[cfg(test)]
pub(super) mod tests {
    use appweight::weight::weigh;
    use appweight_wire::{CounterStatus, Origin, ProcessRecord};
    use proptest::prelude::*;

    use super::*;
    use crate::store::views;
    use crate::testing::{NOON, SECOND, process};

    pub(in crate::store) fn record() -> impl Strategy<Value = ProcessRecord> {
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
                ProcessRecord {
                    width_us: SECOND,
                    cpu_ns,
                    instructions,
                    counters: vec![CounterStatus {
                        name: "instructions".into(),
                        read_by: None,
                        absent_because: instructions.is_none().then(|| "no \"PMU\"".to_owned()),
                    }],
                    active_users: users,
                    endpoints: requests.into_iter().map(count).collect(),
                    ..process(NOON + second * SECOND, 1)
                }
            },
        )
    }

    proptest! {
        #[test]
        fn halves_share_no_window(from in 0_u64..50, length in 0_u64..50, window in 1_u64..9) {
            let time = TimeRange { from_us: from, until_us: from + length };
            let [first, second] = halves(time, window);
            prop_assert_eq!((first.from_us, second.until_us), (time.from_us, time.until_us));
            prop_assert_eq!(first.until_us, second.from_us);
            prop_assert!((time.from_us..=time.until_us).contains(&second.from_us));
            prop_assert!(second.from_us == time.from_us || second.from_us.is_multiple_of(window));
            let half = length / 2;
            prop_assert!(first.until_us - first.from_us <= half, "{:?}", first);
            prop_assert!(second.until_us - second.from_us <= length - half + window, "{:?}", second);
        }

        #[test]
        fn weighs_what_the_records_weigh(records in prop::collection::vec(record(), 0..30), window in 1_u64..9) {
            let mut windows = Windows::new(window * SECOND);
            for record in &records {
                windows.add(&code::pack(record)).unwrap();
            }
            let points: Vec<ProcessPoint> = records
                .into_iter()
                .map(|record| views::process_point("1".into(), Origin::default(), record))
                .collect();
            let folded = weigh(&windows.into_points(), window * SECOND);
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
