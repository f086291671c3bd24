//! How a verdict looks: a word, a colour and a shape, so that nothing hangs on the colour alone.

use appweight::api::{DeployStatus, DeploySummary, DeployVerdict, Verdict};
use maud::{Markup, html};

/// The look of a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    Heavier,
    Lighter,
    Same,
    WentAway,
    Undecided,
    Unsure,
    Rolling,
    Withheld,
    First,
}

impl Look {
    /// In the order of a legend.
    pub(crate) const ALL: [Self; 9] = [
        Self::Heavier,
        Self::Lighter,
        Self::Same,
        Self::WentAway,
        Self::Undecided,
        Self::Unsure,
        Self::Withheld,
        Self::Rolling,
        Self::First,
    ];

    pub(crate) fn of_deploy(summary: &DeploySummary) -> Self {
        match summary.verdict {
            DeployVerdict::Pending => Self::Rolling,
            DeployVerdict::Regressed => Self::Heavier,
            DeployVerdict::Improved => Self::Lighter,
            DeployVerdict::NoChange | DeployVerdict::Undecided | DeployVerdict::NotEnoughData
                if summary.status == DeployStatus::Rolling =>
            {
                Self::Rolling
            }
            DeployVerdict::NoChange => Self::Same,
            DeployVerdict::Withdrawn => Self::WentAway,
            DeployVerdict::Undecided => Self::Undecided,
            DeployVerdict::NotEnoughData => Self::Unsure,
            DeployVerdict::Withheld => Self::Withheld,
            DeployVerdict::First => Self::First,
        }
    }

    pub(crate) fn of_endpoint(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Regressed => Self::Heavier,
            Verdict::Improved => Self::Lighter,
            Verdict::NoChange => Self::Same,
            Verdict::NotEnoughData => Self::Unsure,
            Verdict::Withheld => Self::Withheld,
        }
    }

    /// The class that gives the colour.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Heavier => "heavier",
            Self::Lighter => "lighter",
            Self::Same | Self::WentAway => "same",
            Self::Undecided | Self::Unsure => "unsure",
            Self::Rolling => "rolling",
            Self::Withheld => "withheld",
            Self::First => "first",
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Heavier => "heavier",
            Self::Lighter => "lighter",
            Self::Same => "no change",
            Self::WentAway => "went away",
            Self::Undecided => "undecided",
            Self::Unsure => "not enough data",
            Self::Rolling => "rolling",
            Self::Withheld => "withheld",
            Self::First => "first",
        }
    }

    /// The same in a character, for tooltips.
    pub(crate) fn character(self) -> char {
        match self {
            Self::Heavier => '▲',
            Self::Lighter => '▼',
            Self::Same => '●',
            Self::WentAway => '○',
            Self::Undecided | Self::Unsure => '?',
            Self::Rolling => '…',
            Self::Withheld => '!',
            Self::First => '◆',
        }
    }

    /// The shape as SVG round a centre, in the colour of the class.
    pub(crate) fn shape(self, x: i32, y: i32, r: i32) -> Markup {
        let letter = |letter: char| {
            html! {
                circle class="hollow" cx=(x) cy=(y) r=(r) {}
                text class="letter" x=(x) y=(y) dy="0.36em" text-anchor="middle" font-size=(r * 3 / 2) { (letter) }
            }
        };
        let polygon = |corners: [(i32, i32); 4]| {
            let points = corners.map(|(dx, dy)| format!("{},{}", x + dx, y + dy));
            html! { polygon class="full" points=(points.join(" ")) {} }
        };
        match self {
            Self::Heavier => polygon([(0, -r), (r, r * 4 / 5), (-r, r * 4 / 5), (0, -r)]),
            Self::Lighter => polygon([(0, r), (r, -r * 4 / 5), (-r, -r * 4 / 5), (0, r)]),
            Self::Same => html! { circle class="full" cx=(x) cy=(y) r=(r * 5 / 8) {} },
            Self::First => polygon([(0, -r), (r, 0), (0, r), (-r, 0)]),
            Self::WentAway => html! { circle class="hollow" cx=(x) cy=(y) r=(r * 5 / 8) {} },
            Self::Undecided | Self::Unsure => letter('?'),
            Self::Withheld => letter('!'),
            Self::Rolling => html! {
                circle class="hollow" cx=(x) cy=(y) r=(r) {}
                @for dx in [-r / 2, 0, r / 2] {
                    circle class="full" cx=(x + dx) cy=(y) r=(r / 6) {}
                }
            },
        }
    }

    pub(crate) fn icon(self) -> Markup {
        html! {
            svg.icon.(self.class()) viewBox="0 0 40 40" aria-hidden="true" { (self.shape(20, 20, 16)) }
        }
    }

    pub(crate) fn badge(self) -> Markup {
        html! { span.badge.(self.class()) { (self.icon()) span { (self.word()) } } }
    }
}

/// A deploy's badge, which also says when a verdict may still change.
pub(crate) fn deploy_badge(summary: &DeploySummary) -> Markup {
    let look = Look::of_deploy(summary);
    html! {
        (look.badge())
        @if summary.status == DeployStatus::Rolling && look != Look::Rolling {
            span.badge.rolling { (Look::Rolling.icon()) "rolling" }
        }
    }
}
