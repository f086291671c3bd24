use std::io::Write;
use std::time::SystemTime;

use appweight::api::{DetectedChange, FlagReading, FlagReport, FlagValue, FlagsReport};
use appweight::text;

use crate::args::At;
use crate::format::Format;
use crate::units::minute;

const HOUR_US: u64 = 3_600_000_000;

/// Which flags.
#[derive(Debug, clap::Args)]
pub(crate) struct FlagsArgs {
    /// The service; may be left out if there is only one
    #[arg(long, env = "APPWEIGHT_SERVICE", value_name = "NAME")]
    service: Option<String>,
    /// That flag alone
    #[arg(long, value_name = "NAME")]
    flag: Option<String>,
    /// The last so many hours; by default since the midnight (UTC) before the last one
    #[arg(
        long,
        value_parser = clap::value_parser!(u64).range(1..=17_568),
        value_name = "NUMBER"
    )]
    hours: Option<u64>,
    /// How to print it
    #[arg(
        long,
        env = "APPWEIGHT_FLAGS_FORMAT",
        value_enum,
        default_value = "table",
        value_name = "FORMAT"
    )]
    format: Format,
    #[command(flatten)]
    at: At,
}

/// Prints what flags cost.
pub(crate) fn run(options: &FlagsArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let now_us = SystemTime::UNIX_EPOCH.elapsed()?.as_micros() as u64;
    let from_us = options
        .hours
        .map(|hours| now_us.saturating_sub(hours * HOUR_US).to_string());
    let mut query: Vec<(&str, &str)> = Vec::new();
    query.extend(from_us.as_deref().map(|from_us| ("from_us", from_us)));
    query.extend(options.service.as_deref().map(|name| ("service", name)));
    query.extend(options.flag.as_deref().map(|name| ("flag", name)));
    let report: FlagsReport = options.at.client()?.get("/v1/flags", &query)?;
    options.format.print(out, &report, lines)
}

fn lines(report: &FlagsReport) -> String {
    let mut all = format!(
        "{}, {} to {}{}\n",
        report.service,
        minute(report.read_since_us),
        minute(report.until_us),
        match report.metric {
            Some(metric) => format!(", {}", text::metric_name(metric)),
            None => ": no request told a flag".to_owned(),
        }
    );
    if report.read_since_us > report.from_us {
        all.push_str(&format!(
            "  there were too many cells to read them from {} on\n",
            minute(report.from_us)
        ));
    }
    for flag in &report.flags {
        for value in &flag.values {
            all.push_str(&of_value(flag, value));
        }
    }
    if report.left_out_values > 0 {
        all.push_str(&format!(
            "{} values of few requests were left out\n",
            report.left_out_values
        ));
    }
    all
}

fn of_value(flag: &FlagReport, value: &FlagValue) -> String {
    let reads_as = match value.reads_as {
        FlagReading::Cost => "cost",
        FlagReading::Association => "association, not cost",
    };
    let mut all = format!(
        "{}={} against {}: {} of requests\n  {reads_as}: {}\n",
        flag.flag,
        value.value,
        text::flag_base(flag),
        text::percent(value.share),
        value.because
    );
    if value.endpoints.is_empty() {
        all.push_str("  nothing to compare: no endpoint had both at the same time\n");
    }
    for change in value.total.iter().chain(&value.endpoints) {
        all.push_str(&format!("  {}\n", of_change(change, value.reads_as)));
    }
    all
}

fn of_change(change: &DetectedChange, reads_as: FlagReading) -> String {
    let name = change.endpoint.as_deref().unwrap_or("all together");
    let verdict = text::flag_verdict(change.verdict, reads_as);
    let size = change
        .change
        .map_or_else(String::new, |change| format!(" {}", text::change(&change)));
    let cost = change
        .cost
        .map_or_else(String::new, |cost| format!("; {}", text::added(&cost)));
    format!("{name}: {verdict}{size}{cost}")
}

#[cfg(test)]
mod tests {
    use appweight::api::{AddedCost, Change, DetectedVerdict, Metric};
    use appweight_wire::Kind;

    use super::*;

    const START_US: u64 = 20_787 * 86_400_000_000;

    fn change(
        endpoint: Option<&str>,
        verdict: DetectedVerdict,
        relative: f64,
        share: Option<f64>,
    ) -> DetectedChange {
        DetectedChange {
            kind: endpoint.map(|_| Kind::Request),
            endpoint: endpoint.map(str::to_owned),
            verdict,
            change: Some(Change {
                relative,
                low: relative - 0.01,
                high: relative + 0.01,
                confidence: 0.95,
                standard_error: 0.005,
            }),
            sure_since_us: None,
            more_requests: None,
            cost: share.map(|share| AddedCost {
                share,
                cores: Some(share * 160.0),
                of_cores: Some(160.0),
            }),
            checks: Vec::new(),
        }
    }

    fn value(
        name: &str,
        reads_as: FlagReading,
        because: &str,
        endpoints: Vec<DetectedChange>,
    ) -> FlagValue {
        FlagValue {
            value: name.to_owned(),
            requests: 1_000,
            share: 0.1,
            reads_as,
            because: because.to_owned(),
            total: None,
            endpoints,
        }
    }

    #[test]
    fn what_flags_cost_reads_well() {
        use DetectedVerdict::{Regressed, Unchanged};
        let cost = FlagValue {
            total: Some(change(None, Regressed, 0.08, Some(0.08))),
            ..value(
                "v2",
                FlagReading::Cost,
                "it looks as if given at random: its share is the same in 4 endpoints and 2 clusters",
                vec![
                    change(Some("/feed"), Regressed, 0.2, Some(0.08)),
                    change(Some("/seen"), Unchanged, 0.001, None),
                ],
            )
        };
        let along = value(
            "on",
            FlagReading::Association,
            "it is not given at random, for its share differs: 1.0 % in east against 40.0 % in west",
            vec![change(Some("/feed"), Regressed, 0.3, None)],
        );
        let alone = value(
            "beta",
            FlagReading::Association,
            "nothing tells",
            Vec::new(),
        );
        let flag = |name: &str, base: Option<&str>, value: FlagValue| FlagReport {
            flag: name.to_owned(),
            base: base.map(str::to_owned),
            values: vec![value],
        };
        let report = FlagsReport {
            service: "photos".to_owned(),
            from_us: START_US,
            until_us: START_US + 36 * HOUR_US,
            read_since_us: START_US + 30 * HOUR_US,
            metric: Some(Metric::Cpu),
            left_out_values: 3,
            flags: vec![
                flag("ranker", Some("off"), cost),
                flag("eu-banner", Some("off"), along),
                flag("team", None, alone),
            ],
        };
        insta::assert_snapshot!(lines(&report));
        let none = FlagsReport {
            read_since_us: START_US,
            metric: None,
            left_out_values: 0,
            flags: Vec::new(),
            ..report
        };
        insta::assert_snapshot!(lines(&none), @"photos, 2026-11-30 00:00 UTC to 2026-12-01 12:00 UTC: no request told a flag");
    }
}
