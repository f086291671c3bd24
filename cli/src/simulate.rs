//! `appweight simulate` and `appweight evaluate`: days whose truth is known, and what the detector makes of them.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::Context;
use appweight::simulate::{Shape, Simulation};
use clap::ValueEnum;

use crate::units::share;

/// A service to simulate.
#[derive(Debug, clap::Args)]
pub(crate) struct ShapeArgs {
    /// The kind of service
    #[arg(long, env = "APPWEIGHT_SIMULATE_SHAPE", default_value = "usual")]
    pub(crate) shape: ShapeName,
    /// Requests per second of the whole service at the day's peak
    #[arg(
        long,
        env = "APPWEIGHT_SIMULATE_PEAK",
        default_value_t = 300.0,
        value_name = "REQUESTS",
        value_parser = peak
    )]
    pub(crate) peak: f64,
    /// Count 1 request in N
    #[arg(long, env = "APPWEIGHT_SIMULATE_ONE_IN", default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) one_in: u32,
    /// CPU time, in which hosts differ by 15 %, rather than instructions
    #[arg(long, env = "APPWEIGHT_SIMULATE_CPU")]
    pub(crate) cpu: bool,
    /// How large the changes are that are planted, either way
    #[arg(
        long,
        env = "APPWEIGHT_SIMULATE_CHANGES",
        default_value = "0.3%..20%",
        value_name = "LEAST..MOST",
        value_parser = changes
    )]
    pub(crate) changes: (f64, f64),
    /// Nothing ever changes
    #[arg(long, env = "APPWEIGHT_SIMULATE_UNCHANGED")]
    pub(crate) unchanged: bool,
    /// Days to simulate
    #[arg(long, env = "APPWEIGHT_SIMULATE_DAYS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=3_650))]
    pub(crate) days: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ShapeName {
    /// 40 endpoints on 2 clusters of 8 hosts, 40 deploys a day
    Usual,
    /// 25 endpoints on 3 clusters of 6 hosts, 28 deploys a day, heavier tails, slower warm-up; nothing was tuned on it
    HeldOut,
}

impl ShapeArgs {
    pub(crate) fn shape(&self) -> Shape {
        let mut shape = match self.shape {
            ShapeName::Usual => Shape::usual(self.peak),
            ShapeName::HeldOut => Shape::held_out(self.peak),
        };
        shape.counted_share = 1.0 / f64::from(self.one_in);
        shape.changes = self.changes;
        if self.cpu {
            shape = shape.in_cpu_time();
        }
        if self.unchanged {
            shape = shape.unchanged();
        }
        shape
    }
}

/// Some requests, but not endlessly many.
fn peak(text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(peak) if peak > 0.0 && peak.is_finite() => Ok(peak),
        _ => Err("write a number of requests per second over 0".to_owned()),
    }
}

/// `0.2%..20%`, as fractions.
fn changes(text: &str) -> Result<(f64, f64), String> {
    let (least, most) = text
        .split_once("..")
        .ok_or("write the least and the most, as 0.2%..20%")?;
    let (least, most) = (share(least)?, share(most)?);
    if least > most {
        return Err("the least is more than the most".to_owned());
    }
    Ok((least, most))
}

#[derive(Debug, clap::Args)]
pub(crate) struct Simulate {
    #[command(flatten)]
    pub(crate) shape: ShapeArgs,
    /// The same seed gives the same days
    #[arg(long, env = "APPWEIGHT_SIMULATE_SEED", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Where to write what is true of these days, one JSON object per line
    #[arg(long, env = "APPWEIGHT_SIMULATE_TRUTH", value_name = "FILE")]
    pub(crate) truth: Option<PathBuf>,
}

/// Writes the cells of simulated days.
pub(crate) fn run(options: &Simulate, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut simulation = Simulation::new(&options.shape.shape(), options.seed, options.shape.days);
    if let Some(path) = &options.truth {
        let file = File::create(path).with_context(|| path.display().to_string())?;
        let mut file = BufWriter::new(file);
        for truth in &simulation.plan.truth {
            serde_json::to_writer(&mut file, truth)?;
            writeln!(file)?;
        }
        file.flush()?;
    }
    write_cells(&mut simulation, out)
}

/// As `appweight judge` reads them.
pub(crate) fn write_cells(simulation: &mut Simulation, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, out);
    for deploy in simulation.deploy_lines() {
        serde_json::to_writer(&mut out, &deploy)?;
        writeln!(out)?;
    }
    let mut failed: Option<anyhow::Error> = None;
    while failed.is_none()
        && simulation.next_minute(&mut |cell| {
            let written = serde_json::to_writer(&mut out, cell)
                .map_err(anyhow::Error::from)
                .and_then(|()| Ok(writeln!(out)?));
            if let Err(error) = written {
                failed.get_or_insert(error);
            }
        })
    {}
    match failed {
        Some(error) => Err(error),
        None => Ok(out.flush()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_a_number_of_requests() {
        assert_eq!(peak("0.5"), Ok(0.5));
        for wrong in ["0", "-1", "nan", "inf", "many"] {
            assert!(peak(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn changes_are_two_percentages_in_order() {
        assert_eq!(changes("0.2%..20%"), Ok((0.002, 0.2)));
        assert_eq!(changes("5% .. 5 %"), Ok((0.05, 0.05)));
        for wrong in ["0.2%", "0%..20%", "20%..1%", "1..2", "1%..100%"] {
            assert!(changes(wrong).is_err(), "{wrong}");
        }
    }
}
