use super::parts::{Function, NodeId};
use super::tree::Profile;

/// Frames that tell nothing of a Rust service: how the runtime and the standard library get to the code.
/// Rules are data and are applied when a profile is read; what was recorded stays whole.
pub const DEFAULT_WRAPPERS: &[&str] = &[
    "tokio::runtime::*",
    "tokio::task::*",
    "tokio::park::*",
    "std::rt::*",
    "std::sys::*",
    "std::panic::*",
    "std::panicking::*",
    "std::thread::*",
    "core::ops::function::*",
    "<* as core::future::future::Future>::poll",
    "<* as core::ops::function::*",
    "alloc::boxed::*",
    "futures_util::*",
    "hyper::*",
    "hyper_util::*",
    "tower::*",
    "axum::*",
    "__libc_start_*",
    "_start",
    "start_thread",
    "clone3",
];

/// The same of functions that were inlined: all that is known of one is a short name, as `poll<F>`, and its file.
pub const DEFAULT_INLINED: &[&str] = &[
    "/rustc/*/library/*/src/*",
    "*/rustlib/src/rust/library/*/src/*",
    "*/registry/src/*/axum-*/src/*",
    "*/registry/src/*/futures-core-*/src/*",
    "*/registry/src/*/futures-util-*/src/*",
    "*/registry/src/*/http-body-*/src/*",
    "*/registry/src/*/hyper-*/src/*",
    "*/registry/src/*/tokio-*/src/*",
    "*/registry/src/*/tower-*/src/*",
];

/// Which functions are looked through, by patterns of their names in which `*` stands for anything. Of those that were
/// inlined, whose names say little, there are patterns of their files too.
///
/// ```
/// use appweight::profile::Wrappers;
///
/// let wrappers = Wrappers::new(["*::cached_property", "retry"]);
/// assert!(wrappers.matches("photos::cached_property"));
/// assert!(!wrappers.matches("retry_later"));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wrappers {
    patterns: Vec<Vec<String>>,
    /// Of the files of functions whose names are no paths.
    inlined: Vec<Vec<String>>,
}

impl Wrappers {
    /// From patterns.
    pub fn new<P: AsRef<str>>(patterns: impl IntoIterator<Item = P>) -> Self {
        Self {
            patterns: parts(patterns),
            inlined: Vec::new(),
        }
    }

    /// [`DEFAULT_WRAPPERS`] and [`DEFAULT_INLINED`].
    #[must_use]
    pub fn of_rust() -> Self {
        Self {
            patterns: parts(DEFAULT_WRAPPERS),
            inlined: parts(DEFAULT_INLINED),
        }
    }

    /// These and more.
    #[must_use]
    pub fn and<P: AsRef<str>>(mut self, patterns: impl IntoIterator<Item = P>) -> Self {
        self.patterns.extend(parts(patterns));
        self
    }

    /// Whether a function of that name is looked through.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        self.patterns.iter().any(|parts| fits(parts, name))
    }

    fn wrap(&self, function: &Function) -> bool {
        let is_inlined = |file: &str| self.inlined.iter().any(|parts| fits(parts, file));
        self.matches(&function.name) || (!is_path(&function.name) && is_inlined(&function.file))
    }
}

fn parts<P: AsRef<str>>(patterns: impl IntoIterator<Item = P>) -> Vec<Vec<String>> {
    let parts = |pattern: P| pattern.as_ref().split('*').map(str::to_owned).collect();
    patterns.into_iter().map(parts).collect()
}

/// Whether a name tells where its function belongs: what it is generic over does not.
fn is_path(name: &str) -> bool {
    let head = name.split(['<', '(']).find(|part| !part.is_empty());
    head.is_some_and(|head| head.contains("::"))
}

/// Whether the parts between the stars stand in the name one after the other.
fn fits(parts: &[String], name: &str) -> bool {
    let Some((first, rest)) = parts.split_first() else {
        return false;
    };
    let Some(mut left) = name.strip_prefix(first.as_str()) else {
        return false;
    };
    let Some((last, between)) = rest.split_last() else {
        return left.is_empty();
    };
    for part in between {
        match left.find(part.as_str()) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    left.ends_with(last.as_str())
}

/// The profile without its wrappers: what one cost itself is its caller's, and what it called is called by its
/// caller. Two callers of one wrapper stay two chains of calls, so that what it called for one is never
/// taken for what it called for the other.
#[must_use]
pub fn look_through(profile: &Profile, wrappers: &Wrappers) -> Profile {
    let is_wrapper: Vec<bool> = profile
        .functions()
        .map(|(_, function)| wrappers.wrap(function))
        .collect();
    let mut seen = profile.emptied();
    let mut places: Vec<NodeId> = Vec::with_capacity(profile.nodes().len());
    for node in profile.nodes() {
        let above = profile.parent(node).map(|parent| places[parent.index()]);
        let (place, is_folded) = match (above, profile.function_of(node)) {
            (Some(above), Some(function)) if is_wrapper[function.0 as usize] => (above, true),
            (Some(above), Some(function)) => (seen.child_by_id(above, function), false),
            _ => (seen.root(), false),
        };
        seen.absorb(place, profile, node, is_folded);
        places.push(place);
    }
    seen
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::profile::testing::{arbitrary, canonical, parse, whole};
    use crate::profile::{Function, Neighbours, function_costs, neighbours};

    #[test]
    fn a_star_stands_for_anything() {
        let matches = |pattern: &str, name: &str| Wrappers::new([pattern]).matches(name);
        assert!(matches("tokio::*", "tokio::runtime::park"));
        assert!(matches("<* as Future>::poll", "<Feed as Future>::poll"));
        assert!(matches("*a*b*", "xxaxxbxx") && !matches("*a*b*", "xxbxxaxx"));
        assert!(matches("*", "") && matches("a*a", "aa") && !matches("a*a", "a"));
        assert!(!matches("", "x") && matches("", ""));
        assert!(!Wrappers::default().matches("x"));
    }

    #[test]
    fn what_was_inlined_is_known_by_its_file() {
        let wrappers = Wrappers::of_rust();
        let wraps = |name: &str, file: &str| {
            wrappers.wrap(&Function {
                file: file.to_owned(),
                ..Function::named(name)
            })
        };
        let core = "/rustc/59807616e/library/core/src/iter/mod.rs";
        let tokio = "/home/kim/.cargo/registry/src/index.crates.io-1/tokio-1.48.0/src/task.rs";
        assert!(wraps("collect<core::iter::Map<photos::Row>>", core));
        assert!(wraps("{closure#0}", tokio) && wraps("poll<photos::Feed>", tokio));
        assert!(!wraps(
            "poll<photos::Feed>",
            "/home/kim/tokio-demo/src/feed.rs"
        ));
        assert!(!wraps("{closure#0}", "src/feed.rs") && !wraps("sqlite3_step", ""));
        // It has its whole name, and no rule for that.
        assert!(!wraps("core::slice::sort::stable::driftsort_main", core));
        assert!(!wraps("<photos::Row as core::cmp::Ord>::cmp", core));
        assert!(!Wrappers::new(["x"]).wrap(&Function::named("y")));
    }

    /// The false pairs of a profile by caller and callee: `feed` and `inbox` both read a property through one
    /// wrapper, which computes the ranking for the one and the badge for the other.
    #[test]
    fn a_wrapper_does_not_mix_what_it_calls_for_its_callers() {
        let profile = parse(&[
            "feed;cached_property;rank 90",
            "inbox;cached_property;badge 10",
            "feed;cached_property 1",
        ]);
        // Pairs alone say that the wrapper calls both, and that both call the wrapper.
        let pairs = neighbours(&profile, &Function::named("cached_property"));
        assert_eq!((pairs.callers.len(), pairs.callees.len()), (2, 2));
        let seen = look_through(&profile, &Wrappers::new(["cached_property"]));
        assert_eq!(
            canonical(&seen),
            ["feed 1", "feed;rank 90", "inbox;badge 10"]
        );
        let callers = neighbours(&seen, &Function::named("rank")).callers;
        assert_eq!(callers.len(), 1);
        assert_eq!(seen.function(callers[0].function.unwrap()).name, "feed");
        assert_eq!(seen.folded(), 2);
    }

    #[test]
    fn a_wrapper_round_everything_leaves_the_request() {
        let profile = parse(&["main;poll;feed 5", "main 2", "main;main;poll 3"]);
        let seen = look_through(&profile, &Wrappers::new(["main", "poll"]));
        assert_eq!(canonical(&seen), [" 5", "feed 5"]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_all_else_costs_what_it_did(profile in arbitrary()) {
            let seen = look_through(&profile, &Wrappers::new(["w"]));
            prop_assert_eq!(seen.total(), profile.total());
            let wrapper = neighbours(&seen, &Function::named("w"));
            prop_assert_eq!(wrapper, Neighbours::default());
            for cost in function_costs(&profile) {
                let name = profile.function(cost.function);
                if name.name != "w" {
                    let after = function_costs(&seen);
                    let same = after.iter().find(|other| seen.function(other.function) == name).unwrap();
                    prop_assert_eq!(same.total, cost.total);
                }
            }
        }

        #[test]
        fn looking_through_and_merging_go_in_any_order(a in arbitrary(), b in arbitrary()) {
            let wrappers = Wrappers::new(["w", "b"]);
            let mut merged = a.clone();
            merged.merge(&b);
            let mut each = look_through(&a, &wrappers);
            each.merge(&look_through(&b, &wrappers));
            let both = look_through(&merged, &wrappers);
            prop_assert_eq!(canonical(&both), canonical(&each));
            prop_assert!(whole(&both).len() == whole(&each).len());
        }
    }
}
