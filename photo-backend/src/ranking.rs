//! The ranking of feed and stories: weighted sums over curves that a training job would publish.

use appweight_agent::profiled;
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::error::ApiError;
use crate::measured;
use crate::store::{Store, StoreError};

/// What a post or a reel is judged by.
pub(crate) struct Features {
    /// Seconds older than the newest candidate, so that the same rows give the same page at any time.
    pub(crate) age_s: i64,
    pub(crate) affinity: f64,
    pub(crate) likes: i64,
    pub(crate) comments: i64,
    pub(crate) friends_liked: i64,
    pub(crate) seen: bool,
    pub(crate) verified: bool,
}

/// A published model: the curves are sampled at equal steps.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Model {
    pub(crate) bias: f64,
    pub(crate) seen_penalty: f64,
    pub(crate) friend_bonus: f64,
    pub(crate) verified_bonus: f64,
    pub(crate) by_age: Vec<f64>,
    pub(crate) by_affinity: Vec<f64>,
    pub(crate) by_popularity: Vec<f64>,
}

const AGE_STEP_S: f64 = 1800.0;

impl Model {
    /// The name under which the one model is published.
    pub(crate) const NAME: &'static str = "engagement";

    /// The model for this app, read once per process.
    pub(crate) fn cached(app: &App) -> Result<&Self, ApiError> {
        if let Some(model) = app.model.get() {
            return Ok(model);
        }
        let model = Self::load(&app.store)?;
        Ok(app.model.get_or_init(|| model))
    }

    /// Reads and parses the published model.
    #[profiled]
    pub(crate) fn load(store: &Store) -> Result<Self, StoreError> {
        let json = measured::sqlite(|| store.ranking_model(Self::NAME))?;
        Ok(serde_json::from_str(&json)?)
    }

    /// The higher, the earlier on the page.
    pub(crate) fn score(&self, features: &Features) -> f64 {
        #[expect(
            clippy::cast_precision_loss,
            reason = "ages and counts are far below 2^52"
        )]
        let (age, likes, comments, friends) = (
            features.age_s as f64,
            features.likes as f64,
            features.comments as f64,
            features.friends_liked as f64,
        );
        let popularity = (likes + 4.0 * comments).ln_1p() / 16.0;
        let seen = if features.seen {
            self.seen_penalty
        } else {
            0.0
        };
        self.bias
            + at(&self.by_age, age / AGE_STEP_S)
            + at(
                &self.by_affinity,
                features.affinity * steps(&self.by_affinity),
            )
            + at(&self.by_popularity, popularity * steps(&self.by_popularity))
            + if features.verified {
                self.verified_bonus
            } else {
                0.0
            }
            + friends.min(4.0) * self.friend_bonus
            - seen
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "curves have some hundred points"
)]
fn steps(curve: &[f64]) -> f64 {
    curve.len().saturating_sub(1) as f64
}

/// The curve between its samples, by linear interpolation; beyond the ends it is flat.
fn at(curve: &[f64], position: f64) -> f64 {
    let position = position.clamp(0.0, steps(curve));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to the curve"
    )]
    let left = position as usize;
    let low = curve.get(left).copied().unwrap_or_default();
    let high = curve.get(left + 1).copied().unwrap_or(low);
    low + (high - low) * position.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_is_straight_between_samples_and_flat_beyond() {
        let curve = [1.0, 3.0, 2.0];
        assert_eq!(at(&curve, 0.5), 2.0);
        assert_eq!(at(&curve, 1.25), 2.75);
        assert_eq!(at(&curve, -1.0), 1.0);
        assert_eq!(at(&curve, 9.0), 2.0);
        assert_eq!(at(&[], 1.0), 0.0);
    }

    #[test]
    fn younger_and_unseen_comes_first() {
        let model = Model {
            bias: 0.0,
            seen_penalty: 5.0,
            friend_bonus: 0.5,
            verified_bonus: 0.1,
            by_age: vec![2.0, 1.0, 0.0],
            by_affinity: vec![0.0, 1.0],
            by_popularity: vec![0.0, 1.0],
        };
        let post = |age_s, seen| Features {
            age_s,
            affinity: 0.5,
            likes: 3,
            comments: 1,
            friends_liked: 0,
            seen,
            verified: false,
        };
        assert!(model.score(&post(0, false)) > model.score(&post(1800, false)));
        assert!(model.score(&post(1800, false)) > model.score(&post(0, true)));
    }
}
