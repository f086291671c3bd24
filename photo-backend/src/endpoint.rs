use std::fmt;

use http::Method;
use serde::{Deserialize, Serialize};

/// What can be asked of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// The home feed.
    Feed,
    /// One user's posts.
    Timeline,
    /// The bundle tray: stories of those whom the user follows.
    Stories,
    /// Direct messages.
    Inbox,
    /// Stories were looked at.
    Seen,
    /// A photo is liked.
    Like,
    /// A photo is commented on.
    Comment,
    /// A user is followed.
    Follow,
    /// A photo is posted.
    Upload,
}

impl Endpoint {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Feed,
        Self::Timeline,
        Self::Stories,
        Self::Inbox,
        Self::Seen,
        Self::Like,
        Self::Comment,
        Self::Follow,
        Self::Upload,
    ];

    /// The one that costs least: some 40 µs of CPU time, half of the next one.
    pub const LIGHTEST: Self = Self::Seen;

    /// The route's template, as the agent names it.
    #[must_use]
    pub const fn template(self) -> &'static str {
        match self {
            Self::Feed => "/feed",
            Self::Timeline => "/users/{id}/timeline",
            Self::Stories => "/stories",
            Self::Inbox => "/inbox",
            Self::Seen => "/seen",
            Self::Like => "/media/{id}/likes",
            Self::Comment => "/media/{id}/comments",
            Self::Follow => "/users/{id}/follow",
            Self::Upload => "/media",
        }
    }

    /// Its method.
    #[must_use]
    pub const fn method(self) -> Method {
        match self {
            Self::Feed | Self::Timeline | Self::Stories | Self::Inbox => Method::GET,
            Self::Seen | Self::Like | Self::Comment | Self::Follow | Self::Upload => Method::POST,
        }
    }

    /// Its share of the traffic, in per cent: the proportions of the public django-workload
    /// benchmark, with uploads, likes, comments and follows beside them.
    #[must_use]
    pub const fn share(self) -> u8 {
        match self {
            Self::Feed => 30,
            Self::Timeline => 20,
            Self::Stories | Self::Inbox => 15,
            Self::Seen => 10,
            Self::Like => 5,
            Self::Comment | Self::Upload => 2,
            Self::Follow => 1,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method(), self.template())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_are_a_whole() {
        let sum: u32 = Endpoint::ALL
            .iter()
            .map(|endpoint| u32::from(endpoint.share()))
            .sum();
        assert_eq!(sum, 100);
    }
}
