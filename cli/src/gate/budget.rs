//! `appweight.toml`: how much dearer what may become.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use jiff::civil::Date;
use serde::Deserialize;

use crate::args::MetricName;
use crate::units;

/// The file that is read if none is named and it is there.
pub(crate) const USUAL_NAME: &str = "appweight.toml";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    gate: Budget,
}

/// What the gate holds a service to.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Budget {
    /// The increase of all endpoints together that is still fine.
    pub(crate) max_increase: Option<Percentage>,
    /// How sure the interval is.
    pub(crate) confidence: Option<Confidence>,
    /// What to compare.
    pub(crate) metric: Option<MetricName>,
    /// The same for each endpoint that has no limit of its own; none: these are not held to any.
    pub(crate) every_endpoint: Option<Percentage>,
    /// Limits of single endpoints.
    #[serde(default)]
    pub(crate) endpoints: BTreeMap<String, Percentage>,
    /// Increases that are wanted, each for a while.
    #[serde(default)]
    pub(crate) accepted: Vec<Accepted>,
}

/// An increase that somebody wanted.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Accepted {
    /// None: all endpoints together.
    endpoint: Option<String>,
    increase: Percentage,
    /// The last day on which it is fine.
    until: toml::value::Datetime,
    reason: String,
}

/// What one subject is held to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Limit {
    pub(crate) max_increase: f64,
    /// What was accepted, if that made it more, or was until it expired.
    pub(crate) note: Option<String>,
}

/// `1%`, as a fraction.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Percentage(pub(crate) f64);

impl TryFrom<String> for Percentage {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        units::percentage(&text).map(Self)
    }
}

/// `99%`, as a fraction.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Confidence(pub(crate) f64);

impl TryFrom<String> for Confidence {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        units::confidence(&text).map(Self)
    }
}

impl Accepted {
    fn last_day(&self) -> anyhow::Result<Date> {
        match self.until {
            toml::value::Datetime {
                date: Some(date),
                time: None,
                offset: None,
            } => Date::new(i16::try_from(date.year)?, date.month as i8, date.day as i8)
                .with_context(|| format!("until = {}", self.until)),
            _ => bail!(
                "until = {}: it must be a day without a time, as 2027-03-31",
                self.until
            ),
        }
    }
}

impl Budget {
    /// Reads the file that is named; else the usual one, if it is there.
    pub(crate) fn read(path: Option<&Path>) -> anyhow::Result<Self> {
        let usual = Path::new(USUAL_NAME);
        let path = match path {
            Some(path) => path,
            None if usual.exists() => usual,
            None => return Ok(Self::default()),
        };
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("the budget {} cannot be read", path.display()))?;
        Self::parse(&text).with_context(|| format!("the budget {}", path.display()))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let File { gate: budget } = toml::from_str(text)?;
        for accepted in &budget.accepted {
            accepted.last_day()?;
            if accepted.reason.trim().is_empty() {
                bail!("an accepted increase needs a reason");
            }
        }
        Ok(budget)
    }

    /// What that endpoint (none: all together) is held to on that day, where `usual` is the limit without acceptance.
    pub(crate) fn limit(
        &self,
        endpoint: Option<&str>,
        usual: f64,
        today: Date,
    ) -> anyhow::Result<Limit> {
        let mut limit = Limit {
            max_increase: usual,
            note: None,
        };
        for accepted in &self.accepted {
            if accepted.endpoint.as_deref() != endpoint {
                continue;
            }
            let Percentage(increase) = accepted.increase;
            let shown = appweight::text::signed_percent(increase);
            let (last, reason) = (accepted.last_day()?, &accepted.reason);
            if today > last {
                limit
                    .note
                    .get_or_insert(format!("{shown} was accepted until {last}: {reason}"));
            } else if increase > limit.max_increase {
                limit.max_increase = increase;
                limit.note = Some(format!("{shown} is accepted until {last}: {reason}"));
            }
        }
        Ok(limit)
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    const BUDGET: &str = r#"
        [gate]
        max-increase = "1%"
        confidence = "95%"
        metric = "cpu"
        every-endpoint = "3%"

        [gate.endpoints]
        "/feed" = "0.5%"

        [[gate.accepted]]
        endpoint = "/feed"
        increase = "4%"
        until = 2027-03-31
        reason = "ranking by two models"
    "#;

    #[test]
    fn a_budget_is_read() {
        let budget = Budget::parse(BUDGET).unwrap();
        assert_eq!(budget.max_increase, Some(Percentage(0.01)));
        assert_eq!(budget.confidence, Some(Confidence(0.95)));
        assert_eq!(budget.endpoints["/feed"], Percentage(0.005));
        assert_eq!(budget.metric.map(MetricName::as_str), Some("cpu"));
    }

    #[test]
    fn an_accepted_increase_is_fine_through_its_last_day() {
        let budget = Budget::parse(BUDGET).unwrap();
        let limit = |endpoint, day| budget.limit(endpoint, 0.005, day).unwrap();
        let last = limit(Some("/feed"), date(2027, 3, 31));
        assert_eq!(last.max_increase, 0.04);
        assert!(last.note.unwrap().contains("ranking by two models"));
        let after = limit(Some("/feed"), date(2027, 4, 1));
        assert_eq!(after.max_increase, 0.005);
        assert!(after.note.unwrap().contains("until 2027-03-31"));
        assert_eq!(limit(Some("/other"), date(2027, 3, 1)).note, None);
        assert_eq!(limit(None, date(2027, 3, 1)).max_increase, 0.005);
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (text, told) in [
            ("[gate]\nmax-increase = \"1\"", "write it with its sign"),
            ("[gate]\nmax_increase = \"1%\"", "max_increase"),
            ("[gate]\nconfidence = \"20%\"", "between 50% and 100%"),
            ("limits = 1", "limits"),
            (
                "[gate]\n[[gate.accepted]]\nincrease = \"1%\"\nuntil = 2027-01-01T00:00:00Z\nreason = \"r\"",
                "without a time",
            ),
            (
                "[gate]\n[[gate.accepted]]\nincrease = \"1%\"\nuntil = 2027-01-01\nreason = \" \"",
                "needs a reason",
            ),
            (
                "[gate]\n[[gate.accepted]]\nincrease = \"1%\"\nreason = \"r\"",
                "until",
            ),
        ] {
            let error = format!("{:#}", Budget::parse(text).unwrap_err());
            assert!(error.contains(told), "{text}: {error}");
        }
    }
}
