use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::builds::Builds;
use super::context::{Union, by_name};
use super::costs::FunctionSums;
use super::culprit::{ContextChange, culprit};
use super::estimate::{Change, Mean, Reaches};
use super::moved::{Move, Node, moves};
use super::parts::{Function, FunctionId, NodeId, Timer};
use super::timer_cost::TimerCost;
use super::tree::Profile;
use super::union_of;

/// Why two profiles cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiffError {
    /// They count different things.
    #[error("one profile counts {} in {}, the other {} in {}: they cannot be compared", .0.name, .0.unit, .1.name, .1.unit)]
    Timers(Timer, Timer),
    /// There is nothing to divide by.
    #[error("the profile {0} has no requests behind it")]
    NoRequests(&'static str),
}

/// What a deploy changed in one function, over all contexts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FunctionChange {
    /// Which, with the place where it is after, if it is still there.
    pub function: Function,
    /// Calls (or samples) per request before and after.
    pub calls: [f64; 2],
    /// What it costs itself, per request.
    pub own: Change,
    /// What it and all that it calls cost, per request.
    pub total: Change,
    /// Of the difference of its own cost, what only moved here from another function, or there from here.
    pub moved: f64,
}

impl FunctionChange {
    /// The difference of its own cost that is not just cost which moved.
    #[must_use]
    pub fn net(&self) -> f64 {
        self.own.difference() - self.moved
    }

    /// Whether its own cost surely rose, what only moved to it not counted.
    #[must_use]
    pub fn is_surely_dearer(&self) -> bool {
        self.net() > 0.0 && self.own.is_sure()
    }
}

/// Two deploys side by side, per request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Diff {
    /// What is counted.
    pub timer: Timer,
    /// Profiled requests before and after.
    pub requests: [u64; 2],
    /// The builds of the program before and after, by the ids that their linkers wrote, as far as they are known.
    #[serde(default)]
    pub builds: [Builds; 2],
    /// What of the timer's own cost was taken off for each call, and what may be left of it: the larger of both sides.
    #[serde(default)]
    pub timer_cost: TimerCost,
    /// How sure it is that all intervals of functions hold at once.
    pub confidence: f64,
    /// What a request costs.
    pub total: Change,
    /// All functions, those first whose own cost changed most, what only moved left aside.
    pub functions: Vec<FunctionChange>,
    /// Cost that is elsewhere than before, without being more or less.
    pub moves: Vec<Move>,
    /// The deepest chain of calls that most of the change of the total lies in.
    pub culprit: Option<ContextChange>,
}

impl Diff {
    /// The build, if both sides are known to have run the same one: what changed is options, configuration or data.
    #[must_use]
    pub fn same_build(&self) -> Option<&str> {
        let [before, after] = &self.builds;
        before.only().filter(|_| before == after)
    }

    /// The same per so many requests: per second, say, where milliseconds stand for requests.
    #[must_use]
    pub fn times(mut self, factor: f64) -> Self {
        self.total = self.total.times(factor);
        for function in &mut self.functions {
            function.calls = function.calls.map(|calls| calls * factor);
            function.own = function.own.times(factor);
            function.total = function.total.times(factor);
            function.moved *= factor;
        }
        for found in &mut self.moves {
            found.amount *= factor;
            for part in &mut found.parts {
                part.difference *= factor;
            }
        }
        if let Some(culprit) = &mut self.culprit {
            culprit.total = culprit.total.times(factor);
        }
        self
    }
}

/// Compares what two deploys' requests cost, function by function. Functions are known by their names.
///
/// `confidence` is that all intervals of functions hold at once (Bonferroni), say 0.99. An interval is
/// absent if too few replicates were profiled to tell. Everything is per request, so that the same work
/// at another rate of profiling, or over another time, shows no change.
///
/// # Errors
/// If the two count different things, or one has no requests behind it.
pub fn diff(before: &Profile, after: &Profile, confidence: f64) -> Result<Diff, DiffError> {
    if before.timer() != after.timer() {
        return Err(DiffError::Timers(
            before.timer().clone(),
            after.timer().clone(),
        ));
    }
    for (side, profile) in [("before", before), ("after", after)] {
        if profile.requests() == 0 {
            return Err(DiffError::NoRequests(side));
        }
    }
    let places = places(before, after);
    let sides = [by_name(before), by_name(after)];
    let union = union_of(&sides[0], &sides[1]);
    let compared = Compared::new(&sides, &union, confidence);
    let moves = moves(&union.tree, &compared.nodes);
    let moved = moved_by_function(&moves);

    let sums = [FunctionSums::of(&sides[0]), FunctionSums::of(&sides[1])];
    let mut reaches = Reaches::new(confidence, union.tree.functions().len());
    let mut functions: Vec<FunctionChange> = union
        .tree
        .functions()
        .map(|(_, function)| {
            let ids = sides.each_ref().map(|side| side.known_function(function));
            let mut change = |pick: for<'a> fn(&'a FunctionSums, FunctionId) -> &'a [i64]| {
                let mean = |side: usize| {
                    ids[side].map_or_else(
                        || compared.nothing(side),
                        |id| Mean::of(pick(&sums[side], id), sides[side].replicates()),
                    )
                };
                Change::between(&mean(0), &mean(1), &mut reaches)
            };
            let calls = |side: usize| {
                let calls = ids[side].map_or(0, |id| sums[side].calls[id.0 as usize]);
                calls as f64 / sides[side].requests() as f64
            };
            FunctionChange {
                function: places
                    .get(&function.name)
                    .copied()
                    .unwrap_or(function)
                    .clone(),
                calls: [calls(0), calls(1)],
                own: change(FunctionSums::own),
                total: change(FunctionSums::total),
                moved: moved.get(&function.name).copied().unwrap_or(0.0),
            }
        })
        .collect();
    functions.sort_by(|a, b| {
        let size = |change: &FunctionChange| change.net().abs();
        size(b)
            .total_cmp(&size(a))
            .then_with(|| a.function.cmp(&b.function))
    });
    let total = compared.node(union.tree.root()).total;
    let mut timer_cost = before.timer_cost();
    timer_cost.merge(after.timer_cost());
    Ok(Diff {
        timer: before.timer().clone(),
        requests: [before.requests(), after.requests()],
        builds: [before.builds().clone(), after.builds().clone()],
        timer_cost,
        confidence,
        total,
        functions,
        culprit: culprit(&union.tree, &compared.nodes),
        moves,
    })
}

/// Where each function lies, after if it is still there.
fn places<'a>(before: &'a Profile, after: &'a Profile) -> HashMap<&'a String, &'a Function> {
    [before, after]
        .into_iter()
        .flat_map(Profile::functions)
        .map(|(_, function)| (&function.name, function))
        .collect()
}

fn moved_by_function(moves: &[Move]) -> HashMap<String, f64> {
    let mut moved: HashMap<String, f64> = HashMap::new();
    for part in moves.iter().flat_map(|found| &found.parts) {
        if let Some(name) = part.path.last()
            && part.is_own
        {
            *moved.entry(name.clone()).or_default() += part.difference;
        }
    }
    moved
}

/// Every context of both sides with what changed in it.
struct Compared {
    nodes: Vec<Node>,
    nothing: [Mean; 2],
}

impl Compared {
    fn new(sides: &[Profile; 2], union: &Union, confidence: f64) -> Self {
        let nothing = sides.each_ref().map(|side| {
            let zeros = vec![0; side.replicates().len()];
            Mean::of(&zeros, side.replicates())
        });
        let totals = sides.each_ref().map(Profile::totals_by_replicate);
        let mut reaches = Reaches::new(confidence, union.nodes.len());
        let nodes = union
            .nodes
            .iter()
            .map(|places| {
                let mean = |side: usize, own: bool| match places[side] {
                    None => nothing[side],
                    Some(node) => {
                        let profile = &sides[side];
                        let width = profile.replicates().len();
                        let values = if own {
                            profile.own_by_replicate(node)
                        } else {
                            &totals[side][node.index() * width..][..width]
                        };
                        Mean::of(values, profile.replicates())
                    }
                };
                let mut change = |own| Change::between(&mean(0, own), &mean(1, own), &mut reaches);
                Node {
                    own: change(true),
                    total: change(false),
                }
            })
            .collect();
        Self { nodes, nothing }
    }

    /// What is not there costs nothing, for sure.
    fn nothing(&self, side: usize) -> Mean {
        self.nothing[side]
    }

    fn node(&self, node: NodeId) -> &Node {
        &self.nodes[node.index()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::testing::{parse, parse_into, spread};
    use crate::profile::{REPLICATES, Wrappers, look_through};

    fn change<'a>(diff: &'a Diff, name: &str) -> &'a FunctionChange {
        let found = diff.functions.iter().find(|c| c.function.name == name);
        found.unwrap_or_else(|| panic!("no {name} in {:#?}", diff.functions))
    }

    #[test]
    fn a_dearer_function_is_named_first_with_an_interval_and_the_others_are_not_sure() {
        let before = spread(&["feed;query 1000", "feed;render 3000", "feed 100"], 10, 1);
        let after = spread(&["feed;query 2000", "feed;render 3000", "feed 100"], 10, 2);
        let diff = diff(&before, &after, 0.99).unwrap();
        assert_eq!(diff.requests, [16, 16]);
        assert_eq!(diff.functions[0].function.name, "query");
        let query = &diff.functions[0].own;
        assert!(query.is_sure() && (query.difference() - 1_000.0).abs() < 100.0);
        for quiet in ["feed", "render"] {
            assert!(!change(&diff, quiet).own.is_sure(), "{quiet}");
        }
        assert!(change(&diff, "feed").total.is_sure());
        assert_eq!(diff.moves, []);
        let thousands = diff.clone().times(1e-3);
        assert_eq!(thousands.total.before, diff.total.before * 1e-3);
        assert!(thousands.functions[0].own.is_sure());
        assert_eq!(diff.culprit.unwrap().path, ["feed", "query"]);
    }

    #[test]
    fn the_same_work_at_another_rate_shows_nothing() {
        let lines = ["feed;query 1000", "feed;render 3000"];
        let before = spread(&lines, 10, 1);
        let mut after = spread(&lines, 10, 2);
        for seed in 3..40 {
            after.merge(&spread(&lines, 10, seed));
        }
        let diff = diff(&before, &after, 0.99).unwrap();
        assert_eq!(diff.requests, [16, 16 * 38]);
        for function in &diff.functions {
            assert!(
                !function.own.is_sure() && !function.total.is_sure(),
                "{function:?}"
            );
        }
        assert!(diff.culprit.is_none());
    }

    #[test]
    fn a_function_that_is_new_or_gone_is_compared_with_nothing() {
        let before = spread(&["feed;old 500", "feed 5000"], 5, 1);
        let after = spread(&["feed;new 5000", "feed 5000"], 5, 2);
        let diff = diff(&before, &after, 0.99).unwrap();
        let (new, old) = (change(&diff, "new"), change(&diff, "old"));
        assert_eq!((new.own.before, old.own.after), (0.0, 0.0));
        assert!(new.own.is_sure() && old.own.is_sure());
    }

    #[test]
    fn few_requests_give_no_interval_and_no_certainty() {
        let diff = diff(&parse(&["f 10"]), &parse(&["f 90"]), 0.99).unwrap();
        assert_eq!(diff.functions[0].own.difference(), 80.0);
        assert!(diff.functions[0].own.interval.is_none());
        assert!(!diff.functions[0].own.is_sure());
    }

    #[test]
    fn a_function_is_the_same_when_its_lines_move() {
        let at = |line| {
            let mut merged = Profile::new(Timer::new("cpu", "ns"));
            for replicate in 0..REPLICATES {
                let mut one = Profile::of_replicate(Timer::new("cpu", "ns"), replicate);
                let function = Function {
                    name: "feed".into(),
                    file: "feed.rs".into(),
                    line,
                };
                let node = one.child(one.root(), &function);
                one.add(node, 1, 100);
                one.count(1, 0);
                merged.merge(&one);
            }
            merged
        };
        let diff = diff(&at(10), &at(25), 0.99).unwrap();
        assert_eq!(diff.functions.len(), 1);
        assert_eq!(
            (
                diff.functions[0].own.difference(),
                diff.functions[0].function.line
            ),
            (0.0, 25)
        );
    }

    /// The other form of the cached property: who asks first pays. After the deploy `badge` asks first.
    #[test]
    fn a_cached_value_that_another_asks_for_first_is_moved_not_dearer() {
        let stacks = |first: &str| {
            let other = if first == "feed" { "badge" } else { "feed" };
            let lines = [
                format!("{first};cached_property;rank 900"),
                format!("{first};cached_property 5"),
                format!("{other};cached_property 5"),
                "feed 300".to_owned(),
                "badge 200".to_owned(),
            ];
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            spread(&lines, 5, first.len() as u64)
        };
        let (before, after) = (stacks("feed"), stacks("badge"));
        for wrappers in [Wrappers::default(), Wrappers::new(["cached_property"])] {
            let sides = [&before, &after].map(|side| look_through(side, &wrappers));
            let diff = diff(&sides[0], &sides[1], 0.99).unwrap();
            assert!(diff.functions.iter().all(|f| !f.own.is_sure()), "{diff:#?}");
            assert!(!diff.total.is_sure());
            // The callers' totals did change, and it is said why: the ranking moved.
            assert!(change(&diff, "badge").total.is_sure());
            assert_eq!(diff.moves.len(), 1, "{:#?}", diff.moves);
            let parts: Vec<(&str, bool)> = diff.moves[0]
                .parts
                .iter()
                .map(|part| (part.path[0].as_str(), part.difference > 0.0))
                .collect();
            assert_eq!(parts, [("badge", true), ("feed", false)]);
            assert!(diff.culprit.is_none());
        }
    }

    #[test]
    fn different_timers_and_empty_profiles_are_refused() {
        let cpu = parse(&["f 1"]);
        let mut bytes = Profile::new(Timer::new("allocated", "bytes"));
        bytes.count(1, 0);
        let error = diff(&cpu, &bytes, 0.9).unwrap_err();
        assert!(error.to_string().contains("allocated in bytes"), "{error}");
        let empty = Profile::new(Timer::new("cpu", "ns"));
        assert_eq!(
            diff(&empty, &cpu, 0.9),
            Err(DiffError::NoRequests("before"))
        );
        assert!(parse_into(3, &["f 1"]).requests() == 1);
    }
}
