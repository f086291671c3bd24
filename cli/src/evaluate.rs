//! `appweight evaluate`: the detector's verdicts on simulated days against what is true of them.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::bail;
use appweight::detect::Detector;
use appweight::simulate::{Power, Score, score};

use crate::cell_lines::{Line, each_line};
use crate::services::Services;
use crate::simulate::ShapeArgs;

#[derive(Debug, clap::Args)]
pub(crate) struct Evaluate {
    #[command(flatten)]
    pub(crate) shape: ShapeArgs,
    /// The first seed
    #[arg(long, env = "APPWEIGHT_EVALUATE_SEED", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Seeds, one after the other
    #[arg(long, env = "APPWEIGHT_EVALUATE_SEEDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) seeds: u64,
    /// Tell each mistake
    #[arg(long, env = "APPWEIGHT_EVALUATE_MISTAKES")]
    pub(crate) mistakes: bool,
    /// Tell by endpoint the smallest change that is seen in 5, 15 and 60 minutes
    #[arg(long, env = "APPWEIGHT_EVALUATE_POWER")]
    pub(crate) power: bool,
    /// With --power: tell it of your own traffic, from a file as `appweight judge` reads it, instead of simulated days
    #[arg(
        long,
        env = "APPWEIGHT_EVALUATE_CELLS",
        requires = "power",
        conflicts_with_all = ["seed", "seeds", "mistakes"],
        value_name = "FILE"
    )]
    pub(crate) cells: Option<PathBuf>,
}

/// Standard errors that a change must have to be called in four cases of five after 5, 15 and 60 minutes: 4.8 in a usual
/// minute and 3.7 at the watch's end to be called in half of them, and 0.84 more (the normal quantile of 80 %).
const SEEN_AT: [f64; 3] = [5.64, 5.64, 4.54];

/// Simulates, judges and prints the score.
pub(crate) fn run(options: &Evaluate, out: &mut dyn Write) -> anyhow::Result<()> {
    if let Some(cells) = &options.cells {
        for (at, (service, power)) in power_of(cells)?.iter().enumerate() {
            if at > 0 {
                writeln!(out)?;
            }
            writeln!(out, "service {service:?}")?;
            print_power(out, power)?;
        }
        return Ok(());
    }
    let shape = options.shape.shape();
    let mut all = Score::default();
    for seed in (0..options.seeds).map(|next| options.seed.wrapping_add(next)) {
        all.absorb(score(&shape, seed, options.shape.days));
    }
    print(out, &all)?;
    if options.power {
        writeln!(out)?;
        print_power(out, &all.power)?;
    }
    if options.mistakes {
        writeln!(out)?;
        for mistake in &all.mistakes {
            writeln!(out, "{mistake}")?;
        }
    }
    Ok(())
}

fn share(part: usize, whole: usize) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    format!(
        "{:.1} % ({part} of {whole})",
        100.0 * part as f64 / whole as f64
    )
}

fn oracle(score: &Score) -> String {
    score
        .oracle_finds()
        .filter(|_| score.planted > 0)
        .map_or("-".to_owned(), |finds| {
            let share = 100.0 * finds / score.planted as f64;
            format!("{share:.1} % ({finds:.0} of {})", score.planted)
        })
}

fn print(out: &mut dyn Write, score: &Score) -> anyhow::Result<()> {
    let median = score
        .median_minutes()
        .map_or("-".to_owned(), |minutes| format!("{minutes}"));
    let per_100 = |part: usize, whole: usize| match whole {
        0 => "-".to_owned(),
        _ => format!(
            "{:.3} ({part} of {whole})",
            100.0 * part as f64 / whole as f64
        ),
    };
    let rows = [
        ("days", format!("{}", score.days)),
        (
            "found, of changes of 4 oracle standard errors",
            share(score.found, score.detectable),
        ),
        (
            "found, of all planted",
            share(score.planted_found, score.planted),
        ),
        ("the oracle, at as many false alarms", oracle(score)),
        (
            "false alarms per 100 clean pairs",
            per_100(score.false_alarms, score.clean_pairs),
        ),
        (
            "the same, withdrawn ones too",
            per_100(score.ever_false, score.clean_pairs),
        ),
        (
            "clean deploys alarmed",
            share(score.clean_deploys_alarmed, score.clean_deploys),
        ),
        (
            "deploy called and nothing else",
            share(score.found_alone, score.detectable),
        ),
        (
            "95 % interval covers",
            share(score.covered, score.intervals),
        ),
        (
            "the same of alarmed pairs",
            share(score.alarmed_covered, score.alarmed_intervals),
        ),
        (
            "width of intervals, oracle's = 1",
            format!("{:.2}", score.widths.0 / score.widths.1),
        ),
        ("median minutes", median),
        (
            "changes of all endpoints called on the service's line",
            share(score.service_found, score.service_changes),
        ),
        (
            "false alarms there, of clean deploys",
            share(score.service_false_alarms, score.clean_deploys),
        ),
        ("flags found", share(score.flags_found, score.flag_changes)),
        (
            "false alarms per 100 clean flag pairs",
            per_100(score.flag_false_alarms, score.clean_flag_pairs),
        ),
    ];
    for (name, value) in rows {
        writeln!(out, "{name:<55} {value}")?;
    }
    writeln!(
        out,
        "\n{:<20} {:>12} {:>18} {:>20}",
        "near a trap", "clean pairs", "standing changed", "deploys regressed"
    )?;
    for (trap, [pairs, standing, deploys]) in &score.traps {
        writeln!(
            out,
            "{:<20} {pairs:>12} {standing:>18} {deploys:>20}",
            trap.name()
        )?;
    }
    Ok(())
}

/// What a detector could see in those cells after each of their roll-outs, by service.
fn power_of(cells: &Path) -> anyhow::Result<Vec<(String, Power)>> {
    let mut services = Services::<OwnPower>::default();
    each_line(cells, |line| {
        match line {
            Line::Deploy(deploy) => {
                let own = services.of_deploy(&deploy, OwnPower::default)?;
                own.power.note_deploy(&deploy);
                own.detector.add_deploy(deploy);
            }
            Line::Cell(cell) => {
                let own = services.of_cell(&cell)?;
                own.detector.add_cell(&cell)?;
                own.power.note_cell(&cell);
                if let Some(closed) = own.minute.filter(|minute| *minute < cell.minute) {
                    own.power.look(&own.detector, closed);
                }
                own.minute = Some(cell.minute);
            }
        }
        Ok(())
    })?;
    let all = services.all().into_iter();
    let all: Vec<_> = all.map(|(service, own)| (service, own.power)).collect();
    if all
        .iter()
        .all(|(_, power)| power.median_errors().next().is_none())
    {
        bail!(
            "{} has no roll-out after which a detector could see anything for five minutes: what replaces a deploy of the file has to be in it, with minutes before and after",
            cells.display()
        );
    }
    Ok(all)
}

/// What is read of one service.
#[derive(Default)]
struct OwnPower {
    detector: Detector,
    power: Power,
    /// That of the last cell.
    minute: Option<i64>,
}

fn print_power(out: &mut dyn Write, power: &Power) -> anyhow::Result<()> {
    writeln!(out, "smallest change seen in four cases of five")?;
    writeln!(
        out,
        "{:<20} {:>12} {:>8} {:>8} {:>8}",
        "endpoint", "requests/min", "5 min", "15 min", "60 min"
    )?;
    for (endpoint, per_minute, errors) in power.median_errors() {
        let seen: [String; 3] = std::array::from_fn(|at| {
            errors[at].map_or("-".to_owned(), |error| {
                format!("{:.2} %", 100.0 * (SEEN_AT[at] * error).exp_m1())
            })
        });
        writeln!(
            out,
            "{endpoint:<20} {per_minute:>12.0} {:>8} {:>8} {:>8}",
            seen[0], seen[1], seen[2]
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use appweight::simulate::{Shape, Simulation};

    use super::*;
    use crate::simulate::write_cells;

    #[test]
    fn power_of_a_file_is_that_of_the_days_it_was_written_of() {
        let shape = Shape {
            endpoints: 3,
            hosts_per_cluster: 2,
            deploys_per_day: 6,
            ..Shape::usual(300.0)
        };
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut simulation = Simulation::new(&shape, 5, 1);
        write_cells(&mut simulation, &mut file.as_file()).unwrap();
        // Another service with the same names for all but its deploys is none of it.
        let own = std::fs::read_to_string(file.path()).unwrap();
        let other = own.replace("\"service\":\"photo\"", "\"service\":\"other\"");
        let other = other.replace("\"d0", "\"o0");
        assert_ne!(own, other);
        let mut lines: Vec<&str> = own.lines().chain(other.lines()).collect();
        // As a file has them: deploys first, and in order of time.
        let minute = |line: &&str| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["minute"].as_i64().unwrap_or(i64::MIN)
        };
        lines.sort_by_cached_key(minute);
        std::fs::write(file.path(), lines.join("\n")).unwrap();
        let services = power_of(file.path()).unwrap();
        let names: Vec<_> = services.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["photo", "other"]);
        let power = &services[0].1;
        let known = score(&shape, 5, 1).power;
        assert_eq!(power.median_errors().count(), shape.endpoints);
        for (own, known) in power.median_errors().zip(known.median_errors()) {
            assert_eq!((own.0, own.1), (known.0, known.1));
            // A file has decimal figures.
            for (own, known) in own.2.iter().zip(known.2) {
                let (own, known) = own.zip(known).expect("both are known");
                assert!((own / known - 1.0).abs() < 1e-9, "{own} and {known}");
            }
            let [Some(first), _, Some(last)] = own.2 else {
                panic!("{own:?} knows no error");
            };
            assert!(last < first, "{own:?}");
        }
        let mut told = Vec::new();
        print_power(&mut told, power).unwrap();
        let told = String::from_utf8(told).unwrap();
        assert_eq!(told.lines().count(), 2 + shape.endpoints, "{told}");
    }

    #[test]
    fn a_file_without_roll_outs_says_what_it_lacks() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let why = power_of(file.path()).unwrap_err().to_string();
        assert!(why.contains("has no roll-out"), "{why}");
    }
}
