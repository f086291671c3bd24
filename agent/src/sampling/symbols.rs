use std::collections::HashMap;

use appweight_wire::Function;

use super::modules::Modules;
use crate::profile::Profiles;
use crate::profile::merge::FunctionId;

/// What the process's addresses are called. For a thread of the agent's own: looking one up reads files, allocates and
/// takes milliseconds, the first time longer.
#[derive(Debug, Default)]
pub(super) struct Symbols {
    modules: Modules,
    /// The functions at an address, outermost first: several where one is inlined into another.
    known: HashMap<u64, Vec<Name>>,
    names: Vec<Named>,
    by_name: HashMap<(String, String), Name>,
}

/// A function's number in [`Symbols`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Name(usize);

#[derive(Debug)]
struct Named {
    function: Function,
    /// Once it was asked for.
    id: Option<FunctionId>,
    is_ours: bool,
    allocates: bool,
}

/// Some 5 MB with their names. A service has a few thousand addresses that stacks go through.
const ADDRESSES: usize = 50_000;

impl Symbols {
    /// Looks that address up, if it is not known.
    pub(super) fn resolve(&mut self, address: u64) {
        if self.known.contains_key(&address) {
            return;
        }
        let mut functions = self.modules.functions(address);
        if functions.is_empty() {
            // Code that was made at run time, or a library without symbols.
            functions.push(Function::default());
        }
        let names = functions.into_iter().rev();
        let names = names.map(|function| self.name(function)).collect();
        self.known.insert(address, names);
    }

    fn name(&mut self, mut function: Function) -> Name {
        if function.name.is_empty() {
            "(unknown)".clone_into(&mut function.name);
        }
        // By name and file: of what was inlined the name may be short. A function that a macro made up of several files is the
        // first of them.
        let known = if is_path(&function.name) {
            ""
        } else {
            &*function.file
        };
        let known = (function.name.clone(), known.to_owned());
        if let Some(name) = self.by_name.get(&known) {
            return *name;
        }
        let name = Name(self.names.len());
        self.by_name.insert(known, name);
        self.names.push(Named {
            is_ours: is_ours(&function),
            allocates: allocates(&function),
            function,
            id: None,
        });
        name
    }

    /// The functions at an address that was looked up, outermost first.
    pub(super) fn at(&self, address: u64) -> &[Name] {
        self.known.get(&address).map_or(&[], Vec::as_slice)
    }

    /// Whether it is the agent's.
    pub(super) fn is_ours(&self, name: Name) -> bool {
        self.names.get(name.0).is_some_and(|named| named.is_ours)
    }

    /// Whether it is a part of the allocator, or of what the standard library puts between it and whoever asks.
    pub(super) fn allocates(&self, name: Name) -> bool {
        self.names.get(name.0).is_some_and(|named| named.allocates)
    }

    /// Its number among the functions of profiles.
    pub(super) fn id(&mut self, name: Name, profiles: &mut Profiles) -> FunctionId {
        match self.names.get_mut(name.0) {
            Some(named) => *named
                .id
                .get_or_insert_with(|| profiles.function(&named.function)),
            None => profiles.function(&Function::default()),
        }
    }

    /// Forgets all if it has become too much, between two profiles.
    pub(super) fn stay_small(&mut self) {
        if self.known.len() > ADDRESSES {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
impl Name {
    /// The first so many.
    pub(super) fn some(count: usize) -> Vec<Self> {
        (0..count).map(Self).collect()
    }
}

/// Of what was inlined, often only the file tells where it belongs.
fn is_ours(function: &Function) -> bool {
    const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/");
    path(&function.name).starts_with("appweight_agent::") || function.file.starts_with(SOURCES)
}

fn allocates(function: &Function) -> bool {
    const PREFIXES: [&str; 7] = [
        "appweight_agent::allocator::",
        "appweight_agent::sampling::",
        "alloc::",
        "core::alloc::",
        "std::alloc::",
        "hashbrown::",
        // The symbols that the compiler makes for the global allocator.
        "__rust",
    ];
    const FILES: [&str; 5] = [
        "/library/alloc/src/",
        "/library/core/src/alloc/",
        "/library/std/src/alloc.rs",
        concat!(env!("CARGO_MANIFEST_DIR"), "/src/allocator.rs"),
        concat!(env!("CARGO_MANIFEST_DIR"), "/src/sampling/"),
    ];
    let Function { name, file, .. } = function;
    PREFIXES.iter().any(|prefix| path(name).starts_with(prefix))
        || (!is_path(name) && FILES.iter().any(|part| file.contains(part)))
}

/// Whether a name tells where its function belongs.
fn is_path(name: &str) -> bool {
    let head = name.split(['<', '(']).find(|part| !part.is_empty());
    head.unwrap_or(name).contains("::") || name.starts_with('_')
}

/// `<a::B as c::D>::e` is told by what it is of.
fn path(name: &str) -> &str {
    name.strip_prefix('<').unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[inline(never)]
    fn known_by_name() -> u64 {
        std::hint::black_box(7)
    }

    #[test]
    fn a_function_is_found_by_name_and_file() {
        let mut symbols = Symbols::default();
        let address = known_by_name as fn() -> u64 as usize as u64;
        for _ in 0..2 {
            symbols.resolve(address);
            symbols.resolve(1);
        }
        let [name] = *symbols.at(address) else {
            panic!("{:?}", symbols.at(address));
        };
        let function = &symbols.names[name.0].function;
        assert!(function.name.ends_with("::known_by_name"), "{function:?}");
        assert!(function.file.ends_with("symbols.rs"), "{function:?}");
        assert!(symbols.is_ours(name));
        let unknown = symbols.at(1)[0];
        assert_eq!(symbols.names[unknown.0].function.name, "(unknown)");
        let mut profiles = Profiles::default();
        let id = symbols.id(name, &mut profiles);
        assert_eq!(symbols.id(name, &mut profiles), id);
        assert_ne!(symbols.id(unknown, &mut profiles), id);
        assert_eq!(symbols.names.len(), 2);
    }

    #[inline(always)]
    fn inlined(mut sum: u64) -> u64 {
        let mut turn = 0;
        while turn < 100 {
            sum = (sum << 5) ^ (sum >> 59) ^ turn;
            turn += 1;
        }
        sum
    }

    #[inline(never)]
    fn around_it() -> u64 {
        std::hint::black_box(inlined(std::hint::black_box(7)))
    }

    #[test]
    fn what_is_inlined_is_a_function_within_the_one_around_it() {
        let mut symbols = Symbols::default();
        let start = around_it as fn() -> u64 as usize as u64;
        let mut found: Vec<Vec<String>> = Vec::new();
        for address in start..start + 1_000 {
            symbols.resolve(address);
            let names = symbols.at(address).iter();
            let names: Vec<String> = names
                .map(|name| symbols.names[name.0].function.name.clone())
                .collect();
            if !names[0].ends_with("::around_it") {
                break;
            }
            found.push(names);
        }
        // Outermost first; the function begins and ends in code of its own.
        let first = found.first().expect("the function itself");
        assert_eq!(first.len(), 1, "{found:?}");
        let within = found.iter().filter(|names| names.len() > 1);
        let within: Vec<&str> = within.map(|names| names[1].as_str()).collect();
        assert!(
            within.iter().any(|name| name.starts_with("inlined")),
            "{found:?}"
        );
        assert_eq!(around_it(), inlined(7));
    }

    #[test]
    fn functions_are_told_apart_by_name_or_file() {
        let named = |name: &str, file: &str| Function {
            file: file.to_owned(),
            ..Function::named(name)
        };
        for (name, file, ours, allocating) in [
            (
                "<alloc::vec::Vec<T> as core::iter::Extend>::extend",
                "",
                false,
                true,
            ),
            ("__rustc::__rust_alloc", "", false, true),
            (
                "with_capacity_in<u8>",
                "/rustc/1/library/alloc/src/raw_vec.rs",
                false,
                true,
            ),
            ("photo_backend::feed", "/home/photo/feed.rs", false, false),
            // A closure of the service's that the standard library calls.
            (
                "photo_backend::feed::{{closure}}",
                "/rustc/1/library/alloc/src/vec.rs",
                false,
                false,
            ),
            (
                "<tower::Boxed<appweight_agent::AgentService> as Service>::call",
                "",
                false,
                false,
            ),
            (
                "<appweight_agent::measured::Measured<F,O> as core::future::future::Future>::poll",
                "",
                true,
                false,
            ),
            (
                "poll<F>",
                concat!(env!("CARGO_MANIFEST_DIR"), "/src/measured.rs"),
                true,
                false,
            ),
            (
                "appweight_agent::sampling::allocations::look",
                "",
                true,
                true,
            ),
        ] {
            let function = named(name, file);
            assert_eq!(
                (is_ours(&function), allocates(&function)),
                (ours, allocating),
                "{name}"
            );
        }
    }
}
