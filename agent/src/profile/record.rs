//! A merged profile as it is sent: what costs next to nothing is folded into its parent.

use std::collections::HashMap;

use appweight_wire::{Function, ProfileRecord, TimerValues, limits};

use super::merge::{FunctionId, Merged, TimerName};

/// Nodes of a record: what is heaviest by any of the timers. With three timers some 20 kB as sent.
const NODES: usize = 2_000;
/// A tree so small is sent as it is.
const SMALL: usize = 100;
/// What a subtree is to have of any timer to be kept: one part in 10,000.
const SHARE: u64 = WHOLE / 10_000;
/// Everything, where shares are told.
const WHOLE: u64 = 1_000_000_000_000;

/// The record, without what its key says.
pub(super) fn of(merged: Merged, timers: &[TimerName], functions: &[Function]) -> ProfileRecord {
    let kept = kept(&merged, timers.len());
    let mut record = ProfileRecord {
        requests: merged.requests,
        samples: merged.samples,
        lost_samples: merged.lost_samples,
        folded: merged.folded,
        timers: timers
            .iter()
            .map(|timer| TimerValues {
                name: timer.name.clone(),
                unit: timer.unit.clone(),
                own: Vec::new(),
                taken_off_milli: timer.cost.taken_off_milli,
                left_milli: timer.cost.left_milli,
            })
            .collect(),
        ..ProfileRecord::default()
    };
    let (nodes, own) = (merged.contexts.nodes(), merged.contexts.own());
    let mut places: Vec<u32> = Vec::with_capacity(nodes.len());
    let mut numbers: HashMap<u32, u32> = HashMap::new();
    for (number, node) in nodes.iter().enumerate() {
        let parent = places.get(node.parent as usize).copied().unwrap_or(0);
        let own = &own[number * timers.len()..];
        if !kept[number] {
            record.folded += 1;
            for (timer, value) in record.timers.iter_mut().zip(own) {
                let sum = &mut timer.own[parent as usize];
                *sum = sum.saturating_add(*value);
            }
            places.push(parent);
            continue;
        }
        places.push(u32::try_from(record.parents.len()).unwrap_or(0));
        record.parents.push(parent);
        record.calls.push(node.calls);
        for (timer, value) in record.timers.iter_mut().zip(own) {
            timer.own.push(*value);
        }
        let function = match node.function {
            None => 0,
            Some(FunctionId(id)) => *numbers.entry(id).or_insert_with(|| {
                let function = functions.get(id as usize);
                record
                    .functions
                    .push(function.cloned().unwrap_or_else(|| Function::named("?")));
                u32::try_from(record.functions.len() - 1).unwrap_or(0)
            }),
        };
        record.node_functions.push(function);
    }
    record
}

/// Which nodes are kept. A parent's subtree holds its children's, so a kept node's parent is kept too.
fn kept(merged: &Merged, timers: usize) -> Vec<bool> {
    let (contexts, own) = (merged.contexts.nodes(), merged.contexts.own());
    let nodes = contexts.len();
    if nodes <= SMALL {
        return vec![true; nodes];
    }
    let mut subtrees: Vec<u128> = own.iter().map(|own| own.unsigned_abs().into()).collect();
    for node in (1..nodes).rev() {
        let parent = contexts[node].parent as usize;
        for timer in 0..timers {
            subtrees[parent * timers + timer] += subtrees[node * timers + timer];
        }
    }
    let share = |node: usize| {
        (0..timers)
            .map(|timer| {
                let (part, all) = (subtrees[node * timers + timer], subtrees[timer]);
                u64::try_from(part * u128::from(WHOLE) / all.max(1)).unwrap_or(u64::MAX)
            })
            .max()
            .unwrap_or(0)
    };
    let mut heaviest: Vec<(u64, usize)> = (1..nodes)
        .map(|node| (share(node), node))
        .filter(|(share, _)| *share >= SHARE)
        .collect();
    heaviest.sort_unstable_by_key(|&(share, node)| (std::cmp::Reverse(share), node));
    let mut kept = vec![false; nodes];
    kept[0] = true;
    for (_, node) in heaviest.into_iter().take(NODES - 1) {
        kept[node] = true;
    }
    kept
}

/// A function as the wire format takes it: one that it does not take would cost the whole batch.
pub(super) fn clean(function: &Function) -> Function {
    let cut = |text: &str| {
        let mut end = text.len().min(limits::TEXT_BYTES);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text[..end].to_owned()
    };
    Function {
        name: match function.name.as_str() {
            "" => "?".to_owned(),
            name => cut(name),
        },
        file: cut(&function.file),
        line: function.line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::merge::TimerCost;

    /// A chain of `depth` below each of `wide` nodes; node n costs `own(n)`.
    fn tree(wide: u32, depth: u32, own: impl Fn(usize) -> i64) -> Merged {
        let mut merged = Merged::new(1);
        let contexts = &mut merged.contexts;
        contexts.add(0, 1, &[own(0)]);
        for chain in 0..wide {
            let mut parent = 0;
            for step in 0..depth {
                let number = contexts.nodes().len();
                // The first of each chain a function of its own, so that chains stay apart.
                let function = if step == 0 { 100 + chain } else { step };
                parent = contexts
                    .child(parent, FunctionId(function), usize::MAX)
                    .unwrap();
                contexts.add(parent, 1, &[own(number)]);
            }
        }
        merged
    }

    fn record(merged: Merged) -> ProfileRecord {
        let timer = TimerName {
            name: "cpu".to_owned(),
            unit: "ns".to_owned(),
            cost: TimerCost::default(),
        };
        let functions: Vec<Function> = (0..6_000)
            .map(|n| Function::named(&n.to_string()))
            .collect();
        of(merged, &[timer], &functions)
    }

    #[test]
    fn a_small_tree_is_sent_as_it_is() {
        let record = record(tree(9, 11, |_| 0));
        assert_eq!((record.parents.len(), record.folded), (100, 0));
        assert_eq!(record.functions.len(), 9 + 10, "each once");
    }

    #[test]
    fn what_costs_next_to_nothing_goes_to_its_parent_and_nothing_is_lost() {
        // Every tenth chain costs something, at its end; negative costs weigh too.
        let cost = |n: usize| match (n - usize::from(n > 0)) / 10 % 10 {
            0 if n.is_multiple_of(10) && n > 0 => -1_000_000,
            _ => 1,
        };
        let merged = tree(50, 10, cost);
        let (nodes, sum) = (
            merged.contexts.nodes().len(),
            merged.contexts.own().iter().sum::<i64>(),
        );
        let record = record(merged);
        assert_eq!(record.parents.len(), 1 + 5 * 10);
        assert_eq!(record.folded as usize + record.parents.len(), nodes);
        assert_eq!(record.timers[0].own.iter().sum::<i64>(), sum);
        assert!((1..51).all(|node| (record.parents[node] as usize) < node));
    }

    #[test]
    fn a_large_tree_keeps_what_is_heaviest() {
        let record = record(tree(5_000, 1, |n| n as i64));
        assert_eq!(
            (record.parents.len(), record.folded),
            (NODES, 5_001 - NODES as u64)
        );
        assert_eq!(record.timers[0].own[NODES - 1], 5_000);
        assert_eq!(record.timers[0].own[1], 5_002 - NODES as i64);
    }

    #[test]
    fn names_are_what_the_format_takes() {
        let long = Function::named(&"ä".repeat(1_500));
        assert_eq!(clean(&long).name.len(), limits::TEXT_BYTES);
        assert_eq!(clean(&Function::default()).name, "?");
    }
}
