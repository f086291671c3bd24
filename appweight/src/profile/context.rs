use super::parts::{Function, NodeId};
use super::tree::Profile;

/// The contexts of two profiles in one tree.
#[derive(Debug, Clone)]
pub struct Union {
    /// The shape alone: its nodes cost nothing.
    pub tree: Profile,
    /// Of each of its nodes the ones before and after that are the same chain of calls.
    pub nodes: Vec<[Option<NodeId>; 2]>,
}

/// Sets two profiles' contexts beside each other.
#[must_use]
pub fn union_of(before: &Profile, after: &Profile) -> Union {
    let mut tree = Profile::new(before.timer().clone());
    let mut nodes: Vec<[Option<NodeId>; 2]> = vec![[None, None]];
    for (side, profile) in [before, after].into_iter().enumerate() {
        let functions: Vec<_> = profile
            .functions()
            .map(|(_, function)| tree.function_id(function))
            .collect();
        let mut places: Vec<NodeId> = Vec::with_capacity(profile.nodes().len());
        for node in profile.nodes() {
            let place = match (profile.parent(node), profile.function_of(node)) {
                (Some(parent), Some(function)) => {
                    tree.child_by_id(places[parent.index()], functions[function.0 as usize])
                }
                _ => tree.root(),
            };
            places.push(place);
            if place.index() == nodes.len() {
                nodes.push([None, None]);
            }
            nodes[place.index()][side] = Some(node);
        }
    }
    Union { tree, nodes }
}

/// The profile with functions known by their names alone: a deploy moves lines and files about, which
/// makes no other function of one.
#[must_use]
pub fn by_name(profile: &Profile) -> Profile {
    let mut named = profile.emptied_of_functions();
    let functions: Vec<_> = profile
        .functions()
        .map(|(_, function)| named.function_id(&Function::named(&function.name)))
        .collect();
    let mut places: Vec<NodeId> = Vec::with_capacity(profile.nodes().len());
    for node in profile.nodes() {
        let place = match (profile.parent(node), profile.function_of(node)) {
            (Some(parent), Some(function)) => {
                named.child_by_id(places[parent.index()], functions[function.0 as usize])
            }
            _ => named.root(),
        };
        named.absorb(place, profile, node, false);
        places.push(place);
    }
    named
}
