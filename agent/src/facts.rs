//! What the code that runs says about the request it runs for.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::mem;

use appweight_wire::{Downstream, Flag, limits};

use crate::names::clean;

/// The facts of one request or task, gathered while it runs.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) flags: Vec<Flag>,
    /// Cells do not hold downstreams: they are gathered only for what is recorded.
    pub(crate) with_downstream: bool,
    pub(crate) downstream: BTreeMap<String, Downstream>,
}

thread_local! {
    static CURRENT: RefCell<Option<Facts>> = const { RefCell::new(None) };
}

/// Makes these the calling thread's current facts and gives back those that were.
///
/// Called at both edges of every poll, so that interleaved and nested futures each see their own.
pub(crate) fn swap(facts: Option<Facts>) -> Option<Facts> {
    // A thread that is ending has no current request any more.
    CURRENT
        .try_with(|current| match current.try_borrow_mut() {
            Ok(mut current) => mem::replace(&mut *current, facts),
            Err(_) => None,
        })
        .unwrap_or_default()
}

fn with_current(change: impl FnOnce(&mut Facts)) {
    let _ = CURRENT.try_with(|current| {
        if let Ok(mut current) = current.try_borrow_mut()
            && let Some(facts) = current.as_mut()
        {
            change(facts);
        }
    });
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
        let (name, value) = (clean(name), clean(value));
        if let Some(known) = facts.flags.iter_mut().find(|flag| flag.name == *name) {
            known.value = value.into_owned();
        } else if facts.flags.len() < limits::FACTS {
            facts.flags.push(Flag {
                name: name.into_owned(),
                value: value.into_owned(),
            });
        }
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
        let name = clean(name);
        if let Some(known) = facts.downstream.get_mut(&*name) {
            known.calls = known.calls.saturating_add(1);
            known.wall_ns = known.wall_ns.saturating_add(wall_ns);
        } else if facts.downstream.len() < limits::FACTS {
            facts
                .downstream
                .insert(name.into_owned(), Downstream { calls: 1, wall_ns });
        }
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
        let facts = swap(None).unwrap();
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
