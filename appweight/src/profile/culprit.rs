use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::estimate::Change;
use super::moved::{Node, path};
use super::parts::NodeId;
use super::tree::Profile;

/// What a deploy changed in one chain of calls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ContextChange {
    /// The functions from the request down.
    pub path: Vec<String>,
    /// What the last of them costs in this context, with all that it calls, per request.
    pub total: Change,
}

/// Of the change of the whole, so much lies in a call if that is where to look. Less than all, since every
/// part of it is an estimate; more than a half, so that there is one such callee.
const MOST: f64 = 0.7;

/// The deepest chain of calls that most of the change of the whole lies in; `None` if the whole has not
/// surely changed, or its change is spread over many.
pub(super) fn culprit(tree: &Profile, nodes: &[Node]) -> Option<ContextChange> {
    if !nodes[tree.root().index()].total.is_sure() {
        return None;
    }
    let mut callees: Vec<Vec<NodeId>> = vec![Vec::new(); nodes.len()];
    for node in tree.nodes() {
        if let Some(parent) = tree.parent(node) {
            callees[parent.index()].push(node);
        }
    }
    let difference = |node: NodeId| nodes[node.index()].total.difference();
    let mut found = tree.root();
    let whole = difference(found);
    loop {
        let next = callees[found.index()]
            .iter()
            .copied()
            .filter(|node| difference(*node) / whole >= MOST)
            .max_by(|a, b| difference(*a).abs().total_cmp(&difference(*b).abs()));
        match next {
            Some(node) => found = node,
            None => break,
        }
    }
    (found != tree.root()).then(|| ContextChange {
        path: path(tree, found),
        total: nodes[found.index()].total,
    })
}

#[cfg(test)]
mod tests {
    use crate::profile::diff;
    use crate::profile::testing::spread;

    fn culprit(before: &[&str], after: &[&str]) -> Option<String> {
        let diff = diff(&spread(before, 5, 1), &spread(after, 5, 2), 0.99).unwrap();
        diff.culprit.map(|culprit| culprit.path.join(";"))
    }

    #[test]
    fn it_is_the_deepest_call_that_most_of_the_change_lies_in() {
        let before = ["feed;load;query 1000", "feed;load;decode 800", "feed 100"];
        assert_eq!(
            culprit(
                &before,
                &["feed;load;query 3000", "feed;load;decode 800", "feed 100"]
            ),
            Some("feed;load;query".into())
        );
        // More calls of the same: both callees grow, and the caller is to blame.
        assert_eq!(
            culprit(
                &before,
                &["feed;load;query 2000", "feed;load;decode 1600", "feed 100"]
            ),
            Some("feed;load".into())
        );
    }

    /// Each level has nearly all of the one above, and the last next to nothing of the whole.
    #[test]
    fn a_deep_chain_is_followed_as_long_as_most_of_the_whole_lies_in_it() {
        let stack = |depth: usize, own: usize| {
            let names: Vec<String> = (0..=depth).map(|level| format!("f{level}")).collect();
            format!("{} {own}", names.join(";"))
        };
        let lines =
            |own: usize| -> Vec<String> { (0..20).map(|level| stack(level, own)).collect() };
        let [before, after] = [lines(1_000), lines(2_000)];
        let told = culprit(
            &before.iter().map(String::as_str).collect::<Vec<_>>(),
            &after.iter().map(String::as_str).collect::<Vec<_>>(),
        );
        // Fourteen of twenty levels are 70 %, which noise may leave just under.
        let depth = told.unwrap().matches(';').count() + 1;
        assert!((5..=8).contains(&depth), "{depth} levels");
    }

    #[test]
    fn nobody_is_to_blame_for_nothing() {
        let same = ["feed;load;query 1000", "feed 100"];
        assert_eq!(culprit(&same, &same), None);
    }
}
