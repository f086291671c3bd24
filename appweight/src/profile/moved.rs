//! Cost that is elsewhere than before. A function that was renamed, split up, inlined, or is called by
//! another one now looks like a regression and an improvement; set side by side within the smallest part of
//! the tree that holds both, they are neither (the cost shifts of FBDetect, SOSP 2024).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::estimate::Change;
use super::parts::{FunctionId, NodeId};
use super::tree::Profile;

/// Two differences are the same cost if they are apart by at most this part of the larger.
const ALIKE: f64 = 0.2;
/// Without signs of a rename or of inlining, two callees changed places only in a part of the tree that
/// costs at most so many times what moved: in a large one two opposite changes are a matter of chance.
const NEAR: f64 = 4.0;
/// A difference under this part of what a request costs is not worth a word.
const WORTH: f64 = 0.002;

/// What changed in one context.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    pub(super) own: Change,
    pub(super) total: Change,
}

/// Cost that moved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Move {
    /// The chain of calls within which it moved; empty for the request.
    pub within: Vec<String>,
    /// How much, per request.
    pub amount: f64,
    /// From where to where: the largest gain first.
    pub parts: Vec<MovedPart>,
}

/// One end of a move.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MovedPart {
    /// The functions from the request down.
    pub path: Vec<String>,
    /// What is more here (or less), per request.
    pub difference: f64,
    /// Whether it is the last function's own cost, or that of all that it calls as well.
    pub is_own: bool,
}

/// All that moved, the largest first.
pub(super) fn moves(tree: &Profile, nodes: &[Node]) -> Vec<Move> {
    let mut search = Search {
        tree,
        nodes,
        worth: nodes[tree.root().index()].total.before.abs() * WORTH,
        explained: vec![false; nodes.len()],
        found: Vec::new(),
    };
    search.functions_called_by_others();
    search.costs_within_a_subtree();
    let mut found = search.found;
    found.sort_by(|a, b| {
        b.amount
            .total_cmp(&a.amount)
            .then_with(|| a.within.cmp(&b.within))
    });
    found
}

struct Search<'a> {
    tree: &'a Profile,
    nodes: &'a [Node],
    worth: f64,
    /// Contexts whose change is a part of a move.
    explained: Vec<bool>,
    found: Vec<Move>,
}

impl Search<'_> {
    fn node(&self, node: NodeId) -> &Node {
        &self.nodes[node.index()]
    }

    fn counts(&self, change: &Change) -> bool {
        change.is_sure() && change.difference().abs() >= self.worth
    }

    /// A function that costs what it did, but on behalf of others.
    fn functions_called_by_others(&mut self) {
        let mut contexts: Vec<Vec<NodeId>> = vec![Vec::new(); self.tree.functions().len()];
        for node in self.tree.nodes() {
            if let Some(FunctionId(function)) = self.tree.function_of(node)
                && self.counts(&self.node(node).total)
            {
                contexts[function as usize].push(node);
            }
        }
        // What callers' callers ask for moves with them: the outermost tell it best.
        let mut contexts: Vec<Vec<NodeId>> = contexts.into_iter().filter(|c| c.len() > 1).collect();
        contexts.sort_by_key(|nodes| nodes.iter().map(|node| depth(self.tree, *node)).min());
        for nodes in contexts {
            let nodes: Vec<NodeId> = nodes
                .into_iter()
                .filter(|node| !self.is_explained(*node))
                .collect();
            let differences: Vec<f64> = nodes
                .iter()
                .map(|node| self.node(*node).total.difference())
                .collect();
            if let Some(amount) = balance(&differences) {
                self.tell(&nodes, amount, false);
            }
        }
    }

    /// Cost that is another function's now.
    fn costs_within_a_subtree(&mut self) {
        let mut open: Vec<Vec<NodeId>> = vec![Vec::new(); self.nodes.len()];
        // Callees before their callers: each part of the tree is looked at after its own parts.
        for node in self.tree.nodes().skip(1).rev() {
            let mut candidates = std::mem::take(&mut open[node.index()]);
            if self.counts(&self.node(node).own) && !self.is_explained(node) {
                candidates.push(node);
            }
            self.settle(node, &mut candidates);
            if let Some(parent) = self.tree.parent(node) {
                open[parent.index()].append(&mut candidates);
            }
        }
        let root = self.tree.root();
        let mut candidates = std::mem::take(&mut open[root.index()]);
        if self.counts(&self.node(root).own) {
            candidates.push(root);
        }
        self.settle(root, &mut candidates);
    }

    /// Tells what moved between the candidates below that node, and leaves those that did not.
    fn settle(&mut self, within: NodeId, candidates: &mut Vec<NodeId>) {
        if candidates.len() < 2 {
            return;
        }
        let own = |search: &Self, node: NodeId| search.node(node).own.difference();
        let differences: Vec<f64> = candidates.iter().map(|node| own(self, *node)).collect();
        if let Some(amount) = balance(&differences)
            && self.can_have_moved(within, candidates, amount)
        {
            self.tell(candidates, amount, true);
            candidates.clear();
            return;
        }
        // One pair among others that changed for good.
        let mut pairs: Vec<(NodeId, NodeId)> = Vec::new();
        for &less in candidates.iter().filter(|node| own(self, **node) < 0.0) {
            let best = candidates
                .iter()
                .copied()
                .filter(|more| own(self, *more) > 0.0)
                .filter(|more| pairs.iter().all(|(_, taken)| taken != more))
                .filter(|more| {
                    balance(&[own(self, less), own(self, *more)])
                        .is_some_and(|amount| self.can_have_moved(within, &[less, *more], amount))
                })
                .min_by(|a, b| {
                    let apart = |more: NodeId| (own(self, less) + own(self, more)).abs();
                    apart(*a).total_cmp(&apart(*b))
                });
            if let Some(more) = best {
                pairs.push((less, more));
            }
        }
        for (less, more) in pairs {
            candidates.retain(|node| *node != less && *node != more);
            let amount = balance(&[own(self, less), own(self, more)]).unwrap_or_default();
            self.tell(&[less, more], amount, true);
        }
    }

    fn can_have_moved(&self, within: NodeId, parts: &[NodeId], amount: f64) -> bool {
        let is_inlined = parts.contains(&within);
        let appears = |side: fn(&Change) -> f64| {
            parts.iter().any(|node| {
                let total = &self.node(*node).total;
                side(total) == 0.0 && total.difference() != 0.0
            })
        };
        let is_renamed = appears(|total| total.before) && appears(|total| total.after);
        let whole = &self.node(within).total;
        let is_near = whole.before.abs().max(whole.after.abs()) <= NEAR * amount;
        is_inlined || is_renamed || is_near
    }

    fn tell(&mut self, nodes: &[NodeId], amount: f64, is_own: bool) {
        for node in nodes {
            self.explained[node.index()] = true;
        }
        let mut parts: Vec<MovedPart> = nodes
            .iter()
            .map(|node| {
                let change = self.node(*node);
                let change = if is_own { change.own } else { change.total };
                MovedPart {
                    path: path(self.tree, *node),
                    difference: change.difference(),
                    is_own,
                }
            })
            .collect();
        parts.sort_by(|a, b| b.difference.total_cmp(&a.difference));
        self.found.push(Move {
            within: path(self.tree, common(self.tree, nodes)),
            amount,
            parts,
        });
    }

    /// Whether it, or a call that it is a part of, is in a move already.
    fn is_explained(&self, node: NodeId) -> bool {
        std::iter::successors(Some(node), |node| self.tree.parent(*node))
            .any(|node| self.explained[node.index()])
    }
}

/// What moved, if gains and losses are alike.
fn balance(differences: &[f64]) -> Option<f64> {
    let sum = |keep: fn(&f64) -> bool| -> f64 {
        differences.iter().copied().filter(keep).map(f64::abs).sum()
    };
    let (gained, lost) = (sum(|d| *d > 0.0), sum(|d| *d < 0.0));
    let larger = gained.max(lost);
    (gained > 0.0 && lost > 0.0 && (gained - lost).abs() <= ALIKE * larger)
        .then(|| gained.min(lost))
}

fn depth(tree: &Profile, node: NodeId) -> usize {
    std::iter::successors(Some(node), |node| tree.parent(*node)).count()
}

/// The deepest node that all of them are below, or are.
fn common(tree: &Profile, nodes: &[NodeId]) -> NodeId {
    let mut nodes = nodes.iter().copied();
    let Some(first) = nodes.next() else {
        return tree.root();
    };
    nodes.fold(first, |mut a, mut b| {
        // Callers have smaller numbers than what they call.
        while a != b {
            let deeper = if a > b { &mut a } else { &mut b };
            *deeper = tree.parent(*deeper).unwrap_or(tree.root());
        }
        a
    })
}

/// The names from the request down.
pub(super) fn path(tree: &Profile, node: NodeId) -> Vec<String> {
    let mut names: Vec<String> = std::iter::successors(Some(node), |node| tree.parent(*node))
        .filter_map(|node| tree.function_of(node))
        .map(|function| tree.function(function).name.clone())
        .collect();
    names.reverse();
    names
}

#[cfg(test)]
mod tests {
    use crate::profile::testing::spread;
    use crate::profile::{Diff, diff};

    fn compare(before: &[&str], after: &[&str]) -> Diff {
        diff(&spread(before, 4, 11), &spread(after, 4, 12), 0.99).unwrap()
    }

    fn told(diff: &Diff) -> Vec<String> {
        diff.moves
            .iter()
            .map(|found| {
                let parts: Vec<String> = found
                    .parts
                    .iter()
                    .map(|part| {
                        let sign = if part.difference > 0.0 { '+' } else { '-' };
                        format!("{sign}{}", part.path.join(";"))
                    })
                    .collect();
                format!("in [{}]: {}", found.within.join(";"), parts.join(" "))
            })
            .collect()
    }

    /// Net change of a function, in thousandths of what a request costs.
    fn net(diff: &Diff, name: &str) -> f64 {
        let found = diff.functions.iter().find(|f| f.function.name == name);
        (found.unwrap().net() / diff.total.before * 1_000.0).abs()
    }

    const REST: &str = "feed;render 20000";

    #[test]
    fn a_renamed_function_is_moved() {
        let diff = compare(
            &["feed;load_users;query 3000", "feed;load_users 2000", REST],
            &[
                "feed;load_authors;query 3000",
                "feed;load_authors 2000",
                REST,
            ],
        );
        assert_eq!(
            told(&diff),
            [
                "in [feed]: +feed;load_authors;query -feed;load_users;query",
                "in [feed]: +feed;load_authors -feed;load_users"
            ]
        );
        assert!(net(&diff, "load_users") < 2.0 && net(&diff, "load_authors") < 2.0 * 6.0);
        assert!(diff.culprit.is_none());
    }

    #[test]
    fn an_inlined_function_is_moved_into_its_caller() {
        let diff = compare(
            &["feed;rank;score 3000", "feed;rank 4000", REST],
            &["feed;rank 7000", REST],
        );
        assert_eq!(told(&diff), ["in [feed;rank]: +feed;rank -feed;rank;score"]);
    }

    #[test]
    fn a_function_that_was_split_up_is_moved() {
        let diff = compare(
            &["feed;rank 6000", REST],
            &[
                "feed;rank;score 3500",
                "feed;rank;sort 1500",
                "feed;rank 1000",
                REST,
            ],
        );
        assert_eq!(
            told(&diff),
            ["in [feed;rank]: +feed;rank;score +feed;rank;sort -feed;rank"]
        );
    }

    #[test]
    fn a_regression_beside_an_improvement_of_another_part_stays_both() {
        let diff = compare(
            &["feed;rank 6000", "feed;ads;auction 5000", REST],
            &["feed;rank 9000", "feed;ads;auction 2000", REST],
        );
        assert_eq!(told(&diff), [] as [&str; 0]);
        let first: Vec<&str> = diff.functions[..2]
            .iter()
            .map(|f| f.function.name.as_str())
            .collect();
        assert!(
            first.contains(&"rank") && first.contains(&"auction"),
            "{first:?}"
        );
    }

    #[test]
    fn a_regression_beside_a_rename_is_still_one() {
        let diff = compare(
            &["feed;old 3000", "feed;query 4000", REST],
            &["feed;new 3000", "feed;query 9000", REST],
        );
        assert_eq!(told(&diff), ["in [feed]: +feed;new -feed;old"]);
        assert_eq!(diff.functions[0].function.name, "query");
        assert_eq!(diff.culprit.unwrap().path, ["feed", "query"]);
    }

    #[test]
    fn noise_does_not_move() {
        let lines = ["feed;rank 6000", "feed;load;query 5000", REST];
        assert_eq!(told(&compare(&lines, &lines)), [] as [&str; 0]);
    }
}
