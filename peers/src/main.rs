//! What a layer costs a request: the process's CPU time over that of the same router without it,
//! all layers in turn in every round, so that what else the machine does falls on all alike.
//!
//! `cargo run --release` in this folder; a word after `--` picks the layers whose name has it.

use std::time::Duration;

use appweight_peers::{clock, layers, median, serve};
use axum::Router;

/// Requests of one layer in one round.
const REQUESTS: u32 = 4_000;
const ROUNDS: usize = 41;

fn main() {
    layers::trace_one_in_a_hundred();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let wanted = std::env::args().nth(1).unwrap_or_default();
        let cases: Vec<(&str, Router)> = layers::ALL
            .into_iter()
            .enumerate()
            .filter(|(at, (name, _))| *at < 2 || name.contains(&wanted))
            .map(|(_, (name, router))| (name, router()))
            .collect();
        for (column, path) in [("1 poll", "/once/{id}"), ("8 yields", "/yields/{id}")] {
            let path = path.replace("{id}", "17");
            let mut costs: Vec<Vec<f64>> = vec![Vec::new(); cases.len()];
            for round in 0..ROUNDS + 2 {
                for ((_, router), costs) in cases.iter().zip(&mut costs) {
                    let cost = cost(router, &path).await;
                    // The first rounds open cells, connections and caches.
                    if round >= 2 {
                        costs.push(cost);
                    }
                }
            }
            let floor = &costs[0];
            println!("\n| layer, {column} | ns a request over none | of the no-op layer |");
            println!("| --- | ---: | ---: |");
            let over = |costs: &[f64]| -> f64 {
                let differences = costs.iter().zip(floor).map(|(cost, floor)| cost - floor);
                median(&differences.collect::<Vec<f64>>())
            };
            let noop = over(&costs[1]);
            println!("| (a request without a layer) | {:.0} | |", median(floor));
            for ((name, _), costs) in cases.iter().zip(&costs).skip(1) {
                let over = over(costs);
                println!("| {name} | {over:+.0} | {:.2} |", over / noop);
            }
        }
    });
    println!("\nreadings, ns each");
    for (name, ns) in layers::readings() {
        println!("  {name}: {ns:.1}");
    }
}

/// The process's CPU time of one request, ns.
async fn cost(router: &Router, path: &str) -> f64 {
    let start = process_cpu();
    serve(router, path, REQUESTS).await;
    (process_cpu() - start).as_nanos() as f64 / f64::from(REQUESTS)
}

fn process_cpu() -> Duration {
    clock(libc::CLOCK_PROCESS_CPUTIME_ID)
}
