//! Where an axis has its marks.

/// Steps that a reader can count in: seconds up to weeks.
const TIME_STEPS_S: [u64; 19] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400,
    604_800,
];

/// Marks on an axis of time, and the `strftime` pattern to label them by.
pub(crate) fn of_time(from_us: u64, until_us: u64, at_most: u64) -> (Vec<u64>, &'static str) {
    let span_s = until_us.saturating_sub(from_us).div_ceil(1_000_000).max(1);
    let step_s = TIME_STEPS_S
        .into_iter()
        .find(|step| span_s / step <= at_most)
        .unwrap_or_else(|| span_s.div_ceil(at_most.max(1)).next_multiple_of(604_800));
    let step = step_s.saturating_mul(1_000_000);
    let first = from_us.div_ceil(step).saturating_mul(step);
    let ticks = (0..=at_most + 1)
        .map(|i| first.saturating_add(i.saturating_mul(step)))
        .take_while(|t| *t <= until_us)
        .collect();
    let pattern = match step_s {
        0..60 => "%H:%M:%S",
        60..86_400 => "%H:%M",
        _ => "%-d %b",
    };
    (ticks, pattern)
}

/// Round numbers that cover a range, the first at or below `low`, the last at or above `high`.
pub(crate) fn of_amount(low: f64, high: f64, about: u32) -> Vec<f64> {
    let about_marks = f64::from(about.max(1));
    // Labels have three digits: marks nearer to each other than a hundredth would read alike.
    let least = high.abs() * about_marks / 100.0;
    let range = (high - low).max(least).max(f64::MIN_POSITIVE);
    let rough = range / about_marks;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0]
        .into_iter()
        .map(|m| m * power)
        .find(|s| *s >= rough * 0.999)
        .unwrap_or(10.0 * power);
    let first = (low / step).floor();
    let last = (high / step).ceil().max(first + 1.0);
    let steps = ((last - first) as u32).min(about * 4 + 4);
    (0..=steps).map(|i| (first + f64::from(i)) * step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000;

    #[test]
    fn time_ticks_are_round_and_few() {
        let (ticks, pattern) = of_time(7 * S, 307 * S, 8);
        assert_eq!(ticks, [60 * S, 120 * S, 180 * S, 240 * S, 300 * S]);
        assert_eq!(pattern, "%H:%M");
        let (ticks, pattern) = of_time(0, 24 * 3600 * S, 8);
        assert_eq!(ticks.len(), 9);
        assert_eq!(pattern, "%H:%M");
        assert_eq!(of_time(0, 20 * S, 8).1, "%H:%M:%S");
        assert_eq!(of_time(0, 30 * 86_400 * S, 8).1, "%-d %b");
    }

    #[test]
    fn odd_times_end_in_a_list_of_bounded_length() {
        for (from, until) in [(5, 5), (10, 5), (0, u64::MAX), (u64::MAX, u64::MAX)] {
            assert!(of_time(from, until, 8).0.len() <= 10, "{from} {until}");
        }
    }

    #[test]
    fn amount_ticks_cover_the_range() {
        assert_eq!(of_amount(0.0, 97.0, 4), [0.0, 25.0, 50.0, 75.0, 100.0]);
        for (low, high) in [(0.0, 1.84e6), (1.2e6, 1.9e6), (0.0, 0.0), (5.0, 5.0)] {
            let ticks = of_amount(low, high, 4);
            let (first, last) = (ticks[0], *ticks.last().unwrap());
            assert!(first <= low && last >= high && last > first, "{ticks:?}");
            assert!(ticks.len() <= 10, "{ticks:?}");
        }
    }

    #[test]
    fn marks_of_a_flat_line_read_differently() {
        for high in [1.0e6, 1.84e6, 5.0, 9.99e8, 7.77] {
            for low in [high, high * 0.999] {
                let ticks = of_amount(low, high, 5);
                let label = |v: f64| crate::format::amount(v, appweight::api::Metric::Cpu);
                let labels: std::collections::BTreeSet<String> =
                    ticks.iter().map(|tick| label(*tick)).collect();
                assert_eq!(labels.len(), ticks.len(), "{ticks:?} {labels:?}");
            }
        }
    }
}
