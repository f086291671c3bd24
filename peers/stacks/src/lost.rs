use std::time::{Duration, Instant};

use crate::{at_depth, sampling, work};

const TIME: Duration = Duration::from_secs(15);

/// More threads than cores, polls short and long.
pub fn tell() {
    let agent = sampling(1_000);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let until = Instant::now() + TIME;
    let used: f64 = std::thread::scope(|scope| {
        let threads = (0..2 * cores).map(|thread| {
            let agent = &agent;
            scope.spawn(move || {
                // 0.05 to 500 ms.
                let turns = [50_000, 1_000_000, 20_000_000, 500_000_000][thread % 4];
                while Instant::now() < until {
                    agent.measure("load", || {
                        at_depth(30, &mut || {
                            std::hint::black_box(work(turns));
                        })
                    });
                }
                user_seconds()
            })
        });
        let threads: Vec<_> = threads.collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .sum()
    });
    let status = agent.status().sampling;
    let taken = status.samples + status.lost;
    let share = |part: u64| 100.0 * part as f64 / taken as f64;
    println!(
        "{} threads on {cores} cores, {used:.1} s of theirs on a CPU in user mode: {} samples ({:.1} % of one per ms), lost {} ({:.4} %), \
         given to none {} ({:.4} %), throttled {} times; {} tasks, {} polls not sampled",
        2 * cores,
        status.samples,
        100.0 * status.samples as f64 / (used * 1e3),
        status.lost,
        share(status.lost),
        status.given_to_none,
        share(status.given_to_none),
        status.throttled,
        agent.status().tasks,
        status.unsampled_polls,
    );
}

/// That the calling thread has used.
fn user_seconds() -> f64 {
    // SAFETY: the numbers are valid as zeros, and are written to.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage);
        usage
    };
    usage.ru_utime.tv_sec as f64 + usage.ru_utime.tv_usec as f64 / 1e6
}
