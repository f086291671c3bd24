//! Numbers and times as people read them.

use appweight::api::{Change, Metric};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Between a number and its unit, and between groups of digits: the line does not break there.
const GAP: char = '\u{202f}';
const MINUS: char = '\u{2212}';

/// An amount of CPU: `1.84 ms`, or `1.2 M` for instructions.
pub(crate) fn amount(value: f64, metric: Metric) -> String {
    match metric {
        Metric::Cpu => scaled(value, 1000.0, &["ns", "µs", "ms", "s"]),
        Metric::Instructions => scaled(value, 1000.0, &["", "k", "M", "G", "T"]),
    }
}

/// [`amount`] with its sign, for a difference.
pub(crate) fn signed_amount(value: f64, metric: Metric) -> String {
    let sign = if value > 0.0 { "+" } else { "" };
    format!("{sign}{}", amount(value, metric))
}

pub(crate) fn bytes(value: f64) -> String {
    scaled(value, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB"])
}

/// An amount in a profile's unit.
pub(crate) fn amount_of(value: f64, unit: &str) -> String {
    match unit {
        "ns" => amount(value, Metric::Cpu),
        "bytes" => bytes(value),
        "instructions" | "" => amount(value, Metric::Instructions),
        unit => format!("{}{GAP}{unit}", amount(value, Metric::Instructions)),
    }
}

/// [`amount_of`] with its sign, for a difference.
pub(crate) fn signed_amount_of(value: f64, unit: &str) -> String {
    let sign = if value > 0.0 { "+" } else { "" };
    format!("{sign}{}", amount_of(value, unit))
}

/// How often per request: `0.2`, `3`, `41.5`.
pub(crate) fn rate(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let digits = format!("{value:.1}");
    digits
        .strip_suffix(".0")
        .map_or(digits.clone(), str::to_owned)
}

/// What the metric counts, in a sentence.
pub(crate) fn metric_name(metric: Metric) -> &'static str {
    match metric {
        Metric::Cpu => "CPU time",
        Metric::Instructions => "CPU instructions",
    }
}

fn scaled(value: f64, step: f64, units: &[&str]) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let mut size = value.abs();
    let mut unit = 0;
    // 999.6 of one unit would be rounded to four digits.
    while size >= step - 0.5 && unit + 1 < units.len() {
        size /= step;
        unit += 1;
    }
    let digits = match size {
        // The smallest units come in whole numbers, except below ten.
        s if s >= 99.95 => format!("{s:.0}"),
        s if s >= 9.995 => trimmed(format!("{s:.1}"), unit),
        s => trimmed(format!("{s:.2}"), unit),
    };
    let sign = if value < 0.0 && digits.bytes().any(|b| (b'1'..=b'9').contains(&b)) {
        MINUS.to_string()
    } else {
        String::new()
    };
    match units[unit] {
        "" => format!("{sign}{digits}"),
        name => format!("{sign}{digits}{GAP}{name}"),
    }
}

/// Whole numbers of the base unit are shown as such: `0 B`, not `0.00 B`.
fn trimmed(digits: String, unit: usize) -> String {
    if unit > 0 {
        return digits;
    }
    match digits.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|b| b == b'0') => whole.to_owned(),
        _ => digits,
    }
}

/// A relative change: `+16.1 %`.
pub(crate) fn percent(change: f64) -> String {
    format!("{}{GAP}%", percent_digits(change, true))
}

/// A change and its interval: `+16.1 % (12.0 … 20.4)`.
pub(crate) fn change(change: &Change) -> String {
    format!(
        "{} ({} … {})",
        percent(change.relative),
        percent_digits(change.low, false),
        percent_digits(change.high, false)
    )
}

fn percent_digits(change: f64, plus: bool) -> String {
    let percent = change * 100.0;
    if !percent.is_finite() {
        return "–".to_owned();
    }
    let digits = if percent.abs() >= 99.95 {
        format!("{:.0}", percent.abs())
    } else {
        format!("{:.1}", percent.abs())
    };
    let zero = digits == "0.0";
    match percent {
        p if p < 0.0 && !zero => format!("{MINUS}{digits}"),
        p if p > 0.0 && !zero && plus => format!("+{digits}"),
        _ => digits,
    }
}

/// A part of a whole: `31 %`, `0.4 %`.
pub(crate) fn share(part: f64) -> String {
    let percent = part * 100.0;
    match percent {
        p if !p.is_finite() => "–".to_owned(),
        p if p > 0.0 && p < 0.05 => format!("<{GAP}0.1{GAP}%"),
        p if p < 9.95 && p != 0.0 => format!("{p:.1}{GAP}%"),
        p => format!("{p:.0}{GAP}%"),
    }
}

/// How sure: 0.999 is `99.9 %`; never rounded up to certainty.
pub(crate) fn confidence(confidence: f64) -> String {
    if !confidence.is_finite() {
        return "–".to_owned();
    }
    let mut digits = format!("{:.3}", (confidence * 100_000.0).floor() / 1000.0);
    while digits.ends_with('0') {
        digits.pop();
    }
    format!("{}{GAP}%", digits.trim_end_matches('.'))
}

/// A count with its digits in groups of three.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3 * GAP.len_utf8());
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(GAP);
        }
        out.push(digit);
    }
    out
}

/// An estimated count.
pub(crate) fn estimate(n: f64) -> String {
    if n.is_finite() && n >= 0.0 {
        count(n.round() as u64)
    } else {
        "–".to_owned()
    }
}

/// A span of time in at most two units: `850 ms`, `5 s`, `3 min 20 s`, `2 d 5 h`.
pub(crate) fn duration(us: u64) -> String {
    const SECOND: u64 = 1_000_000;
    if us < SECOND {
        return format!("{}{GAP}ms", us / 1000);
    }
    if us < 10 * SECOND && !us.is_multiple_of(SECOND) {
        return format!("{:.1}{GAP}s", us as f64 / 1e6);
    }
    let seconds = us / SECOND;
    let (large, large_unit, small, small_unit) = match seconds {
        0..60 => (seconds, "s", 0, ""),
        60..3600 => (seconds / 60, "min", seconds % 60, "s"),
        3600..86_400 => (seconds / 3600, "h", seconds % 3600 / 60, "min"),
        _ => (seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    };
    if small == 0 {
        format!("{large}{GAP}{large_unit}")
    } else {
        format!("{large}{GAP}{large_unit} {small}{GAP}{small_unit}")
    }
}

/// What a window of that width is called after "per active user in the peak".
pub(crate) fn window(width_us: u64) -> String {
    match width_us {
        1_000_000 => "second".to_owned(),
        60_000_000 => "minute".to_owned(),
        3_600_000_000 => "hour".to_owned(),
        86_400_000_000 => "day".to_owned(),
        other => format!("window of {}", duration(other)),
    }
}

/// `14:32:05`.
pub(crate) fn clock(us: u64) -> String {
    in_utc(us, "%H:%M:%S")
}

/// `23 Nov 2026, 14:32:05 UTC`.
pub(crate) fn moment(us: u64) -> String {
    in_utc(us, "%-d %b %Y, %H:%M:%S UTC")
}

/// For `<time datetime>`.
pub(crate) fn machine(us: u64) -> String {
    in_utc(us, "%Y-%m-%dT%H:%M:%SZ")
}

/// A time by a pattern of `strftime`, in UTC; a time that no calendar has becomes a dash.
pub(crate) fn in_utc(us: u64, pattern: &str) -> String {
    i64::try_from(us)
        .ok()
        .and_then(|us| Timestamp::from_microsecond(us).ok())
        .and_then(|t| jiff::fmt::strtime::format(pattern, &t.to_zoned(TimeZone::UTC)).ok())
        .unwrap_or_else(|| "–".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The thin gaps are right on a page and unreadable in a test.
    fn plain(text: String) -> String {
        text.replace(GAP, " ")
    }

    #[test]
    fn amounts_have_three_digits_and_a_unit() {
        let cpu = |v| plain(amount(v, Metric::Cpu));
        assert_eq!(cpu(0.0), "0 ns");
        assert_eq!(cpu(7.0), "7 ns");
        assert_eq!(cpu(999.4), "999 ns");
        assert_eq!(cpu(999.6), "1.00 µs");
        assert_eq!(cpu(1_843_210.0), "1.84 ms");
        assert_eq!(cpu(184_321_000.0), "184 ms");
        assert_eq!(cpu(2.5e12), "2500 s");
        assert_eq!(cpu(-1500.0), "\u{2212}1.50 µs");
        assert_eq!(cpu(f64::NAN), "–");
        assert_eq!(plain(amount(1_230_000.0, Metric::Instructions)), "1.23 M");
        assert_eq!(plain(amount(12.0, Metric::Instructions)), "12");
        assert_eq!(plain(signed_amount(1500.0, Metric::Cpu)), "+1.50 µs");
    }

    #[test]
    fn amounts_of_profiles_take_their_unit() {
        assert_eq!(plain(amount_of(1500.0, "ns")), "1.50 µs");
        assert_eq!(plain(amount_of(1536.0, "bytes")), "1.50 KiB");
        assert_eq!(plain(signed_amount_of(3.0, "faults")), "+3 faults");
        assert_eq!(plain(amount_of(2e6, "instructions")), "2.00 M");
        assert_eq!((rate(3.0), rate(0.25)), ("3".into(), "0.2".into()));
    }

    #[test]
    fn bytes_go_by_1024() {
        assert_eq!(plain(bytes(0.0)), "0 B");
        assert_eq!(plain(bytes(1536.0)), "1.50 KiB");
        assert_eq!(plain(bytes(-104_857_600.0)), "\u{2212}100 MiB");
    }

    #[test]
    fn a_change_shows_its_interval() {
        let change_of = |relative, low, high| {
            plain(change(&Change {
                relative,
                low,
                high,
                confidence: 0.999,
                standard_error: 0.01,
            }))
        };
        assert_eq!(change_of(0.161, 0.12, 0.204), "+16.1 % (12.0 … 20.4)");
        assert_eq!(
            change_of(-0.05, -0.09, 0.0001),
            "\u{2212}5.0 % (\u{2212}9.0 … 0.0)"
        );
        assert_eq!(plain(percent(2.5)), "+250 %");
        assert_eq!(plain(percent(-0.0001)), "0.0 %");
        assert_eq!(percent(f64::INFINITY).chars().next(), Some('–'));
    }

    #[test]
    fn shares_and_confidence() {
        assert_eq!(plain(share(0.0)), "0 %");
        assert_eq!(plain(share(0.0001)), "< 0.1 %");
        assert_eq!(plain(share(0.0042)), "0.4 %");
        assert_eq!(plain(share(0.31)), "31 %");
        assert_eq!(plain(confidence(0.999)), "99.9 %");
        assert_eq!(plain(confidence(0.999_999)), "99.999 %");
        assert_eq!(plain(confidence(0.95)), "95 %");
    }

    #[test]
    fn counts_are_grouped() {
        assert_eq!(plain(count(7)), "7");
        assert_eq!(plain(count(1234)), "1 234");
        assert_eq!(plain(count(12_345_678)), "12 345 678");
        assert_eq!(plain(estimate(311.6)), "312");
    }

    #[test]
    fn spans_have_at_most_two_units() {
        let of = |us| plain(duration(us));
        assert_eq!(of(250_000), "250 ms");
        assert_eq!(of(5_000_000), "5 s");
        assert_eq!(of(2_500_000), "2.5 s");
        assert_eq!(of(200_000_000), "3 min 20 s");
        assert_eq!(of(7_500_000_000), "2 h 5 min");
        assert_eq!(of(86_400_000_000 * 2), "2 d");
    }

    #[test]
    fn no_window_is_assumed_to_be_a_minute() {
        assert_eq!(window(60_000_000), "minute");
        assert_eq!(window(1_000_000), "second");
        assert_eq!(plain(window(5_000_000)), "window of 5 s");
    }

    #[test]
    fn times_are_utc_and_never_panic() {
        assert_eq!(moment(0), "1 Jan 1970, 00:00:00 UTC");
        assert_eq!(clock(1_795_444_325_000_000), "14:32:05");
        assert_eq!(moment(u64::MAX), "–");
        assert_eq!(machine(0), "1970-01-01T00:00:00Z");
    }
}
