//! What a sample costs the thread that it is taken of, at some depths; whether samples are lost under load; what sampling
//! allocations costs one.
//!
//! `cargo run --release` in this folder (which sets the flag for frame pointers).

mod allocations;
mod cost;
mod lost;
mod recorder;

use std::time::Duration;

use appweight_agent::Agent;

fn main() {
    println!("## A stack");
    cost::tell();
    println!("\n## 1,000 per second and thread, under load");
    lost::tell();
    println!("\n## An allocation of 64 bytes, made and given back");
    allocations::tell();
}

/// An agent that samples every task, so often per second.
fn sampling(per_second: u32) -> Agent {
    let agent = Agent::builder()
        .service("peers")
        .collector("http://127.0.0.1:1")
        .profile_one_in(1)
        .sample_stacks(per_second)
        .start();
    while agent.status().sampling.read_by.is_none() {
        let why = agent.status().sampling.absent_because.unwrap_or_default();
        assert!(why.contains("not been tried"), "{why}");
        std::thread::sleep(Duration::from_millis(5));
    }
    agent
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Works at that depth below here.
#[inline(never)]
fn at_depth(depth: usize, work: &mut dyn FnMut()) -> usize {
    if depth == 0 {
        work();
        return std::hint::black_box(0);
    }
    std::hint::black_box(at_depth(std::hint::black_box(depth - 1), work)) + 1
}

/// Arithmetic in user mode that cannot be shortened.
#[inline(never)]
fn work(turns: u64) -> u64 {
    let (mut sum, mut turn) = (std::hint::black_box(1_u64), 0);
    while turn < turns {
        sum = (sum << 5) ^ (sum >> 59) ^ turn;
        turn += 1;
    }
    std::hint::black_box(sum)
}
