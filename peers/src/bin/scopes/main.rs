//! What a scope costs that is entered and left, not recording and recording, beside the scopes of others.
//!
//! `cargo run --release --bin scopes` in this folder.

mod families;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use appweight_agent::{Agent, Timer};
use appweight_peers::{clock, median};

use families::SCOPES;

/// Runs of a family in one measurement: as many scopes as a busy request has.
const RUNS: u32 = 100;
/// Measurements of one case in a round.
const MEASUREMENTS: u32 = 20;
const ROUNDS: usize = 31;

/// One way of having scopes, and what is round the runs of one measurement.
struct Case {
    name: String,
    measure: Box<dyn Fn()>,
}

fn case(name: &str, measure: impl Fn() + 'static) -> Case {
    Case {
        name: name.to_owned(),
        measure: Box::new(measure),
    }
}

fn runs(family: fn(u64) -> u64) {
    for run in 0..RUNS {
        black_box(family(black_box(u64::from(run))));
    }
}

fn agent(profile_one_in: u64, timers: impl IntoIterator<Item = Timer>) -> Agent {
    Agent::builder()
        .service("peers")
        .collector("http://127.0.0.1:1")
        .record_one_in(0)
        .profile_one_in(profile_one_in)
        .profile_timers(timers)
        .start()
}

fn main() {
    let (quiet, cpu, wall) = (
        agent(0, []),
        agent(1, [Timer::CpuTime]),
        agent(1, [Timer::WallTime]),
    );
    let three = agent(1, [Timer::CpuTime, Timer::WallTime, Timer::PageFaults]);
    let in_task = |name: &str, agent: &Agent| {
        let agent = agent.clone();
        case(name, move || {
            agent.measure("task:runs", || runs(families::appweight::run))
        })
    };
    let none = || case("no scopes", || runs(families::none::run));

    puffin::set_scopes_on(false);
    compare(
        "not recording",
        &[
            none(),
            in_task("AppWeight, in a task that is not profiled", &quiet),
            case("AppWeight, outside of tasks", || {
                runs(families::appweight::run)
            }),
            case("puffin, off", || runs(families::puffin_scopes::run)),
            case("tracing `#[instrument]`, no subscriber", || {
                runs(families::tracing_spans::run);
            }),
            case("fastrace, no parent", || {
                runs(families::fastrace_spans::run)
            }),
        ],
    );

    fastrace::set_reporter(Discard, fastrace::collector::Config::default());
    let registry = tracing::Dispatch::new(tracing_subscriber::registry());
    compare(
        "recording",
        &[
            none(),
            case("two reads of the time-stamp counter", || {
                runs(families::ticks::run)
            }),
            case("two reads of the agent's CPU clock", || {
                runs(families::cpu_clock::run)
            }),
            in_task("AppWeight, CPU time", &cpu),
            in_task("AppWeight, wall time", &wall),
            in_task("AppWeight, CPU and wall time and page faults", &three),
            case("puffin", || {
                puffin::set_scopes_on(true);
                runs(families::puffin_scopes::run);
                puffin::GlobalProfiler::lock().new_frame();
                puffin::set_scopes_on(false);
            }),
            case("fastrace", || {
                let root = fastrace::Span::root("root", fastrace::collector::SpanContext::random());
                let parent = root.set_local_parent();
                runs(families::fastrace_spans::run);
                drop(parent);
            }),
            case("tracing `#[instrument]`, Registry", move || {
                tracing::dispatcher::with_default(&registry, || {
                    runs(families::tracing_spans::run);
                });
            }),
        ],
    );
    for agent in [quiet, cpu, wall, three] {
        agent.shutdown(Duration::ZERO);
    }
}

struct Discard;

impl fastrace::collector::Reporter for Discard {
    fn report(&mut self, spans: Vec<fastrace::collector::SpanRecord>) {
        drop(black_box(Arc::new(spans)));
    }
}

/// All cases in turn in each round, so that what else the machine does falls on all alike.
fn compare(title: &str, cases: &[Case]) {
    let mut here: Vec<Vec<f64>> = vec![Vec::new(); cases.len()];
    for round in 0..ROUNDS + 2 {
        for (at, case) in cases.iter().enumerate() {
            let begun = clock(libc::CLOCK_THREAD_CPUTIME_ID);
            for _ in 0..MEASUREMENTS {
                (case.measure)();
            }
            // What is done later, by threads of the profiler's own, is not in it.
            let used = clock(libc::CLOCK_THREAD_CPUTIME_ID) - begun;
            let scopes = f64::from(SCOPES * RUNS * MEASUREMENTS);
            // The first rounds fill caches.
            if round >= 2 {
                here[at].push(used.as_nanos() as f64 / scopes);
            }
        }
    }
    let floor = median(&here[0]);
    println!("\n| {title} | ns a call | over none | of two CPU clock reads |");
    println!("| --- | ---: | ---: | ---: |");
    let reads = cases
        .iter()
        .position(|case| case.name.contains("CPU clock"));
    let reads = reads.map(|at| median(&here[at]) - floor);
    for (case, here) in cases.iter().zip(&here) {
        let over = median(here) - floor;
        let part = reads.map_or_else(String::new, |reads| format!("{:.2}", over / reads));
        println!(
            "| {} | {:.1} | {over:+.1} | {part} |",
            case.name,
            median(here)
        );
    }
}
