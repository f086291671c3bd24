//! Requests are profiled by function: from scopes in the code to the records that a collector gets.

#[cfg(test)]
mod support;
#[path = "support/told.rs"]
mod told;

use std::time::Duration;

use appweight_agent::{AppweightAlloc, Timer, profiled, scope};
use appweight_wire::{InstructionSource, Kind, ProfileRecord, Taken};
use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use tower::ServiceExt;

use support::{SOON, TestCollector, get_request};
use told::{Told, profile, profiles};

#[global_allocator]
static ALLOCATOR: AppweightAlloc = AppweightAlloc::system();

/// Short enough that of many some run undisturbed.
fn turns(number: u64) {
    let mut state = 1_u64;
    for _ in 0..number {
        state = std::hint::black_box(state.wrapping_mul(6_364_136_223_846_793_005) | 1);
    }
}

/// Turns that count themselves, and ask for memory once in a thousand.
fn work(number: u64) {
    turns(number);
    spend(number);
    for _ in 0..number / 1_000 {
        drop(std::hint::black_box(Box::new([1_u64; 8])));
    }
}

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

#[profiled]
async fn shares() {
    thirty();
    tokio::task::yield_now().await;
    sixty();
    scope!("wait", tokio::time::sleep(Duration::from_millis(5))).await;
    ten();
}

fn assert_shares(timer: &str, own: impl Fn(&str) -> i64) {
    let paths = ["/shares/thirty", "/shares/sixty", "/shares/ten"];
    let all: i64 = paths.iter().map(|path| own(path)).sum();
    for (path, share) in paths.iter().zip([30.0, 60.0, 10.0]) {
        let part = 100.0 * own(path) as f64 / all as f64;
        assert!((part - share).abs() < 3.0, "{path} is {part} % by {timer}");
    }
}

fn agent(collector: &TestCollector) -> appweight_agent::AgentBuilder {
    collector
        .agent()
        .profile_one_in(1)
        .cell_width(Duration::from_secs(3_600))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn known_shares_are_told_by_every_timer_that_applies() {
    let collector = TestCollector::start();
    let still = Timer::custom("still", "x", || 1);
    let spent = Timer::custom("spent", "turns", || SPENT.get());
    let agent = agent(&collector)
        .profile_timers([
            Timer::CpuTime,
            Timer::WallTime,
            Timer::AllocatedBytes,
            Timer::Allocations,
            spent,
            still,
        ])
        .start();
    let app = Router::new()
        .route("/shares/{n}", get(async |_: Path<u32>| shares().await))
        .layer(agent.layer());
    for n in 0..150 {
        let request = get_request(&format!("/shares/{n}"));
        let Ok(response) = tokio::spawn(app.clone().oneshot(request)).await.unwrap();
        assert_eq!(response.status(), 200);
    }
    let alone: Vec<String> = (0..100).map(|n| format!("task:{n}")).collect();
    for name in &alone {
        agent.measure_future(name.clone(), shares()).await;
    }
    assert!(agent.shutdown(SOON));
    let record = profile(&collector, "/shares/{n}");
    assert_eq!((record.requests, record.kind), (150, Kind::Request));
    assert_eq!(
        (record.taken, record.instruction_source),
        (Taken::Scopes, InstructionSource::None)
    );
    let told = Told(&record);
    assert_shares("cpu", |path| told.own_of("cpu", path));
    // Time passes while others run too: of calls that do the same the shortest was disturbed least.
    let tasks: Vec<ProfileRecord> = alone.iter().map(|name| profile(&collector, name)).collect();
    assert_shares("wall", |path| {
        let own = tasks.iter().map(|task| Told(task).own_of("wall", path));
        own.min().unwrap()
    });
    assert_eq!(told.calls("/shares/sixty"), 150);
    assert_eq!(told.calls("/shares"), 150);
    assert_eq!(told.calls("/shares/wait"), 150);
    assert!(told.own("still").iter().all(|own| *own == 0));
    // Nothing else moves these, so that they are exact.
    for (path, share) in [
        ("/shares/thirty", 30),
        ("/shares/sixty", 60),
        ("/shares/ten", 10),
    ] {
        let own = ["spent", "allocations", "allocated"].map(|timer| told.own_of(timer, path));
        let known = [1_000, 1, 64].map(|each| 150 * share * each);
        assert_eq!(own, known, "{path}");
    }
    assert_eq!(told.total_of("spent", ""), 150 * 100_000);
    // The request is the root, and what a function waits for is not its cost.
    let waited: i64 = 150 * 5_000_000;
    let own = told.total_of("wall", "/shares/wait");
    assert!(own * 2 < waited, "{own} of {waited} ns");
    assert!(told.total_of("cpu", "") >= told.total_of("cpu", "/shares"));
    assert!(record.timers[0].taken_off_milli > 0, "{record:?}");
    let function = &record.functions[record.node_functions[told.node("/shares")] as usize];
    assert_eq!(function.name, "profiling::shares");
    assert!(
        function.file.ends_with("tests/profiling.rs"),
        "{function:?}"
    );
    let text = include_str!("profiling.rs");
    let line = text.lines().nth(function.line as usize - 1).unwrap();
    assert_eq!(line, "async fn shares() {");
}

const MIB_64: usize = 64 << 20;

#[profiled]
fn takes_much() -> Vec<u8> {
    std::hint::black_box(Vec::with_capacity(MIB_64))
}

#[profiled]
fn takes_little() -> Vec<u8> {
    std::hint::black_box(Vec::with_capacity(1_000))
}

#[tokio::test]
async fn memory_is_found_in_the_function_that_asked_for_it() {
    let collector = TestCollector::start();
    let timers = [
        Timer::AllocatedBytes,
        Timer::Allocations,
        Timer::Rss,
        Timer::PageFaults,
    ];
    let agent = agent(&collector).profile_timers(timers).start();
    agent.measure("task:memory", || {
        scope!("work");
        let mut much = takes_much();
        {
            scope!("fill");
            much.resize(MIB_64, 1);
        }
        for _ in 0..10 {
            drop(takes_little());
        }
        scope!("give back");
        drop(much);
    });
    assert!(agent.shutdown(SOON));
    let record = profile(&collector, "task:memory");
    let told = Told(&record);
    let much = i64::try_from(MIB_64).unwrap();
    assert_eq!(told.own_of("allocated", "/work/takes_much"), much);
    assert_eq!(told.own_of("allocations", "/work/takes_much"), 1);
    assert_eq!(told.own_of("allocated", "/work/takes_little"), 10_000);
    assert_eq!(told.own_of("allocations", "/work/takes_little"), 10);
    assert_eq!(told.own_of("allocated", "/work"), 0);
    // Memory is the process's when it is used, and no more when it is given back.
    let (filled, given) = (
        told.own_of("rss", "/work/fill"),
        told.own_of("rss", "/work/give back"),
    );
    assert!(
        filled > much * 9 / 10 && given < -much * 9 / 10,
        "{filled}, {given}"
    );
    assert!(told.own_of("page_faults", "/work/fill") >= 32, "{record:?}");
}

#[profiled(name = "part")]
async fn part(task: u64) -> u64 {
    let mut sum = 0;
    for step in 0..5 {
        sum += inner(task, step);
        tokio::task::yield_now().await;
    }
    sum
}

#[profiled]
fn inner(task: u64, step: u64) -> u64 {
    spend(task + 1);
    step
}

thread_local! {
    static SPENT: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

fn spend(amount: u64) {
    SPENT.set(SPENT.get() + amount);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_interleaved_tasks_on_two_threads_do_not_mix() {
    const TASKS: u64 = 1_000;
    let collector = TestCollector::start();
    let spent = Timer::custom("spent", "x", || SPENT.get());
    let agent = agent(&collector).profile_timers([spent]).start();
    let running: Vec<_> = (0..TASKS)
        .map(|task| {
            let agent = agent.clone();
            tokio::spawn(async move {
                let name = format!("task:{}", task % 10);
                agent.measure_future(name, part(task)).await
            })
        })
        .collect();
    for task in running {
        assert_eq!(task.await.unwrap(), 10);
    }
    assert!(agent.shutdown(SOON));
    for last in 0..10 {
        let record = profile(&collector, &format!("task:{last}"));
        let told = Told(&record);
        let own: u64 = (0..TASKS / 10).map(|ten| 5 * (10 * ten + last + 1)).sum();
        assert_eq!(told.paths().len(), 3, "{:?}", told.paths());
        assert_eq!(
            (record.requests, told.calls("/part")),
            (TASKS / 10, TASKS / 10)
        );
        assert_eq!(told.calls("/part/inner"), 5 * TASKS / 10);
        assert_eq!(
            told.own_of("spent", "/part/inner"),
            i64::try_from(own).unwrap()
        );
        assert_eq!(told.total_of("spent", ""), i64::try_from(own).unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_request_spawns_is_told_where_it_was_spawned() {
    #[profiled]
    async fn asks() {
        let child = appweight_agent::spawn(async {
            spend(1);
            inner(9, 0);
            // A child of a child.
            let grandchild = appweight_agent::spawn_blocking(|| inner(99, 0));
            grandchild.await.unwrap();
        });
        let blocking = appweight_agent::spawn_blocking(|| {
            scope!("blocking");
            spend(1_000);
        });
        child.await.unwrap();
        blocking.await.unwrap();
    }
    let collector = TestCollector::start();
    let spent = Timer::custom("spent", "x", || SPENT.get());
    let agent = agent(&collector).profile_timers([spent]).start();
    for _ in 0..20 {
        tokio::spawn(agent.measure_future("task:asks", asks()))
            .await
            .unwrap();
    }
    assert!(agent.shutdown(SOON));
    let record = profile(&collector, "task:asks");
    let told = Told(&record);
    assert_eq!(record.requests, 20);
    assert_eq!(told.own_of("spent", "/asks"), 20);
    assert_eq!(told.own_of("spent", "/asks/inner"), 20 * (10 + 100));
    assert_eq!((told.calls("/asks"), told.calls("/asks/inner")), (20, 40));
    assert_eq!(told.own_of("spent", "/asks/blocking"), 20_000);
    assert_eq!(told.own_of("spent", ""), 0);
}

#[tokio::test]
async fn an_inner_task_has_its_scopes_to_itself() {
    let collector = TestCollector::start();
    let spent = Timer::custom("spent", "x", || SPENT.get());
    let outer = agent(&collector).profile_timers([spent]).start();
    let unprofiled = collector.agent().profile_one_in(0).start();
    outer.measure("task:outer", || {
        scope!("outer");
        outer.measure("task:inner", || inner(6, 0));
        unprofiled.measure("task:quiet", || inner(29, 0));
        spend(1);
    });
    assert!(outer.shutdown(SOON) && unprofiled.shutdown(SOON));
    let (record, of_inner) = (
        profile(&collector, "task:outer"),
        profile(&collector, "task:inner"),
    );
    assert_eq!(Told(&record).own_of("spent", "/outer"), 7 + 30 + 1);
    assert_eq!(Told(&record).paths().len(), 2);
    assert_eq!(Told(&of_inner).own_of("spent", "/inner"), 7);
    assert_eq!(profiles(&collector).len(), 2);
}

#[test]
fn one_task_in_so_many_is_profiled_and_none_if_none_is_to_be() {
    const TASKS: u64 = 20_000;
    let collector = TestCollector::start();
    for one_in in [0, 100] {
        let agent = collector
            .agent()
            .record_one_in(0)
            .profile_one_in(one_in)
            .cell_width(Duration::from_secs(3_600))
            .start();
        for _ in 0..TASKS {
            agent.measure("task:many", || inner(1, 1));
        }
        assert!(agent.shutdown(SOON));
        let profiled: u64 = profiles(&collector)
            .iter()
            .map(|profile| profile.requests)
            .sum();
        match one_in {
            0 => assert_eq!(profiled, 0),
            // Five standard deviations: one run in a million.
            _ => assert!((130..=270).contains(&profiled), "{profiled} of {TASKS}"),
        }
    }
}

#[test]
fn a_scope_outside_of_a_profile_allocates_nothing() {
    let collector = TestCollector::start();
    let agent = agent(&collector)
        .profile_timers([Timer::AllocatedBytes])
        .start();
    let quiet = collector.agent().profile_one_in(0).record_one_in(0).start();
    let scopes = |number: u64| {
        for step in 0..number {
            scope!("block");
            inner(0, step);
        }
    };
    quiet.measure("task:warm", || scopes(1));
    // What the unprofiled task allocates is charged to the profiled one around it.
    agent.measure("task:outer", || {
        {
            scope!("with");
            quiet.measure("task:warm", || scopes(1_000));
        }
        scope!("without");
        quiet.measure("task:warm", || scopes(0));
    });
    assert!(agent.shutdown(SOON) && quiet.shutdown(SOON));
    let record = profile(&collector, "task:outer");
    let told = Told(&record);
    assert_eq!(told.paths(), ["", "/with", "/without"]);
    let (with, without) = (
        told.own_of("allocated", "/with"),
        told.own_of("allocated", "/without"),
    );
    // Lists of the agent grow now and then: less than one byte for each of two thousand scopes.
    assert!(
        with.max(without) < 2_000,
        "{with} bytes with scopes, {without} without"
    );
}

/// Functions as a service has them: each works, asks for memory and calls two others, until the tree is deep enough.
macro_rules! service {
    ($($name:ident $number:literal $first:ident $second:ident),*) => {
        $(#[profiled]
        fn $name(depth: u32) -> u64 {
            let rows: Vec<u64> = (0..$number * 3).collect();
            turns(200 + 37 * $number);
            let sum: u64 = rows.iter().sum();
            if depth == 0 {
                return sum;
            }
            let mut sum = sum + $first(depth - 1);
            let more: u64 = $number % 3;
            for _ in 0..more {
                sum += $second(depth - 1);
            }
            sum
        })*
    };
}

service! {
    feed 7 candidates authors, candidates 1 prepare query, authors 2 prepare users_in, prepare 3 lookup compile,
    query 4 step column_values, users_in 5 query decode_row, lookup 6 hash_of compare_keys, compile 8 parse plan_of,
    step 2 next_row seek, column_values 1 text_of integer_of, decode_row 4 text_of integer_of, hash_of 5 mix finish,
    compare_keys 7 mix finish, parse 11 tokens_of lookup, plan_of 13 estimate choose_index, next_row 4 seek text_of,
    seek 8 compare_keys mix, text_of 1 finish mix, integer_of 2 mix finish, mix 1 finish finish, finish 2 mix mix,
    tokens_of 4 text_of mix, estimate 5 mix finish, choose_index 10 estimate lookup
}

#[test]
fn a_hundred_nodes_by_three_timers_are_less_than_two_kilobytes_as_sent() {
    let collector = TestCollector::start();
    let agent = agent(&collector)
        .profile_timers([Timer::CpuTime, Timer::WallTime, Timer::AllocatedBytes])
        .start();
    for _ in 0..10 {
        agent.measure("task:feed", || {
            for depth in [5, 6, 7] {
                feed(depth);
            }
        });
    }
    assert!(agent.shutdown(SOON));
    let mut batches = collector.batches();
    batches.retain(|batch| !batch.profiles.is_empty());
    assert_eq!(batches.len(), 1);
    let mut batch = batches.remove(0);
    let nodes = batch.profiles[0].parents.len();
    assert!(nodes >= 100, "{nodes} nodes");
    (batch.cells, batch.processes) = (Vec::new(), Vec::new());
    batch.requests = Vec::new();
    let encoded = appweight_wire::encode(&batch, appweight_wire::Format::MessagePack);
    let bytes = zstd::bulk::compress(&encoded, 1).unwrap().len();
    println!(
        "{nodes} nodes, {bytes} bytes, {} before they are compressed",
        encoded.len()
    );
    assert!(bytes < 2_000, "{nodes} nodes, {bytes} bytes");
}
