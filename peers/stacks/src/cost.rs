use std::time::Instant;

use crate::recorder::Recorder;
use crate::{at_depth, median, sampling, work};

const ROUNDS: usize = 61;
/// So often that what samples cost shows in the time that fixed work takes.
const PER_SECOND: u32 = 10_000;
const PERIOD_NS: u64 = 1_000_000_000 / PER_SECOND as u64;
/// Some 20 ms.
const TURNS: u64 = 20_000_000;
/// Signals in a round.
const SIGNALS: u32 = 200;

/// The whole of a sample by perf events shows in the time of work that is interrupted: the interrupt, the kernel's walk,
/// and reading the ring at the end. `perf record` pays the same but for the reading, which a process of its own does. A
/// signal's handler is measured by raising it, beside one that does nothing.
pub fn tell() {
    let agent = sampling(PER_SECOND);
    println!(
        "| frames below the task | a sample by perf events, us | of it the timer's interrupt, us | one of perf record's, us | the pprof crate's signal and handler, us | of it an empty handler's, us |"
    );
    println!("| ---: | ---: | ---: | ---: | ---: | ---: |");
    let mut recorder = Recorder::start(PERIOD_NS);
    for depth in [5, 20, 50, 100] {
        let timed = |run: &mut dyn FnMut()| {
            let begin = Instant::now();
            run();
            begin.elapsed().as_nanos() as f64
        };
        let mut working = || at_depth(depth, &mut || black_box_work(TURNS));
        let (mut costs, mut interrupts, mut recorded) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let without = timed(&mut || {
                working();
            });
            let mut timer = timer_alone();
            timer.enable().expect("an event of its own");
            let interrupted = timed(&mut || {
                working();
            });
            drop(timer);
            let each = |time: f64| (time - without) / (time / PERIOD_NS as f64);
            interrupts.push(each(interrupted));
            if let Some(recorder) = &mut recorder {
                let time = recorder.while_it_runs(|| {
                    timed(&mut || {
                        working();
                    })
                });
                recorded.push(each(time));
            }
            let before = agent.status().sampling.samples;
            let with = timed(&mut || {
                agent.measure("work", &mut working);
            });
            let samples = agent.status().sampling.samples - before;
            if samples > 0 {
                costs.push((with - without) / samples as f64);
            }
        }
        let raised = || {
            let mut costs = Vec::new();
            at_depth(depth, &mut || {
                for _ in 0..ROUNDS {
                    let all = timed(&mut || (0..SIGNALS).for_each(|_| raise()));
                    costs.push(all / f64::from(SIGNALS));
                }
            });
            median(costs)
        };
        ignore();
        let empty = raised();
        // Its own timer stays out of the way.
        let guard = pprof::ProfilerGuardBuilder::default().frequency(1).build();
        let guard = guard.expect("the pprof crate starts");
        let handled = raised();
        drop(guard);
        println!(
            "| {depth} | {:.2} | {:.2} | {} | {:.2} | {:.2} |",
            median(costs) / 1e3,
            median(interrupts) / 1e3,
            match recorder {
                Some(_) => format!("{:.2}", median(recorded) / 1e3),
                None => "no perf here".to_owned(),
            },
            handled / 1e3,
            empty / 1e3
        );
    }
    println!("\n{:?}", agent.status().sampling);
}

#[inline(never)]
fn black_box_work(turns: u64) {
    std::hint::black_box(work(turns));
}

/// The same clock at the same pace, of which no sample is taken: an interrupt and no more.
fn timer_alone() -> perf_event::Counter {
    let mut builder = perf_event::Builder::new().kind(perf_event::events::Software::TASK_CLOCK);
    builder
        .exclude_user(true)
        .exclude_kernel(true)
        .sample_period(PERIOD_NS);
    builder.build().expect("perf events are permitted")
}

fn raise() {
    // SAFETY: the signal has a handler, here as everywhere in this file.
    unsafe { libc::raise(libc::SIGPROF) };
}

extern "C" fn nothing(_: libc::c_int) {}

fn ignore() {
    // SAFETY: the handler does nothing.
    unsafe { libc::signal(libc::SIGPROF, nothing as *const () as libc::sighandler_t) };
}
