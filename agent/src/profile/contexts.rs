use std::collections::HashMap;
use std::hash::Hash;

/// A calling-context tree: a node for each chain of functions, with values of its own.
///
/// The first node is the request itself; each other one's parent comes before it.
#[derive(Debug)]
pub(crate) struct Contexts<F> {
    nodes: Vec<Context<F>>,
    children: HashMap<(u32, F), u32>,
    values: usize,
    own: Vec<i64>,
}

/// One calling context.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<F> {
    /// The place of its parent.
    pub(crate) parent: u32,
    /// `None` of the request itself.
    pub(crate) function: Option<F>,
    /// How often it was called, or seen.
    pub(crate) calls: u64,
}

impl<F: Copy + Eq + Hash> Contexts<F> {
    /// The request alone. Each node has so many values.
    pub(crate) fn new(values: usize) -> Self {
        let mut contexts = Self {
            nodes: Vec::new(),
            children: HashMap::new(),
            values,
            own: Vec::new(),
        };
        contexts.push(0, None);
        contexts
    }

    /// The place of that function where it is called from there; `None` if it is new and there are so many nodes already.
    pub(crate) fn child(&mut self, parent: u32, function: F, most: usize) -> Option<u32> {
        if let Some(place) = self.children.get(&(parent, function)) {
            return Some(*place);
        }
        if self.nodes.len() >= most {
            return None;
        }
        let place = self.push(parent, Some(function));
        self.children.insert((parent, function), place);
        Some(place)
    }

    fn push(&mut self, parent: u32, function: Option<F>) -> u32 {
        let place = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        self.nodes.push(Context {
            parent,
            function,
            calls: 0,
        });
        self.own.resize(self.nodes.len() * self.values, 0);
        place
    }

    /// Adds to a node.
    pub(crate) fn add(&mut self, place: u32, calls: u64, values: &[i64]) {
        let place = place as usize;
        if let Some(node) = self.nodes.get_mut(place) {
            node.calls = node.calls.saturating_add(calls);
        }
        let own = self.own.iter_mut().skip(place * self.values);
        for (sum, value) in own.zip(values) {
            *sum = sum.saturating_add(*value);
        }
    }

    /// All of them, the request first.
    pub(crate) fn nodes(&self) -> &[Context<F>] {
        &self.nodes
    }

    /// The values of the first node, then those of the second, …
    pub(crate) fn own(&self) -> &[i64] {
        &self.own
    }
}
