//! `cargo demo`: a day of deploys on one machine, every part real.
//!
//! Starts the collector with its dashboard and a photo service with the agent embedded, sends real
//! traffic from simulated users, rolls out one deploy after another, some of them slower code, and
//! sets what the judge found beside what was planted.

mod children;
mod culprit;
mod day;
mod judge;
mod options;
mod paths;
mod plan;
mod print;
mod report;
mod score;
mod service;
mod truth;

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;

use options::Options;
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            print::line(&format!("demo: {error:#}"));
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> anyhow::Result<bool> {
    let programs = paths::Programs::build(options)?;
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(async {
            tokio::select! {
                ran = day::run(options, &programs) => ran,
                stopped = stop_signal() => {
                    stopped?;
                    print::line("stopped");
                    Ok(true)
                }
            }
        })
}

/// Ends at Ctrl-C or a request to terminate; dropping the day then takes its processes along.
async fn stop_signal() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.context("cannot listen for Ctrl-C"),
        _ = terminate.recv() => Ok(()),
    }
}
