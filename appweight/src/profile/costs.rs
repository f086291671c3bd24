use super::parts::{FunctionId, NodeId};
use super::tree::Profile;

/// What one function costs, wherever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FunctionCost {
    /// Which one.
    pub function: FunctionId,
    /// How often it was called, or how many samples had it on top.
    pub calls: u64,
    /// What it cost itself.
    pub own: i64,
    /// What it and all that it called cost; where it called itself, counted once.
    pub total: i64,
}

/// The cost of each function, the largest total first.
#[must_use]
pub fn function_costs(profile: &Profile) -> Vec<FunctionCost> {
    let sums = FunctionSums::of(profile);
    let add = |values: &[i64]| {
        values
            .iter()
            .fold(0_i64, |sum, value| sum.saturating_add(*value))
    };
    let mut costs: Vec<FunctionCost> = profile
        .functions()
        .map(|(function, _)| FunctionCost {
            function,
            calls: sums.calls[function.0 as usize],
            own: add(sums.own(function)),
            total: add(sums.total(function)),
        })
        .collect();
    costs.sort_by(|a, b| {
        let name = |cost: &FunctionCost| profile.function(cost.function);
        b.total.cmp(&a.total).then_with(|| name(a).cmp(name(b)))
    });
    costs
}

/// The same, by replicate.
pub(super) struct FunctionSums {
    width: usize,
    own: Vec<i64>,
    total: Vec<i64>,
    pub(super) calls: Vec<u64>,
}

impl FunctionSums {
    pub(super) fn of(profile: &Profile) -> Self {
        let width = profile.replicates().len();
        let mut sums = Self {
            width,
            own: vec![0; profile.functions().len() * width],
            total: vec![0; profile.functions().len() * width],
            calls: vec![0; profile.functions().len()],
        };
        let totals = profile.totals_by_replicate();
        for (node, is_outermost) in outermost(profile) {
            let Some(function) = profile.function_of(node) else {
                continue;
            };
            let at = function.0 as usize;
            sums.calls[at] = sums.calls[at].saturating_add(profile.calls(node));
            add(
                &mut sums.own[at * width..][..width],
                profile.own_by_replicate(node),
            );
            if is_outermost {
                add(
                    &mut sums.total[at * width..][..width],
                    &totals[node.index() * width..][..width],
                );
            }
        }
        sums
    }

    pub(super) fn own(&self, function: FunctionId) -> &[i64] {
        &self.own[function.0 as usize * self.width..][..self.width]
    }

    pub(super) fn total(&self, function: FunctionId) -> &[i64] {
        &self.total[function.0 as usize * self.width..][..self.width]
    }
}

pub(super) fn add(into: &mut [i64], from: &[i64]) {
    for (into, from) in into.iter_mut().zip(from) {
        *into = into.saturating_add(*from);
    }
}

/// All nodes but the root, and whether none of their callers is of the same function.
pub(super) fn outermost(profile: &Profile) -> Vec<(NodeId, bool)> {
    let order = depth_first(profile);
    let mut open = vec![0_u32; profile.functions().len()];
    let mut seen = Vec::with_capacity(order.len() / 2);
    for step in order {
        match step {
            Step::Enter(node, function) => {
                let open = &mut open[function.0 as usize];
                seen.push((node, *open == 0));
                *open += 1;
            }
            Step::Leave(function) => open[function.0 as usize] -= 1,
        }
    }
    seen
}

enum Step {
    Enter(NodeId, FunctionId),
    Leave(FunctionId),
}

/// The tree as a walk, without a recursion that a deep stack would overflow.
fn depth_first(profile: &Profile) -> Vec<Step> {
    const NONE: u32 = u32::MAX;
    let count = profile.nodes().len();
    let (mut first_child, mut next) = (vec![NONE; count], vec![NONE; count]);
    for node in profile.nodes().skip(1).rev() {
        if let Some(parent) = profile.parent(node) {
            next[node.index()] = first_child[parent.index()];
            first_child[parent.index()] = node.0;
        }
    }
    let mut walk = Vec::with_capacity(2 * count);
    let mut open = vec![profile.root()];
    let mut down = true;
    while let Some(&node) = open.last() {
        if down && first_child[node.index()] != NONE {
            let child = NodeId(first_child[node.index()]);
            enter(profile, child, &mut walk);
            open.push(child);
            continue;
        }
        open.pop();
        if let Some(function) = profile.function_of(node) {
            walk.push(Step::Leave(function));
        }
        down = next[node.index()] != NONE;
        if down {
            let sibling = NodeId(next[node.index()]);
            enter(profile, sibling, &mut walk);
            open.push(sibling);
        }
    }
    walk
}

fn enter(profile: &Profile, node: NodeId, walk: &mut Vec<Step>) {
    if let Some(function) = profile.function_of(node) {
        walk.push(Step::Enter(node, function));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::profile::testing::{arbitrary, parse, path};

    fn costs(lines: &[&str]) -> Vec<(String, i64, i64)> {
        let profile = parse(lines);
        function_costs(&profile)
            .into_iter()
            .map(|cost| {
                (
                    profile.function(cost.function).name.clone(),
                    cost.own,
                    cost.total,
                )
            })
            .collect()
    }

    fn row(name: &str, own: i64, total: i64) -> (String, i64, i64) {
        (name.to_owned(), own, total)
    }

    #[test]
    fn a_function_that_calls_itself_is_counted_once() {
        assert_eq!(
            costs(&["fib;fib;fib 4", "fib;fib 2", "fib 1", "other;fib 10"]),
            [row("fib", 17, 17), row("other", 0, 10)]
        );
        // Through another: a → b → a.
        assert_eq!(
            costs(&["a;b;a 5", "a;b 3", "a 1"]),
            [row("a", 6, 9), row("b", 3, 8)]
        );
    }

    #[test]
    fn memory_that_is_given_back_counts_against_what_was_taken() {
        assert_eq!(
            costs(&["load;read 100", "load;free -60"]),
            [
                row("read", 100, 100),
                row("load", 0, 40),
                row("free", -60, -60)
            ]
        );
    }

    #[test]
    fn a_deep_stack_is_no_deep_recursion() {
        let deep: Vec<String> = (0..200_000).map(|n| format!("f{}", n % 50)).collect();
        let line = format!("{} 7", deep.join(";"));
        let profile = parse(&[&line]);
        assert!(function_costs(&profile).iter().all(|cost| cost.total == 7));
    }

    proptest! {
        #[test]
        fn own_costs_add_up_and_no_total_counts_anything_twice(profile in arbitrary()) {
            let costs = function_costs(&profile);
            let root = profile.own(profile.root());
            prop_assert_eq!(costs.iter().map(|cost| cost.own).sum::<i64>() + root, profile.total());
            for cost in costs {
                let name = &profile.function(cost.function).name;
                let below: i64 = profile
                    .nodes()
                    .filter(|node| path(&profile, *node).split(';').any(|part| part == name))
                    .map(|node| profile.own(node))
                    .sum();
                prop_assert_eq!(cost.total, below);
            }
        }
    }
}
