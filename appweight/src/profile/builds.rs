use std::collections::BTreeSet;

use appweight_wire::limits;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The builds of a program that a profile is of, by the ids that their linkers wrote. Empty if that is not known.
///
/// At most 16 are kept, those that come first by their digits, so that in any order the sum is the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = Vec<String>)]
pub struct Builds(BTreeSet<String>);

impl Builds {
    /// The only one; `None` if none is known, or several are.
    #[must_use]
    pub fn only(&self) -> Option<&str> {
        match self.0.len() {
            1 => self.0.first().map(String::as_str),
            _ => None,
        }
    }

    /// How many are known.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// All of them, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for id in other.iter() {
            if !self.0.contains(id) {
                self.0.insert(id.to_owned());
            }
        }
        while self.0.len() > limits::BUILDS {
            self.0.pop_last();
        }
    }
}

impl<S: Into<String>> FromIterator<S> for Builds {
    fn from_iter<I: IntoIterator<Item = S>>(ids: I) -> Self {
        let ids = ids.into_iter().map(Into::into);
        Self(ids.take(limits::BUILDS).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_any_order_the_same_are_kept() {
        let one = |number: usize| Builds::from_iter([format!("{number:02}")]);
        let mut up = Builds::default();
        let mut down = Builds::default();
        for number in 0..20 {
            up.merge(&one(number));
            down.merge(&one(19 - number));
        }
        assert_eq!(up, down);
        assert_eq!((up.count(), up.iter().last()), (limits::BUILDS, Some("15")));
    }

    #[test]
    fn one_alone_is_the_only_one() {
        let mut builds = Builds::default();
        assert_eq!(builds.only(), None);
        builds.merge(&Builds::from_iter(["5f0c"]));
        builds.merge(&builds.clone());
        assert_eq!(builds.only(), Some("5f0c"));
        builds.merge(&Builds::from_iter(["a1"]));
        assert_eq!((builds.only(), builds.count()), (None, 2));
    }
}
