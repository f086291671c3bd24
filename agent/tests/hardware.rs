//! Requests are charged for the instructions that they execute: hardware counters, from the tower
//! layer to the records that a collector gets.
//!
//! Ignored, as most machines that run tests count no instructions; `tests/pmu-vm/test` runs them in
//! a virtual machine that does. `APPWEIGHT_TEST_READ_BY` says how they are to be read there.
#![cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]

#[path = "../src/counters/known_work.rs"]
#[cfg(test)]
mod known_work;
#[cfg(test)]
mod support;

use std::os::unix::process::parent_id;

use appweight_agent::{Agent, Timer, profiled};
use appweight_wire::{InstructionSource, ProfileRecord, RequestRecord};
use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use tower::ServiceExt;

use known_work::work;
use support::{SOON, TestCollector, get_request};

/// Works in so many polls.
async fn in_polls(Path((polls, turns)): Path<(u64, u64)>) {
    for _ in 0..polls {
        work(turns);
        tokio::task::yield_now().await;
    }
}

/// Makes the kernel work.
async fn calls(Path(calls): Path<u64>) {
    for _ in 0..calls {
        std::hint::black_box(parent_id());
    }
}

struct Service {
    collector: TestCollector,
    agent: Agent,
    app: Router,
}

impl Service {
    /// Fails if instructions are not counted as they are to be in this test.
    fn start(source: InstructionSource) -> Self {
        let collector = TestCollector::start();
        let agent = collector.agent().start();
        let status = agent.status();
        let mut counters = status.counters.iter();
        let counter = counters.find(|counter| counter.name == "instructions");
        let counter = counter.expect("a line on instructions");
        let how = counter.read_by.as_deref().unwrap_or_else(|| {
            let why = counter.absent_because.as_deref();
            panic!(
                "instructions cannot be counted here: {}",
                why.unwrap_or_default()
            )
        });
        let what = match source {
            InstructionSource::HardwareAll => "user and kernel",
            _ => "user only",
        };
        assert!(how.ends_with(what), "{how}, not {what}");
        if let Ok(expected) = std::env::var("APPWEIGHT_TEST_READ_BY") {
            assert!(how.starts_with(&expected), "{how}, not {expected}");
        }
        let app = Router::new()
            .route("/first/{polls}/{turns}", get(in_polls))
            .route("/second/{polls}/{turns}", get(in_polls))
            .route("/third/{polls}/{turns}", get(in_polls))
            .route("/calls/{calls}", get(calls))
            .layer(agent.layer());
        Self {
            collector,
            agent,
            app,
        }
    }

    async fn get(&self, path: &str) {
        let Ok(response) = self.app.clone().oneshot(get_request(path)).await;
        assert_eq!(response.status(), 200);
    }

    /// The records of an endpoint, in the order in which the requests ended.
    fn records(&self, endpoint: &str) -> Vec<RequestRecord> {
        let mut records = self.collector.requests();
        records.retain(|record| record.endpoint.starts_with(endpoint));
        records
    }

    fn instructions(&self, endpoint: &str) -> Vec<u64> {
        let records = self.records(endpoint);
        let counted = records.iter().map(|record| record.instructions);
        counted.map(|count| count.expect("instructions")).collect()
    }
}

/// Fails unless it is what is known, and at most a bit of work around it.
fn assert_known(counted: u64, turns: u64, polls: u64) {
    // Unoptimised code of axum, tokio and the agent runs at the edges of a poll.
    let around = 40_000 + 5_000 * polls;
    let known = 2 * turns * polls;
    assert!(
        (known..known + around).contains(&counted),
        "{counted} counted, {known} known and at most {around} around"
    );
}

/// As a user without capabilities, where `kernel.perf_event_paranoid` is 2.
mod user_only {
    use super::*;

    #[tokio::test]
    #[ignore = "needs a performance monitoring unit: tests/pmu-vm/test"]
    async fn a_request_is_charged_for_what_it_executes() {
        let service = Service::start(InstructionSource::HardwareUser);
        for turns in [1, 1, 100_000, 1, 100_000] {
            service.get(&format!("/first/1/{turns}")).await;
        }
        assert!(service.agent.shutdown(SOON));
        for record in service.records("/first") {
            assert_eq!(
                (record.instruction_source, record.scaled),
                (InstructionSource::HardwareUser, false)
            );
        }
        let counted = service.instructions("/first");
        assert_known(counted[2], 100_000, 1);
        // The first one finds nothing in place.
        for (long, short) in [(2, 1), (2, 3), (4, 1), (4, 3)] {
            let difference = counted[long] - counted[short];
            assert!(
                difference.abs_diff(2 * (100_000 - 1)) < 3_000,
                "{counted:?}: what is around differs by more than addresses and hashes explain"
            );
        }
        let cells = service.collector.cells();
        let [in_cells, n, scaled] = cells.iter().fold([0, 0, 0], |[sum, n, scaled], cell| {
            let distribution = cell.instructions.as_ref().expect("instructions");
            [
                sum + distribution.sum,
                n + distribution.n,
                scaled + cell.scaled,
            ]
        });
        assert_eq!([in_cells, n, scaled], [counted.iter().sum(), 5, 0]);
    }

    #[tokio::test]
    #[ignore = "needs a performance monitoring unit: tests/pmu-vm/test"]
    async fn interleaved_requests_are_charged_for_their_own_polls() {
        const POLLS: u64 = 10;
        let service = Service::start(InstructionSource::HardwareUser);
        tokio::join!(
            service.get("/first/10/1000000"),
            service.get("/second/10/100000"),
            service.get("/third/10/10000"),
        );
        assert!(service.agent.shutdown(SOON));
        for (endpoint, turns) in [
            ("/first", 1_000_000),
            ("/second", 100_000),
            ("/third", 10_000),
        ] {
            assert_known(service.instructions(endpoint)[0], turns, POLLS);
            assert_eq!(service.records(endpoint)[0].polls, POLLS + 1);
        }
    }

    #[test]
    #[ignore = "needs a performance monitoring unit: tests/pmu-vm/test"]
    fn work_between_the_polls_of_a_future_is_not_its_own() {
        use std::future::{Future, poll_fn};
        use std::task::{Context, Poll, Waker};
        let service = Service::start(InstructionSource::HardwareUser);
        let mut left = 5;
        let task = service.agent.measure_future(
            "task:known",
            poll_fn(move |_| {
                work(100_000);
                left -= 1;
                if left == 0 {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            }),
        );
        let mut task = Box::pin(task);
        let mut context = Context::from_waker(Waker::noop());
        while task.as_mut().poll(&mut context).is_pending() {
            work(3_000_000);
        }
        assert!(service.agent.shutdown(SOON));
        assert_known(service.instructions("task:known")[0], 100_000, 5);
    }

    #[tokio::test]
    #[ignore = "needs a performance monitoring unit: tests/pmu-vm/test"]
    async fn a_counter_that_is_shared_is_scaled_and_marked() {
        const TURNS: u64 = 20_000_000;
        let service = Service::start(InstructionSource::HardwareUser);
        let others: Vec<perf_event::Counter> = (0..9)
            .map(|_| {
                let mut other = perf_event::Builder::new().build().expect("another counter");
                other.enable().expect("another counter");
                other
            })
            .collect();
        for _ in 0..8 {
            service.get(&format!("/first/1/{TURNS}")).await;
        }
        drop(others);
        // A counter that did not run gets its place back at the next turn, some milliseconds on.
        work(TURNS);
        service.get("/second/1/100000").await;
        assert!(service.agent.shutdown(SOON));
        let mut scaled = 0;
        for record in service.records("/first") {
            // Absent if the counter did not run at all during one of the stretches.
            let Some(counted) = record.instructions else {
                continue;
            };
            let wrong = counted as f64 / (2 * TURNS) as f64 - 1.0;
            assert!(
                record.scaled && wrong.abs() < 0.1,
                "{wrong} off: {record:?}"
            );
            scaled += 1;
        }
        assert!(scaled > 0, "none of 8 was counted");
        assert!(!service.records("/second")[0].scaled);
        assert_known(service.instructions("/second")[0], 100_000, 1);
        let mut marked: Vec<_> = service
            .collector
            .cells()
            .iter()
            .map(|cell| (cell.key.endpoint.clone(), cell.scaled))
            .collect();
        marked.sort();
        assert_eq!(
            marked.iter().map(|(_, scaled)| *scaled).collect::<Vec<_>>(),
            [scaled, 0],
            "{marked:?}"
        );
    }
}

/// What the functions themselves executed, by their names.
fn own(profile: &ProfileRecord) -> Vec<(&str, i64)> {
    let instructions = &profile.timers[0];
    assert_eq!(instructions.name, "instructions", "{profile:?}");
    let nodes = profile.node_functions.iter().zip(&instructions.own);
    let named = nodes.skip(1).map(|(function, own)| {
        let name = &profile.functions[*function as usize].name;
        (name.rsplit("::").next().unwrap_or(name), *own)
    });
    named.collect()
}

/// As a user without capabilities, by function.
mod user_only_profiled {
    use super::*;

    #[profiled]
    fn thirty() {
        work(30_000);
    }

    #[profiled]
    fn sixty() {
        work(60_000);
    }

    #[profiled]
    fn ten() {
        work(10_000);
    }

    #[test]
    #[ignore = "needs a performance monitoring unit: tests/pmu-vm/test"]
    fn functions_are_charged_for_what_they_execute() {
        const TASKS: u32 = 20;
        let collector = TestCollector::start();
        let timers = [Timer::Instructions, Timer::CpuTime];
        let agent = collector
            .agent()
            .profile_one_in(1)
            .profile_timers(timers)
            .cell_width(std::time::Duration::from_secs(3_600))
            .start();
        for _ in 0..TASKS {
            agent.measure("task:shares", || {
                thirty();
                sixty();
                ten();
            });
        }
        assert!(agent.shutdown(SOON));
        let profiles: Vec<_> = collector
            .batches()
            .into_iter()
            .flat_map(|batch| batch.profiles)
            .collect();
        let [profile] = profiles.as_slice() else {
            panic!("not one profile: {profiles:?}");
        };
        assert_eq!(profile.requests, u64::from(TASKS));
        assert_eq!(profile.instruction_source, InstructionSource::HardwareUser);
        let own = own(profile);
        let all: i64 = own.iter().map(|(_, own)| own).sum();
        println!(
            "{own:?}, {} milli taken off",
            profile.timers[0].taken_off_milli
        );
        for (name, share) in [("thirty", 30.0), ("sixty", 60.0), ("ten", 10.0)] {
            let found = own.iter().find(|(known, _)| *known == name);
            let part = 100.0 * found.expect("the function").1 as f64 / all as f64;
            assert!((part - share).abs() < 0.5, "{name} is {part} %: {own:?}");
        }
        // What the scopes themselves execute is taken off: what is left is known to the instruction, but for what is round it.
        let known = f64::from(TASKS) * 2.0 * 100_000.0;
        let wrong = all as f64 / known - 1.0;
        assert!(wrong.abs() < 0.001, "{wrong} off: {own:?}");
    }
}

/// As root.
mod user_and_kernel {
    use super::*;

    #[tokio::test]
    #[ignore = "needs a performance monitoring unit: tests/pmu-vm/test"]
    async fn a_request_is_charged_for_what_the_kernel_does_for_it() {
        let service = Service::start(InstructionSource::HardwareAll);
        for calls in [1, 1_001, 1, 1_001] {
            service.get(&format!("/calls/{calls}")).await;
        }
        assert!(service.agent.shutdown(SOON));
        let counted = service.instructions("/calls");
        // A call takes the kernel some hundred instructions at least, its caller some ten.
        assert!(counted[3] - counted[2] > 1_000 * 100, "{counted:?}");
        let record = &service.records("/calls")[0];
        assert_eq!(record.instruction_source, InstructionSource::HardwareAll);
    }
}
