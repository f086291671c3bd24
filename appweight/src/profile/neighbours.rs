use std::collections::HashMap;

use super::costs::outermost;
use super::parts::{Function, FunctionId, NodeId};
use super::tree::Profile;

/// A caller or a callee of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbour {
    /// Which; `None` for the request itself.
    pub function: Option<FunctionId>,
    /// Calls (or samples) between the two.
    pub calls: u64,
    /// Of a caller: what the function and all it called cost on its behalf. Of a callee: what it cost
    /// on the function's behalf.
    pub total: i64,
}

/// Who calls a function, and what it calls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Neighbours {
    /// The largest total first.
    pub callers: Vec<Neighbour>,
    /// The largest total first.
    pub callees: Vec<Neighbour>,
}

/// The callers and callees of a function, over all contexts. Where it calls itself it is its own
/// caller and callee, and its cost is the outermost call's.
#[must_use]
pub fn neighbours(profile: &Profile, function: &Function) -> Neighbours {
    let Some(wanted) = profile.known_function(function) else {
        return Neighbours::default();
    };
    let width = profile.replicates().len();
    let totals = profile.totals_by_replicate();
    let total = |node: NodeId| {
        totals[node.index() * width..][..width]
            .iter()
            .fold(0_i64, |sum, value| sum.saturating_add(*value))
    };
    let (mut callers, mut callees) = (HashMap::new(), HashMap::new());
    let add = |to: &mut HashMap<_, (u64, i64)>, whom, calls, total: i64| {
        let sums: &mut (u64, i64) = to.entry(whom).or_default();
        sums.0 = sums.0.saturating_add(calls);
        sums.1 = sums.1.saturating_add(total);
    };
    for (node, is_outermost) in outermost(profile) {
        let Some(caller) = profile.parent(node) else {
            continue;
        };
        let calls = profile.calls(node);
        if profile.function_of(node) == Some(wanted) {
            let cost = if is_outermost { total(node) } else { 0 };
            add(&mut callers, profile.function_of(caller), calls, cost);
        }
        if profile.function_of(caller) == Some(wanted) {
            // What an inner call of the function itself cost is in its own callees.
            let is_itself = profile.function_of(node) == Some(wanted);
            let cost = if is_itself { 0 } else { total(node) };
            add(&mut callees, profile.function_of(node), calls, cost);
        }
    }
    Neighbours {
        callers: sorted(profile, callers),
        callees: sorted(profile, callees),
    }
}

fn sorted(profile: &Profile, sums: HashMap<Option<FunctionId>, (u64, i64)>) -> Vec<Neighbour> {
    let mut list: Vec<Neighbour> = sums
        .into_iter()
        .map(|(function, (calls, total))| Neighbour {
            function,
            calls,
            total,
        })
        .collect();
    let name = |neighbour: &Neighbour| neighbour.function.map(|id| profile.function(id));
    list.sort_by(|a, b| b.total.cmp(&a.total).then_with(|| name(a).cmp(&name(b))));
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::testing::parse;

    fn names(profile: &Profile, list: &[Neighbour]) -> Vec<(String, i64)> {
        list.iter()
            .map(|neighbour| {
                let name = neighbour
                    .function
                    .map_or("the request", |id| &profile.function(id).name);
                (name.to_owned(), neighbour.total)
            })
            .collect()
    }

    #[test]
    fn callers_are_told_with_what_they_caused() {
        let profile = parse(&["a;q;s 5", "b;q 2", "b;q;s 1", "q 1"]);
        let found = neighbours(&profile, &Function::named("q"));
        assert_eq!(
            names(&profile, &found.callers),
            [("a".into(), 5), ("b".into(), 3), ("the request".into(), 1)]
        );
        assert_eq!(names(&profile, &found.callees), [("s".into(), 6)]);
        let nobody = neighbours(&profile, &Function::named("nobody"));
        assert_eq!(nobody, Neighbours::default());
    }

    #[test]
    fn recursion_counts_once_to_either_side() {
        let profile = parse(&["a;f;f;g 4", "a;f 1"]);
        let found = neighbours(&profile, &Function::named("f"));
        assert_eq!(
            names(&profile, &found.callers),
            [("a".into(), 5), ("f".into(), 0)]
        );
        assert_eq!(
            names(&profile, &found.callees),
            [("g".into(), 4), ("f".into(), 0)]
        );
    }
}
