//! Numbers as people read them.

use std::borrow::Cow;

use crate::api::{
    AddedCost, Change, DetectedVerdict, FlagReading, FlagReport, Metric, OddHost, Trend,
};
use crate::thresholds::MIN_ODD_HOST;

/// `+1.3 %`
#[must_use]
pub fn signed_percent(fraction: f64) -> String {
    let text = format!("{:+.1} %", fraction * 100.0);
    match text.as_str() {
        "-0.0 %" | "+0.0 %" => "±0.0 %".to_owned(),
        _ => text.replace('-', "−"),
    }
}

/// `1.3 %`
#[must_use]
pub fn percent(fraction: f64) -> String {
    format!("{:.1} %", fraction * 100.0)
}

/// `+16.1 % (12.0 … 20.4)`
#[must_use]
pub fn change(change: &Change) -> String {
    let bare = |fraction: f64| format!("{:.1}", fraction * 100.0).replace('-', "−");
    format!(
        "{} ({} … {})",
        signed_percent(change.relative),
        bare(change.low),
        bare(change.high)
    )
}

/// `+1.24 % a week (0.90 … 1.51)`
#[must_use]
pub fn trend(trend: &Trend) -> String {
    let bare = |fraction: f64| format!("{:.2}", fraction * 100.0).replace('-', "−");
    let sign = if trend.per_week < 0.0 { "" } else { "+" };
    format!(
        "{sign}{} % a week ({} … {})",
        bare(trend.per_week),
        bare(trend.low),
        bare(trend.high)
    )
}

/// `99.71 %`, cut and not rounded: nothing is wholly sure.
#[must_use]
pub fn confidence(share: f64) -> String {
    format!("{:.2} %", (share * 10_000.0).floor().min(9_999.0) / 100.0)
}

/// `+1.3 % of the service's CPU, 2.1 of 160 cores`, or of its instructions
#[must_use]
pub fn added(cost: &AddedCost) -> String {
    let sign = if cost.share > 0.0 { "+" } else { "" };
    let share = format!("{sign}{} %", two_digits(cost.share * 100.0));
    match (cost.cores, cost.of_cores) {
        (Some(cores), Some(all)) => format!(
            "{share} of the service's CPU, {} of {} cores",
            two_digits(cores),
            two_digits(all)
        ),
        _ => format!("{share} of the service's instructions"),
    }
}

/// `host web-5 costs +40.0 % for the same requests as the others, 31 times their spread (1.84 ms CPU time per request against 1.31 ms), not so
/// before the roll-out`
#[must_use]
pub fn odd_host(odd: &OddHost) -> String {
    let before = match odd.relative_before {
        Some(before) if before.abs() >= MIN_ODD_HOST && before * odd.relative > 0.0 => {
            format!(", and {} before the roll-out too", signed_percent(before))
        }
        Some(_) => ", not so before the roll-out".to_owned(),
        None => String::new(),
    };
    let (cluster, there) = match odd.cluster.as_str() {
        "" => (String::new(), ""),
        cluster => (format!(" of cluster {cluster}"), " there"),
    };
    format!(
        "host {}{cluster} costs {} for the same requests as the others{there}, {:.0} times their spread ({} CPU time per request against {}){before}",
        odd.host,
        signed_percent(odd.relative),
        odd.spreads,
        cost(Metric::Cpu, odd.cpu_ns_per_request),
        cost(Metric::Cpu, odd.others_cpu_ns_per_request)
    )
}

/// A number to two digits, or to the unit where it has more.
fn two_digits(value: f64) -> String {
    /// What is less is nothing.
    const LEAST: i32 = -4;
    if value == 0.0 {
        return "0".to_owned();
    }
    let magnitude = value.abs().log10().floor() as i32;
    let digits = (1 - magnitude.max(LEAST)).max(0) as usize;
    format!("{value:.digits$}").replace('-', "−")
}

/// The metric's name: `CPU time` or `instructions`.
#[must_use]
pub fn metric_name(metric: Metric) -> &'static str {
    match metric {
        Metric::Instructions => "instructions",
        Metric::Cpu => "CPU time",
    }
}

/// What the detector says, in a word or two: `heavier`.
#[must_use]
pub fn detected(verdict: DetectedVerdict) -> &'static str {
    match verdict {
        DetectedVerdict::Regressed => "heavier",
        DetectedVerdict::Improved => "lighter",
        DetectedVerdict::Withheld => "withheld",
        DetectedVerdict::Unchanged => "unchanged",
        DetectedVerdict::Undecided => "undecided",
        DetectedVerdict::Withdrawn => "went away",
        DetectedVerdict::NoData => "no data",
    }
}

/// What is said of a flag's value, in a few words: what only goes along with it makes nothing heavier.
#[must_use]
pub fn flag_verdict(verdict: DetectedVerdict, reads_as: FlagReading) -> &'static str {
    match (verdict, reads_as) {
        (DetectedVerdict::Regressed, FlagReading::Association) => "goes along with more",
        (DetectedVerdict::Improved, FlagReading::Association) => "goes along with less",
        _ => detected(verdict),
    }
}

/// What a flag's values are held against: `off`.
#[must_use]
pub fn flag_base(flag: &FlagReport) -> &str {
    match &flag.base {
        None => "requests without the flag",
        Some(base) if flag.values.len() == 1 => base,
        Some(_) => "all its other values",
    }
}

/// A cost in its unit: `1.24 ms`, `3.1 M instructions`.
#[must_use]
pub fn cost(metric: Metric, value: f64) -> String {
    let scaled = |steps: &[(f64, &str)]| {
        let (scale, unit) = steps
            .iter()
            .rev()
            .find(|(scale, _)| value.abs() >= *scale)
            .or(steps.first())
            .copied()
            .unwrap_or((1.0, ""));
        let number = value / scale;
        let digits = match number.abs() {
            0.0 => 0,
            small if small < 10.0 => 2,
            middle if middle < 100.0 => 1,
            _ => 0,
        };
        (
            format!("{number:.digits$}").replace('-', "−"),
            unit.to_owned(),
        )
    };
    match metric {
        Metric::Cpu => {
            let (number, unit) = scaled(&[(1.0, "ns"), (1e3, "µs"), (1e6, "ms"), (1e9, "s")]);
            format!("{number} {unit}")
        }
        Metric::Instructions => {
            let (number, unit) =
                scaled(&[(1.0, ""), (1e3, "k"), (1e6, "M"), (1e9, "G"), (1e12, "T")]);
            format!("{number} {unit}").trim_end().to_owned()
        }
    }
}

/// `1.5 MiB`
#[must_use]
pub fn bytes(value: f64) -> String {
    let steps = [
        (1.0, "B"),
        (1024.0, "KiB"),
        (1_048_576.0, "MiB"),
        (1_073_741_824.0, "GiB"),
    ];
    let (scale, unit) = steps
        .iter()
        .rev()
        .find(|(scale, _)| value.abs() >= *scale)
        .copied()
        .unwrap_or(steps[0]);
    let digits = usize::from(scale > 1.0);
    format!("{:.digits$} {unit}", value / scale).replace('-', "−")
}

/// A value in a profile's unit: `1.24 ms` for ns, `1.5 MiB` for bytes, else `3.14 M faults`.
#[must_use]
pub fn amount(unit: &str, value: f64) -> String {
    match unit {
        "ns" => cost(Metric::Cpu, value),
        "bytes" => bytes(value),
        "" => cost(Metric::Instructions, value),
        unit => format!("{} {unit}", cost(Metric::Instructions, value)),
    }
}

/// The same for a difference, with its sign: `+1.24 ms`.
#[must_use]
pub fn signed_amount(unit: &str, value: f64) -> String {
    let text = amount(unit, value);
    if value > 0.0 {
        format!("+{text}")
    } else {
        text
    }
}

/// A function's name in a table: of a long one what it is generic over is left out, `collect<…>`, and of one that is still
/// long its end.
#[must_use]
pub fn function(name: &str) -> Cow<'_, str> {
    const LONG: usize = 100;
    if name.chars().nth(LONG).is_none() {
        return Cow::Borrowed(name);
    }
    let mut short = String::new();
    let (mut depth, mut before) = (0_usize, ' ');
    for letter in name.chars() {
        // `->` closes nothing. What begins a name, as `<T as Feed>`, says whose it is.
        match letter {
            '<' if depth > 0 || !short.is_empty() => {
                if depth == 0 {
                    short.push_str("<…");
                }
                depth += 1;
            }
            '>' if depth > 0 && before != '-' => {
                depth -= 1;
                if depth == 0 {
                    short.push('>');
                }
            }
            _ if depth == 0 => short.push(letter),
            _ => {}
        }
        before = letter;
    }
    if let Some((end, _)) = short.char_indices().nth(LONG) {
        short.truncate(end);
        short.push('…');
    }
    Cow::Owned(short)
}

/// The outermost and the innermost functions of a chain of calls, and how many between them are left out: all of a deep
/// recursion nobody reads.
#[must_use]
pub fn ends(path: &[String]) -> (&[String], usize, &[String]) {
    const FIRST: usize = 3;
    const LAST: usize = 4;
    // One name takes no more room than to say that it is left out.
    if path.len() <= FIRST + 1 + LAST {
        return (path, 0, &[]);
    }
    let (first, rest) = path.split_at(FIRST);
    let (between, last) = rest.split_at(rest.len() - LAST);
    (first, between.len(), last)
}

/// `feed → load → query`, a long one without what lies between its [ends].
#[must_use]
pub fn chain(path: &[String]) -> String {
    match ends(path) {
        (all, 0, _) => all.join(" → "),
        (first, left_out, last) => {
            format!(
                "{} → … {left_out} more … → {}",
                first.join(" → "),
                last.join(" → ")
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_take_their_unit() {
        assert_eq!(amount("ns", 1_240_000.0), "1.24 ms");
        assert_eq!(amount("bytes", 1_572_864.0), "1.5 MiB");
        assert_eq!(amount("faults", 3.0), "3.00 faults");
        assert_eq!(amount("", 3_140_000.0), "3.14 M");
        assert_eq!(signed_amount("ns", 20_000.0), "+20.0 µs");
        assert_eq!(signed_amount("ns", -20_000.0), "−20.0 µs");
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(signed_percent(0.0131), "+1.3 %");
        assert_eq!(signed_percent(-0.0004), "±0.0 %");
        assert_eq!(signed_percent(-0.25), "−25.0 %");
        assert_eq!(cost(Metric::Cpu, 1_240_000.0), "1.24 ms");
        assert_eq!(cost(Metric::Cpu, 0.0), "0 ns");
        assert_eq!(cost(Metric::Instructions, 3_140_000.0), "3.14 M");
        assert_eq!(bytes(1_572_864.0), "1.5 MiB");
        assert_eq!(bytes(-12.0), "−12 B");
    }

    #[test]
    fn what_a_change_costs_is_told_in_cores_where_they_are_known() {
        let mut cost = AddedCost {
            share: 2.1 / 160.0,
            cores: Some(2.1),
            of_cores: Some(160.4),
        };
        assert_eq!(
            added(&cost),
            "+1.3 % of the service's CPU, 2.1 of 160 cores"
        );
        cost = AddedCost {
            share: -0.000_72,
            cores: Some(-0.0013),
            of_cores: Some(1.8),
        };
        assert_eq!(
            added(&cost),
            "−0.072 % of the service's CPU, −0.0013 of 1.8 cores"
        );
        cost.cores = None;
        assert_eq!(added(&cost), "−0.072 % of the service's instructions");
        assert_eq!([0.0, 9.96, 12.4].map(two_digits), ["0", "10.0", "12"]);
    }

    #[test]
    fn a_long_name_is_told_without_what_it_is_generic_over() {
        let generic = "core::iter::adapters::Map<alloc::vec::Vec<photos::rows::MediaRow>, fn(&rusqlite::Row) -> photos::Row>";
        assert_eq!(
            function(&format!("collect<{generic}, Global>")),
            "collect<…>"
        );
        assert_eq!(
            function(&format!(
                "<photos::Feed<{generic}> as Page>::render<{generic}>::{{closure}}"
            )),
            "<photos::Feed<…> as Page>::render<…>::{closure}"
        );
        assert_eq!(function("collect<photos::Row>"), "collect<photos::Row>");
        let long = "ü".repeat(200);
        assert_eq!(function(&long).chars().count(), 101);
        assert_eq!(function(&"<".repeat(200)), "<<…");
    }

    #[test]
    fn a_long_chain_of_calls_is_told_by_its_ends() {
        let path = |length: usize| -> Vec<String> { (0..length).map(|n| n.to_string()).collect() };
        assert_eq!(chain(&path(3)), "0 → 1 → 2");
        assert!(!chain(&path(8)).contains('…'));
        assert_eq!(chain(&path(9)), "0 → 1 → 2 → … 2 more … → 5 → 6 → 7 → 8");
        assert_eq!(chain(&[]), "");
    }
}
