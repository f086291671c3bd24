//! What is worth a word among all that was looked at.

use super::DAY_US;
use crate::api::{DriftSeries, SeriesScan};

/// Of what is told, at most this part is false on average.
const FALSE_DISCOVERIES: f64 = 0.05;

/// Marks what is told, by the procedure of Benjamini and Hochberg (1995): every test that was made counts, not those
/// alone that looked bad. `least` is the smallest change of a series that matters.
pub(super) fn tell(series: &mut [(&mut DriftSeries, f64)], until_us: u64) {
    let mut chances: Vec<f64> = series
        .iter()
        .flat_map(|(series, _)| [&series.daily, &series.weekly])
        .flat_map(chances)
        .collect();
    let cut = cut(&mut chances);
    for (series, least) in series {
        for scan in [&mut series.daily, &mut series.weekly] {
            for change in &mut scan.changes {
                change.told = 1.0 - change.confidence <= cut && change.relative.abs() >= *least;
            }
            if let Some(trend) = &mut scan.trend {
                let weeks = until_us.saturating_sub(trend.from_us) as f64 / (7 * DAY_US) as f64;
                let went = (1.0 + trend.per_week).powf(weeks) - 1.0;
                trend.told = 1.0 - trend.confidence <= cut && went.abs() >= *least;
            }
        }
    }
}

/// How likely each of a scan's answers is by chance: of all changes of level the clearest, and the trend. A series that was
/// looked at and shows no change is a test too.
fn chances(scan: &SeriesScan) -> impl Iterator<Item = f64> + use<> {
    let clearest = scan
        .changes
        .iter()
        .map(|change| 1.0 - change.confidence)
        .fold(1.0, f64::min);
    let changes = (scan.values > 0).then_some(clearest);
    let trend = scan.trend.map(|trend| 1.0 - trend.confidence);
    changes.into_iter().chain(trend)
}

/// The largest chance that is still told; below all if none is.
fn cut(chances: &mut [f64]) -> f64 {
    chances.sort_unstable_by(f64::total_cmp);
    let count = chances.len() as f64;
    let told = chances
        .iter()
        .enumerate()
        .rev()
        .find(|(at, chance)| **chance <= FALSE_DISCOVERIES * (at + 1) as f64 / count);
    told.map_or(-1.0, |(_, chance)| *chance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cut_is_that_of_the_paper() {
        // The example of Benjamini and Hochberg (1995), section 4: four of fifteen.
        let mut chances = [
            0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262,
            0.5719, 0.6528, 0.7590, 1.0000,
        ];
        assert_eq!(cut(&mut chances), 0.0095);
        assert_eq!(cut(&mut [0.9, 0.06]), -1.0);
        assert_eq!(cut(&mut []), -1.0);
    }
}
