use super::symbols::{Name, Symbols};
use crate::profile::Profiles;
use crate::profile::contexts::{Context, Contexts};
use crate::profile::merge::FunctionId;

/// The calling contexts of samples.
#[derive(Debug)]
pub(super) struct Tree(Contexts<Name>);

impl Tree {
    /// Each node has so many values.
    pub(super) fn new(values: usize) -> Self {
        Self(Contexts::new(values))
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
            // As many as there are: what is sampled of one request or of one span of a process is small.
            at = self.0.child(at, *function, usize::MAX).unwrap_or(at);
        }
        self.0.add(at, samples, values);
    }

    /// The nodes and values of a part, see `Part`.
    pub(super) fn part(
        &self,
        symbols: &mut Symbols,
        profiles: &mut Profiles,
    ) -> (Vec<Context<FunctionId>>, &[i64]) {
        let nodes = self.0.nodes().iter().map(|node| Context {
            parent: node.parent,
            function: node.function.map(|name| symbols.id(name, profiles)),
            calls: node.calls,
        });
        (nodes.collect(), self.0.own())
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
