use std::alloc::{GlobalAlloc, Layout, System};
use std::time::Instant;

use appweight_agent::{Agent, AppweightAlloc};

use crate::median;

#[global_allocator]
static ALLOCATOR: AppweightAlloc = AppweightAlloc::system();

const ROUNDS: usize = 101;
const PAIRS: u32 = 100_000;

pub fn tell() {
    let off = round();
    let agent = Agent::builder()
        .service("peers")
        .collector("http://127.0.0.1:1")
        .sample_allocations(512 * 1_024)
        .start();
    let how = agent.status().sampling.allocations_read_by;
    let on = round();
    println!("| | ns | over the system's |\n| --- | ---: | ---: |");
    println!("| the system's | {:.2} | |", off[0]);
    println!(
        "| AppweightAlloc, not sampling | {:.2} | {:.2} |",
        off[1],
        off[1] - off[0]
    );
    println!(
        "| AppweightAlloc, one each 512 KiB | {:.2} | {:.2} |",
        on[1],
        on[1] - on[0]
    );
    println!("\n{how:?}");
}

/// ns of a pair with the system's allocator and with the agent's, in turn.
fn round() -> [f64; 2] {
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        times[0].push(pairs(&System));
        times[1].push(pairs(&ALLOCATOR));
    }
    times.map(median)
}

#[inline(never)]
fn pairs(allocator: &impl GlobalAlloc) -> f64 {
    let layout = Layout::new::<[u64; 8]>();
    let begin = Instant::now();
    for _ in 0..PAIRS {
        // SAFETY: the size is not 0, and what is given back was got just before.
        unsafe {
            let pointer = std::hint::black_box(allocator.alloc(layout));
            allocator.dealloc(pointer, layout);
        }
    }
    begin.elapsed().as_nanos() as f64 / f64::from(PAIRS)
}
