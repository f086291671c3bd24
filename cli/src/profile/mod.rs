//! `appweight profile`: profiles as tables, folded stacks, pprof files and flame graphs, and two of them
//! side by side.

mod args;
mod files;
mod table;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use appweight::profile::{
    Diff, Profile, Wrappers, diff, flamegraph, folded, function_costs, look_through, pprof,
};
use appweight::text;

pub(crate) use self::args::ProfileArgs;
use self::args::{DiffArgs, ProfileCommand, ProfileFormat, Shown};
use self::files::Side;
use crate::logging::complain;

/// Exit statuses are those of `appweight gate`.
const ABOVE: u8 = 1;
const CANNOT_TELL: u8 = 2;

/// Shows one profile, or two side by side.
pub(crate) fn run(options: &ProfileArgs, out: &mut dyn Write) -> ExitCode {
    let ran = match &options.command {
        Some(ProfileCommand::Diff(options)) => compare(options, out),
        None => show(options, out),
    };
    ran.unwrap_or_else(|error| {
        complain(&error);
        ExitCode::from(CANNOT_TELL)
    })
}

fn show(options: &ProfileArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let side = Side::read(&options.pprof, options.shown.value.as_deref())?;
    let (profile, per) = side.counted(options.requests);
    let profile = options.shown.look_through(&profile);
    let title = options
        .pprof
        .iter()
        .map(|path| path.display().to_string())
        .collect::<Vec<_>>()
        .join(", ");
    match options.shown.format {
        ProfileFormat::Table => {
            let costs = function_costs(&profile);
            table::one(out, &profile, &costs, per, options.shown.top)?;
        }
        ProfileFormat::Folded => out.write_all(folded::write(&profile).as_bytes())?,
        ProfileFormat::Pprof => out.write_all(&pprof::write(&profile))?,
        ProfileFormat::Svg => out.write_all(&flamegraph::draw(&profile, &title)?)?,
        ProfileFormat::Json => {
            serde_json::to_writer_pretty(&mut *out, &table::json(&profile))?;
            writeln!(out)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn compare(options: &DiffArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let value = options.shown.value.as_deref();
    let before = Side::read(std::slice::from_ref(&options.before), value)?;
    let after = Side::read(std::slice::from_ref(&options.after), value)?;
    let (sides, per) = files::counted_alike(&before, &after, &options.requests);
    let [before, after] = sides.map(|side| options.shown.look_through(&side));
    let found = diff(&before, &after, options.confidence)?.times(per.size());
    match options.shown.format {
        ProfileFormat::Table => table::two(out, &found, per, options.shown.top)?,
        ProfileFormat::Folded => {
            out.write_all(folded::write_difference(&before, &after).as_bytes())?;
        }
        ProfileFormat::Svg => {
            let title = format!(
                "{} against {}",
                options.after.display(),
                options.before.display()
            );
            out.write_all(&flamegraph::draw_difference(&before, &after, &title)?)?;
        }
        ProfileFormat::Json => {
            serde_json::to_writer_pretty(&mut *out, &found)?;
            writeln!(out)?;
        }
        ProfileFormat::Pprof => anyhow::bail!(
            "a difference has no pprof form: take table, json, folded or svg, or give both files to `go tool pprof -diff_base`"
        ),
    }
    match options.max_increase {
        Some(limit) => judge(&found, limit, options.shown.format, out),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// Holds the increase of the total to the limit.
fn judge(
    found: &Diff,
    limit: f64,
    format: ProfileFormat,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let allowed = found.total.before * limit;
    let (word, code, why) = match found.total.interval {
        Some(interval) if interval.low > allowed => ("FAIL", ABOVE, String::new()),
        Some(interval) if interval.high <= allowed => ("PASS", 0, String::new()),
        Some(_) => (
            "CANNOT TELL",
            CANNOT_TELL,
            ": the interval holds the limit".to_owned(),
        ),
        None => (
            "CANNOT TELL",
            CANNOT_TELL,
            ": there is no interval; give five files or more on each side".to_owned(),
        ),
    };
    if format == ProfileFormat::Table {
        writeln!(
            out,
            "{word}: at most {} allowed{why}",
            text::signed_percent(limit)
        )
        .context("the answer cannot be printed")?;
    }
    Ok(ExitCode::from(code))
}

impl Shown {
    fn look_through(&self, profile: &Profile) -> Profile {
        if self.raw {
            return profile.clone();
        }
        let wrappers = Wrappers::of_rust().and(&self.look_through);
        look_through(profile, &wrappers)
    }
}
