//! Profiles that a collector keeps.

use appweight::api::{ProfileDiff, ProfileSummary, ProfileView};
use appweight::profile::{Builds, Profile, Taken, Timer, of_tree};
use appweight_wire::{Age, InstructionSource};

use super::args::Kept;
use super::files::Per;
use crate::Collector;
use crate::units::minute;

/// A deploy's profile, with a line on what it is.
#[derive(Debug)]
pub(super) struct KeptProfile {
    pub(super) profile: Profile,
    pub(super) per: Per,
    pub(super) heading: String,
    /// Whose it is and what it counts, in a few words.
    pub(super) title: String,
}

/// Asks for the profile of a deploy.
pub(super) fn one(asked: &Kept, deploy: &str) -> anyhow::Result<KeptProfile> {
    let collector = asked.at.client()?;
    let mut query = asked.query();
    query.push(("deploy", deploy.to_owned()));
    Ok(read(&ask(&collector, "/v1/profile", &query)?))
}

/// Asks for the profiles of two deploys that are of the same.
pub(super) fn two(asked: &Kept, deploys: [&str; 2]) -> anyhow::Result<[KeptProfile; 2]> {
    let collector = asked.at.client()?;
    let mut query = asked.query();
    for (name, deploy) in [("base", deploys[0]), ("head", deploys[1])] {
        query.push((name, deploy.to_owned()));
    }
    // Of what both have a profile is known there.
    query.push(("limit", "1".to_owned()));
    let both: ProfileDiff = ask(&collector, "/v1/profile/diff", &query)?;
    let side = |deploy: &str| -> anyhow::Result<KeptProfile> {
        let mut query = both.of.parameters().to_vec();
        query.extend([("service", both.service.as_str()), ("deploy", deploy)]);
        Ok(read(&collector.get("/v1/profile", &query)?))
    };
    Ok([side(deploys[0])?, side(deploys[1])?])
}

fn ask<T: serde::de::DeserializeOwned>(
    collector: &Collector,
    path: &str,
    query: &[(&str, String)],
) -> anyhow::Result<T> {
    let query: Vec<(&str, &str)> = query
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    collector.get(path, &query)
}

impl Kept {
    fn query(&self) -> Vec<(&'static str, String)> {
        [
            ("service", self.service.clone()),
            ("endpoint", self.endpoint.clone()),
            ("timer", self.timer.clone()),
            ("taken", self.taken.map(|taken| taken.as_str().to_owned())),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }
}

fn read(view: &ProfileView) -> KeptProfile {
    let of = &view.summary.of;
    let mut profile = of_tree(&view.tree, Timer::new(&of.timer, &of.unit), of.taken);
    let per = if profile.requests() == 0 {
        profile.count(1, 0);
        Per::Deploy
    } else {
        Per::Profiled
    };
    KeptProfile {
        profile,
        per,
        heading: heading(view),
        title: format!("{}, {}", whose(view), of.timer),
    }
}

/// The digits of a build's id that are shown: enough to tell it from others by.
const DIGITS: usize = 12;

fn build(builds: &Builds) -> Option<String> {
    match (builds.count(), builds.only()) {
        (0, _) => None,
        (_, Some(id)) => Some(format!(
            "build {}",
            id.chars().take(DIGITS).collect::<String>()
        )),
        (count, None) => Some(format!("{count} builds")),
    }
}

/// What was counted and how, and when.
fn recorded(summary: &ProfileSummary) -> String {
    let of = &summary.of;
    let how = match of.instruction_source {
        InstructionSource::None => "",
        InstructionSource::HardwareUser => ", counted by the CPU in user mode",
        InstructionSource::HardwareAll => ", counted by the CPU in user mode and in the kernel",
        InstructionSource::Simulated => ", counted by a simulator",
    };
    let what = if of.unit == of.timer {
        of.timer.clone()
    } else {
        format!("{} in {}", of.timer, of.unit)
    };
    let (from, until) = (minute(summary.from_us), minute(summary.until_us));
    format!(
        "{what}{how}, of {} profiled {}s, from {from} to {until}",
        summary.requests,
        of.kind.as_str(),
    )
}

fn whose(view: &ProfileView) -> String {
    let endpoint = match view.summary.of.endpoint.as_str() {
        "" => "whole processes (samples that belong to no request)",
        endpoint => endpoint,
    };
    format!("{} {}: {endpoint}", view.service, view.deploy)
}

fn heading(view: &ProfileView) -> String {
    let of = &view.summary.of;
    let mut facts = vec![match of.taken {
        Taken::Scopes => "every call of the instrumented functions".to_owned(),
        Taken::Sampled if of.unit == "bytes" => {
            format!("{} sampled allocations", view.summary.samples)
        }
        Taken::Sampled => format!("{} sampled stacks", view.summary.samples),
    }];
    if view.summary.lost_samples > 0 {
        facts.push(format!("{} lost", view.summary.lost_samples));
    }
    if of.age == Age::WarmingUp {
        facts.push("processes that were warming up".to_owned());
    }
    facts.extend(build(&view.tree.builds));
    if view.tree.folded > 0 {
        facts.push(format!(
            "{} nodes folded into their callers",
            view.tree.folded
        ));
    }
    let cost = view.tree.timer_cost.told(&of.unit);
    let cost = cost.map_or(String::new(), |cost| format!("\n{cost}"));
    format!(
        "{}, {}\n{}{cost}",
        whose(view),
        facts.join(", "),
        recorded(&view.summary),
    )
}
