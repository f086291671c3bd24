//! How the cost of the agent is shown.

use std::fmt::Write;
use std::io::IsTerminal;
use std::time::Duration;

use anyhow::{Context, Result};
use photo_backend::Endpoint;
use photo_backend::overhead::{Change, Overhead, OverheadOptions, Row, Workload, measure};

use crate::options::{AskedFor, Format, OverheadCommand};
use crate::say;

/// Between two lines of progress where nobody watches.
const EVERY: Duration = Duration::from_secs(30);

pub(crate) async fn run(command: OverheadCommand) -> Result<()> {
    let this = std::env::current_exe().context("this program's own path")?;
    let workloads = match command.workload {
        AskedFor::Mix => vec![Workload::Mix],
        AskedFor::Lightest => vec![Workload::Only(Endpoint::LIGHTEST)],
        AskedFor::Both => vec![Workload::Mix, Workload::Only(Endpoint::LIGHTEST)],
    };
    let mut results = Vec::new();
    for workload in workloads {
        let options = OverheadOptions {
            appweight: command
                .appweight
                .clone()
                .unwrap_or_else(|| this.with_file_name("appweight")),
            photo_backend: this.clone(),
            workload,
            starts: command.starts as usize,
            pairs: command.pairs as usize,
            block: command.block,
            connections: command.connections as usize,
            users: command.users,
            record_one_in: command.record_one_in,
            seed: command.seed,
            idle_layer: command.idle_layer,
        };
        let mut progress = Progress::of(name(workload));
        let result = measure(&options, |done, all| progress.show(done, all)).await?;
        progress.end();
        if command.format == Format::Text {
            say(&describe(&result))?;
        }
        results.push(result);
    }
    if command.format == Format::Json {
        say(&serde_json::to_string_pretty(&results)?)?;
    }
    Ok(())
}

/// On standard error: one line that changes, or a line now and then where it cannot.
struct Progress {
    name: String,
    said: Option<std::time::Instant>,
}

impl Progress {
    fn of(name: String) -> Self {
        Self { name, said: None }
    }

    fn show(&mut self, done: usize, all: usize) {
        let mut out = std::io::stderr().lock();
        let line = format!("{}: {done} of {all} pairs", self.name);
        // Progress is for people: if it cannot be shown, the measurement goes on.
        let _ = if out.is_terminal() {
            std::io::Write::write_fmt(&mut out, format_args!("\r{line} "))
        } else if self.said.is_none_or(|said| said.elapsed() >= EVERY) {
            self.said = Some(std::time::Instant::now());
            std::io::Write::write_fmt(&mut out, format_args!("{line}\n"))
        } else {
            Ok(())
        };
    }

    fn end(&self) {
        let mut out = std::io::stderr().lock();
        if out.is_terminal() {
            let _ = std::io::Write::write_all(&mut out, b"\n");
        }
    }
}

fn name(workload: Workload) -> String {
    match workload {
        Workload::Mix => "the day's mix".to_owned(),
        Workload::Only(endpoint) => format!("{endpoint} alone"),
    }
}

/// A table in Markdown, with what has to be known to read it.
fn describe(result: &Overhead) -> String {
    let mut text = format!(
        "\n{}: {} starts of {} pairs of blocks of {} requests; the service's CPUs were {:.0} % busy\n\n",
        name(result.workload),
        result.starts,
        result.pairs,
        result.requests_per_block,
        100.0 * result.busy,
    );
    let control = if result.idle_layer {
        "a layer that does nothing"
    } else {
        "without against without"
    };
    let _ = writeln!(
        text,
        "| | without | with | difference, 95 % interval | shall lie within | {control} |"
    );
    text += "| --- | ---: | ---: | ---: | ---: | ---: |\n";
    for row in &result.rows {
        line(&mut text, row);
    }
    let share = result.agent_share();
    let bar = Overhead::agent_bar();
    let _ = writeln!(
        text,
        "| the agent's own CPU, of the process's | | {:.3} % | | {:.1} %: {} | |",
        100.0 * share,
        100.0 * bar,
        verdict(share <= bar),
    );
    for row in &result.rows {
        if row.is_within() == Some(false) {
            text += &match row.times_more() {
                Some(times) => format!(
                    "\n{}: the interval is too wide; about {:.0} starts would show it here",
                    row.name,
                    (times * f64::from(u32::try_from(result.starts).unwrap_or(u32::MAX))).ceil(),
                ),
                None => format!("\n{}: the difference itself is too large", row.name),
            };
        }
    }
    text
}

fn line(text: &mut String, row: &Row) {
    let bar = row
        .bar
        .zip(row.is_within())
        .map(|(bar, within)| format!("±{:.0} %: {}", 100.0 * bar, verdict(within)));
    // A string takes everything.
    let _ = writeln!(
        text,
        "| {} | {:.1} | {:.1} | {} | {} | {} |",
        row.name,
        row.without,
        row.with,
        change(row.change),
        bar.unwrap_or_default(),
        change(row.floor),
    );
}

fn verdict(within: bool) -> &'static str {
    if within { "yes" } else { "no" }
}

fn change(change: Change) -> String {
    format!(
        "{:+.2} % [{:+.2}, {:+.2}]",
        100.0 * change.change,
        100.0 * change.low,
        100.0 * change.high
    )
}
