use statrs::function::erf::erfc;

use super::Score;
use crate::detect::z_of;
use crate::median::median;

/// Of fewer clean pairs called than this part, days that are simulated cannot tell.
const LEAST_LEVEL: f64 = 1e-5;

impl Score {
    /// The median of the minutes from a roll-out's start to the first alarm, of what was found.
    #[must_use]
    pub fn median_minutes(&self) -> Option<f64> {
        let minutes = self.minutes.iter().map(|minute| *minute as f64);
        let mut minutes: Vec<f64> = minutes.collect();
        (!minutes.is_empty()).then(|| median(&mut minutes))
    }

    /// How many of all planted changes the oracle would find in the mean, if it called as many clean pairs as the detector did:
    /// what is to be had of the figure. It looks once and has half an hour before and after, the detector may have more.
    #[must_use]
    pub fn oracle_finds(&self) -> Option<f64> {
        let level = self.false_alarms as f64 / self.clean_pairs as f64;
        let called_at = z_of(level.clamp(LEAST_LEVEL, 1.0));
        let planted = self.pairs.iter().filter(|pair| pair.is_planted);
        let chances = planted.map(|pair| {
            let z = pair.effect.abs() / pair.oracle_error;
            0.5 * erfc((called_at - z) / std::f64::consts::SQRT_2)
        });
        (self.clean_pairs > 0).then(|| chances.sum())
    }

    /// Adds other days' counts.
    pub fn absorb(&mut self, other: Self) {
        self.days += other.days;
        self.planted += other.planted;
        self.planted_found += other.planted_found;
        self.detectable += other.detectable;
        self.found += other.found;
        self.found_alone += other.found_alone;
        self.clean_pairs += other.clean_pairs;
        self.false_alarms += other.false_alarms;
        self.ever_false += other.ever_false;
        self.clean_deploys += other.clean_deploys;
        self.clean_deploys_alarmed += other.clean_deploys_alarmed;
        self.service_false_alarms += other.service_false_alarms;
        self.service_changes += other.service_changes;
        self.service_found += other.service_found;
        self.intervals += other.intervals;
        self.covered += other.covered;
        self.alarmed_intervals += other.alarmed_intervals;
        self.alarmed_covered += other.alarmed_covered;
        self.widths.0 += other.widths.0;
        self.widths.1 += other.widths.1;
        self.minutes.extend(other.minutes);
        self.flag_changes += other.flag_changes;
        self.flags_found += other.flags_found;
        self.clean_flag_pairs += other.clean_flag_pairs;
        self.flag_false_alarms += other.flag_false_alarms;
        for (trap, counts) in other.traps {
            let own = self.traps.entry(trap).or_default();
            for (own, count) in own.iter_mut().zip(counts) {
                *own += count;
            }
        }
        self.mistakes.extend(other.mistakes);
        self.pairs.extend(other.pairs);
        self.power.absorb(other.power);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::Ruling;
    use crate::simulate::score::ScoredPair;

    fn planted(effect: f64) -> ScoredPair {
        ScoredPair {
            start: 0,
            effect,
            is_planted: effect != 0.0,
            oracle_error: 0.01,
            interval: None,
            ruling: Ruling::NoData,
            called: None,
        }
    }

    #[test]
    fn an_oracle_finds_half_of_what_lies_where_it_calls() {
        let score = Score {
            clean_pairs: 10_000,
            false_alarms: 10,
            pairs: vec![
                planted(0.0329),
                planted(-0.5),
                planted(0.0001),
                planted(0.0),
            ],
            ..Score::default()
        };
        let finds = score.oracle_finds().unwrap();
        assert!((finds - 1.5).abs() < 0.01, "{finds}");
        assert_eq!(Score::default().oracle_finds(), None);
    }
}
