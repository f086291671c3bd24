//! What the code that runs says about the request it runs for.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::mem::ManuallyDrop;
use std::sync::Arc;

use appweight_wire::{Downstream, Flag, Kind, limits};

use crate::children::Family;
use crate::core::Core;
use crate::names::clean;

/// The facts of one request or task, gathered while it runs. Most have none: three words that are
/// moved at the edges of every poll.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// Cells do not hold downstreams: they are gathered only for what is recorded.
    with_downstream: bool,
    kind: Kind,
    /// The endpoint's number.
    endpoint: u32,
    /// Whose request it is; `None` for what is put aside.
    core: Option<&'static Core>,
    gathered: Option<Box<Gathered>>,
}

/// What there is to tell.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    /// What it has started elsewhere.
    pub(crate) family: Option<Arc<Family>>,
    pub(crate) flags: Vec<Flag>,
    pub(crate) downstream: BTreeMap<String, Downstream>,
}

impl Facts {
    /// Those of a request or task that goes on, with what was gathered until now.
    #[inline]
    pub(crate) fn new(
        core: &'static Core,
        (kind, endpoint): (Kind, u32),
        with_downstream: bool,
        gathered: Option<Box<Gathered>>,
    ) -> Self {
        Self {
            with_downstream,
            kind,
            endpoint,
            core: Some(core),
            gathered,
        }
    }

    /// Those that were gathered before.
    pub(crate) fn of(gathered: Option<Box<Gathered>>) -> Self {
        Self {
            gathered,
            ..Self::default()
        }
    }

    /// What was gathered.
    #[inline]
    pub(crate) fn take(self) -> Option<Box<Gathered>> {
        self.gathered
    }

    /// Those of a child, whose own children belong to the same request.
    pub(crate) fn of_child(core: &'static Core, family: Arc<Family>) -> Self {
        let (kind, endpoint) = family.whose();
        Self {
            with_downstream: true,
            kind,
            endpoint,
            core: Some(core),
            gathered: Some(Box::new(Gathered {
                family: Some(family),
                ..Gathered::default()
            })),
        }
    }

    /// Adds what was told in another part of the same request.
    pub(crate) fn join(&mut self, other: Self) {
        let Some(other) = other.gathered else { return };
        let gathered = self.gathered();
        for flag in other.flags {
            gathered.set_flag(flag);
        }
        for (name, calls) in other.downstream {
            gathered.add_calls(&name, calls);
        }
    }

    fn gathered(&mut self) -> &mut Gathered {
        self.gathered.get_or_insert_default()
    }
}

impl Gathered {
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

thread_local! {
    // What never needs to be dropped is found without asking whether it has been. Nothing is lost: a
    // thread does not end in the middle of a poll, and after it there is nothing here.
    static CURRENT: Cell<ManuallyDrop<Option<Facts>>> = const { Cell::new(ManuallyDrop::new(None)) };
}

/// Makes these the calling thread's current facts and gives back those that were.
///
/// Called at both edges of every poll, so that interleaved and nested futures each see their own.
#[inline]
pub(crate) fn swap(facts: Option<Facts>) -> Option<Facts> {
    ManuallyDrop::into_inner(CURRENT.replace(ManuallyDrop::new(facts)))
}

fn with_current(change: impl FnOnce(&mut Facts)) {
    if let Some(mut facts) = swap(None) {
        change(&mut facts);
        swap(Some(facts));
    }
}

/// The family of the current request, for a child to join; `None` without a request.
pub(crate) fn family() -> Option<Arc<Family>> {
    let mut found = None;
    with_current(|facts| {
        found = facts.core.map(|core| {
            let whose = (facts.kind, facts.endpoint);
            let gathered = facts.gathered();
            Arc::clone(
                gathered
                    .family
                    .get_or_insert_with(|| Family::new(core, whose)),
            )
        });
    });
    found
}

/// What runs in the calling thread: its kind and its endpoint's number. Neither allocates nor waits.
pub(crate) fn whose() -> Option<(Kind, u32)> {
    let mut found = None;
    with_current(|facts| found = facts.core.map(|_| (facts.kind, facts.endpoint)));
    found
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
    with_current(|facts| {
        facts.gathered().set_flag(Flag {
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
    with_current(|facts| {
        if !facts.with_downstream {
            return;
        }
        let call = Downstream { calls: 1, wall_ns };
        facts.gathered().add_calls(&clean(name), call);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_go_to_the_current_request_only_and_are_bounded() {
        flag("lost", "no request");
        let outer = swap(Some(Facts {
            with_downstream: true,
            ..Facts::default()
        }));
        assert!(outer.is_none());
        flag("ranker", "v1");
        flag("ranker", "v2");
        flag("", "nameless");
        for index in 0..200 {
            flag(&format!("flag-{index}"), "on");
            add_downstream(&format!("shard-{index}"), 1);
        }
        add_downstream("shard-0", 4);
        let facts = swap(None).unwrap().take().unwrap();
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
