//! Which traps of a simulated day touch a clean pair of deploy and endpoint.

use super::plan::Plan;
use super::truth::Cause;

/// Minutes before a roll-out that it is compared with, and after it for which it is watched.
const BEFORE: i64 = 30;
const AFTER: i64 = 60;

/// What might be taken for a deploy's change and is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trap {
    /// The endpoint is asked for more often.
    MixShift,
    /// Everything costs more for a while.
    Spike,
    /// One host costs more for a while.
    BadHost,
    /// The endpoint grows dearer over hours.
    Drift,
    /// Another deploy that changed the endpoint is watched at the same time.
    Overlap,
    /// A flag that changes the endpoint is ramped up.
    FlagRamp,
    /// Processes warm up, and no other trap is near.
    WarmUp,
}

impl Trap {
    /// In a few words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::MixShift => "mix shift",
            Self::Spike => "spike",
            Self::BadHost => "bad host",
            Self::Drift => "drift",
            Self::Overlap => "overlapping deploy",
            Self::FlagRamp => "ramp of a flag",
            Self::WarmUp => "warm-up alone",
        }
    }

    /// Those that are near a deploy's endpoint while it is watched.
    pub(super) fn near(plan: &Plan, deploy: usize, endpoint: usize) -> Vec<Self> {
        let of = &plan.deploys[deploy];
        let (from, until) = (of.start - BEFORE, of.end + AFTER);
        let name = &plan.endpoints[endpoint];
        let mut near: Vec<Self> = Vec::new();
        for truth in &plan.truth {
            let trap = match truth.cause {
                Cause::MixShift => Self::MixShift,
                Cause::Spike => Self::Spike,
                Cause::BadHost => Self::BadHost,
                Cause::Drift => Self::Drift,
                Cause::Deploy | Cause::Flag => continue,
            };
            let is_its = truth.endpoint.as_ref().is_none_or(|of| of == name);
            let is_then = truth.start <= until && truth.end.is_none_or(|end| end >= from);
            if is_its && is_then {
                near.push(trap);
            }
        }
        let others = plan.deploys.iter().enumerate().skip(1);
        let mut others =
            others.filter(|(at, other)| *at != deploy && other.effects[endpoint] != 0.0);
        if others.any(|(_, other)| other.start <= until && other.end + AFTER >= of.start) {
            near.push(Self::Overlap);
        }
        let mut flags = plan
            .flags
            .iter()
            .filter(|flag| flag.effects[endpoint] != 0.0);
        if flags.any(|flag| (of.start..=until).any(|minute| flag.is_ramping(minute))) {
            near.push(Self::FlagRamp);
        }
        if near.is_empty() {
            near.push(Self::WarmUp);
        }
        near.dedup();
        near
    }
}
