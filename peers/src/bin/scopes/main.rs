//! What a scope costs that is entered and left, not recording and recording, beside the scopes of others, and whether each call
//! was recorded.
//!
//! `cargo run --release --bin scopes` in this folder.

mod families;

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use appweight_agent::{Agent, Timer};
use appweight_peers::collector::Collector;
use appweight_peers::{clock, median};

use families::SCOPES;

/// Runs of a family in one measurement: as many scopes as a busy request has.
const RUNS: u32 = 100;
/// Measurements of one case in a round.
const MEASUREMENTS: u32 = 20;
const ROUNDS: usize = 31;
/// Before that, which fill caches.
const FIRST_ROUNDS: usize = 2;
/// Calls of each case in all.
const CALLS: u64 = (ROUNDS + FIRST_ROUNDS) as u64 * (MEASUREMENTS * RUNS * SCOPES) as u64;

/// What the others have recorded.
static OF_PUFFIN: AtomicU64 = AtomicU64::new(0);
static OF_FASTRACE: AtomicU64 = AtomicU64::new(0);

/// The service that nothing is profiled of, and the one by three timers.
const NOT_PROFILED: &str = "not profiled";
const THREE: &str = "CPU and wall time and page faults";

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

fn agent(collector: &Collector, service: &str, timers: impl IntoIterator<Item = Timer>) -> Agent {
    Agent::builder()
        .service(service)
        .collector(collector.url())
        .record_one_in(0)
        .profile_one_in(u64::from(service != NOT_PROFILED))
        .profile_timers(timers)
        .start()
}

fn main() {
    let collector = Collector::start();
    let (quiet, cpu, wall) = (
        agent(&collector, NOT_PROFILED, []),
        agent(&collector, "CPU time", [Timer::CpuTime]),
        agent(&collector, "wall time", [Timer::WallTime]),
    );
    let of_three = [Timer::CpuTime, Timer::WallTime, Timer::PageFaults];
    let three = agent(&collector, THREE, of_three);
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

    fastrace::set_reporter(Count, fastrace::collector::Config::default());
    puffin::GlobalProfiler::lock().add_sink(Box::new(|frame| {
        OF_PUFFIN.fetch_add(frame.meta().num_scopes as u64, Ordering::Relaxed);
    }));
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
                let root = fastrace::Span::root(ROOT, fastrace::collector::SpanContext::random());
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
        assert!(agent.shutdown(Duration::from_secs(30)), "all is sent");
    }
    fastrace::flush();
    println!("\n| of {CALLS} calls | recorded | lost |");
    println!("| --- | ---: | ---: |");
    let told = |name: &str, recorded: u64| {
        let lost = 100.0 * (CALLS as f64 - recorded as f64) / CALLS as f64;
        println!("| {name} | {recorded} | {lost:.2} % |");
    };
    let services = ["CPU time", "wall time", THREE];
    for service in services {
        told(&format!("AppWeight, {service}"), collector.calls(service));
    }
    told("puffin", OF_PUFFIN.load(Ordering::Relaxed));
    told("fastrace", OF_FASTRACE.load(Ordering::Relaxed));
    for service in services {
        assert_eq!(collector.calls(service), CALLS, "every call is recorded");
    }
}

struct Count;

impl fastrace::collector::Reporter for Count {
    fn report(&mut self, spans: Vec<fastrace::collector::SpanRecord>) {
        let of_calls = spans.iter().filter(|span| span.name != ROOT).count();
        OF_FASTRACE.fetch_add(of_calls as u64, Ordering::Relaxed);
        drop(black_box(Arc::new(spans)));
    }
}

/// The span of fastrace that stands for the request.
const ROOT: &str = "root";

/// All cases in turn in each round, so that what else the machine does falls on all alike.
fn compare(title: &str, cases: &[Case]) {
    let mut here: Vec<Vec<f64>> = vec![Vec::new(); cases.len()];
    for round in 0..ROUNDS + FIRST_ROUNDS {
        for (at, case) in cases.iter().enumerate() {
            let begun = clock(libc::CLOCK_THREAD_CPUTIME_ID);
            for _ in 0..MEASUREMENTS {
                (case.measure)();
            }
            // What is done later, by threads of the profiler's own, is not in it.
            let used = clock(libc::CLOCK_THREAD_CPUTIME_ID) - begun;
            let scopes = f64::from(SCOPES * RUNS * MEASUREMENTS);
            if round >= FIRST_ROUNDS {
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
