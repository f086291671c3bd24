use std::io::Write;
use std::time::SystemTime;

use appweight::api::{DriftReport, DriftSeries, LevelChange, SeriesScan, Trend};
use appweight::text;

use crate::args::At;
use crate::format::Format;
use crate::units::day;

const WEEK_US: u64 = 7 * 86_400_000_000;

/// What is looked at.
#[derive(Debug, clap::Args)]
pub(crate) struct DriftArgs {
    /// The service; may be left out if there is only one
    #[arg(long, env = "APPWEIGHT_SERVICE", value_name = "NAME")]
    service: Option<String>,
    /// That endpoint alone, instead of those that cost most
    #[arg(long, value_name = "NAME")]
    endpoint: Option<String>,
    /// The last so many weeks
    #[arg(
        long,
        default_value_t = 12,
        value_parser = clap::value_parser!(u64).range(1..=104),
        value_name = "NUMBER"
    )]
    weeks: u64,
    /// How to print it
    #[arg(
        long,
        env = "APPWEIGHT_DRIFT_FORMAT",
        value_enum,
        default_value = "table",
        value_name = "FORMAT"
    )]
    format: Format,
    #[command(flatten)]
    at: At,
}

/// Prints what drifted.
pub(crate) fn run(options: &DriftArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let now_us = SystemTime::UNIX_EPOCH.elapsed()?.as_micros() as u64;
    let from_us = now_us.saturating_sub(options.weeks * WEEK_US).to_string();
    let mut query: Vec<(&str, &str)> = vec![("from_us", &from_us)];
    query.extend(options.service.as_deref().map(|name| ("service", name)));
    query.extend(options.endpoint.as_deref().map(|name| ("endpoint", name)));
    let report: DriftReport = options.at.client()?.get("/v1/drift", &query)?;
    options.format.print(out, &report, lines)
}

fn lines(report: &DriftReport) -> String {
    let Some(kept_since_us) = report.kept_since_us else {
        return format!(
            "{}: no day is kept yet; the first is an hour after it is over, at 1:00 UTC\n",
            report.service
        );
    };
    let mut all = format!(
        "{}, {} to {}, days are kept since {}\n",
        report.service,
        day(report.from_us),
        day(report.until_us.saturating_sub(1)),
        day(kept_since_us)
    );
    all.push_str("weight of the peak minute\n");
    all.push_str(&of_series(&report.weight));
    for of in &report.endpoints {
        all.push_str(&format!(
            "{}, {} of the CPU\n",
            of.endpoint,
            text::percent(of.share)
        ));
        all.push_str(&of_series(&of.cost));
    }
    let looked_at = report.endpoints.len() as u32;
    if looked_at < report.endpoint_count {
        all.push_str(&format!(
            "{looked_at} of {} endpoints were looked at: --endpoint NAME asks for another\n",
            report.endpoint_count
        ));
    }
    all
}

fn of_series(series: &DriftSeries) -> String {
    let mut lines = Vec::new();
    for (scan, unit) in [(&series.daily, "days"), (&series.weekly, "weeks")] {
        let told = scan.changes.iter().filter(|change| change.told);
        lines.extend(told.map(|change| of_change(change, unit)));
        let trend = scan.trend.filter(|trend| trend.told);
        lines.extend(trend.map(|trend| of_trend(&trend, unit)));
    }
    if lines.is_empty() {
        lines.push(nothing(&series.daily));
    }
    if let Some(overall) = series.overall {
        let overall = text::signed_percent(overall);
        lines.push(format!("{overall} from the first to the last seven days"));
    }
    lines
        .into_iter()
        .map(|line| format!("  {line}\n"))
        .collect()
}

fn of_change(change: &LevelChange, unit: &str) -> String {
    format!(
        "{} from {} on, by {unit}, confidence {}",
        text::signed_percent(change.relative),
        day(change.from_us),
        text::confidence(change.confidence)
    )
}

fn of_trend(trend: &Trend, unit: &str) -> String {
    format!(
        "{} since {}, by {unit}, confidence {}",
        text::trend(trend),
        day(trend.from_us),
        text::confidence(trend.confidence)
    )
}

fn nothing(daily: &SeriesScan) -> String {
    match (daily.values, daily.lacking) {
        (0, _) => "no day was measured".to_owned(),
        (values, 0) => format!("nothing in {values} days"),
        (values, lacking) => {
            format!(
                "nothing in {values} days; a trend takes {lacking} more since the last change of level"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use appweight::api::{EndpointDrift, Metric};
    use appweight_wire::Kind;

    use super::*;

    const DAY_US: u64 = 86_400_000_000;
    const FIRST_US: u64 = 20_700 * DAY_US;

    fn scan(trend: Option<Trend>, changes: Vec<LevelChange>, lacking: u32) -> SeriesScan {
        SeriesScan {
            values: 70,
            changes,
            trend,
            lacking,
        }
    }

    fn series(daily: SeriesScan, overall: Option<f64>) -> DriftSeries {
        DriftSeries {
            metric: Metric::Cpu,
            days: Vec::new(),
            daily,
            weekly: scan(None, Vec::new(), 2),
            overall,
        }
    }

    #[test]
    fn what_is_told_reads_well() {
        let trend = Trend {
            from_us: FIRST_US,
            per_week: 0.0123,
            low: 0.009,
            high: 0.015,
            confidence: 0.999_999,
            told: true,
        };
        let change = LevelChange {
            from_us: FIRST_US + 20 * DAY_US,
            before: 1.0,
            after: 1.1,
            relative: 0.1,
            confidence: 0.9971,
            told: true,
        };
        let report = DriftReport {
            service: "photos".into(),
            from_us: FIRST_US,
            until_us: FIRST_US + 84 * DAY_US,
            kept_since_us: Some(FIRST_US),
            weight: series(scan(Some(trend), Vec::new(), 0), Some(0.13)),
            endpoint_count: 2,
            endpoints: vec![EndpointDrift {
                endpoint: "/feed".into(),
                kind: Kind::Request,
                share: 0.4,
                cost: series(scan(None, vec![change], 8), None),
            }],
        };
        insta::assert_snapshot!(lines(&report));
    }
}
