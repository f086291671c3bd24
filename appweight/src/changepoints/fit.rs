//! The best fit of one segment, where each value's noise keeps a part of the one before.

/// What a segment looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// All of its values are alike but for the noise.
    Level,
    /// They lie along a straight line.
    Line,
}

impl Shape {
    /// What is fitted in each segment.
    pub(super) fn parameters(self) -> usize {
        match self {
            Self::Level => 1,
            Self::Line => 2,
        }
    }
}

/// Sums from the beginning up to each place, so that the fit of any segment costs the same.
///
/// Least squares of each value less the part ρ of the one before (Cochrane and Orcutt 1949). The first
/// value of a segment has none before it and is left out.
pub(super) struct Fits {
    shape: Shape,
    /// Of the value, its square, and value times place, each less ρ of the one before; of the place and
    /// its square likewise.
    sums: Vec<[f64; 5]>,
}

impl Fits {
    pub(super) fn new(series: &[f64], shape: Shape, correlation: f64) -> Self {
        // About the middle, so that little is lost in differences of sums.
        let middle = series.iter().sum::<f64>() / series.len().max(1) as f64;
        let mut sum = [0.0; 5];
        let mut sums = Vec::with_capacity(series.len() + 1);
        sums.push(sum);
        sums.push(sum);
        for (before, two) in series.windows(2).enumerate() {
            let value = (two[1] - middle) - correlation * (two[0] - middle);
            let place = (before + 1) as f64 - correlation * before as f64;
            let more = [value, value * value, value * place, place, place * place];
            for (sum, more) in sum.iter_mut().zip(more) {
                *sum += more;
            }
            sums.push(sum);
        }
        Self { shape, sums }
    }

    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    /// The sum of squares that is left in `from..until` by the best fit.
    pub(super) fn left(&self, from: usize, until: usize) -> f64 {
        let (low, high) = (&self.sums[from + 1], &self.sums[until]);
        let [value, squares, cross, place, places] = std::array::from_fn(|of| high[of] - low[of]);
        let count = (until - from - 1) as f64;
        let about_level = squares - value * value / count;
        let left = match self.shape {
            Shape::Level => about_level,
            Shape::Line => {
                let slope = places - place * place / count;
                about_level - (cross - place * value / count).powi(2) / slope
            }
        };
        left.max(0.0)
    }
}
