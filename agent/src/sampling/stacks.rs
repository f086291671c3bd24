use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::event::FRAMES;

/// The stacks of one request, as a tree of addresses: bounded, whatever the request does.
#[derive(Debug)]
pub(crate) struct Stacks {
    /// The first is the request itself.
    nodes: Vec<Frame>,
    children: HashMap<(u32, u64), u32, FixedState>,
    /// The last stack, outermost first: the next has most of it.
    last: Vec<(u64, u32)>,
    chain: Vec<u64>,
    /// In the tree.
    pub(crate) samples: u64,
    /// Taken by the kernel and lost.
    pub(crate) lost: u64,
    /// That found no room in the tree and went to their callers.
    pub(crate) folded: u64,
    /// How often the request was entered.
    pub(crate) polls: u64,
    /// How often no sample could be taken meanwhile, as the thread has no event.
    pub(crate) unsampled_polls: u64,
}

/// One calling context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    /// The place of its caller.
    pub(crate) parent: u32,
    /// Within the instruction that was executed, or that calls.
    pub(crate) address: u64,
    /// How often it was innermost.
    pub(crate) samples: u64,
}

/// Of one request: some 300 kB at most.
const NODES: usize = 4_000;

impl Default for Stacks {
    fn default() -> Self {
        Self {
            nodes: vec![Frame {
                parent: 0,
                address: 0,
                samples: 0,
            }],
            children: HashMap::default(),
            last: Vec::new(),
            chain: Vec::with_capacity(FRAMES.into()),
            samples: 0,
            lost: 0,
            folded: 0,
            polls: 0,
            unsampled_polls: 0,
        }
    }
}

impl Stacks {
    /// Adds a stack: where it was, then where each caller goes on.
    pub(crate) fn add(&mut self, addresses: impl Iterator<Item = u64>) {
        self.chain.clear();
        // A caller goes on behind its call, maybe in the next function: what called is before it.
        let inside = |(depth, address): (usize, u64)| address.saturating_sub(u64::from(depth > 0));
        self.chain.extend(addresses.enumerate().map(inside));
        let same = self.chain.iter().rev().zip(&self.last);
        let same = same.take_while(|(address, (last, _))| *address == last);
        let same = same.count();
        self.last.truncate(same);
        let mut at = self.last.last().map_or(0, |(_, node)| *node);
        let mut folded = false;
        for place in (0..self.chain.len() - same).rev() {
            let address = self.chain[place];
            let Some(child) = self.child(at, address) else {
                folded = true;
                break;
            };
            at = child;
            self.last.push((address, at));
        }
        self.folded += u64::from(folded);
        self.samples += 1;
        if let Some(node) = self.nodes.get_mut(at as usize) {
            node.samples += 1;
        }
    }

    fn child(&mut self, parent: u32, address: u64) -> Option<u32> {
        let next = u32::try_from(self.nodes.len()).ok()?;
        if let Some(child) = self.children.get(&(parent, address)) {
            return Some(*child);
        }
        if self.nodes.len() >= NODES {
            return None;
        }
        self.children.insert((parent, address), next);
        self.nodes.push(Frame {
            parent,
            address,
            samples: 0,
        });
        Some(next)
    }

    /// Adds what another part of the same request did elsewhere.
    pub(crate) fn join(&mut self, other: &Self) {
        let mut places: Vec<u32> = Vec::with_capacity(other.nodes.len());
        for node in &other.nodes {
            let parent = places.get(node.parent as usize).copied().unwrap_or(0);
            let place = match places.is_empty() {
                true => Some(0),
                false => self.child(parent, node.address),
            };
            self.folded += u64::from(place.is_none());
            let place = place.unwrap_or(parent);
            if let Some(into) = self.nodes.get_mut(place as usize) {
                into.samples += node.samples;
            }
            places.push(place);
        }
        self.samples += other.samples;
        self.lost += other.lost;
        self.folded += other.folded;
        self.polls += other.polls;
        self.unsampled_polls += other.unsampled_polls;
    }

    /// The tree: the request itself first, each caller before what it calls.
    pub(crate) fn nodes(&self) -> &[Frame] {
        &self.nodes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each context with samples of its own, outermost first.
    fn told(stacks: &Stacks) -> Vec<(Vec<u64>, u64)> {
        let mut paths: Vec<Vec<u64>> = vec![Vec::new()];
        for node in &stacks.nodes()[1..] {
            let mut path = paths[node.parent as usize].clone();
            path.push(node.address);
            paths.push(path);
        }
        let told = paths.into_iter().zip(stacks.nodes());
        told.filter(|(_, node)| node.samples > 0)
            .map(|(path, node)| (path, node.samples))
            .collect()
    }

    #[test]
    fn contexts_stay_apart_and_callers_are_looked_up_within_their_calls() {
        let mut stacks = Stacks::default();
        for chain in [[100, 51, 11], [100, 51, 11], [100, 51, 21], [50, 11, 7]] {
            stacks.add(chain.into_iter());
        }
        stacks.add([11].into_iter());
        stacks.add([].into_iter());
        assert_eq!(
            told(&stacks),
            [
                (vec![], 1),
                (vec![10, 50, 100], 2),
                (vec![20, 50, 100], 1),
                (vec![6, 10, 50], 1),
                (vec![11], 1),
            ]
        );
        assert_eq!((stacks.samples, stacks.folded), (6, 0));
    }

    #[test]
    fn parts_of_a_request_add_up() {
        let (mut first, mut second) = (Stacks::default(), Stacks::default());
        first.add([100, 51].into_iter());
        second.add([100, 51].into_iter());
        second.add([200, 51].into_iter());
        second.add([].into_iter());
        first.join(&second);
        assert_eq!(
            told(&first),
            [(vec![], 1), (vec![50, 100], 2), (vec![50, 200], 1)]
        );
        assert_eq!(first.samples, 4);
    }

    #[test]
    fn a_tree_is_bounded_and_no_sample_is_lost_in_it() {
        let mut stacks = Stacks::default();
        for leaf in 0..2 * NODES as u64 {
            stacks.add([leaf, 5].into_iter());
        }
        assert_eq!(stacks.nodes().len(), NODES);
        assert_eq!(stacks.folded, NODES as u64 + 2);
        let all: u64 = stacks.nodes().iter().map(|node| node.samples).sum();
        assert_eq!(all, stacks.samples);
    }
}
