//! `appweight profile`: profiles as tables, folded stacks, pprof files and flame graphs, and two of them
//! side by side.

mod args;
mod files;
mod kept;
#[cfg(test)]
mod kept_tests;
mod neighbours;
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
use self::files::{Per, Side};
use self::neighbours::Found;
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
    let (profile, per, heading, title) = match &options.deploy {
        Some(deploy) => {
            let kept = kept::one(&options.kept, deploy)?;
            (kept.profile, kept.per, Some(kept.heading), kept.title)
        }
        None => {
            let side = Side::read(&options.pprof, options.shown.value.as_deref())?;
            let (profile, per) = side.counted(options.requests);
            let paths = options.pprof.iter().map(|path| path.display().to_string());
            (profile, per, None, paths.collect::<Vec<_>>().join(", "))
        }
    };
    let profile = options.shown.look_through(&profile);
    if let Some((around, name)) = options.around() {
        let found = Found::of(&profile, name)?;
        match options.shown.format {
            ProfileFormat::Table => {
                head(out, heading.as_deref())?;
                found.table(out, around, per, options.shown.top)?;
            }
            ProfileFormat::Json => json(out, &found.json())?,
            ProfileFormat::Folded | ProfileFormat::Pprof | ProfileFormat::Svg => {
                anyhow::bail!("callers and callees are told as a table or as json")
            }
        }
        return Ok(ExitCode::SUCCESS);
    }
    match options.shown.format {
        ProfileFormat::Table => {
            head(out, heading.as_deref())?;
            let costs = function_costs(&profile);
            table::one(out, &profile, &costs, per, options.shown.top)?;
        }
        ProfileFormat::Folded => out.write_all(folded::write(&profile).as_bytes())?,
        ProfileFormat::Pprof => out.write_all(&pprof::write(&profile))?,
        ProfileFormat::Svg => out.write_all(&flamegraph::draw(&profile, &title)?)?,
        ProfileFormat::Json => json(out, &table::json(&profile))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn json(out: &mut dyn Write, value: &impl serde::Serialize) -> anyhow::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    Ok(writeln!(out)?)
}

fn compare(options: &DiffArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let (sides, per, heading) = sides(options)?;
    let [before, after] = sides.map(|side| options.shown.look_through(&side));
    let found = diff(&before, &after, options.confidence)?.times(per.size());
    match options.shown.format {
        ProfileFormat::Table => {
            head(out, heading.as_deref())?;
            table::two(out, &found, per, options.shown.top)?;
        }
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
        ProfileFormat::Json => json(out, &found)?,
        ProfileFormat::Pprof => anyhow::bail!(
            "a difference has no pprof form: take table, json, folded or svg, or give both files to `go tool pprof -diff_base`"
        ),
    }
    match options.max_increase {
        Some(limit) => judge(&found, limit, per, options.shown.format, out),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// Both sides by the same count: what the collector keeps of two deploys, or files.
fn sides(options: &DiffArgs) -> anyhow::Result<([Profile; 2], Per, Option<String>)> {
    if options.kept.endpoint.is_some() {
        let ids = [&options.before, &options.after].map(|id| id.to_string_lossy());
        let [before, after] = kept::two(&options.kept, [&ids[0], &ids[1]])?;
        let heading = format!("{}\n{}", before.heading, after.heading);
        return Ok(([before.profile, after.profile], after.per, Some(heading)));
    }
    for path in [&options.before, &options.after] {
        if !path.exists() {
            anyhow::bail!(
                "there is no file {}; if it is a deploy's id, say with --endpoint which of its profiles is meant",
                path.display()
            );
        }
    }
    let value = options.shown.value.as_deref();
    let before = Side::read(std::slice::from_ref(&options.before), value)?;
    let after = Side::read(std::slice::from_ref(&options.after), value)?;
    let (sides, per) = files::counted_alike(&before, &after, &options.requests);
    Ok((sides, per, None))
}

fn head(out: &mut dyn Write, heading: Option<&str>) -> anyhow::Result<()> {
    if let Some(heading) = heading {
        // Names in it come from services, and go to a terminal.
        let heading: String = heading
            .chars()
            .map(|letter| {
                if letter.is_control() && letter != '\n' {
                    '?'
                } else {
                    letter
                }
            })
            .collect();
        writeln!(out, "{heading}")?;
    }
    Ok(())
}

/// Holds the increase of the total to the limit.
fn judge(
    found: &Diff,
    limit: f64,
    per: Per,
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
            format!(": there is no interval; it takes {}", per.enough()),
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
