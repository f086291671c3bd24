use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::Endpoint;

/// A way in which this build differs from the good one, chosen at start-up: what a deploy in the
/// demo carries. The first four are mistakes, made as they are made in real services.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Variant {
    /// The feed loads each author by a query of its own.
    FeedEachAuthor,
    /// The ranking model is read and parsed for every tray of stories.
    StoriesUncached,
    /// The timeline's body is encoded twice, once only to log its size.
    TimelineJsonTwice,
    /// Every inbox page that was ever rendered is kept.
    InboxLeak,
    /// An improvement: the inbox loads its senders by one query.
    InboxBatched,
    /// Costs nothing itself: the feed asks clients to fetch the stories too.
    StoriesPrefetch,
}

impl Variant {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::FeedEachAuthor,
        Self::StoriesUncached,
        Self::TimelineJsonTwice,
        Self::InboxLeak,
        Self::InboxBatched,
        Self::StoriesPrefetch,
    ];

    /// The option's value, as `feed-each-author`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FeedEachAuthor => "feed-each-author",
            Self::StoriesUncached => "stories-uncached",
            Self::TimelineJsonTwice => "timeline-json-twice",
            Self::InboxLeak => "inbox-leak",
            Self::InboxBatched => "inbox-batched",
            Self::StoriesPrefetch => "stories-prefetch",
        }
    }

    /// One line on what it does.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::FeedEachAuthor => "the feed loads each author one by one",
            Self::StoriesUncached => "the ranking model is no longer cached for stories",
            Self::TimelineJsonTwice => "the timeline's JSON is encoded twice",
            Self::InboxLeak => "every rendered inbox page is kept for ever",
            Self::InboxBatched => "the inbox loads its senders by one query",
            Self::StoriesPrefetch => "the feed asks clients to fetch the stories too",
        }
    }

    /// The endpoint that it touches.
    #[must_use]
    pub const fn endpoint(self) -> Endpoint {
        match self {
            Self::FeedEachAuthor => Endpoint::Feed,
            Self::StoriesUncached | Self::StoriesPrefetch => Endpoint::Stories,
            Self::TimelineJsonTwice => Endpoint::Timeline,
            Self::InboxLeak | Self::InboxBatched => Endpoint::Inbox,
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The variants that a process runs with; they combine freely.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Variants(u8);

impl Variants {
    /// Whether this one is on.
    #[must_use]
    pub const fn has(self, variant: Variant) -> bool {
        self.0 & (1 << variant as u8) != 0
    }

    /// The same with one more.
    #[must_use]
    pub const fn with(self, variant: Variant) -> Self {
        Self(self.0 | (1 << variant as u8))
    }

    /// Those that are on.
    pub fn iter(self) -> impl Iterator<Item = Variant> {
        Variant::ALL
            .into_iter()
            .filter(move |&variant| self.has(variant))
    }
}

impl FromIterator<Variant> for Variants {
    fn from_iter<I: IntoIterator<Item = Variant>>(variants: I) -> Self {
        variants.into_iter().fold(Self::default(), Self::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_options_values_and_the_json_names() {
        for variant in Variant::ALL {
            assert_eq!(Variant::from_str(variant.name(), false), Ok(variant));
            assert_eq!(serde_json::to_value(variant).unwrap(), variant.name());
        }
    }

    #[test]
    fn a_set_holds_what_was_put_in() {
        let set = Variants::from_iter([Variant::InboxLeak, Variant::StoriesPrefetch]);
        assert_eq!(
            set.iter().collect::<Vec<_>>(),
            [Variant::InboxLeak, Variant::StoriesPrefetch]
        );
        assert!(!set.has(Variant::FeedEachAuthor));
        assert_eq!(Variants::default().iter().count(), 0);
    }
}
