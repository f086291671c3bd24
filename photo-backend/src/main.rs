//! The photo service, its database, its traffic and its truth.

mod options;
mod overhead_report;

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result};
use appweight_agent::AppweightAlloc;
use clap::Parser;
use options::{Command, Drive, Format, Options, Seed, Serve};
use photo_backend::serve::{MeasureOptions, ServeOptions, Server};
use photo_backend::traffic::{Targets, Traffic, TrafficOptions};
use photo_backend::truth::{Truth, TruthOptions};
use photo_backend::{seed, truth};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// So that cells and profiles tell what requests allocate.
#[global_allocator]
static ALLOCATOR: AppweightAlloc = AppweightAlloc::system();

fn main() -> Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info")),
        )
        .with_writer(std::io::stderr)
        .init();
    match Options::parse().command {
        Command::Serve(options) => tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?
            .block_on(serve(options)),
        Command::Seed(options) => seed_database(&options),
        Command::Drive(options) => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(drive(options)),
        Command::Overhead(options) => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(overhead_report::run(options)),
        Command::Truth(options) => {
            let truth = truth::measure(&TruthOptions {
                variant: options.variant,
                also: options.also.into_iter().collect(),
                database: options.database,
                duration: options.duration,
                rate: options.rate,
                seed: options.seed,
            })?;
            match options.format {
                Format::Json => say(&serde_json::to_string_pretty(&truth)?),
                Format::Text => say(&describe(&truth)),
            }
        }
    }
}

async fn serve(options: Serve) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let server = Server::bind(ServeOptions {
        listen: options.listen,
        database: options.database,
        variants: options.variant.into_iter().collect(),
        idle_layer: options.idle_layer,
        measure: options.collector.map(|collector| MeasureOptions {
            deploy: options.deploy,
            host: options.host,
            collector,
            cell_width: options.cell_width,
            warm_up: options.warm_up,
            record_one_in: options.record_one_in,
            profile_one_in: options.profile_one_in,
        }),
    })
    .await?;
    say(&format!("listening on http://{}", server.address()))?;
    server
        .run(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        })
        .await?;
    Ok(())
}

fn seed_database(options: &Seed) -> Result<()> {
    let report = seed(&options.database, options.users)
        .with_context(|| format!("cannot make {}", options.database.display()))?;
    say(&format!(
        "{} users and {} posts in {} ({} KiB)",
        report.users,
        report.media,
        options.database.display(),
        report.bytes / 1024
    ))
}

async fn drive(options: Drive) -> Result<()> {
    let targets = Targets::new();
    for target in &options.target {
        targets.add(target)?;
    }
    let traffic = Traffic::start(
        TrafficOptions {
            seed: options.seed,
            users: options.users,
            seeded_users: options.users,
            rate: options.rate,
            in_flight: options.in_flight,
        },
        targets,
    )?;
    tokio::select! {
        () = tokio::time::sleep(options.duration) => {}
        result = tokio::signal::ctrl_c() => result?,
    }
    say(&serde_json::to_string_pretty(&traffic.stop().await)?)
}

fn describe(truth: &Truth) -> String {
    let mut text = format!("{}: {}", truth.variant, truth.variant.title());
    for endpoint in &truth.endpoints {
        text += &format!(
            "\n{} {}: {:+.1} % [{:+.1}, {:+.1}] CPU, {:.1} us to {:.1} us, {} and {} requests",
            endpoint.method,
            endpoint.endpoint,
            100.0 * endpoint.change,
            100.0 * endpoint.low,
            100.0 * endpoint.high,
            endpoint.base_ns / 1000.0,
            endpoint.variant_ns / 1000.0,
            endpoint.requests[0],
            endpoint.requests[1]
        );
    }
    if let Some(memory) = &truth.memory {
        text += &format!(
            "\n{}: {:.0} to {:.0} bytes of resident memory per request, {} requests on each side",
            memory.endpoint, memory.base_bytes, memory.variant_bytes, memory.requests_per_side
        );
    }
    text
}

/// One answer to standard output, at once: a reader may be waiting for the line.
fn say(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush().context("standard output")
}

/// `1s`, `250ms`, `1.5m`.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let split = text
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("a duration is a number and ms, s, m or h, as 1.5s".into()),
    };
    number
        .parse::<f64>()
        .ok()
        .and_then(|number| Duration::try_from_secs_f64(number * seconds).ok())
        .ok_or_else(|| format!("{number:?} is not a number of 0 or more"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_options_are_sound() {
        Options::command().debug_assert();
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(parse_duration("1s"), Ok(Duration::from_secs(1)));
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("1.5m"), Ok(Duration::from_secs(90)));
        for bad in ["", "1", "s", "-1s", "1d", "NaNs", "infs"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }
}
