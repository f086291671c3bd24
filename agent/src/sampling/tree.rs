use std::collections::HashMap;

use super::symbols::{Name, Symbols};
use crate::profile::Profiles;
use crate::profile::merge::PartNode;

/// A calling-context tree of functions with some values for each.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    children: HashMap<(u32, Name), u32>,
    values: usize,
    /// The values of the first node, then those of the second, …
    own: Vec<i64>,
}

#[derive(Debug)]
struct Node {
    parent: u32,
    /// `None` for the first, which is the request itself.
    function: Option<Name>,
    samples: u64,
}

impl Tree {
    /// Each node has so many values.
    pub(super) fn new(values: usize) -> Self {
        let mut tree = Self {
            nodes: Vec::new(),
            children: HashMap::new(),
            values,
            own: Vec::new(),
        };
        tree.push(0, None);
        tree
    }

    fn push(&mut self, parent: u32, function: Option<Name>) -> u32 {
        let place = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        self.nodes.push(Node {
            parent,
            function,
            samples: 0,
        });
        self.own.resize(self.own.len() + self.values, 0);
        place
    }

    /// Adds samples of a chain of calls, outermost first, each address looked up before. What lies outside of the
    /// request is left out: the chain begins where the agent has handed over to it.
    pub(super) fn add(
        &mut self,
        symbols: &Symbols,
        addresses: &[u64],
        samples: u64,
        values: &[i64],
    ) {
        let functions = functions(symbols, addresses);
        self.add_chain(symbols, &functions, samples, values);
    }

    /// The same for a chain that ends in the allocator: whoever asked it is innermost.
    pub(super) fn add_allocation(
        &mut self,
        symbols: &Symbols,
        addresses: &[u64],
        samples: u64,
        values: &[i64],
    ) {
        let functions = functions(symbols, addresses);
        let asked = functions.iter().rposition(|name| !symbols.allocates(*name));
        let functions = &functions[..asked.map_or(functions.len(), |last| last + 1)];
        self.add_chain(symbols, functions, samples, values);
    }

    /// The same with what is outside of requests.
    pub(super) fn add_whole(
        &mut self,
        symbols: &Symbols,
        addresses: &[u64],
        samples: u64,
        values: &[i64],
    ) {
        self.add_functions(&functions(symbols, addresses), samples, values);
    }

    fn add_chain(&mut self, symbols: &Symbols, chain: &[Name], samples: u64, values: &[i64]) {
        let chain = within_request(chain, |name| symbols.is_ours(name));
        self.add_functions(chain, samples, values);
    }

    fn add_functions(&mut self, chain: &[Name], samples: u64, values: &[i64]) {
        let mut at = 0;
        for function in chain {
            at = match self.children.get(&(at, *function)) {
                Some(child) => *child,
                None => {
                    let child = self.push(at, Some(*function));
                    self.children.insert((at, *function), child);
                    child
                }
            };
        }
        let place = at as usize;
        if let Some(node) = self.nodes.get_mut(place) {
            node.samples += samples;
        }
        let own = self.own.iter_mut().skip(place * self.values);
        for (sum, value) in own.zip(values) {
            *sum = sum.saturating_add(*value);
        }
    }

    /// The nodes and values of a part, see `Part`.
    pub(super) fn part(
        &self,
        symbols: &mut Symbols,
        profiles: &mut Profiles,
    ) -> (Vec<PartNode>, &[i64]) {
        // The first node's function means nothing, but must be one.
        let any = self.nodes.get(1).and_then(|node| node.function);
        let nodes = self.nodes.iter().map(|node| PartNode {
            parent: node.parent,
            function: match node.function.or(any) {
                Some(name) => symbols.id(name, profiles),
                None => profiles.function(&appweight_wire::Function::default()),
            },
            calls: node.samples,
        });
        (nodes.collect(), &self.own)
    }
}

fn functions(symbols: &Symbols, addresses: &[u64]) -> Vec<Name> {
    let functions = addresses.iter().flat_map(|address| symbols.at(*address));
    functions.copied().collect()
}

/// A chain without what is outside of the first functions of the agent's, and without those.
fn within_request(chain: &[Name], is_ours: impl Fn(Name) -> bool) -> &[Name] {
    let Some(first) = chain.iter().position(|name| is_ours(*name)) else {
        return chain;
    };
    let inside = &chain[first..];
    let ours = inside.iter().take_while(|name| is_ours(**name)).count();
    &inside[ours..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_outside_of_the_request_is_left_out() {
        let names: Vec<Name> = Name::some(9);
        let ours = [names[2], names[3], names[6]];
        let within = |chain: &[Name]| within_request(chain, |name| ours.contains(&name)).to_vec();
        assert_eq!(within(&names), names[4..], "the agent may be called inside");
        assert_eq!(
            within(&names[..4]),
            [],
            "the agent's own work is the request's"
        );
        assert_eq!(within(&names[..2]), names[..2], "of no request");
        assert_eq!(within(&[]), []);
    }
}
