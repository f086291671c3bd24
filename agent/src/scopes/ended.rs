//! From a request's tree to the profiles of its endpoint.

use std::collections::HashMap;

use appweight_wire::{Age, Kind, Taken};

use super::costs::Costs;
use super::site::Site;
use super::tree::Tree;
use crate::profile::Profiles;
use crate::profile::contexts::Context;
use crate::profile::merge::{FunctionId, Part};

/// What all requests share when their trees are added: of the thread that seals batches.
#[derive(Debug, Default)]
pub(crate) struct Adding {
    costs: Costs,
    /// By the address of their site.
    functions: HashMap<usize, FunctionId>,
}

/// What is known of a request whose tree is complete.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Of {
    pub(crate) end_us: u64,
    pub(crate) kind: Kind,
    /// The endpoint's number.
    pub(crate) endpoint: u32,
    pub(crate) age: Age,
}

impl Adding {
    /// With what the timers cost.
    pub(crate) fn new(costs: Costs) -> Self {
        Self {
            costs,
            functions: HashMap::new(),
        }
    }

    /// Adds a request's tree to the profiles of its endpoint, without the timers' own cost.
    pub(crate) fn add(&mut self, tree: &Tree, of: Of, profiles: &mut Profiles, cell_us: u64) {
        let timers = tree.timers().names(tree.absent(), |at| self.costs.told(at));
        if timers.is_empty() {
            return;
        }
        let own = self.own(tree);
        let nodes: Vec<Context<FunctionId>> = tree
            .nodes()
            .map(|node| Context {
                parent: node.parent,
                function: node.site.map(|site| self.function(site, profiles)),
                calls: node.calls.into(),
            })
            .collect();
        profiles.add(
            &Part {
                end_us: of.end_us,
                kind: of.kind,
                endpoint: Some(of.endpoint),
                age: of.age,
                taken: Taken::Scopes,
                requests: 1,
                samples: 0,
                lost_samples: 0,
                folded: tree.folded(),
                timers: &timers,
                nodes: &nodes,
                own: &own,
            },
            cell_us,
        );
    }

    fn function(&mut self, site: &'static Site, profiles: &mut Profiles) -> FunctionId {
        let address = std::ptr::from_ref(site).addr();
        *self
            .functions
            .entry(address)
            .or_insert_with(|| profiles.function(&site.function()))
    }

    /// The nodes' own values without the timers' own cost, and without the timers that were not read.
    fn own(&self, tree: &Tree) -> Vec<i64> {
        let there: Vec<usize> = tree
            .timers()
            .present(tree.absent())
            .map(|(at, _)| at)
            .collect();
        let mut own: Vec<i64> = Vec::new();
        // Thousandths until the end, so that nothing is rounded twice.
        for node in tree.nodes() {
            let (here, stays) = (own.len(), i64::from(node.entered));
            for &timer in &there {
                let cost = self.costs.timers[timer];
                let taken_off = stays.saturating_mul(cost.inside_milli);
                own.push(
                    node.own(timer)
                        .saturating_mul(1_000)
                        .saturating_sub(taken_off),
                );
            }
            if here > 0 {
                let parent = node.parent as usize * there.len();
                for (place, &timer) in own[parent..].iter_mut().zip(&there) {
                    let cost = self.costs.timers[timer];
                    *place = place.saturating_sub(stays.saturating_mul(cost.outside_milli));
                }
            }
        }
        for value in &mut own {
            *value = (*value + value.signum() * 500) / 1_000;
        }
        own
    }
}
