//! What the code that runs says about the request it runs for.

use std::collections::BTreeMap;
use std::sync::Arc;

use appweight_wire::{Downstream, Flag, Kind, limits};

use crate::children::Family;
use crate::current;
use crate::names::clean;

/// What there is to tell.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    /// What it has started elsewhere.
    pub(crate) family: Option<Arc<Family>>,
    pub(crate) flags: Vec<Flag>,
    pub(crate) downstream: BTreeMap<String, Downstream>,
}

impl Gathered {
    /// Of a child, whose own children belong to the same request.
    pub(crate) fn of_child(family: Arc<Family>) -> Box<Self> {
        Box::new(Self {
            family: Some(family),
            ..Self::default()
        })
    }

    /// Adds what was told in another part of the same request.
    pub(crate) fn join(whole: &mut Option<Box<Self>>, part: Option<Box<Self>>) {
        let Some(part) = part else { return };
        let whole = whole.get_or_insert_default();
        for flag in part.flags {
            whole.set_flag(flag);
        }
        for (name, calls) in part.downstream {
            whole.add_calls(&name, calls);
        }
    }

    fn set_flag(&mut self, flag: Flag) {
        if let Some(known) = self.flags.iter_mut().find(|known| known.name == flag.name) {
            known.value = flag.value;
        } else if self.flags.len() < limits::FACTS {
            self.flags.push(flag);
        }
    }

    fn add_calls(&mut self, name: &str, calls: Downstream) {
        if let Some(known) = self.downstream.get_mut(name) {
            known.calls = known.calls.saturating_add(calls.calls);
            known.wall_ns = known.wall_ns.saturating_add(calls.wall_ns);
        } else if self.downstream.len() < limits::FACTS {
            self.downstream.insert(name.to_owned(), calls);
        }
    }
}

/// The family of the current request, for a child to join; `None` without a request.
pub(crate) fn family() -> Option<Arc<Family>> {
    current::with(|measurement| {
        let (core, whose) = (measurement.core(), measurement.whose());
        let family = &mut measurement.gathered().family;
        Arc::clone(family.get_or_insert_with(|| Family::new(core, whose)))
    })
}

/// What runs in the calling thread: its kind and its endpoint's number. Neither allocates nor waits.
pub(crate) fn whose() -> Option<(Kind, u32)> {
    current::with(|measurement| measurement.whose())
}

/// Says which value of a feature flag the current request (or task) sees. Every value is then
/// counted in cells of its own and can be compared with the others.
///
/// The last value of a flag counts; without a current request nothing happens. A request keeps at
/// most 64 flags, an endpoint is counted for at most 64 pairs of flag and value.
pub fn flag(name: &str, value: &str) {
    if name.is_empty() {
        return;
    }
    current::with(|measurement| {
        measurement.gathered().set_flag(Flag {
            name: clean(name).into_owned(),
            value: clean(value).into_owned(),
        });
    });
}

/// Adds one call to a downstream of the current request.
pub(crate) fn add_downstream(name: &str, wall_ns: u64) {
    if name.is_empty() {
        return;
    }
    current::with(|measurement| {
        if measurement.with_downstream() {
            let call = Downstream { calls: 1, wall_ns };
            measurement.gathered().add_calls(&clean(name), call);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Core;
    use crate::counters::Counters;
    use crate::hooks::Hooks;
    use crate::measurement::Measurement;
    use crate::settings::Settings;

    #[test]
    fn facts_go_to_the_current_request_only_and_are_bounded() {
        flag("lost", "no request");
        let mut settings = Settings::default();
        settings.record_one_in = 1;
        let core = Core::new(settings, Arc::new(Hooks::default()), Counters::probe());
        let request = Measurement::begin(core, Kind::Request, "/", None, None);
        assert!(current::swap(Some(request)).is_none());
        flag("ranker", "v1");
        flag("ranker", "v2");
        flag("", "nameless");
        for index in 0..200 {
            flag(&format!("flag-{index}"), "on");
            add_downstream(&format!("shard-{index}"), 1);
        }
        add_downstream("shard-0", 4);
        let mut request = current::swap(None).unwrap();
        let facts = request.gathered();
        assert_eq!(facts.flags.len(), limits::FACTS);
        assert_eq!(facts.flags[0].value, "v2");
        assert_eq!(facts.downstream.len(), limits::FACTS);
        assert_eq!(
            facts.downstream["shard-0"],
            Downstream {
                calls: 2,
                wall_ns: 5
            }
        );
    }
}
