#[cfg(test)]
mod tests;

use std::collections::HashMap;

use foldhash::fast::RandomState;
use indexmap::IndexSet;

use super::builds::Builds;
use super::parts::{Function, FunctionId, NodeId, REPLICATES, Replicate, Taken, Timer};
use super::timer_cost::TimerCost;

#[derive(Debug, Clone, Copy)]
struct Node {
    parent: u32,
    function: u32,
    calls: u64,
    /// Nodes that were folded into this one.
    folded: u64,
}

/// A calling-context tree: for each chain of calls, how often it was seen and what its last function cost.
///
/// The root stands for the request. Its own value is what is known to belong to no function.
///
/// ```
/// use appweight::profile::{Function, Profile, Timer, function_costs};
///
/// let mut profile = Profile::new(Timer::new("cpu", "ns"));
/// let feed = profile.child(profile.root(), &Function::named("feed"));
/// let query = profile.child(feed, &Function::named("query"));
/// profile.add(feed, 1, 200);
/// profile.add(query, 3, 700);
/// profile.count(1, 0);
/// let costs = function_costs(&profile);
/// assert_eq!((costs[0].own, costs[0].total), (200, 900));
/// ```
#[derive(Debug, Clone)]
pub struct Profile {
    timer: Timer,
    taken: Taken,
    builds: Builds,
    timer_cost: TimerCost,
    functions: IndexSet<Function, RandomState>,
    nodes: Vec<Node>,
    children: HashMap<(u32, u32), u32, RandomState>,
    /// The replicate that the first value of each node belongs to.
    first: usize,
    replicates: Vec<Replicate>,
    /// What each node's function itself cost: of each node as many as there are replicates.
    values: Vec<i64>,
}

const ROOT: u32 = 0;

impl Profile {
    /// An empty one that puts all it gets into one replicate, the first.
    #[must_use]
    pub fn new(timer: Timer) -> Self {
        Self::of_replicate(timer, 0)
    }

    /// The same for the replicate of that number, modulo [`REPLICATES`].
    #[must_use]
    pub fn of_replicate(timer: Timer, replicate: usize) -> Self {
        Self {
            timer,
            taken: Taken::Scopes,
            builds: Builds::default(),
            timer_cost: TimerCost::default(),
            functions: IndexSet::default(),
            nodes: vec![Node {
                parent: ROOT,
                function: u32::MAX,
                calls: 0,
                folded: 0,
            }],
            children: HashMap::default(),
            first: replicate % REPLICATES,
            replicates: vec![Replicate::default()],
            values: vec![0],
        }
    }

    /// An empty one that keeps apart what these replicates stand on.
    pub(super) fn of_replicates(timer: Timer, replicates: Vec<Replicate>) -> Self {
        let mut profile = Self::new(timer);
        if !replicates.is_empty() {
            profile.values = vec![0; replicates.len()];
            profile.replicates = replicates;
        }
        profile
    }

    /// Says how it was taken.
    #[must_use]
    pub fn taken_by(mut self, taken: Taken) -> Self {
        self.taken = taken;
        self
    }

    /// Says which builds of the program it is of.
    #[must_use]
    pub fn of_builds(mut self, builds: Builds) -> Self {
        self.builds = builds;
        self
    }

    /// Which builds of the program it is of.
    #[must_use]
    pub fn builds(&self) -> &Builds {
        &self.builds
    }

    /// Says what of the timer's own cost was taken off.
    #[must_use]
    pub fn with_timer_cost(mut self, cost: TimerCost) -> Self {
        self.timer_cost = cost;
        self
    }

    /// What of the timer's own cost was taken off.
    #[must_use]
    pub fn timer_cost(&self) -> TimerCost {
        self.timer_cost
    }

    /// How it was taken.
    #[must_use]
    pub fn taken(&self) -> Taken {
        self.taken
    }

    /// What its values count.
    #[must_use]
    pub fn timer(&self) -> &Timer {
        &self.timer
    }

    /// The node that stands for the request.
    #[must_use]
    pub fn root(&self) -> NodeId {
        NodeId(ROOT)
    }

    /// The node of a function called from another, made if it is not there.
    ///
    /// # Panics
    /// If `parent` is of a profile with more nodes than this one.
    pub fn child(&mut self, parent: NodeId, function: &Function) -> NodeId {
        let function = self.function_id(function);
        self.child_by_id(parent, function)
    }

    /// The number of that function, which is given to it if it is new.
    pub fn function_id(&mut self, function: &Function) -> FunctionId {
        let at = self.functions.get_index_of(function).unwrap_or_else(|| {
            let (at, _) = self.functions.insert_full(function.clone());
            at
        });
        FunctionId(u32::try_from(at).unwrap_or(u32::MAX))
    }

    /// The nodes of a tree that is written as lists, made where they are missing: of each node its parent and its
    /// function by their places in their lists, parents first; the first is the root. It ends before the first
    /// node that leads nowhere.
    pub(super) fn places_of(
        &mut self,
        functions: &[Function],
        parents: &[u32],
        node_functions: &[u32],
    ) -> Vec<NodeId> {
        let functions: Vec<FunctionId> = functions
            .iter()
            .map(|function| self.function_id(function))
            .collect();
        let mut places: Vec<NodeId> = Vec::with_capacity(parents.len());
        for (parent, function) in parents.iter().zip(node_functions) {
            let place = if places.is_empty() {
                self.root()
            } else {
                let parent = places.get(*parent as usize);
                let function = functions.get(*function as usize);
                let (Some(parent), Some(function)) = (parent, function) else {
                    break;
                };
                self.child_by_id(*parent, *function)
            };
            places.push(place);
        }
        places
    }

    /// As [`Profile::child`], for a function that has its number.
    ///
    /// # Panics
    /// If `parent` is of a profile with more nodes than this one.
    pub fn child_by_id(&mut self, parent: NodeId, function: FunctionId) -> NodeId {
        assert!(parent.index() < self.nodes.len(), "a node of this profile");
        let next = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        let at = *self.children.entry((parent.0, function.0)).or_insert(next);
        if at == next {
            self.nodes.push(Node {
                parent: parent.0,
                function: function.0,
                calls: 0,
                folded: 0,
            });
            self.values
                .resize(self.values.len() + self.replicates.len(), 0);
        }
        NodeId(at)
    }

    /// Adds calls (or samples) and cost to a node, in the profile's first replicate.
    ///
    /// # Panics
    /// If the node is of a profile with more nodes than this one.
    pub fn add(&mut self, node: NodeId, calls: u64, own: i64) {
        let place = &mut self.nodes[node.index()];
        place.calls = place.calls.saturating_add(calls);
        let value = &mut self.values[node.index() * self.replicates.len()];
        *value = value.saturating_add(own);
    }

    /// The same with a cost for each replicate.
    pub(super) fn add_by_replicate(&mut self, node: NodeId, calls: u64, own: &[i64]) {
        let place = &mut self.nodes[node.index()];
        place.calls = place.calls.saturating_add(calls);
        let width = self.replicates.len();
        let values = &mut self.values[node.index() * width..][..width];
        for (value, own) in values.iter_mut().zip(own) {
            *value = value.saturating_add(*own);
        }
    }

    /// Adds requests and samples to the profile's first replicate.
    pub fn count(&mut self, requests: u64, samples: u64) {
        let replicate = &mut self.replicates[0];
        replicate.requests = replicate.requests.saturating_add(requests);
        replicate.samples = replicate.samples.saturating_add(samples);
    }

    /// Says how many nodes were folded before, somewhere below the root.
    pub(super) fn count_folded(&mut self, nodes: u64) {
        let root = &mut self.nodes[0];
        root.folded = root.folded.saturating_add(nodes);
    }

    /// Adds another profile of the same timer. In any order the sum is the same, but for the numbers
    /// of nodes and functions.
    ///
    /// ```
    /// # use appweight::profile::{Function, Profile, Timer};
    /// # let one = |value| {
    /// #     let mut profile = Profile::new(Timer::new("cpu", "ns"));
    /// #     let feed = profile.child(profile.root(), &Function::named("feed"));
    /// #     profile.add(feed, 1, value);
    /// #     profile.count(1, 0);
    /// #     profile
    /// # };
    /// let mut day = one(300);
    /// day.merge(&one(500));
    /// assert_eq!((day.requests(), day.total()), (2, 800));
    /// ```
    pub fn merge(&mut self, other: &Self) {
        let end = (self.first + self.replicates.len()).max(other.first + other.replicates.len());
        self.widen(self.first.min(other.first), end);
        if self.nodes.len() == 1 && self.requests() == 0 {
            self.taken = other.taken;
        }
        self.builds.merge(&other.builds);
        self.timer_cost.merge(other.timer_cost);
        let shift = other.first - self.first;
        for (into, from) in self.replicates[shift..].iter_mut().zip(&other.replicates) {
            into.requests = into.requests.saturating_add(from.requests);
            into.samples = into.samples.saturating_add(from.samples);
        }
        let functions: Vec<FunctionId> = other
            .functions
            .iter()
            .map(|function| self.function_id(function))
            .collect();
        let mut places: Vec<NodeId> = Vec::with_capacity(other.nodes.len());
        for (number, node) in other.nodes.iter().enumerate() {
            let place = match places.get(node.parent as usize) {
                Some(parent) => self.child_by_id(*parent, functions[node.function as usize]),
                // Only the root has no parent before it.
                None => self.root(),
            };
            places.push(place);
            let into = &mut self.nodes[place.index()];
            into.calls = into.calls.saturating_add(node.calls);
            into.folded = into.folded.saturating_add(node.folded);
            let width = self.replicates.len();
            let start = place.index() * width + shift;
            let from = &other.values[number * other.replicates.len()..];
            let into = &mut self.values[start..start + other.replicates.len()];
            for (into, from) in into.iter_mut().zip(from) {
                *into = into.saturating_add(*from);
            }
        }
    }

    /// Makes room for the replicates from `first` up to `end`.
    fn widen(&mut self, first: usize, end: usize) {
        let (before, width) = (self.replicates.len(), end - first);
        if (self.first, before) == (first, width) {
            return;
        }
        let shift = self.first - first;
        let mut values = vec![0; self.nodes.len() * width];
        for (node, old) in self.values.chunks(before).enumerate() {
            let start = node * width + shift;
            values[start..start + before].copy_from_slice(old);
        }
        let mut replicates = vec![Replicate::default(); width];
        replicates[shift..shift + before].copy_from_slice(&self.replicates);
        (self.values, self.replicates, self.first) = (values, replicates, first);
    }

    /// All nodes, parents before their children, the root first.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = NodeId> + DoubleEndedIterator + use<> {
        (0..u32::try_from(self.nodes.len()).unwrap_or(u32::MAX)).map(NodeId)
    }

    /// The caller's node; `None` for the root.
    #[must_use]
    pub fn parent(&self, node: NodeId) -> Option<NodeId> {
        (node.0 != ROOT).then(|| NodeId(self.nodes[node.index()].parent))
    }

    /// The number of the node's function; `None` for the root.
    #[must_use]
    pub fn function_of(&self, node: NodeId) -> Option<FunctionId> {
        (node.0 != ROOT).then(|| FunctionId(self.nodes[node.index()].function))
    }

    /// The function of that number.
    ///
    /// # Panics
    /// If it is of another profile.
    #[must_use]
    pub fn function(&self, id: FunctionId) -> &Function {
        &self.functions[id.0 as usize]
    }

    /// The number of that function, if it is known.
    #[must_use]
    pub fn known_function(&self, function: &Function) -> Option<FunctionId> {
        let at = self.functions.get_index_of(function)?;
        u32::try_from(at).ok().map(FunctionId)
    }

    /// All functions, by rising number.
    pub fn functions(&self) -> impl ExactSizeIterator<Item = (FunctionId, &Function)> {
        let numbered = self.functions.iter().enumerate();
        numbered.map(|(at, function)| (FunctionId(u32::try_from(at).unwrap_or(u32::MAX)), function))
    }

    /// How often the node was seen: calls, or samples.
    #[must_use]
    pub fn calls(&self, node: NodeId) -> u64 {
        self.nodes[node.index()].calls
    }

    /// How many nodes were folded into this one.
    #[must_use]
    pub fn folded_into(&self, node: NodeId) -> u64 {
        self.nodes[node.index()].folded
    }

    /// How many nodes were folded into others, in the whole tree.
    #[must_use]
    pub fn folded(&self) -> u64 {
        self.nodes
            .iter()
            .fold(0, |all, node| all.saturating_add(node.folded))
    }

    /// What the node's function itself cost, all replicates together.
    #[must_use]
    pub fn own(&self, node: NodeId) -> i64 {
        sum(self.own_by_replicate(node))
    }

    /// The same by replicate, beside [`Profile::replicates`].
    #[must_use]
    pub fn own_by_replicate(&self, node: NodeId) -> &[i64] {
        let width = self.replicates.len();
        &self.values[node.index() * width..][..width]
    }

    /// What each replicate stands on.
    #[must_use]
    pub fn replicates(&self) -> &[Replicate] {
        &self.replicates
    }

    #[cfg(test)]
    pub(super) fn first_replicate(&self) -> usize {
        self.first
    }

    /// Requests behind it.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.replicates
            .iter()
            .fold(0, |all, replicate| all.saturating_add(replicate.requests))
    }

    /// Samples behind it; 0 for scopes.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.replicates
            .iter()
            .fold(0, |all, replicate| all.saturating_add(replicate.samples))
    }

    /// What everything cost.
    #[must_use]
    pub fn total(&self) -> i64 {
        sum(&self.values)
    }

    /// What each node and all that it called cost, by node and replicate, in the order of
    /// [`Profile::nodes`].
    #[must_use]
    pub(super) fn totals_by_replicate(&self) -> Vec<i64> {
        let width = self.replicates.len();
        let mut totals = self.values.clone();
        // Children come after their parents: from the end on each is complete when it is added.
        for (number, node) in self.nodes.iter().enumerate().skip(1).rev() {
            let (parents, own) = totals.split_at_mut(number * width);
            let parent = &mut parents[node.parent as usize * width..][..width];
            for (parent, own) in parent.iter_mut().zip(&own[..width]) {
                *parent = parent.saturating_add(*own);
            }
        }
        totals
    }

    /// An empty one of the same timer, replicates and functions.
    pub(super) fn emptied(&self) -> Self {
        let mut emptied = self.emptied_of_functions();
        emptied.functions.clone_from(&self.functions);
        emptied
    }

    /// An empty one of the same timer and replicates.
    pub(super) fn emptied_of_functions(&self) -> Self {
        let mut emptied = Self::of_replicate(self.timer.clone(), self.first);
        emptied.taken = self.taken;
        emptied.builds.clone_from(&self.builds);
        emptied.timer_cost = self.timer_cost;
        emptied.replicates.clone_from(&self.replicates);
        emptied.values = vec![0; self.replicates.len()];
        emptied
    }

    /// Puts a node of another profile with the same replicates into one of this.
    pub(super) fn absorb(&mut self, into: NodeId, from: &Self, node: NodeId, as_folded: bool) {
        let width = self.replicates.len();
        let place = &mut self.nodes[into.index()];
        let (calls, folded) = (from.calls(node), from.folded_into(node));
        place.folded = place.folded.saturating_add(folded);
        if as_folded {
            place.folded = place.folded.saturating_add(1);
        } else {
            place.calls = place.calls.saturating_add(calls);
        }
        let values = &mut self.values[into.index() * width..][..width];
        for (into, from) in values.iter_mut().zip(from.own_by_replicate(node)) {
            *into = into.saturating_add(*from);
        }
    }
}

fn sum(values: &[i64]) -> i64 {
    values
        .iter()
        .fold(0, |sum, value| sum.saturating_add(*value))
}
