//! What was planted beside what was found.

use std::collections::BTreeMap;

use appweight::api::{DeploySummary, Finding};
use appweight::text;
use photo_backend::Variant;
use photo_backend::truth::Truth;

use crate::culprit::{self, Named};
use crate::judge::Api;
use crate::plan::{Change, Expected, PlannedDeploy};
use crate::print;
use crate::score::{Score, score, score_function};

/// A deploy of the day with what was said of it.
pub(crate) struct Judged<'a> {
    planned: &'a PlannedDeploy,
    summary: Option<&'a DeploySummary>,
    /// Of each finding that something became heavier, the function behind it.
    functions: Vec<(&'a Finding, Result<Named, String>)>,
}

impl<'a> Judged<'a> {
    /// Asks which functions are behind what was found.
    pub(crate) async fn of(
        api: &Api,
        planned: &'a PlannedDeploy,
        summary: Option<&'a DeploySummary>,
    ) -> Self {
        let mut functions = Vec::new();
        if let Some(summary) = summary {
            for finding in summary.findings.iter().filter(|finding| finding.heavier) {
                functions.push((finding, culprit::named(api, summary, finding).await));
            }
        }
        Self {
            planned,
            summary,
            functions,
        }
    }

    fn score(&self) -> Score {
        match score(self.planned, self.summary) {
            Score::Right => {}
            wrong @ Score::Wrong(_) => return wrong,
        }
        let endpoint = match self.planned.expected() {
            Some(Expected::Heavier(endpoint)) => Some(endpoint),
            _ => None,
        };
        let named = self
            .functions
            .iter()
            .find(|(finding, _)| finding.endpoint.as_deref() == endpoint)
            .map_or(Err("nothing was found"), |(_, named)| {
                named.as_ref().map_err(String::as_str)
            });
        score_function(self.planned, named)
    }

    fn found(&self) -> String {
        match self.summary {
            Some(summary) if summary.findings.is_empty() => short(&summary.headline),
            Some(summary) => {
                let findings: Vec<String> = summary.findings.iter().map(told).collect();
                findings.join("; ")
            }
            None => "nothing".to_owned(),
        }
    }

    fn function(&self) -> String {
        let functions: Vec<String> = self
            .functions
            .iter()
            .map(|(_, named)| match named {
                Ok(named) => named.told(),
                Err(_) => "not known".to_owned(),
            })
            .collect();
        functions.join("; ")
    }
}

/// Prints the day as a table; whether all that was found is right.
pub(crate) fn report(day: &[Judged<'_>], truths: &BTreeMap<Variant, Truth>) -> bool {
    const HEADS: [&str; 6] = ["deploy", "planted", "truly", "found", "function", ""];
    print::line("");
    let mut rows = vec![HEADS.map(str::to_owned)];
    let mut all_right = true;
    for judged in day {
        let (planted, truly) = planted(judged.planned, truths);
        let verdict = match judged.score() {
            Score::Right => "right".to_owned(),
            Score::Wrong(why) => {
                all_right = false;
                format!("WRONG: {why}")
            }
        };
        let id = judged.planned.id.clone();
        rows.push([
            id,
            planted,
            truly,
            judged.found(),
            judged.function(),
            verdict,
        ]);
    }
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: [usize; 6] = std::array::from_fn(width);
    for [id, planted, truly, found, function, verdict] in &rows {
        print::line(&format!(
            "{id:<0$}  {planted:<1$}  {truly:<2$}  {found:<3$}  {function:<4$}  {verdict}",
            widths[0], widths[1], widths[2], widths[3], widths[4]
        ));
    }
    print::line("");
    print::line(if all_right {
        "every plant was found in its deploy, endpoint and function, and no clean deploy was flagged"
    } else {
        "what was found is WRONG in the deploys marked above"
    });
    all_right
}

fn told(finding: &Finding) -> String {
    match (&finding.endpoint, &finding.change) {
        (Some(endpoint), Some(change)) => format!("{endpoint} {}", text::change(change)),
        _ => finding.text.clone(),
    }
}

fn short(headline: &str) -> String {
    headline.replace(" per request over all endpoints", "")
}

fn planted(deploy: &PlannedDeploy, truths: &BTreeMap<Variant, Truth>) -> (String, String) {
    let of = |variant: Variant| truths.get(&variant);
    match deploy.change {
        Change::Nothing => ("nothing".to_owned(), String::new()),
        Change::Plant(variant) => {
            let name = if variant == Variant::StoriesPrefetch {
                format!("{variant} (mix only)")
            } else {
                variant.to_string()
            };
            (
                name,
                of(variant).map_or_else(String::new, |truth| truly(variant, truth, false)),
            )
        }
        Change::RollBack(variant) => (
            format!("roll-back of {variant}"),
            of(variant).map_or_else(String::new, |truth| truly(variant, truth, true)),
        ),
    }
}

/// What the run side by side measured; turned round for a roll-back.
fn truly(variant: Variant, truth: &Truth, reversed: bool) -> String {
    if let (Variant::InboxLeak, Some(memory)) = (variant, &truth.memory) {
        let more = memory.variant_bytes - memory.base_bytes;
        return format!("{} {} per request", memory.endpoint, text::bytes(more));
    }
    let endpoint = variant.endpoint().template();
    let Some(measured) = truth
        .endpoints
        .iter()
        .find(|measured| measured.endpoint == endpoint)
    else {
        return String::new();
    };
    let turn = |change: f64| {
        if reversed {
            1.0 / (1.0 + change) - 1.0
        } else {
            change
        }
    };
    let (low, high) = if reversed {
        (measured.high, measured.low)
    } else {
        (measured.low, measured.high)
    };
    let bare = |change: f64| format!("{:.1}", turn(change) * 100.0).replace('-', "−");
    format!(
        "{} ({} … {})",
        text::signed_percent(turn(measured.change)),
        bare(low),
        bare(high)
    )
}
